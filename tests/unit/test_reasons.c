// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables of drop and reset reasons, as a probe that has them tells and explains them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "libcommon/describe.h"
#include "tools/drop_reasons.h"
#include "tools/reset_reasons.h"

static const struct probe drops = {
	.name = "drops",
	.source = "eBPF",
	.overhead = "Low",
	.reasons = drop_reasons,
};
static const struct probe resets = {
	.name = "resets",
	.source = "eBPF",
	.overhead = "Low",
	.reasons = reset_reasons,
};

static const struct probe *const both[] = { &drops, &resets };

/* What can be read at night: no end of a sentence, no blank at an end or twice, ASCII, no marks of a list. */
static void check_text(const char *name, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	if (!len || isspace((unsigned char)text[0]) || isspace((unsigned char)text[len - 1]) ||
	    text[len - 1] == '.' || strstr(text, "  ") || strstr(text, "section"))
		fail_msg("%s: '%s'", name, text);
	for (; *text; text++)
		if (!isascii((unsigned char)*text) || !isprint((unsigned char)*text))
			fail_msg("%s: a character that is not plain", name);
}

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		for (const struct reason *r = both[i]->reasons; r->name; r++) {
			const struct advice *a = &r->advice;

			if (!a->means || strlen(a->means) < 10)
				fail_msg("%s: says not what it means", r->name);
			check_text(r->name, r->kernels);
			check_text(r->name, a->means);
			check_text(r->name, a->normal);
			check_text(r->name, a->causes);
			check_text(r->name, a->confirm);
			check_text(r->name, a->remedy);
		}
	}
}

/* Who is not told that it is harmless wants to know why it is and how to make sure; a marker has nothing to add. */
static void test_advice(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		for (const struct reason *r = both[i]->reasons; r->name; r++) {
			const char *normal = r->advice.normal ? r->advice.normal : "";

			if (strstr(normal, "harmless") || !strncmp(normal, "never seen as", 13))
				continue;
			if (!r->advice.causes || !r->advice.confirm)
				fail_msg("%s: nothing to do at night", r->name);
		}
	}
}

static void test_names_are_told_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct reason *r = both[i]->reasons; r->name; r++)
			for (const struct reason *q = r + 1; q->name; q++)
				if (!strcasecmp(r->name, q->name))
					fail_msg("%s twice", r->name);
}

/* Every row is found by its own name. */
static void test_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		for (const struct reason *r = both[i]->reasons; r->name; r++) {
			struct buf b = { 0 };
			char head[128];

			snprintf(head, sizeof(head), "%s: a reason of skoop-%s\n", r->name,
				 both[i]->name);
			assert_true(explain(both[i], r->name, &b));
			assert_non_null(strstr(b.data, head));
			buf_free(&b);
		}
	}
}

static void test_benign(void **state)
{
	static const char *const harmless[] = { "SKB_CONSUMED",  "QUEUE_PURGE",
						"SOCKET_CLOSE",  "OTHERHOST",
						"TCP_OLD_DATA",  "TCP_RESET",
						"RX_DROP_U_DUP", "sk_stream_kill_queues" };
	static const char *const loss[] = { "NO_SOCKET", "NETFILTER_DROP", "QDISC_DROP",
					    "SOCKET_RCVBUFF", "nf_hook_slow" };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
		b.len = 0;
		assert_true(explain(&drops, harmless[i], &b));
		assert_non_null(strstr(b.data, "  normal   usually harmless: "));
	}
	for (size_t i = 0; i < ARRAY_SIZE(loss); i++) {
		b.len = 0;
		assert_true(explain(&drops, loss[i], &b));
		assert_null(strstr(b.data, "usually harmless"));
	}
	buf_free(&b);
}

static void test_one_in_full(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(explain(&drops, "skb_drop_reason_tcp_listen_overflow", &b));
	assert_string_equal(
		b.data,
		"TCP_LISTEN_OVERFLOW: a reason of skoop-drops\n"
		"  means    the accept queue was full when the last ACK of the handshake came; a\n"
		"           refused SYN does not show here\n"
		"  normal   0\n"
		"  causes   program does not accept() fast enough (blocked, throttled, out of\n"
		"           descriptors); listen() backlog or somaxconn too small\n"
		"  confirm  skoop-tcpsummary --listen; ss -ltn: Recv-Q above Send-Q;\n"
		"           skoop-tcpext: listenoverflows\n"
		"  remedy   the accept loop; larger listen() backlog and net.core.somaxconn, then\n"
		"           restart the program\n"
		"  kernels  6.18 and later\n");
	buf_free(&b);
}

/* For the tests of the tables against lists of kernels: --describe of both. */
static int tell(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct buf b = { 0 };

		describe(both[i], &b);
		fwrite(b.data, 1, b.len, stdout);
		buf_free(&b);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_names_are_told_once),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_benign),
		cmocka_unit_test(test_one_in_full),
	};

	if (argc > 1 && !strcmp(argv[1], "--describe"))
		return tell();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
