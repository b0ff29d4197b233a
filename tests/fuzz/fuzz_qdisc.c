// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about queueing disciplines. */
#include "messages.h"

#include "tools/qdisc.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows rows = { 0 };
	char handle[16];

	messages_each(data, size, read_qdisc, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		handle_format(rows.v[i].handle, handle, sizeof(handle));
		if (strlen(rows.v[i].kind) >= IFNAMSIZ || !strchr("0123456789abcdef:r", handle[0]))
			abort();
	}
	free(rows.v);
	return 0;
}
