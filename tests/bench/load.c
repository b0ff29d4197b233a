// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A load that stays until its standard input ends, in the namespace it is started in:
 *   load tcp SOCKETS       connected pairs over loopback, IPv4 and IPv6, some with unread bytes
 *   load fds PROCS FDS     processes with so many descriptors, every second one a socket
 *   load idle              nothing
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Connections of one process: both ends are its descriptors. */
#define PAIRS_MAX 9000

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_on(int family, struct sockaddr_storage *at, socklen_t *len)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)at;
	struct sockaddr_in *v4 = (struct sockaddr_in *)at;
	int fd = socket(family, SOCK_STREAM, 0);

	*len = family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	memset(at, 0, sizeof(*at));
	at->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		v6->sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, (struct sockaddr *)at, *len) || listen(fd, 1024) ||
	    getsockname(fd, (struct sockaddr *)at, len))
		die("listen");
	return fd;
}

static void pairs_make(int family, unsigned int n)
{
	struct sockaddr_storage at;
	socklen_t len;
	int listener = listen_on(family, &at, &len);

	for (unsigned int i = 0; i < n; i++) {
		int client = socket(family, SOCK_STREAM, 0), server;

		if (client < 0 || connect(client, (struct sockaddr *)&at, len))
			die("connect");
		server = accept(listener, NULL, NULL);
		if (server < 0)
			die("accept");
		if (i % 100 == 0 && write(client, "0123456789", 10) != 10)
			die("write");
	}
	close(listener);
}

static void fds_make(unsigned int n)
{
	for (unsigned int i = 3; i < n; i++)
		if ((i % 2 ? socket(AF_UNIX, SOCK_STREAM, 0) : dup(0)) < 0)
			die("descriptors");
}

/* A child that makes something, says so with a byte, and stays. */
static void child_make(bool tcp, int family, unsigned int n)
{
	int ready[2];
	char byte = 0;
	pid_t child;

	if (pipe(ready))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		if (tcp)
			pairs_make(family, n);
		else
			fds_make(n - 1); /* and the pipe's end */
		if (write(ready[1], &byte, 1) != 1)
			die("pipe");
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("a child failed");
	close(ready[0]);
}

static unsigned int number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || !*text || v > 10000000) {
		fprintf(stderr, "load: not a number: %s\n", text);
		exit(2);
	}
	return (unsigned int)v;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	char byte;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int fd = 3; fd < 4096; fd++)
		close(fd);
	if (argc == 3 && !strcmp(argv[1], "tcp")) {
		unsigned int pairs = number(argv[2]) / 2;

		for (int i = 0; pairs; i++) {
			unsigned int n = pairs < PAIRS_MAX ? pairs : PAIRS_MAX;

			child_make(true, i % 2 ? AF_INET6 : AF_INET, n);
			pairs -= n;
		}
	} else if (argc == 4 && !strcmp(argv[1], "fds")) {
		for (unsigned int i = number(argv[2]); i; i--)
			child_make(false, 0, number(argv[3]));
	} else if (argc != 2 || strcmp(argv[1], "idle")) {
		fprintf(stderr, "usage: load tcp SOCKETS | fds PROCS FDS | idle\n");
		return 2;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
