# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reason that the running kernel can name is explained: its own type information against the probes' tables."""
import os
import pathlib
import re
import shutil

import pytest

from skooplib import BUILD, run, skoop

pytestmark = pytest.mark.kernels

BTF = pathlib.Path("/sys/kernel/btf")
# The enumerations that each probe speaks of, and the modules some of them come from.
ENUMS = {"packetloss": {"skb_drop_reason": "vmlinux", "qdisc_drop_reason": "vmlinux", "ovs_drop_reason": "openvswitch",
                        "mac80211_drop_reason": "mac80211"},
         "tcpreset": {"sk_rst_reason": "vmlinux"}}
# The first kernels that have them.
SINCE = {"packetloss": (5, 17), "tcpreset": (6, 10)}
BUILT = [probe for probe in ENUMS if (BUILD / f"skoop-{probe}").exists()]
__test__ = bool(BUILT)


def enumerators(enum, module):
    """Its names in the type information of the kernel or of a module, which is loaded where there is one."""
    if module != "vmlinux":
        run(["modprobe", "-q", module])
    path = BTF / module
    if not path.exists():
        return []
    base = [] if module == "vmlinux" else ["-B", BTF / "vmlinux"]
    done = run(["bpftool", *base, "btf", "dump", "file", path, "format", "raw"], timeout=60)
    assert done.returncode == 0, done.stderr
    found = re.search(rf"^\[\d+\] ENUM '{enum}' .*\n((?:\t.*\n)*)", done.stdout, re.M)
    return re.findall(r"'(\w+)'", found[1]) if found else []


@pytest.mark.parametrize("probe", BUILT)
def test_every_reason_of_this_kernel_is_explained(probe):
    if not shutil.which("bpftool"):
        pytest.skip("no bpftool")
    if not (BTF / "vmlinux").exists():
        pytest.skip("a kernel without BTF")
    names = [n for enum, module in ENUMS[probe].items() for n in enumerators(enum, module)]
    assert bool(names) == (tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= SINCE[probe])
    for name in names:
        done = skoop(probe, "--explain", name, rc=None)
        assert done.returncode == 0 and "  means    " in done.stdout, name
        brief = re.sub("^(SKB_DROP_REASON|SK_RST_REASON)_", "", name)
        assert re.search(rf"^{brief}: a reason of skoop-{probe}$", done.stdout, re.M), name
