// SPDX-License-Identifier: GPL-2.0-or-later
/* How one value is spelled: quoting for each format, numbers and times, names of kernel numbers. */
#include "format.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "probe.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Lead byte → length, and what the second byte may be (overlong forms and surrogates are cut off there). */
static size_t utf8_lead(unsigned char c, unsigned char *min, unsigned char *max)
{
	*min = 0x80;
	*max = 0xbf;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef) {
		if (c == 0xe0)
			*min = 0xa0;
		if (c == 0xed)
			*max = 0x9f;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (c == 0xf0)
			*min = 0x90;
		if (c == 0xf4)
			*max = 0x8f;
		return 4;
	}
	return 0;
}

size_t utf8_len(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char min, max;
	size_t n;

	if (!len)
		return 0;
	if (p[0] < 0x80)
		return 1;
	n = utf8_lead(p[0], &min, &max);
	if (!n || n > len || p[1] < min || p[1] > max)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

/*
 * Appends str with every byte that `special` names, and every byte of invalid UTF-8, as `put` spells it; put
 * sees a byte of 0x80 and above only where it is invalid.
 */
static void escape(struct buf *b, const char *str, size_t len, bool (*special)(unsigned char c),
		   void (*put)(struct buf *b, unsigned char c))
{
	size_t plain = 0, i = 0;

	while (i < len) {
		size_t n = utf8_len(str + i, len - i);

		if (n > 1 || (n == 1 && !special((unsigned char)str[i]))) {
			i += n;
			continue;
		}
		buf_add(b, str + plain, i - plain);
		put(b, (unsigned char)str[i]);
		plain = ++i;
	}
	buf_add(b, str + plain, i - plain);
}

static bool json_special(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

static void json_put(struct buf *b, unsigned char c)
{
	if (c >= 0x80)
		buf_str(b, "\\ufffd");
	else if (c < 0x20)
		buf_printf(b, "\\u%04x", c);
	else
		buf_printf(b, "\\%c", c);
}

void buf_json(struct buf *b, const char *str, size_t len)
{
	buf_str(b, "\"");
	escape(b, str, len, json_special, json_put);
	buf_str(b, "\"");
}

static bool label_special(unsigned char c)
{
	return c == '\\' || c == '"' || c == '\n' || c == '\r';
}

static bool help_special(unsigned char c)
{
	return c == '\\' || c == '\n' || c == '\r';
}

/* There is no escape for CR, and many readers end a line at it. */
static void label_put(struct buf *b, unsigned char c)
{
	if (c >= 0x80 || c == '\r')
		buf_str(b, REPLACEMENT);
	else if (c == '\n')
		buf_str(b, "\\n");
	else
		buf_printf(b, "\\%c", c);
}

void buf_label(struct buf *b, const char *str)
{
	escape(b, str, strlen(str), label_special, label_put);
}

void buf_help(struct buf *b, const char *str, bool openmetrics)
{
	escape(b, str, strlen(str), openmetrics ? label_special : help_special, label_put);
}

static bool tsv_special(unsigned char c)
{
	return c < 0x20 || c == 0x7f || c == '\\';
}

static bool tsv_item_special(unsigned char c)
{
	return tsv_special(c) || c == ',';
}

static void tsv_put(struct buf *b, unsigned char c)
{
	switch (c) {
	case '\t': buf_str(b, "\\t"); break;
	case '\n': buf_str(b, "\\n"); break;
	case '\r': buf_str(b, "\\r"); break;
	case '\\': buf_str(b, "\\\\"); break;
	default: buf_printf(b, "\\x%02x", c);
	}
}

void buf_tsv(struct buf *b, const char *str, size_t len)
{
	if (len)
		escape(b, str, len, tsv_special, tsv_put);
	else
		buf_str(b, "-");
}

void buf_tsv_item(struct buf *b, const char *str)
{
	escape(b, str, strlen(str), tsv_item_special, tsv_put);
}

/* C0, DEL, and C1 as UTF-8 spells it (0x9b is "escape [" to a terminal). */
static bool is_control(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0];

	return n == 1 ? c < 0x20 || c == 0x7f : n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
}

size_t buf_plain(struct buf *b, size_t from)
{
	size_t to = from, columns = 0;

	for (size_t i = from; i < b->len; columns++) {
		size_t n;

		if (b->data[i] >= ' ' && b->data[i] <= '~') {
			b->data[to++] = b->data[i++];
			continue;
		}
		n = utf8_len(b->data + i, b->len - i);
		if (!n || is_control(b->data + i, n)) {
			b->data[to++] = '?';
			i += n ? n : 1;
			continue;
		}
		memmove(b->data + to, b->data + i, n);
		to += n;
		i += n;
	}
	if (to < b->len) {
		b->len = to;
		b->data[to] = '\0';
	}
	return columns;
}

void buf_upper(struct buf *b, size_t from)
{
	for (size_t i = from; i < b->len; i++)
		if (b->data[i] >= 'a' && b->data[i] <= 'z')
			b->data[i] = (char)(b->data[i] - 'a' + 'A');
}

void buf_i64(struct buf *b, int64_t value)
{
	if (value < 0)
		buf_str(b, "-");
	buf_u64(b, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void buf_value(struct buf *b, const struct metric *m, uint64_t value)
{
	if (m->flags & M_SIGNED)
		buf_i64(b, (int64_t)value);
	else
		buf_u64(b, value);
}

void buf_time_utc(struct buf *b, const struct timespec *ts)
{
	struct tm tm;

	gmtime_r(&ts->tv_sec, &tm);
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", tm.tm_year + 1900, tm.tm_mon + 1,
		   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts->tv_nsec);
}

void buf_time_local(struct buf *b, const struct timespec *ts)
{
	struct tm tm;

	localtime_r(&ts->tv_sec, &tm);
	buf_printf(b, "%02d:%02d:%02d.%03ld", tm.tm_hour, tm.tm_min, tm.tm_sec,
		   ts->tv_nsec / 1000000);
}

void buf_duration(struct buf *b, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { 1000, "us" }, { 1000000, "ms" }, { NSEC_PER_SEC, "s" } };
	size_t i = 0;
	uint64_t thousandth, whole;

	if (ns < 1000) {
		buf_u64(b, ns);
		buf_str(b, "ns");
		return;
	}
	/* 999.9999us is 1.000ms: the next unit where rounding reaches it. */
	while (i + 1 < ARRAY_SIZE(units) && ns >= units[i + 1].ns - units[i + 1].ns / 2000000)
		i++;
	thousandth = units[i].ns / 1000;
	whole = ns / thousandth + (ns % thousandth * 2 >= thousandth && thousandth > 1);
	buf_printf(b, "%" PRIu64 ".%03" PRIu64 "%s", whole / 1000, whole % 1000, units[i].name);
}

const char *protocol_name(uint8_t protocol)
{
	static const char *const names[256] = {
		[1] = "ICMP",   [2] = "IGMP",      [4] = "IPIP",    [6] = "TCP",
		[17] = "UDP",   [33] = "DCCP",     [41] = "IPv6",   [47] = "GRE",
		[50] = "ESP",   [51] = "AH",       [58] = "ICMPv6", [89] = "OSPF",
		[103] = "PIM",  [108] = "IPComp",  [112] = "VRRP",  [115] = "L2TP",
		[132] = "SCTP", [136] = "UDPLite", [137] = "MPLS",
	};

	return names[protocol];
}

const char *tcp_state_name(uint8_t state)
{
	static const char *const names[] = {
		NULL,        "ESTABLISHED", "SYN_SENT",     "SYN_RECV",   "FIN_WAIT1",
		"FIN_WAIT2", "TIME_WAIT",   "CLOSE",        "CLOSE_WAIT", "LAST_ACK",
		"LISTEN",    "CLOSING",     "NEW_SYN_RECV",
	};

	return state < ARRAY_SIZE(names) ? names[state] : NULL;
}

void buf_address(struct buf *b, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN];

	if (!memcmp(addr, mapped, sizeof(mapped)))
		buf_str(b, inet_ntop(AF_INET, addr + 12, text, sizeof(text)));
	else
		buf_str(b, inet_ntop(AF_INET6, addr, text, sizeof(text)));
}
