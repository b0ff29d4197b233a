// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop snapshot - the counter probes twice, and what moved that should not have. */
#include "snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "libcommon/out_start.h"
#include "libcommon/process.h"

#define SECONDS_DEFAULT (10 * NSEC_PER_SEC)

static bool exit_status;

static const struct knob knobs[] = { { 'E', "exit-status", NULL,
				       "Exit with 10 if a warning or something critical was found",
				       KNOB_FLAG, &exit_status },
				     {} };

static const struct probe command = {
	.name = "snapshot",
	.summary = "What moved that should not have, worst first",
	.question = "What is wrong here? Looks for SECONDS (10) at every network namespace and\n"
		    "names what moved that should not have, worst first, each with its likely cause\n"
		    "and the next command.\n\n"
		    "skoop snapshot [OPTIONS] [SECONDS]",
	.knobs = knobs,
};

/* ---- judging ---- */

/* What several probes say alike is said once. */
static bool said_before(const struct snapshot *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (s->v[k].code == s->v[i].code && s->v[k].said.len &&
		    !strcmp(s->v[k].said.data, s->v[i].said.data))
			return true;
	return false;
}

/* The exit code of children who found nothing to look at, or the worst of what some could not. */
static int worst_code(const struct snapshot *s)
{
	static const int order[] = { EXIT_USAGE, EXIT_FAILED, EXIT_PRIVILEGE, EXIT_UNSUPPORTED,
				     EXIT_NO_TARGET };

	for (size_t k = 0; k < ARRAY_SIZE(order); k++)
		for (size_t i = 0; i < s->n; i++)
			if (s->v[i].code == order[k])
				return order[k];
	return EXIT_OK;
}

static bool looked(const struct input *in)
{
	return in->sender.rounds == 2 || in->code == EXIT_OK;
}

/* Gathers what could not be looked at. False: that was everything, and it has been said. */
static bool gaps_find(struct snapshot *s)
{
	bool any = store_subject(s->store, 0) && store_window(s->store) > 0;

	for (size_t i = 0; i < s->n; i++) {
		struct input *in = &s->v[i];

		if (!in->said.len && in->code)
			buf_printf(&in->said, "ended with exit code %d", in->code);
		if (!in->said.len || in->said.failed)
			continue;
		if ((!any || in->code == EXIT_NO_TARGET) && !said_before(s, i))
			msg_error("%s%s%s", any || in->code == EXIT_NO_TARGET ? "" : in->probe,
				  any || in->code == EXIT_NO_TARGET ? "" : ": ", in->said.data);
		if (in->code != EXIT_NO_TARGET)
			s->gaps[s->ngaps++] = (struct gap){ in->probe, in->said.data, looked(in) };
	}
	return any;
}

static int tell(struct snapshot *s, const struct findings *f)
{
	const struct out_env env = out_look_around(&s->opt);
	struct report r = {
		.store = s->store,
		.findings = f,
		.who = s->who,
		.probes = &s->probes,
		.gaps = s->gaps,
		.ngaps = s->ngaps,
		.seconds = store_window(s->store),
		.color = env.color,
		.width = env.tty ? env.width : 0,
	};
	struct winsize ws;
	struct buf b = { 0 };

	if (env.tty && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		r.width = ws.ws_col;
	if (s->opt.format == OUT_JSON)
		report_json(&r, &b);
	else
		report_table(&r, &b);
	return print_buf(&b);
}

/* What no probe counts by itself: how many of the drops hit connections that were open. */
static int live_drops_put(struct snapshot *s)
{
	const struct subject *subject;
	int err = 0;

	for (size_t i = 0; !err && (subject = store_subject(s->store, i)); i++)
		if (store_series(s->store, subject, "packetloss_netfilter"))
			err = store_put(s->store, subject, "packetloss_livedrops",
					who_live_drops(s->who, subject->netns));
	return err;
}

static int judge(struct snapshot *s)
{
	struct findings f = { 0 };
	int code, worst = worst_code(s);

	if (!gaps_find(s))
		return worst ? worst : EXIT_FAILED;
	if (live_drops_put(s) || findings_judge(s->store, &f) || who_fold(s->who, &f)) {
		msg_error("out of memory");
		findings_free(&f);
		return EXIT_FAILED;
	}
	code = tell(s, &f);
	if (!code && (worst == EXIT_USAGE || worst == EXIT_FAILED))
		code = EXIT_FAILED;
	for (size_t i = 0; i < s->n && !code; i++)
		code = s->v[i].code == EXIT_NO_TARGET ? EXIT_NO_TARGET : EXIT_OK;
	if (!code && exit_status && report_count(&f, CRITICAL) + report_count(&f, WARNING))
		code = EXIT_OBSERVED;
	findings_free(&f);
	return code;
}

static bool options_fit(const struct options *opt)
{
	if (opt->count)
		msg_error("takes SECONDS alone");
	else if (opt->format != OUT_TABLE && opt->format != OUT_JSON)
		msg_error("has no metrics of its own; use -o table or json");
	return !opt->count && (opt->format == OUT_TABLE || opt->format == OUT_JSON);
}

static int look(struct snapshot *s)
{
	uint64_t start = process_now();
	int err = probes_find(&s->probes);

	if (err)
		return EXIT_FAILED;
	s->wanted = wanted_open();
	s->store = s->wanted ? store_open(wanted_metric, s->wanted) : NULL;
	s->who = who_open();
	if (!s->store || !s->who) {
		msg_error("out of memory");
		return EXIT_FAILED;
	}
	if (isatty(STDERR_FILENO))
		msg_warn("looking for %.10g s", (double)s->opt.interval / 1e9);
	err = snapshot_watch(s);
	if (err == -EINTR)
		msg_warn("stopped after %.1f of %.10g s: nothing was judged",
			 (double)(process_now() - start) / 1e9, (double)s->opt.interval / 1e9);
	if (err)
		return err == -EINTR || err == -EPIPE ? EXIT_OK : EXIT_FAILED;
	return judge(s);
}

int cmd_snapshot(int argc, char **argv)
{
	struct snapshot s = { 0 };
	int code = EXIT_USAGE;

	options_parse(argc, argv, &command, &s.opt);
	if (s.opt.describe)
		return command_describe(&command);
	if (!s.opt.interval)
		s.opt.interval = SECONDS_DEFAULT;
	if (options_fit(&s.opt))
		code = look(&s);
	for (size_t i = 0; i < s.n; i++)
		buf_free(&s.v[i].said);
	store_close(s.store);
	who_close(s.who);
	wanted_close(s.wanted);
	probes_free(&s.probes);
	options_free(&s.opt);
	return code;
}
