/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's types as far as they are touched here: every member named is one the probes depend on. Offsets come from
 * the running kernel's BTF when a program is loaded; names and sizes are held against it by tests/netns/test_btf.py.
 * A type that differs between kernels has its older shape in compat.bpf.h.
 */
#ifndef SKOOP_VMLINUX_H
#define SKOOP_VMLINUX_H

/* A full dump of a kernel's types can take this file's place: make VMLINUX_H=… */
#ifdef SKOOP_VMLINUX_DUMP
#include SKOOP_VMLINUX_DUMP
#else

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <asm/ptrace.h>
#include <linux/udp.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

/* A kind of queueing discipline. */
struct Qdisc_ops {
	char id[16];
};

struct qdisc_skb_head {
	__u32 qlen;
};

struct Qdisc {
	void *enqueue; /* NULL: packets pass it by */
	unsigned int flags;
	const struct Qdisc_ops *ops;
	struct qdisc_skb_head q;
};

struct netdev_queue {
	struct Qdisc *qdisc;
};

struct net_device {
	char name[16];
	int ifindex;
	unsigned short type;
	possible_net_t nd_net;
	struct netdev_queue *_tx;
};

struct napi_struct {
	struct net_device *dev; /* NULL: a CPU's own queue */
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	union {
		unsigned long skc_flags;
		struct sock *skc_listener; /* of a request */
	};
};

typedef struct {
	int owned;
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	u16 sk_protocol;
	u8 sk_shutdown;
	u32 sk_ack_backlog; /* of a listener: who waits to be accepted */
	u32 sk_max_ack_backlog;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_rto;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 rcv_nxt;
	u32 copied_seq; /* up to where it was read */
	u32 snd_nxt;
	u32 snd_una;
	u32 snd_wnd;
	u32 write_seq;
	u32 mss_cache;
	u64 delivered_mstamp; /* when data was last acknowledged, µs */
	u8 chrono_type;       /* bits on some kernels, as the next two on all */
	u8 is_cwnd_limited : 1;
	u8 nonagle : 4;
	u32 snd_cwnd;
	u32 snd_ssthresh;
	u32 srtt_us;
	u32 packets_out;
	u32 sacked_out;
	u32 lost_out;
	u32 retrans_out;
	u32 undo_marker;
};

struct request_sock {
	struct sock_common __req_common;
	u8 num_retrans;
};

struct tcp_request_sock {
	u32 snt_isn;
};

/* In sk_buff.cb of a packet that TCP has queued. */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
	union {
		struct {
			u16 tcp_gso_segs;
			u16 tcp_gso_size;
		};
	};
	__u16 tcp_flags; /* a byte on older kernels: read with BPF_CORE_READ_BITFIELD_PROBED */
	__u8 sacked;     /* bit fields on some */
	__u32 ack_seq;
};

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff {
	struct sk_buff *next;
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
	unsigned long _skb_refdst;
	unsigned int len;
	unsigned int data_len;
	__u8 encapsulation : 1;
	__u8 tc_skip_classify : 1;
	__u32 mark;
	__u16 queue_mapping;
	__be16 vlan_proto;
	__u16 vlan_tci;
	__u16 inner_transport_header;
	__be16 protocol;
	__u16 transport_header;
	__u16 network_header;
	__u16 mac_header;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
	refcount_t users;
};

struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
	unsigned int gso_type;
};

struct nf_hook_state {
	__u8 hook; /* wider on older kernels: read with BPF_CORE_READ_BITFIELD_PROBED */
	__u8 pf;
};

struct flowi_common {
	__u8 flowic_proto;
};

union flowi_uli {
	struct {
		__be16 dport;
		__be16 sport;
	} ports;
};

struct flowi6 {
	struct flowi_common __fl_common;
	struct in6_addr daddr;
	struct in6_addr saddr;
	union flowi_uli uli;
};

struct rtable {
	__u16 rt_type;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	unsigned int flags;
	struct nsproxy *nsproxy; /* NULL while it ends */
};

struct gendisk {
	char disk_name[32];
	struct request_queue *queue;
};

struct request_queue {
	const struct blk_mq_ops *mq_ops; /* NULL: it takes bios, and makes no requests of them */
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len; /* what has not been completed */
	u64 __sector;
	struct bio *bio;
};

struct bvec_iter {
	u64 bi_sector;
	unsigned int bi_size;
};

struct bio {
	unsigned int bi_opf;
	u8 bi_status;
	struct bvec_iter bi_iter;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct rt6_info {
	u32 rt6i_flags;
};

#pragma clang attribute pop

#endif

#endif
