// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What names of the contract mean whose probes may not be here: the metrics and events of those
 * that trace the kernel. A probe that is here answers for itself, so a table ends where its probe
 * begins.
 */
#include "skoop.h"

static const struct metric kernellatency_metrics[] = {
	{ "rxslow", NULL, COUNTER, "packets", "Kernel packet receiving slow",
	  .advice = { .means = "packets that took more than 10 ms from the device to the socket "
			       "layer",
		      .normal = "0",
		      .causes = "slow NFQUEUE program; interrupt storm or stolen vCPU; very long "
				"rule sets",
		      .confirm = "the slowest stage of RXKERNEL_SLOW",
		      .remedy = "by stage: PREROUTING, LOCAL_IN: the rules; INGRESS: CPU for soft "
				"interrupts" } },
	{ "rxslow100ms", NULL, COUNTER, "packets", "Kernel packet receiving latency exceeds 100ms",
	  .advice = { .means = "packets that took more than 100 ms from the device to the socket "
			       "layer",
		      .normal = "0",
		      .causes = "slow NFQUEUE program; interrupt storm or stolen vCPU; very long "
				"rule sets",
		      .confirm = "the slowest stage of RXKERNEL_SLOW",
		      .remedy = "by stage: PREROUTING, LOCAL_IN: the rules; INGRESS: CPU for soft "
				"interrupts" } },
	{ "txslow", NULL, COUNTER, "packets", "Kernel packet transmitting slow",
	  .advice = { .means = "packets that took more than 10 ms from IP output to the device",
		      .normal = "0",
		      .causes = "no ARP or neighbour answer (about 1 s); NFQUEUE in OUTPUT or "
				"POSTROUTING",
		      .confirm = "the slowest stage of TXKERNEL_SLOW; ip neigh",
		      .remedy = "the silent neighbour; the NFQUEUE program" } },
	{ "txslow100ms", NULL, COUNTER, "packets",
	  "Kernel packet transmitting latency exceeds 100ms",
	  .advice = { .means = "packets that took more than 100 ms from IP output to the device",
		      .normal = "0",
		      .causes = "no ARP or neighbour answer (about 1 s); NFQUEUE in OUTPUT or "
				"POSTROUTING",
		      .confirm = "the slowest stage of TXKERNEL_SLOW; ip neigh",
		      .remedy = "the silent neighbour; the NFQUEUE program" } },
	{}
};

static const struct event kernellatency_events[] = {
	{ "RXKERNEL_SLOW",
	  "Kernel packet receiving latency exceeds 100ms",
	  { .means = "a packet took more than 100 ms from the device to the socket layer",
	    .causes = "by its slowest stage. PREROUTING, LOCAL_IN: NFQUEUE or rules. INGRESS: no "
		      "CPU for soft interrupts",
	    .confirm = "nft list ruleset; skoop net_softirq" } },
	{ "TXKERNEL_SLOW",
	  "Kernel packet transmitting latency exceeds 100ms",
	  { .means = "a packet took more than 100 ms from IP output to the device",
	    .causes = "by its slowest stage. NEIGH: unanswered ARP or neighbour discovery, in "
		      "steps of 1 s. LOCAL_OUT, "
		      "POSTROUTING: NFQUEUE",
	    .confirm = "ip neigh; the program behind NFQUEUE" } },
	{}
};

const struct term terms[] = {
	{ "kernellatency", "kernellatency", kernellatency_metrics, kernellatency_events },
	{}
};
