// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netiftxlatency: how long a packet stands in a device's queue, and how long the driver takes to send it. A packet is
 * known by its address from the queue to the driver; while a driver has it, it lies on a stack of this CPU, for devices
 * hand packets on to devices below them. The kernel's own pointers are read directly: this runs for every packet.
 */
#include "skoop.bpf.h"
#include "names.bpf.h"
#include "tally.bpf.h"
#include "netiftxlatency.h"

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define NETDEV_TX_BUSY 0x10
#define TCQ_F_NOLOCK 0x100 /* include/net/sch_generic.h, since 4.16 */
#define DEQUEUED_MAX 64    /* at once: a device is handed at most that many */
#define DEVICES_MAX 8      /* on top of each other */

const volatile bool only_device = false;
const volatile char filter_device[16] = {};

/* Packets in queues. An entry goes with its packet; one whose end is not seen gives way some time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the packet's address */
	__type(value, struct tx_packet);
} packets SEC(".maps");

/* What drivers of this CPU have been handed: a power of two of them. */
struct frame {
	__u64 skb, dev;
	__u64 started;
	struct tx_packet packet;
};
struct stack {
	__u64 depth;
	struct frame frames[DEVICES_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack);
} stacks SEC(".maps");

/* ---- the queue of a packet ---- */

/* The queueing discipline of a device's queue; to be read with bpf_probe_read_kernel. */
static __always_inline const struct Qdisc *qdisc_at(const struct net_device *dev, __u16 number)
{
	const struct netdev_queue *txq = BPF_CORE_READ(dev, _tx);

	txq = (const void *)((__u64)txq + number * bpf_core_type_size(struct netdev_queue));
	return BPF_CORE_READ(txq, qdisc);
}

/* Whether packets are queued there, else they pass it by. Most devices have one queue, which is cheaper to look at. */
static __always_inline bool has_queue(const struct net_device *dev, __u16 number)
{
	const struct Qdisc *qdisc;

	if (!number)
		return dev->_tx->qdisc->enqueue;
	qdisc = qdisc_at(dev, number);
	return BPF_CORE_READ(qdisc, enqueue);
}

static __always_inline void read_length(const struct net_device *dev, struct tx_packet *p)
{
	__u32 flags, qlen;

	if (!p->queue) {
		flags = dev->_tx->qdisc->flags;
		qlen = dev->_tx->qdisc->q.qlen;
	} else {
		const struct Qdisc *qdisc = qdisc_at(dev, p->queue);

		flags = BPF_CORE_READ(qdisc, flags);
		qlen = BPF_CORE_READ(qdisc, q.qlen);
	}
	/* Those without a lock keep it where it is not to be had. */
	if (flags & TCQ_F_NOLOCK)
		return;
	p->qlen = qlen;
	p->known |= KNOWN(TX_F_QLEN);
}

/* What the device and its queueing discipline are called. */
static __always_inline void read_names(const struct net_device *dev, struct tx_packet *p)
{
	const struct Qdisc *qdisc;

	__builtin_memcpy(p->device, dev->name, sizeof(p->device));
	if (!p->queue) {
		__builtin_memcpy(p->qdisc, dev->_tx->qdisc->ops->id, sizeof(p->qdisc));
	} else {
		qdisc = qdisc_at(dev, p->queue);
		BPF_CORE_READ_INTO(&p->qdisc, qdisc, ops, id);
	}
}

/* ---- what is known of a packet ---- */

static __always_inline bool device_wanted(const struct net_device *dev)
{
	char name[16];

	if (!only_device)
		return true;
	bpf_probe_read_kernel(name, sizeof(name), dev->name);
	for (int i = 0; i < 16; i++) {
		if (name[i] != filter_device[i])
			return false;
		if (!name[i])
			break;
	}
	return true;
}

/* Where the IP header is; NULL: there is none. What is tagged in the packet has its kind right before it. */
static __always_inline const __u8 *find_ip(const struct sk_buff *skb)
{
	const __u8 *l3 = (const __u8 *)skb->head + skb->network_header;
	__be16 type = skb->protocol;

	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
		bpf_probe_read_kernel(&type, sizeof(type), l3 - sizeof(type));
	return type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6) ? l3 : NULL;
}

/* Most packets have no options and are whole: one look is enough. */
static __always_inline void read_tuple(const struct sk_buff *skb, struct tx_packet *p)
{
	const __u8 *l3 = find_ip(skb);
	struct {
		struct iphdr ip;
		__be16 ports[2];
	} v4;
	struct packet slow;

	if (!l3)
		return;
	if (!bpf_probe_read_kernel(&v4, sizeof(v4), l3) && v4.ip.version == 4 && v4.ip.ihl == 5 &&
	    !(v4.ip.frag_off & bpf_htons(0x1fff)) && has_ports(v4.ip.protocol)) {
		p->tuple.protocol = v4.ip.protocol;
		address_v4(p->tuple.saddr, v4.ip.saddr);
		address_v4(p->tuple.daddr, v4.ip.daddr);
		p->tuple.sport = bpf_ntohs(v4.ports[0]);
		p->tuple.dport = bpf_ntohs(v4.ports[1]);
		p->known = KNOWN_TUPLE;
	} else if (!packet_read_at(l3, &slow)) {
		p->tuple = slow.tuple;
		p->known = slow.known;
	}
}

/* false: not asked for. `p` is all zero. */
static __always_inline bool read_packet(const struct sk_buff *skb, const struct net_device *dev,
					struct tx_packet *p)
{
	const struct skb_shared_info *info = (const void *)(skb->head + skb->end);

	p->netns = dev->nd_net.net->ns.inum;
	if (!netns_wanted(p->netns) || !device_wanted(dev))
		return false;
	if (with_events || only_address || knob_port) {
		read_tuple(skb, p);
		if (!tuple_wanted(&p->tuple, p->known))
			return false;
	}
	p->queue = skb->queue_mapping;
	p->len = skb->len;
	p->segs = BPF_CORE_READ(info, gso_segs);
	if (!p->segs)
		p->segs = 1;
	return true;
}

/* ---- samples ---- */

/* By the device's name. */
static __always_inline void spread(const struct tx_packet *p, __u32 stage, __u64 ns)
{
	char name[LABEL_NAME] __attribute__((aligned(8))) = {};

	if (!with_hists)
		return;
	__builtin_memcpy(name, p->device, sizeof(p->device));
	hist_add(p->netns, stage, label_of_name(name), ns);
}

/* Whether more than counting is to be done, for which the device's name is needed. */
static __always_inline bool is_told(__u64 ns)
{
	return with_hists || (with_events && ns > threshold_ns);
}

static __always_inline void sample(const struct tx_packet *p, __u32 stage, __u64 ns)
{
	struct tx_event *e;

	if (ns > SLOW_100MS_NS)
		count(p->netns, stage, 1);
	spread(p, stage, ns);
	if (!with_events || ns <= threshold_ns || !event_reserve(e))
		return;
	event_begin(&e->header, stage, p->netns,
		    p->known | KNOWN(TX_F_LATENCY) | KNOWN(TX_F_DEVICE) | KNOWN(TX_F_QUEUE) |
			    KNOWN(TX_F_QDISC) | KNOWN(TX_F_LEN) | KNOWN(TX_F_SEGS));
	e->tuple = p->tuple;
	e->latency = ns;
	e->len = p->len;
	e->qlen = p->qlen;
	e->queue = p->queue;
	e->segs = p->segs;
	__builtin_memcpy(e->device, p->device, sizeof(e->device));
	__builtin_memcpy(e->qdisc, p->qdisc, sizeof(e->qdisc));
	bpf_ringbuf_submit(e, 0);
}

/* ---- the queue ---- */

static __always_inline void packet_enter(__u64 skb, const struct tx_packet *p)
{
	if (bpf_map_update_elem(&packets, &skb, p, BPF_ANY))
		lose(LOST_MAP, 1);
	else
		tally_one(TALLY_MADE);
}

/* It is there. Counted first: whoever counts meanwhile shall not miss it. */
static __always_inline void packet_leave(__u64 skb)
{
	tally_one(TALLY_ENDED);
	bpf_map_delete_elem(&packets, &skb);
}

SEC("?tp_btf/net_dev_queue")
int BPF_PROG(net_dev_queue, struct sk_buff *skb)
{
	const struct net_device *dev = skb->dev;
	struct tx_packet p = {};

	if (!has_queue(dev, skb->queue_mapping) || !read_packet(skb, dev, &p))
		return 0;
	read_names(dev, &p);
	read_length(dev, &p);
	p.queued = bpf_ktime_get_ns();
	packet_enter((__u64)skb, &p);
	return 0;
}

/* What a driver is handed may be a list, what is left in the queue nothing. */
SEC("?tp_btf/qdisc_dequeue")
int BPF_PROG(qdisc_dequeue, struct Qdisc *qdisc, void *txq, int n, struct sk_buff *skb)
{
	__u64 now;

	if (!skb)
		return 0;
	now = bpf_ktime_get_ns();
	for (int i = 0; i < DEQUEUED_MAX && i < n && skb; i++) {
		__u64 key = (__u64)skb;
		struct tx_packet *p = bpf_map_lookup_elem(&packets, &key);

		if (p)
			p->dequeued = now;
		skb = skb->next;
	}
	return 0;
}

/* Dropped. */
SEC("?tp_btf/kfree_skb")
int BPF_PROG(kfree_skb, struct sk_buff *skb)
{
	__u64 key = (__u64)skb;

	if (bpf_map_lookup_elem(&packets, &key))
		packet_leave(key);
	return 0;
}

/* Cut into segments the driver can take; one that never stood in a queue is no sample. */
SEC("?tp_btf/consume_skb")
int BPF_PROG(consume_skb, struct sk_buff *skb)
{
	__u64 key = (__u64)skb;
	struct tx_packet *p = bpf_map_lookup_elem(&packets, &key);

	if (!p)
		return 0;
	if (p->dequeued)
		sample(p, TX_QDISC, p->dequeued - p->queued);
	packet_leave(key);
	return 0;
}

/* ---- the driver ---- */

/* Takes the packet from its queue's table, or looks at one that passed by. false: not asked for. */
static __always_inline bool packet_take(const struct sk_buff *skb, const struct net_device *dev,
					struct tx_packet *to)
{
	__u64 key = (__u64)skb;
	struct tx_packet *p = NULL;

	if (has_queue(dev, skb->queue_mapping))
		p = bpf_map_lookup_elem(&packets, &key);
	if (!p) {
		__builtin_memset(to, 0, sizeof(*to));
		return read_packet(skb, dev, to);
	}
	*to = *p;
	packet_leave(key);
	return true;
}

SEC("?tp_btf/net_dev_start_xmit")
int BPF_PROG(net_dev_start_xmit, struct sk_buff *skb, struct net_device *dev)
{
	__u32 zero = 0;
	struct stack *s = bpf_map_lookup_elem(&stacks, &zero);
	struct frame *f;
	__u64 depth;

	if (!s)
		return 0;
	/* As deep as no devices are: what lies there is not coming back. */
	depth = s->depth < DEVICES_MAX ? s->depth : 0;
	f = &s->frames[depth & (DEVICES_MAX - 1)];
	if (!packet_take(skb, dev, &f->packet))
		return 0;
	f->skb = (__u64)skb;
	f->dev = (__u64)dev;
	s->depth = depth + 1;
	f->started = bpf_ktime_get_ns();
	return 0;
}

/* The packet may be gone: what is to be told of it was read before. */
static __always_inline void frame_end(struct frame *f, const struct net_device *dev, int result,
				      __u64 now)
{
	struct tx_packet *p = &f->packet;
	__u64 took = now - f->started;

	if (result == NETDEV_TX_BUSY) {
		if (p->queued)
			packet_enter(f->skb, p);
		return;
	}
	if (p->queued)
		sample(p, TX_QDISC, f->started - p->queued);
	if (!p->device[0] && is_told(took))
		read_names(dev, p);
	sample(p, TX_NETDEV, took);
}

SEC("?tp_btf/net_dev_xmit")
int BPF_PROG(net_dev_xmit, struct sk_buff *skb, int result, struct net_device *dev)
{
	__u32 zero = 0;
	struct stack *s = bpf_map_lookup_elem(&stacks, &zero);
	struct frame *f = NULL;
	__u64 depth, now;

	if (!s || !s->depth)
		return 0;
	now = bpf_ktime_get_ns();
	depth = s->depth;
	/* What lies above it never came back. */
	for (int i = 0; i < DEVICES_MAX && depth; i++) {
		depth--;
		f = &s->frames[depth & (DEVICES_MAX - 1)];
		if (f->skb == (__u64)skb && f->dev == (__u64)dev)
			break;
		f = NULL;
	}
	if (!f)
		return 0;
	s->depth = depth;
	frame_end(f, dev, result, now);
	return 0;
}
