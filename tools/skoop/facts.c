// SPDX-License-Identifier: GPL-2.0-or-later
/* What about this machine decides which probes can run: facts, not verdicts. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "libcommon/caps.h"
#include "libcommon/target.h"

/* The ones probes ask for; the last two are newer than some headers. */
#define CAPS_USED                                                                                  \
	(CAP_TO_MASK(CAP_DAC_READ_SEARCH) | CAP_TO_MASK(CAP_NET_ADMIN) |                           \
	 CAP_TO_MASK(CAP_SYS_ADMIN) | CAP_TO_MASK(CAP_SYS_PTRACE) | CAP_TO_MASK(CAP_SYSLOG) |      \
	 1ULL << 38 | 1ULL << 39)

/* The first line of a file; false: it cannot be read. */
static bool first_line(const char *path, char *line, size_t size)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f || !fgets(line, (int)size, f))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static bool fs_is(const char *path, long magic)
{
	struct statfs st;

	return !statfs(path, &st) && (long)st.f_type == magic;
}

static void say_kernel(const struct roots *roots, struct buf *b)
{
	struct utsname u;

	(void)roots;
	if (!uname(&u))
		buf_printf(b, "%s %s %s", u.sysname, u.release, u.machine);
}

static void say_cgroup(const struct roots *roots, struct buf *b)
{
	char path[PATH_MAX], unified[PATH_MAX];

	snprintf(path, sizeof(path), "%s/fs/cgroup", roots->sysfs);
	snprintf(unified, sizeof(unified), "%s/fs/cgroup/unified", roots->sysfs);
	if (fs_is(path, CGROUP2_SUPER_MAGIC))
		buf_str(b, "v2");
	else if (fs_is(unified, CGROUP2_SUPER_MAGIC))
		buf_str(b, "hybrid: v1 with v2 at unified");
	else if (fs_is(path, TMPFS_MAGIC) || fs_is(path, CGROUP_SUPER_MAGIC))
		buf_str(b, "v1");
	else
		buf_printf(b, "none at %s", path);
}

/*
 * Field 5 of mountinfo is where, what follows the " - " ends with the options of the file system.
 */
static void say_proc(const struct roots *roots, struct buf *b)
{
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], at[PATH_MAX], *hide;
	bool hidden = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1 || strcmp(at, roots->procfs))
			continue;
		hide = strstr(line, "hidepid=");
		hidden = hide && strncmp(hide, "hidepid=0", 9) && strncmp(hide, "hidepid=off", 11);
		if (hidden)
			hide[strcspn(hide, ", \n")] = '\0';
		if (hidden)
			buf_printf(b,
				   "%s: mounted with %s: other users' processes cannot be seen "
				   "without CAP_SYS_PTRACE",
				   at, hide);
	}
	if (!b->len)
		buf_printf(b, "%s: every process can be seen", roots->procfs);
}

static void say_caps(const struct roots *roots, struct buf *b)
{
	uint64_t have = caps_effective();

	(void)roots;
	if ((have & CAPS_USED) == CAPS_USED) {
		buf_str(b, "all that any probe asks for");
		return;
	}
	buf_str(b, have & CAPS_USED ? "held: " : "held: none");
	caps_list(b, have & CAPS_USED);
	buf_str(b, "; missing: ");
	caps_list(b, CAPS_USED & ~have);
}

/* Entries of a directory; -errno. */
static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		n += *entry->d_name != '.';
	closedir(dir);
	return n;
}

/* In the order in which names are looked up. */
static void say_pods(const struct roots *roots, struct buf *b)
{
	static const struct {
		const char *path, *what;
	} runtimes[] = {
		{ "var/log/containers", "container log names" },
		{ "run/containerd/io.containerd.runtime.v2.task/k8s.io", "containerd" },
		{ "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io", "containerd of k3s" },
		{ "run/k0s/containerd/io.containerd.runtime.v2.task/k8s.io", "containerd of k0s" },
		{ "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task/k8s.io",
		  "containerd of microk8s" },
		{ "run/containers/storage/overlay-containers", "CRI-O" },
		{ "var/lib/containers/storage/overlay-containers", "CRI-O" },
		{ "var/lib/docker/containers", "docker" },
	};
	char path[PATH_MAX];
	int n = count_entries(roots->pod_logs);

	if (n >= 0)
		buf_printf(b, "%s (%d directories)", roots->pod_logs, n);
	else if (n != -ENOENT)
		buf_printf(b, "%s: %s", roots->pod_logs, strerror(-n));
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		snprintf(path, sizeof(path), "%s/%s", roots->rootfs, runtimes[i].path);
		if (!access(path, R_OK | X_OK))
			buf_printf(b, "%s%s (%s)", b->len ? ", " : "", path, runtimes[i].what);
	}
	if (!b->len)
		buf_printf(b,
			   "nowhere: no %s and no container runtime's files; namespaces are named "
			   "by what holds them",
			   roots->pod_logs);
}

static void say_security(const struct roots *roots, struct buf *b)
{
	char lsm[256], lockdown[128], map[128];
	unsigned int inside, outside, count;
	char seccomp[16] = "?", line[256];
	auto_fclose FILE *f = fopen("/proc/self/status", "re");

	(void)roots;
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Seccomp: %15s", seccomp);
	buf_printf(b, "modules %s",
		   first_line("/sys/kernel/security/lsm", lsm, sizeof(lsm)) ? lsm : "unknown");
	buf_printf(b, "; lockdown %s",
		   first_line("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown))
			   ? lockdown
			   : "unknown");
	buf_printf(b, "; seccomp mode %s", seccomp);
	if (first_line("/proc/self/uid_map", map, sizeof(map)) &&
	    sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && count != UINT32_MAX)
		buf_str(b, "; inside a user namespace");
}

static void say_btf(const struct roots *roots, struct buf *b)
{
	struct stat st;

	(void)roots;
	if (!stat("/sys/kernel/btf/vmlinux", &st))
		buf_printf(b, "/sys/kernel/btf/vmlinux (%jd bytes)", (intmax_t)st.st_size);
	else
		buf_printf(b, "/sys/kernel/btf/vmlinux: %s: probes that trace the kernel cannot run",
			   strerror(errno));
}

static void say_tracefs(const struct roots *roots, struct buf *b)
{
	static const char *const paths[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };

	(void)roots;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (fs_is(paths[i], TRACEFS_MAGIC)) {
			buf_str(b, paths[i]);
			return;
		}
	}
	buf_str(b, "not mounted (no probe needs it)");
}

const struct fact facts[] = {
	{ "kernel", say_kernel },
	{ "cgroup", say_cgroup },
	{ "processes", say_proc },
	{ "capabilities", say_caps },
	{ "pod names", say_pods },
	{ "security", say_security },
	{ "btf", say_btf },
	{ "bpf", say_bpf },
	{ "symbols", say_symbols },
	{ "kprobes", say_kprobes },
	{ "fentry", say_fentry },
	{ "tracefs", say_tracefs },
	{},
};
