/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters the kernel prints by name, read for the rows of a probe's table that have these names.
 */
#ifndef SKOOP_COUNTERS_H
#define SKOOP_COUNTERS_H

#include <stdbool.h>

#include "probe.h"
#include "proctext.h"

/* The label of a set of counters that IPv4 and IPv6 have each. */
enum counter_family { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6 };

#define COUNTER_PREFIX_MAX 16

/*
 * One set. A metric is named by the set's prefix and the kernel's key in lower case, without
 * underscores: "Icmp: InMsgs" with the prefix "icmp" is icmpinmsgs.
 */
struct counter_group {
	const char *file;   /* below net/ */
	pairs_fn form;      /* its form (proctext.h) */
	const char *group;  /* the set's name in it */
	const char *prefix; /* NULL: none; at most COUNTER_PREFIX_MAX letters */
	enum counter_family family;
	bool more; /* beyond the contract: not read with SHOW_CONTRACT */
};

/* Which rows: without M_ALL; all, and counters the table does not know; those with M_DROP. */
enum counter_show { SHOW_CONTRACT, SHOW_ALL, SHOW_DROPS };

/*
 * Emits the values of these groups (ended by {}) that have a row of this scope in the probe's
 * table. Values of the same row and family in several groups are added up. A row beyond the
 * contract is found fastest where the kernel has it, behind that of the key before. No row is
 * emitted unless every file is well-formed. As proc_net for the first group, -ENOENT where that is
 * missing (the others may be); -EBADMSG after one msg_error for a file that is not of its form.
 */
int counters_read(const struct target *t, const struct counter_group *groups,
		  enum metric_scope scope, enum counter_show show, struct out *o);

#endif
