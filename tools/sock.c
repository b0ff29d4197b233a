// SPDX-License-Identifier: GPL-2.0-or-later
/* sock - TCP sockets and their memory: those of each network namespace, and the machine's. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "libcommon/counters.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters;

/* clang-format off */
enum { MEMBYTES = 5 };

static const struct metric metrics[] = {
	{ "inuse", "TCP:inuse + TCP6:inuse", GAUGE, "sockets", "Inuse of sock", SCOPE_NETNS, 0,
	  { .means = "TCP sockets of the namespace, IPv4 and IPv6, in any state but TIME_WAIT and "
		     "half-open",
	    .causes = "a leak if it only rises", .confirm = "skoop-tcpsummary --states" } },
	{ "orphan", "TCP:orphan", GAUGE, "sockets", "Orphan of sock", SCOPE_HOST, 0,
	  { .means = "closed by the program, not yet by TCP (FIN_WAIT1, LAST_ACK, CLOSING); of "
		     "the machine",
	    .normal = "far below tcpmaxorphans (-a)",
	    .causes = "peers vanish with data unsent; mass close",
	    .confirm = "ss -tn state fin-wait-1; ss -tn state last-ack",
	    .remedy = "the peers; tcp_orphan_retries; the limit" } },
	{ "tw", "TCP:tw", GAUGE, "sockets", "TW of sock", SCOPE_NETNS, 0,
	  { .means = "connections in TIME_WAIT now, IPv4 and IPv6",
	    .normal = "thousands are fine: 60 s times the closes per second on this side",
	    .causes = "connections are not reused",
	    .confirm = "skoop-tcpext -a (tcptimewaitoverflow)",
	    .remedy = "reuse connections; tcp_tw_reuse only after that" } },
	{ "alloc", "TCP:alloc", GAUGE, "sockets", "Alloc of sock", SCOPE_HOST, 0,
	  { .means = "TCP sockets allocated; of the machine. Compare with the sum of inuse of all "
		     "namespaces",
	    .normal = "slightly above that sum",
	    .causes = "gap: sockets made but never connected, or leaked",
	    .confirm = "skoop-fd --by type" } },
	{ "mem", "TCP:mem", GAUGE, "pages", "Mem of sock", SCOPE_HOST, 0,
	  { .means = "pages held by TCP buffers; of the machine. Since Linux 6.0 up to 1 MiB per "
		     "CPU (net.core.mem_pcpu_rsv) is booked late: too coarse for small values",
	    .normal = "below tcpmemmin (-a)", .causes = "slow readers, slow peers, huge buffers",
	    .confirm = "against tcpmempressure (-a); skoop-tcpsummary --worst" } },
	[MEMBYTES] = { "membytes", "TCP:mem", GAUGE, "bytes", "Mem of sock in bytes", SCOPE_HOST,
		       M_EXTRA,
		       { .means = "as mem, times the size of a page" } },
	/* Beyond the contract, in the order the kernel has them. */
	{ "socketsused", "sockets:used", GAUGE, "sockets", "used sockets", SCOPE_NETNS, M_ALL,
	  { .means = "sockets of all kinds of the namespace, UNIX and netlink too" } },
	{ "udpinuse", "UDP:inuse", GAUGE, "sockets", "inuse of UDP", SCOPE_NETNS, M_ALL },
	{ "udpmem", "UDP:mem", GAUGE, "pages", "mem of UDP", SCOPE_HOST, M_ALL,
	  { .means = "pages held by UDP buffers; of the machine", .normal = "below udpmempressure",
	    .causes = "readers stopped on big buffers",
	    .confirm = "ss -uamp; skoop-udp -a (memerrors)" } },
	{ "udpliteinuse", "UDPLITE:inuse", GAUGE, "sockets",
	  "inuse of UDP-Lite", SCOPE_NETNS, M_ALL },
	{ "rawinuse", "RAW:inuse", GAUGE, "sockets", "inuse of RAW", SCOPE_NETNS, M_ALL },
	{ "fraginuse", "FRAG:inuse", GAUGE, "packets", "inuse of FRAG", SCOPE_NETNS, M_ALL,
	  { .means = "packets of which fragments wait for the rest", .normal = "0 or short-lived",
	    .causes = "fragments lost on the way" } },
	{ "fragmemory", "FRAG:memory", GAUGE, "bytes", "memory of FRAG", SCOPE_NETNS, M_ALL,
	  { .means = "memory held by fragments that wait",
	    .normal = "below ipfrag_high_thresh (4 MiB)", .causes = "fragments lost on the way" } },
	/* Limits. Rows of the same file take its numbers one after the other. */
	{ "tcpmemmin", "sys/net/ipv4/tcp_mem", GAUGE, "pages", "tcp_mem, min", SCOPE_HOST, M_ALL,
	  { .means = "below it the buffers are not limited" } },
	{ "tcpmempressure", "sys/net/ipv4/tcp_mem", GAUGE, "pages",
	  "tcp_mem, pressure", SCOPE_HOST, M_ALL,
	  { .means = "from here on buffers are kept small" } },
	{ "tcpmemmax", "sys/net/ipv4/tcp_mem", GAUGE, "pages", "tcp_mem, max", SCOPE_HOST, M_ALL,
	  { .means = "from here on sockets are killed" } },
	{ "udpmemmin", "sys/net/ipv4/udp_mem", GAUGE, "pages", "udp_mem, min", SCOPE_HOST, M_ALL,
	  { .means = "below it the buffers are not limited" } },
	{ "udpmempressure", "sys/net/ipv4/udp_mem", GAUGE, "pages",
	  "udp_mem, pressure", SCOPE_HOST, M_ALL,
	  { .means = "from here on buffers are kept small" } },
	{ "udpmemmax", "sys/net/ipv4/udp_mem", GAUGE, "pages", "udp_mem, max", SCOPE_HOST, M_ALL,
	  { .means = "from here on datagrams are dropped" } },
	{ "tcpmaxorphans", "sys/net/ipv4/tcp_max_orphans", GAUGE, "sockets",
	  "tcp_max_orphans", SCOPE_HOST, M_ALL,
	  { .means = "orphans above it are reset; each takes up to 64 KiB" } },
	{ "tcpmaxtwbuckets", "sys/net/ipv4/tcp_max_tw_buckets", GAUGE, "sockets",
	  "tcp_max_tw_buckets", SCOPE_NETNS, M_ALL,
	  { .means = "above it connections skip TIME_WAIT" } },
	{ "portrangelow", "sys/net/ipv4/ip_local_port_range", GAUGE, "port",
	  "ip_local_port_range, low", SCOPE_NETNS, M_ALL,
	  { .means = "the first port a connect() may take" } },
	{ "portrangehigh", "sys/net/ipv4/ip_local_port_range", GAUGE, "port",
	  "ip_local_port_range, high", SCOPE_NETNS, M_ALL,
	  { .means = "the last one" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "UDP, RAW and fragments, limits of TCP and UDP", KNOB_FLAG,
	  &all_counters },
	{}
};

static const struct counter_group groups[] = {
	{ "sockstat", pairs_inline, "TCP" },
	{ "sockstat6", pairs_inline, "TCP6" },
	{ "sockstat", pairs_inline, "sockets", "sockets", .more = true },
	{ "sockstat", pairs_inline, "UDP", "udp", .more = true },
	{ "sockstat", pairs_inline, "UDPLITE", "udplite", .more = true },
	{ "sockstat", pairs_inline, "RAW", "raw", .more = true },
	{ "sockstat", pairs_inline, "FRAG", "frag", .more = true },
	{ "sockstat6", pairs_inline, "UDP6", "udp", FAMILY_IPV6, .more = true },
	{ "sockstat6", pairs_inline, "UDPLITE6", "udplite", FAMILY_IPV6, .more = true },
	{ "sockstat6", pairs_inline, "RAW6", "raw", FAMILY_IPV6, .more = true },
	{ "sockstat6", pairs_inline, "FRAG6", "frag", FAMILY_IPV6, .more = true },
	{}
};

/* clang-format on */

/* The machine's are seen from one namespace alone: where there is such a file, it is right. */
static int limit_read(const struct target *t, const struct metric *m, char **text)
{
	int err = m->scope == SCOPE_HOST ? proc_read(t->roots, m->key, text) : -ENOENT;

	return err == -ENOENT ? proc_sys_net(t, m->key + strlen("sys/net/"), text) : err;
}

/* Emits the numbers of one file for the rows that name it, the first of which is m. */
static int limit_emit(const struct target *t, const struct metric *m, struct out *o)
{
	auto_free char *text = NULL;
	const char *file = m->key;
	int err = limit_read(t, m, &text);
	char *rest = text;

	for (; !err && m->name && !strcmp(m->key, file); m++) {
		const char *word = strsep(&rest, "\t\n");
		uint64_t value;

		if (!word || parse_u64(word, 0, UINT64_MAX, &value)) {
			msg_error("%s: not of the form this kernel file has", file);
			return -EBADMSG;
		}
		out_metric(o, t, m, value, NULL);
	}
	return err;
}

/* Limits that cannot be seen from here are absent; those of a namespace take entering it. */
static int limits(const struct target *t, enum metric_scope scope, struct out *o)
{
	const char *file = "";

	for (const struct metric *m = metrics; all_counters && m->name; m++) {
		int err = 0;

		if (m->scope != scope || strncmp(m->key, "sys/net/", 8) || !strcmp(m->key, file))
			continue;
		file = m->key;
		err = limit_emit(t, m, o);
		if (err == -EPERM || err == -EACCES) {
			out_denied(o, "limits of namespaces", 1, CAP_TO_MASK(CAP_SYS_ADMIN));
			return 0;
		}
		if (err && err != -ENOENT && err != -ESRCH)
			return err;
	}
	return 0;
}

static int sockets(const struct target *t, enum metric_scope scope, struct out *o)
{
	return counters_read(t, groups, scope, all_counters ? SHOW_ALL : SHOW_CONTRACT, o);
}

static int collect(const struct target *t, struct out *o)
{
	int err = sockets(t, SCOPE_NETNS, o);

	return err ? err : limits(t, SCOPE_NETNS, o);
}

static int bytes_pair(const struct pair *pair, void *arg)
{
	uint64_t *bytes = arg;

	if (pair->key_len == 3 && !memcmp(pair->key, "mem", 3))
		*bytes = pair->value * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static int collect_host(const struct target *host, struct out *o)
{
	int err = sockets(host, SCOPE_HOST, o);
	uint64_t bytes = UINT64_MAX;
	const char *text;

	if (err)
		return err;
	err = proc_net(host, "sockstat", &text);
	if (!err && !pairs_inline(text, "TCP", bytes_pair, &bytes) && bytes != UINT64_MAX)
		out_metric(o, host, &metrics[MEMBYTES], bytes, NULL);
	return limits(host, SCOPE_HOST, o);
}

static const struct probe sock = {
	.name = "sock",
	.summary = "Statistics of socket",
	.question = "How many TCP sockets are there, and how much memory do they hold?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to read a network namespace without a process, and limits with -a",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
	.collect_host = collect_host,
};
PROBE_MAIN(sock)
