# SPDX-License-Identifier: GPL-2.0-or-later
"""Namespaces, their pods and the selection among them, on nodes described in tests/fixtures/targets (see README there)."""
import fnmatch
import json
import os
import shlex
import subprocess

import pytest
from skooplib import FIXTURES, run, tool

WORDS = {
    "U": "0f2e7d6c-1111-4222-8333-abcdefabcdef",
    "V": "0f2e7d6c_1111_4222_8333_abcdefabcdef",
    "U2": "77777777-aaaa-4bbb-8ccc-dddddddddddd",
    "S": "5f1d7a1b2c3d4e5f60718293a4b5c6d7",
    "L": "my-own.uid",
    "M": "my_own_uid_2",
    "A": "a" * 64,
    "B": "b" * 64,
    "C": "c" * 64,
}
COLUMNS = ["target_node", "target_namespace", "target_pod", "netns", "pid", "pids", "host", "source", "uid", "container",
           "mount"]


def fill(text, directory=None):
    for word, value in {**WORDS, **({"DIR": str(directory)} if directory else {})}.items():
        text = text.replace("{" + word + "}", value)
    return text.replace("␣", " ")


class Node:
    """A node's /proc and root, made of the lines of a case."""

    def __init__(self, directory):
        self.directory = directory
        self.nets = {}
        (directory / "root").mkdir()

    def path(self, name):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def pid(self, pid, netns, cgroup):
        lines = ["0::" + line if line.startswith("/") else line for line in cgroup.split("|")]
        self.path(f"proc/{pid}/cgroup").write_text("".join(line + "\n" for line in lines))
        self.stat(pid, pid, "x")
        number = netns.lstrip("?")
        if not netns.startswith("?"):
            self.path(f"proc/{pid}/ns/net").symlink_to(f"net:[{number}]")
        if number in self.nets:
            self.path(f"proc/{pid}/net").symlink_to(f"../{self.nets[number]}/net")
        else:
            self.nets[number] = pid
            self.path(f"proc/{pid}/net/dev").write_text("")

    def stat(self, pid, start=None, comm=None):
        path = self.path(f"proc/{pid}/stat")
        if path.exists():
            before, after = path.read_text().rsplit(") S", 1)
            start = start or after.split()[-1]
            comm = comm or before.split("(", 1)[1]
        path.write_text(f"{pid} ({comm}) S 1 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start}\n")
        self.path(f"proc/{pid}/comm").write_text(f"{comm}\n")

    def add(self, line):
        verb, rest = line.split(None, 1)
        if verb == "pid":
            self.pid(*rest.split(None, 2))
        elif verb == "start":
            pid, start = rest.split()
            self.stat(pid, start=start)
        elif verb == "comm":
            pid, comm = rest.split(None, 1)
            self.stat(pid, comm=comm)
        elif verb == "mount":
            pid, root = rest.split()
            self.path(f"proc/{pid}/mountinfo").write_text(
                "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
                f"34 22 8:1 {root} /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n")
        elif verb == "file":
            name, _, text = rest.partition(" ")
            self.path(name.replace("\\n", "\n")).write_text(text)
        elif verb == "link":
            name, to = rest.split()
            self.path(name).symlink_to(to)
        else:
            raise ValueError(line)

    def targets(self, *args, env=None):
        return run([tool(""), "targets", "--procfs", self.directory / "proc", "--rootfs", self.directory / "root", *args],
                   env={**clean_env(), **(env or {})})


def clean_env():
    """Without the variables that name a node or say where its files are."""
    drop = ("HOST_PROC", "HOST_SYS", "HOST_ROOT", "NODE_NAME", "KUBE_NODE_NAME", "MY_NODE_NAME", "INSPECTOR_NODENAME")
    return {k: v for k, v in os.environ.items() if k not in drop}


def rows(done):
    lines = done.stdout.splitlines()
    assert lines and lines[0].split("\t") == COLUMNS, done
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines[1:]]


def cgroup_lines():
    for line in (FIXTURES / "targets/cgroups.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            yield pytest.param(*line.split()[1:], id=line.split()[0])


@pytest.mark.parametrize("cgroup, label", cgroup_lines())
def test_cgroup(tmp_path, cgroup, label):
    node = Node(tmp_path)
    node.add("pid 1 4026531840 /init.scope")
    node.add(fill(f"pid 100 4026532111 {cgroup}"))
    for name in ("shop_web-0_{U}", "kube-system_etcd-node-a_{S}", "shop_own-uid_{L}", "shop_own-uid-2_{M}"):
        node.add(fill(f"file root/var/log/pods/{name}/app/0.log"))
    done = node.targets("-o", "tsv", "--netns", "4026532111")
    assert (done.returncode, done.stderr) == (0, "")
    assert [f"{r['target_namespace']}/{r['target_pod']}" for r in rows(done)] == [label]


def cases():
    name, lines = None, []
    for line in (FIXTURES / "targets/cases.txt").read_text().splitlines():
        if line.startswith("case "):
            if name:
                yield pytest.param(lines, id=name)
            name, lines = line.split()[1], []
        elif line and not line.startswith("#"):
            lines.append(line)
    yield pytest.param(lines, id=name)


class Command:
    def __init__(self, args, env):
        self.args, self.env = args, env
        self.rows, self.err, self.rc = [], [], 0


def check(node, command):
    done = node.targets("-o", "tsv", *command.args, env=command.env)
    where = (command.args, done.stdout, done.stderr)
    assert done.returncode == command.rc, where
    got = [" ".join(r[c] for c in ("target_namespace", "target_pod", "netns", "pid", "pids", "source"))
           for r in (rows(done) if done.stdout else [])]
    assert got == command.rows, where
    err = done.stderr.splitlines()
    assert len(err) == len(command.err), where
    for have, want in zip(err, command.err):
        want = f"skoop targets: {want}"
        assert have == want or ("*" in want and fnmatch.fnmatch(have, want)), where


@pytest.mark.parametrize("lines", cases())
def test_case(tmp_path, lines):
    node, env, commands = Node(tmp_path), {}, []
    for line in (fill(line, tmp_path) for line in lines):
        verb, _, rest = line.partition(" ")
        if verb == "$":
            commands.append(Command(shlex.split(rest), dict(env)))
        elif verb == "=":
            commands[-1].rows.append(rest)
        elif verb == "!":
            commands[-1].err.append(rest)
        elif verb == "rc":
            commands[-1].rc = int(rest)
        elif verb == "env":
            env[rest.split("=")[0]] = rest.split("=", 1)[1]
        else:
            node.add(line)
    assert commands
    for command in commands:
        check(node, command)


def test_large_annotations(tmp_path):
    """Five MiB of JSON are not read."""
    node = Node(tmp_path)
    node.add("pid 1 4026531840 /init.scope")
    node.add(fill("pid 100 4026532111 /{A}"))
    config = fill("root/run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}/config.json")
    names = {"io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop"}
    for size, label in ((5 << 20, "container:aaaaaaaaaaaa"), (3 << 20, "web-0")):
        node.path(config).write_text(json.dumps({"annotations": names, "x": "y" * size}))
        done = node.targets("-o", "tsv", "-v", "--netns", "4026532111")
        assert [r["target_pod"] for r in rows(done)] == [label]
        assert ("larger than 4 MiB" in done.stderr) == (size > 4 << 20)


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    node.add("pid 1 4026531840 /init.scope")
    node.add(fill("pid 100 4026532111 /kubepods/burstable/pod{U}/{A}"))
    node.add("pid 200 ?4026532222 /")
    node.add(fill("file root/var/log/pods/shop_web-0_{U}/app/0.log"))
    node.add("file root/etc/hostname Node-A.Example")
    return node


@pytest.mark.parametrize("env, args, name", [
    ({}, [], "node-a.example"),
    ({"INSPECTOR_NODENAME": "n4"}, [], "n4"),
    ({"INSPECTOR_NODENAME": "n4", "MY_NODE_NAME": "n3"}, [], "n3"),
    ({"MY_NODE_NAME": "n3", "KUBE_NODE_NAME": "n2"}, [], "n2"),
    ({"KUBE_NODE_NAME": "n2", "NODE_NAME": "n1"}, [], "n1"),
    ({"NODE_NAME": ""}, [], "node-a.example"),
    ({"NODE_NAME": "n1"}, ["--node", "Chosen"], "Chosen"),
])
def test_node_name(node, env, args, name):
    assert {r["target_node"] for r in rows(node.targets("-o", "tsv", *args, env=env))} == {name}


def test_node_name_unusable(node):
    """A host name that is none is not shown; the machine's own stands in."""
    for text in ("", "a b", '"x"', "\x1b[31m"):
        node.path("root/etc/hostname").write_text(text)
        assert {r["target_node"] for r in rows(node.targets("-o", "tsv"))} == {os.uname().nodename.lower()}


def test_prefixes_from_environment(node):
    env = {**clean_env(), "HOST_PROC": f"{node.directory}/proc", "HOST_ROOT": f"{node.directory}/root/"}
    done = run([tool(""), "targets", "-o", "tsv", "-P", "shop/web-0"], env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [r["pid"] for r in rows(done)] == ["100"]


def test_tsv(node):
    done = node.targets("-o", "tsv", "-P", "web-0")
    assert rows(done) == [{
        "target_node": "node-a.example", "target_namespace": "shop", "target_pod": "web-0", "netns": "4026532111",
        "pid": "100", "pids": "1", "host": "-", "source": "pod log directory", "uid": WORDS["U"],
        "container": WORDS["A"], "mount": "-"}]
    assert node.targets("-o", "tsv", "-P", "web-0", "-H").stdout == done.stdout.split("\n", 1)[1]


def test_json(node):
    done = node.targets("-j")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    for record in records:
        assert list(record)[:4] == ["schema", "kind", "ts", "labels"]
        assert record.pop("ts").endswith("Z")
    assert records == [
        {"schema": 1, "kind": "target", "labels": {"target_pod": "netns:pid-200", "target_namespace": "-",
                                                   "target_node": "node-a.example"},
         "netns": None, "pid": 200, "pids": 1, "host": False, "source": "lowest pid", "uid": None, "container": None,
         "mount": None},
        {"schema": 1, "kind": "target", "labels": {"target_pod": "hostNetwork", "target_namespace": "hostNetwork",
                                                   "target_node": "node-a.example"},
         "netns": 4026531840, "pid": 1, "pids": 1, "host": True, "source": "namespace of pid 1", "uid": None,
         "container": None, "mount": None},
        {"schema": 1, "kind": "target", "labels": {"target_pod": "web-0", "target_namespace": "shop",
                                                   "target_node": "node-a.example"},
         "netns": 4026532111, "pid": 100, "pids": 1, "host": False, "source": "pod log directory", "uid": WORDS["U"],
         "container": WORDS["A"], "mount": None},
    ]


def test_table(node):
    assert node.targets().stdout.splitlines() == [
        "NAMESPACE    POD                 NETNS  PID  PIDS  HOST  SOURCE",
        "-            netns:pid-200           -  200     1  -     lowest pid",
        "hostNetwork  hostNetwork    4026531840    1     1  yes   namespace of pid 1",
        "shop         web-0          4026532111  100     1  -     pod log directory",
    ]


@pytest.mark.parametrize("kind, words", [
    ("netns", ["4026531840", "4026532111"]),
    ("pid", ["200", "1", "100"]),
    ("pod", ["shop/web-0"]),
    ("container", ["a" * 12]),
])
def test_complete(node, kind, words):
    done = node.targets("--complete", kind)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, words, "")


def test_complete_is_silent(tmp_path):
    done = run([tool(""), "targets", "--procfs", tmp_path / "none", "--complete", "pod"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("fmt", ["prom", "openmetrics"])
def test_no_metrics(node, fmt):
    done = node.targets("-o", fmt)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "skoop targets: has no metrics; use -o table, json or tsv\n"


def test_no_arguments(node):
    done = node.targets("5")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "skoop targets: takes no arguments\n")


def test_full_disk(node):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([tool(""), "targets", "--procfs", node.directory / "proc", "--rootfs",
                               node.directory / "root"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "skoop targets: write error: No space left on device\n"
