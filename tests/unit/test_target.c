// SPDX-License-Identifier: GPL-2.0-or-later
/* What one round hands to the probes, what stays between rounds, and entering namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "libcommon/arena.h"
#include "libcommon/netns.h"
#include "libcommon/probe.h"
#include "libcommon/target.h"
#include "libcommon/util.h"
#include "tests/unit/tree.h"

#define U "0f2e7d6c-1111-4222-8333-abcdefabcdef"
#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct node {
	struct tree tree;
	struct target_options opt;
	struct target_finder *finder;
	char procfs[128], rootfs[128];
};

static void process(struct node *n, int pid, const char *netns, const char *cgroup)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "proc/%d/cgroup", pid);
	snprintf(text, sizeof(text), "0::%s\n", cgroup);
	tree_file(&n->tree, path, text);
	snprintf(path, sizeof(path), "proc/%d/ns/net", pid);
	snprintf(text, sizeof(text), "net:[%s]", netns);
	tree_link(&n->tree, path, text);
	snprintf(path, sizeof(path), "net/%s/dev", netns);
	tree_file(&n->tree, path, "");
	snprintf(path, sizeof(path), "proc/%d/net", pid);
	snprintf(text, sizeof(text), "../../net/%s", netns);
	tree_link(&n->tree, path, text);
}

static int setup(void **state)
{
	static struct node n;

	n = (struct node){ 0 };
	tree_open(&n.tree);
	snprintf(n.procfs, sizeof(n.procfs), "%s/proc", n.tree.root);
	snprintf(n.rootfs, sizeof(n.rootfs), "%s/root", n.tree.root);
	tree_file(&n.tree, "root/etc/hostname", "Node-A\n");
	process(&n, 1, "4026531840", "/init.scope");
	process(&n, 12, "4026532111", "/kubepods/pod" U "/" ID);
	process(&n, 9, "4026532111", "/kubepods/pod" U "/" ID);
	process(&n, 100, "4026532111", "/user.slice");
	n.opt = (struct target_options){ .procfs = n.procfs, .rootfs = n.rootfs };
	*state = &n;
	return 0;
}

static int teardown(void **state)
{
	struct node *n = *state;

	finder_close(n->finder);
	tree_close(&n->tree);
	return 0;
}

static struct targets *load(struct node *n)
{
	struct targets *ts = NULL;

	if (!n->finder)
		assert_int_equal(finder_open(&n->opt, &n->finder), 0);
	assert_int_equal(targets_load(n->finder, &ts), 0);
	return ts;
}

static void choose(struct node *n, struct selector *s, size_t count)
{
	n->opt.selectors = s;
	n->opt.nselectors = count;
}

static void test_round(void **state)
{
	struct node *n = *state;
	struct targets *ts;
	const struct target *pod;

	tree_file(&n->tree, "root/var/log/pods/shop_web-0_" U "/app/0.log", "");
	ts = load(n);
	assert_int_equal(ts->n, 2);
	assert_int_equal(ts->npids, 4);
	assert_int_equal(ts->refused, 0);
	assert_int_equal(ts->nmissing, 0);
	assert_false(ts->hidepid);
	assert_null(ts->own);
	assert_non_null(ts->host);
	assert_string_equal(ts->host->pod, "hostNetwork");
	assert_string_equal(ts->host->namespace, "hostNetwork");
	assert_string_equal(ts->host->node, "node-a");
	assert_int_equal(ts->host->netns, 4026531840);
	assert_true(ts->host->host && ts->host->selected);
	assert_int_equal(ts->host->npids, 1);
	assert_int_equal(ts->host->pids[0], 1);
	assert_null(ts->host->uid);

	pod = target_by_netns(ts, 4026532111);
	assert_ptr_equal(pod, &ts->v[1]);
	assert_string_equal(pod->namespace, "shop");
	assert_string_equal(pod->pod, "web-0");
	assert_string_equal(pod->uid, U);
	assert_string_equal(pod->container, ID);
	assert_false(pod->host);
	assert_true(pod->key && pod->key != ts->host->key);
	assert_null(pod->mount);
	assert_int_equal(pod->npids, 3);
	assert_true(pod->pids[0] == 9 && pod->pids[1] == 12 && pod->pids[2] == 100);
	assert_null(target_by_netns(ts, 0));
	assert_null(target_by_netns(ts, 4026539999));
	targets_free(ts);
}

/* Labels come late, pods come and go, and a round outlives the next one's start. */
static void test_rounds(void **state)
{
	struct node *n = *state;
	struct targets *first = load(n), *second, *third;

	assert_string_equal(first->v[0].pod, "uid:" U);
	assert_string_equal(first->v[0].namespace, "-");
	tree_file(&n->tree, "root/var/log/pods/shop_web-0_" U "/app/0.log", "");
	second = load(n);
	assert_string_equal(second->v[1].pod, "web-0");
	assert_string_equal(first->v[0].pod, "uid:" U);
	process(n, 200, "4026532222", "/");
	third = load(n);
	targets_free(first);
	targets_free(second);
	assert_int_equal(third->n, 3);
	assert_string_equal(third->v[0].pod, "netns:4026532222");
	assert_string_equal(third->v[2].pod, "web-0");
	targets_free(third);
}

/*
 * Targets that are not chosen are there all the same: the host's labels and late events need them.
 */
static void test_selected(void **state)
{
	struct selector s[] = { { SEL_CONTAINER, "aaaaaaaa" }, { SEL_POD, "none/x" } };
	struct node *n = *state;
	struct targets *ts;

	choose(n, s, 2);
	ts = load(n);
	assert_int_equal(ts->n, 2);
	assert_true(ts->v[0].selected);
	assert_int_equal(ts->v[0].npids, 2);
	assert_true(ts->v[0].pids[0] == 9 && ts->v[0].pids[1] == 12);
	assert_false(ts->host->selected);
	assert_int_equal(ts->host->npids, 1);
	assert_int_equal(ts->nmissing, 1);
	assert_string_equal(ts->missing[0], "--pod none/x");
	assert_int_equal(ts->hidden, 0);
	targets_free(ts);
}

/* Where stderr goes to during a test. */
static int stderr_to(struct node *n)
{
	int old = dup(STDERR_FILENO),
	    fd = open(tree_path(&n->tree, "stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(old >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return old;
}

static size_t stderr_lines(int old, struct buf *b)
{
	size_t lines = 0;

	lseek(STDERR_FILENO, 0, SEEK_SET);
	b->len = 0;
	assert_int_equal(buf_read(b, STDERR_FILENO, 1 << 16), 0);
	dup2(old, STDERR_FILENO);
	close(old);
	for (size_t i = 0; i < b->len; i++)
		lines += b->data[i] == '\n';
	return lines;
}

static void test_said_once(void **state)
{
	struct selector s[] = { { SEL_POD, "etcd" } };
	struct node *n = *state;
	struct buf b = { 0 };
	int old;

	process(n, 300, "4026531840", "/kubepods/pod99999999-aaaa-4bbb-8ccc-dddddddddddd/x");
	tree_file(&n->tree,
		  "root/var/log/pods/kube-system_etcd_99999999-aaaa-4bbb-8ccc-dddddddddddd/a/0.log",
		  "");
	choose(n, s, 1);
	old = stderr_to(n);
	for (int i = 0; i < 3; i++)
		targets_free(load(n));
	assert_int_equal(stderr_lines(old, &b), 1);
	assert_non_null(strstr(
		b.data, "pod kube-system/etcd uses the host network: counters are the node's"));
	buf_free(&b);
}

static void test_report(void **state)
{
	struct selector s[] = { { SEL_NETNS, "4026539999" }, { SEL_NETNS, "pid:12" } };
	struct node *n = *state;
	struct buf b = { 0 };
	struct targets *ts;
	int old;

	choose(n, s, 2);
	ts = load(n);
	old = stderr_to(n);
	assert_int_equal(targets_report_missing(ts), EXIT_NO_TARGET);
	assert_int_equal(stderr_lines(old, &b), 1);
	targets_free(ts);

	/* Now a process whose namespace is known by its key alone: it may be the one. */
	tree_file(&n->tree, "proc/500/cgroup", "0::/\n");
	tree_file(&n->tree, "proc/500/net/dev", "");
	ts = load(n);
	assert_int_equal(ts->hidden, CAP_TO_MASK(CAP_SYS_PTRACE));
	assert_int_equal(ts->nmissing, 1);
	assert_true(target_by_netns(ts, 4026532111)->selected);
	old = stderr_to(n);
	assert_int_equal(targets_report_missing(ts), EXIT_PRIVILEGE);
	stderr_lines(old, &b);
	assert_non_null(strstr(b.data, "no network namespace matches --netns 4026539999\n"));
	targets_free(ts);

	choose(n, s + 1, 1);
	ts = load(n);
	old = stderr_to(n);
	assert_int_equal(targets_report_missing(ts), EXIT_OK);
	assert_int_equal(stderr_lines(old, &b), 0);
	targets_free(ts);
	buf_free(&b);
}

static void test_errors(void **state)
{
	static const struct selector wrong[] = {
		{ SEL_PID, "x" },           { SEL_PID, "-1" }, { SEL_PID, "2147483648" },
		{ SEL_CONTAINER, "12345" }, { SEL_POD, "/x" }, { SEL_NETNS, "pid:" },
	};
	struct node *n = *state;
	struct target_finder *f = NULL;
	struct targets *ts = NULL;
	struct buf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct selector s = wrong[i];
		int old = stderr_to(n);

		choose(n, &s, 1);
		assert_int_equal(finder_open(&n->opt, &f), -EINVAL);
		assert_int_equal(stderr_lines(old, &b), 1);
	}
	choose(n, NULL, 0);
	n->opt.procfs = "/nowhere";
	assert_int_equal(finder_open(&n->opt, &f), 0);
	assert_string_equal(finder_roots(f)->procfs, "/nowhere");
	assert_int_equal(targets_load(f, &ts), -ENOENT);
	finder_close(f);
	assert_int_equal(target_exit_code(0), EXIT_OK);
	assert_int_equal(target_exit_code(-EINVAL), EXIT_USAGE);
	assert_int_equal(target_exit_code(-EACCES), EXIT_PRIVILEGE);
	assert_int_equal(target_exit_code(-ENOENT), EXIT_FAILED);
	buf_free(&b);
}

static void test_roots(void **state)
{
	struct target_options opt = {
		.procfs = "/proc///", .sysfs = "/a/sys/", .rootfs = "/", .node = "n"
	};
	struct target_finder *f = NULL;

	(void)state;
	assert_int_equal(finder_open(&opt, &f), 0);
	assert_string_equal(finder_roots(f)->procfs, "/proc");
	assert_string_equal(finder_roots(f)->sysfs, "/a/sys");
	assert_string_equal(finder_roots(f)->rootfs, "");
	assert_string_equal(finder_roots(f)->pod_logs, "/var/log/pods");
	finder_close(f);
}

/* The real /proc: we are there, in a namespace whose number and key are known. */
static void test_own(void **state)
{
	struct target_options opt = { .procfs = "/proc", .rootfs = "/" };
	struct target_finder *f = NULL;
	struct targets *ts = NULL;
	bool found = false;

	(void)state;
	assert_int_equal(finder_open(&opt, &f), 0);
	assert_int_equal(targets_load(f, &ts), 0);
	assert_non_null(ts->own);
	assert_int_equal(ts->own->netns, netns_own());
	assert_true(ts->own->key > 0);
	for (size_t i = 0; i < ts->own->npids; i++)
		found |= ts->own->pids[i] == getpid();
	assert_true(found);
	targets_free(ts);
	finder_close(f);
}

static void test_netns_parse(void **state)
{
	(void)state;
	assert_int_equal(netns_parse("net:[4026532111]"), 4026532111);
	assert_int_equal(netns_parse("net:[4026532111"), 0);
	assert_int_equal(netns_parse("net:[4026532111]x"), 0);
	assert_int_equal(netns_parse("net:[]"), 0);
	assert_int_equal(netns_parse("net:[0]"), 0);
	assert_int_equal(netns_parse("net:[-1]"), 0);
	assert_int_equal(netns_parse("net:[99999999999999999999999999]"), 0);
	assert_int_equal(netns_parse("mnt:[4026532111]"), 0);
	assert_int_equal(netns_parse(""), 0);
	assert_true(netns_own() > 0);
}

static int ask_own(void *arg)
{
	*(uint64_t *)arg = netns_own();
	return -EXFULL;
}

static void test_call_own(void **state)
{
	struct roots roots = { .procfs = (char *)"/nowhere" };
	struct target t = { .netns = netns_own(), .roots = &roots };
	uint64_t inside = 0;

	(void)state;
	assert_int_equal(netns_call(&t, ask_own, &inside), -EXFULL);
	assert_int_equal(inside, netns_own());
	/* One that is gone, and one whose pid is another namespace's by now. */
	t.netns = 1;
	assert_int_equal(netns_call(&t, ask_own, &inside), -ESRCH);
	roots.procfs = (char *)"/proc";
	t.pids = &(pid_t){ getpid() };
	t.npids = 1;
	assert_int_equal(netns_call(&t, ask_own, &inside), -ESRCH);
	t.npids = 0;
	t.mount = "/etc/hostname";
	assert_int_equal(netns_call(&t, ask_own, &inside), -ESRCH);
}

/* A child in a namespace of its own, until `pipe` is closed. */
static pid_t child_elsewhere(int pipefd[2], int ready[2])
{
	pid_t child = fork();
	char c = 'x';

	if (child)
		return child;
	close(pipefd[1]);
	c = unshare(CLONE_NEWNET) ? 'n' : 'y';
	if (write(ready[1], &c, 1) != 1 || read(pipefd[0], &c, 1) < 0)
		_exit(1);
	_exit(0);
}

static void test_call_other(void **state)
{
	struct roots roots = { .procfs = (char *)"/proc" };
	uint64_t own = netns_own(), inside = 0;
	struct target t = { .roots = &roots };
	int hold[2], ready[2], status;
	struct stat st;
	char path[64], c = 0;
	pid_t pids[2];

	(void)state;
	assert_int_equal(pipe(hold) | pipe(ready), 0);
	pids[0] = INT32_MAX; /* one that vanished */
	pids[1] = child_elsewhere(hold, ready);
	assert_int_equal(read(ready[0], &c, 1), 1);
	if (c == 'y') {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pids[1]);
		assert_int_equal(stat(path, &st), 0);
		t.netns = st.st_ino;
		t.pids = pids;
		t.npids = 2;
		assert_int_equal(netns_call(&t, ask_own, &inside), -EXFULL);
		assert_int_equal(inside, t.netns);
		assert_int_equal(netns_own(), own);
		t.npids = 0;
		t.mount = path;
		assert_int_equal(netns_call(&t, ask_own, &inside), -EXFULL);
		assert_int_equal(netns_own(), own);
	}
	close(hold[0]);
	close(hold[1]);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(waitpid(pids[1], &status, 0), pids[1]);
	if (c != 'y')
		skip(); /* no CAP_SYS_ADMIN */
}

static void test_dict(void **state)
{
	struct arena a = { 0 };
	struct dict d = { .arena = &a };
	char key[16];

	(void)state;
	assert_null(dict_get(&d, "x", 1));
	for (size_t i = 1; i <= 5000; i++) {
		int len = snprintf(key, sizeof(key), "%zu", i);
		void **slot = dict_at(&d, key, (size_t)len);

		assert_non_null(slot);
		assert_null(*slot);
		*slot = (void *)i;
	}
	assert_int_equal(d.n, 5000);
	for (size_t i = 1; i <= 5000; i++) {
		int len = snprintf(key, sizeof(key), "%zu", i);

		assert_ptr_equal(dict_get(&d, key, (size_t)len), (void *)i);
		assert_ptr_equal(*dict_at(&d, key, (size_t)len), (void *)i);
	}
	assert_null(dict_get(&d, "500", 2 + 2)); /* the NUL is part of the key */
	assert_int_equal(d.n, 5000);
	arena_free(&a);
	assert_null(a.chunks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selected, setup, teardown),
		cmocka_unit_test_setup_teardown(test_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_report, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_netns_parse),
		cmocka_unit_test(test_call_own),
		cmocka_unit_test(test_call_other),
		cmocka_unit_test(test_dict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
