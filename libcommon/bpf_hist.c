// SPDX-License-Identifier: GPL-2.0-or-later
/* From the kernel half's buckets to histograms. */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "options.h"
#include "out.h"
#include "target.h"

/* One histogram, told apart by what is shown of it. */
struct shape {
	uint16_t hist;
	const struct target *target; /* valid in its round only */
	char *name;                  /* "namespace\tpod\tlabel", and where in it the label begins */
	size_t label;
	struct hist_values values;
};

struct hist_table {
	struct shape *v;
	size_t n, size;
};

static void table_free(struct hist_table *t)
{
	for (size_t i = 0; t && i < t->n; i++)
		free(t->v[i].name);
	if (t)
		free(t->v);
	free(t);
}

void bpf_run_hists_free(struct bpf_run *r)
{
	table_free(r->hists);
	r->hists = NULL;
}

static struct shape *shape_find(const struct hist_table *t, uint16_t hist, const char *name)
{
	for (size_t i = 0; t && i < t->n; i++)
		if (t->v[i].hist == hist && !strcmp(t->v[i].name, name))
			return &t->v[i];
	return NULL;
}

static struct shape *shape_of(struct bpf_run *r, struct hist_table *t, const struct hist_key *key)
{
	const struct hist *h = &r->probe->hists[key->hist];
	const struct target *target = bpf_run_owner(r, h->scope, key->netns);
	struct buf name = { 0 };
	struct shape *s;
	size_t label;

	if (!target)
		return NULL;
	buf_printf(&name, "%s\t%s\t", target->namespace, target->pod);
	label = name.len;
	if (h->label)
		bpf_run_label(r, h->label_text, key->label, &name);
	s = name.failed ? NULL : shape_find(t, key->hist, name.data);
	if (s || name.failed || array_grow(&t->v, &t->size, t->n + 1)) {
		buf_free(&name);
		return s;
	}
	s = &t->v[t->n++];
	*s = (struct shape){ .hist = key->hist, .target = target, .name = name.data, .label = label };
	return s;
}

static void add_bucket(struct hist_values *h, size_t slot, const struct hist_bucket *b)
{
	if (!b->count)
		return;
	if (!h->count || b->min < h->min)
		h->min = b->min;
	if (b->max > h->max)
		h->max = b->max;
	h->slots[slot] += b->count;
	h->count += b->count;
	h->sum += b->sum;
}

struct reading {
	struct bpf_run *run;
	struct hist_table *table;
	size_t nhists;
};

static int take_bucket(const void *key, const void *value, size_t copies, void *arg)
{
	const struct hist_bucket *buckets = value;
	const struct reading *reading = arg;
	const struct hist_key *k = key;
	struct shape *s;

	if (k->hist >= reading->nhists || k->slot >= HIST_SLOTS)
		return 0;
	s = shape_of(reading->run, reading->table, k);
	for (size_t i = 0; s && i < copies; i++)
		add_bucket(&s->values, k->slot, &buckets[i]);
	return 0;
}

static int by_hist(const void *a, const void *b)
{
	const struct shape *x = a, *y = b;

	return x->hist != y->hist ? (x->hist < y->hist ? -1 : 1) : strcmp(x->name, y->name);
}

int bpf_run_hists(struct bpf_run *r)
{
	struct reading reading = { .run = r };
	struct hist_table *t;
	int err;

	if (!r->opt->dist || !r->probe->hists)
		return 0;
	while (r->probe->hists[reading.nhists].name)
		reading.nhists++;
	reading.table = t = calloc(1, sizeof(*t));
	err = t ? bpf_run_map_each(r, "hists", take_bucket, &reading) : -ENOMEM;
	if (err) {
		table_free(t);
		return err;
	}
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_hist);
	for (size_t i = 0; i < t->n; i++) {
		const struct shape *s = &t->v[i], *was = shape_find(r->hists, s->hist, s->name);
		const struct hist *h = &r->probe->hists[s->hist];
		const struct label labels[] = { { h->label, s->name + s->label }, {} };

		out_hist(r->out, s->target, h, h->label ? labels : NULL, &s->values,
			 was ? &was->values : NULL);
	}
	table_free(r->hists);
	r->hists = t;
	return 0;
}
