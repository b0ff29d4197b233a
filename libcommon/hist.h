/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Histograms in powers of two, and percentiles of them. */
#ifndef SKOOP_HIST_H
#define SKOOP_HIST_H

#include <stddef.h>
#include <stdint.h>

#define HIST_SLOTS 64

/* Slot i counts values in [2^i, 2^(i+1)); slot 0 those of 0, too. */
struct hist_values {
	uint64_t slots[HIST_SLOTS];
	uint64_t count, sum, min, max; /* min and max have no meaning while count is 0 */
};

static inline uint64_t hist_low(size_t slot)
{
	return slot ? 1ULL << slot : 0;
}
/* Where the next slot begins; 0: the last one is open. */
static inline uint64_t hist_high(size_t slot)
{
	return slot + 1 < HIST_SLOTS ? 1ULL << (slot + 1) : 0;
}

/*
 * The value below which `percent` of the values lie: interpolated within its slot, never outside [min, max]. 0 where
 * there is none.
 */
uint64_t hist_percentile(const struct hist_values *h, unsigned int percent);

/*
 * What came after `before` of the same histogram. A minimum or maximum that is not new may be older than that: then they
 * are as near as the slots tell, and no value lies outside.
 */
void hist_since(const struct hist_values *now, const struct hist_values *before,
		struct hist_values *since);

#endif
