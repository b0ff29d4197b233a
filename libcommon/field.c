// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads the fields of an event record by the probe's descriptor and names their values. */
#include "field.h"

#include <inttypes.h>
#include <string.h>

#include "format.h"
#include "options.h"

struct event_header event_header(const void *record)
{
	struct event_header h;

	memcpy(&h, record, sizeof(h));
	return h;
}

const char *event_name(const struct out *o, const struct event_header *h)
{
	return h->type & EVENT_IN_FLIGHT ? "in_flight" : out_probe(o)->events[h->type].name;
}

bool field_shown(const struct out *o, const struct field *f)
{
	if (f->table_only && out_options(o)->format != OUT_TABLE)
		return false;
	return f->type != F_STACK || out_options(o)->stack;
}

bool field_known(const void *record, size_t i)
{
	return i < 64 && event_header(record).known >> i & 1;
}

bool field_is_number(const struct field *f)
{
	return f->type == F_UINT || f->type == F_INT || f->type == F_NS || f->type == F_PORT;
}

void field_key(const struct field *f, struct buf *b)
{
	buf_str(b, f->name);
	if (f->type == F_NS || f->type == F_STAGES)
		buf_str(b, "_ns");
}

uint64_t field_uint(const struct field *f, const void *record)
{
	const char *at = (const char *)record + f->offset;
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (f->size) {
	case 1: memcpy(&u8, at, sizeof(u8)); return u8;
	case 2: memcpy(&u16, at, sizeof(u16)); return u16;
	case 4: memcpy(&u32, at, sizeof(u32)); return u32;
	default: memcpy(&u64, at, sizeof(u64)); return u64;
	}
}

static int64_t field_int(const struct field *f, const void *record)
{
	uint64_t v = field_uint(f, record);

	switch (f->size) {
	case 1: return (int8_t)v;
	case 2: return (int16_t)v;
	case 4: return (int32_t)v;
	default: return (int64_t)v;
	}
}

static void named(struct buf *b, const char *name, uint64_t value)
{
	if (name)
		buf_str(b, name);
	else
		buf_u64(b, value);
}

static void symbol_text(const struct out *o, uint64_t address, struct buf *b)
{
	const char *name = out_symbol(o, address);

	if (name)
		buf_str(b, name);
	else
		buf_printf(b, "0x%" PRIx64, address);
}

void field_text(const struct out *o, const struct field *f, const void *record, struct buf *b)
{
	const char *at = (const char *)record + f->offset;
	uint64_t v;

	switch (f->type) {
	case F_UINT:
	case F_NS:
	case F_PORT: buf_u64(b, field_uint(f, record)); break;
	case F_INT: buf_i64(b, field_int(f, record)); break;
	case F_STR: buf_add(b, at, strnlen(at, f->size)); break;
	case F_ADDR: buf_address(b, (const uint8_t *)at); break;
	case F_PROTO:
		v = field_uint(f, record);
		named(b, protocol_name((uint8_t)v), v);
		break;
	case F_STATE:
		v = field_uint(f, record);
		named(b, tcp_state_name((uint8_t)v), v);
		break;
	case F_ENUM:
		v = field_uint(f, record);
		named(b, f->names ? f->names(out_kernel(o), v) : NULL, v);
		break;
	case F_SYMBOL: symbol_text(o, field_uint(f, record), b); break;
	case F_STAGES:
	case F_STACK: break; /* lists: see field_stage and field_frame */
	}
}

static uint64_t element(const struct field *f, const void *record, size_t i)
{
	uint64_t v;

	memcpy(&v, (const char *)record + f->offset + i * sizeof(v), sizeof(v));
	return v;
}

bool field_stage(const struct field *f, const void *record, size_t *i, struct buf *b, uint64_t *ns,
		 bool *known)
{
	size_t n = f->size / sizeof(*ns);
	bool any = false;

	*known = false;
	for (; !*known && *i < n && f->stages[*i]; ++*i) {
		uint64_t value = element(f, record, *i);

		if (value == STAGE_ELSEWHERE)
			continue;
		if (any)
			buf_str(b, "+");
		buf_str(b, f->stages[*i]);
		*ns = value;
		*known = value != UINT64_MAX;
		any = true;
	}
	return any;
}

bool field_frame(const struct out *o, const struct field *f, const void *record, size_t i,
		 struct buf *b)
{
	uint64_t address = i < f->size / sizeof(address) ? element(f, record, i) : 0;

	if (address)
		symbol_text(o, address, b);
	return address != 0;
}
