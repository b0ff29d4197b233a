// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernellatency: how long a packet takes through the IP stack, and where. It is known by its address; each function it
 * passes puts a stamp on its entry, which goes with the packet on every way out: delivered, handed to a device,
 * forwarded, freed, or held back as a fragment. What the rules of a hook queue to a program comes back as it was.
 */
#include "skoop.bpf.h"
#include "tally.bpf.h"
#include "kernellatency.h"

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define NF_INET_PRE_ROUTING 0

const volatile bool lite = false; /* functions cannot be traced */
const volatile bool knob_forward = false;
const volatile __u64 knob_sample = 1;

/* One whose end is not seen gives way some time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the packet's address */
	__type(value, struct klat_packet);
} packets SEC(".maps");

/* ---- packets inside ---- */

static __always_inline struct klat_packet *packet_of(const struct sk_buff *skb)
{
	__u64 key = (__u64)skb;

	return bpf_map_lookup_elem(&packets, &key);
}

static __always_inline void packet_leave(const struct sk_buff *skb)
{
	__u64 key = (__u64)skb;

	if (!bpf_map_delete_elem(&packets, &key))
		tally_one(TALLY_ENDED);
}

/* Takes the place of whatever had the same address. */
static __always_inline void packet_enter(const struct sk_buff *skb, const struct klat_packet *p)
{
	struct klat_packet *old = packet_of(skb);
	__u64 key = (__u64)skb;

	if (knob_sample > 1 && bpf_get_prandom_u32() % knob_sample) {
		if (old)
			packet_leave(skb);
	} else if (old) {
		*old = *p;
	} else if (bpf_map_update_elem(&packets, &key, p, BPF_ANY)) {
		lose(LOST_MAP, 1);
	} else {
		tally_one(TALLY_MADE);
	}
}

/* The first time only; false: that is not its path, or not the first time. */
static __always_inline bool stamp(struct klat_packet *p, __u32 path, __u32 stage)
{
	if (p->path != path || p->end[stage])
		return false;
	p->end[stage] = bpf_ktime_get_ns();
	return true;
}

static __always_inline void read_device(const struct sk_buff *skb, struct klat_packet *p)
{
	__u32 netns;
	const struct net_device *dev;

	if (!with_events)
		return;
	dev = dev_of_skb(skb, &netns);
	if (!dev)
		return;
	bpf_probe_read_kernel(p->device, sizeof(p->device), dev->name);
	p->known |= KNOWN(KLAT_F_DEVICE);
}

/* false: a later fragment, whose ports are not known. */
static __always_inline bool read_tuple(const struct sk_buff *skb, struct klat_packet *p)
{
	struct packet packet;

	if (!with_events && !only_address && !knob_port)
		return true;
	if (packet_read(skb, &packet))
		return true;
	p->tuple = packet.tuple;
	p->known |= packet.known;
	return packet.l4;
}

static __always_inline bool packet_wanted(const struct klat_packet *p)
{
	return netns_wanted(p->netns) && tuple_wanted(&p->tuple, p->known);
}

/* ---- samples ---- */

static __always_inline void spread(const struct klat_packet *p, __u64 total)
{
	__u32 on_path = klat_stages(p->path), since = 0;
	__u64 last = p->begin;

	if (!with_hists)
		return;
	hist_add(p->netns, KLAT_HIST_LATENCY, p->path, total);
	for (int i = 0; i < NSTAGES; i++) {
		if (!(on_path >> i & 1))
			continue;
		since |= 1U << i;
		if (!p->end[i])
			continue;
		hist_add(p->netns, KLAT_HIST_STAGE, since, p->end[i] - last);
		last = p->end[i];
		since = 0;
	}
}

static __always_inline void send(const struct klat_packet *p, __u64 total)
{
	struct klat_event *e;

	if (!event_reserve(e))
		return;
	event_begin(&e->header, p->path == PATH_OUT ? KLAT_TXKERNEL_SLOW : KLAT_RXKERNEL_SLOW,
		    p->netns, p->known | KNOWN(KLAT_F_LATENCY) | KNOWN(KLAT_F_PATH));
	e->tuple = p->tuple;
	e->latency = total;
	e->begin = p->begin;
	__builtin_memcpy(e->stages, p->end, sizeof(e->stages));
	e->path = p->path;
	__builtin_memcpy(e->device, p->device, sizeof(e->device));
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void sample(const struct klat_packet *p, __u64 end)
{
	__u64 total = end - p->begin;
	__u32 metric = p->path == PATH_OUT ? KLAT_TXSLOW : KLAT_RXSLOW;

	if (total > SLOW_NS)
		count(p->netns, metric, 1);
	if (total > SLOW_100MS_NS)
		count(p->netns, metric + 1, 1);
	spread(p, total);
	if (with_events && total > threshold_ns)
		send(p, total);
}

/* ---- the way in ---- */

SEC("?tp_btf/netif_receive_skb")
int BPF_PROG(netif_receive_skb, struct sk_buff *skb)
{
	struct klat_packet p = {};
	__be16 type = skb->protocol;
	const struct iphdr *ip = (const void *)skb->data;

	/* A tag that the card has left in: whether IP is behind it is seen where IP takes it. */
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6) &&
	    (lite || (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))))
		return 0;
	if (lite) {
		__u8 protocol = type == bpf_htons(ETH_P_IP)
					? BPF_CORE_READ(ip, protocol)
					: BPF_CORE_READ((const struct ipv6hdr *)ip, nexthdr);

		if (protocol != IPPROTO_TCP)
			return 0;
		read_device(skb, &p);
	}
	p.begin = bpf_ktime_get_ns();
	packet_enter(skb, &p);
	return 0;
}

/* Taken in by IP: here at last it belongs to the device that is shown, which may be in another namespace. */
static __always_inline int rcv_core(const struct sk_buff *skb)
{
	struct klat_packet *p = skb ? packet_of(skb) : NULL;

	if (!p || !stamp(p, PATH_IN, STAGE_INGRESS))
		return 0;
	dev_of_skb(skb, &p->netns);
	read_device(skb, p);
	if (read_tuple(skb, p) && !packet_wanted(p))
		packet_leave(skb);
	return 0;
}

/* A packet that was dropped is not returned. */
SEC("?fexit/ip_rcv_core")
int ip_rcv_core_fexit(__u64 *ctx)
{
	return rcv_core((const struct sk_buff *)ctx[2]);
}

SEC("?kretprobe/ip_rcv_core")
int ip_rcv_core_kretprobe(struct pt_regs *ctx)
{
	return rcv_core((const struct sk_buff *)PT_REGS_RC(ctx));
}

SEC("?fexit/ip6_rcv_core")
int ip6_rcv_core_fexit(__u64 *ctx)
{
	return rcv_core((const struct sk_buff *)ctx[3]);
}

SEC("?kretprobe/ip6_rcv_core")
int ip6_rcv_core_kretprobe(struct pt_regs *ctx)
{
	return rcv_core((const struct sk_buff *)PT_REGS_RC(ctx));
}

/* A hook's rules have let it go on. Bridges run them before IP has the packet. */
static __always_inline int prerouted(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (p && p->end[STAGE_INGRESS])
		stamp(p, PATH_IN, STAGE_PREROUTING);
	return 0;
}

SEC("?fexit/nf_hook_slow")
int nf_hook_slow_fexit(__u64 *ctx)
{
	const struct nf_hook_state *state = (const void *)ctx[1];
	__u8 family;

	if ((int)ctx[4] != 1 || BPF_CORE_READ_BITFIELD_PROBED(state, hook) != NF_INET_PRE_ROUTING)
		return 0;
	family = BPF_CORE_READ_BITFIELD_PROBED(state, pf);
	if (family == AF_INET || family == AF_INET6)
		prerouted((const struct sk_buff *)ctx[0]);
	return 0;
}

/* 0: what it was called for is whole now and goes on; else it waits for the other fragments, or is refused. */
SEC("?fexit/ip_defrag")
int ip_defrag_fexit(__u64 *ctx)
{
	const struct sk_buff *skb = (const void *)ctx[1];
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	if ((int)ctx[3])
		packet_leave(skb);
	else
		read_tuple(skb, p);
	return 0;
}

static __always_inline int local(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (p)
		stamp(p, PATH_IN, STAGE_ROUTE);
	return 0;
}

static __always_inline int delivered(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p || !p->end[STAGE_INGRESS] || !stamp(p, PATH_IN, STAGE_LOCAL_IN))
		return 0;
	if (packet_wanted(p))
		sample(p, p->end[STAGE_LOCAL_IN]);
	packet_leave(skb);
	return 0;
}

static __always_inline int forwarded(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	if (knob_forward && p->end[STAGE_INGRESS] && stamp(p, PATH_IN, STAGE_ROUTE))
		p->path = PATH_FORWARD;
	else
		packet_leave(skb);
	return 0;
}

/* ---- the way out ---- */

static __always_inline int out_begins(const struct sk_buff *skb, struct klat_packet *p)
{
	p->path = PATH_OUT;
	if (packet_wanted(p)) {
		p->begin = bpf_ktime_get_ns();
		packet_enter(skb, p);
	} else if (packet_of(skb)) {
		packet_leave(skb);
	}
	return 0;
}

static __always_inline int local_out(const struct net *net, const struct sk_buff *skb)
{
	struct klat_packet p = { .netns = BPF_CORE_READ(net, ns.inum) };

	read_tuple(skb, &p);
	return out_begins(skb, &p);
}

/* TCP over IPv6 passes by __ip6_local_out(), and has no IP header here yet. */
static __always_inline int xmit6(const struct sock *sk, const struct sk_buff *skb,
				 const struct flowi6 *flow)
{
	struct klat_packet p = { .netns = netns_of_sock(sk) };

	BPF_CORE_READ_INTO((struct in6_addr *)p.tuple.saddr, flow, saddr);
	BPF_CORE_READ_INTO((struct in6_addr *)p.tuple.daddr, flow, daddr);
	p.tuple.protocol = BPF_CORE_READ(flow, __fl_common.flowic_proto);
	p.known = KNOWN_ADDRESSES;
	if (has_ports(p.tuple.protocol)) {
		p.tuple.sport = bpf_ntohs(BPF_CORE_READ(flow, uli.ports.sport));
		p.tuple.dport = bpf_ntohs(BPF_CORE_READ(flow, uli.ports.dport));
		p.known |= KNOWN_PORTS;
	}
	return out_begins(skb, &p);
}

static __always_inline int output(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (p && !stamp(p, PATH_OUT, STAGE_LOCAL_OUT))
		stamp(p, PATH_FORWARD, STAGE_FORWARD);
	return 0;
}

static __always_inline int finish_output(const struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	if (stamp(p, PATH_OUT, STAGE_POSTROUTING)) {
		read_device(skb, p);
	} else if (stamp(p, PATH_FORWARD, STAGE_POSTROUTING)) {
		if (packet_wanted(p))
			sample(p, p->end[STAGE_POSTROUTING]);
		packet_leave(skb);
	}
	return 0;
}

SEC("?tp_btf/net_dev_queue")
int BPF_PROG(net_dev_queue, struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	if (stamp(p, PATH_OUT, STAGE_NEIGH)) {
		read_device(skb, p);
		sample(p, p->end[STAGE_NEIGH]);
	}
	packet_leave(skb);
	return 0;
}

/* ---- gone ---- */

SEC("?tp_btf/kfree_skb")
int BPF_PROG(kfree_skb, struct sk_buff *skb)
{
	if (packet_of(skb))
		packet_leave(skb);
	return 0;
}

/* On the way out it may have been cut up. */
SEC("?tp_btf/consume_skb")
int BPF_PROG(consume_skb, struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	if (p->path == PATH_OUT && p->end[STAGE_POSTROUTING])
		sample(p, p->end[STAGE_POSTROUTING]);
	packet_leave(skb);
	return 0;
}

static __always_inline int left(const struct sk_buff *skb)
{
	if (packet_of(skb))
		packet_leave(skb);
	return 0;
}

/* Where functions cannot be traced: an established connection takes it. */
SEC("?tp_btf/tcp_probe")
int BPF_PROG(tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	struct klat_packet *p = packet_of(skb);

	if (!p)
		return 0;
	p->netns = netns_of_sock(sk);
	read_tuple(skb, p);
	if (packet_wanted(p))
		sample(p, bpf_ktime_get_ns());
	packet_leave(skb);
	return 0;
}

/* ---- functions whose nth argument is the packet ---- */

#define FUNCTION(function, n, body)                                                                \
	SEC("?fentry/" #function)                                                                  \
	int function##_fentry(__u64 *ctx)                                                          \
	{                                                                                          \
		return body((const struct sk_buff *)ctx[(n)-1]);                                   \
	}                                                                                          \
	SEC("?kprobe/" #function)                                                                  \
	int function##_kprobe(struct pt_regs *ctx)                                                 \
	{                                                                                          \
		return body((const struct sk_buff *)PT_REGS_PARM##n(ctx));                         \
	}

FUNCTION(ip_rcv_finish, 3, prerouted)
FUNCTION(ip6_rcv_finish, 3, prerouted)
FUNCTION(ip_local_deliver, 1, local)
FUNCTION(ip6_input, 1, local)
FUNCTION(ip_local_deliver_finish, 3, delivered)
FUNCTION(ip_protocol_deliver_rcu, 2, delivered)
FUNCTION(ip6_protocol_deliver_rcu, 2, delivered)
FUNCTION(ip_forward, 1, forwarded)
FUNCTION(ip6_forward, 1, forwarded)
FUNCTION(ip_output, 3, output)
FUNCTION(ip_mc_output, 3, output)
FUNCTION(ip6_output, 3, output)
FUNCTION(ip_finish_output, 3, finish_output)
FUNCTION(ip6_finish_output, 3, finish_output)

/* Without its result: fragments are not timed. */
SEC("?kprobe/ip_defrag")
int BPF_KPROBE(ip_defrag_kprobe, void *net, struct sk_buff *skb)
{
	return left(skb);
}

#define LOCAL_OUT(function)                                                                        \
	SEC("?fentry/" #function)                                                                  \
	int function##_fentry(__u64 *ctx)                                                          \
	{                                                                                          \
		return local_out((const struct net *)ctx[0], (const struct sk_buff *)ctx[2]);      \
	}                                                                                          \
	SEC("?kprobe/" #function)                                                                  \
	int function##_kprobe(struct pt_regs *ctx)                                                 \
	{                                                                                          \
		return local_out((const struct net *)PT_REGS_PARM1(ctx),                           \
				 (const struct sk_buff *)PT_REGS_PARM3(ctx));                      \
	}

LOCAL_OUT(__ip_local_out)
LOCAL_OUT(__ip6_local_out)

SEC("?fentry/ip6_xmit")
int ip6_xmit_fentry(__u64 *ctx)
{
	return xmit6((const struct sock *)ctx[0], (const struct sk_buff *)ctx[1],
		     (const struct flowi6 *)ctx[2]);
}

SEC("?kprobe/ip6_xmit")
int BPF_KPROBE(ip6_xmit_kprobe, struct sock *sk, struct sk_buff *skb, struct flowi6 *flow)
{
	return xmit6(sk, skb, flow);
}
