# SPDX-License-Identifier: GPL-2.0-or-later
"""Every value of a probe against an independent reading of the same namespaces, at the same moment."""
import json
import socket
import struct
import time

import pytest

from skooplib import Netns, records, run, values, veth, wait_for

# What nstat calls a group, and what the metrics of it are called; the longer names first.
GROUPS = {
    "tcpext": {"MPTcpExt": ("mptcp", None), "TcpExt": ("", None)},
    "tcp": {"Tcp": ("", None)},
    "udp": {"UdpLite6": ("udplite", "ipv6"), "Udp6": ("", "ipv6"), "UdpLite": ("udplite", None), "Udp": ("", None)},
    "ip": {"IpExt": ("", None), "Ip6": ("", "ipv6"), "Icmp6": ("icmp", "ipv6"), "IcmpMsg": ("icmp", None),
           "Icmp": ("icmp", None), "Ip": ("", None)},
}


# What nstat leaves out, because it never adds up: gauges and constants.
NOT_IN_NSTAT = {"tcp": {"rtoalgorithm", "rtomin", "rtomax", "maxconn", "currestab"}, "ip": {"forwarding", "defaultttl"}}


@pytest.fixture(scope="module")
def trio():
    """Namespaces as the fixture `pair` has them, for all tests of a module; without what IPv6 says by itself."""
    with Netns("qa") as a, Netns("qb") as b, Netns("quiet") as quiet:
        for ns in (a, b):
            ns.sh("sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_ra=0"
                  " net.ipv6.conf.default.dad_transmits=0")
        veth(a, b)
        for ns, dev in ((a, "va"), (b, "vb")):  # before it has that route, IPv6 takes no multicast
            wait_for(lambda: f"ff00::/8 dev {dev}" in ns.run("ip", "-6", "route", "show", "table", "local").stdout,
                     what="IPv6")
        yield a, b, quiet


def nstat(ns):
    """{counter: value}, zeros too, by nstat without its history file."""
    with ns.inside():
        return json.loads(run(["nstat", "-aszj"]).stdout)["kernel"]


def witness(probe, counters):
    """{(metric, family): value} of the probe, out of what nstat or proc_counters read."""
    out = {}
    for key, value in counters.items():
        group = next((g for g in sorted(("MPTcpExt", "TcpExt", "IpExt", "UdpLite6", "UdpLite", "Udp6", "Udp", "Tcp",
                                         "Ip6", "Icmp6", "IcmpMsg", "Icmp", "Ip"), key=len, reverse=True)
                      if key.startswith(g)), None)
        if group in GROUPS[probe]:
            prefix, family = GROUPS[probe][group]
            out[f"kubeskoop_{probe}_{prefix}{key[len(group):].lower()}", family] = value
    return out


def proc_counters(ns):
    """{group and key: value} of snmp and netstat, read by hand; cheap enough to poll."""
    out = {}
    with ns.inside():
        texts = [open(f"/proc/thread-self/net/{name}").read() for name in ("snmp", "netstat")]
    for text in texts:
        lines = text.splitlines()
        for keys, numbers in zip(lines[::2], lines[1::2]):
            group = keys.split(":")[0]
            out.update({group + k: int(v) for k, v in zip(keys.split()[1:], numbers.split()[1:])})
    return out


def snmp6(ns, key):
    """One counter of IPv6, by hand."""
    with ns.inside():
        lines = open("/proc/thread-self/net/snmp6").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == key)


def probe_values(probe, spaces, *options):
    """{namespace: {(metric, family): value}} as the probe tells them."""
    recs = records(probe, *[w for ns in spaces for w in ("-n", ns.name)], *options)
    return {ns: {(m, family): v for family in (None, "ipv6")
                 for m, v in values(recs, ns.pod, **({"family": family} if family else {})).items()} for ns in spaces}


class Watch:
    """Reads a probe with -a over several namespaces, each time compared value by value with nstat there."""

    def __init__(self, probe, *spaces):
        self.probe, self.spaces = probe, spaces
        self.first = self.last = self.read()

    def read(self):
        """Values of a moment in which nothing moved: nstat gives the same before and after."""
        end = time.monotonic() + 60
        while True:
            before = {ns: witness(self.probe, nstat(ns)) for ns in self.spaces}
            mine = probe_values(self.probe, self.spaces, "-a")
            if before == {ns: witness(self.probe, nstat(ns)) for ns in self.spaces}:
                break
            assert time.monotonic() < end, "the counters do not come to rest"
        for ns in self.spaces:
            ours = {f"kubeskoop_{self.probe}_{name}" for name in NOT_IN_NSTAT.get(self.probe, ())}
            told = {key: value for key, value in mine[ns].items() if key[0] not in ours}
            assert told == before[ns], f"{ns.name}: not what nstat says"
        return mine

    def grown(self):
        """Reads again; {namespace: {short metric name: growth}} since the start, only what moved."""
        self.last = self.read()
        strip = len(f"kubeskoop_{self.probe}_")
        return {ns: {name[strip:] + (f"/{family}" if family else ""): value - self.first[ns].get((name, family), 0)
                     for (name, family), value in self.last[ns].items()
                     if value != self.first[ns].get((name, family), 0)} for ns in self.spaces}


def wait_counter(ns, key, growth, since, timeout=10.0):
    """Polls until the namespace's counter (TcpExtListenDrops, …) has grown by that much over `since`."""
    end = time.monotonic() + timeout
    while proc_counters(ns)[key] - since[key] < growth:
        assert time.monotonic() < end, f"{key} grew by {proc_counters(ns)[key] - since[key]}, not {growth}"
        time.sleep(0.01)


class Listener:
    """A server whose connections end at once with a RST when the test is over, so that the next test has its rest."""

    def __init__(self, ns, port, backlog=16, address="10.9.0.2", family=socket.AF_INET):
        self.children = []
        self.socket = ns.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(backlog)

    def accept(self):
        child = self.socket.accept()[0]
        self.children.append(child)
        return child

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for child in self.children:
            abort(child)
        self.socket.close()


def abort(child):
    """Closes a socket with a RST."""
    if child.fileno() >= 0:
        child.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        child.close()
