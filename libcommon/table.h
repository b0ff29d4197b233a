/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table for people: text to the left, numbers to the right, two spaces between, `-` for what is unknown. Control
 * characters are shown as `?`. Cells are filled row by row, then printed.
 */
#ifndef SKOOP_TABLE_H
#define SKOOP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

enum column_flags {
	COL_RIGHT = 1, /* numbers */
	COL_WHOLE = 2  /* never cut */
};

struct column {
	size_t head, head_len; /* its name, in text */
	unsigned int flags;
	size_t width; /* at least, until table_fit */
};

struct cell {
	size_t at, len, columns;
};

struct table {
	struct buf text;
	struct column *cols;
	size_t ncols, cols_size;
	struct cell *cells;
	size_t ncells, cells_size;
	bool failed; /* out of memory */
};

/* Columns come before cells. The name is shown in capitals. */
void table_column(struct table *t, const char *name, unsigned int flags, size_t width);
/* The next cell: add its text to the buffer this returns, then end it. No text is shown as `-`. */
struct buf *table_cell(struct table *t);
void table_end(struct table *t);
void table_str(struct table *t, const char *str);
/* Forgets the cells. */
void table_clear(struct table *t);
void table_free(struct table *t);

/* Settles the widths; more than `limit` columns in all (0: no limit) are saved by cutting the widest text columns. */
void table_fit(struct table *t, size_t limit);
size_t table_rows(const struct table *t);
/* The column names, each ended by a tab; the header line; the n-th row. Lines end in LF. */
void table_names(const struct table *t, struct buf *b);
void table_head(const struct table *t, struct buf *b);
void table_row(const struct table *t, size_t n, struct buf *b);

#endif
