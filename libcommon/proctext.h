/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forms in which the kernel prints counters below /proc, as text in memory. */
#ifndef SKOOP_PROCTEXT_H
#define SKOOP_PROCTEXT_H

#include <stddef.h>
#include <stdint.h>

/* No key of the kernel is longer. */
#define PAIR_KEY_MAX 64

/* One value. The key is not terminated; a negative value is two's complement. */
struct pair {
	const char *key;
	size_t key_len;
	uint64_t value;
};
typedef int (*pair_fn)(const struct pair *pair, void *arg);

/*
 * Hands each pair of `group` to fn, in the file's order; a non-zero result of fn ends the walk and
 * is returned. 0: walked to the end; -ENOENT: the text has no such group; -EBADMSG: it is not of
 * its form, or cut off.
 */
typedef int (*pairs_fn)(const char *text, const char *group, pair_fn fn, void *arg);

/* net/snmp, net/netstat: a line "Group: Key Key…" and below it "Group: value value…". */
int pairs_lines(const char *text, const char *group, pair_fn fn, void *arg);
/* net/sockstat, net/sockstat6: a line "Group: key value key value…". */
int pairs_inline(const char *text, const char *group, pair_fn fn, void *arg);
/* net/snmp6: a line "GroupKey value", "Ip6InReceives 7": the group is where the key begins. */
int pairs_single(const char *text, const char *group, pair_fn fn, void *arg);
/*
 * net/stat/FILE: a line of keys, below it a line of hexadecimal numbers for each CPU, which are
 * added up; but the first column, the table's entries, is the same in each. Underscores of the keys
 * are left out; it has no group.
 */
int pairs_stat(const char *text, const char *group, pair_fn fn, void *arg);

/*
 * The next line of a table in hexadecimal, such as net/softnet_stat, as numbers; *text is left
 * behind it. Gives their number, 0 at the end of the text; -EBADMSG: something else is in the line,
 * more than max of them, or it is cut off.
 */
int hex_line(const char **text, uint64_t *values, size_t max);

#endif
