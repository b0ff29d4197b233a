/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kernel may send, made of fuzzed bytes: netlink messages, and text. */
#ifndef TESTS_MESSAGES_H
#define TESTS_MESSAGES_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/probe.h"

/* A tool that is included has no main of its own. */
#undef PROBE_MAIN
#define PROBE_MAIN(p) __attribute__((unused)) static const struct probe *const the_probe = &(p);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Hands the input to cb as one message after another: two bytes of length, then the payload. Each
 * lives in a block of just its size. A refusal must say why.
 */
static inline void messages_each(const uint8_t *data, size_t size, mnl_cb_t cb, void *arg)
{
	while (size >= 2) {
		size_t len = (size_t)(data[0] | data[1] << 8);
		struct nlmsghdr *nlh;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		nlh = malloc(sizeof(*nlh) + len);
		if (!nlh)
			return;
		*nlh = (struct nlmsghdr){ .nlmsg_len = (uint32_t)(sizeof(*nlh) + len),
					  .nlmsg_type = NLMSG_MIN_TYPE };
		memcpy(nlh + 1, data, len);
		errno = 0;
		if (cb(nlh, arg) == MNL_CB_ERROR && errno != EBADMSG)
			abort();
		free(nlh);
		data += len;
		size -= len;
	}
}

/* The input as a text, in a block of just its size. The caller frees it; NULL: out of memory. */
static inline char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text) {
		memcpy(text, data, size);
		text[size] = '\0';
	}
	return text;
}

#endif
