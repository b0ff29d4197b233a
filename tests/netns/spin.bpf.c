// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A delay for tests: who is called spinMS and adds to a virtqueue is kept busy there for MS milliseconds (three digits),
 * 2.5 s for "spinlong". Loops are bounded for kernels without bpf_loop, so each round copies much: it is for machines that
 * are slow enough.
 */
#include "bpf/vmlinux.h"

#include <bpf/bpf_helpers.h>

#define CHUNK 131072

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[2 * CHUNK]);
} room SEC(".maps");

/* How often it was done, for tests to compare. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} spins SEC(".maps");

static __always_inline __u64 wanted_ns(void)
{
	char comm[16];

	bpf_get_current_comm(comm, sizeof(comm));
	if (comm[0] != 's' || comm[1] != 'p' || comm[2] != 'i' || comm[3] != 'n')
		return 0;
	if (comm[4] == 'l')
		return 2500000000ULL;
	return ((comm[4] - '0') * 100 + (comm[5] - '0') * 10 + comm[6] - '0') * 1000000ULL;
}

SEC("kprobe/virtqueue_add_sgs")
int spin(void *ctx)
{
	__u64 until = wanted_ns(), *done;
	__u32 zero = 0;
	char *chunk;

	if (!until)
		return 0;
	until += bpf_ktime_get_ns();
	chunk = bpf_map_lookup_elem(&room, &zero);
	done = bpf_map_lookup_elem(&spins, &zero);
	if (!chunk || !done)
		return 0;
	for (int i = 0; i < 40000 && bpf_ktime_get_ns() < until; i++)
		bpf_probe_read_kernel(chunk, CHUNK, chunk + CHUNK);
	__sync_fetch_and_add(done, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
