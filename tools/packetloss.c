// SPDX-License-Identifier: GPL-2.0-or-later
/* packetloss - every packet the kernel drops, why and where. Events and counts come from one tracepoint. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "bpf/packetloss.h"
#include "bpf/packetloss.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/format.h"
#include "libcommon/kernel.h"
#include "libcommon/nearest.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static struct {
	struct tuple_filter filter;
	const char *reason, *not_reason, *by;
	bool benign, count;
	uint64_t rate_limit, top;
	uint32_t count_by; /* BY_* */
} opts = { .count_by = BY_REASON | BY_LOCATION | BY_TUPLE };

/* ---- reasons ---- */

static const char drop_enum[] = "skb_drop_reason", drop_prefix[] = "SKB_DROP_REASON_";

/* Subsystems that number their own, by the enum that names them. */
static const struct {
	const char *subsystem, *type;
} subsystem_enums[] = {
	{ "MAC80211_UNUSABLE", "mac80211_drop_reason" },
	{ "MAC80211_MONITOR", "mac80211_drop_reason" },
	{ "OPENVSWITCH", "ovs_drop_reason" },
	{ "QDISC", "qdisc_drop_reason" },
};

/* NULL: the kernel's own, or none of that number. */
static const char *subsystem_name(const struct kernel *k, uint64_t number)
{
	const char *name = number ? kernel_enum_name(k, "skb_drop_reason_subsys",
						     "SKB_DROP_REASON_SUBSYS_", number)
				  : NULL;

	return name && strcmp(name, "NUM") ? name : NULL;
}

/* As the running kernel calls it; NULL: it has no such value. Valid until the next call. */
static const char *reason_name(const struct kernel *k, uint64_t value)
{
	const char *subsystem = subsystem_name(k, value >> 16), *name = NULL;

	if (!subsystem)
		return value >> 16 ? NULL : kernel_enum_name(k, drop_enum, drop_prefix, value);
	for (size_t i = 0; !name && i < ARRAY_SIZE(subsystem_enums); i++)
		if (!strcmp(subsystem_enums[i].subsystem, subsystem))
			name = kernel_enum_name(k, subsystem_enums[i].type, "", value);
	return name ? name : kernel_text(k, "%s:%u", subsystem, (unsigned int)(value & 0xffff));
}

/* How many values the filter and the counters tell apart. */
#define REASONS (REASON_SUBSYSTEMS * REASON_VALUES)

static uint32_t reason_at(size_t i)
{
	return (uint32_t)(i / REASON_VALUES << 16 | i % REASON_VALUES);
}

/* Sets the bit on each reason of the list; -EINVAL after one message. */
static int mark_reasons(const struct kernel *k, const char *option, const char *list,
			uint8_t *classes, uint8_t bit)
{
	auto_free char *copy = strdup(list);
	size_t skip = sizeof(drop_prefix) - 1;
	char *rest = copy;

	for (const char *word; rest && (word = strsep(&rest, ","));) {
		struct nearest near = { .name = strncasecmp(word, drop_prefix, skip) ? word
										     : word + skip };
		struct buf guess = { 0 };
		bool found = false;

		for (size_t i = 0; i < REASONS; i++) {
			const char *name = classes[i] & CLASS_KNOWN ? reason_name(k, reason_at(i))
								    : NULL;

			if (name && !strcasecmp(name, near.name)) {
				classes[i] |= bit;
				found = true;
			} else if (name && !strchr(name, ':')) {
				nearest_offer(&near, name);
			}
		}
		if (found)
			continue;
		nearest_print(&near, &guess);
		msg_error("--%s: this kernel has no drop reason '%s'%s", option, word,
			  guess.data ? guess.data : "");
		buf_free(&guess);
		return -EINVAL;
	}
	return copy ? 0 : -ENOMEM;
}

/* The kernel's own reasons that say something of the packet by themselves. */
static const struct {
	const char *name;
	uint8_t class;
} telling[] = {
	{ "SKB_CONSUMED", CLASS_BENIGN },
	{ "SKB_DROP_REASON_QUEUE_PURGE", CLASS_BENIGN },
	{ "SKB_DROP_REASON_SOCKET_CLOSE", CLASS_BENIGN },
	/* The copy for a capture; the packet itself went on. */
	{ "SKB_DROP_REASON_PACKET_SOCK_ERROR", CLASS_BENIGN },
	{ "SKB_DROP_REASON_NETFILTER_DROP", CLASS_NETFILTER },
	{ "SKB_DROP_REASON_NOT_SPECIFIED", CLASS_UNSAID },
};

static int set_reasons(struct bpf_run *r)
{
	struct kernel *k = bpf_run_kernel(r);
	uint8_t classes[REASONS] = { 0 }, unknown = 0;
	uint64_t value;
	int err = 0;

	if (kernel_tracepoint_args(k, "kfree_skb") < 3 && (opts.reason || opts.not_reason)) {
		msg_error(
			"--%s: this kernel gives no drop reasons (5.17 and later do); see the locations",
			opts.reason ? "reason" : "not-reason");
		return -ENOTSUP;
	}
	for (size_t i = 0; i < REASONS; i++)
		if (reason_name(k, reason_at(i)))
			classes[i] = CLASS_KNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(telling); i++)
		if (kernel_enum_value(k, drop_enum, telling[i].name, &value) &&
		    value < REASON_VALUES)
			classes[value] |= telling[i].class;
	if (opts.not_reason)
		err = mark_reasons(k, "not-reason", opts.not_reason, classes, CLASS_UNWANTED);
	if (!err && opts.reason) {
		uint8_t wanted[REASONS];

		memcpy(wanted, classes, sizeof(wanted));
		err = mark_reasons(k, "reason", opts.reason, wanted, 0x80);
		for (size_t i = 0; i < REASONS; i++)
			if (!(wanted[i] & 0x80))
				classes[i] |= CLASS_UNWANTED;
		unknown = CLASS_UNWANTED;
	}
	if (!err)
		err = bpf_run_set(r, "class_of_reason", classes, sizeof(classes));
	return err ? err : bpf_run_set(r, "class_of_unknown", &unknown, sizeof(unknown));
}

/* ---- places ---- */

/* In the order of strcmp. What is freed there was not lost, or the firewall threw it away; always, or on all kernels. */
static const struct known_place {
	const char *name;
	uint8_t class;
} functions[] = {
	{ "icmpv6_rcv", CLASS_BENIGN_UNSAID }, /* up to 6.1 also what was handled */
	{ "inet_sock_destruct", CLASS_BENIGN },
	{ "ip6_mc_input", CLASS_BENIGN }, /* of a group that nobody here has joined */
	{ "nf_hook_slow", CLASS_NETFILTER },
	{ "nf_queue", CLASS_NETFILTER },
	{ "nf_reinject", CLASS_NETFILTER },
	{ "nfnetlink_rcv_batch", CLASS_BENIGN },
	{ "nfqnl_reinject", CLASS_NETFILTER },
	{ "packet_rcv", CLASS_BENIGN },
	{ "packet_sock_destruct", CLASS_BENIGN },
	{ "sk_stream_kill_queues", CLASS_BENIGN },
	{ "skb_queue_purge", CLASS_BENIGN },
	{ "skb_queue_purge_reason", CLASS_BENIGN },
	{ "skb_rbtree_purge", CLASS_BENIGN },
	{ "tcp_disconnect", CLASS_BENIGN },
	{ "tcp_write_queue_purge", CLASS_BENIGN },
	{ "tpacket_rcv", CLASS_BENIGN },
	{ "udp_destruct_common", CLASS_BENIGN },
	{ "udp_destruct_sock", CLASS_BENIGN },
	{ "unix_release_sock", CLASS_BENIGN },
},
/* Where the kernel does not call a drop NETFILTER_DROP, all that these do is one. */
modules[] = {
	{ "ip6_tables", CLASS_NETFILTER },
	{ "ip_tables", CLASS_NETFILTER },
	{ "nf_conntrack", CLASS_NETFILTER },
	{ "nf_nat", CLASS_NETFILTER },
	{ "nf_tables", CLASS_NETFILTER },
	{ "nfnetlink_queue", CLASS_NETFILTER },
	{ "x_tables", CLASS_NETFILTER },
};

struct places {
	struct place v[PLACES];
	uint32_t n;
	bool by_module, full;
	bool letters[256]; /* that a function's name may begin with */
	size_t functions;  /* seen in all */
};

/* A function's parts that the compiler moved elsewhere are called name.cold, name.part.0… */
static int place_order(const void *name, const void *row)
{
	const struct known_place *place = row;
	size_t len = strcspn(name, ".");
	int order = strncmp(name, place->name, len);

	return order ? order : -(int)(strlen(place->name) > len);
}

static void add_place(const char *name, const char *module, uint64_t from, uint64_t to, void *arg)
{
	struct places *p = arg;
	const struct known_place *found = NULL;

	p->functions++;
	if (p->letters[(unsigned char)*name]) /* a hundred thousand come by */
		found = bsearch(name, functions, ARRAY_SIZE(functions), sizeof(*functions),
				place_order);
	if (!found && *module && p->by_module)
		found = bsearch(module, modules, ARRAY_SIZE(modules), sizeof(*modules), place_order);
	if (!found || from == to)
		return;
	if (p->n && p->v[p->n - 1].to == from && p->v[p->n - 1].class == found->class)
		p->v[p->n - 1].to = to;
	else if (p->n < PLACES)
		p->v[p->n++] = (struct place){ from, to, found->class };
	else
		p->full = true;
}

static int set_places(struct bpf_run *r)
{
	struct kernel *k = bpf_run_kernel(r);
	struct places p = { 0 };
	uint64_t value;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		p.letters[(unsigned char)*functions[i].name] = true;
	p.by_module = !kernel_enum_value(k, drop_enum, "SKB_DROP_REASON_NETFILTER_DROP", &value);
	kernel_each_function(k, add_place, &p);
	if (!p.functions)
		msg_warn("what sockets leave unread when they close may be counted as lost");
	if (p.full)
		msg_warn("more places than there is room for; some are not told apart");
	err = bpf_run_set(r, "places", p.v, sizeof(p.v));
	return err ? err : bpf_run_set(r, "nplaces", &p.n, sizeof(p.n));
}

static bool has_reasons(struct kernel *k)
{
	return kernel_tracepoint_args(k, "kfree_skb") > 2;
}

static int setup(struct bpf_run *r)
{
	const bool by_place = !has_reasons(bpf_run_kernel(r));
	int err = set_reasons(r);

	if (!err)
		err = set_places(r);
	if (!err)
		err = bpf_run_set(r, "label_by_place", &by_place, sizeof(by_place));
	if (!err)
		err = bpf_run_set(r, "count_by", &opts.count_by, sizeof(opts.count_by));
	if (!err && !opts.count)
		err = bpf_run_map_size(r, "losses", 1);
	return err;
}

/* ---- counts ---- */

static void put_reason(const struct kernel *k, uint32_t reason, struct buf *b)
{
	const char *name = reason == REASON_UNKNOWN ? "unknown" : reason_name(k, reason);

	if (name)
		buf_str(b, name);
	else
		buf_u64(b, reason);
}

static void put_place(const char *name, uint64_t location, struct buf *b)
{
	if (name)
		buf_str(b, name);
	else
		buf_printf(b, "0x%" PRIx64, location);
}

static void reason_label(const struct kernel *k, uint64_t value, struct buf *b)
{
	put_reason(k, (uint32_t)value, b);
}

/* A loss is counted once; the totals are made of that. */
static int add_losses(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *c = key;
	struct kernel *k = bpf_run_kernel(r);
	bool by_place = !has_reasons(k);
	struct buf b = { 0 };
	struct label label[] = { { by_place ? "location" : "reason", NULL }, {} };
	int err = bpf_run_add(r, LOSS_TOTAL, c->netns, NULL, value);

	(void)arg;
	if (!err && c->metric == LOSS_NETFILTER)
		err = bpf_run_add(r, LOSS_NETFILTER, c->netns, NULL, value);
	if (err || opts.count)
		return err;
	if (by_place) {
		put_place(kernel_function(k, c->label), c->label, &b);
	} else {
		reason_label(k, c->label, &b);
	}
	label[0].value = b.data;
	err = b.failed ? -ENOMEM : bpf_run_add(r, LOSS_BYREASON, c->netns, label, value);
	buf_free(&b);
	return err;
}

static const char *verdict_name(const struct kernel *k, uint64_t value)
{
	static const char *const verdicts[] = {
		[VERDICT_LOSS] = "loss", [VERDICT_BENIGN] = "benign", [VERDICT_NOT_IP] = "not-ip"
	};

	(void)k;
	return value < ARRAY_SIZE(verdicts) ? verdicts[value] : NULL;
}

static const char *const by_names[] = { "reason", "location", "protocol", "saddr",  "sport",
					"daddr",  "dport",    "device",   "verdict" };

/* The text of the key's part that stands at bit i of BY_*. */
static void key_text(struct kernel *k, const struct loss_key *key, size_t i, struct buf *b)
{
	const char *protocol = protocol_name(key->tuple.protocol);

	switch (1U << i) {
	case BY_REASON: put_reason(k, key->reason, b); break;
	case BY_LOCATION: put_place(kernel_symbol(k, key->location), key->location, b); break;
	case BY_PROTOCOL:
		if (protocol)
			buf_str(b, protocol);
		else
			buf_u64(b, key->tuple.protocol);
		break;
	case BY_SADDR: buf_address(b, key->tuple.saddr); break;
	case BY_SPORT: buf_u64(b, key->tuple.sport); break;
	case BY_DADDR: buf_address(b, key->tuple.daddr); break;
	case BY_DPORT: buf_u64(b, key->tuple.dport); break;
	case BY_DEVICE: buf_add(b, key->device, strnlen(key->device, sizeof(key->device))); break;
	case BY_VERDICT: buf_str(b, verdict_name(k, key->verdict)); break;
	}
}

static int add_counted(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	struct label labels[ARRAY_SIZE(by_names) + 1] = { 0 };
	size_t at[ARRAY_SIZE(by_names)], n = 0;
	const struct loss_key *lk = key;
	struct buf b = { 0 };
	int err;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(by_names); i++) {
		if (!(opts.count_by >> i & 1))
			continue;
		labels[n].name = by_names[i];
		at[n++] = b.len;
		if (lk->known >> i & 1)
			key_text(bpf_run_kernel(r), lk, i, &b);
		else
			buf_str(&b, "-");
		buf_add(&b, "", 1);
	}
	for (size_t i = 0; i < n && !b.failed; i++)
		labels[i].value = b.data + at[i];
	err = b.failed ? -ENOMEM : bpf_run_add(r, LOSS_COUNT, lk->netns, labels, value);
	buf_free(&b);
	return err;
}

static int collect(struct bpf_run *r, struct out *o)
{
	int err = bpf_run_add_zeros(r, LOSS_TOTAL);

	(void)o;
	if (!err)
		err = bpf_run_add_zeros(r, LOSS_NETFILTER);
	if (!err)
		err = bpf_run_each(r, "counters", add_losses, NULL);
	if (!err && opts.count) {
		bpf_run_rank(r, LOSS_COUNT, opts.top);
		err = bpf_run_each(r, "losses", add_counted, NULL);
	}
	return err;
}

/* ---- options ---- */

static int parse_by(const char *list)
{
	auto_free char *copy = strdup(list);
	char *rest = copy;

	opts.count_by = 0;
	for (const char *word; rest && (word = strsep(&rest, ","));) {
		size_t i = 0;

		while (i < ARRAY_SIZE(by_names) && strcmp(by_names[i], word))
			i++;
		if (i < ARRAY_SIZE(by_names)) {
			opts.count_by |= 1U << i;
		} else if (!strcmp(word, "tuple")) {
			opts.count_by |= BY_TUPLE;
		} else {
			msg_error("--by takes a list of reason, location, tuple, protocol, saddr, sport, daddr, dport and "
				  "device, not '%s'",
				  word);
			return -EINVAL;
		}
	}
	return 0;
}

static int check(const struct options *opt)
{
	if (!opts.count && (opts.by || opts.top)) {
		msg_error("--%s goes with --count", opts.by ? "by" : "top");
		return -EINVAL;
	}
	if (opts.count && (opt->max_events || opts.rate_limit || opt->stack)) {
		msg_error("--count shows no events: --%s does not go with it",
			  opt->max_events   ? "max-events"
			  : opts.rate_limit ? "rate-limit"
					    : "stack");
		return -EINVAL;
	}
	if (opts.by && parse_by(opts.by))
		return -EINVAL;
	if (opts.benign)
		opts.count_by |= BY_VERDICT;
	return 0;
}

/* ---- fields ---- */

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
	  KNOB_STRING, &opts.by },
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
	.knobs = knobs,
	.counting = &opts.count,
	.tracing = &tracing,
	.check = check,
	.run = bpf_probe_run,
};
PROBE_MAIN(packetloss)
