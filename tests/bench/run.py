#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our probes against their peers on loads of their own: CPU time, peak memory, system calls.

Usage: run.py [NAME…]   (BENCH_ROUNDS: rounds of each, default 5)

Each measurement first asserts that both give the same numbers, then runs both in turn. What counts is the ratio
within a round, as median and range; times are of one machine on one day. Never fails on a time.
"""
import collections
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from skooplib import BUILD, _Inside, tool  # noqa: E402

HELPERS = BUILD / "tests" / "bench"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
PREFIX = f"skb{os.getpid()}-"


# ---- loads ----

class Spaces:
    """Named network namespaces with lo up, each with a load in it."""

    def __init__(self, count, *load):
        self.names = [f"{PREFIX}{i}" for i in range(count)]
        self.load, self.children = load, []

    def __enter__(self):
        batch(f"netns add {n}" for n in self.names)
        try:
            for name in self.names:
                with _Inside(path(name)):
                    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                    if self.load:
                        self.children.append(start_load(*self.load))
            for child in self.children:
                assert child.stdout.readline() == "ready\n", "a load failed"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for child in self.children:
            child.stdin.close()
        for child in self.children:
            child.wait()
        batch(f"netns del {n}" for n in self.names)


def path(name):
    return f"/run/netns/{name}"


def batch(lines, *options):
    subprocess.run(["ip", *options, "-batch", "-"], input="".join(f"{line}\n" for line in lines), text=True, check=True)


def start_load(*args, before=()):
    return subprocess.Popen([*before, HELPERS / "load", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)


@contextlib.contextmanager
def load_apart(*args):
    """A load that is alone in a pid namespace, with a /proc of its own; gives the pid whose namespaces those are."""
    child = start_load(*args, before=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
    try:
        assert child.stdout.readline() == "ready\n", "the load failed"
        yield int(pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0])
    finally:
        child.stdin.close()
        child.wait()


# ---- running and measuring ----

Cost = collections.namedtuple("Cost", "cpu hwm syscalls")


class Command:
    """
    Something to run to its end: an argv, in a network namespace, or in the pid namespace of a process. Strict: it must
    end with 0, or with 4, which says that this kernel lacks something.
    """

    def __init__(self, *argv, netns=None, pidns=None, strict=True):
        self.argv = [str(a) for a in argv]
        self.netns, self.pidns, self.strict = netns, pidns, strict

    def full(self, argv):
        return argv if self.pidns is None else ["nsenter", "-t", str(self.pidns), "-p", "-m", *argv]

    def inside(self):
        return _Inside(path(self.netns)) if self.netns else contextlib.nullcontext()

    def output(self):
        with self.inside():
            done = subprocess.run(self.full(self.argv), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert not self.strict or done.returncode in (0, 4), (self.argv, done.returncode, done.stderr)
        return done.stdout

    def records(self):
        return [json.loads(line) for line in self.output().splitlines()]

    def cpu(self):
        """Seconds of user and system time of one run and all its children."""
        with self.inside(), open(os.devnull, "r+b") as null:
            child = subprocess.Popen(self.full(self.argv), stdin=null, stdout=null, stderr=null)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        assert not self.strict or child.returncode in (0, 4), (self.argv, child.returncode)
        return usage.ru_utime + usage.ru_stime

    def counts(self):
        """(largest VmHWM of a process in KiB, system calls)"""
        with tempfile.NamedTemporaryFile() as f, self.inside(), open(os.devnull, "r+b") as null:
            subprocess.run(self.full([str(HELPERS / "count"), f.name, *self.argv]), stdin=null, stdout=null, stderr=null,
                           check=False)
            syscalls, hwm = map(int, pathlib.Path(f.name).read_text().split())
        return hwm, syscalls


def cpu(commands):
    return sum(c.cpu() for c in commands)


def counts(commands):
    each = [c.counts() for c in commands]
    return max(e[0] for e in each), sum(e[1] for e in each)


def probe(name, *args, **kw):
    return Command(tool(name), *args, **kw)


def until_same(ours, theirs, what):
    """Both must agree within some tries: a packet may pass between the two readings."""
    for _ in range(20):
        mine, other = ours(), theirs()
        if mine == other:
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not the same:\n{mine}\n{other}")


class Bench:
    def __init__(self):
        self.rows = []

    def measure(self, what, peer, goal, ours, theirs, memory=None, rounds=ROUNDS, count=True):
        """ours, theirs: lists of commands. goal: at most so much of the peer; memory: at most so many KiB."""
        ours, theirs = list(ours), list(theirs)
        cpu(ours), cpu(theirs)  # neither meets cold caches
        pairs = [(cpu(ours), cpu(theirs)) for _ in range(rounds)]
        ratios = [a / b for a, b in pairs]
        hwm, syscalls = counts(ours)
        other_hwm, other_syscalls = counts(theirs) if count else (None, None)
        met = "no" if statistics.median(ratios) > goal else "memory: no" if memory and hwm > memory else "yes"
        self.rows.append([
            what, f"{statistics.median(a for a, _ in pairs) * 1e3:.1f}", peer,
            f"{statistics.median(b for _, b in pairs) * 1e3:.1f}",
            f"{statistics.median(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}]",
            f"{goal}" + (f", {memory} KiB" if memory else ""), met,
            f"{hwm}/{dash(other_hwm)}", f"{syscalls}/{dash(other_syscalls)}"])
        print(f"{what}: {self.rows[-1][4]}", file=sys.stderr, flush=True)

    def table(self):
        head = ["WHAT", "MS", "PEER", "MS", "RATIO [RANGE]", "GOAL", "MET", "PEAK KiB", "SYSCALLS"]
        widths = [max(len(r[i]) for r in [head, *self.rows]) for i in range(len(head))]
        for row in [head, *self.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def dash(value):
    return "-" if value is None else value


def metric_values(recs, prefix, *labels):
    """{pod: {(labels…, metric): value}}, one tuple for each further label named."""
    found = collections.defaultdict(dict)
    for r in recs:
        if r["kind"] == "metric" and r["metric"].startswith(f"kubeskoop_{prefix}_"):
            key = (*(r["labels"].get(label) for label in labels), r["metric"].removeprefix(f"kubeskoop_{prefix}_"))
            found[r["labels"]["target_pod"]][key] = r["value"]
    return found


# ---- the measurements ----

AWK = '{n[$1]++; if ($1 != "LISTEN") { r += $2; t += $3 }} END {print n["ESTAB"] + 0, n["TIME-WAIT"] + 0, t + 0, r + 0}'
SUMMARY = ("tcpestablishedconn", "tcptimewaitconn", "tcptxqueue", "tcprxqueue")


def summaries(*args):
    found = metric_values(probe("tcpsummary", "-j", *args).records(), "tcpsummary")
    return {pod: [v[(name,)] for name in SUMMARY] for pod, v in found.items()}


def bench_tcpsummary(bench):
    """100,000 sockets in one namespace."""
    with Spaces(1, "tcp", 100000) as spaces:
        name = spaces.names[0]
        peer = Command("sh", "-c", f"ss -tanH | awk '{AWK}'", netns=name)
        ours = list(summaries("-n", name).values())
        assert ours == [list(map(int, peer.output().split()))] and ours[0][0] == 100000, ours
        bench.measure("tcpsummary, 100k sockets", "ss -tanH | awk", 0.45, [probe("tcpsummary", "-n", name)], [peer],
                      memory=1536)


def bench_tcpsummary_many(bench):
    """200 namespaces with 600 sockets each."""
    with Spaces(200, "tcp", 600) as spaces:
        pids = [str(c.pid) for c in spaces.children]
        peer = Command(HELPERS / "peer_tcp", *pids)
        lines = [line.split() for line in peer.output().splitlines()]
        theirs = {f"netns:{spaces.names[pids.index(pid)]}": list(map(int, v)) for pid, *v in lines}
        ours = summaries()
        assert len(theirs) == 200 and theirs == {pod: ours[pod] for pod in theirs}
        assert {v[0] for v in theirs.values()} == {600}
        bench.measure("tcpsummary, 200 namespaces x 600 sockets", "C, parsing net/tcp and tcp6", 0.8,
                      [probe("tcpsummary")], [peer], rounds=min(ROUNDS, 2))


def bench_fd_io(bench):
    """2,000 processes with 100 descriptors each."""
    with load_apart("fds", 2000, 100) as pidns:
        peer = Command(HELPERS / "peer_fd", pidns=pidns)

        def ours():
            got = {}
            for name in ("fd", "io"):
                for values in metric_values(probe(name, "-j", pidns=pidns).records(), name).values():
                    got.update({k[0]: v for k, v in values.items()})
            # The probe has its own three descriptors; the peer leaves itself out.
            return [got["openfd"] - 3, got["opensocket"], got["ioreadsyscall"], got["iowritesyscall"],
                    got["ioreadbytes"], got["iowritebytes"]]
        until_same(ours, lambda: list(map(int, peer.output().split())), "fd and io")
        assert ours()[0] >= 200000
        bench.measure("fd + io, 2,000 processes x 100", "C, readdir + readlink", 0.95,
                      [probe("fd", pidns=pidns), probe("io", pidns=pidns)], [peer])


@contextlib.contextmanager
def devices(count):
    """A namespace with so many devices, each with a queue: veth pairs."""
    with Spaces(1) as spaces:
        name = spaces.names[0]
        batch([line for i in range(count // 2) for line in (
            f"link add p{i}a type veth peer name p{i}b", f"link set p{i}a up", f"link set p{i}b up")], "-n", name)
        subprocess.run(["tc", "-n", name, "-batch", "-"], check=True, text=True, input="".join(
            f"qdisc add dev p{i}{end} root handle 1: pfifo\n" for i in range(count // 2) for end in "ab"))
        yield name


def bench_qdisc(bench):
    """500 queueing disciplines in one namespace."""
    with devices(500) as name:
        peer = Command("tc", "-s", "qdisc", netns=name)

        def theirs():
            qdiscs = json.loads(Command("tc", "-s", "-j", "qdisc", netns=name).output())
            return {(q["dev"], key): q[theirs] for q in qdiscs if q["kind"] != "noqueue" for key, theirs in (
                ("bytes", "bytes"), ("packets", "packets"), ("drops", "drops"), ("qlen", "qlen"),
                ("backlog", "backlog"), ("overlimits", "overlimits"))}

        def ours():
            return metric_values(probe("qdisc", "-n", name, "-j").records(), "qdisc", "device")[f"netns:{name}"]
        until_same(ours, theirs, "qdisc")
        assert len(theirs()) == 6 * 500
        bench.measure("qdisc, 500 qdiscs", "tc -s qdisc", 0.45, [probe("qdisc", "-n", name)], [peer])


def bench_netdev(bench):
    """500 devices in one namespace."""
    with devices(500) as name:
        peer = Command("ip", "-s", "link", netns=name)

        def theirs():
            links = json.loads(Command("ip", "-s", "-j", "link", netns=name).output())
            return {(link["ifname"], way + key): link["stats64"][way][key] for link in links if link["ifname"] != "lo"
                    for way in ("rx", "tx") for key in ("bytes", "packets", "errors", "dropped")}

        def ours():
            return metric_values(probe("netdev", "-n", name, "-j").records(), "netdev", "device")[f"netns:{name}"]
        until_same(ours, theirs, "netdev")
        assert len(theirs()) == 8 * 500
        bench.measure("netdev, 500 devices", "ip -s link", 0.35, [probe("netdev", "-n", name)], [peer])


# What the shell has for the same 13: the tools one knows, and cat for the rest.
SHELL = """nstat -asz; ss -tanH; tc -s qdisc; ip -s link; conntrack -S; conntrack -C
cat /proc/net/sockstat /proc/net/sockstat6 /proc/net/softnet_stat /proc/sys/net/netfilter/nf_conntrack_max
cat /proc/net/ip_vs_stats
for p in $(ip netns pids $1); do cat /proc/$p/io; ls -l /proc/$p/fd; done"""
EACH = f"for n in $(ip netns list | cut -d ' ' -f 1); do case $n in {PREFIX}*) ip netns exec $n sh -c '{SHELL}' sh $n;; esac; done"
ALL13 = "conntrack,qdisc,fd,io,ipvs,netdev,tcpext,tcp,udp,ip,sock,softnet,tcpsummary"


def same_counters(name, recs):
    """What the shell sees inside, by the names it sees it, is what we have of that namespace."""
    pod = f"netns:{name}"
    kernel = json.loads(Command("nstat", "-aszj", netns=name).output())["kernel"]
    lower = {k.lower(): v for k, v in kernel.items()}
    for prefix in ("tcpext", "tcp", "udp"):
        ours = metric_values(recs, prefix)[pod]
        gauges = {("currestab",)}
        assert ours, prefix
        assert {k: v for k, v in ours.items() if k not in gauges} == \
            {k: lower[prefix + k[0]] for k in ours if k not in gauges}
    rows = [line.split() for line in Command("ss", "-tanH", netns=name).output().splitlines()]
    assert metric_values(recs, "tcpsummary")[pod][("tcpestablishedconn",)] == sum(r[0] == "ESTAB" for r in rows)
    links = json.loads(Command("ip", "-s", "-j", "link", netns=name).output())
    assert len(metric_values(recs, "netdev", "device")[pod]) == 8 * (len(links) - 1)
    assert metric_values(recs, "conntrack")[pod][("entries",)] == int(Command("conntrack", "-C", netns=name).output())
    assert metric_values(recs, "fd")[pod][("openfd",)] == sum(
        len(os.listdir(f"/proc/{pid}/fd")) for pid in Command("ip", "netns", "pids", name).output().split())


def bench_run(bench):
    """All 13 probes, one namespace with a pair of devices and some connections."""
    with Spaces(1, "tcp", 100) as spaces:
        name = spaces.names[0]
        batch(["link add va type veth peer name vb"], "-n", name)
        recs = Command(tool(""), "run", ALL13, "-n", name, "-j").records()
        same_counters(name, recs)
        bench.measure("run of 13 probes, one namespace", "sh: nstat ss tc ip conntrack cat ls", 0.5,
                      [Command(tool(""), "run", ALL13, "-n", name)],
                      [Command("sh", "-c", SHELL, "sh", name, netns=name, strict=False)])


def bench_run_many(bench):
    """All 13 probes, 500 namespaces with a process each."""
    with Spaces(500, "idle") as spaces:
        recs = Command(tool(""), "run", ALL13, "-j").records()
        for name in spaces.names[::50]:
            same_counters(name, recs)
        bench.measure("run of 13 probes, 500 namespaces", "the same by ip netns exec, in a loop", 0.05,
                      [Command(tool(""), "run", ALL13)], [Command("sh", "-c", EACH, strict=False)], rounds=min(ROUNDS, 2), count=False)


def main():
    benches = {name.removeprefix("bench_"): f for name, f in globals().items() if name.startswith("bench_")}
    chosen = sys.argv[1:] or list(benches)
    unknown = [c for c in chosen if c not in benches]
    if unknown:
        sys.exit(f"run.py: no such measurement: {', '.join(unknown)}; there are {', '.join(benches)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clean up on the way
    bench = Bench()
    for name in chosen:
        benches[name](bench)
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs; CPU time, {ROUNDS} rounds")
    bench.table()


if __name__ == "__main__":
    main()
