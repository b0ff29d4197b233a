# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-ip in real namespaces: packets without a route, packets cut short, and with -a all the rest against nstat."""
import os
import socket
import struct

import pytest

from exact import Watch, proc_counters, snmp6, trio, wait_counter  # noqa: F401
from ghost import Ghost
from skooplib import records, values, wait_for

pytestmark = pytest.mark.kernels

NOWHERE, NOWHERE6 = "203.0.113.1", "2001:db8::1"


@pytest.fixture
def router(trio):  # noqa: F811
    """Namespace b forwards, and a sends what it does not know through it."""
    a, b, quiet = trio
    b.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    a.sh(f"ip route add {NOWHERE} via 10.9.0.2; ip -6 route add {NOWHERE6} via fd00:9::2")
    yield a, b, quiet
    a.sh(f"ip route del {NOWHERE}; ip -6 route del {NOWHERE6}")
    b.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")


def send(ns, family, address, count):
    with ns.socket(family, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            try:
                sock.sendto(b"x", (address, 9))
            except OSError:  # the ICMP error of the one before
                sock.sendto(b"x", (address, 9))


def test_no_route(router):
    a, b, quiet = router
    watch = Watch("ip", a, b, quiet)
    since = proc_counters(b)
    send(a, socket.AF_INET, NOWHERE, 3)
    wait_counter(b, "IpExtInNoRoutes", 3, since)
    grown = watch.grown()
    assert grown[b]["innoroutes"] == 3 and grown[b]["icmpoutdestunreachs"] >= 1
    assert "innoroutes" not in grown[a] and grown[quiet] == {}


def test_no_route_for_ipv6(router):
    """Told apart by a label, so that a sum over the contract's name is not changed without -a."""
    a, b, quiet = router
    watch = Watch("ip", a, b, quiet)
    since = snmp6(b, "Ip6InNoRoutes")
    send(a, socket.AF_INET6, NOWHERE6, 3)
    wait_for(lambda: snmp6(b, "Ip6InNoRoutes") >= since + 3, what="three packets")
    grown = watch.grown()
    assert grown[b]["innoroutes/ipv6"] == 3 and "innoroutes" not in grown[b]
    assert grown[quiet] == {}


def test_without_forwarding_it_is_another_counter(trio):  # noqa: F811
    a, b, quiet = trio
    watch = Watch("ip", a, b, quiet)
    ghost, since = Ghost(a, b), proc_counters(b)
    ghost.target = NOWHERE
    for _ in range(3):
        ghost.send_ip(17, struct.pack("!HHHH", 1, 9, 8, 0))
    wait_counter(b, "IpInAddrErrors", 3, since)
    ghost.close()
    grown = watch.grown()
    assert grown[b]["inaddrerrors"] == 3 and "innoroutes" not in grown[b]
    assert grown[quiet] == {}


def test_cut_short(trio):  # noqa: F811
    a, b, quiet = trio
    watch = Watch("ip", a, b, quiet)
    ghost, since = Ghost(a, b), proc_counters(b)
    for _ in range(3):
        ghost.send_ip(17, struct.pack("!HHHH", 1, 9, 8, 0) + b"x" * 30, total=200)
    wait_counter(b, "IpExtInTruncatedPkts", 3, since)
    ghost.close()
    grown = watch.grown()
    assert grown[b]["intruncatedpkts"] == 3
    assert "intruncatedpkts" not in grown[a] and grown[quiet] == {}


def test_levels_are_the_sysctls(router):
    _, b, quiet = router
    for ns, forwarding in ((b, 1), (quiet, 2)):
        told = values(records("ip", "-n", ns.name, "-a"))
        assert told["kubeskoop_ip_forwarding"] == forwarding
        assert told["kubeskoop_ip_defaultttl"] == int(ns.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout)
    assert len(values(records("ip", "-n", quiet.name))) == 2


def neighbour_table(file):
    """{metric: value} of net/stat, added up by hand: the entries are the whole table's in each line."""
    keys, *lines = [line.split() for line in open(f"/proc/self/net/stat/{file}").read().splitlines()]
    columns = list(zip(*[[int(word, 16) for word in line] for line in lines]))
    return {"kubeskoop_ip_neigh" + key.replace("_", ""): column[0] if key == "entries" else sum(column)
            for key, column in zip(keys, columns)}


@pytest.mark.parametrize("file,family", [("arp_cache", "ipv4"), ("ndisc_cache", "ipv6")])
def test_neighbour_tables_of_the_machine(trio, file, family):  # noqa: F811
    """All of them in one table; a host that does not answer moves it. The file is the first namespace's alone."""
    a, _, _ = trio
    if not os.path.exists(f"/proc/self/net/stat/{file}"):
        assert not [r for r in records("ip", "-a") if "neigh" in r["metric"]]
        return

    def told():
        """With the table in the same state before and after."""
        while True:
            before = neighbour_table(file)
            recs = records("ip", "-n", a.name, "-a")
            if before == neighbour_table(file):
                mine = {r["metric"]: r["value"] for r in recs
                        if r["labels"].get("family") == family and "_neigh" in r["metric"]}
                assert {(r["scope"], r["labels"]["target_pod"]) for r in recs if "_neigh" in r["metric"]} == {
                    ("host", "hostNetwork")}
                assert mine == before
                return mine

    before = told()
    with a.socket(socket.AF_INET if family == "ipv4" else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("10.9.0.123" if family == "ipv4" else "fd00:9::123", 9))
    after = told()
    assert after["kubeskoop_ip_neighallocs"] > before["kubeskoop_ip_neighallocs"]
