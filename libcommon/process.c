// SPDX-License-Identifier: GPL-2.0-or-later
/* The process: standard descriptors, stop signals, time and waiting. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t stop;

/*
 * timeout(1) signals its child and then the child's group, so one request can come twice: a second one counts as such
 * only some time after the first.
 */
static void on_stop(int sig)
{
	static volatile uint64_t asked_at;
	uint64_t now = process_now();

	if (!stop) {
		asked_at = now;
		stop = 1;
	} else if (now - asked_at > NSEC_PER_SEC / 5) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

static void fd_ensure(int fd, int flags)
{
	if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", flags) != fd)
		_exit(1); /* nothing to speak on */
}

void process_start(void)
{
	struct sigaction sa = { .sa_handler = on_stop }, old;

	fd_ensure(STDIN_FILENO, O_RDONLY);
	fd_ensure(STDOUT_FILENO, O_RDONLY); /* writing to it says EBADF, as the closed one would */
	fd_ensure(STDERR_FILENO, O_WRONLY);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(stop_signals); i++) {
		sigaction(stop_signals[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaction(stop_signals[i], &sa, NULL);
	}
}

void process_restore(void)
{
	struct sigaction old;

	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(stop_signals); i++) {
		sigaction(stop_signals[i], NULL, &old);
		if (old.sa_handler == on_stop)
			signal(stop_signals[i], SIG_DFL);
	}
}

bool process_stopping(void)
{
	return stop;
}

uint64_t process_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ppoll lets the stop signals through only while it waits, so that none is lost between test and wait. */
int process_poll(struct pollfd *fds, size_t n, uint64_t due, bool stopping)
{
	uint64_t now = process_now(), left = due > now ? due - now : 0;
	struct timespec ts = { (time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC) };
	sigset_t block, old;
	int ready;

	sigemptyset(&block);
	for (size_t i = 0; i < ARRAY_SIZE(stop_signals); i++)
		sigaddset(&block, stop_signals[i]);
	sigprocmask(SIG_BLOCK, &block, &old);
	if (stop && !stopping)
		ready = -EINTR;
	else if ((ready = ppoll(fds, n, &ts, &old)) < 0)
		ready = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return ready;
}

int process_wait(uint64_t due, int fd)
{
	struct pollfd pfd = { .fd = fd };

	while (!stop) {
		int n;

		if (process_now() >= due)
			return 0;
		n = process_poll(&pfd, 1, due, false);
		if (n > 0 && pfd.revents & (POLLERR | POLLHUP))
			return -EPIPE;
		if (n > 0)
			pfd.fd = -1; /* nothing poll can tell about it */
		if (n < 0 && n != -EINTR)
			return n;
	}
	return -EINTR;
}

int process_write(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
