/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pull scanner for JSON (RFC 8259): the caller asks for one token after the other, nothing is
 * allocated and no tree is built. Strict: what it reaches the end of without an error is
 * well-formed. Bounded: 64 levels, and a string is kept up to JSON_TEXT_MAX bytes.
 *
 *	json_init(&j, text, len);
 *	if (json_next(&j) == JSON_OBJECT)
 *		while (json_next(&j) == JSON_KEY)
 *			if (json_is(&j, "value") && json_next(&j) == JSON_NUMBER)
 *				err = json_u64(&j, &value);
 *			else
 *				json_skip(&j);
 */
#ifndef SKOOP_JSON_H
#define SKOOP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_token {
	JSON_ERROR, /* not JSON from here on; every further call says so again */
	JSON_END,   /* the one value and nothing after it */
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_KEY, /* the value follows */
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL
};

#define JSON_DEPTH_MAX 64
#define JSON_TEXT_MAX 1023

struct json {
	enum json_token token; /* the last one given */
	unsigned int depth;    /* objects and arrays that are open */
	/*
	 * Of a key or string: unescaped, NUL-terminated, and possibly with NULs inside. Of a
	 * number: as written. `cut`: it was longer and only its beginning is here.
	 */
	char text[JSON_TEXT_MAX + 1];
	size_t len;
	bool cut;
	/* Private. */
	const char *p, *end;
	uint64_t objects; /* bit i: level i is an object */
	enum { JSON_WANT_VALUE, JSON_WANT_FIRST, JSON_WANT_MORE } want;
};

/* Starts on len bytes of text, which must stay. */
void json_init(struct json *j, const char *text, size_t len);
enum json_token json_next(struct json *j);
/*
 * After JSON_KEY: passes over its value; after JSON_OBJECT or JSON_ARRAY: to its end. False: an
 * error was met.
 */
bool json_skip(struct json *j);
/* Whether the key or string last given is just this. */
bool json_is(const struct json *j, const char *text);
/* The number last given; 0, -EINVAL (a fraction, an exponent, a sign for u64), -ERANGE. */
int json_u64(const struct json *j, uint64_t *value);
int json_i64(const struct json *j, int64_t *value);

#endif
