// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that is released all at once, and a table of names kept in it. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE ((size_t)32 << 10)
#define ALIGNMENT 16

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(ALIGNMENT) char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c = a->chunks;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		c = calloc(1, sizeof(*c) + room);
		if (!c)
			return NULL;
		c->size = room;
		c->next = a->chunks;
		a->chunks = c;
	}
	c->used += size;
	return c->data + c->used - size;
}

char *arena_str(struct arena *a, const char *str, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (copy)
		memcpy(copy, str, len);
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

void arena_free(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
}

struct dict_entry {
	struct dict_entry *next;
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
};

/* FNV-1a */
static uint64_t hash_of(const void *key, size_t len)
{
	const unsigned char *p = key;
	uint64_t hash = 0xcbf29ce484222325;

	while (len--)
		hash = (hash ^ *p++) * 0x100000001b3;
	return hash ^ hash >> 32;
}

static struct dict_entry *find(const struct dict *d, uint64_t hash, const void *key, size_t len)
{
	struct dict_entry *e = d->nslots ? d->slots[hash & (d->nslots - 1)] : NULL;

	while (e && (e->hash != hash || e->len != len || memcmp(e->key, key, len)))
		e = e->next;
	return e;
}

static int grow(struct dict *d)
{
	size_t nslots = d->nslots ? d->nslots * 2 : 64;
	struct dict_entry **slots = arena_alloc(d->arena, nslots * sizeof(*slots));

	if (!slots)
		return -1;
	for (size_t i = 0; i < d->nslots; i++) {
		struct dict_entry *e, *next;

		for (e = d->slots[i]; e; e = next) {
			next = e->next;
			e->next = slots[e->hash & (nslots - 1)];
			slots[e->hash & (nslots - 1)] = e;
		}
	}
	d->slots = slots;
	d->nslots = nslots;
	return 0;
}

void **dict_at(struct dict *d, const void *key, size_t len)
{
	uint64_t hash = hash_of(key, len);
	struct dict_entry *e = find(d, hash, key, len), **slot;

	if (e)
		return &e->value;
	if (d->n >= d->nslots && grow(d))
		return NULL;
	e = arena_alloc(d->arena, sizeof(*e) + len);
	if (!e)
		return NULL;
	e->hash = hash;
	e->len = len;
	memcpy(e->key, key, len);
	slot = &d->slots[hash & (d->nslots - 1)];
	e->next = *slot;
	*slot = e;
	d->n++;
	return &e->value;
}

void *dict_get(const struct dict *d, const void *key, size_t len)
{
	struct dict_entry *e = find(d, hash_of(key, len), key, len);

	return e ? e->value : NULL;
}
