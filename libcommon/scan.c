// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The processes of PROCFS and the network namespaces they are in. A namespace is known by its inode
 * number or, where the link is refused (it takes CAP_SYS_PTRACE), by its key: procfs gives net/dev
 * an inode number of its own in each namespace, which anybody may ask for.
 */
#include "discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "netns.h"
#include "util.h"

/* A mount table of a node with thousands of volumes; cgroup and stat have a few hundred bytes. */
#define PROC_TEXT_MAX (4 << 20)

static struct group *group_add(struct discovery *d)
{
	struct group *g = arena_alloc(&d->arena, sizeof(*g));

	if (!g)
		return NULL;
	d->ngroups++;
	if (d->last)
		d->last->next = g;
	else
		d->groups = g;
	d->last = g;
	return g;
}

struct group *group_get(struct discovery *d, struct dict *by, uint64_t number)
{
	void **slot = dict_at(by, &number, sizeof(number));
	struct group *g;

	if (!slot || *slot)
		return slot ? *slot : NULL;
	g = group_add(d);
	if (!g)
		return NULL;
	if (by == &d->by_netns)
		g->netns = number;
	else
		g->key = number;
	*slot = g;
	return g;
}

static bool text_at(int dirfd, const char *path, struct buf *b)
{
	auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	b->len = 0;
	if (b->data)
		*b->data = '\0';
	return fd >= 0 && !buf_read(b, fd, PROC_TEXT_MAX);
}

bool proc_text(const struct discovery *d, pid_t pid, const char *file, struct buf *b)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
	return text_at(d->procfd, path, b);
}

struct proc *proc_find(const struct discovery *d, pid_t pid)
{
	for (size_t i = 0; i < d->nprocs; i++)
		if (d->procs[i].pid == pid)
			return &d->procs[i];
	return NULL;
}

static struct proc *proc_add(struct discovery *d)
{
	if (d->nprocs == d->procs_size) {
		size_t size = d->procs_size ? d->procs_size * 2 : 1024;
		struct proc *procs = reallocarray(d->procs, size, sizeof(*procs));

		if (!procs)
			return NULL;
		d->procs = procs;
		d->procs_size = size;
	}
	d->procs[d->nprocs] = (struct proc){ 0 };
	return &d->procs[d->nprocs];
}

static bool refused(int err)
{
	return err == EACCES || err == EPERM;
}

static uint64_t key_at(int dirfd)
{
	struct stat st;

	return fstatat(dirfd, "net/dev", &st, 0) ? 0 : st.st_ino;
}

/* The namespace of a process by its directory. 0; -ESRCH: it is gone; -EACCES; -ENOMEM. */
static int proc_namespace(struct discovery *d, int dir, struct proc *p)
{
	char link[64];
	ssize_t n = readlinkat(dir, "ns/net", link, sizeof(link) - 1);
	uint64_t netns;

	link[n > 0 ? n : 0] = '\0';
	netns = netns_parse(link);
	if (!netns) {
		p->key = key_at(dir);
		return p->key ? 0 : refused(errno) ? -EACCES : -ESRCH;
	}
	p->group = group_get(d, &d->by_netns, netns);
	if (!p->group)
		return -ENOMEM;
	/* By the same handle, so that both numbers are one namespace's. */
	if (!p->group->key)
		p->group->key = key_at(dir);
	return 0;
}

static int proc_scan(struct discovery *d, const char *name, pid_t pid, struct buf *text)
{
	/*
	 * Once the process is gone this handle gives ESRCH, and never shows a later process of the
	 * same pid.
	 */
	auto_close int dir = openat(d->procfd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct proc *p = dir < 0 ? NULL : proc_add(d);
	int err;

	if (dir < 0) {
		d->refused += refused(errno);
		return 0;
	}
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	err = proc_namespace(d, dir, p);
	if (err) {
		d->refused += err == -EACCES;
		return err == -ENOMEM ? err : 0;
	}
	if (!text_at(dir, "cgroup", text)) {
		if (!refused(errno))
			return 0;
		text->len = 0;
	}
	p->in = membership_get(d, text->data ? text->data : "", text->len);
	if (!p->in)
		return -ENOMEM;
	d->nprocs++;
	return 0;
}

static int scan_all(struct discovery *d, DIR *dir)
{
	struct buf text = { 0 };
	const struct dirent *e;
	uint64_t pid;
	int err = 0;

	while (!err && (e = readdir(dir)))
		if (!parse_u64(e->d_name, 1, INT32_MAX, &pid))
			err = proc_scan(d, e->d_name, (pid_t)pid, &text);
	buf_free(&text);
	return err;
}

/*
 * The reader's own namespace: both numbers can always be had, so it also joins the two for others
 * in it.
 */
static int own_add(struct discovery *d)
{
	struct stat st;
	uint64_t netns = netns_own();

	if (!d->real || !netns)
		return 0;
	d->own = group_get(d, &d->by_netns, netns);
	if (!d->own)
		return -ENOMEM;
	if (!d->own->key && !stat("/proc/self/net/dev", &st))
		d->own->key = st.st_ino;
	return 0;
}

/*
 * Processes known by key join the namespace with that key and an inode number, or make one without.
 */
static int join_keys(struct discovery *d)
{
	for (struct group *g = d->groups; g; g = g->next) {
		void **slot = g->key ? dict_at(&d->by_key, &g->key, sizeof(g->key)) : NULL;

		if (g->key && !slot)
			return -ENOMEM;
		if (slot && !*slot)
			*slot = g;
	}
	for (size_t i = 0; i < d->nprocs; i++) {
		struct proc *p = &d->procs[i];

		if (!p->group)
			p->group = group_get(d, &d->by_key, p->key);
		if (!p->group)
			return -ENOMEM;
		d->unjoined |= !p->group->netns;
	}
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int by_group(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	if (x->group != y->group)
		return x->group->index < y->group->index ? -1 : 1;
	return by_pid(a, b);
}

/*
 * Namespaces in the order of their lowest pids, those without a process behind them; processes by
 * namespace, then pid.
 */
static void sort_all(struct discovery *d)
{
	struct group *empty = NULL, **tail = &d->groups, **empty_tail = &empty;
	struct group *all = d->groups;
	size_t index = 0;

	if (d->nprocs)
		qsort(d->procs, d->nprocs, sizeof(*d->procs), by_pid);
	for (size_t i = 0; i < d->nprocs; i++)
		if (!d->procs[i].group->nprocs++)
			d->procs[i].group->index = index++;
	if (d->nprocs)
		qsort(d->procs, d->nprocs, sizeof(*d->procs), by_group);
	for (struct group *g = all, *next; g; g = next) {
		next = g->next;
		g->next = NULL;
		if (g->nprocs)
			continue;
		*empty_tail = g;
		empty_tail = &g->next;
	}
	for (size_t i = 0; i < d->nprocs; i += d->procs[i].group->nprocs) {
		*tail = d->procs[i].group;
		tail = &(*tail)->next;
		d->procs[i].group->procs = &d->procs[i];
	}
	*tail = empty;
	for (d->last = d->groups; d->last && d->last->next; d->last = d->last->next)
		;
}

/*
 * Whether the file system at procfd has the hidepid option: asked of our mount table, by device
 * number.
 */
static bool has_hidepid(int procfd)
{
	char device[32];
	struct buf b = { 0 };
	struct stat st;
	bool found = false;

	if (fstat(procfd, &st) || !text_at(AT_FDCWD, "/proc/self/mountinfo", &b)) {
		buf_free(&b);
		return false;
	}
	snprintf(device, sizeof(device), " %u:%u ", major(st.st_dev), minor(st.st_dev));
	for (char *line = b.data, *end; line && *line && !found; line = end) {
		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		found = strstr(line, device) && strstr(line, "hidepid=");
	}
	buf_free(&b);
	return found;
}

int scan_processes(struct discovery *d)
{
	int fd = openat(d->procfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct statfs fs;

	if (!dir) {
		err = -errno;
		msg_error("%s: %s", d->roots->procfs, strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	d->real = !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
	err = scan_all(d, dir);
	closedir(dir);
	if (!err)
		err = own_add(d);
	if (!err)
		err = join_keys(d);
	if (err) {
		msg_error("%s: %s", d->roots->procfs, strerror(-err));
		return err;
	}
	sort_all(d);
	d->hidepid = d->real && !proc_find(d, 1) && has_hidepid(d->procfd);
	return 0;
}
