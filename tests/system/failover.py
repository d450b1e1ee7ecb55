#!/usr/bin/env python3
"""The client on real sockets: a host that refuses, stalls, drops or greets badly is left for the
next one in the same attempt, until the final dot; from then on nobody else is asked.
tests/run: long sanitizers tests/run: anyone"""
import re
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import DROP, STALL, Sink              # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
SHORT, AMPLE = Word("5s"), Word("1m")
STAGES = ("connect", "initial", "helo", "mail", "rcpt", "data_init", "data_block", "data_final",
          "rset", "quit", "misc")
PLAIN = ["PIPELINING", "8BITMIME"]                  # DATA, not BDAT
STEPS = ["8BITMIME"]                                # one command at a time


def config(clock=AMPLE, **timeouts):
    """clock: of each stage, but for those named."""
    return {"timeout": {**{s: clock for s in STAGES}, "attempt": Word("5m"), **timeouts},
            "retry": {"first": Word("1h")}, "deliver": {"idle": Word("2s")},
            "processes": {"finish": Word("1s")}}


def hops(*ports_):
    return "relay:" + ":".join(f"[127.0.0.1]:{p}" for p in ports_)


def events(g, name, to):
    return [e for e in g.events() if e["event"] == name and to in str(e.get("to"))]


# name: what the first host does, (stage, action); None: nobody listens there
BEFORE_THE_DOT = {
    "refuses": None,
    "greets421": ("connect", "421 4.3.2 not now"),
    "greets450": ("connect", "450 4.3.2 not now"),
    "greets554": ("connect", "554 5.3.2 never"),
    **{f"stalls-{s}": (s, STALL) for s in ("connect", "ehlo", "mail", "rcpt", "data")},
    **{f"drops-{s}": (s, DROP) for s in ("connect", "ehlo", "mail", "rcpt", "data")},
}
AFTER_THE_DOT = {"stalls-eod": ("eod", STALL, PLAIN), "drops-eod": ("eod", DROP, PLAIN),
                 "stalls-bdat": ("bdat", STALL, None), "drops-bdat": ("bdat", DROP, None)}


def next_host(where):
    """Every case twice, with and without PIPELINING, each to a pair of hosts of its own."""
    table, second, report = {}, {}, []
    with ExitStack() as stack:
        for name, fault in BEFORE_THE_DOT.items():
            for how, words in (("p", PLAIN), ("s", STEPS)):
                good = stack.enter_context(Sink())
                first = ports.free()
                if fault:
                    bad = stack.enter_context(Sink(extensions=words))
                    bad.at(*fault)
                    first = bad.port
                domain = f"{name}-{how}.example"
                table[domain], second[domain] = hops(first, good.port), good
        g = stack.enter_context(Gateway(where, mailertable=table, options=config(SHORT)))
        for domain in table:
            r = smtpclient.deliver(g.port, MESSAGE, rcpts=[f"b@{domain}"])
            assert r.code == 250, r
        for domain, good in second.items():
            try:
                good.wait(1)
            except TimeoutError:
                report.append(f"{domain} got nothing")
                continue
            if len(good.messages) != 1 or good.messages[0].recipients != [f"b@{domain}"]:
                report.append(f"{domain}: {good.messages}")
            if events(g, "deferred", domain):
                report.append(f"{domain} was deferred in between")
    assert not report, "; ".join(report)


def after_the_dot(where):
    """It may have arrived: deferred, said as such, and no other host in this attempt."""
    table, pairs = {}, {}
    with ExitStack() as stack:
        for name, (stage, action, words) in AFTER_THE_DOT.items():
            bad = stack.enter_context(Sink(extensions=words))
            good = stack.enter_context(Sink())
            bad.at(stage, action)
            table[f"{name}.example"] = hops(bad.port, good.port)
            pairs[f"{name}.example"] = good
        g = stack.enter_context(Gateway(where, mailertable=table,
                                        options=config(data_final=SHORT)))
        for domain in table:
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=[f"b@{domain}"]).code == 250
        for domain, good in pairs.items():
            wait_for(f"{domain}: outcome_unknown",
                     lambda domain=domain: events(g, "outcome_unknown", domain))
            g.wait_log(rf"to=<b@{domain}>.*stat=Deferred")
            assert not good.sessions, f"{domain}: another host was asked"


def all_bad(where):
    """No host is left: deferred with what the last one did; a later attempt delivers."""
    with Sink() as bad, Sink() as good:
        bad.at("connect", "421 4.3.2 not now")
        dead = ports.free()
        options = {**config(), "retry": {"first": Word("1s"), "max": Word("1s")}}
        with Gateway(where, mailertable={"d.example": hops(dead, bad.port)},
                     options=options) as g:
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=["b@d.example"]).code == 250
            line = g.wait_log(r"to=<b@d\.example>.*stat=Deferred.*").group()
            assert "not now" in line or "421" in line, line
            bad.clear()
            bad.wait(1)
            assert not good.messages


def stage_clocks(where):
    """Each stage has its clock: only that one is short."""
    stages = {"connect": "initial", "ehlo": "helo", "mail": "mail", "rcpt": "rcpt",
              "data": "data_init", "eod": "data_final"}
    with ExitStack() as stack:
        running = {}
        for stage, option in stages.items():
            bad = stack.enter_context(Sink(extensions=STEPS))
            bad.at(stage, STALL)
            g = stack.enter_context(Gateway(where / stage,
                                            options=config(Word("10m"), **{option: Word("1s")}),
                                            smart_host=("127.0.0.1", bad.port)))
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=["b@d.example"]).code == 250
            running[stage] = g
        for stage, g in running.items():
            try:
                g.wait_log(r"to=<b@d\.example>.*stat=Deferred")
            except TimeoutError:
                raise TimeoutError(f"{stage}: not after timeout.{stages[stage]}") from None


def attempt_clock(where):
    """timeout.attempt ends the whole attempt, however many hosts are left."""
    with ExitStack() as stack:
        bad = [stack.enter_context(Sink()) for _ in range(6)]
        for b in bad:
            b.at("connect", STALL)
        g = stack.enter_context(Gateway(
            where, mailertable={"d.example": hops(*(b.port for b in bad))},
            options=config(initial=Word("700ms"), attempt=Word("1500ms"))))
        assert smtpclient.deliver(g.port, MESSAGE, rcpts=["b@d.example"]).code == 250
        g.wait_log(r"to=<b@d\.example>.*stat=Deferred")
        asked = sum(b.sessions for b in bad)
        assert 1 <= asked <= 3, f"{asked} hosts asked in 1.5 s"


def kept(where):
    """Many messages over one connection; one that has died before MAIL costs nothing."""
    options = {**config(), "deliver": {"idle": Word("6s")}}
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=options) as g:
        def one(count):
            assert smtpclient.deliver(g.port, MESSAGE).code == 250
            sink.wait(count)
            wait_for("it is seen as sent", lambda: len(
                [e for e in g.events() if e["event"] == "delivered"]) == count)
        for n in range(3):
            one(n + 1)
        assert sink.sessions == 1, f"{sink.sessions} connections for 3 messages"
        sink.at("mail", DROP, times=1)              # dies when it is used again
        one(4)
        assert sink.sessions == 2
        for conn in list(sink.sockets):             # dies while it is idle
            conn.shutdown(socket.SHUT_RDWR)
        one(5)
        sink.at("mail", "421 4.4.2 idle for too long", times=1)
        one(6)
        bad = [e for e in g.events() if e["event"] in ("deferred", "outcome_unknown")]
        assert not bad, bad
        assert len(sink.messages) == 6
        wait_for("the idle one is closed with QUIT", lambda: any(
            who == "C" and line == b"QUIT" for _, who, line in sink.dialogue))


def helo(where):
    """EHLO refused: HELO. And a peer of our own name is a peer."""
    with Sink(banner="220 gateway.example ESMTP") as same, Sink() as old, \
            Gateway(where, mailertable={"same.example": ("127.0.0.1", same.port),
                                        "old.example": ("127.0.0.1", old.port)},
                    options=config()) as g:
        old.at("ehlo", "502 5.5.1 what is that", match=b"EHLO")
        for d in ("same.example", "old.example"):
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=[f"b@{d}"]).code == 250
        assert old.wait(1)[0].helo == b"HELO gateway.example"
        assert same.wait(1)[0].helo == b"EHLO gateway.example"


def each_recipient(where):
    """One transaction, three recipients, three ends."""
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=config()) as g:
        sink.at("rcpt", "550 5.1.1 no such user", match=b"gone@")
        sink.at("rcpt", "450 4.2.1 busy", match=b"busy@")
        assert smtpclient.deliver(g.port, MESSAGE, sender="a@from.example", rcpts=[
            "gone@x.example", "good@x.example", "busy@x.example"]).code == 250
        g.wait_log(r"to=<good@x\.example>.*stat=Sent")
        g.wait_log(r"to=<busy@x\.example>.*stat=Deferred: 450 4\.2\.1 busy")
        g.wait_log(r"to=<gone@x\.example>.*dsn=5\.1\.1.*stat=")
        first, report = sink.wait(2)
        assert first.recipients == ["good@x.example"], first.recipients
        assert report.recipients == ["a@from.example"] and report.sender == ""
        assert b"no such user" in report.data and b"busy" not in report.data


class Proxy:
    """Hands connections on to a port, so that mail comes back to us from another address."""

    def __init__(self, to):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.to, self.count = self.listener.getsockname()[1], to, 0
        self.running = threading.Thread(target=self.run, daemon=True)
        self.running.start()

    def run(self):
        while True:
            try:
                a, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            b = socket.create_connection(("127.0.0.1", self.to))
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self.copy, args=(x, y), daemon=True).start()

    @staticmethod
    def copy(x, y):
        try:
            while got := x.recv(65536):
                y.sendall(got)
            y.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        ports.shut(self.listener, self.running)


def loops(where):
    """By our instance in Received, and by counting; a rule that names ourselves is no loop."""
    port = ports.free()
    proxy = Proxy(port)
    table = {"loop.example": hops(proxy.port), "own.example": hops(port)}
    with Sink() as back, Gateway(where, port=port, smart_host=("127.0.0.1", back.port),
                                 mailertable=table, options=config()) as g:
        assert smtpclient.deliver(g.port, MESSAGE, rcpts=["b@loop.example"]).code == 250
        report = back.wait(1)[0]
        assert b"Status: 5.4.6" in report.data, report.data
        assert proxy.count <= 3, f"it went round {proxy.count} times"
        assert smtpclient.deliver(g.port, MESSAGE, rcpts=["b@own.example"]).code == 250
        assert back.wait(2)[1].recipients == ["b@own.example"]      # the rule is passed over
        many = b"Received: from a by b; Fri, 20 Nov 2026 08:00:00 +0000\r\n" * 101
        reply = smtpclient.deliver(g.port, many + MESSAGE)
        assert reply.code == 554 and "5.4.6" in reply.text, reply
        sent = re.findall(r"from=<a@client\.example>", g.log())
        assert len(sent) <= 5, f"it went round {len(sent)} times"
    proxy.close()


def main():
    return Report().cases("failover", (
        next_host, after_the_dot, all_bad, stage_clocks, attempt_clock, kept, helo,
        each_recipient, loops), at_once=3)


if __name__ == "__main__":
    sys.exit(main())
