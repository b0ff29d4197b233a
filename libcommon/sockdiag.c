// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every TCP socket of a network namespace: from sock_diag, or from /proc where that cannot be had.
 */
#include "sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"
#include "procfs.h"
#include "proctext.h"
#include "util.h"

static void endpoint_set(struct tcp_endpoint *end, int family, const void *addr, uint16_t port)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == AF_INET) {
		memcpy(end->addr, mapped, sizeof(mapped));
		memcpy(end->addr + sizeof(mapped), addr, 4);
	} else {
		memcpy(end->addr, addr, 16);
	}
	end->port = port;
}

/* ---- sock_diag ---- */

struct dump {
	tcp_sock_fn fn;
	void *arg;
};

/*
 * The kernel shows a request as SYN_RECV. Only a full socket has the attribute SHUTDOWN, which it
 * always has: this tells the two apart.
 */
static int diag_state(const struct nlmsghdr *nlh, uint8_t *state)
{
	static const uint16_t least[INET_DIAG_SHUTDOWN + 1] = { [INET_DIAG_SHUTDOWN] = 1 };
	const struct nlattr *tb[INET_DIAG_SHUTDOWN + 1];
	int err;

	if (*state != TCP_STATE_SYN_RECV)
		return 0;
	err = nl_attrs(nlh, sizeof(struct inet_diag_msg), least, ARRAY_SIZE(tb), tb);
	if (!err && !tb[INET_DIAG_SHUTDOWN])
		*state = TCP_STATE_NEW_SYN_RECV;
	return err;
}

static int diag_message(const struct nlmsghdr *nlh, void *arg)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(nlh);
	const struct dump *d = arg;
	struct tcp_sock sk;
	int err;

	if (nlh->nlmsg_type != TCPDIAG_GETSOCK || mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg))
		return nl_refuse(EBADMSG);
	if (msg->idiag_family != AF_INET && msg->idiag_family != AF_INET6)
		return MNL_CB_OK;
	sk.state = msg->idiag_state;
	err = diag_state(nlh, &sk.state);
	if (err)
		return nl_refuse(err);
	endpoint_set(&sk.local, msg->idiag_family, msg->id.idiag_src, ntohs(msg->id.idiag_sport));
	endpoint_set(&sk.remote, msg->idiag_family, msg->id.idiag_dst, ntohs(msg->id.idiag_dport));
	sk.rqueue = msg->idiag_rqueue;
	sk.wqueue = msg->idiag_wqueue;
	err = d->fn(&sk, d->arg);
	return err ? nl_refuse(err) : MNL_CB_OK;
}

/*
 * TCPDIAG_GETSOCK, the request from before SOCK_DIAG_BY_FAMILY, has no family: one walk over the
 * hash table gives both. The table is the machine's, so that the walk is what a dump costs.
 */
int tcp_diag_each(struct mnl_socket *nl, uint32_t states, tcp_sock_fn fn, void *arg)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req))]
		__attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	struct dump d = { .fn = fn, .arg = arg };

	nlh->nlmsg_type = TCPDIAG_GETSOCK;
	req->idiag_family = AF_INET; /* for one socket only; a dump has all */
	req->idiag_states = states & TCP_STATES_ALL;
	return nl_dump(nl, nlh, diag_message, &d);
}

/* ---- net/tcp and net/tcp6 ---- */

/* Exactly so many hexadecimal digits. */
static bool hex_digits(const char **p, unsigned int digits, uint32_t *value)
{
	*value = 0;
	for (; digits; digits--, (*p)++) {
		unsigned int c = (unsigned char)**p;

		if (c - '0' < 10)
			*value = *value << 4 | (c - '0');
		else if ((c | 0x20) - 'a' < 6)
			*value = *value << 4 | ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

static bool literal(const char **p, char c)
{
	return **p == c && (*p)++;
}

/* "0100007F:1F90 ": the address in 32-bit words as they stand in memory, the port as a number. */
static bool endpoint_field(const char **p, int family, struct tcp_endpoint *end)
{
	size_t words = family == AF_INET ? 1 : 4;
	uint32_t addr[4], port;

	for (size_t i = 0; i < words; i++)
		if (!hex_digits(p, 8, &addr[i]))
			return false;
	if (!literal(p, ':') || !hex_digits(p, 4, &port) || !literal(p, ' '))
		return false;
	endpoint_set(end, family, addr, (uint16_t)port);
	return true;
}

static size_t words_count(const char *p)
{
	size_t n = 0;

	for (p += strspn(p, " "); *p; p += strspn(p, " ")) {
		p += strcspn(p, " ");
		n++;
	}
	return n;
}

/*
 * " 12: LOCAL REMOTE 01 WQUEUE:RQUEUE" and seven further words; only a full socket has five more,
 * which tells SYN_RECV from a request that is shown as such.
 */
static int sock_line(const char *p, int family, struct tcp_sock *sk)
{
	uint32_t state;

	p += strspn(p, " ");
	p += strspn(p, "0123456789");
	if (!literal(&p, ':') || !literal(&p, ' ') || !endpoint_field(&p, family, &sk->local) ||
	    !endpoint_field(&p, family, &sk->remote) || !hex_digits(&p, 2, &state) ||
	    !literal(&p, ' ') || !hex_digits(&p, 8, &sk->wqueue) || !literal(&p, ':') ||
	    !hex_digits(&p, 8, &sk->rqueue) || !literal(&p, ' '))
		return -EBADMSG;
	sk->state = (uint8_t)state;
	if (state == TCP_STATE_SYN_RECV && words_count(p) <= 7)
		sk->state = TCP_STATE_NEW_SYN_RECV;
	return 0;
}

struct file {
	int family;
	size_t lines;
	tcp_sock_fn fn;
	void *arg;
};

/* One line without its newline. The first is the header. */
static int file_line(struct file *f, const char *line)
{
	struct tcp_sock sk;
	int err;

	if (!f->lines++)
		return strncmp(line, "  sl ", 5) ? -EBADMSG : 0;
	err = sock_line(line, f->family, &sk);
	return err ? err : f->fn(&sk, f->arg);
}

/*
 * Hands on the whole lines of the n bytes at text; what is left of them is moved to its beginning,
 * its size to *n.
 */
static int file_lines(struct file *f, char *text, size_t *n)
{
	char *line = text, *newline;

	while ((newline = memchr(line, '\n', *n - (size_t)(line - text)))) {
		int err;

		*newline = '\0';
		err = file_line(f, line);
		if (err)
			return err;
		line = newline + 1;
	}
	*n -= (size_t)(line - text);
	memmove(text, line, *n);
	return 0;
}

/* A full node's file has tens of megabytes: it is never in memory as a whole. */
static int file_each(struct file *f, int fd)
{
	char text[16384];
	size_t n = 0;

	for (;;) {
		ssize_t more = read(fd, text + n, sizeof(text) - n);
		int err;

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -errno;
		if (!more)
			return n || !f->lines ? -EBADMSG : 0;
		n += (size_t)more;
		err = file_lines(f, text, &n);
		if (err)
			return err;
		if (n == sizeof(text))
			return -EBADMSG; /* no newline in all of it */
	}
}

static int proc_file(const struct target *t, const char *name, int family, tcp_sock_fn fn, void *arg)
{
	struct file f = { .family = family, .fn = fn, .arg = arg };
	auto_close int fd = proc_net_open(t, name);
	int err = fd < 0 ? fd : file_each(&f, fd);

	if (err == -EBADMSG)
		proc_malformed(t, name);
	return err;
}

int tcp_proc_each(const struct target *t, tcp_sock_fn fn, void *arg)
{
	int err = proc_file(t, "tcp", AF_INET, fn, arg);

	if (err)
		return err;
	err = proc_file(t, "tcp6", AF_INET6, fn, arg);
	return err == -ENOENT ? 0 : err;
}

/* ---- net/sockstat ---- */

static int census_pair(const struct pair *pair, void *arg)
{
	struct tcp_census *c = arg;

	if (pair->key_len == 5 && !memcmp(pair->key, "inuse", 5))
		c->inuse += pair->value;
	else if (pair->key_len == 2 && !memcmp(pair->key, "tw", 2))
		c->timewait += pair->value;
	return 0;
}

struct tcp_census tcp_census(const struct target *t)
{
	struct tcp_census c = { 0 };
	const char *text;
	int err;

	if (proc_net(t, "sockstat", &text) || pairs_inline(text, "TCP", census_pair, &c))
		return c;
	err = proc_net(t, "sockstat6", &text);
	c.known = err ? err == -ENOENT : !pairs_inline(text, "TCP6", census_pair, &c);
	return c;
}
