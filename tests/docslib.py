# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the documentation share: tools as they describe themselves, shells that complete."""
import os
import pathlib
import pty
import select
import signal
import subprocess
import tempfile

from skooplib import BUILD, TOP, Netns, run, skoop, wait_for

COMPLETIONS = TOP / "completions"


def tools():
    return sorted(p.name.removeprefix("skoop-") for p in BUILD.glob("skoop-*") if p.is_file())


_described = {}


def described(name):
    """The rows of --describe."""
    if name not in _described:
        text = skoop(name, "--describe").stdout
        _described[name] = [[c.replace(r"\\", "\0").replace(r"\t", "\t").replace(r"\n", "\n").replace("\0", "\\")
                             for c in line.split("\t")] for line in text.splitlines()]
    return _described[name]


def make(*args, **kw):
    """make with the build the tests look at."""
    return run(["make", "-s", "-C", TOP, f"BUILD={BUILD}", *args], timeout=300, **kw)


class Shell:
    """A shell that is asked what it would complete a line to."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="skoop-shell")
        self.env = {**os.environ, "HOME": self.dir.name, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.path(BUILD)
        self.stderr = ""

    def path(self, dirs):
        self.env["PATH"] = f"{dirs}:{os.environ['PATH']}"

    def said(self):
        return self.stderr

    def script(self, argv, timeout):
        done = run(argv, env=self.env, timeout=timeout, cwd=self.dir.name)
        self.stderr = done.stderr
        return [line for line in done.stdout.splitlines() if line]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.dir.cleanup()


class Bash(Shell):
    def complete(self, line, value=False, timeout=10):
        """The words for the end of the line; value: of one behind a =."""
        code = """source "$1"; read -ra COMP_WORDS <<< "${2//=/ = }"
            [[ $2 == *[\\ =] ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$2; COMP_POINT=${#2}
            complete -p "${COMP_WORDS[0]}" >/dev/null || exit
            _skoop; printf '%s\\n' "${COMPREPLY[@]}" """
        return set(self.script(["bash", "-uc", code, "bash", COMPLETIONS / "skoop.bash", line], timeout))


class Fish(Shell):
    def complete(self, line, value=False, timeout=10):
        code = "source $argv[1]; complete -C $argv[2]"
        lines = self.script(["fish", "-N", "-c", code, COMPLETIONS / "skoop.fish", line], timeout)
        words = {w.split("\t")[0] for w in lines}
        return {w.rpartition("=")[2] for w in words} if value else {w.removesuffix("=") for w in words}


class Zsh(Shell):
    """On a terminal, since zsh completes nowhere else; what compadd is given goes to a file."""

    started = None

    def start(self):
        self.started = dict(self.env)
        self.out = os.path.join(self.dir.name, "out")
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(self.env)
            os.chdir(self.dir.name)
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.send(f"PROMPT=; fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -u -D\n"
                  "compadd() { local -a h; builtin compadd -O h \"$@\"; "
                  f"(( $#h )) && print -rl -- \"$h[@]\" >>{self.out}; builtin compadd \"$@\" }}\n"
                  f"mark() {{ print DONE >>{self.out}; BUFFER= }}; zle -N mark\n"
                  "bindkey '^I' list-choices '^T' mark\n")

    def send(self, text):
        os.write(self.fd, text.encode())

    def drain(self):
        """Reads what the shell shows, so that it never blocks."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                shown = os.read(self.fd, 65536)
            except OSError:
                return
            self.stderr += shown.decode(errors="replace")

    def finds(self):
        self.drain()
        with open(self.out, encoding="utf-8") as f:
            return f.read().splitlines()

    def complete(self, line, value=False, timeout=10):
        if self.env != self.started:
            self.stop()
            self.start()
        with open(self.out, "w", encoding="utf-8"):
            self.stderr = ""
        self.send(f"{line}\t\x14")
        wait_for(lambda: "DONE" in self.finds(), timeout, f"zsh to complete {line}")
        return set(self.finds()) - {"DONE"}

    def stop(self):
        if self.started:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.fd)
            self.started = None

    def __exit__(self, *exc):
        self.stop()
        super().__exit__(*exc)


# What the textfile collector reads.
COLLECTED = "/var/lib/prometheus/node-exporter"

# ---- a small cluster, for examples that name pods and namespaces ----

def cgroup_root():
    """Where a process can be put into a cgroup that pods are recognised by: version 2, or systemd's of version 1."""
    mounts = [line.split() for line in open("/proc/self/mounts", encoding="utf-8")]
    found = [m[1] for m in mounts if m[2] == "cgroup2"] + [m[1] for m in mounts if "name=systemd" in m[3].split(",")]
    assert found, "no cgroup hierarchy is mounted"
    return pathlib.Path(found[0])


class Cluster:
    """
    A node of its own: a process tree with the host's network and, as a kubelet leaves them on disk, pods (process,
    cgroup, log directory), and names for further network namespaces. What runs on it sees these and nothing else.
    """

    made = 0

    def __init__(self, pods=(), names=()):
        Cluster.made += 1
        self.number = Cluster.made
        self.dir = tempfile.TemporaryDirectory(prefix="skoop-cluster")
        self.root = pathlib.Path(self.dir.name)
        (self.root / "log/pods").mkdir(parents=True)
        self.cgroups, self.spaces, self.children = [], {}, []
        init = self.popen("unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child=KILL", "sleep", "infinity")
        children = pathlib.Path(f"/proc/{init.pid}/task/{init.pid}/children")
        pid = wait_for(children.read_text, what="the first process of the node").strip()
        wait_for(lambda: os.readlink(f"/proc/{pid}/exe").endswith("sleep"), what="the node's /proc")
        self.enter = ["nsenter", "-t", pid, "-m", "-p"]
        for i, pod in enumerate(pods):
            self.add(pod, f"pod{i}")
            self.start_pod(i, pod)
        done = run([*self.enter, "sh", "-ec", f"""mount --bind {self.root}/log /var/log
            mount -t tmpfs none /run/netns; mkdir -p {COLLECTED}; mount -t tmpfs none {COLLECTED}"""])
        assert done.returncode == 0, done.stderr
        for i, name in enumerate(names):
            self.add(name, f"ns{i}")
            self.inside(name, "touch", f"/run/netns/{name}")
            self.inside(name, "mount", "--bind", "/proc/self/ns/net", f"/run/netns/{name}")

    def popen(self, *argv):
        self.children.append(subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True))
        return self.children[-1]

    def add(self, name, tag):
        self.spaces[name] = Netns(f"{self.number}{tag}")

    def inside(self, name, *argv):
        done = run([*self.enter, f"--net={self.spaces[name].path}", *argv])
        assert done.returncode == 0, done.stderr

    def start_pod(self, i, pod):
        namespace, name = pod.split("/")
        uid = f"{os.getpid():08x}-0000-4000-8000-{self.number:06x}{i:06x}"
        (self.root / f"log/pods/{namespace}_{name}_{uid}/main").mkdir(parents=True)
        group = cgroup_root() / "kubepods/burstable" / f"pod{uid}" / (f"{i:02x}" * 32)
        group.mkdir(parents=True)
        self.cgroups.append(group)
        child = self.popen(*self.enter, f"--net={self.spaces[pod].path}", "sh", "-ec",
                           'echo 0 >"$0/cgroup.procs"; echo up; exec sleep infinity', group)
        assert child.stdout.readline() == "up\n"

    def run(self, command, seconds=2):
        """
        A shell's command with the tools in its PATH; one that does not end is asked to after some seconds: bash
        becomes a command that stands alone.
        """
        env = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}
        return run([*self.enter, f"--wd={self.root}", "timeout", "--foreground", "--preserve-status", "-s", "TERM",
                    "-k", "20", seconds, "bash", "-c", command], timeout=90, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for child in self.children:
            child.kill()
            child.wait()
            child.stdout.close()
        for space in self.spaces.values():
            space.close()
        for group in self.cgroups:
            wait_for(lambda g=group: not (g / "cgroup.procs").read_text(), what="the pod's process to end")
            for path in (group, *group.parents[:3]):
                try:
                    path.rmdir()
                except OSError:
                    break  # others have pods there, too
        self.dir.cleanup()
