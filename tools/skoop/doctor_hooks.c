// SPDX-License-Identifier: GPL-2.0-or-later
/* The hooks of probes that trace, as they tell them: "hook NAME: KIND (refused: why; …)". */
#include "doctor.h"

#include <string.h>

#include "libcommon/array.h"
#include "libcommon/format.h"

/* The text between two marks; NULL: out of memory. */
static char *part(const char *from, const char *to)
{
	return strndup(from, (size_t)(to - from));
}

void hooks_take(struct hooks_told *hs, const char *line)
{
	static const char word[] = "hook ";
	const char *name = line + strlen(word), *colon, *kind, *open, *end;
	struct hook_told *h;

	if (strncmp(line, word, strlen(word)) || !(colon = strstr(name, ": ")))
		return;
	kind = colon + 2;
	open = strstr(kind, " (");
	end = strchr(kind, '\0');
	if (array_grow(&hs->v, &hs->size, hs->n + 1)) {
		hs->failed = true;
		return;
	}
	h = &hs->v[hs->n++];
	*h = (struct hook_told){ .name = part(name, colon),
				 .by = part(kind, open ? open : end),
				 .needed = true };
	if (open)
		h->refused = part(open + 2, end - (end[-1] == ')'));
	hs->failed |= !h->name || !h->by || (open && !h->refused);
	if (!h->by || (strcmp(h->by, "not needed") && strcmp(h->by, "missing")))
		return;
	h->needed = !strcmp(h->by, "missing");
	free(h->by);
	h->by = NULL;
}

static void add_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ",\"%s\":", key);
	if (text)
		buf_json(b, text, strlen(text));
	else
		buf_str(b, "null");
}

void hooks_json(const struct hooks_told *hs, struct buf *b)
{
	buf_str(b, "[");
	for (size_t i = 0; i < hs->n; i++) {
		const struct hook_told *h = &hs->v[i];

		buf_printf(b, "%s{\"hook\":", i ? "," : "");
		buf_json(b, h->name ? h->name : "", h->name ? strlen(h->name) : 0);
		add_text(b, "by", h->by);
		buf_printf(b, ",\"needed\":%s", h->needed ? "true" : "false");
		add_text(b, "refused", h->refused);
		buf_str(b, "}");
	}
	buf_str(b, "]");
	b->failed |= hs->failed;
}

void hooks_free(struct hooks_told *hs)
{
	for (size_t i = 0; i < hs->n; i++) {
		free(hs->v[i].name);
		free(hs->v[i].by);
		free(hs->v[i].refused);
	}
	free(hs->v);
}
