// SPDX-License-Identifier: GPL-2.0-or-later
/* biolatency - how long block requests take, in the queue and in the device. Timed and counted in the kernel half. */
#include "bpf/biolatency.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "bpf/biolatency.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/format.h"
#include "libcommon/kernel.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

#define OP_MASK 0xffU

static struct {
	const char *disk, *op;
	bool bio;
} opts;

/* ---- names ---- */

/* Renamed in 6.1. */
static const char *op_name(const struct kernel *k, uint64_t op)
{
	const char *name = kernel_enum_name(k, "req_op", "REQ_OP_", op);

	return name ? name : kernel_enum_name(k, "req_opf", "REQ_OP_", op);
}

/* SYNC|META: each bit's own name, by its place. */
static const char *flags_name(const struct kernel *k, uint64_t flags)
{
	struct buf b = { 0 };
	const char *text;

	for (unsigned int bit = 0; bit < 32; bit++) {
		const char *name;

		if (!(flags >> bit & 1))
			continue;
		buf_str(&b, b.len ? "|" : "");
		name = kernel_enum_name(k, "req_flag_bits", "__REQ_", bit);
		if (name)
			buf_str(&b, name);
		else
			buf_printf(&b, "%u", bit);
	}
	text = k && b.len && !b.failed ? kernel_text(k, "%s", b.data) : NULL;
	buf_free(&b);
	return text;
}

/* clang-format off */
static const struct metric metrics[] = {
	[BIO_SLOW10MS] = { "slow10ms", NULL, COUNTER, "requests", "Block IO latency exceeds 10ms, by device", SCOPE_NETNS, M_EXTRA,
	  .advice = { .means = "block requests that took more than 10 ms from their beginning to their end",
		      .normal = "0 on flash; many on rotating and network disks",
		      .causes = "the disk; more requests than it can take; a limit on operations; flushes",
		      .confirm = "skoop biolatency -D: compare the time in the queue with the device's",
		      .remedy = "queue: fewer or larger requests; device: a faster or less limited volume" },
	  .label = "device" },
	[BIO_SLOW100MS] = { "slow100ms", NULL, COUNTER, "requests", "Block IO latency exceeds 100ms, by device", SCOPE_NETNS, M_EXTRA,
	  .advice = { .means = "block requests that took more than 100 ms from their beginning to their end",
		      .normal = "0",
		      .causes = "saturated or throttled volume (a limit on operations gives regular steps); failing disk; flush storm",
		      .confirm = "status of the events; iostat -x; the provider's limit for the volume",
		      .remedy = "a faster or less limited volume; replace the disk" },
	  .label = "device" },
	LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	[BIO_LATENCY] = { "latency", "Block requests from beginning to end, by disk", SCOPE_HOST, .label = "disk" },
	[BIO_QUEUE] = { "queue", "Of it in the queue, until they were last handed to the device", SCOPE_HOST, .label = "disk" },
	[BIO_DEVICE] = { "device", "Of it in the device", SCOPE_HOST, .label = "disk" },
	{}
};

static const struct event events[] = {
	[BIOLAT_10MS] = { "BIOLAT_10MS", "Block IO latency exceeds 10ms",
	  { .means = "one block request took 10 to 100 ms",
	    .causes = "rotating or network disk; queueing",
	    .confirm = "skoop biolatency -D: compare the time in the queue with the device's" } },
	[BIOLAT_100MS] = { "BIOLAT_100MS", "Block IO latency exceeds 100ms",
	  { .means = "one block request took more than 100 ms",
	    .causes = "saturated or throttled volume (a limit on operations gives regular steps); failing disk; flush storm",
	    .confirm = "the event's status; iostat -x; the provider's limit for the volume" } },
	{}
};

static const struct field fields[] = {
	[BIO_F_COMM] = { FIELD(biolatency_event, comm, F_STR), .help = "the thread it was submitted by" },
	[BIO_F_PID] = { FIELD(biolatency_event, pid, F_UINT), .help = "its process" },
	[BIO_F_LATENCY] = { FIELD(biolatency_event, latency, F_NS), .help = "from beginning to end" },
	[BIO_F_DEVICE] = { FIELD(biolatency_event, device, F_STR), .help = "the disk" },
	[BIO_F_OP] = { FIELD(biolatency_event, op, F_ENUM), .names = op_name, .help = "READ, WRITE, FLUSH, DISCARD…" },
	[BIO_F_FLAGS] = { .detail = true, FIELD(biolatency_event, flags, F_ENUM), .names = flags_name,
			  .help = "SYNC, META, FUA, RAHEAD…, in the kernel's words" },
	[BIO_F_SECTOR] = { .detail = true, FIELD(biolatency_event, sector, F_UINT), .help = "where on the disk, in 512 bytes" },
	[BIO_F_BYTES] = { FIELD(biolatency_event, bytes, F_UINT), .help = "how much, with what was merged into it" },
	[BIO_F_QUEUE] = { FIELD(biolatency_event, queue, F_NS), .help = "until it was last handed to the device" },
	[BIO_F_DEVICE_TIME] = { FIELD(biolatency_event, device_time, F_NS), .help = "from then on" },
	[BIO_F_STATUS] = { FIELD(biolatency_event, status, F_INT), .help = "0, or the error as a negative error number" },
	[BIO_F_CGROUP] = { .detail = true, FIELD(biolatency_event, cgroup, F_UINT), .help = "number of the cgroup it is accounted to" },
	{}
};

static const struct knob knobs[] = {
	{ 0, "disk", "NAME", "Only this disk, counts too", KNOB_STRING, &opts.disk },
	{ 0, "op", "NAME", "Only this operation (read, write, flush, discard…), counts too", KNOB_STRING, &opts.op },
	{ 0, "bio", NULL, "Disks that make no requests, too: device mapper, md, zram", KNOB_FLAG, &opts.bio },
	{}
};

static bool starts_unseen(struct kernel *k)
{
	return kernel_tracepoint_args(k, "block_io_start") < 0;
}

static bool starts_seen(struct kernel *k)
{
	return !starts_unseen(k);
}

static bool wants_bios(struct kernel *k)
{
	(void)k;
	return opts.bio;
}

/* What ends requests is there before, and longer than, what begins them. */
static const struct hook hooks[] = {
	{ "block_rq_complete", { "block_rq_complete" } },
	{ "block_rq_merge", { "block_rq_merge" }, .optional = true },
	{ "block_rq_requeue", { "block_rq_requeue" }, .optional = true },
	{ "block_bio_complete", { "block_bio_complete" }, .wanted = wants_bios },
	{ "block_rq_issue", { "block_rq_issue" } },
	{ "block_rq_insert", { "block_rq_insert" }, .wanted = starts_unseen },
	{ "block_io_start", { "block_io_start" }, .wanted = starts_seen },
	{ "block_bio_queue", { "block_bio_queue" }, .wanted = wants_bios },
	{}
};
/* clang-format on */

/* ---- options ---- */

/* A partition is no disk to the block layer: its requests are the whole disk's. */
static int check_disk(const struct roots *roots, const char *disk)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/class/block/%s/partition", roots->sysfs, disk);
	if (!access(path, F_OK)) {
		msg_error("--disk: %s is a partition; requests belong to its whole disk", disk);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "%s/class/block/%s", roots->sysfs, disk);
	if (access(path, F_OK))
		msg_warn("--disk: there is no disk %s now", disk);
	return 0;
}

static int set_disk(struct bpf_run *r, const char *disk)
{
	const struct targets *ts = bpf_run_targets(r);
	char name[BIO_DISK] = { 0 };
	const bool yes = true;
	int err;

	if (!strncmp(disk, "/dev/", 5))
		disk += 5;
	if (!*disk || strlen(disk) >= sizeof(name)) {
		msg_error("--disk takes a disk's name, not '%s'", opts.disk);
		return -EINVAL;
	}
	memcpy(name, disk, strlen(disk));
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '!';
	err = ts->n ? check_disk(ts->v[0].roots, name) : 0;
	if (!err)
		err = bpf_run_set(r, "filter_disk", name, sizeof(name));
	return err ? err : bpf_run_set(r, "only_disk", &yes, sizeof(yes));
}

static int set_op(struct bpf_run *r, const char *op)
{
	const struct kernel *k = bpf_run_kernel(r);
	const bool yes = true;
	struct buf name = { 0 };
	uint64_t value;
	uint32_t number;
	bool known;
	int err;

	buf_printf(&name, "REQ_OP_%s", op);
	if (!name.failed)
		buf_upper(&name, 0);
	known = !name.failed && (kernel_enum_value(k, "req_op", name.data, &value) ||
				 kernel_enum_value(k, "req_opf", name.data, &value));
	buf_free(&name);
	if (!known) {
		msg_error(
			"--op takes an operation of this kernel such as read, write, flush or discard, not '%s'",
			op);
		return -EINVAL;
	}
	number = (uint32_t)value;
	err = bpf_run_set(r, "filter_op", &number, sizeof(number));
	return err ? err : bpf_run_set(r, "only_op", &yes, sizeof(yes));
}

static int setup(struct bpf_run *r)
{
	int err = opts.disk ? set_disk(r, opts.disk) : 0;

	return !err && opts.op ? set_op(r, opts.op) : err;
}

/* ---- which pod a cgroup's writes belong to ---- */

static struct {
	const struct targets *owners_of; /* the targets whose cgroups the kernel half knows */
	uint64_t evicted;                /* told so far */
} state;

/*
 * The number of a process's cgroup in the hierarchy that accounts for block I/O, by the text of /proc/PID/cgroup; 0:
 * it cannot be told. A line of its own (v1: "4:blkio:/pod") goes before that of all (v2: "0::/pod").
 */
static uint64_t cgroup_number(const struct roots *roots, char *text)
{
	const char *path = NULL, *below = "";
	char full[PATH_MAX];
	struct stat st;

	for (char *line; (line = strsep(&text, "\n"));) {
		char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;

		if (!at)
			continue;
		*at++ = '\0';
		if (!strcmp(list, ":blkio")) {
			path = at;
			below = "/blkio";
		} else if (!strcmp(list, ":") && !path) {
			path = at;
		}
	}
	if (!path)
		return 0;
	snprintf(full, sizeof(full), "%s/fs/cgroup%s%s", roots->sysfs, below, path);
	return stat(full, &st) ? 0 : st.st_ino;
}

static void add_owner(int owners, const struct target *t, pid_t pid)
{
	auto_close int fd = proc_pid_open(t->roots, pid);
	uint32_t netns = (uint32_t)t->netns;
	auto_free char *text = NULL;
	uint64_t number;

	if (fd < 0 || proc_pid_read(fd, "cgroup", &text))
		return;
	number = cgroup_number(t->roots, text);
	if (number)
		bpf_map_update_elem(owners, &number, &netns, BPF_ANY);
}

/* What is written back later is submitted by a kernel thread: its cgroup says for whom. */
static int refresh(struct bpf_run *r)
{
	const struct targets *ts = bpf_run_targets(r);
	int owners = bpf_run_map(r, "owners");

	if (ts == state.owners_of)
		return 0;
	for (size_t i = 0; i < ts->n; i++) {
		const struct target *t = &ts->v[i];

		for (size_t j = 0; t->netns && (t->uid || t->container) && j < t->npids; j++)
			add_owner(owners, t, t->pids[j]);
	}
	state.owners_of = ts;
	return 0;
}

/* ---- what has not ended ---- */

struct look {
	struct bpf_run *run;
	uint64_t now, seen;
};

static int tell_begun(const void *key, const void *value, size_t copies, void *arg)
{
	struct look *look = arg;
	const struct bio_begun *b = value;
	struct biolatency_event e = {
		.header = { .known = 1ULL << BIO_F_COMM | 1ULL << BIO_F_PID |
				     1ULL << BIO_F_LATENCY | 1ULL << BIO_F_DEVICE |
				     1ULL << BIO_F_OP | 1ULL << BIO_F_SECTOR | 1ULL << BIO_F_BYTES,
			    .netns = b->netns },
		.latency = look->now - b->since,
		.sector = b->sector,
		.cgroup = b->cgroup,
		.pid = b->pid,
		.bytes = b->bytes,
		.flags = b->flags & ~OP_MASK,
		.op = b->flags & OP_MASK,
	};

	(void)key, (void)copies;
	look->seen++;
	if (b->since > look->now)
		return 0;
	memcpy(e.comm, b->comm, sizeof(e.comm));
	memcpy(e.device, b->disk, sizeof(e.device));
	e.header.known |= (e.flags ? 1ULL << BIO_F_FLAGS : 0) |
			  (e.cgroup ? 1ULL << BIO_F_CGROUP : 0);
	if (!b->is_bio) {
		e.queue = (b->issued ? b->issued : look->now) - b->since;
		e.header.known |= 1ULL << BIO_F_QUEUE;
	}
	if (b->issued && b->issued <= look->now) {
		e.device_time = look->now - b->issued;
		e.header.known |= 1ULL << BIO_F_DEVICE_TIME;
	}
	return bpf_run_in_flight(look->run, &e, sizeof(e), b->since);
}

/*
 * What was put in, and is neither taken out nor to be seen, had to make room. Asked in this order it is never too much:
 * what came meanwhile is not among those put in, what went is among those taken.
 */
static int in_flight(struct bpf_run *r)
{
	struct look look = { .run = r, .now = process_now() };
	uint64_t put = bpf_run_tally(r, "tally", TALLY_MADE), there;
	int err = bpf_run_map_each(r, "begun", tell_begun, &look);

	if (err)
		return err;
	there = look.seen + bpf_run_tally(r, "tally", TALLY_ENDED);
	if (put > there && put - there > state.evicted) {
		bpf_run_lost(r, "map", put - there - state.evicted);
		state.evicted = put - there;
	}
	return 0;
}

static const struct tracing tracing = {
	.object = biolatency_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "what a disk without requests (device mapper, md, zram) adds to the disks below it: see --bio",
	.setup = setup,
	.refresh = refresh,
	.in_flight = in_flight,
};

static const struct probe biolatency = {
	.name = "biolatency",
	.summary = "Trace delay during block IO",
	.question =
		"Which block I/O is slow, on which disk, for whom, and is it the queue or the device?",
	.source = "eBPF",
	.overhead = "Medium",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.hists = hists,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.threshold = NSEC_PER_SEC / 100,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(biolatency)
