// SPDX-License-Identifier: GPL-2.0-or-later
/* Children: started together, their whole lines carried by one loop, none left behind. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "libcommon/array.h"
#include "libcommon/process.h"
#include "libcommon/target.h"
#include "libcommon/target_pass.h"

#define LINE_LIMIT (1 << 20)
#define CHUNK 65536
#define LEFTOVER (4 << 20) /* of a dead child's pipes: more is somebody else's who still writes */
#define GRACE_UNHEARD NSEC_PER_SEC

enum { WATCH, DEATHS, FDS };

struct children {
	const struct children_ops *ops;
	void *arg;
	struct child **v;
	size_t n, size;
	struct pollfd *fds; /* the watched descriptor, the deaths, two a child */
	size_t fds_size;
	struct sayings said;
	int null, watch;
	int deaths;    /* tells of SIGCHLD, which is blocked */
	bool died;     /* some may have, and not all have been looked at since */
	sigset_t mask; /* as it was before */
	bool stopping; /* the signal that asked to stop has been told */
};

/* Deaths become readable. They are not seen where a parent had them ignored. */
static int deaths_open(struct children *cs)
{
	sigset_t set;

	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cs->deaths = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return cs->deaths < 0 ? -errno : 0;
}

int children_open(const struct children_ops *ops, void *arg, int watch, struct children **out)
{
	struct children *cs = calloc(1, sizeof(*cs));
	int err = -ENOMEM;

	if (cs) {
		*cs = (struct children){ .ops = ops, .arg = arg, .watch = watch, .deaths = -1 };
		sigprocmask(SIG_BLOCK, NULL, &cs->mask);
		cs->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		err = cs->null < 0 ? -errno : array_grow(&cs->fds, &cs->fds_size, FDS);
	}
	if (!err)
		err = deaths_open(cs);
	if (err) {
		msg_error("cannot start programs: %s", strerror(-err));
		children_close(cs);
		return err;
	}
	*out = cs;
	return 0;
}

int children_targets(struct children *cs, const struct target_options *opt)
{
	struct target_finder *f = NULL;
	struct targets *ts = NULL;
	int err = finder_open(opt, &f), fd;

	if (!err)
		err = targets_load(f, &ts);
	if (!err) {
		fd = targets_pass(ts);
		if (fd < 0) {
			msg_verbose("targets are not shared: %s", strerror(-fd));
		} else {
			close(cs->null);
			cs->null = fd;
		}
		targets_free(ts);
	}
	finder_close(f);
	return err ? target_exit_code(err) : -1;
}

size_t children_count(const struct children *cs)
{
	return cs->n;
}

struct child *children_get(struct children *cs, size_t i)
{
	return cs->v[i];
}

int children_add(struct children *cs, const char *path, const char *const *args, void *data)
{
	const char *slash = strrchr(path, '/');
	struct child *c = calloc(1, sizeof(*c));
	auto_free char **argv = NULL;
	size_t n = 0;
	int err = -ENOMEM;

	while (args && args[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (c && argv && !array_grow(&cs->v, &cs->size, cs->n + 1) &&
	    !array_grow(&cs->fds, &cs->fds_size, FDS + 2 * (cs->n + 1))) {
		*c = (struct child){ .name = slash ? slash + 1 : path,
				     .index = cs->n,
				     .data = data,
				     .silent = cs->ops->silent,
				     .out = -1,
				     .err = -1 };
		argv[0] = (char *)c->name;
		for (size_t i = 0; i < n; i++)
			argv[i + 1] = (char *)args[i]; /* execv writes nothing, whatever its type */
		err = child_start(c, path, argv, cs->null, &cs->mask);
		if (!err) {
			cs->v[cs->n++] = c;
			return 0;
		}
	}
	msg_error("%s: cannot start: %s", path, strerror(-err));
	if (c)
		child_free(c);
	return err;
}

/* ---- lines ---- */

static int take_line(struct children *cs, struct child *c, bool is_err, char *line, size_t len)
{
	if (!is_err)
		return cs->ops->line(c, line, len, cs->arg);
	c->aside = *line == '\f';
	line += c->aside;
	if (cs->ops->message)
		cs->ops->message(c, line, cs->arg);
	else
		saying_pass(&cs->said, c, line);
	return 0;
}

/*
 * Hands on the whole lines of b, of which those before `seen` hold no newline, and keeps the rest.
 */
static int take_lines(struct children *cs, struct child *c, bool is_err, struct buf *b, size_t seen)
{
	char *line = b->data, *end = b->data + b->len, *newline;
	int ret = 0;

	while (!ret && (newline = memchr(line + seen, '\n', (size_t)(end - line) - seen))) {
		*newline = '\0';
		ret = take_line(cs, c, is_err, line, (size_t)(newline - line));
		line = newline + 1;
		seen = 0;
	}
	b->len = (size_t)(end - line);
	memmove(b->data, line, b->len);
	return ret;
}

static int broke_off(struct child *c, const char *why)
{
	if (!c->silent)
		msg_error("%s: %s", c->name, why);
	c->failed = true;
	child_kill(c);
	return 0;
}

/* One read. 1: there may be more; 0: nothing now; other: what a callback said. */
static int child_read(struct children *cs, struct child *c, bool is_err)
{
	struct buf *b = is_err ? &c->err_line : &c->out_line;
	int *fd = is_err ? &c->err : &c->out, ret;
	char data[CHUNK];
	size_t seen = b->len;
	ssize_t n = read(*fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return 0;
	}
	buf_add(b, data, (size_t)n);
	if (b->failed)
		return broke_off(c, "out of memory for its line");
	ret = take_lines(cs, c, is_err, b, seen);
	if (!ret && b->len > LINE_LIMIT) {
		b->len = 0;
		return broke_off(c, "a line without an end: killed");
	}
	return ret ? ret : 1;
}

/* ---- ends ---- */

/* It has ended: what it still said, how it ended. */
static int child_end(struct children *cs, struct child *c)
{
	size_t total = 0;
	int ret = 1;

	while (c->out >= 0 && ret == 1 && (total += CHUNK) < LEFTOVER)
		ret = child_read(cs, c, false);
	if (ret && ret != 1)
		return ret;
	for (ret = 1; c->err >= 0 && ret == 1 && (total += CHUNK) < LEFTOVER;)
		ret = child_read(cs, c, true);
	if (c->err_line.len)
		take_line(cs, c, true, c->err_line.data, c->err_line.len);
	if (c->out_line.len && !c->killed && !cs->stopping) {
		if (!c->silent)
			msg_error("%s: its last line is cut off", c->name);
		c->failed = true;
	}
	child_reap(c, cs->stopping);
	return cs->ops->ended ? cs->ops->ended(c, cs->arg) : 0;
}

static int child_serve(struct children *cs, struct child *c, const struct pollfd fds[2])
{
	int ret = 0;

	if (cs->died && child_dead(c))
		return child_end(cs, c);
	if (fds[0].revents)
		ret = child_read(cs, c, false);
	if ((!ret || ret == 1) && fds[1].revents)
		ret = child_read(cs, c, true);
	return ret == 1 ? 0 : ret;
}

/* ---- the loop ---- */

static size_t poll_set(struct children *cs)
{
	size_t alive = 0;

	cs->fds[WATCH] = (struct pollfd){ .fd = cs->watch };
	cs->fds[DEATHS] = (struct pollfd){ .fd = cs->deaths, .events = POLLIN };
	for (size_t i = 0; i < cs->n; i++) {
		const struct child *c = cs->v[i];
		struct pollfd *fds = cs->fds + FDS + 2 * i;

		fds[0] = (struct pollfd){ .fd = c->out, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = c->err, .events = POLLIN };
		alive += !c->ended;
	}
	return alive;
}

/* Whether there were deaths. Those after it are told anew. */
static void hear_deaths(struct children *cs)
{
	struct signalfd_siginfo info[8];

	while (read(cs->deaths, info, sizeof(info)) > 0)
		cs->died = true;
}

static int serve_all(struct children *cs)
{
	int ret = 0;

	hear_deaths(cs);
	if (cs->fds[WATCH].revents & (POLLERR | POLLHUP)) {
		cs->watch = -1;
		return -EPIPE;
	}
	for (size_t i = 0; i < cs->n && !ret; i++)
		if (!cs->v[i]->ended)
			ret = child_serve(cs, cs->v[i], cs->fds + FDS + 2 * i);
	cs->died &= ret != 0;
	return ret;
}

int children_step(struct children *cs, uint64_t due)
{
	int n;

	if (!poll_set(cs))
		return 0;
	n = process_poll(cs->fds, FDS + 2 * cs->n, cs->died ? 0 : due, cs->stopping);
	if (n == -EINTR && process_stopping() && !cs->stopping) {
		cs->stopping = true;
		return -EINTR;
	}
	if (n < 0 && n != -EINTR)
		return n;
	n = n > 0 || cs->died ? serve_all(cs) : 0;
	if (n)
		return n;
	return process_now() >= due ? -ETIME : 1;
}

int children_run(struct children *cs, uint64_t due)
{
	int ret;

	while ((ret = children_step(cs, due)) == 1)
		;
	return ret;
}

static void signal_all(struct children *cs, int sig)
{
	for (size_t i = 0; i < cs->n; i++)
		if (!cs->v[i]->ended)
			child_signal(cs->v[i], sig);
}

void children_ask(struct children *cs)
{
	cs->stopping = true;
	signal_all(cs, SIGTERM);
}

void children_kill(struct children *cs)
{
	for (size_t i = 0; i < cs->n; i++) {
		if (cs->v[i]->ended)
			continue;
		msg_error("%s: did not end when asked to: killed", cs->v[i]->name);
		cs->v[i]->failed = true;
		child_kill(cs->v[i]);
	}
}

static void reap_dead(struct children *cs, bool wait)
{
	for (size_t i = 0; i < cs->n; i++)
		if (!cs->v[i]->ended && (wait || child_dead(cs->v[i])))
			child_reap(cs->v[i], true);
}

/* Nobody hears them any more: each gets a moment to put its things away. */
static void end_unheard(struct children *cs)
{
	uint64_t due = process_now() + GRACE_UNHEARD;

	cs->watch = -1;
	for (size_t i = 0; i < cs->n; i++) {
		util_close(&cs->v[i]->out);
		util_close(&cs->v[i]->err);
		cs->v[i]->out = cs->v[i]->err = -1;
		cs->v[i]->killed = true;
	}
	signal_all(cs, SIGTERM);
	for (reap_dead(cs, false); poll_set(cs) && process_now() < due; reap_dead(cs, false)) {
		process_poll(cs->fds, FDS + 2 * cs->n, due, true);
		hear_deaths(cs);
	}
	signal_all(cs, SIGKILL);
	reap_dead(cs, true);
}

void children_close(struct children *cs)
{
	if (!cs)
		return;
	if (cs->n)
		end_unheard(cs);
	for (size_t i = 0; i < cs->n; i++)
		child_free(cs->v[i]);
	sayings_free(&cs->said);
	util_close(&cs->null);
	util_close(&cs->deaths);
	sigprocmask(SIG_SETMASK, &cs->mask, NULL);
	free(cs->fds);
	free(cs->v);
	free(cs);
}
