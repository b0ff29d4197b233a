// SPDX-License-Identifier: GPL-2.0-or-later
/* Small things every file needs: strict numbers, one-line messages, a growing buffer. */
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

static int digits(const char *str, int base, uint64_t *value)
{
	char *end;

	if (!(base == 16 ? isxdigit((unsigned char)*str) : isdigit((unsigned char)*str)))
		return -EINVAL;
	if (base == 16 && (str[1] == 'x' || str[1] == 'X'))
		return -EINVAL;
	errno = 0;
	*value = strtoull(str, &end, base);
	if (*end)
		return -EINVAL;
	return errno ? -ERANGE : 0;
}

int parse_u64(const char *str, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t v;
	int err = digits(str, 10, &v);

	if (err)
		return err;
	if (v < min || v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

int parse_hex(const char *str, uint64_t *value)
{
	return digits(str, 16, value);
}

/* A decimal number with up to nine fractional digits, times `unit`; *end is what follows it. */
static int parse_decimal(const char *str, uint64_t unit, const char **end, uint64_t *out)
{
	uint64_t whole = 0, frac = 0, scale = 1;

	if (!isdigit((unsigned char)*str))
		return -EINVAL;
	for (; isdigit((unsigned char)*str); str++) {
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*str - '0'), &whole))
			return -ERANGE;
	}
	if (*str == '.') {
		if (!isdigit((unsigned char)*++str))
			return -EINVAL;
		for (; isdigit((unsigned char)*str); str++) {
			if (scale == NSEC_PER_SEC)
				continue;
			frac = frac * 10 + (uint64_t)(*str - '0');
			scale *= 10;
		}
	}
	*end = str;
	if (__builtin_mul_overflow(whole, unit, &whole) ||
	    __builtin_add_overflow(whole, (uint64_t)((unsigned __int128)frac * unit / scale),
				   &whole))
		return -ERANGE;
	*out = whole;
	return 0;
}

int parse_duration(const char *str, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", NSEC_PER_SEC } };
	const char *end;
	uint64_t unused;
	int err = parse_decimal(str, 1, &end, &unused);

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(end, units[i].name))
			return parse_decimal(str, units[i].ns, &end, ns);
	return -EINVAL;
}

int parse_seconds(const char *str, uint64_t *ns)
{
	const char *end;
	uint64_t v;
	int err = parse_decimal(str, NSEC_PER_SEC, &end, &v);

	if (err)
		return err;
	if (*end)
		return -EINVAL;
	/* A day's rounds need no more than 64 bits of nanoseconds; a century does. */
	if (v == 0 || v > INT64_MAX)
		return -ERANGE;
	*ns = v;
	return 0;
}

static const char *msg_program = "skoop";
static enum msg_level msg_level;
static const char *msg_verbose_mark = "";

void msg_init(const char *program)
{
	msg_program = program;
}

void msg_level_set(enum msg_level level)
{
	msg_level = level;
}

void msg_mark_verbose(void)
{
	msg_verbose_mark = "\f";
}

__attribute__((format(printf, 2, 0))) static void msg_write(const char *mark, const char *fmt,
							    va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s%s: ", mark, msg_program);
	size_t len = (size_t)n;

	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = strlen(mark); i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nowhere left to say it */
}

void msg_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	msg_write("", fmt, ap);
	va_end(ap);
}

void msg_warn(const char *fmt, ...)
{
	va_list ap;

	if (msg_level <= MSG_QUIET)
		return;
	va_start(ap, fmt);
	msg_write("", fmt, ap);
	va_end(ap);
}

void msg_verbose(const char *fmt, ...)
{
	va_list ap;

	if (msg_level < MSG_VERBOSE)
		return;
	va_start(ap, fmt);
	msg_write(msg_verbose_mark, fmt, ap);
	va_end(ap);
}

static bool buf_room(struct buf *b, size_t more)
{
	size_t want = b->size ? b->size : 256;
	char *data;

	if (b->failed)
		return false;
	if (b->len + more + 1 <= b->size)
		return true;
	while (want < b->len + more + 1)
		want *= 2;
	data = realloc(b->data, want);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = want;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_room(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *str)
{
	buf_add(b, str, strlen(str));
}

void buf_u64(struct buf *b, uint64_t value)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	buf_add(b, p, (size_t)(digits + sizeof(digits) - p));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !buf_room(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

int buf_read(struct buf *b, int fd, size_t max)
{
	for (;;) {
		ssize_t n;

		if (b->len > max)
			return -EFBIG;
		if (!buf_room(b, 4096))
			return -ENOMEM;
		n = read(fd, b->data + b->len, b->size - b->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		b->len += (size_t)n;
		b->data[b->len] = '\0';
		if (!n)
			return 0;
	}
}
