// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel half finds set when it is loaded: constants in .rodata, and the sizes of its maps. */
#include "bpf_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "options.h"
#include "out.h"

/* The variable's place in the initial value of .rodata; NULL: there is none of that name. */
static void *constant(struct bpf_run *r, const char *name, size_t *size)
{
	const struct btf *btf = bpf_object__btf(r->object);
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, ".rodata");
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	const struct btf_type *sec = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_var_secinfo *v = sec ? btf_var_secinfos(sec) : NULL;
	size_t all;
	const char *base = map ? bpf_map__initial_value(map, &all) : NULL;

	for (size_t i = 0; base && sec && i < btf_vlen(sec); i++) {
		const struct btf_type *var = btf__type_by_id(btf, v[i].type);

		if (strcmp(btf__name_by_offset(btf, var->name_off), name))
			continue;
		*size = v[i].size;
		return (char *)base + v[i].offset;
	}
	return NULL;
}

int bpf_run_set(struct bpf_run *r, const char *name, const void *value, size_t size)
{
	size_t have;
	void *at = constant(r, name, &have);

	if (!at)
		return -ENOENT;
	if (have != size)
		return -EINVAL;
	memcpy(at, value, size);
	return 0;
}

/* One that not every kernel half has. */
static int set_optional(struct bpf_run *r, const char *name, const void *value, size_t size)
{
	int err = bpf_run_set(r, name, value, size);

	return err == -ENOENT ? 0 : err;
}

static int set_knob(struct bpf_run *r, const struct knob *k)
{
	static const size_t sizes[] = { [KNOB_FLAG] = sizeof(bool),
					[KNOB_NUMBER] = sizeof(uint64_t),
					[KNOB_DURATION] = sizeof(uint64_t),
					[KNOB_WORD] = sizeof(unsigned int) };
	char name[64];

	if (k->type >= ARRAY_SIZE(sizes) || !sizes[k->type])
		return 0;
	snprintf(name, sizeof(name), "knob_%s", k->name);
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_';
	return set_optional(r, name, k->value, sizes[k->type]);
}

/* How many arguments the hook has here, where the kernel half asks. */
static int set_args(struct bpf_run *r, const char *hook)
{
	int n = kernel_tracepoint_args(r->kernel, hook);
	uint32_t args = n < 0 ? 0 : (uint32_t)n;
	char name[96];

	snprintf(name, sizeof(name), "args_%s", hook);
	return set_optional(r, name, &args, sizeof(args));
}

/* ADDRESS or ADDRESS/BITS, checked before, as 16 bytes and their mask. */
static void parse_cidr(const char *text, uint8_t address[16], uint8_t mask[16])
{
	char host[64];
	const char *slash = strchrnul(text, '/');
	uint64_t bits = 128;

	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	memset(address, 0, 16);
	memset(mask, 0, 16);
	if (!strchr(host, ':')) {
		address[10] = address[11] = 0xff;
		inet_pton(AF_INET, host, address + 12);
		if (*slash && !parse_u64(slash + 1, 0, 32, &bits))
			bits += 96;
	} else {
		inet_pton(AF_INET6, host, address);
		if (*slash)
			parse_u64(slash + 1, 0, 128, &bits);
	}
	for (size_t i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static int set_address(struct bpf_run *r, const char *cidr)
{
	uint8_t address[16], mask[16];
	const bool yes = true;

	parse_cidr(cidr, address, mask);
	if (bpf_run_set(r, "filter_address", address, sizeof(address)) ||
	    bpf_run_set(r, "filter_mask", mask, sizeof(mask)))
		return -ENOENT;
	return bpf_run_set(r, "only_address", &yes, sizeof(yes));
}

int bpf_run_set_constants(struct bpf_run *r)
{
	const struct options *opt = r->opt;
	const bool only = bpf_run_selecting(r), events = out_shows_events(r->out);
	const uint64_t tick = kernel_tick_ns();
	const uint64_t threshold = bpf_run_threshold(r);
	int err = set_optional(r, "with_stack", &opt->stack, sizeof(opt->stack));

	if (!err)
		err = set_optional(r, "with_events", &events, sizeof(events));
	if (!err)
		err = set_optional(r, "only_targets", &only, sizeof(only));
	if (!err)
		err = set_optional(r, "tick_ns", &tick, sizeof(tick));
	if (!err)
		err = set_optional(r, "with_hists", &opt->dist, sizeof(opt->dist));
	if (!err)
		err = set_optional(r, "threshold_ns", &threshold, sizeof(threshold));
	for (const struct hook *h = r->tracing->hooks; !err && h->name; h++)
		err = set_args(r, h->name);
	for (const struct knob *k = r->probe->knobs; !err && k && k->name; k++) {
		if (k->type == KNOB_CIDR && *(const char **)k->value && !strcmp(k->name, "address"))
			err = set_address(r, *(const char **)k->value);
		else
			err = set_knob(r, k);
	}
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	else if (r->tracing->setup)
		err = r->tracing->setup(r);
	return err;
}

int bpf_run_set_sizes(struct bpf_run *r)
{
	const struct options *opt = r->opt;
	int err = 0;

	if (!r->probe->events || !out_shows_events(r->out))
		err = bpf_run_map_size(r, "events", (uint32_t)sysconf(_SC_PAGESIZE));
	else if (opt->buffer)
		err = bpf_run_map_size(r, "events", (uint32_t)opt->buffer);
	if (!err && !bpf_run_selecting(r))
		err = bpf_run_map_size(r, "targets", 1);
	if (!err && !opt->dist)
		err = bpf_run_map_size(r, "hists", 1);
	if (err)
		msg_error("the kernel half's maps do not fit: %s", strerror(-err));
	return err;
}

int bpf_run_map(struct bpf_run *r, const char *name)
{
	return bpf_object__find_map_fd_by_name(r->object, name);
}

int bpf_run_map_type(struct bpf_run *r, const char *name, unsigned int type)
{
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, name);

	return map ? bpf_map__set_type(map, type) : -ENOENT;
}

int bpf_run_map_size(struct bpf_run *r, const char *name, uint32_t entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, name);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}
