/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pod of a container as its runtime has it on disk: containerd, CRI-O, docker. */
#ifndef SKOOP_RUNTIME_H
#define SKOOP_RUNTIME_H

struct roots;
struct pod_name;

/*
 * Looks for the container (64 hex digits) in each runtime's directory. 0; -ENOENT: none has it, or not as part of a
 * pod; -EACCES: one may have it and cannot be read (CAP_DAC_READ_SEARCH).
 */
int runtime_pod(const struct roots *roots, const char *id, struct pod_name *name);

#endif
