/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For each row of findings.def: samples that trigger each of its severities, and samples just
 * below. Notation of samples.h; a window of 10 s unless said.
 */
#define ETH0 "{device=eth0}"
#define ETH1 "{device=eth1}"
#define WEB "{pid=7,comm=web}"
#define CPU0 "{cpu=0}"
#define ROOT(kind) "{device=eth0,kind=" kind ",handle=1:,parent=root}"
#define STATE(name) "tcpsummary_sockets{state=" name "}"
#define SOCKET "{laddr=10.0.0.1,lport=80,raddr=10.0.0.2,rport=999}"
#define PEER "{laddr=10.0.0.1,raddr=10.0.0.2,rport=80}"
#define SERVER(method) "{service=10.0.0.9:80,server=10.0.0.8:80,method=" method "}"

static const struct finding_case {
	unsigned int number;
	enum severity severity;
	const char *samples;
	double seconds; /* 0: 10 */
} finding_cases[] = {
	{ 100, CRITICAL,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 1; netdev_rxpackets" ETH0
	  " 1 2;"
	  "?netdev_rxpackets" ETH1 " 1 2" },
	{ 100, CRITICAL, "netdev_carrierdown" ETH0 " 1 2; netdev_rxpackets" ETH0 " 1" },
	{ 100, NOTHING,
	  "netdev_carrierdown" ETH0 " 3; netdev_defaultroute" ETH0 " 1; netdev_rxpackets" ETH0
	  " 1" },
	{ 100, NOTHING,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0; netdev_rxpackets" ETH0 " 1;"
	  "?netdev_rxpackets" ETH1 " 1" },
	{ 101, CRITICAL,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0; netdev_physical" ETH0 " 1;"
	  "netdev_rxpackets" ETH0 " 1; ?netdev_rxpackets" ETH1 " 1" },
	{ 101, NOTE,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0; netdev_physical" ETH0 " 0;"
	  "netdev_rxpackets" ETH0 " 1; ?netdev_rxpackets" ETH1 " 1" },
	{ 101, NOTHING,
	  "netdev_carrierdown" ETH0 " 1; netdev_defaultroute" ETH0 " 0; netdev_physical" ETH0 " 1;"
	  "netdev_rxpackets" ETH0 " 1; ?netdev_rxpackets" ETH1 " 1" },
	{ 101, NOTHING,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0 1; netdev_physical" ETH0
	  " 1;"
	  "netdev_rxpackets" ETH0 " 1; ?netdev_rxpackets" ETH1 " 1" },
	{ 101, NOTHING,
	  "netdev_carrierdown" ETH0 " 1 2; netdev_defaultroute" ETH0 " 0; netdev_physical" ETH0 " 1;"
	  "netdev_rxpackets" ETH0 " 1" },
	{ 110, CRITICAL, "fd_openfd" WEB " 95; fd_fdlimit" WEB " 100" },
	{ 110, WARNING, "fd_openfd" WEB " 94 99; fd_fdlimit" WEB " 100" },
	{ 110, WARNING, "fd_openfd" WEB " 80; fd_fdlimit" WEB " 100" },
	{ 110, NOTHING, "fd_openfd" WEB " 79; fd_fdlimit" WEB " 100" },
	{ 110, NOTHING, "fd_openfd" WEB " 63; fd_fdlimit" WEB " 63" },
	{ 110, CRITICAL, "fd_openfd" WEB " 64; fd_fdlimit" WEB " 64" },
	{ 110, WARNING, "fd_openfd" WEB " 60; fd_fdlimit" WEB " 64" },
	{ 111, CRITICAL, "!fd_filesopen 90; !fd_filesmax 100" },
	{ 111, NOTHING, "!fd_filesopen 89 99; !fd_filesmax 100" },
	{ 115, CRITICAL, "!ip_neightablefulls{family=ipv4} 4 5" },
	{ 115, NOTHING, "!ip_neightablefulls{family=ipv4} 5; !ip_neightablefulls{family=ipv6} 5" },
	{ 120, CRITICAL, "conntrack_earlydrop 7 8" },
	{ 120, CRITICAL,
	  "conntrack_drop 0 3; conntrack_insertfailed 0 2; conntrack_entries 90 10; "
	  "conntrack_maxentries 100" },
	{ 120, NOTHING,
	  "conntrack_drop 0 3; conntrack_insertfailed 0 3; conntrack_entries 90; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 0" },
	{ 120, NOTHING,
	  "conntrack_drop 0 3; conntrack_insertfailed 0 2; conntrack_entries 89; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 0" },
	{ 125, CRITICAL, "conntrack_entries 95; conntrack_maxentries 100" },
	{ 125, WARNING, "conntrack_entries 94 99; conntrack_maxentries 100" },
	{ 125, WARNING, "conntrack_entries 80; conntrack_maxentries 100" },
	{ 125, NOTHING, "conntrack_entries 79 99; conntrack_maxentries 100" },
	{ 130, WARNING,
	  "conntrack_insertfailed 0 3; conntrack_entries 89; conntrack_maxentries 100" },
	{ 130, NOTHING,
	  "conntrack_insertfailed 0 2; conntrack_entries 89; conntrack_maxentries 100" },
	{ 130, NOTHING,
	  "conntrack_insertfailed 0 3; conntrack_entries 5 90; conntrack_maxentries 100" },
	{ 135, WARNING,
	  "conntrack_drop 0 5; conntrack_insertfailed 0 2; conntrack_entries 89; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 1" },
	{ 135, NOTHING,
	  "conntrack_drop 0 4; conntrack_insertfailed 0 2; conntrack_entries 89; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 1" },
	{ 135, NOTHING,
	  "conntrack_drop 0 5; conntrack_insertfailed 0 2; conntrack_entries 90; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 1" },
	{ 135, NOTHING,
	  "conntrack_drop 0 5; conntrack_insertfailed 0 2; conntrack_entries 89; "
	  "conntrack_maxentries 100;"
	  "conntrack_earlydrop 1 2" },
	{ 140, CRITICAL, "!sock_mem 95; !sock_tcpmemmax 100" },
	{ 140, CRITICAL,
	  "tcpext_tcpabortonmemory 0 1; tcpext_tcpmemorypressures 0 1; !sock_mem 1; "
	  "!sock_tcpmemmin 10" },
	{ 140, CRITICAL,
	  "tcpext_tcpabortonmemory 0 1; web:tcpext_tcpmemorypressures 0; !sock_mem 10 1; "
	  "!sock_tcpmemmin 10" },
	{ 140, WARNING, "tcpext_tcpmemorypressures 0 1" },
	{ 140, WARNING, "!sock_mem 80; !sock_tcpmempressure 80; !sock_tcpmemmax 100" },
	{ 140, NOTHING,
	  "!sock_mem 79 94; !sock_tcpmempressure 80; !sock_tcpmemmax 100; tcpext_tcpabortonmemory "
	  "0 1;"
	  "tcpext_tcpmemorypressures 3; !sock_tcpmemmin 95" },
	{ 145, CRITICAL,
	  "tcpext_tcpabortonmemory 0 1; tcpext_tcpmemorypressures 3; !sock_mem 1; !sock_tcpmemmin "
	  "10" },
	{ 145, NOTHING,
	  "tcpext_tcpabortonmemory 1; tcpext_tcpmemorypressures 3; !sock_mem 1; !sock_tcpmemmin "
	  "10" },
	{ 145, NOTHING,
	  "tcpext_tcpabortonmemory 0 1; web:tcpext_tcpmemorypressures 0 1; !sock_mem 1; "
	  "!sock_tcpmemmin 10" },
	{ 146, WARNING, "!sock_orphan 50; !sock_tcpmaxorphans 100" },
	{ 146, NOTHING, "!sock_orphan 49 99; !sock_tcpmaxorphans 100" },
	{ 150, CRITICAL, "udp_memerrors{family=ipv6} 0 1" },
	{ 150, CRITICAL,
	  "udp_inerrors 0 30; udp_rcvbuferrors 0 10; ?udp_incsumerrors 0 10; !sock_udpmem 50;"
	  "!sock_udpmempressure 50" },
	{ 150, NOTHING,
	  "udp_inerrors 0 29; udp_rcvbuferrors 0 10; ?udp_incsumerrors 0 10; !sock_udpmem 50;"
	  "!sock_udpmempressure 50; udp_memerrors 0" },
	{ 150, NOTHING,
	  "udp_inerrors 0 30; udp_rcvbuferrors 0 10; !sock_udpmem 49; !sock_udpmempressure 50" },
	{ 160, CRITICAL, "tcpext_listenoverflows 3 13" },
	{ 160, WARNING, "tcpext_listenoverflows 3 12" },
	{ 160, WARNING, "tcpext_listenoverflows 3 4" },
	{ 160, NOTHING, "tcpext_listenoverflows 3" },
	{ 165, CRITICAL, "tcpext_tcpreqqfulldrop 0 10" },
	{ 165, WARNING, "tcpext_tcpreqqfulldrop 0 9" },
	{ 165, NOTHING, "tcpext_tcpreqqfulldrop 9" },
	{ 165, WARNING, "tcpext_tcpreqqfulldrop 0 1" },
	{ 170, CRITICAL,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 1000; tcpext_syncookiesrecv 0 "
	  "99" },
	{ 170, WARNING,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 999; tcpext_syncookiesrecv 0 "
	  "1" },
	{ 170, WARNING,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 1000; tcpext_syncookiesrecv 0 "
	  "100" },
	{ 170, NOTE,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 1000; tcpext_syncookiesrecv 0 "
	  "500" },
	{ 170, NOTHING,
	  "tcpext_tcpreqqfulldocookies 0 9; tcpext_syncookiessent 0 1000; tcpext_syncookiesrecv 0 "
	  "1" },
	{ 170, NOTHING,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 9; tcpext_syncookiesrecv 0 "
	  "1" },
	{ 170, CRITICAL,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 10; tcpext_syncookiesrecv 0",
	  0.1 },
	{ 170, WARNING,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 10; tcpext_syncookiesrecv 0 "
	  "4" },
	{ 170, NOTE,
	  "tcpext_tcpreqqfulldocookies 0 10; tcpext_syncookiessent 0 10; tcpext_syncookiesrecv 0 "
	  "9" },
	{ 175, WARNING,
	  "tcpext_listendrops 0 10; tcpext_listenoverflows 0 3; ?tcpext_tcpreqqfulldrop 0 2" },
	{ 175, NOTHING,
	  "tcpext_listendrops 0 10; tcpext_listenoverflows 0 3; ?tcpext_tcpreqqfulldrop 0 3" },
	{ 180, CRITICAL, "netdev_rxmissederrors" ETH0 " 0 100; netdev_rxpackets" ETH0 " 0 10000" },
	{ 180, WARNING, "netdev_rxmissederrors" ETH0 " 0 100; netdev_rxpackets" ETH0 " 0 10001" },
	{ 180, WARNING, "netdev_rxmissederrors" ETH0 " 0 10; netdev_rxpackets" ETH0 " 0 100000" },
	{ 180, NOTHING, "netdev_rxmissederrors" ETH0 " 0 9; netdev_rxpackets" ETH0 " 0 90" },
	{ 180, NOTHING, "netdev_rxmissederrors" ETH0 " 0 10; netdev_rxpackets" ETH0 " 0 100001" },
	{ 180, CRITICAL, "netdev_rxmissederrors" ETH0 " 0 10; netdev_rxpackets" ETH0 " 0 1000" },
	{ 185, CRITICAL, "!softnet_dropped" CPU0 " 0 10; !softnet_processed" CPU0 " 0 10000" },
	{ 185, WARNING, "!softnet_dropped" CPU0 " 0 10; !softnet_processed" CPU0 " 0 10001" },
	{ 185, WARNING, "!softnet_dropped" CPU0 " 0 1; !softnet_processed" CPU0 " 0 10" },
	{ 185, NOTHING, "!softnet_dropped" CPU0 " 7; !softnet_processed" CPU0 " 0 10" },
	{ 190, CRITICAL, "qdisc_drops" ROOT("pfifo") " 0 50; qdisc_packets" ROOT("pfifo") " 0 950" },
	{ 190, WARNING, "qdisc_drops" ROOT("pfifo") " 0 50; qdisc_packets" ROOT("pfifo") " 0 951" },
	{ 190, WARNING, "qdisc_drops" ROOT("pfifo") " 0 10; qdisc_packets" ROOT("pfifo") " 0 9990" },
	{ 190, WARNING,
	  "qdisc_drops" ROOT("fq_codel") " 0 10; qdisc_packets" ROOT("fq_codel") " 0 990" },
	{ 190, NOTE,
	  "qdisc_drops" ROOT("fq_codel") " 0 10; qdisc_packets" ROOT("fq_codel") " 0 991" },
	{ 190, NOTHING, "qdisc_drops" ROOT("pfifo") " 0 9; qdisc_packets" ROOT("pfifo") " 0 9" },
	{ 190, NOTHING, "qdisc_drops" ROOT("pfifo") " 0 10; qdisc_packets" ROOT("pfifo") " 0 9991" },
	{ 190, NOTHING, "qdisc_drops" ROOT("clsact") " 0 50; qdisc_packets" ROOT("clsact") " 0 50" },
	{ 190, CRITICAL, "qdisc_drops" ROOT("pfifo") " 0 10; qdisc_packets" ROOT("pfifo") " 0 10" },
	{ 190, NOTE, "qdisc_drops" ROOT("fq") " 0 10; qdisc_packets" ROOT("fq") " 0 9990" },
	{ 195, WARNING,
	  "netdev_txdropped" ETH0 " 0 5; netdev_txpackets" ETH0 " 0 50000; netdev_rxpackets" ETH0
	  " 1" },
	{ 195, NOTHING,
	  "netdev_txdropped" ETH0 " 0 4; netdev_txpackets" ETH0 " 0 10; netdev_rxpackets" ETH0
	  " 1" },
	{ 195, NOTHING,
	  "netdev_txdropped" ETH0 " 0 5; netdev_txpackets" ETH0 " 0 50001; netdev_rxpackets" ETH0
	  " 1" },
	{ 200, CRITICAL,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 2; netdev_rxpackets" ETH0 " 0 2500;"
	  "netdev_txpackets" ETH0 " 0 2500" },
	{ 200, WARNING,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 2; netdev_rxpackets" ETH0 " 0 2501;"
	  "netdev_txpackets" ETH0 " 0 2500" },
	{ 200, WARNING,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 2; netdev_rxpackets" ETH0
	  " 0 250000;"
	  "netdev_txpackets" ETH0 " 0 249000" },
	{ 200, NOTHING,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 1; netdev_rxpackets" ETH0 " 0 10;"
	  "netdev_txpackets" ETH0 " 0 10" },
	{ 200, NOTHING,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 2; netdev_rxpackets" ETH0
	  " 0 250001;"
	  "netdev_txpackets" ETH0 " 0 250001" },
	{ 200, WARNING,
	  "netdev_rxerrors" ETH0 " 0 3; netdev_txerrors" ETH0 " 0 2; netdev_rxpackets" ETH0
	  " 0 250000;"
	  "netdev_txpackets" ETH0 " 0 250000" },
	{ 205, CRITICAL, "udp_rcvbuferrors 0 10; udp_indatagrams 0 90" },
	{ 205, WARNING, "udp_rcvbuferrors 0 10; udp_indatagrams 0 91" },
	{ 205, WARNING, "udp_rcvbuferrors 0 10; udp_indatagrams 0 9990" },
	{ 205, NOTE, "udp_rcvbuferrors 0 10; udp_indatagrams 0 9991" },
	{ 205, NOTHING, "udp_rcvbuferrors 0 9; udp_indatagrams 0 1" },
	{ 210, WARNING,
	  "tcpext_tcprcvqdrop 0 1; tcpext_rcvpruned 0; tcpext_ofopruned 0; tcpext_prunecalled 0 "
	  "1" },
	{ 210, NOTE,
	  "tcpext_tcprcvqdrop 0; tcpext_rcvpruned 0; tcpext_ofopruned 0; tcpext_prunecalled 0 10" },
	{ 210, NOTHING,
	  "tcpext_tcprcvqdrop 5; tcpext_rcvpruned 5; tcpext_ofopruned 5; tcpext_prunecalled 0 9" },
	{ 215, WARNING, "tcpext_tcpbacklogdrop 0 3" },
	{ 215, NOTHING, "tcpext_tcpbacklogdrop 0 2" },
	{ 220, CRITICAL, "tcpext_pfmemallocdrop 0 1" },
	{ 220, NOTHING, "tcpext_pfmemallocdrop 1" },
	{ 225, WARNING,
	  "tcp_incsumerrors 0 2; udp_incsumerrors{family=ipv6} 0 2; ip_icmpincsumerrors 0 1" },
	{ 225, NOTHING, "tcp_incsumerrors 0 2; udp_incsumerrors 0 2; ip_icmpincsumerrors 1" },
	{ 230, WARNING, "packetloss_netfilter 0 100; packetloss_livedrops 0 10" },
	{ 230, NOTE, "packetloss_netfilter 0 99; packetloss_livedrops 0 99" },
	{ 230, NOTE, "packetloss_netfilter 0 100; packetloss_livedrops 0 9" },
	{ 230, NOTE, "packetloss_netfilter 0 10; packetloss_livedrops 0" },
	{ 230, NOTHING, "packetloss_netfilter 0 9; packetloss_livedrops 0 9" },
	{ 232, WARNING,
	  "tcpext_tcptimeouts 0 3; tcpext_tcpsynretrans 0; " STATE("NEW_SYN_RECV") " 1; " STATE(
		  "SYN_RECV") " 0;"
			      "tcp_retranssegs 4" },
	{ 232, NOTHING,
	  "tcpext_tcptimeouts 0 2; tcpext_tcpsynretrans 0; " STATE("NEW_SYN_RECV") " 1; " STATE(
		  "SYN_RECV") " 0;"
			      "tcp_retranssegs 4" },
	{ 232, NOTHING,
	  "tcpext_tcptimeouts 0 3; tcpext_tcpsynretrans 0; " STATE("NEW_SYN_RECV") " 0 1;" STATE(
		  "SYN_RECV") " 0;"
			      "tcp_retranssegs 4" },
	{ 232, NOTHING,
	  "tcpext_tcptimeouts 0 3; tcpext_tcpsynretrans 0; " STATE("NEW_SYN_RECV") " 1;" STATE(
		  "SYN_RECV") " 0;"
			      "tcp_retranssegs 4 5" },
	{ 235, CRITICAL,
	  "tcpext_tcpsynretrans 0 20; tcp_retranssegs 0 20; " STATE(
		  "SYN_SENT") " 20; tcp_activeopens 0 20;"
			      "tcp_passiveopens 0" },
	{ 235, WARNING,
	  "tcpext_tcpsynretrans 0 20; tcp_retranssegs 0 20; " STATE(
		  "SYN_SENT") " 19 30; tcp_activeopens 0 20;"
			      "tcp_passiveopens 0" },
	{ 235, WARNING,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 10; " STATE(
		  "SYN_SENT") " 0 1; tcp_activeopens 0 30;"
			      "tcp_passiveopens 0 30" },
	{ 235, WARNING,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 10; tcp_activeopens 0 1; tcp_passiveopens "
	  "0" },
	{ 235, NOTHING,
	  "tcpext_tcpsynretrans 0 2; tcp_retranssegs 0 2; " STATE(
		  "SYN_SENT") " 30; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0" },
	{ 235, NOTHING,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 11; " STATE(
		  "SYN_SENT") " 1; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0" },
	{ 235, NOTHING,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 3; " STATE(
		  "SYN_SENT") " 1; tcp_activeopens 0 31;"
			      "tcp_passiveopens 0 30" },
	{ 235, NOTHING,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 3; tcp_activeopens 0 1; tcp_passiveopens 0 "
	  "1" },
	{ 235, CRITICAL,
	  "tcpext_tcpsynretrans 0 3; tcp_retranssegs 0 10; " STATE(
		  "SYN_SENT") " 20; tcp_activeopens 0 3;"
			      "tcp_passiveopens 0 99" },
	{ 240, WARNING,
	  "tcpext_tcpsynretrans 0 5; " STATE("NEW_SYN_RECV") " 4;" STATE(
		  "SYN_RECV") " 1; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0 100" },
	{ 240, NOTHING,
	  "tcpext_tcpsynretrans 0 4; " STATE("NEW_SYN_RECV") " 5;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0 10" },
	{ 240, NOTHING,
	  "tcpext_tcpsynretrans 0 5; " STATE("NEW_SYN_RECV") " 4 9;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0 10" },
	{ 240, NOTHING,
	  "tcpext_tcpsynretrans 0 5; " STATE("NEW_SYN_RECV") " 5;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 2;"
			      "tcp_passiveopens 0 10" },
	{ 240, NOTHING,
	  "tcpext_tcpsynretrans 0 5; " STATE("NEW_SYN_RECV") " 5;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 1;"
			      "tcp_passiveopens 0 101" },
	{ 240, NOTHING,
	  "tcpext_tcpsynretrans 0 6; " STATE("NEW_SYN_RECV") " 6;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 2;"
			      "tcp_passiveopens 0 10" },
	{ 240, WARNING,
	  "tcpext_tcpsynretrans 0 7; " STATE("NEW_SYN_RECV") " 6;" STATE(
		  "SYN_RECV") " 0; tcp_activeopens 0 2;"
			      "tcp_passiveopens 0 10" },
	{ 250, WARNING,
	  "tcp_attemptfails 0 12; ?tcpext_embryonicrsts 0 2; tcp_activeopens 0 12; "
	  "tcpext_tcpsynretrans 0 3" },
	{ 250, NOTE, "tcp_attemptfails 0 10; tcp_activeopens 0 13; tcpext_tcpsynretrans 0 3" },
	{ 250, NOTE, "tcp_attemptfails 0 10; tcp_activeopens 0 50; tcpext_tcpsynretrans 0 3" },
	{ 250, NOTHING,
	  "tcp_attemptfails 0 11; ?tcpext_embryonicrsts 0 2; tcp_activeopens 0 11; "
	  "tcpext_tcpsynretrans 0 1" },
	{ 250, NOTHING, "tcp_attemptfails 0 10; tcp_activeopens 0 51; tcpext_tcpsynretrans 0 3" },
	{ 250, NOTHING, "tcp_attemptfails 0 10; tcp_activeopens 0 10; tcpext_tcpsynretrans 0 4" },
	{ 250, NOTHING, "tcp_attemptfails 0 10; tcp_activeopens 0 9; tcpext_tcpsynretrans 0 3" },
	{ 250, WARNING, "tcp_attemptfails 0 10; tcp_activeopens 0 10; tcpext_tcpsynretrans 0 3" },
	{ 250, WARNING, "tcp_attemptfails 0 12; tcp_activeopens 0 15; tcpext_tcpsynretrans 0 3" },
	{ 250, NOTHING, "tcp_attemptfails 0 12; tcp_activeopens 0 12; tcpext_tcpsynretrans 0 4" },
	{ 250, NOTHING, "tcp_attemptfails 0 12; tcp_activeopens 0 50; tcpext_tcpsynretrans 0 4" },
#define RESENT(retrans, dup, orig)                                                                 \
	"tcp_retranssegs 0 " #retrans "; tcpext_tcpsynretrans 0 1; tcpext_tcpdsackrecv 0 " #dup    \
	"; tcpext_tcporigdatasent 0 " #orig
	{ 255, CRITICAL, RESENT(111, 10, 1000) },
	{ 255, WARNING, RESENT(110, 10, 990) },
	{ 255, WARNING, RESENT(61, 10, 1666) },
	{ 255, NOTE, RESENT(60, 10, 1000) },
	{ 255, NOTE, RESENT(31, 10, 2000) },
	{ 255, NOTE,
	  "tcp_retranssegs 0 21; tcpext_tcpsynretrans 0 1; tcpext_tcpdsackrecv 0; tcp_outsegs 0 "
	  "2000" },
	{ 255, NOTHING, RESENT(30, 10, 100) },
	{ 255, NOTHING, RESENT(31, 10, 2001) },
	{ 255, WARNING, RESENT(71, 10, 2000) },
#define HOLE(rto, syn, fast, queue, orig, rest)                                                    \
	"tcpext_tcptimeouts 0 " #rto "; tcpext_tcpsynretrans 0 " #syn "; tcp_retranssegs 0 " #rto  \
	"; tcpext_tcpfastretrans 0 " #fast "; tcpsummary_tcptxqueue " queue                        \
	"; tcpext_tcporigdatasent 0 " #orig ";" rest
	{ 260, WARNING, HOLE(3, 0, 0, "100", 300, "tcp_passiveopens 0 1") },
	{ 260, WARNING, HOLE(20, 0, 1, "100", 300, "tcp_activeopens 0 1; tcp_attemptfails 0") },
	{ 260, NOTHING, HOLE(2, 0, 0, "100", 100, "tcp_passiveopens 0 1") },
	{ 260, NOTHING, HOLE(19, 0, 1, "100", 300, "tcp_passiveopens 0 1") },
	{ 260, NOTHING, HOLE(4, 1, 0, "100", 300, "tcp_passiveopens 0 1") },
	{ 260, NOTHING, HOLE(3, 0, 0, "0 100", 300, "tcp_passiveopens 0 1") },
	{ 260, NOTHING, HOLE(3, 0, 0, "100", 301, "tcp_passiveopens 0 1") },
	{ 260, NOTHING,
	  HOLE(3, 0, 0, "100", 300,
	       "tcp_passiveopens 0; tcp_activeopens 0 1; tcp_attemptfails 0 1") },
	{ 260, WARNING, HOLE(3, 0, 0, "1", 300, "tcp_passiveopens 0 1") },
#define SILENT(rto, retrans, queue, orig)                                                          \
	"tcpext_tcptimeouts 0 " #rto "; tcpext_tcpsynretrans 0; tcp_retranssegs 0 " #retrans       \
	"; tcpsummary_tcptxqueue " queue "; tcpext_tcporigdatasent 0 " #orig
	{ 265, WARNING, SILENT(5, 16, "100", 1600) },
	{ 265, NOTHING, SILENT(4, 4, "100", 100) },
	{ 265, NOTHING, SILENT(5, 17, "100", 100) },
	{ 265, NOTHING, SILENT(5, 16, "0 100", 1600) },
	{ 265, NOTHING, SILENT(5, 16, "100", 1601) },
	{ 265, WARNING, SILENT(6, 20, "1", 2000) },
	{ 270, WARNING, "tcpext_tcpretransfail 0 3" },
	{ 270, NOTHING, "tcpext_tcpretransfail 0 2" },
	{ 275, WARNING, "tcpext_tcpspuriousrtxhostqueues 0 20; tcpext_tcporigdatasent 0 4000" },
	{ 275, NOTHING, "tcpext_tcpspuriousrtxhostqueues 0 19; tcpext_tcporigdatasent 0 40" },
	{ 275, NOTHING, "tcpext_tcpspuriousrtxhostqueues 0 20; tcpext_tcporigdatasent 0 4001" },
	{ 278, NOTE,
	  "tcpext_tcpsackreorder 0 40; tcpext_tcptsreorder 0 10; tcpext_tcporigdatasent 0 2500" },
	{ 278, NOTHING,
	  "tcpext_tcpsackreorder 0 40; tcpext_tcptsreorder 0 9; tcpext_tcporigdatasent 0 100" },
	{ 278, NOTHING,
	  "tcpext_tcpsackreorder 0 50; tcpext_tcptsreorder 0; tcpext_tcporigdatasent 0 2501" },
	{ 280, WARNING, "tcpext_tcpspuriousrtos 0 50" },
	{ 280, NOTE, "tcpext_tcpspuriousrtos 0 49" },
	{ 280, NOTE, "tcpext_tcpspuriousrtos 0 5" },
	{ 280, NOTE,
	  "tcpext_tcpdsackrecv 0 20; tcp_retranssegs 0 40; tcpext_tcpsynretrans 0; "
	  "tcpext_tcpspuriousrtos 0" },
	{ 280, NOTHING,
	  "tcpext_tcpdsackrecv 0 19; tcp_retranssegs 0 19; tcpext_tcpsynretrans 0; "
	  "tcpext_tcpspuriousrtos 0 4" },
	{ 280, NOTHING,
	  "tcpext_tcpdsackrecv 0 20; tcp_retranssegs 0 41; tcpext_tcpsynretrans 0; "
	  "tcpext_tcpspuriousrtos 0 4" },
	{ 290, WARNING,
	  "tcpext_tcpabortontimeout 0 10; tcp_currestab 100 7; tcp_activeopens 0 50; "
	  "tcp_passiveopens 0 50" },
	{ 290, NOTE,
	  "tcpext_tcpabortontimeout 0 10; tcp_currestab 7 101; tcp_activeopens 0 50; "
	  "tcp_passiveopens 0 50" },
	{ 290, NOTHING,
	  "tcpext_tcpabortontimeout 0 9; tcp_currestab 0; tcp_activeopens 0; tcp_passiveopens 0" },
	{ 295, WARNING, "tcpext_tcpwinprobe 0 50; tcpsummary_tcptxqueue 65536" },
	{ 295, NOTE, "tcpext_tcpwinprobe 0 49; tcpsummary_tcptxqueue 65536" },
	{ 295, NOTE, "tcpext_tcpwinprobe 0 3; tcpsummary_tcptxqueue 65536" },
	{ 295, NOTHING, "tcpext_tcpwinprobe 0 2; tcpsummary_tcptxqueue 65536" },
	{ 295, NOTHING, "tcpext_tcpwinprobe 0 50; tcpsummary_tcptxqueue 65535 99999" },
	{ 300, WARNING, "tcpsummary_worstrxqueue" SOCKET " 1048576; tcpext_tcptozerowindowadv 0" },
	{ 300, NOTE, "tcpsummary_worstrxqueue" SOCKET " 1048575; tcpext_tcptozerowindowadv 0" },
	{ 300, NOTE,
	  "tcpsummary_worstrxqueue" SOCKET " 1048576 2000000; tcpext_tcptozerowindowadv 0 1" },
	{ 300, NOTE,
	  "tcpsummary_worstrxqueue" SOCKET " 65536 70000; tcpext_tcptozerowindowadv 0 1" },
	{ 300, NOTHING, "tcpsummary_worstrxqueue" SOCKET " 65535; tcpext_tcptozerowindowadv 0 1" },
	{ 300, NOTHING,
	  "tcpsummary_worstrxqueue" SOCKET " 1048576 2000000; tcpext_tcptozerowindowadv 1" },
	{ 300, NOTE, "tcpsummary_worstrxqueue" SOCKET " 65536" },
	{ 310, WARNING, "tcpext_tcpabortonclose 0 10; tcp_activeopens 0 10; tcp_passiveopens 0 10" },
	{ 310, NOTE, "tcpext_tcpabortonclose 0 10; tcp_activeopens 0 11; tcp_passiveopens 0 10" },
	{ 310, NOTE, "tcpext_tcpabortonclose 0 10; tcp_activeopens 0 50; tcp_passiveopens 0 50" },
	{ 310, NOTHING, "tcpext_tcpabortonclose 0 9; tcp_activeopens 0; tcp_passiveopens 0 1" },
	{ 310, NOTHING, "tcpext_tcpabortonclose 0 10; tcp_activeopens 0 51; tcp_passiveopens 0 50" },
	{ 315, WARNING,
	  "tcp_estabresets 0 20; tcp_activeopens 0 50; tcp_passiveopens 0 50; tcp_currestab 400 "
	  "3" },
	{ 315, NOTE,
	  "tcp_estabresets 0 20; tcp_activeopens 0 50; tcp_passiveopens 0 50; tcp_currestab 3 "
	  "401" },
	{ 315, NOTHING,
	  "tcp_estabresets 0 19; tcp_activeopens 0; tcp_passiveopens 0; tcp_currestab 0" },
	{ 315, NOTHING,
	  "tcp_estabresets 0 20; tcp_activeopens 0 51; tcp_passiveopens 0 50; tcp_currestab 0" },
	{ 320, NOTE, "tcp_outrsts 0 60; tcpext_tcpabortonclose 0 5; tcpext_tcpabortondata 0 5" },
	{ 320, NOTHING, "tcp_outrsts 0 59; tcpext_tcpabortonclose 0 5; tcpext_tcpabortondata 0 5" },
	{ 320, NOTHING, "tcp_outrsts 0 60; tcpext_tcpabortonclose 0 5; tcpext_tcpabortondata 0 5",
	  10.5 },
	{ 330, WARNING, "tcpext_pawsestab 0 25; tcpext_tcpdsackoldsent 0 5; tcp_insegs 0 20000" },
	{ 330, WARNING, "tcpext_pawstimewait 0 20" },
	{ 330, NOTHING,
	  "tcpext_pawsestab 0 24; tcpext_tcpdsackoldsent 0 5; tcp_insegs 0 20; tcpext_pawstimewait "
	  "0 19" },
	{ 330, NOTHING, "tcpext_pawsestab 0 25; tcpext_tcpdsackoldsent 0 5; tcp_insegs 0 20001" },
	{ 335, NOTE, "tcpext_embryonicrsts 0 10; tcp_passiveopens 0 100" },
	{ 335, NOTHING, "tcpext_embryonicrsts 0 9; tcp_passiveopens 0" },
	{ 335, NOTHING, "tcpext_embryonicrsts 0 10; tcp_passiveopens 0 101" },
#define LIMIT(port) "tcpsummary_acceptlimit{laddr=0.0.0.0,lport=" #port "} "
	{ 340, WARNING,
	  STATE("NEW_SYN_RECV") " 30;" STATE("SYN_RECV") " 2;" LIMIT(80) "64;" LIMIT(81) "5" },
	{ 340, NOTE, STATE("NEW_SYN_RECV") " 100;" STATE("SYN_RECV") " 0;" LIMIT(80) "201" },
	{ 340, NOTHING, STATE("NEW_SYN_RECV") " 31;" STATE("SYN_RECV") " 0;" LIMIT(80) "5" },
	{ 340, NOTHING, STATE("NEW_SYN_RECV") " 99;" STATE("SYN_RECV") " 0;" LIMIT(80) "199" },
	{ 345, WARNING, STATE("CLOSE_WAIT") " 50; sock_inuse 500" },
	{ 345, NOTE, STATE("CLOSE_WAIT") " 10 20; sock_inuse 100" },
	{ 345, NOTHING, STATE("CLOSE_WAIT") " 49 50; sock_inuse 50" },
	{ 345, NOTHING, STATE("CLOSE_WAIT") " 60 50; sock_inuse 50" },
	{ 345, NOTHING, STATE("CLOSE_WAIT") " 50; sock_inuse 501" },
	{ 345, NOTHING, STATE("CLOSE_WAIT") " 10 19; sock_inuse 10" },
	{ 350, WARNING, "tcpext_tcptimewaitoverflow 0 1" },
	{ 350, NOTE, "sock_tw 90; sock_tcpmaxtwbuckets 100" },
	{ 350, NOTHING, "sock_tw 89 99; sock_tcpmaxtwbuckets 100; tcpext_tcptimewaitoverflow 1" },
	{ 355, CRITICAL,
	  "tcpsummary_connections" PEER " 95; sock_portrangelow 1001; sock_portrangehigh 1100" },
	{ 355, WARNING,
	  "tcpsummary_connections" PEER " 94 99; sock_portrangelow 1001; sock_portrangehigh 1100" },
	{ 355, WARNING,
	  "tcpsummary_connections" PEER " 80; sock_portrangelow 1001; sock_portrangehigh 1100" },
	{ 355, NOTHING,
	  "tcpsummary_connections" PEER " 79; sock_portrangelow 1001; sock_portrangehigh 1100" },
	{ 360, WARNING, "udp_noports 0 100; udp_indatagrams 0 400" },
	{ 360, NOTE, "udp_noports 0 100; udp_indatagrams 0 401" },
	{ 360, NOTE, "udp_noports 0 99; udp_indatagrams 0" },
	{ 360, NOTE, "udp_noports 0 10; udp_indatagrams 0" },
	{ 360, NOTHING, "udp_noports 0 9; udp_indatagrams 0", 1 },
	{ 360, NOTHING, "udp_noports 0 10; udp_indatagrams 0", 10.5 },
	{ 360, WARNING, "udp_noports 0 10; udp_indatagrams 0", 1 },
	{ 360, WARNING, "udp_noports 0 105; udp_indatagrams 0" },
	{ 365, WARNING, "udp_sndbuferrors 0 3" },
	{ 365, NOTHING, "udp_sndbuferrors 0 2" },
	{ 370, WARNING, "ip_reasmfails 0 3; ip_reasmreqds 0 300" },
	{ 370, NOTHING, "ip_reasmfails 0 2; ip_reasmreqds 0 2" },
	{ 370, NOTHING, "ip_reasmfails 0 3; ip_reasmreqds 0 301" },
	{ 375, WARNING, "ip_outnoroutes 0 10" },
	{ 375, NOTE, "ip_outnoroutes 0 9" },
	{ 375, NOTE, "ip_outnoroutes 0 3" },
	{ 375, NOTHING, "ip_outnoroutes 0 2; ip_outnoroutes{family=ipv6} 0 50" },
	{ 378, WARNING, "ip_icmpoutdestunreachs 0 50; ip_icmpindestunreachs 0 40; udp_noports 0" },
	{ 378, NOTE, "ip_icmpoutdestunreachs 0 49; ip_icmpindestunreachs 0 49; udp_noports 0" },
	{ 378, NOTE, "ip_icmpoutdestunreachs 0 5; ip_icmpindestunreachs 0 4; udp_noports 0" },
	{ 378, NOTHING, "ip_icmpoutdestunreachs 0 4; ip_icmpindestunreachs 0 4; udp_noports 0" },
	{ 378, NOTHING, "ip_icmpoutdestunreachs 0 50; ip_icmpindestunreachs 0 39; udp_noports 0" },
	{ 378, NOTHING, "ip_icmpoutdestunreachs 0 50; ip_icmpindestunreachs 0 50; udp_noports 0 1" },
	{ 379, WARNING,
	  "!ip_neighresfailed{family=ipv4} 0 49; !ip_neighresfailed{family=ipv6} 0 1" },
	{ 379, NOTE, "!ip_neighresfailed{family=ipv4} 0 49" },
	{ 379, NOTE, "!ip_neighresfailed{family=ipv4} 0 10" },
	{ 379, NOTHING, "!ip_neighresfailed{family=ipv4} 0 9" },
	{ 380, WARNING, "ip_innoroutes 0 10" },
	{ 380, NOTHING, "ip_innoroutes 0 9" },
	{ 385, WARNING, "ip_inaddrerrors 0 10; ip_forwarding 2" },
	{ 385, NOTHING, "ip_inaddrerrors 0 9; ip_inaddrerrors{family=ipv6} 0 99; ip_forwarding 2" },
	{ 385, NOTHING, "ip_inaddrerrors 0 10; ip_forwarding 1" },
	{ 390, WARNING, "tcpext_ipreversepathfilter 0 5" },
	{ 390, NOTHING, "tcpext_ipreversepathfilter 0 4" },
	{ 395, WARNING, "ip_inhdrerrors 0 50; ip_icmpouttimeexcds 0 3" },
	{ 395, NOTE, "ip_inhdrerrors 0 49; ip_icmpouttimeexcds 0 49" },
	{ 395, NOTE, "ip_inhdrerrors 0 50; ip_icmpouttimeexcds 0 2" },
	{ 395, NOTE, "ip_inhdrerrors 0 50; ip_icmpouttimeexcds 0 50", 11 },
	{ 395, NOTE, "ip_inhdrerrors 0 10" },
	{ 395, NOTE, "ip_intruncatedpkts 0 5" },
	{ 395, NOTHING, "ip_inhdrerrors 0 9; ip_intruncatedpkts 0 4" },
	{ 400, WARNING, "ip_fragfails 0 10" },
	{ 400, WARNING, "ip_intoobigerrors{family=ipv6} 0 10" },
	{ 400, NOTHING, "ip_fragfails 0 9; ip_intoobigerrors{family=ipv6} 0 9" },
	{ 405, NOTE, "conntrack_invalid 0 10; ip_inreceives 0 1000" },
	{ 405, NOTHING, "conntrack_invalid 0 9; ip_inreceives 0 9", 1 },
	{ 405, NOTHING, "conntrack_invalid 0 10; ip_inreceives 0 10", 11 },
	{ 405, NOTHING, "conntrack_invalid 0 10; ip_inreceives 0 1001" },
	{ 410, WARNING,
	  "!softnet_timesqueeze" CPU0 " 0 500; !softnet_dropped" CPU0
	  " 0 1; !softnet_processed" CPU0 " 0 1" },
	{ 410, WARNING,
	  "!softnet_timesqueeze" CPU0 " 0 500; !softnet_processed" CPU0 " 0 1;"
	  "netdev_rxmissederrors" ETH0 " 0 1" },
	{ 410, NOTE,
	  "!softnet_timesqueeze" CPU0 " 0 500; !softnet_dropped" CPU0 " 1; !softnet_processed" CPU0
	  " 0 1;"
	  "!softnet_dropped{cpu=1} 0 1" },
	{ 410, NOTHING,
	  "!softnet_timesqueeze" CPU0 " 0 499; !softnet_dropped" CPU0
	  " 0 1; !softnet_processed" CPU0 " 0 1" },
#define CPUS(a, b, c, d)                                                                           \
	"!softnet_processed{cpu=0} 0 " #a "; !softnet_processed{cpu=1} 0 " #b                      \
	"; !softnet_processed{cpu=2} 0 " #c "; !softnet_processed{cpu=3} 0 " #d
	{ 415, NOTE, CPUS(150001, 20000, 20000, 9999) },
	{ 415, NOTHING, CPUS(150000, 20000, 20000, 10000) },
	{ 415, NOTHING, CPUS(199996, 1, 1, 1) },
	{ 415, NOTHING,
	  "!softnet_processed{cpu=0} 0 900000; !softnet_processed{cpu=1} 0 9; "
	  "!softnet_processed{cpu=2} 0 9" },
	{ 420, NOTE,
	  "netdev_rxdropped" ETH0 " 0 30; ?netdev_rxmissederrors" ETH0 " 0 5; !softnet_dropped" CPU0
	  " 0 5;"
	  "netdev_rxpackets" ETH0 " 1" },
	{ 420, NOTHING,
	  "netdev_rxdropped" ETH0 " 0 29; ?netdev_rxmissederrors" ETH0 " 0 5; !softnet_dropped" CPU0
	  " 0 5;"
	  "netdev_rxpackets" ETH0 " 1" },
	{ 420, NOTHING,
	  "netdev_rxdropped" ETH0 " 0 20; !softnet_dropped" CPU0 " 0; netdev_rxpackets" ETH0 " 1",
	  10.5 },
#define QUEUE(kind, backlog, bytes)                                                                \
	"qdisc_backlog" ROOT(kind) " " #backlog                                                    \
				   "; qdisc_bytes" ROOT(kind) " 0 " #bytes                         \
							      "; qdisc_drops" ROOT(kind) " 0"
	{ 425, NOTE, QUEUE("tbf", 501, 100000) },
	{ 425, NOTE, QUEUE("tbf", 1, 0) },
	{ 425, NOTHING, QUEUE("tbf", 500, 100000) },
	{ 425, NOTHING, QUEUE("tbf", 0, 0) },
	{ 425, NOTHING, QUEUE("clsact", 501, 100000) },
	{ 425, NOTHING,
	  "qdisc_backlog{device=eth0,kind=pfifo,handle=2:,parent=1:1} 501;"
	  "qdisc_bytes{device=eth0,kind=pfifo,handle=2:,parent=1:1} 0 100000;"
	  "qdisc_drops{device=eth0,kind=pfifo,handle=2:,parent=1:1} 0" },
	{ 430, NOTE, "fd_openfd" WEB " 500 550; tcp_activeopens 0 20; tcp_passiveopens 0 29" },
	{ 430, NOTHING, "fd_openfd" WEB " 100 149; tcp_activeopens 0; tcp_passiveopens 0" },
	{ 430, NOTHING, "fd_openfd" WEB " 501 551; tcp_activeopens 0; tcp_passiveopens 0" },
	{ 430, NOTHING, "fd_openfd" WEB " 500 550; tcp_activeopens 0 20; tcp_passiveopens 0 30" },
	{ 435, WARNING, "!io_pressurefull 0 2000000; !io_pressuresome 0 2000000" },
	{ 435, NOTE, "!io_pressurefull 0 1999999; !io_pressuresome 0 2000000" },
	{ 435, NOTHING, "!io_pressurefull 0 1999999; !io_pressuresome 0 1999999" },
	{ 440, WARNING,
	  "ipvs_incomingpackets 0 20; ipvs_connections 4; ipvs_serverweight" SERVER("masq") " 0" },
	{ 440, NOTE,
	  "ipvs_incomingpackets 0 20; ipvs_connections 4; ipvs_serverweight" SERVER("masq") " 1" },
	{ 440, NOTHING, "ipvs_incomingpackets 0 19; ipvs_connections 4" },
	{ 440, NOTHING, "ipvs_incomingpackets 0 20; ipvs_connections 4 5" },
	{ 440, NOTHING, "ipvs_incomingpackets 0 20; ipvs_connections 4", 4.9 },
	{ 440, WARNING,
	  "ipvs_incomingpackets 0 20; ipvs_connections 4; ipvs_serverweight" SERVER("masq") " 0",
	  5 },
	{ 440, NOTE,
	  "ipvs_incomingpackets 0 20; ipvs_connections 4; ipvs_serverweight" SERVER("masq") " 1",
	  5 },
	{ 440, NOTHING,
	  "ipvs_incomingpackets 0 20; ipvs_connections 4 5; ipvs_serverweight" SERVER("masq") " 0" },
	{ 445, WARNING,
	  "ipvs_incomingpackets 0 20; ipvs_outgoingpackets 4; ipvs_serverweight" SERVER(
		  "masq") " 1" },
	{ 445, NOTHING,
	  "ipvs_incomingpackets 0 20; ipvs_outgoingpackets 4; ipvs_serverweight" SERVER(
		  "route") " 1" },
	{ 445, NOTHING,
	  "ipvs_incomingpackets 0 20; ipvs_outgoingpackets 4 5; ipvs_serverweight" SERVER(
		  "masq") " 1" },
	{ 445, NOTHING,
	  "ipvs_incomingpackets 0 19; ipvs_outgoingpackets 4; ipvs_serverweight" SERVER(
		  "masq") " 1" },
	{ 445, NOTHING,
	  "ipvs_incomingpackets 0 20; ipvs_outgoingpackets 4; ipvs_serverweight" SERVER("masq") " 1",
	  4.9 },
	{ 445, WARNING,
	  "ipvs_incomingpackets 0 20; ipvs_outgoingpackets 4; ipvs_serverweight" SERVER("masq") " 1",
	  5 },
	{ 455, WARNING,
	  "tcpext_tcpmd5notfound 0 1; tcpext_tcpmd5unexpected 0 1; tcpext_tcpmd5failure 0 1; "
	  "tcpext_tcpaobad 0 1;"
	  "tcpext_tcpaorequired 0 1" },
	{ 455, NOTHING, "tcpext_tcpmd5failure 0 4; tcpext_tcpaokeynotfound 9" },
};
