// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/cgroup: whatever containers call their cgroups. */
#include <assert.h>

#include "libcommon/cgroup.h"
#include "tests/fuzz/text.h"

static void check_id(const char *id)
{
	assert(!*id || (strlen(id) == CONTAINER_ID_LEN &&
			strspn(id, "0123456789abcdef") == CONTAINER_ID_LEN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct cgroup cg;

	cgroup_parse(text, &cg);
	assert(cg.npods <= CGROUP_PODS);
	for (size_t i = 0; i < cg.npods; i++) {
		assert(uid_valid(cg.pods[i].uid, strlen(cg.pods[i].uid)) &&
		       !strchr(cg.pods[i].uid, '_'));
		check_id(cg.pods[i].container);
		assert(strstr(text, "pod"));
	}
	check_id(cg.container);
	assert(!cg.npods || !*cg.container);
	free(text);
	return 0;
}
