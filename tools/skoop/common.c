// SPDX-License-Identifier: GPL-2.0-or-later
/* What commands do alike: few options, an answer on stdout, another program in their place. */
#include "skoop.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "libcommon/describe.h"
#include "libcommon/options.h"
#include "libcommon/process.h"
#include "libcommon/table.h"

int print_buf(struct buf *b)
{
	int err = b->failed ? -ENOMEM : process_write(STDOUT_FILENO, b->data, b->len);

	buf_free(b);
	if (!err && close(STDOUT_FILENO))
		err = -errno; /* a full disk behind the network is sometimes told only now */
	if (!err || err == -EPIPE)
		return EXIT_OK;
	msg_error("write error: %s", strerror(-err));
	return EXIT_FAILED;
}

static const struct {
	struct option_info info;
	unsigned int of;
} plain[] = {
	{ { 'j', "json", NULL, "JSON Lines", "Output" }, PLAIN_JSON },
	{ { 0, "timeout", "SECS", "Wait so long for an answer (30)", "Running" }, PLAIN_TIMEOUT },
	{ { 'h', "help", NULL, "This help", "Running" }, 0 },
};

static bool plain_has(const struct plain_command *command, size_t i)
{
	return !plain[i].of || command->has & plain[i].of;
}

static int show_help(const struct plain_command *command)
{
	struct buf b = { 0 };

	buf_printf(&b, "%s\n", command->help);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		const struct option_info *info = &plain[i].info;
		char letter[] = "-x, ", name[32];

		if (!plain_has(command, i))
			continue;
		letter[1] = (char)info->key;
		snprintf(name, sizeof(name), "%s%s%s", info->name, info->arg ? " " : "",
			 info->arg ? info->arg : "");
		buf_printf(&b, "  %4s--%-*s %s\n", info->key ? letter : "",
			   command->has & PLAIN_TIMEOUT ? 12 : 6, name, info->help);
	}
	return print_buf(&b);
}

static int show_description(const struct plain_command *command)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (plain_has(command, i))
			describe_option(&plain[i].info, &b);
	return print_buf(&b);
}

int plain_options(int argc, char **argv, const struct plain_command *command,
		  struct plain_options *opt)
{
	enum { KEY_COMPLETE = 0x100, KEY_DESCRIBE, KEY_TIMEOUT };
	struct option longs[ARRAY_SIZE(plain) + 3] = { { "describe", no_argument, NULL,
							 KEY_DESCRIBE } };
	size_t n = 1;
	int key;

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (plain_has(command, i))
			longs[n++] = (struct option){
				plain[i].info.name,
				plain[i].info.arg ? required_argument : no_argument, NULL,
				plain[i].info.key ? plain[i].info.key : KEY_TIMEOUT
			};
	if (command->has & PLAIN_COMPLETE)
		longs[n] = (struct option){ "complete", no_argument, NULL, KEY_COMPLETE };
	*opt = (struct plain_options){ .timeout = 30 * NSEC_PER_SEC };
	while ((key = getopt_long(argc, argv, command->has & PLAIN_JSON ? "jh" : "h", longs,
				  NULL)) != -1) {
		switch (key) {
		case 'j': opt->json = true; break;
		case 'h': return show_help(command);
		case KEY_COMPLETE: opt->complete = true; break;
		case KEY_TIMEOUT:
			if (!parse_seconds(optarg, &opt->timeout))
				break;
			msg_error("--timeout takes seconds above zero, not '%s'", optarg);
			return EXIT_USAGE;
		case KEY_DESCRIBE: return show_description(command);
		default: return EXIT_USAGE; /* getopt has said why */
		}
	}
	if (argc - optind > command->max_args) {
		msg_error("too many arguments: '%s'", argv[optind + command->max_args]);
		return EXIT_USAGE;
	}
	if (optind < argc)
		opt->arg = argv[optind];
	return -1;
}

int command_describe(const struct probe *command)
{
	struct buf b = { 0 };

	describe(command, &b);
	return print_buf(&b);
}

void table_show(struct table *t, struct buf *b)
{
	table_fit(t, 0);
	table_head(t, b);
	for (size_t i = 0; i < table_rows(t); i++)
		table_row(t, i, b);
	b->failed |= t->failed || t->text.failed;
}

int program_exec(const char *path, char **argv)
{
	process_restore();
	if (process_stopping())
		return EXIT_OK;
	execv(path, argv);
	msg_error("%s: %s", path, strerror(errno));
	return EXIT_FAILED;
}

/* The manual viewer; NULL: there is none. The caller frees it. */
static char *man_path(void)
{
	const char *env = getenv("PATH");
	auto_free char *list = strdup(env ? env : "/usr/bin:/bin");
	char *save = NULL, *path;

	for (char *dir = list ? strtok_r(list, ":", &save) : NULL; dir;
	     dir = strtok_r(NULL, ":", &save)) {
		if (asprintf(&path, "%s/man", dir) < 0)
			return NULL;
		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return NULL;
}

static int drop_line(struct child *c, char *line, size_t len, void *arg)
{
	(void)c, (void)line, (void)len, (void)arg;
	return 0;
}

static void drop_message(struct child *c, const char *line, void *arg)
{
	(void)c, (void)line, (void)arg;
}

/* Whether man knows the page: asked, since its own complaint would be all a person gets to see. */
static bool manual_there(const char *man, const char *page)
{
	static const struct children_ops ops = { drop_line, drop_message, NULL, true };
	const char *const args[] = { "-w", page, NULL };
	struct children *cs;
	bool there;

	if (children_open(&ops, NULL, -1, &cs))
		return false;
	there = !children_add(cs, man, args, NULL) &&
		!children_run(cs, process_now() + 5 * NSEC_PER_SEC) &&
		children_get(cs, 0)->code == 0;
	children_close(cs);
	return there;
}

void manual_show(const char *page)
{
	auto_free char *man = man_path();
	char *argv[] = { (char[]){ "man" }, (char *)page, NULL };

	if (man && manual_there(man, page))
		program_exec(man, argv);
}

int probe_help(const char *name)
{
	char page[128], *argv[] = { page, (char[]){ "--help" }, NULL };
	const struct probe_info *p;
	struct probes ps;
	int code;

	if (probes_find(&ps))
		return EXIT_FAILED;
	p = probes_get(&ps, name);
	snprintf(page, sizeof(page), "skoop-%s", name);
	if (p)
		manual_show(page);
	code = p ? program_exec(p->path, argv) : EXIT_USAGE;
	if (!p)
		msg_error("no probe or command is named '%s'; see skoop list", name);
	probes_free(&ps);
	return code;
}
