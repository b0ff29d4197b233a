// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's functions by address and by name, from /proc/kallsyms. */
#include "ksyms.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "util.h"

#define FUNCTION_MAX (1 << 20)

static int add_name(struct ksyms *ks, const char *text, size_t len, uint32_t *offset)
{
	if (array_grow(&ks->names, &ks->names_size, ks->names_len + len + 1))
		return -ENOMEM;
	memcpy(ks->names + ks->names_len, text, len);
	ks->names[ks->names_len + len] = '\0';
	*offset = (uint32_t)ks->names_len;
	ks->names_len += len + 1;
	return 0;
}

/* A module's symbols stand together, so its name is most often the last one's. */
static int add_module(struct ksyms *ks, const char *text, size_t len, uint32_t *offset)
{
	uint32_t last = ks->n ? ks->v[ks->n - 1].module : 0;

	if (last && !strncmp(ks->names + last, text, len) && !ks->names[last + len]) {
		*offset = last;
		return 0;
	}
	return add_name(ks, text, len, offset);
}

/* The number a line begins with; *end: what follows it. */
static uint64_t hex(const char *text, const char **end)
{
	uint64_t value = 0;

	for (;; text++) {
		char c = *text;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	*end = text;
	return value;
}

static bool is_function(char type)
{
	return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

/*
 * "ffffffff81000000 t name\t[module]\n": functions only. 1: taken, 0: not one, or -errno. There are a hundred thousand
 * such lines, hence no library functions.
 */
static int add_line(struct ksyms *ks, const char *line)
{
	struct ksym s = { 0 };
	const char *name, *module, *end;
	size_t len = 0;
	int err;

	s.address = hex(line, &end);
	if (end[0] != ' ' || !is_function(end[1]) || end[2] != ' ')
		return 0;
	name = end + 3;
	while (name[len] && name[len] != '\t' && name[len] != '\n')
		len++;
	if (array_grow(&ks->v, &ks->size, ks->n + 1))
		return -ENOMEM;
	err = add_name(ks, name, len, &s.name);
	if (!err && name[len] == '\t' && name[len + 1] == '[') {
		module = name + len + 2;
		err = add_module(ks, module, strcspn(module, "]\n"), &s.module);
	}
	if (err)
		return err;
	ks->v[ks->n++] = s;
	return 1;
}

static int by_address(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/* The kernel's own stand in order, the others' behind them: only those are sorted. */
static void sort(struct ksyms *ks)
{
	size_t from = 1;

	while (from < ks->n && !ks->v[from].module && ks->v[from].address >= ks->v[from - 1].address)
		from++;
	if (from >= ks->n)
		return;
	qsort(ks->v + from, ks->n - from, sizeof(*ks->v), by_address);
	if (ks->v[from].address < ks->v[from - 1].address)
		qsort(ks->v, ks->n, sizeof(*ks->v), by_address);
}

int ksyms_read(struct ksyms *ks, const char *path)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *line = NULL;
	size_t size = 0;
	uint32_t empty;
	int err;

	*ks = (struct ksyms){ 0 };
	if (!f)
		return -errno;
	err = add_name(ks, "", 0, &empty); /* offset 0 is nobody's name */
	while (err >= 0 && getline(&line, &size, f) > 0)
		err = add_line(ks, line);
	if (err >= 0)
		sort(ks);
	if (err >= 0 && !ks->n)
		err = -EBADMSG;
	ks->hidden = ks->n && !ks->v[ks->n - 1].address;
	if (err < 0)
		ksyms_free(ks);
	return err < 0 ? err : 0;
}

void ksyms_free(struct ksyms *ks)
{
	free(ks->v);
	free(ks->names);
	*ks = (struct ksyms){ 0 };
}

/* The lines' first two words, name and size: the others change without a module's coming or going. */
static uint64_t modules_hash(const char *path)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *line = NULL;
	uint64_t hash = 1469598103934665603ULL; /* FNV-1a */
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		int words = 2;

		for (const char *c = line; *c && words; c++) {
			hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
			words -= *c == ' ';
		}
	}
	return hash;
}

bool ksyms_stale(struct ksyms *ks, const char *path, uint64_t now)
{
	uint64_t before = ks->modules;
	bool first = !ks->looked_at;

	if (!first && now - ks->looked_at < NSEC_PER_SEC)
		return false;
	ks->looked_at = now;
	ks->modules = modules_hash(path);
	return !first && ks->modules != before;
}

const struct ksym *ksyms_find(const struct ksyms *ks, uint64_t address, uint64_t *end)
{
	size_t low = 0, high = ks->n, same;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ks->v[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	*end = low < ks->n ? ks->v[low].address : UINT64_MAX;
	if (!low || ks->hidden || address - ks->v[low - 1].address > FUNCTION_MAX)
		return NULL;
	/* Of several names for one address the first is as good as any, and the same each time. */
	for (same = low - 1; same && ks->v[same - 1].address == ks->v[low - 1].address; same--)
		;
	return &ks->v[same];
}

const struct ksym *ksyms_named(const struct ksyms *ks, const char *name)
{
	for (size_t i = 0; i < ks->n; i++)
		if (!strcmp(ksym_name(ks, &ks->v[i]), name))
			return &ks->v[i];
	return NULL;
}
