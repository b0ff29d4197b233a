# SPDX-License-Identifier: GPL-2.0-or-later
"""`skoop snapshot` in tests: started, its first sample waited for, something done meanwhile, its findings read."""
import functools
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
        """
        Findings of these namespaces that stand by themselves, or that only a fault of the machine explains, which
        somebody else has caused meanwhile.
        """
        pods = {ns.pod for ns in spaces}
        flat = [f for top in self.findings for f in (top["folded"] if top["scope"] == "host" else [top])]
        return [f for f in flat if f["labels"]["target_pod"] in pods]

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
        return False  # it has ended


@functools.cache
def probes_here():
    """How many probes a snapshot has at work: those that this kernel has nothing for end at once."""
    done = subprocess.run([tool(""), "snapshot", "-j", "--host", "0.1"], capture_output=True, text=True, timeout=60, check=True)
    return 16 - sum(not gap["partly"] for gap in Report(done.stdout).summary["gaps"])


class Snapshot:
    """A snapshot of some namespaces in the background."""

    def __init__(self, *spaces, seconds=2):
        self.targets = [word for ns in spaces for word in ("-n", ns.name)]
        self.start(seconds)

    def start(self, seconds):
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds + 60
        self.child = subprocess.Popen([tool(""), "snapshot", "-j", *self.targets, str(seconds)],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sampled(self):
        """
        Waits until each probe has taken its first sample and waits for the second. Where that took longer than the
        window, it begins again with a longer one.
        """
        probes_here()

        def all_wait():
            kids = children(self.child.pid)
            return len(kids) == probes_here() and all(waits_in_ppoll(k) for k in kids)

        while True:
            wait_for(lambda: self.child.poll() is not None or all_wait(), timeout=60, what="a sample")
            if self.child.poll() is None:
                return self
            assert self.seconds < 30, self.child.communicate()
            self.child.communicate()
            self.start(2 * self.seconds)

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


def assert_explains(report, cause, what, ns):
    """The finding `what` of ns is printed below this one, or below a fault of the machine that somebody else caused."""
    for top in report.findings:
        if any(f["id"] == what and f["labels"]["target_pod"] == ns.pod for f in top["folded"]):
            assert top is cause or top["scope"] == "host", report
            return
    assert False, f"nothing is said to cause {what} of {ns.pod}\n{report}"
