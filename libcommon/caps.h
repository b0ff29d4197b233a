/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which capabilities this process has, and how to say which one is missing. */
#ifndef SKOOP_CAPS_H
#define SKOOP_CAPS_H

#include <stdint.h>

/* The effective set, one bit a capability (CapEff of /proc/self/status); 0 where it cannot be read. */
uint64_t caps_effective(void);

/* Adds "CAP_X, CAP_Y": those of the set that any probe asks for. */
struct buf;
void caps_list(struct buf *b, uint64_t set);

/*
 * One error line after the kernel refused something: "TEXT: missing CAP_X (have CAP_Y)" where some of `needed` are not
 * held, else what else may have refused (seccomp, user namespace, security module), as facts.
 */
void caps_report(uint64_t needed, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
