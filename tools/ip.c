// SPDX-License-Identifier: GPL-2.0-or-later
/* ip - the IP counters, one set per network namespace; with -a ICMP, IPv6, neighbours too. */
#include <errno.h>
#include <linux/capability.h>

#include "libcommon/counters.h"
#include "libcommon/probe.h"

static bool all_counters;

/* clang-format off */
#define IPEXT(name_, key_, flags_, unit_, ...)                                                     \
	{ name_, "IpExt:" key_, COUNTER, unit_, key_ " of IP", SCOPE_NETNS, flags_,                \
	  { __VA_ARGS__ } }
#define MORE(name_, key_, unit_, help_, ...)                                                       \
	{ name_, key_, COUNTER, unit_, help_, SCOPE_NETNS, M_ALL, { __VA_ARGS__ } }
#define IP(name_, key_, ...) MORE(name_, "Ip:" key_, "packets", key_ " of IP", __VA_ARGS__)
#define IP6(name_, key_, ...) MORE(name_, "Ip6" key_, "packets", key_ " of IPv6", __VA_ARGS__)
#define ICMP(name_, key_, ...) MORE(name_, "Icmp:" key_, "messages", key_ " of ICMP", __VA_ARGS__)
#define ICMP6(name_, key_, ...)                                                                    \
	MORE(name_, "Icmp6" key_, "messages", key_ " of ICMPv6", __VA_ARGS__)
#define NEIGH(name_, key_, ...)                                                                    \
	{ name_, key_, COUNTER, "events", key_ " of the neighbour table", SCOPE_HOST, M_ALL,       \
	  { __VA_ARGS__ } }

static const struct metric metrics[] = {
	IPEXT("innoroutes", "InNoRoutes", 0, "packets",
	    .means = "router: forwarding is on and there is no route for the destination. With "
		     "forwarding off it is inaddrerrors (-a) instead; blackhole and unreachable "
		     "routes count nowhere",
	    .normal = "0", .causes = "missing route; withdrawn prefix; pod gone",
	    .confirm = "ip route get DST from SRC iif DEV", .remedy = "the route"),
	IPEXT("intruncatedpkts", "InTruncatedPkts", 0, "packets",
	    .means = "packet shorter than its IP header says", .normal = "0",
	    .causes = "broken sender, tunnel or driver",
	    .confirm = "skoop-packetloss (reason PKT_TOO_SMALL)"),
	/* Beyond the contract, in the order the kernel has them. */
	{ "forwarding", "Ip:Forwarding", GAUGE, "number", "Forwarding of IP", SCOPE_NETNS, M_ALL,
	  { .means = "1: this namespace routes, 2: it does not" } },
	{ "defaultttl", "Ip:DefaultTTL", GAUGE, "hops", "DefaultTTL of IP", SCOPE_NETNS, M_ALL },
	IP("inreceives", "InReceives", .means = "packets received, bad ones too"),
	IP("inhdrerrors", "InHdrErrors",
	    .means = "bad header, or the TTL ran out while forwarding", .normal = "few",
	    .causes = "routing loop (icmpouttimeexcds grows alike); traceroute; crafted packets",
	    .confirm = "traceroute; skoop-packetloss (reason IP_INHDR)"),
	IP("inaddrerrors", "InAddrErrors",
	    .means = "not for us while forwarding is off, or an invalid address", .normal = "0",
	    .causes = "ip_forward=0 on a host that should route; wrong next hop or MAC address at "
		      "the sender",
	    .confirm = "sysctl net.ipv4.ip_forward"),
	IP("forwdatagrams", "ForwDatagrams", .means = "packets forwarded"),
	IP("inunknownprotos", "InUnknownProtos",
	    .means = "no handler for the protocol in the header", .normal = "0",
	    .causes = "module of a tunnel missing"),
	IP("indiscards", "InDiscards",
	    .means = "received and dropped for lack of memory or by an early fault", .normal = "0"),
	IP("indelivers", "InDelivers", .means = "packets given to TCP, UDP, ICMP and others here"),
	IP("outrequests", "OutRequests", .means = "packets that programs here wanted to send"),
	IP("outdiscards", "OutDiscards",
	    .means = "refused below IP", .normal = "0",
	    .causes = "full qdisc; MTU; a filter in OUTPUT; neighbour table full",
	    .confirm = "skoop-qdisc (drops), skoop-netdev (txdropped)"),
	IP("outnoroutes", "OutNoRoutes",
	    .means = "a program here sends where no route leads; it gets ENETUNREACH",
	    .normal = "0", .causes = "route missing, interface down",
	    .confirm = "ip route get DST"),
	IP("reasmtimeout", "ReasmTimeout",
	    .means = "reassembly given up: pieces were missing after ipfrag_time (30 s)",
	    .normal = "0", .causes = "fragments lost on the way"),
	IP("reasmreqds", "ReasmReqds", .means = "fragments received"),
	IP("reasmoks", "ReasmOKs", .means = "packets rebuilt from fragments"),
	IP("reasmfails", "ReasmFails",
	    .means = "reassembly given up, for whatever reason", .normal = "0",
	    .causes = "about reasmtimeout: fragments lost; far above it: ipfrag_high_thresh "
		      "reached, duplicates or overlaps",
	    .remedy = "avoid fragments; ipfrag_high_thresh"),
	IP("fragoks", "FragOKs", .means = "packets cut into fragments"),
	IP("fragfails", "FragFails",
	    .means = "packet too large for the next link that must not be cut", .normal = "0",
	    .causes = "MTU step on this router: the sender must get the ICMP message",
	    .confirm = "ip link; ping -M do -s 1472 DST",
	    .remedy = "clamp the MSS; let ICMP through"),
	IP("fragcreates", "FragCreates", .means = "fragments made"),
	IP("outtransmits", "OutTransmits",
	    .means = "packets handed to the device, forwarded ones too"),
	IPEXT("inmcastpkts", "InMcastPkts", M_ALL, "packets"),
	IPEXT("outmcastpkts", "OutMcastPkts", M_ALL, "packets"),
	IPEXT("inbcastpkts", "InBcastPkts", M_ALL, "packets"),
	IPEXT("outbcastpkts", "OutBcastPkts", M_ALL, "packets"),
	IPEXT("inoctets", "InOctets", M_ALL, "bytes"),
	IPEXT("outoctets", "OutOctets", M_ALL, "bytes"),
	IPEXT("inmcastoctets", "InMcastOctets", M_ALL, "bytes"),
	IPEXT("outmcastoctets", "OutMcastOctets", M_ALL, "bytes"),
	IPEXT("inbcastoctets", "InBcastOctets", M_ALL, "bytes"),
	IPEXT("outbcastoctets", "OutBcastOctets", M_ALL, "bytes"),
	IPEXT("incsumerrors", "InCsumErrors", M_ALL, "packets",
	    .means = "wrong checksum of the IP header", .normal = "0",
	    .causes = "corruption, offload fault"),
	IPEXT("innoectpkts", "InNoECTPkts", M_ALL, "packets", .means = "received without ECN"),
	IPEXT("inect1pkts", "InECT1Pkts", M_ALL, "packets",
	    .means = "received with the ECN mark ECT(1)"),
	IPEXT("inect0pkts", "InECT0Pkts", M_ALL, "packets",
	    .means = "received with the ECN mark ECT(0)"),
	IPEXT("incepkts", "InCEPkts", M_ALL, "packets",
	    .means = "received with a congestion mark",
	    .causes = "a queue on the way is long, and says so by ECN"),
	IPEXT("reasmoverlaps", "ReasmOverlaps", M_ALL, "packets",
	    .means = "overlapping fragments: thrown away", .normal = "0",
	    .causes = "broken sender; attack"),
	ICMP("icmpinmsgs", "InMsgs"),
	ICMP("icmpinerrors", "InErrors",
	    .means = "ICMP messages with an error in themselves", .normal = "few"),
	ICMP("icmpincsumerrors", "InCsumErrors",
	    .means = "ICMP messages with a wrong checksum", .normal = "0",
	    .causes = "corruption, offload fault"),
	ICMP("icmpindestunreachs", "InDestUnreachs",
	    .means = "\"unreachable\" received; also those this host tells itself when a next hop "
		     "does not answer ARP",
	    .causes = "peer or port down; most of icmpoutdestunreachs alike: neighbour silent",
	    .confirm = "ip neigh show nud failed"),
	ICMP("icmpintimeexcds", "InTimeExcds"),
	ICMP("icmpinparmprobs", "InParmProbs"),
	ICMP("icmpinsrcquenchs", "InSrcQuenchs"),
	ICMP("icmpinredirects", "InRedirects"),
	ICMP("icmpinechos", "InEchos"),
	ICMP("icmpinechoreps", "InEchoReps"),
	ICMP("icmpintimestamps", "InTimestamps"),
	ICMP("icmpintimestampreps", "InTimestampReps"),
	ICMP("icmpinaddrmasks", "InAddrMasks"),
	ICMP("icmpinaddrmaskreps", "InAddrMaskReps"),
	ICMP("icmpoutmsgs", "OutMsgs"),
	ICMP("icmpouterrors", "OutErrors"),
	ICMP("icmpoutratelimitglobal", "OutRateLimitGlobal",
	    .means = "messages withheld by the machine's rate limit", .normal = "0",
	    .causes = "many errors at once: peers time out instead of failing fast"),
	ICMP("icmpoutratelimithost", "OutRateLimitHost",
	    .means = "messages withheld by the rate limit for one peer", .normal = "few",
	    .causes = "many errors to one peer: it times out instead of failing fast"),
	ICMP("icmpoutdestunreachs", "OutDestUnreachs",
	    .means = "\"unreachable\" sent",
	    .causes = "closed UDP ports (udp noports alike); no route; neighbour silent"),
	ICMP("icmpouttimeexcds", "OutTimeExcds",
	    .means = "\"time exceeded\" sent",
	    .causes = "traceroute; routing loop (inhdrerrors alike)"),
	ICMP("icmpoutparmprobs", "OutParmProbs"),
	ICMP("icmpoutsrcquenchs", "OutSrcQuenchs"),
	ICMP("icmpoutredirects", "OutRedirects"),
	ICMP("icmpoutechos", "OutEchos"),
	ICMP("icmpoutechoreps", "OutEchoReps"),
	ICMP("icmpouttimestamps", "OutTimestamps"),
	ICMP("icmpouttimestampreps", "OutTimestampReps"),
	ICMP("icmpoutaddrmasks", "OutAddrMasks"),
	ICMP("icmpoutaddrmaskreps", "OutAddrMaskReps"),
	/* What IPv6 alone has. */
	IP6("intoobigerrors", "InTooBigErrors",
	    .means = "packet too large for the next link", .normal = "0",
	    .causes = "MTU step on this router", .confirm = "ip link",
	    .remedy = "let ICMPv6 \"packet too big\" through"),
	IP6("outforwdatagrams", "OutForwDatagrams", .means = "packets forwarded"),
	ICMP6("icmpinpkttoobigs", "InPktTooBigs",
	    .means = "\"packet too big\" received: MTU step on the way"),
	ICMP6("icmpinparmproblems", "InParmProblems"),
	ICMP6("icmpinechoreplies", "InEchoReplies"),
	ICMP6("icmpingroupmembqueries", "InGroupMembQueries"),
	ICMP6("icmpingroupmembresponses", "InGroupMembResponses"),
	ICMP6("icmpingroupmembreductions", "InGroupMembReductions"),
	ICMP6("icmpinroutersolicits", "InRouterSolicits"),
	ICMP6("icmpinrouteradvertisements", "InRouterAdvertisements"),
	ICMP6("icmpinneighborsolicits", "InNeighborSolicits"),
	ICMP6("icmpinneighboradvertisements", "InNeighborAdvertisements"),
	ICMP6("icmpinmldv2reports", "InMLDv2Reports"),
	ICMP6("icmpoutpkttoobigs", "OutPktTooBigs",
	    .means = "\"packet too big\" sent: MTU step on this router"),
	ICMP6("icmpoutparmproblems", "OutParmProblems"),
	ICMP6("icmpoutechoreplies", "OutEchoReplies"),
	ICMP6("icmpoutgroupmembqueries", "OutGroupMembQueries"),
	ICMP6("icmpoutgroupmembresponses", "OutGroupMembResponses"),
	ICMP6("icmpoutgroupmembreductions", "OutGroupMembReductions"),
	ICMP6("icmpoutroutersolicits", "OutRouterSolicits"),
	ICMP6("icmpoutrouteradvertisements", "OutRouterAdvertisements"),
	ICMP6("icmpoutneighborsolicits", "OutNeighborSolicits"),
	ICMP6("icmpoutneighboradvertisements", "OutNeighborAdvertisements"),
	ICMP6("icmpoutmldv2reports", "OutMLDv2Reports"),
	/* The neighbour tables, of IPv4 and IPv6 by label. */
	{ "neighentries", "entries", GAUGE, "entries",
	  "entries of the neighbour table", SCOPE_HOST, M_ALL,
	  { .means = "neighbours (ARP, ND) known now, in all namespaces",
	    .normal = "below gc_thresh3 (1024)",
	    .causes = "many pods or hosts on one segment; scan",
	    .confirm = "ip neigh; sysctl net.ipv4.neigh.default.gc_thresh3" } },
	NEIGH("neighallocs", "allocs"),
	NEIGH("neighdestroys", "destroys"),
	NEIGH("neighhashgrows", "hash_grows"),
	NEIGH("neighlookups", "lookups"),
	NEIGH("neighhits", "hits"),
	NEIGH("neighresfailed", "res_failed",
	    .means = "neighbours that did not answer", .normal = "few",
	    .causes = "host down; wrong VLAN or mask; stale route",
	    .confirm = "ip neigh show nud failed"),
	NEIGH("neighrcvprobesmcast", "rcv_probes_mcast"),
	NEIGH("neighrcvprobesucast", "rcv_probes_ucast"),
	NEIGH("neighperiodicgcruns", "periodic_gc_runs"),
	NEIGH("neighforcedgcruns", "forced_gc_runs",
	    .means = "the table was too full: old entries thrown out at once", .normal = "0",
	    .causes = "gc_thresh2 or gc_thresh3 too small"),
	NEIGH("neighunresolveddiscards", "unresolved_discards",
	    .means = "packets dropped while they waited for a neighbour's answer", .normal = "few",
	    .causes = "burst to a silent host (unres_qlen_bytes)"),
	NEIGH("neightablefulls", "table_fulls",
	    .means = "a neighbour could not be added: the table is full and packets are dropped",
	    .normal = "0", .causes = "many pods or hosts on one segment; scan",
	    .confirm = "sysctl net.ipv4.neigh.default.gc_thresh3; ip neigh | wc -l",
	    .remedy = "raise gc_thresh1, 2 and 3"),
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL,
	  "Every further counter of IP, ICMP, IPv6 and of the neighbour tables",
	  KNOB_FLAG, &all_counters },
	{}
};

static const struct counter_group groups[] = {
	{ "netstat", pairs_lines, "IpExt" },
	{ "snmp", pairs_lines, "Ip", .more = true },
	{ "snmp", pairs_lines, "Icmp", "icmp", .more = true },
	{ "snmp", pairs_lines, "IcmpMsg", "icmp", .more = true },
	{ "snmp6", pairs_single, "Ip6", NULL, FAMILY_IPV6, .more = true },
	{ "snmp6", pairs_single, "Icmp6", "icmp", FAMILY_IPV6, .more = true },
	{}
};

static const struct counter_group neighbours[] = {
	{ "stat/arp_cache", pairs_stat, "", "neigh", FAMILY_IPV4 },
	{ "stat/ndisc_cache", pairs_stat, "", "neigh", FAMILY_IPV6 },
	{}
};

/* clang-format on */

static int collect(const struct target *t, struct out *o)
{
	return counters_read(t, groups, SCOPE_NETNS, all_counters ? SHOW_ALL : SHOW_CONTRACT, o);
}

static int collect_host(const struct target *host, struct out *o)
{
	if (!all_counters)
		return -ESRCH; /* neither read nor missing: nobody asked */
	return counters_read(host, neighbours, SCOPE_HOST, SHOW_ALL, o);
}

static const struct probe ip = {
	.name = "ip",
	.summary = "Statistics of IP",
	.question = "Does IP drop packets here: no route, truncated, and with -a everything else?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to read a network namespace without a process",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
	.collect_host = collect_host,
};
PROBE_MAIN(ip)
