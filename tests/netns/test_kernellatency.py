# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-kernellatency against packets held in each stage by a known time: by a program behind NFQUEUE, or for want of a
neighbour. Where functions cannot be traced the reduced mode is what is left, and must say so."""
import contextlib
import json
import socket
import struct
import threading
import time

import pytest

from skooplib import PATIENCE, Netns, Tracing, skoop, values, veth, wait_for

AF = {4: socket.AF_INET, 6: socket.AF_INET6}
A = {4: "10.9.0.1", 6: "fd00:9::1"}
B = {4: "10.9.0.2", 6: "fd00:9::2"}
RX, TX = "RXKERNEL_SLOW", "TXKERNEL_SLOW"
PREFIX = "kubeskoop_kernellatency_"
MS = 1000000
PORT = 9
STAGES = {"rx": "ingress+prerouting+route+local_in", "tx": "local_out+postrouting+neigh",
          "forward": "ingress+prerouting+route+forward+postrouting"}
FUNCTIONS, KPROBES = "tp_btf,fentry,fexit", "tp_btf,kprobe,kretprobe"


class Held:
    """Lets each packet of an nft queue go on after `delay` seconds: the messages of nfnetlink_queue, by hand."""

    def __init__(self, ns, delay, number=7):
        self.number, self.delay, self.passed, self.ended = number, delay, 0, False
        self.sock = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self.sock.bind((0, 0))
        self.sock.settimeout(0.1)
        self.send(2, struct.pack("=HHBBH", 8, 1, 1, 0, socket.htons(socket.AF_INET)))  # bind
        self.send(2, struct.pack("=HH", 9, 2) + struct.pack("!IBxxx", 0, 1))  # copy no data of the packets
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def send(self, kind, attrs):
        body = struct.pack("=BBH", 0, 0, socket.htons(self.number)) + attrs
        self.sock.send(struct.pack("=IHHII", 16 + len(body), 3 << 8 | kind, 1, 1, 0) + body)

    def work(self):
        while not self.ended:
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                continue
            at = 20
            while struct.unpack_from("=H", data, 4)[0] == 3 << 8 and at < len(data):
                length, kind = struct.unpack_from("=HH", data, at)
                if kind & 0x7fff == 1:
                    time.sleep(self.delay)  # the delay under test
                    self.send(1, struct.pack("=HH", 12, 2) + struct.pack("!II", 1, struct.unpack_from("!I", data, at + 4)[0]))
                    self.passed += 1
                at += length + 3 & ~3

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ended = True
        self.thread.join()
        self.sock.close()


def rules(ns, *chains):
    """Chains of a table of both families: (hook, rule)."""
    text = "".join(f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n" for hook, rule in chains)
    return ns.run("nft", "-f", "-", stdin=None, input=f"table inet t {{}}\ndelete table inet t\ntable inet t {{\n{text}}}\n")


class Net:
    """a sends to b; q is quiet. Neighbours are known, so that nothing but the test's packets goes by."""

    def __init__(self, a, b, q):
        self.a, self.b, self.q = a, b, q
        veth(a, b)
        self.neighbours()
        self.options = [w for ns in (a, b, q) for w in ("-n", ns.name)] + ["--port", PORT]
        # Made while nothing is watched: what the kernel loads for the first packets takes its time.
        for v in (4, 6):
            with self.pair(v) as (s, server):
                s.send(b"x")
                server.recv(10)

    def neighbours(self, versions=(4, 6)):
        for ns, dev, far, peer, there in ((self.a, "va", B, self.b, "vb"), (self.b, "vb", A, self.a, "va")):
            mac = json.loads(peer.run("ip", "-j", "link", "show", there).stdout)[0]["address"]
            for v in versions:
                ns.ip(f"neigh replace {far[v]} lladdr {mac} dev {dev} nud permanent")

    @contextlib.contextmanager
    def pair(self, v=4):
        with self.b.socket(AF[v], socket.SOCK_DGRAM) as server, self.a.socket(AF[v], socket.SOCK_DGRAM) as s:
            server.bind((B[v], PORT))
            server.settimeout(10 * PATIENCE)
            s.connect((B[v], PORT))
            yield s, server

    def send(self, v, data=b"x"):
        """One datagram, taken in by b; its source port."""
        with self.pair(v) as (s, server):
            s.send(data)
            assert server.recv(65536) == data
            return s.getsockname()[1]


@pytest.fixture(scope="module")
def net():
    with Netns("kla") as a, Netns("klb") as b, Netns("klq") as q:
        yield Net(a, b, q)


@pytest.fixture(autouse=True)
def no_rules(net):
    yield
    for ns in (net.a, net.b):
        ns.sh("nft delete table inet t 2>/dev/null || true")


@pytest.fixture(scope="module")
def full(net):
    """Whether functions can be traced."""
    with Tracing("kernellatency", "-n", net.q.name) as t:
        lite = "reduced mode lite" in t.stderr()
        records = t.stop()
    assert {r.get("mode") for r in records} == ({"lite"} if lite else {None})
    return not lite


def can_queue(net):
    return not rules(net.a, ("output", "udp dport 1 queue num 7")).returncode


def same(net, e, v, sport, path="local"):
    """Each field of an event of a datagram from a to b."""
    rx = e["event"] == RX
    ns, dev = (net.b, "vb") if rx else (net.a, "va")
    want = {"netns": ns.inode, "protocol": "UDP", "saddr": A[v], "sport": sport, "daddr": B[v], "dport": PORT, "device": dev, "path": path}
    assert {k: e[k] for k in want} == want and e["labels"]["target_pod"] == ns.pod
    assert "+".join(e["stages_ns"]) == STAGES["rx" if rx else "tx"], e
    assert sum(e["stages_ns"].values()) == e["latency_ns"] and "mode" not in e
    assert e["stages_ns"][e["slowest"]] == max(e["stages_ns"].values())


def counts(records, name, key, pod):
    """{label: count} at the end of a histogram of a namespace."""
    return {r["keys"][key]: r["count"] for r in records if r["kind"] == "histogram" and r["histogram"] == name
            and r["labels"]["target_pod"] == pod}


def check_counters(net, records, low):
    """The counters say what the run that shows everything has seen, and nothing is lost."""
    events = [r for r in low if r["kind"] == "event"]
    for ns in (net.a, net.b, net.q):
        all_have, have = values(low, pod=ns.pod), values(records, pod=ns.pod)
        for kind, metric in ((RX, "rxslow"), (TX, "txslow")):
            took = [e["latency_ns"] for e in events if e["event"] == kind and e["netns"] == ns.inode]
            for limit, name in ((10, metric), (100, metric + "100ms")):
                assert all_have[PREFIX + name] == len([t for t in took if t > limit * MS]), (ns.name, name, took)
                # The other one has looked at the clock a little before or after it.
                assert len([t for t in took if t > (limit + 1) * MS]) <= have[PREFIX + name] <= \
                    len([t for t in took if t > (limit - 1) * MS]), (ns.name, name, took)
    for r in records + low:
        assert r["kind"] != "lost" and (r["kind"] != "metric" or r["metric"] != PREFIX + "lostevents" or r["value"] == 0)


# ---- stages ----

def test_held_in_each_stage(net, full):
    """150 ms are told, with the stage they were spent in; 50 ms are counted, 5 ms are nothing."""
    if not full:
        return reduced(net)
    assert can_queue(net), "this kernel has functions to trace, and no nft queue"
    with Tracing("kernellatency", *net.options, "-D") as t, Tracing("kernellatency", *net.options, "-t", "1ns", "-D") as low:
        sent = []
        for ns, hook, stage in ((net.b, "prerouting", "prerouting"), (net.b, "input", "local_in"),
                                (net.a, "output", "local_out"), (net.a, "postrouting", "postrouting")):
            assert rules(ns, (hook, f"udp dport {PORT} queue num 7")).returncode == 0
            for delay in (0.15, 0.05, 0.005):
                with Held(ns, delay) as held:
                    for v in (4, 6):
                        sent.append((v, net.send(v), ns, stage, delay))
                    assert held.passed == 2
            ns.sh("nft delete table inet t")
        low.wait(2 * len(sent))
        records, everything = t.stop(), low.stop()
    check_counters(net, records, everything)
    told = [r for r in records if r["kind"] == "event"]
    for v, sport, ns, stage, delay in sent:
        mine = [e for e in everything if e["kind"] == "event" and e["sport"] == sport]
        assert sorted(e["event"] for e in mine) == [RX, TX]
        for e in mine:
            here = e["netns"] == ns.inode
            same(net, e, v, sport)
            if here:
                assert delay * 1000 * MS < e["stages_ns"][stage] and e["slowest"] == stage, e
                assert e["latency_ns"] < (delay + 0.1 * PATIENCE) * 1000 * MS, e
        seen = [e for e in told if e["sport"] == sport and e["netns"] == ns.inode]
        assert len(seen) == (delay > 0.1) or (PATIENCE > 1 and seen[0]["latency_ns"] > 100 * MS)
        for e in seen:
            same(net, e, v, sport)


def test_unknown_neighbour(net, full):
    """It waits until the neighbour is known; meanwhile it is shown as in flight."""
    if not full:
        pytest.skip("functions cannot be traced")
    net.a.sh("sysctl -qw net.ipv4.neigh.va.mcast_solicit=60 net.ipv6.neigh.va.mcast_solicit=60")
    net.b.sh("sysctl -qw net.ipv4.conf.vb.arp_ignore=8")  # answers nobody
    assert rules(net.b, ("input", "icmpv6 type nd-neighbor-solicit drop")).returncode == 0
    try:
        with Tracing("kernellatency", *net.options) as t:
            for v in (4, 6):
                net.a.ip(f"neigh del {B[v]} dev va")
                with net.pair(v) as (s, server):
                    since = time.monotonic()
                    s.send(b"x")
                    sport = s.getsockname()[1]
                    flying = wait_for(lambda: [r for r in t.records() if r["kind"] == "in_flight" and r["sport"] == sport],
                                      what="a packet in flight")
                    net.neighbours([v])
                    assert server.recv(10) == b"x"
                    took = (time.monotonic() - since) * 1000 * MS
                    e, = t.wait(1, event=TX, sport=sport)
                for r in (flying[0], e):
                    same(net, r | {"event": TX}, v, sport)
                    assert r["slowest"] == "neigh" and 100 * MS < r["latency_ns"] < took + MS
                assert flying[0]["latency_ns"] < e["latency_ns"]
            records = t.stop()
    finally:
        net.b.sh("sysctl -qw net.ipv4.conf.vb.arp_ignore=0")
        net.neighbours()
    assert len([r for r in records if r["kind"] == "event" and r["event"] == TX]) == 2
    assert values(records, pod=net.a.pod)[PREFIX + "txslow100ms"] == 2 and values(records, pod=net.q.pod)[PREFIX + "txslow"] == 0


@pytest.mark.parametrize("hooks", [FUNCTIONS, KPROBES])
def test_every_stamp(net, full, hooks):
    """Each stage is seen of each packet, UDP and TCP, of both families: as many as the rules count."""
    if not full:
        pytest.skip("functions cannot be traced")
    match = "udp dport 9 counter; tcp dport 9 counter; tcp sport 9 counter"
    assert rules(net.a, ("output", match)).returncode == 0
    assert rules(net.b, ("prerouting", "accept"), ("input", match)).returncode == 0
    with Tracing("kernellatency", *net.options, "-D", "--hooks", hooks, 0.5, "-t", "10s") as t:
        for v in (4, 6):
            with net.pair(v) as (s, server):
                for _ in range(20):
                    s.send(b"x")
                    server.recv(10)
            with net.b.socket(AF[v]) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((B[v], PORT))
                listener.listen()
                with net.a.socket(AF[v]) as s:
                    s.connect((B[v], PORT))
                    peer = listener.accept()[0]
                    for _ in range(10):
                        s.sendall(b"x")
                        assert peer.recv(10) == b"x"
                    s.shutdown(socket.SHUT_WR)
                    assert peer.recv(10) == b""
                    peer.close()
                    assert s.recv(10) == b""
        wait_for(lambda: counted(net.a, "output") == counted(net.b, "input"), what="the last packet")
        records = t.stop()
    sent = counted(net.a, "output")
    assert sent > 40 + 20
    assert counts(records, "latency", "path", net.a.pod)["tx"] == sent
    assert counts(records, "latency", "path", net.b.pod)["rx"] == sent
    assert counts(records, "latency", "path", net.a.pod)["rx"] == counts(records, "latency", "path", net.b.pod)["tx"] > 0
    stages = counts(records, "stage", "stage", net.a.pod)
    assert [stages[s] for s in STAGES["tx"].split("+")] == [sent] * 3, stages
    stages = counts(records, "stage", "stage", net.b.pod)
    both = stages.get("prerouting+route", 0)
    assert stages["ingress"] == stages["local_in"] == sent and both + stages.get("prerouting", 0) == sent
    assert stages.get("prerouting", 0) == stages.get("route", 0) and (hooks == KPROBES or not both), stages
    assert not counts(records, "latency", "path", net.q.pod)
    assert not [r for r in records if r["kind"] in ("event", "in_flight", "lost")]


def counted(ns, chain):
    """What the counters of a chain say, all together."""
    words = ns.run("nft", "list", "chain", "inet", "t", chain).stdout.split()
    return sum(int(words[i + 1]) for i, w in enumerate(words) if w == "packets")


def test_what_does_not_arrive(net, full):
    """Dropped, in fragments, cut up: what is no sample leaves nothing behind."""
    if not full:
        pytest.skip("functions cannot be traced")
    with Tracing("kernellatency", *net.options, "-D", "-t", "1ns", 0.2) as t:
        assert rules(net.b, ("prerouting", "udp length 20 drop"), ("input", "udp length 21 drop")).returncode == 0
        for v in (4, 6):
            with net.pair(v) as (s, server):
                for size in (12, 13, 14):
                    for _ in range(10):
                        s.send(b"x" * size)
                for _ in range(10):
                    assert server.recv(100) == b"x" * 14
        net.send(4, b"x" * 4000)
        rounds = len([r for r in t.records() if r["kind"] == "metric"])
        wait_for(lambda: len([r for r in t.records() if r["kind"] == "metric"]) > rounds + 60, what="more rounds")
        records = t.stop()
    assert counts(records, "latency", "path", net.b.pod) == {"rx": 21}
    assert counts(records, "latency", "path", net.a.pod) == {"tx": 61}
    stages = counts(records, "stage", "stage", net.a.pod)
    # The first of its fragments may be what is left of the datagram.
    assert stages.pop("neigh") in (60, 61) and stages == {"local_out": 61, "postrouting": 61}
    assert not [r for r in records if r["kind"] in ("in_flight", "lost")]


def test_the_one_slow_packet_after_many(net, full):
    """More packets than there is room for go by; then one has to wait."""
    if not full:
        pytest.skip("functions cannot be traced")
    many = 120000 // (1 if PATIENCE == 1 else 24)
    with Tracing("kernellatency", *net.options, "-D", "--max-packets", 1024) as t:
        with net.pair() as (s, server):
            for _ in range(many):
                s.send(b"x")
                server.recv(10)
        assert rules(net.b, ("input", f"udp dport {PORT} queue num 7")).returncode == 0
        with Held(net.b, 0.15):
            sport = net.send(4)
        t.wait(1, event=RX, sport=sport)
        records = t.stop()
    e, = [r for r in records if r["kind"] == "event" and r["sport"] == sport and r["event"] == RX]
    same(net, e, 4, sport)
    assert e["slowest"] == "local_in"
    assert counts(records, "latency", "path", net.b.pod) == {"rx": many + 1}
    assert counts(records, "latency", "path", net.a.pod) == {"tx": many + 1}
    assert not [r for r in records if r["kind"] in ("in_flight", "lost")]


def test_forwarded(net, full):
    """What a router forwards is shown on demand, under the stage of its rules, and is never left behind."""
    if not full:
        assert "--forward" in skoop("kernellatency", "--forward", "-d", 0.1, rc=4).stderr
        return
    with Netns("klr") as r, Netns("kld") as d:
        r.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for ns, dev, number in ((net.a, "va2", 7), (d, "vd", 8)):
            veth(ns, r, dev, f"vr{number}", number)
        net.a.ip("route add 10.8.0.0/24 via 10.7.0.2", "route add fd00:8::/64 via fd00:7::2")
        d.ip("route add 10.7.0.0/24 via 10.8.0.2", "route add fd00:7::/64 via fd00:8::2")
        options = ["-n", r.name, "--port", 10, "-D"]
        with Tracing("kernellatency", *options, "--forward") as t, Tracing("kernellatency", *options, 0.2) as without:
            for v, address in ((4, "10.8.0.1"), (6, "fd00:8::1")):
                with d.socket(AF[v], socket.SOCK_DGRAM) as server, net.a.socket(AF[v], socket.SOCK_DGRAM) as s:
                    server.bind((address, 10))
                    server.settimeout(10 * PATIENCE)
                    s.connect((address, 10))
                    for _ in range(10):
                        s.send(b"x")
                        server.recv(10)
                    assert rules(r, ("forward", "udp dport 10 queue num 7")).returncode == 0
                    with Held(r, 0.15):
                        s.send(b"x")
                        server.recv(10)
                    r.sh("nft delete table inet t")
                    e, = t.wait(1, sport=s.getsockname()[1], dport=10)
                    assert (e["event"], e["path"], e["slowest"], e["device"]) == (RX, "forward", "forward", "vr7"), e
                    assert e["stages_ns"]["forward"] > 150 * MS and "+".join(e["stages_ns"]) == STAGES["forward"]
            records, none = t.stop(), without.stop()
    assert counts(records, "latency", "path", r.pod) == {"forward": 22}
    assert values(records, pod=r.pod)[PREFIX + "rxslow100ms"] == 2
    assert not [x for x in none if x["kind"] in ("event", "histogram", "in_flight", "lost")]


# ---- the reduced mode, and choices ----

def exchange(net, v, n):
    """A TCP connection on which each end says n words in turn; the port of a."""
    with net.b.socket(AF[v]) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((B[v], PORT))
        listener.listen()
        with net.a.socket(AF[v]) as s:
            s.connect((B[v], PORT))
            peer = listener.accept()[0]
            for _ in range(n):
                s.sendall(b"x")
                assert peer.recv(10) == b"x"
                peer.sendall(b"y")
                assert s.recv(10) == b"y"
            port = s.getsockname()[1]
            peer.close()
            return port


def reduced(net):
    """The mode without functions: TCP's established connections, received; its name is in every record."""
    words = ["--hooks", "tp_btf"]
    slow = can_queue(net)
    with Tracing("kernellatency", *net.options, *words, "-D") as t, \
            Tracing("kernellatency", *net.options, *words, "-D", "-t", "1ns") as low:
        assert "reduced mode lite: cannot trace the return of ip_rcv_core" in t.stderr()
        assert t.stderr().count("reduced mode") == 1
        ports = {v: exchange(net, v, 20) for v in (4, 6)}
        net.send(4)
        quick = len(low.events())
        if slow:
            assert rules(net.b, ("input", f"tcp dport {PORT} queue num 7")).returncode == 0
            with Held(net.b, 0.15):
                held = exchange(net, 4, 2)
            low.wait(quick + 4)
        records, everything = t.stop(), low.stop()
    assert {r["mode"] for r in records + everything} == {"lite"}
    assert not [r for r in records + everything if r["kind"] in ("in_flight", "lost")]
    for ns, me, far in ((net.a, A, B), (net.b, B, A)):
        have = values(records, pod=ns.pod)
        assert set(have) == {PREFIX + "rxslow", PREFIX + "rxslow100ms"}
        took = []
        for v, port in ports.items():
            mine = [e for e in everything if e["kind"] == "event" and e["netns"] == ns.inode and e["saddr"] == far[v]
                    and port in (e["sport"], e["dport"])]
            assert len(mine) >= 20
            for e in mine:
                want = {"event": RX, "protocol": "TCP", "daddr": me[v], "device": "va" if ns is net.a else "vb", "path": "local",
                        "sport" if ns is net.b else "dport": port, "dport" if ns is net.b else "sport": PORT,
                        "slowest": None, "stages_ns": None}
                assert {k: e[k] for k in want} == want
        took = [e["latency_ns"] for e in everything if e["kind"] == "event" and e["netns"] == ns.inode]
        assert counts(everything, "latency", "path", ns.pod) == {"rx": len(took)}
        assert len([x for x in took if x > 100 * MS]) == have[PREFIX + "rxslow100ms"] or PATIENCE > 1
    told = [r for r in records if r["kind"] == "event"]
    if slow:
        assert len([e for e in told if e["sport"] == held and e["netns"] == net.b.inode and e["latency_ns"] > 150 * MS]) >= 2
    elif PATIENCE == 1:
        assert not told
    assert set(values(records, pod=net.q.pod).values()) == {0}


def test_without_functions(net):
    reduced(net)


def test_options(net):
    """What is chosen is all that is counted; what cannot be is refused."""
    for bad in (["--sample", "0"], ["--max-packets", "0"], ["-t", "5"], ["--port", "0"]):
        done = skoop("kernellatency", *bad, rc=2)
        assert done.stdout == "" and done.stderr
    refused = skoop("kernellatency", "--forward", "--hooks", "tp_btf", "-d", 0.1, rc=4)
    assert "--forward" in refused.stderr and refused.stdout == ""
    words = ["-D", "-t", "1ns", "--hooks", "tp_btf"]
    chosen = {"port": ["--port", PORT], "other": ["--port", 10], "v6": ["--address", B[6]], "b": ["-n", net.b.name], "q": ["-n", net.q.name],
              "few": ["--port", PORT, "--sample", 1 << 24]}
    with contextlib.ExitStack() as stack:
        runs = {k: stack.enter_context(Tracing("kernellatency", *words, *more)) for k, more in chosen.items()}
        for v in (4, 6):
            exchange(net, v, 20)
        got = {k: counts(t.stop(), "latency", "path", net.b.pod).get("rx", 0) for k, t in runs.items()}
    assert got["port"] == got["b"] >= 80 // 2 and 20 <= got["v6"] < got["port"]
    assert got["other"] == got["q"] == got["few"] == 0
