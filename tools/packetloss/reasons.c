// SPDX-License-Identifier: GPL-2.0-or-later
/* Why the running kernel drops packets: its own names, from its type information, and lists of them. */
#include "packetloss.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "bpf/packetloss.h"
#include "libcommon/bpf.h"
#include "libcommon/kernel.h"
#include "libcommon/nearest.h"
#include "libcommon/util.h"

static const char drop_enum[] = "skb_drop_reason", drop_prefix[] = "SKB_DROP_REASON_";

/* Subsystems that number their own, by the enum that names them. */
static const struct {
	const char *subsystem, *type, *module;
} subsystem_enums[] = {
	{ "MAC80211_UNUSABLE", "mac80211_drop_reason", "mac80211" },
	{ "MAC80211_MONITOR", "mac80211_drop_reason", "mac80211" },
	{ "OPENVSWITCH", "ovs_drop_reason", "openvswitch" },
	{ "QDISC", "qdisc_drop_reason", NULL },
};

/* NULL: the kernel's own, or none of that number. */
static const char *subsystem_name(const struct kernel *k, uint64_t number)
{
	const char *name = number ? kernel_enum_name(k, "skb_drop_reason_subsys",
						     "SKB_DROP_REASON_SUBSYS_", number)
				  : NULL;

	return name && strcmp(name, "NUM") ? name : NULL;
}

bool has_reasons(struct kernel *k)
{
	return kernel_tracepoint_args(k, "kfree_skb") > 2;
}

bool names_netfilter(struct kernel *k)
{
	uint64_t value;

	return kernel_enum_value(k, drop_enum, "SKB_DROP_REASON_NETFILTER_DROP", &value);
}

const char *reason_name(const struct kernel *k, uint64_t value)
{
	const char *subsystem = subsystem_name(k, value >> 16), *name = NULL;

	if (!subsystem)
		return value >> 16 ? NULL : kernel_enum_name(k, drop_enum, drop_prefix, value);
	for (size_t i = 0; !name && i < ARRAY_SIZE(subsystem_enums); i++)
		if (!strcmp(subsystem_enums[i].subsystem, subsystem))
			name = kernel_enum_name(k, subsystem_enums[i].type, "", value);
	return name ? name : kernel_text(k, "%s:%u", subsystem, (unsigned int)(value & 0xffff));
}

/* How many values the filter and the counters tell apart. */
#define REASONS ((size_t)REASON_SUBSYSTEMS * REASON_VALUES)

static uint32_t reason_at(size_t i)
{
	return (uint32_t)(i / REASON_VALUES << 16 | i % REASON_VALUES);
}

/* Sets the bit on each reason of the list; -EINVAL after one message. */
static int mark_reasons(const struct kernel *k, const char *option, const char *list,
			uint8_t *classes, uint8_t bit)
{
	auto_free char *copy = strdup(list);
	size_t skip = sizeof(drop_prefix) - 1;
	char *rest = copy;

	for (const char *word; rest && (word = strsep(&rest, ","));) {
		struct nearest near = { .name = strncasecmp(word, drop_prefix, skip) ? word
										     : word + skip };
		struct buf guess = { 0 };
		bool found = false;

		for (size_t i = 0; i < REASONS; i++) {
			const char *name = classes[i] & CLASS_KNOWN ? reason_name(k, reason_at(i))
								    : NULL;

			if (name && !strcasecmp(name, near.name)) {
				classes[i] |= bit;
				found = true;
			} else if (name && !strchr(name, ':')) {
				nearest_offer(&near, name);
			}
		}
		if (found)
			continue;
		nearest_print(&near, &guess);
		msg_error("--%s: this kernel has no drop reason '%s'%s", option, word,
			  guess.data ? guess.data : "");
		buf_free(&guess);
		return -EINVAL;
	}
	return copy ? 0 : -ENOMEM;
}

/* The kernel's own reasons that say something of the packet by themselves, without the prefix. */
static const struct {
	const char *name;
	uint8_t class;
} telling[] = {
	{ "NETFILTER_DROP", CLASS_NETFILTER },
	{ "NOT_SPECIFIED", CLASS_UNSAID },
	/* Its life is over. */
	{ "SKB_CONSUMED", CLASS_BENIGN },
	{ "QUEUE_PURGE", CLASS_BENIGN },
	{ "SOCKET_CLOSE", CLASS_BENIGN },
	/* A capture's copy; the packet itself went on. */
	{ "PACKET_SOCK_ERROR", CLASS_BENIGN },
	/* It was for somebody else. */
	{ "OTHERHOST", CLASS_BENIGN },
	{ "UNICAST_IN_L2_MULTICAST", CLASS_BENIGN },
	{ "IPV6DISABLED", CLASS_BENIGN },
	{ "IPV6_NDISC_NS_OTHERHOST", CLASS_BENIGN },
	{ "BRIDGE_INGRESS_STP_STATE", CLASS_BENIGN },
	{ "NEIGH_DEAD", CLASS_BENIGN },
	/* All it says is known already. */
	{ "DUP_FRAG", CLASS_BENIGN },
	{ "TCP_OLD_DATA", CLASS_BENIGN },
	{ "TCP_OLD_SEQUENCE", CLASS_BENIGN },
	{ "TCP_OFOMERGE", CLASS_BENIGN },
	{ "TCP_OFO_DROP", CLASS_BENIGN },
	{ "TCP_OLD_ACK", CLASS_BENIGN },
	{ "TCP_TOO_OLD_ACK", CLASS_BENIGN },
	{ "TCP_RFC7323_PAWS_ACK", CLASS_BENIGN },
	{ "TCP_RESET", CLASS_BENIGN },
	{ "TCP_CLOSE", CLASS_BENIGN },
};

static bool core_value(const struct kernel *k, const char *name, uint64_t *value)
{
	char full[64];

	snprintf(full, sizeof(full), "%s%s", drop_prefix, name);
	return (kernel_enum_value(k, drop_enum, full, value) ||
		kernel_enum_value(k, drop_enum, name, value)) &&
	       *value < REASON_VALUES;
}

/* Before 6.3 a segment left of the window is called what one right of it is. */
static uint8_t class_of_window(const struct kernel *k)
{
	uint64_t value;

	return core_value(k, "TCP_OLD_SEQUENCE", &value) ? 0 : CLASS_WINDOW;
}

int reasons_set(struct bpf_run *r, const char *only, const char *except)
{
	struct kernel *k = bpf_run_kernel(r);
	uint8_t classes[REASONS] = { 0 }, unknown = 0;
	uint64_t value;
	int err = 0;

	if (!has_reasons(k) && (only || except)) {
		msg_error(
			"--%s: this kernel gives no drop reasons (5.17 and later do); see the locations",
			only ? "reason" : "not-reason");
		return -ENOTSUP;
	}
	for (size_t i = 0; i < ARRAY_SIZE(subsystem_enums); i++)
		if (subsystem_enums[i].module)
			kernel_enum_of_module(k, subsystem_enums[i].type, subsystem_enums[i].module);
	for (size_t i = 0; i < REASONS; i++)
		if (reason_name(k, reason_at(i)))
			classes[i] = CLASS_KNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(telling); i++)
		if (core_value(k, telling[i].name, &value))
			classes[value] |= telling[i].class;
	if (core_value(k, "TCP_INVALID_SEQUENCE", &value))
		classes[value] |= class_of_window(k);
	if (except)
		err = mark_reasons(k, "not-reason", except, classes, CLASS_UNWANTED);
	if (!err && only) {
		uint8_t wanted[REASONS];

		memcpy(wanted, classes, sizeof(wanted));
		err = mark_reasons(k, "reason", only, wanted, 0x80);
		for (size_t i = 0; i < REASONS; i++)
			if (!(wanted[i] & 0x80))
				classes[i] |= CLASS_UNWANTED;
		unknown = CLASS_UNWANTED;
	}
	if (!err)
		err = bpf_run_set(r, "class_of_reason", classes, sizeof(classes));
	return err ? err : bpf_run_set(r, "class_of_unknown", &unknown, sizeof(unknown));
}
