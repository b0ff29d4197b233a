// SPDX-License-Identifier: GPL-2.0-or-later
/* Targets handed on are the targets that were found; half of them are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "libcommon/target.h"
#include "libcommon/target_pass.h"

static struct target_finder *finder(void)
{
	static const struct target_options none;
	struct target_finder *f;

	assert_int_equal(finder_open(&none, &f), 0);
	return f;
}

static const pid_t pids[] = { 1, 77, 4000000 };
static struct target two[] = {
	{ .node = "n",
	  .namespace = "-",
	  .pod = "netns:x",
	  .netns = 4026532111,
	  .mount = "/run/netns/x",
	  .source = "mount" },
	{ .node = "n",
	  .namespace = "hostNetwork",
	  .pod = "hostNetwork",
	  .key = UINT64_MAX,
	  .host = true,
	  .selected = true,
	  .container = "c",
	  .uid = "",
	  .pids = pids,
	  .npids = 3 },
};
static char *missing[] = { (char *)"--pod a/b", (char *)"--pid 9 (gone)" };
static const struct targets found = { .v = two,
				      .n = 2,
				      .host = &two[1],
				      .own = &two[0],
				      .npids = 70,
				      .refused = 3,
				      .hidepid = true,
				      .hidden = 1ULL << 63,
				      .missing = missing,
				      .nmissing = 2 };

static void same_text(const char *a, const char *b)
{
	assert_true(!a == !b);
	if (a)
		assert_string_equal(a, b);
}

static void test_all_is_carried(void **state)
{
	struct target_finder *f = finder();
	int fd = targets_pass(&found);
	struct targets *ts;

	(void)state;
	assert_true(fd >= 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(targets_take(fd, f, &ts), 0);
		assert_int_equal(ts->n, 2);
		assert_ptr_equal(ts->host, &ts->v[1]);
		assert_ptr_equal(ts->own, &ts->v[0]);
		assert_int_equal(ts->npids, 70);
		assert_int_equal(ts->refused, 3);
		assert_true(ts->hidepid);
		assert_true(ts->hidden == 1ULL << 63);
		assert_int_equal(ts->nmissing, 2);
		for (size_t i = 0; i < 2; i++) {
			const struct target *a = &two[i], *b = &ts->v[i];

			same_text(a->node, b->node);
			same_text(a->namespace, b->namespace);
			same_text(a->pod, b->pod);
			same_text(a->mount, b->mount);
			same_text(a->container, b->container);
			same_text(a->uid, b->uid);
			same_text(a->source, b->source);
			assert_true(a->netns == b->netns && a->key == b->key);
			assert_true(a->host == b->host && a->selected == b->selected);
			assert_int_equal(a->npids, b->npids);
			if (a->npids)
				assert_memory_equal(a->pids, b->pids, sizeof(pids));
			assert_ptr_equal(b->roots, finder_roots(f));
			assert_null(b->cache);
			assert_string_equal(missing[i], ts->missing[i]);
		}
		targets_free(ts);
	}
	close(fd);
	finder_close(f);
}

static void test_none_of_each_kind(void **state)
{
	const struct targets empty = { 0 };
	struct target_finder *f = finder();
	int fd = targets_pass(&empty);
	struct targets *ts;

	(void)state;
	assert_int_equal(targets_take(fd, f, &ts), 0);
	assert_int_equal(ts->n, 0);
	assert_null(ts->host);
	assert_null(ts->own);
	targets_free(ts);
	close(fd);
	finder_close(f);
}

static void test_every_cut_is_noticed(void **state)
{
	struct target_finder *f = finder();
	int fd = targets_pass(&found);
	struct targets *ts;
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(targets_take(fd, f, &ts), -EBADMSG);
	}
	close(fd);
	finder_close(f);
}

static void test_damage_never_reads_beyond(void **state)
{
	struct target_finder *f = finder();
	int fd = targets_pass(&found);
	struct targets *ts;
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		unsigned char was, bad[] = { 0x00, 0x01, 0x7f, 0xff };

		assert_int_equal(pread(fd, &was, 1, at), 1);
		for (size_t i = 0; i < sizeof(bad); i++) {
			assert_int_equal(pwrite(fd, &bad[i], 1, at), 1);
			if (!targets_take(fd, f, &ts))
				targets_free(ts);
		}
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	assert_int_equal(targets_take(fd, f, &ts), 0);
	targets_free(ts);
	close(fd);
	finder_close(f);
}

static void test_other_files_hold_none(void **state)
{
	struct target_finder *f = finder();
	struct targets *ts;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(targets_take(pipes[0], f, &ts), -EBADMSG);
	assert_int_equal(targets_take(-1, f, &ts), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
	finder_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_carried),
		cmocka_unit_test(test_none_of_each_kind),
		cmocka_unit_test(test_every_cut_is_noticed),
		cmocka_unit_test(test_damage_never_reads_beyond),
		cmocka_unit_test(test_other_files_hold_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
