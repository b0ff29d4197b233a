// SPDX-License-Identifier: GPL-2.0-or-later
/* From the kernel half's counters to metrics. */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "array.h"
#include "options.h"
#include "out.h"
#include "target.h"

/* One value: what a key's label is called, so that two that are called alike become one. */
struct row {
	const struct target *target;
	uint32_t metric;
	char *label;
	uint64_t value;
};

struct table_rows {
	struct row *v;
	size_t n, size;
};

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
	return order ? order : strcmp(x->label, y->label);
}

static char *label_of(const struct bpf_run *r, const struct metric *m, uint64_t value)
{
	struct buf b = { 0 };

	buf_str(&b, "");
	if (m->label_text)
		m->label_text(r->kernel, value, &b);
	if (!b.failed && b.data)
		return b.data;
	buf_free(&b);
	return NULL;
}

/* Sums what the CPUs counted under this key. */
static int add_row(struct bpf_run *r, struct table_rows *rows, const struct counter_key *key,
		   const uint64_t *values, int cpus, size_t nmetrics)
{
	struct row row = { .metric = key->metric };
	const struct metric *m;

	if (key->metric >= nmetrics)
		return 0;
	m = &r->probe->metrics[key->metric];
	row.target = key->netns ? bpf_run_target(r, key->netns) : NULL;
	if (m->scope == SCOPE_HOST) {
		row.target = out_unknown_target(r->out); /* out_metric puts the host's in its place */
	} else if (!(row.target && row.target->selected)) {
		/* Of no known namespace: told as such unless a selection is asked for. */
		if (row.target || r->opt->target.nselectors)
			return 0;
		row.target = out_unknown_target(r->out);
	}
	for (int cpu = 0; cpu < cpus; cpu++)
		row.value += values[cpu];
	row.label = label_of(r, m, key->label);
	if (!row.label || array_grow(&rows->v, &rows->size, rows->n + 1)) {
		free(row.label);
		return -ENOMEM;
	}
	rows->v[rows->n++] = row;
	return 0;
}

static int read_rows(struct bpf_run *r, struct table_rows *rows, size_t nmetrics)
{
	int fd = bpf_run_map(r, "counters"), cpus = libbpf_num_possible_cpus(), err = 0;
	auto_free uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));
	struct counter_key key, *last = NULL;

	if (!values)
		return -ENOMEM;
	while (!err && !bpf_map_get_next_key(fd, last, &key)) {
		if (!bpf_map_lookup_elem(fd, &key, values))
			err = add_row(r, rows, &key, values, cpus, nmetrics);
		last = &key;
	}
	return err;
}

static void tell_rows(struct bpf_run *r, const struct table_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct row *row = &rows->v[i];
		const struct metric *m = &r->probe->metrics[row->metric];
		const struct label labels[] = { { m->label, row->label }, {} };
		uint64_t sum = row->value;

		for (; i + 1 < rows->n && !row_order(row, &rows->v[i + 1]); i++)
			sum += rows->v[i + 1].value;
		out_metric(r->out, row->target, m, sum, m->label ? labels : NULL);
	}
}

/* One series of 0 for the machine, or for every target. */
static int add_zero(struct bpf_run *r, struct table_rows *rows, struct counter_key key,
		    size_t nmetrics)
{
	uint64_t zero = 0;
	int err = 0;

	if (r->probe->metrics[key.metric].scope == SCOPE_HOST)
		return add_row(r, rows, &key, &zero, 1, nmetrics);
	for (size_t i = 0; !err && i < r->targets->n; i++) {
		key.netns = (uint32_t)r->targets->v[i].netns;
		if (r->targets->v[i].selected)
			err = add_row(r, rows, &key, &zero, 1, nmetrics);
	}
	return err;
}

/* A counter that has not moved is 0 from the first round on; one whose labels are not listed comes as they occur. */
static int add_zeros(struct bpf_run *r, struct table_rows *rows, size_t nmetrics)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < nmetrics; i++) {
		const struct metric *m = &r->probe->metrics[i];
		struct counter_key key = { .metric = i };
		uint64_t n = m->label ? m->labels : 1;

		if (!strcmp(m->name, "lostevents"))
			continue;
		for (; !err && key.label < n; key.label++)
			err = add_zero(r, rows, key, nmetrics);
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
	struct table_rows rows = { 0 };
	size_t nmetrics = 0;
	int err = 0;

	while (r->probe->metrics && r->probe->metrics[nmetrics].name)
		nmetrics++;
	if (r->tracing->collect) {
		err = r->tracing->collect(r, r->out);
	} else if (nmetrics) {
		err = read_rows(r, &rows, nmetrics);
		if (!err)
			err = add_zeros(r, &rows, nmetrics);
		if (err)
			msg_error("out of memory");
		else if (rows.n)
			qsort(rows.v, rows.n, sizeof(*rows.v), row_order);
		if (!err)
			tell_rows(r, &rows);
	}
	tell_lost_metric(r);
	for (size_t i = 0; i < rows.n; i++)
		free(rows.v[i].label);
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
		if (sum)
			bpf_run_lost(r, names[i], sum - before);
	}
}
