// SPDX-License-Identifier: GPL-2.0-or-later
/* conntrack - the counters and the size of the connection tracking table of each network namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/netlink.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters, per_cpu;
static uint64_t warn_percent;

enum { FOUND, INVALID, IGNORE, INSERT, INSERT_FAILED, DROP, EARLY_DROP, ERROR, SEARCH_RESTART, ENTRIES, MAX_ENTRIES,
       CLASH_RESOLVE, CHAIN_TOO_LONG, EXPECT_NEW, EXPECT_CREATE, EXPECT_DELETE, NVALUES };

static const struct metric metrics[] = {
	[FOUND] = { "found", "found", COUNTER, "events", "conntrack statistics \"found\"", .flags = M_U32,
	  .advice = { .means = "a tuple being tried was already in the table, mostly while NAT looks for a free "
			       "source port. Not \"packets of known flows\"",
		      .normal = "grows with NAT",
		      .causes = "much faster than new flows: NAT ports toward one destination nearly used up",
		      .confirm = "conntrack -S; conntrack -L, sorted by destination",
		      .remedy = "more SNAT addresses, wider port range, random-fully" } },
	[INVALID] = { "invalid", "invalid", COUNTER, "events", "conntrack statistics \"invalid\"", .flags = M_U32,
	  .advice = { .means = "packet that fits no flow (out of window, bad checksum, mid-stream, stray ICMP error). "
			       "Counted, not dropped, unless a rule drops ct state invalid",
		      .normal = "trickle on exposed hosts and after failover",
		      .causes = "asymmetric routing; RST or FIN after the entry expired; window scaling never seen; "
				"broken offload checksum",
		      .confirm = "sysctl net.netfilter.nf_conntrack_log_invalid=6; skoop-packetloss",
		      .remedy = "make the path symmetric; nf_conntrack_tcp_be_liberal=1; notrack for such traffic" } },
	[IGNORE] = { "ignore", "ignore", COUNTER, "events", "conntrack statistics \"ignore\"", .flags = M_U32,
	  .advice = { .means = "packets not tracked. Kernels from 5.10 on do not send it",
		      .normal = "absent" } },
	[INSERT] = { "insert", "insert", COUNTER, "events", "conntrack statistics \"insert\"", .flags = M_U32,
	  .advice = { .means = "entries put in from user space (conntrackd, conntrack -I). Ordinary flows do not "
			       "count: it is not \"new connections\"",
		      .normal = "0",
		      .causes = "replication daemon",
		      .confirm = "conntrack -E -e NEW for real new flows" } },
	[INSERT_FAILED] = { "insertfailed", "insert_failed", COUNTER, "events",
	  "conntrack statistics \"insert_failed\"", .flags = M_U32,
	  .advice = { .means = "a new flow lost the race for its table slot; its first packet was dropped",
		      .normal = "0, rarely 1",
		      .causes = "DNS A and AAAA sent at once from one socket through DNAT; many clients SNATed to one "
				"destination at once; user-space inserts",
		      .confirm = "entries well below max; skoop-conntrack -a, clashresolve; clients see delays of 1 s "
				 "(TCP) or 5 s (DNS)",
		      .remedy = "node-local DNS cache, single-request-reopen, random-fully, more SNAT addresses. "
				"Kernels from 5.10 on settle most UDP clashes themselves" } },
	[DROP] = { "drop", "drop", COUNTER, "events", "conntrack statistics \"drop\"", .flags = M_U32,
	  .advice = { .means = "packets dropped because no entry could be made or confirmed. Contains insertfailed: "
			       "drop minus insertfailed is table full or no memory",
		      .normal = "0",
		      .causes = "table full; clash (see insertfailed); allocation failure; chain too long (from 6.1 on)",
		      .confirm = "kernel log \"table full\"; skoop-packetloss, NETFILTER_DROP at nf_hook_slow",
		      .remedy = "raise nf_conntrack_max and buckets; shorten timeouts; notrack" } },
	[EARLY_DROP] = { "earlydrop", "early_drop", COUNTER, "events", "conntrack statistics \"early_drop\"",
	  .flags = M_U32,
	  .advice = { .means = "entries not yet assured (too little seen of both directions) thrown out to make room: "
			       "the table was full",
		      .normal = "0",
		      .causes = "as drop; scans and floods fill it with one-packet flows",
		      .confirm = "skoop-conntrack --warn 80",
		      .remedy = "raise nf_conntrack_max and buckets; shorten timeouts; notrack" } },
	[ERROR] = { "error", "error", COUNTER, "events", "conntrack statistics \"error\"", .flags = M_U32,
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
	[ENTRIES] = { "entries", "nf_conntrack_count", GAUGE, "entries", "conntrack global statistics \"entries\"",
	  .advice = { .means = "flows in this namespace's table now",
		      .normal = "below 80 % of maxentries",
		      .causes = "more flows; idle TCP entries live 5 days by default; UDP and DNS one-shots 30 s",
		      .confirm = "skoop-conntrack; conntrack -L, by source",
		      .remedy = "raise nf_conntrack_max and buckets (about 320 bytes an entry); shorten timeouts; "
				"notrack" } },
	[MAX_ENTRIES] = { "maxentries", "nf_conntrack_max", GAUGE, "entries",
	  "conntrack global statistics \"max_entries\"",
	  .advice = { .means = "limit; one sysctl, compared with each namespace's own count",
		      .confirm = "sysctl net.netfilter.nf_conntrack_max",
		      .remedy = "set in the initial namespace; read-only below it on kernels 5.10 to 7.3" } },
	[CLASH_RESOLVE] = { "clashresolve", "clash_resolve", COUNTER, "events",
	  "clashes of two new flows settled without a drop", .flags = M_ALL | M_U32,
	  .advice = { .means = "clash settled without a drop: the harmless twin of insertfailed" } },
	[CHAIN_TOO_LONG] = { "chaintoolong", "chaintoolong", COUNTER, "events",
	  "insertions refused because the hash chain was too long (from 6.1 on)", .flags = M_ALL | M_U32,
	  .advice = { .means = "insertion refused because the hash chain was too long",
		      .normal = "0",
		      .causes = "few buckets, or a hash attack",
		      .confirm = "sysctl net.netfilter.nf_conntrack_buckets, against entries",
		      .remedy = "more buckets" } },
	[EXPECT_NEW] = { "expectnew", "expect_new", COUNTER, "connections",
	  "connections that a helper expected and that came", .flags = M_ALL | M_U32 },
	[EXPECT_CREATE] = { "expectcreate", "expect_create", COUNTER, "expectations",
	  "expectations created by helpers (FTP, SIP…)", .flags = M_ALL | M_U32 },
	[EXPECT_DELETE] = { "expectdelete", "expect_delete", COUNTER, "expectations",
	  "expectations deleted, used or not", .flags = M_ALL | M_U32 },
	[NVALUES] = {}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further counter of this kernel", KNOB_FLAG, &all_counters },
	{ 0, "per-cpu", NULL, "Counters per CPU instead of their sum", KNOB_FLAG, &per_cpu },
	{ 0, "warn", "PERCENT", "Exit with 10 when entries reach PERCENT of maxentries", KNOB_NUMBER, &warn_percent,
	  1, 100 },
	{}
};

/* Where the counters come from: the message and attribute of ctnetlink, and the column of net/stat/nf_conntrack. */
static const struct source {
	uint8_t subsys;
	uint16_t attr;
	const char *column;
} sources[NVALUES] = {
	[FOUND] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_FOUND, "found" },
	[INVALID] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_INVALID, "invalid" },
	/* Its column is still printed, as a constant 0; so are searched, new, delete and delete_list. */
	[IGNORE] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_IGNORE, NULL },
	[INSERT] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_INSERT, "insert" },
	[INSERT_FAILED] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_INSERT_FAILED, "insert_failed" },
	[DROP] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_DROP, "drop" },
	[EARLY_DROP] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_EARLY_DROP, "early_drop" },
	[ERROR] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_ERROR, "icmp_error" },
	[SEARCH_RESTART] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_SEARCH_RESTART, "search_restart" },
	[ENTRIES] = { NFNL_SUBSYS_NONE, 0, "entries" },
	[CLASH_RESOLVE] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_CLASH_RESOLVE, "clashres" },
	[CHAIN_TOO_LONG] = { NFNL_SUBSYS_CTNETLINK, CTA_STATS_CHAIN_TOOLONG, "chainlength" },
	[EXPECT_NEW] = { NFNL_SUBSYS_CTNETLINK_EXP, CTA_STATS_EXP_NEW, "expect_new" },
	[EXPECT_CREATE] = { NFNL_SUBSYS_CTNETLINK_EXP, CTA_STATS_EXP_CREATE, "expect_create" },
	[EXPECT_DELETE] = { NFNL_SUBSYS_CTNETLINK_EXP, CTA_STATS_EXP_DELETE, "expect_delete" },
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
	size_t ncpus;
	struct values whole; /* entries and maxentries */
	uint8_t subsys;      /* which dump is being read */
};

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

/* The place of a CPU's values, made on first use. NULL: out of memory. */
static struct values *reading_cpu(struct reading *r, unsigned int cpu)
{
	struct values *v;

	for (size_t i = 0; i < r->ncpus; i++)
		if (r->cpus[i].cpu == cpu)
			return &r->cpus[i];
	v = reallocarray(r->cpus, r->ncpus + 1, sizeof(*v));
	if (!v)
		return NULL;
	r->cpus = v;
	v += r->ncpus++;
	*v = (struct values){ .cpu = cpu };
	return v;
}

static int slot_find(uint8_t subsys, uint16_t attr)
{
	for (int i = 0; i < NVALUES; i++)
		if (sources[i].subsys == subsys && sources[i].attr == attr)
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
	v = reading_cpu(r, ntohs(head->res_id));
	if (!v)
		return nl_refuse(ENOMEM);
	for (uint16_t a = 1; a < NATTRS; a++) {
		int slot = slot_find(r->subsys, a);

		if (slot >= NVALUES && r->subsys != NFNL_SUBSYS_CTNETLINK)
			continue;
		if (tb[a] && mnl_attr_get_payload_len(tb[a]) == sizeof(uint32_t))
			value_set(v, slot, ntohl(mnl_attr_get_u32(tb[a])));
		else if (tb[a] && slot < NVALUES)
			return nl_refuse(EBADMSG);
	}
	return MNL_CB_OK;
}

static int read_whole(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = { [CTA_STATS_GLOBAL_ENTRIES] = 4, [CTA_STATS_GLOBAL_MAX_ENTRIES] = 4 };
	const struct nlattr *tb[ARRAY_SIZE(least)];
	struct reading *r = arg;

	if (nl_attrs(nlh, sizeof(struct nfgenmsg), least, ARRAY_SIZE(least), tb))
		return nl_refuse(EBADMSG);
	if (tb[CTA_STATS_GLOBAL_ENTRIES])
		value_set(&r->whole, ENTRIES, ntohl(mnl_attr_get_u32(tb[CTA_STATS_GLOBAL_ENTRIES])));
	if (tb[CTA_STATS_GLOBAL_MAX_ENTRIES])
		value_set(&r->whole, MAX_ENTRIES, ntohl(mnl_attr_get_u32(tb[CTA_STATS_GLOBAL_MAX_ENTRIES])));
	return MNL_CB_OK;
}

static struct nlmsghdr *request(char *buffer, uint8_t subsys, uint8_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = (uint16_t)(subsys << 8 | type);
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static int talk(struct mnl_socket *nl, void *arg)
{
	char buffer[64];
	struct reading *r = arg;
	int err;

	reading_reset(r);
	r->subsys = NFNL_SUBSYS_CTNETLINK;
	err = nl_dump(nl, request(buffer, r->subsys, IPCTNL_MSG_CT_GET_STATS_CPU), read_cpu, r);
	if (err == -EINVAL)
		return -ENOENT; /* netfilter has no such subsystem */
	if (!err)
		err = nl_ask(nl, request(buffer, r->subsys, IPCTNL_MSG_CT_GET_STATS), read_whole, r);
	r->subsys = NFNL_SUBSYS_CTNETLINK_EXP;
	if (!err && all_counters)
		err = nl_dump(nl, request(buffer, r->subsys, IPCTNL_MSG_EXP_GET_STATS_CPU), read_cpu, r);
	return err;
}

/* ---- without ctnetlink ---- */

/* One line of net/stat/nf_conntrack: hexadecimal words below the header's names; a line for each CPU. */
static int stat_line(char *line, const int *columns, size_t ncolumns, struct reading *r)
{
	struct values *v = reading_cpu(r, (unsigned int)r->ncpus);
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (char *save, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save), n++) {
		uint64_t value;

		if (n == ncolumns || parse_hex(word, &value))
			return -EBADMSG;
		/* The number of entries is the namespace's, repeated on each line. */
		if (columns[n] >= 0)
			value_set(columns[n] == ENTRIES ? &r->whole : v, columns[n], value);
	}
	return n == ncolumns ? 0 : -EBADMSG;
}

static int column_find(const char *name)
{
	for (int i = 0; i < NVALUES; i++)
		if (sources[i].column && !strcmp(sources[i].column, name))
			return i;
	return -1;
}

/* Fills *r from the text of net/stat/nf_conntrack, which is destroyed. 0, -ENOMEM, -EBADMSG. */
static int stat_parse(char *text, struct reading *r)
{
	int columns[32], err = 0;
	size_t ncolumns = 0;
	bool known = false;
	char *line = strsep(&text, "\n");

	for (char *save, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (ncolumns == ARRAY_SIZE(columns))
			return -EBADMSG;
		columns[ncolumns] = column_find(word);
		known |= columns[ncolumns++] >= 0;
	}
	if (!known || !text || !*text)
		return -EBADMSG;
	/* Each line ends in a newline; what follows the last one is empty. */
	while (!err && (line = strsep(&text, "\n")) && text)
		err = stat_line(line, columns, ncolumns, r);
	return err ? err : *line ? -EBADMSG : 0;
}

static int read_proc(const struct target *t, struct reading *r)
{
	const char *text;
	int err = proc_net(t, "stat/nf_conntrack", &text);
	auto_free char *copy = err ? NULL : strdup(text);

	if (err)
		return err;
	reading_reset(r);
	err = copy ? stat_parse(copy, r) : -ENOMEM;
	if (err)
		msg_error("net/stat/nf_conntrack of %s/%s: %s", t->namespace, t->pod, strerror(-err));
	return err;
}

#define SYSCTL_MAX "netfilter/nf_conntrack_max"

/*
 * The limit, where the kernel's message has none. Up to 7.3 it is one for the machine, so where entering the namespace
 * is refused the own one shows the same.
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

static void emit_values(const struct target *t, const struct values *v, const struct label *labels, struct out *o)
{
	static const struct metric further = { .type = COUNTER, .unit = "events", .flags = M_ALL | M_U32 };

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
		out_note(o, "%s/%s: the connection tracking table is %u %% full or more", t->namespace, t->pod,
			 (unsigned int)warn_percent);
		out_alarm(o);
	}
}

static int collect(const struct target *t, struct out *o)
{
	struct reading r = { 0 };
	int err, refused;

	if (!module_loaded(t))
		return -ENOENT;
	err = refused = nl_run(t, NETLINK_NETFILTER, "connection tracking counters", talk, &r);
	if (err == -EPERM || err == -EACCES || err == -ENOENT || err == -ESRCH) {
		err = read_proc(t, &r);
		if (!err)
			out_note(o, "read from /proc/PID/net/stat/nf_conntrack, because ctnetlink %s",
				 refused == -ENOENT ? "is not in this kernel" :
				 refused == -ESRCH  ? "could not be asked" :
						      "needs CAP_SYS_ADMIN and CAP_NET_ADMIN");
		else if (err == -ENOENT)
			err = refused;
	}
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
	.needs = "CAP_NET_ADMIN and CAP_SYS_ADMIN to ask ctnetlink in each namespace; without them /proc is read",
	.caps = CAP_TO_MASK(CAP_NET_ADMIN) | CAP_TO_MASK(CAP_SYS_ADMIN),
	.absent = "nf_conntrack is not loaded",
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(conntrack)
