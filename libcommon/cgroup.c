// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the files of a process tell of the pod and container it runs in. Kubelets, runtimes and
 * cgroup drivers have some twenty ways to write a pod's UID into a cgroup path; all come down to
 * `…-pod<uid>.slice` and `pod<uid>`.
 */
#include "cgroup.h"

#include <string.h>

#include "util.h"

#define PATH_LEN_MAX 4096
#define COMPONENTS_MAX 64

struct span {
	const char *p;
	size_t len;
};

static bool starts_with(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && !memcmp(s.p, prefix, len);
}

static bool ends_with(struct span s, const char *suffix)
{
	size_t len = strlen(suffix);

	return s.len >= len && !memcmp(s.p + s.len - len, suffix, len);
}

static bool equals(struct span s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.p, text, s.len);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool all_hex(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_hex(s.p[i]))
			return false;
	return true;
}

/* A UUID, or the 32 digits the kubelet hashes a static pod's manifest to. */
static bool uid_strict(struct span s)
{
	if (s.len == 32)
		return all_hex(s);
	if (s.len != 36)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s.p[i] != '-' && s.p[i] != '_' : !is_hex(s.p[i]))
			return false;
	}
	return true;
}

bool uid_valid(const char *uid, size_t len)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	if (len < 1 || len > POD_UID_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!memchr(allowed, uid[i], sizeof(allowed) - 1))
			return false;
	return true;
}

void uid_copy(char to[POD_UID_MAX + 1], const char *uid, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (char)(uid[i] == '_' ? '-' : uid[i]);
	to[len] = '\0';
}

/*
 * The pod UID a component names. One that does not look like a UUID counts only right below the
 * levels the kubelet makes; elsewhere `podinfo` is just a name.
 */
static bool component_uid(struct span c, struct span parent, struct span *uid)
{
	const char *colon = memchr(c.p, ':', c.len);
	struct span head = { c.p, colon ? (size_t)(colon - c.p) : c.len };
	bool in_place;

	if (ends_with(head, ".slice")) {
		struct span before = { head.p, head.len - strlen(".slice") };

		uid->len = 0;
		while (before.len && !ends_with(before, "-pod")) {
			before.len--;
			uid->len++;
		}
		if (!before.len)
			return false;
		uid->p = before.p + before.len;
		before.len -= strlen("-pod");
		in_place = ends_with(before, "kubepods") || ends_with(before, "-besteffort") ||
			   ends_with(before, "-burstable");
	} else if (starts_with(c, "pod")) {
		*uid = (struct span){ c.p + 3, c.len - 3 };
		in_place = equals(parent, "kubepods") || equals(parent, "besteffort") ||
			   equals(parent, "burstable");
	} else {
		return false;
	}
	return uid_strict(*uid) || (in_place && uid_valid(uid->p, uid->len));
}

/* The container ID a component ends in: `ID`, `docker-ID.scope`, `….slice:cri-containerd:ID`. */
static bool component_container(struct span c, char id[CONTAINER_ID_LEN + 1], bool *monitor)
{
	struct span digits, before;

	if (ends_with(c, ".scope"))
		c.len -= strlen(".scope");
	if (c.len < CONTAINER_ID_LEN)
		return false;
	before = (struct span){ c.p, c.len - CONTAINER_ID_LEN };
	digits = (struct span){ c.p + before.len, CONTAINER_ID_LEN };
	if (!all_hex(digits) || (before.len && !ends_with(before, "-") && !ends_with(before, ":")))
		return false;
	memcpy(id, digits.p, CONTAINER_ID_LEN);
	id[CONTAINER_ID_LEN] = '\0';
	*monitor = ends_with(before, "conmon-");
	return true;
}

static struct span next_component(struct span *rest)
{
	struct span c;

	while (rest->len && *rest->p == '/') {
		rest->p++;
		rest->len--;
	}
	c.p = rest->p;
	c.len = 0;
	while (c.len < rest->len && c.p[c.len] != '/')
		c.len++;
	rest->p += c.len;
	rest->len -= c.len;
	return c;
}

static void parse_path(struct span path, struct cgroup *cg)
{
	struct span rest = path, parent = { "", 0 }, c, uid;
	struct cgroup_pod *waiting = NULL; /* the pod whose container the next component may name */

	if (ends_with(path, " (deleted)"))
		rest.len -= strlen(" (deleted)");
	for (int i = 0; i < COMPONENTS_MAX; i++, parent = c) {
		bool below_reader = equals(parent, "..");
		char *id = waiting ? waiting->container : cg->container;
		bool *monitor = waiting ? &waiting->monitor : &cg->monitor;

		c = next_component(&rest);
		if (!c.len)
			break;
		if (component_uid(c, parent, &uid) && cg->npods < CGROUP_PODS) {
			waiting = &cg->pods[cg->npods++];
			uid_copy(waiting->uid, uid.p, uid.len);
			if (component_container(c, waiting->container, &waiting->monitor))
				waiting = NULL;
			continue;
		}
		if (component_container(c, id, monitor) && below_reader)
			cg->sibling = true;
		waiting = NULL;
	}
	if (cg->npods)
		cg->container[0] = '\0';
}

/* Takes the path off a line `N:controllers:/path`. Rank 0 is read first. */
static bool split_line(struct span line, struct span *path, int *rank)
{
	const char *first = memchr(line.p, ':', line.len), *second, *end = line.p + line.len;
	struct span controllers;

	second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
	if (!second)
		return false;
	controllers = (struct span){ first + 1, (size_t)(second - first - 1) };
	*path = (struct span){ second + 1, (size_t)(end - second - 1) };
	*rank = !controllers.len ? 0 : equals(controllers, "name=systemd") ? 1 : 2;
	return path->len <= PATH_LEN_MAX;
}

void cgroup_parse(const char *text, struct cgroup *cg)
{
	struct cgroup best = { 0 };

	for (int want = 0; want < 3; want++) {
		for (const char *p = text, *end; *p; p = *end ? end + 1 : end) {
			struct span path;
			int rank;

			end = strchrnul(p, '\n');
			if (!split_line((struct span){ p, (size_t)(end - p) }, &path, &rank))
				continue;
			if (rank != want)
				continue;
			*cg = (struct cgroup){ 0 };
			parse_path(path, cg);
			if (cg->npods)
				return;
			if (cg->container[0] && !best.container[0])
				best = *cg;
		}
	}
	*cg = best;
}

/* `…/pods/<uid>/etc-hosts` (unlinked since, perhaps) or `…/pods/<uid>/containers/…` */
static bool root_uid(struct span root, char uid[POD_UID_MAX + 1])
{
	static const char mark[] = "/pods/";
	const char *end = root.p + root.len, *p = root.p, *slash;

	while ((p = memmem(p, (size_t)(end - p), mark, strlen(mark)))) {
		struct span rest;

		p += strlen(mark);
		slash = memchr(p, '/', (size_t)(end - p));
		if (!slash)
			return false;
		rest = (struct span){ slash + 1, (size_t)(end - slash - 1) };
		if ((equals(rest, "etc-hosts") || equals(rest, "etc-hosts//deleted") ||
		     starts_with(rest, "containers/")) &&
		    uid_valid(p, (size_t)(slash - p))) {
			uid_copy(uid, p, (size_t)(slash - p));
			return true;
		}
		p = slash;
	}
	return false;
}

bool mountinfo_uid(const char *text, char uid[POD_UID_MAX + 1])
{
	for (const char *p = text, *end; *p; p = *end ? end + 1 : end) {
		struct span root;
		const char *space;

		end = strchrnul(p, '\n');
		for (int field = 1; field < 4 && p; field++) {
			space = memchr(p, ' ', (size_t)(end - p));
			p = space ? space + 1 : NULL;
		}
		if (!p)
			continue;
		space = memchr(p, ' ', (size_t)(end - p));
		root = (struct span){ p, space ? (size_t)(space - p) : 0 };
		if (root_uid(root, uid))
			return true;
	}
	return false;
}

bool stat_start(const char *text, uint64_t *start)
{
	/* The name, field 2, may hold blanks and brackets; behind the last one are only numbers. */
	const char *p = strrchr(text, ')');
	char digits[24];
	size_t len;

	for (int field = 2; field < 22 && p; field++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	if (!p)
		return false;
	len = strcspn(p, " \n");
	if (len >= sizeof(digits))
		return false;
	memcpy(digits, p, len);
	digits[len] = '\0';
	return !parse_u64(digits, 0, UINT64_MAX, start);
}
