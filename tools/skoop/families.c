// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Expositions joined family by family: one HELP, one TYPE, all samples below. A metric comes from
 * one probe as a rule; where two have a family of that name, they must mean the same by it, and no
 * series may stand there twice.
 */
#include "merge.h"

#include <string.h>

#include "libcommon/array.h"

/* The lines above the samples, in their order. */
static const char *const heads[] = { "# HELP ", "# TYPE ", "# UNIT " };
enum { HELP, TYPE, UNIT, NHEADS };
#define HEAD_LEN 7

struct line {
	const char *text; /* NULL: there is none */
	size_t len;       /* without its newline, which is there */
};

struct family {
	const char *name;
	size_t name_len;
	struct line head[NHEADS];
	const struct feed *from;
	bool refused, told; /* of the feed that is being read */
	struct buf samples;
};

struct families {
	struct family *v;
	size_t n, size;
	size_t current; /* whose samples follow; SIZE_MAX: none's */
	bool failed;
};

static struct family *family_get(struct families *fs, const struct feed *f, const char *name,
				 size_t len)
{
	struct family *fam;

	for (size_t i = 0; i < fs->n; i++) {
		fam = &fs->v[i];
		if (fam->name_len == len && !memcmp(fam->name, name, len)) {
			fs->current = i;
			return fam;
		}
	}
	if (array_grow(&fs->v, &fs->size, fs->n + 1)) {
		fs->failed = true;
		return NULL;
	}
	fs->current = fs->n++;
	fam = &fs->v[fs->current];
	*fam = (struct family){ .name = name, .name_len = len, .from = f };
	return fam;
}

static void take_head(struct merge *m, struct family *fam, const struct feed *f, int kind,
		      const struct line *l)
{
	struct line *have = &fam->head[kind];

	if (fam->from == f) {
		*have = *l;
	} else if (kind == TYPE && (have->len != l->len || memcmp(have->text, l->text, l->len))) {
		msg_error("%s and %s do not agree on the type of %.*s: the latter is left out",
			  fam->from->name, f->name, (int)fam->name_len, fam->name);
		fam->refused = true;
		m->failed = true;
	}
}

/* Whether the family has this series already: the line up to its value. */
static bool series_there(const struct family *fam, const struct line *l)
{
	const char *value = memrchr(l->text, ' ', l->len), *at = fam->samples.data, *newline;
	const char *end = at + fam->samples.len;
	size_t n = value ? (size_t)(value - l->text) + 1 : l->len;

	for (; at < end; at = newline + 1) {
		newline = memchr(at, '\n', (size_t)(end - at));
		if ((size_t)(newline - at) >= n && !memcmp(at, l->text, n))
			return true;
	}
	return false;
}

/*
 * Below a TYPE stand samples of that name or a longer one (_bucket, _total); else the name is the
 * family's.
 */
static struct family *family_of(struct families *fs, const struct feed *f, const struct line *l)
{
	struct family *fam = fs->current < fs->n ? &fs->v[fs->current] : NULL;
	size_t name = strcspn(l->text, "{ \n");

	if (fam && fam->head[TYPE].text && name >= fam->name_len &&
	    !memcmp(l->text, fam->name, fam->name_len))
		return fam;
	return family_get(fs, f, l->text, name);
}

static void take_sample(struct merge *m, struct families *fs, const struct feed *f,
			const struct line *l)
{
	struct family *fam = family_of(fs, f, l);

	if (!fam || fam->refused)
		return;
	if (fam->from == f || !series_there(fam, l)) {
		buf_add(&fam->samples, l->text, l->len + 1);
		return;
	}
	if (!fam->told)
		msg_error("%s: %.*s is there already from %s: left out", f->name, (int)l->len,
			  l->text, fam->from->name);
	fam->told = true;
	m->failed = true;
}

static void take_line(struct merge *m, struct families *fs, const struct feed *f,
		      const struct line *l)
{
	for (int kind = 0; kind < NHEADS; kind++) {
		const char *name = l->text + HEAD_LEN;
		struct family *fam;

		if (l->len <= HEAD_LEN || memcmp(l->text, heads[kind], HEAD_LEN))
			continue;
		fam = family_get(fs, f, name, strcspn(name, " \n"));
		if (fam)
			take_head(m, fam, f, kind, l);
		return;
	}
	if (l->len && *l->text != '#')
		take_sample(m, fs, f, l); /* EOF and comments are not for the middle */
}

static void take_feed(struct merge *m, struct families *fs, const struct feed *f)
{
	const char *end = f->whole.data + f->whole.len;
	struct line l = { f->whole.data, 0 };

	fs->current = SIZE_MAX;
	for (size_t i = 0; i < fs->n; i++)
		fs->v[i].refused = fs->v[i].told = false;
	for (; rounds_counts(f) && l.text < end; l.text += l.len + 1) {
		l.len = (size_t)((const char *)memchr(l.text, '\n', (size_t)(end - l.text)) -
				 l.text);
		take_line(m, fs, f, &l);
	}
}

void expositions_join(struct merge *m, struct buf *b)
{
	struct families fs = { 0 };

	for (size_t i = 0; i < m->nfeeds; i++)
		take_feed(m, &fs, &m->feeds[i]);
	for (size_t i = 0; i < fs.n; i++) {
		struct family *fam = &fs.v[i];

		for (int kind = 0; kind < NHEADS && fam->samples.len; kind++)
			if (fam->head[kind].text)
				buf_add(b, fam->head[kind].text, fam->head[kind].len + 1);
		if (fam->samples.len)
			buf_add(b, fam->samples.data, fam->samples.len);
		b->failed |= fam->samples.failed;
		buf_free(&fam->samples);
	}
	if (m->format == OUT_OPENMETRICS)
		buf_str(b, "# EOF\n");
	b->failed |= fs.failed;
	free(fs.v);
}
