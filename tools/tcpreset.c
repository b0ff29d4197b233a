// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpreset - every RST that ends or refuses a TCP connection, sent or received: by whom, in which state, and why. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bpf/tcpreset.h"
#include "bpf/tcpreset.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/util.h"
#include "reset_reasons.h"

/* Beside a type's label: counted here, from what the kernel half left open. */
#define DECIDED_HERE (1ULL << 32)

static struct tuple_filter filter;

static void type_label(const struct kernel *k, uint64_t type, struct buf *b)
{
	static const char *const types[NRESETS] = {
		[RESET_NOSOCK] = "nosock",
		[RESET_ACTIVE] = "active",
		[RESET_PROCESS] = "process",
		[RESET_RECEIVE] = "receive",
	};

	(void)k;
	buf_str(b, types[(uint32_t)type % NRESETS]);
}

static const char *direction_name(const struct kernel *k, uint64_t direction)
{
	(void)k;
	return direction == RESET_SENT ? "sent" : direction == RESET_RECEIVED ? "received" : NULL;
}

static const char *reason_name(const struct kernel *k, uint64_t reason)
{
	return kernel_enum_name(k, "sk_rst_reason", "SK_RST_REASON_", reason);
}

/* clang-format off */
static const struct metric metrics[] = {
	[TCPRESET_TOTAL] = { "total", NULL, COUNTER, "resets", "RSTs sent and received", SCOPE_NETNS, M_EXTRA,
	  .advice = { .means = "RSTs by type: nosock, active and process were sent, together as many as tcp_outrsts grew by; receive "
			       "ended a connection of this side",
		      .normal = "few; programs that abort on purpose (balancers, health checks) and scans give a steady trickle",
		      .causes = "nosock: closed port, forgotten connection. active: close with unread data, linger 0, keepalive. "
				"process: answer to a segment that does not fit. receive: refused connect, or the peer aborted",
		      .confirm = "skoop tcpreset: who, in which state, why",
		      .remedy = "by event: skoop explain TCPRESET_NOSOCK and so on" },
	  .label = "type", .label_text = type_label, .labels = NRESETS },
	LOST_EVENTS_METRIC,
	{}
};

static const struct event events[] = {
	[RESET_NOSOCK] = { "TCPRESET_NOSOCK", "TCP connection sent RST because of no socket",
	  { .means = "this host reset a segment for a port or connection it does not know",
	    .causes = "closed port; a connection this host has forgotten: restart, failover, NAT expiry; scan",
	    .confirm = "ss -ltn: is the service listening?" } },
	[RESET_ACTIVE] = { "TCPRESET_ACTIVE", "TCP connection sent active RST because of close() syscall or linger, etc.",
	  { .means = "this host's program or a timer of its kernel aborted the connection",
	    .causes = "close() with unread data; linger 0; listener closed with connections not accepted; keepalive timed out; ss -K",
	    .confirm = "comm and reason of the event; tcpext_tcpabort*" } },
	[RESET_PROCESS] = { "TCPRESET_PROCESS",
	  "TCP connection sent RST because of no socket or exception in handshaking, etc.",
	  { .means = "this host answered a segment with a reset although it has a socket for it",
	    .causes = "bare ACK to a listener: the peer's connection is forgotten here; wrong ACK in the handshake; data after "
		      "close; tcp_abort_on_overflow=1 with a full accept queue",
	    .confirm = "state and reason of the event; tcpext_listenoverflows" } },
	[RESET_RECEIVE] = { "TCPRESET_RECEIVE", "TCP connection received RST",
	  { .means = "the peer, or something in between, aborted the connection",
	    .causes = "in SYN_SENT: nobody listens there. In ESTABLISHED: the peer's program or a middlebox",
	    .confirm = "skoop tcpreset at the peer; compare TTLs to unmask a middlebox" } },
	{}
};

static const struct field fields[] = {
	TUPLE_FIELDS(tcpreset_event),
	[RESET_F_STATE] = { FIELD(tcpreset_event, state, F_STATE),
			    .help = "the socket's state; CLOSE: its program had closed it already" },
	[RESET_F_DIRECTION] = { .detail = true, FIELD(tcpreset_event, direction, F_ENUM), .names = direction_name, .help = "sent or received" },
	[RESET_F_REASON] = { FIELD(tcpreset_event, reason, F_ENUM), .names = reason_name,
			     .help = "why it was sent (kernels from 6.12 on)" },
	[RESET_F_REASON_CODE] = { .name = "reason_code", .type = F_UINT, .offset = offsetof(struct tcpreset_event, reason),
				  .size = sizeof(uint32_t), .detail = true, .help = "its number in this kernel" },
	[RESET_F_SEQ] = { .detail = true, FIELD(tcpreset_event, seq, F_UINT),
			  .help = "sequence number of the segment that was answered, or of the RST that came" },
	[RESET_F_ACK] = { .detail = true, FIELD(tcpreset_event, ack, F_UINT), .help = "what that acknowledged" },
	[RESET_F_PID] = { FIELD(tcpreset_event, pid, F_UINT), .help = "the process that aborted (TCPRESET_ACTIVE, no timer)" },
	[RESET_F_COMM] = { FIELD(tcpreset_event, comm, F_STR), .help = "its name" },
	[RESET_F_DEVICE] = { FIELD(tcpreset_event, device, F_STR),
			     .help = "where the segment came in that was answered, if the kernel still knows" },
	[RESET_F_STACK] = { FIELD(tcpreset_event, stack, F_STACK), .help = "how the kernel came to send or take it" },
	{}
};

static const struct knob knobs[] = {
	TUPLE_KNOBS(filter),
	{}
};
/* clang-format on */

/* Only full sockets reach the tracepoint where it gives no reason. */
static bool has_blind_tracepoint(struct kernel *k)
{
	return kernel_tracepoint_args(k, "tcp_send_reset") < 3;
}

static bool has_blind_tracepoint_v6(struct kernel *k)
{
	return has_blind_tracepoint(k) && kernel_has_symbol(k, "tcp_v6_send_reset");
}

/* A RST of the kernel's own that looks received is unmasked by tcp_send_reset: it is there before, and longer. */
static const struct hook hooks[] = {
	{ "tcp_send_reset", { "tcp_send_reset" } },
	{ "tcp_v4_send_reset",
	  { "tcp_v4_send_reset_fentry", "tcp_v4_send_reset_kprobe" },
	  .mode = "nosock-blind",
	  .wanted = has_blind_tracepoint },
	{ "tcp_v6_send_reset",
	  { "tcp_v6_send_reset_fentry", "tcp_v6_send_reset_kprobe" },
	  .mode = "nosock-blind",
	  .wanted = has_blind_tracepoint_v6 },
	{ "tcp_receive_reset", { "tcp_reset_fentry", "tcp_reset_kprobe", "tcp_receive_reset" } },
	{}
};

static int setup(struct bpf_run *r)
{
	int n = kernel_function_args(bpf_run_kernel(r), "tcp_reset");
	uint32_t args = n < 0 ? 0 : (uint32_t)n;
	int err = bpf_run_set(r, "args_tcp_reset", &args, sizeof(args));

	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

/* A reset that nothing has unmasked was received indeed. */
static int release(struct bpf_run *r, int held, const struct held_key *key)
{
	struct counter_key counter = { .metric = TCPRESET_TOTAL,
				       .label = RESET_RECEIVE | DECIDED_HERE };
	struct tcpreset_event e;
	int err;

	/* Gone meanwhile: unmasked after all. */
	if (bpf_map_lookup_elem(held, key, &e) || bpf_map_delete_elem(held, key))
		return errno == ENOENT ? 0 : -errno;
	counter.netns = e.header.netns;
	err = bpf_run_count(r, &counter, 1);
	return err ? err : bpf_run_event(r, &e, sizeof(e));
}

static int release_held(struct bpf_run *r)
{
	uint64_t now = process_now(), until = bpf_run_attached(r) ? now - RESET_HOLD_NS : UINT64_MAX;
	int held = bpf_run_map(r, "held"), err = 0;
	struct held_key key, kept, *last = NULL;

	while (!err && !bpf_map_get_next_key(held, last, &key)) {
		if (key.since <= until) {
			err = release(r, held, &key);
			continue;
		}
		kept = key;
		last = &kept;
	}
	if (err && err != -ECANCELED)
		msg_error("resets that were held back: %s", strerror(-err));
	return err;
}

static const struct tracing tracing = {
	.object = tcpreset_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "RSTs that a firewall sends (reject with tcp reset); those that hit a half-open request or TIME_WAIT",
	.setup = setup,
	.refresh = release_held,
};

static const struct probe tcpreset = {
	.name = "tcpreset",
	.summary = "Trace TCP reset",
	.question = "Which TCP connections are reset, by whom, and why?",
	.source = "eBPF",
	.overhead = "Low",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.events = events,
	.fields = fields,
	.reasons = reset_reasons,
	.knobs = knobs,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(tcpreset)
