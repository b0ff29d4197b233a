// SPDX-License-Identifier: GPL-2.0-or-later
/* From the kernel half's buckets to histograms. */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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

/* Whose histogram it is; NULL: of a target that was not asked for. */
static const struct target *owner(const struct bpf_run *r, const struct hist *h, uint32_t netns)
{
	const struct target *t = netns ? bpf_run_target(r, netns) : NULL;

	if (h->scope == SCOPE_HOST)
		return r->targets->host ? r->targets->host : r->targets->own;
	if (t)
		return t->selected ? t : NULL;
	return r->opt->target.nselectors ? NULL : out_unknown_target(r->out);
}

static struct shape *shape_of(struct bpf_run *r, struct hist_table *t, const struct hist_key *key)
{
	const struct hist *h = &r->probe->hists[key->hist];
	const struct target *target = owner(r, h, key->netns);
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

static int read_table(struct bpf_run *r, struct hist_table *t, size_t nhists)
{
	int fd = bpf_run_map(r, "hists"), cpus = libbpf_num_possible_cpus();
	auto_free struct hist_bucket *buckets = calloc(cpus > 0 ? (size_t)cpus : 1,
						       sizeof(*buckets));
	struct hist_key key, *last = NULL;

	if (!buckets)
		return -ENOMEM;
	for (; fd >= 0 && !bpf_map_get_next_key(fd, last, &key); last = &key) {
		struct shape *s;

		if (key.hist >= nhists || key.slot >= HIST_SLOTS ||
		    bpf_map_lookup_elem(fd, &key, buckets))
			continue;
		s = shape_of(r, t, &key);
		for (int cpu = 0; s && cpu < cpus; cpu++)
			add_bucket(&s->values, key.slot, &buckets[cpu]);
	}
	return 0;
}

static int by_hist(const void *a, const void *b)
{
	const struct shape *x = a, *y = b;

	return x->hist != y->hist ? (x->hist < y->hist ? -1 : 1) : strcmp(x->name, y->name);
}

int bpf_run_hists(struct bpf_run *r)
{
	struct hist_table *t;
	size_t nhists = 0;
	int err;

	if (!r->opt->dist || !r->probe->hists)
		return 0;
	while (r->probe->hists[nhists].name)
		nhists++;
	t = calloc(1, sizeof(*t));
	err = t ? read_table(r, t, nhists) : -ENOMEM;
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
