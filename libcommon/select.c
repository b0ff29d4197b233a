// SPDX-License-Identifier: GPL-2.0-or-later
/* What the command line chose. */
#include "discover.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/capability.h>
#include <string.h>

#include "netns.h"
#include "pod.h"
#include "util.h"

#define CONTAINER_DIGITS_MIN 6
#define CANDIDATES_SHOWN 5

static const char *const option_names[] = {
	[SEL_NETNS] = "--netns", [SEL_PID] = "--pid", [SEL_CONTAINER] = "--container", [SEL_POD] = "--pod",
	[SEL_HOST] = "--host",
};

/* The number in `pid:N`, 0: not of this form. */
static int pid_of(const char *text)
{
	uint64_t pid;

	return strncmp(text, "pid:", 4) || parse_u64(text + 4, 1, INT32_MAX, &pid) ? 0 : (int)pid;
}

/* The number in `4026532111` or `net:[4026532111]`, 0: not of these forms. */
static uint64_t inode_of(const char *text)
{
	uint64_t inode;

	return parse_u64(text, 1, UINT64_MAX, &inode) ? netns_parse(text) : inode;
}

/* A container ID as other tools print it may have its runtime before it: containerd://ID. */
static const char *container_digits(const char *text)
{
	const char *scheme = strstr(text, "://");

	return scheme ? scheme + 3 : text;
}

static const char *fault(const struct selector *s)
{
	const char *slash;
	uint64_t pid;
	size_t len;

	switch (s->kind) {
	case SEL_NETNS:
		return strncmp(s->text, "pid:", 4) || pid_of(s->text) ? NULL : "takes a number after pid:";
	case SEL_PID:
		return parse_u64(s->text, 1, INT32_MAX, &pid) ? "takes the number of a process" : NULL;
	case SEL_CONTAINER:
		len = strlen(container_digits(s->text));
		return len < CONTAINER_DIGITS_MIN || len > CONTAINER_ID_LEN ||
			       strspn(container_digits(s->text), "0123456789abcdefABCDEF") != len ?
			       "takes 6 to 64 hexadecimal digits" : NULL;
	case SEL_POD:
		slash = strchr(s->text, '/');
		return slash && (slash == s->text || !slash[1] || strchr(slash + 1, '/')) ?
			       "takes NAME or NAMESPACE/NAME" : NULL;
	case SEL_HOST:
		break;
	}
	return NULL;
}

int select_check(const struct target_options *opt)
{
	for (size_t i = 0; i < opt->nselectors; i++) {
		const struct selector *s = &opt->selectors[i];
		const char *why = fault(s);

		if (why) {
			msg_error("%s %s, not '%s'", option_names[s->kind], why, s->text);
			return -EINVAL;
		}
	}
	return 0;
}

/* Selector i found nothing; `why`, in brackets, may say more. `caps`: for lack of which something was not searched. */
static int miss(struct round *r, size_t i, const char *why, uint64_t caps)
{
	const struct selector *s = &r->opt->selectors[i];

	r->missing[i] = arena_printf(&r->arena, "%s%s%s%s%s%s", option_names[s->kind], s->text ? " " : "",
				     s->text ? s->text : "", why ? " (" : "", why ? why : "", why ? ")" : "");
	/* Whoever cannot see all processes may have missed the one. */
	if (r->hidepid || r->refused)
		caps |= CAP_TO_MASK(CAP_SYS_PTRACE);
	r->hidden |= caps;
	return r->missing[i] ? 0 : -ENOMEM;
}

static int select_netns(struct round *r, size_t i)
{
	const char *text = r->opt->selectors[i].text, *why = NULL;
	uint64_t inode = inode_of(text), caps = 0;
	struct group *g = NULL;
	const struct proc *p;
	int err = 0;

	if (pid_of(text)) {
		p = proc_find(r, pid_of(text));
		g = p ? p->group : NULL;
	} else if (strchr(text, '/')) {
		err = mount_by_path(r, text, &g);
	} else if (inode) {
		g = dict_get(&r->by_netns, &inode, sizeof(inode));
		if (r->unjoined)
			caps = CAP_TO_MASK(CAP_SYS_PTRACE);
	} else {
		err = mount_by_name(r, text, &g);
	}
	if (err == -ENOMEM)
		return err;
	if (!err && g) {
		g->whole = true;
		return 0;
	}
	if (err == -ESTALE)
		why = "an empty file, not a namespace: its mount did not propagate here";
	else if (err == -EINVAL)
		why = "not a network namespace";
	else if (err == -EACCES || err == -EPERM)
		caps = CAP_TO_MASK(CAP_SYS_PTRACE);
	return miss(r, i, why, caps);
}

int select_namespaces(struct round *r)
{
	int err = 0;

	r->missing = arena_alloc(&r->arena, (r->opt->nselectors + 1) * sizeof(*r->missing));
	if (!r->missing)
		return -ENOMEM;
	for (size_t i = 0; i < r->opt->nselectors && !err; i++)
		if (r->opt->selectors[i].kind == SEL_NETNS)
			err = select_netns(r, i);
	return err;
}

static int select_host(struct round *r, size_t i)
{
	if (!r->host)
		return miss(r, i, r->in_pod ? "not to be seen from inside a pod" : NULL, 0);
	r->host->whole = true;
	return 0;
}

static void want(struct proc *p)
{
	p->wanted = true;
	p->group->part = true;
}

static int select_pid(struct round *r, size_t i)
{
	uint64_t pid = 0;
	struct proc *p;

	parse_u64(r->opt->selectors[i].text, 1, INT32_MAX, &pid);
	p = proc_find(r, (pid_t)pid);
	if (!p)
		return miss(r, i, NULL, 0);
	want(p);
	return 0;
}

/* A process that went into another pod's namespace does not make that its container's. */
static bool is_stray(const struct round *r, const struct proc *p)
{
	const struct pod *owner = p->group->pod;

	return owner && p->group != r->host && p->in->by_uid && owner->uid && owner != p->in->pod;
}

static bool has_prefix(const struct proc *p, const char *digits, size_t len)
{
	return p->in->container && !p->in->monitor && !strncasecmp(p->in->container, digits, len);
}

/* The different containers with this prefix, as text; counts them. */
static size_t candidates(struct round *r, const char *digits, size_t len, struct buf *b)
{
	struct dict seen = { .arena = &r->arena };

	buf_str(b, "ambiguous:");
	for (size_t i = 0; i < r->nprocs; i++) {
		const char *id = r->procs[i].in->container;
		void **slot;

		if (!has_prefix(&r->procs[i], digits, len))
			continue;
		slot = dict_at(&seen, id, strlen(id));
		if (!slot || *slot)
			continue;
		*slot = &r->procs[i];
		if (seen.n <= CANDIDATES_SHOWN)
			buf_printf(b, " %.*s", (int)(len < 12 ? 12 : len + 4), id);
	}
	if (seen.n > CANDIDATES_SHOWN)
		buf_printf(b, " and %zu more", seen.n - CANDIDATES_SHOWN);
	return seen.n;
}

static int select_container(struct round *r, size_t i)
{
	const char *digits = container_digits(r->opt->selectors[i].text);
	size_t len = strlen(digits);
	struct buf b = { 0 };
	size_t n = candidates(r, digits, len, &b);
	bool found = false;
	int err;

	for (size_t k = 0; k < r->nprocs && n == 1; k++) {
		if (!has_prefix(&r->procs[k], digits, len) || is_stray(r, &r->procs[k]))
			continue;
		want(&r->procs[k]);
		found = true;
	}
	err = b.failed ? -ENOMEM : found ? 0 : miss(r, i, n > 1 ? b.data : NULL, 0);
	buf_free(&b);
	return err;
}

static bool pod_matches(const struct pod *pod, const char *pattern)
{
	const char *slash = strchr(pattern, '/');
	char namespace[256];

	if (!pod || !pod->name)
		return false;
	if (!slash)
		return !fnmatch(pattern, pod->name, 0);
	if ((size_t)(slash - pattern) >= sizeof(namespace))
		return false;
	memcpy(namespace, pattern, (size_t)(slash - pattern));
	namespace[slash - pattern] = '\0';
	return !fnmatch(namespace, pod->namespace, 0) && !fnmatch(slash + 1, pod->name, 0);
}

/* The pods in the host's namespace: all share one target, whose numbers are the whole node's. */
static bool select_host_pods(struct round *r, size_t i, const char *pattern)
{
	const struct pod *named = NULL;
	bool other = false;

	for (size_t k = 0; r->host && k < r->host->nprocs; k++) {
		struct proc *p = &r->host->procs[k];

		if (!pod_matches(p->pod, pattern) || p->pod->home != r->host)
			continue;
		want(p);
		other |= named && p->pod != named;
		named = named ? named : p->pod;
	}
	if (named && !r->told->host_pod[i])
		msg_warn("pod %s/%s%s the host network: counters are the node's", named->namespace, named->name,
			 other ? " and others use" : " uses");
	r->told->host_pod[i] |= named != NULL;
	return named;
}

static bool select_group_pod(struct group *g, const char *pattern)
{
	if (!pod_matches(g->pod, pattern))
		return false;
	g->part = true;
	for (size_t i = 0; i < g->nprocs; i++)
		g->procs[i].wanted |= g->procs[i].pod == g->pod;
	return true;
}

static int select_pod(struct round *r, size_t i)
{
	const char *pattern = r->opt->selectors[i].text;
	bool found = select_host_pods(r, i, pattern), unnamed = false;

	for (struct group *g = r->groups; g; g = g->next) {
		unnamed |= g->pod && !g->pod->name;
		/* A label as it was shown, whatever it names. */
		if (!strcmp(g->label, pattern)) {
			found = g->whole = true;
			continue;
		}
		if (g != r->host)
			found |= select_group_pod(g, pattern);
	}
	if (found)
		return 0;
	return miss(r, i, NULL, unnamed && pods_denied(r->pods) ? CAP_TO_MASK(CAP_DAC_READ_SEARCH) : 0);
}

int select_processes(struct round *r)
{
	int err = 0;

	if (r->opt->all || !r->opt->nselectors)
		for (struct group *g = r->groups; g; g = g->next)
			g->whole = true;
	for (size_t i = 0; i < r->opt->nselectors && !err; i++) {
		switch (r->opt->selectors[i].kind) {
		case SEL_NETNS: break;
		case SEL_PID: err = select_pid(r, i); break;
		case SEL_CONTAINER: err = select_container(r, i); break;
		case SEL_POD: err = select_pod(r, i); break;
		case SEL_HOST: err = select_host(r, i); break;
		}
	}
	return err;
}
