/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One child, for the loop over all of them. */
#ifndef SKOOP_CHILD_H
#define SKOOP_CHILD_H

#include <signal.h>

#include "skoop.h"

/*
 * Starts it, `null` its stdin, `mask` the signals it has blocked. 0 or -errno, silent; then
 * child_free() is all that is due.
 */
int child_start(struct child *c, const char *path, char *const *argv, int null,
		const sigset_t *mask);
/* Whether it is to be reaped. */
bool child_dead(const struct child *c);
/* To it and what it has started. Only before it is reaped: until then the number is its own. */
void child_signal(const struct child *c, int sig);
/*
 * Waits for its end and sets its code; a death by signal is reported, unless it was asked to stop
 * by it.
 */
void child_reap(struct child *c, bool stopping);
void child_free(struct child *c);

/* What has been said so far. */
struct sayings {
	struct saying *v;
	size_t n, size;
};
/* Passes a line of the child's stderr on, unless another child has said the same. */
void saying_pass(struct sayings *s, struct child *c, const char *line);
void sayings_free(struct sayings *s);

#endif
