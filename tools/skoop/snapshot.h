/* SPDX-License-Identifier: GPL-2.0-or-later */
/* skoop snapshot: what its halves, watching and judging, share. */
#ifndef SKOOP_SNAPSHOT_H
#define SKOOP_SNAPSHOT_H

#include "libcommon/options.h"
#include "report.h"
#include "skoop.h"
#include "store.h"
#include "who.h"

#define INPUTS_MAX 24

/* One probe at work. */
struct input {
	const char *probe;
	bool traces;   /* it runs through the whole window and tells who, as `kind` */
	bool attached; /* one that traces has begun */
	enum who_kind kind;
	struct sender sender;
	struct buf said; /* on stderr, "; " between */
	size_t last;     /* where the last of it begins */
	struct child *child;
	bool ended;
	int code;
};

struct snapshot {
	struct options opt;
	struct probes probes;
	struct store *store;
	struct wanted *wanted;
	struct who *who;
	struct input v[INPUTS_MAX];
	size_t n;
	struct gap gaps[INPUTS_MAX];
	size_t ngaps;
};

/* The whole window. 0; -EINTR: asked to stop; other -errno after one msg_error. */
int snapshot_watch(struct snapshot *s);

#endif
