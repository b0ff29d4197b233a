// SPDX-License-Identifier: GPL-2.0-or-later
/* Netlink conversations with the running kernel, and the checks of what it sends. */
#include <errno.h>
#include <inttypes.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libcommon/netlink.h"
#include "libcommon/netns.h"
#include "libcommon/target.h"
#include "libcommon/util.h"

static struct target own(void)
{
	return (struct target){ .namespace = "-", .pod = "own", .netns = netns_own() };
}

/* ---- attributes ---- */

enum { TEXT = 1, NUMBER, NEST, NTYPES };
static const uint16_t least[NTYPES] = { [TEXT] = NL_STRING, [NUMBER] = 4 };

static struct nlmsghdr *example(char *buffer)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nlattr *nest;

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct tcmsg));
	mnl_attr_put_strz(nlh, TEXT, "fq_codel");
	mnl_attr_put_u32(nlh, NUMBER, 7);
	mnl_attr_put_u32(nlh, NUMBER, 8);
	mnl_attr_put_u64(nlh, 200, 9);
	nest = mnl_attr_nest_start(nlh, NEST);
	mnl_attr_put_u32(nlh, NUMBER, 10);
	mnl_attr_nest_end(nlh, nest);
	return nlh;
}

static void test_attributes_are_sorted(void **state)
{
	char buffer[512];
	const struct nlmsghdr *nlh = example(buffer);
	const struct nlattr *tb[NTYPES], *inner[NTYPES];

	(void)state;
	assert_int_equal(nl_attrs(nlh, sizeof(struct tcmsg), least, NTYPES, tb), 0);
	assert_null(tb[0]);
	assert_string_equal(mnl_attr_get_str(tb[TEXT]), "fq_codel");
	assert_int_equal(mnl_attr_get_u32(tb[NUMBER]), 7);
	assert_int_equal(nl_nested(tb[NEST], least, NTYPES, inner), 0);
	assert_int_equal(mnl_attr_get_u32(inner[NUMBER]), 10);
	assert_null(inner[TEXT]);
}

/* A message cut anywhere but between two attributes is refused. */
static void test_cut_messages_are_refused(void **state)
{
	char buffer[512];
	const struct nlmsghdr *nlh = example(buffer);
	unsigned int whole = 0;

	(void)state;
	for (uint32_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++) {
		auto_free struct nlmsghdr *cut = malloc(len);
		const struct nlattr *tb[NTYPES];
		int err;

		memcpy(cut, nlh, len);
		cut->nlmsg_len = len;
		err = nl_attrs(cut, sizeof(struct tcmsg), least, NTYPES, tb);
		assert_true(err == 0 || err == -EBADMSG);
		whole += !err;
	}
	/* After the header, the text (with some of its padding, too), each number, the nest. */
	assert_int_equal(whole, 6 + 3);
}

static void test_bad_attributes_are_refused(void **state)
{
	const struct nlattr *tb[NTYPES];
	char buffer[512];
	struct nlmsghdr *nlh;
	struct nlattr *attr;

	(void)state;
	nlh = mnl_nlmsg_put_header(buffer);
	mnl_attr_put_u16(nlh, NUMBER, 1);
	assert_int_equal(nl_attrs(nlh, 0, least, NTYPES, tb), -EBADMSG);

	nlh = mnl_nlmsg_put_header(buffer);
	mnl_attr_put(nlh, TEXT, 4, "abcd");
	assert_int_equal(nl_attrs(nlh, 0, least, NTYPES, tb), -EBADMSG);

	nlh = mnl_nlmsg_put_header(buffer);
	mnl_attr_put(nlh, TEXT, 0, "");
	assert_int_equal(nl_attrs(nlh, 0, least, NTYPES, tb), -EBADMSG);

	/* Lengths below the attribute's own header, and past the end. */
	nlh = mnl_nlmsg_put_header(buffer);
	mnl_attr_put_u32(nlh, NUMBER, 1);
	attr = mnl_nlmsg_get_payload(nlh);
	attr->nla_len = 3;
	assert_int_equal(nl_attrs(nlh, 0, least, NTYPES, tb), -EBADMSG);
	attr->nla_len = 9;
	assert_int_equal(nl_attrs(nlh, 0, least, NTYPES, tb), -EBADMSG);

	/* A nest that promises more than it holds. */
	nlh = mnl_nlmsg_put_header(buffer);
	attr = mnl_attr_nest_start(nlh, NEST);
	mnl_attr_put_u32(nlh, NUMBER, 1);
	mnl_attr_nest_end(nlh, attr);
	((struct nlattr *)mnl_attr_get_payload(attr))->nla_len = 12;
	assert_int_equal(nl_nested(attr, least, NTYPES, tb), -EBADMSG);
}

/* ---- conversations ---- */

struct talk {
	unsigned int tries, interrupted, messages;
	int (*during)(void);
};

static int count(const struct nlmsghdr *nlh, void *arg)
{
	struct talk *talk = arg;

	(void)nlh;
	if (talk->during && talk->messages == 0 && talk->tries == 1)
		assert_int_equal(talk->during(), 0);
	talk->messages++;
	return MNL_CB_OK;
}

static int dump_stats(struct mnl_socket *nl, void *arg)
{
	char buffer[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct if_stats_msg *head = mnl_nlmsg_put_extra_header(nlh, sizeof(*head));
	struct talk *talk = arg;
	int err;

	talk->tries++;
	talk->messages = 0;
	nlh->nlmsg_type = RTM_GETSTATS;
	head->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	err = nl_dump(nl, nlh, count, talk);
	talk->interrupted += err == -EINTR;
	return err;
}

static int always_interrupted(struct mnl_socket *nl, void *arg)
{
	(void)nl;
	((struct talk *)arg)->tries++;
	return -EINTR;
}

static int unknown_filter(struct mnl_socket *nl, void *arg)
{
	char buffer[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct if_stats_msg));
	nlh->nlmsg_type = RTM_GETSTATS;
	return nl_dump(nl, nlh, count, arg);
}

static int names(struct mnl_socket *nl, void *arg)
{
	char name[IFNAMSIZ];

	(void)arg;
	assert_int_equal(nl_link_name(nl, 1, name), 0);
	assert_string_equal(name, "lo");
	assert_int_equal(nl_link_name(nl, INT32_MAX, name), -ENODEV);
	return 0;
}

static int ask_link(struct mnl_socket *nl, void *arg)
{
	char buffer[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	int err;

	nlh->nlmsg_type = RTM_GETLINK;
	info->ifi_index = 1;
	err = nl_ask(nl, nlh, count, arg);
	assert_int_equal(err, 0);
	nlh = mnl_nlmsg_put_header(buffer);
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	nlh->nlmsg_type = RTM_GETLINK;
	info->ifi_index = INT32_MAX;
	return nl_ask(nl, nlh, count, arg);
}

static void test_dump_of_this_kernel(void **state)
{
	struct target t = own();
	struct talk talk = { 0 };

	(void)state;
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "statistics", dump_stats, &talk), 0);
	assert_true(talk.messages >= 1);
	assert_int_equal(talk.tries, 1);
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "names", names, NULL), 0);
}

static void test_question_for_one_object(void **state)
{
	struct target t = own();
	struct talk talk = { 0 };

	(void)state;
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "link", ask_link, &talk), -ENODEV);
	assert_int_equal(talk.messages, 1);
}

/* The number at the end of a dump is its only sign of failure. */
static void test_error_at_the_end_of_a_dump(void **state)
{
	struct target t = own();
	struct talk talk = { 0 };

	(void)state;
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "statistics", unknown_filter, &talk), -EINVAL);
	assert_int_equal(talk.messages, 0);
}

static void test_protocol_that_is_not_there(void **state)
{
	struct target t = own();

	(void)state;
	assert_int_equal(nl_run(&t, 31, "nothing", names, NULL), -ENOENT);
}

static void test_tries_are_bounded(void **state)
{
	struct target t = own();
	struct talk talk = { 0 };

	(void)state;
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "statistics", always_interrupted, &talk), -EINTR);
	assert_int_equal(talk.tries, 16);
}

static int add_link(void)
{
	return system("ip link add late0 type veth peer name late1");
}

/* A device that comes while the kernel is half way through: all is read again, none twice. */
static void test_interrupted_dump_is_repeated(void **state)
{
	struct target t;
	struct talk talk = { .during = add_link };

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(
		system("for i in $(seq 300); do echo link add a$i type veth peer name b$i; done |"
		       " ip -batch -"),
		0);
	t = own();
	assert_int_equal(nl_run(&t, NETLINK_ROUTE, "statistics", dump_stats, &talk), 0);
	assert_int_equal(talk.interrupted, 1);
	assert_int_equal(talk.tries, 2);
	assert_int_equal(talk.messages, 1 + 600 + 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes_are_sorted),
		cmocka_unit_test(test_cut_messages_are_refused),
		cmocka_unit_test(test_bad_attributes_are_refused),
		cmocka_unit_test(test_dump_of_this_kernel),
		cmocka_unit_test(test_question_for_one_object),
		cmocka_unit_test(test_error_at_the_end_of_a_dump),
		cmocka_unit_test(test_protocol_that_is_not_there),
		cmocka_unit_test(test_tries_are_bounded),
		cmocka_unit_test(test_interrupted_dump_is_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
