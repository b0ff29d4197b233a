# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract: 119 metrics and 19 events, names byte for byte."""
from skooplib import BUILD, FIXTURES, skoop

import pytest


def contract():
    rows = [line.split("\t") for line in (FIXTURES / "contract.tsv").read_text().splitlines() if line[0] != "#"]
    return {name: dict(kind=kind, probe=probe, type=type_, help=help_) for kind, name, probe, type_, help_ in rows}


def probes():
    return sorted(p.name[len("skoop-"):] for p in BUILD.glob("skoop-*") if p.is_file())


def described():
    """{name: its --describe columns and its probe} of every metric and event of every probe that is built."""
    out = {}
    for probe in probes():
        for line in skoop(probe, "--describe").stdout.splitlines():
            cols = line.split("\t")
            if cols[0] in ("metric", "event"):
                assert cols[1] not in out, f"{cols[1]} is told twice"
                out[cols[1]] = dict(kind=cols[0], probe=probe, cols=cols)
    return out


def test_the_contract_has_all_names():
    kinds = [row["kind"] for row in contract().values()]
    assert (kinds.count("metric"), kinds.count("event")) == (119, 19)


def test_every_name_is_delivered():
    assert {n for n, d in described().items() if d["kind"] == "event" or d["cols"][5] == "contract"} == set(contract())


def test_names_are_told_as_the_contract_does():
    for name, d in described().items():
        if d["kind"] == "metric" and d["cols"][5] != "contract":
            assert name not in contract()
            continue
        row = contract()[name]
        assert d["probe"] == row["probe"]
        if d["kind"] == "metric":
            assert d["cols"][2] == row["type"], name
            assert d["cols"][7] == row["help"], name


@pytest.mark.parametrize("probe", probes())
def test_order_is_the_contracts(probe):
    ours = [n for n, d in described().items() if d["probe"] == probe and n in contract()]
    assert ours == [n for n, row in contract().items() if row["probe"] == probe and n in ours]


@pytest.mark.parametrize("probe", probes())
def test_every_metric_says_what_it_means(probe):
    for name, d in described().items():
        if d["probe"] == probe and d["kind"] == "metric" and d["cols"][5] == "contract":
            assert len(d["cols"][8]) > 10, f"{name} has no meaning"
