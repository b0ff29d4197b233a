// SPDX-License-Identifier: GPL-2.0-or-later
/* Tab-separated lines: fixed columns, escapes, one header for each kind of line. */
#include "made.h"

static void rounds_share_one_header(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .interval = NSEC_PER_SEC } };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_round(m.o, 42, true);
	made_golden(made_text(&m), "rounds.tsv");
	made_close(&m);
}

static void events_have_every_field(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .stack = true } };

	(void)state;
	made_open(&m, &made_tracer);
	made_stream(m.o);
	made_golden(made_text(&m), "events.tsv");
	made_close(&m);
}

static void every_line_has_the_columns_of_the_header(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .stack = true } };
	size_t want = 0, tabs = 0;

	(void)state;
	made_open(&m, &made_tracer);
	made_stream(m.o);
	for (const char *p = made_text(&m); *p; p++) {
		tabs += *p == '\t';
		if (*p != '\n')
			continue;
		if (!want)
			want = tabs;
		assert_int_equal(tabs, want);
		tabs = 0;
	}
	assert_int_equal(want, 5 + 17);
	made_close(&m);
}

static void no_header_means_none(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .no_header = true } };

	(void)state;
	made_open(&m, &made_tracer);
	made_round(m.o, 0, true);
	made_stream(m.o);
	assert_null(strstr(made_text(&m), "target_node"));
	assert_int_equal(strncmp(m.text, "2026-", 5), 0);
	made_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_share_one_header),
		cmocka_unit_test(events_have_every_field),
		cmocka_unit_test(every_line_has_the_columns_of_the_header),
		cmocka_unit_test(no_header_means_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
