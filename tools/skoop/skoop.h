/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dispatcher's rooms: each command is a file, and what two commands share is here. The
 * dispatcher starts probes and carries their lines; it measures nothing itself and knows no probe
 * by name.
 */
#ifndef SKOOP_SKOOP_H
#define SKOOP_SKOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libcommon/nearest.h"
#include "libcommon/probe.h"
#include "libcommon/util.h"

/* ---- commands: argv[0] is "skoop NAME", as messages show it; they return an exit code ---- */

int cmd_doctor(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_targets(int argc, char **argv);

/*
 * All there is to say, at the end of a command: writes b to stdout, which is closed, and frees it.
 * EXIT_OK, also where the reader left; EXIT_FAILED after one msg_error.
 */
int print_buf(struct buf *b);

/* A command with few options: -h, what it `has` of the others, and max_args arguments at most. */
enum { PLAIN_JSON = 1, PLAIN_COMPLETE = 2, PLAIN_TIMEOUT = 4 };
struct plain_command {
	const char *help; /* above its options */
	unsigned int has;
	int max_args;
};
struct plain_options {
	bool json;     /* JSON Lines */
	bool complete; /* words for a shell's completion, a tab, what they are; silent on errors */
	uint64_t timeout; /* ns */
	char *arg;
};
/* A negative value: go on; else the exit code, and all has been said. */
int plain_options(int argc, char **argv, const struct plain_command *command,
		  struct plain_options *opt);
/* --describe of a command whose options are made like a probe's. An exit code. */
int command_describe(const struct probe *command);

/* Settles the table's columns and adds all of it to b. */
struct table;
void table_show(struct table *t, struct buf *b);

/* Becomes another program. Returns only if it cannot: an exit code after one msg_error. */
int program_exec(const char *path, char **argv);
/* Becomes the manual viewer, if there is one and it has the page. */
void manual_show(const char *page);
/* The manual page of the probe, else its --help. An exit code. */
int probe_help(const char *name);

/* ---- probes: the skoop-* programs beside this one, then those in $SKOOP_EXEC_PATH ---- */

/* What a probe says of itself (--describe). Texts it has nothing to say in are NULL. */
struct probe_option {
	const char *letter, *name, *arg, *group, *help, *words, *complete;
};

struct probe_metric {
	const char *name; /* in full */
	const char *type, *unit, *scope, *origin, *key, *help;
	struct advice advice;
};

struct probe_event {
	const char *name, *help;
	struct advice advice;
};

struct probe_field {
	const char *name, *type, *help;
};

struct probe_info {
	char *name; /* after skoop- */
	char *path;
	bool described; /* what follows is filled in */
	const char *prefix, *summary, *question, *source, *overhead, *needs, *absent;
	struct probe_option *options;
	size_t noptions;
	struct probe_metric *metrics;
	size_t nmetrics;
	struct probe_event *events;
	size_t nevents;
	struct probe_field *fields;
	size_t nfields;
	struct reason *reasons;
	size_t nreasons;
	char *text; /* owns the texts */
};

struct probes {
	struct probe_info *v; /* by name */
	size_t n;
};

/* Looks for programs named skoop-*; starts none. 0 or -errno after one msg_error. */
int probes_find(struct probes *ps);
void probes_free(struct probes *ps);
/* Whether it traces the kernel: it runs until it is told to end, also where it has no events. */
bool probe_traces(const struct probe_info *p);
/* NULL: there is none of that name. */
struct probe_info *probes_get(const struct probes *ps, const char *name);

/*
 * Asks those of the n not asked before for --describe, all at a time. One that does not answer
 * stays undescribed. 0; -EINTR: asked to stop; other -errno after one msg_error.
 */
int probes_describe(struct probe_info *const *v, size_t n);
/* The same for all; those that do not answer are dropped, after one msg_warn each. */
int probes_describe_all(struct probes *ps);
/*
 * Has each program look at its arguments (args[i], NULL-terminated) without acting on them.
 * -EINVAL: one did not like them, and said so; else as probes_describe().
 */
int probes_check(struct probe_info *const *v, size_t n, const char *const *const *args);
/* Reads the answer to --describe, whose texts it takes over. False: it is none. */
bool probe_parse(struct probe_info *p, char *text);

/* ---- children: started together, their lines carried by one loop ---- */

struct child {
	const char *name; /* the program's, for messages: skoop-tcp */
	size_t index;     /* in order of children_add */
	void *data;       /* the caller's */
	bool ended;
	int code;   /* then: its exit code, EXIT_FAILED where it died or broke off */
	int signal; /* and what killed it, 0: nothing */
	bool said,
		told; /* something on stderr; and the last of it was passed on: no other had said it */
	bool cut_short; /* it died by the signal that asked it to end */
	bool aside;     /* the message being handed over is one of -v */
	/* child.c's and children.c's own */
	bool failed, killed, silent;
	pid_t pid;
	int out, err;
	struct buf out_line, err_line; /* a line not yet whole */
};

struct children_ops {
	/*
	 * A whole line of its stdout, NUL-terminated, without the newline; the text is the loop's.
	 * Not 0 ends the loop with that value.
	 */
	int (*line)(struct child *c, char *line, size_t len, void *arg);
	/*
	 * The same for stderr; NULL: passed on to stderr, each text once. c->aside: it is only said
	 * with -v, as far as the child is run with --framed.
	 */
	void (*message)(struct child *c, const char *line, void *arg);
	/*
	 * It has ended and all of its lines were handed over. A death by signal has been reported.
	 * Not 0 ends the loop. May be NULL.
	 */
	int (*ended)(struct child *c, void *arg);
	bool silent; /* deaths and cut lines are not reported: their exit code is enough */
};

struct children;

/*
 * watch: the descriptor the lines are for, whose reader may leave; -1: none. 0 or -errno after one
 * msg_error.
 */
int children_open(const struct children_ops *ops, void *arg, int watch, struct children **cs);
/*
 * What is found of the targets these options choose, to be the stdin of those added from now on:
 * they are run with
 * --targets and need not look for themselves. A negative value: go on; else an exit code, after one
 * msg_error.
 */
struct target_options;
int children_targets(struct children *cs, const struct target_options *opt);
/*
 * Starts PATH with args (NULL-terminated, without argv[0]; NULL: none): stdin empty, stdout and
 * stderr read by the loop, no other descriptor; it dies with this process. 0 or -errno after one
 * msg_error.
 */
int children_add(struct children *cs, const char *path, const char *const *args, void *data);
size_t children_count(const struct children *cs);
struct child *children_get(struct children *cs, size_t i);

/*
 * Waits until there is something to carry, and carries it. 1: go on; 0: all have ended; -ETIME: it
 * is `due` (process_now() time); -EINTR: a signal asked to stop (told once); -EPIPE: the reader of
 * `watch` left; or what a callback said.
 */
int children_step(struct children *cs, uint64_t due);
/* Steps until it is something else than 1. */
int children_run(struct children *cs, uint64_t due);
/*
 * How long an end may take that was asked for: kernel programs are detached, last counters printed.
 */
#define CHILDREN_GRACE (5 * NSEC_PER_SEC)
/* Asks all to end (SIGTERM); go on with steps to hear their last lines. */
void children_ask(struct children *cs);
/* Kills those that have not ended, with a message each; go on with steps. */
void children_kill(struct children *cs);
/* Kills one, without a word. */
void child_kill(struct child *c);
/* Ends what still runs, unheard, and waits for it. cs may be NULL. */
void children_close(struct children *cs);

/* ---- explanations ---- */

/* What the finding of `snapshot` with this id means; false: there is none. */
bool finding_explain(const char *name, struct buf *b);
/* The id of the i-th finding and what it says in short; NULL: there are no more. */
const char *finding_name(size_t i, const char **title);

#endif
