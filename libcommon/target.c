// SPDX-License-Identifier: GPL-2.0-or-later
/* Whom we look at: runs a round of discovery and hands out its result. */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "discover.h"
#include "pod.h"
#include "procfs.h"
#include "roots.h"
#include "util.h"

struct target_finder {
	const struct target_options *opt;
	struct roots roots;
	char *node;
	struct pods *pods;
	struct told told;
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
		f->told.host_pod = calloc(opt->nselectors + 1, sizeof(bool));
		err = f->node && f->pods && f->told.host_pod ? 0 : -ENOMEM;
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
	free(f->told.host_pod);
	free(f->node);
	roots_free(&f->roots);
	free(f);
}

const struct roots *finder_roots(const struct target_finder *f)
{
	return &f->roots;
}

static int discover(struct round *r)
{
	int err = scan_processes(r);

	if (err)
		return err;
	err = scan_mounts(r);
	if (!err) {
		err = host_find(r);
		if (err)
			return err;
	}
	if (!err)
		err = select_namespaces(r);
	if (!err)
		err = owners_find(r);
	if (!err)
		err = sidecar_name(r);
	if (!err)
		err = labels_set(r);
	if (!err)
		err = select_processes(r);
	if (err)
		msg_error("targets: %s", strerror(-err));
	return err;
}

/* The processes that count: all of them, or those a selector of processes chose. */
static int pids_set(struct round *r, const struct group *g, struct target *t)
{
	pid_t *pids = arena_alloc(&r->arena, (g->nprocs + 1) * sizeof(*pids));

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

static int target_set(const struct target_finder *f, struct round *r, const struct group *g, struct target *t)
{
	*t = (struct target){
		.node = f->node, .namespace = g->namespace, .pod = g->label,
		.netns = g->netns, .key = g->key, .mount = g->mount, .source = g->source,
		.host = g == r->host, .selected = g->whole || g->part, .roots = &f->roots,
	};
	if (g == r->own && !g->nprocs && !g->mount)
		t->mount = "/proc/self/ns/net";
	if (g != r->host) {
		t->container = container_of(g);
		t->uid = g->pod ? g->pod->uid : NULL;
	}
	return pids_set(r, g, t);
}

static int target_cmp(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int order = strcmp(x->namespace, y->namespace);

	return order ? order : strcmp(x->pod, y->pod);
}

static int targets_fill(const struct target_finder *f, struct round *r, struct targets *ts)
{
	ts->v = calloc(r->ngroups + 1, sizeof(*ts->v));
	ts->missing = calloc(r->opt->nselectors + 1, sizeof(*ts->missing));
	if (!ts->v || !ts->missing)
		return -ENOMEM;
	for (const struct group *g = r->groups; g; g = g->next) {
		/* Its processes ended between two looks at them. */
		if (!g->nprocs && !g->mount && g != r->own)
			continue;
		if (target_set(f, r, g, &ts->v[ts->n]))
			return -ENOMEM;
		ts->n++;
	}
	qsort(ts->v, ts->n, sizeof(*ts->v), target_cmp);
	for (size_t i = 0; i < ts->n; i++) {
		if (ts->v[i].host)
			ts->host = &ts->v[i];
		if (r->own && ts->v[i].netns == r->own->netns)
			ts->own = &ts->v[i];
	}
	for (size_t i = 0; i < r->opt->nselectors; i++)
		if (r->missing[i])
			ts->missing[ts->nmissing++] = (char *)r->missing[i];
	ts->npids = r->nprocs + r->refused;
	ts->refused = r->refused;
	ts->hidepid = r->hidepid;
	ts->hidden = r->hidden;
	return 0;
}

/* What a missing privilege kept from being seen, once a run; of selectors that found nothing the caller speaks. */
static void tell_denied(const struct target_finder *f, struct round *r, const struct targets *ts)
{
	bool unnamed = false;

	if (ts->nmissing || r->told->denied)
		return;
	for (const struct group *g = r->groups; g; g = g->next)
		unnamed |= g != r->host && g->pod && !g->pod->name;
	if (r->hidepid)
		msg_warn("%s is mounted with hidepid: other processes cannot be seen", f->roots.procfs);
	else if (r->refused)
		msg_warn("%zu processes skipped: need CAP_SYS_PTRACE", r->refused);
	if (unnamed && pods_denied(r->pods))
		msg_warn("pods without a name: %s cannot be read, need CAP_DAC_READ_SEARCH", f->roots.pod_logs);
	r->told->denied = r->hidepid || r->refused || (unnamed && pods_denied(r->pods));
}

static int round_make(struct target_finder *f, struct round *r, struct targets *ts)
{
	int err = discover(r);

	if (err)
		return err;
	err = targets_fill(f, r, ts);
	if (err)
		msg_error("targets: %s", strerror(-err));
	else
		tell_denied(f, r, ts);
	return err;
}

int targets_load(struct target_finder *f, struct targets **result)
{
	struct targets *ts = calloc(1, sizeof(*ts));
	struct arena *arena = calloc(1, sizeof(*arena));
	struct round r = { .opt = f->opt, .roots = &f->roots, .pods = f->pods, .told = &f->told };
	int err = ts && arena ? 0 : -ENOMEM;

	r.by_netns.arena = r.by_key.arena = r.memberships.arena = &r.arena;
	r.pod_of_uid.arena = r.pod_of_container.arena = &r.arena;
	r.procfd = open(*f->roots.procfs ? f->roots.procfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!err && r.procfd < 0)
		err = -errno;
	pods_round(f->pods);
	if (err)
		msg_error("%s: %s", f->roots.procfs, strerror(-err));
	else
		err = round_make(f, &r, ts);
	if (r.procfd >= 0)
		close(r.procfd);
	free(r.procs);
	if (arena)
		*arena = r.arena;
	if (ts)
		ts->private = arena;
	if (err)
		targets_free(ts);
	else
		*result = ts;
	return err;
}

void targets_free(struct targets *ts)
{
	if (!ts)
		return;
	for (size_t i = 0; i < ts->n; i++)
		proc_cache_free(ts->v[i].cache);
	if (ts->private)
		arena_free(ts->private);
	free(ts->private);
	free(ts->missing);
	free(ts->v);
	free(ts);
}

const struct target *target_by_netns(const struct targets *ts, uint64_t netns)
{
	for (size_t i = 0; netns && i < ts->n; i++)
		if (ts->v[i].netns == netns)
			return &ts->v[i];
	return NULL;
}
