/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every read below /proc, at the place the command line says it is. Files of a namespace are read through one of
 * its processes, which needs no capability, or from inside where it has none.
 */
#ifndef SKOOP_PROCFS_H
#define SKOOP_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target;
struct roots;
struct metric;
struct proc_cache;
struct out;

/*
 * The text of net/FILE as the target's namespace sees it, read once a round; it belongs to the target. 0, -ENOENT
 * (this kernel has no such file), -ESRCH (the target is gone), -EACCES/-EPERM, other -errno after one msg_error.
 */
int proc_net(const struct target *t, const char *file, const char **text);

/* The same for sys/net/FILE, which follows the reader's namespace: the target is entered (see netns_call). */
int proc_sys_net(const struct target *t, const char *file, char **text);

/* A file of the machine, PROCFS/FILE. The caller frees *text. 0 or -errno, silent. */
int proc_read(const struct roots *roots, const char *file, char **text);

/* PROCFS/PID as a directory handle, which after pid reuse says ESRCH and never shows another process. fd or -errno. */
int proc_pid_open(const struct roots *roots, pid_t pid);
/* FILE below such a handle. The caller frees *text. 0 or -errno, silent. */
int proc_pid_read(int pidfd, const char *file, char **text);

/*
 * Files of the form of net/snmp and net/netstat: a line "Group: Key Key…" and below it "Group: value value…".
 * Emits each row of metrics[] whose key is "Group:Key" of this group and that the file has; with `rest` also the
 * group's further keys, as counters named by the lower-case key. As proc_net; -EBADMSG after one msg_error for a
 * file that does not have that form.
 */
int proc_pairs(const struct target *t, const char *file, const char *group, bool rest, struct out *o);

/* One value of such a file; the texts are not terminated. A negative value is two's complement. */
struct pair {
	const char *group, *key;
	size_t group_len, key_len;
	uint64_t value;
};
typedef int (*pair_fn)(const struct pair *pair, void *arg);

/*
 * Hands each pair of the text to fn, in the file's order; a non-zero result of fn ends the walk and is returned.
 * -EBADMSG: a line that is not of the form (a header without values, other numbers of them, no number, cut off).
 */
int pairs_each(const char *text, pair_fn fn, void *arg);

void proc_cache_free(struct proc_cache *cache);

#endif
