// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop list - the probes that are here, and what each of them answers. */
#include "skoop.h"

#include <string.h>

#include "libcommon/format.h"
#include "libcommon/table.h"

static const struct plain_command command = {
	.help = "Usage: skoop list [-j]\n"
		"The probes that are here, what each of them answers, where its numbers come from\n"
		"and what it costs.\n",
	.has = PLAIN_JSON | PLAIN_COMPLETE,
};

static const char *or_dash(const char *text)
{
	return text ? text : "-";
}

static void json_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ",\"%s\":", key);
	if (text)
		buf_json(b, text, strlen(text));
	else
		buf_str(b, "null");
}

static void list_json(const struct probes *ps, struct buf *b)
{
	for (size_t i = 0; i < ps->n; i++) {
		const struct probe_info *p = &ps->v[i];

		buf_str(b, "{\"schema\":1,\"kind\":\"probe\"");
		json_text(b, "probe", p->name);
		json_text(b, "question", p->question);
		json_text(b, "summary", p->summary);
		json_text(b, "source", p->source);
		json_text(b, "overhead", p->overhead);
		json_text(b, "needs", p->needs);
		json_text(b, "path", p->path);
		buf_printf(b, ",\"metrics\":%zu,\"events\":%zu}\n", p->nmetrics, p->nevents);
	}
}

static void list_complete(const struct probes *ps, struct buf *b)
{
	for (size_t i = 0; i < ps->n; i++)
		buf_printf(b, "%s\t%s\n", ps->v[i].name, ps->v[i].question ? ps->v[i].question : "");
}

static void list_table(const struct probes *ps, struct buf *b)
{
	struct table t = { 0 };

	table_column(&t, "probe", COL_WHOLE, 0);
	table_column(&t, "source", COL_WHOLE, 0);
	table_column(&t, "overhead", COL_WHOLE, 0);
	table_column(&t, "answers", COL_WHOLE, 0);
	for (size_t i = 0; i < ps->n; i++) {
		table_str(&t, ps->v[i].name);
		table_str(&t, or_dash(ps->v[i].source));
		table_str(&t, or_dash(ps->v[i].overhead));
		table_str(&t, or_dash(ps->v[i].question));
	}
	table_show(&t, b);
	table_free(&t);
}

int cmd_list(int argc, char **argv)
{
	struct plain_options opt;
	struct buf b = { 0 };
	struct probes ps;
	int code = plain_options(argc, argv, &command, &opt);

	if (code >= 0)
		return code;
	if (opt.complete)
		msg_level_set(MSG_QUIET);
	if (probes_find(&ps))
		return EXIT_FAILED;
	if (probes_describe_all(&ps)) {
		probes_free(&ps);
		return EXIT_FAILED;
	}
	if (!ps.n && !opt.complete)
		msg_warn("no probes beside this program or in $SKOOP_EXEC_PATH");
	if (opt.json)
		list_json(&ps, &b);
	else if (opt.complete)
		list_complete(&ps, &b);
	else
		list_table(&ps, &b);
	probes_free(&ps);
	return print_buf(&b);
}
