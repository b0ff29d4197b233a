// SPDX-License-Identifier: GPL-2.0-or-later
/* What an output looks at before it starts: do the options fit, can it be written, is it a terminal. */
#include "out_start.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "options.h"
#include "writer.h"

static bool ends_with(const char *str, const char *end)
{
	size_t len = strlen(str), n = strlen(end);

	return len >= n && !strcmp(str + len - n, end);
}

/* What an exposition cannot be: about events, or more than one on a pipe. */
static int check_exposition(const struct probe *p, const struct options *opt)
{
	if (!p->metrics || !p->metrics[0].name) {
		msg_error("has no metrics; use -o table, json or tsv");
		return -EINVAL;
	}
	if (opt->interval && opt->count != 1 && !opt->write && !opt->framed) {
		msg_error("rounds one after another are no exposition: give COUNT 1, or -w FILE");
		return -EINVAL;
	}
	if (opt->format == OUT_OPENMETRICS && opt->write && ends_with(opt->write, ".prom")) {
		msg_error("%s: the textfile collector does not read openmetrics; use -o prom",
			  opt->write);
		return -EINVAL;
	}
	return 0;
}

static int check_fit(const struct probe *p, const struct options *opt)
{
	if (opt->dist && opt->format == OUT_TSV) {
		msg_error("-D has no place in tsv; use -o table, json, prom or openmetrics");
		return -EINVAL;
	}
	if (opt->format == OUT_PROM || opt->format == OUT_OPENMETRICS)
		return check_exposition(p, opt);
	if (!opt->write)
		return 0;
	if (opt->format == OUT_TABLE) {
		msg_error("-w takes -o prom, openmetrics, json or tsv");
		return -EINVAL;
	}
	if (p->events && !(p->counting && *p->counting) &&
	    (!opt->interval || opt->format == OUT_JSON)) {
		msg_error("-w cannot replace a file by a stream of events; append with >> instead");
		return -EINVAL;
	}
	return 0;
}

/* Standard output that was closed may stand open for reading only, lest another file take its number. */
static int check_stdout(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags < 0)
		return -errno;
	return (flags & O_ACCMODE) == O_RDONLY ? -EBADF : 0;
}

/* Nothing is to be lost at the end of a run that could have been known at its start. */
static int check_sink(const struct options *opt)
{
	int err = opt->write ? file_check(opt->write) : check_stdout();

	if (opt->write && err == -EINVAL)
		msg_error("%s: -w replaces regular files only", opt->write);
	else if (opt->write && err)
		msg_error("write error: %s: %s", opt->write, strerror(-err));
	else if (err)
		msg_error("write error: %s", strerror(-err));
	return err;
}

int out_check(const struct probe *p, const struct options *opt)
{
	int err = check_fit(p, opt);

	return err ? err : check_sink(opt);
}

static bool want_color(const struct options *opt, bool tty)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	if (opt->color != COLOR_AUTO)
		return opt->color == COLOR_ALWAYS;
	return tty && !(none && *none) && !(term && !strcmp(term, "dumb"));
}

static void system_clock(clockid_t id, struct timespec *now)
{
	clock_gettime(id, now);
}

struct out_env out_look_around(const struct options *opt)
{
	struct out_env env = {
		.clock = system_clock,
		.fd = opt->write ? -1 : STDOUT_FILENO,
		.width = 80,
		.height = 24,
	};
	const char *columns = getenv("COLUMNS");
	uint64_t width;

	env.tty = env.fd >= 0 && isatty(env.fd);
	env.color = want_color(opt, env.tty);
	if (columns && !parse_u64(columns, 1, 10000, &width))
		env.width = (unsigned int)width;
	return env;
}

void out_look_at_terminal(struct out_env *env)
{
	struct winsize ws;

	if (!env->tty || ioctl(env->fd, TIOCGWINSZ, &ws))
		return;
	if (ws.ws_col)
		env->width = ws.ws_col;
	if (ws.ws_row)
		env->height = ws.ws_row;
}
