// SPDX-License-Identifier: GPL-2.0-or-later
/* Histograms: percentiles, what came since the round before, and how each format shows them, byte for byte. */
#include "made.h"

#include "libcommon/hist.h"

/* The histogram of these values. */
static struct hist_values made_hist(const uint64_t *v, size_t n)
{
	struct hist_values h = { .min = UINT64_MAX };

	for (size_t i = 0; i < n; i++) {
		size_t slot = 0;

		while (slot + 1 < HIST_SLOTS && v[i] >= hist_high(slot))
			slot++;
		h.slots[slot]++;
		h.count++;
		h.sum += v[i];
		h.min = v[i] < h.min ? v[i] : h.min;
		h.max = v[i] > h.max ? v[i] : h.max;
	}
	return h;
}

static void slots_meet(void **state)
{
	(void)state;
	assert_int_equal(hist_low(0), 0);
	assert_int_equal(hist_high(0), 2);
	for (size_t i = 0; i + 1 < HIST_SLOTS; i++)
		assert_true(hist_high(i) == hist_low(i + 1));
	assert_true(hist_low(63) == 1ULL << 63);
	assert_int_equal(hist_high(63), 0);
}

/* Three from 180 us on, one of 700 us, one of 11 ms: 3/5 of the values lie in the first slot. */
static const uint64_t five[] = { 180000, 200000, 220000, 700000, 11000000 };

static void percentiles_lie_within_their_slot(void **state)
{
	struct hist_values h = made_hist(five, 5);

	(void)state;
	assert_int_equal(h.sum, 12300000);
	assert_int_equal(hist_percentile(&h, 50), 240298); /* 131072 * (1 + 2.5 / 3) */
	assert_int_equal(hist_percentile(&h, 60), 262144); /* all of the first slot */
	assert_int_equal(hist_percentile(&h, 80), 1048576);
	assert_int_equal(hist_percentile(&h, 90), 11000000); /* 12582912, were there no maximum */
	assert_int_equal(hist_percentile(&h, 99), 11000000);
	assert_int_equal(hist_percentile(&h, 100), 11000000);
	assert_int_equal(hist_percentile(&h, 1), 180000); /* not below the minimum */
	assert_int_equal(hist_percentile(&h, 0), 180000);
}

static void one_value_is_every_percentile(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 999, 1ULL << 40, 1ULL << 63, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct hist_values h = made_hist(&values[i], 1);

		for (unsigned int percent = 0; percent <= 100; percent += 10)
			assert_true(hist_percentile(&h, percent) == values[i]);
	}
}

static void none_has_no_percentile(void **state)
{
	struct hist_values h = { 0 };

	(void)state;
	assert_int_equal(hist_percentile(&h, 50), 0);
}

/* More than 64 bits would hold of their product. */
static void counts_may_be_huge(void **state)
{
	struct hist_values h = { .count = 1ULL << 57, .min = 1ULL << 62, .max = UINT64_MAX };

	(void)state;
	h.slots[62] = h.slots[63] = 1ULL << 56;
	assert_true(hist_percentile(&h, 50) == 1ULL << 63);
	assert_true(hist_percentile(&h, 25) == 3ULL << 61);
	assert_true(hist_percentile(&h, 75) >= (3ULL << 62) - 1);
	assert_true(hist_percentile(&h, 100) == UINT64_MAX);
}

static void since_is_the_difference(void **state)
{
	struct hist_values before = made_hist(five, 5), now, since;
	static const uint64_t eight[] = { 180000,   200000, 220000, 700000,
					  11000000, 190000, 300000, 500 };

	(void)state;
	now = made_hist(eight, 8);
	hist_since(&now, &before, &since);
	assert_int_equal(since.count, 3);
	assert_int_equal(since.sum, 190000 + 300000 + 500);
	assert_int_equal(since.slots[17], 1);
	assert_int_equal(since.slots[18], 1);
	assert_int_equal(since.slots[8], 1);
	assert_int_equal(since.slots[23], 0);
	/* A new minimum is these values' own; the old maximum is not: only their highest slot bounds them. */
	assert_int_equal(since.min, 500);
	assert_int_equal(since.max, 524288);
	hist_since(&now, &now, &since);
	assert_int_equal(since.count, 0);
	hist_since(&now, &(struct hist_values){ 0 }, &since);
	assert_memory_equal(&since, &now, sizeof(now));
}

/* ---- formats ---- */

static const struct hist made_hists[] = { { "latency", "from \"here\" \\ to\nthere", SCOPE_HOST,
					    .label = "disk" },
					  { "wait", "in the queue", SCOPE_NETNS },
					  {} };

static const struct probe made_timer = {
	.name = "made_up",
	.prefix = "made",
	.metrics = made_metrics,
	.hists = made_hists,
};

/* A histogram of the machine by a disk with a hostile name, and one of a pod; in the second round with three more. */
static void made_hist_round(struct out *o, bool second)
{
	static const uint64_t v[] = { 180000, 200000, 220000, 700000, 11000000, 500, 190000, 300000 };
	static const uint64_t odd[] = { 0, 1, 60000000000, 61000000000 };
	static const struct label vda[] = { { "disk", "vda" }, {} },
				  hostile[] = { { "disk", HOSTILE }, {} };
	struct hist_values before = made_hist(v, 5), now = made_hist(v, second ? 8 : 5);
	struct hist_values other = made_hist(odd, 4);
	const struct target *web = &made_target[WEB];

	out_round(o, &made_targets);
	out_metric(o, web, &made_metrics[3], 5, NULL);
	out_hist(o, web, &made_hists[0], vda, &now, second ? &before : NULL);
	out_hist(o, web, &made_hists[0], hostile, &other, second ? &other : NULL);
	out_hist(o, web, &made_hists[1], NULL, &now, second ? &before : NULL);
	assert_int_equal(out_flush(o, true), 0);
}

static void check_format(enum out_format format, const char *golden, bool rounds)
{
	struct made m = { .opt = { .format = format, .dist = true } };

	if (rounds)
		m.opt.interval = NSEC_PER_SEC;
	made_open(&m, &made_timer);
	made_hist_round(m.o, false);
	if (rounds)
		made_hist_round(m.o, true);
	made_golden(made_text(&m), golden);
	made_close(&m);
}

static void for_people(void **state)
{
	(void)state;
	check_format(OUT_TABLE, "hist.table", false);
}

static void for_people_by_rounds(void **state)
{
	(void)state;
	check_format(OUT_TABLE, "hists.table", true);
}

static void json_has_all_of_it(void **state)
{
	(void)state;
	check_format(OUT_JSON, "hist.json", false);
}

static void json_goes_on_counting(void **state)
{
	(void)state;
	check_format(OUT_JSON, "hists.json", true);
}

static void expositions_have_all_bounds(void **state)
{
	(void)state;
	check_format(OUT_PROM, "hist.prom", false);
	check_format(OUT_OPENMETRICS, "hist.om", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_meet),
		cmocka_unit_test(percentiles_lie_within_their_slot),
		cmocka_unit_test(one_value_is_every_percentile),
		cmocka_unit_test(none_has_no_percentile),
		cmocka_unit_test(counts_may_be_huge),
		cmocka_unit_test(since_is_the_difference),
		cmocka_unit_test(for_people),
		cmocka_unit_test(for_people_by_rounds),
		cmocka_unit_test(json_has_all_of_it),
		cmocka_unit_test(json_goes_on_counting),
		cmocka_unit_test(expositions_have_all_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
