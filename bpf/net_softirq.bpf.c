// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net_softirq: how long soft interrupts wait from raise to entry, and how long they run. A vector is raised, entered and
 * left on one CPU, so all state is that CPU's own. A raise may interrupt the entry of the same vector, nothing else does.
 */
#include "skoop.bpf.h"
#include "net_softirq.h"

const volatile __u32 vectors_wanted = 0; /* --vec: a bit for each */
const volatile bool only_cpus = false;
const volatile __u64 cpus_wanted[CPUS_MAX / 64] = {};
const volatile __u32 knob_by = BY_TYPE;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NVECS);
	__type(key, __u32);
	__type(value, struct softirq_state);
} vectors SEC(".maps");

static __always_inline bool cpu_wanted(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return !only_cpus || (cpu < CPUS_MAX && cpus_wanted[cpu / 64] >> cpu % 64 & 1);
}

/* NULL: not asked for. */
static __always_inline struct softirq_state *state_of(__u32 vec)
{
	if (vec >= NVECS || !(vectors_wanted >> vec & 1) || !cpu_wanted())
		return NULL;
	return bpf_map_lookup_elem(&vectors, &vec);
}

/* ---- counting ---- */

static __always_inline void add(__u32 vec, __u32 metric, __u16 hist, __u64 ns)
{
	if (ns > SLOW_NS)
		count_labelled(0, metric, vec, 1);
	if (ns > SLOW_100MS_NS)
		count_labelled(0, metric + 1, vec, 1);
	if (knob_by == BY_CPU)
		hist_add(0, hist + HIST_SCHED_CPU, bpf_get_smp_processor_id(), ns);
	else
		hist_add(0, hist, vec, ns);
}

/* ---- events ---- */

static __always_inline void read_task(struct softirq_event *e, void *ctx)
{
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	e->header.known |= KNOWN(SOFTIRQ_F_PID) | KNOWN(SOFTIRQ_F_COMM);
	/* The idle task runs none of its own accord. */
	if (!e->pid)
		e->header.known |= KNOWN(SOFTIRQ_F_CONTEXT);
	else
		bpf_get_stack(ctx, e->frames, sizeof(e->frames), 0);
}

static __always_inline void read_polls(struct softirq_event *e, const struct softirq_state *s)
{
	if (!s->polls)
		return;
	e->poll = s->poll;
	e->polls = s->polls;
	e->packets = s->packets;
	__builtin_memcpy(e->device, s->device, sizeof(e->device));
	e->header.known |= KNOWN(SOFTIRQ_F_DEVICE) | KNOWN(SOFTIRQ_F_POLL) |
			   KNOWN(SOFTIRQ_F_POLLS) | KNOWN(SOFTIRQ_F_PACKETS);
}

/* `type`: the lower one of the two events; at: when it happened. */
static __always_inline void tell(void *ctx, __u32 vec, const struct softirq_state *s, __u16 type,
				 __u64 ns, __u64 at)
{
	struct softirq_event *e;

	if (!with_events || ns <= threshold_ns || !event_reserve_stack(e))
		return;
	event_begin(&e->header, type + (ns > SLOW_100MS_NS), NETNS_MACHINE,
		    KNOWN(SOFTIRQ_F_CPU) | KNOWN(SOFTIRQ_F_LATENCY) | KNOWN(SOFTIRQ_F_TYPE));
	e->header.mono_ns = at;
	e->latency = ns;
	e->type = vec;
	read_task(e, ctx);
	read_polls(e, s);
	event_stack(e, ctx, SOFTIRQ_F_STACK);
	bpf_ringbuf_submit(e, 0);
}

/* ---- the life of a vector; interrupts are on at entry and exit, off at raise ---- */

/*
 * The kernel clears what is pending, then runs it: a raise in between belongs to the next run, and the first one takes
 * the first stamp away. What is left in `again` by a raise that one run has served with the first goes at the next raise.
 */
SEC("?tp_btf/softirq_raise")
int BPF_PROG(softirq_raise, unsigned int vec)
{
	struct softirq_state *s = state_of(vec);
	__u64 now;

	if (!s)
		return 0;
	now = bpf_ktime_get_ns();
	if (s->first) {
		s->again = now;
	} else {
		s->again = 0;
		s->first = now;
	}
	return 0;
}

SEC("?tp_btf/softirq_entry")
int BPF_PROG(softirq_entry, unsigned int vec)
{
	struct softirq_state *s = state_of(vec);
	__u64 start, now;

	if (!s)
		return 0;
	now = bpf_ktime_get_ns();
	start = s->first;
	s->first = 0;
	if (!start) {
		start = s->again;
		s->again = 0;
	}
	s->sched = start ? now - start : 0;
	s->since = now;
	s->poll = 0;
	s->polls = 0;
	s->packets = 0;
	s->entry = now;
	if (start)
		add(vec, SOFTIRQ_SCHEDSLOW, HIST_SCHED, s->sched);
	return 0;
}

/* After each poll of a device; those of threads of their own come outside of every run. */
SEC("?tp_btf/napi_poll")
int BPF_PROG(napi_poll, struct napi_struct *napi, int work)
{
	struct softirq_state *s = with_events ? state_of(VEC_NET_RX) : NULL;
	struct net_device *dev;
	__u64 now, ns;

	if (!s || !s->entry)
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - s->since;
	s->since = now;
	s->polls++;
	s->packets += work;
	if (ns < s->poll)
		return 0;
	s->poll = ns;
	dev = napi->dev;
	/* The CPU's own queue belongs to no device. */
	if (dev)
		bpf_probe_read_kernel(s->device, sizeof(s->device), dev->name);
	else
		__builtin_memcpy(s->device, "(backlog)\0\0\0\0\0\0", sizeof(s->device));
	return 0;
}

/* Both of a run's latencies are told here, where it is known whose packets it was about. */
SEC("?tp_btf/softirq_exit")
int BPF_PROG(softirq_exit, unsigned int vec)
{
	struct softirq_state *s = state_of(vec);
	__u64 entry, now, ns;

	if (!s || !s->entry)
		return 0;
	now = bpf_ktime_get_ns();
	entry = s->entry;
	ns = now - entry;
	s->entry = 0;
	add(vec, SOFTIRQ_EXCUTESLOW, HIST_EXCUTE, ns);
	tell(ctx, vec, s, SOFTIRQ_SCHED_SLOW, s->sched, entry);
	tell(ctx, vec, s, SOFTIRQ_EXCUTE_SLOW, ns, now);
	return 0;
}
