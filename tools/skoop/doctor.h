/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about the machine, for `skoop doctor`. */
#ifndef SKOOP_DOCTOR_H
#define SKOOP_DOCTOR_H

#include "skoop.h"

struct roots;

struct fact {
	const char *name;
	void (*say)(const struct roots *roots, struct buf *b);
};
extern const struct fact facts[]; /* ended by a NULL name */

#endif
