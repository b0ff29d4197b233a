/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of a probe's -o json, as far as `skoop snapshot` needs it. */
#ifndef SKOOP_RECORD_H
#define SKOOP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "libcommon/util.h"

#define METRIC_NAME_MAX 127

struct record {
	bool is_metric;                   /* else nothing else is filled in */
	bool other;                       /* of a kind that is none of our business */
	char metric[METRIC_NAME_MAX + 1]; /* without kubeskoop_ */
	struct timespec ts;
	bool host;      /* a value of the machine */
	bool has_value; /* false: negative, which says that there is no limit */
	uint64_t value, netns;
	struct buf target; /* "node\0namespace\0pod\0" */
	struct buf labels; /* the further ones: "name\0value\0…" */
	size_t nlabels;
	char *text[3]; /* node, namespace, pod while it is read */
};

/* 0; -EBADMSG: not JSON, or a metric without what each has; -ENOMEM. Free it in any case. */
int record_read(struct record *r, const char *line, size_t len);
void record_free(struct record *r);

#endif
