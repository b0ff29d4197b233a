// SPDX-License-Identifier: GPL-2.0-or-later
/* Connection tracking counters from made-up messages and from the files of several kernels. */
#include "recorder.h"

#include "tools/conntrack.c"

static const struct target target = { .namespace = "shop", .pod = "web-0" };

static struct nlmsghdr *make(char *buffer, uint16_t cpu)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));

	head->res_id = htons(cpu);
	return nlh;
}

static void put(struct nlmsghdr *nlh, uint16_t attr, uint32_t value)
{
	mnl_attr_put_u32(nlh, attr, htonl(value));
}

/* What a kernel of 6.1 or later sends for a CPU: attributes in its order, ignore not among them. */
static struct nlmsghdr *make_cpu(char *buffer, uint16_t cpu, uint32_t first)
{
	static const uint16_t attrs[] = { CTA_STATS_FOUND,         CTA_STATS_INVALID,
					  CTA_STATS_INSERT,        CTA_STATS_INSERT_FAILED,
					  CTA_STATS_DROP,          CTA_STATS_EARLY_DROP,
					  CTA_STATS_ERROR,         CTA_STATS_SEARCH_RESTART,
					  CTA_STATS_CLASH_RESOLVE, CTA_STATS_CHAIN_TOOLONG };
	struct nlmsghdr *nlh = make(buffer, cpu);

	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++)
		put(nlh, attrs[i], first + (uint32_t)i);
	return nlh;
}

static struct reading reading_made(void)
{
	struct reading r = { 0 };
	char buffer[512];

	assert_int_equal(read_cpu(make_cpu(buffer, 0, UINT32_MAX - 20), &r), MNL_CB_OK);
	assert_int_equal(read_cpu(make_cpu(buffer, 3, 100), &r), MNL_CB_OK);
	return r;
}

static void test_cpus_are_summed_past_32_bits(void **state)
{
	struct reading r = reading_made();
	struct out o = { 0 };

	(void)state;
	emit(&target, &r, &o);
	assert_lines(
		&o,
		"found 4294967375\ninvalid 4294967377\ninsert 4294967379\ninsertfailed 4294967381\n"
		"drop 4294967383\nearlydrop 4294967385\nerror 4294967387\n"
		"searchrestart 4294967389\n");
	recorder_reset(&o);
	all_counters = true;
	emit(&target, &r, &o);
	all_counters = false;
	assert_non_null(strstr(o.lines.data, "clashresolve 4294967391\nchaintoolong 4294967393\n"));
	recorder_reset(&o);
	reading_reset(&r);
}

static void test_per_cpu(void **state)
{
	struct reading r = reading_made();
	struct out o = { 0 };

	(void)state;
	value_set(&r.whole, ENTRIES, 5);
	per_cpu = true;
	emit(&target, &r, &o);
	per_cpu = false;
	assert_non_null(strstr(o.lines.data, "found{cpu=0} 4294967275\n"));
	assert_non_null(strstr(o.lines.data, "drop{cpu=3} 104\n"));
	assert_non_null(strstr(o.lines.data, "\nentries 5\n"));
	assert_null(strstr(o.lines.data, "found 4"));
	recorder_reset(&o);
	reading_reset(&r);
}

/* A kernel that sends what ours does not, or has what we do not know. */
static void test_other_attributes(void **state)
{
	struct reading r = { 0 };
	struct out o = { 0 };
	char buffer[512];
	struct nlmsghdr *nlh = make(buffer, 0);

	(void)state;
	put(nlh, CTA_STATS_IGNORE, 17);
	put(nlh, CTA_STATS_DELETE, 18);
	put(nlh, 29, 19);
	mnl_attr_put_u64(nlh, 30, 20);
	assert_int_equal(read_cpu(nlh, &r), MNL_CB_OK);
	emit(&target, &r, &o);
	assert_lines(&o, "ignore 17\n");
	recorder_reset(&o);
	all_counters = true;
	emit(&target, &r, &o);
	all_counters = false;
	assert_lines(&o, "ignore 17\nattribute6 18\nattribute29 19\n");
	recorder_reset(&o);
	reading_reset(&r);
}

static void test_whole(void **state)
{
	struct reading r = { 0 };
	char buffer[512];
	struct nlmsghdr *nlh = make(buffer, 0);

	(void)state;
	put(nlh, CTA_STATS_GLOBAL_ENTRIES, 70000);
	assert_int_equal(read_whole(nlh, &r), MNL_CB_OK);
	assert_true(value_known(&r.whole, ENTRIES));
	assert_false(value_known(&r.whole, MAX_ENTRIES));
	put(nlh, CTA_STATS_GLOBAL_MAX_ENTRIES, 262144);
	assert_int_equal(read_whole(nlh, &r), MNL_CB_OK);
	assert_int_equal(r.whole.value[ENTRIES], 70000);
	assert_int_equal(r.whole.value[MAX_ENTRIES], 262144);
}

static void test_malformed_messages_are_refused(void **state)
{
	struct reading r = { 0 };
	char buffer[512];
	struct nlmsghdr *nlh = make_cpu(buffer, 0, 1);
	unsigned int whole = 0;

	(void)state;
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_cpu, &r);
	assert_int_equal(whole, 1 + 10);
	nlh = make(buffer, 0);
	mnl_attr_put_u16(nlh, CTA_STATS_DROP, 1);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_cpu, &r));
	nlh = make(buffer, 0);
	mnl_attr_put_u64(nlh, CTA_STATS_DROP, 1);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_cpu, &r));
	nlh = make(buffer, 0);
	mnl_attr_put_u16(nlh, CTA_STATS_GLOBAL_ENTRIES, 1);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_whole, &r));
	assert_false(accepts(nlh, sizeof(*nlh), read_whole, &r));
	reading_reset(&r);
}

/* ---- --warn ---- */

static unsigned int alarms(uint64_t percent, uint64_t entries, uint64_t max)
{
	struct reading r = { 0 };
	struct out o = { 0 };
	unsigned int n;

	warn_percent = percent;
	value_set(&r.whole, ENTRIES, entries);
	value_set(&r.whole, MAX_ENTRIES, max);
	emit(&target, &r, &o);
	warn_percent = 0;
	n = o.alarms;
	if (n)
		assert_string_equal(
			o.notes.data,
			"shop/web-0: the connection tracking table is 80 % full or more\n");
	recorder_reset(&o);
	return n;
}

static void test_warning(void **state)
{
	(void)state;
	assert_int_equal(alarms(80, 79, 100), 0);
	assert_int_equal(alarms(80, 80, 100), 1);
	assert_int_equal(alarms(80, 205, 256), 1);
	assert_int_equal(alarms(80, 204, 256), 0);
	assert_int_equal(alarms(80, UINT32_MAX, UINT32_MAX), 1);
	assert_int_equal(alarms(0, 100, 100), 0);
}

/* ---- net/stat/nf_conntrack ---- */

#define HEADER(eighth)                                                                             \
	"entries  clashres found new invalid ignore delete " eighth " insert insert_failed drop "  \
	"early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
#define HEADER_510 HEADER("delete_list")
#define HEADER_618 HEADER("chainlength")
#define LINE1                                                                                      \
	"0000002a  00000001 00000002 00000000 00000003 00000000 00000000 00000004 00000005 "       \
	"00000006 00000007 00000008 00000009  0000000a 0000000b 0000000c ffffffff\n"
#define LINE2                                                                                      \
	"0000002a  00000010 00000020 00000000 00000030 00000000 00000000 00000040 00000050 "       \
	"00000060 00000070 00000080 00000090  000000a0 000000b0 000000c0 00000001\n"

static int parse(const char *text, struct reading *r)
{
	reading_reset(r);
	return read_stat(text, r);
}

static void test_stat_file(void **state)
{
	struct reading r = { 0 };
	struct out o = { 0 };

	(void)state;
	assert_int_equal(parse(HEADER_618 LINE1 LINE2, &r), 0);
	all_counters = true;
	emit(&target, &r, &o);
	/* The entries repeat on each line and are not summed; ignore is a constant and absent. */
	assert_lines(&o,
		     "found 34\ninvalid 51\ninsert 85\ninsertfailed 102\ndrop 119\nearlydrop 136\n"
		     "error 153\nsearchrestart 4294967296\nentries 42\nclashresolve 17\n"
		     "chaintoolong 68\n");
	recorder_reset(&o);
	assert_int_equal(parse(HEADER_510 LINE1, &r), 0);
	emit(&target, &r, &o);
	all_counters = false;
	assert_non_null(strstr(o.lines.data, "clashresolve 1\n"));
	assert_null(strstr(o.lines.data, "chaintoolong"));
	recorder_reset(&o);
	per_cpu = true;
	assert_int_equal(parse(HEADER_618 LINE1 LINE2, &r), 0);
	emit(&target, &r, &o);
	per_cpu = false;
	assert_non_null(strstr(o.lines.data, "drop{cpu=1} 112\n"));
	recorder_reset(&o);
	reading_reset(&r);
}

static void test_malformed_stat_files_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		HEADER_618,
		"a b c\n1 2 3\n",
		HEADER_618 "00000001\n",
		HEADER_618 LINE1 "00000001\n",
		"found drop\n1 2 3\n",
		"found drop\n1 -2\n",
		"found drop\n1 0x2\n",
		"found drop\n1 2",
		"found drop\n1 x\n",
		"found drop\n\n",
		"found drop",
	};
	struct reading r = { 0 };
	char wide[512] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &r), -EBADMSG);
	for (int i = 0; i < 40; i++)
		strcat(wide, "found ");
	strcat(wide, "\n1\n");
	assert_int_equal(parse(wide, &r), -EBADMSG);
	reading_reset(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpus_are_summed_past_32_bits),
		cmocka_unit_test(test_per_cpu),
		cmocka_unit_test(test_other_attributes),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_malformed_messages_are_refused),
		cmocka_unit_test(test_warning),
		cmocka_unit_test(test_stat_file),
		cmocka_unit_test(test_malformed_stat_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
