// SPDX-License-Identifier: GPL-2.0-or-later
/* Events as a table that grows line by line: its columns have room before the first value is known. */
#include "out_table.h"

#include <string.h>

#include "field.h"
#include "format.h"
#include "options.h"
#include "target.h"

/* Room for what is usual. */
static const struct {
	unsigned int flags;
	size_t width;
} field_columns[] = {
	[F_UINT] = { COL_RIGHT, 6 }, [F_INT] = { COL_RIGHT, 6 },    [F_NS] = { COL_RIGHT, 9 },
	[F_STR] = { 0, 12 },         [F_PROTO] = { 0, 4 },          [F_ADDR] = { COL_WHOLE, 15 },
	[F_PORT] = { COL_RIGHT, 5 }, [F_STATE] = { COL_WHOLE, 11 }, [F_ENUM] = { 0, 16 },
	[F_SYMBOL] = { 0, 24 },      [F_STAGES] = { COL_WHOLE, 0 }, [F_STACK] = { 0, 0 },
};

/* Whether the field is a cell of the line: a stack stands below it. */
static bool in_row(const struct out *o, const struct field *f)
{
	return f->type != F_STACK && (!f->detail || out_options(o)->verbosity >= MSG_VERBOSE);
}

static void event_columns(const struct out *o, struct table *t)
{
	const struct field *f = out_probe(o)->fields;
	size_t longest = 0;

	for (const struct event *e = out_probe(o)->events; e->name; e++)
		if (strlen(e->name) > longest)
			longest = strlen(e->name);
	screen_columns(o, t);
	table_column(t, "event", COL_WHOLE, longest);
	table_column(t, "namespace", 0, 12);
	table_column(t, "pod", 0, 16);
	for (; f && f->name; f++)
		if (in_row(o, f))
			table_column(t, f->name, field_columns[f->type].flags,
				     field_columns[f->type].width);
}

/* INGRESS=0.010ms,PREROUTING+ROUTE=152.118ms */
static void stages_text(const struct field *f, const void *record, struct buf *b)
{
	const char *comma = "";
	uint64_t ns;
	bool known;

	for (size_t i = 0;; comma = ",") {
		struct buf name = { 0 };

		if (!field_stage(f, record, &i, &name, &ns, &known))
			return;
		buf_upper(&name, 0);
		buf_str(b, comma);
		buf_add(b, name.data, name.len);
		buf_str(b, "=");
		buf_free(&name);
		if (known)
			buf_duration(b, ns);
		else
			buf_str(b, "-");
	}
}

static void event_cell(const struct out *o, const struct field *f, const void *record, bool known,
		       struct table *t)
{
	struct buf *b = table_cell(t);

	if (known && f->type == F_NS)
		buf_duration(b, field_uint(f, record));
	else if (known && f->type == F_STAGES)
		stages_text(f, record, b);
	else if (known)
		field_text(o, f, record, b);
	table_end(t);
}

static void add_stack(const struct out *o, const struct field *f, const void *record, struct buf *b)
{
	for (size_t i = 0;; i++) {
		size_t from = b->len;

		buf_str(b, "    ");
		if (!field_frame(o, f, record, i, b)) {
			b->len = from;
			return;
		}
		if (!b->failed)
			buf_plain(b, from);
		buf_str(b, "\n");
		out_header(o)->lines++;
	}
}

void table_event(const struct out *o, const struct target *target, const struct timespec *ts,
		 const void *record, struct buf *b)
{
	const struct field *fields = out_probe(o)->fields;
	struct event_header h = event_header(record);
	struct table t = { 0 };

	event_columns(o, &t);
	screen_row(o, &t, ts);
	table_str(&t, event_name(o, &h));
	table_str(&t, target->namespace);
	table_str(&t, target->pod);
	for (size_t i = 0; fields && fields[i].name; i++)
		if (in_row(o, &fields[i]))
			event_cell(o, &fields[i], record, field_known(record, i), &t);
	screen_print(o, &t, b);
	for (size_t i = 0; fields && fields[i].name; i++)
		if (fields[i].type == F_STACK && field_shown(o, &fields[i]) &&
		    field_known(record, i))
			add_stack(o, &fields[i], record, b);
	table_free(&t);
}
