// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads what a probe says of itself; libcommon/describe.h has the form. */
#include "skoop.h"

#include <errno.h>
#include <string.h>

#include "libcommon/array.h"

#define MAX_FIELDS 16

/* Growing lists while they are read. */
struct sizes {
	size_t options, metrics, events, fields, reasons;
};

static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (*from == '\\' && from[1]) {
			from++;
			*to++ = (char)(*from == 't' ? '\t' : *from == 'n' ? '\n' : *from);
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/* Splits a line at its tabs. Empty fields and those that are not there are NULL. */
static void split(char *line, const char *fields[MAX_FIELDS])
{
	for (size_t i = 0; i < MAX_FIELDS; i++) {
		char *field = line ? strsep(&line, "\t") : NULL;

		if (field)
			unescape(field);
		fields[i] = field && *field ? field : NULL;
	}
}

static struct advice advice_of(const char *const f[5])
{
	return (struct advice){
		.means = f[0], .normal = f[1], .causes = f[2], .confirm = f[3], .remedy = f[4]
	};
}

static bool take_probe(struct probe_info *p, const char *const *f)
{
	p->prefix = f[2];
	p->summary = f[3];
	p->question = f[4];
	p->source = f[5];
	p->overhead = f[6];
	p->needs = f[7];
	p->absent = f[8];
	return f[1] && !strcmp(f[1], p->name) && p->prefix;
}

static bool take_option(struct probe_info *p, size_t *size, const char *const *f)
{
	if (!f[2] || array_grow(&p->options, size, p->noptions + 1))
		return false;
	p->options[p->noptions++] = (struct probe_option){ .letter = f[1],
							   .name = f[2],
							   .arg = f[3],
							   .group = f[4],
							   .help = f[5],
							   .words = f[6],
							   .complete = f[7] };
	return true;
}

static bool take_metric(struct probe_info *p, size_t *size, const char *const *f)
{
	if (!f[1] || !f[2] || array_grow(&p->metrics, size, p->nmetrics + 1))
		return false;
	p->metrics[p->nmetrics++] = (struct probe_metric){ .name = f[1],
							   .type = f[2],
							   .unit = f[3],
							   .scope = f[4],
							   .origin = f[5],
							   .key = f[6],
							   .help = f[7],
							   .advice = advice_of(f + 8) };
	return true;
}

static bool take_event(struct probe_info *p, size_t *size, const char *const *f)
{
	if (!f[1] || array_grow(&p->events, size, p->nevents + 1))
		return false;
	p->events[p->nevents++] = (struct probe_event){ .name = f[1],
							.help = f[2],
							.advice = advice_of(f + 3) };
	return true;
}

static bool take_field(struct probe_info *p, size_t *size, const char *const *f)
{
	if (!f[1] || !f[2] || array_grow(&p->fields, size, p->nfields + 1))
		return false;
	p->fields[p->nfields++] = (struct probe_field){ .name = f[1], .type = f[2], .help = f[3] };
	return true;
}

static bool take_reason(struct probe_info *p, size_t *size, const char *const *f)
{
	if (!f[1] || array_grow(&p->reasons, size, p->nreasons + 1))
		return false;
	p->reasons[p->nreasons++] = (struct reason){ .name = f[1],
						     .kernels = f[2],
						     .advice = advice_of(f + 3) };
	return true;
}

/* Kinds of lines this program does not know are a newer probe's; they are passed over. */
static bool take_line(struct probe_info *p, struct sizes *sizes, char *line, bool first)
{
	const char *f[MAX_FIELDS];

	split(line, f);
	if (first)
		return f[0] && !strcmp(f[0], "probe") && take_probe(p, f);
	if (f[0] && !strcmp(f[0], "option"))
		return take_option(p, &sizes->options, f);
	if (f[0] && !strcmp(f[0], "metric"))
		return take_metric(p, &sizes->metrics, f);
	if (f[0] && !strcmp(f[0], "event"))
		return take_event(p, &sizes->events, f);
	if (f[0] && !strcmp(f[0], "field"))
		return take_field(p, &sizes->fields, f);
	if (f[0] && !strcmp(f[0], "reason"))
		return take_reason(p, &sizes->reasons, f);
	return true;
}

bool probe_parse(struct probe_info *p, char *text)
{
	struct sizes sizes = { 0 };
	bool first = true;

	p->text = text;
	for (char *line; (line = strsep(&text, "\n")) && *line; first = false)
		if (!take_line(p, &sizes, line, first))
			return false;
	return !first;
}
