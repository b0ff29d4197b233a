# SPDX-License-Identifier: GPL-2.0-or-later
"""A real kernel under QEMU in seconds: this machine's own programs over a read-only image, a script run as root inside,
its output, exit status and files back out. Emulated (TCG), so no hardware support is needed."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import threading

import kernels

TOP = pathlib.Path(__file__).resolve().parents[2]

# The programs of the image, with the libraries that ldd names.
PROGRAMS = """bash sh cat ls mkdir rm mv cp ln sleep kill echo grep sed awk gawk mawk sort uniq head tail wc tr cut tee touch
 chmod chown dd stat readlink env true false id uname date mount umount dirname basename seq timeout find xargs ps
 ip tc ss nstat bridge nft conntrack ipvsadm iperf3 ping sysctl modprobe rmmod lsmod insmod depmod setpriv unshare nsenter
 chrt taskset python3 bpftool ethtool jq tar gzip pgrep pkill lsof sync iptables iptables-legacy ip6tables ip6tables-legacy
 dmsetup losetup blockdev dmesg mktemp mknod od nproc realpath""".split()
# Data: the interpreter's library, and what the tests import and link.
TREES = ["/usr/lib/python3.*", "/usr/lib/python3/dist-packages/*pytest*", "/usr/lib/python3/dist-packages/pluggy*",
         "/usr/lib/python3/dist-packages/py.py", "/usr/lib/python3/dist-packages/py", "/usr/lib/python3/dist-packages/iniconfig*",
         "/usr/lib/python3/dist-packages/packaging*",
         "/usr/lib/python3/dist-packages/attr*", "/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib/tc", "/etc/iproute2",
         "/etc/protocols", "/etc/services", "/usr/lib/iproute2", "/usr/share/iproute2"]
# What the initramfs loads, to find the disks and to say what happened.
EARLY = "virtio_pci virtio_blk virtio_console virtio_rng ext4 overlay".split()

INIT = r"""#!/bin/busybox sh
busybox mkdir -p /proc /sys /dev /low /root /mod /up
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys; busybox mount -t devtmpfs dev /dev
for m in @EARLY@; do
	busybox modprobe $m 2>/dev/null
done
die() { echo "vm: $*" >/dev/ttyS0; busybox poweroff -f; }
busybox mount -t ext4 -o ro,noload /dev/vda /low || die "no userland"
busybox mount -t tmpfs tmpfs /up; busybox mkdir -p /up/u /up/w
busybox mount -t overlay -o lowerdir=/low,upperdir=/up/u,workdir=/up/w overlay /root || die "no overlay"
busybox mkdir -p /root/lib/modules /root/proc /root/sys /root/dev /root/tmp /root/run /root/skoop
busybox mount -t ext4 -o ro,noload /dev/vdb /root/lib/modules || die "no modules"
busybox cp -a /skoop/. /root/skoop/
for d in proc sys dev; do busybox mount --move /$d /root/$d; done
busybox mount -t tmpfs tmpfs /root/tmp; busybox mount -t tmpfs tmpfs /root/run
exec busybox switch_root /root /bin/bash /skoop/.vm/inside
"""

INSIDE = r"""#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C BUILD=/skoop/build SKOOP_VM=1
for port in /sys/class/virtio-ports/*; do
	ln -sf /dev/${port##*/} /dev/$(cat $port/name)
done
mkdir -p /dev/shm /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
ip link set lo up
# A namespace has the devices that its test made, not one of each tunnel module's own.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net
mkdir -p /tmp/files
cd /skoop
exec 3>/dev/sk.status
bash /skoop/.vm/script >/dev/sk.out 2>/dev/sk.err </dev/null
echo $? >&3
tar -C /tmp/files -cf /dev/sk.files .
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


class Result:
    """What a machine left: its script's status (None without an end), output, files, the reports of its tests, the
    console, and how many died before it."""

    def __init__(self, folder):
        def text(port):
            return (folder / port).read_text(errors="replace") if (folder / port).exists() else ""

        self.stdout, self.stderr, self.console = text("out"), text("err"), text("console")
        self.returncode = int(text("status")) if text("status").strip() else None
        self.reports = [json.loads(line) for line in text("reports").splitlines(keepends=True) if line.endswith("\n")]
        self.files, self.died = {}, ""
        if self.returncode is not None and (folder / "files").stat().st_size:
            with tarfile.open(folder / "files") as tar:
                self.files = {m.name[2:]: tar.extractfile(m).read() for m in tar if m.isfile()}

    def tail(self):
        """What shows where it stood."""
        started = [r["started"] for r in self.reports if "started" in r]
        return "\n".join([f"in {started[-1]}" if started else "before its first test", "-- output", self.stdout[-1500:],
                          "-- errors", self.stderr[-1500:], "-- console", self.console[-3000:]])


class Broken(Exception):
    """A machine whose script did not end; .result is what there is of it."""

    def __init__(self, what, result):
        super().__init__(f"{what} {result.tail()}")
        self.result = result


class Died(Broken):
    """The machine stopped before its script ended."""


class TimedOut(Broken):
    """The script did not end in time, and the machine was stopped."""


def chain(path):
    """A path and what it links to, step by step."""
    path = pathlib.Path(path)
    yield path
    while path.is_symlink():
        path = pathlib.Path(os.path.normpath(path.parent / os.readlink(path)))
        yield path


def linked(path):
    """The libraries that a program or a library loads."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    return [word for word in listing.split() if word.startswith("/")]


def which(name):
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def closure(programs, libraries):
    """The files of these programs and libraries and of the libraries they load; what this machine lacks is left out."""
    files = set()
    plugins = [str(p) for pattern in TREES for p in pathlib.Path("/").glob(pattern[1:] + "/**/*.so")]
    for path in [p for p in map(which, programs) if p] + plugins + libraries:
        for file in [path, *linked(path)]:
            files.update(chain(file))
    return files


def stage(folder, libraries):
    """Lays the userland out below folder, merged-usr as on the machine itself."""
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var/log", "root"):
        (folder / name).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (folder / link).symlink_to(f"usr/{link}")

    def put(src):
        # /lib/x and /usr/lib/x are one file here
        rel = str(src).lstrip("/")
        rel = rel if rel.startswith(("usr/", "etc/")) else "usr/" + rel
        dst = folder / rel
        if dst.exists() or dst.is_symlink():
            return
        dst.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(src, dst, follow_symlinks=False)

    for src in closure(PROGRAMS, libraries):
        put(src)
    for pattern in TREES:
        for tree in pathlib.Path("/").glob(pattern[1:]):
            for src in ([tree] if tree.is_file() else tree.rglob("*")):
                if (src.is_file() or src.is_symlink()) and "test" not in src.parts:
                    put(src)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")


def image(target, folder, megabytes):
    """An ext4 image of a folder."""
    part = target.with_suffix(".part")
    with open(part, "wb") as f:
        f.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", folder, "-m", "0", "-O", "^has_journal", part], check=True)
    part.rename(target)


def userland(libraries):
    """The userland image, made anew when a program or library of it changed."""
    trees = sorted(p for pattern in TREES for p in pathlib.Path("/").glob(pattern[1:]))
    paths = [*map(which, PROGRAMS), *libraries, *trees]
    stamp = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    stamp.update(repr([(str(p), p and os.stat(p).st_mtime_ns) for p in paths]).encode())
    target = kernels.CACHE / f"userland-{stamp.hexdigest()[:16]}.ext4"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=kernels.CACHE) as tmp:
            stage(pathlib.Path(tmp) / "root", libraries)
            image(target, pathlib.Path(tmp) / "root", 700)
    kernels.used(target)
    return target


def cpio(folder):
    names = "\n".join(sorted(str(p.relative_to(folder)) for p in folder.rglob("*")))
    return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=folder, check=True,
                          capture_output=True).stdout


def boot_parts(vmlinuz, tree):
    """(initramfs, module image) of a kernel."""
    modules = vmlinuz.with_name("modules.ext4")
    initrd = vmlinuz.with_name("initrd-" + hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:16])
    if not modules.exists():
        image(modules, tree.parent, 200)
    if initrd.exists():
        return initrd, modules
    with tempfile.TemporaryDirectory() as tmp:
        root = pathlib.Path(tmp)
        (root / "bin").mkdir()
        shutil.copy2("/bin/busybox", root / "bin/busybox")
        (root / "init").write_text(INIT.replace("@EARLY@", " ".join(EARLY)))
        (root / "init").chmod(0o755)
        early = root / "lib/modules" / tree.name
        early.mkdir(parents=True)
        plan = subprocess.run(["modprobe", "-d", tree.parents[2], "-S", tree.name, "-aD", *EARLY], capture_output=True,
                              text=True).stdout
        for line in plan.splitlines():
            if line.startswith("insmod "):
                src = pathlib.Path(line.split()[1])
                dst = early / src.relative_to(tree)
                dst.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(src, dst)
        subprocess.run(["depmod", "-b", root, tree.name], check=True, stderr=subprocess.DEVNULL)
        part = initrd.with_suffix(".part")
        part.write_bytes(cpio(root))
        part.rename(initrd)
    return initrd, modules


def built(build):
    """What make has built: programs, those of the tests too, and objects for the kernel."""
    return [p for p in sorted(build.rglob("*")) if p.is_file() and p.relative_to(build).parts[0] not in ("fuzz", "san")
            and (os.access(p, os.X_OK) or (p.parent == build / "bpf" and p.suffix == ".o"))]


def payload(build, files, script):
    """The project inside: what is built, the sources that tests read, and the script."""
    with tempfile.TemporaryDirectory() as tmp:
        top = pathlib.Path(tmp) / "skoop"
        for file in files:
            dst = top / "build" / file.relative_to(build)
            dst.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, dst)
        for tree in ("tests", "tools", "bpf"):
            shutil.copytree(TOP / tree, top / tree, symlinks=True,
                            ignore=shutil.ignore_patterns("__pycache__", "corpus"))
        (top / ".vm").mkdir()
        (top / ".vm/inside").write_text(INSIDE)
        (top / ".vm/script").write_text(script)
        return cpio(pathlib.Path(tmp))


PORTS = ("out", "err", "status", "files", "reports")
running, stopping = set(), threading.Event()


def stop():
    """Ends all machines; none starts any more."""
    stopping.set()
    for machine in list(running):
        machine.kill()


def run(argv, timeout):
    """Runs QEMU to its end, and not longer; it ends with us, even if we are killed. Returns whether it ended by itself."""
    machine = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, argv)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    running.add(machine)
    try:
        complaint = machine.communicate(timeout=timeout)[1]
        if machine.returncode > 0:
            raise RuntimeError(f"qemu: {complaint}")
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        machine.kill()
        machine.wait()
        running.discard(machine)


def command(folder, vmlinuz, disks, memory=768, cpus=2, cmdline="", extra=(), parallel=False, icount=False):
    """The command line of a machine whose initramfs is in this folder, where its console and ports are put."""
    argv = ["qemu-system-x86_64", "-accel", f"tcg,thread={'multi' if parallel else 'single'}", "-cpu", "max,la57=off,-cx16",
            "-smp", 1 if icount else cpus, "-m", memory, "-no-reboot", "-nodefaults", "-display", "none",
            "-serial", f"file:{folder}/console", "-kernel", vmlinuz, "-initrd", folder / "initrd", "-append",
            "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr no_timer_check random.trust_cpu=on "
            # The emulator keeps what it translated by virtual address: a program that lies elsewhere each time is
            # translated each time, and starts four times as slowly.
            f"net.ifnames=0 norandmaps {cmdline}",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci,ioeventfd=off"]
    if icount:
        argv += ["-icount", "shift=0,sleep=off"]
    for disk in disks:
        argv += ["-drive", f"file={disk},if=virtio,format=raw,readonly=on"]
    for port in PORTS:
        argv += ["-chardev", f"file,id={port},path={folder}/{port}", "-device",
                 f"virtserialport,chardev={port},name=sk.{port}"]
    return [*argv, *extra]


def boot_once(series, script, build, timeout=120, **options):
    vmlinuz, tree = kernels.fetch(series)
    files = built(build)
    libraries = sorted({library for file in files if file.suffix != ".o" for library in linked(file)})
    with kernels.locked():
        initrd, modules = boot_parts(vmlinuz, tree)
        disks = userland(libraries), modules
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        (tmp / "initrd").write_bytes(initrd.read_bytes() + payload(build, files, script))
        ended = run(command(tmp, vmlinuz, disks, **options), timeout)
        result = Result(tmp)
    if not ended:
        raise TimedOut(f"kernel {series}: not done after {timeout} s,", result)
    if result.returncode is None:
        raise Died(f"kernel {series} died", result)
    return result


def boot(series, script, build, **options):
    """Runs a bash script as root inside a machine of this kernel series and returns its Result.

    series    as in kernels.SERIES
    build     the folder make builds in: its programs, those of the tests and bpf/*.o lie below $BUILD inside
    script    starts in the project's top folder; what it leaves in /tmp/files is in .files
    options:
    timeout   seconds (120); then the machine is stopped. Emulation is slow: to boot and to end alone take 5 to 10
    memory    MB (768)
    cpus      (2)
    cmdline   more words for the kernel, such as "threadirqs"
    extra     more arguments of QEMU, such as a slow disk: ["-drive", "file=...,if=virtio,throttling.iops-total=5"]
    parallel  the CPUs run at the same time (False). Otherwise they take turns, of up to 100 ms where all are busy; that
              is quicker, and free of the emulator's races about code that the kernel patches while another CPU runs it
    icount    one CPU whose clock counts instructions (False): costs are equal from run to run, times are not real

    A machine that died is booted once more (.died says so), for the emulator has faults of its own; one in which a test
    failed is not. Raises Died, TimedOut, kernels.Unavailable."""
    try:
        return boot_once(series, script, build, **options)
    except Died as died:
        if stopping.is_set() or any(r.get("outcome") == "failed" for r in died.result.reports):
            raise
        result = boot_once(series, script, build, **options)
        result.died = str(died)
        return result
