// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's answer to a request for TCP sockets: any bytes. */
#define tcp_diag_each included_diag_each
#define tcp_proc_each included_proc_each
#define tcp_census included_census
#include "libcommon/sockdiag.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(const struct tcp_sock *sk, void *arg)
{
	uint64_t *sum = arg;

	*sum += sk->state + sk->rqueue + sk->wqueue + sk->local.port + sk->remote.addr[15];
	return 0;
}

/* Each message by itself, as large as it says, so that a read behind it shows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	struct dump d = { .fn = see, .arg = &sum };

	while (size >= sizeof(struct nlmsghdr)) {
		auto_free struct nlmsghdr *nlh = NULL;
		uint32_t len;

		memcpy(&len, data, sizeof(len));
		if (len < sizeof(*nlh) || len > size)
			return 0;
		nlh = malloc(len);
		if (!nlh)
			abort();
		memcpy(nlh, data, len);
		diag_message(nlh, &d);
		len = NLMSG_ALIGN(len) < size ? NLMSG_ALIGN(len) : size;
		data += len;
		size -= len;
	}
	return 0;
}
