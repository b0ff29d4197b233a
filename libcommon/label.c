// SPDX-License-Identifier: GPL-2.0-or-later
/* What a network namespace is called: by its pod or what else is known of it; no two alike. */
#include "discover.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define HOST_NETWORK "hostNetwork"

/* Kubernetes' names have no colon and no capital, and are no dash: ours cannot be one. */
#define NO_NAMESPACE "-"

/* `netns:<inode>`, or the lowest pid where the number is not to be seen. */
static char *number_label(struct discovery *d, const struct group *g)
{
	if (g->netns || !g->nprocs)
		return arena_printf(&d->arena, "netns:%" PRIu64, g->netns);
	return arena_printf(&d->arena, "netns:pid-%d", (int)g->procs[0].pid);
}

static const char *first_container(const struct group *g)
{
	for (size_t i = 0; i < g->nprocs; i++)
		if (g->procs[i].in->container && !g->procs[i].in->monitor)
			return g->procs[i].in->container;
	return NULL;
}

static void label_fallback(struct discovery *d, struct group *g)
{
	/* One with pods' processes in it that is no pod's goes by the name it was made under. */
	const char *container = g->orphan ? NULL : first_container(g);

	g->namespace = NO_NAMESPACE;
	if (container) {
		g->label = arena_printf(&d->arena, "container:%.12s", container);
		g->source = "container ID";
	} else if (g->mount_name) {
		g->label = arena_printf(&d->arena, "netns:%s", g->mount_name);
		g->source = "mount name";
	} else {
		g->label = number_label(d, g);
		g->source = g->netns ? "inode number" : "lowest pid";
	}
}

static void label_pod(struct discovery *d, struct group *g)
{
	const struct pod *pod = g->pod;

	g->namespace = pod->namespace ? pod->namespace : NO_NAMESPACE;
	g->label = pod->name ? pod->name : arena_printf(&d->arena, "uid:%s", pod->uid);
	g->source = pod->source;
	if (g->nested) {
		const char *number = number_label(d, g);

		g->label = g->label && number ? arena_printf(&d->arena, "%s:%s", g->label, number)
					      : NULL;
	}
}

static void label(struct discovery *d, struct group *g)
{
	if (g == d->host) {
		g->namespace = g->label = HOST_NETWORK;
		g->source = d->host_source;
	} else if (g->pod) {
		label_pod(d, g);
	} else {
		label_fallback(d, g);
	}
}

/*
 * The second namespace of the same name (a pod that was replaced and still ends, say) gets its
 * number appended.
 */
static int make_unique(struct discovery *d, struct dict *used, struct group *g)
{
	for (int again = 0; again < 2; again++) {
		const char *key = arena_printf(&d->arena, "%s/%s", g->namespace, g->label);
		const char *number = number_label(d, g);
		void **slot = key && number ? dict_at(used, key, strlen(key)) : NULL;

		if (!slot)
			return -ENOMEM;
		if (!*slot) {
			*slot = g;
			return 0;
		}
		g->label = arena_printf(&d->arena, "%s:%s", g->label, number);
		if (!g->label)
			return -ENOMEM;
	}
	return 0;
}

int labels_set(struct discovery *d)
{
	struct dict used = { .arena = &d->arena };

	for (struct group *g = d->groups; g; g = g->next) {
		label(d, g);
		if (!g->label)
			return -ENOMEM;
	}
	for (struct group *g = d->groups; g; g = g->next) {
		int err = make_unique(d, &used, g);

		if (err)
			return err;
	}
	return 0;
}
