# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-tcpext in real namespaces: each fault is caused, counted, and compared with nstat; where nothing happened,
nothing moves."""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import select
import socket
import struct
import threading

import pytest

from exact import Listener, Watch, abort, proc_counters, trio, wait_counter  # noqa: F401
from ghost import Conn, Ghost
from skooplib import skoop, values, records, wait_for

pytestmark = pytest.mark.kernels

TCP_LINGER2, TCP_USER_TIMEOUT = 8, 18
SO_SNDBUFFORCE = 32

# What cannot be moved here, and why; the values are compared over fixtures, and those of tcp_mem and tcp_max_orphans
# on machines of the tests' own (test_limits_of_the_machine).
NOT_MOVED = {
    "pfmemallocdrop": "takes a machine out of memory",
    "tcpabortonmemory": "tcp_max_orphans is the machine's",
    "tcpmemorypressures": "tcp_mem is the machine's",
    "tcpmemorypressureschrono": "tcp_mem is the machine's",
}


@pytest.fixture(scope="module")
def net(trio):  # noqa: F811
    a, b, quiet = trio
    ghost = Ghost(a, b)
    yield a, b, quiet, ghost
    ghost.close()


class Drop:
    """A rule in the namespace that drops, and counts what it dropped."""

    def __init__(self, ns, hook, match):
        self.ns = ns
        ns.sh(f'nft add table ip skoop; nft "add chain ip skoop c {{ type filter hook {hook} priority 0; }}";'
              f"nft add rule ip skoop c '{match} counter drop'")

    def __enter__(self):
        return self

    def count(self):
        rules = json.loads(self.ns.run("nft", "-j", "list", "table", "ip", "skoop").stdout)["nftables"]
        return next(e["counter"]["packets"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e)

    def __exit__(self, *exc):
        self.ns.sh("nft delete table ip skoop")


def established(ghost, server, **kw):
    """A connection of the ghost's, and the socket the server has of it."""
    conn = ghost.connect(server.socket.getsockname()[1], **kw)
    return conn, server.accept()


# ---- the cases: each gives {namespace: {metric: growth}} of what it caused ----

def accept_queue_full(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 81, backlog=1):
        ghost.connect(81)
        ghost.connect(81)
        wait_counter(b, "TcpPassiveOpens", 2, since)
        for _ in range(5):
            ghost.syn(81)
        wait_counter(b, "TcpExtListenDrops", 5, since)
    return {b: {"listenoverflows": 5, "listendrops": 5}}


def final_ack_refused(a, b, ghost):
    """The other place where the queue can be full: both SYNs came while there was room, the ACKs did not."""
    since = proc_counters(b)
    with Listener(b, 82, backlog=0):
        first, second = ghost.syn(82), ghost.syn(82)
        first.synack()
        second.synack()
        first.send("A")
        wait_counter(b, "TcpPassiveOpens", 1, since)
        for _ in range(3):
            second.send("A")
        wait_counter(b, "TcpExtListenOverflows", 3, since)
    return {b: {"listenoverflows": 3, "listendrops": 3}}


def syns_unanswered(a, b, ghost):
    since = proc_counters(b)
    clients = [b.socket() for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        assert client.connect_ex((ghost.address, 99)) == errno.EINPROGRESS
    wait_counter(b, "TcpExtTCPSynRetrans", 3, since)
    for client in clients:
        client.close()
    return {b: {"tcpsynretrans": 3, "tcptimeouts": 3}}


def one_segment_lost(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 83) as server:
        conn, child = established(ghost, server, mss=500)
        step = 500 - 12
        child.send(b"x" * 8 * step)
        while conn.receive().seq < conn.ack + 5 * step:
            pass
        for n in range(2, 6):
            conn.send("A", sack=[(conn.ack + step, conn.ack + step * n)])
        again = conn.receive()
        while again.seq != conn.ack:
            again = conn.receive()
        assert len(again.data) == step
        conn.ack += 8 * step
        conn.send("A")
        wait_counter(b, "TcpExtTCPFastRetrans", 1, since)
    return {b: {"tcpfastretrans": 1}}


def resend_refused_here(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 84) as server:
        conn, child = established(ghost, server)
        child.send(b"x")
        conn.expect("A")
        with Drop(b, "output", "tcp sport 84") as rule:
            wait_counter(b, "TcpExtTCPRetransFail", 1, since)
            conn.ack += 1
            conn.send("A")
            wait_for(lambda: "unacked" not in b.run("ss", "-tinH", "sport = :84").stdout, what="the ACK")
            dropped = rule.count()
    assert dropped >= 1
    return {b: {"tcpretransfail": dropped}}


def closed_unread(a, b, ghost):
    with Listener(b, 85) as server:
        for _ in range(3):
            conn, child = established(ghost, server)
            conn.push(b"hello")
            wait_for(lambda: len(child.recv(9, socket.MSG_PEEK)) == 5)
            child.close()
            conn.expect("RA")
    return {b: {"tcpabortonclose": 3}}


def given_up(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 86) as server:
        for _ in range(2):
            child = established(ghost, server)[1]
            child.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 300)
            child.send(b"x")
        wait_counter(b, "TcpExtTCPAbortOnTimeout", 2, since)
        assert [child.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for child in server.children] == [errno.ETIMEDOUT] * 2
    return {b: {"tcpabortontimeout": 2}}


def no_linger_in_fin_wait2(a, b, ghost):
    with Listener(b, 87) as server:
        conn, child = established(ghost, server)
        child.setsockopt(socket.IPPROTO_TCP, TCP_LINGER2, -1)
        child.shutdown(socket.SHUT_WR)
        conn.ack = conn.expect("FA").seq + 1
        conn.send("A")
        wait_for(lambda: "FIN-WAIT-2" in b.run("ss", "-tanH", "sport = :87").stdout, what="FIN_WAIT2")
        child.close()
        conn.expect("RA")
    return {b: {"tcpabortonlinger": 1}}


def linger_0_and_late_data(a, b, ghost):
    with Listener(b, 88) as server:
        for _ in range(2):
            conn, child = established(ghost, server)
            abort(child)
            conn.expect("RA")
        conn, child = established(ghost, server)
        child.close()
        conn.ack = conn.expect("FA").seq + 1
        conn.push(b"late")
        conn.expect("R")
    return {b: {"tcpabortondata": 3}}


def reset_cannot_leave(a, b, ghost):
    with Listener(b, 89) as server, Drop(b, "output", "tcp sport 89 tcp flags & (rst) == rst") as rule:
        for _ in range(2):
            abort(established(ghost, server)[1])
        wait_for(lambda: rule.count() == 2, what="two RSTs")
    return {b: {"tcpabortfailed": 2, "tcpabortondata": 2}}


def ack_skipped(key, send, since, b):
    """Four segments in one rate-limit window: the first is answered, three are not."""
    for _ in range(4):
        send()
    wait_counter(b, "TcpExtTCPACKSkipped" + key, 3, since)


def acks_skipped_for_syns(a, b, ghost):
    with Listener(b, 90) as server:
        since = proc_counters(b)
        half = ghost.syn(90)
        half.synack()
        ack_skipped("SynRecv", lambda: half.send("S", seq=half.seq - 1, options=half.syn_options()), since, b)
        half.send("R")
        wait_counter(b, "TcpExtEmbryonicRsts", 1, since)
        conn = established(ghost, server)[0]
        ack_skipped("Challenge", lambda: conn.send("S"), since, b)
    return {b: {"tcpackskippedsynrecv": 3, "tcpackskippedchallenge": 3, "tcpsynretrans": 1, "embryonicrsts": 1}}


def acks_skipped_in_a_connection(a, b, ghost):
    with Listener(b, 91) as server:
        since = proc_counters(b)
        conn = established(ghost, server)[0]
        ack_skipped("PAWS", lambda: conn.send("A", seq=conn.seq + 1, tsval=100), since, b)
        conn = established(ghost, server)[0]
        ack_skipped("Seq", lambda: conn.send("A", seq=conn.seq - 5000), since, b)
    return {b: {"tcpackskippedpaws": 3, "pawsestab": 4, "tcpackskippedseq": 3}}


def acks_skipped_after_the_end(a, b, ghost):
    with Listener(b, 92) as server:
        since = proc_counters(b)
        for key, fin, state in (("FinWait2", "A", "FIN-WAIT-2"), ("TimeWait", "FA", "TIME-WAIT")):
            conn, child = established(ghost, server)
            child.close()
            conn.ack = conn.expect("FA").seq + 1
            conn.send(fin)
            conn.seq += fin == "FA"
            wait_for(lambda: state in b.run("ss", "-tanH", f"dport = :{conn.sport}").stdout, what=state)
            ack_skipped(key, lambda: conn.send("A", seq=conn.seq - 5000), since, b)
    return {b: {"tcpackskippedfinwait2": 3, "tcpackskippedtimewait": 3}}


def no_receive_memory(a, b, ghost):
    with Listener(b, 93) as server:
        conn, child = established(ghost, server)
        child.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        since = proc_counters(b)
        for n in range(1, 20):
            conn.push(b"x" * 1000)
            wait_counter(b, "TcpInSegs", n, since)
            if proc_counters(b)["TcpExtTCPRcvQDrop"] > since["TcpExtTCPRcvQDrop"]:
                break
    return {b: {"tcprcvqdrop": 1}}


def answer_of_another_time(a, b, ghost):
    since = proc_counters(b)
    client = b.socket()
    client.setblocking(False)
    client.connect_ex((ghost.address, 94))
    syn = ghost.receive(94)
    conn = Conn(ghost, 94, syn.sport)
    conn.ack, conn.tsecr = syn.seq + 1, syn.tsval - 100000
    conn.send("SA", options=conn.syn_options())
    conn.expect("R")
    wait_counter(b, "TcpExtPAWSActive", 1, since)
    client.close()
    return {b: {"pawsactive": 1}}


def half_open_reset(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 95):
        for _ in range(3):
            half = ghost.syn(95)
            half.synack()
            half.send("R")
        wait_counter(b, "TcpExtEmbryonicRsts", 3, since)
    return {b: {"embryonicrsts": 3}}


def window_of_the_peer_closed(a, b, ghost):
    with Listener(b, 96) as server:
        conn = ghost.syn(96)
        conn.synack()
        conn.send("A", window=0)
        server.accept().send(b"x" * 100)
        probes, segment = 0, conn.receive()
        while not segment.data:
            assert segment.seq == conn.ack - 1
            probes += 1
            conn.send("A")
            segment = conn.receive()
        conn.ack += 100
        conn.send("A")
        wait_for(lambda: "unacked" not in b.run("ss", "-tinH", "sport = :96").stdout, what="the ACK")
    return {b: {"tcpwinprobe": probes}}


def idle_with_keepalive(a, b, ghost):
    since = proc_counters(b)
    with Listener(b, 97) as server:
        pairs = [established(ghost, server) for _ in range(3)]
        for _, child in pairs:
            child.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            child.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 100)
            child.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        for conn, _ in pairs:
            assert conn.receive().seq == conn.ack - 1
        wait_counter(b, "TcpExtTCPKeepAlive", 3, since)
    return {b: {"tcpkeepalive": 3}}


def stream(a, b, port, rounds, until):
    """Sends from a to b until the condition holds."""
    with Listener(b, port) as server:
        client = a.socket()
        client.connect(("10.9.0.2", port))
        child = server.accept()
        reader = threading.Thread(target=lambda: all(iter(lambda: child.recv(1 << 20), b"")))
        reader.start()
        try:
            for n in range(rounds):
                client.send(b"x" * 8000)
                if n % 20 == 0 and until():
                    break
            wait_for(lambda: "unacked" not in a.run("ss", "-tinH", f"dport = :{port}").stdout, what="the ACKs")
        finally:
            client.shutdown(socket.SHUT_WR)
            reader.join()
            abort(client)


def mtu_probed(a, b, ghost):
    """Upwards from 512: three probes pass, the path swallows the larger ones until probing is content."""
    a.sh("sysctl -qw net.ipv4.tcp_mtu_probing=2 net.ipv4.tcp_base_mss=512; ip link set va gso_max_segs 1")
    since = proc_counters(a)

    def grown(key):
        return proc_counters(a)["TcpExtTCPMTUP" + key] - since["TcpExtTCPMTUP" + key]

    try:
        with Drop(b, "prerouting", "tcp dport 98 ip length gt 900") as rule:
            stream(a, b, 98, 3000, lambda: grown("Fail") and grown("Success"))
            dropped = rule.count()
    finally:
        a.sh("sysctl -qw net.ipv4.tcp_mtu_probing=0 net.ipv4.tcp_base_mss=1024; ip link set va gso_max_segs 65535")
    assert dropped
    return {a: {"tcpmtupfail": dropped, "tcpmtupsuccess": grown("Success")}}


def our_window_closed(a, b, ghost):
    """From 6.18 a segment past a closed window counts elsewhere while data are queued; so the window is closed by a
    segment out of order, which takes a kernel that lets it shrink. Older ones need a full queue."""
    shrink = os.path.exists("/proc/sys/net/ipv4/tcp_shrink_window")
    if shrink:
        b.sh("sysctl -qw net.ipv4.tcp_shrink_window=1")
    with Listener(b, 100) as server:
        if not shrink:
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
        conn, child = established(ghost, server, wscale=0)
        conn.send("PA", b"x" * (1000 if shrink else 200), seq=conn.seq + (1000 if shrink else 0))
        child.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 if shrink else 2000)
        answer = conn.receive()
        for _ in range(60):
            if not answer.window:
                break
            conn.seq = answer.ack
            conn.send("PA", b"x" * (1000 if shrink else 200), seq=conn.seq + (1000 if shrink else 0))
            answer = conn.receive()
        assert not answer.window
        conn.seq = answer.ack
        since = proc_counters(b)
        for _ in range(3):
            conn.send("PA", b"x" * 200)
        wait_counter(b, "TcpExtTCPZeroWindowDrop", 3, since)
    return {b: {"tcpzerowindowdrop": 3}}


class SlowPage:
    """A page of memory whose first touch waits until release(): a system call that writes to it holds its locks."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        number = {"x86_64": 323, "aarch64": 282}[platform.machine()]
        self.fd = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK)
        assert self.fd >= 0, f"userfaultfd: {os.strerror(ctypes.get_errno())}"
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.call(0x3f, struct.pack("QQQ", 0xaa, 0, 0))
        self.call(0x00, struct.pack("QQQQ", self.address, mmap.PAGESIZE, 1, 0))

    def call(self, number, data):
        fcntl.ioctl(self.fd, 3 << 30 | len(data) << 16 | 0xaa << 8 | number, bytearray(data))

    def touched(self):
        return select.select([self.fd], [], [], 10)[0]

    def release(self):
        self.call(0x04, struct.pack("QQQq", self.address, mmap.PAGESIZE, 0, 0))
        os.close(self.fd)


def socket_locked_by_its_reader(a, b, ghost):
    page, since = SlowPage(), proc_counters(b)
    with Listener(b, 101) as server:
        conn, child = established(ghost, server)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            child.setsockopt(socket.SOL_SOCKET, option, 1)
        conn.push(b"x" * 10)
        reader = threading.Thread(target=lambda: child.recv_into(page.memory, 10))
        reader.start()
        try:
            assert page.touched()
            for _ in range(200):
                conn.send("PA", b"y" * 1400)
            wait_counter(b, "TcpInSegs", 203, since)
            dropped = int(b.run("ss", "-tmnH", "sport = :101").stdout.split(",d")[1].split(")")[0])
        finally:
            page.release()
            reader.join()
    assert 0 < dropped < 200
    return {b: {"tcpbacklogdrop": dropped}}


def queue_not_to_be_split(a, b, ghost):
    """Megabytes queued, then the limit lowered; a SACK in the middle of a segment asks to split it."""
    since = proc_counters(b)
    b.sh("sysctl -qw net.ipv4.tcp_wmem='4096 16384 16777216'")
    with Listener(b, 102) as server:
        conn, child = established(ghost, server, wscale=10)
        child.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        child.setblocking(False)
        sent = 0
        while sent < 4 << 20:
            sent += child.send(b"x" * 65536)
        # The window grows as long as all that comes is acknowledged; four segments under way have two in the middle.
        flight = []
        while len(flight) < 4 or len(flight[1].data) < 4 * 1448:
            segment = conn.receive()
            if len(flight) < 4:
                flight.append(segment)
            if len(flight) == 4 and len(flight[1].data) < 4 * 1448:
                conn.ack = max(s.seq + len(s.data) for s in flight)
                conn.send("A")
                flight = []
        child.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        left = flight[1].seq + 1448
        conn.send("A", sack=[(left, left + 1448)])
        wait_counter(b, "TcpExtTCPWqueueTooBig", 1, since)
    return {b: {"tcpwqueuetoobig": 1}}


# The case, and the counters of the contract that it is there for.
CASES = {
    accept_queue_full: "listenoverflows listendrops",
    final_ack_refused: "listenoverflows listendrops",
    syns_unanswered: "tcpsynretrans tcptimeouts",
    one_segment_lost: "tcpfastretrans",
    resend_refused_here: "tcpretransfail",
    closed_unread: "tcpabortonclose",
    given_up: "tcpabortontimeout",
    no_linger_in_fin_wait2: "tcpabortonlinger",
    linger_0_and_late_data: "tcpabortondata",
    reset_cannot_leave: "tcpabortfailed",
    acks_skipped_for_syns: "tcpackskippedsynrecv tcpackskippedchallenge",
    acks_skipped_in_a_connection: "tcpackskippedpaws tcpackskippedseq pawsestab",
    acks_skipped_after_the_end: "tcpackskippedfinwait2 tcpackskippedtimewait",
    no_receive_memory: "tcprcvqdrop",
    answer_of_another_time: "pawsactive",
    half_open_reset: "embryonicrsts",
    window_of_the_peer_closed: "tcpwinprobe",
    idle_with_keepalive: "tcpkeepalive",
    mtu_probed: "tcpmtupfail tcpmtupsuccess",
    our_window_closed: "tcpzerowindowdrop",
    socket_locked_by_its_reader: "tcpbacklogdrop",
    queue_not_to_be_split: "tcpwqueuetoobig",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_moves_by_what_was_caused(net, case):
    a, b, quiet, ghost = net
    watch = Watch("tcpext", a, b, quiet)
    caused = case(a, b, ghost)
    grown = watch.grown()
    where = a if case is mtu_probed else b
    assert set(CASES[case].split()) <= set(caused[where])
    assert {name: n for name, n in grown[where].items() if name in caused[where]} == caused[where]
    assert not set(caused[where]) & set(grown[b if where is a else a]), "the side without a fault has it, too"
    assert grown[quiet] == {}


def test_every_counter_of_the_contract_has_a_case():
    contract = {line.split("\t")[1].split("_")[-1] for line in skoop("tcpext", "--describe").stdout.splitlines()
                if line.startswith("metric\t") and line.split("\t")[5] == "contract"}
    assert {name for names in CASES.values() for name in names.split()} | set(NOT_MOVED) == contract


def test_drops_are_a_part_of_all(trio):  # noqa: F811
    a, b, _ = trio
    everything = values(records("tcpext", "-n", b.name, "-a"))
    drops = values(records("tcpext", "-n", b.name, "--drops"))
    assert drops.items() <= everything.items()
    assert {"kubeskoop_tcpext_" + n for n in ("listenoverflows", "tcprcvqdrop", "rcvpruned", "tcpreqqfulldrop")} <= set(drops)
    assert not {"kubeskoop_tcpext_" + n for n in ("tcpsynretrans", "tcpkeepalive", "tcpdelivered")} & set(drops)
    assert drops == values(records("tcpext", "-n", b.name, "--drops", "-a"))


@pytest.fixture
def limits():
    """Limits of the machine, put back afterwards; only on machines that are the tests' own."""
    if not os.environ.get("SKOOP_VM"):
        pytest.skip("a machine of the tests' own: tcp_mem and tcp_max_orphans are everybody's")
    names = [f"/proc/sys/net/ipv4/{n}" for n in ("tcp_mem", "tcp_max_orphans")]
    before = [open(n).read() for n in names]
    yield
    for name, text in zip(names, before):
        with open(name, "w") as f:
            f.write(text)


def write(name, text):
    with open(f"/proc/sys/net/ipv4/{name}", "w") as f:
        f.write(text)


def test_limits_of_the_machine(net, limits):
    a, b, quiet, ghost = net
    watch = Watch("tcpext", a, b, quiet)
    since = proc_counters(b)
    with Listener(b, 110) as server:
        children = [established(ghost, server)[1] for _ in range(3)]
        for child in children:
            child.send(b"x" * 5000)
        write("tcp_max_orphans", "0")
        for child in children:
            child.close()
        wait_counter(b, "TcpExtTCPAbortOnMemory", 3, since)
        write("tcp_max_orphans", "4096")
        write("tcp_mem", "1 2 100000")
        child = established(ghost, server)[1]
        child.setblocking(False)
        child.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        sent = 0
        while sent < 2 << 20:
            sent += child.send(b"x" * 65536)
        wait_counter(b, "TcpExtTCPMemoryPressures", 1, since)
        write("tcp_mem", "100000 200000 300000")
    grown = watch.grown()
    assert grown[b]["tcpabortonmemory"] == 3 and grown[b]["tcpmemorypressures"] >= 1
    assert grown[quiet] == {} and not {"tcpabortonmemory", "tcpmemorypressures"} & set(grown[a])
