// SPDX-License-Identifier: GPL-2.0-or-later
/* The samples of two rounds, fed by the probes' JSON lines. */
#include "store.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "libcommon/arena.h"
#include "libcommon/util.h"
#include "record.h"

struct store {
	bool (*wanted)(const void *arg, const char *metric);
	const void *wanted_arg;
	struct arena arena;
	struct dict subjects;  /* "node\0namespace\0pod" to struct subject */
	struct dict labelsets; /* "name\0value\0…" to struct labelset */
	struct dict lists;     /* struct list_key, metric to struct series, linked */
	struct dict series;    /* struct list_key, labelset, metric to struct series */
	struct subject machine;
	const struct subject **order;
	size_t nsubjects, room;
	double window;
};

#define MACHINE SIZE_MAX /* the machine's index: no namespace has it */

struct store *store_open(bool (*wanted)(const void *arg, const char *metric), const void *arg)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->wanted = wanted;
	s->wanted_arg = arg;
	s->subjects.arena = s->labelsets.arena = s->lists.arena = s->series.arena = &s->arena;
	s->machine = (struct subject){ "", "", "", 0, true, MACHINE };
	s->window = NAN;
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	free(s->order);
	arena_free(&s->arena);
	free(s);
}

double store_window(const struct store *s)
{
	return s->window;
}

const struct subject *store_subject(const struct store *s, size_t i)
{
	return i < s->nsubjects ? s->order[i] : NULL;
}

const struct subject *store_machine(const struct store *s)
{
	return &s->machine;
}

/* ---- feeding ---- */

/* Splits "node\0namespace\0pod\0" into the subject's labels. */
static bool subject_name(struct store *s, struct subject *subject, const struct buf *target)
{
	char *text = arena_alloc(&s->arena, target->len);

	if (!text)
		return false;
	memcpy(text, target->data, target->len);
	subject->node = text;
	subject->namespace = subject->node + strlen(subject->node) + 1;
	subject->pod = subject->namespace + strlen(subject->namespace) + 1;
	return true;
}

static struct subject *subject_add(struct store *s, const struct record *r)
{
	struct subject *subject = arena_alloc(&s->arena, sizeof(*subject));

	if (!subject || !subject_name(s, subject, &r->target))
		return NULL;
	if (s->nsubjects == s->room) {
		size_t room = s->room ? s->room * 2 : 16;
		const struct subject **order = reallocarray(s->order, room, sizeof(*order));

		if (!order)
			return NULL;
		s->order = order;
		s->room = room;
	}
	subject->netns = r->netns;
	subject->index = s->nsubjects;
	s->order[s->nsubjects++] = subject;
	return subject;
}

static const struct subject *subject_of(struct store *s, const struct record *r)
{
	void **at;

	if (r->host) {
		if (!*s->machine.node && !subject_name(s, &s->machine, &r->target))
			return NULL;
		return &s->machine;
	}
	at = dict_at(&s->subjects, r->target.data, r->target.len);
	if (at && !*at)
		*at = subject_add(s, r);
	return at ? *at : NULL;
}

static const struct labelset *labelset_of(struct store *s, const struct record *r)
{
	void **at = dict_at(&s->labelsets, r->labels.len ? r->labels.data : "", r->labels.len);
	struct labelset *l;
	char *text;

	if (!at || *at)
		return at ? *at : NULL;
	l = arena_alloc(&s->arena, sizeof(*l) + r->nlabels * sizeof(l->v[0]));
	text = arena_alloc(&s->arena, r->labels.len + 1);
	if (!l || !text)
		return NULL;
	if (r->labels.len)
		memcpy(text, r->labels.data, r->labels.len);
	l->n = r->nlabels;
	for (size_t i = 0; i < l->n; i++) {
		l->v[i].name = text;
		text += strlen(text) + 1;
		l->v[i].value = text;
		text += strlen(text) + 1;
	}
	return *at = l;
}

/* The key of a list (labels NULL) or of one series; returns its length. */
struct key {
	size_t subject;
	const struct labelset *labels;
	char metric[METRIC_NAME_MAX + 1];
};

static size_t key_make(struct key *k, const struct subject *subject, const struct labelset *labels,
		       const char *metric, size_t metric_len)
{
	if (metric_len > METRIC_NAME_MAX)
		metric_len = METRIC_NAME_MAX;
	k->subject = subject->index;
	k->labels = labels;
	memcpy(k->metric, metric, metric_len);
	return offsetof(struct key, metric) + metric_len;
}

static struct series *series_of(struct store *s, const struct subject *subject,
				const struct labelset *labels, const char *metric)
{
	struct key key;
	size_t len = key_make(&key, subject, labels, metric, strlen(metric));
	void **at = dict_at(&s->series, &key, len), **head;
	struct series *new;

	if (!at || *at)
		return at ? *at : NULL;
	key.labels = NULL;
	head = dict_at(&s->lists, &key, len);
	new = arena_alloc(&s->arena, sizeof(*new));
	if (!head || !new)
		return NULL;
	*new = (struct series){ .subject = subject, .labels = labels, .next = *head };
	*head = new;
	return *at = new;
}

/* Which round the record belongs to: all records of a round have one time. */
static int round_of(struct sender *f, const struct timespec *ts)
{
	const struct timespec *last = f->rounds ? &f->time[f->rounds - 1] : NULL;
	double seconds;

	if (f->since_start) {
		f->rounds = 2;
		return 1;
	}
	if (last && last->tv_sec == ts->tv_sec && last->tv_nsec == ts->tv_nsec)
		return (int)f->rounds - 1;
	if (f->rounds == 2)
		return -E2BIG;
	f->time[f->rounds++] = *ts;
	if (f->rounds == 2) {
		seconds = (double)(ts->tv_sec - last->tv_sec) +
			  (double)(ts->tv_nsec - last->tv_nsec) / 1e9;
		if (!(f->store->window >= seconds))
			f->store->window = seconds;
	}
	return (int)f->rounds - 1;
}

static int keep(struct sender *f, const struct record *r)
{
	const struct subject *subject = subject_of(f->store, r);
	const struct labelset *labels;
	struct series *series;
	int round = round_of(f, &r->ts);

	if (round < 0)
		return round;
	if (!subject)
		return -ENOMEM;
	if (!r->has_value ||
	    (f->store->wanted && !f->store->wanted(f->store->wanted_arg, r->metric)))
		return 0;
	labels = labelset_of(f->store, r);
	series = labels ? series_of(f->store, subject, labels, r->metric) : NULL;
	if (!series)
		return -ENOMEM;
	series->value[round] = r->value;
	series->has[round] = true;
	series->has[0] |= f->since_start;
	return 0;
}

int store_put(struct store *s, const struct subject *subject, const char *metric, uint64_t growth)
{
	const struct record none = { 0 };
	const struct labelset *labels = labelset_of(s, &none);
	struct series *series = labels ? series_of(s, subject, labels, metric) : NULL;

	if (!series)
		return -ENOMEM;
	series->value[0] = 0;
	series->value[1] = growth;
	series->has[0] = series->has[1] = true;
	return 0;
}

int store_feed(struct sender *f, const char *line, size_t len)
{
	struct record r;
	int err = record_read(&r, line, len);

	if (!err && r.is_metric)
		err = keep(f, &r);
	record_free(&r);
	return err;
}

/* ---- asking ---- */

const struct series *store_series(const struct store *s, const struct subject *subject,
				  const char *metric)
{
	struct key key;

	return dict_get(&s->lists, &key, key_make(&key, subject, NULL, metric, strlen(metric)));
}

double series_read(const struct series *s, enum reading what)
{
	uint64_t first = s->value[0], last = s->value[1];

	if (!s->has[0] || !s->has[1])
		return NAN;
	switch (what) {
	case READ_GROWTH: return last >= first ? (double)(last - first) : NAN;
	case READ_LOW: return (double)(first < last ? first : last);
	case READ_HIGH: return (double)(first > last ? first : last);
	case READ_FIRST: return (double)first;
	case READ_LAST: return (double)last;
	case READ_STUCK: return first == last ? (double)last : NAN;
	}
	return NAN;
}

const char *labelset_get(const struct labelset *l, const char *name)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (!strcmp(l->v[i].name, name))
			return l->v[i].value;
	return NULL;
}

const char *view_label(const struct view *v, const char *name)
{
	return labelset_get(v->labels, name);
}

static bool contradicts(const struct labelset *a, const struct labelset *b)
{
	for (size_t i = 0; a && i < a->n; i++) {
		const char *other = labelset_get(b, a->v[i].name);

		if (other && strcmp(other, a->v[i].value))
			return true;
	}
	return false;
}

static bool has_value(const struct labelset *l, const char *value)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->v[i].value, value))
			return true;
	return false;
}

/* A question: the metric's name and the label value it asks for (NULL: any). */
struct question {
	size_t len;
	const char *value;
};

static struct question question(const char *key)
{
	const char *dot = strchrnul(key, '.');

	return (struct question){ (size_t)(dot - key), *dot ? dot + 1 : NULL };
}

/* The series to look through. One that has just the view's labels is the whole answer, `*exact`. */
static const struct series *candidates(const struct view *v, const char *metric, size_t metric_len,
				       bool *exact)
{
	const struct store *s = v->store;
	const struct series *found;
	struct key key;
	size_t len = key_make(&key, v->subject, v->labels, metric, metric_len);

	found = v->labels ? dict_get(&s->series, &key, len) : NULL;
	*exact = found;
	if (found)
		return found;
	key.labels = NULL;
	found = dict_get(&s->lists, &key, len);
	key.subject = MACHINE;
	return found ? found : dict_get(&s->lists, &key, len);
}

enum combine { SUM, MAXIMUM, PLAIN, NUMBER };

static double combine(const struct view *v, const char *key, enum reading what, enum combine how)
{
	struct question q = question(key);
	double result = NAN;
	bool exact;

	for (const struct series *s = candidates(v, key, q.len, &exact); s;
	     s = exact ? NULL : s->next) {
		double value = series_read(s, what);

		if (isnan(value) || (!exact && contradicts(v->labels, s->labels)))
			continue;
		if ((q.value && !has_value(s->labels, q.value)) ||
		    (how == PLAIN && !exact && s->labels->n))
			continue;
		if (how == NUMBER)
			value = 1;
		if (isnan(result))
			result = value;
		else
			result = how != MAXIMUM ? result + value : value > result ? value : result;
	}
	return result;
}

double store_sum(const struct view *v, const char *key, enum reading what)
{
	return combine(v, key, what, SUM);
}

double store_max(const struct view *v, const char *key, enum reading what)
{
	return combine(v, key, what, MAXIMUM);
}

double store_plain(const struct view *v, const char *key, enum reading what)
{
	return combine(v, key, what, PLAIN);
}

double store_count(const struct view *v, const char *key)
{
	return combine(v, key, READ_LAST, NUMBER);
}

double store_everywhere(const struct view *v, const char *key)
{
	double sum = NAN;

	for (size_t i = 0; i < v->store->nsubjects; i++) {
		const struct view one = { v->store, v->store->order[i], NULL };
		double value = store_series(v->store, one.subject, key)
				       ? combine(&one, key, READ_GROWTH, SUM)
				       : NAN;

		if (!isnan(value))
			sum = isnan(sum) ? value : sum + value;
	}
	return sum;
}
