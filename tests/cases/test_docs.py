# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages, completions and the README: fresh, well-formed, complete, and true when tried."""
import filecmp
import os
import re
import shutil

import pytest

from docslib import Bash, Cluster, Fish, Zsh, described, make, tools
from skooplib import BUILD, TOP, nstat, run, skoop, veth, wait_for

GENERATED = ("man", "completions", "README.md")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The generated files, made anew."""
    top = tmp_path_factory.mktemp("docs")
    for name in ("man", "completions"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("*.8", "__pycache__"))
    for name in ("skoop.bash", "_skoop", "skoop.fish"):
        (top / "completions" / name).unlink()
    shutil.copytree(TOP / "tests/fixtures", top / "tests/fixtures",
                    ignore=lambda d, names: [n for n in names if n != "contract.tsv"])
    text = (TOP / "README.md").read_text()
    (top / "README.md").write_text(re.sub(r"(<!-- (\w+): .*?-->\n).*?(<!-- /\2 -->)", r"\1\3", text, flags=re.S))
    assert make("docs", f"DOCS={top}").returncode == 0
    return top


def files(top):
    return {str(p.relative_to(top)) for name in GENERATED for p in [top / name, *(top / name).rglob("*")]
            if p.is_file() and "__pycache__" not in p.parts}


def test_generated_files_are_fresh(fresh):
    assert files(fresh) == files(TOP)
    stale = [f for f in sorted(files(TOP)) if not filecmp.cmp(fresh / f, TOP / f, shallow=False)]
    assert not stale, "run make docs and check in what it writes"


def test_the_date_is_never_the_clocks(fresh, tmp_path):
    dates = {re.search(r"^\.Dd (.*)", p.read_text(), re.M)[1] for p in (fresh / "man").glob("*.8")}
    assert len(dates) == 1
    shutil.copytree(fresh, tmp_path / "again", ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "SOURCE_DATE_EPOCH": "86399"}
    assert make("docs", f"DOCS={tmp_path / 'again'}", env=env).returncode == 0
    assert ".Dd January 1, 1970" in (tmp_path / "again/man/skoop.8").read_text()


def test_a_page_for_every_tool():
    pages = {p.stem for p in (TOP / "man").glob("*.8")}
    assert pages == {"skoop", *(f"skoop-{t}" for t in tools())}


@pytest.mark.parametrize("page", sorted(p.name for p in (TOP / "man").glob("*.8")))
def test_manual_page_is_well_formed(page):
    done = run(["mandoc", "-Tlint", "-W", "warning", TOP / "man" / page])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""}
    done = run(["man", "--warnings", "-P", "cat", "-l", TOP / "man" / page], env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize("tool", tools())
def test_manual_page_has_what_the_tool_says(tool):
    """Every option, metric, field, reason and text of the descriptor can be read in the page, commands in it as they are typed."""
    done = run(["mandoc", "-Tutf8", TOP / f"man/skoop-{tool}.8"])
    shown = "".join(re.sub(r".\x08", "", done.stdout).split())
    for row in described(tool):
        if row[0] == "option":
            assert f"--{row[2]}" in shown
        elif row[0] in ("metric", "event"):
            for text in row[1:2] + row[7 if row[0] == "metric" else 2:]:
                assert "".join(text.replace("−", "-").split()) in shown, text
        elif row[0] in ("field", "reason"):
            for text in row[1:2] + row[3:4]:
                assert "".join(text.split()) in shown, text


# ---- completions ----

@pytest.fixture(params=[Bash, Zsh, Fish], ids=["bash", "zsh", "fish"])
def shell(request):
    with request.param() as sh:
        yield sh


def options_of(tool):
    return {s for r in described(tool) if r[0] == "option" for s in ([f"-{r[1]}"] if r[1] else []) + [f"--{r[2]}"]}


def test_options_are_the_descriptors(shell):
    for tool in tools():
        assert shell.complete(f"skoop-{tool} -") == options_of(tool)
        long = {o for o in options_of(tool) if o.startswith("--")}
        assert shell.complete(f"skoop {tool} --") == long


def test_values_are_the_descriptors(shell):
    seen = set()
    for tool in tools():
        for row in described(tool):
            if row[0] == "option" and row[6]:
                words = set(row[6].split())
                if not row[3].startswith("["):
                    assert shell.complete(f"skoop-{tool} --{row[2]} ") == words
                assert shell.complete(f"skoop {tool} --{row[2]}=", value=True) == words
                seen.add(row[2])
    assert {"output", "color"} <= seen
    assert shell.complete("skoop-tcp -o ") == {"table", "json", "prom", "openmetrics", "tsv"}


def test_probes_and_commands(shell):
    found = shell.complete("skoop ")
    assert set(tools()) <= found
    assert {"snapshot", "run", "targets", "explain", "doctor", "list", "help"} <= found
    assert shell.complete("skoop run tcp,ud") in ({"tcp,udp"}, {"udp"})
    assert shell.complete("skoop -") == {"-h", "--help", "-V", "--version"}


def test_what_can_be_explained(shell):
    said = skoop("", "explain", "--complete").stdout
    assert "tcpext_listendrops" in said
    assert shell.complete("skoop explain ") == {line.split("\t")[0] for line in said.splitlines()}


def test_names_of_targets(shell, quiet):
    assert quiet.name in shell.complete("skoop-tcp -n ")
    assert quiet.name in shell.complete(f"skoop tcp --netns={quiet.name[:-2]}", value=True)


def test_names_of_metrics(shell):
    assert {"kubeskoop_tcp_activeopens", "kubeskoop_tcp_outrsts"} <= shell.complete("skoop-tcp --explain ")


@pytest.mark.parametrize("script", ["exit 1", "echo oops >&2; exit 3", "exec sleep 60"])
def test_targets_that_cannot_be_told_are_silently_none(shell, script, tmp_path):
    fake = tmp_path / "skoop"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    shell.path(f"{tmp_path}:{BUILD}")
    assert shell.complete("skoop-tcp -n ", timeout=4) == set()
    assert "oops" not in shell.said() and "rror" not in shell.said()


# ---- examples ----

README = (TOP / "README.md").read_text()


def blocks(language):
    """[(the rest of the fence's first line, text)] of the README's code blocks in a language."""
    return re.findall(rf"^```{language}\b *([^\n]*)\n(.*?)^```$", README, re.S | re.M)


def examples_of_manual(page):
    """The commands of its EXAMPLES."""
    text = page.read_text().split(".Sh EXAMPLES\n")[1].split(".Sh ")[0]
    lines = re.findall(r"^\.Dl (.*)$", text, re.M)
    for literal in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.S | re.M):
        lines += literal.splitlines()
    roff = {r"\e": "\\", r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ti": "~", r"\(ha": "^", r"\(ga": "`", r"\&": ""}
    return [re.sub(r"\\(e|-|&|\((aq|dq|ti|ha|ga))", lambda m: roff[m.group()], line) for line in lines]


def examples():
    found = [(p.stem, e) for p in sorted((TOP / "man").glob("*.8")) for e in examples_of_manual(p)]
    return found + [("README.md", line) for info, text in blocks("sh") if not info for line in text.splitlines()]


def named(option, command):
    return re.findall(rf"(?:^|\s)(?:{option})[ =]'?([\w/.*-]+)'?", command)


def is_said(command, done):
    """
    Not everything is everywhere: a kernel may lack it, and then exit 4 with the descriptor's words; or a probe runs in a
    reduced mode, which it names, or cannot do this in that mode; doctor tells.
    """
    probe = re.search(r"skoop[- ](\w+)", command)[1]
    if probe == "doctor":
        return done.returncode in (0, 3, 4) and done.stderr == ""
    if "--rate-limit" in command and done.returncode == 0:
        return all("events lost" in line for line in done.stderr.splitlines())
    if done.returncode in (0, 4) and done.stderr.startswith(f"skoop-{probe}: reduced mode "):
        return all(": reduced mode " in line for line in done.stderr.splitlines())
    if done.returncode == 4 and re.match(rf"skoop-{probe}: .*cannot be traced here", done.stderr):
        return True
    absent = described(probe)[0][8] if probe in tools() else ""
    return done.returncode == 4 and absent and absent in done.stderr


# shop/web-0 listens and never accepts; shop/client-0 goes on connecting.
SERVER = """import socket, time
s = socket.socket()
s.bind(("10.9.0.2", 8080))
s.listen(4)
print("up", flush=True)
time.sleep(1000)"""
CLIENT = """import socket, time
print("up", flush=True)
kept = []
while True:
    kept.append(socket.socket())
    kept[-1].setblocking(False)
    kept[-1].connect_ex(("10.9.0.2", 8080))
    time.sleep(0.1)"""


@pytest.fixture(scope="module")
def cluster():
    """With every pod and namespace that an example names."""
    commands = [command for _, command in examples()]
    pods = {p if "/" in p else f"shop/{p}" for c in commands for p in named("-P|--pod", c) if "*" not in p}
    names = {n for c in commands for n in named("-n|--netns", c) if not n.startswith("/")}
    with Cluster(sorted(pods | {"shop/web-0"}), sorted(names)) as c:
        yield c


@pytest.fixture(scope="module")
def trouble():
    """What the README shows: a program that does not accept its connections."""
    with Cluster(["shop/client-0", "shop/web-0"]) as c:
        veth(c.spaces["shop/client-0"], c.spaces["shop/web-0"])
        for pod, program in (("shop/web-0", SERVER), ("shop/client-0", CLIENT)):
            assert c.spaces[pod].python(program).stdout.readline() == "up\n"
        web = c.spaces["shop/web-0"]
        wait_for(lambda: int(nstat(web)["TcpExtListenOverflows"]), what="the accept queue to overflow")
        yield c


@pytest.mark.parametrize("page", sorted(p.stem for p in (TOP / "man").glob("*.8")))
def test_manual_pages_have_examples(page):
    assert examples_of_manual(TOP / f"man/{page}.8")


@pytest.mark.parametrize("where,command", examples())
def test_example_works(where, command, cluster):
    ends = where == "README.md" or "snapshot" in command
    done = cluster.run(command, seconds=30 if ends else 2)
    if not is_said(command, done):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout or ">" in command or "-w" in command


def transcripts():
    return [(command, text) for _, block in blocks("console")
            for command, text in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)]


def plain(text):
    """Its lines without what differs from run to run: numbers, the node's name, the width of columns."""
    text = re.sub(r'(target_node"?[=:])"[^"]*"', r"\1", text)
    lines = [re.sub(r"\d+(\.\d+)*", "N", re.sub(r"\s+", " ", line)) for line in text.splitlines()]
    return [re.sub(r"^(N-N-NTN:N:NZ) \S+", r"\1", line) for line in lines]


@pytest.mark.parametrize("command,shown", transcripts())
def test_readme_shows_what_is_printed(command, shown, trouble):
    done = trouble.run(command, seconds=30)
    assert (done.returncode, done.stderr) == (0, "")
    found, expected = plain(done.stdout), plain(shown)
    if "snapshot" in command:  # a slow machine has more consequences of it, another one lacks other things
        assert found[0] == expected[0]
        expected = [line for line in expected if line and "looked at" not in line]
        found = [line for line in found if line in expected]
    assert found == expected


def test_readme_crontab_feeds_the_textfile_collector(cluster):
    (_, text), = blocks("cron")
    *when, user, command = text.strip().split(" ", 6)
    assert when == ["*"] * 5 and user == "root"
    written = re.search(r"-w (\S+)", command)[1]
    name = os.path.basename(written)
    done = cluster.run(command.replace("/usr/sbin/", "").replace(written, name))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (cluster.root / name).read_text()
    checked = run(["promtool", "check", "metrics"], input=text, stdin=None)
    assert checked.returncode in (0, 3)
    assert all("_total" in line for line in checked.stderr.splitlines()), checked.stderr
    assert 'target_pod="web-0"' in text


def test_readme_names_what_make_can_do():
    table = README.split("Besides these:")[1].split("\nA pod")[0]
    targets = [t for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for t in re.findall(r"`(?:sudo )?([^`]+)`", cell)]
    assert {"make", "install-strip", "make docs", "make lint", "make vm", "bench"} <= set(targets)
    for target in targets:
        done = make("-n", *target.removeprefix("make").split())
        assert done.returncode == 0 and "No rule" not in done.stderr, target


def test_only_probes_that_trace_need_more_than_the_c_library_and_libmnl():
    tracing = {p.name.split(".")[0] for p in (TOP / "bpf").glob("*.bpf.c")}
    assert tracing and tracing <= set(tools())
    for tool in [None, *tools()]:
        path = BUILD / (f"skoop-{tool}" if tool else "skoop")
        needed = set(re.findall(r"NEEDED.*\[(.*?)\.so", run(["readelf", "-dW", path]).stdout))
        assert needed <= {"libc", "libmnl", "libasan", "libubsan", "libm"} | ({"libbpf"} if tool in tracing else set()), path


def test_readme_first_command_ends_in_a_snapshot():
    (_, text), = [b for b in blocks("sh") if b[0] == "make"]
    assert [line.split("#")[0].split() for line in text.splitlines()] == [["sudo", "make", t] for t in ("run", "check")]
    assert make("run").stdout


def test_readme_probe_can_be_added(tmp_path):
    """The worked example, in a copy of the tree: built, documented, and its test passes; nothing else is touched."""
    top = tmp_path / "skoop"
    shutil.copytree(TOP, top, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "__pycache__"))
    shutil.copytree(BUILD, top / "build", symlinks=True)
    written = [b for language in ("c", "mdoc", "python") for b in blocks(language)]
    assert [path for path, _ in written] == ["tools/icmp.c", "man/icmp.in", "tests/netns/test_icmp.py"]
    for path, text in written:
        assert not (top / path).exists()
        (top / path).write_text(text)
    env = {k: v for k, v in os.environ.items() if k != "BUILD"}
    done = run(["make", "-s", "-C", top, "BUILD=build", "CFLAGS=-O2 -g -Werror", "all", "docs"], timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    assert "kubeskoop_icmp_inechos" in (top / "man/skoop-icmp.8").read_text()
    assert "skoop-icmp" in (top / "completions/skoop.bash").read_text()
    assert "`skoop-icmp`" in (top / "README.md").read_text()
    done = run(["/usr/bin/python3", "-m", "pytest", "tests/netns/test_icmp.py", "tests/cases/test_contract.py"], cwd=top,
               env={**env, "BUILD": "build"}, timeout=120)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout


# ---- installing ----

def test_install_and_uninstall(tmp_path):
    assert make("install", f"DESTDIR={tmp_path}").returncode == 0
    names = {"skoop", *(f"skoop-{t}" for t in tools())}
    assert {p.name for p in (tmp_path / "usr/sbin").iterdir()} == names
    assert {p.stem for p in (tmp_path / "usr/share/man/man8").iterdir()} == names
    share = tmp_path / "usr/share"
    for directory, suffix in (("bash-completion/completions", ""), ("fish/vendor_completions.d", ".fish")):
        assert {p.name for p in (share / directory).iterdir()} == {name + suffix for name in names}
        assert all((share / directory / (name + suffix)).read_text() for name in names)
    assert (share / "zsh/site-functions/_skoop").read_text()
    assert run([tmp_path / "usr/sbin/skoop", "list"]).returncode == 0
    assert make("uninstall", f"DESTDIR={tmp_path}").returncode == 0
    assert not [p for p in tmp_path.rglob("*") if not p.is_dir()]


def test_install_strip(tmp_path):
    assert make("install-strip", f"DESTDIR={tmp_path}").returncode == 0
    for path in (tmp_path / "usr/sbin").iterdir():
        assert ".symtab" not in run(["readelf", "-SW", path]).stdout
        assert ".symtab" in run(["readelf", "-SW", BUILD / path.name]).stdout
