/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The samples of a round, put in order and compared with those of the round before. A row is one target with one set
 * of further labels; a sample is one metric in one row. Prints nothing but what is wrong with a sample.
 */
#ifndef SKOOP_SAMPLES_H
#define SKOOP_SAMPLES_H

#include "out.h"

struct samples;

/* metrics: the probe's table, may be NULL. NULL: out of memory. */
struct samples *samples_open(const struct probe *p);
void samples_free(struct samples *s);

/* Starts a round; what a former one left and did not keep is gone. */
void samples_begin(struct samples *s);
/* Adds one; label texts are copied. The target must live until samples_keep or the next samples_begin. */
void samples_add(struct samples *s, const struct target *t, const struct metric *m, uint64_t value,
		 const struct label *labels);
/* Says of the one added last what it has grown by, which is then not looked for. */
void samples_grown(struct samples *s, uint64_t grown);
/* The round's rows stay in order of arrival. */
void samples_in_order(struct samples *s);
/* See out_extra(). */
const struct metric *samples_extra(struct samples *s, const char *key, size_t key_len,
				   const struct metric *like);
/*
 * Sorts the round and makes the differences; fills the samples, rows, metrics and `base` of *r, which stay valid until
 * the next samples_begin. 0, or after one msg_error -ENOMEM, -EEXIST (a series twice) or -EINVAL (a foreign metric).
 */
int samples_close(struct samples *s, struct round *r);
/* Makes the closed round the base of the next. */
void samples_keep(struct samples *s);

#endif
