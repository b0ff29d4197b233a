// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netiftxlatency - how long packets stand in the queue of the device that sends them, and how long its driver takes.
 * Measured and counted at the tracepoints every packet passes on its way out.
 */
#include <errno.h>
#include <string.h>

#include "bpf/netiftxlatency.h"
#include "bpf/netiftxlatency.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/util.h"

static struct {
	struct tuple_filter filter;
	const char *device;
	uint64_t max_packets;
} opts;

static uint64_t evicted; /* told so far */

static int check(const struct options *opt)
{
	(void)opt;
	if (!opts.device || (*opts.device && strlen(opts.device) < 16))
		return 0;
	msg_error("--device takes the name of a device, not '%s'", opts.device);
	return -EINVAL;
}

static int setup(struct bpf_run *r)
{
	const bool only = opts.device;
	char name[16] = "";
	int err = 0;

	if (opts.device)
		memcpy(name, opts.device, strlen(opts.device));
	err = bpf_run_set(r, "only_device", &only, sizeof(only));
	if (!err)
		err = bpf_run_set(r, "filter_device", name, sizeof(name));
	if (!err && opts.max_packets)
		err = bpf_run_map_size(r, "packets", (uint32_t)opts.max_packets);
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

/* ---- what has not ended ---- */

struct standing {
	struct bpf_run *run;
	uint64_t now;
};

static int tell_packet(const void *key, const void *value, size_t copies, void *arg)
{
	struct tx_event e = { .header.type = TX_QDISC };
	struct standing *s = arg;
	struct tx_packet p;

	(void)key;
	(void)copies;
	memcpy(&p, value, sizeof(p));
	if (p.queued > s->now)
		return 0;
	e.header.netns = p.netns;
	e.header.known = p.known | 1ULL << TX_F_LATENCY | 1ULL << TX_F_DEVICE | 1ULL << TX_F_QUEUE |
			 1ULL << TX_F_QDISC | 1ULL << TX_F_LEN | 1ULL << TX_F_SEGS;
	e.tuple = p.tuple;
	e.latency = s->now - p.queued;
	e.len = p.len;
	e.qlen = p.qlen;
	e.queue = p.queue;
	e.segs = p.segs;
	memcpy(e.device, p.device, sizeof(e.device));
	memcpy(e.qdisc, p.qdisc, sizeof(e.qdisc));
	return bpf_run_in_flight(s->run, &e, sizeof(e), p.queued);
}

static int in_flight(struct bpf_run *r)
{
	struct standing s = { .run = r, .now = process_now() };
	int err = bpf_run_map_each(r, "packets", tell_packet, &s);

	if (err && err != -EPIPE)
		msg_error("packets in queues: %s", strerror(-err));
	return err;
}

/* Among them those whose end is not seen. */
static int count_lost(struct bpf_run *r)
{
	int err = bpf_run_evicted(r, "packets", &evicted);

	if (err)
		msg_error("packets in queues: %s", strerror(-err));
	return err;
}

/* clang-format off */
static const struct metric metrics[] = {
	[TX_QDISC] = { "qdiscslow100ms", NULL, COUNTER, "packets", "qdisc latency exceeds 100ms during transmission", SCOPE_NETNS,
	  .advice = { .means = "packets that stood more than 100 ms in a device's queue",
		      .normal = "0; a shaper may delay on purpose",
		      .causes = "standing queue: this link is the bottleneck; shaper; netem",
		      .confirm = "skoop qdisc --tree: backlog, drops",
		      .remedy = "fq_codel, pacing in the sender, a higher rate in the shaper" } },
	[TX_NETDEV] = { "netdevslow100ms", NULL, COUNTER, "packets", "netdev transmit latency exceeds 100ms during transmission",
	  SCOPE_NETNS,
	  .advice = { .means = "packets for which the driver's transmit call took more than 100 ms",
		      .normal = "0",
		      .causes = "hypervisor stall or stolen vCPU; a lock in the driver; hung device",
		      .confirm = "device and queue of the event; st in top; kernel log: transmit queue timed out",
		      .remedy = "the host, the driver" } },
	LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	[TX_QDISC] = { "qdisc", "Time in the queue, of devices that have one", SCOPE_NETNS, "device" },
	[TX_NETDEV] = { "netdev", "Time in the driver's transmit call", SCOPE_NETNS, "device" },
	{}
};

static const struct event events[] = {
	[TX_QDISC] = { "TXLAT_QDISC_100MS", "qdisc latency exceeds 100ms during transmission",
	  { .means = "a packet stood more than 100 ms in the device's queue",
	    .causes = "this link is the bottleneck; shaper; netem",
	    .confirm = "skoop qdisc --tree",
	    .remedy = "fq_codel, pacing in the sender" } },
	[TX_NETDEV] = { "TXLAT_NETDEV_100MS", "netdev transmit latency exceeds 100ms during transmission",
	  { .means = "the driver's transmit call took more than 100 ms",
	    .causes = "host stall, stolen vCPU, device hang",
	    .confirm = "the host's steal time; kernel log: transmit queue timed out" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(tx_event),
	[TX_F_LATENCY] = { FIELD(tx_event, latency, F_NS), .help = "QDISC: in the queue; NETDEV: in the driver's transmit call" },
	[TX_F_DEVICE] = { FIELD(tx_event, device, F_STR), .help = "the device that sent it" },
	[TX_F_QUEUE] = { .detail = true, FIELD(tx_event, queue, F_UINT), .help = "which of the device's queues" },
	[TX_F_QDISC] = { FIELD(tx_event, qdisc, F_STR), .help = "the queueing discipline: fq_codel, tbf…; noqueue: packets pass it by" },
	[TX_F_LEN] = { FIELD(tx_event, len, F_UINT), .help = "bytes, with the link header" },
	[TX_F_SEGS] = { .detail = true, FIELD(tx_event, segs, F_UINT), .help = "packets on the wire it stands for" },
	[TX_F_QLEN] = { FIELD(tx_event, qlen, F_UINT), .help = "packets in the queue when it came; pfifo_fast does not tell" },
	{}
};

static const struct knob knobs[] = {
	TUPLE_KNOBS(opts.filter),
	{ 0, "device", "NAME", "Only at this device, counts too", KNOB_STRING, &opts.device },
	{ 0, "max-packets", "N", "Room for N packets in queues (32768)", KNOB_NUMBER, &opts.max_packets, 1, 1 << 24 },
	{}
};

/* What ends before what begins: at no time something has begun whose end is not seen. */
static const struct hook hooks[] = {
	{ "kfree_skb", { "kfree_skb" } },
	{ "consume_skb", { "consume_skb" } },
	{ "net_dev_xmit", { "net_dev_xmit" } },
	{ "net_dev_start_xmit", { "net_dev_start_xmit" } },
	{ "qdisc_dequeue", { "qdisc_dequeue" } },
	{ "net_dev_queue", { "net_dev_queue" } },
	{}
};
/* clang-format on */

static const struct tracing tracing = {
	.object = netiftxlatency_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "packets sent past the queue (AF_XDP, AF_PACKET with PACKET_QDISC_BYPASS); segments made behind the queue that "
		 "go back to it because the driver is busy; time in the device itself",
	.setup = setup,
	.refresh = count_lost,
	.in_flight = in_flight,
};

static const struct probe netiftxlatency = {
	.name = "netiftxlatency",
	.prefix = "netiftxlat",
	.summary = "Trace network delay during transmission",
	.question = "Which packets wait in a device's queue, or in its driver, before they are sent?",
	.source = "eBPF",
	.overhead = "High",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.hists = hists,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.threshold = SLOW_100MS_NS,
	.check = check,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(netiftxlatency)
