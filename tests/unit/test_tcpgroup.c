// SPDX-License-Identifier: GPL-2.0-or-later
/* Groups of sockets: each key once, counted, the largest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "libcommon/tcpgroup.h"

static void none(void **state)
{
	struct tcp_groups gs = { 0 };

	(void)state;
	tcp_groups_sort(&gs);
	assert_int_equal(gs.n, 0);
	tcp_groups_free(&gs);
}

/* Port p is counted p times, in an order that mixes them, and often enough that the table grows. */
static void each_key_once_and_the_largest_first(void **state)
{
	struct tcp_groups gs = { 0 };
	const uint16_t ports = 300;

	(void)state;
	for (uint16_t round = 0; round < ports; round++) {
		for (uint16_t port = ports; port > round; port--) {
			const struct tcp_key key = { .remote = { .port = port } };

			assert_int_equal(tcp_groups_add(&gs, &key), 0);
		}
	}
	tcp_groups_sort(&gs);
	assert_int_equal(gs.n, ports);
	for (uint16_t i = 0; i < ports; i++) {
		assert_int_equal(gs.v[i].key.remote.port, ports - i);
		assert_int_equal(gs.v[i].sockets, ports - i);
	}
	tcp_groups_free(&gs);
}

static void every_part_of_the_key_counts(void **state)
{
	const struct tcp_key keys[] = { { .state = 1 },
					{ .remote = { .port = 1 } },
					{ .local = { .port = 1 } },
					{ .remote = { .addr = { [15] = 1 } } },
					{ .remote = { .addr = { [0] = 1 } } },
					{ .local = { .addr = { [15] = 1 } } } };
	const size_t n = sizeof(keys) / sizeof(keys[0]);
	struct tcp_groups gs = { 0 };

	(void)state;
	for (size_t i = 0; i < 2 * n; i++)
		assert_int_equal(tcp_groups_add(&gs, &keys[i % n]), 0);
	tcp_groups_sort(&gs);
	assert_int_equal(gs.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(gs.v[i].sockets, 2);
	tcp_groups_free(&gs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(each_key_once_and_the_largest_first),
		cmocka_unit_test(every_part_of_the_key_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
