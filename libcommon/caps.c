// SPDX-License-Identifier: GPL-2.0-or-later
/* Which capabilities this process has, and how to say which one is missing. */
#include "caps.h"

#include <linux/capability.h>
#include <stdarg.h>
#include <string.h>

#include "util.h"

/* The ones any probe asks for. */
static const struct {
	int bit;
	const char *name;
} names[] = {
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },
	{ CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE" },
	{ CAP_SYSLOG, "CAP_SYSLOG" },
	{ 38, "CAP_PERFMON" }, /* since 5.8, newer than some headers */
	{ 39, "CAP_BPF" },
};

/* The value of "NAME:\t…" in /proc/self/status, cut at the line's end; false: not there. The own /proc, always. */
static bool status_value(const char *name, char *value, size_t size)
{
	auto_fclose FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	size_t len = strlen(name);

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(value, size, "%s", line + len + 1 + strspn(line + len + 1, " \t"));
		return true;
	}
	return false;
}

uint64_t caps_effective(void)
{
	char hex[64];
	uint64_t set;

	return status_value("CapEff", hex, sizeof(hex)) && !parse_hex(hex, &set) ? set : 0;
}

void caps_list(struct buf *b, uint64_t set)
{
	const char *separator = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(set >> names[i].bit & 1))
			continue;
		buf_printf(b, "%s%s", separator, names[i].name);
		separator = ", ";
	}
}

/* Everything asked for is held and the kernel still said no: name who else may have. */
static void other_suspects(struct buf *b)
{
	char seccomp[16] = "?", lsm[256] = "";
	auto_fclose FILE *f = fopen("/sys/kernel/security/lsm", "re");

	status_value("Seccomp", seccomp, sizeof(seccomp));
	buf_printf(b, "refused although all capabilities for it are held (seccomp mode %s", seccomp);
	if (f && fgets(lsm, sizeof(lsm), f) && (lsm[strcspn(lsm, "\n")] = '\0', *lsm))
		buf_printf(b, ", security modules %s", lsm);
	buf_str(b, "; a user namespace or lockdown can refuse, too)");
}

void caps_report(uint64_t needed, const char *fmt, ...)
{
	uint64_t have = caps_effective();
	struct buf b = { 0 };
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (needed & ~have) {
		buf_str(&b, "missing ");
		caps_list(&b, needed & ~have);
		if (needed & have) {
			buf_str(&b, " (have ");
			caps_list(&b, needed & have);
			buf_str(&b, ")");
		}
		buf_str(&b, "; run as root, or with that capability");
	} else {
		other_suspects(&b);
	}
	msg_error("%s: %s", text, b.failed ? "refused" : b.data);
	buf_free(&b);
}
