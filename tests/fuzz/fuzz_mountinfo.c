// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/mountinfo: containers with CAP_SYS_ADMIN mount what they like. */
#include <assert.h>

#include "libcommon/cgroup.h"
#include "tests/fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), uid[POD_UID_MAX + 1];

	if (mountinfo_uid(text, uid)) {
		assert(uid_valid(uid, strlen(uid)));
		assert(strstr(text, "/pods/"));
	}
	free(text);
	return 0;
}
