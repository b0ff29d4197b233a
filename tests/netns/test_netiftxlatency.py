# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-netiftxlatency against queues that delay by a known time: netem where the kernel has it, and a token bucket whose
packets follow each other at a known rate; what is dropped, purged, cut up or never queued is no sample and leaves nothing."""
import contextlib
import ipaddress
import json
import os
import pathlib
import socket
import time

import pytest

from skooplib import PATIENCE, Netns, Tracing, skoop, values, wait_for

AF = {4: socket.AF_INET, 6: socket.AF_INET6}
A = {4: "10.9.0.1", 6: "fd00:9::1"}
B = {4: "10.9.0.2", 6: "fd00:9::2"}
SO_SNDBUFFORCE = 32
HEADERS = {4: 14 + 20 + 8, 6: 14 + 40 + 8}  # Ethernet, IP, UDP
QDISC, NETDEV = "TXLAT_QDISC_100MS", "TXLAT_NETDEV_100MS"
PREFIX = "kubeskoop_netiftxlat_"
SIZE = 700  # bytes of data; with IPv6 and its headers it fills the bucket


class Net:
    """a sends to b, which has static neighbours and takes nothing in but what is told here; q is quiet."""

    def __init__(self, a, b, q, queues=1):
        self.a, self.b, self.q = a, b, q
        for ns in (a, b):
            ns.sh("nft add table inet t; nft add chain inet t out { type filter hook output priority 0\\; }; nft add rule inet t out meta l4proto ipv6-icmp drop")
        q.sh(f"ip link add va netns {a.name} numtxqueues {queues} numrxqueues {queues} address 02:00:00:00:00:01 type veth"
             f" peer name vb netns {b.name} numtxqueues {queues} numrxqueues {queues} address 02:00:00:00:00:02")
        for ns, dev, host in ((a, "va", 1), (b, "vb", 2)):
            ns.ip(f"link set {dev} multicast off", f"addr add 10.9.0.{host}/24 dev {dev}", f"addr add fd00:9::{host}/64 dev {dev} nodad",
                  f"link set {dev} up")
        for v in (4, 6):
            a.ip(f"neigh add {B[v]} lladdr 02:00:00:00:00:02 dev va nud permanent")
            b.ip(f"neigh add {A[v]} lladdr 02:00:00:00:00:01 dev vb nud permanent")

    def queue(self, text):
        """The queue of va; None: the device has none."""
        self.a.sh("tc qdisc del dev va root 2>/dev/null || true" + (f"; tc qdisc add dev va root {text}" if text else ""))

    def bucket(self, wait, limit=100000):
        """Each packet of 762 bytes follows the last one after so many seconds."""
        self.queue(f"tbf rate {round(762 / wait)}bps burst 762 limit {limit}")

    def options(self):
        return [w for ns in (self.a, self.b, self.q) for w in ("-n", ns.name)]

    @contextlib.contextmanager
    def sender(self, v=4, port=9):
        """Connected to b where nobody listens but nobody answers either: the queue of b takes it in and is done."""
        with self.b.socket(AF[v], socket.SOCK_DGRAM) as server, self.a.socket(AF[v], socket.SOCK_DGRAM) as s:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            server.bind((B[v], port))
            s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 24)
            s.connect((B[v], port))
            yield s


@pytest.fixture(scope="module")
def net():
    with Netns("txa") as a, Netns("txb") as b, Netns("txq") as q:
        yield Net(a, b, q)


@pytest.fixture(autouse=True)
def plain(net):
    yield
    net.queue(None)


def has(net, kind):
    """Whether the kernel has that queueing discipline."""
    try:
        net.queue(kind)
    except AssertionError:
        return False
    return True


def event(net, v, sport, **more):
    """What must be shown of a packet of the sender."""
    return {"netns": net.a.inode, "pod": net.a.pod, "protocol": "UDP", "saddr": A[v], "sport": sport, "daddr": B[v],
            "dport": 9, "device": "va", "queue": 0, "len": SIZE + HEADERS[v], "segs": 1} | more


def same(record, want):
    """Compares all fields but the latency."""
    have = {k: record["labels"]["target_pod"] if k == "pod" else record[k] for k in want}
    assert have == want


def spread(records, name, device="va", pod=None):
    """The last count of a device's histogram."""
    found = [r for r in records if r["kind"] == "histogram" and r["histogram"] == name and r["keys"] == {"device": device}
             and (pod is None or r["labels"]["target_pod"] == pod)]
    return found[-1]["count"] if found else 0


def check_counters(net, records):
    """Every packet past 100 ms is counted, and an event where -t lets it; the quiet have none; nothing is lost."""
    events = [r for r in records if r["kind"] == "event"]
    for ns in (net.a, net.b, net.q):
        have = values(records, pod=ns.pod)
        for name, metric in ((QDISC, "qdiscslow100ms"), (NETDEV, "netdevslow100ms")):
            of = [e for e in events if e["event"] == name and e["netns"] == ns.inode and e["latency_ns"] > 100e6]
            assert have[PREFIX + metric] == len(of), (ns.name, metric)
    lost = [r for r in records if r["kind"] == "metric" and r["metric"] == PREFIX + "lostevents"]
    assert [r["value"] for r in lost] == [0] and not [r for r in records if r["kind"] == "lost"]


# ---- the queue ----

@pytest.mark.parametrize("kind", ["tbf", "netem"])
def test_a_slow_queue(net, kind):
    """Three packets of each family take as long as they must; 50 ms are told on demand only."""
    if kind == "netem" and not has(net, "netem delay 1ms"):
        pytest.skip("this kernel has no netem")
    with Tracing("netiftxlatency", *net.options(), "-D") as t, Tracing("netiftxlatency", *net.options(), "-t", "40ms") as low:
        want, sent = [], 0
        for slow in (0.15, 0.05):
            for v in (4, 6):
                net.queue(f"netem delay {slow * 1000:.0f}ms") if kind == "netem" else net.bucket(slow)
                with net.sender(v) as s:
                    since = time.monotonic()
                    if kind == "tbf":  # takes what there is in the bucket
                        s.send(b"x" * SIZE)
                        sent += 1
                    for i in range(3 if kind == "netem" else 1 if slow < 0.1 else 3):
                        s.send(b"x" * SIZE)
                        sent += 1
                        wait = slow
                        if kind == "tbf":  # what is not in the bucket, less what has come since
                            wait *= ((i + 2) * (SIZE + HEADERS[v]) / 762 - 1)
                            wait -= time.monotonic() - since
                        want.append((wait, event(net, v, s.getsockname()[1], event=QDISC, qdisc=kind, qlen=i)))
                    low.wait(len(want))
        records, all_of_them = t.stop(), low.stop()
    events = [r for r in all_of_them if r["kind"] == "event" and r["event"] == QDISC]
    assert len(events) == len(want)
    for (wait, fields), e in zip(want, events):
        same(e, fields)
        # A tick's worth of tokens may be there.
        assert (wait - 0.005) * 1e9 < e["latency_ns"] < (wait + 0.1 * PATIENCE) * 1e9
    slow = [e for e in events if e["latency_ns"] > 100e6]
    told = [r for r in records if r["kind"] == "event" and r["event"] == QDISC]
    assert [(e["sport"], e["mono_ns"] // 1000000) for e in told] == [(e["sport"], e["mono_ns"] // 1000000) for e in slow] or \
        len(told) == len(slow)
    assert len(told) >= 6
    check_counters(net, records)
    check_counters(net, all_of_them)
    assert spread(records, "qdisc") == spread(records, "netdev") == sent
    assert spread(records, "qdisc", "vb") == 0


def test_what_is_dropped_is_no_sample(net):
    """Refused by a full queue, and purged when it goes: no sample, and nothing of them is left."""
    loss = has(net, "netem loss 100%")
    with Tracing("netiftxlatency", *net.options(), "-t", "1ns", "-D", 0.1) as t, net.sender() as s:
        if loss:
            net.queue("netem loss 100%")
            for _ in range(100):
                s.send(b"x" * SIZE)
        net.bucket(60, limit=10 * (SIZE + HEADERS[4]))
        for _ in range(51):
            s.send(b"x" * SIZE)
        # One passed; those that stand there are in flight, the others are not.
        sport = s.getsockname()[1]
        standing = wait_for(lambda: [r for r in t.records() if r["kind"] == "in_flight"], what="packets in flight")
        net.queue(None)
        s.send(b"the end")
        t.wait(1, event=NETDEV, len=7 + HEADERS[4])
        rounds = len([r for r in t.records() if r["kind"] == "metric"])
        wait_for(lambda: len([r for r in t.records() if r["kind"] == "metric"]) > rounds + 20, what="more rounds")
        end = t.records()[-1]["ts"]
        records = t.stop()
    assert {r["qlen"] for r in standing} <= set(range(10)) and len({r["mono_ns"] - r["latency_ns"] for r in standing}) == 10
    for r in standing:
        same(r, event(net, 4, sport, event=QDISC, qdisc="tbf"))
    last = [r["ts"] for r in records if r["kind"] == "in_flight"][-1]
    assert last < end, "something is left"
    assert len([r for r in records if r["kind"] == "event" and r["event"] == QDISC]) == 1
    assert spread(records, "qdisc") == 1 and spread(records, "netdev") == 2
    assert not [r for r in records if r["kind"] == "lost"]


def test_standing_packets(net):
    """Those that stand in a queue for too long are told without an end, once, and at the end once more."""
    net.bucket(30)
    with Tracing("netiftxlatency", *net.options()) as t, net.sender(6) as s:
        for _ in range(3):
            s.send(b"x" * SIZE)
        sport = s.getsockname()[1]
        seen = wait_for(lambda: [r for r in t.records() if r["kind"] == "in_flight"], what="packets in flight")
        wait_for(lambda: len([r for r in t.records() if r["kind"] == "in_flight"]) >= 2, what="both")
        records = t.stop()
    found = [r for r in records if r["kind"] == "in_flight"]
    assert len(found) == 4 and seen
    for r in found:
        same(r, event(net, 6, sport, event=QDISC, qdisc="tbf", qlen=r["qlen"]))
        assert r["qlen"] in (0, 1) and r["latency_ns"] > 100e6
    assert not [r for r in records if r["kind"] == "event"]
    check_counters(net, records)


def test_the_one_slow_packet_after_many(net):
    """More packets than there is room for pass a queue; then one has to wait."""
    many = 120000 // (1 if PATIENCE == 1 else 4)
    net.queue("pfifo limit 1000")
    with Tracing("netiftxlatency", *net.options(), "-D", "--max-packets", 1024) as t, net.sender() as s:
        for _ in range(many):
            s.send(b"x")
        net.bucket(0.15)
        s.send(b"x" * SIZE)
        s.send(b"x" * SIZE)
        t.wait(1, event=QDISC, qdisc="tbf")
        records = t.stop()
    assert SIZE + HEADERS[4] in [r["len"] for r in records if r["kind"] == "event" and r["event"] == QDISC]
    check_counters(net, records)
    assert spread(records, "qdisc") == spread(records, "netdev") == many + 2
    assert not [r for r in records if r["kind"] == "in_flight"]


def test_more_packets_than_room(net):
    """What has to give way is told as lost; what stays is as many as there is room for."""
    net.bucket(30, limit=10000000)
    with Tracing("netiftxlatency", *net.options(), "--max-packets", 512, "-t", "1ns", 0.2) as t, net.sender() as s:
        for _ in range(2001):
            s.send(b"x" * 200)
        wait_for(lambda: [r for r in t.records() if r["kind"] == "lost"], what="losses")
        records = t.stop()
    lost = [r for r in records if r["kind"] == "lost" and r["where"] == "map"]
    standing = {r["mono_ns"] - r["latency_ns"] for r in records if r["kind"] == "in_flight"}
    passed = [r for r in records if r["kind"] == "event" and r["event"] == QDISC]
    assert lost[-1]["total"] >= 2000 - 512 - len(passed) and len(standing) <= 2001
    values_ = [r["value"] for r in records if r["kind"] == "metric" and r["metric"] == PREFIX + "lostevents"]
    assert values_[-1] == lost[-1]["total"]


# ---- the driver ----

def test_every_packet_has_a_driver(net):
    """With and without a queue, at a device and at the one below it: as many as the kernel has sent, each with its fields."""
    vlan = not net.a.run("ip", "link", "add", "link", "va", "name", "va5", "type", "vlan", "id", "5").returncode
    try:
        if vlan:
            net.a.ip("addr add 10.5.0.1/24 dev va5", "link set va5 up", "neigh add 10.5.0.2 lladdr 02:00:00:00:00:02 dev va5 nud permanent")
        with Tracing("netiftxlatency", *net.options(), "-t", "1ns", "-D") as t:
            before = link_packets(net.a, "va")
            with net.sender() as s:
                for _ in range(10):
                    s.send(b"x" * SIZE)
                net.queue("pfifo limit 100")
                for _ in range(10):
                    s.send(b"x" * SIZE)
                for _ in range(10):
                    if vlan:
                        s.sendto(b"x" * SIZE, ("10.5.0.2", 9))
                sport = s.getsockname()[1]
            sent = link_packets(net.a, "va") - before
            records = t.stop()
    finally:
        net.a.run("ip", "link", "del", "va5")
    events = [r for r in records if r["kind"] == "event"]
    assert spread(records, "netdev", pod=net.a.pod) == sent == (30 if vlan else 20)
    assert spread(records, "qdisc", pod=net.a.pod) == sent - 10
    assert spread(records, "netdev", "va5") == (10 if vlan else 0) and spread(records, "qdisc", "va5") == 0
    driver = [e for e in events if e["event"] == NETDEV and e["device"] == "va" and e["daddr"] == B[4]]
    assert len(driver) == 20
    for i, e in enumerate(driver):
        same(e, event(net, 4, sport, qdisc="noqueue" if i < 10 else "pfifo", qlen=None if i < 10 else 0))
    above = [e for e in events if e["event"] == NETDEV and e["device"] == "va5"]
    below = [e for e in events if e["event"] == NETDEV and e["device"] == "va" and e["daddr"] == "10.5.0.2"]
    assert len(above) == len(below) == (10 if vlan else 0)
    for over, under in zip(above, below):
        assert over["qdisc"] == "noqueue" and under["qdisc"] == "pfifo"
        assert over["sport"] == under["sport"] and over["mono_ns"] > under["mono_ns"] and over["latency_ns"] > under["latency_ns"]
    check_counters(net, records)


def link_packets(ns, dev):
    """What the device says it has sent."""
    return json.loads(ns.run("ip", "-s", "-j", "link", "show", dev).stdout)[0]["stats64"]["tx"]["packets"]


def test_merged_packets(net):
    """A device that cannot cut packets itself has them cut behind its queue: they end there, and nothing is left."""
    net.queue("tbf rate 1gbit burst 200000 limit 1000000")  # never passed by
    for offload in ("on", "off"):
        net.a.sh(f"ethtool -K va tso {offload}")
        with net.b.socket() as listener, Tracing("netiftxlatency", *net.options(), "-t", "1ns", "-D", 0.2) as t:
            listener.bind((B[4], 0))
            listener.listen()
            with net.a.socket() as s:
                s.connect(listener.getsockname())
                peer = listener.accept()[0]
                port = s.getsockname()[1]
                s.sendall(b"x" * 200000)
                got = 0
                while got < 200000:
                    got += len(peer.recv(65536))
                peer.close()
            t.wait(3, event=QDISC, sport=port)
            wait_for(lambda: [r for r in t.records() if r["kind"] == "metric"], what="a round")
            records = t.stop()
        events = [r for r in records if r["kind"] == "event" and r.get("sport") == port and r["device"] == "va"]
        merged = [e for e in events if e["event"] == QDISC and e["segs"] > 1]
        assert merged and all(e["len"] > 1514 and e["qdisc"] == "tbf" for e in merged)
        driver = [e for e in events if e["event"] == NETDEV]
        # Resent or not, all data passes once at least.
        assert sum(e["len"] - 66 * e["segs"] for e in driver) >= 190000
        if offload == "off" and not any(e["segs"] > 1 for e in driver):
            assert len(driver) > len([e for e in events if e["event"] == QDISC])
        assert not [r for r in records if r["kind"] == "lost"]
        end = [r["ts"] for r in records if r["kind"] == "metric"][-1]
        assert not [r for r in records if r["kind"] == "in_flight" and r["ts"] >= end]


def test_many_queues():
    """A device with several: each packet's own queue is told."""
    with Netns("mqa") as a, Netns("mqb") as b, Netns("mqq") as q:
        net = Net(a, b, q, queues=4)
        net.queue("pfifo limit 1000")
        with Tracing("netiftxlatency", *net.options(), "-t", "1ns", "-D") as t, contextlib.ExitStack() as stack:
            for i in range(64):
                s = stack.enter_context(net.sender(4, 1000 + i))
                s.send(b"x" * SIZE)
            records = t.stop()
    found = [r for r in records if r["kind"] == "event" and r["event"] == QDISC]
    assert len(found) == 64 == spread(records, "qdisc")
    assert {e["queue"] for e in found} <= {0, 1, 2, 3} and len({e["queue"] for e in found}) > 1
    assert all(e["qdisc"] == "pfifo" and e["qlen"] == 0 for e in found)


# ---- choices ----

def test_filters(net):
    """Ports, addresses, devices and targets are chosen before anything is counted."""
    net.queue("pfifo limit 100")
    chosen = {"port": ["--port", "9"], "other port": ["--port", "10"], "address": ["--address", B[6]],
              "range": ["--address", "10.9.0.0/16"], "device": ["--device", "va"], "other device": ["--device", "va0"],
              "here": ["-n", net.a.name], "elsewhere": ["-n", net.q.name]}
    with contextlib.ExitStack() as stack:
        runs = {k: stack.enter_context(Tracing("netiftxlatency", "-t", "1ns", "-D", *words)) for k, words in chosen.items()}
        for v in (4, 6):
            with net.sender(v) as s:
                for _ in range(3):
                    s.send(b"x" * SIZE)
        records = {k: t.stop() for k, t in runs.items()}
    counts = {"port": 6, "other port": 0, "address": 3, "range": 3, "device": 6, "other device": 0, "here": 6, "elsewhere": 0}
    for k, recs in records.items():
        for name, stage in ((QDISC, "qdisc"), (NETDEV, "netdev")):
            mine = [r for r in recs if r["kind"] == "event" and r["event"] == name and r["netns"] == net.a.inode]
            assert len(mine) == counts[k] == spread(recs, stage, pod=net.a.pod), k
            if k == "address":
                assert {ipaddress.ip_address(r["daddr"]).version for r in mine} == {6}
        if k == "elsewhere":
            assert not [r for r in recs if r["kind"] == "event"]


def test_options():
    for bad in (["--device", ""], ["--device", "a" * 16], ["--max-packets", "0"], ["-t", "5"]):
        done = skoop("netiftxlatency", *bad, rc=2)
        assert done.stdout == "" and done.stderr
