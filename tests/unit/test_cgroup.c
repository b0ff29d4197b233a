// SPDX-License-Identifier: GPL-2.0-or-later
/* Cgroup paths of every runtime and driver, what only looks like one, mount tables, start times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "libcommon/cgroup.h"
#include "libcommon/util.h"

/* A UID as the cgroupfs driver writes it, as systemd's names do, and of another pod. */
#define U "0f2e7d6c-1111-4222-8333-abcdefabcdef"
#define V "0f2e7d6c_1111_4222_8333_abcdefabcdef"
#define U2 "99999999-aaaa-4bbb-8ccc-dddddddddddd"
#define V2 "99999999_aaaa_4bbb_8ccc_dddddddddddd"
#define STATIC "5f1d7a1b2c3d4e5f60718293a4b5c6d7"
#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID2 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct {
	const char *name, *path, *uid, *container;
	bool monitor, sibling;
} paths[] = {
	{ "containerd, systemd driver",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" V
	  ".slice/cri-containerd-" ID ".scope",
	  U, ID },
	{ "guaranteed: no level for it",
	  "/kubepods.slice/kubepods-pod" V ".slice/cri-containerd-" ID ".scope", U, ID },
	{ "cgroupfs driver, best effort", "/kubepods/besteffort/pod" U "/" ID, U, ID },
	{ "cgroupfs driver, guaranteed", "/kubepods/pod" U "/" ID, U, ID },
	{ "CRI-O",
	  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" V ".slice/crio-" ID
	  ".scope",
	  U, ID },
	{ "CRI-O with crun",
	  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" V ".slice/crio-" ID
	  ".scope/container",
	  U, ID },
	{ "CRI-O's monitor",
	  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" V
	  ".slice/crio-conmon-" ID ".scope",
	  U, ID, true },
	{ "CRI-O's monitor, cgroupfs", "/kubepods/burstable/pod" U "/crio-conmon-" ID, U, ID, true },
	{ "CRI-O, cgroupfs", "/kubepods/burstable/pod" U "/crio-" ID, U, ID },
	{ "docker",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" V ".slice/docker-" ID
	  ".scope",
	  U, ID },
	{ "systemd's names made by cgroupfs",
	  "/kubepods-burstable-pod" V ".slice:cri-containerd:" ID, U, ID },
	{ "the same below a service",
	  "/system.slice/containerd.service/kubepods-burstable-pod" V ".slice:cri-containerd:" ID,
	  U, ID },
	{ "kind from outside",
	  "/system.slice/docker-" ID2
	  ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
	  "kubelet-kubepods-besteffort-pod" V ".slice/cri-containerd-" ID ".scope",
	  U, ID },
	{ "minikube on v1", "/docker/" ID2 "/kubelet/kubepods/besteffort/pod" U "/" ID, U, ID },
	{ "k3d on v1",
	  "/docker/" ID2 "/kubepods.slice/kubepods-pod" V ".slice/cri-containerd-" ID ".scope", U,
	  ID },
	{ "from a child cgroup namespace", "/../../pod" U "/" ID, U, ID },
	{ "a sibling container", "/../cri-containerd-" ID ".scope", NULL, ID, false, true },
	{ "a sibling container of crun", "/../../crio-" ID ".scope/container", NULL, ID, false,
	  true },
	{ "k3s with a root of its own", "/k3s/kubepods/burstable/pod" U "/" ID, U, ID },
	{ "any cgroup root",
	  "/runtime.slice/runtime-kubepods.slice/runtime-kubepods-burstable.slice/runtime-kubepods-burstable-pod" V
	  ".slice/cri-containerd-" ID ".scope",
	  U, ID },
	{ "systemd inside", "/kubepods/pod" U "/cri-containerd-" ID ".scope/init.scope", U, ID },
	{ "docker inside", "/kubepods/besteffort/pod" U "/" ID "/docker/" ID2, U, ID },
	{ "Kata's overhead", "/kubepods.slice/kubepods-pod" V ".slice/kata_overhead", U, NULL },
	{ "podman", "/machine.slice/libpod-" ID ".scope", NULL, ID },
	{ "podman with crun", "/machine.slice/libpod-" ID ".scope/container", NULL, ID },
	{ "podman's monitor", "/machine.slice/libpod-conmon-" ID ".scope", NULL, ID, true },
	{ "docker without Kubernetes", "/docker/" ID, NULL, ID },
	{ "docker, systemd", "/system.slice/docker-" ID ".scope", NULL, ID },
	{ "CRI-O without a pod", "/system.slice/crio-" ID ".scope", NULL, ID },
	{ "right below the root", "/" ID, NULL, ID },
	{ "static pod, cgroupfs", "/kubepods/burstable/pod" STATIC "/" ID, STATIC, ID },
	{ "static pod, systemd",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" STATIC
	  ".slice/cri-containerd-" ID ".scope",
	  STATIC, ID },
	{ "a UID of somebody's own", "/kubepods/burstable/podmy.own_uid/" ID, "my.own-uid", ID },
	{ "the same with systemd",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podmy_uid.slice/docker-" ID
	  ".scope",
	  "my-uid", ID },
	{ "the same, guaranteed", "/kubepods.slice/kubepods-podmy_uid.slice/docker-" ID ".scope",
	  "my-uid", ID },
	{ "a container's own level", "/kubepods/besteffort/pod" U "/" ID "/podinfo", U, ID },
	{ "a container's own slice",
	  "/kubepods.slice/kubepods-pod" V ".slice/cri-containerd-" ID ".scope/app-podfoo.slice", U,
	  ID },
	{ "removed", "/kubepods/pod" U "/" ID " (deleted)", U, ID },
	{ "pod level itself", "/kubepods/besteffort/pod" U, U, NULL },
	/* Nothing of a pod: */
	{ "podman's name", "/user.slice/podman-1234.scope", NULL, NULL },
	{ "a service called pod", "/podruntime/kubelet", NULL, NULL },
	{ "a slice called pod", "/system.slice/pod-cleaner.slice", NULL, NULL },
	{ "the top", "/kubepods.slice", NULL, NULL },
	{ "a level called pod elsewhere", "/kubepods/besteffort/x/podinfo", NULL, NULL },
	{ "63 digits", "/docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  NULL, NULL },
	{ "65 digits", "/docker/a" ID, NULL, NULL },
	{ "capitals", "/kubepods/x/pod0F2E7D6C-1111-4222-8333-ABCDEFABCDEF/x", NULL, NULL },
	{ "the host's init from a child cgroup namespace", "/../../../../init.scope", NULL, NULL },
	{ "a container of the host from there", "/../../../system.slice/docker-" ID ".scope", NULL,
	  ID },
	{ "the root", "/", NULL, NULL },
	{ "nothing", "", NULL, NULL },
};

static void check(const char *name, const char *text, const char *uid, const char *container,
		  bool monitor, bool sibling)
{
	struct cgroup cg;
	const char *id;

	cgroup_parse(text, &cg);
	id = cg.npods ? cg.pods[0].container : cg.container;
	print_message("%s\n", name);
	assert_int_equal(cg.npods, uid ? 1 : 0);
	if (uid)
		assert_string_equal(cg.pods[0].uid, uid);
	assert_string_equal(id, container ? container : "");
	assert_int_equal(cg.npods ? cg.pods[0].monitor : cg.monitor, monitor);
	assert_int_equal(cg.sibling, sibling);
}

static void test_paths(void **state)
{
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(text, sizeof(text), "0::%s\n", paths[i].path);
		check(paths[i].name, text, paths[i].uid, paths[i].container, paths[i].monitor,
		      paths[i].sibling);
		snprintf(text, sizeof(text), "7:cpu,cpuacct:%s", paths[i].path);
		check(paths[i].name, text, paths[i].uid, paths[i].container, paths[i].monitor,
		      paths[i].sibling);
	}
}

static void test_lines(void **state)
{
	(void)state;
	check("v2 before the others",
	      "3:cpu:/kubepods/pod" U2 "/" ID2 "\n0::/kubepods/pod" U "/" ID "\n", U, ID, false,
	      false);
	check("systemd before the controllers",
	      "3:cpu:/kubepods/pod" U2 "/" ID2 "\n1:name=systemd:/kubepods/pod" U "/" ID "\n0::/\n",
	      U, ID, false, false);
	check("hybrid: v2 says nothing",
	      "0::/\n9:name=systemd:/\n4:memory:/kubepods/pod" U "/" ID "\n", U, ID, false, false);
	check("a pod anywhere before a container",
	      "0::/docker/" ID2 "\n4:memory:/kubepods/pod" U "/" ID "\n", U, ID, false, false);
	check("the first container", "4:memory:/docker/" ID2 "\n1:name=systemd:/docker/" ID "\n",
	      NULL, ID, false, false);
	check("colons in the path", "0::/kubepods-pod" V ".slice:cri-containerd:" ID "\n", U, ID,
	      false, false);
	check("no colon", "nonsense\n0:\n", NULL, NULL, false, false);
}

static void test_nested(void **state)
{
	struct cgroup cg;

	(void)state;
	cgroup_parse("0::/kubepods/burstable/pod" U "/" ID "/kubelet/kubepods/pod" U2
		     "/crio-conmon-" ID2 "\n",
		     &cg);
	assert_int_equal(cg.npods, 2);
	assert_string_equal(cg.pods[0].uid, U);
	assert_string_equal(cg.pods[0].container, ID);
	assert_false(cg.pods[0].monitor);
	assert_string_equal(cg.pods[1].uid, U2);
	assert_string_equal(cg.pods[1].container, ID2);
	assert_true(cg.pods[1].monitor);
	assert_string_equal(cg.container, "");
}

/* However deep the levels, the outermost pods are the ones kept. */
static void test_deep(void **state)
{
	struct buf b = { 0 };
	struct cgroup cg;

	(void)state;
	buf_str(&b, "0::");
	for (int i = 0; i < 20; i++)
		buf_printf(&b, "/kubepods/pod%08d-1111-4222-8333-abcdefabcdef", i);
	cgroup_parse(b.data, &cg);
	assert_int_equal(cg.npods, CGROUP_PODS);
	assert_string_equal(cg.pods[0].uid, "00000000-1111-4222-8333-abcdefabcdef");
	assert_string_equal(cg.pods[7].uid, "00000007-1111-4222-8333-abcdefabcdef");
	b.len = 3;
	for (int i = 0; i < 70; i++)
		buf_str(&b, "/x");
	buf_str(&b, "/kubepods/pod" U);
	cgroup_parse(b.data, &cg);
	assert_int_equal(cg.npods, 0);
	b.len = 3;
	while (b.len < 4097)
		buf_str(&b,
			"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	buf_str(&b, "/" ID);
	cgroup_parse(b.data, &cg);
	assert_string_equal(cg.container, "");
	buf_free(&b);
}

static void test_uid(void **state)
{
	char uid[POD_UID_MAX + 1], longest[POD_UID_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_true(uid_valid(longest, POD_UID_MAX));
	assert_false(uid_valid(longest, POD_UID_MAX + 1));
	assert_false(uid_valid("", 0));
	assert_false(uid_valid("a/b", 3));
	assert_false(uid_valid("a\nb", 3));
	assert_false(uid_valid("a\0b", 3));
	uid_copy(uid, "a_b-c", 5);
	assert_string_equal(uid, "a-b-c");
}

#define MOUNT(root) "634 620 8:1 " root " /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n"
#define ROOTFS "620 500 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/pods/x/etc-hosts\n"

static void test_mountinfo(void **state)
{
	static const struct {
		const char *text, *uid;
	} cases[] = {
		{ ROOTFS MOUNT("/var/lib/kubelet/pods/" U "/etc-hosts"), U },
		{ MOUNT("/var/lib/kubelet/pods/" U "/containers/app/1a2b3c4d"), U },
		{ MOUNT("/pods/" U "/etc-hosts"), U },
		{ MOUNT("/var/lib/kubelet/pods/my_uid/etc-hosts"), "my-uid" },
		{ MOUNT("/var/lib/kubelet/pods/" U "/volumes/v/pods/" U2 "/etc-hosts"), U2 },
		{ MOUNT("/var/lib/kubelet/pods/" U "/volumes/kubernetes.io~empty-dir/etc-hosts"),
		  NULL },
		{ MOUNT("/var/lib/kubelet/pods/" U "/etc-hosts//deleted"), U },
		{ MOUNT("/var/lib/kubelet/pods/" U "/etc-hosts.old"), NULL },
		{ MOUNT("/var/lib/kubelet/pods/" U), NULL },
		{ MOUNT("/var/lib/kubelet/pods//etc-hosts"), NULL },
		{ MOUNT("/var/lib/kubelet/pods/a\\040b/etc-hosts"), NULL },
		{ ROOTFS, NULL },
		{ "634 620 8:1", NULL },
		{ "634 620 8:1 /pods/" U "/etc-hosts", NULL },
		{ "\n\n", NULL },
		{ "", NULL },
	};
	char uid[POD_UID_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s", cases[i].text);
		assert_int_equal(mountinfo_uid(cases[i].text, uid), cases[i].uid != NULL);
		if (cases[i].uid)
			assert_string_equal(uid, cases[i].uid);
	}
}

#define BEFORE " S 1 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "

static void test_stat(void **state)
{
	uint64_t start = 0;

	(void)state;
	assert_true(stat_start("5 (sleep)" BEFORE "81234 1 2\n", &start));
	assert_int_equal(start, 81234);
	assert_true(stat_start("5 (a) 9 9) b)" BEFORE "7\n", &start));
	assert_int_equal(start, 7);
	assert_true(stat_start("5 ()" BEFORE "18446744073709551615", &start));
	assert_int_equal(start, UINT64_MAX);
	assert_false(stat_start("5 (sleep)" BEFORE "\n", &start));
	assert_false(stat_start("5 (sleep)" BEFORE "-1\n", &start));
	assert_false(stat_start("5 (sleep)" BEFORE "18446744073709551616", &start));
	assert_false(stat_start("5 (sleep) S 1 5 5\n", &start));
	assert_false(stat_start("5 sleep" BEFORE "7\n", &start));
	assert_false(stat_start("", &start));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),  cmocka_unit_test(test_lines),
		cmocka_unit_test(test_nested), cmocka_unit_test(test_deep),
		cmocka_unit_test(test_uid),    cmocka_unit_test(test_mountinfo),
		cmocka_unit_test(test_stat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
