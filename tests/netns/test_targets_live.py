# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets on the running kernel: a pod made by hand of a namespace, a cgroup and a log directory, seen from everywhere."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import uuid

import pytest
from skooplib import Netns, nstat, records, run, skoop, tool, values, wait_for

pytestmark = pytest.mark.kernels

# A user without any capability, and without other processes.
NOBODY = ["setpriv", f"--reuid={60000 + os.getpid() % 5000}", "--regid=65534", "--clear-groups", "--inh-caps=-all"]


def cgroup_base():
    """A hierarchy that only names things: name=systemd of v1, else v2."""
    found = {}
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found["v2"] = left.split()[4]
        elif kind == "cgroup" and "name=systemd" in options:
            found["systemd"] = left.split()[4]
    return pathlib.Path(found.get("systemd") or found["v2"])


class Cgroup:
    def __init__(self, path):
        self.base = cgroup_base()
        self.top = self.base / f"sk{os.getpid()}"
        self.path = self.top / path
        self.path.mkdir(parents=True)

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def close(self):
        path = self.path
        while path != self.base:
            with contextlib.suppress(OSError):  # another one is below it
                # what was killed stays listed until it is reaped
                wait_for(lambda p=path: not (p / "cgroup.procs").read_text(), what=f"{path} to be empty")
                path.rmdir()
            path = path.parent


class Pod:
    """A namespace, a process in it, its cgroup as a kubelet makes it."""

    def __init__(self, tag, root, name=None):
        self.uid, self.id = str(uuid.uuid4()), uuid.uuid4().hex * 2
        self.ns = Netns(tag)
        self.cgroup = Cgroup(f"kubepods/burstable/pod{self.uid}/{self.id}")
        self.child = self.ns.popen("sleep", "1000")
        self.cgroup.add(self.child.pid)
        # until then it is ip, outside
        wait_for(lambda: os.readlink(f"/proc/{self.child.pid}/ns/net") == f"net:[{self.ns.inode}]", what="sleep to be inside")
        if name:
            (root / f"var/log/pods/shop_{name}_{self.uid}/app").mkdir(parents=True)

    def close(self):
        self.child.kill()
        self.child.wait()
        self.cgroup.close()
        self.ns.close()


@pytest.fixture
def root():
    """A node's root that everybody may read, with the programs in it for users who cannot reach the build directory."""
    with tempfile.TemporaryDirectory(prefix="skoop-live-") as name:
        root = pathlib.Path(name)
        root.chmod(0o755)
        (root / "run").mkdir()
        for program in ("", "tcpext"):
            shutil.copy(tool(program), root)
        yield root


@pytest.fixture
def pod(root):
    pod = Pod("pod", root, "web-0")
    yield pod
    pod.close()


def lines(done):
    assert done.returncode == 0, done
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def targets(root, *args, prefix=(), **kw):
    return run([*prefix, root / "skoop", "targets", "-o", "tsv", "--rootfs", root, *args], **kw)


def by_pid(rows, pid):
    """The row of the namespace whose only process this is."""
    found = [r for r in rows if r["pid"] == str(pid)]
    assert len(found) == 1, rows
    return found[0]


def test_pod(root, pod, quiet):
    row = by_pid(lines(targets(root)), pod.child.pid)
    assert (row["target_namespace"], row["target_pod"], row["netns"]) == ("shop", "web-0", str(pod.ns.inode))
    assert (row["uid"], row["container"], row["source"]) == (pod.uid, pod.id, "pod log directory")
    for args in (["-P", "shop/web-0"], ["-c", pod.id[:12]], ["-p", pod.child.pid], ["-n", pod.ns.path],
                 ["-n", pod.ns.inode], ["-n", f"pid:{pod.child.pid}"], ["-n", f"/proc/{pod.child.pid}/ns/net"]):
        rows = lines(targets(root, *args))
        assert [(r["target_pod"], r["pids"], r["mount"]) for r in rows] == [("web-0", "1", "-")], args
    assert targets(root, "-P", "shop/web-1").returncode == 5
    # Chosen with a process of the other namespace, each is there once.
    rows = lines(targets(root, "-P", "web-0", "-n", quiet.path, "-p", pod.child.pid))
    assert sorted(r["target_pod"] for r in rows) == [f"netns:{quiet.inode}", "web-0"]


def test_counters(root, pod):
    """What a probe reads of the pod is what nstat reads inside, and the witness moves it."""
    def read():
        recs = records("tcpext", "--rootfs", root, "-P", "shop/web-0", "-z")
        assert {r["netns"] for r in recs} == {pod.ns.inode}
        return values(recs, pod="web-0")

    before = read()
    # Nobody listens for SYN cookies here: connections that are embryonic when the listener closes.
    pod.ns.sh("python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 0)); "
              "c = socket.create_connection(s.getsockname()); a, _ = s.accept(); a.sendall(b\"x\"); c.close(); a.close()'")
    after, inside = read(), nstat(pod.ns)
    lower = {key.lower(): value for key, value in inside.items() if key.startswith("TcpExt")}
    shared = {m: v for m, v in after.items() if m.replace("kubeskoop_tcpext_", "tcpext") in lower}
    assert len(shared) > 5
    assert shared == {m: lower[m.replace("kubeskoop_tcpext_", "tcpext")] for m in shared}
    assert set(before) == set(after)


def test_nobody(root, pod):
    """Without any capability: the same pod from the same process, only without the number."""
    row = by_pid(lines(targets(root, prefix=NOBODY)), pod.child.pid)
    assert (row["target_namespace"], row["target_pod"], row["netns"]) == ("shop", "web-0", "-")
    host = [r for r in lines(targets(root, prefix=NOBODY)) if r["host"] == "yes"]
    assert [r["target_pod"] for r in host] == ["hostNetwork"]
    mine = lines(targets(root, "-P", "shop/web-0", prefix=NOBODY))
    assert [(r["pid"], r["pids"]) for r in mine] == [(str(pod.child.pid), "1")]

    def read(prefix):
        done = run([*prefix, root / "skoop-tcpext", "-j", "-z", "--rootfs", root, "-P", "shop/web-0"])
        assert (done.returncode, done.stderr) == (0, ""), done
        return values([json.loads(line) for line in done.stdout.splitlines()], pod="web-0")

    assert read(NOBODY) == read([])
    # A namespace number may be any of those whose number is not to be seen.
    done = targets(root, "-n", pod.ns.inode, prefix=NOBODY)
    assert done.returncode == 3, done
    assert "CAP_SYS_PTRACE" in done.stderr
    assert targets(root, "-P", "shop/web-1", prefix=NOBODY).returncode == 5
    # Its mount may be any of those, too, and is not listed beside them; root sees it is the same.
    for prefix in ([], NOBODY):
        rows = lines(run([*prefix, root / "skoop", "targets", "-o", "tsv"]))
        assert len([r for r in rows if r["pid"] == str(pod.child.pid)]) == 1
        assert pod.ns.pod not in [r["target_pod"] for r in rows]


def test_nobody_log_directory(root, pod):
    """A hardened log directory: the pod by its UID, and the capability that would name it."""
    (root / "var/log/pods").chmod(0o700)
    done = targets(root, "-p", pod.child.pid, prefix=NOBODY)
    assert [r["target_pod"] for r in lines(done)] == [f"uid:{pod.uid}"]
    assert done.stderr == (f"skoop targets: pods without a name: {root}/var/log/pods cannot be read, "
                           "need CAP_DAC_READ_SEARCH\n")
    done = targets(root, "-P", "shop/web-0", prefix=NOBODY)
    assert done.returncode == 3
    assert "CAP_DAC_READ_SEARCH" in done.stderr


def test_without_process(root, quiet):
    """A namespace that only its mount holds is found by its name, and read from inside."""
    (root / "run").rmdir()
    (root / "run").symlink_to("/run")  # as /var/run is a link: it stays below the root
    assert targets(root, "-n", quiet.name).returncode == 5
    rows = lines(run([root / "skoop", "targets", "-o", "tsv", "-n", quiet.name]))
    assert [(r["target_pod"], r["netns"], r["pids"], r["source"], r["mount"]) for r in rows] == [
        (quiet.pod, str(quiet.inode), "0", "mount name", quiet.path)]
    assert quiet.pod in [r["target_pod"] for r in lines(run([root / "skoop", "targets", "-o", "tsv"]))]
    recs = records("tcpext", "-n", quiet.name, "-z")
    assert recs and {(r["labels"]["target_pod"], r["netns"]) for r in recs} == {(quiet.pod, quiet.inode)}
    # Not for everybody: it takes entering.
    done = run([*NOBODY, root / "skoop-tcpext", "-n", quiet.name])
    assert (done.returncode, done.stdout) == (3, ""), done
    assert "CAP_SYS_ADMIN" in done.stderr


def test_process_gone(root, pod):
    """When its last process has ended, the namespace goes by its mount."""
    pod.child.kill()
    pod.child.wait()
    rows = [r for r in lines(run([root / "skoop", "targets", "-o", "tsv"])) if r["netns"] == str(pod.ns.inode)]
    assert [(r["target_pod"], r["pids"]) for r in rows] == [(pod.ns.pod, "0")]
    assert targets(root, "-p", pod.child.pid).returncode == 5


def test_docker_mount(root, quiet):
    """/run/docker/netns below another root, and a file there that is another kind of namespace."""
    place = root / "run/docker/netns"
    place.mkdir(parents=True)
    name = place / "0123456789ab"
    name.touch()
    subprocess.run(["mount", "--bind", quiet.path, name], check=True)
    try:
        rows = [r for r in lines(targets(root)) if r["netns"] == str(quiet.inode)]
        assert [(r["target_pod"], r["mount"]) for r in rows] == [("netns:0123456789ab", str(name))]
        assert len(lines(targets(root, "-n", "0123456789ab"))) == 1
    finally:
        subprocess.run(["umount", name], check=True)
    subprocess.run(["mount", "--bind", "/proc/self/ns/uts", name], check=True)
    try:
        done = targets(root, "-n", name)
        assert (done.returncode, done.stderr) == (
            5, f"skoop targets: no network namespace matches --netns {name} (not a network namespace)\n")
    finally:
        subprocess.run(["umount", name], check=True)
    done = targets(root, "-n", "0123456789ab")
    assert done.returncode == 5
    assert "its mount did not propagate here" in done.stderr


def unshared(flags, script, **kw):
    """A shell script in namespaces of its own."""
    done = run(["unshare", *flags, "sh", "-ec", script], **kw)
    assert done.returncode == 0, done
    return done


@pytest.mark.parametrize("hidepid", [1, 2])
def test_hidepid(root, pod, hidepid):
    """Others' processes hidden by the mount, or listed and locked: said once, and nothing is said not to exist."""
    (root / "proc").mkdir()
    skoop_as_nobody = f"{' '.join(NOBODY)} {root}/skoop targets -o tsv --rootfs {root} --procfs {root}/proc"
    script = f"mount -t proc -o hidepid={hidepid} proc {root}/proc; {{}} || echo rc $?"
    done = unshared(["-m"], script.format(skoop_as_nobody))
    assert done.stderr == f"skoop targets: {root}/proc is mounted with hidepid: other processes cannot be seen\n"
    assert "web-0" not in done.stdout
    done = unshared(["-m"], script.format(f"{skoop_as_nobody} -P shop/web-0"))
    assert done.stdout == "rc 3\n"
    assert "hidepid" in done.stderr and "--pod shop/web-0" in done.stderr
    # Root sees them all the same.
    done = unshared(["-m"], script.format(f"{root}/skoop targets -o tsv --rootfs {root} --procfs {root}/proc"))
    assert (by_pid(lines(done), pod.child.pid)["target_pod"], done.stderr) == ("web-0", "")


def test_assumed_host(root):
    """In a container, as nobody, with the others hidden: the own namespace is taken for the host's, and it is said."""
    cgroup = Cgroup(f"docker/{uuid.uuid4().hex * 2}")
    try:
        (root / "proc").mkdir()
        done = unshared(["-m"], f"echo $$ > {cgroup.path}/cgroup.procs; mount -t proc -o hidepid=2 proc {root}/proc;"
                                f"{' '.join(NOBODY)} {root}/skoop targets -o tsv --rootfs {root} --procfs {root}/proc")
    finally:
        cgroup.close()
    assert "skoop targets: assuming my own network namespace is the host's\n" in done.stderr
    assert [(r["target_pod"], r["source"]) for r in lines(done)] == [("hostNetwork", "own namespace, assumed")]


def test_child_pid_namespace(root, pod):
    """The machine's /proc mounted elsewhere: its pids, its pods, its host."""
    (root / "outer").mkdir()
    done = unshared(["-m"], f"mount --bind /proc {root}/outer; exec unshare -p -f --mount-proc "
                            f"{root}/skoop targets -o tsv --rootfs {root} --procfs {root}/outer")
    rows = lines(done)
    assert by_pid(rows, pod.child.pid)["target_pod"] == "web-0"
    assert [r["pid"] for r in rows if r["host"] == "yes"] == ["1"]


def test_own_namespace_elsewhere(root, quiet):
    """A /proc of pids we are not among: the own namespace is there all the same, and read without a process."""
    (root / "inner").mkdir()
    os.mkfifo(root / "up")
    script = f"""
        unshare -n -p -f --kill-child sh -c "mount -t proc proc {root}/inner; echo > {root}/up; exec sleep 1000" &
        trap "kill -9 $!" EXIT  # it waits for its child whatever else it is sent
        read x < {root}/up
        {root}/skoop targets -o tsv --rootfs {root} --procfs {root}/inner
        {root}/skoop-tcpext -j -z --rootfs {root} --procfs {root}/inner -n {quiet.inode}"""
    done = quiet.run("unshare", "-m", "sh", "-ec", script)
    assert (done.returncode, done.stderr) == (0, ""), done
    text = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    rows = [dict(zip(text[0].split("\t"), row.split("\t"), strict=True)) for row in text[1:]]
    assert [(r["target_pod"], r["pids"], r["mount"]) for r in rows if r["host"] != "yes"] == [
        (f"netns:{quiet.inode}", "0", "/proc/self/ns/net")]
    assert [r["pid"] for r in rows if r["host"] == "yes"] == ["1"]
    recs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert recs and {r["netns"] for r in recs} == {quiet.inode}


def test_child_cgroup_namespace(root, pod):
    """A debug pod with the node's pids and a cgroup namespace of its own: pid 1 is still the node's."""
    done = run(["sh", "-ec", f"echo $$ > {pod.cgroup.path}/cgroup.procs; exec unshare -C "
                             f"{root}/skoop targets -o tsv --rootfs {root}"])
    rows = lines(done)
    assert [r["pid"] for r in rows if r["host"] == "yes"] == ["1"]
    pods = [r for r in rows if r["netns"] == str(pod.ns.inode)]
    assert len(pods) == 1, rows


class Sidecar:
    """A container of a pod without hostPID: its own pids, mounts and network, pid 1 in the pod's cgroup."""

    def __init__(self, root):
        self.root, self.uid = root, str(uuid.uuid4())
        self.cgroup = Cgroup(f"kubepods/besteffort/pod{self.uid}/{uuid.uuid4().hex * 2}")

    def run(self, setup="", env=None, net=True):
        flags = ["-p", "-f", "-m", "-u", *(["-n"] if net else []), "--mount-proc"]
        done = run(["sh", "-ec", f"echo $$ > {self.cgroup.path}/cgroup.procs; exec unshare {' '.join(flags)} sh -ec '"
                                 "mkdir -p /var/run; mount -t tmpfs tmpfs $(readlink -f /var/run); "
                                 f"echo web-7 > /proc/sys/kernel/hostname; {setup}"
                                 f"{self.root}/skoop targets -o tsv --rootfs {self.root}; true'"],
                   env={**os.environ, **(env or {})})
        return lines(done)


@pytest.fixture
def sidecar(root):
    sidecar = Sidecar(root)
    yield sidecar
    sidecar.cgroup.close()


def labels(rows):
    return [(r["target_namespace"], r["target_pod"], r["host"], r["source"]) for r in rows]


def test_sidecar(root, sidecar):
    """What a container knows of itself, from the least to the best."""
    account = "mkdir -p /var/run/secrets/kubernetes.io/serviceaccount; " \
              "printf shop > /var/run/secrets/kubernetes.io/serviceaccount/namespace; "
    env = {"POD_NAMESPACE": "shop", "POD_NAME": "web-8"}
    assert labels(sidecar.run()) == [("-", f"uid:{sidecar.uid}", "-", "pod UID")]
    assert labels(sidecar.run(account)) == [("shop", "web-7", "-", "service account")]
    assert labels(sidecar.run(account, env)) == [("shop", "web-8", "-", "environment")]
    assert labels(sidecar.run("", {**env, "POD_NAME": "../web"})) == [("-", f"uid:{sidecar.uid}", "-", "pod UID")]
    (root / f"var/log/pods/shop_web-9_{sidecar.uid}/app").mkdir(parents=True)
    assert labels(sidecar.run(account, env)) == [("shop", "web-9", "-", "pod log directory")]


def test_sidecar_host_network(root, sidecar):
    hosts = root / "hosts"
    hosts.write_text("# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n")
    rows = sidecar.run(f"mount --bind {hosts} /etc/hosts; ", net=False)
    assert labels(rows) == [("hostNetwork", "hostNetwork", "yes", "/etc/hosts")]


class DebugImage:
    """A container image with nothing but the program, the system's libraries, and the node's root at /host."""

    def __init__(self, root):
        self.top = root / "image"
        for name in ("usr", "proc", "host", "etc", "tmp"):
            (self.top / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            if os.path.islink(f"/{name}"):
                (self.top / name).symlink_to(os.readlink(f"/{name}"))
        shutil.copy(root / "skoop", self.top)
        self.setup = f"mount --bind /usr {self.top}/usr; mount --rbind {root} {self.top}/host; "

    def run(self, setup, flags=(), prefix="", args="-v"):
        clean = "env -u HOST_PROC -u HOST_SYS -u HOST_ROOT NODE_NAME=n"
        script = f"{self.setup}{setup} {clean} unshare -R {self.top} /skoop targets -o tsv {args}; true"
        done = run(["sh", "-ec", f"{prefix} exec unshare -m {' '.join(flags)} sh -ec '{script}'"])
        return lines(done), done.stderr


def test_debug_image_host_pids(root, pod):
    """kubectl debug node: the node's pids, its root at /host, nothing given on the command line."""
    image = DebugImage(root)
    rows, err = image.run(f"mount --bind /proc {image.top}/proc;")
    assert by_pid(rows, pod.child.pid)["target_pod"] == "web-0"
    assert err == "skoop targets: the node's files are taken from /host\n"
    rows, err = image.run(f"mount --bind /proc {image.top}/proc;", args="")
    assert by_pid(rows, pod.child.pid)["target_pod"] == "web-0" and err == ""
    # What is given is not guessed about.
    rows, _ = image.run(f"mount --bind /proc {image.top}/proc;", args="--rootfs /")
    assert by_pid(rows, pod.child.pid)["target_pod"] == f"uid:{pod.uid}"


def test_debug_image_own_pids(root, pod):
    """A pod of its own pids that has the node's /proc and root below /host."""
    image, cgroup = DebugImage(root), Cgroup(f"kubepods/besteffort/pod{uuid.uuid4()}/{uuid.uuid4().hex * 2}")
    (root / "proc").mkdir()
    try:
        rows, err = image.run(f"mount --bind {root}/outer {image.top}/host/proc; mount -t proc proc {image.top}/proc;",
                              flags=["-p", "-f"],
                              prefix=f"echo $$ > {cgroup.path}/cgroup.procs; mkdir {root}/outer; "
                                     f"mount --bind /proc {root}/outer;")
    finally:
        subprocess.run(["umount", root / "outer"], check=True)
        cgroup.close()
    assert by_pid(rows, pod.child.pid)["target_pod"] == "web-0"
    assert [r["pid"] for r in rows if r["host"] == "yes"] == ["1"]
    assert err == "skoop targets: the node's files are taken from /host\n"


CHURN = """
import os, ctypes, sys
libc = ctypes.CDLL(None)
print("up", flush=True)
while True:
    pids = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            libc.unshare(0x40000000)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
"""


def test_churn(root, pod):
    """Processes and namespaces that come and go while they are looked at: no complaint, and what stays is there."""
    churn = subprocess.Popen([sys.executable, "-c", CHURN], stdout=subprocess.PIPE)
    try:
        churn.stdout.readline()
        for _ in range(40):
            done = targets(root)
            assert done.stderr == ""
            assert by_pid(lines(done), pod.child.pid)["target_pod"] == "web-0"
    finally:
        churn.kill()
        churn.wait()


def test_vanishing_target(root, pod):
    """A namespace that goes between two rounds takes its rows along and nothing else."""
    probe = subprocess.Popen([root / "skoop-tcpext", "--rootfs", root, "-A", "-j", "-z", "0.1"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    other = Pod("other", root, "db-0")
    try:
        def seen(name):
            return any(json.loads(probe.stdout.readline())["labels"]["target_pod"] == name for _ in range(2000))

        wait_for(lambda: seen("db-0"), what="the new pod's rows")
        other.close()
        other = None
        wait_for(lambda: not seen("db-0"), what="rounds without it")
        assert seen("web-0")
    finally:
        probe.terminate()
        probe.stdout.close()
        err = probe.stderr.read()
        probe.wait()
        if other:
            other.close()
    assert err == ""


def test_exit_codes(pod):
    assert skoop("", "targets", "-P", "no/such", rc=None).returncode == 5
    assert skoop("", "targets", "-P", "a/b/c", rc=None).returncode == 2
