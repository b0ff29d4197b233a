// SPDX-License-Identifier: GPL-2.0-or-later
/* JSON Lines: one object a line, keys in a fixed order, integers as they are. */
#include "out.h"

#include <string.h>

#include "field.h"
#include "format.h"
#include "out_hist.h"
#include "row_text.h"
#include "target.h"

static const char *const type_names[] = { [COUNTER] = "counter", [GAUGE] = "gauge" };
static const char *const scope_names[] = { [SCOPE_NETNS] = "netns", [SCOPE_HOST] = "host" };

static void add_text(struct buf *b, const char *str)
{
	buf_json(b, str, strlen(str));
}

/* What every record begins with: {"schema":1,"kind":"metric","ts":"…" */
static void add_head(struct buf *b, const char *kind, const struct timespec *ts)
{
	buf_str(b, "{\"schema\":1,\"kind\":\"");
	buf_str(b, kind);
	buf_str(b, "\",\"ts\":\"");
	buf_time_utc(b, ts);
	buf_str(b, "\"");
}

static void add_probe(struct buf *b, const struct out *o)
{
	buf_str(b, ",\"probe\":");
	add_text(b, out_probe(o)->name);
	if (out_mode(o)) {
		buf_str(b, ",\"mode\":");
		add_text(b, out_mode(o));
	}
}

static void add_labels(struct buf *b, const struct target *t, const struct label *labels)
{
	buf_str(b, ",\"labels\":{\"target_pod\":");
	add_text(b, t->pod);
	buf_str(b, ",\"target_namespace\":");
	add_text(b, t->namespace);
	buf_str(b, ",\"target_node\":");
	add_text(b, t->node);
	for (; labels && labels->name; labels++) {
		buf_str(b, ",");
		add_text(b, labels->name);
		buf_str(b, ":");
		add_text(b, labels->value);
	}
	buf_str(b, "}");
}

static void add_netns(struct buf *b, uint64_t netns)
{
	buf_str(b, ",\"netns\":");
	if (netns)
		buf_u64(b, netns);
	else
		buf_str(b, "null");
}

/* The end of a metric record. */
static void row_end(const struct out_row *row, struct buf *b)
{
	add_labels(b, row->target, row->labels);
	add_netns(b, row->target->netns);
	buf_str(b, "}\n");
}

static void metric_begin(struct buf *b, const struct out *o, const struct metric *m)
{
	buf_str(b, ",\"metric\":\"kubeskoop_");
	buf_str(b, probe_prefix(out_probe(o)));
	buf_str(b, "_");
	buf_str(b, m->name);
	buf_str(b, "\",\"type\":\"");
	buf_str(b, type_names[m->type]);
	buf_str(b, "\",\"scope\":\"");
	buf_str(b, scope_names[m->scope]);
	buf_str(b, "\",\"value\":");
}

static void json_hists(const struct out *o, const struct round *r, struct buf *b)
{
	for (size_t i = 0; i < r->nhists; i++) {
		const struct histogram *h = &r->hists[i];

		add_head(b, "histogram", &r->ts);
		add_probe(b, o);
		buf_str(b, ",\"histogram\":");
		add_text(b, h->hist->name);
		buf_str(b, ",\"unit\":\"ns\"");
		add_labels(b, h->target, NULL);
		hist_json(h, b);
		add_netns(b, h->target->netns);
		buf_str(b, "}\n");
	}
}

static void json_round(const struct out *o, const struct round *r, struct buf *b)
{
	struct row_text ends = { 0 };
	struct buf head = { 0 }, begin = { 0 };
	const struct metric *m = NULL;

	add_head(&head, "metric", &r->ts);
	add_probe(&head, o);
	row_text_make(&ends, r, row_end, b);
	for (size_t i = 0; i < r->nsamples; i++) {
		const struct sample *s = &r->samples[i];

		if (s->metric != m) {
			m = s->metric;
			begin.len = 0;
			buf_add(&begin, head.data, head.len);
			metric_begin(&begin, o, m);
		}
		buf_add(b, begin.data, begin.len);
		buf_value(b, m, s->value);
		if (r->rate) {
			buf_str(b, ",\"delta\":");
			if (s->has_delta)
				buf_value(b, m, s->delta);
			else
				buf_str(b, "null");
		}
		row_text_add(&ends, s->row, b);
	}
	b->failed |= head.failed || begin.failed;
	buf_free(&head);
	buf_free(&begin);
	row_text_free(&ends);
	json_hists(o, r, b);
}

static void add_stages(struct buf *b, const struct field *f, const void *record)
{
	struct buf name = { 0 };
	uint64_t ns;
	bool known;

	buf_str(b, "{");
	for (size_t i = 0; field_stage(f, record, &i, &name, &ns, &known); name.len = 0) {
		if (b->data[b->len - 1] != '{')
			buf_str(b, ",");
		buf_json(b, name.data, name.len);
		buf_str(b, ":");
		if (known)
			buf_u64(b, ns);
		else
			buf_str(b, "null");
	}
	buf_str(b, "}");
	b->failed |= name.failed;
	buf_free(&name);
}

static void add_stack(struct buf *b, const struct out *o, const struct field *f, const void *record)
{
	struct buf frame = { 0 };

	buf_str(b, "[");
	for (size_t i = 0; field_frame(o, f, record, i, &frame); i++, frame.len = 0) {
		if (i)
			buf_str(b, ",");
		buf_json(b, frame.data, frame.len);
	}
	buf_str(b, "]");
	b->failed |= frame.failed;
	buf_free(&frame);
}

static void add_value(struct buf *b, const struct out *o, const struct field *f, const void *record)
{
	struct buf text = { 0 };

	if (f->type == F_STAGES) {
		add_stages(b, f, record);
	} else if (f->type == F_STACK) {
		add_stack(b, o, f, record);
	} else if (field_is_number(f)) {
		field_text(o, f, record, b);
	} else {
		field_text(o, f, record, &text);
		buf_json(b, text.data ? text.data : "", text.len);
		b->failed |= text.failed;
		buf_free(&text);
	}
}

static void json_event(const struct out *o, const struct target *t, const struct timespec *ts,
		       const void *record, struct buf *b)
{
	const struct field *fields = out_probe(o)->fields;
	struct event_header h = event_header(record);

	bool in_flight = h.type & EVENT_IN_FLIGHT;

	add_head(b, in_flight ? "in_flight" : "event", ts);
	buf_str(b, ",\"mono_ns\":");
	buf_u64(b, h.mono_ns);
	add_probe(b, o);
	buf_str(b, ",\"event\":");
	add_text(b, out_probe(o)->events[h.type & ~EVENT_IN_FLIGHT].name);
	add_labels(b, t, NULL);
	add_netns(b, h.netns);
	buf_str(b, ",\"cpu\":");
	buf_u64(b, h.cpu);
	for (size_t i = 0; fields && fields[i].name; i++) {
		if (!field_shown(o, &fields[i]))
			continue;
		buf_str(b, ",\"");
		field_key(&fields[i], b);
		buf_str(b, "\":");
		if (field_known(record, i))
			add_value(b, o, &fields[i], record);
		else
			buf_str(b, "null");
	}
	buf_str(b, "}\n");
}

static void json_lost(const struct out *o, const struct timespec *ts, const char *where,
		      uint64_t count, uint64_t total, struct buf *b)
{
	add_head(b, "lost", ts);
	add_probe(b, o);
	buf_str(b, ",\"where\":");
	add_text(b, where);
	buf_str(b, ",\"count\":");
	buf_u64(b, count);
	buf_str(b, ",\"total\":");
	buf_u64(b, total);
	buf_str(b, "}\n");
}

const struct out_ops out_json = { .round = json_round, .event = json_event, .lost = json_lost };
