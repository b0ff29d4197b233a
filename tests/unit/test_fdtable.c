// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descriptor tables: of links that are made for it, and of real processes that share theirs or do
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "libcommon/fdtable.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static const struct roots roots = { .procfs = (char *)"/proc" };

struct made {
	char dir[32];
	int fd;
};

/* A directory with fd/0, fd/1… that are links to these texts; a NULL leaves its number out. */
static void made_open(struct made *m, const char *const *links, size_t n)
{
	char path[64];

	strcpy(m->dir, "/tmp/skoop-fdtable.XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	snprintf(path, sizeof(path), "%s/fd", m->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/fd/%zu", m->dir, i);
		assert_int_equal(links[i] ? symlink(links[i], path) : 0, 0);
	}
	m->fd = open(m->dir, O_PATH | O_DIRECTORY);
	assert_true(m->fd >= 0);
}

static void made_close(struct made *m, size_t n)
{
	char path[64];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/fd/%zu", m->dir, i);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/fd", m->dir);
	rmdir(path);
	close(m->fd);
	assert_int_equal(rmdir(m->dir), 0);
}

static uint32_t typed(const struct fd_table *tb, const char *name)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < FD_TYPES; i++)
		n += strcmp(fd_type_name(i), name) ? 0 : tb->types[i];
	return n;
}

static uint64_t types_sum(const struct fd_table *tb)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < FD_TYPES; i++)
		n += tb->types[i];
	return n;
}

static void links_are_told_apart(void **state)
{
	static const char *const links[] = {
		"/dev/null",
		"/dev/null",
		"/dev/pts/0",
		"socket:[1]",
		"socket:[1]",
		"socket:[22]",
		"pipe:[3]",
		"anon_inode:[eventpoll]",
		"anon_inode:[eventfd]",
		"anon_inode:[eventfd:17]",
		"anon_inode:inotify",
		"anon_inode:[pidfd]",
		"pidfd:[77]",
		"anon_inode:bpf-map",
		"anon_inode:bpf-prog",
		"/memfd:x (deleted)",
		"/var/log/a (deleted)",
		"/var/log/a",
		"/tmp/socket:[1]",
		"net:[4026531833]",
		"anon_inode:[new]",
		" (deleted)",
		"/x(deleted)",
	};
	struct fd_table tb = { .pid = 1 };
	struct made m;

	(void)state;
	made_open(&m, links, ARRAY_SIZE(links));
	assert_int_equal(fd_table_read(&tb, m.fd, false, true), 0);
	made_close(&m, ARRAY_SIZE(links));
	assert_true(tb.links);
	assert_int_equal(tb.fds, ARRAY_SIZE(links));
	assert_int_equal(types_sum(&tb), tb.fds);
	assert_int_equal(tb.types[FD_SOCKET], 3);
	assert_int_equal(typed(&tb, "device"), 3);
	assert_int_equal(typed(&tb, "pipe"), 1);
	assert_int_equal(typed(&tb, "eventpoll"), 1);
	assert_int_equal(typed(&tb, "eventfd"), 2);
	assert_int_equal(typed(&tb, "inotify"), 1);
	assert_int_equal(typed(&tb, "pidfd"), 2);
	assert_int_equal(typed(&tb, "bpf"), 2);
	assert_int_equal(typed(&tb, "memfd"), 1);
	assert_int_equal(typed(&tb, "file"), 4);
	assert_int_equal(typed(&tb, "other"), 3);
	assert_int_equal(tb.deleted, 1);
}

static void sockets_count_without_detail(void **state)
{
	static const char *const links[] = { "/dev/null", "socket:[1]", "socket:[2]",
					     "/var/log/a (deleted)" };
	struct fd_table tb = { .pid = 1 };
	struct made m;

	(void)state;
	made_open(&m, links, ARRAY_SIZE(links));
	assert_int_equal(fd_table_read(&tb, m.fd, false, false), 0);
	made_close(&m, ARRAY_SIZE(links));
	assert_int_equal(tb.fds, 4);
	assert_int_equal(tb.types[FD_SOCKET], 2);
	assert_int_equal(types_sum(&tb), 4);
	assert_int_equal(tb.deleted, 0);
}

/* Holes, and numbers far beyond what is tried one by one. */
static void sparse_numbers_are_all_found(void **state)
{
	enum { N = 3000 };
	const char *links[N] = { [0] = "/dev/null", [700] = "socket:[1]", [N - 1] = "socket:[2]" };
	struct fd_table tb = { .pid = 1 };
	struct made m;

	(void)state;
	for (size_t i = 1000; i < 1500; i++)
		links[i] = i % 7 ? "pipe:[1]" : NULL;
	made_open(&m, links, N);
	assert_int_equal(fd_table_read(&tb, m.fd, false, false), 0);
	made_close(&m, N);
	assert_int_equal(tb.types[FD_SOCKET], 2);
	assert_int_equal(tb.fds, 3 + 500 - 72);
}

static void what_is_gone_is_gone(void **state)
{
	struct fd_table tb = { .pid = 1 };
	auto_close int dir = open("/tmp", O_PATH | O_DIRECTORY);

	(void)state;
	assert_int_equal(fd_table_read(&tb, dir, false, false), -ENOENT);
}

/* Entries of the own directory, less the one that lists them. */
static uint64_t own_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3;
}

static void own_table_is_without_the_walk(void **state)
{
	int extra[] = { dup(0), dup(0), fcntl(0, F_DUPFD, 500), fcntl(0, F_DUPFD, 900) };
	struct fd_table tb = { .pid = getpid() };
	uint64_t expected = own_fds();
	int pidfd = proc_pid_open(&roots, getpid());

	(void)state;
	assert_int_equal(fd_table_read(&tb, pidfd, true, true), 0);
	assert_int_equal(tb.fds, expected);
	assert_int_equal(types_sum(&tb), expected);
	close(pidfd);
	for (size_t i = 0; i < ARRAY_SIZE(extra); i++)
		close(extra[i]);
}

static pid_t child_make(unsigned long flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		for (;;)
			pause();
	assert_true(pid > 0);
	return pid;
}

static void table_of(struct fd_table *tb, pid_t pid)
{
	auto_close int pidfd = proc_pid_open(&roots, pid);

	*tb = (struct fd_table){ .pid = pid };
	assert_int_equal(fd_table_read(tb, pidfd, false, false), 0);
}

/* Children 0, 2 and 4 have the own table, 1, 3 and 5 copies of it: all look alike. */
static void shared_tables_are_marked_but_one(void **state)
{
	enum { CHILDREN = 6 };
	struct fd_table tables[CHILDREN], *v[CHILDREN];
	size_t marked = 0;

	(void)state;
	for (size_t i = 0; i < CHILDREN; i++)
		table_of(&tables[i], child_make(i % 2 ? 0 : CLONE_FILES));
	for (size_t i = 0; i < CHILDREN; i++)
		v[i] = &tables[i];
	assert_int_equal(fd_tables_mark(v, CHILDREN), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		marked += tables[i].again;
		assert_false(tables[i].again && i % 2);
		kill(tables[i].pid, SIGKILL);
		waitpid(tables[i].pid, NULL, 0);
	}
	assert_int_equal(marked, 2);
	assert_int_equal(fd_tables_mark(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_told_apart),
		cmocka_unit_test(sockets_count_without_detail),
		cmocka_unit_test(sparse_numbers_are_all_found),
		cmocka_unit_test(what_is_gone_is_gone),
		cmocka_unit_test(own_table_is_without_the_walk),
		cmocka_unit_test(shared_tables_are_marked_but_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
