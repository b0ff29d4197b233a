/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net_softirq: what its two halves share. */
#ifndef SKOOP_NET_SOFTIRQ_H
#define SKOOP_NET_SOFTIRQ_H

#include "event.h"
#include "shared.h"

/* The kernel's soft interrupts, by number; include/linux/interrupt.h, these since 4.4. */
enum softirq_vec {
	VEC_HI,
	VEC_TIMER,
	VEC_NET_TX,
	VEC_NET_RX,
	VEC_BLOCK,
	VEC_IRQ_POLL,
	VEC_TASKLET,
	VEC_SCHED,
	VEC_HRTIMER,
	VEC_RCU,
	NVECS
};

/* metrics[]; the label of each is the vector */
enum {
	SOFTIRQ_SCHEDSLOW,
	SOFTIRQ_SCHEDSLOW100MS,
	SOFTIRQ_EXCUTESLOW,
	SOFTIRQ_EXCUTESLOW100MS,
	SOFTIRQ_LOSTEVENTS
};

/* events[] */
enum { SOFTIRQ_SCHED_SLOW, SOFTIRQ_SCHED_100MS, SOFTIRQ_EXCUTE_SLOW, SOFTIRQ_EXCUTE_100MS };

/* hists[]; the label of the first two is the vector, that of the others the CPU */
enum { HIST_SCHED, HIST_EXCUTE, HIST_SCHED_CPU, HIST_EXCUTE_CPU };

/* --by */
enum { BY_TYPE, BY_CPU };

#define SLOW_NS 10000000ULL
#define SLOW_100MS_NS 100000000ULL

/* --cpu: a bit for each. */
#define CPUS_MAX 4096

/* Of the per-CPU array `vectors`: where one vector of a CPU stands. Times are CLOCK_MONOTONIC, 0: none. */
struct softirq_state {
	__u64 first; /* raised, not entered since */
	__u64 again; /* raised once more before it was entered */
	__u64 entry; /* entered, not left */
	__u64 sched; /* ns from the raise to this entry, 0: the raise was not seen */
	/* Of NET_RX while it runs: its polls of devices. */
	__u64 since; /* when the present one began */
	__u64 poll;  /* ns the longest one took */
	__u32 polls, packets;
	char device[16]; /* of the longest one */
};

/* What ran the vector. */
enum softirq_context { CONTEXT_INTERRUPT, CONTEXT_KSOFTIRQD, CONTEXT_TASK };

/* fields[] */
enum {
	SOFTIRQ_F_CPU,
	SOFTIRQ_F_PID,
	SOFTIRQ_F_LATENCY,
	SOFTIRQ_F_TYPE,
	SOFTIRQ_F_COMM,
	SOFTIRQ_F_CONTEXT,
	SOFTIRQ_F_DEVICE,
	SOFTIRQ_F_POLL,
	SOFTIRQ_F_POLLS,
	SOFTIRQ_F_PACKETS,
	SOFTIRQ_F_STACK
};

/* Frames from the tracing machinery up to whoever called for soft interrupts to run. */
#define CONTEXT_FRAMES 12

struct softirq_event {
	struct event_header header;
	__u64 latency; /* ns */
	__u64 poll;    /* ns */
	__u32 pid;
	__u32 polls, packets;
	__u8 type;    /* enum softirq_vec */
	__u8 context; /* enum softirq_context */
	__u8 pad[2];
	char comm[16];
	char device[16];
	__u64 frames[CONTEXT_FRAMES]; /* what tells the context; ended by 0 */
	__u64 stack[STACK_DEPTH];
};

_Static_assert(sizeof(struct softirq_state) == 72 &&
		       sizeof(struct softirq_event) == 88 + 8 * (CONTEXT_FRAMES + STACK_DEPTH),
	       "the halves must agree on the layout");

#endif
