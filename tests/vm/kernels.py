# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels, found in its archives by series, unpacked into a cache outside the source tree. Five of them are
170 MB to download, with 60 MB of package lists, and 600 MB in the cache; it is $SKOOP_VM_CACHE or /var/cache/skoop-vm."""
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

CACHE = pathlib.Path(os.environ.get("SKOOP_VM_CACHE", "/var/cache/skoop-vm"))
SUITES = ("bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports")
# The series of the matrix; "7" is the newest 7.x.
SERIES = ("5.10", "6.1", "6.12", "6.18", "7")
# What the tests load, and what the disk and the overlay need; the rest of the tree stays packed.
WANTED = ("kernel/net/", "kernel/lib/", "kernel/crypto/", "kernel/arch/x86/crypto/", "kernel/fs/ext4/", "kernel/fs/jbd2/",
          "kernel/fs/mbcache", "kernel/fs/overlayfs/", "kernel/fs/crc", "kernel/fs/configfs/",
          "kernel/drivers/net/", "kernel/drivers/block/", "kernel/drivers/virtio/", "kernel/drivers/char/virtio_console",
          "kernel/drivers/char/hw_random/",
          "kernel/drivers/scsi/scsi_debug", "kernel/drivers/scsi/scsi_mod", "kernel/drivers/scsi/scsi_common",
          "kernel/drivers/scsi/sd_mod", "kernel/block/t10-pi", "kernel/drivers/md/", "kernel/drivers/dax/")
WEEK = 7 * 86400


class Unavailable(pytest.skip.Exception):
    """The archives lack a kernel of the series, or cannot be reached: who asked for it is skipped."""


@contextlib.contextmanager
def locked():
    """One at a time, threads and processes, changes the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def used(path):
    """Notes that this part of the cache is in use; what lies beside it and was not for a week is removed."""
    path.touch()
    for other in path.parent.glob(path.name.split("-")[0] + "-*"):
        if time.time() - other.stat().st_mtime > WEEK:
            shutil.rmtree(other) if other.is_dir() else other.unlink()


def mirror():
    """The Debian mirror of this machine's own sources."""
    for source in [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]:
        if not source.is_file():
            continue
        for line in source.read_text(errors="replace").splitlines():
            found = re.match(r"(?:deb\s+(?:\[[^]]*\]\s*)?|URIs:\s*)(\S+/debian|mirror\+\S+/debian\.list)/?(?:\s|$)", line)
            if found:
                return found.group(1)
    raise Unavailable("no Debian mirror in /etc/apt/sources.list*")


def apt(*argv):
    """apt with lists, cache and status of its own: the machine's are not touched. A failed download is tried once more."""
    base = CACHE / "apt"
    options = {"Dir::Etc::sourcelist": base / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
               "Dir::State::lists": base / "lists", "Dir::Cache": base, "Dir::State::status": base / "status",
               "APT::Architecture": "amd64", "APT::Sandbox::User": "root", "APT::Update::Error-Mode": "any",
               "Acquire::Retries": 1, "Acquire::Languages": "none"}
    words = [w for key, value in options.items() for w in ("-o", f"{key}={value}")]
    return subprocess.run([argv[0], *words, *argv[1:]], check=True, capture_output=True, text=True, timeout=600,
                          cwd=CACHE / "deb").stdout


def refresh(force=False):
    """The archives' lists, once a day. Returns what apt complained of; the lists it could not get stay as they were."""
    base = CACHE / "apt"
    for folder in (base / "lists/partial", base / "archives/partial", CACHE / "deb"):
        folder.mkdir(parents=True, exist_ok=True)
    stamp = base / "stamp"
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    sources = "".join(f"deb {key} {mirror()} {suite} main\n" for suite in SUITES)
    if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < 86400 and stamp.read_text() == sources:
        return ""
    (base / "status").touch()
    (base / "sources.list").write_text(sources)
    try:
        apt("apt-get", "-qq", "update")
    except subprocess.CalledProcessError as failed:
        return failed.stderr
    stamp.write_text(sources)
    return ""


def newest(series, complaint=""):
    """The packages of the newest cloud kernel of a series: one image, or binary and modules where it is split."""
    names = apt("apt-cache", "search", "--names-only", "^linux-(image|binary|modules)-.*-cloud-amd64$").split("\n")
    names = {n.split(" ")[0] for n in names if n}
    found = {match.group(1) for match in
             (re.match(rf"linux-(?:image|binary)-({re.escape(series)}\.\d[^-]*(?:-\d+)?)-cloud-amd64$", n) for n in names)
             if match}
    if not found:
        raise Unavailable(f"no kernel {series} in {', '.join(SUITES)} of {mirror()}. {complaint}".strip())
    version = max(found, key=lambda v: [int(n) for n in re.findall(r"\d+", v)])
    split = [f"linux-binary-{version}-cloud-amd64", f"linux-modules-{version}-cloud-amd64"]
    return split if names.issuperset(split) else [f"linux-image-{version}-cloud-amd64"]


def unpack_modules(tree):
    """Unpacks the wanted modules in place and indexes them; the others are removed."""
    for module in tree.rglob("*.ko*"):
        if not str(module.relative_to(tree)).startswith(WANTED):
            module.unlink()
        elif module.suffix == ".xz":
            subprocess.run(["xz", "-d", "-T1", module], check=True)
    subprocess.run(["depmod", "-b", tree.parents[2], tree.name], check=True, stderr=subprocess.DEVNULL)


def unpack(packages, root):
    """Downloads the packages and lays vmlinuz and lib/modules/VERSION out below root."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    apt("apt-get", "-qq", "download", *packages)
    for package in packages:
        deb = max((CACHE / "deb").glob(f"{package}_*.deb"), key=os.path.getmtime)
        subprocess.run(["dpkg-deb", "-x", deb, root / "x"], check=True)
        deb.unlink()
    (root / "lib/modules").mkdir(parents=True)
    tree = next(d for where in ("lib/modules", "usr/lib/modules") if (root / "x" / where).is_dir()
                for d in (root / "x" / where).iterdir())
    next((root / "x").rglob("vmlinuz*")).rename(root / "vmlinuz")
    tree.rename(root / "lib/modules" / tree.name)
    shutil.rmtree(root / "x")
    unpack_modules(root / "lib/modules" / tree.name)
    (root / "complete").write_text(repr(WANTED))


def fetch(series):
    """(vmlinuz, module tree) of the newest kernel of the series, from the cache or the archives; raises Unavailable."""
    if os.uname().machine != "x86_64":
        raise Unavailable("the machines take their programs from this one, and it is not x86-64")
    with locked():
        complaint = refresh()
        for last in (False, True):
            packages = newest(series, complaint)
            root = CACHE / "kernels" / packages[0]
            try:
                if not (root / "complete").exists() or (root / "complete").read_text() != repr(WANTED):
                    unpack(packages, root)
                break
            except subprocess.CalledProcessError as failed:
                if failed.cmd[0] != "apt-get":
                    raise
                if last:
                    raise Unavailable(f"kernel {series}, {' '.join(packages)}: {failed.stderr}") from failed
                complaint = refresh(force=True)  # the archives may have moved on since the lists were read
        used(root)
        return root / "vmlinuz", next((root / "lib/modules").iterdir())
