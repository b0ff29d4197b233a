// SPDX-License-Identifier: GPL-2.0-or-later
/* Where the machine's file systems are, its name, and opening files of a root that is not ours. */
#include "roots.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "cgroup.h"
#include "target.h"
#include "util.h"

#define PROC_TEXT_MAX (4 << 20)

/* An empty variable is no answer. */
static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static const char *first(const char *a, const char *b, const char *c)
{
	return a ? a : b ? b : c;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* Without its trailing slashes, so that "/" is "". */
static char *prefix(const char *path)
{
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

static bool read_below(int dirfd, const char *path, struct buf *b)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && !buf_read(b, fd, PROC_TEXT_MAX) && b->data;
}

bool process_in_pod(int procfd, pid_t pid)
{
	char path[32], uid[POD_UID_MAX + 1];
	struct buf text = { 0 };
	struct cgroup cg;
	bool in_pod = false;

	snprintf(path, sizeof(path), "%d/cgroup", (int)pid);
	if (read_below(procfd, path, &text)) {
		cgroup_parse(text.data, &cg);
		in_pod = cg.npods || cg.sibling;
	}
	text.len = 0;
	snprintf(path, sizeof(path), "%d/mountinfo", (int)pid);
	if (!in_pod && read_below(procfd, path, &text))
		in_pod = mountinfo_uid(text.data, uid);
	buf_free(&text);
	return in_pod;
}

/* What debug containers have: the node's root at /host, or pid 1 of the node itself. */
static void guess(const char **procfs, const char **rootfs)
{
	auto_close int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool contained = exists("/host/proc/1") && process_in_pod(proc, 1);

	if (!contained && exists("/var/log/pods"))
		return;
	if (contained) {
		*procfs = "/host/proc";
		*rootfs = "/host";
	} else if (exists("/host/var/log")) {
		*rootfs = "/host";
	} else if (exists("/proc/1/root/var/log/pods")) {
		*rootfs = "/proc/1/root";
	} else {
		return;
	}
	msg_verbose("the node's files are taken from %s", *rootfs);
}

int roots_init(struct roots *r, const struct target_options *opt)
{
	const char *procfs = first(opt->procfs, env("HOST_PROC"), NULL);
	const char *rootfs = first(opt->rootfs, env("HOST_ROOT"), NULL);

	if (!procfs && !rootfs)
		guess(&procfs, &rootfs);
	r->procfs = prefix(first(procfs, "/proc", NULL));
	r->sysfs = prefix(first(opt->sysfs, env("HOST_SYS"), "/sys"));
	r->rootfs = prefix(first(rootfs, "/", NULL));
	if (opt->pod_logs)
		r->pod_logs = prefix(opt->pod_logs);
	else if (r->rootfs && asprintf(&r->pod_logs, "%s/var/log/pods", r->rootfs) < 0)
		r->pod_logs = NULL;
	if (r->procfs && r->sysfs && r->rootfs && r->pod_logs)
		return 0;
	msg_error("out of memory");
	return -ENOMEM;
}

void roots_free(struct roots *r)
{
	free(r->procfs);
	free(r->sysfs);
	free(r->rootfs);
	free(r->pod_logs);
	*r = (struct roots){ 0 };
}

static int open_in_root(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* One component after the other, none of them a link. */
static int open_by_steps(int root, const char *path, int flags)
{
	int at = root, next, step, err;

	for (;;) {
		size_t len = strcspn(path, "/");
		bool last = !path[len];
		char name[256];

		if (!len || len >= sizeof(name) || (len == 2 && !memcmp(path, "..", 2)))
			err = -EINVAL;
		else
			err = 0;
		if (!err) {
			memcpy(name, path, len);
			name[len] = '\0';
			step = last ? flags : O_PATH | O_DIRECTORY;
			next = openat(at, name, step | O_NOFOLLOW | O_CLOEXEC);
			err = next < 0 ? -errno : 0;
		}
		if (at != root)
			close(at);
		if (err)
			return err;
		if (last)
			return next;
		at = next;
		path += len + 1;
	}
}

int root_open(const struct roots *r, const char *path, int flags)
{
	auto_close int root = open(*r->rootfs ? r->rootfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return -errno;
	fd = open_in_root(root, path, flags);
	if (fd != -ENOSYS && fd != -EPERM)
		return fd;
	if (*r->rootfs)
		return open_by_steps(root, path, flags);
	fd = openat(root, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool name_is_usable(const char *name)
{
	return uid_valid(name, strlen(name)) && *name != '.';
}

/* The machine's host name: of this UTS namespace or, where that is a container's, in the file. */
static bool host_name(const struct roots *r, char *name, size_t size)
{
	/* The initial UTS namespace has this number on every kernel. */
	static const char initial[] = "uts:[4026531838]";
	char uts[sizeof(initial) + 8];
	ssize_t n = readlink("/proc/self/ns/uts", uts, sizeof(uts));
	struct utsname host;

	if (*r->rootfs || n != (ssize_t)strlen(initial) || memcmp(uts, initial, (size_t)n)) {
		auto_close int fd = root_open(r, "etc/hostname", O_RDONLY | O_NONBLOCK | O_NOCTTY);

		n = fd < 0 ? 0 : read(fd, name, size - 1);
		name[n > 0 ? n : 0] = '\0';
		name[strcspn(name, "\r\n")] = '\0';
		if (name_is_usable(name))
			return true;
	}
	if (uname(&host))
		return false;
	snprintf(name, size, "%s", host.nodename);
	return *name;
}

char *roots_node(const struct roots *r, const struct target_options *opt)
{
	static const char *const names[] = { "NODE_NAME", "KUBE_NODE_NAME", "MY_NODE_NAME",
					     "INSPECTOR_NODENAME" };
	const char *given = opt->node;
	char name[256];

	for (size_t i = 0; i < ARRAY_SIZE(names) && !given; i++)
		given = env(names[i]);
	if (given)
		return strdup(given);
	if (!host_name(r, name, sizeof(name)))
		return strdup("unknown");
	/* As the kubelet registers it. */
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return strdup(name);
}
