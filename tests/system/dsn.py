#!/usr/bin/env python3
"""Reports: what the sender hears of failure, delay and expiry, what the next hop is asked for by
DSN parameters, and where reports go that cannot be delivered. Read with Python's email package.
tests/run: long sanitizers tests/run: anyone"""
import email
import email.utils
import os
import quopri
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient                    # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import EXTENSIONS, Sink               # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

CONTENT = "Subject: plan\r\nFrom: a@from.example\r\n\r\nthe body: gr\u00fc\u00df\r\n".encode()
SHORT = {"first": Word("1s"), "max": Word("1s")}


class Hops:
    """The gateway between a sink for the sender's domain, one that refuses `gone` and puts off
    `busy`, and one for the postmaster."""

    def __init__(self, where, retry=None, far=None, options=None):
        self.back, self.post = Sink(), Sink()
        self.far = Sink(extensions=far)
        self.far.at("rcpt", "550-5.1.1 no such user\n550 5.1.1 here", match=b"gone")
        self.far.at("rcpt", "450 4.2.1 busy", match=b"busy")
        self.where = where
        # The gateway's own name is delivered here: its postmaster reads mail elsewhere.
        self.options = {"postmaster": "postmaster@post.example",
                        "retry": {**SHORT, **(retry or {})}, "deliver": {"idle": Word("1s")},
                        "processes": {"finish": Word("1s"), "restart_first": Word("20ms"),
                                      "restart_max": Word("50ms")}, **(options or {})}

    def __enter__(self):
        for s in (self.back, self.far, self.post):
            s.start()
        table = {"from.example": ("127.0.0.1", self.back.port),
                 "far.example": ("127.0.0.1", self.far.port),
                 "post.example": ("127.0.0.1", self.post.port)}
        self.gateway = Gateway(self.where, mailertable=table, options=self.options).start()
        return self

    def __exit__(self, *what):
        try:
            self.gateway.__exit__(*what)
        finally:
            for s in (self.back, self.far, self.post):
                s.stop()

    def send(self, *rcpts, sender="a@from.example", mail="", content=CONTENT):
        """rcpts: 'u@x' or ('u@x', 'NOTIFY=...')."""
        with smtpclient.Client(self.gateway.port) as c:
            c.ehlo()
            assert c.cmd(f"MAIL FROM:<{sender}> {mail}".rstrip()).code == 250
            for r in rcpts:
                address, words = r if isinstance(r, tuple) else (r, "")
                reply = c.cmd(f"RCPT TO:<{address}> {words}".rstrip())
                assert reply.code == 250, reply
            reply = c.data(content)
            assert reply.code == 250, reply

    def report(self, sink=None, count=1, timeout_s=90):
        """The count-th message at the sink, taken apart."""
        return Parsed((sink or self.back).wait(count, timeout_s)[count - 1])


class Parsed:
    def __init__(self, message):
        self.raw, self.to, self.sender = message.data, message.recipients, message.sender
        self.mail = message.mail
        assert self.sender == "", f"a report's sender is {self.sender!r}"
        assert b"\r\n" in self.raw and b"\n" not in self.raw.replace(b"\r\n", b"")
        self.m = email.message_from_bytes(self.raw)
        assert not self.m.defects and self.m.get_content_type() == "multipart/report", self.raw
        assert self.m["Auto-Submitted"] == "auto-replied" and self.m["Date"]
        assert self.m["Message-ID"] and "MAILER-DAEMON@gateway.example" in self.m["From"]
        self.text, self.status, self.original = self.m.get_payload()
        kind = self.m.get_param("report-type")
        assert self.status.get_content_type() == f"message/{kind}"
        if kind == "delivery-status":
            groups = self.status.get_payload()
        else:
            body = self.status.get_payload(0).as_bytes()
            if self.status["Content-Transfer-Encoding"] == "quoted-printable":
                body = quopri.decodestring(body)
            groups = [email.message_from_string(g) for g in
                      body.decode().replace("\r\n", "\n").split("\n\n") if g.strip()]
        groups = [g for g in groups if list(g)]
        self.message, self.rcpts = groups[0], groups[1:]
        assert self.message["Reporting-MTA"] == "dns; gateway.example"
        assert self.message["Arrival-Date"]

    def when(self, group, field):
        return email.utils.parsedate_to_datetime(group[field]).timestamp()

    def words(self):
        return self.text.get_payload(decode=True).decode()


def events(g, name):
    return [e for e in g.events() if e["event"] == name]


def failure(where):
    """One report of the two that failed, none of the others; headers or all, as asked."""
    with Hops(where, options={"report": {"full_max": Word("1K")}}) as h:
        h.send(("gone1@far.example", "ORCPT=rfc822;first+2Blist@far.example"), "ok@far.example",
               "gone2@far.example", mail="RET=HDRS ENVID=QQ+2B314 BODY=8BITMIME")
        r = h.report()
        assert r.to == ["a@from.example"]
        assert r.message["Original-Envelope-Id"] == "QQ+314", r.message.items()
        assert [g["Final-Recipient"] for g in r.rcpts] == [
            "rfc822; gone1@far.example", "rfc822; gone2@far.example"], r.raw
        assert r.rcpts[0]["Original-Recipient"] == "rfc822;first+list@far.example"
        for g in r.rcpts:
            assert g["Action"] == "failed" and g["Status"] == "5.1.1", g.items()
            assert "no such user" in g["Diagnostic-Code"] and g["Remote-MTA"]
            assert g["Diagnostic-Code"].startswith("smtp; 550"), g["Diagnostic-Code"]
        assert "no such user" in r.words() and "gone1@far.example" in r.words()
        assert "ok@far" not in r.raw.decode("latin-1").replace("To: ", "")
        assert r.original.get_content_type() == "text/rfc822-headers"
        assert b"the body" not in r.raw and b"Subject: plan" in r.raw
        assert max(r.raw) < 128 and b"BODY=8BITMIME" not in r.mail, r.mail
        h.send("gone@far.example", mail="RET=FULL BODY=8BITMIME")
        full = h.report(count=2)
        assert b"BODY=8BITMIME" in full.mail and full.m["Content-Transfer-Encoding"] == "8bit"
        assert full.original.get_content_type() == "message/rfc822"
        assert full.original.get_payload(0).get_payload(decode=True) == \
            CONTENT.split(b"\r\n\r\n")[1], full.raw
        h.send("gone@far.example", mail="RET=FULL", content=b"Subject: long\r\n\r\n" +
               b"thirty bytes, with their end\r\n" * 40)
        long = h.report(count=3)
        assert long.original.get_content_type() == "text/rfc822-headers", long.raw
        assert "only the header comes back" in long.words(), long.words()
        time.sleep(0.3)
        assert len(h.back.messages) == 3 and not h.post.messages


def stands_for_others(where):
    """RFC 3461 5.2.7: one address is the next to tell, several are told of once, a list is no
    matter of the sender's any more."""
    aliases = where / "aliases"
    aliases.write_text("one: u@far.example\ntwo: v@far.example, w@far.example\n"
                       "list: m@far.example, gone@far.example\nowner-list: boss@post.example\n")
    with Hops(where, options={"route": {"aliases": f"hash:{aliases}"}}) as h:
        for name in ("one", "two", "list"):
            h.send((f"{name}@gateway.example", f"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{name}@x"),
                   mail=f"RET=HDRS ENVID={name}")
        h.send(("two@gateway.example", "NOTIFY=SUCCESS"), mail="ENVID=only")
        told = {}
        for n in range(1, 4):
            r = h.report(count=n)
            assert len(r.rcpts) == 1 and r.rcpts[0]["Status"] == "2.0.0", r.raw
            told[r.message["Original-Envelope-Id"]] = tuple(
                r.rcpts[0][f] for f in ("Action", "Final-Recipient", "Original-Recipient"))
        assert told == {
            "two": ("expanded", "rfc822; two@gateway.example", "rfc822;two@x"),
            "list": ("delivered", "rfc822; list@gateway.example", "rfc822;list@x"),
            "only": ("expanded", "rfc822; two@gateway.example", None)}, told
        owner = h.report(h.post)
        assert owner.to == ["boss@post.example"] and owner.rcpts[0]["Action"] == "failed"
        assert owner.rcpts[0]["Original-Recipient"] is None, owner.raw
        assert owner.message["Original-Envelope-Id"] is None, owner.raw
        words = {}
        for m in h.far.wait(4):
            envid = m.mail.partition(b"ENVID=")[2].decode()
            for r in m.rcpts:
                address, _, asked = r.partition(b">")
                words[address.split(b"<")[1].decode(), envid] = asked.strip().decode()
        made = "ORCPT=rfc822;two@gateway.example"
        assert words == {
            ("u@far.example", "one"): "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;one@x",
            ("v@far.example", "two"): "NOTIFY=FAILURE ORCPT=rfc822;two@x",
            ("w@far.example", "two"): "NOTIFY=FAILURE ORCPT=rfc822;two@x",
            ("v@far.example", "only"): f"NOTIFY=NEVER {made}",
            ("w@far.example", "only"): f"NOTIFY=NEVER {made}",
            ("m@far.example", ""): ""}, words
        time.sleep(0.3)
        assert len(h.back.messages) == 3, [m.data for m in h.back.messages]
        g = h.gateway
        id = g.wait_events("delivered", to="two@gateway.example")[0]["id"]
        text = b" ".join(g.cli("why", id).stdout.split())
        assert b"<two@gateway.example> was expanded" in text, text
        h.send(("two@gateway.example", "NOTIFY=SUCCESS"), "busy@far.example", mail="ENVID=wait")
        for _ in range(2):                              # also after a restart
            g.wait_log("to=<busy@far.example>")
            id = g.wait_events("deferred", to="busy@far.example")[0]["id"]
            g.wait_events("delivered", id=id, to="two@gateway.example")
            text = b" ".join(g.cli("why", id).stdout.split())
            assert b"<two@gateway.example> is done: expanded, to those it stands for" in text, text
            g.stop()
            g.start()


def notify(where):
    """NOTIFY decides: never, success (of a next hop that cannot say), failure."""
    with Hops(where, far=["PIPELINING", "8BITMIME"]) as h:
        h.send(("gone@far.example", "NOTIFY=NEVER"), ("ok@far.example", "NOTIFY=NEVER"))
        h.send(("gone@far.example", "NOTIFY=SUCCESS"), ("ok@far.example", "NOTIFY=FAILURE"))
        h.gateway.wait_log(r"(?s)(to=<gone@far.*){2}")
        h.send(("said@far.example", "NOTIFY=SUCCESS"))
        r = h.report()
        assert [g["Action"] for g in r.rcpts] == ["relayed"], r.raw
        assert r.rcpts[0]["Final-Recipient"] == "rfc822; said@far.example"
        h.send(("gone@far.example", "NOTIFY=FAILURE"), ("said@far.example", "NOTIFY=SUCCESS"))
        actions = sorted(h.report(count=n).rcpts[0]["Action"] for n in (2, 3))
        assert actions == ["failed", "relayed"], actions
        time.sleep(0.3)
        assert len(h.back.messages) == 3


def passed_on(where):
    """DSN parameters go to a next hop that knows them, as they were, and it does the telling."""
    with Hops(where) as h:
        h.send(("u@far.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@far.example"),
               ("v@far.example", "NOTIFY=NEVER"), "w@far.example",
               mail="RET=FULL ENVID=id+3D7")
        m = h.far.wait(1)[0]
        assert b"RET=FULL" in m.mail and b"ENVID=id+3D7" in m.mail, m.mail
        by = {a.split(b">")[0].split(b"<")[1]: a for a in m.rcpts}
        assert b"NOTIFY=SUCCESS,FAILURE" in by[b"u@far.example"], by
        assert b"ORCPT=rfc822;x+2By@far.example" in by[b"u@far.example"], by
        assert b"NOTIFY=NEVER" in by[b"v@far.example"], by
        assert b"NOTIFY" not in by[b"w@far.example"], by
        time.sleep(0.3)
        assert not h.back.messages
        g = h.gateway                                   # survives a restart of everything
        h.far.at("connect", "421 4.3.2 later", times=3)
        h.send(("again@far.example", "NOTIFY=FAILURE ORCPT=rfc822;orig@far.example"),
               mail="ENVID=second")
        g.stop()
        g.start()
        m = h.far.wait(2)[1]
        assert b"ENVID=second" in m.mail and b"ORCPT=rfc822;orig@far.example" in m.rcpts[0], m


def last_attempt(r, began, status):
    """What the far host said when it was asked last, and when that was."""
    rcpt = r.rcpts[0]
    assert rcpt["Status"] == status and rcpt["Remote-MTA"] == "dns; [127.0.0.1]", r.raw
    assert rcpt["Diagnostic-Code"] == "smtp; 450 4.2.1 busy", r.raw
    assert "does not take mail now" in r.words(), r.words()
    assert re.search(r"\[127\.0\.0\.1\], at RCPT, ", r.words()), r.words()
    assert began - 1 <= r.when(rcpt, "Last-Attempt-Date") <= time.time(), r.raw


def delay_and_expiry(where):
    """A warning once, then the end, each to whom it was asked for, with what was said last; the
    times are those of the rule."""
    rule = {"sender": ["@from.example"], "warn_after": Word("4s"), "expire_after": Word("12s")}
    began = time.time()
    with Hops(where, options={'delivery_rule "far"': rule}) as h:
        h.send("busy@far.example", mail="ENVID=slow")
        h.send(("busy2@far.example", "NOTIFY=FAILURE"), sender="b@from.example",
               mail="ENVID=quiet")
        h.send(("busy3@far.example", "NOTIFY=NEVER"), sender="c@from.example")
        r = h.report()
        assert r.to == ["a@from.example"] and r.rcpts[0]["Action"] == "delayed", r.raw
        assert r.message["Original-Envelope-Id"] == "slow"
        last_attempt(r, began, "4.2.1")
        arrived = r.when(r.message, "Arrival-Date")
        assert abs(r.when(r.rcpts[0], "Will-Retry-Until") - arrived - 12) <= 1, r.raw
        ends = [h.report(count=2), h.report(count=3)]
        for e in ends:
            assert e.rcpts[0]["Action"] == "failed", e.raw
            last_attempt(e, began, "4.4.7")
        assert sorted(e.to[0] for e in ends) == ["a@from.example", "b@from.example"]
        g = h.gateway
        wait_for("nothing is left", lambda: len(events(g, "failed")) >= 3)
        time.sleep(1.5)
        assert len(h.back.messages) == 3, [m.recipients for m in h.back.messages]
        assert not h.post.messages
        g.wait_log("DSN: Cannot send message for 12 seconds")
        assert "and we try for 12s. What happened last:" in " ".join(ends[0].words().split())
        for rcpt, told in (("busy", "its sender <a@from.example> was told"),
                           ("busy3", "nobody was told, as its sender had asked")):
            text = " ".join(g.cli("why", f"{rcpt}@far.example").stdout.decode().split())
            assert re.search(rf"<{rcpt}@far.example> was given up .+, as its time was over after "
                             r"1\ds \(expire_after = 12s of delivery_rule \"far\"\); what was said "
                             rf"last, at \S+ \S+: 450 4.2.1 busy; {told}", text), text
        h.send("busy4@far.example", sender="d@from.example")
        g.wait_log("to=<busy4@far.example>.*busy")
        wait_for("it is bounced, in no attempt", lambda: g.cli(
            "queue", "bounce", "--yes", "--to", "busy4@far.example").returncode == 0)
        r = wait_for("the end, which a warning may precede", lambda: [
            r for r in map(Parsed, h.back.messages[3:]) if r.rcpts[0]["Action"] == "failed"])[0]
        assert r.rcpts[0]["Status"] == "5.7.1" and not r.rcpts[0]["Remote-MTA"], r.raw
        assert "administrator" in r.words() and "not take" not in r.words(), r.words()


def ended(where):
    """What a person has ended says so, and what was frozen until its time was over does."""
    with Hops(where, options={"retry": {**SHORT, "expire_after": Word("8s"),
                                        "warn_after": Word("5s")}}) as h:
        g = h.gateway
        assert g.cli("queue", "freeze", "far.example").returncode == 0
        h.send("tried@far.example")
        h.send(("never@far.example", "NOTIFY=NEVER"), sender="b@from.example")
        h.send("no@far.example", sender="")
        h.send("left@far.example", sender="c@from.example")
        for to, told in (("tried", b""),
                         ("never", b"1 of them: nobody is told, as its sender asked"),
                         ("no", b"1 of them: the postmaster is told, as it has no sender")):
            done = g.cli("queue", "expire", "--yes", "--to", f"{to}@far.example")
            assert done.returncode == 0 and told in done.stdout, done
            assert told or b"told" not in done.stdout, done
        r = h.report()
        words = " ".join(r.words().split())
        assert r.rcpts[0]["Status"] == "4.4.7", r.raw
        assert "An administrator of our mail system has ended the time" in words, words
        assert "there was no attempt" in words and "frozen" not in words, words
        assert h.report(h.post).to == ["postmaster@post.example"]
        for to, told in (("tried", "its sender <a@from.example> was told"),
                         ("never", "nobody was told, as its sender had asked"),
                         ("no", "as it has no sender, the postmaster <postmaster@post.example>")):
            g.wait_events("failed", to=f"{to}@far.example")
            text = " ".join(g.cli("why", f"{to}@far.example").stdout.decode().split())
            assert re.search(rf"was given up .+, as wanted by [^;:]+; {told}", text), text
        delay, end = h.report(count=2), h.report(count=3)
        assert (delay.rcpts[0]["Action"], end.rcpts[0]["Action"]) == ("delayed", "failed")
        words = " ".join(end.words().split())
        assert "Its time was over" in words and "frozen by an administrator" in words, words
        g.wait_events("dsn_sent", 3)
        text = " ".join(g.cli("why", "left@far.example").stdout.decode().split())
        assert re.search(r"as its time was over after \d+s \(retry.expire_after = 8s\); the last "
                         r"word: frozen by an administrator; its sender <c@from", text), text


def double_bounce(where):
    """A report that fails goes to the postmaster; so does a failure of mail without a sender."""
    with Hops(where) as h:
        h.send("gone@far.example", sender="gone-too@far.example")
        r = h.report(h.post)
        assert r.to == ["postmaster@post.example"], r.to
        h.gateway.wait_events("double_bounce")
        h.send("gone@far.example", sender="")
        r = h.report(h.post, 2)
        assert r.rcpts[0]["Final-Recipient"] == "rfc822; gone@far.example"
        assert not h.back.messages


def held(where):
    """When the postmaster cannot be reached either it is held with an alarm, and goes out once it
    is released."""
    with Hops(where) as h:
        rule = h.post.at("rcpt", "550 5.1.1 no postmaster")
        h.send("gone@far.example", sender="")
        event = wait_for("an alarm", lambda: events(h.gateway, "bounce_held"))[-1]
        assert event["severity"] == "alarm", event
        listed = h.gateway.cli("queue", "list", "--json")
        assert listed.returncode == 0, listed
        assert event["id"].encode() in listed.stdout and b"held" in listed.stdout.lower(), listed
        time.sleep(1.5)
        assert not h.post.messages
        h.gateway.stop()
        h.gateway.start()                               # it is held after a restart as well
        time.sleep(0.5)
        assert not h.post.messages
        h.post.rules.remove(rule)
        r = h.gateway.cli("queue", "release", event["id"])
        assert r.returncode == 0, r
        h.post.wait(1)


def utf8(where):
    """An address in UTF-8: the report speaks it when its way allows."""
    with Hops(where) as h:
        h.send("gone-j\u00fcrgen@far.example", mail="SMTPUTF8 BODY=8BITMIME")
        r = h.report()
        assert r.rcpts[0]["Final-Recipient"] == "utf-8; gone-j\u00fcrgen@far.example", r.raw
        assert "j\u00fcrgen" in r.words(), r.words()
        assert r.m.get_param("report-type") == "global-delivery-status"
        assert max(r.raw) < 128 and b"SMTPUTF8" not in r.mail and b"8BIT" not in r.mail, r.mail
        h.send("gone-j\u00fcrgen@far.example", sender="b\u00e4r@from.example",
               mail="SMTPUTF8 BODY=8BITMIME")
        r = h.report(count=2)
        assert b"SMTPUTF8" in r.mail and b"BODY=8BITMIME" in r.mail, r.mail
        assert "Final-Recipient: utf-8; gone-j\u00fcrgen@far.example" in r.raw.decode(), r.raw


def killed(where):
    """qmgr dies again and again while mail fails: every sender hears of it."""
    count = 300
    with Hops(where) as h:
        for n in range(count):
            h.send(f"gone{n}@far.example", mail=f"ENVID=n{n}x")
            if n % 60 == 30:
                before = h.gateway.roles()["qmgr"]
                os.kill(before[0], signal.SIGKILL)
                wait_for("qmgr", lambda before=before: taken(h, before))
        told = wait_for("all are told", lambda: all_told(h, count))
        extra = len(h.back.messages) - count
        print(f"# {count} failures, {len(told)} told, {extra} of them more than once")
        assert extra <= 60, f"{extra} were told twice"


def taken(h, before):
    if h.gateway.roles().get("qmgr", before) == before:
        return False
    with smtpclient.Client(h.gateway.port) as c:
        c.ehlo()
        return c.envelope("a@from.example", "probe@post.example").code == 250


def all_told(h, count):
    """Whom, once they are all."""
    h.back.wait(count)
    have = {Parsed(m).message["Original-Envelope-Id"] for m in list(h.back.messages)}
    return have if have >= {f"n{n}x" for n in range(count)} else None


def main():
    report = Report()
    assert "DSN" in EXTENSIONS
    return report.cases("dsn", (
        failure, stands_for_others, notify, passed_on, delay_and_expiry, ended, double_bounce, held,
        utf8, killed), at_once=3)


if __name__ == "__main__":
    sys.exit(main())
