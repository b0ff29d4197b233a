// SPDX-License-Identifier: GPL-2.0-or-later
/* What children say on stderr, passed on so that many say the same only once. */
#include "child.h"

#include <string.h>

#include "libcommon/array.h"
#include "libcommon/process.h"

struct saying {
	const struct child *by;
	char *text;
};

/* So many texts are remembered; a child that says more of its own is heard each time. */
#define SAYINGS_MAX 256

/* True if another child has said the same: the text without the program's name. */
static bool said_before(struct sayings *s, const struct child *c, const char *line)
{
	size_t len = strlen(c->name);
	const char *text = line;
	char *copy;

	if (!strncmp(line, c->name, len) && line[len] == ':')
		text += len + 1;
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].text, text))
			return s->v[i].by != c;
	if (s->n == SAYINGS_MAX)
		return false;
	copy = strdup(text);
	if (!copy || array_grow(&s->v, &s->size, s->n + 1)) {
		free(copy);
		return false; /* better twice than not at all */
	}
	s->v[s->n++] = (struct saying){ c, copy };
	return false;
}

static void pass_on(const char *line)
{
	struct buf b = { 0 };

	for (; *line; line++)
		buf_add(&b, (unsigned char)*line < 0x20 || *line == 0x7f ? "?" : line, 1);
	buf_str(&b, "\n");
	if (!b.failed)
		process_write(STDERR_FILENO, b.data, b.len);
	buf_free(&b);
}

void saying_pass(struct sayings *s, struct child *c, const char *line)
{
	/* Who asked for -v wants to know it of each. */
	if (c->aside) {
		pass_on(line);
		return;
	}
	c->said = true;
	c->told = !said_before(s, c, line);
	if (c->told)
		pass_on(line);
}

void sayings_free(struct sayings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].text);
	free(s->v);
}
