/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples and events in, lines out. A probe sees only the first part of this file; the second is for the
 * life cycle (main.c), the third for the renderers. Nothing below knows what a probe measures, nothing above knows
 * a format.
 */
#ifndef SKOOP_OUT_H
#define SKOOP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "hist.h"
#include "probe.h"
#include "util.h"

struct out;
struct options;
struct targets;

/* ---- for probes ---- */

/*
 * One value of metric m for target t this round, as the kernel has it (a SCOPE_HOST metric gets the host's labels
 * whatever t is). labels: further ones, ended by {}, or NULL; their text is copied. The same metric, target and labels
 * twice in a round is a programming error and is reported.
 */
void out_metric(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		const struct label *labels);

/*
 * As out_metric, of a counter that shows in some rounds only (--top): `grown` is by how much since the round before.
 */
void out_metric_grown(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		      uint64_t grown, const struct label *labels);

/* This round's rows are shown in the order they come, not target by target. */
void out_in_order(struct out *o);

/*
 * A metric the table does not list, for -a: named by `key` in lower case, other than letters and digits dropped; type,
 * unit and scope as `like`. The same key gives the same metric every time. NULL: out of memory (out_flush
 * tells), or a key without letter or digit.
 */
const struct metric *out_extra(struct out *o, const char *key, size_t key_len,
			       const struct metric *like);

/* `count` things ("processes", "namespaces") could not be read for lack of the capabilities in `caps` (CAP_TO_MASK). */
void out_denied(struct out *o, const char *things, uint64_t count, uint64_t caps);

/* The probe saw what an option of its own asks to warn of: the run ends with EXIT_OBSERVED, with or without -E. */
void out_alarm(struct out *o);

/* Says `text` once a run on stderr (unless -q): which source served, what is left out. */
void out_note(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * One event record of the probe's events[]; `size` has been checked by the caller. t may be NULL: unknown. With
 * EVENT_IN_FLIGHT in its type it is a state, not an event: shown as such, and not counted (-e, -E).
 */
void out_event(struct out *o, const struct target *t, const void *record, size_t size);

/*
 * `count` things the kernel half could not hand over ("ringbuf", "map", "ratelimit": a constant string) since the last
 * call; 0 is a tick that lets what is pending be told. Told at most once a second, in all at the end.
 */
void out_lost(struct out *o, const char *where, uint64_t count);

/*
 * One histogram of the round, since the start of the run; labels as for out_metric(). `before`: what it was in the
 * round before, NULL: there was none.
 */
void out_hist(struct out *o, const struct target *t, const struct hist *h,
	      const struct label *labels, const struct hist_values *now,
	      const struct hist_values *before);

/* The probe this output belongs to. */
const struct probe *out_probe(const struct out *o);

/* ---- for the life cycle ---- */

/*
 * 0 or -errno after one msg_error (-EINVAL: the options do not fit, EXIT_USAGE).
 * With --framed a line that begins with a form feed is not data. The first is "skoop stream" where events come as they
 * happen, "skoop rounds" where there are rounds only. After it, a form feed alone ends a round, one with text is the
 * header (of a table or TSV) of what follows; and there may be several expositions, one a round. On stderr, what is only
 * said with -v begins with a form feed, too.
 */
int out_open(const struct probe *p, const struct options *opt, struct out **o);
/* Starts a round: its time, its targets (which must live until the next round or out_close). */
void out_round(struct out *o, const struct targets *ts);
/*
 * Ends it: differences against the last round are made, and it is written unless `show` is false (a first round that
 * only serves as base). 0; -EPIPE: the reader left; other -errno after one msg_error.
 */
int out_flush(struct out *o, bool show);
/* Drops a round that failed. */
void out_abort(struct out *o);
/* Whether this run shows events as they come: not in an exposition, nor where rounds take their place. */
bool out_shows_events(const struct out *o);
/* Who has what belongs to no known namespace. Lives as long as o. */
const struct target *out_unknown_target(const struct out *o);
/* Whether something was observed: an event printed or a counter grown (-E). */
bool out_observed(const struct out *o);
/* Whether out_alarm was called. */
bool out_alarmed(const struct out *o);
/* Events printed so far (-e); out_event prints no more once -e is reached. */
uint64_t out_events(const struct out *o);
/* 0, or what ended the output: -EPIPE (the reader left), other -errno after one msg_error. For loops over out_event. */
int out_error(const struct out *o);
/* What out_denied was told in all. */
uint64_t out_denied_count(const struct out *o, uint64_t *caps);
/* The descriptor the data goes to, for the poll set; -1 with -w. */
int out_fd(const struct out *o);
/* Closes and checks; 0 or -errno after one msg_error. */
int out_close(struct out *o);

/*
 * Names for what events have as numbers: k is handed to fields' `names` and to `symbol`, which names a kernel address
 * (NULL: no name; the text is used before the next call).
 */
void out_set_kernel(struct out *o, struct kernel *k,
		    const char *(*symbol)(struct kernel *k, uint64_t address));
/* The reduced mode the probe runs in: JSON records carry it as `mode`. A constant string. */
void out_set_mode(struct out *o, const char *mode);

/* The world around, as out_open finds it. */
struct out_env {
	void (*clock)(clockid_t id, struct timespec *now);
	int fd;                     /* where data goes, -1 with -w */
	bool tty, color;            /* it is a terminal; tables are coloured */
	unsigned int width, height; /* of the terminal */
};
/* For tests: before the first round or event. */
void out_set_env(struct out *o, const struct out_env *env);

/* ---- for the renderers ---- */

/* A target with one set of further labels. */
struct out_row {
	const struct target *target;
	const struct label *labels; /* ended by {} */
};

struct sample {
	const struct metric *metric;
	const struct target *target;
	const struct label *labels; /* ended by {} */
	size_t row;                 /* index into the round's rows */
	uint64_t value;
	uint64_t delta; /* growth since the last round */
	bool has_delta; /* false: gauge, first round, or new series */
	bool grown;     /* the probe says what it has grown by */
};

struct histogram {
	const struct hist *hist;
	const struct target *target;
	struct label *labels; /* ended by {} */
	struct hist_values now, before;
};

struct round {
	struct timespec ts; /* CLOCK_REALTIME */
	/* In descriptor order of metrics, then target order, then order of arrival. */
	const struct sample *samples;
	size_t nsamples;
	/* Those the probe may emit, in order, extras of -a at the end. */
	const struct metric *const *metrics;
	size_t nmetrics;
	/* Those the samples are in, in target order, then order of arrival. */
	const struct out_row *rows;
	size_t nrows;
	const struct histogram *hists; /* in descriptor order, then in order of arrival */
	size_t nhists;
	bool rate;        /* with INTERVAL or -d: differences are meaningful */
	bool base;        /* there is a round before this one, so counters have differences */
	uint64_t elapsed; /* ns since that round */
};

/* A format. Each appends to b and prints nothing itself. */
struct out_ops {
	void (*round)(const struct out *o, const struct round *r, struct buf *b);
	/* event and lost may be NULL: the format has no place for them. t is never NULL. */
	void (*event)(const struct out *o, const struct target *t, const struct timespec *ts,
		      const void *record, struct buf *b);
	void (*lost)(const struct out *o, const struct timespec *ts, const char *where,
		     uint64_t count, uint64_t total, struct buf *b);
};

extern const struct out_ops out_table, out_json, out_prom, out_openmetrics, out_tsv;

const struct options *out_options(const struct out *o);
const struct out_env *out_env(const struct out *o);
/* "nf_hook_slow+0xab [nf_tables]", NULL: unknown. Valid until the next call. */
const char *out_symbol(const struct out *o, uint64_t address);
/* As told by out_set_kernel and out_set_mode, else NULL. */
const struct kernel *out_kernel(const struct out *o);
const char *out_mode(const struct out *o);

/* What a format with a header line has written so far. */
struct out_header {
	struct buf columns, line; /* its column names, ended by tabs; the line as it was printed */
	size_t *widths;           /* of its columns */
	size_t nwidths, widths_size;
	unsigned int lines; /* written since, itself included */
};
struct out_header *out_header(const struct out *o);

#endif
