# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-ipvs over the files of kernels that have it, and against ipvsadm where this one does."""
import json
import re
import socket

import pytest

from skooplib import FIXTURES, NOBODY, fake_proc, records, run, skoop, tool, values, wait_for

pytestmark = pytest.mark.kernels

PREFIX = "kubeskoop_ipvs_"
TOTALS = ["connections", "incomingpackets", "outgoingbytes", "incomingbytes", "outgoingpackets"]


def fixture(name):
    return (FIXTURES / f"proc/ip_vs_stats/{name}").read_text()


@pytest.mark.parametrize("name, expected", [
    ("masquerade", (3, 15, 3804, 819, 15)),
    ("idle", (0, 0, 0, 0, 0)),
    ("large", (0xfffffffff, 2**64 - 1, 0x123456789abcdef0, 2**64 - 2, 0x100000000)),
])
def test_totals(tmp_path, name, expected):
    got = values(records("ipvs", *fake_proc(tmp_path, {"ip_vs_stats": fixture(name)})))
    assert got == dict(zip((PREFIX + name for name in TOTALS), expected))


def test_module_that_is_not_loaded(tmp_path):
    for more in ((), ("--services",)):
        done = skoop("ipvs", *fake_proc(tmp_path / str(len(more))), *more, rc=4)
        assert (done.stdout, done.stderr) == ("", "skoop-ipvs: ip_vs is not loaded\n")


@pytest.mark.parametrize("text", ["", "\n\n\n", fixture("idle").split("\n")[0] + "\n", fixture("masquerade")[:150],
                                  fixture("masquerade").replace("333", "33x"),
                                  fixture("masquerade").replace("EDC", "EDC 1"),
                                  fixture("masquerade").replace("EDC", "EDC1234567890ABCD")])
def test_malformed_file(tmp_path, text):
    done = skoop("ipvs", *fake_proc(tmp_path, {"ip_vs_stats": text}), rc=1)
    assert "net/ip_vs_stats" in done.stderr and done.stderr.count("\n") == 1 and "connections" not in done.stdout


def test_services_that_cannot_be_asked(tmp_path):
    """The totals stay when the rest is refused or gone."""
    done = skoop("ipvs", *fake_proc(tmp_path, {"ip_vs_stats": fixture("masquerade")}), "--services", "-o", "json", rc=None)
    assert {json.loads(line)["metric"] for line in done.stdout.splitlines()} == {PREFIX + name for name in TOTALS}


# ---- where this kernel has IPVS ----

def balanced(ns):
    """A virtual service at port 80 over a server at port 8080 of the same namespace, and one by mark."""
    if ns.run("ipvsadm", "-A", "-t", "10.9.0.2:80", "-s", "rr").returncode:
        pytest.skip("this kernel has no ip_vs")
    ns.sh("""ipvsadm -a -t 10.9.0.2:80 -r 10.9.0.2:8080 -m -w 5
	ipvsadm -a -t 10.9.0.2:80 -r 10.9.0.3:80 -g -w 0
	ipvsadm -A -f 7 -s rr
	ipvsadm -A -t [fd00:9::2]:80 -s rr; ipvsadm -a -t [fd00:9::2]:80 -r [fd00:9::3]:80 -i -w 1""")
    server = ns.socket()
    server.bind(("10.9.0.2", 8080))
    server.listen(10)
    return server


def witness(ns):
    """{address:port or (service, server): (conns, in packets, out packets, in bytes, out bytes)}, and the totals."""
    out, service = {}, None
    for line in ns.run("ipvsadm", "-Ln", "--stats", "--exact").stdout.splitlines():
        match = re.match(r"(TCP|FWM| +->) +(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$", line)
        if not match:
            continue
        numbers = tuple(int(n) for n in match.groups()[2:])
        if "->" in match[1]:
            out[service, match[2]] = numbers
        else:
            service = match[2]
            out[service] = numbers
    return out


def states(ns):
    """{(service, server): (method, weight, active, inactive)}"""
    out, service = {}, None
    for line in ns.run("ipvsadm", "-Ln").stdout.splitlines():
        words = line.split()
        if words[:1] in (["TCP"], ["FWM"]):
            service = words[1]
        elif words[:1] == ["->"] and words[-1].isdigit():
            out[service, words[1]] = (words[2].lower(), *map(int, words[3:6]))
    assert len(out) == 3
    return out


def ours(recs):
    out = {}
    for r in recs:
        labels, name = r["labels"], r["metric"][len(PREFIX):]
        if "fwmark" in labels:
            key = labels["fwmark"]
        elif "vaddr" in labels:
            key = ("[%(vaddr)s]:%(vport)s" if ":" in labels["vaddr"] else "%(vaddr)s:%(vport)s") % labels
        else:
            key = None
        if "raddr" in labels:
            key = (key, ("[%(raddr)s]:%(rport)s" if ":" in labels["raddr"] else "%(raddr)s:%(rport)s") % labels)
        row = out.setdefault(key, {})
        name = name.removeprefix("server" if isinstance(key, tuple) else "service" if key else "")
        assert name not in row
        row[name] = r["value"]
        row["labels"] = labels
    return out


def numbers(row):
    return tuple(row[k] for k in ("connections", "incomingpackets", "outgoingpackets", "incomingbytes", "outgoingbytes"))


def test_services_and_servers(pair):
    a, b, quiet = pair
    with balanced(b) as server:
        for _ in range(3):
            with a.socket() as client:
                client.settimeout(10)
                client.connect(("10.9.0.2", 80))
                peer, _ = server.accept()
                with peer:
                    client.send(b"hello")
                    peer.recv(10)
                    peer.send(b"x" * 1000)
                    while len(client.recv(2000, socket.MSG_PEEK)) < 1000:
                        pass
        # One to the server itself, which is no business of the balancer.
        with a.socket() as client:
            client.connect(("10.9.0.2", 8080))
    # The kernel refreshes what it shows every two seconds.
    last = []

    def still():
        last.append((witness(b), b.run("cat", "/proc/net/ip_vs_stats").stdout.split("\n")[2]))
        return last[-1][0]["10.9.0.2:80"][0] == 3 and len(last) > 60 and last[-1] == last[-60]
    wait_for(still, timeout=60, what="counters at rest")
    theirs, mine = witness(b), ours(records("ipvs", "-n", b.name, "--services"))
    assert set(mine) == set(theirs) | {None}
    for key, row in theirs.items():
        assert numbers(mine[key]) == row, key
    assert numbers(mine[None]) == theirs["10.9.0.2:80"]
    assert mine["10.9.0.2:80"]["connections"] == 3 and mine["10.9.0.2:80"]["outgoingbytes"] > 3000
    near, far = mine["10.9.0.2:80", "10.9.0.2:8080"], mine["10.9.0.2:80", "10.9.0.3:80"]
    assert near["connections"] == 3 and far["connections"] == 0
    for key, state in states(b).items():
        row = mine[key]
        assert (row["labels"]["forward"], row["weight"], row["active"], row["inactive"]) == state, key
    assert (near["weight"], near["labels"]["forward"]) == (5, "masq")
    assert (far["weight"], far["labels"]["forward"]) == (0, "route")
    assert mine["[fd00:9::2]:80", "[fd00:9::3]:80"]["labels"]["forward"] == "tunnel"
    assert mine["10.9.0.2:80"]["labels"]["scheduler"] == "rr"
    # Without the option the totals alone; the neighbour has them, as zeros.
    assert ours(records("ipvs", "-n", b.name)).keys() == {None}
    assert numbers(ours(records("ipvs", "-n", quiet.name, "--services"))[None]) == (0, 0, 0, 0, 0)


def test_services_without_privilege(pair):
    a, b, quiet = pair
    with balanced(b):
        child = b.popen("sleep", "60")
        done = run([*NOBODY, tool("ipvs"), "-p", child.pid, "--services", "-o", "json"])
    assert done.returncode == 0 and "virtual services" in done.stderr and "CAP_NET_ADMIN" in done.stderr
    assert {json.loads(line)["metric"] for line in done.stdout.splitlines()} == {PREFIX + name for name in TOTALS}
