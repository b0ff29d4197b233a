// SPDX-License-Identifier: GPL-2.0-or-later
/* Who it was: what belongs to a finding, put together by peers, most frequent first. */
#include "who.h"

#include <errno.h>
#include <string.h>

#include "libcommon/arena.h"
#include "libcommon/array.h"

/* ---- which port tells them apart ---- */

/* What several have in common; whether the port that is left out differs among them. */
struct common {
	uint32_t port;
	bool many;
};

struct grouping {
	struct arena arena;
	struct dict by_dport, by_sport; /* address pair and one port to struct common */
	struct dict by_key; /* the same with the ports that stay, to an index of v + 1 */
	struct who_group *v;
	size_t n, size;
};

struct pair_key {
	const char *protocol, *saddr, *daddr;
	uint32_t sport, dport;
};

static struct pair_key key_of(const struct who_entry *e, uint32_t sport, uint32_t dport)
{
	struct pair_key k;

	memset(&k, 0, sizeof(k));
	/* Texts are kept once, so that their addresses say whether they are the same. */
	k.protocol = e->protocol;
	k.saddr = e->saddr;
	k.daddr = e->daddr;
	k.sport = sport;
	k.dport = dport;
	return k;
}

static int note_port(struct grouping *g, struct dict *d, const struct pair_key *k, uint32_t port)
{
	void **at = dict_at(d, k, sizeof(*k));
	struct common *c;

	if (!at)
		return -ENOMEM;
	c = *at;
	if (c) {
		c->many |= c->port != port;
		return 0;
	}
	c = *at = arena_alloc(&g->arena, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->port = port;
	return 0;
}

static int note_ports(struct grouping *g, const struct who_entry *e)
{
	const struct pair_key d = key_of(e, PORT_NONE, e->dport), s = key_of(e, e->sport, PORT_NONE);
	int err = note_port(g, &g->by_dport, &d, e->sport);

	return err ? err : note_port(g, &g->by_sport, &s, e->dport);
}

/* Its addresses, and of its ports those that do not differ among its like. */
static struct pair_key group_key(const struct grouping *g, const struct who_entry *e)
{
	const struct pair_key d = key_of(e, PORT_NONE, e->dport), s = key_of(e, e->sport, PORT_NONE);
	const struct common *sports = dict_get(&g->by_dport, &d, sizeof(d));
	const struct common *dports = dict_get(&g->by_sport, &s, sizeof(s));

	return key_of(e, sports->many ? PORT_NONE : e->sport, dports->many ? PORT_NONE : e->dport);
}

/* ---- what happened ---- */

static void what_text(const struct who_entry *e, struct buf *b)
{
	static const char reset[] = "TCPRESET_";
	const char *type = e->type;
	bool reason = *e->reason && strcmp(e->reason, "unknown");

	if (e->kind == WHO_DROPS) {
		buf_printf(b, "%s%s%s", reason ? e->reason : "dropped", *e->location ? " at " : "",
			   e->location);
	} else if (e->kind == WHO_RESENDS) {
		buf_printf(b, "%s%s", type, e->refused ? " refused here" : "");
	} else {
		if (!strncmp(type, reset, strlen(reset)))
			type += strlen(reset);
		for (; *type; type++)
			buf_printf(b, "%c",
				   *type >= 'A' && *type <= 'Z' ? *type - 'A' + 'a' : *type);
		if (*e->state)
			buf_printf(b, " in %s", e->state);
		if (reason)
			buf_printf(b, " (%s)", e->reason);
	}
}

static int what_add(struct who_what **v, size_t *n, size_t *size, const struct who_entry *e)
{
	struct buf b = { 0 };

	what_text(e, &b);
	if (b.failed || !b.data)
		return -ENOMEM;
	for (size_t i = 0; i < *n; i++) {
		if (strcmp((*v)[i].text, b.data))
			continue;
		(*v)[i].count += e->count;
		buf_free(&b);
		return 0;
	}
	if (array_grow(v, size, *n + 1)) {
		buf_free(&b);
		return -ENOMEM;
	}
	(*v)[(*n)++] = (struct who_what){ b.data, e->count };
	return 0;
}

static int what_order(const void *va, const void *vb)
{
	const struct who_what *a = va, *b = vb;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->text, b->text);
}

/* ---- groups ---- */

static int group_add(struct grouping *g, const struct who_entry *e)
{
	const struct pair_key k = group_key(g, e);
	void **at = dict_at(&g->by_key, &k, sizeof(k));
	struct who_group *group;

	if (!at)
		return -ENOMEM;
	if (!*at) {
		if (array_grow(&g->v, &g->size, g->n + 1))
			return -ENOMEM;
		g->v[g->n++] = (struct who_group){ .protocol = e->protocol,
						   .saddr = e->saddr,
						   .daddr = e->daddr,
						   .sport = k.sport,
						   .dport = k.dport };
		*at = (void *)(uintptr_t)g->n;
	}
	group = &g->v[(uintptr_t)*at - 1];
	group->count += e->count;
	return what_add(&group->whats, &group->nwhats, &group->whats_size, e);
}

static int group_order(const void *va, const void *vb)
{
	const struct who_group *a = va, *b = vb;
	int by;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	by = strcmp(a->saddr, b->saddr);
	by = by ? by : strcmp(a->daddr, b->daddr);
	if (by)
		return by;
	return a->dport != b->dport ? (a->dport < b->dport ? -1 : 1)
				    : (a->sport > b->sport) - (a->sport < b->sport);
}

static void group_free(struct who_group *g)
{
	for (size_t i = 0; i < g->nwhats; i++)
		free(g->whats[i].text);
	free(g->whats);
	free(g->dropped.text);
}

/* ---- what became of those that were sent again ---- */

static bool port_fits(uint32_t group, uint32_t port)
{
	return group == PORT_NONE || group == port;
}

/* Whether it was one of these packets, or an answer to one, that was dropped. */
static bool is_of(const struct who_group *g, const struct who_entry *e)
{
	if (e->kind != WHO_DROPS || strcmp(e->protocol, g->protocol))
		return false;
	if (!strcmp(e->saddr, g->saddr) && !strcmp(e->daddr, g->daddr))
		return port_fits(g->sport, e->sport) && port_fits(g->dport, e->dport);
	return !strcmp(e->saddr, g->daddr) && !strcmp(e->daddr, g->saddr) &&
	       port_fits(g->sport, e->dport) && port_fits(g->dport, e->sport);
}

static const struct subject *subject_by_netns(const struct store *s, uint64_t netns)
{
	const struct subject *subject;

	for (size_t i = 0; (subject = store_subject(s, i)); i++)
		if (subject->netns == netns)
			return subject;
	return NULL;
}

static int find_dropped(const struct who *w, const struct store *s, struct who_group *g)
{
	const struct who_entry *e, *most = NULL;
	struct buf b = { 0 };

	for (size_t i = 0; (e = who_entry(w, i)); i++)
		if (is_of(g, e) && (!most || e->count > most->count))
			most = e;
	for (size_t i = 0; most && (e = who_entry(w, i)); i++)
		if (is_of(g, e) && e->netns == most->netns && e->reason == most->reason &&
		    e->location == most->location)
			g->dropped.count += e->count;
	if (!most)
		return 0;
	what_text(most, &b);
	g->dropped.text = b.data;
	g->filtered = who_filtered(most);
	g->at = subject_by_netns(s, most->netns);
	return b.failed ? -ENOMEM : 0;
}

/* ---- the list ---- */

/* Keeps the most frequent and counts the others. */
static void list_take(struct who_list *list, struct grouping *g)
{
	size_t kept = g->n < WHO_SHOWN ? g->n : WHO_SHOWN;

	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), group_order);
	list->others = list->total;
	for (size_t i = 0; i < g->n; i++) {
		if (i >= kept) {
			group_free(&g->v[i]);
			continue;
		}
		qsort(g->v[i].whats, g->v[i].nwhats, sizeof(*g->v[i].whats), what_order);
		list->others -= g->v[i].count;
	}
	list->v = g->v;
	list->n = kept;
	g->v = NULL;
	g->n = 0;
}

int who_list(const struct who *w, const struct finding *f, struct who_list *list)
{
	struct grouping g = { 0 };
	const struct who_entry *e;
	bool resends = false;
	int err = 0;

	*list = (struct who_list){ 0 };
	if (!w || !who_probes(f->row->id))
		return 0;
	g.by_dport.arena = g.by_sport.arena = g.by_key.arena = &g.arena;
	for (size_t i = 0; !err && (e = who_entry(w, i)); i++)
		if (*e->saddr && who_belongs(f, e))
			err = note_ports(&g, e);
	for (size_t i = 0; !err && (e = who_entry(w, i)); i++) {
		if (!who_belongs(f, e))
			continue;
		list->total += e->count;
		resends |= e->kind == WHO_RESENDS;
		if (*e->saddr)
			err = group_add(&g, e);
	}
	if (!err)
		list_take(list, &g);
	for (size_t i = 0; !err && i < list->n && resends; i++)
		err = find_dropped(w, f->view.store, &list->v[i]);
	for (size_t i = 0; i < g.n; i++)
		group_free(&g.v[i]);
	free(g.v);
	arena_free(&g.arena);
	return err;
}

void who_list_free(struct who_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		group_free(&list->v[i]);
	free(list->v);
	*list = (struct who_list){ 0 };
}

/* ---- causes ---- */

static struct finding *filter_of(struct findings *f, const struct subject *s)
{
	for (size_t i = 0; s && i < f->n; i++)
		if (f->v[i].view.subject == s && !strcmp(f->v[i].row->id, "filter-drop"))
			return &f->v[i];
	return NULL;
}

/* The namespace whose filter has dropped most of what was sent again, NULL: none has. */
static const struct subject *filtered_by(const struct who_list *list)
{
	const struct subject *by = NULL;
	uint64_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct who_group *g = &list->v[i];

		if (!g->filtered || 2 * g->dropped.count < g->count || (by && g->at != by))
			continue;
		by = g->at;
		n += g->count;
	}
	return 2 * n > list->total ? by : NULL;
}

int who_fold(const struct who *w, struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct finding *below = &f->v[i], *cause, *top;
		struct who_list list;

		if (who_list(w, below, &list))
			return -ENOMEM;
		cause = below->cause ? NULL : filter_of(f, filtered_by(&list));
		who_list_free(&list);
		if (!cause || cause == below)
			continue;
		below->cause = cause;
		for (top = cause; top->cause;)
			top = top->cause;
		if (below->shown > top->shown)
			top->shown = below->shown;
	}
	return 0;
}
