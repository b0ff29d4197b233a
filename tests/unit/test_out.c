// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of an output: what is refused, what fails a round, what is said beside the data, and how often. */
#include "made.h"

#include <linux/capability.h>
#include <sys/stat.h>

/* stderr, caught. */
static int caught = -1, real_stderr;

static void catch_begin(void)
{
	caught = memfd_create("err", MFD_CLOEXEC);
	real_stderr = dup(STDERR_FILENO);
	dup2(caught, STDERR_FILENO);
}

static const char *catch_end(void)
{
	static char text[4096];
	ssize_t n = pread(caught, text, sizeof(text) - 1, 0);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(caught);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int opened(const struct probe *p, struct options opt)
{
	struct out *o = NULL;
	int err = out_open(p, &opt, &o);

	/* Closing would close the test's own stdout. */
	if (!err) {
		struct out_env env = *out_env(o);

		env.fd = -1;
		out_set_env(o, &env);
		assert_int_equal(out_close(o), 0);
	}
	return err;
}

static void writing_to_a_file_has_its_conditions(void **state)
{
	char name[] = "/tmp/skoop-out-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(opened(&made_probe, (struct options){ .format = OUT_JSON, .write = name }),
			 0);
	assert_int_equal(opened(&made_probe, (struct options){ .format = OUT_TSV, .write = name }),
			 0);
	assert_int_equal(opened(&made_probe, (struct options){ .format = OUT_PROM, .write = name }),
			 0);
	assert_int_equal(
		opened(&made_probe, (struct options){ .format = OUT_OPENMETRICS, .write = name }),
		0);
	assert_int_equal(
		opened(&made_probe,
		       (struct options){ .format = OUT_PROM, .write = name, .interval = 1 }),
		0);
	catch_begin();
	assert_int_equal(opened(&made_probe, (struct options){ .write = name }), -EINVAL);
	assert_int_equal(opened(&made_tracer, (struct options){ .format = OUT_JSON, .write = name }),
			 -EINVAL);
	assert_int_equal(opened(&made_tracer, (struct options){ .format = OUT_TSV, .write = name }),
			 -EINVAL);
	assert_int_equal(
		opened(&made_tracer,
		       (struct options){ .format = OUT_JSON, .write = name, .interval = 1 }),
		-EINVAL);
	assert_int_equal(
		opened(&made_probe, (struct options){ .format = OUT_JSON, .write = "/dev/stdout" }),
		-EINVAL);
	assert_int_equal(
		opened(&made_probe, (struct options){ .format = OUT_JSON, .write = "/no/such/x" }),
		-ENOENT);
	assert_string_equal(
		catch_end(),
		"skoop: -w takes -o prom, openmetrics, json or tsv\n"
		"skoop: -w cannot replace a file by a stream of events; append with >> instead\n"
		"skoop: -w cannot replace a file by a stream of events; append with >> instead\n"
		"skoop: -w cannot replace a file by a stream of events; append with >> instead\n"
		"skoop: /dev/stdout: -w replaces regular files only\n"
		"skoop: write error: /no/such/x: No such file or directory\n");
	/* Counters of a probe with events can be held. */
	assert_int_equal(opened(&made_tracer,
				(struct options){ .format = OUT_TSV, .write = name, .interval = 1 }),
			 0);
	assert_int_equal(
		opened(&made_tracer, (struct options){ .format = OUT_PROM, .write = name }), 0);
	unlink(name);
}

static void each_round_replaces_the_file(void **state)
{
	char name[] = "/tmp/skoop-out-XXXXXX", text[4096];
	int fd = mkostemp(name, O_CLOEXEC);
	struct options opt = { .format = OUT_PROM, .write = name, .interval = 1 };
	struct stat first, second;
	struct out *o;
	ssize_t n;

	(void)state;
	close(fd);
	assert_int_equal(out_open(&made_probe, &opt, &o), 0);
	assert_int_equal(out_fd(o), -1);
	made_round(o, 0, true);
	assert_int_equal(stat(name, &first), 0);
	assert_int_equal(first.st_mode, S_IFREG | 0644);
	/* A round that failed leaves it alone. */
	out_round(o, &made_targets);
	out_metric(o, &made_target[WEB], &made_metrics[0], 1, NULL);
	out_abort(o);
	assert_int_equal(stat(name, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	made_round(o, 1, true);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(
		text,
		"kubeskoop_made_machine{target_pod=\"hostNetwork\",target_namespace=\"hostNetwork\","
		"target_node=\"node-a\"} 1001\n"));
	assert_null(strstr(text, "} 1000\n"));
	assert_int_equal(out_close(o), 0);
	unlink(name);
}

static void a_series_twice_fails_the_round_and_is_not_printed(void **state)
{
	struct made m = { .opt.format = OUT_JSON };

	(void)state;
	made_open(&m, &made_probe);
	out_round(m.o, &made_targets);
	out_metric(m.o, &made_target[WEB], &made_metrics[2], 1, NULL);
	out_metric(m.o, &made_target[ODD], &made_metrics[2], 1,
		   NULL); /* the host's whatever the target */
	catch_begin();
	assert_int_equal(out_flush(m.o, true), -EEXIST);
	assert_string_equal(
		catch_end(),
		"skoop: kubeskoop_made_machine of hostNetwork/hostNetwork comes twice in a round\n");
	assert_string_equal(made_text(&m), "");
	/* The next round is as good as any. */
	made_round(m.o, 0, true);
	assert_int_not_equal(strlen(made_text(&m)), 0);
	made_close(&m);
}

static void without_a_host_the_own_target_has_its_values(void **state)
{
	const struct targets ts = { .v = made_target, .n = 3, .own = &made_target[ODD] };
	struct made m = { .opt.format = OUT_TSV };

	(void)state;
	made_open(&m, &made_probe);
	out_round(m.o, &ts);
	out_metric(m.o, &made_target[WEB], &made_metrics[2], 1, NULL);
	assert_int_equal(out_flush(m.o, true), 0);
	assert_non_null(strstr(made_text(&m), "\t-\tnetns:q"));
	made_close(&m);
}

static void write_errors_end_the_output(void **state)
{
	struct made m = { .opt.format = OUT_JSON };
	struct made_event e = made_record();

	(void)state;
	made_open(&m, &made_tracer);
	close(m.env.fd);
	m.env.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	out_set_env(m.o, &m.env);
	out_round(m.o, &made_targets);
	catch_begin();
	out_event(m.o, NULL, &e, sizeof(e));
	out_event(m.o, NULL, &e, sizeof(e));
	assert_int_equal(out_error(m.o), -ENOSPC);
	assert_int_equal(out_flush(m.o, true), -ENOSPC);
	assert_int_equal(out_close(m.o), -ENOSPC);
	assert_string_equal(catch_end(), "skoop: write error: No space left on device\n");
	close(m.fd);
}

static void a_reader_that_left_is_no_noise(void **state)
{
	struct made m = { .opt.format = OUT_JSON };
	int fds[2];

	(void)state;
	made_open(&m, &made_probe);
	close(m.env.fd);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	m.env.fd = fds[1];
	out_set_env(m.o, &m.env);
	out_round(m.o, &made_targets);
	out_metric(m.o, &made_target[WEB], &made_metrics[0], 1, NULL);
	catch_begin();
	assert_int_equal(out_flush(m.o, true), -EPIPE);
	assert_int_equal(out_close(m.o), -EPIPE);
	assert_string_equal(catch_end(), "");
	close(m.fd);
}

static void a_closed_stdout_is_a_write_error(void **state)
{
	int keep = dup(STDOUT_FILENO), null = open("/dev/null", O_RDONLY | O_CLOEXEC), closed,
	    unwritable;
	const char *said;

	(void)state;
	fflush(stdout);
	catch_begin();
	close(STDOUT_FILENO);
	closed = opened(&made_probe, (struct options){ .format = OUT_JSON });
	dup2(null, STDOUT_FILENO);
	unwritable = opened(&made_probe, (struct options){ .format = OUT_JSON });
	dup2(keep, STDOUT_FILENO);
	said = catch_end();
	close(keep);
	close(null);
	assert_int_equal(closed, -EBADF);
	assert_int_equal(unwritable, -EBADF);
	assert_string_equal(
		said,
		"skoop: write error: Bad file descriptor\nskoop: write error: Bad file descriptor\n");
}

static void events_stop_at_their_limit(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .max_events = 2, .no_header = true } };
	struct made_event e = made_record();
	size_t lines = 0;

	(void)state;
	made_open(&m, &made_tracer);
	out_round(m.o, &made_targets);
	assert_false(out_observed(m.o));
	for (int i = 0; i < 5; i++)
		out_event(m.o, &made_target[WEB], &e, sizeof(e));
	for (const char *p = made_text(&m); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 2);
	assert_int_equal(out_events(m.o), 2);
	assert_true(out_observed(m.o));
	made_close(&m);
}

static void with_an_interval_counters_take_the_events_place(void **state)
{
	struct made_event e = made_record();

	(void)state;
	for (enum out_format f = OUT_TABLE; f <= OUT_TSV; f++) {
		struct made m = { .opt = { .format = f, .interval = NSEC_PER_SEC, .count = 1 } };

		made_open(&m, &made_tracer);
		out_round(m.o, &made_targets);
		out_event(m.o, &made_target[WEB], &e, sizeof(e));
		assert_int_equal(out_events(m.o), f == OUT_JSON);
		assert_int_equal(strlen(made_text(&m)) > 0, f == OUT_JSON);
		assert_int_equal(out_observed(m.o), f == OUT_JSON);
		made_close(&m);
	}
}

static void only_growth_is_an_observation(void **state)
{
	struct made m = { .opt = { .format = OUT_JSON, .interval = 1 } };

	(void)state;
	made_open(&m, &made_probe);
	made_round(m.o, 0, false);
	made_round(m.o, 0, true);
	assert_false(out_observed(m.o));
	made_round(m.o, 1, true);
	assert_true(out_observed(m.o));
	made_close(&m);
}

static void a_strange_record_ends_the_output(void **state)
{
	struct made m = { .opt.format = OUT_JSON };
	struct made_event e = made_record();

	(void)state;
	made_open(&m, &made_tracer);
	e.hdr.type = 2;
	catch_begin();
	out_event(m.o, NULL, &e, sizeof(e));
	assert_int_equal(out_error(m.o), -EBADMSG);
	assert_int_equal(out_close(m.o), -EBADMSG);
	assert_string_equal(catch_end(), "skoop: the kernel half sent a record of no known event\n");
	close(m.fd);
}

/* Event times follow the wall clock as it is now, not as it was at the start. */
static void the_clocks_are_compared_each_second(void **state)
{
	struct made m = { .opt = { .format = OUT_TSV, .no_header = true } };
	struct made_event e = made_record();
	uint64_t realtime = made_realtime, monotonic = made_monotonic;

	(void)state;
	made_open(&m, &made_tracer);
	out_event(m.o, NULL, &e, sizeof(e));
	made_realtime += 5 * NSEC_PER_SEC; /* somebody set the clock */
	made_monotonic += NSEC_PER_SEC - 1;
	e.hdr.mono_ns = made_monotonic;
	out_event(m.o, NULL, &e, sizeof(e));
	made_monotonic += 1;
	e.hdr.mono_ns = made_monotonic;
	out_event(m.o, NULL, &e, sizeof(e));
	made_realtime = realtime;
	made_monotonic = monotonic;
	made_text(&m);
	assert_int_equal(strncmp(m.text, "2026-11-22T21:46:37.123456789Z\t", 31), 0);
	assert_non_null(strstr(m.text, "\n2026-11-22T21:46:38.123456788Z\t"));
	assert_non_null(strstr(m.text, "\n2026-11-22T21:46:42.123456789Z\t"));
	made_close(&m);
}

static void losses_are_told_once_a_second(void **state)
{
	struct made m = { .opt.format = OUT_TABLE };
	uint64_t monotonic = made_monotonic;

	(void)state;
	made_open(&m, &made_tracer);
	catch_begin();
	out_lost(m.o, "ringbuf", 17);
	out_lost(m.o, "ringbuf", 1);
	out_lost(m.o, "map", 2);
	made_monotonic += NSEC_PER_SEC;
	out_lost(m.o, "ringbuf", 0);
	out_lost(m.o, "ringbuf", 0);
	out_lost(m.o, "ringbuf", 4);
	assert_string_equal(made_text(&m), "");
	assert_int_equal(out_close(m.o), 0);
	assert_string_equal(catch_end(), "skoop: 17 events lost (ringbuf), 17 in all\n"
					 "skoop: 2 events lost (map), 2 in all\n"
					 "skoop: 1 events lost (ringbuf), 18 in all\n"
					 "skoop: 4 events lost (ringbuf), 22 in all\n"
					 "skoop: 24 events lost\n");
	made_monotonic = monotonic;
	free(m.text);
	close(m.fd);
}

static void the_sum_of_losses_is_told_even_if_quiet(void **state)
{
	struct made m = { .opt.format = OUT_TABLE };

	(void)state;
	made_open(&m, &made_tracer);
	msg_level_set(MSG_QUIET);
	catch_begin();
	out_lost(m.o, "ringbuf", 3);
	out_note(m.o, "read from %s", "here");
	assert_int_equal(out_close(m.o), 0);
	assert_string_equal(catch_end(), "skoop: 3 events lost\n");
	msg_level_set(MSG_NORMAL);
	close(m.fd);
}

static void notes_are_said_once_a_run(void **state)
{
	struct made m = { .opt.format = OUT_TSV };

	(void)state;
	made_open(&m, &made_probe);
	catch_begin();
	for (int i = 0; i < 3; i++) {
		out_note(m.o, "read from %s", "here");
		out_note(m.o, "read from %s", i ? "there" : "here");
	}
	assert_string_equal(catch_end(), "skoop: read from here\nskoop: read from there\n");
	made_close(&m);
}

static void refusals_are_counted_and_told_once(void **state)
{
	struct made m = { .opt.format = OUT_TSV };
	/* One nobody has: it does not exist. */
	uint64_t caps, none = 1ULL << 63;
	const char *said;

	(void)state;
	made_open(&m, &made_probe);
	catch_begin();
	for (int i = 0; i < 2; i++) {
		out_round(m.o, &made_targets);
		out_denied(m.o, "processes", 30, none);
		out_denied(m.o, "processes", 7, CAP_TO_MASK(CAP_SYS_PTRACE) | none);
		assert_int_equal(out_flush(m.o, true), 0);
	}
	said = catch_end();
	assert_int_equal(strncmp(said, "skoop: 37 processes skipped: ", 29), 0);
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	assert_int_equal(out_denied_count(m.o, &caps), 74);
	assert_int_equal(caps, none | CAP_TO_MASK(CAP_SYS_PTRACE));
	made_close(&m);
	/* Quiet means quiet. */
	m = (struct made){ .opt = { .format = OUT_TSV, .verbosity = MSG_QUIET } };
	made_open(&m, &made_probe);
	catch_begin();
	out_round(m.o, &made_targets);
	out_denied(m.o, "processes", 30, none);
	assert_int_equal(out_flush(m.o, true), 0);
	assert_string_equal(catch_end(), "");
	made_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writing_to_a_file_has_its_conditions),
		cmocka_unit_test(each_round_replaces_the_file),
		cmocka_unit_test(a_series_twice_fails_the_round_and_is_not_printed),
		cmocka_unit_test(without_a_host_the_own_target_has_its_values),
		cmocka_unit_test(write_errors_end_the_output),
		cmocka_unit_test(a_reader_that_left_is_no_noise),
		cmocka_unit_test(a_closed_stdout_is_a_write_error),
		cmocka_unit_test(events_stop_at_their_limit),
		cmocka_unit_test(with_an_interval_counters_take_the_events_place),
		cmocka_unit_test(only_growth_is_an_observation),
		cmocka_unit_test(a_strange_record_ends_the_output),
		cmocka_unit_test(the_clocks_are_compared_each_second),
		cmocka_unit_test(losses_are_told_once_a_second),
		cmocka_unit_test(the_sum_of_losses_is_told_even_if_quiet),
		cmocka_unit_test(notes_are_said_once_a_run),
		cmocka_unit_test(refusals_are_counted_and_told_once),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
