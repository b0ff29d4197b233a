// SPDX-License-Identifier: GPL-2.0-or-later
/* Text that depends on a sample's row alone. */
#include "row_text.h"

void row_text_make(struct row_text *rt, const struct round *r,
		   void (*make)(const struct out_row *row, struct buf *b), struct buf *b)
{
	rt->ends = calloc(r->nrows + 1, sizeof(*rt->ends));
	for (size_t i = 0; i < r->nrows && rt->ends; i++) {
		make(&r->rows[i], &rt->text);
		rt->ends[i] = rt->text.len;
	}
	if (!rt->ends || rt->text.failed)
		b->failed = true;
}

void row_text_add(const struct row_text *rt, size_t row, struct buf *b)
{
	size_t from = row ? rt->ends[row - 1] : 0;

	if (!b->failed)
		buf_add(b, rt->text.data + from, rt->ends[row] - from);
}

void row_text_free(struct row_text *rt)
{
	buf_free(&rt->text);
	free(rt->ends);
}
