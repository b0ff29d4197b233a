// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * count FILE COMMAND…: runs it and writes to FILE what can be counted of it and all its children:
 * the system calls, and the largest VmHWM of one process in KiB.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct counts {
	unsigned long stops, hwm;
};

static void hwm_take(struct counts *c, pid_t pid)
{
	char path[64], line[256];
	unsigned long v;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lu", &v) == 1 && v > c->hwm)
			c->hwm = v;
	if (f)
		fclose(f);
}

static void start(char **argv)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	execvp(argv[0], argv);
	fprintf(stderr, "count: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* One stop of a process; the signal it gets on its way. */
static int stop_handle(struct counts *c, pid_t pid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;

	if (event == PTRACE_EVENT_EXIT)
		hwm_take(c, pid);
	if (sig == (SIGTRAP | 0x80))
		c->stops++;
	/*
	 * An event's trap, a system call's, and the stop a new child begins with are the tracer's.
	 */
	return event || sig == (SIGTRAP | 0x80) || sig == SIGSTOP || sig == SIGTRAP ? 0 : sig;
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |
			     PTRACE_O_EXITKILL;
	struct counts c = { 0 };
	int status, code = 1;
	pid_t child, pid;
	FILE *f;

	if (argc < 3)
		return 2;
	child = fork();
	if (!child)
		start(argv + 2);
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, 0, options);
	ptrace(PTRACE_SYSCALL, child, 0, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			ptrace(PTRACE_SYSCALL, pid, 0, stop_handle(&c, pid, status));
		else if (pid == child)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	f = fopen(argv[1], "w");
	if (!f || fprintf(f, "%lu %lu\n", c.stops / 2, c.hwm) < 0 || fclose(f))
		return 1;
	return code;
}
