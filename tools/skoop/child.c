// SPDX-License-Identifier: GPL-2.0-or-later
/* One child: from fork to its end. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "libcommon/process.h"

/*
 * In the child, signals still blocked. It has a process group of its own: Ctrl-C reaches the
 * dispatcher alone, which passes it on; a second one from the terminal would kill the child before
 * its last lines.
 */
__attribute__((noreturn)) static void become(const char *path, char *const *argv, const int fds[3],
					     pid_t parent, const sigset_t *signals)
{
	process_restore();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
	setpgid(0, 0);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(EXIT_FAILED);
	sigprocmask(SIG_SETMASK, signals, NULL);
	execv(path, argv);
	msg_error("%s: %s", path, strerror(errno));
	_exit(EXIT_FAILED);
}

/* Signals wait meanwhile: one that came before the child has its own handling would be lost. */
static pid_t spawn(const char *path, char *const *argv, const int fds[3], const sigset_t *mask)
{
	pid_t parent = getpid(), pid;
	sigset_t all, old;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (!pid)
		become(path, argv, fds, parent, mask);
	if (pid > 0)
		setpgid(pid, pid); /* whoever is first */
	else
		pid = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

void child_signal(const struct child *c, int sig)
{
	if (kill(-c->pid, sig))
		kill(c->pid, sig);
}

int child_start(struct child *c, const char *path, char *const *argv, int null, const sigset_t *mask)
{
	auto_close int out = -1, err = -1; /* the child's ends */
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	c->out = pipes[0];
	out = pipes[1];
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	c->err = pipes[0];
	err = pipes[1];
	if (fcntl(c->out, F_SETFL, O_NONBLOCK) || fcntl(c->err, F_SETFL, O_NONBLOCK))
		return -errno;
	c->pid = spawn(path, argv, (int[3]){ null, out, err }, mask);
	return c->pid < 0 ? c->pid : 0;
}

void child_free(struct child *c)
{
	util_close(&c->out);
	util_close(&c->err);
	buf_free(&c->out_line);
	buf_free(&c->err_line);
	free(c);
}

void child_kill(struct child *c)
{
	c->killed = true;
	if (!c->ended)
		child_signal(c, SIGKILL);
}

bool child_dead(const struct child *c)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

void child_reap(struct child *c, bool stopping)
{
	int status;

	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	c->ended = true;
	util_close(&c->out);
	util_close(&c->err);
	c->out = c->err = -1;
	c->code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	c->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (c->failed)
		c->code = EXIT_FAILED;
	if (!c->signal || c->killed)
		return;
	c->cut_short = stopping && c->signal == SIGTERM;
	if (c->cut_short)
		c->code = EXIT_OK; /* ended as asked, before it was ready to do so in style */
	else if (!c->silent)
		msg_error("%s: killed by SIG%s", c->name, sigabbrev_np(c->signal));
}
