// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a program of the tracing kinds is to be attached to, told to libbpf by our own reader of the kernel's types.
 * libbpf would read and index all of them to look up that one number.
 */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/*
 * When the object is opened: libbpf holds that a program that is attached to another needs no types of the kernel. The
 * descriptor is any; it goes before it is used.
 */
static int setup(struct bpf_program *prog, long cookie)
{
	(void)cookie;
	return bpf_program__set_attach_target(prog, STDERR_FILENO, NULL);
}

/* The descriptor of a module's types: the kernel lists all that are loaded, and the module by its name. -errno. */
static int module_types(const char *module)
{
	uint32_t id = 0;

	while (!bpf_btf_get_next_id(id, &id)) {
		char name[64] = "";
		struct bpf_btf_info info = { .name = (uintptr_t)name, .name_len = sizeof(name) };
		uint32_t size = sizeof(info);
		int fd = bpf_btf_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.kernel_btf &&
		    !strcmp(name, module))
			return fd;
		close(fd);
	}
	return -errno;
}

static int prepare_function(struct bpf_run *r, const char *name, struct bpf_prog_load_opts *opts)
{
	const char *module;

	opts->attach_btf_id = kernel_function_id(r->kernel, name, &module);
	if (!opts->attach_btf_id || !module)
		return opts->attach_btf_id ? 0 : -ENOENT;
	if (r->module_fd >= 0)
		close(r->module_fd); /* the last program's: it is loaded */
	r->module_fd = module_types(module);
	if (r->module_fd < 0)
		return r->module_fd;
	opts->attach_btf_obj_fd = (uint32_t)r->module_fd;
	return 0;
}

static int prepare_load(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	struct bpf_run *r = (struct bpf_run *)cookie;
	const char *section = bpf_program__section_name(prog);
	const char *target = strchrnul(section, '/');

	target += *target == '/';
	opts->attach_prog_fd = 0;
	if (strncmp(section, "tp_btf", 6))
		return prepare_function(r, target, opts);
	opts->attach_btf_id = kernel_tracepoint_id(r->kernel, target);
	return opts->attach_btf_id ? 0 : -ENOENT;
}

static int attach(const struct bpf_program *prog, long cookie, struct bpf_link **link)
{
	(void)cookie;
	*link = bpf_program__attach_trace(prog);
	return *link ? 0 : -errno;
}

int bpf_run_handle(struct bpf_run *r)
{
	static const struct {
		const char *section;
		enum bpf_attach_type type;
	} kinds[NHANDLERS] = { { "tp_btf+", BPF_TRACE_RAW_TP },
			       { "fentry+", BPF_TRACE_FENTRY },
			       { "fexit+", BPF_TRACE_FEXIT } };
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .cookie = (long)r, .prog_setup_fn = setup,
		    .prog_prepare_load_fn = prepare_load, .prog_attach_fn = attach);

	for (size_t i = 0; i < NHANDLERS; i++) {
		int id = libbpf_register_prog_handler(kinds[i].section, BPF_PROG_TYPE_TRACING,
						      kinds[i].type, &opts);

		if (id < 0)
			return id;
		r->handlers[r->nhandlers++] = id;
	}
	return 0;
}

void bpf_run_unhandle(struct bpf_run *r)
{
	while (r->nhandlers)
		libbpf_unregister_prog_handler(r->handlers[--r->nhandlers]);
	if (r->module_fd >= 0)
		close(r->module_fd);
	r->module_fd = -1;
}
