# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-softnet: the machine's backlogs against /proc/net/softnet_stat, and an overflow of known size."""
import contextlib
import os
import socket

import pytest

from exact import trio  # noqa: F401
from skooplib import records, values, wait_for

pytestmark = pytest.mark.kernels

BACKLOG = "/proc/sys/net/core/netdev_max_backlog"
COLUMNS = {"processed": 0, "dropped": 1, "timesqueeze": 2, "receivedrps": 9, "flowlimit": 10, "backloglen": 11,
           "inputqlen": 13, "processqlen": 14}
UDP_SEGMENT = 103


def table():
    """{CPU: columns}; the CPU's number is the thirteenth."""
    rows = [[int(word, 16) for word in line.split()] for line in open("/proc/self/net/softnet_stat")]
    return {row[12]: row for row in rows}


def told(*options):
    """The probe's records, and the file before and after: the same, where the machine lets us have such a moment."""
    for _ in range(100):
        before = table()
        recs = records("softnet", "--host", *options)
        after = table()
        if before == after:
            break
    return recs, before, after


def check(mine, before, after):
    """Each counter lies between the two readings, so it is just that value where these are the same; a level can be
    compared only then."""
    have = [name for name, column in COLUMNS.items() if column < len(before[0])]
    assert set(mine) == {f"kubeskoop_softnet_{name}" for name in have}
    for name in have:
        low, high = (sum(row[COLUMNS[name]] for row in rows) for rows in (before, after))
        if before == after or "len" not in name:
            assert low <= mine[f"kubeskoop_softnet_{name}"] <= high, name


def test_totals_are_the_sum_over_the_cpus(trio):  # noqa: F811
    recs, before, after = told("-a")
    assert {(r["scope"], r["labels"]["target_pod"]) for r in recs} == {("host", "hostNetwork")}
    check(values(recs), list(before.values()), list(after.values()))
    assert set(values(told()[0])) == {"kubeskoop_softnet_processed", "kubeskoop_softnet_dropped"}


def test_each_cpu_by_its_number(trio):  # noqa: F811
    recs, before, after = told("-a", "--per-cpu")
    assert not values(recs), "a total beside the rows would count twice"
    assert {r["labels"]["cpu"] for r in recs} == {str(cpu) for cpu in before}
    for cpu in before:
        check(values(recs, cpu=str(cpu)), [before[cpu]], [after[cpu]])


def burst(ns, count):
    """One call that hands that many datagrams to the device in one go, with soft interrupts held off meanwhile."""
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sock.sendto(b"x" * 100 * count, ("10.9.0.2", 90))


@pytest.fixture
def backlog():
    """A short backlog for the machine, for as long as one burst takes."""
    if not os.path.exists(BACKLOG):
        pytest.skip(f"no {BACKLOG}: not in the machine's first network namespace")
    before = open(BACKLOG).read()

    def run(limit, action):
        with open(BACKLOG, "w") as f:
            f.write(str(limit))
        try:
            action()
        finally:
            with open(BACKLOG, "w") as f:
                f.write(before)

    yield run
    assert open(BACKLOG).read() == before


def test_overflow_of_known_size(trio, backlog):  # noqa: F811
    """Forty packets at once into a backlog of ten: it takes one more than the limit says, the others are dropped. The
    receiver tells how many came through; others of the machine may lose packets in that moment, too."""
    a, b, _ = trio
    a.sh("ip link set va gso_max_segs 1")
    sink = b.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("10.9.0.2", 90))
    sink.settimeout(10)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:  # makes the neighbours known
        sock.sendto(b"x", ("10.9.0.2", 90))
    assert sink.recv(2000) == b"x"
    sink.setblocking(False)
    came = []

    def dropped():
        return sum(row[1] for row in table().values())

    def settled(since):
        """Whether each of the forty was received or dropped; soft interrupts may be late."""
        with contextlib.suppress(BlockingIOError):
            while sink.recv(2000):
                came.append(1)
        return len(came) + dropped() - since >= 40

    before, since = values(told()[0]), dropped()
    burst(a, 40)
    wait_for(lambda: settled(since), what="forty packets")
    assert len(came) == 40
    came.clear()
    calm, since = values(told()[0]), dropped()
    backlog(10, lambda: burst(a, 40))
    wait_for(lambda: settled(since), what="forty packets")
    after = values(told()[0])
    assert calm["kubeskoop_softnet_dropped"] == before["kubeskoop_softnet_dropped"]
    assert calm["kubeskoop_softnet_processed"] >= before["kubeskoop_softnet_processed"] + 40
    assert len(came) == 11
    assert after["kubeskoop_softnet_dropped"] - calm["kubeskoop_softnet_dropped"] >= 29
    a.sh("ip link set va gso_max_segs 65535")
    sink.close()
