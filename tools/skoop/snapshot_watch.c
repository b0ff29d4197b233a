// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The window of a snapshot. The probes that trace are there before the counters are read for the first time and until
 * they are read again, so that whatever grew they have seen.
 */
#include "snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "child.h"
#include "libcommon/array.h"
#include "libcommon/process.h"

/* What the probes' own work may add to the window before they are given up. */
#define PATIENCE (60 * NSEC_PER_SEC)
/* So long to attach, and to tell the last when asked to end. */
#define ATTACHING (20 * NSEC_PER_SEC)

/*
 * Whom we ask. Those that read counters are asked for two rounds; a row of findings.def that needs more than these say needs
 * a line here. Those that trace count in the kernel where they can: a storm of drops comes as few lines at the end.
 */
static const struct source {
	const char *probe, *args[8];
	bool traces;
	enum who_kind kind;
} sources[] = {
	{ "conntrack", { "-a" } },
	{ "fd", { "--by", "pid", "-a" } },
	/* For the machine's pressure: what processes it may not read does not matter. */
	{ "io", { "-a", "-q" } },
	{ "ip", { "-a" } },
	{ "ipvs", { "--services" } },
	{ "netdev", { "-a" } },
	{ "packetloss", { "-C", "--by", "reason,location,tuple,device" }, true, WHO_DROPS },
	{ "qdisc", { "--tree", "-a" } },
	{ "sock", { "-a" } },
	{ "softnet", { "--per-cpu", "-a" } },
	{ "tcp", { "-a" } },
	{ "tcpext", { "-a" } },
	{ "tcpreset", { NULL }, true, WHO_RESETS },
	{ "tcpretrans", { NULL }, true, WHO_RESENDS },
	{ "tcpsummary", { "--states", "--listen", "--worst", "--by", "peer", "--top", "20" } },
	{ "udp", { "-a" } },
};
_Static_assert(ARRAY_SIZE(sources) <= INPUTS_MAX, "no room for all sources");

/* ---- starting ---- */

/* Arguments of one child; the texts live elsewhere. */
struct args {
	const char **v;
	size_t n, size;
	bool failed;
};

static void args_add(struct args *a, const char *text)
{
	if (a->failed || array_grow(&a->v, &a->size, a->n + 2)) {
		a->failed = true;
		return;
	}
	a->v[a->n++] = text;
	a->v[a->n] = NULL;
}

static void args_option(struct args *a, const char *option, const char *value)
{
	if (!value)
		return;
	args_add(a, option);
	args_add(a, value);
}

/* The options for targets, as they were given. */
static void args_targets(struct args *a, const struct target_options *t)
{
	static const char *const options[] = {
		[SEL_NETNS] = "-n", [SEL_PID] = "-p", [SEL_CONTAINER] = "-c", [SEL_POD] = "-P"
	};

	for (size_t i = 0; i < t->nselectors; i++) {
		if (t->selectors[i].kind == SEL_HOST)
			args_add(a, "--host");
		else
			args_option(a, options[t->selectors[i].kind], t->selectors[i].text);
	}
	if (t->all)
		args_add(a, "-A");
	args_option(a, "--procfs", t->procfs);
	args_option(a, "--sysfs", t->sysfs);
	args_option(a, "--rootfs", t->rootfs);
	args_option(a, "--pod-logs", t->pod_logs);
	args_option(a, "--host-netns", t->host_netns);
	args_option(a, "--node", t->node);
}

static void args_make(struct args *a, const struct snapshot *s, const struct source *from,
		      const char *interval)
{
	/* With -v it says when it has begun; --framed tells that from what is worth a warning. */
	if (from->traces)
		args_add(a, "--framed");
	for (const char *const *arg = from->args; *arg; arg++)
		args_add(a, *arg);
	args_targets(a, &s->opt.target);
	args_option(a, "-o", "json");
	if (from->traces || s->opt.verbosity > MSG_NORMAL)
		args_add(a, "-v");
	if (from->traces)
		return;
	args_add(a, interval);
	args_add(a, "2");
}

static int input_start(struct snapshot *s, struct children *cs, size_t i)
{
	const struct probe_info *info = probes_get(&s->probes, sources[i].probe);
	struct input *in = &s->v[i];
	struct args a = { 0 };
	char interval[32];
	int err;

	if (!info) {
		buf_printf(&in->said, "skoop-%s is not installed", in->probe);
		in->code = EXIT_UNSUPPORTED;
		in->ended = true;
		return 0;
	}
	snprintf(interval, sizeof(interval), "%" PRIu64 ".%09" PRIu64,
		 (uint64_t)(s->opt.interval / NSEC_PER_SEC),
		 (uint64_t)(s->opt.interval % NSEC_PER_SEC));
	args_make(&a, s, &sources[i], interval);
	if (a.failed)
		msg_error("out of memory");
	err = a.failed ? -ENOMEM : children_add(cs, info->path, a.v, in);
	if (!err)
		in->child = children_get(cs, children_count(cs) - 1);
	free(a.v);
	return err;
}

static int start_those(struct snapshot *s, struct children *cs, bool that_trace)
{
	int err = 0;

	for (size_t i = 0; i < s->n && !err; i++)
		if (s->v[i].traces == that_trace)
			err = input_start(s, cs, i);
	return err;
}

/* ---- listening ---- */

static int take_line(struct child *c, char *line, size_t len, void *arg)
{
	struct snapshot *s = arg;
	struct input *in = c->data;
	int err;

	if (in->traces && *line == '\f')
		return 0;
	err = store_feed(&in->sender, line, len);
	if (!err && in->traces)
		err = who_feed(s->who, in->kind, line, len);
	if (err == -ENOMEM) {
		msg_error("out of memory");
		return err;
	}
	if (err && !in->code) {
		buf_printf(&in->said, "%swhat it says is not understood", in->said.len ? "; " : "");
		in->code = EXIT_FAILED;
		child_kill(c);
	}
	return 0;
}

static void take_message(struct child *c, const char *line, void *arg)
{
	const struct snapshot *s = arg;
	struct input *in = c->data;
	size_t len = strlen(c->name);

	if (!strncmp(line, c->name, len) && !strncmp(line + len, ": ", 2))
		line += len + 2;
	in->attached |= c->aside && !strcmp(line, "attached");
	if (s->opt.verbosity > MSG_NORMAL) {
		msg_verbose("%s: %s", in->probe, line);
	} else if (!c->aside) {
		buf_str(&in->said, in->said.len ? "; " : "");
		in->last = in->said.len;
		buf_str(&in->said, line);
	}
}

/* One that cannot run says so last; what it warned of before is of no interest any more. */
static void keep_reason(struct input *in)
{
	if (!in->last)
		return;
	in->said.len -= in->last;
	memmove(in->said.data, in->said.data + in->last, in->said.len + 1);
}

static int take_end(struct child *c, void *arg)
{
	struct input *in = c->data;

	(void)arg;
	in->ended = true;
	if (!in->code)
		in->code = c->code;
	if (in->traces && in->code == EXIT_PRIVILEGE)
		keep_reason(in);
	return 0;
}

/* ---- the window ---- */

/* Whether any of this kind is still to be waited for. */
static bool attaching(const struct snapshot *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].traces && !s->v[i].ended && !s->v[i].attached)
			return true;
	return false;
}

static bool reading(const struct snapshot *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].traces && !s->v[i].ended)
			return true;
	return false;
}

/* Steps while there is one to wait for. 0 or -errno, -ETIME: too long. */
static int wait_while(bool (*busy)(const struct snapshot *s), const struct snapshot *s,
		      struct children *cs, uint64_t due)
{
	int ret = 1;

	while (ret == 1 && busy(s))
		ret = children_step(cs, due);
	return ret == 1 ? 0 : ret;
}

static void give_up(struct input *in, const char *what)
{
	buf_printf(&in->said, "%s%s", in->said.len ? "; " : "", what);
	in->code = EXIT_FAILED;
	child_kill(in->child);
}

static void give_up_those(struct snapshot *s, bool that_trace, const char *what)
{
	for (size_t i = 0; i < s->n; i++) {
		struct input *in = &s->v[i];

		if (in->traces == that_trace && !in->ended && in->child &&
		    !(that_trace && in->attached))
			give_up(in, what);
	}
}

static int begin(struct snapshot *s, struct children *cs)
{
	int err = start_those(s, cs, true);

	if (!err)
		err = wait_while(attaching, s, cs, process_now() + ATTACHING);
	if (err == -ETIME) {
		give_up_those(s, true, "did not attach in time");
		err = 0;
	}
	return err ? err : start_those(s, cs, false);
}

static int end(struct snapshot *s, struct children *cs)
{
	int err;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].traces && s->v[i].child && !s->v[i].ended)
			child_signal(s->v[i].child, SIGTERM);
	err = children_run(cs, process_now() + ATTACHING);
	for (size_t i = 0; i < s->n && err == -ETIME; i++)
		if (!s->v[i].ended && s->v[i].child)
			give_up(&s->v[i], "did not end in time");
	return err == -ETIME ? 0 : err;
}

int snapshot_watch(struct snapshot *s)
{
	static const struct children_ops ops = { take_line, take_message, take_end };
	struct children *cs;
	int err = children_open(&ops, s, STDOUT_FILENO, &cs);

	s->n = ARRAY_SIZE(sources);
	for (size_t i = 0; i < s->n; i++) {
		s->v[i] = (struct input){ .probe = sources[i].probe,
					  .traces = sources[i].traces,
					  .kind = sources[i].kind };
		s->v[i].sender = (struct sender){ .store = s->store,
						  .since_start = sources[i].traces };
	}
	if (err)
		return err;
	err = begin(s, cs);
	if (!err)
		err = wait_while(reading, s, cs, process_now() + s->opt.interval + PATIENCE);
	if (err == -ETIME) {
		give_up_those(s, false, "did not answer in time");
		err = 0;
	}
	if (!err)
		err = end(s, cs);
	children_close(cs);
	return err;
}
