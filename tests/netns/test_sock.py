# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-sock in real namespaces: sockets made, closed and abandoned; the machine's values against the file and ss."""
import contextlib
import functools
import os
import re
import socket
import struct

import pytest

from exact import Listener, abort, proc_counters, trio, wait_counter  # noqa: F401
from ghost import Ghost, checksum
from skooplib import records, run, tool, values, wait_for

pytestmark = pytest.mark.kernels


def sockstat(ns=None):
    """{line and key: value} of both files, of a namespace or of the machine (the own namespace)."""
    def read():
        return open("/proc/thread-self/net/sockstat").read() + open("/proc/thread-self/net/sockstat6").read()
    if ns:
        with ns.inside():
            text = read()
    else:
        text = read()
    out = {}
    for line in text.splitlines():
        name, *words = line.split()
        out.update({name + key: int(value) for key, value in zip(words[::2], words[1::2])})
    return out


def told(ns=None, *options):
    """The probe's records of a namespace, or of the machine, and the file that was the same before and after."""
    for _ in range(200):
        before = sockstat(ns)
        recs = records("sock", *(["-n", ns.name] if ns else ["--host"]), *options)
        if before == sockstat(ns):
            return recs, before
    raise AssertionError("the sockets do not come to rest")


def netns_values(ns, *options):
    return values(records("sock", "-n", ns.name, *options), ns.pod)


def undisturbed(test):
    """What the machine's values grew by holds only while nobody else opens or closes: up to five tries."""
    @functools.wraps(test)
    def tried(*args, **kw):
        for _ in range(4):
            with contextlib.suppress(AssertionError):
                return test(*args, **kw)
        return test(*args, **kw)
    return tried


def check_machine(recs, file):
    mine = values(recs, "hostNetwork")
    assert mine["kubeskoop_sock_orphan"] == file["TCP:orphan"]
    assert mine["kubeskoop_sock_alloc"] == file["TCP:alloc"]
    assert mine["kubeskoop_sock_mem"] == file["TCP:mem"]
    assert mine["kubeskoop_sock_membytes"] == file["TCP:mem"] * os.sysconf("SC_PAGESIZE")
    return mine


@pytest.mark.parametrize("family,address", [(socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd00:9::2")], ids=["v4", "v6"])
@undisturbed
def test_in_use_by_namespace(trio, family, address):  # noqa: F811
    a, b, quiet = trio
    before = [netns_values(ns)["kubeskoop_sock_inuse"] for ns in trio]
    machine = values(told()[0], "hostNetwork")["kubeskoop_sock_alloc"]
    with Listener(b, 80, backlog=32, address=address, family=family) as server:
        clients = [a.socket(family) for _ in range(20)]
        for client in clients:
            client.connect((address, 80))
            server.accept()
        after = [netns_values(ns)["kubeskoop_sock_inuse"] for ns in trio]
        assert [x - y for x, y in zip(after, before)] == [20, 21, 0]
        # The witness: ss counts what is there, TIME_WAIT and half-open aside.
        for ns, value in zip(trio, after):
            states = [line.split()[0] for line in ns.run("ss", "-tanH").stdout.splitlines()]
            assert value == sum(state not in ("TIME-WAIT", "SYN-RECV") for state in states)
        recs, file = told()
        assert check_machine(recs, file)["kubeskoop_sock_alloc"] >= machine + 41
        for client in clients:
            abort(client)


def test_time_wait_is_the_side_that_closed_first(trio):  # noqa: F811
    a, b, quiet = trio
    before = [netns_values(ns)["kubeskoop_sock_tw"] for ns in trio]
    with Listener(b, 81) as server:
        for _ in range(10):
            with a.socket() as client:
                client.connect(("10.9.0.2", 81))
                server.accept().close()
                assert client.recv(1) == b""
    wait_for(lambda: sockstat(b)["TCP:tw"] == before[1] + 10, what="ten in TIME_WAIT")
    after = [netns_values(ns)["kubeskoop_sock_tw"] for ns in trio]
    assert [x - y for x, y in zip(after, before)] == [0, 10, 0]
    assert after[1] == len(b.run("ss", "-tanH", "state", "time-wait").stdout.splitlines())


@undisturbed
def test_orphans_and_memory_are_the_machines(trio):  # noqa: F811
    """Closed with data the peer does not take: orphans; and the data are memory."""
    a, b, _ = trio
    ghost, since = Ghost(a, b), proc_counters(b)
    recs, file = told()
    before = check_machine(recs, file)
    with Listener(b, 82) as server:
        conns = []
        for _ in range(5):
            conns.append(ghost.connect(82, wscale=10))
            child = server.accept()
            child.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)
            child.setblocking(False)
            sent = 0
            while sent < 2 << 20:
                sent += child.send(b"x" * 65536)
        wait_counter(b, "TcpPassiveOpens", 5, since)
        full = check_machine(*told())
        # 10 MiB are queued; what each CPU keeps to itself (1 MiB at most) hides a part.
        pages = (8 << 20) // os.sysconf("SC_PAGESIZE")
        assert full["kubeskoop_sock_mem"] >= before["kubeskoop_sock_mem"] + pages
        for child in server.children:
            child.close()
        orphaned = check_machine(*told())
        assert orphaned["kubeskoop_sock_orphan"] >= before["kubeskoop_sock_orphan"] + 5
        orphans = int(re.search(r"orphaned (\d+)", b.run("ss", "-s").stdout).group(1))
        assert orphans == orphaned["kubeskoop_sock_orphan"]
        for conn in conns:
            conn.send("R")
        wait_for(lambda: sockstat()["TCP:orphan"] < file["TCP:orphan"] + 5, what="the orphans' end")
    ghost.close()


def test_machine_values_come_once_and_are_the_hosts(trio):  # noqa: F811
    recs = records("sock", "-a", *[w for ns in trio for w in ("-n", ns.name)])
    host = [r for r in recs if r["scope"] == "host"]
    assert {r["labels"]["target_pod"] for r in host} == {"hostNetwork"}
    assert len(host) == len({(r["metric"], r["labels"].get("family")) for r in host})
    netns = {r["labels"]["target_pod"] for r in recs if r["scope"] == "netns"}
    assert {ns.pod for ns in trio} == netns


def test_all(trio):  # noqa: F811
    """UDP, RAW and fragments; IPv6 by label. A fragment that waits is counted with its memory."""
    a, b, quiet = trio
    ghost = Ghost(a, b)
    quiet_before = netns_values(quiet, "-a")
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, b.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp6, \
            b.socket(socket.AF_INET, socket.SOCK_RAW, 99), b.socket(socket.AF_INET6, socket.SOCK_RAW, 99):
        udp.bind(("10.9.0.2", 83))
        udp6.bind(("fd00:9::2", 83))
        # The first of several: flags say that more follow.
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 7, 0x2000, 64, 17, 0, socket.inet_aton(ghost.address),
                           socket.inet_aton(ghost.target))
        ghost.socket.sendto(head[:10] + struct.pack("!H", checksum(head)) + head[12:] + b"x" * 24, ghost.where)
        wait_for(lambda: sockstat(b)["FRAG:inuse"] == 1, what="the fragment")
        recs, file = told(b, "-a")
    mine, mine6 = values(recs, b.pod), values(recs, b.pod, family="ipv6")
    for name, key in (("udpinuse", "UDP:inuse"), ("rawinuse", "RAW:inuse"), ("fraginuse", "FRAG:inuse"),
                      ("fragmemory", "FRAG:memory"), ("inuse", "TCP:inuse"), ("tw", "TCP:tw"), ("socketsused", "sockets:used")):
        value = file[key] + (file["TCP6:inuse"] if name == "inuse" else 0)
        assert mine["kubeskoop_sock_" + name] == value, name
    for name, key in (("udpinuse", "UDP6:inuse"), ("rawinuse", "RAW6:inuse"), ("fraginuse", "FRAG6:inuse"),
                      ("fragmemory", "FRAG6:memory")):
        assert mine6["kubeskoop_sock_" + name] == file[key], name
    assert mine["kubeskoop_sock_udpinuse"] == mine6["kubeskoop_sock_udpinuse"] == 1
    assert mine["kubeskoop_sock_rawinuse"] == mine6["kubeskoop_sock_rawinuse"] == 1
    assert mine["kubeskoop_sock_fraginuse"] == 1 and mine["kubeskoop_sock_fragmemory"] > 0
    assert netns_values(quiet, "-a") == quiet_before
    ghost.close()


def test_limits(trio):  # noqa: F811
    """The machine's as its sysctls have them; a namespace's own by entering it."""
    _, b, quiet = trio
    b.sh("sysctl -qw net.ipv4.ip_local_port_range='20000 20099' net.ipv4.tcp_max_tw_buckets=77")
    recs = records("sock", "-n", b.name, "-n", quiet.name, "-a")
    mine, other, host = (values(recs, pod) for pod in (b.pod, quiet.pod, "hostNetwork"))
    assert (mine["kubeskoop_sock_portrangelow"], mine["kubeskoop_sock_portrangehigh"]) == (20000, 20099)
    assert mine["kubeskoop_sock_tcpmaxtwbuckets"] == 77 != other["kubeskoop_sock_tcpmaxtwbuckets"]
    assert other["kubeskoop_sock_portrangelow"] != 20000
    if os.path.exists("/proc/sys/net/ipv4/tcp_mem"):
        for name in ("tcp", "udp"):
            limits = [int(w) for w in open(f"/proc/sys/net/ipv4/{name}_mem").read().split()]
            assert limits == [host[f"kubeskoop_sock_{name}mem{which}"] for which in ("min", "pressure", "max")]
        assert host["kubeskoop_sock_tcpmaxorphans"] == int(open("/proc/sys/net/ipv4/tcp_max_orphans").read())


def test_who_may_not_enter_gets_the_rest(trio):  # noqa: F811
    """A process of the namespace is enough for its sockets; its limits are absent, and one line says so."""
    _, b, _ = trio
    child = b.popen("sleep", "60")
    wait_for(lambda: os.readlink(f"/proc/{child.pid}/ns/net") == f"net:[{b.inode}]", what="the process")
    done = run(["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", tool("sock"), "-p", child.pid, "-a",
                "-o", "json"])
    assert done.returncode == 0, done.stderr
    names = {line.split('"metric":"')[1].split('"')[0] for line in done.stdout.splitlines()}
    assert "kubeskoop_sock_inuse" in names and "kubeskoop_sock_portrangelow" not in names
    assert "CAP_SYS_ADMIN" in done.stderr and done.stderr.count("\n") == 1
    child.kill()
