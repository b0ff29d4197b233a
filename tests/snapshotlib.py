# SPDX-License-Identifier: GPL-2.0-or-later
"""`skoop snapshot` in tests: started, its first sample waited for, something done meanwhile, its findings read."""
import json
import platform
import subprocess
import time

from skooplib import tool, wait_for

# The number with which /proc/PID/syscall says that a process waits in ppoll().
PPOLL = {"x86_64": "271", "aarch64": "73"}


class Report:
    """What a snapshot said: findings in their order, those folded under others, the summary."""

    def __init__(self, text):
        records = [json.loads(line) for line in text.splitlines()]
        self.findings = [r for r in records if r["kind"] == "finding"]
        self.summary = records[-1]
        assert self.summary["kind"] == "summary"

    def of(self, *spaces):
        """Findings that stand by themselves and belong to these namespaces."""
        pods = {ns.pod for ns in spaces}
        return [f for f in self.findings if f["labels"]["target_pod"] in pods]

    def everything_of(self, ns):
        """The same for one namespace, the folded ones too."""
        flat = [f for top in self.findings for f in [top, *top["folded"]]]
        return [f for f in flat if f["labels"]["target_pod"] == ns.pod]

    def __repr__(self):
        lines = []
        for top in self.findings:
            for f in [top, *top["folded"]]:
                lines.append(f"{'' if f is top else '    '}{f['severity']} {f['id']} {f['labels']['target_pod']}: {f['text']}")
        return "\n".join(lines + [str(self.summary)])


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return f.read().split()
    except OSError:
        return []


def waits_in_ppoll(pid):
    try:
        with open(f"/proc/{pid}/syscall") as f:
            return f.read().split()[0] == PPOLL[platform.machine()]
    except OSError:
        return True  # it has ended


class Snapshot:
    """A snapshot of some namespaces in the background."""

    def __init__(self, *spaces, seconds=2, args=()):
        targets = [word for ns in spaces for word in ("-n", ns.name)]
        self.child = subprocess.Popen([tool(""), "snapshot", "-j", *args, *targets, str(seconds)], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        self.deadline = time.monotonic() + seconds + 60

    def sampled(self):
        """Waits until each probe has taken its first sample and waits for the second."""
        def all_wait():
            kids = children(self.child.pid)
            return len(kids) > 3 and waits_in_ppoll(self.child.pid) and all(waits_in_ppoll(k) for k in kids)

        # Two looks: the first may fall between two probes' start.
        wait_for(lambda: all_wait() and all_wait(), what="the first sample")
        return self

    def during(self, act, pause=0.01):
        """Repeats act() until the snapshot has ended."""
        while self.child.poll() is None:
            assert time.monotonic() < self.deadline
            act()
            time.sleep(pause)
        return self

    def report(self):
        out, err = self.child.communicate(timeout=90)
        assert self.child.returncode == 0, err
        return Report(out)


def first(report, *spaces):
    """(id, namespace) of the worst finding of these namespaces."""
    mine = report.of(*spaces)
    assert mine, f"nothing found\n{report}"
    return mine[0]["id"], next(ns.name for ns in spaces if ns.pod == mine[0]["labels"]["target_pod"])


def assert_found(report, what, ns, others, quiet=None):
    """The finding is the first of all these namespaces', ns has it, and the quiet one has none."""
    assert first(report, ns, *others) == (what, ns.name), report
    if quiet:
        assert report.everything_of(quiet) == [], report
    return report.of(ns, *others)[0]


def folded(finding):
    """{(id, pod)} of what a finding explains."""
    return {(f["id"], f["labels"]["target_pod"]) for f in finding["folded"]}


