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
	struct label *labels; /* with their text behind them; NULL: none */
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

	if (!x || !y)
		return (x != NULL) - (y != NULL);
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
	const struct metric *m = &r->probe->metrics[metric];
	struct bpf_rows *rows = r->rows;
	struct row row = { .metric = metric, .value = value };

	row.target = netns ? bpf_run_target(r, netns) : NULL;
	if (m->scope == SCOPE_HOST) {
		row.target = out_unknown_target(r->out); /* out_metric puts the host's in its place */
	} else if (!(row.target && row.target->selected)) {
		/* Of no known namespace: told as such unless a selection is asked for. */
		if (row.target || r->opt->target.nselectors)
			return 0;
		row.target = out_unknown_target(r->out);
	}
	if (array_grow(&rows->v, &rows->size, rows->n + 1) || labels_copy(labels, &row.labels))
		return -ENOMEM;
	rows->v[rows->n++] = row;
	return 0;
}

int bpf_run_add_zeros(struct bpf_run *r, uint32_t metric)
{
	int err = 0;

	if (r->probe->metrics[metric].scope == SCOPE_HOST)
		return bpf_run_add(r, metric, 0, NULL, 0);
	for (size_t i = 0; !err && i < r->targets->n; i++)
		if (r->targets->v[i].selected)
			err = bpf_run_add(r, metric, (uint32_t)r->targets->v[i].netns, NULL, 0);
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

int bpf_run_each(struct bpf_run *r, const char *map,
		 int (*fn)(struct bpf_run *r, const void *key, uint64_t value, void *arg), void *arg)
{
	const struct bpf_map *m = bpf_object__find_map_by_name(r->object, map);
	int fd = bpf_map__fd(m), cpus = libbpf_num_possible_cpus(), err = 0;
	size_t n = bpf_map__type(m) == BPF_MAP_TYPE_PERCPU_HASH && cpus > 0 ? (size_t)cpus : 1;
	auto_free uint64_t *values = calloc(n, sizeof(*values));
	auto_free void *key = malloc(bpf_map__key_size(m));
	void *last = NULL;

	if (!values || !key)
		return -ENOMEM;
	while (!err && !bpf_map_get_next_key(fd, last, key)) {
		uint64_t sum = 0;

		last = key;
		if (bpf_map_lookup_elem(fd, key, values))
			continue;
		for (size_t i = 0; i < n; i++)
			sum += values[i];
		err = fn(r, key, sum, arg);
	}
	return err;
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

static int add_counter(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *k = key;
	const size_t *nmetrics = arg;
	const struct metric *m;
	struct buf b = { 0 };
	int err;

	if (k->metric >= *nmetrics)
		return 0;
	m = &r->probe->metrics[k->metric];
	buf_str(&b, "");
	if (m->label)
		bpf_run_label(r, m->label_text, k->label, &b);
	err = b.failed ? -ENOMEM : 0;
	if (!err)
		err = bpf_run_add(r, k->metric, k->netns,
				  m->label ? (struct label[]){ { m->label, b.data }, {} } : NULL,
				  value);
	buf_free(&b);
	return err;
}

/* One series of 0 for the machine, or for every target. */
static int add_zero(struct bpf_run *r, struct counter_key key, size_t nmetrics)
{
	int err = 0;

	if (r->probe->metrics[key.metric].scope == SCOPE_HOST)
		return add_counter(r, &key, 0, &nmetrics);
	for (size_t i = 0; !err && i < r->targets->n; i++) {
		key.netns = (uint32_t)r->targets->v[i].netns;
		if (r->targets->v[i].selected)
			err = add_counter(r, &key, 0, &nmetrics);
	}
	return err;
}

/* A counter that has not moved is 0 from the first round on; one whose labels are not listed comes as they occur. */
static int add_counters(struct bpf_run *r)
{
	size_t nmetrics = 0;
	int err;

	while (r->probe->metrics && r->probe->metrics[nmetrics].name)
		nmetrics++;
	err = nmetrics ? bpf_run_each(r, "counters", add_counter, &nmetrics) : 0;
	for (uint32_t i = 0; !err && i < nmetrics; i++) {
		const struct metric *m = &r->probe->metrics[i];
		struct counter_key key = { .metric = i };
		uint64_t n = m->label ? m->labels : 1;

		for (; !err && key.label < n && strcmp(m->name, "lostevents"); key.label++)
			err = add_zero(r, key, nmetrics);
	}
	return err;
}

static void tell_lost_metric(struct bpf_run *r)
{
	const struct target *host = r->targets->host ? r->targets->host : r->targets->own;

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
	int fd = bpf_run_map(r, "lost"), cpus = libbpf_num_possible_cpus();
	auto_free uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));

	for (uint32_t i = 0; values && i < NLOST; i++) {
		uint64_t sum = 0, before = r->lost[i];

		if (bpf_map_lookup_elem(fd, &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu];
		r->lost[i] = sum;
		if (sum > before || r->lost[i])
			bpf_run_lost(r, names[i], sum - before);
	}
}
