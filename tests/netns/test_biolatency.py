# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-biolatency: reads and writes that take as long as a made-up disk is told to, compared with the reader's own clock
and with the kernel's count of what the disk did. Loop devices serve where no such disk can be made."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import sys
import tempfile
import uuid

import pytest

from skooplib import Tracing, run, skoop, values, wait_for
from test_targets_live import Cgroup


MS = 1000000
CONFIGFS = pathlib.Path("/sys/kernel/config")
LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE, FIFREEZE, FITHAW = 0x4C00, 0x4C01, 0x4C82, 0xC0045877, 0xC0045878

# Direct reads or writes one after another: [beginning, end, error] of each on CLOCK_MONOTONIC, by the one who waited.
WORK = """
import json, mmap, os, sys, time
path, op, size, count, ready = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), len(sys.argv) > 5
fd = os.open(path, (os.O_RDONLY if op == "read" else os.O_WRONLY) | os.O_DIRECT)
page, times = mmap.mmap(-1, size), []
if ready:
    print("ready", flush=True)
    sys.stdin.readline()
for i in range(count):
    since, error = time.monotonic_ns(), 0
    try:
        (os.preadv if op == "read" else os.pwritev)(fd, [page], i * size)
    except OSError as e:
        error = -e.errno
    times.append([since, time.monotonic_ns(), error])
print(json.dumps(times), flush=True)
"""


def work(ns, path, op="read", size=4096, count=5):
    """What the worker inside noted, and its pid."""
    child = ns.python(WORK, path, op, size, count)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    return json.loads(out), child.pid


def name_of(path):
    return os.path.basename(path)


def done(path):
    """Requests the disk has completed, by the kernel's own count: reads and writes."""
    columns = [int(c) for c in pathlib.Path("/sys/block", name_of(path), "stat").read_text().split()]
    return columns[0] + columns[4]


@contextlib.contextmanager
def loop(file):
    run(["modprobe", "-q", "loop"])
    with open("/dev/loop-control", "rb") as control:
        path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
    with open(path, "r+b") as device:
        fcntl.ioctl(device, LOOP_SET_FD, file.fileno())
    try:
        yield path
    finally:
        with open(path, "rb") as device:
            fcntl.ioctl(device, LOOP_CLR_FD)


@contextlib.contextmanager
def null_blk(ns, **more):
    """A disk whose requests take this many ns; its path."""
    run(["modprobe", "-q", "null_blk"])
    if not pathlib.Path("/sys/module/null_blk").exists():
        pytest.skip("null_blk: no disk can be told how long to take")
    if not (CONFIGFS / "nullb").exists():
        run(["mount", "-t", "configfs", "none", CONFIGFS])
    before = set(os.listdir("/sys/block"))
    folder = CONFIGFS / "nullb" / f"sk{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        for key, value in {"size": 64, "queue_mode": 2, "irqmode": 2 if ns else 0, "completion_nsec": ns, **more}.items():
            (folder / key).write_text(str(value))
        (folder / "power").write_text("1")
        name, = set(os.listdir("/sys/block")) - before
        wait_for(lambda: os.path.exists(f"/dev/{name}"), what=f"/dev/{name}")
        yield f"/dev/{name}"
    finally:
        if (folder / "power").read_text().strip() == "1":
            (folder / "power").write_text("0")
        folder.rmdir()


@pytest.fixture
def disk():
    """A fast disk of 8 MiB."""
    with tempfile.TemporaryFile() as f:
        f.truncate(8 << 20)
        with loop(f) as path:
            yield path


def traced(path, *args):
    return Tracing("biolatency", "--disk", path, *args)


def histograms(records):
    """{name: histogram} of the only disk."""
    found = [r for r in records if r["kind"] == "histogram"]
    assert len({r["histogram"] for r in found}) == len(found)
    return {r["histogram"]: r for r in found}


def check_event(e, ns, path, times, pid, op="READ", size=4096):
    """The event of one of these requests, by its place on the disk; its index."""
    i, rest = divmod(e["sector"] * 512, size)
    assert rest == 0
    since, until, error = times[i]
    assert 0 < e["latency_ns"] <= until - since
    assert since + e["latency_ns"] <= e["mono_ns"] <= until
    assert (e["netns"], e["labels"]["target_pod"]) == (ns.inode, ns.pod)
    assert (e["comm"], e["pid"]) == (name_of(sys.executable)[:15], pid)
    assert (e["device"], e["op"], e["bytes"], e["status"]) == (name_of(path), op, size, error)
    assert e["queue_ns"] + e["device_time_ns"] == e["latency_ns"]
    return i


def check_totals(records, path, n):
    """Histograms, events and the disk's own count agree on n requests; every one had an event."""
    events = [r for r in records if r["kind"] == "event"]
    assert len(events) == n
    for name, key in (("latency", "latency_ns"), ("queue", "queue_ns"), ("device", "device_time_ns")):
        h, took = histograms(records)[name], sorted(e[key] for e in events)
        assert h["keys"] == {"disk": name_of(path)} and h["unit"] == "ns"
        assert (h["count"], h["sum"], h["min"], h["max"]) == (n, sum(took), took[0], took[-1])
        assert sum(b["count"] for b in h["buckets"]) == n
        for b in h["buckets"]:
            assert b["count"] == sum(b["lo"] <= t < b["hi"] for t in took)
        for percent in (50, 90, 99):
            # Interpolated: right as to the bucket.
            exact = took[max(0, -(-n * percent // 100) - 1)]
            lo, hi = next((b["lo"], b["hi"]) for b in h["buckets"] if b["lo"] <= exact < b["hi"])
            assert max(lo, took[0]) <= h[f"p{percent}"] <= min(hi, took[-1])


# ---- on any machine ----

def test_every_request(pair, disk):
    """Past a microsecond each request is an event; histograms, events and the disk's own counts agree."""
    a, b, quiet = pair
    with traced(disk, "-t", "1us", "-D") as t:
        since = done(disk)
        reads, reader = work(a, disk, count=40)
        writes, writer = work(b, disk, "write", 8192, 25)
        records = t.stop()
        made = done(disk) - since
    assert made >= 65
    mine = {pid: [r for r in records if r["kind"] == "event" and r["pid"] == pid] for pid in (reader, writer)}
    assert sorted(check_event(e, a, disk, reads, reader) for e in mine[reader]) == list(range(40))
    assert sorted(check_event(e, b, disk, writes, writer, "WRITE", 8192) for e in mine[writer]) == list(range(25))
    assert all("SYNC" in e["flags"].split("|") for e in mine[writer])
    assert {e["event"] for e in mine[reader] if e["latency_ns"] <= 100 * MS} <= {"BIOLAT_10MS"}
    check_totals(records, disk, made)
    assert not values(records, quiet.pod)
    assert not [r for r in records if r["kind"] == "lost"]


def test_only_what_was_chosen(pair, disk):
    a, b, quiet = pair
    args = ("-t", "1us", "-D")
    with traced(disk, *args, "-n", a.name) as mine, traced(disk, *args, "-n", quiet.name) as nobody, \
            traced(disk, *args, "--op", "write") as written, Tracing("biolatency", "--disk", "sk-none", *args) as other:
        _, reader = work(a, disk, count=10)
        _, writer = work(b, disk, "write", count=10)
        assert {(e["pid"], e["op"]) for e in mine.stop() if e["kind"] == "event"} == {(reader, "READ")}
        assert histograms(mine.records())["latency"]["count"] == 10
        assert {(e["pid"], e["op"]) for e in written.stop() if e["kind"] == "event"} == {(writer, "WRITE")}
        for t in (nobody, other):
            assert not [r for r in t.stop() if r["kind"] in ("event", "histogram", "in_flight")]
        assert "there is no disk sk-none now" in other.stderr()


@pytest.mark.parametrize("args,text", [
    (["--op", "shred"], "--op takes an operation of this kernel such as read, write, flush or discard, not 'shred'"),
    (["--disk", "x" * 32], "--disk takes a disk's name, not '" + "x" * 32 + "'"),
    (["--disk", "/dev/"], "--disk takes a disk's name, not '/dev/'"),
    (["-D", "-o", "tsv"], "-D has no place in tsv; use -o table, json, prom or openmetrics"),
])
def test_usage(args, text):
    refused = skoop("biolatency", "-d", 0.1, *args, rc=2)
    assert (refused.stdout, refused.stderr) == ("", f"skoop-biolatency: {text}\n")


def test_partition(tmp_path):
    """A partition is no disk to the block layer: its name would match nothing, and is refused."""
    (tmp_path / "class/block/sda1").mkdir(parents=True)
    (tmp_path / "class/block/sda1/partition").write_text("1")
    refused = skoop("biolatency", "-d", 0.1, "--sysfs", tmp_path, "--disk", "/dev/sda1", rc=2)
    assert refused.stderr == "skoop-biolatency: --disk: sda1 is a partition; requests belong to its whole disk\n"


def test_for_people(pair, disk):
    """The table: one line an event, then the counters, then a block for each histogram."""
    a, _, _ = pair
    with Tracing("biolatency", "--disk", disk, "-t", "1us", "-D", out="table") as t:
        work(a, disk, count=3)
        t.child.terminate()
        assert t.child.wait(30) == 0
        lines = t.stdout().splitlines()
    head = lines[0].split()
    assert head[:3] == ["EVENT", "NAMESPACE", "POD"] and "DEVICE_TIME" in head
    rows = [line.split() for line in lines if line.startswith("BIOLAT_")]
    assert len(rows) == 3 and all(name_of(disk) in row and "READ" in row for row in rows)
    title, = [line for line in lines if line.startswith("latency of ")]
    assert f", disk {name_of(disk)}: count 3, p50 " in title and ", max " in title


@contextlib.contextmanager
def frozen():
    """A disk that takes no writes until the file system below it is thawed: its path, and what thaws it."""
    with tempfile.TemporaryFile() as image, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        image.truncate(32 << 20)
        below = stack.enter_context(loop(image))
        for argv in (["mkfs.ext4", "-q", below], ["mount", below, folder]):
            assert run(argv).returncode == 0
        stack.callback(run, ["umount", folder])
        file = stack.enter_context(open(f"{folder}/disk", "w+b"))
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        path = stack.enter_context(loop(file))
        place = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, place)
        fcntl.ioctl(place, FIFREEZE, 0)
        thaw = stack.enter_context(contextlib.ExitStack())
        thaw.callback(fcntl.ioctl, place, FITHAW, 0)
        yield path, thaw.close


@contextlib.contextmanager
def hanging():
    """The same where a disk can be told to take long."""
    if shutil.which("mkfs.ext4"):
        with frozen() as it:
            yield it
    else:
        with null_blk(2500 * MS) as path:
            yield path, lambda: None


def test_a_disk_that_hangs(pair):
    """A write that does not end is shown while it hangs, and as an event once it has ended."""
    a, _, _ = pair
    with hanging() as (disk, release), traced(disk) as t:
        child = a.python(WORK, disk, "write", 4096, 1)
        shown = wait_for(lambda: [r for r in t.records() if r["kind"] == "in_flight"], what="in flight")
        assert not t.events()
        release()
        (times,) = json.loads(child.communicate(timeout=60)[0])
        event, = t.wait(1, event="BIOLAT_100MS")
        records = t.stop()
    assert [r["pid"] for r in shown] == [child.pid] and shown[0]["event"] == "BIOLAT_10MS"
    h = shown[0]
    assert (h["device"], h["op"], h["bytes"], h["comm"]) == (name_of(disk), "WRITE", 4096, event["comm"])
    assert (h["netns"], h["status"]) == (a.inode, None)
    assert h["queue_ns"] + h["device_time_ns"] == h["latency_ns"]
    assert 10 * MS < h["latency_ns"] < event["latency_ns"] <= times[1] - times[0]
    assert event["pid"] == child.pid
    counted = values(records, a.pod, device=name_of(disk))
    assert counted == {"kubeskoop_biolatency_slow10ms": 1, "kubeskoop_biolatency_slow100ms": 1}


# ---- on disks that take as long as they are told ----

def slow_run(a, ns, *args, count=5, op="read", **more):
    """(records, what the worker noted, its pid, the disk) of a run on a disk that takes this long."""
    with null_blk(ns, **more) as path, traced(path, *args) as t:
        times, pid = work(a, path, op, count=count)
        return t.stop(), times, pid, path


@pytest.mark.parametrize("ns,name", [(15 * MS, "BIOLAT_10MS"), (150 * MS, "BIOLAT_100MS")])
def test_slow_requests(pair, ns, name):
    """Each request past the threshold is told and counted, with what the disk was told to take."""
    a, _, quiet = pair
    records, times, pid, path = slow_run(a, ns, "-D", count=4)
    events = [r for r in records if r["kind"] == "event"]
    assert sorted(check_event(e, a, path, times, pid) for e in events) == [0, 1, 2, 3]
    assert all(e["latency_ns"] >= e["device_time_ns"] >= ns for e in events)
    slow100 = sum(e["latency_ns"] > 100 * MS for e in events)
    assert [e["event"] for e in events] == ["BIOLAT_100MS" if e["latency_ns"] > 100 * MS else "BIOLAT_10MS" for e in events]
    assert name in {e["event"] for e in events}
    want = {"kubeskoop_biolatency_slow10ms": 4} | ({"kubeskoop_biolatency_slow100ms": slow100} if slow100 else {})
    assert values(records, a.pod, device=name_of(path)) == want
    assert not values(records, quiet.pod) and histograms(records)["latency"]["count"] == 4


def test_below_the_threshold(pair):
    """What took less than the threshold by the reader's own clock is not told, and -t changes no count."""
    a, _, _ = pair
    for ns, limit, *args in ((MS, 10 * MS), (80 * MS, 100 * MS, "-t", "100ms")):
        records, times, pid, path = slow_run(a, ns, *args, count=12)
        fast = [i for i, (since, until, _) in enumerate(times) if until - since <= limit]
        assert fast, "this machine is too slow to tell"
        events = [r for r in records if r["kind"] == "event"]
        assert not {check_event(e, a, path, times, pid) for e in events} & set(fast)
        counted = values(records, a.pod, device=name_of(path)).get("kubeskoop_biolatency_slow10ms", 0)
        assert counted == (len(times) if ns > 10 * MS else len(events))


def test_one_slow_after_many(pair):
    """100,000 requests fill no table: the slow one after them is told, and all are in the histogram."""
    a, _, _ = pair
    n = 100000
    with null_blk(0, size=1024) as fast, null_blk(120 * MS) as slow:
        with traced(fast, "-D", "-t", "10s") as many, traced(slow, "-D") as one:
            since = done(fast)
            a.sh(f"dd if={fast} of=/dev/null bs=4k count={n} iflag=direct 2>/dev/null")
            times, pid = work(a, slow, count=1)
            event, = one.wait(1)
            assert check_event(event, a, slow, times, pid) == 0 and event["event"] == "BIOLAT_100MS"
            assert histograms(many.stop())["latency"]["count"] == done(fast) - since >= n
            assert histograms(one.stop())["latency"]["count"] == 1
            for t in (many, one):
                assert not [r for r in t.records() if r["kind"] == "lost"]
                assert "lost" not in t.stderr()


def test_errors(pair):
    """A request that fails shows how."""
    a, _, _ = pair
    records, times, pid, path = slow_run(a, 15 * MS, badblocks="+8-15", count=3)
    assert [error for _, _, error in times] == [0, -5, 0]
    events = {check_event(e, a, path, times, pid): e for e in records if e["kind"] == "event"}
    assert set(events) == {0, 1, 2}


def test_disks_without_requests(pair):
    """dm-delay makes no requests: only --bio sees what it adds, and the disk below is fast."""
    a, _, _ = pair
    run(["modprobe", "-q", "dm-delay"])
    with null_blk(0) as below:
        name = f"sk{os.getpid()}"
        table = f"0 16384 delay {below} 0 120"
        before = set(os.listdir("/sys/block"))
        made = run(["dmsetup", "create", name, "--noudevsync", "--noudevrules", "--table", table])
        assert made.returncode == 0, made.stderr
        try:
            path = f"/dev/{(set(os.listdir('/sys/block')) - before).pop()}"
            wait_for(lambda: os.path.exists(path), what=path)
            with traced(path, "--bio", "-D") as bios, traced(path) as without, traced(below, "--bio") as under:
                times, pid = work(a, path, count=2)
                events = bios.wait(2)
                assert not [r for r in without.stop() + under.stop() if r["kind"] == "event"]
                records = bios.stop()
            for e in events:
                since, until, _ = times[e["sector"] // 8]
                assert 120 * MS <= e["latency_ns"] <= until - since and e["event"] == "BIOLAT_100MS"
                assert (e["device"], e["pid"], e["op"], e["netns"]) == (name_of(path), pid, "READ", a.inode)
                assert (e["queue_ns"], e["device_time_ns"], e["status"], e["bytes"]) == (None, None, 0, 4096)
            assert set(histograms(records)) == {"latency"} and histograms(records)["latency"]["count"] == 2
        finally:
            run(["dmsetup", "remove", name])


def test_scsi(pair):
    """A disk of another kind, by its own delay."""
    a, _, _ = pair
    before = set(os.listdir("/sys/block"))
    if run(["modprobe", "-q", "scsi_debug", f"ndelay={120 * MS}", "dev_size_mb=8"]).returncode:
        pytest.skip("null_blk: no disk can be told how long to take")
    try:
        run(["modprobe", "-q", "sd_mod"])
        disk, = wait_for(lambda: [d for d in set(os.listdir("/sys/block")) - before if os.path.exists(f"/dev/{d}")], 30, "a disk")
        # Its first questions are over when nothing is asked for a while.
        last = [done(disk)]
        wait_for(lambda: last.append(done(disk)) or len(last) > 20 and len(set(last[-20:])) == 1, 30, "it to be found")
        with traced(disk) as t:
            times, pid = work(a, f"/dev/{disk}", count=2)
            events = [e for e in t.wait(2) if e["pid"] == pid]
            t.stop()
        assert sorted(check_event(e, a, disk, times, pid) for e in events) == [0, 1]
        assert all(e["latency_ns"] >= 120 * MS and e["event"] == "BIOLAT_100MS" for e in events)
    finally:
        wait_for(lambda: run(["rmmod", "scsi_debug"]).returncode == 0, 30, "scsi_debug to go")


@contextlib.contextmanager
def written(name, value):
    path = pathlib.Path("/proc/sys/vm", name)
    before = path.read_text()
    path.write_text(str(value))
    try:
        yield
    finally:
        path.write_text(before)


def test_written_back_for_a_pod(pair):
    """What a pod's process wrote is written back by a kernel thread, later: it is the pod's all the same."""
    a, _, _ = pair
    top = pathlib.Path("/sys/fs/cgroup/cgroup.subtree_control")
    if not top.exists() or not {"io", "memory"} <= set(top.with_name("cgroup.controllers").read_text().split()):
        pytest.skip("null_blk: no disk can be told how long to take")
    with null_blk(15 * MS) as path, contextlib.ExitStack() as stack:
        top.write_text("+io +memory")
        cgroup = Cgroup(f"kubepods/pod{uuid.uuid4()}/{uuid.uuid4().hex * 2}")
        stack.callback(cgroup.close)
        for folder in list(cgroup.path.parents)[:3][::-1]:
            (folder / "cgroup.subtree_control").write_text("+io +memory")
        writer = a.python("import os, sys; sys.stdin.readline(); f = open(sys.argv[1], 'r+b', 0); f.write(bytes(65536));"
                          "print('written', flush=True); sys.stdin.readline()", path, stdin=-1)
        cgroup.add(writer.pid)
        stack.enter_context(written("dirty_writeback_centisecs", 10))
        stack.enter_context(written("dirty_expire_centisecs", 10))
        with traced(path, "--op", "write") as t:
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            events = t.wait(1, 40)
            t.stop()
        writer.stdin.close()
        writer.wait()
        for e in events:
            assert e["comm"].startswith("kworker") and e["pid"] != writer.pid and e["netns"] == a.inode, e
            assert e["cgroup"] == os.stat(cgroup.path).st_ino
