/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two rounds of samples from a short text, through the same JSON lines as a probe sends:
 *
 *	"tcp_insegs 10 25; web:netdev_mtu{device=eth0} 1500; !sock_mem 7 -"
 *
 * is metric insegs of pod "pod" first 10, then 25; mtu of device eth0 of pod "web", 1500 both
 *times; and the machine's mem, in the first round only. A leading ? marks a sample without which
 *the rest says more: see test_findings.c.
 */
#ifndef SKOOP_TEST_SAMPLES_H
#define SKOOP_TEST_SAMPLES_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/skoop/store.h"

struct sample_text {
	bool host, optional;
	char pod[400], metric[400], labels[256], value[2][32];
};

/* ",\"k\":\"v\"" for each of "k=v,k=v" */
static void sample_labels(const char *text, char *out, size_t size)
{
	char copy[256], *save, *pair;

	*out = '\0';
	snprintf(copy, sizeof(copy), "%s", text);
	for (pair = strtok_r(copy, ",", &save); pair; pair = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(pair, '=');
		size_t len = strlen(out);

		assert_non_null(equals);
		*equals = '\0';
		snprintf(out + len, size - len, ",\"%s\":\"%s\"", pair, equals + 1);
	}
}

static void sample_parse(const char *text, struct sample_text *s)
{
	char name[400], *brace, *colon;
	int n;

	*s = (struct sample_text){ .pod = "pod" };
	for (; *text == ' ' || *text == '?' || *text == '!'; text++) {
		s->optional |= *text == '?';
		s->host |= *text == '!';
	}
	n = sscanf(text, "%399s %31s %31s", name, s->value[0], s->value[1]);
	if (n < 2)
		fail_msg("not a sample: %s", text);
	if (n == 2)
		memcpy(s->value[1], s->value[0], sizeof(s->value[1]));
	brace = strchr(name, '{');
	if (brace) {
		*brace++ = '\0';
		brace[strcspn(brace, "}")] = '\0';
		sample_labels(brace, s->labels, sizeof(s->labels));
	}
	colon = strchr(name, ':');
	if (colon) {
		*colon = '\0';
		snprintf(s->pod, sizeof(s->pod), "%s", name);
	}
	snprintf(s->metric, sizeof(s->metric), "%s", colon ? colon + 1 : name);
}

static int sample_feed(struct sender *to, const struct sample_text *s, int round, double seconds)
{
	long long ns = 1000000000LL + (long long)(round * seconds * 1e9);
	char line[2048];

	if (!strcmp(s->value[round], "-"))
		return 0;
	snprintf(line, sizeof(line),
		 "{\"schema\":1,\"kind\":\"metric\",\"ts\":\"2026-11-22T21:%02lld:%02lld.%09lldZ\","
		 "\"probe\":\"x\","
		 "\"metric\":\"kubeskoop_%s\",\"type\":\"counter\",\"scope\":\"%s\",\"value\":%s,"
		 "\"delta\":null,"
		 "\"labels\":{\"target_pod\":\"%s\",\"target_namespace\":\"%s\",\"target_node\":"
		 "\"n\"%s},\"netns\":%d}",
		 ns / 60000000000LL, ns / 1000000000LL % 60, ns % 1000000000LL, s->metric,
		 s->host ? "host" : "netns", s->value[round], s->host ? "hostNetwork" : s->pod,
		 s->host ? "hostNetwork" : "ns", s->labels, s->host ? 1 : s->pod[0]);
	return store_feed(to, line, strlen(line));
}

/* Feeds the samples separated by ';' but the one with number `without`; `rounds` is a mask of
 * rounds to feed. */
static void samples_feed(struct sender *to, const char *text, double seconds, int without,
			 int rounds)
{
	for (int round = 0; round < 2; round++) {
		char copy[4096], *save, *part;
		int i = 0;

		snprintf(copy, sizeof(copy), "%s", text);
		/* A window there must be, whatever is left out. */
		if (rounds == 3 || rounds & 1 << round)
			assert_int_equal(sample_feed(to,
						     &(struct sample_text){ .pod = "pod",
									    .metric = "x_x",
									    .value = { "1", "1" } },
						     round, seconds),
					 0);
		for (part = strtok_r(copy, ";", &save); part;
		     part = strtok_r(NULL, ";", &save), i++) {
			struct sample_text s;

			if (!part[strspn(part, " ")])
				continue;
			sample_parse(part, &s);
			if (i != without && rounds & 1 << round)
				assert_int_equal(sample_feed(to, &s, round, seconds), 0);
		}
	}
}

#endif
