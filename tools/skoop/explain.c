// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop explain - what a name means: all that probes tell of themselves, and findings. */
#include "entries.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "libcommon/describe.h"
#include "libcommon/format.h"
#include "libcommon/table.h"

static const struct plain_command command = {
	.help = "Usage: skoop explain [-j] [NAME]\n"
		"What NAME means, what is normal, what usually causes it and what to do next.\n"
		"NAME is a metric (in full, without its prefix, or as the kernel and nstat spell\n"
		"it), an event, a field of events, the reason of a drop or a reset, a finding of\n"
		"snapshot or a probe. Without NAME: all names.\n",
	.has = PLAIN_JSON | PLAIN_COMPLETE,
	.max_args = 1,
};

static void offer_all(const struct entries *es, const struct probes *ps, struct nearest *near)
{
	const char *title, *finding;

	for (size_t i = 0; i < es->n; i++) {
		const struct entry *e = &es->v[i];
		const char *colon = e->key ? strchr(e->key, ':') : NULL;

		nearest_offer(near, e->brief ? e->brief : e->name);
		if (e->kind == METRIC)
			nearest_offer(near, name_rest(e->name));
		if (colon)
			nearest_offer(near, colon + 1);
	}
	for (size_t i = 0; (finding = finding_name(i, &title)); i++)
		nearest_offer(near, finding);
	for (size_t i = 0; i < ps->n; i++)
		nearest_offer(near, ps->v[i].name);
}

/* ---- what is said ---- */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void say_line(struct buf *b, const char *what, const char *text)
{
	if (text)
		explain_wrapped(what, text, b);
}

static void say_kind(const struct entry *e, struct buf *b)
{
	struct buf text = { 0 };

	if (e->kind == METRIC)
		buf_printf(&text, "a %s%s%s, %s%s%s", e->type, e->unit ? " of " : "",
			   e->unit ? e->unit : "",
			   e->scope && !strcmp(e->scope, "host") ? "one for the machine"
								 : "one for each network namespace",
			   e->key ? "; the kernel's " : "", e->key ? e->key : "");
	say_line(b, "is", e->kind == METRIC ? text.data : "an event");
	b->failed |= text.failed;
	buf_free(&text);
}

/* Whether the word stands in the text, not as a part of a longer one. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len)
		if ((at == text || !is_name(at[-1])) && !is_name(at[len]))
			return true;
	return false;
}

/* The findings of snapshot whose conditions speak of this metric. */
static void say_found_by(const struct entry *e, struct buf *b)
{
	struct buf text = { 0 }, found = { 0 };
	const char *id, *title;

	for (size_t i = 0; e->kind == METRIC && (id = finding_name(i, &title)); i++) {
		text.len = 0;
		if (finding_explain(id, &text) && text.data &&
		    has_word(text.data, name_rest(e->name)))
			buf_printf(&found, "%s%s", found.len ? ", " : "", id);
	}
	if (found.len)
		say_line(b, "found by", found.data);
	b->failed |= text.failed || found.failed;
	buf_free(&text);
	buf_free(&found);
}

static void say_entry(const struct entry *e, struct buf *b)
{
	bool option = e->origin && !strcmp(e->origin, "all");
	struct reason reason = { .name = e->name, .kernels = e->kernels, .advice = e->advice };

	if (e->kind == REASON) {
		explain_reason(e->probe, &reason, b);
	} else if (e->kind == FIELD_OF_EVENTS) {
		explain_field(e->name, e->type, e->help, b);
	} else {
		explain_advice(e->name, e->help, &e->advice, b);
		say_kind(e, b);
	}
	say_found_by(e, b);
	buf_printf(b, "  %-8s skoop %s%s\n", "see", e->probe,
		   option ? ", with -a or an option of its own" : "");
}

static void json_pair(struct buf *b, const char *key, const char *text)
{
	if (!text)
		return;
	buf_printf(b, ",\"%s\":", key);
	buf_json(b, text, strlen(text));
}

static void say_json(const struct entry *e, struct buf *b)
{
	buf_str(b, "{\"schema\":1,\"kind\":\"explanation\"");
	json_pair(b, entry_kind(e), e->name);
	json_pair(b, "probe", e->probe);
	json_pair(b, "type", e->type);
	json_pair(b, "unit", e->unit);
	json_pair(b, "scope", e->scope);
	json_pair(b, "origin", e->origin);
	json_pair(b, "key", e->key);
	json_pair(b, "help", e->kind == REASON ? NULL : e->help);
	json_pair(b, "kernels", e->kernels);
	json_pair(b, "means", e->advice.means);
	json_pair(b, "normal", e->advice.normal);
	json_pair(b, "causes", e->advice.causes);
	json_pair(b, "confirm", e->advice.confirm);
	json_pair(b, "remedy", e->advice.remedy);
	buf_str(b, "}\n");
}

/* What its events carry, a line a field. */
static void say_fields(const struct probe_info *p, struct buf *b)
{
	for (size_t i = 0; i < p->nfields; i++) {
		struct buf text = { 0 };

		buf_printf(&text, "%s: %s", p->fields[i].name,
			   p->fields[i].help ? p->fields[i].help : p->fields[i].type);
		say_line(b, i ? "" : "fields", text.data);
		b->failed |= text.failed;
		buf_free(&text);
	}
}

static void say_probe(const struct probe_info *p, struct buf *b)
{
	struct buf names = { 0 }, reasons = { 0 };

	for (size_t i = 0; i < p->nmetrics; i++)
		if (!p->metrics[i].origin || strcmp(p->metrics[i].origin, "all"))
			buf_printf(&names, "%s ", name_brief(p->metrics[i].name, p->prefix));
	for (size_t i = 0; i < p->nevents; i++)
		buf_printf(&names, "%s ", p->events[i].name);
	for (size_t i = 0; i < p->nreasons; i++)
		buf_printf(&reasons, "%s ", p->reasons[i].name);
	buf_printf(b, "skoop-%s: %s\n", p->name,
		   p->question  ? p->question
		   : p->summary ? p->summary
				: "");
	say_line(b, "source", p->source);
	say_line(b, "overhead", p->overhead);
	say_line(b, "needs", p->needs);
	say_line(b, "names", names.data);
	say_fields(p, b);
	say_line(b, "reasons", reasons.data);
	b->failed |= names.failed || reasons.failed;
	buf_free(&names);
	buf_free(&reasons);
}

/* The id of the finding of that name, whatever its case; NULL: there is none. */
static const char *finding_id(const char *name)
{
	const char *id, *title;

	for (size_t i = 0; (id = finding_name(i, &title)); i++)
		if (!strcasecmp(id, name))
			return id;
	return NULL;
}

static void say_finding(const char *name, bool json, struct buf *b)
{
	const char *id = finding_id(name);
	struct buf text = { 0 };

	if (!id || !finding_explain(id, &text))
		return;
	if (b->len && !json)
		buf_str(b, "\n");
	if (json) {
		buf_str(b, "{\"schema\":1,\"kind\":\"explanation\"");
		json_pair(b, "finding", id);
		json_pair(b, "text", text.data ? text.data : "");
		buf_str(b, "}\n");
	} else {
		buf_add(b, text.data, text.len);
	}
	b->failed |= text.failed;
	buf_free(&text);
}

/* Everything of that name: several probes may have one. */
static void say_all(const struct entries *es, const struct probes *ps, const char *name, bool json,
		    struct buf *b)
{
	const struct probe_info *p = probes_get(ps, name);

	for (size_t i = 0; i < es->n; i++) {
		if (!entry_is(&es->v[i], name))
			continue;
		if (b->len && !json)
			buf_str(b, "\n");
		if (json)
			say_json(&es->v[i], b);
		else
			say_entry(&es->v[i], b);
	}
	say_finding(name, json, b);
	if (!p || json)
		return;
	if (b->len)
		buf_str(b, "\n");
	say_probe(p, b);
}

static int unknown(const struct entries *es, const struct probes *ps, const char *name)
{
	struct nearest near = { .name = name_rest(name) };
	struct buf b = { 0 };

	offer_all(es, ps, &near);
	nearest_print(&near, &b);
	msg_error("no metric, event, field, reason, finding or probe is named '%s'%s", name,
		  b.data ? b.data : "");
	buf_free(&b);
	return EXIT_USAGE;
}

/* ---- all names ---- */

static void list_row(struct table *t, const char *name, const char *kind, const char *from,
		     const char *says)
{
	table_str(t, name);
	table_str(t, kind);
	table_str(t, from ? from : "-");
	table_str(t, says ? says : "-");
}

static void list_table(const struct entries *es, struct buf *b)
{
	struct table t = { 0 };
	const char *finding, *title;

	table_column(&t, "name", COL_WHOLE, 0);
	table_column(&t, "kind", COL_WHOLE, 0);
	table_column(&t, "probe", COL_WHOLE, 0);
	table_column(&t, "says", COL_WHOLE, 0);
	for (size_t i = 0; i < es->n; i++)
		list_row(&t, es->v[i].name, entry_kind(&es->v[i]), es->v[i].probe, es->v[i].help);
	for (size_t i = 0; (finding = finding_name(i, &title)); i++)
		list_row(&t, finding, "finding", NULL, title);
	table_show(&t, b);
	table_free(&t);
}

/* Fields and reasons may have the name of one before. */
static bool is_first(const struct entries *es, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!strcmp(es->v[j].name, es->v[i].name))
			return false;
	return true;
}

static void list_complete(const struct entries *es, struct buf *b)
{
	const char *finding, *title;

	for (size_t i = 0; i < es->n; i++)
		if (is_first(es, i))
			buf_printf(b, "%s\t%s\n", name_rest(es->v[i].name),
				   es->v[i].help ? es->v[i].help : "");
	for (size_t i = 0; (finding = finding_name(i, &title)); i++)
		buf_printf(b, "%s\t%s\n", finding, title);
}

static int answer(const struct entries *es, const struct probes *ps, const struct plain_options *opt)
{
	struct buf b = { 0 };

	if (opt->complete)
		list_complete(es, &b);
	else if (opt->arg)
		say_all(es, ps, opt->arg, opt->json, &b);
	else if (opt->json)
		for (size_t i = 0; i < es->n; i++)
			say_json(&es->v[i], &b);
	else
		list_table(es, &b);
	if (opt->arg && !opt->complete && !b.len && !b.failed)
		return unknown(es, ps, opt->arg);
	return print_buf(&b);
}

/* The name of a whole series as a dashboard shows it, with labels or a value; a reason may have a space in its name. */
static void series_cut(char *name)
{
	size_t len = strcspn(name, "{\t\n");
	size_t word = strcspn(name, " ");

	name[word < len && !isalpha((unsigned char)name[word + 1]) ? word : len] = '\0';
}

int cmd_explain(int argc, char **argv)
{
	struct plain_options opt;
	struct entries es = { 0 };
	struct probes ps;
	int code = plain_options(argc, argv, &command, &opt);

	if (code >= 0)
		return code;
	if (opt.complete)
		msg_level_set(MSG_QUIET);
	if (opt.arg)
		series_cut(opt.arg);
	code = EXIT_FAILED;
	if (probes_find(&ps))
		return code;
	if (!probes_describe_all(&ps)) {
		entries_load(&es, &ps);
		if (es.failed)
			msg_error("out of memory");
		else
			code = answer(&es, &ps, &opt);
	}
	entries_free(&es);
	probes_free(&ps);
	return code;
}
