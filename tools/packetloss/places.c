// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Functions that tell what is to be thought of a packet they free. The kernel half asks the kernel for their names; one
 * that cannot answer (before 5.13), or does not call a firewall's drops such, gets the addresses.
 */
#include "packetloss.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bpf/packetloss.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/util.h"

/* In the order of strcmp. What is freed there was not lost, or the firewall threw it away; always, or on all kernels. */
static const struct known_place {
	const char *name;
	uint8_t class;
} functions[] = {
	{ "icmpv6_rcv", CLASS_BENIGN }, /* up to 6.1 also what was handled */
	{ "inet_sock_destruct", CLASS_BENIGN },
	{ "ip6_mc_input", CLASS_BENIGN }, /* of a group that nobody here has joined */
	{ "nf_hook_slow", CLASS_NETFILTER },
	{ "nf_queue", CLASS_NETFILTER },
	{ "nf_reinject", CLASS_NETFILTER },
	{ "nfnetlink_rcv_batch", CLASS_BENIGN },
	{ "nfqnl_reinject", CLASS_NETFILTER },
	{ "packet_rcv", CLASS_BENIGN },
	{ "packet_sock_destruct", CLASS_BENIGN },
	{ "sk_stream_kill_queues", CLASS_BENIGN },
	{ "skb_queue_purge", CLASS_BENIGN },
	{ "skb_queue_purge_reason", CLASS_BENIGN },
	{ "skb_rbtree_purge", CLASS_BENIGN },
	{ "tcp_disconnect", CLASS_BENIGN },
	{ "tcp_write_queue_purge", CLASS_BENIGN },
	{ "tpacket_rcv", CLASS_BENIGN },
	{ "udp_destruct_common", CLASS_BENIGN },
	{ "udp_destruct_sock", CLASS_BENIGN },
	{ "unix_release_sock", CLASS_BENIGN },
},
/* Where the kernel does not call a drop NETFILTER_DROP, all that these do is one. */
modules[] = {
	{ "ip6_tables", CLASS_NETFILTER },
	{ "ip_tables", CLASS_NETFILTER },
	{ "nf_conntrack", CLASS_NETFILTER },
	{ "nf_nat", CLASS_NETFILTER },
	{ "nf_tables", CLASS_NETFILTER },
	{ "nfnetlink_queue", CLASS_NETFILTER },
	{ "x_tables", CLASS_NETFILTER },
};

struct places {
	struct place v[PLACES];
	uint32_t n;
	bool by_module, full;
	bool letters[256]; /* that a function's name may begin with */
	size_t functions;  /* seen in all */
};

/* A function's parts that the compiler moved elsewhere are called name.cold, name.part.0… */
static int place_order(const void *name, const void *row)
{
	const struct known_place *place = row;
	size_t len = strcspn(name, ".");
	int order = strncmp(name, place->name, len);

	return order ? order : -(int)(strlen(place->name) > len);
}

static void add_place(const char *name, const char *module, uint64_t from, uint64_t to, void *arg)
{
	struct places *p = arg;
	const struct known_place *found = NULL;

	p->functions++;
	if (p->letters[(unsigned char)*name]) /* a hundred thousand come by */
		found = bsearch(name, functions, ARRAY_SIZE(functions), sizeof(*functions),
				place_order);
	if (!found && *module && p->by_module)
		found = bsearch(module, modules, ARRAY_SIZE(modules), sizeof(*modules), place_order);
	if (!found || from == to)
		return;
	if (p->n && p->v[p->n - 1].to == from && p->v[p->n - 1].class == found->class)
		p->v[p->n - 1].to = to;
	else if (p->n < PLACES)
		p->v[p->n++] = (struct place){ from, to, found->class };
	else
		p->full = true;
}

/* Whether the kernel can print a function's name. */
static bool names_functions(struct kernel *k)
{
	uint64_t value;

	return kernel_enum_value(k, "bpf_func_id", "BPF_FUNC_snprintf", &value) &&
	       names_netfilter(k);
}

static int set_addresses(struct bpf_run *r)
{
	struct kernel *k = bpf_run_kernel(r);
	struct places p = { .by_module = !names_netfilter(k) };
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		p.letters[(unsigned char)*functions[i].name] = true;
	kernel_each_function(k, add_place, &p);
	if (!p.functions)
		msg_warn("what sockets leave unread when they close may be counted as lost");
	if (p.full)
		msg_warn("more places than there is room for; some are not told apart");
	err = bpf_run_set(r, "places", p.v, sizeof(p.v));
	return err ? err : bpf_run_set(r, "nplaces", &p.n, sizeof(p.n));
}

int places_set(struct bpf_run *r)
{
	const bool names = names_functions(bpf_run_kernel(r));
	int err = bpf_run_set(r, "names_places", &names, sizeof(names));

	if (err || !names)
		return err ? err : set_addresses(r);
	return 0;
}

int places_fill(struct bpf_run *r)
{
	static const char *const modules_of[] = { "", " [nfnetlink]", " [nfnetlink_queue]" },
				 *const parts[] = { "", ".part.0", ".isra.0", ".constprop.0" };
	int fd = bpf_run_map(r, "functions");

	for (size_t i = 0; i < ARRAY_SIZE(functions) * ARRAY_SIZE(parts); i++) {
		const struct known_place *f = &functions[i / ARRAY_SIZE(parts)];
		const char *part = parts[i % ARRAY_SIZE(parts)];
		uint32_t class = f->class;

		for (size_t j = 0; j < ARRAY_SIZE(modules_of); j++) {
			char name[NAME_BYTES] = "";

			snprintf(name, sizeof(name), "%s%s%s", f->name, part, modules_of[j]);
			if (bpf_map_update_elem(fd, name, &class, BPF_ANY))
				return -errno;
		}
	}
	return 0;
}
