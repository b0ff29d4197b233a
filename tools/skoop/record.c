// SPDX-License-Identifier: GPL-2.0-or-later
/* One line of a probe's -o json, as far as `skoop snapshot` needs it. */
#include "record.h"

#include <errno.h>
#include <string.h>

#include "libcommon/json.h"

#define PREFIX "kubeskoop_"

/* 2026-11-22T21:46:37.123456789Z */
static int parse_time(const char *text, struct timespec *ts)
{
	struct tm tm = { 0 };
	const char *dot = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	char digits[10] = "";
	uint64_t ns;

	if (!dot || *dot != '.' || strlen(dot) != 11 || dot[10] != 'Z')
		return -EBADMSG;
	memcpy(digits, dot + 1, 9);
	if (parse_u64(digits, 0, NSEC_PER_SEC - 1, &ns))
		return -EBADMSG;
	*ts = (struct timespec){ timegm(&tm), (long)ns };
	return 0;
}

/* Node, namespace and pod to their places in text[], other labels one after the other. */
static int read_labels(struct record *r, struct json *j)
{
	static const char *const known[] = { "target_node", "target_namespace", "target_pod" };

	while (json_next(j) == JSON_KEY) {
		size_t i = 0;

		while (i < ARRAY_SIZE(known) && !json_is(j, known[i]))
			i++;
		if (i == ARRAY_SIZE(known))
			buf_add(&r->labels, j->text, strlen(j->text) + 1);
		if (json_next(j) != JSON_STRING)
			return -EBADMSG;
		if (i == ARRAY_SIZE(known)) {
			buf_add(&r->labels, j->text, strlen(j->text) + 1);
			r->nlabels++;
			continue;
		}
		free(r->text[i]);
		r->text[i] = strdup(j->text);
		if (!r->text[i])
			return -ENOMEM;
	}
	return j->token == JSON_OBJECT_END ? 0 : -EBADMSG;
}

static int read_text(struct json *j, char *text, size_t size)
{
	if (json_next(j) != JSON_STRING || j->cut || j->len >= size)
		return -EBADMSG;
	memcpy(text, j->text, j->len + 1);
	return 0;
}

static int read_metric(struct record *r, struct json *j)
{
	char name[sizeof(PREFIX) + METRIC_NAME_MAX];
	int err = read_text(j, name, sizeof(name));

	if (err || strncmp(name, PREFIX, strlen(PREFIX)))
		return -EBADMSG;
	snprintf(r->metric, sizeof(r->metric), "%.*s", METRIC_NAME_MAX, name + strlen(PREFIX));
	return 0;
}

static int read_value(struct record *r, struct json *j)
{
	if (json_next(j) != JSON_NUMBER)
		return -EBADMSG;
	r->has_value = !json_u64(j, &r->value);
	return r->has_value || j->text[0] == '-' ? 0 : -EBADMSG;
}

static int read_key(struct record *r, struct json *j)
{
	char text[64];
	int err = 0;

	if (json_is(j, "kind")) {
		err = read_text(j, text, sizeof(text));
		r->is_metric = !err && !strcmp(text, "metric");
		r->other = !err && !r->is_metric;
	} else if (json_is(j, "metric")) {
		err = read_metric(r, j);
	} else if (json_is(j, "ts")) {
		err = read_text(j, text, sizeof(text));
		err = err ? err : parse_time(text, &r->ts);
	} else if (json_is(j, "scope")) {
		err = read_text(j, text, sizeof(text));
		r->host = !err && !strcmp(text, "host");
	} else if (json_is(j, "value")) {
		err = read_value(r, j);
	} else if (json_is(j, "netns")) {
		err = json_next(j) == JSON_NULL ? 0 : json_u64(j, &r->netns);
	} else if (json_is(j, "labels")) {
		err = json_next(j) == JSON_OBJECT ? read_labels(r, j) : -EBADMSG;
	} else if (!json_skip(j)) {
		err = -EBADMSG;
	}
	return err == -ENOMEM ? err : err ? -EBADMSG : 0;
}

int record_read(struct record *r, const char *line, size_t len)
{
	struct json j;
	int err = 0;

	*r = (struct record){ 0 };
	json_init(&j, line, len);
	if (json_next(&j) != JSON_OBJECT)
		return -EBADMSG;
	while (!err && !r->other && json_next(&j) == JSON_KEY)
		err = read_key(r, &j);
	if (err || r->other)
		return err;
	if (j.token != JSON_OBJECT_END || json_next(&j) != JSON_END)
		return -EBADMSG;
	if (!r->is_metric)
		return 0;
	if (!*r->metric || !r->ts.tv_sec || !r->text[0] || !r->text[1] || !r->text[2])
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(r->text); i++)
		buf_add(&r->target, r->text[i], strlen(r->text[i]) + 1);
	return r->target.failed || r->labels.failed ? -ENOMEM : 0;
}

void record_free(struct record *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->text); i++)
		free(r->text[i]);
	buf_free(&r->target);
	buf_free(&r->labels);
}
