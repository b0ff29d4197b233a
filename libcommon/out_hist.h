/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The histograms of a round: kept until it is written, and how each format shows them. */
#ifndef SKOOP_OUT_HIST_H
#define SKOOP_OUT_HIST_H

#include "out.h"

struct histograms {
	struct histogram *v;
	size_t n, size;
};

/* labels are copied. 0 or -ENOMEM. */
int histograms_add(struct histograms *hs, const struct histogram *h, const struct label *labels);
void histograms_reset(struct histograms *hs);
void histograms_free(struct histograms *hs);

/* A block of lines for each: what came since the round before, where there was one. */
void hist_table(const struct out *o, const struct round *r, struct buf *b);
/* The end of a JSON record, from the key "histogram" on; add_labels writes target and netns. */
void hist_json(const struct histogram *h, struct buf *b);
/* Families of type histogram, in seconds. */
void hist_exposition(const struct out *o, const struct round *r, bool openmetrics, struct buf *b);

#endif
