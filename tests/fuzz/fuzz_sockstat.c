// SPDX-License-Identifier: GPL-2.0-or-later
/* The form of net/sockstat. */
#include "tests/fuzz/fuzz_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const groups[] = { "TCP", "sockets", "FRAG6", NULL };

	check_form(pairs_inline, data, size, groups);
	return 0;
}
