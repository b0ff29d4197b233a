// SPDX-License-Identifier: GPL-2.0-or-later
/* JSON Lines: keys and their order, differences, events with every type of field, losses. */
#include "libcommon/field.h"
#include "made.h"

static void one_round_has_values_and_no_delta(void **state)
{
	struct made m = { .opt.format = OUT_JSON };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_golden(made_text(&m), "round.json");
	made_close(&m);
}

static void rounds_have_deltas(void **state)
{
	struct made m = { .opt = { .format = OUT_JSON, .interval = NSEC_PER_SEC } };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, true);
	made_realtime += NSEC_PER_SEC;
	made_round(m.o, 42, true);
	made_realtime -= NSEC_PER_SEC;
	made_golden(made_text(&m), "rounds.json");
	assert_true(out_observed(m.o));
	made_close(&m);
}

static void events_have_every_field(void **state)
{
	struct made m = { .opt = { .format = OUT_JSON, .stack = true } };

	(void)state;
	made_open(&m, &made_tracer);
	made_stream(m.o);
	made_golden(made_text(&m), "events.json");
	made_close(&m);
}

static void stacks_need_their_option(void **state)
{
	struct made m = { .opt.format = OUT_JSON };

	(void)state;
	made_open(&m, &made_tracer);
	made_stream(m.o);
	assert_null(strstr(made_text(&m), "stack"));
	assert_non_null(strstr(m.text, "\"big\":18446744073709551615}\n"));
	made_close(&m);
}

static void losses_are_records(void **state)
{
	struct made m = { .opt.format = OUT_JSON };

	(void)state;
	made_open(&m, &made_tracer);
	out_lost(m.o, "ringbuf", 17);
	assert_string_equal(
		made_text(&m),
		"{\"schema\":1,\"kind\":\"lost\",\"ts\":\"2026-11-22T21:46:37.123456789Z\","
		"\"probe\":\"made_up\",\"where\":\"ringbuf\",\"count\":17,\"total\":17}\n");
	made_close(&m);
}

/* "name=ns", "name=-" where no stamp closes it. */
static void stages_are(uint64_t a, uint64_t b, uint64_t c, uint64_t d, const char *want)
{
	struct made_event e = { .stages = { a, b, c, d } };
	const struct field f = { FIELD(made_event, stages, F_STAGES), .stages = made_stages };
	struct buf text = { 0 };
	uint64_t ns;
	bool known;

	buf_str(&text, "");
	for (size_t i = 0; field_stage(&f, &e, &i, &text, &ns, &known);) {
		buf_str(&text, "=");
		if (known)
			buf_u64(&text, ns);
		else
			buf_str(&text, "-");
		buf_str(&text, " ");
	}
	assert_string_equal(text.data, want);
	buf_free(&text);
}

static void stages_off_the_way_are_left_out(void **state)
{
	const uint64_t none = UINT64_MAX, off = STAGE_ELSEWHERE;

	(void)state;
	stages_are(1, 2, 3, 4, "ingress=1 prerouting=2 route=3 local_in=4 ");
	stages_are(1, none, 3, 4, "ingress=1 prerouting+route=3 local_in=4 ");
	stages_are(1, none, off, 4, "ingress=1 prerouting+local_in=4 ");
	stages_are(off, 2, 3, off, "prerouting=2 route=3 ");
	stages_are(off, off, off, 4, "local_in=4 ");
	stages_are(1, 2, none, off, "ingress=1 prerouting=2 route=- ");
	stages_are(1, 2, none, none, "ingress=1 prerouting=2 route+local_in=- ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_round_has_values_and_no_delta),
		cmocka_unit_test(rounds_have_deltas),
		cmocka_unit_test(events_have_every_field),
		cmocka_unit_test(stacks_need_their_option),
		cmocka_unit_test(losses_are_records),
		cmocka_unit_test(stages_off_the_way_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
