/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong, judged from two rounds of samples by the rows of findings.def. */
#ifndef SKOOP_FINDINGS_H
#define SKOOP_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "libcommon/util.h"
#include "store.h"

enum severity { NOTHING, NOTE, WARNING, CRITICAL };

/* What a row is judged for: each of these that both rounds have seen. */
enum scope { PER_NETNS, PER_DEVICE, PER_QDISC, PER_CPU, PER_PROCESS, PER_PEER, PER_MACHINE };

enum value_kind { VALUE_COUNT, VALUE_PERCENT, VALUE_BYTES, VALUE_MS };
struct value {
	const char *name;
	enum value_kind kind;
	double v; /* a share of 1, bytes, seconds, or a number; NaN: not known */
};
#define VALUES_MAX 4

struct row {
	unsigned int number;
	enum scope scope;
	const char *id;
	const char *title, *says, *cause, *next, *folds;
	const char *when[CRITICAL + 1]; /* the conditions as written */
	const char *values_text;
	enum severity (*judge)(const struct view *v);
	size_t (*values)(const struct view *v, struct value out[VALUES_MAX]);
};
/* A name that conditions have for an expression. */
struct finding_term {
	const char *name, *expression, *words;
};
/* The tables; NULL past their end. */
const struct row *finding_row(size_t i);
const struct finding_term *finding_term(size_t i);

struct finding {
	const struct row *row;
	struct view view;
	enum severity severity; /* by its own numbers */
	enum severity shown;    /* the highest of its own and of what is folded under it */
	struct value values[VALUES_MAX];
	size_t nvalues;
	struct finding *cause; /* it is a consequence of this one; NULL: it stands by itself */
};

struct findings {
	struct finding *v; /* by number, then subject */
	size_t n;
};

/* 0 or -ENOMEM. The store must outlive the findings; free them in any case. */
int findings_judge(const struct store *s, struct findings *f);
void findings_free(struct findings *f);
/* The second half of it: fills in `cause` and `shown` of findings that are in order. */
void findings_fold(struct findings *f);

/* Whether any row uses this metric: what the store need not keep. */
struct wanted;
struct wanted *wanted_open(void);
void wanted_close(struct wanted *w);
bool wanted_metric(const void *wanted, const char *metric);

/* The line of numbers. */
void finding_says(const struct finding *f, struct buf *b);
/*
 * The i-th command to go on with, ready to paste; nothing if it cannot be run from outside the
 * subject's namespace. False: there are no more.
 */
bool finding_next(const struct finding *f, size_t i, struct buf *b);
/* The options that select its subject; nothing for the machine. */
void subject_options(const struct subject *s, struct buf *b);

#endif
