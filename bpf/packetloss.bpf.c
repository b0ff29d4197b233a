// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * packetloss: each packet the kernel frees as lost. All is told by one tracepoint; on kernels where it does not say which
 * socket the packet was for, the functions that hand packets to sockets are remembered.
 */
#include "skoop.bpf.h"
#include "packetloss.h"

/* include/net/tcp_states.h, include/net/tcp.h: not uapi, never changed. */
#define TCP_ESTABLISHED 1
#define TCP_TIME_WAIT 6
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
#define TCPHDR_SYN 0x02
#define TCPHDR_RST 0x04

const volatile __u32 args_kfree_skb = 0;
const volatile bool knob_benign = false;
const volatile bool knob_count = false;
const volatile __u64 knob_rate_limit = 0; /* events a second, 0: all */
const volatile __u32 count_by = 0;        /* BY_* */
const volatile __u8 class_of_reason[REASON_SUBSYSTEMS * REASON_VALUES] = {};
const volatile __u8 class_of_unknown = 0;
const volatile bool label_by_place = false; /* this kernel gives no reasons */
const volatile bool names_places = false;   /* the kernel can say a function's name (5.13) */
const volatile __u32 nplaces = 0;
const volatile struct place places[PLACES] = {};

/* By name: what is to be thought of what a function frees. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, char[NAME_BYTES]);
	__type(value, __u32);
} functions SEC(".maps");

/* The same by location, once it has been seen; it takes a while to find its name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} locations SEC(".maps");

#define has_reasons (args_kfree_skb > 2)
#define names_sockets (args_kfree_skb > 3)

/* -C: what it counts by, and how often. Nothing is thrown out of it: what finds no room is counted as lost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct loss_key);
	__type(value, __u64);
} losses SEC(".maps");

/* --rate-limit: events told in each second; old seconds are thrown out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} seconds SEC(".maps");

/* The packet this CPU hands to a socket, where the tracepoint does not tell. */
struct handing {
	__u64 skb;
	const struct sock *sk;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct handing);
} handed SEC(".maps");

/* One free, as far as it is known. */
struct drop {
	const struct sk_buff *skb;
	const struct sock *sk;
	const struct net_device *dev;
	__u64 location;
	__u32 reason;
	__u32 netns;
	__u32 class;
	bool ip;
	bool handed; /* the socket is known by who handed it the packet */
};

/* ---- classes ---- */

static __always_inline __u32 class_by_reason(__u32 reason)
{
	__u32 i = (reason >> 16) * REASON_VALUES + (reason & 0xffff);
	__u32 class;

	if (reason >> 16 >= REASON_SUBSYSTEMS || (reason & 0xffff) >= REASON_VALUES ||
	    i >= sizeof(class_of_reason))
		return class_of_unknown;
	class = class_of_reason[i];
	return class & CLASS_KNOWN ? class : class_of_unknown;
}

static __always_inline __u32 class_by_name(__u64 location)
{
	__u32 *class = bpf_map_lookup_elem(&locations, &location), found = 0;
	__u64 inside = location - 1; /* it is where the call returns to */
	char name[NAME_BYTES] = {};

	if (class)
		return *class;
	bpf_snprintf(name, sizeof(name), "%ps", &inside, sizeof(inside));
	class = bpf_map_lookup_elem(&functions, name);
	if (class)
		found = *class;
	bpf_map_update_elem(&locations, &location, &found, BPF_NOEXIST);
	return found;
}

/* The last place that begins before the location, if it holds it. */
static __always_inline __u32 class_by_place(__u64 location)
{
	__u32 low = 0;

	if (names_places)
		return class_by_name(location);
#pragma unroll
	for (__u32 step = PLACES / 2; step; step /= 2) {
		__u32 next = low + step;

		if (next < nplaces && next < PLACES && places[next].from < location)
			low = next;
	}
	if (low < nplaces && low < PLACES && places[low].from < location &&
	    location <= places[low].to)
		return places[low].class;
	return 0;
}

/* ---- whose it was ---- */

/* Of any kind of socket, request and TIME_WAIT ones too. A fragment's place in its queue may stand where skb->sk does. */
static __always_inline const struct sock *sock_of_skb(const struct sk_buff *skb)
{
	const struct sock *sk = BPF_CORE_READ(skb, sk);

	return (__s64)sk < 0 ? sk : NULL;
}

/*
 * dev_of_skb(), whose check it has, for a hook whose pointers may be followed. What it gives is a number to the verifier,
 * as other numbers are: pointers would have it go through what follows once more.
 */
static __always_inline const struct net_device *dev_of(const struct sk_buff *skb, __u32 *netns)
{
	const struct net_device *checked = BPF_CORE_READ(skb, dev), *dev;
	const struct net *net;

	*netns = 0;
	if ((__s64)checked >= 0 || (__u64)checked & 7)
		return NULL;
	dev = skb->dev;
	net = dev ? dev->nd_net.net : NULL;
	if (!net || net->ns.inum < 0xefffff00)
		return NULL;
	*netns = net->ns.inum;
	return checked;
}

/*
 * The socket this packet was handed to last on this CPU. What a socket is emptied of was handed to it long ago, so this is
 * not asked of that; and one that is gone leads to no namespace.
 */
static __always_inline const struct sock *sock_handed(const struct sk_buff *skb)
{
	struct handing *h;
	__u32 zero = 0;

	if (names_sockets)
		return NULL;
	h = bpf_map_lookup_elem(&handed, &zero);
	if (!h || h->skb != (__u64)skb || netns_of_sock(h->sk) < 0xefffff00)
		return NULL;
	return h->sk;
}

/* What a route leads to is in the packet's namespace, whichever device that is. */
static __always_inline __u32 netns_of_route(const struct sk_buff *skb)
{
	__u64 ref = BPF_CORE_READ(skb, _skb_refdst) & ~1ULL;
	const struct dst_entry *dst = (const void *)ref;

	return (__s64)ref < 0 ? BPF_CORE_READ(dst, dev, nd_net.net, ns.inum) : 0;
}

/*
 * The socket the kernel names, else the device: until it is received a packet still belongs to the socket that sent it,
 * in whatever namespace that is.
 */
static __always_inline void find_owner(struct drop *d, const struct sock *rx_sk)
{
	__u32 netns;

	d->sk = rx_sk ? rx_sk : sock_of_skb(d->skb);
	d->dev = dev_of(d->skb, &d->netns);
	if (!d->sk && !(d->class & CLASS_BENIGN)) {
		d->sk = sock_handed(d->skb);
		d->handed = d->sk;
	}
	netns = d->sk ? netns_of_sock(d->sk) : 0;
	if (rx_sk || !d->netns)
		d->netns = netns;
	else if (d->netns != netns)
		d->sk = NULL;
	if (!d->netns)
		d->netns = netns_of_route(d->skb);
}

/* ---- what TCP is done with ---- */

static __always_inline bool accept_queue_full(const struct sock *listener)
{
	return BPF_CORE_READ(listener, sk_ack_backlog) > BPF_CORE_READ(listener, sk_max_ack_backlog);
}

/*
 * Whether a segment without data was handled before it was freed, where the kernel does not say why: what comes for a
 * TIME_WAIT socket always is. For a half-open one it is a resent SYN, a reset, or the acknowledgement that ends a
 * handshake, which is lost only if the accept queue is full; kernels that name sockets name its listener then. Older
 * ones free this way all that ends a connection.
 */
static __always_inline bool handled(const struct drop *d, const struct packet *p)
{
	const struct sock *sk = d->sk;
	__u8 state, flags, offset;

	if (!sk || p->tuple.protocol != IPPROTO_TCP || !p->l4 ||
	    bpf_probe_read_kernel(&offset, 1, p->l4 + 12) ||
	    bpf_probe_read_kernel(&flags, 1, p->l4 + 13) ||
	    p->l3_bytes != p->header_bytes + (offset >> 4) * 4)
		return false;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_TIME_WAIT)
		return true;
	if (state == TCP_NEW_SYN_RECV)
		sk = BPF_CORE_READ(sk, __sk_common.skc_listener);
	else if (state != TCP_LISTEN || !names_sockets)
		return d->handed && state != TCP_LISTEN;
	return flags & (TCPHDR_SYN | TCPHDR_RST) || !accept_queue_full(sk);
}

/* Whether an established socket has all of the segment's data. */
static __always_inline bool repeated(const struct drop *d, const struct packet *p)
{
	const struct sock *sk = d->sk;
	const struct tcp_sock *tp = (const void *)sk;
	__u8 offset;
	__be32 seq;
	__u32 end;

	if (!d->handed || p->tuple.protocol != IPPROTO_TCP || !p->l4 || !p->l3_bytes ||
	    bpf_probe_read_kernel(&seq, sizeof(seq), p->l4 + 4) ||
	    bpf_probe_read_kernel(&offset, 1, p->l4 + 12) ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return false;
	end = bpf_ntohl(seq) + p->l3_bytes - p->header_bytes - (offset >> 4) * 4;
	return (__s32)(BPF_CORE_READ(tp, rcv_nxt) - end) >= 0;
}

/* ---- counting ---- */

static __always_inline __u8 verdict_of(const struct drop *d)
{
	if (!d->ip)
		return VERDICT_NOT_IP;
	return d->class & CLASS_BENIGN ? VERDICT_BENIGN : VERDICT_LOSS;
}

static __always_inline void count_loss(const struct drop *d)
{
	__u32 metric = d->class & CLASS_NETFILTER ? LOSS_NETFILTER : LOSS_BYREASON;
	__u64 label = d->reason;

	if (label_by_place)
		label = d->location;
	else if (!(d->class & CLASS_KNOWN))
		label = REASON_UNKNOWN;
	count_labelled(d->netns, metric, label, 1);
}

static __always_inline void key_tuple(struct loss_key *key, const struct tuple *t, __u64 known)
{
	if (count_by & BY_PROTOCOL && known & KNOWN(FIELD_PROTOCOL))
		key->tuple.protocol = t->protocol, key->known |= BY_PROTOCOL;
	if (count_by & BY_SADDR && known & KNOWN(FIELD_SADDR)) {
		__builtin_memcpy(key->tuple.saddr, t->saddr, 16);
		key->known |= BY_SADDR;
	}
	if (count_by & BY_DADDR && known & KNOWN(FIELD_DADDR)) {
		__builtin_memcpy(key->tuple.daddr, t->daddr, 16);
		key->known |= BY_DADDR;
	}
	if (count_by & BY_SPORT && known & KNOWN(FIELD_SPORT))
		key->tuple.sport = t->sport, key->known |= BY_SPORT;
	if (count_by & BY_DPORT && known & KNOWN(FIELD_DPORT))
		key->tuple.dport = t->dport, key->known |= BY_DPORT;
}

static __always_inline void count_by_key(const struct drop *d, const struct packet *p)
{
	struct loss_key key = { .netns = d->netns };
	const struct net_device *dev = d->dev;
	__u64 zero = 0, *n;

	if (count_by & BY_REASON && has_reasons) {
		key.reason = d->class & CLASS_KNOWN ? d->reason : REASON_UNKNOWN;
		key.known |= BY_REASON;
	}
	if (count_by & BY_LOCATION) {
		key.location = d->location;
		key.known |= BY_LOCATION;
	}
	if (count_by & BY_DEVICE && dev) {
		BPF_CORE_READ_INTO(&key.device, dev, name);
		key.known |= BY_DEVICE;
	}
	if (count_by & BY_VERDICT) {
		key.verdict = verdict_of(d);
		key.known |= BY_VERDICT;
	}
	key_tuple(&key, &p->tuple, p->known);
	n = bpf_map_lookup_elem(&losses, &key);
	if (!n) {
		bpf_map_update_elem(&losses, &key, &zero, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&losses, &key);
	}
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		lose(LOST_MAP, 1);
}

/* ---- events ---- */

/* Never lets through more than asked for; what it refuses is counted. */
static __always_inline bool rate_allows(void)
{
	__u64 second = bpf_ktime_get_ns() / 1000000000, zero = 0, *n;

	if (!knob_rate_limit)
		return true;
	n = bpf_map_lookup_elem(&seconds, &second);
	if (!n) {
		bpf_map_update_elem(&seconds, &second, &zero, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&seconds, &second);
	}
	if (n) {
		__sync_fetch_and_add(n, 1);
		if (*(volatile __u64 *)n <= knob_rate_limit)
			return true;
	}
	lose(LOST_RATE, 1);
	return false;
}

static __always_inline void read_headers(struct packetloss_event *e, const struct packet *p)
{
	__u8 icmp[2];

	e->tuple = p->tuple;
	e->header.known |= p->known;
	if (!p->l4)
		return;
	if (p->tuple.protocol == IPPROTO_TCP &&
	    !bpf_probe_read_kernel(&e->tcp_flags, sizeof(e->tcp_flags), p->l4 + 13))
		e->header.known |= KNOWN(LOSS_F_TCP_FLAGS);
	if ((p->tuple.protocol == IPPROTO_ICMP || p->tuple.protocol == IPPROTO_ICMPV6) &&
	    !bpf_probe_read_kernel(icmp, sizeof(icmp), p->l4)) {
		e->icmp = icmp[0] << 8 | icmp[1];
		e->header.known |= KNOWN(LOSS_F_ICMP);
	}
}

/* From the IP header on, wherever in the packet the kernel stands. */
static __always_inline __u32 length_of(const struct sk_buff *skb, const struct packet *p)
{
	const __u8 *data = skb->data;

	return skb->len + (p->l3 ? data - p->l3 : 0);
}

/* A pointer in a struct of ours is copied first: CO-RE would take that for a kernel's type. */
static __always_inline void fill(struct packetloss_event *e, const struct drop *d,
				 const struct packet *p)
{
	const struct net_device *dev = d->dev;
	const struct sk_buff *skb = d->skb;
	const struct sock *sk = d->sk;

	event_begin(&e->header, 0, d->netns,
		    KNOWN(LOSS_F_LOCATION) | KNOWN(LOSS_F_LEN) | KNOWN(LOSS_F_MARK) |
			    KNOWN(LOSS_F_VERDICT));
	read_headers(e, p);
	e->location = d->location;
	e->len = length_of(skb, p);
	e->mark = skb->mark;
	e->verdict = verdict_of(d);
	if (has_reasons) {
		e->reason = d->reason;
		e->header.known |= KNOWN(LOSS_F_REASON) | KNOWN(LOSS_F_REASON_CODE);
	}
	if (dev) {
		BPF_CORE_READ_INTO(&e->device, dev, name);
		e->header.known |= KNOWN(LOSS_F_DEVICE);
	}
	if (sk && p->tuple.protocol == IPPROTO_TCP) {
		e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
		e->header.known |= KNOWN(LOSS_F_STATE);
	}
}

SEC("?tp_btf/kfree_skb")
int BPF_PROG(kfree_skb, const struct sk_buff *skb, const void *location)
{
	struct drop d = { .skb = skb, .location = (__u64)location };
	const struct sock *rx_sk = NULL;
	struct packetloss_event *e;
	struct packet p = {};
	__be16 protocol;

	if (has_reasons) {
		d.reason = ctx[2];
		d.class = class_by_reason(d.reason);
	} else {
		d.class = CLASS_UNSAID;
	}
	if (d.class & (knob_benign ? CLASS_UNWANTED : CLASS_UNWANTED | CLASS_BENIGN))
		return 0;
	protocol = skb->protocol;
	d.ip = protocol == bpf_htons(ETH_P_IP) || protocol == bpf_htons(ETH_P_IPV6);
	if (!d.ip && !knob_benign)
		return 0;
	if (d.class & CLASS_UNSAID)
		d.class |= class_by_place(d.location);
	if (d.class & CLASS_BENIGN && !knob_benign)
		return 0;
	if (names_sockets)
		bpf_probe_read_kernel(&rx_sk, sizeof(rx_sk), &ctx[3]);
	find_owner(&d, rx_sk);
	if (!netns_wanted(d.netns))
		return 0;
	if (d.ip && (with_events || knob_count || knob_port || only_address ||
		     d.class & (CLASS_UNSAID | CLASS_WINDOW)))
		packet_read_at(skb->head + skb->network_header, &p);
	if ((d.class & CLASS_UNSAID && handled(&d, &p)) ||
	    (!names_sockets && d.class & CLASS_WINDOW && repeated(&d, &p))) {
		if (!knob_benign)
			return 0;
		d.class |= CLASS_BENIGN;
	}
	if (!tuple_wanted(&p.tuple, p.known))
		return 0;
	if (verdict_of(&d) == VERDICT_LOSS)
		count_loss(&d);
	if (knob_count)
		count_by_key(&d, &p);
	if (!with_events || !rate_allows() || !event_reserve_stack(e))
		return 0;
	fill(e, &d, &p);
	event_stack(e, ctx, LOSS_F_STACK);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* ---- who a packet is handed to, where kfree_skb does not tell ---- */

static __always_inline int hand(const struct sk_buff *skb, const void *sk)
{
	__u32 zero = 0;
	struct handing *h = bpf_map_lookup_elem(&handed, &zero);

	if (h) {
		h->skb = (__u64)skb;
		h->sk = sk;
	}
	return 0;
}

/* clang-format off */
#define HANDS(function, owner, ...)                                                                \
	SEC("?fentry/" #function)                                                                  \
	int BPF_PROG(function, __VA_ARGS__) { return hand(skb, owner); }                           \
	SEC("?kprobe/" #function)                                                                  \
	int BPF_KPROBE(function##_kprobe, __VA_ARGS__) { return hand(skb, owner); }

HANDS(tcp_v4_do_rcv, sk, const struct sock *sk, const struct sk_buff *skb)
HANDS(tcp_v6_do_rcv, sk, const struct sock *sk, const struct sk_buff *skb)
HANDS(tcp_add_backlog, sk, const struct sock *sk, const struct sk_buff *skb)
HANDS(tcp_check_req, req, const struct sock *sk, const struct sk_buff *skb, const struct request_sock *req)
HANDS(tcp_timewait_state_process, tw, const void *tw, const struct sk_buff *skb)
HANDS(__udp_enqueue_schedule_skb, sk, const struct sock *sk, const struct sk_buff *skb)
/* clang-format on */
