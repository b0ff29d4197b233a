# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-tcpreset: each way a connection is reset, provoked for real over IPv4, IPv6 and IPv4 by IPv6 sockets, compared
field by field; what is sent is what the kernel's TcpOutRsts says, and where nothing happened nothing is seen."""
import contextlib
import ctypes
import errno
import itertools
import os
import pathlib
import select
import signal
import socket
import struct

import pytest

from exact import proc_counters, trio  # noqa: F401
from ghost import Conn, Ghost
from skooplib import Tracing, nstat, run, values, wait_for

pytestmark = pytest.mark.kernels

TCP_LINGER2, IPV6_V6ONLY = 8, 26
# Whether this kernel says why it resets: then its tracepoint sees all that is sent, too.
REASONS = b"SK_RST_REASON_NO_SOCKET" in pathlib.Path("/sys/kernel/btf/vmlinux").read_bytes()
TYPES = ("nosock", "active", "process", "receive")
SENT = ("TCPRESET_NOSOCK", "TCPRESET_ACTIVE", "TCPRESET_PROCESS")
ME = {"pid": os.getpid(), "comm": pathlib.Path("/proc/self/comm").read_text().strip()}
ANY = type("Any", (), {"__eq__": lambda self, other: True, "__repr__": lambda self: "ANY"})()

ports = itertools.count(3000)  # never the same twice: what was may not be over


class Link:
    """One of the ways to talk: what sockets are given, and what events must show."""

    def __init__(self, kind, a, b, ghost):
        self.kind, self.a, self.b, self.ghost = kind, a, b, ghost
        self.family = socket.AF_INET if kind == "ipv4" else socket.AF_INET6
        self.text = {a: "fd00:9::1", b: "fd00:9::2"} if kind == "ipv6" else {a: "10.9.0.1", b: "10.9.0.2"}

    def to(self, address, port):
        return ("::ffff:" + address if self.kind == "mapped" else address, port)

    def listen(self, backlog=16):
        """A server in b; with IPv4 by IPv6 sockets one for both families, bound to no address."""
        server = self.b.socket(self.family)
        if self.kind == "mapped":
            server.setsockopt(socket.IPPROTO_IPV6, IPV6_V6ONLY, 0)
        server.bind(("::" if self.kind == "mapped" else self.text[self.b], next(ports)))
        server.listen(backlog)
        return server

    def pair(self, server=None):
        """A connection from a to b: both ends, and their ports."""
        server = server or self.listen()
        client = self.a.socket(self.family)
        client.connect(self.to(self.text[self.b], server.getsockname()[1]))
        return client, server.accept()[0], client.getsockname()[1], server.getsockname()[1]

    def raw(self):
        """A connection of the ghost to b, and b's end of it."""
        server = self.listen()
        conn = self.ghost.connect(server.getsockname()[1])
        return conn, server.accept()[0]

    def event(self, ns, name, sport, remote, dport, state, reason=None, **more):
        """What must be shown; a remote address, or the namespace that has it."""
        event = {"event": name, "netns": ns.inode, "pod": ns.pod, "protocol": "TCP", "saddr": self.text[ns], "sport": sport,
                 "daddr": self.text.get(remote, remote), "dport": dport, "state": state, "reason": reason if REASONS else None,
                 "direction": "sent" if name in SENT else "received", "pid": None, "comm": None, "device": None,
                 "seq": ANY, "ack": ANY} | more
        if name == "TCPRESET_ACTIVE":
            event |= {"seq": None, "ack": None}
        return event

    def peer(self, ns, name, conn, state, reason=None, **more):
        """The same towards the ghost."""
        return self.event(ns, name, conn.dport, self.ghost.address, conn.sport, state, reason, **more)

    def state(self, ns, sport, dport):
        """The state of a connection by the kernel's list of them; None: it is gone."""
        with ns.inside():
            lines = open(f"/proc/thread-self/net/tcp{'' if self.family == socket.AF_INET else '6'}").readlines()[1:]
        for line in lines:
            _, local, remote, state = line.split()[:4]
            if int(local.rsplit(":")[1], 16) == sport and int(remote.rsplit(":")[1], 16) == dport:
                return int(state, 16)
        return None

    def wait_state(self, ns, sport, dport, state):
        wait_for(lambda: self.state(ns, sport, dport) == state, what=f"state {state}")


FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT = 4, 5, 8


def sysctl(ns, name, value):
    with ns.inside():
        pathlib.Path("/proc/sys/net", name).write_text(str(value))


def linger0(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def readable(sock):
    assert select.select([sock], [], [], 10)[0], "nothing came"


def refused(link, port):
    """Connects from a, bound to a port of its own, to b where nobody listens; that port."""
    client = link.a.socket(link.family)
    client.bind(link.to(link.text[link.a], 0))
    mine = client.getsockname()[1]
    assert client.connect_ex(link.to(link.text[link.b], port)) == errno.ECONNREFUSED
    return mine


# ---- the cases: each provokes and gives the events that must be shown ----

def closed_port(link):
    port = next(ports)
    mine = refused(link, port)
    return [link.event(link.b, "TCPRESET_NOSOCK", port, link.a, mine, None, "NO_SOCKET", device="vb", ack=0),
            link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "SYN_SENT")]


def forgotten_connection(link):
    conn = Conn(link.ghost, next(Ghost.ports), next(ports))
    conn.send("PA", b"hello?", seq=0xfffffff0, ack=0x80000001)
    assert conn.expect("R").seq == 0x80000001
    return [link.peer(link.b, "TCPRESET_NOSOCK", conn, None, "NO_SOCKET", device="vb", seq=0xfffffff0, ack=0x80000001)]


def to_a_listener(link):
    server, out = link.listen(), []
    for flags, data in (("A", b""), ("PA", b"data")):
        conn = Conn(link.ghost, next(Ghost.ports), server.getsockname()[1])
        conn.send(flags, data, seq=7000, ack=9000)
        assert conn.expect("R").seq == 9000
        out.append(link.peer(link.b, "TCPRESET_PROCESS", conn, "LISTEN", "TCP_FLAGS", seq=7000, ack=9000))
    return out


def half_open(link):
    server, since = link.listen(), proc_counters(link.b)["TcpAttemptFails"]
    conn = link.ghost.syn(server.getsockname()[1])
    conn.synack()
    conn.send("A", ack=conn.ack + 5000)
    conn.expect("R")
    told = link.peer(link.b, "TCPRESET_PROCESS", conn, "LISTEN", "TCP_FLAGS", seq=conn.seq, ack=conn.ack + 5000)
    conn.send("R")  # ends the request; no hook sees it
    wait_for(lambda: proc_counters(link.b)["TcpAttemptFails"] > since, what="the request to end")
    return [told]


def abort_on_overflow(link):
    server, since = link.listen(), proc_counters(link.b)["TcpPassiveOpens"]
    sysctl(link.b, "ipv4/tcp_abort_on_overflow", 1)
    first, second = (link.ghost.syn(server.getsockname()[1]) for _ in range(2))
    for conn in (first, second):
        conn.synack()
    server.listen(0)  # room for one
    first.send("A")
    wait_for(lambda: proc_counters(link.b)["TcpPassiveOpens"] > since, what="the first connection")
    second.send("A")
    second.expect("R")
    sysctl(link.b, "ipv4/tcp_abort_on_overflow", 0)
    server.close()  # with the first one never accepted
    first.expect("RA")
    return [link.peer(link.b, "TCPRESET_PROCESS", second, "LISTEN", "INVALID_SYN", device="vb", seq=second.seq, ack=second.ack),
            link.peer(link.b, "TCPRESET_ACTIVE", first, "CLOSE", "TCP_STATE", **ME)]


def listener_closed(link):
    server = link.listen()
    port = server.getsockname()[1]
    client = link.a.socket(link.family)
    client.connect(link.to(link.text[link.b], port))
    mine = client.getsockname()[1]
    readable(server)
    server.close()
    readable(client)
    return [link.event(link.b, "TCPRESET_ACTIVE", port, link.a, mine, "CLOSE", "TCP_STATE", **ME),
            link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "ESTABLISHED")]


def to_time_wait(link):
    client, server, mine, port = link.pair()
    server.close()
    link.wait_state(link.b, port, mine, FIN_WAIT2)
    client.send(b"x")
    wait_for(lambda: link.state(link.a, mine, port) is None, what="the reset")
    return [link.event(link.b, "TCPRESET_PROCESS", port, link.a, mine, "TIME_WAIT", "TCP_TIMEWAIT_SOCKET", device="vb"),
            link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "CLOSE_WAIT")]


def orphan(link):
    """A connection that b has closed and keeps in FIN_WAIT2 for longer: the client, both ports."""
    client, server, mine, port = link.pair()
    server.setsockopt(socket.IPPROTO_TCP, TCP_LINGER2, 100)
    server.close()
    link.wait_state(link.b, port, mine, FIN_WAIT2)
    return client, mine, port


def data_to_orphan_fin_wait2(link):
    client, mine, port = orphan(link)
    client.send(b"x")
    wait_for(lambda: link.state(link.a, mine, port) is None, what="the reset")
    return [link.event(link.b, "TCPRESET_PROCESS", port, link.a, mine, "CLOSE", "TCP_ABORT_ON_DATA"),
            link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "CLOSE_WAIT")]


def data_to_orphan_fin_wait1(link):
    conn, server = link.raw()
    server.close()
    conn.expect("FA")  # and do not acknowledge it
    conn.send("PA", b"more")
    conn.expect("R")
    return [link.peer(link.b, "TCPRESET_PROCESS", conn, "CLOSE", "TCP_ABORT_ON_DATA", seq=conn.seq, ack=conn.ack)]


def reset_to_orphan_fin_wait2(link):
    client, mine, port = orphan(link)
    linger0(client)
    client.close()
    return [link.event(link.a, "TCPRESET_ACTIVE", mine, link.b, port, "CLOSE", "TCP_STATE", **ME),
            link.event(link.b, "TCPRESET_RECEIVE", port, link.a, mine, "FIN_WAIT2")]


def reset_to_orphan_fin_wait1(link):
    conn, server = link.raw()
    server.close()
    conn.expect("FA")
    conn.send("R", seq=conn.seq)
    return [link.peer(link.b, "TCPRESET_RECEIVE", conn, "FIN_WAIT1", rst=(conn.seq, 0))]


def wrong_synack(link):
    port = next(ports)
    client = link.b.socket(link.family)
    client.setblocking(False)
    client.connect_ex(link.to(link.ghost.address, port))
    syn = link.ghost.receive(port)
    conn = Conn(link.ghost, port, syn.sport, timestamps=False)
    conn.send("SA", seq=500, ack=syn.seq + 1001)
    assert conn.expect("R").seq == syn.seq + 1001
    client.close()
    return [link.peer(link.b, "TCPRESET_PROCESS", conn, "SYN_SENT", "TCP_INVALID_ACK_SEQUENCE", seq=500, ack=syn.seq + 1001)]


def linger_0(link):
    out = []
    for side in (0, 1):
        client, server, mine, port = link.pair()
        linger0((client, server)[side])
        (client, server)[side].close()
        readable((server, client)[side])
        ends = [(link.a, mine, link.b, port), (link.b, port, link.a, mine)]
        (ns, sport, remote, dport), (ns2, sport2, remote2, dport2) = ends[side], ends[not side]
        out += [link.event(ns, "TCPRESET_ACTIVE", sport, remote, dport, "CLOSE", "TCP_STATE", **ME),
                link.event(ns2, "TCPRESET_RECEIVE", sport2, remote2, dport2, "ESTABLISHED")]
    return out


def connect_unspec(link):
    client, server, mine, port = link.pair()
    nowhere = struct.pack("H26x", socket.AF_UNSPEC)  # Python has no form for it
    assert ctypes.CDLL(None).connect(client.fileno(), nowhere, len(nowhere)) == 0
    readable(server)
    return [link.event(link.a, "TCPRESET_ACTIVE", mine, link.b, port, "CLOSE", "TCP_STATE", **ME),
            link.event(link.b, "TCPRESET_RECEIVE", port, link.a, mine, "ESTABLISHED")]


def unread_data(link):
    client, server, mine, port = link.pair()
    server.send(b"never read")
    readable(client)
    client.close()
    readable(server)
    return [link.event(link.a, "TCPRESET_ACTIVE", mine, link.b, port, "CLOSE", "TCP_ABORT_ON_CLOSE", **ME),
            link.event(link.b, "TCPRESET_RECEIVE", port, link.a, mine, "ESTABLISHED")]


def linger2_negative(link):
    client, server, mine, port = link.pair()
    client.setsockopt(socket.IPPROTO_TCP, TCP_LINGER2, -1)
    client.shutdown(socket.SHUT_WR)
    link.wait_state(link.a, mine, port, FIN_WAIT2)
    client.close()
    wait_for(lambda: link.state(link.b, port, mine) is None, what="the reset")
    return [link.event(link.a, "TCPRESET_ACTIVE", mine, link.b, port, "CLOSE", "TCP_ABORT_ON_LINGER", **ME),
            link.event(link.b, "TCPRESET_RECEIVE", port, link.a, mine, "CLOSE_WAIT")]


def ss_kill(link):
    client, server, mine, port = link.pair()
    killer = link.b.popen("ss", "-K", "-H", "-t", f"sport = :{port} and dport = :{mine}")
    assert killer.wait(20) == 0
    readable(client)
    return [link.event(link.b, "TCPRESET_ACTIVE", port, link.a, mine, "ESTABLISHED", "TCP_STATE", pid=killer.pid, comm="ss"),
            link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "ESTABLISHED")]


def reset_off_the_mark(link):
    conn, server = link.raw()
    conn.send("R", seq=conn.seq + 100)
    conn.expect("A")  # a challenge, and no reset
    assert link.state(link.b, conn.dport, conn.sport) == 1
    conn.send("R", seq=conn.seq)
    readable(server)
    return [link.peer(link.b, "TCPRESET_RECEIVE", conn, "ESTABLISHED", rst=(conn.seq, 0))]


def resets_that_meet_nothing(link):
    """To a closed port, to a listener, to what is in TIME_WAIT; and a connection that ends in order."""
    listener = link.listen()
    for port in (next(ports), listener.getsockname()[1]):
        Conn(link.ghost, next(Ghost.ports), port).send("R")
        Conn(link.ghost, next(Ghost.ports), port).send("RA", ack=5)
    conn, server = link.raw()
    server.close()
    conn.ack = conn.expect("FA").seq + 1
    conn.send("A")
    link.wait_state(link.b, conn.dport, conn.sport, FIN_WAIT2)
    conn.send("R")
    wait_for(lambda: link.state(link.b, conn.dport, conn.sport) is None, what="TIME_WAIT to end")
    client, server, mine, port = link.pair(listener)
    client.close()
    assert server.recv(1) == b""
    server.close()
    return []


def firewall_reject(link):
    """What a firewall makes itself is not TCP's: only who gets it shows it."""
    port, since = next(ports), proc_counters(link.b)["TcpOutRsts"]
    link.b.sh(f'nft add table inet skoop; nft "add chain inet skoop c {{ type filter hook input priority 0; }}";'
              f'nft add rule inet skoop c tcp dport {port} counter reject with tcp reset')
    try:
        mine = refused(link, port)
        assert "packets 1 " in link.b.run("nft", "list", "table", "inet", "skoop").stdout
    finally:
        link.b.sh("nft delete table inet skoop")
    assert proc_counters(link.b)["TcpOutRsts"] == since
    return [link.event(link.a, "TCPRESET_RECEIVE", mine, link.b, port, "SYN_SENT")]


def keepalive(link):
    """The peer is silent; a timer ends the connection, whatever process it interrupts. Give it two seconds."""
    conn, server = link.raw()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        server.setsockopt(socket.IPPROTO_TCP, option, 1)
    link.kept = server
    return [link.peer(link.b, "TCPRESET_ACTIVE", conn, "ESTABLISHED", "TCP_KEEPALIVE_TIMEOUT")]


CASES = [closed_port, forgotten_connection, to_a_listener, half_open, abort_on_overflow, listener_closed, to_time_wait,
         data_to_orphan_fin_wait2, data_to_orphan_fin_wait1, reset_to_orphan_fin_wait2, reset_to_orphan_fin_wait1,
         wrong_synack, linger_0, connect_unspec, unread_data, linger2_negative, ss_kill, reset_off_the_mark,
         resets_that_meet_nothing, firewall_reject, keepalive]


# ---- the run ----

@pytest.fixture(scope="module")
def net(trio):  # noqa: F811
    a, b, quiet = trio
    ghosts = {v6: Ghost(a, b, v6=v6) for v6 in (False, True)}
    yield a, b, quiet, [Link(kind, a, b, ghosts[kind == "ipv6"]) for kind in ("ipv4", "ipv6", "mapped")]
    for ghost in ghosts.values():
        ghost.close()


class Watched:
    """The probe over the three namespaces; expect() compares what it has shown since the last time."""

    def __init__(self, net, *options):
        self.a, self.b, self.quiet, self.links = net
        self.spaces = net[:3]
        self.probe = Tracing("tcpreset", *[w for ns in self.spaces for w in ("-n", ns.name)], *options)
        self.said = self.probe.stderr()
        self.blind = not REASONS and "hook tcp_v4_send_reset: missing" in self.said
        self.sees_received = "hook tcp_receive_reset: tp_btf" not in self.said and REASONS | self.two_arguments()
        self.shown, self.all = 0, []

    @staticmethod
    def two_arguments():
        """Whether tcp_reset() is given the segment here."""
        done = run(["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "raw"], timeout=120)
        lines = iter(done.stdout.splitlines())
        protos, wanted = {}, None
        for line in lines:
            words = line.split()
            if "FUNC_PROTO" in words:
                protos[words[0]] = int(words[-1].split("=")[1])
            if "FUNC" in words and "'tcp_reset'" in words:
                wanted = next(w for w in words if w.startswith("type_id=")).split("=")[1]
        return protos[f"[{wanted}]"] == 2

    def out_rsts(self):
        return {ns: proc_counters(ns)["TcpOutRsts"] for ns in self.spaces}

    def is_shown(self, event):
        return not (self.blind and (event["event"] == "TCPRESET_NOSOCK" or event["state"] == "TIME_WAIT"))

    def complete(self, event):
        """What depends on the hooks: whether a reset that came was seen as a segment."""
        seq, ack = event.pop("rst", (ANY, ANY))
        if event["event"] == "TCPRESET_RECEIVE":
            event |= {"seq": seq, "ack": ack} if self.sees_received else {"seq": None, "ack": None}
        return event

    def expect(self, name, before, events):
        events = [self.complete(e) for e in events]
        wanted = [e for e in events if self.is_shown(e)]
        wait_for(lambda: len(self.probe.events()) >= self.shown + len(wanted), 20, f"{name}: {wanted}, have "
                 f"{[flat(r) for r in self.probe.events()[self.shown:]]}")
        have = [flat(r) for r in self.probe.events()[self.shown:]]
        assert sorted(have, key=order) == sorted(wanted, key=order), name
        self.shown += len(wanted)
        self.all += wanted
        step = {ns: sum(e["netns"] == ns.inode and e["event"] in SENT for e in events) for ns in self.spaces}
        assert {ns.name: n - before[ns] for ns, n in self.out_rsts().items()} == {ns.name: n for ns, n in step.items()}, name

    def provoke(self, case):
        for link in self.links:
            before = self.out_rsts()
            self.expect(f"{case.__name__} over {link.kind}", before, case(link))

    def provoke_at_once(self, case):
        before = self.out_rsts()
        self.expect(case.__name__, before, [e for link in self.links for e in case(link)])

    def counted(self):
        """{namespace's pod label: {type: events shown}} of all that was expected."""
        out = {ns.pod: dict.fromkeys(TYPES, 0) for ns in self.spaces}
        for event in self.all:
            out[event["pod"]][event["event"].split("_")[1].lower()] += 1
        return out


def flat(record):
    """The fields of an event record that the tests know of."""
    keys = ("event", "netns", "protocol", "saddr", "sport", "daddr", "dport", "state", "reason", "direction", "pid", "comm",
            "device", "seq", "ack")
    return {"pod": record["labels"]["target_pod"]} | {k: record[k] for k in keys}


def order(event):
    return [str(event[k]) for k in ("netns", "event", "sport", "dport")]


def totals(recs, pod):
    return {kind: values(recs, pod, type=kind)["kubeskoop_tcpreset_total"] for kind in TYPES}


@pytest.mark.parametrize("hooks", ["", "kprobe,tp_btf", "tp_btf"])
def test_each_reset(net, hooks):
    """By the hooks that the kernel offers; by kprobes; and by tracepoints alone, which see less before 6.12."""
    watched = Watched(net, *(["--hooks", hooks] if hooks else []))
    start = {ns: nstat(ns)["TcpOutRsts"] for ns in watched.spaces}
    with watched.probe:
        for case in CASES[:-1]:
            watched.provoke(case)
        watched.provoke_at_once(keepalive)
        recs = watched.probe.stop()
    have = [flat(r) for r in recs if r["kind"] == "event"]
    assert sorted(have, key=order) == sorted(watched.all, key=order), "more came at the end"
    counted = watched.counted()
    assert {ns.pod: totals(recs, ns.pod) for ns in watched.spaces} == counted
    assert not any(r["kind"] == "lost" for r in recs)
    assert not any(counted[watched.quiet.pod].values())
    if watched.blind:
        assert hooks == "tp_btf" and {r.get("mode") for r in recs} == {"nosock-blind"}
        assert "reduced mode nosock-blind" in watched.said
        return
    assert not any("mode" in r for r in recs)
    for ns in watched.spaces:
        sent = sum(counted[ns.pod][kind] for kind in ("nosock", "active", "process"))
        assert sent == nstat(ns)["TcpOutRsts"] - start[ns]


def selected(net):
    return [w for ns in net[:3] for w in ("-n", ns.name)]


def test_stacks(net):
    """-K: how the kernel came there; also of a reset that was held back until it was certain."""
    link = net[3][0]
    with Tracing("tcpreset", "-K", *selected(net)) as probe:
        closed_port(link), linger_0(link), reset_to_orphan_fin_wait1(link)
        probe.wait(7)
        recs = [r for r in probe.stop() if r["kind"] == "event"]
    ways = {"TCPRESET_NOSOCK": "tcp_v4_rcv", "TCPRESET_ACTIVE": "inet_release", "TCPRESET_RECEIVE": "tcp_v4_do_rcv"}
    for r in recs:
        assert any(frame.startswith(ways[r["event"]] + "+") for frame in r["stack"]), r
    assert sorted(r["state"] for r in recs if r["event"] == "TCPRESET_RECEIVE") == ["ESTABLISHED"] * 2 + ["FIN_WAIT1", "SYN_SENT"]


def test_only_what_is_asked_for(net):
    """By namespace, port and address, for events and counts alike."""
    a, b, _, (link, *_) = net
    port = next(ports)
    runs = [((*selected(net), "--port", port), {"a", "b"}), ((*selected(net), "--port", next(ports)), set()),
            (("-n", b.name, "--address", "10.9.0.0/30"), {"b"}), ((*selected(net), "--address", "10.9.0.8/29"), set()),
            (("-n", a.name, "--address", "fd00:9::/64"), set())]
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(Tracing("tcpreset", *options)) for options, _ in runs]
        mine = refused(link, port)
        probes[0].wait(2)
        told = [probe.stop() for probe in probes]
    for recs, (options, want) in zip(told, runs):
        shown = [flat(r) for r in recs if r["kind"] == "event"]
        both = {"a": (link.a, "TCPRESET_RECEIVE", mine), "b": (link.b, "TCPRESET_NOSOCK", port)}
        assert sorted((e["netns"], e["event"], e["sport"]) for e in shown) == \
            sorted((both[side][0].inode, *both[side][1:]) for side in want), options
        assert sum(r["value"] for r in recs if r.get("metric") == "kubeskoop_tcpreset_total") == len(want), options


def test_exposition(net):
    """Each type of each namespace is there, counted without anybody who reads events."""
    a, b, quiet, (link, *_) = net
    with Tracing("tcpreset", *selected(net), out="prom") as probe:
        closed_port(link), reset_to_orphan_fin_wait2(link), data_to_orphan_fin_wait2(link)
        probe.child.terminate()
        probe.child.wait(30)
        lines = [line for line in probe.stdout().splitlines() if line.startswith("kubeskoop_tcpreset_total{")]
    want = {a: (0, 1, 0, 2), b: (1, 0, 1, 1), quiet: (0, 0, 0, 0)}
    have = {(ns, kind): int(line.split()[-1]) for ns in want for kind in TYPES
            for line in lines if f'target_pod="{ns.pod}"' in line and f'type="{kind}"' in line}
    assert have == {(ns, kind): n for ns, counts in want.items()
                    for kind, n in zip(TYPES, counts)}
    assert len(lines) == len(have)


def orphans(link, n):
    """Connections of the ghost that b has closed and waits on; the ghost has not acknowledged it."""
    server, conns = link.listen(), []
    for _ in range(n):
        conns.append(link.ghost.connect(server.getsockname()[1]))
        server.accept()[0].close()
        conns[-1].expect("FA")
    return conns


@pytest.mark.parametrize("hooks", ["", "tp_btf"])
def test_received_or_made_up_in_bulk(net, hooks):
    """Resets that came and resets that the kernel makes up, in turns and fast: each is told once, as what it is."""
    link, n = net[3][0], 100
    before = proc_counters(link.b)["TcpOutRsts"]
    conns = orphans(link, 2 * n)
    with Tracing("tcpreset", *selected(net), *(["--hooks", hooks] if hooks else [])) as probe:
        for i, conn in enumerate(conns):
            if i % 2:
                conn.send("R", seq=conn.seq)
            else:
                conn.send("PA", b"more")
        for conn in conns[::2]:
            conn.expect("R")
        probe.wait(2 * n)
        recs = probe.stop()
    shown = sorted((r["event"], r["state"], r["dport"]) for r in recs if r["kind"] == "event")
    assert shown == sorted([("TCPRESET_PROCESS", "CLOSE", c.sport) for c in conns[::2]] +
                           [("TCPRESET_RECEIVE", "FIN_WAIT1", c.sport) for c in conns[1::2]])
    assert totals(recs, link.b.pod) == {"nosock": 0, "active": 0, "process": n, "receive": n}
    assert proc_counters(link.b)["TcpOutRsts"] == before + n


def test_more_than_can_be_shown(net):
    """With hardly any buffer: what was shown and what was lost are what was counted, and that is what was sent."""
    link, n = net[3][0], 2000
    before = proc_counters(link.b)["TcpOutRsts"]
    conn = Conn(link.ghost, next(Ghost.ports), next(ports))
    with Tracing("tcpreset", *selected(net), "--buffer", 4) as probe:
        probe.child.send_signal(signal.SIGSTOP)
        for _ in range(n):
            conn.send("A", ack=1)
        wait_for(lambda: proc_counters(link.b)["TcpOutRsts"] == before + n, what="all answers")
        probe.child.send_signal(signal.SIGCONT)
        recs = probe.stop()
    shown = sum(r["kind"] == "event" for r in recs)
    lost = sum(r["count"] for r in recs if r["kind"] == "lost")
    assert lost > 0 and shown + lost == n
    assert totals(recs, link.b.pod) == {"nosock": n, "active": 0, "process": 0, "receive": 0}
