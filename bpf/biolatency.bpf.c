// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * biolatency: how long block requests take, in the queue and in the device. Each is kept by its address from where it
 * begins to where it ends or is merged into another; with --bio the same of bios at devices that make no requests of them.
 * What a tracepoint hands over is read without a helper, since its hooks are all tp_btf.
 */
#include "skoop.bpf.h"
#include "names.bpf.h"
#include "tally.bpf.h"
#include "biolatency.h"

/* include/linux/sched.h, include/linux/blk_types.h: neither uapi, neither ever changed. */
#define PF_KTHREAD 0x00200000
#define REQ_OP_MASK 0xff

#define NSEC_PER_MSEC 1000000ULL

const volatile __u32 args_block_io_start = 0;
const volatile __u32 args_block_rq_insert = 0;
const volatile __u32 args_block_rq_issue = 0;
const volatile __u32 args_block_rq_requeue = 0;
const volatile __u32 args_block_rq_merge = 0;
const volatile __u32 args_block_bio_queue = 0;
const volatile bool only_disk = false, only_op = false;
const volatile __u32 filter_op = 0;
const volatile __u64 filter_disk[BIO_DISK / 8] = {};

/* The least recently used goes first, so that what was never seen to end cannot fill it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct bio_begun);
} begun SEC(".maps");

/* From the cgroup of a pod's process to the pod's network namespace: user space fills it in. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} owners SEC(".maps");

/* ---- what a request or bio says ---- */

static __always_inline struct gendisk *disk_of_request(const struct request *rq)
{
	const struct request___rq_disk *old = (const void *)rq;
	const struct request_queue___disk *q;

	if (bpf_core_field_exists(old->rq_disk))
		return old->rq_disk;
	q = (const void *)rq->q;
	return q->disk;
}

static __always_inline struct gendisk *disk_of_bio(const struct bio *bio)
{
	const struct bio___bi_disk *old = (const void *)bio;
	const struct bio___bi_bdev *new = (const void *)bio;

	if (bpf_core_field_exists(old->bi_disk))
		return old->bi_disk;
	return new->bi_bdev->bd_disk;
}

/* 0: the kernel does not say. */
static __always_inline __u64 cgroup_of_bio(const struct bio *bio)
{
	const struct bio___cgroup *b = (const void *)bio;

	if (!bpf_core_field_exists(b->bi_blkg))
		return 0;
	return b->bi_blkg->blkcg->css.cgroup->kn->id;
}

/* ---- where it begins ---- */

static __always_inline bool is_wanted(const struct bio_begun *b)
{
	const __u64 *words = (const __u64 *)b->disk;

	if (only_op && (b->flags & REQ_OP_MASK) != filter_op)
		return false;
	for (int i = 0; only_disk && i < BIO_DISK / 8; i++)
		if (words[i] != filter_disk[i])
			return false;
	return true;
}

/* Whoever is running: where a kernel thread writes for others, the cgroup it writes for tells more. */
static __always_inline void read_owner(struct bio_begun *b, const struct bio *bio)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 *netns;

	b->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(b->comm, sizeof(b->comm));
	b->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	if (!(BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return;
	b->cgroup = bio ? cgroup_of_bio(bio) : 0;
	netns = bpf_map_lookup_elem(&owners, &b->cgroup);
	if (netns)
		b->netns = *netns;
}

static __always_inline void keep(__u64 key, struct bio_begun *b, const struct bio *bio)
{
	bool fresh;

	read_owner(b, bio);
	fresh = !bpf_map_lookup_elem(&begun, &key);
	if (bpf_map_update_elem(&begun, &key, b, BPF_ANY))
		lose(LOST_MAP, 1);
	else if (fresh)
		tally_one(TALLY_MADE);
}

static __always_inline void begin_request(const struct request *rq, bool issued)
{
	struct bio_begun b = { .since = bpf_ktime_get_ns() };
	struct gendisk *disk = disk_of_request(rq);

	b.flags = rq->cmd_flags;
	bpf_probe_read_kernel_str(b.disk, sizeof(b.disk), &disk->disk_name);
	if (!is_wanted(&b))
		return;
	b.issued = issued ? b.since : 0;
	b.sector = rq->__sector;
	b.bytes = rq->__data_len;
	keep((__u64)rq, &b, rq->bio);
}

/*
 * Of some hooks the request or bio is the only argument, or the second one behind its queue (until 5.10 and early ones
 * of it). The two ways are kept apart: older verifiers refuse an offset into the context that is computed.
 */
static __always_inline const void *last_of(const __u64 *ctx, __u32 args)
{
	__u64 value;

	if (args > 1) {
		value = ctx[1];
		asm volatile("" : "+r"(value));
	} else {
		value = ctx[0];
		asm volatile("" : "+r"(value));
	}
	return (const void *)value;
}

SEC("?tp_btf/block_io_start")
int block_io_start(__u64 *ctx)
{
	begin_request((const void *)ctx[0], false);
	return 0;
}

/* Where nothing tells of a request before it is queued. */
SEC("?tp_btf/block_rq_insert")
int block_rq_insert(__u64 *ctx)
{
	const struct request *rq = last_of(ctx, args_block_rq_insert);
	__u64 key = (__u64)rq;
	struct bio_begun *b = bpf_map_lookup_elem(&begun, &key);

	if (!b || !b->again)
		begin_request(rq, false);
	return 0;
}

SEC("?tp_btf/block_rq_issue")
int block_rq_issue(__u64 *ctx)
{
	const struct request *rq = last_of(ctx, args_block_rq_issue);
	__u64 key = (__u64)rq;
	struct bio_begun *b = bpf_map_lookup_elem(&begun, &key);

	/* Issued twice without being put back in between: it ended unseen, and another one has its address. */
	if (!args_block_io_start && (!b || (b->issued && !b->again))) {
		begin_request(rq, true);
	} else if (b) {
		b->issued = bpf_ktime_get_ns();
		b->again = 0;
		b->bytes = rq->__data_len; /* others may have been merged into it */
		b->sector = rq->__sector;
	}
	return 0;
}

SEC("?tp_btf/block_rq_requeue")
int block_rq_requeue(__u64 *ctx)
{
	__u64 key = (__u64)last_of(ctx, args_block_rq_requeue);
	struct bio_begun *b = bpf_map_lookup_elem(&begun, &key);

	if (b)
		b->again = 1;
	return 0;
}

SEC("?tp_btf/block_bio_queue")
int block_bio_queue(__u64 *ctx)
{
	const struct bio *bio = last_of(ctx, args_block_bio_queue);
	struct gendisk *disk = disk_of_bio(bio);
	struct bio_begun b = { .since = bpf_ktime_get_ns(), .is_bio = 1 };

	if (disk->queue->mq_ops)
		return 0;
	b.flags = bio->bi_opf;
	bpf_probe_read_kernel_str(b.disk, sizeof(b.disk), &disk->disk_name);
	if (!is_wanted(&b))
		return 0;
	b.sector = bio->bi_iter.bi_sector;
	b.bytes = bio->bi_iter.bi_size;
	keep((__u64)bio, &b, bio);
	return 0;
}

/* ---- where it ends ---- */

static __always_inline void drop(__u64 key)
{
	if (!bpf_map_delete_elem(&begun, &key))
		tally_one(TALLY_ENDED);
}

/* Merged into another: its data is that one's now. */
SEC("?tp_btf/block_rq_merge")
int block_rq_merge(__u64 *ctx)
{
	drop((__u64)last_of(ctx, args_block_rq_merge));
	return 0;
}

static __always_inline void count_disk(const struct bio_begun *b, __u64 now)
{
	__u64 label = label_of_name(b->disk), took = now - b->since;

	if (took > 10 * NSEC_PER_MSEC)
		count_labelled(b->netns, BIO_SLOW10MS, label, 1);
	if (took > 100 * NSEC_PER_MSEC)
		count_labelled(b->netns, BIO_SLOW100MS, label, 1);
	if (!with_hists)
		return;
	hist_add(0, BIO_LATENCY, label, took);
	if (!b->issued)
		return;
	hist_add(0, BIO_QUEUE, label, b->issued - b->since);
	hist_add(0, BIO_DEVICE, label, now - b->issued);
}

static __always_inline void send(const struct bio_begun *b, __u64 now, const struct bio *bio,
				 __s32 status)
{
	__u64 took = now - b->since;
	struct biolatency_event *e;

	if (!event_reserve(e))
		return;
	event_begin(&e->header, took > 100 * NSEC_PER_MSEC ? BIOLAT_100MS : BIOLAT_10MS, b->netns,
		    KNOWN(BIO_F_COMM) | KNOWN(BIO_F_PID) | KNOWN(BIO_F_LATENCY) |
			    KNOWN(BIO_F_DEVICE) | KNOWN(BIO_F_OP) | KNOWN(BIO_F_SECTOR) |
			    KNOWN(BIO_F_BYTES) | KNOWN(BIO_F_STATUS));
	e->latency = took;
	e->pid = b->pid;
	e->op = b->flags & REQ_OP_MASK;
	e->flags = b->flags & ~REQ_OP_MASK;
	e->sector = b->sector;
	e->bytes = b->bytes;
	e->status = status;
	e->cgroup = bio ? cgroup_of_bio(bio) : 0;
	__builtin_memcpy(e->comm, b->comm, sizeof(e->comm));
	__builtin_memcpy(e->device, b->disk, sizeof(e->device));
	e->header.known |= (e->flags ? KNOWN(BIO_F_FLAGS) : 0) |
			   (e->cgroup ? KNOWN(BIO_F_CGROUP) : 0);
	if (b->issued) {
		e->queue = b->issued - b->since;
		e->device_time = now - b->issued;
		e->header.known |= KNOWN(BIO_F_QUEUE) | KNOWN(BIO_F_DEVICE_TIME);
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void end(__u64 key, const struct bio_begun *b, const struct bio *bio,
				__s32 status)
{
	__u64 now = bpf_ktime_get_ns(), took = now - b->since;

	if (netns_wanted(b->netns)) {
		if (with_hists || took > 10 * NSEC_PER_MSEC)
			count_disk(b, now);
		if (with_events && took > threshold_ns)
			send(b, now, bio, status);
	}
	drop(key);
}

/*
 * The error number of a blk_status_t, whose values are no enum: block/blk-core.c. 5.10 gives the tracepoint the error
 * number itself, which is negative.
 */
static __always_inline __s32 error_of(__s32 status)
{
	switch (status) {
	case 1: return -95;  /* NOTSUPP: EOPNOTSUPP */
	case 2: return -110; /* TIMEOUT: ETIMEDOUT */
	case 3: return -28;  /* NOSPC: ENOSPC */
	case 4: return -67;  /* TRANSPORT: ENOLINK */
	case 5: return -121; /* TARGET: EREMOTEIO */
	case 6: return -52;  /* RESV_CONFLICT: EBADE */
	case 7: return -61;  /* MEDIUM: ENODATA */
	case 8: return -84;  /* PROTECTION: EILSEQ */
	case 9: return -12;  /* RESOURCE: ENOMEM */
	case 12: return -11; /* AGAIN: EAGAIN */
	case 13: return -16; /* DEV_RESOURCE: EBUSY */
	}
	return status > 0 ? -5 : status;
}

/* A part of it may be completed before the rest. */
SEC("?tp_btf/block_rq_complete")
int BPF_PROG(block_rq_complete, const struct request *rq, int status, unsigned int bytes)
{
	__u64 key = (__u64)rq;
	struct bio_begun *b = bpf_map_lookup_elem(&begun, &key);

	if (b && bytes >= rq->__data_len)
		end(key, b, rq->bio, error_of(status));
	return 0;
}

SEC("?tp_btf/block_bio_complete")
int BPF_PROG(block_bio_complete, const struct request_queue *q, const struct bio *bio)
{
	__u64 key = (__u64)bio;
	struct bio_begun *b = bpf_map_lookup_elem(&begun, &key);

	if (b)
		end(key, b, bio, error_of(bio->bi_status));
	return 0;
}
