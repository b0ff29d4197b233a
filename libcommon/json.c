// SPDX-License-Identifier: GPL-2.0-or-later
/* A pull scanner for JSON: bounded, strict, without a tree. */
#include "json.h"

#include <errno.h>
#include <string.h>

#include "util.h"

void json_init(struct json *j, const char *text, size_t len)
{
	*j = (struct json){ .p = text, .end = text + len };
}

static enum json_token fail(struct json *j)
{
	j->p = j->end = NULL;
	return JSON_ERROR;
}

/* The next byte, -1 at the end. */
static int peek(const struct json *j)
{
	return j->p < j->end ? (unsigned char)*j->p : -1;
}

static void skip_blanks(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
		j->p++;
}

static void keep(struct json *j, char c)
{
	if (j->len == JSON_TEXT_MAX)
		j->cut = true;
	else
		j->text[j->len++] = c;
}

/* One code point as UTF-8; half a surrogate pair is no character and becomes U+FFFD. */
static void keep_utf8(struct json *j, uint32_t cp)
{
	if (cp >= 0xd800 && cp < 0xe000)
		cp = 0xfffd;
	if (cp < 0x80) {
		keep(j, (char)cp);
		return;
	}
	if (cp < 0x800) {
		keep(j, (char)(0xc0 | cp >> 6));
	} else {
		if (cp < 0x10000) {
			keep(j, (char)(0xe0 | cp >> 12));
		} else {
			keep(j, (char)(0xf0 | cp >> 18));
			keep(j, (char)(0x80 | (cp >> 12 & 0x3f)));
		}
		keep(j, (char)(0x80 | (cp >> 6 & 0x3f)));
	}
	keep(j, (char)(0x80 | (cp & 0x3f)));
}

static bool hex4(struct json *j, uint32_t *value)
{
	*value = 0;
	if (j->end - j->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		static const char hex[] = "0123456789abcdef";
		char c = *j->p++;
		const char *d = strchr(hex, c >= 'A' && c <= 'F' ? c | 0x20 : c);

		if (!d || !*d)
			return false;
		*value = *value << 4 | (uint32_t)(d - hex);
	}
	return true;
}

static bool unicode_escape(struct json *j)
{
	uint32_t cp, low;

	if (!hex4(j, &cp))
		return false;
	if (cp >= 0xd800 && cp < 0xdc00 && j->end - j->p >= 2 && j->p[0] == '\\' && j->p[1] == 'u') {
		j->p += 2;
		if (!hex4(j, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000)
			cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
		else
			j->p -= 6; /* no pair: the second is read again, on its own */
	}
	keep_utf8(j, cp);
	return true;
}

static bool escape(struct json *j)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;
	int c = peek(j);

	if (c < 0)
		return false;
	j->p++;
	if (c == 'u')
		return unicode_escape(j);
	name = memchr(names, c, sizeof(names) - 1);
	if (!name)
		return false;
	keep(j, values[name - names]);
	return true;
}

/* Behind the opening quote. Bytes of 0x80 and above are taken as they are. */
static bool string(struct json *j)
{
	int c;

	while ((c = peek(j)) >= 0x20) {
		j->p++;
		if (c == '"')
			return true;
		if (c != '\\')
			keep(j, (char)c);
		else if (!escape(j))
			return false;
	}
	return false;
}

static bool digits(struct json *j)
{
	const char *start = j->p;

	while (peek(j) >= '0' && peek(j) <= '9')
		keep(j, *j->p++);
	return j->p > start;
}

static bool number(struct json *j)
{
	if (peek(j) == '-')
		keep(j, *j->p++);
	if (peek(j) == '0')
		keep(j, *j->p++);
	else if (!digits(j))
		return false;
	if (peek(j) == '.') {
		keep(j, *j->p++);
		if (!digits(j))
			return false;
	}
	if (peek(j) == 'e' || peek(j) == 'E') {
		keep(j, *j->p++);
		if (peek(j) == '+' || peek(j) == '-')
			keep(j, *j->p++);
		return digits(j);
	}
	return true;
}

static bool literal(struct json *j, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(j->end - j->p) < len || memcmp(j->p, name, len))
		return false;
	j->p += len;
	return true;
}

static bool in_object(const struct json *j)
{
	return j->depth && j->objects >> (j->depth - 1) & 1;
}

static enum json_token enter(struct json *j, bool object)
{
	if (j->depth == JSON_DEPTH_MAX)
		return fail(j);
	j->p++;
	j->objects &= ~((uint64_t)1 << j->depth);
	j->objects |= (uint64_t)object << j->depth;
	j->depth++;
	j->want = JSON_WANT_FIRST;
	return object ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_token leave(struct json *j)
{
	bool object = in_object(j);

	if (*j->p != (object ? '}' : ']'))
		return fail(j);
	j->p++;
	j->depth--;
	j->want = JSON_WANT_MORE;
	return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static enum json_token value(struct json *j)
{
	enum json_token token = JSON_ERROR;
	int c = peek(j);

	if (c == '{' || c == '[')
		return enter(j, c == '{');
	j->want = JSON_WANT_MORE;
	if (c == '"') {
		j->p++;
		token = string(j) ? JSON_STRING : JSON_ERROR;
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		token = number(j) ? JSON_NUMBER : JSON_ERROR;
	} else if (literal(j, "true")) {
		token = JSON_TRUE;
	} else if (literal(j, "false")) {
		token = JSON_FALSE;
	} else if (literal(j, "null")) {
		token = JSON_NULL;
	}
	return token ? token : fail(j);
}

static enum json_token key(struct json *j)
{
	if (peek(j) != '"')
		return fail(j);
	j->p++;
	if (!string(j))
		return fail(j);
	skip_blanks(j);
	if (peek(j) != ':')
		return fail(j);
	j->p++;
	j->want = JSON_WANT_VALUE;
	return JSON_KEY;
}

static enum json_token step(struct json *j)
{
	int c;

	skip_blanks(j);
	c = peek(j);
	if (j->want == JSON_WANT_MORE && !j->depth)
		return c < 0 ? JSON_END : fail(j);
	if ((j->want == JSON_WANT_FIRST || j->want == JSON_WANT_MORE) && (c == '}' || c == ']'))
		return leave(j);
	if (j->want == JSON_WANT_MORE) {
		if (c != ',')
			return fail(j);
		j->p++;
		skip_blanks(j);
	}
	if (j->want != JSON_WANT_VALUE && in_object(j))
		return key(j);
	return value(j);
}

enum json_token json_next(struct json *j)
{
	j->len = 0;
	j->cut = false;
	j->token = j->p ? step(j) : JSON_ERROR;
	j->text[j->len] = '\0';
	return j->token;
}

bool json_skip(struct json *j)
{
	unsigned int depth = j->depth;

	if (j->token == JSON_KEY)
		json_next(j);
	else if (j->token == JSON_OBJECT || j->token == JSON_ARRAY)
		depth--;
	while (j->depth > depth && j->token != JSON_ERROR)
		json_next(j);
	return j->token != JSON_ERROR;
}

bool json_is(const struct json *j, const char *text)
{
	return !j->cut && j->len == strlen(text) && !memcmp(j->text, text, j->len);
}

int json_u64(const struct json *j, uint64_t *value)
{
	return j->cut ? -ERANGE : parse_u64(j->text, 0, UINT64_MAX, value);
}

int json_i64(const struct json *j, int64_t *value)
{
	bool minus = j->text[0] == '-';
	uint64_t magnitude;
	int err = j->cut ? -ERANGE
			 : parse_u64(j->text + minus, 0, (uint64_t)INT64_MAX + minus, &magnitude);

	if (!err)
		*value = (int64_t)(minus ? -magnitude : magnitude);
	return err;
}
