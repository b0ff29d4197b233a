# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-socketlatency against programs that read and write late by their own clock. What they caused is the lower bound
of what is told; the upper one is when they could not have waited any longer."""
import array
import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from skooplib import PATIENCE, Netns, Tracing, skoop, tool, values, veth, wait_for


AF = {4: socket.AF_INET, 6: socket.AF_INET6}
A = {4: "10.9.0.1", 6: "fd00:9::1"}
B = {4: "10.9.0.2", 6: "fd00:9::2"}
READ, SEND = "SOCKETLAT_READSLOW", "SOCKETLAT_SENDSLOW"
PREFIX = "kubeskoop_socketlatency_"
COMM = open("/proc/self/comm").read().strip()
SLACK = 0.08 * PATIENCE  # s that a busy machine may add
TCP_CORK, TCP_NODELAY = 3, 1
KPROBES = ["--hooks", "kprobe,kretprobe,tp_btf"]


class Net:
    def __init__(self, a, b, q):
        self.a, self.b, self.q = a, b, q
        veth(a, b)
        # The first packet of each family: neighbours are known from then on.
        for v in (4, 6):
            with self.pair(v):
                pass

    def options(self):
        return [w for ns in (self.a, self.b, self.q) for w in ("-n", ns.name)]

    @contextlib.contextmanager
    def pair(self, v=4, rcvbuf=None, sndbuf=None):
        """A connection: (client in a, server in b)."""
        with self.b.socket(AF[v]) as listener, self.a.socket(AF[v]) as c:
            if rcvbuf:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            if sndbuf:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
            c.setsockopt(socket.IPPROTO_TCP, TCP_NODELAY, 1)
            listener.bind((B[v], 0))
            listener.listen()
            c.settimeout(20 * PATIENCE)
            c.connect(listener.getsockname())
            s = listener.accept()[0]
            s.settimeout(20 * PATIENCE)
            with s:
                yield c, s


@pytest.fixture(scope="module")
def net():
    with Netns("sla") as a, Netns("slb") as b, Netns("slq") as q:
        yield Net(a, b, q)


@pytest.fixture(scope="module")
def mode(net):
    """"full" or "tp"; skips where there is neither."""
    done = skoop("socketlatency", "-d", "0.1", "-o", "json", rc=None)
    if done.returncode == 4:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return "tp" if "reduced mode tp" in done.stderr else "full"


def ways(mode):
    """The ways to watch that this kernel has."""
    found = [[]]
    if mode == "full":
        found.append(KPROBES)
        done = skoop("socketlatency", "-d", "0.1", "--hooks", "tp_btf", rc=None)
        if done.returncode == 0:
            found.append(["--hooks", "tp_btf"])
    return found


def is_full(way, mode):
    return mode == "full" and way[-1:] != ["tp_btf"]


def pause(seconds):
    """What a program does instead of reading or writing."""
    time.sleep(seconds)


def unread(s, n):
    """Waits, without a trace, until the other side's bytes are there."""
    def have():
        size = array.array("i", [0])
        fcntl.ioctl(s.fileno(), termios.FIONREAD, size)
        return size[0] >= n
    end = time.monotonic() + 5 * PATIENCE
    while not have():
        assert time.monotonic() < end
        time.sleep(0.0005)


def tuple_of(s, v):
    local, peer = s.getsockname(), s.getpeername()
    return {"protocol": "TCP" if s.type == socket.SOCK_STREAM else "UDP", "saddr": local[0], "sport": local[1], "daddr": peer[0],
            "dport": peer[1]}


def mine(records, s, v=4, name=READ, kind="event"):
    want = tuple_of(s, v)
    return [r for r in records if r["kind"] == kind and r["event"] == name and all(r[k] == x for k, x in want.items())]


def within(r, low, high):
    assert low * 1e9 <= r["latency_ns"] <= high * 1e9, (low, high, r)


def slept(c, s, data, seconds):
    """c sends, s reads so much later: (at least, at most) by the program's own clock."""
    before = time.monotonic()
    c.send(data)
    unread(s, len(data))
    there = time.monotonic()
    pause(seconds)
    low = time.monotonic() - there
    got = s.recv(65536)
    assert got == data
    return low, time.monotonic() - before


def check_counters(net, records, low=()):
    """Counters are as many as events of their class; the quiet have none; nothing is lost."""
    events = [r for r in records if r["kind"] == "event"]
    for ns in (net.a, net.b, net.q):
        have = values(records, pod=ns.pod)
        for name, word in ((READ, "read"), (SEND, "write")):
            of = [e["latency_ns"] for e in events if e["event"] == name and e["netns"] == ns.inode]
            assert have[PREFIX + word + "100ms"] == len([x for x in of if x > 100e6]), (ns.name, word)
            if "1ms" in low:
                assert have[PREFIX + word + "1ms"] == len([x for x in of if x > 1e6]), (ns.name, word)
        assert ns is not net.q or (not any(have.values()) and len(have) == 4)
    lost = [r for r in records if r["kind"] == "metric" and r["metric"] == PREFIX + "lostevents"]
    assert [r["value"] for r in lost] == [0] and not [r for r in records if r["kind"] == "lost"]


def spread(records, ns, name):
    found = [r for r in records if r["kind"] == "histogram" and r["histogram"] == name and r["labels"]["target_pod"] == ns.pod]
    return found[-1]["count"] if found else 0


# ---- read ----

def test_late_readers(net, mode):
    """A reader that sleeps, once; one that sleeps while byte after byte comes; one that is only somewhat late; each family."""
    for way in ways(mode):
        want = []
        with contextlib.ExitStack() as stack:
            pairs = {k: stack.enter_context(net.pair(v)) for k, v in
                     (("200", 4), ("200 v6", 6), ("drip", 4), ("5", 4), ("peek", 4), ("partial", 4), ("fin", 4), ("splice", 4))}
            t = stack.enter_context(Tracing("socketlatency", *net.options(), "-t", "1ms", "-D", *way))
            for k, v in (("200", 4), ("200 v6", 6)):
                low, high = slept(*pairs[k], b"x" * 100, 0.2)
                want.append((k, v, [(low, high, 100, 0)]))
            c, s = pairs["drip"]
            before = time.monotonic()
            c.send(b"x")
            unread(s, 1)
            there = time.monotonic()
            for _ in range(29):
                pause(0.02)
                c.send(b"x")
            unread(s, 30)
            low = time.monotonic() - there
            got = s.recv(100)
            want.append(("drip", 4, [(low, time.monotonic() - before, None, None)]))
            assert got == b"x" * 30 and low > 0.58
            c, s = pairs["5"]
            want.append(("5", 4, [slept(c, s, b"y" * 10, 0.005) + (10, 0) for _ in range(4)]))
            # A look at it is no read; it waits on.
            c, s = pairs["peek"]
            before = time.monotonic()
            c.send(b"z" * 10)
            unread(s, 10)
            there = time.monotonic()
            pause(0.1)
            assert s.recv(10, socket.MSG_PEEK) == b"z" * 10
            pause(0.1)
            low = time.monotonic() - there
            s.recv(10)
            want.append(("peek", 4, [(low, time.monotonic() - before, 10, 0)]))
            # What is left waits on.
            c, s = pairs["partial"]
            before = time.monotonic()
            c.send(b"p" * 10)
            unread(s, 10)
            there, parts = time.monotonic(), []
            for n in (4, 6):
                pause(0.1)
                low = time.monotonic() - there
                s.recv(n)
                parts.append((low, time.monotonic() - before, n, 10 - n if n == 4 else 0))
            want.append(("partial", 4, parts))
            # An end behind the data is none; it is read later, and is no data.
            c, s = pairs["fin"]
            before = time.monotonic()
            c.send(b"f" * 10)
            c.shutdown(socket.SHUT_WR)
            unread(s, 10)
            there = time.monotonic()
            pause(0.15)
            low = time.monotonic() - there
            s.recv(10)
            want.append(("fin", 4, [(low, time.monotonic() - before, 10, 0)]))
            pause(0.12)
            assert s.recv(10) == b""
            c, s = pairs["splice"]
            if hasattr(os, "splice"):
                before = time.monotonic()
                c.send(b"s" * 10)
                unread(s, 10)
                there = time.monotonic()
                pause(0.12)
                low = time.monotonic() - there
                r, w = os.pipe()
                os.splice(s.fileno(), w, 10)
                os.close(r), os.close(w)
                want.append(("splice", 4, [(low, time.monotonic() - before, 10, 0)]))
            t.wait(sum(len(x) for _, _, x in want), event=READ)
            records = t.stop()
            for k, v, samples in want:
                have = mine(records, pairs[k][1], v)
                assert len(have) == len(samples), (way, k, have)
                for r, (low, high, nbytes, queued) in zip(have, samples):
                    within(r, low, high + 0.001)
                    if nbytes:
                        assert (r["bytes"], r["queued"]) == (nbytes, queued), k
                    else:
                        assert r["bytes"] + r["queued"] == 30
                    assert r["pid"] == os.getpid() and r["comm"] == COMM and r["netns"] == net.b.inode, k
                    assert r["state"] == ("CLOSE_WAIT" if k == "fin" else "ESTABLISHED") and r["reason"] is None
                    assert r["labels"]["target_pod"] == net.b.pod
        reads = [r for r in records if r["kind"] == "event" and r["event"] == READ]
        assert len(reads) == sum(len(x) for _, _, x in want) == values(records, pod=net.b.pod)[PREFIX + "read1ms"]
        assert spread(records, net.b, "read") >= len(reads) and spread(records, net.q, "read") == 0
        check_counters(net, records, low=["1ms"])


def test_prompt_readers_and_those_that_never_read(net, mode):
    """Who reads at once, or finds nothing, or closes, has waited for nothing."""
    with net.pair() as (c, s), net.pair() as (gone, closing), Tracing("socketlatency", *net.options(), "-D") as t:
        def prompt():
            drain(s, 2500)
            s.setblocking(False)
            for _ in range(100):
                with contextlib.suppress(BlockingIOError):
                    s.recv(100)
                pause(0.005)
            s.settimeout(20 * PATIENCE)
            s.recv(100)

        reader = threading.Thread(target=prompt)
        reader.start()
        for _ in range(50):
            c.send(b"x" * 50)
            pause(0.002)
        pause(0.6)
        c.send(b"end")
        reader.join(20 * PATIENCE)
        assert not reader.is_alive()
        gone.send(b"x" * 10)
        unread(closing, 10)
        pause(0.15)
        closing.close()
        records = t.stop()
    assert not [r for r in records if r["kind"] == "event" and r["latency_ns"] > 100e6 * PATIENCE], records
    if PATIENCE == 1:
        assert not [r for r in records if r["kind"] == "event"]
    assert spread(records, net.b, "read") > 2
    check_counters(net, records)


def test_what_was_there_before(net, mode):
    """Unread data of a socket that is older than the probe waits since it is watched: from its next byte on."""
    with net.pair() as (c, s):
        c.send(b"x" * 100)
        unread(s, 100)
        with Tracing("socketlatency", *net.options()) as t:
            begun = time.monotonic()
            c.send(b"y" * 10)
            unread(s, 110)
            there = time.monotonic()
            pause(0.2)
            low = time.monotonic() - there
            assert len(s.recv(1000)) == 110
            high = time.monotonic() - begun
            t.wait(1, event=READ)
            more = slept(c, s, b"z" * 10, 0.12)
            t.wait(2, event=READ)
            records = t.stop()
            have = mine(records, s)
    assert len(have) == 2 and have[1]["bytes"] == 10
    within(have[0], low, high + 0.001)
    within(have[1], *more)
    check_counters(net, records)


def test_in_flight(net, mode):
    """What nobody reads, and what cannot leave, is told while it waits; once it is read, no more."""
    with net.pair(6) as (c, s), net.pair(rcvbuf=2048) as (w, r), net.pair() as (lost, closed):
        t = Tracing("socketlatency", *net.options(), 0.3)
        with t:
            before = time.monotonic()
            c.send(b"x" * 77)
            unread(s, 77)
            there = time.monotonic()
            lost.send(b"x")
            unread(closed, 1)
            w.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += w.send(b"w" * 4096)
            pause(0.11)
            seen = wait_for(lambda: mine(t.records(), s, 6, kind="in_flight"), what="what waits to be read")
            within(seen[0], 0.1, time.monotonic() - before)
            stuck = wait_for(lambda: mine(t.records(), w, name=SEND, kind="in_flight"), what="what waits to be sent")
            ended = mine(t.records(), closed, kind="in_flight")
            want = mine(t.records(), s, 6, kind="in_flight")[0] | {}
            peers = {k: tuple_of(x, 4) for k, x in (("closed", closed),)}
            closed.close()
            low = time.monotonic() - there
            s.recv(100)
            t.wait(1, event=READ)
            n = len([x for x in t.records() if x["kind"] == "metric"])
            wait_for(lambda: len([x for x in t.records() if x["kind"] == "metric"]) > n + 12, what="more rounds")
            last = t.records()[-1]["ts"]
            records = t.stop()
            assert want["queued"] == 77 and want["state"] == "ESTABLISHED" and want["netns"] == net.b.inode
            assert want["bytes"] is None and want["pid"] is None
            assert stuck[0]["queued"] > 0 and stuck[0]["reason"] == "window" and stuck[0]["pid"] == os.getpid()
            assert stuck[0]["netns"] == net.a.inode and ended is not None
            for x in (mine(records, s, 6, kind="in_flight"),
                      [x for x in records if x["kind"] == "in_flight" and x["sport"] == peers["closed"]["sport"] and x["event"] == READ]):
                assert x and x[-1]["ts"] < last, "it is told after it ended"
            have = mine(records, s, 6)
            assert len(have) == 1 and have[0]["latency_ns"] >= low * 1e9 - 1e6
            assert not [x for x in records if x["kind"] == "in_flight" and x["netns"] == net.q.inode]


# ---- write ----

def drain(s, n):
    got = 0
    while got < n:
        got += len(s.recv(65536))


def test_a_closed_window(net, mode):
    """A writer whose peer does not read, be it told so at once or made to wait in its call."""
    for way in ways(mode):
        full = is_full(way, mode)
        with net.pair(rcvbuf=4096) as (c, s), net.pair(6, rcvbuf=4096, sndbuf=4096) as (c6, s6), \
                Tracing("socketlatency", *net.options(), *way) as t:
            # Not blocking: what the buffer takes and the window does not.
            c.setblocking(False)
            before, sent = time.monotonic(), 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += c.send(b"w" * 4096)
            there = time.monotonic()
            pause(0.3)
            low = time.monotonic() - there
            drain(s, sent)
            slow = t.wait(1, event=SEND)
            high = time.monotonic() - before
            one = [x for x in mine(t.records(), c, name=SEND)]
            within(one[0], low - SLACK, high)  # the kernel's own window may have moved meanwhile
            assert one[0]["netns"] == net.a.inode and one[0]["state"] == "ESTABLISHED" and one[0]["reason"] == "window", slow
            assert one[0]["pid"] == os.getpid() and one[0]["comm"] == COMM
            assert 0 < one[0]["bytes"] <= sent and one[0]["queued"] < sent
            if full:
                # Blocking, with less room than it wants to write.
                begun = time.monotonic()
                writer = threading.Thread(target=c6.sendall, args=(b"b" * 200000,))
                writer.start()
                pause(0.3)
                drain(s6, 200000)
                writer.join()
                high = time.monotonic() - begun
                t.wait(1, event=SEND, sport=c6.getsockname()[1])
                blocked = mine(t.records(), c6, 6, name=SEND)
                within(blocked[0], 0.2, high)
                assert blocked[0]["pid"] == os.getpid() and blocked[0]["reason"] in ("window", "sndbuf")
            records = t.stop()
        assert {x["netns"] for x in records if x["kind"] == "event" and x["event"] == SEND} == {net.a.inode}
        check_counters(net, records)


def test_held_back_by_the_writer(net, mode):
    """What the writer itself corks, and small writes that wait for a late acknowledgement."""
    for way in ways(mode):
        with net.pair() as (c, s), net.pair(6) as (n, m), Tracing("socketlatency", *net.options(), "-t", "20ms", *way) as t:
            c.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 1)
            before = time.monotonic()
            c.send(b"c" * 100)
            there = time.monotonic()
            pause(0.15)
            low = time.monotonic() - there
            c.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 0)
            drain(s, 100)
            high = time.monotonic() - before
            t.wait(1, event=SEND, sport=c.getsockname()[1])
            n.setsockopt(socket.IPPROTO_TCP, TCP_NODELAY, 0)
            took = []
            for _ in range(6):
                begun = time.monotonic()
                n.send(b"1" * 10)
                n.send(b"2" * 10)
                drain(m, 20)
                took.append(time.monotonic() - begun)
                m.send(b"answer")
                n.recv(100)
            slow = [x for x in took if x > 0.03]
            pause(0.02)
            records = t.stop()
            have = mine(records, c, name=SEND)
            assert len(have) == 1, have
            within(have[0], low, high + 0.001)
            assert (have[0]["bytes"], have[0]["queued"], have[0]["reason"], have[0]["netns"]) == (100, 0, "cork", net.a.inode)
            nagle = mine(records, n, 6, name=SEND)
            assert slow and len(nagle) >= len(slow), (slow, nagle)
            for x in nagle:
                assert x["bytes"] == 10 and x["reason"] == "nagle" and x["latency_ns"] <= max(took) * 1e9
            assert not mine(records, s, name=SEND) and not mine(records, m, 6, name=SEND)
        check_counters(net, records)


def test_bulk_is_not_slow(net, mode):
    """A long transfer whose reader keeps up: acknowledgements set its pace, and nothing waits for more than that."""
    total = 20000000 // PATIENCE
    for way in ways(mode):
        with net.pair() as (c, s), Tracing("socketlatency", *net.options(), "-D", *way) as t:
            writer = threading.Thread(target=c.sendall, args=(b"x" * total,))
            writer.start()
            drain(s, total)
            writer.join()
            records = t.stop()
        slow = [r for r in records if r["kind"] == "event" and r["event"] == SEND and r["latency_ns"] > 100e6 * PATIENCE]
        assert not slow and spread(records, net.a, "write") > 0, slow
        check_counters(net, records)


# ---- datagrams ----

def test_datagrams(net, mode):
    """Each datagram has waited since it came; one that was only looked at waits on; one that is never read is told, until
    its socket goes."""
    if mode == "tp":
        pytest.skip("this kernel lets no functions be traced: datagrams are not seen")
    for way in ([], KPROBES):
        for v in (4, 6):
            with net.b.socket(AF[v], socket.SOCK_DGRAM) as s, net.a.socket(AF[v], socket.SOCK_DGRAM) as c, \
                    net.b.socket(AF[v], socket.SOCK_DGRAM) as never, \
                    Tracing("socketlatency", *net.options(), "-t", "50ms", *way, 0.3) as t:
                s.bind((B[v], 0))
                never.bind((B[v], 0))
                c.bind((A[v], 0))
                c.sendto(b"n" * 33, never.getsockname())
                before, lows = time.monotonic(), []
                c.sendto(b"1" * 11, s.getsockname())
                unread(s, 11)
                there = time.monotonic()
                pause(0.1)
                assert s.recv(100, socket.MSG_PEEK) == b"1" * 11
                pause(0.1)
                lows.append(time.monotonic() - there)
                assert s.recv(100) == b"1" * 11
                highs = [time.monotonic() - before]
                before = time.monotonic()
                c.sendto(b"2" * 22, s.getsockname())
                unread(s, 22)
                there = time.monotonic()
                pause(0.1)
                lows.append(time.monotonic() - there)
                assert s.recv(100) == b"2" * 22
                highs.append(time.monotonic() - before)
                c.sendto(b"prompt", s.getsockname())
                s.recv(100)
                where = {"protocol": "UDP", "saddr": B[v], "sport": s.getsockname()[1], "daddr": A[v], "dport": c.getsockname()[1]}
                have = t.wait(2, **where)
                standing = wait_for(lambda: [r for r in t.records() if r["kind"] == "in_flight"], what="a datagram in flight")
                port = never.getsockname()[1]
                never.close()
                n = len([x for x in t.records() if x["kind"] == "metric"])
                wait_for(lambda: len([x for x in t.records() if x["kind"] == "metric"]) > n + 12, what="more rounds")
                last = t.records()[-1]["ts"]
                records = t.stop()
            assert len(have) == 2
            for r, low, high, size in zip(have, lows, highs, (11, 22)):
                within(r, low, high + 0.001)
                assert (r["bytes"], r["queued"], r["pid"], r["comm"], r["netns"], r["state"]) == \
                    (size, None, os.getpid(), COMM, net.b.inode, None)
            assert {(r["sport"], r["queued"], r["netns"]) for r in standing} == {(port, 33, net.b.inode)}
            assert [r for r in records if r["kind"] == "in_flight"][-1]["ts"] < last
            assert not [r for r in records if r["kind"] == "event" and r["latency_ns"] < 50e6]


# ---- what it says of itself ----

def test_filters_and_selection(net, mode):
    """Only what was asked for is counted and told."""
    with net.pair() as (c, s), net.pair(6) as (c6, s6):
        port = c.getsockname()[1]
        with Tracing("socketlatency", "--port", port) as by_port, Tracing("socketlatency", "-n", net.q.name) as elsewhere, \
                Tracing("socketlatency", *net.options(), "--address", B[6]) as by_address:
            slept(c, s, b"x", 0.12)
            slept(c6, s6, b"x", 0.12)
            by_port.wait(1)
            by_address.wait(1)
            found = [t.stop() for t in (by_port, by_address, elsewhere)]
        sports = [[r["sport"] for r in records if r["kind"] == "event"] for records in found]
        assert sports == [[s.getsockname()[1]], [s6.getsockname()[1]], []]
        assert [values(r, pod=net.b.pod).get(PREFIX + "read100ms") for r in found] == [1, 1, None]


def test_more_sockets_than_room(net, mode):
    """What has to give way is told as lost."""
    with Tracing("socketlatency", *net.options(), "--max-sockets", 16) as t, contextlib.ExitStack() as stack:
        for _ in range(150):
            c, s = stack.enter_context(net.pair())
            c.send(b"x")
            unread(s, 1)
        lost = wait_for(lambda: [r for r in t.records() if r["kind"] == "lost"], what="losses")
        t.stop()
    assert lost[-1]["where"] == "map" and lost[-1]["total"] > 0


def test_many_sockets_then_a_slow_one(net, mode):
    """Entries go with their sockets: after more of them than there is room for, nothing was lost, and one is found."""
    with Tracing("socketlatency", *net.options(), "--max-sockets", 512) as t:
        with net.b.socket() as listener:
            listener.bind((B[4], 0))
            listener.listen(64)
            for _ in range(3000 // PATIENCE):
                with net.a.socket() as c:
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    c.connect(listener.getsockname())
                    with listener.accept()[0] as s:
                        c.send(b"x")
                        assert s.recv(10) == b"x"
        with net.pair() as (c, s):
            slept(c, s, b"x", 0.15)
            t.wait(1, event=READ)
            records = t.stop()
            assert len(mine(records, s)) == 1
    check_counters(net, records)


def test_options(mode):
    for bad in (["--max-sockets", "0"], ["--address", "x"], ["-t", "5"]):
        done = skoop("socketlatency", *bad, rc=2)
        assert done.stdout == "" and done.stderr
    said = subprocess.run([tool("socketlatency"), "-d", "0.1", "-v"], capture_output=True, text=True).stderr
    assert "in mode tp: UDP" in said and ("reduced mode tp" in said) == (mode == "tp")
