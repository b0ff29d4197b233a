/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a process tell of the pod and container it runs in. Text in, no file is read here. */
#ifndef SKOOP_CGROUP_H
#define SKOOP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POD_UID_MAX 128
#define CONTAINER_ID_LEN 64
#define CGROUP_PODS 8

/* A pod's level in a cgroup path. */
struct cgroup_pod {
	char uid[POD_UID_MAX + 1];            /* `_` is written `-`: systemd's names cannot tell the two apart */
	char container[CONTAINER_ID_LEN + 1]; /* "": none follows */
	bool monitor;                         /* CRI-O's conmon: in the pod's cgroup, in the host's namespaces */
};

struct cgroup {
	struct cgroup_pod pods[CGROUP_PODS]; /* outermost first */
	size_t npods;
	/* Where no pod is named: */
	char container[CONTAINER_ID_LEN + 1];
	bool monitor;
	/* The path leads from the reader's own cgroup right to a container beside it: one of the reader's pod. */
	bool sibling;
};

/*
 * Reads the text of /proc/PID/cgroup (v1, v2 or both). The line with a pod wins, `0::` before name=systemd before the
 * others; else the first with a container.
 */
void cgroup_parse(const char *text, struct cgroup *cg);

/* Whether this may be a pod UID at all: [A-Za-z0-9._-]{1,128}; manifests can set any. */
bool uid_valid(const char *uid, size_t len);
/* Copies a valid UID with each `_` as `-`. */
void uid_copy(char to[POD_UID_MAX + 1], const char *uid, size_t len);

/* The pod UID in the text of /proc/PID/mountinfo: the kubelet's etc-hosts or termination log, mounted into it. */
bool mountinfo_uid(const char *text, char uid[POD_UID_MAX + 1]);

/* The start time (field 22, clock ticks since boot) in the text of /proc/PID/stat; false: malformed. */
bool stat_start(const char *text, uint64_t *start);

#endif
