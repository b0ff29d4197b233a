// SPDX-License-Identifier: GPL-2.0-or-later
/* What an output says beside its data, and how often. */
#include "told.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "array.h"
#include "caps.h"
#include "util.h"

int told_note(struct told *t, char *text)
{
	for (size_t i = 0; i < t->nnotes; i++) {
		if (!strcmp(t->notes[i], text)) {
			free(text);
			return 0;
		}
	}
	msg_warn("%s", text);
	if (array_grow(&t->notes, &t->notes_size, t->nnotes + 1)) {
		free(text);
		return -ENOMEM;
	}
	t->notes[t->nnotes++] = text;
	return 0;
}

static struct denied *denied_find(struct told *t, const char *things)
{
	char *copy;

	for (size_t i = 0; i < t->ndenied; i++)
		if (!strcmp(t->denied[i].things, things))
			return &t->denied[i];
	copy = strdup(things);
	if (!copy || array_grow(&t->denied, &t->denied_size, t->ndenied + 1)) {
		free(copy);
		return NULL;
	}
	t->denied[t->ndenied] = (struct denied){ .things = copy };
	return &t->denied[t->ndenied++];
}

int told_deny(struct told *t, const char *things, uint64_t count, uint64_t caps)
{
	struct denied *d = denied_find(t, things);

	if (!d)
		return -ENOMEM;
	d->count += count;
	d->caps |= caps;
	t->denied_total += count;
	t->denied_caps |= caps;
	return 0;
}

void told_deny_reset(struct told *t)
{
	for (size_t i = 0; i < t->ndenied; i++)
		t->denied[i].count = t->denied[i].caps = 0;
}

void told_denied(struct told *t)
{
	for (size_t i = 0; i < t->ndenied; i++) {
		struct denied *d = &t->denied[i];

		if (d->told || !d->count)
			continue;
		d->told = true;
		if (d->count == 1)
			caps_report(d->caps, "one of the %s skipped", d->things);
		else
			caps_report(d->caps, "%" PRIu64 " %s skipped", d->count, d->things);
	}
}

struct lost *told_lose(struct told *t, const char *where, uint64_t count)
{
	struct lost *l = NULL;

	for (size_t i = 0; i < t->nlost && !l; i++)
		if (!strcmp(t->lost[i].where, where))
			l = &t->lost[i];
	if (!l) {
		if (array_grow(&t->lost, &t->lost_size, t->nlost + 1))
			return NULL;
		l = &t->lost[t->nlost++];
		*l = (struct lost){ .where = where };
	}
	l->pending += count;
	l->total += count;
	return l;
}

bool told_lost_due(const struct lost *l, uint64_t now)
{
	return l->pending && (!l->told || now - l->told_at >= NSEC_PER_SEC);
}

uint64_t told_lost_total(const struct told *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < t->nlost; i++)
		sum += t->lost[i].total;
	return sum;
}

void told_free(struct told *t)
{
	for (size_t i = 0; i < t->nnotes; i++)
		free(t->notes[i]);
	for (size_t i = 0; i < t->ndenied; i++)
		free(t->denied[i].things);
	free(t->notes);
	free(t->denied);
	free(t->lost);
	*t = (struct told){ 0 };
}
