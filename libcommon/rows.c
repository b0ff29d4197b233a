// SPDX-License-Identifier: GPL-2.0-or-later
/* The rows of a round: a hash table over targets and labels. */
#include "rows.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "target.h"

static const char *copy_text(struct rows *r, const char *str)
{
	return arena_str(&r->arena, str, strlen(str));
}

/* FNV-1a, the terminator included so that "a","bc" is not "ab","c". */
static uint64_t hash_text(uint64_t hash, const char *str)
{
	do
		hash = (hash ^ (unsigned char)*str) * 0x100000001b3ULL;
	while (*str++);
	return hash;
}

const struct identity *rows_identity(struct rows *r, const struct target *t)
{
	struct identity *id = arena_alloc(&r->arena, sizeof(*id));

	if (!id)
		return NULL;
	id->node = copy_text(r, t->node);
	id->namespace = copy_text(r, t->namespace);
	id->pod = copy_text(r, t->pod);
	if (!id->node || !id->namespace || !id->pod)
		return NULL;
	id->netns = t->netns;
	id->hash = hash_text(hash_text(0xcbf29ce484222325ULL, t->namespace), t->pod);
	return id;
}

uint64_t rows_hash(const struct identity *id, const struct label *labels)
{
	uint64_t hash = id->hash;

	for (; labels->name; labels++)
		hash = hash_text(hash_text(hash, labels->name), labels->value);
	return hash;
}

static bool same_labels(const struct label *a, const struct label *b)
{
	for (; a->name && b->name; a++, b++)
		if (strcmp(a->name, b->name) || strcmp(a->value, b->value))
			return false;
	return !a->name && !b->name;
}

static bool same_target(const struct identity *a, const struct identity *b)
{
	return a == b || (!strcmp(a->pod, b->pod) && !strcmp(a->namespace, b->namespace) &&
			  !strcmp(a->node, b->node));
}

uint32_t rows_find(const struct rows *r, uint64_t hash, const struct identity *id,
		   const struct label *labels)
{
	size_t mask = r->nslots - 1;

	if (!r->n)
		return NO_ROW;
	for (size_t i = hash & mask; r->slots[i] != NO_ROW; i = (i + 1) & mask) {
		const struct rows_entry *e = &r->v[r->slots[i]];

		if (e->hash == hash && same_target(e->id, id) && same_labels(e->row.labels, labels))
			return r->slots[i];
	}
	return NO_ROW;
}

static void link_entry(struct rows *r, uint32_t entry)
{
	size_t i = r->v[entry].hash & (r->nslots - 1);

	while (r->slots[i] != NO_ROW)
		i = (i + 1) & (r->nslots - 1);
	r->slots[i] = entry;
}

/* Room for one more entry in the table. */
static int rehash(struct rows *r)
{
	size_t want = r->nslots ? r->nslots * 2 : 256;
	uint32_t *slots;

	if ((r->n + 1) * 2 <= r->nslots)
		return 0;
	slots = reallocarray(r->slots, want, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots, 0xff, want * sizeof(*slots));
	r->slots = slots;
	r->nslots = want;
	for (uint32_t i = 0; i < r->n; i++)
		link_entry(r, i);
	return 0;
}

static const struct label *copy_labels(struct rows *r, const struct label *labels)
{
	size_t n = 0;
	struct label *copy;

	while (labels[n].name)
		n++;
	copy = arena_alloc(&r->arena, (n + 1) * sizeof(*copy));
	if (!copy)
		return NULL;
	copy[n] = (struct label){ 0 };
	while (n--) {
		copy[n].name = copy_text(r, labels[n].name);
		copy[n].value = copy_text(r, labels[n].value);
		if (!copy[n].name || !copy[n].value)
			return NULL;
	}
	return copy;
}

uint32_t rows_add(struct rows *r, uint64_t hash, const struct target *t, const struct identity *id,
		  const struct label *labels)
{
	const struct label *copy = copy_labels(r, labels);
	uint32_t n = (uint32_t)r->n;

	if (!copy || n == NO_ROW || rehash(r) || array_grow(&r->v, &r->size, r->n + 1))
		return NO_ROW;
	r->v[n] = (struct rows_entry){ { t, copy }, id, hash, 0 };
	r->n++;
	link_entry(r, n);
	return n;
}

static int compare(const void *a, const void *b)
{
	const struct rows_entry *x = *(struct rows_entry *const *)a;
	const struct rows_entry *y = *(struct rows_entry *const *)b;
	int c = 0;

	if (x->id != y->id) {
		c = strcmp(x->id->namespace, y->id->namespace);
		if (!c)
			c = strcmp(x->id->pod, y->id->pod);
		if (!c)
			c = strcmp(x->id->node, y->id->node);
	}
	return c ? c : (x > y) - (x < y);
}

int rows_rank(struct rows *r, struct out_row *to)
{
	struct rows_entry **order = calloc(r->n + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++)
		order[i] = &r->v[i];
	if (!r->in_order)
		qsort(order, r->n, sizeof(*order), compare);
	for (uint32_t i = 0; i < r->n; i++) {
		order[i]->rank = i;
		to[i] = order[i]->row;
	}
	free(order);
	return 0;
}

void rows_reset(struct rows *r)
{
	arena_free(&r->arena);
	r->n = 0;
	r->in_order = false;
	if (r->slots)
		memset(r->slots, 0xff, r->nslots * sizeof(*r->slots));
}

void rows_free(struct rows *r)
{
	rows_reset(r);
	free(r->v);
	free(r->slots);
	*r = (struct rows){ 0 };
}
