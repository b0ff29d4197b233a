/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptor: all that a probe is. A tool is one `static const struct probe`, at most two functions, and
 * PROBE_MAIN. Options, help, manual, completions, tables and both exporters are made from it.
 */
#ifndef SKOOP_PROBE_H
#define SKOOP_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct kernel;
struct options;
struct out;
struct target;
struct target_finder;
struct tracing;

/* COUNTER only grows while its object lives; GAUGE is a level now. */
enum metric_type { COUNTER, GAUGE };

/* Whose value it is. A SCOPE_HOST value is the machine's: read once a round, shown with the host's labels. */
enum metric_scope { SCOPE_NETNS, SCOPE_HOST };

/* Where a metric stands. Without a flag it is in the published contract. */
enum metric_flags {
	M_EXTRA = 1,  /* ours, beyond the contract, always shown */
	M_ALL = 2,    /* beyond the contract, shown with -a, or by an option of its own */
	M_SIGNED = 4, /* the kernel prints it signed (-1: no limit) */
	M_DROP = 8,   /* growth is data lost or a connection refused: what --drops shows */
	M_SELF = 32, /* about the probe itself: in tables only once it has moved; last in its list */
	M_GAPS = 64, /* only the largest of a round show: one that was not there may have been smaller */
	M_U32 = 16 /* the kernel counts it in 32 bits, or it is a sum of such: it goes on where they wrap */
};

/* What a number says and what to do about it; NULL where there is nothing to say. */
struct advice {
	const char *means;   /* exactly what is counted */
	const char *normal;  /* what a healthy system shows */
	const char *causes;  /* likeliest first */
	const char *confirm; /* a command, or where to look */
	const char *remedy;
};

struct metric {
	const char *name; /* after kubeskoop_<prefix>_ */
	const char *key;  /* where the kernel has it: "Group:Key", a column, an attribute */
	enum metric_type type;
	const char *unit; /* "packets", "bytes", "ms"… */
	const char *help; /* the contract's words, or ours for an extra */
	enum metric_scope scope;
	unsigned int flags;
	struct advice advice;
	/*
	 * Of a counter of the kernel half whose key has a `label`: that label's name, and the text of its value (NULL:
	 * as the kernel half's map `names` has it). Its values from 0 to `labels` - 1 are there from the first round
	 * on, others as they occur.
	 */
	const char *label;
	void (*label_text)(const struct kernel *k, uint64_t value, struct buf *b);
	unsigned int labels;
};

/* How values are spread: shown with -D, counted in the kernel half (hist_add). Its index is what they share. */
struct hist {
	const char *name; /* "latency", "queue": skoop_<probe>_<name>_seconds in an exposition */
	const char *help;
	enum metric_scope scope;
	const char *label; /* what there is one histogram of: "device", "cpu"; NULL: of each target. As of a metric: */
	void (*label_text)(const struct kernel *k, uint64_t value, struct buf *b);
};

/* A further label of one sample, beside the target's three; a list ends with a NULL name. */
struct label {
	const char *name, *value;
};

/*
 * Events, for probes that trace the kernel. The record the kernel half sends starts with struct event_header
 * (bpf/event.h); its `type` indexes the probe's events[], bit i of its `known` says that fields[i] holds a value:
 * a field whose bit is clear is unknown, and shown so.
 */
struct event {
	const char *name; /* the contract's, byte for byte */
	const char *help;
	struct advice advice;
};

enum field_type {
	F_UINT,   /* unsigned, size 1, 2, 4 or 8 */
	F_INT,    /* signed, size 1, 2, 4 or 8 */
	F_NS,     /* a duration in ns: key <name>_ns in JSON, a unit in tables */
	F_STR,    /* char[], NUL-terminated or full */
	F_PROTO,  /* u8, an IP protocol's name */
	F_ADDR,   /* 16 bytes in network order; v4-mapped is shown as IPv4 */
	F_PORT,   /* u16, host order */
	F_STATE,  /* u8, a TCP state's name */
	F_ENUM,   /* unsigned, size 1, 2, 4 or 8, named by `names` */
	F_SYMBOL, /* u64, a kernel address: symbol+offset [module] */
	F_STAGES, /* u64[] of ns, named by the field's `stages`, ~0 = stage without a stamp */
	F_STACK   /* u64[], kernel addresses ended by 0; shown with -K */
};

/* Of an F_STAGES: a stage that is not on this one's way, and not shown. */
#define STAGE_ELSEWHERE (~0ULL - 1)

struct field {
	const char *name;
	enum field_type type;
	uint16_t offset, size;
	const char *help;          /* what it says */
	bool detail;               /* too much for a line of a table: there with -v only */
	bool table_only;           /* JSON and TSV have it anyway, for every event (cpu) */
	const char *const *stages; /* F_STAGES: names in path order, NULL-terminated */
	/* F_ENUM: NULL where the value has no name. k: the running kernel, NULL where it was not asked. */
	const char *(*names)(const struct kernel *k, uint64_t value);
};
#define FIELD(record, member, type_)                                                               \
	.name = #member, .type = (type_), .offset = offsetof(struct record, member),               \
	.size = sizeof(((struct record *)0)->member)

/*
 * A value of an enum field that is worth explaining: why a packet was dropped, why a connection was reset. Names as the
 * kernel has them, without the prefix that all of them share.
 */
struct reason {
	const char *name;
	const char *kernels; /* which kernels have it, where not all with such an enum: "6.12 and later" */
	struct advice advice;
};

/*
 * An option of the probe's own; the value lands in *value, and in the kernel half's constant `knob_<name>`
 * (dashes as underscores) where there is one.
 */
enum knob_type {
	KNOB_FLAG,     /* bool */
	KNOB_NUMBER,   /* uint64_t in [min, max] */
	KNOB_DURATION, /* uint64_t, ns */
	KNOB_STRING,   /* const char * */
	KNOB_WORD,     /* unsigned int, index into words[] */
	KNOB_CIDR      /* const char *, checked to be ADDRESS[/BITS] */
};

struct knob {
	int key;          /* the letter, or 0 for a long option only */
	const char *name; /* the long option */
	const char *arg;  /* NULL for KNOB_FLAG */
	const char *help;
	enum knob_type type;
	void *value;
	uint64_t min, max;
	const char *const *words; /* KNOB_WORD: NULL-terminated */
};

struct probe {
	const char *name;     /* skoop-<name> */
	const char *prefix;   /* kubeskoop_<prefix>_, NULL: the name */
	const char *summary;  /* the contract's description */
	const char *question; /* what it answers: the first line of --help */
	const char *source;   /* procfs, netlink, eBPF */
	const char *overhead; /* Low, Medium, High */
	const char *needs;    /* capabilities and what for; NULL: none */
	uint64_t caps; /* their CAP_TO_MASK() bits: which one to name when the kernel refuses */
	const char *absent; /* said, with exit 4, when the kernel has none of it: "ip_vs is not loaded" */
	const struct metric *metrics; /* in the contract's order, ended by {} */
	const struct hist *hists;     /* of ns, all of them */
	const struct event *events;
	const struct field *fields;
	const struct reason *reasons;
	/* Further labels of its metrics in the order of their columns, ended by NULL; NULL: as the rows have them. */
	const char *const *labels;
	const struct knob *knobs;
	uint64_t threshold; /* ns, from which its events are printed without -t; 0: they are no matter of time */
	const bool *counting; /* a knob's: set, it shows no events but what they come to, at the end or each INTERVAL */
	const struct tracing *
		tracing; /* the kernel half (libcommon/bpf.h), together with .run = bpf_probe_run */

	/*
	 * Checks what a knob's type cannot (options that exclude each other). Returns 0, or -EINVAL after one
	 * msg_error: exit 2.
	 */
	int (*check)(const struct options *opt);
	/*
	 * Reads one target, one call a target and round, and hands the values to out_metric().
	 * 0; -EPERM or -EACCES: refused; -ENOENT: the kernel does not offer it here; -ESRCH: the target is gone;
	 * any other -errno: failed, after one msg_error that names the noun.
	 */
	int (*collect)(const struct target *t, struct out *o);
	/* The machine's own values, once a round; `host` is the host's target, or the own one where that is unknown. */
	int (*collect_host)(const struct target *host, struct out *o);
	/* A probe that traces: takes over after options and targets are ready, returns an exit code. */
	int (*run)(const struct probe *p, const struct options *opt, struct target_finder *f,
		   struct out *o);
};

int probe_main(int argc, char **argv, const struct probe *p);
#define PROBE_MAIN(p)                                                                              \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return probe_main(argc, argv, &(p));                                               \
	}

static inline const char *probe_prefix(const struct probe *p)
{
	return p->prefix ? p->prefix : p->name;
}

/* Exit codes of every tool. Several apply: EXIT_USAGE first, then 1, 3, 4, 5, 10, 0. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PRIVILEGE = 3,
	EXIT_UNSUPPORTED = 4,
	EXIT_NO_TARGET = 5,
	EXIT_OBSERVED = 10
};

#endif
