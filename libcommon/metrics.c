// SPDX-License-Identifier: GPL-2.0-or-later
/* The probe's table of metrics, and those made for -a from what the kernel calls them. */
#include "metrics.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Set in the flags of a metric made here, beside enum metric_flags. */
#define M_MADE 0x10000U

static const char as_named[] = ", as the kernel names it";

struct extra {
	struct metric m;
	size_t index;
	const char *key;
	size_t key_len;
	char text[];
};

static bool in_table(const struct metrics *ms, const struct metric *m)
{
	return ms->ntable && (uintptr_t)m >= (uintptr_t)ms->table &&
	       (uintptr_t)m < (uintptr_t)(ms->table + ms->ntable);
}

bool metrics_has(const struct metrics *ms, const struct metric *m)
{
	return in_table(ms, m) || m->flags & M_MADE;
}

size_t metrics_index(const struct metrics *ms, const struct metric *m)
{
	if (in_table(ms, m))
		return (size_t)(m - ms->table);
	return ((const struct extra *)m)->index;
}

static const struct metric *find_key(struct metrics *ms, const char *key, size_t len)
{
	size_t n = ms->n - ms->ntable;

	for (size_t i = 0; i < n; i++) {
		size_t at = (ms->next_extra + i) % n;
		const struct extra *e = (const struct extra *)ms->v[ms->ntable + at];

		if (e->key_len == len && !memcmp(e->key, key, len)) {
			ms->next_extra = at + 1;
			return &e->m;
		}
	}
	return NULL;
}

static const struct metric *find_name(const struct metrics *ms, const char *name)
{
	for (size_t i = 0; i < ms->n; i++)
		if (!strcmp(ms->v[i]->name, name))
			return ms->v[i];
	return NULL;
}

/* Its texts: the help, which begins with the key, and the name. NULL: out of memory. */
static struct extra *make_extra(const char *key, size_t len, const struct metric *like)
{
	struct extra *e = calloc(1, sizeof(*e) + len + sizeof(as_named) + len + 1);
	char *p;

	if (!e)
		return NULL;
	p = e->text;
	e->m = (struct metric){ .help = p,
				.type = like->type,
				.unit = like->unit,
				.scope = like->scope,
				.flags = M_ALL | M_MADE | (like->flags & M_SIGNED) };
	e->key = p;
	e->key_len = len;
	memcpy(p, key, len);
	p += len;
	memcpy(p, as_named, sizeof(as_named));
	p += sizeof(as_named);
	e->m.name = p;
	for (size_t i = 0; i < len; i++) {
		char c = key[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			*p++ = c;
	}
	return e;
}

int metrics_extra(struct metrics *ms, const char *key, size_t key_len, const struct metric *like,
		  const struct metric **m)
{
	const struct metric **more;
	struct extra *e;

	*m = find_key(ms, key, key_len);
	if (*m)
		return 0;
	more = reallocarray(ms->v, ms->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	ms->v = more;
	e = make_extra(key, key_len, like);
	if (!e)
		return -ENOMEM;
	/* Two spellings of one name are one metric: its family may not come twice. */
	*m = find_name(ms, e->m.name);
	if (*m || !*e->m.name) {
		free(e);
		return *m ? 0 : -EINVAL;
	}
	e->index = ms->n;
	ms->v[ms->n++] = &e->m;
	*m = &e->m;
	return 0;
}

int metrics_open(struct metrics *ms, const struct metric *table)
{
	*ms = (struct metrics){ .table = table };
	while (table && table[ms->ntable].name)
		ms->ntable++;
	ms->v = calloc(ms->ntable + 1, sizeof(*ms->v));
	if (!ms->v)
		return -ENOMEM;
	for (; ms->n < ms->ntable; ms->n++)
		ms->v[ms->n] = &table[ms->n];
	return 0;
}

void metrics_free(struct metrics *ms)
{
	for (size_t i = ms->ntable; i < ms->n; i++)
		free((void *)ms->v[i]);
	free(ms->v);
	*ms = (struct metrics){ 0 };
}
