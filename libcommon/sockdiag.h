/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every TCP socket of a network namespace: from sock_diag, or from /proc where that cannot be had.
 */
#ifndef SKOOP_SOCKDIAG_H
#define SKOOP_SOCKDIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target;

/* The kernel's numbers of the states; tcp_state_name() has their names. */
enum tcp_state {
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_SYN_SENT,
	TCP_STATE_SYN_RECV, /* a socket before its handshake is complete: Fast Open */
	TCP_STATE_FIN_WAIT1,
	TCP_STATE_FIN_WAIT2,
	TCP_STATE_TIME_WAIT,
	TCP_STATE_CLOSE,
	TCP_STATE_CLOSE_WAIT,
	TCP_STATE_LAST_ACK,
	TCP_STATE_LISTEN,
	TCP_STATE_CLOSING,
	TCP_STATE_NEW_SYN_RECV, /* a request: SYN seen, SYN-ACK sent, no socket yet */
	TCP_STATES              /* one more than the last */
};
#define TCP_STATE_BIT(state) (1U << (state))
#define TCP_STATES_ALL (TCP_STATE_BIT(TCP_STATES) - 2)

struct tcp_endpoint {
	unsigned char addr[16]; /* network order, IPv4 as v4-mapped */
	uint16_t port;          /* host order */
};

struct tcp_sock {
	uint8_t state;
	struct tcp_endpoint local, remote;
	uint32_t rqueue; /* bytes received and not read; LISTEN: connections in the accept queue */
	uint32_t wqueue; /* bytes not acknowledged or not sent; LISTEN: the accept queue's limit */
};

/* Sees one socket. 0, or -errno to end the walk with that error. */
typedef int (*tcp_sock_fn)(const struct tcp_sock *sk, void *arg);

struct mnl_socket;

/*
 * Hands each TCP socket in one of these states (TCP_STATE_BIT) to fn, both families in one walk; nl
 * is a NETLINK_SOCK_DIAG socket. SYN_RECV and NEW_SYN_RECV can only be asked for together. A socket
 * that changes its state during the walk may be missed or seen twice. As nl_dump; -ENOENT,
 * -EOPNOTSUPP: tcp_diag is not there.
 */
int tcp_diag_each(struct mnl_socket *nl, uint32_t states, tcp_sock_fn fn, void *arg);

/*
 * The same from net/tcp and net/tcp6 for all states; costs the kernel more, needs no capability,
 * and does not have the accept queue's limit (0). As proc_net_open for net/tcp; without IPv6 there
 * is no net/tcp6, which is fine. -EBADMSG after one msg_error: a file not of its form.
 */
int tcp_proc_each(const struct target *t, tcp_sock_fn fn, void *arg);

/* What sockstat knows: sockets but for TIME_WAIT and requests, and those in TIME_WAIT. */
struct tcp_census {
	bool known;
	uint64_t inuse, timewait;
};
struct tcp_census tcp_census(const struct target *t);

#endif
