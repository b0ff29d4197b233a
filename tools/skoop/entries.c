// SPDX-License-Identifier: GPL-2.0-or-later
/* Everything that has a name and a meaning. */
#include "entries.h"

#include <string.h>
#include <strings.h>

#include "libcommon/array.h"
#include "libcommon/describe.h"

static const char project[] = "kubeskoop_";

static void entry_add(struct entries *es, const struct entry *e)
{
	if (es->failed || array_grow(&es->v, &es->size, es->n + 1))
		es->failed = true;
	else
		es->v[es->n++] = *e;
}

void entries_free(struct entries *es)
{
	free(es->v);
}

static const char *skip(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncasecmp(text, prefix, len) ? NULL : text + len;
}

const char *name_rest(const char *name)
{
	const char *rest = skip(name, project);

	return rest ? rest : name;
}

const char *name_brief(const char *name, const char *prefix)
{
	const char *rest = skip(name_rest(name), prefix);

	return rest && *rest == '_' ? rest + 1 : name;
}

const char *entry_kind(const struct entry *e)
{
	static const char *const kinds[] = {
		[METRIC] = "metric",
		[EVENT] = "event",
		[FIELD_OF_EVENTS] = "field",
		[REASON] = "reason",
	};

	return kinds[e->kind];
}

static void add_metrics(struct entries *es, const struct probe_info *p)
{
	for (size_t i = 0; i < p->nmetrics; i++) {
		const struct probe_metric *m = &p->metrics[i];

		entry_add(es, &(struct entry){ .kind = METRIC,
					       .probe = p->name,
					       .name = m->name,
					       .brief = name_brief(m->name, p->prefix),
					       .key = m->key,
					       .type = m->type,
					       .unit = m->unit,
					       .scope = m->scope,
					       .origin = m->origin,
					       .help = m->help,
					       .advice = m->advice });
	}
}

static void add_events(struct entries *es, const struct probe_info *p)
{
	for (size_t i = 0; i < p->nevents; i++)
		entry_add(es, &(struct entry){ .kind = EVENT,
					       .probe = p->name,
					       .name = p->events[i].name,
					       .help = p->events[i].help,
					       .advice = p->events[i].advice });
	for (size_t i = 0; i < p->nfields; i++)
		if (p->fields[i].help)
			entry_add(es, &(struct entry){ .kind = FIELD_OF_EVENTS,
						       .probe = p->name,
						       .name = p->fields[i].name,
						       .type = p->fields[i].type,
						       .help = p->fields[i].help });
}

static void add_reasons(struct entries *es, const struct probe_info *p)
{
	for (size_t i = 0; i < p->nreasons; i++)
		entry_add(es, &(struct entry){ .kind = REASON,
					       .probe = p->name,
					       .name = p->reasons[i].name,
					       .help = p->reasons[i].advice.means,
					       .kernels = p->reasons[i].kernels,
					       .advice = p->reasons[i].advice });
}

void entries_load(struct entries *es, const struct probes *ps)
{
	for (size_t i = 0; i < ps->n; i++) {
		add_metrics(es, &ps->v[i]);
		add_events(es, &ps->v[i]);
		add_reasons(es, &ps->v[i]);
	}
}

/* The kernel's own spelling: Group:Key, Key, or nstat's GroupKey. */
static bool key_is(const char *key, const char *name)
{
	const char *colon = strchr(key, ':');
	size_t group = colon ? (size_t)(colon - key) : 0;

	if (!strcasecmp(key, name))
		return true;
	return colon && (!strcasecmp(colon + 1, name) ||
			 (!strncasecmp(key, name, group) && !strcasecmp(colon + 1, name + group)));
}

bool entry_is(const struct entry *e, const char *name)
{
	const char *rest = name_rest(name);

	if (e->kind == REASON)
		return reason_is(e->name, name);
	if (e->kind != METRIC)
		return !strcasecmp(e->name, name);
	return !strcasecmp(name_rest(e->name), rest) || !strcasecmp(e->brief, rest) ||
	       (e->key && key_is(e->key, name));
}
