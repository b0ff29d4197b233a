// SPDX-License-Identifier: GPL-2.0-or-later
/* The text of net/ip_vs_stats. */
#include "messages.h"

#include "tools/ipvs.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct row totals = { 0 };
	char *text = text_of(data, size);

	if (text && totals_parse(text, &totals) == 0 && !totals.known)
		abort();
	free(text);
	return 0;
}
