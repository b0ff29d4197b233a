# SPDX-License-Identifier: GPL-2.0-or-later
"""packetloss against drops made for real: each event field by field, each counter against a witness of its own."""
import collections
import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import struct

import pytest

from skooplib import Netns, Tracing, nstat, run, skoop, tool, values, veth, wait_for

pytestmark = pytest.mark.kernels

FAMILIES = [4, 6]
A = {4: "10.9.0.1", 6: "fd00:9::1"}
B = {4: "10.9.0.2", 6: "fd00:9::2"}
C = {4: "10.8.0.2", 6: "fd00:8::2"}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
HEADERS = {4: 28, 6: 48}  # IP and UDP
PREFIX = "kubeskoop_packetloss_"
SLOW = bool(os.environ.get("SKOOP_VM"))


# ---- what this kernel calls it ----

def kernel_names():
    """All names of this kernel's types."""
    return set(pathlib.Path("/sys/kernel/btf/vmlinux").read_bytes().split(b"\0"))


NAMES = kernel_names()
REASONS = b"SKB_DROP_REASON_NO_SOCKET" in NAMES


def reason(*names):
    """The first of these reasons that the kernel has; None where it gives none at all."""
    if not REASONS:
        return None
    return next((n for n in names if f"SKB_DROP_REASON_{n}".encode() in NAMES or n.encode() in NAMES), "NOT_SPECIFIED")


# ---- the place ----

class Net:
    """a -- b -- c, b forwards; q is quiet."""

    def __init__(self, a, b, c, q):
        self.a, self.b, self.c, self.q = a, b, c, q
        veth(a, b)
        veth(b, c, "vc0", "vc1", net=8)
        for ns in (a, b, c):
            # Until a link is ready, IPv6 multicast has no way in: real losses, but not the test's.
            wait_for(lambda: "ff00::/8" in ns.run("ip", "-6", "route", "show", "table", "local").stdout, what="multicast")
        b.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        a.sh("ip route add 10.8.0.0/24 via 10.9.0.2; ip -6 route add fd00:8::/64 via fd00:9::2")
        c.sh("ip route add 10.9.0.0/24 via 10.8.0.1; ip -6 route add fd00:9::/64 via fd00:8::1")

    def targets(self):
        return [w for ns in (self.a, self.b, self.c, self.q) for w in ("-n", ns.name)]

    def send(self, family, port, n=3, size=100, to=B, mark=0, source=None):
        """UDP from a; the source port."""
        with self.a.socket(AF[family], socket.SOCK_DGRAM) as s:
            if source:
                s.bind((source, 0))
            if mark:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            for _ in range(n):
                try:
                    s.sendto(b"x" * size, (to[family], port))
                except PermissionError:
                    pass  # the host's own rule
            return s.getsockname()[1]


@pytest.fixture(scope="module")
def net():
    with Netns("la") as a, Netns("lb") as b, Netns("lc") as c, Netns("lq") as q:
        yield Net(a, b, c, q)


@pytest.fixture(scope="module")
def watch(net):
    """One probe for all scenarios; each has ports of its own."""
    with Tracing("packetloss", *net.targets(), "-K") as t:
        yield t


def check(event, ns, stack=True, **want):
    """Who, where, and that all that is always known is known."""
    want |= {"netns": ns.inode, "verdict": "loss"}
    assert {k: event[k] for k in want} == want, event
    assert event["labels"]["target_pod"] == ns.pod and event["labels"]["target_namespace"] == "-"
    assert "+0x" in event["location"] and not event["location"].startswith("0x")
    assert (event["reason"] is not None) == (event["reason_code"] is not None) == REASONS
    function = event["location"].split("+")[0]
    assert not stack or function in [frame.split("+")[0] for frame in event["stack"]], event


def udp(family, port, sport, size=100, source=A, to=B, **more):
    return {"protocol": "UDP", "saddr": source[family], "daddr": to[family], "sport": sport, "dport": port,
            "len": size + HEADERS[family], "state": None, "tcp_flags": None, "icmp": None} | more


# ---- filters ----

def rules(ns, text):
    done = run(ns.argv(["nft", "-f", "-"]), stdin=None, input=text)
    assert done.returncode == 0, done.stderr


def counter(ns, *words):
    """Packets counted by the one nft rule that has these words."""
    lines = [line for line in ns.sh("nft list ruleset").stdout.splitlines() if all(w in line for w in words)]
    assert len(lines) == 1, lines
    words = lines[0].split()
    return int(words[words.index("packets") + 1])


FILTER = "NETFILTER_DROP"


@pytest.mark.parametrize("family", FAMILIES)
def test_nft_input(net, watch, family):
    rules(net.b, "table inet input%d {\n chain in {\n type filter hook input priority 0\n udp dport 7%d counter drop\n"
                 " tcp dport 7%d counter drop\n }\n}" % (family, family, family))
    port = 70 + family
    sport = net.send(family, port)
    events = watch.wait(3, dport=port, protocol="UDP")
    for e in events:
        check(e, net.b, **udp(family, port, sport, reason=reason(FILTER), device="vb", mark=0))
        assert any(e["location"].startswith(f) for f in ("nft_do_chain", "nf_hook_slow"))
    assert len(events) == counter(net.b, f"udp dport {port}") == 3
    with net.a.socket(AF[family]) as s:
        s.setblocking(False)
        assert s.connect_ex((B[family], port)) == errno.EINPROGRESS
        sport = s.getsockname()[1]
        e = watch.wait(1, dport=port, protocol="TCP")[0]
    check(e, net.b, protocol="TCP", saddr=A[family], sport=sport, daddr=B[family], tcp_flags="S", device="vb", state=None,
          reason=reason(FILTER))


@pytest.mark.parametrize("family", FAMILIES)
def test_nft_forward(net, watch, family):
    rules(net.b, "table inet fwd%d {\n chain fw {\n type filter hook forward priority 0\n udp dport 8%d counter drop\n }\n}"
          % (family, family))
    port = 80 + family
    sport = net.send(family, port, to=C)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, to=C, reason=reason(FILTER), device="vb"))
    assert len(events) == counter(net.b, f"udp dport {port}")


@pytest.mark.parametrize("family", FAMILIES)
def test_nft_prerouting(net, watch, family):
    rules(net.b, "table inet pre%d {\n chain pre {\n type filter hook prerouting priority -300\n"
                 " udp dport 9%d counter drop\n }\n}" % (family, family))
    port = 90 + family
    sport = net.send(family, port, to=C)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, to=C, reason=reason(FILTER), device="vb"))
    assert len(events) == counter(net.b, f"udp dport {port}")


@pytest.mark.parametrize("family", FAMILIES)
def test_nft_output(net, watch, family):
    """The sender's own namespace, known by its socket."""
    rules(net.a, "table inet out%d {\n chain out {\n type filter hook output priority 0\n udp dport 10%d counter drop\n }\n}"
          % (family, family))
    port = 100 + family
    sport = net.send(family, port, mark=42)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.a, **udp(family, port, sport, reason=reason(FILTER), mark=42))
    assert len(events) == counter(net.a, f"udp dport {port}")


@pytest.mark.parametrize("family", FAMILIES)
def test_nft_ingress(net, watch, family):
    """A packet that has just arrived still belongs to the socket that sent it; the namespace is the receiver's."""
    text = "table netdev in%d {\n chain in {\n type filter hook ingress device vb priority 0\n udp dport 11%d counter drop\n }\n}"
    done = run(net.b.argv(["nft", "-f", "-"]), stdin=None, input=text % (family, family))
    if done.returncode:
        pytest.skip("no ingress hook of nftables here")
    port = 110 + family
    sport = net.send(family, port)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, reason=reason(FILTER), device="vb"))
    assert len(events) == counter(net.b, f"udp dport {port}")


@pytest.mark.parametrize("family", FAMILIES)
def test_icmp(net, watch, family):
    kind = {4: "icmp type echo-request", 6: "icmpv6 type echo-request"}[family]
    rules(net.b, "table inet ping%d {\n chain in {\n type filter hook input priority 0\n %s counter drop\n }\n}" % (family, kind))
    net.a.run("ping", "-c", "1", "-W", "0.1", "-s", "72", B[family])
    icmp = {4: "8/0", 6: "128/0"}[family]
    events = watch.wait(1, icmp=icmp)
    check(events[0], net.b, protocol={4: "ICMP", 6: "ICMPv6"}[family], saddr=A[family], daddr=B[family], sport=None,
          dport=None, len=72 + HEADERS[family], reason=reason(FILTER), tcp_flags=None)
    assert len(events) == counter(net.b, kind.split()[0]) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_legacy_iptables(net, watch, family):
    iptables = {4: "iptables-legacy", 6: "ip6tables-legacy"}[family]
    if not shutil.which(iptables):
        pytest.skip("no legacy iptables command")
    port = 120 + family
    done = net.b.run(iptables, "-A", "INPUT", "-p", "udp", "--dport", port, "-j", "DROP")
    if done.returncode:
        pytest.skip("no legacy iptables in this kernel")
    sport = net.send(family, port)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, reason=reason(FILTER), device="vb"))
        assert e["location"].startswith("nf_hook_slow")
    line = [x for x in net.b.run(iptables, "-nvxL", "INPUT").stdout.splitlines() if f"dpt:{port}" in x]
    assert len(events) == int(line[0].split()[0]) == 3


# ---- sockets ----

@pytest.mark.parametrize("family", FAMILIES)
def test_no_listener(net, watch, family):
    port, key = 130 + family, {4: "UdpNoPorts", 6: "Udp6NoPorts"}[family]
    before = nstat(net.b)[key]
    sport = net.send(family, port, n=4, size=33)
    events = watch.wait(4, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, size=33, reason=reason("NO_SOCKET"), device="vb"))
    assert len(events) == nstat(net.b)[key] - before
    with net.a.socket(AF[family]) as s:
        assert s.connect_ex((B[family], port)) == errno.ECONNREFUSED
    e = watch.wait(1, dport=port, protocol="TCP")[0]
    check(e, net.b, saddr=A[family], daddr=B[family], tcp_flags="S", state=None, reason=reason("NO_SOCKET"))


@pytest.mark.parametrize("family", FAMILIES)
def test_full_socket(net, watch, family):
    port, key = 140 + family, {4: "UdpRcvbufErrors", 6: "Udp6RcvbufErrors"}[family]
    before = nstat(net.b)[key]
    with net.b.socket(AF[family], socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        s.bind((B[family], port))
        sport = net.send(family, port, n=50, size=1000)
        wait_for(lambda: nstat(net.b)[key] - before >= 40, what="drops")
    lost = nstat(net.b)[key] - before
    events = watch.wait(lost, dport=port)
    for e in events:
        check(e, net.b, **udp(family, port, sport, size=1000, reason=reason("SOCKET_RCVBUFF")))
    assert len(events) == lost


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def raw(ns, family, protocol, payload, source, to):
    """Sends a packet as it is; the IPv4 header's own checksum is the kernel's."""
    with ns.socket(AF[family], socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        if family == 4:
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                               socket.inet_aton(source), socket.inet_aton(to))
        else:
            head = struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64,
                               socket.inet_pton(AF[6], source), socket.inet_pton(AF[6], to))
        s.sendto(head + payload, (to, 0))


def tcp_segment(family, sport, dport, flags, source, to, bad=0, data=b""):
    pack = {4: "!4s4sBBH", 6: "!16s16sIHBB"}[family]
    text = struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 1000, 0, 0) + data
    ends = [socket.inet_pton(AF[family], x) for x in (source, to)]
    pseudo = struct.pack(pack, *ends, *((0, 6, len(text)) if family == 4 else (len(text), 0, 0, 6)))
    total = checksum(pseudo + text) ^ bad
    return text[:16] + struct.pack("!H", total) + text[18:]


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_checksum(net, watch, family):
    port = 150 + family
    before = nstat(net.b)
    for _ in range(2):
        raw(net.a, family, 6, tcp_segment(family, 5000, port, 0x12, A[family], B[family], bad=0x5555), A[family], B[family])
    raw(net.a, family, 17, struct.pack("!HHHH", 5001, port, 18, 0x1234) + b"x" * 10, A[family], B[family])
    events = watch.wait(2, dport=port, protocol="TCP")
    for e in events:
        check(e, net.b, saddr=A[family], daddr=B[family], sport=5000, tcp_flags="SA", device="vb", reason=reason("TCP_CSUM"),
              len={4: 40, 6: 60}[family])
    wrong = watch.wait(1, dport=port, protocol="UDP")
    check(wrong[0], net.b, **udp(family, port, 5001, size=10, reason=reason("UDP_CSUM"), device="vb"))
    after = nstat(net.b)
    assert after["TcpInCsumErrors"] - before["TcpInCsumErrors"] == len(events)
    key = {4: "UdpInCsumErrors", 6: "Udp6InCsumErrors"}[family]
    assert after[key] - before[key] == len(wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_listener_state(net, watch, family):
    """A segment that has no connection meets a listener: the socket's state is known."""
    port = 160 + family
    with net.b.socket(AF[family]) as s:
        s.bind((B[family], port))
        s.listen(1)
        raw(net.a, family, 6, tcp_segment(family, 5002, port, 0x10, A[family], B[family]), A[family], B[family])
        e = watch.wait(1, dport=port, sport=5002)[0]
    check(e, net.b, saddr=A[family], daddr=B[family], tcp_flags="A", state="LISTEN")
    assert e["reason"] in (reason("TCP_FLAGS"), reason("NOT_SPECIFIED"))


# ---- queues ----

def dropped(ns, dev):
    return json.loads(ns.run("tc", "-s", "-j", "qdisc", "show", "dev", dev).stdout)[0]["drops"]


def qdisc(ns, *words):
    done = ns.run("tc", "qdisc", "replace", "dev", "va", "root", *words)
    if done.returncode:
        pytest.skip(f"no {words[0]} in this kernel")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["tbf", "netem"])
def test_queue(net, watch, family, kind):
    port = {"tbf": 170, "netem": 180}[kind] + family
    limits = {"tbf": ["rate", "8kbit", "burst", "1600", "limit", "2000"], "netem": ["loss", "100%"]}
    with net.a.socket(AF[family]) as s:  # its neighbour is known before
        assert s.connect_ex((B[family], port)) == errno.ECONNREFUSED
    qdisc(net.a, kind, *limits[kind])
    try:
        sport = net.send(family, port, n=20, size=500)
        lost = wait_for(lambda: dropped(net.a, "va"), what="drops")
        events = watch.wait(lost, dport=port, device="va")
    finally:
        net.a.sh("tc qdisc del dev va root")
    for e in events:
        check(e, net.a, **udp(family, port, sport, size=500))
        # A number is in none of the kernel's lists: the field was not set, and the location tells.
        assert not REASONS or isinstance(e["reason"], int) or "QDISC" in e["reason"], e
    assert len(events) == lost and (lost == 20 if kind == "netem" else 10 < lost < 20)


# ---- routes and neighbours ----

def test_rp_filter(net, watch):
    net.b.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.vb.rp_filter=1")
    try:
        for _ in range(2):
            raw(net.a, 4, 17, struct.pack("!HHHH", 5003, 190, 8, 0), "8.8.8.8", B[4])
        raw(net.a, 4, 17, struct.pack("!HHHH", 5003, 191, 8, 0), "127.0.0.5", B[4])
        events = watch.wait(2, dport=190)
        for e in events:
            check(e, net.b, **udp(4, 190, 5003, size=0, source={4: "8.8.8.8"}, reason=reason("IP_RPFILTER"), device="vb"))
        assert len(events) == 2
        e = watch.wait(1, dport=191)[0]
        check(e, net.b, **udp(4, 191, 5003, size=0, source={4: "127.0.0.5"}, device="vb",
                              reason=reason("IP_LOCALNET", "NOT_SPECIFIED")))
    finally:
        net.b.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vb.rp_filter=0")


def test_martian_v6(net, watch):
    raw(net.a, 6, 17, struct.pack("!HHHH", 5004, 192, 8, 0), "::1", B[6])
    e = watch.wait(1, dport=192)[0]
    check(e, net.b, protocol="UDP", saddr="::1", daddr=B[6], sport=5004, device="vb", len=48)
    assert e["location"].startswith("ip6_rcv")


@pytest.mark.parametrize("family", FAMILIES)
def test_silent_neighbour(net, watch, family):
    nobody = {4: "10.9.0.77", 6: "fd00:9::77"}
    ip = {4: "ipv4", 6: "ipv6"}[family]
    net.a.sh(f"sysctl -qw net.{ip}.neigh.va.retrans_time_ms=100 net.{ip}.neigh.va.mcast_solicit=2")
    port = 200 + family
    sport = net.send(family, port, to=nobody)
    events = watch.wait(3, dport=port)
    for e in events:
        check(e, net.a, **udp(family, port, sport, to=nobody, device="va"))
        assert e["reason"] == reason("NEIGH_FAILED") or e["location"].split("+")[0] in ("ndisc_error_report", "neigh_invalidate")
    assert len(events) == 3


# ---- sums: the last one of those that share the probe ----

def test_sums(net, watch):
    """What was counted is what was shown, namespace by namespace and reason by reason."""
    recs = watch.stop()
    assert not [r for r in recs if r["kind"] == "lost"]
    for ns in (net.a, net.b, net.c, net.q):
        events = [r for r in recs if r["kind"] == "event" and r["netns"] == ns.inode]
        have = values(recs, ns.pod)
        assert have[PREFIX + "total"] == len(events)
        filtered = [e for e in events if e["reason"] == FILTER or not REASONS and e["location"].startswith("nf_hook_slow")]
        assert have[PREFIX + "netfilter"] == len(filtered)
        label = "reason" if REASONS else "location"
        counts = collections.Counter(e["reason"] if REASONS else e["location"].split("+")[0] for e in events)
        got = {r["labels"][label]: r["value"] for r in recs if r["kind"] == "metric" and r["netns"] == ns.inode and
               r["metric"] == PREFIX + "byreason"}
        strange = sum(n for name, n in counts.items() if isinstance(name, int))
        assert got == {k: v for k, v in counts.items() if not isinstance(k, int)} | ({"unknown": strange} if strange else {})
    assert values(recs, net.q.pod) == {PREFIX + "total": 0, PREFIX + "netfilter": 0}
    assert values(recs, net.b.pod)[PREFIX + "netfilter"] >= 12


# ---- what is no loss ----

SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
if "defer" in sys.argv:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
s.bind(("::", int(sys.argv[1]))); s.listen(64)
print("up", flush=True)
keep = []
while True:
    c, _ = s.accept()
    kind = c.recv(1)
    if kind == b"e":
        while True:
            data = c.recv(65536)
            if not data:
                break
            c.sendall(data)
        c.close()
    elif kind == b"c":
        c.recv(5000, socket.MSG_PEEK | socket.MSG_WAITALL)
        c.close()
    else:
        keep.append(c)
"""


def connect(a, family, kind, port=80):
    s = a.socket(AF[family])
    s.settimeout(20)
    s.connect((B[family], port))
    s.sendall(kind)
    return s


def echo(a, family, port=80):
    """A conversation to its orderly end."""
    with connect(a, family, b"e", port) as s:
        for size in (1, 1000, 100000):
            s.sendall(b"x" * size)
            left = size
            while left:
                left -= len(s.recv(65536))
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""


def closed(s):
    try:
        s.setblocking(False)
        return s.recv(65536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_no_loss(net):
    """Ordinary lives and deaths of sockets: nothing is lost in any of them."""
    a, b = net.a, net.b
    with Tracing("packetloss", *net.targets(), "--benign") as t:
        servers = [b.python(SERVER, 80), b.python(SERVER, 82, "defer")]
        for server in servers:
            assert server.stdout.readline() == "up\n"
        for family in FAMILIES:
            for _ in range(10):
                echo(a, family)
                echo(a, family, 82)
            # The server closes with data unread; the client with data unsent by the server.
            s = connect(a, family, b"c" + b"x" * 5000)
            wait_for(lambda: closed(s), what="the reset")
            s.close()
            connect(a, family, b"k").close()
            # UDP with data unread.
            u, c = b.socket(AF[family], socket.SOCK_DGRAM), a.socket(AF[family], socket.SOCK_DGRAM)
            u.bind((B[family], 81))
            c.connect((B[family], 81))
            for _ in range(5):
                c.send(b"x" * 100)
            u.recv(100)
            u.close(), c.close()
        # A capture nobody reads: its copies do not fit, the packets go on.
        p = b.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        p.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for family in FAMILIES:
            echo(a, family)
        p.close()
        held = [connect(a, f, b"k" + b"x" * 5000) for f in FAMILIES]
        for server in servers:
            server.send_signal(signal.SIGKILL)
            server.wait()
        for s in held:
            wait_for(lambda: closed(s), what="the server's death")
            s.close()
        recs = t.stop()
    losses = [{k: v for k, v in r.items() if k not in ("schema", "kind", "ts", "mono_ns", "probe", "event", "labels", "mark")}
              for r in recs if r["kind"] == "event" and r["verdict"] == "loss"]
    assert not losses, "\n".join(map(str, losses))
    for ns in (net.a, net.b, net.c, net.q):
        assert values(recs, ns.pod)[PREFIX + "total"] == 0
    # The other half of the proof: it saw what was freed there.
    assert [r for r in recs if r["kind"] == "event" and r["verdict"] == "benign" and r["netns"] == b.inode and
            r["protocol"] in ("TCP", "UDP")]


def test_accept_queue_full(net):
    """The end of a handshake is lost when it finds the queue full; a SYN sent again meanwhile is not."""
    key = "TcpExtListenOverflows"
    rules(net.a, "table inet hold {\n chain in {\n type filter hook input priority 0\n tcp dport 5010 drop\n }\n}")
    with net.b.socket() as s, Tracing("packetloss", "-n", net.b.name, "--port", 83) as t:
        s.bind((B[4], 83))
        s.listen(1)
        before, clients = nstat(net.b)[key], []
        # One waits to be accepted, one's handshake is held, one comes in by a cookie: the queue is full.
        for port in (0, 5010, 0):
            c = net.a.socket()
            c.bind((A[4], port))
            c.setblocking(False)
            assert c.connect_ex((B[4], 83)) == errno.EINPROGRESS
            clients.append(c)
            if port == 0:
                wait_for(lambda: c.connect_ex((B[4], 83)) in (0, errno.EISCONN), what="a handshake")
        sent = nstat(net.a)["TcpRetransSegs"]
        wait_for(lambda: nstat(net.a)["TcpRetransSegs"] > sent, what="a SYN sent again")
        assert nstat(net.b)[key] == before
        net.a.sh("nft delete table inet hold")
        e = t.wait(1, sport=5010)[0]
        recs = t.stop()
        assert nstat(net.b)[key] > before
        for c in clients:
            c.close()
    check(e, net.b, stack=False, protocol="TCP", saddr=A[4], daddr=B[4], dport=83, tcp_flags="A",
          reason=reason("TCP_LISTEN_OVERFLOW", "NOT_SPECIFIED"))
    assert {r["tcp_flags"] for r in recs if r["kind"] == "event"} == {"A"}


def sums(recs, **want):
    """The last round's value of the row of --count with these labels."""
    rows = [r["value"] for r in recs if r.get("metric") == PREFIX + "count" and
            all(r["labels"].get(k) == v for k, v in want.items())]
    return rows[-1] if rows else 0


def test_benign_counts(net):
    """What is no loss is counted only where it is asked for, and apart from losses."""
    with Tracing("packetloss", "-C", "--benign", "--by", "saddr,dport", "0.2") as t:
        for family in FAMILIES:
            u = net.b.socket(AF[family], socket.SOCK_DGRAM)
            u.bind((B[family], 84))
            u.setsockopt(socket.SOL_SOCKET, 42, 0)  # SO_PEEK_OFF: each look goes further
            u.settimeout(10)
            net.send(family, 84, n=4)
            for _ in range(4):
                assert len(u.recv(100, socket.MSG_PEEK)) == 100
            u.close()
            net.send(family, 85, n=2)
        # The kernel frees what a socket leaves when it gets to it.
        for family in FAMILIES:
            who = {"saddr": A[family], "verdict": "benign", "dport": "84"}
            wait_for(lambda: sums(t.records(), **who) == 4, what="what was left unread")
            who = {"saddr": A[family], "verdict": "loss", "dport": "85"}
            wait_for(lambda: sums(t.records(), **who) == 2, what="a closed port")
        recs = t.stop()
    for family in FAMILIES:
        assert not sums(recs, saddr=A[family], dport="84", verdict="loss")
        assert not sums(recs, saddr=A[family], dport="85", verdict="benign")
    total = [r["value"] for r in recs if r["metric"] == PREFIX + "total" and r["netns"] == net.b.inode][-1]
    rows = {json.dumps(r["labels"]): r["value"] for r in recs if r["metric"] == PREFIX + "count" and
            r["netns"] == net.b.inode and r["labels"]["verdict"] == "loss"}
    assert total == sum(rows.values())


# ---- storms ----

FLOOD = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
for _ in range(int(sys.argv[3])):
    s.send(b"x" * 20)
"""


def peak_memory(t):
    """Bytes of the process at its largest."""
    for line in pathlib.Path(f"/proc/{t.child.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def told(recs, pod):
    """(events shown, events lost, packets counted)."""
    lost = [r for r in recs if r["kind"] == "lost"]
    return (sum(r["kind"] == "event" for r in recs), sum(r["count"] for r in lost),
            values(recs, pod)[PREFIX + "total"])


def test_storm(net):
    """Drops as fast as the machine makes them: counted to the packet; shown and lost are all of them."""
    n = 10000 if SLOW else 100000
    b = net.b
    rules(b, "table inet storm {\n chain in {\n type filter hook input priority 0\n udp dport 210-211 counter drop\n }\n}")
    only = ["-n", b.name, "--port"]
    with Tracing("packetloss", *only, 210) as wide, Tracing("packetloss", *only, 210, "--buffer", 4) as tiny, \
            Tracing("packetloss", *only, 211, "--rate-limit", 50) as slow, \
            Tracing("packetloss", "-n", b.name, "-C", "--by", "reason,dport,saddr") as sums:
        floods = [net.a.popen("python3", "-c", FLOOD, B[f], p, n) for f, p in ((4, 210), (6, 211))]
        for f in floods:
            assert f.wait(120) == 0
        wait_for(lambda: counter(b, "210-211") == 2 * n, what="the last packet")
        memory = [peak_memory(t) for t in (wide, tiny, slow, sums)]
        results = [t.stop() for t in (wide, tiny, slow, sums)]
    for recs in results[:3]:
        shown, lost, counted = told(recs, b.pod)
        assert shown + lost == counted == n
        assert values(recs, b.pod)[PREFIX + "netfilter"] == n
    assert told(results[1], b.pod)[1] > 0 and told(results[2], b.pod)[1] > 0
    assert {r["where"] for r in results[2] if r["kind"] == "lost"} == {"ratelimit"}
    seconds = collections.Counter(r["mono_ns"] // 10**9 for r in results[2] if r["kind"] == "event")
    assert seconds and max(seconds.values()) <= 50
    recs = results[3]
    assert not [r for r in recs if r["kind"] in ("event", "lost")]
    counts = {(r["labels"]["dport"], r["labels"]["saddr"], r["labels"]["reason"]): r["value"] for r in recs
              if r["metric"] == PREFIX + "count" and r["labels"]["dport"] in ("210", "211")}
    why = FILTER if REASONS else "-"
    assert counts == {("210", A[4], why): n, ("211", A[6], why): n}
    everything = sum(r["value"] for r in recs if r["metric"] == PREFIX + "count")
    assert everything == values(recs, b.pod)[PREFIX + "total"] == values(recs, b.pod)[PREFIX + "netfilter"] + everything - 2 * n
    if b"__asan_init" not in pathlib.Path(tool("packetloss")).read_bytes():  # a sanitizer keeps what is freed
        assert max(memory) < 48 << 20, memory


# ---- options ----

def test_options(net):
    """Only so many events; only the largest sums; only some reasons."""
    only = ["-n", net.b.name, "--port", 220]
    net.a.sh("ip addr add 10.9.0.9/24 dev va")
    with Tracing("packetloss", *only, "-e", 5) as five, \
            Tracing("packetloss", "-n", net.b.name, "-C", "--top", 1, "--by", "dport", "--address", "10.9.0.9") as top, \
            Tracing("packetloss", *only, "--address", "10.9.0.0/30", "1") as rounds:
        net.send(4, 220, n=9, source="10.9.0.9")
        net.send(4, 221, n=2, source="10.9.0.9")
        net.send(6, 220, n=3)
        assert five.child.wait(20) == 0
        assert len([r for r in five.records() if r["kind"] == "event"]) == 5
        wait_for(lambda: [r for r in rounds.records() if r.get("metric") == PREFIX + "total" and r["value"] == 9],
                 what="a round")
        rounds.stop()
        recs = top.stop()
    largest = [r for r in recs if r["metric"] == PREFIX + "count"]
    assert [(r["labels"]["dport"], r["value"]) for r in largest] == [("220", 9)]
    assert values(recs, net.b.pod)[PREFIX + "total"] == 11


def test_reason_filters(net):
    if not REASONS:
        pytest.skip("this kernel gives no drop reasons")
    rules(net.b, "table inet some {\n chain in {\n type filter hook input priority 0\n udp dport 230 counter drop\n }\n}")
    only = ["-n", net.b.name]
    with Tracing("packetloss", *only, "--reason", "netfilter_drop,TCP_CSUM") as some, \
            Tracing("packetloss", *only, "--not-reason", "SKB_DROP_REASON_NETFILTER_DROP", "--port", 230) as others:
        net.send(4, 230, n=2)
        net.send(4, 231, n=4)
        some.wait(2, dport=230)
        with net.a.socket() as s:
            s.connect_ex((B[4], 230))
        recs = some.stop(), others.stop()
    assert {(e["dport"], e["reason"]) for e in recs[0] if e["kind"] == "event"} == {(230, FILTER)}
    assert values(recs[0], net.b.pod) == {PREFIX + "total": 2, PREFIX + "netfilter": 2}
    assert {(e["protocol"], e["reason"]) for e in recs[1] if e["kind"] == "event"} == {("TCP", "NO_SOCKET")}
    assert values(recs[1], net.b.pod)[PREFIX + "netfilter"] == 0


def test_subsystems():
    """Reasons of a module by their names while it is loaded, else by number."""
    if b"SKB_DROP_REASON_SUBSYS_OPENVSWITCH" not in NAMES:
        pytest.skip("no drop reasons of subsystems")
    run(["modprobe", "-q", "openvswitch"])
    loaded = pathlib.Path("/sys/kernel/btf/openvswitch").exists()
    skoop("packetloss", "--reason", "OVS_DROP_LAST_ACTION,NO_SOCKET", "-d", "0.1", rc=0 if loaded else 2)
    skoop("packetloss", "--reason", "OPENVSWITCH:1", "-d", "0.1", rc=2 if loaded else 0)


def test_unknown_reason():
    done = skoop("packetloss", "--reason", "NO_SOCKT", rc=2 if REASONS else 4)
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert ("did you mean NO_SOCKET" if REASONS else "gives no drop reasons") in done.stderr
    for wrong in (["--by", "dport"], ["--top", "3"], ["-C", "--by", "colour"], ["-C", "-e", "3"], ["-C", "--rate-limit", "3"],
                  ["--rate-limit", "0"]):
        assert skoop("packetloss", *wrong, rc=2).stdout == ""
