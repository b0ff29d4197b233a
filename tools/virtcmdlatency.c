// SPDX-License-Identifier: GPL-2.0-or-later
/* virtcmdlatency - how long virtio-net devices take for the commands of their control queue. */
#include "bpf/virtcmdlatency.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "bpf/virtcmdlatency.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool wait_module;

/* ---- names: linux/virtio_net.h, without VIRTIO_NET_CTRL_ ---- */

static const struct {
	const char *name;
	const char *commands[8];
} classes[] = {
	{ "RX", { "PROMISC", "ALLMULTI", "ALLUNI", "NOMULTI", "NOUNI", "NOBCAST" } },
	{ "MAC", { "TABLE_SET", "ADDR_SET" } },
	{ "VLAN", { "ADD", "DEL" } },
	{ "ANNOUNCE", { "ACK" } },
	{ "MQ", { "VQ_PAIRS_SET", "RSS_CONFIG", "HASH_CONFIG" } },
	{ "GUEST_OFFLOADS", { "SET" } },
	{ "NOTF_COAL", { "TX_SET", "RX_SET", "VQ_SET", "VQ_GET" } },
	{ NULL },
	{ "STATS", { "QUERY", "GET" } },
};

static const char *class_name(const struct kernel *k, uint64_t class)
{
	(void)k;
	return class < ARRAY_SIZE(classes) ? classes[class].name : NULL;
}

static const char *command_name(const struct kernel *k, uint64_t command)
{
	uint64_t class = command >> 8;
	const char *name = NULL;

	command &= 0xff;
	if (class < ARRAY_SIZE(classes) && command < ARRAY_SIZE(classes[class].commands))
		name = classes[class].commands[command];
	return name || !k ? name : kernel_text(k, "%u", (unsigned int)command);
}

static const char *result_name(const struct kernel *k, uint64_t ok)
{
	(void)k;
	return ok ? "ok" : "err";
}

/* clang-format off */
static const struct metric metrics[] = {
	[VIRTCMD_LATENCY100MS] = { "latency100ms", NULL, COUNTER, "commands", "Virtio send command latency exceeds 100ms", SCOPE_HOST,
	  .advice = { .means = "virtio-net control commands that took more than 100 ms: a count, despite its name",
		      .normal = "0",
		      .causes = "overloaded hypervisor; device reset",
		      .confirm = "class and command of the event",
		      .remedy = "the host" } },
	[VIRTCMD_LATENCY] = { "latency", NULL, COUNTER, "commands", "Virtio send command slow", SCOPE_HOST,
	  .advice = { .means = "virtio-net control commands that took more than 10 ms: a count, despite its name",
		      .normal = "0",
		      .causes = "overloaded hypervisor; device reset",
		      .confirm = "class and command of the event",
		      .remedy = "the host" } },
	LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	{ "latency", "Commands from being sent to being answered, by device", SCOPE_NETNS, .label = "device" },
	{}
};

static const struct event events[] = {
	{ "VIRTCMDEXCUTE", "Virtio send command slow",
	  { .means = "a virtio-net control command took more than 10 ms",
	    .causes = "busy hypervisor",
	    .confirm = "class and command of the event; the host" } },
	{}
};

static const struct field fields[] = {
	[VIRTCMD_F_CPU] = { .name = "cpu", .type = F_UINT, .offset = offsetof(struct virtcmdlatency_event, header.cpu), .size = 2,
			    .table_only = true, .help = "where its answer was taken" },
	[VIRTCMD_F_PID] = { FIELD(virtcmdlatency_event, pid, F_UINT), .help = "the process that waited for it" },
	[VIRTCMD_F_LATENCY] = { FIELD(virtcmdlatency_event, latency, F_NS), .help = "how long it waited" },
	[VIRTCMD_F_COMM] = { FIELD(virtcmdlatency_event, comm, F_STR), .help = "its thread's name" },
	[VIRTCMD_F_DEVICE] = { FIELD(virtcmdlatency_event, device, F_STR), .help = "the network device" },
	[VIRTCMD_F_CLASS] = { FIELD(virtcmdlatency_event, class, F_ENUM), .names = class_name,
			      .help = "RX, MAC, VLAN, ANNOUNCE, MQ, GUEST_OFFLOADS, NOTF_COAL or STATS" },
	[VIRTCMD_F_COMMAND] = { FIELD(virtcmdlatency_event, command, F_ENUM), .names = command_name,
				.help = "PROMISC, ADDR_SET, ADD…, by class" },
	[VIRTCMD_F_RESULT] = { FIELD(virtcmdlatency_event, result, F_ENUM), .names = result_name,
			       .help = "ok, or err: the device refused it, or is broken" },
	{}
};

static const struct knob knobs[] = {
	{ 0, "wait-module", NULL, "Wait until virtio_net is loaded and has a card with a control queue", KNOB_FLAG, &wait_module },
	{}
};

/* What ends a command is there before, and longer than, what begins it. */
static const struct hook hooks[] = {
	{ "the return of virtnet_send_command", { "reply_fexit", "command_fexit", "reply_kretprobe", "command_kretprobe" } },
	{ "virtnet_send_command", { "reply_fentry", "command_fentry", "reply_kprobe", "command_kprobe" } },
	{}
};
/* clang-format on */

/* ---- what has not ended ---- */

struct look {
	struct bpf_run *run;
	uint64_t now;
};

static int tell_begun(const void *key, const void *value, size_t copies, void *arg)
{
	const struct virtcmd_begun *b = value;
	const struct look *look = arg;
	struct virtcmdlatency_event e = {
		.header = { .known = ~(1ULL << VIRTCMD_F_RESULT | 1ULL << VIRTCMD_F_CPU),
			    .netns = b->netns },
		.latency = look->now - b->since,
		.pid = (uint32_t)(*(const uint64_t *)key >> 32),
		.command = b->command,
		.class = b->class,
	};

	(void)copies;
	if (b->since > look->now)
		return 0;
	memcpy(e.comm, b->comm, sizeof(e.comm));
	memcpy(e.device, b->device, sizeof(e.device));
	return bpf_run_in_flight(look->run, &e, sizeof(e), b->since);
}

static int in_flight(struct bpf_run *r)
{
	struct look look = { .run = r, .now = process_now() };

	return bpf_run_map_each(r, "commands", tell_begun, &look);
}

/* ---- whether there is something to watch ---- */

#define CONTROL_QUEUE 17 /* VIRTIO_NET_F_CTRL_VQ */

/* SYSFS/bus/virtio/drivers/virtio_net/DEVICE/features has a digit for each feature. */
static bool has_control_queue(int drivers, const char *device)
{
	char path[NAME_MAX + sizeof("/features")], features[64] = "";
	auto_close int fd = -1;

	snprintf(path, sizeof(path), "%s/features", device);
	fd = openat(drivers, path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, features, sizeof(features)) > CONTROL_QUEUE &&
	       features[CONTROL_QUEUE] == '1';
}

#define NO_CARD "no virtio network card with a control queue"

/* What is missing; NULL: nothing. */
static const char *missing(const struct roots *roots)
{
	const char *what = NO_CARD;
	char path[PATH_MAX];
	DIR *drivers;

	snprintf(path, sizeof(path), "%s/bus/virtio/drivers/virtio_net", roots->sysfs);
	drivers = opendir(path);
	if (!drivers)
		return NO_CARD " (virtio_net is not loaded)";
	for (struct dirent *entry; (entry = readdir(drivers));)
		if (has_control_queue(dirfd(drivers), entry->d_name))
			what = NULL;
	closedir(drivers);
	return what;
}

static int run(const struct probe *p, const struct options *opt, struct target_finder *f,
	       struct out *o)
{
	uint64_t end = opt->duration ? process_now() + opt->duration : UINT64_MAX;
	const char *what = missing(finder_roots(f));

	if (what && wait_module)
		msg_verbose("waiting: %s", what);
	while (what && wait_module && process_now() < end) {
		if (process_wait(process_now() + NSEC_PER_SEC / 5, out_fd(o)))
			return EXIT_OK;
		what = missing(finder_roots(f));
	}
	if (!what)
		return bpf_probe_run(p, opt, f, o);
	msg_error("%s%s", what, wait_module ? "" : "; --wait-module waits for one");
	return EXIT_UNSUPPORTED;
}

static const struct tracing tracing = {
	.object = virtcmdlatency_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "commands of other virtio devices than network cards",
	.in_flight = in_flight,
};

static const struct probe virtcmdlatency = {
	.name = "virtcmdlatency",
	.summary = "Trace latency in virtio device",
	.question = "How long does the hypervisor take for what a virtio network card is told to do?",
	.source = "eBPF",
	.overhead = "High",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.absent = NO_CARD,
	.metrics = metrics,
	.hists = hists,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.threshold = NSEC_PER_SEC / 100,
	.tracing = &tracing,
	.run = run,
};
PROBE_MAIN(virtcmdlatency)
