// SPDX-License-Identifier: GPL-2.0-or-later
/* Which program serves a hook: the first whose place the kernel has, and that it takes. */
#include "bpf_run.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "options.h"
#include "out.h"

/* "tp_btf/name": the kind is what stands before the slash, the target what stands behind it. */
struct bpf_program *bpf_run_program(const struct bpf_run *r, size_t i, struct hook_place *place)
{
	const struct hook *h = &r->tracing->hooks[i];
	const char *name = h->programs[r->hooks[i].program];
	struct bpf_program *prog = bpf_object__find_program_by_name(r->object, name);
	const char *section = prog ? bpf_program__section_name(prog) : "no program";

	snprintf(place->kind, sizeof(place->kind), "%.*s", (int)strcspn(section, "/"), section);
	place->target = strchrnul(section, '/');
	place->target += *place->target == '/';
	return prog;
}

static void refuse(struct hook_state *s, const struct hook_place *place, const char *why)
{
	buf_printf(&s->refused, "%s%s: %s", s->refused.len ? "; " : "", place->kind, why);
}

/* A whole word of the comma-separated list. */
static bool listed(const char *list, const char *kind)
{
	size_t len = strlen(kind);

	for (const char *at = list; (at = strstr(at, kind)); at += len)
		if ((at == list || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* Whether the kernel says that it has the place; NULL: it does, else why not. */
static const char *missing(const struct bpf_run *r, const struct hook_place *place)
{
	const char *kind = place->kind;

	if (r->opt->hooks && !listed(r->opt->hooks, kind))
		return "not among --hooks";
	if (!strcmp(kind, "tp_btf") && kernel_tracepoint_args(r->kernel, place->target) < 0)
		return "this kernel has no such tracepoint";
	if ((!strcmp(kind, "fentry") || !strcmp(kind, "fexit")) &&
	    kernel_function_args(r->kernel, place->target) < 0)
		return "this kernel's BTF has no such function";
	if (strstr(kind, "probe") && !kernel_has_symbol(r->kernel, place->target))
		return "this kernel has no such function";
	return NULL;
}

/* Goes on to the first program from the present one that the kernel may take. */
static void choose(struct bpf_run *r, size_t i)
{
	struct hook_state *s = &r->hooks[i];
	const char *const *programs = r->tracing->hooks[i].programs;

	for (; s->program < HOOK_PROGRAMS && programs[s->program]; s->program++) {
		struct hook_place place = { .kind = "" };
		const char *why = "not in the BPF object";

		if (bpf_run_program(r, i, &place))
			why = missing(r, &place);
		if (!why)
			return;
		refuse(s, &place, why);
	}
	s->program = -1;
}

static bool same_mode(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

bool bpf_run_in_mode(const struct bpf_run *r, const char *mode)
{
	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].program < 0 && !r->hooks[i].unwanted &&
		    same_mode(r->tracing->hooks[i].mode, mode))
			return true;
	return false;
}

/* Hook i has no program: what else serves, or does no longer, in the mode that begins with that. */
static void enter_mode(struct bpf_run *r, size_t i)
{
	const char *mode = r->tracing->hooks[i].mode;

	for (size_t j = 0; mode && j < r->nhooks; j++) {
		const struct hook *h = &r->tracing->hooks[j];
		struct hook_state *s = &r->hooks[j];

		if (j != i && same_mode(h->without, mode)) {
			s->unwanted = true;
			s->program = -1;
		} else if (s->unwanted && same_mode(h->within, mode)) {
			s->unwanted = false;
			s->program = 0;
			choose(r, j);
		}
	}
}

void bpf_run_choose(struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];

		r->hooks[i].unwanted = h->within || (h->wanted && !h->wanted(r->kernel));
		if (r->hooks[i].unwanted)
			r->hooks[i].program = -1;
		else
			choose(r, i);
	}
	for (size_t i = 0; i < r->nhooks; i++)
		if (r->hooks[i].program < 0 && !r->hooks[i].unwanted)
			enter_mode(r, i);
}

static void next_program(struct bpf_run *r, size_t i, int err)
{
	struct hook_state *s = &r->hooks[i];
	struct hook_place place = { .kind = "" };

	bpf_run_program(r, i, &place);
	refuse(s, &place, strerror(-err));
	s->denied |= err == -EPERM;
	s->program++;
	choose(r, i);
	if (s->program < 0)
		enter_mode(r, i);
}

/* Both ends of a function are traced by the same means. */
static bool same_means(const char *a, const char *b)
{
	return !strcmp(a, b) || (*a == 'f' && *b == 'f') || (*a == 'k' && *b == 'k');
}

void bpf_run_next_program(struct bpf_run *r, size_t i, int err)
{
	struct hook_place place = { .kind = "" }, other = place;

	bpf_run_program(r, i, &place);
	next_program(r, i, err);
	/* A policy is about the means, not the function: what would be refused alike is not tried one by one. */
	for (size_t j = 0; err == -EPERM && j < r->nhooks; j++) {
		while (r->hooks[j].program >= 0) {
			bpf_run_program(r, j, &other);
			if (!strcmp(place.kind, "tp_btf") || !same_means(place.kind, other.kind))
				break;
			next_program(r, j, err);
		}
	}
}

int bpf_run_without(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];

		if (r->hooks[i].program < 0 && !r->hooks[i].unwanted && !h->mode && !h->optional)
			return (int)i;
	}
	return -1;
}

void bpf_run_tell_hooks(const struct bpf_run *r)
{
	for (size_t i = 0; i < r->nhooks; i++) {
		const struct hook *h = &r->tracing->hooks[i];
		const struct hook_state *s = &r->hooks[i];
		const char *refused = s->refused.len ? s->refused.data : "";
		struct hook_place place = { .kind = "not needed" };

		if (s->program >= 0)
			bpf_run_program(r, i, &place);
		else if (!s->unwanted)
			snprintf(place.kind, sizeof(place.kind), "missing");
		msg_verbose("hook %s: %s%s%s%s", h->name, place.kind, *refused ? " (" : "", refused,
			    *refused ? ")" : "");
		if (s->program < 0 && !s->unwanted && h->mode) {
			out_set_mode(r->out, h->mode);
			out_note(r->out, "reduced mode %s: cannot trace %s (%s)", h->mode, h->name,
				 refused);
		}
	}
	if (r->tracing->blind)
		msg_verbose("not seen: %s", r->tracing->blind);
}
