// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpext - TCP counters beyond the RFC's, one set per network namespace. */
#include "libcommon/probe.h"
#include "libcommon/procfs.h"

static bool all_counters;

static const struct metric metrics[] = {
	/* name, key in net/netstat, type, unit, the contract's words */
	{ "listendrops", "TcpExt:ListenDrops", COUNTER, "events", "ListenDrops of TCPExt",
	  .advice = { .means = "every refusal at a listener; ≥ listenoverflows always",
		      .normal = "0",
		      .causes = "overflow; SYN queue full with cookies off; half-open request killed by an "
	              "ICMP error (SYN-ACK undeliverable); no memory; security or BPF filter",
		      .confirm = "section 7",
		      .remedy = "by cause" } },
	{ "listenoverflows", "TcpExt:ListenOverflows", COUNTER, "events", "ListenOverflow of TCPExt",
	  .advice = { .means = "a SYN or a final ACK refused because the accept queue was full (queue > "
	             "min(backlog, somaxconn)). Counts segments: one client's retries count again",
		      .normal = "0",
		      .causes = "program does not accept() fast enough (blocked, CPU quota, EMFILE, GC); "
	              "backlog too small for a burst; somaxconn small",
		      .confirm = "skoop-tcpsummary --listen, ss -ltn (Recv-Q > Send-Q)",
		      .remedy = "fix the accept loop; larger listen() backlog and somaxconn, then restart "
	              "the program. tcp_abort_on_overflow only changes the final-ACK case; "
	              "refused SYNs stay silent. tcp_max_syn_backlog does not help" } },
	{ "tcpsynretrans", "TcpExt:TCPSynRetrans", COUNTER, "events", "TCPSynRetrans of TCPExt",
	  .advice = { .means = "SYN and SYN-ACK sent again",
		      .normal = "a few on the internet",
		      .causes = "as client: peer down, firewall, its accept queue full, conntrack drop. As "
	              "server: client spoofed or return path broken",
		      .confirm = "skoop-tcpretrans type syn / synack; SYN_SENT and SYN_RECV in --states",
		      .remedy = "by cause; 1 s is added per lost SYN" } },
	{ "tcpfastretrans", "TcpExt:TCPFastRetrans", COUNTER, "events", "TCPFastRetrans of TCPExt",
	  .advice = { .means = "segments resent in fast recovery (not after a timeout)",
		      .normal = "≤ 0.5 % on the internet, ~0 in a data centre",
		      .causes = "congestion or policer loss; buffer drops on the way; reordering",
		      .confirm = "skoop-tcpretrans type fast; ss -ti",
		      .remedy = "remove the bottleneck; pacing (fq, bbr)" } },
	{ "tcpretransfail", "TcpExt:TCPRetransFail", COUNTER, "events", "TCPRetransFail of TCPExt",
	  .advice = { .means = "resend could not leave this host: the layer below returned an error",
		      .normal = "0",
		      .causes = "own qdisc full; OUTPUT rule drops; route vanished; no memory",
		      .confirm = "qdisc drops, OutNoRoutes, packetloss",
		      .remedy = "fix the local queue, rule, route" } },
	{ "tcptimeouts", "TcpExt:TCPTimeouts", COUNTER, "events", "TCPTimeouts of TCPExt",
	  .advice = { .means = "retransmission timer fired: data, SYN and SYN-ACK timer; a firing whose "
	             "resend is blocked locally counts too",
		      .normal = "rare",
		      .causes = "tail loss, burst loss, outage, MTU black hole; unanswered SYNs",
		      .confirm = "subtract tcpsynretrans; skoop-tcpretrans type rto",
		      .remedy = "by cause; each costs ≥ 200 ms" } },
	{ "tcpabortonclose", "TcpExt:TCPAbortOnClose", COUNTER, "events", "TCPAbortOnClose of TCPExt",
	  .advice = { .means = "close() with unread data: RST instead of FIN",
		      .normal = "HTTP servers cutting long requests, health checks",
		      .causes = "program ignores the rest of a request; protocol error; proxy timeouts",
		      .confirm = "skoop-tcpreset reason TCP_ABORT_ON_CLOSE, comm",
		      .remedy = "read to the end or shutdown(SHUT_WR) and drain" } },
	{ "tcpabortonmemory", "TcpExt:TCPAbortOnMemory", COUNTER, "events", "TCPAbortOnMemory of TCPExt",
	  .advice = { .means = "socket killed for lack of memory or too many orphans",
		      .normal = "0",
		      .causes = "tcp_max_orphans (a silent or stalled peer counts double to fourfold "
	              "against it); tcp_mem[2] reached",
		      .confirm = "log \"too many orphaned sockets\" / \"out of memory -- consider tuning "
	               "tcp_mem\"; skoop-sock",
		      .remedy = "raise the limit that was hit; find who closes with unsent data" } },
	{ "tcpabortontimeout", "TcpExt:TCPAbortOnTimeout", COUNTER, "events", "TCPAbortOnTimeout of TCPExt",
	  .advice = { .means = "gave up: retries, keepalive, zero-window probes or TCP_USER_TIMEOUT "
	             "exhausted; failed connects too. No RST except for keepalive",
		      .normal = "steady trickle on the internet (clients vanish)",
		      .causes = "peer gone, firewall or NAT forgot the flow, blackhole",
		      .confirm = "--by raddr; retrans of the same peer",
		      .remedy = "keepalive below the middlebox's idle limit" } },
	{ "tcpabortonlinger", "TcpExt:TCPAbortOnLinger", COUNTER, "events", "TCPAbortOnLinger of TCPExt",
	  .advice = { .means = "FIN_WAIT2 cut at once because the program set TCP_LINGER2 < 0",
		      .normal = "0",
		      .causes = "that option",
		      .confirm = "strace setsockopt" } },
	{ "tcpabortondata", "TcpExt:TCPAbortOnData", COUNTER, "events", "TCPAbortOnData of TCPExt",
	  .advice = { .means = "close with SO_LINGER 0, or data arriving for a socket already closed",
		      .normal = "load balancers and some pools use linger 0 on purpose",
		      .causes = "linger 0; peer still sends after our close; TCP_LINGER2 < 0 with data",
		      .confirm = "reset reason TCP_STATE (linger 0) or TCP_ABORT_ON_DATA",
		      .remedy = "remove linger 0; agree on who closes" } },
	{ "tcpabortfailed", "TcpExt:TCPAbortFailed", COUNTER, "events", "TCPAbortFailed of TCPExt",
	  .advice = { .means = "RST could not be built or sent",
		      .normal = "0",
		      .causes = "no memory; queue or rule refused it",
		      .confirm = "qdisc drops, packetloss" } },
	{ "tcpackskippedsynrecv", "TcpExt:TCPACKSkippedSynRecv", COUNTER, "events", "TCPACKSkippedSynRecv of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcpackskippedpaws", "TcpExt:TCPACKSkippedPAWS", COUNTER, "events", "TCPACKSkippedPAWS of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcpackskippedseq", "TcpExt:TCPACKSkippedSeq", COUNTER, "events", "TCPACKSkippedSeq of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcpackskippedfinwait2", "TcpExt:TCPACKSkippedFinWait2", COUNTER, "events", "TCPACKSkippedFinWait2 of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcpackskippedtimewait", "TcpExt:TCPACKSkippedTimeWait", COUNTER, "events", "TCPACKSkippedTimeWait of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcpackskippedchallenge", "TcpExt:TCPACKSkippedChallenge", COUNTER, "events", "TCPACKSkippedChallenge of TCPExt",
	  .advice = { .means = "an ACK in answer to an unacceptable segment was not sent, at most one per "
	             "tcp_invalid_ratelimit (500 ms) and socket. SynRecv: repeated SYN or odd "
	             "segment in handshake; Seq: out of window (window probes give it); "
	             "Challenge: SYN or RST off the mark",
		      .normal = "small",
		      .causes = "duplicated traffic, ACK loop between two broken peers, middlebox rewriting "
	              "sequence numbers, blind reset attempts",
		      .confirm = "growth by thousands per second = ACK loop; packet capture",
		      .remedy = "fix the middlebox; leave the limit" } },
	{ "tcprcvqdrop", "TcpExt:TCPRcvQDrop", COUNTER, "events", "TCPRcvQDrop of TCPExt",
	  .advice = { .means = "in-order data dropped: no receive memory even after pruning",
		      .normal = "0",
		      .causes = "tcp_mem or memory cgroup limit reached; tiny SO_RCVBUF; many small "
	              "segments in big buffers",
		      .confirm = "PruneCalled, RcvPruned; memory.events and sock in memory.stat; skoop-sock",
		      .remedy = "memory limit, tcp_rmem, faster reader" } },
	{ "tcpmemorypressures", "TcpExt:TCPMemoryPressures", COUNTER, "events", "TCPMemoryPressures of TCPExt",
	  .advice = { .means = "times TCP went into memory pressure (machine-wide state, booked in the "
	             "namespace that met it)",
		      .normal = "0",
		      .causes = "many slow readers or peers; tcp_mem too small",
		      .confirm = "sock_mem against tcp_mem[1]; largest queues skoop-tcpsummary --worst",
		      .remedy = "fix slow readers; tcp_mem" } },
	{ "tcpmemorypressureschrono", "TcpExt:TCPMemoryPressuresChrono", COUNTER, "ms", "TCPMemoryPressuresChrono of TCPExt",
	  .advice = { .means = "milliseconds spent in pressure, booked when pressure ends",
		      .normal = "0",
		      .causes = "as above" } },
	{ "pawsactive", "TcpExt:PAWSActive", COUNTER, "events", "PAWSActive of TCPExt",
	  .advice = { .means = "SYN-ACK echoed a timestamp we never sent; answered with RST",
		      .normal = "0",
		      .causes = "port reused through NAT or proxy with another connection's answer",
		      .confirm = "capture",
		      .remedy = "NAT device" } },
	{ "pawsestab", "TcpExt:PAWSEstab", COUNTER, "events", "PAWSEstab of TCPExt",
	  .advice = { .means = "segment refused because its timestamp is older than the last. Not \"PAWS in "
	             "use\"",
		      .normal = "few. Late duplicates after reordering or needless resends count on every "
	              "kernel (TCPDSACKOldSent grows alike); late pure ACKs too up to 6.12, from "
	              "6.18 as PAWSOldAck; TIME_WAIT ones from 6.18 as PAWSTimewait",
		      .causes = "reordering, delay jumps; NAT or load balancer handing one 4-tuple to hosts "
	              "with other clocks; peer rebooted or cloned",
		      .confirm = "reason TCP_RFC7323_PAWS; peers behind one address",
		      .remedy = "longer NAT reuse time. tcp_tw_recycle is not it: gone since 4.12" } },
	{ "embryonicrsts", "TcpExt:EmbryonicRsts", COUNTER, "events", "EmbryonicRsts of TCPExt",
	  .advice = { .means = "half-open request ended by a RST or a SYN in the wrong place; also by our "
	             "own RST with tcp_abort_on_overflow=1",
		      .normal = "scanners, half-open health checks",
		      .causes = "SYN scan; asymmetric path (client resets an unknown SYN-ACK); spoofed SYNs "
	              "whose owner resets",
		      .confirm = "AttemptFails grows alike; source in a capture" } },
	{ "tcpwinprobe", "TcpExt:TCPWinProbe", COUNTER, "events", "TCPWinProbe of TCPExt",
	  .advice = { .means = "probe into a window the peer closed",
		      .normal = "occasional",
		      .causes = "peer's program does not read; peer short of memory",
		      .confirm = "tcptxqueue stays; ss -ti snd_wnd 0; look at the peer",
		      .remedy = "fix the reader" } },
	{ "tcpkeepalive", "TcpExt:TCPKeepAlive", COUNTER, "events", "TCPKeepAlive of TCPExt",
	  .advice = { .means = "keepalive probes sent",
		      .normal = "with SO_KEEPALIVE",
		      .causes = "many: idle connections, short interval",
		      .confirm = "ss -o" } },
	{ "tcpmtupfail", "TcpExt:TCPMTUPFail", COUNTER, "events", "TCPMTUPFail of TCPExt",
	  .advice = { .means = "MTU probe lost / passed. Only with tcp_mtu_probing 1 or 2 (default 0), so 0 "
	             "says nothing about black holes",
		      .normal = "0",
		      .causes = "path MTU smaller than believed",
		      .confirm = "ss -ti mss, pmtu; ping -M do -s",
		      .remedy = "let ICMP \"too big\" through; clamp MSS" } },
	{ "tcpmtupsuccess", "TcpExt:TCPMTUPSuccess", COUNTER, "events", "TCPMTUPSuccess of TCPExt",
	  .advice = { .means = "MTU probe lost / passed. Only with tcp_mtu_probing 1 or 2 (default 0), so 0 "
	             "says nothing about black holes",
		      .normal = "0",
		      .causes = "path MTU smaller than believed",
		      .confirm = "ss -ti mss, pmtu; ping -M do -s",
		      .remedy = "let ICMP \"too big\" through; clamp MSS" } },
	{ "tcpzerowindowdrop", "TcpExt:TCPZeroWindowDrop", COUNTER, "events", "TCPZeroWindowDrop of TCPExt",
	  .advice = { .means = "segment arrived although our window was closed",
		      .normal = "few: first segment of a probe",
		      .causes = "our program does not read",
		      .confirm = "tcprxqueue, TCPToZeroWindowAdv",
		      .remedy = "read faster; larger buffer only for bursts" } },
	{ "tcpbacklogdrop", "TcpExt:TCPBacklogDrop", COUNTER, "events", "TCPBacklogDrop of TCPExt",
	  .advice = { .means = "queue of a socket locked by its own process was full",
		      .normal = "0",
		      .causes = "one hot connection on few CPUs; process preempted while inside the socket "
	              "(CPU quota); tiny buffers",
		      .confirm = "packetloss SOCKET_BACKLOG",
		      .remedy = "more CPU, larger SO_RCVBUF, spread over connections" } },
	{ "pfmemallocdrop", "TcpExt:PFMemallocDrop", COUNTER, "events", "PFMemallocDrop of TCPExt",
	  .advice = { .means = "packet lived in emergency memory and its socket may not use it",
		      .normal = "0",
		      .causes = "machine out of memory",
		      .confirm = "min_free_kbytes, dmesg",
		      .remedy = "memory" } },
	{ "tcpwqueuetoobig", "TcpExt:TCPWqueueTooBig", COUNTER, "events", "TCPWqueueTooBig of TCPExt",
	  .advice = { .means = "write queue may not be split further (guard against SACK-of-tiny-MSS "
	             "attacks)",
		      .normal = "0",
		      .causes = "tiny MSS peer; very small SO_SNDBUF",
		      .confirm = "ss -ti mss",
		      .remedy = "larger SO_SNDBUF; tcp_min_snd_mss" } },
	{}
};

static const struct knob knobs[] = {
	{ 'a', "all-counters", NULL, "Every further TcpExt counter of this kernel", KNOB_FLAG, &all_counters },
	{}
};

static int collect(const struct target *t, struct out *o)
{
	return proc_pairs(t, "netstat", "TcpExt", all_counters, o);
}

static const struct probe tcpext = {
	.name = "tcpext",
	.summary = "Statistics of the TCPExt",
	.question = "What goes wrong in TCP: overflows, aborts, time-outs, memory?",
	.source = "procfs",
	.overhead = "Low",
	.metrics = metrics,
	.knobs = knobs,
	.collect = collect,
};
PROBE_MAIN(tcpext)
