// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables for people. Few metrics: a row for each target, a column for each metric. Many: a row for each metric, target
 * by target. Rows that say nothing but zero are left out.
 */
#include "out.h"

#include <string.h>

#include "array.h"
#include "field.h"
#include "format.h"
#include "options.h"
#include "table.h"
#include "target.h"

/* Up to this many metrics stand side by side. */
#define WIDE_MAX 8

/* ---- header and lines ---- */

static void head_text(const struct out *o, const struct table *t, struct buf *b)
{
	if (out_env(o)->color)
		buf_str(b, "\033[1m");
	table_head(t, b);
	if (out_env(o)->color) {
		b->len--; /* before the line's end */
		buf_str(b, "\033[0m\n");
	}
}

/* The same columns keep the widths they had: rounds stay below each other. */
static void widths_recall(const struct out_header *h, struct table *t)
{
	struct buf names = { 0 };

	table_names(t, &names);
	if (names.data && h->columns.data && !strcmp(names.data, h->columns.data))
		for (size_t i = 0; i < t->ncols && i < h->nwidths; i++)
			if (t->cols[i].width < h->widths[i])
				t->cols[i].width = h->widths[i];
	buf_free(&names);
}

static bool widths_keep(struct out_header *h, const struct table *t)
{
	if (array_grow(&h->widths, &h->widths_size, t->ncols))
		return false;
	for (size_t i = 0; i < t->ncols; i++)
		h->widths[i] = t->cols[i].width;
	h->nwidths = t->ncols;
	return true;
}

/* Where the columns changed; on a terminal also where they moved, and once a screen. */
static void add_header(const struct out *o, const struct table *t, struct buf *b)
{
	struct out_header *h = out_header(o);
	const struct out_env *env = out_env(o);
	struct buf names = { 0 }, line = { 0 };
	bool due;

	table_names(t, &names);
	table_head(t, &line);
	due = !h->columns.data || strcmp(names.data, h->columns.data);
	if (env->tty)
		due |= h->lines + 1 >= env->height || !h->line.data || strcmp(line.data, h->line.data);
	if (!due || names.failed || line.failed) {
		buf_free(&names);
		buf_free(&line);
		return;
	}
	if (!out_options(o)->no_header)
		head_text(o, t, b);
	buf_free(&h->columns);
	buf_free(&h->line);
	h->columns = names;
	h->line = line;
	h->lines = 1;
}

static void print(const struct out *o, struct table *t, struct buf *b)
{
	const struct out_env *env = out_env(o);
	struct out_header *h = out_header(o);

	widths_recall(h, t);
	table_fit(t, env->tty ? env->width : 0);
	if (t->failed || t->text.failed || !widths_keep(h, t)) {
		b->failed = true;
		return;
	}
	add_header(o, t, b);
	for (size_t i = 0; i < table_rows(t); i++) {
		if (i && env->tty)
			add_header(o, t, b);
		table_row(t, i, b);
		h->lines++;
	}
}

static void begin_columns(const struct out *o, struct table *t)
{
	if (out_options(o)->timestamp)
		table_column(t, "time", COL_WHOLE, 0);
}

static void begin_row(const struct out *o, struct table *t, const struct timespec *ts)
{
	if (!out_options(o)->timestamp)
		return;
	buf_time_local(table_cell(t), ts);
	table_end(t);
}

/* ---- rounds ---- */

/* What a round has to show. */
struct view {
	const struct out *o;
	const struct round *r;
	struct table t;
	bool delta;          /* differences are there to be shown */
	const char **labels; /* names of further labels, in order of first appearance */
	size_t nlabels, labels_size;
	const struct sample **by_row; /* the samples row by row; those of row i end at ends[i] */
	size_t *ends;
};

static bool find_labels(struct view *v)
{
	for (size_t i = 0; i < v->r->nrows; i++) {
		for (const struct label *l = v->r->rows[i].labels; l->name; l++) {
			size_t k = 0;

			while (k < v->nlabels && strcmp(v->labels[k], l->name))
				k++;
			if (k < v->nlabels)
				continue;
			if (array_grow(&v->labels, &v->labels_size, v->nlabels + 1))
				return false;
			v->labels[v->nlabels++] = l->name;
		}
	}
	return true;
}

/* Samples come metric by metric; people read target by target. */
static bool sort_by_row(struct view *v)
{
	const struct round *r = v->r;
	size_t *ends = v->ends = calloc(r->nrows + 1, sizeof(*v->ends));

	v->by_row = calloc(r->nsamples + 1, sizeof(*v->by_row));
	if (!v->ends || !v->by_row)
		return false;
	for (size_t i = 0; i < r->nsamples; i++)
		ends[r->samples[i].row + 1]++;
	for (size_t i = 1; i <= r->nrows; i++)
		ends[i] += ends[i - 1];
	for (size_t i = 0; i < r->nsamples; i++)
		v->by_row[ends[r->samples[i].row]++] = &r->samples[i];
	return true;
}

static size_t count_metrics(const struct round *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nsamples; i++)
		n += !i || r->samples[i].metric != r->samples[i - 1].metric;
	return n;
}

static void target_columns(struct view *v)
{
	begin_columns(v->o, &v->t);
	table_column(&v->t, "namespace", 0, 0);
	table_column(&v->t, "pod", 0, 0);
	for (size_t i = 0; i < v->nlabels; i++)
		table_column(&v->t, v->labels[i], 0, 0);
}

static void target_cells(struct view *v, const struct out_row *row)
{
	begin_row(v->o, &v->t, &v->r->ts);
	table_str(&v->t, row->target->namespace);
	table_str(&v->t, row->target->pod);
	for (size_t i = 0; i < v->nlabels; i++) {
		const struct label *l = row->labels;

		while (l->name && strcmp(l->name, v->labels[i]))
			l++;
		table_str(&v->t, l->name ? l->value : "");
	}
}

/* Whether there is something to see: growth where that is what counts, else a value. */
static bool moved(const struct view *v, const struct sample *s)
{
	return v->delta && s->has_delta ? s->delta : s->value;
}

static void long_rows(struct view *v)
{
	size_t i = 0;

	table_column(&v->t, "metric", 0, 0);
	table_column(&v->t, "value", COL_RIGHT, 0);
	if (v->delta)
		table_column(&v->t, "delta", COL_RIGHT, 0);
	for (; i < v->r->nsamples; i++) {
		const struct sample *s = v->by_row[i];

		if (!moved(v, s) && !out_options(v->o)->zeros)
			continue;
		target_cells(v, &v->r->rows[s->row]);
		table_str(&v->t, s->metric->name);
		buf_value(table_cell(&v->t), s->metric, s->value);
		table_end(&v->t);
		if (!v->delta)
			continue;
		table_cell(&v->t);
		if (s->has_delta)
			buf_value(&v->t.text, s->metric, s->delta);
		table_end(&v->t);
	}
}

static void wide_row(struct view *v, size_t from, size_t to, const struct metric *const *metrics, size_t n)
{
	bool any = out_options(v->o)->zeros;

	for (size_t i = from; i < to && !any; i++)
		any = moved(v, v->by_row[i]);
	if (!any)
		return;
	target_cells(v, &v->r->rows[v->by_row[from]->row]);
	for (size_t k = 0; k < n; k++) {
		const struct sample *s = from < to ? v->by_row[from] : NULL;

		table_cell(&v->t);
		if (s && s->metric == metrics[k]) {
			buf_value(&v->t.text, s->metric, v->delta && s->has_delta ? s->delta : s->value);
			from++;
		}
		table_end(&v->t);
	}
}

static void wide_rows(struct view *v)
{
	const struct metric *metrics[WIDE_MAX];
	size_t n = 0, from = 0;

	for (size_t i = 0; i < v->r->nsamples; i++) {
		if (i && v->r->samples[i].metric == v->r->samples[i - 1].metric)
			continue;
		metrics[n] = v->r->samples[i].metric;
		table_column(&v->t, metrics[n++]->name, COL_RIGHT, 0);
	}
	for (size_t i = 0; i < v->r->nrows; i++) {
		wide_row(v, from, v->ends[i], metrics, n);
		from = v->ends[i];
	}
}

static void table_round(const struct out *o, const struct round *r, struct buf *b)
{
	struct view v = { .o = o, .r = r, .delta = r->rate && r->base };
	size_t n = count_metrics(r);

	if (find_labels(&v) && sort_by_row(&v)) {
		target_columns(&v);
		if (n && n <= WIDE_MAX)
			wide_rows(&v);
		else
			long_rows(&v);
		print(o, &v.t, b);
	} else {
		b->failed = true;
	}
	table_free(&v.t);
	free(v.labels);
	free(v.by_row);
	free(v.ends);
}

/* ---- events ---- */

/* Events come one by one: the columns start with room for what is usual. */
static const struct {
	unsigned int flags;
	size_t width;
} field_columns[] = {
	[F_UINT] = { COL_RIGHT, 6 },  [F_INT] = { COL_RIGHT, 6 },    [F_NS] = { COL_RIGHT, 9 },
	[F_STR] = { 0, 12 },	      [F_PROTO] = { 0, 4 },	     [F_ADDR] = { COL_WHOLE, 15 },
	[F_PORT] = { COL_RIGHT, 5 },  [F_STATE] = { COL_WHOLE, 11 }, [F_ENUM] = { 0, 16 },
	[F_SYMBOL] = { 0, 24 },	      [F_STAGES] = { COL_WHOLE, 0 }, [F_STACK] = { 0, 0 },
};

static void event_columns(const struct out *o, struct table *t)
{
	const struct field *f = out_probe(o)->fields;
	size_t longest = 0;

	for (const struct event *e = out_probe(o)->events; e->name; e++)
		if (strlen(e->name) > longest)
			longest = strlen(e->name);
	begin_columns(o, t);
	table_column(t, "event", COL_WHOLE, longest);
	table_column(t, "namespace", 0, 12);
	table_column(t, "pod", 0, 16);
	table_column(t, "cpu", COL_RIGHT, 3);
	for (; f && f->name; f++)
		if (f->type != F_STACK)
			table_column(t, f->name, field_columns[f->type].flags, field_columns[f->type].width);
}

/* INGRESS=0.010ms,PREROUTING+ROUTE=152.118ms */
static void stages_text(const struct field *f, const void *record, struct buf *b)
{
	const char *comma = "";
	uint64_t ns;
	bool known;

	for (size_t i = 0;; comma = ",") {
		struct buf name = { 0 };

		if (!field_stage(f, record, &i, &name, &ns, &known))
			return;
		buf_upper(&name, 0);
		buf_str(b, comma);
		buf_add(b, name.data, name.len);
		buf_str(b, "=");
		buf_free(&name);
		if (known)
			buf_duration(b, ns);
		else
			buf_str(b, "-");
	}
}

static void event_cell(const struct out *o, const struct field *f, const void *record, bool known,
		       struct table *t)
{
	struct buf *b = table_cell(t);

	if (known && f->type == F_NS)
		buf_duration(b, field_uint(f, record));
	else if (known && f->type == F_STAGES)
		stages_text(f, record, b);
	else if (known)
		field_text(o, f, record, b);
	table_end(t);
}

static void add_stack(const struct out *o, const struct field *f, const void *record, struct buf *b)
{
	for (size_t i = 0;; i++) {
		size_t from = b->len;

		buf_str(b, "    ");
		if (!field_frame(o, f, record, i, b)) {
			b->len = from;
			return;
		}
		if (!b->failed)
			buf_plain(b, from);
		buf_str(b, "\n");
		out_header(o)->lines++;
	}
}

static void table_event(const struct out *o, const struct target *target, const struct timespec *ts,
			const void *record, struct buf *b)
{
	const struct field *fields = out_probe(o)->fields;
	struct event_header h = event_header(record);
	struct table t = { 0 };

	event_columns(o, &t);
	begin_row(o, &t, ts);
	table_str(&t, out_probe(o)->events[h.type].name);
	table_str(&t, target->namespace);
	table_str(&t, target->pod);
	buf_u64(table_cell(&t), h.cpu);
	table_end(&t);
	for (size_t i = 0; fields && fields[i].name; i++)
		if (fields[i].type != F_STACK)
			event_cell(o, &fields[i], record, field_known(record, i), &t);
	print(o, &t, b);
	for (size_t i = 0; fields && fields[i].name; i++)
		if (fields[i].type == F_STACK && field_shown(o, &fields[i]) && field_known(record, i))
			add_stack(o, &fields[i], record, b);
	table_free(&t);
}

const struct out_ops out_table = { .round = table_round, .event = table_event };
