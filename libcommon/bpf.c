// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of a probe that traces: events as they come, counters at intervals, and an end at which nothing is missing. */
#include "bpf.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/event.h"
#include "bpf_run.h"
#include "options.h"
#include "out.h"
#include "process.h"
#include "target.h"

/* How many events in a row may keep the loop from its other duties. */
#define BATCH 4096
#define RECORD_MAX 2048

struct kernel *bpf_run_kernel(struct bpf_run *r)
{
	return r->kernel;
}

const struct targets *bpf_run_targets(struct bpf_run *r)
{
	return r->targets;
}

/* ---- events ---- */

static bool is_machinery(const char *name)
{
	return !strncmp(name, "bpf_", 4) || !strncmp(name, "__bpf_", 6) ||
	       !strncmp(name, "__traceiter_", 12) || !strncmp(name, "trace_", 6);
}

/*
 * A stack begins with the tracing machinery, of which our own program may have no name; what the reader wants begins
 * where the kernel was.
 */
static void trim_stack(struct bpf_run *r, const struct field *f, char *record)
{
	uint64_t frames[STACK_DEPTH];
	size_t n = f->size / sizeof(*frames), from = 0;
	const char *name;

	if (n > STACK_DEPTH)
		return;
	memcpy(frames, record + f->offset, n * sizeof(*frames));
	for (size_t i = 0; i < n && frames[i]; i++) {
		name = kernel_function(r->kernel, frames[i]);
		if (name && !is_machinery(name))
			break;
		if (name)
			from = i + 1;
	}
	memset(record + f->offset, 0, f->size);
	memcpy(record + f->offset, frames + from, (n - from) * sizeof(*frames));
}

/* The machine's events are the host's, as its metrics are. NULL: there is no telling whose. */
static const struct target *machine_target(const struct bpf_run *r, char *record,
					   struct event_header h)
{
	const struct target *host = targets_machine(r->targets);

	h.netns = host ? (uint32_t)host->netns : 0;
	memcpy(record, &h, sizeof(h));
	return host;
}

int bpf_run_event(struct bpf_run *r, const void *data, size_t size)
{
	const struct target *t;
	char record[RECORD_MAX] __attribute__((aligned(8)));
	struct event_header h;

	if (size < sizeof(h) || size > sizeof(record)) {
		msg_error("the kernel half sent a record of %zu bytes", size);
		return -EBADMSG;
	}
	memset(record, 0, sizeof(record));
	memcpy(record, data, size);
	memcpy(&h, record, sizeof(h));
	for (size_t i = 0; r->opt->stack && r->probe->fields[i].name; i++)
		if (r->probe->fields[i].type == F_STACK && h.known >> i & 1)
			trim_stack(r, &r->probe->fields[i], record);
	if (r->tracing->complete)
		r->tracing->complete(r, record, size);
	memcpy(&h, record, sizeof(h));
	if (h.netns == NETNS_MACHINE)
		t = machine_target(r, record, h);
	else
		t = bpf_run_event_target(r, h.netns);
	/* A namespace that was not chosen may have got the number of one that was. */
	if (!t || t->selected || h.netns == NETNS_MACHINE)
		out_event(r->out, t, record, size);
	if (out_error(r->out))
		return out_error(r->out);
	return r->opt->max_events && out_events(r->out) >= r->opt->max_events ? -ECANCELED : 0;
}

static int on_event(void *arg, void *data, size_t size)
{
	struct bpf_run *r = arg;
	int err = bpf_run_event(r, data, size);

	if (err)
		return err;
	return --r->budget ? 0 : -EAGAIN;
}

/* ---- what has not ended ---- */

uint64_t bpf_run_threshold(const struct bpf_run *r)
{
	return r->opt->threshold == THRESHOLD_DEFAULT ? r->probe->threshold : r->opt->threshold;
}

int bpf_run_in_flight(struct bpf_run *r, void *record, size_t size, uint64_t since)
{
	uint64_t over = since + bpf_run_threshold(r);
	struct event_header h;
	int err;

	if (over >= r->looking_at || (!r->all_in_flight && over < r->looked_at))
		return 0;
	memcpy(&h, record, sizeof(h));
	/* The kernel half lets through what was chosen; what it keeps may be anybody's. */
	if (bpf_run_selecting(r) && h.netns != NETNS_MACHINE && !bpf_run_event_target(r, h.netns))
		return 0;
	h.mono_ns = r->looking_at;
	h.type |= EVENT_IN_FLIGHT;
	memcpy(record, &h, sizeof(h));
	err = bpf_run_event(r, record, size);
	/* All of them are told, however few events were asked for. */
	return err == -ECANCELED ? 0 : err;
}

static int look_in_flight(struct bpf_run *r, bool all)
{
	int err;

	/* Afterwards what ended is not seen to end. */
	if (!r->tracing->in_flight || !bpf_run_attached(r))
		return 0;
	r->all_in_flight = all;
	r->looking_at = process_now();
	err = r->tracing->in_flight(r);
	r->looked_at = r->looking_at;
	return err;
}

/* ---- rounds ---- */

static int round_run(struct bpf_run *r, bool show)
{
	/* Those of the start serve for the round that is only a base. */
	int err = show ? bpf_run_search(r) : 0;

	if (!err && r->tracing->refresh)
		err = r->tracing->refresh(r);
	if (!err)
		err = bpf_run_counters(r);
	if (!err)
		err = bpf_run_hists(r);
	if (!err && show)
		err = look_in_flight(r, true);
	return err ? err : out_flush(r->out, show);
}

/* Counters at the end of a run without rounds: not behind events in columns of their own. */
static bool final_counters(const struct bpf_run *r)
{
	enum out_format f = r->opt->format;

	if (!r->probe->metrics || r->opt->interval)
		return false;
	return !r->probe->events || !out_shows_events(r->out) || f == OUT_JSON || f == OUT_PROM ||
	       f == OUT_OPENMETRICS || r->opt->write || (f == OUT_TABLE && !r->opt->max_events);
}

/* ---- the loop ---- */

struct loop {
	struct bpf_run *run;
	struct ring_buffer *ring;
	uint64_t start, due, end,
		tick; /* the next round, the end, and when lost events and targets are looked at */
	uint64_t rounds;
	bool told; /* the last thing done was a round */
};

/* A stop that is no failure. */
static bool is_end(int err)
{
	return err == -EINTR || err == -ETIME || err == -ECANCELED;
}

/* What has become due. 0 to go on; -ETIME: the run is over. */
static int duties(struct loop *l, uint64_t now)
{
	struct bpf_run *r = l->run;
	int err = 0;

	l->told = false;
	if (now >= l->tick) {
		bpf_run_tell_lost(r);
		l->tick = now + NSEC_PER_SEC;
		if ((bpf_run_selecting(r) && now - r->searched_at >= 2 * NSEC_PER_SEC) ||
		    bpf_run_targets_changed(r))
			err = bpf_run_search(r);
		if (!err && r->tracing->refresh)
			err = r->tracing->refresh(r);
		if (!err)
			err = look_in_flight(r, false);
	}
	if (!err && now >= l->due) {
		err = round_run(r, true);
		l->told = true;
		l->due += ((now - l->due) / r->opt->interval + 1) * r->opt->interval;
		if (!err && r->opt->count && ++l->rounds >= r->opt->count)
			return -ETIME;
	}
	if (!err && now >= l->end)
		return -ETIME;
	return err ? err : out_error(r->out);
}

static uint64_t earliest(const struct loop *l)
{
	uint64_t due = l->due < l->end ? l->due : l->end;

	return due < l->tick ? due : l->tick;
}

/* Waits for events, the reader's leaving, a signal, or what is due next. */
static int step(struct loop *l)
{
	struct pollfd fds[2] = { { .fd = ring_buffer__epoll_fd(l->ring), .events = POLLIN },
				 { .fd = out_fd(l->run->out) } };
	int n = process_poll(fds, ARRAY_SIZE(fds), earliest(l), false);

	if (n == -EINTR)
		return process_stopping() ? -EINTR : 0;
	if (n > 0 && fds[1].revents & (POLLERR | POLLHUP))
		return -EPIPE;
	if (n < 0)
		return n;
	l->run->budget = BATCH;
	n = ring_buffer__consume(l->ring);
	return n < 0 && n != -EAGAIN ? n : 0;
}

static int loop_run(struct loop *l)
{
	int err;

	do {
		err = duties(l, process_now());
		if (!err)
			err = process_stopping() ? -EINTR : step(l);
	} while (!err);
	return err;
}

/* What is left in the ring, to its end. */
static int drain(struct loop *l)
{
	int n;

	do {
		l->run->budget = BATCH;
		n = ring_buffer__consume(l->ring);
	} while (n == -EAGAIN);
	return n < 0 && n != -ECANCELED ? n : 0;
}

/* Detached, so that no more comes: the rest of the ring, what was lost, and the last counters. */
static int finish(struct loop *l, int why)
{
	struct bpf_run *r = l->run;
	int err = why == -ECANCELED ? 0 : drain(l);

	if (!err && r->tracing->refresh)
		err = r->tracing->refresh(r);
	if (err == -ECANCELED)
		err = 0;
	bpf_run_tell_lost(r);
	if (!err && (r->opt->interval ? !l->told : final_counters(r)))
		err = round_run(r, true);
	return err == -ECANCELED ? 0 : err;
}

static int trace(struct bpf_run *r)
{
	const struct options *opt = r->opt;
	struct loop l = { .run = r, .start = process_now() };
	int err, in_flight = 0;

	l.end = opt->duration ? l.start + opt->duration : UINT64_MAX;
	l.due = opt->interval ? l.start + opt->interval : UINT64_MAX;
	l.tick = l.start + NSEC_PER_SEC;
	l.ring = ring_buffer__new(bpf_run_map(r, "events"), on_event, r, NULL);
	if (!l.ring) {
		msg_error("ring buffer: %m");
		return -errno;
	}
	err = round_run(r, false); /* what differences are against */
	msg_verbose("attached");
	if (!err && isatty(STDERR_FILENO) && opt->verbosity > MSG_QUIET && !opt->duration)
		msg_warn("attached; Ctrl-C ends");
	if (!err)
		err = loop_run(&l);
	if (is_end(err) && (!opt->interval || !l.told))
		in_flight = look_in_flight(r, true);
	bpf_run_detach(r);
	if (in_flight)
		err = in_flight;
	if (is_end(err))
		err = finish(&l, err);
	ring_buffer__free(l.ring);
	return err;
}

static int exit_code(const struct bpf_run *r, int err)
{
	if (err == -EPERM || err == -EACCES)
		return EXIT_PRIVILEGE;
	if (err && err != -EPIPE)
		return EXIT_FAILED;
	if (out_alarmed(r->out) || (r->opt->exit_status && out_observed(r->out)))
		return EXIT_OBSERVED;
	return EXIT_OK;
}

/* The targets first: whoever asks for one that is not there need not wait for the kernel. */
static int find_targets(struct bpf_run *r)
{
	int err = bpf_run_search(r), code;

	if (err)
		return target_exit_code(err);
	code = targets_report_missing(r->targets);
	if (!targets_selected(r->targets)) {
		if (!code)
			msg_error("no network namespace is to be seen");
		return code ? code : EXIT_FAILED;
	}
	return code;
}

int bpf_probe_run(const struct probe *p, const struct options *opt, struct target_finder *f,
		  struct out *o)
{
	struct bpf_run r = { .probe = p,
			     .tracing = p->tracing,
			     .opt = opt,
			     .finder = f,
			     .out = o,
			     .types_fd = -1,
			     .module_fd = -1 };
	int missing = find_targets(&r), code = missing;

	if (!code || (r.targets && targets_selected(r.targets)))
		code = bpf_run_load(&r);
	if (r.object) {
		out_set_kernel(o, r.kernel, kernel_symbol);
		bpf_run_admit(&r);
		code = exit_code(&r, trace(&r));
		out_set_kernel(o, NULL, NULL);
		if (!code)
			code = missing;
	}
	bpf_run_hists_free(&r);
	bpf_run_unload(&r);
	targets_free(r.old);
	targets_free(r.targets);
	free(r.seen_at);
	return code;
}
