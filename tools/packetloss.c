// SPDX-License-Identifier: GPL-2.0-or-later
/* packetloss - every packet the kernel drops, why and where. Events and counts come from one tracepoint. */
#include <errno.h>

#include "bpf/packetloss.h"
#include "bpf/packetloss.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/options.h"
#include "libcommon/probe.h"
#include "libcommon/util.h"
#include "tools/drop_reasons.h"
#include "tools/packetloss/packetloss.h"

static struct {
	struct tuple_filter filter;
	const char *reason, *not_reason, *by_list;
	bool benign, count;
	uint64_t rate_limit, top;
	uint32_t by; /* BY_*, what -C counts by */
} opts = { .by = BY_REASON | BY_LOCATION | BY_TUPLE };

static int setup(struct bpf_run *r)
{
	const bool by_place = !has_reasons(bpf_run_kernel(r));
	int err = reasons_set(r, opts.reason, opts.not_reason);

	if (!err)
		err = places_set(r);
	if (!err)
		err = bpf_run_set(r, "label_by_place", &by_place, sizeof(by_place));
	if (!err)
		err = bpf_run_set(r, "count_by", &opts.by, sizeof(opts.by));
	if (!err && !opts.count)
		err = bpf_run_map_size(r, "losses", 1);
	return err;
}

static int collect(struct bpf_run *r, struct out *o)
{
	(void)o;
	return sums_collect(r, opts.count ? opts.by : 0, opts.top);
}

static int check(const struct options *opt)
{
	if (!opts.count && (opts.by_list || opts.top)) {
		msg_error("--%s goes with --count", opts.by_list ? "by" : "top");
		return -EINVAL;
	}
	if (opts.count && (opt->max_events || opts.rate_limit || opt->stack)) {
		msg_error("--count shows no events: --%s does not go with it",
			  opt->max_events   ? "max-events"
			  : opts.rate_limit ? "rate-limit"
					    : "stack");
		return -EINVAL;
	}
	if (opts.by_list && sums_parse(opts.by_list, &opts.by))
		return -EINVAL;
	if (opts.benign)
		opts.by |= BY_VERDICT;
	return 0;
}

static const char *flags_name(const struct kernel *k, uint64_t value)
{
	static const char letters[] = "FSRPAUEC";
	char text[sizeof(letters)];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(letters) - 1; i++)
		if (value >> i & 1)
			text[n++] = letters[i];
	text[n] = '\0';
	return k ? kernel_text(k, "%s", text) : NULL;
}

static const char *icmp_name(const struct kernel *k, uint64_t value)
{
	return k ? kernel_text(k, "%u/%u", (unsigned int)(value >> 8), (unsigned int)(value & 0xff))
		 : NULL;
}

/* clang-format off */
static const struct metric metrics[] = {
	[LOSS_TOTAL] = { "total", NULL, COUNTER, "packets", "Packet dropped total count", SCOPE_NETNS, M_DROP,
	  .advice = { .means = "packets the kernel freed as lost",
		      .normal = "some: closed ports, filters",
		      .causes = "by drop reason",
		      .confirm = "skoop packetloss -C: counts by reason and place" } },
	[LOSS_NETFILTER] = { "netfilter", NULL, COUNTER, "packets", "Packet dropped in `nf_hook_slow()`", SCOPE_NETNS, M_DROP,
	  .advice = { .means = "packets dropped by nftables or iptables, by NFQUEUE or by conntrack",
		      .normal = "what your rules intend",
		      .causes = "a rule; the conntrack table is full",
		      .confirm = "counters of the rules; nft monitor trace; skoop conntrack",
		      .remedy = "the rule" } },
	[LOSS_BYREASON] = { "byreason", NULL, COUNTER, "packets", "Packets dropped, by reason", SCOPE_NETNS, M_EXTRA,
	  .advice = { .means = "packets the kernel freed as lost, by the reason it gives; on kernels without reasons (5.10) the "
			       "label is location, the function that freed them. unknown: a value that nothing names",
		      .confirm = "skoop packetloss --explain REASON" },
	  .label = "reason", .label_text = reason_label },
	[LOSS_COUNT] = { "count", NULL, COUNTER, "packets", "Packets dropped, by what --by names (with -C)", SCOPE_NETNS, M_ALL | M_GAPS,
	  .advice = { .means = "packets the kernel freed as lost, by the labels asked for; - where one has no value" } },
	[LOSS_LOSTEVENTS] = LOST_EVENTS_METRIC,
	{}
};

static const struct event events[] = {
	{ "PacketLoss", "Packet dropped",
	  { .means = "the kernel dropped a packet",
	    .causes = "by its reason; where the kernel names none, by the place it was freed at",
	    .confirm = "skoop packetloss --explain REASON; skoop packetloss -K: with the stack" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(packetloss_event),
	[LOSS_F_REASON] = { FIELD(packetloss_event, reason, F_ENUM), .names = reason_name,
			    .help = "why, in the kernel's words; a number is none of its reasons: see the location" },
	[LOSS_F_REASON_CODE] = { .name = "reason_code", .type = F_UINT, .detail = true,
				 .offset = offsetof(struct packetloss_event, reason), .size = 4,
				 .help = "the same as a number, which means something else on other kernels" },
	[LOSS_F_LOCATION] = { FIELD(packetloss_event, location, F_SYMBOL), .help = "where the kernel gave it up" },
	[LOSS_F_DEVICE] = { FIELD(packetloss_event, device, F_STR), .help = "the device it was at, in or out" },
	[LOSS_F_LEN] = { .detail = true, FIELD(packetloss_event, len, F_UINT), .help = "bytes from the IP header on" },
	[LOSS_F_STATE] = { .detail = true, FIELD(packetloss_event, state, F_STATE), .help = "the TCP socket's state, where it has one" },
	[LOSS_F_TCP_FLAGS] = { .detail = true, FIELD(packetloss_event, tcp_flags, F_ENUM), .names = flags_name,
			       .help = "FSRPAUEC: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR" },
	[LOSS_F_ICMP] = { .detail = true, FIELD(packetloss_event, icmp, F_ENUM), .names = icmp_name, .help = "type/code" },
	[LOSS_F_MARK] = { .detail = true, FIELD(packetloss_event, mark, F_UINT), .help = "the packet's mark" },
	[LOSS_F_VERDICT] = { .detail = true, FIELD(packetloss_event, verdict, F_ENUM), .names = verdict_name,
			     .help = "loss; with --benign also benign and not-ip, which are not counted" },
	[LOSS_F_STACK] = { FIELD(packetloss_event, stack, F_STACK), .help = "how the kernel came there" },
	{}
};

static const struct knob knobs[] = {
	{ 0, "reason", "LIST", "Only drops for these reasons, counts too", KNOB_STRING, &opts.reason },
	{ 0, "not-reason", "LIST", "No drops for these reasons, counts neither", KNOB_STRING, &opts.not_reason },
	TUPLE_KNOBS(opts.filter),
	{ 'C', "count", NULL, "Counts by reason, location and addresses in place of events", KNOB_FLAG, &opts.count },
	{ 0, "by", "LIST", "What -C counts by: reason, location, tuple, protocol, saddr, sport, daddr, dport, device",
	  KNOB_STRING, &opts.by_list },
	{ 0, "top", "N", "Only the N largest of -C", KNOB_NUMBER, &opts.top, 1, UINT32_MAX },
	{ 0, "rate-limit", "N", "At most N events a second; what is left out is counted as lost", KNOB_NUMBER, &opts.rate_limit,
	  1, UINT32_MAX },
	{ 0, "benign", NULL, "Show also what is freed without loss, and what is not IP", KNOB_FLAG, &opts.benign },
	{}
};

/* Needed where the tracepoint does not tell the socket. */
static bool untold(struct kernel *k)
{
	return kernel_tracepoint_args(k, "kfree_skb") < 4;
}

#define HANDS(function) { function, { function, function "_kprobe" }, .optional = true, .wanted = untold }
static const struct hook hooks[] = {
	{ "kfree_skb", { "kfree_skb" } },
	HANDS("tcp_v4_do_rcv"),
	HANDS("tcp_v6_do_rcv"),
	HANDS("tcp_add_backlog"),
	HANDS("tcp_check_req"),
	HANDS("tcp_timewait_state_process"),
	HANDS("__udp_enqueue_schedule_skb"),
	{}
};
/* clang-format on */

static const struct tracing tracing = {
	.object = packetloss_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "packets that devices, their drivers or native XDP drop before the kernel has them; SYNs "
		 "refused for a full accept queue",
	.setup = setup,
	.loaded = places_fill,
	.collect = collect,
};

static const struct probe packetloss = {
	.name = "packetloss",
	.summary = "Trace packet loss",
	.question = "Which packets does the kernel drop, where and why?",
	.source = "eBPF",
	.overhead = "Medium",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.events = events,
	.fields = fields,
	.reasons = drop_reasons,
	.knobs = knobs,
	.counting = &opts.count,
	.tracing = &tracing,
	.check = check,
	.run = bpf_probe_run,
};
PROBE_MAIN(packetloss)
