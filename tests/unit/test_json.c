// SPDX-License-Identifier: GPL-2.0-or-later
/* The JSON scanner: every token, every escape, what is no JSON, its limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "libcommon/json.h"
#include "libcommon/util.h"

/* The tokens of a text in one letter each, texts in brackets; '!' for an error. */
static void tokens(const char *text, size_t len, struct buf *b)
{
	static const char letters[] = "!.{}[]ks#tfn";
	enum json_token token;
	struct json j;

	b->len = 0;
	json_init(&j, text, len);
	do {
		token = json_next(&j);
		buf_add(b, &letters[token], 1);
		if (token == JSON_KEY || token == JSON_STRING || token == JSON_NUMBER)
			buf_printf(b, "(%s)", j.text);
	} while (token != JSON_END && token != JSON_ERROR);
	assert_int_equal(json_next(&j), token);
}

static const struct {
	const char *text, *want;
} cases[] = {
	{ "{}", "{}." },
	{ " [ ] \n", "[]." },
	{ "{\"a\":1,\"b\":[true,false,null,\"x\"],\"c\":{\"d\":{}}}",
	  "{k(a)#(1)k(b)[tfns(x)]k(c){k(d){}}}." },
	{ "\t\"top\"\r\n", "s(top)." },
	{ "null", "n." },
	{ "[0,-0,10,-5,1.5,0.25,1e3,2E-7,-1.0e+10]",
	  "[#(0)#(-0)#(10)#(-5)#(1.5)#(0.25)#(1e3)#(2E-7)#(-1.0e+10)]." },
	{ "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "[s(\"\\/\b\f\n\r\t)]." },
	{ "[\"\\u0041\\u00e9\\u20ac\\uD83D\\uDE00\"]",
	  "[s(A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80)]." },
	/* Halves of surrogate pairs. */
	{ "[\"\\ud800\"]", "[s(\xef\xbf\xbd)]." },
	{ "[\"\\udc00x\"]", "[s(\xef\xbf\xbdx)]." },
	{ "[\"\\ud800\\ud83d\\ude00\"]", "[s(\xef\xbf\xbd\xf0\x9f\x98\x80)]." },
	{ "[\"\\ud800\\n\"]", "[s(\xef\xbf\xbd\n)]." },
	{ "[\"\xff\"]", "[s(\xff)]." },
	{ "{\"\":\"\"}", "{k()s()}." },
	/* What is no JSON. */
	{ "", "!" },
	{ "  ", "!" },
	{ "{", "{!" },
	{ "[1,]", "[#(1)!" },
	{ "[,1]", "[!" },
	{ "[1 2]", "[#(1)!" },
	{ "{\"a\":1,}", "{k(a)#(1)!" },
	{ "{\"a\"}", "{!" },
	{ "{\"a\" 1}", "{!" },
	{ "{\"a\":}", "{k(a)!" },
	{ "{a:1}", "{!" },
	{ "{1:1}", "{!" },
	{ "[}", "[!" },
	{ "{]", "{!" },
	{ "{}}", "{}!" },
	{ "1 2", "#(1)!" },
	{ "{} x", "{}!" },
	{ "[01]", "[#(0)!" },
	{ "[1.]", "[!" },
	{ "[.5]", "[!" },
	{ "[-]", "[!" },
	{ "[+1]", "[!" },
	{ "[1e]", "[!" },
	{ "[0x10]", "[#(0)!" },
	{ "[NaN]", "[!" },
	{ "[tru]", "[!" },
	{ "[nulll]", "[n!" },
	{ "[True]", "[!" },
	{ "['a']", "[!" },
	{ "[\"a]", "[!" },
	{ "[\"\\x\"]", "[!" },
	{ "[\"\\u12g4\"]", "[!" },
	{ "[\"\\u12", "[!" },
	{ "[\"\\", "[!" },
	{ "[\"a\nb\"]", "[!" },
	{ "[\"a\x01\"]", "[!" },
	{ "// x\n[]", "!" },
	{ "\xef\xbb\xbf[]", "!" },
};

static void test_tokens(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("case %zu\n", i);
		tokens(cases[i].text, strlen(cases[i].text), &b);
		assert_string_equal(b.data, cases[i].want);
	}
	/* The text ends where it is said to end, and a NUL is no end. */
	tokens("[1]garbage", 3, &b);
	assert_string_equal(b.data, "[#(1)].");
	tokens("[1]\0", 4, &b);
	assert_string_equal(b.data, "[#(1)]!");
	buf_free(&b);
}

/* Every beginning of a valid text is an error, never an end. */
static void test_truncated(void **state)
{
	static const char text[] = "{\"a\":[1.5e3,{\"b\":\"\\ud83d\\ude00\"},true,null],\"c\":-7}";
	struct buf b = { 0 };

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		auto_free char *part = strndup(text,
					       len); /* with its own bounds, for the sanitizer */

		tokens(part, len, &b);
		assert_int_equal(b.data[b.len - 1], '!');
	}
	tokens(text, strlen(text), &b);
	assert_int_equal(b.data[b.len - 1], '.');
	buf_free(&b);
}

static void test_depth(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1)];
	struct json j;

	(void)state;
	for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		json_init(&j, text, 2 * (size_t)depth);
		json_next(&j);
		assert_int_equal(json_skip(&j), depth == JSON_DEPTH_MAX);
	}
}

static void test_long(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	for (size_t len = JSON_TEXT_MAX; len <= JSON_TEXT_MAX + 1; len++) {
		b.len = 0;
		buf_str(&b, "[\"");
		for (size_t i = 0; i < len; i++)
			buf_str(&b, "x");
		buf_str(&b, "\",\"after\"]");
		json_init(&j, b.data, b.len);
		assert_int_equal(json_next(&j), JSON_ARRAY);
		assert_int_equal(json_next(&j), JSON_STRING);
		assert_int_equal(j.len, JSON_TEXT_MAX);
		assert_int_equal(j.cut, len > JSON_TEXT_MAX);
		assert_int_equal(json_next(&j), JSON_STRING);
		assert_true(json_is(&j, "after"));
		assert_false(j.cut);
		assert_int_equal(json_next(&j), JSON_ARRAY_END);
		assert_int_equal(json_next(&j), JSON_END);
	}
	buf_free(&b);
}

static void test_skip(void **state)
{
	static const char text[] = "{\"a\":{\"x\":[1,{\"y\":2}]},\"b\":[[],[]],\"c\":3}";
	uint64_t c = 0;
	struct json j;

	(void)state;
	json_init(&j, text, strlen(text));
	assert_int_equal(json_next(&j), JSON_OBJECT);
	while (json_next(&j) == JSON_KEY) {
		if (json_is(&j, "c")) {
			assert_int_equal(json_next(&j), JSON_NUMBER);
			assert_int_equal(json_u64(&j, &c), 0);
		} else {
			assert_true(json_skip(&j));
			assert_int_equal(j.depth, 1);
		}
	}
	assert_int_equal(j.token, JSON_OBJECT_END);
	assert_int_equal(json_next(&j), JSON_END);
	assert_int_equal(c, 3);
	json_init(&j, "[[1,2", 5);
	json_next(&j);
	json_next(&j);
	assert_false(json_skip(&j));
}

static void test_names(void **state)
{
	struct json j;

	(void)state;
	json_init(&j, "\"a\\u0000b\"", 10);
	assert_int_equal(json_next(&j), JSON_STRING);
	assert_int_equal(j.len, 3);
	assert_false(json_is(&j, "a"));
	json_init(&j, "\"ab\"", 4);
	json_next(&j);
	assert_false(json_is(&j, "a"));
	assert_false(json_is(&j, "abc"));
	assert_true(json_is(&j, "ab"));
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int u_err, i_err;
		uint64_t u;
		int64_t i;
	} numbers[] = {
		{ "0", 0, 0, 0, 0 },
		{ "9223372036854775807", 0, 0, INT64_MAX, INT64_MAX },
		{ "9223372036854775808", 0, -ERANGE, (uint64_t)INT64_MAX + 1, 0 },
		{ "18446744073709551615", 0, -ERANGE, UINT64_MAX, 0 },
		{ "18446744073709551616", -ERANGE, -ERANGE, 0, 0 },
		{ "-1", -EINVAL, 0, 0, -1 },
		{ "-9223372036854775808", -EINVAL, 0, 0, INT64_MIN },
		{ "-9223372036854775809", -EINVAL, -ERANGE, 0, 0 },
		{ "1.0", -EINVAL, -EINVAL, 0, 0 },
		{ "1e3", -EINVAL, -EINVAL, 0, 0 },
	};
	uint64_t u;
	int64_t i;
	struct json j;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(numbers); k++) {
		print_message("%s\n", numbers[k].text);
		json_init(&j, numbers[k].text, strlen(numbers[k].text));
		assert_int_equal(json_next(&j), JSON_NUMBER);
		u = 0;
		i = 0;
		assert_int_equal(json_u64(&j, &u), numbers[k].u_err);
		assert_int_equal(json_i64(&j, &i), numbers[k].i_err);
		assert_true(u == numbers[k].u && i == numbers[k].i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),  cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_depth),   cmocka_unit_test(test_long),
		cmocka_unit_test(test_skip),    cmocka_unit_test(test_names),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
