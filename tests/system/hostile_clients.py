#!/usr/bin/env python3
"""Clients that behave badly at awkward moments: none keeps its place for ever, none makes a process
spin, and who has only stopped talking still hears what became of the message.
tests/run: anyone"""
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, proc, smtpclient         # noqa: E402
from lib.gateway import Gateway, Word           # noqa: E402
from lib.report import Report                   # noqa: E402
from lib.sink import Sink                       # noqa: E402
from lib.waiting import until                   # noqa: E402


def died(g):
    return [e for e in g.events() if e["event"] == "child_died"]


def who_never_reads_loses_his_place(directory):
    with Gateway(directory, smart_host=("127.0.0.1", 9), options={
            "limits": {"connections": 1, "connections_per_client": 1}, "processes": {"smtpd": 1},
            "server": {"command": Word("3s"), "bad_commands": 10000}}) as g:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", g.port))
        assert s.recv(500).startswith(b"220")
        s.sendall(b"HELO x\r\n")
        assert s.recv(500).startswith(b"250")
        s.settimeout(0.3)
        try:
            while True:
                s.send(b"HELP\r\n" * 10000)
        except (TimeoutError, ConnectionError):     # stuck, or put out already
            pass
        end = time.monotonic() + 90
        while True:
            time.sleep(0.2)
            with smtpclient.Client(g.port) as c:
                if c.greeting.code == 220:
                    break
            assert time.monotonic() < end, "his place is still taken"
        s.close()


def tls_that_ends_alone(directory):
    cert = certs.make(directory, "own")
    with Gateway(directory, smart_host=("127.0.0.1", 9), tls=cert,
                 options={"processes": {"smtpd": 1}}) as g:
        s = socket.create_connection(("127.0.0.1", g.port), 90)
        s.recv(4096)
        s.sendall(b"EHLO x\r\n")
        s.recv(4096)
        s.sendall(b"STARTTLS\r\n")
        s.recv(4096)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                incoming.write(s.recv(65536))
        tls.write(b"EHLO x\r\n")
        try:
            tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        pid = g.roles()["smtpd"][0]
        before = proc.cpu_s(pid)
        s.sendall(outgoing.read())
        s.settimeout(90)
        try:
            while s.recv(65536):
                pass
        except (TimeoutError, ConnectionResetError):
            pass
        spent = proc.cpu_s(pid) - before
        assert spent < 0.5, f"smtpd spent {spent} s on a client that had ended"
        assert s.recv(1) == b"", "still open"
        s.close()


def who_stops_talking_hears_the_answer(directory):
    with Sink() as sink, Gateway(directory, smart_host=(sink.host, sink.port)) as g:
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@sender.example>")
            c.cmd("RCPT TO:<b@dest.example>")
            assert c.cmd("DATA").code == 354
            c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            assert c.reply().code == 250
            assert c.closed()
        sink.wait(1)
        with smtpclient.Client(g.port) as c:    # in the middle of it: over at once
            c.ehlo()
            c.cmd("MAIL FROM:<a@sender.example>")
            c.sock.shutdown(socket.SHUT_WR)
            assert c.closed()
        g.wait_log("lost input channel")


def qmgr_dies_under_large_content(directory):
    """In the middle of what it is being given: 451 for what it had, and nobody else dies."""
    with Sink() as sink, Gateway(directory, smart_host=(sink.host, sink.port), options={
            "processes": {"smtpd": 1}}) as g:
        for _ in range(4):
            clients = [smtpclient.Client(g.port) for _ in range(8)]
            for c in clients:
                c.ehlo()
                end = time.monotonic() + 90
                while c.envelope("a@sender.example", "b@dest.example").code != 250:
                    assert time.monotonic() < end, "qmgr does not come back"
                    c.cmd("RSET")
                    time.sleep(0.05)
                assert c.cmd("DATA").code == 354
                c.send(b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 4000)
            os.kill(g.roles()["qmgr"][0], signal.SIGKILL)
            for c in clients:
                c.send((b"y" * 70 + b"\r\n") * 1500 + b".\r\n")
            for c in clients:
                assert c.reply().code in (250, 451)
                assert c.cmd("NOOP").code == 250
                c.sock.close()
            until(lambda: "qmgr" in g.roles(), why="qmgr does not come back")
        assert all(e["role"] == "qmgr" for e in died(g)), died(g)


def router_answers_too_late(directory):
    """Who hears 451 for want of an answer may ask again in the same session, and again; an answer
    that comes after all is of no transaction."""
    access = directory / "access"
    access.write_text("To:void@dest.example DISCARD\n")
    with Sink() as sink, Gateway(directory, smart_host=(sink.host, sink.port), options={
            "processes": {"smtpd": 1}, "server": {"question": Word("200ms")},
            "route": {"access": f"text:{access}"}}) as g:
        router = g.roles()["router"][0]

        def session():                  # whose first question was answered in time
            c = smtpclient.Client(g.port)
            c.ehlo()
            if c.cmd("MAIL FROM:<a@sender.example>").code == 250 and c.cmd("RSET").code == 250:
                return c
            return c.sock.close()
        late = until(session)
        os.kill(router, signal.SIGSTOP)
        try:
            for _ in range(5):
                assert late.cmd("MAIL FROM:<a@sender.example>").code == 250
                for _ in range(2):
                    assert late.cmd("RCPT TO:<void@dest.example>").code == 451
                late.cmd("RSET")
        finally:
            os.kill(router, signal.SIGCONT)
        until(lambda: smtpclient.deliver(g.port, b"Subject: x\r\n\r\nx\r\n").code == 250,
              why="router does not come back")

        def taken():
            return (late.envelope("a@sender.example", "b@dest.example").code == 250 and
                    late.data(b"Subject: late\r\n\r\nall of it\r\n").code == 250)
        until(lambda: taken() or late.cmd("RSET").code != 250, why="the session does not go on")
        assert late.cmd("QUIT").code == 221
        late.sock.close()
        sink.wait(2)
        assert any(b"Subject: late\r\n\r\nall of it\r\n" in m.data for m in sink.messages)
        g.stop()
        assert not died(g), died(g)
        ends = {e["text"] for e in g.events() if e["event"] == "child_ended"}
        assert ends == {"exit code 0"}, ends


def main():
    return Report().cases("hostile_clients", (
        who_never_reads_loses_his_place, tls_that_ends_alone, who_stops_talking_hears_the_answer,
        qmgr_dies_under_large_content, router_answers_too_late), at_once=4)


if __name__ == "__main__":
    sys.exit(main())
