// SPDX-License-Identifier: GPL-2.0-or-later
/* What the probes that trace tell during a snapshot, counted: so many of each that memory has its bound. */
#include "who.h"

#include <errno.h>
#include <string.h>

#include "libcommon/arena.h"
#include "libcommon/array.h"
#include "libcommon/json.h"

/*
 * So many of a kind are told apart by both ports; of what comes later, as many without the larger one, which is the client's
 * as a rule; what comes then is counted without its addresses.
 */
#define ENTRIES_MAX ((size_t)8192)
/* And so many in all, whatever a probe says. */
#define ENTRIES_HARD (4 * ENTRIES_MAX)

struct who {
	struct arena arena;
	struct dict texts;    /* each text once */
	struct dict by_key;   /* struct who_key to struct who_entry */
	struct who_entry **v; /* in order of arrival */
	size_t n, size, of_kind[WHO_KINDS];
};

struct who *who_open(void)
{
	struct who *w = calloc(1, sizeof(*w));

	if (w)
		w->texts.arena = w->by_key.arena = &w->arena;
	return w;
}

void who_close(struct who *w)
{
	if (!w)
		return;
	arena_free(&w->arena);
	free(w->v);
	free(w);
}

const struct who_entry *who_entry(const struct who *w, size_t i)
{
	return i < w->n ? w->v[i] : NULL;
}

/* ---- one line ---- */

/* As it is read: the texts are in `text`, in the order of `told_keys`. */
enum { PROTOCOL, SADDR, DADDR, TYPE, EVENT, REASON, LOCATION, STATE, DEVICE, TEXTS };
static const char *const told_keys[TEXTS] = {
	[PROTOCOL] = "protocol", [SADDR] = "saddr", [DADDR] = "daddr",
	[TYPE] = "type",         [EVENT] = "event", [REASON] = "reason",
	[LOCATION] = "location", [STATE] = "state", [DEVICE] = "device",
};
#define TEXT_MAX 96

struct told {
	bool event, count; /* which kind of record it is; neither: none of interest */
	char text[TEXTS][TEXT_MAX];
	uint64_t netns, number;
	uint32_t sport, dport;
	bool refused;
};

/* A port is a number in events and a text in labels; "-" and null: unknown. */
static uint32_t told_port(const struct json *j)
{
	uint64_t port;

	return parse_u64(j->text, 0, UINT16_MAX, &port) ? PORT_NONE : (uint32_t)port;
}

static void told_number(struct told *t, const struct json *j, const char *key)
{
	uint64_t value;

	if (!strcmp(key, "err"))
		t->refused = j->text[0] == '-';
	else if (json_u64(j, &value))
		return;
	else if (!strcmp(key, "netns"))
		t->netns = value;
	else if (!strcmp(key, t->count ? "value" : "segs"))
		t->number = value;
}

static void told_value(struct told *t, const struct json *j, const char *key)
{
	bool text = j->token == JSON_STRING;

	if (!strcmp(key, "sport")) {
		t->sport = told_port(j);
	} else if (!strcmp(key, "dport")) {
		t->dport = told_port(j);
	} else if (!strcmp(key, "kind") && text) {
		t->event = json_is(j, "event");
	} else if (!strcmp(key, "metric") && text) {
		t->count = json_is(j, "kubeskoop_packetloss_count");
	} else if (j->token == JSON_NUMBER) {
		told_number(t, j, key);
	} else if (text && strcmp(j->text, "-")) {
		for (size_t i = 0; i < TEXTS; i++)
			if (!strcmp(key, told_keys[i]))
				snprintf(t->text[i], TEXT_MAX, "%.*s", TEXT_MAX - 1, j->text);
	}
}

/* Labels are read as if they stood beside the other told_keys: none has the name of one. */
static int told_object(struct told *t, struct json *j)
{
	char key[32];

	while (json_next(j) == JSON_KEY) {
		snprintf(key, sizeof(key), "%.*s", (int)sizeof(key) - 1, j->text);
		switch (json_next(j)) {
		case JSON_OBJECT:
			if (strcmp(key, "labels") ? !json_skip(j) : told_object(t, j) != 0)
				return -EBADMSG;
			break;
		case JSON_ARRAY:
			if (!json_skip(j))
				return -EBADMSG;
			break;
		case JSON_STRING:
		case JSON_NUMBER: told_value(t, j, key); break;
		case JSON_TRUE:
		case JSON_FALSE:
		case JSON_NULL: break;
		default: return -EBADMSG;
		}
	}
	return j->token == JSON_OBJECT_END ? 0 : -EBADMSG;
}

static int told_read(struct told *t, const char *line, size_t len)
{
	struct json j;

	*t = (struct told){ .number = 1, .sport = PORT_NONE, .dport = PORT_NONE };
	json_init(&j, line, len);
	if (json_next(&j) != JSON_OBJECT || told_object(t, &j))
		return -EBADMSG;
	return json_next(&j) == JSON_END ? 0 : -EBADMSG;
}

/* ---- counting ---- */

/* What tells entries apart; texts by their address, as each is kept once. */
struct who_key {
	enum who_kind kind;
	uint32_t sport, dport, refused;
	uint64_t netns;
	const char *text[TEXTS];
};

static const char *text_keep(struct who *w, const char *text)
{
	void **at = dict_at(&w->texts, text, strlen(text) + 1);

	if (at && !*at)
		*at = arena_str(&w->arena, text, strlen(text));
	return at ? *at : NULL;
}

static void key_begin(struct who_key *k, enum who_kind kind, const struct told *t)
{
	memset(k, 0, sizeof(*k));
	k->kind = kind;
	k->netns = t->netns;
	k->refused = t->refused;
	k->sport = t->sport;
	k->dport = t->dport;
}

/* The entry that is there; NULL: there is none. Nothing is kept of what is only asked for. */
static struct who_entry *entry_find(struct who *w, enum who_kind kind, const struct told *t)
{
	struct who_key k;

	key_begin(&k, kind, t);
	for (size_t i = 0; i < TEXTS; i++) {
		k.text[i] = dict_get(&w->texts, t->text[i], strlen(t->text[i]) + 1);
		if (!k.text[i])
			return NULL;
	}
	return dict_get(&w->by_key, &k, sizeof(k));
}

static struct who_entry *entry_add(struct who *w, const struct who_key *k)
{
	struct who_entry *e = arena_alloc(&w->arena, sizeof(*e));

	if (!e || array_grow(&w->v, &w->size, w->n + 1))
		return NULL;
	*e = (struct who_entry){
		.kind = k->kind,
		.netns = k->netns,
		.protocol = k->text[PROTOCOL],
		.saddr = k->text[SADDR],
		.daddr = k->text[DADDR],
		.sport = k->sport,
		.dport = k->dport,
		.type = *k->text[TYPE] ? k->text[TYPE] : k->text[EVENT],
		.reason = k->text[REASON],
		.location = k->text[LOCATION],
		.state = k->text[STATE],
		.device = k->text[DEVICE],
		.refused = k->refused,
	};
	w->v[w->n++] = e;
	w->of_kind[k->kind]++;
	return e;
}

/* 0 or -ENOMEM. */
static int entry_make(struct who *w, enum who_kind kind, const struct told *t)
{
	struct who_key k;
	void **at;

	key_begin(&k, kind, t);
	for (size_t i = 0; i < TEXTS; i++) {
		k.text[i] = text_keep(w, t->text[i]);
		if (!k.text[i])
			return -ENOMEM;
	}
	at = dict_at(&w->by_key, &k, sizeof(k));
	if (at)
		*at = entry_add(w, &k);
	if (!at || !*at)
		return -ENOMEM;
	((struct who_entry *)*at)->count = t->number;
	return 0;
}

static int count(struct who *w, enum who_kind kind, struct told *t)
{
	struct who_entry *e = entry_find(w, kind, t);

	if (!e && w->of_kind[kind] >= ENTRIES_MAX) {
		*(t->sport > t->dport ? &t->sport : &t->dport) = PORT_NONE;
		e = entry_find(w, kind, t);
	}
	if (!e && w->of_kind[kind] >= 2 * ENTRIES_MAX) {
		t->sport = t->dport = PORT_NONE;
		*t->text[SADDR] = *t->text[DADDR] = '\0';
		e = entry_find(w, kind, t);
	}
	if (e)
		e->count += t->number;
	/* Where even causes are endless, no probe of ours is speaking. */
	return e || w->n >= ENTRIES_HARD ? 0 : entry_make(w, kind, t);
}

int who_feed(struct who *w, enum who_kind kind, const char *line, size_t len)
{
	struct told t;
	int err = told_read(&t, line, len);

	if (err || !(t.event || t.count) || !t.number)
		return err;
	/* Where in a function it was does not matter, nor do parts the compiler has moved. */
	t.text[LOCATION][strcspn(t.text[LOCATION], "+.")] = '\0';
	if (t.count)
		*t.text[TYPE] = '\0'; /* the metric's */
	return count(w, kind, &t);
}
