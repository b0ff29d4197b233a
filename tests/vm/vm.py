# SPDX-License-Identifier: GPL-2.0-or-later
"""A real kernel under QEMU in seconds: this machine's own programs over a read-only image, a script run as root inside,
its output, exit status and files back out. Emulated (TCG), so no hardware support is needed."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import kernels

TOP = pathlib.Path(__file__).resolve().parents[2]

# The programs of the image, with the libraries that ldd names.
PROGRAMS = """bash sh cat ls mkdir rm mv cp ln sleep kill echo grep sed awk gawk mawk sort uniq head tail wc tr cut tee touch
 chmod chown dd stat readlink env true false id uname date mount umount dirname basename seq timeout find xargs ps
 ip tc ss nstat bridge nft conntrack ipvsadm iperf3 ping sysctl modprobe rmmod lsmod insmod depmod setpriv unshare nsenter
 chrt taskset python3 bpftool ethtool jq tar gzip pgrep pkill lsof sync""".split()
# Data: the interpreter's library, and what the tests import.
TREES = ["/usr/lib/python3.*", "/usr/lib/python3/dist-packages/*pytest*", "/usr/lib/python3/dist-packages/pluggy*",
         "/usr/lib/python3/dist-packages/py.py", "/usr/lib/python3/dist-packages/py", "/usr/lib/python3/dist-packages/iniconfig*", "/usr/lib/python3/dist-packages/packaging*",
         "/usr/lib/python3/dist-packages/attr*", "/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib/tc", "/etc/iproute2",
         "/etc/protocols", "/etc/services", "/usr/lib/iproute2", "/usr/share/iproute2",
         "/usr/lib/x86_64-linux-gnu/libbpf.so*", "/usr/lib/x86_64-linux-gnu/libelf*.so*"]

INIT = r"""#!/bin/busybox sh
busybox mkdir -p /proc /sys /dev /low /root /mod /up
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys; busybox mount -t devtmpfs dev /dev
for m in virtio_pci virtio_blk virtio_console virtio_rng ext4 overlay; do
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


class Died(Exception):
    """The machine stopped before its script ended."""


class Result:
    def __init__(self, status, out, err, files, console):
        self.returncode, self.stdout, self.stderr, self.files, self.console = status, out, err, files, console


def closure(programs):
    """The files of these programs and of the libraries they load; what this machine lacks is left out."""
    files = set()
    todo = [p for p in (shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in programs) if p]
    for path in todo + [str(p) for pattern in TREES for p in pathlib.Path("/").glob(pattern[1:] + "/**/*.so")]:
        files.update(pathlib.Path(x) for x in (path, os.path.realpath(path)))
        listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for word in listing.split():
            if word.startswith("/"):
                files.update((pathlib.Path(word), pathlib.Path(os.path.realpath(word))))
    return files


def stage(folder):
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

    for src in closure(PROGRAMS):
        put(src)
    for pattern in TREES:
        for tree in pathlib.Path("/").glob(pattern[1:]):
            for src in ([tree] if tree.is_file() else tree.rglob("*")):
                if (src.is_file() or src.is_symlink()) and "__pycache__" not in src.parts and "test" not in src.parts:
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


def userland():
    """The userland image, made anew when a program of it changed."""
    stamp = hashlib.sha256(repr((PROGRAMS, TREES)).encode())
    for name in PROGRAMS:
        path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        stamp.update(f"{name} {path and os.stat(path).st_mtime_ns}\n".encode())
    target = kernels.CACHE / f"userland-{stamp.hexdigest()[:16]}.ext4"
    if not target.exists():
        for old in kernels.CACHE.glob("userland-*"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=kernels.CACHE) as tmp:
            stage(pathlib.Path(tmp) / "root")
            image(target, pathlib.Path(tmp) / "root", 700)
    return target


def cpio(folder):
    names = "\n".join(sorted(str(p.relative_to(folder)) for p in folder.rglob("*")))
    return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=folder, check=True,
                          capture_output=True).stdout


def boot_parts(vmlinuz, tree):
    """(initramfs, module image) of a kernel."""
    initrd, modules = vmlinuz.with_name("initrd"), vmlinuz.with_name("modules.ext4")
    if not modules.exists():
        image(modules, tree.parent, 200)
    with tempfile.TemporaryDirectory() as tmp:
        root = pathlib.Path(tmp)
        (root / "bin").mkdir()
        shutil.copy2("/bin/busybox", root / "bin/busybox")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        early = root / "lib/modules" / tree.name
        early.mkdir(parents=True)
        names = "virtio_pci virtio_blk virtio_console virtio_rng ext4 overlay".split()
        plan = subprocess.run(["modprobe", "-d", tree.parents[2], "-S", tree.name, "-aD", *names], capture_output=True,
                              text=True).stdout
        for line in plan.splitlines():
            if line.startswith("insmod "):
                src = pathlib.Path(line.split()[1])
                dst = early / src.relative_to(tree)
                dst.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(src, dst)
        subprocess.run(["depmod", "-b", root, tree.name], check=True, stderr=subprocess.DEVNULL)
        initrd.write_bytes(cpio(root))
    return initrd, modules


def payload(build, script):
    """The project inside: its programs, its tests, and the script."""
    with tempfile.TemporaryDirectory() as tmp:
        top = pathlib.Path(tmp) / "skoop"
        (top / "build").mkdir(parents=True)
        for program in build.glob("skoop*"):
            if program.is_file() and os.access(program, os.X_OK):
                shutil.copy2(program, top / "build")
        (top / "build/bpf").mkdir()
        shutil.copy2(build / "bpf/types.o", top / "build/bpf")
        shutil.copytree(TOP / "tests", top / "tests", symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__", "corpus", "bench"))
        (top / ".vm").mkdir()
        (top / ".vm/inside").write_text(INSIDE)
        (top / ".vm/script").write_text(script)
        return cpio(pathlib.Path(tmp))


def boot(series, script, build, timeout=120, memory=768, cpus=2, cmdline="", extra=()):
    """Runs a bash script inside a machine of this kernel series; raises Died, or subprocess.TimeoutExpired."""
    vmlinuz, tree = kernels.fetch(series)
    initrd, modules = boot_parts(vmlinuz, tree)
    ports = ("out", "err", "status", "files")
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        (tmp / "initrd").write_bytes(initrd.read_bytes() + payload(build, script))
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,la57=off,-cx16", "-smp", str(cpus), "-m", str(memory),
                "-no-reboot", "-nodefaults", "-display", "none", "-serial", f"file:{tmp}/console",
                "-kernel", vmlinuz, "-initrd", tmp / "initrd", "-append",
                "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr no_timer_check random.trust_cpu=on "
                f"net.ifnames=0 {cmdline}",
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci,ioeventfd=off"]
        for disk in (userland(), modules):
            argv += ["-drive", f"file={disk},if=virtio,format=raw,readonly=on"]
        for port in ports:
            argv += ["-chardev", f"file,id={port},path={tmp}/{port}", "-device",
                     f"virtserialport,chardev={port},name=sk.{port}"]
        subprocess.run([str(a) for a in [*argv, *extra]], check=True, timeout=timeout, stdin=subprocess.DEVNULL,
                       capture_output=True)
        text = {p: (tmp / p).read_text(errors="replace") for p in ("out", "err", "status", "console")}
        if not text["status"].strip():
            raise Died(f"kernel {series} died:\n{text['console'][-3000:]}\n{text['err'][-1000:]}")
        files = {}
        if (tmp / "files").stat().st_size:
            with tarfile.open(tmp / "files") as tar:
                files = {m.name[2:]: tar.extractfile(m).read() for m in tar if m.isfile()}
        return Result(int(text["status"]), text["out"], text["err"], files, text["console"])
