// SPDX-License-Identifier: GPL-2.0-or-later
/* What `skoop snapshot` prints for people: worst first, consequences below their cause. */
#include "report.h"

#include <string.h>

#include "libcommon/format.h"
#include "report_order.h"
#include "who.h"

/* More of one kind are counted, not shown: -j has them all. */
#define SHOWN_ALIKE 10
#define SHOWN_FOLDED 5
#define SHOWN_COMMANDS 2
/* Where texts begin: behind the longest severity. */
#define INDENT 10

static const struct {
	const char *word, *color;
} severities[] = {
	[NOTE] = { "note", "\033[36m" },
	[WARNING] = { "WARNING", "\033[33m" },
	[CRITICAL] = { "CRITICAL", "\033[1;31m" },
};

static void pad(struct buf *b, size_t n)
{
	while (n--)
		buf_str(b, " ");
}

/* Columns of the first `len` bytes: continuation bytes of UTF-8 take none. */
static size_t columns(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

/*
 * Adds text word by word; what does not fit into the line goes below its beginning. `at`: where the
 * line stands.
 */
static void add_folded(const struct report *r, const char *text, size_t at, struct buf *b)
{
	size_t start = at;

	while (*text) {
		size_t len = strcspn(text, " "), wide = columns(text, len);

		if (r->width && at > start && at + 1 + wide > r->width) {
			buf_str(b, "\n");
			pad(b, start);
			at = start;
		} else if (at > start) {
			buf_str(b, " ");
			at++;
		}
		buf_add(b, text, len);
		at += wide;
		text += len;
		text += strspn(text, " ");
	}
	buf_str(b, "\n");
}

/* Nothing in a name reaches a terminal as a command. */
static void add_plain(const struct report *r, struct buf *text, size_t at, struct buf *b)
{
	buf_plain(text, 0);
	add_folded(r, text->failed || !text->data ? "" : text->data, at, b);
	b->failed |= text->failed;
	buf_free(text);
}

static void add_headline(const struct finding *f, struct buf *b)
{
	subject_say(f->view.subject, b);
	buf_str(b, ": ");
	finding_says(f, b);
}

static void add_severity(const struct report *r, enum severity severity, struct buf *b)
{
	const char *word = severities[severity].word;

	buf_printf(b, "%s%s%s", r->color ? severities[severity].color : "", word,
		   r->color ? "\033[0m" : "");
	pad(b, INDENT - strlen(word));
}

static void add_line(const struct report *r, const char *what, const char *text, struct buf *b)
{
	pad(b, INDENT);
	buf_printf(b, "%-7s", what);
	add_folded(r, text, INDENT + 7, b);
}

static void add_commands(const struct report *r, const struct finding *f, struct buf *b)
{
	struct commands commands = { 0 };
	struct buf text = { 0 };

	while (commands.given < SHOWN_COMMANDS && finding_command(r, f, &commands, &text)) {
		pad(b, INDENT);
		buf_printf(b, "%-7s", commands.given > 1 ? "" : "next:");
		/* A command is pasted as a whole: it is not folded. */
		buf_plain(&text, 0);
		buf_printf(b, "%s\n", text.data);
		text.len = 0;
	}
	b->failed |= text.failed;
	buf_free(&text);
}

static void add_consequences(const struct report *r, const struct finding *top, struct buf *b)
{
	const struct finding *f;
	size_t n = 0;

	for (size_t i = 0; (f = finding_below(r->findings, top, &i));) {
		struct buf text = { 0 };

		if (n++ >= SHOWN_FOLDED)
			continue;
		pad(b, INDENT);
		buf_printf(b, "%-7s", n == 1 ? "hence:" : "");
		if (f->view.subject == top->view.subject)
			finding_says(f, &text);
		else
			add_headline(f, &text);
		add_plain(r, &text, INDENT + 7, b);
	}
	if (n > SHOWN_FOLDED) {
		pad(b, INDENT + 7);
		buf_printf(b, "and %zu more\n", n - SHOWN_FOLDED);
	}
}

/* Who it was, as far as it was seen: `most` lines of them. */
static void add_who(const struct report *r, const struct finding *f, size_t most, struct buf *b)
{
	struct who_list list;
	size_t n = 0;

	b->failed |= who_list(r->who, f, &list) != 0;
	for (; n < list.n && n < most; n++) {
		struct buf text = { 0 };

		pad(b, INDENT);
		buf_printf(b, "%-7s", n ? "" : "who:");
		who_say(&list, &list.v[n], &text);
		add_plain(r, &text, INDENT + 7, b);
	}
	for (; n < list.n; n++)
		list.others += list.v[n].count;
	if (list.n && list.others) {
		pad(b, INDENT + 7);
		buf_printf(b, "others %llu\n", (unsigned long long)list.others);
	}
	who_list_free(&list);
}

/* One that is like the last needs no second explanation. */
static void add_finding(const struct report *r, const struct finding *f, bool alike, struct buf *b)
{
	struct buf text = { 0 };

	add_severity(r, f->shown, b);
	add_headline(f, &text);
	add_plain(r, &text, INDENT, b);
	add_who(r, f, alike ? 1 : WHO_SHOWN, b);
	if (!alike) {
		add_line(r, "cause:", f->row->cause, b);
		add_commands(r, f, b);
	}
	add_consequences(r, f, b);
}

static void add_count(struct buf *b, size_t n, const char *one, const char **before)
{
	if (!n)
		return;
	buf_printf(b, "%s%zu %s%s", *before, n, one, n == 1 || !strcmp(one, "critical") ? "" : "s");
	*before = ", ";
}

static void add_seconds(double seconds, struct buf *b)
{
	buf_printf(b, "%.10g s", (double)(uint64_t)(10 * seconds + 0.5) / 10);
}

static bool gaps_alike(const struct gap *a, const struct gap *b)
{
	return a->partly == b->partly && !strcmp(a->why, b->why);
}

/* Whether another that stands before it says the same. */
static bool gap_before(const struct report *r, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (gaps_alike(&r->gaps[k], &r->gaps[i]))
			return true;
	return false;
}

/* What several lack alike is one line. */
static void add_gap(const struct report *r, size_t i, struct buf *b)
{
	const char *what = r->gaps[i].partly ? "limited:" : "not looked at:";
	struct buf text = { 0 };

	buf_printf(b, "%s ", what);
	buf_str(&text, r->gaps[i].probe);
	for (size_t k = i + 1; k < r->ngaps; k++)
		if (gaps_alike(&r->gaps[k], &r->gaps[i]))
			buf_printf(&text, ", %s", r->gaps[k].probe);
	buf_printf(&text, ": %s", r->gaps[i].why);
	add_plain(r, &text, strlen(what) + 1, b);
}

static void add_summary(const struct report *r, struct buf *b)
{
	size_t namespaces = subject_count(r->store);
	const char *plural = namespaces == 1 ? "" : "s", *before = ": ";

	if (!r->findings->n) {
		buf_printf(b, "nothing wrong found in %zu network namespace%s over ", namespaces,
			   plural);
		add_seconds(r->seconds, b);
	} else {
		buf_printf(b, "%zu network namespace%s, ", namespaces, plural);
		add_seconds(r->seconds, b);
		add_count(b, report_count(r->findings, CRITICAL), "critical", &before);
		add_count(b, report_count(r->findings, WARNING), "warning", &before);
		add_count(b, report_count(r->findings, NOTE), "note", &before);
	}
	buf_str(b, "\n");
	for (size_t i = 0; i < r->ngaps; i++)
		if (!gap_before(r, i))
			add_gap(r, i, b);
}

void report_table(const struct report *r, struct buf *b)
{
	auto_free const struct finding **v = finding_order(r->findings);
	size_t alike = 0;

	if (!v) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; v[i]; i++) {
		bool same = i && v[i]->row == v[i - 1]->row && v[i]->shown == v[i - 1]->shown;

		alike = same ? alike + 1 : 0;
		if (i && !same)
			buf_str(b, "\n");
		if (alike < SHOWN_ALIKE)
			add_finding(r, v[i], same, b);
		if (alike >= SHOWN_ALIKE &&
		    (!v[i + 1] || v[i + 1]->row != v[i]->row || v[i + 1]->shown != v[i]->shown)) {
			pad(b, INDENT);
			buf_printf(b, "and %zu more like this (-j shows all)\n",
				   alike - SHOWN_ALIKE + 1);
		}
	}
	if (v[0])
		buf_str(b, "\n");
	add_summary(r, b);
}
