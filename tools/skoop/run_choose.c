// SPDX-License-Identifier: GPL-2.0-or-later
/* Which probes `skoop run` runs: names and groups in a list. */
#include "run.h"

#include <string.h>

int run_no_memory(void)
{
	msg_error("out of memory");
	return EXIT_FAILED;
}

static bool is_all(const struct probe_info *p)
{
	(void)p;
	return true;
}

static bool is_counter_probe(const struct probe_info *p)
{
	return p->nmetrics && !p->nevents && p->source && !probe_traces(p);
}

static bool has_events(const struct probe_info *p)
{
	return p->nevents;
}

/* Words for several probes. */
static const struct {
	const char *name;
	bool (*takes)(const struct probe_info *p);
} groups[] = { { "all", is_all }, { "metrics", is_counter_probe }, { "events", has_events } };

static int choose(struct run_plan *plan, struct probe_info *p)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->chosen[i] == p) {
			msg_error("%s is named twice", p->name);
			return EXIT_USAGE;
		}
	}
	plan->chosen[plan->n++] = p; /* there is room for each once */
	return -1;
}

static int choose_group(struct run_plan *plan, bool (*takes)(const struct probe_info *p))
{
	int code = -1;

	for (size_t i = 0; i < plan->probes.n && code < 0; i++)
		if (takes(&plan->probes.v[i]))
			code = choose(plan, &plan->probes.v[i]);
	return code;
}

static int unknown_probe(const struct run_plan *plan, const char *name)
{
	struct nearest near = { .name = name };
	struct buf b = { 0 };

	for (size_t i = 0; i < plan->probes.n; i++)
		nearest_offer(&near, plan->probes.v[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		nearest_offer(&near, groups[i].name);
	nearest_print(&near, &b);
	msg_error("no probe is named '%s'%s", name, b.data ? b.data : "; see skoop list");
	buf_free(&b);
	return EXIT_USAGE;
}

static int choose_name(struct run_plan *plan, const char *name)
{
	struct probe_info *p = probes_get(&plan->probes, name);

	if (p)
		return choose(plan, p);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(name, groups[i].name))
			return choose_group(plan, groups[i].takes);
	if (*name)
		return unknown_probe(plan, name);
	msg_error("an empty name in the list of probes");
	return EXIT_USAGE;
}

bool run_names_group(const char *list)
{
	for (size_t len; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
			if (len == strlen(groups[i].name) && !memcmp(list, groups[i].name, len))
				return true;
	}
	return false;
}

int run_choose(struct run_plan *plan, const char *list)
{
	auto_free char *copy = strdup(list);
	char *rest = copy;
	int code = -1;

	if (!copy)
		return run_no_memory();
	/* What is in a group, only the probes can say; those that are named are just run. */
	if (run_names_group(list) && probes_describe_all(&plan->probes))
		return EXIT_FAILED;
	plan->chosen = calloc(plan->probes.n + 1, sizeof(*plan->chosen));
	plan->args = calloc(plan->probes.n + 1, sizeof(*plan->args));
	if (!plan->chosen || !plan->args)
		return run_no_memory();
	for (char *name; code < 0 && (name = strsep(&rest, ","));)
		code = choose_name(plan, name);
	if (code < 0 && !plan->n) {
		msg_error("there is no probe for '%s' here; see skoop list", list);
		return EXIT_USAGE;
	}
	return code;
}

int run_describe(struct run_plan *plan)
{
	if (probes_describe(plan->chosen, plan->n))
		return EXIT_FAILED;
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->chosen[i]->described)
			continue;
		msg_error("%s does not describe itself", plan->chosen[i]->path);
		return EXIT_FAILED;
	}
	return -1;
}
