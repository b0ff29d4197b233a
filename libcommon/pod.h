/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From pod UID or container ID to the pod's name, by what kubelet and runtime leave on disk: the
 * names of log directories, the names of log files, the runtime's configuration of a container. No
 * API, no socket.
 */
#ifndef SKOOP_POD_H
#define SKOOP_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"

#define POD_NAMESPACE_MAX 63
#define POD_NAME_MAX 253

struct roots;

struct pod_name {
	char namespace[POD_NAMESPACE_MAX + 1];
	char pod[POD_NAME_MAX + 1];
	char uid[POD_UID_MAX + 1]; /* as uid_copy leaves it; "": the source does not say */
	const char *source;
};

/*
 * Fills in namespace and pod if both are names Kubernetes allows (DNS-1123 label and subdomain),
 * else false.
 */
bool pod_name_set(struct pod_name *name, const char *namespace, size_t namespace_len,
		  const char *pod, size_t pod_len);

/* A directory in /var/log/pods: `<namespace>_<pod>_<uid>`. */
bool pod_log_split(const char *file, struct pod_name *name);
/*
 * A link in /var/log/containers: `<pod>_<namespace>_<container>-<id>.log`. False, too, where the
 * file name limit cut the ID.
 */
bool container_log_split(const char *file, struct pod_name *name, char id[CONTAINER_ID_LEN + 1]);

/*
 * The names known so far; lives as long as its user, the directories are read again when they
 * changed.
 */
struct pods;
/* pod_logs: the directory given by option, NULL: the one below the root. NULL: out of memory. */
struct pods *pods_open(const struct roots *roots, const char *pod_logs);
void pods_close(struct pods *p);
/* A new round: what was not found may be there now. */
void pods_round(struct pods *p);

/* The pod with this UID (as uid_copy leaves it). */
bool pod_by_uid(struct pods *p, const char *uid, struct pod_name *name);
/* The pod of this container, by the log's name, else by the runtime's configuration. */
bool pod_by_container(struct pods *p, const char *id, struct pod_name *name);

/* Whether a directory or file could not be read for lack of permission in this round. */
bool pods_denied(const struct pods *p);

#endif
