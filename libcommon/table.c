// SPDX-License-Identifier: GPL-2.0-or-later
/* A table for people: collects cells, settles the widths of the columns, prints lines. */
#include "table.h"

#include <string.h>

#include "array.h"
#include "format.h"

#define GAP 2
/* A text column is not cut below this: what is left should still be told apart. */
#define CUT_MIN 9
#define ELLIPSIS "\xe2\x80\xa6"

void table_column(struct table *t, const char *name, unsigned int flags, size_t width)
{
	struct column *c;

	if (array_grow(&t->cols, &t->cols_size, t->ncols + 1)) {
		t->failed = true;
		return;
	}
	c = &t->cols[t->ncols++];
	*c = (struct column){ t->text.len, 0, flags, width };
	buf_str(&t->text, name);
	c->head_len = t->text.len - c->head;
	buf_upper(&t->text, c->head);
}

struct buf *table_cell(struct table *t)
{
	if (array_grow(&t->cells, &t->cells_size, t->ncells + 1))
		t->failed = true;
	else
		t->cells[t->ncells].at = t->text.len;
	return &t->text;
}

void table_end(struct table *t)
{
	struct cell *c;

	if (t->failed || t->text.failed)
		return;
	c = &t->cells[t->ncells++];
	if (t->text.len == c->at)
		buf_str(&t->text, "-");
	c->columns = buf_plain(&t->text, c->at);
	c->len = t->text.len - c->at;
}

void table_str(struct table *t, const char *str)
{
	buf_str(table_cell(t), str);
	table_end(t);
}

void table_clear(struct table *t)
{
	if (t->ncells)
		t->text.len = t->cells[0].at;
	t->ncells = 0;
}

void table_free(struct table *t)
{
	buf_free(&t->text);
	free(t->cols);
	free(t->cells);
	*t = (struct table){ 0 };
}

static size_t line_width(const struct table *t)
{
	size_t width = 0;

	for (size_t i = 0; i < t->ncols; i++)
		width += t->cols[i].width + (i ? GAP : 0);
	return width;
}

/* The widest column that may lose a character; NULL: none. */
static struct column *widest(struct table *t)
{
	struct column *best = NULL;

	for (size_t i = 0; i < t->ncols; i++) {
		struct column *c = &t->cols[i];

		if (c->flags & (COL_RIGHT | COL_WHOLE) || c->width <= CUT_MIN ||
		    c->width <= c->head_len)
			continue;
		if (!best || c->width > best->width)
			best = c;
	}
	return best;
}

void table_fit(struct table *t, size_t limit)
{
	struct column *c;
	size_t width;

	if (t->failed || !t->ncols)
		return;
	for (size_t i = 0; i < t->ncols; i++)
		if (t->cols[i].width < t->cols[i].head_len)
			t->cols[i].width = t->cols[i].head_len;
	for (size_t i = 0; i < t->ncells; i++) {
		c = &t->cols[i % t->ncols];
		if (c->width < t->cells[i].columns)
			c->width = t->cells[i].columns;
	}
	for (width = line_width(t); limit && width > limit && (c = widest(t)); width--)
		c->width--;
}

size_t table_rows(const struct table *t)
{
	return t->ncols ? t->ncells / t->ncols : 0;
}

void table_names(const struct table *t, struct buf *b)
{
	for (size_t i = 0; i < t->ncols; i++) {
		buf_add(b, t->text.data + t->cols[i].head, t->cols[i].head_len);
		buf_str(b, "\t");
	}
}

static void pad(struct buf *b, size_t n)
{
	static const char spaces[] = "                                ";

	for (; n > sizeof(spaces) - 1; n -= sizeof(spaces) - 1)
		buf_add(b, spaces, sizeof(spaces) - 1);
	buf_add(b, spaces, n);
}

/* Bytes of the first n characters. */
static size_t prefix_len(const char *s, size_t len, size_t n)
{
	size_t i = 0;

	while (n-- && i < len)
		i += utf8_len(s + i, len - i);
	return i;
}

/* A pod's name is told apart by its end, a symbol by its beginning: what is cut is the middle. */
static void cut(struct buf *b, const char *s, size_t len, size_t columns, size_t width)
{
	size_t head = width / 2, tail = width - head - 1;
	size_t from = prefix_len(s, len, columns - tail);

	buf_add(b, s, prefix_len(s, len, head));
	buf_str(b, ELLIPSIS);
	buf_add(b, s + from, len - from);
}

static void put(const struct column *c, const char *s, size_t len, size_t columns, bool last,
		struct buf *b)
{
	size_t room = columns < c->width ? c->width - columns : 0;

	if (c->flags & COL_RIGHT)
		pad(b, room);
	if (columns > c->width)
		cut(b, s, len, columns, c->width);
	else
		buf_add(b, s, len);
	if (!(c->flags & COL_RIGHT) && !last)
		pad(b, room);
}

void table_head(const struct table *t, struct buf *b)
{
	for (size_t i = 0; i < t->ncols; i++) {
		const struct column *c = &t->cols[i];

		pad(b, i ? GAP : 0);
		put(c, t->text.data + c->head, c->head_len, c->head_len, i + 1 == t->ncols, b);
	}
	buf_str(b, "\n");
}

void table_row(const struct table *t, size_t n, struct buf *b)
{
	for (size_t i = 0; i < t->ncols; i++) {
		const struct cell *cell = &t->cells[n * t->ncols + i];

		pad(b, i ? GAP : 0);
		put(&t->cols[i], t->text.data + cell->at, cell->len, cell->columns,
		    i + 1 == t->ncols, b);
	}
	buf_str(b, "\n");
}
