// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * JSON as runtimes write it: the scanner keeps its bounds, and what it takes for an end is one
 * however it got there.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libcommon/json.h"
#include "libcommon/pod.h"
#include "libcommon/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const struct json *j)
{
	assert(j->depth <= JSON_DEPTH_MAX);
	assert(j->len <= JSON_TEXT_MAX && !j->text[j->len]);
	if (j->token == JSON_NUMBER) {
		uint64_t u;
		int64_t i;

		json_u64(j, &u);
		json_i64(j, &i);
	}
}

static enum json_token walk(const char *text, size_t len)
{
	struct json j;

	json_init(&j, text, len);
	do
		check_token((json_next(&j), &j));
	while (j.token != JSON_END && j.token != JSON_ERROR);
	assert(json_next(&j) == j.token);
	return j.token;
}

static enum json_token skip(const char *text, size_t len)
{
	struct json j;

	json_init(&j, text, len);
	json_next(&j);
	if (!json_skip(&j))
		return JSON_ERROR;
	assert(!j.depth);
	return json_next(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	enum json_token end = walk(text, size);

	assert(skip(text, size) == end);
	for (int runtime = RUNTIME_CONTAINERD; runtime <= RUNTIME_DOCKER; runtime++) {
		struct pod_name name = { 0 }, again;

		if (runtime_parse((enum runtime)runtime, text, size, &name))
			continue;
		assert(end == JSON_END);
		assert(pod_name_set(&again, name.namespace, strlen(name.namespace), name.pod,
				    strlen(name.pod)));
		assert(!*name.uid || uid_valid(name.uid, strlen(name.uid)));
	}
	return 0;
}
