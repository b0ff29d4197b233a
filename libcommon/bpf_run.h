/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run of a probe that traces, as the files bpf*.c share it. */
#ifndef SKOOP_BPF_RUN_STATE_H
#define SKOOP_BPF_RUN_STATE_H

#include "bpf.h"
#include "kernel.h"
#include "util.h"

struct bpf_link;
struct hist_table;
struct bpf_object;
struct bpf_program;

/* What became of a hook. */
struct hook_state {
	int program; /* index into hook.programs of the one that serves or is tried, -1: none does */
	bool unwanted;      /* this kernel does not need it */
	bool denied;        /* a program was refused for lack of privilege, or by a policy */
	struct buf refused; /* "fentry: Operation not supported; kprobe: …" */
	struct bpf_link *link;
};

/* A program's section, "tp_btf/tcp_retransmit_skb", in its two parts. */
struct hook_place {
	char kind[16];
	const char *target;
};

/* A namespace that was looked for and not found. */
struct stranger {
	uint32_t netns;
	uint64_t due, wait; /* when to look for it again, and the time between the last two */
};

#define NHANDLERS 3

struct bpf_run {
	const struct probe *probe;
	const struct tracing *tracing;
	const struct options *opt;
	struct target_finder *finder;
	struct out *out;
	struct kernel *kernel;
	struct targets *targets,
		*old; /* now; and before the last search, for events that come late */
	uint64_t searched_at, search_cost; /* ns */
	uint64_t *seen_at;                 /* of targets->v: when each was last seen to live */
	size_t seen_size;
	struct stranger strangers[64]; /* the last ones */
	size_t next_stranger;
	struct bpf_object *object;
	int types_fd;  /* the kernel's types as far as the object names them, -1: not made yet */
	int module_fd; /* the types of the module whose functions are traced, -1: of none */
	struct bpf_rows *rows; /* of the present round */
	int handlers[NHANDLERS];
	size_t nhandlers;
	struct hook_state *hooks;
	size_t nhooks;
	uint64_t lost[NLOST];     /* told so far */
	uint64_t budget;          /* events until other things must be looked after */
	struct hist_table *hists; /* of the last round */
	uint64_t looked_at,
		looking_at;   /* when operations in flight were last looked at, and are now */
	bool all_in_flight;   /* a round or the end: those told before are told again */
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

/* ---- bpf_constants.c: before loading; 0 or -errno after one msg_error ---- */

int bpf_run_set_constants(struct bpf_run *r);
int bpf_run_set_sizes(struct bpf_run *r);

/* ---- bpf_attach.c ---- */

/* Has libbpf ask us what tracing programs are attached to, until bpf_run_unhandle(). 0 or -errno. */
int bpf_run_handle(struct bpf_run *r);
void bpf_run_unhandle(struct bpf_run *r);

/* ---- bpf_hooks.c ---- */

/* Chooses for each hook the first program whose place this kernel has. */
void bpf_run_choose(struct bpf_run *r);
/* The program that serves hook i or is tried for it, and its place; NULL: the object has none of that name. */
struct bpf_program *bpf_run_program(const struct bpf_run *r, size_t i, struct hook_place *place);
/* Hook i's program was refused with err: chooses the next one. */
void bpf_run_next_program(struct bpf_run *r, size_t i, int err);
/* The first hook the probe cannot run without and that no program serves; -1: it can run. */
int bpf_run_without(const struct bpf_run *r);
void bpf_run_tell_hooks(const struct bpf_run *r);

/* ---- bpf_counters.c ---- */

/* Hands this round's counters to out_metric(). 0 or -errno after one msg_error. */
int bpf_run_counters(struct bpf_run *r);
/* The text of a label's value: by `text`, else by the map `names`, else as a number. */
void bpf_run_label(struct bpf_run *r,
		   void (*text)(const struct kernel *k, uint64_t value, struct buf *b),
		   uint64_t value, struct buf *b);
/* Hands this round's histograms to out_hist(). 0 or -ENOMEM. */
int bpf_run_hists(struct bpf_run *r);
void bpf_run_hists_free(struct bpf_run *r);
/* Tells what was lost since the last call. */
void bpf_run_tell_lost(struct bpf_run *r);

/* ---- bpf_targets.c ---- */

/* Whether the command line chose targets, which the kernel half then tells apart. */
bool bpf_run_selecting(const struct bpf_run *r);
/* Looks at the machine's namespaces. 0 or -errno after one msg_error. */
int bpf_run_search(struct bpf_run *r);
/* Whether one that was found is gone. */
bool bpf_run_targets_changed(const struct bpf_run *r);
/* Tells the kernel half which namespaces to let through. */
void bpf_run_admit(struct bpf_run *r);
/* The target of an event: a namespace not known, or no longer, is looked for. NULL: none is found. */
const struct target *bpf_run_event_target(struct bpf_run *r, uint32_t netns);
/*
 * Whose a count is; NULL: of a target that was not asked for. What belongs to no known namespace is told as such unless
 * there is a selection. A value of the machine has a stand-in, for which out_metric() and out_hist() put the machine's target.
 */
const struct target *bpf_run_owner(const struct bpf_run *r, enum metric_scope scope, uint32_t netns);
/* The target of a namespace, also of one that is gone since the last search; NULL: none is known. */
const struct target *bpf_run_target(const struct bpf_run *r, uint32_t netns);

#endif
