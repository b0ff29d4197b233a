// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtcmdlatency: how long virtio-net devices take for the commands of their control queue. No tracepoint tells of them:
 * the function that sends one and waits is watched at both ends. Until 6.12 that is virtnet_send_command().
 */
#include "skoop.bpf.h"
#include "names.bpf.h"
#include "virtcmdlatency.h"

#define NSEC_PER_MSEC 1000000ULL
#define NETDEV_ALIGN 32

/* By thread: while it waits it may move to another CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct virtcmd_begun);
} commands SEC(".maps");

/*
 * The driver's own part lies behind its device (netdev_priv), wherever a kernel has its types: those of a module are
 * not always known.
 */
static __always_inline void read_device(struct virtcmd_begun *b, __u64 private)
{
	__u64 size = bpf_core_type_size(struct net_device);
	const struct net_device *dev;

	dev = (const void *)(private - (size + NETDEV_ALIGN - 1) / NETDEV_ALIGN * NETDEV_ALIGN);
	BPF_CORE_READ_STR_INTO(&b->device, dev, name);
	b->netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
}

static __always_inline int begin(__u64 private, __u8 class, __u8 command)
{
	struct virtcmd_begun b = { .class = class, .command = class << 8 | command };
	__u64 thread = bpf_get_current_pid_tgid();

	read_device(&b, private);
	bpf_get_current_comm(b.comm, sizeof(b.comm));
	b.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&commands, &thread, &b, BPF_ANY))
		lose(LOST_MAP, 1);
	return 0;
}

static __always_inline void send(const struct virtcmd_begun *b, __u64 took, bool ok)
{
	struct virtcmdlatency_event *e;

	if (!event_reserve(e))
		return;
	event_begin(&e->header, 0, b->netns,
		    KNOWN(VIRTCMD_F_CPU) | KNOWN(VIRTCMD_F_PID) | KNOWN(VIRTCMD_F_LATENCY) |
			    KNOWN(VIRTCMD_F_COMM) | KNOWN(VIRTCMD_F_DEVICE) |
			    KNOWN(VIRTCMD_F_CLASS) | KNOWN(VIRTCMD_F_COMMAND) |
			    KNOWN(VIRTCMD_F_RESULT));
	e->latency = took;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->class = b->class;
	e->command = b->command;
	e->result = ok;
	__builtin_memcpy(e->comm, b->comm, sizeof(e->comm));
	__builtin_memcpy(e->device, b->device, sizeof(e->device));
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int end(bool ok)
{
	__u64 now = bpf_ktime_get_ns(), thread = bpf_get_current_pid_tgid(), took;
	struct virtcmd_begun *b = bpf_map_lookup_elem(&commands, &thread);

	if (!b)
		return 0;
	took = now - b->since;
	if (took > 10 * NSEC_PER_MSEC)
		count(0, VIRTCMD_LATENCY, 1);
	if (took > 100 * NSEC_PER_MSEC)
		count(0, VIRTCMD_LATENCY100MS, 1);
	if (with_hists)
		hist_add(b->netns, 0, label_of_name(b->device), took);
	if (with_events && took > threshold_ns && netns_wanted(b->netns))
		send(b, took, ok);
	bpf_map_delete_elem(&commands, &thread);
	return 0;
}

/* Of the function with the answer's place as a fifth argument, and of the older one without. */

SEC("?fentry/virtnet_send_command_reply")
int BPF_PROG(reply_fentry, void *private, __u8 class, __u8 command)
{
	return begin((__u64) private, class, command);
}

SEC("?fentry/virtnet_send_command")
int BPF_PROG(command_fentry, void *private, __u8 class, __u8 command)
{
	return begin((__u64) private, class, command);
}

SEC("?kprobe/virtnet_send_command_reply")
int BPF_KPROBE(reply_kprobe, void *private, __u64 class, __u64 command)
{
	return begin((__u64) private, class, command);
}

SEC("?kprobe/virtnet_send_command")
int BPF_KPROBE(command_kprobe, void *private, __u64 class, __u64 command)
{
	return begin((__u64) private, class, command);
}

SEC("?fexit/virtnet_send_command_reply")
int reply_fexit(__u64 *ctx)
{
	return end((__u8)ctx[5]);
}

SEC("?fexit/virtnet_send_command")
int command_fexit(__u64 *ctx)
{
	return end((__u8)ctx[4]);
}

SEC("?kretprobe/virtnet_send_command_reply")
int BPF_KRETPROBE(reply_kretprobe, __u64 ok)
{
	return end((__u8)ok);
}

SEC("?kretprobe/virtnet_send_command")
int BPF_KRETPROBE(command_kretprobe, __u64 ok)
{
	return end((__u8)ok);
}
