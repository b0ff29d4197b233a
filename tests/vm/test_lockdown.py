# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel lockdown, which is chosen when booting: a probe that traces says what refuses it."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import vm  # noqa: E402

from skooplib import BUILD  # noqa: E402

SCRIPT = """
build/skoop-tcpretrans -d 0.1; echo $?
mount -t securityfs none /sys/kernel/security; cat /sys/kernel/security/lockdown
"""


@pytest.mark.slow
@pytest.mark.parametrize("series", ("5.10", "6.12"))
def test_confidentiality(series):
    done = vm.boot(series, SCRIPT, BUILD, cmdline="lockdown=confidentiality")
    code, state = done.stdout.splitlines()
    assert "[confidentiality]" in state
    assert (code, done.stderr.count("\n")) == ("3", 1), done.stderr
    assert "kernel lockdown (confidentiality) forbids programs to read kernel memory; boot with lockdown=integrity or none" \
        in done.stderr
