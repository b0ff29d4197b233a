# SPDX-License-Identifier: GPL-2.0-or-later
"""What compilers, analysers and shells say about the sources without running them: nothing."""
import concurrent.futures
import os
import re
import subprocess
import warnings

import pytest

from skooplib import BUILD, TOP, run

C_DIRS = ("libcommon", "tools", "bpf")
C_FILES = sorted(str(p.relative_to(TOP)) for d in C_DIRS for p in (TOP / d).rglob("*.c") if not p.name.endswith(".bpf.c"))
C_AND_H = sorted(str(p.relative_to(TOP)) for d in (*C_DIRS, "tests") for p in (TOP / d).rglob("*.[ch]")
                 if p.name != "vmlinux.h")
LINES_MAX = 400
# A quarter of the analyser's usual patience with a function finds the same here, in a quarter of its time.
ANALYZER = ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=50000")


def scripts(*shells):
    """Files whose first line names one of these shells."""
    found = []
    for path in sorted(p for d in (".ci", *C_DIRS, "completions", "man", "tests") for p in (TOP / d).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".in", ".pyc"):
            with path.open("rb") as f:
                first = f.readline(80).decode(errors="replace")
            if re.match(rf"#! ?(/usr)?/bin/(env )?({'|'.join(shells)})\b", first):
                found.append(str(path.relative_to(TOP)))
    return found


def silent(argv, **kw):
    done = run(argv, cwd=TOP, timeout=300, **kw)
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("script", scripts("sh", "dash"))
def test_sh_script(script):
    silent(["shellcheck", "-s", "sh", script])
    silent(["dash", "-n", script])
    silent(["checkbashisms", script])


@pytest.mark.parametrize("script", [*scripts("bash"), "completions/skoop.bash"])
def test_bash_script(script):
    silent(["shellcheck", "-s", "bash", script])
    silent(["bash", "-n", script])


def test_the_scripts_are_found():
    assert ".ci/run" in scripts("sh")


def test_zsh_completion_parses():
    silent(["zsh", "-n", "completions/_skoop"])


def test_fish_completion_parses():
    silent(["fish", "-n", "completions/skoop.fish"])


def test_python_compiles_without_warning():
    files = sorted(str(p) for d in ("man", "tests") for p in (TOP / d).rglob("*.py"))
    code = "import pathlib, sys\nfor f in sys.argv[1:]: compile(pathlib.Path(f).read_text(encoding='utf-8'), f, 'exec')"
    silent(["/usr/bin/python3", "-W", "error", "-c", code, *files])


def test_cppcheck():
    silent(["cppcheck", "-q", "-j2", "--enable=warning,performance,portability", "--inline-suppr", "--std=c11",
            "--library=posix,gnu", "--error-exitcode=1", "--suppressions-list=tests/cppcheck-suppressions",
            "-D_GNU_SOURCE", '-DSKOOP_VERSION="0"', "-DLIBBPF_OPTS(type,name,...)=struct type name={0}", "-ibpf", "-I.", *[d for d in C_DIRS if (TOP / d).is_dir()]])


def tidy(path):
    done = run(["clang-tidy", "--quiet", "--config-file=tests/clang-tidy.yml", path, "--", "-std=gnu11", "-D_GNU_SOURCE",
                '-DSKOOP_VERSION="0"', "-I.", f"-isystem{BUILD}", *ANALYZER, *mnl_flags()], cwd=TOP, timeout=300)
    return done.stdout if done.returncode or done.stdout else ""


def mnl_flags():
    return run(["pkg-config", "--cflags", "libmnl"]).stdout.split()


def test_clang_tidy():
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        said = list(pool.map(tidy, C_FILES))
    assert said and not any(said), "\n".join(filter(None, said))


def test_clang_tidy_sees_a_mistake(tmp_path):
    """The check is not blind: a file with a null dereference fails it."""
    bad = tmp_path / "bad.c"
    bad.write_text("int f(void);\nint f(void)\n{\n\tint *p = 0;\n\treturn *p;\n}\n")
    assert "core.NullDereference" in tidy(bad)


def test_format():
    silent(["clang-format", "--dry-run", "-Werror", *C_AND_H])


@pytest.mark.parametrize("compiler,flags", [("gcc", "-O2 -Werror"), ("clang", "-O1 -Werror")])
def test_builds_without_a_warning(compiler, flags, tmp_path):
    env = {**os.environ, "MAKEFLAGS": ""}
    env.pop("SAN", None)
    done = run(["make", "-s", "-j2", f"BUILD={tmp_path}/build", f"CC={compiler}", f"CFLAGS={flags}", "all", "units"],
               env=env, cwd=TOP, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (tmp_path / "build/skoop").exists()


def test_files_stay_small():
    """No failure: a table may be long. It is said, so that somebody looks."""
    for path in C_FILES:
        lines = (TOP / path).read_text().count("\n")
        if lines > LINES_MAX:
            warnings.warn(f"{path} has {lines} lines", stacklevel=1)
