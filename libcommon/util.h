/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every file needs: owned locals, strict numbers, one-line messages, a growing buffer. */
#ifndef SKOOP_UTIL_H
#define SKOOP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_SEC 1000000000ULL

static inline void util_free(void *p)
{
	free(*(void **)p);
}
static inline void util_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void util_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define auto_free __attribute__((cleanup(util_free)))
#define auto_close __attribute__((cleanup(util_close)))
#define auto_fclose __attribute__((cleanup(util_fclose)))

/*
 * Numbers. The whole string must be one: no sign, no blanks, no trailing text.
 * 0, -EINVAL when it is no number, -ERANGE when it is outside [min, max].
 */
int parse_u64(const char *str, uint64_t min, uint64_t max, uint64_t *value);
/* As parse_u64, hexadecimal digits without 0x. */
int parse_hex(const char *str, uint64_t *value);
/* "100ms", "1.5s", "20us", "7ns": a number and a unit, as nanoseconds. */
int parse_duration(const char *str, uint64_t *ns);
/* "10", "0.5": seconds, more than zero, as nanoseconds. */
int parse_seconds(const char *str, uint64_t *ns);

/*
 * Messages: one line on stderr, "PROGRAM: text", written at once; control bytes are shown as '?'.
 * msg_error is always shown; msg_warn not with -q; msg_verbose only with -v. For a program that reads them, lines of the
 * latter begin with a form feed after msg_mark_verbose().
 */
enum msg_level { MSG_QUIET = -1, MSG_NORMAL = 0, MSG_VERBOSE = 1 };
void msg_init(const char *program);
void msg_level_set(enum msg_level level);
void msg_mark_verbose(void);
void msg_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void msg_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void msg_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A growing byte buffer, always NUL-terminated once something was added. After a failed allocation `failed` is
 * set and later additions do nothing, so only the last step needs a check.
 */
struct buf {
	char *data;
	size_t len, size;
	bool failed;
};
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *str);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t value);
void buf_free(struct buf *b);
/* Reads fd to its end and appends; 0 or -errno, -EFBIG past max bytes. */
int buf_read(struct buf *b, int fd, size_t max);

#endif
