/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel half of every probe shares with libcommon: keys of the common maps. */
#ifndef SKOOP_SHARED_H
#define SKOOP_SHARED_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Of the map `counters`; the value is a __u64 for each CPU. */
struct counter_key {
	__u32 netns;  /* inode number, 0: unknown, or a value of the machine */
	__u32 metric; /* index into the probe's metrics[] */
	__u64 label;  /* what metric.label_text names; 0 where it has none */
};

/* Of the map `hists`, for each CPU: one bucket of one histogram. */
struct hist_key {
	__u32 netns; /* as in a counter_key */
	__u16 hist;  /* index into the probe's hists[] */
	__u16 slot;  /* values from 2^slot on, below 2^(slot + 1) */
	__u64 label;
};
struct hist_bucket {
	__u64 count, sum, min, max;
};

/* Of the map `names`, by label: what a label that stands for a name reads, in full or up to a NUL. */
#define LABEL_NAME 32

/* Index into the array `lost`. */
enum lost_where {
	LOST_RINGBUF, /* no room for an event */
	LOST_MAP,     /* no room in a table */
	LOST_RATE,    /* not told, by --rate-limit */
	NLOST
};

/* Index into the array `tally` (tally.bpf.h) of a probe that keeps entries which may have to give way to others. */
enum tally {
	TALLY_MADE,  /* entries made in its table */
	TALLY_ENDED, /* of them, taken out again */
	NTALLY = 4
};

#define STACK_DEPTH 48

#endif
