/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels that are names, of disks or network devices: a key has room for a number that stands for the name. */
#ifndef SKOOP_NAMES_BPF_H
#define SKOOP_NAMES_BPF_H

#include "skoop.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, char[LABEL_NAME]);
} names SEC(".maps");

/*
 * The label that stands for a name, NUL to its end; what it stands for is noted for user space. The name decides alone
 * (FNV-1a, by words): what comes again under its old name goes on counting where it was.
 */
static __always_inline __u64 label_of_name(const char *name)
{
	const __u64 *words = (const __u64 *)name;
	__u64 hash = 0xcbf29ce484222325;

	for (int i = 0; i < LABEL_NAME / 8; i++)
		hash = (hash ^ words[i] ^ words[i] >> 32) * 0x100000001b3;
	if (!bpf_map_lookup_elem(&names, &hash))
		bpf_map_update_elem(&names, &hash, name, BPF_ANY);
	return hash;
}

#endif
