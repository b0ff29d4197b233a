/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up probe with hostile names, three targets and a clock that stands still: what the output tests print. */
#ifndef MADE_H
#define MADE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/event.h"
#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/target.h"

#define HOSTILE "q\"b\\n\nt\te\033r\rx\xff\xc3y\xc3\xa4"

static const struct metric made_metrics[] = {
	{ "opened", "Made:Opened", COUNTER, "things", "things \"opened\" \\ and\nmore",
	  SCOPE_NETNS },
	{ "level", "Made:Level", GAUGE, "things", "things there", SCOPE_NETNS, M_SIGNED },
	{ "machine", "Made:Machine", COUNTER, "things", "the machine's own", SCOPE_HOST },
	{ "total", "Made:Total", COUNTER, "things", "all of them", SCOPE_NETNS },
	{}
};

struct made_event {
	struct event_header hdr;
	uint64_t latency;
	uint64_t location;
	uint64_t stages[4];
	uint64_t stack[4];
	uint8_t saddr[16], daddr[16];
	int32_t error;
	uint32_t reason;
	uint32_t bytes;
	uint16_t sport, dport;
	uint8_t protocol, state, flag;
	int8_t tiny;
	char comm[16];
	uint64_t big;
};

static const char *made_reason(const struct kernel *k, uint64_t value)
{
	(void)k;
	return value == 5 ? "NO_SOCKET" : NULL;
}

static const char *const made_stages[] = { "ingress", "prerouting", "route", "local_in", NULL };

static const struct field made_fields[] = {
	{ FIELD(made_event, protocol, F_PROTO) },
	{ FIELD(made_event, saddr, F_ADDR) },
	{ FIELD(made_event, sport, F_PORT) },
	{ FIELD(made_event, daddr, F_ADDR) },
	{ FIELD(made_event, dport, F_PORT) },
	{ FIELD(made_event, latency, F_NS) },
	{ FIELD(made_event, stages, F_STAGES), .stages = made_stages },
	{ FIELD(made_event, comm, F_STR) },
	{ FIELD(made_event, state, F_STATE) },
	{ FIELD(made_event, reason, F_ENUM), .names = made_reason },
	{ FIELD(made_event, location, F_SYMBOL) },
	{ FIELD(made_event, error, F_INT) },
	{ FIELD(made_event, tiny, F_INT) },
	{ FIELD(made_event, flag, F_UINT) },
	{ FIELD(made_event, bytes, F_UINT) },
	{ FIELD(made_event, big, F_UINT) },
	{ FIELD(made_event, stack, F_STACK) },
	{}
};

static const struct event made_events[] = { { "MADE_FAST", "something quick" },
					    { "MADE_SLOW", "something slow" },
					    {} };

static const struct probe made_probe __attribute__((unused)) = {
	.name = "made_up",
	.prefix = "made",
	.metrics = made_metrics,
};
static const struct probe made_tracer __attribute__((unused)) = {
	.name = "made_up",
	.prefix = "made",
	.metrics = made_metrics,
	.events = made_events,
	.fields = made_fields,
};

/* Sorted as targets_load() sorts them. */
static struct target made_target[] = {
	{ .node = "node-a", .namespace = "-", .pod = "netns:" HOSTILE, .netns = 4026532300 },
	{ .node = "node-a",
	  .namespace = "hostNetwork",
	  .pod = "hostNetwork",
	  .netns = 4026531840,
	  .host = true },
	{ .node = "node-a", .namespace = "shop", .pod = "web-0" },
};
enum { ODD, HOST, WEB };
static const struct targets made_targets __attribute__((unused)) = {
	.v = made_target,
	.n = 3,
	.host = &made_target[HOST],
	.own = &made_target[HOST],
};

static uint64_t made_realtime = 1795383997123456789, made_monotonic = 81234567890123;

static inline void made_clock(clockid_t id, struct timespec *ts)
{
	uint64_t ns = id == CLOCK_REALTIME ? made_realtime : made_monotonic;

	*ts = (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

static inline const char *made_symbol(struct kernel *k, uint64_t address)
{
	(void)k;
	return address == 0xffffffff81000010 ? "nf_hook_slow+0x10 [x]" : NULL;
}

/* An output whose data lands in a file to be read back. */
struct made {
	struct options opt;
	struct out *o;
	struct out_env env;
	int fd;
	char *text;
};

static inline void made_open(struct made *m, const struct probe *p)
{
	int copy;

	m->fd = memfd_create("out", MFD_CLOEXEC);
	copy = dup(m->fd);
	assert_true(m->fd >= 0 && copy >= 0);
	assert_int_equal(out_open(p, &m->opt, &m->o), 0);
	m->env = (struct out_env){ .clock = made_clock, .fd = copy, .width = 80, .height = 24 };
	out_set_env(m->o, &m->env);
	out_set_kernel(m->o, NULL, made_symbol);
}

/* What was written so far. */
static inline const char *made_text(struct made *m)
{
	off_t len = lseek(m->fd, 0, SEEK_END);

	free(m->text);
	m->text = calloc(1, (size_t)len + 1);
	assert_non_null(m->text);
	assert_int_equal(pread(m->fd, m->text, (size_t)len, 0), len);
	return m->text;
}

static inline void made_close(struct made *m)
{
	assert_int_equal(out_close(m->o), 0);
	free(m->text);
	close(m->fd);
}

/* One round as a probe would give it: `step` is what the counters have grown. */
static inline void made_round(struct out *o, uint64_t step, bool show)
{
	static const struct label eth0[] = { { "device", "eth0" }, {} };
	static const struct label odd[] = { { "device", HOSTILE }, { "kind", "" }, {} };

	out_round(o, &made_targets);
	/* Neither metrics nor targets come in their order. */
	for (int t = WEB; t >= ODD; t--) {
		out_metric(o, &made_target[t], &made_metrics[3], UINT64_MAX - 100 + step, NULL);
		out_metric(o, &made_target[t], &made_metrics[1], t == WEB ? (uint64_t)-1 : 7, NULL);
	}
	out_metric(o, &made_target[WEB], &made_metrics[0], 10 + step, eth0);
	out_metric(o, &made_target[WEB], &made_metrics[0], 0, odd);
	out_metric(o, &made_target[ODD], &made_metrics[0], 3, eth0);
	out_metric(o, &made_target[WEB], &made_metrics[2], 1000 + step, NULL);
	out_metric(o, &made_target[HOST], out_extra(o, "Odd_Key2", 8, &made_metrics[0]), 5, NULL);
	assert_int_equal(out_flush(o, show), 0);
}

static inline struct made_event made_record(void)
{
	return (struct made_event){
		.hdr = { .mono_ns = 81234567890123,
			 .known = ~0ULL,
			 .netns = 4026532111,
			 .type = 1,
			 .cpu = 3 },
		.latency = 10912345,
		.location = 0xffffffff81000010,
		.stages = { 10000, UINT64_MAX, 152118000, 999 },
		.stack = { 0xffffffff81000010, 0xffffffff81000999 },
		.saddr = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 244, [14] = 1, [15] = 7 },
		.daddr = { 0xfd, 0, 0, 9, [15] = 1 },
		.error = -105,
		.reason = 5,
		.bytes = 4000000000,
		.sport = 41822,
		.dport = 53,
		.protocol = 6,
		.state = 12,
		.flag = 200,
		.tiny = -3,
		.comm = "a\"\\\n\033\xffsixteen_b",
		.big = UINT64_MAX,
	};
}

/* All three kinds: everything known, nothing known, numbers without a name. */
static inline void made_stream(struct out *o)
{
	struct made_event e = made_record();

	out_round(o, &made_targets);
	out_event(o, &made_target[WEB], &e, sizeof(e));
	e.hdr.known = 0;
	e.hdr.type = 0;
	e.hdr.mono_ns += 1000000001;
	e.hdr.netns = 0;
	out_event(o, NULL, &e, sizeof(e));
	e.hdr.known = ~0ULL;
	e.hdr.netns = 4026532999;
	e.location = 0xffffffffdeadbeef;
	e.reason = 77;
	e.protocol = 253;
	e.state = 99;
	e.stages[3] = UINT64_MAX;
	e.stack[0] = 0;
	e.comm[0] = '\0';
	memset(e.saddr, 0, sizeof(e.saddr));
	out_event(o, NULL, &e, sizeof(e));
}

/*
 * Compares with tests/fixtures/golden/NAME byte for byte. Run from the top; UPDATE_GOLDEN=1 writes the file anew, to be
 * read before it is committed.
 */
static inline void made_golden(const char *text, const char *name)
{
	char path[256];
	struct buf want = { 0 };
	int fd;

	snprintf(path, sizeof(path), "tests/fixtures/golden/%s", name);
	if (getenv("UPDATE_GOLDEN")) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		assert_int_equal(write(fd, text, strlen(text)), strlen(text));
		close(fd);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(buf_read(&want, fd, 1 << 20), 0);
	close(fd);
	assert_string_equal(text, want.data);
	buf_free(&want);
}

#endif
