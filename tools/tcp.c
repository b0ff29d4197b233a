// SPDX-License-Identifier: GPL-2.0-or-later
/* tcp - the TCP counters of RFC 4022, one set per network namespace, IPv4 and IPv6 together. */
#include <linux/capability.h>

#include "libcommon/counters.h"
#include "libcommon/probe.h"

static bool all_counters;

/* clang-format off */
#define ROW(name_, key_, unit_, ...)                                                               \
	{ name_, "Tcp:" key_, COUNTER, unit_, key_ " of TCP", .advice = { __VA_ARGS__ } }
#define CONNECTIONS(name_, key_, ...) ROW(name_, key_, "connections", __VA_ARGS__)
#define SEGMENTS(name_, key_, ...) ROW(name_, key_, "segments", __VA_ARGS__)
#define MORE(name_, key_, type_, unit_, flags_, ...)                                               \
	{ name_, "Tcp:" key_, type_, unit_, key_ " of TCP", SCOPE_NETNS, M_ALL | flags_,           \
	  { __VA_ARGS__ } }

static const struct metric metrics[] = {
	CONNECTIONS("activeopens", "ActiveOpens",
	    .means = "connect(): SYN sent, first try only",
	    .causes = "many: connections are not reused",
	    .confirm = "growth per second; skoop-tcpsummary (TIME_WAIT)",
	    .remedy = "connection pool, keep-alive"),
	CONNECTIONS("passiveopens", "PassiveOpens",
	    .means = "handshakes completed as server; refused and half-open ones are not in it"),
	SEGMENTS("retranssegs", "RetransSegs",
	    .means = "segments sent again, of every kind: SYN, SYN-ACK, tail-loss probe, fast, "
		     "after a time-out. Those refused further down in this host are in it "
		     "(tcpretransfail); those skipped because the original has not left yet "
		     "(tcpspuriousrtxhostqueues) are not",
	    .normal = "below 1 % of outsegs",
	    .causes = "mostly tcpsynretrans: nobody answers connects, no matter of path quality; "
		      "mostly tcpfastretrans: ordinary congestion or buffer loss; tcptimeouts "
		      "less tcpsynretrans about as large and tcpfastretrans near 0: outage, dead "
		      "peer or MTU black hole; tcpdsackrecv half of it or more: needless, late "
		      "ACKs or reordering",
	    .confirm = "skoop-tcpext -a; ss -ti; skoop-tcpretrans", .remedy = "by cause"),
	CONNECTIONS("attemptfails", "AttemptFails",
	    .means = "connection died in SYN_SENT or SYN_RECV: refused, timed out, reset",
	    .normal = "scanners, probing",
	    .causes = "closed port; peer down; half-open requests reset",
	    .confirm = "skoop-tcpreset (RECEIVE in SYN_SENT); skoop-tcpext (embryonicrsts)",
	    .remedy = "start the service, correct the address"),
	CONNECTIONS("estabresets", "EstabResets",
	    .means = "ESTABLISHED or CLOSE_WAIT straight to CLOSE: RST received or sent, or "
		     "time-out. Not \"RSTs received\"",
	    .normal = "browsers, pools",
	    .causes = "tcpabortonclose alike: a program closes without reading all; "
		      "tcpabortondata alike: linger 0 or data after close; tcpabortontimeout: "
		      "peer silent; outrsts low: RSTs came from the peer or a middlebox; many at "
		      "one moment and none of these: listener closed or process restarted with a "
		      "filled accept queue, or ss -K",
	    .confirm = "skoop-tcpext; skoop-tcpreset"),
	{ "currestab", "Tcp:CurrEstab", GAUGE, "connections", "CurrEstab of TCP",
	  .advice = { .means = "connections in ESTABLISHED or CLOSE_WAIT now",
	    .causes = "rises and falls with load", .confirm = "skoop-tcpsummary --states" } },
	SEGMENTS("insegs", "InSegs",
	    .means = "segments received, those merged by GRO once, bad ones too"),
	SEGMENTS("outsegs", "OutSegs",
	    .means = "segments sent to the wire without resends; pure ACK, SYN and RST included. "
		     "For a ratio of loss tcporigdatasent (skoop-tcpext -a) is the better base. "
		     "Never divide it by insegs: that counts merged segments once"),
	SEGMENTS("inerrs", "InErrs",
	    .means = "bad checksum, bad header, SYN inside a connection", .normal = "0",
	    .causes = "corruption; crafted packets; virtual NIC with partial checksums behind a "
		      "broken filter",
	    .confirm = "incsumerrors under -a; skoop-packetloss (reason TCP_CSUM)",
	    .remedy = "cable, NIC; turn off the guilty offload"),
	SEGMENTS("outrsts", "OutRsts",
	    .means = "RSTs sent, or tried", .normal = "scans of closed ports; programs that abort",
	    .causes = "closed port; close with unread data; linger 0; forgotten connections (a "
		      "bare ACK to a listener)",
	    .confirm = "skoop-tcpext (tcpaborton...); skoop-tcpreset by event and reason",
	    .remedy = "by reason"),
	/* Beyond the contract, in the order the kernel has them. */
	MORE("rtoalgorithm", "RtoAlgorithm", GAUGE, "number", 0, .means = "1: none of the RFC's"),
	MORE("rtomin", "RtoMin", GAUGE, "ms", 0, .means = "the shortest retransmission time-out"),
	MORE("rtomax", "RtoMax", GAUGE, "ms", 0, .means = "the longest retransmission time-out"),
	MORE("maxconn", "MaxConn", GAUGE, "connections", M_SIGNED, .means = "-1: no limit"),
	MORE("incsumerrors", "InCsumErrors", COUNTER, "segments", 0,
	     .means = "segments dropped for a wrong checksum; inerrs has them, too", .normal = "0",
	     .causes = "corruption behind the NIC's check; offload fault",
	     .confirm = "skoop-packetloss (reason TCP_CSUM)", .remedy = "NIC, offload"),
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further counter and constant of Tcp", KNOB_FLAG,
	  &all_counters },
	{}
};

static const struct counter_group groups[] = {
	{ "snmp", pairs_lines, "Tcp" },
	{}
};

/* clang-format on */

static int collect(const struct target *t, struct out *o)
{
	return counters_read(t, groups, SCOPE_NETNS, all_counters ? SHOW_ALL : SHOW_CONTRACT, o);
}

static const struct probe tcp = {
	.name = "tcp",
	.summary = "Statistics of TCP from snmp",
	.question = "How much TCP is there, and how much of it fails or is sent again?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to read a network namespace without a process",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(tcp)
