# SPDX-License-Identifier: GPL-2.0-or-later
"""fd against the listing of /proc/PID/fd: threads, duplicates, shared tables, moves, refusals."""
import json
import os
import subprocess

import pytest

from skooplib import records, run, skoop, tool, values, wait_for

pytestmark = pytest.mark.kernels

P = "kubeskoop_fd_"
UNPRIVILEGED = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all"]

# Threads, sockets and descriptors as asked for; says so, then does what stdin says until it ends.
HOLDER = """
import ctypes, os, resource, socket, sys, threading
threads, sockets, nulls = map(int, sys.argv[1:4])
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
held = [socket.socket(socket.AF_UNIX) for _ in range(sockets)]
fds = [os.open('/dev/null', os.O_RDWR) for _ in range(nulls)]
libc = ctypes.CDLL(None, use_errno=True)
print('ready', flush=True)
for line in sys.stdin:
    word, _, arg = line.strip().partition(' ')
    if word == 'do':
        exec(arg)
    print('done', flush=True)
"""


class Holder:
    def __init__(self, ns, threads=0, sockets=0, nulls=0, **kw):
        self.child = ns.python(HOLDER, str(threads), str(sockets), str(nulls), stdin=subprocess.PIPE, **kw)
        assert self.child.stdout.readline() == "ready\n"
        self.pid = self.child.pid

    def do(self, code):
        self.child.stdin.write(f"do {code}\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == "done\n"

    def links(self):
        return {fd: os.readlink(f"/proc/{self.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{self.pid}/fd")}

    def end(self):
        self.child.kill()
        self.child.wait()


def counts(ns, *args):
    got = values(records("fd", "-n", ns.path, *args), ns.pod)
    return got.get(P + "openfd"), got.get(P + "opensocket")


def by_pid(ns, *args):
    """{pid: {metric: value}}"""
    found = {}
    for r in records("fd", "-n", ns.path, "--by", "pid", *args):
        if "pid" in r["labels"]:
            found.setdefault(int(r["labels"]["pid"]), {})[r["metric"].removeprefix(P)] = r["value"]
    return found


def by_type(ns):
    return {r["labels"]["type"]: r["value"] for r in records("fd", "-n", ns.path, "--by", "type") if r["value"]}


def test_threads_sockets_and_duplicates(pair):
    a, b, quiet = pair
    idle = Holder(a)
    before = counts(a)
    assert before == (len(idle.links()), 0)
    holder = Holder(a, threads=4, sockets=100, nulls=50)
    assert len(os.listdir(f"/proc/{holder.pid}/task")) == 5
    assert len(holder.links()) == len(idle.links()) + 150
    assert counts(a) == (before[0] + len(holder.links()), 100)
    holder.do("again = [os.dup(held[0].fileno()) for _ in range(10)]")
    assert counts(a) == (before[0] + len(holder.links()), 110)
    holder.end()
    assert counts(a) == before
    assert counts(b) == counts(quiet) == (0, 0)


def test_process_that_moves_takes_its_descriptors_along(pair):
    a, b, _ = pair
    holder = Holder(a, sockets=7)
    assert counts(a) == (len(holder.links()), 7)
    holder.do(f"fd = os.open({b.path!r}, os.O_RDONLY); assert not libc.setns(fd, 0); os.close(fd)")
    assert counts(a) == (0, 0)
    assert counts(b) == (len(holder.links()), 7)




@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of clone is x86-64's")
def test_table_that_processes_share_counts_once(quiet):
    holder = Holder(quiet, sockets=30)
    own = len(holder.links())
    holder.do("kids = [libc.syscall(56, f | 17, 0, 0, 0, 0) or libc.pause() for f in (0x400, 0x400, 0)]")
    # Of four processes three share a table, the fourth has a copy.
    assert counts(quiet) == (2 * own, 60)
    each = by_pid(quiet)
    assert len(each) == 4 and {p["openfd"] for p in each.values()} == {own}
    assert all(len(os.listdir(f"/proc/{pid}/fd")) == own for pid in each)
    # One that unshares its table, and adds to the other, is two.
    holder.do("more = [socket.socket() for _ in range(5)]")
    assert counts(quiet) == (2 * own + 5, 65)
    holder.do("import signal; [os.kill(k, signal.SIGKILL) for k in kids]; [os.waitpid(k, 0) for k in kids]")
    assert counts(quiet) == (own + 5, 35)


def test_numbers_with_holes(quiet):
    holder = Holder(quiet, sockets=400)
    holder.do("[s.close() for s in held[50:390:3]]; high = [os.dup2(0, n) for n in (900, 950, 1000)]")
    links = holder.links()
    assert counts(quiet) == (len(links), sum(t.startswith("socket:") for t in links.values()))
    holder.do("[s.close() for s in held]")
    assert counts(quiet) == (len(holder.links()), 0)


def test_by_type_adds_up(quiet):
    holder = Holder(quiet, sockets=4, nulls=3)
    holder.do("import select; e = select.epoll(); p = os.pipe(); f = open('/etc/passwd'); m = os.memfd_create('x')")
    types = by_type(quiet)
    assert sum(types.values()) == len(holder.links())
    # stdin, stdout of the holder and the new one are pipes.
    stderr = {"device" if os.readlink(f"/proc/{holder.pid}/fd/2").startswith("/dev/") else None: 1}
    assert types["socket"] == 4 and types["eventpoll"] == 1 and types["memfd"] == 1
    assert types["device"] >= 3 + stderr.get("device", 0)
    assert types["pipe"] >= 4


def test_processes_and_the_largest(quiet):
    small, large = Holder(quiet, nulls=5), Holder(quiet, nulls=60)
    each = by_pid(quiet)
    assert each == {h.pid: {"openfd": len(h.links()), "opensocket": 0} for h in (small, large)}
    assert list(by_pid(quiet, "--top", "1")) == [large.pid]
    comm = {r["labels"]["comm"] for r in records("fd", "-n", quiet.path, "--by", "pid")}
    assert comm == {open(f"/proc/{large.pid}/comm").read().rstrip("\n")}


def test_deleted_files_and_the_limit(quiet, tmp_path):
    gone = tmp_path / "gone"
    holder = Holder(quiet, nulls=10)
    before = by_pid(quiet, "-a")[holder.pid]["deletedfiles"]
    holder.do(f"g = open({str(gone)!r}, 'w'); os.unlink({str(gone)!r}); m = os.memfd_create('never had a name')")
    holder.do("resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))")
    fds = len(holder.links())
    deleted = sum(t.endswith(" (deleted)") and not t.startswith("/memfd:") for t in holder.links().values())
    assert deleted == before + 1
    assert by_pid(quiet, "-a") == {holder.pid: {"openfd": fds, "opensocket": 0, "deletedfiles": deleted,
                                                "fdlimit": 50, "limitshare": fds * 2}}
    got = values(records("fd", "-n", quiet.path, "-a"), quiet.pod)
    assert got == {P + "openfd": fds, P + "opensocket": 0, P + "deletedfiles": deleted, P + "limitshare": fds * 2}


def test_the_machines_files(quiet):
    before = open("/proc/sys/fs/file-nr").read().split()
    host = [r for r in records("fd", "-n", quiet.path, "-a") if r["scope"] == "host"]
    assert {r["metric"] for r in host} == {P + "filesopen", P + "filesmax"}
    assert {r["labels"]["target_pod"] for r in host} == {"hostNetwork"}
    assert [r["value"] for r in host if r["metric"] == P + "filesmax"] == [int(before[2])]


def test_own_descriptors_are_not_those_of_the_walk(quiet):
    """The probe is the only process there: it has what it was started with, whatever it opens to look."""
    argv = quiet.argv([tool("fd"), "-n", quiet.path, "-j"])
    plain = run(argv)
    assert values(map(json.loads, plain.stdout.splitlines()), quiet.pod) == {P + "openfd": 3, P + "opensocket": 0}
    with open("/dev/null") as a, open("/dev/null") as b:
        more = run(argv, pass_fds=(a.fileno(), b.fileno()))
    assert values(map(json.loads, more.stdout.splitlines()), quiet.pod)[P + "openfd"] == 5


def test_refused(quiet):
    Holder(quiet, sockets=3)
    done = run([*UNPRIVILEGED, tool("fd"), "-n", quiet.path])
    assert done.returncode == 3 and not done.stdout, done.stdout
    assert "CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE" in done.stderr
    # Everywhere: itself it may read, and says what it may not.
    done = run([*UNPRIVILEGED, tool("fd"), "-j"])
    assert done.returncode == 0 and "skipped: missing CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE" in done.stderr, done.stderr
    assert quiet.name not in done.stdout
    assert run([*UNPRIVILEGED, tool("fd"), "-q"]).stderr == ""


def test_descriptors_counted_where_links_are_refused(quiet):
    """CAP_DAC_READ_SEARCH lists the table; what the descriptors are needs CAP_SYS_PTRACE."""
    holder = Holder(quiet, sockets=3)
    argv = ["setpriv", "--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search", "--reuid", "65534", "--clear-groups"]
    done = run([*argv, tool("fd"), "-j", "--by", "pid"])
    assert done.returncode == 0 and "missing CAP_SYS_PTRACE" in done.stderr, done.stderr
    mine = [r for r in map(json.loads, done.stdout.splitlines()) if r["labels"]["pid"] == str(holder.pid)]
    assert [(r["metric"], r["value"]) for r in mine] == [(P + "openfd", len(holder.links()))]
    # The total of its namespace likewise; the namespace has no other name now.
    done = run([*argv, tool("fd"), "-j"])
    mine = values(map(json.loads, done.stdout.splitlines()), f"netns:pid-{holder.pid}")
    assert mine == {P + "openfd": len(holder.links())}


def fd_tree(path, links, **files):
    """A /proc with one process whose descriptors are these links."""
    pid = path / "proc" / "100"
    for d in ("net", "ns", "fd"):
        (pid / d).mkdir(parents=True)
    (pid / "ns/net").symlink_to("net:[4026539999]")
    for number, link in links.items():
        (pid / "fd" / str(number)).symlink_to(link)
    for name, text in {"cgroup": "0::/\n", "comm": "init\n", "mountinfo": "", "net/dev": "",
                       "stat": "100 (init) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0\n", **files}.items():
        (pid / name).write_text(text)
    return ["--procfs", path / "proc", "--rootfs", path]


def test_processes_of_another_pid_namespace_are_not_compared(tmp_path):
    tree = fd_tree(tmp_path, {0: "/dev/null", 1: "socket:[1]"})
    done = skoop("fd", *tree, "-j")
    assert values(map(json.loads, done.stdout.splitlines())) == {P + "openfd": 2, P + "opensocket": 1}
    assert "another pid namespace" in done.stderr


def test_limits_of_another_form_are_absent(tmp_path):
    tree = fd_tree(tmp_path, {0: "/dev/null"}, limits="Limit\nMax open files            unlimited    7  files\n")
    (tmp_path / "proc/sys/fs").mkdir(parents=True)
    (tmp_path / "proc/sys/fs/file-nr").write_text("10\t0\t1000\n")
    recs = list(map(json.loads, skoop("fd", *tree, "-a", "--by", "pid", "-j").stdout.splitlines()))
    assert {r["metric"].removeprefix(P): r["value"] for r in recs} == \
        {"openfd": 1, "opensocket": 0, "deletedfiles": 0, "filesopen": 10, "filesmax": 1000}


@pytest.mark.parametrize("text", ["", "10\n", "10\t0\n", "a\tb\tc\n", "-1\t0\t7\n"])
def test_malformed_file_nr(tmp_path, text):
    tree = fd_tree(tmp_path, {0: "/dev/null"})
    (tmp_path / "proc/sys/fs").mkdir(parents=True)
    (tmp_path / "proc/sys/fs/file-nr").write_text(text)
    done = skoop("fd", *tree, "-a", "-q", rc=1)
    assert "file-nr" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [["--top", "3"], ["--by", "colour"], ["--by", "type", "--top", "3"]])
def test_usage(args):
    done = skoop("fd", *args, rc=2)
    assert not done.stdout and len(done.stderr.splitlines()) == 1
