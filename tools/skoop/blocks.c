// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables of many children below each other: each round of a probe is one block under its name, the
 * rounds of all that belong together in the order they were asked for. Events come as they happen.
 */
#include "merge.h"

#include <string.h>

#include "libcommon/process.h"

static void blocks_line(struct merge *m, struct feed *f, const char *line, size_t len)
{
	if (!f->now.len)
		f->arrived = process_now();
	buf_add(&f->now, line, len);
	buf_str(&f->now, "\n");
	m->held += len;
}

static void put_block(struct merge *m, struct feed *f, const struct buf *lines)
{
	if (m->last != f || !f->streams) {
		buf_printf(&m->out, "%s%s:\n", m->last ? "\n" : "", f->title);
		if (f->header)
			buf_printf(&m->out, "%s\n", f->header);
	}
	m->last = f;
	buf_add(&m->out, lines->data, lines->len);
	m->out.failed |= lines->failed;
}

/* The rounds that are there, in the order of the command line. */
static void put_rounds(struct merge *m)
{
	for (size_t i = 0; i < m->nfeeds; i++) {
		struct feed *f = &m->feeds[i];

		if (!f->fresh)
			continue;
		put_block(m, f, &f->whole);
		f->whole.len = 0;
		f->fresh = false;
	}
}

static void blocks_round(struct merge *m, struct feed *f)
{
	if (f->streams || (f->ended && !f->now.len))
		return;
	if (f->fresh)
		put_rounds(m); /* it is a round ahead: the others have had their time */
	f->fresh = true;
	if (!f->now.len)
		f->arrived = process_now();
	buf_add(&f->whole, f->now.data ? f->now.data : "", f->now.len);
	f->whole.failed |= f->now.failed;
	f->now.len = 0;
}

/*
 * Whether each that sends rounds has sent one; those that keep the others waiting too long are not
 * waited for again.
 */
static bool complete(struct merge *m, uint64_t now)
{
	bool all = true, overdue = false;

	for (size_t i = 0; i < m->nfeeds; i++) {
		const struct feed *f = &m->feeds[i];

		all &= f->streams || f->ended || f->late || f->fresh;
		overdue |= f->fresh && now >= f->arrived && now - f->arrived >= MERGE_HOLD;
	}
	for (size_t i = 0; overdue && !all && i < m->nfeeds; i++)
		m->feeds[i].late |= !m->feeds[i].fresh;
	return all || overdue;
}

static void blocks_tick(struct merge *m, uint64_t now, bool end)
{
	if (complete(m, now) || end)
		put_rounds(m);
	for (size_t i = 0; i < m->nfeeds; i++) {
		struct feed *f = &m->feeds[i];

		if (!f->streams || !f->now.len)
			continue;
		put_block(m, f, &f->now);
		f->now.len = 0;
	}
}

static uint64_t blocks_due(const struct merge *m)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < m->nfeeds; i++)
		if (m->feeds[i].fresh && m->feeds[i].arrived + MERGE_HOLD < due)
			due = m->feeds[i].arrived + MERGE_HOLD;
	return due;
}

const struct merge_ops merge_blocks = { blocks_line, blocks_round, blocks_tick, blocks_due };
