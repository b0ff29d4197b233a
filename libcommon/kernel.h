/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the running kernel has, asked of its own type information (BTF) and symbol table, never of its version: stable
 * kernels carry backports.
 */
#ifndef SKOOP_KERNEL_H
#define SKOOP_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel;

/*
 * Reads /sys/kernel/btf/vmlinux. 0 or -errno: -ENOENT where it is not there, -EBADMSG where it is no BTF, both without
 * a message.
 */
int kernel_open(struct kernel **k);
void kernel_close(struct kernel *k);
/*
 * A file in memory that holds the types an object of this type information needs, see types_reduce(). A descriptor or
 * -errno.
 */
int kernel_types_for(struct kernel *k, const void *btf, size_t size);
/*
 * Lets go of the type information (some 6 MB) until the next question about it: so as not to hold it while programs are
 * loaded.
 */
void kernel_rest(struct kernel *k);

/* How many arguments the tracepoint gives its listeners; -1: this kernel does not have it. */
int kernel_tracepoint_args(struct kernel *k, const char *name);
/*
 * How many arguments the function takes, one of a module included; -1: BTF does not know it (inlined, static under another
 * name, in a module without type information).
 */
int kernel_function_args(struct kernel *k, const char *name);
/*
 * What bpf(2) calls them by when a program is to be attached there: the number of their type; 0: as above. module: whose
 * types it is among, NULL: the kernel's; valid until the next question.
 */
uint32_t kernel_tracepoint_id(struct kernel *k, const char *name);
uint32_t kernel_function_id(struct kernel *k, const char *name, const char **module);
/* Whether the symbol table has a function of that name, modules included; also where addresses are hidden. */
bool kernel_has_symbol(struct kernel *k, const char *name);

/*
 * The name of a value of an enum of the kernel, without `prefix` if it begins so; NULL: no such enum or value. Lives as
 * long as k. Further modules' types are not looked at.
 */
const char *kernel_enum_name(const struct kernel *k, const char *type, const char *prefix,
			     uint64_t value);
/* Before the first question about it: an enum that only a module has, and that is empty while it is not loaded. */
void kernel_enum_of_module(const struct kernel *k, const char *type, const char *module);
/* The other way round: the value named prefix + name; false: none. */
bool kernel_enum_value(const struct kernel *k, const char *type, const char *name, uint64_t *value);

/*
 * "nf_hook_slow+0xab [nf_tables]"; NULL: the address is in no known function, or the kernel hides its addresses. Valid
 * until the next call.
 */
const char *kernel_symbol(struct kernel *k, uint64_t address);
/* The same without offset: for counting by function. */
const char *kernel_function(const struct kernel *k, uint64_t address);
/* Hands each function to fn, by ascending address; module: "" for the kernel itself. None where addresses are hidden. */
typedef void (*kernel_function_fn)(const char *name, const char *module, uint64_t from, uint64_t to,
				   void *arg);
void kernel_each_function(struct kernel *k, kernel_function_fn fn, void *arg);
/* The address range of a function; false: unknown. */
bool kernel_symbol_range(struct kernel *k, const char *name, uint64_t *from, uint64_t *to);

/* A name made of parts, for fields' `names`; valid until the next call. */
const char *kernel_text(const struct kernel *k, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The length of a tick in ns: what turns jiffies into time. */
uint64_t kernel_tick_ns(void);

#endif
