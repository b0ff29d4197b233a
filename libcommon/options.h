/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options every probe has, parsed by one argp made from the descriptor. */
#ifndef SKOOP_OPTIONS_H
#define SKOOP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

struct probe;

enum out_format { OUT_TABLE, OUT_JSON, OUT_PROM, OUT_OPENMETRICS, OUT_TSV };
enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct options {
	enum out_format format;
	const char *write;     /* -w FILE; NULL: stdout */
	uint64_t interval;     /* ns; 0: none given */
	uint64_t count;        /* rounds; 0: no limit */
	uint64_t duration;     /* ns; 0: none */
	uint64_t max_events;   /* 0: no limit */
	uint64_t threshold;    /* ns; UINT64_MAX: the events' own */
	bool timestamp, no_header, zeros, stack, dist, exit_status;
	int verbosity;         /* enum msg_level */
	enum color_mode color;
	struct target_options target;
	bool describe;
	const char *explain;   /* --explain NAME */
};

/* Who is being started: what --help, --version and messages say, and which options there are. */
/*
 * Parses argv for this probe; its knobs get their values. Prints one line and exits with EXIT_USAGE on bad input,
 * with EXIT_OK after --help or --version (EXIT_FAILED if that could not be written).
 */
void options_parse(int argc, char **argv, const struct probe *p, struct options *opt);

/* Releases what the parser allocated. */
void options_free(struct options *opt);

#endif
