/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the harnesses of the counter files share: the input as text, and what a walk may hand out. */
#ifndef SKOOP_FUZZ_FORM_H
#define SKOOP_FUZZ_FORM_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/proctext.h"

static int check_pair(const struct pair *pair, void *arg)
{
	size_t *left = arg;

	if (!pair->key_len || pair->key_len > PAIR_KEY_MAX || memchr(pair->key, '\n', pair->key_len))
		abort();
	/* A walk that is stopped must stop, and say by whom. */
	return (*left)-- ? 0 : 1;
}

/* Walks each of these groups (ended by NULL) of the text, in whole and until its third pair. */
static void check_form(pairs_fn form, const uint8_t *data, size_t size, const char *const *groups)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (; *groups; groups++) {
		size_t all = SIZE_MAX, three = 3;
		int whole = form(text, *groups, check_pair, &all),
		    part = form(text, *groups, check_pair, &three);

		if (whole != 0 && whole != -ENOENT && whole != -EBADMSG)
			abort();
		if (part == 1 ? SIZE_MAX - all < 3 && whole == 0 : part != whole)
			abort();
	}
	free(text);
}

#endif
