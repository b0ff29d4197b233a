// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line of `skoop run`. Its options are those of the probes, as these describe them:
 * each probe gets the options it has. What concerns the whole (format, file, interval) is looked at
 * here, too.
 */
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/writer.h"

/* All options of the chosen probes, as getopt wants them; the value of the i-th is VALUE + i. */
enum { VALUE = 0x100 };
struct union_options {
	const struct probe_option **v;
	size_t n, size;
	struct option *longs;
	struct buf letters;
};

static bool union_has(const struct union_options *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (!strcmp(u->v[i]->name, name))
			return true;
	return false;
}

static bool union_make(struct union_options *u, const struct run_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct probe_info *p = plan->chosen[i];

		for (size_t k = 0; k < p->noptions; k++) {
			if (union_has(u, p->options[k].name))
				continue;
			if (array_grow(&u->v, &u->size, u->n + 1))
				return false;
			u->v[u->n++] = &p->options[k];
		}
	}
	u->longs = calloc(u->n + 1, sizeof(*u->longs));
	for (size_t i = 0; u->longs && i < u->n; i++) {
		const struct probe_option *o = u->v[i];
		/*
		 * Whether to colour may be asked without a word; every other option has one or
		 * none.
		 */
		int arg = !o->arg		     ? no_argument
			  : strcmp(o->name, "color") ? required_argument
						     : optional_argument;

		u->longs[i] = (struct option){ o->name, arg, NULL, VALUE + (int)i };
		if (o->letter)
			buf_printf(&u->letters, "%s%s", o->letter, o->arg ? ":" : "");
	}
	return u->longs && !u->letters.failed;
}

static void union_free(struct union_options *u)
{
	free(u->v);
	free(u->longs);
	buf_free(&u->letters);
}

static const struct probe_option *union_get(const struct union_options *u, int key)
{
	for (size_t i = 0; i < u->n; i++)
		if (key == VALUE + (int)i || (u->v[i]->letter && key == *u->v[i]->letter))
			return u->v[i];
	return NULL;
}

static bool arg_add(struct run_args *args, const char *text)
{
	if (array_grow(&args->v, &args->size, args->n + 2))
		return false;
	args->v[args->n++] = text;
	args->v[args->n] = NULL;
	return true;
}

static bool has_option(const struct probe_info *p, const char *name)
{
	for (size_t i = 0; i < p->noptions; i++)
		if (!strcmp(p->options[i].name, name))
			return true;
	return false;
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

static enum out_format format_of(const char *word)
{
	static const char *const words[] = { [OUT_TABLE] = "table",
					     [OUT_JSON] = "json",
					     [OUT_PROM] = "prom",
					     [OUT_OPENMETRICS] = "openmetrics",
					     [OUT_TSV] = "tsv" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], word))
			return (enum out_format)i;
	return OUT_TABLE; /* no word of ours: the probes will say so */
}

static int say(const char *text)
{
	struct buf b = { 0 };

	buf_str(&b, text);
	return print_buf(&b);
}

/* What an option means for the whole. */
static int take_option(struct run_plan *plan, const struct probe_option *o, const char *value,
		       const char *help)
{
	const char *name = o->name;

	if (!strcmp(name, "help"))
		return say(help);
	if (!strcmp(name, "version"))
		return say("skoop " SKOOP_VERSION "\n");
	if (!strcmp(name, "explain")) {
		msg_error("--explain: use skoop explain %s", value);
		return EXIT_USAGE;
	}
	if (!strcmp(name, "write")) {
		plan->write = value;
		return -1; /* the dispatcher writes it */
	}
	if (!strcmp(name, "output"))
		plan->format = format_of(value);
	else if (!strcmp(name, "json"))
		plan->format = OUT_JSON;
	else if (!strcmp(name, "no-header"))
		plan->no_header = true;
	else if (!strcmp(name, "color") && value && !strcmp(value, "auto"))
		return -1; /* what is automatic is seen from here, not from a pipe */
	else if (!strcmp(name, "color"))
		plan->color_given = true;
	else if (!strcmp(name, "quiet"))
		msg_level_set(MSG_QUIET);
	else if (!strcmp(name, "verbose"))
		msg_level_set(MSG_VERBOSE);
	else if (!strcmp(name, "duration"))
		plan->duration = 1; /* that there is one */
	return pass(plan, name, value) ? -1 : run_no_memory();
}

static int take_arguments(struct run_plan *plan, int argc, char **argv, int at)
{
	if (argc - at > 2) {
		msg_error("too many arguments: '%s'", argv[at + 2]);
		return EXIT_USAGE;
	}
	for (int i = at; i < argc; i++)
		for (size_t k = 0; k < plan->n; k++)
			if (!arg_add(&plan->args[k], argv[i]))
				return run_no_memory();
	if (at < argc && parse_seconds(argv[at], &plan->interval)) {
		msg_error("INTERVAL is in seconds, above zero, not '%s'", argv[at]);
		return EXIT_USAGE;
	}
	if (at + 1 < argc && parse_u64(argv[at + 1], 1, UINT64_MAX, &plan->count)) {
		msg_error("COUNT is a whole number above zero, not '%s'", argv[at + 1]);
		return EXIT_USAGE;
	}
	return -1;
}

static int parse(struct run_plan *plan, int argc, char **argv, const char *help)
{
	struct union_options u = { 0 };
	int code = -1, key;

	if (!union_make(&u, plan))
		code = run_no_memory();
	while (code < 0 && (key = getopt_long(argc, argv, u.letters.data ? u.letters.data : "",
					      u.longs, NULL)) != -1) {
		const struct probe_option *o = union_get(&u, key);

		code = o ? take_option(plan, o, optarg, help)
			 : EXIT_USAGE; /* getopt has said why */
	}
	if (code < 0)
		code = take_arguments(plan, argc, argv, optind);
	union_free(&u);
	return code;
}

/* ---- what fits together ---- */

bool run_streams(const struct run_plan *plan, const struct probe_info *p)
{
	return p->nevents && (!plan->interval || plan->format == OUT_JSON);
}

static int check_exposition(struct run_plan *plan, bool grouped)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->n; i++) {
		if (plan->chosen[i]->nmetrics) {
			plan->args[kept] = plan->args[i];
			plan->chosen[kept++] = plan->chosen[i];
		} else if (!grouped) {
			msg_error("%s has no metrics; use -o table, json or tsv",
				  plan->chosen[i]->name);
			return EXIT_USAGE;
		} else {
			free(plan->args[i].v); /* of a group, those that have any are meant */
		}
	}
	memset(plan->args + kept, 0, (plan->n - kept) * sizeof(*plan->args));
	plan->n = kept;
	if (!kept) {
		msg_error("none of these probes has metrics; use -o table, json or tsv");
		return EXIT_USAGE;
	}
	if (plan->interval && plan->count != 1 && !plan->write) {
		msg_error("several rounds are not one exposition: INTERVAL needs COUNT 1 or -w "
			  "FILE with this format");
		return EXIT_USAGE;
	}
	return -1;
}

static int check_events(const struct run_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (!run_streams(plan, plan->chosen[i]))
			continue;
		if (plan->write) {
			msg_error("-w cannot hold a stream of events (%s); append to a file with "
				  ">> instead",
				  plan->chosen[i]->name);
			return EXIT_USAGE;
		}
		if (plan->format == OUT_TSV && plan->n > 1) {
			msg_error("the events of %s have columns of their own: use -o json, or run "
				  "it alone",
				  plan->chosen[i]->name);
			return EXIT_USAGE;
		}
	}
	return -1;
}

static int check_file(const struct run_plan *plan)
{
	size_t len = strlen(plan->write);
	int err;

	if (plan->format == OUT_TABLE) {
		msg_error("-w needs -o prom, openmetrics, json or tsv");
		return EXIT_USAGE;
	}
	if (plan->format == OUT_OPENMETRICS && len >= 5 &&
	    !strcmp(plan->write + len - 5, ".prom")) {
		msg_error("%s: the textfile collector does not read OpenMetrics; use -o prom",
			  plan->write);
		return EXIT_USAGE;
	}
	err = file_check(plan->write);
	if (err == -EINVAL)
		msg_error("%s: is there and no regular file", plan->write);
	else if (err)
		msg_error("write error: %s: %s", plan->write, strerror(-err));
	return err ? err == -EINVAL ? EXIT_USAGE : EXIT_FAILED : -1;
}

static int check(struct run_plan *plan, bool grouped)
{
	bool exposition = plan->format == OUT_PROM || plan->format == OUT_OPENMETRICS;
	int code = exposition ? check_exposition(plan, grouped) : check_events(plan);

	return code < 0 && plan->write ? check_file(plan) : code;
}

/*
 * The probes look at their options before any of them begins: bad ones are told once, and nothing
 * is printed.
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
		code = parse(plan, argc - 1, argv + 1, help);
	if (code < 0)
		code = check_args(plan);
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
	free(plan->made);
	free(plan->args);
	free(plan->chosen);
	probes_free(&plan->probes);
}
