// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What has to be complete: expositions, and files that are replaced. Nothing comes out before each
 * child that lives has ended a round since the last time, so that a slow one slows all, and a hung
 * one shows by the file's age.
 */
#include "merge.h"

#include <string.h>

#include "libcommon/array.h"
#include "libcommon/process.h"

/* So long, and it is said who keeps the others waiting. */
#define WAIT_TOLD (10 * NSEC_PER_SEC)

static void rounds_line(struct merge *m, struct feed *f, const char *line, size_t len)
{
	(void)m;
	buf_add(&f->now, line, len);
	buf_str(&f->now, "\n");
}

static void rounds_round(struct merge *m, struct feed *f)
{
	struct buf before = f->whole;

	(void)m;
	/*
	 * The last words of one that failed may be half of a round; those of one that ended well
	 * are whole.
	 */
	if (f->ended && (f->failed || (f->rounds && !f->now.len))) {
		f->now.len = 0;
		return;
	}
	f->whole = f->now;
	f->now = before;
	f->now.len = 0;
	if (!f->fresh)
		f->arrived = process_now();
	f->fresh = true;
}

bool rounds_counts(const struct feed *f)
{
	return f->fresh || (f->ended && !f->failed);
}

/* ---- records ---- */

struct record {
	uint64_t ts;
	size_t order, len;
	const char *text;
};

static int by_time(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->ts != y->ts)
		return x->ts < y->ts ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void records_join(struct merge *m, struct buf *b)
{
	struct record *v = NULL;
	size_t n = 0, size = 0;

	for (size_t i = 0; i < m->nfeeds; i++) {
		const struct feed *f = &m->feeds[i];
		const char *end = f->whole.data + f->whole.len, *newline;

		for (const char *line = f->whole.data; rounds_counts(f) && line < end;
		     line = newline + 1) {
			newline = memchr(line, '\n', (size_t)(end - line));
			if (array_grow(&v, &size, n + 1)) {
				b->failed = true;
				break;
			}
			v[n] = (struct record){ record_time(m->format, line), n,
						(size_t)(newline - line) + 1, line };
			n++;
		}
	}
	if (m->header)
		buf_printf(b, "%s\n", m->header);
	if (n)
		qsort(v, n, sizeof(*v), by_time);
	for (size_t i = 0; i < n; i++)
		buf_add(b, v[i].text, v[i].len);
	free(v);
}

/* ---- when ---- */

/* Whether each that lives has ended a round, and there is one at all. */
static bool complete(const struct merge *m)
{
	bool any = false;

	for (size_t i = 0; i < m->nfeeds; i++) {
		const struct feed *f = &m->feeds[i];

		if (!f->ended && !f->fresh)
			return false;
		any |= f->fresh;
	}
	return any;
}

static uint64_t rounds_due(const struct merge *m)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < m->nfeeds; i++)
		if (m->feeds[i].fresh && m->feeds[i].arrived < due)
			due = m->feeds[i].arrived;
	return due == UINT64_MAX || m->told ? UINT64_MAX : due + WAIT_TOLD;
}

/* Why nothing comes: said once, and again after a round that was complete. */
static void tell_missing(struct merge *m)
{
	m->told = true;
	for (size_t i = 0; i < m->nfeeds; i++)
		if (!m->feeds[i].ended && !m->feeds[i].fresh)
			msg_warn("%s: no round for %llu s: the others wait for it",
				 m->feeds[i].name, WAIT_TOLD / NSEC_PER_SEC);
}

static void rounds_tick(struct merge *m, uint64_t now, bool end)
{
	if (!complete(m)) {
		if (!end && now >= rounds_due(m))
			tell_missing(m);
		return;
	}
	if (m->format == OUT_JSON || m->format == OUT_TSV)
		records_join(m, &m->out);
	else
		expositions_join(m, &m->out);
	for (size_t i = 0; i < m->nfeeds; i++) {
		m->out.failed |= m->feeds[i].whole.failed || m->feeds[i].now.failed;
		m->feeds[i].fresh = false;
	}
	m->ready = true;
	m->told = false;
}

const struct merge_ops merge_rounds = { rounds_line, rounds_round, rounds_tick, rounds_due };
