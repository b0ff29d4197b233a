// SPDX-License-Identifier: GPL-2.0-or-later
/* Whom we look at: runs a round of discovery and hands out its result. */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "caps.h"
#include "discover.h"
#include "pod.h"
#include "probe.h"
#include "procfs.h"
#include "roots.h"
#include "util.h"

struct target_finder {
	const struct target_options *opt;
	struct roots roots;
	char *node;
	struct pods *pods;
	struct said said;
};

/* A round's result, and the memory its texts and pids are in. */
struct load {
	struct targets targets;
	struct arena arena;
};

static int check_options(const struct target_options *opt)
{
	struct stat st;

	if (!opt->host_netns || !lstat(opt->host_netns, &st) || errno == EACCES)
		return select_check(opt);
	msg_error("--host-netns: %s: %s", opt->host_netns, strerror(errno));
	return -EINVAL;
}

int finder_open(const struct target_options *opt, struct target_finder **finder)
{
	struct target_finder *f;
	int err = check_options(opt);

	if (err)
		return err;
	f = calloc(1, sizeof(*f));
	if (!f) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	f->opt = opt;
	err = roots_init(&f->roots, opt);
	if (!err) {
		f->node = roots_node(&f->roots, opt);
		f->pods = pods_open(&f->roots, opt->pod_logs);
		f->said.host_pod = calloc(opt->nselectors + 1, sizeof(bool));
		err = f->node && f->pods && f->said.host_pod ? 0 : -ENOMEM;
		if (err)
			msg_error("out of memory");
	}
	if (err) {
		finder_close(f);
		return err;
	}
	*finder = f;
	return 0;
}

void finder_close(struct target_finder *f)
{
	if (!f)
		return;
	pods_close(f->pods);
	free(f->said.host_pod);
	free(f->node);
	roots_free(&f->roots);
	free(f);
}

void finder_told(struct target_finder *f)
{
	f->said.denied = true;
}

const struct roots *finder_roots(const struct target_finder *f)
{
	return &f->roots;
}

static int discover(struct discovery *d)
{
	int err = scan_processes(d);

	if (err)
		return err;
	err = scan_mounts(d);
	if (!err) {
		err = host_find(d);
		if (err)
			return err;
	}
	if (!err)
		err = select_namespaces(d);
	if (!err)
		err = owners_find(d);
	if (!err)
		err = sidecar_name(d);
	if (!err)
		err = labels_set(d);
	if (!err)
		err = select_processes(d);
	if (err)
		msg_error("targets: %s", strerror(-err));
	return err;
}

/* The processes that count: all of them, or those a selector of processes chose. */
static int pids_set(struct discovery *d, const struct group *g, struct target *t)
{
	pid_t *pids = arena_alloc(&d->arena, (g->nprocs + 1) * sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	for (size_t i = 0; i < g->nprocs; i++)
		if (g->whole || !g->part || g->procs[i].wanted)
			pids[t->npids++] = g->procs[i].pid;
	t->pids = pids;
	return 0;
}

static const char *container_of(const struct group *g)
{
	for (size_t i = 0; i < g->nprocs; i++) {
		const struct proc *p = &g->procs[i];

		if (p->in->container && !p->in->monitor && (!g->pod || p->pod == g->pod))
			return p->in->container;
	}
	return NULL;
}

static int target_set(const struct target_finder *f, struct discovery *d, const struct group *g,
		      struct target *t)
{
	*t = (struct target){
		.node = f->node,
		.namespace = g->namespace,
		.pod = g->label,
		.netns = g->netns,
		.key = g->key,
		.mount = g->mount,
		.source = g->source,
		.host = g == d->host,
		.selected = g->whole || g->part,
		.roots = &f->roots,
	};
	if (g == d->own && !g->nprocs && !g->mount)
		t->mount = "/proc/self/ns/net";
	if (g != d->host) {
		t->container = container_of(g);
		t->uid = g->pod ? g->pod->uid : NULL;
	}
	return pids_set(d, g, t);
}

static int target_cmp(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int order = strcmp(x->namespace, y->namespace);

	return order ? order : strcmp(x->pod, y->pod);
}

static int targets_fill(const struct target_finder *f, struct discovery *d, struct targets *ts)
{
	ts->v = calloc(d->ngroups + 1, sizeof(*ts->v));
	ts->missing = calloc(d->opt->nselectors + 1, sizeof(*ts->missing));
	if (!ts->v || !ts->missing)
		return -ENOMEM;
	for (const struct group *g = d->groups; g; g = g->next) {
		/* Its processes ended between two looks at them. */
		if (!g->nprocs && !g->mount && g != d->own)
			continue;
		if (target_set(f, d, g, &ts->v[ts->n]))
			return -ENOMEM;
		ts->n++;
	}
	qsort(ts->v, ts->n, sizeof(*ts->v), target_cmp);
	for (size_t i = 0; i < ts->n; i++) {
		if (ts->v[i].host)
			ts->host = &ts->v[i];
		if (d->own && ts->v[i].netns == d->own->netns)
			ts->own = &ts->v[i];
	}
	for (size_t i = 0; i < d->opt->nselectors; i++)
		if (d->missing[i])
			ts->missing[ts->nmissing++] = (char *)d->missing[i];
	ts->npids = d->nprocs + d->refused;
	ts->refused = d->refused;
	ts->hidepid = d->hidepid;
	ts->hidden = d->hidden;
	return 0;
}

/*
 * What a missing privilege kept from being seen, once a run; of selectors that found nothing the
 * caller speaks.
 */
static void tell_denied(const struct target_finder *f, struct discovery *d, const struct targets *ts)
{
	bool unnamed = false;

	if (ts->nmissing || d->said->denied)
		return;
	for (const struct group *g = d->groups; g; g = g->next)
		unnamed |= g != d->host && g->pod && !g->pod->name;
	if (d->hidepid)
		msg_warn("%s is mounted with hidepid: other processes cannot be seen",
			 f->roots.procfs);
	else if (d->refused)
		msg_warn("%zu processes skipped: need CAP_SYS_PTRACE", d->refused);
	if (unnamed && pods_denied(d->pods))
		msg_warn("pods without a name: %s cannot be read, need CAP_DAC_READ_SEARCH",
			 f->roots.pod_logs);
	d->said->denied = d->hidepid || d->refused || (unnamed && pods_denied(d->pods));
}

static int round_make(struct target_finder *f, struct discovery *d, struct targets *ts)
{
	int err = discover(d);

	if (err)
		return err;
	err = targets_fill(f, d, ts);
	if (err)
		msg_error("targets: %s", strerror(-err));
	else
		tell_denied(f, d, ts);
	return err;
}

struct targets *targets_new(struct arena **arena)
{
	struct load *load = calloc(1, sizeof(*load));

	if (!load)
		return NULL;
	load->targets.private = load;
	*arena = &load->arena;
	return &load->targets;
}

int targets_load(struct target_finder *f, struct targets **result)
{
	struct discovery d = { .opt = f->opt, .roots = &f->roots, .pods = f->pods, .said = &f->said };
	struct arena *arena;
	struct targets *ts = targets_new(&arena);
	int err = ts ? 0 : -ENOMEM;

	d.by_netns.arena = d.by_key.arena = d.memberships.arena = &d.arena;
	d.pod_of_uid.arena = d.pod_of_container.arena = &d.arena;
	d.procfd = open(*f->roots.procfs ? f->roots.procfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!err && d.procfd < 0)
		err = -errno;
	pods_round(f->pods);
	if (err)
		msg_error("%s: %s", f->roots.procfs, strerror(-err));
	else
		err = round_make(f, &d, ts);
	if (d.procfd >= 0)
		close(d.procfd);
	free(d.procs);
	if (!ts)
		return err;
	*arena = d.arena;
	if (err)
		targets_free(ts);
	else
		*result = ts;
	return err;
}

void targets_free(struct targets *ts)
{
	struct load *load = ts ? ts->private : NULL;

	if (!load)
		return;
	for (size_t i = 0; i < ts->n; i++)
		proc_cache_free(ts->v[i].cache);
	free(ts->missing);
	free(ts->v);
	arena_free(&load->arena);
	free(load);
}

int targets_report_missing(const struct targets *ts)
{
	for (size_t i = 0; i < ts->nmissing; i++)
		msg_error("no network namespace matches %s", ts->missing[i]);
	if (!ts->nmissing)
		return EXIT_OK;
	if (ts->hidepid)
		msg_error("/proc is mounted with hidepid: other processes cannot be seen");
	else if (ts->hidden)
		caps_report(ts->hidden, "not everything could be searched");
	return ts->hidden ? EXIT_PRIVILEGE : EXIT_NO_TARGET;
}

int target_exit_code(int err)
{
	switch (err) {
	case 0: return EXIT_OK;
	case -EINVAL: return EXIT_USAGE;
	case -EACCES:
	case -EPERM: return EXIT_PRIVILEGE;
	}
	return EXIT_FAILED;
}

const struct target *targets_machine(const struct targets *ts)
{
	return ts->host ? ts->host : ts->own;
}

size_t targets_selected(const struct targets *ts)
{
	size_t n = 0;

	for (size_t i = 0; i < ts->n; i++)
		n += ts->v[i].selected;
	return n;
}

const struct target *target_by_netns(const struct targets *ts, uint64_t netns)
{
	for (size_t i = 0; netns && i < ts->n; i++)
		if (ts->v[i].netns == netns)
			return &ts->v[i];
	return NULL;
}
