# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-tcpretrans: resends of every type provoked by dropping chosen segments, compared with TcpRetransSegs and its kin."""
import collections
import contextlib
import socket
import struct
import threading
import time

import pytest

from skooplib import Netns, Tracing, nstat, veth, wait_for

pytestmark = pytest.mark.kernels

FAMILIES = (socket.AF_INET, socket.AF_INET6)
ADDRESSES = {socket.AF_INET: ("10.9.0.1", "10.9.0.2"), socket.AF_INET6: ("fd00:9::1", "fd00:9::2")}
TABLE = "nft add table inet t; nft add chain inet t {hook} '{{ type filter hook {hook} priority 0; }}'"


@pytest.fixture(scope="module")
def spaces():
    with Netns("rta") as a, Netns("rtb") as b, Netns("rtq") as quiet:
        veth(a, b)
        veth(quiet, quiet, "qa", "qb", net=8)
        for ns, dev in ((a, "va"), (b, "vb")):
            # One write is one packet, so that a rule can choose it by its length.
            ns.sh(f"ethtool -K {dev} tso off gso off gro off; sysctl -qw net.ipv4.tcp_no_metrics_save=1 "
                  "net.ipv4.tcp_congestion_control=reno")
            ns.sh(TABLE.format(hook="input") + "; " + TABLE.format(hook="output"))
        yield a, b, quiet


@pytest.fixture(scope="module")
def probe(spaces):
    with Tracing("tcpretrans", "-K") as t:
        yield t
        records = t.stop()
        a, b, quiet = spaces
        events = [r for r in records if r["kind"] == "event"]
        counted = collections.Counter()
        for r in records:
            if r["kind"] == "metric" and r["metric"] == "kubeskoop_tcpretrans_total":
                counted[(r["labels"]["target_pod"], r["labels"]["type"])] += r["value"]
        shown = collections.Counter()
        for e in events:
            if not e["err"]:
                shown[(e["labels"]["target_pod"], e["type"])] += e["segs"]
        ours = {a.pod, b.pod, quiet.pod}
        assert {k: v for k, v in counted.items() if k[0] in ours and v} == {k: v for k, v in shown.items() if k[0] in ours}
        assert not [e for e in events if e["labels"]["target_pod"] == quiet.pod]
        assert not [r for r in records if r["kind"] == "lost"]


@contextlib.contextmanager
def rule(ns, hook, text):
    """A rule of nftables for a while; gives a function that tells how many packets it has dropped."""
    ns.sh(f"nft 'add rule inet t {hook} {text} counter drop'")
    try:
        yield lambda: int(ns.sh(f"nft list chain inet t {hook}").stdout.split("counter packets ")[1].split()[0])
    finally:
        ns.sh(f"nft flush chain inet t {hook}")


def listener(ns, family, port):
    s = ns.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ADDRESSES[family][1], port))
    s.listen(8)
    return s


@contextlib.contextmanager
def connection(a, b, family, port):
    """(client in a, accepted in b)."""
    with listener(b, family, port) as s, a.socket(family) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(20)
        client.connect((ADDRESSES[family][1], port))
        server, _ = s.accept()
        server.settimeout(20)
        with server:
            yield client, server


class Step:
    """What the counters of a namespace grew by."""

    def __init__(self, ns):
        self.ns, self.before, self.since = ns, nstat(ns), time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def __getitem__(self, key):
        return int(nstat(self.ns)[key]) - int(self.before[key])

    def check(self, events):
        """Every segment of these events is in the kernel's own counters, and none else."""
        by = collections.Counter()
        for e in events:
            if not e["err"]:
                by[e["type"]] += e["segs"]
        assert sum(by.values()) == self["TcpRetransSegs"] - self["TcpExtTCPRetransFail"], by
        assert by["fast"] == self["TcpExtTCPFastRetrans"], by
        assert by["syn"] + by["synack"] == self["TcpExtTCPSynRetrans"], by
        assert by["tlp"] <= self["TcpExtTCPLossProbes"], by
        assert by["rto"] + by["other"] >= self["TcpExtTCPSlowStartRetrans"], by
        return by


def settled(probe, step, **want):
    """The events of the step's namespace, once they are as many as the kernel counted; all are such as wanted."""
    def enough():
        events = [e for e in probe.events(netns=step.ns.inode) if e["mono_ns"] >= step.since]
        return sum(e["segs"] for e in events if not e["err"]) >= step["TcpRetransSegs"] - step["TcpExtTCPRetransFail"] and events
    events = wait_for(enough, 20, "events for what TcpRetransSegs counts")
    assert all(e[k] == v for e in events for k, v in want.items()), events
    return events


def ends(event):
    return event["protocol"], event["saddr"], event["sport"], event["daddr"], event["dport"]


def sent_by(client, family):
    """The event's ends for a resend of the client's."""
    local, peer = client.getsockname(), client.getpeername()
    return "TCP", local[0], local[1], peer[0], peer[1]


def check_target(event, ns):
    assert event["labels"]["target_pod"] == ns.pod and event["netns"] == ns.inode


@pytest.mark.parametrize("family", FAMILIES)
def test_syn(spaces, probe, family):
    a, b, _ = spaces
    port = 8101
    step = Step(a)
    with rule(b, "input", f"tcp dport {port}"), a.socket(family) as s:
        s.setblocking(False)
        s.connect_ex((ADDRESSES[family][1], port))
        local = s.getsockname()
        probe.wait(2, dport=port, saddr=ADDRESSES[family][0])
    events = settled(probe, step, dport=port, saddr=ADDRESSES[family][0])
    for n, e in enumerate(events, 1):
        assert ends(e) == ("TCP", local[0], local[1], ADDRESSES[family][1], port)
        assert (e["event"], e["type"], e["state"], e["len"], e["segs"], e["retransmits"]) == \
            ("TCPRetrans", "syn", "SYN_SENT", 0, 1, n)
        assert e["seq"] == events[0]["seq"] and e["rto_ns"] >= 900_000_000 and e["srtt_ns"] is None
        assert any(f.startswith(("__tcp_retransmit_skb+", "tcp_retransmit_skb+")) for f in e["stack"]), e["stack"]
        assert not e["stack"][0].startswith(("bpf_", "__bpf", "__traceiter"))
        check_target(e, a)
    assert set(step.check(events)) == {"syn"}


@pytest.mark.parametrize("family", FAMILIES)
def test_synack(spaces, probe, family):
    """Its SYN-ACK does not arrive: the server sends it again, for itself and for each further SYN."""
    a, b, _ = spaces
    port = 8102
    step = Step(b)
    local, peer = ADDRESSES[family]
    with listener(b, family, port), rule(a, "input", f"tcp sport {port} tcp flags & (syn|ack) == syn|ack"), \
            a.socket(family) as s:
        s.setblocking(False)
        s.connect_ex((peer, port))
        client = s.getsockname()
        probe.wait(2, sport=port, saddr=peer, type="synack")
    events = settled(probe, step, sport=port, saddr=peer)
    for n, e in enumerate(events, 1):
        assert ends(e) == ("TCP", peer, port, local, client[1])
        assert (e["type"], e["state"], e["segs"], e["len"], e["retransmits"]) == ("synack", "NEW_SYN_RECV", 1, 0, n)
        assert e["cwnd"] is None and e["seq"] == events[0]["seq"] != 0
        check_target(e, b)
    assert set(step.check(events)) == {"synack"}


@pytest.mark.parametrize("family", FAMILIES)
def test_tail_loss_probe(spaces, probe, family):
    a, b, _ = spaces
    step = Step(a)
    with connection(a, b, family, 8103) as (client, server):
        with rule(b, "input", "tcp dport 8103 meta length > 100 limit rate 1/day burst 1 packets") as dropped:
            client.send(b"x" * 200)
            assert len(server.recv(4096)) == 200
            assert dropped() == 1
        events = settled(probe, step, dport=8103, saddr=ADDRESSES[family][0])
        e, = events
        assert ends(e) == sent_by(client, family)
    assert (e["type"], e["state"], e["len"], e["segs"], e["retransmits"]) == ("tlp", "ESTABLISHED", 200, 1, 0)
    assert e["in_flight"] == 1 and e["lost"] == 0 and e["srtt_ns"] > 0 and e["cwnd"] >= 1
    check_target(e, a)
    assert dict(step.check(events)) == {"tlp": 1}
    assert step["TcpExtTCPLossProbes"] == 1 and step["TcpExtTCPTimeouts"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_fast(spaces, probe, family):
    """The third of ten is lost: nine arrive, and their SACKs call it back."""
    a, b, _ = spaces
    step = Step(a)
    lengths = [100 + 8 * i for i in range(10)]
    headers = {socket.AF_INET: 20, socket.AF_INET6: 40}[family] + 32
    with connection(a, b, family, 8104) as (client, server):
        text = f"tcp dport 8104 meta length {lengths[2] + headers} limit rate 1/day burst 1 packets"
        with rule(b, "input", text) as dropped:
            for n in lengths:
                client.send(b"x" * n)
            got = 0
            while got < sum(lengths):
                got += len(server.recv(65536))
            assert dropped() == 1
        events = settled(probe, step, dport=8104, saddr=ADDRESSES[family][0])
        first = [e for e in events if e["type"] == "fast"][0]
        assert ends(first) == sent_by(client, family)
    assert (first["type"], first["state"], first["len"], first["segs"]) == ("fast", "ESTABLISHED", lengths[2], 1)
    assert first["lost"] >= 1 and first["sacked"] >= 1 and 1 < first["ssthresh"] < 10
    assert step.check(events)["fast"] == step["TcpExtTCPFastRetrans"] >= 1
    assert step["TcpExtTCPTimeouts"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_time_out(spaces, probe, family):
    """Silence: without tail loss probes each resend is a time-out."""
    a, b, _ = spaces
    a.sh("sysctl -qw net.ipv4.tcp_early_retrans=0")
    try:
        step = Step(a)
        with connection(a, b, family, 8105) as (client, server):
            with rule(b, "input", "tcp dport 8105 meta length > 100"):
                client.send(b"x" * 300)
                probe.wait(2, 20, dport=8105, saddr=ADDRESSES[family][0])
            assert len(server.recv(4096)) == 300
            events = settled(probe, step, dport=8105, saddr=ADDRESSES[family][0])
            assert ends(events[0]) == sent_by(client, family)
    finally:
        a.sh("sysctl -qw net.ipv4.tcp_early_retrans=3")
    assert {e["type"] for e in events} == {"rto"}
    assert [e["retransmits"] for e in events[:2]] == [1, 2]
    assert events[1]["backoff"] == 1 and events[0]["backoff"] == 0 and events[0]["lost"] == 1
    assert step["TcpExtTCPTimeouts"] == len(events) == step.check(events)["rto"]


def too_big(ns, family, segment, mtu):
    """An ICMP error for this segment (an IP packet), sent from within ns to who sent it."""
    quoted = segment[:80]
    proto = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    if family == socket.AF_INET:
        body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quoted
        total = sum(struct.unpack(f"!{len(body) // 2}H", body))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:]
    else:
        body = struct.pack("!BBHI", 2, 0, 0, mtu) + quoted
    with ns.socket(family, socket.SOCK_RAW, proto) as s:
        s.sendto(body, (ADDRESSES[family][0], 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_path_mtu(spaces, probe, family):
    """The path becomes narrower: what is under way is sent again in smaller pieces, without loss or time-out."""
    a, b, _ = spaces
    a.sh("sysctl -qw net.ipv4.tcp_early_retrans=0")
    step = Step(a)
    ethertype = {socket.AF_INET: 0x0800, socket.AF_INET6: 0x86dd}[family]
    try:
        with b.inside():
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype))
        with tap, connection(a, b, family, 8106) as (client, server):
            tap.bind(("vb", ethertype))
            tap.settimeout(10)
            with rule(b, "input", "tcp dport 8106 meta length > 1000"):
                client.send(b"x" * 4200)
                segment = b""
                while len(segment) < 1000:
                    segment = tap.recv(65536)
                too_big(b, family, segment, 1300)
                probe.wait(1, 10, dport=8106, saddr=ADDRESSES[family][0])
            got = 0
            while got < 4200:
                got += len(server.recv(65536))
            events = settled(probe, step, dport=8106, saddr=ADDRESSES[family][0])
            assert ends(events[0]) == sent_by(client, family)
    finally:
        a.sh("sysctl -qw net.ipv4.tcp_early_retrans=3; ip route flush cache; ip -6 route flush cache")
    assert events[0]["type"] == "other" and events[0]["state"] == "ESTABLISHED" and events[0]["retransmits"] == 0
    by = step.check(events)
    assert by["other"] >= 1 and set(by) <= {"other", "rto", "fast"}


@pytest.mark.parametrize("family", FAMILIES)
def test_bulk(spaces, probe, family):
    """Two megabytes, every fifth packet dropped, big ones among them: all sums agree."""
    a, b, _ = spaces
    step = Step(a)
    a.sh("ethtool -K va tso on gso on")
    total = 2_000_000
    try:
        with connection(a, b, family, 8107) as (client, server):
            client.settimeout(60)
            with rule(b, "input", "tcp dport 8107 meta length > 200 numgen inc mod 5 == 4"):
                sender = threading.Thread(target=client.sendall, args=(b"x" * total,))
                sender.start()
                server.settimeout(60)
                got = 0
                while got < total:
                    got += len(server.recv(1 << 20))
                sender.join()
            events = settled(probe, step, dport=8107, saddr=ADDRESSES[family][0])
    finally:
        a.sh("ethtool -K va tso off gso off")
    by = step.check(events)
    assert by["fast"] > 0 and all(e["len"] > 0 for e in events)


@pytest.mark.parametrize("family", FAMILIES)
def test_refused_by_the_host_itself(spaces, probe, family):
    """A resend that the host's own rules drop never left: not counted; told where the kernel tells."""
    a, b, _ = spaces
    step = Step(a)
    with connection(a, b, family, 8108) as (client, server):
        with rule(b, "input", "tcp dport 8108 meta length > 100") as dropped:
            client.send(b"x" * 200)
            wait_for(lambda: dropped() == 1, what="the segment to be dropped")
            with rule(a, "output", "tcp dport 8108 meta length > 100"):
                wait_for(lambda: step["TcpExtTCPRetransFail"] >= 1, 20, "a resend to fail")
        assert len(server.recv(4096)) == 200
        events = settled(probe, step, dport=8108, saddr=ADDRESSES[family][0])
    step.check(events)
    failed = [e for e in events if e["err"]]
    if events[0]["err"] is not None:
        assert len(failed) == step["TcpExtTCPRetransFail"] and {e["err"] for e in failed} == {-1}
    else:
        assert not failed


def mapped_syn(spaces, probe, port):
    """A client of the IPv6 kind with an IPv4 peer is shown with the IPv4 addresses."""
    a, b, _ = spaces
    with rule(b, "input", f"tcp dport {port}"), a.socket(socket.AF_INET6) as s:
        s.setblocking(False)
        s.connect_ex(("::ffff:10.9.0.2", port))
        e = probe.wait(1, dport=port)[0]
        assert ends(e) == ("TCP", "10.9.0.1", s.getsockname()[1], "10.9.0.2", port)


def test_v4_mapped(spaces, probe):
    mapped_syn(spaces, probe, 8110)


def test_clean_path(spaces, probe):
    """Ten megabytes without loss: nothing."""
    a, b, _ = spaces
    a.sh("ethtool -K va tso on gso on")  # few big packets: none is dropped for a full backlog
    step = Step(a)
    for family in FAMILIES:
        with connection(a, b, family, 8109) as (client, server):
            sender = threading.Thread(target=client.sendall, args=(b"x" * 10_000_000,))
            sender.start()
            got = 0
            while got < 10_000_000:
                got += len(server.recv(1 << 20))
            sender.join()
    a.sh("ethtool -K va tso off gso off")
    assert step["TcpRetransSegs"] == 0
    # Whatever was sent before this one is there when it is.
    mapped_syn(spaces, probe, 8111)
    assert not probe.events(dport=8109)
