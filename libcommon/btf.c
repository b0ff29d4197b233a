// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's type information, read just far enough to answer by name. */
#include "btf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util.h"

#define BTF_MAX (256UL << 20)

int types_read(struct types *t, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct btf_header *h;
	struct buf b = { 0 };
	uint64_t types, strings;
	int err;

	*t = (struct types){ 0 };
	if (fd < 0)
		return -errno;
	err = buf_read(&b, fd, BTF_MAX);
	if (err || b.failed) {
		buf_free(&b);
		return err ? err : -ENOMEM;
	}
	t->data = b.data;
	t->size = b.len;
	h = (const struct btf_header *)b.data;
	if (b.len < sizeof(*h) || h->magic != BTF_MAGIC)
		goto bad;
	types = (uint64_t)h->hdr_len + h->type_off;
	strings = (uint64_t)h->hdr_len + h->str_off;
	if (types + h->type_len > b.len || strings + h->str_len > b.len || types % 4 ||
	    !h->str_len || b.data[strings + h->str_len - 1])
		goto bad;
	t->types = b.data + types;
	t->types_end = t->types + h->type_len;
	t->strings = b.data + strings;
	t->strings_len = h->str_len;
	return 0;
bad:
	types_free(t);
	return -EBADMSG;
}

void types_free(struct types *t)
{
	free(t->data);
	*t = (struct types){ 0 };
}

/* The bytes of a type with what follows it; 0: of a kind that is not known here. */
static size_t type_size(const struct btf_type *type)
{
	/* Newer than some headers. */
	enum { KIND_DECL_TAG = 17, KIND_TYPE_TAG, KIND_ENUM64 };
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

/* Steps to the next type; NULL at the end, and where what follows cannot be understood. */
static const struct btf_type *types_next(const struct types *t, const struct btf_type *type)
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
	const struct btf_type *type = NULL;

	for (uint32_t i = 0; i < id; i++) {
		type = types_next(t, type);
		if (!type)
			return NULL;
	}
	return type;
}

const char *types_string(const struct types *t, uint32_t offset)
{
	return offset < t->strings_len ? t->strings + offset : "";
}

/*
 * Strings stand once each, NUL between them. So a name that stands nowhere is no type's, and one that does is known by
 * its offset.
 */
static uint32_t string_offset(const struct types *t, const char *name)
{
	size_t len = strlen(name);
	const char *end = t->strings + t->strings_len, *at = t->strings;

	while ((at = memmem(at, (size_t)(end - at), name, len + 1))) {
		if (at > t->strings && !at[-1])
			return (uint32_t)(at - t->strings);
		at++;
	}
	return 0;
}

const struct btf_type *types_find(const struct types *t, unsigned int kind, const char *name)
{
	uint32_t offset = *name ? string_offset(t, name) : 0;
	const struct btf_type *type = NULL;

	while (offset && (type = types_next(t, type)))
		if (type->name_off == offset && BTF_INFO_KIND(type->info) == kind)
			return type;
	return NULL;
}
