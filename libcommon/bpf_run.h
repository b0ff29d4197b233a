/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run of a probe that traces, as the files bpf*.c share it. */
#ifndef SKOOP_BPF_RUN_STATE_H
#define SKOOP_BPF_RUN_STATE_H

#include "bpf.h"
#include "kernel.h"
#include "util.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;

/* What became of a hook. */
struct hook_state {
	int program; /* index into hook.programs of the one that serves or is tried, -1: none does */
	bool unwanted;      /* this kernel does not need it */
	struct buf refused; /* "fentry: Operation not supported; kprobe: …" */
	struct bpf_link *link;
};

struct bpf_run {
	const struct probe *probe;
	const struct tracing *tracing;
	const struct options *opt;
	struct target_finder *finder;
	struct out *out;
	struct kernel *kernel;
	struct targets *targets,
		*old; /* now; and before the last search, for events that come late */
	uint64_t searched_at,
		patience; /* when, and how long an unknown namespace must wait for the next */
	struct bpf_object *object;
	struct hook_state *hooks;
	size_t nhooks;
	uint64_t lost[NLOST]; /* told so far */
	uint64_t budget;      /* events until other things must be looked after */
	uint64_t lost_events; /* all that was lost, for the metric of that name */
};

/*
 * Opens, chooses hooks, loads and attaches. EXIT_OK, or another exit code after one line that says what is missing
 * and what to do.
 */
int bpf_run_load(struct bpf_run *r);
/* Detaches, and waits until no program runs any more: what is in the maps then is final. */
void bpf_run_detach(struct bpf_run *r);
void bpf_run_unload(struct bpf_run *r);

/* Hands this round's counters to out_metric(). 0 or -errno after one msg_error. */
int bpf_run_counters(struct bpf_run *r);
/* Tells what was lost since the last call. */
void bpf_run_tell_lost(struct bpf_run *r);
/* The target of a namespace, also of one that is gone since the last search; NULL: none is known. */
const struct target *bpf_run_target(const struct bpf_run *r, uint32_t netns);

#endif
