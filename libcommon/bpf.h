/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a probe that traces the kernel: open, choose hooks, load, attach, hand on events, read counters, detach.
 * Only its tools link this, and libbpf with it.
 */
#ifndef SKOOP_BPF_RUN_H
#define SKOOP_BPF_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"
#include "bpf/tuple.h"
#include "probe.h"

struct bpf_run;
struct targets;

#define HOOK_PROGRAMS 4

/*
 * A place in the kernel the probe watches. Its programs are tried in this order; the first whose hook this kernel has,
 * and that it takes, serves. Hooks are attached in the order of their table.
 */
struct hook {
	const char *name; /* what is told of it: a tracepoint or function */
	const char *programs[HOOK_PROGRAMS];
	const char *mode; /* the reduced mode the probe runs in without it; NULL: it cannot run */
	bool optional;    /* it runs without it, nothing lost but what the manual says */
	/* Whether this kernel needs it; NULL: always. */
	bool (*wanted)(struct kernel *k);
	/* Of a reduced mode: left out once the probe is in it; of no use in any other. */
	const char *without, *within;
};

/*
 * The kernel half of a probe. What its programs find set, if they declare it as `const volatile`:
 *   args_HOOK      number of arguments of the tracepoint HOOK (of each hook by its name)
 *   knob_NAME      the probe's knobs
 *   tick_ns, threshold_ns, with_events, with_stack, only_targets…: bpf/skoop.bpf.h
 * Its map `counters` holds what metrics[] lists, `hists` what hists[] lists; `lost` and `events` are read without further ado.
 */
struct tracing {
	const void *(*object)(size_t *size); /* the BPF object: X_bpf__elf_bytes of the skeleton */
	const struct hook *hooks;            /* ended by {} */
	const char *blind; /* said with -v: what the hooks cannot see; NULL: nothing */
	/*
	 * Before loading: what libcommon does not set by itself, with bpf_run_set(). 0 or -errno after one msg_error:
	 * -EINVAL: an option asks for what is not there, -ENOTSUP: this kernel does not offer it.
	 */
	int (*setup)(struct bpf_run *r);
	/* Loaded and not attached yet: fills its maps. 0 or -errno. */
	int (*loaded)(struct bpf_run *r);
	/*
	 * Before an event is shown: fills in what only user space can tell. The record may be cut off behind `size`
	 * bytes; the rest is zero.
	 */
	void (*complete)(struct bpf_run *r, void *record, size_t size);
	/*
	 * Each second, before each round's counters, and once more when all is detached. 0 or -errno after one
	 * msg_error (-EPERM: EXIT_PRIVILEGE), or what bpf_run_event() returned.
	 */
	int (*refresh)(struct bpf_run *r);
	/*
	 * Instead of the map `counters`: hands the round's values to out_metric() or bpf_run_add(). 0, -ENOMEM, or
	 * another -errno after one msg_error.
	 */
	int (*collect)(struct bpf_run *r, struct out *o);
	/*
	 * Each second, and at the end before all is detached: hands what has begun and not ended to
	 * bpf_run_in_flight(). 0 or -errno after one msg_error.
	 */
	int (*in_flight)(struct bpf_run *r);
};

/* The .run of every such probe: returns an exit code. */
int bpf_probe_run(const struct probe *p, const struct options *opt, struct target_finder *f,
		  struct out *o);

/* ---- for the functions of struct tracing ---- */

struct kernel *bpf_run_kernel(struct bpf_run *r);
const struct targets *bpf_run_targets(struct bpf_run *r);
/* Sets a constant of the BPF object; 0 or -errno: -ENOENT: it has none of that name, -EINVAL: of another size. */
int bpf_run_set(struct bpf_run *r, const char *name, const void *value, size_t size);
/* The descriptor of a map, -ENOENT: none of that name. Before loading: sets its size, its type. */
int bpf_run_map(struct bpf_run *r, const char *name);
int bpf_run_map_size(struct bpf_run *r, const char *name, uint32_t entries);
int bpf_run_map_type(struct bpf_run *r, const char *name, unsigned int type);
/* From .setup on: whether the probe is in that reduced mode. */
bool bpf_run_in_mode(const struct bpf_run *r, const char *mode);
/* Whether programs may run; false: what is in the maps is final. */
bool bpf_run_attached(const struct bpf_run *r);
/*
 * What the kernel half could not decide on the spot: shows an event, and counts in the map `counters` under a label
 * that the kernel half does not count under. 0 or -errno; bpf_run_event: to be returned as it is.
 */
int bpf_run_event(struct bpf_run *r, const void *record, size_t size);
int bpf_run_count(struct bpf_run *r, const struct counter_key *key, uint64_t n);
/*
 * An operation that began at `since` (CLOCK_MONOTONIC, ns) and has not ended: shown once when it has gone on for longer
 * than the threshold, and again at each round and at the end. The record is as of an event; its type, time and CPU are
 * filled in. 0 or -errno, to be returned as it is.
 */
int bpf_run_in_flight(struct bpf_run *r, void *record, size_t size, uint64_t since);
/* ns past which an event is printed: -t, or the probe's own. */
uint64_t bpf_run_threshold(const struct bpf_run *r);
/* Calls fn with each key and value of a map; those of the CPUs are summed up. Ends at the first error, and gives that. */
int bpf_run_each(struct bpf_run *r, const char *map,
		 int (*fn)(struct bpf_run *r, const void *key, uint64_t value, void *arg),
		 void *arg);
/*
 * A value of the round, for `collect`: those whose target and labels read alike become one. metric: its index;
 * netns: its inode number, of a target that was not asked for nothing is told; labels: ended by {} or NULL, copied.
 * 0 or -ENOMEM.
 */
int bpf_run_add(struct bpf_run *r, uint32_t metric, uint32_t netns, const struct label *labels,
		uint64_t value);
/* A zero for each target of a counter with these labels, which thus is there from the first round on. 0 or -ENOMEM. */
int bpf_run_add_zeros(struct bpf_run *r, uint32_t metric, const struct label *labels);
/* Of this metric the largest values come first, and only `top` of them (0: all). */
void bpf_run_rank(struct bpf_run *r, uint32_t metric, uint64_t top);
/*
 * Hands each entry of a hash map to fn: its value, `copies` of them (a CPU's each, 8-byte aligned) where they are kept
 * by CPU. Each entry that stays meanwhile comes once; fn may not change the map. 0 or -errno, also what fn returned.
 */
int bpf_run_map_each(struct bpf_run *r, const char *name,
		     int (*fn)(const void *key, const void *value, size_t copies, void *arg),
		     void *arg);
/* The sum over the CPUs of an element of a per-CPU array of __u64. */
uint64_t bpf_run_tally(struct bpf_run *r, const char *name, uint32_t index);
/*
 * For .refresh: tells as lost the entries of a hash map that had to give way, by the array `tally`: they were made, and are
 * neither there nor were taken out. *told: how many have been told of, from 0 on. What moves meanwhile makes that less, never
 * more. 0 or -errno, without a message.
 */
int bpf_run_evicted(struct bpf_run *r, const char *map, uint64_t *told);
/* For .refresh: looks for namespaces, unless that was done just now. 0 or -errno after one msg_error. */
int bpf_run_search_again(struct bpf_run *r);
/* Counts things lost in the kernel half that the map `lost` does not count. */
void bpf_run_lost(struct bpf_run *r, const char *where, uint64_t count);

/* ---- for descriptors ---- */

/* The five fields of a struct tuple member called `tuple`. */
#define TUPLE_FIELD(record, name_, type_, help_)                                                   \
	.name = #name_, .type = (type_), .offset = offsetof(struct record, tuple.name_),           \
	.size = sizeof(((struct record *)0)->tuple.name_), .help = (help_)
#define TUPLE_FIELDS(record)                                                                        \
	[FIELD_PROTOCOL] = { TUPLE_FIELD(record, protocol, F_PROTO, "protocol") },                  \
	[FIELD_SADDR] = { TUPLE_FIELD(record, saddr, F_ADDR, "source address, or the local one") }, \
	[FIELD_SPORT] = { TUPLE_FIELD(record, sport, F_PORT, "its port") },                         \
	[FIELD_DADDR] = { TUPLE_FIELD(record, daddr, F_ADDR,                                        \
				      "destination address, or the remote one") },                  \
	[FIELD_DPORT] = { TUPLE_FIELD(record, dport, F_PORT, "its port") }

/* What --address and --port were given; the kernel half applies them (tuple_wanted). */
struct tuple_filter {
	const char *address;
	uint64_t port;
};
#define TUPLE_KNOBS(filter)                                                                        \
	{ 0,                                                                                       \
	  "address",                                                                               \
	  "ADDR[/BITS]",                                                                           \
	  "Only with this address at either end, counts too",                                      \
	  KNOB_CIDR,                                                                               \
	  &(filter).address },                                                                     \
	{                                                                                          \
		0, "port", "PORT", "Only with this port at either end, counts too", KNOB_NUMBER,   \
			&(filter).port, 1, 65535                                                   \
	}

/* The capabilities in .caps, and what .needs says of them. */
#define TRACING_CAPS (1ULL << 39 | 1ULL << 38) /* CAP_BPF, CAP_PERFMON: newer than some headers */
#define TRACING_NEEDS                                                                              \
	"CAP_BPF and CAP_PERFMON; CAP_SYSLOG for symbols; before 5.11 CAP_SYS_RESOURCE or an unlimited ulimit -l"

/* The row of what found no room in the buffer; libcommon fills it in. */
#define LOST_EVENTS_METRIC                                                                         \
	{                                                                                          \
		"lostevents", NULL, COUNTER, "events", "Events lost", SCOPE_HOST,                  \
			M_EXTRA | M_SELF, .advice = {                                              \
				.means = "events that were counted but not shown",                 \
				.normal = "0",                                                     \
				.causes = "more events than the reader takes, or --rate-limit",    \
				.remedy = "a filter; --buffer; INTERVAL for counts only"           \
			}                                                                          \
	}

#endif
