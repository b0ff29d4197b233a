/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One round's targets handed from one process to others: looking at thousands of processes is most of what a probe does,
 * and several that are started together look at the same.
 */
#ifndef SKOOP_TARGET_PASS_H
#define SKOOP_TARGET_PASS_H

#include <stdbool.h>

struct target_finder;
struct targets;

/* A file that holds the targets, to be the stdin of others (close-on-exec). A descriptor or -errno. */
int targets_pass(const struct targets *ts);

/*
 * Takes them from fd, as if `f` had found them and had said what was kept from it. 0; -EBADMSG: it holds none of this version; other -errno. Silent:
 * whoever gets an error looks for himself.
 */
int targets_take(int fd, struct target_finder *f, struct targets **ts);

/* The first ones of a run: where they were `given` on stdin, those, else as targets_load(). */
int targets_first(struct target_finder *f, bool given, struct targets **ts);

#endif
