/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How one value is spelled: text quoted for each format, times, durations, addresses, kernel names. All append to
 * a buffer in the C locale and print nothing.
 */
#ifndef SKOOP_FORMAT_H
#define SKOOP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "util.h"

struct metric;

/* ---- text from the kernel: nothing about it is trusted ---- */

/* Bytes of the valid UTF-8 sequence that starts at s, of `len` bytes there are; 0: none does. */
size_t utf8_len(const char *s, size_t len);
/* A JSON string with its quotes; invalid UTF-8 becomes \ufffd, one per byte. */
void buf_json(struct buf *b, const char *str, size_t len);
/* Inside the quotes of a Prometheus label value; CR, and each byte of invalid UTF-8, becomes U+FFFD. */
void buf_label(struct buf *b, const char *str);
/* A HELP text; OpenMetrics wants quotes escaped, too. */
void buf_help(struct buf *b, const char *str, bool openmetrics);
/* A field of a tab-separated line, `-` for none. Control bytes and invalid UTF-8 become \xHH. */
void buf_tsv(struct buf *b, const char *str, size_t len);
/* As buf_tsv for the value in k=v,k=v: a comma becomes \x2c. */
void buf_tsv_item(struct buf *b, const char *str);
/*
 * Makes the text from `from` to the end of b fit for a terminal, in place: a control character or invalid byte becomes
 * one `?`. Returns the columns it takes.
 */
size_t buf_plain(struct buf *b, size_t from);
/* Makes capitals of the ASCII letters there. */
void buf_upper(struct buf *b, size_t from);

/* ---- numbers and times ---- */

void buf_i64(struct buf *b, int64_t value);
/* A value of metric m: with a sign if the kernel prints it so. */
void buf_value(struct buf *b, const struct metric *m, uint64_t value);
/* 2026-11-22T21:46:37.123456789Z */
void buf_time_utc(struct buf *b, const struct timespec *ts);
/* 21:46:37.123, local time */
void buf_time_local(struct buf *b, const struct timespec *ts);
/* 10.912ms: the largest unit that leaves a whole part, three decimals, rounded. */
void buf_duration(struct buf *b, uint64_t ns);

/* ---- names ---- */

/* As tcpdump and ss spell them; NULL: no name. */
const char *protocol_name(uint8_t protocol);
const char *tcp_state_name(uint8_t state);
/* 16 bytes in network order; v4-mapped as IPv4. */
void buf_address(struct buf *b, const uint8_t addr[16]);

#endif
