// SPDX-License-Identifier: GPL-2.0-or-later
/* Getting the kernel half to run, and what to say, in one line, when it cannot. */
#include "bpf_run.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "caps.h"
#include "options.h"

/* ---- what libbpf says: kept here, as its callback has nobody to hand it to ---- */

static struct {
	char program[64]; /* the last one a warning was about */
	bool locked;      /* the kernel kept the reading of its memory from a program */
	bool verbose;
} said;

/* The verifier's account comes as one message of many lines. */
static void tell_lines(char *text)
{
	for (char *line; (line = strsep(&text, "\n"));)
		if (*line)
			msg_verbose("%s", line);
}

static void keep_warning(const char *text)
{
	const char *name = strstr(text, "prog '");

	if (name)
		snprintf(said.program, sizeof(said.program), "%.*s", (int)strcspn(name + 6, "'"),
			 name + 6);
	/* Older and newer words of the verifier for a helper that is not handed out. */
	if ((strstr(text, "unknown func") || strstr(text, "cannot use helper")) &&
	    strstr(text, "bpf_probe_read"))
		said.locked = true;
}

static int take_message(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text;

	if (level == LIBBPF_DEBUG || vasprintf(&text, fmt, ap) < 0)
		return 0;
	if (level == LIBBPF_WARN)
		keep_warning(text);
	if (said.verbose)
		tell_lines(text);
	free(text);
	return 0;
}

/* ---- what is missing, in one line ---- */

/* It stands for the two that were split from it. */
static bool may_all(void)
{
	return caps_effective() & CAP_TO_MASK(CAP_SYS_ADMIN);
}

/*
 * Kernels before 5.11 count maps and programs as locked memory, and libbpf raises that limit where it may. Such a kernel
 * is known by a helper it lacks that came with the change.
 */
static bool memory_limited(const struct bpf_run *r, uint64_t *kib)
{
	struct rlimit limit;
	uint64_t value;

	if (caps_effective() & CAP_TO_MASK(CAP_SYS_RESOURCE) || getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_max == RLIM_INFINITY ||
	    kernel_enum_value(r->kernel, "bpf_func_id", "BPF_FUNC_ktime_get_coarse_ns", &value))
		return false;
	*kib = limit.rlim_max >> 10;
	return true;
}

static int report_refused(const struct bpf_run *r, const char *what)
{
	uint64_t kib;

	if (said.locked)
		msg_error("%s: kernel lockdown (confidentiality) forbids programs to read kernel memory; "
			  "boot with lockdown=integrity or none",
			  what);
	else if (!may_all() && r->probe->caps & ~caps_effective())
		caps_report(r->probe->caps, "%s", what);
	else if (memory_limited(r, &kib))
		msg_error("%s: this kernel counts them as locked memory, limited to %llu KiB here; "
			  "ulimit -l unlimited, or run with CAP_SYS_RESOURCE",
			  what, (unsigned long long)kib);
	else
		caps_report(0, "%s", what);
	return EXIT_PRIVILEGE;
}

/* A hook without which the probe cannot run. */
static int report_hook(const struct bpf_run *r, size_t i)
{
	const struct hook_state *s = &r->hooks[i];
	const char *name = r->tracing->hooks[i].name;
	const char *refused = s->refused.len ? s->refused.data : "no way to";
	char what[256];

	snprintf(what, sizeof(what), "cannot trace %s (%s)", name, refused);
	if (s->denied || said.locked)
		return report_refused(r, what);
	msg_error("cannot trace %s here: %s", name, refused);
	return EXIT_UNSUPPORTED;
}

static int report_load(const struct bpf_run *r, int err)
{
	if (err == -EPERM || err == -EACCES)
		return report_refused(r, "cannot load BPF programs");
	msg_error("cannot load BPF programs: %s; -v tells more", strerror(-err));
	return err == -ENOSYS || err == -EOPNOTSUPP || err == -EINVAL ? EXIT_UNSUPPORTED
								      : EXIT_FAILED;
}

/* ---- one attempt ---- */

static void unload(struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		bpf_link__destroy(r->hooks[i].link);
		r->hooks[i].link = NULL;
	}
	bpf_object__close(r->object);
	r->object = NULL;
}

/*
 * Opens the object, the first time just to learn which types it names: relocating against those alone is most of the
 * time and memory that loading takes.
 */
static int open_object(struct bpf_run *r)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = r->probe->name);
	uint32_t btf_size;
	size_t size;
	const void *elf = r->tracing->object(&size), *btf;
	char path[64];

	*said.program = '\0';
	if (r->types_fd < 0) {
		r->object = bpf_object__open_mem(elf, size, &opts);
		if (!r->object)
			return -errno;
		btf = btf__raw_data(bpf_object__btf(r->object), &btf_size);
		r->types_fd = btf ? kernel_types_for(r->kernel, btf, btf_size) : -ENOMEM;
		bpf_object__close(r->object);
		r->object = NULL;
		if (r->types_fd < 0)
			return r->types_fd;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->types_fd);
	opts.btf_custom_path = path;
	r->object = bpf_object__open_mem(elf, size, &opts);
	return r->object ? 0 : -errno;
}

/* The hook whose program libbpf complained of; -1: of none. */
static int failed_hook(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].program >= 0 &&
		    !strcmp(r->tracing->hooks[i].programs[r->hooks[i].program], said.program))
			return (int)i;
	return -1;
}

static int load(struct bpf_run *r)
{
	struct hook_place place;
	int err;

	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].program >= 0)
			bpf_program__set_autoload(bpf_run_program(r, i, &place), true);
	kernel_rest(r->kernel);
	err = bpf_object__load(r->object);
	return err || !r->tracing->loaded ? err : r->tracing->loaded(r);
}

/* 0, or -errno with *hook the one that could not be attached. */
static int attach(struct bpf_run *r, int *hook)
{
	struct hook_place place;

	for (size_t i = 0; i < r->nhooks; i++) {
		struct hook_state *s = &r->hooks[i];

		if (s->program < 0)
			continue;
		s->link = bpf_program__attach(bpf_run_program(r, i, &place));
		if (!s->link) {
			*hook = (int)i;
			return -errno;
		}
	}
	return 0;
}

/* Whether every program would fare alike: without the privilege, or the room. */
static bool is_general(const struct bpf_run *r, int err)
{
	if (err == -EPERM || err == -EACCES)
		return r->probe->caps & ~caps_effective() && !may_all();
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

/*
 * Loads and attaches what was chosen. What the kernel refuses gives way to the next program of its hook, and all is
 * begun again, since libbpf loads an object as a whole. EXIT_OK, an exit code, or -EAGAIN.
 */
static int attempt(struct bpf_run *r)
{
	int hook = bpf_run_without(r), err;

	if (hook >= 0)
		return report_hook(r, (size_t)hook);
	err = bpf_run_set_constants(r);
	if (!err)
		err = bpf_run_set_sizes(r);
	if (err)
		return err == -EINVAL       ? EXIT_USAGE
		       : err == -EOPNOTSUPP ? EXIT_UNSUPPORTED
					    : EXIT_FAILED;
	err = load(r);
	if (err)
		hook = failed_hook(r);
	else
		err = attach(r, &hook);
	if (!err)
		return EXIT_OK;
	if (hook < 0 || is_general(r, err))
		return report_load(r, err);
	bpf_run_next_program(r, (size_t)hook, err);
	return -EAGAIN;
}

/* ---- the whole ---- */

static int open_kernel(struct bpf_run *r)
{
	int err = kernel_open(&r->kernel);

	if (!err)
		return EXIT_OK;
	if (err == -ENOENT && access("/sys/kernel", F_OK))
		msg_error(
			"/sys/kernel/btf/vmlinux cannot be read: no sysfs is mounted on /sys here; "
			"mount it, or start the container with the host's");
	else if (err == -ENOENT)
		msg_error("this kernel has no type information (/sys/kernel/btf/vmlinux): "
			  "it needs to be built with CONFIG_DEBUG_INFO_BTF=y");
	else
		msg_error("/sys/kernel/btf/vmlinux: %s", strerror(-err));
	return err == -EACCES || err == -EPERM ? EXIT_PRIVILEGE
	       : err == -ENOENT                ? EXIT_UNSUPPORTED
					       : EXIT_FAILED;
}

static int prepare(struct bpf_run *r)
{
	size_t n = 0;
	int err;

	while (r->tracing->hooks[n].name)
		n++;
	r->hooks = calloc(n + 1, sizeof(*r->hooks));
	err = r->hooks ? bpf_run_handle(r) : -ENOMEM;
	if (!err)
		err = open_object(r);
	if (err) {
		msg_error("cannot open the BPF object: %s", strerror(-err));
		return EXIT_FAILED;
	}
	r->nhooks = n;
	bpf_run_choose(r);
	return EXIT_OK;
}

int bpf_run_load(struct bpf_run *r)
{
	int code, err;

	said.verbose = r->opt->verbosity >= MSG_VERBOSE;
	libbpf_set_print(take_message);
	code = open_kernel(r);
	if (!code)
		code = prepare(r);
	if (code)
		return code;
	while ((code = attempt(r)) == -EAGAIN) {
		unload(r);
		err = open_object(r);
		if (err)
			return report_load(r, err);
	}
	if (code)
		unload(r);
	else
		bpf_run_tell_hooks(r);
	return code;
}

bool bpf_run_attached(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].link)
			return true;
	return false;
}

/* The last ones first: a hook that undoes what a later one in the table has done must outlive it. */
void bpf_run_detach(struct bpf_run *r)
{
	for (size_t i = r->nhooks; i-- > 0;) {
		bpf_link__destroy(r->hooks[i].link);
		r->hooks[i].link = NULL;
	}
	/* Waits for a grace period: who was in a program has left it. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void bpf_run_unload(struct bpf_run *r)
{
	unload(r);
	for (size_t i = 0; i < r->nhooks; i++)
		buf_free(&r->hooks[i].refused);
	free(r->hooks);
	r->hooks = NULL;
	r->nhooks = 0;
	if (r->types_fd >= 0)
		close(r->types_fd);
	r->types_fd = -1;
	bpf_run_unhandle(r);
	kernel_close(r->kernel);
	r->kernel = NULL;
}
