// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counters the kernel prints by name, read for the rows of a probe's table that have these names.
 */
#include "counters.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "out.h"
#include "procfs.h"
#include "util.h"

static const struct label families[][2] = {
	[FAMILY_NONE] = { {} },
	[FAMILY_IPV4] = { { "family", "ipv4" } },
	[FAMILY_IPV6] = { { "family", "ipv6" } },
};
#define FAMILIES ARRAY_SIZE(families)

/* A row that can come out, and what was read for it, until every file proved well-formed. */
struct slot {
	const struct metric *metric;
	const char *name;  /* of the metric, behind the group's prefix */
	size_t len;        /* of that */
	unsigned int next; /* the next slot of the same hash, n: none */
	unsigned int set;  /* bit i: there is a value of family i */
	uint64_t values[FAMILIES];
};

struct walk {
	const struct target *target;
	struct out *out;
	enum metric_scope scope;
	enum counter_show show;
	const struct counter_group *group;
	struct slot *slots;
	unsigned int n;
	unsigned int index[256]; /* the first slot of each hash */
};

static bool row_wanted(const struct walk *w, const struct metric *m)
{
	if (m->scope != w->scope)
		return false;
	if (w->show == SHOW_DROPS)
		return m->flags & M_DROP;
	return w->show == SHOW_ALL || !(m->flags & M_ALL);
}

/* With SHOW_ALL every row, to tell a key without one from one whose row is not wanted. */
static int slots_make(struct walk *w, const struct metric *rows)
{
	size_t n = 0;

	while (rows[n].name)
		n++;
	w->slots = malloc((n + 1) * sizeof(*w->slots));
	if (!w->slots)
		return -ENOMEM;
	for (const struct metric *m = rows; m->name; m++) {
		if (w->show != SHOW_ALL && !row_wanted(w, m))
			continue;
		w->slots[w->n].metric = m;
		w->slots[w->n++].set = 0;
	}
	return 0;
}

/*
 * Of a key in either case. To search the table for each would cost more than the kernel's own work.
 */
static unsigned char hash(const char *key, size_t len)
{
	size_t first = key[0] | 0x20, middle = key[len / 2] | 0x20, last = key[len - 1] | 0x20;

	return (unsigned char)(len * 5 + first * 3 + middle * 7 + last);
}

static const char *group_prefix(const struct counter_group *g)
{
	return g->prefix ? g->prefix : "";
}

static void index_make(struct walk *w)
{
	const char *prefix = group_prefix(w->group);
	size_t prefix_len = strlen(prefix);

	for (size_t i = 0; i < ARRAY_SIZE(w->index); i++)
		w->index[i] = w->n;
	for (unsigned int i = 0; i < w->n; i++) {
		struct slot *s = &w->slots[i];
		unsigned int *first;

		s->name = s->metric->name + prefix_len;
		if (strncmp(s->metric->name, prefix, prefix_len) || !*s->name)
			continue;
		s->len = strlen(s->name);
		first = &w->index[hash(s->name, s->len)];
		s->next = *first;
		*first = i;
	}
}

static struct slot *slot_find(const struct walk *w, const struct pair *pair)
{
	unsigned int i = w->index[hash(pair->key, pair->key_len)];

	for (; i < w->n; i = w->slots[i].next) {
		struct slot *s = &w->slots[i];
		size_t at = 0;

		if (s->len != pair->key_len)
			continue;
		while (at < s->len && s->name[at] == (pair->key[at] | 0x20))
			at++;
		if (at == s->len)
			return s;
	}
	return NULL;
}

static void slot_add(struct slot *s, enum counter_family family, uint64_t value)
{
	unsigned int bit = 1U << family;

	if (!(s->set & bit))
		s->values[family] = 0;
	s->values[family] += value;
	s->set |= bit;
}

static const struct label *labels_of(enum counter_family family)
{
	return family == FAMILY_NONE ? NULL : families[family];
}

/* A key the table does not know: newer than it. A file of a probe has counters or gauges. */
static void further_pair(const struct walk *w, const struct pair *pair)
{
	static const struct metric like[] = { [COUNTER] = { .type = COUNTER, .unit = "events" },
					      [GAUGE] = { .type = GAUGE, .unit = "units" } };
	char name[COUNTER_PREFIX_MAX + PAIR_KEY_MAX + 1];
	int len = snprintf(name, sizeof(name), "%s%.*s", group_prefix(w->group), (int)pair->key_len,
			   pair->key);
	enum metric_type type = w->slots->metric->type;
	const struct metric *m = out_extra(w->out, name, (size_t)len, &like[type]);

	if (m)
		out_metric(w->out, w->target, m, pair->value, labels_of(w->group->family));
}

static int walk_pair(const struct pair *pair, void *arg)
{
	struct walk *w = arg;
	struct slot *s = slot_find(w, pair);

	if (s)
		slot_add(s, w->group->family, pair->value);
	else if (w->show == SHOW_ALL && w->scope == SCOPE_NETNS)
		further_pair(w, pair);
	return 0;
}

static int walk_group(struct walk *w, const struct counter_group *g)
{
	const char *text;
	int err = proc_net(w->target, g->file, &text);

	if (err)
		return err;
	w->group = g;
	index_make(w);
	err = g->form(text, g->group, walk_pair, w);
	if (err == -EBADMSG)
		proc_malformed(w->target, g->file);
	return err;
}

static void walk_emit(const struct walk *w)
{
	for (const struct slot *s = w->slots; s < w->slots + w->n; s++) {
		if (!row_wanted(w, s->metric))
			continue;
		for (enum counter_family family = 0; s->set >> family; family++)
			if (s->set >> family & 1)
				out_metric(w->out, w->target, s->metric, s->values[family],
					   labels_of(family));
	}
}

static int walk_groups(struct walk *w, const struct counter_group *groups)
{
	for (const struct counter_group *g = groups; g->file; g++) {
		int err = g->more && w->show == SHOW_CONTRACT ? 0 : walk_group(w, g);

		if (err && !(err == -ENOENT && g != groups))
			return err;
	}
	walk_emit(w);
	return 0;
}

int counters_read(const struct target *t, const struct counter_group *groups,
		  enum metric_scope scope, enum counter_show show, struct out *o)
{
	struct walk w = { .target = t, .out = o, .scope = scope, .show = show };
	int err = slots_make(&w, out_probe(o)->metrics);

	if (!err)
		err = walk_groups(&w, groups);
	free(w.slots);
	return err;
}
