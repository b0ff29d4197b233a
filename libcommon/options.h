/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options every probe has, and the probe's own, parsed by one argp made from the descriptor. */
#ifndef SKOOP_OPTIONS_H
#define SKOOP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"

struct probe;

enum out_format { OUT_TABLE, OUT_JSON, OUT_PROM, OUT_OPENMETRICS, OUT_TSV };
enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

#define THRESHOLD_DEFAULT UINT64_MAX

struct options {
	enum out_format format;
	const char *write;   /* -w FILE, NULL: stdout */
	uint64_t interval;   /* ns, 0: none given */
	uint64_t count;      /* rounds, 0: no limit */
	uint64_t duration;   /* ns, 0: none */
	uint64_t max_events; /* 0: no limit */
	uint64_t threshold;  /* ns, THRESHOLD_DEFAULT: each event's own */
	uint64_t buffer;     /* bytes of the event buffer, 0: the usual size */
	const char *hooks;   /* kinds of hooks to choose from, NULL: all */
	bool timestamp, no_header, zeros, stack, dist, exit_status;
	int verbosity; /* enum msg_level */
	enum color_mode color;
	struct target_options target;
	const char *explain; /* --explain NAME: print what it means and end */
	bool describe;       /* --describe: print the descriptor and end */
	bool framed; /* --framed: for a program that carries the output on, see out_open() */
	bool given;  /* --targets: the first round's targets are on stdin, see target_pass.h */
};

/*
 * Parses argv for this probe; its knobs get their values. Ends the program with EXIT_USAGE after one line on bad
 * input, with EXIT_OK after --help and --version (EXIT_FAILED if that could not be written). A program without
 * metrics and events (a dispatcher's command) has only the options for targets and output.
 */
void options_parse(int argc, char **argv, const struct probe *p, struct options *opt);
void options_free(struct options *opt);

/* One option as help, manual and completions show it. */
struct option_info {
	int key; /* its letter, 0: none */
	const char *name, *arg, *help;
	const char *group; /* its heading: "This probe:", "What to look at:", "Output:", "Running:" */
	const char *const *words; /* the values it takes, NULL-terminated; NULL: free text */
	/* what a free value names: "file", "netns", "pid", "pod", "container", "metric"; NULL: nothing */
	const char *complete;
	bool optional; /* the value may be left out; then it follows = only */
};

/* Hands each option of this probe to fn, its own first. Hidden ones are left out. */
void options_each(const struct probe *p, void (*fn)(const struct option_info *info, void *arg),
		  void *arg);

#endif
