# SPDX-License-Identifier: GPL-2.0-or-later
"""skoop-qdisc against tc -s qdisc in real namespaces."""
import json
import socket

import pytest

from skooplib import NOBODY, records, run, skoop, tool, values, wait_for, without_ipv6

pytestmark = pytest.mark.kernels

PREFIX = "kubeskoop_qdisc_"
NAMES = ("bytes", "packets", "drops", "qlen", "backlog", "overlimits", "requeues")


def parent_of(q):
    """The parent as our label has it."""
    if q.get("root"):
        return "root"
    return q.get("parent") or q.get("ingress_block") or "ffff:fff1"


def witness(ns):
    """{(device, kind, handle, parent): values} as tc has them."""
    out = {}
    for q in json.loads(ns.run("tc", "-s", "-j", "qdisc", "show").stdout):
        key = (q["dev"], q["kind"], q["handle"], parent_of(q))
        assert key not in out
        out[key] = {name: q[name] for name in NAMES}
    return out


def ours(ns, *args):
    """The same from our side, without --tree by device and kind."""
    out = {}
    for r in records("qdisc", "-n", ns.name, *args):
        labels = r["labels"]
        assert labels["target_pod"] == ns.pod
        key = tuple(labels[k] for k in ("device", "kind", "handle", "parent") if k in labels)
        row = out.setdefault(key, {})
        name = r["metric"][len(PREFIX):]
        assert name not in row
        row[name] = r["value"]
    return out


def read_all(ns):
    """Everything at once, between two equal answers of the witness; None if something moved meanwhile."""
    theirs = witness(ns)
    mine = ours(ns, "--tree", "-a", "-z"), ours(ns, "-a", "-z"), ours(ns, "-a")
    return (theirs, *mine) if witness(ns) == theirs else None


def agree(ns):
    """Every qdisc of a namespace at rest, as both say."""
    theirs, tree, roots, default = wait_for(lambda: read_all(ns), timeout=30, what="qdiscs at rest")
    assert tree == theirs
    expected = {key[:2]: row for key, row in theirs.items() if key[3] in ("root", "ffff:fff1")}
    assert roots == expected
    assert default == {key: row for key, row in expected.items() if key[1] != "noqueue"}
    return theirs


@pytest.fixture
def wired(pair):
    a, b, quiet = pair
    without_ipv6(a, b, quiet)
    mac = json.loads(b.run("ip", "-j", "link", "show", "vb").stdout)[0]["address"]
    a.sh(f"ip neigh replace 10.9.0.2 lladdr {mac} nud permanent dev va")
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("10.9.0.2", 9))
        yield a, b, quiet


def send(ns, count, size=500):
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(count):
            s.sendto(b"x" * size, ("10.9.0.2", 9))


def test_shaper_drops_what_does_not_fit(wired):
    a, b, quiet = wired
    a.sh("tc qdisc add dev va root tbf rate 8kbit burst 1600 limit 2000")
    send(a, 20)
    row = ours(a, "-a")[("va", "tbf")]
    # 542 bytes each: two pass at once, three fit in the queue of 2000 bytes, fifteen do not.
    assert row["drops"] == 15
    assert row["overlimits"] > 0 and row["qlen"] >= 1 and row["backlog"] == row["qlen"] * 542
    assert row["packets"] + row["qlen"] == 5
    # Once it has drained: to the byte.
    wait_for(lambda: witness(a)[("va", "tbf", next(k[2] for k in witness(a) if k[1] == "tbf"), "root")]["qlen"] == 0,
             what="an empty queue")
    after = agree(a)
    tbf = next(row for key, row in after.items() if key[1] == "tbf")
    assert (tbf["packets"], tbf["bytes"], tbf["drops"]) == (5, 5 * 542, 15)
    # Neither the peer nor the third has a queue at all.
    assert ours(b) == {} and ours(quiet) == {}
    agree(b)
    agree(quiet)


def test_wide_queue_drops_nothing(wired):
    a, b, quiet = wired
    a.sh("tc qdisc add dev va root pfifo limit 1000")
    send(a, 20)
    row = agree(a)
    key = next(k for k in row if k[1] == "pfifo")
    assert row[key] == dict(bytes=20 * 542, packets=20, drops=0, qlen=0, backlog=0, overlimits=0, requeues=0)
    assert ours(quiet) == {}


def test_classes_and_their_queues(wired):
    """htb with two leaves, one of which shapes and drops: the device counts once, the tree shows who dropped."""
    a, b, quiet = wired
    a.sh("""tc qdisc add dev va root handle 1: htb default 10
	tc class add dev va parent 1: classid 1:10 htb rate 100mbit
	tc class add dev va parent 1: classid 1:20 htb rate 100mbit
	tc qdisc add dev va parent 1:10 handle 10: tbf rate 8kbit burst 1600 limit 2000
	tc qdisc add dev va parent 1:20 handle 20: pfifo limit 5""")
    send(a, 20)
    wait_for(lambda: witness(a)[("va", "htb", "1:", "root")]["qlen"] == 0, what="an empty queue")
    rows = agree(a)
    root, leaf = rows[("va", "htb", "1:", "root")], rows[("va", "tbf", "10:", "1:10")]
    assert leaf["drops"] == root["drops"] == 15 and leaf["packets"] == root["packets"] == 5
    assert rows[("va", "pfifo", "20:", "1:20")]["packets"] == 0
    assert set(ours(a)) == {("va", "htb")}


def test_queues_of_many_rings(wired):
    """mq has a child for each ring, without a handle of their own; their sum is the root's."""
    a, b, quiet = wired
    a.sh("""ip link add vq numtxqueues 4 type veth peer name vp numrxqueues 4
	ip link set vp up; ip link set vq up; ip addr add 10.8.0.1/24 dev vq
	ip neigh replace 10.8.0.2 lladdr 02:00:00:00:00:02 nud permanent dev vq
	tc qdisc replace dev vq root handle 5: mq
	tc qdisc replace dev vq parent 5:1 pfifo limit 100""")
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in range(1000, 1040):
            s.sendto(b"x" * 100, ("10.8.0.2", port))
    rows = {k: v for k, v in agree(a).items() if k[0] == "vq"}
    children = [v for k, v in rows.items() if k[3] != "root"]
    root = rows[("vq", "mq", "5:", "root")]
    assert len(children) == 4 and root["packets"] == 40
    for name in NAMES:
        assert root[name] == sum(c[name] for c in children)
    assert ours(a)[("vq", "mq")]["packets"] == 40
    assert [k for k in ours(a) if k[0] == "vq"] == [("vq", "mq")]


@pytest.mark.parametrize("kind", ["clsact", "ingress"])
def test_ingress_stands_beside_the_root(wired, kind):
    a, b, quiet = wired
    b.sh(f"tc qdisc add dev vb {kind}; tc qdisc add dev vb root pfifo")
    # It counts only what a filter may look at.
    b.sh("tc filter add dev vb ingress protocol ip u32 match u32 0 0 flowid :1")
    send(a, 7)
    rows = agree(b)
    assert [k[1] for k in rows if k[0] == "vb"].count(kind) == 1
    assert ours(b)[("vb", kind)]["packets"] == 7
    assert set(ours(b)) == {("vb", kind), ("vb", "pfifo")}


def test_every_kind_of_this_kernel(wired):
    a, b, quiet = wired
    kinds = ["pfifo", "bfifo", "pfifo_fast", "tbf rate 1gbit burst 100k limit 100k", "htb", "prio", "fq_codel", "fq",
             "codel", "sfq", "cake", "netem delay 1ms", "hfsc", "drr", "pie"]
    tried = []
    for kind in kinds:
        if a.sh(f"tc qdisc replace dev va root {kind}", check=False).returncode:
            continue
        send(a, 11)
        name = kind.split()[0]
        wait_for(lambda: all(r["qlen"] == 0 for r in witness(a).values()), what=f"an empty {name}")
        rows = agree(a)
        passed = sum(r["packets"] + r["drops"] for k, r in rows.items() if k[0] == "va" and k[3] == "root")
        assert passed == 11, name
        tried.append(name)
        a.sh("tc qdisc del dev va root")
    assert {"pfifo", "tbf", "htb"} <= set(tried)


def test_names_that_need_care(wired):
    a, b, quiet = wired
    for name in ('q"uote', "back\\sl", "per,cent", "a.b-c_d@e"):
        a.run("ip", "link", "add", name, "type", "veth", "peer", "name", "p" + str(abs(hash(name)) % 1000000))
        a.run("ip", "link", "set", name, "up")
        a.run("tc", "qdisc", "add", "dev", name, "root", "pfifo")
    agree(a)
    assert {k[0] for k in ours(a)} == {'q"uote', "back\\sl", "per,cent", "a.b-c_d@e"}


def test_four_hundred_queues(wired):
    """More than one part of a dump."""
    a, b, quiet = wired
    batch = "".join(f"link add x{i} type veth peer name y{i}\nlink set x{i} up\n" for i in range(400))
    assert a.run("ip", "-batch", "-", stdin=None, input=batch).returncode == 0
    batch = "".join(f"qdisc add dev x{i} root pfifo\n" for i in range(400))
    assert a.run("tc", "-batch", "-", stdin=None, input=batch).returncode == 0
    assert len([k for k in agree(a) if k[1] == "pfifo"]) == 400


def test_without_privilege(wired):
    a, b, quiet = wired
    a.sh("tc qdisc add dev va root pfifo")
    child = a.popen("sleep", "60")
    done = run([*NOBODY, tool("qdisc"), "-p", child.pid])
    assert done.returncode == 3 and "CAP_SYS_ADMIN" in done.stderr and done.stdout == ""
    # The own namespace needs none.
    inside = a.run(*NOBODY, tool("qdisc"), "-n", "/proc/self/ns/net", "-o", "json")
    assert inside.returncode == 0, inside.stderr
    assert json.loads(inside.stdout.splitlines()[0])["labels"]["device"] == "va"


def test_values_and_labels_once(wired):
    a, b, quiet = wired
    a.sh("tc qdisc add dev va root pfifo; tc qdisc add dev va clsact")
    got = values(records("qdisc", "-n", a.name), pod=a.pod, device="va", kind="pfifo")
    assert list(got) == [PREFIX + name for name in NAMES[:6]]
    assert skoop("qdisc", "-n", quiet.name, "-o", "json").stdout == ""
