// SPDX-License-Identifier: GPL-2.0-or-later
/* udp - the UDP counters, one set per network namespace; IPv6 has its own set. */
#include <linux/capability.h>

#include "libcommon/counters.h"
#include "libcommon/probe.h"

static bool all_counters;

/* clang-format off */
#define ROW(name_, key_, flags_, ...)                                                              \
	{ name_, "Udp:" key_, COUNTER, "datagrams", key_ " of UDP", SCOPE_NETNS, flags_,           \
	  { __VA_ARGS__ } }

static const struct metric metrics[] = {
	ROW("indatagrams", "InDatagrams", 0,
	    .means = "read by programs, or taken by a tunnel; counted when read, not on arrival"),
	ROW("noports", "NoPorts", 0,
	    .means = "datagram for a port nobody has; an ICMP port unreachable is sent "
		     "(rate-limited)",
	    .normal = "DNS answers after the client gave up; scans",
	    .causes = "service stopped; late replies; wrong port",
	    .confirm = "skoop-packetloss (reason NO_SOCKET, with addresses and ports)"),
	ROW("inerrors", "InErrors", 0,
	    .means = "all failures to receive: buffer, checksum, memory, socket filter",
	    .normal = "rcvbuferrors + incsumerrors + memerrors (-a)",
	    .causes = "see these three; what is left over is a socket filter or an IPsec policy",
	    .confirm = "skoop-udp -a"),
	ROW("outdatagrams", "OutDatagrams", 0,
	    .means = "handed down without an error; those lost later (no neighbour, link down) "
		     "are in it"),
	ROW("rcvbuferrors", "RcvbufErrors", 0,
	    .means = "dropped: the socket's receive buffer was full", .normal = "0",
	    .causes = "program reads too slowly, or bursts; SO_RCVBUF capped by rmem_max; one "
		      "thread for all",
	    .confirm = "ss -uamn (the d in skmem is its drops); skoop-packetloss (reason "
		       "SOCKET_RCVBUFF)",
	    .remedy = "more readers (SO_REUSEPORT), recvmmsg, a larger buffer"),
	ROW("sndbuferrors", "SndbufErrors", 0,
	    .means = "send failed with ENOBUFS or a full send buffer. Mostly drops below the "
		     "socket, of which the program sees no error without IP_RECVERR",
	    .normal = "0",
	    .causes = "full qdisc; over veth the receiving CPU's backlog (softnet_dropped); "
		      "neighbour table full; only then a small SO_SNDBUF",
	    .confirm = "skoop-ip -a: outdiscards grows alike; then skoop-qdisc (drops), "
		       "skoop-softnet, skoop-netdev (txdropped)",
	    .remedy = "that queue and the rate, not wmem"),
	ROW("incsumerrors", "InCsumErrors", 0,
	    .means = "dropped: wrong checksum", .normal = "0",
	    .causes = "corruption, offload fault", .confirm = "skoop-packetloss (reason UDP_CSUM)",
	    .remedy = "NIC, offload"),
	ROW("ignoredmulti", "IgnoredMulti", 0,
	    .means = "multicast or broadcast that no socket here wants", .normal = "any",
	    .remedy = "harmless"),
	ROW("memerrors", "MemErrors", M_ALL,
	    .means = "dropped: the memory of all UDP sockets (udp_mem) was used up", .normal = "0",
	    .causes = "readers stopped on big buffers, anywhere on the machine",
	    .confirm = "skoop-sock -a: udpmem against udpmemmax; ss -uamp",
	    .remedy = "that reader"),
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further counter, of IPv6 and UDP-Lite too", KNOB_FLAG,
	  &all_counters },
	{}
};

/* Linux 7 has no UDP-Lite; a kernel without IPv6 has no snmp6. */
static const struct counter_group groups[] = {
	{ "snmp", pairs_lines, "Udp" },
	{ "snmp", pairs_lines, "UdpLite", "udplite", .more = true },
	{ "snmp6", pairs_single, "Udp6", NULL, FAMILY_IPV6, .more = true },
	{ "snmp6", pairs_single, "UdpLite6", "udplite", FAMILY_IPV6, .more = true },
	{}
};

/* clang-format on */

static int collect(const struct target *t, struct out *o)
{
	return counters_read(t, groups, SCOPE_NETNS, all_counters ? SHOW_ALL : SHOW_CONTRACT, o);
}

static const struct probe udp = {
	.name = "udp",
	.summary = "Statistics of UDP",
	.question = "Which datagrams get lost here: no listener, full buffers, bad checksums?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to read a network namespace without a process",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(udp)
