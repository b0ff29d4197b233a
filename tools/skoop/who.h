/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who was dropped, reset or sent again during a snapshot: what the probes that trace tell of each packet or connection,
 * counted by namespace, addresses and cause; and which of it belongs to which finding.
 */
#ifndef SKOOP_WHO_H
#define SKOOP_WHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "findings.h"

/* Packets dropped, RSTs sent or received, TCP segments sent again. */
enum who_kind { WHO_DROPS, WHO_RESETS, WHO_RESENDS, WHO_KINDS };

#define PORT_NONE UINT32_MAX

/* Texts that are not known are "". */
struct who_entry {
	enum who_kind kind;
	uint64_t netns;
	const char *protocol, *saddr, *daddr; /* saddr "": one of those that there was no room for */
	uint32_t sport, dport;                /* PORT_NONE: unknown */
	const char *type;                     /* the event's name, or the type of a resend */
	const char *reason, *location, *state, *device;
	bool refused; /* of a resend: it did not leave this host */
	uint64_t count;
};

struct who;
struct who *who_open(void); /* NULL: out of memory */
void who_close(struct who *w);
/*
 * Takes a line of a probe's -o json: an event, or a count of packetloss -C. Others are passed over. 0; -EBADMSG: not such a
 * record; -ENOMEM.
 */
int who_feed(struct who *w, enum who_kind kind, const char *line, size_t len);
/* The i-th that was told apart, NULL: there are no more. */
const struct who_entry *who_entry(const struct who *w, size_t i);

/* ---- who_rules.c ---- */

/* Whether it belongs to the finding. */
bool who_belongs(const struct finding *f, const struct who_entry *e);
/* Whether any could: the finding's id has a rule. For `skoop explain`: the probes that tell, NULL: none. */
const char *who_probes(const char *id);
/* Whether the firewall or the connection tracking threw it away. */
bool who_filtered(const struct who_entry *e);
/* Drops of the filter in this namespace that hit data which TCP had to send again: of live connections. */
uint64_t who_live_drops(const struct who *w, uint64_t netns);

/* ---- who_list.c ---- */

#define WHO_SHOWN 3
#define WHO_WHATS 3

/* What happened, and how often. */
struct who_what {
	char *text;
	uint64_t count;
};

/* Those of a finding that have all in common but a port that differs from one to the next. */
struct who_group {
	const char *protocol, *saddr, *daddr;
	uint32_t sport, dport; /* PORT_NONE: several, or none */
	uint64_t count;
	struct who_what *whats; /* most frequent first */
	size_t nwhats, whats_size;
	/* For resends: what dropped most of them on this machine, and where; count 0: nothing was seen to. */
	struct who_what dropped;
	bool filtered;            /* by the firewall or the connection tracking */
	const struct subject *at; /* NULL: a namespace without samples */
};

struct who_list {
	struct who_group *v; /* most frequent first, WHO_SHOWN at most */
	size_t n;
	uint64_t total, others; /* of all that belong to the finding; of those that are not in v */
};

/* 0 or -ENOMEM; free it in any case. w NULL: nobody is known. */
int who_list(const struct who *w, const struct finding *f, struct who_list *list);
void who_list_free(struct who_list *list);
/*
 * Puts findings about what was sent again below the filter-drop that has dropped it, be it in another namespace: most of it
 * was seen to. 0 or -ENOMEM.
 */
int who_fold(const struct who *w, struct findings *f);
/* ---- who_tell.c ---- */

/* One group in a line. */
void who_say(const struct who_list *list, const struct who_group *g, struct buf *b);
/* Adds ,"who":[…],"who_total":N,"who_others":N. */
void who_json(const struct who_list *list, struct buf *b);
/* "namespace/pod", "host network"…: how the report names a subject. */
void subject_say(const struct subject *s, struct buf *b);

#endif
