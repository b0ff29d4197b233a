/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every read below /proc, at the place the command line says it is. Files of a namespace are read
 * through one of its processes, which needs no capability, or from inside where it has none.
 */
#ifndef SKOOP_PROCFS_H
#define SKOOP_PROCFS_H

#include <stdbool.h>
#include <sys/types.h>

struct target;
struct roots;
struct proc_cache;

/*
 * The text of net/FILE as the target's namespace sees it, read once a round; it belongs to the
 * target. 0, -ENOENT (this kernel has no such file), -ESRCH (the target is gone), -EACCES/-EPERM,
 * other -errno after one msg_error.
 */
int proc_net(const struct target *t, const char *file, const char **text);

/*
 * The same for sys/net/FILE, which follows the reader's namespace: the target is entered (see
 * netns_call).
 */
int proc_sys_net(const struct target *t, const char *file, char **text);

/*
 * net/FILE to be read in parts, where it may be too large for memory. A descriptor, which holds the namespace: close it
 * before the next target; or -errno as proc_net, silent.
 */
int proc_net_open(const struct target *t, const char *file);

/* A file of the machine, PROCFS/FILE. The caller frees *text. 0 or -errno, silent. */
int proc_read(const struct roots *roots, const char *file, char **text);

/*
 * PROCFS/PID as a directory handle, which after pid reuse says ESRCH and never shows another
 * process. fd or -errno.
 */
int proc_pid_open(const struct roots *roots, pid_t pid);
/* The own process as PROCFS numbers it; -1 where it is not there. */
pid_t proc_own_pid(const struct roots *roots);
/*
 * Whether a target without processes has none. Without CAP_SYS_PTRACE it may only seem so: the
 * processes are there, but which namespace is theirs cannot be told.
 */
bool proc_empty(const struct target *t);
/* FILE below such a handle. The caller frees *text. 0 or -errno, silent. */
int proc_pid_read(int pidfd, const char *file, char **text);

/* The message, once a round, for a net/FILE that is not of its form. */
void proc_malformed(const struct target *t, const char *file);

void proc_cache_free(struct proc_cache *cache);

#endif
