// SPDX-License-Identifier: GPL-2.0-or-later
/* The writer: everything arrives or there is an error; a replaced file is the old one or the new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "libcommon/process.h"
#include "libcommon/util.h"
#include "libcommon/writer.h"

#define BIG (3 << 20)

static char dir[64];

static int dir_make(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/skoop-writer-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static size_t dir_files(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int dir_remove(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(dir);
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static char *content(const char *path)
{
	struct buf b = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(buf_read(&b, fd, BIG), 0);
	close(fd);
	return b.data;
}

static void pattern(char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 31 + (i >> 8));
}

/* Reads slowly, so that the pipe is full most of the time. Exit 0: all bytes came, in order. */
static pid_t slow_reader(int fd, int other)
{
	pid_t pid = fork();
	static char want[BIG], got[BIG];
	size_t len = 0;
	ssize_t n;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	close(other);
	pattern(want, sizeof(want));
	while ((n = read(fd, got + len, sizeof(got) - len > 70000 ? 70000 : sizeof(got) - len)) > 0) {
		len += (size_t)n;
		poll(NULL, 0, 1);
	}
	_exit(len == sizeof(want) && !memcmp(want, got, len) ? 0 : 1);
}

static void write_to_slow_reader(int flags)
{
	static char data[BIG];
	int fds[2], status;
	pid_t pid;

	pattern(data, sizeof(data));
	assert_int_equal(pipe(fds), 0);
	pid = slow_reader(fds[0], fds[1]);
	close(fds[0]);
	assert_int_equal(fcntl(fds[1], F_SETFL, flags), 0);
	assert_int_equal(process_write(fds[1], data, sizeof(data)), 0);
	close(fds[1]);
	assert_int_equal(TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)), pid);
	assert_int_equal(status, 0);
}

static void a_full_non_blocking_pipe_loses_nothing(void **state)
{
	(void)state;
	write_to_slow_reader(O_NONBLOCK);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void signals_lose_nothing(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm }, old;
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { 0 };

	(void)state;
	alarms = 0;
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	write_to_slow_reader(0);
	write_to_slow_reader(O_NONBLOCK);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	assert_true(alarms > 3);
}

static void errors_are_told(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fds[2], closed;

	(void)state;
	assert_true(full >= 0);
	assert_int_equal(process_write(full, "x", 1), -ENOSPC);
	close(full);
	assert_int_equal(pipe(fds), 0);
	closed = fds[0];
	close(fds[0]);
	assert_int_equal(process_write(fds[1], "x", 1), -EPIPE);
	close(fds[1]);
	assert_int_equal(process_write(closed, "x", 1), -EBADF);
	assert_int_equal(process_write(closed, NULL, 0), 0);
}

static void a_file_is_replaced_whole(void **state)
{
	const char *path = in_dir("x.prom");
	mode_t mask = umask(077);
	struct stat first, second;
	char *text;

	(void)state;
	assert_int_equal(file_replace(path, "one\n", 4), 0);
	assert_int_equal(stat(path, &first), 0);
	assert_int_equal(first.st_mode, S_IFREG | 0644);
	assert_int_equal(file_replace(path, "second\n", 7), 0);
	assert_int_equal(stat(path, &second), 0);
	assert_int_not_equal(first.st_ino, second.st_ino);
	text = content(path);
	assert_string_equal(text, "second\n");
	free(text);
	assert_int_equal(dir_files(), 1);
	umask(mask);
}

static void a_file_beside_us_is_replaced(void **state)
{
	int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(file_check("y"), 0);
	assert_int_equal(file_replace("y", "one\n", 4), 0);
	assert_int_equal(fchdir(back), 0);
	close(back);
	assert_int_equal(access(in_dir("y"), F_OK), 0);
}

static void only_regular_files_are_replaced(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_check(in_dir("new")), 0);
	assert_int_equal(dir_files(), 0);
	assert_int_equal(file_replace(in_dir("there"), "x", 1), 0);
	assert_int_equal(file_check(in_dir("there")), 0);
	assert_int_equal(symlink("there", in_dir("link")), 0);
	assert_int_equal(file_check(in_dir("link")), -EINVAL);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(file_check(in_dir("fifo")), -EINVAL);
	assert_int_equal(file_check(dir), -EINVAL);
	assert_int_equal(file_check("/dev/null"), -EINVAL);
	assert_int_equal(file_check("/dev/stdout"), -EINVAL);
	assert_int_equal(file_check(in_dir("no/such")), -ENOENT);
	assert_int_equal(file_check(in_dir("there/x")), -ENOTDIR);
	assert_int_equal(file_check(in_dir("new/")), -EISDIR);
	assert_int_equal(file_check(""), -EISDIR);
	assert_int_equal(dir_files(), 3);
	assert_int_equal(lstat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void a_failed_write_keeps_the_old_file(void **state)
{
	static char data[BIG];
	struct rlimit old, limit;
	char *text;

	(void)state;
	assert_int_equal(file_replace(in_dir("x"), "old\n", 4), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 65536;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(file_replace(in_dir("x"), data, sizeof(data)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	text = content(in_dir("x"));
	assert_string_equal(text, "old\n");
	free(text);
	assert_int_equal(dir_files(), 1);
	/* A rename that fails: something else took the name. */
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	assert_int_equal(file_replace(in_dir("d"), "x", 1), -EISDIR);
	assert_int_equal(dir_files(), 2);
	assert_int_equal(rmdir(in_dir("d")), 0);
}

/* A stop that arrives during the replacement is acted on after it. */
static void the_signal_mask_is_as_before(void **state)
{
	sigset_t before, after;

	(void)state;
	sigprocmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(file_replace(in_dir("x"), "x", 1), 0);
	assert_int_equal(file_replace(in_dir("no/x"), "x", 1), -ENOENT);
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int sig = 1; sig < NSIG; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_non_blocking_pipe_loses_nothing),
		cmocka_unit_test(signals_lose_nothing),
		cmocka_unit_test(errors_are_told),
		cmocka_unit_test_setup_teardown(a_file_is_replaced_whole, dir_make, dir_remove),
		cmocka_unit_test_setup_teardown(a_file_beside_us_is_replaced, dir_make, dir_remove),
		cmocka_unit_test_setup_teardown(only_regular_files_are_replaced, dir_make,
						dir_remove),
		cmocka_unit_test_setup_teardown(a_failed_write_keeps_the_old_file, dir_make,
						dir_remove),
		cmocka_unit_test_setup_teardown(the_signal_mask_is_as_before, dir_make, dir_remove),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
