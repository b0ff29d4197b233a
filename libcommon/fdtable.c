// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The descriptor table of a process: how many descriptors of which kind, and whether another
 * process has the same.
 */
#include "fdtable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util.h"

/* What a descriptor refers to, by how its link begins. The first match counts. */
static const struct {
	const char *begins, *name;
} types[] = {
	[FD_SOCKET] = { "socket:", "socket" },
	{ "pipe:", "pipe" },
	{ "anon_inode:[eventpoll]", "eventpoll" },
	{ "anon_inode:[eventfd", "eventfd" },
	{ "anon_inode:[timerfd]", "timerfd" },
	{ "anon_inode:[signalfd]", "signalfd" },
	{ "anon_inode:inotify", "inotify" },
	{ "anon_inode:[fanotify]", "fanotify" },
	{ "anon_inode:[io_uring]", "io_uring" },
	{ "anon_inode:[pidfd]", "pidfd" }, /* until 6.8 */
	{ "pidfd:", "pidfd" },
	{ "anon_inode:[perf_event]", "perf_event" },
	{ "anon_inode:bpf", "bpf" },
	{ "anon_inode:[userfaultfd]", "userfaultfd" },
	{ "/memfd:", "memfd" },
	{ "/dev/", "device" },
	{ "/", "file" },
	{ "", "other" },     /* namespaces, rare anonymous inodes */
	{ NULL, "unknown" }, /* the link could not be read */
};
enum { TYPE_UNKNOWN = FD_TYPES - 1, TYPE_OTHER = TYPE_UNKNOWN - 1, TYPE_FILE = TYPE_OTHER - 1 };

_Static_assert(ARRAY_SIZE(types) == FD_TYPES, "FD_TYPES");

const char *fd_type_name(unsigned int type)
{
	return types[type].name;
}

/* One reading of a table. */
struct walk {
	struct fd_table *table;
	int dir;
	bool detail;
};

static void detail_count(struct fd_table *tb, const char *link, size_t len)
{
	static const char deleted[] = " (deleted)";
	const size_t end = sizeof(deleted) - 1;
	unsigned int type = 0;

	while (strncmp(link, types[type].begins, strlen(types[type].begins)))
		type++;
	tb->types[type]++;
	/* A memfd never had a name. */
	if (len > end && !strcmp(link + len - end, deleted) && strncmp(link, "/memfd:", 7))
		tb->deleted++;
}

/*
 * Counts one descriptor by its name. False: there is no such descriptor, or its link may not be
 * read.
 */
static bool fd_count(const struct walk *w, uint64_t fd, const char *name)
{
	struct fd_table *tb = w->table;
	char link[4096];
	ssize_t n = readlinkat(w->dir, name, link, w->detail ? sizeof(link) - 1 : 63);

	if (n < 0) {
		tb->links &= errno != EACCES && errno != EPERM;
		return false;
	}
	link[n] = '\0';
	tb->fds++;
	if (fd <= STDERR_FILENO)
		for (ssize_t i = 0; i <= n; i++)
			tb->hint = (tb->hint ^ (unsigned char)link[i]) * 0x100000001b3; /* FNV-1a */
	if (w->detail)
		detail_count(tb, link, (size_t)n);
	else
		tb->types[strncmp(link, "socket:", 7) ? TYPE_OTHER : FD_SOCKET]++;
	return true;
}

static void entry_count(const struct walk *w, const char *name, uint64_t from)
{
	uint64_t fd;

	if (parse_u64(name, 0, UINT32_MAX, &fd) || fd < from)
		return; /* "." and "..", or counted already */
	if (w->table->links && fd_count(w, fd, name))
		return;
	/* Closed meanwhile, or not for us to see: it was there when it was listed. */
	w->table->fds++;
	w->table->types[TYPE_UNKNOWN]++;
}

/* Those from number `from` on, as the directory lists them. */
static int fds_listed(const struct walk *w, uint64_t from)
{
	char buffer[8192] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = getdents64(w->dir, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (struct dirent64 *)(buffer + at);

			entry_count(w, entry->d_name, from);
			at += entry->d_reclen;
		}
	}
	return n < 0 ? -errno : 0;
}

static const char *number(uint64_t v, char text[24])
{
	char *p = text + 23;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return p;
}

/*
 * Counts all descriptors. Since 6.2 the directory's size is their number, and mostly they are the
 * lowest ones: asking for each by its number costs the kernel less than a listing. What the numbers
 * tried do not give, the listing does.
 */
static int fds_count(const struct walk *w)
{
	struct fd_table *tb = w->table;
	uint64_t fd = 0, expected;
	char text[24];
	struct stat st;

	if (fstat(w->dir, &st))
		return -errno;
	expected = (uint64_t)st.st_size;
	tb->links = true;
	while (tb->links && tb->fds < expected && fd <= tb->fds + expected / 8 + 2) {
		fd_count(w, fd, number(fd, text));
		fd += tb->links;
	}
	return expected && tb->fds >= expected ? 0 : fds_listed(w, fd);
}

int fd_table_read(struct fd_table *tb, int pidfd, bool own, bool detail)
{
	auto_close int dir = openat(pidfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct walk w = { .table = tb, .dir = dir, .detail = detail };
	int err;

	if (dir < 0)
		return -errno;
	tb->hint = 0xcbf29ce484222325;
	err = fds_count(&w);
	if (err || !own)
		return err;
	/* The handle and the directory. */
	tb->fds -= 2;
	tb->types[!tb->links ? TYPE_UNKNOWN : detail ? TYPE_FILE : TYPE_OTHER] -= 2;
	return 0;
}

static int table_order(const void *va, const void *vb)
{
	const struct fd_table *a = *(struct fd_table *const *)va;
	const struct fd_table *b = *(struct fd_table *const *)vb;

	if (a->hint != b->hint)
		return a->hint < b->hint ? -1 : 1;
	return a->pid - b->pid;
}

/*
 * Puts tb into seen[0..*n), which stands in the kernel's own order of tables, unless it is marked
 * as there already. 0, or -errno: the two cannot be compared.
 */
static int table_insert(struct fd_table **seen, size_t *n, struct fd_table *tb)
{
	size_t low = 0, high = *n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		long order = syscall(SYS_kcmp, seen[mid]->pid, tb->pid, KCMP_FILES, 0, 0);

		if (order < 0 && errno != ESRCH)
			return -errno;
		tb->again = !order;
		if (tb->again)
			return 0;
		if (order == 1)
			low = mid + 1;
		else
			high = mid;
	}
	memmove(&seen[low + 1], &seen[low], (*n - low) * sizeof(*seen));
	seen[low] = tb;
	++*n;
	return 0;
}

/*
 * Only those whose descriptors 0 to 2 agree can be the same, so few are left to compare: of each
 * run with one hint those that differ stand at its beginning.
 */
int fd_tables_mark(struct fd_table **v, size_t n)
{
	struct fd_table **seen = v;
	size_t nseen = 0;

	if (n)
		qsort(v, n, sizeof(*v), table_order);
	for (size_t i = 0; i < n; i++) {
		struct fd_table *tb = v[i];
		int err;

		if (tb->hint != (*seen)->hint) {
			seen = &v[i];
			nseen = 0;
		}
		err = tb->fds && tb->links ? table_insert(seen, &nseen, tb) : 0;
		if (err)
			return err;
	}
	return 0;
}
