// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpsummary - how many TCP sockets a network namespace has, in which states, and how much waits in
 * their queues.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/format.h"
#include "libcommon/netlink.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/sockdiag.h"
#include "libcommon/target.h"
#include "libcommon/tcpgroup.h"
#include "libcommon/util.h"

/* clang-format off */
enum by { BY_STATE, BY_RPORT, BY_RADDR, BY_PEER, BY_NOTHING };
static const char *const by_words[] = { "state", "rport", "raddr", "peer", NULL };

static bool all_counters, show_states, show_listen, show_worst;
static unsigned int group_by = BY_NOTHING;
static uint64_t top; /* 0: all groups */

enum row {
	ESTABLISHED,
	TIME_WAIT,
	TX_QUEUE,
	RX_QUEUE,
	SOCKETS,
	ACCEPT_QUEUE,
	ACCEPT_LIMIT,
	LISTENERS,
	WORST_TX,
	WORST_RX,
	CONNECTIONS
};

static const struct metric metrics[] = {
	[ESTABLISHED] = { "tcpestablishedconn", NULL, GAUGE, "connections",
			  "ESTABLISHED connection count",
			  .advice = { .means = "sockets in state ESTABLISHED",
				      .confirm = "skoop-tcpsummary --states; ss -s" } },
	[TIME_WAIT] = { "tcptimewaitconn", NULL, GAUGE, "connections", "TIME_WAIT connection count",
			.advice = { .means = "sockets in state TIME_WAIT",
				    .normal = "thousands are fine: 60 s times the closes per "
					      "second on the side that closes first",
				    .causes = "no connection reuse",
				    .confirm = "skoop-tcpsummary --by peer --top 5; "
					       "TCPTimeWaitOverflow in skoop-tcpext -a",
				    .remedy = "reuse connections" } },
	[TX_QUEUE] = { "tcptxqueue", NULL, GAUGE, "bytes", "tx queue length of all TCP connections",
		       .advice = { .means = "sum of the bytes not sent or not acknowledged, all "
					    "states but LISTEN",
				   .normal = "about bandwidth times delay",
				   .causes = "with tcpwinprobe growing: a peer does not read; "
					     "with retransmits: the path; else a full pipe",
				   .confirm = "skoop-tcpsummary --worst; ss -ti" } },
	[RX_QUEUE] = { "tcprxqueue", NULL, GAUGE, "bytes", "rx queue length of all TCP connections",
		       .advice = { .means = "sum of the bytes received and not read, all states "
					    "but LISTEN",
				   .normal = "near 0",
				   .causes = "a program of this namespace is slow, stopped or "
					     "throttled",
				   .confirm = "skoop-tcpsummary --worst; skoop-socketlatency",
				   .remedy = "the program that does not read" } },
	[SOCKETS] = { "sockets", NULL, GAUGE, "sockets", "Sockets by their state", SCOPE_NETNS,
		      M_ALL,
		      .advice = { .means = "sockets in the state of the label; NEW_SYN_RECV are "
					   "half-open requests",
				  .normal = "mostly ESTABLISHED, LISTEN and TIME_WAIT",
				  .causes = "CLOSE_WAIT rising: the program forgets close(). "
					    "SYN_SENT: peers do not answer. NEW_SYN_RECV: "
					    "clients do not finish the handshake. FIN_WAIT2: "
					    "peers forget close(). LAST_ACK, FIN_WAIT1, CLOSING: "
					    "peer gone, or its window closed",
				  .confirm = "skoop-tcpsummary --by raddr --top 5; ss -tanp" } },
	[ACCEPT_QUEUE] = { "acceptqueue", NULL, GAUGE, "connections",
			   "Connections that wait for accept()", SCOPE_NETNS, M_ALL,
			   .advice = { .means = "complete connections a listener's program has "
						"not accepted; where several listen on one "
						"address and port, those of the longest queue",
				       .normal = "0, or short-lived",
				       .causes = "the program does not accept() fast enough: "
						 "blocked, CPU quota, no free descriptors",
				       .confirm = "ss -ltn: Recv-Q against Send-Q; "
						  "listenoverflows in skoop-tcpext",
				       .remedy = "the accept loop; then a larger listen() "
						 "backlog and somaxconn" } },
	[ACCEPT_LIMIT] = { "acceptlimit", NULL, GAUGE, "connections", "The accept queue's limit",
			   SCOPE_NETNS, M_ALL,
			   .advice = { .means = "min(listen() backlog, somaxconn) of that "
						"listener; a queue longer than this refuses "
						"connections",
				       .confirm = "ss -ltn (Send-Q); sysctl net.core.somaxconn",
				       .remedy = "larger backlog and somaxconn, then restart the "
						 "program: the limit is taken at listen()" } },
	[LISTENERS] = { "listeners", NULL, GAUGE, "sockets",
			"Listening sockets on an address and port", SCOPE_NETNS, M_ALL,
			.advice = { .means = "sockets that listen on the labels' address and "
					     "port; more than one with SO_REUSEPORT" } },
	[WORST_TX] = { "worsttxqueue", NULL, GAUGE, "bytes", "The largest tx queue of one socket",
		       SCOPE_NETNS, M_ALL,
		       .advice = { .means = "bytes not sent or not acknowledged in the socket "
					    "that has most of them; the labels name it",
				   .causes = "its peer does not read, the path loses, or the "
					     "pipe is full",
				   .confirm = "ss -tinp dst RADDR:RPORT" } },
	[WORST_RX] = { "worstrxqueue", NULL, GAUGE, "bytes", "The largest rx queue of one socket",
		       SCOPE_NETNS, M_ALL,
		       .advice = { .means = "bytes not read in the socket that has most of them; "
					    "the labels name it",
				   .causes = "its program is slow, stopped or throttled",
				   .confirm = "ss -tnp dst RADDR:RPORT names the program" } },
	[CONNECTIONS] = { "connections", NULL, GAUGE, "sockets", "Sockets by what --by says",
			  SCOPE_NETNS, M_ALL,
			  .advice = { .means = "sockets in any state but LISTEN that have the "
					       "labels in common",
				      .causes = "very many to one peer: no connection reuse; "
						"ports to it can run out",
				      .confirm = "ss -tan dst RADDR; sysctl "
						 "net.ipv4.ip_local_port_range" } },
	{}
};

static const struct knob knobs[] = {
	{ 0, "states", NULL, "Sockets in each of the 12 states", KNOB_FLAG, &show_states },
	{ 0, "listen", NULL, "Each listener's accept queue and its limit", KNOB_FLAG, &show_listen },
	{ 0, "worst", NULL, "The sockets with the largest queues", KNOB_FLAG, &show_worst },
	{ 'a', "all-counters", NULL, "As --states --listen --worst", KNOB_FLAG, &all_counters },
	{ 0, "by", "WHAT", "Sockets by state, rport, raddr or peer (laddr, raddr and rport)",
	  KNOB_WORD, &group_by, .words = by_words },
	{ 0, "top", "N", "Of --by only the N largest groups of each namespace", KNOB_NUMBER, &top,
	  1, UINT32_MAX },
	{}
};

struct listener {
	struct tcp_endpoint at;
	uint32_t queue, limit;
};

/* What one walk over a namespace's sockets gathers. */
struct summary {
	uint64_t states[TCP_STATES], txqueue, rxqueue;
	struct tcp_sock worst_tx, worst_rx;
	struct listener *listeners;
	size_t nlisteners, listeners_size;
	struct tcp_groups groups;
	bool from_proc; /* without accept limits */
};

/* clang-format on */

static void summary_free(struct summary *s)
{
	free(s->listeners);
	tcp_groups_free(&s->groups);
	*s = (struct summary){ 0 };
}

static int group_add(struct summary *s, const struct tcp_sock *sk)
{
	struct tcp_key key = { 0 };

	if (group_by == BY_STATE)
		key.state = sk->state;
	if (group_by == BY_RPORT || group_by == BY_PEER)
		key.remote.port = sk->remote.port;
	if (group_by == BY_RADDR || group_by == BY_PEER)
		memcpy(key.remote.addr, sk->remote.addr, sizeof(key.remote.addr));
	if (group_by == BY_PEER)
		memcpy(key.local.addr, sk->local.addr, sizeof(key.local.addr));
	return tcp_groups_add(&s->groups, &key);
}

/*
 * The two queues of a listener are its accept queue and that one's limit: no bytes, and in no sum.
 */
static int listener_add(struct summary *s, const struct tcp_sock *sk)
{
	if (!show_listen)
		return 0;
	if (array_grow(&s->listeners, &s->listeners_size, s->nlisteners + 1))
		return -ENOMEM;
	s->listeners[s->nlisteners++] = (struct listener){ sk->local, sk->rqueue, sk->wqueue };
	return 0;
}

static int socket_add(const struct tcp_sock *sk, void *arg)
{
	struct summary *s = arg;

	if (sk->state < TCP_STATES)
		s->states[sk->state]++;
	if (sk->state == TCP_STATE_LISTEN)
		return listener_add(s, sk);
	s->rxqueue += sk->rqueue;
	s->txqueue += sk->wqueue;
	if (sk->wqueue > s->worst_tx.wqueue)
		s->worst_tx = *sk;
	if (sk->rqueue > s->worst_rx.rqueue)
		s->worst_rx = *sk;
	return group_by == BY_NOTHING ? 0 : group_add(s, sk);
}

struct talk {
	struct summary sum;
	struct tcp_census census;
};

/*
 * A walk over all sockets goes over the machine's whole hash table, however few are this
 * namespace's; one over listeners does not. When they are all there is, the long one would find
 * nothing. Requests are not in the census, so whoever asks for states needs the long walk.
 */
static int talk(struct mnl_socket *nl, void *arg)
{
	const uint32_t listen = TCP_STATE_BIT(TCP_STATE_LISTEN);
	struct talk *k = arg;
	int err;

	summary_free(&k->sum);
	if (!k->census.known)
		return tcp_diag_each(nl, TCP_STATES_ALL, socket_add, &k->sum);
	err = tcp_diag_each(nl, listen, socket_add, &k->sum);
	if (err || (!k->census.timewait && k->census.inuse == k->sum.states[TCP_STATE_LISTEN]))
		return err;
	return tcp_diag_each(nl, TCP_STATES_ALL & ~listen, socket_add, &k->sum);
}

/* err says why sock_diag did not serve; it stays the answer where /proc cannot serve either. */
static int fall_back(const struct target *t, struct out *o, int err, struct summary *s)
{
	static const char entering[] =
		"entering network namespaces needs CAP_SYS_ADMIN and CAP_SYS_PTRACE";
	int refused;

	summary_free(s);
	s->from_proc = true;
	refused = tcp_proc_each(t, socket_add, s);
	switch (refused) {
	case 0:
		out_note(o, "%s: sockets are read from /proc/PID/net/tcp, without accept limits",
			 err == -ENOENT ? "tcp_diag is not available" : entering);
		return 0;
	case -ENOENT:
	case -ESRCH:
	case -EPERM:
	case -EACCES: return err;
	case -EBADMSG: return refused;
	}
	msg_error("TCP sockets of %s/%s: %s", t->namespace, t->pod, strerror(-refused));
	return refused;
}

static int listener_order(const void *va, const void *vb)
{
	const struct listener *a = va, *b = vb;
	int order = memcmp(a->at.addr, b->at.addr, sizeof(a->at.addr));

	if (!order)
		order = (a->at.port > b->at.port) - (a->at.port < b->at.port);
	return order ? order : (a->queue < b->queue) - (a->queue > b->queue);
}

/* Texts of the labels of one sample. */
struct endpoint_text {
	struct buf addr;
	char port[8];
};

static const char *endpoint_text(struct endpoint_text *text, const struct tcp_endpoint *end)
{
	snprintf(text->port, sizeof(text->port), "%u", end->port);
	text->addr.len = 0;
	buf_address(&text->addr, end->addr);
	return text->addr.data ? text->addr.data : "";
}

struct emit {
	const struct target *target;
	struct out *out;
	struct endpoint_text local, remote;
};

static void emit(const struct emit *e, enum row row, uint64_t value, const struct label *labels)
{
	out_metric(e->out, e->target, &metrics[row], value, labels);
}

static void emit_states(const struct emit *e, const struct summary *s)
{
	for (unsigned int state = 1; state < TCP_STATES; state++) {
		const struct label labels[] = { { "state", tcp_state_name((uint8_t)state) }, {} };

		emit(e, SOCKETS, s->states[state], labels);
	}
}

/* One row for an address and port, however many sockets share it. */
static void emit_listeners(struct emit *e, const struct summary *s)
{
	size_t n;

	if (s->nlisteners)
		qsort(s->listeners, s->nlisteners, sizeof(*s->listeners), listener_order);
	for (const struct listener *l = s->listeners, *end = l + s->nlisteners; l < end; l += n) {
		const struct label labels[] = { { "laddr", endpoint_text(&e->local, &l->at) },
						{ "lport", e->local.port },
						{} };

		for (n = 1; l + n < end && !memcmp(&l[n].at, &l->at, sizeof(l->at)); n++)
			;
		emit(e, ACCEPT_QUEUE, l->queue, labels);
		if (!s->from_proc)
			emit(e, ACCEPT_LIMIT, l->limit, labels);
		emit(e, LISTENERS, n, labels);
	}
}

static void emit_worst(struct emit *e, enum row row, const struct tcp_sock *sk, uint32_t bytes)
{
	const struct label labels[] = { { "laddr", endpoint_text(&e->local, &sk->local) },
					{ "lport", e->local.port },
					{ "raddr", endpoint_text(&e->remote, &sk->remote) },
					{ "rport", e->remote.port },
					{} };

	if (bytes)
		emit(e, row, bytes, labels);
}

static void emit_group(struct emit *e, const struct tcp_group *g)
{
	const char *laddr = endpoint_text(&e->local, &g->key.local),
		   *raddr = endpoint_text(&e->remote, &g->key.remote);
	struct label labels[4] = { 0 }, *l = labels;
	char state[8];

	snprintf(state, sizeof(state), "%u", g->key.state);
	if (group_by == BY_STATE)
		*l++ = (struct label){ "state", tcp_state_name((uint8_t)g->key.state) ?: state };
	if (group_by == BY_PEER)
		*l++ = (struct label){ "laddr", laddr };
	if (group_by == BY_RADDR || group_by == BY_PEER)
		*l++ = (struct label){ "raddr", raddr };
	if (group_by == BY_RPORT || group_by == BY_PEER)
		*l++ = (struct label){ "rport", e->remote.port };
	emit(e, CONNECTIONS, g->sockets, labels);
}

static void emit_all(struct emit *e, struct summary *s)
{
	size_t ngroups = top && top < s->groups.n ? top : s->groups.n;

	emit(e, ESTABLISHED, s->states[TCP_STATE_ESTABLISHED], NULL);
	emit(e, TIME_WAIT, s->states[TCP_STATE_TIME_WAIT], NULL);
	emit(e, TX_QUEUE, s->txqueue, NULL);
	emit(e, RX_QUEUE, s->rxqueue, NULL);
	if (show_states)
		emit_states(e, s);
	if (show_listen)
		emit_listeners(e, s);
	if (show_worst) {
		emit_worst(e, WORST_TX, &s->worst_tx, s->worst_tx.wqueue);
		emit_worst(e, WORST_RX, &s->worst_rx, s->worst_rx.rqueue);
	}
	tcp_groups_sort(&s->groups);
	for (size_t i = 0; i < ngroups; i++)
		emit_group(e, &s->groups.v[i]);
}

static int check(const struct options *opt)
{
	(void)opt;
	if (top && group_by == BY_NOTHING) {
		msg_error("--top needs --by");
		return -EINVAL;
	}
	show_states |= all_counters;
	show_listen |= all_counters;
	show_worst |= all_counters;
	return 0;
}

static int collect(const struct target *t, struct out *o)
{
	struct emit e = { .target = t, .out = o };
	struct talk k = { 0 };
	int err = 0;

	if (!show_states && group_by == BY_NOTHING)
		k.census = tcp_census(t);
	if (!k.census.known || k.census.inuse || k.census.timewait)
		err = nl_run(t, NETLINK_SOCK_DIAG, "TCP sockets", talk, &k);
	if (err == -ENOENT || err == -ESRCH || err == -EPERM || err == -EACCES)
		err = fall_back(t, o, err, &k.sum);
	if (!err)
		emit_all(&e, &k.sum);
	summary_free(&k.sum);
	buf_free(&e.local.addr);
	buf_free(&e.remote.addr);
	return err;
}

static const struct probe tcpsummary = {
	.name = "tcpsummary",
	.summary = "Statistics of TCP queue and connection status",
	.question = "How many TCP connections, in which states, and how much waits in their "
		    "queues?",
	.source = "netlink",
	.overhead = "Medium",
	.needs = "CAP_SYS_ADMIN and CAP_SYS_PTRACE to enter network namespaces; without them "
		 "/proc serves",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN) | CAP_TO_MASK(CAP_SYS_PTRACE),
	.absent = "this kernel shows no TCP sockets: no tcp_diag, no /proc/PID/net/tcp",
	.metrics = metrics,
	.knobs = knobs,
	.check = check,
	.collect = collect,
};
PROBE_MAIN(tcpsummary)
