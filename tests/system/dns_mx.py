#!/usr/bin/env python3
"""Mail finds its host by DNS, on a staged zone: preferences and equals, implicit and null MX,
CNAME, IPv6, our own address, failures that pass and failures that stay, and TTLs.
tests/run: anyone"""
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word       # noqa: E402
from lib.report import Report, Skip         # noqa: E402
from lib.sink import Sink                   # noqa: E402
from lib.waiting import until               # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402

ZONE = """
sender.test       MX 10 a.test
a.test            A 127.0.0.11
b.test            A 127.0.0.12
dead.test         A 127.0.0.13
me.test           A 127.0.0.99
six.test          AAAA ::1
pref.test         MX 20 b.test
pref.test         MX 10 dead.test
equal.test        MX 10 a.test
equal.test        MX 10 b.test
implicit.test     A 127.0.0.12
alias.test        CNAME pref.test
mxalias.test      MX 10 walias.test
walias.test       CNAME b.test
v6.test           MX 10 six.test
null.test         MX 0 .
self.test         MX 10 me.test
self.test         MX 20 b.test
backup.test       MX 10 b.test
backup.test       MX 20 me.test
servfail.test     SERVFAIL
mxfail.test       MX SERVFAIL
mxfail.test       A 127.0.0.12
slow.test         TIMEOUT
nodata.test       TXT nothing
moving.test 1     MX 10 moving-host.test
moving-host.test 1 A 127.0.0.11
"""
PASSING = {"servfail.test": "4.4.3", "mxfail.test": "4.4.3", "slow.test": "4.4.3"}
STAYING = {"nx.test": "5.1.2", "null.test": "5.1.10", "nodata.test": "5.4.4",
           "self.test": "5.3.5"}


class Stage:
    def __init__(self, where, dns, port, a, b):
        self.a, self.b, self.dns = a, b, dns
        listen = ports.free()
        self.gateway = Gateway(where, port=listen, options={
            'listen "mx"': {"address": [f"127.0.0.1:{listen}", f"127.0.0.99:{port}"]},
            "dns": {"servers": [dns.address], "dnssec": Word("off"), "timeout": Word("4s")},
            "deliver": {"port": port, "idle": Word("0")},   # a kept connection asks no DNS
        })

    def send(self, rcpt, mark):
        reply = smtpclient.deliver(self.gateway.port, f"Subject: {mark}\r\n\r\nbody\r\n",
                                   "s@sender.test", [rcpt])
        assert reply.code == 250, reply

    def arrives(self, sink, rcpt, mark):
        self.send(rcpt, mark)
        message = until(lambda: marked(sink, mark), why=f"{mark} did not come to {sink.host}")
        assert message.recipients == [rcpt], message.recipients


def marked(sink, mark):
    subject = f"Subject: {mark}\r\n".encode()
    return next((m for m in list(sink.messages) if subject in m.data), None)


def equals(s):
    """Both of two equals get their share of 30 messages; connections may be used again, so a
    short one each."""
    for i in range(30):
        s.send(f"u{i}@equal.test", f"equal-{i}")
    def share():
        return [sum(b"Subject: equal-" in m.data for m in list(k.messages)) for k in (s.a, s.b)]
    until(lambda: sum(share()) == 30, why=share)
    assert min(share()) > 0, share()


def v6(s, port):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as e:
        raise Skip(f"no IPv6 on loopback: {e}") from e
    with Sink(host="::1", port=port) as sink:
        s.arrives(sink, "u@v6.test", "v6")


def passing(s, domain, code):
    """Put off with the reason, not bounced."""
    s.send(f"u@{domain}", domain)
    s.gateway.wait_log(rf"to=<u@{domain}>.*dsn={code}.*stat=Deferred")


def staying(s, domain, code):
    """Bounced to the sender with the reason."""
    before = len(s.a.messages)
    s.send(f"u@{domain}", domain)
    s.gateway.wait_log(rf"to=<u@{domain}>.*dsn={code}")
    report = s.a.wait(before + 1)[-1]
    assert report.sender == "", report.mail
    assert f"Status: {code}".encode() in report.data, report.data


def moving(s):
    """The mystery of the posts: once the TTL is over, the new host gets the mail."""
    s.arrives(s.a, "u@moving.test", "before the move")
    asked = s.dns.asked("moving-host.test", "A")
    s.dns.remove("moving-host.test")
    s.dns.add("moving-host.test 1 A 127.0.0.12")
    time.sleep(1.2)
    s.arrives(s.b, "u@moving.test", "after the move")
    assert s.dns.asked("moving-host.test", "A") > asked


def kept(s, domain):
    """Whether the second of two messages needs no question."""
    s.dns.add(f"{domain} A 127.0.0.12")
    for i in range(2):
        s.arrives(s.b, f"u@{domain}", f"{domain} {i}")
    return s.dns.asked(domain, "A") == 1


def not_kept(s):
    """A reload says that no answer is kept, not for a moment."""
    assert any(kept(s, f"kept{i}.test") for i in range(10))     # a slow answer is asked for twice
    s.gateway.options["dns"] |= {"cache_ttl_max": Word("0s"), "negative_ttl_max": Word("0s")}
    s.gateway.configure()
    s.gateway.process.send_signal(signal.SIGHUP)
    s.gateway.wait_log("reloaded, asked by SIGHUP")
    assert any(not kept(s, f"asked{i}.test") for i in range(10))   # resolver hears of it soon


def main():
    r = Report()
    with temp.Dir("dns_mx") as where:
        port = ports.free("127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.99")
        with ZoneDns(ZONE) as dns, Sink("127.0.0.11", port) as a, Sink("127.0.0.12", port) as b:
            s = Stage(where / "gw", dns, port, a, b)
            with s.gateway:
                r.run("the next MX when the best is dead", s.arrives, b, "u@pref.test", "pref")
                r.run("a CNAME renames nobody", s.arrives, b, "u@alias.test", "alias")
                r.run("an MX that is a CNAME", s.arrives, b, "u@mxalias.test", "mxalias")
                r.run("no MX: the domain itself", s.arrives, b, "u@implicit.test", "implicit")
                r.run("better than ourselves", s.arrives, b, "u@backup.test", "backup")
                r.run("an address literal", s.arrives, b, "u@[127.0.0.12]", "literal")
                r.run("equals share", equals, s)
                r.run("IPv6", v6, s, port)
                for domain, code in PASSING.items():
                    r.run(f"{domain} is put off", passing, s, domain, code)
                for domain, code in STAYING.items():
                    r.run(f"{domain} bounces", staying, s, domain, code)
                r.run("TTLs are obeyed", moving, s)
                r.run("none are kept", not_kept, s)
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
