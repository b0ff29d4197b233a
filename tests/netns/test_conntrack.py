# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-conntrack against conntrack -S and -C in real namespaces, and over the files of other kernels."""
import contextlib
import fcntl
import json
import pathlib
import re
import socket
import struct
import subprocess
import tempfile

import pytest

from skooplib import FIXTURES, NOBODY, fake_proc, records, run, skoop, tool, values, wait_for, without_ipv6

pytestmark = pytest.mark.kernels

PREFIX = "kubeskoop_conntrack_"
# Our name: what conntrack -S calls it.
WITNESS = {"found": "found", "invalid": "invalid", "insert": "insert", "insertfailed": "insert_failed", "drop": "drop",
           "earlydrop": "early_drop", "error": "error", "searchrestart": "search_restart",
           "clashresolve": "clash_resolve", "chaintoolong": "chaintoolong"}

TRACK = """table inet t {
	chain in {
		type filter hook input priority 0
		ct state invalid drop
		ct state new counter
	}
}"""


def nft(ns, rules):
    done = ns.run("nft", "-f", "-", stdin=None, input=rules)
    assert done.returncode == 0, done.stderr


def by_cpu(ns):
    """{cpu: {name as conntrack has it: value}}"""
    text = ns.run("conntrack", "-S").stdout
    out = {}
    for line in text.splitlines():
        pairs = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}
        out[str(pairs.pop("cpu"))] = pairs
    assert out, text
    return out


def witness(ns):
    cpus = by_cpu(ns)
    return {ours: sum(c[theirs] for c in cpus.values()) for ours, theirs in WITNESS.items() if theirs in cpus["0"]}


def ours(ns, *args, **labels):
    got = values(records("conntrack", "-n", ns.name, *args), pod=ns.pod, **labels)
    return {name[len(PREFIX):]: value for name, value in got.items()}


def agree(ns):
    """What both say at one time; the values of a namespace at rest."""
    theirs, mine = witness(ns), ours(ns, "-a")
    assert {k: mine[k] for k in theirs} == theirs
    assert mine["entries"] == int(ns.run("conntrack", "-C").stdout)
    assert mine["maxentries"] == int(ns.run("sysctl", "-n", "net.netfilter.nf_conntrack_max").stdout)
    return mine


def rest(ns):
    """Waits until the counters of a namespace stand still, and returns what both say then."""
    last = []

    def still():
        now = (witness(ns), ns.run("conntrack", "-C").stdout)
        last.append(now)
        return len(last) > 1 and now == last[-2]
    wait_for(still, what="counters at rest")
    return agree(ns)


def moved(before, after):
    return {k: after[k] - before[k] for k in before if after[k] != before[k]}


@pytest.fixture
def tracked(pair):
    """Namespaces a and b, of which only b tracks connections, and a quiet third."""
    a, b, quiet = pair
    without_ipv6(a, b, quiet)
    nft(b, TRACK)
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("10.9.0.2", 53))
        yield a, b, quiet


def send_udp(ns, count, port=53, source=20000):
    """One datagram from each of `count` source ports: as many flows."""
    for i in range(count):
        with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("10.9.0.1", source + i))
            s.sendto(b"x", ("10.9.0.2", port))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def segment(sport, dport, flags):
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, flags, 100, 0, 0)
    pseudo = socket.inet_aton("10.9.0.1") + socket.inet_aton("10.9.0.2") + struct.pack("!BBH", 0, 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def test_flows_are_counted_where_they_are_tracked(tracked):
    a, b, quiet = tracked
    before = rest(b)
    assert before["entries"] == 0
    send_udp(a, 25)
    wait_for(lambda: int(b.run("conntrack", "-C").stdout) == 25, what="25 entries")
    after = rest(b)
    assert moved(before, after) == {"entries": 25}
    # The sender has no rule and tracks nothing; neither does the quiet one.
    for ns in (a, quiet):
        assert {k: v for k, v in rest(ns).items() if v and k != "maxentries"} == {}


def test_traffic_without_a_rule_is_not_tracked(pair):
    a, b, quiet = pair
    without_ipv6(a, b, quiet)
    send_udp(a, 10)
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("10.9.0.2", 53))
        send_udp(a, 10)
        s.settimeout(5)
        for _ in range(10):
            s.recv(10)
    for ns in (a, b, quiet):
        assert {k: v for k, v in rest(ns).items() if v and k != "maxentries"} == {}


def test_invalid_and_error(tracked):
    a, b, quiet = tracked
    before = rest(b)
    with a.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as s:
        for i in range(7):
            s.sendto(segment(5000 + i, 80, 0), ("10.9.0.2", 0))  # no flag at all
    wait_for(lambda: witness(b)["invalid"] - before["invalid"] >= 7, what="7 invalid segments")
    middle = rest(b)
    assert moved(before, middle) == {"invalid": 7}
    with a.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
        for i in range(5):
            s.sendto(struct.pack("!BBHHH", 8, 0, 0xdead, 1, i), ("10.9.0.2", 0))  # a wrong checksum
    wait_for(lambda: witness(b)["error"] - before["error"] >= 5, what="5 broken ICMP packets")
    assert moved(middle, rest(b)).get("error") == 5
    assert {k: v for k, v in rest(quiet).items() if v and k != "maxentries"} == {}


def test_insert_counts_user_space_only(tracked):
    a, b, quiet = tracked
    before = rest(b)
    for port in (1, 2, 3):
        b.sh(f"conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport {port} --dport 9 --timeout 60")
    assert moved(before, rest(b)) == {"insert": 3, "entries": 3}
    b.sh("conntrack -D -p udp -s 192.0.2.1")
    assert moved(before, rest(b)) == {"insert": 3}
    assert rest(quiet)["insert"] == 0


def test_found_grows_with_nat_searches(tracked):
    a, b, quiet = tracked
    nft(b, """table ip n {
	chain pre {
		type nat hook prerouting priority -100
		udp dport 1000-1010 dnat to 10.9.0.2:53
	}
}""")
    before = rest(b)
    # One source port to five ports that become one: four must look for a free port.
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("10.9.0.1", 4444))
        for port in range(1000, 1005):
            s.sendto(b"x", ("10.9.0.2", port))
    wait_for(lambda: int(b.run("conntrack", "-C").stdout) - before["entries"] == 5, what="5 flows")
    grown = moved(before, rest(b))
    assert grown["entries"] == 5 and grown["found"] >= 4
    assert rest(quiet)["found"] == 0


def test_per_cpu_is_what_the_sum_is_made_of(tracked):
    a, b, quiet = tracked
    send_udp(a, 3)
    with a.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as s:
        for i in range(4):
            s.sendto(segment(6000 + i, 80, 0), ("10.9.0.2", 0))
    wait_for(lambda: witness(b)["invalid"] == 4, what="4 invalid segments")
    total = rest(b)
    cpus = by_cpu(b)
    for cpu, theirs in cpus.items():
        mine = ours(b, "-a", "--per-cpu", cpu=cpu)
        assert {WITNESS[k]: v for k, v in mine.items() if k in WITNESS} == {
            k: v for k, v in theirs.items() if k in WITNESS.values()}
    plain = ours(b, "-a", "--per-cpu")
    assert plain == {k: total[k] for k in ("entries", "maxentries")}, "the sum would count twice"


# ---- the table's size: one limit for the whole machine ----

@contextlib.contextmanager
def machine(**sysctls):
    """Sets net.netfilter sysctls of the machine for a while, one test at a time."""
    base = pathlib.Path("/proc/sys/net/netfilter")
    with open(pathlib.Path(tempfile.gettempdir()) / "skoop-conntrack-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = {name: (base / name).read_text() for name in sysctls}
        try:
            for name, value in sysctls.items():
                (base / name).write_text(str(value))
            yield
        finally:
            for name, value in old.items():
                (base / name).write_text(value)


def test_full_table_drops(tracked):
    a, b, quiet = tracked
    listener = b.socket()
    listener.bind(("10.9.0.2", 80))
    listener.listen(20)
    clients = []
    for _ in range(8):
        client = a.socket()
        client.connect(("10.9.0.2", 80))
        client.send(b"x")
        clients.append(client)
    before = rest(b)
    assert before["entries"] == 8
    # All eight are assured, so none makes room.
    with machine(nf_conntrack_max=8):
        send_udp(a, 5)
        wait_for(lambda: witness(b)["drop"] - before["drop"] >= 5, what="5 drops")
        after = rest(b)
        warned = skoop("conntrack", "-n", b.name, "--warn", "100", rc=10)
        skoop("conntrack", "-n", quiet.name, "--warn", "1", rc=0)
    assert moved(before, after) == {"drop": 5, "maxentries": 8 - before["maxentries"]}
    assert "the connection tracking table is 100 % full or more" in warned.stderr and b.name in warned.stderr
    assert {k: v for k, v in rest(quiet).items() if v and k != "maxentries"} == {}
    skoop("conntrack", "-n", b.name, "--warn", "100", rc=0)
    for s in (*clients, listener):
        s.close()


def test_early_drop_makes_room(tracked):
    a, b, quiet = tracked
    # The kernel looks for a victim in few buckets: with two flows in each it finds one.
    with machine(nf_conntrack_buckets=512, nf_conntrack_max=1200):
        send_udp(a, 1200, source=30000)
        wait_for(lambda: int(b.run("conntrack", "-C").stdout) == 1200, what="1200 entries")
        before = rest(b)
        assert (before["earlydrop"], before["drop"]) == (0, 0)
        send_udp(a, 10, source=40000)
        wait_for(lambda: witness(b)["earlydrop"] >= 10, what="10 evicted")
        after = rest(b)
    assert after["drop"] == 0 and after["earlydrop"] >= 10
    assert after["entries"] == 1200 + 10 - after["earlydrop"]
    assert rest(quiet)["earlydrop"] == 0


# ---- two packets of one new flow held until both are inside ----

class Queue:
    """Holds the packets of an nft queue: the messages of nfnetlink_queue, by hand."""

    def __init__(self, ns, number):
        self.number = number
        self.sock = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self.sock.bind((0, 0))
        self.sock.settimeout(10)
        self.send(2, struct.pack("=HHBBH", 8, 1, 1, 0, socket.htons(socket.AF_INET)))  # bind
        self.send(2, struct.pack("=HH", 9, 2) + struct.pack("!IBxxx", 0, 1))  # copy no data of the packets

    def send(self, kind, attrs):
        body = struct.pack("=BBH", 0, 0, socket.htons(self.number)) + attrs
        self.sock.send(struct.pack("=IHHII", 16 + len(body), 3 << 8 | kind, 1, 1, 0) + body)

    def packet(self):
        """The id of the next packet held."""
        while True:
            data = self.sock.recv(65536)
            if struct.unpack_from("=H", data, 4)[0] != 3 << 8:
                continue
            at = 20
            while at < len(data):
                length, kind = struct.unpack_from("=HH", data, at)
                if kind & 0x7fff == 1:
                    return struct.unpack_from("!I", data, at + 4)[0]
                at += length + 3 & ~3

    def accept(self, packet):
        self.send(1, struct.pack("=HH", 12, 2) + struct.pack("!II", 1, packet))

    def close(self):
        self.sock.close()


def test_clash_of_two_first_packets(tracked):
    a, b, quiet = tracked
    rules = """table ip q {
	chain pre {
		type nat hook prerouting priority -100
		udp dport 1000-1001 dnat to 10.9.0.2:54
	}
	chain in {
		type filter hook input priority 200
		udp dport 54 queue num 7
	}
}"""
    if b.run("nft", "-c", "-f", "-", stdin=None, input=rules).returncode:
        pytest.skip("this kernel has no nft queue")
    nft(b, rules)
    queue = Queue(b, 7)
    sink = b.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("10.9.0.2", 54))
    sink.settimeout(10)

    def two(source, *ports):
        """One datagram to each, held until both have an entry that is not in the table yet."""
        before = rest(b)
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("10.9.0.1", source))
            for port in ports:
                s.sendto(str(port).encode(), ("10.9.0.2", port))
        for held in [queue.packet(), queue.packet()]:
            queue.accept(held)
        return before

    # Different flows whose answers would be the same: the second packet is lost.
    before = two(7000, 1000, 1001)
    assert sink.recv(10) == b"1000"
    wait_for(lambda: witness(b)["drop"] > before["drop"], what="a drop")
    assert moved(before, rest(b)) == {"insertfailed": 1, "drop": 1, "entries": 1}
    # Two packets of one flow: settled, which the later kernels count.
    before = two(7001, 54, 54)
    assert [sink.recv(10), sink.recv(10)] == [b"54", b"54"]
    assert moved(before, rest(b)) in ({"entries": 1}, {"entries": 1, "clashresolve": 1})
    queue.close()
    sink.close()
    assert {k: v for k, v in rest(quiet).items() if v and k != "maxentries"} == {}


# ---- less privilege, other kernels, bad files ----

def test_without_privilege_the_file_is_read(tracked):
    a, b, quiet = tracked
    send_udp(a, 6)
    wait_for(lambda: int(b.run("conntrack", "-C").stdout) == 6, what="6 entries")
    child = b.popen("sleep", "60")
    full = rest(b)
    done = run([*NOBODY, tool("conntrack"), "-p", child.pid, "-a", "-o", "json"])
    assert done.returncode == 0, done.stderr
    assert "read from /proc/PID/net/stat/nf_conntrack, because ctnetlink needs CAP_SYS_ADMIN and CAP_NET_ADMIN" in done.stderr
    got = {r["metric"][len(PREFIX):]: r["value"] for r in map(json.loads, done.stdout.splitlines())}
    assert got == full


def fake(folder, stat=None, limit="50\n"):
    """The options for a procfs whose one namespace has these files; None: none."""
    net = {} if stat is None else {"stat/nf_conntrack": stat}
    return fake_proc(folder, net, {"net/netfilter/nf_conntrack_max": limit} if limit else {})


def fixture(kernel):
    return (FIXTURES / f"proc/nf_conntrack/{kernel}").read_text()


EXPECTED = {"found": 0x202, "invalid": 0x303, "insert": 0x505, "insertfailed": 0x606, "drop": 0x707, "earlydrop": 0x808,
            "error": 0x909, "searchrestart": 0xd0d, "entries": 0x2a, "maxentries": 50, "clashresolve": 0x101}


@pytest.mark.parametrize("kernel, more", [("5.10", {}), ("6.1", {"chaintoolong": 0x404})])
def test_files_of_other_kernels(tmp_path, kernel, more):
    recs = records("conntrack", *fake(tmp_path, fixture(kernel)), "-a")
    assert {k[len(PREFIX):]: v for k, v in values(recs).items()} == EXPECTED | more


def test_warn_is_reached_not_passed(tmp_path):
    args = fake(tmp_path, fixture("6.1"))
    done = skoop("conntrack", *args, "--warn", "84", rc=10)  # 42 of 50
    assert "84 % full or more" in done.stderr and "entries" not in done.stderr
    assert skoop("conntrack", *args, "--warn", "85", rc=0).stdout == done.stdout
    for bad in ("0", "101", "80%", "-1", ""):
        assert skoop("conntrack", *args, "--warn", bad, rc=2).stdout == ""


def test_module_that_is_not_loaded(tmp_path):
    done = skoop("conntrack", *fake(tmp_path, limit=None), rc=4)
    assert (done.stdout, done.stderr) == ("", "skoop-conntrack: nf_conntrack is not loaded\n")


def test_limit_that_is_not_told_is_absent(tmp_path):
    recs = records("conntrack", *fake(tmp_path, fixture("6.1"), limit=None))
    assert PREFIX + "maxentries" not in values(recs) and PREFIX + "entries" in values(recs)


@pytest.mark.parametrize("stat", ["", "entries found\n", "entries found\n1 2", "entries found\n1 x\n", "no header\n1 2\n",
                                  "entries found\n1 2\n3\n"])
def test_malformed_file(tmp_path, stat):
    done = skoop("conntrack", *fake(tmp_path, stat), rc=1)
    assert "net/stat/nf_conntrack" in done.stderr and done.stderr.count("\n") == 1
    assert "conntrack_found" not in done.stdout


def test_wrap_of_one_cpu_is_no_step_back(tmp_path):
    """One CPU's 32 bits run over between two rounds: the sum goes on."""
    args = fake(tmp_path, "entries found\n1 fffffffe\n1 10\n")
    stat = tmp_path / "100/net/stat/nf_conntrack"
    with subprocess.Popen([tool("conntrack"), *map(str, args), "-o", "json", "0.5", "3"], stdout=subprocess.PIPE,
                          text=True) as child:
        found = []

        def next_round():
            for line in child.stdout:
                r = json.loads(line)
                if r["metric"] == PREFIX + "found":
                    found.append((r["value"], r["delta"]))
                    return
        next_round()
        stat.write_text("entries found\n1 3\n1 12\n")
        next_round()
        stat.write_text("entries found\n1 4\n1 12\n")
        next_round()
        child.wait(10)
    assert found == [(0xfffffffe + 0x10, None), (0x100000003 + 0x12, 7), (0x100000004 + 0x12, 1)]
