// SPDX-License-Identifier: GPL-2.0-or-later
/* The output of a probe: collects what it says, has the format render it, and sees it written. */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "field.h"
#include "format.h"
#include "options.h"
#include "out_hist.h"
#include "out_start.h"
#include "process.h"
#include "samples.h"
#include "target.h"
#include "told.h"
#include "writer.h"

struct out {
	const struct probe *probe;
	const struct options *opt;
	const struct out_ops *ops;
	struct out_env env;
	struct out_header *header;
	struct samples *samples;
	struct histograms hists;
	const struct targets *targets;
	struct timespec ts;   /* of the round */
	uint64_t at, base_at; /* CLOCK_MONOTONIC of this round and of the one before it */
	struct buf buf;
	int err; /* what ended the output */
	bool observed, alarmed;

	size_t event_types;
	uint64_t events;
	uint64_t offset,
		offset_at; /* CLOCK_REALTIME - CLOCK_MONOTONIC, and when that was looked up */
	struct kernel *kernel;
	const char *(*symbol)(struct kernel *k, uint64_t address);
	const char *mode;

	struct told told;
	struct target unknown; /* who has what belongs to no known namespace */
};

static const struct out_ops *const formats[] = {
	[OUT_TABLE] = &out_table, [OUT_JSON] = &out_json,
	[OUT_PROM] = &out_prom,   [OUT_OPENMETRICS] = &out_openmetrics,
	[OUT_TSV] = &out_tsv,
};

static uint64_t clock_ns(const struct out *o, clockid_t id)
{
	struct timespec ts;

	o->env.clock(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- what is written ---- */

static int no_memory(struct out *o)
{
	if (!o->err)
		msg_error("out of memory");
	return o->err = -ENOMEM;
}

/* Writes what was rendered; the first error is told and ends the output. */
static int write_rendered(struct out *o)
{
	const char *path = o->opt->write;

	if (o->err)
		return o->err;
	if (o->buf.failed)
		return no_memory(o);
	if (path)
		o->err = file_replace(path, o->buf.data, o->buf.len);
	else
		o->err = process_write(o->env.fd, o->buf.data, o->buf.len);
	if (o->err && o->err != -EPIPE)
		msg_error("write error: %s%s%s", path ? path : "", path ? ": " : "",
			  strerror(-o->err));
	return o->err;
}

/* ---- metrics ---- */

void out_metric(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		const struct label *labels)
{
	const struct target *machine = o->targets ? targets_machine(o->targets) : NULL;

	samples_add(o->samples, m->scope == SCOPE_HOST && machine ? machine : t, m, value, labels);
}

void out_metric_grown(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		      uint64_t grown, const struct label *labels)
{
	out_metric(o, t, m, value, labels);
	samples_grown(o->samples, grown);
}

void out_in_order(struct out *o)
{
	samples_in_order(o->samples);
}

const struct metric *out_extra(struct out *o, const char *key, size_t key_len,
			       const struct metric *like)
{
	return samples_extra(o->samples, key, key_len, like);
}

/* Any target's node is the machine's. */
static const char *node_of(const struct targets *ts)
{
	const struct target *t = targets_machine(ts);

	return t ? t->node : ts->n ? ts->v->node : "-";
}

void out_hist(struct out *o, const struct target *t, const struct hist *h,
	      const struct label *labels, const struct hist_values *now,
	      const struct hist_values *before)
{
	struct histogram hist = { .hist = h, .target = t, .now = *now };

	if (before)
		hist.before = *before;
	if (h->scope == SCOPE_HOST && o->targets)
		hist.target = targets_machine(o->targets);
	if (hist.target && histograms_add(&o->hists, &hist, labels))
		no_memory(o);
}

void out_round(struct out *o, const struct targets *ts)
{
	o->targets = ts;
	o->unknown.node = node_of(ts);
	o->env.clock(CLOCK_REALTIME, &o->ts);
	o->at = clock_ns(o, CLOCK_MONOTONIC);
	samples_begin(o->samples);
	histograms_reset(&o->hists);
	told_deny_reset(&o->told);
}

void out_abort(struct out *o)
{
	samples_begin(o->samples);
}

static void look_for_growth(struct out *o, const struct round *r)
{
	for (size_t i = 0; i < r->nsamples && !o->observed; i++)
		o->observed = r->samples[i].has_delta && r->samples[i].delta;
}

int out_flush(struct out *o, bool show)
{
	struct round r = { .ts = o->ts,
			   .rate = o->opt->interval || o->opt->duration,
			   .elapsed = o->at - o->base_at };
	int err;

	if (o->err)
		return o->err;
	if (o->opt->verbosity > MSG_QUIET)
		told_denied(&o->told);
	err = samples_close(o->samples, &r);
	if (err) {
		samples_begin(o->samples);
		return err;
	}
	r.hists = o->hists.v;
	r.nhists = o->hists.n;
	look_for_growth(o, &r);
	if (show) {
		out_look_at_terminal(&o->env);
		o->buf.len = 0;
		o->ops->round(o, &r, &o->buf);
		buf_str(&o->buf, o->opt->framed ? "\f\n" : "");
		err = write_rendered(o);
	}
	samples_keep(o->samples);
	o->base_at = o->at;
	return err;
}

/* ---- events ---- */

/* With an interval the counters take the events' place; only JSON tells its records apart. */
bool out_shows_events(const struct out *o)
{
	if (o->probe->counting && *o->probe->counting)
		return false;
	return o->ops->event && !o->opt->write && (!o->opt->interval || o->opt->format == OUT_JSON);
}

/* The wall clock at mono_ns. The two clocks drift apart as NTP slews, so their difference is looked up each second. */
static struct timespec event_time(struct out *o, uint64_t mono_ns)
{
	uint64_t now = clock_ns(o, CLOCK_MONOTONIC), ns;

	if (!o->offset_at || now - o->offset_at >= NSEC_PER_SEC) {
		o->offset = clock_ns(o, CLOCK_REALTIME) - now;
		o->offset_at = now;
	}
	ns = mono_ns + o->offset;
	return (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

/* The labels of an event whose namespace is not among the targets. */
static struct target unknown_target(const struct out *o, uint32_t netns, char name[32])
{
	struct target t = o->unknown;

	if (!netns)
		return t;
	snprintf(name, 32, "netns:%" PRIu32, netns);
	t.pod = name;
	t.netns = netns;
	return t;
}

const struct target *out_unknown_target(const struct out *o)
{
	return &o->unknown;
}

void out_event(struct out *o, const struct target *t, const void *record, size_t size)
{
	struct event_header h = { 0 };
	struct target unknown;
	struct timespec ts;
	char name[32];
	bool in_flight;

	if (o->err || !out_shows_events(o))
		return;
	if (size >= sizeof(h))
		h = event_header(record);
	in_flight = h.type & EVENT_IN_FLIGHT;
	if (!in_flight && o->opt->max_events && o->events >= o->opt->max_events)
		return;
	if (size < sizeof(h) || (h.type & ~EVENT_IN_FLIGHT) >= o->event_types) {
		msg_error("the kernel half sent a record of no known event");
		o->err = -EBADMSG;
		return;
	}
	if (!t) {
		unknown = unknown_target(o, h.netns, name);
		t = &unknown;
	}
	ts = event_time(o, h.mono_ns);
	out_look_at_terminal(&o->env);
	o->buf.len = 0;
	o->ops->event(o, t, &ts, record, &o->buf);
	if (write_rendered(o) || in_flight)
		return;
	o->events++;
	o->observed = true;
}

static void tell_lost(struct out *o, struct lost *l)
{
	uint64_t count = l->pending;
	struct timespec ts;

	l->pending = 0;
	l->told = true;
	l->told_at = clock_ns(o, CLOCK_MONOTONIC);
	if (!o->ops->lost || o->opt->write) {
		msg_warn("%" PRIu64 " events lost (%s), %" PRIu64 " in all", count, l->where,
			 l->total);
		return;
	}
	o->env.clock(CLOCK_REALTIME, &ts);
	o->buf.len = 0;
	o->ops->lost(o, &ts, l->where, count, l->total, &o->buf);
	write_rendered(o);
}

void out_lost(struct out *o, const char *where, uint64_t count)
{
	struct lost *l = told_lose(&o->told, where, count);

	if (!l)
		no_memory(o);
	else if (told_lost_due(l, clock_ns(o, CLOCK_MONOTONIC)))
		tell_lost(o, l);
}

/* ---- what is said beside ---- */

void out_denied(struct out *o, const char *things, uint64_t count, uint64_t caps)
{
	if (told_deny(&o->told, things, count, caps))
		no_memory(o);
}

uint64_t out_denied_count(const struct out *o, uint64_t *caps)
{
	*caps = o->told.denied_caps;
	return o->told.denied_total;
}

void out_note(struct out *o, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0 || told_note(&o->told, text))
		no_memory(o);
}

/* ---- life ---- */

static void out_free(struct out *o)
{
	if (o->header) {
		buf_free(&o->header->columns);
		buf_free(&o->header->line);
		free(o->header->widths);
		free(o->header);
	}
	samples_free(o->samples);
	histograms_free(&o->hists);
	buf_free(&o->buf);
	told_free(&o->told);
	free(o);
}

/* Who carries the output on learns what is to come. */
static int greet(struct out *o)
{
	buf_printf(&o->buf, "\fskoop %s\n",
		   o->event_types && out_shows_events(o) ? "stream" : "rounds");
	return write_rendered(o);
}

int out_open(const struct probe *p, const struct options *opt, struct out **out)
{
	struct out *o;
	int err = out_check(p, opt);

	if (err)
		return err;
	o = calloc(1, sizeof(*o));
	if (o) {
		o->header = calloc(1, sizeof(*o->header));
		o->samples = samples_open(p);
	}
	if (!o || !o->header || !o->samples) {
		if (o)
			out_free(o);
		msg_error("out of memory");
		return -ENOMEM;
	}
	o->probe = p;
	o->opt = opt;
	o->ops = formats[opt->format];
	o->env = out_look_around(opt);
	o->unknown = (struct target){ .node = "-", .namespace = "-", .pod = "netns:unknown" };
	while (p->events && p->events[o->event_types].name)
		o->event_types++;
	err = opt->framed ? greet(o) : 0;
	if (err) {
		out_free(o);
		return err;
	}
	*out = o;
	return 0;
}

int out_close(struct out *o)
{
	uint64_t lost = told_lost_total(&o->told);
	int err;

	for (size_t i = 0; i < o->told.nlost; i++)
		if (o->told.lost[i].pending)
			tell_lost(o, &o->told.lost[i]);
	if (lost)
		msg_error("%" PRIu64 " events lost", lost);
	/* A full disk behind the network is sometimes told only now. */
	if (o->env.fd >= 0 && close(o->env.fd) && !o->err) {
		o->err = -errno;
		msg_error("write error: %s", strerror(errno));
	}
	err = o->err;
	out_free(o);
	return err;
}

bool out_observed(const struct out *o)
{
	return o->observed;
}

void out_alarm(struct out *o)
{
	o->alarmed = true;
}

bool out_alarmed(const struct out *o)
{
	return o->alarmed;
}

uint64_t out_events(const struct out *o)
{
	return o->events;
}

int out_error(const struct out *o)
{
	return o->err;
}

int out_fd(const struct out *o)
{
	return o->env.fd;
}

const struct probe *out_probe(const struct out *o)
{
	return o->probe;
}

const struct options *out_options(const struct out *o)
{
	return o->opt;
}

void out_set_env(struct out *o, const struct out_env *env)
{
	o->env = *env;
}

const struct out_env *out_env(const struct out *o)
{
	return &o->env;
}

void out_set_kernel(struct out *o, struct kernel *k,
		    const char *(*symbol)(struct kernel *k, uint64_t address))
{
	o->kernel = k;
	o->symbol = symbol;
}

void out_set_mode(struct out *o, const char *mode)
{
	o->mode = mode;
}

const struct kernel *out_kernel(const struct out *o)
{
	return o->kernel;
}

const char *out_mode(const struct out *o)
{
	return o->mode;
}

const char *out_symbol(const struct out *o, uint64_t address)
{
	return o->symbol ? o->symbol(o->kernel, address) : NULL;
}

struct out_header *out_header(const struct out *o)
{
	return o->header;
}
