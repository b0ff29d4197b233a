// SPDX-License-Identifier: GPL-2.0-or-later
/* What the running kernel has, asked of its type information and its symbol table. */
#include "kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "btf.h"
#include "ksyms.h"
#include "process.h"
#include "util.h"

static const char btf_path[] = "/sys/kernel/btf/vmlinux";
static const char symbols_path[] = "/proc/kallsyms", modules_path[] = "/proc/modules";

/* An enum that was asked for: its names outlive the type information they were read from. */
struct names {
	char *type;
	struct name {
		uint64_t value;
		char *text;
	} * v;
	size_t n, size;
};

/* A tracepoint or function that was asked for. */
struct place {
	char *name; /* of its type */
	unsigned int kind;
	uint32_t id;
	int args;        /* -1: there is none */
	bool searched;   /* in the modules, too */
	char module[56]; /* "": the kernel's own */
};

/* What questions leave behind. */
struct memory {
	struct types types; /* empty while it rests */
	struct ksyms ksyms;
	bool ksyms_tried, hidden_told;
	struct names *enums;
	size_t nenums, enums_size;
	struct place *places;
	size_t nplaces, places_size;
	char symbol[512], text[128];
};

struct kernel {
	struct memory *memory;
};

int kernel_open(struct kernel **out)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int err = -ENOMEM;

	if (k)
		k->memory = calloc(1, sizeof(*k->memory));
	if (k && k->memory)
		err = types_read(&k->memory->types, btf_path);
	if (err && k) {
		free(k->memory);
		free(k);
		return err;
	}
	*out = k;
	return err;
}

void kernel_rest(struct kernel *k)
{
	types_free(&k->memory->types);
}

void kernel_close(struct kernel *k)
{
	struct memory *m = k ? k->memory : NULL;

	if (!m)
		return;
	for (size_t i = 0; i < m->nenums; i++) {
		for (size_t j = 0; j < m->enums[i].n; j++)
			free(m->enums[i].v[j].text);
		free(m->enums[i].v);
		free(m->enums[i].type);
	}
	free(m->enums);
	for (size_t i = 0; i < m->nplaces; i++)
		free(m->places[i].name);
	free(m->places);
	types_free(&m->types);
	ksyms_free(&m->ksyms);
	free(m);
	free(k);
}

/* The type information, read again after a rest; NULL: it cannot be. */
static const struct types *types_of(const struct kernel *k)
{
	struct types *t = &k->memory->types;

	return t->types || !types_read(t, btf_path) ? t : NULL;
}

int kernel_types_for(struct kernel *k, const void *btf, size_t size)
{
	const struct types *t = types_of(k);
	struct types object;
	int err = t ? types_parse(&object, btf, size) : -ENOENT;

	if (err)
		return err;
	err = types_reduce(t, &object);
	types_free(&object);
	return err;
}

/* ---- hooks ---- */

/* A tracepoint is typedef void (*btf_trace_NAME)(void *, ...), a function has a type of its name. */
static void place_find(struct place *p, const struct types *t)
{
	const struct btf_type *type;

	p->args = -1;
	p->id = t ? types_find_id(t, p->kind, p->name) : 0;
	type = p->id ? types_get(t, types_get(t, p->id)->type) : NULL;
	if (type && p->kind == BTF_KIND_TYPEDEF)
		type = BTF_INFO_KIND(type->info) == BTF_KIND_PTR ? types_get(t, type->type) : NULL;
	if (type && BTF_INFO_KIND(type->info) == BTF_KIND_FUNC_PROTO)
		p->args = BTF_INFO_VLEN(type->info);
	if (p->kind == BTF_KIND_TYPEDEF && p->args >= 0)
		p->args--; /* the first is the listener's own */
	if (p->args < 0)
		p->id = 0;
}

/* Asked again for each program and each attempt to load: the answer is kept. NULL: out of memory. */
static struct place *place_of(struct kernel *k, unsigned int kind, const char *name)
{
	struct memory *m = k->memory;
	struct place *p;

	for (size_t i = 0; i < m->nplaces; i++)
		if (m->places[i].kind == kind && !strcmp(m->places[i].name, name))
			return &m->places[i];
	if (array_grow(&m->places, &m->places_size, m->nplaces + 1))
		return NULL;
	p = &m->places[m->nplaces];
	*p = (struct place){ .name = strdup(name), .kind = kind };
	if (!p->name)
		return NULL;
	m->nplaces++;
	place_find(p, types_of(k));
	return p;
}

static const struct place *tracepoint(struct kernel *k, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "btf_trace_%s", name);
	return place_of(k, BTF_KIND_TYPEDEF, full);
}

int kernel_tracepoint_args(struct kernel *k, const char *name)
{
	const struct place *p = tracepoint(k, name);

	return p ? p->args : -1;
}

uint32_t kernel_tracepoint_id(struct kernel *k, const char *name)
{
	const struct place *p = tracepoint(k, name);

	return p ? p->id : 0;
}

/* ---- enums ---- */

static int names_add(struct names *e, uint64_t value, const char *text)
{
	char *copy = strdup(text);

	if (!copy || array_grow(&e->v, &e->size, e->n + 1)) {
		free(copy);
		return -ENOMEM;
	}
	e->v[e->n++] = (struct name){ value, copy };
	return 0;
}

static void names_read(struct names *e, const struct types *t)
{
	const struct btf_type *type = types_find(t, BTF_KIND_ENUM, e->type);
	const struct btf_enum *v = (const struct btf_enum *)(type + 1);

	for (size_t i = 0; type && i < BTF_INFO_VLEN(type->info); i++)
		if (names_add(e, (uint32_t)v[i].val, types_string(t, v[i].name_off)))
			return;
}

/* The enum, read at the first question; one the kernel does not have is empty. NULL: out of memory. */
static struct names *names_of(const struct kernel *k, const char *type)
{
	struct memory *m = k->memory;
	const struct types *t;
	struct names *e;

	for (size_t i = 0; i < m->nenums; i++)
		if (!strcmp(m->enums[i].type, type))
			return &m->enums[i];
	if (array_grow(&m->enums, &m->enums_size, m->nenums + 1))
		return NULL;
	e = &m->enums[m->nenums];
	*e = (struct names){ .type = strdup(type) };
	if (!e->type)
		return NULL;
	m->nenums++;
	t = types_of(k);
	if (t)
		names_read(e, t);
	return e;
}

static void names_read_module(struct names *e, const struct types *base, const struct types *t)
{
	const struct btf_type *type = types_next(t, NULL);
	const struct btf_enum *v;

	while (type && (BTF_INFO_KIND(type->info) != BTF_KIND_ENUM ||
			strcmp(types_module_string(base, t, type->name_off), e->type)))
		type = types_next(t, type);
	if (!type)
		return;
	v = (const struct btf_enum *)(type + 1);
	for (size_t i = 0; i < BTF_INFO_VLEN(type->info); i++)
		if (names_add(e, (uint32_t)v[i].val, types_module_string(base, t, v[i].name_off)))
			return;
}

void kernel_enum_of_module(const struct kernel *k, const char *type, const char *module)
{
	const struct types *base = types_of(k);
	struct names *e = names_of(k, type);
	struct types t;
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", module);
	if (!base || !e || e->n || types_read(&t, path))
		return;
	names_read_module(e, base, &t);
	types_free(&t);
}

const char *kernel_enum_name(const struct kernel *k, const char *type, const char *prefix,
			     uint64_t value)
{
	const struct names *e = k ? names_of(k, type) : NULL;
	size_t len = strlen(prefix);

	for (size_t i = 0; e && i < e->n; i++)
		if (e->v[i].value == value)
			return e->v[i].text + (strncmp(e->v[i].text, prefix, len) ? 0 : len);
	return NULL;
}

bool kernel_enum_value(const struct kernel *k, const char *type, const char *name, uint64_t *value)
{
	const struct names *e = k ? names_of(k, type) : NULL;

	for (size_t i = 0; e && i < e->n; i++) {
		if (strcmp(e->v[i].text, name))
			continue;
		*value = e->v[i].value;
		return true;
	}
	return false;
}

/* ---- symbols ---- */

/* Read at the first question, and again when modules came or went; without them nothing has a name. */
static const struct ksyms *symbols(const struct kernel *k)
{
	struct memory *m = k->memory;
	bool stale = m->ksyms_tried && ksyms_stale(&m->ksyms, modules_path, process_now());
	int err;

	if (stale)
		ksyms_free(&m->ksyms);
	if (stale || !m->ksyms_tried) {
		m->ksyms_tried = true;
		err = ksyms_read(&m->ksyms, symbols_path);
		ksyms_stale(&m->ksyms, modules_path, process_now());
		if (err)
			msg_warn("kernel addresses stay numbers: %s: %s", symbols_path,
				 strerror(-err));
	}
	return &m->ksyms;
}

/* For questions about addresses: that they are hidden is said once. */
static const struct ksyms *addresses(const struct kernel *k)
{
	const struct ksyms *ks = symbols(k);

	if (ks->hidden && !k->memory->hidden_told) {
		k->memory->hidden_told = true;
		msg_warn("kernel addresses stay numbers: %s hides them (kernel.kptr_restrict); "
			 "run as root, or with CAP_SYSLOG",
			 symbols_path);
	}
	return ks;
}

/* In the module that has it, by the symbol table, if it is none of the kernel's own. */
static void place_find_in_module(const struct kernel *k, struct place *p)
{
	const struct ksyms *ks = symbols(k);
	const struct ksym *s = ksyms_named(ks, p->name);
	const struct types *base = types_of(k);
	struct types t;
	char path[128];

	if (!base || !s || !ks->names[s->module])
		return;
	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", ks->names + s->module);
	if (types_read_module(&t, path, base))
		return;
	place_find(p, &t);
	types_free(&t);
	if (p->id)
		snprintf(p->module, sizeof(p->module), "%s", ks->names + s->module);
}

static const struct place *function(struct kernel *k, const char *name)
{
	struct place *p = place_of(k, BTF_KIND_FUNC, name);

	if (p && p->args < 0 && !p->searched) {
		p->searched = true;
		place_find_in_module(k, p);
	}
	return p;
}

int kernel_function_args(struct kernel *k, const char *name)
{
	const struct place *p = function(k, name);

	return p ? p->args : -1;
}

uint32_t kernel_function_id(struct kernel *k, const char *name, const char **module)
{
	const struct place *p = function(k, name);

	*module = p && *p->module ? p->module : NULL;
	return p ? p->id : 0;
}

bool kernel_has_symbol(struct kernel *k, const char *name)
{
	return ksyms_named(symbols(k), name);
}

bool kernel_symbol_range(struct kernel *k, const char *name, uint64_t *from, uint64_t *to)
{
	const struct ksyms *ks = addresses(k);
	const struct ksym *s = ks->hidden ? NULL : ksyms_named(ks, name);

	if (!s)
		return false;
	*from = s->address;
	ksyms_find(ks, s->address, to);
	return true;
}

void kernel_each_function(struct kernel *k, kernel_function_fn fn, void *arg)
{
	const struct ksyms *ks = addresses(k);

	for (size_t i = 0; i < ks->n && !ks->hidden; i++) {
		const struct ksym *s = &ks->v[i];

		fn(ksym_name(ks, s), ks->names + s->module, s->address,
		   i + 1 < ks->n ? s[1].address : UINT64_MAX, arg);
	}
}

const char *kernel_function(const struct kernel *k, uint64_t address)
{
	const struct ksyms *ks = addresses(k);
	uint64_t end;
	const struct ksym *s = ksyms_find(ks, address, &end);

	return s ? ksym_name(ks, s) : NULL;
}

const char *kernel_symbol(struct kernel *k, uint64_t address)
{
	const struct ksyms *ks = addresses(k);
	uint64_t end;
	const struct ksym *s = ksyms_find(ks, address, &end);
	char *text = k->memory->symbol;
	size_t size = sizeof(k->memory->symbol);

	if (!s)
		return NULL;
	snprintf(text, size, "%s+0x%" PRIx64 "%s%s%s", ksym_name(ks, s), address - s->address,
		 s->module ? " [" : "", ks->names + s->module, s->module ? "]" : "");
	return text;
}

const char *kernel_text(const struct kernel *k, const char *fmt, ...)
{
	char *text = k->memory->text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(k->memory->text), fmt, ap);
	va_end(ap);
	return text;
}

/* The coarse clocks move once a tick. */
uint64_t kernel_tick_ns(void)
{
	struct timespec ts = { 0 };

	clock_getres(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
