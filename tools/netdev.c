// SPDX-License-Identifier: GPL-2.0-or-later
/* netdev - traffic, errors and drops of each network device. */
#include <errno.h>
#include <fnmatch.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/array.h"
#include "libcommon/link.h"
#include "libcommon/netlink.h"
#include "libcommon/out.h"
#include "libcommon/probe.h"
#include "libcommon/procfs.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static bool all_counters, with_lo, sum;
static const char *device_glob;

/* clang-format off */
enum { RX_BYTES, RX_ERRORS, TX_BYTES, TX_ERRORS, RX_PACKETS, RX_DROPPED, TX_PACKETS, TX_DROPPED,
       RX_MISSED, MULTICAST, COLLISIONS, RX_LENGTH, RX_OVER, RX_CRC, RX_FRAME, RX_FIFO, TX_ABORTED,
       TX_CARRIER, TX_FIFO, TX_HEARTBEAT, TX_WINDOW, RX_COMPRESSED, TX_COMPRESSED, RX_NOHANDLER,
       RX_OTHERHOST, NSTATS,
       CARRIER_CHANGES = NSTATS, CARRIER_UP, CARRIER_DOWN, MTU, OPERSTATE, PHYSICAL, DEFAULT_ROUTE,
       NVALUES };

/* A further statistic, in frames unless the kernel counts something else. */
#define MORE(index, name_, key_, help_)                                                            \
	[index] = { .name = (name_), .key = (key_), .type = COUNTER, .unit = "packets",            \
		    .help = (help_), .flags = M_ALL }

static const struct metric metrics[] = {
	[RX_BYTES] = { "rxbytes", "rx_bytes", COUNTER, "bytes",
	  "rx bytes of all network devices in pod",
	  .advice = { .means = "traffic of the device", .confirm = "ip -s link" } },
	[RX_ERRORS] = { "rxerrors", "rx_errors", COUNTER, "packets",
	  "rx errors of all network devices in pod",
	  .advice = { .means = "frames received broken (crc, length, frame, and what the driver "
			       "adds)",
		      .normal = "0 on copper, fibre and virtual devices",
		      .causes = "cable, SFP, duplex; MTU larger at the peer; overrun",
		      .confirm = "skoop-netdev -a; ethtool -S",
		      .remedy = "replace; equal MTU" } },
	[TX_BYTES] = { "txbytes", "tx_bytes", COUNTER, "bytes",
	  "tx bytes of all network devices in pod",
	  .advice = { .means = "traffic of the device", .confirm = "ip -s link" } },
	[TX_ERRORS] = { "txerrors", "tx_errors", COUNTER, "packets",
	  "tx error of all network devices in pod",
	  .advice = { .means = "not sent because of carrier, aborted, window or driver fault",
		      .normal = "0",
		      .causes = "link down; driver reset (\"tx timeout\" in the log)",
		      .confirm = "skoop-netdev -a, txcarriererrors; dmesg" } },
	[RX_PACKETS] = { "rxpackets", "rx_packets", COUNTER, "packets",
	  "rx packets of all network devices in pod",
	  .advice = { .means = "traffic of the device", .confirm = "ip -s link" } },
	[RX_DROPPED] = { "rxdropped", "rx_dropped", COUNTER, "packets",
	  "rx dropped packets of all network devices in pod",
	  .advice = { .means = "rx_dropped + rx_missed_errors, as in /proc/net/dev. rx_dropped "
			       "also counts healthy frames nobody wanted: unknown EtherType "
			       "(LLDP), VLAN without device; backlog overflow; XDP and generic "
			       "drops",
		      .normal = "about one every 2-30 s a port from switches",
		      .causes = "if rxmissederrors grows: ring too small or CPU late; else "
				"unwanted frames; else softnet_dropped; veth: smaller MTU than "
				"its peer",
		      .confirm = "skoop-netdev -a, rxmissederrors; skoop-packetloss, reasons "
				 "UNHANDLED_PROTO, CPU_BACKLOG",
		      .remedy = "ethtool -G rx; spread IRQs; ignore unwanted frames" } },
	[TX_PACKETS] = { "txpackets", "tx_packets", COUNTER, "packets",
	  "tx packets of all network devices in pod",
	  .advice = { .means = "traffic of the device", .confirm = "ip -s link" } },
	[TX_DROPPED] = { "txdropped", "tx_dropped", COUNTER, "packets",
	  "tx dropped packets of all network devices in pod",
	  .advice = { .means = "driver or device without queue threw it away",
		      .normal = "0",
		      .causes = "veth or tun peer down or its ring full; over veth also the "
				"receiving CPU's full backlog; frame larger than the veth peer's "
				"MTU (Ip OutDiscards grows with it); no carrier",
		      .confirm = "skoop-packetloss: __dev_forward_skb2, FULL_RING, DEV_READY",
		      .remedy = "peer up, equal MTU, faster reader of the tun" } },
	[RX_MISSED] = { "rxmissederrors", "rx_missed_errors", COUNTER, "packets",
	  "frames lost before the host took them; contained in rxdropped", .flags = M_ALL,
	  .advice = { .means = "NIC had no free buffer or the host was late",
		      .normal = "0",
		      .causes = "ring size, IRQ placement, C-states, stolen vCPU",
		      .confirm = "ethtool -g; skoop-softnet --per-cpu",
		      .remedy = "ethtool -G rx; spread IRQs" } },
	MORE(MULTICAST, "multicast", "multicast", "multicast frames received"),
	MORE(COLLISIONS, "collisions", "collisions", "collisions while sending"),
	MORE(RX_LENGTH, "rxlengtherrors", "rx_length_errors", "frames of wrong length"),
	MORE(RX_OVER, "rxovererrors", "rx_over_errors", "frames that overran the receiver"),
	MORE(RX_CRC, "rxcrcerrors", "rx_crc_errors", "frames with a wrong checksum: cable, port"),
	MORE(RX_FRAME, "rxframeerrors", "rx_frame_errors", "misaligned frames: cable, port"),
	MORE(RX_FIFO, "rxfifoerrors", "rx_fifo_errors", "frames that overran the receive FIFO"),
	MORE(TX_ABORTED, "txabortederrors", "tx_aborted_errors", "sending aborted"),
	MORE(TX_CARRIER, "txcarriererrors", "tx_carrier_errors", "no carrier while sending"),
	MORE(TX_FIFO, "txfifoerrors", "tx_fifo_errors", "send FIFO ran empty"),
	MORE(TX_HEARTBEAT, "txheartbeaterrors", "tx_heartbeat_errors", "heartbeat errors"),
	MORE(TX_WINDOW, "txwindowerrors", "tx_window_errors", "late collisions"),
	MORE(RX_COMPRESSED, "rxcompressed", "rx_compressed", "compressed packets received"),
	MORE(TX_COMPRESSED, "txcompressed", "tx_compressed", "compressed packets sent"),
	MORE(RX_NOHANDLER, "rxnohandler", "rx_nohandler",
	     "frames on an inactive port of a bond or team: harmless"),
	MORE(RX_OTHERHOST, "rxotherhostdropped", "rx_otherhost_dropped",
	     "frames for another MAC address while promiscuous: harmless (from 6.1 on)"),
	[CARRIER_CHANGES] = { "carrierchanges", "carrier_changes", COUNTER, "events",
	  "link transitions since the device was made", .flags = M_ALL | M_U32,
	  .advice = { .means = "times the link went up or down",
		      .normal = "does not grow",
		      .causes = "cable, SFP, switch port, driver reset; for veth: peer set down",
		      .confirm = "dmesg" } },
	[CARRIER_UP] = { "carrierup", "carrier_up_count", COUNTER, "events",
	  "times the link came up", .flags = M_ALL | M_U32 },
	[CARRIER_DOWN] = { "carrierdown", "carrier_down_count", COUNTER, "events",
	  "times the link went down", .flags = M_ALL | M_U32 },
	[MTU] = { "mtu", "mtu", GAUGE, "bytes", "largest packet the device takes", .flags = M_ALL },
	[OPERSTATE] = { "operstate", "operstate", GAUGE, "state",
	  "0 unknown, 1 not present, 2 down, 3 lower layer down, 4 testing, 5 dormant, 6 up",
	  .flags = M_ALL },
	[PHYSICAL] = { "physical", NULL, GAUGE, "bool",
	  "1: a device on a bus, 0: a virtual one", .flags = M_ALL },
	[DEFAULT_ROUTE] = { "defaultroute", NULL, GAUGE, "bool",
	  "1: carries a default route of the main table, IPv4 or IPv6", .flags = M_ALL },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every link statistic, carrier, MTU, state and role",
	  KNOB_FLAG, &all_counters },
	{ 0, "device", "GLOB", "Only devices whose name matches", KNOB_STRING, &device_glob },
	{ 0, "lo", NULL, "The loopback device, too", KNOB_FLAG, &with_lo },
	{ 0, "sum", NULL, "One total a namespace; devices that carry another's packets count once",
	  KNOB_FLAG, &sum },
	{}
};

/* Where each statistic stands in the kernel's structure, which grew at its end. */
#define AT(member) offsetof(struct rtnl_link_stats64, member)
static const size_t offsets[NSTATS] = {
	[RX_BYTES] = AT(rx_bytes), [RX_ERRORS] = AT(rx_errors),
	[TX_BYTES] = AT(tx_bytes), [TX_ERRORS] = AT(tx_errors),
	[RX_PACKETS] = AT(rx_packets), [RX_DROPPED] = AT(rx_dropped),
	[TX_PACKETS] = AT(tx_packets), [TX_DROPPED] = AT(tx_dropped),
	[RX_MISSED] = AT(rx_missed_errors), [MULTICAST] = AT(multicast),
	[COLLISIONS] = AT(collisions), [RX_LENGTH] = AT(rx_length_errors),
	[RX_OVER] = AT(rx_over_errors), [RX_CRC] = AT(rx_crc_errors),
	[RX_FRAME] = AT(rx_frame_errors), [RX_FIFO] = AT(rx_fifo_errors),
	[TX_ABORTED] = AT(tx_aborted_errors), [TX_CARRIER] = AT(tx_carrier_errors),
	[TX_FIFO] = AT(tx_fifo_errors), [TX_HEARTBEAT] = AT(tx_heartbeat_errors),
	[TX_WINDOW] = AT(tx_window_errors), [RX_COMPRESSED] = AT(rx_compressed),
	[TX_COMPRESSED] = AT(tx_compressed), [RX_NOHANDLER] = AT(rx_nohandler),
	[RX_OTHERHOST] = AT(rx_otherhost_dropped),
};

/* The columns of net/dev. Two are sums of several statistics and have no metric: frame, carrier. */
enum { NO_SIDE, RX, TX };
static const struct column {
	int side;
	const char *name;
} columns[NSTATS] = {
	[RX_BYTES] = { RX, "bytes" },		[RX_PACKETS] = { RX, "packets" },
	[RX_ERRORS] = { RX, "errs" },		[RX_DROPPED] = { RX, "drop" },
	[RX_FIFO] = { RX, "fifo" },		[RX_COMPRESSED] = { RX, "compressed" },
	[MULTICAST] = { RX, "multicast" },	[TX_BYTES] = { TX, "bytes" },
	[TX_PACKETS] = { TX, "packets" },	[TX_ERRORS] = { TX, "errs" },
	[TX_DROPPED] = { TX, "drop" },		[TX_FIFO] = { TX, "fifo" },
	[COLLISIONS] = { TX, "colls" },		[TX_COMPRESSED] = { TX, "compressed" },
};

struct device {
	int ifindex; /* 0: not known, read from net/dev */
	char name[IFNAMSIZ];
	uint64_t known; /* bit i: value[i] was read */
	uint64_t value[NVALUES];
};

struct devices {
	struct device *v;
	size_t n, size;
	struct links links; /* for -a and --sum */
};

/* clang-format on */

static void set(struct device *d, int index, uint64_t value)
{
	d->value[index] = value;
	d->known |= 1ULL << index;
}

static struct device *devices_add(struct devices *ds)
{
	if (array_grow(&ds->v, &ds->size, ds->n + 1))
		return NULL;
	ds->v[ds->n] = (struct device){ 0 };
	return &ds->v[ds->n++];
}

static bool wanted(const char *name, int ifindex)
{
	/* The loopback device is made with its namespace and always the first. */
	if (!with_lo && (ifindex ? ifindex == 1 : !strcmp(name, "lo")))
		return false;
	return !device_glob || !fnmatch(device_glob, name, 0);
}

static int read_stats(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = { [IFLA_STATS_LINK_64] = AT(rx_nohandler) };
	const struct nlattr *tb[ARRAY_SIZE(least)];
	const struct if_stats_msg *head = mnl_nlmsg_get_payload(nlh);
	struct device *d;

	if (nl_attrs(nlh, sizeof(*head), least, ARRAY_SIZE(least), tb) || !tb[IFLA_STATS_LINK_64])
		return nl_refuse(EBADMSG);
	d = devices_add(arg);
	if (!d)
		return nl_refuse(ENOMEM);
	d->ifindex = (int)head->ifindex;
	for (int i = 0; i < NSTATS; i++) {
		const char *stats = mnl_attr_get_payload(tb[IFLA_STATS_LINK_64]);
		uint64_t value;

		if (offsets[i] + sizeof(value) > mnl_attr_get_payload_len(tb[IFLA_STATS_LINK_64]))
			continue;
		memcpy(&value, stats + offsets[i], sizeof(value));
		set(d, i, value);
	}
	/* As in net/dev: what the host was too late for is dropped, too. */
	d->value[RX_DROPPED] += d->value[RX_MISSED];
	return MNL_CB_OK;
}

/* Names the devices; those nobody asked for, or that went away meanwhile, are left out. */
static void name_devices(struct mnl_socket *nl, struct devices *ds)
{
	size_t n = 0;

	for (size_t i = 0; i < ds->n; i++) {
		struct device *d = &ds->v[i];

		if (!nl_link_name(nl, d->ifindex, d->name) && wanted(d->name, d->ifindex))
			ds->v[n++] = *d;
	}
	ds->n = n;
}

static int read_relations(struct mnl_socket *nl, struct devices *ds)
{
	struct links *ls = &ds->links;
	int err = links_read(nl, ls);
	size_t n = 0;

	for (size_t i = 0; i < ls->n; i++)
		if (wanted(ls->v[i].name, ls->v[i].ifindex))
			ls->v[n++] = ls->v[i];
	ls->n = n;
	return !err && all_counters ? links_routes(nl, ls) : err;
}

static int talk(struct mnl_socket *nl, void *arg)
{
	char buffer[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct if_stats_msg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));
	struct devices *ds = arg;
	int err;

	ds->n = 0;
	nlh->nlmsg_type = RTM_GETSTATS;
	head->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	err = nl_dump(nl, nlh, read_stats, ds);
	if (err)
		return err;
	name_devices(nl, ds);
	return all_counters || sum ? read_relations(nl, ds) : 0;
}

/* ---- without netlink: net/dev ---- */

#define COLUMNS_MAX 32

static int column_find(int side, const char *name)
{
	for (int i = 0; i < NSTATS; i++)
		if (columns[i].side == side && !strcmp(columns[i].name, name))
			return i;
	return -1;
}

/* The columns' names, " face |bytes packets…|bytes packets…". Their number, or -EBADMSG. */
static int dev_header(char *line, int *stats)
{
	int n = 0, side = NO_SIDE;
	char *part, *word;

	for (; (part = strsep(&line, "|")); side++) {
		while (side && (word = strsep(&part, " "))) {
			if (!*word)
				continue;
			if (n == COLUMNS_MAX)
				return -EBADMSG;
			stats[n++] = column_find(side, word);
		}
	}
	return side == 3 && n ? n : -EBADMSG;
}

/* "  eth0: number number…" */
static int dev_line(char *line, const int *stats, int nstats, struct devices *ds)
{
	char *name = strsep(&line, ":"), *word;
	struct device *d = devices_add(ds);
	int n = 0;

	if (!d)
		return -ENOMEM;
	name += strspn(name, " ");
	if (!line || !*name || strlen(name) >= sizeof(d->name))
		return -EBADMSG;
	memcpy(d->name, name, strlen(name));
	while ((word = strsep(&line, " "))) {
		uint64_t value;

		if (!*word)
			continue;
		if (n == nstats || parse_u64(word, 0, UINT64_MAX, &value))
			return -EBADMSG;
		if (stats[n] >= 0)
			set(d, stats[n], value);
		n++;
	}
	if (n != nstats)
		return -EBADMSG;
	if (!wanted(d->name, 0))
		ds->n--;
	return 0;
}

/* Fills *ds from the text of net/dev, which is destroyed. 0, -ENOMEM, -EBADMSG. */
static int dev_parse(char *text, struct devices *ds)
{
	int stats[COLUMNS_MAX], nstats, err = 0;
	char *line;

	(void)strsep(&text, "\n");
	line = strsep(&text, "\n");
	/* The header line was whole only if something follows its newline, be it nothing. */
	nstats = line && text ? dev_header(line, stats) : -EBADMSG;
	if (nstats < 0)
		return nstats;
	while (!err && (line = strsep(&text, "\n")) && text)
		err = dev_line(line, stats, nstats, ds);
	return err ? err : *line ? -EBADMSG : 0;
}

static int read_proc(const struct target *t, struct devices *ds)
{
	const char *text;
	int err = proc_net(t, "dev", &text);
	auto_free char *copy = err ? NULL : strdup(text);

	if (err)
		return err;
	ds->n = 0;
	err = copy ? dev_parse(copy, ds) : -ENOMEM;
	if (err == -EBADMSG)
		proc_malformed(t, "dev");
	else if (err)
		msg_error("out of memory");
	return err;
}

/* ---- output ---- */

static void emit(const struct target *t, const struct device *d, const struct label *labels,
		 struct out *o)
{
	for (int i = 0; i < NVALUES; i++)
		if (d->known & 1ULL << i && (all_counters || !(metrics[i].flags & M_ALL)))
			out_metric(o, t, &metrics[i], d->value[i], labels);
}

static void add_link(struct device *d, const struct link *l)
{
	static const int values[LINK_NVALUES] = {
		[LINK_MTU] = MTU,
		[LINK_OPERSTATE] = OPERSTATE,
		[LINK_CARRIER_CHANGES] = CARRIER_CHANGES,
		[LINK_CARRIER_UP] = CARRIER_UP,
		[LINK_CARRIER_DOWN] = CARRIER_DOWN,
	};

	for (int i = 0; i < LINK_NVALUES; i++)
		if (l->known & 1U << i)
			set(d, values[i], l->value[i]);
	set(d, PHYSICAL, l->physical);
	set(d, DEFAULT_ROUTE, l->default_route);
}

static void emit_devices(const struct target *t, struct devices *ds, struct out *o)
{
	for (size_t i = 0; i < ds->n; i++) {
		struct device *d = &ds->v[i];
		const struct label labels[] = { { "device", d->name }, {} };
		const struct link *l = links_find(&ds->links, d->ifindex);

		if (l)
			add_link(d, l);
		emit(t, d, labels, o);
	}
}

static void emit_sum(const struct target *t, const struct devices *ds, struct out *o)
{
	struct device total = { 0 };

	for (size_t i = 0; i < ds->n; i++) {
		const struct device *d = &ds->v[i];
		const struct link *l = links_find(&ds->links, d->ifindex);

		if (!l || link_stacked(&ds->links, l))
			continue;
		total.known |= d->known;
		for (int k = 0; k < NSTATS; k++)
			total.value[k] += d->value[k];
	}
	emit(t, &total, NULL, o);
}

static int collect(const struct target *t, struct out *o)
{
	struct devices ds = { 0 };
	int err = nl_run(t, NETLINK_ROUTE, "device statistics", talk, &ds);

	/* net/dev does not say how devices are stacked. */
	if (!sum && (err == -EPERM || err == -EACCES || err == -ESRCH || err == -ENOENT)) {
		err = read_proc(t, &ds);
		if (!err && all_counters)
			out_note(o, "read from /proc/PID/net/dev, which has less: entering a "
				    "namespace needs CAP_SYS_ADMIN");
	}
	if (!err && sum)
		emit_sum(t, &ds, o);
	else if (!err)
		emit_devices(t, &ds, o);
	links_free(&ds.links);
	free(ds.v);
	return err;
}

static const struct probe netdev = {
	.name = "netdev",
	.summary = "Statistics of network device",
	.question = "Which device drops packets or has errors?",
	.source = "netlink",
	.overhead = "Low",
	.needs = "CAP_SYS_ADMIN to enter other network namespaces; without it /proc is read",
	.caps = CAP_TO_MASK(CAP_SYS_ADMIN),
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(netdev)
