// SPDX-License-Identifier: GPL-2.0-or-later
/* ipvs - what the IP virtual server of each network namespace scheduled and passed. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/netlink.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool services;

/* clang-format off */
/* The totals, a service's and a real server's rows have the same counters in the same order. */
enum { CONNECTIONS, IN_PACKETS, OUT_BYTES, IN_BYTES, OUT_PACKETS, NCOUNTERS };
enum { SERVICE = NCOUNTERS, SERVER = SERVICE + NCOUNTERS,
       ACTIVE = SERVER + NCOUNTERS, INACTIVE, WEIGHT, NMETRICS };

#define INCOMING { .means = "from clients to virtual services" }
#define OUTGOING                                                                                   \
	{ .means = "replies seen by the director", .normal = "0 in DR and TUN mode, by design",    \
	  .causes = "0 in masquerade mode: replies bypass the director or servers are silent",     \
	  .confirm = "ipvsadm -Ln (Forward column)",                                               \
	  .remedy = "default route of the real servers, net.ipv4.vs.conntrack=1 with SNAT" }
/* The counters of a service or a real server, named by `what`, and a real server's gauges. */
#define COUNTERS(first, what, text)                                                                \
	COUNT(first + CONNECTIONS, what "connections", "connections", "connections of " text),     \
	COUNT(first + IN_PACKETS, what "incomingpackets", "packets", "packets to " text),          \
	COUNT(first + OUT_BYTES, what "outgoingbytes", "bytes", "bytes from " text),               \
	COUNT(first + IN_BYTES, what "incomingbytes", "bytes", "bytes to " text),                  \
	COUNT(first + OUT_PACKETS, what "outgoingpackets", "packets", "packets from " text)
#define COUNT(index, name_, unit_, help_)                                                          \
	[index] = { .name = (name_), .type = COUNTER, .unit = (unit_), .help = (help_),            \
		    .flags = M_ALL }

static const struct metric metrics[] = {
	[CONNECTIONS] = { "connections", "Total Conns", COUNTER, "connections",
	  "connections of IPVS in pod",
	  .advice = { .means = "connections scheduled to a real server",
		      .causes = "0 while incomingpackets grows: only old flows, or no real server "
				"(weight 0)",
		      .confirm = "skoop-ipvs --services; ipvsadm -Ln",
		      .remedy = "add servers, weight" } },
	[IN_PACKETS] = { "incomingpackets", "Incoming Packets", COUNTER, "packets",
	  "incoming packets of IPVS in pod", .advice = INCOMING },
	[OUT_BYTES] = { "outgoingbytes", "Outgoing Bytes", COUNTER, "bytes",
	  "outgoing bytes of IPVS in pod", .advice = OUTGOING },
	[IN_BYTES] = { "incomingbytes", "Incoming Bytes", COUNTER, "bytes",
	  "incoming bytes of IPVS in pod", .advice = INCOMING },
	[OUT_PACKETS] = { "outgoingpackets", "Outgoing Packets", COUNTER, "packets",
	  "outgoing packets of IPVS in pod", .advice = OUTGOING },
	COUNTERS(SERVICE, "service", "a virtual service"),
	COUNTERS(SERVER, "server", "a real server"),
	[ACTIVE] = { "serveractive", NULL, GAUGE, "connections",
	  "active connections of a real server now", .flags = M_ALL },
	[INACTIVE] = { "serverinactive", NULL, GAUGE, "connections",
	  "inactive connections of a real server now", .flags = M_ALL },
	[WEIGHT] = { "serverweight", NULL, GAUGE, "weight",
	  "weight of a real server; 0: gets no new connections", .flags = M_ALL },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "As --services", KNOB_FLAG, &services },
	{ 0, "services", NULL, "Each virtual service and real server, too", KNOB_FLAG, &services },
	{}
};

/* A virtual service, or one of its real servers. */
struct row {
	bool is_server;
	uint16_t family, protocol, port; /* of the service; port in network order */
	uint32_t fwmark;                 /* 0: chosen by address */
	unsigned char addr[16];
	char scheduler[32];
	uint16_t server_family, server_port;
	uint32_t method;
	unsigned char server_addr[16];
	unsigned int known; /* bit i: value[i] was sent */
	uint64_t value[NMETRICS];
};

struct rows {
	struct row *v;
	size_t n, size;
	uint16_t genl;      /* number of the IPVS family */
	struct row service; /* whose real servers are being read */
};

/* clang-format on */

static struct row *rows_add(struct rows *rows, const struct row *model)
{
	if (array_grow(&rows->v, &rows->size, rows->n + 1))
		return NULL;
	rows->v[rows->n] = *model;
	return &rows->v[rows->n++];
}

static void set(struct row *r, int index, uint64_t value)
{
	r->value[index] = value;
	r->known |= 1U << index;
}

/* The counters: STATS64 has them with 64 bits, STATS some with 32. 0 or -EBADMSG. */
static int read_stats(const struct nlattr *stats64, const struct nlattr *stats, int first,
		      struct row *r)
{
	static const uint16_t attrs[NCOUNTERS] = {
		[CONNECTIONS] = IPVS_STATS_ATTR_CONNS,   [IN_PACKETS] = IPVS_STATS_ATTR_INPKTS,
		[OUT_BYTES] = IPVS_STATS_ATTR_OUTBYTES,  [IN_BYTES] = IPVS_STATS_ATTR_INBYTES,
		[OUT_PACKETS] = IPVS_STATS_ATTR_OUTPKTS,
	};
	static const uint16_t least[] = {
		[IPVS_STATS_ATTR_CONNS] = 4,    [IPVS_STATS_ATTR_INPKTS] = 4,
		[IPVS_STATS_ATTR_OUTPKTS] = 4,  [IPVS_STATS_ATTR_INBYTES] = 4,
		[IPVS_STATS_ATTR_OUTBYTES] = 4,
	};
	const struct nlattr *tb[ARRAY_SIZE(least)];

	if (!stats64 && !stats)
		return 0;
	if (nl_nested(stats64 ? stats64 : stats, least, ARRAY_SIZE(least), tb))
		return -EBADMSG;
	for (int i = 0; i < NCOUNTERS; i++) {
		const struct nlattr *attr = tb[attrs[i]];

		if (attr && mnl_attr_get_payload_len(attr) >= sizeof(uint64_t))
			set(r, first + i, mnl_attr_get_u64(attr));
		else if (attr)
			set(r, first + i, mnl_attr_get_u32(attr));
	}
	return 0;
}

static void copy_addr(unsigned char addr[16], const struct nlattr *attr)
{
	memcpy(addr, mnl_attr_get_payload(attr), 16);
}

/* What a message holds in its one nest of this type. 0 or -EBADMSG. */
static int read_nest(const struct nlmsghdr *nlh, uint16_t type, const uint16_t *least, size_t n,
		     const struct nlattr **tb)
{
	static const uint16_t outer_least[IPVS_CMD_ATTR_MAX + 1];
	const struct nlattr *outer[ARRAY_SIZE(outer_least)];

	if (nl_attrs(nlh, GENL_HDRLEN, outer_least, ARRAY_SIZE(outer), outer) || !outer[type])
		return -EBADMSG;
	return nl_nested(outer[type], least, n, tb);
}

static int read_service(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = {
		[IPVS_SVC_ATTR_AF] = 2,     [IPVS_SVC_ATTR_PROTOCOL] = 2,
		[IPVS_SVC_ATTR_ADDR] = 16,  [IPVS_SVC_ATTR_PORT] = 2,
		[IPVS_SVC_ATTR_FWMARK] = 4, [IPVS_SVC_ATTR_SCHED_NAME] = NL_STRING,
		[IPVS_SVC_ATTR_STATS] = 0,  [IPVS_SVC_ATTR_STATS64] = 0,
	};
	const struct nlattr *tb[ARRAY_SIZE(least)];
	struct row r = { 0 };

	if (read_nest(nlh, IPVS_CMD_ATTR_SERVICE, least, ARRAY_SIZE(least), tb) ||
	    !tb[IPVS_SVC_ATTR_AF])
		return nl_refuse(EBADMSG);
	r.family = mnl_attr_get_u16(tb[IPVS_SVC_ATTR_AF]);
	if (tb[IPVS_SVC_ATTR_FWMARK])
		r.fwmark = mnl_attr_get_u32(tb[IPVS_SVC_ATTR_FWMARK]);
	if (tb[IPVS_SVC_ATTR_PROTOCOL])
		r.protocol = mnl_attr_get_u16(tb[IPVS_SVC_ATTR_PROTOCOL]);
	if (tb[IPVS_SVC_ATTR_ADDR])
		copy_addr(r.addr, tb[IPVS_SVC_ATTR_ADDR]);
	if (tb[IPVS_SVC_ATTR_PORT])
		r.port = mnl_attr_get_u16(tb[IPVS_SVC_ATTR_PORT]);
	if (tb[IPVS_SVC_ATTR_SCHED_NAME])
		snprintf(r.scheduler, sizeof(r.scheduler), "%s",
			 mnl_attr_get_str(tb[IPVS_SVC_ATTR_SCHED_NAME]));
	if (read_stats(tb[IPVS_SVC_ATTR_STATS64], tb[IPVS_SVC_ATTR_STATS], SERVICE, &r))
		return nl_refuse(EBADMSG);
	return rows_add(arg, &r) ? MNL_CB_OK : nl_refuse(ENOMEM);
}

static int read_server(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = {
		[IPVS_DEST_ATTR_ADDR] = 16,        [IPVS_DEST_ATTR_PORT] = 2,
		[IPVS_DEST_ATTR_FWD_METHOD] = 4,   [IPVS_DEST_ATTR_WEIGHT] = 4,
		[IPVS_DEST_ATTR_ACTIVE_CONNS] = 4, [IPVS_DEST_ATTR_INACT_CONNS] = 4,
		[IPVS_DEST_ATTR_STATS] = 0,        [IPVS_DEST_ATTR_ADDR_FAMILY] = 2,
		[IPVS_DEST_ATTR_STATS64] = 0,
	};
	const struct nlattr *tb[ARRAY_SIZE(least)];
	struct rows *rows = arg;
	struct row r = rows->service;

	if (read_nest(nlh, IPVS_CMD_ATTR_DEST, least, ARRAY_SIZE(least), tb) ||
	    !tb[IPVS_DEST_ATTR_ADDR] || !tb[IPVS_DEST_ATTR_PORT])
		return nl_refuse(EBADMSG);
	r.is_server = true;
	r.known = 0;
	r.server_family = r.family;
	if (tb[IPVS_DEST_ATTR_ADDR_FAMILY])
		r.server_family = mnl_attr_get_u16(tb[IPVS_DEST_ATTR_ADDR_FAMILY]);
	copy_addr(r.server_addr, tb[IPVS_DEST_ATTR_ADDR]);
	r.server_port = mnl_attr_get_u16(tb[IPVS_DEST_ATTR_PORT]);
	if (tb[IPVS_DEST_ATTR_FWD_METHOD])
		r.method = mnl_attr_get_u32(tb[IPVS_DEST_ATTR_FWD_METHOD]);
	if (tb[IPVS_DEST_ATTR_ACTIVE_CONNS])
		set(&r, ACTIVE, mnl_attr_get_u32(tb[IPVS_DEST_ATTR_ACTIVE_CONNS]));
	if (tb[IPVS_DEST_ATTR_INACT_CONNS])
		set(&r, INACTIVE, mnl_attr_get_u32(tb[IPVS_DEST_ATTR_INACT_CONNS]));
	if (tb[IPVS_DEST_ATTR_WEIGHT])
		set(&r, WEIGHT, mnl_attr_get_u32(tb[IPVS_DEST_ATTR_WEIGHT]));
	if (read_stats(tb[IPVS_DEST_ATTR_STATS64], tb[IPVS_DEST_ATTR_STATS], SERVER, &r))
		return nl_refuse(EBADMSG);
	return rows_add(rows, &r) ? MNL_CB_OK : nl_refuse(ENOMEM);
}

static int read_family(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = { [CTRL_ATTR_FAMILY_ID] = 2 };
	const struct nlattr *tb[ARRAY_SIZE(least)];
	struct rows *rows = arg;

	if (nl_attrs(nlh, GENL_HDRLEN, least, ARRAY_SIZE(least), tb) || !tb[CTRL_ATTR_FAMILY_ID])
		return nl_refuse(EBADMSG);
	rows->genl = mnl_attr_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return MNL_CB_OK;
}

static struct nlmsghdr *request(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	nlh->nlmsg_type = family;
	genl->cmd = command;
	genl->version = 1;
	return nlh;
}

/* Which service the real servers are asked of. */
static void put_service(struct nlmsghdr *nlh, const struct row *r)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, IPVS_CMD_ATTR_SERVICE);

	mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_AF, r->family);
	if (r->fwmark) {
		mnl_attr_put_u32(nlh, IPVS_SVC_ATTR_FWMARK, r->fwmark);
	} else {
		mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_PROTOCOL, r->protocol);
		mnl_attr_put(nlh, IPVS_SVC_ATTR_ADDR, sizeof(r->addr), r->addr);
		mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_PORT, r->port);
	}
	mnl_attr_nest_end(nlh, nest);
}

static int talk(struct mnl_socket *nl, void *arg)
{
	char buffer[256];
	struct rows *rows = arg;
	struct nlmsghdr *nlh = request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	size_t nservices;
	int err;

	rows->n = 0;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
	err = nl_ask(nl, nlh, read_family, rows);
	if (!err)
		err = nl_dump(nl, request(buffer, rows->genl, IPVS_CMD_GET_SERVICE), read_service,
			      rows);
	nservices = rows->n;
	for (size_t i = 0; !err && i < nservices; i++) {
		rows->service = rows->v[i];
		nlh = request(buffer, rows->genl, IPVS_CMD_GET_DEST);
		put_service(nlh, &rows->service);
		err = nl_dump(nl, nlh, read_server, rows);
	}
	return err;
}

/* A number as text, for a label. */
static const char *number(char text[16], unsigned int value)
{
	snprintf(text, 16, "%u", value);
	return text;
}

static const char *protocol_name(uint16_t protocol, char text[16])
{
	switch (protocol) {
	case IPPROTO_TCP: return "TCP";
	case IPPROTO_UDP: return "UDP";
	case IPPROTO_SCTP: return "SCTP";
	}
	return number(text, protocol);
}

static const char *method_name(uint32_t method, char text[16])
{
	static const char *const names[] = {
		[IP_VS_CONN_F_MASQ] = "masq",     [IP_VS_CONN_F_LOCALNODE] = "local",
		[IP_VS_CONN_F_TUNNEL] = "tunnel", [IP_VS_CONN_F_DROUTE] = "route",
		[IP_VS_CONN_F_BYPASS] = "bypass",
	};

	method &= IP_VS_CONN_F_FWD_MASK;
	return method < ARRAY_SIZE(names) ? names[method] : number(text, method);
}

static void emit_row(const struct target *t, const struct row *r, struct out *o)
{
	char vaddr[INET6_ADDRSTRLEN] = "", raddr[INET6_ADDRSTRLEN] = "", text[5][16];
	struct label labels[8] = { 0 }, *l = labels;

	if (r->fwmark) {
		*l++ = (struct label){ "fwmark", number(text[0], r->fwmark) };
		*l++ = (struct label){ "family", r->family == AF_INET6 ? "ipv6" : "ipv4" };
	} else {
		inet_ntop(r->family, r->addr, vaddr, sizeof(vaddr));
		*l++ = (struct label){ "protocol", protocol_name(r->protocol, text[0]) };
		*l++ = (struct label){ "vaddr", vaddr };
		*l++ = (struct label){ "vport", number(text[1], ntohs(r->port)) };
	}
	if (r->is_server) {
		inet_ntop(r->server_family, r->server_addr, raddr, sizeof(raddr));
		*l++ = (struct label){ "raddr", raddr };
		*l++ = (struct label){ "rport", number(text[2], ntohs(r->server_port)) };
		*l++ = (struct label){ "forward", method_name(r->method, text[3]) };
	} else {
		*l++ = (struct label){ "scheduler", r->scheduler };
	}
	for (int i = 0; i < NMETRICS; i++)
		if (r->known & 1U << i)
			out_metric(o, t, &metrics[i], r->value[i], labels);
}

static int collect_services(const struct target *t, struct out *o)
{
	struct rows rows = { 0 };
	int err = nl_run(t, NETLINK_GENERIC, "virtual services", talk, &rows);

	for (size_t i = 0; !err && i < rows.n; i++)
		emit_row(t, &rows.v[i], o);
	free(rows.v);
	if (err != -EPERM && err != -EACCES)
		return err;
	out_denied(o, "lists of virtual services", 1,
		   CAP_TO_MASK(CAP_NET_ADMIN) | CAP_TO_MASK(CAP_SYS_ADMIN));
	return 0;
}

/* ---- the totals: net/ip_vs_stats ---- */

/* The counter of a column, whose name stands on two lines: "Total" above "Conns". */
static int total_find(const char *above, const char *below)
{
	for (int i = 0; i < NCOUNTERS; i++) {
		size_t len = strlen(above);

		if (!strncmp(metrics[i].key, above, len) && metrics[i].key[len] == ' ' &&
		    !strcmp(metrics[i].key + len + 1, below))
			return i;
	}
	return -1;
}

/*
 * Reads the totals from the text, which is destroyed; the rates below them are not looked at.
 * 0 or -EBADMSG.
 */
static int totals_parse(char *text, struct row *r)
{
	char *line[3], *word[3], *save[3];

	for (int i = 0; i < 3; i++)
		line[i] = strsep(&text, "\n");
	if (!text)
		return -EBADMSG;
	for (;; line[0] = line[1] = line[2] = NULL) {
		uint64_t value;
		int index, n = 0;

		for (int i = 0; i < 3; i++)
			n += (word[i] = strtok_r(line[i], " ", &save[i])) != NULL;
		if (!n)
			return r->known ? 0 : -EBADMSG;
		if (n < 3 || parse_hex(word[2], &value))
			return -EBADMSG;
		index = total_find(word[0], word[1]);
		if (index >= 0)
			set(r, index, value);
	}
}

static int collect(const struct target *t, struct out *o)
{
	const char *text;
	struct row totals = { 0 };
	int err = proc_net(t, "ip_vs_stats", &text);
	auto_free char *copy = err ? NULL : strdup(text);

	if (err)
		return err;
	err = copy ? totals_parse(copy, &totals) : -ENOMEM;
	if (err == -EBADMSG)
		proc_malformed(t, "ip_vs_stats");
	else if (err)
		msg_error("out of memory");
	if (err)
		return err;
	for (int i = 0; i < NCOUNTERS; i++)
		if (totals.known & 1U << i)
			out_metric(o, t, &metrics[i], totals.value[i], NULL);
	/* Only now: asking for the services of a kernel without them would load the module. */
	return services ? collect_services(t, o) : 0;
}

static const struct probe ipvs = {
	.name = "ipvs",
	.summary = "Statistics of IPVS",
	.question = "What does the IP virtual server schedule and pass?",
	.source = "procfs",
	.overhead = "Low",
	.needs = "CAP_NET_ADMIN and CAP_SYS_ADMIN for --services",
	.caps = CAP_TO_MASK(CAP_NET_ADMIN) | CAP_TO_MASK(CAP_SYS_ADMIN),
	.absent = "ip_vs is not loaded",
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(ipvs)
