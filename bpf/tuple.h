/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who talks to whom: the five fields that events about packets and connections begin with, in this order. */
#ifndef SKOOP_TUPLE_H
#define SKOOP_TUPLE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

struct tuple {
	__u8 saddr[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
	__u8 daddr[16];
	__u16 sport; /* host order */
	__u16 dport;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad[3];
};

_Static_assert(sizeof(struct tuple) == 40, "the halves must agree on the layout");

/* Their places in a probe's fields[], and bits in event_header.known. A probe's own fields go on from NFIELDS_TUPLE. */
enum { FIELD_PROTOCOL, FIELD_SADDR, FIELD_SPORT, FIELD_DADDR, FIELD_DPORT, NFIELDS_TUPLE };

#endif
