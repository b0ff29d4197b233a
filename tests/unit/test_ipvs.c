// SPDX-License-Identifier: GPL-2.0-or-later
/* Virtual services and real servers from made-up messages, and the totals from net/ip_vs_stats. */
#include "recorder.h"

#include "tools/ipvs.c"

static const struct target target = { .namespace = "-", .pod = "t" };

static struct nlmsghdr *make(char *buffer, uint16_t attr, struct nlattr **nest)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	mnl_nlmsg_put_extra_header(nlh, GENL_HDRLEN);
	*nest = mnl_attr_nest_start(nlh, attr);
	return nlh;
}

/* The kernel sends both forms; `first` is the 64-bit number of connections. */
static void put_stats(struct nlmsghdr *nlh, uint16_t attr32, uint16_t attr64, uint64_t first)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, attr32);

	for (uint16_t a = IPVS_STATS_ATTR_CONNS; a <= IPVS_STATS_ATTR_OUTPKTS; a++)
		mnl_attr_put_u32(nlh, a, (uint32_t)first + a);
	mnl_attr_put_u64(nlh, IPVS_STATS_ATTR_INBYTES, first + IPVS_STATS_ATTR_INBYTES);
	mnl_attr_put_u64(nlh, IPVS_STATS_ATTR_OUTBYTES, first + IPVS_STATS_ATTR_OUTBYTES);
	mnl_attr_nest_end(nlh, nest);
	if (!attr64)
		return;
	nest = mnl_attr_nest_start(nlh, attr64);
	for (uint16_t a = IPVS_STATS_ATTR_CONNS; a <= IPVS_STATS_ATTR_OUTBPS; a++)
		mnl_attr_put_u64(nlh, a, first + a);
	mnl_attr_nest_end(nlh, nest);
}

static void put_addr(struct nlmsghdr *nlh, uint16_t attr, int family, const char *text)
{
	unsigned char addr[16] = { 0 };

	assert_int_equal(inet_pton(family, text, addr), 1);
	mnl_attr_put(nlh, attr, sizeof(addr), addr);
}

static struct nlmsghdr *make_service(char *buffer, uint64_t first)
{
	struct nlattr *nest;
	struct nlmsghdr *nlh = make(buffer, IPVS_CMD_ATTR_SERVICE, &nest);

	mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_AF, AF_INET);
	mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_PROTOCOL, IPPROTO_TCP);
	put_addr(nlh, IPVS_SVC_ATTR_ADDR, AF_INET, "10.96.0.10");
	mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_PORT, htons(443));
	mnl_attr_put_strz(nlh, IPVS_SVC_ATTR_SCHED_NAME, "rr");
	put_stats(nlh, IPVS_SVC_ATTR_STATS, IPVS_SVC_ATTR_STATS64, first);
	mnl_attr_nest_end(nlh, nest);
	return nlh;
}

static struct nlmsghdr *make_marked(char *buffer)
{
	struct nlattr *nest;
	struct nlmsghdr *nlh = make(buffer, IPVS_CMD_ATTR_SERVICE, &nest);

	mnl_attr_put_u16(nlh, IPVS_SVC_ATTR_AF, AF_INET6);
	mnl_attr_put_u32(nlh, IPVS_SVC_ATTR_FWMARK, 7);
	mnl_attr_put_strz(nlh, IPVS_SVC_ATTR_SCHED_NAME, "wlc");
	put_stats(nlh, IPVS_SVC_ATTR_STATS, 0, 1000);
	mnl_attr_nest_end(nlh, nest);
	return nlh;
}

static struct nlmsghdr *make_server(char *buffer, int family, const char *addr, uint32_t method)
{
	struct nlattr *nest;
	struct nlmsghdr *nlh = make(buffer, IPVS_CMD_ATTR_DEST, &nest);

	put_addr(nlh, IPVS_DEST_ATTR_ADDR, family, addr);
	mnl_attr_put_u16(nlh, IPVS_DEST_ATTR_PORT, htons(8443));
	mnl_attr_put_u32(nlh, IPVS_DEST_ATTR_FWD_METHOD, method);
	mnl_attr_put_u32(nlh, IPVS_DEST_ATTR_WEIGHT, 100);
	mnl_attr_put_u32(nlh, IPVS_DEST_ATTR_ACTIVE_CONNS, 3);
	mnl_attr_put_u32(nlh, IPVS_DEST_ATTR_INACT_CONNS, 4);
	mnl_attr_put_u16(nlh, IPVS_DEST_ATTR_ADDR_FAMILY, (uint16_t)family);
	put_stats(nlh, IPVS_DEST_ATTR_STATS, IPVS_DEST_ATTR_STATS64, 50);
	mnl_attr_nest_end(nlh, nest);
	return nlh;
}

static void test_services(void **state)
{
	struct rows rows = { 0 };
	struct out o = { 0 };
	char buffer[1024];

	(void)state;
	assert_int_equal(read_service(make_service(buffer, 1ULL << 33), &rows), MNL_CB_OK);
	emit_row(&target, &rows.v[0], &o);
#define LABELS "{protocol=TCP,vaddr=10.96.0.10,vport=443,scheduler=rr}"
	assert_lines(&o, "serviceconnections" LABELS " 8589934593\n"
			 "serviceincomingpackets" LABELS " 8589934594\n"
			 "serviceoutgoingbytes" LABELS " 8589934597\n"
			 "serviceincomingbytes" LABELS " 8589934596\n"
			 "serviceoutgoingpackets" LABELS " 8589934595\n");
#undef LABELS
	recorder_reset(&o);

	/* Chosen by a mark, and from a kernel without 64-bit numbers. */
	assert_int_equal(read_service(make_marked(buffer), &rows), MNL_CB_OK);
	emit_row(&target, &rows.v[1], &o);
#define LABELS "{fwmark=7,family=ipv6,scheduler=wlc}"
	assert_lines(&o,
		     "serviceconnections" LABELS " 1001\nserviceincomingpackets" LABELS " 1002\n"
		     "serviceoutgoingbytes" LABELS " 1005\nserviceincomingbytes" LABELS " 1004\n"
		     "serviceoutgoingpackets" LABELS " 1003\n");
#undef LABELS
	recorder_reset(&o);
	free(rows.v);
}

static void test_servers(void **state)
{
	struct rows rows = { 0 };
	struct out o = { 0 };
	char buffer[1024];

	(void)state;
	assert_int_equal(read_service(make_service(buffer, 1), &rows), MNL_CB_OK);
	rows.service = rows.v[0];
	assert_int_equal(
		read_server(make_server(buffer, AF_INET, "10.244.1.7", IP_VS_CONN_F_MASQ), &rows),
		MNL_CB_OK);
	assert_int_equal(
		read_server(make_server(buffer, AF_INET6, "fd00::7", 0x100 | IP_VS_CONN_F_TUNNEL),
			    &rows),
		MNL_CB_OK);
	emit_row(&target, &rows.v[1], &o);
#define LABELS "{protocol=TCP,vaddr=10.96.0.10,vport=443,raddr=10.244.1.7,rport=8443,forward=masq}"
	assert_lines(&o, "serverconnections" LABELS " 51\nserverincomingpackets" LABELS " 52\n"
			 "serveroutgoingbytes" LABELS " 55\nserverincomingbytes" LABELS " 54\n"
			 "serveroutgoingpackets" LABELS " 53\nserveractive" LABELS " 3\n"
			 "serverinactive" LABELS " 4\nserverweight" LABELS " 100\n");
#undef LABELS
	recorder_reset(&o);
	emit_row(&target, &rows.v[2], &o);
	assert_non_null(strstr(o.lines.data, "raddr=fd00::7,rport=8443,forward=tunnel} 51\n"));
	recorder_reset(&o);
	free(rows.v);
}

/* What is sent back to the kernel to name a service is what it sent. */
static void test_request_names_the_service(void **state)
{
	struct rows rows = { 0 };
	char buffer[1024], buffer2[1024];
	struct nlmsghdr *nlh;

	(void)state;
	assert_int_equal(read_service(make_service(buffer, 1), &rows), MNL_CB_OK);
	assert_int_equal(read_service(make_marked(buffer), &rows), MNL_CB_OK);
	for (int i = 0; i < 2; i++) {
		nlh = request(buffer2, 33, IPVS_CMD_GET_DEST);
		put_service(nlh, &rows.v[i]);
		assert_int_equal(nlh->nlmsg_type, 33);
		assert_int_equal(read_service(nlh, &rows), MNL_CB_OK);
		assert_int_equal(rows.v[2 + i].family, rows.v[i].family);
		assert_int_equal(rows.v[2 + i].fwmark, rows.v[i].fwmark);
		assert_int_equal(rows.v[2 + i].protocol, rows.v[i].protocol);
		assert_int_equal(rows.v[2 + i].port, rows.v[i].port);
		assert_memory_equal(rows.v[2 + i].addr, rows.v[i].addr, 16);
	}
	free(rows.v);
}

static void test_malformed_messages_are_refused(void **state)
{
	struct rows rows = { 0 };
	char buffer[1024];
	struct nlmsghdr *nlh = make_service(buffer, 1);
	unsigned int whole = 0;

	(void)state;
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_service, &rows);
	assert_int_equal(whole, 1);
	nlh = make_server(buffer, AF_INET, "10.0.0.1", 0);
	for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
		whole += accepts(nlh, len, read_server, &rows);
	assert_int_equal(whole, 2);
	assert_false(accepts(nlh, nlh->nlmsg_len, read_service, &rows));
	assert_false(accepts(nlh, nlh->nlmsg_len, read_family, &rows));
	free(rows.v);
}

/* ---- net/ip_vs_stats ---- */

#define HEADER                                                                                     \
	"   Total Incoming Outgoing         Incoming         Outgoing\n"                           \
	"   Conns  Packets  Packets            Bytes            Bytes\n"
#define RATES                                                                                      \
	"\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"                         \
	"       9        9        9                9                9\n"

static int parse(const char *text, struct row *r)
{
	auto_free char *copy = strdup(text);

	*r = (struct row){ 0 };
	return totals_parse(copy, r);
}

static void test_totals(void **state)
{
	struct row r;

	(void)state;
	assert_int_equal(
		parse(HEADER "       3       12        F             14C8 FFFFFFFFFFFFFFFF\n" RATES,
		      &r),
		0);
	assert_int_equal(r.value[CONNECTIONS], 3);
	assert_int_equal(r.value[IN_PACKETS], 0x12);
	assert_int_equal(r.value[OUT_PACKETS], 0xf);
	assert_int_equal(r.value[IN_BYTES], 5320);
	assert_int_equal(r.value[OUT_BYTES], UINT64_MAX);
	/* By name, wherever the column stands; what is not known is left alone. */
	assert_int_equal(parse("Outgoing Lost Total\nBytes Conns Conns\n1 2 3\n", &r), 0);
	assert_int_equal(r.value[OUT_BYTES], 1);
	assert_int_equal(r.value[CONNECTIONS], 3);
	assert_int_equal(r.known, 1 << OUT_BYTES | 1 << CONNECTIONS);
}

static void test_malformed_totals_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n\n\n",
		HEADER,
		HEADER "\n",
		HEADER "1 2 3 4\n",
		HEADER "1 2 3 4 5 6\n",
		HEADER "1 2 3 4 x\n",
		HEADER "1 2 3 4 -5\n",
		HEADER "1 2 3 4 0x5\n",
		HEADER "1 2 3 4 10000000000000000\n",
		HEADER "1 2 3 4 5",
		"Total\nConns Packets\n1\n",
		"a\nb\n1\n",
	};
	struct row r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &r), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_request_names_the_service),
		cmocka_unit_test(test_malformed_messages_are_refused),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_malformed_totals_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
