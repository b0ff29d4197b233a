/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names a person may have meant. */
#ifndef SKOOP_NEAREST_H
#define SKOOP_NEAREST_H

#include <stddef.h>

#include "util.h"

/* The names most like `name` are collected while candidates, which must live on, are offered one by one. */
struct nearest {
	const char *name;
	struct {
		const char *text;
		size_t distance;
	} best[3];
	size_t n;
};
void nearest_offer(struct nearest *near, const char *candidate);
/* "; did you mean a, b or c?", or nothing. */
void nearest_print(const struct nearest *near, struct buf *b);

#endif
