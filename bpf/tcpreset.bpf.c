// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpreset: each RST that TCP sends, told apart by why, and each that ends a connection here.
 *
 * Since the tracepoint tcp_send_reset has a reason (three arguments) it sees all that is sent. Before, it sees full
 * sockets only; what has none, or a TIME_WAIT one, is taken from the functions that answer, at their entry: before they
 * decide whether to, so that decision is made here again.
 */
#include "skoop.bpf.h"
#include "tcpreset.h"

/* include/net/tcp.h, include/net/tcp_states.h, include/net/sock.h: none of them uapi, none ever changed. */
#define TCPHDR_RST 0x04
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_NEW_SYN_RECV 12
#define RCV_SHUTDOWN 1
/* include/uapi/linux/rtnetlink.h, include/uapi/linux/ipv6_route.h */
#define RTN_LOCAL 2
#define RTF_LOCAL 0x80000000

const volatile __u32 args_tcp_send_reset = 0;
const volatile __u32 args_tcp_reset = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct held_key);
	__type(value, struct tcpreset_event);
} held SEC(".maps");

/* A socket's latest entry in `held`. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);   /* the socket */
	__type(value, __u64); /* held_key.since */
} latest SEC(".maps");

/* Too large for the stack: what an entry of `held` begins as. */
const struct tcpreset_event no_event = {};

/* A reset, as far as all need to know it. */
struct reset {
	const struct sock *sk;        /* NULL: there is none */
	const struct sk_buff *skb;    /* the segment that came, NULL: none did */
	const struct net_device *dev; /* its device, NULL: unknown */
	__u64 known;                  /* fields of the event */
	struct tuple tuple;
	__u32 netns;
	__u32 seq, ack;
	__u16 type;
	bool is_rst; /* what came was one */
};

/*
 * Some kernels take it that a tracepoint's pointers are never NULL, and remove the test for it. Hence not as a pointer
 * but as a number.
 */
static __always_inline void *argument(const __u64 *ctx, int n)
{
	void *value = NULL;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + n);
	return value;
}

static __always_inline __u8 state_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_state);
}

static __always_inline bool is_full(const struct sock *sk)
{
	__u8 state = state_of(sk);

	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

/* Who and where by the segment that came: local is where it went. A listener knows neither end. */
static __always_inline void read_segment(struct reset *r)
{
	struct packet p;
	struct tcphdr tcp;

	r->dev = dev_of_skb(r->skb, &r->netns);
	if (packet_read(r->skb, &p))
		return;
	__builtin_memcpy(r->tuple.saddr, p.tuple.daddr, 16);
	__builtin_memcpy(r->tuple.daddr, p.tuple.saddr, 16);
	r->tuple.sport = p.tuple.dport;
	r->tuple.dport = p.tuple.sport;
	r->tuple.protocol = p.tuple.protocol;
	r->known = p.known;
	if (!p.l4 || bpf_probe_read_kernel(&tcp, sizeof(tcp), p.l4))
		return;
	r->seq = bpf_ntohl(tcp.seq);
	r->ack = bpf_ntohl(tcp.ack_seq);
	r->is_rst = tcp.rst;
	r->known |= KNOWN(RESET_F_SEQ) | KNOWN(RESET_F_ACK);
}

/* Of a reset that is sent: its kind, its ends, its namespace. */
static __always_inline void read_sent(struct reset *r)
{
	const struct inet_sock *inet = (const void *)r->sk;

	if (r->skb) {
		r->type = r->sk ? RESET_PROCESS : RESET_NOSOCK;
		read_segment(r);
	} else {
		r->type = RESET_ACTIVE;
		r->known = tuple_of_common(&r->sk->__sk_common, IPPROTO_TCP, &r->tuple);
		/* Once the socket is closed skc_num is 0. */
		r->tuple.sport = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
	}
	if (r->sk)
		r->netns = netns_of_sock(r->sk);
}

/* Whether the present task is the one that made its connection end, and not one that a timer interrupted. */
static __always_inline bool is_of_task(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_lock.owned) || state_of(sk) == TCP_CLOSE;
}

static __always_inline void fill(struct tcpreset_event *e, const struct reset *r)
{
	const struct net_device *dev = r->dev;

	e->tuple = r->tuple;
	e->direction = r->type == RESET_RECEIVE ? RESET_RECEIVED : RESET_SENT;
	e->seq = r->seq;
	e->ack = r->ack;
	event_begin(&e->header, r->type, r->netns, r->known | KNOWN(RESET_F_DIRECTION));
	if (r->sk) {
		e->state = state_of(r->sk);
		e->header.known |= KNOWN(RESET_F_STATE);
	}
	if (dev && BPF_CORE_READ_STR_INTO(&e->device, dev, name) > 0)
		e->header.known |= KNOWN(RESET_F_DEVICE);
	if (r->type == RESET_ACTIVE && is_of_task(r->sk)) {
		e->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(e->comm, sizeof(e->comm));
		e->header.known |= KNOWN(RESET_F_PID) | KNOWN(RESET_F_COMM);
	}
}

static __always_inline bool is_wanted(const struct reset *r)
{
	return netns_wanted(r->netns) && tuple_wanted(&r->tuple, r->known);
}

/* ctx is for the stack; reason: -1 where this kernel gives none. */
static __always_inline void tell(void *ctx, const struct reset *r, __s64 reason)
{
	struct tcpreset_event *e;

	count_labelled(r->netns, TCPRESET_TOTAL, r->type, 1);
	if (!with_events || !event_reserve_stack(e))
		return;
	fill(e, r);
	if (reason >= 0) {
		e->reason = reason;
		e->header.known |= KNOWN(RESET_F_REASON) | KNOWN(RESET_F_REASON_CODE);
	}
	event_stack(e, ctx, RESET_F_STACK);
	bpf_ringbuf_submit(e, 0);
}

/* ---- received, or so it seems ---- */

/*
 * To data for a socket that its process has closed the kernel calls tcp_reset() itself and then sends a RST. Where the
 * segment cannot be seen, both look alike until that one is sent; if none is, user space counts and shows the event.
 */
static __always_inline bool may_be_made_up(const struct sock *sk)
{
	__u8 state = state_of(sk);

	return (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2) &&
	       BPF_CORE_READ_BITFIELD_PROBED(sk, sk_shutdown) & RCV_SHUTDOWN;
}

static __always_inline void hold(void *ctx, const struct reset *r)
{
	struct held_key key = { (__u64)r->sk, bpf_ktime_get_ns() };
	struct tcpreset_event *e;

	bpf_map_update_elem(&latest, &key.sock, &key.since, BPF_ANY);
	bpf_map_update_elem(&held, &key, &no_event, BPF_ANY);
	e = bpf_map_lookup_elem(&held, &key);
	if (!e) {
		/* As many real ones came within a second: so is this one. */
		count_labelled(r->netns, TCPRESET_TOTAL, r->type, 1);
		lose(LOST_MAP, 1);
		return;
	}
	fill(e, r);
	e->header.mono_ns = key.since;
	event_stack(e, ctx, RESET_F_STACK);
}

/* It was made up: here goes the RST of the kernel's own. */
static __always_inline void unhold(const struct sock *sk)
{
	struct held_key key = { .sock = (__u64)sk };
	__u64 *since = bpf_map_lookup_elem(&latest, &key.sock);

	if (!since)
		return;
	key.since = *since;
	bpf_map_delete_elem(&held, &key);
	bpf_map_delete_elem(&latest, &key.sock);
}

/* skb: NULL where the hook does not have it. */
static __always_inline int received(void *ctx, const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)__builtin_preserve_access_index(&skb->cb);
	struct reset r = { .skb = skb };

	if (skb) {
		if (!(BPF_CORE_READ_BITFIELD_PROBED(cb, tcp_flags) & TCPHDR_RST))
			return 0;
		read_segment(&r);
	}
	r.sk = sk;
	r.type = RESET_RECEIVE;
	r.netns = netns_of_sock(sk);
	r.known &= KNOWN(RESET_F_SEQ) | KNOWN(RESET_F_ACK);
	r.known |= tuple_of_common(&sk->__sk_common, IPPROTO_TCP, &r.tuple);
	if (!is_wanted(&r))
		return 0;
	if (!skb && may_be_made_up(sk))
		hold(ctx, &r);
	else
		tell(ctx, &r, -1);
	return 0;
}

SEC("?fentry/tcp_reset")
int tcp_reset_fentry(__u64 *ctx)
{
	return received(ctx, argument(ctx, 0), args_tcp_reset > 1 ? argument(ctx, 1) : NULL);
}

SEC("?kprobe/tcp_reset")
int tcp_reset_kprobe(struct pt_regs *ctx)
{
	return received(ctx, (void *)PT_REGS_PARM1(ctx),
			args_tcp_reset > 1 ? (void *)PT_REGS_PARM2(ctx) : NULL);
}

SEC("?tp_btf/tcp_receive_reset")
int tcp_receive_reset(__u64 *ctx)
{
	return received(ctx, argument(ctx, 0), NULL);
}

/* ---- sent ---- */

SEC("?tp_btf/tcp_send_reset")
int tcp_send_reset(__u64 *ctx)
{
	struct reset r = { .sk = argument(ctx, 0), .skb = argument(ctx, 1) };
	__s64 reason = args_tcp_send_reset > 2 ? (__s64)(__u32)ctx[2] : -1;

	if (r.sk && r.skb && state_of(r.sk) == TCP_CLOSE)
		unhold(r.sk);
	/* Should an early kernel bring those here, too: they are told by the functions. */
	if (reason < 0 && r.skb && !(r.sk && is_full(r.sk)))
		return 0;
	read_sent(&r);
	if (is_wanted(&r))
		tell(ctx, &r, reason);
	return 0;
}

/* Whether the address it was sent to is one of this host's: else nothing is answered. */
static __always_inline bool is_local(const struct sk_buff *skb, bool v6)
{
	const void *route = (const void *)(BPF_CORE_READ(skb, _skb_refdst) & ~1UL);

	if (v6)
		return BPF_CORE_READ((const struct rt6_info *)route, rt6i_flags) & RTF_LOCAL;
	return BPF_CORE_READ((const struct rtable *)route, rt_type) == RTN_LOCAL;
}

/* What the tracepoint does not see where it gives no reason. */
static __always_inline int answered(void *ctx, const struct sock *sk, const struct sk_buff *skb,
				    bool v6)
{
	struct reset r = { .sk = sk, .skb = skb };

	if (sk ? is_full(sk) : !is_local(skb, v6))
		return 0;
	read_sent(&r);
	if (!r.is_rst && is_wanted(&r))
		tell(ctx, &r, -1);
	return 0;
}

SEC("?fentry/tcp_v4_send_reset")
int tcp_v4_send_reset_fentry(__u64 *ctx)
{
	return answered(ctx, argument(ctx, 0), argument(ctx, 1), false);
}

SEC("?kprobe/tcp_v4_send_reset")
int tcp_v4_send_reset_kprobe(struct pt_regs *ctx)
{
	return answered(ctx, (void *)PT_REGS_PARM1(ctx), (void *)PT_REGS_PARM2(ctx), false);
}

SEC("?fentry/tcp_v6_send_reset")
int tcp_v6_send_reset_fentry(__u64 *ctx)
{
	return answered(ctx, argument(ctx, 0), argument(ctx, 1), true);
}

SEC("?kprobe/tcp_v6_send_reset")
int tcp_v6_send_reset_kprobe(struct pt_regs *ctx)
{
	return answered(ctx, (void *)PT_REGS_PARM1(ctx), (void *)PT_REGS_PARM2(ctx), true);
}
