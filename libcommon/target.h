/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom we look at: network namespaces, each with the labels of the pod that owns it. */
#ifndef SKOOP_TARGET_H
#define SKOOP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What the command line chose. A selector is -n, -p, -c, -P with its text, or --host; none means
 * all.
 */
enum selector_kind { SEL_NETNS, SEL_PID, SEL_CONTAINER, SEL_POD, SEL_HOST };
struct selector {
	enum selector_kind kind;
	const char *text;
};

struct target_options {
	struct selector *selectors;
	size_t nselectors;
	bool all; /* -A, also the default without a selector */
	/* NULL: from the environment, else the default */
	const char *procfs, *sysfs, *rootfs, *pod_logs, *host_netns, *node;
};

/*
 * Where the machine's file systems are, after options, environment and defaults. No trailing slash,
 * "/" is "".
 */
struct roots {
	char *procfs, *sysfs, *rootfs, *pod_logs;
};

struct proc_cache;

struct target {
	const char *node, *namespace, *pod; /* the labels; never NULL, unique in a round */
	uint64_t netns; /* inode number of the namespace, 0 where it could not be read */
	uint64_t key;   /* st_ino of net/dev below procfs, 0 without a process */
	bool host;      /* the host's own namespace */
	bool selected;  /* by the command line; others are there for host values and late names */
	const char *mount;     /* a file that holds it (ip netns, CNI), NULL: none */
	const char *container; /* container ID of its first process, NULL: none */
	const char *uid;       /* pod UID, NULL: none */
	const char *source;    /* how the labels were found: "pod log directory", … */
	/*
	 * Its processes (thread-group leaders), ascending; where -p, -c or -P chose the target,
	 * only those that match.
	 */
	const pid_t *pids;
	size_t npids;
	const struct roots *roots;
	struct proc_cache *cache; /* procfs files read this round; libcommon/procfs.c owns it */
};

struct targets {
	struct target *v; /* sorted by namespace, then pod, bytewise */
	size_t n;
	const struct target *host; /* NULL: not to be seen */
	const struct target *own;  /* the reader's namespace */
	size_t npids;              /* processes seen */
	size_t refused;            /* of them, processes whose namespace could not be told apart */
	bool hidepid;
	/*
	 * Where a selector matched nothing: CAP_TO_MASK() of the capabilities for lack of which
	 * something was kept from the search, 0: all was searched.
	 */
	uint64_t hidden;
	/*
	 * Selectors that matched nothing ("--pod shop/web"), with a reason in brackets where there
	 * is one to give.
	 */
	char **missing;
	size_t nmissing;
	void *private;
};

/*
 * What stays between rounds: the roots, the node's name, host-namespace choice, warnings already
 * given. No file descriptor that could pin a namespace.
 */
struct target_finder;

/* 0 or -errno after one msg_error; -EINVAL: an option is malformed (EXIT_USAGE). */
int finder_open(const struct target_options *opt, struct target_finder **f);
void finder_close(struct target_finder *f);
/* What a missing privilege keeps from being seen has been said: it is not said again. */
void finder_told(struct target_finder *f);
const struct roots *finder_roots(const struct target_finder *f);

/*
 * One round of discovery. 0 or -errno after one msg_error; a namespace that vanishes meanwhile is
 * left out.
 */
int targets_load(struct target_finder *f, struct targets **ts);
void targets_free(struct targets *ts);

/*
 * Says which selectors matched nothing, a line each, and what kept something from the search. The
 * exit code for it: EXIT_OK, EXIT_NO_TARGET or EXIT_PRIVILEGE.
 */
int targets_report_missing(const struct targets *ts);
/* The exit code for what finder_open or targets_load returned. */
int target_exit_code(int err);

/* Who has the machine's own values and events: the host's target, or the own one where that is unknown; NULL: neither is. */
const struct target *targets_machine(const struct targets *ts);
/* How many the command line chose. */
size_t targets_selected(const struct targets *ts);

/* The target with this inode number, NULL: none. 0 is unknown and never matches. */
const struct target *target_by_netns(const struct targets *ts, uint64_t netns);

#endif
