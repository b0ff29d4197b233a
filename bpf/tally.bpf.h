/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kernel half counts for user space's own use: of a table whose entries may have to give way, how many were made and ended. */
#ifndef SKOOP_TALLY_BPF_H
#define SKOOP_TALLY_BPF_H

#include "skoop.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NTALLY);
	__type(key, __u32);
	__type(value, __u64);
} tally SEC(".maps");

static __always_inline void tally_one(__u32 what)
{
	array_add(&tally, what, 1);
}

#endif
