/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many outputs made one. Children are run with --framed: a line that begins with a form feed is not
 * data, but speaks of it. Alone it ends a round; with text it is the header of what follows.
 */
#ifndef SKOOP_MERGE_H
#define SKOOP_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/options.h"
#include "libcommon/util.h"

/* Nothing waits longer than this for a child that is late; it is then merged as it comes. */
#define MERGE_HOLD NSEC_PER_SEC

struct queue;
struct merge;

/* What comes from one child. */
struct feed {
	const char *name;   /* skoop-tcp */
	const char *title;  /* tcp */
	bool greeted;       /* its first line has come */
	bool streams;       /* sends events as they happen; else whole rounds */
	bool ended, failed; /* failed: what came last may be half of it */
	bool late;          /* nobody waits for it until it speaks again */
	bool rests;         /* between two rounds */
	size_t rounds;
	/* the merger's own */
	uint64_t ts;      /* of the last line: CLOCK_REALTIME in ns */
	uint64_t arrived; /* of what waits: process_now() */
	struct queue *head, **tail;
	struct buf now, whole; /* the round that is coming in, the last one that is complete */
	bool fresh;            /* `whole` has not been merged yet */
	char *header;
};

struct merge_ops {
	/* A line of data; len without the newline, which is there as a NUL. */
	void (*line)(struct merge *m, struct feed *f, const char *line, size_t len);
	/* The feed's round has ended, or the feed itself. */
	void (*round)(struct merge *m, struct feed *f);
	/* Moves what need not wait to m->out; all of it at the end. */
	void (*tick)(struct merge *m, uint64_t now, bool end);
	/* When the next tick is due, if no line comes before (process_now() time). */
	uint64_t (*due)(const struct merge *m);
};

struct merge {
	const struct merge_ops *ops;
	enum out_format format;
	bool file;         /* each m->out is the whole content of a file */
	uint64_t interval; /* ns, 0: one round */
	uint64_t start;    /* merge_wall_clock() before the first child */
	struct feed *feeds;
	size_t nfeeds;
	struct buf out;          /* to be written, then emptied */
	bool ready;              /* a whole of rounds is in m->out, be it empty */
	bool told;               /* who is late has been said */
	bool failed;             /* something was said and left out */
	const struct feed *last; /* whose line came out last */
	char *header;            /* the one header there is (TSV) */
	size_t held;             /* bytes that wait */
};

/* JSON Lines and TSV as a stream: by time. */
extern const struct merge_ops merge_timeline;
/* Tables: block by block under a title. */
extern const struct merge_ops merge_blocks;
/* Expositions by family; with `file` also JSON Lines and TSV by time: all of a round at once. */
extern const struct merge_ops merge_rounds;

/* The time a record bears, in ns since 1970; 0: none. */
uint64_t record_time(enum out_format format, const char *line);
/* Whether its last whole round is to be joined: it is new, or the last there will be. */
bool rounds_counts(const struct feed *f);
/*
 * Joins complete expositions, family by family; `failed` is set where two do not agree, after one
 * msg_error.
 */
void expositions_join(struct merge *m, struct buf *b);

/* CLOCK_REALTIME in ns, as records bear it. */
uint64_t merge_wall_clock(void);

void merge_line(struct merge *m, struct feed *f, const char *line, size_t len);
void merge_end(struct merge *m, struct feed *f, bool failed);
void merge_free(struct merge *m);

#endif
