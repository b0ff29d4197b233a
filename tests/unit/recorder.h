/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An output that keeps what a probe says, for tests that include a tool: each sample is a line
 * "name{label=value,…} number". Include it before the tool, which then has no main of its own.
 */
#ifndef TESTS_RECORDER_H
#define TESTS_RECORDER_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <libmnl/libmnl.h>

#include "libcommon/options.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

#undef PROBE_MAIN
#define PROBE_MAIN(p) __attribute__((unused)) static const struct probe *const the_probe = &(p);

struct out {
	struct buf lines, notes;
	struct options opt;
	struct metric extra;
	char extra_name[32];
	unsigned int alarms;
	uint64_t denied;
};

void out_metric(struct out *o, const struct target *t, const struct metric *m, uint64_t value,
		const struct label *labels)
{
	(void)t;
	buf_str(&o->lines, m->name);
	for (const struct label *l = labels; l && l->name; l++)
		buf_printf(&o->lines, "%c%s=%s", l == labels ? '{' : ',', l->name, l->value);
	buf_printf(&o->lines, "%s %" PRIu64 "\n", labels && labels->name ? "}" : "", value);
}

const struct metric *out_extra(struct out *o, const char *key, size_t key_len,
			       const struct metric *like)
{
	assert_true(key_len < sizeof(o->extra_name));
	snprintf(o->extra_name, sizeof(o->extra_name), "%.*s", (int)key_len, key);
	o->extra = *like;
	o->extra.name = o->extra_name;
	return &o->extra;
}

void out_note(struct out *o, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&o->notes, "%s\n", text);
}

void out_alarm(struct out *o)
{
	o->alarms++;
}

void out_denied(struct out *o, const char *things, uint64_t count, uint64_t caps)
{
	(void)things;
	(void)caps;
	o->denied += count;
}

const struct options *out_options(const struct out *o)
{
	return &o->opt;
}

const struct probe *out_probe(const struct out *o)
{
	(void)o;
	return NULL;
}

static inline void recorder_reset(struct out *o)
{
	buf_free(&o->lines);
	buf_free(&o->notes);
	*o = (struct out){ 0 };
}

/* All lines of the samples are these, in this order. */
static inline void assert_lines(const struct out *o, const char *lines)
{
	assert_string_equal(o->lines.data ? o->lines.data : "", lines);
}

/* A message of exactly its length, so that a read past its end is seen. The caller frees it. */
static inline struct nlmsghdr *message_copy(const struct nlmsghdr *nlh, size_t len)
{
	struct nlmsghdr *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, nlh, len);
	copy->nlmsg_len = (uint32_t)len;
	return copy;
}

/* Whether cb accepts the first `len` bytes of a message; a refusal must be EBADMSG. */
static inline bool accepts(const struct nlmsghdr *nlh, size_t len, mnl_cb_t cb, void *arg)
{
	auto_free struct nlmsghdr *copy = message_copy(nlh, len);

	errno = 0;
	if (cb(copy, arg) == MNL_CB_OK)
		return true;
	assert_int_equal(errno, EBADMSG);
	return false;
}

#endif
