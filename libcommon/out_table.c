// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables for people. Few metrics: a row for each target, a column for each metric. Many: a row for each metric, target
 * by target. Rows that say nothing but zero are left out.
 */
#include "out_hist.h"
#include "out_table.h"

#include <inttypes.h>
#include <string.h>

#include "array.h"
#include "format.h"
#include "options.h"
#include "target.h"

/* Up to this many metrics stand side by side. */
#define WIDE_MAX 8

/* What a round has to show. */
struct view {
	const struct out *o;
	const struct round *r;
	struct table t;
	bool delta;          /* differences are there to be shown */
	const char **labels; /* names of further labels */
	size_t nlabels, labels_size;
	const struct sample **by_row; /* the samples row by row; those of row i end at ends[i] */
	size_t *ends;
};

static bool label_occurs(const struct round *r, const char *name)
{
	for (size_t i = 0; i < r->nrows; i++)
		for (const struct label *l = r->rows[i].labels; l->name; l++)
			if (!strcmp(l->name, name))
				return true;
	return false;
}

/* Those the probe gives an order, as far as they occur, then others. */
static bool find_labels(struct view *v)
{
	const char *const *known = out_probe(v->o)->labels;

	for (; known && *known; known++) {
		if (!label_occurs(v->r, *known))
			continue;
		if (array_grow(&v->labels, &v->labels_size, v->nlabels + 1))
			return false;
		v->labels[v->nlabels++] = *known;
	}
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
	screen_columns(v->o, &v->t);
	table_column(&v->t, "namespace", 0, 0);
	table_column(&v->t, "pod", 0, 0);
	for (size_t i = 0; i < v->nlabels; i++)
		table_column(&v->t, v->labels[i], 0, 0);
}

static void target_cells(struct view *v, const struct out_row *row)
{
	screen_row(v->o, &v->t, &v->r->ts);
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

/* The difference, and what it comes to in a second. */
static void growth_cells(struct view *v, const struct sample *s)
{
	uint64_t elapsed = v->r->elapsed;

	table_cell(&v->t);
	if (s->has_delta)
		buf_value(&v->t.text, s->metric, s->delta);
	table_end(&v->t);
	table_cell(&v->t);
	if (s->has_delta && elapsed) {
		uint64_t tenths = (uint64_t)((unsigned __int128)s->delta * 10 * NSEC_PER_SEC /
					     elapsed);

		buf_printf(&v->t.text, "%" PRIu64 ".%u", tenths / 10, (unsigned int)(tenths % 10));
	}
	table_end(&v->t);
}

static void long_rows(struct view *v)
{
	size_t i = 0;

	table_column(&v->t, "metric", 0, 0);
	table_column(&v->t, "value", COL_RIGHT, 0);
	if (v->delta) {
		table_column(&v->t, "delta", COL_RIGHT, 0);
		table_column(&v->t, "per_sec", COL_RIGHT, 0);
	}
	for (; i < v->r->nsamples; i++) {
		const struct sample *s = v->by_row[i];

		if (!moved(v, s) && !out_options(v->o)->zeros)
			continue;
		target_cells(v, &v->r->rows[s->row]);
		table_str(&v->t, s->metric->name);
		buf_value(table_cell(&v->t), s->metric, s->value);
		table_end(&v->t);
		if (v->delta)
			growth_cells(v, s);
	}
}

static void wide_row(struct view *v, size_t from, size_t to, const struct metric *const *metrics,
		     size_t n)
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
			buf_value(&v->t.text, s->metric,
				  v->delta && s->has_delta ? s->delta : s->value);
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
		const struct sample *s = &v->r->samples[i];

		if (i && s->metric == v->r->samples[i - 1].metric)
			continue;
		if (s->metric->flags & M_SELF && !moved(v, s) && !out_options(v->o)->zeros)
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
		screen_print(o, &v.t, b);
		hist_table(o, r, b);
	} else {
		b->failed = true;
	}
	table_free(&v.t);
	free(v.labels);
	free(v.by_row);
	free(v.ends);
}

const struct out_ops out_table = { .round = table_round, .event = table_event };
