// SPDX-License-Identifier: GPL-2.0-or-later
/* Histograms in powers of two, and percentiles of them. */
#include "hist.h"

static uint64_t clamp(const struct hist_values *h, uint64_t value)
{
	return value < h->min ? h->min : value > h->max ? h->max : value;
}

uint64_t hist_percentile(const struct hist_values *h, unsigned int percent)
{
	/* In hundredths of a value, so that the median of five is the half of the third. */
	unsigned __int128 rank = (unsigned __int128)h->count * percent, below = 0, width;

	for (size_t i = 0; i < HIST_SLOTS && h->count; i++) {
		unsigned __int128 here = (unsigned __int128)h->slots[i] * 100;

		if (!here || below + here < rank) {
			below += here;
			continue;
		}
		width = i + 1 < HIST_SLOTS ? hist_high(i) - hist_low(i) : UINT64_MAX - hist_low(i);
		return clamp(h, hist_low(i) + (uint64_t)(width * (rank - below) / here));
	}
	return 0;
}

void hist_since(const struct hist_values *now, const struct hist_values *before,
		struct hist_values *since)
{
	size_t first = HIST_SLOTS, last = 0;

	*since = *now;
	if (!before->count)
		return;
	since->count -= before->count;
	since->sum -= before->sum;
	for (size_t i = 0; i < HIST_SLOTS; i++) {
		since->slots[i] -= before->slots[i];
		if (!since->slots[i])
			continue;
		first = first < i ? first : i;
		last = i;
	}
	/* An older extreme says nothing of these. */
	if (now->min >= before->min && first < HIST_SLOTS && hist_low(first) > now->min)
		since->min = hist_low(first);
	if (now->max <= before->max && hist_high(last) && hist_high(last) < now->max)
		since->max = hist_high(last);
}
