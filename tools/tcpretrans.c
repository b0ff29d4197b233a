// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpretrans - every segment that TCP sends again, and why. Events come from two tracepoints; counting is done there. */
#include "bpf/tcpretrans.h"
#include "bpf/tcpretrans.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/probe.h"
#include "libcommon/util.h"

static struct tuple_filter filter;

static const char *const types[] = {
	[RETRANS_RTO] = "rto", [RETRANS_FAST] = "fast",     [RETRANS_TLP] = "tlp",
	[RETRANS_SYN] = "syn", [RETRANS_SYNACK] = "synack", [RETRANS_OTHER] = "other",
};

static const char *type_name(const struct kernel *k, uint64_t type)
{
	(void)k;
	return type < ARRAY_SIZE(types) ? types[type] : NULL;
}

static void type_label(const struct kernel *k, uint64_t type, struct buf *b)
{
	const char *name = type_name(k, type);

	if (name)
		buf_str(b, name);
	else
		buf_u64(b, type);
}

/* clang-format off */
static const struct metric metrics[] = {
	[TCPRETRANS_TOTAL] = { "total", NULL, COUNTER, "segments", "Segments sent again", SCOPE_NETNS, M_EXTRA,
	  .advice = { .means = "segments sent again, by type; attempts the host itself refused are not among them",
		      .normal = "well below 1 % of tcp_outsegs; tlp may be needless",
		      .causes = "by type. syn, synack: handshake unanswered (filter, full accept queue, dead peer). rto: silence "
				"(path or peer gone, or all of a window lost). fast: single losses, later data arriving. tlp: the last "
				"segment unacknowledged. other: path MTU shrank, or Fast Open data was refused",
		      .confirm = "skoop tcpretrans: to whom; tcpext_tcpsynretrans, tcpext_tcpfastretrans, tcpext_tcptimeouts",
		      .remedy = "one peer: its path. All peers: this host's link, queue (skoop qdisc) or device (skoop netdev)" },
	  .label = "type", .label_text = type_label, .labels = ARRAY_SIZE(types) },
	LOST_EVENTS_METRIC,
	{}
};

static const struct event events[] = {
	{ "TCPRetrans", "TCP retransmission",
	  { .means = "a segment was sent again",
	    .causes = "by type. syn, synack: handshake unanswered. rto: silence. fast: loss, with later data arriving. tlp: "
		      "tail probe, may be needless",
	    .confirm = "ss -ti; tcpext_tcpsynretrans, tcpext_tcpfastretrans, tcpext_tcptimeouts of both ends" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(tcpretrans_event),
	[RETRANS_F_STATE] = { FIELD(tcpretrans_event, state, F_STATE), .help = "the connection's state" },
	[RETRANS_F_TYPE] = { FIELD(tcpretrans_event, type, F_ENUM), .names = type_name,
			     .help = "why: rto, fast, tlp, syn, synack or other" },
	[RETRANS_F_SEQ] = { .detail = true, FIELD(tcpretrans_event, seq, F_UINT), .help = "its first sequence number" },
	[RETRANS_F_LEN] = { FIELD(tcpretrans_event, len, F_UINT), .help = "bytes of data" },
	[RETRANS_F_SEGS] = { .detail = true, FIELD(tcpretrans_event, segs, F_UINT), .help = "segments on the wire" },
	[RETRANS_F_RETRANSMITS] = { FIELD(tcpretrans_event, retransmits, F_UINT),
				    .help = "time-outs in a row; of a SYN-ACK, how often it was sent again" },
	[RETRANS_F_BACKOFF] = { .detail = true, FIELD(tcpretrans_event, backoff, F_UINT), .help = "how often the time-out was doubled" },
	[RETRANS_F_CWND] = { .detail = true, FIELD(tcpretrans_event, cwnd, F_UINT), .help = "congestion window, segments" },
	[RETRANS_F_SSTHRESH] = { .detail = true, FIELD(tcpretrans_event, ssthresh, F_UINT), .help = "slow start threshold, segments" },
	[RETRANS_F_SRTT] = { FIELD(tcpretrans_event, srtt, F_NS), .help = "smoothed round trip time" },
	[RETRANS_F_RTO] = { FIELD(tcpretrans_event, rto, F_NS), .help = "retransmission time-out" },
	[RETRANS_F_IN_FLIGHT] = { .detail = true, FIELD(tcpretrans_event, in_flight, F_UINT), .help = "segments under way" },
	[RETRANS_F_LOST] = { .detail = true, FIELD(tcpretrans_event, lost, F_UINT), .help = "segments taken for lost" },
	[RETRANS_F_SACKED] = { .detail = true, FIELD(tcpretrans_event, sacked, F_UINT), .help = "segments the peer has out of order" },
	[RETRANS_F_ERR] = { FIELD(tcpretrans_event, err, F_INT),
			    .help = "0: sent; -1: dropped by the host's own rules; -16: the first one is still in the host's queue" },
	[RETRANS_F_STACK] = { FIELD(tcpretrans_event, stack, F_STACK), .help = "how the kernel came to send it" },
	{}
};

static const struct knob knobs[] = {
	TUPLE_KNOBS(filter),
	{}
};

static const struct hook hooks[] = {
	{ "tcp_retransmit_skb", { "tcp_retransmit_skb" } },
	{ "tcp_retransmit_synack", { "tcp_retransmit_synack" } },
	{}
};
/* clang-format on */

static const struct tracing tracing = { .object = tcpretrans_bpf__elf_bytes, .hooks = hooks };

static const struct probe tcpretrans = {
	.name = "tcpretrans",
	.summary = "Trace TCP packet retransmission",
	.question = "Which TCP connections send data again, and why?",
	.source = "eBPF",
	.overhead = "Low",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(tcpretrans)
