# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all tests, the list of expected skips, and the closing line."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from skooplib import FIXTURES, Netns, veth  # noqa: E402

EXPECTED_SKIPS = pathlib.Path(os.environ.get("SKOOP_SKIPS") or pathlib.Path(__file__).with_name("expected-skips"))


@pytest.fixture
def quiet():
    """A namespace in which nothing happens: its counters must not move."""
    with Netns("quiet") as ns:
        yield ns


@pytest.fixture
def pair(quiet):
    """Namespaces a (10.9.0.1, fd00:9::1, va) and b (10.9.0.2, fd00:9::2, vb), and a quiet third."""
    with Netns("a") as a, Netns("b") as b:
        veth(a, b)
        yield a, b, quiet


def expected_skips():
    lines = EXPECTED_SKIPS.read_text().splitlines() if EXPECTED_SKIPS.exists() else []
    return {line.split("#")[0].strip() for line in lines} - {""}


def refuse_unlisted(report, name):
    if report.skipped and not hasattr(report, "wasxfail") and name not in expected_skips():
        report.outcome = "failed"
        report.longrepr = f"unlisted skip: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A skip that is not listed in expected-skips is a failure: it says what is missing, and nobody expected it."""
    outcome = yield
    refuse_unlisted(outcome.get_result(), item.nodeid.split("[")[0])


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    """The same for a whole file."""
    outcome = yield
    refuse_unlisted(outcome.get_result(), collector.nodeid)


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not reporter or config.option.collectonly:
        return
    count = {key: len(reporter.stats.get(key, [])) for key in ("passed", "failed", "error", "skipped")}
    print(f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped",
          flush=True)
