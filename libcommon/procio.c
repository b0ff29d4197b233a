// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What processes read and wrote, as /proc/PID/io has it, and its growth while processes come and
 * go.
 */
#include "procio.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "procfs.h"
#include "target.h"
#include "util.h"

/* Rounds after which what was not seen again is forgotten. */
#define MISSED_MAX 2

/* What is remembered of a process between rounds. */
struct procio_account {
	pid_t pid, parent;
	uint64_t start; /* in ticks since boot: one of the same number starts later */
	struct procio last;
	unsigned int missed; /* rounds since it was read */
	bool settled;        /* it has ended, and what its parent took over has been seen to */
};

struct procio_total {
	char *name; /* NAMESPACE/POD */
	struct procio sum;
	unsigned int missed;
};

/* The text of PID/io, which always has all of them. 0 or -EBADMSG. */
static int figures_parse(char *text, struct procio *f)
{
	static const char *const keys[PROCIO_FIELDS] = { "rchar",
							 "wchar",
							 "syscr",
							 "syscw",
							 "read_bytes",
							 "write_bytes",
							 "cancelled_write_bytes" };
	unsigned int found = 0;
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *value = strstr(line, ": ");

		if (!value)
			return -EBADMSG;
		*value = '\0';
		for (size_t i = 0; i < PROCIO_FIELDS; i++) {
			if (strcmp(line, keys[i]))
				continue;
			if (parse_u64(value + 2, 0, UINT64_MAX, &f->v[i]))
				return -EBADMSG;
			found |= 1U << i;
		}
	}
	return found == (1U << PROCIO_FIELDS) - 1 ? 0 : -EBADMSG;
}

/*
 * "41 (name) S PARENT …", the start being the 22nd word; the name may hold anything. 0 or -EBADMSG.
 */
static int account_parse(char *text, struct procio_account *a)
{
	char *rest = strrchr(text, ')'), *word = NULL;
	uint64_t parent = 0;

	for (unsigned int i = 3; rest && i <= 22; i++) {
		word = strtok_r(i == 3 ? rest + 1 : NULL, " \n", &rest);
		if (i == 4 && (!word || parse_u64(word, 0, INT32_MAX, &parent)))
			return -EBADMSG;
	}
	if (!word || parse_u64(word, 0, UINT64_MAX, &a->start))
		return -EBADMSG;
	a->parent = (pid_t)parent;
	return 0;
}

void procio_add(struct procio *sum, const struct procio *f)
{
	for (size_t i = 0; i < PROCIO_FIELDS; i++)
		sum->v[i] += f->v[i];
}

/* What of it was not there before; no figure falls while its process lives. */
static void figures_subtract(struct procio *f, const struct procio *before)
{
	for (size_t i = 0; i < PROCIO_FIELDS; i++)
		f->v[i] -= before->v[i] < f->v[i] ? before->v[i] : f->v[i];
}

static bool figures_cover(const struct procio *f, const struct procio *part)
{
	for (size_t i = 0; i < PROCIO_FIELDS; i++)
		if (f->v[i] < part->v[i])
			return false;
	return true;
}

static int account_order(const void *va, const void *vb)
{
	const struct procio_account *a = va, *b = vb;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

static struct procio_account *account_find(const struct procio_ledger *l, pid_t pid)
{
	const struct procio_account key = { .pid = pid };

	return l->sorted ? bsearch(&key, l->accounts, l->sorted, sizeof(key), account_order) : NULL;
}

static bool ended(const struct roots *roots, pid_t pid)
{
	auto_close int fd = proc_pid_open(roots, pid);

	return fd == -ENOENT || fd == -ESRCH;
}

/*
 * Takes out of a process's growth what has been shown of its children, and theirs, that it waited
 * for. One that it did not wait for left no trace in it: growth that could not hold all of its
 * figures is the process's own.
 */
static void take_over(struct procio_ledger *l, const struct roots *roots, pid_t parent,
		      struct procio *growth)
{
	for (struct procio_account *a = l->accounts; a < l->accounts + l->sorted; a++) {
		if (a->parent != parent || a->settled || !ended(roots, a->pid))
			continue;
		a->settled = true;
		if (figures_cover(growth, &a->last))
			figures_subtract(growth, &a->last);
		take_over(l, roots, a->pid, growth);
	}
}

/* Books a process as read now; *growth is by how much its figures grew. 0 or -ENOMEM. */
static int account_book(struct procio_ledger *l, const struct roots *roots,
			const struct procio_account *now, struct procio *growth)
{
	static const struct procio none;
	struct procio_account *a = account_find(l, now->pid);

	*growth = now->last;
	if (a && a->start == now->start)
		figures_subtract(growth, &a->last);
	/*
	 * A parent that waited has grown: for the idle, which most are, there is nothing to look
	 * for.
	 */
	if (!figures_cover(&none, growth))
		take_over(l, roots, now->pid, growth);
	if (!a) {
		if (array_grow(&l->accounts, &l->accounts_size, l->naccounts + 1))
			return -ENOMEM;
		a = &l->accounts[l->naccounts++];
	}
	*a = *now;
	return 0;
}

int procio_total(struct procio_ledger *l, const struct target *t, struct procio *sum)
{
	struct procio_total *total = l->totals, *end = total + l->ntotals;
	char *name;

	if (l->naccounts > l->sorted)
		qsort(l->accounts, l->naccounts, sizeof(*l->accounts), account_order);
	l->sorted = l->naccounts;
	if (asprintf(&name, "%s/%s", t->namespace, t->pod) < 0)
		return -ENOMEM;
	while (total < end && strcmp(total->name, name))
		total++;
	if (total < end) {
		free(name);
	} else if (array_grow(&l->totals, &l->totals_size, l->ntotals + 1)) {
		free(name);
		return -ENOMEM;
	} else {
		total = &l->totals[l->ntotals++];
		*total = (struct procio_total){ .name = name };
	}
	total->missed = 0;
	procio_add(&total->sum, sum);
	*sum = total->sum;
	return 0;
}

void procio_sweep(struct procio_ledger *l, const struct roots *roots)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->naccounts; i++) {
		struct procio_account *a = &l->accounts[i];

		/* A zombie cannot be read, but its parent may still wait for it. */
		if (a->missed++ < MISSED_MAX || !ended(roots, a->pid))
			l->accounts[kept++] = *a;
	}
	l->naccounts = l->sorted = kept;
	kept = 0;
	for (size_t i = 0; i < l->ntotals; i++) {
		if (l->totals[i].missed++ < MISSED_MAX)
			l->totals[kept++] = l->totals[i];
		else
			free(l->totals[i].name);
	}
	l->ntotals = kept;
}

int procio_read(struct procio_ledger *l, const struct roots *roots, pid_t pid, struct procio *growth)
{
	auto_close int pidfd = proc_pid_open(roots, pid);
	auto_free char *io = NULL, *stat = NULL;
	struct procio_account now = { .pid = pid };
	int err = pidfd < 0 ? -ESRCH : proc_pid_read(pidfd, "io", &io);

	/* The handle outlives the process. */
	if (err == -ENOENT && ended(roots, pid))
		err = -ESRCH;
	if (!err && l)
		err = proc_pid_read(pidfd, "stat", &stat);
	if (err)
		return err;
	if (figures_parse(io, &now.last) || (stat && account_parse(stat, &now))) {
		msg_error("%s/%d: io or stat is not of the form this kernel file has",
			  roots->procfs, (int)pid);
		return -EBADMSG;
	}
	*growth = now.last;
	return l ? account_book(l, roots, &now, growth) : 0;
}
