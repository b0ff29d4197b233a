# SPDX-License-Identifier: GPL-2.0-or-later
"""io against /proc/PID/io of the one process that moved the bytes; and that a counter does not fall."""
import contextlib
import datetime
import fcntl
import json
import mmap
import os
import subprocess
import tempfile

import pytest

from skooplib import TOP, records, run, skoop, tool, values

pytestmark = pytest.mark.kernels

P = "kubeskoop_io_"
NAMES = {"ioreadsyscall": "syscr", "iowritesyscall": "syscw", "ioreadbytes": "read_bytes", "iowritebytes": "write_bytes",
         "rchar": "rchar", "wchar": "wchar", "cancelledwritebytes": "cancelled_write_bytes"}
UNPRIVILEGED = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all"]

# Waits for lines on stdin and does them; four threads are there to share in the work.
WORKER = """
import concurrent.futures, mmap, os, subprocess, sys
pool = concurrent.futures.ThreadPoolExecutor(4)
list(pool.map(lambda _: os.getpid(), range(64)))
page = mmap.mmap(-1, 4096)
print('ready', flush=True)
for line in sys.stdin:
    exec(line)
    os.write(1, b'done\\n')
"""


class Worker:
    def __init__(self, ns):
        self.child = ns.python(WORKER, stdin=subprocess.PIPE)
        assert self.child.stdout.readline() == "ready\n"
        self.pid = self.child.pid

    def do(self, code):
        self.child.stdin.write(code + "\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == "done\n"

    def end(self):
        self.child.kill()
        self.child.wait()


def witness(*pids):
    """The sums of these processes' files, by our names."""
    total = dict.fromkeys(NAMES, 0)
    for pid in pids:
        text = open(f"/proc/{pid}/io").read()
        fields = dict(line.split(": ") for line in text.splitlines())
        for ours, theirs in NAMES.items():
            total[ours] += int(fields[theirs])
    return total


def figures(ns, *args):
    got = values((r for r in records("io", "-n", ns.path, "-a", *args) if r["scope"] == "netns"), ns.pod)
    return {k.removeprefix(P): v for k, v in got.items()}


def is_storage(name):
    """Whether the kernel books a direct write to this file as one to storage; not so in memory."""
    before = witness("self")["iowritebytes"]
    try:
        fd = os.open(name, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return False
    try:
        os.pwrite(fd, mmap.mmap(-1, 4096), 0)
    finally:
        os.close(fd)
    return witness("self")["iowritebytes"] == before + 4096


LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82


@contextlib.contextmanager
def loop_device(file):
    """A block device over a file, for where files themselves are in memory."""
    run(["modprobe", "-q", "loop"])
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no disk: the sources are in memory, and there are no loop devices")
    with open("/dev/loop-control", "rb") as control:
        name = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
    with open(name, "r+b") as device:
        fcntl.ioctl(device, LOOP_SET_FD, file.fileno())
    try:
        yield name
    finally:
        with open(name, "rb") as device:
            fcntl.ioctl(device, LOOP_CLR_FD)


@pytest.fixture
def disk_file():
    """1000 pages on a disk, of which nothing waits to be written."""
    with tempfile.NamedTemporaryFile(dir=TOP, prefix=".io-test-") as f, contextlib.ExitStack() as stack:
        f.write(os.urandom(4096000))
        f.flush()
        os.fsync(f.fileno())
        yield f.name if is_storage(f.name) else stack.enter_context(loop_device(f))


def growth(after, before):
    return {k: after[k] - before[k] for k in after}


def test_direct_writes_to_the_byte(pair, disk_file):
    a, b, quiet = pair
    worker = Worker(a)
    assert len(os.listdir(f"/proc/{worker.pid}/task")) >= 2
    before = figures(a)
    assert before == witness(worker.pid)
    worker.do(f"fd = os.open({disk_file!r}, os.O_WRONLY | os.O_DIRECT);"
              "list(pool.map(lambda i: os.pwrite(fd, page, i * 4096), range(1000)))")
    after = figures(a)
    assert after == witness(worker.pid)
    grown = growth(after, before)
    assert grown["iowritebytes"] == grown["wchar"] - len("done\n") == 4096000
    assert grown["iowritesyscall"] == 1000 + 1
    assert grown["ioreadbytes"] == 0
    assert set(figures(b).values()) == set(figures(quiet).values()) == {0}


def test_dd_as_a_child(quiet, disk_file):
    """What a shell ran and waited for is in the shell's figures, and once in the namespace's."""
    worker = Worker(quiet)
    worker.do(f"subprocess.run(['dd', 'if=/dev/zero', 'of={disk_file}', 'bs=4096', 'count=1000', 'oflag=direct',"
              "'conv=notrunc', 'status=none'], check=True)")
    got = figures(quiet)
    assert got == witness(worker.pid)
    assert 4096000 <= got["iowritebytes"] < 4096000 + 65536


def test_page_cache_is_no_storage(quiet, disk_file):
    worker = Worker(quiet)
    worker.do("import time")
    start = figures(quiet)
    worker.do(f"fd = os.open({disk_file!r}, os.O_RDONLY); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED);"
              "assert sum(len(os.pread(fd, 4096, i * 4096)) for i in range(1000)) == 4096000")
    cold = figures(quiet)
    worker.do("assert sum(len(os.pread(fd, 4096, i * 4096)) for i in range(1000)) == 4096000")
    warm = figures(quiet)
    assert warm == witness(worker.pid)
    assert growth(cold, start)["ioreadbytes"] >= 4096000
    assert growth(warm, cold)["ioreadbytes"] == 0
    assert growth(warm, cold)["rchar"] >= 4096000
    assert growth(warm, cold)["ioreadsyscall"] >= 1000


class Rounds:
    """A run with INTERVAL whose rounds are read as they come."""

    def __init__(self, ns):
        self.child = subprocess.Popen([tool("io"), "-n", ns.path, "-a", "-j", "0.2"], stdout=subprocess.PIPE, text=True)

    def next(self):
        """The figures of the first round that began after this call."""
        now, seen = datetime.datetime.now(datetime.timezone.utc), {}
        while len(seen) < len(NAMES):
            r = json.loads(self.child.stdout.readline())
            began = datetime.datetime.fromisoformat(r["ts"][:26] + "+00:00")
            if r["scope"] == "netns" and began > now:
                seen[r["metric"].removeprefix(P)] = r["value"]
        return seen

    def close(self):
        self.child.terminate()
        self.child.stdout.read()
        assert self.child.wait() == 0
        self.child.stdout.close()


def test_total_outlives_its_processes(quiet, disk_file):
    """Their parent is the test, outside: nothing in the namespace takes their figures over."""
    stays, ends = Worker(quiet), Worker(quiet)
    rounds = Rounds(quiet)
    try:
        ends.do(f"fd = os.open({disk_file!r}, os.O_WRONLY | os.O_DIRECT);"
                "[os.pwrite(fd, page, i * 4096) for i in range(1000)]")
        before = rounds.next()
        assert before == witness(stays.pid, ends.pid)
        ends.end()
        assert rounds.next() == before
        stays.do("fd = os.open('/dev/null', os.O_WRONLY); [os.write(fd, b'x' * 100) for i in range(50)]")
        after = growth(rounds.next(), before)
        assert after["wchar"] == 50 * 100 + len("done\n")
        assert after["iowritesyscall"] == 51
        # A new one's figures come on top, from its beginning.
        late = Worker(quiet)
        assert growth(rounds.next(), before)["rchar"] == after["rchar"] + witness(late.pid)["rchar"]
        assert figures(quiet) == witness(stays.pid, late.pid)
    finally:
        rounds.close()


def test_figures_taken_over_count_once(quiet, disk_file):
    """A child that was seen while it wrote, and whose parent in the namespace waits for it."""
    parent = Worker(quiet)
    rounds = Rounds(quiet)
    try:
        parent.do("kid = subprocess.Popen([sys.executable, '-c', 'import os, sys; fd = os.open(\"/dev/null\", os.O_WRONLY);"
                  "[os.write(fd, b\"x\" * 100) for i in range(5000)]; print(1, flush=True); sys.stdin.read()'],"
                  "stdin=subprocess.PIPE, stdout=subprocess.PIPE); kid.stdout.readline()")
        kid = int(run(["pgrep", "-P", parent.pid]).stdout)
        before = rounds.next()
        assert before == witness(parent.pid, kid)
        assert before["wchar"] >= 500000
        parent.do("kid.stdin.close(); kid.wait()")
        after = rounds.next()
        assert witness(parent.pid)["wchar"] >= 500000
        assert after == witness(parent.pid)
        assert growth(after, before)["wchar"] == len("done\n")
    finally:
        rounds.close()


def test_pressure_is_the_machines(quiet):
    def totals():
        lines = open("/proc/pressure/io").read().splitlines()
        return {"pressure" + line.split()[0]: int(line.rsplit("total=", 1)[1]) for line in lines}
    before = totals()
    recs = [r for r in records("io", "-n", quiet.path, "-a") if r["scope"] == "host"]
    after = totals()
    got = {r["metric"].removeprefix(P): r["value"] for r in recs}
    assert got.keys() == before.keys()
    assert all(before[k] <= got[k] <= after[k] for k in got)
    assert {r["labels"]["target_pod"] for r in recs} == {"hostNetwork"}


def test_own_reading_is_left_out(quiet):
    """The probe is the only process there, and reads a lot."""
    done = run(quiet.argv([tool("io"), "-n", quiet.path, "-j"]))
    assert set(values(map(json.loads, done.stdout.splitlines()), quiet.pod).values()) == {0}


def test_refused(quiet):
    Worker(quiet)
    done = run([*UNPRIVILEGED, tool("io"), "-n", quiet.path])
    assert done.returncode == 3 and not done.stdout
    assert "CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE" in done.stderr
    done = run([*UNPRIVILEGED, tool("io")])
    assert done.returncode == 3 and not done.stdout
    assert "CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE" in done.stderr


IO = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.09 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.09 total=11\n"


def io_tree(path, pressure=None, **pids):
    """A /proc with processes of one namespace whose io are these texts; None: there is no such file."""
    for number, text in pids.items():
        pid = path / "proc" / number[1:]
        (pid / "ns").mkdir(parents=True)
        (pid / "ns/net").symlink_to("net:[4026539999]")
        (pid / "net").mkdir()
        for name, content in {"cgroup": "0::/\n", "comm": "init\n", "mountinfo": "", "net/dev": "", "io": text,
                              "stat": "100 (init) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0\n"}.items():
            if content is not None:
                (pid / name).write_text(content)
    if pressure is not None:
        (path / "proc/pressure").mkdir()
        (path / "proc/pressure/io").write_text(pressure)
    return ["--procfs", path / "proc", "--rootfs", path]


def test_processes_add_up(tmp_path):
    tree = io_tree(tmp_path, PRESSURE, p100=IO, p101=IO)
    recs = list(map(json.loads, skoop("io", *tree, "-a", "-j").stdout.splitlines()))
    assert {r["metric"].removeprefix(P): r["value"] for r in recs} == {
        "ioreadsyscall": 6, "iowritesyscall": 8, "ioreadbytes": 10, "iowritebytes": 12, "rchar": 2, "wchar": 4,
        "cancelledwritebytes": 14, "pressuresome": 12, "pressurefull": 11}


def test_kernel_without_pressure(tmp_path):
    recs = map(json.loads, skoop("io", *io_tree(tmp_path, p100=IO), "-a", "-j").stdout.splitlines())
    assert {r["metric"] for r in recs} == {P + n for n in NAMES}


def test_kernel_without_accounting(tmp_path):
    done = skoop("io", *io_tree(tmp_path, p100=None), rc=4)
    assert done.stderr == "skoop-io: this kernel has no /proc/PID/io (CONFIG_TASK_IO_ACCOUNTING)\n" and not done.stdout


@pytest.mark.parametrize("text", ["", "rchar: 1\n", IO.replace("4", "x"), IO.replace("syscw: ", "syscw "), IO[:-4]])
def test_malformed_process(tmp_path, text):
    done = skoop("io", *io_tree(tmp_path, p100=text), rc=1)
    assert done.stderr.count("\n") == 1 and "/100: io" in done.stderr


@pytest.mark.parametrize("text", ["", "some avg10=0.00\n", PRESSURE.splitlines()[0] + "\n", PRESSURE.replace("12", "-1")])
def test_malformed_pressure(tmp_path, text):
    done = skoop("io", *io_tree(tmp_path, text, p100=IO), "-a", rc=1)
    assert done.stderr.count("\n") == 1 and "pressure/io" in done.stderr
