// SPDX-License-Identifier: GPL-2.0-or-later
/* Type information of any bytes: what is found lies inside, ends, and has the kind and name asked for. */
#include "file.h"

#include <string.h>

#include "libcommon/btf.h"

static void check_inside(const struct types *t, const struct btf_type *type)
{
	const char *at = (const char *)type;

	if (at < t->types || at + sizeof(*type) > t->types_end)
		abort();
}

/* Reduced for itself it is well-formed: every type it refers to is there. */
static void check_reduced(const struct types *t)
{
	const struct btf_type *type = NULL;
	struct types small;
	char path[64];
	int fd = types_reduce(t, t);

	if (fd < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (types_read(&small, path) || small.n > t->n)
		abort();
	close(fd);
	while ((type = types_next(&small, type))) {
		check_inside(&small, type);
		if (BTF_INFO_KIND(type->info) == BTF_KIND_TYPEDEF && type->type > small.n)
			abort();
	}
	types_free(&small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int kinds[] = { BTF_KIND_STRUCT, BTF_KIND_TYPEDEF, BTF_KIND_FUNC,
					      BTF_KIND_ENUM };
	static const char *const names[] = { "btf_trace_x", "reasons", "sock", "" };
	const struct btf_type *type;
	struct types t;

	if (types_read(&t, file_of(data, size))) {
		if (t.data || t.map)
			abort();
		return 0;
	}
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 4; j++) {
			type = types_find(&t, kinds[i], names[j]);
			if (!type)
				continue;
			check_inside(&t, type);
			if (BTF_INFO_KIND(type->info) != kinds[i] ||
			    strcmp(types_string(&t, type->name_off), names[j]) || !*names[j])
				abort();
			/* As a reader of hooks goes on. */
			type = types_get(&t, type->type);
			if (type)
				check_inside(&t, type);
		}
	}
	for (uint32_t id = 0; id < 64 && (type = types_get(&t, id + 1)); id++) {
		check_inside(&t, type);
		if (strlen(types_string(&t, type->name_off)) >= t.strings_len)
			abort();
	}
	check_reduced(&t);
	types_free(&t);
	return 0;
}
