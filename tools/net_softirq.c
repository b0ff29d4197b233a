// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net_softirq - how long soft interrupts wait from raise to entry, and how long they run. Three tracepoints, counted
 * there; what a late run ran in is told here, by the functions it was called from.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/net_softirq.h"
#include "bpf/net_softirq.skel.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/probe.h"
#include "libcommon/process.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

/* A bit for each CPU. */
struct cpus {
	uint64_t bits[CPUS_MAX / 64];
};

static struct {
	const char *vec, *cpu;
	unsigned int by;
	uint32_t vectors; /* --vec: a bit for each */
	struct cpus cpus; /* --cpu */
} opts;

static const char *const vector_names[NVECS] = {
	[VEC_HI] = "hi",           [VEC_TIMER] = "timer", [VEC_NET_TX] = "net_tx",
	[VEC_NET_RX] = "net_rx",   [VEC_BLOCK] = "block", [VEC_IRQ_POLL] = "irq_poll",
	[VEC_TASKLET] = "tasklet", [VEC_SCHED] = "sched", [VEC_HRTIMER] = "hrtimer",
	[VEC_RCU] = "rcu",
};

static const char *vector_name(const struct kernel *k, uint64_t vec)
{
	(void)k;
	return vec < NVECS ? vector_names[vec] : NULL;
}

static void vector_label(const struct kernel *k, uint64_t vec, struct buf *b)
{
	buf_str(b, vector_name(k, vec % NVECS));
}

static void cpu_label(const struct kernel *k, uint64_t cpu, struct buf *b)
{
	(void)k;
	buf_u64(b, cpu);
}

static const char *context_name(const struct kernel *k, uint64_t context)
{
	static const char *const names[] = {
		[CONTEXT_INTERRUPT] = "interrupt", [CONTEXT_KSOFTIRQD] = "ksoftirqd", [CONTEXT_TASK] = "task"
	};

	(void)k;
	return context < ARRAY_SIZE(names) ? names[context] : NULL;
}

/* ---- lists ---- */

static int parse_vectors(char *list)
{
	for (const char *word; (word = strsep(&list, ","));) {
		size_t i = 0;

		while (i < NVECS && strcmp(vector_names[i], word))
			i++;
		if (i == NVECS) {
			msg_error("--vec takes a list of hi, timer, net_tx, net_rx, block, irq_poll, tasklet, "
				  "sched, hrtimer and rcu, not '%s'",
				  word);
			return -EINVAL;
		}
		opts.vectors |= 1U << i;
	}
	return 0;
}

/* "0,2-5" as the kernel writes and --cpu takes it. 0 or -EINVAL. */
static int parse_cpus(char *list, struct cpus *cpus)
{
	memset(cpus, 0, sizeof(*cpus));
	for (char *last; (last = strsep(&list, ","));) {
		const char *first = strsep(&last, "-");
		uint64_t from, to;

		if (parse_u64(first, 0, CPUS_MAX - 1, &from) ||
		    parse_u64(last ? last : first, from, CPUS_MAX - 1, &to))
			return -EINVAL;
		for (; from <= to; from++)
			cpus->bits[from / 64] |= 1ULL << from % 64;
	}
	return 0;
}

static int check(const struct options *opt)
{
	auto_free char *vec = strdup(opts.vec ? opts.vec : "net_rx,net_tx");
	auto_free char *cpu = strdup(opts.cpu ? opts.cpu : "");
	int err = vec && cpu ? parse_vectors(vec) : -ENOMEM;

	(void)opt;
	if (!err && opts.cpu) {
		err = parse_cpus(cpu, &opts.cpus);
		if (err)
			msg_error("--cpu takes a list of CPUs such as 0,2-5, not '%s'", opts.cpu);
	}
	return err;
}

/* ---- start ---- */

static int read_file(const char *path, struct buf *b)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : buf_read(b, fd, 4096);
}

/* Devices polled by threads raise nothing. */
static void tell_threaded(const struct roots *roots)
{
	auto_free char *pattern = NULL;
	glob_t files;

	if (asprintf(&pattern, "%s/class/net/*/threaded", roots->sysfs) < 0)
		return;
	if (!glob(pattern, 0, NULL, &files)) {
		for (size_t i = 0; i < files.gl_pathc; i++) {
			struct buf b = { 0 };
			char *name = files.gl_pathv[i] + strlen(roots->sysfs) +
				     strlen("/class/net/");

			if (!read_file(files.gl_pathv[i], &b) && b.len && *b.data != '0')
				msg_verbose("not seen: what device %.*s receives: threads poll it",
					    (int)strcspn(name, "/"), name);
			buf_free(&b);
		}
		globfree(&files);
	}
}

static int setup(struct bpf_run *r)
{
	const bool only = opts.cpu;
	int err = bpf_run_set(r, "vectors_wanted", &opts.vectors, sizeof(opts.vectors));

	if (!err)
		err = bpf_run_set(r, "only_cpus", &only, sizeof(only));
	if (!err)
		err = bpf_run_set(r, "cpus_wanted", opts.cpus.bits, sizeof(opts.cpus.bits));
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	else
		tell_threaded(bpf_run_targets(r)->v[0].roots);
	return err;
}

/* ---- events ---- */

/* A function's name without what the compiler has added to it. */
static bool is_function(const char *name, const char *function)
{
	size_t len = strlen(function);

	return !strncmp(name, function, len) && (!name[len] || name[len] == '.');
}

/*
 * The first of its callers that says what it ran in: interrupts that end on top of ksoftirqd have that below them. The
 * exit of an interrupt is irq_exit, irq_exit_rcu or what is inside of these.
 */
static void find_context(struct bpf_run *r, void *record, size_t size)
{
	static const struct {
		const char *function;
		enum softirq_context context;
	} callers[] = {
		{ "run_ksoftirqd", CONTEXT_KSOFTIRQD }, { "__irq_exit_rcu", CONTEXT_INTERRUPT },
		{ "irq_exit_rcu", CONTEXT_INTERRUPT },  { "irq_exit", CONTEXT_INTERRUPT },
		{ "do_softirq", CONTEXT_TASK },         { "__local_bh_enable_ip", CONTEXT_TASK },
	};
	struct softirq_event *e = record;

	(void)size;
	for (size_t i = 0; i < CONTEXT_FRAMES && e->frames[i]; i++) {
		const char *name = kernel_function(bpf_run_kernel(r), e->frames[i]);

		for (size_t j = 0; name && j < ARRAY_SIZE(callers); j++) {
			if (!is_function(name, callers[j].function))
				continue;
			e->context = callers[j].context;
			e->header.known |= 1ULL << SOFTIRQ_F_CONTEXT;
			return;
		}
	}
}

/* ---- what has not ended ---- */

/* All that there can be where the kernel does not say which are running. */
static void online_cpus(const struct roots *roots, struct cpus *cpus)
{
	auto_free char *path = NULL;
	struct buf b = { 0 };

	memset(cpus, 0xff, sizeof(*cpus));
	if (asprintf(&path, "%s/devices/system/cpu/online", roots->sysfs) < 0)
		return;
	if (!read_file(path, &b) && b.len) {
		b.data[strcspn(b.data, "\n")] = '\0';
		if (parse_cpus(b.data, cpus))
			memset(cpus, 0xff, sizeof(*cpus));
	}
	buf_free(&b);
}

static int tell_state(struct bpf_run *r, uint32_t vec, uint16_t cpu, uint64_t since, uint16_t type)
{
	struct softirq_event e = { .header = { .netns = NETNS_MACHINE, .cpu = cpu },
				   .type = (uint8_t)vec };
	uint64_t now = process_now();

	if (!since || since > now)
		return 0;
	e.latency = now - since;
	e.header.type = (uint16_t)(type + (e.latency > SLOW_100MS_NS));
	e.header.known = 1ULL << SOFTIRQ_F_CPU | 1ULL << SOFTIRQ_F_LATENCY | 1ULL << SOFTIRQ_F_TYPE;
	return bpf_run_in_flight(r, &e, sizeof(e), since);
}

static int in_flight(struct bpf_run *r)
{
	int fd = bpf_run_map(r, "vectors"), ncpus = libbpf_num_possible_cpus(), err = 0;
	auto_free struct softirq_state *states = calloc(ncpus > 0 ? (size_t)ncpus : 1,
							sizeof(*states));
	struct cpus online;

	if (!states) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	/* What was pending on a CPU when it went off is done by others. */
	online_cpus(bpf_run_targets(r)->v[0].roots, &online);
	for (uint32_t vec = 0; vec < NVECS; vec++) {
		if (!(opts.vectors >> vec & 1) || bpf_map_lookup_elem(fd, &vec, states))
			continue;
		for (int cpu = 0; !err && cpu < ncpus && cpu < CPUS_MAX; cpu++) {
			const struct softirq_state *s = &states[cpu];

			if (!(online.bits[cpu / 64] >> cpu % 64 & 1))
				continue;
			err = tell_state(r, vec, (uint16_t)cpu, s->first, SOFTIRQ_SCHED_SLOW);
			if (!err)
				err = tell_state(r, vec, (uint16_t)cpu, s->entry,
						 SOFTIRQ_EXCUTE_SLOW);
		}
	}
	return err;
}

/* ---- counters ---- */

static int add_counted(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *c = key;
	struct label labels[] = { { "type", vector_name(NULL, c->label) }, {} };

	(void)arg;
	return bpf_run_add(r, c->metric, 0, labels, value);
}

/* Each vector that is watched has its counters, from 0 on. */
static int collect(struct bpf_run *r, struct out *o)
{
	struct counter_key key = { 0 };
	int err = 0;

	(void)o;
	for (; key.metric < SOFTIRQ_LOSTEVENTS; key.metric++)
		for (key.label = 0; !err && key.label < NVECS; key.label++)
			if (opts.vectors >> key.label & 1)
				err = add_counted(r, &key, 0, NULL);
	return err ? err : bpf_run_each(r, "counters", add_counted, NULL);
}

/* clang-format off */
static const struct metric metrics[] = {
	[SOFTIRQ_SCHEDSLOW] = { "schedslow", NULL, COUNTER, "runs", "Softirq sched slow (from `softirq_raise()` to `softirq_entry()`)",
	  SCOPE_HOST,
	  .advice = { .means = "soft interrupts that began more than 10 ms after they were raised",
		      .normal = "rare",
		      .causes = "long section with interrupts off; FIFO task or throttled ksoftirqd; stolen vCPU",
		      .confirm = "comm and context of the event; st in top",
		      .remedy = "the task's priority, another CPU, the host" },
	  .label = "type", .label_text = vector_label },
	[SOFTIRQ_SCHEDSLOW100MS] = { "schedslow100ms", NULL, COUNTER, "runs", "Softirq sched latency exceeds 100ms", SCOPE_HOST,
	  .advice = { .means = "soft interrupts that began more than 100 ms after they were raised",
		      .normal = "0",
		      .causes = "FIFO task or throttled ksoftirqd; stolen vCPU; long section with interrupts off",
		      .confirm = "comm and context of the event; st in top",
		      .remedy = "the task's priority, another CPU, the host" },
	  .label = "type", .label_text = vector_label },
	[SOFTIRQ_EXCUTESLOW] = { "excuteslow", NULL, COUNTER, "runs", "Softirq execute slow (from `softirq_entry()` to `softirq_exit()`)",
	  SCOPE_HOST,
	  .advice = { .means = "runs of a soft interrupt that took more than 10 ms",
		      .normal = "rare; a receive run ends after netdev_budget packets or netdev_budget_usecs (2 ticks: 8 ms at "
				"HZ 250, 20 ms at HZ 100), so much longer means that one poll or packet is slow",
		      .causes = "huge rule sets, debug options, stolen vCPU",
		      .confirm = "type, device and poll of the event" },
	  .label = "type", .label_text = vector_label },
	[SOFTIRQ_EXCUTESLOW100MS] = { "excuteslow100ms", NULL, COUNTER, "runs", "Softirq execute latency exceeds 100ms", SCOPE_HOST,
	  .advice = { .means = "runs of a soft interrupt that took more than 100 ms",
		      .normal = "0",
		      .causes = "huge rule sets, debug options, stolen vCPU",
		      .confirm = "type, device and poll of the event; its stack with -K" },
	  .label = "type", .label_text = vector_label },
	[SOFTIRQ_LOSTEVENTS] = LOST_EVENTS_METRIC,
	{}
};

static const struct hist hists[] = {
	[HIST_SCHED] = { "sched", "From raise to entry", SCOPE_HOST, "type", vector_label },
	[HIST_EXCUTE] = { "excute", "From entry to exit", SCOPE_HOST, "type", vector_label },
	[HIST_SCHED_CPU] = { "sched_cpu", "From raise to entry, with --by cpu", SCOPE_HOST, "cpu", cpu_label },
	[HIST_EXCUTE_CPU] = { "excute_cpu", "From entry to exit, with --by cpu", SCOPE_HOST, "cpu", cpu_label },
	{}
};

static const struct event events[] = {
	[SOFTIRQ_SCHED_SLOW] = { "NETSOFTIRQ_SCHED_SLOW", "Softirq sched slow (from `softirq_raise()` to `softirq_entry()`)",
	  { .means = "a soft interrupt began 10 to 100 ms after it was raised",
	    .causes = "ksoftirqd behind other tasks; interrupts off; stolen vCPU",
	    .confirm = "comm and context of the event" } },
	[SOFTIRQ_SCHED_100MS] = { "NETSOFTIRQ_SCHED_100MS", "Softirq sched latency exceeds 100ms",
	  { .means = "a soft interrupt began more than 100 ms after it was raised",
	    .causes = "FIFO task on that CPU; throttled ksoftirqd; paused virtual machine",
	    .confirm = "chrt -p on the task; sched_rt_runtime_us; st in top" } },
	[SOFTIRQ_EXCUTE_SLOW] = { "NETSOFTIRQ_EXCUTE_SLOW", "Softirq execute slow (from `softirq_entry()` to `softirq_exit()`)",
	  { .means = "one run of a soft interrupt took 10 to 100 ms",
	    .causes = "large budget, slow rules, tracing",
	    .confirm = "netdev_budget_usecs; the size of the rule set" } },
	[SOFTIRQ_EXCUTE_100MS] = { "NETSOFTIRQ_EXCUTE_100MS", "Softirq execute latency exceeds 100ms",
	  { .means = "one run of a soft interrupt took more than 100 ms",
	    .causes = "a single slow function or a stopped vCPU",
	    .confirm = "its stack with -K; st in top" } },
	{}
};

static const struct field fields[] = {
	[SOFTIRQ_F_CPU] = { .name = "cpu", .type = F_UINT, .offset = offsetof(struct softirq_event, header.cpu), .size = 2,
			    .table_only = true, .help = "where it was raised and ran" },
	[SOFTIRQ_F_PID] = { FIELD(softirq_event, pid, F_UINT), .help = "the process it ran in, with context interrupt on top of; 0: idle" },
	[SOFTIRQ_F_LATENCY] = { FIELD(softirq_event, latency, F_NS), .help = "SCHED: from raise to entry; EXCUTE: from entry to exit" },
	[SOFTIRQ_F_TYPE] = { FIELD(softirq_event, type, F_ENUM), .names = vector_name, .help = "net_rx, net_tx or what --vec names" },
	[SOFTIRQ_F_COMM] = { FIELD(softirq_event, comm, F_STR), .help = "that process's name" },
	[SOFTIRQ_F_CONTEXT] = { FIELD(softirq_event, context, F_ENUM), .names = context_name,
				.help = "interrupt: at the end of one; ksoftirqd; task: where a program let them run" },
	[SOFTIRQ_F_DEVICE] = { FIELD(softirq_event, device, F_STR),
			       .help = "of net_rx: whose poll took longest; (backlog): the CPU's own queue, for loopback, RPS and most veth" },
	[SOFTIRQ_F_POLL] = { FIELD(softirq_event, poll, F_NS), .help = "how long that poll took" },
	[SOFTIRQ_F_POLLS] = { .detail = true, FIELD(softirq_event, polls, F_UINT), .help = "polls of devices in this run" },
	[SOFTIRQ_F_PACKETS] = { .detail = true, FIELD(softirq_event, packets, F_UINT), .help = "packets they took in" },
	[SOFTIRQ_F_STACK] = { FIELD(softirq_event, stack, F_STACK), .help = "how the kernel came to run it" },
	{}
};

static const char *const by_words[] = { [BY_TYPE] = "type", [BY_CPU] = "cpu", NULL };

static const struct knob knobs[] = {
	{ 0, "vec", "LIST", "Which ones (net_rx,net_tx): hi timer net_tx net_rx block irq_poll tasklet sched hrtimer rcu", KNOB_STRING,
	  &opts.vec },
	{ 0, "cpu", "LIST", "Only on these CPUs, such as 0,2-5, counts too", KNOB_STRING, &opts.cpu },
	{ 0, "by", "WHAT", "Histograms (-D) by type (default) or cpu", KNOB_WORD, &opts.by, .words = by_words },
	{}
};

/* What ends before what begins: at no time something has begun whose end is not seen. */
static const struct hook hooks[] = {
	{ "softirq_exit", { "softirq_exit" } },
	{ "napi_poll", { "napi_poll" }, .optional = true },
	{ "softirq_entry", { "softirq_entry" } },
	{ "softirq_raise", { "softirq_raise" } },
	{}
};
/* clang-format on */

static const struct tracing tracing = {
	.object = net_softirq_bpf__elf_bytes,
	.hooks = hooks,
	.blind = "what devices receive that threads of their own poll (threaded NAPI, busy polling): they raise nothing",
	.setup = setup,
	.complete = find_context,
	.collect = collect,
	.in_flight = in_flight,
};

static const struct probe net_softirq = {
	.name = "net_softirq",
	.prefix = "softirq",
	.summary = "Trace latency in software interrupt",
	.question = "Where do network interrupts wait for a CPU, and which take too long?",
	.source = "eBPF",
	.overhead = "High",
	.needs = TRACING_NEEDS,
	.caps = TRACING_CAPS,
	.metrics = metrics,
	.hists = hists,
	.events = events,
	.fields = fields,
	.knobs = knobs,
	.threshold = SLOW_NS,
	.check = check,
	.tracing = &tracing,
	.run = bpf_probe_run,
};
PROBE_MAIN(net_softirq)
