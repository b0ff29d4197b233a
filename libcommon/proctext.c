// SPDX-License-Identifier: GPL-2.0-or-later
/* The forms in which the kernel prints counters below /proc, as text in memory. */
#include "proctext.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char *blanks_skip(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/*
 * The number at p, up to a blank or the end of the line; where it ends, or NULL. By hand: strtoull
 * costs several times what the rest of the walk does, and takes signs the kernel never prints.
 */
static inline const char *number(const char *p, uint64_t *value)
{
	bool minus = *p == '-';
	const char *start = p += minus;
	uint64_t v = 0;

	for (unsigned int digit; (digit = (unsigned int)(*p - '0')) < 10; p++) {
		if (v >= UINT64_MAX / 10 && (v > UINT64_MAX / 10 || digit > UINT64_MAX % 10))
			return NULL;
		v = v * 10 + digit;
	}
	if (p == start || (*p != ' ' && *p != '\n') || (minus && v > INT64_MAX))
		return NULL;
	*value = minus ? -v : v;
	return p;
}

/* The columns below each other, from behind the group's name; `end` ends the line of keys. */
static int columns(const char *keys, const char *end, const char *values, pair_fn fn, void *arg)
{
	for (;;) {
		struct pair pair;
		int err;

		while (*keys == ' ')
			keys++;
		while (*values == ' ')
			values++;
		if (keys == end)
			return *values == '\n' ? 0 : -EBADMSG;
		pair.key = keys;
		keys = memchr(pair.key, ' ', (size_t)(end - pair.key));
		if (!keys)
			keys = end;
		pair.key_len = (size_t)(keys - pair.key);
		values = number(values, &pair.value);
		if (!values || pair.key_len > PAIR_KEY_MAX)
			return -EBADMSG;
		err = fn(&pair, arg);
		if (err)
			return err;
	}
}

/* The colon of a line that starts with "Group:", letters and digits; NULL: it does not. */
static const char *group_end(const char *line, const char *end)
{
	const char *p = line;

	while (p < end && isalnum((unsigned char)*p))
		p++;
	return p > line && p < end && *p == ':' ? p : NULL;
}

static bool group_is(const char *line, const char *colon, const char *group, size_t len)
{
	return (size_t)(colon - line) == len && !memcmp(line, group, len);
}

int pairs_lines(const char *text, const char *group, pair_fn fn, void *arg)
{
	size_t len = strlen(group);
	int err = *text ? -ENOENT : -EBADMSG;

	while (*text) {
		const char *keys = text, *keys_end = strchr(keys, '\n');
		const char *values, *values_end, *colon;
		size_t head;

		if (!keys_end)
			return -EBADMSG;
		values = keys_end + 1;
		values_end = strchr(values, '\n');
		colon = group_end(keys, keys_end);
		if (!values_end || !colon)
			return -EBADMSG;
		head = (size_t)(colon + 1 - keys);
		if (strncmp(keys, values, head))
			return -EBADMSG;
		text = values_end + 1;
		/* A group can come again: IcmpMsg takes a new pair of lines every 16 columns. */
		if (!group_is(keys, colon, group, len))
			continue;
		err = columns(keys + head, keys_end, values + head, fn, arg);
		if (err)
			return err;
	}
	return err;
}

/* "key value key value" up to the end of the line. */
static int line_pairs(const char *p, const char *end, pair_fn fn, void *arg)
{
	for (p = blanks_skip(p); p != end; p = blanks_skip(p)) {
		struct pair pair = { .key = p };
		int err;

		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return -EBADMSG;
		pair.key_len = (size_t)(p - pair.key);
		p = number(blanks_skip(p), &pair.value);
		if (!p || pair.key_len > PAIR_KEY_MAX)
			return -EBADMSG;
		err = fn(&pair, arg);
		if (err)
			return err;
	}
	return 0;
}

int pairs_inline(const char *text, const char *group, pair_fn fn, void *arg)
{
	size_t len = strlen(group);
	int err = *text ? -ENOENT : -EBADMSG;

	while (*text) {
		const char *line = text, *end = strchr(line, '\n'), *colon;

		if (!end)
			return -EBADMSG;
		colon = group_end(line, end);
		if (!colon)
			return -EBADMSG;
		text = end + 1;
		if (!group_is(line, colon, group, len))
			continue;
		err = line_pairs(colon + 1, end, fn, arg);
		if (err)
			return err;
	}
	return err;
}

int pairs_single(const char *text, const char *group, pair_fn fn, void *arg)
{
	size_t len = strlen(group);
	int found = *text ? -ENOENT : -EBADMSG;

	while (*text) {
		struct pair pair = { .key = text };
		const char *p;
		int err;

		pair.key_len = strcspn(text, " \t\n");
		p = number(blanks_skip(text + pair.key_len), &pair.value);
		if (!pair.key_len || pair.key_len > PAIR_KEY_MAX || !p || *p != '\n')
			return -EBADMSG;
		text = p + 1;
		if (pair.key_len <= len || memcmp(pair.key, group, len))
			continue;
		pair.key += len;
		pair.key_len -= len;
		found = 0;
		err = fn(&pair, arg);
		if (err)
			return err;
	}
	return found;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hex_line(const char **text, uint64_t *values, size_t max)
{
	const char *p = *text;
	size_t n = 0;

	if (!*p)
		return 0;
	for (p = blanks_skip(p); *p != '\n'; p = blanks_skip(p)) {
		const char *start = p;
		uint64_t v = 0;

		for (int digit; (digit = hex_digit(*p)) >= 0; p++)
			v = v << 4 | (uint64_t)digit;
		if (p == start || p - start > 16 || n == max || (*p != ' ' && *p != '\n'))
			return -EBADMSG;
		values[n++] = v;
	}
	if (!n)
		return -EBADMSG;
	*text = p + 1;
	return (int)n;
}

/* No such table has more columns. */
#define STAT_COLUMNS_MAX 32

/* Adds up the CPUs' lines; their number, or -EBADMSG. */
static int stat_sums(const char *text, int columns, uint64_t *sums)
{
	uint64_t line[STAT_COLUMNS_MAX];
	int n, lines = 0;

	for (; (n = hex_line(&text, line, STAT_COLUMNS_MAX)) == columns; lines++) {
		sums[0] = line[0];
		for (int i = 1; i < columns; i++)
			sums[i] += line[i];
	}
	return n ? -EBADMSG : lines;
}

int pairs_stat(const char *text, const char *group, pair_fn fn, void *arg)
{
	char keys[STAT_COLUMNS_MAX][PAIR_KEY_MAX];
	struct pair pairs[STAT_COLUMNS_MAX] = { 0 };
	uint64_t sums[STAT_COLUMNS_MAX] = { 0 };
	const char *p = blanks_skip(text);
	int n = 0, err = 0;

	(void)group;
	for (; *p && *p != '\n' && n < STAT_COLUMNS_MAX; p = blanks_skip(p), n++) {
		pairs[n].key = keys[n];
		for (; *p && *p != ' ' && *p != '\n' && pairs[n].key_len < PAIR_KEY_MAX; p++)
			if (*p != '_')
				keys[n][pairs[n].key_len++] = *p;
		if (!pairs[n].key_len)
			return -EBADMSG;
	}
	if (*p != '\n' || !n || stat_sums(p + 1, n, sums) <= 0)
		return -EBADMSG;
	for (int i = 0; i < n && !err; i++) {
		pairs[i].value = sums[i];
		err = fn(&pairs[i], arg);
	}
	return err;
}
