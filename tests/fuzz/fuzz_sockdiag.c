// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's answer to a request for TCP sockets: any bytes. */
#define tcp_diag_each included_diag_each
#define tcp_proc_each included_proc_each
#include "libcommon/sockdiag.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(const struct tcp_sock *sk, void *arg)
{
	uint64_t *sum = arg;

	*sum += sk->state + sk->rqueue + sk->wqueue + sk->local.port + sk->remote.addr[15];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	struct dump d = { .fn = see, .arg = &sum };
	/* As large as it is, so that a read behind it shows. */
	auto_free void *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	mnl_cb_run(copy, size, 0, 0, diag_message, &d);
	return 0;
}
