# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's types as bpf/vmlinux.h and bpf/compat.bpf.h declare them, held against the running kernel's own.

A member that a kernel does not have stops a probe from loading; one of another width loads, and reads wrong. The object
build/bpf/types.o holds a variable of each declared type.
"""
import pathlib
import struct

import pytest

from btflib import Btf, section
from skooplib import BUILD

pytestmark = pytest.mark.kernels

KERNEL = pathlib.Path("/sys/kernel/btf/vmlinux")

# Members that kernels have in another width: whoever reads them says so in the source.
OTHER_WIDTH = {
    "tcp_skb_cb.tcp_flags": "a byte until 6.15: BPF_CORE_READ_BITFIELD_PROBED reads either",
    "tcp_skb_cb.sacked": "bit fields beside it on some: read in the same way",
    "tcp_sock.chrono_type": "a bit field on some: BPF_CORE_READ_BITFIELD_PROBED reads either",
    "tcp_sock.is_cwnd_limited": "read in the same way",
    "tcp_sock.nonagle": "read in the same way",
}


@pytest.fixture(scope="module")
def kernel():
    return Btf(KERNEL.read_bytes())


@pytest.fixture(scope="module")
def names(kernel):
    return kernel.names()


def declared_bytes():
    return section((BUILD / "bpf/types.o").read_bytes(), ".BTF")


def same_member(mine, theirs, member, other):
    """Why the member is not the kernel's; None: it is."""
    kind, bits, field, _ = member
    other_kind, other_bits, other_field, _ = other
    if mine.is_record(kind) and theirs.is_record(other_kind):
        a, b = mine.record_name(kind), theirs.record_name(other_kind)
        return None if a == b else f"is a {a}, the kernel's a {b}"
    if (bits, field) == (other_bits, other_field):
        return None
    return f"has {bits} bits{' (bit field)' * field}, the kernel's {other_bits}{' (bit field)' * other_field}"


def faults_of(mine, number, theirs, other, path, optional):
    """What differs in a struct or union, and in the nameless ones that typedefs hide in it."""
    have, found = theirs.members(other), []
    for name, member in mine.members(number).items():
        where = f"{path}.{name}"
        if name not in have:
            if not optional:
                found.append(f"{where}: this kernel has none")
            continue
        why = same_member(mine, theirs, member, have[name])
        if why and where not in OTHER_WIDTH:
            found.append(f"{where} {why}")
        inner, other_inner = mine.bare(member[0])[0], theirs.bare(have[name][0])[0]
        if mine.is_record(inner) and theirs.is_record(other_inner) and not mine.head(inner)[0]:
            found += faults_of(mine, inner, theirs, other_inner, mine.record_name(member[0]), optional)
    return found


def faults(data, kernel, names):
    """{declared type: what is wrong with it}. A flavour (`x___old`) may be absent, in whole or in part."""
    mine, found = Btf(data), {}
    for (is_enum, name), numbers in mine.names().items():
        base, _, flavour = name.partition("___")
        theirs = names.get((is_enum, base), [])
        if not theirs:
            found[name] = [] if flavour else [f"{name}: this kernel has no such type"]
        elif is_enum:
            missing = mine.enumerators(numbers[0]) - set().union(*(kernel.enumerators(n) for n in theirs))
            found[name] = [] if flavour else [f"{name}: this kernel has no {m}" for m in sorted(missing)]
        else:
            # Several types may share a name; one of them is meant.
            found[name] = min((faults_of(mine, numbers[0], kernel, n, base, bool(flavour)) for n in theirs), key=len)
    return found


def test_declared_types_are_the_kernels(kernel, names):
    found = faults(declared_bytes(), kernel, names)
    assert {"sk_buff", "sock", "net_device", "tcp_sock"} <= set(found), found.keys()
    assert not [fault for why in found.values() for fault in why]


def member_place(mine, record, name):
    return mine.members(mine.names()[False, record][0])[name][3]


def test_a_renamed_member_is_found(kernel, names):
    data = declared_bytes()
    at = data.index(b"\0skc_num\0")
    data[at + 1:at + 8] = b"skc_nam"
    assert faults(data, kernel, names)["sock_common"] == ["sock_common.skc_nam: this kernel has none"]


def test_a_member_of_another_width_is_found(kernel, names):
    data = declared_bytes()
    mine = Btf(data)
    at, wide = member_place(mine, "sock_common", "skc_num"), member_place(mine, "sock_common", "skc_daddr")
    data[at + 4:at + 8] = data[wide + 4:wide + 8]
    assert faults(data, kernel, names)["sock_common"] == ["sock_common.skc_num has 32 bits, the kernel's 16"]


def test_a_bit_field_of_another_width_is_found(kernel, names):
    data = declared_bytes()
    at = member_place(Btf(data), "inet_connection_sock", "icsk_ca_state")
    offset, = struct.unpack_from("<I", data, at + 8)
    struct.pack_into("<I", data, at + 8, offset & 0xffffff | 4 << 24)
    assert faults(data, kernel, names)["inet_connection_sock"] == \
        ["inet_connection_sock.icsk_ca_state has 4 bits (bit field), the kernel's 5 (bit field)"]


def test_a_struct_in_the_place_of_another_is_found(kernel, names):
    data = declared_bytes()
    mine = Btf(data)
    at, wrong = member_place(mine, "inet_sock", "sk"), mine.names()[False, "net"][0]
    struct.pack_into("<I", data, at + 4, wrong)
    assert faults(data, kernel, names)["inet_sock"] == ["inet_sock.sk is a net, the kernel's a sock"]


def test_a_type_that_no_kernel_has_is_found(kernel, names):
    data = declared_bytes()
    at = data.index(b"\0tcp_skb_cb\0")
    data[at + 1:at + 11] = b"tcp_skb_xx"
    assert faults(data, kernel, names)["tcp_skb_xx"] == ["tcp_skb_xx: this kernel has no such type"]
