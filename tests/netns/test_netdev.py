# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-netdev against ip -s link and /proc/net/dev in real namespaces."""
import json
import pathlib
import socket

import pytest

from skooplib import NOBODY, fake_proc, records, run, skoop, tool, values, wait_for, without_ipv6

pytestmark = pytest.mark.kernels

PREFIX = "kubeskoop_netdev_"
CONTRACT = ["rxbytes", "rxerrors", "txbytes", "txerrors", "rxpackets", "rxdropped", "txpackets", "txdropped"]
# Our name: where ip -s -s -j link has it.
WITNESS = {
    "rxbytes": ("rx", "bytes"), "rxpackets": ("rx", "packets"), "rxerrors": ("rx", "errors"),
    "txbytes": ("tx", "bytes"), "txpackets": ("tx", "packets"), "txerrors": ("tx", "errors"),
    "txdropped": ("tx", "dropped"), "rxmissederrors": ("rx", "missed_errors"), "multicast": ("rx", "multicast"),
    "collisions": ("tx", "collisions"), "rxlengtherrors": ("rx", "length_errors"),
    "rxovererrors": ("rx", "over_errors"), "rxcrcerrors": ("rx", "crc_errors"),
    "rxframeerrors": ("rx", "frame_errors"), "rxfifoerrors": ("rx", "fifo_errors"),
    "txabortederrors": ("tx", "aborted_errors"), "txcarriererrors": ("tx", "carrier_errors"),
    "txfifoerrors": ("tx", "fifo_errors"), "txheartbeaterrors": ("tx", "heartbeat_errors"),
    "txwindowerrors": ("tx", "window_errors"), "carrierchanges": ("tx", "carrier_changes"),
}
OPERSTATE = {"UNKNOWN": 0, "NOTPRESENT": 1, "DOWN": 2, "LOWERLAYERDOWN": 3, "TESTING": 4, "DORMANT": 5, "UP": 6}


def witness(ns):
    """{device: {our name: value}} as ip has them."""
    out = {}
    for link in json.loads(ns.run("ip", "-s", "-s", "-j", "link").stdout):
        stats = link["stats64"]
        row = {ours: stats[side][name] for ours, (side, name) in WITNESS.items()}
        row["rxdropped"] = stats["rx"]["dropped"] + stats["rx"]["missed_errors"]
        row["mtu"] = link["mtu"]
        row["operstate"] = OPERSTATE[link["operstate"]]
        out[link["ifname"]] = row
    return out


def net_dev(ns):
    """{device: {contract name: value}} as /proc/net/dev has them."""
    out = {}
    for line in ns.run("cat", "/proc/net/dev").stdout.splitlines()[2:]:
        name, numbers = line.split(":")
        n = [int(x) for x in numbers.split()]
        out[name.strip()] = dict(rxbytes=n[0], rxpackets=n[1], rxerrors=n[2], rxdropped=n[3], txbytes=n[8],
                                 txpackets=n[9], txerrors=n[10], txdropped=n[11])
    return out


def rows(recs, pod=None):
    """{device: {our name: value}}"""
    out = {}
    for r in recs:
        assert pod is None or r["labels"]["target_pod"] == pod
        row = out.setdefault(r["labels"].get("device"), {})
        name = r["metric"][len(PREFIX):]
        assert name not in row
        row[name] = r["value"]
    return out


def ours(ns, *args):
    return rows(records("netdev", "-n", ns.name, *args), ns.pod)


def read_all(ns):
    """Everything at once, between two equal answers of the witness; None if something moved meanwhile."""
    theirs = witness(ns)
    mine = ours(ns, "-a", "--lo"), ours(ns, "--lo"), net_dev(ns), ours(ns)
    return (theirs, *mine) if witness(ns) == theirs else None


def agree(ns):
    """What all say of a namespace at rest."""
    theirs, mine, plain, proc, default = wait_for(lambda: read_all(ns), timeout=30, what="devices at rest")
    assert {dev: {k: row[k] for k in theirs[dev]} for dev, row in mine.items()} == theirs
    contract = {dev: {k: row[k] for k in CONTRACT} for dev, row in theirs.items()}
    assert plain == contract == proc
    del contract["lo"]
    assert default == contract
    return mine


def moved(before, after):
    return {dev: {k: after[dev][k] - row[k] for k in row if after[dev][k] != row[k]} for dev, row in before.items()}


@pytest.fixture
def wired(pair):
    """a and b with static neighbours and no IPv6: a packet moves no counter but its own."""
    a, b, quiet = pair
    without_ipv6(a, b, quiet)
    for ns, dev, peer, peer_dev, addr in ((a, "va", b, "vb", "10.9.0.2"), (b, "vb", a, "va", "10.9.0.1")):
        mac = json.loads(peer.run("ip", "-j", "link", "show", peer_dev).stdout)[0]["address"]
        ns.sh(f"ip neigh replace {addr} lladdr {mac} nud permanent dev {dev}")
    wait_for(lambda: witness(a)["va"]["operstate"] == 6 == witness(b)["vb"]["operstate"], what="the link")
    return a, b, quiet


def frame(ns, dev, ethertype, count, dst=b"\xff" * 6, size=100):
    with ns.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((dev, 0))
        for _ in range(count):
            s.send(dst + b"\x02\0\0\0\0\x01" + ethertype.to_bytes(2, "big") + b"\0" * (size - 14))


def test_thousand_packets(wired):
    a, b, quiet = wired
    before = agree(a), agree(b), agree(quiet)
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink, a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        sink.bind(("10.9.0.2", 9))
        for _ in range(1000):
            s.sendto(b"x" * 58, ("10.9.0.2", 9))  # 100 bytes with their headers
    wait_for(lambda: witness(b)["vb"]["rxpackets"] - before[1]["vb"]["rxpackets"] >= 1000, what="1000 packets")
    assert moved(before[0], agree(a)) == {"lo": {}, "va": {"txpackets": 1000, "txbytes": 100000}}
    assert moved(before[1], agree(b)) == {"lo": {}, "vb": {"rxpackets": 1000, "rxbytes": 100000}}
    assert agree(quiet) == before[2]


def test_unwanted_frames_are_dropped_on_receive(wired):
    a, b, quiet = wired
    before = agree(a), agree(b)
    frame(a, "va", 0x88cc, 13)  # LLDP, which nobody here listens to
    wait_for(lambda: witness(b)["vb"]["rxdropped"] - before[1]["vb"]["rxdropped"] >= 13, what="13 drops")
    assert moved(before[0], agree(a))["va"] == {"txpackets": 13, "txbytes": 1300}
    assert moved(before[1], agree(b))["vb"] == {"rxpackets": 13, "rxbytes": 1300, "rxdropped": 13}


def test_peer_that_is_down_drops_on_send(wired):
    a, b, quiet = wired
    b.sh("ip link set vb down")
    wait_for(lambda: witness(a)["va"]["operstate"] != 6, what="no carrier")
    before = agree(a)
    frame(a, "va", 0x0800, 17)
    # Old kernels throw these away without counting them.
    assert moved(before, agree(a)) in ({"lo": {}, "va": {"txdropped": 17}}, {"lo": {}, "va": {}})
    assert agree(quiet)["lo"]["txdropped"] == 0


def test_frame_too_large_for_the_peer(wired):
    """The MTU of a pair differs: both sides count it."""
    a, b, quiet = wired
    b.sh("ip link set vb mtu 500")
    before = agree(a), agree(b)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(6):
            s.sendto(b"x" * 1000, ("10.9.0.2", 9))
    assert moved(before[0], agree(a))["va"].get("txdropped") == 6
    assert moved(before[1], agree(b))["vb"] == {"rxdropped": 6}


def test_link_that_flaps(wired):
    a, b, quiet = wired
    before = agree(a)["va"]
    for _ in range(2):
        b.sh("ip link set vb down")
        wait_for(lambda: witness(a)["va"]["operstate"] != 6, what="no carrier")
        assert ours(a, "-a")["va"]["operstate"] == witness(a)["va"]["operstate"]
        b.sh("ip link set vb up")
        wait_for(lambda: witness(a)["va"]["operstate"] == 6, what="carrier")
    after = agree(a)["va"]
    grown = {k: after[k] - before[k] for k in ("carrierchanges", "carrierup", "carrierdown")}
    assert grown == {"carrierchanges": 4, "carrierup": 2, "carrierdown": 2}
    assert agree(quiet)["lo"]["carrierchanges"] == 0


def test_loopback_only_where_asked(wired):
    a, b, quiet = wired
    with quiet.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink, \
            quiet.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        sink.bind(("127.0.0.1", 9))
        for _ in range(5):
            s.sendto(b"x", ("127.0.0.1", 9))
    assert ours(quiet) == {}
    assert ours(quiet, "--lo")["lo"]["rxpackets"] == 5
    # The loopback device is no matter of its name.
    quiet.sh("ip link set lo down; ip link set lo name loop; ip link set loop up")
    assert ours(quiet) == {} and set(ours(quiet, "--lo")) == {"loop"}


def test_device_filter(wired):
    a, b, quiet = wired
    a.sh("for i in 1 2 3; do ip link add cali$i type veth peer name peer$i; done")
    assert set(ours(a, "--device", "cali*")) == {"cali1", "cali2", "cali3"}
    assert set(ours(a, "--device", "peer[12]")) == {"peer1", "peer2"}
    assert set(ours(a, "--device", "va")) == {"va"}
    assert ours(a, "--device", "lo") == {} and set(ours(a, "--device", "lo", "--lo")) == {"lo"}
    assert ours(a, "--device", "nothing") == {}


def test_sum_counts_a_packet_once(wired):
    """A bridge and its ports see the same packets: only the bridge counts, as do devices that stand alone."""
    a, b, quiet = wired
    a.sh("""ip link add br0 type bridge
	ip link set va master br0; ip addr flush dev va; ip link set br0 up; ip addr add 10.9.0.1/24 dev br0
	ip link add one type veth peer name two; ip link set one up; ip link set two up""")
    mac = json.loads(b.run("ip", "-j", "link", "show", "vb").stdout)[0]["address"]
    a.sh(f"ip neigh replace 10.9.0.2 lladdr {mac} nud permanent dev br0")
    before = agree(a)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(30):
            s.sendto(b"x" * 58, ("10.9.0.2", 9))
    frame(a, "one", 0x88cc, 4)
    wait_for(lambda: witness(a)["two"]["rxpackets"] - before["two"]["rxpackets"] >= 4, what="4 frames")
    wait_for(lambda: witness(a)["va"]["txpackets"] - before["va"]["txpackets"] >= 30, what="30 packets")
    after = agree(a)
    # Both saw them; a bridge may have said something of its own.
    grown = moved(before, after)
    assert grown["va"]["txpackets"] >= 30 and grown["br0"]["txpackets"] >= 30
    total = more = None

    def all_sums():
        nonlocal after, total, more
        after, total, more = agree(a), ours(a, "--sum"), ours(a, "--sum", "-a")[None]
        return agree(a) == after
    wait_for(all_sums, timeout=30, what="devices at rest")
    assert set(total) == {None} and list(total[None]) == CONTRACT
    alone = ("br0", "one", "two")
    for name in CONTRACT:
        assert total[None][name] == sum(after[dev][name] for dev in alone), name
    # With -a the further counters, too, but no gauge: there is no sum of them.
    assert more["multicast"] == sum(after[dev]["multicast"] for dev in alone)
    assert not {"mtu", "operstate", "physical", "defaultroute"} & set(more)
    # A port counts when its master is not looked at.
    assert list(ours(a, "--sum", "--device", "va")[None]) == CONTRACT
    assert ours(a, "--sum", "--device", "va")[None]["txpackets"] >= after["va"]["txpackets"] > 0


def test_roles(wired):
    a, b, quiet = wired

    def role(what):
        return {dev for dev, row in ours(a, "-a", "--lo").items() if row[what]}
    assert role("defaultroute") == set() and role("physical") == set()
    a.sh("ip route add default via 10.9.0.2")
    assert role("defaultroute") == {"va"}
    a.sh("ip route del default; ip route add unreachable default; ip route add default via 10.9.0.2 table 99")
    assert role("defaultroute") == set()
    a.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0; ip -6 route add default dev va")
    assert role("defaultroute") == {"va"}
    # The default stands before a whole table of others.
    a.sh("ip -6 route del default; ip route del unreachable default")
    batch = "".join(f"route add 10.{i >> 8}.{i & 255}.0/24 via 10.9.0.2\n" for i in range(3000, 5000))
    assert a.run("ip", "-batch", "-", stdin=None, input=batch).returncode == 0
    assert role("defaultroute") == set()
    a.sh("ip link add x0 type veth peer name x1; ip addr add 10.7.0.1/24 dev x0; ip link set x0 up; ip link set x1 up;"
         "ip route add default nexthop via 10.9.0.2 dev va nexthop via 10.7.0.2 dev x0")
    assert role("defaultroute") == {"va", "x0"}


def test_hardware_is_physical():
    """The host's own devices: those with a device behind them in /sys, and no others."""
    mine = rows(records("netdev", "--host", "-a", "--lo"))
    real = {p.name for p in pathlib.Path("/sys/class/net").iterdir() if (p / "device").exists()}
    assert {dev for dev, row in mine.items() if row["physical"]} == real


def test_five_hundred_devices(wired):
    a, b, quiet = wired
    batch = "".join(f"link add x{i} type veth peer name y{i}\n" for i in range(250))
    assert a.run("ip", "-batch", "-", stdin=None, input=batch).returncode == 0
    assert len(agree(a)) == 502


def test_without_privilege_the_file_is_read(wired):
    a, b, quiet = wired
    frame(a, "va", 0x88cc, 3)
    child = a.popen("sleep", "60")
    full = agree(a)
    done = run([*NOBODY, tool("netdev"), "-p", child.pid, "--lo", "-o", "json"])
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(map(json.loads, done.stdout.splitlines())) == net_dev(a)
    done = run([*NOBODY, tool("netdev"), "-p", child.pid, "-a", "-o", "json"])
    got = rows(map(json.loads, done.stdout.splitlines()))
    assert done.returncode == 0 and "CAP_SYS_ADMIN" in done.stderr
    assert {k: full["va"][k] for k in got["va"]} == got["va"] and "multicast" in got["va"]
    # How devices are stacked is not in the file.
    done = run([*NOBODY, tool("netdev"), "-p", child.pid, "--sum"])
    assert done.returncode == 3 and "CAP_SYS_ADMIN" in done.stderr


HEADER = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
"""


def test_file_of_another_machine(tmp_path):
    args = fake_proc(tmp_path, {"dev": HEADER + "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
                                "  eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"})
    got = values(records("netdev", *args), device="eth0")
    assert got == {PREFIX + k: v for k, v in dict(rxbytes=2**64 - 1, rxerrors=3, txbytes=9, txerrors=11, rxpackets=2,
                                                  rxdropped=4, txpackets=10, txdropped=12).items()}


@pytest.mark.parametrize("text", ["", "x\n", HEADER + "eth0: 1 2\n", HEADER + "eth0 1\n",
                                  HEADER + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", HEADER[:-1],
                                  HEADER + "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -1\n"])
def test_malformed_file(tmp_path, text):
    done = skoop("netdev", *fake_proc(tmp_path, {"dev": text}), rc=1)
    assert "net/dev" in done.stderr and done.stderr.count("\n") == 1 and "eth0" not in done.stdout
