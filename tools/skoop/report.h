/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `skoop snapshot` prints: for people, and as JSON Lines. */
#ifndef SKOOP_REPORT_H
#define SKOOP_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "findings.h"

struct probes;

/* What could not be looked at. */
struct gap {
	const char *probe, *why;
	bool partly; /* it gave answers, but not all */
};

struct report {
	const struct store *store;
	const struct findings *findings;
	const struct who *who;       /* what the probes that trace have seen */
	const struct probes *probes; /* commands of others are not suggested */
	const struct gap *gaps;
	size_t ngaps;
	double seconds; /* the window */
	bool color;
	unsigned int width; /* lines are folded at it; 0: never */
};

void report_table(const struct report *r, struct buf *b);
void report_json(const struct report *r, struct buf *b);

/* How many findings stand by themselves with this severity. */
size_t report_count(const struct findings *f, enum severity severity);

#endif
