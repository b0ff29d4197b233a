# SPDX-License-Identifier: GPL-2.0-or-later
"""A healthy busy machine gets no warning: bulk TCP, paced UDP and short connections, a minute or (SKOOP_SOAK=1) ten."""
import os
import time

import pytest

from skooplib import wait_for
from snapshotlib import Snapshot

DURATION = 600 if os.environ.get("SKOOP_SOAK") == "1" else 60
WINDOW = 10

# Answers each short request and closes, as an HTTP/1.0 server does.
SERVER = """
import socketserver
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        request = b""
        while not request.endswith(b"\\r\\n\\r\\n"):
            more = self.request.recv(4096)
            if not more:
                return
            request += more
        self.request.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 8000\\r\\n\\r\\n" + b"x" * 8000)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 1024
    daemon_threads = True
server = Server(("10.9.0.2", 8080), Answer)
print("ready", flush=True)
server.serve_forever()
"""

# One connection after the other, each read to its end; some kept open and idle.
CLIENT = """
import socket, sys
idle = [socket.create_connection(("10.9.0.2", 8080)) for _ in range(20)]
n = 0
while True:
    with socket.create_connection(("10.9.0.2", 8080)) as s:
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        got = 0
        while data := s.recv(65536):
            got += len(data)
        assert got > 8000
    n += 1
    if n == 20:
        print("going", flush=True)
"""

# A datagram each millisecond, echoed, with buffers that outlast a second without a CPU; all that came is read.
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
s.bind(("10.9.0.2", 6000))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
"""
PACED = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
s.connect(("10.9.0.2", 6000))
s.setblocking(False)
due = time.monotonic()
while True:
    due += 0.001
    time.sleep(max(0, due - time.monotonic()))
    try:
        s.send(b"x" * 500)
        while True:
            s.recv(2000)
    except BlockingIOError:
        pass
"""


def iperf(ns, *args):
    return ns.popen("iperf3", *args, stdout=-3, stderr=-3)


def listens(ns, port):
    return f":{port} " in ns.run("ss", "-ltn").stdout


def load(a, b):
    """Starts the traffic and waits until all of it flows."""
    for program in (SERVER, ECHO):
        assert b.python(program, stderr=-3).stdout.readline() == "ready\n"
    for port in (5201, 5202):
        iperf(b, "-s", "-p", str(port))
        wait_for(lambda: listens(b, port), what="iperf3")
    iperf(a, "-c", "10.9.0.2", "-p", "5201", "-P", "3", "-t", "0")
    iperf(a, "-c", "10.9.0.2", "-p", "5202", "-R", "-b", "50M", "-t", "0")
    assert a.python(CLIENT, stderr=-3).stdout.readline() == "going\n"
    a.python(PACED, stderr=-3)
    wait_for(lambda: b.run("ss", "-tn", "state", "established").stdout.count(":520") >= 6, what="streams")


def packets(ns, device):
    text = ns.run("cat", f"/sys/class/net/{device}/statistics/tx_packets").stdout
    return int(text)


def test_busy_and_healthy(pair):
    if os.environ.get("SKOOP_VM"):
        pytest.skip("a machine that is emulated is too slow to be busy and healthy")
    a, b, quiet = pair
    load(a, b)
    end = time.monotonic() + DURATION
    while time.monotonic() < end:
        before = packets(a, "va")
        report = Snapshot(a, b, quiet, seconds=WINDOW).report()
        # It was busy indeed.
        assert packets(a, "va") - before > 20000
        alarms = [f for f in report.findings if f["severity"] != "note"]
        assert not alarms, report
        assert report.everything_of(quiet) == []
