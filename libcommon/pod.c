// SPDX-License-Identifier: GPL-2.0-or-later
/* From pod UID or container ID to the pod's name, by what kubelet and runtime leave on disk. */
#include "pod.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "arena.h"
#include "roots.h"
#include "runtime.h"
#include "target.h"
#include "util.h"

/* One label of DNS-1123: lower-case letters, digits and dashes, none of these at an end. */
static bool is_label(const char *s, size_t len)
{
	if (!len || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return false;
	return true;
}

/* Labels with dots between them. */
static bool is_subdomain(const char *s, size_t len)
{
	while (true) {
		const char *dot = memchr(s, '.', len);
		size_t part = dot ? (size_t)(dot - s) : len;

		if (!is_label(s, part))
			return false;
		if (!dot)
			return true;
		s += part + 1;
		len -= part + 1;
	}
}

bool pod_name_set(struct pod_name *name, const char *namespace, size_t namespace_len,
		  const char *pod, size_t pod_len)
{
	if (namespace_len > POD_NAMESPACE_MAX || !is_label(namespace, namespace_len) ||
	    pod_len > POD_NAME_MAX || !is_subdomain(pod, pod_len))
		return false;
	memcpy(name->namespace, namespace, namespace_len);
	name->namespace[namespace_len] = '\0';
	memcpy(name->pod, pod, pod_len);
	name->pod[pod_len] = '\0';
	return true;
}

/*
 * The two texts before the first and second `_`, which neither a namespace nor a pod can have;
 * *rest follows them.
 */
static bool split2(const char *file, size_t *first, size_t *second, const char **rest)
{
	*first = strcspn(file, "_");
	if (!file[*first])
		return false;
	*second = strcspn(file + *first + 1, "_");
	*rest = file + *first + 1 + *second;
	return *(*rest)++ == '_';
}

bool pod_log_split(const char *file, struct pod_name *name)
{
	size_t namespace_len, pod_len;
	const char *uid;

	if (!split2(file, &namespace_len, &pod_len, &uid) || !uid_valid(uid, strlen(uid)) ||
	    !pod_name_set(name, file, namespace_len, file + namespace_len + 1, pod_len))
		return false;
	uid_copy(name->uid, uid, strlen(uid));
	return true;
}

bool container_log_split(const char *file, struct pod_name *name, char id[CONTAINER_ID_LEN + 1])
{
	size_t pod_len, namespace_len, len;
	const char *container, *digits;

	if (!split2(file, &pod_len, &namespace_len, &container))
		return false;
	len = strlen(container);
	/* At least one letter of a container's name, the dash, the ID. */
	if (len < 2 + CONTAINER_ID_LEN + 4 || strcmp(container + len - 4, ".log"))
		return false;
	len -= CONTAINER_ID_LEN + 4;
	digits = container + len;
	if (strspn(digits, "0123456789abcdef") != CONTAINER_ID_LEN || digits[-1] != '-' ||
	    !is_label(container, len - 1) ||
	    !pod_name_set(name, file + pod_len + 1, namespace_len, file, pod_len))
		return false;
	memcpy(id, digits, CONTAINER_ID_LEN);
	id[CONTAINER_ID_LEN] = '\0';
	name->uid[0] = '\0';
	return true;
}

struct row {
	const char *key; /* UID or container ID */
	const char *namespace, *pod;
};

/* The entries of one directory, by key. */
struct table {
	struct arena arena;
	struct row *rows;
	size_t n, size;
	struct timespec mtime;
	bool read;    /* at least once */
	bool racy;    /* it had only just changed: another change may carry the same time */
	bool checked; /* in this round */
};

struct pods {
	const struct roots *roots;
	const char *logs;
	struct table by_uid, by_container;
	bool denied;
};

struct pods *pods_open(const struct roots *roots, const char *pod_logs)
{
	struct pods *p = calloc(1, sizeof(*p));

	if (p) {
		p->roots = roots;
		p->logs = pod_logs;
	}
	return p;
}

static void table_clear(struct table *t)
{
	arena_free(&t->arena);
	free(t->rows);
	*t = (struct table){ .read = t->read, .checked = t->checked };
}

void pods_close(struct pods *p)
{
	if (!p)
		return;
	table_clear(&p->by_uid);
	table_clear(&p->by_container);
	free(p);
}

void pods_round(struct pods *p)
{
	p->by_uid.checked = p->by_container.checked = p->denied = false;
}

bool pods_denied(const struct pods *p)
{
	return p->denied;
}

static int row_cmp(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->key, ((const struct row *)b)->key);
}

static int table_add(struct table *t, const char *key, const struct pod_name *name)
{
	struct row *rows = t->rows;

	if (t->n == t->size) {
		rows = reallocarray(rows, t->size ? t->size * 2 : 64, sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		t->rows = rows;
		t->size = t->size ? t->size * 2 : 64;
	}
	rows[t->n].key = arena_str(&t->arena, key, strlen(key));
	rows[t->n].namespace = arena_str(&t->arena, name->namespace, strlen(name->namespace));
	rows[t->n].pod = arena_str(&t->arena, name->pod, strlen(name->pod));
	if (!rows[t->n].key || !rows[t->n].namespace || !rows[t->n].pod)
		return -ENOMEM;
	t->n++;
	return 0;
}

/* The names in the directory; what the kubelet did not make is no error. */
static void table_fill(struct table *t, DIR *dir, bool by_uid)
{
	struct pod_name name;
	char id[CONTAINER_ID_LEN + 1];
	const struct dirent *e;

	while ((e = readdir(dir))) {
		if (by_uid ? !pod_log_split(e->d_name, &name)
			   : !container_log_split(e->d_name, &name, id))
			continue;
		if (table_add(t, by_uid ? name.uid : id, &name))
			break;
	}
	if (t->n)
		qsort(t->rows, t->n, sizeof(*t->rows), row_cmp);
}

/* Reads the directory (closing fd) unless it is as it was when read last. */
static void table_read(struct table *t, int fd, bool by_uid)
{
	struct timespec now;
	struct stat st;
	DIR *dir;

	if (fstat(fd, &st) || (t->read && !t->racy && st.st_mtim.tv_sec == t->mtime.tv_sec &&
			       st.st_mtim.tv_nsec == t->mtime.tv_nsec)) {
		close(fd);
		return;
	}
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	table_clear(t);
	clock_gettime(CLOCK_REALTIME, &now);
	t->read = true;
	t->mtime = st.st_mtim;
	t->racy = now.tv_sec - st.st_mtim.tv_sec < 2;
	table_fill(t, dir, by_uid);
	closedir(dir);
}

static void table_refresh(struct pods *p, struct table *t)
{
	bool by_uid = t == &p->by_uid;
	int flags = O_RDONLY | O_DIRECTORY, fd;

	if (t->checked)
		return;
	t->checked = true;
	if (by_uid && p->logs) {
		fd = open(*p->logs ? p->logs : "/", flags | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	} else {
		fd = root_open(p->roots, by_uid ? "var/log/pods" : "var/log/containers", flags);
	}
	if (fd >= 0)
		table_read(t, fd, by_uid);
	else if (fd == -EACCES)
		p->denied = true;
}

static bool table_find(struct pods *p, struct table *t, const char *key, struct pod_name *name)
{
	struct row want = { .key = key }, *row = NULL;

	for (int again = 0; again < 2 && !row; again++) {
		if (again)
			table_refresh(p, t);
		if (t->n)
			row = bsearch(&want, t->rows, t->n, sizeof(*t->rows), row_cmp);
	}
	return row && pod_name_set(name, row->namespace, strlen(row->namespace), row->pod,
				   strlen(row->pod));
}

bool pod_by_uid(struct pods *p, const char *uid, struct pod_name *name)
{
	if (!table_find(p, &p->by_uid, uid, name))
		return false;
	memcpy(name->uid, uid, strlen(uid) + 1);
	name->source = "pod log directory";
	return true;
}

bool pod_by_container(struct pods *p, const char *id, struct pod_name *name)
{
	int err;

	if (table_find(p, &p->by_container, id, name)) {
		name->uid[0] = '\0';
		name->source = "container log name";
		return true;
	}
	err = runtime_pod(p->roots, id, name);
	if (err == -EACCES)
		p->denied = true;
	return !err;
}
