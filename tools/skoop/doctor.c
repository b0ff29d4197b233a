// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop doctor - which probes can run here: each is run once, and says what it lacks. */
#include "doctor.h"

#include <errno.h>
#include <search.h>
#include <string.h>

#include "libcommon/format.h"
#include "libcommon/process.h"
#include "libcommon/table.h"
#include "libcommon/target.h"

static const struct plain_command command = {
	.help = "Usage: skoop doctor [-j] [--timeout SECS]\n"
		"What this machine offers, and which probes can run on it: each is run once, and\n"
		"what it lacks is said.\n"
		"Exit code 0: all can; 3: some lack a privilege; 4: the kernel lacks something;\n"
		"1: a probe failed.\n",
	.has = PLAIN_JSON | PLAIN_TIMEOUT,
};

/* One probe's visit. */
struct visit {
	const struct probe_info *probe;
	int code, signal;
	bool hung;
	size_t series, ntargets;
	void *targets; /* a tree of the labels seen */
	char mode[64]; /* it runs reduced, "": it does not */
	struct hooks_told hooks;
	struct buf says;
};

/* ---- listening ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The three labels of a target stand first and together. */
static void count_target(struct visit *v, const char *line)
{
	static const char from[] = "\"labels\":{", last[] = "\"target_node\":\"";
	const char *start = strstr(line, from), *node = start ? strstr(start, last) : NULL, *end;
	char *key;

	if (!node)
		return;
	for (end = node + strlen(last); *end && *end != '"'; end++)
		if (*end == '\\' && end[1])
			end++;
	key = strndup(start, (size_t)(end - start));
	if (key && !tfind(key, &v->targets, by_text) && tsearch(key, &v->targets, by_text))
		v->ntargets++;
	else
		free(key);
}

/* A reduced mode is told with each record. */
static void take_mode(struct visit *v, const char *line)
{
	static const char key[] = "\"mode\":\"";
	const char *mode = strstr(line, key);

	if (mode)
		snprintf(v->mode, sizeof(v->mode), "%.*s", (int)strcspn(mode + strlen(key), "\""),
			 mode + strlen(key));
}

static int take_line(struct child *c, char *line, size_t len, void *arg)
{
	struct visit *v = c->data;

	(void)len, (void)arg;
	if (!strstr(line, "\"kind\":\"metric\""))
		return 0;
	v->series++;
	count_target(v, line);
	take_mode(v, line);
	return 0;
}

static void take_message(struct child *c, const char *line, void *arg)
{
	struct visit *v = c->data;
	size_t len = strlen(c->name);

	(void)arg;
	if (!strncmp(line, c->name, len) && !strncmp(line + len, ": ", 2))
		line += len + 2;
	if (c->aside) {
		hooks_take(&v->hooks, line);
		return;
	}
	buf_printf(&v->says, "%s%s", v->says.len ? "; " : "", line);
}

static int take_end(struct child *c, void *arg)
{
	struct visit *v = c->data;

	(void)arg;
	v->code = c->code;
	v->signal = c->signal;
	return 0;
}

static int visit_start(struct children *cs, struct visit *v)
{
	static const char *const reads[] = { "-o", "json", NULL };
	/* These would go on for ever: they attach, listen a moment, detach. */
	static const char *const listens[] = { "-o", "json", "-d", "0.5", NULL };
	static const char *const traces[] = { "--framed", "-v", "-o", "json", "-d", "0.5", NULL };
	const struct probe_info *p = v->probe;

	return children_add(cs, p->path,
			    probe_traces(p) ? traces
			    : p->nevents    ? listens
					    : reads,
			    v);
}

/* Who does not answer is not waited for. */
static void give_up(struct children *cs)
{
	for (size_t i = 0; i < children_count(cs); i++) {
		struct child *c = children_get(cs, i);
		struct visit *v = c->data;

		if (c->ended)
			continue;
		v->hung = true;
		child_kill(c);
	}
}

static int visit_all(struct visit *v, size_t n, uint64_t timeout)
{
	static const struct children_ops ops = { take_line, take_message, take_end, true };
	struct children *cs;
	int err = children_open(&ops, NULL, STDOUT_FILENO, &cs);

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++)
		err = visit_start(cs, &v[i]);
	if (!err)
		err = children_run(cs, process_now() + timeout);
	if (err == -ETIME) {
		give_up(cs);
		err = children_run(cs, UINT64_MAX);
	}
	children_close(cs);
	return err;
}

/* ---- speaking ---- */

static const char *status(const struct visit *v)
{
	if (v->hung)
		return "no answer";
	switch (v->code) {
	case EXIT_OK: return *v->mode ? "reduced" : "ok";
	case EXIT_PRIVILEGE: return "no privilege";
	case EXIT_UNSUPPORTED: return "not supported";
	default: return "failed";
	}
}

/* What it said itself, and what it needs; never nothing where it did not run. */
static void add_says(struct visit *v)
{
	if (v->hung)
		buf_printf(&v->says, "%sdid not end in time (--timeout)", v->says.len ? "; " : "");
	else if (v->signal)
		buf_printf(&v->says, "%skilled by SIG%s", v->says.len ? "; " : "",
			   sigabbrev_np(v->signal));
	else if (v->code == EXIT_PRIVILEGE && v->probe->needs)
		buf_printf(&v->says, "%sneeds %s", v->says.len ? "; " : "", v->probe->needs);
	else if (v->code && !v->says.len)
		buf_printf(&v->says, "exit %d without a word", v->code);
}

static void say_facts(const struct roots *roots, bool json, struct buf *b)
{
	for (const struct fact *f = facts; f->name; f++) {
		struct buf text = { 0 };

		f->say(roots, &text);
		buf_plain(&text, 0);
		if (json) {
			buf_printf(b, "{\"schema\":1,\"kind\":\"fact\",\"fact\":\"%s\",\"says\":",
				   f->name);
			buf_json(b, text.data ? text.data : "", text.len);
			buf_str(b, "}\n");
		} else {
			buf_printf(b, "%-13s %s\n", f->name, text.data ? text.data : "-");
		}
		b->failed |= text.failed;
		buf_free(&text);
	}
}

static void visits_json(const struct visit *v, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n; i++, v++) {
		buf_printf(b,
			   "{\"schema\":1,\"kind\":\"check\",\"probe\":\"%s\",\"status\":\"%s\","
			   "\"exit\":%d",
			   v->probe->name, status(v), v->code);
		buf_printf(b, ",\"series\":%zu,\"targets\":%zu,\"says\":", v->series, v->ntargets);
		buf_json(b, v->says.data ? v->says.data : "", v->says.len);
		buf_str(b, ",\"mode\":");
		if (*v->mode)
			buf_json(b, v->mode, strlen(v->mode));
		else
			buf_str(b, "null");
		buf_str(b, ",\"hooks\":");
		hooks_json(&v->hooks, b);
		buf_str(b, "}\n");
	}
}

static void count_cell(struct table *t, bool known, size_t n)
{
	struct buf *b = table_cell(t);

	if (known)
		buf_u64(b, n);
	table_end(t);
}

static void visits_table(const struct visit *v, size_t n, struct buf *b)
{
	struct table t = { 0 };

	table_column(&t, "probe", COL_WHOLE, 0);
	table_column(&t, "status", COL_WHOLE, 0);
	table_column(&t, "series", COL_RIGHT, 0);
	table_column(&t, "targets", COL_RIGHT, 0);
	table_column(&t, "says", COL_WHOLE, 0);
	for (size_t i = 0; i < n; i++, v++) {
		table_str(&t, v->probe->name);
		table_str(&t, status(v));
		count_cell(&t, !v->code, v->series);
		count_cell(&t, !v->code, v->ntargets);
		table_str(&t, v->says.data ? v->says.data : "");
	}
	buf_str(b, "\n");
	table_show(&t, b);
	table_free(&t);
}

/* Where those that trace are attached. What this kernel makes needless is left out. */
static void hooks_table(const struct visit *v, size_t n, struct buf *b)
{
	struct table t = { 0 };

	table_column(&t, "probe", COL_WHOLE, 0);
	table_column(&t, "hook", COL_WHOLE, 0);
	table_column(&t, "by", COL_WHOLE, 0);
	table_column(&t, "refused", COL_WHOLE, 0);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < v[i].hooks.n; k++) {
			const struct hook_told *h = &v[i].hooks.v[k];

			if (!h->needed)
				continue;
			table_str(&t, v[i].probe->name);
			table_str(&t, h->name ? h->name : "");
			table_str(&t, h->by ? h->by : "missing");
			table_str(&t, h->refused ? h->refused : "");
		}
	}
	if (table_rows(&t)) {
		buf_str(b, "\n");
		table_show(&t, b);
	}
	table_free(&t);
}

static int worst(const struct visit *v, size_t n)
{
	static const int order[] = { EXIT_FAILED, EXIT_PRIVILEGE, EXIT_UNSUPPORTED };
	bool seen[EXIT_UNSUPPORTED + 1] = { 0 };

	for (size_t i = 0; i < n; i++) {
		bool known = v[i].code == EXIT_OK || v[i].code == EXIT_PRIVILEGE ||
			     v[i].code == EXIT_UNSUPPORTED;

		seen[v[i].hung || !known ? EXIT_FAILED : v[i].code] = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (seen[order[i]])
			return order[i];
	return EXIT_OK;
}

static int report(struct visit *v, size_t n, bool json)
{
	const struct target_options none = { 0 };
	struct target_finder *finder;
	struct buf b = { 0 };
	int code = worst(v, n), printed;

	if (finder_open(&none, &finder))
		return EXIT_FAILED;
	for (size_t i = 0; i < n; i++)
		add_says(&v[i]);
	say_facts(finder_roots(finder), json, &b);
	finder_close(finder);
	if (json)
		visits_json(v, n, &b);
	else
		visits_table(v, n, &b);
	if (!json)
		hooks_table(v, n, &b);
	printed = print_buf(&b);
	return printed ? printed : code;
}

static void visits_free(struct visit *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		tdestroy(v[i].targets, free);
		hooks_free(&v[i].hooks);
		buf_free(&v[i].says);
	}
	free(v);
}

static int examine(const struct probes *ps, const struct plain_options *opt)
{
	struct visit *v = calloc(ps->n + 1, sizeof(*v));
	int code, err;

	if (!v) {
		msg_error("out of memory");
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < ps->n; i++)
		v[i].probe = &ps->v[i];
	if (!ps->n)
		msg_warn("no probes beside this program or in $SKOOP_EXEC_PATH");
	err = visit_all(v, ps->n, opt->timeout);
	if (!err)
		code = report(v, ps->n, opt->json);
	else
		code = err == -EPIPE || err == -EINTR ? EXIT_OK : EXIT_FAILED;
	visits_free(v, ps->n);
	return code;
}

int cmd_doctor(int argc, char **argv)
{
	struct plain_options opt;
	struct probes ps;
	int code = plain_options(argc, argv, &command, &opt);

	if (code >= 0)
		return code;
	if (probes_find(&ps))
		return EXIT_FAILED;
	code = probes_describe_all(&ps) ? EXIT_FAILED : examine(&ps, &opt);
	probes_free(&ps);
	return code;
}
