// SPDX-License-Identifier: GPL-2.0-or-later
/* The report as JSON Lines, and what both of its forms go by. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "libcommon/format.h"
#include "report_order.h"
#include "skoop.h"
#include "who.h"

/* ---- order ---- */

static int worst_first(const void *va, const void *vb)
{
	const struct finding *a = *(const struct finding *const *)va,
			     *b = *(const struct finding *const *)vb;

	if (a->shown != b->shown)
		return a->shown > b->shown ? -1 : 1;
	return a < b ? -1 : a > b;
}

const struct finding **finding_order(const struct findings *f)
{
	const struct finding **v = calloc(f->n + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; v && i < f->n; i++)
		if (!f->v[i].cause)
			v[n++] = &f->v[i];
	if (n)
		qsort(v, n, sizeof(*v), worst_first);
	return v;
}

static const struct finding *top_of(const struct finding *f)
{
	while (f->cause)
		f = f->cause;
	return f;
}

const struct finding *finding_below(const struct findings *f, const struct finding *top, size_t *i)
{
	while (*i < f->n) {
		const struct finding *below = &f->v[(*i)++];

		if (below->cause && top_of(below) == top)
			return below;
	}
	return NULL;
}

size_t report_count(const struct findings *f, enum severity severity)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += !f->v[i].cause && f->v[i].shown == severity;
	return n;
}

size_t subject_count(const struct store *s)
{
	size_t n = 0;

	while (store_subject(s, n))
		n++;
	return n;
}

/* Whether the command is there, as far as it is one of ours. */
static bool command_there(const struct report *r, const char *command)
{
	char name[64];
	size_t len = strlen("skoop-");

	if (strncmp(command, "skoop-", len))
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(command + len, " "), command + len);
	return probes_get(r->probes, name);
}

bool finding_command(const struct report *r, const struct finding *f, struct commands *c,
		     struct buf *b)
{
	size_t from = b->len;

	while (finding_next(f, c->next, b)) {
		c->next++;
		if (b->len > from && command_there(r, b->data + from)) {
			c->given++;
			return true;
		}
		b->len = from;
	}
	/* There is always something to go on with, be it reading. */
	if (c->given++)
		return false;
	buf_printf(b, "skoop explain %s", f->row->id);
	return true;
}

/* ---- JSON ---- */

static const char *const severity_words[] = {
	[NOTE] = "note", [WARNING] = "warning", [CRITICAL] = "critical"
};

static void add_string(struct buf *b, const char *text)
{
	buf_json(b, text, strlen(text));
}

static void add_pair(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ",\"%s\":", key);
	add_string(b, text);
}

static void add_labels(const struct view *v, struct buf *b)
{
	buf_str(b, ",\"labels\":{\"target_pod\":");
	add_string(b, v->subject->pod);
	add_pair(b, "target_namespace", v->subject->namespace);
	add_pair(b, "target_node", v->subject->node);
	for (size_t i = 0; v->labels && i < v->labels->n; i++) {
		buf_str(b, ",");
		add_string(b, v->labels->v[i].name);
		buf_str(b, ":");
		add_string(b, v->labels->v[i].value);
	}
	buf_str(b, "}");
	if (v->subject->netns)
		buf_printf(b, ",\"netns\":%llu", (unsigned long long)v->subject->netns);
	else
		buf_str(b, ",\"netns\":null");
}

/* Counts and bytes are whole numbers, shares are percent, times are milliseconds. */
static void add_numbers(const struct finding *f, struct buf *b)
{
	static const char *const units[] = {
		[VALUE_COUNT] = "", [VALUE_PERCENT] = "_percent", [VALUE_BYTES] = "_bytes", [VALUE_MS] = "_ms"
	};

	buf_str(b, ",\"numbers\":{");
	for (size_t i = 0; i < f->nvalues; i++) {
		const struct value *value = &f->values[i];

		buf_printf(b, "%s\"%s%s\":", i ? "," : "", value->name, units[value->kind]);
		if (!isfinite(value->v))
			buf_str(b, "null");
		else if (value->kind == VALUE_PERCENT)
			buf_printf(b, "%.3f", 100 * value->v);
		else
			buf_printf(b, "%.0f", value->kind == VALUE_MS ? 1000 * value->v : value->v);
	}
	buf_str(b, "}");
}

/* What a finding and a consequence have in common, without the braces. */
static void add_body(const struct report *r, const struct finding *f, enum severity severity,
		     struct buf *b)
{
	struct buf says = { 0 };
	struct who_list list;

	buf_printf(b, "\"severity\":\"%s\"", severity_words[severity]);
	add_pair(b, "id", f->row->id);
	buf_printf(b, ",\"scope\":\"%s\"", f->view.subject->machine ? "host" : "netns");
	add_labels(&f->view, b);
	finding_says(f, &says);
	add_pair(b, "text", says.data ? says.data : "");
	add_numbers(f, b);
	b->failed |= says.failed || who_list(r->who, f, &list);
	who_json(&list, b);
	who_list_free(&list);
	buf_free(&says);
}

static void add_finding(const struct report *r, const struct finding *f, const char *ts,
			struct buf *b)
{
	const struct finding *below;
	struct commands commands = { 0 };
	struct buf command = { 0 };
	const char *comma = "";

	buf_printf(b, "{\"schema\":1,\"kind\":\"finding\",\"ts\":\"%s\",", ts);
	add_body(r, f, f->shown, b);
	add_pair(b, "cause", f->row->cause);
	buf_str(b, ",\"next\":[");
	while (finding_command(r, f, &commands, &command)) {
		buf_str(b, comma);
		buf_json(b, command.data, command.len);
		command.len = 0;
		comma = ",";
	}
	buf_str(b, "],\"folded\":[");
	comma = "";
	for (size_t i = 0; (below = finding_below(r->findings, f, &i)); comma = ",") {
		buf_printf(b, "%s{", comma);
		add_body(r, below, below->severity, b);
		buf_str(b, "}");
	}
	buf_str(b, "]}\n");
	b->failed |= command.failed;
	buf_free(&command);
}

static void add_summary(const struct report *r, const char *ts, struct buf *b)
{
	buf_printf(b,
		   "{\"schema\":1,\"kind\":\"summary\",\"ts\":\"%s\",\"seconds\":%.3f,"
		   "\"namespaces\":%zu",
		   ts, r->seconds, subject_count(r->store));
	for (enum severity s = CRITICAL; s >= NOTE; s--)
		buf_printf(b, ",\"%s\":%zu", severity_words[s], report_count(r->findings, s));
	buf_str(b, ",\"gaps\":[");
	for (size_t i = 0; i < r->ngaps; i++) {
		buf_printf(b, "%s{\"probe\":", i ? "," : "");
		add_string(b, r->gaps[i].probe);
		add_pair(b, "why", r->gaps[i].why);
		buf_printf(b, ",\"partly\":%s}", r->gaps[i].partly ? "true" : "false");
	}
	buf_str(b, "]}\n");
}

void report_json(const struct report *r, struct buf *b)
{
	auto_free const struct finding **v = finding_order(r->findings);
	struct buf ts = { 0 };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	buf_time_utc(&ts, &now);
	b->failed |= !v || ts.failed;
	for (size_t i = 0; !b->failed && v[i]; i++)
		add_finding(r, v[i], ts.data, b);
	if (!b->failed)
		add_summary(r, ts.data, b);
	buf_free(&ts);
}
