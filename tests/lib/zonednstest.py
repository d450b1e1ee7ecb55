#!/usr/bin/env python3
"""The staged DNS server does what the tests rely on."""
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib.report import Report               # noqa: E402
from lib.zonedns import TYPES, ZoneDns, wire_name   # noqa: E402


def query(dns, name, kind, tcp=False, timeout_s=60):
    """rcode, TC, answers, authority records."""
    packet = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + wire_name(name)
    packet += struct.pack(">HH", TYPES[kind], 1)
    kind_of = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind_of) as s:
        s.settimeout(timeout_s)
        s.connect((dns.host, dns.port))
        s.sendall((struct.pack(">H", len(packet)) if tcp else b"") + packet)
        if tcp:
            f = s.makefile("rb")
            out = f.read(struct.unpack(">H", f.read(2))[0])
        else:
            out = s.recv(65535)
    ident, flags, _, answers, authority, _ = struct.unpack(">6H", out[:12])
    assert ident == 7
    return flags & 15, bool(flags & 0x200), answers, authority


def main():
    r = Report()
    big = "".join(f"big.test MX {i} host-number-{i}.big.test\n" for i in range(60))
    with ZoneDns("a.test A 192.0.2.1\nw.test CNAME a.test\nbad.test SERVFAIL\n"
                 "one.test MX SERVFAIL\none.test A 192.0.2.2\nslow.test TIMEOUT\n"
                 "x.y.test TXT hello\n" + big) as dns:
        for name, kind, want in [
                ("a.test", "A", (0, False, 1, 0)), ("A.TEST", "AAAA", (0, False, 0, 1)),
                ("w.test", "A", (0, False, 2, 0)), ("w.test", "MX", (0, False, 1, 1)),
                ("nx.test", "A", (3, False, 0, 1)), ("y.test", "A", (0, False, 0, 1)),
                ("bad.test", "MX", (2, False, 0, 0)), ("one.test", "MX", (2, False, 0, 0)),
                ("one.test", "A", (0, False, 1, 0)), ("big.test", "MX", (0, True, 0, 0))]:
            got = query(dns, name, kind)
            r.check(f"{name} {kind}", got == want, f"{got}, not {want}")
        r.check("the whole over TCP", query(dns, "big.test", "MX", tcp=True) == (0, False, 60, 0))
        try:
            query(dns, "slow.test", "A", timeout_s=0.3)
            r.not_ok("silence", "it answers")
        except TimeoutError:
            r.ok("silence")
        dns.remove("a.test")
        r.check("a name taken out", query(dns, "a.test", "A") == (3, False, 0, 1))
        r.check("questions are counted", dns.asked("a.test") == 3)
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
