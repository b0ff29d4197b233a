// SPDX-License-Identifier: GPL-2.0-or-later
/* How values are spelled: quoting of hostile text, numbers at their limits, names of kernel numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "libcommon/format.h"
#include "libcommon/probe.h"

static void utf8_is_told_from_what_only_looks_like_it(void **state)
{
	static const struct {
		const char *s;
		size_t want;
	} cases[] = {
		{ "a", 1 },
		{ "\x7f", 1 },
		{ "\xc3\xa4", 2 },
		{ "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x98\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "\xed\x9f\xbf", 3 },
		{ "\x80", 0 }, /* a continuation alone */
		{ "\xc3", 0 }, /* cut off */
		{ "\xc3(", 0 },
		{ "\xe2\x82", 0 },
		{ "\xe2\x82(", 0 },
		{ "\xc0\xaf", 0 }, /* overlong */
		{ "\xc1\xbf", 0 },
		{ "\xe0\x9f\xbf", 0 },
		{ "\xf0\x8f\xbf\xbf", 0 },
		{ "\xed\xa0\x80", 0 },     /* half of a surrogate pair */
		{ "\xf4\x90\x80\x80", 0 }, /* past U+10FFFF */
		{ "\xf5\x80\x80\x80", 0 },
		{ "\xff", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(utf8_len(cases[i].s, strlen(cases[i].s)), cases[i].want);
	assert_int_equal(utf8_len("\xc3\xa4", 1), 0);
}

static void check(struct buf *b, const char *want)
{
	assert_false(b->failed);
	assert_string_equal(b->data, want);
	assert_int_equal(b->len, strlen(want));
	buf_free(b);
}

#define HOSTILE "a\"\\\n\r\t\001\033\x7f\xff,\xc3\xa4"

static void text_is_escaped_for_each_format(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_json(&b, HOSTILE, strlen(HOSTILE));
	check(&b, "\"a\\\"\\\\\\u000a\\u000d\\u0009\\u0001\\u001b\x7f\\ufffd,\xc3\xa4\"");
	buf_json(&b, "a\0b", 3);
	check(&b, "\"a\\u0000b\"");
	buf_json(&b, "", 0);
	check(&b, "\"\"");
	buf_label(&b, HOSTILE);
	check(&b, "a\\\"\\\\\\n\xef\xbf\xbd\t\001\033\x7f\xef\xbf\xbd,\xc3\xa4");
	buf_help(&b, HOSTILE, false);
	check(&b, "a\"\\\\\\n\xef\xbf\xbd\t\001\033\x7f\xef\xbf\xbd,\xc3\xa4");
	buf_help(&b, HOSTILE, true);
	check(&b, "a\\\"\\\\\\n\xef\xbf\xbd\t\001\033\x7f\xef\xbf\xbd,\xc3\xa4");
	buf_tsv(&b, HOSTILE, strlen(HOSTILE));
	check(&b, "a\"\\\\\\n\\r\\t\\x01\\x1b\\x7f\\xff,\xc3\xa4");
	buf_tsv_item(&b, "a,b\\");
	check(&b, "a\\x2cb\\\\");
	buf_tsv(&b, "", 0);
	check(&b, "-");
}

static void a_terminal_gets_no_control_characters(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_str(&b, "\033keep|");
	buf_str(&b, HOSTILE "\xc2\x9b[2J\xc2\xa0\xe2\x82\xac");
	/* a " \ and nine bad ones but for the comma, then ä ? [ 2 J nbsp € */
	assert_int_equal(buf_plain(&b, 6), 18);
	check(&b, "\033keep|a\"\\???????,\xc3\xa4?[2J\xc2\xa0\xe2\x82\xac");
}

static void numbers_are_whole_at_their_limits(void **state)
{
	static const struct metric plain = { .name = "x" },
				   with_sign = { .name = "x", .flags = M_SIGNED };
	struct buf b = { 0 };

	(void)state;
	buf_i64(&b, INT64_MIN);
	check(&b, "-9223372036854775808");
	buf_i64(&b, INT64_MAX);
	check(&b, "9223372036854775807");
	buf_i64(&b, 0);
	check(&b, "0");
	buf_value(&b, &plain, UINT64_MAX);
	check(&b, "18446744073709551615");
	buf_value(&b, &with_sign, UINT64_MAX);
	check(&b, "-1");
}

static void durations_have_a_unit_and_three_decimals(void **state)
{
	static const struct {
		uint64_t ns;
		const char *want;
	} cases[] = {
		{ 0, "0ns" },
		{ 999, "999ns" },
		{ 1000, "1.000us" },
		{ 999999, "999.999us" },
		{ 1000000, "1.000ms" },
		{ 10912345, "10.912ms" },
		{ 10912500, "10.913ms" },
		{ 999999499, "999.999ms" },
		{ 999999500, "1.000s" },
		{ 1000000000, "1.000s" },
		{ 61234567890, "61.235s" },
		{ UINT64_MAX, "18446744073.710s" },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_duration(&b, cases[i].ns);
		check(&b, cases[i].want);
	}
}

static void times_are_utc_and_local(void **state)
{
	struct timespec ts = { 1795383997, 123456789 }, zero = { 0, 0 },
			late = { 4102444799, 999999999 };
	struct buf b = { 0 };

	(void)state;
	buf_time_utc(&b, &ts);
	check(&b, "2026-11-22T21:46:37.123456789Z");
	buf_time_utc(&b, &zero);
	check(&b, "1970-01-01T00:00:00.000000000Z");
	buf_time_utc(&b, &late);
	check(&b, "2099-12-31T23:59:59.999999999Z");
	setenv("TZ", "XXX-5:30", 1);
	tzset();
	buf_time_local(&b, &ts);
	check(&b, "03:16:37.123");
	buf_time_local(&b, &late);
	check(&b, "05:29:59.999");
}

static void kernel_numbers_have_names(void **state)
{
	(void)state;
	assert_string_equal(protocol_name(IPPROTO_TCP), "TCP");
	assert_string_equal(protocol_name(IPPROTO_UDP), "UDP");
	assert_string_equal(protocol_name(IPPROTO_ICMP), "ICMP");
	assert_string_equal(protocol_name(IPPROTO_ICMPV6), "ICMPv6");
	assert_string_equal(protocol_name(IPPROTO_SCTP), "SCTP");
	assert_string_equal(protocol_name(IPPROTO_ESP), "ESP");
	assert_string_equal(protocol_name(IPPROTO_GRE), "GRE");
	assert_string_equal(protocol_name(IPPROTO_IPIP), "IPIP");
	assert_null(protocol_name(253));
	assert_null(tcp_state_name(0));
	assert_string_equal(tcp_state_name(1), "ESTABLISHED");
	assert_string_equal(tcp_state_name(7), "CLOSE");
	assert_string_equal(tcp_state_name(10), "LISTEN");
	assert_string_equal(tcp_state_name(12), "NEW_SYN_RECV");
	assert_null(tcp_state_name(14));
}

static void addresses_are_v4_where_they_are(void **state)
{
	static const char *const same[] = { "::", "::1", "fd00:9::1", "ff02::1:ff00:1",
					    "2001:db8::a" };
	uint8_t addr[16];
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		assert_int_equal(inet_pton(AF_INET6, same[i], addr), 1);
		buf_address(&b, addr);
		check(&b, same[i]);
	}
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.96.0.10", addr), 1);
	buf_address(&b, addr);
	check(&b, "10.96.0.10");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_is_told_from_what_only_looks_like_it),
		cmocka_unit_test(text_is_escaped_for_each_format),
		cmocka_unit_test(a_terminal_gets_no_control_characters),
		cmocka_unit_test(numbers_are_whole_at_their_limits),
		cmocka_unit_test(durations_have_a_unit_and_three_decimals),
		cmocka_unit_test(times_are_utc_and_local),
		cmocka_unit_test(kernel_numbers_have_names),
		cmocka_unit_test(addresses_are_v4_where_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
