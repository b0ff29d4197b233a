/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptor table of a process: how many descriptors of which kind, and whether another
 * process has the same.
 */
#ifndef SKOOP_FDTABLE_H
#define SKOOP_FDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FD_TYPES 19
enum { FD_SOCKET = 0 };

/* "socket", "pipe", "file"…; two adjacent types may have one name. `type` is below FD_TYPES. */
const char *fd_type_name(unsigned int type);

struct fd_table {
	pid_t pid;
	bool links;    /* the links could be read, so types[] and deleted are known */
	bool again;    /* another process has the same and counts it (fd_tables_mark) */
	uint64_t fds;  /* descriptors open; each counts, also several of one file */
	uint64_t hint; /* equal where the table is the same */
	uint32_t types[FD_TYPES],
		deleted; /* by type they add up to fds; deleted: files without a name */
};

/*
 * Reads the table of the process behind the handle pidfd (proc_pid_open); tb is zeroed but for the
 * pid. own: it is this process, and what is open for the reading is left out. detail: all types and
 * deleted files, else only sockets are told from the rest, which is quicker. 0; -EACCES, -EPERM:
 * refused; -ENOENT, -ESRCH: gone; other -errno. Silent.
 */
int fd_table_read(struct fd_table *tb, int pidfd, bool own, bool detail);

/*
 * Marks the tables that another process in v has, too, which is not marked (clone with
 * CLONE_FILES); v itself is of no use afterwards. 0 or -errno: kcmp cannot compare them, and the
 * marks say nothing. The pids must be of the own pid namespace.
 */
int fd_tables_mark(struct fd_table **v, size_t n);

#endif
