// SPDX-License-Identifier: GPL-2.0-or-later
/* Questions to the kernel: answers from type information made for it, and from the running kernel's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "made_btf.h"

#include "libcommon/kernel.c"

static int setup(void **state)
{
	static struct tree tree;

	tree_open(&tree);
	*state = &tree;
	return 0;
}

static int teardown(void **state)
{
	tree_close(*state);
	return 0;
}

/* A kernel of these types and symbols. */
static struct kernel *make(const struct made_btf *m, const struct tree *t, const char *symbols_text)
{
	struct kernel *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->memory = calloc(1, sizeof(*k->memory));
	assert_non_null(k->memory);
	assert_int_equal(types_read(&k->memory->types, made_file(m, t)), 0);
	tree_file(t, "kallsyms", symbols_text);
	assert_int_equal(ksyms_read(&k->memory->ksyms, tree_path(t, "kallsyms")), 0);
	k->memory->ksyms_tried = true;
	return k;
}

static const char one_symbol[] = "ffffffff81000000 T f\n";

static void make_hooks(struct made_btf *m)
{
	const uint32_t params[8] = { 0 };

	made_begin(m);
	made_type(m, BTF_KIND_FUNC_PROTO, "", 4, 0, params, 8);               /* 1 */
	made_type(m, BTF_KIND_PTR, "", 0, 1, NULL, 0);                        /* 2 */
	made_type(m, BTF_KIND_TYPEDEF, "btf_trace_kfree_skb", 0, 2, NULL, 0); /* 3 */
	made_type(m, BTF_KIND_TYPEDEF, "btf_trace_no_ptr", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_TYPEDEF, "btf_trace_itself", 0, 5, NULL, 0); /* 5 */
	made_type(m, BTF_KIND_TYPEDEF, "btf_trace_outside", 0, 99, NULL, 0);
	made_type(m, BTF_KIND_FUNC_PROTO, "", 0, 0, NULL, 0); /* 7 */
	made_type(m, BTF_KIND_PTR, "", 0, 7, NULL, 0);
	made_type(m, BTF_KIND_TYPEDEF, "btf_trace_bare", 0, 8, NULL, 0);
	made_type(m, BTF_KIND_FUNC, "tcp_rcv", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_FUNC, "no_proto", 0, 2, NULL, 0);
	made_type(m, BTF_KIND_FUNC, "nothing", 0, 7, NULL, 0);
	made_type(m, BTF_KIND_TYPEDEF, "not_a_function", 0, 1, NULL, 0);
}

static void arguments_are_counted(void **state)
{
	struct made_btf m;
	struct kernel *k;

	make_hooks(&m);
	k = make(&m, *state, one_symbol);
	assert_int_equal(kernel_tracepoint_args(k, "kfree_skb"), 3); /* without the listener's own */
	assert_int_equal(kernel_tracepoint_args(k, "kfree"), -1);
	assert_int_equal(kernel_tracepoint_args(k, "no_ptr"), -1);
	assert_int_equal(kernel_tracepoint_args(k, "itself"), -1);
	assert_int_equal(kernel_tracepoint_args(k, "outside"), -1);
	assert_int_equal(kernel_tracepoint_args(k, "bare"), -1);
	assert_int_equal(kernel_function_args(k, "tcp_rcv"), 4);
	assert_int_equal(kernel_function_args(k, "nothing"), 0);
	assert_int_equal(kernel_function_args(k, "no_proto"), -1);
	assert_int_equal(kernel_function_args(k, "not_a_function"), -1);
	kernel_close(k);
}

static void make_reasons(struct made_btf *m)
{
	uint32_t v[6];

	made_begin(m);
	v[0] = made_name(m, "SKB_NOT_DROPPED_YET");
	v[1] = 0;
	v[2] = made_name(m, "SKB_DROP_REASON_NO_SOCKET");
	v[3] = 3;
	v[4] = made_name(m, "SKB_DROP_REASON_SUBSYS");
	v[5] = 0xffff0000;
	made_type(m, BTF_KIND_ENUM, "skb_drop_reason", 3, 4, v, 6);
}

static void enums_have_names(void **state)
{
	static const char type[] = "skb_drop_reason", prefix[] = "SKB_DROP_REASON_";
	struct made_btf m;
	struct kernel *k;
	uint64_t value = 77;

	make_reasons(&m);
	k = make(&m, *state, one_symbol);
	assert_string_equal(kernel_enum_name(k, type, prefix, 3), "NO_SOCKET");
	assert_string_equal(kernel_enum_name(k, type, prefix, 0), "SKB_NOT_DROPPED_YET");
	assert_string_equal(kernel_enum_name(k, type, prefix, 0xffff0000), "SUBSYS");
	assert_null(kernel_enum_name(k, type, prefix, 4));
	assert_null(kernel_enum_name(k, "no_such_enum", prefix, 3));
	assert_null(kernel_enum_name(NULL, type, prefix, 3));
	assert_true(kernel_enum_value(k, type, "SKB_DROP_REASON_NO_SOCKET", &value));
	assert_int_equal(value, 3);
	assert_false(kernel_enum_value(k, type, "NO_SOCKET", &value));
	/* What was read once needs the type information no more. */
	kernel_rest(k);
	assert_string_equal(kernel_enum_name(k, type, prefix, 3), "NO_SOCKET");
	kernel_close(k);
}

static void addresses_have_names(void **state)
{
	struct made_btf m;
	struct kernel *k;
	uint64_t from, to;

	make_reasons(&m);
	k = make(&m, *state,
		 "ffffffff81000100 T f\nffffffff81000200 T g\nffffffffc0000000 t h\t[mod]\n");
	assert_string_equal(kernel_symbol(k, 0xffffffff810001ab), "f+0xab");
	assert_string_equal(kernel_symbol(k, 0xffffffffc0000001), "h+0x1 [mod]");
	assert_string_equal(kernel_function(k, 0xffffffff810001ab), "f");
	assert_null(kernel_symbol(k, 5));
	assert_true(kernel_symbol_range(k, "f", &from, &to));
	assert_int_equal(from, 0xffffffff81000100);
	assert_int_equal(to, 0xffffffff81000200);
	assert_false(kernel_symbol_range(k, "none", &from, &to));
	assert_true(kernel_has_symbol(k, "h"));
	kernel_close(k);
}

static void hidden_addresses_stay_numbers(void **state)
{
	struct made_btf m;
	struct kernel *k;
	uint64_t from, to;

	msg_level_set(MSG_QUIET);
	make_reasons(&m);
	k = make(&m, *state, "0000000000000000 T f\n");
	assert_true(kernel_has_symbol(k, "f"));
	assert_null(kernel_symbol(k, 0xffffffff81000000));
	assert_null(kernel_function(k, 0));
	assert_false(kernel_symbol_range(k, "f", &from, &to));
	kernel_close(k);
	msg_level_set(MSG_NORMAL);
}

/* With the machine's own: read, rested, read again. */
static void the_running_kernel_answers(void **state)
{
	struct kernel *k;
	uint64_t established = 0;

	(void)state;
	if (kernel_open(&k))
		skip();
	for (int i = 0; i < 2; i++) {
		assert_in_range(kernel_tracepoint_args(k, "sched_switch"), 3, 8);
		assert_int_equal(kernel_tracepoint_args(k, "no_such_tracepoint"), -1);
		assert_int_equal(kernel_function_args(k, "tcp_v4_rcv"), 1);
		kernel_rest(k);
	}
	assert_non_null(kernel_enum_name(k, "bpf_map_type", "BPF_MAP_TYPE_", 27));
	assert_string_equal(kernel_enum_name(k, "bpf_map_type", "BPF_MAP_TYPE_", 27), "RINGBUF");
	assert_true(kernel_enum_value(k, "bpf_map_type", "BPF_MAP_TYPE_HASH", &established));
	assert_int_equal(established, 1);
	assert_true(kernel_has_symbol(k, "tcp_v4_rcv"));
	assert_in_range(kernel_tick_ns(), 100000, 10000000);
	kernel_close(k);
	kernel_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_are_counted),
		cmocka_unit_test(enums_have_names),
		cmocka_unit_test(addresses_have_names),
		cmocka_unit_test(hidden_addresses_stay_numbers),
		cmocka_unit_test(the_running_kernel_answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
