# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests may rely on in a machine: what is in it, its options, and that it ends when it hangs or dies."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import vm  # noqa: E402

from skooplib import BUILD, run  # noqa: E402

SERIES = "6.1"
# Modules that tests load, or that load when they use them.
MODULES = """nfnetlink_queue nft_queue nft_reject_inet ip_tables iptable_filter ip6table_filter xt_tcpudp xt_conntrack act_gact
 act_mirred cls_matchall sch_netem sch_tbf null_blk scsi_debug sd_mod dm_delay 8021q ipip sit ip6_tunnel virtio_net""".split()


def ours():
    """The QEMU processes we started."""
    return run(["pgrep", "-P", os.getpid(), "qemu"]).stdout.split()


def test_what_is_in_it():
    done = vm.boot(SERIES, f"""
set -e
for m in {' '.join(MODULES)}; do modprobe $m || echo "no $m"; done
for x in iptables-legacy ip6tables-legacy; do $x -A INPUT -p tcp --dport 9 -j DROP; $x -S INPUT | tail -1; done
echo 1 2 | awk '{{ print $2 }}'
bpftool btf dump file /sys/kernel/btf/vmlinux format raw | head -1 | cut -c1-4
grep -wo threadirqs /proc/cmdline
test -b /dev/vdc && nproc
find build -type f | sort >/tmp/files/built
""", BUILD, cmdline="threadirqs", cpus=1, extra=["-drive", "if=virtio,driver=null-co,read-zeroes=on"])
    assert (done.returncode, done.stdout.splitlines(), done.died) == (0, [
        "-A INPUT -p tcp -m tcp --dport 9 -j DROP"] * 2 + ["2", "[1] ", "threadirqs", "1"], ""), done.tail()
    built = done.files["built"].decode().split()
    assert {f"build/{p.relative_to(BUILD)}" for p in BUILD.glob("skoop*") if p.is_file()} <= set(built)
    assert any(path.startswith("build/tests/unit/test_") for path in built)


def test_instructions_are_its_clock():
    """A loop takes as long each time, to the microsecond."""
    done = vm.boot(SERIES, """python3 -c '
import time
def took():
    since = time.monotonic_ns()
    for _ in range(100000):
        pass
    return time.monotonic_ns() - since
times = sorted(took() for _ in range(20))
print(times[0], times[5])'""", BUILD, icount=True)
    least, fifth = map(int, done.stdout.split())
    assert least <= fifth < least * 1.001, done.stdout


def test_one_that_hangs_is_stopped():
    with pytest.raises(vm.TimedOut) as hung:
        vm.boot(SERIES, "sleep 600", BUILD, timeout=10, cmdline="loglevel=7")
    assert f"Linux version {SERIES}." in hung.value.result.console and hung.value.result.returncode is None
    assert not ours()


def test_one_that_dies_is_booted_once_more():
    with pytest.raises(vm.Died) as dead:
        vm.boot(SERIES, "echo begun; echo c >/proc/sysrq-trigger", BUILD)
    assert "begun" in dead.value.result.stdout and "sysrq triggered crash" in str(dead.value)
    assert not ours()
