/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is released all at once, and a table of names kept in it. */
#ifndef SKOOP_ARENA_H
#define SKOOP_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_chunk *chunks;
};

/* `size` zeroed bytes, aligned for anything; NULL: out of memory. */
void *arena_alloc(struct arena *a, size_t size);
/* The first `len` bytes of str as a string. */
char *arena_str(struct arena *a, const char *str, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *a);

/* From keys (any bytes) to pointers. { .arena = … } is an empty one. */
struct dict {
	struct arena *arena;
	struct dict_entry **slots;
	size_t nslots, n;
};

/* Where the value of this key stands, NULL at first; the key is copied. NULL: out of memory. */
void **dict_at(struct dict *d, const void *key, size_t len);
/* The value of this key, NULL: none. */
void *dict_get(const struct dict *d, const void *key, size_t len);

#endif
