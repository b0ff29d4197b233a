# SPDX-License-Identifier: GPL-2.0-or-later
"""Why packets are dropped and connections reset: what the dispatcher says of reasons and of the fields of events."""
import json
import re

import pytest

from docslib import Bash, Fish, Zsh
from skooplib import BUILD, FIXTURES, run, skoop
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
                                               ("QDISC_DROP_CONGESTED", "7.3 and later", "the queue says slow down"),
                                               ("nf_hook_slow", "5.10", "a place")],
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


@pytest.mark.parametrize("name", ["nf_hook_slow", "nf_hook_slow+0xb2", "nf_hook_slow.isra.0+0xb2 [nf]"])
def test_a_place_is_known_as_a_stack_has_it(house, name):
    assert house("explain", name).stdout.startswith("nf_hook_slow: a reason of skoop-drops\n  means    a place\n")


def test_a_field_says_what_it_says(house):
    assert house("explain", "saddr").stdout.splitlines() == [
        "saddr: where it came from", "  is       a field of events, address", "  see      skoop drops", "",
        "saddr: the sender", "  is       a field of events, address", "  see      skoop resets"]
    one_line(house("explain", "tiny", rc=2), "'tiny'")


def test_json_has_kind_and_kernels(house):
    first, second = [json.loads(line) for line in house("explain", "-j", "NO_SOCKET").stdout.splitlines()]
    assert first == {"schema": 1, "kind": "explanation", "reason": "NO_SOCKET", "probe": "drops",
                     "means": "nobody listens", "normal": "some", "causes": "its cause", "confirm": "look there",
                     "remedy": "do this"}
    assert (second["probe"], second["kernels"]) == ("resets", "6.12 and later")
    field, _ = [json.loads(line) for line in house("explain", "-j", "saddr").stdout.splitlines()]
    assert field == {"schema": 1, "kind": "explanation", "field": "saddr", "probe": "drops",
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


@pytest.mark.parametrize("shell", [Bash, Zsh, Fish])
def test_shells_offer_what_a_probe_explains(house, shell):
    house.add("tcp", describe=told("tcp", [("NO_SOCKET", "", "nobody listens")],
                                   [("saddr", "address", "where it came from"), ("tiny", "int", "")], metrics=["m"],
                                   events=["Evt"]))
    with shell() as sh:
        sh.path(f"{house.path}:{BUILD}")
        assert sh.complete("skoop-tcp --explain ") == {"kubeskoop_tcp_m", "Evt", "saddr", "NO_SOCKET"}
        assert {"NO_SOCKET", "saddr", "QDISC_DROP_CONGESTED"} <= sh.complete("skoop explain ")


def test_a_probe_lists_its_fields_and_reasons(house):
    lines = house("explain", "drops").stdout.splitlines()
    assert "  names    total Dropped" in [line.rstrip() for line in lines]
    at = lines.index("  fields   saddr: where it came from")
    assert lines[at + 1:at + 3] == ["           tiny: int", "  reasons  NO_SOCKET QDISC_DROP_CONGESTED nf_hook_slow"]


def test_a_probe_with_an_event_of_its_name_is_told_with_both(house):
    house.add("storm", describe=told("storm", [("RAIN", "", "it rains")], [("drops", "uint", "how many")], events=["Storm"]))
    lines = house("explain", "storm").stdout.splitlines()
    assert lines[0] == "Storm: Help of Storm" and "  fields   drops: how many" in lines and "  reasons  RAIN" in lines
    assert house("explain", "Storm").stdout.splitlines() == lines[:lines.index("")]


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


# ---- the tables, against what kernels have ----

SERIES = ["5.10", "6.1", "6.12", "6.18", "7.0", "7.1", "7.3"]
# What modules name; not every list has looked into these.
OF_MODULES = ("OVS_DROP_", "__OVS_DROP_", "RX_")


def version(text):
    return [int(n) for n in text.split(".")]


def enumerators(series, kind):
    """The names in BTF of this kernel, without the prefix that all of them share; empty: it has no such reasons."""
    path = FIXTURES / f"reasons/{series}.{kind}"
    names = [line for line in path.read_text().splitlines() if line[0] != "#"] if path.exists() else []
    return {re.sub("^(SKB_DROP_REASON|SK_RST_REASON)_", "", name) for name in names}


def rows():
    """{kind: {name: kernels}} of the tables, as a probe tells them. Names of functions are for kernels without reasons."""
    done = run([BUILD / "tests/unit/test_reasons", "--describe"])
    assert done.returncode == 0, done.stderr
    found, kind = {}, None
    for line in done.stdout.splitlines():
        cols = line.split("\t")
        if cols[0] == "probe":
            kind = {"drops": "drop", "resets": "reset"}[cols[1]]
        elif cols[0] == "reason":
            found.setdefault(kind, {})[cols[1]] = cols[2]
    return found


def functions(table):
    return {name for name in table if name.islower()}


def says(kernels, series):
    """Whether a kernel of the series has it, by the words of its row; None: they leave it open."""
    main, _, updates = kernels.partition("; also updates of ")
    now = version(series)
    if updates and series in updates.split(", "):
        return None
    for form, holds in ((r"([\d.]+) and later", lambda a: now >= version(a)), (r"after ([\d.]+)", lambda a: now > version(a)),
                        (r"([\d.]+) to ([\d.]+)", lambda a, b: version(a) <= now <= version(b)),
                        (r"([\d.]+)", lambda a: now == version(a)), (r"", lambda: True)):
        match = re.fullmatch(form, main)
        if match:
            return holds(*match.groups())
    raise AssertionError(f"no such form: {kernels}")


@pytest.mark.parametrize("kind, least", [("drop", 64), ("reset", 24)])
@pytest.mark.parametrize("series", SERIES)
def test_every_reason_of_a_kernel_has_a_row(series, kind, least):
    names = enumerators(series, kind)
    assert not names - set(rows()[kind])
    assert len(names) > least or version(series) < ([6, 1] if kind == "drop" else [6, 12]) or \
        (kind, series) in (("reset", "7.0"), ("reset", "7.1"))


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_what_a_row_says_of_kernels_is_so(kind):
    lists = {s: enumerators(s, kind) for s in SERIES}
    table = rows()[kind]
    judged = 0
    for name in set(table) - functions(table):
        for series, names in lists.items():
            looked = [n for n in names if n.startswith(OF_MODULES)] if name.startswith(OF_MODULES) else names
            if looked and says(table[name], series) is not None:
                assert says(table[name], series) == (name in names), f"{name} on {series}: {table[name]}"
                judged += 1
    assert judged > len(table)


def test_no_row_is_of_no_kernel():
    for kind, table in rows().items():
        there = set().union(*(enumerators(s, kind) for s in SERIES))
        assert set(table) - functions(table) == there


def test_a_kernel_without_reasons_has_its_places_told():
    places = functions(rows()["drop"])
    assert {"nf_hook_slow", "__udp4_lib_rcv", "tcp_v4_rcv", "kfree_skb_list"} <= places
    assert all(rows()["drop"][name] for name in places), "which kernels to look for it on"


@pytest.mark.parametrize("kernels, yes, no", [
    ("6.12 and later", ["6.12", "7.3"], ["6.1"]), ("6.12 to 7.0", ["6.12", "7.0"], ["6.1", "7.1"]),
    ("after 6.18", ["7.3"], ["6.18"]), ("6.12", ["6.12"], ["6.18"]), ("", SERIES, []),
    ("7.3 and later; also updates of 6.12", ["7.3"], ["6.1", "6.18"]),
])
def test_the_words_for_kernels_are_understood(kernels, yes, no):
    assert [says(kernels, s) for s in yes + no] == [True] * len(yes) + [False] * len(no)
    assert says("7.3 and later; also updates of 6.12", "6.12") is None
    with pytest.raises(AssertionError):
        says("since 6.12", "6.12")
