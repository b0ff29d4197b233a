// SPDX-License-Identifier: GPL-2.0-or-later
/* Which finding explains which: consequences are put below their causes. */
#include <string.h>

#include "findings.h"

/* Whether `id` is in the list, with this mark ("@node") or with none (""). */
static bool lists(const char *list, const char *id, const char *mark)
{
	size_t id_len = strlen(id), mark_len = strlen(mark);

	while (*list) {
		size_t len = strcspn(list, " ");

		if (len == id_len + mark_len && !memcmp(list, id, id_len) &&
		    !memcmp(list + id_len, mark, mark_len))
			return true;
		list += len;
		list += strspn(list, " ");
	}
	return false;
}

static bool equal(const struct series *a, const char *name_a, const struct series *b,
		  const char *name_b)
{
	const char *x = labelset_get(a->labels, name_a), *y = labelset_get(b->labels, name_b);

	return x && y && !strcmp(x, y);
}

static bool is_wildcard(const struct series *s)
{
	const char *addr = labelset_get(s->labels, "laddr");

	return addr && (!strcmp(addr, "0.0.0.0") || !strcmp(addr, "::"));
}

/*
 * Whether the far end of this group of connections is in `there`: a listener, or the other half of
 * them.
 */
static bool leads_to(const struct store *s, const struct series *peer, const struct subject *there)
{
	const struct series *l = store_series(s, there, "tcpsummary_acceptqueue");
	const struct series *c = store_series(s, there, "tcpsummary_connections");

	for (; l; l = l->next)
		if (equal(peer, "rport", l, "lport") &&
		    (is_wildcard(l) || equal(peer, "raddr", l, "laddr")))
			return true;
	for (; c; c = c->next)
		if (equal(peer, "raddr", c, "laddr") && equal(peer, "laddr", c, "raddr"))
			return true;
	return false;
}

/* Where a subject's connections are not known, being on one node is all there is to go by. */
static bool connected(const struct store *s, const struct subject *here, const struct subject *there)
{
	const struct series *peer = store_series(s, here, "tcpsummary_connections");
	bool any = !peer;

	for (; peer && !any; peer = peer->next)
		any = leads_to(s, peer, there);
	return any;
}

/* What one end of a veth loses the other counts, too. */
static bool alike(const struct finding *a, const struct finding *b)
{
	return a->values[0].v <= 1.2 * b->values[0].v && b->values[0].v <= 1.2 * a->values[0].v;
}

static bool explains(const struct finding *cause, const struct finding *f)
{
	const struct subject *there = cause->view.subject, *here = f->view.subject;
	const char *folds = cause->row->folds, *id = f->row->id;

	if (cause == f)
		return false;
	if (lists(folds, id, ""))
		return here == there || here->machine || there->machine;
	if (lists(folds, id, "@node"))
		return here == there || connected(f->view.store, here, there);
	return lists(folds, id, "@veth") && here != there && alike(cause, f);
}

/* The root of the chain of causes. */
static struct finding *root(struct finding *f)
{
	while (f->cause)
		f = f->cause;
	return f;
}

void findings_fold(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->n && !f->v[i].cause; k++)
			if (explains(&f->v[k], &f->v[i]))
				f->v[i].cause = &f->v[k];
	for (size_t i = 0; i < f->n; i++) {
		struct finding *top = root(&f->v[i]);

		if (f->v[i].severity > top->shown)
			top->shown = f->v[i].severity;
	}
}
