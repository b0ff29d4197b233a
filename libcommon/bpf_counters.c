// SPDX-License-Identifier: GPL-2.0-or-later
/* From the kernel half's counters to metrics. */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "array.h"
#include "labels.h"
#include "options.h"
#include "out.h"
#include "target.h"

/* One value: what its labels read, so that two that read alike become one. */
struct row {
	const struct target *target;
	struct label *labels; /* ended by {}, with their text behind them */
	uint64_t value;
	uint32_t metric;
};

struct bpf_rows {
	struct row *v;
	size_t n, size;
	uint32_t ranked; /* index of the metric whose largest values come first, UINT32_MAX: none */
	uint64_t top;
};

/* ---- rows ---- */

static int labels_order(const struct label *x, const struct label *y)
{
	int order = 0;

	for (; !order && x->name && y->name; x++, y++) {
		order = strcmp(x->name, y->name);
		if (!order)
			order = strcmp(x->value, y->value);
	}
	return order ? order : (x->name != NULL) - (y->name != NULL);
}

/* By what is shown of them: a namespace that is gone and one made anew under its name are one series. */
static int row_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order;

	if (x->metric != y->metric)
		return x->metric < y->metric ? -1 : 1;
	order = strcmp(x->target->namespace, y->target->namespace);
	if (!order)
		order = strcmp(x->target->pod, y->target->pod);
	return order ? order : labels_order(x->labels, y->labels);
}

static int by_value(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return row_order(a, b);
}

int bpf_run_add(struct bpf_run *r, uint32_t metric, uint32_t netns, const struct label *labels,
		uint64_t value)
{
	struct bpf_rows *rows = r->rows;
	struct row row = {
		.metric = metric,
		.value = value,
		.target = bpf_run_owner(r, r->probe->metrics[metric].scope, netns),
	};

	if (!row.target)
		return 0;
	if (array_grow(&rows->v, &rows->size, rows->n + 1) || labels_copy(labels, &row.labels))
		return -ENOMEM;
	rows->v[rows->n++] = row;
	return 0;
}

int bpf_run_add_zeros(struct bpf_run *r, uint32_t metric, const struct label *labels)
{
	int err = 0;

	if (r->probe->metrics[metric].scope == SCOPE_HOST)
		return bpf_run_add(r, metric, 0, labels, 0);
	for (size_t i = 0; !err && i < r->targets->n; i++)
		if (r->targets->v[i].selected)
			err = bpf_run_add(r, metric, (uint32_t)r->targets->v[i].netns, labels, 0);
	return err;
}

void bpf_run_rank(struct bpf_run *r, uint32_t metric, uint64_t top)
{
	r->rows->ranked = metric;
	r->rows->top = top;
}

/* Rows that read alike become the first of them. */
static void merge(struct bpf_rows *rows)
{
	size_t n = 0;

	if (rows->n)
		qsort(rows->v, rows->n, sizeof(*rows->v), row_order);
	for (size_t i = 0; i < rows->n; i++) {
		if (n && !row_order(&rows->v[n - 1], &rows->v[i])) {
			rows->v[n - 1].value += rows->v[i].value;
			free(rows->v[i].labels);
		} else {
			rows->v[n++] = rows->v[i];
		}
	}
	rows->n = n;
}

static void rank(struct bpf_rows *rows)
{
	size_t from = 0, to;

	while (from < rows->n && rows->v[from].metric != rows->ranked)
		from++;
	for (to = from; to < rows->n && rows->v[to].metric == rows->ranked; to++)
		;
	if (to > from)
		qsort(rows->v + from, to - from, sizeof(*rows->v), by_value);
	for (size_t i = from; i < to && rows->top; i++)
		if (i - from >= rows->top)
			rows->v[i].metric = UINT32_MAX;
}

static void tell_rows(struct bpf_run *r, struct bpf_rows *rows)
{
	merge(rows);
	rank(rows);
	for (size_t i = 0; i < rows->n; i++) {
		const struct row *row = &rows->v[i];

		if (row->metric != UINT32_MAX)
			out_metric(r->out, row->target, &r->probe->metrics[row->metric], row->value,
				   row->labels);
	}
}

/* ---- the map `counters` ---- */

struct each {
	struct bpf_run *run;
	int (*fn)(struct bpf_run *r, const void *key, uint64_t value, void *arg);
	void *arg;
};

static int sum_entry(const void *key, const void *value, size_t copies, void *arg)
{
	const struct each *e = arg;
	const uint64_t *v = value;
	uint64_t sum = 0;

	for (size_t i = 0; i < copies; i++)
		sum += v[i];
	return e->fn(e->run, key, sum, e->arg);
}

int bpf_run_each(struct bpf_run *r, const char *map,
		 int (*fn)(struct bpf_run *r, const void *key, uint64_t value, void *arg), void *arg)
{
	struct each e = { r, fn, arg };

	return bpf_run_map_each(r, map, sum_entry, &e);
}

void bpf_run_label(struct bpf_run *r,
		   void (*text)(const struct kernel *k, uint64_t value, struct buf *b),
		   uint64_t value, struct buf *b)
{
	char name[LABEL_NAME];

	if (text)
		text(r->kernel, value, b);
	else if (!bpf_map_lookup_elem(bpf_run_map(r, "names"), &value, name))
		buf_add(b, name, strnlen(name, sizeof(name)));
	else
		buf_u64(b, value);
}

/* The one label of a counter that has labels, its text in b; {}: none. */
static struct label counter_label(struct bpf_run *r, const struct metric *m, uint64_t value,
				  struct buf *b)
{
	if (!m->label)
		return (struct label){ 0 };
	b->len = 0;
	buf_str(b, "");
	bpf_run_label(r, m->label_text, value, b);
	return (struct label){ m->label, b->data };
}

static int add_counter(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *k = key;
	const size_t *nmetrics = arg;
	struct label labels[2] = { 0 };
	struct buf b = { 0 };
	int err;

	if (k->metric >= *nmetrics)
		return 0;
	labels[0] = counter_label(r, &r->probe->metrics[k->metric], k->label, &b);
	err = b.failed ? -ENOMEM : bpf_run_add(r, k->metric, k->netns, labels, value);
	buf_free(&b);
	return err;
}

/* A counter that has not moved is 0 from the first round on; one whose labels are not listed comes as they occur. */
static int add_zeros(struct bpf_run *r, uint32_t metric)
{
	const struct metric *m = &r->probe->metrics[metric];
	uint64_t n = m->label ? m->labels : 1;
	struct buf b = { 0 };
	int err = 0;

	for (uint64_t i = 0; !err && i < n; i++) {
		struct label labels[] = { counter_label(r, m, i, &b), {} };

		err = b.failed ? -ENOMEM : bpf_run_add_zeros(r, metric, labels);
	}
	buf_free(&b);
	return err;
}

static int add_counters(struct bpf_run *r)
{
	size_t nmetrics = 0;
	int err;

	while (r->probe->metrics && r->probe->metrics[nmetrics].name)
		nmetrics++;
	err = nmetrics ? bpf_run_each(r, "counters", add_counter, &nmetrics) : 0;
	for (uint32_t i = 0; !err && i < nmetrics; i++)
		if (strcmp(r->probe->metrics[i].name, "lostevents"))
			err = add_zeros(r, i);
	return err;
}

static void tell_lost_metric(struct bpf_run *r)
{
	const struct target *host = targets_machine(r->targets);

	for (const struct metric *m = r->probe->metrics; m && m->name; m++)
		if (host && !strcmp(m->name, "lostevents"))
			out_metric(r->out, host, m, r->lost_events, NULL);
}

int bpf_run_counters(struct bpf_run *r)
{
	struct bpf_rows rows = { .ranked = UINT32_MAX };
	int err;

	r->rows = &rows;
	err = r->tracing->collect ? r->tracing->collect(r, r->out) : add_counters(r);
	r->rows = NULL;
	if (err == -ENOMEM)
		msg_error("out of memory");
	if (!err)
		tell_rows(r, &rows);
	tell_lost_metric(r);
	for (size_t i = 0; i < rows.n; i++)
		free(rows.v[i].labels);
	free(rows.v);
	return err;
}

int bpf_run_count(struct bpf_run *r, const struct counter_key *key, uint64_t n)
{
	int fd = bpf_run_map(r, "counters"), cpus = libbpf_num_possible_cpus();
	auto_free uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, key, values) && errno != ENOENT)
		return -errno;
	values[0] += n;
	return bpf_map_update_elem(fd, key, values, BPF_ANY) ? -errno : 0;
}

/* ---- what was lost ---- */

void bpf_run_lost(struct bpf_run *r, const char *where, uint64_t n)
{
	r->lost_events += n;
	out_lost(r->out, where, n);
}

void bpf_run_tell_lost(struct bpf_run *r)
{
	static const char *const names[NLOST] = {
		[LOST_RINGBUF] = "ringbuf", [LOST_MAP] = "map", [LOST_RATE] = "ratelimit"
	};

	for (uint32_t i = 0; i < NLOST; i++) {
		uint64_t sum = bpf_run_tally(r, "lost", i), before = r->lost[i];

		if (!sum || sum < before) /* none, or not to be read */
			continue;
		r->lost[i] = sum;
		bpf_run_lost(r, names[i], sum - before); /* 0, too: what is pending may be due */
	}
}
