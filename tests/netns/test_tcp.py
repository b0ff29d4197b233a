# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-tcp in real namespaces: its ten counters moved by what was caused, and compared with nstat and ss."""
import socket

import pytest

from exact import Listener, Watch, abort, proc_counters, trio, wait_counter  # noqa: F401
from ghost import Ghost, tcp_segment
from skooplib import records, values

pytestmark = pytest.mark.kernels


@pytest.fixture(scope="module")
def net(trio):  # noqa: F811
    a, b, quiet = trio
    ghost = Ghost(a, b)
    yield a, b, quiet, ghost
    ghost.close()


def currestab(ns):
    """By ss, in both families: ESTABLISHED and CLOSE_WAIT."""
    return len(ns.run("ss", "-tnH", "state", "established", "state", "close-wait").stdout.splitlines())


@pytest.mark.parametrize("family,address", [(socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd00:9::2")], ids=["v4", "v6"])
def test_connections(net, family, address):
    a, b, quiet, _ = net
    watch = Watch("tcp", a, b, quiet)
    before = [currestab(ns) for ns in (a, b)]
    with Listener(b, 80, address=address, family=family) as server:
        clients = [a.socket(family) for _ in range(3)]
        for client in clients:
            client.connect((address, 80))
            server.accept()
        clients[0].shutdown(socket.SHUT_WR)  # the other side in CLOSE_WAIT is still one
        server.children[0].recv(1)
        grown = watch.grown()
        assert grown[a]["activeopens"] == 3 and "passiveopens" not in grown[a]
        assert grown[b]["passiveopens"] == 3 and "activeopens" not in grown[b]
        assert [currestab(ns) - n for ns, n in zip((a, b), before)] == [2, 3]
        assert (grown[a]["currestab"], grown[b]["currestab"]) == (2, 3)
        assert grown[quiet] == {}
        # Both ends say the same of the segments, since nothing was merged and nothing lost.
        assert grown[a]["outsegs"] == grown[b]["insegs"] and grown[a]["insegs"] == grown[b]["outsegs"]
        for client in clients:
            abort(client)


def test_segments_one_by_one(net):
    """SYN, ACK and three segments of data in; SYN-ACK and an ACK for each out."""
    a, b, quiet, ghost = net
    watch = Watch("tcp", a, b, quiet)
    with Listener(b, 81) as server:
        conn = ghost.connect(81)
        child = server.accept()
        for n in range(3):
            conn.push(b"x")
            assert child.recv(9) == b"x"
        grown = watch.grown()
        out = 1
        while conn.ghost.waiting[conn.sport] or out < grown[b]["outsegs"]:
            conn.receive()
            out += 1
    assert grown[b]["insegs"] == 5 and grown[b]["outsegs"] == out and grown[b]["passiveopens"] == 1
    assert grown[quiet] == {} and grown[a] == {}


def test_refused_and_reset(net):
    a, b, quiet, _ = net
    watch = Watch("tcp", a, b, quiet)
    for _ in range(4):
        with a.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("10.9.0.2", 9))
    grown = watch.grown()
    assert grown[a] == {"activeopens": 4, "attemptfails": 4, "outsegs": 4, "insegs": 4}
    assert grown[b] == {"outrsts": 4, "outsegs": 4, "insegs": 4}
    assert grown[quiet] == {}


def test_established_connections_reset(net):
    a, b, quiet, _ = net
    watch = Watch("tcp", a, b, quiet)
    since = proc_counters(a)
    with Listener(b, 82) as server:
        for _ in range(3):
            client = a.socket()
            client.connect(("10.9.0.2", 82))
            abort(server.accept())
        wait_counter(a, "TcpEstabResets", 3, since)
        grown = watch.grown()
    assert grown[b]["estabresets"] == grown[a]["estabresets"] == 3
    assert grown[b]["outrsts"] == 3 and "outrsts" not in grown[a]
    assert grown[quiet] == {}


def test_sent_again(net):
    """A repeated SYN has its SYN-ACK sent again; a lost segment is another's case (test_tcpext)."""
    a, b, quiet, ghost = net
    watch = Watch("tcp", a, b, quiet)
    since = proc_counters(b)
    with Listener(b, 83):
        half = ghost.syn(83)
        half.synack()
        half.send("S", seq=half.seq - 1, options=half.syn_options())
        wait_counter(b, "TcpRetransSegs", 1, since)
        half.send("R")
        wait_counter(b, "TcpAttemptFails", 1, since)
    grown = watch.grown()
    assert grown[b]["retranssegs"] == 1 and grown[b]["attemptfails"] == 1
    assert grown[quiet] == {} and grown[a] == {}


def test_bad_segments(net):
    """Wrong checksums, and SYNs in the middle of a connection."""
    a, b, quiet, ghost = net
    watch = Watch("tcp", a, b, quiet)
    since = proc_counters(b)
    with Listener(b, 84) as server:
        conn = ghost.connect(84)
        server.accept()
        for _ in range(3):
            ghost.send_ip(6, tcp_segment(ghost.address, ghost.target, conn.sport, 84, conn.seq, conn.ack, "A",
                                         bad_checksum=True))
        for _ in range(2):
            conn.send("S")
        wait_counter(b, "TcpInErrs", 5, since)
        grown = watch.grown()
    assert grown[b]["inerrs"] == 5 and grown[b]["incsumerrors"] == 3
    assert grown[quiet] == {} and grown[a] == {}


def test_constants(net):
    """What never adds up and nstat leaves out: only with -a, and signed where the kernel's is."""
    a, b, _, _ = net
    told = values(records("tcp", "-n", b.name, "-a"))
    have = proc_counters(b)
    for name, value in (("RtoAlgorithm", 1), ("RtoMin", 200), ("RtoMax", 120000), ("MaxConn", -1)):
        assert told[f"kubeskoop_tcp_{name.lower()}"] == have["Tcp" + name] == value
    assert len(values(records("tcp", "-n", b.name))) == 10
