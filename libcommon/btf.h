/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's type information, read just far enough to answer by name. libbpf's reader answers the same questions but
 * makes an index of all types first, which takes longer than all the rest of a probe's start.
 */
#ifndef SKOOP_BTF_H
#define SKOOP_BTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/btf.h>

struct types {
	char *data;
	size_t size;
	const char *types, *types_end;
	const char *strings;
	size_t strings_len;
};

/* Reads a file of BTF. 0 or -errno, -EBADMSG: it is none of this machine's byte order. */
int types_read(struct types *t, const char *path);
void types_free(struct types *t);

/* The first type of that kind (BTF_KIND_*) and name; NULL: none. */
const struct btf_type *types_find(const struct types *t, unsigned int kind, const char *name);
/* The type with that number; NULL: there is none. */
const struct btf_type *types_get(const struct types *t, uint32_t id);
/* The string at that offset; "" where it is outside. */
const char *types_string(const struct types *t, uint32_t offset);

#endif
