/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One round of discovery, between the files that make it up: scan.c finds processes and their
 * namespaces, mounts.c those that a file holds, owner.c says which pod a namespace belongs to,
 * host.c which is the host's, label.c what each is called, select.c what the command line chose;
 * target.c runs them and puts the result together.
 */
#ifndef SKOOP_DISCOVER_H
#define SKOOP_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arena.h"
#include "cgroup.h"
#include "target.h"

struct buf;
struct group;
struct pods;

/* A pod that some process belongs to. */
struct pod {
	const char *uid;              /* NULL: known by its containers only */
	const char *namespace, *name; /* NULL: nothing on disk names it */
	const char *source;
	struct group *home; /* the namespace of its oldest process, */
	uint64_t start;     /* which started then */
	pid_t pid;          /* and is this one */
	struct group *seen; /* scratch: the last namespace it was met in */
	size_t ngroups;     /* namespaces it has processes in */
	bool contested;     /* only start times can tell whose namespace is whose */
};

/* What a cgroup file says; shared by all processes with the same text. */
struct membership {
	struct pod *pod;       /* NULL: none */
	const char *container; /* NULL: none */
	bool by_uid;           /* by the UID in the path, not by the container's ID */
	bool monitor;          /* stands for a container without being in it */
	bool sibling;          /* of the reader's container */
};

struct proc {
	pid_t pid;
	struct group *group;
	const struct membership *in;
	struct pod *pod; /* that it makes this namespace one of, NULL: none */
	uint64_t key;    /* until it is joined by it, where there is no inode number */
	uint64_t start;  /* 0: not asked for */
	bool wanted;     /* a selector of processes chose it */
};

/* A network namespace. */
struct group {
	struct group *next;
	size_t index;
	uint64_t netns, key; /* 0: unknown */
	struct proc *procs;  /* ascending pids */
	size_t nprocs;
	const char *mount;      /* a file that holds it */
	const char *mount_name; /* its name, if it has a usable one */
	struct pod *pod;        /* its owner, or the pod it is nested in */
	size_t npods;           /* pods with processes in it */
	bool nested;
	bool orphan;      /* pods' processes in it, but it is nobody's */
	bool whole, part; /* chosen with all processes; with those that are wanted */
	const char *namespace, *label, *source;
};

/* What is said once in a run. */
struct said {
	bool propagation, assumed_host, denied;
	bool *host_pod; /* of each selector */
};

struct discovery {
	const struct target_options *opt;
	const struct roots *roots;
	struct pods *pods;
	struct said *said;
	struct arena arena; /* of all that is found, and of the strings of the targets */
	int procfd;         /* PROCFS, while the round is made */
	bool real;          /* PROCFS is the kernel's, not a copy of one */
	bool hidepid;
	struct proc *procs; /* by namespace, then pid */
	size_t nprocs, procs_size;
	size_t refused; /* processes not in procs: their namespace is refused */
	struct group *groups, *last;
	size_t ngroups;
	bool unjoined; /* some have no inode number: a mount may be one of them */
	struct group *host, *own;
	const char *host_source;
	bool in_pod;                  /* pid 1 is a pod's: the host is not to be seen */
	struct dict by_netns, by_key; /* → struct group */
	struct dict memberships;      /* cgroup text → struct membership */
	struct dict pod_of_uid, pod_of_container;
	const char **missing; /* of each selector: NULL: found, else how to name it */
	uint64_t hidden;
};

/* target.c: a result without targets, for targets_free(), and the memory of its texts and pids. NULL: out of memory. */
struct targets *targets_new(struct arena **arena);

/* scan.c: fills in procs and groups. 0 or -errno after one msg_error. */
int scan_processes(struct discovery *d);
/*
 * The namespace with this inode number (by_netns) or key (by_key), made if it is new. NULL: out of
 * memory.
 */
struct group *group_get(struct discovery *d, struct dict *by, uint64_t number);
/* The process with this pid, NULL: not seen. */
struct proc *proc_find(const struct discovery *d, pid_t pid);
/* A file of a process as it is now, into b (replaced). False: gone or refused. */
bool proc_text(const struct discovery *d, pid_t pid, const char *file, struct buf *b);

/* mounts.c: the namespaces in run/netns and run/docker/netns below the root. 0 or -ENOMEM. */
int scan_mounts(struct discovery *d);
/*
 * The namespace a file leads to, made if it is new. 0; -ENOENT; -EINVAL: it is no network
 * namespace; -ESTALE: it is the empty file a mount was made on, without the mount; -EACCES;
 * -ENOMEM.
 */
int mount_by_path(struct discovery *d, const char *path, struct group **group);
/* The same for a name in run/netns or run/docker/netns. */
int mount_by_name(struct discovery *d, const char *name, struct group **group);

/* owner.c */
/* What these bytes of a cgroup file say, looked up once in a round. NULL: out of memory. */
const struct membership *membership_get(struct discovery *d, const char *text, size_t len);
/* Says of each namespace which pod it belongs to. 0 or -ENOMEM. */
int owners_find(struct discovery *d);

/* host.c: finds the host's namespace. 0 or -errno after one msg_error: of --host-netns. */
int host_find(struct discovery *d);
/*
 * Where the host is out of sight: names the own namespace's pod from what a container knows of
 * itself. 0 or -ENOMEM.
 */
int sidecar_name(struct discovery *d);

/* label.c: gives each namespace its labels, no two the same. 0 or -ENOMEM. */
int labels_set(struct discovery *d);

/*
 * select.c: the selectors of namespaces, before labels; those of processes and pods, after. 0 or
 * -ENOMEM.
 */
int select_check(const struct target_options *opt);
int select_namespaces(struct discovery *d);
int select_processes(struct discovery *d);

#endif
