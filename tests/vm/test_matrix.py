# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests of tests/netns on real kernels: one machine a series, each with its own list of expected skips. What a test
says inside counts here, as SERIES/TEST.

All on one kernel: make vm TESTS='-k 6.12' (6.1 alone is '-k [6.1]'). One test on it: INSIDE='-k NAME' besides.
"""
import concurrent.futures
import os
import pathlib
import sys
import time
import warnings

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import kernels  # noqa: E402
import vm  # noqa: E402

from skooplib import BUILD  # noqa: E402

# What loads in a machine before the tests: the parts that exist only as modules there.
MODULES = """veth dummy bridge 8021q ifb tun nf_conntrack nf_conntrack_netlink nf_tables nft_ct nft_limit nft_numgen nft_reject_inet
 nft_chain_nat nft_counter nft_queue nfnetlink_queue sch_netem sch_tbf sch_fq_codel sch_htb sch_prio sch_ingress sch_multiq
 ip_vs ip_vs_rr xt_IPVS inet_diag tcp_diag udp_diag null_blk bonding vrf ipip ip_gre vxlan act_mirred cls_u32 virtio_net""".split()
# A network card that leads nowhere.
CARD = ["-netdev", "hubport,id=card,hubid=0", "-device", "virtio-net-pci,netdev=card,romfile="]

SCRIPT = """
uname -r
for m in {modules}; do modprobe -q $m; done
export SKOOP_SKIPS=/skoop/tests/vm/skips/{series} PYTHONPATH=/skoop/tests/vm
python3 -m pytest -p no:cacheprovider -p tell {select} tests/netns
"""
# Which of them: arguments of the pytest inside, as a shell reads them.
INSIDE = os.environ.get("INSIDE", "")
TIMEOUT = 1200


def machine(series):
    """(result, seconds) of all tests on one kernel."""
    since = time.monotonic()
    done = vm.boot(series, SCRIPT.format(modules=" ".join(MODULES), series=series, select=INSIDE), BUILD, timeout=TIMEOUT,
                   extra=CARD)
    return done, time.monotonic() - since


@pytest.fixture(scope="session")
def machines(request):
    """{series: the future of its machine}. One machine keeps about one CPU busy, so there are as many at a time."""
    series = [item.callspec.params["series"] for item in request.session.items if "machines" in item.fixturenames]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield {s: pool.submit(machine, s) for s in series}
        finally:
            vm.stop()
            pool.shutdown(cancel_futures=True)


def count(item, series, result):
    """Passes the reports of a machine on, as if its tests were ours; {outcome: how many}, in words too."""
    outcomes = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for data in result.reports:
        if "started" in data:
            continue
        report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
        report.nodeid = f"{series}/{report.nodeid}"
        if isinstance(report.longrepr, list):  # where and why it skipped: JSON has no tuples
            report.longrepr = tuple(report.longrepr)
        if data["$report_type"] == "CollectReport":
            item.ihook.pytest_collectreport(report=report)
        else:
            item.ihook.pytest_runtest_logreport(report=report)
        if data.get("when") == "call" or report.outcome != "passed":
            outcomes[report.outcome] += 1
    return outcomes, ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())


@pytest.mark.parametrize("series", kernels.SERIES)
def test_kernel(series, machines, request, capsys):
    """The machine ran its tests to the end."""
    broken = machines[series].exception()
    if isinstance(broken, vm.Broken):
        with capsys.disabled():
            count(request.node, series, broken.result)
        pytest.fail(str(broken), pytrace=False)
    done, seconds = machines[series].result()
    with capsys.disabled():
        outcomes, words = count(request.node, series, done)
        print(f"\nLinux {done.stdout.split()[0]}: {words} in {seconds:.0f} s", flush=True)
    if done.died:
        warnings.warn(f"was booted twice: {done.died}")
    assert any(outcomes.values()) and done.returncode == (outcomes["failed"] > 0), done.tail()
