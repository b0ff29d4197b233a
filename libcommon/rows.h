/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of a round: one for each target with one set of further labels, found by a hash over the labels. They own
 * copies of all the text they are told apart by, since the targets of a round are gone when the next one is.
 */
#ifndef SKOOP_ROWS_H
#define SKOOP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "out.h"

#define NO_ROW UINT32_MAX

/* A target, in the rows' own copy, with the hash of its labels. */
struct identity {
	const char *node, *namespace, *pod;
	uint64_t netns;
	uint64_t hash;
};

struct rows_entry {
	struct out_row row;
	const struct identity *id;
	uint64_t hash;
	uint32_t rank; /* its place in the output */
};

struct rows {
	struct arena arena;
	struct rows_entry *v; /* in order of arrival */
	size_t n, size;
	uint32_t *slots; /* index into v, NO_ROW: free */
	size_t nslots;   /* a power of two, at least twice n */
	bool in_order;   /* they are ranked as they came */
};

/* Copies the target's labels; NULL: out of memory. */
const struct identity *rows_identity(struct rows *r, const struct target *t);
/* The hash of a row. labels: ended by {}. */
uint64_t rows_hash(const struct identity *id, const struct label *labels);
/* The row of the target with these three labels, and these further ones; NO_ROW: there is none. */
uint32_t rows_find(const struct rows *r, uint64_t hash, const struct identity *id,
		   const struct label *labels);
/* Adds one that is not there yet; labels are copied. NO_ROW: out of memory. */
uint32_t rows_add(struct rows *r, uint64_t hash, const struct target *t, const struct identity *id,
		  const struct label *labels);
/* Ranks them by namespace, pod, node, arrival (or arrival alone), and lists them so in to[n]. 0 or -ENOMEM. */
int rows_rank(struct rows *r, struct out_row *to);

/* Forgets the rows and their order, keeps the memory. */
void rows_reset(struct rows *r);
void rows_free(struct rows *r);

#endif
