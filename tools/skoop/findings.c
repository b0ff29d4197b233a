// SPDX-License-Identifier: GPL-2.0-or-later
/* Judges two rounds of samples by the rows of findings.def. */
#include "findings.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "libcommon/array.h"

/* ---- what the conditions of findings.def are made of ---- */

#define NEVER false
#define KIB 1024.0
#define PAGE ((double)sysconf(_SC_PAGESIZE))
#define W store_window(v->store)
#define D(x) store_sum(v, #x, READ_GROWTH)
#define D4(x) store_plain(v, #x, READ_GROWTH)
#define L(x) store_sum(v, #x, READ_LOW)
#define H(x) store_sum(v, #x, READ_HIGH)
#define BEGIN(x) store_sum(v, #x, READ_FIRST)
#define END(x) store_sum(v, #x, READ_LAST)
#define MOST(x) store_max(v, #x, READ_LOW)
#define STUCK(x) store_max(v, #x, READ_STUCK)
#define TOTAL(x) total(v, #x)
#define COUNT(x) number(v, #x)
#define ANYWHERE(x) store_everywhere(v, #x)
#define CHILDREN(x) children(v, #x)
#define ZERO(e) otherwise(e, 0)
#define ELSE(a, b) otherwise(a, b)
#define POS(e) positive(e)
#define REACHES(a, b) reaches(a, b)
#define IS(label, value) is(v, #label, value)
#define QUEUES queues(v)
#define AQM keeps_short(v)
#define T(name) term_##name(v)

static double total(const struct view *v, const char *metric)
{
	return store_sum(&(struct view){ v->store, v->subject, NULL }, metric, READ_GROWTH);
}

static double number(const struct view *v, const char *metric)
{
	return store_count(&(struct view){ v->store, v->subject, NULL }, metric);
}

static double otherwise(double value, double other)
{
	return isnan(value) ? other : value;
}

static double positive(double value)
{
	return value < 0 ? 0 : value;
}

static double reaches(double a, double b)
{
	return isnan(a) || isnan(b) ? NAN : a >= b ? 1.0 : 0.0;
}

static bool is(const struct view *v, const char *label, const char *value)
{
	const char *have = view_label(v, label);

	return have && !strcmp(have, value);
}

static bool is_any(const struct view *v, const char *label, const char *const *values)
{
	for (; *values; values++)
		if (is(v, label, *values))
			return true;
	return false;
}

static bool queues(const struct view *v)
{
	static const char *const without[] = { "ingress", "clsact", "noqueue", NULL };

	return view_label(v, "kind") && !is_any(v, "kind", without);
}

static bool keeps_short(const struct view *v)
{
	static const char *const kinds[] = { "cake",     "choke",  "codel", "dualpi2", "fq",
					     "fq_codel", "fq_pie", "gred",  "hhf",     "pie",
					     "red",      "sfb",    NULL };

	return is_any(v, "kind", kinds);
}

/*
 * The growth over the qdiscs whose parent has this one's handle: "1:" is the parent of what hangs
 * at "1:10". A default qdisc has the handle "0:", and only as a root can it have children: those of
 * mq hang at ":1", ":2"…
 */
static double children(const struct view *v, const char *metric)
{
	const char *handle = view_label(v, "handle"), *device = view_label(v, "device");
	size_t major = handle ? strcspn(handle, ":") : 0;
	bool unnumbered = major == 1 && *handle == '0';
	double sum = NAN;

	if (!handle || !device || (unnumbered && !is(v, "parent", "root")))
		return NAN;
	if (unnumbered)
		major = 0;
	for (const struct series *s = store_series(v->store, v->subject, metric); s; s = s->next) {
		const char *parent = labelset_get(s->labels, "parent");
		const char *on = labelset_get(s->labels, "device");
		double growth = series_read(s, READ_GROWTH);

		if (!parent || !on || strcmp(on, device) || strcspn(parent, ":") != major ||
		    strncmp(parent, handle, major) || isnan(growth))
			continue;
		sum = otherwise(sum, 0) + growth;
	}
	return sum;
}

/* ---- the table ---- */

#define TERM(name, expression, words)                                                              \
	static double term_##name(const struct view *v)                                            \
	{                                                                                          \
		return expression;                                                                 \
	}
#define FINDING(number_, id, scope, title, critical, warning, note, says, cause, next, folds, ...) \
	static enum severity judge_##number_(const struct view *v)                                 \
	{                                                                                          \
		(void)v;                                                                           \
		return (critical) ? CRITICAL : (warning) ? WARNING : (note) ? NOTE : NOTHING;      \
	}                                                                                          \
	static size_t values_##number_(const struct view *v, struct value out[VALUES_MAX])         \
	{                                                                                          \
		const struct value list[] = { __VA_ARGS__ };                                       \
		_Static_assert(ARRAY_SIZE(list) <= VALUES_MAX, "too many values");                 \
		memcpy(out, list, sizeof(list));                                                   \
		return ARRAY_SIZE(list);                                                           \
	}
/* clang-format off */
#define COUNT_OF(name, e) { #name, VALUE_COUNT, e }
#define PERCENT(name, e) { #name, VALUE_PERCENT, e }
#define BYTES(name, e) { #name, VALUE_BYTES, e }
#define MILLIS(name, e) { #name, VALUE_MS, e }
/* clang-format on */
#include "findings.def"
#undef TERM
#undef FINDING

#define TERM(name, expression, words)
#define FINDING(number_, id_, scope_, title_, critical, warning, note, says_, cause_, next_,       \
		folds_, ...)                                                                       \
	{ .number = number_,                                                                       \
	  .id = id_,                                                                               \
	  .scope = PER_##scope_,                                                                   \
	  .title = title_,                                                                         \
	  .says = says_,                                                                           \
	  .cause = cause_,                                                                         \
	  .next = next_,                                                                           \
	  .folds = folds_,                                                                         \
	  .when = { [CRITICAL] = #critical, [WARNING] = #warning, [NOTE] = #note },                \
	  .values_text = #__VA_ARGS__,                                                             \
	  .judge = judge_##number_,                                                                \
	  .values = values_##number_ },
static const struct row rows[] = {
#include "findings.def"
};
#undef TERM
#undef FINDING

#define TERM(name_, expression, words_) { #name_, #expression, words_ },
#define FINDING(...)
static const struct finding_term terms_table[] = {
#include "findings.def"
};

const struct row *finding_row(size_t i)
{
	return i < ARRAY_SIZE(rows) ? &rows[i] : NULL;
}

const struct finding_term *finding_term(size_t i)
{
	return i < ARRAY_SIZE(terms_table) ? &terms_table[i] : NULL;
}

/* ---- judging ---- */

/* What each scope goes over: the series of a metric, one subject of its own each. */
static const struct {
	const char *metric;
	bool machine;
} scopes[] = {
	[PER_DEVICE] = { "netdev_rxpackets", false },     [PER_QDISC] = { "qdisc_drops", false },
	[PER_CPU] = { "softnet_processed", true },        [PER_PROCESS] = { "fd_openfd", false },
	[PER_PEER] = { "tcpsummary_connections", false },
};

struct judging {
	const struct store *store;
	struct findings *found;
	size_t size;
};

static int judge_view(struct judging *j, const struct row *row, const struct view *v)
{
	enum severity severity = row->judge(v);
	struct finding *f;

	if (!severity)
		return 0;
	if (array_grow(&j->found->v, &j->size, j->found->n + 1))
		return -ENOMEM;
	f = &j->found->v[j->found->n++];
	*f = (struct finding){ .row = row, .view = *v, .severity = severity, .shown = severity };
	f->nvalues = row->values(v, f->values);
	return 0;
}

static int judge_subject(struct judging *j, const struct row *row, const struct subject *subject)
{
	struct view v = { j->store, subject, NULL };
	const struct series *s;
	int err = 0;

	if (row->scope == PER_NETNS || row->scope == PER_MACHINE)
		return judge_view(j, row, &v);
	for (s = store_series(j->store, subject, scopes[row->scope].metric); s && !err;
	     s = s->next) {
		v.labels = s->labels;
		if (s->has[0] && s->has[1])
			err = judge_view(j, row, &v);
	}
	return err;
}

static int judge_row(struct judging *j, const struct row *row)
{
	bool machine = row->scope == PER_MACHINE ||
		       (row->scope != PER_NETNS && scopes[row->scope].machine);
	const struct subject *subject;
	int err = 0;

	if (machine)
		return judge_subject(j, row, store_machine(j->store));
	for (size_t i = 0; !err && (subject = store_subject(j->store, i)); i++)
		err = judge_subject(j, row, subject);
	return err;
}

static int labels_order(const struct labelset *a, const struct labelset *b)
{
	int by = 0;

	for (size_t i = 0; a && b && !by && i < a->n && i < b->n; i++)
		by = strverscmp(a->v[i].value, b->v[i].value);
	return by;
}

static int order(const struct finding *a, const struct finding *b)
{
	const struct subject *x = a->view.subject, *y = b->view.subject;
	int by;

	if (a->row->number != b->row->number)
		return a->row->number < b->row->number ? -1 : 1;
	by = strcmp(x->namespace, y->namespace);
	by = by ? by : strcmp(x->pod, y->pod);
	return by ? by : labels_order(a->view.labels, b->view.labels);
}

static int by_number(const void *a, const void *b)
{
	return order(a, b);
}

int findings_judge(const struct store *s, struct findings *f)
{
	struct judging j = { .store = s, .found = f };
	int err = 0;

	*f = (struct findings){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(rows) && !err; i++)
		err = judge_row(&j, &rows[i]);
	if (err)
		return err;
	if (f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_number);
	findings_fold(f);
	return 0;
}

void findings_free(struct findings *f)
{
	free(f->v);
	*f = (struct findings){ 0 };
}
