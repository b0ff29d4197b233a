# SPDX-License-Identifier: GPL-2.0-or-later
"""Who it was: faults caused for real, and whom `skoop snapshot` names for them, in their own namespace only."""
import contextlib
import os
import socket
import struct

from skooplib import NOBODY, nstat, run, tool
from snapshotlib import Report, Snapshot, assert_explains, assert_found, children
from test_snapshot import A, B, close_all, connected, listener, nft, send, start_connect, udp

# What kernels say of a drop, the older ones by the place alone.
FILTERED = {"NETFILTER_DROP at nft_do_chain", "NETFILTER_DROP at nf_hook_slow", "dropped at nf_hook_slow",
            "NOT_SPECIFIED at nf_hook_slow", "dropped at nft_do_chain"}


def peers(finding):
    """[(protocol, source, its port, destination, its port, how many)]"""
    return [(w["protocol"], w["saddr"], w["sport"], w["daddr"], w["dport"], w["count"]) for w in finding["who"]]


def whats(finding, i=0):
    return {w["what"]: w["count"] for w in finding["who"][i]["what"]}


def below(report, what, ns):
    return next(f for f in report.everything_of(ns) if f["id"] == what)


def test_the_filter_that_drops_syns_is_the_cause_of_unanswered_connects(pair):
    a, b, quiet = pair
    nft(b, "input", "tcp dport 5000 counter drop")
    snap = Snapshot(a, b, quiet, seconds=3).sampled()
    tries = [start_connect(a) for _ in range(10)]
    report = snap.report()
    found = assert_found(report, "filter-drop", b, [a], quiet)
    # Each SYN of ten clients, first and again, as the rule counts them: only the server's port is the same.
    dropped, = peers(found)
    assert dropped[:5] == ("TCP", A, None, B, 5000) and set(whats(found)) <= FILTERED
    assert dropped[5] == found["numbers"]["dropped"] >= 20 and found["numbers"]["live"] == 0
    assert found["who_others"] == 0 and found["who_total"] == dropped[5]
    # It is a note by itself, and shown as what follows from it.
    assert found["severity"] == "warning"
    assert_explains(report, found, "connect-unanswered", a)
    waiting = below(report, "connect-unanswered", a)
    resent, = peers(waiting)
    assert resent[:5] == ("TCP", A, None, B, 5000)
    assert waiting["numbers"]["resent"] <= resent[5] <= nstat(a)["TcpExtTCPSynRetrans"]
    assert whats(waiting) == {"syn": resent[5]}
    fate = waiting["who"][0]["dropped"]
    assert fate["target_pod"] == b.pod and fate["count"] == dropped[5] and fate["what"] in FILTERED
    close_all(*tries)


def test_unanswered_connects_to_several_peers_most_frequent_first(pair):
    a, b, quiet = pair
    nft(b, "input", "drop")
    snap = Snapshot(a, quiet, seconds=3).sampled()
    # So far apart that it does not matter which of their resends the window's edges leave out.
    tries = [start_connect(a, port) for port in range(5000, 5005) for _ in range(3 ** (port - 5000))]
    found = assert_found(snap.report(), "connect-unanswered", a, [], quiet)
    assert [p[4] for p in peers(found)] == [5004, 5003, 5002]
    counts = [p[5] for p in peers(found)]
    assert counts == sorted(counts, reverse=True)
    assert found["who_total"] == sum(counts) + found["who_others"]
    assert found["numbers"]["resent"] <= found["who_total"] <= nstat(a)["TcpExtTCPSynRetrans"]
    assert abs(sum(w["share_percent"] for w in found["who"]) + 100 * found["who_others"] / found["who_total"] - 100) < 0.1
    assert found["who"][0]["dropped"] is None
    close_all(*tries)


def test_data_of_open_connections_dropped_by_the_filter(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 10)
    nft(b, "input", "tcp dport 5000 counter drop")
    pairs[0][0].send(b"x" * 3000)  # it waits in both samples
    snap = Snapshot(a, b, quiet).sampled()
    for client, _ in pairs[1:]:
        client.send(b"x" * 3000)
    report = snap.report()
    found = assert_found(report, "filter-drop", b, [a], quiet)
    assert found["severity"] == "warning" and found["numbers"]["live"] == found["numbers"]["dropped"] >= 20
    assert peers(found)[0][:5] == ("TCP", A, None, B, 5000)
    assert_explains(report, found, "path-silent", a)
    silent = below(report, "path-silent", a)
    assert silent["who"][0]["dropped"]["target_pod"] == b.pod and "rto" in whats(silent)
    close_all(*(s for both in pairs for s in both))


def test_one_connection_that_sends_again_by_kind(pair):
    a, b, quiet = pair
    (client, server), = connected(a, b, 1)
    nft(b, "input", "tcp dport 5000 numgen random mod 100 '<' 8 drop")
    client.setblocking(False), server.setblocking(False)

    def pump():
        with contextlib.suppress(BlockingIOError):
            client.send(b"x" * 60000)
        with contextlib.suppress(BlockingIOError):
            server.recv(1 << 20)

    before = nstat(a)
    report = Snapshot(a, quiet, seconds=8).during(pump, pause=0.002).report()
    after = nstat(a)
    found = below(report, "retransmit-ratio", a)
    peer, = peers(found)
    assert peer[:5] == ("TCP", A, client.getsockname()[1], B, 5000)
    assert 0 < peer[5] <= after["TcpRetransSegs"] - before["TcpRetransSegs"]
    assert set(whats(found)) <= {"rto", "fast", "tlp", "other"} and "fast" in whats(found)
    assert report.everything_of(quiet) == []
    close_all(client, server)


def test_udp_reader_that_does_not_read(pair):
    a, b, quiet = pair
    reader, writer = udp(b), udp(a)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.bind((B, 6000)), writer.bind((A, 4444))
    report = Snapshot(a, b, quiet, seconds=1).during(lambda: send(writer, b"x" * 1000, (B, 6000))).report()
    found = assert_found(report, "udp-rcvbuf", b, [a], quiet)
    peer, = peers(found)
    assert peer[:5] == ("UDP", A, 4444, B, 6000)
    # The probe begins before the counter is read for the first time, and ends after the last.
    assert found["numbers"]["dropped"] <= peer[5] <= nstat(b)["UdpRcvbufErrors"]
    assert all("SOCKET_RCVBUFF" in what or "rcv" in what for what in whats(found))
    close_all(reader, writer)


def test_udp_closed_port(pair):
    a, b, quiet = pair
    writer = udp(a)
    report = Snapshot(a, b, quiet, seconds=1).during(lambda: send(writer, b"x", (B, 6001))).report()
    found = assert_found(report, "udp-no-port", b, [a], quiet)
    peer, = peers(found)
    assert peer[:5] == ("UDP", A, writer.getsockname()[1], B, 6001)
    assert found["numbers"]["refused"] <= peer[5] <= nstat(b)["UdpNoPorts"]
    writer.close()


def test_refused_connects_at_both_ends(pair):
    a, b, quiet = pair
    snap = Snapshot(a, b, quiet).sampled()
    tries = [start_connect(a, 4999) for _ in range(100)]
    report = snap.report()
    found = assert_found(report, "connect-refused", a, [b], quiet)
    assert peers(found) == [("TCP", A, None, B, 4999, 100)]
    assert all(what.startswith("receive in SYN_SENT") for what in whats(found))
    closed, = report.of(b)
    assert closed["id"] == "closed-port" and peers(closed) == [("TCP", B, 4999, A, None, 100)]
    assert all(what.startswith("nosock") for what in whats(closed))
    close_all(*tries)


def test_full_accept_queue(pair):
    a, b, quiet = pair
    tries = []
    with listener(b, backlog=1):
        while len(tries) < 4:
            tries.append(start_connect(a))
        snap = Snapshot(a, b, quiet, seconds=3).sampled()
        tries += [start_connect(a) for _ in range(20)]
        report = snap.report()
    found = assert_found(report, "accept-queue-overflow", b, [a], quiet)
    syns = [p for p in peers(found) if p[1] == A]
    assert syns and syns[0][:5] == ("TCP", A, None, B, 5000) and syns[0][5] >= 20
    assert_explains(report, found, "connect-unanswered", a)
    assert peers(below(report, "connect-unanswered", a))[0][:5] == ("TCP", A, None, B, 5000)
    close_all(*tries)


def test_reset_storm(pair):
    a, b, quiet = pair
    pairs = connected(a, b, 60)
    snap = Snapshot(a, b, quiet).sampled()
    for _, server in pairs:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
    report = snap.report()
    storms = {f["labels"]["target_pod"]: f for f in report.findings if f["id"] == "reset-storm"}
    assert peers(storms[a.pod]) == [("TCP", A, None, B, 5000, 60)]
    assert all(what.startswith("receive in ESTABLISHED") for what in whats(storms[a.pod]))
    assert peers(storms[b.pod]) == [("TCP", B, 5000, A, None, 60)]
    assert all(what.startswith("active") for what in whats(storms[b.pod]))
    assert report.everything_of(quiet) == []
    close_all(*(c for c, _ in pairs))


def test_addresses_of_ipv6(pair):
    a, b, quiet = pair
    b.sh("nft add table ip6 t; nft 'add chain ip6 t input { type filter hook input priority 0; }'; nft add rule ip6 t input tcp dport 5000 drop")
    snap = Snapshot(a, b, quiet, seconds=3).sampled()
    tries = []
    for _ in range(10):
        s = a.socket(socket.AF_INET6)
        s.setblocking(False)
        s.connect_ex(("fd00:9::2", 5000))
        tries.append(s)
    report = snap.report()
    found = assert_found(report, "filter-drop", b, [a], quiet)
    assert peers(found)[0][:5] == ("TCP", "fd00:9::1", None, "fd00:9::2", 5000)
    text = run([tool(""), "explain", "filter-drop"]).stdout
    assert "skoop-packetloss" in text
    close_all(*tries)


def test_without_privilege_it_is_what_it_was(pair):
    """Counters alone find the fault; one line says what could not be looked at."""
    a, b, quiet = pair
    done = run([*NOBODY, tool(""), "snapshot", "-j", "--host", "0.5"])
    assert done.returncode == 0, done.stderr
    report = Report(done.stdout)
    gaps = {g["probe"]: g["why"] for g in report.summary["gaps"] if not g["partly"]}
    assert {"packetloss", "tcpreset", "tcpretrans"} <= set(gaps)
    assert len({gaps[p] for p in ("packetloss", "tcpreset", "tcpretrans")}) == 1 and "missing CAP" in gaps["tcpreset"]
    table = run([*NOBODY, tool(""), "snapshot", "--host", "0.5"]).stdout
    assert sum("tcpretrans" in line for line in table.splitlines()) == 1
    assert "not looked at: packetloss, tcpreset, tcpretrans: " in table


def test_nothing_stays_behind(pair):
    """Those that trace, with all they have in the kernel, end with it, also when it is stopped in the middle."""
    _, _, quiet = pair
    snap = Snapshot(quiet, seconds=30).sampled()
    kids = children(snap.child.pid)
    holders = [k for k in kids if "bpf" in run(["ls", "-l", f"/proc/{k}/fd"]).stdout]
    assert len(holders) == 3
    snap.child.terminate()
    out, _ = snap.child.communicate(timeout=30)
    assert out == "" and snap.child.returncode == 0
    assert not any(os.path.exists(f"/proc/{k}") for k in kids)
