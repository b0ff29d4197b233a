// SPDX-License-Identifier: GPL-2.0-or-later
/* conntrack - counters and size of the connection tracking table of each network namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/netlink.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/proctext.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters, per_cpu;
static uint64_t warn_percent;

/* clang-format off */
enum { FOUND, INVALID, IGNORE, INSERT, INSERT_FAILED, DROP, EARLY_DROP, ERROR, SEARCH_RESTART,
       ENTRIES, MAX_ENTRIES, CLASH_RESOLVE, CHAIN_TOO_LONG, NVALUES };

static const struct metric metrics[] = {
	[FOUND] = { "found", "found", COUNTER, "events", "conntrack statistics \"found\"",
	  .flags = M_U32,
	  .advice = { .means = "a tuple being tried was already in the table, mostly while "
			       "NAT looks for a free source port. Not \"packets of known "
			       "flows\"",
		      .normal = "grows with NAT",
		      .causes = "much faster than new flows: NAT ports toward one destination "
				"nearly used up",
		      .confirm = "conntrack -S; conntrack -L, sorted by destination",
		      .remedy = "more SNAT addresses, wider port range, random-fully" } },
	[INVALID] = { "invalid", "invalid", COUNTER, "events", "conntrack statistics \"invalid\"",
	  .flags = M_U32,
	  .advice = { .means = "packet that fits no flow (out of window, bad checksum, "
			       "mid-stream, stray ICMP error). Counted, not dropped, unless a "
			       "rule drops ct state invalid",
		      .normal = "trickle on exposed hosts and after failover",
		      .causes = "asymmetric routing; RST or FIN after the entry expired; "
				"window scaling never seen; broken offload checksum",
		      .confirm = "sysctl net.netfilter.nf_conntrack_log_invalid=6; "
				 "skoop-packetloss",
		      .remedy = "make the path symmetric; nf_conntrack_tcp_be_liberal=1; "
				"notrack for such traffic" } },
	[IGNORE] = { "ignore", "ignore", COUNTER, "events", "conntrack statistics \"ignore\"",
	  .flags = M_U32,
	  .advice = { .means = "packets not tracked. Kernels from 5.10 on do not send it",
		      .normal = "absent" } },
	[INSERT] = { "insert", "insert", COUNTER, "events", "conntrack statistics \"insert\"",
	  .flags = M_U32,
	  .advice = { .means = "entries put in from user space (conntrackd, conntrack -I). "
			       "Ordinary flows do not count: it is not \"new connections\"",
		      .normal = "0",
		      .causes = "replication daemon",
		      .confirm = "conntrack -E -e NEW for real new flows" } },
	[INSERT_FAILED] = { "insertfailed", "insert_failed", COUNTER, "events",
	  "conntrack statistics \"insert_failed\"", .flags = M_U32,
	  .advice = { .means = "a new flow lost the race for its table slot; its first packet "
			       "was dropped",
		      .normal = "0, rarely 1",
		      .causes = "DNS A and AAAA sent at once from one socket through DNAT; "
				"many clients SNATed to one destination at once; user-space "
				"inserts",
		      .confirm = "entries well below max; skoop-conntrack -a, clashresolve; "
				 "clients see delays of 1 s (TCP) or 5 s (DNS)",
		      .remedy = "node-local DNS cache, single-request-reopen, random-fully, "
				"more SNAT addresses. Kernels from 5.10 on settle most UDP "
				"clashes themselves" } },
	[DROP] = { "drop", "drop", COUNTER, "events", "conntrack statistics \"drop\"",
	  .flags = M_U32,
	  .advice = { .means = "packets dropped because no entry could be made or confirmed. "
			       "Contains insertfailed: drop minus insertfailed is table full "
			       "or no memory",
		      .normal = "0",
		      .causes = "table full; clash (see insertfailed); allocation failure; "
				"chain too long (from 6.1 on)",
		      .confirm = "kernel log \"table full\"; skoop-packetloss, NETFILTER_DROP "
				 "at nf_hook_slow",
		      .remedy = "raise nf_conntrack_max and buckets; shorten timeouts; "
				"notrack" } },
	[EARLY_DROP] = { "earlydrop", "early_drop", COUNTER, "events",
	  "conntrack statistics \"early_drop\"",
	  .flags = M_U32,
	  .advice = { .means = "entries not yet assured (too little seen of both directions) "
			       "thrown out to make room: the table was full",
		      .normal = "0",
		      .causes = "as drop; scans and floods fill it with one-packet flows",
		      .confirm = "skoop-conntrack --warn 80",
		      .remedy = "raise nf_conntrack_max and buckets; shorten timeouts; "
				"notrack" } },
	[ERROR] = { "error", "error", COUNTER, "events", "conntrack statistics \"error\"",
	  .flags = M_U32,
	  .advice = { .means = "ICMP(v6) packets whose checksum or inner header is broken",
		      .normal = "0",
		      .causes = "corruption, crafted packets",
		      .confirm = "sysctl net.netfilter.nf_conntrack_log_invalid=1" } },
	[SEARCH_RESTART] = { "searchrestart", "search_restart", COUNTER, "events",
	  "conntrack statistics \"search_restart\"", .flags = M_U32,
	  .advice = { .means = "a lookup began again because the chain changed under it",
		      .normal = "small, grows with churn",
		      .causes = "very high churn, hash too small",
		      .confirm = "sysctl net.netfilter.nf_conntrack_buckets, against entries",
		      .remedy = "more buckets; never an outage by itself" } },
	[ENTRIES] = { "entries", "nf_conntrack_count", GAUGE, "entries",
	  "conntrack global statistics \"entries\"",
	  .advice = { .means = "flows in this namespace's table now",
		      .normal = "below 80 % of maxentries",
		      .causes = "more flows; idle TCP entries live 5 days by default; UDP and "
				"DNS one-shots 30 s",
		      .confirm = "skoop-conntrack; conntrack -L, by source",
		      .remedy = "raise nf_conntrack_max and buckets (about 320 bytes an "
				"entry); shorten timeouts; notrack" } },
	[MAX_ENTRIES] = { "maxentries", "nf_conntrack_max", GAUGE, "entries",
	  "conntrack global statistics \"max_entries\"",
	  .advice = { .means = "limit; one sysctl, compared with each namespace's own count",
		      .confirm = "sysctl net.netfilter.nf_conntrack_max",
		      .remedy = "set in the initial namespace; read-only below it on kernels "
				"5.10 to 7.3" } },
	[CLASH_RESOLVE] = { "clashresolve", "clash_resolve", COUNTER, "events",
	  "clashes of two new flows settled without a drop", .flags = M_ALL | M_U32,
	  .advice = { .means = "clash settled without a drop: the harmless twin of "
			       "insertfailed" } },
	[CHAIN_TOO_LONG] = { "chaintoolong", "chaintoolong", COUNTER, "events",
	  "insertions refused because the hash chain was too long (from 6.1 on)",
	  .flags = M_ALL | M_U32,
	  .advice = { .means = "insertion refused because the hash chain was too long",
		      .normal = "0",
		      .causes = "few buckets, or a hash attack",
		      .confirm = "sysctl net.netfilter.nf_conntrack_buckets, against entries",
		      .remedy = "more buckets" } },
	[NVALUES] = {}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further counter of this kernel", KNOB_FLAG,
	  &all_counters },
	{ 0, "per-cpu", NULL, "Counters per CPU instead of their sum", KNOB_FLAG, &per_cpu },
	{ 0, "warn", "PERCENT", "Exit with 10 when entries reach PERCENT of maxentries",
	  KNOB_NUMBER, &warn_percent, 1, 100 },
	{}
};

/* Where the counters come from: attributes of ctnetlink, columns of net/stat/nf_conntrack. */
static const struct source {
	uint16_t attr;
	const char *column;
} sources[NVALUES] = {
	[FOUND] = { CTA_STATS_FOUND, "found" },
	[INVALID] = { CTA_STATS_INVALID, "invalid" },
	[IGNORE] = { CTA_STATS_IGNORE, NULL }, /* its column is still printed, as a constant 0 */
	[INSERT] = { CTA_STATS_INSERT, "insert" },
	[INSERT_FAILED] = { CTA_STATS_INSERT_FAILED, "insert_failed" },
	[DROP] = { CTA_STATS_DROP, "drop" },
	[EARLY_DROP] = { CTA_STATS_EARLY_DROP, "early_drop" },
	[ERROR] = { CTA_STATS_ERROR, "icmp_error" },
	[SEARCH_RESTART] = { CTA_STATS_SEARCH_RESTART, "search_restart" },
	[ENTRIES] = { 0, "entries" },
	[CLASH_RESOLVE] = { CTA_STATS_CLASH_RESOLVE, "clashres" },
	[CHAIN_TOO_LONG] = { CTA_STATS_CHAIN_TOOLONG, "chainlength" },
};

/* Behind the rows of metrics[]: attributes that no row of sources[] knows, by their number. */
#define NATTRS 32
#define NSLOTS (NVALUES + NATTRS)

/* The values of one CPU, or of the namespace; what was not read has its bit clear. */
struct values {
	unsigned int cpu;
	uint64_t known;
	uint64_t value[NSLOTS];
};

struct reading {
	struct values *cpus;
	size_t ncpus, size;
	struct values whole; /* entries and maxentries */
};

/* clang-format on */

static void value_set(struct values *v, int slot, uint64_t value)
{
	v->value[slot] = value;
	v->known |= 1ULL << slot;
}

static bool value_known(const struct values *v, int slot)
{
	return v->known & 1ULL << slot;
}

static void reading_reset(struct reading *r)
{
	free(r->cpus);
	*r = (struct reading){ 0 };
}

/* NULL: out of memory. */
static struct values *reading_add(struct reading *r, unsigned int cpu)
{
	if (array_grow(&r->cpus, &r->size, r->ncpus + 1))
		return NULL;
	r->cpus[r->ncpus] = (struct values){ .cpu = cpu };
	return &r->cpus[r->ncpus++];
}

static int slot_find(uint16_t attr)
{
	for (int i = 0; i < NVALUES; i++)
		if (sources[i].attr == attr)
			return i;
	return NVALUES + attr;
}

/* The message of one CPU, whose number stands in the header. */
static int read_cpu(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[NATTRS];
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NATTRS];
	struct reading *r = arg;
	struct values *v;

	if (nl_attrs(nlh, sizeof(*head), least, NATTRS, tb))
		return nl_refuse(EBADMSG);
	v = reading_add(r, ntohs(head->res_id));
	if (!v)
		return nl_refuse(ENOMEM);
	for (uint16_t a = 1; a < NATTRS; a++) {
		int slot = slot_find(a);

		if (tb[a] && mnl_attr_get_payload_len(tb[a]) == sizeof(uint32_t))
			value_set(v, slot, ntohl(mnl_attr_get_u32(tb[a])));
		else if (tb[a] && slot < NVALUES)
			return nl_refuse(EBADMSG);
	}
	return MNL_CB_OK;
}

static int read_whole(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = {
		[CTA_STATS_GLOBAL_ENTRIES] = 4, [CTA_STATS_GLOBAL_MAX_ENTRIES] = 4
	};
	const struct nlattr *tb[ARRAY_SIZE(least)], *attr;
	struct reading *r = arg;

	if (nl_attrs(nlh, sizeof(struct nfgenmsg), least, ARRAY_SIZE(least), tb))
		return nl_refuse(EBADMSG);
	attr = tb[CTA_STATS_GLOBAL_ENTRIES];
	if (attr)
		value_set(&r->whole, ENTRIES, ntohl(mnl_attr_get_u32(attr)));
	attr = tb[CTA_STATS_GLOBAL_MAX_ENTRIES];
	if (attr)
		value_set(&r->whole, MAX_ENTRIES, ntohl(mnl_attr_get_u32(attr)));
	return MNL_CB_OK;
}

static struct nlmsghdr *request(char *buffer, uint8_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
	head->nfgen_family = AF_UNSPEC;
	head->version = NFNETLINK_V0;
	return nlh;
}

static int talk(struct mnl_socket *nl, void *arg)
{
	char buffer[64];
	int err;

	reading_reset(arg);
	err = nl_dump(nl, request(buffer, IPCTNL_MSG_CT_GET_STATS_CPU), read_cpu, arg);
	if (err == -EINVAL)
		return -ENOENT; /* netfilter has no such subsystem */
	return err ? err : nl_ask(nl, request(buffer, IPCTNL_MSG_CT_GET_STATS), read_whole, arg);
}

/* ---- without ctnetlink: net/stat/nf_conntrack ---- */

#define COLUMNS_MAX 32

static int column_find(const char *name, size_t len)
{
	for (int i = 0; i < NVALUES; i++) {
		const char *column = sources[i].column;

		if (column && strlen(column) == len && !memcmp(column, name, len))
			return i;
	}
	return -1;
}

/* The line of names; *text is left behind it. Their number, or -EBADMSG if none is known. */
static int stat_header(const char **text, int *slots)
{
	int n = 0, known = 0;
	const char *p = *text;
	size_t len;

	for (;; p += len) {
		p += strspn(p, " ");
		len = strcspn(p, " \n");
		if (!len)
			break;
		if (n == COLUMNS_MAX)
			return -EBADMSG;
		slots[n] = column_find(p, len);
		known += slots[n++] >= 0;
	}
	*text = p + 1;
	return *p == '\n' && known ? n : -EBADMSG;
}

/* Below the names a line of hexadecimal numbers for each CPU. 0, -ENOMEM, -EBADMSG. */
static int read_stat(const char *text, struct reading *r)
{
	int slots[COLUMNS_MAX], columns = stat_header(&text, slots), n;
	uint64_t line[COLUMNS_MAX];

	if (columns < 0)
		return columns;
	while ((n = hex_line(&text, line, COLUMNS_MAX)) == columns) {
		struct values *v = reading_add(r, (unsigned int)r->ncpus);

		if (!v)
			return -ENOMEM;
		/* The number of entries is the namespace's, the same in each line. */
		for (int i = 0; i < n; i++)
			if (slots[i] >= 0)
				value_set(slots[i] == ENTRIES ? &r->whole : v, slots[i], line[i]);
	}
	return n || !r->ncpus ? -EBADMSG : 0;
}

static int read_proc(const struct target *t, struct reading *r)
{
	const char *text;
	int err = proc_net(t, "stat/nf_conntrack", &text);

	if (err)
		return err;
	reading_reset(r);
	err = read_stat(text, r);
	if (err == -EBADMSG)
		proc_malformed(t, "stat/nf_conntrack");
	else if (err)
		msg_error("out of memory");
	return err;
}

#define SYSCTL_MAX "netfilter/nf_conntrack_max"

/*
 * The limit, where the kernel's message has none. Up to 7.3 it is one for the machine, so where
 * entering the namespace is refused the own one shows the same.
 */
static void read_max(const struct target *t, struct reading *r)
{
	auto_free char *text = NULL;
	uint64_t max;

	if (value_known(&r->whole, MAX_ENTRIES))
		return;
	if (proc_sys_net(t, SYSCTL_MAX, &text) && proc_read(t->roots, "sys/net/" SYSCTL_MAX, &text))
		return;
	text[strcspn(text, "\n")] = '\0';
	if (!parse_u64(text, 0, UINT32_MAX, &max))
		value_set(&r->whole, MAX_ENTRIES, max);
}

/* Looked up in files, because a request over netlink would load the module. */
static bool module_loaded(const struct target *t)
{
	auto_free char *max = NULL;
	const char *text;

	return proc_read(t->roots, "sys/net/" SYSCTL_MAX, &max) != -ENOENT ||
	       proc_net(t, "stat/nf_conntrack", &text) != -ENOENT;
}

/* ---- output ---- */

static void emit_values(const struct target *t, const struct values *v, const struct label *labels,
			struct out *o)
{
	static const struct metric further = { .type = COUNTER,
					       .unit = "events",
					       .flags = M_ALL | M_U32 };

	for (int i = 0; i < NSLOTS; i++) {
		const struct metric *m = i < NVALUES ? &metrics[i] : &further;
		char name[16];

		if (!value_known(v, i) || (m->flags & M_ALL && !all_counters))
			continue;
		snprintf(name, sizeof(name), "attribute%d", i - NVALUES);
		if (m == &further)
			m = out_extra(o, name, strlen(name), &further);
		if (m)
			out_metric(o, t, m, v->value[i], labels);
	}
}

/* Whether the table is as full as --warn has it. */
static bool is_full(const struct values *v)
{
	return warn_percent && value_known(v, ENTRIES) && value_known(v, MAX_ENTRIES) &&
	       v->value[ENTRIES] * 100 >= warn_percent * v->value[MAX_ENTRIES];
}

static void emit(const struct target *t, const struct reading *r, struct out *o)
{
	struct values sum = r->whole;

	for (size_t i = 0; i < r->ncpus; i++) {
		char cpu[16];
		const struct label labels[] = { { "cpu", cpu }, {} };

		snprintf(cpu, sizeof(cpu), "%u", r->cpus[i].cpu);
		if (per_cpu)
			emit_values(t, &r->cpus[i], labels, o);
		for (int k = 0; k < NSLOTS && !per_cpu; k++)
			sum.value[k] += r->cpus[i].value[k];
		sum.known |= per_cpu ? 0 : r->cpus[i].known;
	}
	emit_values(t, &sum, NULL, o);
	if (is_full(&sum)) {
		out_note(o, "%s/%s: the connection tracking table is %u %% full or more",
			 t->namespace, t->pod, (unsigned int)warn_percent);
		out_alarm(o);
	}
}

/* The file is as good as ctnetlink's answer, and everybody may read it. */
static int fall_back(const struct target *t, int refused, struct reading *r, struct out *o)
{
	int err = read_proc(t, r);

	if (!err)
		out_note(o, "read from /proc/PID/net/stat/nf_conntrack, because ctnetlink %s",
			 refused == -ENOENT  ? "is not in this kernel"
			 : refused == -ESRCH ? "could not be asked"
					     : "needs CAP_SYS_ADMIN and CAP_NET_ADMIN");
	return err == -ENOENT ? refused : err;
}

static int collect(const struct target *t, struct out *o)
{
	struct reading r = { 0 };
	int err;

	if (!module_loaded(t))
		return -ENOENT;
	err = nl_run(t, NETLINK_NETFILTER, "connection tracking counters", talk, &r);
	if (err == -EPERM || err == -EACCES || err == -ENOENT || err == -ESRCH)
		err = fall_back(t, err, &r, o);
	if (!err) {
		read_max(t, &r);
		emit(t, &r, o);
	}
	reading_reset(&r);
	return err;
}

static const struct probe conntrack = {
	.name = "conntrack",
	.summary = "Statistics of conntrack",
	.question = "Is the connection tracking table full, and what does it drop?",
	.source = "netlink",
	.overhead = "Low",
	.needs = "CAP_NET_ADMIN and CAP_SYS_ADMIN to ask ctnetlink in each namespace; "
		 "without them /proc is read",
	.caps = CAP_TO_MASK(CAP_NET_ADMIN) | CAP_TO_MASK(CAP_SYS_ADMIN),
	.absent = "nf_conntrack is not loaded",
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(conntrack)
