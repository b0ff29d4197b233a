// SPDX-License-Identifier: GPL-2.0-or-later
/* Tables: wide and long, what is hidden, headers, and how they behave on a terminal. */
#include "made.h"

static void rounds_are_wide_where_metrics_are_few(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .interval = NSEC_PER_SEC } };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_round(m.o, 42, true);
	made_golden(made_text(&m), "rounds.table");
	made_close(&m);
}

static void zeros_are_shown_on_demand(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .zeros = true, .timestamp = true } };

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_golden(made_text(&m), "zeros.table");
	made_close(&m);
}

/* Nine metrics: one more than stand side by side. */
static const struct metric many[] = { { "m1", "", COUNTER },
				      { "m2", "", COUNTER },
				      { "m3", "", COUNTER },
				      { "m4", "", COUNTER },
				      { "m5", "", COUNTER },
				      { "m6", "", COUNTER },
				      { "m7", "", COUNTER },
				      { "m8", "", GAUGE },
				      { "machine", "", COUNTER, .scope = SCOPE_HOST },
				      {} };
static const struct probe many_probe = { .name = "many", .metrics = many };

static void many_round(struct out *o, uint64_t step, bool show)
{
	out_round(o, &made_targets);
	for (int t = ODD; t <= WEB; t++)
		for (size_t i = 0; i < 8; i++)
			out_metric(o, &made_target[t], &many[i],
				   i == 7 ? 7 : i % 3 * 1000 + (i == 4 ? step : 0), NULL);
	out_metric(o, &made_target[ODD], &many[8], 1 + step, NULL);
	assert_int_equal(out_flush(o, show), 0);
}

static void rounds_are_long_where_metrics_are_many(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .interval = NSEC_PER_SEC } };

	(void)state;
	made_open(&m, &many_probe);
	many_round(m.o, 0, true);
	made_monotonic += 2 * NSEC_PER_SEC;
	many_round(m.o, 3, true);
	made_monotonic += 2 * NSEC_PER_SEC;
	many_round(m.o, 3, true);
	made_golden(made_text(&m), "long.table");
	made_monotonic -= 4 * NSEC_PER_SEC;
	made_close(&m);
}

static void a_duration_shows_differences_at_once(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .duration = NSEC_PER_SEC } };

	(void)state;
	made_open(&m, &many_probe);
	many_round(m.o, 0, false);
	assert_string_equal(made_text(&m), "");
	many_round(m.o, 3, true);
	assert_non_null(strstr(made_text(&m), "METRIC   VALUE  DELTA  PER_SEC\n"));
	assert_non_null(strstr(m.text, "  web-0"));
	assert_null(strstr(m.text, "  m3 "));
	made_close(&m);
}

static void nothing_to_see_is_a_header(void **state)
{
	struct made m = { .opt.format = OUT_TABLE };

	(void)state;
	made_open(&m, &made_probe);
	out_round(m.o, &made_targets);
	out_metric(m.o, &made_target[WEB], &made_metrics[0], 0, NULL);
	out_metric(m.o, &made_target[WEB], &made_metrics[1], 0, NULL);
	assert_int_equal(out_flush(m.o, true), 0);
	assert_string_equal(made_text(&m), "NAMESPACE  POD  OPENED  LEVEL\n");
	made_close(&m);
}

static void events_have_every_field(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .stack = true, .timestamp = true } };

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	made_open(&m, &made_tracer);
	made_stream(m.o);
	made_golden(made_text(&m), "events.table");
	made_close(&m);
}

static size_t lines_with(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void web_round(struct made *m, uint64_t value)
{
	out_round(m->o, &made_targets);
	out_metric(m->o, &made_target[WEB], &made_metrics[0], value, NULL);
	assert_int_equal(out_flush(m->o, true), 0);
}

static void headers_repeat_only_on_a_terminal(void **state)
{
	struct made m = { .opt = { .format = OUT_TABLE, .interval = 1 } };

	(void)state;
	for (int tty = 0; tty <= 1; tty++) {
		made_open(&m, &made_probe);
		m.env.tty = tty;
		m.env.height = 10;
		out_set_env(m.o, &m.env);
		for (uint64_t i = 1; i <= 20; i++)
			web_round(&m, i);
		/* With nine lines a screen, eight of them rows. */
		assert_int_equal(lines_with(made_text(&m), "OPENED"), tty ? 3 : 1);
		assert_int_equal(lines_with(m.text, "web-0"), 20);
		made_close(&m);
		m.text = NULL;
	}
}

static void columns_do_not_get_narrower(void **state)
{
	struct made m = { .opt.format = OUT_TABLE };

	(void)state;
	made_open(&m, &made_probe);
	web_round(&m, 12345678);
	web_round(&m, 1);
	assert_string_equal(made_text(&m), "NAMESPACE  POD      OPENED\n"
					   "shop       web-0  12345678\n"
					   "shop       web-0         1\n");
	made_close(&m);
}

static void color_is_the_headers(void **state)
{
	struct made m = { .opt.format = OUT_TABLE };

	(void)state;
	made_open(&m, &made_probe);
	m.env.color = true;
	out_set_env(m.o, &m.env);
	web_round(&m, 1);
	assert_string_equal(made_text(&m),
			    "\033[1mNAMESPACE  POD    OPENED\033[0m\nshop       web-0       1\n");
	made_close(&m);
}

static void only_a_terminal_cuts(void **state)
{
	static struct target t = { .node = "n",
				   .namespace = "a-namespace-with-a-long-name",
				   .pod = "frontend-\xc3\xa4-7d9f8c6b5c-abcde",
				   .netns = 1 };
	const struct targets ts = { .v = &t, .n = 1 };

	(void)state;
	for (int tty = 0; tty <= 1; tty++) {
		struct made m = { .opt.format = OUT_TABLE };

		made_open(&m, &made_probe);
		m.env.tty = tty;
		m.env.width = 40;
		out_set_env(m.o, &m.env);
		out_round(m.o, &ts);
		out_metric(m.o, &t, &made_metrics[0], 123456789012, NULL);
		assert_int_equal(out_flush(m.o, true), 0);
		made_text(&m);
		if (tty)
			assert_string_equal(m.text, "NAMESPACE     POD                 OPENED\n"
						    "a-name\xe2\x80\xa6-name  fronte\xe2\x80\xa6"
						    "abcde  123456789012\n");
		else
			assert_string_equal(
				m.text,
				"NAMESPACE                     POD                                OPENED\n"
				"a-namespace-with-a-long-name  frontend-\xc3\xa4-7d9f8c6b5c-abcde  "
				"123456789012\n");
		made_close(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_are_wide_where_metrics_are_few),
		cmocka_unit_test(zeros_are_shown_on_demand),
		cmocka_unit_test(rounds_are_long_where_metrics_are_many),
		cmocka_unit_test(a_duration_shows_differences_at_once),
		cmocka_unit_test(nothing_to_see_is_a_header),
		cmocka_unit_test(events_have_every_field),
		cmocka_unit_test(headers_repeat_only_on_a_terminal),
		cmocka_unit_test(columns_do_not_get_narrower),
		cmocka_unit_test(color_is_the_headers),
		cmocka_unit_test(only_a_terminal_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
