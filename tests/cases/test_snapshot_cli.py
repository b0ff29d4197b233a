# SPDX-License-Identifier: GPL-2.0-or-later
"""`skoop snapshot` over probes that say what the test wants: its two forms, its exit codes, bad input and bad days."""
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from skooplib import FIXTURES, run, tool, wait_for

TRACERS = ["packetloss", "tcpreset", "tcpretrans"]
PROBES = ["conntrack", "fd", "io", "ip", "ipvs", "netdev", "qdisc", "sock", "softnet", "tcp", "tcpext", "tcpsummary", "udp", *TRACERS]


def records(metric, first, last, pod="web-0", namespace="shop", host=False, netns=4026532111, **labels):
    """A metric in two rounds ten seconds apart."""
    names = {"target_pod": "hostNetwork", "target_namespace": "hostNetwork"} if host else \
        {"target_pod": pod, "target_namespace": namespace}
    return [json.dumps({"schema": 1, "kind": "metric", "ts": f"2026-11-22T21:46:{second}.000000000Z", "probe": "x",
                        "metric": f"kubeskoop_{metric}", "type": "counter", "scope": "host" if host else "netns",
                        "value": value, "delta": None, "labels": {**names, "target_node": "node-a", **labels},
                        "netns": netns}) for second, value in ((10, first), (20, last))]


def event(name, pod="web-0", netns=4026532111, sport=40000, dport=80, saddr="10.1.0.1", daddr="10.1.0.2", **fields):
    """An event of a probe that traces."""
    return json.dumps({"schema": 1, "kind": "event", "ts": "2026-11-22T21:46:15.000000000Z", "mono_ns": 1, "probe": "x",
                       "event": name, "labels": {"target_pod": pod, "target_namespace": "shop", "target_node": "node-a"},
                       "netns": netns, "cpu": 0, "protocol": "TCP", "saddr": saddr, "sport": sport, "daddr": daddr,
                       "dport": dport, **fields})


def drops(n, reason="NETFILTER_DROP", location="nft_do_chain+0x3e8", netns=4026532111, sport="40000", dport="80"):
    """What packetloss -C counts of one tuple, and its total."""
    target = {"target_pod": "web-0", "target_namespace": "shop", "target_node": "node-a"}
    tuple_ = {"reason": reason, "location": location, "protocol": "TCP", "saddr": "10.1.0.1", "sport": sport,
              "daddr": "10.1.0.2", "dport": dport, "device": "eth0"}
    return [json.dumps({"schema": 1, "kind": "metric", "ts": "2026-11-22T21:46:20.000000000Z", "probe": "packetloss",
                        "metric": f"kubeskoop_packetloss_{name}", "type": "counter", "scope": "netns", "value": n, "delta": n,
                        "labels": {**target, **labels}, "netns": netns})
            for name, labels in (("netfilter", {}), ("count", tuple_))]


class Probes:
    """A directory with the dispatcher and probes that are shell scripts."""

    def __init__(self, path):
        self.path = path
        shutil.copy(tool(""), path / "skoop")
        for name in PROBES:
            self.script(name, "exit 0")

    def script(self, name, body):
        file = self.path / f"skoop-{name}"
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def says(self, name, *lines, code=0, stderr=""):
        data = self.path / f"{name}.data"
        rounds = sorted(lines, key=lambda line: "21:46:20" in line)
        data.write_text("".join(f"{line}\n" for line in rounds))
        # One that traces tells in the end what it has seen, and has begun before the others do.
        traces = f"printf '\\fskoop-{name}: attached\\n' >&2; trap 'cat {data}; exit {code}' TERM; while :; do setsid sleep 0.05; done"
        if name in TRACERS and not code:
            self.script(name, traces)
            return
        self.script(name, f"cat {data}\n{f'echo skoop-{name}: {stderr!r} >&2' if stderr else ':'}\nexit {code}")

    def remove(self, name):
        (self.path / f"skoop-{name}").unlink()

    def argv(self, *args):
        return [self.path / "skoop", "snapshot", *args]

    def snapshot(self, *args, rc=0, **kw):
        done = run(self.argv(*args), **kw)
        assert done.returncode == rc, (done.returncode, done.stdout, done.stderr)
        return done


@pytest.fixture
def probes(tmp_path):
    return Probes(tmp_path)


def healthy(probes):
    probes.says("tcp", *records("tcp_activeopens", 1, 2))


def overflow(probes, n=1):
    lines = [r for i in range(n) for r in records("tcpext_listenoverflows", 3, 7, pod=f"web-{i}")]
    probes.says("tcpext", *lines)


def bad_day(probes):
    """A bit of everything."""
    probes.says("tcpext", *records("tcpext_listenoverflows", 100, 512), *records("tcpext_tcpsynretrans", 0, 35, pod="client", netns=4026532112),
                *[r for i in range(14) for r in records("tcpext_ipreversepathfilter", 0, 10 + i, pod=f"edge-{i:02}", namespace="lb", netns=4026532200 + i)])
    probes.says("tcpretrans", *[event("TCPRetrans", "client", 4026532112, sport=50000 + i, type="syn", segs=1, err=0, state="SYN_SENT")
                                for i in range(30)],
                *[event("TCPRetrans", "client", 4026532112, dport=8000 + i // 2, type="syn", segs=1, err=0) for i in range(10)],
                event("TCPRetrans", sport=80, dport=41000, saddr="fd00::2", daddr="fd00::1", type="synack", segs=1, err=0))
    probes.says("packetloss", *drops(31, dport="80"))
    probes.says("tcp", *records("tcp_retranssegs", 0, 36, pod="client", netns=4026532112), *records("tcp_activeopens", 0, 12, pod="client", netns=4026532112),
                *records("tcp_passiveopens", 0, 0, pod="client", netns=4026532112))
    probes.says("netdev", *records("netdev_txdropped", 0, 20, pod="hostNetwork", namespace="hostNetwork", netns=4026531840, device="eth0"),
                *records("netdev_txpackets", 0, 900, pod="hostNetwork", namespace="hostNetwork", netns=4026531840, device="eth0"),
                *records("netdev_rxpackets", 0, 900, pod="hostNetwork", namespace="hostNetwork", netns=4026531840, device="eth0"))
    probes.says("fd", *records("fd_openfd", 96, 97, pod="netns:blue", namespace="-", netns=4026532113, pid="4711", comm="we\x1b[2Jb"),
                *records("fd_fdlimit", 100, 100, pod="netns:blue", namespace="-", netns=4026532113, pid="4711", comm="we\x1b[2Jb"),
                stderr="37 processes skipped: missing CAP_SYS_PTRACE")
    probes.says("io", *records("io_pressuresome", 0, 2500000, host=True), *records("io_pressurefull", 0, 1000000, host=True))
    probes.says("ipvs", code=4, stderr="ip_vs is not loaded")
    probes.remove("udp")


def golden(name, text):
    want = FIXTURES / "golden" / name
    if os.environ.get("SKOOP_GOLDEN") == "write":
        want.write_text(text)
    assert text == want.read_text()


def test_table(probes):
    bad_day(probes)
    golden("snapshot.table", probes.snapshot().stdout)


def test_json(probes):
    bad_day(probes)
    lines = probes.snapshot("-j").stdout.splitlines()
    parsed = [json.loads(line) for line in lines]
    for record in parsed:
        assert record.pop("ts").endswith("Z")
    golden("snapshot.json", "".join(json.dumps(record) + "\n" for record in parsed))
    assert [r["kind"] for r in parsed] == ["finding"] * (len(parsed) - 1) + ["summary"]
    counts = {s: sum(r.get("severity") == s for r in parsed) for s in ("critical", "warning", "note")}
    assert counts == {s: parsed[-1][s] for s in counts}


def findings(probes, *args):
    return {f["id"]: f for f in map(json.loads, probes.snapshot("-j", *args).stdout.splitlines()) if f["kind"] == "finding"}


def test_who(probes):
    """Ports that differ are left out, three are named, the rest is counted; what was resent is looked for among the drops."""
    probes.says("tcpext", *records("tcpext_listenoverflows", 0, 100))
    probes.says("tcpretrans", *[event("TCPRetrans", sport=80, dport=41000 + i, saddr="10.1.0.2", daddr=f"10.1.1.{i % 5}",
                                      type="synack", segs=1, err=0) for i in range(15)],
                event("TCPRetrans", type="fast", segs=4, err=0))
    f = findings(probes)["accept-queue-overflow"]
    assert [(w["saddr"], w["sport"], w["daddr"], w["dport"], w["count"], w["share_percent"]) for w in f["who"]] == [
        ("10.1.0.2", 80, f"10.1.1.{i}", None, 3, 20) for i in range(3)]
    assert f["who_total"] == 15 and f["who_others"] == 6
    assert all(w["what"] == [{"what": "synack", "count": 3}] and w["dropped"] is None for w in f["who"])
    lines = probes.snapshot().stdout.splitlines()
    assert lines[1:5] == ["          who:   10.1.0.2:80 -> 10.1.1.0 tcp synack 3 (20 % of all)",
                          "                 10.1.0.2:80 -> 10.1.1.1 tcp synack 3 (20 % of all)",
                          "                 10.1.0.2:80 -> 10.1.1.2 tcp synack 3 (20 % of all)",
                          "                 others 6"]


@pytest.mark.parametrize("live, severity", [(False, "note"), (True, "warning")])
def test_filter_drops(probes, live, severity):
    """What the firewall drops is its purpose, unless TCP has to send it again."""
    healthy(probes)
    probes.says("packetloss", *drops(100))
    if live:
        probes.says("tcpretrans", event("TCPRetrans", "other", 4026532999, type="rto", segs=1, err=0))
    f = findings(probes)["filter-drop"]
    assert f["severity"] == severity and f["numbers"] == {"dropped": 100, "live": 100 * live}
    assert f["who"][0]["what"] == [{"what": "NETFILTER_DROP at nft_do_chain", "count": 100}]


def test_tracers_are_there_before_and_until_after(probes):
    """They begin before the counters are read for the first time, and are asked to end after the last."""
    log = probes.path / "log"
    for name in TRACERS:
        probes.script(name, f"sleep 0.3; echo attached >>{log}; printf '\\fskoop-{name}: attached\\n' >&2\n"
                      f"trap 'echo ended >>{log}; exit 0' TERM; while :; do setsid sleep 0.05; done")
    probes.script("tcp", f"echo read >>{log}; cat {probes.path}/tcp.data; sleep 0.3; echo read >>{log}")
    (probes.path / "tcp.data").write_text("".join(line + "\n" for line in sorted(
        records("tcp_activeopens", 1, 2), key=lambda line: "21:46:20" in line)))
    assert "nothing wrong" in probes.snapshot().stdout
    assert log.read_text().split() == ["attached"] * 3 + ["read"] * 2 + ["ended"] * 3


def test_tracers_get_targets_and_no_rounds(probes):
    healthy(probes)
    probes.script("packetloss", f'echo "$@" >{probes.path}/args')
    probes.snapshot("-n", "blue", "1.5")
    assert (probes.path / "args").read_text().split() == (
        "--framed -C --by reason,location,tuple,device -n blue -o json -v".split())


def test_tracers_without_privilege(probes):
    """The snapshot is what it was without them; what they lack is said once, without what else they had to say."""
    overflow(probes)
    for name in TRACERS:
        probes.script(name, f"echo 'skoop-{name}: symbols are hidden' >&2; echo 'skoop-{name}: no BPF: missing CAP_BPF; be root' >&2; exit 3")
    done = probes.snapshot()
    assert "accept queue full" in done.stdout and "who:" not in done.stdout
    assert done.stdout.splitlines()[-1] == "not looked at: packetloss, tcpreset, tcpretrans: no BPF: missing CAP_BPF; be root"
    gaps = json.loads(probes.snapshot("-j").stdout.splitlines()[-1])["gaps"]
    assert gaps == [{"probe": p, "why": "no BPF: missing CAP_BPF; be root", "partly": False} for p in TRACERS]


def test_a_tracer_runs_reduced_or_loses_events(probes):
    healthy(probes)
    probes.script("tcpreset", "printf '\\fskoop-tcpreset: hook a: missing\\n\\fskoop-tcpreset: attached\\n' >&2\n"
                  "trap 'echo skoop-tcpreset: 7 events lost >&2; exit 0' TERM; while :; do setsid sleep 0.05; done")
    assert probes.snapshot().stdout.splitlines()[1:] == ["limited: tcpreset: 7 events lost"]


def test_a_tracer_talks_nonsense(probes):
    healthy(probes)
    probes.script("tcpreset", "echo garbage; exit 0")
    done = probes.snapshot(rc=1)
    assert "not looked at: tcpreset: what it says is not understood\n" in done.stdout


def test_nothing_wrong(probes):
    healthy(probes)
    done = probes.snapshot("-E")
    assert done.stdout == "nothing wrong found in 1 network namespace over 10 s\n"
    assert done.stderr == ""


def test_exit_status(probes):
    overflow(probes)
    probes.snapshot()
    probes.snapshot("-E", rc=10)
    # Notes are no reason.
    probes.says("tcpext", *records("tcpext_tcpspuriousrtos", 0, 6))
    assert "1 note\n" in probes.snapshot("-E").stdout


@pytest.mark.parametrize("args, words", [
    (["0"], "INTERVAL"), (["-1"], "invalid option"), (["x"], "x"), (["1", "2"], "SECONDS"), (["1", "2", "3"], "3"),
    (["-o", "prom"], "table or json"), (["-o", "tsv"], "table or json"), (["--nothing"], "nothing"), (["-n", ""], "empty"),
])
def test_usage(probes, args, words):
    done = probes.snapshot(*args, rc=2)
    assert done.stdout == "" and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("skoop snapshot: ")


def test_help(probes):
    done = probes.snapshot("--help")
    assert "What is wrong here?" in done.stdout and "--exit-status" in done.stdout and done.stderr == ""


def test_probes_get_targets_and_window(probes):
    healthy(probes)
    probes.script("udp", f'echo "$@" > {probes.path}/args')
    probes.snapshot("-n", "blue", "-p", "12", "-c", "abcdef", "-P", "shop/*", "--host", "--procfs", "/x", "--node", "n", "1.5")
    assert (probes.path / "args").read_text().split() == (
        "-a -n blue -p 12 -c abcdef -P shop/* --host --procfs /x --node n -o json 1.500000000 2".split())
    probes.snapshot("-A")
    assert (probes.path / "args").read_text().split() == "-a -A -o json 10.000000000 2".split()


def test_what_could_not_be_looked_at(probes):
    healthy(probes)
    probes.says("ipvs", code=4, stderr="ip_vs is not loaded")
    probes.says("conntrack", code=3, stderr="cannot read 4 network namespaces: missing CAP_NET_ADMIN")
    probes.remove("sock")
    out = probes.snapshot().stdout
    assert out.splitlines()[1:] == [
        "not looked at: conntrack: cannot read 4 network namespaces: missing CAP_NET_ADMIN",
        "not looked at: ipvs: ip_vs is not loaded",
        "not looked at: sock: skoop-sock is not installed",
    ]
    assert json.loads(probes.snapshot("-j").stdout)["gaps"][0] == {
        "probe": "conntrack", "why": "cannot read 4 network namespaces: missing CAP_NET_ADMIN", "partly": False}


def test_some_targets_do_not_exist(probes):
    overflow(probes)
    for name in ("tcp", "udp"):
        probes.says(name, code=5, stderr="no network namespace matches --netns nowhere")
    done = probes.snapshot(rc=5)
    assert "accept queue full" in done.stdout and "not looked at" not in done.stdout
    assert done.stderr == "skoop snapshot: no network namespace matches --netns nowhere\n"


@pytest.mark.parametrize("code, why", [(3, "missing CAP_SYS_ADMIN"), (4, "no such thing here"), (5, "no network namespace matches")])
def test_nothing_could_be_looked_at(probes, code, why):
    for name in PROBES:
        probes.says(name, code=code, stderr=why)
    done = probes.snapshot(rc=code)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and why in done.stderr


@pytest.mark.parametrize("line", ["garbage", "{\"kind\":\"metric\"}", "{", "[1,2]", "{\"kind\":\"metric\",\"ts\":\"x\"}"])
def test_a_probe_talks_nonsense(probes, line):
    overflow(probes)
    probes.says("tcp", line)
    done = probes.snapshot(rc=1)
    assert "accept queue full" in done.stdout
    assert "not looked at: tcp: what it says is not understood\n" in done.stdout


def test_a_probe_dies(probes):
    overflow(probes)
    probes.script("tcp", "kill -SEGV $$")
    done = probes.snapshot(rc=1)
    assert "accept queue full" in done.stdout and "not looked at: tcp: " in done.stdout


def test_one_round_is_not_judged(probes):
    healthy(probes)
    probes.says("tcpext", records("tcpext_listenoverflows", 3, 7)[1])
    assert "nothing wrong found" in probes.snapshot().stdout


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_stopped(probes, sig):
    probes.script("tcp", f"touch {probes.path}/started; exec sleep 60")
    child = subprocess.Popen(probes.argv("30"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for((probes.path / "started").exists, what="the probe")
    child.send_signal(sig)
    out, err = child.communicate(timeout=10)
    assert child.returncode == 0 and out == ""
    assert err.startswith("skoop snapshot: stopped after ") and err.endswith("of 30 s: nothing was judged\n")


def test_reader_leaves(probes):
    probes.script("tcp", f"touch {probes.path}/started; exec sleep 60")
    child = subprocess.Popen(probes.argv("30"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for((probes.path / "started").exists, what="the probe")
    child.stdout.close()
    assert child.wait(timeout=5) == 0 and child.stderr.read() == ""


def test_full_disk(probes):
    overflow(probes)
    with open("/dev/full", "w") as full:
        done = subprocess.run(probes.argv(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr == "skoop snapshot: write error: No space left on device\n"


# ---- on a terminal ----

def on_terminal(argv, columns, **env):
    """What a program prints to a terminal of that width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([str(a) for a in argv], stdout=follower, stderr=subprocess.DEVNULL,
                             env={**os.environ, "TERM": "xterm", **env})
    os.close(follower)
    text, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        try:
            more = os.read(leader, 65536)
        except OSError:
            break
        if not more:
            break
        text += more
    os.close(leader)
    assert child.wait(timeout=5) == 0
    return text.decode().replace("\r\n", "\n")


def test_terminal(probes):
    bad_day(probes)
    text = on_terminal(probes.argv(), 80, NO_COLOR="1")
    assert "\x1b" not in text
    for line in text.splitlines():
        # A command is pasted as a whole; everything else fits.
        assert len(line) <= 80 or line.lstrip().startswith(("next:", "skoop-", "ip netns", "nsenter")), line
    # The same words as in a pipe, only folded.
    assert text.split() == probes.snapshot().stdout.split()


def test_color(probes):
    overflow(probes)
    plain = probes.snapshot().stdout
    assert "\x1b" not in plain
    colored = on_terminal(probes.argv(), 200, NO_COLOR="")
    assert colored.startswith("\x1b[33mWARNING\x1b[0m ")
    assert probes.snapshot("--color=always").stdout == colored
    assert on_terminal(probes.argv("--color=never"), 200) == plain
