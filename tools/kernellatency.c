// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernellatency - how long packets take through the kernel's IP stack, in and out, and in which stage. Where the kernel
 * lets no functions be traced it is reduced to the mode `lite`: TCP only, and only on the way in.
 */
#include <errno.h>
#include <string.h>

#include "bpf/kernellatency.h"
#include "bpf/kernellatency.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/util.h"

#define LITE "lite"

static struct {
	struct tuple_filter filter;
	bool forward;
	uint64_t sample, max_packets;
} opts = { .sample = 1 };

static uint64_t evicted; /* told so far */

static const char *const stage_names[NSTAGES + 1] = {
	[STAGE_INGRESS] = "ingress",
	[STAGE_PREROUTING] = "prerouting",
	[STAGE_ROUTE] = "route",
	[STAGE_LOCAL_IN] = "local_in",
	[STAGE_FORWARD] = "forward",
	[STAGE_LOCAL_OUT] = "local_out",
	[STAGE_POSTROUTING] = "postrouting",
	[STAGE_NEIGH] = "neigh",
};

/* Stages without a stamp between them, "prerouting+route". */
static void stages_text(struct buf *b, uint64_t stages)
{
	const char *plus = "";

	for (size_t i = 0; i < NSTAGES; i++) {
		if (!(stages >> i & 1))
			continue;
		buf_str(b, plus);
		buf_str(b, stage_names[i]);
		plus = "+";
	}
}

static void stages_label(const struct kernel *k, uint64_t stages, struct buf *b)
{
	(void)k;
	stages_text(b, stages);
}

static const char *path_name(const struct kernel *k, uint64_t path)
{
	(void)k;
	return path == PATH_FORWARD ? "forward" : path < NPATHS ? "local" : NULL;
}

static void path_label(const struct kernel *k, uint64_t path, struct buf *b)
{
	static const char *const names[] = {
		[PATH_IN] = "rx", [PATH_FORWARD] = "forward", [PATH_OUT] = "tx"
	};

	(void)k;
	buf_str(b, path < NPATHS ? names[path] : "?");
}

static int setup(struct bpf_run *r)
{
	const bool lite = bpf_run_in_mode(r, LITE);
	int err;

	if (lite && opts.forward) {
		msg_error("--forward: functions cannot be traced here");
		return -ENOTSUP;
	}
	err = bpf_run_set(r, "lite", &lite, sizeof(lite));
	if (!err && opts.max_packets)
		err = bpf_run_map_size(r, "packets", (uint32_t)opts.max_packets);
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

/* ---- events ---- */

/* From times to durations, and which of them is the longest. */
static void find_slowest(struct bpf_run *r, void *record, size_t size)
{
	struct klat_event *e = record;
	uint32_t on_path = klat_stages(e->path), since = 0, slowest = 0;
	uint64_t last = e->begin, longest = 0;
	struct buf name = { 0 };

	(void)r;
	(void)size;
	for (size_t i = 0; i < NSTAGES; i++) {
		uint64_t end = e->stages[i];

		e->stages[i] = STAGE_ELSEWHERE;
		if (!(on_path >> i & 1))
			continue;
		since |= KLAT_BIT(i);
		e->stages[i] = UINT64_MAX;
		if (!end)
			continue;
		e->stages[i] = end - last;
		if (!slowest || end - last > longest) {
			longest = end - last;
			slowest = since;
		}
		last = end;
		since = 0;
	}
	/* Those it never came to. */
	for (size_t i = 0; i < NSTAGES; i++)
		if (since >> i & 1)
			e->stages[i] = STAGE_ELSEWHERE;
	if (!slowest)
		return;
	stages_text(&name, slowest);
	if (!name.failed) {
		snprintf(e->slowest, sizeof(e->slowest), "%s", name.data);
		e->header.known |= 1ULL << KLAT_F_STAGES | 1ULL << KLAT_F_SLOWEST;
	}
	buf_free(&name);
}

/* ---- what has not ended ---- */

struct standing {
	struct bpf_run *run;
	uint64_t now;
};

/* It stands in the stage after its last stamp. */
static void stand(struct klat_event *e, uint64_t now)
{
	uint32_t on_path = klat_stages(e->path), next = 0;

	for (uint32_t i = 0; i < NSTAGES; i++)
		if (e->stages[i])
			next = i + 1;
	while (next < NSTAGES && !(on_path >> next & 1))
		next++;
	if (next < NSTAGES)
		e->stages[next] = now;
}

static int tell_packet(const void *key, const void *value, size_t copies, void *arg)
{
	struct klat_event e = { .header.type = KLAT_RXKERNEL_SLOW };
	struct standing *s = arg;
	struct klat_packet p;

	(void)key;
	(void)copies;
	memcpy(&p, value, sizeof(p));
	/* Whose it is comes out where IP takes it in. */
	if (p.begin > s->now || (p.path != PATH_OUT && !p.end[STAGE_INGRESS]))
		return 0;
	if (p.path == PATH_OUT)
		e.header.type = KLAT_TXKERNEL_SLOW;
	e.header.netns = p.netns;
	e.header.known = p.known | 1ULL << KLAT_F_LATENCY | 1ULL << KLAT_F_PATH;
	e.tuple = p.tuple;
	e.latency = s->now - p.begin;
	e.begin = p.begin;
	e.path = p.path;
	memcpy(e.stages, p.end, sizeof(e.stages));
	memcpy(e.device, p.device, sizeof(e.device));
	stand(&e, s->now);
	return bpf_run_in_flight(s->run, &e, sizeof(e), p.begin);
}

static int in_flight(struct bpf_run *r)
{
	struct standing s = { .run = r, .now = process_now() };
	int err;

	/* There, packets that TCP takes in otherwise than by its fast path do not end. */
	if (bpf_run_in_mode(r, LITE))
		return 0;
	err = bpf_run_map_each(r, "packets", tell_packet, &s);
	if (err && err != -EPIPE)
		msg_error("packets inside: %s", strerror(-err));
	return err;
}

static int count_lost(struct bpf_run *r)
{
	int err = bpf_run_in_mode(r, LITE) ? 0 : bpf_run_evicted(r, "packets", &evicted);

	if (err)
		msg_error("packets inside: %s", strerror(-err));
	return err;
}

/* ---- counters ---- */

static int add_counted(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *c = key;

	(void)arg;
	return bpf_run_add(r, c->metric, c->netns, NULL, value);
}

/* What is not looked at has no counter, not one that stays 0. */
static int collect(struct bpf_run *r, struct out *o)
{
	uint32_t end = bpf_run_in_mode(r, LITE) ? KLAT_TXSLOW : KLAT_LOSTEVENTS;
	int err = 0;

	(void)o;
	for (uint32_t m = KLAT_RXSLOW; !err && m < end; m++)
		err = bpf_run_add_zeros(r, m, NULL);
	return err ? err : bpf_run_each(r, "counters", add_counted, NULL);
}

/* clang-format off */
static const struct metric metrics[] = {
	[KLAT_RXSLOW] = { "rxslow", NULL, COUNTER, "packets", "Kernel packet receiving slow", SCOPE_NETNS,
	  .advice = { .means = "packets that took more than 10 ms from the device to the socket layer",
		      .normal = "0",
		      .causes = "slow NFQUEUE program; interrupt storm or stolen vCPU; very long rule sets",
		      .confirm = "the slowest stage of RXKERNEL_SLOW",
		      .remedy = "by stage: prerouting, local_in: the rules; ingress: CPU for soft interrupts" } },
	[KLAT_RXSLOW100MS] = { "rxslow100ms", NULL, COUNTER, "packets", "Kernel packet receiving latency exceeds 100ms", SCOPE_NETNS,
	  .advice = { .means = "packets that took more than 100 ms from the device to the socket layer",
		      .normal = "0",
		      .causes = "slow NFQUEUE program; interrupt storm or stolen vCPU; very long rule sets",
		      .confirm = "the slowest stage of RXKERNEL_SLOW",
		      .remedy = "by stage: prerouting, local_in: the rules; ingress: CPU for soft interrupts" } },
	[KLAT_TXSLOW] = { "txslow", NULL, COUNTER, "packets", "Kernel packet transmitting slow", SCOPE_NETNS,
	  .advice = { .means = "packets that took more than 10 ms from IP output to the device",
		      .normal = "0",
		      .causes = "no ARP or neighbour answer (about 1 s); NFQUEUE in OUTPUT or POSTROUTING",
		      .confirm = "the slowest stage of TXKERNEL_SLOW; ip neigh",
		      .remedy = "the silent neighbour; the NFQUEUE program" } },
	[KLAT_TXSLOW100MS] = { "txslow100ms", NULL, COUNTER, "packets", "Kernel packet transmitting latency exceeds 100ms", SCOPE_NETNS,
	  .advice = { .means = "packets that took more than 100 ms from IP output to the device",
		      .normal = "0",
		      .causes = "no ARP or neighbour answer (about 1 s); NFQUEUE in OUTPUT or POSTROUTING",
		      .confirm = "the slowest stage of TXKERNEL_SLOW; ip neigh",
		      .remedy = "the silent neighbour; the NFQUEUE program" } },
	[KLAT_LOSTEVENTS] = LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	[KLAT_HIST_LATENCY] = { "latency", "The whole way through IP", SCOPE_NETNS, "path", path_label },
	[KLAT_HIST_STAGE] = { "stage", "One stage; with + those that have no stamp between them", SCOPE_NETNS, "stage", stages_label },
	{}
};

static const struct event events[] = {
	[KLAT_RXKERNEL_SLOW] = { "RXKERNEL_SLOW", "Kernel packet receiving latency exceeds 100ms",
	  { .means = "a packet took more than 100 ms from the device to the socket layer",
	    .causes = "by its slowest stage. prerouting, local_in: NFQUEUE or rules. ingress: no CPU for soft interrupts",
	    .confirm = "nft list ruleset; skoop net_softirq" } },
	[KLAT_TXKERNEL_SLOW] = { "TXKERNEL_SLOW", "Kernel packet transmitting latency exceeds 100ms",
	  { .means = "a packet took more than 100 ms from IP output to the device",
	    .causes = "by its slowest stage. neigh: unanswered ARP or neighbour discovery, in steps of 1 s. local_out, "
		      "postrouting: NFQUEUE",
	    .confirm = "ip neigh; the program behind NFQUEUE" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(klat_event),
	[KLAT_F_LATENCY] = { FIELD(klat_event, latency, F_NS), .help = "RX: from the device to the socket layer; TX: from IP output to the device" },
	[KLAT_F_STAGES] = { FIELD(klat_event, stages, F_STAGES), .stages = stage_names,
			    .help = "how long in each, in path order; with + those that have no stamp between them" },
	[KLAT_F_SLOWEST] = { FIELD(klat_event, slowest, F_STR), .help = "the longest of these" },
	[KLAT_F_DEVICE] = { FIELD(klat_event, device, F_STR), .help = "where it came in or is to go out; unknown until it is routed" },
	[KLAT_F_PATH] = { FIELD(klat_event, path, F_ENUM), .names = path_name, .help = "local, or forward (with --forward)" },
	{}
};

static const struct knob knobs[] = {
	TUPLE_KNOBS(opts.filter),
	{ 0, "forward", NULL, "Forwarded packets, too, as received ones, until postrouting is passed", KNOB_FLAG, &opts.forward },
	{ 0, "sample", "N", "Only one packet in N, by chance, counts too: costs less", KNOB_NUMBER, &opts.sample, 1, 1 << 24 },
	{ 0, "max-packets", "N", "Room for N packets inside (32768)", KNOB_NUMBER, &opts.max_packets, 1, 1 << 24 },
	{}
};

#define FUNCTION(name) { #name "_fentry", #name "_kprobe" }
#define FULL .mode = LITE, .without = LITE
#define SECONDARY .optional = true, .without = LITE

/*
 * The first decides whether functions can be traced. Then what ends before what begins: at no time something has begun
 * whose end is not seen.
 */
static const struct hook hooks[] = {
	{ "the return of ip_rcv_core", { "ip_rcv_core_fexit", "ip_rcv_core_kretprobe" }, FULL },
	{ "kfree_skb", { "kfree_skb" } },
	{ "consume_skb", { "consume_skb" } },
	{ "net_dev_queue", { "net_dev_queue" } },
	{ "tcp_probe", { "tcp_probe" }, .within = LITE },
	{ "the return of ip_defrag", { "ip_defrag_fexit", "ip_defrag_kprobe" }, SECONDARY },
	{ "ip_forward", FUNCTION(ip_forward), SECONDARY },
	{ "ip6_forward", FUNCTION(ip6_forward), SECONDARY },
	{ "ip_local_deliver_finish", { "ip_local_deliver_finish_fentry", "ip_protocol_deliver_rcu_fentry",
				       "ip_local_deliver_finish_kprobe", "ip_protocol_deliver_rcu_kprobe" }, FULL },
	{ "ip6_protocol_deliver_rcu", FUNCTION(ip6_protocol_deliver_rcu), SECONDARY },
	{ "ip_finish_output", FUNCTION(ip_finish_output), SECONDARY },
	{ "ip6_finish_output", FUNCTION(ip6_finish_output), SECONDARY },
	{ "ip_output", FUNCTION(ip_output), SECONDARY },
	{ "ip_mc_output", FUNCTION(ip_mc_output), SECONDARY },
	{ "ip6_output", FUNCTION(ip6_output), SECONDARY },
	{ "ip_local_deliver", FUNCTION(ip_local_deliver), SECONDARY },
	{ "ip6_input", FUNCTION(ip6_input), SECONDARY },
	{ "the return of nf_hook_slow", { "nf_hook_slow_fexit" }, SECONDARY },
	{ "ip_rcv_finish", FUNCTION(ip_rcv_finish), SECONDARY },
	{ "ip6_rcv_finish", FUNCTION(ip6_rcv_finish), SECONDARY },
	{ "the return of ip6_rcv_core", { "ip6_rcv_core_fexit", "ip6_rcv_core_kretprobe" }, SECONDARY },
	{ "__ip_local_out", FUNCTION(__ip_local_out), FULL },
	{ "__ip6_local_out", FUNCTION(__ip6_local_out), SECONDARY },
	{ "ip6_xmit", FUNCTION(ip6_xmit), SECONDARY },
	{ "netif_receive_skb", { "netif_receive_skb" } },
	{}
};
/* clang-format on */

static const struct tracing tracing = {
	.object = kernellatency_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "packets whose program writes the IP header itself, neighbour discovery, and what NFQUEUE cuts out of merged "
		 "packets; in the mode lite all but what TCP's established connections receive",
	.setup = setup,
	.complete = find_slowest,
	.refresh = count_lost,
	.collect = collect,
	.in_flight = in_flight,
};

static const struct probe kernellatency = {
	.name = "kernellatency",
	.summary = "Trace latency in kernel",
	.question = "Which packets are held up inside the kernel, and where?",
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
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(kernellatency)
