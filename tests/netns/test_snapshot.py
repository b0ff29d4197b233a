# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults caused for real: each is the first thing `skoop snapshot` names, for the right target; the sibling is silent."""
import contextlib
import socket
import struct

import pytest

from skooplib import PATIENCE, Netns, nstat, veth, wait_for
from snapshotlib import Snapshot, assert_explains, assert_found

A, B = "10.9.0.1", "10.9.0.2"


def listener(ns, port=5000, backlog=100, address=B):
    s = ns.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(backlog)
    return s


def start_connect(ns, port=5000, address=B):
    """A connect that nobody waits for."""
    s = ns.socket()
    s.setblocking(False)
    s.connect_ex((address, port))
    return s


def connected(client, server, n, port=5000, buffers=0):
    """n connections from client's namespace to server's: [(client end, server end)]."""
    pairs = []
    with listener(server, port, 128) as lst:
        if buffers:
            lst.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        for _ in range(n):
            c = client.socket()
            if buffers:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            c.connect((B, port))
            pairs.append((c, lst.accept()[0]))
    return pairs


def close_all(*sockets):
    for s in sockets:
        s.close()


def udp(ns):
    return ns.socket(socket.AF_INET, socket.SOCK_DGRAM)


def send(sock, data, address):
    """A datagram whose failure is somebody's finding, not ours."""
    with contextlib.suppress(OSError):
        sock.sendto(data, address)


def nft(ns, hook, rule):
    ns.sh(f"nft add table ip t; nft 'add chain ip t {hook} {{ type filter hook {hook} priority 0; }}'; nft add rule ip t {hook} {rule}")


def ip_packet(src, dst, proto, payload, ident=1, flags=0, ttl=64):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, flags, ttl, proto, 0, socket.inet_aton(src),
                       socket.inet_aton(dst)) + payload


def raw(ns):
    return ns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


@pytest.fixture
def router(quiet):
    """a (10.9.0.1) - r - c (10.8.0.2); a's default route leads to r."""
    with Netns("a") as a, Netns("r") as r, Netns("c") as c:
        veth(a, r)
        veth(r, c, "rc", "cr", 8)
        a.sh("ip route add default via 10.9.0.2")
        c.sh("ip route add default via 10.8.0.1")
        r.sh("sysctl -qw net.ipv4.ip_forward=1")
        yield a, r, c, quiet


# ---- opening connections ----

@pytest.mark.kernels
def test_accept_queue_overflow(pair):
    a, b, quiet = pair
    tries = []
    with listener(b, backlog=1):
        while len(tries) < 4:  # the queue is full before the first sample
            tries.append(start_connect(a))
        snap = Snapshot(a, b, quiet, seconds=3).sampled()
        tries += [start_connect(a) for _ in range(20)]
        report = snap.report()
        found = assert_found(report, "accept-queue-overflow", b, [a], quiet)
        assert found["severity"] == "critical" and found["numbers"]["refused"] >= 20
        assert_explains(report, found, "connect-unanswered", a)
    close_all(*tries)


def test_blocked_syns(pair):
    a, b, quiet = pair  # who drops them is not looked at, as if it were elsewhere
    nft(b, "input", "tcp flags syn drop")
    snap = Snapshot(a, quiet, seconds=3).sampled()
    tries = [start_connect(a) for _ in range(5)]
    report = snap.report()
    found = assert_found(report, "connect-unanswered", a, [], quiet)
    assert found["severity"] == "warning" and found["numbers"]["waiting"] == 5
    close_all(*tries)


def test_refused_connects(pair):
    a, b, quiet = pair
    snap = Snapshot(a, b, quiet).sampled()
    tries = [start_connect(a, 4999) for _ in range(100)]
    report = snap.report()
    found = assert_found(report, "connect-refused", a, [b], quiet)
    assert found["severity"] == "warning" and found["numbers"] == {"refused": 100, "tried": 100}
    close_all(*tries)
    assert [f["id"] for f in report.of(b)] == ["closed-port"]


def test_synack_blocked(pair):
    a, b, quiet = pair
    nft(b, "output", "tcp flags '&' '(syn|ack)' == 'syn|ack' drop")
    with listener(b):
        tries = [start_connect(a) for _ in range(5)]
        snap = Snapshot(a, b, quiet, seconds=3).sampled()
        tries += [start_connect(a) for _ in range(5)]
        report = snap.report()
    found = assert_found(report, "synack-blocked", b, [a], quiet)
    assert_explains(report, found, "connect-unanswered", a)
    close_all(*tries)


def test_clients_do_not_finish(pair):
    a, b, quiet = pair
    nft(a, "input", "tcp flags '&' '(syn|ack)' == 'syn|ack' drop")
    with listener(b):
        tries = [start_connect(a) for _ in range(8)]
        snap = Snapshot(b, quiet, seconds=3).sampled()
        tries += [start_connect(a) for _ in range(8)]
        report = snap.report()
    found = assert_found(report, "synack-unanswered", b, [], quiet)
    assert found["numbers"]["waiting"] == 8
    close_all(*tries)


def test_syn_queue_full_without_cookies(pair):
    a, b, quiet = pair
    b.sh("sysctl -qw net.ipv4.tcp_syncookies=0")
    nft(a, "input", "tcp flags '&' '(syn|ack)' == 'syn|ack' drop")
    with listener(b, backlog=4):
        snap = Snapshot(b, quiet).sampled()
        tries = [start_connect(a) for _ in range(30)]
        found = assert_found(snap.report(), "syn-queue-drop", b, [], quiet)
    assert found["severity"] == "critical"
    close_all(*tries)


# ---- resets and closes ----

def test_reset_storm(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 60)
    snap = Snapshot(a, b, quiet).sampled()
    for _, server in pairs:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
    report = snap.report()
    assert_found(report, "reset-storm", a, [b], quiet)
    # Both ends lost 60 live connections; b sent the resets.
    storms = {f["labels"]["target_pod"]: f for f in report.findings if f["id"] == "reset-storm"}
    assert storms[a.pod]["numbers"] == {"reset": 60, "sent": 0}
    assert storms[b.pod]["numbers"] == {"reset": 60, "sent": 60}
    assert storms[a.pod]["severity"] == storms[b.pod]["severity"] == "warning"
    close_all(*(c for c, _ in pairs))


def test_closed_with_unread_data(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 30)
    for client, server in pairs:
        client.sendall(b"x" * 1000)
        wait_for(lambda: server.recv(1000, socket.MSG_PEEK), what="data")
    snap = Snapshot(b, quiet).sampled()
    close_all(*(server for _, server in pairs))
    found = assert_found(snap.report(), "close-unread", b, [], quiet)
    assert found["severity"] == "warning" and found["numbers"] == {"closed": 30}
    close_all(*(c for c, _ in pairs))


def test_close_wait_pile(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 60)
    close_all(*(c for c, _ in pairs))
    report = Snapshot(a, b, quiet, seconds=1).report()
    found = assert_found(report, "close-wait", b, [a], quiet)
    assert found["severity"] == "warning" and found["numbers"]["waiting"] == 60
    close_all(*(s for _, s in pairs))


def test_time_wait_limit(pair):
    a, b, quiet = pair
    a.sh("sysctl -qw net.ipv4.tcp_max_tw_buckets=5")
    snap = Snapshot(a, b, quiet).sampled()
    for client, server in connected(a, b, 20):
        client.close()
        server.close()
    found = assert_found(snap.report(), "time-wait-limit", a, [b], quiet)
    assert found["numbers"]["skipped"] == nstat(a)["TcpExtTCPTimeWaitOverflow"] > 0


def test_port_exhaustion(pair):
    a, b, quiet = pair
    a.sh("sysctl -qw net.ipv4.ip_local_port_range='40000 40019'")
    pairs = connected(a, b, 19)
    report = Snapshot(a, b, quiet, seconds=1).report()
    found = assert_found(report, "port-exhaustion", a, [b], quiet)
    assert found["severity"] == "critical" and found["numbers"] == {"used": 19, "ports": 20}
    assert found["labels"]["raddr"] == B and found["labels"]["rport"] == "5000"
    close_all(*(s for both in pairs for s in both))


# ---- programs that do not read ----

def fill(sock):
    """Writes until nothing more goes in."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


def stalled(a, b, spaces, port):
    """The report of a window in which b's programs read nothing: one large connection is full before, others get so."""
    pairs = connected(a, b, 1, port, buffers=1 << 18) + connected(a, b, 4, port, buffers=1 << 17)
    fill(pairs[0][0])
    snap = Snapshot(*spaces).sampled()
    for client, _ in pairs[1:]:
        fill(client)
    report = snap.report()
    close_all(*(s for both in pairs for s in both))
    return report


def test_reader_does_not_read(pair):
    a, b, quiet = pair
    report = stalled(a, b, [a, b, quiet], 5000)
    found = assert_found(report, "reader-slow", b, [a], quiet)
    assert found["numbers"]["unread_bytes"] >= 65536
    assert_explains(report, found, "peer-not-reading", a)


def test_reader_elsewhere_does_not_read(pair):
    a, b, quiet = pair
    report = stalled(a, b, [a, quiet], 5001)
    found = assert_found(report, "peer-not-reading", a, [], quiet)
    assert found["numbers"]["waiting_bytes"] >= 65536


def test_udp_receive_buffer_overflow(pair):
    a, b, quiet = pair
    reader, writer = udp(b), udp(a)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.bind((B, 6000))
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x" * 1000, (B, 6000)))
    found = assert_found(snap.report(), "udp-rcvbuf", b, [a], quiet)
    assert found["severity"] == "critical"
    close_all(reader, writer)


def test_udp_closed_port(pair):
    a, b, quiet = pair
    writer = udp(a)
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", (B, 6001)))
    found = assert_found(snap.report(), "udp-no-port", b, [a], quiet)
    assert found["severity"] == "warning"
    writer.close()


# ---- loss on the way ----

def test_lost_segments(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 4)
    nft(b, "input", "tcp dport 5000 numgen random mod 100 '<' 15 drop")
    for both in pairs:
        for s in both:
            s.setblocking(False)

    def pump():
        for client, server in pairs:
            with contextlib.suppress(BlockingIOError):
                client.send(b"x" * 20000)
            with contextlib.suppress(BlockingIOError):
                server.recv(1 << 20)

    report = Snapshot(a, quiet, seconds=2 + PATIENCE).during(pump).report()
    found = assert_found(report, "retransmit-ratio", a, [], quiet)
    assert found["severity"] in ("warning", "critical")
    close_all(*(s for both in pairs for s in both))


def test_path_dies(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 10)
    nft(b, "input", "drop")
    pairs[0][0].send(b"x" * 3000)
    snap = Snapshot(a, quiet).sampled()
    for client, _ in pairs[1:]:
        client.send(b"x" * 3000)
    found = assert_found(snap.report(), "path-silent", a, [], quiet)
    assert found["numbers"]["timeouts"] >= 5 and found["numbers"]["waiting_bytes"] == 30000
    close_all(*(s for both in pairs for s in both))


def test_large_packets_vanish(pair):
    a, b, quiet = pair
    old = connected(a, b, 1)
    nft(b, "input", "ip length '>' 1000 drop")
    old[0][0].send(b"x" * 2 * 1448)
    snap = Snapshot(a, quiet).sampled()
    new = connected(a, b, 5, port=5001)
    for client, _ in new:
        client.send(b"x" * 2 * 1448)  # whole segments: a short last one would get through
    found = assert_found(snap.report(), "mtu-blackhole", a, [], quiet)
    assert found["severity"] == "warning"
    close_all(*(s for both in old + new for s in both))


def test_broken_checksums(pair):
    a, b, quiet = pair
    reader, writer = udp(b), raw(a)
    reader.bind((B, 6000))
    packet = ip_packet(A, B, socket.IPPROTO_UDP, struct.pack("!HHHH", 1234, 6000, 12, 0xbad) + b"data")
    snap = Snapshot(a, b, quiet).sampled()
    for _ in range(7):
        writer.sendto(packet, (B, 0))
    found = assert_found(snap.report(), "checksum", b, [a], quiet)
    assert found["numbers"] == {"bad": 7}
    close_all(reader, writer)


def test_reassembly_fails(pair):
    a, b, quiet = pair
    b.sh("sysctl -qw net.ipv4.ipfrag_time=1")
    writer = raw(a)
    snap = Snapshot(a, b, quiet, seconds=3).sampled()
    for ident in range(8):  # the first piece of each, and no more
        writer.sendto(ip_packet(A, B, socket.IPPROTO_UDP, b"x" * 64, ident=ident + 1, flags=0x2000), (B, 0))
    found = assert_found(snap.report(), "reassembly", b, [a], quiet)
    assert found["numbers"] == {"failed": 8, "timeout": 8}
    writer.close()


# ---- devices and queues ----

def test_queue_drops(pair):
    a, b, quiet = pair
    a.sh("tc qdisc add dev va root tbf rate 64kbit burst 1600 limit 3000")
    writer, reader = udp(a), udp(b)
    reader.bind((B, 6000))
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x" * 1000, (B, 6000)))
    found = assert_found(snap.report(), "qdisc-drop", a, [b], quiet)
    assert found["severity"] == "critical"
    assert found["labels"]["device"] == "va" and found["labels"]["kind"] == "tbf"
    close_all(writer, reader)


def test_mtu_of_a_veth_pair_differs(pair):
    a, b, quiet = pair
    b.sh("ip link set vb mtu 1000")
    writer = udp(a)
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x" * 1400, (B, 6000)))
    report = snap.report()
    found = assert_found(report, "dev-tx-drop", a, [b], quiet)
    assert found["labels"]["device"] == "va"
    assert_explains(report, found, "unwanted-frames", b)
    writer.close()


def test_link_flaps(pair):
    a, b, quiet = pair
    snap = Snapshot(b, quiet).sampled()
    a.sh("ip link set va down; ip link set va up")
    found = assert_found(snap.report(), "link-flap", b, [], quiet)
    assert found["severity"] == "critical" and found["labels"]["device"] == "vb"


def test_a_link_that_comes_up_is_no_flap(pair):
    a, b, quiet = pair
    a.sh("ip link set va down")
    wait_for(lambda: "NO-CARRIER" in b.run("ip", "link", "show", "vb").stdout, what="the link's end")
    snap = Snapshot(a, b, quiet).sampled()
    a.sh("ip link set va up")
    assert snap.report().of(a, b, quiet) == []


# ---- routes and neighbours ----

def test_no_route_out(pair):
    a, b, quiet = pair
    writer = udp(a)
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", ("203.0.113.1", 9)))
    found = assert_found(snap.report(), "no-route-out", a, [b], quiet)
    assert found["severity"] == "warning"
    writer.close()


def test_no_route_in(router):
    a, r, c, quiet = router
    writer = udp(a)
    snap = Snapshot(a, r, c, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", ("203.0.113.1", 9)))
    assert_found(snap.report(), "no-route-in", r, [a, c], quiet)
    writer.close()


def test_not_forwarding(router):
    a, r, c, quiet = router
    r.sh("sysctl -qw net.ipv4.ip_forward=0")
    writer = udp(a)
    snap = Snapshot(a, r, c, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", ("10.8.0.2", 9)))
    assert_found(snap.report(), "not-forwarding", r, [a, c], quiet)
    writer.close()


def test_reverse_path(pair):
    a, b, quiet = pair
    a.sh("ip addr add 172.16.9.9/32 dev lo")
    b.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1")
    close_all(*connected(a, b, 1)[0])  # b knows a's address, which a request from the other source would not give it
    writer = udp(a)
    writer.bind(("172.16.9.9", 0))
    snap = Snapshot(a, b, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", (B, 9)))
    assert_found(snap.report(), "rp-filter", b, [a], quiet)
    writer.close()


def test_neighbour_does_not_answer(pair):
    a, b, quiet = pair
    a.sh("sysctl -qw net.ipv4.neigh.va.retrans_time_ms=50")
    writer = udp(a)
    snap = Snapshot(a, b, quiet)
    snap.during(lambda: send(writer, b"x", ("10.9.0.99", 9)))
    assert_found(snap.report(), "neighbour-silent", a, [b], quiet)
    writer.close()


def test_too_large_for_the_next_link(router):
    a, r, c, quiet = router
    r.sh("ip link set rc mtu 1000")
    c.sh("ip link set cr mtu 1000")
    writer = udp(a)
    writer.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE: DF, whatever is known of the path
    snap = Snapshot(a, r, c, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x" * 1400, ("10.8.0.2", 9)))
    assert_found(snap.report(), "oversize", r, [a, c], quiet)
    writer.close()


def test_ttl_used_up(router):
    a, r, c, quiet = router
    writer = udp(a)
    writer.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    snap = Snapshot(a, r, c, quiet, seconds=1)
    snap.during(lambda: send(writer, b"x", ("10.8.0.2", 9)))
    found = assert_found(snap.report(), "bad-packets", r, [a, c], quiet)
    assert found["severity"] in ("note", "warning")
    writer.close()


# ---- tables and limits ----

def test_descriptors_run_out(pair):
    a, b, quiet = pair
    holder = b.python("import os,resource,sys\n"
                      "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
                      "fds = [os.dup(0) for _ in range(100 - len(os.listdir('/proc/self/fd')) - 1)]\n"
                      "print(len(os.listdir('/proc/self/fd')) - 1, flush=True)\n"
                      "sys.stdin.read()", stdin=-1)
    used = int(holder.stdout.readline())
    assert used >= 95
    found = assert_found(Snapshot(a, b, quiet, seconds=1).report(), "fd-limit", b, [a], quiet)
    assert found["severity"] == "critical" and found["numbers"] == {"open": used, "limit": 100}
    assert found["labels"]["pid"] == str(holder.pid)
    assert any(command.endswith(f"-p {holder.pid}") for command in found["next"])


@contextlib.contextmanager
def conntrack_max(limit):
    """The limit is one sysctl for all namespaces, though each is judged by its own count."""
    path = "/proc/sys/net/netfilter/nf_conntrack_max"
    with open(path) as f:
        old = f.read()
    with open("/proc/sys/net/netfilter/nf_conntrack_count") as f:
        assert int(f.read()) < limit, "the machine itself tracks more flows than the test wants to allow"
    try:
        with open(path, "w") as f:
            f.write(str(limit))
        yield
    finally:
        with open(path, "w") as f:
            f.write(old)


def flows(ns, n):
    """n flows of one packet each to b."""
    for i in range(n):
        with udp(ns) as writer:
            writer.bind((A, 20000 + i))
            send(writer, b"x", (B, 6000))


def test_conntrack_table_full(pair):
    a, b, quiet = pair
    nft(b, "input", "ct state established accept")
    reader = udp(b)
    reader.bind((B, 6000))
    with conntrack_max(100):
        snap = Snapshot(a, b, quiet).sampled()
        flows(a, 150)
        found = assert_found(snap.report(), "conntrack-full", b, [a], quiet)
    assert found["severity"] == "critical" and found["numbers"]["max"] == 100
    assert found["numbers"]["dropped"] + found["numbers"]["evicted"] >= 50
    reader.close()


def test_conntrack_table_nearly_full(pair):
    a, b, quiet = pair
    nft(b, "input", "ct state established accept")
    reader = udp(b)
    reader.bind((B, 6000))
    with conntrack_max(100):
        flows(a, 85)
        found = assert_found(Snapshot(a, b, quiet, seconds=1).report(), "conntrack-near-full", b, [a], quiet)
    assert found["severity"] == "warning" and found["numbers"] == {"share_percent": 85, "entries": 85, "max": 100}
    reader.close()


@pytest.mark.kernels
def test_nothing_happens(pair):
    a, b, quiet = pair
    report = Snapshot(a, b, quiet, seconds=1).report()
    assert report.of(a, b, quiet) == []
    assert report.summary["namespaces"] >= 3
