// SPDX-License-Identifier: GPL-2.0-or-later
/* Every read below /proc, re-rootable; files of a namespace are read once a target and round. */
#include "procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "netns.h"
#include "out.h"
#include "probe.h"
#include "target.h"
#include "util.h"

/* No file here has more than a few hundred KiB; PID/net/tcp of a full node, the largest, is not read this way. */
#define PROC_FILE_MAX (16 << 20)

struct proc_cache {
	struct proc_cache *next;
	char *text;
	int err;
	char file[];
};

void proc_cache_free(struct proc_cache *cache)
{
	while (cache) {
		struct proc_cache *next = cache->next;

		free(cache->text);
		free(cache);
		cache = next;
	}
}

static int read_at(int dirfd, const char *file, char **text)
{
	auto_close int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
	struct buf b = { 0 };
	int err;

	if (fd < 0)
		return -errno;
	err = buf_read(&b, fd, PROC_FILE_MAX);
	if (err) {
		buf_free(&b);
		return err;
	}
	*text = b.data;
	return 0;
}

int proc_read(const struct roots *roots, const char *file, char **text)
{
	auto_close int dir = open(*roots->procfs ? roots->procfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : read_at(dir, file, text);
}

int proc_pid_open(const struct roots *roots, pid_t pid)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%d", roots->procfs, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int proc_pid_read(int pidfd, const char *file, char **text)
{
	return read_at(pidfd, file, text);
}

static bool vanished(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

/*
 * A process can end between the scan and the read; any other one of the namespace serves as well. ENOENT for the file
 * alone, with the process still there, is the kernel's answer and final.
 */
static int net_by_pid(const struct target *t, const char *file, char **text)
{
	int err = -ESRCH;

	for (size_t i = 0; i < t->npids; i++) {
		auto_close int pidfd = proc_pid_open(t->roots, t->pids[i]);

		if (pidfd < 0)
			continue;
		err = read_at(pidfd, file, text);
		if (!vanished(err))
			return err;
		if (!faccessat(pidfd, "net/dev", F_OK, 0))
			return -ENOENT;
		err = -ESRCH;
	}
	return err;
}

struct inside {
	char path[4096];
	char **text;
};

static int read_inside(void *arg)
{
	struct inside *in = arg;

	return read_at(AT_FDCWD, in->path, in->text);
}

/* From inside the namespace, where these files show it. */
static int net_inside(const struct target *t, const char *root, const char *dir, const char *file,
		      char **text)
{
	struct inside in = { .text = text };
	int len = snprintf(in.path, sizeof(in.path), "%s/%s/%s", root, dir, file);

	if (len >= (int)sizeof(in.path))
		return -ENAMETOOLONG;
	return netns_call(t, read_inside, &in);
}

static int net_read(const struct target *t, const char *file, char **text)
{
	char path[256];
	int err = -ESRCH;

	if (snprintf(path, sizeof(path), "net/%s", file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (t->npids)
		err = net_by_pid(t, path, text);
	if (err == -ESRCH && t->mount)
		err = net_inside(t, "/proc", "thread-self/net", file, text);
	if (err && !vanished(err) && err != -EACCES && err != -EPERM)
		msg_error("%s/%d/%s: %s", t->roots->procfs, t->npids ? (int)t->pids[0] : 0, path, strerror(-err));
	return err;
}

int proc_net(const struct target *t, const char *file, const char **text)
{
	struct proc_cache **slot = (struct proc_cache **)&t->cache, *c;
	size_t len = strlen(file) + 1;

	for (; *slot; slot = &(*slot)->next) {
		if (strcmp((*slot)->file, file))
			continue;
		*text = (*slot)->text;
		return (*slot)->err;
	}
	c = calloc(1, sizeof(*c) + len);
	if (!c)
		return -ENOMEM;
	memcpy(c->file, file, len);
	c->err = net_read(t, file, &c->text);
	*slot = c;
	*text = c->text;
	return c->err;
}

int proc_sys_net(const struct target *t, const char *file, char **text)
{
	return net_inside(t, t->roots->procfs, "sys/net", file, text);
}

/* The next blank-separated word of a line; false at its end. */
static bool word_next(const char **p, const char **word, size_t *len)
{
	while (**p == ' ')
		(*p)++;
	*word = *p;
	while (**p && **p != ' ' && **p != '\n')
		(*p)++;
	*len = (size_t)(*p - *word);
	return *len > 0;
}

/* A value as the kernel prints it; a negative one (MaxConn -1) as two's complement. 0 or -EBADMSG. */
static int pair_value(const char *word, size_t len, uint64_t *value)
{
	char digits[24];
	bool minus = len && *word == '-';

	word += minus;
	len -= minus;
	if (len >= sizeof(digits))
		return -EBADMSG;
	memcpy(digits, word, len);
	digits[len] = '\0';
	if (parse_u64(digits, 0, minus ? INT64_MAX : UINT64_MAX, value))
		return -EBADMSG;
	if (minus)
		*value = -*value;
	return 0;
}

/* One header line and its value line; *p is left at the line after both. */
static int pairs_lines(const char **p, pair_fn fn, void *arg)
{
	const char *keys = *p, *values = strchr(keys, '\n');
	const char *group, *group2, *key, *value;
	size_t group_len, group2_len, key_len, value_len;

	if (!values++)
		return -EBADMSG;
	if (!word_next(&keys, &group, &group_len) || !word_next(&values, &group2, &group2_len) ||
	    group_len < 2 || group[group_len - 1] != ':' || group_len != group2_len ||
	    memcmp(group, group2, group_len))
		return -EBADMSG;
	while (word_next(&keys, &key, &key_len)) {
		struct pair pair = { .group = group, .group_len = group_len - 1, .key = key, .key_len = key_len };
		int err;

		if (!word_next(&values, &value, &value_len) ||
		    pair_value(value, value_len, &pair.value))
			return -EBADMSG;
		err = fn(&pair, arg);
		if (err)
			return err;
	}
	/* More values than keys, or a value line cut off before its end. */
	if (word_next(&values, &value, &value_len) || *values != '\n')
		return -EBADMSG;
	*p = values + 1;
	return 0;
}

int pairs_each(const char *text, pair_fn fn, void *arg)
{
	if (!*text)
		return -EBADMSG;
	while (*text) {
		int err = pairs_lines(&text, fn, arg);

		if (err)
			return err;
	}
	return 0;
}

/* What one walk over a group needs. */
struct emit {
	const struct target *target;
	struct out *out;
	const char *group;
	size_t group_len;
	bool rest, found;
};

static const struct metric *metric_by_key(const struct metric *m, const struct pair *pair)
{
	for (; m->name; m++) {
		if (m->key && !strncmp(m->key, pair->group, pair->group_len) &&
		    m->key[pair->group_len] == ':' &&
		    !strncmp(m->key + pair->group_len + 1, pair->key, pair->key_len) &&
		    !m->key[pair->group_len + 1 + pair->key_len])
			return m;
	}
	return NULL;
}

static int emit_pair(const struct pair *pair, void *arg)
{
	static const struct metric further = { .type = COUNTER, .unit = "events", .scope = SCOPE_NETNS };
	struct emit *e = arg;
	const struct metric *m;

	if (pair->group_len != e->group_len || memcmp(pair->group, e->group, e->group_len))
		return 0;
	e->found = true;
	m = metric_by_key(out_probe(e->out)->metrics, pair);
	if (!m && e->rest)
		m = out_extra(e->out, pair->key, pair->key_len, &further);
	if (m && (e->rest || !(m->flags & M_ALL)))
		out_metric(e->out, e->target, m, pair->value, NULL);
	return 0;
}

int proc_pairs(const struct target *t, const char *file, const char *group, bool rest, struct out *o)
{
	struct emit e = { .target = t, .out = o, .group = group, .group_len = strlen(group), .rest = rest };
	const char *text;
	int err = proc_net(t, file, &text);

	if (err)
		return err;
	err = pairs_each(text, emit_pair, &e);
	if (err == -EBADMSG)
		msg_error("net/%s of %s/%s: not of the form this kernel file has", file, t->namespace, t->pod);
	return err ? err : e.found ? 0 : -ENOENT;
}
