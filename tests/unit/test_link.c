// SPDX-License-Identifier: GPL-2.0-or-later
/* Devices, their statistics and their default routes, from made-up messages and from net/dev. */
#include "recorder.h"

#include "tools/netdev.c"

/* The callbacks of link.c are its own; the library's copy of the file is then not linked. */
#include "libcommon/link.c"

static const struct target target = { .namespace = "-", .pod = "t" };

/* ---- relations ---- */

struct made {
	int ifindex, master, lower;
	const char *name, *kind, *parent;
	uint16_t vlan;
	bool elsewhere; /* its lower device is in another namespace */
};

static struct nlmsghdr *make_link(char *buffer, const struct made *m)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));

	nlh->nlmsg_type = RTM_NEWLINK;
	info->ifi_index = m->ifindex;
	info->ifi_type = m->ifindex == 1 ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, m->name);
	mnl_attr_put_u32(nlh, IFLA_MTU, 1500);
	mnl_attr_put_u8(nlh, IFLA_OPERSTATE, 6);
	mnl_attr_put_u32(nlh, IFLA_CARRIER_CHANGES, 4);
	mnl_attr_put_u32(nlh, IFLA_CARRIER_UP_COUNT, 3);
	mnl_attr_put_u32(nlh, IFLA_CARRIER_DOWN_COUNT, 1);
	if (m->master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)m->master);
	if (m->lower)
		mnl_attr_put_u32(nlh, IFLA_LINK, (uint32_t)m->lower);
	if (m->elsewhere)
		mnl_attr_put_u32(nlh, IFLA_LINK_NETNSID, 0);
	if (m->parent)
		mnl_attr_put_strz(nlh, IFLA_PARENT_DEV_NAME, m->parent);
	if (m->kind) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);

		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, m->kind);
		if (m->vlan) {
			struct nlattr *data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);

			mnl_attr_put_u16(nlh, IFLA_VLAN_ID, m->vlan);
			mnl_attr_nest_end(nlh, data);
		}
		mnl_attr_nest_end(nlh, nest);
	}
	return nlh;
}

static const struct made made[] = {
	{ .ifindex = 1, .name = "lo" },
	{ .ifindex = 2, .name = "eth0", .parent = "0000:00:03.0", .master = 5 },
	{ .ifindex = 3, .name = "eth1" },
	{ .ifindex = 4, .name = "eth1.100", .kind = "vlan", .lower = 3, .vlan = 100 },
	{ .ifindex = 5, .name = "br0", .kind = "bridge" },
	{ .ifindex = 6, .name = "veth0", .kind = "veth", .lower = 7 },
	{ .ifindex = 7, .name = "veth1", .kind = "veth", .lower = 6 },
	{ .ifindex = 8, .name = "pod0", .kind = "veth", .lower = 2, .elsewhere = true },
	{ .ifindex = 9, .name = "gre0", .kind = "gre", .lower = 9 },
	{ .ifindex = 10, .name = "can0", .kind = "can", .parent = "platform" },
	{ .ifindex = 11, .name = "bond0", .kind = "bond" },
	{ .ifindex = 12, .name = "team0", .kind = "team" },
	{ .ifindex = 13, .name = "red", .kind = "vrf" },
};

static struct links links_made(void)
{
	struct links ls = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		char buffer[1024];

		assert_int_equal(read_link(make_link(buffer, &made[i]), &ls), MNL_CB_OK);
	}
	return ls;
}

static void test_relations(void **state)
{
	static const struct {
		bool stacked, physical;
	} expected[ARRAY_SIZE(made)] = {
		{ false, false }, { true, true },   { false, true },  { true, false },
		{ false, false }, { false, false }, { false, false }, { false, false },
		{ false, false }, { false, true },  { false, false }, { false, false },
		{ false, false },
	};
	static const enum link_kind kinds[ARRAY_SIZE(made)] = {
		[3] = LINK_VLAN, [10] = LINK_BOND, [11] = LINK_BOND, [12] = LINK_VRF
	};
	struct links ls = links_made();

	(void)state;
	for (size_t i = 0; i < ls.n; i++) {
		assert_ptr_equal(links_find(&ls, made[i].ifindex), &ls.v[i]);
		assert_string_equal(ls.v[i].name, made[i].name);
		assert_int_equal(link_stacked(&ls, &ls.v[i]), expected[i].stacked);
		assert_int_equal(ls.v[i].physical, expected[i].physical);
		assert_int_equal(ls.v[i].loopback, i == 0);
		assert_int_equal(ls.v[i].kind, kinds[i]);
		assert_int_equal(ls.v[i].vlan, made[i].vlan);
	}
	assert_null(links_find(&ls, 99));
	assert_int_equal(ls.v[0].value[LINK_CARRIER_CHANGES], 4);
	assert_int_equal(ls.v[0].value[LINK_OPERSTATE], 6);
	links_free(&ls);
	assert_null(links_find(&ls, 1));
}

static void test_malformed_links_are_refused(void **state)
{
	char buffer[1024];
	struct nlmsghdr *nlh = make_link(buffer, &made[3]);
	struct links ls = { 0 };
	unsigned int whole = 0;

	(void)state;
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_link, &ls);
	/* After the name, the operstate (4 each, with their padding) and each of the six others. */
	assert_int_equal(whole, 14);
	links_free(&ls);
}

/* ---- routes ---- */

static struct nlmsghdr *make_route(char *buffer, unsigned char dst_len, unsigned char type,
				   uint32_t table, int oif)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	nlh->nlmsg_type = RTM_NEWROUTE;
	rtm->rtm_dst_len = dst_len;
	rtm->rtm_type = type;
	rtm->rtm_table = RT_TABLE_COMPAT;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	if (dst_len)
		mnl_attr_put_u32(nlh, RTA_DST, dst_len == 8 ? 0 : 10);
	if (oif)
		mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)oif);
	return nlh;
}

static void test_default_routes(void **state)
{
	static const struct rtnexthop hops[] = { { .rtnh_len = 8, .rtnh_ifindex = 5 },
						 { .rtnh_len = 8, .rtnh_ifindex = 3 } };
	struct links ls = links_made();
	char buffer[256];
	struct nlmsghdr *nlh;

	(void)state;
	/* Not a default, not to a device, another table, a device that is not here. */
	assert_int_equal(read_route(make_route(buffer, 8, RTN_UNICAST, RT_TABLE_MAIN, 2), &ls),
			 MNL_CB_OK);
	assert_int_equal(read_route(make_route(buffer, 0, RTN_UNREACHABLE, RT_TABLE_MAIN, 1), &ls),
			 MNL_CB_OK);
	assert_int_equal(read_route(make_route(buffer, 0, RTN_UNICAST, 1000, 4), &ls), MNL_CB_OK);
	assert_int_equal(read_route(make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 77), &ls),
			 MNL_CB_OK);
	for (size_t i = 0; i < ls.n; i++)
		assert_false(ls.v[i].default_route);

	assert_int_equal(read_route(make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 2), &ls),
			 MNL_CB_OK);
	nlh = make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 0);
	mnl_attr_put(nlh, RTA_MULTIPATH, sizeof(hops), hops);
	assert_int_equal(read_route(nlh, &ls), MNL_CB_OK);
	for (size_t i = 0; i < ls.n; i++)
		assert_int_equal(ls.v[i].default_route, ls.v[i].ifindex == 2 ||
								ls.v[i].ifindex == 3 ||
								ls.v[i].ifindex == 5);
	links_free(&ls);
}

/* The first IPv4 destination past 0.0.0.0 ends the dump; 0.0.0.0/8 stands before the default. */
static void test_ipv4_dump_ends_early(void **state)
{
	struct links ls = links_made();
	char buffer[256];

	(void)state;
	assert_int_equal(read_route4(make_route(buffer, 8, RTN_UNICAST, RT_TABLE_MAIN, 2), &ls),
			 MNL_CB_OK);
	assert_int_equal(read_route4(make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 2), &ls),
			 MNL_CB_OK);
	assert_int_equal(read_route4(make_route(buffer, 24, RTN_UNICAST, RT_TABLE_MAIN, 2), &ls),
			 MNL_CB_STOP);
	assert_true(links_find(&ls, 2)->default_route);
	links_free(&ls);
}

static void test_malformed_routes_are_refused(void **state)
{
	struct rtnexthop hop = { .rtnh_len = 8, .rtnh_ifindex = 5 };
	struct links ls = links_made();
	char buffer[256];
	struct nlmsghdr *nlh = make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 2);
	unsigned int whole = 0;

	(void)state;
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_route, &ls);
	assert_int_equal(whole, 3);
	/* Next hops that are too short, too long, or cut. */
	for (int i = 0; i < 3; i++) {
		nlh = make_route(buffer, 0, RTN_UNICAST, RT_TABLE_MAIN, 0);
		hop.rtnh_len = i == 0 ? 4 : i == 1 ? 12 : 8;
		mnl_attr_put(nlh, RTA_MULTIPATH, i == 2 ? 6 : sizeof(hop), &hop);
		assert_false(accepts(nlh, nlh->nlmsg_len, read_route, &ls));
	}
	links_free(&ls);
}

/* ---- statistics ---- */

static struct nlmsghdr *make_stats(char *buffer, size_t size)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct if_stats_msg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));
	uint64_t values[26];

	/* Each value says where it stands. */
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		values[i] = (1ULL << 40) + i;
	nlh->nlmsg_type = RTM_NEWSTATS;
	head->ifindex = 7;
	mnl_attr_put(nlh, IFLA_STATS_LINK_64, size, values);
	return nlh;
}

static void test_statistics(void **state)
{
	struct devices ds = { 0 };
	char buffer[512];
	const uint64_t base = 1ULL << 40;

	(void)state;
	/* A kernel that knows more than we do, 5.10 without rx_otherhost_dropped, an older one. */
	assert_int_equal(read_stats(make_stats(buffer, 26 * 8), &ds), MNL_CB_OK);
	assert_int_equal(read_stats(make_stats(buffer, 24 * 8), &ds), MNL_CB_OK);
	assert_int_equal(read_stats(make_stats(buffer, 23 * 8), &ds), MNL_CB_OK);
	assert_int_equal(ds.n, 3);
	assert_int_equal(ds.v[0].ifindex, 7);
	assert_int_equal(ds.v[0].value[RX_PACKETS], base);
	assert_int_equal(ds.v[0].value[TX_BYTES], base + 3);
	assert_int_equal(ds.v[0].value[RX_DROPPED], base + 6 + base + 15);
	assert_int_equal(ds.v[0].value[TX_DROPPED], base + 7);
	assert_int_equal(ds.v[0].value[RX_MISSED], base + 15);
	assert_int_equal(ds.v[0].value[RX_OTHERHOST], base + 24);
	assert_int_equal(ds.v[0].known, (1ULL << NSTATS) - 1);
	assert_int_equal(ds.v[1].known, (1ULL << NSTATS) - 1 - (1ULL << RX_OTHERHOST));
	assert_int_equal(ds.v[2].known, (1ULL << RX_NOHANDLER) - 1);
	free(ds.v);
}

static void test_malformed_statistics_are_refused(void **state)
{
	struct devices ds = { 0 };
	char buffer[512];
	struct nlmsghdr *nlh = make_stats(buffer, 25 * 8);

	(void)state;
	for (size_t len = sizeof(*nlh); len < nlh->nlmsg_len; len++)
		assert_false(accepts(nlh, len, read_stats, &ds));
	assert_true(accepts(nlh, nlh->nlmsg_len, read_stats, &ds));
	nlh = make_stats(buffer, 23 * 8 - 1);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_stats, &ds));
	free(ds.v);
}

/* ---- sums and rows ---- */

static void test_sum_counts_a_packet_once(void **state)
{
	struct devices ds = { .links = links_made() };
	struct out o = { 0 };

	(void)state;
	for (size_t i = 1; i < ARRAY_SIZE(made); i++) {
		struct device *d = devices_add(&ds);

		d->ifindex = made[i].ifindex;
		set(d, RX_PACKETS, 1U << made[i].ifindex);
	}
	/* eth0 is counted by br0, eth1.100 by eth1. */
	emit_sum(&target, &ds, &o);
	assert_lines(&o, "rxpackets 16360\n");
	recorder_reset(&o);
	links_free(&ds.links);
	free(ds.v);
}

/* ---- net/dev ---- */

#define HEADER                                                                                     \
	"Inter-|   Receive                                                |  Transmit\n"           \
	" face |bytes    packets errs drop fifo frame compressed multicast|"                       \
	"bytes    packets errs drop fifo colls carrier compressed\n"

static int parse(const char *text, struct devices *ds)
{
	auto_free char *copy = strdup(text);

	ds->n = 0;
	return dev_parse(copy, ds);
}

static void test_net_dev(void **state)
{
	struct devices ds = { 0 };
	struct out o = { 0 };

	(void)state;
	assert_int_equal(parse(HEADER
			       "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
			       "  eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
			       &ds),
			 0);
	emit_devices(&target, &ds, &o);
	assert_lines(&o, "rxbytes{device=eth0} 18446744073709551615\n"
			 "rxerrors{device=eth0} 3\n"
			 "txbytes{device=eth0} 9\n"
			 "txerrors{device=eth0} 11\n"
			 "rxpackets{device=eth0} 2\n"
			 "rxdropped{device=eth0} 4\n"
			 "txpackets{device=eth0} 10\n"
			 "txdropped{device=eth0} 12\n");
	recorder_reset(&o);
	all_counters = true;
	emit_devices(&target, &ds, &o);
	all_counters = false;
	assert_non_null(strstr(o.lines.data, "rxfifoerrors{device=eth0} 5\n"));
	assert_non_null(strstr(o.lines.data, "collisions{device=eth0} 14\n"));
	assert_null(strstr(o.lines.data, "rxframeerrors"));
	recorder_reset(&o);

	/* Columns are found by their names. */
	assert_int_equal(parse("x\n face |drop packets new|errs\nw0: 1 2 3 4\n", &ds), 0);
	assert_int_equal(ds.v[0].value[RX_DROPPED], 1);
	assert_int_equal(ds.v[0].value[RX_PACKETS], 2);
	assert_int_equal(ds.v[0].value[TX_ERRORS], 4);
	assert_int_equal(ds.v[0].known, 1 << RX_DROPPED | 1 << RX_PACKETS | 1 << TX_ERRORS);
	assert_int_equal(parse(HEADER, &ds), 0);
	assert_int_equal(ds.n, 0);
	free(ds.v);
}

static void test_malformed_net_dev_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"\n\n",
		HEADER "eth0: 1\n",
		HEADER "eth0\n",
		HEADER ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADER "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n",
		HEADER "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x\n",
		HEADER "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -1\n",
		HEADER "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", /* cut before its newline */
		HEADER "anamethatistoolong: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADER "\n",
		"x\n face |bytes\neth0: 1\n",
		"x\n face |a|b|c\n",
		"x\n face |bytes|bytes",
	};
	struct devices ds = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &ds), -EBADMSG);
	free(ds.v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relations),
		cmocka_unit_test(test_malformed_links_are_refused),
		cmocka_unit_test(test_default_routes),
		cmocka_unit_test(test_ipv4_dump_ends_early),
		cmocka_unit_test(test_malformed_routes_are_refused),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_malformed_statistics_are_refused),
		cmocka_unit_test(test_sum_counts_a_packet_once),
		cmocka_unit_test(test_net_dev),
		cmocka_unit_test(test_malformed_net_dev_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
