# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP peer written here, segment by segment: what no kernel would send. It lives at an address that neither
namespace has, behind the device of one of them, so that no kernel answers in its stead."""
import collections
import itertools
import os
import socket
import struct
import time

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86dd
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip_header(src, dst, proto, length, total=None):
    """An IP header for `length` bytes of payload; `total` is what an IPv4 one claims instead."""
    if ":" in src:
        return struct.pack("!IHBB16s16s", 6 << 28, length, proto, 64, packed(src), packed(dst))
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, (length + 20) if total is None else total, os.getpid() & 0xffff, 0x4000,
                       64, proto, 0, packed(src), packed(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def tcp_segment(src, dst, sport, dport, seq, ack, flags, window=65535, options=b"", data=b"", bad_checksum=False):
    options += b"\1" * (-len(options) % 4)
    bits = sum(FLAGS[f] for f in flags)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, (20 + len(options)) // 4 << 4, bits,
                       window, 0, 0) + options
    pseudo = packed(src) + packed(dst) + struct.pack("!HH", 6, len(head) + len(data))
    total = checksum(pseudo + head + data)
    if bad_checksum:
        total ^= 0x5555
    return head[:16] + struct.pack("!H", total) + head[18:] + data


class Segment:
    """A received one: flags as letters, seq, ack, window, data, and its SACK-permitted and timestamp options."""

    def __init__(self, packet):
        v6 = packet[0] >> 4 == 6
        ihl = 40 if v6 else (packet[0] & 15) * 4
        total = 40 + int.from_bytes(packet[4:6], "big") if v6 else int.from_bytes(packet[2:4], "big")
        self.sport, self.dport, self.seq, self.ack, offset, bits, self.window = struct.unpack_from("!HHIIBBH", packet, ihl)
        self.flags = "".join(f for f, bit in FLAGS.items() if bits & bit)
        self.data = packet[ihl + (offset >> 4) * 4:total or None]
        self.tsval = None
        options = packet[ihl + 20:ihl + (offset >> 4) * 4]
        while options and options[0]:
            if options[0] == 1:
                options = options[1:]
                continue
            if options[0] == 8:
                self.tsval, self.tsecr = struct.unpack("!II", options[2:10])
            options = options[options[1]:]


class Ghost:
    """The peer; `near` has the device the segments go out of, `far` the kernel that is to meet them."""

    ports = itertools.count(20000)  # never the same twice: what was may not be over there

    def __init__(self, near, far, near_dev="va", far_dev="vb", net=9, host=77, v6=False):
        self.address, self.target = f"10.{net}.0.{host}", f"10.{net}.0.2"
        if v6:
            self.address, self.target = f"fd00:{net}::{host}", f"fd00:{net}::2"
        protocol = ETH_P_IPV6 if v6 else ETH_P_IP
        self.waiting = collections.defaultdict(collections.deque)
        self.socket = near.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.bind((near_dev, protocol))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        mac = {ns: ns.run("cat", f"/sys/class/net/{dev}/address").stdout.strip()
               for ns, dev in ((near, near_dev), (far, far_dev))}
        far.sh(f"ip neigh replace {self.address} lladdr {mac[near]} dev {far_dev} nud permanent")
        self.where = (near_dev, protocol, 0, 0, bytes.fromhex(mac[far].replace(":", "")))

    def send_ip(self, proto, payload, total=None):
        self.socket.sendto(ip_header(self.address, self.target, proto, len(payload), total) + payload, self.where)

    def receive(self, dport, timeout=5.0):
        """The next segment for that port of the ghost's; those for others are kept for them."""
        end = time.monotonic() + timeout
        while not self.waiting[dport]:
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            packet = self.socket.recv(1 << 17)
            to, proto = (packet[24:40], packet[6]) if packet[0] >> 4 == 6 else (packet[16:20], packet[9])
            if proto == 6 and to == packed(self.address):
                segment = Segment(packet)
                self.waiting[segment.dport].append(segment)
        return self.waiting[dport].popleft()

    def syn(self, dport, **kw):
        """A connection of which the SYN is sent."""
        conn = Conn(self, next(Ghost.ports), dport, **kw)
        conn.send("S", options=conn.syn_options())
        conn.seq += 1
        return conn

    def connect(self, dport, **kw):
        """A connection of which the handshake is done; a server there has it in its accept queue."""
        conn = self.syn(dport, **kw)
        conn.synack()
        conn.send("A")
        return conn

    def accept(self, port, **kw):
        """Waits for a SYN to that port of the ghost's and completes the handshake."""
        conn = self.answer(port, **kw)
        conn.expect("A")
        return conn

    def answer(self, port, **kw):
        """The same as far as the SYN-ACK."""
        syn = self.receive(port)
        conn = Conn(self, port, syn.sport, **kw)
        conn.ack, conn.tsecr = syn.seq + 1, syn.tsval
        conn.send("SA", options=conn.syn_options())
        conn.seq += 1
        return conn

    def close(self):
        self.socket.close()


class Conn:
    """One connection of the ghost's; seq and ack are what it would say next, tsval a clock that only send() moves."""

    def __init__(self, ghost, sport, dport, mss=1460, window=65535, timestamps=True, wscale=None, sack=True):
        self.ghost, self.sport, self.dport = ghost, sport, dport
        self.mss, self.window, self.timestamps, self.wscale, self.sack = mss, window, timestamps, wscale, sack
        self.seq, self.ack, self.tsval, self.tsecr = 1000, 0, 5000, 0

    def syn_options(self):
        options = struct.pack("!BBH", 2, 4, self.mss)
        if self.sack:
            options += b"\4\2"
        if self.wscale is not None:
            options += struct.pack("!BBB", 3, 3, self.wscale)
        return options

    def send(self, flags, data=b"", seq=None, ack=None, window=None, options=b"", tsval=None, sack=()):
        """Sends one segment; where given, the arguments take the place of the connection's own state."""
        self.tsval += 1
        if self.timestamps:
            options += struct.pack("!BBII", 8, 10, (self.tsval if tsval is None else tsval) & 0xffffffff, self.tsecr or 0)
        if sack:
            options += struct.pack("!BB", 5, 2 + 8 * len(sack)) + b"".join(
                struct.pack("!II", left & 0xffffffff, right & 0xffffffff) for left, right in sack)
        self.ghost.send_ip(6, tcp_segment(self.ghost.address, self.ghost.target, self.sport, self.dport,
                                          self.seq if seq is None else seq,
                                          (self.ack if ack is None else ack) if "A" in flags else 0, flags,
                                          self.window if window is None else window, options, data))

    def push(self, data):
        """Data in order."""
        self.send("PA", data)
        self.seq += len(data)

    def receive(self, timeout=5.0):
        segment = self.ghost.receive(self.sport, timeout)
        self.tsecr = segment.tsval or self.tsecr
        return segment

    def expect(self, flags, timeout=5.0):
        """Receives until a segment with just these flags comes, PSH aside."""
        while True:
            segment = self.receive(timeout)
            if segment.flags.replace("P", "") == flags:
                return segment

    def synack(self):
        segment = self.expect("SA")
        self.ack = segment.seq + 1
        return segment
