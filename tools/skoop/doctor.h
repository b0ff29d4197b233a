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

/* ---- facts_bpf.c ---- */

void say_bpf(const struct roots *roots, struct buf *b);
void say_symbols(const struct roots *roots, struct buf *b);
void say_kprobes(const struct roots *roots, struct buf *b);
void say_fentry(const struct roots *roots, struct buf *b);

/* ---- doctor_hooks.c: where a probe that traces has attached itself, as it says with -v ---- */

struct hook_told {
	char *name;
	char *by;      /* the kind of program; NULL: none */
	char *refused; /* what was tried before, and why it was not taken; NULL: nothing */
	bool needed;   /* by this kernel */
};
struct hooks_told {
	struct hook_told *v;
	size_t n, size;
	bool failed;
};
/* Takes a line without the program's name; those that speak of no hook are passed over. */
void hooks_take(struct hooks_told *hs, const char *line);
void hooks_json(const struct hooks_told *hs, struct buf *b);
void hooks_free(struct hooks_told *hs);

#endif
