/* SPDX-License-Identifier: GPL-2.0-or-later */
/* biolatency: what its two halves share. */
#ifndef SKOOP_BIOLATENCY_H
#define SKOOP_BIOLATENCY_H

#include "event.h"
#include "shared.h"

#define BIO_COMM 16
#define BIO_DISK LABEL_NAME

/* metrics[], labelled by name of the disk */
enum { BIO_SLOW10MS, BIO_SLOW100MS };

/* hists[] */
enum { BIO_LATENCY, BIO_QUEUE, BIO_DEVICE };

/* events[] */
enum { BIOLAT_10MS, BIOLAT_100MS };

/* fields[] */
enum {
	BIO_F_COMM,
	BIO_F_PID,
	BIO_F_LATENCY,
	BIO_F_DEVICE,
	BIO_F_OP,
	BIO_F_FLAGS,
	BIO_F_SECTOR,
	BIO_F_BYTES,
	BIO_F_QUEUE,
	BIO_F_DEVICE_TIME,
	BIO_F_STATUS,
	BIO_F_CGROUP
};

struct biolatency_event {
	struct event_header header;
	__u64 latency, queue, device_time; /* ns */
	__u64 sector;
	__u64 cgroup; /* its number in the hierarchy that accounts for I/O */
	__u32 pid;    /* of the process, not the thread */
	__u32 bytes;
	__u32 flags; /* REQ_*, without the operation */
	__s32 status;
	__u32 op;
	__u32 pad;
	char comm[BIO_COMM];
	char device[BIO_DISK];
};

_Static_assert(sizeof(struct biolatency_event) == 136, "the halves must agree");

/* Of the map `begun`, by address of the request or bio: what has begun and not ended. */
struct bio_begun {
	__u64 since, issued; /* CLOCK_MONOTONIC; issued 0: not handed to the device yet */
	__u64 sector, cgroup;
	__u32 netns, pid, bytes;
	__u32 flags; /* REQ_OP_* and REQ_* */
	__u8 again;  /* it is to be issued once more: insertion begins nothing new */
	__u8 is_bio; /* of a device without requests: there is no queue to stand in */
	__u8 pad[6];
	char comm[BIO_COMM];
	char disk[BIO_DISK];
};

#endif
