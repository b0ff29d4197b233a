/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpretrans: what its two halves share. */
#ifndef SKOOP_TCPRETRANS_H
#define SKOOP_TCPRETRANS_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* Why a segment was sent again. */
enum tcpretrans_type {
	RETRANS_RTO,
	RETRANS_FAST,
	RETRANS_TLP,
	RETRANS_SYN,
	RETRANS_SYNACK,
	RETRANS_OTHER
};

/* metrics[] */
enum { TCPRETRANS_TOTAL };

/* fields[], after the tuple's */
enum {
	RETRANS_F_STATE = NFIELDS_TUPLE,
	RETRANS_F_TYPE,
	RETRANS_F_SEQ,
	RETRANS_F_LEN,
	RETRANS_F_SEGS,
	RETRANS_F_RETRANSMITS,
	RETRANS_F_BACKOFF,
	RETRANS_F_CWND,
	RETRANS_F_SSTHRESH,
	RETRANS_F_SRTT,
	RETRANS_F_RTO,
	RETRANS_F_IN_FLIGHT,
	RETRANS_F_LOST,
	RETRANS_F_SACKED,
	RETRANS_F_ERR,
	RETRANS_F_STACK
};

struct tcpretrans_event {
	struct event_header header;
	struct tuple tuple;
	__u64 srtt; /* ns */
	__u64 rto;  /* ns */
	__u32 seq;
	__u32 len; /* bytes */
	__u32 cwnd, ssthresh;
	__u32 in_flight, lost, sacked; /* segments */
	__s32 err;
	__u16 segs;
	__u8 state;
	__u8 type; /* enum tcpretrans_type */
	__u8 retransmits, backoff;
	__u8 pad[2];
	__u64 stack[STACK_DEPTH];
};

_Static_assert(sizeof(struct tcpretrans_event) == 120 + 8 * STACK_DEPTH, "the halves must agree");

#endif
