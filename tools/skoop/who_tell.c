// SPDX-License-Identifier: GPL-2.0-or-later
/* Who it was, in words and as JSON. */
#include "who.h"

#include <string.h>

#include "libcommon/format.h"

void subject_say(const struct subject *s, struct buf *b)
{
	if (s->machine)
		buf_printf(b, "machine %s", s->node);
	else if (!strcmp(s->namespace, "hostNetwork"))
		buf_str(b, "host network");
	else if (!strcmp(s->namespace, "-"))
		buf_str(b, s->pod);
	else
		buf_printf(b, "%s/%s", s->namespace, s->pod);
}

static void say_end(const char *address, uint32_t port, struct buf *b)
{
	bool six = strchr(address, ':');

	if (port == PORT_NONE)
		buf_str(b, address);
	else
		buf_printf(b, "%s%s%s:%u", six ? "[" : "", address, six ? "]" : "", port);
}

void who_say(const struct who_list *list, const struct who_group *g, struct buf *b)
{
	say_end(g->saddr, g->sport, b);
	buf_str(b, " -> ");
	say_end(g->daddr, g->dport, b);
	buf_str(b, " ");
	for (const char *c = g->protocol; *c; c++)
		buf_printf(b, "%c", *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	for (size_t i = 0; i < g->nwhats && i < WHO_WHATS; i++)
		buf_printf(b, "%s %s %llu", i ? "," : "", g->whats[i].text,
			   (unsigned long long)g->whats[i].count);
	buf_printf(b, " (%.0f %% of all)", 100 * (double)g->count / (double)list->total);
	if (!g->dropped.count)
		return;
	buf_printf(b, "; %llu dropped", (unsigned long long)g->dropped.count);
	if (g->at) {
		buf_str(b, " by ");
		subject_say(g->at, b);
	}
	buf_printf(b, ": %s", g->dropped.text);
}

static void add_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, "\"%s\":", key);
	buf_json(b, text, strlen(text));
}

static void add_port(struct buf *b, const char *key, uint32_t port)
{
	if (port == PORT_NONE)
		buf_printf(b, ",\"%s\":null", key);
	else
		buf_printf(b, ",\"%s\":%u", key, port);
}

static void group_json(const struct who_list *list, const struct who_group *g, struct buf *b)
{
	buf_str(b, "{");
	add_text(b, "protocol", g->protocol);
	buf_str(b, ",");
	add_text(b, "saddr", g->saddr);
	add_port(b, "sport", g->sport);
	buf_str(b, ",");
	add_text(b, "daddr", g->daddr);
	add_port(b, "dport", g->dport);
	buf_printf(b, ",\"count\":%llu,\"share_percent\":%.3f,\"what\":[",
		   (unsigned long long)g->count, 100 * (double)g->count / (double)list->total);
	for (size_t i = 0; i < g->nwhats; i++) {
		buf_str(b, i ? ",{" : "{");
		add_text(b, "what", g->whats[i].text);
		buf_printf(b, ",\"count\":%llu}", (unsigned long long)g->whats[i].count);
	}
	buf_str(b, "],\"dropped\":");
	if (!g->dropped.count) {
		buf_str(b, "null}");
		return;
	}
	buf_str(b, "{");
	add_text(b, "what", g->dropped.text);
	buf_printf(b, ",\"count\":%llu", (unsigned long long)g->dropped.count);
	if (g->at) {
		buf_str(b, ",");
		add_text(b, "target_namespace", g->at->namespace);
		buf_str(b, ",");
		add_text(b, "target_pod", g->at->pod);
	}
	buf_str(b, "}}");
}

void who_json(const struct who_list *list, struct buf *b)
{
	buf_str(b, ",\"who\":[");
	for (size_t i = 0; i < list->n; i++) {
		buf_str(b, i ? "," : "");
		group_json(list, &list->v[i], b);
	}
	buf_printf(b, "],\"who_total\":%llu,\"who_others\":%llu", (unsigned long long)list->total,
		   (unsigned long long)list->others);
}
