// SPDX-License-Identifier: GPL-2.0-or-later
/* Findings in words: the line of numbers, the commands to go on with. */
#include "findings.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* ---- placeholders ---- */

static bool is_word(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && !memcmp(name, word, len);
}

static const struct value *value_get(const struct finding *f, const char *name, size_t len)
{
	for (size_t i = 0; i < f->nvalues; i++)
		if (is_word(name, len, f->values[i].name))
			return &f->values[i];
	return NULL;
}

static void add_bytes(double v, struct buf *b)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	for (; v >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		v /= 1024;
	buf_printf(b, "%.*f %s", unit && v < 10 ? 1 : 0, v, units[unit]);
}

static void add_value(const struct value *value, struct buf *b)
{
	double v = value->v;

	if (isnan(v)) {
		buf_str(b, "?");
		return;
	}
	switch (value->kind) {
	case VALUE_COUNT: buf_printf(b, "%.0f", v); break;
	case VALUE_PERCENT: buf_printf(b, "%.*f", v < 0.1 ? 1 : 0, 100 * v); break;
	case VALUE_BYTES: add_bytes(v, b); break;
	case VALUE_MS:
		if (isinf(v))
			buf_str(b, "for ever");
		else
			buf_printf(b, v < 10 ? "%.0f ms" : "%.0f s", v < 10 ? 1000 * v : v);
		break;
	}
}

/* What stands for {name} or {name:s} in a text; false: it is nothing of this finding's. */
static bool add_known(const struct finding *f, const char *name, size_t len, struct buf *b)
{
	bool plural = len > 2 && !memcmp(name + len - 2, ":s", 2);
	const struct value *value = value_get(f, name, plural ? len - 2 : len);
	char label[64];

	if (value && plural)
		buf_str(b, value->v == 1 ? "" : "s");
	else if (value)
		add_value(value, b);
	if (value || len >= sizeof(label))
		return value;
	snprintf(label, sizeof(label), "%.*s", (int)len, name);
	if (view_label(&f->view, label))
		buf_str(b, view_label(&f->view, label));
	return view_label(&f->view, label);
}

/*
 * Calls fn for each placeholder of the first `len` bytes of text and copies what is between; false:
 * fn said so.
 */
static bool expand(const struct finding *f, const char *text, size_t len,
		   bool (*fn)(const struct finding *f, const char *name, size_t len, struct buf *b),
		   struct buf *b)
{
	const char *end = text + len;

	while (text < end) {
		const char *open = memchr(text, '{', (size_t)(end - text)), *close;

		if (!open)
			open = end;
		buf_add(b, text, (size_t)(open - text));
		if (open == end)
			break;
		close = memchr(open, '}', (size_t)(end - open));
		if (!close)
			close = end;
		if (!fn(f, open + 1, (size_t)(close - open - 1), b))
			return false;
		text = close + 1;
	}
	return true;
}

static bool add_said(const struct finding *f, const char *name, size_t len, struct buf *b)
{
	if (!add_known(f, name, len, b))
		buf_str(b, "?");
	return true;
}

void finding_says(const struct finding *f, struct buf *b)
{
	expand(f, f->row->says, strlen(f->row->says), add_said, b);
}

/* ---- commands ---- */

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

void subject_options(const struct subject *s, struct buf *b)
{
	const char *netns = starts(s->pod, "netns:") ? s->pod + strlen("netns:") : NULL;

	/* One that could not be looked into is known by its packets alone. */
	if (s->machine || (netns && !strcmp(netns, "unknown")))
		return;
	if (!strcmp(s->namespace, "hostNetwork"))
		buf_str(b, "--host");
	else if (netns && starts(netns, "pid-"))
		buf_printf(b, "-p %s", netns + strlen("pid-"));
	else if (netns && !strchr(netns, ':'))
		buf_printf(b, "-n %s", netns);
	else if (starts(s->pod, "container:") && !strchr(s->pod + strlen("container:"), ':'))
		buf_printf(b, "-c %s", s->pod + strlen("container:"));
	else if (!strchr(s->pod, ':'))
		buf_printf(b, "-P %s/%s", s->namespace, s->pod);
	else if (s->netns)
		buf_printf(b, "-n %llu", (unsigned long long)s->netns);
}

/* A process of the subject, NULL: none was seen. */
static const char *subject_pid(const struct view *v)
{
	const struct series *s = store_series(v->store, v->subject, "fd_openfd");
	const char *pid = NULL;

	for (; s && !pid; s = s->next)
		pid = s->has[1] ? labelset_get(s->labels, "pid") : NULL;
	return pid;
}

/* How to run a command in the subject's namespace; false: not known. */
static bool add_inside(const struct view *v, struct buf *b)
{
	const char *pod = v->subject->pod, *pid = subject_pid(v);
	char path[300];

	if (v->subject->machine || !strcmp(v->subject->namespace, "hostNetwork"))
		return true;
	snprintf(path, sizeof(path), "/run/netns/%s", pod + strlen("netns:"));
	if (starts(pod, "netns:") && !strchr(path + strlen("/run/netns/"), '/') &&
	    !access(path, F_OK))
		buf_printf(b, "ip netns exec %s ", path + strlen("/run/netns/"));
	else if (pid)
		buf_printf(b, "nsenter -t %s -n ", pid);
	else
		return false;
	return true;
}

/* Names of devices are anybody's choice: what is pasted into a shell must be one word. */
static void quote(struct buf *b, size_t from)
{
	auto_free char *word = b->failed || !b->data ? NULL : strdup(b->data + from);
	bool plain = word && *word;

	for (const char *c = word; c && *c; c++)
		plain &= isalnum((unsigned char)*c) || strchr("._-:@%+=/,", *c);
	if (!word || plain)
		return;
	b->len = from;
	buf_str(b, "'");
	for (const char *c = word; *c; c++) {
		if (*c == '\'')
			buf_str(b, "'\\''");
		else
			buf_add(b, c, 1);
	}
	buf_str(b, "'");
}

static bool add_commanded(const struct finding *f, const char *name, size_t len, struct buf *b)
{
	size_t from = b->len;

	if (is_word(name, len, "in"))
		return add_inside(&f->view, b);
	if (!is_word(name, len, "target")) {
		if (!add_known(f, name, len, b))
			return false;
		quote(b, from);
		return true;
	}
	subject_options(f->view.subject, b);
	/* Without options the blank before them goes, too. */
	if (b->len == from && from && b->data[from - 1] == ' ')
		b->data[--b->len] = '\0';
	return true;
}

bool finding_next(const struct finding *f, size_t i, struct buf *b)
{
	const char *next = f->row->next, *end;
	size_t from = b->len;

	for (; i && next; i--) {
		next = strstr(next, "; ");
		next = next ? next + 2 : NULL;
	}
	if (!next)
		return false;
	end = strstr(next, "; ");
	if (expand(f, next, end ? (size_t)(end - next) : strlen(next), add_commanded, b))
		return true;
	b->len = from;
	if (b->data)
		b->data[from] = '\0';
	return true;
}
