// SPDX-License-Identifier: GPL-2.0-or-later
/* The histograms of a round: kept until it is written, and how each format shows them. */
#include "out_hist.h"

#include <inttypes.h>
#include <string.h>

#include "array.h"
#include "format.h"
#include "labels.h"
#include "target.h"

static const unsigned int percents[] = { 50, 90, 99 };

int histograms_add(struct histograms *hs, const struct histogram *h, const struct label *labels)
{
	struct histogram copy = *h;

	if (array_grow(&hs->v, &hs->size, hs->n + 1) || labels_copy(labels, &copy.labels))
		return -ENOMEM;
	hs->v[hs->n++] = copy;
	return 0;
}

void histograms_reset(struct histograms *hs)
{
	for (size_t i = 0; i < hs->n; i++)
		free(hs->v[i].labels);
	hs->n = 0;
}

void histograms_free(struct histograms *hs)
{
	histograms_reset(hs);
	free(hs->v);
}

/* ---- for people ---- */

#define BAR 40

static void bar(uint64_t value, uint64_t most, struct buf *b)
{
	size_t n = (size_t)((unsigned __int128)value * BAR / most);

	for (size_t i = 0; i < (n ? n : value > 0); i++)
		buf_str(b, "*");
}

/* Right-aligned in `width` columns. */
static void right(struct buf *b, const struct buf *text, size_t width)
{
	buf_printf(b, "%*s", (int)width, text->data ? text->data : "");
}

static void bucket_line(const struct hist_values *h, size_t slot, uint64_t most, struct buf *b)
{
	struct buf low = { 0 }, high = { 0 };

	buf_duration(&low, hist_low(slot));
	if (hist_high(slot))
		buf_duration(&high, hist_high(slot));
	right(b, &low, 12);
	right(b, &high, 12);
	buf_printf(b, "%10" PRIu64 "%s", h->slots[slot], h->slots[slot] ? "  " : "");
	bar(h->slots[slot], most, b);
	buf_str(b, "\n");
	b->failed |= low.failed || high.failed;
	buf_free(&low);
	buf_free(&high);
}

static void title_line(const struct histogram *h, const struct hist_values *shown, struct buf *b)
{
	size_t from = b->len;

	buf_printf(b, "%s of %s/%s", h->hist->name, h->target->namespace, h->target->pod);
	for (const struct label *l = h->labels; l->name; l++)
		buf_printf(b, ", %s %s", l->name, l->value);
	buf_printf(b, ": count %" PRIu64, shown->count);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		buf_printf(b, ", p%u ", percents[i]);
		buf_duration(b, hist_percentile(shown, percents[i]));
	}
	/* Of a round before, as far as can be told. */
	buf_str(b, h->before.count && h->now.max == h->before.max ? ", max up to " : ", max ");
	buf_duration(b, shown->max);
	if (!b->failed)
		buf_plain(b, from);
	buf_str(b, "\n");
}

static void block(const struct histogram *h, struct buf *b)
{
	size_t first = HIST_SLOTS, last = 0;
	struct hist_values shown;
	uint64_t most = 0;

	hist_since(&h->now, &h->before, &shown);
	for (size_t i = 0; i < HIST_SLOTS; i++) {
		if (!shown.slots[i])
			continue;
		first = first < i ? first : i;
		last = i;
		most = most > shown.slots[i] ? most : shown.slots[i];
	}
	if (!most)
		return;
	title_line(h, &shown, b);
	buf_printf(b, "%12s%12s%10s\n", "FROM", "BELOW", "COUNT");
	for (size_t i = first; i <= last; i++)
		bucket_line(&shown, i, most, b);
}

void hist_table(const struct out *o, const struct round *r, struct buf *b)
{
	(void)o;
	for (size_t i = 0; i < r->nhists; i++)
		block(&r->hists[i], b);
}

/* ---- JSON ---- */

static void json_buckets(const struct hist_values *h, struct buf *b)
{
	const char *comma = "";

	buf_str(b, ",\"buckets\":[");
	for (size_t i = 0; i < HIST_SLOTS; i++) {
		if (!h->slots[i])
			continue;
		buf_printf(b, "%s{\"lo\":%" PRIu64 ",\"hi\":", comma, hist_low(i));
		if (hist_high(i))
			buf_u64(b, hist_high(i));
		else
			buf_str(b, "null");
		buf_printf(b, ",\"count\":%" PRIu64 "}", h->slots[i]);
		comma = ",";
	}
	buf_str(b, "]");
}

void hist_json(const struct histogram *h, struct buf *b)
{
	const struct hist_values *v = &h->now;
	const char *comma = "";

	buf_str(b, ",\"keys\":{");
	for (const struct label *l = h->labels; l->name; l++) {
		buf_printf(b, "%s\"%s\":", comma, l->name);
		buf_json(b, l->value, strlen(l->value));
		comma = ",";
	}
	buf_printf(b, "},\"count\":%" PRIu64 ",\"sum\":%" PRIu64, v->count, v->sum);
	buf_printf(b, ",\"min\":%" PRIu64 ",\"max\":%" PRIu64, v->min, v->max);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		buf_printf(b, ",\"p%u\":%" PRIu64, percents[i], hist_percentile(v, percents[i]));
	json_buckets(v, b);
}

/* ---- expositions ---- */

/* The bounds that every series has, about a microsecond to half a minute. */
#define SLOT_FIRST 9
#define SLOT_LAST 34

/* As short as it can be said, as OpenMetrics wants it. */
static void add_seconds(struct buf *b, uint64_t ns)
{
	double value = (double)ns / 1e9;
	char text[32];

	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_str(b, text);
	if (!strpbrk(text, ".e"))
		buf_str(b, ".0");
}

static void add_labels(const struct histogram *h, struct buf *b)
{
	const struct label target[] = { { "target_pod", h->target->pod },
					{ "target_namespace", h->target->namespace },
					{ "target_node", h->target->node } };

	for (size_t i = 0; i < ARRAY_SIZE(target); i++) {
		buf_printf(b, "%s%s=\"", i ? "," : "{", target[i].name);
		buf_label(b, target[i].value);
		buf_str(b, "\"");
	}
	for (const struct label *l = h->labels; l->name; l++) {
		buf_printf(b, ",%s=\"", l->name);
		buf_label(b, l->value);
		buf_str(b, "\"");
	}
}

/* slot: its upper bound is `le`; HIST_SLOTS: +Inf. */
static void bucket_sample(const struct buf *name, const struct buf *labels, size_t slot,
			  uint64_t count, struct buf *b)
{
	buf_add(b, name->data, name->len);
	buf_str(b, "_bucket");
	buf_add(b, labels->data, labels->len);
	buf_str(b, ",le=\"");
	if (slot < HIST_SLOTS)
		add_seconds(b, hist_high(slot));
	else
		buf_str(b, "+Inf");
	buf_printf(b, "\"} %" PRIu64 "\n", count);
}

static void series(const struct buf *name, const struct histogram *h, struct buf *b)
{
	struct buf labels = { 0 };
	uint64_t below = 0;

	add_labels(h, &labels);
	for (size_t i = 0; i <= SLOT_LAST; i++) {
		below += h->now.slots[i];
		if (i >= SLOT_FIRST)
			bucket_sample(name, &labels, i, below, b);
	}
	bucket_sample(name, &labels, HIST_SLOTS, h->now.count, b);
	buf_printf(b, "%s_sum%s} ", name->data, labels.data);
	add_seconds(b, h->now.sum);
	buf_printf(b, "\n%s_count%s} %" PRIu64 "\n", name->data, labels.data, h->now.count);
	b->failed |= labels.failed;
	buf_free(&labels);
}

void hist_exposition(const struct out *o, const struct round *r, bool openmetrics, struct buf *b)
{
	const char *probe = out_probe(o)->name;

	for (size_t i = 0; i < r->nhists; i++) {
		const struct histogram *h = &r->hists[i];
		struct buf name = { 0 };

		buf_printf(&name, "skoop_%s_%s_seconds", probe, h->hist->name);
		if (name.failed) {
			b->failed = true;
			return;
		}
		if (!i || h->hist != h[-1].hist) {
			buf_printf(b, "# HELP %s ", name.data);
			buf_help(b, h->hist->help, openmetrics);
			buf_printf(b, "\n# TYPE %s histogram\n", name.data);
			if (openmetrics)
				buf_printf(b, "# UNIT %s seconds\n", name.data);
		}
		series(&name, h, b);
		buf_free(&name);
	}
}
