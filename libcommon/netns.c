// SPDX-License-Identifier: GPL-2.0-or-later
/* Entering a network namespace for the time of one call. */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "probe.h"
#include "target.h"
#include "util.h"

uint64_t netns_parse(const char *link)
{
	static const char prefix[] = "net:[";
	char digits[24];
	uint64_t netns;
	size_t len;

	if (strncmp(link, prefix, strlen(prefix)))
		return 0;
	link += strlen(prefix);
	len = strcspn(link, "]");
	if (strcmp(link + len, "]") || len >= sizeof(digits))
		return 0;
	memcpy(digits, link, len);
	digits[len] = '\0';
	return parse_u64(digits, 1, UINT64_MAX, &netns) ? 0 : netns;
}

uint64_t netns_own(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/net", link, sizeof(link) - 1);

	link[n > 0 ? n : 0] = '\0';
	return netns_parse(link);
}

static bool is_own(const struct target *t)
{
	struct stat st;

	if (t->netns)
		return t->netns == netns_own();
	return t->key && !stat("/proc/self/net/dev", &st) && t->key == st.st_ino;
}

/*
 * A file of the namespace as descriptor. What stands at the path by now may be another namespace: a
 * pid is used again, a name too.
 */
static int open_checked(const struct target *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct statfs fs;
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fstat(fd, &st))
		err = -errno;
	else if (fs.f_type != NSFS_MAGIC || (t->netns && t->netns != st.st_ino))
		err = -ESRCH; /* it was one when the targets were found: unmounted since */
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* By one of its processes, else by its mount. */
static int netns_open(const struct target *t)
{
	char path[4096];
	int fd = -ESRCH;

	for (size_t i = 0; i < t->npids; i++) {
		if (snprintf(path, sizeof(path), "%s/%d/ns/net", t->roots->procfs,
			     (int)t->pids[i]) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		fd = open_checked(t, path);
		if (fd >= 0)
			return fd;
		/* Where the scan could not read the number of one of them, none will open. */
		if (!t->netns && (fd == -EACCES || fd == -EPERM))
			break;
	}
	if (t->mount) {
		int by_mount = open_checked(t, t->mount);

		if (by_mount >= 0 || fd == -ESRCH || fd == -ENOENT)
			fd = by_mount;
	}
	return fd == -ENOENT ? -ESRCH : fd;
}

int netns_call(const struct target *t, int (*fn)(void *arg), void *arg)
{
	auto_close int home = -1, there = -1;
	int result;

	if (is_own(t))
		return fn(arg);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -errno;
	there = netns_open(t);
	if (there < 0)
		return there;
	if (setns(there, CLONE_NEWNET))
		return -errno;
	result = fn(arg);
	if (setns(home, CLONE_NEWNET)) {
		msg_error("cannot return to my own network namespace: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
	return result;
}
