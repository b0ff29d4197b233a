// SPDX-License-Identifier: GPL-2.0-or-later
/* The lines a probe prints, as skoop snapshot takes them in: whatever calls itself a probe. */
#include <stdlib.h>
#include <string.h>

#include "tools/skoop/record.c"
#include "tools/skoop/store.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sender from = { .store = store_open(NULL, NULL) };
	const char *line = (const char *)data, *end = line + size;
	const struct subject *subject;

	while (from.store && line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		if (!newline)
			newline = end;
		store_feed(&from, line, (size_t)(newline - line));
		line = newline + 1;
	}
	for (size_t i = 0; from.store && (subject = store_subject(from.store, i)); i++) {
		const struct view v = { from.store, subject, NULL };

		if (!subject->node || !subject->namespace || !subject->pod)
			abort();
		if (store_sum(&v, "tcp_insegs", READ_GROWTH) < 0)
			abort();
	}
	store_close(from.store);
	return 0;
}
