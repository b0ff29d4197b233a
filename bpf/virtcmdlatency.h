/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtcmdlatency: what its two halves share. */
#ifndef SKOOP_VIRTCMDLATENCY_H
#define SKOOP_VIRTCMDLATENCY_H

#include "event.h"
#include "shared.h"

/* metrics[] */
enum { VIRTCMD_LATENCY100MS, VIRTCMD_LATENCY };

/* fields[] */
enum {
	VIRTCMD_F_CPU,
	VIRTCMD_F_PID,
	VIRTCMD_F_LATENCY,
	VIRTCMD_F_COMM,
	VIRTCMD_F_DEVICE,
	VIRTCMD_F_CLASS,
	VIRTCMD_F_COMMAND,
	VIRTCMD_F_RESULT
};

#define VIRTCMD_COMM 16

struct virtcmdlatency_event {
	struct event_header header;
	__u64 latency; /* ns */
	__u32 pid;     /* of the process, not the thread */
	__u16 command; /* its class in the upper byte */
	__u8 class;
	__u8 result; /* 1: the device said OK */
	char comm[VIRTCMD_COMM];
	char device[LABEL_NAME];
};

_Static_assert(sizeof(struct virtcmdlatency_event) == 88, "the halves must agree");

/* Of the map `commands`, by thread: what it waits for. */
struct virtcmd_begun {
	__u64 since; /* CLOCK_MONOTONIC */
	__u32 netns; /* the device's */
	__u16 command;
	__u8 class, pad;
	char comm[VIRTCMD_COMM];
	char device[LABEL_NAME];
};

#endif
