/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of packetloss: reasons, the places that tell more than a reason does, and sums. */
#ifndef SKOOP_TOOLS_PACKETLOSS_H
#define SKOOP_TOOLS_PACKETLOSS_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_run;
struct buf;
struct kernel;

/* ---- reasons.c ---- */

/* Whether this kernel says why it drops a packet. */
bool has_reasons(struct kernel *k);
/* As the running kernel calls it; NULL: it has no such value. Valid until the next call. */
const char *reason_name(const struct kernel *k, uint64_t value);
/*
 * Hands the kernel half what each reason says. only, except: lists of names for --reason and --not-reason, or NULL.
 * 0 or -errno after one msg_error.
 */
int reasons_set(struct bpf_run *r, const char *only, const char *except);
/* Whether the kernel has a reason for what a firewall drops. */
bool names_netfilter(struct kernel *k);

/* ---- places.c ---- */

/* Before loading, and after: where what is freed was not lost, or was the firewall's doing. 0 or -errno. */
int places_set(struct bpf_run *r);
int places_fill(struct bpf_run *r);

/* ---- sums.c ---- */

const char *verdict_name(const struct kernel *k, uint64_t value);
void reason_label(const struct kernel *k, uint64_t value, struct buf *b);
/* What --by takes, as BY_*; -EINVAL after one msg_error. */
int sums_parse(const char *list, uint32_t *by);
/* The round's values. by: what -C counts by, 0: it was not given; top: how many of those, 0: all. 0 or -ENOMEM. */
int sums_collect(struct bpf_run *r, uint32_t by, uint64_t top);

#endif
