# SPDX-License-Identifier: GPL-2.0-or-later
"""Every format of every probe that is built, read by those who will read it: promtool, the strict OpenMetrics parser,
jq, node_exporter, Prometheus, a terminal; and what happens when writing fails or is stopped."""
import fcntl
import functools
import http.server
import io
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import urllib.parse
import urllib.request

import pytest
from prometheus_client import parser as prom_parser
from prometheus_client.openmetrics import parser as om_parser

from skooplib import BUILD, FIXTURES, Netns, run, skoop, tool, wait_for

GOLDEN = FIXTURES / "golden"
FORMATS = ("table", "json", "prom", "openmetrics", "tsv")
TARGET_LABELS = ["target_pod", "target_namespace", "target_node"]
KINDS = {"prom": "text/plain; version=0.0.4",
         "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8"}


def probes():
    return sorted(p.name[len("skoop-"):] for p in BUILD.glob("skoop-*")
                  if p.is_file() and "." not in p.name and os.access(p, os.X_OK))


@functools.cache
def described(probe):
    """{first word: [columns]} of --describe."""
    out = {}
    for line in skoop(probe, "--describe").stdout.splitlines():
        cols = line.split("\t")
        out.setdefault(cols[0], []).append(cols[1:])
    return out


def has_metrics(probe):
    return "metric" in described(probe)


def traces(probe):
    """Runs until it is stopped."""
    return described(probe)["probe"][0][4] == "eBPF"


METRIC_PROBES = [p for p in probes() if has_metrics(p)]
COUNTER_PROBES = [p for p in METRIC_PROBES if not traces(p)]


def once(probe, *args, **kw):
    """One output of a probe. None, once that was checked, if this machine has nothing for it."""
    done = skoop(probe, *(["-d", "0.3"] if traces(probe) else []), *args, rc=None, timeout=60, **kw)
    if done.returncode in (3, 4):
        assert done.stdout == ""
        assert re.fullmatch(rf"(skoop-{probe}: .*\n)+", done.stderr), done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def still():
    """A namespace with a process, two devices and a queue, in which nothing changes."""
    with Netns("still") as ns:
        ns.sh("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; ip link add va type veth peer name vb;"
              "tc qdisc add dev va root pfifo; ip link set va up; ip link set vb up")
        ns.popen("sleep", "600")
        yield ns


# ---- expositions ----

def series(text):
    """{series: value} of an exposition; fails on a series that comes twice."""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert name not in out, f"twice: {name}"
        out[name] = value
    return out


def family_of(sample, openmetrics):
    name = sample.split("{")[0]
    return name[:-len("_total")] if openmetrics and name.endswith("_total") else name


def in_family(sample, family, type_, openmetrics):
    name = sample.split("{")[0]
    if type_ == "histogram":
        return name in {f"{family}_bucket", f"{family}_sum", f"{family}_count"}
    return family_of(sample, openmetrics) == family


def check_grouping(text, openmetrics=False):
    """HELP, TYPE, UNIT of a histogram, samples, family by family; each family once."""
    done, current = set(), None
    lines = text.splitlines()
    if openmetrics:
        assert lines.pop() == "# EOF"
    for line in lines:
        assert line and "\r" not in line
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in done, f"split family {current}"
            done.add(current)
            expect = "# TYPE " + current
        elif line.startswith("# TYPE "):
            assert line.rsplit(" ", 1)[0] == expect
            expect, type_ = None, line.rsplit(" ", 1)[1]
        elif line.startswith("# UNIT "):
            assert openmetrics and type_ == "histogram" and line == f"# UNIT {current} seconds"
        else:
            assert not line.startswith("#")
            assert expect is None and in_family(line, current, type_, openmetrics), line
            labels = re.findall(r'[{,]([a-z_]+)="', line)
            assert labels[:3] == TARGET_LABELS
    return done


def check_promtool(text):
    assert text.strip()
    done = run(["promtool", "check", "metrics"], stdin=None, input=text)
    complaints = (done.stdout + done.stderr).splitlines()
    assert done.returncode in (0, 3), complaints
    for line in complaints:
        assert line.endswith('counter metrics should have "_total" suffix'), line


def parse_openmetrics(text):
    """{family: type, [samples]} by the strict parser."""
    families = list(om_parser.text_fd_to_metric_families(io.StringIO(text, newline="")))
    assert len({f.name for f in families}) == len(families)
    return {f.name: f for f in families}


def check_exposition(probe, text):
    assert text.endswith("\n") and "\n\n" not in text
    series(text)
    check_grouping(text)
    check_promtool(text)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    for cols in described(probe)["metric"]:
        assert types.get(cols[0], cols[1]) == cols[1], cols[0]
    return types


def test_probes_that_always_run_do():
    """Else a machine that can run nothing would pass all the rest."""
    assert METRIC_PROBES
    for probe in {"tcpext", "tcp", "udp", "ip", "sock", "softnet", "netdev", "fd", "io"} & set(probes()):
        for fmt in FORMATS:
            assert once(probe, "-o", fmt), (probe, fmt)


@pytest.mark.parametrize("probe", METRIC_PROBES)
def test_prometheus_text(probe, still):
    text = once(probe, "-o", "prom")
    if text is not None:
        check_exposition(probe, text)


@pytest.mark.parametrize("probe", METRIC_PROBES)
def test_openmetrics(probe, still):
    text = once(probe, "-o", "openmetrics")
    if text is None:
        return
    assert text.endswith("\n# EOF\n") and "\n\n" not in text
    check_grouping(text, openmetrics=True)
    families = parse_openmetrics(text)
    count = len(series(text))
    assert sum(len(f.samples) for f in families.values()) == count
    for cols in described(probe)["metric"]:
        name, type_ = cols[0], cols[1]
        family = families.get(family_of(name, True))
        if family:
            counter = "counter" if name.endswith("_total") else "unknown"
            assert family.type == ("gauge" if type_ == "gauge" else counter), name


def test_probes_without_metrics_refuse_expositions():
    for probe in set(probes()) - set(METRIC_PROBES):
        for fmt in KINDS:
            done = skoop(probe, "-o", fmt, rc=2)
            assert done.stdout == ""
            assert done.stderr == f"skoop-{probe}: has no metrics; use -o table, json or tsv\n"


@pytest.mark.parametrize("probe", METRIC_PROBES)
def test_one_exposition_only(probe, tmp_path):
    for fmt in KINDS:
        for args in (["1"], ["1", "2"]):
            done = skoop(probe, "-o", fmt, *args, rc=2)
            assert done.stdout == "" and done.stderr.count("\n") == 1
    assert skoop(probe, "-o", "openmetrics", "-w", tmp_path / "x.prom", rc=2).stdout == ""
    assert not os.listdir(tmp_path)


# ---- JSON and TSV ----

METRIC_KEYS = ["schema", "kind", "ts", "probe", "metric", "type", "scope", "value", "labels", "netns"]
TSV_COLUMNS = "ts target_node target_namespace target_pod probe metric type value delta labels".split()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def check_record(r, probe, keys):
    assert [key for key in r if key != "mode"] == keys, r  # which a reduced mode adds
    assert (r["schema"], r["kind"], r["probe"]) == (1, "metric", probe)
    assert TIME.fullmatch(r["ts"])
    assert r["type"] in ("counter", "gauge") and r["scope"] in ("netns", "host")
    assert type(r["value"]) is int
    assert list(r["labels"])[:3] == TARGET_LABELS and all(type(v) is str for v in r["labels"].values())
    assert r["netns"] is None or type(r["netns"]) is int and r["netns"] > 0


@pytest.mark.parametrize("probe", METRIC_PROBES)
def test_json(probe, still):
    text = once(probe, "-o", "json")
    if text is None:
        return
    assert text.endswith("}\n")
    done = run(["jq", "-es", 'length>0 and all(.[]; type=="object")'], stdin=None, input=text)
    assert (done.returncode, done.stdout) == (0, "true\n"), done.stderr
    records = [json.loads(line) for line in text.splitlines()]
    metrics = [r for r in records if r["kind"] == "metric"]
    rate = traces(probe)
    keys = METRIC_KEYS[:8] + ["delta"] * rate + METRIC_KEYS[8:]
    for r in metrics:
        check_record(r, probe, keys)
    assert len({r["ts"] for r in metrics}) == 1
    order = [c[0] for c in described(probe)["metric"]]
    names = list(dict.fromkeys(r["metric"] for r in metrics))
    assert names == [n for n in order if n in names]
    for name in names:
        targets = [tuple(r["labels"][k].encode() for k in ("target_namespace", "target_pod"))
                   for r in metrics if r["metric"] == name]
        assert targets == sorted(targets), name


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_json_differences(probe, still):
    text = once(probe, "-j", "-n", still.name, "0.05", "3")
    if text is None:
        return
    records = [json.loads(line) for line in text.splitlines()]
    rounds = {ts: [r for r in records if r["ts"] == ts] for ts in dict.fromkeys(r["ts"] for r in records)}
    assert len(rounds) == 3
    before = {}
    for number, round_ in enumerate(rounds.values()):
        for r in round_:
            check_record(r, probe, METRIC_KEYS[:8] + ["delta"] + METRIC_KEYS[8:])
            key = (r["metric"], tuple(r["labels"].items()), r["netns"])
            if number and r["type"] == "counter" and key in before:
                assert r["delta"] == r["value"] - before[key]
            elif not number or r["type"] == "gauge":
                assert r["delta"] is None
            before[key] = r["value"]


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_tsv(probe, still):
    text = once(probe, "-o", "tsv")
    if text is None:
        return
    head, *lines = text.splitlines()
    assert head.split("\t") == TSV_COLUMNS
    for line in lines:
        cols = line.split("\t")
        assert len(cols) == len(TSV_COLUMNS) and all(cols)
        assert TIME.fullmatch(cols[0]) and cols[4] == probe and re.fullmatch(r"-?\d+", cols[7])
    bare = once(probe, "-o", "tsv", "-H")
    assert TIME.match(bare)


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_all_formats_tell_the_same(probe, still):
    """Of a namespace where nothing changes: the same series with the same values."""
    out = {fmt: once(probe, "-o", fmt, "-n", still.name) for fmt in FORMATS}
    if None in out.values():
        assert set(out.values()) == {None}
        return
    mine = f'target_pod="{still.pod}"'
    prom = {k: v for k, v in series(out["prom"]).items() if mine in k}
    assert {k: v for k, v in series(out["openmetrics"]).items() if mine in k} == prom

    def as_prom(name, labels):
        quoted = ",".join('%s="%s"' % (k, re.sub(r'(["\\])', r"\\\1", v)) for k, v in labels.items())
        return f"{name}{{{quoted}}}"

    records = [json.loads(line) for line in out["json"].splitlines()]
    assert {as_prom(r["metric"], r["labels"]): str(r["value"]) for r in records
            if r["labels"]["target_pod"] == still.pod} == prom
    rows = [dict(zip(TSV_COLUMNS, line.split("\t"))) for line in out["tsv"].splitlines()[1:]]
    got = {}
    for row in rows:
        labels = {k: row[k] for k in TARGET_LABELS}
        if row["labels"] != "-":
            labels.update(part.split("=", 1) for part in row["labels"].split(","))
        if row["target_pod"] == still.pod:
            got[as_prom(row["metric"], labels)] = row["value"]
    assert got == prom


# ---- real consumers ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None


class Daemon:
    """A server that logs into a file and ends with the block."""

    def __init__(self, argv, log):
        self.log = log
        with open(log, "wb") as f:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


@pytest.fixture(scope="module")
def written(tmp_path_factory, still):
    """Files of all probes as -w writes them: {format: {probe: path}}; one directory a format."""
    out = {}
    for fmt in KINDS:
        where = tmp_path_factory.mktemp(fmt)
        out[fmt] = {}
        for probe in METRIC_PROBES:
            path = where / f"skoop_{probe}.{'prom' if fmt == 'prom' else 'om'}"
            text = once(probe, "-o", fmt, "-w", path)
            assert not text, "with -w, standard output is empty"
            if text is not None:
                out[fmt][probe] = path
        shutil.copy(GOLDEN / ("round.prom" if fmt == "prom" else "round.om"), where / f"skoop_golden.{path.suffix[1:]}")
        out[fmt]["golden"] = where / f"skoop_golden.{path.suffix[1:]}"
    return out


def test_written_files_can_be_read_by_all(written):
    for paths in written.values():
        for probe, path in paths.items():
            if probe != "golden":
                assert path.stat().st_mode & 0o777 == 0o644
                assert sorted(p.name for p in path.parent.iterdir() if p.name.startswith(".")) == []


def test_node_exporter_collects_every_series(written, tmp_path):
    where = written["prom"]["golden"].parent
    port = free_port()
    with Daemon(["prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                 f"--collector.textfile.directory={where}", f"--web.listen-address=127.0.0.1:{port}"],
                tmp_path / "log") as exporter:
        text = wait_for(lambda: get(f"http://127.0.0.1:{port}/metrics"), 30, "node_exporter")
        assert re.search(r"^node_textfile_scrape_error 0$", text, re.M), exporter.log.read_text()
        got = {s.name: set() for f in prom_parser.text_string_to_metric_families(text) for s in f.samples}
        for family in prom_parser.text_string_to_metric_families(text):
            for s in family.samples:
                got[s.name].add((tuple(sorted(s.labels.items())), s.value))
        for path in written["prom"].values():
            assert f'node_textfile_mtime_seconds{{file="{path}"}}' in text
            for family in prom_parser.text_string_to_metric_families(path.read_bytes().decode()):
                for s in family.samples:
                    # A label without a value is none to the exporter, and it fills up what others of the family have.
                    want = {k: v for k, v in s.labels.items() if v}
                    assert any(value == s.value and {k: v for k, v in labels if v} == want
                               for labels, value in got[s.name]), s
        assert "collected before" not in exporter.log.read_text()


class Files(http.server.BaseHTTPRequestHandler):
    """Serves /FORMAT/PROBE with the content type of the format."""
    files = {}

    def do_GET(self):
        fmt, probe = self.path.strip("/").split("/")
        body = self.files[fmt][probe].read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", KINDS[fmt])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def served(written):
    handler = type("Written", (Files,), {"files": written})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def prometheus_query(port, query):
    answer = get(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    return json.loads(answer)["data"]["result"] if answer else []


def test_prometheus_scrapes_every_series(written, served, tmp_path):
    port = free_port()
    jobs = [(fmt, probe) for fmt, paths in written.items() for probe in paths]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
              "scrape_configs": [{"job_name": f"{fmt}-{probe}", "metrics_path": f"/{fmt}/{probe}",
                                  "static_configs": [{"targets": [f"127.0.0.1:{served}"]}]} for fmt, probe in jobs]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with Daemon(["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log") as server:
        def health():
            answer = get(f"http://127.0.0.1:{port}/api/v1/targets?state=active")
            targets = json.loads(answer)["data"]["activeTargets"] if answer else []
            return len(targets) == len(jobs) and all(t["health"] != "unknown" for t in targets) and targets

        for t in wait_for(health, 90, "the first scrapes: " + str(server.log)):
            assert t["health"] == "up", (t["scrapePool"], t["lastError"])
        for fmt, probe in jobs:
            have = {}
            for r in prometheus_query(port, f'{{job="{fmt}-{probe}",__name__=~"kubeskoop_.*"}}'):
                m = r["metric"]
                labels = {k: v for k, v in m.items() if k not in ("job", "instance", "__name__")}
                have[(m["__name__"], tuple(sorted(labels.items())))] = float(r["value"][1])
            text = written[fmt][probe].read_bytes().decode()
            parse = parse_openmetrics if fmt == "openmetrics" else None
            families = parse(text).values() if parse else prom_parser.text_fd_to_metric_families(
                io.StringIO(text, newline=""))
            want = {(real_name(s.name, text), tuple(sorted((k, v) for k, v in s.labels.items() if v))): float(s.value)
                    for f in families for s in f.samples}
            assert have == want, (fmt, probe)


def real_name(name, text):
    """The 0.0.4 parser of Python calls every counter's sample …_total."""
    return name if f"\n{name}{{" in "\n" + text else name[:-len("_total")]


# ---- hostile names ----

HOSTILE = b'q"b\\n\x1b[1m\xff,='


@pytest.fixture(scope="module")
def hostile():
    """A namespace with a device and a process nobody would name so in good faith."""
    with Netns("odd") as ns:
        name = os.fsdecode(HOSTILE)
        for argv in (["ip", "link", "add", name, "type", "veth", "peer", "name", "vp"],
                     ["tc", "qdisc", "add", "dev", name, "root", "pfifo"]):
            done = ns.run(*argv)
            assert done.returncode == 0, done.stderr
        code = "import ctypes, time\nctypes.CDLL(None).prctl(15, %r)\ntime.sleep(600)" % HOSTILE
        comm = f"/proc/{ns.popen('python3', '-c', code).pid}/comm"
        wait_for(lambda: pathlib.Path(comm).read_bytes() == HOSTILE + b"\n", what="the name of a process")
        yield ns


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_hostile_names_break_no_format(probe, hostile):
    args = ["-n", hostile.name, *(["--by", "pid"] if probe == "fd" else [])]
    prom = once(probe, *args, "-o", "prom")
    if prom is None:
        return
    check_exposition(probe, prom)
    om = once(probe, *args, "-o", "openmetrics")
    parse_openmetrics(om)
    check_grouping(om, openmetrics=True)
    shown = HOSTILE.decode("utf-8", "replace")
    named = [r for r in map(json.loads, once(probe, *args, "-j").splitlines())
             if shown in r["labels"].values()]
    names = {v for f in parse_openmetrics(om).values() for s in f.samples for v in s.labels.values()}
    assert (shown in names) == bool(named)
    if probe in ("netdev", "qdisc", "fd"):
        assert named
    raw = subprocess.run([tool(probe), *args, "-o", "tsv"], capture_output=True, timeout=30).stdout
    assert all(line.count(b"\t") == len(TSV_COLUMNS) - 1 for line in raw.splitlines())
    assert (rb'q"b\\n\x1b[1m\xff\x2c=' in raw) == bool(named)
    table = subprocess.run([tool(probe), *args, "-z"], capture_output=True, timeout=30).stdout
    assert (b'q"b\\n?[1m?,=' in table) == bool(named)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f\xff]", table)


@pytest.mark.parametrize("fmt", KINDS)
def test_hostile_golden_expositions(fmt):
    """All that a label can hold, as the unit tests print it, before the same judges."""
    text = (GOLDEN / ("round.prom" if fmt == "prom" else "round.om")).read_bytes().decode()
    series(text)
    check_grouping(text, fmt == "openmetrics")
    if fmt == "prom":
        check_promtool(text)
        families = prom_parser.text_fd_to_metric_families(io.StringIO(text, newline=""))
    else:
        families = parse_openmetrics(text).values()
    pods = {s.labels["target_pod"] for f in families for s in f.samples}
    assert 'netns:q"b\\n\nt\te\x1br\ufffdx\ufffd\ufffdy\xe4' in pods


@pytest.mark.parametrize("fmt", KINDS)
def test_golden_histograms(fmt):
    """Two disks, one with a name of all that a label can hold, and a pod: all bounds, cumulative, before the same judges."""
    text = (GOLDEN / ("hist.prom" if fmt == "prom" else "hist.om")).read_bytes().decode()
    series(text)
    assert "skoop_made_up_latency_seconds" in check_grouping(text, fmt == "openmetrics")
    if fmt == "prom":
        check_promtool(text)
        families = {f.name: f for f in prom_parser.text_fd_to_metric_families(io.StringIO(text, newline=""))}
    else:
        families = parse_openmetrics(text)
        assert families["skoop_made_up_latency_seconds"].unit == "seconds"
    latency, wait = families["skoop_made_up_latency_seconds"], families["skoop_made_up_wait_seconds"]
    assert latency.type == wait.type == "histogram"
    disks = {s.labels["disk"] for s in latency.samples}
    assert disks == {"vda", 'q"b\\n\nt\te\x1br\ufffdx\ufffd\ufffdy\xe4'}
    for disk, total, count in (("vda", 0.0123, 5), *((d, 121.000000001, 4) for d in disks - {"vda"})):
        mine = [s for s in latency.samples if s.labels["disk"] == disk]
        bounds = [(float(s.labels["le"]), s.value) for s in mine if s.name.endswith("_bucket")]
        assert [b for b, _ in bounds] == [2 ** n / 1e9 for n in range(10, 36)] + [float("inf")]
        assert [n for _, n in bounds] == sorted(n for _, n in bounds) and bounds[-1][1] == count
        assert {s.name.rsplit("_", 1)[1]: s.value for s in mine if "le" not in s.labels} == {"sum": total, "count": count}
    vda = {float(s.labels["le"]): s.value for s in latency.samples if s.labels["disk"] == "vda" and "le" in s.labels}
    assert (vda[0.000131072], vda[0.000262144], vda[0.001048576], vda[0.016777216]) == (0, 3, 4, 5)


@pytest.mark.parametrize("name", ["round.json", "rounds.json", "events.json", "hist.json", "hists.json"])
def test_golden_json_is_json(name):
    text = (GOLDEN / name).read_text()
    done = run(["jq", "-es", 'length>0 and all(.[]; type=="object")'], stdin=None, input=text)
    assert (done.returncode, done.stdout) == (0, "true\n")
    records = [json.loads(line) for line in text.splitlines()]
    assert all(r["labels"]["target_node"] == "node-a" for r in records)
    if name == "events.json":
        assert len({tuple(r) for r in records}) == 1, "the same keys in every record"
        assert records[0]["big"] == 2 ** 64 - 1


# ---- the shell ----

@pytest.mark.parametrize("probe", probes())
def test_a_full_disk_is_an_error(probe):
    for fmt in FORMATS:
        if fmt in KINDS and not has_metrics(probe) or traces(probe) and fmt not in KINDS:
            continue
        with open("/dev/full", "wb") as full:
            done = subprocess.run([tool(probe), *(["-d", "0.3"] if traces(probe) else []), "-o", fmt], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=30)
        if done.returncode in (3, 4):
            continue
        assert done.returncode == 1
        assert done.stderr.endswith(f"skoop-{probe}: write error: No space left on device\n")


@pytest.mark.parametrize("probe", probes())
@pytest.mark.parametrize("args", [[], ["--help"], ["--version"], ["--describe"]])
def test_a_full_disk_or_closed_output_is_an_error_for_every_answer(probe, args):
    if not args and traces(probe):
        args = ["-d", "0.3"]
    for redirect in (">/dev/full", ">&-") if args else (">&-",):
        if traces(probe) and args[0] == "-d" and redirect != ">&-":
            continue
        done = run(["sh", "-c", f'exec "$0" "$@" {redirect}', tool(probe), *args])
        assert done.returncode == 1, (args, redirect, done.stderr)
        assert re.search(rf"^skoop-{probe}: write error: (No space left on device|Bad file descriptor)$",
                         done.stderr, re.M)


@pytest.mark.parametrize("probe", COUNTER_PROBES)
@pytest.mark.parametrize("fmt", ["table", "json", "tsv"])
def test_head_ends_it_at_once(probe, fmt, still):
    """Not at its next line: with a minute between rounds the reader is gone long before."""
    if once(probe) is None:
        return
    start = time.monotonic()
    done = run(["bash", "-c", '"$0" -n "$1" -z -o "$2" 60 | head -1; echo "${PIPESTATUS[0]}"', tool(probe),
                still.name, fmt], timeout=20)
    line, code = done.stdout.splitlines()
    assert line and code == "0" and done.stderr == ""
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("probe", probes())
def test_bad_usage_prints_nothing_on_stdout(probe):
    for args in (["--no-such-option"], ["-o", "csv"], ["-o", "prom", "-o"], ["0"], ["-1"], ["1", "0"], ["x"],
                 ["--color=blue"], ["-w", "/tmp/skoop-x"], ["-d", "0"]):
        done = skoop(probe, *args, rc=2)
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"skoop-{probe}: "), done.stderr


def file_size_limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_a_limit_on_file_size_is_a_write_error(probe, tmp_path):
    path = tmp_path / "x.prom"
    path.write_text("old\n")
    args = [tool(probe), *(["-d", "0.3"] if traces(probe) else []), "-o", "prom"]
    done = run([*args, "-w", path], preexec_fn=file_size_limit)
    if done.returncode in (3, 4):
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"skoop-{probe}: write error: {path}: File too large\n")
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["x.prom"]
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run(args, stdout=out, stderr=subprocess.PIPE, preexec_fn=file_size_limit, text=True,
                              timeout=30)
    assert done.returncode == 1
    assert done.stderr.endswith("write error: File too large\n")


def test_a_full_file_system_keeps_the_old_file(tmp_path):
    script = """
        mount -t tmpfs -o size=64k none "$1"
        cd "$1"
        "$0" -o prom -w x.prom
        sum=$(cksum <x.prom)
        dd if=/dev/zero of=fill bs=4k 2>/dev/null || true
        code=0
        "$0" -o prom -w x.prom || code=$?
        [ "$sum" = "$(cksum <x.prom)" ]
        rm fill
        echo "$code" *  .[!.]*
    """
    done = run(["unshare", "-m", "sh", "-ec", script, tool("tcpext"), str(tmp_path)])
    assert done.stdout == "1 x.prom .[!.]*\n", done.stderr
    assert done.stderr == "skoop-tcpext: write error: x.prom: No space left on device\n"


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "directory", "dangling"])
def test_only_regular_files_are_replaced(kind, tmp_path):
    path = tmp_path / "x.prom"
    (tmp_path / "real").write_text("old\n")
    if kind == "link":
        path.symlink_to("real")
    elif kind == "dangling":
        path.symlink_to("none")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    before = os.lstat(path)
    done = skoop("tcpext", "-o", "prom", "-w", path, rc=2)
    assert done.stderr == f"skoop-tcpext: {path}: -w replaces regular files only\n"
    assert os.lstat(path).st_ino == before.st_ino
    assert (tmp_path / "real").read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["real", "x.prom"]


# ---- stopping ----

def stop(child, sig=signal.SIGTERM):
    child.send_signal(sig)
    return child.wait(10)


@pytest.mark.parametrize("probe", COUNTER_PROBES)
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_loses_nothing(probe, sig, tmp_path, still):
    path = tmp_path / "out"
    if once(probe) is None:
        return
    with open(path, "wb") as out:
        child = subprocess.Popen([tool(probe), "-n", still.name, "-j", "0.01"], stdout=out, stderr=subprocess.PIPE,
                                 text=True)
    try:
        wait_for(lambda: len({line[:70] for line in path.read_bytes().split(b"\n")}) > 4, what="three rounds")
        assert stop(child, sig) == 0
        assert child.stderr.read() == ""
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
    text = path.read_text()
    assert text.endswith("}\n")
    rounds = {}
    for line in text.splitlines():
        r = json.loads(line)
        rounds.setdefault(r["ts"], []).append((r["metric"], tuple(r["labels"].items())))
    assert len({tuple(r) for r in rounds.values()}) == 1, "every round is whole"


@pytest.mark.parametrize("probe", COUNTER_PROBES)
def test_a_stop_leaves_the_file_whole(probe, tmp_path, still):
    path = tmp_path / "x.prom"
    if once(probe) is None:
        return
    for _ in range(5):
        child = subprocess.Popen([tool(probe), "-o", "prom", "-w", path, "-n", still.name, "0.001"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            wait_for(path.exists, what="the file")
            assert stop(child) == 0
            assert child.stdout.read() == ""
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        assert os.listdir(tmp_path) == ["x.prom"]
        check_exposition(probe, path.read_text())
        path.unlink()


def test_a_file_that_is_read_all_the_time_is_never_half(tmp_path, still):
    path = tmp_path / "x.om"
    child = subprocess.Popen([tool("tcpext"), "-a", "-o", "openmetrics", "-w", path, "0.001"])
    try:
        wait_for(path.exists, what="the file")
        inodes = []

        def look():
            with open(path) as f:
                inode = os.fstat(f.fileno()).st_ino
                assert f.read().endswith("\n# EOF\n")
            if inode not in inodes[-1:]:
                inodes.append(inode)
            return len(inodes) > 50

        end = time.monotonic() + 60
        while not look():
            assert time.monotonic() < end, f"{len(inodes)} files in a minute"
        assert stop(child) == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("nonblock", [False, True])
def test_a_slow_reader_gets_every_byte(nonblock):
    """A pipe of one page, read in pieces with pauses; without blocking, stdio would lose what does not fit."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    if nonblock:
        os.set_blocking(writer, False)
    child = subprocess.Popen([tool("tcpext"), "-a", "-z", "-j", "0.01", "3"], stdout=writer)
    os.close(writer)
    text = b""
    try:
        while True:
            piece = os.read(reader, 3000)
            if not piece:
                break
            text += piece
            time.sleep(0.001)
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        os.close(reader)
    records = [json.loads(line) for line in text.decode().splitlines()]
    rounds = {}
    for r in records:
        rounds.setdefault(r["ts"], set()).add((r["metric"], tuple(r["labels"].items())))
    assert len(text) > 3 * 4096 and len(rounds) == 3
    names = [{metric for metric, _ in r} for r in rounds.values()]
    assert names[0] == names[1] == names[2]


# ---- the terminal ----

def on_terminal(argv, columns, lines=24, **env):
    """What a command prints on a terminal of that size."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    child = subprocess.Popen([str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave,
                             env={**os.environ, "TERM": "xterm", **env})
    os.close(slave)
    out = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(master)
    assert child.wait(30) == 0
    return out.decode().replace("\r\n", "\n")


def test_only_a_terminal_cuts_and_repeats_headers(still):
    argv = [tool("tcpext"), "-z", "-n", still.name]
    piped = run(argv).stdout
    seen = on_terminal(argv, 40, NO_COLOR="1")
    assert "\u2026" not in piped and piped.count("METRIC") == 1
    assert "\u2026" in seen and seen.count("METRIC") > 1
    assert max(map(len, seen.splitlines())) <= 40
    assert on_terminal(argv, 200, 200, NO_COLOR="1") == piped


def test_color_is_for_terminals(still):
    argv = [tool("tcpext"), "-z", "-n", still.name]
    assert "\033[1m" in on_terminal(argv, 80, NO_COLOR="")
    assert "\033" not in on_terminal(argv, 80, NO_COLOR="1")
    assert "\033" not in on_terminal(argv, 80, NO_COLOR="", TERM="dumb")
    assert "\033" not in on_terminal([*argv, "--color=never"], 80, NO_COLOR="")
    assert "\033" not in run(argv).stdout
    assert "\033[1m" in run([*argv, "--color=always"]).stdout
    for fmt in FORMATS[1:]:
        assert "\033" not in run([*argv, "--color=always", "-o", fmt]).stdout


def test_zero_rows_are_hidden(still):
    assert skoop("tcpext", "-n", still.name).stdout.split() == ["NAMESPACE", "POD", "METRIC", "VALUE"]
    shown = skoop("tcpext", "-z", "-n", still.name).stdout.splitlines()
    assert len(shown) == 1 + len(once("tcpext", "-n", still.name, "-j").splitlines())
    assert skoop("tcpext", "-zH", "-n", still.name).stdout.splitlines() == shown[1:]
    timed = skoop("tcpext", "-zT", "-n", still.name).stdout.splitlines()
    assert timed[0].split()[0] == "TIME"
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  ", line) for line in timed[1:])
