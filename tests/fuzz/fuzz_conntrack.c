// SPDX-License-Identifier: GPL-2.0-or-later
/* Connection tracking counters as messages, and net/stat/nf_conntrack. The first byte chooses. */
#include "messages.h"

#include "tools/conntrack.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading r = { 0 };
	char *text;

	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0: messages_each(data + 1, size - 1, read_cpu, &r); break;
	case 1: messages_each(data + 1, size - 1, read_whole, &r); break;
	default:
		text = text_of(data + 1, size - 1);
		if (text && read_stat(text, &r) == 0 && !r.ncpus)
			abort();
		free(text);
	}
	reading_reset(&r);
	return 0;
}
