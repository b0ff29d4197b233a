// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fd - open descriptors of the processes of a network namespace, and how many of them are sockets.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/fdtable.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

/* clang-format off */
enum by { BY_POD, BY_PID, BY_TYPE };
static const char *const by_words[] = { "pod", "pid", "type", NULL };

static bool all_counters;
static unsigned int group_by = BY_POD;
static uint64_t top; /* 0: all */

enum row { OPEN_FD, OPEN_SOCKET, DELETED, LIMIT, LIMIT_SHARE, FILES_OPEN, FILES_MAX };

static const struct metric metrics[] = {
	[OPEN_FD] = { "openfd", NULL, GAUGE, "descriptors", "opened fd in pod",
		      .advice = { .means = "descriptors of all processes of the namespace; a "
					   "table that processes share counts once",
				  .normal = "follows load and falls again",
				  .causes = "a leak; sockets in CLOSE_WAIT; watchers",
				  .confirm = "skoop-fd --by pid --top 5 -a; skoop-fd --by type",
				  .remedy = "close in the program; then LimitNOFILE. At the "
					    "limit accept() fails with EMFILE and the accept "
					    "queue overflows" } },
	[OPEN_SOCKET] = { "opensocket", NULL, GAUGE, "sockets", "opened socket in pod",
			  .advice = { .means = "of these, descriptors of sockets, UNIX and "
					       "netlink too",
				      .normal = "follows load and falls again",
				      .causes = "a leak; a connection pool without limit",
				      .confirm = "skoop-fd --by pid --top 5; skoop-tcpsummary "
						 "--states",
				      .remedy = "close in the program; limit the pool" } },
	[DELETED] = { "deletedfiles", NULL, GAUGE, "descriptors",
		      "Open descriptors of deleted files", SCOPE_NETNS, M_ALL,
		      .advice = { .means = "descriptors whose file has no name any more; its "
					   "disk space is free only when all are closed",
				  .normal = "a few",
				  .causes = "logs that were removed instead of rotated; updated "
					    "libraries and binaries",
				  .confirm = "ls -l /proc/PID/fd | grep deleted",
				  .remedy = "make the program reopen its files" } },
	[LIMIT] = { "fdlimit", NULL, GAUGE, "descriptors", "A process's limit of open descriptors",
		    SCOPE_NETNS, M_ALL,
		    .advice = { .means = "soft RLIMIT_NOFILE of the process; only with --by pid",
				.confirm = "grep files /proc/PID/limits",
				.remedy = "LimitNOFILE, ulimit -n; while it runs: prlimit -p PID "
					  "-n" } },
	[LIMIT_SHARE] = { "limitshare", NULL, GAUGE, "percent", "Share of the limit in use",
			  SCOPE_NETNS, M_ALL,
			  .advice = { .means = "open descriptors in percent of the soft "
					       "RLIMIT_NOFILE; for a namespace, of the process "
					       "that is nearest to its limit",
				      .normal = "below 80",
				      .causes = "a leak; sockets in CLOSE_WAIT; a limit too low "
						"for the load",
				      .confirm = "skoop-fd --by pid --top 5 -a",
				      .remedy = "close in the program; then LimitNOFILE" } },
	[FILES_OPEN] = { "filesopen", NULL, GAUGE, "files", "Open files of the machine", SCOPE_HOST,
			 M_ALL,
			 .advice = { .means = "file handles the kernel has allocated; "
					      "descriptors made by dup() or fork() share one",
				     .confirm = "sysctl fs.file-nr" } },
	[FILES_MAX] = { "filesmax", NULL, GAUGE, "files", "The machine's limit of open files",
			SCOPE_HOST, M_ALL,
			.advice = { .means = "fs.file-max; at this many open() fails with ENFILE",
				    .remedy = "sysctl fs.file-max" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Also deleted files, the process limit, the machine's files",
	  KNOB_FLAG, &all_counters },
	{ 0, "by", "WHAT", "Descriptors by pod (default), pid or type", KNOB_WORD, &group_by,
	  .words = by_words },
	{ 0, "top", "N", "Of --by pid only the N processes with most of each namespace",
	  KNOB_NUMBER, &top, 1, UINT32_MAX },
	{}
};

struct process {
	struct fd_table table;
	uint64_t limit; /* 0: not known */
	char comm[32];
};

struct processes {
	struct process *v;
	size_t n, size;
	pid_t own;                 /* this one as procfs numbers it, -1 where it does not have it */
	uint64_t unread, unlinked; /* processes of which nothing, or not the links, could be read */
};

/* clang-format on */

/*
 * "Max open files 1024 524288 files": the soft one. 0: not known.
 */
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

static int process_read(const struct target *t, struct process *p, bool own)
{
	auto_close int pidfd = proc_pid_open(t->roots, p->table.pid);
	auto_free char *limits = NULL, *comm = NULL;
	int err = pidfd;

	if (pidfd >= 0)
		err = fd_table_read(&p->table, pidfd, own, all_counters || group_by == BY_TYPE);
	if (err)
		return err;
	if (all_counters && !proc_pid_read(pidfd, "limits", &limits))
		p->limit = limit_parse(limits);
	if (group_by == BY_PID && !proc_pid_read(pidfd, "comm", &comm))
		snprintf(p->comm, sizeof(p->comm), "%.*s", (int)strcspn(comm, "\n"), comm);
	return 0;
}

static int processes_read(const struct target *t, struct processes *ps)
{
	ps->own = proc_own_pid(t->roots);
	for (size_t i = 0; i < t->npids; i++) {
		struct process *p;
		int err;

		if (array_grow(&ps->v, &ps->size, ps->n + 1))
			return -ENOMEM;
		p = &ps->v[ps->n];
		*p = (struct process){ .table = { .pid = t->pids[i] } };
		err = process_read(t, p, t->pids[i] == ps->own);
		if (!err) {
			ps->unlinked += !p->table.links;
			ps->n++;
		} else if (err == -EACCES || err == -EPERM) {
			ps->unread++;
		} else if (err != -ENOENT && err != -ESRCH) {
			msg_error("%s/%d/fd: %s", t->roots->procfs, (int)t->pids[i], strerror(-err));
			return err;
		}
	}
	return 0;
}

/* Where it cannot be told, that is said, and every process counts for itself. */
static int mark_shared(struct processes *ps, struct out *o)
{
	auto_free struct fd_table **tables = calloc(ps->n + 1, sizeof(*tables));
	int err = -EXDEV;

	if (!tables)
		return -ENOMEM;
	for (size_t i = 0; i < ps->n; i++)
		tables[i] = &ps->v[i].table;
	if (ps->own == getpid())
		err = fd_tables_mark(tables, ps->n);
	if (!err)
		return 0;
	for (size_t i = 0; i < ps->n; i++)
		ps->v[i].table.again = false;
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

static uint64_t limit_share(const struct process *p)
{
	return p->limit ? p->table.fds * 100 / p->limit : 0;
}

static void emit_total(const struct emit *e, const struct processes *ps)
{
	uint64_t fds = 0, sockets = 0, deleted = 0, share = 0;
	bool links = ps->unlinked < ps->n || !ps->n;

	for (const struct process *p = ps->v; p < ps->v + ps->n; p++) {
		share = limit_share(p) > share ? limit_share(p) : share;
		if (p->table.again)
			continue;
		fds += p->table.fds;
		sockets += p->table.types[FD_SOCKET];
		deleted += p->table.deleted;
	}
	if (group_by == BY_POD)
		emit(e, OPEN_FD, fds, NULL);
	if (group_by == BY_POD && links)
		emit(e, OPEN_SOCKET, sockets, NULL);
	if (links && all_counters)
		emit(e, DELETED, deleted, NULL);
	if (all_counters)
		emit(e, LIMIT_SHARE, share, NULL);
}

/* In place of the total: they add up to it. */
static void emit_types(const struct emit *e, const struct processes *ps)
{
	uint64_t fds = 0;

	for (unsigned int type = 0; type < FD_TYPES; type++) {
		const char *name = fd_type_name(type);
		const struct label labels[] = { { "type", name }, {} };

		for (const struct process *p = ps->v; p < ps->v + ps->n; p++)
			fds += p->table.again ? 0 : p->table.types[type];
		if (type + 1 < FD_TYPES && !strcmp(name, fd_type_name(type + 1)))
			continue;
		emit(e, OPEN_FD, fds, labels);
		fds = 0;
	}
}

static void emit_process(const struct emit *e, const struct process *p)
{
	char pid[12];
	const struct label labels[] = { { "pid", pid }, { "comm", p->comm }, {} };

	snprintf(pid, sizeof(pid), "%d", (int)p->table.pid);
	emit(e, OPEN_FD, p->table.fds, labels);
	if (p->table.links)
		emit(e, OPEN_SOCKET, p->table.types[FD_SOCKET], labels);
	if (p->table.links && all_counters)
		emit(e, DELETED, p->table.deleted, labels);
	if (p->limit) {
		emit(e, LIMIT, p->limit, labels);
		emit(e, LIMIT_SHARE, limit_share(p), labels);
	}
}

static int fds_order(const void *va, const void *vb)
{
	const struct fd_table *a = &((const struct process *)va)->table,
			      *b = &((const struct process *)vb)->table;

	if (a->fds != b->fds)
		return a->fds < b->fds ? 1 : -1;
	return a->pid - b->pid;
}

static void emit_processes(const struct emit *e, struct processes *ps)
{
	size_t n = top && top < ps->n ? top : ps->n;

	if (top && ps->n)
		qsort(ps->v, ps->n, sizeof(*ps->v), fds_order);
	for (size_t i = 0; i < n; i++)
		emit_process(e, &ps->v[i]);
}

static int emit_all(const struct emit *e, struct processes *ps)
{
	int err;

	if (group_by == BY_PID) {
		emit_processes(e, ps);
		return 0;
	}
	err = mark_shared(ps, e->out);
	if (err)
		return err;
	emit_total(e, ps);
	if (group_by == BY_TYPE)
		emit_types(e, ps);
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
	struct processes ps = { 0 };
	int err = processes_read(t, &ps);

	if (!err && !ps.n && !proc_empty(t))
		err = ps.unread || !t->npids ? -EACCES : -ESRCH;
	if (!err)
		err = emit_all(&e, &ps);
	if (!err && ps.unread)
		out_denied(o, "processes", ps.unread, dac | ptrace);
	if (!err && ps.unlinked)
		out_denied(o, "processes' sockets", ps.unlinked, ptrace);
	if (err == -ENOMEM)
		msg_error("descriptors of %s/%s: out of memory", t->namespace, t->pod);
	free(ps.v);
	return err;
}

/* "1504\t0\t9223372036854775807": allocated, always 0, limit. */
static int collect_host(const struct target *host, struct out *o)
{
	auto_free char *text = NULL;
	char *rest = NULL, *open = NULL, *unused = NULL, *max = NULL;
	uint64_t files, limit;
	int err;

	if (!all_counters)
		return -ESRCH; /* nothing read, nothing refused */
	err = proc_read(host->roots, "sys/fs/file-nr", &text);
	if (err)
		return err;
	open = strtok_r(text, " \t\n", &rest);
	unused = open ? strtok_r(NULL, " \t\n", &rest) : NULL;
	max = unused ? strtok_r(NULL, " \t\n", &rest) : NULL;
	if (!max || parse_u64(open, 0, UINT64_MAX, &files) ||
	    parse_u64(max, 0, UINT64_MAX, &limit)) {
		msg_error("%s/sys/fs/file-nr: not of the form this kernel file has",
			  host->roots->procfs);
		return -EBADMSG;
	}
	out_metric(o, host, &metrics[FILES_OPEN], files, NULL);
	out_metric(o, host, &metrics[FILES_MAX], limit, NULL);
	return 0;
}

static const struct probe fd = {
	.name = "fd",
	.summary = "Statistics of file and socket descriptor",
	.question = "How many descriptors and sockets are open, where, and how near is a limit?",
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
