// SPDX-License-Identifier: GPL-2.0-or-later
/* What a network namespace is called: by its pod, else by what else is known of it; no two the same. */
#include "discover.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define HOST_NETWORK "hostNetwork"

/* No name of Kubernetes' is a lone dash, or has a colon or a capital: none of ours can be taken for one. */
#define NO_NAMESPACE "-"

/* `netns:<inode>`, or the lowest pid where the number is not to be seen. */
static char *number_label(struct round *r, const struct group *g)
{
	if (g->netns || !g->nprocs)
		return arena_printf(&r->arena, "netns:%" PRIu64, g->netns);
	return arena_printf(&r->arena, "netns:pid-%d", (int)g->procs[0].pid);
}

static const char *first_container(const struct group *g)
{
	for (size_t i = 0; i < g->nprocs; i++)
		if (g->procs[i].in->container && !g->procs[i].in->monitor)
			return g->procs[i].in->container;
	return NULL;
}

static void label_fallback(struct round *r, struct group *g)
{
	/* One with pods' processes in it that is no pod's goes by the name it was made under. */
	const char *container = g->orphan ? NULL : first_container(g);

	g->namespace = NO_NAMESPACE;
	if (container) {
		g->label = arena_printf(&r->arena, "container:%.12s", container);
		g->source = "container ID";
	} else if (g->mount_name) {
		g->label = arena_printf(&r->arena, "netns:%s", g->mount_name);
		g->source = "mount name";
	} else {
		g->label = number_label(r, g);
		g->source = g->netns ? "inode number" : "lowest pid";
	}
}

static void label_pod(struct round *r, struct group *g)
{
	const struct pod *pod = g->pod;

	g->namespace = pod->namespace ? pod->namespace : NO_NAMESPACE;
	g->label = pod->name ? pod->name : arena_printf(&r->arena, "uid:%s", pod->uid);
	g->source = pod->source;
	if (g->nested) {
		const char *number = number_label(r, g);

		g->label = g->label && number ? arena_printf(&r->arena, "%s:%s", g->label, number) : NULL;
	}
}

static void label(struct round *r, struct group *g)
{
	if (g == r->host) {
		g->namespace = g->label = HOST_NETWORK;
		g->source = r->host_source;
	} else if (g->pod) {
		label_pod(r, g);
	} else {
		label_fallback(r, g);
	}
}

/* The second namespace of the same name (a pod that was replaced and still ends, say) gets its number appended. */
static int make_unique(struct round *r, struct dict *used, struct group *g)
{
	for (int again = 0; again < 2; again++) {
		const char *key = arena_printf(&r->arena, "%s/%s", g->namespace, g->label);
		const char *number = number_label(r, g);
		void **slot = key && number ? dict_at(used, key, strlen(key)) : NULL;

		if (!slot)
			return -ENOMEM;
		if (!*slot) {
			*slot = g;
			return 0;
		}
		g->label = arena_printf(&r->arena, "%s:%s", g->label, number);
		if (!g->label)
			return -ENOMEM;
	}
	return 0;
}

int labels_set(struct round *r)
{
	struct dict used = { .arena = &r->arena };

	for (struct group *g = r->groups; g; g = g->next) {
		label(r, g);
		if (!g->label)
			return -ENOMEM;
	}
	for (struct group *g = r->groups; g; g = g->next) {
		int err = make_unique(r, &used, g);

		if (err)
			return err;
	}
	return 0;
}
