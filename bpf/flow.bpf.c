// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * flow: bytes and packets by who sends to whom, counted where a device takes a packet in and where it is handed one to
 * send. The kernel's own pointers are read directly: this runs for every packet of the machine.
 */
#include "skoop.bpf.h"
#include "tally.bpf.h"

#include "flow.h"

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_HLEN 14
#define ARPHRD_ETHER 1
#define LOOPBACK_IFINDEX 1

/* Bits of skb_shared_info.gso_type; include/linux/skbuff.h, never moved. */
#define SKB_GSO_TCP (1 << 0 | 1 << 4) /* v4, v6 */
#define SKB_GSO_UDP_L4 (1 << 17)

#define DEVICES_MAX 4 /* on top of each other */

const volatile bool with_loopback = false;
const volatile __u32 knob_by = FLOW_BY_5TUPLE;
const volatile bool knob_no_ports = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_place);
	__type(value, struct flow_device);
} devices SEC(".maps");

/* One value a flow: a flow's packets of one direction mostly meet on one CPU. User space makes it one a CPU for --by. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow_count);
} flows SEC(".maps");

/* ---- devices ---- */

static __always_inline struct flow_device device_at(const struct flow_place *place)
{
	struct flow_device none = {}, unseen = { .flags = FLOW_COUNTED }, *d;

	d = bpf_map_lookup_elem(&devices, place);
	if (!d) {
		if (!netns_wanted(place->netns))
			return none;
		if (!bpf_map_update_elem(&devices, place, &unseen, BPF_NOEXIST))
			tally_one(FLOW_DEVICES);
		d = bpf_map_lookup_elem(&devices, place);
	}
	if (!d) {
		lose(LOST_MAP, 1);
		return none;
	}
	return *d;
}

/* ---- where the packet's headers are ---- */

struct wire {
	const __u8 *l3; /* the IP header */
	__u32 len;      /* from there on */
	__u64 vlans;    /* numbers of the tags before it, 16 bits each, the outermost lowest */
};

static __always_inline bool is_ip(__be16 type)
{
	return type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6);
}

static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Steps over tags in the packet to the IP header; `type` is what stands at `at`. false: there is none. */
static __always_inline bool find_ip(const __u8 *at, __be16 type, struct wire *w)
{
	int shift = w->vlans ? 16 : 0;
	struct {
		__be16 tci, type;
	} tag;

#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (!is_vlan(type))
			break;
		if (bpf_probe_read_kernel(&tag, sizeof(tag), at))
			return false;
		w->vlans |= (__u64)(bpf_ntohs(tag.tci) & 0xfff) << shift;
		shift += 16;
		type = tag.type;
		at += sizeof(tag);
	}
	w->l3 = at;
	return is_ip(type);
}

/* The tag a device took off the packet, as a number; 0: none. */
static __always_inline __u16 vlan_of(const struct sk_buff *skb)
{
	const struct sk_buff___vlan_present *old = (const void *)skb;

	if (bpf_core_field_exists(old->vlan_present) ? !BPF_CORE_READ_BITFIELD(old, vlan_present)
						     : !skb->vlan_proto)
		return 0;
	return skb->vlan_tci & 0xfff;
}

/* Received: the link header is off, the data begins with what `protocol` says. */
static __always_inline bool find_received(const struct sk_buff *skb, struct wire *w)
{
	const __u8 *data = skb->data;

	w->vlans = vlan_of(skb);
	return find_ip(data, skb->protocol, w);
}

/*
 * To be sent: the data begins with the link header, if the device has any. Where the network stack made the packet it
 * says where the IP header is; else (tags in the packet, AF_XDP) the Ethernet header leads there.
 */
static __always_inline bool find_sent(const struct sk_buff *skb, const struct net_device *dev,
				      struct wire *w)
{
	const __u8 *data = skb->data;
	__be16 type = skb->protocol;

	w->vlans = 0;
	if (is_ip(type)) {
		w->l3 = (const __u8 *)skb->head + skb->network_header;
		return true;
	}
	if ((type && !is_vlan(type)) || dev->type != ARPHRD_ETHER ||
	    bpf_probe_read_kernel(&type, sizeof(type), data + ETH_HLEN - sizeof(type)))
		return false;
	return find_ip(data + ETH_HLEN, type, w);
}

/* Reads the headers. false: they are not to be had, which is counted. */
static __always_inline bool read_headers(const struct sk_buff *skb, struct wire *w, struct packet *p)
{
	__u32 len = skb->len, linear = len - skb->data_len;
	__u64 before = w->l3 - (const __u8 *)skb->data;

	if (before > linear || before + sizeof(struct iphdr) > linear || packet_read_at(w->l3, p)) {
		tally_one(FLOW_UNREAD);
		return false;
	}
	w->len = len - before;
	if (p->l4 && p->header_bytes + 4 > linear - before)
		p->known &= ~KNOWN_PORTS;
	return true;
}

/* ---- what it was on the wire ---- */

static __always_inline __u32 tcp_bytes(const __u8 *l4)
{
	__u8 offset = 0;

	bpf_probe_read_kernel(&offset, sizeof(offset), l4 + 12);
	return (offset >> 4) * 4;
}

/* The headers that each segment of a merged packet has, from the IP header on. */
static __always_inline __u32 segment_headers(const struct sk_buff *skb, const struct packet *p,
					     __u32 type)
{
	const __u8 *l4 = p->l4;
	__u32 n = p->header_bytes;

	if (BPF_CORE_READ_BITFIELD(skb, encapsulation)) {
		l4 = (const __u8 *)skb->head + skb->inner_transport_header;
		n = l4 - p->l3;
	}
	if (type & SKB_GSO_TCP)
		return n + tcp_bytes(l4);
	if (type & SKB_GSO_UDP_L4)
		return n + sizeof(struct udphdr);
	return p->tuple.protocol == IPPROTO_SCTP ? n + 12 : n;
}

static __always_inline struct flow_count measure(const struct sk_buff *skb, const struct wire *w,
						 const struct packet *p)
{
	const struct skb_shared_info *info = (const void *)(skb->head + skb->end);
	struct flow_count n = { .bytes = w->len, .packets = 1 };
	__u16 size = BPF_CORE_READ(info, gso_size);
	__u32 headers, segs;

	if (!size) {
		/* Short frames are padded. */
		if (p->l3_bytes && p->l3_bytes < w->len)
			n.bytes = p->l3_bytes;
		return n;
	}
	headers = segment_headers(skb, p, BPF_CORE_READ(info, gso_type));
	segs = BPF_CORE_READ(info, gso_segs);
	if (headers >= w->len)
		return n;
	/* More than 64 KiB of IPv6 carry a hop-by-hop header that says so, which no segment has. */
	if (!p->l3_bytes && p->header_bytes == sizeof(struct ipv6hdr) + 8) {
		headers -= 8;
		n.bytes -= 8;
	}
	/* From a virtual machine or a card the number does not come along. */
	if (!segs)
		segs = (n.bytes - headers + size - 1) / size;
	n.packets = segs;
	n.bytes += (__u64)(segs - 1) * headers;
	return n;
}

/* ---- counting ---- */

/* What --by and --no-ports do not tell apart is the same. */
static __always_inline void key_of(const struct packet *p, __u32 netns, struct flow_key *key)
{
	__u32 known = p->known;

	__builtin_memset(key, 0, sizeof(*key));
	key->netns = netns;
	if (knob_no_ports || knob_by == FLOW_BY_PAIR || knob_by == FLOW_BY_PROTO)
		known &= ~KNOWN_PORTS;
	if (knob_by == FLOW_BY_DPORT)
		known &= ~KNOWN(FIELD_SPORT);
	if (knob_by == FLOW_BY_DPORT || knob_by == FLOW_BY_PROTO)
		known &= ~(KNOWN(FIELD_SADDR) | KNOWN(FIELD_DADDR));
	if (knob_by == FLOW_BY_PAIR)
		known &= ~KNOWN(FIELD_PROTOCOL);
	key->known = known;
	if (known & KNOWN(FIELD_PROTOCOL))
		key->tuple.protocol = p->tuple.protocol;
	if (known & KNOWN(FIELD_SPORT))
		key->tuple.sport = p->tuple.sport;
	if (known & KNOWN(FIELD_DPORT))
		key->tuple.dport = p->tuple.dport;
	if (known & KNOWN(FIELD_SADDR)) {
		__builtin_memcpy(key->tuple.saddr, p->tuple.saddr, 16);
		__builtin_memcpy(key->tuple.daddr, p->tuple.daddr, 16);
	}
}

static __always_inline void add(const struct flow_key *key, const struct flow_count *n)
{
	struct flow_count *have = bpf_map_lookup_elem(&flows, key);

	if (!have) {
		if (!bpf_map_update_elem(&flows, key, n, BPF_NOEXIST)) {
			tally_one(FLOW_MADE);
			return;
		}
		have = bpf_map_lookup_elem(&flows, key);
	}
	if (have) {
		__sync_fetch_and_add(&have->bytes, n->bytes);
		__sync_fetch_and_add(&have->packets, n->packets);
	} else {
		lose(LOST_MAP, n->packets);
	}
}

/*
 * A bond, a team or a VLAN device is handed what arrived below it without a second pass through the hook: they are
 * followed as the kernel does, VLANs first.
 */
static __always_inline struct flow_device device_above(struct flow_place *place, __u32 upper,
						       __u64 *vlans)
{
	struct flow_device none = {}, *d = NULL;

	place->vlan = *vlans & 0xffff;
	if (place->vlan)
		d = bpf_map_lookup_elem(&devices, place);
	if (d) {
		upper = d->upper;
		*vlans >>= 16;
	}
	if (!upper)
		return none;
	place->vlan = 0;
	place->ifindex = upper;
	d = bpf_map_lookup_elem(&devices, place);
	return d ? *d : none;
}

SEC("?tp_btf/netif_receive_skb")
int BPF_PROG(netif_receive_skb, struct sk_buff *skb)
{
	const struct net_device *dev = skb->dev;
	struct flow_place place = { .netns = dev->nd_net.net->ns.inum, .ifindex = dev->ifindex };
	struct flow_device device;
	struct flow_count n;
	struct flow_key key;
	struct packet p;
	struct wire w;

	/* What loopback receives was counted when it was sent. */
	if (place.ifindex == LOOPBACK_IFINDEX)
		return 0;
	device = device_at(&place);
	/* A packet that comes back from an intermediate queue (ifb) was counted when it came. */
	if (!device.flags || BPF_CORE_READ_BITFIELD(skb, tc_skip_classify))
		return 0;
	if (!find_received(skb, &w) || !read_headers(skb, &w, &p) ||
	    !tuple_wanted(&p.tuple, p.known))
		return 0;
	n = measure(skb, &w, &p);
	key_of(&p, place.netns, &key);
	for (int i = 0; i < DEVICES_MAX; i++) {
		key.ifindex = place.ifindex;
		if (device.flags & FLOW_COUNTED)
			add(&key, &n);
		if (!(device.flags & FLOW_STACKED))
			break;
		device = device_above(&place, device.upper, &w.vlans);
	}
	return 0;
}

SEC("?tp_btf/net_dev_start_xmit")
int BPF_PROG(net_dev_start_xmit, struct sk_buff *skb, struct net_device *dev)
{
	struct flow_place place = { .netns = dev->nd_net.net->ns.inum, .ifindex = dev->ifindex };
	struct flow_count n;
	struct flow_key key;
	struct packet p;
	struct wire w;

	if (!with_loopback && place.ifindex == LOOPBACK_IFINDEX)
		return 0;
	if (!(device_at(&place).flags & FLOW_COUNTED))
		return 0;
	if (!find_sent(skb, dev, &w) || !read_headers(skb, &w, &p) ||
	    !tuple_wanted(&p.tuple, p.known))
		return 0;
	n = measure(skb, &w, &p);
	key_of(&p, place.netns, &key);
	key.ifindex = place.ifindex;
	add(&key, &n);
	return 0;
}
