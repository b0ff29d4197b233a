/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every event record begins with; shared by the kernel half that fills it and the output that prints it. */
#ifndef SKOOP_EVENT_H
#define SKOOP_EVENT_H

/* A full dump of the kernel's types brings these along; everything else takes them from the uapi. */
#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* A record's netns: it concerns the machine, and is shown with the host's labels. */
#define NETNS_MACHINE 0xffffffffU

/* Set in a record's type: no event but what goes on for too long, and has not ended yet. */
#define EVENT_IN_FLIGHT 0x8000

struct event_header {
	__u64 mono_ns; /* CLOCK_MONOTONIC, when it happened */
	__u64 known;   /* bit i: fields[i] of the probe holds a value */
	__u32 netns;   /* inode number of the network namespace, 0: unknown */
	__u16 type;    /* index into the probe's events[] */
	__u16 cpu;     /* where it was seen */
};

_Static_assert(sizeof(struct event_header) == 24, "the halves must agree on the layout");

#endif
