// SPDX-License-Identifier: GPL-2.0-or-later
/* Type information: types found by kind and name past all kinds of others, and what is none refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "libcommon/btf.h"
#include "made_btf.h"

enum { KIND_FLOAT = 16, KIND_DECL_TAG, KIND_TYPE_TAG, KIND_ENUM64, KIND_UNKNOWN };

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

/* One type of each kind before the last, which is found only if each was stepped over by its own size. */
static void make_all_kinds(struct made_btf *m)
{
	const uint32_t data[12] = { 0 };

	made_begin(m);
	made_type(m, BTF_KIND_INT, "int", 0, 4, data, 1);
	made_type(m, BTF_KIND_PTR, "", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_ARRAY, "", 0, 0, data, 3);
	made_type(m, BTF_KIND_STRUCT, "sock", 2, 16, data, 6);
	made_type(m, BTF_KIND_UNION, "u", 1, 8, data, 3);
	made_type(m, BTF_KIND_ENUM, "reasons", 3, 4, data, 6);
	made_type(m, BTF_KIND_FWD, "fwd", 0, 0, NULL, 0);
	made_type(m, BTF_KIND_TYPEDEF, "u32", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_VOLATILE, "", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_CONST, "", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_RESTRICT, "", 0, 1, NULL, 0);
	made_type(m, BTF_KIND_FUNC_PROTO, "", 2, 0, data, 4);
	made_type(m, BTF_KIND_FUNC, "sock", 1, 12, NULL, 0);
	made_type(m, BTF_KIND_VAR, "var", 0, 1, data, 1);
	made_type(m, BTF_KIND_DATASEC, ".data", 2, 0, data, 6);
	made_type(m, KIND_FLOAT, "float", 0, 4, NULL, 0);
	made_type(m, KIND_DECL_TAG, "tag", 0, 1, data, 1);
	made_type(m, KIND_TYPE_TAG, "user", 0, 1, NULL, 0);
	made_type(m, KIND_ENUM64, "big", 2, 8, data, 6);
	made_type(m, BTF_KIND_STRUCT, "last", 0, 24, NULL, 0);
}

static void all_kinds_are_stepped_over(void **state)
{
	struct made_btf m;
	struct types t;
	const struct btf_type *last;

	make_all_kinds(&m);
	assert_int_equal(types_read(&t, made_file(&m, *state)), 0);
	last = types_find(&t, BTF_KIND_STRUCT, "last");
	assert_non_null(last);
	assert_int_equal(last->size, 24);
	assert_ptr_equal(types_get(&t, 20), last);
	assert_string_equal(types_string(&t, last->name_off), "last");
	types_free(&t);
	types_free(&t);
}

static void kind_and_whole_name_decide(void **state)
{
	struct made_btf m;
	struct types t;

	made_begin(&m);
	made_type(&m, BTF_KIND_INT, "mysock", 0, 4, &(uint32_t){ 0 }, 1);
	made_type(&m, BTF_KIND_INT, "sockets", 0, 4, &(uint32_t){ 0 }, 1);
	made_type(&m, BTF_KIND_STRUCT, "sock", 0, 4, NULL, 0);
	assert_int_equal(types_read(&t, made_file(&m, *state)), 0);
	assert_ptr_equal(types_find(&t, BTF_KIND_STRUCT, "sock"), types_get(&t, 3));
	assert_null(types_find(&t, BTF_KIND_STRUCT, "sockets"));
	assert_null(types_find(&t, BTF_KIND_FUNC, "sock"));
	assert_null(types_find(&t, BTF_KIND_STRUCT, "ock"));
	assert_null(types_find(&t, BTF_KIND_STRUCT, ""));
	types_free(&t);
}

static void numbers_outside_are_nothing(void **state)
{
	struct made_btf m;
	struct types t;

	make_all_kinds(&m);
	assert_int_equal(types_read(&t, made_file(&m, *state)), 0);
	assert_null(types_get(&t, 0));
	assert_null(types_get(&t, 21));
	assert_null(types_get(&t, UINT32_MAX));
	assert_string_equal(types_string(&t, UINT32_MAX), "");
	types_free(&t);
}

/* What follows a kind that is not known cannot be found, what stands before it can. */
static void an_unknown_kind_ends_the_walk(void **state)
{
	struct made_btf m;
	struct types t;

	made_begin(&m);
	made_type(&m, BTF_KIND_STRUCT, "before", 0, 4, NULL, 0);
	made_type(&m, KIND_UNKNOWN, "new", 0, 4, NULL, 0);
	made_type(&m, BTF_KIND_STRUCT, "behind", 0, 4, NULL, 0);
	assert_int_equal(types_read(&t, made_file(&m, *state)), 0);
	assert_non_null(types_find(&t, BTF_KIND_STRUCT, "before"));
	assert_null(types_find(&t, BTF_KIND_STRUCT, "behind"));
	types_free(&t);
}

/* More members than there are bytes: the walk stops before it. */
static void a_type_longer_than_the_file_is_none(void **state)
{
	struct made_btf m;
	struct types t;

	made_begin(&m);
	made_type(&m, BTF_KIND_STRUCT, "huge", 0xffff, 4, NULL, 0);
	assert_int_equal(types_read(&t, made_file(&m, *state)), 0);
	assert_null(types_find(&t, BTF_KIND_STRUCT, "huge"));
	assert_null(types_get(&t, 1));
	types_free(&t);
}

static int read_with(const struct made_btf *m, struct btf_header h, const struct tree *tree)
{
	char bytes[4096];
	struct types t;
	int err;

	tree_bytes(tree, "btf", bytes, made_bytes(m, &h, bytes));
	err = types_read(&t, tree_path(tree, "btf"));
	if (err) {
		assert_null(t.data);
		assert_null(t.types);
	} else {
		types_free(&t);
	}
	return err;
}

static void a_header_that_lies_is_refused(void **state)
{
	struct made_btf m;
	struct btf_header h;

	make_all_kinds(&m);
	assert_int_equal(read_with(&m, made_header(&m), *state), 0);
	h = made_header(&m);
	h.magic = 0x9feb; /* the other byte order */
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.type_len = 1 << 20;
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.type_off = UINT32_MAX - 3;
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.str_len++;
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.str_len = 0;
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.str_len--; /* the last name has no end */
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
	h = made_header(&m);
	h.type_off = 2; /* types are words */
	assert_int_equal(read_with(&m, h, *state), -EBADMSG);
}

/* However short a file is cut, it is refused, and nothing is read behind its end (valgrind, ASan). */
static void a_file_cut_short_is_refused(void **state)
{
	struct made_btf m;
	struct btf_header h;
	char bytes[4096];
	struct types t;
	size_t len;

	make_all_kinds(&m);
	h = made_header(&m);
	len = made_bytes(&m, &h, bytes);
	for (size_t cut = 0; cut < len; cut++) {
		tree_bytes(*state, "btf", bytes, cut);
		assert_int_equal(types_read(&t, tree_path(*state, "btf")), -EBADMSG);
	}
	assert_int_equal(types_read(&t, tree_path(*state, "not there")), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_are_stepped_over),
		cmocka_unit_test(kind_and_whole_name_decide),
		cmocka_unit_test(numbers_outside_are_nothing),
		cmocka_unit_test(an_unknown_kind_ends_the_walk),
		cmocka_unit_test(a_type_longer_than_the_file_is_none),
		cmocka_unit_test(a_header_that_lies_is_refused),
		cmocka_unit_test(a_file_cut_short_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
