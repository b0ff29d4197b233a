/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of a network namespace: what they are, how they are stacked, its default routes. */
#ifndef SKOOP_LINK_H
#define SKOOP_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

/* Numbers the kernel keeps for a device; operstate as IF_OPER_* (6: up). */
enum link_value {
	LINK_MTU,
	LINK_OPERSTATE,
	LINK_CARRIER_CHANGES,
	LINK_CARRIER_UP,
	LINK_CARRIER_DOWN,
	LINK_NVALUES
};

/* Kinds that are not what they seem where packets are counted. */
enum link_kind {
	LINK_OTHER,
	LINK_VLAN, /* `lower` gets its packets with the tag `vlan` */
	LINK_BOND, /* bond or team: receives what its ports do */
	LINK_VRF   /* its ports keep their packets */
};

struct link {
	int ifindex;
	int master;    /* bridge, bond, VRF it is a port of; 0: none */
	int lower;     /* device of this namespace it stands on; 0: none */
	bool physical; /* on a bus, not a virtual kind */
	bool loopback;
	bool default_route; /* of the main table, IPv4 or IPv6 */
	enum link_kind kind;
	uint16_t vlan;
	char name[IFNAMSIZ];
	unsigned int known; /* bit i: value[i] was sent */
	uint64_t value[LINK_NVALUES];
};

struct links {
	struct link *v; /* by ascending ifindex */
	size_t n, size;
};

/*
 * Steps of a conversation (nl_run) over NETLINK_ROUTE; 0 or -errno as nl_dump. links_read replaces
 * what *ls holds. links_routes marks the devices with a default route, and is the last the socket
 * is good for.
 */
int links_read(struct mnl_socket *nl, struct links *ls);
int links_routes(struct mnl_socket *nl, struct links *ls);
void links_free(struct links *ls);

/* The device with this index, NULL: none. */
struct link *links_find(const struct links *ls, int ifindex);
/*
 * Whether the packets of this device are counted by another one of the list, too: it is the port
 * of a master, or stands on another device. Two that name each other are the ends of a veth,
 * neither of which stands on the other.
 */
bool link_stacked(const struct links *ls, const struct link *l);

#endif
