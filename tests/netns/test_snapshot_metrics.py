# SPDX-License-Identifier: GPL-2.0-or-later
"""Each metric that findings.def names is one that a probe has, and of the type it is used as."""
import re

from skooplib import TOP, records, skoop

PROBES = {"conntrack": ["-a"], "fd": ["--by", "pid", "-a"], "io": ["-a"], "ip": ["-a"], "ipvs": ["--services"],
          "netdev": ["-a"], "packetloss": ["-d", "0.1"], "qdisc": ["--tree", "-a"], "sock": ["-a"], "softnet": ["--per-cpu", "-a"], "tcp": ["-a"],
          "tcpext": ["-a"], "tcpsummary": ["--states", "--listen", "--worst", "--by", "peer"], "udp": ["-a"]}

# Counters that only newer kernels, or kernels built with them, have; nothing describes them.
NEWER = {"tcpext_pawstimewait", "tcpext_tcpaobad", "tcpext_tcpaokeynotfound", "tcpext_tcpaorequired", "udp_memerrors",
         "tcpext_tcpmemorypressureschrono"}

# Made by snapshot itself of what probes tell.
OWN = {"packetloss_livedrops"}

GROWTH = {"D", "D4", "ANYWHERE", "TOTAL", "CHILDREN"}
LEVEL = {"L", "H", "BEGIN", "END", "MOST", "STUCK"}


def used():
    """{metric: {accessor}} of findings.def, comments left out."""
    text = re.sub(r"/\*.*?\*/", "", (TOP / "tools/skoop/findings.def").read_text(), flags=re.S)
    out = {}
    for accessor, metric in re.findall(r"\b([A-Z0-9]+)\(([a-z0-9]+_[a-z0-9_]+)(?:\.\w+)?\)", text):
        if accessor != "T":
            out.setdefault(metric, set()).add(accessor)
    return out


def offered():
    """{metric: type} by description and by what is there on this kernel."""
    out = {}
    for name, args in PROBES.items():
        for line in skoop(name, "--describe").stdout.splitlines():
            fields = line.split("\t")
            if fields[0] == "metric":
                out[fields[1].removeprefix("kubeskoop_")] = fields[2]
        for record in records(name, *args, rc=None):
            if record["kind"] == "metric":
                out[record["metric"].removeprefix("kubeskoop_")] = record["type"]
    return out


def test_metrics_exist():
    names, have = used(), offered()
    assert len(names) > 100
    missing = {name for name in names if name not in have} - OWN
    assert missing <= NEWER, sorted(missing - NEWER)
    for name, accessors in names.items():
        kind = have.get(name)
        assert not (kind == "gauge" and accessors & GROWTH), f"{name} is a gauge: {accessors}"
        assert not (kind == "counter" and accessors & LEVEL), f"{name} is a counter: {accessors}"
