/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counting TCP sockets by what they have in common. */
#ifndef SKOOP_TCPGROUP_H
#define SKOOP_TCPGROUP_H

#include <stddef.h>
#include <stdint.h>

#include "sockdiag.h"

/*
 * What the sockets of a group have in common; what they need not have stays 0. No padding: compared
 * as bytes.
 */
struct tcp_key {
	struct tcp_endpoint local, remote;
	uint16_t state;
};

struct tcp_group {
	struct tcp_key key;
	uint32_t sockets;
};

/* Starts as {}. Memory grows with the number of groups, not of sockets. */
struct tcp_groups {
	struct tcp_group *v; /* a hash table until tcp_groups_sort(), then n groups */
	size_t n, places;
};

/* One more socket with this key. 0 or -ENOMEM. */
int tcp_groups_add(struct tcp_groups *gs, const struct tcp_key *key);
/* Ends the counting: the n groups stand at the beginning of v, the largest first. */
void tcp_groups_sort(struct tcp_groups *gs);
void tcp_groups_free(struct tcp_groups *gs);

#endif
