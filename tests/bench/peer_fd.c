// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A peer: what fd and io show of all processes together, by readdir and readlink. Prints
 * descriptors, sockets, read calls, write calls, bytes read, bytes written.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct totals {
	unsigned long fds, sockets, syscr, syscw, read_bytes, write_bytes;
};

static void fds_add(struct totals *t, const char *pid)
{
	char path[320], link[256];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		ssize_t n;

		if (*entry->d_name == '.')
			continue;
		t->fds++;
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
		n = readlink(path, link, sizeof(link));
		t->sockets += n > 8 && !memcmp(link, "socket:[", 8);
	}
	closedir(dir);
}

static void io_add(struct totals *t, const char *pid)
{
	char path[320], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/io", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long v;

		if (sscanf(line, "syscr: %lu", &v) == 1)
			t->syscr += v;
		else if (sscanf(line, "syscw: %lu", &v) == 1)
			t->syscw += v;
		else if (sscanf(line, "read_bytes: %lu", &v) == 1)
			t->read_bytes += v;
		else if (sscanf(line, "write_bytes: %lu", &v) == 1)
			t->write_bytes += v;
	}
	if (f)
		fclose(f);
}

int main(void)
{
	struct totals t = { 0 };
	const struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return 1;
	while ((entry = readdir(proc))) {
		if (!isdigit((unsigned char)*entry->d_name) || atoi(entry->d_name) == getpid())
			continue;
		fds_add(&t, entry->d_name);
		io_add(&t, entry->d_name);
	}
	closedir(proc);
	printf("%lu %lu %lu %lu %lu %lu\n", t.fds, t.sockets, t.syscr, t.syscw, t.read_bytes,
	       t.write_bytes);
	return 0;
}
