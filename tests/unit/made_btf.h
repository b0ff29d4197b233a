/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Type information made for a test: types and names added one by one, then written to a file. */
#ifndef SKOOP_TESTS_MADE_BTF_H
#define SKOOP_TESTS_MADE_BTF_H

#include <linux/btf.h>
#include <stdint.h>
#include <string.h>

#include "tree.h"

struct made_btf {
	uint32_t types[256];
	char strings[1024];
	uint32_t words, strings_len;
};

static inline void made_begin(struct made_btf *m)
{
	*m = (struct made_btf){ .strings_len = 1 };
}

static inline uint32_t made_name(struct made_btf *m, const char *name)
{
	uint32_t offset = m->strings_len;

	if (!*name)
		return 0;
	strcpy(m->strings + offset, name);
	m->strings_len += (uint32_t)strlen(name) + 1;
	return offset;
}

/* A type; `last` is its size or the type it refers to; `words` of data follow it. */
static inline void made_type(struct made_btf *m, unsigned int kind, const char *name, uint32_t vlen,
			     uint32_t last, const uint32_t *data, uint32_t words)
{
	m->types[m->words++] = made_name(m, name);
	m->types[m->words++] = kind << 24 | vlen;
	m->types[m->words++] = last;
	for (uint32_t i = 0; i < words; i++)
		m->types[m->words++] = data[i];
}

static inline struct btf_header made_header(const struct made_btf *m)
{
	return (struct btf_header){ .magic = BTF_MAGIC,
				    .version = BTF_VERSION,
				    .hdr_len = sizeof(struct btf_header),
				    .type_len = m->words * 4,
				    .str_off = m->words * 4,
				    .str_len = m->strings_len };
}

static inline size_t made_bytes(const struct made_btf *m, const struct btf_header *h, char *bytes)
{
	memcpy(bytes, h, sizeof(*h));
	memcpy(bytes + sizeof(*h), m->types, m->words * 4);
	memcpy(bytes + sizeof(*h) + m->words * 4, m->strings, m->strings_len);
	return sizeof(*h) + m->words * 4 + m->strings_len;
}

static inline const char *made_file(const struct made_btf *m, const struct tree *t)
{
	struct btf_header h = made_header(m);
	char bytes[4096];

	tree_bytes(t, "btf", bytes, made_bytes(m, &h, bytes));
	return tree_path(t, "btf");
}

#endif
