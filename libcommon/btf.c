// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's type information, read just far enough to answer by name. */
#include "btf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "array.h"
#include "util.h"

#define BTF_MAX (256L << 20)

/* Where every TYPES_STEP-th type lies, and how many there are. */
static int types_mark(struct types *t)
{
	const struct btf_type *type = NULL;
	size_t size = 0;

	while ((type = types_next(t, type))) {
		if (t->n % TYPES_STEP == 0) {
			if (array_grow(&t->marks, &size, t->n / TYPES_STEP + 1))
				return -ENOMEM;
			t->marks[t->n / TYPES_STEP] = (uint32_t)((const char *)type - t->types);
		}
		t->n++;
	}
	return 0;
}

int types_parse(struct types *t, const char *data, size_t size)
{
	const struct btf_header *h = (const struct btf_header *)data;
	uint64_t types, strings;
	int err;

	*t = (struct types){ 0 };
	if (size < sizeof(*h) || h->magic != BTF_MAGIC)
		return -EBADMSG;
	types = (uint64_t)h->hdr_len + h->type_off;
	strings = (uint64_t)h->hdr_len + h->str_off;
	if (types + h->type_len > size || strings + h->str_len > size || types % 4 || !h->str_len ||
	    data[strings + h->str_len - 1])
		return -EBADMSG;
	t->types = data + types;
	t->types_end = t->types + h->type_len;
	t->strings = data + strings;
	t->strings_len = h->str_len;
	err = types_mark(t);
	if (err)
		types_free(t);
	return err;
}

/*
 * The file's bytes, to be given back by types_free(). A kernel that lets its own be mapped (6.16) saves copying it page
 * by page, and the memory.
 */
static int types_fetch(struct types *t, int fd, const char **data, size_t *size)
{
	struct buf b = { 0 };
	struct stat st;
	int err;

	if (!fstat(fd, &st) && st.st_size > 0 && st.st_size < BTF_MAX) {
		*size = (size_t)st.st_size;
		t->map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (t->map != MAP_FAILED) {
			t->map_size = *size;
			*data = t->map;
			return 0;
		}
		t->map = NULL;
	}
	err = buf_read(&b, fd, BTF_MAX);
	*data = t->data = b.data;
	*size = b.len;
	return !err && b.failed ? -ENOMEM : err;
}

int types_read(struct types *t, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct types owned = { 0 };
	const char *data;
	size_t size;
	int err;

	*t = owned;
	if (fd < 0)
		return -errno;
	err = types_fetch(&owned, fd, &data, &size);
	if (!err)
		err = types_parse(t, data, size);
	if (err) {
		types_free(&owned);
		return err;
	}
	t->data = owned.data;
	t->map = owned.map;
	t->map_size = owned.map_size;
	return 0;
}

int types_read_module(struct types *t, const char *path, const struct types *base)
{
	int err = types_read(t, path);

	if (!err)
		t->base = base;
	return err;
}

void types_free(struct types *t)
{
	if (t->map)
		munmap(t->map, t->map_size);
	free(t->data);
	free(t->marks);
	*t = (struct types){ 0 };
}

size_t type_size(const struct btf_type *type)
{
	size_t n = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case KIND_TYPE_TAG: return sizeof(*type);
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case KIND_DECL_TAG: return sizeof(*type) + sizeof(uint32_t);
	case BTF_KIND_ARRAY: return sizeof(*type) + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return sizeof(*type) + n * sizeof(struct btf_member);
	case BTF_KIND_ENUM: return sizeof(*type) + n * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO: return sizeof(*type) + n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC: return sizeof(*type) + n * sizeof(struct btf_var_secinfo);
	case KIND_ENUM64: return sizeof(*type) + n * 3 * sizeof(uint32_t);
	default: return 0;
	}
}

const struct btf_type *types_next(const struct types *t, const struct btf_type *type)
{
	const char *at = type ? (const char *)type + type_size(type) : t->types;
	size_t left = (size_t)(t->types_end - at), size;

	if (at > t->types_end || left < sizeof(*type))
		return NULL;
	size = type_size((const struct btf_type *)at);
	return size && size <= left ? (const struct btf_type *)at : NULL;
}

const struct btf_type *types_get(const struct types *t, uint32_t id)
{
	const struct btf_type *type;

	if (t->base && id <= t->base->n)
		return types_get(t->base, id);
	id -= t->base ? t->base->n : 0;
	if (!id || id > t->n)
		return NULL;
	type = (const struct btf_type *)(t->types + t->marks[(id - 1) / TYPES_STEP]);
	for (uint32_t i = (id - 1) % TYPES_STEP; i; i--)
		type = types_next(t, type);
	return type;
}

const char *types_string(const struct types *t, uint32_t offset)
{
	if (t->base && offset < t->base->strings_len)
		return types_string(t->base, offset);
	offset -= t->base ? (uint32_t)t->base->strings_len : 0;
	return offset < t->strings_len ? t->strings + offset : "";
}

const char *types_module_string(const struct types *kernel, const struct types *t, uint32_t offset)
{
	return offset < kernel->strings_len
		       ? types_string(kernel, offset)
		       : types_string(t, offset - (uint32_t)kernel->strings_len);
}

/*
 * Strings stand once each, NUL between them, a module's only where the kernel has them not. So a name that stands nowhere
 * is no type's, and one that does is known by its offset.
 */
static bool string_offset(const struct types *t, const char *name, uint32_t *offset)
{
	size_t len = strlen(name);
	const char *end = t->strings + t->strings_len, *at = t->strings;

	if (t->base && string_offset(t->base, name, offset))
		return true;
	while ((at = memmem(at, (size_t)(end - at), name, len + 1))) {
		if (at == t->strings || !at[-1]) {
			*offset = (uint32_t)(at - t->strings);
			*offset += t->base ? (uint32_t)t->base->strings_len : 0;
			return true;
		}
		at++;
	}
	return false;
}

uint32_t types_find_id(const struct types *t, unsigned int kind, const char *name)
{
	uint32_t offset, id = t->base ? t->base->n : 0;
	const struct btf_type *type = NULL;

	if (!*name || !string_offset(t, name, &offset))
		return 0;
	while ((type = types_next(t, type))) {
		id++;
		if (type->name_off == offset && BTF_INFO_KIND(type->info) == kind)
			return id;
	}
	return 0;
}

const struct btf_type *types_find(const struct types *t, unsigned int kind, const char *name)
{
	return types_get(t, types_find_id(t, kind, name));
}
