// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of a probe: options, targets, rounds, signals, exit code. */
#include "probe.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "caps.h"
#include "describe.h"
#include "options.h"
#include "out.h"
#include "process.h"
#include "target.h"
#include "target_pass.h"
#include "util.h"

/* What one round's reading came to. */
struct tally {
	size_t read, denied, absent, failed;
};

struct life {
	const struct probe *probe;
	struct options opt;
	struct target_finder *finder;
	struct targets *targets; /* of the last round: samples point into them */
	struct out *out;
	uint64_t start, rounds;
	int code; /* EXIT_NO_TARGET is remembered from the first round to the end */
	bool named_denied;
};

static void tally_add(struct tally *sum, int err)
{
	if (!err)
		sum->read++;
	else if (err == -EPERM || err == -EACCES)
		sum->denied++;
	else if (err == -ENOENT)
		sum->absent++;
	else if (err != -ESRCH)
		sum->failed++;
}

static struct tally collect_all(struct life *l)
{
	const struct probe *p = l->probe;
	const struct target *host = targets_machine(l->targets);
	struct tally sum = { 0 };

	for (size_t i = 0; p->collect && i < l->targets->n; i++)
		if (l->targets->v[i].selected)
			tally_add(&sum, p->collect(&l->targets->v[i], l->out));
	if (p->collect_host && host)
		tally_add(&sum, p->collect_host(host, l->out));
	return sum;
}

/* The first round decides what kind of failure it is; later ones only skip what they cannot read. */
static void judge(struct life *l, const struct tally *sum)
{
	const struct probe *p = l->probe;
	/* What needs no capability elsewhere needs one to get into a namespace without processes. */
	uint64_t enter = p->caps ? p->caps : CAP_TO_MASK(CAP_SYS_ADMIN);
	bool partly = sum->read > 0;

	if (sum->denied && !l->named_denied && l->opt.verbosity > MSG_QUIET) {
		l->named_denied = true;
		caps_report(enter, "%zu of %zu network namespaces %s", sum->denied,
			    sum->denied + sum->read + sum->absent,
			    partly ? "skipped" : "cannot be read");
	}
	if (l->rounds || partly)
		return;
	if (sum->denied) {
		if (l->opt.verbosity <= MSG_QUIET)
			caps_report(enter, "cannot read %zu network namespaces", sum->denied);
		l->code = EXIT_PRIVILEGE;
	} else if (sum->absent && !sum->failed) {
		msg_error("%s", p->absent ? p->absent : "this kernel has none of these counters");
		l->code = EXIT_UNSUPPORTED;
	}
}

/* One round: discover, read, write. Returns 0 to go on, else an -errno that ends the run. */
static int round_run(struct life *l, bool show)
{
	struct targets *fresh;
	struct tally sum;
	int err = targets_first(l->finder, l->opt.given && !l->rounds, &fresh);

	if (err) {
		l->code = target_exit_code(err);
		return err;
	}
	out_round(l->out, fresh);
	targets_free(l->targets);
	l->targets = fresh;
	if (!l->rounds)
		l->code = targets_report_missing(fresh);
	if (!l->rounds && !targets_selected(fresh)) {
		if (!l->code)
			msg_error("no network namespace is to be seen: %s has no processes",
				  finder_roots(l->finder)->procfs);
		return -ENOENT;
	}
	sum = collect_all(l);
	judge(l, &sum);
	if (sum.failed && l->opt.write) {
		out_abort(l->out);
		return -EIO;
	}
	if (sum.failed)
		l->code = EXIT_FAILED;
	if (!l->rounds && !sum.read && l->code && l->code != EXIT_NO_TARGET) {
		out_abort(l->out);
		return -ENOENT;
	}
	l->rounds++;
	return out_flush(l->out, show);
}

/*
 * The rounds of a counter probe. On an absolute schedule: a round that took longer than INTERVAL delays the next
 * only to the next full step. -d without INTERVAL is two rounds of which the second is shown.
 */
static int rounds_run(struct life *l)
{
	const struct options *opt = &l->opt;
	bool diff_only = !opt->interval && opt->duration;
	uint64_t step = opt->interval ? opt->interval : opt->duration;
	uint64_t end = opt->duration ? l->start + opt->duration : UINT64_MAX;
	uint64_t count = opt->interval ? opt->count : diff_only ? 2 : 1;
	uint64_t due = l->start, now;
	int err = round_run(l, !diff_only);

	while (!err && step && (!count || l->rounds < count)) {
		now = process_now();
		due += step;
		if (due <= now)
			due += (now - due) / step * step + step;
		if (due > end)
			due = end;
		if (now >= end && l->rounds > 1)
			break;
		err = process_wait(due, out_fd(l->out));
		if (err == -EPIPE)
			break;
		/* A stop by signal ends with final counters; whoever asked for differences still gets them. */
		if (err == -EINTR) {
			err = diff_only || opt->write ? round_run(l, true) : 0;
			break;
		}
		err = round_run(l, true);
		if (due == end)
			break;
	}
	return err;
}

static int life_code(struct life *l, int err)
{
	if (err && err != -EPIPE && !l->code)
		return EXIT_FAILED;
	if (l->code)
		return l->code;
	if (out_alarmed(l->out) || (l->opt.exit_status && out_observed(l->out)))
		return EXIT_OBSERVED;
	return EXIT_OK;
}

static int life_run(struct life *l)
{
	const struct probe *p = l->probe;
	int err = finder_open(&l->opt.target, &l->finder), closed, code;

	if (err)
		return target_exit_code(err);
	err = out_open(p, &l->opt, &l->out);
	if (err) {
		finder_close(l->finder);
		return err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	l->start = process_now();
	if (p->run)
		code = p->run(p, &l->opt, l->finder, l->out);
	else
		code = life_code(l, rounds_run(l));
	closed = out_close(l->out);
	targets_free(l->targets);
	finder_close(l->finder);
	return closed && closed != -EPIPE && code != EXIT_USAGE ? EXIT_FAILED : code;
}

static int print(const struct buf *b)
{
	int err = b->failed ? -ENOMEM : process_write(STDOUT_FILENO, b->data, b->len);

	if (!err || err == -EPIPE)
		return EXIT_OK;
	msg_error("write error: %s", strerror(-err));
	return EXIT_FAILED;
}

static int describe_or_explain(const struct probe *p, const struct options *opt)
{
	struct buf b = { 0 };
	int code;

	if (opt->describe) {
		describe(p, &b);
	} else if (!explain(p, opt->explain, &b)) {
		msg_error("no metric, event, field or reason named '%s' here", opt->explain);
		return EXIT_USAGE;
	}
	code = print(&b);
	buf_free(&b);
	return code;
}

int probe_main(int argc, char **argv, const struct probe *p)
{
	struct life l = { .probe = p };
	char name[64];
	int code;

	snprintf(name, sizeof(name), "skoop-%s", p->name);
	if (argc > 0)
		argv[0] = name; /* what getopt calls us in its messages */
	msg_init(name);
	process_start();
	options_parse(argc, argv, p, &l.opt);
	code = l.opt.describe || l.opt.explain ? describe_or_explain(p, &l.opt) : life_run(&l);
	options_free(&l.opt);
	return code;
}
