/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both forms of the report go by: the order of findings, and which commands are worth naming.
 */
#ifndef SKOOP_REPORT_ORDER_H
#define SKOOP_REPORT_ORDER_H

#include "report.h"

/* Those that stand by themselves, worst first, ended by NULL; to be freed. NULL: out of memory. */
const struct finding **finding_order(const struct findings *f);
/* The next consequence of `top` from index *i on, NULL: there are no more. */
const struct finding *finding_below(const struct findings *f, const struct finding *top, size_t *i);
/* Which of a finding's commands comes next; { 0 }: the first. */
struct commands {
	size_t next, given;
};
/* Adds the next command that can be run here; false: there are no more. */
bool finding_command(const struct report *r, const struct finding *f, struct commands *c,
		     struct buf *b);
/* The network namespaces that were seen. */
size_t subject_count(const struct store *s);

#endif
