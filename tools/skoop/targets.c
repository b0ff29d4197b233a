// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop targets: the network namespaces and pods that can be seen, and how each got its name. */
#include "skoop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "libcommon/format.h"
#include "libcommon/options.h"
#include "libcommon/table.h"
#include "libcommon/target.h"

enum { COMPLETE_NETNS, COMPLETE_PID, COMPLETE_POD, COMPLETE_CONTAINER, COMPLETE_NOTHING };
static const char *const complete_words[] = { "netns", "pid", "pod", "container", NULL };
static unsigned int complete = COMPLETE_NOTHING;

static const struct knob knobs[] = { { 0, "complete", "KIND",
				       "Print the words that choose a netns, pid, pod or container",
				       KNOB_WORD, &complete, .words = complete_words },
				     {} };

static int check(const struct options *opt)
{
	if (opt->interval) {
		msg_error("takes no arguments");
		return -EINVAL;
	}
	if (opt->format == OUT_PROM || opt->format == OUT_OPENMETRICS) {
		msg_error("has no metrics; use -o table, json or tsv");
		return -EINVAL;
	}
	return 0;
}

static const struct probe command = {
	.name = "targets",
	.question = "Which network namespaces and pods are here, and how is each known?",
	.knobs = knobs,
	.check = check,
};

/* What is known of a target; text that stays empty is unknown. */
static void print_node(const struct target *t, struct buf *b)
{
	buf_str(b, t->node);
}

static void print_namespace(const struct target *t, struct buf *b)
{
	buf_str(b, t->namespace);
}

static void print_pod(const struct target *t, struct buf *b)
{
	buf_str(b, t->pod);
}

static void print_netns(const struct target *t, struct buf *b)
{
	if (t->netns)
		buf_u64(b, t->netns);
}

static void print_pid(const struct target *t, struct buf *b)
{
	if (t->npids)
		buf_u64(b, (uint64_t)t->pids[0]);
}

static void print_pids(const struct target *t, struct buf *b)
{
	buf_u64(b, t->npids);
}

static void print_host(const struct target *t, struct buf *b)
{
	buf_str(b, t->host ? "yes" : "");
}

static void print_source(const struct target *t, struct buf *b)
{
	buf_str(b, t->source);
}

static void print_uid(const struct target *t, struct buf *b)
{
	buf_str(b, t->uid ? t->uid : "");
}

static void print_container(const struct target *t, struct buf *b)
{
	buf_str(b, t->container ? t->container : "");
}

static void print_mount(const struct target *t, struct buf *b)
{
	buf_str(b, t->mount ? t->mount : "");
}

enum { TEXT, NUMBER, FLAG };

/* The columns of TSV; tables have those with a title, JSON those that are none of the labels. */
static const struct {
	const char *name, *title;
	int type;
	void (*print)(const struct target *t, struct buf *b);
} columns[] = {
	{ "target_node", NULL, TEXT, print_node },
	{ "target_namespace", "namespace", TEXT, print_namespace },
	{ "target_pod", "pod", TEXT, print_pod },
	{ "netns", "netns", NUMBER, print_netns },
	{ "pid", "pid", NUMBER, print_pid },
	{ "pids", "pids", NUMBER, print_pids },
	{ "host", "host", FLAG, print_host },
	{ "source", "source", TEXT, print_source },
	{ "uid", NULL, TEXT, print_uid },
	{ "container", NULL, TEXT, print_container },
	{ "mount", NULL, TEXT, print_mount },
};
#define LABELS 3

static void show_table(const struct targets *ts, const struct options *opt, struct buf *b)
{
	struct table table = { 0 };

	for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
		if (columns[c].title)
			table_column(&table, columns[c].title,
				     columns[c].type == NUMBER ? COL_RIGHT : 0, 0);
	for (size_t i = 0; i < ts->n; i++) {
		for (size_t c = 0; c < ARRAY_SIZE(columns) && ts->v[i].selected; c++) {
			if (!columns[c].title)
				continue;
			columns[c].print(&ts->v[i], table_cell(&table));
			table_end(&table);
		}
	}
	table_fit(&table, 0);
	if (!opt->no_header)
		table_head(&table, b);
	for (size_t row = 0; row < table_rows(&table); row++)
		table_row(&table, row, b);
	b->failed |= table.failed;
	table_free(&table);
}

static void show_tsv(const struct targets *ts, const struct options *opt, struct buf *b)
{
	struct buf text = { 0 };

	for (size_t c = 0; c < ARRAY_SIZE(columns) && !opt->no_header; c++)
		buf_printf(b, "%s%s", columns[c].name, c + 1 < ARRAY_SIZE(columns) ? "\t" : "\n");
	for (size_t i = 0; i < ts->n; i++) {
		for (size_t c = 0; c < ARRAY_SIZE(columns) && ts->v[i].selected; c++) {
			text.len = 0;
			columns[c].print(&ts->v[i], &text);
			buf_tsv(b, text.data, text.len);
			buf_str(b, c + 1 < ARRAY_SIZE(columns) ? "\t" : "\n");
		}
	}
	b->failed |= text.failed;
	buf_free(&text);
}

static void json_value(int type, const struct buf *text, struct buf *b)
{
	if (type == FLAG)
		buf_str(b, text->len ? "true" : "false");
	else if (!text->len)
		buf_str(b, "null");
	else if (type == NUMBER)
		buf_add(b, text->data, text->len);
	else
		buf_json(b, text->data, text->len);
}

static void json_target(const struct target *t, const struct timespec *now, struct buf *b)
{
	struct buf text = { 0 };

	buf_str(b, "{\"schema\":1,\"kind\":\"target\",\"ts\":\"");
	buf_time_utc(b, now);
	buf_str(b, "\",\"labels\":{\"target_pod\":");
	buf_json(b, t->pod, strlen(t->pod));
	buf_str(b, ",\"target_namespace\":");
	buf_json(b, t->namespace, strlen(t->namespace));
	buf_str(b, ",\"target_node\":");
	buf_json(b, t->node, strlen(t->node));
	buf_str(b, "}");
	for (size_t c = LABELS; c < ARRAY_SIZE(columns); c++) {
		text.len = 0;
		columns[c].print(t, &text);
		buf_printf(b, ",\"%s\":", columns[c].name);
		json_value(columns[c].type, &text, b);
	}
	buf_str(b, "}\n");
	b->failed |= text.failed;
	buf_free(&text);
}

static void show_json(const struct targets *ts, const struct options *opt, struct buf *b)
{
	struct timespec now;

	(void)opt;
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < ts->n; i++)
		if (ts->v[i].selected)
			json_target(&ts->v[i], &now, b);
}

/* The name --netns takes for it, NULL: none. */
static const char *mount_name(const struct target *t)
{
	static const char *const places[] = { "/run/netns/", "/run/docker/netns/" };
	size_t root = strlen(t->roots->rootfs);

	if (!t->mount || strncmp(t->mount, t->roots->rootfs, root))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (!strncmp(t->mount + root, places[i], strlen(places[i])))
			return t->mount + root + strlen(places[i]);
	return NULL;
}

static void complete_target(const struct target *t, struct buf *b)
{
	const char *name = mount_name(t);

	switch (complete) {
	case COMPLETE_NETNS:
		if (name)
			buf_printf(b, "%s\n", name);
		if (t->netns)
			buf_printf(b, "%llu\n", (unsigned long long)t->netns);
		break;
	case COMPLETE_PID:
		for (size_t i = 0; i < t->npids; i++)
			buf_printf(b, "%d\n", (int)t->pids[i]);
		break;
	case COMPLETE_POD:
		if (!t->host && strcmp(t->namespace, "-"))
			buf_printf(b, "%s/%s\n", t->namespace, t->pod);
		break;
	case COMPLETE_CONTAINER:
		if (t->container)
			buf_printf(b, "%.12s\n", t->container);
		break;
	}
}

/* In the middle of somebody's command line there is no place for messages. */
static void hush(void)
{
	auto_close int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

static bool any_selected(const struct targets *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		if (ts->v[i].selected)
			return true;
	return false;
}

static int show(const struct targets *ts, const struct options *opt)
{
	static void (*const shows[])(const struct targets *ts, const struct options *opt,
				     struct buf *b) = {
		[OUT_TABLE] = show_table,
		[OUT_JSON] = show_json,
		[OUT_TSV] = show_tsv,
	};
	struct buf b = { 0 };

	if (complete == COMPLETE_NOTHING)
		shows[opt->format](ts, opt, &b);
	for (size_t i = 0; i < ts->n && complete != COMPLETE_NOTHING; i++)
		complete_target(&ts->v[i], &b);
	return print_buf(&b);
}

static int load_and_show(const struct options *opt)
{
	struct target_finder *finder = NULL;
	struct targets *ts = NULL;
	int err = finder_open(&opt->target, &finder), code, missing;

	if (!err)
		err = targets_load(finder, &ts);
	if (err) {
		code = target_exit_code(err);
	} else {
		missing = targets_report_missing(ts);
		code = missing && !any_selected(ts) ? EXIT_OK : show(ts, opt);
		code = code ? code : missing;
	}
	targets_free(ts);
	finder_close(finder);
	return code;
}

int cmd_targets(int argc, char **argv)
{
	struct options opt;
	int code;

	options_parse(argc, argv, &command, &opt);
	if (opt.describe)
		return command_describe(&command);
	if (complete != COMPLETE_NOTHING)
		hush();
	code = load_and_show(&opt);
	options_free(&opt);
	return code;
}
