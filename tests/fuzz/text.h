/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fuzzer's bytes as a string of their own, so that a read past its end is seen. */
#ifndef SKOOP_TESTS_TEXT_H
#define SKOOP_TESTS_TEXT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
