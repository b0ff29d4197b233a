# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests of tests/netns on real kernels: one machine a series, each with its own list of expected skips.

One kernel: make vm TESTS="-k 6.12". One test on it: SKOOP_VM_TESTS="-k test_ipvs" make vm TESTS="-k 6.12".
"""
import os
import pathlib
import sys
import xml.etree.ElementTree

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import kernels  # noqa: E402
import vm  # noqa: E402

from skooplib import BUILD  # noqa: E402

# What loads in a machine before the tests: the parts that exist only as modules there.
MODULES = """veth dummy bridge 8021q ifb tun nf_conntrack nf_conntrack_netlink nf_tables nft_ct nft_limit nft_numgen nft_reject_inet
 nft_chain_nat nft_counter sch_netem sch_tbf sch_fq_codel sch_htb sch_prio sch_ingress sch_multiq ip_vs ip_vs_rr xt_IPVS
 inet_diag tcp_diag udp_diag null_blk""".split()

SCRIPT = """
for m in {modules}; do modprobe -q $m; done
export SKOOP_SKIPS=/skoop/tests/vm/skips/{series}
python3 -m pytest tests/netns -p no:cacheprovider --junitxml=/tmp/files/report.xml {select}
"""


def boot(series, script, **kw):
    """One retry for a machine that died (the emulator's own races), none for a test that failed."""
    try:
        return vm.boot(series, script, BUILD, **kw)
    except vm.Died:
        return vm.boot(series, script, BUILD, **kw)


@pytest.mark.slow
@pytest.mark.parametrize("series", kernels.SERIES)
def test_kernel(series):
    try:
        kernels.fetch(series)
    except LookupError as missing:
        pytest.skip(str(missing))
    select = os.environ.get("SKOOP_VM_TESTS", "")
    done = boot(series, SCRIPT.format(modules=" ".join(MODULES), series=series, select=select), timeout=900)
    assert "report.xml" in done.files, done.stdout[-2000:] + done.stderr[-2000:] + done.console[-1000:]
    suite = next(xml.etree.ElementTree.fromstring(done.files["report.xml"]).iter("testsuite"))
    bad = [f"{case.get('classname')}::{case.get('name')}: {(why.get('message') or '')[:300]}"
           for case in suite.iter("testcase") for why in case if why.tag in ("failure", "error")]
    assert not bad and done.returncode == 0, "\n".join(bad) or done.stdout[-3000:]
    assert int(suite.get("tests")) - int(suite.get("skipped")) > 0, "ran no test"
