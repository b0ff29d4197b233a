/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel half of every probe uses: the common maps, filters, counters, and the readers of packets and sockets.
 * A program filters first, counts second, and sends an event last. Everything is read through CO-RE with
 * bpf_probe_read_kernel, so that the same reader serves tracepoints, functions and kprobes.
 *
 * An argument that a hook has on some kernels only is not declared: `if (args_HOOK > 2) x = ctx[2];` reads it where it is.
 */
#ifndef SKOOP_BPF_H
#define SKOOP_BPF_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "compat.bpf.h"
#include "event.h"
#include "shared.h"
#include "tuple.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/* ---- what user space sets before loading; constants to the verifier, which drops what they rule out ---- */

const volatile bool with_events = true;   /* somebody reads them */
const volatile bool with_stack = false;   /* -K */
const volatile bool with_hists = false;   /* -D */
const volatile bool only_targets = false; /* the map `targets` holds all that is asked for */
const volatile bool only_address = false;
const volatile __u8 filter_address[16] = {};
const volatile __u8 filter_mask[16] = {};
const volatile __u64 knob_port = 0; /* --port, 0: any */
const volatile __u64 threshold_ns = 0;

/* ---- the common maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct counter_key);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NLOST);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32); /* inode number of a network namespace */
	__type(value, __u8);
} targets SEC(".maps");

/* ---- counting ---- */

/* An interrupt can come between a load and a store, hence atomic although the value is this CPU's own. */
static __always_inline void array_add(void *map, __u32 index, __u64 n)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);

	if (value)
		__sync_fetch_and_add(value, n);
}

static __always_inline void lose(__u32 where, __u64 n)
{
	array_add(&lost, where, n);
}

static __always_inline void count_labelled(__u32 netns, __u32 metric, __u64 label, __u64 n)
{
	struct counter_key key = { .netns = netns, .metric = metric, .label = label };
	__u64 *value = bpf_map_lookup_elem(&counters, &key), zero = 0;

	if (!value) {
		bpf_map_update_elem(&counters, &key, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&counters, &key);
	}
	if (value)
		__sync_fetch_and_add(value, n);
	else
		lose(LOST_MAP, n);
}

static __always_inline void count(__u32 netns, __u32 metric, __u64 n)
{
	count_labelled(netns, metric, 0, n);
}

/* ---- histograms: with -D ---- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct hist_key);
	__type(value, struct hist_bucket);
} hists SEC(".maps");

static __always_inline __u16 log2_of(__u64 value)
{
	__u16 slot = 0;

#pragma unroll
	for (int shift = 32; shift; shift >>= 1) {
		if (value >> shift) {
			value >>= shift;
			slot += shift;
		}
	}
	return slot;
}

/* Kept by bucket, so that memory is taken only for those that occur. */
static __always_inline void hist_add(__u32 netns, __u16 hist, __u64 label, __u64 value)
{
	struct hist_key key = {
		.netns = netns, .hist = hist, .slot = log2_of(value), .label = label
	};
	struct hist_bucket *b, none = { .min = ~0ULL };

	if (!with_hists)
		return;
	b = bpf_map_lookup_elem(&hists, &key);
	if (!b) {
		bpf_map_update_elem(&hists, &key, &none, BPF_NOEXIST);
		b = bpf_map_lookup_elem(&hists, &key);
	}
	if (!b) {
		lose(LOST_MAP, 1);
		return;
	}
	/* On the CPUs that did not make the entry its bytes are all zero. */
	if (!b->count || value < b->min)
		b->min = value;
	if (value > b->max)
		b->max = value;
	__sync_fetch_and_add(&b->sum, value);
	__sync_fetch_and_add(&b->count, 1);
}

/* ---- filters ---- */

static __always_inline bool netns_wanted(__u32 netns)
{
	return !only_targets || bpf_map_lookup_elem(&targets, &netns);
}

static __always_inline bool address_matches(const __u8 *address)
{
	for (int i = 0; i < 16; i++)
		if ((address[i] ^ filter_address[i]) & filter_mask[i])
			return false;
	return true;
}

/* Either end will do. `known`: which of the tuple's fields are; an unknown one matches no filter. */
static __always_inline bool tuple_wanted(const struct tuple *t, __u64 known)
{
	if (knob_port && !(known >> FIELD_SPORT & 1 && t->sport == knob_port) &&
	    !(known >> FIELD_DPORT & 1 && t->dport == knob_port))
		return false;
	if (only_address && !(known >> FIELD_SADDR & 1))
		return false;
	return !only_address || address_matches(t->saddr) || address_matches(t->daddr);
}

/* ---- network namespaces ---- */

static __always_inline __u32 netns_of_sock(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/*
 * The device of a packet, NULL where there is none to be trusted: sk_buff.dev shares its place with list and tree
 * pointers and with UDP's scratch space, so it counts only if it leads to a namespace.
 */
static __always_inline struct net_device *dev_of_skb(const struct sk_buff *skb, __u32 *netns)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);

	*netns = 0;
	if ((__s64)dev >= 0 || (__u64)dev & 7)
		return NULL;
	*netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	if (*netns >= 0xefffff00) /* where the kernel's own numbers of namespaces begin */
		return dev;
	*netns = 0;
	return NULL;
}

/* ---- addresses and ports ---- */

static __always_inline void address_v4(__u8 *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

#define KNOWN(field) (1ULL << (field))
#define KNOWN_ADDRESSES (KNOWN(FIELD_PROTOCOL) | KNOWN(FIELD_SADDR) | KNOWN(FIELD_DADDR))
#define KNOWN_PORTS (KNOWN(FIELD_SPORT) | KNOWN(FIELD_DPORT))
#define KNOWN_TUPLE (KNOWN_ADDRESSES | KNOWN_PORTS)

/*
 * Local to remote, of any kind of socket: only the part that request and TIME_WAIT sockets have, too, is read.
 * Gives the bits of the fields that are known; 0: no internet socket.
 */
static __always_inline __u64 tuple_of_common(const struct sock_common *sk, __u8 protocol,
					     struct tuple *t)
{
	__u16 family = BPF_CORE_READ(sk, skc_family);

	t->protocol = protocol;
	t->sport = BPF_CORE_READ(sk, skc_num);
	t->dport = bpf_ntohs(BPF_CORE_READ(sk, skc_dport));
	if (family == AF_INET) {
		address_v4(t->saddr, BPF_CORE_READ(sk, skc_rcv_saddr));
		address_v4(t->daddr, BPF_CORE_READ(sk, skc_daddr));
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO((struct in6_addr *)t->saddr, sk, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)t->daddr, sk, skc_v6_daddr);
	} else {
		return 0;
	}
	return KNOWN_TUPLE;
}

/* What a packet's headers say. */
struct packet {
	struct tuple tuple;
	__u64 known;    /* bits of the tuple's fields */
	const __u8 *l3; /* where its IP header is, NULL: it has none */
	const __u8 *l4; /* where the header of tuple.protocol is, NULL: a later fragment, or not reached */
	__u32 l3_bytes; /* length by the IP header, that included; 0: a jumbogram or merged beyond it */
	__u32 header_bytes; /* of IP, extension headers included */
};

/* Steps over IPv6 extension headers, at most six; p->l4 is NULL behind a later fragment. */
static __always_inline void packet_v6(struct packet *p, __u8 next)
{
	const __u8 *at = p->l3 + sizeof(struct ipv6hdr);
	struct {
		__u8 next, len;
		__be16 offset;
	} ext;
	int i;

#pragma unroll
	for (i = 0; i < 6; i++) {
		bool fragment = next == 44;

		if (next != 0 && next != 43 && !fragment && next != 51 && next != 60)
			break;
		if (bpf_probe_read_kernel(&ext, sizeof(ext), at))
			return;
		if (fragment && ext.offset & bpf_htons(0xfff8)) {
			p->tuple.protocol = ext.next;
			return;
		}
		at += fragment ? 8 : next == 51 ? (ext.len + 2) * 4 : (ext.len + 1) * 8;
		next = ext.next;
	}
	p->tuple.protocol = next;
	p->header_bytes = at - p->l3;
	p->l4 = at;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_UDPLITE || protocol == IPPROTO_DCCP;
}

/*
 * Reads the packet's own direction from the IP header at l3. 0, or -1: that is no IP header. One read fetches all of most
 * packets' headers; what it may fetch behind the packet is memory of the same buffer, and not looked at.
 */
static __always_inline int packet_read_at(const __u8 *l3, struct packet *p)
{
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
		__be16 words[(sizeof(struct ipv6hdr) + 4) / 2];
	} ip;
	__be16 ports[2];

	__builtin_memset(p, 0, sizeof(*p));
	if (bpf_probe_read_kernel(&ip, sizeof(ip), l3))
		return -1;
	p->l3 = l3;
	if (ip.v4.version == 4 && ip.v4.ihl >= 5) {
		p->tuple.protocol = ip.v4.protocol;
		address_v4(p->tuple.saddr, ip.v4.saddr);
		address_v4(p->tuple.daddr, ip.v4.daddr);
		p->l3_bytes = bpf_ntohs(ip.v4.tot_len);
		p->header_bytes = ip.v4.ihl * 4;
		if (!(ip.v4.frag_off & bpf_htons(0x1fff)))
			p->l4 = l3 + p->header_bytes;
	} else if (ip.v4.version == 6) {
		__builtin_memcpy(p->tuple.saddr, &ip.v6.saddr, 16);
		__builtin_memcpy(p->tuple.daddr, &ip.v6.daddr, 16);
		p->l3_bytes = bpf_ntohs(ip.v6.payload_len);
		p->l3_bytes += p->l3_bytes ? sizeof(ip.v6) : 0;
		p->header_bytes = sizeof(ip.v6);
		packet_v6(p, ip.v6.nexthdr);
	} else {
		p->l3 = NULL;
		return -1;
	}
	p->known = KNOWN_ADDRESSES;
	if (p->l4 && has_ports(p->tuple.protocol)) {
		if (p->header_bytes == sizeof(ip.v4))
			__builtin_memcpy(ports, &ip.words[sizeof(ip.v4) / 2], sizeof(ports));
		else if (p->header_bytes == sizeof(ip.v6))
			__builtin_memcpy(ports, &ip.words[sizeof(ip.v6) / 2], sizeof(ports));
		else if (bpf_probe_read_kernel(ports, sizeof(ports), p->l4))
			return 0;
		p->tuple.sport = bpf_ntohs(ports[0]);
		p->tuple.dport = bpf_ntohs(ports[1]);
		p->known |= KNOWN_PORTS;
	}
	return 0;
}

/* The same for a packet whose network header is set. */
static __always_inline int packet_read(const struct sk_buff *skb, struct packet *p)
{
	const __u8 *head = BPF_CORE_READ(skb, head);

	return packet_read_at(head + BPF_CORE_READ(skb, network_header), p);
}

/* ---- events ---- */

static __always_inline void event_begin(struct event_header *h, __u16 type, __u32 netns, __u64 known)
{
	h->mono_ns = bpf_ktime_get_ns();
	h->known = known;
	h->netns = netns;
	h->type = type;
	h->cpu = bpf_get_smp_processor_id();
}

/*
 * Room for one event of the struct `e` points to, all bytes zero; NULL, and counted as lost, where there is none.
 * A record whose last member is `stack` is sent without it unless -K asks for it.
 */
#define event_reserve(e)                                                                           \
	({                                                                                         \
		(e) = bpf_ringbuf_reserve(&events, sizeof(*(e)), 0);                               \
		if (e)                                                                             \
			__builtin_memset((e), 0, sizeof(*(e)));                                    \
		else                                                                               \
			lose(LOST_RINGBUF, 1);                                                     \
		(e);                                                                               \
	})
#define event_reserve_stack(e)                                                                     \
	({                                                                                         \
		if (with_stack)                                                                    \
			(e) = bpf_ringbuf_reserve(&events, sizeof(*(e)), 0);                       \
		else                                                                               \
			(e) = bpf_ringbuf_reserve(&events,                                         \
						  __builtin_offsetof(typeof(*(e)), stack), 0);     \
		if (e)                                                                             \
			__builtin_memset((e), 0, __builtin_offsetof(typeof(*(e)), stack));         \
		else                                                                               \
			lose(LOST_RINGBUF, 1);                                                     \
		(e);                                                                               \
	})

/* With -K takes the stack of the hook into e->stack; `field` is its place in fields[]. */
#define event_stack(e, ctx, field)                                                                 \
	do {                                                                                       \
		if (with_stack) {                                                                  \
			__builtin_memset((e)->stack, 0, sizeof((e)->stack));                       \
			if (bpf_get_stack((ctx), (e)->stack, sizeof((e)->stack), 0) > 0)           \
				(e)->header.known |= KNOWN(field);                                 \
		}                                                                                  \
	} while (0)

char LICENSE[] SEC("license") = "GPL";

#endif
