/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics an output may show: the probe's table, and behind it those -a finds on the way. */
#ifndef SKOOP_METRICS_H
#define SKOOP_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "probe.h"

struct metrics {
	const struct metric *table;
	size_t ntable;
	const struct metric **v; /* the table's rows, then the extras in order of first appearance */
	size_t n;
	size_t next_extra; /* where the search for the next key starts: keys come in the same order again */
};

/* table: ended by {}, may be NULL. 0 or -ENOMEM. */
int metrics_open(struct metrics *ms, const struct metric *table);
void metrics_free(struct metrics *ms);

/* See out_extra(). 0; -ENOMEM; -EINVAL: the key has no letter or digit. */
int metrics_extra(struct metrics *ms, const char *key, size_t key_len, const struct metric *like,
		  const struct metric **m);

/* Whether m is one of them. */
bool metrics_has(const struct metrics *ms, const struct metric *m);
/* Its index in v. */
size_t metrics_index(const struct metrics *ms, const struct metric *m);

#endif
