// SPDX-License-Identifier: GPL-2.0-or-later
/* Which network namespace is the host's; where that is out of sight, which pod we are in. */
#include "discover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "pod.h"
#include "roots.h"
#include "util.h"

#define ETC_HOSTS "/etc/hosts"
#define SA_NAMESPACE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

static int by_option(struct discovery *d)
{
	const char *path = d->opt->host_netns;
	int err = mount_by_path(d, path, &d->host);

	d->host_source = "--host-netns";
	if (!err)
		return 0;
	if (err == -ESTALE || err == -EINVAL)
		msg_error("%s is not a network namespace here%s", path,
			  err == -ESTALE ? ": its mount did not propagate" : "");
	else
		msg_error("%s: %s", path, strerror(-err));
	return err == -ESTALE ? -EINVAL : err;
}

static bool is_kthreadd(const struct discovery *d, const struct proc *p)
{
	struct buf comm = { 0 };
	bool is = p && proc_text(d, p->pid, "comm", &comm) && !strcmp(comm.data, "kthreadd\n");

	buf_free(&comm);
	return is;
}

/* The lowest pid outside every pod and container. */
static const struct proc *lowest_outside(const struct discovery *d)
{
	const struct proc *lowest = NULL;

	for (size_t i = 0; i < d->nprocs; i++) {
		const struct proc *p = &d->procs[i];

		if (!p->in->pod && !p->in->container && (!lowest || p->pid < lowest->pid))
			lowest = p;
	}
	return lowest;
}

int host_find(struct discovery *d)
{
	const struct proc *init = proc_find(d, 1), *kthreadd = proc_find(d, 2), *lowest;

	d->in_pod = init && (init->in->pod || process_in_pod(d->procfd, 1));
	if (d->opt->host_netns)
		return by_option(d);
	if (d->in_pod)
		return 0;
	lowest = lowest_outside(d);
	if (init) {
		d->host = init->group;
		d->host_source = "namespace of pid 1";
	} else if (is_kthreadd(d, kthreadd)) {
		d->host = kthreadd->group;
		d->host_source = "namespace of the kernel's threads";
	} else if (lowest) {
		d->host = lowest->group;
		d->host_source = "lowest pid outside containers";
	} else if (d->own) {
		d->host = d->own;
		d->host_source = "own namespace, assumed";
		if (!d->said->assumed_host)
			msg_warn("assuming my own network namespace is the host's");
		d->said->assumed_host = true;
	}
	return 0;
}

static bool first_line(const char *path, char *line, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return *line;
}

/* The pod this container is told it runs in: in its environment, else by service account. */
static bool own_pod(struct pod_name *name)
{
	const char *namespace = getenv("POD_NAMESPACE"), *pod = getenv("POD_NAME");
	char line[POD_NAMESPACE_MAX + 2];
	struct utsname host;

	name->source = "environment";
	if (namespace && pod && pod_name_set(name, namespace, strlen(namespace), pod, strlen(pod)))
		return true;
	name->source = "service account";
	return first_line(SA_NAMESPACE, line, sizeof(line)) && !uname(&host) &&
	       pod_name_set(name, line, strlen(line), host.nodename, strlen(host.nodename));
}

int sidecar_name(struct discovery *d)
{
	char line[128];
	struct pod_name name;
	struct pod *pod;

	if (!d->in_pod || d->host || !d->own)
		return 0;
	if (first_line(ETC_HOSTS, line, sizeof(line)) &&
	    !strcmp(line, "# Kubernetes-managed hosts file (host network).")) {
		d->host = d->own;
		d->host_source = ETC_HOSTS;
		return 0;
	}
	if ((d->own->pod && d->own->pod->name) || !own_pod(&name))
		return 0;
	pod = d->own->pod ? d->own->pod : arena_alloc(&d->arena, sizeof(*pod));
	if (!pod)
		return -ENOMEM;
	pod->namespace = arena_str(&d->arena, name.namespace, strlen(name.namespace));
	pod->name = arena_str(&d->arena, name.pod, strlen(name.pod));
	pod->source = name.source;
	d->own->pod = pod;
	for (size_t i = 0; i < d->own->nprocs; i++)
		d->own->procs[i].pod = pod;
	return pod->namespace && pod->name ? 0 : -ENOMEM;
}
