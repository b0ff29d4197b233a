// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pod names from what kubelet and runtime leave on disk, and files below a root that is not ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "libcommon/pod.h"
#include "libcommon/roots.h"
#include "libcommon/runtime.h"
#include "libcommon/target.h"
#include "libcommon/util.h"
#include "tests/unit/tree.h"

#define U "0f2e7d6c-1111-4222-8333-abcdefabcdef"
#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_pod_log(void **state)
{
	static const struct {
		const char *file, *namespace, *pod, *uid;
	} cases[] = {
		{ "shop_web-0_" U, "shop", "web-0", U },
		{ "kube-system_etcd.node-a_5f1d7a1b2c3d4e5f60718293a4b5c6d7", "kube-system",
		  "etcd.node-a", "5f1d7a1b2c3d4e5f60718293a4b5c6d7" },
		{ "shop_web_my_own_uid", "shop", "web", "my-own-uid" },
		{ "a_b_c", "a", "b", "c" },
		{ LONG63 "_b_c", LONG63, "b", "c" },
		{ LONG63 "a_b_c" },
		{ U },
		{ "shop_web" },
		{ "shop_web_" },
		{ "_web_" U },
		{ "shop__" U },
		{ "Shop_web_" U },
		{ "shop_web\n_" U },
		{ "shop_we\"b_" U },
		{ "shop_..-x_" U },
		{ "sh.op_web_" U },
		{ "-shop_web_" U },
		{ "shop_web-_" U },
		{ "shop_web._" U },
		{ "shop_web_a b" },
		{ "" },
	};
	struct pod_name name;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s\n", cases[i].file);
		assert_int_equal(pod_log_split(cases[i].file, &name), cases[i].uid != NULL);
		if (!cases[i].uid)
			continue;
		assert_string_equal(name.namespace, cases[i].namespace);
		assert_string_equal(name.pod, cases[i].pod);
		assert_string_equal(name.uid, cases[i].uid);
	}
}

static void test_container_log(void **state)
{
	static const char *const wrong[] = {
		"web-0_shop_app-" ID,
		"web-0_shop_app-" LONG63 ".log",
		"web-0_shop_app" ID ".log",
		"web-0_shop_-" ID ".log",
		"web-0_shop-app-" ID ".log",
		"web-0_shop_ap_p-" ID ".log",
		"web-0_Shop_app-" ID ".log",
		"web\n0_shop_app-" ID ".log",
		"web-0_shop_app-" LONG63 "g.log",
		"web-0_shop_app-" ID ".log.1",
		"_shop_app-" ID ".log",
		ID ".log",
		"web-0_shop_a",
		"",
	};
	char id[CONTAINER_ID_LEN + 1];
	struct pod_name name;

	(void)state;
	assert_true(container_log_split("web-0_shop_my-app-" ID ".log", &name, id));
	assert_string_equal(name.namespace, "shop");
	assert_string_equal(name.pod, "web-0");
	assert_string_equal(name.uid, "");
	assert_string_equal(id, ID);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		print_message("%s\n", wrong[i]);
		assert_false(container_log_split(wrong[i], &name, id));
	}
}

/* What a round asks of a tree. */
struct ground {
	struct tree tree;
	struct roots roots;
	struct pods *pods;
	struct pod_name name;
};

static int setup(void **state)
{
	static struct ground g;

	tree_open(&g.tree);
	g.roots = (struct roots){ .rootfs = g.tree.root };
	g.pods = pods_open(&g.roots, NULL);
	assert_non_null(g.pods);
	*state = &g;
	return 0;
}

static int teardown(void **state)
{
	struct ground *g = *state;

	pods_close(g->pods);
	tree_close(&g->tree);
	return 0;
}

/*
 * A miss is remembered for the round only; a directory made in the same instant as the last look is
 * found.
 */
static void test_rounds(void **state)
{
	struct ground *g = *state;
	struct timespec times[2];
	struct stat st;

	assert_false(pod_by_uid(g->pods, U, &g->name));
	tree_file(&g->tree, "var/log/pods/shop_web-0_" U "/app/0.log", "");
	assert_false(pod_by_uid(g->pods, U, &g->name));
	pods_round(g->pods);
	assert_true(pod_by_uid(g->pods, U, &g->name));
	assert_string_equal(g->name.namespace, "shop");
	assert_string_equal(g->name.pod, "web-0");
	assert_string_equal(g->name.source, "pod log directory");
	assert_int_equal(stat(tree_path(&g->tree, "var/log/pods"), &st), 0);
	tree_file(&g->tree, "var/log/pods/shop_web-1_other/app/0.log", "");
	/* A clock too coarse to tell the two changes apart. */
	times[0] = times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, tree_path(&g->tree, "var/log/pods"), times, 0), 0);
	pods_round(g->pods);
	assert_true(pod_by_uid(g->pods, "other", &g->name));
	assert_string_equal(g->name.pod, "web-1");
	assert_false(pod_by_uid(g->pods, "none", &g->name));
	assert_false(pods_denied(g->pods));
}

static void test_container_names(void **state)
{
	struct ground *g = *state;

	tree_file(&g->tree, "var/log/containers/web-0_shop_app-" ID ".log", "");
	assert_true(pod_by_container(g->pods, ID, &g->name));
	assert_string_equal(g->name.namespace, "shop");
	assert_string_equal(g->name.pod, "web-0");
	assert_string_equal(g->name.source, "container log name");
}

static void test_pod_logs_option(void **state)
{
	struct ground *g = *state;
	struct pods *pods = pods_open(&g->roots, tree_path(&g->tree, "data/pods"));

	tree_file(&g->tree, "data/pods/shop_web-0_" U "/app/0.log", "");
	assert_true(pod_by_uid(pods, U, &g->name));
	assert_false(pod_by_uid(g->pods, U, &g->name));
	pods_close(pods);
}

#define CONTAINERD "run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json"
#define CRI "io.kubernetes.cri.sandbox-"

static int ask(struct ground *g, const char *text)
{
	tree_file(&g->tree, CONTAINERD, text);
	memset(&g->name, 0, sizeof(g->name));
	return runtime_pod(&g->roots, ID, &g->name);
}

static void test_annotations(void **state)
{
	struct ground *g = *state;

	assert_int_equal(runtime_pod(&g->roots, ID, &g->name), -ENOENT);
	assert_int_equal(ask(g, "{\"annotations\":{\"" CRI "namespace\":\"shop\",\"" CRI
				"name\":\"web-0\",\"" CRI "uid\":\"" U "\"}}"),
			 0);
	assert_string_equal(g->name.namespace, "shop");
	assert_string_equal(g->name.pod, "web-0");
	assert_string_equal(g->name.uid, U);
	assert_string_equal(g->name.source, "containerd annotations");
	/* An old containerd does not write the UID; escapes are only another spelling. */
	assert_int_equal(ask(g, "{\"x\":[{}],\"annotations\":{\"" CRI
				"namespace\":\"sh\\u006fp\",\"" CRI "name\":\"web-1\"},\"y\":1}"),
			 0);
	assert_string_equal(g->name.namespace, "shop");
	assert_string_equal(g->name.uid, "");
	/* The last of several counts, even where it is no string. */
	assert_int_equal(ask(g, "{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI
				"name\":\"b\",\"" CRI "name\":\"c\",\"" CRI "namespace\":\"d\"}}"),
			 0);
	assert_string_equal(g->name.namespace, "d");
	assert_string_equal(g->name.pod, "c");
	assert_int_equal(ask(g, "{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI
				"name\":\"b\",\"" CRI "name\":{\"z\":1}}}"),
			 -ENOENT);
	assert_int_equal(ask(g, "{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"},"
				"\"annotations\":null}"),
			 -ENOENT);
}

static void test_annotations_elsewhere(void **state)
{
	struct ground *g = *state;
	static const char *const none[] = {
		/* Only the object at the top counts, and not text that looks like it. */
		"{\"linux\":{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"}}}",
		"{\"annotations\":{\"deeper\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"}}}",
		"{\"x\":\"\\\"annotations\\\":{\\\"" CRI "namespace\\\":\\\"a\\\",\\\"" CRI
		"name\\\":\\\"b\\\"}\"}",
		"{\"annotations\":[\"" CRI "namespace\",\"a\"]}",
		"{\"annotations\":{\"" CRI "namespace\":\"a\"}}",
		/* No names Kubernetes would give. */
		"{\"annotations\":{\"" CRI "namespace\":\"../etc\",\"" CRI "name\":\"b\"}}",
		"{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\\u0000c\"}}",
		"{\"annotations\":{\"" CRI "namespace\":\"a\\n\",\"" CRI "name\":\"b\"}}",
		"{\"annotations\":{\"" CRI "namespace\":\"\",\"" CRI "name\":\"\"}}",
		"{}",
	};
	static const char *const broken[] = {
		"",
		"[",
		"{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"}",
		"{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"}} x",
		"{\"annotations\":{\"" CRI "namespace\":\"a\",\"" CRI "name\":\"b\"},}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		print_message("%s\n", none[i]);
		assert_int_equal(ask(g, none[i]), -ENOENT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		assert_int_equal(ask(g, broken[i]), -ENOENT);
}

/* Each runtime's place; a broken file in one does not hide a good one in the next. */
static void test_runtimes(void **state)
{
#define PODMAN                                                                                     \
	"{\"annotations\":{\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.name\":\"web\"}}"
	static const struct {
		const char *path, *text, *source;
	} places[] = {
		{ "var/lib/docker/containers/" ID "/config.v2.json",
		  "{\"Config\":{\"Labels\":{\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.name\":\"web\"}}}",
		  "docker labels" },
		{ "var/lib/containers/storage/overlay-containers/" ID "/userdata/config.json",
		  PODMAN, "CRI-O annotations" },
		{ "run/containers/storage/overlay-containers/" ID "/userdata/config.json", PODMAN,
		  "CRI-O annotations" },
		{ "run/k0s/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json",
		  "{\"annotations\":{\"" CRI "namespace\":\"shop\",\"" CRI "name\":\"web\"}}",
		  "containerd annotations" },
	};
	struct ground *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		tree_file(&g->tree, places[i].path, places[i].text);
		memset(&g->name, 0, sizeof(g->name));
		assert_int_equal(runtime_pod(&g->roots, ID, &g->name), 0);
		assert_string_equal(g->name.pod, "web");
		assert_string_equal(g->name.source, places[i].source);
	}
	assert_int_equal(ask(g, "{"), 0);
	assert_string_equal(g->name.source, "containerd annotations");
}

static void test_large(void **state)
{
	static const char head[] = "{\"annotations\":{\"" CRI "namespace\":\"shop\",\"" CRI
				   "name\":\"web\"},\"x\":\"";
	struct ground *g = *state;
	struct buf b = { 0 };

	for (size_t size = 4 << 20; size <= 5 << 20; size += 1 << 20) {
		b.len = 0;
		buf_str(&b, head);
		while (b.len < size - 2)
			buf_str(&b, "x");
		buf_str(&b, "\"}");
		tree_bytes(&g->tree, CONTAINERD, b.data, b.len);
		assert_int_equal(runtime_pod(&g->roots, ID, &g->name),
				 size == 4 << 20 ? 0 : -ENOENT);
	}
	buf_free(&b);
}

static bool readable(struct ground *g, const char *path, int *err)
{
	int fd = root_open(&g->roots, path, O_RDONLY);
	char c = 0;
	bool ok = fd >= 0 && read(fd, &c, 1) == 1 && c == 'x';

	*err = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static void make_links(struct ground *g)
{
	tree_file(&g->tree, "data/file", "x");
	tree_link(&g->tree, "var/absolute", "/data");
	tree_link(&g->tree, "var/climbing", "../../../../data");
	tree_link(&g->tree, "var/outside", "/etc/passwd");
	tree_link(&g->tree, "var/last", "/data/file");
}

/* Links mean what they mean to the machine whose root this is. */
static void test_root_open(void **state)
{
	struct ground *g = *state;
	int err;

	make_links(g);
	assert_true(readable(g, "data/file", &err));
	assert_true(readable(g, "var/absolute/file", &err));
	assert_true(readable(g, "var/climbing/file", &err));
	assert_true(readable(g, "var/last", &err));
	assert_true(readable(g, "../../data/file", &err));
	assert_false(readable(g, "var/outside", &err));
	assert_int_equal(err, -ENOENT);
	assert_false(readable(g, "data/none", &err));
	assert_int_equal(err, -ENOENT);
}

static int forbid_openat2(int with)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)with),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a child: what is reached without openat2. A bit for each thing that went wrong. */
static int walk_by_steps(struct ground *g, int with)
{
	struct roots slash = { .rootfs = (char *)"" };
	int err, wrong = 0, fd;

	if (forbid_openat2(with))
		return 1;
	wrong |= readable(g, "data/file", &err) ? 0 : 2;
	wrong |= readable(g, "var/absolute/file", &err) || !err ? 4 : 0;
	wrong |= readable(g, "var/climbing/file", &err) || !err ? 8 : 0;
	wrong |= readable(g, "var/last", &err) || !err ? 16 : 0;
	wrong |= readable(g, "data/../data/file", &err) || !err ? 32 : 0;
	fd = root_open(&slash, "proc/self/status", O_RDONLY);
	return wrong | (fd < 0 ? 64 : 0);
}

static void test_old_kernel(void **state)
{
	static const int errors[] = { ENOSYS, EPERM };
	struct ground *g = *state;

	make_links(g);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(walk_by_steps(g, errors[i]));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pod_log),
		cmocka_unit_test(test_container_log),
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_container_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pod_logs_option, setup, teardown),
		cmocka_unit_test_setup_teardown(test_annotations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_annotations_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runtimes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_root_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_kernel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
