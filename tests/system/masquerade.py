#!/usr/bin/env python3
"""Senders as others are to see them: genericstable and masquerading, in the header and in the
envelope, as a next hop sees them; and that not a byte changes where nothing is to."""
import os
import pwd
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient                          # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import until                       # noqa: E402

TABLE = "root Root.Full@drj.com\nann@gateway.example Ann@people.example\njoe@far.test joseph\n" \
        "uwe u\u00fc@drj.com\n"
ROUTE = {"local": ["gateway.example"], "masquerade_as": "drj.com",
         "masquerade_domains": ["corp.test", ".corp.test"], "generics_domains": ["far.test"],
         "exposed_users": ["daemon"]}
EVERYWHERE = {"masquerade_envelope": True, "masquerade_all": True}


class House:
    """A gateway between its clients and a sink for all mail but that to drj.com, gateway.example
    and corp.test, which a second one takes."""

    def __init__(self, where, route=None, **options):
        self.sink, self.back = Sink(), Sink()
        (where / "generics").write_text(TABLE)
        (where / "virtual").write_text("@gateway.example %1@back.example\n")
        rules = {**ROUTE, "genericstable": f"text:{where}/generics",
                 "virtusertable": f"text:{where}/virtual", **(route or {})}
        self.where, self.options = where, {**options, "route": rules}

    def __enter__(self):
        self.sink.start()
        self.back.start()
        back = ("127.0.0.1", self.back.port)
        self.gateway = Gateway(self.where / "g", smart_host=("127.0.0.1", self.sink.port),
                               mailertable={"back.example": back, ".corp.test": back},
                               options=self.options).start()
        return self

    def __exit__(self, *what):
        self.gateway.__exit__(*what)
        self.sink.stop()
        self.back.stop()

    def through(self, content, sender="x@foreign.example", rcpt="b@dest.example", **options):
        """What the sink has of one message: the sender, and all behind our Received field."""
        before = len(self.sink.messages)
        reply = smtpclient.deliver(self.gateway.port, content, sender, (rcpt,), **options)
        assert reply.code == 250, reply
        return self.last(before)

    def last(self, before):
        m = self.sink.wait(before + 1)[before]
        received, rest = split_field(m.data)
        assert received.startswith(b"Received: "), received
        return m.sender, rest


def split_field(data):
    at = data.index(b"\r\n") + 2
    while data[at:at + 1] in (b" ", b"\t"):
        at = data.index(b"\r\n", at) + 2
    return data[:at], data[at:]


def same(got, want):
    assert got == want, f"{got!r} is not {want!r}"


def crlf(text):
    return text.replace("\n", "\r\n").encode()


# --- the header ---

BEFORE = crlf('''From: "Ann, of <here>" (x@gateway.example) <ann@gateway.example>
Sender: bob@ws1.corp.test (Bob)
Reply-To: Friends: carl@Corp.Test, dora@elsewhere.example,
\t"e f"@ws1.corp.test;, <joe@far.test>
To: Greg <greg@ws2.corp.test>, ann@gateway.example
X-From: ann@gateway.example
Subject: ann@gateway.example

From: ann@gateway.example
.
''')
AFTER = crlf('''From: "Ann, of <here>" (x@gateway.example) <Ann@people.example>
Sender: bob@drj.com (Bob)
Reply-To: Friends: carl@drj.com, dora@elsewhere.example,
\t"e f"@drj.com;, <joseph@drj.com>
To: Greg <greg@ws2.corp.test>, ann@gateway.example
X-From: ann@gateway.example
Subject: ann@gateway.example

From: ann@gateway.example
.
''')


def header(where):
    with House(where) as h:
        same(h.through(BEFORE, "bob@ws1.corp.test"), ("bob@ws1.corp.test", AFTER))
        same(h.through("From: root\r\n\r\nx\r\n")[1], b"From: Root.Full@drj.com\r\n\r\nx\r\n")
        same(h.through("From: kim\r\n")[1], b"From: kim@drj.com\r\n")
        for stays in ["From: daemon@gateway.example", "From: Doe, John <j@far.example>",
                      "From: a@foreign.example", "From: <ann@gateway.example", "From:",
                      "From: ann @ gateway @ example", "X: y", "From : <>", "no field at all",
                      "To: ann@gateway.example"]:
            text = stays.encode() + b"\r\n\r\nann@gateway.example\r\n"
            same(h.through(text), ("x@foreign.example", text))
        text = "From: ua@\u00fc.test, uwe@gateway.example\r\n\r\nx\r\n"
        same(h.through(text)[1], text.replace("uwe@gateway.example", "u\u00fc@drj.com").encode())
        assert h.sink.messages[-1].mail.endswith(b" SMTPUTF8"), h.sink.messages[-1].mail
        in_pieces(h)


def in_pieces(h):
    """Byte by byte, and in chunks of one byte: the same as at once."""
    text = BEFORE[:BEFORE.index(b"X-From")] + b"\r\n"
    want = AFTER[:AFTER.index(b"X-From")] + b"\r\n"
    for chunks in (False, True):
        before = len(h.sink.messages)
        with smtpclient.Client(h.gateway.port) as c:
            c.ehlo()
            c.envelope("x@foreign.example", "b@dest.example")
            if not chunks:
                same(c.cmd("DATA").code, 354)
                for i in range(len(text)):
                    c.send(text[i:i + 1])
                c.send(b".\r\n")
                same(c.reply().code, 250)
            else:
                c.send(b"".join(b"BDAT 1\r\n" + text[i:i + 1] for i in range(len(text))))
                c.send(b"BDAT 0 LAST\r\n")
                for _ in range(len(text) + 1):
                    same(c.reply().code, 250)
        same(h.last(before)[1], want)


# --- the envelope ---

def why(h, queue_id):
    r = h.gateway.cli("why", queue_id)
    assert r.returncode == 0, r
    return " ".join(r.stdout.decode().split())


def envelope(where):
    """MAIL has what others are to see; reports and questions know the sender that came. It is so
    after a crash, too."""
    content = crlf("From: ann@gateway.example\nTo: greg@ws2.corp.test, x@far.example\n\nbody\n")
    want = crlf("From: Ann@people.example\nTo: greg@drj.com, x@far.example\n\nbody\n")
    with House(where, EVERYWHERE, retry={"first": Word("1s"), "max": Word("1s")}) as h:
        h.sink.at("rcpt", "550 5.1.1 no such user", match=b"gone@")
        same(h.through(content, "ann@gateway.example"), ("Ann@people.example", want))
        same(h.through(content, "bob@ws1.corp.test"), ("bob@drj.com", want))
        same(h.through(content, "daemon@gateway.example")[0], "daemon@gateway.example")
        same(h.through(content, "a@foreign.example")[0], "a@foreign.example")
        same(h.through(content, "")[0], "")
        # The report goes to the sender who wrote: bob@ws1.corp.test has a mailbox there.
        smtpclient.deliver(h.gateway.port, content, "bob@ws1.corp.test", ("gone@dest.example",))
        report = h.back.wait(1)[0]
        same((report.sender, report.recipients), ("", ["bob@ws1.corp.test"]))
        assert b"From: Ann@people.example\r\n" in report.data, report.data
        # Put off, told why, and sent by a qmgr that has read it from the disk.
        h.gateway.cli("queue", "freeze", "dest.example", "--yes")
        reply = smtpclient.deliver(h.gateway.port, content, "bob@ws1.corp.test",
                                   ("slow@dest.example",))
        queue_id = reply.text.split()[2]
        told = why(h, queue_id)
        lines = ["envelope sender: bob@ws1.corp.test became bob@drj.com, because of masquerade_as",
                 "From: ann@gateway.example became Ann@people.example, because of genericstable "
                 f"{where}/generics:2",
                 "To: greg@ws2.corp.test became greg@drj.com, because of masquerade_as"]
        assert f"{queue_id}: mail from <bob@ws1.corp.test> to <slow@dest.example>" in told, told
        for line in lines:
            assert f"When it came, {line}." in told, (line, told)
        same([e["text"] for e in h.gateway.wait_events("rewritten", 3, id=queue_id)], lines)
        # The address that the world sees is asked for, too: the log knows whose it was.
        shown = h.gateway.cli("why", "bob@drj.com")
        assert shown.returncode == 66 and queue_id.encode() in shown.stdout, shown
        h.gateway.crash("qmgr")
        h.gateway.cli("queue", "thaw", "dest.example", "--yes")
        m = until(lambda: next((m for m in h.sink.messages
                                if m.recipients == ["slow@dest.example"]), None))
        same((m.sender, split_field(m.data)[1]), ("bob@drj.com", want))


# --- whose mail, and how much of it ---

def router_gone(where):
    """Mail does not go out as it came because nobody can be asked: it is put off."""
    with House(where, processes={"restart_first": Word("20ms"), "restart_max": Word("50ms")}) as h:
        router = h.gateway.roles()["router"][0]
        with smtpclient.Client(h.gateway.port) as c:
            c.ehlo()
            same(c.envelope("x@foreign.example", "b@dest.example").code, 250)
            os.kill(router, signal.SIGSTOP)
            same(c.cmd("DATA").code, 354)
            c.send(b"From: ann@gateway.example\r\n\r\nx\r\n.\r\n")
            os.kill(router, signal.SIGKILL)
            reply = c.reply()       # 250: the next router was there already
            assert reply.code in (250, 451), reply

            def taken():
                c.envelope("x@foreign.example", "b@dest.example")
                again = c.data("From: ann@gateway.example\r\n\r\nx\r\n")
                c.cmd("RSET")
                return again.code == 250
            if reply.code == 451:
                until(taken)
        same(h.last(0)[1], b"From: Ann@people.example\r\n\r\nx\r\n")


def strangers(where):
    """Only mail from here, from relay.from and of who has logged in; and nothing once the options
    are gone."""
    relay = {"from": ["127.0.0.2/32"], "domains": ["dest.example"]}
    with House(where, EVERYWHERE, relay=relay) as h:
        from_here = ("ann@gateway.example", BEFORE)
        same(h.through(BEFORE, "ann@gateway.example"), from_here)
        assert h.through(BEFORE, "ann@gateway.example", source="127.0.0.2") != from_here
        link = where / "sendmail"
        link.symlink_to(binary())
        before = len(h.sink.messages)
        subprocess.run([link, "-C", h.gateway.conf, "-t", "-i"], check=True, timeout=90,
                       input=b"To: b@dest.example\n\nx\n")
        sender, rest = h.last(before)
        user = pwd.getpwuid(os.getuid()).pw_name
        want = "Root.Full@drj.com" if user == "root" else f"{user}@drj.com"
        same(sender, want)
        assert want.encode() + b">\r\n" in rest or b"From: " + want.encode() in rest, rest
        told = h.gateway.cli("route", "--from", "bob@ws1.corp.test", "b@dest.example").stdout
        assert b"=> in the header bob@drj.com, in the envelope bob@drj.com" in told, told
        told = h.gateway.cli("route", "--client", "127.0.0.1", "--from", "bob@ws1.corp.test",
                             "b@dest.example").stdout
        assert b"in the header" not in told, told
        h.options["route"] = {"virtusertable": h.options["route"]["virtusertable"]}
        h.gateway.options = h.options
        h.gateway.configure()
        same(h.gateway.cli("reload").returncode, 0)
        until(lambda: h.through(BEFORE, "ann@gateway.example", source="127.0.0.2") == from_here)


def sizes(where):
    """More content than stays in smtpd, a header of many pieces, and one that is too long."""
    body = random.Random(1).randbytes(1 << 20).replace(b"\r", b"x").replace(b"\n", b"\r\n")
    body = body.replace(b"\r\n.", b"\r\nx")
    came, goes = b"From: ann@gateway.example\r\n", b"From: Ann@people.example\r\n"
    with House(where, spool={"inline_max": Word("4K")}) as h:
        for filler, times in ((0, 30), (3000, 0), (60, 1), (90000, 1)):
            front = b"".join(b"X-Filler: %d\r\n" % i for i in range(filler // 16))
            rest = b"\r\n" + body * times
            rest += b"" if rest.endswith(b"\r\n") else b"\r\n"
            got = h.through(front + came + rest)[1]
            assert got == front + goes + rest, (filler, times, got[:200])
        front = b"X-Filler: x\r\n" * 12000
        text = front + came + b"\r\nx\r\n"
        assert h.through(text)[1] == text
        told = [e["text"] for e in h.gateway.wait_events("rewritten")]
        assert "header: longer than 128K, nothing is changed in it" in told, told


def in_two(h, first, rest):
    """What the sink has of a message whose first bytes come by themselves."""
    before = len(h.sink.messages)
    with smtpclient.Client(h.gateway.port) as c:
        c.ehlo()
        same(c.envelope("x@foreign.example", "b@dest.example").code, 250)
        same(c.cmd("DATA").code, 354)
        c.send(first)
        time.sleep(0.2)
        c.send(rest + b".\r\n")
        reply = c.reply()
        assert reply.code == 250, reply
    return h.last(before)[1]


def longest(where):
    """128K of header and no more, however it is cut on its way and whatever comes with its end."""
    came, goes = b"From: ann@gateway.example\r\n", b"From: Ann@people.example\r\n"
    body = b"\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000
    with House(where) as h:
        for more in (0, 1):
            front = (b"X-Filler: " + b"x" * 116 + b"\r\n") * 1023
            left = (128 << 10) + more - len(front + came + b"\r\n")
            front += b"X-Filler: ".ljust(left - 2, b"x") + b"\r\n"
            same(len(front + came + b"\r\n"), (128 << 10) + more)
            got = in_two(h, front[:1000], front[1000:] + came + body)
            want = front + (came if more else goes) + body
            assert got == want, (more, len(got), len(want), got[-len(body) - 60:-len(body)])


def main():
    return Report().cases("masquerade", [header, envelope, router_gone, strangers, sizes, longest],
                          3)


if __name__ == "__main__":
    sys.exit(main())
