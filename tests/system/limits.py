#!/usr/bin/env python3
"""What a listener takes at most: recipients, bytes, lines, connections, errors and time. Each
limit has its answer, and whoever keeps within it does not notice.
tests/run: anyone"""
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient                    # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
K64 = 65536


class Desk:
    """A gateway with one smtpd, whose smart host is a sink."""

    def __init__(self, where, **options):
        self.sink = Sink()
        self.where, self.options = where, {"processes": {"smtpd": 1, "deliver": 1}, **options}

    def __enter__(self):
        self.sink.start()
        self.g = Gateway(self.where, smart_host=("127.0.0.1", self.sink.port),
                         options=self.options)
        self.g.start()
        self.port = self.g.port
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)
        self.sink.stop()

    def client(self, source=None, hello=True):
        c = smtpclient.Client(self.port, source=source)
        if hello:
            assert c.ehlo().code == 250
        return c

    def works(self, **options):
        reply = smtpclient.deliver(self.port, MESSAGE, **options)
        assert reply.code == 250, reply


def ended(c):
    reply = c.reply()
    assert reply.code == 421, reply
    assert c.closed()
    return reply


def recipients(where):
    """452 4.5.3 for one too many (RFC 5321 4.5.3.1.10), asked one by one or in one flight; the
    others get the message."""
    with Desk(where, limits={"recipients": 10}) as d:
        for pipelined in (False, True):
            with d.client() as c:
                commands = ["MAIL FROM:<a@x.example>"] + [
                    f"RCPT TO:<r{n}@y.example>" for n in range(13)]
                if pipelined:
                    c.send("".join(x + "\r\n" for x in commands))
                    replies = [c.reply() for _ in commands]
                else:
                    replies = [c.cmd(x) for x in commands]
                assert [r.code for r in replies] == [250] * 11 + [452] * 3, replies
                assert all(" 4.5.3 " in r.text for r in replies[11:]), replies
                assert c.data(MESSAGE).code == 250
        for m in d.sink.wait(2):
            assert sorted(m.recipients) == sorted(f"r{n}@y.example" for n in range(10)), m


def many_recipients(where):
    """As many as the limit says, and no hidden one below it; in several transactions."""
    many, flight = 6000, 500
    with Desk(where, limits={"recipients": many}) as d, d.client() as c:
        assert c.cmd("MAIL FROM:<a@x.example>").code == 250
        for first in range(0, many, flight):
            c.send("".join(f"RCPT TO:<recipient{n}@customer.example>\r\n"
                           for n in range(first, first + flight)))
            codes = {c.reply().code for _ in range(flight)}
            assert codes == {250}, (first, codes)
        assert c.cmd("RCPT TO:<one.more@customer.example>").code == 452
        assert c.data(MESSAGE).code == 250
        wait_for("all of them", lambda: sum(len(m.recipients) for m in d.sink.messages) >= many)
        came = [r for m in d.sink.messages for r in m.recipients]
        assert len(came) == len(set(came)) == many, len(came)


def sized(size):
    line = b"x" * 62 + b"\r\n"
    head = b"Subject: x\r\n\r\n"
    body = line * ((size - len(head)) // 64 - 1)
    rest = size - len(head) - len(body)
    return head + body + b"y" * (rest - 2) + b"\r\n"


def bytes_of_a_message(where):
    """SIZE= is answered at MAIL, what was not announced at the end; the limit itself fits."""
    with Desk(where, limits={"message_size": Word("64K")}) as d:
        with d.client() as c:
            assert f"SIZE {K64}" in c.ehlo().text.replace("-", " ")
            reply = c.cmd(f"MAIL FROM:<a@x.example> SIZE={K64 + 1}")
            assert reply.code == 552 and " 5.2.3 " in reply.text, reply
            reply = c.cmd("MAIL FROM:<a@x.example> SIZE=99999999999999999999999")
            assert reply.code // 100 == 5, reply
            assert c.cmd(f"MAIL FROM:<a@x.example> SIZE={K64}").code == 250
            assert c.cmd("RCPT TO:<b@y.example>").code == 250
            assert c.data(sized(K64)).code == 250
            for announced in ("", " SIZE=100"):
                c.cmd(f"MAIL FROM:<a@x.example>{announced}")
                c.cmd("RCPT TO:<b@y.example>")
                reply = c.data(sized(K64 + 1))
                assert reply.code == 552 and " 5." in reply.text, reply
            c.envelope("a@x.example", "b@y.example")        # dots are not counted twice
            assert c.data(b".\r\n" * (K64 // 3)).code == 250
            c.envelope("a@x.example", "b@y.example")
            whole = sized(K64)
            c.send(b"BDAT 40000\r\n" + whole[:40000])
            assert c.reply().code == 250
            c.send(b"BDAT 25537\r\n" + whole[40000:] + b"z")
            assert c.reply().code == 552
            c.send(b"BDAT 3 LAST\r\nx\r\n")
            assert c.reply().code == 503
            assert c.cmd("NOOP").code == 250
        first, second = sorted(d.sink.wait(2), key=lambda m: m.data.count(b"\r\n."))
        assert len(second.data) - len(first.data) < 64     # both are as long as the limit
        assert first.data.endswith(sized(K64)) and second.data.count(b"\r\n.") >= K64 // 3 - 1
        time.sleep(0.3)
        assert len(d.sink.messages) == 2
        wait_for("an empty queue", lambda: d.g.cli("queue", "count").stdout.startswith(
            b"messages      0"))


def lines(where):
    """limits.line_length counts the CRLF; no line is ever split."""
    with Desk(where, limits={"line_length": 1000, "command_length": 1024}) as d:
        with d.client() as c:
            c.envelope("a@x.example", "b@y.example")
            assert c.data(b"Subject: x\r\n\r\n" + b"l" * 998 + b"\r\n").code == 250
            c.envelope("a@x.example", "b@y.example")
            reply = c.data(b"Subject: x\r\n\r\n" + b"l" * 999 + b"\r\n")
            assert reply.code == 554 and "1000" in reply.text, reply
            assert c.cmd("NOOP " + "n" * 1000).code == 250
            c.send("NOOP " + "n" * 1100 + "\r\n")
            ended(c)
        assert b"l" * 998 + b"\r\n" in d.sink.wait(1)[0].data
    with Desk(where / "none") as d:         # by default there is no limit
        with d.client() as c:
            c.envelope("a@x.example", "b@y.example")
            assert c.data(b"Subject: x\r\n\r\n" + b"l" * 300000 + b"\r\n").code == 250
        assert b"l" * 300000 + b"\r\n" in d.sink.wait(1)[0].data


def connections(where):
    """421 for one too many, in all and of one client; a place that is left is free again."""
    with Desk(where, limits={"connections": 6, "connections_per_client": 3}) as d:
        mine = [d.client(source="127.0.0.2") for _ in range(3)]
        refused = d.client(source="127.0.0.2", hello=False)
        assert refused.greeting.code == 421 and refused.closed(), refused.greeting
        others = [d.client(source="127.0.0.3") for _ in range(3)]
        refused = d.client(source="127.0.0.4", hello=False)
        assert refused.greeting.code == 421 and refused.closed(), refused.greeting
        for c in mine + others:
            assert c.cmd("NOOP").code == 250
        mine.pop().sock.close()
        again = wait_for("a place", lambda: greeted(d, "127.0.0.2"))
        again.sock.close()
        wait_for("the place again", lambda: greeted(d, "127.0.0.4")).sock.close()
        for client in ("127.0.0.2", "127.0.0.4"):
            d.g.wait_events("refused", client=client)
        d.g.wait_log(r"rejecting connection from \[127\.0\.0\.2\]")
        for c in mine + others:
            c.sock.close()
        wait_for("all free", lambda: greeted(d, "127.0.0.2")).sock.close()
        d.works()


def greeted(d, source):
    c = d.client(source=source, hello=False)
    if c.greeting.code == 220:
        return c
    c.sock.close()
    return None


def errors(where):
    """So many errors, then 421; what a working client sends is none."""
    with Desk(where, server={"bad_commands": 3}) as d:
        with d.client() as c:
            for _ in range(20):
                assert c.cmd("RSET").code == 250 and c.cmd("NOOP").code == 250
            for wrong in ("NONSENSE", "RCPT TO:<b@y.example>", "MAIL FROM:<"):
                assert c.cmd(wrong).code // 100 == 5, wrong
            assert c.cmd("DATA").code == 503
            ended(c)
        with d.client() as c:                # many at once: no more than the limit is answered
            c.send("NONSENSE\r\n" * 1000)
            codes = []
            try:
                while True:
                    codes.append(c.reply().code)
            except (smtpclient.Closed, ConnectionError):
                pass
            assert codes[:4] == [500] * 4 and codes[4:] in ([421], []), codes[:10]
        d.works()


def talking(steady, talks, until, wrong):
    """One says a line of a message again and again, one a command."""
    while time.monotonic() < until:
        steady.send(b"x\r\n")
        reply = talks.cmd("NOOP")
        if reply.code != 250:
            wrong.append(reply)
        time.sleep(0.1)


def times(where):
    """server.command for each wait, in commands and in content; server.transaction for a client
    that is slow and steady; who talks at all may stay; and a client that stalls hinders no
    other."""
    with Desk(where, server={"command": Word("4s"), "transaction": Word("8s")}) as d:
        began, wrong = time.monotonic(), []
        with d.client() as idle, d.client() as half, d.client() as data, d.client() as steady, \
                d.client() as talks:
            half.send("MAIL FROM:<a@x.exa")
            data.envelope("a@x.example", "b@y.example")
            data.cmd("DATA")
            data.send(b"Subject: x\r\n\r\nhel")
            steady.envelope("a@x.example", "b@y.example")
            steady.cmd("DATA")
            talk = threading.Thread(target=talking, args=(steady, talks, began + 7.5, wrong))
            talk.start()
            d.works()
            for c in (idle, half, data):
                assert "4.4.2" in ended(c).text
                assert time.monotonic() - began >= 3.5      # its clock stands during a turn
            talk.join()
            ended(steady)
            assert time.monotonic() - began >= 7 and not wrong, wrong
        assert len(d.sink.wait(1)) == 1
        d.g.wait_log(r"timeout waiting for input from localhost \[127\.0\.0\.1\] to mx")


def greeting_pause(where):
    """Who talks before the greeting is refused; who waits is greeted after the pause."""
    with Desk(where, server={"greeting_pause": Word("2s")}) as d:
        began = time.monotonic()
        with d.client() as c:
            assert time.monotonic() - began >= 1.5
            c.envelope("a@x.example", "b@y.example")
            assert c.data(MESSAGE).code == 250
        with smtpclient.Client(d.port, greet=False) as c:
            c.send("EHLO eager.example\r\n")
            reply = c.reply()
            assert reply.code == 554, reply
            assert c.cmd("MAIL FROM:<a@x.example>").code // 100 == 5
        d.sink.wait(1)


def pause_longer_than_a_question(where):
    """The pause is no policy question that nobody answers."""
    with Desk(where, server={"greeting_pause": Word("1500ms"), "question": Word("1s")}) as d:
        def taken():                    # not in one session: router may be slow here
            with d.client() as c:
                return c.envelope("a@x.example", "b@y.example").code == 250
        wait_for("a session that is let in", taken)


def main():
    return Report().cases("limits", (
        recipients, many_recipients, bytes_of_a_message, lines, connections, errors, times,
        greeting_pause, pause_longer_than_a_question),
        at_once=5)


if __name__ == "__main__":
    sys.exit(main())
