// SPDX-License-Identifier: GPL-2.0-or-later
/* Which devices flow counts at: one for each packet, by default, chosen by the routes of each namespace. */
#include "flow.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <linux/netlink.h>

#include <bpf/bpf.h>

#include "libcommon/array.h"
#include "libcommon/bpf.h"
#include "libcommon/link.h"
#include "libcommon/netlink.h"
#include "libcommon/process.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

/* How long a device of a namespace that cannot be seen is let alone. */
#define STRANGER_NS (60 * NSEC_PER_SEC)

const struct target *target_copy(struct arena *a, const struct target *t)
{
	struct target *copy = arena_alloc(a, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->node = arena_str(a, t->node, strlen(t->node));
	copy->namespace = arena_str(a, t->namespace, strlen(t->namespace));
	copy->pod = arena_str(a, t->pod, strlen(t->pod));
	copy->netns = t->netns;
	return copy->node && copy->namespace && copy->pod ? copy : NULL;
}

bool target_same(const struct target *a, const struct target *b)
{
	return a == b || (a->netns == b->netns && !strcmp(a->pod, b->pod) &&
			  !strcmp(a->namespace, b->namespace));
}

uint64_t targets_sum(const struct targets *ts)
{
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < ts->n; i++) {
		const struct target *t = &ts->v[i];

		sum = (sum ^ (t->selected ? t->netns : 0)) * 0x100000001b3ULL;
		for (const char *c = t->pod; *c; c++)
			sum = (sum ^ (unsigned char)*c) * 0x100000001b3ULL;
	}
	return sum;
}

/* ---- the list ---- */

static int by_place(const void *a, const void *b)
{
	const struct device *x = a, *y = b;

	return memcmp(&x->place, &y->place, sizeof(x->place));
}

static struct device *find(const struct devices *ds, const struct flow_place *place)
{
	const struct device key = { .place = *place };

	return ds->n ? bsearch(&key, ds->v, ds->n, sizeof(*ds->v), by_place) : NULL;
}

struct device *devices_find(const struct devices *ds, uint32_t netns, uint32_t ifindex)
{
	return find(ds, &(struct flow_place){ netns, ifindex, 0 });
}

static struct device *add(struct devices *ds, const struct target *owner, int ifindex, uint16_t vlan)
{
	struct device *d;

	if (array_grow(&ds->v, &ds->size, ds->n + 1))
		return NULL;
	d = &ds->v[ds->n++];
	*d = (struct device){ .place = { (uint32_t)owner->netns, (uint32_t)ifindex, vlan },
			      .owner = owner };
	return d;
}

void devices_sort(struct devices *ds)
{
	size_t n = 0;

	if (ds->n)
		qsort(ds->v, ds->n, sizeof(*ds->v), by_place);
	for (size_t i = 0; i < ds->n; i++) {
		if (n && !by_place(&ds->v[n - 1], &ds->v[i])) {
			if (!ds->v[n - 1].owner)
				ds->v[n - 1] = ds->v[i];
			continue;
		}
		ds->v[n++] = ds->v[i];
	}
	ds->n = n;
}

void devices_free(struct devices *ds)
{
	arena_free(&ds->arena);
	free(ds->v);
	*ds = (struct devices){ 0 };
}

/* ---- which count ---- */

struct talk {
	const struct choice *choice;
	struct links links;
};

static int talk(struct mnl_socket *nl, void *arg)
{
	struct talk *t = arg;
	int err = links_read(nl, &t->links);

	return err || t->choice->all || t->choice->glob ? err : links_routes(nl, &t->links);
}

/* The ports of a VRF keep their packets, which the VRF only seems to have. */
static bool stacked(const struct links *ls, const struct link *l)
{
	const struct link *master = links_find(ls, l->master);

	if (l->kind == LINK_VRF)
		return true;
	return link_stacked(ls, l) && !(master && master->kind == LINK_VRF);
}

/*
 * So that a packet counts once on its way through bridge, bond, VLAN and card: the devices of the default routes; in a
 * namespace without such a route those that stand on no other.
 */
static bool counts(const struct choice *c, const struct links *ls, const struct link *l, bool routed)
{
	if (c->all || c->glob)
		return c->all || !fnmatch(c->glob, l->name, 0);
	if (l->loopback)
		return false;
	return routed ? l->default_route : !stacked(ls, l);
}

static bool has_vlan(const struct links *ls, const struct link *l)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i].kind == LINK_VLAN && ls->v[i].lower == l->ifindex)
			return true;
	return false;
}

static int add_link(struct devices *ds, const struct target *owner, const struct links *ls,
		    const struct link *l, bool counted)
{
	const struct link *master = links_find(ls, l->master);
	struct device *d = add(ds, owner, l->ifindex, 0);

	if (!d)
		return -ENOMEM;
	d->name = arena_str(&ds->arena, l->name, strlen(l->name));
	if (!d->name)
		return -ENOMEM;
	d->value.flags = counted ? FLOW_COUNTED : 0;
	if (master && master->kind == LINK_BOND)
		d->value.upper = (uint32_t)master->ifindex;
	if (d->value.upper || has_vlan(ls, l))
		d->value.flags |= FLOW_STACKED;
	if (l->kind != LINK_VLAN || !l->lower || !l->vlan)
		return 0;
	d = add(ds, owner, l->lower, l->vlan);
	if (!d)
		return -ENOMEM;
	d->value.upper = (uint32_t)l->ifindex;
	return 0;
}

static int add_namespace(struct devices *ds, const struct target *t, const struct choice *c)
{
	const struct target *owner = target_copy(&ds->arena, t);
	struct talk conversation = { .choice = c };
	struct links *ls = &conversation.links;
	bool routed = false;
	int err = nl_run(t, NETLINK_ROUTE, "devices", talk, &conversation);

	ds->read += !err;
	ds->refused += err == -EPERM || err == -EACCES;
	for (size_t i = 0; !err && i < ls->n; i++)
		routed |= ls->v[i].default_route && !ls->v[i].loopback;
	for (size_t i = 0; !err && owner && i < ls->n; i++)
		err = add_link(ds, owner, ls, &ls->v[i], counts(c, ls, &ls->v[i], routed));
	links_free(ls);
	return owner && err != -ENOMEM ? 0 : -ENOMEM;
}

int devices_read(struct devices *ds, const struct targets *ts, const struct choice *c)
{
	int err = 0;

	for (size_t i = 0; !err && i < ts->n; i++)
		if (ts->v[i].selected && ts->v[i].netns)
			err = add_namespace(ds, &ts->v[i], c);
	return err;
}

/* ---- the kernel half's map ---- */

struct meeting {
	struct devices *ds;
	const struct devices *old;
	uint64_t now;
};

static int meet(const void *key, const void *value, size_t copies, void *arg)
{
	struct meeting *m = arg;
	const struct device *known;
	struct device d = { .until = m->now + STRANGER_NS };

	(void)value;
	(void)copies;
	memcpy(&d.place, key, sizeof(d.place));
	known = find(m->old, &d.place);
	if (known && (known->owner || known->until <= m->now))
		return 0;
	if (known)
		d.until = known->until;
	if (array_grow(&m->ds->v, &m->ds->size, m->ds->n + 1))
		return -ENOMEM;
	m->ds->v[m->ds->n++] = d;
	return 0;
}

int devices_strangers(struct devices *ds, const struct devices *old, struct bpf_run *r)
{
	struct meeting m = { ds, old, process_now() };

	return bpf_run_map_each(r, "devices", meet, &m);
}

int devices_install(const struct devices *ds, const struct devices *old, struct bpf_run *r)
{
	int fd = bpf_run_map(r, "devices"), err = 0;

	for (size_t i = 0; i < old->n; i++)
		if (!find(ds, &old->v[i].place))
			bpf_map_delete_elem(fd, &old->v[i].place);
	for (size_t i = 0; !err && i < ds->n; i++) {
		const struct device *d = &ds->v[i], *was = find(old, &d->place);

		if (!was || memcmp(&was->value, &d->value, sizeof(d->value)))
			err = bpf_map_update_elem(fd, &d->place, &d->value, BPF_ANY);
	}
	if (err)
		msg_error("cannot tell the kernel half which devices count: %s", strerror(-err));
	return err;
}
