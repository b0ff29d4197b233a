// SPDX-License-Identifier: GPL-2.0-or-later
/* Tab-separated lines with the same columns whatever the target; what is missing is `-`. */
#include "out.h"

#include <string.h>

#include "field.h"
#include "format.h"
#include "options.h"
#include "row_text.h"
#include "target.h"

/* The header, unless it is the last one that was written: events and counters of one run have their own. */
static void add_header(const struct out *o, const char *columns, struct buf *b)
{
	struct out_header *h = out_header(o);

	if (out_options(o)->no_header || (h->columns.data && !strcmp(h->columns.data, columns)))
		return;
	h->columns.len = 0;
	buf_str(&h->columns, columns);
	buf_str(b, out_options(o)->framed ? "\f" : "");
	buf_str(b, columns);
	buf_str(b, "\n");
}

static void add_text(struct buf *b, const char *str)
{
	buf_tsv(b, str, strlen(str));
	buf_str(b, "\t");
}

static void target_text(const struct out_row *row, struct buf *b)
{
	add_text(b, row->target->node);
	add_text(b, row->target->namespace);
	add_text(b, row->target->pod);
}

static void labels_text(const struct out_row *row, struct buf *b)
{
	if (!row->labels->name)
		buf_str(b, "-");
	for (const struct label *l = row->labels; l->name; l++) {
		if (l != row->labels)
			buf_str(b, ",");
		buf_str(b, l->name);
		buf_str(b, "=");
		buf_tsv_item(b, l->value);
	}
	buf_str(b, "\n");
}

/* probe metric type, each with its tab */
static void metric_text(const struct out *o, const struct metric *m, struct buf *b)
{
	const struct probe *p = out_probe(o);

	add_text(b, p->name);
	buf_str(b, "kubeskoop_");
	buf_str(b, probe_prefix(p));
	buf_str(b, "_");
	add_text(b, m->name);
	buf_str(b, m->type == GAUGE ? "gauge\t" : "counter\t");
}

static void tsv_round(const struct out *o, const struct round *r, struct buf *b)
{
	struct row_text targets = { 0 }, labels = { 0 };
	struct buf ts = { 0 }, metric = { 0 };
	const struct metric *m = NULL;

	add_header(
		o,
		"ts\ttarget_node\ttarget_namespace\ttarget_pod\tprobe\tmetric\ttype\tvalue\tdelta\tlabels",
		b);
	buf_time_utc(&ts, &r->ts);
	buf_str(&ts, "\t");
	row_text_make(&targets, r, target_text, b);
	row_text_make(&labels, r, labels_text, b);
	for (size_t i = 0; i < r->nsamples; i++) {
		const struct sample *s = &r->samples[i];

		if (s->metric != m) {
			m = s->metric;
			metric.len = 0;
			metric_text(o, m, &metric);
		}
		buf_add(b, ts.data, ts.len);
		row_text_add(&targets, s->row, b);
		buf_add(b, metric.data, metric.len);
		buf_value(b, m, s->value);
		buf_str(b, "\t");
		if (r->rate && s->has_delta)
			buf_value(b, m, s->delta);
		else
			buf_str(b, "-");
		buf_str(b, "\t");
		row_text_add(&labels, s->row, b);
	}
	b->failed |= ts.failed || metric.failed;
	buf_free(&ts);
	buf_free(&metric);
	row_text_free(&targets);
	row_text_free(&labels);
}

static void event_header_line(const struct out *o, struct buf *b)
{
	const struct field *f = out_probe(o)->fields;

	buf_str(b, "ts\ttarget_node\ttarget_namespace\ttarget_pod\tevent\tcpu");
	for (; f && f->name; f++) {
		if (!field_shown(o, f))
			continue;
		buf_str(b, "\t");
		field_key(f, b);
	}
}

static void add_stages(const struct field *f, const void *record, struct buf *b)
{
	const char *comma = "";
	uint64_t ns;
	bool known;

	for (size_t i = 0;; comma = ",") {
		struct buf name = { 0 };

		if (!field_stage(f, record, &i, &name, &ns, &known))
			return;
		buf_str(b, comma);
		buf_add(b, name.data, name.len);
		buf_str(b, "=");
		buf_free(&name);
		if (known)
			buf_u64(b, ns);
		else
			buf_str(b, "-");
	}
}

/* The field's text as it is, before it is escaped. */
static void value_text(const struct out *o, const struct field *f, const void *record, struct buf *b)
{
	if (f->type == F_STAGES) {
		add_stages(f, record, b);
	} else if (f->type == F_STACK) {
		for (size_t i = 0;; i++) {
			size_t len = b->len;

			if (i)
				buf_str(b, ";");
			if (!field_frame(o, f, record, i, b)) {
				b->len = len;
				return;
			}
		}
	} else {
		field_text(o, f, record, b);
	}
}

static void tsv_event(const struct out *o, const struct target *t, const struct timespec *ts,
		      const void *record, struct buf *b)
{
	const struct field *fields = out_probe(o)->fields;
	struct event_header h = event_header(record);
	struct buf text = { 0 };

	event_header_line(o, &text);
	if (!text.failed)
		add_header(o, text.data, b);
	buf_time_utc(b, ts);
	buf_str(b, "\t");
	target_text(&(struct out_row){ .target = t }, b);
	add_text(b, event_name(o, &h));
	buf_u64(b, h.cpu);
	for (size_t i = 0; fields && fields[i].name; i++) {
		if (!field_shown(o, &fields[i]))
			continue;
		text.len = 0;
		if (field_known(record, i))
			value_text(o, &fields[i], record, &text);
		buf_str(b, "\t");
		buf_tsv(b, text.data, text.len);
	}
	buf_str(b, "\n");
	b->failed |= text.failed;
	buf_free(&text);
}

const struct out_ops out_tsv = { .round = tsv_round, .event = tsv_event };
