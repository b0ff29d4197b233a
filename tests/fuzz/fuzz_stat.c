// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/stat: its second field is what the process calls itself. */
#include <assert.h>

#include "libcommon/cgroup.h"
#include "tests/fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	uint64_t start;

	if (stat_start(text, &start)) {
		char *name = strrchr(text, ')');
		size_t blanks = 0;

		assert(name);
		for (; *name; name++)
			blanks += *name == ' ';
		assert(blanks >= 20);
	}
	free(text);
	return 0;
}
