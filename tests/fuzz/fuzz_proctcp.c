// SPDX-License-Identifier: GPL-2.0-or-later
/* The text of net/tcp (first byte even) or net/tcp6 (odd). */
#define tcp_diag_each included_diag_each
#define tcp_proc_each included_proc_each
#define tcp_census included_census
#include "libcommon/sockdiag.c"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(const struct tcp_sock *sk, void *arg)
{
	uint64_t *sum = arg;

	*sum += sk->state + sk->rqueue + sk->wqueue + sk->local.port + sk->remote.addr[15];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int fd = memfd_create("tcp", MFD_CLOEXEC);
	uint64_t sum = 0;
	struct file f = { .fn = see, .arg = &sum };

	if (!size || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		return 0;
	f.family = data[0] & 1 ? AF_INET6 : AF_INET;
	lseek(fd, 0, SEEK_SET);
	file_each(&f, fd);
	return 0;
}
