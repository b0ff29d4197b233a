# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: running the tools, network namespaces with real traffic, independent witnesses."""
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", "build"))
if not BUILD.is_absolute():
    BUILD = TOP / BUILD
FIXTURES = TOP / "tests" / "fixtures"
# An emulated machine needs longer, more so beside others; who waits for a condition there waits as many times as long.
PATIENCE = 6 if os.environ.get("SKOOP_VM") else 1


def tool(name):
    """The path of skoop-NAME, or of the dispatcher for ''."""
    return str(BUILD / (f"skoop-{name}" if name else "skoop"))


def run(argv, timeout=30, **kw):
    """Runs a command to its end; text in and out; never raises on its exit code."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout * PATIENCE, **kw)


def skoop(name, *args, rc=0, **kw):
    """Runs skoop-NAME; asserts its exit code (None: any)."""
    done = run([tool(name), *args], **kw)
    assert rc is None or done.returncode == rc, (args, done.returncode, done.stderr, done.stdout[-2000:])
    return done


def records(name, *args, **kw):
    """The JSON records that skoop-NAME prints."""
    return [json.loads(line) for line in skoop(name, *args, "-o", "json", **kw).stdout.splitlines()]


def values(recs, pod=None, **labels):
    """{metric name: value} of the records of one target (by pod label) whose further labels are just these."""
    out = {}
    for r in recs:
        if r["kind"] != "metric":
            continue
        have = dict(r["labels"])
        target = have.pop("target_pod")
        have.pop("target_namespace"), have.pop("target_node")
        if (pod is None or target == pod) and have == labels:
            assert r["metric"] not in out, f"{r['metric']} twice for {target} {labels}"
            out[r["metric"]] = r["value"]
    return out


def wait_for(condition, timeout=10.0, what="condition"):
    """Polls until condition() is true and returns its value."""
    timeout *= PATIENCE
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        time.sleep(0.02)


_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Netns:
    """A named network namespace with lo up; inside a `with ns.inside():` new sockets belong to it."""

    def __init__(self, tag):
        self.name = f"sk{os.getpid()}-{tag}"
        self.children = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    @property
    def pod(self):
        """The label a namespace without a pod gets."""
        return f"netns:{self.name}"

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    @property
    def inode(self):
        return os.stat(self.path).st_ino

    def argv(self, argv):
        return ["ip", "netns", "exec", self.name, *[str(a) for a in argv]]

    def run(self, *argv, **kw):
        return run(self.argv(argv), **kw)

    def sh(self, script, check=True):
        """A shell script inside; fails the test when it fails."""
        done = run(self.argv(["sh", "-ec", script]))
        assert not check or done.returncode == 0, f"{script}: {done.stderr}"
        return done

    def ip(self, *commands):
        """Commands of ip, one a string, by one process: cheaper than a shell inside."""
        subprocess.run(["ip", "-n", self.name, "-batch", "-"], input="\n".join(commands), text=True, check=True)

    def popen(self, *argv, **kw):
        """A process inside that is ended with the namespace."""
        child = subprocess.Popen(self.argv(argv), **kw)
        self.children.append(child)
        return child

    def python(self, code, *args, **kw):
        """A Python program inside, in the background, with its stdout piped."""
        kw.setdefault("stdout", subprocess.PIPE)
        return self.popen(sys.executable, "-c", code, *args, text=True, **kw)

    def inside(self):
        return _Inside(self.path)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
        with self.inside():
            return socket.socket(family, kind, proto)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class _Inside:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            if _libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns", self.path)
        finally:
            os.close(fd)

    def __exit__(self, *exc):
        if _libc.setns(self.back, CLONE_NEWNET):
            os._exit(99)
        os.close(self.back)


def veth(a, b, name_a="va", name_b="vb", net=9):
    """A veth pair between two namespaces: 10.NET.0.1 and .2, fd00:NET::1 and ::2."""
    subprocess.run(["ip", "link", "add", name_a, "netns", a.name, "type", "veth", "peer", "name", name_b,
                    "netns", b.name], check=True)
    for ns, dev, host in ((a, name_a, 1), (b, name_b, 2)):
        ns.ip(f"addr add 10.{net}.0.{host}/24 dev {dev}", f"addr add fd00:{net}::{host}/64 dev {dev} nodad",
              f"link set {dev} up")


def nstat(ns):
    """{counter: value} as nstat reads them inside, zeros too, without its history file."""
    return json.loads(ns.run("nstat", "-aszj").stdout)["kernel"]


def without_ipv6(*namespaces):
    """No neighbour discovery, no router solicitations: only the traffic of the test."""
    for ns in namespaces:
        ns.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")


# Runs what follows without any privilege.
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


def fake_proc(folder, net=(), sys=(), pid=100, netns=4026999999):
    """A procfs of one process; net, sys: {file: text}. The options that make it the only target."""
    proc = folder / str(pid)
    files = {"net/dev": "", "cgroup": "0::/\n", "comm": "sleep\n", "mountinfo": "",
             "stat": f"{pid} (sleep) S 1 {pid} {pid} 0 -1 0 " + "0 " * 43 + "\n"}
    files |= {f"net/{name}": text for name, text in dict(net).items()}
    for path, text in [(proc / name, text) for name, text in files.items()] + \
            [(folder / "sys" / name, text) for name, text in dict(sys).items()]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (proc / "ns").mkdir()
    (proc / "ns/net").symlink_to(f"net:[{netns}]")
    return ["--procfs", folder, "-n", netns]


class Tracing:
    """A probe that traces, in the background: attached when the `with` begins; stop() ends it and returns its records."""

    def __init__(self, name, *args, out="json", attached="attached", **kw):
        self.errors = tempfile.TemporaryFile("w+")
        self.output = tempfile.TemporaryFile("w+")
        self.argv = [tool(name), "-v", "-o", out, *[str(a) for a in args]]
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors,
                                      text=True, **kw)
        self.done = False
        try:
            wait_for(lambda: attached in self.stderr() or self.child.poll() is not None, 60, f"{name} to attach")
        except AssertionError:
            self.child.kill()
            self.child.wait()
            raise
        assert self.child.poll() is None or attached in self.stderr(), self.stderr()

    @staticmethod
    def text(file):
        """All of it, without moving the place where the child writes on."""
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

    def stderr(self):
        return self.text(self.errors)

    def stdout(self):
        return self.text(self.output)

    def records(self):
        """What it has printed so far, whole lines only."""
        return [json.loads(line) for line in self.stdout().split("\n")[:-1]]

    def events(self, **want):
        """The events so far whose fields are these."""
        return [r for r in self.records() if r["kind"] == "event" and all(r.get(k) == v for k, v in want.items())]

    def wait(self, n, timeout=20, **want):
        """Waits for at least n such events, and returns them."""
        return wait_for(lambda: len(self.events(**want)) >= n and self.events(**want), timeout,
                        f"{n} events {want}; have {self.stdout()[-2000:]}")

    def stop(self, rc=0):
        """Asks it to end; the exit code is checked; all its records."""
        if not self.done:
            self.done = True
            self.child.terminate()
            self.child.wait(30)
            assert rc is None or self.child.returncode == rc, (self.child.returncode, self.stderr())
        return self.records()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.errors.close()
        self.output.close()
