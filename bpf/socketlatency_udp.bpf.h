/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socketlatency: how long each datagram waits. Included once, where samples are taken. */
#ifndef SKOOP_SOCKETLATENCY_UDP_BPF_H
#define SKOOP_SOCKETLATENCY_UDP_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the packet's address */
	__type(value, struct sl_datagram);
} datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the socket's address */
	__type(value, struct sl_udp);
} udp_socks SEC(".maps");

/* Which packet this CPU is putting into a UDP socket's queue, for the same reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} enqueuing SEC(".maps");

/* What an entry begins as. */
const struct sl_udp no_udp = {};

static __always_inline struct sl_udp *udp_get(const struct sock *sk, __u64 now)
{
	struct sl_udp *u, *have;
	__u64 key = (__u64)sk;

	have = bpf_map_lookup_elem(&udp_socks, &key);
	if (have)
		return have;
	bpf_map_update_elem(&udp_socks, &key, &no_udp, BPF_NOEXIST);
	u = bpf_map_lookup_elem(&udp_socks, &key);
	if (!u) {
		lose(LOST_MAP, 1);
		return NULL;
	}
	u->made = now;
	u->netns = netns_of_sock(sk);
	tuple_of_common(&sk->__sk_common, IPPROTO_UDP, &u->tuple);
	return u;
}

/* Of an unconnected socket, only the datagram tells where it came from. */
static __always_inline bool datagram_tuple(const struct sock *sk, const struct sk_buff *skb,
					   struct tuple *t, __u64 *known)
{
	struct packet p;

	*known = tuple_of_common(&sk->__sk_common, IPPROTO_UDP, t);
	if (!t->dport && !packet_read(skb, &p) && p.known & KNOWN(FIELD_SPORT)) {
		__builtin_memcpy(t->saddr, p.tuple.daddr, 16);
		__builtin_memcpy(t->daddr, p.tuple.saddr, 16);
		t->dport = p.tuple.sport;
	}
	return tuple_wanted(t, *known);
}

/* Stamped before it is in the queue: a reader may be quicker than whoever puts it there. */
static __always_inline int datagram_enter(const struct sock *sk, const struct sk_buff *skb)
{
	__u64 key = (__u64)skb, now = bpf_ktime_get_ns();
	struct sl_datagram d = { .at = now, .sock = (__u64)sk };
	struct tuple tuple = {};
	__u64 known;

	if (!netns_wanted(netns_of_sock(sk)) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP)
		return 0;
	if ((only_address || knob_port) && !datagram_tuple(sk, skb, &tuple, &known))
		return 0;
	d.len = BPF_CORE_READ(skb, len);
	if (udp_get(sk, now) && bpf_map_update_elem(&datagrams, &key, &d, BPF_ANY))
		lose(LOST_MAP, 1);
	return 0;
}

/* It was refused, and is freed next. */
static __always_inline int datagram_entered(__u64 skb, int err)
{
	if (err)
		bpf_map_delete_elem(&datagrams, &skb);
	return 0;
}

static __always_inline int datagram_leave(const struct sock *sk, const struct sk_buff *skb)
{
	struct sample p = {};
	__u64 key = (__u64)skb, known;
	struct tuple tuple = {};
	struct sl_datagram *d;
	struct sl_udp *u;

	d = bpf_map_lookup_elem(&datagrams, &key);
	/* Somebody else has it, too: it was looked at, and stays. */
	if (!d || BPF_CORE_READ(skb, users.refs.counter) > 1)
		return 0;
	u = udp_get(sk, d->at);
	if (!u)
		return 0;
	u->read = d->at;
	read_task(&u->reader);
	p.wait = bpf_ktime_get_ns() - d->at;
	p.bytes = d->len;
	bpf_map_delete_elem(&datagrams, &key);
	if (!datagram_tuple(sk, skb, &tuple, &known))
		return 0;
	p.known = known;
	p.netns = u->netns;
	p.tuple = &tuple;
	p.task = &u->reader;
	sample(&p, SL_READ);
	return 0;
}

SEC("?fentry/__udp_enqueue_schedule_skb")
int BPF_PROG(enqueue_fentry, const struct sock *sk, const struct sk_buff *skb)
{
	return datagram_enter(sk, skb);
}

SEC("?kprobe/__udp_enqueue_schedule_skb")
int BPF_KPROBE(enqueue_kprobe, const struct sock *sk, const struct sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *slot = bpf_map_lookup_elem(&enqueuing, &zero);

	if (slot)
		*slot = (__u64)skb;
	return datagram_enter(sk, skb);
}

SEC("?fexit/__udp_enqueue_schedule_skb")
int BPF_PROG(enqueue_fexit, const struct sock *sk, const struct sk_buff *skb, int err)
{
	return datagram_entered((__u64)skb, err);
}

SEC("?kretprobe/__udp_enqueue_schedule_skb")
int BPF_KRETPROBE(enqueue_kretprobe, int err)
{
	__u32 zero = 0;
	__u64 *slot = bpf_map_lookup_elem(&enqueuing, &zero);

	return slot ? datagram_entered(*slot, err) : 0;
}

SEC("?fentry/skb_consume_udp")
int BPF_PROG(consume_fentry, const struct sock *sk, const struct sk_buff *skb)
{
	return datagram_leave(sk, skb);
}

SEC("?kprobe/skb_consume_udp")
int BPF_KPROBE(consume_kprobe, const struct sock *sk, const struct sk_buff *skb)
{
	return datagram_leave(sk, skb);
}

static __always_inline int udp_ends(__u64 sk)
{
	bpf_map_delete_elem(&udp_socks, &sk);
	return 0;
}

SEC("?fentry/udp_destroy_sock")
int BPF_PROG(udp_destroy_fentry, const struct sock *sk)
{
	return udp_ends((__u64)sk);
}

SEC("?kprobe/udp_destroy_sock")
int BPF_KPROBE(udp_destroy_kprobe, const struct sock *sk)
{
	return udp_ends((__u64)sk);
}

SEC("?fentry/udpv6_destroy_sock")
int BPF_PROG(udpv6_destroy_fentry, const struct sock *sk)
{
	return udp_ends((__u64)sk);
}

SEC("?kprobe/udpv6_destroy_sock")
int BPF_KPROBE(udpv6_destroy_kprobe, const struct sock *sk)
{
	return udp_ends((__u64)sk);
}

#endif
