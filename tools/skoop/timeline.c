// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records of many children in the order of their time. A record waits until no child can send an
 * earlier one: each has sent a later one, or rests until its next round; but never longer than
 * MERGE_HOLD.
 */
#include "merge.h"

#include <string.h>
#include <time.h>

#include "libcommon/process.h"

/* By then an event has come through its ring and its pipe. */
#define EVENT_DELAY (NSEC_PER_SEC / 5)
/* More than this does not wait, whatever is still to come. */
#define HELD_LIMIT (16 << 20)

/* A record that waits. */
struct queue {
	struct queue *next;
	uint64_t ts, arrived;
	size_t len;
	char text[];
};

static void timeline_line(struct merge *m, struct feed *f, const char *line, size_t len)
{
	struct queue *q = malloc(sizeof(*q) + len + 1);
	uint64_t ts = record_time(m->format, line);

	if (!q) {
		m->out.failed = true;
		return;
	}
	if (ts > f->ts)
		f->ts = ts; /* what one child sends stays in its own order */
	*q = (struct queue){ .ts = f->ts, .arrived = process_now(), .len = len };
	memcpy(q->text, line, len);
	q->text[len] = '\n';
	if (!f->head)
		f->tail = &f->head;
	*f->tail = q;
	f->tail = &q->next;
	m->held += len;
}

static void timeline_round(struct merge *m, struct feed *f)
{
	(void)m, (void)f;
}

/*
 * Rounds are due on a schedule that begins with the probe, just after all were started: when the
 * one is due that follows a round of this time.
 */
static uint64_t next_round(const struct merge *m, uint64_t ts)
{
	return ts < m->start ? ts : m->start + ((ts - m->start) / m->interval + 1) * m->interval;
}

/* Earlier than this nothing more will come from it. */
static uint64_t watermark(const struct merge *m, const struct feed *f, uint64_t wall)
{
	uint64_t mark = f->ts;

	if (f->streams)
		return wall > mark + EVENT_DELAY ? wall - EVENT_DELAY : mark;
	if (!f->rests)
		return mark;
	return m->interval ? next_round(m, mark) : UINT64_MAX;
}

/* Whether a record of this time need not wait for the feed. Before its greeting all is open. */
static bool passed(const struct merge *m, const struct feed *f, uint64_t ts, uint64_t wall)
{
	return f->ended || f->failed || f->late || (f->greeted && watermark(m, f, wall) >= ts);
}

static struct feed *earliest(const struct merge *m)
{
	struct feed *first = NULL;

	for (size_t i = 0; i < m->nfeeds; i++) {
		struct feed *f = &m->feeds[i];

		if (f->head && (!first || f->head->ts < first->head->ts))
			first = f;
	}
	return first;
}

static uint64_t oldest(const struct merge *m)
{
	uint64_t arrived = UINT64_MAX;

	for (size_t i = 0; i < m->nfeeds; i++)
		if (m->feeds[i].head && m->feeds[i].head->arrived < arrived)
			arrived = m->feeds[i].head->arrived;
	return arrived;
}

/*
 * Whether it can go now that it is the first of all that wait. Who keeps it waiting too long is not
 * waited for again.
 */
static bool may_go(struct merge *m, const struct feed *first, uint64_t now, uint64_t wall)
{
	uint64_t since = oldest(m);
	bool overdue = now >= since && now - since >= MERGE_HOLD, go = true;

	for (size_t i = 0; i < m->nfeeds; i++) {
		struct feed *f = &m->feeds[i];

		if (f == first || passed(m, f, first->head->ts, wall))
			continue;
		go = false;
		if (overdue && !f->streams)
			f->late = true;
	}
	return go || overdue || m->held > HELD_LIMIT;
}

static void go(struct merge *m, struct feed *f)
{
	struct queue *q = f->head;

	if (m->header && !m->last)
		buf_printf(&m->out, "%s\n", m->header);
	m->last = f;
	buf_add(&m->out, q->text, q->len + 1);
	f->head = q->next;
	m->held -= q->len;
	free(q);
}

static void timeline_tick(struct merge *m, uint64_t now, bool end)
{
	uint64_t wall = merge_wall_clock();
	struct feed *first;

	while ((first = earliest(m)) && (end || may_go(m, first, now, wall)))
		go(m, first);
	/* A header alone says that there was nothing. */
	if (end && m->header && !m->last)
		buf_printf(&m->out, "%s\n", m->header);
}

static uint64_t timeline_due(const struct merge *m)
{
	const struct feed *first = earliest(m);
	uint64_t due, now, wall;

	if (!first)
		return UINT64_MAX;
	now = process_now();
	wall = merge_wall_clock();
	due = oldest(m) + MERGE_HOLD;
	for (size_t i = 0; i < m->nfeeds; i++) {
		const struct feed *f = &m->feeds[i];
		uint64_t settled = first->head->ts + EVENT_DELAY;

		if (f != first && f->streams && !passed(m, f, first->head->ts, wall) &&
		    settled > wall && now + (settled - wall) < due)
			due = now + (settled - wall);
	}
	return due;
}

const struct merge_ops merge_timeline = { timeline_line, timeline_round, timeline_tick,
					  timeline_due };
