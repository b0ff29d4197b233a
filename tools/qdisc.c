// SPDX-License-Identifier: GPL-2.0-or-later
/* qdisc - the queueing disciplines of each device, as tc -s qdisc counts them. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/netlink.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters, tree;

/* clang-format off */
enum { BYTES, PACKETS, DROPS, QLEN, BACKLOG, OVERLIMITS, REQUEUES, NVALUES };

static const struct metric metrics[] = {
	[BYTES] = { "bytes", "bytes", COUNTER, "bytes", "tc qdisc statistics \"bytes\"",
	  .advice = { .means = "passed through; each GSO segment counts",
		      .confirm = "tc -s qdisc" } },
	[PACKETS] = { "packets", "packets", COUNTER, "packets", "tc qdisc statistics \"packets\"",
	  .advice = { .means = "passed through; each GSO segment counts",
		      .confirm = "tc -s qdisc" } },
	[DROPS] = { "drops", "drops", COUNTER, "packets", "tc qdisc statistics \"drops\"",
	  .flags = M_U32,
	  .advice = { .means = "refused or thrown away by the queue",
		      .normal = "AQM (fq_codel, cake, fq) and shapers drop a little under "
				"load by design",
		      .causes = "link or shaper slower than the senders; burst longer than "
				"the limit; one flow over fq's flow limit; device without "
				"carrier",
		      .confirm = "skoop-qdisc --tree; skoop-packetloss, reasons QDISC_*",
		      .remedy = "pace or shape the sender, more bandwidth; raise the limit "
				"only for bursts: a longer queue turns loss into delay" } },
	[QLEN] = { "qlen", "qlen", GAUGE, "packets", "tc qdisc statistics \"qlen\"",
	  .advice = { .means = "packets waiting now",
		      .normal = "0 or short-lived",
		      .causes = "standing queue: this link is the bottleneck; driver stopped",
		      .confirm = "two samples; skoop-netiftxlatency",
		      .remedy = "pace or shape the sender; fq_codel or fq instead of "
				"pfifo_fast" } },
	[BACKLOG] = { "backlog", "backlog", GAUGE, "bytes", "tc qdisc statistics \"backlog\"",
	  .advice = { .means = "bytes waiting now",
		      .normal = "0 or short-lived",
		      .causes = "standing queue: this link is the bottleneck; driver stopped",
		      .confirm = "two samples; skoop-netiftxlatency",
		      .remedy = "pace or shape the sender; fq_codel or fq instead of "
				"pfifo_fast" } },
	[OVERLIMITS] = { "overlimits", "overlimits", COUNTER, "events",
	  "tc qdisc statistics \"overlimits\"",
	  .flags = M_U32,
	  .advice = { .means = "a packet had to wait for tokens",
		      .normal = "grows in tbf, htb and police as a matter of course",
		      .remedy = "no loss: never alarm on it" } },
	[REQUEUES] = { "requeues", "requeues", COUNTER, "packets",
	  "packets the device refused and the queue took back", .flags = M_ALL | M_U32,
	  .advice = { .means = "device refused, packet put back",
		      .normal = "with BQL and busy rings" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Requeues, too", KNOB_FLAG, &all_counters },
	{ 0, "tree", NULL, "Every qdisc with its handle and parent, instead of one row a device",
	  KNOB_FLAG, &tree },
	{}
};

struct row {
	int ifindex;
	uint32_t handle, parent;
	char device[IFNAMSIZ], kind[IFNAMSIZ];
	unsigned int known; /* bit i: value[i] was sent */
	uint64_t value[NVALUES];
};

struct rows {
	struct row *v;
	size_t n, size;
};

/* clang-format on */

static void set(struct row *r, unsigned int index, uint64_t value)
{
	r->value[index] = value;
	r->known |= 1U << index;
}

/* 0 or -EBADMSG. */
static int read_stats2(const struct nlattr *nest, struct row *r)
{
	static const uint16_t least[] = { [TCA_STATS_BASIC] = 12,
					  [TCA_STATS_QUEUE] = sizeof(struct gnet_stats_queue),
					  [TCA_STATS_PKT64] = 8 };
	const struct nlattr *tb[ARRAY_SIZE(least)];

	if (nl_nested(nest, least, ARRAY_SIZE(least), tb))
		return -EBADMSG;
	if (tb[TCA_STATS_BASIC]) {
		struct gnet_stats_basic basic = { 0 };
		uint64_t packets = 0;

		memcpy(&basic, mnl_attr_get_payload(tb[TCA_STATS_BASIC]), 12);
		if (tb[TCA_STATS_PKT64])
			packets = mnl_attr_get_u64(tb[TCA_STATS_PKT64]);
		/* It may be that of BASIC_HW, what the hardware passed: its low half differs. */
		if ((uint32_t)packets != basic.packets)
			packets = basic.packets;
		set(r, BYTES, basic.bytes);
		set(r, PACKETS, packets);
	}
	if (tb[TCA_STATS_QUEUE]) {
		struct gnet_stats_queue queue;

		memcpy(&queue, mnl_attr_get_payload(tb[TCA_STATS_QUEUE]), sizeof(queue));
		set(r, DROPS, queue.drops);
		set(r, QLEN, queue.qlen);
		set(r, BACKLOG, queue.backlog);
		set(r, OVERLIMITS, queue.overlimits);
		set(r, REQUEUES, queue.requeues);
	}
	return 0;
}

/* The old form, without requeues and 64-bit packets. */
static void read_stats(const struct nlattr *attr, struct row *r)
{
	struct tc_stats stats;

	memcpy(&stats, mnl_attr_get_payload(attr), sizeof(stats));
	set(r, BYTES, stats.bytes);
	set(r, PACKETS, stats.packets);
	set(r, DROPS, stats.drops);
	set(r, QLEN, stats.qlen);
	set(r, BACKLOG, stats.backlog);
	set(r, OVERLIMITS, stats.overlimits);
}

static struct row *rows_add(struct rows *rows)
{
	if (array_grow(&rows->v, &rows->size, rows->n + 1))
		return NULL;
	rows->v[rows->n] = (struct row){ 0 };
	return &rows->v[rows->n++];
}

static int read_qdisc(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = {
		[TCA_KIND] = NL_STRING, [TCA_STATS] = sizeof(struct tc_stats), [TCA_STATS2] = 0
	};
	const struct nlattr *tb[ARRAY_SIZE(least)];
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	struct row *r;

	if (nl_attrs(nlh, sizeof(*tc), least, ARRAY_SIZE(least), tb) || !tb[TCA_KIND])
		return nl_refuse(EBADMSG);
	r = rows_add(arg);
	if (!r)
		return nl_refuse(ENOMEM);
	r->ifindex = tc->tcm_ifindex;
	r->handle = tc->tcm_handle;
	r->parent = tc->tcm_parent;
	snprintf(r->kind, sizeof(r->kind), "%s", mnl_attr_get_str(tb[TCA_KIND]));
	if (tb[TCA_STATS2])
		return read_stats2(tb[TCA_STATS2], r) ? nl_refuse(EBADMSG) : MNL_CB_OK;
	if (tb[TCA_STATS])
		read_stats(tb[TCA_STATS], r);
	return MNL_CB_OK;
}

/* A device that went away meanwhile keeps an empty name. */
static void name_devices(struct mnl_socket *nl, struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct row *r = &rows->v[i];

		/* The qdiscs of one device come together. */
		if (i && r->ifindex == r[-1].ifindex)
			memcpy(r->device, r[-1].device, sizeof(r->device));
		else if (nl_link_name(nl, r->ifindex, r->device))
			r->device[0] = '\0';
	}
}

static int talk(struct mnl_socket *nl, void *arg)
{
	char buffer[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rows *rows = arg;
	int err;

	rows->n = 0;
	nlh->nlmsg_type = RTM_GETQDISC;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct tcmsg));
	err = nl_dump(nl, nlh, read_qdisc, rows);
	if (!err)
		name_devices(nl, rows);
	return err;
}

/* As tc writes it: root, MAJOR:MINOR, an unset part left out. */
static void handle_format(uint32_t handle, char *text, size_t size)
{
	char major[8] = "", minor[8] = "";

	if (TC_H_MAJ(handle) || !TC_H_MIN(handle))
		snprintf(major, sizeof(major), "%x", TC_H_MAJ(handle) >> 16);
	if (TC_H_MIN(handle))
		snprintf(minor, sizeof(minor), "%x", TC_H_MIN(handle));
	if (handle == TC_H_ROOT)
		snprintf(text, size, "root");
	else
		snprintf(text, size, "%s:%s", major, minor);
}

static void emit(const struct target *t, const struct row *r, struct out *o)
{
	char handle[16], parent[16];
	const struct label labels[] = { { "device", r->device },
					{ "kind", r->kind },
					{ tree ? "handle" : NULL, handle },
					{ "parent", parent },
					{} };

	handle_format(r->handle, handle, sizeof(handle));
	handle_format(r->parent, parent, sizeof(parent));
	for (int i = 0; i < NVALUES; i++)
		if (r->known & 1U << i && (all_counters || !(metrics[i].flags & M_ALL)))
			out_metric(o, t, &metrics[i], r->value[i], labels);
}

/*
 * The root contains what its children count, so a device is its root; ingress and clsact hang
 * beside it. A device that never queues has a noqueue that counts nothing: zeros for those who ask
 * for zeros.
 */
static bool wanted(const struct row *r, const struct out *o)
{
	if (!r->device[0] || (!strcmp(r->kind, "noqueue") && !out_options(o)->zeros))
		return false;
	return tree || r->parent == TC_H_ROOT || r->parent == TC_H_INGRESS;
}

static int collect(const struct target *t, struct out *o)
{
	struct rows rows = { 0 };
	int err = nl_run(t, NETLINK_ROUTE, "queueing disciplines", talk, &rows);

	for (size_t i = 0; !err && i < rows.n; i++)
		if (wanted(&rows.v[i], o))
			emit(t, &rows.v[i], o);
	free(rows.v);
	return err;
}

static const struct probe qdisc = {
	.name = "qdisc",
	.summary = "Statistics of tc qdisc",
	.question = "Which device's queue drops packets, and what waits in it?",
	.source = "netlink",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to enter other network namespaces",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.absent = "this kernel has no traffic control",
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(qdisc)
