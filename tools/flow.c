// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * flow - who sends how much to whom: bytes and packets of each flow, counted at two tracepoints that every packet
 * passes. Which devices count is decided here and told the kernel half; nothing is attached to a device.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bpf/flow.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/caps.h"
#include "libcommon/format.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/process.h"
#include "libcommon/target.h"
#include "tools/flow/flow.h"

/* clang-format off */
static const char *const by_words[] = { "5tuple", "pair", "dport", "proto", NULL };
enum sort { SORT_BYTES, SORT_PACKETS };
static const char *const sort_words[] = { "bytes", "packets", NULL };

static struct tuple_filter filter;
static struct choice choice;
static unsigned int by, sort;
static bool no_ports;
static uint64_t top, idle, max_flows;

enum { BYTES, PACKETS };

static const struct metric metrics[] = {
	[BYTES] = { "bytes", NULL, COUNTER, "bytes", "Bytes sent connection flow",
	  .advice = { .means = "bytes from the IP header on, of one flow and direction; headers count once a segment on the wire",
		      .confirm = "skoop flow --top 10 1; ip -s link for the sum" } },
	[PACKETS] = { "packets", NULL, COUNTER, "packets", "Packets sent of connection flow",
	  .advice = { .means = "packets on the wire of one flow and direction; a merged packet counts as what it was merged from",
		      .confirm = "skoop flow --top 10 1; ip -s link for the sum" } },
	{ "lostevents", NULL, COUNTER, "flows", "Flows lost", SCOPE_HOST, M_EXTRA | M_SELF,
	  .advice = { .means = "flows that had to give way to others, with what they had counted; and packets that found no room "
			       "or whose headers could not be read",
		      .normal = "0",
		      .causes = "more flows than --max-flows: a scan, a flood, very many clients",
		      .remedy = "--max-flows; --no-ports or --by; --idle; a filter" } },
	{}
};

static const char *const labels[] = {
	[FIELD_PROTOCOL] = "protocol",
	[FIELD_SADDR] = "saddr",
	[FIELD_SPORT] = "sport",
	[FIELD_DADDR] = "daddr",
	[FIELD_DPORT] = "dport",
	[NFIELDS_TUPLE] = "device",
	NULL
};

static const struct knob knobs[] = {
	{ 0, "top", "N", "Only the N largest flows, of each interval if there is one", KNOB_NUMBER, &top, 1, UINT32_MAX },
	{ 0, "sort", "WHAT", "Largest by bytes (default) or packets", KNOB_WORD, &sort, .words = sort_words },
	{ 0, "by", "WHAT", "Add up by 5tuple (default), pair of addresses, dport or proto", KNOB_WORD, &by, .words = by_words },
	{ 0, "no-ports", NULL, "Add up over ports", KNOB_FLAG, &no_ports },
	{ 0, "idle", "SECS", "Forget flows that have been idle for SECS; needs INTERVAL", KNOB_NUMBER, &idle, 1, 1000000000 },
	{ 0, "device", "GLOB", "Count at these devices, not at those of the default routes", KNOB_STRING, &choice.glob },
	{ 0, "all-devices", NULL, "Count at every device that a packet passes, loopback too", KNOB_FLAG, &choice.all },
	{ 0, "max-flows", "N", "Room for N flows (65536; with --by 16384)", KNOB_NUMBER, &max_flows, 1, 1 << 24 },
	TUPLE_KNOBS(filter),
	{}
};

static const struct hook hooks[] = {
	{ "netif_receive_skb", { "netif_receive_skb" } },
	{ "net_dev_start_xmit", { "net_dev_start_xmit" } },
	{}
};
/* clang-format on */

/* Flows of what is gone that a run without rounds keeps for its end. */
#define ENDED_MAX (1 << 20)

static struct {
	bool rounds;
	struct devices devices;
	uint64_t asked_for; /* a sum over the targets whose devices these are */
	uint64_t entered;   /* devices the kernel half has entered by then */
	uint64_t due;       /* when all is looked at again */
	struct flows flows; /* of this round */
	struct flows ended; /* of devices that count no more, for the end of a run without rounds */
	struct arena ended_arena; /* of their owners and names */
	struct history before;
	uint64_t forgotten, evicted, unread; /* in all */
} state;

static int check(const struct options *opt)
{
	const char *why = NULL;

	state.rounds = opt->interval;
	if (choice.all && choice.glob)
		why = "--all-devices leaves nothing for --device to choose";
	else if (no_ports && by == FLOW_BY_DPORT)
		why = "--by dport and --no-ports exclude each other";
	else if (idle && !opt->interval)
		why = "--idle needs INTERVAL: a run without rounds forgets nothing";
	if (why)
		msg_error("%s", why);
	return why ? -EINVAL : 0;
}

/* Few rows that all CPUs add to have a value for each CPU; very many, each of which mostly meets one CPU, have one. */
static int setup(struct bpf_run *r)
{
	const bool loopback = choice.all || choice.glob;
	uint64_t size = max_flows ? max_flows : by == FLOW_BY_5TUPLE ? 65536 : 16384;
	int err = bpf_run_set(r, "with_loopback", &loopback, sizeof(loopback));

	if (!err && by != FLOW_BY_5TUPLE)
		err = bpf_run_map_type(r, "flows", BPF_MAP_TYPE_LRU_PERCPU_HASH);
	if (!err)
		err = bpf_run_map_size(r, "flows", (uint32_t)size);
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

/* ---- devices ---- */

static void forget(struct bpf_run *r, const struct flow *f)
{
	state.forgotten += !bpf_map_delete_elem(bpf_run_map(r, "flows"), &f->key);
}

/* Marks what counted and does so no more, for this owner; its name and owner are kept for as long as they are needed. */
static int mark_gone(const struct devices *fresh, size_t *n)
{
	for (size_t i = 0; i < state.devices.n; i++) {
		struct device *d = &state.devices.v[i], *is;

		if (!d->name || !(d->value.flags & FLOW_COUNTED))
			continue;
		is = devices_find(fresh, d->place.netns, d->place.ifindex);
		if (is && is->value.flags & FLOW_COUNTED && target_same(is->owner, d->owner))
			continue;
		d->gone = true;
		++*n;
		if (state.rounds)
			continue;
		d->owner = target_copy(&state.ended_arena, d->owner);
		d->name = arena_str(&state.ended_arena, d->name, strlen(d->name));
		if (!d->owner || !d->name)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Takes what was counted at devices that do so no more out of the kernel half's table: the number of a namespace that
 * is gone is soon another's. A run without rounds shows it at its end.
 */
static int settle(struct bpf_run *r, const struct devices *fresh)
{
	size_t gone = 0;
	int err = mark_gone(fresh, &gone);

	if (!err && gone)
		err = flows_read(&state.flows, r);
	for (size_t i = 0; !err && gone && i < state.flows.n; i++) {
		struct flow *f = &state.flows.v[i];
		const struct device *d = devices_find(&state.devices, f->key.netns, f->key.ifindex);

		if (!d || !d->gone)
			continue;
		forget(r, f);
		f->owner = d->owner;
		f->device = d->name;
		if (state.rounds)
			continue;
		if (state.ended.n < ENDED_MAX)
			err = flows_add(&state.ended, f);
		else
			bpf_run_lost(r, "map", 1);
	}
	return err;
}

/* What the kernel half has entered is looked at first, so that nothing younger than the list is taken for a stranger. */
static int look(struct bpf_run *r)
{
	uint64_t start = process_now(), entered = bpf_run_tally(r, "tally", FLOW_DEVICES), took;
	struct devices fresh = { 0 };
	int err = devices_strangers(&fresh, &state.devices, r);

	if (!err && entered != state.entered)
		err = bpf_run_search_again(r);
	if (!err)
		err = devices_read(&fresh, bpf_run_targets(r), &choice);
	if (!err && fresh.refused && !fresh.read) {
		caps_report(CAP_TO_MASK(CAP_SYS_ADMIN),
			    "cannot ask any network namespace for its devices");
		err = -EPERM;
	}
	devices_sort(&fresh);
	if (!err)
		err = settle(r, &fresh);
	if (!err)
		err = devices_install(&fresh, &state.devices, r);
	if (err) {
		devices_free(&fresh);
		return err;
	}
	devices_free(&state.devices);
	state.devices = fresh;
	state.entered = entered;
	state.asked_for = targets_sum(bpf_run_targets(r));
	/* Routes may change at any time, but to ask for them all shall not take more than half a percent of a CPU. */
	took = process_now() - start;
	state.due = start + took * 200 + NSEC_PER_SEC;
	return 0;
}

static int refresh(struct bpf_run *r)
{
	int err = 0;

	if (process_now() >= state.due || bpf_run_tally(r, "tally", FLOW_DEVICES) != state.entered ||
	    targets_sum(bpf_run_targets(r)) != state.asked_for)
		err = look(r);
	if (err == -ENOMEM)
		msg_error("out of memory");
	return err;
}

/* ---- flows ---- */

/* Adds up what the kernel half could not keep; `made` was read before the flows were. */
static void tell_lost(struct bpf_run *r, uint64_t made)
{
	uint64_t evicted = made - state.forgotten, unread = bpf_run_tally(r, "tally", FLOW_UNREAD);

	evicted = evicted > state.flows.n ? evicted - state.flows.n : 0;
	if (evicted > state.evicted) {
		bpf_run_lost(r, "map", evicted - state.evicted);
		state.evicted = evicted;
	}
	if (unread > state.unread) {
		bpf_run_lost(r, "header", unread - state.unread);
		state.unread = unread;
	}
}

/* Whether the flow is one of this round: 1, 0, or -ENOMEM. */
static int settle_flow(struct bpf_run *r, struct flow *f, struct history *seen, uint64_t now)
{
	const struct device *d = devices_find(&state.devices, f->key.netns, f->key.ifindex);

	/* A device the kernel half entered just now is not known here yet. */
	if (!d)
		return 0;
	if (!(d->value.flags & FLOW_COUNTED)) {
		forget(r, f);
		return 0;
	}
	f->owner = d->owner;
	f->device = d->name;
	history_compare(&state.before, f, now);
	if (idle && now - f->changed >= idle * NSEC_PER_SEC && flow_rests(r, f)) {
		forget(r, f);
		return 0;
	}
	f->rank = sort == SORT_PACKETS ? f->grown.packets : f->grown.bytes;
	return state.rounds && history_keep(seen, f) ? -ENOMEM : 1;
}

/* This round's flows. 0 or -errno. */
static int take_flows(struct bpf_run *r)
{
	struct flows *fs = &state.flows;
	uint64_t made = bpf_run_tally(r, "tally", FLOW_MADE), now = process_now();
	struct history seen = { 0 };
	int err = flows_read(fs, r), one;
	size_t n = 0;

	if (err)
		return err;
	tell_lost(r, made);
	for (size_t i = 0; !err && i < fs->n; i++) {
		one = settle_flow(r, &fs->v[i], &seen, now);
		if (one > 0)
			fs->v[n++] = fs->v[i];
		else
			err = one;
	}
	fs->n = n;
	for (size_t i = 0; !err && i < state.ended.n; i++)
		err = flows_add(fs, &state.ended.v[i]);
	arena_free(&state.before.arena);
	state.before = seen;
	return err;
}

/* ---- output ---- */

static void write_texts(const struct tuple *t, struct buf text[NFIELDS_TUPLE])
{
	const char *protocol = protocol_name(t->protocol);

	for (size_t i = 0; i < NFIELDS_TUPLE; i++)
		text[i].len = 0;
	if (protocol)
		buf_str(&text[FIELD_PROTOCOL], protocol);
	else
		buf_u64(&text[FIELD_PROTOCOL], t->protocol);
	buf_address(&text[FIELD_SADDR], t->saddr);
	buf_u64(&text[FIELD_SPORT], t->sport);
	buf_address(&text[FIELD_DADDR], t->daddr);
	buf_u64(&text[FIELD_DPORT], t->dport);
}

/* What is not known of the packets, or not told apart, has no label. */
static void emit(struct out *o, const struct flow *f, struct buf text[NFIELDS_TUPLE])
{
	struct label list[ARRAY_SIZE(labels)] = { 0 }, *at = list;
	const uint64_t values[] = { f->n.bytes, f->n.packets },
		       grown[] = { f->grown.bytes, f->grown.packets };

	write_texts(&f->key.tuple, text);
	for (size_t i = 0; i < NFIELDS_TUPLE; i++)
		if (f->key.known >> i & 1)
			*at++ = (struct label){ labels[i], text[i].data };
	*at = (struct label){ labels[NFIELDS_TUPLE], f->device };
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		out_metric_grown(o, f->owner, &metrics[i], values[i], grown[i], list);
}

static int collect(struct bpf_run *r, struct out *o)
{
	const bool ranked = top || out_options(o)->format == OUT_TABLE;
	struct buf text[NFIELDS_TUPLE] = { 0 };
	struct flows *fs = &state.flows;
	int err = take_flows(r);

	if (err) {
		msg_error("flows: %s", strerror(-err));
		return err;
	}
	if (!ranked || state.ended.n)
		flows_merge(fs);
	if (ranked) {
		flows_rank(fs);
		out_in_order(o);
	}
	for (size_t i = 0; i < fs->n && (!top || i < top); i++)
		emit(o, &fs->v[i], text);
	for (size_t i = 0; i < NFIELDS_TUPLE; i++)
		buf_free(&text[i]);
	if (state.devices.refused)
		out_denied(o, "network namespaces", state.devices.refused,
			   CAP_TO_MASK(CAP_SYS_ADMIN));
	if (state.evicted)
		out_note(
			o,
			"there are more flows than --max-flows has room for: those idle longest gave way");
	return 0;
}

static const struct tracing tracing = {
	.object = flow_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "packets that XDP or AF_XDP takes before the network stack or sends beside it; those a CNI's eBPF hands into a "
		 "pod's device (bpf_redirect_peer); what macvlan and ipvlan devices receive, which counts at the device below",
	.setup = setup,
	.refresh = refresh,
	.collect = collect,
};

static const struct probe flow = {
	.name = "flow",
	.summary = "Statistics of connection flow",
	.question = "Who sends how much to whom, and through which device?",
	.source = "eBPF",
	.overhead = "Medium",
	.needs = TRACING_NEEDS ", CAP_SYS_ADMIN for the devices of other network namespaces",
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.labels = labels,
	.knobs = knobs,
	.check = check,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(flow)
