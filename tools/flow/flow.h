/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of flow: which devices count, and the flows of a round. */
#ifndef SKOOP_TOOLS_FLOW_H
#define SKOOP_TOOLS_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/flow.h"
#include "libcommon/arena.h"

struct bpf_run;
struct target;
struct targets;

/* ---- devices.c ---- */

/* An entry of the kernel half's map, and what it is called here. */
struct device {
	struct flow_place place;
	struct flow_device value;
	const struct target *owner; /* NULL: of no namespace that is looked at */
	const char *name;           /* NULL: a VLAN's entry at the device below it */
	uint64_t until;             /* owner NULL: when it is forgotten (process_now()) */
	bool gone;                  /* counts no more, so what it counted is settled */
};

struct devices {
	struct arena arena; /* of owners and names */
	struct device *v;   /* by place, once sorted */
	size_t n, size;
	uint64_t read, refused; /* namespaces; those that did not let us in */
};

struct choice {
	bool all;
	const char *glob; /* NULL: those of the default routes, see counts() */
};

/*
 * Adds the devices of the selected targets, each with a copy of its owner. 0 or -ENOMEM; a namespace that cannot be
 * entered is counted in ds->refused, one that is gone has none.
 */
int devices_read(struct devices *ds, const struct targets *ts, const struct choice *c);
/*
 * Adds those that the kernel half entered by itself and that are in neither list: unless they turn up in a namespace,
 * they are not counted, and asked about again some time later. 0 or -errno.
 */
int devices_strangers(struct devices *ds, const struct devices *old, struct bpf_run *r);
/* Sorts the list; of an entry that came twice the one with an owner stays. */
void devices_sort(struct devices *ds);
/* Tells the kernel half what is new, changed or gone since `old`. 0 or -errno after one msg_error. */
int devices_install(const struct devices *ds, const struct devices *old, struct bpf_run *r);
/* The device itself, NULL: not in the list. */
struct device *devices_find(const struct devices *ds, uint32_t netns, uint32_t ifindex);
void devices_free(struct devices *ds);

/* A target's labels and number, NULL: out of memory. */
const struct target *target_copy(struct arena *a, const struct target *t);
bool target_same(const struct target *a, const struct target *b);
/* A sum that is another one when the selected namespaces, or what they are called, have changed. */
uint64_t targets_sum(const struct targets *ts);

/* ---- flows.c ---- */

struct flow {
	struct flow_key key;
	struct flow_count n, grown;
	uint64_t rank;    /* what they are put in order by, largest first */
	uint64_t changed; /* when it was seen to have grown (process_now()) */
	const struct target *owner;
	const char *device;
};

struct flows {
	struct flow *v;
	size_t n, size;
};

/* Replaces what is there by all flows of the kernel half; owners and devices are not set. 0 or -errno. */
int flows_read(struct flows *fs, struct bpf_run *r);
int flows_add(struct flows *fs, const struct flow *f);
/* Whether the kernel half has counted nothing for it since it was read. */
bool flow_rests(struct bpf_run *r, const struct flow *f);
/* Puts them in the order of their series, and makes one of those that have all labels in common. */
void flows_merge(struct flows *fs);
/* Puts them in order by rank. */
void flows_rank(struct flows *fs);

/* What was seen of each flow in the round before. */
struct history {
	struct arena arena;
	struct dict seen;
};

/* Fills f->grown and f->changed from what was seen before; `now` is the time of this round. */
void history_compare(const struct history *h, struct flow *f, uint64_t now);
/* Enters the flow as it was compared. 0 or -ENOMEM. */
int history_keep(struct history *h, const struct flow *f);
/* It is gone from the kernel half: one of the same key begins anew. */
void history_drop(struct history *h, const struct flow *f);

#endif
