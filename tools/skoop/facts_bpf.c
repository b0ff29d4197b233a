// SPDX-License-Identifier: GPL-2.0-or-later
/* What decides how, and whether, probes can trace the kernel: found out by trying, on a function made for tests. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>

#include "libcommon/btf.h"
#include "libcommon/caps.h"

/* It does nothing, and only the kernel's own tests call it. */
#define HARMLESS "bpf_fentry_test1"

void say_bpf(const struct roots *roots, struct buf *b)
{
	static const uint64_t wanted = 1ULL << 38 | 1ULL << 39; /* CAP_PERFMON, CAP_BPF */
	uint64_t have = caps_effective();

	(void)roots;
	if (have & CAP_TO_MASK(CAP_SYS_ADMIN)) {
		buf_str(b, "programs may be loaded and may trace: CAP_SYS_ADMIN is held");
	} else if ((have & wanted) == wanted) {
		buf_str(b, "programs may be loaded and may trace: CAP_BPF and CAP_PERFMON are held");
	} else {
		buf_str(b,
			"programs cannot be loaded, so that no probe traces the kernel: missing ");
		caps_list(b, wanted & ~have);
	}
}

void say_symbols(const struct roots *roots, struct buf *b)
{
	auto_fclose FILE *f = fopen("/proc/kallsyms", "re"),
			 *restrict_ = fopen("/proc/sys/kernel/kptr_restrict", "re");
	char line[256] = "";
	int level = -1;

	(void)roots;
	if (restrict_ && fscanf(restrict_, "%d", &level) != 1)
		level = -1;
	if (!f || !fgets(line, sizeof(line), f))
		buf_printf(b, "/proc/kallsyms: %s", f ? "empty" : strerror(errno));
	else if (strspn(line, "0") >= 8)
		buf_str(b, "addresses are hidden: places in the kernel are shown as numbers");
	else
		buf_str(b, "addresses are shown: places in the kernel have names");
	if (level >= 0)
		buf_printf(b, " (kptr_restrict %d%s)", level,
			   caps_effective() & CAP_TO_MASK(CAP_SYSLOG) ? "" : ", missing CAP_SYSLOG");
}

/* A kprobe made and gone again. 0 or -errno; -ENOENT: this kernel has none. */
static int kprobe_try(void)
{
	auto_fclose FILE *f = fopen("/sys/bus/event_source/devices/kprobe/type", "re");
	struct perf_event_attr attr = { .size = sizeof(attr) };
	int fd;

	if (!f)
		return -errno;
	if (fscanf(f, "%u", &attr.type) != 1)
		return -EBADMSG;
	attr.config1 = (uintptr_t)HARMLESS;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

void say_kprobes(const struct roots *roots, struct buf *b)
{
	int err = kprobe_try();

	(void)roots;
	if (!err)
		buf_str(b, "work");
	else if (err == -ENOENT)
		buf_str(b, "this kernel has none");
	else
		buf_printf(b, "refused: %s", strerror(-err));
}

/* The number of a function in the kernel's type information; 0: not there. */
static uint32_t function_id(const char *name)
{
	const struct btf_type *t = NULL;
	struct types types;
	uint32_t id = 0, found = 0;

	if (types_read(&types, "/sys/kernel/btf/vmlinux"))
		return 0;
	while (!found && (t = types_next(&types, t))) {
		id++;
		if (BTF_INFO_KIND(t->info) == BTF_KIND_FUNC &&
		    !strcmp(types_string(&types, t->name_off), name))
			found = id;
	}
	types_free(&types);
	return found;
}

/* A program that returns at once. Its descriptor or -errno. */
static int fentry_load(uint32_t function)
{
	const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_FENTRY,
		.attach_btf_id = function,
		.insns = (uintptr_t)program,
		.insn_cnt = ARRAY_SIZE(program),
		.license = (uintptr_t) "GPL",
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

static int fentry_try(void)
{
	uint32_t function = function_id(HARMLESS);
	union bpf_attr attr = { 0 };
	auto_close int program = -1, link = -1;

	if (!function)
		return -ENOENT;
	program = fentry_load(function);
	if (program < 0)
		return program;
	attr.raw_tracepoint.prog_fd = (uint32_t)program;
	link = (int)syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));
	return link < 0 ? -errno : 0;
}

void say_fentry(const struct roots *roots, struct buf *b)
{
	int err = fentry_try();

	(void)roots;
	if (!err)
		buf_str(b, "works");
	else if (err == -ENOENT)
		buf_str(b, "not known: the kernel has no function to try it on");
	else
		buf_printf(b, "refused: %s", strerror(-err));
}
