// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading maps of the kernel half as a whole. */
#include "bpf_run.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Entries asked for at once: a bucket of the kernel's table has a few, and comes as a whole. */
#define BATCH 2048

/* How many values an entry has; *size is their size in all. */
static size_t copies_of(const struct bpf_map *map, size_t *size)
{
	enum bpf_map_type type = bpf_map__type(map);
	int cpus = libbpf_num_possible_cpus();

	*size = bpf_map__value_size(map);
	if (type != BPF_MAP_TYPE_PERCPU_HASH && type != BPF_MAP_TYPE_LRU_PERCPU_HASH)
		return 1;
	*size = (*size + 7) / 8 * 8 * (size_t)cpus;
	return (size_t)cpus;
}

int bpf_run_map_each(struct bpf_run *r, const char *name,
		     int (*fn)(const void *key, const void *value, size_t copies, void *arg),
		     void *arg)
{
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, name);
	auto_free char *keys = NULL, *values = NULL;
	uint32_t place, *from = NULL;
	size_t copies, key, value;
	int err = 0, end;

	if (!map)
		return -ENOENT;
	copies = copies_of(map, &value);
	key = bpf_map__key_size(map);
	keys = calloc(BATCH, key);
	values = calloc(BATCH, value);
	if (!keys || !values)
		return -ENOMEM;
	while (!err) {
		uint32_t n = BATCH;

		end = bpf_map_lookup_batch(bpf_map__fd(map), from, &place, keys, values, &n, NULL);
		if (end && end != -ENOENT)
			return end;
		for (uint32_t i = 0; !err && i < n; i++)
			err = fn(keys + i * key, values + i * value, copies, arg);
		if (end)
			break;
		from = &place;
	}
	return err;
}

static int count_entry(const void *key, const void *value, size_t copies, void *arg)
{
	uint64_t *n = arg;

	(void)key;
	(void)value;
	(void)copies;
	++*n;
	return 0;
}

int bpf_run_evicted(struct bpf_run *r, const char *map, uint64_t *told)
{
	uint64_t made = bpf_run_tally(r, "tally", TALLY_MADE), n = *told;
	int err = bpf_run_map_each(r, map, count_entry, &n);

	if (err)
		return err;
	n += bpf_run_tally(r, "tally", TALLY_ENDED);
	if (made > n) {
		bpf_run_lost(r, "map", made - n);
		*told += made - n;
	}
	return 0;
}

uint64_t bpf_run_tally(struct bpf_run *r, const char *name, uint32_t index)
{
	int cpus = libbpf_num_possible_cpus();
	auto_free uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));
	uint64_t sum = 0;

	if (!values || bpf_map_lookup_elem(bpf_run_map(r, name), &index, values))
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += values[cpu];
	return sum;
}
