// SPDX-License-Identifier: GPL-2.0-or-later
/* Type information: types found by kind and name past all kinds of others, and what is none refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "libcommon/btf.h"
#include "made_btf.h"

enum { KIND_FLOAT = 16, KIND_UNKNOWN = 20 };

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
		assert_null(t.map);
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

/* What a reduction of `kernel` for `object` holds. */
static struct types reduce(const struct made_btf *kernel, const struct made_btf *object,
			   const struct tree *tree)
{
	struct types from, names, small;
	char path[64];
	int fd;

	assert_int_equal(types_read(&names, made_file(object, tree)), 0);
	unlink(tree_path(tree, "btf"));
	assert_int_equal(types_read(&from, made_file(kernel, tree)), 0);
	fd = types_reduce(&from, &names);
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(types_read(&small, path), 0);
	close(fd);
	types_free(&from);
	types_free(&names);
	return small;
}

/* The kernel: struct sock { const u16 num; struct { int inum; } ns; struct sock *next; char name[4]; } and more. */
static void make_kernel(struct made_btf *m)
{
	uint32_t v[12] = { 0 };

	made_begin(m);
	made_type(m, BTF_KIND_INT, "unused", 0, 8, v, 1);          /* 1 */
	made_type(m, BTF_KIND_INT, "short", 0, 2, v, 1);           /* 2 */
	made_type(m, BTF_KIND_TYPEDEF, "u16", 0, 2, NULL, 0);      /* 3 */
	made_type(m, BTF_KIND_CONST, "", 0, 3, NULL, 0);           /* 4 */
	made_type(m, BTF_KIND_STRUCT, "elsewhere", 0, 4, NULL, 0); /* 5 */
	v[0] = made_name(m, "inum"), v[1] = 2;
	made_type(m, BTF_KIND_STRUCT, "", 1, 4, v, 3); /* 6 */
	made_type(m, BTF_KIND_PTR, "", 0, 5, NULL, 0); /* 7 */
	v[0] = 2, v[1] = 2, v[2] = 4;
	made_type(m, BTF_KIND_ARRAY, "", 0, 0, v, 3); /* 8 */
	for (uint32_t i = 0; i < 4; i++) {
		static const char *const members[] = { "num", "ns", "next", "name" };
		static const uint32_t types[] = { 4, 6, 7, 8 };

		v[i * 3] = made_name(m, members[i]);
		v[i * 3 + 1] = types[i];
		v[i * 3 + 2] = i * 32;
	}
	made_type(m, BTF_KIND_STRUCT, "sock", 4, 16, v, 12); /* 9 */
	v[0] = made_name(m, "RED"), v[1] = 7;
	made_type(m, BTF_KIND_ENUM, "color", 1, 4, v, 2);     /* 10 */
	made_type(m, BTF_KIND_STRUCT, "sock", 0, 1, NULL, 0); /* 11: another of that name */
}

static const char *member(const struct types *t, const struct btf_type *type, uint32_t i,
			  const struct btf_type **of)
{
	const struct btf_member *m = (const struct btf_member *)(type + 1) + i;

	*of = types_get(t, m->type);
	return types_string(t, m->name_off);
}

static void a_reduction_holds_what_is_named(void **state)
{
	struct made_btf kernel, object;
	struct types t;
	const struct btf_type *sock, *of;

	make_kernel(&kernel);
	made_begin(&object);
	made_type(&object, BTF_KIND_STRUCT, "sock___old", 0, 4, NULL, 0);
	made_type(&object, BTF_KIND_ENUM, "color", 0, 4, NULL, 0);
	made_type(&object, BTF_KIND_STRUCT, "own", 0, 4, NULL, 0);
	made_type(&object, BTF_KIND_FUNC, "elsewhere", 0, 0, NULL, 0);
	t = reduce(&kernel, &object, *state);
	assert_int_equal(t.n, 9); /* all but "unused" and "elsewhere" */
	assert_null(types_find(&t, BTF_KIND_INT, "unused"));
	assert_null(types_find(&t, BTF_KIND_STRUCT, "elsewhere"));
	sock = types_find(&t, BTF_KIND_STRUCT, "sock");
	assert_non_null(sock);
	assert_int_equal(sock->size, 16);
	assert_int_equal(BTF_INFO_VLEN(sock->info), 4);
	assert_string_equal(member(&t, sock, 0, &of), "num");
	assert_int_equal(BTF_INFO_KIND(of->info), BTF_KIND_CONST);
	of = types_get(&t, of->type);
	assert_string_equal(types_string(&t, of->name_off), "u16");
	of = types_get(&t, of->type);
	assert_string_equal(types_string(&t, of->name_off), "short");
	assert_string_equal(member(&t, sock, 1, &of), "ns");
	assert_string_equal(member(&t, of, 0, &of), "inum");
	assert_int_equal(BTF_INFO_KIND(of->info), BTF_KIND_INT);
	assert_string_equal(member(&t, sock, 2, &of), "next");
	assert_int_equal(BTF_INFO_KIND(of->info), BTF_KIND_PTR);
	assert_int_equal(of->type, 0);
	assert_string_equal(member(&t, sock, 3, &of), "name");
	assert_int_equal(BTF_INFO_KIND(of->info), BTF_KIND_ARRAY);
	assert_int_equal(((const struct btf_array *)(of + 1))->nelems, 4);
	of = types_find(&t, BTF_KIND_ENUM, "color");
	assert_string_equal(types_string(&t, ((const struct btf_enum *)(of + 1))->name_off), "RED");
	types_free(&t);
}

static void a_reduction_for_nothing_is_empty(void **state)
{
	struct made_btf kernel, object;
	struct types t;

	make_kernel(&kernel);
	made_begin(&object);
	t = reduce(&kernel, &object, *state);
	assert_int_equal(t.n, 0);
	types_free(&t);
}

/* A module's numbers and strings go on where the kernel's end; its strings need not begin with an empty one. */
static void a_module_goes_on_where_the_kernel_ends(void **state)
{
	const struct btf_type *f;
	struct made_btf kernel, module = { .strings_len = 0 };
	struct types base, t;

	make_all_kinds(&kernel);
	assert_int_equal(types_read(&base, made_file(&kernel, *state)), 0);
	unlink(tree_path(*state, "btf"));
	made_type(&module, BTF_KIND_FUNC, "send", 0, 12, NULL,
		  0); /* 21, of a prototype of the kernel's */
	made_type(&module, BTF_KIND_FUNC_PROTO, "", 3, 0, (uint32_t[6]){ 0 }, 6); /* 22 */
	made_type(&module, BTF_KIND_FUNC, "receive", 0, 22, NULL, 0);             /* 23 */
	made_type(&module, BTF_KIND_FUNC, "", 0, 22, NULL, 0);                    /* 24 */
	module.types[0] += kernel.strings_len;
	module.types[12] += kernel.strings_len;
	module.types[15] = 1 + 4; /* "sock" of the kernel's strings: "int" stands before it */
	assert_int_equal(types_read_module(&t, made_file(&module, *state), &base), 0);
	f = types_find(&t, BTF_KIND_FUNC, "send");
	assert_non_null(f);
	assert_ptr_equal(f, types_get(&t, 21));
	assert_ptr_equal(types_get(&t, f->type), types_get(&base, 12));
	assert_string_equal(types_string(&t, f->name_off), "send");
	f = types_find(&t, BTF_KIND_FUNC, "receive");
	assert_non_null(f);
	assert_int_equal(BTF_INFO_VLEN(types_get(&t, f->type)->info), 3);
	assert_ptr_equal(types_find(&t, BTF_KIND_FUNC, "sock"), types_get(&t, 24));
	assert_null(types_find(&t, BTF_KIND_STRUCT, "last")); /* the kernel's own are asked of it */
	assert_null(types_get(&t, 25));
	types_free(&t);
	types_free(&base);
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
		cmocka_unit_test(a_reduction_holds_what_is_named),
		cmocka_unit_test(a_reduction_for_nothing_is_empty),
		cmocka_unit_test(a_module_goes_on_where_the_kernel_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
