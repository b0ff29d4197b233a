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
	[SEL_NETNS] = "--netns", [SEL_PID] = "--pid",   [SEL_CONTAINER] = "--container",
	[SEL_POD] = "--pod",     [SEL_HOST] = "--host",
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

static bool is_container(const char *digits)
{
	size_t len = strlen(digits);

	return len >= CONTAINER_DIGITS_MIN && len <= CONTAINER_ID_LEN &&
	       strspn(digits, "0123456789abcdefABCDEF") == len;
}

/* NAME or NAMESPACE/NAME, patterns perhaps. */
static bool is_pod(const char *text)
{
	const char *slash = strchr(text, '/');

	return !slash || (slash != text && slash[1] && !strchr(slash + 1, '/'));
}

/* What a selector should have been, NULL: it is. */
static const char *fault(const struct selector *s)
{
	uint64_t pid;

	switch (s->kind) {
	case SEL_NETNS:
		if (!strncmp(s->text, "pid:", 4) && !pid_of(s->text))
			return "takes a number after pid:";
		break;
	case SEL_PID:
		if (parse_u64(s->text, 1, INT32_MAX, &pid))
			return "takes the number of a process";
		break;
	case SEL_CONTAINER:
		if (!is_container(container_digits(s->text)))
			return "takes 6 to 64 hexadecimal digits";
		break;
	case SEL_POD:
		if (!is_pod(s->text))
			return "takes NAME or NAMESPACE/NAME";
		break;
	case SEL_HOST: break;
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

/*
 * Selector i found nothing; `why`, in brackets, may say more. `caps`: for lack of which something
 * was not searched.
 */
static int miss(struct discovery *d, size_t i, const char *why, uint64_t caps)
{
	const struct selector *s = &d->opt->selectors[i];
	struct buf b = { 0 };

	buf_str(&b, option_names[s->kind]);
	if (s->text)
		buf_printf(&b, " %s", s->text);
	if (why)
		buf_printf(&b, " (%s)", why);
	d->missing[i] = b.failed ? NULL : arena_str(&d->arena, b.data, b.len);
	buf_free(&b);
	/* Whoever cannot see all processes may have missed the one. */
	if (d->hidepid || d->refused)
		caps |= CAP_TO_MASK(CAP_SYS_PTRACE);
	d->hidden |= caps;
	return d->missing[i] ? 0 : -ENOMEM;
}

static int select_netns(struct discovery *d, size_t i)
{
	const char *text = d->opt->selectors[i].text, *why = NULL;
	uint64_t inode = inode_of(text), caps = 0;
	struct group *g = NULL;
	const struct proc *p;
	int err = 0;

	if (pid_of(text)) {
		p = proc_find(d, pid_of(text));
		g = p ? p->group : NULL;
	} else if (strchr(text, '/')) {
		err = mount_by_path(d, text, &g);
	} else {
		g = inode ? dict_get(&d->by_netns, &inode, sizeof(inode)) : NULL;
		/* A name may be digits, too. */
		if (!g)
			err = mount_by_name(d, text, &g);
		if (inode && d->unjoined)
			caps = CAP_TO_MASK(CAP_SYS_PTRACE);
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
	return miss(d, i, why, caps);
}

int select_namespaces(struct discovery *d)
{
	int err = 0;

	d->missing = arena_alloc(&d->arena, (d->opt->nselectors + 1) * sizeof(*d->missing));
	if (!d->missing)
		return -ENOMEM;
	for (size_t i = 0; i < d->opt->nselectors && !err; i++)
		if (d->opt->selectors[i].kind == SEL_NETNS)
			err = select_netns(d, i);
	return err;
}

static int select_host(struct discovery *d, size_t i)
{
	if (!d->host)
		return miss(d, i, d->in_pod ? "not to be seen from inside a pod" : NULL, 0);
	d->host->whole = true;
	return 0;
}

static void want(struct proc *p)
{
	p->wanted = true;
	p->group->part = true;
}

static int select_pid(struct discovery *d, size_t i)
{
	uint64_t pid = 0;
	struct proc *p;

	parse_u64(d->opt->selectors[i].text, 1, INT32_MAX, &pid);
	p = proc_find(d, (pid_t)pid);
	if (!p)
		return miss(d, i, NULL, 0);
	want(p);
	return 0;
}

/* A process that went into another pod's namespace does not make that its container's. */
static bool is_stray(const struct discovery *d, const struct proc *p)
{
	const struct pod *owner = p->group->pod;

	return owner && p->group != d->host && p->in->by_uid && owner->uid && owner != p->in->pod;
}

static bool has_prefix(const struct proc *p, const char *digits, size_t len)
{
	return p->in->container && !p->in->monitor && !strncasecmp(p->in->container, digits, len);
}

/* The different containers with this prefix, as text; counts them. */
static size_t candidates(struct discovery *d, const char *digits, size_t len, struct buf *b)
{
	struct dict seen = { .arena = &d->arena };

	buf_str(b, "ambiguous:");
	for (size_t i = 0; i < d->nprocs; i++) {
		const char *id = d->procs[i].in->container;
		void **slot;

		if (!has_prefix(&d->procs[i], digits, len))
			continue;
		slot = dict_at(&seen, id, strlen(id));
		if (!slot || *slot)
			continue;
		*slot = &d->procs[i];
		if (seen.n <= CANDIDATES_SHOWN)
			buf_printf(b, " %.*s", (int)(len < 12 ? 12 : len + 4), id);
	}
	if (seen.n > CANDIDATES_SHOWN)
		buf_printf(b, " and %zu more", seen.n - CANDIDATES_SHOWN);
	return seen.n;
}

static int select_container(struct discovery *d, size_t i)
{
	const char *digits = container_digits(d->opt->selectors[i].text);
	size_t len = strlen(digits);
	struct buf b = { 0 };
	size_t n = candidates(d, digits, len, &b);
	bool found = false;
	int err;

	for (size_t k = 0; k < d->nprocs && n == 1; k++) {
		if (!has_prefix(&d->procs[k], digits, len) || is_stray(d, &d->procs[k]))
			continue;
		want(&d->procs[k]);
		found = true;
	}
	err = b.failed ? -ENOMEM : found ? 0 : miss(d, i, n > 1 ? b.data : NULL, 0);
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
static bool select_host_pods(struct discovery *d, size_t i, const char *pattern)
{
	const struct pod *named = NULL;
	bool other = false;

	for (size_t k = 0; d->host && k < d->host->nprocs; k++) {
		struct proc *p = &d->host->procs[k];

		if (!pod_matches(p->pod, pattern) || p->pod->home != d->host)
			continue;
		want(p);
		other |= named && p->pod != named;
		named = named ? named : p->pod;
	}
	if (named && !d->said->host_pod[i])
		msg_warn("pod %s/%s%s the host network: counters are the node's", named->namespace,
			 named->name, other ? " and others use" : " uses");
	d->said->host_pod[i] |= named != NULL;
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

static int select_pod(struct discovery *d, size_t i)
{
	const char *pattern = d->opt->selectors[i].text;
	bool found = select_host_pods(d, i, pattern), unnamed = false;

	for (struct group *g = d->groups; g; g = g->next) {
		unnamed |= g->pod && !g->pod->name;
		if (g != d->host && select_group_pod(g, pattern))
			found = true;
		else if (!strcmp(g->label, pattern)) /* as it was shown, whatever it names */
			found = g->whole = true;
	}
	if (found)
		return 0;
	if (unnamed && pods_denied(d->pods))
		return miss(d, i, NULL, CAP_TO_MASK(CAP_DAC_READ_SEARCH));
	return miss(d, i, NULL, 0);
}

int select_processes(struct discovery *d)
{
	int err = 0;

	if (d->opt->all || !d->opt->nselectors)
		for (struct group *g = d->groups; g; g = g->next)
			g->whole = true;
	for (size_t i = 0; i < d->opt->nselectors && !err; i++) {
		switch (d->opt->selectors[i].kind) {
		case SEL_NETNS: break;
		case SEL_PID: err = select_pid(d, i); break;
		case SEL_CONTAINER: err = select_container(d, i); break;
		case SEL_POD: err = select_pod(d, i); break;
		case SEL_HOST: err = select_host(d, i); break;
		}
	}
	return err;
}
