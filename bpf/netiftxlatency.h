/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netiftxlatency: what its two halves share. */
#ifndef SKOOP_NETIFTXLATENCY_H
#define SKOOP_NETIFTXLATENCY_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* metrics[], and in the same order events[] and hists[] */
enum { TX_QDISC, TX_NETDEV };

/* fields[], after the tuple's */
enum {
	TX_F_LATENCY = NFIELDS_TUPLE,
	TX_F_DEVICE,
	TX_F_QUEUE,
	TX_F_QDISC,
	TX_F_LEN,
	TX_F_SEGS,
	TX_F_QLEN
};

#define SLOW_100MS_NS 100000000ULL

/* A packet on its way through a device; times are CLOCK_MONOTONIC. */
struct tx_packet {
	__u64 queued;   /* handed to the device's queue; 0: it has none */
	__u64 dequeued; /* taken out of it; 0: not yet */
	struct tuple tuple;
	__u32 known; /* bits of the fields that have a value */
	__u32 netns;
	__u32 len;  /* bytes, with the link header */
	__u32 qlen; /* packets in the queue before it */
	__u16 queue, segs;
	char device[16];
	char qdisc[16];
	__u32 pad;
};

struct tx_event {
	struct event_header header;
	struct tuple tuple;
	__u64 latency; /* ns */
	__u32 len, qlen;
	__u16 queue, segs;
	char device[16];
	char qdisc[16];
	__u8 pad[4];
};

_Static_assert(sizeof(struct tx_packet) == 112 && sizeof(struct tx_event) == 120,
	       "the halves must agree on the layout");

#endif
