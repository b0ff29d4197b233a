// SPDX-License-Identifier: GPL-2.0-or-later
/* A symbol table of any bytes: in order, every name ended, every address in the function that is said to hold it. */
#include "file.h"

#include <string.h>

#include "libcommon/ksyms.h"

static void check(const struct ksyms *ks, uint64_t address)
{
	uint64_t end;
	const struct ksym *s = ksyms_find(ks, address, &end);

	if (!s)
		return;
	if (ks->hidden || s->address > address || (end <= address && address != UINT64_MAX))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ksyms ks;

	if (ksyms_read(&ks, file_of(data, size))) {
		if (ks.v || ks.names)
			abort();
		return 0;
	}
	for (size_t i = 0; i < ks.n; i++) {
		const struct ksym *s = &ks.v[i];

		if ((i && s->address < s[-1].address) || s->name >= ks.names_len ||
		    s->module >= ks.names_len || strchr(ks.names + s->module, '\n'))
			abort();
		if (!ksyms_named(&ks, ksym_name(&ks, s)))
			abort();
		check(&ks, s->address);
		check(&ks, s->address - 1);
	}
	check(&ks, 0);
	check(&ks, UINT64_MAX - 1);
	ksyms_free(&ks);
	return 0;
}
