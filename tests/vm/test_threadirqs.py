# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt threads, which are chosen when booting: then all soft interrupts are ksoftirqd's."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import vm  # noqa: E402

from skooplib import BUILD  # noqa: E402

SCRIPT = """
modprobe -aq veth
python3 -m pytest tests/netns/test_net_softirq.py -k starved -q
"""


@pytest.mark.slow
@pytest.mark.parametrize("series", ("5.10", "6.12"))
def test_a_starved_ksoftirqd(series):
    done = vm.boot(series, SCRIPT, BUILD, cmdline="threadirqs")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.tail()
