# SPDX-License-Identifier: GPL-2.0-or-later
"""tcpsummary against ss: every state, both queues, both families, with and without privilege."""
import collections
import contextlib
import fcntl
import json
import socket
import struct
import termios

import pytest

from skooplib import records, run, skoop, tool, values, wait_for

pytestmark = pytest.mark.kernels

P = "kubeskoop_tcpsummary_"
UNPRIVILEGED = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all"]
SS_STATES = {"ESTAB": "ESTABLISHED", "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RECV", "FIN-WAIT-1": "FIN_WAIT1",
             "FIN-WAIT-2": "FIN_WAIT2", "TIME-WAIT": "TIME_WAIT", "UNCONN": "CLOSE", "CLOSE-WAIT": "CLOSE_WAIT",
             "LAST-ACK": "LAST_ACK", "LISTEN": "LISTEN", "CLOSING": "CLOSING"}


def ss(ns):
    """(state, recvq, sendq, local, remote) of each socket, as ss has them."""
    rows = [line.split() for line in ns.run("ss", "-tanH").stdout.splitlines()]
    return [(SS_STATES[r[0]], int(r[1]), int(r[2]), r[3], r[4]) for r in rows]


def ss_summary(ns):
    rows = ss(ns)
    states = collections.Counter(r[0] for r in rows)
    return {P + "tcpestablishedconn": states["ESTABLISHED"], P + "tcptimewaitconn": states["TIME_WAIT"],
            P + "tcptxqueue": sum(r[2] for r in rows if r[0] != "LISTEN"),
            P + "tcprxqueue": sum(r[1] for r in rows if r[0] != "LISTEN")}


def summary(ns, *args, **kw):
    return values(records("tcpsummary", "-n", ns.path, *args, **kw), ns.pod)


def labelled(recs, metric):
    """{labels beside the target's, as sorted pairs: value} of one metric."""
    return {tuple(sorted((k, v) for k, v in r["labels"].items() if not k.startswith("target_"))): r["value"]
            for r in recs if r["metric"] == P + metric}


def states(ns, *args, **kw):
    recs = records("tcpsummary", "-n", ns.path, "--states", *args, **kw)
    return {dict(k)["state"]: v for k, v in labelled(recs, "sockets").items()}


def assert_same(ns):
    """The probe and ss agree, once nothing moves any more."""
    def settled():
        before, ours, after = ss_summary(ns), summary(ns), ss_summary(ns)
        return before == after and (ours, before)
    ours, theirs = wait_for(settled, what="sockets to settle")
    assert ours == theirs
    return ours


class Connections:
    """TCP connections from a to b, both ends held by the test."""

    def __init__(self, a, b, family=socket.AF_INET, backlog=64, port=0):
        self.host = "10.9.0.2" if family == socket.AF_INET else "fd00:9::2"
        self.a, self.family = a, family
        self.listener = b.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.open = [self.listener]

    def client(self):
        s = self.a.socket(self.family)
        self.open.append(s)
        s.settimeout(5)
        s.connect((self.host, self.port))
        return s

    def pair(self):
        client = self.client()
        server, _ = self.listener.accept()
        self.open.append(server)
        return client, server

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for s in self.open:
            s.close()


def test_idle_namespace_has_zeros(quiet):
    assert summary(quiet) == {P + "tcpestablishedconn": 0, P + "tcptimewaitconn": 0, P + "tcptxqueue": 0,
                              P + "tcprxqueue": 0}
    assert states(quiet) == {s: 0 for s in [*SS_STATES.values(), "NEW_SYN_RECV"]}


def test_peer_that_does_not_read(pair):
    a, b, quiet = pair
    with Connections(a, b) as c:
        c.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200000)
        client, _ = c.pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1000000)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(b"x" * 65536)
        here, there = assert_same(a), assert_same(b)
    assert here[P + "tcptxqueue"] > 65536 and here[P + "tcprxqueue"] == 0
    assert there[P + "tcprxqueue"] > 65536 and there[P + "tcptxqueue"] == 0
    assert here[P + "tcpestablishedconn"] == there[P + "tcpestablishedconn"] == 1
    assert set(summary(quiet).values()) == {0}


def test_queues_to_the_byte(pair):
    a, b, _ = pair
    with Connections(a, b) as c:
        pairs = [c.pair() for _ in range(3)]
        for client, server in pairs:
            client.sendall(b"x" * 1000)
            wait_for(lambda s=server: struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, b"....")) == (1000,))
        assert summary(b)[P + "tcprxqueue"] == 3000
        worst = labelled(records("tcpsummary", "-n", b.path, "--worst"), "worstrxqueue")
        assert list(worst.values()) == [1000]
        pairs[1][0].sendall(b"y")
        worst = wait_for(lambda: {k: v for k, v in labelled(
            records("tcpsummary", "-n", b.path, "--worst"), "worstrxqueue").items() if v == 1001})
        assert list(worst) == [(("laddr", "10.9.0.2"), ("lport", str(c.port)), ("raddr", "10.9.0.1"),
                                ("rport", str(pairs[1][0].getsockname()[1])))]
        assert_same(b)


def test_thirty_time_wait(pair):
    a, b, quiet = pair
    with Connections(a, b) as c:
        for client, server in [c.pair() for _ in range(30)]:
            client.close()
            assert server.recv(1) == b""
            server.close()
        wait_for(lambda: summary(a)[P + "tcptimewaitconn"] == 30, what="30 in TIME_WAIT")
        assert assert_same(a)[P + "tcpestablishedconn"] == 0
        assert summary(b)[P + "tcptimewaitconn"] == 0
        assert states(a)["TIME_WAIT"] == 30
    assert set(summary(quiet).values()) == {0}


SYNACK = "tcp flags & (syn|ack) == syn|ack drop"


def drop(ns, rule):
    ns.sh(f"nft add table inet t; nft add chain inet t in '{{ type filter hook input priority 0; }}';"
          f"nft add rule inet t in '{rule}'")


def test_every_state_as_ss_has_it(pair):
    a, b, _ = pair
    with Connections(a, b) as c, Connections(a, b) as d, contextlib.ExitStack() as stack:
        half, _ = c.pair()
        half.shutdown(socket.SHUT_WR)                    # FIN_WAIT2 here, CLOSE_WAIT there
        wait_for(lambda: states(a)["FIN_WAIT2"] == 1)
        first, second = d.pair(), d.pair()
        drop(b, f"tcp dport {d.port} drop")              # b hears nothing more on that port
        first[0].shutdown(socket.SHUT_WR)                # FIN_WAIT1 here
        second[1].shutdown(socket.SHUT_WR)               # b's FIN arrives, the answer does not: CLOSE_WAIT, FIN_WAIT1
        wait_for(lambda: states(a)["CLOSE_WAIT"] == 1)
        second[0].close()                                # LAST_ACK here
        first[1].shutdown(socket.SHUT_WR)                # both sides' FINs cross: CLOSING here
        drop(a, f"tcp sport {c.port} {SYNACK}")
        for _ in range(2):                               # SYN_SENT here, requests there
            s = stack.enter_context(a.socket())
            s.setblocking(False)
            assert s.connect_ex((c.host, c.port))
        for ns, expected in ((a, {"FIN_WAIT1": 0, "FIN_WAIT2": 1, "CLOSING": 1, "LAST_ACK": 1, "SYN_SENT": 2}),
                             (b, {"LISTEN": 2, "CLOSE_WAIT": 1, "FIN_WAIT1": 2, "SYN_RECV": 0, "NEW_SYN_RECV": 2})):
            def agreed(ns=ns):
                before, ours, after = ss(ns), states(ns), ss(ns)
                theirs = collections.Counter(r[0] for r in before)
                if sorted(before) != sorted(after):
                    return None
                both = dict(ours)
                both["SYN_RECV"] += both.pop("NEW_SYN_RECV")  # ss does not tell them apart
                assert both == {s: theirs[s] for s in SS_STATES.values()}
                return ours
            ours = wait_for(agreed)
            assert {k: ours[k] for k in expected} == expected, ours
            by_state = labelled(records("tcpsummary", "-n", ns.path, "--by", "state"), "connections")
            assert {dict(k)["state"]: v for k, v in by_state.items()} == \
                {k: v for k, v in ours.items() if v and k != "LISTEN"}


def test_fast_open_socket_is_no_request(pair):
    """A Fast Open child waits in SYN_RECV as a socket; beside it a request."""
    a, b, _ = pair
    for ns in (a, b):
        ns.sh("sysctl -qw net.ipv4.tcp_fastopen=519")
    with Connections(a, b) as c, a.socket() as quick, a.socket() as plain:
        c.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
        drop(a, SYNACK)
        quick.setblocking(False)
        plain.setblocking(False)
        quick.sendto(b"hello", socket.MSG_FASTOPEN, (c.host, c.port))
        assert plain.connect_ex((c.host, c.port))
        got = wait_for(lambda: (s := states(b))["NEW_SYN_RECV"] and s["SYN_RECV"] and s)
        assert (got["SYN_RECV"], got["NEW_SYN_RECV"]) == (1, 1)
        b.popen("sleep", "1000")
        recs = wait_for(lambda: unprivileged(b), what="a process in the namespace")
        assert {dict(k)["state"]: v for k, v in labelled(recs, "sockets").items()} == states(b)


def unprivileged(ns):
    """The records of a namespace from a run without any capability, which may know its inode number by a mount only."""
    done = run([*UNPRIVILEGED, tool("tcpsummary"), "-a", "-o", "json"])
    assert done.returncode == 0, done.stderr
    names = {f"netns:{ns.name}", f"netns:{ns.inode}", *(f"netns:pid-{c.pid}" for c in ns.children)}
    return [r for r in map(json.loads, done.stdout.splitlines()) if r["labels"]["target_pod"] in names]


def test_accept_queue_is_no_byte(pair):
    a, b, _ = pair
    with Connections(a, b, backlog=5) as c:
        clients = [c.client() for _ in range(3)]
        for s in clients:
            s.sendall(b"x" * 100)
        where = (("laddr", "10.9.0.2"), ("lport", str(c.port)))

        def queued():
            recs = records("tcpsummary", "-n", b.path, "--listen")
            return values(recs, b.pod)[P + "tcprxqueue"] == 300 and recs
        recs = wait_for(queued, what="300 bytes")
        assert labelled(recs, "acceptqueue") == {where: 3}
        assert labelled(recs, "acceptlimit") == {where: 5}
        assert labelled(recs, "listeners") == {where: 1}
        assert ("LISTEN", 3, 5, f"10.9.0.2:{c.port}", "0.0.0.0:*") in ss(b)
        assert_same(b)


def test_listeners_that_share_a_port(quiet):
    with contextlib.ExitStack() as stack:
        for i in range(3):
            s = stack.enter_context(quiet.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind(("127.0.0.1", 7777))
            s.listen(10)
        recs = records("tcpsummary", "-n", quiet.path, "--listen")
        where = (("laddr", "127.0.0.1"), ("lport", "7777"))
        assert labelled(recs, "listeners") == {where: 3}
        assert labelled(recs, "acceptlimit") == {where: 10}
        assert summary(quiet) == ss_summary(quiet)
        assert states(quiet)["LISTEN"] == 3


def test_both_families_and_mapped_addresses(pair):
    a, b, _ = pair
    with Connections(a, b) as v4, Connections(a, b, socket.AF_INET6) as v6, b.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen(8)
        held = [v4.pair(), v6.pair(), v6.pair()]
        with a.socket() as client:
            client.connect(("10.9.0.2", both.getsockname()[1]))
            server, _ = both.accept()
            with server:
                assert server.getpeername()[0] == "::ffff:10.9.0.1"
                assert assert_same(b)[P + "tcpestablishedconn"] == 4
                assert_same(a)
                recs = records("tcpsummary", "-n", b.path, "--by", "raddr", "--listen")
                assert labelled(recs, "connections") == {(("raddr", "10.9.0.1"),): 2, (("raddr", "fd00:9::1"),): 2}
                assert {dict(k)["laddr"] for k in labelled(recs, "listeners")} == {"10.9.0.2", "fd00:9::2", "::"}
        assert len(held) == 3


def test_groups(pair):
    a, b, _ = pair
    with Connections(a, b) as c, Connections(a, b) as d:
        clients = [c.pair()[0] for _ in range(5)] + [d.pair()[0] for _ in range(2)]
        by_rport = records("tcpsummary", "-n", a.path, "--by", "rport")
        assert labelled(by_rport, "connections") == {(("rport", str(c.port)),): 5, (("rport", str(d.port)),): 2}
        top = records("tcpsummary", "-n", a.path, "--by", "peer", "--top", "1")
        assert labelled(top, "connections") == {(("laddr", "10.9.0.1"), ("raddr", "10.9.0.2"), ("rport", str(c.port))): 5}
        by_peer = [r["value"] for r in records("tcpsummary", "-n", a.path, "--by", "peer")
                   if r["metric"] == P + "connections"]
        assert by_peer == [5, 2]
        assert len(clients) == 7
    # With nothing but TIME_WAIT left, they still have their peers.
    left = records("tcpsummary", "-n", a.path, "--by", "raddr", "-a")
    assert sum(labelled(left, "connections").values()) == len(ss(a)) == 7


def test_listeners_alone_need_no_walk(quiet):
    """The census says that there is nothing else; a request, which it does not count, shows in --states."""
    with quiet.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        assert set(summary(quiet).values()) == {0}
        drop(quiet, SYNACK)
        with quiet.socket() as s:
            s.setblocking(False)
            assert s.connect_ex(listener.getsockname())
            wait_for(lambda: states(quiet)["NEW_SYN_RECV"] == 1)
        assert summary(quiet) == ss_summary(quiet)
        assert states(quiet)["NEW_SYN_RECV"] == 1


def test_without_ipv6(pair):
    a, b, _ = pair
    for ns in (a, b):
        ns.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    with Connections(a, b) as c:
        c.pair()
        assert assert_same(b)[P + "tcpestablishedconn"] == 1


def test_unprivileged_reads_the_same_from_proc(pair):
    a, b, quiet = pair
    with Connections(a, b, backlog=3) as v4, Connections(a, b, socket.AF_INET6) as v6:
        v4.pair(), v6.pair()
        v4.client().sendall(b"x" * 70)
        for ns in (a, b, quiet):
            ns.popen("sleep", "1000")
        assert_same(a), assert_same(b)
        for ns in (a, b, quiet):
            recs = wait_for(lambda ns=ns: unprivileged(ns), what="a process in the namespace")
            assert values(recs) == summary(ns)
            assert {dict(k)["state"]: v for k, v in labelled(recs, "sockets").items()} == states(ns)
            listeners = records("tcpsummary", "-n", ns.path, "--listen")
            assert labelled(recs, "acceptqueue") == labelled(listeners, "acceptqueue")
            assert not labelled(recs, "acceptlimit")
        done = run([*UNPRIVILEGED, tool("tcpsummary")])
        assert "needs CAP_SYS_ADMIN and CAP_SYS_PTRACE: sockets are read from /proc/PID/net/tcp" in done.stderr


@pytest.mark.parametrize("args", [["--top", "3"], ["--by", "colour"], ["--by", "raddr", "--top", "0"],
                                  ["--by", "raddr", "--top", "x"]])
def test_usage(args):
    done = skoop("tcpsummary", *args, rc=2)
    assert not done.stdout and len(done.stderr.splitlines()) == 1


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: 0100007F:1F90 0100007F:9C40 01 00000007:00000009 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1\n"
SOCKSTAT = "sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0\n"


def proc_tree(path, **files):
    """A /proc with one process, whose net/FILE have these texts; its namespace cannot be entered."""
    pid = path / "proc" / "100"
    (pid / "net").mkdir(parents=True)
    (pid / "ns").mkdir()
    (pid / "ns/net").symlink_to("net:[4026539999]")
    for name, text in {"cgroup": "0::/\n", "comm": "init\n", "mountinfo": "", "net/dev": "",
                       "stat": "100 (init) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0\n",
                       **{f"net/{k}": v for k, v in files.items()}}.items():
        (pid / name).write_text(text)
    return ["--procfs", path / "proc", "--rootfs", path]


def test_proc_where_sock_diag_cannot_serve(tmp_path):
    tree = proc_tree(tmp_path, sockstat=SOCKSTAT, tcp=HEADER + LINE)
    done = skoop("tcpsummary", *tree, "-o", "json")
    assert "/proc/PID/net/tcp" in done.stderr
    got = values(map(json.loads, done.stdout.splitlines()))
    assert got == {P + "tcpestablishedconn": 1, P + "tcptimewaitconn": 0, P + "tcptxqueue": 7, P + "tcprxqueue": 9}


def test_nothing_open_is_known_from_the_census(tmp_path):
    tree = proc_tree(tmp_path, sockstat=SOCKSTAT.replace("inuse 1", "inuse 0"), sockstat6="TCP6: inuse 0\n")
    done = skoop("tcpsummary", *tree, "-o", "json")
    assert not done.stderr and set(values(map(json.loads, done.stdout.splitlines())).values()) == {0}


@pytest.mark.parametrize("tcp", ["", HEADER + LINE[:-1], HEADER + LINE[:40] + "\n", "garbage\n", HEADER + LINE + "\n",
                                 HEADER + "x" * 100000])
def test_malformed_proc_file(tmp_path, tcp):
    tree = proc_tree(tmp_path, sockstat=SOCKSTAT, tcp=tcp)
    done = skoop("tcpsummary", *tree, "-o", "json", rc=1)
    assert done.stderr.count("\n") == 1 and "net/tcp" in done.stderr
    assert not done.stdout


def test_malformed_census_is_no_census(tmp_path):
    tree = proc_tree(tmp_path, sockstat="TCP: inuse\n", tcp=HEADER + LINE)
    done = skoop("tcpsummary", *tree, "-o", "json")
    assert values(map(json.loads, done.stdout.splitlines()))[P + "tcpestablishedconn"] == 1
