// SPDX-License-Identifier: GPL-2.0-or-later
/* The store of two rounds: what is kept, and what is answered where something is missing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/skoop/record.c"
#include "tools/skoop/store.c"

#include "samples.h"

static struct store *filled(const char *text)
{
	struct sender from = { .store = store_open(NULL, NULL) };

	assert_non_null(from.store);
	samples_feed(&from, text, 10, -1, 3);
	return from.store;
}

static const struct subject *pod(const struct store *s, const char *name)
{
	const struct subject *subject = NULL;

	for (size_t i = 0; (subject = store_subject(s, i)) && strcmp(subject->pod, name); i++)
		;
	assert_non_null(subject);
	return subject;
}

static void test_readings(void **state)
{
	struct store *s = filled("a_up 5 9; a_down 9 5; a_first 5 -; a_last - 5; a_same 7");
	struct view v = { s, pod(s, "pod"), NULL };

	(void)state;
	assert_true(store_sum(&v, "a_up", READ_GROWTH) == 4);
	assert_true(store_sum(&v, "a_up", READ_LOW) == 5 && store_sum(&v, "a_up", READ_HIGH) == 9);
	assert_true(store_sum(&v, "a_down", READ_LOW) == 5 &&
		    store_sum(&v, "a_down", READ_HIGH) == 9);
	assert_true(store_sum(&v, "a_down", READ_FIRST) == 9 &&
		    store_sum(&v, "a_down", READ_LAST) == 5);
	assert_true(isnan(store_sum(&v, "a_down", READ_GROWTH)));
	for (enum reading r = READ_GROWTH; r <= READ_STUCK; r++) {
		assert_true(isnan(store_sum(&v, "a_first", r)));
		assert_true(isnan(store_sum(&v, "a_last", r)));
		assert_true(isnan(store_sum(&v, "a_none", r)));
	}
	assert_true(store_sum(&v, "a_same", READ_STUCK) == 7 &&
		    isnan(store_sum(&v, "a_up", READ_STUCK)));
	assert_true(store_window(s) == 10);
	store_close(s);
}

/* Beyond 2^53 a double cannot hold the values, but their difference is right. */
static void test_large_values(void **state)
{
	struct store *s = filled("a_big 18446744073709551600 18446744073709551603; a_nolimit -1 -1");
	struct view v = { s, pod(s, "pod"), NULL };

	(void)state;
	assert_true(store_sum(&v, "a_big", READ_GROWTH) == 3);
	assert_true(isnan(store_sum(&v, "a_nolimit", READ_LAST)));
	store_close(s);
}

static void test_labels(void **state)
{
	struct store *s = filled(
		"d_rx{device=e0} 0 1; d_rx{device=e1} 0 10; d_rx{device=e2} 5 0; "
		"d_tx{device=e1} 0 3;"
		"d_plain 0 7; d_plain{family=ipv6} 0 100; web:d_rx{device=e0} 0 1000");
	struct view v = { s, pod(s, "pod"), NULL }, e0 = v, web = { s, pod(s, "web"), NULL };

	(void)state;
	for (const struct series *one = store_series(s, v.subject, "d_rx"); one; one = one->next)
		if (!strcmp(labelset_get(one->labels, "device"), "e0"))
			e0.labels = one->labels;
	assert_non_null(e0.labels);
	assert_string_equal(view_label(&e0, "device"), "e0");
	assert_null(view_label(&e0, "cpu"));
	/* All series of the subject; a counter that fell is left out; other subjects do not mix in.
	 */
	assert_true(store_sum(&v, "d_rx", READ_GROWTH) == 11);
	assert_true(store_max(&v, "d_rx", READ_GROWTH) == 10);
	assert_true(store_count(&v, "d_rx") == 3);
	assert_true(store_sum(&web, "d_rx", READ_GROWTH) == 1000);
	/* One device: its own, never another's in its place; what has no device is everybody's. */
	assert_true(store_sum(&e0, "d_rx", READ_GROWTH) == 1);
	assert_true(isnan(store_sum(&e0, "d_tx", READ_GROWTH)));
	assert_true(store_sum(&e0, "d_plain", READ_GROWTH) == 107);
	assert_true(store_plain(&v, "d_plain", READ_GROWTH) == 7);
	assert_true(store_sum(&v, "d_plain.ipv6", READ_GROWTH) == 100);
	assert_true(isnan(store_sum(&v, "d_plain.ipv4", READ_GROWTH)));
	assert_true(store_everywhere(&v, "d_rx") == 1011);
	store_close(s);
}

static void test_machine(void **state)
{
	struct store *s = filled("!m_cpu{cpu=0} 0 1; !m_cpu{cpu=1} 0 2; own_x 1; web:own_x 2");
	struct view v = { s, pod(s, "pod"), NULL }, m = { s, store_machine(s), NULL };

	(void)state;
	/* The machine's values are everybody's, and the machine is no namespace. */
	assert_true(store_sum(&v, "m_cpu", READ_GROWTH) == 3);
	assert_true(store_sum(&m, "m_cpu", READ_GROWTH) == 3);
	assert_true(isnan(store_everywhere(&v, "m_cpu")));
	assert_true(isnan(store_sum(&m, "own_x", READ_LAST)));
	assert_string_equal(store_machine(s)->pod, "hostNetwork");
	assert_non_null(store_subject(s, 1));
	assert_null(store_subject(s, 2));
	store_close(s);
}

static bool only_a(const void *arg, const char *metric)
{
	return *metric == *(const char *)arg;
}

static void test_wanted(void **state)
{
	struct sender from = { .store = store_open(only_a, "a") };
	struct view v = { .store = from.store };

	(void)state;
	samples_feed(&from, "a_x 1; b_x 1", 10, -1, 3);
	v.subject = pod(from.store, "pod");
	assert_true(store_sum(&v, "a_x", READ_LAST) == 1);
	assert_true(isnan(store_sum(&v, "b_x", READ_LAST)));
	store_close(from.store);
}

#define METRIC(rest) "{\"kind\":\"metric\",\"ts\":\"2026-01-02T03:04:05.000000006Z\"," rest "}"
#define LABELS "\"labels\":{\"target_pod\":\"p\",\"target_namespace\":\"n\",\"target_node\":\"k\"}"

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		int err;
	} cases[] = {
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1," LABELS), 0 },
		{ METRIC("\"new\":[{\"a\":null}],\"metric\":\"kubeskoop_a_x\",\"value\":1," LABELS),
		  0 },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":-1," LABELS), 0 },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"netns\":null,\"value\":1," LABELS), 0 },
		{ "{\"kind\":\"lost\",\"value\":\"of another form\"}", 0 },
		{ "{\"kind\":\"histogram\",\"labels\":[]}", 0 },
		{ "", -EBADMSG },
		{ "[]", -EBADMSG },
		{ "{\"kind\":\"metric\"}", -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1"), -EBADMSG },
		{ METRIC("\"metric\":\"a_x\",\"value\":1," LABELS), -EBADMSG },
		{ METRIC("\"metric\":7,\"value\":1," LABELS), -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":\"1\"," LABELS), -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1.5," LABELS), -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1,\"labels\":{\"target_pod\":1}"),
		  -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1," LABELS) "x", -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1,\"ts\":\"yesterday\"," LABELS),
		  -EBADMSG },
		{ METRIC("\"metric\":\"kubeskoop_a_x\",\"value\":1,\"ts\":\"2026-01-02T03:04:"
			 "05Z\"," LABELS),
		  -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sender from = { .store = store_open(NULL, NULL) };

		if (store_feed(&from, cases[i].line, strlen(cases[i].line)) != cases[i].err)
			fail_msg("%s", cases[i].line);
		/* Cut off anywhere it is no record. */
		for (size_t len = 1; !cases[i].err && len < strlen(cases[i].line) &&
				     strstr(cases[i].line, "\"metric\"");
		     len++)
			assert_int_equal(store_feed(&from, cases[i].line, len), -EBADMSG);
		store_close(from.store);
	}
}

static void test_third_round(void **state)
{
	struct sender from = { .store = store_open(NULL, NULL) };
	const struct sample_text s = { .pod = "pod", .metric = "a_x", .value = { "1", "2" } };

	(void)state;
	assert_int_equal(sample_feed(&from, &s, 0, 10), 0);
	assert_true(isnan(store_window(from.store)));
	assert_int_equal(sample_feed(&from, &s, 0, 10), 0);
	assert_int_equal(sample_feed(&from, &s, 1, 1.5), 0);
	assert_true(store_window(from.store) == 1.5);
	assert_int_equal(sample_feed(&from, &s, 1, 10), -E2BIG);
	assert_int_equal(from.rounds, 2);
	store_close(from.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readings),    cmocka_unit_test(test_large_values),
		cmocka_unit_test(test_labels),      cmocka_unit_test(test_machine),
		cmocka_unit_test(test_wanted),      cmocka_unit_test(test_lines),
		cmocka_unit_test(test_third_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
