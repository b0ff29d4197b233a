// SPDX-License-Identifier: GPL-2.0-or-later
/* The samples of a round: kept by metric and row, then sorted and compared with the round before. */
#include "samples.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "metrics.h"
#include "rows.h"
#include "target.h"

struct side {
	struct rows rows;
	struct sample *v;
	size_t n, size;
	size_t *ends; /* of each metric's samples, once sorted */
	size_t ends_size, nmetrics;
};

struct samples {
	const char *prefix;
	struct metrics metrics;
	struct side now, before;
	bool base;
	bool from_zero; /* its counters began with the run: one that was not there in the round before was 0 */
	int err;

	/* Sorting and comparing. */
	struct sample *scratch;
	struct out_row *rows;
	uint32_t *was; /* of each row: its rank in the round before */
	size_t scratch_size, rows_size, was_size;

	/* The target of the last sample, as most come target by target, and its row without further labels. */
	const struct target *target;
	const struct identity *id;
	uint32_t plain;
};

static uint32_t row_of(struct samples *s, const struct target *t, const struct label *labels)
{
	static const struct label none;
	uint64_t hash;
	uint32_t row;

	if (t != s->target) {
		s->target = NULL;
		s->id = rows_identity(&s->now.rows, t);
		if (!s->id)
			return NO_ROW;
		s->target = t;
		s->plain = NO_ROW;
	}
	if (!labels)
		labels = &none;
	if (!labels->name && s->plain != NO_ROW)
		return s->plain;
	hash = rows_hash(s->id, labels);
	row = rows_find(&s->now.rows, hash, s->id, labels);
	if (row == NO_ROW)
		row = rows_add(&s->now.rows, hash, t, s->id, labels);
	if (!labels->name)
		s->plain = row;
	return row;
}

void samples_add(struct samples *s, const struct target *t, const struct metric *m, uint64_t value,
		 const struct label *labels)
{
	struct side *now = &s->now;
	uint32_t row = row_of(s, t, labels);

	if (row == NO_ROW || array_grow(&now->v, &now->size, now->n + 1)) {
		s->err = -ENOMEM;
		return;
	}
	now->v[now->n++] = (struct sample){ .metric = m, .row = row, .value = value };
}

void samples_grown(struct samples *s, uint64_t grown)
{
	if (s->err || !s->now.n)
		return;
	s->now.v[s->now.n - 1].grown = true;
	s->now.v[s->now.n - 1].delta = grown;
}

void samples_in_order(struct samples *s)
{
	s->now.rows.in_order = true;
}

const struct metric *samples_extra(struct samples *s, const char *key, size_t key_len,
				   const struct metric *like)
{
	const struct metric *m;
	int err = metrics_extra(&s->metrics, key, key_len, like, &m);

	if (err == -ENOMEM)
		s->err = err;
	return err ? NULL : m;
}

static size_t key_row(const struct samples *s, const struct sample *x)
{
	(void)s;
	return x->row;
}

static size_t key_metric(const struct samples *s, const struct sample *x)
{
	return metrics_index(&s->metrics, x->metric);
}

/* A stable counting sort; afterwards ends[k] is where the samples of key k end. */
static void sort_by(const struct samples *s,
		    size_t (*key)(const struct samples *, const struct sample *),
		    const struct sample *from, struct sample *to, size_t n, size_t *ends,
		    size_t nkeys)
{
	memset(ends, 0, (nkeys + 1) * sizeof(*ends));
	for (size_t i = 0; i < n; i++)
		ends[key(s, &from[i]) + 1]++;
	for (size_t k = 1; k <= nkeys; k++)
		ends[k] += ends[k - 1];
	for (size_t i = 0; i < n; i++)
		to[ends[key(s, &from[i])]++] = from[i];
}

static int make_rows(struct samples *s)
{
	struct side *now = &s->now;

	if (array_grow(&s->rows, &s->rows_size, now->rows.n + 1))
		return -ENOMEM;
	if (rows_rank(&now->rows, s->rows))
		return -ENOMEM;
	for (size_t i = 0; i < now->n; i++) {
		struct sample *x = &now->v[i];

		x->row = now->rows.v[x->row].rank;
		x->target = s->rows[x->row].target;
		x->labels = s->rows[x->row].labels;
	}
	return 0;
}

static int sort_samples(struct samples *s)
{
	struct side *now = &s->now;
	size_t nkeys = now->rows.n > s->metrics.n ? now->rows.n : s->metrics.n;

	if (array_grow(&now->ends, &now->ends_size, nkeys + 1) ||
	    array_grow(&s->scratch, &s->scratch_size, now->n))
		return -ENOMEM;
	sort_by(s, key_row, now->v, s->scratch, now->n, now->ends, now->rows.n);
	sort_by(s, key_metric, s->scratch, now->v, now->n, now->ends, s->metrics.n);
	now->nmetrics = s->metrics.n;
	return 0;
}

static int check_metrics(const struct samples *s)
{
	for (size_t i = 0; i < s->now.n; i++) {
		const struct metric *m = s->now.v[i].metric;

		if (metrics_has(&s->metrics, m))
			continue;
		msg_error("kubeskoop_%s_%s is not in the probe's table", s->prefix, m->name);
		return -EINVAL;
	}
	return 0;
}

static int check_twice(const struct samples *s)
{
	for (size_t i = 1; i < s->now.n; i++) {
		const struct sample *x = &s->now.v[i];

		if (x->metric != x[-1].metric || x->row != x[-1].row)
			continue;
		msg_error("kubeskoop_%s_%s of %s/%s%s%s comes twice in a round", s->prefix,
			  x->metric->name, x->target->namespace, x->target->pod,
			  x->labels->name ? " " : "", x->labels->name ? x->labels->value : "");
		return -EEXIST;
	}
	return 0;
}

/* The sample of metric k in this row of the round before. */
static const struct sample *base_sample(const struct side *s, size_t k, size_t row)
{
	size_t lo, hi;

	if (k >= s->nmetrics)
		return NULL;
	lo = k ? s->ends[k - 1] : 0;
	hi = s->ends[k];
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].row == row)
			return &s->v[mid];
		if (s->v[mid].row < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Finds the rows again. The same labels on another namespace are new: a pod that was replaced has not grown. */
static int match_rows(struct samples *s)
{
	const struct rows *now = &s->now.rows, *before = &s->before.rows;

	if (array_grow(&s->was, &s->was_size, now->n))
		return -ENOMEM;
	for (size_t i = 0; i < now->n; i++) {
		const struct rows_entry *e = &now->v[i];
		uint32_t old = rows_find(before, e->hash, e->id, e->row.labels);

		if (old != NO_ROW && before->v[old].id->netns != e->id->netns)
			old = NO_ROW;
		s->was[e->rank] = old == NO_ROW ? NO_ROW : before->v[old].rank;
	}
	return 0;
}

/*
 * Whether a counter of 32 bits, or a sum of such, went over the top: it is lower than before, and
 * less than half their range lies between.
 */
static bool went_over(const struct metric *m, uint64_t before, uint64_t now)
{
	return m->flags & M_U32 && now < before && (uint32_t)(now - before) < 1U << 31;
}

/* What a counter has grown by. One that is lower than before began anew: all it shows is growth. */
static uint64_t growth(const struct metric *m, uint64_t before, uint64_t now)
{
	bool back = m->flags & M_SIGNED ? (int64_t)now < (int64_t)before : now < before;

	return back ? now : now - before;
}

static int make_deltas(struct samples *s)
{
	if (match_rows(s))
		return -ENOMEM;
	for (size_t i = 0; i < s->now.n; i++) {
		struct sample *x = &s->now.v[i];
		const struct sample *b = NULL;

		x->has_delta = x->grown;
		if (x->metric->type == COUNTER && !x->grown && s->was[x->row] != NO_ROW)
			b = base_sample(&s->before, key_metric(s, x), s->was[x->row]);
		if (!b && !x->grown && s->from_zero && x->metric->type == COUNTER &&
		    !(x->metric->flags & M_GAPS)) {
			x->has_delta = true;
			x->delta = x->value;
		}
		if (!b)
			continue;
		/* It goes on, so that nobody who reads the values takes it for one that began anew. */
		if (went_over(x->metric, b->value, x->value))
			x->value = b->value + (uint32_t)(x->value - b->value);
		x->has_delta = true;
		x->delta = growth(x->metric, b->value, x->value);
	}
	return 0;
}

int samples_close(struct samples *s, struct round *r)
{
	int err = s->err;

	if (!err)
		err = check_metrics(s);
	if (!err)
		err = make_rows(s);
	if (!err)
		err = sort_samples(s);
	if (!err)
		err = check_twice(s);
	if (!err && s->base)
		err = make_deltas(s);
	if (err == -ENOMEM)
		msg_error("out of memory");
	if (err)
		return err;
	r->samples = s->now.v;
	r->nsamples = s->now.n;
	r->rows = s->rows;
	r->nrows = s->now.rows.n;
	r->metrics = s->metrics.v;
	r->nmetrics = s->metrics.n;
	r->base = s->base;
	return 0;
}

void samples_begin(struct samples *s)
{
	rows_reset(&s->now.rows);
	s->now.n = 0;
	s->err = 0;
	s->target = NULL;
}

void samples_keep(struct samples *s)
{
	struct side old = s->before;

	s->before = s->now;
	s->now = old;
	s->base = true;
	samples_begin(s);
}

struct samples *samples_open(const struct probe *p)
{
	struct samples *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->prefix = probe_prefix(p);
	s->from_zero = p->tracing;
	if (metrics_open(&s->metrics, p->metrics)) {
		free(s);
		return NULL;
	}
	return s;
}

static void side_free(struct side *s)
{
	rows_free(&s->rows);
	free(s->v);
	free(s->ends);
}

void samples_free(struct samples *s)
{
	if (!s)
		return;
	side_free(&s->now);
	side_free(&s->before);
	metrics_free(&s->metrics);
	free(s->scratch);
	free(s->rows);
	free(s->was);
	free(s);
}
