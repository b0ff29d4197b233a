// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpretrans: each segment that TCP sends again, told apart by why. */
#include "skoop.bpf.h"
#include "tcpretrans.h"

/* include/net/inet_connection_sock.h, include/net/tcp.h, include/linux/tcp.h: none of them uapi, none ever changed. */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4
#define ICSK_TIME_LOSS_PROBE 5
#define TCPCB_LOST 0x04
#define TCP_INFINITE_SSTHRESH 0x7fffffff
#define TCPHDR_SYN 0x02
#define TCP_NEW_SYN_RECV 12

const volatile __u32 args_tcp_retransmit_skb = 0;
const volatile __u64 tick_ns = 0;

/*
 * Whether the timer of a tail loss probe has run out. Only 5.10 needs to ask: there Fast Open data sent again looks
 * like a probe, but its timer was armed just now.
 */
static __always_inline bool probe_is_due(const struct inet_connection_sock *icsk)
{
	const struct inet_connection_sock___timeout *old = (const void *)icsk;

	if (!bpf_core_field_exists(old->icsk_timeout))
		return true;
	return (__s64)(BPF_CORE_READ(old, icsk_timeout) - bpf_jiffies64()) <= 0;
}

/* The order matters: while recovering, any timer may be pending. */
static __always_inline __u8 type_of(const struct sock *sk, const struct tcp_skb_cb *cb)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	const struct tcp_sock *tp = (const void *)sk;
	__u8 state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	__u8 pending = BPF_CORE_READ(icsk, icsk_pending);

	/* Not the socket's state: a simultaneous open sends its SYN again from SYN_RECV and later. */
	if (BPF_CORE_READ_BITFIELD_PROBED(cb, tcp_flags) & TCPHDR_SYN)
		return RETRANS_SYN;
	if (state == TCP_CA_RECOVERY)
		return RETRANS_FAST;
	/* Resends for path MTU, failed MTU probes and refused Fast Open data come in this state, too, without a timeout. */
	if (state == TCP_CA_LOSS)
		return !pending || BPF_CORE_READ(tp, undo_marker) ? RETRANS_RTO : RETRANS_OTHER;
	if (pending == ICSK_TIME_LOSS_PROBE &&
	    !(BPF_CORE_READ_BITFIELD_PROBED(cb, sacked) & TCPCB_LOST) && probe_is_due(icsk))
		return RETRANS_TLP;
	return RETRANS_OTHER;
}

static __always_inline void read_sock(struct tcpretrans_event *e, const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	const struct tcp_sock *tp = (const void *)sk;

	e->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->retransmits = BPF_CORE_READ(icsk, icsk_retransmits);
	e->backoff = BPF_CORE_READ(icsk, icsk_backoff);
	e->rto = BPF_CORE_READ(icsk, icsk_rto) * tick_ns;
	e->srtt = (BPF_CORE_READ(tp, srtt_us) >> 3) * 1000ULL;
	e->cwnd = BPF_CORE_READ(tp, snd_cwnd);
	e->ssthresh = BPF_CORE_READ(tp, snd_ssthresh);
	e->lost = BPF_CORE_READ(tp, lost_out);
	e->sacked = BPF_CORE_READ(tp, sacked_out);
	e->in_flight = BPF_CORE_READ(tp, packets_out) + BPF_CORE_READ(tp, retrans_out) - e->lost -
		       e->sacked;
	e->header.known |= KNOWN(RETRANS_F_STATE) | KNOWN(RETRANS_F_RETRANSMITS) |
			   KNOWN(RETRANS_F_BACKOFF) | KNOWN(RETRANS_F_RTO) | KNOWN(RETRANS_F_CWND) |
			   KNOWN(RETRANS_F_LOST) | KNOWN(RETRANS_F_SACKED) |
			   KNOWN(RETRANS_F_IN_FLIGHT);
	/* No limit yet: slow start goes on. */
	if (e->ssthresh < TCP_INFINITE_SSTHRESH)
		e->header.known |= KNOWN(RETRANS_F_SSTHRESH);
	/* Nothing was measured before the first answer. */
	if (e->srtt)
		e->header.known |= KNOWN(RETRANS_F_SRTT);
}

SEC("?tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb, const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)__builtin_preserve_access_index(&skb->cb);
	__u32 netns = netns_of_sock(sk);
	struct tcpretrans_event *e;
	struct tuple tuple = {};
	__u64 known;
	int err = 0;
	__u16 segs;
	__u8 type;

	if (!netns_wanted(netns))
		return 0;
	known = tuple_of_common(&sk->__sk_common, IPPROTO_TCP, &tuple);
	if (!tuple_wanted(&tuple, known))
		return 0;
	if (args_tcp_retransmit_skb > 2)
		err = (int)ctx[2];
	type = type_of(sk, cb);
	segs = BPF_CORE_READ(cb, tcp_gso_segs);
	if (!err)
		count_labelled(netns, TCPRETRANS_TOTAL, type, segs);
	if (!with_events || !event_reserve_stack(e))
		return 0;
	event_begin(&e->header, 0, netns, known);
	e->tuple = tuple;
	e->type = type;
	e->segs = segs;
	e->seq = BPF_CORE_READ(cb, seq);
	e->len = BPF_CORE_READ(skb, len);
	e->header.known |= KNOWN(RETRANS_F_TYPE) | KNOWN(RETRANS_F_SEQ) | KNOWN(RETRANS_F_LEN) |
			   KNOWN(RETRANS_F_SEGS);
	if (args_tcp_retransmit_skb > 2) {
		e->err = err;
		e->header.known |= KNOWN(RETRANS_F_ERR);
	}
	read_sock(e, sk);
	event_stack(e, ctx, RETRANS_F_STACK);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* `listener` has no peer; the request has, and the number its SYN-ACK begins with. */
SEC("?tp_btf/tcp_retransmit_synack")
int BPF_PROG(tcp_retransmit_synack, const struct sock *listener, const struct request_sock *req)
{
	const struct tcp_request_sock *treq = (const void *)req;
	__u32 netns = netns_of_sock(listener);
	struct tcpretrans_event *e;
	struct tuple tuple = {};
	__u64 known;

	if (!netns_wanted(netns))
		return 0;
	known = tuple_of_common(&req->__req_common, IPPROTO_TCP, &tuple);
	if (!tuple_wanted(&tuple, known))
		return 0;
	count_labelled(netns, TCPRETRANS_TOTAL, RETRANS_SYNACK, 1);
	if (!with_events || !event_reserve_stack(e))
		return 0;
	event_begin(&e->header, 0, netns, known);
	e->tuple = tuple;
	e->type = RETRANS_SYNACK;
	e->state = TCP_NEW_SYN_RECV;
	e->segs = 1;
	e->seq = BPF_CORE_READ(treq, snt_isn);
	e->retransmits = BPF_CORE_READ(req, num_retrans) + 1; /* counted after this one */
	e->header.known |= KNOWN(RETRANS_F_STATE) | KNOWN(RETRANS_F_TYPE) | KNOWN(RETRANS_F_SEQ) |
			   KNOWN(RETRANS_F_LEN) | KNOWN(RETRANS_F_SEGS) |
			   KNOWN(RETRANS_F_RETRANSMITS);
	event_stack(e, ctx, RETRANS_F_STACK);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
