// SPDX-License-Identifier: GPL-2.0-or-later
/* The descriptor as text: for the dispatcher and the generators, and as an explanation for people. */
#include "describe.h"

#include <string.h>
#include <strings.h>

#include "options.h"

static void put(struct buf *b, const char *text)
{
	buf_add(b, "\t", 1);
	for (; text && *text; text++) {
		switch (*text) {
		case '\t': buf_str(b, "\\t"); break;
		case '\n': buf_str(b, "\\n"); break;
		case '\\': buf_str(b, "\\\\"); break;
		default: buf_add(b, text, 1);
		}
	}
}

static void put_advice(struct buf *b, const struct advice *a)
{
	put(b, a->means);
	put(b, a->normal);
	put(b, a->causes);
	put(b, a->confirm);
	put(b, a->remedy);
	buf_str(b, "\n");
}

void describe_option(const struct option_info *info, struct buf *b)
{
	char letter[2] = { (char)info->key };
	struct buf words = { 0 }, value = { 0 };

	if (info->arg)
		buf_printf(&value, info->optional ? "[%s]" : "%s", info->arg);
	for (size_t i = 0; info->words && info->words[i]; i++)
		buf_printf(&words, "%s%s", i ? " " : "", info->words[i]);
	buf_str(b, "option");
	put(b, letter);
	put(b, info->name);
	put(b, value.data);
	put(b, info->group);
	put(b, info->help);
	put(b, words.data);
	put(b, info->complete);
	buf_str(b, "\n");
	b->failed |= words.failed | value.failed;
	buf_free(&words);
	buf_free(&value);
}

static void put_option(const struct option_info *info, void *arg)
{
	describe_option(info, arg);
}

static const char *origin(const struct metric *m)
{
	return m->flags & M_ALL ? "all" : m->flags & M_EXTRA ? "extra" : "contract";
}

static void put_metrics(const struct probe *p, struct buf *b)
{
	for (const struct metric *m = p->metrics; m && m->name; m++) {
		buf_printf(b, "metric\tkubeskoop_%s_%s", probe_prefix(p), m->name);
		put(b, m->type == COUNTER ? "counter" : "gauge");
		put(b, m->unit);
		put(b, m->scope == SCOPE_HOST ? "host" : "netns");
		put(b, origin(m));
		put(b, m->key);
		put(b, m->help);
		put_advice(b, &m->advice);
	}
}

/* By enum field_type. */
static const char *const types[] = { "uint", "int",   "ns",   "string", "protocol", "address",
				     "port", "state", "enum", "symbol", "stages",   "stack" };

static void put_events(const struct probe *p, struct buf *b)
{
	for (const struct event *e = p->events; e && e->name; e++) {
		buf_str(b, "event");
		put(b, e->name);
		put(b, e->help);
		put_advice(b, &e->advice);
	}
	for (const struct field *f = p->fields; f && f->name; f++) {
		buf_str(b, "field");
		put(b, f->name);
		put(b, types[f->type]);
		put(b, f->help);
		buf_str(b, "\n");
	}
}

static void put_reasons(const struct probe *p, struct buf *b)
{
	for (const struct reason *r = p->reasons; r && r->name; r++) {
		buf_str(b, "reason");
		put(b, r->name);
		put(b, r->kernels);
		put_advice(b, &r->advice);
	}
}

void describe(const struct probe *p, struct buf *b)
{
	const char *const words[] = { p->name,   probe_prefix(p), p->summary, p->question,
				      p->source, p->overhead,     p->needs,   p->absent };

	buf_str(b, "probe");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put(b, words[i]);
	buf_str(b, "\n");
	options_each(p, put_option, b);
	put_metrics(p, b);
	put_events(p, b);
	put_reasons(p, b);
}

void explain_wrapped(const char *what, const char *text, struct buf *b)
{
	const size_t indent = 11, width = 80;
	size_t column = indent;

	buf_printf(b, "  %-8s ", what);
	while (*text) {
		size_t len = strcspn(text, " ");

		if (column > indent && column + len > width) {
			buf_printf(b, "\n%*s", (int)indent, "");
			column = indent;
		}
		buf_add(b, text, len);
		column += len + 1;
		text += len;
		text += strspn(text, " ");
		if (*text && column + strcspn(text, " ") <= width)
			buf_str(b, " ");
	}
	buf_str(b, "\n");
}

static void explain_lines(const struct advice *a, struct buf *b)
{
	const struct {
		const char *what, *text;
	} lines[] = { { "means", a->means },
		      { "normal", a->normal },
		      { "causes", a->causes },
		      { "confirm", a->confirm },
		      { "remedy", a->remedy } };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (lines[i].text)
			explain_wrapped(lines[i].what, lines[i].text, b);
}

void explain_advice(const char *name, const char *help, const struct advice *a, struct buf *b)
{
	buf_printf(b, "%s: %s\n", name, help ? help : "");
	explain_lines(a, b);
}

void explain_reason(const char *probe, const struct reason *r, struct buf *b)
{
	buf_printf(b, "%s: a reason of skoop-%s\n", r->name, probe);
	explain_lines(&r->advice, b);
	if (r->kernels)
		explain_wrapped("kernels", r->kernels, b);
}

void explain_field(const char *name, const char *type, const char *help, struct buf *b)
{
	buf_printf(b, "%s: %s\n", name, help ? help : "");
	buf_printf(b, "  %-8s a field of events, %s\n", "is", type);
}

/* The part of the text after the prefix, whatever its case; NULL: it has another one. */
static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncasecmp(text, prefix, len) ? NULL : text + len;
}

/*
 * What a name is without the prefix that all of its kind share. The subsystems' kinds of drops stand beside the kernel's
 * own ones and keep theirs in the name of a row; two of the kernel's own have a shorter one.
 */
static const char *const common[] = { "SKB_DROP_REASON_", "SK_RST_REASON_" };
static const struct {
	const char *subsystem, *prefix;
} kinds[] = { { "qdisc", "QDISC_DROP_" },
	      { "openvswitch", "OVS_DROP_" },
	      { "mac80211", "RX_DROP_U_" },
	      { "mac80211", "RX_DROP_M_" },
	      { "core", "SKB_" } };

/* "qdisc CONGESTED", also with a colon, a slash or an underscore between them. */
static const char *after_subsystem(const char *name, const char *subsystem)
{
	const char *rest = after(name, subsystem);

	if (!rest || !*rest || !strchr(" :/_", *rest))
		return NULL;
	return rest + strspn(rest, " :/_");
}

/* A function's name may come as a stack has it, with what the compiler put behind it and an offset. */
static bool same(const char *reason, const char *name)
{
	size_t len = strcspn(name, ".+");

	return strlen(reason) == len && !strncasecmp(reason, name, len);
}

bool reason_is(const char *reason, const char *name)
{
	const char *rest;

	for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
		rest = after(name, common[i]);
		if (rest)
			name = rest;
	}
	if (same(reason, name))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *brief = after(reason, kinds[i].prefix);

		if (!brief)
			continue;
		rest = after_subsystem(name, kinds[i].subsystem);
		if (!strcasecmp(brief, rest ? rest : name))
			return true;
	}
	rest = after_subsystem(name, "core");
	return rest && !strcasecmp(reason, rest);
}

/* By its full name, the part after the prefix, or the kernel's own name. */
static bool named(const struct probe *p, const struct metric *m, const char *name)
{
	const char *colon = m->key ? strchr(m->key, ':') : NULL;
	size_t prefix = strlen("kubeskoop_");

	if (!strncasecmp(name, "kubeskoop_", prefix))
		name += prefix;
	prefix = strlen(probe_prefix(p));
	if (!strncasecmp(name, probe_prefix(p), prefix) && name[prefix] == '_' &&
	    !strcasecmp(name + prefix + 1, m->name))
		return true;
	return !strcasecmp(name, m->name) || (m->key && !strcasecmp(name, m->key)) ||
	       (colon && !strcasecmp(name, colon + 1));
}

static bool explain_metrics(const struct probe *p, const char *name, struct buf *b)
{
	bool found = false;

	for (const struct metric *m = p->metrics; m && m->name; m++) {
		char full[128];

		if (!named(p, m, name))
			continue;
		snprintf(full, sizeof(full), "kubeskoop_%s_%s", probe_prefix(p), m->name);
		explain_advice(full, m->help, &m->advice, b);
		found = true;
	}
	return found;
}

static bool explain_events(const struct probe *p, const char *name, struct buf *b)
{
	bool found = false;

	for (const struct event *e = p->events; e && e->name; e++) {
		if (strcasecmp(e->name, name))
			continue;
		explain_advice(e->name, e->help, &e->advice, b);
		found = true;
	}
	for (const struct field *f = p->fields; f && f->name; f++) {
		if (!f->help || strcasecmp(f->name, name))
			continue;
		explain_field(f->name, types[f->type], f->help, b);
		found = true;
	}
	return found;
}

static bool explain_reasons(const struct probe *p, const char *name, struct buf *b)
{
	bool found = false;

	for (const struct reason *r = p->reasons; r && r->name; r++) {
		if (!reason_is(r->name, name))
			continue;
		explain_reason(p->name, r, b);
		found = true;
	}
	return found;
}

bool explain(const struct probe *p, const char *name, struct buf *b)
{
	bool found = explain_metrics(p, name, b);

	found |= explain_events(p, name, b);
	found |= explain_reasons(p, name, b);
	return found;
}
