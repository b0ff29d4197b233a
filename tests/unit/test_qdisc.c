// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about queueing disciplines, of kinds and sizes that the running kernel need not have. */
#include "recorder.h"

#include "tools/qdisc.c"

static const struct target target = { .namespace = "-", .pod = "t" };

/* What a made-up qdisc message says. */
struct made {
	uint32_t handle, parent;
	const char *kind;
	struct gnet_stats_basic basic;
	uint64_t packets64; /* 0: not sent */
	uint64_t hw_packets64;
	struct gnet_stats_queue queue;
	bool old, bare; /* TCA_STATS alone; no statistics at all */
};

static struct nlmsghdr *make(char *buffer, const struct made *m)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
	const struct tc_stats old = { .bytes = m->basic.bytes,
				      .packets = m->basic.packets,
				      .drops = m->queue.drops,
				      .overlimits = m->queue.overlimits,
				      .qlen = m->queue.qlen,
				      .backlog = m->queue.backlog };
	const char options[] = "opaque to us", app[] = "the kind's own statistics";
	struct nlattr *nest;

	nlh->nlmsg_type = RTM_NEWQDISC;
	tc->tcm_ifindex = 7;
	tc->tcm_handle = m->handle;
	tc->tcm_parent = m->parent;
	mnl_attr_put_strz(nlh, TCA_KIND, m->kind);
	mnl_attr_put(nlh, TCA_OPTIONS, sizeof(options), options);
	mnl_attr_put_u8(nlh, TCA_HW_OFFLOAD, 0);
	if (!m->old && !m->bare) {
		nest = mnl_attr_nest_start(nlh, TCA_STATS2);
		mnl_attr_put(nlh, TCA_STATS_BASIC, sizeof(m->basic), &m->basic);
		if (m->packets64)
			mnl_attr_put_u64(nlh, TCA_STATS_PKT64, m->packets64);
		if (m->hw_packets64) {
			const struct gnet_stats_basic hw = { 1, (uint32_t)m->hw_packets64 };

			mnl_attr_put(nlh, TCA_STATS_BASIC_HW, sizeof(hw), &hw);
			mnl_attr_put_u64(nlh, TCA_STATS_PKT64, m->hw_packets64);
		}
		mnl_attr_put(nlh, TCA_STATS_APP, sizeof(app), app);
		mnl_attr_put(nlh, TCA_STATS_QUEUE, sizeof(m->queue), &m->queue);
		mnl_attr_nest_end(nlh, nest);
	}
	if (!m->bare)
		mnl_attr_put(nlh, TCA_STATS, sizeof(old), &old);
	return nlh;
}

/* Reads the messages and emits what the command line wants of them. */
static void play(struct out *o, const struct made *made, size_t n)
{
	struct rows rows = { 0 };

	buf_free(&o->lines);
	for (size_t i = 0; i < n; i++) {
		char buffer[1024];

		assert_int_equal(read_qdisc(make(buffer, &made[i]), &rows), MNL_CB_OK);
		strcpy(rows.v[i].device, "eth0");
	}
	for (size_t i = 0; i < rows.n; i++)
		if (wanted(&rows.v[i], o))
			emit(&target, &rows.v[i], o);
	free(rows.v);
}

static const struct made fq_codel = {
	.handle = 0x80010000,
	.parent = TC_H_ROOT,
	.kind = "fq_codel",
	.basic = { 123456789012, 9 },
	.packets64 = (1ULL << 32) + 9,
	.queue = { 3, 4500, 5, 6, 7 },
};

static void test_values(void **state)
{
	struct out o = { 0 };

	(void)state;
	play(&o, &fq_codel, 1);
	assert_lines(&o, "bytes{device=eth0,kind=fq_codel} 123456789012\n"
			 "packets{device=eth0,kind=fq_codel} 4294967305\n"
			 "drops{device=eth0,kind=fq_codel} 5\n"
			 "qlen{device=eth0,kind=fq_codel} 3\n"
			 "backlog{device=eth0,kind=fq_codel} 4500\n"
			 "overlimits{device=eth0,kind=fq_codel} 7\n");
	all_counters = true;
	play(&o, &fq_codel, 1);
	all_counters = false;
	assert_non_null(strstr(o.lines.data, "requeues{device=eth0,kind=fq_codel} 6\n"));
	recorder_reset(&o);
}

/* The 64-bit number that follows what the hardware passed is not the qdisc's. */
static void test_hardware_counts_are_not_ours(void **state)
{
	struct made m = fq_codel;
	struct out o = { 0 };

	(void)state;
	m.packets64 = 0;
	m.hw_packets64 = (5ULL << 32) + 8;
	play(&o, &m, 1);
	assert_non_null(strstr(o.lines.data, "packets{device=eth0,kind=fq_codel} 9\n"));
	m.packets64 = (2ULL << 32) + 9;
	play(&o, &m, 1);
	assert_non_null(strstr(o.lines.data, "packets{device=eth0,kind=fq_codel} 8589934601\n"));
	recorder_reset(&o);
}

static void test_old_statistics(void **state)
{
	struct made m = fq_codel;
	struct out o = { 0 };

	(void)state;
	m.old = true;
	all_counters = true;
	play(&o, &m, 1);
	all_counters = false;
	assert_lines(&o, "bytes{device=eth0,kind=fq_codel} 123456789012\n"
			 "packets{device=eth0,kind=fq_codel} 9\n"
			 "drops{device=eth0,kind=fq_codel} 5\n"
			 "qlen{device=eth0,kind=fq_codel} 3\n"
			 "backlog{device=eth0,kind=fq_codel} 4500\n"
			 "overlimits{device=eth0,kind=fq_codel} 7\n");
	m.bare = true;
	play(&o, &m, 1);
	assert_lines(&o, "");
	recorder_reset(&o);
}

/* mq over two fq, an ingress qdisc, and the sums that a reader will make. */
static void test_children_are_contained(void **state)
{
	static const struct made made[] = {
		{ .handle = 0,
		  .parent = TC_H_ROOT,
		  .kind = "mq",
		  .basic = { 300, 3 },
		  .queue = { .drops = 3 } },
		{ .handle = 0,
		  .parent = 0x00000002,
		  .kind = "fq",
		  .basic = { 200, 2 },
		  .queue = { .drops = 1 } },
		{ .handle = 0x80020000,
		  .parent = 0x00000001,
		  .kind = "fq",
		  .basic = { 100, 1 },
		  .queue = { .drops = 2 } },
		{ .handle = 0xffff0000, .parent = TC_H_CLSACT, .kind = "clsact", .basic = { 50, 5 } },
	};
	struct out o = { 0 };

	(void)state;
	play(&o, made, ARRAY_SIZE(made));
	assert_non_null(strstr(o.lines.data, "drops{device=eth0,kind=mq} 3\n"));
	assert_non_null(strstr(o.lines.data, "bytes{device=eth0,kind=clsact} 50\n"));
	assert_null(strstr(o.lines.data, "kind=fq}"));
	tree = true;
	play(&o, made, ARRAY_SIZE(made));
	tree = false;
	assert_non_null(
		strstr(o.lines.data, "drops{device=eth0,kind=mq,handle=0:,parent=root} 3\n"));
	assert_non_null(strstr(o.lines.data, "drops{device=eth0,kind=fq,handle=0:,parent=:2} 1\n"));
	assert_non_null(
		strstr(o.lines.data, "drops{device=eth0,kind=fq,handle=8002:,parent=:1} 2\n"));
	assert_non_null(strstr(
		o.lines.data, "bytes{device=eth0,kind=clsact,handle=ffff:,parent=ffff:fff1} 50\n"));
	assert_null(strstr(o.lines.data, "drops{device=eth0,kind=mq} 3\n"));
	recorder_reset(&o);
}

static void test_noqueue_is_for_those_who_ask(void **state)
{
	static const struct made noqueue = { .parent = TC_H_ROOT, .kind = "noqueue" };
	struct out o = { 0 };

	(void)state;
	play(&o, &noqueue, 1);
	assert_lines(&o, "");
	o.opt.zeros = true;
	play(&o, &noqueue, 1);
	assert_non_null(strstr(o.lines.data, "bytes{device=eth0,kind=noqueue} 0\n"));
	recorder_reset(&o);
}

static void test_handles(void **state)
{
	static const struct {
		uint32_t handle;
		const char *text;
	} cases[] = { { 0, "0:" },
		      { 0x00010000, "1:" },
		      { 0x00010010, "1:10" },
		      { 0x00000003, ":3" },
		      { 0x80a10000, "80a1:" },
		      { TC_H_ROOT, "root" },
		      { TC_H_INGRESS, "ffff:fff1" },
		      { 0xffff0000, "ffff:" } };
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		handle_format(cases[i].handle, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

/* Every cut but those between attributes, and every lie about a length inside. */
static void test_malformed_messages_are_refused(void **state)
{
	char buffer[1024];
	struct nlmsghdr *nlh = make(buffer, &fq_codel);
	struct rows rows = { 0 };
	unsigned int whole = 0;

	(void)state;
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_qdisc, &rows);
	/* After the kind, the options, the offload flag (4 each, with padding), STATS2, STATS. */
	assert_int_equal(whole, 14);

	nlh = mnl_nlmsg_put_header(buffer);
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct tcmsg));
	assert_false(accepts(nlh, nlh->nlmsg_len, read_qdisc, &rows));
	mnl_attr_put_strz(nlh, TCA_KIND, "x");
	assert_true(accepts(nlh, nlh->nlmsg_len, read_qdisc, &rows));
	for (uint16_t type = TCA_STATS_BASIC; type <= TCA_STATS_PKT64; type++) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, TCA_STATS2);
		uint32_t before = nlh->nlmsg_len - sizeof(*nest);

		mnl_attr_put(nlh, type, 4, "abc");
		mnl_attr_nest_end(nlh, nest);
		/* RATE_EST, APP and their like are not looked at. */
		assert_int_equal(accepts(nlh, nlh->nlmsg_len, read_qdisc, &rows),
				 type != TCA_STATS_BASIC && type != TCA_STATS_QUEUE &&
					 type != TCA_STATS_PKT64);
		nlh->nlmsg_len = before;
	}
	mnl_attr_put_u32(nlh, TCA_STATS, 1);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_qdisc, &rows));
	free(rows.v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_hardware_counts_are_not_ours),
		cmocka_unit_test(test_old_statistics),
		cmocka_unit_test(test_children_are_contained),
		cmocka_unit_test(test_noqueue_is_for_those_who_ask),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_malformed_messages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
