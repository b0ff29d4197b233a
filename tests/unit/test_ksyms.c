// SPDX-License-Identifier: GPL-2.0-or-later
/* The symbol table: functions by address and name, with lines no kernel should write and addresses it hides. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "libcommon/ksyms.h"
#include "tree.h"

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

static int read_text(struct ksyms *ks, const struct tree *t, const char *text)
{
	tree_file(t, "kallsyms", text);
	return ksyms_read(ks, tree_path(t, "kallsyms"));
}

static const char *name_at(const struct ksyms *ks, uint64_t address)
{
	uint64_t end;
	const struct ksym *s = ksyms_find(ks, address, &end);

	return s ? ksym_name(ks, s) : NULL;
}

static void addresses_fall_into_functions(void **state)
{
	struct ksyms ks;
	const struct ksym *s;
	uint64_t end;

	assert_int_equal(read_text(&ks, *state,
				   "ffffffff81000100 T tcp_v4_rcv\n"
				   "ffffffff81000180 D some_data\n"
				   "ffffffff81000200 t local\n"
				   "ffffffffc0000000 t nf_hook\t[nf_tables]\n"
				   "ffffffffc0000100 t nft_do\t[nf_tables]\n"
				   "ffffffffc0001000 W br_in\t[bridge]\n"),
			 0);
	assert_int_equal(ks.n, 5);
	assert_string_equal(name_at(&ks, 0xffffffff81000100), "tcp_v4_rcv");
	assert_string_equal(name_at(&ks, 0xffffffff810001ff), "tcp_v4_rcv");
	assert_string_equal(name_at(&ks, 0xffffffff81000200), "local");
	s = ksyms_find(&ks, 0xffffffffc0000010, &end);
	assert_string_equal(ksym_name(&ks, s), "nf_hook");
	assert_string_equal(ks.names + s->module, "nf_tables");
	assert_int_equal(end, 0xffffffffc0000100);
	assert_int_equal(s->module, ksyms_named(&ks, "nft_do")->module);
	assert_string_equal(ks.names + ksyms_named(&ks, "br_in")->module, "bridge");
	assert_null(ksyms_named(&ks, "some_data"));
	assert_null(ksyms_named(&ks, "tcp_v4"));
	ksyms_free(&ks);
}

static void an_address_in_no_function_has_no_name(void **state)
{
	struct ksyms ks;

	assert_int_equal(
		read_text(&ks, *state, "ffffffff81000000 T first\nffffffff81000100 T last\n"), 0);
	assert_null(name_at(&ks, 0));
	assert_null(name_at(&ks, 0xffffffff80ffffff));
	assert_null(name_at(&ks, UINT64_MAX));
	assert_null(name_at(&ks, 0xffffffff82000000));
	assert_string_equal(name_at(&ks, 0xffffffff81000fff), "last");
	ksyms_free(&ks);
}

/* Modules stand behind the kernel in the file, not always in memory; aliases give one name each time. */
static void order_does_not_matter(void **state)
{
	struct ksyms ks;

	assert_int_equal(read_text(&ks, *state,
				   "ffffffffc0000000 t late\t[m]\n"
				   "ffffffff81000100 T alias_a\n"
				   "ffffffff81000100 T alias_b\n"
				   "ffffffff81000000 T early\n"),
			 0);
	assert_string_equal(name_at(&ks, 0xffffffff81000010), "early");
	assert_string_equal(name_at(&ks, 0xffffffff81000110), name_at(&ks, 0xffffffff81000100));
	assert_string_equal(name_at(&ks, 0xffffffffc0000001), "late");
	ksyms_free(&ks);
}

static void odd_lines_are_passed_over(void **state)
{
	struct ksyms ks;

	assert_int_equal(read_text(&ks, *state,
				   "\n"
				   "no address T at_all\n"
				   "ffffffff81000000\n"
				   "ffffffff81000000 \n"
				   "ffffffff81000000 T\n"
				   "ffffffff81000000 TT two\n"
				   "ffffffff81000000 T good\n"
				   "ffffffff81000040 t tail\t[\n"
				   "ffffffff81000080 t no_end\t[mod"),
			 0);
	assert_int_equal(ks.n, 3);
	assert_string_equal(name_at(&ks, 0xffffffff81000000), "good");
	assert_string_equal(ks.names + ksyms_named(&ks, "tail")->module, "");
	assert_string_equal(ks.names + ksyms_named(&ks, "no_end")->module, "mod");
	ksyms_free(&ks);
}

/* Names are there all the same: which function a kernel has needs no privilege. */
static void hidden_addresses_name_nothing(void **state)
{
	struct ksyms ks;

	assert_int_equal(
		read_text(&ks, *state, "0000000000000000 T tcp_v4_rcv\n0000000000000000 T local\n"),
		0);
	assert_true(ks.hidden);
	assert_null(name_at(&ks, 0));
	assert_null(name_at(&ks, 0xffffffff81000000));
	assert_non_null(ksyms_named(&ks, "local"));
	ksyms_free(&ks);
}

/* Per-CPU symbols of older kernels begin at 0: that is no sign of hiding. */
static void a_zero_among_others_hides_nothing(void **state)
{
	struct ksyms ks;

	assert_int_equal(
		read_text(&ks, *state, "0000000000000000 T zero\nffffffff81000000 T real\n"), 0);
	assert_false(ks.hidden);
	assert_string_equal(name_at(&ks, 0xffffffff81000000), "real");
	ksyms_free(&ks);
}

static void a_file_without_functions_is_refused(void **state)
{
	struct ksyms ks;

	assert_int_equal(read_text(&ks, *state, ""), -EBADMSG);
	assert_int_equal(read_text(&ks, *state, "ffffffff81000000 D data\n"), -EBADMSG);
	assert_null(ks.v);
	assert_int_equal(ksyms_read(&ks, tree_path(*state, "none")), -ENOENT);
	assert_null(ksyms_named(&ks, "x"));
	assert_null(name_at(&ks, 1));
}

static void modules_come_and_go(void **state)
{
	const struct tree *t = *state;
	struct ksyms ks;

	assert_int_equal(read_text(&ks, t, "ffffffff81000000 T a\n"), 0);
	tree_file(t, "modules", "nf_tables 303104 3 nft_ct, Live 0x0000000000000000\n");
	assert_false(ksyms_stale(&ks, tree_path(t, "modules"), 5000000000));
	/* Who uses it is no change; and one that is, is seen a second later. */
	tree_file(t, "modules", "nf_tables 303104 4 nft_ct, Live 0x0000000000000000\n");
	assert_false(ksyms_stale(&ks, tree_path(t, "modules"), 6000000000));
	tree_file(t, "modules", "nft_ct 20480 1 - Live 0x0\nnf_tables 303104 4 nft_ct, Live 0x0\n");
	assert_false(ksyms_stale(&ks, tree_path(t, "modules"), 6500000000));
	assert_true(ksyms_stale(&ks, tree_path(t, "modules"), 7000000000));
	assert_false(ksyms_stale(&ks, tree_path(t, "modules"), 8000000000));
	ksyms_free(&ks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_fall_into_functions),
		cmocka_unit_test(an_address_in_no_function_has_no_name),
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(odd_lines_are_passed_over),
		cmocka_unit_test(hidden_addresses_name_nothing),
		cmocka_unit_test(a_zero_among_others_hides_nothing),
		cmocka_unit_test(a_file_without_functions_is_refused),
		cmocka_unit_test(modules_come_and_go),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
