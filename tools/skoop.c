// SPDX-License-Identifier: GPL-2.0-or-later
/* skoop - the dispatcher: a table of commands; every other word is a probe. */
#include "skoop/skoop.h"

#include <errno.h>
#include <string.h>

#include "libcommon/describe.h"
#include "libcommon/options.h"
#include "libcommon/process.h"

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name, *args, *says;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "snapshot", "[SECONDS]", "what moved that should not have, worst first", cmd_snapshot },
	{ "PROBE", "[OPTIONS]", "one probe: skoop tcpext 1, skoop conntrack -P shop/web", NULL },
	{ "run", "P1,P2,... [OPTIONS]", "several probes on one timeline: skoop run tcp,udp 1",
	  cmd_run },
	{ "list", "", "the probes, and what each of them answers", cmd_list },
	{ "targets", "", "the network namespaces and pods, and how they were found", cmd_targets },
	{ "explain", "NAME", "what a metric, event or reason means, and its likely cause",
	  cmd_explain },
	{ "doctor", "", "which probes can run here, and what the others lack", cmd_doctor },
	{ "help", "[PROBE]", "the manual", cmd_help },
};

static const struct command *command_get(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].run && !strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int command_run(const struct command *c, int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "skoop %s", c->name);
	msg_init(name);
	argv[0] = name; /* what getopt calls us in its messages */
	return c->run(argc, argv);
}

static int overview(void)
{
	struct probes ps;
	struct buf b = { 0 };

	if (probes_find(&ps))
		return EXIT_FAILED;
	buf_str(&b, "What is the network of this machine, its pods and its processes doing wrong "
		    "right now?\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		buf_printf(&b, "  skoop %-8s %-20s %s\n", commands[i].name, commands[i].args,
			   commands[i].says);
	buf_str(&b, "\nProbes:");
	for (size_t i = 0; i < ps.n; i++)
		buf_printf(&b, " %s", ps.v[i].name);
	buf_str(&b, ps.n ? "\n" : " none found beside this program or in $SKOOP_EXEC_PATH\n");
	probes_free(&ps);
	return print_buf(&b);
}

/* For generators: the own options, then the commands; the options of each are told by it. */
static int describe_all(void)
{
	static const struct option_info options[] = {
		{ 'h', "help", NULL, "What there is", "Running" },
		{ 'V', "version", NULL, "The version", "Running" },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		describe_option(&options[i], &b);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].run)
			buf_printf(&b, "command\t%s\t%s\t%s\n", commands[i].name, commands[i].args,
				   commands[i].says);
	return print_buf(&b);
}

static int version(void)
{
	struct buf b = { 0 };

	buf_str(&b, "skoop " SKOOP_VERSION "\n");
	return print_buf(&b);
}

/* The manual of what is named, or its --help where no manual is installed. */
static int cmd_help(int argc, char **argv)
{
	static const struct plain_command command = {
		.help = "Usage: skoop help [PROBE]\n"
			"The manual of a probe or command, or its --help where no manual is installed.\n",
		.max_args = 1,
	};
	struct plain_options opt;
	const struct command *c;
	int code = plain_options(argc, argv, &command, &opt);

	if (code >= 0)
		return code;
	if (!opt.arg)
		return overview();
	c = command_get(opt.arg);
	if (!c)
		return probe_help(opt.arg);
	manual_show("skoop");
	if (c->run == cmd_help)
		return overview();
	return command_run(c, 2, (char *[]){ NULL, (char[]){ "--help" }, NULL });
}

/* The word is neither: name those it may have been meant to be. */
static int unknown(const struct probes *ps, const char *word)
{
	struct nearest near = { .name = word };
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].run)
			nearest_offer(&near, commands[i].name);
	for (size_t i = 0; i < ps->n; i++)
		nearest_offer(&near, ps->v[i].name);
	nearest_print(&near, &b);
	msg_error("no command or probe is named '%s'%s", word, b.data ? b.data : "; see skoop list");
	buf_free(&b);
	return EXIT_USAGE;
}

static int dispatch(char **argv)
{
	const struct probe_info *p;
	struct probes ps;
	int code;

	if (probes_find(&ps))
		return EXIT_FAILED;
	p = probes_get(&ps, argv[0]);
	code = p ? program_exec(p->path, argv) : unknown(&ps, argv[0]);
	probes_free(&ps);
	return code;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "help";
	const struct command *c = command_get(word);

	msg_init("skoop");
	process_start();
	if (c)
		return argc > 1 ? command_run(c, argc - 1, argv + 1) : overview();
	if (!strcmp(word, "-h") || !strcmp(word, "--help"))
		return overview();
	if (!strcmp(word, "-V") || !strcmp(word, "--version"))
		return version();
	if (!strcmp(word, "--describe"))
		return describe_all();
	if (*word == '-') {
		msg_error("unknown option '%s'; skoop alone shows what there is", word);
		return EXIT_USAGE;
	}
	return dispatch(argv + 1);
}
