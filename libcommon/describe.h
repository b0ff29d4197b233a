/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor as text: for the dispatcher and the generators, and as an explanation for people. */
#ifndef SKOOP_DESCRIBE_H
#define SKOOP_DESCRIBE_H

#include "probe.h"
#include "util.h"

/*
 * --describe: one line a thing, tab-separated, the first word says what it is; tab, newline and backslash in texts as
 * \t \n \\, what there is nothing to say about is empty:
 *   probe   name prefix summary question source overhead needs absent
 *   option  letter name arg group help words complete
 *   metric  full-name type unit scope origin key help means normal causes confirm remedy
 *   event   name help means normal causes confirm remedy
 *   field   name type help
 *   reason  name kernels means normal causes confirm remedy
 * arg: in brackets where it may be left out.
 * origin: contract; extra (ours, always there); all (ours, with -a or an option of its own).
 */
void describe(const struct probe *p, struct buf *b);
/* The line of one option. */
struct option_info;
void describe_option(const struct option_info *info, struct buf *b);

/*
 * --explain NAME: what the metric (full, short or kernel name), event, field or reason of this probe means. False: no
 * such name.
 */
bool explain(const struct probe *p, const char *name, struct buf *b);

/* "  WHAT     text" in lines of at most 80 columns, those after the first indented as far as the text began. */
void explain_wrapped(const char *what, const char *text, struct buf *b);
/* The text for one thing: its name, then what is known of it. */
void explain_advice(const char *name, const char *help, const struct advice *a, struct buf *b);
/* The same for a reason of this probe, and for a field of its events, whose type is as --describe tells it. */
void explain_reason(const char *probe, const struct reason *r, struct buf *b);
void explain_field(const char *name, const char *type, const char *help, struct buf *b);

/*
 * Whether the reason (as its row spells it) is called so: whatever the case, with or without the prefix that the kernel
 * gives all of its kind, or as "SUBSYSTEM REASON".
 */
bool reason_is(const char *reason, const char *name);

#endif
