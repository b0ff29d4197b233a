/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socketlatency: when which byte of a socket's queue came. */
#ifndef SKOOP_SOCKETLATENCY_RING_BPF_H
#define SKOOP_SOCKETLATENCY_RING_BPF_H

#include "skoop.bpf.h"
#include "socketlatency.h"

static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* An index that the verifiers of all kernels take for one: clang would drop what it holds to be needless. */
static __always_inline __u32 ring_slot(__u32 n)
{
	barrier_var(n);
	return n & (SL_RING - 1);
}

/* Takes out the k oldest. */
static __always_inline void ring_shift(struct sl_ring *r, __u32 k)
{
	__u32 n = r->n;

	if (!k)
		return;
	for (__u32 i = 0; i < SL_RING; i++) {
		__u32 from = i + k;

		if (from >= n || from >= SL_RING)
			break;
		r->at[i] = r->at[ring_slot(from)];
		r->seq[i] = r->seq[ring_slot(from)];
	}
	r->n = n > k ? n - k : 0;
}

/* How many entries there are up to seq. */
static __always_inline __u32 ring_count(const struct sl_ring *r, __u32 seq)
{
	__u32 n = r->n, k = 0;

	for (__u32 i = 0; i < SL_RING; i++) {
		if (i >= n || is_after(r->seq[i], seq))
			break;
		k = i + 1;
	}
	return k;
}

static __always_inline void ring_add(struct sl_ring *r, __u32 seq, __u64 at)
{
	__u32 n = r->n;

	if (n >= SL_RING)
		return;
	r->at[ring_slot(n)] = at;
	r->seq[ring_slot(n)] = seq;
	r->n = n + 1;
}

/*
 * Makes room in a full ring: of two neighbours, neither the oldest nor the newest, that are the closest for their age,
 * one goes. Its bytes take the earlier time, so that no wait ever looks shorter than it is.
 */
static __always_inline void ring_merge(struct sl_ring *r, __u64 now)
{
	__u64 best = ~0ULL;
	__u32 at = 1;

	for (__u32 i = 1; i < SL_RING - 2; i++) {
		__u64 gap = r->at[i + 1] - r->at[i], age = now - r->at[i + 1];
		__u64 share = (gap << 10) / (age | 1);

		if (share < best) {
			best = share;
			at = i;
		}
	}
	for (__u32 i = 1; i < SL_RING - 1; i++) {
		if (i < at)
			continue;
		r->seq[i] = r->seq[i + 1];
		if (i > at)
			r->at[i] = r->at[i + 1];
	}
	r->n = SL_RING - 1;
}

#endif
