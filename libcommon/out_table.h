/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the table format. */
#ifndef SKOOP_OUT_TABLE_H
#define SKOOP_OUT_TABLE_H

#include "out.h"
#include "table.h"

/* The column and the cell of -T. */
void screen_columns(const struct out *o, struct table *t);
void screen_row(const struct out *o, struct table *t, const struct timespec *ts);
/* Appends the table's lines, its header before them where one is due. */
void screen_print(const struct out *o, struct table *t, struct buf *b);

/* See struct out_ops. */
void table_event(const struct out *o, const struct target *target, const struct timespec *ts,
		 const void *record, struct buf *b);

#endif
