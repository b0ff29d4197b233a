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
	char *data; /* what types_read() holds, or */
	void *map;  /* has mapped; NULL: neither */
	size_t map_size;
	const char *types, *types_end;
	const char *strings;
	size_t strings_len;
	uint32_t n;      /* how many can be stepped through */
	uint32_t *marks; /* where every TYPES_STEP-th lies, from types on */
	/* What a module's are numbered behind: the kernel's own; NULL: they begin with themselves. */
	const struct types *base;
};
#define TYPES_STEP 64

/* Reads a file of BTF. 0 or -errno, -EBADMSG: it is none of this machine's byte order. */
int types_read(struct types *t, const char *path);
/* The same of bytes that stay the caller's and must outlive it. */
int types_parse(struct types *t, const char *data, size_t size);
/* A module's file; base: the kernel's own types, which must outlive it. */
int types_read_module(struct types *t, const char *path, const struct types *base);
void types_free(struct types *t);

/* The number of the first type of that kind (BTF_KIND_*) and name; 0: none. */
uint32_t types_find_id(const struct types *t, unsigned int kind, const char *name);
/* That type; NULL: none. */
const struct btf_type *types_find(const struct types *t, unsigned int kind, const char *name);
/* The type with that number; NULL: there is none. */
const struct btf_type *types_get(const struct types *t, uint32_t id);
/* The type behind this one, NULL: the first. NULL at the end, and where what follows cannot be understood. */
const struct btf_type *types_next(const struct types *t, const struct btf_type *type);
/* The bytes of a type with what follows it; 0: of a kind that is not known here. */
size_t type_size(const struct btf_type *type);
/* The string at that offset; "" where it is outside. */
const char *types_string(const struct types *t, uint32_t offset);

/* The same for a module's types, whose strings go on where the kernel's end. */
const char *types_module_string(const struct types *kernel, const struct types *t, uint32_t offset);

/* Newer than some headers. */
enum { KIND_DECL_TAG = 17, KIND_TYPE_TAG, KIND_ENUM64 };

/*
 * A file in memory (close-on-exec) of the structs, unions, enums and typedefs of the kernel that a BPF object names, with
 * what they hold by value: all that relocating the object takes, in a thousandth of the size. A descriptor or -errno.
 */
int types_reduce(const struct types *kernel, const struct types *object);

#endif
