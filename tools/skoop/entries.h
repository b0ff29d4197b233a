/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that has a name and a meaning: what probes tell of themselves. */
#ifndef SKOOP_ENTRIES_H
#define SKOOP_ENTRIES_H

#include "skoop.h"

enum entry_kind { METRIC, EVENT, FIELD_OF_EVENTS, REASON };

/* One thing that has a name. */
struct entry {
	enum entry_kind kind;
	const char *probe;
	const char *name;  /* of a metric in full */
	const char *brief; /* of a metric without prefixes */
	const char *key, *type, *unit, *scope, *origin, *help;
	const char *kernels; /* that have the reason, NULL: all that have such */
	struct advice advice;
};

struct entries {
	struct entry *v;
	size_t n, size;
	bool failed;
};

/* Those of all probes. */
void entries_load(struct entries *es, const struct probes *ps);
void entries_free(struct entries *es);
/* "metric", "event"... */
const char *entry_kind(const struct entry *e);
/* Whether it is called so: in full, without prefixes, or as the kernel or nstat spell it. */
bool entry_is(const struct entry *e, const char *name);

/* tcpext_listendrops of kubeskoop_tcpext_listendrops; any other name as it is. */
const char *name_rest(const char *name);
/* listendrops of kubeskoop_tcpext_listendrops, whose prefix is tcpext; any other name as it is. */
const char *name_brief(const char *name, const char *prefix);

#endif
