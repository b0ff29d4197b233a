// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop run - several probes as one: a child each, their lines merged, one exit code. */
#include "run.h"

#include <errno.h>
#include <string.h>

#include "libcommon/process.h"
#include "libcommon/writer.h"
#include "merge.h"

static const char help[] = "Usage: skoop run P1,P2,... [OPTIONS] [INTERVAL [COUNT]]\n"
			   "Several probes on one timeline. Their options are those of the probes "
			   "(skoop help PROBE); each\n"
			   "probe gets the options it has. Instead of a name:\n\n"
			   "  all      every probe that is here\n"
			   "  metrics  those that read counters, without tracing the kernel\n"
			   "  events   those that tell events\n\n"
			   "JSON and TSV come in the order of time, tables probe by probe, prom "
			   "and openmetrics as one\n"
			   "exposition, -w FILE as one file. A probe that cannot run here is "
			   "reported, and the others run.\n";

struct run {
	struct run_plan plan;
	struct children *children;
	struct merge merge;
	int *codes;      /* of the children, -1: still running */
	bool incomplete; /* a child was ended in the middle: a file is not replaced any more */
	uint64_t kill_at;
};

/* ---- what children say ---- */

/* What its first line says is to come: whether that fits is known only now. */
static int take_greeting(struct run *r, struct child *c, const char *line)
{
	struct feed *f = &r->merge.feeds[c->index];

	f->greeted = true;
	f->streams = !strcmp(line, "\fskoop stream");
	if (!f->streams && strcmp(line, "\fskoop rounds")) {
		msg_error("%s: does not speak as a probe does", c->name);
		c->failed = f->failed = true;
		child_kill(c);
	}
	if (f->streams && r->plan.opt.write) {
		msg_error("-w cannot replace a file by the events of %s; append with >> instead",
			  f->title);
		return -EINVAL;
	}
	if (f->streams && r->plan.opt.format == OUT_TSV && r->plan.n > 1) {
		msg_error("the events of %s have columns of their own: use -o json, or run it alone",
			  f->title);
		return -EINVAL;
	}
	return 0;
}

static int take_line(struct child *c, char *line, size_t len, void *arg)
{
	struct run *r = arg;
	struct feed *f = &r->merge.feeds[c->index];

	if (!f->greeted)
		return take_greeting(r, c, line);
	merge_line(&r->merge, f, line, len);
	if (f->failed)
		child_kill(c);
	return 0;
}

static bool delivered(int code)
{
	return code == EXIT_OK || code == EXIT_OBSERVED || code == EXIT_NO_TARGET;
}

/* Who ended without a word gets one here: nobody is missing silently. */
static void tell_end(const struct child *c)
{
	if (c->told || c->killed)
		return;
	if (c->code == EXIT_PRIVILEGE)
		msg_error("%s: lacks the privilege to run here (exit 3)", c->name);
	else if (c->code == EXIT_UNSUPPORTED)
		msg_error("%s: is not supported by this kernel (exit 4)", c->name);
	else if (c->code == EXIT_NO_TARGET && !c->said)
		msg_error("%s: found no such target (exit 5)", c->name);
	else if (c->code && !delivered(c->code))
		msg_error("%s: failed (exit %d)", c->name, c->code);
}

static bool cannot_run(int code)
{
	return code == EXIT_PRIVILEGE || code == EXIT_UNSUPPORTED;
}

static int take_end(struct child *c, void *arg)
{
	struct run *r = arg;

	tell_end(c);
	r->codes[c->index] = c->code;
	r->incomplete |= c->cut_short;
	merge_end(&r->merge, &r->merge.feeds[c->index], !delivered(c->code) || c->cut_short);
	if (c->code == EXIT_USAGE)
		return -EINVAL;
	/* A file is replaced by a whole, or not at all. */
	return r->plan.opt.write && !delivered(c->code) && !cannot_run(c->code) ? -EIO : 0;
}

/* ---- what comes out ---- */

static int write_out(struct run *r, bool end)
{
	struct merge *m = &r->merge;
	const char *path = r->plan.opt.write;
	int err = 0;

	m->ops->tick(m, process_now(), end);
	if (m->out.failed)
		err = -ENOMEM;
	else if (path && m->ready && !r->incomplete)
		err = file_replace(path, m->out.data, m->out.len);
	else if (!path)
		err = process_write(STDOUT_FILENO, m->out.data, m->out.len);
	m->out.len = 0;
	m->ready = false;
	if (err && err != -EPIPE)
		msg_error("write error: %s%s%s", path ? path : "", path ? ": " : "", strerror(-err));
	return err;
}

/* ---- the run ---- */

static const struct merge_ops *merger(const struct run_plan *plan)
{
	if (plan->opt.write || plan->opt.format == OUT_PROM || plan->opt.format == OUT_OPENMETRICS)
		return &merge_rounds;
	return plan->opt.format == OUT_TABLE ? &merge_blocks : &merge_timeline;
}

static bool want_color(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(none && *none) && !(term && !strcmp(term, "dumb"));
}

/*
 * What a child is told beside its options: its stdout is a pipe, and it cannot know where that
 * leads.
 */
static int start_one(struct run *r, size_t i)
{
	const struct run_args *given = &r->plan.args[i];
	auto_free const char **args = calloc(given->n + 4, sizeof(*args));
	size_t n = 0;
	int err;

	if (!args) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	args[n++] = "--framed";
	args[n++] = "--targets";
	if (r->plan.opt.format == OUT_TABLE && r->plan.opt.color == COLOR_AUTO && want_color())
		args[n++] = "--color=always";
	if (given->n)
		memcpy(args + n, given->v, given->n * sizeof(*args));
	err = children_add(r->children, r->plan.chosen[i]->path, args, NULL);
	if (!err)
		r->merge.feeds[i].name = children_get(r->children, i)->name;
	return err;
}

/* A negative value: go on; else the exit code. */
static int start(struct run *r)
{
	static const struct children_ops ops = { take_line, NULL, take_end, false };
	int code = -1;

	if (children_open(&ops, r, r->plan.opt.write ? -1 : STDOUT_FILENO, &r->children))
		return EXIT_FAILED;
	/* All look at the same: one looks for it. */
	if (r->plan.n > 1)
		code = children_targets(r->children, &r->plan.opt.target);
	for (size_t i = 0; code < 0 && i < r->plan.n; i++)
		if (start_one(r, i))
			code = EXIT_FAILED;
	return code;
}

static int prepare(struct run *r)
{
	struct merge *m = &r->merge;

	*m = (struct merge){ .ops = merger(&r->plan),
			     .format = r->plan.opt.format,
			     .interval = r->plan.opt.interval,
			     .start = merge_wall_clock(),
			     .file = r->plan.opt.write };
	m->feeds = calloc(r->plan.n, sizeof(*m->feeds));
	r->codes = calloc(r->plan.n, sizeof(*r->codes));
	if (!m->feeds || !r->codes) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	m->nfeeds = r->plan.n;
	for (size_t i = 0; i < m->nfeeds; i++) {
		r->codes[i] = -1;
		m->feeds[i].title = r->plan.chosen[i]->name;
	}
	return 0;
}

/* One step, and what it brought is written. As children_step(). */
static int step(struct run *r)
{
	uint64_t due = r->merge.ops->due(&r->merge);
	int ret = children_step(r->children, due < r->kill_at ? due : r->kill_at), err;

	if (ret == -EINTR) {
		children_ask(r->children);
		r->kill_at = process_now() + CHILDREN_GRACE;
	} else if (ret < 0 && ret != -ETIME) {
		return ret;
	}
	if (process_now() >= r->kill_at) {
		children_kill(r->children);
		r->kill_at = UINT64_MAX;
	}
	err = write_out(r, ret == 0);
	return err ? err : ret ? 1 : 0;
}

/* The worst by the common order; that some cannot run here counts only where none can. */
static int worst(const struct run *r)
{
	static const int order[] = { EXIT_USAGE,       EXIT_FAILED,    EXIT_PRIVILEGE,
				     EXIT_UNSUPPORTED, EXIT_NO_TARGET, EXIT_OBSERVED };
	bool any = false, seen[EXIT_OBSERVED + 1] = { 0 };

	for (size_t i = 0; i < r->plan.n; i++) {
		int code = r->codes[i];

		if (code < 0)
			continue;
		any |= delivered(code);
		seen[delivered(code) || cannot_run(code) || code == EXIT_USAGE ? code : EXIT_FAILED] =
			true;
	}
	if (r->merge.failed)
		seen[EXIT_FAILED] = true;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (seen[order[i]] && !(any && cannot_run(order[i])))
			return order[i];
	return EXIT_OK;
}

static int run(struct run *r)
{
	int code = prepare(r) ? EXIT_FAILED : start(r), err;

	if (code >= 0)
		return code;
	while ((err = step(r)) == 1)
		;
	if (err == -EPIPE)
		return EXIT_OK; /* the reader has seen enough */
	if (!err && !r->plan.opt.write && close(STDOUT_FILENO)) {
		msg_error("write error: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return err == -EINVAL ? EXIT_USAGE : err ? EXIT_FAILED : worst(r);
}

int cmd_run(int argc, char **argv)
{
	struct run r = { .kill_at = UINT64_MAX };
	int code = run_plan_make(argc, argv, help, &r.plan);

	if (code < 0) {
		code = run(&r);
		children_close(r.children);
		if (r.merge.ops)
			merge_free(&r.merge);
		free(r.codes);
	}
	run_plan_free(&r.plan);
	return code;
}
