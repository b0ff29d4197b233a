/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socketlatency: what its two halves share. */
#ifndef SKOOP_SOCKETLATENCY_H
#define SKOOP_SOCKETLATENCY_H

#include "event.h"
#include "shared.h"
#include "tuple.h"

/* metrics[] */
enum { SL_READ100MS, SL_READ1MS, SL_WRITE100MS, SL_WRITE1MS };

/* events[], and in the same order hists[] */
enum { SL_READ, SL_WRITE };

/* fields[], after the tuple's */
enum {
	SL_F_LATENCY = NFIELDS_TUPLE,
	SL_F_PID,
	SL_F_COMM,
	SL_F_BYTES,
	SL_F_QUEUED,
	SL_F_STATE,
	SL_F_REASON
};

/* Why written data did not go. */
enum sl_reason { SL_OTHER, SL_WINDOW, SL_SNDBUF, SL_CORK, SL_NAGLE };

#define SLOW_1MS_NS 1000000ULL
#define SLOW_100MS_NS 100000000ULL

/*
 * When which byte came. Of data that waits to be read, an entry is the time of the bytes below its seq that no older one
 * covers; of data that waits to be sent, of the bytes from its seq on. The oldest first. Times are CLOCK_MONOTONIC, ns.
 */
#define SL_RING 16
struct sl_ring {
	__u64 at[SL_RING];
	__u32 seq[SL_RING];
	__u32 n;
	__u32 pad;
};

/* Who used it last; pid 0: nobody has been seen to. */
struct sl_task {
	__u32 pid;
	char comm[16];
};

/* What keeps unsent data back; bits of sl_sock.limits. */
#define SL_LIMIT_CWND 1    /* as much is under way as the congestion window allows */
#define SL_LIMIT_LIMITED 2 /* the kernel holds that window for what limits the connection */
#define SL_LIMIT_WINDOW 4  /* the next segment does not fit into the peer's */

/* A TCP socket that has had something unread or unsent. */
struct sl_sock {
	struct sl_ring read, write;
	struct tuple tuple;
	__u64 sampled; /* the last read that had waited more than a millisecond */
	__u64 sent;    /* new data last left, and more is to; 0: not since there was nothing left */
	__u32 netns;
	__u32 copied;  /* up to where it was read */
	__u32 next;    /* up to where it was sent */
	__u32 unsent;  /* bytes */
	__u32 in_send; /* threads in a send call */
	struct sl_task reader, writer;
	__u8 limits;
	__u8 reason; /* enum sl_reason */
	__u8 state;
	__u8 pad;
};

/* A datagram that waits to be read. */
struct sl_datagram {
	__u64 at;
	__u64 sock;
	__u32 len;
	__u32 pad;
};

/* A UDP socket that has had one. What came before `made` or `read` does not wait any more. */
struct sl_udp {
	__u64 made;
	__u64 read; /* when the last datagram that was read had come */
	struct tuple tuple;
	__u32 netns;
	struct sl_task reader;
};

struct sl_event {
	struct event_header header;
	struct tuple tuple;
	__u64 latency; /* ns */
	__u32 bytes, queued;
	__u32 pid;
	char comm[16];
	__u8 state;
	__u8 reason;
	__u8 pad[2];
};

_Static_assert(sizeof(struct sl_ring) == 200 && sizeof(struct sl_event) == 104 &&
		       sizeof(struct sl_sock) == 520 && sizeof(struct sl_udp) == 80,
	       "the halves must agree on the layout");

#endif
