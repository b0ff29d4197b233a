# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-virtcmdlatency: commands of a virtio network card, counted by who issues them, and delayed by a program that keeps
who sends them busy. Where there is no such card, or no way to watch its driver, that is said."""
import collections
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from skooplib import BUILD, Tracing, run, skoop, tool, values, wait_for


MS = 1000000
DRIVER = pathlib.Path("/sys/bus/virtio/drivers/virtio_net")
SAYS, NO_CARD = "skoop-virtcmdlatency: ", "no virtio network card with a control queue"
FUNCTIONS, KPROBES = "fentry,fexit", "kprobe,kretprobe"
# Where the driver is a module, its own types; else it is among the kernel's.
TYPED = not pathlib.Path("/sys/module/virtio_net/initstate").exists() or pathlib.Path("/sys/kernel/btf/virtio_net").exists()


def cards():
    """Network devices of virtio that have a control queue."""
    return [d.name for card in DRIVER.glob("virtio*") if (card / "features").read_text()[17] == "1"
            for d in (card / "net").iterdir()]


def need_card():
    run(["modprobe", "-q", "virtio_net"])
    return cards()[0] if cards() else pytest.skip(NO_CARD)


@pytest.fixture
def card():
    """Such a device, in the namespace this runs in."""
    return need_card()


@pytest.fixture
def inside(pair, card):
    """The card within a namespace; it comes back when that goes."""
    a, _, quiet = pair
    assert run(["ip", "link", "set", card, "netns", a.name]).returncode == 0
    try:
        yield a, quiet, card
    finally:
        a.ip(f"link set {card} netns {os.getpid()}")


def ip(ns, *args, program="ip"):
    """Runs ip inside; (pid, how long it took as nobody can take less)."""
    child = ns.popen(program, *args)
    assert child.wait(60) == 0
    return child.pid


def issue(ns, card):
    """Ten VLANs made and removed, three addresses set: {pid: (class, command)} of who issued the command."""
    issued = {}
    for i in range(10):
        issued[ip(ns, "link", "add", "link", card, "name", "v0", "type", "vlan", "id", 100 + i)] = ("VLAN", "ADD")
        issued[ip(ns, "link", "del", "v0")] = ("VLAN", "DEL")
    for i in range(3):
        issued[ip(ns, "link", "set", card, "address", f"02:00:00:00:09:0{i}")] = ("MAC", "ADDR_SET")
    return issued


@pytest.mark.parametrize("hooks", [FUNCTIONS, KPROBES])
def test_every_command(inside, hooks):
    """Past a microsecond every command is told: as many as were issued, by whom, and all of them are in the histogram."""
    a, quiet, card = inside
    if hooks == FUNCTIONS and not TYPED:
        refused = skoop("virtcmdlatency", "-d", 0.1, "--hooks", hooks, rc=4)
        assert "cannot trace the return of virtnet_send_command here: fexit: this kernel's BTF has no such function" \
            in refused.stderr
        return
    with Tracing("virtcmdlatency", "-t", "1us", "-D", "--hooks", hooks) as t:
        assert len(re.findall(rf"hook .*: ({hooks.replace(',', '|')})[ \n]", t.stderr())) == 2, t.stderr()
        issued = issue(a, card)
        t.wait(len(issued))
        records = t.stop()
    events = [r for r in records if r["kind"] == "event"]
    assert {e["event"] for e in events} == {"VIRTCMDEXCUTE"}
    told = collections.Counter((e["pid"], e["class"], e["command"]) for e in events)
    assert {pid: command for (pid, *command) in told if pid in issued} == {p: list(c) for p, c in issued.items()}
    assert all(n == 1 for (pid, *_), n in told.items() if pid in issued)
    # VLANs and addresses are nobody else's business; receive modes may follow, sent by others.
    assert sum(n for (_, c, _), n in told.items() if c == "VLAN") == 20
    assert {c for _, c, _ in told} <= {"VLAN", "MAC", "RX"}
    for e in events:
        assert (e["device"], e["netns"], e["labels"]["target_pod"], e["result"]) == (card, a.inode, a.pod, "ok"), e
        assert e["latency_ns"] > 1000
        assert e["comm"] == "ip" or e["pid"] not in issued
    h, = [r for r in records if r["kind"] == "histogram"]
    took = [e["latency_ns"] for e in events]
    assert (h["labels"]["target_pod"], h["keys"], h["count"]) == (a.pod, {"device": card}, len(events))
    assert (h["sum"], h["min"], h["max"]) == (sum(took), min(took), max(took))
    slow = sum(t > 10 * MS for t in took)
    assert values(records)["kubeskoop_virtcmdlatency_latency"] == slow
    assert not values(records, quiet.pod)


def test_quiet_and_selected(inside):
    """Without -t what is fast is silent; of a namespace that was not chosen nothing is told."""
    a, quiet, card = inside
    with Tracing("virtcmdlatency", "-t", "10s") as slow, Tracing("virtcmdlatency", "-t", "1us", "-n", quiet.name) as other, \
            Tracing("virtcmdlatency", "-t", "1us", "-n", a.name) as mine:
        issued = issue(a, card)
        mine.wait(len(issued))
        assert not slow.events() and not other.events()
        for t in (slow, other, mine):
            assert not [r for r in t.stop() if r["kind"] in ("in_flight", "lost")]


@pytest.fixture(scope="module")
def spin(tmp_path_factory):
    """Programs by name that are kept busy when they send a command: spinMS."""
    need_card()
    folder = tmp_path_factory.mktemp("spin")
    child = subprocess.Popen([BUILD / "tests/netns/attach", BUILD / "bpf/spin.o"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    assert child.stdout.readline() == "attached\n"

    def program(name):
        shutil.copy2(shutil.which("ip"), folder / name)
        return folder / name
    yield program
    child.stdin.close()
    assert child.wait(30) == 0


def test_delayed_commands(inside, spin):
    """What takes 20 ms, 120 ms: told, counted for the machine, and bounded by the clock of who issued it."""
    a, _, card = inside
    with Tracing("virtcmdlatency") as t:
        pids = {ip(a, "link", "add", "link", card, "name", "v0", "type", "vlan", "id", 100, program=spin("spin020")): 20,
                ip(a, "link", "del", "v0", program=spin("spin120")): 120}
        t.wait(2)
        records = t.stop()
    events = {e["pid"]: e for e in records if e["kind"] == "event"}
    assert set(pids) <= set(events)
    for pid, ms in pids.items():
        e = events[pid]
        assert e["latency_ns"] >= ms * MS and (e["comm"], e["class"]) == (f"spin{ms:03}", "VLAN"), e
    slow = sum(e["latency_ns"] > 100 * MS for e in events.values())
    counted = values(records)
    assert counted["kubeskoop_virtcmdlatency_latency"] == len(events)
    assert counted["kubeskoop_virtcmdlatency_latency100ms"] == slow >= 1


def test_one_that_does_not_return(inside, spin):
    """A command is shown as in flight while it lasts, and as an event when it has ended."""
    a, _, card = inside
    with Tracing("virtcmdlatency") as t:
        pid = ip(a, "link", "add", "link", card, "name", "v0", "type", "vlan", "id", 100, program=spin("spinlong"))
        event, = t.wait(1, pid=pid)
        hanging = [r for r in t.stop() if r["kind"] == "in_flight"]
    assert hanging and {r["pid"] for r in hanging} == {pid}, event
    h = hanging[0]
    assert (h["comm"], h["device"], h["class"], h["command"], h["result"]) == ("spinlong", card, "VLAN", "ADD", None)
    assert h["netns"] == a.inode and 10 * MS < h["latency_ns"] < event["latency_ns"]


def test_a_module_that_comes_later(card):
    """Without the driver there is nothing to watch; with --wait-module it is waited for."""
    if run(["modprobe", "-r", "virtio_net"]).returncode or DRIVER.exists():
        pytest.skip(NO_CARD)
    try:
        refused = skoop("virtcmdlatency", "-d", 1, rc=4)
        assert (refused.stdout, refused.stderr) == ("", SAYS + NO_CARD + " (virtio_net is not loaded); --wait-module waits for one\n")
        gave_up = skoop("virtcmdlatency", "-d", 1, "--wait-module", rc=4)
        assert gave_up.stderr == SAYS + NO_CARD + " (virtio_net is not loaded)\n"
        with Tracing("virtcmdlatency", "--wait-module", "-t", "1us", attached="waiting: " + NO_CARD) as t:
            run(["modprobe", "virtio_net"])
            wait_for(lambda: "attached" in t.stderr(), 60, "it to attach")
            name, = wait_for(cards, what="the card")
            subprocess.run(["ip", "link", "add", "link", name, "name", "v0", "type", "vlan", "id", "7"], check=True)
            subprocess.run(["ip", "link", "del", "v0"], check=True)
            assert t.wait(1, **{"class": "VLAN", "command": "DEL"})
            t.stop()
    finally:
        run(["modprobe", "virtio_net"])


# ---- on any machine ----

def bus(folder, *features):
    """A /sys with virtio network cards of these features."""
    for i, text in enumerate(features):
        card = folder / f"bus/virtio/drivers/virtio_net/virtio{i}"
        card.mkdir(parents=True)
        (card / "features").write_text(text + "\n")
    return folder


def test_without_the_driver(tmp_path):
    refused = skoop("virtcmdlatency", "--sysfs", tmp_path, rc=4)
    assert (refused.stdout, refused.stderr) == ("", SAYS + NO_CARD + " (virtio_net is not loaded); --wait-module waits for one\n")


def test_without_a_control_queue(tmp_path):
    """A card without one is never told anything."""
    refused = skoop("virtcmdlatency", "--sysfs", bus(tmp_path, "1" * 17 + "0" + "1" * 46, "1" * 17), rc=4)
    assert refused.stderr == SAYS + NO_CARD + "; --wait-module waits for one\n"


def test_stopped_while_it_waits(tmp_path):
    child = subprocess.Popen([tool("virtcmdlatency"), "-v", "--wait-module", "--sysfs", tmp_path], stderr=subprocess.PIPE, text=True)
    assert child.stderr.readline() == SAYS + "waiting: " + NO_CARD + " (virtio_net is not loaded)\n"
    child.terminate()
    assert child.wait(20) == 0


def test_where_nothing_can_be_hooked(tmp_path):
    """A card there is, but its function cannot be watched in the ways that are left: which ones, and why not."""
    refused = skoop("virtcmdlatency", "-d", 1, "--sysfs", bus(tmp_path, "1" * 64), "--hooks", "tp_btf", rc=4)
    assert refused.stdout == "" and refused.stderr.count("\n") == 1
    assert "cannot trace the return of virtnet_send_command here: fexit: not among --hooks" in refused.stderr
    assert "kretprobe: not among --hooks" in refused.stderr


def test_as_far_as_this_kernel_goes(tmp_path):
    """With all ways open it attaches, or names each that was refused; never is it silent."""
    done = skoop("virtcmdlatency", "-v", "-d", 0.3, "--sysfs", bus(tmp_path, "1" * 64), rc=None)
    if done.returncode == 0:
        assert "attached" in done.stderr
        return
    assert done.returncode in (3, 4) and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(SAYS + "cannot trace the return of virtnet_send_command") and "fexit: " in last and "kretprobe: " in last
