// SPDX-License-Identifier: GPL-2.0-or-later
/* The figures of processes that come and go, over a tree that is made like /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libcommon/procio.c"

static char tree[] = "/tmp/skoop-procio.XXXXXX";
static struct roots roots = { .procfs = tree };

static void file_make(int pid, const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%d/%s", tree, pid, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A process whose figures are all n. */
static void process_make(int pid, int parent, unsigned int start, unsigned int n)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "%s/%d", tree, pid);
	mkdir(path, 0755);
	snprintf(text, sizeof(text),
		 "rchar: %u\nwchar: %u\nsyscr: %u\nsyscw: %u\nread_bytes: %u\nwrite_bytes: %u\n"
		 "cancelled_write_bytes: %u\n",
		 n, n, n, n, n, n, n);
	file_make(pid, "io", text);
	/* A name that looks like the end of itself. */
	snprintf(text, sizeof(text),
		 "%d (a) S 9 (b\n) S %d 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 %u 22 23\n",
		 pid, parent, start);
	file_make(pid, "stat", text);
}

static void process_end(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%d/io", tree, pid);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%d/stat", tree, pid);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%d", tree, pid);
	rmdir(path);
}

/*
 * One reading of a target of these processes, ended by 0; gives its total, all fields being alike.
 */
static uint64_t total(struct procio_ledger *l, const char *pod, const pid_t *pids)
{
	const struct target t = { .namespace = "ns", .pod = pod };
	struct procio sum = { 0 }, growth;

	for (; *pids; pids++) {
		int err = procio_read(l, &roots, *pids, &growth);

		assert_true(!err || err == -ESRCH);
		if (!err)
			procio_add(&sum, &growth);
	}
	assert_int_equal(procio_total(l, &t, &sum), 0);
	for (size_t i = 1; i < PROCIO_FIELDS; i++)
		assert_int_equal(sum.v[i], sum.v[0]);
	return sum.v[0];
}
#define PIDS(...) ((const pid_t[]){ __VA_ARGS__, 0 })

static void ledger_free(struct procio_ledger *l)
{
	for (size_t i = 0; i < l->ntotals; i++)
		free(l->totals[i].name);
	free(l->totals);
	free(l->accounts);
}

static int tree_make(void **state)
{
	(void)state;
	return mkdtemp(tree) ? 0 : -1;
}

static int tree_end(void **state)
{
	(void)state;
	return rmdir(tree);
}

static int processes_end(void **state)
{
	(void)state;
	for (int pid = 10; pid < 20; pid++)
		process_end(pid);
	return 0;
}

static void one_reading_gives_the_figures(void **state)
{
	struct procio f;

	(void)state;
	process_make(10, 1, 100, 7);
	assert_int_equal(procio_read(NULL, &roots, 10, &f), 0);
	for (size_t i = 0; i < PROCIO_FIELDS; i++)
		assert_int_equal(f.v[i], 7);
	assert_int_equal(procio_read(NULL, &roots, 11, &f), -ESRCH);
}

static void each_field_has_its_key(void **state)
{
	char text[] =
		"write_bytes: 6\nrchar: 1\nnew_kernels_key: 9\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\n"
		"cancelled_write_bytes: 18446744073709551615\n";
	struct procio f;

	(void)state;
	assert_int_equal(figures_parse(text, &f), 0);
	for (size_t i = 0; i < PROCIO_CANCELLED; i++)
		assert_int_equal(f.v[i], i + 1);
	assert_true(f.v[PROCIO_CANCELLED] == UINT64_MAX);
}

static void other_texts_are_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"rchar: 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 1\nwrite_bytes: 1\n",
		"rchar: 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 1\nwrite_bytes: 1\ncancelled_write_bytes: ",
		"rchar: -1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 1\nwrite_bytes: 1\ncancelled_write_bytes: 1\n",
		"rchar 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 1\nwrite_bytes: 1\ncancelled_write_bytes: 1\n",
		("rchar: 18446744073709551616\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 1\nwrite_bytes: 1\n"
		 "cancelled_write_bytes: 1\n"),
	};
	static const char *const wrong_stat[] = {
		"",
		"10 (a",
		"10 (a)",
		"10 (a) S",
		"10 (a) S -1 3",
		"10 (a) S 1 3 4 5",
		"10 (a) S 1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 x"
	};
	struct procio_account a = { 0 };
	struct procio f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		auto_free char *text = strdup(wrong[i]);

		assert_int_equal(figures_parse(text, &f), -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong_stat); i++) {
		auto_free char *text = strdup(wrong_stat[i]);

		assert_int_equal(account_parse(text, &a), -EBADMSG);
	}
	process_make(10, 1, 100, 7);
	file_make(10, "io", "rchar: 1\n");
	assert_int_equal(procio_read(NULL, &roots, 10, &f), -EBADMSG);
}

static void figures_of_the_living_add_up(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 7);
	process_make(11, 1, 100, 5);
	assert_int_equal(total(&l, "a", PIDS(10, 11)), 12);
	process_make(10, 1, 100, 8);
	assert_int_equal(total(&l, "a", PIDS(10, 11)), 13);
	/* One born since brings all it has. */
	process_make(12, 11, 200, 100);
	assert_int_equal(total(&l, "a", PIDS(10, 11, 12)), 113);
	assert_int_equal(total(&l, "a", PIDS(10, 11, 12)), 113);
	ledger_free(&l);
}

/* Its parent, in another namespace or not waiting, shows none of it. */
static void total_does_not_fall_with_an_end(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 7);
	process_make(11, 10, 100, 5000);
	assert_int_equal(total(&l, "a", PIDS(10, 11)), 5007);
	process_end(11);
	process_make(10, 1, 100, 9);
	assert_int_equal(total(&l, "a", PIDS(10)), 5009);
	ledger_free(&l);
}

/* The parent waited: 5000 were shown, 5300 came over, and 2 are its own. */
static void what_a_parent_takes_over_counts_once(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 7);
	process_make(11, 10, 100, 5000);
	assert_int_equal(total(&l, "a", PIDS(10, 11)), 5007);
	process_end(11);
	process_make(10, 1, 100, 7 + 5300 + 2);
	assert_int_equal(total(&l, "a", PIDS(10)), 5309);
	process_make(10, 1, 100, 7 + 5300 + 3);
	assert_int_equal(total(&l, "a", PIDS(10)), 5310);
	ledger_free(&l);
}

/* A shell and what it ran end between two readings: both came over through the shell. */
static void grandchildren_come_over_with_their_parent(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 0);
	process_make(11, 10, 100, 20);
	process_make(12, 11, 100, 300);
	assert_int_equal(total(&l, "a", PIDS(10, 11, 12)), 320);
	process_end(11);
	process_end(12);
	process_make(10, 1, 100, 320 + 5);
	assert_int_equal(total(&l, "a", PIDS(10)), 325);
	ledger_free(&l);
}

/* A zombie has ended, but nobody has waited: only then its figures move. */
static void zombie_counts_with_its_parent_only_after_the_wait(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 0);
	process_make(11, 10, 100, 300);
	assert_int_equal(total(&l, "a", PIDS(10, 11)), 300);
	for (int i = 0; i < 2 * MISSED_MAX; i++) {
		process_make(10, 1, 100, 400 + i);
		assert_int_equal(total(&l, "a", PIDS(10)), 700 + i);
		procio_sweep(&l, &roots);
	}
	process_end(11);
	process_make(10, 1, 100, 400 + 2 * MISSED_MAX - 1 + 300);
	assert_int_equal(total(&l, "a", PIDS(10)), 700 + 2 * MISSED_MAX - 1);
	ledger_free(&l);
}

/*
 * A container's first process is waited for by the host: the host's total does not take what the
 * pod's has.
 */
static void parent_of_another_target_does_not_count_it_again(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 1);
	process_make(11, 10, 100, 300);
	assert_int_equal(total(&l, "host", PIDS(10)), 1);
	assert_int_equal(total(&l, "pod", PIDS(11)), 300);
	process_end(11);
	process_make(10, 1, 100, 1 + 300);
	assert_int_equal(total(&l, "host", PIDS(10)), 1);
	ledger_free(&l);
}

static void process_that_moves_takes_nothing_along(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 300);
	assert_int_equal(total(&l, "a", PIDS(10)), 300);
	process_make(10, 1, 100, 310);
	assert_int_equal(total(&l, "b", PIDS(10)), 10);
	assert_int_equal(total(&l, "a", PIDS(19)), 300);
	ledger_free(&l);
}

static void number_used_again_is_another_process(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 300);
	assert_int_equal(total(&l, "a", PIDS(10)), 300);
	process_end(10);
	process_make(10, 1, 999, 310);
	assert_int_equal(total(&l, "a", PIDS(10)), 610);
	ledger_free(&l);
}

static void ledger_forgets_what_is_gone(void **state)
{
	struct procio_ledger l = { 0 };

	(void)state;
	process_make(10, 1, 100, 300);
	process_make(11, 1, 100, 300);
	total(&l, "a", PIDS(10));
	total(&l, "b", PIDS(11));
	process_end(10);
	for (int i = 0; i <= MISSED_MAX; i++) {
		procio_sweep(&l, &roots);
		assert_int_equal(total(&l, "b", PIDS(11)), 300);
	}
	assert_int_equal(l.naccounts, 1);
	assert_int_equal(l.ntotals, 1);
	ledger_free(&l);
}

#define TEST(f) cmocka_unit_test_teardown(f, processes_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_reading_gives_the_figures),
		TEST(each_field_has_its_key),
		TEST(other_texts_are_refused),
		TEST(figures_of_the_living_add_up),
		TEST(total_does_not_fall_with_an_end),
		TEST(what_a_parent_takes_over_counts_once),
		TEST(grandchildren_come_over_with_their_parent),
		TEST(zombie_counts_with_its_parent_only_after_the_wait),
		TEST(parent_of_another_target_does_not_count_it_again),
		TEST(process_that_moves_takes_nothing_along),
		TEST(number_used_again_is_another_process),
		TEST(ledger_forgets_what_is_gone),
	};

	return cmocka_run_group_tests(tests, tree_make, tree_end);
}
