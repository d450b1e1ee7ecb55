#!/usr/bin/env python3
"""What becomes of mail between RCPT and the first attempt: the listeners' delivery modes, what the
mailertable refuses, addresses in UTF-8, the postmaster, and mail that comes round again."""
import email
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import EXTENSIONS, Sink               # noqa: E402
from lib.zonedns import ZoneDns                     # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
ID = r"[0-9A-Za-x]{14}"
ONE = {"smtpd": 1, "deliver": 1}


def submit(port, rcpts=("b@dest.example",), **options):
    """The queue id."""
    reply = smtpclient.deliver(port, MESSAGE, rcpts=rcpts, **options)
    assert reply.code == 250, reply
    return re.search(ID, reply.text).group()


def queue(g, *args):
    r = g.cli("queue", *args)
    assert r.returncode == 0, f"queue {args}: {r.stdout}{r.stderr}"
    return r.stdout.decode()


def rows(g):
    return [json.loads(line) for line in queue(g, "--json", "list").splitlines()]


def reload(g):
    done = len([e for e in g.events() if e["event"] == "config_reloaded"])
    g.process.send_signal(signal.SIGHUP)
    wait_for("reload", lambda: len(
        [e for e in g.events() if e["event"] == "config_reloaded"]) > done)


def status(message):
    """(the report's text, the fields for each recipient)."""
    m = email.message_from_bytes(message.data)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    words, fields = m.get_payload()[:2]
    return words.get_payload(decode=True).decode(), [g for g in fields.get_payload()[1:] if g]


def modes(where):
    """hold waits for a release, queue_only and defer for a queue run, and until then nobody is
    asked for an address."""
    options = {"route": {"smart_host": None}, "processes": ONE}
    listeners = {name: ports.free() for name in ("hold", "queue_only", "defer")}
    for name, port in listeners.items():
        options[f'listen "{name}"'] = {"address": [f"127.0.0.1:{port}"], "delivery": Word(name)}
    with Sink() as sink, ZoneDns("dest.example MX 10 mx.dest.example\n"
                                 "mx.dest.example A 127.0.0.1\n") as dns:
        options["dns"] = {"servers": [dns.address], "dnssec": Word("off")}
        options["deliver"] = {"port": sink.port}
        with Gateway(where, options=options) as g:
            ids = {name: submit(port, [f"{name}@dest.example"])
                   for name, port in listeners.items()}
            time.sleep(0.7)
            assert not sink.messages and not dns.asked("dest.example"), dns.queries
            states = {m["id"]: m["recipients"][0]["state"] for m in rows(g)}
            assert states[ids["hold"]] == "held", states
            assert len(states) == 3 and set(states.values()) <= {"held", "waiting"}, states
            queue(g, "run")
            arrived = [m.recipients[0] for m in sink.wait(2)]
            assert sorted(arrived) == ["defer@dest.example", "queue_only@dest.example"], arrived
            asked = dns.asked("dest.example", "MX")     # one that is answered late is repeated
            time.sleep(0.3)
            assert len(sink.messages) == 2
            queue(g, "release", ids["hold"])
            assert sink.wait(3)[2].recipients == ["hold@dest.example"]
            assert dns.asked("dest.example", "MX") == asked >= 1
            wait_for("an empty queue", lambda: not rows(g))


def no_queue_run(where):
    """queue.run sends by itself what waits for one; deferred mail does not wait for it."""
    later = ports.free()
    options = {"queue": {"run": Word("10s")}, "processes": ONE, 'listen "later"': {
        "address": [f"127.0.0.1:{later}"], "delivery": Word("queue_only")}}
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=options) as g:
        id = submit(later)
        submit(g.port, ["now@dest.example"])
        assert {m.recipients[0] for m in sink.wait(2)} == {"now@dest.example", "b@dest.example"}
        wait_for("both are seen as sent", lambda: len(
            [e for e in g.events() if e["event"] == "delivered"]) == 2)
        sent = next(e for e in g.events() if e["event"] == "delivered" and e["id"] == id)
        run = [e for e in g.events() if e["event"] == "queue_run"]
        assert run and run[0]["time"] <= sent["time"], (run, sent)


def mailertable_says_no(where):
    """error: is said at RCPT, with its code and words; for queued mail it is asked anew."""
    later = ports.free()
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), mailertable={
            "gone.example": "error:5.1.6:550 They moved",
            ".gone.example": "error:nohost:Nobody below either",
            "later.example": "error:4.2.1:450 Come back tomorrow"}, options={
            "processes": ONE, 'listen "later"': {"address": [f"127.0.0.1:{later}"],
                                                 "delivery": Word("queue_only")}}) as g:
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@x.example>")
            for rcpt, code, words in (("u@gone.example", 550, r" 5\.1\.6 .*They moved"),
                                      ("u@GONE.example", 550, "They moved"),
                                      ("u@x.gone.example", 550, "Nobody below either"),
                                      ("u@later.example", 450, r" 4\.2\.1 .*Come back tomorrow"),
                                      ("u@dest.example", 250, "")):
                reply = c.cmd(f"RCPT TO:<{rcpt}>")
                assert reply.code == code and re.search(words, reply.text), (rcpt, reply)
            assert c.data(MESSAGE).code == 250
        assert sink.wait(1)[0].recipients == ["u@dest.example"]
        submit(later, ["u@soon.example", "u@stays.example"])
        g.write_mailertable({"soon.example": "error:5.1.6:550 They moved as well"})
        reload(g)
        queue(g, "run")
        messages = sink.wait(3)[1:]
        assert {m.sender for m in messages} == {"a@client.example", ""}, messages
        (report,) = [m for m in messages if m.sender == ""]
        words, fields = status(report)
        assert [f["Final-Recipient"] for f in fields] == ["rfc822; u@soon.example"], fields
        assert fields[0]["Status"] == "5.1.6" and "They moved as well" in words, words


def utf8(where):
    """Addresses in UTF-8 need SMTPUTF8, here and at the next hop; a table's A-labels and U-labels
    are one name."""
    poor = [x for x in EXTENSIONS if x != "SMTPUTF8"]
    with Sink() as able, Sink(extensions=poor) as unable, Gateway(where, mailertable={
            "xn--bcher-kva.example": ("127.0.0.1", able.port),
            "dest.example": ("127.0.0.1", able.port),
            "old.example": ("127.0.0.1", unable.port)}, options={
            "relay": {"from": ["127.0.0.9"], "domains": ["xn--bcher-kva.example", "old.example"]},
            "processes": ONE}) as g:
        with smtpclient.Client(g.port) as c:
            assert "SMTPUTF8" in c.ehlo().text
            assert c.cmd("MAIL FROM:<a@dest.example>").code == 250
            reply = c.cmd("RCPT TO:<j\u00f6rg@b\u00fccher.example>")
            assert reply.code == 553 and " 5.6.7 " in reply.text, reply
            assert c.cmd("RCPT TO:<jorg@xn--bcher-kva.example>").code == 250
            c.cmd("RSET")
            assert c.cmd("MAIL FROM:<\u00e4@dest.example> SMTPUTF8").code == 250
            assert c.cmd("RCPT TO:<j\u00f6rg@B\u00dcCHER.example>").code == 250
            reply = c.cmd("RCPT TO:<j\u00f6rg@b\u00fccher.other.example>")
            assert reply.code == 550 and " 5.7.1 " in reply.text, reply
            c.send(b"RCPT TO:<j\xf6rg@xn--bcher-kva.example>\r\n")      # Latin-1 is not UTF-8
            assert c.reply().code == 553
            assert c.cmd("RCPT TO:<gr\u00fc\u00df@old.example>").code == 250
            assert c.cmd("RCPT TO:<ascii@old.example>").code == 250
            assert c.data("Subject: gr\u00fc\u00df\r\n\r\nhello\r\n").code == 250
        got = able.wait(2)
        (mail,) = [m for m in got if m.sender]
        assert mail.mail.split()[2:] and b"SMTPUTF8" in mail.mail, mail.mail
        assert mail.recipients[0].startswith("j\u00f6rg@"), mail.recipients
        assert b"with UTF8SMTP" in mail.headers, mail.headers
        # The sender's address needs it too: nobody at old.example can get this message.
        (report,) = [m for m in got if not m.sender]
        assert not unable.messages
        words, fields = status_utf8(report)
        assert "5.6.7" in fields and "old.example" in fields, fields
        assert report.recipients == ["\u00e4@dest.example"] and b"SMTPUTF8" in report.mail


def status_utf8(message):
    """The same of a report in UTF-8 (RFC 6533), as text: Python does not take it apart."""
    m = email.message_from_bytes(message.data)
    words, fields = m.get_payload()[:2]
    return words.get_payload(decode=True).decode(), fields.as_bytes().decode()


def postmaster(where):
    """Everybody may write to it, without a domain too (RFC 5321 4.5.1), and to no other name
    without a domain."""
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), options={
            "relay": {"from": ["127.0.0.9"]}, "postmaster": "the.post@far.example",
            "processes": ONE}) as g:
        for rcpt in ("<postmaster>", "<Postmaster>", "POSTMASTER", "<the.post@far.example>",
                     "<The.Post@Far.Example>"):
            count = len(sink.messages)
            with smtpclient.Client(g.port, source="127.0.0.2") as c:
                c.ehlo()
                c.cmd("MAIL FROM:<>")
                reply = c.cmd(f"RCPT TO:{rcpt}")
                assert reply.code == 250, (rcpt, reply)
                assert c.data(MESSAGE).code == 250
            m = sink.wait(count + 1)[-1]
            assert m.recipients[0].lower() == "the.post@far.example", m.rcpts
        with smtpclient.Client(g.port, source="127.0.0.2") as c:
            c.ehlo()
            c.cmd("MAIL FROM:<>")
            for rcpt in ("<postmaster@far.example>", "<postmaster2>", "<no.such.user>", "<a>",
                         "<other@far.example>", '<"postmaster"@far.example>',
                         "<the.post@far.example.org>", "<postmaster%x@far.example>"):
                assert c.cmd(f"RCPT TO:{rcpt}").code // 100 == 5, rcpt
    with Sink() as sink, Gateway(where / "default", smart_host=("127.0.0.1", sink.port),
                                 options={"postmaster": None, "processes": ONE}) as g:
        submit(g.port, ["postmaster"])              # an alias of root, who has none: it waits
        found = g.wait_log(r"to=<(\w+)@gateway\.example>.*stat=(Deferred|Sent)")
        assert os.geteuid() or found.groups() == ("root", "Deferred"), found.group()


class Pipe:
    """A port that leads to another one: so that a gateway's own mail comes back to it, from an
    address that is not its own."""

    def __init__(self, to):
        self.to, self.listener = to, socket.create_server(("127.0.0.1", 0))
        self.port, self.count = self.listener.getsockname()[1], 0
        self.running = threading.Thread(target=self.run, daemon=True)
        self.running.start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            far = socket.create_connection(("127.0.0.1", self.to))
            for a, b in ((conn, far), (far, conn)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while got := a.recv(65536):
                b.sendall(got)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ports.shut(self.listener, self.running)


def loops(where):
    """Mail that comes back is found by our own id in Received, after few rounds, and returned; so
    is mail with too many Received headers, whoever wrote them."""
    g = Gateway(where, options={"processes": ONE, "limits": {"hops": 20}})
    with Sink() as sink, Pipe(g.port) as pipe:
        g.mailertable = {"round.example": ("127.0.0.1", pipe.port),
                         "from.example": ("127.0.0.1", sink.port)}
        with g:
            submit(g.port, ["u@round.example"], sender="a@from.example")
            report = sink.wait(1)[0]
            assert report.sender == "" and report.recipients == ["a@from.example"]
            words, fields = status(report)
            assert fields[0]["Status"] == "5.4.6", fields
            assert fields[0]["Final-Recipient"] == "rfc822; u@round.example", fields
            received = len([e for e in g.events() if e["event"] == "received"])
            assert received <= 4, f"{received} times round"
            time.sleep(0.3)
            assert len(sink.messages) == 1
            with smtpclient.Client(g.port) as c:
                c.ehlo()
                for n, code in ((20, 250), (21, 554)):
                    c.envelope("a@from.example", "u@from.example")
                    reply = c.data(b"Received: from x by y; Thu, 1 Jan 2026 00:00:00 +0000\r\n" * n
                                   + MESSAGE)
                    assert reply.code == code, (n, reply)
                    assert code == 250 or "5.4.6" in reply.text, reply
            assert sink.wait(2)[1].data.count(b"Received:") == 21
            wait_for("an empty queue", lambda: not rows(g))


def own_address(where):
    """A next hop that is one of our own listeners is not connected to: the rule is passed over."""
    with Sink() as sink:
        g = Gateway(where, smart_host=("127.0.0.1", sink.port), options={"processes": ONE})
        g.mailertable = {"self.example": ("127.0.0.1", g.port),
                         "from.example": ("127.0.0.1", sink.port)}
        with g:
            submit(g.port, ["u@self.example"], sender="a@from.example")
            assert sink.wait(1)[0].recipients == ["u@self.example"]
            assert len(g.wait_events("received")) == 1


def main():
    return Report().cases("intake", (
        modes, no_queue_run, mailertable_says_no, utf8, postmaster, loops, own_address), at_once=4)


if __name__ == "__main__":
    sys.exit(main())
