// SPDX-License-Identifier: GPL-2.0-or-later
/* softnet - what each CPU took from the devices, and what its backlog had no room for. */
#include <errno.h>
#include <stdio.h>

#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/proctext.h"
#include "libcommon/util.h"

static bool all_counters, per_cpu;

/* clang-format off */
#define MORE(name_, key_, type_, unit_, help_, ...)                                                \
	{ name_, key_, type_, unit_, help_, SCOPE_HOST, M_ALL, { __VA_ARGS__ } }

static const struct metric metrics[] = {
	{ "processed", "processed", COUNTER, "packets", "Processed of softnet", SCOPE_HOST, 0,
	  { .means = "passes of the receive core; a packet over bridge, veth or VLAN counts "
		     "several times",
	    .causes = "uneven CPUs: no RSS or RPS, or one big flow",
	    .confirm = "skoop-softnet --per-cpu; /proc/interrupts",
	    .remedy = "RSS, RPS, IRQ affinity" } },
	{ "dropped", "dropped", COUNTER, "packets", "Dropped of softnet", SCOPE_HOST, 0,
	  { .means = "the backlog of a CPU was full (RPS, veth, loopback, tunnels); what a NIC's "
		     "ring missed is not here",
	    .normal = "0",
	    .causes = "burst; one CPU gets all; netdev_max_backlog (1000) too small; a FIFO "
		      "process starves ksoftirqd",
	    .confirm = "skoop-softnet --per-cpu -a; skoop-packetloss (reason CPU_BACKLOG)",
	    .remedy = "spread with RPS; raise netdev_max_backlog" } },
	MORE("timesqueeze", "time_squeeze", COUNTER, "runs", "receive runs cut short",
	     .means = "a receive run ended by budget or time with work left; nothing is lost",
	     .normal = "below 50 per second and CPU",
	     .causes = "CPU saturated by packets; matters only with drops there"),
	MORE("receivedrps", "received_rps", COUNTER, "wakeups", "work handed over by RPS",
	     .means = "times another CPU handed over packets (RPS)"),
	MORE("flowlimit", "flow_limit_count", COUNTER, "packets", "packets cut by the flow limit",
	     .means = "dropped: one flow took too much of a filling backlog", .normal = "0",
	     .causes = "one flow is too big for its CPU"),
	MORE("backloglen", "backlog_len", GAUGE, "packets", "packets waiting in the backlog",
	     .normal = "0 or short-lived", .causes = "a standing value: CPU overloaded"),
	MORE("inputqlen", "input_qlen", GAUGE, "packets", "of the backlog, not yet taken up"),
	MORE("processqlen", "process_qlen", GAUGE, "packets", "of the backlog, being processed"),
	{}
};

/* The column of each row in a line of net/softnet_stat; the last two came with Linux 6.10. */
static const unsigned char columns[] = { 0, 1, 2, 9, 10, 11, 13, 14 };
enum { COLUMN_CPU = 12, COLUMNS_MIN = 13, COLUMNS_MAX = 32, CPUS_MAX = 8192 };
#define ROWS ARRAY_SIZE(columns)
_Static_assert(ROWS + 1 == ARRAY_SIZE(metrics), "a column for each row");

/*
 * What this run has seen of each CPU. The kernel counts in 32 bits, which a busy CPU fills within
 * the hour: a value below the last one went once around. A CPU that went offline has no line any
 * more, but what it did stays done.
 */
struct cpu {
	uint64_t round;       /* of its last line, 0: none */
	unsigned int columns; /* of that line */
	uint64_t values[ROWS];
};
static struct {
	uint64_t round;
	size_t ncpus; /* the highest number, and one */
	struct cpu cpus[CPUS_MAX];
} seen;

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further column of softnet_stat", KNOB_FLAG,
	  &all_counters },
	{ 0, "per-cpu", NULL, "A row for each CPU, not their sum", KNOB_FLAG, &per_cpu },
	{}
};

/* clang-format on */

static void cpu_update(struct cpu *cpu, const uint64_t *line, unsigned int n)
{
	for (size_t i = 0; i < ROWS && columns[i] < n; i++) {
		uint64_t now = line[columns[i]], last = cpu->values[i];

		if (metrics[i].type == COUNTER) {
			now |= last & ~(uint64_t)UINT32_MAX;
			if (now < last)
				now += (uint64_t)UINT32_MAX + 1;
		}
		cpu->values[i] = now;
	}
	cpu->round = seen.round;
	cpu->columns = n;
}

/* 0, or -EBADMSG for a text that is not of the form. */
static int cpus_update(const char *text)
{
	uint64_t line[COLUMNS_MAX];
	int n;

	if (!*text)
		return -EBADMSG;
	seen.round++;
	while ((n = hex_line(&text, line, COLUMNS_MAX)) > 0) {
		for (int i = 0; i < n; i++)
			if (line[i] > UINT32_MAX)
				return -EBADMSG;
		if (n < COLUMNS_MIN || line[COLUMN_CPU] >= CPUS_MAX)
			return -EBADMSG;
		cpu_update(&seen.cpus[line[COLUMN_CPU]], line, (unsigned int)n);
		if (line[COLUMN_CPU] >= seen.ncpus)
			seen.ncpus = line[COLUMN_CPU] + 1;
	}
	return n;
}

static void emit_each(const struct target *host, struct out *o, size_t row)
{
	for (size_t i = 0; i < seen.ncpus; i++) {
		const struct cpu *cpu = &seen.cpus[i];
		char number[24];
		const struct label labels[] = { { "cpu", number }, {} };

		snprintf(number, sizeof(number), "%zu", i);
		if (cpu->round == seen.round && columns[row] < cpu->columns)
			out_metric(o, host, &metrics[row], cpu->values[row], labels);
	}
}

static void emit_sum(const struct target *host, struct out *o, size_t row)
{
	uint64_t sum = 0;
	bool any = false;

	for (size_t i = 0; i < seen.ncpus; i++) {
		const struct cpu *cpu = &seen.cpus[i];

		if (columns[row] >= cpu->columns ||
		    (metrics[row].type == GAUGE && cpu->round != seen.round))
			continue;
		any = true;
		sum += cpu->values[row];
	}
	if (any)
		out_metric(o, host, &metrics[row], sum, NULL);
}

static int collect_host(const struct target *host, struct out *o)
{
	const char *text;
	int err = proc_net(host, "softnet_stat", &text);

	if (err)
		return err;
	err = cpus_update(text);
	if (err) {
		proc_malformed(host, "softnet_stat");
		return err;
	}
	for (size_t row = 0; row < ROWS; row++) {
		if (!all_counters && metrics[row].flags & M_ALL)
			continue;
		if (per_cpu)
			emit_each(host, o, row);
		else
			emit_sum(host, o, row);
	}
	return 0;
}

static const struct probe softnet = {
	.name = "softnet",
	.summary = "Statistics of packet sent and dropped from network device",
	.question = "Do CPUs drop received packets because their backlog is full?",
	.source = "procfs",
	.overhead = "Low",
	.metrics = metrics,
	.knobs = knobs,
	.collect_host = collect_host,
};
PROBE_MAIN(softnet)
