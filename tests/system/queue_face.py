#!/usr/bin/env python3
"""mailq, sendmail -q, -Q and hoststat word for word, postern retry, and what happens to the mail
when several look on at once, look away, or read slowly.
tests/run: sanitizers tests/run: anyone
tests/run: first"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.sink import STALL, Sink                    # noqa: E402
from lib.waiting import until                       # noqa: E402

MANY = 1000 if os.environ.get("POSTERN_LONG") == "1" else 300
ID = r"6?[0-9A-Za-x]{14}"
BODY = "Subject: x\r\n\r\nhello\r\n"
STEPS = ["8BITMIME", "ENHANCEDSTATUSCODES"]         # no PIPELINING, DATA
SHORT = {"timeout": {"initial": Word("4s"), "helo": Word("4s")}}


class Desk:
    """A gateway whose mail waits for a queue run on one listener, is held on another."""

    def __init__(self, where, next_hop, mailertable=None, **options):
        self.where, self.later, self.hold = where, ports.free(), ports.free()
        self.g = Gateway(where / "g", smart_host=next_hop, mailertable=mailertable, options={
            'listen "later"': {"address": [f"127.0.0.1:{self.later}"],
                               "delivery": Word("queue_only")},
            'listen "hold"': {"address": [f"127.0.0.1:{self.hold}"], "delivery": Word("hold")},
            "retry": {"first": Word("1h"), "max": Word("2h")},
            "processes": {"restart_first": Word("50ms"), "restart_max": Word("200ms")},
            **options})

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)

    def link(self, name):
        link = self.where / name
        if not link.exists():
            link.symlink_to(binary().resolve())
        return str(link)

    def start(self, name, *args, **options):
        command = [str(binary()), *args] if name == "postern" else [self.link(name), *args]
        return subprocess.Popen([*command, "-C", str(self.g.conf)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "TZ": "UTC0"}, **options)

    def run(self, name, *args, code=0, timeout_s=120):
        p = self.start(name, *args)
        out, err = (b.decode(errors="replace") for b in p.communicate(timeout=timeout_s))
        assert p.returncode == code, f"{name} {args}: {p.returncode}: {out}{err}"
        return out + err

    def mail(self, *rcpts, port=None, sender="y@drj.com", text=BODY):
        r = smtpclient.deliver(port or self.later, text, sender=sender, rcpts=rcpts)
        assert r.code == 250, r
        return re.search(r"[0-9A-Za-x]{14}", r.text).group()

    def many(self, count, domain):
        with smtpclient.Client(self.later) as c:
            c.ehlo()
            for i in range(count):
                c.send(f"MAIL FROM:<y@drj.com>\r\nRCPT TO:<u{i}@{domain}>\r\nDATA\r\n")
                assert [c.reply().code for _ in range(3)] == [250, 250, 354]
                c.send(f"Subject: {i}\r\n\r\nhello\r\n.\r\n")
                assert c.reply().code == 250

    def wait_mailq(self, pattern, *args, timeout_s=90):
        return until(lambda: re.search(pattern, text := self.run("mailq", *args), re.S) and text,
                     timeout_s, lambda: f"no /{pattern}/ in {self.run('mailq', *args)}")


def masked(d, text):
    """Queue, ids, dates, sizes of messages and ports are as the run had them."""
    text = text.replace(str(d.g.dir / "spool" / "q0"), "/mqueue/q0")
    text = re.sub(r"^[0-9A-Za-x]{14}([ *-]) *\d+ ", r"IDIDIDIDIDIDID\1    SIZE ", text, flags=re.M)
    text = re.sub(r"\b6[0-9A-Za-x]{13}\b", "IDIDIDIDIDIDID", text)
    text = re.sub(r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat) \w{3} [ \d]\d \d\d:\d\d", "Fri Nov 20 08:46",
                  text)
    text = re.sub(r" +\d+([ +])\w{3} [ \d]\d \d\d:\d\d", r"    PRIO\1Nov 20 08:46", text)
    return re.sub(r"SIZE=\d+", "SIZE=302", text)


def same(got, want):
    want = want.lstrip("\n")
    assert got == want, f"got:\n{got}\nwant:\n{want}"


def listing(where):
    """mailq and -bp, with and without -v, and the ways to choose."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        same(masked(d, d.run("mailq")), "/mqueue/q0 is empty\n\t\tTotal requests: 0\n")
        sink.at("rcpt", "451 4.7.1 greylisted, come back in a long while, perhaps even tomorrow",
                match=b"refused.test")
        d.mail("user@refused.test", "z@yahoo.com", port=d.g.port)
        d.wait_mailq("Deferred")
        d.mail("root@drj.com", sender="")
        same(masked(d, d.run("sendmail", "-bp")), """
\t\t/mqueue/q0 (2 requests)
-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------
IDIDIDIDIDIDID     SIZE Fri Nov 20 08:46 <y@drj.com>
                 (Deferred: 451 4.7.1 greylisted, come back in a long while, p)
\t\t\t\t\t <user@refused.test>
IDIDIDIDIDIDID     SIZE Fri Nov 20 08:46 <>
\t\t\t\t\t <root@drj.com>
\t\tTotal requests: 2
""")
        same(masked(d, d.run("mailq", "-v", "-qRREFUSED")), """
\t\t/mqueue/q0 (1 request)
-----Q-ID----- --Size-- -Priority- ---Q-Time--- --------Sender/Recipient--------
IDIDIDIDIDIDID     SIZE    PRIO Nov 20 08:46 <y@drj.com>
                 (Deferred: 451 4.7.1 greylisted, come back in a long while, p)
\t\t\t\t\t\t<user@refused.test>
\t\tTotal requests: 1
""")
        first = d.run("mailq").splitlines()[2][:14]
        for args, n in ((["-qSDRJ"], 1), (["-q!Sdrj"], 1), (["-qRrefused", "-qRroot"], 2),
                        (["-qRroot", "-qSy@"], 0), ([f"-qI{first[-4:]}"], 1), (["-qQ"], 0),
                        (["-q!Rroot"], 1), (["-q!Rroot", "-q!Rrefused"], 2),
                        (["-q!Sdrj", "-q!Snobody"], 2), (["-q!Sdrj", "-q!Rroot"], 0),
                        (["-qRroot", "-q!Rrefused"], 1)):
            found = d.run("mailq", *args)
            assert f"Total requests: {n}\n" in found, (args, found)
        raw = d.run("mailq", "-v").splitlines()[2]
        size = int(raw[15:23])
        assert int(raw[24:34]) == size + 2 * 30000 + 90000, raw
        d.mail("b@body.example", text=BODY)
        with smtpclient.Client(d.later) as c:
            c.ehlo()
            for line in ("MAIL FROM:<y@drj.com> BODY=8BITMIME", "RCPT TO:<e@eight.example>",
                         "DATA", BODY + "."):
                c.send(line + "\r\n")
                assert c.reply().code in (250, 354)
        assert "\n      8BITMIME\n\t\t\t\t\t <e@eight.example>\n" in d.run("mailq", "-qReight")
        sink.at("mail", STALL, stall_s=60)
        busy = d.mail("slow@busy.example", port=d.g.port)
        d.wait_mailq(rf"{busy}\*", "-qRbusy")
        assert d.run("sendmail", "-bP").startswith("mqueue: 5 messages, ")


def transcript(where):
    """-v -qR in sendmail's words, over one connection; DATA, no pipelining, as in the original."""
    with Sink(extensions=STEPS, banner="220 peer-35 ESMTP lab") as sink, \
            Desk(where, ("127.0.0.1", sink.port)) as d:
        d.mail("u@rnbdesign.com", sender="a@drj.com")
        d.mail("v@rnbdesign.com", "w@else.example", sender="a@drj.com")
        d.mail("x@elsewhere.example")
        assert d.run("sendmail", "-qRnobody.example", "-v") == ""
        said = d.run("sendmail", "-qRRNBdesign.com", "-v")
        assert said.startswith("\nRunning "), said
        same(masked(d, said[1:]), """
Running /mqueue/q0/IDIDIDIDIDIDID (sequence 1 of 2)
u@rnbdesign.com... Connecting to [127.0.0.1] via relay...
220 peer-35 ESMTP lab
>>> EHLO gateway.example
250-sink.example
250-8BITMIME
250 ENHANCEDSTATUSCODES
>>> MAIL FROM:<a@drj.com>
250 2.1.0 ok
>>> RCPT TO:<u@rnbdesign.com>
250 2.1.5 ok
>>> DATA
354 go on
>>> .
250 2.0.0 taken
u@rnbdesign.com... Sent (taken)

Running /mqueue/q0/IDIDIDIDIDIDID (sequence 2 of 2)
v@rnbdesign.com,w@else.example... Using cached ESMTP connection to [127.0.0.1] via relay...
>>> MAIL FROM:<a@drj.com>
250 2.1.0 ok
>>> RCPT TO:<v@rnbdesign.com>
250 2.1.5 ok
>>> RCPT TO:<w@else.example>
250 2.1.5 ok
>>> DATA
354 go on
>>> .
250 2.0.0 taken
v@rnbdesign.com... Sent (taken)
w@else.example... Sent (taken)
Closing connection to [127.0.0.1]
>>> QUIT
221 2.0.0 bye
""")
        assert len(sink.messages) == 2 and sink.sessions == 1
        assert "Total requests: 1\n" in d.run("mailq")
        assert d.run("sendmail", "-qGnosuch") == "Queue group nosuch unknown\n"
        assert d.run("sendmail", "-qX", code=64) == "Invalid time unit `X'\n"
        assert d.run("sendmail", "-qL") == "" == d.run("sendmail", "-qL", "-v")
        assert "Total requests: 0" in d.run("mailq", "-qL")
        assert d.run("sendmail", "-qf") == ""
        assert len(sink.messages) == 3, "the foreground run came back before its delivery"


def always_connects(where):
    """-qR, -qS and -qI try past a back-off, each time; a run of all does not, and the reason is
    there all the same. What a peer says cannot reach the terminal as it is."""
    port = ports.free()
    with Desk(where, ("127.0.0.1", port), **SHORT) as d:
        id = d.mail("x@refused.test", port=d.g.port)
        d.wait_mailq("Connection refused")
        want = """
Running /mqueue/q0/IDIDIDIDIDIDID (sequence 1 of 1)
x@refused.test... Connecting to [127.0.0.1] via relay...
x@refused.test... Deferred: Connection refused by [127.0.0.1].
"""
        for choice in ("-qRrefused", "-qRrefused", "-qSy@drj", f"-qI{id}"):
            assert masked(d, d.run("sendmail", choice, "-v")) == want, choice
        assert masked(d, d.run("sendmail", "-q", "-v")) == want.replace(
            "x@refused.test... Connecting to [127.0.0.1] via relay...\n", "")
        host = d.run("hoststat").splitlines()
        assert host[0] == (" -------------- Hostname --------------- How long ago "
                           "---------Results---------"), host
        assert re.fullmatch(r" \[127\.0\.0\.1\] {33}00:\d\d:\d\d Deferred: Connection refu",
                            host[1]), host
        assert "by [127.0.0.1]." in d.run("sendmail", "-bh", "-v")
        assert d.run("purgestat") == "" and len(d.run("hoststat").splitlines()) == 2
        with Sink(port=port) as sink:
            sink.at("mail", "451 4.7.1 \x1b[31mred\x1b[0m \x9b2J", times=1)
            said = d.run("sendmail", "-qRrefused", "-v")
            assert "451 4.7.1" in said and "\x1b" not in said and "\x9b" not in said, repr(said)
            sink.at("ehlo", STALL, times=1)
            said = d.run("sendmail", "-qRrefused", "-v")
            assert "x@refused.test... Deferred: timeout waiting for input from [127.0.0.1] " \
                   "during client EHLO\n" in said, said
            assert "Sent (taken)\n" in d.run("sendmail", "-qRrefused", "-v")
            assert len(sink.messages) == 1


def next_host(where):
    """The host that stalls is left for the next one, in the order of sendmail's transcript."""
    with Sink() as bad, Sink() as good:
        bad.at("connect", STALL)
        hops = f"relay:[127.0.0.1]:{bad.port}:[127.0.0.1]:{good.port}"
        with Desk(where, None, {"d.example": hops}, **SHORT) as d:
            d.mail("u@d.example")
            said = d.run("sendmail", "-v", "-qRd.example")
            marks = [m for m in said.splitlines() if "onnect" in m or "Sent" in m]
            assert marks == ["u@d.example... Connecting to [127.0.0.1] via relay...",
                             "u@d.example... Connecting to [127.0.0.1] via relay...",
                             "u@d.example... Closing connection to [127.0.0.1]",
                             "u@d.example... Sent (taken)",
                             "Closing connection to [127.0.0.1]"], said


def background(where):
    """-q returns at once and sends what waits for a run, and what was deferred; -qR the chosen."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("rcpt", "451 4.7.1 later", match=b"grey@")
        d.mail("grey@dest.example", port=d.g.port)
        d.wait_mailq("Deferred: 451 4.7.1 later")
        d.mail("one@wait.example")
        d.mail("two@other.example")
        sink.clear()
        assert d.run("sendmail", "-qRwait") == ""
        assert sink.wait(1)[0].recipients == ["one@wait.example"]
        assert d.run("sendmail", "-q") == ""
        assert {m.recipients[0] for m in sink.wait(3)} == {"one@wait.example", "two@other.example",
                                                           "grey@dest.example"}
        d.wait_mailq("Total requests: 0")


def quarantine(where):
    """-Q"reason" and -Q: words, what mailq shows, and that a try in vain and a crash change
    nothing."""
    port = ports.free()
    with Desk(where, ("127.0.0.1", port)) as d:
        d.mail("u@quar.example")
        assert d.run("sendmail", "-Qunder review", "-qRnothing") == \
            f"{d.g.dir}/spool/q0: no matches\n"
        same(masked(d, d.run("sendmail", "-Qunder review", "-qRquar")), """
Processing /mqueue/q0:
IDIDIDIDIDIDID: Quarantined with "under review"
1 change
""")
        assert "Total requests: 0" in d.run("mailq")
        shown = """
\t\t/mqueue/q0 (1 request)
-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------
IDIDIDIDIDIDID     SIZE Fri Nov 20 08:46 <y@drj.com>
     QUARANTINE: under review
\t\t\t\t\t <u@quar.example>
\t\tTotal requests: 1
"""
        same(masked(d, d.run("mailq", "-qQ")), shown)
        assert "Total requests: 1" in d.run("mailq", "-qQreview")
        assert "Total requests: 0" in d.run("mailq", "-qQnot this")
        assert "Deferred: Connection refused" in d.run("sendmail", "-qQ", "-qRquar", "-v")
        same(masked(d, d.run("mailq", "-qQ")), shown)
        time.sleep(3)                   # it is recorded a second late at most
        d.g.crash()
        same(masked(d, d.run("mailq", "-qQ")), shown)
        same(masked(d, d.run("sendmail", "-Q", "-qQ", "-qRquar")), """
Processing /mqueue/q0:
IDIDIDIDIDIDID: Removed quarantine of "under review"
1 change
""")
        d.wait_mailq("Connection refused")
        with Sink(port=port) as sink:
            assert "Sent" in d.run("sendmail", "-qRquar", "-v")
            assert len(sink.messages) == 1


def retry(where):
    """postern retry: each message once, in order, with a count, the dialogue, and a summary."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        d.many(MANY, "bulk.example")
        d.mail("n@other.example")
        sink.at("rcpt", "451 4.7.1 greylisted", match=b"u7@")
        sink.at("rcpt", "550 5.1.1 nobody", match=b"u8@")
        said = d.run("postern", "retry", "BULK.example", "--verbose", code=69)
        numbers = re.findall(r"^\[(\d+)/(\d+)\] (?!.*  more of it$)", said, re.M)
        assert numbers == [(str(i + 1), str(MANY)) for i in range(MANY)], numbers[:20]
        sent = [m for m in sink.messages if m.sender]   # and the report to its sender
        assert len(sent) == MANY - 2 and "n@other" not in said, len(sent)
        for words in (f"{MANY} messages for BULK.example wait\n",
                      "    > RCPT TO:<u5@bulk.example>\n", "    u5@bulk.example: sent: ",
                      "    < 451 4.7.1 greylisted\n",
                      f"\n{MANY} messages: {MANY - 2} recipients sent, 1 deferred, 1 failed\n",
                      "     1  deferred: 451 4.7.1 greylisted\n",
                      "     1  failed: 550 5.1.1 nobody"):
            assert words in said, (words, said[:600], said[-600:])
        # One dialogue after the other, though several run at once; one that is slow in two parts.
        tried = dict.fromkeys((n for n, _ in numbers), 0)
        for n, m in re.findall(r"^\[(\d+)/\d+\] (.*?)(?=^\[|\Z)", said, re.M | re.S):
            tried[n] += m.count("RCPT TO")
        assert set(tried.values()) == {1}, tried
        sink.clear()
        sink.at("bdat", "452-4.2.2 full\r\n452 4.2.2 of mail", times=1)
        said = d.run("postern", "retry", "n@other.example", "-v", code=75)
        assert "    < 452-4.2.2 full" in said, said
        assert "deferred: 452 4.2.2 full of mail  (" in said, said
        (id,) = re.findall(r"^([0-9A-Za-x]{14})", d.run("mailq", "-qRother"), re.M)
        assert "1 recipient sent" in d.run("postern", "retry", id)
        assert "nothing waits for" in d.run("postern", "retry", "other.example", code=66)
        ids = [d.mail(f"j{i}@json.example", sender=f"s{i}@drj.com") for i in range(3)]
        sink.at("rcpt", "451 4.7.1 greylisted", match=b"j2@")
        said = d.run("postern", "retry", "--json", "--domain", "json.example", "--from", "!s0@*",
                     code=75)
        rows = [json.loads(line) for line in said.splitlines()]
        assert rows[0]["total"] == 2 and rows[-1]["summary"] and rows[-1]["sent"] == 1, rows
        results = {r["id"]: r["result"] for r in rows if "result" in r}
        assert results == {ids[1]: "sent", ids[2]: "deferred"}, rows
        assert not any("talk" in r or "alive" in r for r in rows), rows
        said = d.run("postern", "retry", "--json", "-v", "json.example", code=75)
        assert '"text":"RCPT TO:<j0@json.example>"' in said, said
        assert {m.sender for m in sink.messages} >= {"s0@drj.com", "s1@drj.com"}
        for i in range(3):
            d.mail(f"q{i}@slow.example")
        sink.at("rcpt", STALL, match=b"q0@", stall_s=5)
        said = d.run("postern", "retry", "--domain", "slow.example")
        lines = [line.split("  ")[0] if line[0] == "[" else line[4:6]
                 for line in said.splitlines()[1:-2] if line]
        assert [re.sub(" .*", "", x) for x in lines] == [
            "[1/3]", "[2/3]", "q1", "[3/3]", "q2", "[1/3]", "q0"], said
        d.mail(*[f"r{i}@wide.example" for i in range(900)])     # more than one job, and slice
        said = d.run("postern", "retry", "wide.example")
        assert "\n1 message: 900 recipients sent, 0 deferred, 0 failed\n" in said, said[-300:]


def nobody_there(where):
    """Where nobody answers three times in a row the rest is not tried, and is said not to be."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port), **SHORT) as d:
        d.many(60, "dead.example")
        sink.at("connect", STALL)
        said = d.run("postern", "retry", "dead.example", code=75)
        assert "60 messages: 0 recipients sent, 60 deferred, 0 failed\n" in said, said[-500:]
        assert "    60  deferred: timeout waiting for input from [127.0.0.1]" in said, said[-500:]
        assert "not tried: timeout" in said and "nobody was reached" in said, said[-900:]
        assert sink.sessions < 30, sink.sessions
        sink.clear()
        said = d.run("postern", "retry", "dead.example")
        assert "60 recipients sent" in said and len(sink.messages) == 60, said[-300:]


def looking_away(where):
    """Who goes away in the middle ends his view, not the deliveries; nothing goes out twice."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        d.many(MANY, "away.example")
        p = d.start("postern", "retry", "away.example", "--verbose")
        for _ in range(200):
            p.stdout.readline()
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=90)
        assert p.returncode == 130 and b"the deliveries go on" in err, (p.returncode, err)
        sink.wait(MANY)
        d.wait_mailq("Total requests: 0")
        assert len({m.recipients[0] for m in sink.messages}) == MANY == len(sink.messages)


def two_at_once(where):
    """Two look on at the same mail: each sees the end, and every message goes out once."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        d.many(MANY, "two.example")
        both = [d.start("postern", "retry", "two.example", "-v"),
                d.start("sendmail", "-qRtwo.example", "-v")]
        texts = [p.communicate(timeout=120)[0].decode() for p in both]
        assert [p.returncode for p in both] in ([0, 0], [66, 0]), [p.returncode for p in both]
        d.wait_mailq("Total requests: 0")
        assert len(sink.messages) == MANY, len(sink.messages)
        seen = set(re.findall(r"^    (u\d+)@two.example: sent", texts[0], re.M)) | \
            set(re.findall(r"^(u\d+)@two.example... Sent", texts[1], re.M))
        assert len(seen) == MANY, len(seen)


def slow_reader(where):
    """One who reads nothing for a while loses lines of dialogue at most."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        d.many(MANY, "slow.example")
        p = d.start("postern", "retry", "slow.example", "--verbose")
        time.sleep(3)
        out = p.communicate(timeout=120)[0].decode()
        assert p.returncode == 0 and f"{MANY} recipients sent" in out, out[-500:]
        assert len(sink.messages) == MANY


def crash_under_it(where):
    """qmgr dies while somebody looks on: he is told, and the mail is still there."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        d.mail("u@crash.example")
        sink.at("mail", STALL, stall_s=60)
        p = d.start("sendmail", "-qRcrash", "-v")
        assert any(b">>> MAIL" in line for line in p.stdout), "it ends before MAIL"
        os.kill(d.g.roles()["qmgr"][0], signal.SIGKILL)
        err = p.communicate(timeout=90)[1]
        assert p.returncode == 75 and b"try later" in err, (p.returncode, err)
        sink.clear()
        end = time.monotonic() + 90
        while not sink.messages:
            assert time.monotonic() < end
            d.start("sendmail", "-qRcrash").communicate(timeout=90)
            time.sleep(0.1)


def strangers(where):
    """Who may not, is told in sendmail's words; without a gateway: that."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        if os.geteuid() == 0:
            os.chmod(d.g.conf, 0o644)
            for path in (d.g.dir, where):
                os.chmod(path, 0o755)
            for args, code, words in ((["-bp"], 0, b"You are not permitted to see the queue\n"),
                                      (["-q"], 77, b"You do not have permission to process the "
                                                   b"queue\n")):
                r = subprocess.run([d.link("sendmail"), *args, "-C", str(d.g.conf)], user=64000,
                                   group=64000, extra_groups=[], capture_output=True, cwd="/",
                                   timeout=90)
                assert (r.returncode, r.stdout + r.stderr) == (code, words), r
            for args in (("why", "kept.example"), ("queue",), ("retry", "kept.example"),
                         ("alarms",), ("route", "--socket", d.g.dir / "control", "a@b.example")):
                r = subprocess.run([str(binary()), *map(str, args), "-C", str(d.g.conf)],
                                   user=64000, group=64000, extra_groups=[], capture_output=True,
                                   cwd="/", timeout=90)
                assert (r.returncode, r.stdout) == (77, b""), r
                assert b"only root and the gateway's own user may" in r.stderr, r
        d.mail("u@kept.example")
        d.mail("v@kept.example", port=d.hold)
        shown = d.run("mailq"), d.run("mailq", "-qQ")
        d.g.stop()
        away = [d.run("mailq", *args) for args in ((), ("-qQ",), ("-q!Rkept",))]
        assert all("no gateway answers on" in text for text in away), away
        assert away[0].startswith(shown[0]), (away[0], shown[0])
        assert "QUARANTINE" in away[1] and "<v@kept.example>" in away[1], away[1]
        assert "Total requests: 0" in away[2], away[2]
        for args in (["-bP"], ["-q"], ["-bh"], ["-q", "-v"]):
            assert "no gateway answers on" in d.run("sendmail", *args, code=69)
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")


@contextmanager
def daemon(d, *flags):
    d.g.dir.mkdir(parents=True, exist_ok=True)
    d.g.configure()
    p = subprocess.Popen([d.link("sendmail"), "-bD", *flags, "-C", str(d.g.conf)],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        ports.wait_banner("127.0.0.1", d.later, 90)
        d.g.wait_log("starting daemon")
        d.g.wait_taking()
        yield p
    finally:
        p.terminate()
        p.wait(90)


def intervals(where):
    """-bd -q10s runs the queue by itself; -bd -q never does, and says so."""
    with Sink() as sink:
        def desk(name):
            (where / name).mkdir()
            os.chmod(where / name, 0o755)
            return Desk(where / name, ("127.0.0.1", sink.port), queue={"run": Word("10s")})
        never, often = desk("never"), desk("often")
        with daemon(never, "-q"), daemon(often, "-q10s"):
            never.mail("never@run.example")
            never.g.wait_log("-q without an interval")
            began = time.monotonic()
            often.mail("often@run.example")
            sink.wait(1)
            time.sleep(max(0, began + 12 - time.monotonic()))
            assert [m.recipients for m in sink.messages] == [["often@run.example"]]


CASES = (listing, transcript, always_connects, next_host, background, quarantine, retry,
         nobody_there, looking_away, two_at_once, slow_reader, crash_under_it, strangers, intervals)


def main():
    report = Report()
    if not binary().exists():
        report.skip("queue_face", f"{binary()} is not built")
        return report.code()
    return report.cases("queue_face", CASES, at_once=4)


if __name__ == "__main__":
    sys.exit(main())
