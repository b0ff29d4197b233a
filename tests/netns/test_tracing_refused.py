# SPDX-License-Identifier: GPL-2.0-or-later
"""A probe that traces where it may not, or cannot: the right line, the right exit code, and nothing else.

Shown on skoop-tcpretrans. What libbpf says is for -v alone.
"""
import contextlib
import ctypes
import os
import resource
import shutil
import struct

import pytest

from skooplib import Netns, Tracing, run, tool

pytestmark = pytest.mark.kernels

PROBE = "tcpretrans"
SAYS = f"skoop-{PROBE}: "
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def kernel_has(enumerator):
    """Whether the kernel's type information holds this name."""
    with open("/sys/kernel/btf/vmlinux", "rb") as f:
        return b"\0" + enumerator.encode() + b"\0" in f.read()


# Since 5.11 maps and programs are no longer counted as locked memory; this helper came with it.
COUNTED = not kernel_has("BPF_FUNC_ktime_get_coarse_ns")


def with_caps(*caps):
    """Runs what follows as nobody with these capabilities alone."""
    if not caps:
        return [*NOBODY, "--bounding-set=-all", "--inh-caps=-all"]
    these = ",".join(f"+{c}" for c in caps)
    return [*NOBODY, "--bounding-set", f"-all,{these}", "--inh-caps", f"-all,{these}", "--ambient-caps", f"-all,{these}"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The probe where nobody may execute it."""
    folder = tmp_path_factory.mktemp("bin")
    for part in (folder, *folder.parents):
        if part.stat().st_uid == os.getuid() and not part.stat().st_mode & 0o001:
            part.chmod(part.stat().st_mode | 0o111)
    return shutil.copy2(tool(PROBE), folder / f"skoop-{PROBE}")


def one_line(done, code, text):
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith(SAYS) and done.stderr.count("\n") == 1, done.stderr
    assert text in done.stderr and "libbpf" not in done.stderr, done.stderr


def attaches(done):
    """It ran to the end of its -d."""
    assert done.returncode == 0 and "attached" in done.stderr, done


# ---- capabilities ----

@pytest.mark.parametrize("caps,text", [
    ((), "missing CAP_PERFMON, CAP_BPF; run as root"),
    (("bpf",), "missing CAP_PERFMON (have CAP_BPF); run as root"),
    (("perfmon",), "missing CAP_BPF (have CAP_PERFMON); run as root"),
    (("net_admin", "sys_ptrace", "syslog"), "missing CAP_PERFMON, CAP_BPF; run as root"),
])
def test_without_capabilities(program, caps, text):
    # Processes whose namespace it may not see are another matter, told by its own line.
    done = run([*with_caps(*caps), program, "-n", "/proc/self/ns/net", "-d", 0.1])
    one_line(done, 3, "cannot load BPF programs: " + text)


@pytest.mark.parametrize("caps", [("bpf", "perfmon"), ("sys_admin",)])
def test_with_the_capabilities(program, caps):
    memory = () if not COUNTED else ("sys_resource",)
    attaches(run([*with_caps(*caps, *memory), program, "-v", "-n", "/proc/self/ns/net", "-d", 0.1]))


def test_locked_memory(program):
    """Where the kernel counts maps as locked memory, the limit is named; elsewhere it does not matter."""
    def limited(limit):
        return run([*with_caps("bpf", "perfmon"), program, "-n", "/proc/self/ns/net", "-d", 0.1],
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit)))
    done = limited(65536)
    if COUNTED:
        one_line(done, 3, "counts them as locked memory, limited to 64 KiB here; ulimit -l unlimited, "
                          "or run with CAP_SYS_RESOURCE")
        done = limited(1 << 30)
    assert done.returncode == 0, done


def test_hidden_addresses(program):
    """A stack without CAP_SYSLOG: said once where the kernel hides addresses, and the events are there all the same."""
    with open("/proc/sys/kernel/kptr_restrict") as f:
        before = f.read()
    try:
        with open("/proc/sys/kernel/kptr_restrict", "w") as f:
            f.write("2")
        with Netns("hidden") as ns, Tracing(PROBE, "-K", "-n", ns.name) as t:
            ns.sh("ip link add d0 type veth peer name d1; ip link set d0 arp off; ip addr add 10.7.0.1/24 dev d0;"
                  "ip link set d0 up; ip link set d1 up")
            with ns.socket() as s:
                s.setblocking(False)
                s.connect_ex(("10.7.0.2", 7))
                event = t.wait(1)[0]
            assert t.stop() and t.stderr().count("kernel addresses stay numbers") == 1, t.stderr()
            assert event["stack"] and all(frame.startswith("0x") for frame in event["stack"]), event["stack"]
    finally:
        with open("/proc/sys/kernel/kptr_restrict", "w") as f:
            f.write(before)


# ---- what the kernel or its surroundings do not offer ----

def test_without_type_information():
    done = run(["unshare", "-m", "sh", "-c", f"mount -t tmpfs none /sys/kernel/btf && exec {tool(PROBE)}"])
    one_line(done, 4, "this kernel has no type information (/sys/kernel/btf/vmlinux)")


def libraries(path):
    listing = run([path], env={"LD_TRACE_LOADED_OBJECTS": "1"}).stdout.split()
    return [word for word in listing if word.startswith("/")] or pytest.fail("static: nothing to copy")


@contextlib.contextmanager
def chroot_of(folder):
    """A root that holds the probe, its libraries and an empty /proc."""
    for path in (tool(PROBE), *libraries(tool(PROBE))):
        place = folder / ("probe" if path == tool(PROBE) else path.lstrip("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(path), place)
    (folder / "proc").mkdir()
    yield folder


def test_in_a_root_without_sys(tmp_path):
    with chroot_of(tmp_path) as root:
        done = run(["unshare", "-m", "sh", "-c", f"mount -t proc none {root}/proc && exec unshare -R {root} /probe"])
        one_line(done, 4, "/sys/kernel/btf/vmlinux cannot be read: no sysfs is mounted on /sys here")
        # All it lacks is that file.
        script = f"mount -t proc none {root}/proc && mount -t sysfs none {root}/sys && exec unshare -R {root} /probe -v -d 0.1"
        (root / "sys").mkdir()
        attaches(run(["unshare", "-m", "sh", "-c", script]))


def test_type_information_that_is_none():
    done = run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && echo nothing >/sys/kernel/btf/vmlinux && "
                f"exec {tool(PROBE)}"])
    one_line(done, 1, "/sys/kernel/btf/vmlinux: Bad message")


# ---- refused for other reasons ----

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
SYS_BPF = {"x86_64": 321, "aarch64": 280}


def refuse_bpf():
    """A seccomp filter of this process: bpf(2) is refused with EPERM, as container runtimes do."""
    libc = ctypes.CDLL(None, use_errno=True)
    load, equal, give = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0), (equal, 0, 1, SYS_BPF[os.uname().machine]), (give, 0, 0, 0x00050001), (give, 0, 0, 0x7fff0000)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text)))
    assert not libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    assert not libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(filters), 0, 0)


def test_seccomp():
    done = run([tool(PROBE)], preexec_fn=refuse_bpf)
    one_line(done, 3, "cannot load BPF programs: refused although all capabilities for it are held (seccomp mode 2")


def test_all_of_it_with_v():
    """With -v libbpf's account follows the same rules: on stderr, each line under the program's name."""
    done = run([tool(PROBE), "-v"], preexec_fn=refuse_bpf)
    assert done.returncode == 3 and "libbpf: " in done.stderr
    assert all(line.startswith(SAYS) for line in done.stderr.splitlines()), done.stderr
