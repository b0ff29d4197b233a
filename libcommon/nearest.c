// SPDX-License-Identifier: GPL-2.0-or-later
/* Names a person may have meant. */
#include "nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 64

static int lower(char c)
{
	return tolower((unsigned char)c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters to add, drop, replace or swap with their neighbour until a is b, whatever their case. */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
	size_t rows[3][NAME_MAX_LEN + 1];

	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		const size_t *before = rows[(i + 1) % 3], *up = rows[(i - 1) % 3];
		size_t *row = rows[i % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = min3(up[j] + 1, row[j - 1] + 1,
				      up[j - 1] + (lower(a[i - 1]) != lower(b[j - 1])));
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return rows[la % 3][lb];
}

/*
 * How far the candidate is; SIZE_MAX: too far to be meant. A part of the name written right is
 * near.
 */
static size_t distance(const char *name, const char *candidate)
{
	size_t len = strlen(name), other = strlen(candidate), d;

	if (!len || len > NAME_MAX_LEN || other > NAME_MAX_LEN)
		return SIZE_MAX;
	d = edit_distance(name, len, candidate, other);
	if (d <= 1 + len / 4 && d < len)
		return d;
	return len >= 3 && strcasestr(candidate, name) ? 1 + len / 4 + (other - len) : SIZE_MAX;
}

void nearest_offer(struct nearest *near, const char *candidate)
{
	size_t d = distance(near->name, candidate), i;

	if (d == SIZE_MAX)
		return;
	for (i = 0; i < near->n; i++)
		if (!strcasecmp(near->best[i].text, candidate))
			return;
	for (i = near->n; i > 0 && near->best[i - 1].distance > d; i--)
		if (i < ARRAY_SIZE(near->best))
			near->best[i] = near->best[i - 1];
	if (i == ARRAY_SIZE(near->best))
		return;
	near->best[i].text = candidate;
	near->best[i].distance = d;
	if (near->n < ARRAY_SIZE(near->best))
		near->n++;
}

void nearest_print(const struct nearest *near, struct buf *b)
{
	for (size_t i = 0; i < near->n; i++)
		buf_printf(b, "%s%s",
			   i == 0            ? "; did you mean "
			   : i + 1 < near->n ? ", "
					     : " or ",
			   near->best[i].text);
	if (near->n)
		buf_str(b, "?");
}
