# SPDX-License-Identifier: GPL-2.0-or-later
"""Every probe on a bad day: bad words, no privilege, targets that are not there or go, files that are not what they were."""
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from skooplib import BUILD, TOP, Netns, run, skoop, tool, wait_for

PROBES = sorted(p.name[len("skoop-"):] for p in BUILD.glob("skoop-*") if p.is_file())
TRACING = {p.name.split(".")[0] for p in (TOP / "bpf").glob("*.bpf.c")}
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def once(probe):
    """What has it end by itself."""
    return ["-d", "0.3"] if probe in TRACING else []


def complaints(err):
    """Without the names of reduced modes, which quote the kernel."""
    return "".join(line for line in err.splitlines(True) if ": reduced mode " not in line)


def one_line(done, probe):
    """The complaint: one line on stderr, from this tool."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"skoop-{probe}: "), done.stderr
    return lines[0]


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("args", [
    ["--nonsense"], ["-?"], ["-o"], ["-o", "xml"], ["-o", ""], ["0"], ["-1"], ["1x"], ["1e3"], ["nan"], [""], ["1", "0"],
    ["1", "-1"], ["1", "1", "1"], ["1", "99999999999999999999"], ["-d", "0"], ["-d", "x"], ["-d", ""], ["-E"],
    ["--color=pink"], ["-P", ""], ["-p", "x"], ["-p", "0"], ["-p", "99999999999"], ["-c", "12"], ["-c", "nothex"], ["-n", ""],
    ["-n", "pid:x"], ["--explain", "no_such_metric"], ["-w", ""], ["-w", "/nonexistent/x"], ["--node", "a b"]])
def test_bad_words(probe, args):
    if args == ["-E"] and probe in TRACING:
        return  # it waits for what it is to exit with 10 for
    done = run([tool(probe), *args])
    assert done.returncode in (1, 2, 5), (args, done.returncode, done.stderr)
    assert done.returncode == 2 or args[0] in ("-w", "-p", "-n", "-c"), (args, done.returncode, done.stderr)
    assert done.stdout == ""
    one_line(done, probe)


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("args", [
    ["-n", "no-such-name"], ["-n", "/no/such/file"], ["-n", "4000000000"], ["-n", "pid:4194303"], ["-p", "4194303"],
    ["-c", "0123456789ab"], ["-P", "no/such-pod"]])
def test_a_target_that_is_not_there(probe, args):
    done = run([tool(probe), *args])
    if done.returncode == 4:
        assert skoop(probe, *once(probe), rc=None).returncode == 4, done.stderr  # this kernel has none of it
        return
    # Where this user may not see all namespaces, the answer is that (3), never "nothing to report".
    assert done.returncode in (3, 5), (done.returncode, done.stderr)
    assert done.stdout == ""
    assert args[1] in done.stderr


@pytest.mark.parametrize("probe", PROBES)
def test_found_and_not_found(probe, quiet):
    """What was found is reported, what was not is named, and the exit code says so at the end."""
    if skoop(probe, *once(probe), rc=None).returncode == 4:
        return  # nothing to report on this kernel: test_absent holds that
    alone = skoop(probe, "-n", quiet.name, "-o", "json", *once(probe)).stdout
    done = run([tool(probe), "-n", quiet.name, "-n", "no-such-name", "-o", "json", *once(probe)])
    assert done.returncode in (3, 5)
    assert "no-such-name" in done.stderr and len(done.stdout.splitlines()) == len(alone.splitlines())


@pytest.mark.parametrize("probe", PROBES)
def test_unprivileged(probe):
    """With less, or exit 3 naming the capability; never a number that is not so, never a crash."""
    shutil.copy(tool(probe), f"/tmp/skoop-{probe}.{os.getpid()}")  # a build below a private directory is not reachable
    try:
        done = run([*NOBODY, f"/tmp/skoop-{probe}.{os.getpid()}", "-z", "-o", "json", *once(probe)])
    finally:
        os.unlink(f"/tmp/skoop-{probe}.{os.getpid()}")
    assert done.returncode in (0, 3, 4), done.stderr
    if done.returncode == 3:
        assert "CAP_" in done.stderr and done.stdout == ""
    if done.returncode == 0:
        assert done.stdout


@pytest.mark.parametrize("probe", PROBES)
def test_a_namespace_that_goes(probe):
    """Deleted between rounds: the run goes on, quietly."""
    with Netns("goes") as ns:
        child = ns.popen("sleep", "60")
        args = [tool(probe), "-z", "-o", "json", "0.2", "6"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            first = p.stdout.readline()
            child.send_signal(signal.SIGKILL)
            child.wait()
            ns.close()
            ns.close = lambda: None
            out, err = p.communicate(timeout=30)
    assert p.returncode == (4 if not first else 0), err
    assert "No such" not in complaints(err) and "Invalid" not in err, err


@pytest.mark.parametrize("probe", PROBES)
def test_processes_that_come_and_go(probe):
    """Short-lived processes all around: no error, no complaint."""
    churn = subprocess.Popen(["sh", "-c", "while :; do (true); done"])
    try:
        for _ in range(5):
            done = run([tool(probe), "-z", "-o", "json", *once(probe)])
            assert done.returncode in (0, 4), done.stderr
            assert "No such" not in complaints(done.stderr)
    finally:
        churn.kill()
        churn.wait()


@pytest.mark.parametrize("probe", PROBES)
def test_a_proc_that_is_empty(probe, tmp_path):
    """A directory that is no /proc: said, with a code of its own, and no numbers."""
    done = run([tool(probe), "--procfs", str(tmp_path), "--rootfs", str(tmp_path), "-o", "json"])
    assert done.returncode in (1, 3, 4, 5), (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith(f"skoop-{probe}: ")


@pytest.mark.parametrize("probe", PROBES)
def test_valgrind_clean_after_a_stop(probe, pair, tmp_path):
    """Several rounds over all namespaces, ended by SIGINT: no invalid access, nothing leaked, no descriptor left."""
    argv = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
            "--errors-for-leak-kinds=definite,indirect", "--track-fds=no",
            # What valgrind knows of bpf(2) is older than what libbpf asks of it.
            *(["--undef-value-errors=no", f"--suppressions={TOP}/tests/valgrind.supp"] if probe in TRACING else []), tool(probe), "-z", "-o", "json", "0.2"]
    with open(tmp_path / "out", "w+") as out, subprocess.Popen(
            argv, stdout=out, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as p:
        def second_round():
            stamps = {line[:70] for line in (tmp_path / "out").read_text().splitlines()}
            return len(stamps) > 1 or p.poll() is not None

        wait_for(second_round, 60, "two rounds under valgrind")
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
    assert p.returncode in (0, 4), err
    assert "==" not in complaints(err), err


def test_a_stop_asked_for_twice_at_once_is_one():
    """timeout(1) signals its child, then the child's group."""
    with subprocess.Popen([tool("tcp"), "-z", "-j", "0.1"], stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline().endswith("}\n")
        p.send_signal(signal.SIGTERM)
        p.send_signal(signal.SIGTERM)
        rest, _ = p.communicate(timeout=20)
    assert p.returncode == 0
    assert all(line.endswith("}") for line in rest.splitlines())


def test_a_later_second_stop_kills():
    """One that is stuck behind a reader who does not read can still be ended."""
    with subprocess.Popen([tool("tcp"), "-z", "-j", "0.01"], stdout=subprocess.PIPE) as p:
        wait_for(lambda: "pipe_write" in pathlib.Path(f"/proc/{p.pid}/wchan").read_text(), 20, "a full pipe")
        p.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            p.wait(timeout=0.5)
        p.send_signal(signal.SIGTERM)
        assert p.wait(timeout=20) == -signal.SIGTERM
