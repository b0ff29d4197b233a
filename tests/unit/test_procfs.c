// SPDX-License-Identifier: GPL-2.0-or-later
/* The forms of the kernel's counter files, and what counters_read() makes of them for a probe. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libcommon/counters.h"
#include "libcommon/netns.h"
#include "libcommon/out.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

/* ---- the forms ---- */

/* What a walk handed out, as "key=value " after each other. */
static int note_pair(const struct pair *pair, void *arg)
{
	struct buf *b = arg;

	buf_add(b, pair->key, pair->key_len);
	buf_printf(b, "=%lld ", (long long)pair->value);
	return 0;
}

static void expect(pairs_fn form, const char *text, const char *group, int err, const char *pairs)
{
	struct buf b = { 0 };

	buf_str(&b, "");
	assert_int_equal(form(text, group, note_pair, &b), err);
	if (pairs)
		assert_string_equal(b.data, pairs);
	buf_free(&b);
}

static void lines_give_the_group_that_was_asked_for(void **state)
{
	const char *text =
		"Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn\nTcp: 200 -1\nTcpExt: A\nTcpExt: 7\n";

	(void)state;
	expect(pairs_lines, text, "Ip", 0, "A=1 B=2 ");
	expect(pairs_lines, text, "Tcp", 0, "RtoMin=200 MaxConn=-1 ");
	expect(pairs_lines, text, "TcpExt", 0, "A=7 ");
	expect(pairs_lines, text, "Udp", -ENOENT, "");
	expect(pairs_lines, text, "TcpEx", -ENOENT, "");
}

static void lines_of_a_group_can_come_again(void **state)
{
	const char *text = "IcmpMsg: InType0 InType3\nIcmpMsg: 1 2\nIcmpMsg: OutType8\nIcmpMsg: 3\n";

	(void)state;
	expect(pairs_lines, text, "IcmpMsg", 0, "InType0=1 InType3=2 OutType8=3 ");
	expect(pairs_lines, "IcmpMsg:\nIcmpMsg:\n", "IcmpMsg", 0, "");
}

static void numbers_are_64_bits_wide(void **state)
{
	(void)state;
	expect(pairs_lines, "A: k\nA: 18446744073709551615\n", "A", 0, "k=-1 ");
	expect(pairs_lines, "A: k\nA: 18446744073709551616\n", "A", -EBADMSG, "");
	expect(pairs_lines, "A: k\nA: 99999999999999999999\n", "A", -EBADMSG, "");
	expect(pairs_lines, "A: k\nA: -9223372036854775807\n", "A", 0, "k=-9223372036854775807 ");
	expect(pairs_lines, "A: k\nA: -9223372036854775809\n", "A", -EBADMSG, "");
}

static void malformed_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"A",
		"A:",
		"A: k",
		"A: k\n",
		"A: k\nA: 1",
		"A: k\nA: 1 2\n",
		"A: k l\nA: 1\n",
		"A: k\nB: 1\n",
		"A: k\nA: x\n",
		"A: k\nA: 1x\n",
		"A: k\nA: -\n",
		"A: k\nA: +1\n",
		"A: k\nA: 0x1\n",
		"A k\nA 1\n",
		": k\n: 1\n",
		"A: k\nA: 1\nB: l\n",
		"A: k\nA: 1\nB: l\nB 2\n",
		"A: k\n\nA: 1\n",
		"A: k\nA:\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect(pairs_lines, bad[i], "A", -EBADMSG, NULL);
}

static void a_file_cut_off_anywhere_is_refused(void **state)
{
	const char *text = "A: key other\nA: 12 345\n";

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		auto_free char *cut = strndup(text, len);

		expect(pairs_lines, cut, "A", -EBADMSG, NULL);
	}
}

static void inline_pairs(void **state)
{
	const char *text = "sockets: used 16\nTCP: inuse 1 orphan 0 tw 12\nTCP6: inuse 3\n";

	(void)state;
	expect(pairs_inline, text, "TCP", 0, "inuse=1 orphan=0 tw=12 ");
	expect(pairs_inline, text, "TCP6", 0, "inuse=3 ");
	expect(pairs_inline, text, "sockets", 0, "used=16 ");
	expect(pairs_inline, text, "UDP", -ENOENT, "");
	expect(pairs_inline, "", "TCP", -EBADMSG, "");
	expect(pairs_inline, "TCP: inuse", "TCP", -EBADMSG, "");
	expect(pairs_inline, "TCP: inuse\n", "TCP", -EBADMSG, "");
	expect(pairs_inline, "TCP: inuse 1 tw\n", "TCP", -EBADMSG, NULL);
	expect(pairs_inline, "TCP: inuse x\n", "TCP", -EBADMSG, "");
	expect(pairs_inline, "TCP inuse 1\n", "TCP", -EBADMSG, "");
	expect(pairs_inline, "TCP: inuse 1\nUDP", "TCP", -EBADMSG, NULL);
}

static void single_pairs(void **state)
{
	const char *text =
		"Ip6InReceives                   \t7\nIp6InOctets \t8\nUdp6NoPorts\t9\nUdpLite6NoPorts\t1\n";

	(void)state;
	expect(pairs_single, text, "Ip6", 0, "InReceives=7 InOctets=8 ");
	expect(pairs_single, text, "Udp6", 0, "NoPorts=9 ");
	expect(pairs_single, text, "UdpLite6", 0, "NoPorts=1 ");
	expect(pairs_single, text, "Icmp6", -ENOENT, "");
	expect(pairs_single, "Ip6\t1\n", "Ip6", -ENOENT, "");
	expect(pairs_single, "", "Ip6", -EBADMSG, "");
	expect(pairs_single, "Ip6X\t1", "Ip6", -EBADMSG, "");
	expect(pairs_single, "Ip6X\n", "Ip6", -EBADMSG, "");
	expect(pairs_single, "Ip6X 1 2\n", "Ip6", -EBADMSG, "");
	expect(pairs_single, "\t1\n", "Ip6", -EBADMSG, "");
}

static void stat_lines_are_added_up_but_for_the_entries(void **state)
{
	const char *text =
		"entries  allocs   table_fulls\n0000000a 00000001 000000ff\n0000000a 00000002   00000001\n";

	(void)state;
	expect(pairs_stat, text, "", 0, "entries=10 allocs=3 tablefulls=256 ");
	expect(pairs_stat, "", "", -EBADMSG, "");
	expect(pairs_stat, "\n0\n", "", -EBADMSG, "");
	expect(pairs_stat, "entries\n", "", -EBADMSG, "");
	expect(pairs_stat, "entries allocs\n1\n", "", -EBADMSG, "");
	expect(pairs_stat, "entries\n1 2\n", "", -EBADMSG, "");
	expect(pairs_stat, "entries\n1", "", -EBADMSG, "");
	expect(pairs_stat, "entries\nx\n", "", -EBADMSG, "");
	expect(pairs_stat, "_ entries\n1 2\n", "", -EBADMSG, "");
}

static void hex_lines(void **state)
{
	const char *text = "0000000a ffffffff\n1  2 3 \nffffffffffffffff\n", *p = text;
	uint64_t v[3];

	(void)state;
	assert_int_equal(hex_line(&p, v, 3), 2);
	assert_true(v[0] == 10 && v[1] == UINT32_MAX);
	assert_int_equal(hex_line(&p, v, 3), 3);
	assert_int_equal(hex_line(&p, v, 3), 1);
	assert_true(v[0] == UINT64_MAX);
	assert_int_equal(hex_line(&p, v, 3), 0);
	for (size_t i = 0; i < 6; i++) {
		static const char *const bad[] = { "1 2 3 4\n", "1 2",   "1 g\n",
						   "\n",        "0x1\n", "10000000000000000\n" };

		p = bad[i];
		assert_int_equal(hex_line(&p, v, 3), -EBADMSG);
		assert_ptr_equal(p, bad[i]);
	}
}

/* ---- counters_read(): a probe of its own, a /proc of its own, and an output that notes what it gets ---- */

static const struct metric metrics[] = {
	{ "b", "One:B", COUNTER, "events", "b", SCOPE_NETNS, M_DROP },
	{ "a", "One:A", COUNTER, "events", "a", SCOPE_NETNS, 0 },
	{ "host", "One:Host", GAUGE, "pages", "host", SCOPE_HOST, 0 },
	{ "c", "One:C", COUNTER, "events", "c", SCOPE_NETNS, M_ALL },
	{ "d", "One:D", COUNTER, "events", "d", SCOPE_NETNS, M_ALL | M_DROP },
	{ "preone", "Two:One", COUNTER, "events", "preone", SCOPE_NETNS, M_ALL },
	{}
};
static const struct probe probe = { .name = "x", .metrics = metrics };
static struct buf noted;

const struct probe *out_probe(const struct out *o)
{
	(void)o;
	return &probe;
}

void out_metric(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		const struct label *labels)
{
	(void)o, (void)t;
	buf_printf(&noted, "%s%s%s%s=%llu ", m->name, labels ? "{" : "",
		   labels ? labels->value : "", labels ? "}" : "", (unsigned long long)value);
}

const struct metric *out_extra(struct out *o, const char *key, size_t key_len,
			       const struct metric *like)
{
	static struct metric extra;
	static char name[64];

	(void)o;
	snprintf(name, sizeof(name), "+%.*s", (int)key_len, key);
	extra = *like;
	extra.name = name;
	return &extra;
}

int netns_call(const struct target *t, int (*fn)(void *arg), void *arg)
{
	(void)t, (void)fn, (void)arg;
	return -EPERM;
}

static char root[] = "/tmp/skoop-procfs.XXXXXX";

static void put(const char *file, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/7/net/%s", root, file);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_root(void **state)
{
	char path[128];

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/7", root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/7/net", root);
	mkdir(path, 0755);
	put("dev", "");
	put("one", "Zero: A\nZero: 9\nOne: A New B C Host D\nOne: 1 2 3 4 5 6\nTwo: One\nTwo: 7\n");
	put("six", "One6A\t11\nOne6New_er\t12\nOne6C\t13\n");
	put("bad", "One: A B\nOne: 1 x\n");
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static const struct counter_group one[] = { { "one", pairs_lines, "One" },
					    { "one", pairs_lines, "Two", "pre", .more = true },
					    { "six", pairs_single, "One6", NULL, FAMILY_IPV6,
					      .more = true },
					    { "missing", pairs_lines, "Two", .more = true },
					    {} };

static void groups(const struct counter_group *g, enum metric_scope scope, enum counter_show show,
		   int err, const char *values)
{
	const struct roots roots = { .procfs = root };
	const pid_t pids[] = { 6, 7 };
	struct target t = { .namespace = "n", .pod = "p", .pids = pids, .npids = 2, .roots = &roots };

	buf_str(&noted, "");
	assert_int_equal(counters_read(&t, g, scope, show, NULL), err);
	assert_string_equal(noted.data, values);
	buf_free(&noted);
	proc_cache_free(t.cache);
}

static void rows_come_in_the_tables_order(void **state)
{
	(void)state;
	groups(one, SCOPE_NETNS, SHOW_CONTRACT, 0, "b=3 a=1 ");
	groups(one, SCOPE_HOST, SHOW_CONTRACT, 0, "host=5 ");
}

static void all_shows_what_the_table_does_not_know(void **state)
{
	(void)state;
	groups(one, SCOPE_NETNS, SHOW_ALL, 0,
	       "+New=2 +New_er{ipv6}=12 b=3 a=1 a{ipv6}=11 c=4 c{ipv6}=13 d=6 preone=7 ");
	groups(one, SCOPE_HOST, SHOW_ALL, 0, "host=5 ");
}

static void drops_shows_those_rows_alone(void **state)
{
	(void)state;
	groups(one, SCOPE_NETNS, SHOW_DROPS, 0, "b=3 d=6 ");
}

static void the_same_row_of_two_groups_is_added_up(void **state)
{
	const struct counter_group twice[] = { { "one", pairs_lines, "One" },
					       { "one", pairs_lines, "Zero" },
					       {} };

	(void)state;
	groups(twice, SCOPE_NETNS, SHOW_CONTRACT, 0, "b=3 a=10 ");
}

static void missing_is_absent_and_malformed_gives_nothing(void **state)
{
	const struct counter_group no_file[] = { { "missing", pairs_lines, "One" }, {} };
	const struct counter_group no_group[] = { { "one", pairs_lines, "Three" }, {} };
	const struct counter_group bad[] = { { "one", pairs_lines, "One" },
					     { "bad", pairs_lines, "One" },
					     {} };

	(void)state;
	groups(no_file, SCOPE_NETNS, SHOW_CONTRACT, -ENOENT, "");
	groups(no_group, SCOPE_NETNS, SHOW_CONTRACT, -ENOENT, "");
	groups(bad, SCOPE_NETNS, SHOW_CONTRACT, -EBADMSG, "");
}

static void a_file_is_read_once_a_round(void **state)
{
	const struct roots roots = { .procfs = root };
	const pid_t pid = 7;
	struct target t = { .namespace = "n", .pod = "p", .pids = &pid, .npids = 1, .roots = &roots };
	const char *first, *second;

	(void)state;
	put("twice", "before");
	assert_int_equal(proc_net(&t, "twice", &first), 0);
	put("twice", "after");
	assert_int_equal(proc_net(&t, "twice", &second), 0);
	assert_ptr_equal(first, second);
	assert_string_equal(first, "before");
	assert_int_equal(proc_net(&t, "none", &first), -ENOENT);
	proc_cache_free(t.cache);
}

static void a_vanished_process_is_no_answer(void **state)
{
	const struct roots roots = { .procfs = root };
	const pid_t pid = 5;
	struct target t = { .namespace = "n", .pod = "p", .pids = &pid, .npids = 1, .roots = &roots };
	const char *text;

	(void)state;
	assert_int_equal(proc_net(&t, "one", &text), -ESRCH);
	proc_cache_free(t.cache);
	t = (struct target){
		.namespace = "n", .pod = "p", .pids = &pid, .npids = 1, .roots = &roots, .mount = "/x"
	};
	assert_int_equal(proc_net(&t, "one", &text), -EPERM);
	proc_cache_free(t.cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_give_the_group_that_was_asked_for),
		cmocka_unit_test(lines_of_a_group_can_come_again),
		cmocka_unit_test(numbers_are_64_bits_wide),
		cmocka_unit_test(malformed_lines_are_refused),
		cmocka_unit_test(a_file_cut_off_anywhere_is_refused),
		cmocka_unit_test(inline_pairs),
		cmocka_unit_test(single_pairs),
		cmocka_unit_test(stat_lines_are_added_up_but_for_the_entries),
		cmocka_unit_test(hex_lines),
		cmocka_unit_test(rows_come_in_the_tables_order),
		cmocka_unit_test(all_shows_what_the_table_does_not_know),
		cmocka_unit_test(drops_shows_those_rows_alone),
		cmocka_unit_test(the_same_row_of_two_groups_is_added_up),
		cmocka_unit_test(missing_is_absent_and_malformed_gives_nothing),
		cmocka_unit_test(a_file_is_read_once_a_round),
		cmocka_unit_test(a_vanished_process_is_no_answer),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
