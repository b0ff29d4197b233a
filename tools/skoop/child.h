/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One child, for the loop over all of them. */
#ifndef SKOOP_CHILD_H
#define SKOOP_CHILD_H

#include "skoop.h"

/* Starts it, `null` its stdin. 0 or -errno, silent; then child_free() is all that is due. */
int child_start(struct child *c, const char *path, char *const *argv, int null);
/* To it and what it has started. Only before it is reaped: until then the number is its own. */
void child_signal(const struct child *c, int sig);
/*
 * Waits for its end and sets its code; a death by signal is reported, unless it was asked to stop
 * by it.
 */
void child_reap(struct child *c, bool stopping);
void child_free(struct child *c);

#endif
