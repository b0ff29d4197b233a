// SPDX-License-Identifier: GPL-2.0-or-later
/* Both expositions, byte for byte, and what they refuse. */
#include "made.h"

static void prom_is_family_by_family(void **state)
{
	struct made m = { .opt.format = OUT_PROM };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_golden(made_text(&m), "round.prom");
	made_close(&m);
}

static void openmetrics_names_and_types_differ(void **state)
{
	struct made m = { .opt.format = OUT_OPENMETRICS };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_golden(made_text(&m), "round.om");
	made_close(&m);
}

static void a_round_of_nothing_has_only_its_end(void **state)
{
	struct made m = { .opt.format = OUT_OPENMETRICS };
	struct made p = { .opt.format = OUT_PROM };

	(void)state;
	made_open(&m, &made_probe);
	out_round(m.o, &made_targets);
	assert_int_equal(out_flush(m.o, true), 0);
	assert_string_equal(made_text(&m), "# EOF\n");
	made_close(&m);
	made_open(&p, &made_probe);
	out_round(p.o, &made_targets);
	assert_int_equal(out_flush(p.o, true), 0);
	assert_string_equal(made_text(&p), "");
	made_close(&p);
}

/* kubeskoop_made_things_total is a counter to OpenMetrics, kubeskoop_made_things is not. */
static void a_total_within_a_name_counts(void **state)
{
	static const struct metric metrics[] = {
		{ "things_total", "", COUNTER, "things", "all", SCOPE_NETNS },
		{ "subtotal", "", COUNTER, "things", "some", SCOPE_NETNS },
		{}
	};
	static const struct probe p = { .name = "x", .metrics = metrics };
	struct made m = { .opt.format = OUT_OPENMETRICS };

	(void)state;
	made_open(&m, &p);
	out_round(m.o, &made_targets);
	out_metric(m.o, &made_target[WEB], &metrics[0], 1, NULL);
	out_metric(m.o, &made_target[WEB], &metrics[1], 2, NULL);
	assert_int_equal(out_flush(m.o, true), 0);
	assert_string_equal(
		made_text(&m),
		"# HELP kubeskoop_x_things all\n# TYPE kubeskoop_x_things counter\n"
		"kubeskoop_x_things_total{target_pod=\"web-0\",target_namespace=\"shop\","
		"target_node=\"node-a\"} 1\n"
		"# HELP kubeskoop_x_subtotal some\n# TYPE kubeskoop_x_subtotal unknown\n"
		"kubeskoop_x_subtotal{target_pod=\"web-0\",target_namespace=\"shop\","
		"target_node=\"node-a\"} 2\n# EOF\n");
	made_close(&m);
}

static int refused(const struct probe *p, struct options opt)
{
	struct out *o = NULL;
	int err = out_open(p, &opt, &o);

	if (!err)
		out_close(o);
	return err;
}

static void what_is_no_exposition_is_a_usage_error(void **state)
{
	static const struct probe events_only = { .name = "x",
						  .events = made_events,
						  .fields = made_fields };

	(void)state;
	for (enum out_format f = OUT_PROM; f <= OUT_OPENMETRICS; f++) {
		assert_int_equal(refused(&events_only, (struct options){ .format = f }), -EINVAL);
		assert_int_equal(
			refused(&made_probe, (struct options){ .format = f, .interval = 1 }),
			-EINVAL);
		assert_int_equal(refused(&made_probe,
					 (struct options){ .format = f, .interval = 1, .count = 2 }),
				 -EINVAL);
	}
	assert_int_equal(refused(&made_probe, (struct options){ .format = OUT_OPENMETRICS,
								.write = "/tmp/x.prom" }),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prom_is_family_by_family),
		cmocka_unit_test(openmetrics_names_and_types_differ),
		cmocka_unit_test(a_round_of_nothing_has_only_its_end),
		cmocka_unit_test(a_total_within_a_name_counts),
		cmocka_unit_test(what_is_no_exposition_is_a_usage_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
