// SPDX-License-Identifier: GPL-2.0-or-later
/* Netlink dumps through libmnl; the socket is born in a target's namespace and used from outside. */
#include "netlink.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "netns.h"
#include "target.h"
#include "util.h"

/* The kernel fills at most 32 KiB for one part of a dump. */
#define NL_BUFFER 32768

struct birth {
	int bus;
	struct mnl_socket *nl;
};

static int nl_born(void *arg)
{
	struct birth *b = arg;

	b->nl = mnl_socket_open2(b->bus, SOCK_CLOEXEC);
	if (!b->nl)
		return -errno;
	if (mnl_socket_bind(b->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		mnl_socket_close(b->nl);
		return err;
	}
	return 0;
}

int nl_open(const struct target *t, int bus, struct mnl_socket **nl)
{
	struct birth b = { .bus = bus };
	int err = netns_call(t, nl_born, &b);

	if (!err)
		*nl = b.nl;
	return err;
}

int nl_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	auto_free char *buffer = malloc(NL_BUFFER);
	unsigned int port = mnl_socket_get_portid(nl);
	int more = MNL_CB_OK;

	if (!buffer)
		return -ENOMEM;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = (uint32_t)time(NULL);
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, NL_BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buffer, (size_t)n, request->nlmsg_seq, port, cb, arg);
	}
	return more < 0 ? -errno : 0;
}
