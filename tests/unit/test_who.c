// SPDX-License-Identifier: GPL-2.0-or-later
/* Who it was: what the probes that trace tell, counted within bounds, put together by peers, and given to findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/skoop/record.c"
#include "tools/skoop/store.c"
#include "tools/skoop/who.c"
#include "tools/skoop/who_rules.c"
#include "tools/skoop/who_list.c"
#include "tools/skoop/who_tell.c"

#include "samples.h"

/* A finding of the namespace whose samples have this text. */
struct scene {
	struct store *store;
	struct row row;
	struct finding finding;
	struct who *who;
};

static void begin(struct scene *s, const char *id, const char *samples)
{
	struct sender from = { .store = store_open(NULL, NULL) };

	*s = (struct scene){ .store = from.store, .row = { .id = id }, .who = who_open() };
	s->finding.row = &s->row;
	samples_feed(&from, samples, 10, -1, 3);
	s->finding.view = (struct view){ s->store, store_subject(s->store, 0), NULL };
	assert_non_null(s->finding.view.subject);
	assert_non_null(s->who);
}

static void end(struct scene *s)
{
	who_close(s->who);
	store_close(s->store);
}

static uint64_t netns(const struct scene *s)
{
	return s->finding.view.subject->netns;
}

static int feed(struct scene *s, enum who_kind kind, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return who_feed(s->who, kind, line, strlen(line));
}

static void resend(struct scene *s, uint64_t ns, const char *type, int sport, int dport, int segs,
		   int err)
{
	assert_int_equal(
		feed(s, WHO_RESENDS,
		     "{\"kind\":\"event\",\"event\":\"TCPRetrans\",\"labels\":{\"target_pod\":\"p\"},\"netns\":%llu,"
		     "\"protocol\":\"TCP\",\"saddr\":\"10.9.0.1\",\"sport\":%d,\"daddr\":\"10.9.0.2\",\"dport\":%d,"
		     "\"state\":\"ESTABLISHED\",\"type\":\"%s\",\"segs\":%d,\"err\":%d}",
		     (unsigned long long)ns, sport, dport, type, segs, err),
		0);
}

static void drop(struct scene *s, uint64_t ns, const char *reason, const char *location,
		 const char *sport, const char *dport, int n)
{
	assert_int_equal(
		feed(s, WHO_DROPS,
		     "{\"kind\":\"metric\",\"metric\":\"kubeskoop_packetloss_count\",\"type\":\"counter\",\"value\":%d,"
		     "\"labels\":{\"reason\":\"%s\",\"location\":\"%s\",\"protocol\":\"TCP\",\"saddr\":\"10.9.0.1\","
		     "\"sport\":\"%s\",\"daddr\":\"10.9.0.2\",\"dport\":\"%s\",\"device\":\"-\"},\"netns\":%llu}",
		     n, reason, location, sport, dport, (unsigned long long)ns),
		0);
}

static void expect(struct scene *s, uint64_t total, uint64_t others, const char *lines)
{
	struct who_list list;
	struct buf b = { 0 };

	assert_int_equal(who_list(s->who, &s->finding, &list), 0);
	for (size_t i = 0; i < list.n; i++) {
		who_say(&list, &list.v[i], &b);
		buf_str(&b, "\n");
	}
	assert_string_equal(b.data ? b.data : "", lines);
	assert_int_equal(list.total, total);
	assert_int_equal(list.others, others);
	buf_free(&b);
	who_list_free(&list);
}

static void test_one_connection(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	resend(&s, netns(&s), "rto", 43210, 5432, 1, 0);
	resend(&s, netns(&s), "fast", 43210, 5432, 3, 0);
	resend(&s, netns(&s), "fast", 43210, 5432, 2, 0);
	/* Not of this finding: a SYN, what did not leave, and another namespace's. */
	resend(&s, netns(&s), "syn", 1, 2, 7, 0);
	resend(&s, netns(&s), "rto", 43210, 5432, 7, -1);
	resend(&s, netns(&s) + 1, "rto", 43210, 5432, 7, 0);
	expect(&s, 6, 0, "10.9.0.1:43210 -> 10.9.0.2:5432 tcp fast 5, rto 1 (100 % of all)\n");
	end(&s);
}

/* Of many clients' ports only the server's says something, on either side. */
static void test_ports_that_differ_are_left_out(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	for (int i = 0; i < 10; i++)
		resend(&s, netns(&s), "rto", 40000 + i, 443, 1, 0);
	for (int i = 0; i < 5; i++)
		resend(&s, netns(&s), "rto", 80, 50000 + i, 1, 0);
	resend(&s, netns(&s), "rto", 1, 2, 1, 0);
	expect(&s, 16, 0,
	       "10.9.0.1 -> 10.9.0.2:443 tcp rto 10 (62 % of all)\n"
	       "10.9.0.1:80 -> 10.9.0.2 tcp rto 5 (31 % of all)\n"
	       "10.9.0.1:1 -> 10.9.0.2:2 tcp rto 1 (6 % of all)\n");
	end(&s);
}

static void test_three_and_the_others(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	for (int i = 1; i <= 5; i++)
		resend(&s, netns(&s), "rto", i, 100 + i, i, 0);
	expect(&s, 15, 3,
	       "10.9.0.1:5 -> 10.9.0.2:105 tcp rto 5 (33 % of all)\n"
	       "10.9.0.1:4 -> 10.9.0.2:104 tcp rto 4 (27 % of all)\n"
	       "10.9.0.1:3 -> 10.9.0.2:103 tcp rto 3 (20 % of all)\n");
	end(&s);
}

/* More than can be told apart: of the rest only the smaller port stays, which is the server's. */
static void test_many_clients(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	for (int i = 1; i <= 60000; i++)
		resend(&s, netns(&s), "rto", 5000 + i, 443, 1, 0);
	resend(&s, netns(&s), "rto", 80, 60000, 1, 0);
	assert_int_equal(s.who->n, ENTRIES_MAX + 2);
	expect(&s, 60001, 0,
	       "10.9.0.1 -> 10.9.0.2:443 tcp rto 60000 (100 % of all)\n"
	       "10.9.0.1:80 -> 10.9.0.2 tcp rto 1 (0 % of all)\n");
	end(&s);
}

/* What is there goes on counting, what is new has no addresses in the end, and memory does not grow. */
static void test_bounded(void **state)
{
	struct scene s;
	size_t entries;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	for (int i = 0; i < 60000; i++)
		resend(&s, netns(&s), "rto", i, i, 1, 0);
	entries = s.who->n;
	assert_int_equal(entries, 2 * ENTRIES_MAX + 1);
	for (int i = 0; i < 60000; i++)
		resend(&s, netns(&s), "rto", 0, 0, 1, 0);
	for (uint64_t i = 0; i < 2 * ENTRIES_HARD; i++)
		resend(&s, 100000 + i, "rto", (int)i, 1, 1, 0);
	assert_in_range(s.who->n, entries, ENTRIES_HARD);
	assert_in_range(s.who->texts.n, 1, 100);
	for (size_t i = 0; i < s.who->n; i++)
		if (s.who->v[i]->sport == 0 && s.who->v[i]->netns == netns(&s))
			assert_int_equal(s.who->v[i]->count, 60001);
	end(&s);
}

static void test_drops_of_what_was_sent_again(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "connect-unanswered", "tcp_insegs 1");
	resend(&s, netns(&s), "syn", 40000, 5000, 1, 0);
	resend(&s, netns(&s), "syn", 40001, 5000, 1, 0);
	drop(&s, netns(&s), "NETFILTER_DROP", "nft_do_chain+0x12", "40000", "5000", 2);
	drop(&s, netns(&s), "NETFILTER_DROP", "nft_do_chain+0x34", "40001", "5000", 2);
	drop(&s, netns(&s), "NO_SOCKET", "tcp_v4_rcv+0x1", "40001", "5001", 9);
	expect(&s, 2, 0,
	       "10.9.0.1 -> 10.9.0.2:5000 tcp syn 2 (100 % of all); 4 dropped by ns/pod: NETFILTER_DROP at nft_do_chain\n");
	/* Of an open connection only where data was sent again. */
	assert_int_equal(who_live_drops(s.who, netns(&s)), 0);
	resend(&s, 5, "fast", 40001, 5000, 1, 0);
	assert_int_equal(who_live_drops(s.who, netns(&s)), 2);
	end(&s);
}

/* Kernels without reasons have places, the parts the compiler moved included. */
static void test_places_stand_for_reasons(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "filter-drop", "tcp_insegs 1");
	drop(&s, netns(&s), "-", "nf_hook_slow.cold+0x12", "1", "2", 2);
	drop(&s, netns(&s), "-", "tcp_v4_rcv+0x12", "1", "2", 2);
	expect(&s, 2, 0, "10.9.0.1:1 -> 10.9.0.2:2 tcp dropped at nf_hook_slow 2 (100 % of all)\n");
	end(&s);
}

static void test_resets(void **state)
{
	static const char event[] =
		"{\"kind\":\"event\",\"event\":\"%s\",\"labels\":{\"target_pod\":\"p\"},\"netns\":%llu,\"protocol\":\"TCP\","
		"\"saddr\":\"fd00::1\",\"sport\":40000,\"daddr\":\"fd00::2\",\"dport\":%d,\"state\":\"%s\",\"reason\":null,"
		"\"stack\":[\"a\",\"b\"]}";
	struct scene s;

	(void)state;
	begin(&s, "connect-refused", "tcp_insegs 1");
	for (int i = 0; i < 2; i++)
		assert_int_equal(feed(&s, WHO_RESETS, event, "TCPRESET_RECEIVE",
				      (unsigned long long)netns(&s), 81, "SYN_SENT"),
				 0);
	feed(&s, WHO_RESETS, event, "TCPRESET_RECEIVE", (unsigned long long)netns(&s), 82,
	     "ESTABLISHED");
	feed(&s, WHO_RESETS, event, "TCPRESET_ACTIVE", (unsigned long long)netns(&s), 83,
	     "SYN_SENT");
	expect(&s, 2, 0,
	       "[fd00::1]:40000 -> [fd00::2]:81 tcp receive in SYN_SENT 2 (100 % of all)\n");
	end(&s);
}

/* The SYNs of others belong to the namespace that listens where they go to. */
static void test_syns_to_a_listener(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, "accept-queue-overflow", "tcpsummary_acceptqueue{laddr=0.0.0.0,lport=80} 1");
	resend(&s, netns(&s) + 1, "syn", 40000, 80, 1, 0);
	resend(&s, netns(&s) + 1, "syn", 40000, 81, 1, 0);
	resend(&s, netns(&s), "synack", 80, 50000, 1, 0);
	expect(&s, 2, 0,
	       "10.9.0.1:40000 -> 10.9.0.2:80 tcp syn 1 (50 % of all)\n"
	       "10.9.0.1:80 -> 10.9.0.2:50000 tcp synack 1 (50 % of all)\n");
	end(&s);
}

static void test_what_is_no_record(void **state)
{
	static const char *const bad[] = {
		"", "x", "{", "[1]", "{\"kind\":\"event\"", "{\"labels\":{}", "{} {}"
	};
	static const char *const other[] = { "{}", "{\"kind\":\"lost\",\"count\":7}",
					     "{\"kind\":\"metric\",\"metric\":\"m\"}",
					     "{\"kind\":7,\"labels\":7,\"saddr\":{\"a\":[1]}}" };
	struct scene s;

	(void)state;
	begin(&s, "retransmit-ratio", "tcp_insegs 1");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(who_feed(s.who, WHO_DROPS, bad[i], strlen(bad[i])), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		assert_int_equal(who_feed(s.who, WHO_DROPS, other[i], strlen(other[i])), 0);
	assert_int_equal(s.who->n, 0);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_connection),
		cmocka_unit_test(test_ports_that_differ_are_left_out),
		cmocka_unit_test(test_three_and_the_others),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_drops_of_what_was_sent_again),
		cmocka_unit_test(test_places_stand_for_reasons),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_syns_to_a_listener),
		cmocka_unit_test(test_what_is_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
