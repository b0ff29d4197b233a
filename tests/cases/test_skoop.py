# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher: what it finds, starts, merges and says. The probes here are doubles, unless a test says otherwise."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from skooplib import BUILD, FIXTURES, NOBODY, run, skoop, tool, wait_for

COMMON = [("o", "output", "FORMAT", "table json prom openmetrics tsv"), ("j", "json", "", ""), ("w", "write", "FILE", ""),
          ("H", "no-header", "", ""), ("d", "duration", "SECS", ""), ("q", "quiet", "", ""), ("", "color", "WHEN", ""),
          ("E", "exit-status", "", ""), ("h", "help", "", ""), ("V", "version", "", ""), ("", "explain", "NAME", "")]
TSV_HEAD = "ts\ttarget_node\ttarget_namespace\ttarget_pod\tprobe\tmetric\ttype\tvalue\tdelta\tlabels"


def described(name, metrics=(), events=(), options=(), source="procfs", needs=""):
    lines = [f"probe\t{name}\t{name}\tSummary of {name}\tWhat does {name} see?\t{source}\tLow\t{needs}\t"]
    lines += [f"option\t{letter}\t{long}\t{arg}\tOutput\thelp\t{words}\t" for letter, long, arg, words in
              [*COMMON, *options]]
    lines += [f"metric\tkubeskoop_{name}_{m}\tcounter\tpackets\tnetns\tcontract\tGroup:{m.title()}\tHelp of {m}\t"
              f"{m} means\t0\tits cause\tlook there\tdo this" for m in metrics]
    lines += [f"event\t{e}\tHelp of {e}\tit happened\t\tits cause\t\t" for e in events]
    return "\n".join(lines) + "\n"


class House:
    """A directory with the dispatcher and probes that are doubles, and nothing else."""

    def __init__(self, path):
        self.path = path
        self.env = {**os.environ, "SKOOP_EXEC_PATH": ""}
        shutil.copy(tool(""), path / "skoop")

    def add(self, name, body="", where=None, describe=None, greets=True, **kw):
        """A probe whose run is the shell script `body`; it answers --describe, and greets who carries its lines on."""
        where = where or self.path
        text = where / f".{name}.describe"
        text.write_text(described(name, **kw) if describe is None else describe)
        script = where / f"skoop-{name}"
        greeting = f"[ \"$1\" != --framed ] || printf '\\fskoop %s\\n' {'stream' if kw.get('events') else 'rounds'}"
        script.write_text('#!/bin/sh\nfor a; do [ "$a" = --describe ] && exec cat '
                          f"{shlex.quote(str(text))}; done\n{greeting if greets else ''}\n{body}\n")
        script.chmod(0o755)

    def says(self, name, lines, after="", before="", **kw):
        """A probe that prints these lines and ends."""
        text = self.path / f".{name}.lines"
        text.write_text("".join(line + "\n" for line in lines))
        kw.setdefault("metrics", ["m"])
        self.add(name, f"{before}\ncat {shlex.quote(str(text))}\n{after}", **kw)

    def __call__(self, *args, rc=0, **kw):
        done = run([self.path / "skoop", *args], env=kw.pop("env", self.env), **kw)
        assert rc is None or done.returncode == rc, (args, done.returncode, done.stdout[-2000:], done.stderr)
        return done

    def popen(self, *args, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.path / "skoop", *args], env=self.env, stdin=subprocess.DEVNULL, text=True, **kw)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def metric(probe, second, value=1, pod="p"):
    return json.dumps({"schema": 1, "kind": "metric", "ts": f"2026-11-22T21:46:{second:012.9f}Z", "probe": probe,
                       "metric": f"kubeskoop_{probe}_m", "type": "counter", "scope": "netns", "value": value,
                       "labels": {"target_pod": pod, "target_namespace": "n", "target_node": "x"}, "netns": 7},
                      separators=(",", ":"))


def one_line(done, *words):
    """The command failed with one line on stderr that has these words, and nothing on stdout."""
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    return done


def alive(pid):
    """Whether the process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids_in(path, n):
    """The numbers that n probes have written there."""
    def read():
        pids = path.read_text().split() if path.exists() else []
        return pids if len(pids) >= n else None
    return [int(p) for p in wait_for(read, what=f"{n} probes to start")]


# ---- what there is ----

@pytest.mark.parametrize("args", [(), ("--help",), ("-h",), ("help",)])
def test_overview_fits_a_screen_and_begins_with_the_shortest(house, args):
    house.add("alpha")
    house.add("beta")
    lines = house(*args).stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    commands = [line.split()[1] for line in lines if line.startswith("  skoop ")]
    assert commands[0] == "snapshot" and {"run", "list", "targets", "explain", "doctor", "help"} < set(commands)
    assert lines[-1] == "Probes: alpha beta"


def test_version(house):
    assert re.fullmatch(r"skoop \d+\.\d+\.\d+\n", house("--version").stdout)
    assert house("-V").stdout == house("--version").stdout


@pytest.mark.parametrize("word, meant", [("snapshoot", "snapshot"), ("alpah", "alpha"), ("lis", "list")])
def test_unknown_word_names_the_nearest(house, word, meant):
    house.add("alpha")
    one_line(house(word, rc=2), f"'{word}'", f"did you mean {meant}?")


def test_unknown_word_that_is_like_nothing(house):
    one_line(house("xyzzy", rc=2), "'xyzzy'", "skoop list")


@pytest.mark.parametrize("args", [
    ("--bogus",), ("-x",), ("list", "--bogus"), ("list", "extra"), ("explain", "--bogus"), ("explain", "a", "b"),
    ("doctor", "extra"), ("doctor", "-x"), ("doctor", "--timeout", "0"), ("doctor", "--timeout"), ("list", "--timeout", "1"),
     ("help", "a", "b"), ("help", "nothing"), ("run",), ("run", "-j"),
    ("run", ""), ("run", "alpha,"), ("run", ",alpha"), ("run", "alpha,alpha"), ("run", "all,alpha"), ("run", "nothing"),
    ("run", "alpha", "--bogus"), ("run", "alpha", "-x"), ("run", "alpha", "-o"), ("run", "alpha", "x"),
    ("run", "alpha", "0"), ("run", "alpha", "-1"), ("run", "alpha", "1", "0"), ("run", "alpha", "1", "x"),
    ("run", "alpha", "1", "2", "3"), ("run", "alpha", "--explain", "m"), ("run", "alpha", "-w", "/tmp/x"),
    ("run", "alpha", "-o", "openmetrics", "-w", "x.prom"), ("run", "alpha", "-o", "prom", "-w", "/dev/null"),
    ("run", "alpha", "-o", "prom", "-w", "/"), ("run", "alpha", "-o", "prom", "1"), ("run", "events"),
    ("run", "alpha", "-o", "prom", "1", "2"), ("explain", ""),
])
def test_bad_input_is_one_line_and_exit_2(house, args):
    house.add("alpha", "echo data", metrics=["m"])
    one_line(house(*args, rc=2))


def test_probes_are_found_beside_it_first_then_in_the_path(house, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    house.add("alpha", "echo own")
    house.add("alpha", "echo first", where=first)
    house.add("beta", "echo first", where=first)
    house.add("beta", "echo second", where=second)
    house.add("gamma", "echo second", where=second)
    (first / "skoop-delta").write_text("not executable")
    (first / "skoop-a.b").write_text("#!/bin/sh\n")
    (first / "skoop-a.b").chmod(0o755)
    (first / "skoop-dir").mkdir()
    env = {**house.env, "SKOOP_EXEC_PATH": f"{first}:{second}:/nowhere/at/all"}
    assert house(env=env).stdout.splitlines()[-1] == "Probes: alpha beta gamma"
    assert [house(p, env=env).stdout for p in ("alpha", "beta", "gamma")] == ["own\n", "first\n", "second\n"]
    assert "/nowhere/at/all" in house("list", env=env).stderr


def test_no_probes_at_all(house):
    assert "none found" in house().stdout
    assert "no probes" in house("list").stderr
    assert "no probes" in house("doctor").stderr
    one_line(house("run", "all", rc=2), "'all'")


# ---- skoop PROBE, skoop help ----

def test_a_probe_takes_the_dispatchers_place(house):
    house.add("alpha", 'echo "$@"; grep -E "^Sig(Ign|Blk)" /proc/self/status; exit 7')
    done = house("alpha", "-x", "a b", "--", rc=7)
    words, *masks = done.stdout.splitlines()
    assert words == "-x a b --"
    assert all(int(mask.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGTERM - 1) == 0 for mask in masks)


def test_help_is_the_manual_or_the_probes_own(house, tmp_path):
    house.add("alpha", 'echo "help of alpha: $1"')
    none, some = tmp_path / "none", tmp_path / "some"
    none.mkdir(), some.mkdir()
    (none / "man").write_text("#!/bin/sh\necho no manual entry >&2\nexit 16\n")
    (some / "man").write_text('#!/bin/sh\n[ "$1" = -w ] && exit 0\necho "page $1"\n')
    for path in (none, some):
        (path / "man").chmod(0o755)
    for where, probe, command in ((none, "help of alpha: --help\n", "Usage: skoop list"),
                                  (some, "page skoop-alpha\n", "page skoop\n")):
        env = {**house.env, "PATH": f"{where}:/usr/bin:/bin"}
        assert house("help", "alpha", env=env).stdout == probe
        done = house("help", "list", env=env)
        assert done.stdout.startswith(command) and done.stderr == ""


# ---- skoop list ----

def test_list_says_what_each_answers(house):
    house.add("beta", metrics=["m", "n"], source="netlink")
    house.add("alpha", events=["Evt"], source="eBPF", needs="CAP_BPF: to trace")
    head, *rows = house("list").stdout.splitlines()
    assert head.split() == ["PROBE", "SOURCE", "OVERHEAD", "ANSWERS"]
    assert [row.split(None, 3) for row in rows] == [["alpha", "eBPF", "Low", "What does alpha see?"],
                                                    ["beta", "netlink", "Low", "What does beta see?"]]
    alpha, beta = [json.loads(line) for line in house("list", "-j").stdout.splitlines()]
    assert (alpha["probe"], alpha["needs"], alpha["events"], alpha["metrics"]) == ("alpha", "CAP_BPF: to trace", 1, 0)
    assert (beta["needs"], beta["metrics"], beta["path"]) == (None, 2, str(house.path / "skoop-beta"))
    assert house("list", "--complete").stdout == "alpha\tWhat does alpha see?\nbeta\tWhat does beta see?\n"


@pytest.mark.parametrize("kw", [
    dict(describe="Usage: skoop-bad [FILE]\n"), dict(describe=""), dict(describe="probe\tother\tother\n"),
    dict(describe="probe\tbad\tbad\t\t\t\t\t\t\nmetric\n"), dict(describe="\0\0\0"),
])
def test_what_does_not_describe_itself_is_left_out(house, kw):
    house.add("good")
    house.add("bad", **kw)
    done = house("list")
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == ["good"]
    assert len(done.stderr.splitlines()) == 1 and "skoop-bad" in done.stderr
    assert house("list", "--complete").stderr == ""
    done = house("run", "bad", "--top", rc=1)
    assert done.stdout == "" and "skoop-bad" in done.stderr
    assert house("explain", "good").stdout


def test_kinds_of_lines_of_a_newer_probe_are_passed_over(house):
    house.add("new", describe="probe\tnew\tnew\ts\tq\tprocfs\tLow\t\t\tmore\nnovelty\tx\ty\n")
    assert house("list").stdout.splitlines()[1].split() == ["new", "procfs", "Low", "q"]


def test_one_that_hangs_when_asked_is_not_waited_for(house):
    house.add("good")
    (house.path / "skoop-hang").write_text("#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n")
    (house.path / "skoop-hang").chmod(0o755)
    done = house("list", timeout=20)
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == ["good"] and "skoop-hang" in done.stderr


# ---- skoop run: options ----

def test_each_probe_gets_the_options_it_has(house):
    echo = 'echo "$0 $*" >>' + shlex.quote(str(house.path / "args"))
    house.add("alpha", echo, metrics=["m"], options=[("a", "all-counters", "", ""), ("", "top", "N", "")])
    house.add("beta", echo, metrics=["m"], options=[("", "device", "NAME", "")])
    house("run", "alpha,beta", "-a", "--top=3", "--device", "eth 0", "-H", "2", "1")
    got = dict(line.rpartition("skoop-")[2].split(" ", 1) for line in (house.path / "args").read_text().splitlines())
    assert got == {"alpha": "--framed --targets --all-counters --top=3 --no-header 2 1",
                   "beta": "--framed --targets --device=eth 0 --no-header 2 1"}


def test_options_are_looked_at_before_anything_begins(house):
    picky = 'for a; do [ "$a" = --top=x ] && { echo "${0##*/}: --top takes a number" >&2; exit 2; }; done\n'
    for name in ("alpha", "beta"):
        house.add(name, "echo data", metrics=["m"], options=[("", "top", "N", "")])
        script = house.path / f"skoop-{name}"
        script.write_text(script.read_text().replace("#!/bin/sh\n", "#!/bin/sh\n" + picky))
    house.add("gamma", "echo data", metrics=["m"])
    one_line(house("run", "gamma,alpha,beta", "--top", "x", rc=2), "--top takes a number")
    assert house("run", "gamma,alpha,beta", "--top", "1").stdout.count("data") == 3


def test_groups(house):
    house.says("alpha", ["a"], source="procfs")
    house.says("beta", ["b"], source="eBPF")
    house.says("gamma", ["c"], metrics=["m"], events=["Evt"], source="eBPF")
    house.says("delta", ["d"], metrics=[], events=["Evt"], source="eBPF")

    def ran(*args):
        return {line[:-1] for line in house("run", *args).stdout.splitlines() if line.endswith(":")}
    assert ran("all") == {"alpha", "beta", "delta", "gamma"}
    assert ran("metrics") == {"alpha"}
    assert ran("events") == {"delta", "gamma"}
    assert ran("gamma,metrics") == {"alpha", "gamma"}
    # those without metrics have no place in an exposition: left out of a group, refused by name
    house.add("delta", "echo skoop-delta: has no metrics >&2; exit 2", metrics=[], events=["Evt"])
    assert house("run", "all", "-o", "prom").stdout == "a\nb\nc\n"
    one_line(house("run", "alpha,delta", "-o", "prom", rc=2), "has no metrics")
    one_line(house("run", "alpha,gamma", "-o", "tsv", rc=2), "gamma")
    one_line(house("run", "alpha,gamma", "-j", "-w", house.path / "f", rc=2), "gamma")


def test_options_that_all_have_cost_no_question(house):
    house.says("alpha", ["data"], describe="none of your business")
    assert house("run", "alpha", "-z", "--timestamp", "--pid", "1", "2", "1").stdout == "alpha:\ndata\n"
    one_line(house("run", "alpha", "--top", "1", rc=1), "skoop-alpha")


def test_what_does_not_speak_as_a_probe_is_not_carried_on(house):
    house.says("good", ["data"])
    house.says("bad", ["usage: bad FILE"], after="exec sleep 1000", greets=False)
    done = house("run", "good,bad", rc=1)
    assert done.stdout == "good:\ndata\n" and done.stderr == "skoop run: skoop-bad: does not speak as a probe does\n"


def test_a_child_that_finds_its_options_bad_ends_all(house):
    house.add("alpha", "echo \"skoop-alpha: malformed\" >&2; exit 2", metrics=["m"])
    house.add("beta", "exec sleep 1000", metrics=["m"])
    one_line(house("run", "alpha,beta", rc=2), "malformed")


# ---- skoop run: merging ----

def test_json_is_one_timeline(house):
    house.says("alpha", [metric("alpha", s) for s in (1, 4, 5, 9)])
    house.says("beta", [metric("beta", s) for s in (2, 3, 6, 7.5)])
    house.says("gamma", [metric("gamma", s) for s in (0.25, 4, 8)])
    lines = house("run", "alpha,beta,gamma", "-j").stdout.splitlines()
    assert [(json.loads(line)["ts"][17:23], json.loads(line)["probe"]) for line in lines] == [
        ("00.250", "gamma"), ("01.000", "alpha"), ("02.000", "beta"), ("03.000", "beta"), ("04.000", "alpha"),
        ("04.000", "gamma"), ("05.000", "alpha"), ("06.000", "beta"), ("07.500", "beta"), ("08.000", "gamma"),
        ("09.000", "alpha")]


def test_a_slow_round_keeps_the_order(house):
    """The probe that began first and took longest comes first, if it took less than a second."""
    house.says("alpha", [metric("alpha", 2)])
    house.add("beta", f"sleep 0.4; echo '{metric('beta', 1)}'", metrics=["m"])
    done = house("run", "alpha,beta", "-j")
    assert [json.loads(line)["probe"] for line in done.stdout.splitlines()] == ["beta", "alpha"]


def test_rounds_of_an_interval_come_in_order_without_delay(house):
    """Each round is out long before the next, although nobody can send an end but by its next round."""
    script = """
import sys, time
probe, first = sys.argv[1], float(sys.argv[2])
start = time.time()
for i in range(4):
    while time.time() < start + i * 0.8 + first: time.sleep(0.01)
    now = time.time_ns()
    stamp = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9)) + '.%09dZ' % (now % 10**9)
    print('{"schema":1,"kind":"metric","ts":"' + stamp + '","probe":"' + probe + '"}\\n\\f', flush=True)
"""
    (house.path / "rounds.py").write_text(script)
    for name, first in (("alpha", 0.1), ("beta", 0.0), ("gamma", 0.2)):
        house.add(name, f"exec {sys.executable} {house.path}/rounds.py {name} {first}", metrics=["m"])
    child = house.popen("run", "alpha,beta,gamma", "-j", "0.8")
    stamps, late = [], []
    for line in child.stdout:
        ts = json.loads(line)["ts"]
        seconds = time.mktime(time.strptime(ts[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(ts[19:-1])
        stamps.append(ts)
        late.append(time.time() - seconds)
    assert child.wait() == 0 and len(stamps) == 12
    assert stamps == sorted(stamps)
    assert max(late) < 0.75, late


def test_tables_come_in_the_order_asked_for(house):
    house.says("alpha", ["A  B", "1  2"], after="")
    house.add("beta", "sleep 0.3; printf 'C\\n3\\n4\\n'", metrics=["m"])
    assert house("run", "beta,alpha").stdout == "beta:\nC\n3\n4\n\nalpha:\nA  B\n1  2\n"


def test_tables_of_rounds_have_their_headers(house):
    house.says("alpha", ["\fA", "1", "\f", "\fA", "2", "\f"])
    house.says("beta", ["\fB", "3", "\f", "\fB", "4", "\f"])
    blocks = house("run", "alpha,beta", "1", "2").stdout.split("\n\n")
    assert sorted(b.strip() for b in blocks) == ["alpha:\nA\n1", "alpha:\nA\n2", "beta:\nB\n3", "beta:\nB\n4"]


def test_events_in_tables_get_their_header_when_the_probe_changes(house):
    house.add("alpha", "printf '\\fHEAD A\\na1\\n'; sleep 0.4; printf '\\fHEAD A\\na2\\n'", events=["E"])
    house.add("beta", "sleep 0.2; printf '\\fHEAD B\\nb1\\n\\fHEAD B\\nb2\\n'", events=["F"])
    assert house("run", "alpha,beta").stdout == ("alpha:\nHEAD A\na1\n\nbeta:\nHEAD B\nb1\nb2\n\n"
                                                 "alpha:\nHEAD A\na2\n")


def test_tsv_has_one_header(house):
    row = "2026-11-22T21:46:0{}.000000000Z\tx\tn\tp\t{}\tm\tcounter\t1\t-\t-"
    house.says("alpha", ["\f" + TSV_HEAD, row.format(2, "alpha")])
    house.says("beta", ["\f" + TSV_HEAD, row.format(1, "beta"), row.format(3, "beta")])
    want = [TSV_HEAD, row.format(1, "beta"), row.format(2, "alpha"), row.format(3, "beta")]
    assert house("run", "alpha,beta", "-o", "tsv").stdout.splitlines() == want
    file = house.path / "out.tsv"
    house("run", "alpha,beta", "-o", "tsv", "-w", file)
    assert file.read_text().splitlines() == want


def test_tsv_of_other_columns_is_refused(house):
    house.says("alpha", ["\f" + TSV_HEAD])
    house.add("beta", "sleep 0.3; printf '\\fts\\tother\\n2026-11-22T21:46:01.000000000Z\\tx\\n'", metrics=["m"])
    done = house("run", "alpha,beta", "-o", "tsv", rc=1)
    assert done.stdout == TSV_HEAD + "\n" and "columns" in done.stderr


def family(name, kind, *samples, head=True):
    lines = [f"# HELP {name} Help", f"# TYPE {name} {kind}"] if head else []
    return lines + [f"{name}{s}" for s in samples]


def test_expositions_are_one_by_family(house):
    house.says("alpha", family("kubeskoop_alpha_m", "counter", '{target_pod="p"} 1') +
               family("kubeskoop_shared", "gauge", '{a="1"} 1'))
    house.says("beta", family("kubeskoop_shared", "gauge", '{a="2"} 2', '{a="3"} 3') +
               family("kubeskoop_beta_m", "counter", " 5"))
    assert house("run", "alpha,beta", "-o", "prom").stdout.splitlines() == (
        family("kubeskoop_alpha_m", "counter", '{target_pod="p"} 1') +
        family("kubeskoop_shared", "gauge", '{a="1"} 1', '{a="2"} 2', '{a="3"} 3') +
        family("kubeskoop_beta_m", "counter", " 5"))


def test_openmetrics_has_one_end(house):
    house.says("alpha", ["# HELP kubeskoop_alpha Help", "# TYPE kubeskoop_alpha counter", "kubeskoop_alpha_total 3",
                         *family("kubeskoop_alpha_x", "unknown", " 1"), "# EOF"])
    house.says("beta", ["# HELP s_seconds Help", "# TYPE s_seconds histogram", "# UNIT s_seconds seconds",
                        's_seconds_bucket{le="1.0"} 1', 's_seconds_bucket{le="+Inf"} 1', "s_seconds_sum 0.5",
                        "s_seconds_count 1", "# EOF"])
    out = house("run", "alpha,beta", "-o", "openmetrics").stdout
    assert out.count("# EOF") == 1 and out.endswith("# EOF\n") and "# UNIT s_seconds seconds\n" in out
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    names = [f.name for f in parser.text_string_to_metric_families(out)]
    assert names == ["kubeskoop_alpha", "kubeskoop_alpha_x", "s_seconds"]


def test_what_two_expositions_do_not_agree_on_is_said(house):
    house.says("alpha", family("kubeskoop_shared", "gauge", '{a="1"} 1'))
    house.says("beta", family("kubeskoop_shared", "counter", '{a="2"} 2') + family("kubeskoop_b", "counter", " 1"))
    done = house("run", "alpha,beta", "-o", "prom", rc=1)
    assert done.stdout.splitlines() == (family("kubeskoop_shared", "gauge", '{a="1"} 1') +
                                        family("kubeskoop_b", "counter", " 1"))
    assert "kubeskoop_shared" in done.stderr


def test_no_series_comes_twice(house):
    house.says("alpha", family("kubeskoop_shared", "gauge", '{a="1"} 1'))
    house.says("beta", family("kubeskoop_shared", "gauge", '{a="1"} 2', '{a="10"} 3'))
    done = house("run", "alpha,beta", "-o", "prom", rc=1)
    assert done.stdout.splitlines() == family("kubeskoop_shared", "gauge", '{a="1"} 1', '{a="10"} 3')
    assert "already" in done.stderr


# ---- skoop run -w ----

def test_a_file_holds_all_and_stdout_nothing(house):
    file = house.path / "all.prom"
    file.write_text("old")
    house.says("alpha", family("kubeskoop_alpha_m", "counter", " 1"))
    house.says("beta", family("kubeskoop_beta_m", "counter", " 2"), after="sleep 0.2")
    assert house("run", "alpha,beta", "-o", "prom", "-w", file).stdout == ""
    assert file.read_text().splitlines() == (family("kubeskoop_alpha_m", "counter", " 1") +
                                             family("kubeskoop_beta_m", "counter", " 2"))
    assert file.stat().st_mode & 0o777 == 0o644
    house.says("alpha", [metric("alpha", 2)])
    house.says("beta", [metric("beta", 1)])
    file = house.path / "all.json"
    house("run", "alpha,beta", "-j", "-w", file)
    assert [json.loads(line)["probe"] for line in file.read_text().splitlines()] == ["beta", "alpha"]


@pytest.mark.parametrize("after, rc", [("exit 1", 1), ("kill -SEGV $$", 1), ("printf half", 1), ("exit 77", 1)])
def test_a_file_is_not_replaced_by_a_part(house, after, rc):
    file = house.path / "all.prom"
    file.write_text("old")
    house.says("alpha", family("kubeskoop_alpha_m", "counter", " 1"))
    house.says("beta", family("kubeskoop_beta_m", "counter", " 2"), after=after)
    before = set(os.listdir(house.path))
    done = house("run", "alpha,beta", "-o", "prom", "-w", file, rc=rc)
    assert file.read_text() == "old" and set(os.listdir(house.path)) == before
    assert "skoop-beta" in done.stderr


@pytest.mark.parametrize("code", [3, 4])
def test_a_file_is_made_by_those_that_can_run(house, code):
    file = house.path / "all.prom"
    house.says("alpha", family("kubeskoop_alpha_m", "counter", " 1"))
    house.add("beta", f"echo skoop-beta: cannot >&2; exit {code}", metrics=["m"])
    assert "skoop-beta: cannot" in house("run", "alpha,beta", "-o", "prom", "-w", file).stderr
    assert file.read_text().splitlines() == family("kubeskoop_alpha_m", "counter", " 1")


def test_a_file_follows_the_rounds(house):
    file = house.path / "all.prom"
    for name in ("alpha", "beta"):
        house.add(name, f"for i in 1 2 3; do printf 'kubeskoop_{name}_m %d\\n\\f\\n' $i; sleep 0.3; done; exec sleep 1000",
                  metrics=["m"])
    child = house.popen("run", "alpha,beta", "-o", "prom", "-w", file, "1")
    seen = []

    def third():
        text = file.read_text() if file.exists() else ""
        if text and text not in seen:
            seen.append(text)
        return len(seen) == 3
    wait_for(third, what="three rounds")
    assert seen == [f"kubeskoop_alpha_m {i}\nkubeskoop_beta_m {i}\n" for i in (1, 2, 3)]
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0
    assert file.read_text() == seen[2] and not [f for f in os.listdir(house.path) if f.startswith(".all.prom.")]


def test_the_last_file_has_what_ended_before(house):
    """The rounds of one may end before another's."""
    file = house.path / "all.prom"
    house.says("alpha", ["kubeskoop_alpha_m 1", "\f"])
    house.add("beta", "for i in 1 2 3; do printf 'kubeskoop_beta_m %d\\n\\f\\n' $i; sleep 0.2; done", metrics=["m"])
    house("run", "alpha,beta", "-o", "prom", "-w", file, "1", "3")
    assert file.read_text() == "kubeskoop_alpha_m 1\nkubeskoop_beta_m 3\n"
    house.says("alpha", [metric("alpha", 9), "\f"])
    house("run", "alpha,beta", "-j", "-w", file, "1", "3")
    assert file.read_text() == "kubeskoop_beta_m 3\n" + metric("alpha", 9) + "\n"


def test_a_full_disk_keeps_the_old_file(house):
    file = house.path / "all.prom"
    file.write_text("old")
    house.says("alpha", family("kubeskoop_alpha_m", "counter", " " + "1" * 5000))
    before = set(os.listdir(house.path))
    done = run(["bash", "-c", 'ulimit -f 1; exec "$@"', "-", house.path / "skoop", "run", "alpha", "-o", "prom", "-w",
                file], env=house.env)
    assert done.returncode == 1 and "write error" in done.stderr
    assert file.read_text() == "old" and set(os.listdir(house.path)) == before


# ---- skoop run: bad days of children ----

@pytest.mark.parametrize("codes, rc", [
    ((0, 0), 0), ((0, 3), 0), ((4, 0), 0), ((3, 4), 3), ((4, 4), 4), ((3, 3), 3), ((0, 1), 1), ((1, 3), 1), ((4, 1), 1),
    ((5, 5), 5), ((5, 3), 5), ((0, 5), 5), ((10, 0), 10), ((10, 5), 5), ((10, 3), 10), ((10, 1), 1), ((0, 77), 1),
])
def test_the_worst_exit_code_counts(house, codes, rc):
    for name, code in zip(("alpha", "beta"), codes):
        house.add(name, f"echo {name}; exit {code}", metrics=["m"])
    done = house("run", "alpha,beta", rc=rc)
    assert "alpha:\nalpha\n" in done.stdout and "beta:\nbeta\n" in done.stdout
    for name, code in zip(("alpha", "beta"), codes):
        assert done.stderr.count(f"skoop-{name}:") == (code not in (0, 10))


def test_what_children_say_is_said_once(house):
    for name in ("alpha", "beta", "gamma"):
        house.add(name, "echo \"${0##*/}: 3 processes skipped\" >&2; echo \"${0##*/}: mine, $$\" >&2", metrics=["m"])
    err = house("run", "alpha,beta,gamma").stderr.splitlines()
    assert sum("3 processes skipped" in line for line in err) == 1 and sum("mine" in line for line in err) == 3


def test_a_crash_is_named_and_loses_nobody_elses_lines(house):
    house.says("alpha", [metric("alpha", 1)])
    house.says("beta", [metric("beta", 2)], after="kill -SEGV $$")
    done = house("run", "alpha,beta", "-j", rc=1)
    assert [json.loads(line)["probe"] for line in done.stdout.splitlines()] == ["alpha", "beta"]
    assert "skoop-beta: killed by SIGSEGV" in done.stderr


@pytest.mark.parametrize("form", [(), ("-j",), ("-o", "prom")])
def test_half_a_line_is_no_line(house, form):
    house.add("alpha", "echo whole; printf half", metrics=["m"])
    done = house("run", "alpha", *form, rc=1)
    assert "half" not in done.stdout and "skoop-alpha" in done.stderr and "cut off" in done.stderr


def test_a_line_without_end_is_not_kept(house):
    house.add("alpha", "exec tr '\\0' x </dev/zero", metrics=["m"])
    house.says("beta", ["fine"])
    done = house("run", "alpha,beta", rc=1)
    assert "beta:\nfine\n" in done.stdout and "skoop-alpha" in done.stderr and "without an end" in done.stderr


@pytest.mark.parametrize("form", [("-j",), ()])
def test_a_flood_passes_and_does_not_pile_up(house, form):
    house.add("alpha", f"exec yes '{metric('alpha', 1)}'", metrics=["m"], events=["E"])
    house.add("beta", "exec sleep 1000", metrics=["m"])
    child = house.popen("run", "alpha,beta", *form)
    size = 0
    while size < 60_000_000:
        size += len(child.stdout.read(1_000_000))
    with open(f"/proc/{child.pid}/status") as f:
        peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
    child.stdout.close()
    assert child.wait(10) == 0
    assert peak < 100_000 or "san" in BUILD.parts, f"{peak} kB"  # a sanitizer keeps what is freed


@pytest.mark.parametrize("form", [("-j",), ()])
def test_one_that_hangs_does_not_hold_the_others(house, form):
    house.says("alpha", [metric("alpha", 1)])
    house.add("beta", f"echo $$ >{house.path}/pids; exec sleep 1000", metrics=["m"])
    child = house.popen("run", "beta,alpha", *form)
    start = time.monotonic()
    lines = [child.stdout.readline() for _ in range(1 if form else 2)]
    assert time.monotonic() - start < 3
    assert json.loads(lines[-1])["probe"] == "alpha"
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0
    assert not alive(pids_in(house.path / "pids", 1)[0])


def test_one_that_does_not_end_is_killed_and_named(house):
    house.add("alpha", f"trap '' TERM; echo $$ >{house.path}/pids; while :; do sleep 1; done", metrics=["m"])
    child = house.popen("run", "alpha")
    pid, = pids_in(house.path / "pids", 1)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=15)
    assert child.returncode == 1 and "skoop-alpha: did not end" in err
    assert not alive(pid)


STOPPED = """
import os, signal, sys
got = []
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(s, lambda n, f: got.append(n))
open(sys.argv[1], 'a').write(str(os.getpid()) + '\\n')
while not got:
    signal.pause()
import time
time.sleep(0.2)
print('last words after %d signal' % len(got), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_is_passed_on_once_and_last_words_are_heard(house, number):
    """As Ctrl-C does it: to the whole process group."""
    (house.path / "stopped.py").write_text(STOPPED)
    for name in ("alpha", "beta"):
        house.add(name, f"exec {sys.executable} {house.path}/stopped.py {house.path}/pids", metrics=["m"])
    child = house.popen("run", "alpha,beta", start_new_session=True)
    pids = pids_in(house.path / "pids", 2)
    os.killpg(child.pid, number)
    out, err = child.communicate(timeout=10)
    assert child.returncode == 0 and err == ""
    assert out == "alpha:\nlast words after 1 signal\n\nbeta:\nlast words after 1 signal\n"
    assert not any(map(alive, pids))


def test_no_orphan_when_the_dispatcher_is_killed(house):
    house.add("alpha", f"echo $$ >>{house.path}/pids; exec sleep 1000", metrics=["m"])
    house.add("beta", f"trap '' TERM; echo $$ >>{house.path}/pids; while :; do sleep 0.1; done", metrics=["m"])
    child = house.popen("run", "alpha,beta")
    pids = pids_in(house.path / "pids", 2)
    child.kill()
    child.wait()
    wait_for(lambda: not any(map(alive, pids)), what="the children to die")


def test_no_zombie_while_others_run(house):
    house.add("alpha", f"echo $$ >>{house.path}/pids", metrics=["m"])
    house.add("beta", "exec sleep 1000", metrics=["m"])
    child = house.popen("run", "alpha,beta")
    pid, = pids_in(house.path / "pids", 1)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), what="the dead to be reaped")
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0


def test_deaths_are_seen_where_a_parent_ignored_them(house):
    house.add("alpha", "exit 3", metrics=["m"])
    done = run(["sh", "-c", "trap '' CHLD; exec \"$@\"", "-", house.path / "skoop", "run", "alpha"], env=house.env)
    assert done.returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_leaks_when_stopped(house, number):
    """Under valgrind; one whose memory a sanitizer watches says so itself."""
    house.add("alpha", f"while :; do echo '{metric('alpha', 1)}'; echo $$ >>{house.path}/pids; sleep 0.1; done",
              metrics=["m"], events=["E"])
    house.add("beta", "printf 'half'; exec sleep 1000", metrics=["m"])
    check = [] if "san" in BUILD.parts else ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all",
                                             "--error-exitcode=99", "--child-silent-after-fork=yes"]
    child = subprocess.Popen([*check, house.path / "skoop", "run", "alpha,beta", "-j"], env=house.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids_in(house.path / "pids", 3)
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    err = "".join(line for line in err.splitlines(True) if not line.startswith("--"))  # system calls it does not know
    assert (child.returncode, err) == (0, "")


def test_children_have_nothing_but_their_three_descriptors(house):
    house.add("alpha", "ls -l /proc/self/fd | awk '/->/ && $9 < 3 {n++} $9 > 3 {print $9, $11} END {print n}'; cat",
              metrics=["m"])
    with open("/etc/hostname") as f:
        os.set_inheritable(f.fileno(), False)
        assert house("run", "alpha,", rc=2)
        assert house("run", "alpha").stdout == "alpha:\n3\n"


# ---- stdout ----

def commands(house):
    house.says("alpha", ["data"] * 3)
    return [(), ("--version",), ("list",), ("list", "-j"), ("list", "-h"), ("explain",), ("explain", "m"), ("doctor",),
            ("run", "alpha"), ("run", "alpha", "-j"), ("run", "alpha", "-o", "prom"), ("run", "-h")]


def test_a_full_disk_is_an_error(house):
    for args in commands(house):
        with open("/dev/full", "w") as full:
            done = subprocess.run([house.path / "skoop", *args], env=house.env, stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=30)
        assert done.returncode == 1, args
        assert "write error: No space left on device" in done.stderr, args


def test_a_closed_stdout_is_an_error(house):
    for args in commands(house):
        done = run(["sh", "-c", 'exec "$@" >&-', "-", house.path / "skoop", *args], env=house.env)
        assert done.returncode == 1, args
        assert "write error: Bad file descriptor" in done.stderr, args


def test_a_reader_that_leaves_ends_it_quietly(house):
    for args in commands(house):
        script = 'set -o pipefail; "$@" | true; exit ${PIPESTATUS[0]}'
        done = run(["bash", "-c", script, "-", house.path / "skoop", *args], env=house.env)
        assert (done.returncode, done.stderr) == (0, ""), args


@pytest.mark.parametrize("form", [(), ("-j",)])
def test_a_reader_that_leaves_ends_an_endless_run_at_once(house, form):
    house.add("alpha", f"echo $$ >>{house.path}/pids; echo '{metric('alpha', 1)}'; printf '\\f\\n'; exec sleep 1000",
              metrics=["m"])
    start = time.monotonic()
    done = run(["bash", "-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "-", house.path / "skoop", "run", "alpha", *form, "5"],
               env=house.env)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 1
    assert time.monotonic() - start < 4
    assert not alive(pids_in(house.path / "pids", 1)[0])


# ---- skoop explain ----

def contract():
    return [line.split("\t") for line in (FIXTURES / "contract.tsv").read_text().splitlines() if line[0] != "#"]


def test_every_name_of_the_contract_whose_probe_is_built_is_explained():
    built = {p.name[len("skoop-"):] for p in BUILD.glob("skoop-*")}
    rows = [row for row in contract() if row[2] in built]
    assert rows
    listed = {r.get("metric", r.get("event")): r for r in map(json.loads, skoop("", "explain", "-j").stdout.splitlines())
              if "finding" not in r}
    for _, name, probe, _, help_ in rows:
        assert (listed[name]["probe"], listed[name]["help"]) == (probe, help_), name
        assert len(listed[name]["means"]) > 10


def test_a_probe_that_is_here_answers_for_itself(house):
    house.add("flow", metrics=["bytes"])
    out = house("explain", "kubeskoop_flow_bytes").stdout
    assert "bytes means" in out and out.count("kubeskoop_flow_bytes") == 1 and "see      skoop flow\n" in out
    assert house("explain", "kubeskoop_flow_packets", rc=2)


@pytest.mark.parametrize("name", [
    "kubeskoop_alpha_drops", "alpha_drops", "drops", "DROPS", "Group:Drops", "GroupDrops", "groupdrops", "Drops",
    'kubeskoop_alpha_drops{target_pod="x"} 12', "KUBESKOOP_ALPHA_DROPS",
])
def test_a_metric_is_known_by_all_its_names(house, name):
    house.add("alpha", metrics=["drops"])
    assert house("explain", name).stdout.splitlines() == [
        "kubeskoop_alpha_drops: Help of drops", "  means    drops means", "  normal   0", "  causes   its cause",
        "  confirm  look there", "  remedy   do this",
        "  is       a counter of packets, one for each network namespace; the kernel's", "           Group:Drops",
        "  see      skoop alpha"]


def test_a_name_that_several_have_is_told_of_all(house):
    house.add("alpha", metrics=["drops"])
    house.add("beta", metrics=["drops"])
    assert re.findall(r"^kubeskoop_(\w+)_drops:", house("explain", "drops").stdout, re.M) == ["alpha", "beta"]


@pytest.mark.parametrize("name, meant", [("drosp", "drops"), ("kubeskoop_alpha_drop", "alpha_drops"), ("backl", "backlogdrops"),
                                         ("some_evnt", "SOME_EVENT"), ("alhpa", "alpha")])
def test_an_unknown_name_names_the_nearest(house, name, meant):
    house.add("alpha", metrics=["drops", "backlogdrops"], events=["SOME_EVENT"])
    err = one_line(house("explain", name, rc=2), f"'{name}'", "did you mean").stderr
    assert meant in re.split(r", | or |\?|mean ", err)


def test_explain_of_a_probe_is_what_it_answers(house):
    house.add("alpha", metrics=["drops", "errors"], events=["Evt"], needs="CAP_X: for y")
    out = house("explain", "alpha").stdout
    assert "What does alpha see?" in out and "CAP_X: for y" in out and "drops errors Evt" in out


def test_all_names_are_listed(house):
    house.add("alpha", metrics=["drops"], events=["Evt"])
    rows = [line.split() for line in house("explain").stdout.splitlines()]
    assert ["kubeskoop_alpha_drops", "metric", "alpha", "Help", "of", "drops"] in rows
    assert ["Evt", "event", "alpha", "Help", "of", "Evt"] in rows
    words = dict(line.split("\t") for line in house("explain", "--complete").stdout.splitlines())
    assert words["alpha_drops"] == "Help of drops" and words["Evt"] == "Help of Evt"


def test_explain_needs_no_privilege_and_no_network(house):
    done = run(["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "unshare", "-Un",
                tool(""), "explain", "PacketLoss"])
    assert done.returncode == 0 and done.stdout.startswith("PacketLoss: Packet dropped\n"), done.stderr


# ---- skoop doctor ----

def test_doctor_says_what_each_lacks(house):
    house.says("good", [metric("good", 1, pod=p) for p in ("p", "q", "p")], after="echo skoop-good: read over netlink >&2")
    house.add("refused", "echo 'skoop-refused: missing CAP_X' >&2; exit 3", metrics=["m"], needs="CAP_X: to read it")
    house.add("lacking", "echo 'skoop-lacking: no such module' >&2; exit 4", metrics=["m"])
    house.add("crashing", "kill -SEGV $$", metrics=["m"])
    house.add("mute", "exit 9", metrics=["m"])
    house.add("telling", '[ "$*" = "-o json -d 0.5" ]', metrics=["m"], events=["E"])
    done = house("doctor", "-j", rc=1)
    recs = [json.loads(line) for line in done.stdout.splitlines()]
    got = {r["probe"]: (r["status"], r["series"], r["targets"], r["says"]) for r in recs if r["kind"] == "check"}
    assert got == {"good": ("ok", 3, 2, "read over netlink"), "telling": ("ok", 0, 0, ""),
                   "refused": ("no privilege", 0, 0, "missing CAP_X; needs CAP_X: to read it"),
                   "lacking": ("not supported", 0, 0, "no such module"),
                   "crashing": ("failed", 0, 0, "killed by SIGSEGV"), "mute": ("failed", 0, 0, "exit 9 without a word")}
    assert done.stderr == ""
    facts = {r["fact"]: r["says"] for r in recs if r["kind"] == "fact"}
    assert facts["kernel"].split()[1] == os.uname().release
    assert set(facts) == {"kernel", "cgroup", "processes", "capabilities", "pod names", "security", "btf", "tracefs",
                          "bpf", "symbols", "kprobes", "fentry"}
    assert all(facts.values())
    assert all(r["hooks"] == [] and r["mode"] is None for r in recs if r["kind"] == "check")


TRACER = """[ "$*" = "--framed -v -o json -d 0.5" ] || exit 9
printf '\\fskoop-x: libbpf: prog y: BEGIN\\n\\fskoop-x: 0: (b7) r0 = 0\\n' >&2
printf '\\fskoop-x: hook a: tp_btf\\n\\fskoop-x: hook b: kprobe (fentry: Operation not permitted; fexit: no such place)\\n' >&2
printf '\\fskoop-x: hook c: not needed\\n\\fskoop-x: hook d: missing (kprobe: this kernel has no such function)\\n' >&2
printf '\\fskoop-x: not seen: dark matter\\n\\fskoop-x: attached\\nskoop-x: reduced mode dim: cannot trace d\\n' >&2
"""


def test_doctor_tells_the_hooks_of_those_that_trace(house):
    reduced = metric("dim", 1).replace('"probe"', '"mode":"dim","probe"')
    house.says("x", [reduced], before=TRACER, source="eBPF")
    house.says("y", [metric("y", 1)], before=TRACER, source="eBPF", after="echo skoop-y: not allowed: missing CAP_BPF >&2; exit 3")
    done = house("doctor", "-j", rc=3)
    x, y = [r for r in map(json.loads, done.stdout.splitlines()) if r["kind"] == "check"]
    assert (x["status"], x["mode"], x["says"]) == ("reduced", "dim", "reduced mode dim: cannot trace d")
    assert x["hooks"] == [
        {"hook": "a", "by": "tp_btf", "needed": True, "refused": None},
        {"hook": "b", "by": "kprobe", "needed": True, "refused": "fentry: Operation not permitted; fexit: no such place"},
        {"hook": "c", "by": None, "needed": False, "refused": None},
        {"hook": "d", "by": None, "needed": True, "refused": "kprobe: this kernel has no such function"}]
    assert y["status"] == "no privilege" and y["says"].endswith("not allowed: missing CAP_BPF")
    table = house("doctor", rc=3).stdout
    assert "libbpf" not in table and "r0" not in table and "dark matter" not in table and "attached" not in table
    rows = [re.split(r"  +", row) for row in table.splitlines()]
    at = rows.index(["PROBE", "HOOK", "BY", "REFUSED"])
    assert rows[at + 1:at + 4] == [["x", "a", "tp_btf", "-"],
                                   ["x", "b", "kprobe", "fentry: Operation not permitted; fexit: no such place"],
                                   ["x", "d", "missing", "kprobe: this kernel has no such function"]]
    assert done.stderr == ""


@pytest.mark.parametrize("codes, rc", [((0, 0), 0), ((0, 4), 4), ((4, 3), 3), ((3, 0), 3), ((1, 3), 1)])
def test_doctors_exit_code_is_the_worst(house, codes, rc):
    for name, code in zip(("alpha", "beta"), codes):
        house.add(name, f"exit {code}", metrics=["m"])
    out = house("doctor", rc=rc).stdout
    words = {0: "ok", 1: "failed", 3: "no privilege", 4: "not supported"}
    assert [re.split(r"  +", row)[:2] for row in out.splitlines()[-2:]] == [["alpha", words[codes[0]]],
                                                                         ["beta", words[codes[1]]]]


def test_doctor_does_not_wait_for_ever(house):
    house.add("alpha", f"trap '' TERM; echo $$ >{house.path}/pids; while :; do sleep 1; done", metrics=["m"])
    house.says("beta", ["data"])
    alpha, beta = house("doctor", "--timeout", "0.5", rc=1, timeout=10).stdout.splitlines()[-2:]
    assert "no answer" in alpha and "did not end in time" in alpha and beta.split()[:2] == ["beta", "ok"]
    assert not alive(pids_in(house.path / "pids", 1)[0])


def test_doctor_reads_the_pods_logs_where_the_host_has_them(house, tmp_path):
    logs = tmp_path / "root/var/log/pods"
    for name in ("a_b_c", "d_e_f"):
        (logs / name).mkdir(parents=True)
    recs = [json.loads(line) for line in
            house("doctor", "-j", env={**house.env, "HOST_ROOT": str(tmp_path / "root")}).stdout.splitlines()]
    says, = [r["says"] for r in recs if r.get("fact") == "pod names"]
    assert says == f"{logs} (2 directories)"


# ---- with the real probes ----

def real(*args, **kw):
    return skoop("", *args, **kw)


def test_real_probes_are_all_listed():
    built = sorted(p.name[len("skoop-"):] for p in BUILD.glob("skoop-*"))
    assert [line.split("\t")[0] for line in real("list", "--complete").stdout.splitlines()] == built


def test_real_probes_merge_in_every_format():
    built = sorted(p.name[len("skoop-"):] for p in BUILD.glob("skoop-*"))
    recs = [json.loads(line) for line in real("run", "metrics", "--host", "-j").stdout.splitlines()]
    assert [r["ts"] for r in recs] == sorted(r["ts"] for r in recs)
    probes = {r["probe"] for r in recs}
    assert probes <= set(built) and len(probes) >= 1
    tsv = real("run", "metrics", "--host", "-o", "tsv").stdout.splitlines()
    assert tsv[0] == TSV_HEAD and tsv.count(TSV_HEAD) == 1 and {line.split("\t")[4] for line in tsv[1:]} == probes
    series = {(r["metric"], json.dumps(r["labels"])) for r in recs}
    prom = real("run", "metrics", "--host", "-o", "prom").stdout.splitlines()
    samples = [line.rpartition(" ")[0] for line in prom if line[0] != "#"]
    assert len(samples) == len(set(samples)) == len(series)
    types = [line.split()[2] for line in prom if line.startswith("# TYPE ")]
    assert len(types) == len(set(types)) and set(types) == {r["metric"] for r in recs}
    table = real("run", "metrics", "--host", "-z").stdout
    titles = [line[:-1] for line in table.splitlines() if line.endswith(":")]
    assert titles == sorted(titles) and probes <= set(titles) <= set(built)


def test_real_probes_tell_rounds_apart():
    recs = [json.loads(line) for line in real("run", "metrics", "--host", "-j", "0.3", "3").stdout.splitlines()]
    assert [r["ts"] for r in recs] == sorted(r["ts"] for r in recs)
    for probe in {r["probe"] for r in recs}:
        assert len({r["ts"] for r in recs if r["probe"] == probe}) == 3
    table = real("run", "tcpext", "--host", "-z", "0.2", "3").stdout
    assert table.count("tcpext:\n") == 3 and table.count("NAMESPACE") == 3


def test_real_rounds_become_one_file(tmp_path):
    for form, name in (("prom", "a.prom"), ("openmetrics", "a.om"), ("json", "a.json"), ("tsv", "a.tsv")):
        file = tmp_path / name
        assert real("run", "metrics", "--host", "-o", form, "-w", file, "0.2", "3").stdout == ""
        text = file.read_text()
        assert "kubeskoop_tcpext_listendrops" in text and text.endswith("\n") and "\f" not in text
        if form == "json":
            assert len({(r["metric"], json.dumps(r["labels"])) for r in map(json.loads, text.splitlines())}) == \
                len(text.splitlines())
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.om", "a.prom", "a.tsv"]


def test_real_bad_options_are_told_once_and_print_nothing():
    one_line(real("run", "metrics", "-o", "xml", rc=2), "--output", "'xml'")
    one_line(real("run", "metrics", "-E", rc=2), "--exit-status")


def test_real_doctor_finds_the_probes_that_run():
    done = real("doctor", "-j", rc=None)
    assert done.returncode in (0, 3, 4), done.stderr
    checks = {r["probe"]: r for r in map(json.loads, done.stdout.splitlines()) if r["kind"] == "check"}
    assert checks["tcpext"]["status"] == "ok" and checks["tcpext"]["series"] >= 32 and checks["tcpext"]["targets"] >= 1
    assert all(r["status"] == "ok" or r["says"] for r in checks.values())


@pytest.mark.parametrize("bare", [False, True])
def test_real_doctor_visits_those_that_trace(bare):
    """They end by themselves, and tell their hooks or what they lack, in one line."""
    argv = [*(NOBODY if bare else []), tool(""), "doctor", "-j"]
    recs = [json.loads(line) for line in run(argv).stdout.splitlines()]
    tracing = {r["probe"] for r in map(json.loads, real("list", "-j").stdout.splitlines()) if r["source"] == "eBPF"}
    checks = {r["probe"]: r for r in recs if r.get("probe") in tracing}
    assert set(checks) == tracing and sum(c["exit"] != 4 for c in checks.values()) >= 4
    facts = {r["fact"]: r["says"] for r in recs if r["kind"] == "fact"}
    for check in checks.values():
        if check["exit"] == 4:  # what it traces is a device or module that is not here
            assert check["says"] and check["status"] == "not supported"
        elif bare:
            assert check["status"] == "no privilege" and "missing CAP_BPF, CAP_PERFMON" in check["says"].replace(
                "CAP_PERFMON, CAP_BPF", "CAP_BPF, CAP_PERFMON"), check
        else:
            assert check["status"] in ("ok", "reduced"), check
            assert check["hooks"] and all(h["by"] or not h["needed"] or h["refused"] for h in check["hooks"]), check
        assert "libbpf" not in check["says"] and "hook " not in check["says"] and "attached" not in check["says"]
    assert "missing" in facts["bpf"] if bare else "may trace" in facts["bpf"]
    assert facts["fentry"].startswith("refused") if bare else facts["fentry"]


def test_real_probes_of_a_run_look_at_the_same_targets_as_alone():
    for select in (("--host",), ("--pid", os.getpid()), ("--host", "--pid", os.getpid())):
        def labels(recs, probe):
            return {json.dumps(r["labels"]) for r in recs if r["probe"] == probe}
        together = [json.loads(line) for line in real("run", "tcp,udp", "-j", *select).stdout.splitlines()]
        for probe in ("tcp", "udp"):
            alone = [json.loads(line) for line in skoop(probe, "-j", *select).stdout.splitlines()]
            assert labels(together, probe) == labels(alone, probe) != set(), (probe, select)


def test_real_targets_that_are_not_there_are_told_once():
    one_line(real("run", "tcp,udp", "-n", "no-such-namespace", rc=5), "--netns no-such-namespace")
    one_line(real("run", "tcp,udp", "-p", "x", rc=2), "--pid")
    done = real("run", "tcp,udp", "--host", "-n", "no-such-namespace", rc=5)
    assert len(done.stderr.splitlines()) == 1 and "tcp:" in done.stdout and "udp:" in done.stdout
