/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's functions by address and by name, from /proc/kallsyms. */
#ifndef SKOOP_KSYMS_H
#define SKOOP_KSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ksym {
	uint64_t address;
	uint32_t name;   /* offset into names */
	uint32_t module; /* offset into names, 0: the kernel itself */
};

struct ksyms {
	struct ksym *v; /* by ascending address */
	size_t n, size;
	char *names;
	size_t names_len, names_size;
	bool hidden; /* the kernel shows names only (kernel.kptr_restrict, CAP_SYSLOG) */
	uint64_t modules, looked_at; /* which were loaded, and when that was looked at */
};

/* 0 or -errno; -EBADMSG: there is no function in it. */
int ksyms_read(struct ksyms *ks, const char *path);
void ksyms_free(struct ksyms *ks);
/*
 * Whether modules (those in `path`, as /proc/modules) came or went since the first call after ksyms_read(); now (ns): once
 * a second that is looked at.
 */
bool ksyms_stale(struct ksyms *ks, const char *path, uint64_t now);

/*
 * The function that holds the address; NULL: none, or addresses are hidden. *end: where the next begins. No function is
 * longer than 1 MiB: what lies beyond is in none.
 */
const struct ksym *ksyms_find(const struct ksyms *ks, uint64_t address, uint64_t *end);
/* The first function of that name; NULL: none. */
const struct ksym *ksyms_named(const struct ksyms *ks, const char *name);
static inline const char *ksym_name(const struct ksyms *ks, const struct ksym *s)
{
	return ks->names + s->name;
}

#endif
