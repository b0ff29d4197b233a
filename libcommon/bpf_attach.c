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

static int prepare_load(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	struct kernel *k = ((const struct bpf_run *)cookie)->kernel;
	const char *section = bpf_program__section_name(prog);
	const char *target = strchrnul(section, '/');

	target += *target == '/';
	opts->attach_prog_fd = 0;
	opts->attach_btf_id = strncmp(section, "tp_btf", 6) ? kernel_function_id(k, target)
							    : kernel_tracepoint_id(k, target);
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
}
