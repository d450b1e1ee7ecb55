"""ZoneDns with every answer signed (RFC 4034, algorithm 13) by the key of a root zone of its own:

    with SignedDns(text, directory) as dns:
        options={"dns": {"servers": [dns.address], "trust_anchor": str(dns.anchor)}}
        dns.forged.add("mx.bad.test")       # the signatures of this name no longer fit

What does not exist is answered without a proof: names whose AAAA is asked for need one.
"""
import base64
import struct
import subprocess
import time

from .zonedns import TYPES, ZoneDns, low, wire_data, wire_name

DNSKEY, RRSIG, ALGORITHM, TTL_S = 48, 46, 13, 300


def from_der(der):
    """The two numbers of an ECDSA signature, 32 bytes each."""
    out, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


class SignedDns(ZoneDns):
    def __init__(self, text, directory, **more):
        self.key, self.anchor = directory / "root.pem", directory / "root.anchor"
        self.forged, self.signatures = set(), {}
        self.make_key()
        super().__init__(text, **more)

    def make_key(self):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
                        "-out", self.key], check=True)
        public = subprocess.run(["openssl", "ec", "-in", self.key, "-pubout", "-outform", "DER"],
                                check=True, capture_output=True).stdout[-64:]
        self.dnskey = struct.pack(">HBB", 257, 3, ALGORITHM) + public
        total = sum(b << 8 if i % 2 == 0 else b for i, b in enumerate(self.dnskey))
        self.tag = (total + (total >> 16)) & 0xffff
        self.anchor.write_text(f". IN DNSKEY 257 3 {ALGORITHM} "
                               f"{base64.b64encode(public).decode()}\n")

    def sign(self, data):
        if data not in self.signatures:
            der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=data,
                                 check=True, capture_output=True).stdout
            self.signatures[data] = from_der(der)
        return self.signatures[data]

    def rrsig(self, owner, number, rdatas):
        labels = len([x for x in low(owner).split(".") if x])
        day = int(time.time()) // 86400 * 86400     # the same all day long: signed once
        head = struct.pack(">HBBIIIH", number, ALGORITHM, labels, TTL_S, day + 3 * 86400,
                           day - 86400, self.tag) + b"\0"
        rrs = b"".join(wire_name(owner) + struct.pack(">HHIH", number, 1, TTL_S, len(r)) + r
                       for r in sorted(rdatas))
        signature = bytearray(self.sign(head + rrs))
        if low(owner) in self.forged:
            signature[0] ^= 1
        return self.resource(owner, RRSIG, head + bytes(signature))

    def resource(self, owner, number, raw):
        return wire_name(owner) + struct.pack(">HHIH", number, 1, TTL_S, len(raw)) + raw

    def answer(self, packet, limit):
        at = packet.index(b"\0", 12)
        if struct.unpack(">H", packet[at + 1:at + 3])[0] == DNSKEY and at == 12:
            sets = {(".", DNSKEY): [self.dnskey]}
        else:
            plain = super().answer(packet, 65535)
            question, kind = self.queries[-1]
            code, found = self.look(question, kind)
            if code != 0 or not found:
                return plain
            sets = {}
            for owner, _, of, data in found:
                sets.setdefault((owner, TYPES[of]), []).append(wire_data(of, data))
        body, count = b"", 0
        for (owner, number), rdatas in sets.items():
            body += b"".join(self.resource(owner, number, r) for r in rdatas)
            body += self.rrsig(owner, number, rdatas)
            count += len(rdatas) + 1
        ident, flags = struct.unpack(">2H", packet[:4])
        head = struct.pack(">6H", ident, 0x8180 | (flags & 0x0110), 1, count, 0, 0)
        whole = head + packet[12:at + 5] + body
        if len(whole) > limit:
            return struct.pack(">6H", ident, 0x8380, 1, 0, 0, 0) + packet[12:at + 5]
        return whole
