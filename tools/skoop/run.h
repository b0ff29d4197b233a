/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `skoop run`: which probes, and which options each of them gets. */
#ifndef SKOOP_RUN_H
#define SKOOP_RUN_H

#include "skoop.h"

#include "libcommon/options.h"

struct run_plan {
	struct probes probes;       /* all that were found */
	struct probe_info **chosen; /* in the order asked for */
	size_t n;
	struct run_args {
		const char **v; /* NULL-terminated */
		size_t n, size;
	} * args;           /* of each of them */
	struct options opt; /* as the command line says, for the whole */
	char **made;        /* texts put together here */
	size_t nmade, made_size;
};

/* What follows returns a negative value to go on; else the exit code, and all has been said. */

/* Finds the probes of the list. */
int run_choose(struct run_plan *plan, const char *list);
/* Has them describe themselves, if they have not yet. */
int run_describe(struct run_plan *plan);
/* Whether the list has a word for several probes. */
bool run_names_group(const char *list);
int run_no_memory(void);

/* All of it: the list, options, arguments, and what has to fit together. Free it in any case. */
int run_plan_make(int argc, char **argv, const char *help, struct run_plan *plan);
void run_plan_free(struct run_plan *plan);

#endif
