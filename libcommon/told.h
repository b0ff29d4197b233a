/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an output says beside its data: notes once a run, refusals by kind, losses at most once a second. */
#ifndef SKOOP_TOLD_H
#define SKOOP_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Things the kernel refused, by what they are. */
struct denied {
	char *things;
	uint64_t count, caps; /* of this round */
	bool told;
};

/* Records that never reached the output, by where they got lost. */
struct lost {
	const char *where;
	uint64_t pending; /* not told yet */
	uint64_t total, told_at;
	bool told;
};

struct told {
	char **notes;
	size_t nnotes, notes_size;
	struct denied *denied;
	size_t ndenied, denied_size;
	uint64_t denied_total, denied_caps;
	struct lost *lost;
	size_t nlost, lost_size;
};

/* A warning, unless it was given before. Takes the text. 0 or -ENOMEM. */
int told_note(struct told *t, char *text);

/* Counts a refusal. 0 or -ENOMEM. */
int told_deny(struct told *t, const char *things, uint64_t count, uint64_t caps);
/* Forgets the counts of a round, not what was told. */
void told_deny_reset(struct told *t);
/* Says, once a run for each kind, what was refused in this round. */
void told_denied(struct told *t);

/* Counts a loss; its account, NULL: out of memory. where: a constant. */
struct lost *told_lose(struct told *t, const char *where, uint64_t count);
/* Whether it is time to tell it. now: CLOCK_MONOTONIC, ns. */
bool told_lost_due(const struct lost *l, uint64_t now);
uint64_t told_lost_total(const struct told *t);

void told_free(struct told *t);

#endif
