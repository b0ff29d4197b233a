// SPDX-License-Identifier: GPL-2.0-or-later
/* Netlink: a socket in a target's namespace, whole conversations, and checked attributes. */
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netns.h"
#include "process.h"
#include "target.h"
#include "util.h"

/* The kernel fills at most 32 KiB for one part of a dump. */
#define NL_BUFFER 32768
/* Dumps in a row that a change may interrupt. Each takes milliseconds: more is no accident. */
#define NL_TRIES 16

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

int nl_run(const struct target *t, int bus, const char *what,
	   int (*talk)(struct mnl_socket *nl, void *arg), void *arg)
{
	int err = -EINTR;

	for (int i = 0; i < NL_TRIES && err == -EINTR; i++) {
		struct mnl_socket *nl;

		err = nl_open(t, bus, &nl);
		if (err)
			break;
		err = talk(nl, arg);
		mnl_socket_close(nl);
	}
	switch (err) {
	case -EOPNOTSUPP:
	case -EPROTONOSUPPORT:
	case -EAFNOSUPPORT: return -ENOENT;
	case 0:
	case -EPERM:
	case -EACCES:
	case -ESRCH:
	case -ENOENT: return err;
	}
	msg_error("%s of %s/%s: %s", what, t->namespace, t->pod,
		  err == -EINTR ? "changed during every attempt to read them" : strerror(-err));
	return err;
}

/*
 * The end of an answer. A dump that fails says so only here, in the number the message carries,
 * which libmnl's own callback does not look at.
 */
static int nl_end(const struct nlmsghdr *nlh, void *arg)
{
	int err = 0;

	(void)arg;
	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
		memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	return err < 0 ? nl_refuse(err) : MNL_CB_STOP;
}

/* An error, or the acknowledgement that ends the answer to nl_ask. Both begin with the number. */
static int nl_verdict(const struct nlmsghdr *nlh, void *arg)
{
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nlmsgerr))
		return nl_refuse(EBADMSG);
	return nl_end(nlh, arg);
}

static int nl_talk(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	static const mnl_cb_t control[] = { [NLMSG_ERROR] = nl_verdict, [NLMSG_DONE] = nl_end };
	auto_free char *buffer = malloc(NL_BUFFER);
	unsigned int port = mnl_socket_get_portid(nl);
	int more = MNL_CB_OK;

	if (!buffer)
		return -ENOMEM;
	/* The clock gives each request of a socket a number of its own. */
	request->nlmsg_seq = (uint32_t)process_now();
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, NL_BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		more = mnl_cb_run2(buffer, (size_t)n, request->nlmsg_seq, port, cb, arg,
				   (mnl_cb_t *)control, ARRAY_SIZE(control));
	}
	return more < 0 ? -errno : 0;
}

int nl_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	return nl_talk(nl, request, cb, arg);
}

int nl_ask(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	return nl_talk(nl, request, cb, arg);
}

int nl_link_name(struct mnl_socket *nl, int ifindex, char name[IFNAMSIZ])
{
	struct ifreq request = { .ifr_ifindex = ifindex };

	/* A link dump would cost ten times as much as one call a device. */
	if (ioctl(mnl_socket_get_fd(nl), SIOCGIFNAME, &request))
		return -errno;
	request.ifr_name[IFNAMSIZ - 1] = '\0';
	memcpy(name, request.ifr_name, IFNAMSIZ);
	return 0;
}

int nl_refuse(int err)
{
	errno = abs(err);
	return MNL_CB_ERROR;
}

static bool attr_valid(const struct nlattr *attr, uint16_t least)
{
	if (least == NL_STRING)
		return !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING);
	return mnl_attr_get_payload_len(attr) >= least;
}

static int attrs_sort(const char *data, size_t len, const uint16_t *least, size_t n,
		      const struct nlattr **tb)
{
	memset(tb, 0, n * sizeof(*tb));
	while (len) {
		const struct nlattr *attr = (const struct nlattr *)data;
		size_t step;
		uint16_t type;

		if (len > INT32_MAX || !mnl_attr_ok(attr, (int)len))
			return -EBADMSG;
		type = mnl_attr_get_type(attr);
		if (type < n && !tb[type]) {
			if (!attr_valid(attr, least[type]))
				return -EBADMSG;
			tb[type] = attr;
		}
		step = MNL_ALIGN(attr->nla_len);
		step = step < len ? step : len;
		data += step;
		len -= step;
	}
	return 0;
}

int nl_attrs(const struct nlmsghdr *nlh, size_t header, const uint16_t *least, size_t n,
	     const struct nlattr **tb)
{
	const char *data = mnl_nlmsg_get_payload(nlh);
	size_t len = mnl_nlmsg_get_payload_len(nlh);

	header = MNL_ALIGN(header);
	if (len < header)
		return -EBADMSG;
	return attrs_sort(data + header, len - header, least, n, tb);
}

int nl_nested(const struct nlattr *nest, const uint16_t *least, size_t n, const struct nlattr **tb)
{
	return attrs_sort(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), least, n, tb);
}
