"""A staged DNS server on loopback (UDP and TCP), answering as a recursive resolver would.

    with ZoneDns('''
            example.net      60  MX  10 mx1.example.net
            mx1.example.net      A   127.0.0.11
            www.example.net      CNAME example.net
            slow.example         TIMEOUT              # every type; "slow.example MX TIMEOUT": one
            broken.example       SERVFAIL
            ''') as dns:
        Gateway(..., options={"dns": {"servers": [dns.address], "dnssec": Word("off")}})
        dns.remove("mx1.example.net")
        dns.add("mx1.example.net A 127.0.0.12")
        dns.queries                     # [("example.net", "MX"), ...]

The text is that of src/lib/dns/zone.h: NAME [TTL] TYPE DATA, a TTL of 60 when left out. A name
with any line, or with lines below it, exists: other types are NODATA; other names are NXDOMAIN;
both with an SOA of `negative_ttl` seconds. Answers over 512 bytes come truncated over UDP.
"""
import ipaddress
import socket
import struct
import sys
import threading
import time

from . import ports
from .waiting import PATIENCE_S

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28,
         "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
FAILURES = {"TIMEOUT": None, "SERVFAIL": 2, "REFUSED": 5}
NXDOMAIN = 3


def low(name):
    return name.lower().rstrip(".")


def wire_name(name):
    labels = [label.encode("latin-1") for label in low(name).split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def wire_data(kind, text):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(text).packed
    if kind in ("CNAME", "NS", "PTR"):
        return wire_name(text)
    if kind == "MX":
        preference, host = text.split()
        return struct.pack(">H", int(preference)) + wire_name(host)
    if kind == "TXT":
        data = text.encode("latin-1")
        parts = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
        return b"".join(bytes([len(p)]) + p for p in parts)
    if kind == "TLSA":
        usage, selector, match, digest = text.split()
        return bytes([int(usage), int(selector), int(match)]) + bytes.fromhex(digest)
    raise ValueError(f"no data for {kind}")


class ZoneDns:
    def __init__(self, text="", host="127.0.0.1", port=0, negative_ttl=1):
        self.lines = []                 # (name, ttl, type or None for all, data or a failure)
        self.queries = []
        self.negative_ttl = negative_ttl
        self.delay_s = 0                # before every answer
        self.lock = threading.Lock()
        self.add(text)
        self.bind(host, port)

    # -- the zone
    def add(self, text):
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            name, rest = low(words[0]), words[1:]
            ttl = int(rest.pop(0)) if rest[0].isdigit() else 60
            if rest[0] in FAILURES:
                entry = (name, ttl, None, rest[0])
            else:
                kind, data = rest[0], " ".join(rest[1:])
                if data not in FAILURES:
                    wire_data(kind, data)           # a bad line is said now
                entry = (name, ttl, kind, data)
            with self.lock:
                self.lines.append(entry)

    def remove(self, name, kind=None):
        with self.lock:
            self.lines = [e for e in self.lines
                          if e[0] != low(name) or kind not in (None, e[2])]

    def look(self, name, kind, depth=0):
        """The rcode (None: silence) and [(owner, ttl, type, data)]."""
        mine = [e for e in self.lines if e[0] == name]
        found = []
        for _, ttl, of, data in mine:
            if data in FAILURES and of in (None, kind):
                return FAILURES[data], []
            if of == kind and data not in FAILURES:
                found.append((name, ttl, kind, data))
        if not found:
            for _, ttl, of, data in mine:
                if of == "CNAME" and depth < 16:
                    code, more = self.look(low(data), kind, depth + 1)
                    return code, [(name, ttl, "CNAME", data), *more]
        exists = any(e[0] == name or e[0].endswith("." + name) for e in self.lines)
        return (0 if exists else NXDOMAIN), found

    # -- packets
    def answer(self, packet, limit):
        ident, flags, questions = struct.unpack(">3H", packet[:6])
        if flags & 0x8000 or questions != 1:
            return None
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
            at += 1 + packet[at]
        question = packet[12:at + 5]
        name = low(".".join(labels))
        kind = NAMES.get(struct.unpack(">H", packet[at + 1:at + 3])[0], "OTHER")
        with self.lock:
            self.queries.append((name, kind))
            code, found = self.look(name, kind)
        if code is None:
            return None
        body = b"".join(self.record(*r) for r in found)
        negative = code in (0, NXDOMAIN) and not any(r[2] == kind for r in found)
        soa = self.soa() if negative else b""
        reply = 0x8180 | (flags & 0x0100) | code
        whole = struct.pack(">6H", ident, reply, 1, len(found), int(negative), 0) + question
        if len(whole) + len(body) + len(soa) > limit:
            return struct.pack(">6H", ident, reply | 0x0200, 1, 0, 0, 0) + question
        return whole + body + soa

    def record(self, owner, ttl, kind, data):
        raw = wire_data(kind, data)
        return wire_name(owner) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(raw)) + raw

    def soa(self):
        ttl = self.negative_ttl
        raw = b"\0\0" + struct.pack(">5I", 1, 60, 60, 60, ttl)
        return wire_name("zone") + struct.pack(">HHIH", TYPES["SOA"], 1, ttl, len(raw)) + raw

    # -- sockets
    def bind(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        end = time.monotonic() + PATIENCE_S     # a socket may have a copy left (ports.Mute)
        while True:
            self.tcp = socket.socket(family, socket.SOCK_STREAM)
            self.udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.tcp.bind((host, port))
                self.udp.bind(self.tcp.getsockname())
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self.host, self.port = self.tcp.getsockname()[:2]
        self.tcp.listen(64)

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __enter__(self):
        self.serving = [(s, threading.Thread(target=serve, daemon=True)) for s, serve in
                        ((self.udp, self.serve_udp), (self.tcp, self.serve_tcp))]
        for _, thread in self.serving:
            thread.start()
        return self

    def __exit__(self, *_):
        for s, thread in self.serving:
            ports.shut(s, thread)

    def respond(self, packet, limit, send):
        try:
            out = self.answer(packet, limit)
        except (IndexError, struct.error) as e:
            print(f"# zonedns: {e!r} for {packet!r}", file=sys.stderr)
            return
        if self.delay_s:
            time.sleep(self.delay_s)
        if out is not None:
            send(out)

    def serve_udp(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(65535)
                if not peer:
                    return
                self.respond(packet, 512, lambda out, to=peer: self.udp.sendto(out, to))
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_conn, args=(conn,), daemon=True).start()

    def serve_conn(self, conn):
        with conn, conn.makefile("rb") as f:
            conn.settimeout(20)
            try:
                while True:
                    size = f.read(2)
                    if len(size) < 2:
                        return
                    self.respond(f.read(struct.unpack(">H", size)[0]), 65535,
                                 lambda out: conn.sendall(struct.pack(">H", len(out)) + out))
            except OSError:
                return

    def asked(self, name, kind=None):
        """How often."""
        with self.lock:
            return sum(1 for q in self.queries if q[0] == low(name) and kind in (None, q[1]))


if __name__ == "__main__":              # zonedns.py FILE [ADDRESS [PORT]]: until it is ended
    with open(sys.argv[1]) as zone:
        server = ZoneDns(zone.read(), *sys.argv[2:3], *map(int, sys.argv[3:4]))
    with server:
        print(server.address, flush=True)
        threading.Event().wait()
