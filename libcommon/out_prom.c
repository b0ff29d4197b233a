// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prometheus text 0.0.4 and OpenMetrics 1.0: family by family, one HELP and TYPE, then all samples. OpenMetrics wants a
 * counter's samples to be called like the family with _total behind; names that do not end so are of type unknown there.
 */
#include "out.h"

#include <string.h>

#include "format.h"
#include "out_hist.h"
#include "row_text.h"
#include "target.h"

static void add_label(struct buf *b, const char *name, const char *value, const char *before)
{
	buf_str(b, before);
	buf_str(b, name);
	buf_str(b, "=\"");
	buf_label(b, value);
	buf_str(b, "\"");
}

static void labels_text(const struct out_row *row, struct buf *b)
{
	add_label(b, "target_pod", row->target->pod, "{");
	add_label(b, "target_namespace", row->target->namespace, ",");
	add_label(b, "target_node", row->target->node, ",");
	for (const struct label *l = row->labels; l->name; l++)
		add_label(b, l->name, l->value, ",");
	buf_str(b, "} ");
}

static void add_name(struct buf *b, const char *prefix, const char *name, size_t len)
{
	buf_str(b, "kubeskoop_");
	buf_str(b, prefix);
	buf_str(b, "_");
	buf_add(b, name, len);
}

/* How OpenMetrics calls the family: its length and type. */
static const char *openmetrics_type(const struct metric *m, size_t *len)
{
	static const char total[] = "_total";
	size_t n = sizeof(total) - 1;

	if (m->type == GAUGE)
		return "gauge";
	/* The whole name counts: kubeskoop_packetloss_total is `total` of packetloss. */
	if (!strcmp(m->name, "total")) {
		*len = 0;
		return "counter";
	}
	if (*len > n && !strcmp(m->name + *len - n, total)) {
		*len -= n;
		return "counter";
	}
	return "unknown";
}

static void add_family(struct buf *b, const char *prefix, const struct metric *m, bool openmetrics)
{
	size_t len = strlen(m->name);
	const char *type = m->type == GAUGE ? "gauge" : "counter";
	struct buf name = { 0 };

	if (openmetrics)
		type = openmetrics_type(m, &len);
	add_name(&name, prefix, m->name, len);
	b->failed |= name.failed;
	if (!len)
		name.len--; /* the _ of _total */
	buf_str(b, "# HELP ");
	buf_add(b, name.data, name.len);
	buf_str(b, " ");
	buf_help(b, m->help, openmetrics);
	buf_str(b, "\n# TYPE ");
	buf_add(b, name.data, name.len);
	buf_str(b, " ");
	buf_str(b, type);
	buf_str(b, "\n");
	buf_free(&name);
}

static void exposition(const struct out *o, const struct round *r, struct buf *b, bool openmetrics)
{
	const char *prefix = probe_prefix(out_probe(o));
	struct row_text labels = { 0 };

	row_text_make(&labels, r, labels_text, b);
	for (size_t i = 0; i < r->nsamples; i++) {
		const struct sample *s = &r->samples[i];

		if (!i || s->metric != s[-1].metric)
			add_family(b, prefix, s->metric, openmetrics);
		add_name(b, prefix, s->metric->name, strlen(s->metric->name));
		row_text_add(&labels, s->row, b);
		buf_value(b, s->metric, s->value);
		buf_str(b, "\n");
	}
	row_text_free(&labels);
	hist_exposition(o, r, openmetrics, b);
}

static void prom_round(const struct out *o, const struct round *r, struct buf *b)
{
	exposition(o, r, b, false);
}

static void openmetrics_round(const struct out *o, const struct round *r, struct buf *b)
{
	exposition(o, r, b, true);
	buf_str(b, "# EOF\n");
}

const struct out_ops out_prom = { .round = prom_round };
const struct out_ops out_openmetrics = { .round = openmetrics_round };
