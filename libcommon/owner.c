// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which pod a network namespace belongs to. Processes of other pods enter it, pods make further
 * ones inside, so a namespace is only that pod's whose oldest process lives there.
 */
#include "discover.h"

#include <errno.h>
#include <string.h>

#include "pod.h"
#include "util.h"

/* Containers of a namespace whose mounts are searched for a pod UID, where no cgroup has one. */
#define MOUNTINFO_TRIES 16

static int pod_take_name(struct discovery *d, struct pod *pod, const struct pod_name *name)
{
	pod->namespace = arena_str(&d->arena, name->namespace, strlen(name->namespace));
	pod->name = arena_str(&d->arena, name->pod, strlen(name->pod));
	pod->source = name->source;
	return pod->namespace && pod->name ? 0 : -ENOMEM;
}

/* The pod with this UID, with its name if the kubelet's log directory has it. */
static int pod_by_its_uid(struct discovery *d, const char *uid, struct pod **pod)
{
	void **slot = dict_at(&d->pod_of_uid, uid, strlen(uid));
	struct pod_name name;

	*pod = slot ? *slot : NULL;
	if (!slot || *pod)
		return slot ? 0 : -ENOMEM;
	*slot = *pod = arena_alloc(&d->arena, sizeof(**pod));
	if (!*pod)
		return -ENOMEM;
	(*pod)->uid = arena_str(&d->arena, uid, strlen(uid));
	(*pod)->source = "pod UID";
	if (!(*pod)->uid)
		return -ENOMEM;
	return pod_by_uid(d->pods, uid, &name) ? pod_take_name(d, *pod, &name) : 0;
}

/* What is on disk about a container, asked once a round; *name is NULL where nothing is. */
static int container_name(struct discovery *d, const char *id, const struct pod_name **name)
{
	static const struct pod_name nothing;
	void **slot = dict_at(&d->pod_of_container, id, strlen(id));
	struct pod_name found, *copy;

	if (!slot)
		return -ENOMEM;
	if (!*slot) {
		*slot = (void *)&nothing;
		if (pod_by_container(d->pods, id, &found)) {
			*slot = copy = arena_alloc(&d->arena, sizeof(found));
			if (!copy)
				return -ENOMEM;
			*copy = found;
		}
	}
	*name = *slot == &nothing ? NULL : *slot;
	return 0;
}

/* A pod whose UID its cgroup does not tell, by one of its containers. */
static int pod_by_its_container(struct discovery *d, const char *id, struct pod **pod)
{
	const struct pod_name *name;
	auto_free char *key = NULL;
	void **slot;
	int err = container_name(d, id, &name);

	*pod = NULL;
	if (err || !name)
		return err;
	if (*name->uid) {
		err = pod_by_its_uid(d, name->uid, pod);
		return err || (*pod)->name ? err : pod_take_name(d, *pod, name);
	}
	/* A slash is in no UID. */
	if (asprintf(&key, "%s/%s", name->namespace, name->pod) < 0)
		return -ENOMEM;
	slot = dict_at(&d->pod_of_uid, key, strlen(key));
	if (!slot)
		return -ENOMEM;
	if (!*slot) {
		*slot = arena_alloc(&d->arena, sizeof(**pod));
		err = *slot ? pod_take_name(d, *slot, name) : -ENOMEM;
	}
	*pod = *slot;
	return err;
}

/* The pod of one level of the path; the level's container may name it where the UID does not. */
static int pod_of_level(struct discovery *d, const struct cgroup_pod *level, struct pod **pod)
{
	const struct pod_name *name = NULL;
	int err = pod_by_its_uid(d, level->uid, pod);

	if (err || (*pod)->name || !*level->container)
		return err;
	err = container_name(d, level->container, &name);
	if (err || !name || (*name->uid && strcmp(name->uid, level->uid)))
		return err;
	return pod_take_name(d, *pod, name);
}

/*
 * Outermost first, and the first that something on disk names: a container with a cgroup subtree of
 * its own can call levels of it as it likes, and of nested clusters only one is this root's.
 */
static int member_of_pod(struct discovery *d, const struct cgroup *cg, struct membership *m,
			 const char **container)
{
	const struct cgroup_pod *level = cg->pods;
	struct pod *pod;

	for (size_t i = 0; i < cg->npods; i++) {
		int err = pod_of_level(d, &cg->pods[i], &pod);

		if (err)
			return err;
		if (!i)
			m->pod = pod;
		if (pod->name) {
			m->pod = pod;
			level = &cg->pods[i];
			break;
		}
	}
	m->by_uid = true;
	m->monitor = level->monitor;
	*container = level->container;
	return 0;
}

static int member(struct discovery *d, const struct cgroup *cg, struct membership *m)
{
	const char *container = cg->container;
	int err = 0;

	m->sibling = cg->sibling;
	m->monitor = cg->monitor;
	if (cg->npods)
		err = member_of_pod(d, cg, m, &container);
	else if (*container)
		err = pod_by_its_container(d, container, &m->pod);
	if (err || !*container)
		return err;
	m->container = arena_str(&d->arena, container, strlen(container));
	return m->container ? 0 : -ENOMEM;
}

const struct membership *membership_get(struct discovery *d, const char *text, size_t len)
{
	void **slot = dict_at(&d->memberships, text, len);
	struct membership *m;
	struct cgroup cg;

	if (!slot || *slot)
		return slot ? *slot : NULL;
	m = arena_alloc(&d->arena, sizeof(*m));
	if (!m)
		return NULL;
	cgroup_parse(text, &cg);
	if (member(d, &cg, m))
		return NULL;
	return *slot = m;
}

/* A pod UID from the mounts of this process, for all that share its cgroup. */
static int pod_by_mounts(struct discovery *d, struct group *g, const struct proc *p,
			 struct buf *text)
{
	char uid[POD_UID_MAX + 1];
	struct pod *pod;
	int err;

	if (!proc_text(d, p->pid, "mountinfo", text) || !mountinfo_uid(text->data, uid))
		return 0;
	err = pod_by_its_uid(d, uid, &pod);
	for (size_t i = 0; !err && i < g->nprocs; i++)
		if (g->procs[i].in == p->in)
			g->procs[i].pod = pod;
	return err;
}

/* A pause process has no mounts of the kubelet's, so one process of each container is asked. */
static int pods_by_mounts(struct discovery *d, struct group *g)
{
	const struct membership *asked[MOUNTINFO_TRIES];
	struct buf text = { 0 };
	size_t n = 0, k;
	int err = 0;

	for (size_t i = 0; !err && i < g->nprocs && n < MOUNTINFO_TRIES; i++) {
		const struct proc *p = &g->procs[i];

		for (k = 0; k < n && asked[k] != p->in; k++)
			;
		if (k < n || p->in->monitor)
			continue;
		asked[n++] = p->in;
		err = pod_by_mounts(d, g, p, &text);
	}
	buf_free(&text);
	return err;
}

/*
 * Says of each process which pod it counts for: where the cgroup of one tells a pod's UID, the
 * others do not.
 */
static int pods_of_group(struct discovery *d, struct group *g)
{
	bool by_uid = false, any = false;

	for (size_t i = 0; i < g->nprocs; i++)
		by_uid |= g->procs[i].in->by_uid && !g->procs[i].in->monitor;
	for (size_t i = 0; i < g->nprocs; i++) {
		struct proc *p = &g->procs[i];

		if (!p->in->monitor && (p->in->by_uid || !by_uid || g == d->host))
			p->pod = p->in->pod;
		any |= p->pod != NULL;
	}
	return any || g == d->host ? 0 : pods_by_mounts(d, g);
}

static void pods_count(struct discovery *d)
{
	for (size_t i = 0; i < d->nprocs; i++) {
		struct pod *pod = d->procs[i].pod;

		if (!pod || pod->seen == d->procs[i].group)
			continue;
		pod->seen = d->procs[i].group;
		pod->ngroups++;
		pod->seen->npods++;
	}
}

static uint64_t start_of(const struct discovery *d, pid_t pid, struct buf *text)
{
	uint64_t start;

	/* A pid that is used again by now started later, so it is never taken for the oldest. */
	if (!proc_text(d, pid, "stat", text) || !stat_start(text->data, &start))
		return UINT64_MAX;
	return start;
}

static bool is_older(uint64_t start, pid_t pid, uint64_t than_start, pid_t than_pid)
{
	return start < than_start || (start == than_start && pid < than_pid);
}

/*
 * The home of each pod; start times are read only for pods in several namespaces, and those they
 * share one with.
 */
static void homes_find(struct discovery *d)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < d->nprocs; i++) {
		struct pod *pod = d->procs[i].pod;

		if (pod && (pod->ngroups > 1 ||
			    (d->procs[i].group->npods > 1 && d->procs[i].group != d->host)))
			pod->contested = true;
	}
	for (size_t i = 0; i < d->nprocs; i++) {
		struct proc *p = &d->procs[i];

		if (!p->pod)
			continue;
		if (p->pod->contested)
			p->start = start_of(d, p->pid, &text);
		if (p->pod->home && !is_older(p->start, p->pid, p->pod->start, p->pod->pid))
			continue;
		p->pod->home = p->group;
		p->pod->start = p->start;
		p->pod->pid = p->pid;
	}
	buf_free(&text);
}

static void owner_set(struct group *g)
{
	const struct proc *oldest = NULL;

	for (size_t i = 0; i < g->nprocs; i++) {
		const struct proc *p = &g->procs[i];

		if (!p->pod)
			continue;
		if (!oldest || is_older(p->start, p->pid, oldest->start, oldest->pid))
			oldest = p;
		if (p->pod->home == g &&
		    (!g->pod || is_older(p->pod->start, p->pod->pid, g->pod->start, g->pod->pid)))
			g->pod = p->pod;
	}
	g->orphan = oldest && !g->pod;
	/*
	 * What a pod made inside itself; one with a name of its own is rather the work of a CNI or
	 * an administrator.
	 */
	g->nested = g->orphan && !g->mount && !g->mount_name;
	if (g->nested)
		g->pod = oldest->pod;
}

int owners_find(struct discovery *d)
{
	for (struct group *g = d->groups; g; g = g->next) {
		int err = pods_of_group(d, g);

		if (err)
			return err;
	}
	pods_count(d);
	homes_find(d);
	for (struct group *g = d->groups; g; g = g->next)
		if (g != d->host)
			owner_set(g);
	return 0;
}
