// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names in /var/log/pods and /var/log/containers: what is taken for one is put together again from
 * its parts.
 */
#include <assert.h>
#include <stdio.h>

#include "libcommon/pod.h"
#include "tests/fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), id[CONTAINER_ID_LEN + 1], head[512];
	struct pod_name name;
	size_t len;

	if (pod_log_split(text, &name)) {
		len = (size_t)snprintf(head, sizeof(head), "%s_%s_", name.namespace, name.pod);
		assert(!strncmp(text, head, len));
		assert(strlen(text + len) == strlen(name.uid) && !strchr(name.uid, '_'));
	}
	if (container_log_split(text, &name, id)) {
		len = (size_t)snprintf(head, sizeof(head), "%s_%s_", name.pod, name.namespace);
		assert(!strncmp(text, head, len));
		snprintf(head, sizeof(head), "-%s.log", id);
		assert(!strcmp(text + strlen(text) - strlen(head), head));
	}
	free(text);
	return 0;
}
