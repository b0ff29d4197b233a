// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io - read and write calls of the processes of a network namespace, and the bytes they moved from
 * and to storage.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/procio.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters;
static struct procio_ledger ledger, *repeated; /* NULL: one round, which needs none */

/* clang-format off */
enum row { READ_CALLS, WRITE_CALLS, READ_BYTES, WRITE_BYTES, RCHAR, WCHAR, CANCELLED, SOME, FULL };

static const struct metric metrics[] = {
	[READ_CALLS] = { "ioreadsyscall", "syscr", COUNTER, "calls", "io read syscalls count in pod",
			 .advice = { .means = "read-family calls on any descriptor, sockets too; "
					      "recv calls are not in it",
				     .causes = "tiny reads",
				     .confirm = "skoop-io -a: rchar divided by ioreadsyscall",
				     .remedy = "buffer" } },
	[WRITE_CALLS] = { "iowritesyscall", "syscw", COUNTER, "calls",
			  "io write syscalls count in pod",
			  .advice = { .means = "write-family calls on any descriptor, sockets "
					       "too; send calls are not in it",
				      .causes = "tiny writes",
				      .confirm = "skoop-io -a: wchar divided by iowritesyscall",
				      .remedy = "buffer" } },
	[READ_BYTES] = { "ioreadbytes", "read_bytes", COUNTER, "bytes", "io read bytes in pod",
			 .advice = { .means = "bytes fetched from storage; page-cache hits are "
					      "not in it",
				     .normal = "low when warm",
				     .causes = "cache too small, cold start",
				     .confirm = "skoop-io -a: rchar against it",
				     .remedy = "memory" } },
	[WRITE_BYTES] = { "iowritebytes", "write_bytes", COUNTER, "bytes", "io write bytes in pod",
			  .advice = { .means = "bytes made to go to storage; booked when the "
					       "writer dirties a page, or submits with O_DIRECT, "
					       "not when the device has them",
				      .causes = "logs",
				      .confirm = "skoop-io -a; skoop-biolatency" } },
	[RCHAR] = { "rchar", "rchar", COUNTER, "bytes", "Bytes that read calls returned",
		    SCOPE_NETNS, M_ALL,
		    .advice = { .means = "bytes read by read-family calls, from the page cache, "
					 "pipes and sockets, too" } },
	[WCHAR] = { "wchar", "wchar", COUNTER, "bytes", "Bytes that write calls took", SCOPE_NETNS,
		    M_ALL,
		    .advice = { .means = "bytes written by write-family calls, to pipes and "
					 "sockets, too" } },
	[CANCELLED] = { "cancelledwritebytes", "cancelled_write_bytes", COUNTER, "bytes",
			"Bytes that never went to storage", SCOPE_NETNS, M_ALL,
			.advice = { .means = "dirty bytes thrown away because their file was "
					     "deleted or cut; booked with who did that, so it "
					     "can exceed iowritebytes",
				    .normal = "some, with temporary files" } },
	[SOME] = { "pressuresome", "some", COUNTER, "us",
		   "Time in which some task waited for storage", SCOPE_HOST, M_ALL,
		   .advice = { .means = "microseconds in which at least one task of the machine "
					"waited for storage",
			       .normal = "below 20 % of the time",
			       .causes = "saturated or throttled disk; too little memory, so "
					 "that pages are read again and again",
			       .confirm = "cat /proc/pressure/io; skoop-biolatency -D" } },
	[FULL] = { "pressurefull", "full", COUNTER, "us",
		   "Time in which all tasks waited for storage", SCOPE_HOST, M_ALL,
		   .advice = { .means = "microseconds in which tasks of the machine waited for "
					"storage and none of them ran",
			       .normal = "near 0",
			       .causes = "saturated or throttled disk",
			       .confirm = "cat /proc/pressure/io; skoop-biolatency -D" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL,
	  "Also rchar, wchar, cancelled writes and the machine's I/O pressure", KNOB_FLAG,
	  &all_counters },
	{}
};

/* Where each row stands in PID/io. */
static const enum procio_field fields[] = {
	[READ_CALLS] = PROCIO_SYSCR,      [WRITE_CALLS] = PROCIO_SYSCW,
	[READ_BYTES] = PROCIO_READ_BYTES, [WRITE_BYTES] = PROCIO_WRITE_BYTES,
	[RCHAR] = PROCIO_RCHAR,           [WCHAR] = PROCIO_WCHAR,
	[CANCELLED] = PROCIO_CANCELLED,
};

/* What came of a target's processes. */
struct tally {
	struct procio sum;
	size_t read, unread, absent;
};

/* clang-format on */

static int process_add(const struct target *t, pid_t pid, struct tally *tally)
{
	struct procio growth;
	int err = procio_read(repeated, t->roots, pid, &growth);

	switch (err) {
	case 0:
		procio_add(&tally->sum, &growth);
		tally->read++;
		return 0;
	case -EACCES:
	case -EPERM: tally->unread++; return 0;
	case -ENOENT: tally->absent++; return 0;
	case -ESRCH: return 0;
	}
	return err;
}

/* The probe itself is left out: what it reads says nothing about the machine. */
static int processes_add(const struct target *t, struct tally *tally)
{
	pid_t own = proc_own_pid(t->roots);
	bool alone = proc_empty(t);
	int err = 0;

	for (size_t i = 0; i < t->npids && !err; i++) {
		alone |= t->pids[i] == own;
		if (t->pids[i] != own)
			err = process_add(t, t->pids[i], tally);
	}
	if (!err && repeated)
		err = procio_total(repeated, t, &tally->sum);
	if (err || tally->read)
		return err;
	if (tally->unread || (!alone && !t->npids))
		return -EACCES;
	return tally->absent ? -ENOENT : alone ? 0 : -ESRCH;
}

static int check(const struct options *opt)
{
	if (opt->interval || opt->duration)
		repeated = &ledger;
	return 0;
}

static int collect(const struct target *t, struct out *o)
{
	struct tally tally = { 0 };
	int err = processes_add(t, &tally);

	if (err == -ENOMEM)
		msg_error("processes of %s/%s: out of memory", t->namespace, t->pod);
	if (err)
		return err;
	for (size_t row = 0; row < ARRAY_SIZE(fields); row++)
		if (all_counters || !(metrics[row].flags & M_ALL))
			out_metric(o, t, &metrics[row], tally.sum.v[fields[row]], NULL);
	if (tally.unread)
		out_denied(o, "processes", tally.unread,
			   CAP_TO_MASK(CAP_SYS_PTRACE) | CAP_TO_MASK(CAP_DAC_READ_SEARCH));
	return 0;
}

/*
 * "some avg10=0.00 avg60=0.00 avg300=0.09 total=4833072" and the same for "full", in us. 0 or
 * -EBADMSG.
 */
static int pressure_parse(char *text, uint64_t *some, uint64_t *full)
{
	unsigned int found = 0;
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		bool is_full = !strncmp(line, "full ", 5);
		const char *value = strstr(line, " total=");

		if (!is_full && strncmp(line, "some ", 5))
			continue;
		if (!value ||
		    parse_u64(value + strlen(" total="), 0, UINT64_MAX, is_full ? full : some))
			return -EBADMSG;
		found |= 1U << is_full;
	}
	return found == 3 ? 0 : -EBADMSG;
}

static int collect_host(const struct target *host, struct out *o)
{
	auto_free char *text = NULL;
	uint64_t some, full;
	int err;

	if (repeated)
		procio_sweep(repeated, host->roots);
	if (!all_counters)
		return -ESRCH; /* nothing read, nothing refused */
	err = proc_read(host->roots, "pressure/io", &text);
	if (err)
		return err == -EOPNOTSUPP ? -ENOENT : err; /* built in, but turned off */
	err = pressure_parse(text, &some, &full);
	if (err) {
		msg_error("%s/pressure/io: not of the form this kernel file has",
			  host->roots->procfs);
		return err;
	}
	out_metric(o, host, &metrics[SOME], some, NULL);
	out_metric(o, host, &metrics[FULL], full, NULL);
	return 0;
}

static const struct probe io = {
	.name = "io",
	.summary = "Statistics of process IO",
	.question = "How much do processes read and write, and how much of it goes to storage?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for processes of other users",
	.caps = CAP_TO_MASK(CAP_SYS_PTRACE) | CAP_TO_MASK(CAP_DAC_READ_SEARCH),
	.absent = "this kernel has no /proc/PID/io (CONFIG_TASK_IO_ACCOUNTING)",
	.metrics = metrics,
	.knobs = knobs,
	.check = check,
	.collect = collect,
	.collect_host = collect_host,
};
PROBE_MAIN(io)
