// SPDX-License-Identifier: GPL-2.0-or-later
/* The form of net/snmp and net/netstat. */
#include "tests/fuzz/fuzz_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const groups[] = { "TcpExt", "IpExt", "Icmp", NULL };

	check_form(pairs_lines, data, size, groups);
	return 0;
}
