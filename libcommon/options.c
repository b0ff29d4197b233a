// SPDX-License-Identifier: GPL-2.0-or-later
/* One argp for every tool: the common options, and the probe's knobs from its descriptor. */
#include "options.h"

#include <argp.h>
#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "out.h"
#include "probe.h"
#include "util.h"

/* Options without a letter; knobs without one get KEY_KNOB + their index. */
enum {
	KEY_HOST = 0x100,
	KEY_PROCFS,
	KEY_SYSFS,
	KEY_ROOTFS,
	KEY_POD_LOGS,
	KEY_HOST_NETNS,
	KEY_NODE,
	KEY_COLOR,
	KEY_EXPLAIN,
	KEY_BUFFER,
	KEY_HOOKS,
	KEY_DESCRIBE,
	KEY_FRAMED,
	KEY_TARGETS,
	KEY_KNOB = 0x200
};

/* Who has an option. */
enum {
	FOR_ALL,
	FOR_PROBE,
	FOR_EVENTS,
	FOR_STACKS,
	FOR_HISTS,
	FOR_LATENCY,
	FOR_TRACING,
	FOR_TRACED_EVENTS
};

static const char *const format_words[] = { "table", "json", "prom", "openmetrics", "tsv", NULL };
static const char *const color_words[] = { "auto", "always", "never", NULL };

static const char group_own[] = "This probe:", group_target[] = "What to look at:",
		  group_output[] = "Output:", group_run[] = "Running:";

/* clang-format off */
static const struct {
	struct option_info info;
	int who;
} common[] = {
	{ { 'n', "netns", "NAME|PATH|INODE|pid:N", "A network namespace (repeatable)", group_target,
	    .complete = "netns" }, FOR_ALL },
	{ { 'p', "pid", "PID", "The network namespace of a process; values per process are limited to it", group_target,
	    .complete = "pid" }, FOR_ALL },
	{ { 'c', "container", "ID", "A container, by at least 6 digits of its ID", group_target,
	    .complete = "container" }, FOR_ALL },
	{ { 'P', "pod", "[NS/]NAME", "A pod, by name or pattern", group_target, .complete = "pod" }, FOR_ALL },
	{ { KEY_HOST, "host", NULL, "The host's network namespace", group_target }, FOR_ALL },
	{ { 'A', "all", NULL, "Every network namespace to be seen (default)", group_target }, FOR_ALL },
	{ { KEY_PROCFS, "procfs", "DIR", "The host's /proc ($HOST_PROC)", group_target, .complete = "file" }, FOR_ALL },
	{ { KEY_SYSFS, "sysfs", "DIR", "The host's /sys ($HOST_SYS)", group_target, .complete = "file" }, FOR_ALL },
	{ { KEY_ROOTFS, "rootfs", "DIR", "The host's root directory ($HOST_ROOT)", group_target,
	    .complete = "file" }, FOR_ALL },
	{ { KEY_POD_LOGS, "pod-logs", "DIR", "The kubelet's pod log directory", group_target,
	    .complete = "file" }, FOR_ALL },
	{ { KEY_HOST_NETNS, "host-netns", "PATH", "The file of the host's network namespace", group_target,
	    .complete = "file" }, FOR_ALL },
	{ { KEY_NODE, "node", "NAME", "The node's name ($NODE_NAME)", group_target }, FOR_ALL },
	{ { 'o', "output", "FORMAT", "table, json, prom, openmetrics or tsv", group_output, format_words }, FOR_ALL },
	{ { 'j', "json", NULL, "As -o json", group_output }, FOR_ALL },
	{ { 'w', "write", "FILE", "Replace FILE at the end of every round", group_output,
	    .complete = "file" }, FOR_PROBE },
	{ { 'z', "zeros", NULL, "Show rows of zeros, too", group_output }, FOR_PROBE },
	{ { 'H', "no-header", NULL, "No header in table and tsv", group_output }, FOR_ALL },
	{ { 'T', "timestamp", NULL, "Local time in the first column of tables", group_output }, FOR_PROBE },
	{ { KEY_COLOR, "color", "WHEN", "auto, always or never", group_output, color_words,
	    .optional = true }, FOR_ALL },
	{ { 'K', "stack", NULL, "Kernel stacks of events", group_output }, FOR_STACKS },
	{ { 'D', "dist", NULL, "Histograms", group_output }, FOR_HISTS },
	{ { 'd', "duration", "SECS", "Stop after SECS; without INTERVAL the growth over SECS", group_run }, FOR_PROBE },
	{ { 'e', "max-events", "N", "Stop after N events", group_run }, FOR_EVENTS },
	{ { 't', "threshold", "DUR", "Print events past DUR (ns us ms s)", group_run }, FOR_LATENCY },
	{ { KEY_BUFFER, "buffer", "KIB", "Size of the buffer for events, a power of two (512)", group_run }, FOR_TRACED_EVENTS },
	{ { KEY_HOOKS, "hooks", "LIST", "Kinds of hooks to choose from: tp_btf,fentry,fexit,kprobe", group_run }, FOR_TRACING },
	{ { 'E', "exit-status", NULL, "Exit with 10 if a counter grew or an event was seen", group_run }, FOR_PROBE },
	{ { KEY_EXPLAIN, "explain", "NAME", "What a name means: a metric, event, field or reason", group_run,
	    .complete = "metric" }, FOR_PROBE },
	{ { 'v', "verbose", NULL, "Say what is used and how it was found", group_run }, FOR_ALL },
	{ { 'q', "quiet", NULL, "Errors only", group_run }, FOR_ALL },
	{ { 'h', "help", NULL, "This help", group_run }, FOR_ALL },
	{ { 'V', "version", NULL, "The version", group_run }, FOR_ALL },
};
/* clang-format on */

static bool has_stack(const struct probe *p)
{
	for (const struct field *f = p->fields; f && f->name; f++)
		if (f->type == F_STACK)
			return true;
	return false;
}

static bool has_option(const struct probe *p, int who)
{
	if (who == FOR_EVENTS)
		return p->events;
	if (who == FOR_STACKS)
		return has_stack(p);
	if (who == FOR_HISTS)
		return p->hists;
	if (who == FOR_LATENCY)
		return p->threshold;
	if (who == FOR_TRACING)
		return p->tracing;
	if (who == FOR_TRACED_EVENTS)
		return p->tracing && p->events;
	return who == FOR_ALL || p->metrics || p->events;
}

void options_each(const struct probe *p, void (*fn)(const struct option_info *info, void *arg),
		  void *arg)
{
	for (const struct knob *k = p->knobs; k && k->name; k++) {
		struct option_info info = { k->key,    k->name,  k->arg, k->help,
					    group_own, k->words, NULL,   false };

		fn(&info, arg);
	}
	for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
		struct option_info info = common[i].info;

		if (!has_option(p, common[i].who))
			continue;
		if (info.key >= 0x100)
			info.key = 0;
		fn(&info, arg);
	}
}

struct parser {
	const struct probe *probe;
	struct options *opt;
	struct argp argp;
	unsigned int nargs;
};

__attribute__((noreturn, format(printf, 1, 2))) static void usage(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	msg_error("%s", line);
	exit(EXIT_USAGE);
}

static unsigned int word(const char *option, const char *const *words, const char *text)
{
	struct buf list = { 0 };

	for (unsigned int i = 0; words[i]; i++)
		if (!strcmp(words[i], text))
			return i;
	for (unsigned int i = 0; words[i]; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
	usage("--%s takes one of %s, not '%s'", option, list.data ? list.data : "", text);
}

/* ADDRESS or ADDRESS/BITS, IPv4 or IPv6. */
static bool is_cidr(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchrnul(text, '/');
	size_t len = (size_t)(slash - text);
	unsigned char bytes[16];
	bool v6 = memchr(text, ':', len);
	uint64_t bits;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes) != 1)
		return false;
	return !*slash || !parse_u64(slash + 1, 0, v6 ? 128 : 32, &bits);
}

static void knob_set(const struct knob *k, const char *text)
{
	switch (k->type) {
	case KNOB_FLAG: *(bool *)k->value = true; return;
	case KNOB_NUMBER:
		if (parse_u64(text, k->min, k->max, k->value))
			usage("--%s takes a whole number from %llu to %llu, not '%s'", k->name,
			      (unsigned long long)k->min, (unsigned long long)k->max, text);
		return;
	case KNOB_DURATION:
		if (parse_duration(text, k->value))
			usage("--%s takes a duration such as 100ms, not '%s'", k->name, text);
		return;
	case KNOB_STRING: *(const char **)k->value = text; return;
	case KNOB_WORD: *(unsigned int *)k->value = word(k->name, k->words, text); return;
	case KNOB_CIDR:
		if (!is_cidr(text))
			usage("--%s takes ADDRESS or ADDRESS/BITS, not '%s'", k->name, text);
		*(const char **)k->value = text;
		return;
	}
}

static void select_target(struct target_options *t, enum selector_kind kind, const char *text)
{
	struct selector *s;

	if (text && !*text)
		usage("an empty name selects nothing");
	s = reallocarray(t->selectors, t->nselectors + 1, sizeof(*s));
	if (!s) {
		msg_error("out of memory");
		exit(EXIT_FAILED);
	}
	s[t->nselectors++] = (struct selector){ kind, text };
	t->selectors = s;
}

/* --help and --version are the answer asked for: on stdout, and checked like data. */
__attribute__((noreturn)) static void answered(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		msg_error("write error: %m");
		exit(EXIT_FAILED);
	}
	exit(EXIT_OK);
}

__attribute__((noreturn)) static void help(const struct parser *ps, struct argp_state *state)
{
	if (ps->probe->question)
		printf("%s\n\n", ps->probe->question);
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	argp_help(&ps->argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG, state->name);
	printf("\nMore in the manual: man %s\n", state->name);
	answered();
}

/* A label in every line: what a kubelet could be called, in either case. */
static const char *node_name(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

	if (!*text || strlen(text) > 253 || text[strspn(text, allowed)])
		usage("--node takes a node's name, not '%s'", text);
	return text;
}

/* What the kernel takes as the size of a ring buffer: whole pages, a power of two. */
static uint64_t buffer_bytes(const char *text)
{
	uint64_t kib;

	if (parse_u64(text, 4, 1 << 20, &kib) || kib & (kib - 1))
		usage("--buffer takes a power of two from 4 to 1048576 KiB, not '%s'", text);
	return kib << 10;
}

static const char *hook_kinds(const char *text)
{
	static const char *const kinds[] = { "tp_btf", "fentry",    "fexit",
					     "kprobe", "kretprobe", NULL };
	auto_free char *copy = strdup(text);
	char *rest = copy;

	for (const char *kind; rest && (kind = strsep(&rest, ","));)
		word("hooks", kinds, kind);
	return text;
}

/* clang-format off */
static bool parse_target(int key, char *text, struct target_options *t)
{
	switch (key) {
	case 'n': select_target(t, SEL_NETNS, text); return true;
	case 'p': select_target(t, SEL_PID, text); return true;
	case 'c': select_target(t, SEL_CONTAINER, text); return true;
	case 'P': select_target(t, SEL_POD, text); return true;
	case KEY_HOST: select_target(t, SEL_HOST, NULL); return true;
	case 'A': t->all = true; return true;
	case KEY_PROCFS: t->procfs = text; return true;
	case KEY_SYSFS: t->sysfs = text; return true;
	case KEY_ROOTFS: t->rootfs = text; return true;
	case KEY_POD_LOGS: t->pod_logs = text; return true;
	case KEY_HOST_NETNS: t->host_netns = text; return true;
	case KEY_NODE: t->node = node_name(text); return true;
	}
	return false;
}

static bool parse_output(int key, char *text, struct options *opt)
{
	switch (key) {
	case 'o': opt->format = word("output", format_words, text); return true;
	case 'j': opt->format = OUT_JSON; return true;
	case 'w': opt->write = text; return true;
	case 'z': opt->zeros = true; return true;
	case 'H': opt->no_header = true; return true;
	case 'T': opt->timestamp = true; return true;
	case KEY_COLOR: opt->color = text ? word("color", color_words, text) : COLOR_ALWAYS; return true;
	case 'K': opt->stack = true; return true;
	case 'D': opt->dist = true; return true;
	}
	return false;
}

static bool parse_run(int key, char *text, struct options *opt)
{
	switch (key) {
	case 'd':
		if (parse_seconds(text, &opt->duration))
			usage("--duration takes seconds above zero, not '%s'", text);
		return true;
	case 'e':
		if (parse_u64(text, 1, UINT64_MAX, &opt->max_events))
			usage("--max-events takes a whole number above zero, not '%s'", text);
		return true;
	case 't':
		if (parse_duration(text, &opt->threshold))
			usage("--threshold takes a duration such as 100ms, not '%s'", text);
		return true;
	case 'E': opt->exit_status = true; return true;
	case KEY_BUFFER: opt->buffer = buffer_bytes(text); return true;
	case KEY_HOOKS: opt->hooks = hook_kinds(text); return true;
	case KEY_EXPLAIN: opt->explain = text; return true;
	case KEY_DESCRIBE: opt->describe = true; return true;
	case KEY_FRAMED: opt->framed = true; return true;
	case KEY_TARGETS: opt->given = true; return true;
	case 'v': opt->verbosity = MSG_VERBOSE; return true;
	case 'q': opt->verbosity = MSG_QUIET; return true;
	}
	return false;
}

/* clang-format on */

static const struct knob *knob_by_key(const struct probe *p, int key)
{
	for (const struct knob *k = p->knobs; k && k->name; k++)
		if (key == (k->key ? k->key : KEY_KNOB + (int)(k - p->knobs)))
			return k;
	return NULL;
}

static void parse_argument(struct parser *ps, const char *text)
{
	if (ps->nargs == 0) {
		if (parse_seconds(text, &ps->opt->interval))
			usage("INTERVAL is in seconds, above zero, not '%s'", text);
	} else if (ps->nargs == 1) {
		if (parse_u64(text, 1, UINT64_MAX, &ps->opt->count))
			usage("COUNT is a whole number above zero, not '%s'", text);
	} else {
		usage("too many arguments: '%s'", text);
	}
	ps->nargs++;
}

static error_t parse_one(int key, char *text, struct argp_state *state)
{
	struct parser *ps = state->input;
	const struct knob *knob = knob_by_key(ps->probe, key);

	if (knob) {
		knob_set(knob, text);
		return 0;
	}
	if (parse_target(key, text, &ps->opt->target) || parse_output(key, text, ps->opt) ||
	    parse_run(key, text, ps->opt))
		return 0;
	switch (key) {
	case ARGP_KEY_INIT:
		/* getopt says in one line what is wrong; argp would add "Try … --help" as a second. */
		state->err_stream = fopen("/dev/null", "we");
		return 0;
	case ARGP_KEY_FINI:
		if (state->err_stream)
			fclose(state->err_stream);
		state->err_stream = NULL;
		return 0;
	case 'h': help(ps, state);
	case 'V': printf("%s %s\n", state->name, SKOOP_VERSION); answered();
	case ARGP_KEY_ARG: parse_argument(ps, text); return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* argp's own table: the visible options by group, then the hidden ones. */
struct table {
	struct argp_option *v;
	size_t n;
};

static void table_add(struct table *t, const struct argp_option *row)
{
	struct argp_option *v = reallocarray(t->v, t->n + 2, sizeof(*v));

	if (!v) {
		msg_error("out of memory");
		exit(EXIT_FAILED);
	}
	v[t->n++] = *row;
	v[t->n] = (struct argp_option){ 0 };
	t->v = v;
}

static struct argp_option *table_make(const struct probe *p)
{
	struct table t = { 0 };
	const char *group = NULL;
	int number = 0;

	for (const struct knob *k = p->knobs; k && k->name; k++) {
		if (k == p->knobs)
			table_add(&t, &(struct argp_option){ .doc = group_own, .group = ++number });
		table_add(&t, &(struct argp_option){
				      k->name, k->key ? k->key : KEY_KNOB + (int)(k - p->knobs),
				      k->arg, 0, k->help, number });
	}
	for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
		const struct option_info *info = &common[i].info;

		if (!has_option(p, common[i].who))
			continue;
		if (info->group != group)
			table_add(&t, &(struct argp_option){ .doc = group = info->group,
							     .group = ++number });
		table_add(&t, &(struct argp_option){ info->name, info->key, info->arg,
						     info->optional ? OPTION_ARG_OPTIONAL : 0,
						     info->help, number });
	}
	table_add(&t,
		  &(struct argp_option){ "describe", KEY_DESCRIBE, NULL, OPTION_HIDDEN, NULL, 0 });
	table_add(&t, &(struct argp_option){ "framed", KEY_FRAMED, NULL, OPTION_HIDDEN, NULL, 0 });
	table_add(&t, &(struct argp_option){ "targets", KEY_TARGETS, NULL, OPTION_HIDDEN, NULL, 0 });
	return t.v;
}

/* What no single option can see. */
static void check(const struct probe *p, const struct options *opt)
{
	if (opt->exit_status && !p->events && !opt->interval && !opt->duration)
		usage("--exit-status needs INTERVAL or --duration: one reading shows no growth");
	if (p->check && p->check(opt))
		exit(EXIT_USAGE);
}

void options_parse(int argc, char **argv, const struct probe *p, struct options *opt)
{
	struct parser ps = { .probe = p, .opt = opt };
	auto_free struct argp_option *table = table_make(p);
	error_t err;

	*opt = (struct options){ .threshold = THRESHOLD_DEFAULT };
	ps.argp = (struct argp){ .options = table,
				 .parser = parse_one,
				 .args_doc = p->metrics || p->events ? "[INTERVAL [COUNT]]" : NULL };
	argp_err_exit_status = EXIT_USAGE;
	err = argp_parse(&ps.argp, argc, argv, ARGP_NO_HELP, NULL, &ps);
	if (err) {
		msg_error("options: %s", strerror(err));
		exit(EXIT_FAILED);
	}
	msg_level_set(opt->verbosity);
	if (opt->framed)
		msg_mark_verbose();
	check(p, opt);
}

void options_free(struct options *opt)
{
	free(opt->target.selectors);
	opt->target.selectors = NULL;
}
