// SPDX-License-Identifier: GPL-2.0-or-later
/* Which of the drops, resets and resends that were seen belong to which finding. */
#include "who.h"

#include <string.h>

#include "libcommon/probe.h"
#include "libcommon/util.h"

/* By reason; kernels before 6.4 or without reasons have only the places. */
#define FILTER                                                                                     \
	"NETFILTER_DROP nf_hook_slow nft_do_chain ipt_do_table ip6t_do_table nf_queue nfqnl_reinject"
#define RCVBUF                                                                                           \
	"SOCKET_RCVBUFF PROTO_MEM __udp_enqueue_schedule_skb udp_queue_rcv_one_skb __udp_queue_rcv_skb " \
	"udpv6_queue_rcv_one_skb __udpv6_queue_rcv_skb"
#define DATA "rto fast tlp other"
#define SYNACK "synack"

/*
 * words: any of these is its type, reason or place; one that ends with * is a beginning; NULL: all. TO_HERE: it was sent by
 * another namespace to an address and port that is listened on in the finding's. ON_DEVICE: it was at the finding's device.
 */
enum { TO_HERE = 1, ON_DEVICE = 2 };
static const struct rule {
	const char *id;
	enum who_kind kind;
	const char *words, *protocol, *state;
	unsigned int flags;
} rules[] = {
	{ "conntrack-full", WHO_DROPS, FILTER },
	{ "conntrack-race", WHO_DROPS, FILTER },
	{ "conntrack-drop", WHO_DROPS, FILTER },
	{ "udp-memory", WHO_DROPS, RCVBUF, .protocol = "UDP" },
	{ "accept-queue-overflow", WHO_RESENDS, SYNACK },
	{ "accept-queue-overflow", WHO_RESENDS, "syn", .flags = TO_HERE },
	{ "syn-queue-drop", WHO_RESENDS, SYNACK },
	{ "syn-queue-drop", WHO_RESENDS, "syn", .flags = TO_HERE },
	{ "syn-flood", WHO_RESENDS, SYNACK },
	{ "listen-drops", WHO_RESENDS, SYNACK },
	{ "listen-drops", WHO_RESENDS, "syn", .flags = TO_HERE },
	{ "softnet-drop", WHO_DROPS, "CPU_BACKLOG enqueue_to_backlog" },
	{ "qdisc-drop", WHO_DROPS, "QDISC_* FQ_* CAKE_*", .flags = ON_DEVICE },
	{ "dev-tx-drop", WHO_DROPS,
	  "__dev_forward_skb* dev_forward_skb* veth_* tun_* FULL_RING DEV_READY",
	  .flags = ON_DEVICE },
	{ "udp-rcvbuf", WHO_DROPS, RCVBUF, .protocol = "UDP" },
	{ "rcvbuf-prune", WHO_DROPS,
	  "SOCKET_RCVBUFF PROTO_MEM TCP_OFO_* tcp_data_queue tcp_prune_ofo_queue",
	  .protocol = "TCP" },
	{ "backlog-drop", WHO_DROPS, "SOCKET_BACKLOG tcp_add_backlog" },
	{ "checksum", WHO_DROPS, "TCP_CSUM UDP_CSUM ICMP_CSUM IP_CSUM SKB_CSUM" },
	{ "filter-drop", WHO_DROPS, FILTER },
	{ "synack-blocked", WHO_DROPS, FILTER, .protocol = "TCP" },
	{ "connect-unanswered", WHO_RESENDS, "syn" },
	{ "synack-unanswered", WHO_RESENDS, SYNACK },
	{ "connect-refused", WHO_RESETS, "TCPRESET_RECEIVE", .state = "SYN_SENT" },
	{ "retransmit-ratio", WHO_RESENDS, DATA },
	{ "mtu-blackhole", WHO_RESENDS, DATA },
	{ "path-silent", WHO_RESENDS, DATA },
	{ "resend-failed", WHO_RESENDS, "refused" },
	{ "host-queue-delay", WHO_RESENDS, DATA },
	{ "needless-resends", WHO_RESENDS, DATA },
	{ "abort-timeout", WHO_RESENDS, "rto syn" },
	{ "close-unread", WHO_RESETS, "TCPRESET_ACTIVE" },
	{ "reset-storm", WHO_RESETS, "TCPRESET_ACTIVE TCPRESET_PROCESS TCPRESET_RECEIVE" },
	{ "closed-port", WHO_RESETS, "TCPRESET_NOSOCK TCPRESET_PROCESS" },
	{ "paws", WHO_DROPS, "TCP_RFC7323_PAWS TCP_RFC7323_PAWS_ACK TCP_RFC7323_TW_PAWS" },
	{ "half-open-pile", WHO_RESENDS, SYNACK },
	{ "udp-no-port", WHO_DROPS, "NO_SOCKET __udp4_lib_rcv __udp6_lib_rcv", .protocol = "UDP" },
	{ "udp-send-drop", WHO_DROPS, "QDISC_* FQ_* CAKE_* NEIGH_*", .protocol = "UDP" },
	{ "reassembly", WHO_DROPS, "FRAG_REASM_TIMEOUT FRAG_TOO_FAR DUP_FRAG" },
	{ "neighbour-silent", WHO_DROPS,
	  "NEIGH_* arp_error_report ndisc_error_report __neigh_event_send" },
	{ "no-route-in", WHO_DROPS, "IP_INNOROUTES ip_error ip6_pkt_drop" },
	{ "not-forwarding", WHO_DROPS, "IP_INADDRERRORS ip_error" },
	{ "rp-filter", WHO_DROPS, "IP_RPFILTER" },
	{ "bad-packets", WHO_DROPS, "IP_INHDR PKT_TOO_SMALL ip_forward ip6_forward" },
	{ "oversize", WHO_DROPS, "PKT_TOO_BIG" },
	{ "signature", WHO_DROPS, "TCP_MD5* TCP_AO*" },
};

static bool word_is(const char *word, size_t len, const char *text)
{
	if (word[len - 1] == '*')
		return !strncmp(word, text, len - 1);
	return strlen(text) == len && !memcmp(word, text, len);
}

static bool names(const char *words, const struct who_entry *e)
{
	while (words && *words) {
		size_t len = strcspn(words, " ");

		if (word_is(words, len, e->type) || word_is(words, len, e->reason) ||
		    word_is(words, len, e->location) ||
		    (e->refused && word_is(words, len, "refused")))
			return true;
		words += len;
		words += strspn(words, " ");
	}
	return !words;
}

/* Whether somebody of the finding's namespace listens there. */
static bool is_to(const struct view *v, const struct who_entry *e)
{
	const struct series *s = store_series(v->store, v->subject, "tcpsummary_acceptqueue");
	char port[16];

	snprintf(port, sizeof(port), "%u", e->dport);
	for (; s; s = s->next) {
		const char *lport = labelset_get(s->labels, "lport");
		const char *laddr = labelset_get(s->labels, "laddr");

		if (lport && laddr && !strcmp(lport, port) &&
		    (!strcmp(laddr, e->daddr) || !strcmp(laddr, "0.0.0.0") || !strcmp(laddr, "::")))
			return true;
	}
	return false;
}

static bool applies(const struct rule *r, const struct finding *f, const struct who_entry *e)
{
	const struct subject *s = f->view.subject;
	const char *device = view_label(&f->view, "device");
	bool here = s->machine || s->netns == e->netns;

	if (r->kind != e->kind || (r->flags & TO_HERE ? here : !here) || !names(r->words, e))
		return false;
	/* What did not leave is no peer's fault; who asks for it names it. */
	if (e->refused && !strstr(r->words ? r->words : "refused", "refused"))
		return false;
	if ((r->protocol && strcmp(r->protocol, e->protocol)) ||
	    (r->state && strcmp(r->state, e->state)))
		return false;
	if (r->flags & ON_DEVICE && device && *e->device && strcmp(device, e->device))
		return false;
	return !(r->flags & TO_HERE) || is_to(&f->view, e);
}

bool who_belongs(const struct finding *f, const struct who_entry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (!strcmp(rules[i].id, f->row->id) && applies(&rules[i], f, e))
			return true;
	return false;
}

const char *who_probes(const char *id)
{
	static const char *const probes[] = {
		[WHO_DROPS] = "skoop-packetloss", [WHO_RESETS] = "skoop-tcpreset", [WHO_RESENDS] = "skoop-tcpretrans"
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (!strcmp(rules[i].id, id))
			return probes[rules[i].kind];
	return NULL;
}

bool who_filtered(const struct who_entry *e)
{
	return e->kind == WHO_DROPS && names(FILTER, e);
}

static bool same(const struct who_entry *a, const struct who_entry *b)
{
	if (!strcmp(a->saddr, b->saddr) && !strcmp(a->daddr, b->daddr))
		return a->sport == b->sport && a->dport == b->dport;
	return !strcmp(a->saddr, b->daddr) && !strcmp(a->daddr, b->saddr) && a->sport == b->dport &&
	       a->dport == b->sport;
}

static bool resent(const struct who *w, const struct who_entry *drop)
{
	const struct who_entry *e;

	for (size_t i = 0; (e = who_entry(w, i)); i++)
		if (e->kind == WHO_RESENDS && names(DATA, e) && *e->saddr && same(drop, e))
			return true;
	return false;
}

uint64_t who_live_drops(const struct who *w, uint64_t netns)
{
	const struct who_entry *e;
	uint64_t n = 0;

	for (size_t i = 0; (e = who_entry(w, i)); i++)
		if (e->netns == netns && who_filtered(e) && *e->saddr &&
		    !strcmp(e->protocol, "TCP") && resent(w, e))
			n += e->count;
	return n;
}
