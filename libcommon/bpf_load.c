// SPDX-License-Identifier: GPL-2.0-or-later
/* Getting the kernel half to run: constants, choice of hooks by asking and by trying, and what to say when it cannot. */
#include "bpf_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "caps.h"
#include "options.h"
#include "out.h"
#include "target.h"

/* ---- what libbpf says: kept, as its callback has nobody to hand it to ---- */

static struct {
	char program[64]; /* the last one a warning was about */
	char text[256];   /* the last warning */
	bool verbose;
} said;

/* The verifier's account comes as one message of many lines. */
static void tell_lines(char *text)
{
	for (char *line; (line = strsep(&text, "\n"));)
		if (*line)
			msg_verbose("%s", line);
}

static int take_message(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text;
	const char *name;

	if (level == LIBBPF_DEBUG || vasprintf(&text, fmt, ap) < 0)
		return 0;
	name = strstr(text, "prog '");
	if (level == LIBBPF_WARN && name)
		snprintf(said.program, sizeof(said.program), "%.*s", (int)strcspn(name + 6, "'"),
			 name + 6);
	if (level == LIBBPF_WARN)
		snprintf(said.text, sizeof(said.text), "%.*s", (int)strcspn(text, "\n"), text);
	if (said.verbose)
		tell_lines(text);
	free(text);
	return 0;
}

/* ---- constants of the kernel half ---- */

/* The variable's place in the initial value of .rodata; NULL: there is none of that name. */
static void *constant(struct bpf_run *r, const char *name, size_t *size)
{
	const struct btf *btf = bpf_object__btf(r->object);
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, ".rodata");
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	const struct btf_type *sec = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_var_secinfo *v = sec ? btf_var_secinfos(sec) : NULL;
	size_t all;
	const char *base = map ? bpf_map__initial_value(map, &all) : NULL;

	for (size_t i = 0; base && sec && i < btf_vlen(sec); i++) {
		const struct btf_type *var = btf__type_by_id(btf, v[i].type);

		if (strcmp(btf__name_by_offset(btf, var->name_off), name))
			continue;
		*size = v[i].size;
		return (char *)base + v[i].offset;
	}
	return NULL;
}

int bpf_run_set(struct bpf_run *r, const char *name, const void *value, size_t size)
{
	size_t have;
	void *at = constant(r, name, &have);

	if (!at)
		return -ENOENT;
	if (have != size)
		return -EINVAL;
	memcpy(at, value, size);
	return 0;
}

static int set_knob(struct bpf_run *r, const struct knob *k)
{
	static const size_t sizes[] = { [KNOB_FLAG] = sizeof(bool),
					[KNOB_NUMBER] = sizeof(uint64_t),
					[KNOB_DURATION] = sizeof(uint64_t),
					[KNOB_WORD] = sizeof(unsigned int) };
	char name[64];
	int err;

	if (k->type >= ARRAY_SIZE(sizes) || !sizes[k->type])
		return 0;
	snprintf(name, sizeof(name), "knob_%s", k->name);
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_';
	err = bpf_run_set(r, name, k->value, sizes[k->type]);
	return err == -ENOENT ? 0 : err;
}

/* How many arguments the hook has here, where the kernel half asks. */
static int set_args(struct bpf_run *r, const char *hook)
{
	int n = kernel_tracepoint_args(r->kernel, hook);
	uint32_t args = n < 0 ? 0 : (uint32_t)n;
	char name[96];
	int err;

	snprintf(name, sizeof(name), "args_%s", hook);
	err = bpf_run_set(r, name, &args, sizeof(args));
	return err == -ENOENT ? 0 : err;
}

/* ADDRESS or ADDRESS/BITS, checked before, as 16 bytes and their mask. */
static void parse_cidr(const char *text, uint8_t address[16], uint8_t mask[16])
{
	char host[64];
	const char *slash = strchrnul(text, '/');
	uint64_t bits = 128;

	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	memset(address, 0, 16);
	memset(mask, 0, 16);
	if (!strchr(host, ':')) {
		address[10] = address[11] = 0xff;
		inet_pton(AF_INET, host, address + 12);
		if (*slash && !parse_u64(slash + 1, 0, 32, &bits))
			bits += 96;
	} else {
		inet_pton(AF_INET6, host, address);
		if (*slash)
			parse_u64(slash + 1, 0, 128, &bits);
	}
	for (size_t i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static int set_address(struct bpf_run *r, const char *cidr)
{
	uint8_t address[16], mask[16];
	const bool yes = true;

	parse_cidr(cidr, address, mask);
	if (bpf_run_set(r, "filter_address", address, sizeof(address)) ||
	    bpf_run_set(r, "filter_mask", mask, sizeof(mask)))
		return -ENOENT;
	return bpf_run_set(r, "only_address", &yes, sizeof(yes));
}

static int set_optional(struct bpf_run *r, const char *name, const void *value, size_t size)
{
	int err = bpf_run_set(r, name, value, size);

	return err == -ENOENT ? 0 : err;
}

static int set_constants(struct bpf_run *r)
{
	const struct options *opt = r->opt;
	const bool only = opt->target.nselectors && !opt->target.all,
		   events = out_shows_events(r->out);
	const uint64_t tick = kernel_tick_ns();
	int err = set_optional(r, "with_stack", &opt->stack, sizeof(opt->stack));

	if (!err)
		err = set_optional(r, "with_events", &events, sizeof(events));
	if (!err)
		err = set_optional(r, "only_targets", &only, sizeof(only));
	if (!err)
		err = set_optional(r, "tick_ns", &tick, sizeof(tick));
	if (!err && opt->threshold != THRESHOLD_DEFAULT)
		err = set_optional(r, "threshold_ns", &opt->threshold, sizeof(opt->threshold));
	for (const struct hook *h = r->tracing->hooks; !err && h->name; h++)
		err = set_args(r, h->name);
	for (const struct knob *k = r->probe->knobs; !err && k && k->name; k++) {
		if (k->type == KNOB_CIDR && *(const char **)k->value && !strcmp(k->name, "address"))
			err = set_address(r, *(const char **)k->value);
		else
			err = set_knob(r, k);
	}
	if (!err && r->tracing->setup)
		return r->tracing->setup(r);
	if (err)
		msg_error("the kernel half does not fit: %s", strerror(-err));
	return err;
}

static int set_sizes(struct bpf_run *r)
{
	const struct options *opt = r->opt;
	bool only = opt->target.nselectors && !opt->target.all;
	int err = 0;

	if (!out_shows_events(r->out))
		err = bpf_run_map_size(r, "events", (uint32_t)sysconf(_SC_PAGESIZE));
	else if (opt->buffer)
		err = bpf_run_map_size(r, "events", (uint32_t)opt->buffer);
	if (!err && !only)
		err = bpf_run_map_size(r, "targets", 1);
	return err;
}

int bpf_run_map(struct bpf_run *r, const char *name)
{
	return bpf_object__find_map_fd_by_name(r->object, name);
}

int bpf_run_map_size(struct bpf_run *r, const char *name, uint32_t entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(r->object, name);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

/* ---- hooks ---- */

static void refuse(struct hook_state *s, const char *kind, const char *why)
{
	buf_printf(&s->refused, "%s%s: %s", s->refused.len ? "; " : "", kind, why);
}

/* "tp_btf/name": the kind is what stands before the slash, the target what stands behind it. */
static struct bpf_program *program_of(struct bpf_run *r, size_t i, char kind[16],
				      const char **target)
{
	const struct hook *h = &r->tracing->hooks[i];
	const char *name = h->programs[r->hooks[i].program];
	struct bpf_program *prog = bpf_object__find_program_by_name(r->object, name);
	const char *section = prog ? bpf_program__section_name(prog) : "";

	snprintf(kind, 16, "%.*s", (int)strcspn(section, "/"), section);
	*target = strchrnul(section, '/');
	*target += **target == '/';
	return prog;
}

static bool is_function_hook(const char *kind)
{
	return !strcmp(kind, "fentry") || !strcmp(kind, "fexit");
}

/* Whether the kernel says that it has the hook; NULL: it does, else why not. */
static const char *missing(struct bpf_run *r, const char *kind, const char *target)
{
	if (r->opt->hooks && !strstr(r->opt->hooks, kind))
		return "not among --hooks";
	if (!strcmp(kind, "tp_btf") && kernel_tracepoint_args(r->kernel, target) < 0)
		return "this kernel has no such tracepoint";
	if (is_function_hook(kind) && kernel_function_args(r->kernel, target) < 0)
		return "this kernel's BTF has no such function";
	if (strstr(kind, "probe") && !kernel_has_symbol(r->kernel, target))
		return "this kernel has no such function";
	return NULL;
}

/* Goes on to the first program from the present one that the kernel may take. */
static void choose(struct bpf_run *r, size_t i)
{
	struct hook_state *s = &r->hooks[i];
	const char *const *programs = r->tracing->hooks[i].programs;

	for (; s->program < HOOK_PROGRAMS && programs[s->program]; s->program++) {
		const char *target, *why;
		char kind[16];

		if (!program_of(r, i, kind, &target))
			continue;
		why = missing(r, kind, target);
		if (!why)
			return;
		refuse(s, kind, why);
	}
	s->program = -1;
}

static void next_program(struct bpf_run *r, size_t i, const char *why)
{
	const char *target;
	char kind[16];

	program_of(r, i, kind, &target);
	refuse(&r->hooks[i], kind, why);
	r->hooks[i].program++;
	choose(r, i);
}

/* ---- what is missing, in one line ---- */

static void report_refused(struct bpf_run *r, const char *what)
{
	char lockdown[64] = "";
	auto_fclose FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	uint64_t needed = r->probe->caps;

	if (f && fgets(lockdown, sizeof(lockdown), f) && strstr(lockdown, "[confidentiality]")) {
		msg_error("%s: refused by kernel lockdown (confidentiality), which forbids reading "
			  "kernel memory; boot with lockdown=integrity or none",
			  what);
		return;
	}
	/* It stands for the two that were split from it. */
	if (caps_effective() & CAP_TO_MASK(CAP_SYS_ADMIN))
		needed = 0;
	caps_report(needed, "%s", what);
}

/* A hook without which the probe cannot run. */
static int report_hook(struct bpf_run *r, size_t i)
{
	const struct hook_state *s = &r->hooks[i];

	msg_error("cannot trace %s here: %s", r->tracing->hooks[i].name,
		  s->refused.data ? s->refused.data : "no way to");
	return EXIT_UNSUPPORTED;
}

static int report_load(struct bpf_run *r, int err)
{
	if (err == -EPERM || err == -EACCES) {
		report_refused(r, "cannot load BPF programs");
		return EXIT_PRIVILEGE;
	}
	msg_error("cannot load BPF programs: %s%s%s", strerror(-err), *said.text ? ": " : "",
		  said.text);
	return err == -ENOSYS || err == -EOPNOTSUPP || err == -EINVAL ? EXIT_UNSUPPORTED
								      : EXIT_FAILED;
}

/* ---- one attempt ---- */

static void unload(struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		bpf_link__destroy(r->hooks[i].link);
		r->hooks[i].link = NULL;
	}
	bpf_object__close(r->object);
	r->object = NULL;
}

static int open_object(struct bpf_run *r)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = r->probe->name);
	size_t size;
	const void *elf = r->tracing->object(&size);

	*said.program = *said.text = '\0';
	r->object = bpf_object__open_mem(elf, size, &opts);
	return r->object ? 0 : -errno;
}

/* The hook whose program libbpf complained of; -1: of none. */
static int failed_hook(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].program >= 0 &&
		    !strcmp(r->tracing->hooks[i].programs[r->hooks[i].program], said.program))
			return (int)i;
	return -1;
}

static int load(struct bpf_run *r)
{
	const char *target;
	char kind[16];
	int err = set_constants(r);

	if (!err)
		err = set_sizes(r);
	for (size_t i = 0; !err && i < r->nhooks; i++)
		if (r->hooks[i].program >= 0)
			err = bpf_program__set_autoload(program_of(r, i, kind, &target), true);
	if (err)
		return err;
	kernel_rest(r->kernel);
	return bpf_object__load(r->object);
}

/* 0, or -errno with *hook the one that could not be attached. */
static int attach(struct bpf_run *r, int *hook)
{
	const char *target;
	char kind[16];

	for (size_t i = 0; i < r->nhooks; i++) {
		struct hook_state *s = &r->hooks[i];

		if (s->program < 0)
			continue;
		s->link = bpf_program__attach(program_of(r, i, kind, &target));
		if (!s->link) {
			*hook = (int)i;
			return -errno;
		}
	}
	return 0;
}

static bool can_run(struct bpf_run *r, size_t *without)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];

		*without = i;
		if (r->hooks[i].program < 0 && !r->hooks[i].unwanted && !h->mode && !h->optional)
			return false;
	}
	return true;
}

/*
 * Loads and attaches what was chosen. What the kernel refuses gives way to the next program of its hook, and all is
 * begun again, since libbpf loads an object as a whole. EXIT_OK, an exit code, or -EAGAIN.
 */
static int attempt(struct bpf_run *r)
{
	int err, hook = -1;
	size_t without;

	if (!can_run(r, &without))
		return report_hook(r, without);
	err = load(r);
	if (err)
		hook = failed_hook(r);
	else
		err = attach(r, &hook);
	if (!err)
		return EXIT_OK;
	/* Without the privilege every program is refused alike. */
	if (hook < 0 || ((err == -EPERM || err == -EACCES) && r->probe->caps & ~caps_effective() &&
			 !(caps_effective() & CAP_TO_MASK(CAP_SYS_ADMIN))))
		return report_load(r, err);
	next_program(r, (size_t)hook, strerror(-err));
	return -EAGAIN;
}

/* ---- the whole ---- */

static int open_kernel(struct bpf_run *r)
{
	int err = kernel_open(&r->kernel);

	if (!err)
		return EXIT_OK;
	if (err == -ENOENT && access("/sys/kernel", F_OK))
		msg_error(
			"/sys/kernel/btf/vmlinux cannot be read: no sysfs is mounted on /sys here; "
			"mount it, or start the container with the host's");
	else if (err == -ENOENT)
		msg_error(
			"this kernel has no type information (/sys/kernel/btf/vmlinux): it was built "
			"without CONFIG_DEBUG_INFO_BTF");
	else
		msg_error("/sys/kernel/btf/vmlinux: %s", strerror(-err));
	return err == -EACCES || err == -EPERM ? EXIT_PRIVILEGE
	       : err == -ENOENT                ? EXIT_UNSUPPORTED
					       : EXIT_FAILED;
}

static void tell_hooks(struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];
		const struct hook_state *s = &r->hooks[i];
		const char *target;
		char kind[16] = "not needed";

		if (s->program >= 0)
			program_of(r, i, kind, &target);
		else if (!s->unwanted)
			snprintf(kind, sizeof(kind), "missing");
		msg_verbose("hook %s: %s%s%s%s", h->name, kind, s->refused.len ? " (" : "",
			    s->refused.len ? s->refused.data : "", s->refused.len ? ")" : "");
		if (s->program < 0 && !s->unwanted && h->mode) {
			out_set_mode(r->out, h->mode);
			out_note(r->out, "reduced mode %s: cannot trace %s (%s)", h->mode, h->name,
				 s->refused.data ? s->refused.data : "");
		}
	}
	if (r->tracing->blind)
		msg_verbose("not seen: %s", r->tracing->blind);
}

static int prepare(struct bpf_run *r)
{
	for (const struct hook *h = r->tracing->hooks; h->name; h++)
		r->nhooks++;
	r->hooks = calloc(r->nhooks, sizeof(*r->hooks));
	if (!r->hooks || open_object(r)) {
		msg_error("cannot open the BPF object: %s", r->hooks ? said.text : "out of memory");
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];

		r->hooks[i].unwanted = h->wanted && !h->wanted(r->kernel);
		if (r->hooks[i].unwanted)
			r->hooks[i].program = -1;
		else
			choose(r, i);
	}
	return EXIT_OK;
}

int bpf_run_load(struct bpf_run *r)
{
	int code;

	said.verbose = r->opt->verbosity >= MSG_VERBOSE;
	libbpf_set_print(take_message);
	code = open_kernel(r);
	if (!code)
		code = prepare(r);
	if (code)
		return code;
	while ((code = attempt(r)) == -EAGAIN) {
		unload(r);
		if (open_object(r))
			return report_load(r, -errno);
	}
	if (code) {
		unload(r);
		return code;
	}
	tell_hooks(r);
	return EXIT_OK;
}

void bpf_run_detach(struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		bpf_link__destroy(r->hooks[i].link);
		r->hooks[i].link = NULL;
	}
	/* Waits for a grace period: who was in a program has left it. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void bpf_run_unload(struct bpf_run *r)
{
	unload(r);
	for (size_t i = 0; i < r->nhooks; i++)
		buf_free(&r->hooks[i].refused);
	free(r->hooks);
	r->hooks = NULL;
	r->nhooks = 0;
	kernel_close(r->kernel);
	r->kernel = NULL;
}
