/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpreset: what its two halves share. */
#ifndef SKOOP_TCPRESET_H
#define SKOOP_TCPRESET_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* events[], and the labels of the counter */
enum tcpreset_type { RESET_NOSOCK, RESET_ACTIVE, RESET_PROCESS, RESET_RECEIVE, NRESETS };

enum tcpreset_direction { RESET_SENT, RESET_RECEIVED };

/* metrics[] */
enum { TCPRESET_TOTAL };

/* fields[], after the tuple's */
enum {
	RESET_F_STATE = NFIELDS_TUPLE,
	RESET_F_DIRECTION,
	RESET_F_REASON,
	RESET_F_REASON_CODE,
	RESET_F_SEQ,
	RESET_F_ACK,
	RESET_F_PID,
	RESET_F_COMM,
	RESET_F_DEVICE,
	RESET_F_STACK
};

struct tcpreset_event {
	struct event_header header;
	struct tuple tuple; /* local to remote */
	__u32 reason;       /* enum sk_rst_reason of the running kernel */
	__u32 seq, ack;     /* of the segment that came */
	__u32 pid;
	char comm[16];
	char device[16];
	__u8 state;
	__u8 direction; /* enum tcpreset_direction */
	__u8 pad[6];
	__u64 stack[STACK_DEPTH];
};

_Static_assert(sizeof(struct tcpreset_event) == 120 + 8 * STACK_DEPTH, "the halves must agree");

/* Of the map `held`: a reset that looks received, until it is certain that the kernel did not make it up. */
struct held_key {
	__u64 sock;
	__u64 since; /* CLOCK_MONOTONIC, ns */
};

/* How long that can take: the rest of one segment's processing, which may be preempted. */
#define RESET_HOLD_NS 100000000ULL

#endif
