// SPDX-License-Identifier: GPL-2.0-or-later
/* Devices, routes, statistics, and net/dev. The first byte chooses. */
#include "messages.h"

#include "tools/netdev.c"

/* The callbacks of link.c are its own, so the file is compiled here once more under other names. */
#define links_read fuzz_links_read
#define links_routes fuzz_links_routes
#define links_free fuzz_links_free
#define links_find fuzz_links_find
#define link_stacked fuzz_link_stacked
int fuzz_links_read(struct mnl_socket *nl, struct links *ls);
int fuzz_links_routes(struct mnl_socket *nl, struct links *ls);
void fuzz_links_free(struct links *ls);
struct link *fuzz_links_find(const struct links *ls, int ifindex);
bool fuzz_link_stacked(const struct links *ls, const struct link *l);
#include "libcommon/link.c"

static void relations(const uint8_t *data, size_t size, mnl_cb_t routes)
{
	struct links ls = { 0 };
	size_t half = size / 2;

	messages_each(data, half, read_link, &ls);
	if (ls.n)
		qsort(ls.v, ls.n, sizeof(*ls.v), by_ifindex);
	for (size_t i = 0; i < ls.n; i++)
		link_stacked(&ls, &ls.v[i]);
	messages_each(data + half, size - half, routes, &ls);
	links_free(&ls);
}

static void file(const uint8_t *data, size_t size, struct devices *ds)
{
	char *text = text_of(data, size);

	if (text && dev_parse(text, ds) == 0)
		for (size_t i = 0; i < ds->n; i++)
			if (!ds->v[i].name[0])
				abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct devices ds = { 0 };

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0: relations(data + 1, size - 1, read_route); break;
	case 1: relations(data + 1, size - 1, read_route4); break;
	case 2: messages_each(data + 1, size - 1, read_stats, &ds); break;
	case 3: file(data + 1, size - 1, &ds); break;
	}
	free(ds.v);
	return 0;
}
