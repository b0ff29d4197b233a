// SPDX-License-Identifier: GPL-2.0-or-later
/* Counting TCP sockets by what they have in common. */
#include "tcpgroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The place of a key, its own or a free one: half of the table is free. */
static struct tcp_group *group_place(struct tcp_group *v, size_t places, const struct tcp_key *key)
{
	const unsigned char *bytes = (const unsigned char *)key;
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	size_t i;

	for (i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	/* The low bits of the hash lack what the last bytes say in theirs. */
	i = (hash ^ hash >> 32) & (places - 1);
	while (v[i].sockets && memcmp(&v[i].key, key, sizeof(*key)))
		i = (i + 1) & (places - 1);
	return &v[i];
}

static int groups_grow(struct tcp_groups *gs)
{
	size_t places = gs->places ? 2 * gs->places : 64;
	struct tcp_group *v = calloc(places, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < gs->places; i++)
		if (gs->v[i].sockets)
			*group_place(v, places, &gs->v[i].key) = gs->v[i];
	free(gs->v);
	gs->v = v;
	gs->places = places;
	return 0;
}

int tcp_groups_add(struct tcp_groups *gs, const struct tcp_key *key)
{
	struct tcp_group *g;

	if (gs->n >= gs->places / 2 && groups_grow(gs))
		return -ENOMEM;
	g = group_place(gs->v, gs->places, key);
	if (!g->sockets++) {
		g->key = *key;
		gs->n++;
	}
	return 0;
}

/* Free places come last, being the smallest. */
static int group_order(const void *va, const void *vb)
{
	const struct tcp_group *a = va, *b = vb;

	if (a->sockets != b->sockets)
		return a->sockets < b->sockets ? 1 : -1;
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

void tcp_groups_sort(struct tcp_groups *gs)
{
	if (gs->n)
		qsort(gs->v, gs->places, sizeof(*gs->v), group_order);
}

void tcp_groups_free(struct tcp_groups *gs)
{
	free(gs->v);
	*gs = (struct tcp_groups){ 0 };
}
