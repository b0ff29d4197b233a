# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-flow in real namespaces: every byte and packet against what the qdisc, the device and the sender counted."""
import collections
import fcntl
import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from skooplib import Netns, Tracing, run, skoop, veth, wait_for, without_ipv6

pytestmark = pytest.mark.kernels

Row = collections.namedtuple("Row", "pod device protocol saddr sport daddr dport")
Count = collections.namedtuple("Count", "bytes packets")
TCP, UDP = "TCP", "UDP"


def rows(records, value="value"):
    """{Row: Count} of the last whole round; what a flow has no label for is None."""
    out, whole = {}, [""]
    for r in records:
        if r["kind"] != "metric":
            continue
        if r["metric"] == "kubeskoop_flow_lostevents":  # a round's last
            whole.append(r["ts"])
            continue
        have = r["labels"]
        if have.get("daddr") == "ff02::16":  # what IPv6 says of its groups when it likes to
            continue
        key = Row(have["target_pod"], *[have.get(name) for name in Row._fields[1:]])
        name = r["metric"].removeprefix("kubeskoop_flow_")
        out.setdefault(r["ts"], {}).setdefault(key, {})[name] = r[value]
    last = out.get(max(whole), {})
    assert all(set(v) == {"bytes", "packets"} for v in last.values())
    return {key: Count(**v) for key, v in last.items()}


def total(flows, **want):
    """The sum over rows whose labels are these."""
    picked = [n for row, n in flows.items() if all(getattr(row, k) == v for k, v in want.items())]
    return Count(sum(n.bytes for n in picked), sum(n.packets for n in picked))


def here(*namespaces):
    return [word for ns in namespaces for word in ("-n", ns.name)]


@pytest.fixture
def ab(quiet):
    """As `pair`, without a packet that the test did not send: no neighbour discovery, no router solicitations, and what
    IPv6 says of its groups is said at once."""
    with Netns("a") as a, Netns("b") as b:
        for ns in (a, b):
            ns.sh("sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_ra=0"
                  " net.ipv6.conf.default.dad_transmits=0 net.ipv6.conf.default.addr_gen_mode=1"
                  " net.ipv6.conf.default.mldv2_unsolicited_report_interval=1")
        veth(a, b)
        macs = [json.loads(ns.run("ip", "-j", "link", "show", dev).stdout)[0]["address"]
                for ns, dev in ((a, "va"), (b, "vb"))]
        for ns, dev, host, mac in ((a, "va", 2, macs[1]), (b, "vb", 1, macs[0])):
            for address in (f"10.9.0.{host}", f"fd00:9::{host}"):
                ns.sh(f"ip neigh replace {address} lladdr {mac} dev {dev} nud permanent")
        for ns, dev in ((a, "va"), (b, "vb")):  # before it has that route, IPv6 takes no multicast
            wait_for(lambda: f"ff00::/8 dev {dev}" in ns.run("ip", "-6", "route", "show", "table", "local").stdout,
                     what="IPv6")
        still = []
        wait_for(lambda: still.append((time.monotonic(), link(a, "va"), link(b, "vb"))) or
                 [x for x in still if x[0] < still[-1][0] - 0.2 and x[1:] == still[-1][1:]], what="silence")
        yield a, b, quiet


def transfer(a, b, host, n, port=5001, back=b"done"):
    """n bytes over TCP from a to b and a short answer; both ends closed in order. The client's port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with b.socket(family) as listener, a.socket(family) as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        client.settimeout(30)
        client.connect((host, port))
        server, _ = listener.accept()
        server.settimeout(30)
        sender = threading.Thread(target=lambda: (client.sendall(b"x" * n), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = 0
        while chunk := server.recv(1 << 16):
            got += len(chunk)
        assert got == n
        server.sendall(back)
        server.close()
        sender.join()
        sport = client.getsockname()[1]
        while client.recv(4096):
            pass
    return sport


def datagrams(ns, to, n, size, port=9, sport=0):
    """n UDP datagrams out of one socket; its port."""
    with ns.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as s:
        if sport:
            s.bind(("", sport))
        for _ in range(n):
            s.sendto(b"u" * size, (to, port))
        return s.getsockname()[1]


def sink(ns, *ports, family=socket.AF_INET6):
    """Sockets that take what is sent to these UDP ports, so that no ICMP answers."""
    out = []
    for port in ports:
        s = ns.socket(family, socket.SOCK_DGRAM)
        s.bind(("", port))
        out.append(s)
    return out


def qdisc(ns, dev):
    """What the root qdisc of a device passed, a segment at a time: bytes from the IP header on, and packets."""
    q = json.loads(ns.run("tc", "-s", "-j", "qdisc", "show", "dev", dev, "root").stdout)[0]
    return Count(q["bytes"] - 14 * q["packets"], q["packets"])


def link(ns, dev):
    """(received, sent) as ip -s link has them, the Ethernet header taken off."""
    stats = json.loads(ns.run("ip", "-s", "-j", "link", "show", dev).stdout)[0]["stats64"]
    return tuple(Count(stats[d]["bytes"] - 14 * stats[d]["packets"], stats[d]["packets"]) for d in ("rx", "tx"))


def less(now, before):
    return Count(now.bytes - before.bytes, now.packets - before.packets)


# ---- exact numbers ----


def test_tcp_bytes_and_segments(ab):
    """Ten million bytes each way of addressing: payload, and the headers of every segment, as a qdisc counts them."""
    a, b, quiet = ab
    n = 10_000_000
    for ns, dev in ((a, "va"), (b, "vb")):
        ns.sh(f"tc qdisc add dev {dev} root pfifo limit 10000")
    for host in ("10.9.0.2", "fd00:9::2"):
        with Tracing("flow", *here(a, b, quiet)) as t:
            before = qdisc(a, "va"), qdisc(b, "vb")
            sport = str(transfer(a, b, host, n))
            after = qdisc(a, "va"), qdisc(b, "vb")
            flows = rows(t.stop())
        out, back = [less(*pair) for pair in zip(after, before)]
        mine = host[:-1] + "1"
        there = dict(protocol=TCP, saddr=mine, sport=sport, daddr=host, dport="5001")
        return_way = dict(protocol=TCP, saddr=host, sport="5001", daddr=mine, dport=sport)
        for ns, dev in ((a, "va"), (b, "vb")):
            assert total(flows, pod=ns.pod, device=dev, **there) == out
            assert total(flows, pod=ns.pod, device=dev, **return_way) == back
        # All of it: nothing else moved, and it was merged packets, or headers would prove nothing.
        assert len(flows) == 4 and total(flows, pod=quiet.pod) == (0, 0)
        headers = (20 if host[0] == "1" else 40) + 20
        assert n + headers * out.packets <= out.bytes <= n + (headers + 40) * out.packets
        assert out.packets >= n / 1460


def test_packets_beyond_64k(ab):
    """Where the kernel makes them so large (IPv6 then has a header in front that never reaches the wire)."""
    a, b, _ = ab
    n = 10_000_000
    for ns, dev in ((a, "va"), (b, "vb")):
        can(ns, f"ip link set {dev} gso_max_size 300000 gro_max_size 300000")
        ns.sh("sysctl -qw net.ipv4.tcp_wmem='4096 4000000 40000000' net.ipv4.tcp_rmem='4096 4000000 40000000'")
    with Tracing("flow", *here(a, b)) as t:
        before = link(a, "va")[1]
        transfer(a, b, "fd00:9::2", n)
        skbs = link(a, "va")[1].packets - before.packets
        flows = rows(t.stop())
    for ns in (a, b):
        there = total(flows, pod=ns.pod, dport="5001")
        # With timestamps, and eight more bytes of options in the SYN.
        assert there.bytes == n + 72 * there.packets + 8
        assert there.packets > 2 * skbs


def test_segments_one_by_one(ab):
    """Without merged packets every device counts what was on the wire."""
    a, b, quiet = ab
    for ns, dev in ((a, "va"), (b, "vb")):
        ns.sh(f"ip link set {dev} gso_max_segs 1; ethtool -K {dev} gro off tso off gso off")
    with Tracing("flow", *here(a, b, quiet)) as t:
        before = link(a, "va"), link(b, "vb")
        transfer(a, b, "10.9.0.2", 1_000_000)
        transfer(a, b, "fd00:9::2", 1_000_000)
        after = link(a, "va"), link(b, "vb")
        flows = rows(t.stop())
    for i, (ns, dev, own) in enumerate(((a, "va", ("10.9.0.1", "fd00:9::1")), (b, "vb", ("10.9.0.2", "fd00:9::2")))):
        received, sent = [less(*pair) for pair in zip(after[i], before[i])]
        mine = {row: n for row, n in flows.items() if row.pod == ns.pod}
        assert {row.device for row in mine} == {dev}
        assert total({row: n for row, n in mine.items() if row.saddr in own}) == sent
        assert total({row: n for row, n in mine.items() if row.saddr not in own}) == received
        assert sent.packets > 10 and received.packets > 10


def test_udp_counts_to_the_packet(ab):
    a, b, quiet = ab
    with Tracing("flow", *here(a, b, quiet)) as t:
        sockets = sink(b, 9) + sink(a, 10)
        p4, p6 = datagrams(a, "10.9.0.2", 1000, 100), datagrams(a, "fd00:9::2", 1000, 100)
        q4, q6 = datagrams(b, "10.9.0.1", 300, 1, port=10), datagrams(b, "fd00:9::1", 300, 1, port=10)
        with a.socket(kind=socket.SOCK_DGRAM) as s:  # one call, eleven segments: UDP_SEGMENT
            s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
            s.sendto(b"g" * 10500, ("10.9.0.2", 9))
            gso = s.getsockname()[1]
        flows = rows(t.stop())
        [s.close() for s in sockets]
    expected = {
        ("10.9.0.1", p4, "10.9.0.2", 9): (128_000, 1000),
        ("fd00:9::1", p6, "fd00:9::2", 9): (148_000, 1000),
        ("10.9.0.2", q4, "10.9.0.1", 10): (300 * 29, 300),
        ("fd00:9::2", q6, "fd00:9::1", 10): (300 * 49, 300),
        ("10.9.0.1", gso, "10.9.0.2", 9): (10500 + 11 * 28, 11),
    }
    assert flows == {Row(ns.pod, dev, UDP, s, str(sp), d, str(dp)): n for ns, dev in ((a, "va"), (b, "vb"))
                     for (s, sp, d, dp), n in expected.items()}


def test_packets_without_ports(ab):
    """Later fragments, ICMP and protocols without a name: labels are left out, and nothing is mixed up."""
    a, b, _ = ab
    with Tracing("flow", *here(a, b)) as t:
        sockets = sink(b, 9)
        port = str(datagrams(a, "10.9.0.2", 1, 4000))
        port6 = str(datagrams(a, "fd00:9::2", 1, 4000))
        assert a.run("ping", "-c", "3", "-i", "0.2", "-s", "56", "10.9.0.2").returncode == 0
        assert a.run("ping", "-c", "2", "-i", "0.2", "-s", "56", "fd00:9::2").returncode == 0
        for number in (253, 254):
            for proto_sink in [b.socket(kind=socket.SOCK_RAW, proto=number)]:
                with a.socket(kind=socket.SOCK_RAW, proto=number) as s:
                    for _ in range(number - 250):
                        s.sendto(b"unnamed", ("10.9.0.2", 0))
                proto_sink.close()
        flows = rows(t.stop())
        [s.close() for s in sockets]
    v4, v6 = ("10.9.0.1", "10.9.0.2"), ("fd00:9::1", "fd00:9::2")
    expected = {
        (UDP, v4[0], port, v4[1], "9"): (1500, 1),
        (UDP, v4[0], None, v4[1], None): (4000 + 3 * 20 + 8 - 1500, 2),
        (UDP, v6[0], port6, v6[1], "9"): (1496, 1),
        (UDP, v6[0], None, v6[1], None): (4000 + 3 * 48 + 8 - 1496, 2),
        ("ICMP", v4[0], None, v4[1], None): (3 * 84, 3),
        ("ICMP", v4[1], None, v4[0], None): (3 * 84, 3),
        ("ICMPv6", v6[0], None, v6[1], None): (2 * 104, 2),
        ("ICMPv6", v6[1], None, v6[0], None): (2 * 104, 2),
        ("253", v4[0], None, v4[1], None): (3 * 27, 3),
        ("254", v4[0], None, v4[1], None): (4 * 27, 4),
    }
    assert flows == {Row(ns.pod, dev, *key): n for ns, dev in ((a, "va"), (b, "vb")) for key, n in expected.items()}


def frame(source, target, payload, tags=(), kind=0x0800):
    """An Ethernet frame to a broadcast address with these VLAN tags in it."""
    return b"\xff" * 6 + bytes.fromhex("020000000001") + b"".join(struct.pack("!HH", *t) for t in tags) + \
        struct.pack("!H", kind) + ip_packet(source, target, payload)


def ip_packet(source, target, payload, protocol=17, port=9):
    udp = struct.pack("!HHHH", 4242, port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, protocol, 0, socket.inet_aton(source),
                       socket.inet_aton(target))
    total_sum = sum(struct.unpack("!10H", head))
    while total_sum >> 16:
        total_sum = (total_sum & 0xffff) + (total_sum >> 16)
    return head[:10] + struct.pack("!H", ~total_sum & 0xffff) + head[12:] + udp


def test_frames_as_they_are(ab):
    """Tags in the packet are stepped over, padding is no payload, and what is not IP has no flow."""
    a, b, _ = ab
    with Tracing("flow", *here(a, b)) as t:
        with a.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind(("va", 0))
            for tags in ((), ((0x8100, 7),), ((0x88a8, 7), (0x8100, 8))):
                s.send(frame("10.9.0.1", "10.9.0.77", b"12345678", tags))
            s.send(frame("10.9.0.1", "10.9.0.78", b"1") + bytes(17))  # as a card pads it
            s.send(frame("10.9.0.1", "10.9.0.79", b"1", kind=0x88cc))
            s.send(frame("10.9.0.1", "10.9.0.80", b"")[:26])  # not even an IP header
        out = t.stop()
    flows = rows(out)
    expected = {("10.9.0.1", "4242", "10.9.0.77", "9"): (3 * 36, 3), ("10.9.0.1", "4242", "10.9.0.78", "9"): (29, 1)}
    assert flows == {Row(ns.pod, dev, UDP, *key): n for ns, dev in ((a, "va"), (b, "vb")) for key, n in expected.items()}
    assert sum(r["count"] for r in out if r["kind"] == "lost" and r["where"] == "header") == 2  # when sent, when received


# ---- devices ----


def tun(ns, name):
    """A device without link header: what is written to the descriptor it receives, what it sends is read."""
    with ns.inside():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
    return fd


def test_a_device_without_link_header(quiet):
    without_ipv6(quiet)
    fd = tun(quiet, "tun0")
    try:
        quiet.sh("ip addr add 10.8.0.1/24 dev tun0; ip link set tun0 up")
        with Tracing("flow", *here(quiet)) as t:
            with quiet.socket(kind=socket.SOCK_DGRAM) as s:
                s.bind(("", 9))
                for _ in range(5):
                    os.write(fd, ip_packet("10.8.0.2", "10.8.0.1", b"up"))
                for _ in range(4):
                    s.sendto(b"down", ("10.8.0.2", 77))
            flows = rows(t.stop())
    finally:
        os.close(fd)
    assert flows == {Row(quiet.pod, "tun0", UDP, "10.8.0.2", "4242", "10.8.0.1", "9"): (5 * 30, 5),
                     Row(quiet.pod, "tun0", UDP, "10.8.0.1", "9", "10.8.0.2", "77"): (4 * 32, 4)}


def can(ns, script):
    """Whether this machine has what the script needs (a kind of device)."""
    return ns.sh(script, check=False).returncode == 0


def tunnels(a, b, kind):
    """A tunnel device tn on both sides over the veth, 10.7.0.1 and .2."""
    for ns, local, remote in ((a, 1, 2), (b, 2, 1)):
        ends = f"local 10.9.0.{local} remote 10.9.0.{remote}"
        if not can(ns, f"ip link add tn mtu 1400 type {kind.format(ends=ends)}"):
            pytest.skip(f"no {kind.split()[0]} device here")
        ns.sh(f"ip addr add 10.7.0.{local}/24 dev tn; ip link set tn up")


@pytest.mark.parametrize("kind, around", [("ipip {ends}", 20), ("vxlan id 7 dstport 4789 {ends}", 20 + 8 + 8 + 14),
                                          ("gre {ends}", 24)])
def test_tunnels_inside_and_outside(ab, kind, around):
    """Each device has the packets it passes, merged ones too: outside, every segment has the headers of both."""
    a, b, _ = ab
    without_ipv6(a, b)
    tunnels(a, b, kind)
    ethernet = kind.startswith("vxlan")
    for ns, dev, other in ((a, "va", b), (b, "vb", a)):
        if ethernet:
            mac = json.loads(other.run("ip", "-j", "link", "show", "tn").stdout)[0]["address"]
            ns.sh(f"ip neigh replace 10.7.0.{2 if ns is a else 1} lladdr {mac} dev tn nud permanent")
        ns.sh("tc qdisc add dev tn root pfifo limit 10000")
    with Tracing("flow", "--all-devices", *here(a, b)) as t:
        before = qdisc(a, "tn")
        transfer(a, b, "10.7.0.2", 2_000_000)
        inner = less(qdisc(a, "tn"), before)
        flows = rows(t.stop())
    if not ethernet:
        inner = Count(inner.bytes + 14 * inner.packets, inner.packets)
    for ns, dev in ((a, "va"), (b, "vb")):
        assert total(flows, pod=ns.pod, device="tn", saddr="10.7.0.1") == inner
        assert total(flows, pod=ns.pod, device=dev, saddr="10.9.0.1") == \
            (inner.bytes + around * inner.packets, inner.packets)
    assert inner.bytes > 2_000_000


def test_a_bridge_counts_once(ab):
    """b's port stands below a bridge that has the address and the default route."""
    a, b, _ = ab
    for route in ("", "ip route add default via 10.9.0.1 dev br0"):
        b.sh("ip addr flush dev vb; ip link add br0 type bridge; ip link set br0 address $(cat /sys/class/net/vb/address) 2>/dev/null;"
             f"ip link set vb master br0; ip addr add 10.9.0.2/24 dev br0; ip link set br0 up; {route}")
        b.sh("ip neigh replace 10.9.0.1 lladdr " + json.loads(a.run("ip", "-j", "link", "show", "va").stdout)[0]["address"]
             + " dev br0 nud permanent")
        a.sh("ip neigh replace 10.9.0.2 lladdr " + json.loads(b.run("ip", "-j", "link", "show", "br0").stdout)[0]["address"]
             + " dev va nud permanent")
        with Tracing("flow", *here(b)) as t:
            sport = transfer(a, b, "10.9.0.2", 500_000)
            flows = {row: n for row, n in rows(t.stop()).items() if row.protocol == TCP}
        there = Row(b.pod, "br0", TCP, "10.9.0.1", str(sport), "10.9.0.2", "5001")
        assert set(flows) == {there, there._replace(saddr=there.daddr, sport="5001", daddr="10.9.0.1", dport=str(sport))}
        assert flows[there].bytes > 500_000
        b.sh("ip link del br0")


def test_a_vlan_on_a_bond(ab):
    """The default route leads through a VLAN on a bond: the tracepoint sees its packets on the veth below only."""
    a, b, _ = ab
    for ns, dev, host in ((a, "va", 1), (b, "vb", 2)):
        if not can(ns, "ip link add bond0 type bond mode active-backup"):
            pytest.skip("no bond here")
        ns.sh(f"ip link set {dev} down; ip link set {dev} master bond0; ip link set bond0 up; ip link set {dev} up")
        if not can(ns, "ip link add bond0.5 link bond0 type vlan id 5"):
            pytest.skip("no VLAN here")
        ns.sh(f"ip addr flush dev {dev}; ip addr add 10.5.0.{host}/24 dev bond0.5; ip link set bond0.5 up;"
              f"ip addr add 10.6.0.{host}/24 dev bond0; ip route add default dev bond0.5")
    wait_for(lambda: a.run("ping", "-c", "1", "-W", "1", "10.5.0.2").returncode == 0, 20, "the bond")
    for args, through in (((), {"bond0.5"}), (("--device", "bond0*"), {"bond0", "bond0.5"}), (("--device", "v*"), {"V"}),
                          (("--all-devices",), {"V", "bond0", "bond0.5"})):
        with Tracing("flow", *args, *here(a, b)) as t:
            sockets = sink(b, 9)
            datagrams(a, "10.5.0.2", 50, 100, sport=999)
            datagrams(a, "10.6.0.2", 7, 100, sport=999)
            flows = rows(t.stop())
            [s.close() for s in sockets]
        for ns, dev in ((a, "va"), (b, "vb")):
            names = {dev if name == "V" else name for name in through}
            for name in names | {"va", "vb", "bond0", "bond0.5"}:
                there = total(flows, pod=ns.pod, device=name, protocol=UDP, daddr="10.5.0.2")
                beside = total(flows, pod=ns.pod, device=name, protocol=UDP, daddr="10.6.0.2")
                assert there == ((50 * 128, 50) if name in names else (0, 0)), (args, name)
                assert beside == ((7 * 128, 7) if name in names - {"bond0.5"} else (0, 0)), (args, name)


def test_a_vrf_leaves_packets_to_its_ports(ab):
    a, b, _ = ab
    if not can(b, "ip link add red type vrf table 10"):
        pytest.skip("no VRF here")
    mac = json.loads(a.run("ip", "-j", "link", "show", "va").stdout)[0]["address"]
    b.sh("ip link set red up; ip link set vb master red;"
         f"ip neigh replace 10.9.0.1 lladdr {mac} dev vb nud permanent; sysctl -qw net.ipv4.udp_l3mdev_accept=1")
    with Tracing("flow", *here(b)) as t:
        sockets = sink(b, 9)
        datagrams(a, "10.9.0.2", 5, 100)
        flows = {row: n for row, n in rows(t.stop()).items() if row.protocol == UDP}
        sockets[0].close()
    assert [(row.device, n) for row, n in flows.items()] == [("vb", (5 * 128, 5))]


def test_back_from_an_intermediate_queue(ab):
    """What tc sends through an ifb comes by twice, and counts once."""
    a, b, _ = ab
    if not can(b, "ip link add ifb9 type ifb && ip link set ifb9 up && tc qdisc add dev vb ingress && tc filter add dev vb"
               " parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev ifb9"):
        pytest.skip("no ifb, u32 or mirred here")
    with Tracing("flow", "--device", "vb", *here(b)) as t:
        sockets = sink(b, 9)
        datagrams(a, "10.9.0.2", 40, 100)
        got = 0
        sockets[0].settimeout(10)
        while got < 40:
            sockets[0].recv(200)
            got += 1
        flows = rows(t.stop())
        sockets[0].close()
    passed = json.loads(b.run("ip", "-s", "-j", "link", "show", "ifb9").stdout)[0]["stats64"]
    assert passed["rx"]["packets"] + passed["tx"]["packets"] >= 40
    assert total(flows, protocol=UDP) == (40 * 128, 40)


def test_only_where_it_is_asked_for(ab):
    """Loopback, another namespace, a device beside the default route: no rows; with --all-devices there are."""
    a, b, quiet = ab
    with Netns("c") as c:
        veth(a, c, "wa", "wc", net=19)
        a.sh("ip route add default via 10.9.0.2")
        wait_for(lambda: a.run("ping", "-c", "1", "10.19.0.2").returncode == 0, what="the second veth")

        def talk():
            sockets = sink(b, 9) + sink(a, 9) + sink(c, 9)
            datagrams(a, "10.9.0.2", 3, 100)
            datagrams(a, "127.0.0.1", 4, 100)
            datagrams(a, "10.19.0.2", 5, 100)
            [s.close() for s in sockets]

        with Tracing("flow", *here(a, quiet)) as t, Tracing("flow", "--all-devices", *here(a)) as everything, \
                Tracing("flow", "--device", "w?", *here(a)) as w:
            talk()
            flows, all_flows, w_flows = [rows(x.stop()) for x in (t, everything, w)]
    only = {(row.pod, row.device, row.daddr): n for row, n in flows.items() if row.protocol == UDP}
    assert only == {(a.pod, "va", "10.9.0.2"): (3 * 128, 3)}
    assert not [row for row in flows if row.pod == quiet.pod or row.device == "wa"]
    assert {(row.device, row.daddr): n.packets for row, n in all_flows.items() if row.protocol == UDP} == \
        {("va", "10.9.0.2"): 3, ("lo", "127.0.0.1"): 4, ("wa", "10.19.0.2"): 5}
    assert {row.device for row in w_flows} == {"wa"} and total(w_flows, protocol=UDP).packets == 5


def test_what_comes_and_goes_meanwhile(quiet):
    """A namespace younger than the probe counts from its first packet, and is there at the end when it is gone."""
    with Tracing("flow") as t:
        with Netns("young") as young:
            veth(quiet, young, "qa", "qy", net=29)
            sockets = sink(young, 9)
            port = str(datagrams(quiet, "10.29.0.2", 20, 100))
            begin = time.monotonic()
            wait_for(lambda: time.monotonic() > begin + 1.5, what="the probe to have looked at it")
            [s.close() for s in sockets]
        flows = rows(t.stop())
    there = ("10.29.0.1", port, "10.29.0.2", "9")
    mine = {row: n for row, n in flows.items() if row.protocol == UDP and row.saddr == "10.29.0.1"}
    assert mine == {Row(quiet.pod, "qa", UDP, *there): (2560, 20), Row(young.pod, "qy", UDP, *there): (2560, 20)}


def test_the_route_moves(ab):
    """The device of the default route is found again when it is another one."""
    a, b, _ = ab
    a.sh("ip link add wa type veth peer name wb; ip addr add 10.39.0.1/24 dev wa; ip link set wa up; ip link set wb up;"
         "ip neigh add 10.39.0.2 lladdr 02:00:00:00:00:09 dev wa nud permanent; ip route add default via 10.9.0.2")
    with Tracing("flow", *here(a), "0.2") as t:
        datagrams(a, "10.9.0.2", 3, 100)
        wait_for(lambda: total(rows(t.records()), device="va", protocol=UDP).packets == 3, what="the first device")
        a.sh("ip route replace default via 10.39.0.2 dev wa")

        def sent():
            datagrams(a, "10.39.0.2", 1, 100, sport=555)
            return total(rows(t.records()), device="wa", sport="555").packets

        wait_for(sent, 20, "the second device")
        assert total(rows(t.records()), device="va") == (0, 0)


# ---- what is added up, shown, forgotten ----


def test_adding_up(ab):
    """The same traffic in every form: sums are equal, labels are those that are left."""
    a, b, _ = ab
    forms = {(): "protocol saddr sport daddr dport", ("--no-ports",): "protocol saddr daddr", ("--by", "pair"): "saddr daddr",
             ("--by", "dport"): "protocol dport", ("--by", "proto"): "protocol"}
    probes = {args: Tracing("flow", *args, *here(a)) for args in forms}
    try:
        sockets = sink(b, 9, 10)
        for to, n, size, port in (("10.9.0.2", 5, 100, 9), ("10.9.0.2", 6, 100, 10), ("fd00:9::2", 7, 100, 9),
                                  ("10.9.0.2", 1, 4000, 10)):
            datagrams(a, to, n, size, port=port)
        flows = {args: rows(probe.stop()) for args, probe in probes.items()}
        [s.close() for s in sockets]
    finally:
        for probe in probes.values():
            probe.__exit__()
    exact = flows[()]
    for args, names in forms.items():
        expected = collections.Counter(), collections.Counter()
        for row, n in exact.items():
            key = row._replace(**{name: None for name in Row._fields[2:] if name not in names.split()})
            expected[0][key] += n.bytes
            expected[1][key] += n.packets
        assert flows[args] == {key: (expected[0][key], expected[1][key]) for key in expected[0]}, args
    assert total(exact).packets == 5 + 6 + 7 + 3
    assert len(flows["--by", "proto"]) == 1


def test_filters_count_too(ab):
    a, b, _ = ab
    with Tracing("flow", "--port", 10, *here(a)) as port, Tracing("flow", "--address", "fd00::/16", *here(a)) as v6:
        sockets = sink(b, 9, 10)
        for to, n, to_port in (("10.9.0.2", 5, 9), ("10.9.0.2", 6, 10), ("fd00:9::2", 7, 9)):
            datagrams(a, to, n, 100, port=to_port)
        flows = rows(port.stop()), rows(v6.stop())
        [s.close() for s in sockets]
    assert total(flows[0]).packets == 6 and {row.dport for row in flows[0]} == {"10"}
    assert total(flows[1]).packets == 7 and {row.daddr for row in flows[1]} == {"fd00:9::2"}


def test_the_largest_of_each_interval(ab):
    """--top picks by growth in the interval, says it right for who was not among them before, and --sort by packets."""
    a, b, _ = ab
    sockets = sink(b, 9, 10, 11)

    def growth(t):
        """[(port, by what it grew)] of every round."""
        return [(int(r["labels"]["dport"]), r["delta"]) for r in t.records() if r["metric"] == "kubeskoop_flow_bytes"]

    with Tracing("flow", "--top", 1, *here(a), "0.3") as t:
        for port, n in ((9, 10), (10, 40), (9, 20)):
            seen = len(growth(t))
            datagrams(a, "10.9.0.2", n, 100, port=port, sport=1000)
            wait_for(lambda: sum(by for to, by in growth(t)[seen:] if to == port) >= n * 128, 20, f"port {port} to be first")
            assert sum(by for to, by in growth(t)[seen:] if to == port) == n * 128
        assert len(growth(t)) == len({r["ts"] for r in t.records() if r["metric"] == "kubeskoop_flow_bytes"})
    with Tracing("flow", "--top", 2, "--sort", "packets", *here(a), out="json") as t:
        datagrams(a, "10.9.0.2", 2, 1400, port=9)
        datagrams(a, "10.9.0.2", 9, 10, port=10)
        datagrams(a, "10.9.0.2", 5, 10, port=11)
        order = [r["labels"]["dport"] for r in t.stop() if r.get("metric") == "kubeskoop_flow_packets"]
    assert order == ["10", "11"]
    [s.close() for s in sockets]


def test_a_table_has_the_largest_on_top(ab):
    a, b, _ = ab
    with Tracing("flow", *here(b, a), out="table") as t:
        sockets = sink(b, 9, 10, 11)
        for port, n in ((9, 3), (10, 9), (11, 6)):
            datagrams(a, "10.9.0.2", n, 100, port=port, sport=1000)
        t.child.terminate()
        t.child.wait(30)
        lines = [line.split() for line in t.stdout().splitlines()]
        [s.close() for s in sockets]
    assert lines[0] == "NAMESPACE POD PROTOCOL SADDR SPORT DADDR DPORT DEVICE BYTES PACKETS".split()
    assert [(int(line[6]), int(line[9])) for line in lines[1:]] == [(10, 9), (10, 9), (11, 6), (11, 6), (9, 3), (9, 3)]


def test_idle_flows_are_forgotten(ab):
    """They leave the output, others go on, and one that comes back begins anew."""
    a, b, _ = ab
    sockets = sink(b, 9, 10)
    with Tracing("flow", "--idle", 1, *here(a), "0.2") as t:
        datagrams(a, "10.9.0.2", 5, 100, port=9, sport=1000)

        def busy():
            datagrams(a, "10.9.0.2", 1, 100, port=10, sport=1000)
            return rows(t.records())

        wait_for(lambda: total(busy(), dport="9").packets == 5, what="the flow")
        wait_for(lambda: busy() and not total(rows(t.records()), dport="9").packets, what="the flow to be forgotten")
        mine = [r["value"] for r in t.records() if r["metric"] == "kubeskoop_flow_packets" and r["labels"]["dport"] == "10"]
        assert mine == sorted(mine) and mine[-1] > 5
        datagrams(a, "10.9.0.2", 2, 100, port=9, sport=1000)
        wait_for(lambda: total(rows(t.records()), dport="9") == (256, 2), what="the flow anew")
        assert not [r for r in t.records() if r["kind"] == "lost"]
    [s.close() for s in sockets]


def test_flows_that_give_way_are_counted(ab):
    """With room for 64 flows: what is shown and what is lost is all that was made."""
    a, b, _ = ab
    with Tracing("flow", "--max-flows", 64, *here(a)) as t:
        with a.socket(kind=socket.SOCK_DGRAM) as s:
            for port in range(2000, 3000):
                s.sendto(b"x", ("10.9.0.2", port))
        out = t.stop()
        err = t.stderr()
    flows = {row: n for row, n in rows(out).items() if row.protocol == UDP}
    lost = [r for r in out if r["kind"] == "lost"]
    made = len(rows(out)) + sum(r["count"] for r in lost)
    assert 0 < len(flows) <= 64 and all(n == (29, 1) for n in flows.values())
    assert {r["where"] for r in lost} == {"map"}
    assert 1000 <= made <= 1002  # and what answered: one ICMP flow, which may have been lost and made again
    metric = [r for r in out if r.get("metric") == "kubeskoop_flow_lostevents"]
    assert metric[-1]["value"] == sum(r["count"] for r in lost)
    assert "--max-flows" in err and "events lost" in err


def test_usage():
    for args, word in ((("--by", "dport", "--no-ports"), "--no-ports"), (("--idle", "5"), "INTERVAL"),
                       (("--all-devices", "--device", "x"), "--device"), (("--top", "0"), "--top")):
        done = skoop("flow", *args, rc=2)
        assert word in done.stderr and not done.stdout


def test_devices_are_left_alone(ab):
    """Nothing is attached to a device while it runs, nothing is left behind."""
    a, b, _ = ab

    def look():
        return [ns.run(*words).stdout for ns in (a, b) for words in
                (["tc", "qdisc", "show"], ["tc", "filter", "show", "dev", "va" if ns is a else "vb"],
                 ["ip", "-d", "link", "show"], ["bpftool", "net", "show"])]

    def programs():
        return [p for p in json.loads(run(["bpftool", "-j", "prog", "show"]).stdout or "[]")
                if p.get("name", "").startswith(("netif_receive_s", "net_dev_start_x"))]

    before, others = look(), len(programs())
    with Tracing("flow", *here(a, b)) as t:
        assert look() == before and len(programs()) == others + 2
        t.child.kill()
        t.child.wait()
        t.done = True
    assert look() == before
    wait_for(lambda: len(programs()) == others, what="the programs to be gone")
