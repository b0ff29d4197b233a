// SPDX-License-Identifier: GPL-2.0-or-later
/* The devices of a network namespace, from link and route dumps over rtnetlink. */
#include "link.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "netlink.h"
#include "util.h"

static const struct {
	uint16_t attr, size;
} sources[LINK_NVALUES] = {
	[LINK_MTU] = { IFLA_MTU, 4 },
	[LINK_OPERSTATE] = { IFLA_OPERSTATE, 1 },
	[LINK_CARRIER_CHANGES] = { IFLA_CARRIER_CHANGES, 4 },
	[LINK_CARRIER_UP] = { IFLA_CARRIER_UP_COUNT, 4 },
	[LINK_CARRIER_DOWN] = { IFLA_CARRIER_DOWN_COUNT, 4 },
};

static struct link *links_add(struct links *ls)
{
	if (array_grow(&ls->v, &ls->size, ls->n + 1))
		return NULL;
	ls->v[ls->n] = (struct link){ 0 };
	return &ls->v[ls->n++];
}

static enum link_kind kind_of(const char *name)
{
	static const struct {
		const char *name;
		enum link_kind kind;
	} kinds[] = { { "vlan", LINK_VLAN },
		      { "bond", LINK_BOND },
		      { "team", LINK_BOND },
		      { "vrf", LINK_VRF } };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(name, kinds[i].name))
			return kinds[i].kind;
	return LINK_OTHER;
}

static int read_vlan(const struct nlattr *data, struct link *l)
{
	static const uint16_t least[] = { [IFLA_VLAN_ID] = 2 };
	const struct nlattr *tb[ARRAY_SIZE(least)];

	if (nl_nested(data, least, ARRAY_SIZE(least), tb))
		return -EBADMSG;
	if (tb[IFLA_VLAN_ID])
		l->vlan = mnl_attr_get_u16(tb[IFLA_VLAN_ID]);
	return 0;
}

/*
 * Its kind, and whether it is on a bus: such devices have a parent there, told from 5.14 on;
 * before, what is of no virtual kind is taken for one. 0 or -EBADMSG.
 */
static int read_kind(const struct ifinfomsg *info, const struct nlattr **tb, struct link *l)
{
	static const uint16_t least[] = { [IFLA_INFO_KIND] = NL_STRING, [IFLA_INFO_DATA] = 0 };
	const struct nlattr *nested[ARRAY_SIZE(least)] = { NULL };

	if (tb[IFLA_LINKINFO] && nl_nested(tb[IFLA_LINKINFO], least, ARRAY_SIZE(least), nested))
		return -EBADMSG;
	l->loopback = info->ifi_type == ARPHRD_LOOPBACK;
	l->physical = !l->loopback && (tb[IFLA_PARENT_DEV_NAME] || !nested[IFLA_INFO_KIND]);
	if (nested[IFLA_INFO_KIND])
		l->kind = kind_of(mnl_attr_get_str(nested[IFLA_INFO_KIND]));
	if (l->kind == LINK_VLAN && nested[IFLA_INFO_DATA])
		return read_vlan(nested[IFLA_INFO_DATA], l);
	return 0;
}

static int read_link(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = {
		[IFLA_IFNAME] = NL_STRING,
		[IFLA_MASTER] = 4,
		[IFLA_LINK] = 4,
		[IFLA_LINK_NETNSID] = 4,
		[IFLA_MTU] = 4,
		[IFLA_OPERSTATE] = 1,
		[IFLA_CARRIER_CHANGES] = 4,
		[IFLA_CARRIER_UP_COUNT] = 4,
		[IFLA_CARRIER_DOWN_COUNT] = 4,
		[IFLA_PARENT_DEV_NAME] = NL_STRING,
	};
	const struct nlattr *tb[ARRAY_SIZE(least)];
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct link *l;

	if (nl_attrs(nlh, sizeof(*info), least, ARRAY_SIZE(least), tb) || !tb[IFLA_IFNAME])
		return nl_refuse(EBADMSG);
	l = links_add(arg);
	if (!l)
		return nl_refuse(ENOMEM);
	l->ifindex = info->ifi_index;
	snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(tb[IFLA_IFNAME]));
	if (tb[IFLA_MASTER])
		l->master = (int)mnl_attr_get_u32(tb[IFLA_MASTER]);
	if (tb[IFLA_LINK] && !tb[IFLA_LINK_NETNSID])
		l->lower = (int)mnl_attr_get_u32(tb[IFLA_LINK]);
	for (int i = 0; i < LINK_NVALUES; i++) {
		const struct nlattr *attr = tb[sources[i].attr];

		if (!attr)
			continue;
		l->value[i] = sources[i].size == 1 ? mnl_attr_get_u8(attr) : mnl_attr_get_u32(attr);
		l->known |= 1U << i;
	}
	return read_kind(info, tb, l) ? nl_refuse(EBADMSG) : MNL_CB_OK;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

int links_read(struct mnl_socket *nl, struct links *ls)
{
	char buffer[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	int err;

	ls->n = 0;
	nlh->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	/* Statistics are cheaper by RTM_GETSTATS, and nobody here looks at virtual functions. */
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	err = nl_dump(nl, nlh, read_link, ls);
	if (!err && ls->n)
		qsort(ls->v, ls->n, sizeof(*ls->v), by_ifindex);
	return err;
}

struct link *links_find(const struct links *ls, int ifindex)
{
	struct link key = { .ifindex = ifindex };

	return ls->n ? bsearch(&key, ls->v, ls->n, sizeof(*ls->v), by_ifindex) : NULL;
}

static void mark(struct links *ls, int ifindex)
{
	struct link *l = links_find(ls, ifindex);

	if (l)
		l->default_route = true;
}

/* The next hops of a multipath route. 0 or -EBADMSG. */
static int mark_hops(const struct nlattr *attr, struct links *ls)
{
	const char *data = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	while (len) {
		struct rtnexthop hop;
		size_t step;

		if (len < sizeof(hop))
			return -EBADMSG;
		memcpy(&hop, data, sizeof(hop));
		step = RTNH_ALIGN(hop.rtnh_len);
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > len)
			return -EBADMSG;
		mark(ls, hop.rtnh_ifindex);
		step = step < len ? step : len;
		data += step;
		len -= step;
	}
	return 0;
}

static int read_route(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = { [RTA_OIF] = 4, [RTA_MULTIPATH] = 0, [RTA_TABLE] = 4 };
	const struct nlattr *tb[ARRAY_SIZE(least)];
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	if (nl_attrs(nlh, sizeof(*rtm), least, ARRAY_SIZE(least), tb))
		return nl_refuse(EBADMSG);
	if (rtm->rtm_dst_len || rtm->rtm_type != RTN_UNICAST || rtm->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	if ((tb[RTA_TABLE] ? mnl_attr_get_u32(tb[RTA_TABLE]) : rtm->rtm_table) != RT_TABLE_MAIN)
		return MNL_CB_OK;
	if (tb[RTA_OIF])
		mark(arg, (int)mnl_attr_get_u32(tb[RTA_OIF]));
	if (tb[RTA_MULTIPATH] && mark_hops(tb[RTA_MULTIPATH], arg))
		return nl_refuse(EBADMSG);
	return MNL_CB_OK;
}

/*
 * IPv4 routes come in the order of their destination, so the default is in front and the rest of a
 * full routing table need not be read.
 */
static int read_route4(const struct nlmsghdr *nlh, void *arg)
{
	static const uint16_t least[] = { [RTA_DST] = 4 };
	const struct nlattr *tb[ARRAY_SIZE(least)];

	if (nl_attrs(nlh, sizeof(struct rtmsg), least, ARRAY_SIZE(least), tb))
		return nl_refuse(EBADMSG);
	if (tb[RTA_DST] && mnl_attr_get_u32(tb[RTA_DST]))
		return MNL_CB_STOP;
	return read_route(nlh, arg);
}

/* A family or table that is not there has no default route. */
static int dump_routes(struct mnl_socket *nl, unsigned char family, mnl_cb_t cb, struct links *ls)
{
	char buffer[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int err;

	nlh->nlmsg_type = RTM_GETROUTE;
	rtm->rtm_family = family;
	rtm->rtm_table = RT_TABLE_MAIN;
	err = nl_dump(nl, nlh, cb, ls);
	return err == -ENOENT || err == -EOPNOTSUPP || err == -EAFNOSUPPORT ? 0 : err;
}

int links_routes(struct mnl_socket *nl, struct links *ls)
{
	int strict = 1, err;

	/* Makes the kernel heed the table asked for. */
	if (mnl_socket_setsockopt(nl, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict)))
		return -errno;
	err = dump_routes(nl, AF_INET6, read_route, ls);
	return err ? err : dump_routes(nl, AF_INET, read_route4, ls);
}

void links_free(struct links *ls)
{
	free(ls->v);
	*ls = (struct links){ 0 };
}

bool link_stacked(const struct links *ls, const struct link *l)
{
	const struct link *lower = links_find(ls, l->lower);

	if (l->master && links_find(ls, l->master))
		return true;
	return lower && lower != l && lower->lower != l->ifindex;
}
