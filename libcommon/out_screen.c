// SPDX-License-Identifier: GPL-2.0-or-later
/* How a table comes to its reader: headers when they are due, widths that stay, cutting on a terminal. */
#include "out_table.h"

#include <string.h>

#include "array.h"
#include "format.h"
#include "options.h"

static void head_text(const struct out *o, const struct table *t, struct buf *b)
{
	buf_str(b, out_options(o)->framed ? "\f" : "");
	if (out_env(o)->color)
		buf_str(b, "\033[1m");
	table_head(t, b);
	if (out_env(o)->color) {
		b->len--; /* before the line's end */
		buf_str(b, "\033[0m\n");
	}
}

/* The same columns keep the widths they had: rounds stay below each other. */
static void widths_recall(const struct out_header *h, struct table *t)
{
	struct buf names = { 0 };

	table_names(t, &names);
	if (names.data && h->columns.data && !strcmp(names.data, h->columns.data))
		for (size_t i = 0; i < t->ncols && i < h->nwidths; i++)
			if (t->cols[i].width < h->widths[i])
				t->cols[i].width = h->widths[i];
	buf_free(&names);
}

static bool widths_keep(struct out_header *h, const struct table *t)
{
	if (array_grow(&h->widths, &h->widths_size, t->ncols))
		return false;
	for (size_t i = 0; i < t->ncols; i++)
		h->widths[i] = t->cols[i].width;
	h->nwidths = t->ncols;
	return true;
}

/* Where the columns changed; on a terminal also where they moved, and once a screen. */
static void add_header(const struct out *o, const struct table *t, struct buf *b)
{
	struct out_header *h = out_header(o);
	const struct out_env *env = out_env(o);
	struct buf names = { 0 }, line = { 0 };
	bool due;

	table_names(t, &names);
	table_head(t, &line);
	due = out_options(o)->framed || !h->columns.data || strcmp(names.data, h->columns.data);
	if (env->tty)
		due |= h->lines + 1 >= env->height || !h->line.data ||
		       strcmp(line.data, h->line.data);
	if (!due || names.failed || line.failed) {
		buf_free(&names);
		buf_free(&line);
		return;
	}
	if (!out_options(o)->no_header)
		head_text(o, t, b);
	buf_free(&h->columns);
	buf_free(&h->line);
	h->columns = names;
	h->line = line;
	h->lines = 1;
}

void screen_print(const struct out *o, struct table *t, struct buf *b)
{
	const struct out_env *env = out_env(o);
	struct out_header *h = out_header(o);

	if (!t->failed && !t->text.failed) {
		widths_recall(h, t);
		table_fit(t, env->tty ? env->width : 0);
	}
	if (t->failed || t->text.failed || !widths_keep(h, t)) {
		b->failed = true;
		return;
	}
	add_header(o, t, b);
	for (size_t i = 0; i < table_rows(t); i++) {
		if (i && env->tty)
			add_header(o, t, b);
		table_row(t, i, b);
		h->lines++;
	}
}

void screen_columns(const struct out *o, struct table *t)
{
	if (out_options(o)->timestamp)
		table_column(t, "time", COL_WHOLE, 0);
}

void screen_row(const struct out *o, struct table *t, const struct timespec *ts)
{
	if (!out_options(o)->timestamp)
		return;
	buf_time_local(table_cell(t), ts);
	table_end(t);
}
