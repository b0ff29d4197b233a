// SPDX-License-Identifier: GPL-2.0-or-later
/* Targets as bytes: numbers in the machine's own form, texts with their length, one after the other. */
#include "target_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "discover.h"
#include "process.h"
#include "target.h"
#include "util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* since 6.3, where its absence may be refused */
#endif

static const char magic[] = "skoop targets " SKOOP_VERSION;

/* Whoever adds a field has it carried here, too. */
#if __SIZEOF_POINTER__ == 8
_Static_assert(sizeof(struct target) == 112, "a field of struct target is not carried");
_Static_assert(sizeof(struct targets) == 88, "a field of struct targets is not carried");
#endif

enum { HOST = 1, SELECTED = 2 };
#define NO_TEXT UINT64_MAX

/* ---- to bytes ---- */

static void put_u64(struct buf *b, uint64_t value)
{
	buf_add(b, &value, sizeof(value));
}

static void put_text(struct buf *b, const char *text)
{
	put_u64(b, text ? strlen(text) : NO_TEXT);
	if (text)
		buf_str(b, text);
}

static void put_target(struct buf *b, const struct target *t)
{
	const char *const texts[] = { t->node,      t->namespace, t->pod,   t->mount,
				      t->container, t->uid,       t->source };

	put_u64(b, t->netns);
	put_u64(b, t->key);
	put_u64(b, (t->host ? HOST : 0) | (t->selected ? SELECTED : 0));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		put_text(b, texts[i]);
	put_u64(b, t->npids);
	if (t->npids)
		buf_add(b, t->pids, t->npids * sizeof(*t->pids));
}

static void put_all(struct buf *b, const struct targets *ts)
{
	put_text(b, magic);
	put_u64(b, ts->npids);
	put_u64(b, ts->refused);
	put_u64(b, ts->hidepid);
	put_u64(b, ts->hidden);
	put_u64(b, ts->host ? (uint64_t)(ts->host - ts->v) : NO_TEXT);
	put_u64(b, ts->own ? (uint64_t)(ts->own - ts->v) : NO_TEXT);
	put_u64(b, ts->n);
	for (size_t i = 0; i < ts->n; i++)
		put_target(b, &ts->v[i]);
	put_u64(b, ts->nmissing);
	for (size_t i = 0; i < ts->nmissing; i++)
		put_text(b, ts->missing[i]);
}

int targets_pass(const struct targets *ts)
{
	struct buf b = { 0 };
	int fd = memfd_create("targets", MFD_CLOEXEC | MFD_NOEXEC_SEAL), err;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("targets", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	put_all(&b, ts);
	err = b.failed ? -ENOMEM : process_write(fd, b.data, b.len);
	buf_free(&b);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* ---- from bytes ---- */

struct reader {
	const char *at, *end;
	struct arena *arena;
	int err; /* the first; from then on all that is read is nothing */
};

static uint64_t get_u64(struct reader *r)
{
	uint64_t value = 0;

	if (r->err || (size_t)(r->end - r->at) < sizeof(value)) {
		r->err = r->err ? r->err : -EBADMSG;
		return 0;
	}
	memcpy(&value, r->at, sizeof(value));
	r->at += sizeof(value);
	return value;
}

/* How many things follow, each of at least `size` bytes. */
static size_t get_count(struct reader *r, size_t size)
{
	uint64_t n = get_u64(r);

	if (!r->err && n > (size_t)(r->end - r->at) / size)
		r->err = -EBADMSG;
	return r->err ? 0 : n;
}

static const char *get_text(struct reader *r)
{
	uint64_t len = get_u64(r);
	const char *text;

	if (r->err || len == NO_TEXT)
		return NULL;
	if (len > (size_t)(r->end - r->at)) {
		r->err = -EBADMSG;
		return NULL;
	}
	text = arena_str(r->arena, r->at, len);
	if (!text)
		r->err = -ENOMEM;
	r->at += len;
	return text;
}

static const pid_t *get_pids(struct reader *r, size_t *n)
{
	size_t count = get_count(r, sizeof(pid_t));
	pid_t *pids = arena_alloc(r->arena, (count + 1) * sizeof(*pids));

	if (!pids)
		r->err = -ENOMEM;
	if (r->err)
		return NULL;
	memcpy(pids, r->at, count * sizeof(*pids));
	r->at += count * sizeof(*pids);
	*n = count;
	return pids;
}

static void get_target(struct reader *r, const struct roots *roots, struct target *t)
{
	const char **const texts[] = { &t->node,      &t->namespace, &t->pod,   &t->mount,
				       &t->container, &t->uid,       &t->source };
	uint64_t flags;

	t->roots = roots;
	t->netns = get_u64(r);
	t->key = get_u64(r);
	flags = get_u64(r);
	t->host = flags & HOST;
	t->selected = flags & SELECTED;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		*texts[i] = get_text(r);
	t->pids = get_pids(r, &t->npids);
	if (!r->err && (!t->node || !t->namespace || !t->pod))
		r->err = -EBADMSG;
}

static const struct target *get_index(struct reader *r, const struct targets *ts, uint64_t i)
{
	if (!r->err && i != NO_TEXT && i >= ts->n)
		r->err = -EBADMSG;
	return r->err || i == NO_TEXT ? NULL : &ts->v[i];
}

static int get_all(struct reader *r, const struct roots *roots, struct targets *ts)
{
	const char *word = get_text(r);
	uint64_t host, own;
	size_t n;

	if (!word || strcmp(word, magic))
		return r->err ? r->err : -EBADMSG;
	ts->npids = get_u64(r);
	ts->refused = get_u64(r);
	ts->hidepid = get_u64(r);
	ts->hidden = get_u64(r);
	host = get_u64(r);
	own = get_u64(r);
	n = get_count(r, sizeof(uint64_t));
	ts->v = calloc(n + 1, sizeof(*ts->v));
	if (!ts->v)
		return -ENOMEM;
	for (ts->n = 0; ts->n < n && !r->err; ts->n++)
		get_target(r, roots, &ts->v[ts->n]);
	ts->host = get_index(r, ts, host);
	ts->own = get_index(r, ts, own);
	n = get_count(r, sizeof(uint64_t));
	ts->missing = calloc(n + 1, sizeof(*ts->missing));
	if (!ts->missing)
		return -ENOMEM;
	for (; ts->nmissing < n && !r->err; ts->nmissing++)
		ts->missing[ts->nmissing] = (char *)get_text(r);
	return r->err;
}

/* From its beginning, wherever others that have it may be. */
static int map_file(int fd, struct reader *r)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return -EBADMSG;
	r->at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (r->at == MAP_FAILED)
		return -errno;
	r->end = r->at + st.st_size;
	return 0;
}

int targets_take(int fd, struct target_finder *f, struct targets **result)
{
	struct reader r = { 0 };
	struct targets *ts = targets_new(&r.arena);
	int err = ts ? map_file(fd, &r) : -ENOMEM;
	const char *start = r.at;

	if (!err) {
		err = get_all(&r, finder_roots(f), ts);
		munmap((void *)start, (size_t)(r.end - start));
	}
	if (err) {
		targets_free(ts);
		return err;
	}
	finder_told(f);
	*result = ts;
	return 0;
}

int targets_first(struct target_finder *f, bool given, struct targets **ts)
{
	return given && !targets_take(STDIN_FILENO, f, ts) ? 0 : targets_load(f, ts);
}
