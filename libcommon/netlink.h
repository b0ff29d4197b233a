/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink dumps through libmnl; the socket is born in a target's namespace and used from outside. */
#ifndef SKOOP_NETLINK_H
#define SKOOP_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

struct target;

/* A socket of protocol `bus` (NETLINK_ROUTE…) inside the target's namespace. 0 or -errno as netns_call. */
int nl_open(const struct target *t, int bus, struct mnl_socket **nl);

/*
 * Sends the request (NLM_F_DUMP and sequence number are set here) and hands each message of the answer to cb, which
 * returns MNL_CB_OK, or MNL_CB_ERROR with errno set. 0 or -errno, the kernel's own error included. -EINTR: the dump
 * was interrupted by a change (NLM_F_DUMP_INTR); forget what was collected, close the socket and begin again.
 */
int nl_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg);

#endif
