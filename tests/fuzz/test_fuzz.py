# SPDX-License-Identifier: GPL-2.0-or-later
"""Each fuzz harness for a few seconds over its corpus (SKOOP_FUZZ_SECONDS for longer)."""
import os
import shutil

import pytest

from skooplib import BUILD, TOP, run

HARNESSES = sorted(p.stem for p in (TOP / "tests/fuzz").glob("fuzz_*.c"))


@pytest.mark.parametrize("name", HARNESSES)
def test_fuzz(name, tmp_path):
    seconds = os.environ.get("SKOOP_FUZZ_SECONDS", "3")
    seeds = TOP / "tests/fuzz/corpus" / name[len("fuzz_"):]
    corpus = tmp_path / "corpus"
    shutil.copytree(seeds, corpus)
    assert any(corpus.iterdir()), "an empty corpus starts from nothing"
    done = run([BUILD / "fuzz" / name, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1",
                f"-artifact_prefix={tmp_path}/", corpus], timeout=int(seconds) + 60)
    assert done.returncode == 0, done.stderr[-4000:]
    runs = next(line for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(runs.split()[-1]) > 100, "hardly ran"
