/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pod of a container as its runtime has it on disk: containerd, CRI-O, docker. */
#ifndef SKOOP_RUNTIME_H
#define SKOOP_RUNTIME_H

#include <stddef.h>

struct roots;
struct pod_name;

enum runtime { RUNTIME_CONTAINERD, RUNTIME_CRIO, RUNTIME_DOCKER };

/*
 * Reads the text of a runtime's configuration file. 0; -ENOENT: not part of a pod; -EBADMSG: no
 * JSON.
 */
int runtime_parse(enum runtime runtime, const char *text, size_t len, struct pod_name *name);

/*
 * Looks for the container (64 hex digits) in each runtime's directory. 0; -ENOENT: none has it, or
 * not as part of a pod; -EACCES: one may have it and cannot be read (CAP_DAC_READ_SEARCH).
 */
int runtime_pod(const struct roots *roots, const char *id, struct pod_name *name);

#endif
