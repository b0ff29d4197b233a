// SPDX-License-Identifier: GPL-2.0-or-later
/* The descriptor as text: the lines of --describe, and what --explain finds by which name. */
#include "libcommon/describe.h"

#include "made.h"

static const struct field told_fields[] = {
	{ FIELD(made_event, saddr, F_ADDR), .help = "where it came from" },
	{ FIELD(made_event, reason, F_ENUM), .help = "why it went\taway" },
	{ FIELD(made_event, tiny, F_INT) },
	{}
};

static const struct reason told_reasons[] = {
	{ "NO_SOCKET", .advice = { .means = "nobody listens there",
				   .normal = "some",
				   .causes = "service down; scan",
				   .confirm = "ss -ltn",
				   .remedy = "start it" } },
	{ "SKB_CONSUMED", "6.12 and later", { .means = "normal end" } },
	{ "RECURSION_LIMIT", "7.3 and later", { .means = "re-entered" } },
	{ "QDISC_DROP", .advice = { .means = "the queue refused it" } },
	{ "QDISC_DROP_CONGESTED", "7.3 and later", { .means = "the queue says slow down" } },
	{ "OVS_DROP_RECURSION_LIMIT", "6.12 and later", { .means = "actions nested" } },
	{ "RX_DROP_U_DUP", "6.12 and later", { .means = "a duplicate" } },
	{ "RX_DROP_M_BAD_BCN_KEYIDX", "6.12 to 6.12", { .means = "a wrong key" } },
	{ "nf_hook_slow", .advice = { .means = "a place" } },
	{}
};

static const struct probe told = {
	.name = "told",
	.prefix = "t",
	.summary = "s",
	.question = "q",
	.source = "eBPF",
	.overhead = "Low",
	.metrics = made_metrics,
	.events = made_events,
	.fields = told_fields,
	.reasons = told_reasons,
};

static const char *explained(const char *name)
{
	static struct buf b;

	buf_free(&b);
	b = (struct buf){ 0 };
	assert_true(explain(&told, name, &b) == (b.len > 0));
	assert_false(b.failed);
	return b.data ? b.data : "";
}

static void test_lines(void **state)
{
	struct buf b = { 0 };
	const char *fields;

	(void)state;
	describe(&told, &b);
	assert_false(b.failed);
	fields = strstr(b.data, "\nfield\t");
	assert_non_null(fields);
	assert_string_equal(
		fields + 1,
		"field\tsaddr\taddress\twhere it came from\n"
		"field\treason\tenum\twhy it went\\taway\n"
		"field\ttiny\tint\t\n"
		"reason\tNO_SOCKET\t\tnobody listens there\tsome\tservice down; scan\tss -ltn\tstart it\n"
		"reason\tSKB_CONSUMED\t6.12 and later\tnormal end\t\t\t\t\n"
		"reason\tRECURSION_LIMIT\t7.3 and later\tre-entered\t\t\t\t\n"
		"reason\tQDISC_DROP\t\tthe queue refused it\t\t\t\t\n"
		"reason\tQDISC_DROP_CONGESTED\t7.3 and later\tthe queue says slow down\t\t\t\t\n"
		"reason\tOVS_DROP_RECURSION_LIMIT\t6.12 and later\tactions nested\t\t\t\t\n"
		"reason\tRX_DROP_U_DUP\t6.12 and later\ta duplicate\t\t\t\t\n"
		"reason\tRX_DROP_M_BAD_BCN_KEYIDX\t6.12 to 6.12\ta wrong key\t\t\t\t\n"
		"reason\tnf_hook_slow\t\ta place\t\t\t\t\n");
	buf_free(&b);
}

static void test_reason(void **state)
{
	(void)state;
	assert_string_equal(explained("NO_SOCKET"), "NO_SOCKET: a reason of skoop-told\n"
						    "  means    nobody listens there\n"
						    "  normal   some\n"
						    "  causes   service down; scan\n"
						    "  confirm  ss -ltn\n"
						    "  remedy   start it\n");
	assert_string_equal(explained("skb_consumed"), "SKB_CONSUMED: a reason of skoop-told\n"
						       "  means    normal end\n"
						       "  kernels  6.12 and later\n");
}

static void test_field(void **state)
{
	(void)state;
	assert_string_equal(explained("SAddr"), "saddr: where it came from\n"
						"  is       a field of events, address\n");
	/* Nothing is said about it. */
	assert_string_equal(explained("tiny"), "");
}

/* The reason of the first row that is named so, and how many there are. */
static const char *first(const char *name, size_t *n)
{
	const char *found = NULL;

	*n = 0;
	for (const struct reason *r = told_reasons; r->name; r++) {
		if (!reason_is(r->name, name))
			continue;
		found = found ? found : r->name;
		(*n)++;
	}
	return found ? found : "";
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *row;
		size_t n;
	} cases[] = {
		{ "no_socket", "NO_SOCKET", 1 },
		{ "SKB_DROP_REASON_NO_SOCKET", "NO_SOCKET", 1 },
		{ "sk_rst_reason_no_socket", "NO_SOCKET", 1 },
		{ "core NO_SOCKET", "NO_SOCKET", 1 },
		{ "CONSUMED", "SKB_CONSUMED", 1 },
		{ "QDISC_DROP", "QDISC_DROP", 1 },
		{ "SKB_DROP_REASON_QDISC_DROP", "QDISC_DROP", 1 },
		{ "QDISC_DROP_CONGESTED", "QDISC_DROP_CONGESTED", 1 },
		{ "congested", "QDISC_DROP_CONGESTED", 1 },
		{ "qdisc CONGESTED", "QDISC_DROP_CONGESTED", 1 },
		{ "QDISC_CONGESTED", "QDISC_DROP_CONGESTED", 1 },
		{ "openvswitch:recursion_limit", "OVS_DROP_RECURSION_LIMIT", 1 },
		{ "RECURSION_LIMIT", "RECURSION_LIMIT", 2 },
		{ "core RECURSION_LIMIT", "RECURSION_LIMIT", 1 },
		{ "mac80211 DUP", "RX_DROP_U_DUP", 1 },
		{ "mac80211 BAD_BCN_KEYIDX", "RX_DROP_M_BAD_BCN_KEYIDX", 1 },
		{ "NF_HOOK_SLOW", "nf_hook_slow", 1 },
		{ "nf_hook_slow+0xb2", "nf_hook_slow", 1 },
		{ "nf_hook_slow.constprop.0+0xb2", "nf_hook_slow", 1 },
		{ "nf_hook", "", 0 },
		{ "openvswitch CONGESTED", "", 0 },
		{ "qdisc DUP", "", 0 },
		{ "qdisc", "", 0 },
		{ "qdisc ", "", 0 },
		{ "core ", "", 0 },
		{ "SKB_DROP_REASON_", "", 0 },
		{ "", "", 0 },
		{ "SOCKET", "", 0 },
		{ "NO_SOCKETS", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n;

		assert_string_equal(first(cases[i].name, &n), cases[i].row);
		assert_int_equal(n, cases[i].n);
	}
}

/* One name may be a metric's, an event's and a reason's; nothing is found where there is none. */
static void test_others(void **state)
{
	(void)state;
	assert_non_null(strstr(explained("Made:Opened"), "kubeskoop_t_opened: things"));
	assert_string_equal(explained("made_fast"), "MADE_FAST: something quick\n");
	assert_string_equal(explained("nothing"), "");
	assert_false(explain(&made_tracer, "NO_SOCKET", &(struct buf){ 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),  cmocka_unit_test(test_reason),
		cmocka_unit_test(test_field),  cmocka_unit_test(test_names),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
