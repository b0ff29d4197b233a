# SPDX-License-Identifier: GPL-2.0-or-later
"""The probes of the counter files over captured trees of five kernels: every value under its name, and what happens with
files that are missing, cut off or not to be read."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from skooplib import FIXTURES, records, run, skoop, tool, values

KERNELS = sorted(p.name for p in (FIXTURES / "proc").glob("linux-*"))
HOST = "hostNetwork"
CONTRACT = {"tcpext": 32, "tcp": 10, "udp": 8, "ip": 2, "sock": 5 + 1, "softnet": 2}

# Which groups of which file a probe shows: the name's prefix, and the label.
GROUPS = {
    "tcpext": [("netstat", "TcpExt", "", None), ("netstat", "MPTcpExt", "mptcp", None)],
    "tcp": [("snmp", "Tcp", "", None)],
    "udp": [("snmp", "Udp", "", None), ("snmp", "UdpLite", "udplite", None), ("snmp6", "Udp6", "", "ipv6"),
            ("snmp6", "UdpLite6", "udplite", "ipv6")],
    "ip": [("netstat", "IpExt", "", None), ("snmp", "Ip", "", None), ("snmp", "Icmp", "icmp", None),
           ("snmp", "IcmpMsg", "icmp", None), ("snmp6", "Ip6", "", "ipv6"), ("snmp6", "Icmp6", "icmp", "ipv6")],
}


def below(tree):
    return ["--procfs", tree, "--rootfs", tree, "--sysfs", tree, "--node", "n"]


def lines_of(tree, file):
    return (pathlib.Path(tree) / "1/net" / file).read_text().splitlines()


def group_of(tree, file, group):
    """{key: value} by means of our own."""
    if file == "snmp6":
        pairs = [line.split() for line in lines_of(tree, file)]
        return {k[len(group):]: int(v) for k, v in pairs if k.startswith(group)}
    out, lines = {}, lines_of(tree, file)
    for keys, numbers in zip(lines[::2], lines[1::2]):
        if keys.split(":")[0] == group:
            out.update(zip(keys.split()[1:], map(int, numbers.split()[1:])))
    return out


def expected(tree, probe):
    out = {}
    for file, group, prefix, family in GROUPS[probe]:
        for key, value in group_of(tree, file, group).items():
            name = (f"kubeskoop_{probe}_{prefix}{key.lower()}", family)
            assert name not in out
            out[name] = value
    return out


def told(probe, tree, *options):
    """{(name, family): value} of the host."""
    recs = records(probe, *below(tree), *options)
    assert {r["labels"]["target_pod"] for r in recs} <= {HOST}
    return {(r["metric"], r["labels"].get("family")): r["value"] for r in recs}


@pytest.mark.parametrize("probe", GROUPS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_key_of_every_kernel(kernel, probe):
    """The values are all different, so each must be under its own name; what a kernel lacks is absent."""
    tree = FIXTURES / "proc" / kernel
    have = {k: v for k, v in told(probe, tree, "-a").items() if "_neigh" not in k[0]}
    assert have == expected(tree, probe)
    contract = told(probe, tree)
    assert len(contract) == CONTRACT[probe] and contract.items() <= have.items()


def test_what_kernels_differ_in():
    """So that the trees above are not all one."""
    keys = {k: set(told("tcpext", FIXTURES / "proc" / k, "-a")) for k in KERNELS}
    assert ("kubeskoop_tcpext_beyondwindow", None) in keys["linux-6.18"] - keys["linux-6.12"]
    assert ("kubeskoop_tcpext_tcpaobad", None) in keys["linux-6.12"] - keys["linux-6.1"]
    assert ("kubeskoop_tcpext_tcpmigratereqsuccess", None) in keys["linux-6.1"] - keys["linux-5.10"]
    udp = {k: set(told("udp", FIXTURES / "proc" / k, "-a")) for k in KERNELS}
    assert ("kubeskoop_udp_udplitenoports", None) in udp["linux-6.18"] - udp["linux-7.3"]
    assert ("kubeskoop_udp_memerrors", None) in udp["linux-6.1"] - udp["linux-5.10"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_sock_of_every_kernel(kernel):
    tree = FIXTURES / "proc" / kernel
    have = told("sock", tree, "-a")
    file = {}
    for name in ("sockstat", "sockstat6"):
        for line in lines_of(tree, name):
            group, *words = line.split()
            file.update({group + key: int(value) for key, value in zip(words[::2], words[1::2])})
    want = {("inuse", None): file["TCP:inuse"] + file["TCP6:inuse"], ("tw", None): file["TCP:tw"],
            ("orphan", None): file["TCP:orphan"], ("alloc", None): file["TCP:alloc"], ("mem", None): file["TCP:mem"],
            ("membytes", None): file["TCP:mem"] * os.sysconf("SC_PAGESIZE"), ("socketsused", None): file["sockets:used"],
            ("udpmem", None): file["UDP:mem"]}
    for group in ("UDP", "UDPLITE", "RAW", "FRAG"):
        for suffix, family in (("", None), ("6", "ipv6")):
            for key in ("inuse", "memory"):
                if f"{group}{suffix}:{key}" in file:
                    want[group.lower() + key, family] = file[f"{group}{suffix}:{key}"]
    for name, sysctl in (("tcpmem", "tcp_mem"), ("udpmem", "udp_mem")):
        numbers = (tree / "sys/net/ipv4" / sysctl).read_text().split()
        want.update({(name + which, None): int(n) for which, n in zip(("min", "pressure", "max"), numbers)})
    want["tcpmaxorphans", None] = int((tree / "sys/net/ipv4/tcp_max_orphans").read_text())
    have = {(name[len("kubeskoop_sock_"):], family): value for (name, family), value in have.items()}
    # The limits of a namespace take entering it, and a captured one cannot be entered, save where it is the own one.
    mine = {"tcpmaxtwbuckets", "portrangelow", "portrangehigh"}
    assert {k: v for k, v in have.items() if k[0] not in mine} == want
    assert len(told("sock", tree)) == CONTRACT["sock"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_softnet_of_every_kernel(kernel):
    """Thirteen columns up to 6.1, fifteen since; the CPU's number is in the line."""
    tree = FIXTURES / "proc" / kernel
    rows = [[int(word, 16) for word in line.split()] for line in lines_of(tree, "softnet_stat")]
    names = {"processed": 0, "dropped": 1, "timesqueeze": 2, "receivedrps": 9, "flowlimit": 10, "backloglen": 11}
    if len(rows[0]) > 13:
        names.update(inputqlen=13, processqlen=14)
    want = {f"kubeskoop_softnet_{name}": sum(row[column] for row in rows) for name, column in names.items()}
    assert values(records("softnet", *below(tree), "-a")) == want
    each = records("softnet", *below(tree), "-a", "--per-cpu")
    for row in rows:
        assert values(each, cpu=str(row[12])) == {f"kubeskoop_softnet_{n}": row[c] for n, c in names.items()}
    assert len(records("softnet", *below(tree))) == CONTRACT["softnet"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_neighbours_of_every_kernel(kernel):
    tree = FIXTURES / "proc" / kernel
    have = {k: v for k, v in told("ip", tree, "-a").items() if "_neigh" in k[0]}
    want = {}
    for file, family in (("arp_cache", "ipv4"), ("ndisc_cache", "ipv6")):
        keys, *lines = [line.split() for line in lines_of(tree, f"stat/{file}")]
        for key, column in zip(keys, zip(*lines)):
            numbers = [int(word, 16) for word in column]
            want[f"kubeskoop_ip_neigh{key.replace('_', '')}", family] = numbers[0] if key == "entries" else sum(numbers)
    assert have == want


@pytest.mark.parametrize("probe", CONTRACT)
def test_no_row_without_a_kernel_that_has_it(probe):
    """A row whose name is not the kernel's would never show, and nobody would miss it."""
    rows = {line.split("\t")[1] for line in skoop(probe, "--describe").stdout.splitlines() if line.startswith("metric\t")}
    shown = {name for kernel in KERNELS for name, _ in told(probe, FIXTURES / "proc" / kernel, "-a")}
    of_namespaces = {f"kubeskoop_sock_{n}" for n in ("tcpmaxtwbuckets", "portrangelow", "portrangehigh")}
    assert rows - shown <= of_namespaces


# ---- files that are not as they should be ----

@pytest.fixture
def tree():
    """A copy to spoil, where everybody may read."""
    with tempfile.TemporaryDirectory(prefix="skoop-") as folder:
        os.chmod(folder, 0o755)
        copy = pathlib.Path(folder) / "proc"
        shutil.copytree(FIXTURES / "proc/linux-6.12", copy, symlinks=True)
        yield copy


FIRST_FILE = {"tcpext": "netstat", "tcp": "snmp", "udp": "snmp", "ip": "netstat", "sock": "sockstat", "softnet": "softnet_stat"}


@pytest.mark.parametrize("probe", FIRST_FILE)
@pytest.mark.parametrize("how", ["empty", "cut off", "not numbers", "binary"])
def test_malformed(tree, probe, how):
    """One line that names the file, nothing emitted of it, and exit 1."""
    path = tree / "1/net" / FIRST_FILE[probe]
    text = path.read_bytes()
    path.write_bytes({"empty": b"", "cut off": text[:-3], "not numbers": text.replace(b" ", b" x"),
                      "binary": b"\x7fELF\x02\x01 :\xff\x00" * 5 + b"\n"}[how])
    done = skoop(probe, *below(tree), "-o", "json", rc=1)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"net/{FIRST_FILE[probe]}" in done.stderr
    assert "not of the form" in done.stderr


@pytest.mark.parametrize("probe", FIRST_FILE)
def test_missing(tree, probe):
    """Exit 4: the kernel has none of it. With -a, a further file that is missing only takes its values away."""
    (tree / "1/net/snmp6").unlink()
    (tree / "1/net/sockstat6").unlink()
    skoop(probe, *below(tree), "-a")
    (tree / "1/net" / FIRST_FILE[probe]).unlink()
    done = skoop(probe, *below(tree), "-o", "json", rc=4)
    assert done.stdout == "" and done.stderr.count("\n") == 1


def test_without_ipv6_sockets_are_those_of_ipv4(tree):
    both = told("sock", tree)["kubeskoop_sock_inuse", None]
    (tree / "1/net/sockstat6").unlink()
    text = lines_of(tree, "sockstat")
    tcp = next(line for line in text if line.startswith("TCP:")).split()
    assert told("sock", tree)["kubeskoop_sock_inuse", None] == int(tcp[2]) < both


@pytest.mark.parametrize("probe", FIRST_FILE)
def test_refused(tree, probe):
    """As somebody without any capability: what can be read is read; a file that cannot is exit 3."""
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", tool(probe), *below(tree)]
    done = run([*nobody, "-o", "json"])
    assert done.returncode == 0 and len(done.stdout.splitlines()) == CONTRACT[probe], done.stderr
    os.chmod(tree / "1/net" / FIRST_FILE[probe], 0)
    done = run([*nobody, "-o", "json"])
    assert done.returncode == 3 and done.stdout == "" and done.stderr


# ---- softnet's counters are 32 bits wide, its CPUs come and go ----

class Rounds:
    """A probe that runs on while its file changes; one record of a metric and set of labels at a time."""

    def __init__(self, tree, *options):
        self.path = tree / "1/net/softnet_stat"
        self.argv = [tool("softnet"), *map(str, below(tree)), "-o", "json", *options, "0.1"]

    def write(self, *rows):
        """rows: (CPU, processed, dropped)."""
        text = "".join("".join(f"{n:08x} " for n in [processed, dropped, *[0] * 10, cpu, 0, 0]).rstrip() + "\n"
                       for cpu, processed, dropped in rows)
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.rename(self.path)

    def __enter__(self):
        self.child = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        self.last = None
        return self

    def until(self, condition):
        """The first record of `processed` for which the condition holds."""
        for line in self.child.stdout:
            record = json.loads(line)
            if record["metric"].endswith("_processed") and condition(record):
                return record
        raise AssertionError("the probe ended")

    def __exit__(self, *exc):
        self.child.terminate()
        self.child.communicate()
        assert self.child.returncode == 0


def test_wrap_of_a_32_bit_counter(tree):
    """In one run the total goes on; the value of the first reading is the kernel's."""
    rounds = Rounds(tree)
    rounds.write((0, 0xffffff00, 0), (1, 5, 0))
    with rounds:
        assert rounds.until(lambda r: True)["value"] == 0xffffff05
        rounds.write((0, 0x10, 0), (1, 6, 0))
        record = rounds.until(lambda r: r["value"] != 0xffffff05)
        assert (record["value"], record["delta"]) == (0x100000016, 0x111)
        rounds.write((0, 0x20, 0), (1, 6, 0))
        record = rounds.until(lambda r: r["value"] != 0x100000016)
        assert (record["value"], record["delta"]) == (0x100000026, 0x10)


def test_a_cpu_that_goes_offline_does_not_take_its_packets_along(tree):
    rounds = Rounds(tree)
    rounds.write((0, 100, 0), (3, 1000, 0))
    with rounds:
        assert rounds.until(lambda r: True)["value"] == 1100
        rounds.write((0, 110, 0))
        assert rounds.until(lambda r: r["value"] != 1100)["delta"] == 10
        rounds.write((0, 110, 0), (3, 1001, 0))
        assert rounds.until(lambda r: r["value"] == 1111)["delta"] == 1


def test_cpus_are_told_by_their_numbers(tree):
    rounds = Rounds(tree, "--per-cpu")
    rounds.write((0, 100, 0), (3, 1000, 0))
    with rounds:
        assert rounds.until(lambda r: r["labels"]["cpu"] == "3")["value"] == 1000
        rounds.write((0, 107, 0))
        assert rounds.until(lambda r: r["value"] not in (100, 1000))["labels"]["cpu"] == "0"


@pytest.mark.parametrize("text", ["1 2 3\n", "0 " * 12 + "ffffffff\n", "100000000 " + "0 " * 12 + "\n", "0 " * 40 + "\n"],
                         ids=["too few columns", "no such CPU", "not 32 bits", "too many columns"])
def test_softnet_that_is_none(tree, text):
    (tree / "1/net/softnet_stat").write_text(text)
    assert "softnet_stat" in skoop("softnet", *below(tree), rc=1).stderr
