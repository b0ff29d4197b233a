// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * socketlatency: how long data waits in a socket for its reader, and how long written data waits to be sent.
 *
 * Of each TCP socket the times are kept at which its unread and its unsent bytes came. Nearly all of it runs with the
 * socket locked; only what follows a send call (sock_send_length) may meet a transmission on another CPU.
 */
#include "skoop.bpf.h"
#include "tally.bpf.h"
#include "socketlatency.h"
#include "socketlatency_ring.bpf.h"

/* include/net/tcp_states.h, include/net/sock.h, include/net/tcp.h: none of them uapi, none ever changed. */
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
#define SOCK_DONE 1
#define TCP_NAGLE_OFF 1
#define TCP_NAGLE_CORK 2
#define TCP_CHRONO_SNDBUF_LIMITED 3

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the socket's address */
	__type(value, struct sl_sock);
} socks SEC(".maps");

/* Which socket a thread is sending on: a kretprobe has no arguments. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} senders SEC(".maps");

/* Too large for the stack: what an entry begins as. */
const struct sl_sock no_sock = {};

static __always_inline __u8 state_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_state);
}

/* Only of full sockets: the others have no protocol. */
static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) &&
	       BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}

static __always_inline void read_task(struct sl_task *t)
{
	t->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(t->comm, sizeof(t->comm));
}

/* ---- sockets ---- */

static __always_inline struct sl_sock *sock_get(const struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&socks, &key);
}

/* NULL: not asked for, or no room. */
static __always_inline struct sl_sock *sock_make(const struct sock *sk)
{
	const struct tcp_sock *tp = (const void *)sk;
	__u32 netns = netns_of_sock(sk);
	struct tuple tuple = {};
	__u64 key = (__u64)sk;
	struct sl_sock *s;

	if (!netns_wanted(netns) ||
	    !tuple_wanted(&tuple, tuple_of_common(&sk->__sk_common, IPPROTO_TCP, &tuple)))
		return NULL;
	if (bpf_map_update_elem(&socks, &key, &no_sock, BPF_NOEXIST)) {
		s = bpf_map_lookup_elem(&socks, &key);
		if (!s)
			lose(LOST_MAP, 1);
		return s;
	}
	tally_one(TALLY_MADE);
	s = bpf_map_lookup_elem(&socks, &key);
	if (!s)
		return NULL;
	s->netns = netns;
	s->tuple = tuple;
	s->next = BPF_CORE_READ(tp, snd_nxt);
	s->state = state_of(sk);
	return s;
}

SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_sock, const struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (!bpf_map_delete_elem(&socks, &key))
		tally_one(TALLY_ENDED);
	return 0;
}

/* ---- samples ---- */

struct sample {
	const struct tuple *tuple;
	const struct sl_task *task;
	__u64 known, wait;
	__u32 netns, bytes, queued;
	__u8 state, reason;
};

static __always_inline void tell(const struct sample *p, __u16 type)
{
	struct sl_event *e;

	if (!event_reserve(e))
		return;
	event_begin(&e->header, type, p->netns, p->known | KNOWN(SL_F_LATENCY) | KNOWN(SL_F_BYTES));
	e->tuple = *p->tuple;
	e->latency = p->wait;
	e->bytes = p->bytes;
	e->queued = p->queued;
	e->state = p->state;
	e->reason = p->reason;
	if (p->task->pid) {
		e->header.known |= KNOWN(SL_F_PID) | KNOWN(SL_F_COMM);
		e->pid = p->task->pid;
		__builtin_memcpy(e->comm, p->task->comm, sizeof(e->comm));
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void sample(const struct sample *p, __u16 type)
{
	if (p->wait > SLOW_100MS_NS)
		count(p->netns, type == SL_READ ? SL_READ100MS : SL_WRITE100MS, 1);
	if (p->wait > SLOW_1MS_NS)
		count(p->netns, type == SL_READ ? SL_READ1MS : SL_WRITE1MS, 1);
	hist_add(p->netns, type, 0, p->wait);
	if (with_events && p->wait > threshold_ns)
		tell(p, type);
}

#define KNOWN_TCP (KNOWN_TUPLE | KNOWN(SL_F_QUEUED) | KNOWN(SL_F_STATE))

#include "socketlatency_udp.bpf.h"

/* ---- read ---- */

static __always_inline int data_arrived(const struct sock *sk)
{
	const struct tcp_sock *tp = (const void *)sk;
	__u32 copied = BPF_CORE_READ(tp, copied_seq), end = BPF_CORE_READ(tp, rcv_nxt), n;
	struct sl_sock *s = sock_get(sk);
	struct sl_ring *r;
	__u64 now;

	/* A FIN takes a number, and is never read. */
	end -= BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE & 1;
	if (!is_after(end, copied)) {
		if (s)
			s->read.n = 0;
		return 0;
	}
	if (!s)
		s = sock_make(sk);
	if (!s)
		return 0;
	r = &s->read;
	ring_shift(r, ring_count(r, copied));
	s->state = state_of(sk);
	now = bpf_ktime_get_ns();
	n = r->n;
	if (!n || n > SL_RING) {
		r->n = 0;
		s->copied = copied;
		ring_add(r, end, now);
		return 0;
	}
	if (r->seq[ring_slot(n - 1)] == end)
		return 0;
	if (now - r->at[ring_slot(n - 1)] < SLOW_1MS_NS) {
		r->seq[ring_slot(n - 1)] = end;
		return 0;
	}
	if (n == SL_RING)
		ring_merge(r, now);
	ring_add(r, end, now);
	return 0;
}

static __always_inline bool takes_data(const struct sock *sk)
{
	__u8 state = state_of(sk);

	return state != TCP_LISTEN && state != TCP_CLOSE;
}

SEC("?fentry/tcp_data_ready")
int BPF_PROG(data_ready_fentry, const struct sock *sk)
{
	return takes_data(sk) ? data_arrived(sk) : 0;
}

SEC("?kprobe/tcp_data_ready")
int BPF_KPROBE(data_ready_kprobe, const struct sock *sk)
{
	return takes_data(sk) ? data_arrived(sk) : 0;
}

SEC("?tp_btf/sk_data_ready")
int BPF_PROG(sk_data_ready, const struct sock *sk)
{
	return is_tcp(sk) && takes_data(sk) ? data_arrived(sk) : 0;
}

/*
 * Each buffer that is read comes here, and each look at one. One call may read many buffers: after a read that is worth
 * telling, what follows within a millisecond is of the same.
 */
SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tcp_rcv_space_adjust, const struct sock *sk)
{
	const struct tcp_sock *tp = (const void *)sk;
	struct sl_sock *s = sock_get(sk);
	struct sample p = { .known = KNOWN_TCP };
	__u32 copied;
	__u64 now;

	if (!s || !s->read.n)
		return 0;
	copied = BPF_CORE_READ(tp, copied_seq);
	if (copied == s->copied)
		return 0;
	now = bpf_ktime_get_ns();
	p.wait = now - s->read.at[0];
	p.bytes = copied - s->copied;
	s->copied = copied;
	ring_shift(&s->read, ring_count(&s->read, copied));
	read_task(&s->reader);
	if (now - s->sampled < SLOW_1MS_NS)
		return 0;
	if (p.wait > SLOW_1MS_NS)
		s->sampled = now;
	p.queued = BPF_CORE_READ(tp, rcv_nxt) -
		   (BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE & 1) - copied;
	p.netns = s->netns;
	p.tuple = &s->tuple;
	p.task = &s->reader;
	p.state = state_of(sk);
	sample(&p, SL_READ);
	return 0;
}

/* ---- write ---- */

/* Up to where all was sent: a transmission that is being made may have come further than its socket says. */
static __always_inline __u32 sent_to(const struct sl_sock *s, const struct tcp_sock *tp)
{
	__u32 next = BPF_CORE_READ(tp, snd_nxt);

	return is_after(s->next, next) ? s->next : next;
}

static __always_inline void write_forget(struct sl_sock *s)
{
	s->write.n = 0;
	s->sent = 0;
	s->unsent = 0;
	s->limits = 0;
	s->reason = SL_OTHER;
}

/*
 * Why what is behind `next` does not go now. segs: packets that were sent and are not counted yet. With nothing unsent
 * it is the writer that waits, for room to put more.
 */
static __always_inline void read_limits(struct sl_sock *s, const struct tcp_sock *tp, __u32 next,
					__u32 segs)
{
	__u32 packets = BPF_CORE_READ(tp, packets_out), unsent = s->unsent, part = unsent;
	__u32 mss = BPF_CORE_READ(tp, mss_cache);
	__u8 nonagle = BPF_CORE_READ_BITFIELD_PROBED(tp, nonagle);
	__s32 flight;

	if (part > mss)
		part = mss;
	packets += segs;
	flight = packets + BPF_CORE_READ(tp, retrans_out) - BPF_CORE_READ(tp, sacked_out) -
		 BPF_CORE_READ(tp, lost_out);
	s->limits = 0;
	if (flight >= (__s32)BPF_CORE_READ(tp, snd_cwnd))
		s->limits |= SL_LIMIT_CWND;
	if (BPF_CORE_READ_BITFIELD_PROBED(tp, is_cwnd_limited))
		s->limits |= SL_LIMIT_LIMITED;
	if (is_after(next + (part ? part : 1),
		     BPF_CORE_READ(tp, snd_una) + BPF_CORE_READ(tp, snd_wnd)))
		s->limits |= SL_LIMIT_WINDOW;
	s->reason = SL_OTHER;
	if (s->limits & SL_LIMIT_WINDOW)
		s->reason = SL_WINDOW;
	else if (!unsent)
		s->reason = SL_SNDBUF;
	else if (unsent < mss && nonagle & TCP_NAGLE_CORK)
		s->reason = SL_CORK;
	else if (unsent < mss && !(nonagle & TCP_NAGLE_OFF) && packets)
		s->reason = SL_NAGLE;
}

/*
 * How long the head of what is unsent had to wait since `base`, as far as that is no matter of a congestion window: where
 * that was full it is none, and what goes as acknowledgements come has waited since the last of them. false: no sample.
 */
static __always_inline bool write_wait(const struct sl_sock *s, const struct tcp_sock *tp,
				       __u64 base, __u64 now, __u64 *wait)
{
	__u64 acked, rtt;

	*wait = now - base;
	if ((s->limits & (SL_LIMIT_CWND | SL_LIMIT_WINDOW)) == SL_LIMIT_CWND)
		return false;
	if (!(s->limits & (SL_LIMIT_WINDOW | SL_LIMIT_LIMITED)) ||
	    BPF_CORE_READ_BITFIELD_PROBED(tp, chrono_type) == TCP_CHRONO_SNDBUF_LIMITED)
		return true;
	acked = BPF_CORE_READ(tp, delivered_mstamp) * 1000;
	rtt = (BPF_CORE_READ(tp, srtt_us) >> 3) * 1000ULL;
	if (acked > base && *wait <= 2 * rtt + SLOW_1MS_NS)
		*wait = now > acked ? now - acked : 0;
	return true;
}

/* When the byte `head` was handed over, or the last one was sent before it; 0: that was not seen. */
static __always_inline __u64 write_base(const struct sl_sock *s, __u32 head)
{
	__u32 k = ring_count(&s->write, head);
	__u64 handed = 0;

	if (k && k <= SL_RING)
		handed = s->write.at[ring_slot(k - 1)];
	return handed > s->sent ? handed : s->sent;
}

/* New data from head to next leaves; the socket does not say so yet. */
static __always_inline int transmitted(const struct sock *sk, __u32 head, __u32 next, __u32 segs)
{
	const struct tcp_sock *tp = (const void *)sk;
	__u32 unsent = BPF_CORE_READ(tp, write_seq) - next, k;
	struct sample p = { .known = KNOWN_TCP };
	struct sl_sock *s = sock_get(sk);
	__u64 now, base;

	if (!s && unsent)
		s = sock_make(sk);
	if (!s)
		return 0;
	now = bpf_ktime_get_ns();
	base = write_base(s, head);
	s->state = state_of(sk);
	s->next = next;
	if (base && write_wait(s, tp, base, now, &p.wait)) {
		p.bytes = next - head;
		p.queued = unsent;
		p.known |= KNOWN(SL_F_REASON);
		p.netns = s->netns;
		p.tuple = &s->tuple;
		p.task = &s->writer;
		p.state = s->state;
		p.reason = s->reason;
		sample(&p, SL_WRITE);
	}
	s->unsent = unsent;
	if (!unsent && !s->in_send) {
		write_forget(s);
		return 0;
	}
	s->sent = now;
	read_limits(s, tp, next, segs);
	k = ring_count(&s->write, next);
	if (k > 1)
		ring_shift(&s->write, k - 1);
	return 0;
}

static __always_inline int data_sent(const struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)__builtin_preserve_access_index(&skb->cb);
	const struct tcp_sock *tp = (const void *)sk;

	return transmitted(sk, BPF_CORE_READ(tp, snd_nxt), BPF_CORE_READ(cb, end_seq),
			   BPF_CORE_READ(cb, tcp_gso_segs));
}

SEC("?fentry/tcp_event_new_data_sent")
int BPF_PROG(data_sent_fentry, const struct sock *sk, const struct sk_buff *skb)
{
	return data_sent(sk, skb);
}

SEC("?kprobe/tcp_event_new_data_sent")
int BPF_KPROBE(data_sent_kprobe, const struct sock *sk, const struct sk_buff *skb)
{
	return data_sent(sk, skb);
}

/*
 * The first device a segment comes to, while its socket still is where it was before. What is sent again, or comes to a
 * device below, is not new.
 */
SEC("?tp_btf/net_dev_queue")
int BPF_PROG(net_dev_queue, const struct sk_buff *skb)
{
	const struct sock *sk = BPF_CORE_READ(skb, sk);
	const struct tcp_sock *tp = (const void *)sk;
	const struct skb_shared_info *info;
	const struct sl_sock *s;
	const __u8 *head, *l4;
	__u32 seq, len, segs;
	struct tcphdr tcp;
	__u8 state;

	if (!sk)
		return 0;
	state = state_of(sk);
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || state == TCP_LISTEN ||
	    !is_tcp(sk) || BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation))
		return 0;
	head = BPF_CORE_READ(skb, head);
	l4 = head + BPF_CORE_READ(skb, transport_header);
	if (bpf_probe_read_kernel(&tcp, sizeof(tcp), l4) || tcp.syn)
		return 0;
	len = BPF_CORE_READ(skb, len) - (__u32)(l4 - BPF_CORE_READ(skb, data)) - tcp.doff * 4;
	seq = bpf_ntohl(tcp.seq);
	if ((__s32)len <= 0 || is_after(BPF_CORE_READ(tp, snd_nxt), seq))
		return 0;
	s = sock_get(sk);
	if (s && s->next == seq + len)
		return 0;
	info = (const void *)(head + BPF_CORE_READ(skb, end));
	segs = BPF_CORE_READ(info, gso_segs);
	return transmitted(sk, seq, seq + len, segs ? segs : 1);
}

static __always_inline int send_begins(const struct sock *sk)
{
	const struct tcp_sock *tp = (const void *)sk;
	__u32 end = BPF_CORE_READ(tp, write_seq), n;
	struct sl_sock *s = sock_get(sk);
	__u64 now;

	if (!s)
		s = sock_make(sk);
	if (!s)
		return 0;
	if (!s->in_send && !is_after(end, sent_to(s, tp)))
		write_forget(s);
	now = bpf_ktime_get_ns();
	n = s->write.n;
	if (!n || n > SL_RING || now - s->write.at[ring_slot(n - 1)] >= SLOW_1MS_NS)
		ring_add(&s->write, end, now);
	s->in_send++;
	s->state = state_of(sk);
	read_task(&s->writer);
	return 0;
}

static __always_inline void send_ends(struct sl_sock *s, const struct tcp_sock *tp)
{
	__u32 end = BPF_CORE_READ(tp, write_seq), next = sent_to(s, tp);

	if (s->in_send)
		s->in_send--;
	if (is_after(end, next)) {
		s->unsent = end - next;
		if (!s->sent)
			read_limits(s, tp, next, 0);
	} else if (!s->in_send) {
		write_forget(s);
	}
}

SEC("?fentry/tcp_sendmsg_locked")
int BPF_PROG(send_fentry, const struct sock *sk)
{
	return send_begins(sk);
}

SEC("?kprobe/tcp_sendmsg_locked")
int BPF_KPROBE(send_kprobe, const struct sock *sk)
{
	__u64 thread = bpf_get_current_pid_tgid(), key = (__u64)sk;

	bpf_map_update_elem(&senders, &thread, &key, BPF_ANY);
	return send_begins(sk);
}

SEC("?fexit/tcp_sendmsg_locked")
int BPF_PROG(send_fexit, const struct sock *sk)
{
	struct sl_sock *s = sock_get(sk);

	if (s)
		send_ends(s, (const void *)sk);
	return 0;
}

SEC("?kretprobe/tcp_sendmsg_locked")
int send_kretprobe(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), *key = bpf_map_lookup_elem(&senders, &thread), sk;
	struct sl_sock *s;

	if (!key)
		return 0;
	sk = *key;
	bpf_map_delete_elem(&senders, &thread);
	s = bpf_map_lookup_elem(&socks, &sk);
	if (s)
		send_ends(s, (const void *)sk);
	return 0;
}

/*
 * A send call has ended, and the socket is not locked any more. Where its beginning is not seen, only now is there a
 * stamp for what is still unsent of it; it goes again if that was sent meanwhile.
 */
SEC("?tp_btf/sock_send_length")
int BPF_PROG(sock_send_length, const struct sock *sk, int ret)
{
	const struct tcp_sock *tp = (const void *)sk;
	__u32 end, next, n, from;
	struct sl_sock *s;
	__u64 now;

	if (!is_tcp(sk))
		return 0;
	s = sock_get(sk);
	if (s && s->in_send) {
		send_ends(s, tp);
		return 0;
	}
	end = BPF_CORE_READ(tp, write_seq);
	if (ret <= 0 || !is_after(end, s ? sent_to(s, tp) : BPF_CORE_READ(tp, snd_nxt)))
		return 0;
	if (!s)
		s = sock_make(sk);
	if (!s)
		return 0;
	next = sent_to(s, tp);
	from = is_after(next, end - ret) ? next : end - ret;
	now = bpf_ktime_get_ns();
	n = s->write.n;
	if (!n || n > SL_RING || now - s->write.at[ring_slot(n - 1)] >= SLOW_1MS_NS)
		ring_add(&s->write, from, now);
	s->state = state_of(sk);
	read_task(&s->writer);
	send_ends(s, tp);
	return 0;
}
