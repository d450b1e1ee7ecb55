#!/usr/bin/env python3
"""Next hops that behave badly at awkward moments: no process dies of them, none spins, no message
is called delivered that was not, and no job is left lying.
tests/run: anyone"""
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, proc, smtpclient  # noqa: E402
from lib.gateway import Gateway, Word           # noqa: E402
from lib.report import Report                   # noqa: E402
from lib.sink import Sink                       # noqa: E402
from lib.zonedns import ZoneDns                 # noqa: E402


def died(g):
    return [e for e in g.events() if e["event"] == "child_died"]


def send(g, to, size=100):
    body = b"Subject: t\r\n\r\n" + b"x" * 70 + b"\r\n"
    lines = max(0, size - len(body)) // 72
    smtpclient.deliver(g.port, body + (b"y" * 70 + b"\r\n") * lines, "a@sender.example", [to])


def too_large_for_a_kept_connection(directory):
    """The peer's SIZE is known when the message begins: it fails inside the very first call."""
    with Sink(extensions=["PIPELINING", "SIZE 100000"]) as sink, \
            Gateway(directory, smart_host=(sink.host, sink.port)) as g:
        send(g, "one@dest.example")
        sink.wait(1)
        g.wait_log(r"to=<one@dest\.example>.*stat=Sent")
        send(g, "two@dest.example", 200000)
        g.wait_log(r"to=<two@dest\.example>.*5\.3\.4")
        assert not died(g), died(g)


class Hop:
    """Hands each connection to one()."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.held = self.listener.getsockname()[1], []
        self.serving = threading.Thread(target=self.serve, daemon=True)
        self.serving.start()
        return self

    def __exit__(self, *_):
        ports.shut(self.listener, self.serving)

    def serve(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.one(c)
            except OSError:             # ssl.SSLError is one
                pass


class Resets(Hop):
    """Takes one message a connection, says 250 and resets."""

    def one(self, c):
        got = b""
        c.sendall(b"220 x\r\n")
        for ends, says in ((b"\r\n", b"250 x\r\n"), (b"\r\n", b"250 x\r\n"),
                           (b"\r\n", b"250 x\r\n"), (b"\r\n", b"354 x\r\n"),
                           (b"\r\n.\r\n", b"250 x\r\n")):
            while ends not in got:
                more = c.recv(65536)
                if not more:
                    return
                got += more
            got = got.split(ends, 1)[1]
            if ends == b"\r\n.\r\n":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.sendall(says)
        c.close()


def reset_behind_the_last_reply(directory):
    """The QUIT that follows meets a connection that is gone."""
    with Resets() as hop, Gateway(directory, smart_host=("127.0.0.1", hop.port), options={
            "deliver": {"messages_per_connection": 1, "chunking": False}}) as g:
        for i in range(60):
            send(g, f"r{i}@dest.example")
        for i in range(60):
            g.wait_log(rf"to=<r{i}@dest\.example>.*stat=Sent")
        assert not died(g), died(g)


def no_time_left_is_not_delivered(directory):
    """DNS answers when the attempt's time is over: nobody was asked, so nothing is delivered."""
    with ZoneDns("dest.example MX 10 mx.dest.example\nmx.dest.example A 127.0.0.1") as dns, \
            Sink() as sink:
        dns.delay_s = 1
        with Gateway(directory, options={
                "dns": {"servers": [dns.address], "dnssec": Word("off"), "timeout": Word("10s")},
                "deliver": {"port": sink.port},
                "timeout": {"attempt": Word("200ms")}}) as g:
            send(g, "late@dest.example")
            stat = g.wait_log(r"to=<late@dest\.example>.*stat=(\w+)").group(1)
            assert stat == "Deferred", stat
            assert not sink.messages


class EndsTls(Hop):
    """Shakes hands, ends TLS properly, and keeps the connection."""

    def __init__(self, cert):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*cert)

    def one(self, c):
        self.held.append(c)
        c.sendall(b"220 x\r\n")
        c.recv(4096)
        c.sendall(b"250-x\r\n250 STARTTLS\r\n")
        if b"STARTTLS" not in c.recv(4096):
            return
        c.sendall(b"220 x\r\n")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_side=True)
        for step in (tls.do_handshake, tls.unwrap):
            try:
                while True:
                    try:
                        step()
                        break
                    except ssl.SSLWantReadError:
                        c.sendall(outgoing.read())
                        if step == tls.unwrap:
                            break
                        incoming.write(c.recv(65536))
            finally:
                c.sendall(outgoing.read())


def tls_that_ends_alone(directory):
    cert = certs.make(directory, "hop.example")
    with EndsTls(cert) as hop, Gateway(directory, smart_host=("127.0.0.1", hop.port)) as g:
        send(g, "tls@dest.example")
        g.wait_log(r"to=<tls@dest\.example>.*stat=Deferred")
        pid = g.roles()["deliver"][0]
        before = proc.cpu_s(pid)
        time.sleep(1)
        assert proc.cpu_s(pid) - before < 0.5, "deliver is busy with nothing"


class RefusesInTheMiddle(Hop):
    """Says so in the middle of the content, and hangs up with what it has not read."""

    def one(self, c):
        c.sendall(b"220 x\r\n")
        said, seen = b"", 0
        while seen < 200000:
            got = c.recv(65536)
            if not got:
                return
            if said.endswith(b"DATA\r\n"):
                seen += len(got)
                if got.endswith(b"\r\n.\r\n"):             # a report
                    c.sendall(b"250 ok\r\n")
                    break
                continue
            said += got
            for line in got.splitlines():
                c.sendall(b"354 go on\r\n" if line == b"DATA" else b"250 ok\r\n")
        else:
            c.sendall(b"550 5.3.4 too large\r\n")
        c.close()


def refused_in_the_middle(directory):
    """It is heard although writing fails before: nothing is tried again."""
    with RefusesInTheMiddle() as hop, Gateway(directory, smart_host=("127.0.0.1", hop.port)) as g:
        for n in range(8):
            send(g, f"large{n}@dest.example", 3000000)
        for n in range(8):
            stat = g.wait_log(rf"to=<large{n}@dest\.example>.*stat=(.*)").group()
            assert "reply=550 5.3.4 too large" in stat, stat


def a_resolver_that_hangs(directory):
    with ZoneDns("dest.example MX 10 mx.dest.example\n") as dns, Gateway(directory, options={
            "dns": {"servers": [dns.address], "dnssec": Word("off")},
            "timeout": {"attempt": Word("1s")}}) as g:
        resolver = g.roles()["resolver"][0]
        os.kill(resolver, signal.SIGSTOP)
        try:
            send(g, "hang@dest.example")
            g.wait_log(r"to=<hang@dest\.example>.*stat=Deferred")
        finally:
            os.kill(resolver, signal.SIGCONT)


def main():
    return Report().cases("hostile_hops", (
        too_large_for_a_kept_connection, reset_behind_the_last_reply,
        no_time_left_is_not_delivered, tls_that_ends_alone, a_resolver_that_hangs,
        refused_in_the_middle), at_once=5)


if __name__ == "__main__":
    sys.exit(main())
