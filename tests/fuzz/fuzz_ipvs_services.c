// SPDX-License-Identifier: GPL-2.0-or-later
/* Virtual services and real servers over generic netlink. The first byte chooses. */
#include "messages.h"

#include "tools/ipvs.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows rows = { 0 };
	char buffer[256];

	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0: messages_each(data + 1, size - 1, read_service, &rows); break;
	case 1: messages_each(data + 1, size - 1, read_server, &rows); break;
	case 2: messages_each(data + 1, size - 1, read_family, &rows); break;
	}
	/* What was read of a service fits into the question for its servers. */
	for (size_t i = 0; i < rows.n; i++) {
		struct nlmsghdr *nlh = request(buffer, rows.genl, IPVS_CMD_GET_DEST);

		put_service(nlh, &rows.v[i]);
		if (nlh->nlmsg_len > sizeof(buffer))
			abort();
	}
	free(rows.v);
	return 0;
}
