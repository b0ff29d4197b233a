// SPDX-License-Identifier: GPL-2.0-or-later
/* What a process, the first byte says which file, and the machine say of input and output. */
#define procio_add included_add
#define procio_read included_read
#define procio_total included_total
#define procio_sweep included_sweep
#include "libcommon/procio.c"

#define main io_main
int main(int argc, char **argv);
#include "tools/io.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct procio_account account = { 0 };
	auto_free char *text = NULL;
	struct procio figures;
	uint64_t some, full;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 3) {
	case 0: figures_parse(text, &figures); break;
	case 1: account_parse(text, &account); break;
	case 2: pressure_parse(text, &some, &full); break;
	}
	return 0;
}
