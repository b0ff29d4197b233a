/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes read and wrote, as /proc/PID/io has it, and its growth while processes come and
 * go.
 */
#ifndef SKOOP_PROCIO_H
#define SKOOP_PROCIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct roots;
struct target;

/* In the file's order. */
enum procio_field {
	PROCIO_RCHAR,
	PROCIO_WCHAR,
	PROCIO_SYSCR,
	PROCIO_SYSCW,
	PROCIO_READ_BYTES,
	PROCIO_WRITE_BYTES,
	PROCIO_CANCELLED,
	PROCIO_FIELDS
};
struct procio {
	uint64_t v[PROCIO_FIELDS];
};

void procio_add(struct procio *sum, const struct procio *f);

/*
 * The kernel adds the figures of a process to those of the parent that waits for it. So the figures
 * of the living do not add up to a counter: they fall when a process ends whose parent belongs to
 * another target or does not wait, and what was counted of a process would count again with its
 * parent. A ledger gives the growth from round to round instead. Starts as {}.
 */
struct procio_ledger {
	struct procio_account *accounts; /* by pid; past `sorted`, of the target being read */
	struct procio_total *totals;
	size_t naccounts, accounts_size, sorted, ntotals, totals_size;
};

/*
 * Reads one process: with a ledger *growth is by how much its figures grew since it was read last,
 * less what it took over from children that were read before; without (NULL) it is the figures
 * themselves. 0; -EACCES, -EPERM: refused; -ESRCH: gone; -ENOENT: this kernel has no such file;
 * -EBADMSG after one msg_error; other -errno.
 */
int procio_read(struct procio_ledger *l, const struct roots *roots, pid_t pid,
		struct procio *growth);

/*
 * After the last process of a target: *sum, their growth, becomes the target's total, which never
 * falls; it is kept by labels, for they are what a series is known by. 0 or -ENOMEM.
 */
int procio_total(struct procio_ledger *l, const struct target *t, struct procio *sum);

/* After a round: forgets what has not been seen for some. */
void procio_sweep(struct procio_ledger *l, const struct roots *roots);

#endif
