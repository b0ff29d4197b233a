// SPDX-License-Identifier: GPL-2.0-or-later
/* The flows of a round: read from the kernel half, compared with the round before, put in order. */
#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "libcommon/array.h"
#include "libcommon/bpf.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

int flows_add(struct flows *fs, const struct flow *f)
{
	if (array_grow(&fs->v, &fs->size, fs->n + 1))
		return -ENOMEM;
	fs->v[fs->n++] = *f;
	return 0;
}

static int take(const void *key, const void *value, size_t copies, void *arg)
{
	const struct flow_count *n = value;
	struct flow f = { .n = { 0 } };

	memcpy(&f.key, key, sizeof(f.key));
	for (size_t i = 0; i < copies; i++) {
		f.n.bytes += n[i].bytes;
		f.n.packets += n[i].packets;
	}
	return flows_add(arg, &f);
}

int flows_read(struct flows *fs, struct bpf_run *r)
{
	fs->n = 0;
	return bpf_run_map_each(r, "flows", take, fs);
}

bool flow_rests(struct bpf_run *r, const struct flow *f)
{
	int cpus = libbpf_num_possible_cpus();
	auto_free struct flow_count *n = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*n));
	uint64_t packets = 0;

	if (!n || bpf_map_lookup_elem(bpf_run_map(r, "flows"), &f->key, n))
		return false;
	for (int i = 0; i < cpus; i++)
		packets += n[i].packets;
	return packets == f->n.packets;
}

/* ---- order ---- */

/* By namespace, pod, device, then who sends to whom. */
static int by_series(const void *a, const void *b)
{
	const struct flow *x = a, *y = b;
	int c = 0;

	if (x->owner != y->owner) {
		c = strcmp(x->owner->namespace, y->owner->namespace);
		if (!c)
			c = strcmp(x->owner->pod, y->owner->pod);
	}
	if (!c && x->device != y->device)
		c = strcmp(x->device, y->device);
	if (!c)
		c = memcmp(&x->key.tuple, &y->key.tuple, sizeof(x->key.tuple));
	return c ? c : (x->key.known > y->key.known) - (x->key.known < y->key.known);
}

static int by_rank(const void *a, const void *b)
{
	const struct flow *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? 1 : -1;
	if (x->n.bytes != y->n.bytes)
		return x->n.bytes < y->n.bytes ? 1 : -1;
	return by_series(a, b);
}

void flows_merge(struct flows *fs)
{
	size_t n = 0;

	if (fs->n)
		qsort(fs->v, fs->n, sizeof(*fs->v), by_series);
	for (size_t i = 0; i < fs->n; i++) {
		struct flow *last = n ? &fs->v[n - 1] : NULL;

		if (!last || by_series(last, &fs->v[i])) {
			fs->v[n++] = fs->v[i];
			continue;
		}
		last->n.bytes += fs->v[i].n.bytes;
		last->n.packets += fs->v[i].n.packets;
		last->grown.bytes += fs->v[i].grown.bytes;
		last->grown.packets += fs->v[i].grown.packets;
	}
	fs->n = n;
}

void flows_rank(struct flows *fs)
{
	if (fs->n)
		qsort(fs->v, fs->n, sizeof(*fs->v), by_rank);
}

/* ---- the round before ---- */

struct seen {
	struct flow_count n;
	uint64_t changed;
};

void history_compare(const struct history *h, struct flow *f, uint64_t now)
{
	const struct seen *was = dict_get(&h->seen, &f->key, sizeof(f->key));

	f->grown = f->n;
	f->changed = now;
	/* With fewer packets than before it gave way to others and began anew. */
	if (!was || f->n.packets < was->n.packets)
		return;
	f->grown.bytes -= was->n.bytes;
	f->grown.packets -= was->n.packets;
	if (!f->grown.packets)
		f->changed = was->changed;
}

int history_keep(struct history *h, const struct flow *f)
{
	struct seen *seen = arena_alloc(&h->arena, sizeof(*seen));
	void **slot;

	h->seen.arena = &h->arena;
	slot = seen ? dict_at(&h->seen, &f->key, sizeof(f->key)) : NULL;
	if (!slot)
		return -ENOMEM;
	*seen = (struct seen){ f->n, f->changed };
	*slot = seen;
	return 0;
}

void history_drop(struct history *h, const struct flow *f)
{
	struct seen *seen = dict_get(&h->seen, &f->key, sizeof(f->key));

	if (seen)
		*seen = (struct seen){ .n = { UINT64_MAX, UINT64_MAX } };
}
