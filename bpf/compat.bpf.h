/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where kernels differ in their types. Each entry: what changed, since when, and when it may go. Numbers of arguments
 * are not here: libcommon tells them as args_<hook>, and the verifier removes the branches they rule out.
 */
#ifndef SKOOP_COMPAT_BPF_H
#define SKOOP_COMPAT_BPF_H

#include "vmlinux.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/*
 * The time a connection's timer runs out at moved into the timer itself after 6.12. May go with 5.10, whose Fast Open
 * resends it tells from probes.
 */
struct inet_connection_sock___timeout {
	unsigned long icsk_timeout;
};

/* Whether there is a tag was a bit of its own until 6.2; since then vlan_proto is 0 without one. May go with 6.1. */
struct sk_buff___vlan_present {
	__u8 vlan_present : 1;
};

/* A request named its disk itself until 5.17; its queue has done so since 5.15. The older may go with 5.10. */
struct request___rq_disk {
	struct gendisk *rq_disk;
};
struct request_queue___disk {
	struct gendisk *disk;
};

/* A bio named its disk until 5.12, since then its device. May go with 5.10. */
struct bio___bi_disk {
	struct gendisk *bi_disk;
};
struct bio___bi_bdev {
	struct block_device *bi_bdev;
};

/* Whose I/O it is, where the kernel accounts for that (CONFIG_BLK_CGROUP). */
struct blkcg___cgroup {
	struct cgroup_subsys_state css;
};
struct blkcg_gq___cgroup {
	struct blkcg___cgroup *blkcg;
};
struct bio___cgroup {
	struct blkcg_gq___cgroup *bi_blkg;
};

#pragma clang attribute pop

#endif
