// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * socketlatency - how long data waits in sockets: for the program that is to read it, and, once written, to be sent. The
 * kernel half keeps the times and counts; what waits and has not been read or sent yet is found here.
 */
#include "bpf/socketlatency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/socketlatency.skel.h"
#include "libcommon/array.h"
#include "libcommon/bpf.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/util.h"

static struct {
	struct tuple_filter filter;
	uint64_t max_sockets;
} opts;

static uint64_t evicted; /* told so far */

static const char *reason_name(const struct kernel *k, uint64_t reason)
{
	static const char *const names[] = {
		[SL_OTHER] = "other", [SL_WINDOW] = "window", [SL_SNDBUF] = "sndbuf",
		[SL_CORK] = "cork",   [SL_NAGLE] = "nagle",
	};

	(void)k;
	return reason < ARRAY_SIZE(names) ? names[reason] : NULL;
}

static int setup(struct bpf_run *r)
{
	static const char *const maps[] = { "socks", "datagrams", "udp_socks" };
	int err = 0;

	for (size_t i = 0; !err && opts.max_sockets && i < ARRAY_SIZE(maps); i++)
		err = bpf_run_map_size(r, maps[i], (uint32_t)opts.max_sockets);
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

/* ---- what has not ended ---- */

#define KNOWN(field) (1ULL << (field))
#define KNOWN_WAITING ((KNOWN(NFIELDS_TUPLE) - 1) | KNOWN(SL_F_LATENCY) | KNOWN(SL_F_QUEUED))

struct waiting {
	uint64_t sock, at, bytes;
};

struct look {
	struct bpf_run *run;
	uint64_t now;
	struct waiting *v; /* datagrams */
	size_t n, size;
};

static int tell(const struct look *look, struct sl_event *e, const struct sl_task *task,
		uint64_t since)
{
	if (since > look->now)
		return 0;
	e->latency = look->now - since;
	e->header.known |= KNOWN_WAITING;
	if (!e->tuple.dport) /* it is not connected */
		e->header.known &= ~(KNOWN(FIELD_DADDR) | KNOWN(FIELD_DPORT));
	if (task->pid) {
		e->header.known |= KNOWN(SL_F_PID) | KNOWN(SL_F_COMM);
		e->pid = task->pid;
		memcpy(e->comm, task->comm, sizeof(e->comm));
	}
	return bpf_run_in_flight(look->run, e, sizeof(*e), since);
}

static int tell_unread(const struct look *look, const struct sl_sock *s)
{
	struct sl_event e = { .header = { .type = SL_READ, .netns = s->netns } };

	if (!s->read.n || s->read.n > SL_RING)
		return 0;
	e.tuple = s->tuple;
	e.state = s->state;
	e.header.known = KNOWN(SL_F_STATE);
	e.queued = s->read.seq[s->read.n - 1] - s->copied;
	return tell(look, &e, &s->reader, s->read.at[0]);
}

/* As the kernel half has it when the data leaves: what a full congestion window holds back is not told. */
static int tell_unsent(const struct look *look, const struct sl_sock *s)
{
	struct sl_event e = { .header = { .type = SL_WRITE, .netns = s->netns } };
	uint64_t since = s->sent;

	if ((!s->unsent && !s->in_send) ||
	    (s->limits & (SL_LIMIT_CWND | SL_LIMIT_WINDOW)) == SL_LIMIT_CWND)
		return 0;
	for (uint32_t i = 0; i < s->write.n && i < SL_RING; i++)
		if ((int32_t)(s->write.seq[i] - s->next) <= 0 && s->write.at[i] > since)
			since = s->write.at[i];
	if (!since)
		return 0;
	e.tuple = s->tuple;
	e.state = s->state;
	e.reason = s->reason;
	e.header.known = KNOWN(SL_F_STATE) | KNOWN(SL_F_REASON);
	e.queued = s->unsent;
	return tell(look, &e, &s->writer, since);
}

static int tell_sock(const void *key, const void *value, size_t copies, void *arg)
{
	struct sl_sock s;
	int err;

	(void)key;
	(void)copies;
	memcpy(&s, value, sizeof(s));
	err = tell_unread(arg, &s);
	return err ? err : tell_unsent(arg, &s);
}

static int keep_datagram(const void *key, const void *value, size_t copies, void *arg)
{
	struct look *look = arg;
	struct sl_datagram d;

	(void)key;
	(void)copies;
	memcpy(&d, value, sizeof(d));
	if (array_grow(&look->v, &look->size, look->n + 1))
		return -ENOMEM;
	look->v[look->n++] = (struct waiting){ .sock = d.sock, .at = d.at, .bytes = d.len };
	return 0;
}

static int by_sock(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return (x->sock > y->sock) - (x->sock < y->sock);
}

/* What was thrown away unread is in the table still: a socket that is older, or has read what came later, tells. */
static int tell_udp(const void *key, const void *value, size_t copies, void *arg)
{
	struct sl_event e = { .header.type = SL_READ };
	const struct look *look = arg;
	struct waiting want = { .at = UINT64_MAX }, *w;
	struct sl_udp u;

	(void)copies;
	memcpy(&u, value, sizeof(u));
	memcpy(&want.sock, key, sizeof(want.sock));
	w = look->n ? bsearch(&want, look->v, look->n, sizeof(*look->v), by_sock) : NULL;
	if (!w)
		return 0;
	while (w > look->v && w[-1].sock == want.sock)
		w--;
	for (; w < look->v + look->n && w->sock == want.sock; w++) {
		if (w->at < u.made || w->at <= u.read)
			continue;
		want.bytes += w->bytes;
		want.at = w->at < want.at ? w->at : want.at;
	}
	if (want.at == UINT64_MAX)
		return 0;
	e.header.netns = u.netns;
	e.tuple = u.tuple;
	e.queued = (uint32_t)want.bytes;
	return tell(look, &e, &u.reader, want.at);
}

static int in_flight(struct bpf_run *r)
{
	struct look look = { .run = r, .now = process_now() };
	int err = bpf_run_map_each(r, "socks", tell_sock, &look);

	if (!err)
		err = bpf_run_map_each(r, "datagrams", keep_datagram, &look);
	if (!err && look.n) {
		qsort(look.v, look.n, sizeof(*look.v), by_sock);
		err = bpf_run_map_each(r, "udp_socks", tell_udp, &look);
	}
	free(look.v);
	if (err && err != -EPIPE)
		msg_error("data in sockets: %s", strerror(-err));
	return err;
}

static int count_lost(struct bpf_run *r)
{
	int err = bpf_run_evicted(r, "socks", &evicted);

	if (err)
		msg_error("sockets: %s", strerror(-err));
	return err;
}

/* clang-format off */
static const struct metric metrics[] = {
	[SL_READ100MS] = { "read100ms", NULL, COUNTER, "samples", "Socket read latency exceeds 100ms", SCOPE_NETNS,
	  .advice = { .means = "reads whose oldest byte had waited more than 100 ms",
		      .normal = "rare",
		      .causes = "program busy, blocked or throttled",
		      .confirm = "comm of the event; its run queue; nr_throttled in cpu.stat of its cgroup",
		      .remedy = "the program, more CPU" } },
	[SL_READ1MS] = { "read1ms", NULL, COUNTER, "samples", "Socket read latency exceeds 1ms", SCOPE_NETNS,
	  .advice = { .means = "reads whose oldest byte had waited more than 1 ms",
		      .normal = "often",
		      .causes = "program busy, blocked or throttled",
		      .confirm = "comm of the event; its run queue; nr_throttled in cpu.stat of its cgroup",
		      .remedy = "the program, more CPU" } },
	[SL_WRITE100MS] = { "write100ms", NULL, COUNTER, "samples", "Socket write latency exceeds 100ms", SCOPE_NETNS,
	  .advice = { .means = "times the next written byte did not leave for more than 100 ms, and not for want of congestion window",
		      .normal = "rare",
		      .causes = "by reason. window: the peer does not read. sndbuf: SO_SNDBUF smaller than the path needs. cork: "
				"TCP_CORK, MSG_MORE. nagle: small writes, each waiting for a delayed ACK. other: pacing, full queue",
		      .confirm = "reason of the event; ss -ti: rwnd_limited, sndbuf_limited, notsent",
		      .remedy = "the peer's reader, the path, TCP_NODELAY" } },
	[SL_WRITE1MS] = { "write1ms", NULL, COUNTER, "samples", "Socket write latency exceeds 1ms", SCOPE_NETNS,
	  .advice = { .means = "times the next written byte did not leave for more than 1 ms, and not for want of congestion window",
		      .normal = "with Nagle or pacing",
		      .causes = "by reason, as of write100ms",
		      .confirm = "skoop-socketlatency -t 1ms: reason; ss -ti: rwnd_limited, sndbuf_limited, notsent",
		      .remedy = "the peer's reader, the path, TCP_NODELAY" } },
	LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	[SL_READ] = { "read", "Time the oldest unread byte waited for its reader", SCOPE_NETNS },
	[SL_WRITE] = { "write", "Time the next unsent byte waited to leave", SCOPE_NETNS },
	{}
};

static const struct event events[] = {
	[SL_READ] = { "SOCKETLAT_READSLOW", "Socket read slow",
	  { .means = "data waited more than 100 ms for its program",
	    .causes = "program busy, blocked on a disk or lock, or out of its CPU quota",
	    .confirm = "comm's run queue; nr_throttled in cpu.stat of its cgroup" } },
	[SL_WRITE] = { "SOCKETLAT_SENDSLOW", "Socket send slow",
	  { .means = "written data waited more than 100 ms to leave",
	    .causes = "by reason. window: the peer's is closed (queued grows, tcpext_tcpwinprobe). sndbuf: buffer too small. nagle: "
		      "with delayed ACK (about 40 ms). cork; other: pacing, full queue",
	    .confirm = "ss -ti" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(sl_event),
	[SL_F_LATENCY] = { FIELD(sl_event, latency, F_NS), .help = "READ: of the oldest unread byte; SEND: how long the next byte did not leave" },
	[SL_F_PID] = { FIELD(sl_event, pid, F_UINT), .help = "the process that read, or wrote last" },
	[SL_F_COMM] = { FIELD(sl_event, comm, F_STR), .help = "its thread's name" },
	[SL_F_BYTES] = { FIELD(sl_event, bytes, F_UINT), .help = "bytes read, or sent, with it" },
	[SL_F_QUEUED] = { FIELD(sl_event, queued, F_UINT), .help = "bytes that still wait behind it" },
	[SL_F_STATE] = { .detail = true, FIELD(sl_event, state, F_STATE), .help = "the connection's state" },
	[SL_F_REASON] = { FIELD(sl_event, reason, F_ENUM), .names = reason_name,
			  .help = "what kept written data back: window, sndbuf, cork, nagle or other" },
	{}
};

static const struct knob knobs[] = {
	TUPLE_KNOBS(opts.filter),
	{ 0, "max-sockets", "N", "Room for N sockets, and N datagrams that wait (32768)", KNOB_NUMBER, &opts.max_sockets, 1, 1 << 22 },
	{}
};

/* What ends before what begins. Tracepoints serve where functions cannot be traced (mode tp). */
static const struct hook hooks[] = {
	{ "tcp_destroy_sock", { "tcp_destroy_sock" } },
	{ "tcp_rcv_space_adjust", { "tcp_rcv_space_adjust" } },
	{ "tcp_event_new_data_sent", { "data_sent_fentry", "data_sent_kprobe", "net_dev_queue" } },
	{ "the return of tcp_sendmsg_locked", { "send_fexit", "send_kretprobe", "sock_send_length" } },
	{ "tcp_sendmsg_locked", { "send_fentry", "send_kprobe" }, "tp" },
	{ "tcp_data_ready", { "data_ready_fentry", "data_ready_kprobe", "sk_data_ready" } },
	{ "skb_consume_udp", { "consume_fentry", "consume_kprobe" }, "tp", .without = "tp" },
	{ "udp_destroy_sock", { "udp_destroy_fentry", "udp_destroy_kprobe" }, "tp", .without = "tp" },
	{ "udpv6_destroy_sock", { "udpv6_destroy_fentry", "udpv6_destroy_kprobe" }, .optional = true, .without = "tp" },
	{ "the return of __udp_enqueue_schedule_skb", { "enqueue_fexit", "enqueue_kretprobe" }, .optional = true,
	  .without = "tp" },
	{ "__udp_enqueue_schedule_skb", { "enqueue_fentry", "enqueue_kprobe" }, "tp" },
	{}
};
/* clang-format on */

static const struct tracing tracing = {
	.object = socketlatency_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "time in which the program itself holds the socket; data read or sent inside the kernel (kTLS, sockmap, MPTCP) "
		 "is not its process's; in mode tp: UDP, a writer that waits for room with nothing unsent, the process of a "
		 "writer that has not returned",
	.setup = setup,
	.refresh = count_lost,
	.in_flight = in_flight,
};

static const struct probe socketlatency = {
	.name = "socketlatency",
	.summary = "Trace latency in socket",
	.question = "Which data waits in sockets, to be read or to be sent?",
	.source = "eBPF",
	.overhead = "High",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.hists = hists,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.threshold = SLOW_100MS_NS,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(socketlatency)
