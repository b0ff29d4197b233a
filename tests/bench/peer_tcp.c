// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A peer: what tcpsummary shows, parsed from net/tcp and net/tcp6 of each process given, in plain C
 * without a detour. Prints a line a process: ESTABLISHED, TIME_WAIT, bytes to send, bytes unread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct totals {
	unsigned long established, timewait, tx, rx;
};

/* As far as the queues a line is of fixed width behind its first colon. */
static void line_add(struct totals *t, const char *line, size_t address)
{
	const char *p = strchr(line, ':');
	unsigned long state, tx, rx;
	char *end;

	if (!p)
		return;
	p += 2 + 2 * (address + 6);
	state = strtoul(p, &end, 16);
	tx = strtoul(end, &end, 16);
	rx = strtoul(end + 1, NULL, 16);
	if (state == 1)
		t->established++;
	else if (state == 6)
		t->timewait++;
	if (state != 10) {
		t->tx += tx;
		t->rx += rx;
	}
}

static void file_add(struct totals *t, const char *pid, const char *name, size_t address)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/net/%s", pid, name);
	f = fopen(path, "r");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f))
		while (fgets(line, sizeof(line), f))
			line_add(t, line, address);
	fclose(f);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct totals t = { 0 };

		file_add(&t, argv[i], "tcp", 8);
		file_add(&t, argv[i], "tcp6", 32);
		printf("%s %lu %lu %lu %lu\n", argv[i], t.established, t.timewait, t.tx, t.rx);
	}
	return 0;
}
