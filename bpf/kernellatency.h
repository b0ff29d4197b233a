/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kernellatency: what its two halves share. */
#ifndef SKOOP_KERNELLATENCY_H
#define SKOOP_KERNELLATENCY_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* metrics[]; events[] */
enum { KLAT_RXSLOW, KLAT_RXSLOW100MS, KLAT_TXSLOW, KLAT_TXSLOW100MS, KLAT_LOSTEVENTS };
enum { KLAT_RXKERNEL_SLOW, KLAT_TXKERNEL_SLOW };

/* hists[]: labelled by path, and by the stages between two stamps, a bit for each. */
enum { KLAT_HIST_LATENCY, KLAT_HIST_STAGE };

/* fields[], after the tuple's */
enum {
	KLAT_F_LATENCY = NFIELDS_TUPLE,
	KLAT_F_STAGES,
	KLAT_F_SLOWEST,
	KLAT_F_DEVICE,
	KLAT_F_PATH,
};

/* What a packet passes, in this order; each ends at a stamp. */
enum klat_stage {
	STAGE_INGRESS,     /* from the device to IP */
	STAGE_PREROUTING,  /* the rules of that hook */
	STAGE_ROUTE,       /* until it is known to be local, or to be forwarded */
	STAGE_LOCAL_IN,    /* the rules of input */
	STAGE_FORWARD,     /* those of forward */
	STAGE_LOCAL_OUT,   /* those of output */
	STAGE_POSTROUTING, /* those of that hook */
	STAGE_NEIGH,       /* until the neighbour is known, and the packet handed to its device */
	NSTAGES
};

enum klat_path { PATH_IN, PATH_FORWARD, PATH_OUT, NPATHS };

#define KLAT_BIT(stage) (1U << (stage))
#define STAGES_IN                                                                                  \
	(KLAT_BIT(STAGE_INGRESS) | KLAT_BIT(STAGE_PREROUTING) | KLAT_BIT(STAGE_ROUTE) |            \
	 KLAT_BIT(STAGE_LOCAL_IN))
#define STAGES_FORWARD                                                                             \
	(KLAT_BIT(STAGE_INGRESS) | KLAT_BIT(STAGE_PREROUTING) | KLAT_BIT(STAGE_ROUTE) |            \
	 KLAT_BIT(STAGE_FORWARD) | KLAT_BIT(STAGE_POSTROUTING))
#define STAGES_OUT (KLAT_BIT(STAGE_LOCAL_OUT) | KLAT_BIT(STAGE_POSTROUTING) | KLAT_BIT(STAGE_NEIGH))

static inline __u32 klat_stages(__u32 path)
{
	return path == PATH_OUT ? STAGES_OUT : path == PATH_FORWARD ? STAGES_FORWARD : STAGES_IN;
}

#define SLOW_NS 10000000ULL
#define SLOW_100MS_NS 100000000ULL

/* A packet inside; times are CLOCK_MONOTONIC, 0: no stamp. */
struct klat_packet {
	__u64 begin;
	__u64 end[NSTAGES];
	struct tuple tuple;
	__u32 known; /* bits of the tuple's fields and the device */
	__u32 netns; /* 0: not known yet */
	__u32 path;
	char device[16];
	__u32 pad;
};

struct klat_event {
	struct event_header header;
	struct tuple tuple;
	__u64 latency;         /* ns */
	__u64 begin;           /* as in a packet */
	__u64 stages[NSTAGES]; /* comes as times, is made durations */
	__u32 path;
	char device[16];
	char slowest[60]; /* filled in by user space */
};

_Static_assert(sizeof(struct klat_packet) == 144 && sizeof(struct klat_event) == 224,
	       "the halves must agree on the layout");

#endif
