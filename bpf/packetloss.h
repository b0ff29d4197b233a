/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packetloss: what its two halves share. */
#ifndef SKOOP_PACKETLOSS_H
#define SKOOP_PACKETLOSS_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* metrics[]; LOSS_TOTAL is the sum of the next two as the kernel half counts them. */
enum { LOSS_TOTAL, LOSS_NETFILTER, LOSS_BYREASON, LOSS_COUNT, LOSS_LOSTEVENTS };

/* What a reason, or the place where a packet was freed, says of it: bits. */
enum {
	CLASS_BENIGN = 1,    /* no loss */
	CLASS_NETFILTER = 2, /* a rule's or the connection tracking's doing */
	CLASS_UNWANTED = 4,  /* not asked for */
	CLASS_KNOWN = 8,     /* the kernel has a name for it */
	CLASS_UNSAID = 16,   /* the kernel does not say why: the place may tell */
	CLASS_WINDOW = 32 /* a segment outside the window: no loss where all of it is known already */
};

/* Of a reason's value: the upper 16 bits are its subsystem's number. */
#define REASON_SUBSYSTEMS 8
#define REASON_VALUES 256
#define REASON_UNKNOWN 0xffffffffU /* stands for all values that nothing names */

/* A function's name as the kernel prints it, "nfqnl_reinject [nfnetlink_queue]", the rest zeros. */
#define NAME_BYTES 48

/* Where the kernel cannot print it: addresses of functions, ascending, none inside another. */
#define PLACES 64
struct place {
	__u64 from; /* a location lies behind its call: from < location <= to */
	__u64 to;
	__u64 class;
};

/* What -C counts by: what is not asked for is 0. */
enum {
	BY_REASON = 1,
	BY_LOCATION = 2,
	BY_PROTOCOL = 4,
	BY_SADDR = 8,
	BY_SPORT = 16,
	BY_DADDR = 32,
	BY_DPORT = 64,
	BY_DEVICE = 128,
	BY_VERDICT = 256,
	BY_TUPLE = BY_PROTOCOL | BY_SADDR | BY_SPORT | BY_DADDR | BY_DPORT
};

struct loss_key {
	__u64 location;
	struct tuple tuple;
	__u32 netns;
	__u32 reason;
	char device[16];
	__u32 known;   /* which of BY_* have a value */
	__u32 verdict; /* VERDICT_* */
};

_Static_assert(sizeof(struct loss_key) == 80, "the halves must agree");

/* The verdict on an event. */
enum { VERDICT_LOSS, VERDICT_BENIGN, VERDICT_NOT_IP };

/* fields[], after the tuple's */
enum {
	LOSS_F_REASON = NFIELDS_TUPLE,
	LOSS_F_REASON_CODE,
	LOSS_F_LOCATION,
	LOSS_F_DEVICE,
	LOSS_F_LEN,
	LOSS_F_STATE,
	LOSS_F_TCP_FLAGS,
	LOSS_F_ICMP,
	LOSS_F_MARK,
	LOSS_F_VERDICT,
	LOSS_F_STACK
};

struct packetloss_event {
	struct event_header header;
	struct tuple tuple;
	__u64 location;
	__u32 reason;
	__u32 len; /* bytes from the IP header on */
	__u32 mark;
	__u16 icmp; /* type, code */
	__u8 state;
	__u8 tcp_flags;
	char device[16];
	__u8 verdict;
	__u8 pad[7];
	__u64 stack[STACK_DEPTH];
};

_Static_assert(sizeof(struct packetloss_event) == 112 + 8 * STACK_DEPTH, "the halves must agree");

#endif
