// SPDX-License-Identifier: GPL-2.0-or-later
/* fd - open descriptors of the processes of a network namespace, and how many of them are sockets. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "libcommon/array.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

enum by { BY_POD, BY_PID, BY_TYPE };
static const char *const by_words[] = { "pod", "pid", "type", NULL };

static bool all_counters;
static unsigned int group_by = BY_POD;
static uint64_t top; /* 0: all */

enum row { OPEN_FD, OPEN_SOCKET, DELETED, LIMIT, LIMIT_SHARE, FILES_OPEN, FILES_MAX };

static const struct metric metrics[] = {
	[OPEN_FD] = { "openfd", NULL, GAUGE, "descriptors", "opened fd in pod",
	  .advice = { .means = "descriptors of all processes of the namespace; a table that processes share counts once",
		      .normal = "follows load and falls again",
		      .causes = "a leak; sockets in CLOSE_WAIT; watchers",
		      .confirm = "skoop-fd --by pid --top 5 -a; skoop-fd --by type",
		      .remedy = "close in the program; then LimitNOFILE. At the limit accept() fails with EMFILE and the accept "
				"queue overflows" } },
	[OPEN_SOCKET] = { "opensocket", NULL, GAUGE, "sockets", "opened socket in pod",
	  .advice = { .means = "of these, descriptors of sockets, UNIX and netlink too",
		      .normal = "follows load and falls again",
		      .causes = "a leak; a connection pool without limit",
		      .confirm = "skoop-fd --by pid --top 5; skoop-tcpsummary --states",
		      .remedy = "close in the program; limit the pool" } },
	[DELETED] = { "deletedfiles", NULL, GAUGE, "descriptors", "Open descriptors of deleted files", SCOPE_NETNS, M_ALL,
	  .advice = { .means = "descriptors whose file has no name any more; its disk space is free only when all are closed",
		      .normal = "a few",
		      .causes = "logs that were removed instead of rotated; updated libraries and binaries",
		      .confirm = "ls -l /proc/PID/fd | grep deleted",
		      .remedy = "make the program reopen its files" } },
	[LIMIT] = { "fdlimit", NULL, GAUGE, "descriptors", "A process's limit of open descriptors", SCOPE_NETNS, M_ALL,
	  .advice = { .means = "soft RLIMIT_NOFILE of the process; only with --by pid",
		      .confirm = "grep files /proc/PID/limits",
		      .remedy = "LimitNOFILE, ulimit -n; prlimit -p PID -n changes it while it runs" } },
	[LIMIT_SHARE] = { "limitshare", NULL, GAUGE, "percent", "Share of the limit in use", SCOPE_NETNS, M_ALL,
	  .advice = { .means = "open descriptors in percent of the soft RLIMIT_NOFILE; for a namespace, of the process that is "
			       "nearest to its limit",
		      .normal = "below 80",
		      .causes = "a leak; sockets in CLOSE_WAIT; a limit too low for the load",
		      .confirm = "skoop-fd --by pid --top 5 -a",
		      .remedy = "close in the program; then LimitNOFILE" } },
	[FILES_OPEN] = { "filesopen", NULL, GAUGE, "files", "Open files of the machine", SCOPE_HOST, M_ALL,
	  .advice = { .means = "file handles the kernel has allocated; descriptors made by dup() or fork() share one",
		      .confirm = "sysctl fs.file-nr" } },
	[FILES_MAX] = { "filesmax", NULL, GAUGE, "files", "The machine's limit of open files", SCOPE_HOST, M_ALL,
	  .advice = { .means = "fs.file-max; at this many open() fails with ENFILE",
		      .remedy = "sysctl fs.file-max" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Also deleted files, the process limit, the machine's files", KNOB_FLAG, &all_counters },
	{ 0, "by", "WHAT", "Descriptors by pod (default), pid or type", KNOB_WORD, &group_by, .words = by_words },
	{ 0, "top", "N", "Of --by pid only the N processes with most of each namespace", KNOB_NUMBER, &top, 1, UINT32_MAX },
	{}
};

/* What a descriptor refers to, by how its link begins. The first match counts. */
static const struct {
	const char *begins, *name;
} types[] = {
	{ "socket:", "socket" },
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
	{ "", "other" }, /* namespaces, rare anonymous inodes */
	{ NULL, "unknown" }, /* the link could not be read */
};
enum { TYPE_SOCKET, TYPE_UNKNOWN = ARRAY_SIZE(types) - 1, TYPE_OTHER = TYPE_UNKNOWN - 1, TYPE_FILE = TYPE_OTHER - 1 };

/* The descriptor table of one process. */
struct table {
	pid_t pid;
	bool links;       /* the links could be read */
	bool again;       /* another process before it has the same table */
	uint64_t hint;    /* equal where the table is the same; of the links of descriptors 0 to 2 */
	uint64_t fds, limit;
	uint32_t deleted, types[ARRAY_SIZE(types)];
	char comm[32];
};

struct tables {
	struct table *v;
	size_t n, size;
	pid_t own;        /* the own process as procfs numbers it, -1 where it does not have it */
	uint64_t unread, unlinked; /* processes: none of it, or not its links, could be read */
};

static unsigned int type_of(const char *link)
{
	unsigned int i = 0;

	while (strncmp(link, types[i].begins, strlen(types[i].begins)))
		i++;
	return i;
}

/* A link's text is read to its end only where the end matters. */
static void link_count(struct table *tb, uint64_t fd, const char *link)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(link);

	if (fd <= STDERR_FILENO)
		for (size_t i = 0; i <= len; i++)
			tb->hint = (tb->hint ^ (unsigned char)link[i]) * 0x100000001b3; /* FNV-1a */
	if (group_by == BY_TYPE || all_counters)
		tb->types[type_of(link)]++;
	else
		tb->types[strncmp(link, "socket:", 7) ? TYPE_OTHER : TYPE_SOCKET]++;
	if (all_counters && len >= sizeof(deleted) && !strcmp(link + len + 1 - sizeof(deleted), deleted) &&
	    strncmp(link, "/memfd:", 7))
		tb->deleted++;
}

/* Counts one descriptor by its name below `dir`. False: there is no such descriptor, or its link may not be read. */
static bool fd_count(struct table *tb, int dir, uint64_t fd, const char *name)
{
	char link[4096];
	ssize_t n = readlinkat(dir, name, link, all_counters ? sizeof(link) - 1 : 63);

	if (n < 0) {
		tb->links &= errno != EACCES && errno != EPERM;
		return false;
	}
	link[n] = '\0';
	tb->fds++;
	link_count(tb, fd, link);
	return true;
}

/* Those from number `from` on, as the directory lists them. */
static int fds_listed(struct table *tb, int dir, uint64_t from)
{
	char buffer[8192] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = getdents64(dir, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (struct dirent64 *)(buffer + at);
			uint64_t fd;

			at += entry->d_reclen;
			if (parse_u64(entry->d_name, 0, UINT32_MAX, &fd) || fd < from)
				continue;
			/* Closed meanwhile, or not for us to see: it was there when it was listed. */
			if (!tb->links || !fd_count(tb, dir, fd, entry->d_name)) {
				tb->fds++;
				tb->types[TYPE_UNKNOWN]++;
			}
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
 * Counts all descriptors. Since 6.2 the directory's size is their number, and mostly they are the lowest ones: asking for
 * each by its number costs the kernel less than a listing. What the numbers tried do not give, the listing does.
 */
static int fds_count(struct table *tb, int dir)
{
	uint64_t fd = 0, expected;
	char text[24];
	struct stat st;

	if (fstat(dir, &st))
		return -errno;
	expected = (uint64_t)st.st_size;
	tb->links = true;
	while (tb->links && tb->fds < expected && fd <= tb->fds + expected / 8 + 2) {
		fd_count(tb, dir, fd, number(fd, text));
		fd += tb->links;
	}
	return expected && tb->fds >= expected ? 0 : fds_listed(tb, dir, fd);
}

/* "Max open files            1024                 524288               files": the soft one. 0: not known. */
static uint64_t limit_parse(const char *text)
{
	static const char name[] = "\nMax open files ";
	const char *p = strstr(text, name);
	char digits[24] = "";
	uint64_t limit;

	if (!p)
		return 0;
	p += strlen(name);
	p += strspn(p, " ");
	snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(p, " \n"), p);
	return parse_u64(digits, 1, UINT64_MAX, &limit) ? 0 : limit;
}

/* What is known of a process beside its table. */
static void table_describe(struct table *tb, int pidfd)
{
	auto_free char *limits = NULL, *comm = NULL;

	if (all_counters && !proc_pid_read(pidfd, "limits", &limits))
		tb->limit = limit_parse(limits);
	if (group_by == BY_PID && !proc_pid_read(pidfd, "comm", &comm))
		snprintf(tb->comm, sizeof(tb->comm), "%.*s", (int)strcspn(comm, "\n"), comm);
}

static int table_read(const struct target *t, struct table *tb, bool own)
{
	auto_close int pidfd = proc_pid_open(t->roots, tb->pid);
	auto_close int dir = pidfd < 0 ? pidfd : openat(pidfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = pidfd < 0 ? pidfd : dir < 0 ? -errno : fds_count(tb, dir);

	if (err)
		return err;
	/* What this walk opened is no part of what it measures. */
	if (own) {
		tb->fds -= 2;
		tb->types[all_counters || group_by == BY_TYPE ? TYPE_FILE : TYPE_OTHER] -= 2;
	}
	table_describe(tb, pidfd);
	return 0;
}

static pid_t own_pid(const struct roots *roots)
{
	char path[4096], link[24];
	uint64_t pid;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/self", roots->procfs);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -1;
	link[n] = '\0';
	return parse_u64(link, 1, INT32_MAX, &pid) ? -1 : (pid_t)pid;
}

static int tables_read(const struct target *t, struct tables *ts)
{
	ts->own = own_pid(t->roots);
	for (size_t i = 0; i < t->npids; i++) {
		struct table *tb;
		int err;

		if (array_grow(&ts->v, &ts->size, ts->n + 1))
			return -ENOMEM;
		tb = &ts->v[ts->n];
		*tb = (struct table){ .pid = t->pids[i], .hint = 0xcbf29ce484222325 };
		err = table_read(t, tb, tb->pid == ts->own);
		if (!err) {
			ts->unlinked += !tb->links;
			ts->n++;
		} else if (err == -EACCES || err == -EPERM) {
			ts->unread++;
		} else if (err != -ENOENT && err != -ESRCH) {
			msg_error("%s/%d/fd: %s", t->roots->procfs, (int)tb->pid, strerror(-err));
			return err;
		}
	}
	return 0;
}

static int table_order(const void *va, const void *vb)
{
	const struct table *a = va, *b = vb;

	if (a->hint != b->hint)
		return a->hint < b->hint ? -1 : 1;
	return a->pid - b->pid;
}

/*
 * Whether a process of seen[0..*n) has the table of tb; where not, tb is put in its place. seen[] stands in the kernel's
 * own order of tables. -errno: they cannot be compared.
 */
static int table_seen(struct table **seen, size_t *n, struct table *tb)
{
	size_t low = 0, high = *n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		long order = syscall(SYS_kcmp, seen[mid]->pid, tb->pid, KCMP_FILES, 0, 0);

		if (order < 0 && errno != ESRCH)
			return -errno;
		if (!order)
			return 1;
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
 * Processes made by clone(CLONE_FILES) share one table. Only those whose descriptors 0 to 2 agree can, so few pairs are
 * left to compare.
 */
static int tables_compare(struct tables *ts)
{
	auto_free struct table **seen = calloc(ts->n, sizeof(*seen));
	size_t nseen = 0;

	if (!seen)
		return -ENOMEM;
	qsort(ts->v, ts->n, sizeof(*ts->v), table_order);
	for (size_t i = 0; i < ts->n; i++) {
		int again;

		if (i && ts->v[i].hint != ts->v[i - 1].hint)
			nseen = 0;
		if (!ts->v[i].fds || !ts->v[i].links)
			continue;
		again = table_seen(seen, &nseen, &ts->v[i]);
		if (again < 0)
			return again;
		ts->v[i].again = again;
	}
	return 0;
}

/* What cannot be told is said, and then every process counts for itself. */
static int tables_mark_shared(struct tables *ts, struct out *o)
{
	int err = ts->own == getpid() ? tables_compare(ts) : -EXDEV;

	if (!err || err == -ENOMEM)
		return err;
	for (size_t i = 0; i < ts->n; i++)
		ts->v[i].again = false;
	out_note(o, "descriptor tables that processes share count once for each process: %s",
		 err == -EXDEV ? "they are of another pid namespace" : strerror(-err));
	return 0;
}

struct emit {
	const struct target *target;
	struct out *out;
};

static void emit(const struct emit *e, enum row row, uint64_t value, const struct label *labels)
{
	out_metric(e->out, e->target, &metrics[row], value, labels);
}

static uint64_t limit_share(const struct table *tb)
{
	return tb->limit ? tb->fds * 100 / tb->limit : 0;
}

static void emit_total(const struct emit *e, const struct tables *ts)
{
	uint64_t fds = 0, sockets = 0, deleted = 0, share = 0;

	for (const struct table *tb = ts->v; tb < ts->v + ts->n; tb++) {
		share = limit_share(tb) > share ? limit_share(tb) : share;
		if (tb->again)
			continue;
		fds += tb->fds;
		sockets += tb->types[TYPE_SOCKET];
		deleted += tb->deleted;
	}
	if (group_by == BY_POD)
		emit(e, OPEN_FD, fds, NULL);
	if (ts->unlinked < ts->n || !ts->n)
		emit(e, OPEN_SOCKET, sockets, NULL);
	if (!all_counters)
		return;
	if (ts->unlinked < ts->n || !ts->n)
		emit(e, DELETED, deleted, NULL);
	emit(e, LIMIT_SHARE, share, NULL);
}

/* In place of the total: the sum over the types is the total. */
static void emit_types(const struct emit *e, const struct tables *ts)
{
	uint64_t fds = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct label labels[] = { { "type", types[i].name }, {} };

		for (const struct table *tb = ts->v; tb < ts->v + ts->n; tb++)
			fds += tb->again ? 0 : tb->types[i];
		/* Two beginnings may have one name. */
		if (i + 1 < ARRAY_SIZE(types) && !strcmp(types[i].name, types[i + 1].name))
			continue;
		emit(e, OPEN_FD, fds, labels);
		fds = 0;
	}
}

static void emit_process(const struct emit *e, const struct table *tb)
{
	char pid[12];
	const struct label labels[] = { { "pid", pid }, { "comm", tb->comm }, {} };

	snprintf(pid, sizeof(pid), "%d", (int)tb->pid);
	emit(e, OPEN_FD, tb->fds, labels);
	if (tb->links)
		emit(e, OPEN_SOCKET, tb->types[TYPE_SOCKET], labels);
	if (tb->links && all_counters)
		emit(e, DELETED, tb->deleted, labels);
	if (tb->limit) {
		emit(e, LIMIT, tb->limit, labels);
		emit(e, LIMIT_SHARE, limit_share(tb), labels);
	}
}

static int fds_order(const void *va, const void *vb)
{
	const struct table *a = va, *b = vb;

	if (a->fds != b->fds)
		return a->fds < b->fds ? 1 : -1;
	return a->pid - b->pid;
}

static void emit_processes(const struct emit *e, struct tables *ts)
{
	size_t n = top && top < ts->n ? top : ts->n;

	if (top && ts->n)
		qsort(ts->v, ts->n, sizeof(*ts->v), fds_order);
	for (size_t i = 0; i < n; i++)
		emit_process(e, &ts->v[i]);
}

static int emit_all(const struct emit *e, struct tables *ts)
{
	int err;

	if (group_by == BY_PID) {
		emit_processes(e, ts);
		return 0;
	}
	err = tables_mark_shared(ts, e->out);
	if (err)
		return err;
	emit_total(e, ts);
	if (group_by == BY_TYPE)
		emit_types(e, ts);
	return 0;
}

static int check(const struct options *opt)
{
	(void)opt;
	if (top && group_by != BY_PID) {
		msg_error("--top needs --by pid");
		return -EINVAL;
	}
	return 0;
}

static int collect(const struct target *t, struct out *o)
{
	const uint64_t dac = CAP_TO_MASK(CAP_DAC_READ_SEARCH), ptrace = CAP_TO_MASK(CAP_SYS_PTRACE);
	struct emit e = { .target = t, .out = o };
	struct tables ts = { 0 };
	int err = tables_read(t, &ts);

	if (!err && !ts.n && t->npids)
		err = ts.unread ? -EACCES : -ESRCH;
	if (!err)
		err = emit_all(&e, &ts);
	if (!err && ts.unread)
		out_denied(o, "processes", ts.unread, dac | ptrace);
	if (!err && ts.unlinked)
		out_denied(o, "processes' sockets", ts.unlinked, ptrace);
	if (err == -ENOMEM)
		msg_error("descriptors of %s/%s: out of memory", t->namespace, t->pod);
	free(ts.v);
	return err;
}

/* "1504\t0\t9223372036854775807": allocated, always 0, limit. */
static int collect_host(const struct target *host, struct out *o)
{
	auto_free char *text = NULL;
	uint64_t open, unused, max;
	int err;

	if (!all_counters)
		return -ESRCH; /* nothing read, nothing refused */
	err = proc_read(host->roots, "sys/fs/file-nr", &text);
	if (err)
		return err;
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &open, &unused, &max) != 3) {
		msg_error("%s/sys/fs/file-nr: not of the form this kernel file has", host->roots->procfs);
		return -EBADMSG;
	}
	out_metric(o, host, &metrics[FILES_OPEN], open, NULL);
	out_metric(o, host, &metrics[FILES_MAX], max, NULL);
	return 0;
}

static const struct probe fd = {
	.name = "fd",
	.summary = "Statistics of file and socket descriptor",
	.question = "How many descriptors and sockets are open, in which pods and processes, and how near is a limit?",
	.source = "procfs",
	.overhead = "Medium",
	.needs = "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE for processes of other users",
	.caps = CAP_TO_MASK(CAP_DAC_READ_SEARCH) | CAP_TO_MASK(CAP_SYS_PTRACE),
	.metrics = metrics,
	.knobs = knobs,
	.check = check,
	.collect = collect,
	.collect_host = collect_host,
};
PROBE_MAIN(fd)
