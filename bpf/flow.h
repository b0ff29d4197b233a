/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow: what its two halves share. */
#ifndef SKOOP_FLOW_H
#define SKOOP_FLOW_H

#include "shared.h"
#include "tuple.h"

/* --by */
enum flow_by { FLOW_BY_5TUPLE, FLOW_BY_PAIR, FLOW_BY_DPORT, FLOW_BY_PROTO };

/*
 * Of the map `devices`: a device with vlan 0, and one entry for each VLAN device on top of it. One that is not there
 * was not seen by user space yet; the kernel half enters it as counted, and what it counted is kept or not once user
 * space has looked at the device.
 */
struct flow_place {
	__u32 netns; /* inode number */
	__u32 ifindex;
	__u32 vlan;
};

enum flow_flags {
	FLOW_COUNTED = 1,
	FLOW_STACKED = 2 /* what it receives goes up to `upper`, or to one of its VLAN devices */
};

struct flow_device {
	__u32 upper; /* with vlan 0 its bond or team, else the VLAN device; 0: none */
	__u32 flags;
};

/* Of the map `flows`. */
struct flow_key {
	__u32 netns;
	__u32 ifindex;
	struct tuple tuple; /* the packet's own direction; what is not known, or not told apart, is 0 */
	__u32 known;        /* bit FIELD_…: that field of the tuple has a value */
};

struct flow_count {
	__u64 bytes;   /* of the IP header and what follows it, as on the wire */
	__u64 packets; /* as on the wire */
};

/* Index into the array `tally`. */
enum flow_tally {
	FLOW_MADE,    /* entries made in `flows` */
	FLOW_DEVICES, /* devices the kernel half entered */
	FLOW_UNREAD   /* packets whose IP header was not to be read */
};
_Static_assert((int)FLOW_UNREAD < (int)NTALLY, "no room for all tallies");

_Static_assert(sizeof(struct flow_place) == 12 && sizeof(struct flow_device) == 8 &&
		       sizeof(struct flow_key) == 52 && sizeof(struct flow_count) == 16,
	       "the halves must agree on the layout");

#endif
