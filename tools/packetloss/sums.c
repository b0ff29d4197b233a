// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel half counted, as metrics: each loss once under its reason, and with -C by what the user chose. */
#include "packetloss.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bpf/packetloss.h"
#include "libcommon/bpf.h"
#include "libcommon/format.h"
#include "libcommon/kernel.h"
#include "libcommon/out.h"
#include "libcommon/util.h"

static void put_reason(const struct kernel *k, uint32_t reason, struct buf *b)
{
	const char *name = reason == REASON_UNKNOWN ? "unknown" : reason_name(k, reason);

	if (name)
		buf_str(b, name);
	else
		buf_u64(b, reason);
}

static void put_place(const char *name, uint64_t location, struct buf *b)
{
	if (name)
		buf_str(b, name);
	else
		buf_printf(b, "0x%" PRIx64, location);
}

void reason_label(const struct kernel *k, uint64_t value, struct buf *b)
{
	put_reason(k, (uint32_t)value, b);
}

struct wanted {
	uint32_t by;
	bool by_place; /* this kernel gives no reasons */
};

/* A loss is counted once; the totals are made of that. */
static int add_losses(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	const struct counter_key *c = key;
	const struct wanted *w = arg;
	struct kernel *k = bpf_run_kernel(r);
	struct buf b = { 0 };
	struct label label[] = { { w->by_place ? "location" : "reason", NULL }, {} };
	int err = bpf_run_add(r, LOSS_TOTAL, c->netns, NULL, value);

	if (!err && c->metric == LOSS_NETFILTER)
		err = bpf_run_add(r, LOSS_NETFILTER, c->netns, NULL, value);
	if (err || w->by)
		return err;
	if (w->by_place)
		put_place(kernel_function(k, c->label), c->label, &b);
	else
		reason_label(k, c->label, &b);
	label[0].value = b.data;
	err = b.failed ? -ENOMEM : bpf_run_add(r, LOSS_BYREASON, c->netns, label, value);
	buf_free(&b);
	return err;
}

const char *verdict_name(const struct kernel *k, uint64_t value)
{
	static const char *const verdicts[] = {
		[VERDICT_LOSS] = "loss", [VERDICT_BENIGN] = "benign", [VERDICT_NOT_IP] = "not-ip"
	};

	(void)k;
	return value < ARRAY_SIZE(verdicts) ? verdicts[value] : NULL;
}

static const char *const by_names[] = { "reason", "location", "protocol", "saddr",  "sport",
					"daddr",  "dport",    "device",   "verdict" };

/* The text of the key's part that stands at bit i of BY_*. */
static void key_text(struct kernel *k, const struct loss_key *key, size_t i, struct buf *b)
{
	const char *protocol = protocol_name(key->tuple.protocol);

	switch (1U << i) {
	case BY_REASON: put_reason(k, key->reason, b); break;
	case BY_LOCATION: put_place(kernel_symbol(k, key->location), key->location, b); break;
	case BY_PROTOCOL:
		if (protocol)
			buf_str(b, protocol);
		else
			buf_u64(b, key->tuple.protocol);
		break;
	case BY_SADDR: buf_address(b, key->tuple.saddr); break;
	case BY_SPORT: buf_u64(b, key->tuple.sport); break;
	case BY_DADDR: buf_address(b, key->tuple.daddr); break;
	case BY_DPORT: buf_u64(b, key->tuple.dport); break;
	case BY_DEVICE: buf_add(b, key->device, strnlen(key->device, sizeof(key->device))); break;
	case BY_VERDICT: buf_str(b, verdict_name(k, key->verdict)); break;
	}
}

static int add_counted(struct bpf_run *r, const void *key, uint64_t value, void *arg)
{
	struct label labels[ARRAY_SIZE(by_names) + 1] = { 0 };
	size_t at[ARRAY_SIZE(by_names)], n = 0;
	const struct loss_key *lk = key;
	const struct wanted *w = arg;
	struct buf b = { 0 };
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(by_names); i++) {
		if (!(w->by >> i & 1))
			continue;
		labels[n].name = by_names[i];
		at[n++] = b.len;
		if (lk->known >> i & 1)
			key_text(bpf_run_kernel(r), lk, i, &b);
		else
			buf_str(&b, "-");
		buf_add(&b, "", 1);
	}
	for (size_t i = 0; i < n && !b.failed; i++)
		labels[i].value = b.data + at[i];
	err = b.failed ? -ENOMEM : bpf_run_add(r, LOSS_COUNT, lk->netns, labels, value);
	buf_free(&b);
	return err;
}

int sums_parse(const char *list, uint32_t *by)
{
	auto_free char *copy = strdup(list);
	char *rest = copy;

	*by = 0;
	for (const char *word; rest && (word = strsep(&rest, ","));) {
		size_t i = 0;

		while (i < ARRAY_SIZE(by_names) && strcmp(by_names[i], word))
			i++;
		if (i < ARRAY_SIZE(by_names)) {
			*by |= 1U << i;
		} else if (!strcmp(word, "tuple")) {
			*by |= BY_TUPLE;
		} else {
			msg_error("--by takes a list of reason, location, tuple, protocol, saddr, sport, daddr, dport and "
				  "device, not '%s'",
				  word);
			return -EINVAL;
		}
	}
	return 0;
}

int sums_collect(struct bpf_run *r, uint32_t by, uint64_t top)
{
	struct wanted w = { by, !has_reasons(bpf_run_kernel(r)) };
	int err = bpf_run_add_zeros(r, LOSS_TOTAL, NULL);

	if (!err)
		err = bpf_run_add_zeros(r, LOSS_NETFILTER, NULL);
	if (!err)
		err = bpf_run_each(r, "counters", add_losses, &w);
	if (!err && by) {
		bpf_run_rank(r, LOSS_COUNT, top);
		err = bpf_run_each(r, "losses", add_counted, &w);
	}
	return err;
}
