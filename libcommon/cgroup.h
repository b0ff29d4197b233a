/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a process tell of its pod and container. Text in; no file is read here. */
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
	char uid[POD_UID_MAX + 1];            /* `_` as `-`: systemd's names have one for both */
	char container[CONTAINER_ID_LEN + 1]; /* "": none follows */
	bool monitor;                         /* conmon: in the pod's cgroup, not in the pod */
};

struct cgroup {
	struct cgroup_pod pods[CGROUP_PODS]; /* outermost first */
	size_t npods;
	/* Where no pod is named: */
	char container[CONTAINER_ID_LEN + 1];
	bool monitor;
	/* The path leads from the reader's cgroup to one beside it: a container of the same pod. */
	bool sibling;
};

/*
 * Reads the text of /proc/PID/cgroup (v1, v2 or both). The line with a pod wins, `0::` before
 * name=systemd before the others; else the first with a container.
 */
void cgroup_parse(const char *text, struct cgroup *cg);

/* Whether this may be a pod UID at all: [A-Za-z0-9._-]{1,128}; manifests can set any. */
bool uid_valid(const char *uid, size_t len);
/* Copies a valid UID with each `_` as `-`. */
void uid_copy(char to[POD_UID_MAX + 1], const char *uid, size_t len);

/* The pod UID in the text of /proc/PID/mountinfo: of the files the kubelet mounts into it. */
bool mountinfo_uid(const char *text, char uid[POD_UID_MAX + 1]);

/* The start time (clock ticks since boot) in the text of /proc/PID/stat; false: malformed. */
bool stat_start(const char *text, uint64_t *start);

#endif
