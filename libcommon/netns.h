/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entering a network namespace for the time of one call. */
#ifndef SKOOP_NETNS_H
#define SKOOP_NETNS_H

#include <stdint.h>

struct target;

/*
 * Calls fn(arg) inside the target's network namespace and returns its result; back again before it
 * returns. The own namespace is not entered, so it needs no capability. -EPERM/-EACCES: refused
 * (CAP_SYS_ADMIN, and CAP_SYS_PTRACE to get at a foreign process); -ESRCH: the namespace is gone.
 * Ends the program (EXIT_FAILED) if it cannot return: every later number would be another's.
 */
int netns_call(const struct target *t, int (*fn)(void *arg), void *arg);

/* Inode number of the caller's own network namespace, 0 where it cannot be read. */
uint64_t netns_own(void);

/* The inode number in the text of a namespace link, "net:[4026532111]"; 0: it is no such text. */
uint64_t netns_parse(const char *link);

#endif
