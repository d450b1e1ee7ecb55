#!/usr/bin/env python3
"""Reports and a real peer: ours travel through Postfix and are read with Python's email package
behind it; what we pass on of NOTIFY, RET, ENVID and ORCPT Postfix uses in reports of its own; and
what Postfix passes on is in ours."""
import email
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "system")]
from lib import peers, ports, smtpclient          # noqa: E402
from lib.gateway import Gateway, Word                   # noqa: E402
from lib.peers import fetch                             # noqa: E402
from lib.report import Report, Skip                           # noqa: E402
from lib.sink import EXTENSIONS, Sink                   # noqa: E402
from lib.waiting import wait_for                         # noqa: E402
from dsn import Parsed                                  # noqa: E402

CONTENT = "Subject: plan\r\nFrom: a@from.example\r\n\r\nthe body: grüß\r\n".encode()
NO_DSN = [e for e in EXTENSIONS if e != "DSN"]


class World:
    """client -> gateway -> `far`, which refuses, puts off or takes; the sender's domain is behind
    Postfix, which gives all to `back`."""

    def __init__(self, where, far=None, back=None, retry=None, options=None):
        self.where, self.retry, self.options = where, retry or {}, options or {}
        self.far, self.back = Sink(extensions=far), Sink(extensions=back)
        self.far.at("rcpt", "550 5.1.1 no such user", match=b"gone")
        self.far.at("rcpt", "450 4.2.1 busy", match=b"busy")

    def __enter__(self):
        self.far.start()
        self.back.start()
        self.postfix = peers.make("postfix", self.where / "postfix", ports.free(),
                                  relay=("127.0.0.1", self.back.port))
        self.postfix.start()
        self.gateway = Gateway(
            self.where / "gateway",
            mailertable={"from.example": ("127.0.0.1", self.postfix.port),
                         "peer.example": ("127.0.0.1", self.postfix.port),
                         "far.example": ("127.0.0.1", self.far.port)},
            options={"postmaster": "postmaster@from.example",
                     "retry": {"first": Word("1s"), "max": Word("1s"), **self.retry},
                     **self.options}).start()
        return self

    def __exit__(self, *_):
        for up in (self.gateway, self.postfix, self.far, self.back):
            up.stop()

    def report(self, count=1):
        return Parsed(self.back.wait(count)[count - 1])


def send(port, *rcpts, mail="", sender="a@from.example", content=CONTENT):
    with smtpclient.Client(port) as c:
        c.ehlo()
        r = c.cmd(f"MAIL FROM:<{sender}> {mail}".rstrip())
        assert r.code == 250, r
        for address, words in rcpts:
            r = c.cmd(f"RCPT TO:<{address}> {words}".rstrip())
            assert r.code == 250, r
        r = c.data(content)
        assert r.code == 250, r


def ours(where):
    """A failure with all of the message, one with its header, a success, through Postfix."""
    with World(where, far=NO_DSN) as w:
        send(w.gateway.port, ("gone@far.example", "ORCPT=rfc822;x+2By@far.example"),
             mail="RET=FULL ENVID=full+3D1 BODY=8BITMIME")
        r = w.report()
        assert r.message["Original-Envelope-Id"] == "full=1", r.raw
        assert r.rcpts[0]["Original-Recipient"] == "rfc822;x+y@far.example"
        assert r.rcpts[0]["Action"] == "failed" and r.rcpts[0]["Status"] == "5.1.1"
        assert r.rcpts[0]["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
        body = r.original.get_payload(0).get_payload(decode=True)
        assert body == CONTENT.split(b"\r\n\r\n")[1], r.raw
        assert b"by postfix.peer.example" in r.raw                 # it was there
        send(w.gateway.port, ("gone@far.example", ""), mail="RET=HDRS BODY=8BITMIME")
        r = w.report(2)
        assert r.original.get_content_type() == "text/rfc822-headers" and b"gr\xc3" not in r.raw
        send(w.gateway.port, ("ok@far.example", "NOTIFY=SUCCESS"), mail="RET=FULL ENVID=s")
        r = w.report(3)
        assert [g["Action"] for g in r.rcpts] == ["relayed"] and r.rcpts[0]["Status"][0] == "2"
        assert r.message["Original-Envelope-Id"] == "s" and b"the body" not in r.raw, r.raw


def delayed(where):
    with World(where, retry={"warn_after": Word("2s"), "expire_after": Word("8s")}) as w:
        send(w.gateway.port, ("busy@far.example", "NOTIFY=DELAY,FAILURE"), mail="ENVID=slow")
        first, last = w.report(), w.report(2)
        assert first.rcpts[0]["Action"] == "delayed" and first.rcpts[0]["Status"] == "4.2.1"
        for r in (first, last):
            assert r.rcpts[0]["Diagnostic-Code"] == "smtp; 450 4.2.1 busy", r.raw
            assert r.rcpts[0]["Remote-MTA"] and r.rcpts[0]["Last-Attempt-Date"], r.raw
        assert first.rcpts[0]["Will-Retry-Until"]
        assert last.rcpts[0]["Action"] == "failed" and last.rcpts[0]["Status"] == "4.4.7"
        assert {m.message["Original-Envelope-Id"] for m in (first, last)} == {"slow"}


def international(where):
    """The types of RFC 6533 for a message with SMTPUTF8, and addresses of the type utf-8: given in
    UTF-8, or encoded as that type has it."""
    with World(where) as w:
        send(w.gateway.port, ("gone-jürgen@far.example", "ORCPT=utf-8;jörg@far.example"),
             mail="SMTPUTF8 BODY=8BITMIME RET=HDRS")
        r = w.report()
        assert r.m.get_param("report-type") == "global-delivery-status", r.raw
        assert r.original.get_content_type() == "message/global-headers", r.raw
        assert r.rcpts[0]["Final-Recipient"] == "utf-8; gone-jürgen@far.example", r.raw
        assert r.rcpts[0]["Original-Recipient"] == "utf-8;jörg@far.example", r.raw
        assert max(r.raw) < 128, r.raw              # so that it passes everywhere
        send(w.gateway.port, ("gone-jürgen@far.example", r"ORCPT=utf-8;j\x{F6}rg@far.example"),
             mail="SMTPUTF8 BODY=8BITMIME")
        r = w.report(2)
        assert r.rcpts[0]["Original-Recipient"] == "utf-8;jörg@far.example", r.raw
        send(w.gateway.port, ("gone@far.example", r"ORCPT=utf-8;j\x{F6}rg@far.example"))
        r = w.report(3)
        assert r.m.get_param("report-type") == "delivery-status", r.raw
        assert r.rcpts[0]["Original-Recipient"] == r"utf-8;j\x{F6}rg@far.example", r.raw


def theirs(where):
    """What we passed on is in Postfix's reports: a success it had to tell of itself (its next hop
    knows no DSN), and a failure."""
    with World(where, back=NO_DSN) as w:
        w.back.at("rcpt", "550 5.1.1 gone away", match=b"gone@peer")
        send(w.gateway.port, ("ok@peer.example", "NOTIFY=SUCCESS ORCPT=rfc822;o+2Bk@peer.example"),
             ("gone@peer.example", "NOTIFY=FAILURE ORCPT=rfc822;first@peer.example"),
             ("quiet@peer.example", "NOTIFY=NEVER"), mail="RET=HDRS ENVID=mine+2B1")
        end = time.monotonic() + 90
        told = {}
        while len(told) < 2 and time.monotonic() < end:
            told = {}
            for m in list(w.back.messages):
                parsed = email.message_from_bytes(m.data)
                if parsed.get_content_type() == "multipart/report":
                    groups = [g for g in parsed.get_payload(1).get_payload() if list(g)]
                    told.update({g["Action"]: (groups[0], g) for g in groups[1:]})
            time.sleep(0.1)
        assert sorted(told) == ["failed", "relayed"], told.keys()
        for action, orcpt in (("relayed", "rfc822;o+k@peer.example"),
                              ("failed", "rfc822;first@peer.example")):
            message, rcpt = told[action]
            assert message["Reporting-MTA"] == "dns; postfix.peer.example"
            assert message["Original-Envelope-Id"] == "mine+1", message.items()
            assert rcpt["Original-Recipient"].replace(" ", "") == orcpt, rcpt.items()


def stands_for_others(where):
    """Postfix in front of us asks for success of an alias and of a list: it is told of both once,
    and Postfix behind us of neither."""
    aliases = where / "aliases"
    aliases.write_text("two: u@peer.example, v@peer.example\nlist: u@peer.example\n"
                       "owner-list: boss@from.example\n")
    with World(where, options={"route": {"aliases": f"hash:{aliases}"}}) as w:
        first = peers.make("postfix", where / "first", ports.free(),
                           relay=("127.0.0.1", w.gateway.port))
        first.start()
        try:
            for name in ("two", "list"):
                asked = f"NOTIFY=SUCCESS ORCPT=rfc822;{name}@x"
                send(first.port, (f"{name}@gateway.example", asked), mail=f"ENVID={name}")
            # three of the mail, of which two may come in one, and two reports
            wait_for("all", lambda: sum(len(m.recipients) for m in w.back.messages) >= 5)
            time.sleep(1)
            reports = [Parsed(m) for m in list(w.back.messages) if m.sender == ""]
            told = {r.message["Original-Envelope-Id"]: (r.rcpts[0]["Action"],
                                                        r.rcpts[0]["Original-Recipient"])
                    for r in reports}
            assert told == {"two": ("expanded", "rfc822;two@x"),
                            "list": ("delivered", "rfc822;list@x")}, told
            assert len(reports) == 2 and all("gateway.example" in r.message["Reporting-MTA"]
                                             for r in reports)
        finally:
            first.stop()


def passed_to_us(where):
    """Postfix in front of us: its ENVID, ORCPT and NOTIFY come out in our report."""
    with World(where) as w:
        first = peers.make("postfix", where / "first", ports.free(),
                           relay=("127.0.0.1", w.gateway.port))
        first.start()
        try:
            send(first.port, ("gone@far.example", "NOTIFY=FAILURE ORCPT=rfc822;was@far.example"),
                 ("gone2@far.example", "NOTIFY=NEVER"), mail="RET=HDRS ENVID=through")
            r = w.report()
            assert r.message["Original-Envelope-Id"] == "through"
            assert [g["Final-Recipient"] for g in r.rcpts] == ["rfc822; gone@far.example"], r.raw
            assert r.rcpts[0]["Original-Recipient"] == "rfc822;was@far.example"
            assert r.original.get_content_type() == "text/rfc822-headers"
        finally:
            first.stop()


def with_postfix(case, where):
    try:
        case(where)
    except fetch.Unavailable as e:
        raise Skip(e) from e


def main():
    return Report(must_run=True).cases("reports", (
        ours, delayed, international, theirs, stands_for_others, passed_to_us))


if __name__ == "__main__":
    sys.exit(main())
