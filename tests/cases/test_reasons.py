# SPDX-License-Identifier: GPL-2.0-or-later
"""Why packets are dropped and connections reset: what the dispatcher says of reasons and of the fields of events."""
import json
import re

import pytest

from skooplib import skoop
from test_skoop import House, described, one_line


def told(name, reasons=(), fields=(), **kw):
    """The description of a probe with reasons (name, kernels, what it means) and fields (name, type, what it says)."""
    lines = [f"field\t{field}\t{kind}\t{says}" for field, kind, says in fields]
    lines += [f"reason\t{reason}\t{kernels}\t{means}\tsome\tits cause\tlook there\tdo this" for reason, kernels, means in
              reasons]
    return described(name, **kw) + "\n".join(lines) + "\n"


@pytest.fixture
def house(tmp_path):
    """Two probes that share the name of a reason and of a field."""
    there = House(tmp_path)
    there.add("drops", describe=told("drops", [("NO_SOCKET", "", "nobody listens"),
                                               ("QDISC_DROP_CONGESTED", "7.3 and later", "the queue says slow down")],
                                     [("saddr", "address", "where it came from"), ("tiny", "int", "")],
                                     metrics=["total"], events=["Dropped"]))
    there.add("resets", describe=told("resets", [("NO_SOCKET", "6.12 and later", "unknown here")],
                                      [("saddr", "address", "the sender")], events=["Reset"]))
    return there


def test_a_reason_of_two_probes_is_told_of_both(house):
    assert house("explain", "no_socket").stdout.splitlines() == [
        "NO_SOCKET: a reason of skoop-drops", "  means    nobody listens", "  normal   some", "  causes   its cause",
        "  confirm  look there", "  remedy   do this", "  see      skoop drops", "",
        "NO_SOCKET: a reason of skoop-resets", "  means    unknown here", "  normal   some", "  causes   its cause",
        "  confirm  look there", "  remedy   do this", "  kernels  6.12 and later", "  see      skoop resets"]


@pytest.mark.parametrize("name", ["QDISC_DROP_CONGESTED", "congested", "qdisc CONGESTED", "qdisc:congested",
                                  "SKB_DROP_REASON_QDISC_CONGESTED"])
def test_a_reason_is_known_by_all_its_names(house, name):
    head, *rest = house("explain", name).stdout.splitlines()
    assert head == "QDISC_DROP_CONGESTED: a reason of skoop-drops" and "  means    the queue says slow down" in rest


def test_a_field_says_what_it_says(house):
    assert house("explain", "saddr").stdout.splitlines() == [
        "saddr: where it came from", "  is       a field of events, address", "  see      skoop drops", "",
        "saddr: the sender", "  is       a field of events, address", "  see      skoop resets"]
    one_line(house("explain", "tiny", rc=2), "'tiny'")


def test_json_has_kind_and_kernels(house):
    first, second = [json.loads(line) for line in house("explain", "-j", "NO_SOCKET").stdout.splitlines()]
    assert first == {"schema": 1, "kind": "explanation", "reason": "NO_SOCKET", "probe": "drops", "found": True,
                     "means": "nobody listens", "normal": "some", "causes": "its cause", "confirm": "look there",
                     "remedy": "do this"}
    assert (second["probe"], second["kernels"]) == ("resets", "6.12 and later")
    field, _ = [json.loads(line) for line in house("explain", "-j", "saddr").stdout.splitlines()]
    assert field == {"schema": 1, "kind": "explanation", "field": "saddr", "probe": "drops", "found": True,
                     "type": "address", "help": "where it came from"}


def test_all_are_listed_with_their_kind(house):
    rows = [re.split(r"  +", line) for line in house("explain").stdout.splitlines()]
    assert ["NO_SOCKET", "reason", "drops", "nobody listens"] in rows
    assert ["NO_SOCKET", "reason", "resets", "unknown here"] in rows
    assert ["saddr", "field", "resets", "the sender"] in rows
    assert not [row for row in rows if row[0] == "tiny"]


def test_completion_offers_a_name_once(house):
    lines = house("explain", "--complete").stdout.splitlines()
    assert [line for line in lines if line.split("\t")[0] in ("NO_SOCKET", "saddr")] == [
        "saddr\twhere it came from", "NO_SOCKET\tnobody listens"]
    assert "QDISC_DROP_CONGESTED\tthe queue says slow down" in lines


def test_a_probe_lists_its_fields_and_reasons(house):
    lines = house("explain", "drops").stdout.splitlines()
    assert "  names    total Dropped" in [line.rstrip() for line in lines]
    at = lines.index("  fields   saddr: where it came from")
    assert lines[at + 1:at + 3] == ["           tiny: int", "  reasons  NO_SOCKET QDISC_DROP_CONGESTED"]


def test_an_unknown_reason_names_the_nearest(house):
    assert "NO_SOCKET" in one_line(house("explain", "NO_SOKET", rc=2), "'NO_SOKET'", "did you mean").stderr


@pytest.mark.parametrize("line", ["reason\n", "field\tx\n", "field\n"])
def test_half_a_line_is_no_description(house, line):
    house.add("bad", describe=described("bad") + line)
    assert "skoop-bad" in house("list").stderr


def test_names_of_an_older_probes_fields_have_nothing_to_say(house):
    house.add("old", describe=described("old", events=["Evt"]) + "field\tport\tport\n")
    assert house("explain", "old").stdout.count("port: port") == 1
    one_line(house("explain", "port", rc=2), "'port'")


def test_a_probe_without_such_a_name_says_so():
    done = skoop("tcp", "--explain", "NO_SOCKET", rc=2)
    assert done.stdout == "" and "'NO_SOCKET'" in done.stderr
