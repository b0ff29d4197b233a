// SPDX-License-Identifier: GPL-2.0-or-later
/* The pod of a container as its runtime has it on disk: annotations in a JSON file. */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"
#include "pod.h"
#include "roots.h"
#include "util.h"

#define CONFIG_MAX (4 << 20)
#define CONTAINERD_TASK "io.containerd.runtime.v2.task/k8s.io/%s/config.json"

enum { NAMESPACE, POD, UID, KEYS };

static const struct scheme {
	const char *source;
	const char *at[3]; /* the objects to go into, NULL-terminated */
	const char *keys[KEYS];
} schemes[] = {
	[RUNTIME_CONTAINERD] = { "containerd annotations",
				 { "annotations" },
				 { "io.kubernetes.cri.sandbox-namespace",
				   "io.kubernetes.cri.sandbox-name",
				   "io.kubernetes.cri.sandbox-uid" } },
	[RUNTIME_CRIO] = { "CRI-O annotations",
			   { "annotations" },
			   { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name",
			     "io.kubernetes.pod.uid" } },
	[RUNTIME_DOCKER] = { "docker labels",
			     { "Config", "Labels" },
			     { "io.kubernetes.pod.namespace", "io.kubernetes.pod.name",
			       "io.kubernetes.pod.uid" } },
};

static const struct {
	const char *path; /* %s: the container ID */
	enum runtime runtime;
} places[] = {
	{ "run/containerd/" CONTAINERD_TASK, RUNTIME_CONTAINERD },
	{ "run/k3s/containerd/" CONTAINERD_TASK, RUNTIME_CONTAINERD },
	{ "run/k0s/containerd/" CONTAINERD_TASK, RUNTIME_CONTAINERD },
	{ "var/snap/microk8s/common/run/containerd/" CONTAINERD_TASK, RUNTIME_CONTAINERD },
	{ "run/containers/storage/overlay-containers/%s/userdata/config.json", RUNTIME_CRIO },
	{ "var/lib/containers/storage/overlay-containers/%s/userdata/config.json", RUNTIME_CRIO },
	{ "var/lib/docker/containers/%s/config.v2.json", RUNTIME_DOCKER },
};

/* The values found, "": none. The last one of a key counts, also if it is no string. */
struct values {
	char text[KEYS][POD_NAME_MAX + 1];
};

static void take_value(struct json *j, const char *const keys[KEYS], struct values *v)
{
	char *to = NULL;

	for (int i = 0; i < KEYS; i++)
		if (json_is(j, keys[i]))
			to = v->text[i];
	if (!to) {
		json_skip(j);
		return;
	}
	*to = '\0';
	if (json_next(j) != JSON_STRING)
		json_skip(j);
	else if (!j->cut && j->len < sizeof(v->text[0]) && strlen(j->text) == j->len)
		memcpy(to, j->text, j->len + 1);
}

/* Within an object: goes into the one named at[0], or takes the values where that is the last. */
static void walk(struct json *j, const char *const *at, const char *const keys[KEYS],
		 struct values *v)
{
	while (json_next(j) == JSON_KEY) {
		if (!*at) {
			take_value(j, keys, v);
		} else if (!json_is(j, *at)) {
			json_skip(j);
		} else {
			*v = (struct values){ 0 };
			if (json_next(j) == JSON_OBJECT)
				walk(j, at + 1, keys, v);
			else
				json_skip(j);
		}
	}
}

int runtime_parse(enum runtime runtime, const char *text, size_t len, struct pod_name *name)
{
	const struct scheme *s = &schemes[runtime];
	struct values v = { 0 };
	struct json j;

	json_init(&j, text, len);
	if (json_next(&j) == JSON_OBJECT)
		walk(&j, s->at, s->keys, &v);
	if (j.token == JSON_ERROR || json_next(&j) != JSON_END)
		return -EBADMSG;
	if (!pod_name_set(name, v.text[NAMESPACE], strlen(v.text[NAMESPACE]), v.text[POD],
			  strlen(v.text[POD])))
		return -ENOENT;
	name->uid[0] = '\0';
	if (uid_valid(v.text[UID], strlen(v.text[UID])))
		uid_copy(name->uid, v.text[UID], strlen(v.text[UID]));
	name->source = s->source;
	return 0;
}

static int read_config(const struct roots *roots, const char *path, struct buf *b)
{
	auto_close int fd = root_open(roots, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -ENOENT;
	return buf_read(b, fd, CONFIG_MAX);
}

int runtime_pod(const struct roots *roots, const char *id, struct pod_name *name)
{
	int result = -ENOENT, err;

	for (size_t i = 0; i < ARRAY_SIZE(places) && result; i++) {
		struct buf b = { 0 };
		char path[256];

		snprintf(path, sizeof(path), places[i].path, id);
		err = read_config(roots, path, &b);
		if (!err)
			err = runtime_parse(places[i].runtime, b.data, b.len, name);
		if (err == -EBADMSG || err == -EFBIG)
			msg_verbose("%s: %s", path,
				    err == -EFBIG ? "larger than 4 MiB" : "no valid JSON");
		if (!err || err == -EACCES)
			result = err;
		buf_free(&b);
	}
	return result;
}
