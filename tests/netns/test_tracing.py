# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of a probe that traces, shown on skoop-tcpretrans: start, selection, filters, formats, losses, every way to end.

An event is a SYN to an address that answers nothing: sent again after one second, by every socket, counted by the kernel.
"""
import collections
import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import termios

import pytest

from skooplib import Netns, Tracing, nstat, run, skoop, tool, wait_for

pytestmark = pytest.mark.kernels

PROBE = "tcpretrans"
TOTAL = "kubeskoop_tcpretrans_total"
V4, V6 = socket.AF_INET, socket.AF_INET6


def silent(ns, net=7):
    """A device behind which nobody is: 10.NET.0.0/24 and fd00:NET::/64."""
    ns.sh(f"ip link add d0 type veth peer name d1; ip link set d0 arp off; ip link set d1 up; ip addr add 10.{net}.0.1/24 dev d0; ip -6 addr add fd00:{net}::1/64 dev d0 nodad;"
          "ip link set d0 up")
    return ns


@pytest.fixture
def spaces():
    with Netns("lifea") as a, Netns("lifeb") as b:
        yield silent(a), silent(b)


@contextlib.contextmanager
def knocks(ns, *ends, family=V4, n=1):
    """Sockets that send a SYN to each (address, port), n times, and again after a second."""
    with contextlib.ExitStack() as stack:
        for address, port in ends or [("10.7.0.2", 7)]:
            for _ in range(n):
                s = stack.enter_context(ns.socket(family))
                s.setblocking(False)
                s.connect_ex((address, port))
        yield


def resent(ns):
    return int(nstat(ns)["TcpRetransSegs"])


def counted(records, pod):
    return sum(r["value"] for r in records if r["kind"] == "metric" and r["metric"] == TOTAL
               and r["labels"]["target_pod"] == pod)


def bpf_ids(pid):
    """{"prog", "map", "link": the kernel objects that descriptors of the process hold}."""
    found = collections.defaultdict(set)
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/fdinfo/{fd}") as f:
                for line in f:
                    key, _, value = line.partition(":")
                    if key in ("prog_id", "map_id", "link_id"):
                        found[key[:-3]].add(int(value))
    return found


def orphans():
    """The kernel's programs, maps and links that no process holds."""
    held = [bpf_ids(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return {(kind, o["id"]) for kind in ("prog", "map", "link") for o in json.loads(run(["bpftool", "-j", kind]).stdout)
            if not any(o["id"] in h[kind] for h in held)}


def exists(kind, number):
    return run(["bpftool", kind, "show", "id", number]).returncode == 0


# ---- start and end ----

def test_hooks_are_told_and_can_be_chosen():
    with Tracing(PROBE, "--hooks", "kprobe,tp_btf") as t:
        assert f"skoop-{PROBE}: hook tcp_retransmit_skb: tp_btf\n" in t.stderr()
        assert f"skoop-{PROBE}: hook tcp_retransmit_synack: tp_btf\n" in t.stderr()
    assert "cannot trace tcp_retransmit_skb here: tp_btf: not among --hooks\n" in \
        skoop(PROBE, "--hooks", "kprobe", rc=4).stderr
    done = skoop(PROBE, "--hooks", "tp_btf,magic", rc=2)
    assert done.stdout == "" and "not 'magic'" in done.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(spaces, end):
    a, _ = spaces
    # bpffs too: nothing is pinned
    def around():
        return (a.sh("tc qdisc; ip link; ls -l /proc/self/fd | wc -l").stdout, sorted(os.listdir("/sys/fs/bpf"))
                if os.path.isdir("/sys/fs/bpf") else [], sorted(os.listdir("/tmp")), sorted(os.listdir("/run/netns")))
    with Tracing(PROBE, "-n", a.name) as t:
        held, before = bpf_ids(t.child.pid), around()
        assert len(held["prog"]) == 2 and len(held["link"]) == 2 and len(held["map"]) >= 4, held
        assert all(exists(kind, n) for kind in held for n in held[kind])
        t.child.send_signal(end)
        assert t.child.wait(20) == (0 if end == signal.SIGTERM else -end)
        wait_for(lambda: not any(exists(kind, n) for kind in held for n in held[kind]), 20, "the kernel to let go")
        after = around()
        # Others make and remove files and namespaces meanwhile; ours would carry our name.
        assert before[:2] == after[:2]
        assert not [f for f in set(after[2]) - set(before[2]) if "skoop" in f and "tcpretrans" in f]


def test_nothing_is_left_by_a_failed_load():
    """No room for the descriptors of all maps and programs: some were made when it failed."""
    before = orphans()
    done = run([tool(PROBE)], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14)))
    assert done.returncode == 1 and done.stdout == "" and "Too many open files" in done.stderr, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    wait_for(lambda: not orphans() - before, 20, "the kernel to let go")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_the_last_counters(spaces, sig):
    a, b = spaces
    with Tracing(PROBE, preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGHUP)]) as t:
        with knocks(a, n=3):
            t.wait(3, type="syn", netns=a.inode)
            t.child.send_signal(sig)
            assert t.child.wait(20) == 0, t.stderr()
        records = t.records()
    assert counted(records, a.pod) == 3 and counted(records, b.pod) == 0
    assert records[-1]["kind"] == "metric", records[-1]


def pipe_of(size):
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, size)
    return read, write


def waiting(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def blocked_on(read):
    """Whether a pipe of one page has no room for another record."""
    return waiting(read) > 3000


class Piped:
    """The probe with a pipe of one page behind it that nobody reads."""

    def __init__(self, *args):
        self.read, write = pipe_of(4096)
        self.child = subprocess.Popen([tool(PROBE), "-v", "-j", *args], stdin=subprocess.DEVNULL, stdout=write,
                                      stderr=subprocess.PIPE, text=True)
        os.close(write)
        for line in self.child.stderr:
            if line.endswith("attached\n"):
                return
        raise AssertionError(f"ended with {self.child.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stderr.close()
        with contextlib.suppress(OSError):
            os.close(self.read)

    def everything(self):
        text = b""
        while chunk := os.read(self.read, 65536):
            text += chunk
        return [json.loads(line) for line in text.splitlines()]


def test_the_second_signal_ends_at_once(spaces):
    with Piped() as p, knocks(spaces[0], n=20):
        # All are in the ring, more than the pipe holds: it cannot end before somebody reads.
        wait_for(lambda: resent(spaces[0]) >= 20 and blocked_on(p.read), 20, "the pipe to fill")
        p.child.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            p.child.wait(0.5)
        p.child.terminate()
        assert p.child.wait(5) == -signal.SIGTERM


def test_a_slow_reader_loses_nothing_unseen(spaces):
    a, _ = spaces
    with Piped("--buffer", "4", "-n", a.name) as p:
        with knocks(a, n=100):
            wait_for(lambda: resent(a) >= 100 and blocked_on(p.read), 20, "all to be sent again")
        n = resent(a)
        p.child.terminate()
        records = p.everything()
        assert p.child.wait(20) == 0
        said = p.child.stderr.read()
    events = [r for r in records if r["kind"] == "event"]
    lost = [r for r in records if r["kind"] == "lost"]
    assert lost and lost[-1]["where"] == "ringbuf"
    assert len(events) + lost[-1]["total"] == counted(records, a.pod) == n
    assert sum(r["count"] for r in lost) == lost[-1]["total"]
    assert f"{lost[-1]['total']} events lost\n" in said


def test_a_reader_that_leaves_ends_it_at_once():
    with Piped() as p:
        os.close(p.read)
        assert p.child.wait(2) == 0
        assert p.child.stderr.read() == ""


def test_a_full_disk_is_an_error(spaces):
    with open("/dev/full", "w") as full, knocks(spaces[0]):
        done = subprocess.run([tool(PROBE), "-j", "-n", spaces[0].name], stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr == f"skoop-{PROBE}: write error: No space left on device\n"


# ---- limits and formats ----

def test_limits(spaces):
    """-d, -e and INTERVAL COUNT side by side, with what -E makes of them."""
    a, b = spaces
    with contextlib.ExitStack() as stack:
        def start(*args):
            return stack.enter_context(Tracing(PROBE, *args))
        two = start("-e", 2, "-n", a.name)
        seen, unseen = start("-d", 4, "-E", "-n", a.name), start("-d", 4, "-E", "-n", b.name)
        rounds, no_rounds = start("-n", a.name, 1, 4), start("-E", "-n", b.name, 1, 2)
        stack.enter_context(knocks(a, n=3))
        codes = {p: p.child.wait(30) for p in (two, seen, unseen, rounds, no_rounds)}
        assert list(codes.values()) == [0, 10, 0, 0, 0], [p.stderr() for p in codes]
        assert len(two.events()) == 2
        assert len(seen.events()) >= 3 and counted(seen.records(), a.pod) == len(seen.events())
        assert not unseen.events() and counted(unseen.records(), b.pod) == 0
        metrics = [r for r in rounds.records() if r["kind"] == "metric" and r["metric"].endswith("lostevents")]
        assert len(metrics) == 4
        deltas = [r["delta"] for r in rounds.records() if r["kind"] == "metric" and r["metric"] == TOTAL]
        assert 3 in deltas and sum(d or 0 for d in deltas) == len(rounds.events())


def test_every_format_tells_the_same(spaces, tmp_path):
    a, _ = spaces
    formats = ("json", "tsv", "table", "prom", "openmetrics")
    with contextlib.ExitStack() as stack:
        probes = {f: stack.enter_context(Tracing(PROBE, "-n", a.name, out=f)) for f in formats}
        written = stack.enter_context(Tracing(PROBE, "-n", a.name, "-w", tmp_path / "x.prom", 1, out="prom"))
        with knocks(a, n=3):
            probes["json"].wait(3)
            wait_for(lambda: (tmp_path / "x.prom").exists() and f'type="syn"}} 3\n' in (tmp_path / "x.prom").read_text(),
                     20, "the file to be written")
        for p in [*probes.values(), written]:
            p.child.terminate()
            assert p.child.wait(20) == 0, p.stderr()
        text = {f: p.stdout() for f, p in probes.items()}
        events, total = probes["json"].events(), counted(probes["json"].records(), a.pod)
    assert len(events) == total == 3
    head, *lines = [line.split("\t") for line in text["tsv"].splitlines()]
    assert head[:5] == ["ts", "target_node", "target_namespace", "target_pod", "event"]
    rows = [dict(zip(head, line)) for line in lines]
    assert [r["sport"] for r in rows] == [str(e["sport"]) for e in events]
    assert all(r["target_pod"] == a.pod and r["event"] == "TCPRetrans" and r["type"] == "syn" for r in rows)
    assert text["table"].count("TCPRetrans  ") == 3 and "EVENT" in text["table"].splitlines()[0]
    for f in ("prom", "openmetrics"):
        lines = text[f].splitlines()
        families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        assert len(families) == len(set(families)) == len([line for line in lines if line.startswith("# HELP")]) == 2
        assert lines.count(f"# HELP {TOTAL if f == 'prom' else TOTAL[:-6]} Segments sent again") == 1
        labels = f'target_pod="{a.pod}",target_namespace="-"'
        assert [line for line in lines if line.startswith(TOTAL) and labels in line and line.endswith(' 3')]
    assert text["openmetrics"].endswith("\n# EOF\n") and "# EOF" not in text["prom"]


def test_formats_that_do_not_fit_are_refused(tmp_path):
    for args, why in [(["-o", "prom", 1], "-w"), (["-o", "openmetrics", 1, 2], "-w"),
                      (["-o", "json", "-w", tmp_path / "x"], ""), (["-o", "openmetrics", "-w", tmp_path / "x.prom"], "")]:
        done = skoop(PROBE, *args, rc=2)
        assert done.stdout == "" and why in done.stderr, (args, done)


# ---- who it is about ----

def map_named(pid, name):
    """The entries of a map of the process."""
    for number in bpf_ids(pid)["map"]:
        if json.loads(run(["bpftool", "-j", "map", "show", "id", number]).stdout).get("name") == name:
            return json.loads(run(["bpftool", "-j", "map", "dump", "id", number]).stdout)
    raise LookupError(name)


def first_word(entry):
    return int.from_bytes(bytes(int(x, 16) for x in entry["key"][:4]), "little")


def test_a_selection_is_made_in_the_kernel(spaces):
    a, b = spaces
    with Tracing(PROBE, "-n", a.name) as chosen, Tracing(PROBE) as everyone:
        with knocks(a, n=2), knocks(b, n=2):
            chosen.wait(2)
            wait_for(lambda: resent(b) >= 2 and len([e for e in everyone.events() if e["netns"] == b.inode]) >= 2, 20,
                     "the other's events")
        assert {first_word(e) for e in map_named(chosen.child.pid, "targets")} == {a.inode}
        assert {first_word(e) for e in map_named(chosen.child.pid, "counters")} == {a.inode}
        assert {a.inode, b.inode} <= {first_word(e) for e in map_named(everyone.child.pid, "counters")}
        assert {e["labels"]["target_pod"] for e in chosen.events()} == {a.pod}
        assert {r["labels"]["target_pod"] for r in chosen.stop() if r.get("metric") == TOTAL} == {a.pod}


def test_namespaces_that_come_and_go():
    with Tracing(PROBE) as t:
        # Made after the start: its first event bears its name.
        with Netns("late") as late, knocks(silent(late)):
            assert t.wait(1, netns=late.inode)[0]["labels"]["target_pod"] == late.pod
        # Gone before its event is read: still named.
        with Netns("early") as early:
            inode, pod = early.inode, early.pod
            silent(early)
            with knocks(early):
                t.wait(1, netns=inode)
            with knocks(early):
                t.child.send_signal(signal.SIGSTOP)
                before = resent(early)
                wait_for(lambda: resent(early) > before, 20, "a SYN to be sent again")
        t.child.send_signal(signal.SIGCONT)
        events = t.wait(2, netns=inode)
        assert {e["labels"]["target_pod"] for e in events} == {pod}


def reborn(stack, inode):
    """A namespace that got the number of one that is gone; None: somebody else on this machine got it."""
    for i in range(40):
        ns = stack.enter_context(Netns(f"again{i}"))
        if ns.inode == inode:
            return silent(ns)
    return None


def used_again(a):
    with contextlib.ExitStack() as stack:
        first = Netns("first")
        inode, pod = first.inode, first.pod
        with first:
            everyone = stack.enter_context(Tracing(PROBE))
            chosen = stack.enter_context(Tracing(PROBE, "-n", first.name, "-n", a.name))
            with knocks(silent(first), n=2):
                chosen.wait(2, netns=inode)
        again = reborn(stack, inode)
        if not again:
            return False
        with knocks(again):
            wait_for(lambda: any(e["labels"]["target_pod"] == again.pod for e in everyone.events(netns=inode)), 20,
                     "an event under the new name")
        assert {e["labels"]["target_pod"] for e in everyone.events(netns=inode)} == {pod, again.pod}
        assert counted(everyone.stop(), again.pod) == resent(again)
        assert {e["labels"]["target_pod"] for e in chosen.events()} == {pod}
        return True


def test_a_number_that_is_used_again_means_the_new_namespace(spaces):
    assert any(used_again(spaces[0]) for _ in range(5)), "the number was never used again"


# ---- filters ----

def test_addresses_and_ports(spaces):
    a, _ = spaces
    ends = {"v4": ("10.7.0.2", 7), "v4b": ("10.7.0.99", 8), "v6": ("fd00:7::2", 7), "v6b": ("fd00:7::99:1", 8),
            "mapped": ("10.7.0.5", 9)}
    filters = {(): set(ends), ("--address", "10.7.0.2"): {"v4"}, ("--address", "10.7.0.0/26"): {"v4", "v4b", "mapped"},
               ("--address", "10.7.0.4/30"): {"mapped"}, ("--address", "::ffff:10.7.0.5"): {"mapped"},
               ("--address", "fd00:7::99:0/112"): {"v6b"}, ("--address", "::/0"): set(ends),
               ("--address", "0.0.0.0/0"): {"v4", "v4b", "mapped"}, ("--port", "7"): {"v4", "v6"},
               ("--port", "8", "--address", "10.0.0.0/8"): {"v4b"}, ("--address", "10.7.0.3"): set()}
    # Every socket here has the same source, so a network that holds it lets all of IPv4 through.
    with contextlib.ExitStack() as stack:
        probes = {f: stack.enter_context(Tracing(PROBE, "-n", a.name, *f)) for f in filters}
        stack.enter_context(knocks(a, ends["v4"], ends["v4b"]))
        stack.enter_context(knocks(a, ends["v6"], ends["v6b"], ("::ffff:10.7.0.5", 9), family=V6))
        for f, p in probes.items():
            p.wait(len(filters[f])) if filters[f] else None
        names = {(address, port): name for name, (address, port) in ends.items()}
        for f, p in probes.items():
            records = p.stop()
            events = [r for r in records if r["kind"] == "event"]
            assert {names[e["daddr"], e["dport"]] for e in events} == filters[f], f
            assert counted(records, a.pod) == len(events), f


# ---- storms ----

def test_a_storm_is_counted_exactly_and_memory_stays(spaces):
    a, b = spaces
    with Tracing(PROBE, "-n", a.name, "--buffer", 4) as t:
        def peak():
            return int(next(x for x in open(f"/proc/{t.child.pid}/status") if x.startswith("VmHWM")).split()[1])
        before = peak()
        t.child.send_signal(signal.SIGSTOP)
        with knocks(a, n=400), knocks(b, n=50):
            wait_for(lambda: resent(a) >= 400, 30, "all to be sent again")
            t.child.send_signal(signal.SIGCONT)
            wait_for(lambda: len(t.events()) >= 10, 20, "what the buffer held")
        n, after = resent(a), peak()
        records = t.stop()
        said = t.stderr()
    lost = [r for r in records if r["kind"] == "lost"][-1]["total"]
    assert lost > 100
    assert len([r for r in records if r["kind"] == "event"]) + lost == counted(records, a.pod) == n
    assert [r["value"] for r in records if r.get("metric") == "kubeskoop_tcpretrans_lostevents"] == [lost]
    assert f"skoop-{PROBE}: {lost} events lost\n" in said
    assert after - before < 1024, (before, after)
