/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The samples of two rounds of several probes: by subject (a network namespace, or the machine),
 * metric and further labels. Fed with the probes' JSON lines; asked for doubles, NaN where
 * something was not seen in both rounds.
 */
#ifndef SKOOP_STORE_H
#define SKOOP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "libcommon/probe.h"

struct store;

/* Whose values they are. */
struct subject {
	const char *node, *namespace, *pod; /* of the machine: the host's labels */
	uint64_t netns;                     /* 0: unknown */
	bool machine;
	size_t index;
};

/* The further labels of a series; two equal sets are one object. */
struct labelset {
	size_t n;
	struct label v[];
};

struct series {
	const struct subject *subject;
	const struct labelset *labels;
	uint64_t value[2];
	bool has[2];
	const struct series *next; /* of the same subject and metric */
};

/*
 * Where a finding looks: a subject and, for one device or process of it, the labels that name it
 * (or NULL).
 */
struct view {
	const struct store *store;
	const struct subject *subject;
	const struct labelset *labels;
};

/*
 * Keeps only the metrics that `wanted` (names without kubeskoop_) takes; NULL: all. NULL: out of
 * memory.
 */
struct store *store_open(bool (*wanted)(const void *arg, const char *metric), const void *arg);
void store_close(struct store *s);

/* What one probe has sent so far; { .store = … } is the start. */
struct sender {
	struct store *store;
	bool since_start; /* its counters began at 0 with the window: it sends but the last round */
	unsigned int rounds;     /* begun */
	struct timespec time[2]; /* of the rounds */
};

/*
 * One line of a probe's -o json, without its newline. Records that are no metrics are passed over.
 * 0; -EBADMSG: not such a record; -E2BIG: a third round; -ENOMEM.
 */
int store_feed(struct sender *f, const char *line, size_t len);

/* Adds a counter that grew so much; replaces one of that name. 0 or -ENOMEM. */
int store_put(struct store *s, const struct subject *subject, const char *metric, uint64_t growth);

/* The seconds between the two rounds: the longest of any probe, NaN before a second round. */
double store_window(const struct store *s);

/*
 * The network namespaces seen in any round, in order of arrival; NULL past the last. And the
 * machine.
 */
const struct subject *store_subject(const struct store *s, size_t i);
const struct subject *store_machine(const struct store *s);
/* The series of a metric of this subject, NULL: none. */
const struct series *store_series(const struct store *s, const struct subject *subject,
				  const char *metric);

/* What to read of a series; each needs both rounds. */
enum reading {
	READ_GROWTH, /* last - first; a counter that went backwards is not used */
	READ_LOW,    /* the smaller one: a level that held */
	READ_HIGH,   /* the greater one */
	READ_FIRST,
	READ_LAST,
	READ_STUCK /* the level if it is the same in both */
};
double series_read(const struct series *s, enum reading what);

/*
 * The sum over the series of this metric that belong to the view: those of its subject, else of the
 * machine, none of whose labels contradict the view's. A key "metric.VALUE" takes only series that
 * have a label of this value. NaN: there is none. store_max: the greatest instead. store_plain:
 * only series without further labels than the view's. store_count: how many series there are.
 */
double store_sum(const struct view *v, const char *key, enum reading what);
double store_max(const struct view *v, const char *key, enum reading what);
double store_plain(const struct view *v, const char *key, enum reading what);
double store_count(const struct view *v, const char *key);
/* The growth summed over all network namespaces. */
double store_everywhere(const struct view *v, const char *key);

/* The value of a label of the view, NULL: it has none of this name. */
const char *view_label(const struct view *v, const char *name);
const char *labelset_get(const struct labelset *l, const char *name);

#endif
