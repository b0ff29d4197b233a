// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's type information cut down to what a BPF object needs. libbpf reads all of it, makes an index, and goes
 * through it once for each type the object names, which takes longer and more memory than all the rest of a start.
 */
#include "btf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "array.h"
#include "process.h"
#include "util.h"

/* A type that the object names, without its flavour: "sock" for `struct sock___old`. */
struct wanted {
	const char *name;
	size_t len;
};

struct reduction {
	const struct types *kernel;
	struct wanted *wanted; /* by name */
	size_t nwanted, wanted_size;
	uint32_t *ids; /* of those taken over; sorted before they are written */
	size_t n, size;
	uint8_t *taken; /* a bit for each type of the kernel */
	struct buf types, strings;
};

static bool has_layout(const struct btf_type *type)
{
	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case KIND_ENUM64:
	case BTF_KIND_TYPEDEF: return type->name_off;
	default: return false;
	}
}

/* ---- what is wanted ---- */

static int by_name(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int list_wanted(struct reduction *r, const struct types *object)
{
	const struct btf_type *type = NULL;

	while ((type = types_next(object, type))) {
		const char *name = types_string(object, type->name_off), *flavour;

		if (!has_layout(type) || !*name)
			continue;
		if (array_grow(&r->wanted, &r->wanted_size, r->nwanted + 1))
			return -ENOMEM;
		flavour = strstr(name + 1, "___");
		r->wanted[r->nwanted++] = (struct wanted){ name, flavour ? (size_t)(flavour - name)
									 : strlen(name) };
	}
	if (r->nwanted)
		qsort(r->wanted, r->nwanted, sizeof(*r->wanted), by_name);
	return 0;
}

static bool is_wanted(const struct reduction *r, const char *name)
{
	const struct wanted key = { name, strlen(name) };

	return r->nwanted &&
	       bsearch(&key, r->wanted, r->nwanted, sizeof(*r->wanted), by_name) != NULL;
}

static int take(struct reduction *r, uint32_t id)
{
	const struct btf_type *type = types_get(r->kernel, id);

	/* A function's arguments are never looked at. */
	if (!type || BTF_INFO_KIND(type->info) == BTF_KIND_FUNC_PROTO ||
	    r->taken[id / 8] >> id % 8 & 1)
		return 0;
	if (array_grow(&r->ids, &r->size, r->n + 1))
		return -ENOMEM;
	r->taken[id / 8] |= (uint8_t)(1 << id % 8);
	r->ids[r->n++] = id;
	return 0;
}

/* ---- what they hold by value ---- */

/* Words of a type that stand at equal distances. */
struct words {
	uint32_t *first;
	size_t n, step;
};

static uint32_t *word(const struct words *w, size_t i)
{
	return w->first + i * w->step;
}

/* The types it is made of. What a pointer points to is not among them: nobody looks through it. */
static struct words parts_of(struct btf_type *type)
{
	uint32_t *behind = (uint32_t *)(type + 1);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case KIND_TYPE_TAG: return (struct words){ &type->type, 1, 1 };
	case BTF_KIND_ARRAY: return (struct words){ behind, 2, 1 }; /* of what, and its index */
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return (struct words){ behind + 1, BTF_INFO_VLEN(type->info), 3 };
	default: return (struct words){ 0 };
	}
}

/* The names of members and values. */
static struct words names_of(struct btf_type *type)
{
	uint32_t *behind = (uint32_t *)(type + 1);
	size_t n = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case KIND_ENUM64: return (struct words){ behind, n, 3 };
	case BTF_KIND_ENUM: return (struct words){ behind, n, 2 };
	default: return (struct words){ 0 };
	}
}

static int take_wanted(struct reduction *r)
{
	const struct btf_type *type = NULL;
	int err = 0;

	for (uint32_t id = 1; !err && (type = types_next(r->kernel, type)); id++)
		if (has_layout(type) && is_wanted(r, types_string(r->kernel, type->name_off)))
			err = take(r, id);
	for (size_t i = 0; !err && i < r->n; i++) {
		struct words parts = parts_of((struct btf_type *)types_get(r->kernel, r->ids[i]));

		for (size_t j = 0; !err && j < parts.n; j++)
			err = take(r, *word(&parts, j));
	}
	return err;
}

/* ---- writing ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* 0, void, for what was left out. */
static uint32_t new_id(const struct reduction *r, uint32_t id)
{
	const uint32_t *at = r->n ? bsearch(&id, r->ids, r->n, sizeof(*r->ids), by_number) : NULL;

	return at ? (uint32_t)(at - r->ids) + 1 : 0;
}

static uint32_t new_string(struct reduction *r, uint32_t offset)
{
	const char *text = types_string(r->kernel, offset);
	uint32_t at = (uint32_t)r->strings.len;

	if (!*text)
		return 0;
	buf_add(&r->strings, text, strlen(text) + 1);
	return at;
}

static void write_type(struct reduction *r, uint32_t id)
{
	const struct btf_type *from = types_get(r->kernel, id);
	size_t at = r->types.len;
	struct btf_type *type;
	struct words words;

	buf_add(&r->types, from, type_size(from));
	if (r->types.failed)
		return;
	type = (struct btf_type *)(r->types.data + at);
	type->name_off = new_string(r, type->name_off);
	if (BTF_INFO_KIND(type->info) == BTF_KIND_PTR)
		type->type = 0;
	words = parts_of(type);
	for (size_t i = 0; i < words.n; i++)
		*word(&words, i) = new_id(r, *word(&words, i));
	words = names_of(type);
	for (size_t i = 0; i < words.n; i++)
		*word(&words, i) = new_string(r, *word(&words, i));
}

static int write_file(struct reduction *r)
{
	struct btf_header h = { .magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(h) };
	int fd, err;

	if (r->n)
		qsort(r->ids, r->n, sizeof(*r->ids), by_number);
	buf_add(&r->strings, "", 1);
	for (size_t i = 0; i < r->n; i++)
		write_type(r, r->ids[i]);
	if (r->types.failed || r->strings.failed)
		return -ENOMEM;
	h.type_len = h.str_off = (uint32_t)r->types.len;
	h.str_len = (uint32_t)r->strings.len;
	fd = memfd_create("btf", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = process_write(fd, &h, sizeof(h));
	if (!err)
		err = process_write(fd, r->types.data, r->types.len);
	if (!err)
		err = process_write(fd, r->strings.data, r->strings.len);
	if (err)
		close(fd);
	return err ? err : fd;
}

int types_reduce(const struct types *kernel, const struct types *object)
{
	struct reduction r = { .kernel = kernel, .taken = calloc(kernel->n / 8 + 1, 1) };
	int result = r.taken ? list_wanted(&r, object) : -ENOMEM;

	if (!result)
		result = take_wanted(&r);
	if (!result)
		result = write_file(&r);
	free(r.wanted);
	free(r.ids);
	free(r.taken);
	buf_free(&r.types);
	buf_free(&r.strings);
	return result;
}
