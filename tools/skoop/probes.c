// SPDX-License-Identifier: GPL-2.0-or-later
/* The probes that are there: programs named skoop-*, and what each says of itself. */
#include "skoop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/array.h"
#include "libcommon/process.h"

/* A descriptor's text is some 50 kB; who sends more than this is no probe. */
#define DESCRIBE_MAX (4 << 20)
#define DESCRIBE_TIME (5 * NSEC_PER_SEC)

static const char program_prefix[] = "skoop-";

/* The part after skoop-; NULL: the file cannot be a probe. */
static const char *probe_name(int dir, const char *file)
{
	const char *name = file + strlen(program_prefix);
	struct stat st;

	if (strncmp(file, program_prefix, strlen(program_prefix)) || !*name)
		return NULL;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
			return NULL;
	if (fstatat(dir, file, &st, 0) || !S_ISREG(st.st_mode) ||
	    faccessat(dir, file, X_OK, AT_EACCESS))
		return NULL;
	return name;
}

static int probe_add(struct probes *ps, size_t *size, const char *dir, const char *name)
{
	struct probe_info *p;

	if (probes_get(ps, name))
		return 0; /* the first directory wins */
	if (array_grow(&ps->v, size, ps->n + 1))
		return -ENOMEM;
	p = &ps->v[ps->n];
	*p = (struct probe_info){ .name = strdup(name) };
	if (asprintf(&p->path, "%s/%s%s", dir, program_prefix, name) < 0)
		p->path = NULL;
	ps->n++;
	return p->name && p->path ? 0 : -ENOMEM;
}

static int dir_scan(struct probes *ps, size_t *size, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!dir) {
		msg_warn("%s: %s", path, strerror(errno));
		return 0;
	}
	while (!err && (entry = readdir(dir))) {
		const char *name = probe_name(dirfd(dir), entry->d_name);

		if (name)
			err = probe_add(ps, size, path, name);
	}
	closedir(dir);
	return err;
}

/* The directory this program was started from. */
static int own_scan(struct probes *ps, size_t *size)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0) {
		msg_warn("/proc/self/exe: %s: cannot look for probes beside this program",
			 strerror(errno));
		return 0;
	}
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return 0;
	slash[slash == path] = '\0';
	return dir_scan(ps, size, path);
}

static int path_scan(struct probes *ps, size_t *size, const char *list)
{
	auto_free char *copy = strdup(list ? list : "");
	char *save = NULL;
	int err = copy ? 0 : -ENOMEM;

	if (err)
		return err;
	for (char *dir = strtok_r(copy, ":", &save); dir && !err; dir = strtok_r(NULL, ":", &save))
		err = dir_scan(ps, size, dir);
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct probe_info *)a)->name, ((const struct probe_info *)b)->name);
}

int probes_find(struct probes *ps)
{
	size_t size = 0;
	int err;

	*ps = (struct probes){ 0 };
	err = own_scan(ps, &size);
	if (!err)
		err = path_scan(ps, &size, secure_getenv("SKOOP_EXEC_PATH"));
	if (err) {
		msg_error("out of memory");
		probes_free(ps);
		return err;
	}
	if (ps->n)
		qsort(ps->v, ps->n, sizeof(*ps->v), by_name);
	return 0;
}

static void probe_free(struct probe_info *p)
{
	free(p->name);
	free(p->path);
	free(p->options);
	free(p->metrics);
	free(p->events);
	free(p->fields);
	free(p->reasons);
	free(p->text);
}

void probes_free(struct probes *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		probe_free(&ps->v[i]);
	free(ps->v);
	*ps = (struct probes){ 0 };
}

bool probe_traces(const struct probe_info *p)
{
	return p->source && !strcmp(p->source, "eBPF");
}

struct probe_info *probes_get(const struct probes *ps, const char *name)
{
	for (size_t i = 0; i < ps->n; i++)
		if (!strcmp(ps->v[i].name, name))
			return &ps->v[i];
	return NULL;
}

/* ---- --describe ---- */

struct question {
	struct probe_info *probe;
	struct buf answer;
};

static int take_line(struct child *c, char *line, size_t len, void *arg)
{
	struct question *q = c->data;

	(void)arg;
	if (q->answer.len + len > DESCRIBE_MAX) {
		q->answer.len = 0;
		child_kill(c);
		return 0;
	}
	buf_add(&q->answer, line, len);
	buf_str(&q->answer, "\n");
	return 0;
}

static int drop_line(struct child *c, char *line, size_t len, void *arg)
{
	(void)c, (void)line, (void)len, (void)arg;
	return 0;
}

/* A program that is none of ours speaks of an option it does not know: not worth passing on. */
static void drop_message(struct child *c, const char *line, void *arg)
{
	(void)c, (void)line, (void)arg;
}

static int take_answer(struct child *c, void *arg)
{
	struct question *q = c->data;
	char *text = q->answer.data;

	(void)arg;
	if (c->code != EXIT_OK || !text || q->answer.failed)
		return 0;
	q->answer = (struct buf){ 0 };
	q->probe->described = probe_parse(q->probe, text);
	return 0;
}

static int take_verdict(struct child *c, void *arg)
{
	(void)arg;
	return c->code == EXIT_USAGE ? -EINVAL : 0;
}

static int question_ask(struct children *cs, struct question *q, const char *const *args)
{
	auto_free const char **argv = NULL;
	size_t n = 0;

	while (args && args[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!argv) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	if (n)
		memcpy(argv, args, n * sizeof(*argv));
	argv[n] = "--describe";
	return children_add(cs, q->probe->path, argv, q);
}

static int ask_all(struct question *q, size_t n, const char *const *const *args,
		   const struct children_ops *ops)
{
	struct children *cs;
	int err = children_open(ops, NULL, -1, &cs);

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++)
		err = question_ask(cs, &q[i], args ? args[i] : NULL);
	if (!err)
		err = children_run(cs, process_now() + DESCRIBE_TIME);
	children_close(cs);
	for (size_t i = 0; i < n; i++)
		buf_free(&q[i].answer);
	return err == -ETIME ? 0 : err;
}

int probes_describe(struct probe_info *const *v, size_t n)
{
	static const struct children_ops ops = { take_line, drop_message, take_answer, true };
	auto_free struct question *q = calloc(n + 1, sizeof(*q));
	size_t asked = 0;

	if (!q) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (!v[i]->described)
			q[asked++].probe = v[i];
	return asked ? ask_all(q, asked, NULL, &ops) : 0;
}

int probes_check(struct probe_info *const *v, size_t n, const char *const *const *args)
{
	static const struct children_ops ops = { drop_line, NULL, take_verdict, false };
	auto_free struct question *q = calloc(n + 1, sizeof(*q));

	if (!q) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		q[i].probe = v[i];
	return ask_all(q, n, args, &ops);
}

int probes_describe_all(struct probes *ps)
{
	auto_free struct probe_info **v = calloc(ps->n + 1, sizeof(struct probe_info *));
	size_t kept = 0;
	int err;

	if (!v) {
		msg_error("out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < ps->n; i++)
		v[i] = &ps->v[i];
	err = probes_describe(v, ps->n);
	if (err)
		return err;
	for (size_t i = 0; i < ps->n; i++) {
		if (ps->v[i].described) {
			ps->v[kept++] = ps->v[i];
			continue;
		}
		msg_warn("%s does not describe itself: left out", ps->v[i].path);
		probe_free(&ps->v[i]);
	}
	ps->n = kept;
	return 0;
}
