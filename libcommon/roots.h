/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the machine's file systems are, its name, and opening files of a root that is not ours. */
#ifndef SKOOP_ROOTS_H
#define SKOOP_ROOTS_H

#include <stdbool.h>
#include <sys/types.h>

struct roots;
struct target_options;

/*
 * Fills in the four paths: option, then $HOST_PROC, $HOST_SYS, $HOST_ROOT, then what a debug
 * container has below /host, then the usual places. 0 or -ENOMEM after one msg_error.
 */
int roots_init(struct roots *r, const struct target_options *opt);
void roots_free(struct roots *r);

/*
 * The node's name: option, $NODE_NAME, $KUBE_NODE_NAME, $MY_NODE_NAME, $INSPECTOR_NODENAME, host
 * name. To be freed; NULL: out of memory.
 */
char *roots_node(const struct roots *r, const struct target_options *opt);

/*
 * Opens PATH (no leading slash) below the root directory; links, absolute ones too, lead to places
 * below it, as they do for the machine itself. Where the kernel cannot do that (before 5.6, or
 * refused by a filter) and the root is not "/", a link is refused. fd (O_CLOEXEC) or -errno,
 * silent.
 */
int root_open(const struct roots *r, const char *path, int flags);

/* Whether this process's files name a pod: by its cgroup, or by what is mounted into it. */
bool process_in_pod(int procfd, pid_t pid);

#endif
