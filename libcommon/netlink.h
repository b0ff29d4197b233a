/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netlink through libmnl. A socket is born in a target's namespace and used from outside. All that
 * the kernel sends is checked before it is read: a message or attribute that is cut short is
 * refused with -EBADMSG.
 */
#ifndef SKOOP_NETLINK_H
#define SKOOP_NETLINK_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

struct target;

/* ---- conversations ---- */

/*
 * Opens a socket of protocol `bus` (NETLINK_ROUTE…) inside the target's namespace, calls
 * talk(nl, arg) and closes it. When talk returns -EINTR, because a change interrupted a dump, it is
 * called again on a fresh socket, a bounded number of times; so talk begins by forgetting what an
 * earlier call collected, and emits nothing itself.
 *
 * 0, or -errno: -EPERM, -EACCES (refused), -ESRCH (the target is gone), -ENOENT (this kernel does
 * not offer it); these are silent. Any other is a failure and has been reported as one of `what`
 * ("queueing disciplines").
 */
int nl_run(const struct target *t, int bus, const char *what,
	   int (*talk)(struct mnl_socket *nl, void *arg), void *arg);

/* The first step of nl_run alone: the caller closes the socket. 0 or -errno as netns_call. */
int nl_open(const struct target *t, int bus, struct mnl_socket **nl);

/*
 * Sends the request (flags and sequence number are set here) and hands each message of the answer
 * to cb, which returns MNL_CB_OK; MNL_CB_STOP to leave the rest unread, after which the socket is
 * good for nothing more; or MNL_CB_ERROR with errno set. nl_dump asks for all objects, nl_ask for
 * one. 0 or -errno, the kernel's own error included, silent.
 */
int nl_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg);
int nl_ask(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg);

/* The name of a device in the socket's namespace. 0; -ENODEV: it is gone. */
int nl_link_name(struct mnl_socket *nl, int ifindex, char name[IFNAMSIZ]);

/* ---- messages ---- */

/*
 * Attributes by type: tb[type] points to the attribute, NULL where there is none; types from n on
 * are left out, and of a type that occurs twice the first counts. least[type] is the number of
 * payload bytes it must have; NL_STRING: a NUL-terminated text. 0 or -EBADMSG.
 */
#define NL_STRING UINT16_MAX
/* The attributes of a message, after its fixed header of `header` bytes. */
int nl_attrs(const struct nlmsghdr *nlh, size_t header, const uint16_t *least, size_t n,
	     const struct nlattr **tb);
/* Those inside a nested attribute. */
int nl_nested(const struct nlattr *nest, const uint16_t *least, size_t n, const struct nlattr **tb);

/* A callback's answer to what it cannot accept: MNL_CB_ERROR, errno being `err` or -err. */
int nl_refuse(int err);

#endif
