// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whose events and counters they are. The kernel half knows namespaces by number only, and the kernel gives the number
 * of one that is gone to the next one made: a name is used only while its namespace is seen to live.
 */
#include "bpf_run.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "array.h"
#include "options.h"
#include "out.h"
#include "process.h"
#include "target.h"
#include "target_pass.h"

/* How long a namespace that was seen is taken to live on. */
#define LIVES_ON (NSEC_PER_SEC / 100)
/* How long one that was not found is not looked for again, at first and at most. */
#define WAIT_MIN (NSEC_PER_SEC / 10)
#define WAIT_MAX (16 * NSEC_PER_SEC)
/* Searches for unknown namespaces may take this part of the time. */
#define SEARCH_SHARE 4

bool bpf_run_selecting(const struct bpf_run *r)
{
	return r->opt->target.nselectors && !r->opt->target.all;
}

/* Whether both are one namespace: what held it then holds it now. */
static bool is_same(const struct target *a, const struct target *b)
{
	size_t i = 0, j = 0;

	if (a->mount && b->mount && !strcmp(a->mount, b->mount))
		return true;
	while (i < a->npids && j < b->npids) {
		if (a->pids[i] == b->pids[j])
			return true;
		if (a->pids[i] < b->pids[j])
			i++;
		else
			j++;
	}
	return false;
}

/* Whether what held it when it was found holds it still. */
static bool is_held(const struct target *t)
{
	char path[PATH_MAX];
	struct stat st;

	if (t->mount && !stat(t->mount, &st) && st.st_ino == t->netns)
		return true;
	if (!t->npids)
		return false;
	snprintf(path, sizeof(path), "%s/%d/net/dev", t->roots->procfs, t->pids[0]);
	return !stat(path, &st) && st.st_ino == t->key;
}

bool bpf_run_targets_changed(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->targets->n; i++)
		if (r->targets->v[i].netns && !is_held(&r->targets->v[i]))
			return true;
	return false;
}

/* Removes the counters of a number that no longer means the namespace they were counted for. */
static void forget(struct bpf_run *r, uint64_t netns)
{
	int fd = bpf_run_map(r, "counters");
	struct counter_key key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &key);

	while (more) {
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (key.netns == netns)
			bpf_map_delete_elem(fd, &key);
		key = next;
	}
}

/* What the kernel half must learn of the difference between the targets before and now. */
static void compare(struct bpf_run *r, const struct targets *before)
{
	int fd = bpf_run_map(r, "targets");

	for (size_t i = 0; before && i < before->n; i++) {
		const struct target *was = &before->v[i],
				    *now = target_by_netns(r->targets, was->netns);
		uint32_t netns = (uint32_t)was->netns;

		if (now && !is_same(was, now))
			forget(r, netns);
		if (bpf_run_selecting(r) && was->selected && netns && !(now && now->selected))
			bpf_map_delete_elem(fd, &netns);
	}
}

/* Those known before the last search are kept for late events; then their counters go, too. */
static void retire(struct bpf_run *r, struct targets *before)
{
	for (size_t i = 0; r->object && r->old && i < r->old->n; i++) {
		uint64_t netns = r->old->v[i].netns;

		if (netns && !target_by_netns(before, netns) && !target_by_netns(r->targets, netns))
			forget(r, netns);
	}
	targets_free(r->old);
	r->old = before;
}

void bpf_run_admit(struct bpf_run *r)
{
	int fd = bpf_run_map(r, "targets");
	const uint8_t yes = 1;

	for (size_t i = 0; bpf_run_selecting(r) && i < r->targets->n; i++) {
		uint32_t netns = (uint32_t)r->targets->v[i].netns;

		if (r->targets->v[i].selected && netns)
			bpf_map_update_elem(fd, &netns, &yes, BPF_ANY);
	}
}

/* Notes that all of them were seen now. */
static int note_seen(struct bpf_run *r)
{
	if (array_grow(&r->seen_at, &r->seen_size, r->targets->n))
		return -ENOMEM;
	for (size_t i = 0; i < r->targets->n; i++)
		r->seen_at[i] = r->searched_at;
	return 0;
}

int bpf_run_search(struct bpf_run *r)
{
	struct targets *fresh, *before = r->targets;
	uint64_t start = process_now();
	int err = targets_first(r->finder, r->opt->given && !r->searched_at, &fresh);

	if (err)
		return err;
	out_round(r->out, fresh);
	r->targets = fresh;
	if (r->object) {
		compare(r, before);
		bpf_run_admit(r);
	}
	retire(r, before);
	r->searched_at = process_now();
	r->search_cost = r->searched_at - start;
	err = note_seen(r);
	if (err)
		msg_error("out of memory");
	return err;
}

int bpf_run_search_again(struct bpf_run *r)
{
	return process_now() - r->searched_at < WAIT_MIN ? 0 : bpf_run_search(r);
}

/* The note on a namespace that was not found, NULL: none. */
static struct stranger *stranger(struct bpf_run *r, uint32_t netns)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->strangers); i++)
		if (r->strangers[i].netns == netns)
			return &r->strangers[i];
	return NULL;
}

static void note_stranger(struct bpf_run *r, uint32_t netns)
{
	struct stranger *s = stranger(r, netns);

	if (!s) {
		s = &r->strangers[r->next_stranger++ % ARRAY_SIZE(r->strangers)];
		*s = (struct stranger){ .netns = netns, .wait = WAIT_MIN / 2 };
	}
	if (s->wait < WAIT_MAX)
		s->wait *= 2;
	s->due = process_now() + s->wait;
}

/* Whether to look for it now: not what was not found a moment ago, and not all the time. */
static bool worth_a_search(struct bpf_run *r, uint32_t netns, uint64_t now)
{
	const struct stranger *s = stranger(r, netns);

	return s ? now >= s->due : now - r->searched_at >= SEARCH_SHARE * r->search_cost;
}

const struct target *bpf_run_event_target(struct bpf_run *r, uint32_t netns)
{
	const struct target *t = target_by_netns(r->targets, netns);
	uint64_t now = netns ? process_now() : 0, *seen = t ? &r->seen_at[t - r->targets->v] : NULL;

	if (!netns)
		return NULL;
	if (t && now - *seen < LIVES_ON)
		return t;
	if (t && is_held(t)) {
		*seen = now;
		return t;
	}
	if (!worth_a_search(r, netns, now) || bpf_run_search(r))
		return bpf_run_target(r, netns);
	if (!target_by_netns(r->targets, netns))
		note_stranger(r, netns);
	return bpf_run_target(r, netns);
}

const struct target *bpf_run_owner(const struct bpf_run *r, enum metric_scope scope, uint32_t netns)
{
	bool machine = scope == SCOPE_HOST;
	const struct target *t = netns && !machine ? bpf_run_target(r, netns) : NULL;

	if (t)
		return t->selected ? t : NULL;
	return r->opt->target.nselectors && !machine ? NULL : out_unknown_target(r->out);
}

const struct target *bpf_run_target(const struct bpf_run *r, uint32_t netns)
{
	const struct target *t = target_by_netns(r->targets, netns);

	return t || !r->old ? t : target_by_netns(r->old, netns);
}
