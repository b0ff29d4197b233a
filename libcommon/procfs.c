// SPDX-License-Identifier: GPL-2.0-or-later
/* Every read below /proc, re-rootable; files of a namespace are read once a target and round. */
#include "procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>

#include "caps.h"
#include "netns.h"
#include "target.h"
#include "util.h"

/*
 * No file here has more than a few hundred KiB; PID/net/tcp of a full node, the largest, is not
 * read this way.
 */
#define PROC_FILE_MAX (16 << 20)

struct proc_cache {
	struct proc_cache *next;
	char *text;
	int err;
	bool told; /* that it is malformed */
	char file[];
};

void proc_cache_free(struct proc_cache *cache)
{
	while (cache) {
		struct proc_cache *next = cache->next;

		free(cache->text);
		free(cache);
		cache = next;
	}
}

static int read_at(int dirfd, const char *file, char **text)
{
	auto_close int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
	struct buf b = { 0 };
	int err;

	if (fd < 0)
		return -errno;
	err = buf_read(&b, fd, PROC_FILE_MAX);
	if (err) {
		buf_free(&b);
		return err;
	}
	*text = b.data;
	return 0;
}

int proc_read(const struct roots *roots, const char *file, char **text)
{
	const char *path = *roots->procfs ? roots->procfs : "/";
	auto_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : read_at(dir, file, text);
}

int proc_pid_open(const struct roots *roots, pid_t pid)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%d", roots->procfs, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

pid_t proc_own_pid(const struct roots *roots)
{
	char path[4096], link[24];
	uint64_t pid;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/self", roots->procfs) >= (int)sizeof(path))
		return -1;
	n = readlink(path, link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = '\0';
	return parse_u64(link, 1, INT32_MAX, &pid) ? -1 : (pid_t)pid;
}

bool proc_empty(const struct target *t)
{
	return !t->npids && caps_effective() & CAP_TO_MASK(CAP_SYS_PTRACE);
}

int proc_pid_read(int pidfd, const char *file, char **text)
{
	return read_at(pidfd, file, text);
}

static bool vanished(int err)
{
	return err == -ENOENT || err == -ESRCH ||
	       err == -ENXIO; /* ENXIO: its namespace is being taken down */
}

/*
 * A process can end between the scan and the read; any other one of the namespace serves as well.
 * ENOENT for the file alone, with the process still there, is the kernel's answer and final.
 */
static int net_by_pid(const struct target *t, const char *file)
{
	for (size_t i = 0; i < t->npids; i++) {
		auto_close int pidfd = proc_pid_open(t->roots, t->pids[i]);
		int fd;

		if (pidfd < 0)
			continue;
		fd = openat(pidfd, file, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		fd = -errno;
		if (!vanished(fd))
			return fd;
		if (!faccessat(pidfd, "net/dev", F_OK, 0))
			return -ENOENT;
	}
	return -ESRCH;
}

static int open_inside(void *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int proc_net_open(const struct target *t, const char *file)
{
	char path[256];
	int fd = -ESRCH;

	if (snprintf(path, sizeof(path), "/proc/thread-self/net/%s", file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (t->npids)
		fd = net_by_pid(t, path + strlen("/proc/thread-self/"));
	/* A file stays in the namespace it was opened in. */
	if (fd == -ESRCH && t->mount)
		fd = netns_call(t, open_inside, path);
	return fd;
}

static int net_read(const struct target *t, const char *file, char **text)
{
	auto_close int fd = proc_net_open(t, file);
	struct buf b = { 0 };
	int err = fd < 0 ? fd : buf_read(&b, fd, PROC_FILE_MAX);

	if (!err) {
		*text = b.data;
		return 0;
	}
	buf_free(&b);
	if (!vanished(err) && err != -EACCES && err != -EPERM)
		msg_error("net/%s of %s/%s: %s", file, t->namespace, t->pod, strerror(-err));
	return err;
}

int proc_net(const struct target *t, const char *file, const char **text)
{
	struct proc_cache **slot = (struct proc_cache **)&t->cache, *c;
	size_t len = strlen(file) + 1;

	for (; *slot; slot = &(*slot)->next) {
		if (strcmp((*slot)->file, file))
			continue;
		*text = (*slot)->text;
		return (*slot)->err;
	}
	c = calloc(1, sizeof(*c) + len);
	if (!c)
		return -ENOMEM;
	memcpy(c->file, file, len);
	c->err = net_read(t, file, &c->text);
	*slot = c;
	*text = c->text;
	return c->err;
}

struct inside {
	char path[4096];
	char **text;
};

static int read_inside(void *arg)
{
	struct inside *in = arg;

	return read_at(AT_FDCWD, in->path, in->text);
}

int proc_sys_net(const struct target *t, const char *file, char **text)
{
	struct inside in = { .text = text };
	int len = snprintf(in.path, sizeof(in.path), "%s/sys/net/%s", t->roots->procfs, file);

	if (len >= (int)sizeof(in.path))
		return -ENAMETOOLONG;
	return netns_call(t, read_inside, &in);
}

void proc_malformed(const struct target *t, const char *file)
{
	struct proc_cache *c = t->cache;

	while (c && strcmp(c->file, file))
		c = c->next;
	if (c && c->told)
		return;
	if (c)
		c->told = true;
	msg_error("net/%s of %s/%s: not of the form this kernel file has", file, t->namespace,
		  t->pod);
}
