# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-udp in real namespaces: its eight counters moved by what was caused, and compared with nstat, ss and tc."""
import json
import socket
import struct

import pytest

from exact import Watch, proc_counters, snmp6, trio, wait_counter  # noqa: F401
from ghost import Ghost, checksum
from skooplib import records, values, wait_for

pytestmark = pytest.mark.kernels

# Not moved here: memerrors (-a), for udp_mem is the machine's. It is compared with nstat like all others.


def receiver(ns, address, port, family=socket.AF_INET, buffer=None):
    sock = ns.socket(family, socket.SOCK_DGRAM)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


def drain(sock):
    n = 0
    try:
        while sock.recv(1 << 16):
            n += 1
    except BlockingIOError:
        return n


@pytest.mark.parametrize("family,address,suffix", [(socket.AF_INET, "10.9.0.2", ""), (socket.AF_INET6, "fd00:9::2", "/ipv6")],
                         ids=["v4", "v6"])
def test_sent_read_and_nobody_there(trio, family, address, suffix):  # noqa: F811
    """Read counts when the program reads, not on arrival. IPv6 is told apart by a label."""
    a, b, quiet = trio
    watch = Watch("udp", a, b, quiet)

    def refused():
        return proc_counters(b)["UdpNoPorts"] if family == socket.AF_INET else snmp6(b, "Udp6NoPorts")

    since = refused()
    with receiver(b, address, 70, family) as sink, a.socket(family, socket.SOCK_DGRAM) as source:
        for _ in range(5):
            source.sendto(b"x", (address, 70))
        for _ in range(3):
            with a.socket(family, socket.SOCK_DGRAM) as other:  # each its own: an ICMP error comes back
                other.sendto(b"x", (address, 9))
        wait_for(lambda: refused() == since + 3, what="three datagrams")
        grown = watch.grown()
        assert grown[b] == {"noports" + suffix: 3}
        assert grown[a] == {"outdatagrams" + suffix: 8}
        assert drain(sink) == 5
    assert watch.grown()[b] == {"noports" + suffix: 3, "indatagrams" + suffix: 5}
    assert watch.grown()[quiet] == {}


def test_buffer_of_a_reader_that_does_not_read(trio):  # noqa: F811
    a, b, quiet = trio
    watch = Watch("udp", a, b, quiet)
    since = proc_counters(b)
    with receiver(b, "10.9.0.2", 71, buffer=1) as sink, a.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        for _ in range(50):
            source.sendto(b"x" * 1000, ("10.9.0.2", 71))
        wait_counter(b, "UdpRcvbufErrors", 40, since)
        watch.grown()
        dropped = int(b.run("ss", "-uamnH", "sport = :71").stdout.split(",d")[1].split(")")[0])
        read = drain(sink)
    grown = watch.grown()
    assert grown[b] == {"rcvbuferrors": dropped, "inerrors": dropped, "indatagrams": read}
    assert dropped + read == 50
    assert grown[quiet] == {}


def test_bad_checksums(trio):  # noqa: F811
    a, b, quiet = trio
    ghost = Ghost(a, b)
    watch = Watch("udp", a, b, quiet)
    with receiver(b, "10.9.0.2", 72) as sink:
        for wrong in (0, 0x5555, 0x5555, 0):
            head = struct.pack("!HHHH", 1111, 72, 9, 0) + b"x"
            pseudo = socket.inet_aton(ghost.address) + socket.inet_aton(ghost.target) + struct.pack("!BBH", 0, 17, 9)
            ghost.send_ip(17, head[:6] + struct.pack("!H", checksum(pseudo + head) ^ wrong) + b"x")
        read = 0
        while read < 2:
            read += drain(sink)
    ghost.close()
    grown = watch.grown()
    assert grown[b] == {"incsumerrors": 2, "inerrors": 2, "indatagrams": 2}
    assert grown[quiet] == {} and grown[a] == {}


def test_broadcast_nobody_wants(trio):  # noqa: F811
    a, b, quiet = trio
    watch = Watch("udp", a, b, quiet)
    since = proc_counters(b)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(3):
            source.sendto(b"x", ("10.9.0.255", 73))
    wait_counter(b, "UdpIgnoredMulti", 3, since)
    grown = watch.grown()
    assert grown[b] == {"ignoredmulti": 3} and grown[quiet] == {}


def test_full_queue_below_the_socket(trio):  # noqa: F811
    """The program sees no error; tc counted what its queue refused."""
    a, b, quiet = trio
    a.sh("tc qdisc add dev va root tbf rate 8kbit burst 1600 limit 2000")
    watch = Watch("udp", a, b, quiet)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        for _ in range(20):
            assert source.sendto(b"x" * 500, ("10.9.0.2", 9)) == 500
        drops = json.loads(a.run("tc", "-s", "-j", "qdisc", "show", "dev", "va").stdout)[0]["drops"]
    a.sh("tc qdisc del dev va root")
    grown = watch.grown()
    assert 10 <= drops <= 16  # 15, less what the queue sends meanwhile
    assert grown[a] == {"outdatagrams": 20 - drops, "sndbuferrors": drops} and grown[quiet] == {}


def test_only_with_all(trio):  # noqa: F811
    _, b, _ = trio
    assert len(values(records("udp", "-n", b.name))) == 8
    assert not values(records("udp", "-n", b.name), family="ipv6")
    assert len(values(records("udp", "-n", b.name, "-a"), family="ipv6")) >= 8
