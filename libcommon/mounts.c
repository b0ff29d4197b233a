// SPDX-License-Identifier: GPL-2.0-or-later
/* Network namespaces that a file holds, with or without processes: of `ip netns`, CNI, docker. */
#include "discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "netns.h"
#include "roots.h"
#include "util.h"

static const char *const places[] = { "run/netns", "run/docker/netns" };

static bool no_propagation(const struct stat *st)
{
	return S_ISREG(st->st_mode) && !st->st_size;
}

/* The inode number of the namespace that fd (O_PATH) is. 0, -EINVAL, -ESTALE. */
static int namespace_inode(int fd, uint64_t *netns)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -EINVAL;
	if (fs.f_type != NSFS_MAGIC)
		return no_propagation(&st) ? -ESTALE : -EINVAL;
	*netns = st.st_ino;
	return 0;
}

static bool is_name(const char *name)
{
	return uid_valid(name, strlen(name));
}

/*
 * The namespace with this number. The file becomes its mount where it is the only way in, or where
 * the name is one that people know it by.
 */
static int group_of_mount(struct discovery *d, uint64_t netns, const char *path, const char *name,
			  struct group **group)
{
	struct group *g = group_get(d, &d->by_netns, netns);

	*group = g;
	if (!g)
		return -ENOMEM;
	if (g->mount || (g->nprocs && !name))
		return 0;
	g->mount = arena_str(&d->arena, path, strlen(path));
	if (name && is_name(name))
		g->mount_name = arena_str(&d->arena, name, strlen(name));
	return g->mount && (!name || !is_name(name) || g->mount_name) ? 0 : -ENOMEM;
}

/*
 * `DIR/ns/net` of a process that may not be looked at: DIR/net/dev still tells which of the known
 * ones it is.
 */
static struct group *group_of_refused(struct discovery *d, const char *path)
{
	static const char end[] = "/ns/net";
	size_t len = strlen(path);
	auto_free char *dev = NULL;
	struct stat st;
	uint64_t key;

	if (len < strlen(end) || strcmp(path + len - strlen(end), end) ||
	    asprintf(&dev, "%.*s/net/dev", (int)(len - strlen(end)), path) < 0)
		return NULL;
	if (stat(dev, &st))
		return NULL;
	key = st.st_ino;
	return dict_get(&d->by_key, &key, sizeof(key));
}

/* Whether a file that is on nsfs (so that opening it does no harm) is a network's. */
static bool is_netns(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 || ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

int mount_by_path(struct discovery *d, const char *path, struct group **group)
{
	char link[64];
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	bool is_refused = n < 0 && (errno == EACCES || errno == EPERM);
	auto_close int fd = open(path, O_PATH | O_CLOEXEC);
	uint64_t netns;
	int err = fd < 0 ? -errno : 0;

	link[n > 0 ? n : 0] = '\0';
	netns = netns_parse(link);
	if (netns)
		return group_of_mount(d, netns, path, NULL, group);
	if (is_refused) {
		*group = group_of_refused(d, path);
		return *group ? 0 : -EACCES;
	}
	if (!err)
		err = namespace_inode(fd, &netns);
	if (err)
		return err == -ENOTDIR ? -ENOENT : err;
	return is_netns(path) ? group_of_mount(d, netns, path, NULL, group) : -EINVAL;
}

/*
 * `ln -s /proc/PID/ns/net /run/netns/NAME`, as `ip netns` understands it: the process gives the
 * namespace.
 */
static struct group *group_of_link(struct discovery *d, int dir, const char *name)
{
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
	const struct proc *p;
	int pid, end = 0;

	link[n > 0 ? n : 0] = '\0';
	if (sscanf(link, "/proc/%9d/ns/net%n", &pid, &end) != 1 || end != n)
		return NULL;
	p = proc_find(d, pid);
	return p ? p->group : NULL;
}

/*
 * One file in a directory of namespaces. With `known`, only if it is of one of those that were met
 * already.
 */
static int entry(struct discovery *d, int dir, const char *place, const char *name, bool known,
		 struct group **group)
{
	auto_close int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	auto_free char *path = NULL;
	uint64_t netns = 0;
	int err = fd < 0 ? -errno : namespace_inode(fd, &netns);

	if (err == -EINVAL && (*group = group_of_link(d, dir, name))) {
		if (!(*group)->mount_name && is_name(name))
			(*group)->mount_name = arena_str(&d->arena, name, strlen(name));
		return 0;
	}
	if (err)
		return err;
	if (known && !dict_get(&d->by_netns, &netns, sizeof(netns)))
		return -ENOENT;
	if (asprintf(&path, "%s/%s/%s", d->roots->rootfs, place, name) < 0)
		return -ENOMEM;
	return group_of_mount(d, netns, path, name, group);
}

static int entry_by_name(struct discovery *d, const char *place, const char *name,
			 struct group **group)
{
	auto_close int dir = root_open(d->roots, place, O_PATH | O_DIRECTORY);

	return dir < 0 ? dir : entry(d, dir, place, name, false, group);
}

int mount_by_name(struct discovery *d, const char *name, struct group **group)
{
	int err = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(places) && err == -ENOENT; i++)
		err = entry_by_name(d, places[i], name, group);
	return err;
}

static int name_cmp(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *e)
{
	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

static int scan_entry(struct discovery *d, int dir, const char *place, const char *name)
{
	struct group *group;
	/*
	 * Where some are known by key alone, this may be one of them; and those who may not see
	 * inode numbers could not enter it anyway: better not listed than listed twice.
	 */
	int err = entry(d, dir, place, name, d->unjoined, &group);

	if (err == -ESTALE && !d->said->propagation) {
		d->said->propagation = true;
		msg_verbose("%s/%s/%s is not a namespace here: its mount did not propagate",
			    d->roots->rootfs, place, name);
	}
	return err == -ENOMEM ? err : 0;
}

static int scan_place(struct discovery *d, const char *place)
{
	auto_close int dir = root_open(d->roots, place, O_RDONLY | O_DIRECTORY);
	struct dirent **names;
	int n, err = 0;

	if (dir < 0)
		return 0;
	n = scandirat(dir, ".", &names, not_dots, name_cmp);
	for (int i = 0; i < n; i++) {
		if (!err)
			err = scan_entry(d, dir, place, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return err;
}

int scan_mounts(struct discovery *d)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places) && !err; i++)
		err = scan_place(d, places[i]);
	return err;
}
