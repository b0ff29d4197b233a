/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that depends on a sample's row alone, made once a round instead of once a sample. For the renderers. */
#ifndef SKOOP_ROW_TEXT_H
#define SKOOP_ROW_TEXT_H

#include "out.h"

struct row_text {
	struct buf text;
	size_t *ends; /* of each row's text */
};

/* Has `make` write the text of every row. Out of memory marks b as failed. */
void row_text_make(struct row_text *rt, const struct round *r,
		   void (*make)(const struct out_row *row, struct buf *b), struct buf *b);
void row_text_add(const struct row_text *rt, size_t row, struct buf *b);
void row_text_free(struct row_text *rt);

#endif
