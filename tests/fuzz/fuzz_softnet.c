// SPDX-License-Identifier: GPL-2.0-or-later
/* Tables in hexadecimal: lines of net/softnet_stat, and net/stat with its header. */
#include "tests/fuzz/fuzz_form.h"

static void check_lines(const char *text)
{
	uint64_t values[16];
	int n;

	for (;;) {
		const char *before = text;

		n = hex_line(&text, values, 16);
		if (n <= 0)
			break;
		if (n > 16 || text <= before || text[-1] != '\n')
			abort();
	}
	if (n != 0 && n != -EBADMSG)
		abort();
	if (n == 0 && *text)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const groups[] = { "", NULL };
	char *text = calloc(1, size + 1);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	check_lines(text);
	free(text);
	check_form(pairs_stat, data, size, groups);
	return 0;
}
