// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop snapshot - the counter probes twice, and what moved that should not have. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "findings.h"
#include "libcommon/array.h"
#include "libcommon/options.h"
#include "libcommon/out_start.h"
#include "libcommon/process.h"
#include "report.h"
#include "skoop.h"

#define SECONDS_DEFAULT (10 * NSEC_PER_SEC)
/* What the probes' own work may add to the window before they are given up. */
#define PATIENCE (60 * NSEC_PER_SEC)

/*
 * Whom we ask. Each is asked for two rounds; a row of findings.def that needs more than these say
 * needs a line here.
 */
static const struct {
	const char *probe, *args[8];
} inputs[] = {
	{ "conntrack", { "-a" } },
	{ "fd", { "--by", "pid", "-a" } },
	/* For the machine's pressure: what processes it may not read does not matter. */
	{ "io", { "-a", "-q" } },
	{ "ip", { "-a" } },
	{ "ipvs", { "--services" } },
	{ "netdev", { "-a" } },
	{ "qdisc", { "--tree", "-a" } },
	{ "sock", { "-a" } },
	{ "softnet", { "--per-cpu", "-a" } },
	{ "tcp", { "-a" } },
	{ "tcpext", { "-a" } },
	{ "tcpsummary", { "--states", "--listen", "--worst", "--by", "peer", "--top", "20" } },
	{ "udp", { "-a" } },
};

/* One probe at work. */
struct input {
	const char *probe;
	struct sender sender;
	struct buf said; /* on stderr, "; " between */
	bool started, ended;
	int code;
};

struct snapshot {
	struct options opt;
	struct probes probes;
	struct store *store;
	struct wanted *wanted;
	struct input v[ARRAY_SIZE(inputs)];
	struct gap gaps[ARRAY_SIZE(inputs)];
	size_t ngaps;
};

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

/* ---- starting ---- */

/* Arguments of one child; the texts live elsewhere. */
struct args {
	const char **v;
	size_t n, size;
	bool failed;
};

static void args_add(struct args *a, const char *text)
{
	if (a->failed || array_grow(&a->v, &a->size, a->n + 2)) {
		a->failed = true;
		return;
	}
	a->v[a->n++] = text;
	a->v[a->n] = NULL;
}

static void args_option(struct args *a, const char *option, const char *value)
{
	if (!value)
		return;
	args_add(a, option);
	args_add(a, value);
}

/* The options for targets, as they were given. */
static void args_targets(struct args *a, const struct target_options *t)
{
	static const char *const options[] = {
		[SEL_NETNS] = "-n", [SEL_PID] = "-p", [SEL_CONTAINER] = "-c", [SEL_POD] = "-P"
	};

	for (size_t i = 0; i < t->nselectors; i++) {
		if (t->selectors[i].kind == SEL_HOST)
			args_add(a, "--host");
		else
			args_option(a, options[t->selectors[i].kind], t->selectors[i].text);
	}
	if (t->all)
		args_add(a, "-A");
	args_option(a, "--procfs", t->procfs);
	args_option(a, "--sysfs", t->sysfs);
	args_option(a, "--rootfs", t->rootfs);
	args_option(a, "--pod-logs", t->pod_logs);
	args_option(a, "--host-netns", t->host_netns);
	args_option(a, "--node", t->node);
}

static int input_start(struct snapshot *s, struct children *cs, size_t i)
{
	const struct probe_info *info = probes_get(&s->probes, inputs[i].probe);
	struct input *in = &s->v[i];
	struct args a = { 0 };
	char interval[32];
	int err;

	in->probe = inputs[i].probe;
	in->sender.store = s->store;
	if (!info) {
		buf_printf(&in->said, "skoop-%s is not installed", in->probe);
		in->code = EXIT_UNSUPPORTED;
		return 0;
	}
	snprintf(interval, sizeof(interval), "%" PRIu64 ".%09" PRIu64,
		 (uint64_t)(s->opt.interval / NSEC_PER_SEC),
		 (uint64_t)(s->opt.interval % NSEC_PER_SEC));
	for (const char *const *arg = inputs[i].args; *arg; arg++)
		args_add(&a, *arg);
	args_targets(&a, &s->opt.target);
	args_option(&a, "-o", "json");
	if (s->opt.verbosity > MSG_NORMAL)
		args_add(&a, "-v");
	args_add(&a, interval);
	args_add(&a, "2");
	if (a.failed)
		msg_error("out of memory");
	err = a.failed ? -ENOMEM : children_add(cs, info->path, a.v, in);
	in->started = !err;
	free(a.v);
	return err;
}

/* ---- listening ---- */

static int take_line(struct child *c, char *line, size_t len, void *arg)
{
	struct input *in = c->data;
	int err = store_feed(&in->sender, line, len);

	(void)arg;
	if (err == -ENOMEM) {
		msg_error("out of memory");
		return err;
	}
	if (err && !in->code) {
		buf_printf(&in->said, "%swhat it says is not understood", in->said.len ? "; " : "");
		in->code = EXIT_FAILED;
		child_kill(c);
	}
	return 0;
}

static void take_message(struct child *c, const char *line, void *arg)
{
	const struct snapshot *s = arg;
	struct input *in = c->data;
	size_t len = strlen(c->name);

	if (!strncmp(line, c->name, len) && !strncmp(line + len, ": ", 2))
		line += len + 2;
	if (s->opt.verbosity > MSG_NORMAL)
		msg_verbose("%s: %s", in->probe, line);
	else
		buf_printf(&in->said, "%s%s", in->said.len ? "; " : "", line);
}

static int take_end(struct child *c, void *arg)
{
	struct input *in = c->data;

	(void)arg;
	in->ended = true;
	if (!in->code)
		in->code = c->code;
	return 0;
}

/* The whole window. 0; -EINTR: asked to stop; other -errno after one msg_error. */
static int watch(struct snapshot *s)
{
	static const struct children_ops ops = { take_line, take_message, take_end };
	struct children *cs;
	int err = children_open(&ops, s, STDOUT_FILENO, &cs);

	for (size_t i = 0; i < ARRAY_SIZE(inputs) && !err; i++)
		err = input_start(s, cs, i);
	if (!err)
		err = children_run(cs, process_now() + s->opt.interval + PATIENCE);
	children_close(cs);
	for (size_t i = 0; i < ARRAY_SIZE(inputs) && err == -ETIME; i++) {
		if (s->v[i].ended || !s->v[i].started)
			continue;
		buf_printf(&s->v[i].said, "%sdid not answer in time", s->v[i].said.len ? "; " : "");
		s->v[i].code = EXIT_FAILED;
	}
	return err == -ETIME ? 0 : err;
}

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
		for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
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

	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
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

static int judge(struct snapshot *s)
{
	struct findings f;
	int code, worst = worst_code(s);

	if (!gaps_find(s))
		return worst ? worst : EXIT_FAILED;
	if (findings_judge(s->store, &f)) {
		msg_error("out of memory");
		findings_free(&f);
		return EXIT_FAILED;
	}
	code = tell(s, &f);
	if (!code && (worst == EXIT_USAGE || worst == EXIT_FAILED))
		code = EXIT_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(inputs) && !code; i++)
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
	if (!s->store) {
		msg_error("out of memory");
		return EXIT_FAILED;
	}
	if (isatty(STDERR_FILENO))
		msg_warn("looking for %.10g s", (double)s->opt.interval / 1e9);
	err = watch(s);
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
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
		buf_free(&s.v[i].said);
	store_close(s.store);
	wanted_close(s.wanted);
	probes_free(&s.probes);
	options_free(&s.opt);
	return code;
}
