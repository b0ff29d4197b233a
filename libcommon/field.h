/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of an event record, as the probe's descriptor lays them out. For the renderers. */
#ifndef SKOOP_FIELD_H
#define SKOOP_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "out.h"

/* The record's header, copied out: a record need not be aligned. */
struct event_header event_header(const void *record);

/* What stands for the event's name: "in_flight" where it has not ended yet. */
const char *event_name(const struct out *o, const struct event_header *h);

/* Whether this run shows the field at all: a stack only with -K. */
bool field_shown(const struct out *o, const struct field *f);
/* Whether the kernel half gave the i-th field a value. */
bool field_known(const void *record, size_t i);
/* Whether it is a number in JSON and right-aligned in a table. */
bool field_is_number(const struct field *f);
/* Its name in machine formats: durations end in _ns. */
void field_key(const struct field *f, struct buf *b);

/* The value of F_UINT, F_NS, F_PORT, F_PROTO, F_STATE, F_ENUM or F_SYMBOL. */
uint64_t field_uint(const struct field *f, const void *record);
/* The value as plain text, not yet quoted: a name where the number has one. Not for F_STAGES and F_STACK. */
void field_text(const struct out *o, const struct field *f, const void *record, struct buf *b);

/*
 * F_STAGES in path order, `*i` from 0. A stage without a stamp is part of the next one: they come together as
 * "prerouting+route", never as 0; one that is STAGE_ELSEWHERE is left out. Appends the name to b, sets *ns (*known is false where no stamp closes it); false
 * at the end.
 */
bool field_stage(const struct field *f, const void *record, size_t *i, struct buf *b, uint64_t *ns,
		 bool *known);
/* F_STACK: the i-th frame's text is appended to b; false at the end. */
bool field_frame(const struct out *o, const struct field *f, const void *record, size_t i,
		 struct buf *b);

#endif
