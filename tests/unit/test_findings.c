// SPDX-License-Identifier: GPL-2.0-or-later
/* The rows of findings.def, each severity of each; what folds under what; and the words. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/skoop/record.c"
#include "tools/skoop/store.c"
#include "tools/skoop/findings.c"
#include "tools/skoop/findings_fold.c"
#include "tools/skoop/findings_text.c"
#include "tools/skoop/findings_explain.c"
#include "tools/skoop/who.c"
#include "tools/skoop/who_rules.c"

#include "samples.h"
#include "finding_cases.h"

static struct store *feed(const char *samples, double seconds, int without, int rounds)
{
	struct sender from = { .store = store_open(NULL, NULL) };

	assert_non_null(from.store);
	samples_feed(&from, samples, seconds ? seconds : 10, without, rounds);
	return from.store;
}

/* The severity with which a row fires on these samples; its highest where several subjects have it.
 */
static enum severity judged(const struct finding_case *c, int without, int rounds)
{
	struct store *s = feed(c->samples, c->seconds, without, rounds);
	enum severity severity = NOTHING;
	struct findings f;

	assert_int_equal(findings_judge(s, &f), 0);
	for (size_t i = 0; i < f.n; i++)
		if (f.v[i].row->number == c->number && f.v[i].severity > severity)
			severity = f.v[i].severity;
	findings_free(&f);
	store_close(s);
	return severity;
}

static void test_every_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(finding_cases); i++) {
		const struct finding_case *c = &finding_cases[i];
		enum severity severity = judged(c, -1, 3);

		if (severity != c->severity)
			fail_msg("row %u: severity %d, not %d: %s", c->number, severity,
				 c->severity, c->samples);
	}
}

/* What is not there never makes it worse, and one sample makes nothing. */
static void test_absent_is_silent(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(finding_cases); i++) {
		const struct finding_case *c = &finding_cases[i];
		char copy[4096], *save, *part;
		int n = 0;

		snprintf(copy, sizeof(copy), "%s", c->samples);
		for (part = strtok_r(copy, ";", &save); part;
		     part = strtok_r(NULL, ";", &save), n++) {
			struct sample_text s;

			sample_parse(part, &s);
			if (!s.optional && judged(c, n, 3) > c->severity)
				fail_msg("row %u fires without %s: %s", c->number, s.metric,
					 c->samples);
		}
		if (judged(c, -1, 1) || judged(c, -1, 2))
			fail_msg("row %u fires on one sample: %s", c->number, c->samples);
	}
}

/* A row without its cases is not tested: each severity it has, and something just below. */
static void test_every_row_has_cases(void **state)
{
	const struct row *row;

	(void)state;
	for (size_t i = 0; (row = finding_row(i)); i++) {
		bool has[CRITICAL + 1] = { false };

		for (size_t k = 0; k < ARRAY_SIZE(finding_cases); k++)
			if (finding_cases[k].number == row->number)
				has[finding_cases[k].severity] = true;
		for (int s = NOTHING; s <= CRITICAL; s++)
			if (!has[s] && (s == NOTHING || strcmp(row->when[s], "NEVER")))
				fail_msg("row %u (%s) has no case of severity %d", row->number,
					 row->id, s);
	}
}

static void test_rows_are_in_order(void **state)
{
	const struct row *row;
	unsigned int last = 0;

	(void)state;
	for (size_t i = 0; (row = finding_row(i)); i++) {
		assert_true(row->number > last);
		last = row->number;
		assert_true(*row->says && *row->cause && *row->next && *row->title);
	}
}

/* ---- causes and consequences ---- */

static const struct row *row_by_id(const char *id)
{
	const struct row *row;

	for (size_t i = 0; (row = finding_row(i)) && strcmp(row->id, id); i++)
		;
	return row;
}

/* Follows the lists; a depth beyond the number of rows is a circle. */
static void follow(const char *id, unsigned int depth)
{
	const struct row *row;
	char copy[512], *save, *part;

	assert_true(depth < ARRAY_SIZE(rows));
	for (size_t i = 0; (row = finding_row(i)); i++) {
		if (strcmp(row->id, id))
			continue;
		snprintf(copy, sizeof(copy), "%s", row->folds);
		for (part = strtok_r(copy, " ", &save); part; part = strtok_r(NULL, " ", &save)) {
			char *mark = strchr(part, '@');

			assert_true(!mark || !strcmp(mark, "@node") || !strcmp(mark, "@veth"));
			if (mark)
				*mark = '\0';
			if (!row_by_id(part))
				fail_msg("%s folds %s, which there is not", id, part);
			if (strcmp(part, id)) /* a second row of the same id has another scope */
				follow(part, depth + 1);
		}
	}
}

static void test_folds_lead_somewhere(void **state)
{
	const struct row *row;

	(void)state;
	for (size_t i = 0; (row = finding_row(i)); i++)
		follow(row->id, 0);
}

static const struct finding *found(const struct findings *f, const char *id, const char *pod)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].row->id, id) && !strcmp(f->v[i].view.subject->pod, pod))
			return &f->v[i];
	fail_msg("no %s of %s", id, pod);
	return NULL;
}

/* What the consequence is printed under: "id/pod", or "" where it stands by itself. */
static void assert_below(const char *samples, const char *id, const char *pod, const char *cause)
{
	struct store *s = feed(samples, 10, -1, 3);
	const struct finding *one;
	struct findings f;
	char text[128] = "";

	assert_int_equal(findings_judge(s, &f), 0);
	one = found(&f, id, pod);
	if (one->cause)
		snprintf(text, sizeof(text), "%s/%s", one->cause->row->id,
			 one->cause->view.subject->pod);
	assert_string_equal(text, cause);
	findings_free(&f);
	store_close(s);
}

#define UNANSWERED(pod)                                                                            \
	pod ":tcpext_tcpsynretrans 0 9; " pod ":tcp_retranssegs 0 9; " pod                         \
	    ":tcp_activeopens 0 3; " pod ":tcp_passiveopens 0"
#define OVERFLOW(pod) pod ":tcpext_listenoverflows 0 9"

static void test_folding(void **state)
{
	(void)state;
	/* In the same namespace, not in another one. */
	assert_below("a:conntrack_earlydrop 0 1;" UNANSWERED("a"), "connect-unanswered", "a",
		     "conntrack-full/a");
	assert_below("a:conntrack_earlydrop 0 1;" UNANSWERED("b"), "connect-unanswered", "b", "");
	/* The machine's causes everywhere, and its consequences of anybody's. */
	assert_below("!ip_neightablefulls 0 1;" UNANSWERED("b"), "connect-unanswered", "b",
		     "neigh-table-full/hostNetwork");
	assert_below("a:netdev_rxmissederrors" ETH0 " 0 99; a:netdev_rxpackets" ETH0 " 0 99;"
		     "!softnet_processed" CPU0 " 0 9; !softnet_timesqueeze" CPU0 " 0 500",
		     "time-squeeze", "hostNetwork", "nic-missed/a");
	/* A chain: each hangs on its own cause. */
	assert_below("conntrack_earlydrop 0 1;" SILENT(9, 9, "100", 100) "; tcp_activeopens 0",
		     "path-silent", "pod", "");
	/* Only the device of the default route explains the rest. */
	assert_below("netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 1;"
		     "netdev_rxpackets" ETH0 " 1; netdev_rxpackets" ETH1 " 1; ip_outnoroutes 0 20",
		     "no-route-out", "pod", "link-flap/pod");
	assert_below("netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0;"
		     "netdev_rxpackets" ETH0 " 1; netdev_rxpackets" ETH1 " 1; ip_outnoroutes 0 20",
		     "no-route-out", "pod", "");
}

#define LISTENER(pod, addr, port) pod ":tcpsummary_acceptqueue{laddr=" addr ",lport=" port "} 1"
#define CONNECTS(pod, laddr, raddr, rport)                                                         \
	pod ":tcpsummary_connections{laddr=" laddr ",raddr=" raddr ",rport=" rport "} 1"

static void test_folding_on_the_node(void **state)
{
	(void)state;
	/* Nothing known about the client's connections: the same node is enough. */
	assert_below(OVERFLOW("s") ";" UNANSWERED("c"), "connect-unanswered", "c",
		     "accept-queue-overflow/s");
	/* Known, and they lead to a listener there, by port and address or to any address. */
	assert_below(OVERFLOW("s") ";" UNANSWERED("c") ";" CONNECTS(
			     "c", "10.0.0.1", "10.0.0.2", "80") ";" LISTENER("s", "0.0.0.0", "80"),
		     "connect-unanswered", "c", "accept-queue-overflow/s");
	assert_below(OVERFLOW("s") ";" UNANSWERED("c") ";" CONNECTS(
			     "c", "10.0.0.1", "10.0.0.2", "80") ";" LISTENER("s", "10.0.0.2", "80"),
		     "connect-unanswered", "c", "accept-queue-overflow/s");
	/* They lead elsewhere. */
	assert_below(OVERFLOW("s") ";" UNANSWERED("c") ";" CONNECTS(
			     "c", "10.0.0.1", "10.0.0.2", "80") ";" LISTENER("s", "0.0.0.0", "443"),
		     "connect-unanswered", "c", "");
	assert_below(OVERFLOW("s") ";" UNANSWERED("c") ";" CONNECTS(
			     "c", "10.0.0.1", "10.0.0.2", "80") ";" LISTENER("s", "10.0.0.3", "80"),
		     "connect-unanswered", "c", "");
	/* Two ends of one connection: the sender waits for the reader. */
#define READS(pod) pod ":tcpsummary_worstrxqueue" SOCKET " 70000; "
#define WAITS(pod) pod ":tcpext_tcpwinprobe 0 5; " pod ":tcpsummary_tcptxqueue 70000; "
	assert_below(READS("r") WAITS("w")
			     CONNECTS("w", "10.0.0.1", "10.0.0.2",
				      "5001") ";" CONNECTS("r", "10.0.0.2", "10.0.0.1", "41000"),
		     "peer-not-reading", "w", "reader-slow/r");
	assert_below(READS("r") WAITS("w")
			     CONNECTS("w", "10.0.0.1", "10.0.0.2",
				      "5001") ";" CONNECTS("r", "10.0.0.2", "10.0.0.9", "41000"),
		     "peer-not-reading", "w", "");
	/* Two ends of one veth count alike. */
#define LOSES(n)                                                                                   \
	"a:netdev_txdropped" ETH0 " 0 " n "; a:netdev_txpackets" ETH0                              \
	" 0 1; a:netdev_rxpackets" ETH0 " 1; "
#define LACKS(n)                                                                                   \
	"b:netdev_rxdropped" ETH0 " 0 " n "; b:netdev_rxpackets" ETH0 " 1; !softnet_dropped" CPU0  \
	" 0"
	assert_below(LOSES("100") LACKS("101"), "unwanted-frames", "b", "dev-tx-drop/a");
	assert_below(LOSES("100") LACKS("300"), "unwanted-frames", "b", "");
}

static void test_cause_takes_the_highest_severity(void **state)
{
	struct store *s = feed(
		"tcpext_listenoverflows 0 1; tcpext_listendrops 0 1; tcpext_tcpsynretrans 0 20;"
		"tcp_retranssegs 0 20; tcp_activeopens 0 20; tcp_passiveopens 0; " STATE(
			"SYN_SENT") " 20",
		10, -1, 3);
	struct findings f;
	const struct finding *cause, *below;

	(void)state;
	assert_int_equal(findings_judge(s, &f), 0);
	cause = found(&f, "accept-queue-overflow", "pod");
	below = found(&f, "connect-unanswered", "pod");
	assert_ptr_equal(below->cause, cause);
	assert_int_equal(below->severity, CRITICAL);
	assert_int_equal(cause->severity, WARNING);
	assert_int_equal(cause->shown, CRITICAL);
	findings_free(&f);
	store_close(s);
}

/* A shaper counts what its child drops; the child is the one to name, once. */
static void test_qdisc_that_drops(void **state)
{
	static const char tree[] = "qdisc_drops{device=va,kind=htb,handle=1:,parent=root} 0 50; "
				   "qdisc_packets{device=va,kind=htb,handle=1:,parent=root} 0 90;"
				   "qdisc_drops{device=va,kind=fq,handle=10:,parent=1:1} 0 50; "
				   "qdisc_packets{device=va,kind=fq,handle=10:,parent=1:1} 0 90;"
				   "qdisc_drops{device=vb,kind=mq,handle=0:,parent=root} 0 20; "
				   "qdisc_packets{device=vb,kind=mq,handle=0:,parent=root} 0 90;"
				   "qdisc_drops{device=vb,kind=pfifo,handle=0:,parent=:1} 0 20; "
				   "qdisc_packets{device=vb,kind=pfifo,handle=0:,parent=:1} 0 90;"
				   "qdisc_drops{device=vb,kind=pfifo,handle=0:,parent=:2} 0 1; "
				   "qdisc_packets{device=vb,kind=pfifo,handle=0:,parent=:2} 0 90";
	struct store *s = feed(tree, 10, -1, 3);
	struct findings f;

	(void)state;
	assert_int_equal(findings_judge(s, &f), 0);
	assert_int_equal(f.n, 2);
	for (size_t i = 0; i < f.n; i++)
		assert_string_equal(view_label(&f.v[i].view, "kind"),
				    strcmp(view_label(&f.v[i].view, "device"), "va") ? "pfifo"
										     : "fq");
	findings_free(&f);
	store_close(s);
}

/* ---- words ---- */

static void assert_says(const char *samples, const char *id, const char *says, const char *next)
{
	struct store *s = feed(samples, 10, -1, 3);
	struct buf text = { 0 }, command = { 0 };
	const struct finding *one = NULL;
	struct findings f;

	assert_int_equal(findings_judge(s, &f), 0);
	for (size_t i = 0; i < f.n; i++)
		if (!strcmp(f.v[i].row->id, id))
			one = &f.v[i];
	assert_non_null(one);
	finding_says(one, &text);
	assert_string_equal(text.data, says);
	assert_true(finding_next(one, 0, &command));
	assert_string_equal(command.data, next);
	buf_free(&text);
	buf_free(&command);
	findings_free(&f);
	store_close(s);
}

static void test_words(void **state)
{
	(void)state;
	assert_says("tcpext_listenoverflows 0 12", "accept-queue-overflow",
		    "12 connection attempts refused: accept queue full",
		    "skoop-tcpsummary --listen -P ns/pod");
	assert_says("tcpext_listenoverflows 0 1", "accept-queue-overflow",
		    "1 connection attempt refused: accept queue full",
		    "skoop-tcpsummary --listen -P ns/pod");
	assert_says("fd_openfd" WEB " 95 96; fd_fdlimit" WEB " 100", "fd-limit",
		    "web (7) uses 96 of its 100 file descriptors", "skoop-fd --by type -p 7");
	assert_says(RESENT(111, 10, 1000), "retransmit-ratio",
		    "10 % of data segments lost and sent again (100 of 1000)",
		    "skoop-tcpretrans -P ns/pod");
	assert_says(WAITS("pod"), "peer-not-reading",
		    "the peer's window is closed: 68 KiB wait here, 5 probes sent",
		    "skoop-tcpsummary --worst -P ns/pod");
	assert_says("!io_pressurefull 0 2500000; !io_pressuresome 0 9990000", "io-pressure",
		    "tasks waited for storage 100 % of the time, all of them 25 %",
		    "skoop-biolatency -D");
	/* What is not known is not 0. */
	assert_says("tcpext_tcptimewaitoverflow 0 2", "time-wait-limit",
		    "limit of TIME_WAIT reached: ? of ?, 2 skipped",
		    "skoop-tcpsummary --by peer -P ns/pod");
	/* A name is one word to the shell. */
	assert_says("netdev_txdropped{device=$(x)} 0 9; netdev_txpackets{device=$(x)} 0 9; "
		    "netdev_rxpackets{device=$(x)} 1",
		    "dev-tx-drop", "$(x) could not send 9 packets",
		    "skoop-netdev -a --device '$(x)' -P ns/pod");
	assert_says(QUEUE("tbf", 1500, 0), "standing-queue",
		    "tbf of eth0 holds 1.5 KiB, about for ever", "skoop-qdisc --tree -P ns/pod");
}

static void assert_options(const struct subject *s, const char *options)
{
	struct buf b = { 0 };

	buf_str(&b, "");
	subject_options(s, &b);
	assert_string_equal(b.data, options);
	buf_free(&b);
}

static void test_subject_options(void **state)
{
	(void)state;
	assert_options(&(struct subject){ .namespace = "hostNetwork", .pod = "hostNetwork" },
		       "--host");
	assert_options(&(struct subject){ .namespace = "shop", .pod = "web-0" }, "-P shop/web-0");
	assert_options(&(struct subject){ .namespace = "-", .pod = "netns:blue" }, "-n blue");
	assert_options(&(struct subject){ .namespace = "-", .pod = "netns:unknown" }, "");
	assert_options(&(struct subject){ .namespace = "-",
					  .pod = "netns:4026532111",
					  .netns = 4026532111 },
		       "-n 4026532111");
	assert_options(&(struct subject){ .namespace = "-", .pod = "netns:pid-42" }, "-p 42");
	assert_options(&(struct subject){ .namespace = "-", .pod = "container:0123456789ab" },
		       "-c 0123456789ab");
	assert_options(&(struct subject){ .namespace = "-", .pod = "uid:77", .netns = 5 }, "-n 5");
	assert_options(&(struct subject){ .namespace = "shop", .pod = "dind:netns:5", .netns = 5 },
		       "-n 5");
	assert_options(&(struct subject){ .namespace = "hostNetwork",
					  .pod = "hostNetwork",
					  .machine = true },
		       "");
}

/* Tools of ours that trace the kernel may not be there: each row has a way to go on without them.
 */
static void test_next_without_tracing(void **state)
{
	static const char *const counters[] = { "conntrack", "fd",     "io",     "ip",
						"ipvs",      "netdev", "qdisc",  "sock",
						"softnet",   "tcp",    "tcpext", "tcpsummary",
						"udp" };
	const struct row *row;

	(void)state;
	for (size_t i = 0; (row = finding_row(i)); i++) {
		char copy[512], *save, *part;
		bool any = false;

		snprintf(copy, sizeof(copy), "%s", row->next);
		for (part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
			part += strspn(part, " ");
			any |= strncmp(part, "skoop-", 6) != 0;
			for (size_t k = 0; k < ARRAY_SIZE(counters); k++)
				any |= !strncmp(part, "skoop-", 6) &&
				       !strncmp(part + 6, counters[k], strlen(counters[k])) &&
				       part[6 + strlen(counters[k])] == ' ';
		}
		if (!any)
			fail_msg("%s: %s", row->id, row->next);
	}
}

static void test_explanations(void **state)
{
	const char *id, *title, *last = "";
	struct buf b = { 0 };
	size_t n = 0;

	(void)state;
	for (; (id = finding_name(n, &title)); n++) {
		assert_string_not_equal(id, last);
		assert_true(*title);
		assert_true(finding_explain(id, &b));
		last = id;
	}
	assert_true(n > 60);
	assert_non_null(
		strstr(b.data, "accept-queue-overflow: connections refused: accept queue full\n"));
	assert_non_null(strstr(b.data, "critical D(tcpext_listenoverflows) >= 10\n"));
	assert_non_null(
		strstr(b.data, "  says     N connection attempts refused: accept queue full\n"));
	assert_non_null(strstr(b.data, "  next     skoop-tcpsummary --listen; ss -ltnp\n"));
	assert_non_null(strstr(b.data, "  says     COMM (PID) uses N of its N file descriptors\n"));
	assert_non_null(
		strstr(b.data, "T(syn): SYNs and SYN-ACKs sent again = D(tcpext_tcpsynretrans)\n"));
	/* Terms of terms, too; no placeholder is left. */
	b.len = 0;
	assert_true(finding_explain("retransmit-ratio", &b));
	assert_non_null(strstr(b.data, "T(need): "));
	assert_non_null(strstr(b.data, "T(syn): "));
	assert_null(strchr(b.data, '{'));
	b.len = 0;
	assert_false(finding_explain("no-such-thing", &b));
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void test_wanted_has_all_metrics(void **state)
{
	struct wanted *w = wanted_open();

	(void)state;
	assert_non_null(w);
	for (size_t i = 0; i < ARRAY_SIZE(finding_cases); i++) {
		char copy[4096], *save, *part;

		snprintf(copy, sizeof(copy), "%s", finding_cases[i].samples);
		for (part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
			struct sample_text s;

			sample_parse(part, &s);
			if (!wanted_metric(w, s.metric))
				fail_msg("%s is not kept", s.metric);
		}
	}
	assert_false(wanted_metric(w, "tcpext_tcphphits"));
	wanted_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_case),
		cmocka_unit_test(test_absent_is_silent),
		cmocka_unit_test(test_every_row_has_cases),
		cmocka_unit_test(test_rows_are_in_order),
		cmocka_unit_test(test_folds_lead_somewhere),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_folding_on_the_node),
		cmocka_unit_test(test_cause_takes_the_highest_severity),
		cmocka_unit_test(test_qdisc_that_drops),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_subject_options),
		cmocka_unit_test(test_next_without_tracing),
		cmocka_unit_test(test_explanations),
		cmocka_unit_test(test_wanted_has_all_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
