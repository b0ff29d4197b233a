// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line of `skoop run`. Its options are those of the probes, and each probe gets those
 * it has. What concerns the whole (format, file, interval) is looked at here, too.
 */
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/writer.h"

/*
 * The options there are, as getopt wants them; the value of the i-th is VALUE + i. Those in `own`
 * are not everybody's.
 */
enum { VALUE = 0x100 };
struct known_options {
	struct known {
		const char *name, *arg;
		int letter;    /* 0: none */
		bool optional; /* its value may be left out */
	} * v;
	size_t n, size;
	struct option *longs;
	struct buf letters;
	bool failed;
};

static bool known_has(const struct known_options *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (!strcmp(u->v[i].name, name))
			return true;
	return false;
}

static void known_add(struct known_options *u, const char *name, int letter, const char *arg,
		      bool optional)
{
	if (known_has(u, name))
		return;
	if (array_grow(&u->v, &u->size, u->n + 1))
		u->failed = true;
	else
		u->v[u->n++] = (struct known){ name, arg, letter, optional };
}

static void known_common(const struct option_info *info, void *arg)
{
	/* Whether this one fits depends on whether a probe tells events. */
	if (strcmp(info->name, "exit-status"))
		known_add(arg, info->name, info->key, info->arg, info->optional);
}

/* The options that every probe has: those of one that reads counters and has none of its own. */
static const struct metric any_metric[] = { { "any" }, {} };
static const struct event any_event[] = { { "any" }, {} };
static const struct probe plain_probe = { .name = "run", .metrics = any_metric };

/* The options that any of the chosen ones has. */
static void known_to_some(struct known_options *u, const struct run_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct probe_info *p = plan->chosen[i];

		for (size_t k = 0; k < p->noptions; k++) {
			const struct probe_option *o = &p->options[k];

			known_add(u, o->name, o->letter ? *o->letter : 0, o->arg, false);
		}
	}
}

static bool known_close(struct known_options *u)
{
	u->longs = calloc(u->n + 1, sizeof(*u->longs));
	for (size_t i = 0; u->longs && i < u->n; i++) {
		const struct known *o = &u->v[i];
		int arg = o->arg ? required_argument : no_argument;

		if (o->optional)
			arg = optional_argument;
		u->longs[i] = (struct option){ o->name, arg, NULL, VALUE + (int)i };
		if (o->letter)
			buf_printf(&u->letters, "%c%s", o->letter, o->arg ? ":" : "");
	}
	return u->longs && !u->letters.failed && !u->failed;
}

static void known_free(struct known_options *u)
{
	free(u->v);
	free(u->longs);
	buf_free(&u->letters);
}

static const char *known_name(const struct known_options *u, int key)
{
	for (size_t i = 0; i < u->n; i++)
		if (key == VALUE + (int)i || key == u->v[i].letter)
			return u->v[i].name;
	return NULL;
}

static const char *known_letters(const struct known_options *u)
{
	return u->letters.data ? u->letters.data : "";
}

/* Whether getopt knows each of the options. What it does not know is told by hand_out(). */
static bool all_known(int argc, char **argv, const struct known_options *u)
{
	int key;

	opterr = 0;
	while ((key = getopt_long(argc, argv, known_letters(u), u->longs, NULL)) != -1 && key != '?')
		;
	opterr = 1;
	return key == -1;
}

/* ---- who gets what ---- */

static bool arg_add(struct run_args *args, const char *text)
{
	if (array_grow(&args->v, &args->size, args->n + 2))
		return false;
	args->v[args->n++] = text;
	args->v[args->n] = NULL;
	return true;
}

/*
 * Whether it is to get the option: without a description all do, since then all have what there is.
 */
static bool has_option(const struct probe_info *p, const char *name)
{
	for (size_t i = 0; i < p->noptions; i++)
		if (!strcmp(p->options[i].name, name))
			return true;
	return !p->described;
}

/* Hands --NAME[=VALUE] to each that has it. */
static bool pass(struct run_plan *plan, const char *name, const char *value)
{
	bool ok = true;
	char *text;

	if (array_grow(&plan->made, &plan->made_size, plan->nmade + 1) ||
	    asprintf(&text, "--%s%s%s", name, value ? "=" : "", value ? value : "") < 0)
		return false;
	plan->made[plan->nmade++] = text;
	for (size_t i = 0; i < plan->n; i++)
		if (has_option(plan->chosen[i], name))
			ok &= arg_add(&plan->args[i], text);
	return ok;
}

static int say(const char *text)
{
	struct buf b = { 0 };

	buf_str(&b, text);
	return print_buf(&b);
}

static int hand_one(struct run_plan *plan, const char *name, const char *value, const char *help)
{
	if (!strcmp(name, "help"))
		return say(help);
	if (!strcmp(name, "version"))
		return say("skoop " SKOOP_VERSION "\n");
	if (!strcmp(name, "explain")) {
		msg_error("--explain: use skoop explain %s", value);
		return EXIT_USAGE;
	}
	/*
	 * The file is written here; and whether it is a terminal that asks for colour is not seen
	 * from a pipe.
	 */
	if (!strcmp(name, "write") || (!strcmp(name, "color") && value && !strcmp(value, "auto")))
		return -1;
	return pass(plan, name, value) ? -1 : run_no_memory();
}

/* Gives each probe its options, and all of them the arguments. */
static int hand_out(struct run_plan *plan, int argc, char **argv, const char *help,
		    const struct known_options *u)
{
	int code = -1, key;

	optind = 0; /* from the beginning */
	while (code < 0 && (key = getopt_long(argc, argv, known_letters(u), u->longs, NULL)) != -1) {
		const char *name = known_name(u, key);

		code = name ? hand_one(plan, name, optarg, help)
			    : EXIT_USAGE; /* getopt has said why */
	}
	for (int i = optind; code < 0 && i < argc; i++)
		for (size_t k = 0; k < plan->n; k++)
			if (!arg_add(&plan->args[k], argv[i]))
				code = run_no_memory();
	return code;
}

/*
 * The probes look at their options before any of them begins: bad ones are told once, and nothing
 * is printed. Only where they may not agree: what all have in common is looked at here.
 */
static int check_args(struct run_plan *plan)
{
	auto_free const char *const **args = calloc(plan->n + 1, sizeof(*args));
	int err;

	if (!args)
		return run_no_memory();
	for (size_t i = 0; i < plan->n; i++)
		args[i] = plan->args[i].v;
	err = probes_check(plan->chosen, plan->n, args);
	return err == -EINVAL ? EXIT_USAGE : err ? EXIT_FAILED : -1;
}

/* What the whole needs to know of the options is read as a probe reads it that has all of them. */
static int read_options(struct run_plan *plan, int argc, char **argv,
			const struct known_options *common, const struct known_options *some)
{
	static const char *text;
	static bool flag;
	auto_free struct knob *own = calloc(some->n + 1, sizeof(*own));
	struct probe whole = plain_probe;
	size_t n = 0;

	if (!own)
		return run_no_memory();
	for (size_t i = 0; i < plan->n; i++)
		if (plan->chosen[i]->nevents)
			whole.events = any_event;
	for (size_t i = 0; i < some->n; i++) {
		const struct known *o = &some->v[i];

		own[n] = (struct knob){ o->letter,
					o->name,
					o->arg,
					NULL,
					o->arg ? KNOB_STRING : KNOB_FLAG,
					o->arg ? (void *)&text : &flag };
		n += !known_has(common, o->name);
	}
	own[n] = (struct knob){ 0 };
	whole.knobs = own;
	options_parse(argc, argv, &whole, &plan->opt);
	return -1;
}

/* Options that not every probe has: asked for, and handed to those that have them. */
static int take_own_options(struct run_plan *plan, int argc, char **argv, const char *help,
			    const struct known_options *common)
{
	struct known_options some = { 0 };
	int code = run_describe(plan);

	known_to_some(&some, plan);
	if (code < 0)
		code = known_close(&some) ? hand_out(plan, argc, argv, help, &some)
					  : run_no_memory();
	if (code < 0)
		code = check_args(plan);
	if (code < 0)
		code = read_options(plan, argc, argv, common, &some);
	known_free(&some);
	return code;
}

static int take_options(struct run_plan *plan, int argc, char **argv, const char *help)
{
	struct known_options common = { 0 };
	int code;

	options_each(&plain_probe, known_common, &common);
	if (!known_close(&common)) {
		code = run_no_memory();
	} else if (all_known(argc, argv, &common)) {
		code = hand_out(plan, argc, argv, help, &common);
		if (code < 0)
			code = read_options(plan, argc, argv, &common, &common);
	} else {
		code = take_own_options(plan, argc, argv, help, &common);
	}
	known_free(&common);
	return code;
}

/* ---- what fits together ---- */

/* Of a group, those that have metrics are meant; one that is named says itself that it has none. */
static int drop_eventful(struct run_plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->n; i++) {
		if (!plan->chosen[i]->nmetrics) {
			free(plan->args[i].v);
			continue;
		}
		plan->args[kept] = plan->args[i];
		plan->chosen[kept++] = plan->chosen[i];
	}
	memset(plan->args + kept, 0, (plan->n - kept) * sizeof(*plan->args));
	plan->n = kept;
	if (kept)
		return -1;
	msg_error("none of these probes has metrics; use -o table, json or tsv");
	return EXIT_USAGE;
}

static int check_exposition(struct run_plan *plan, bool grouped)
{
	if (plan->opt.interval && plan->opt.count != 1 && !plan->opt.write) {
		msg_error("rounds one after another are no exposition: give COUNT 1, or -w FILE");
		return EXIT_USAGE;
	}
	return grouped ? drop_eventful(plan) : -1;
}

static int check_file(const struct options *opt)
{
	size_t len = strlen(opt->write);
	int err;

	if (opt->format == OUT_TABLE) {
		msg_error("-w takes -o prom, openmetrics, json or tsv");
		return EXIT_USAGE;
	}
	if (opt->format == OUT_OPENMETRICS && len >= 5 && !strcmp(opt->write + len - 5, ".prom")) {
		msg_error("%s: the textfile collector does not read openmetrics; use -o prom",
			  opt->write);
		return EXIT_USAGE;
	}
	err = file_check(opt->write);
	if (err == -EINVAL)
		msg_error("%s: -w replaces regular files only", opt->write);
	else if (err)
		msg_error("write error: %s: %s", opt->write, strerror(-err));
	return err ? err == -EINVAL ? EXIT_USAGE : EXIT_FAILED : -1;
}

static int check(struct run_plan *plan, bool grouped)
{
	bool exposition = plan->opt.format == OUT_PROM || plan->opt.format == OUT_OPENMETRICS;
	int code = exposition ? check_exposition(plan, grouped) : -1;

	return code < 0 && plan->opt.write ? check_file(&plan->opt) : code;
}

int run_plan_make(int argc, char **argv, const char *help, struct run_plan *plan)
{
	const char *list;
	int code;

	*plan = (struct run_plan){ 0 };
	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")))
		return say(help);
	if (argc < 2 || *argv[1] == '-') {
		msg_error("the probes come first: skoop run tcp,udp [OPTIONS] [INTERVAL [COUNT]]");
		return EXIT_USAGE;
	}
	if (probes_find(&plan->probes))
		return EXIT_FAILED;
	list = argv[1];
	code = run_choose(plan, list);
	argv[1] = argv[0]; /* getopt's view begins there */
	if (code < 0)
		code = take_options(plan, argc - 1, argv + 1, help);
	if (code < 0)
		code = check(plan, run_names_group(list));
	return code;
}

void run_plan_free(struct run_plan *plan)
{
	for (size_t i = 0; plan->args && i < plan->probes.n; i++)
		free(plan->args[i].v);
	for (size_t i = 0; i < plan->nmade; i++)
		free(plan->made[i]);
	options_free(&plan->opt);
	free(plan->made);
	free(plan->args);
	free(plan->chosen);
	probes_free(&plan->probes);
}
