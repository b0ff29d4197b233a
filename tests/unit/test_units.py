# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the C unit tests, one case a program."""
import pytest

from skooplib import BUILD, TOP, run

PROGRAMS = sorted(p.stem for p in (TOP / "tests/unit").glob("test_*.c"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_unit(name):
    done = run([BUILD / "tests/unit" / name], timeout=120, cwd=TOP)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stderr + done.stdout or "ok 1" in done.stdout, "ran no test"
