// SPDX-License-Identifier: GPL-2.0-or-later
/* Samples of a round: their order, what they have grown by, series that come twice. */
#include "made.h"

#include "libcommon/samples.h"

static const struct metric *const opened = &made_metrics[0], *const level = &made_metrics[1];

static struct samples *begin(void)
{
	struct samples *s = samples_open(&made_probe);

	assert_non_null(s);
	samples_begin(s);
	return s;
}

static struct round closed(struct samples *s)
{
	struct round r = { 0 };

	assert_int_equal(samples_close(s, &r), 0);
	return r;
}

static void order_is_metric_target_arrival(void **state)
{
	static const struct label eth0[] = { { "device", "eth0" }, {} },
				  veth9[] = { { "device", "veth9" }, {} };
	struct samples *s = begin();
	const struct metric *extra = samples_extra(s, "Xx", 2, opened);
	struct round r;

	(void)state;
	samples_add(s, &made_target[WEB], extra, 1, NULL);
	samples_add(s, &made_target[WEB], level, 2, NULL);
	samples_add(s, &made_target[WEB], opened, 3, veth9);
	samples_add(s, &made_target[ODD], opened, 4, NULL);
	samples_add(s, &made_target[WEB], opened, 5, eth0);
	samples_add(s, &made_target[HOST], opened, 6, veth9);
	r = closed(s);
	assert_int_equal(r.nsamples, 6);
	for (size_t i = 0; i < 6; i++) {
		static const uint64_t want[] = { 4, 6, 3, 5, 2, 1 };

		assert_int_equal(r.samples[i].value, want[i]);
		assert_ptr_equal(r.samples[i].target, r.rows[r.samples[i].row].target);
	}
	assert_string_equal(r.samples[2].labels->value, "veth9");
	assert_null(r.samples[0].labels->name);
	assert_int_equal(r.nmetrics, 5);
	assert_ptr_equal(r.metrics[4], extra);
	samples_free(s);
}

static void a_probe_may_order_its_rows(void **state)
{
	static const struct label eth0[] = { { "device", "eth0" }, {} };
	struct samples *s = begin();

	(void)state;
	for (int again = 0; again < 2; again++) {
		struct round r;

		samples_add(s, &made_target[WEB], opened, 1, eth0);
		samples_add(s, &made_target[WEB], opened, 2, NULL);
		samples_add(s, &made_target[HOST], opened, 3, NULL);
		samples_add(s, &made_target[WEB], level, 4, eth0);
		/* It is asked for anew in each round. */
		if (!again)
			samples_in_order(s);
		r = closed(s);
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(r.samples[i].value,
					 (again ? (uint64_t[]){ 3, 1, 2, 4 }
						: (uint64_t[]){ 1, 2, 3, 4 })[i]);
		samples_keep(s);
	}
	samples_free(s);
}

static void growth_may_be_known(void **state)
{
	struct samples *s = begin();
	struct round r;

	(void)state;
	samples_add(s, &made_target[WEB], opened, 10, NULL);
	samples_grown(s, 7);
	r = closed(s);
	assert_false(r.samples[0].has_delta); /* nothing to compare with yet */
	samples_keep(s);
	samples_add(s, &made_target[WEB], opened, 30, NULL);
	samples_grown(s, 5);
	samples_add(s, &made_target[HOST], opened, 40, NULL);
	samples_grown(s, 3);
	samples_add(s, &made_target[ODD], opened, 50, NULL);
	r = closed(s);
	for (size_t i = 0; i < 3; i++) {
		const struct sample *x = &r.samples[i];

		assert_int_equal(x->has_delta, x->value != 50);
		if (x->has_delta)
			assert_int_equal(x->delta, x->value == 30 ? 5 : 3);
	}
	samples_free(s);
}

static void only_counters_have_deltas(void **state)
{
	struct samples *s = begin();
	struct round r;

	(void)state;
	samples_add(s, &made_target[WEB], opened, 10, NULL);
	samples_add(s, &made_target[WEB], level, 10, NULL);
	r = closed(s);
	assert_false(r.base);
	assert_false(r.samples[0].has_delta);
	samples_keep(s);
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 12, NULL);
	samples_add(s, &made_target[WEB], level, 12, NULL);
	r = closed(s);
	assert_true(r.base);
	assert_true(r.samples[0].has_delta);
	assert_int_equal(r.samples[0].delta, 2);
	assert_false(r.samples[1].has_delta);
	samples_keep(s);
	/* Back to a lower value: it began anew, and all of it is growth. */
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 5, NULL);
	r = closed(s);
	assert_true(r.samples[0].has_delta);
	assert_int_equal(r.samples[0].delta, 5);
	samples_free(s);
}

static uint64_t grown(const struct metric *m, uint64_t before, uint64_t now)
{
	struct probe p = { .name = "x", .metrics = m };
	struct samples *s = samples_open(&p);
	uint64_t delta;

	samples_begin(s);
	samples_add(s, &made_target[WEB], m, before, NULL);
	closed(s);
	samples_keep(s);
	samples_begin(s);
	samples_add(s, &made_target[WEB], m, now, NULL);
	delta = closed(s).samples[0].delta;
	samples_free(s);
	return delta;
}

static void counters_of_32_bits_go_over_the_top(void **state)
{
	static const struct metric narrow[] = { { .name = "n", .type = COUNTER, .flags = M_U32 },
						{} },
				   wide[] = { { .name = "w", .type = COUNTER }, {} },
				   negative[] = {
					   { .name = "s", .type = COUNTER, .flags = M_SIGNED }, {}
				   };

	(void)state;
	assert_int_equal(grown(narrow, 4294967290, 5), 11);
	assert_int_equal(grown(narrow, 5, 4294967290), 4294967285);
	/* Four CPUs' counters in one sum, of which one wrapped: 296 to the top and 800 from there. */
	assert_int_equal(grown(narrow, 4 * 4294967000ULL, 3 * 4294967000ULL + 800), 1096);
	assert_int_equal(grown(narrow, 1000, 5), 5);
	assert_int_equal(grown(wide, 4294967290, 5), 5);
	assert_int_equal(grown(wide, UINT64_MAX, 0), 0);
	assert_int_equal(grown(negative, (uint64_t)-5, 3), 8);
	assert_int_equal(grown(negative, 3, (uint64_t)-5), (uint64_t)-5);
}

/* Round after round the value goes on, until it begins anew. */
static void values_go_on_over_the_top(void **state)
{
	static const struct metric narrow[] = { { .name = "n", .type = COUNTER, .flags = M_U32 },
						{} };
	static const struct {
		uint64_t kernel, value, delta;
	} rounds[] = { { 4294967290, 4294967290, 0 },
		       { 5, 4294967301, 11 },
		       { 7, 4294967303, 2 },
		       { 2000000007, 6294967303, 2000000000 },
		       { 4000000007, 8294967303, 2000000000 },
		       { 3, 8589934595, 294967292 },
		       { 0, 0, 0 } };
	struct samples *s = samples_open(&(struct probe){ .name = "p", .metrics = narrow });

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
		struct round r;

		samples_begin(s);
		samples_add(s, &made_target[WEB], narrow, rounds[i].kernel, NULL);
		r = closed(s);
		assert_int_equal(r.samples[0].value, rounds[i].value);
		assert_int_equal(r.samples[0].delta, rounds[i].delta);
		samples_keep(s);
	}
	samples_free(s);
}

/* The targets of a round are freed once the next one is there; what is compared must be the samples' own. */
static void targets_and_labels_are_gone_in_the_next_round(void **state)
{
	struct samples *s = begin();
	struct round r;

	(void)state;
	for (uint64_t round = 0; round < 3; round++) {
		struct target *t = calloc(1, sizeof(*t));
		char *pod = strdup("web-0"), *device = strdup("eth0");
		struct label labels[] = { { "device", device }, {} };

		*t = (struct target){ .node = "n", .namespace = "shop", .pod = pod, .netns = 7 };
		samples_begin(s);
		samples_add(s, t, opened, 100 + round * 3, labels);
		memset(device, 'x', strlen(device));
		r = closed(s);
		assert_string_equal(r.samples[0].labels->value, "eth0");
		assert_int_equal(r.samples[0].has_delta, round > 0);
		assert_int_equal(r.samples[0].delta, round ? 3 : 0);
		samples_keep(s);
		free(device);
		free(pod);
		free(t);
	}
	samples_free(s);
}

static void growth_needs_the_same_target_and_labels(void **state)
{
	static const struct label none[] = { {} }, eth0[] = { { "device", "eth0" }, {} },
				  eth1[] = { { "device", "eth1" }, {} },
				  kind[] = { { "kind", "eth0" }, {} },
				  both[] = { { "device", "eth0" }, { "kind", "mq" }, {} };
	const struct label *labels[] = { none, eth0, eth1, kind, both };
	struct target other = made_target[WEB], moved = made_target[WEB];
	struct samples *s = begin();
	struct round r;

	(void)state;
	other.node = "node-b";
	moved.netns = 4711;
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		samples_begin(s);
		samples_add(s, &made_target[WEB], opened, 1, labels[i]);
		closed(s);
		samples_keep(s);
		samples_begin(s);
		for (size_t k = 0; k < ARRAY_SIZE(labels); k++)
			samples_add(s, &made_target[WEB], opened, 1, labels[k]);
		samples_add(s, &other, opened, 1, labels[i]);
		samples_add(s, &made_target[HOST], opened, 1, labels[i]);
		r = closed(s);
		for (size_t k = 0; k < r.nsamples; k++)
			assert_int_equal(r.samples[k].has_delta,
					 r.samples[k].target == &made_target[WEB] &&
						 r.samples[k].labels != NULL &&
						 r.samples[k].row ==
							 r.nrows - ARRAY_SIZE(labels) - 1 + i);
		samples_keep(s);
	}
	/* The same names on another namespace: the pod was replaced, nothing has grown. */
	samples_begin(s);
	samples_add(s, &moved, opened, 9, eth0);
	assert_false(closed(s).samples[0].has_delta);
	samples_free(s);
}

static void a_round_that_is_not_kept_is_no_base(void **state)
{
	struct samples *s = begin();

	(void)state;
	samples_add(s, &made_target[WEB], opened, 10, NULL);
	closed(s);
	samples_keep(s);
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 15, NULL);
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 16, NULL);
	assert_int_equal(closed(s).samples[0].delta, 6);
	samples_free(s);
}

static void twice_is_an_error(void **state)
{
	static const struct label eth0[] = { { "device", "eth0" }, {} };
	struct target twin = made_target[WEB];
	struct samples *s = begin();
	struct round r;

	(void)state;
	samples_add(s, &made_target[WEB], opened, 1, eth0);
	samples_add(s, &made_target[HOST], opened, 1, eth0);
	samples_add(s, &made_target[WEB], opened, 2, eth0);
	assert_int_equal(samples_close(s, &r), -EEXIST);
	/* Two targets that look alike are one series to whoever reads it. */
	twin.netns = 99;
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 1, NULL);
	samples_add(s, &twin, opened, 1, NULL);
	assert_int_equal(samples_close(s, &r), -EEXIST);
	samples_begin(s);
	samples_add(s, &made_target[WEB], opened, 1, NULL);
	assert_int_equal(samples_close(s, &r), 0);
	samples_free(s);
}

static void a_metric_of_nobody_is_an_error(void **state)
{
	static const struct metric foreign = { .name = "foreign" };
	struct samples *s = begin();
	struct round r;

	(void)state;
	samples_add(s, &made_target[WEB], &foreign, 1, NULL);
	assert_int_equal(samples_close(s, &r), -EINVAL);
	samples_free(s);
}

static void extras_are_named_by_their_key(void **state)
{
	struct samples *s = begin();
	const struct metric *a = samples_extra(s, "TCPSack_Recovery2", 17, opened), *b;

	(void)state;
	assert_string_equal(a->name, "tcpsackrecovery2");
	assert_string_equal(a->help, "TCPSack_Recovery2, as the kernel names it");
	assert_int_equal(a->type, COUNTER);
	assert_true(a->flags & M_ALL);
	b = samples_extra(s, "Other", 5, level);
	assert_int_equal(b->type, GAUGE);
	assert_true(b->flags & M_SIGNED);
	/* The key is not terminated, comes again, or is another spelling of one that is there. */
	assert_ptr_equal(samples_extra(s, "TCPSack_Recovery2xx", 17, opened), a);
	samples_begin(s);
	assert_ptr_equal(samples_extra(s, "Other", 5, level), b);
	assert_ptr_equal(samples_extra(s, "TCPSack_Recovery2", 17, opened), a);
	assert_ptr_equal(samples_extra(s, "tcpsackrecovery2", 16, opened), a);
	assert_ptr_equal(samples_extra(s, "Ope-ned", 7, opened), opened);
	assert_null(samples_extra(s, "-_-", 3, opened));
	assert_int_equal(closed(s).nmetrics, 4 + 2);
	samples_free(s);
}

/* Many rows, in an order that is turned around from round to round. */
static void many_series_are_found_again(void **state)
{
	enum { TARGETS = 300, LABELS = 40 };
	static struct target t[TARGETS];
	static char pod[TARGETS][16], value[LABELS][16];
	struct samples *s = begin();
	struct round r;

	(void)state;
	for (int i = 0; i < TARGETS; i++) {
		snprintf(pod[i], sizeof(pod[i]), "web-%03d", i);
		t[i] = (struct target){
			.node = "n", .namespace = "shop", .pod = pod[i], .netns = 1000 + (uint64_t)i
		};
	}
	for (uint64_t round = 0; round < 2; round++) {
		samples_begin(s);
		for (int k = 0; k < TARGETS * LABELS; k++) {
			int n = round ? TARGETS * LABELS - 1 - k : k;
			struct label l[] = { { "port", value[n / TARGETS] }, {} };

			snprintf(value[n / TARGETS], sizeof(value[0]), "%d", n / TARGETS);
			samples_add(s, &t[n % TARGETS], opened, (uint64_t)n * (1 + round), l);
		}
		r = closed(s);
		samples_keep(s);
	}
	assert_int_equal(r.nsamples, TARGETS * LABELS);
	for (size_t i = 0; i < r.nsamples; i++) {
		assert_true(r.samples[i].has_delta);
		assert_int_equal(r.samples[i].delta * 2, r.samples[i].value);
		if (i)
			assert_true(strcmp(r.samples[i - 1].target->pod,
					   r.samples[i].target->pod) <= 0);
	}
	samples_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_is_metric_target_arrival),
		cmocka_unit_test(a_probe_may_order_its_rows),
		cmocka_unit_test(growth_may_be_known),
		cmocka_unit_test(only_counters_have_deltas),
		cmocka_unit_test(counters_of_32_bits_go_over_the_top),
		cmocka_unit_test(values_go_on_over_the_top),
		cmocka_unit_test(targets_and_labels_are_gone_in_the_next_round),
		cmocka_unit_test(growth_needs_the_same_target_and_labels),
		cmocka_unit_test(a_round_that_is_not_kept_is_no_base),
		cmocka_unit_test(twice_is_an_error),
		cmocka_unit_test(a_metric_of_nobody_is_an_error),
		cmocka_unit_test(extras_are_named_by_their_key),
		cmocka_unit_test(many_series_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
