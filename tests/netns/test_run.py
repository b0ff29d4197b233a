# SPDX-License-Identifier: GPL-2.0-or-later
"""`skoop run` with probes that trace the kernel beside those that read counters: real events on one timeline."""
import json
import signal
import subprocess
import tempfile

import pytest

from skooplib import NOBODY, Tracing, run, tool, wait_for

pytestmark = pytest.mark.kernels

A, B = "10.9.0.1", "10.9.0.2"
TRACERS = ("packetloss", "tcpretrans", "tcpreset")


class Run(Tracing):
    """`skoop run PROBES`, all of whose tracers are attached when the `with` begins."""

    def __init__(self, probes, *args, form="json"):
        self.errors = tempfile.TemporaryFile("w+")
        self.output = tempfile.TemporaryFile("w+")
        argv = [tool(""), "run", probes, "-v", "-o", form, *[str(a) for a in args]]
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors, text=True)
        self.done = False
        tracers = [p for p in probes.split(",") if p in (*TRACERS, "flow")]
        wait_for(lambda: self.child.poll() is not None or all(f"skoop-{p}: attached" in self.stderr() for p in tracers), 60,
                 "all to attach")
        assert self.child.poll() is None, self.stderr()

    def end(self, rc=0):
        """Waits for its own end."""
        assert self.child.wait(60) == rc, self.stderr()
        self.done = True
        return self.records()


def dropped_syn(a, b, port=5000):
    """b's rules drop a SYN from a: its source port. The connect waits; close it."""
    b.sh("nft add table ip t; nft 'add chain ip t input { type filter hook input priority 0; }'; "
         f"nft add rule ip t input tcp dport {port} counter drop")
    return lambda: start_connect(a, port)


def start_connect(ns, port):
    s = ns.socket()
    s.setblocking(False)
    s.connect_ex((B, port))
    return s


def selected(*spaces):
    return [word for ns in spaces for word in ("-n", ns.name)]


def key(r):
    return (r["probe"], r.get("event", r.get("metric")), r["labels"]["target_pod"])


def test_a_dropped_syn_and_its_resend_stand_in_the_order_of_time_beside_counters(pair):
    a, b, quiet = pair
    connect = dropped_syn(a, b)
    with Run("tcp,packetloss,tcpretrans,tcpreset", *selected(a, b, quiet), "-d", "600") as r:
        waiting = connect()
        port = waiting.getsockname()[1]
        r.wait(1, probe="tcpretrans")
        r.wait(2, probe="packetloss", dport=5000)
        refused = start_connect(a, 4999)
        r.wait(2, probe="tcpreset")
        recs = r.stop()
    waiting.close(), refused.close()
    assert [x["ts"] for x in recs] == sorted(x["ts"] for x in recs)
    mine = [x for x in recs if x["kind"] == "event" and x["protocol"] == "TCP" and port in (x["sport"], x["dport"])]
    story = [key(x) for x in mine][:3]
    assert story == [("packetloss", "PacketLoss", b.pod), ("tcpretrans", "TCPRetrans", a.pod), ("packetloss", "PacketLoss", b.pod)]
    assert all((x["saddr"], x["sport"], x["daddr"], x["dport"]) == (A, port, B, 5000) for x in mine)
    resets = [key(x) for x in recs if x["kind"] == "event" and x["probe"] == "tcpreset"]
    assert resets == [("tcpreset", "TCPRESET_NOSOCK", b.pod), ("tcpreset", "TCPRESET_RECEIVE", a.pod)]
    # Counters come last, of all four; the growth of tcp's and the count of the tracers agree.
    metrics = {key(x): x for x in recs if x["kind"] == "metric" and "type" not in x["labels"] and "reason" not in x["labels"]}
    resent = metrics["tcp", "kubeskoop_tcp_retranssegs", a.pod]["delta"]
    assert resent == sum(x["value"] for x in recs if x["kind"] == "metric" and x["metric"] == "kubeskoop_tcpretrans_total"
                         and x["labels"]["target_pod"] == a.pod) >= 1
    assert metrics["tcp", "kubeskoop_tcp_outrsts", b.pod]["delta"] == 1
    assert metrics["packetloss", "kubeskoop_packetloss_netfilter", b.pod]["value"] >= 2
    assert {p for p, name, _ in metrics if name.endswith("_lostevents")} == set(TRACERS)
    assert all(x["labels"]["target_pod"] != quiet.pod or not x["value"] for x in recs if x["kind"] == "metric" and
               x["probe"] != "tcp")


def test_rounds_of_both_kinds(pair):
    a, b, quiet = pair
    connect = dropped_syn(a, b)
    with Run("tcp,packetloss,flow", *selected(a, b, quiet), "1", "3") as r:
        waiting = connect()
        recs = r.end()
    waiting.close()
    assert [x["ts"] for x in recs] == sorted(x["ts"] for x in recs)
    for probe in ("tcp", "packetloss"):
        assert len({x["ts"] for x in recs if x["probe"] == probe and x["kind"] == "metric"}) == 3, probe
    drops = [x["value"] for x in recs if key(x) == ("packetloss", "kubeskoop_packetloss_netfilter", b.pod)]
    assert drops == sorted(drops) and drops[-1] >= 1
    flows = [x for x in recs if x["kind"] == "metric" and x["metric"] == "kubeskoop_flow_packets"
             and x["labels"].get("dport") == "5000"]
    assert {x["labels"]["target_pod"] for x in flows} == {a.pod, b.pod} and flows[-1]["labels"]["saddr"] == A


def test_expositions_become_one(pair):
    a, b, quiet = pair
    connect = dropped_syn(a, b)
    with Run("tcp,packetloss,tcpretrans", *selected(a, b, quiet), "-d", "4", form="prom") as r:
        waiting = connect()
        assert r.child.wait(60) == 0
        lines = r.stdout().splitlines()
    waiting.close()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(types) == len(set(types)) and {"kubeskoop_tcp_retranssegs", "kubeskoop_packetloss_total",
                                              "kubeskoop_tcpretrans_total"} <= set(types)
    samples = [line.rpartition(" ") for line in lines if line[0] != "#"]
    assert len({name for name, _, _ in samples}) == len(samples)
    value = {name: int(v) for name, _, v in samples}
    drops, = [v for name, v in value.items() if name.startswith("kubeskoop_packetloss_netfilter{") and b.pod in name]
    resent, = [v for name, v in value.items() if name.startswith("kubeskoop_tcpretrans_total{") and 'type="syn"' in name and a.pod in name]
    assert drops >= 2 and resent >= 1


def test_tables_have_blocks_of_each(pair):
    a, b, _ = pair
    connect = dropped_syn(a, b)
    with Run("tcp,packetloss,tcpretrans", *selected(a, b), form="table") as r:
        waiting = connect()
        wait_for(lambda: "TCPRetrans" in r.stdout(), 20, "the resend")
        r.child.send_signal(signal.SIGINT)
        assert r.child.wait(30) == 0
        text = r.stdout()
    waiting.close()
    assert {line for line in text.splitlines() if line in ("tcp:", "packetloss:", "tcpretrans:")} == {"tcp:", "packetloss:", "tcpretrans:"}
    assert any("PacketLoss" in line and b.pod in line and A in line and " 5000 " in line for line in text.splitlines())


def test_enough_events_end_a_tracer_and_not_the_others(pair):
    a, b, _ = pair
    connect = dropped_syn(a, b)
    with Run("tcp,packetloss", *selected(a, b), "--port", "5000", "-e", "1") as r:
        waiting = connect()
        recs = r.end()
    waiting.close()
    assert len([x for x in recs if x["kind"] == "event"]) == 1
    assert [x for x in recs if x["probe"] == "tcp"]


def test_events_of_different_columns_are_no_tsv(pair):
    done = run([tool(""), "run", "packetloss,tcpretrans", "-o", "tsv", "-d", "1", *selected(pair[2])])
    assert done.returncode == 2 and done.stdout == "" and "use -o json, or run it alone" in done.stderr


def test_who_lacks_the_privilege_is_told_once_and_the_others_run():
    done = run([*NOBODY, tool(""), "run", "sock,tcpretrans,packetloss,flow", "-j", "-d", "0.3"])
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["probe"] for line in done.stdout.splitlines()} == {"sock"}
    lines = done.stderr.splitlines()
    assert sum("cannot load BPF programs: missing CAP" in line for line in lines) == 1, lines
    for probe in ("packetloss", "flow", "tcpretrans"):
        said = [line for line in lines if f"skoop-{probe}: " in line and ("lacks the privilege" in line or "missing CAP" in line)]
        assert len(said) == 1, (probe, lines)
    done = run([*NOBODY, tool(""), "run", "tcpretrans,flow", "-d", "0.3"])
    assert done.returncode == 3
