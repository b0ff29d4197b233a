// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What all mergers do alike: tell data from what is said about it, and read the time of a record.
 */
#include "merge.h"

#include <string.h>
#include <time.h>

#define TIME_LEN (sizeof("2026-11-22T21:46:37.123456789Z") - 1)

/* The n digits at s as a number; -1: they are none. */
static int digits(const char *s, size_t n)
{
	int value = 0;

	for (; n; n--, s++) {
		if (*s < '0' || *s > '9')
			return -1;
		value = value * 10 + *s - '0';
	}
	return value;
}

static uint64_t time_parse(const char *s)
{
	struct tm tm = { .tm_year = digits(s, 4) - 1900,
			 .tm_mon = digits(s + 5, 2) - 1,
			 .tm_mday = digits(s + 8, 2),
			 .tm_hour = digits(s + 11, 2),
			 .tm_min = digits(s + 14, 2),
			 .tm_sec = digits(s + 17, 2) };
	int ns = digits(s + 20, 9);
	time_t seconds;

	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_hour < 0 || tm.tm_min < 0 ||
	    tm.tm_sec < 0 || ns < 0 || s[4] != '-' || s[10] != 'T' || s[TIME_LEN - 1] != 'Z')
		return 0;
	seconds = timegm(&tm);
	return seconds < 0 ? 0 : (uint64_t)seconds * NSEC_PER_SEC + (uint64_t)ns;
}

uint64_t record_time(enum out_format format, const char *line)
{
	static const char key[] = "\"ts\":\"";
	const char *ts = line;

	if (format == OUT_JSON) {
		ts = strstr(line, key);
		if (!ts)
			return 0;
		ts += strlen(key);
	}
	return strnlen(ts, TIME_LEN) == TIME_LEN ? time_parse(ts) : 0;
}

/*
 * The header of what follows. Tables have one each; of TSV there is one for all, or they do not
 * belong together.
 */
static void take_header(struct merge *m, struct feed *f, const char *text)
{
	char *copy = strdup(text);

	if (!copy) {
		m->out.failed = true;
		return;
	}
	free(f->header);
	f->header = copy;
	if (m->format != OUT_TSV)
		return;
	if (m->nfeeds == 1 && !m->file) {
		m->ops->line(m, f, text,
			     strlen(text)); /* its events and its counters may have their own */
		return;
	}
	if (!m->header)
		m->header = strdup(text);
	if (!m->header) {
		m->out.failed = true;
	} else if (strcmp(m->header, text)) {
		msg_error("%s: its columns are not those of the others: left out; use -o json, or "
			  "run it alone",
			  f->name);
		f->failed = true;
		m->failed = true;
	}
}

uint64_t merge_wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

void merge_line(struct merge *m, struct feed *f, const char *line, size_t len)
{
	f->late = false;
	if (f->failed)
		return;
	if (*line == '\f' && !line[1]) {
		f->rounds++;
		f->rests = true;
		m->ops->round(m, f);
	} else if (*line == '\f') {
		take_header(m, f, line + 1);
	} else {
		f->rests = false;
		m->ops->line(m, f, line, len);
	}
}

void merge_end(struct merge *m, struct feed *f, bool failed)
{
	f->ended = true;
	f->failed |= failed;
	m->ops->round(m, f);
}

void merge_free(struct merge *m)
{
	m->ops->tick(m, UINT64_MAX, true); /* lets go of what waits */
	for (size_t i = 0; i < m->nfeeds; i++) {
		buf_free(&m->feeds[i].now);
		buf_free(&m->feeds[i].whole);
		free(m->feeds[i].header);
	}
	free(m->feeds);
	free(m->header);
	buf_free(&m->out);
}
