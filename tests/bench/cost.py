#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a traced event costs in the kernel, in instructions: our programs and bpftrace's on the same load.

Runs inside a machine whose clock counts instructions (tests/vm, icount), so that the kernel's own figures, run_time_ns by
run_cnt of each program, are instructions a hit. Prints one line a program: WHAT WHO PROGRAM COST.
"""
import json
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from skooplib import Netns, tool, veth, without_ipv6  # noqa: E402

BATCHES, EACH = 5, 200
COUNT = "count()"
LOADS = {
    "drop": ("packetloss", "tracepoint:skb:kfree_skb { @[args->reason, args->location] = count(); }"),
    "receive": ("flow", "tracepoint:net:netif_receive_skb { @[str(args->name)] = sum(args->len); }"),
}


def programs():
    """{id: (name, run time, runs)} of the tracing programs that are loaded."""
    listed = json.loads(subprocess.run(["bpftool", "prog", "show", "-j"], capture_output=True, text=True, check=True).stdout)
    return {p["id"]: (p.get("name", p["type"]), p.get("run_time_ns", 0), p.get("run_cnt", 0)) for p in listed
            if p["type"] in ("tracing", "tracepoint", "raw_tracepoint", "kprobe")}


def send(ns, n):
    with ns.socket(kind=socket.SOCK_DGRAM) as s:
        for _ in range(n):
            s.sendto(b"x" * 64, ("10.9.0.2", 9))


def measure(what, who, argv, ready, ns):
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    before = programs()
    for _ in range(200):
        if ready(programs()):
            break
        time.sleep(0.1)
    time.sleep(1)
    best = {}
    for _ in range(BATCHES):
        before = programs()
        send(ns, EACH)
        for key, (name, spent, runs) in programs().items():
            hits = runs - before.get(key, (name, 0, 0))[2]
            if hits >= EACH // 2:
                cost = (spent - before[key][1]) / hits
                best[name] = min(cost, best.get(name, cost))
    child.terminate()
    child.wait()
    for name, cost in sorted(best.items()):
        print(what, who, name, round(cost), flush=True)


def main():
    subprocess.run(["sysctl", "-qw", "kernel.bpf_stats_enabled=1"], check=True)
    with Netns("ca") as a, Netns("cb") as b:
        veth(a, b)
        without_ipv6(a, b)
        b.sh("nft add table ip t; nft add chain ip t i '{ type filter hook input priority 0; }'; nft add rule ip t i udp dport 9 drop")
        send(a, 1)
        for what, (name, script) in LOADS.items():
            kinds = {"count": ["60"], "events": ["-o", "json"]} if name == "packetloss" else {"count": ["60"]}
            for kind, args in kinds.items():
                measure(what, f"skoop-{name}:{kind}", [tool(name), *args], lambda now: len(now) > 0, a)
            measure(what, "bpftrace:count", ["bpftrace", "-e", script], lambda now: len(now) > 0, a)


if __name__ == "__main__":
    main()
