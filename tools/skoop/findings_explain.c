// SPDX-License-Identifier: GPL-2.0-or-later
/* The rows of findings.def as text: for `skoop explain`, and which metrics they use. */
#include <ctype.h>
#include <string.h>

#include "findings.h"
#include "libcommon/arena.h"
#include "skoop.h"
#include "who.h"

const char *finding_name(size_t i, const char **title)
{
	const struct row *row, *last = NULL;

	for (size_t k = 0; (row = finding_row(k)); last = row, k++) {
		if ((last && !strcmp(last->id, row->id)) || i--)
			continue;
		*title = row->title;
		return row->id;
	}
	return NULL;
}

static const char *const scope_words[] = {
	[PER_NETNS] = "each network namespace",
	[PER_DEVICE] = "each device",
	[PER_QDISC] = "each queueing discipline",
	[PER_CPU] = "each CPU",
	[PER_PROCESS] = "each process",
	[PER_PEER] = "each peer: local address, remote address and port",
	[PER_MACHINE] = "the machine",
};

static void explain_line(struct buf *b, const char *what, const char *text)
{
	if (*text && strcmp(text, "NEVER"))
		buf_printf(b, "  %-8s %s\n", what, text);
}

/*
 * A placeholder for people: N for a number, the label's name in capitals, nothing for what depends
 * on the subject.
 */
static void add_general(const struct row *row, const char *name, size_t len, struct buf *b)
{
	char value[64];

	if (len > 2 && !memcmp(name + len - 2, ":s", 2)) {
		buf_str(b, "s");
		return;
	}
	if (len == strlen("in") && !memcmp(name, "in", len))
		return;
	if (len == strlen("target") && !memcmp(name, "target", len)) {
		while (b->len && b->data[b->len - 1] == ' ')
			b->data[--b->len] = '\0';
		return;
	}
	snprintf(value, sizeof(value), "(%.*s,", (int)len, name);
	if (strstr(row->values_text, value)) {
		buf_str(b, "N");
		return;
	}
	for (size_t i = 0; i < len; i++)
		buf_printf(b, "%c", toupper((unsigned char)name[i]));
}

static void explain_text(struct buf *b, const char *what, const struct row *row, const char *text)
{
	struct buf plain = { 0 };
	const char *open, *close;

	while ((open = strchr(text, '{')) && (close = strchr(open, '}'))) {
		buf_add(&plain, text, (size_t)(open - text));
		add_general(row, open + 1, (size_t)(close - open - 1), &plain);
		text = close + 1;
	}
	buf_str(&plain, text);
	if (plain.data)
		explain_line(b, what, plain.data);
	b->failed |= plain.failed;
	buf_free(&plain);
}

static void explain_row(const struct row *row, struct buf *b)
{
	buf_printf(b, "%s: %s\n", row->id, row->title);
	buf_printf(b, "  %-8s a finding of skoop snapshot, for %s\n", "is", scope_words[row->scope]);
	explain_text(b, "says", row, row->says);
	explain_line(b, "critical", row->when[CRITICAL]);
	explain_line(b, "warning", row->when[WARNING]);
	explain_line(b, "note", row->when[NOTE]);
	explain_text(b, "cause", row, row->cause);
	explain_text(b, "next", row, row->next);
	explain_line(b, "explains", row->folds);
	if (who_probes(row->id))
		buf_printf(b, "  %-8s the peers are told where %s can run\n", "who",
			   who_probes(row->id));
}

/* Whether a condition of a row of this id uses T(name), be it through another term. */
static bool uses(const char *id, const char *name)
{
	const struct finding_term *term;
	const struct row *row;
	char call[64];
	bool used = false;

	snprintf(call, sizeof(call), "T(%s)", name);
	for (size_t i = 0; (row = finding_row(i)); i++)
		for (int s = NOTE; s <= CRITICAL && !strcmp(row->id, id); s++)
			used |= !!strstr(row->when[s], call);
	for (size_t i = 0; !used && (term = finding_term(i)); i++)
		used = strstr(term->expression, call) && uses(id, term->name);
	return used;
}

static const char legend[] =
	"  D(x): growth of x in the window of W seconds; L(x): the level both samples reached; "
	"H(x): the greater one;\n"
	"  BEGIN(x), END(x): the samples. What was not seen in both makes no condition true.\n";

bool finding_explain(const char *name, struct buf *b)
{
	const struct finding_term *term;
	const struct row *row;
	bool found = false;

	for (size_t i = 0; (row = finding_row(i)); i++) {
		if (strcmp(row->id, name))
			continue;
		explain_row(row, b);
		found = true;
	}
	if (!found)
		return false;
	for (size_t i = 0; (term = finding_term(i)); i++)
		if (uses(name, term->name))
			buf_printf(b, "  T(%s): %s = %s\n", term->name, term->words,
				   term->expression);
	buf_str(b, legend);
	return true;
}

/* ---- what the rows need ---- */

struct wanted {
	struct arena arena;
	struct dict names;
};

/* Each word with an underscore in it: metrics have one, and it does no harm that others do. */
static bool add_words(struct wanted *w, const char *text)
{
	while (*text) {
		size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

		if (len && memchr(text, '_', len)) {
			void **at = dict_at(&w->names, text, len);

			if (!at)
				return false;
			*at = w;
		}
		text += len ? len : 1;
	}
	return true;
}

struct wanted *wanted_open(void)
{
	struct wanted *w = calloc(1, sizeof(*w));
	const struct finding_term *term;
	const struct row *row;
	bool ok = w;

	if (!w)
		return NULL;
	w->names.arena = &w->arena;
	for (size_t i = 0; ok && (row = finding_row(i)); i++)
		ok = add_words(w, row->when[CRITICAL]) && add_words(w, row->when[WARNING]) &&
		     add_words(w, row->when[NOTE]) && add_words(w, row->values_text);
	for (size_t i = 0; ok && (term = finding_term(i)); i++)
		ok = add_words(w, term->expression);
	/* What tells subjects apart and which of them are connected. */
	ok = ok && add_words(w, "netdev_rxpackets qdisc_drops softnet_processed fd_openfd "
				"tcpsummary_connections "
				"tcpsummary_acceptqueue");
	if (ok)
		return w;
	wanted_close(w);
	return NULL;
}

void wanted_close(struct wanted *w)
{
	if (w)
		arena_free(&w->arena);
	free(w);
}

bool wanted_metric(const void *wanted, const char *metric)
{
	const struct wanted *w = wanted;

	return dict_get(&w->names, metric, strlen(metric));
}
