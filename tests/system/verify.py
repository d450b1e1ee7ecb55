#!/usr/bin/env python3
"""relay.verify: recipients of strangers are asked about at the next hop while they are at RCPT.
tests/run: sanitizers
tests/run: anyone
tests/run: first"""
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import peers, ports, smtpclient            # noqa: E402
from lib.gateway import Gateway, Word, hop          # noqa: E402
from lib.peers import fetch                         # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.sink import DROP, STALL, Sink              # noqa: E402
from lib.waiting import until                       # noqa: E402

MESSAGE = "Subject: x\r\n\r\nhello\r\n"
UNKNOWN = "550 5.1.1 no such user here"


class Desk(Gateway):
    """A gateway that takes mail of strangers for known.example, whose next hop is `sink`."""

    def __init__(self, where, sink, options=None, port=None):
        self.sink = sink
        at = hop(("127.0.0.1", port or sink.port))
        where.mkdir(parents=True, exist_ok=True)
        (where / "table.map").write_text(f"known.example relay:{at}\n"
                                         "held.example hold:wait\nours.example local:ann\n"
                                         "away.example error:4.3.0:451 later\n")
        more = {"relay": {"from": ["127.0.0.9"], "verify": True,
                          "domains": ["known.example", "held.example", "ours.example",
                                      "direct.example"]},
                "route": {"mailertable": f"text:{where}/table.map", "smart_host": at,
                          "local_users": Word('"any"'), "canonical": False},
                "queue": {"run": Word("0")}, "processes": {"smtpd": 2, "deliver": 2}}
        for section, values in (options or {}).items():
            more[section] = {**more.get(section, {}), **values}
        super().__init__(where, options=more)

    def ask(self, *rcpts, source=None, sender="s@sender.example", alone=False):
        """The replies to the recipients, in one flight with MAIL or not; nothing is sent."""
        with smtpclient.Client(self.port, source=source, timeout_s=90) as c:
            c.ehlo()
            if alone:
                assert c.cmd(f"MAIL FROM:<{sender}>").code == 250
            c.send("".join([f"MAIL FROM:<{sender}>\r\n"] * (not alone) +
                           [f"RCPT TO:<{r}>\r\n" for r in rcpts]))
            assert alone or (first := c.reply()).code == 250, first
            replies = [c.reply() for _ in rcpts]
            c.cmd("QUIT")
        return replies

    def saw(self, event, count):
        until(lambda: len(self.told(event)) >= count, why=f"{count} times {event}")
        assert len(self.told(event)) == count, self.told(event)

    def told(self, event):
        return [e for e in self.events() if e["event"] == event]


def codes(replies):
    return [r.code for r in replies]


def unknown(where):
    """Known, unknown and put-off recipients; the peer's words; answers are remembered."""
    with Sink() as sink, Desk(where, sink) as g:
        sink.at("rcpt", UNKNOWN, match=b"<no@")
        sink.at("rcpt", "452 4.2.2 full for now", match=b"<later@")
        sink.at("rcpt", "552 5.2.2 full", match=b"<full@")
        one = g.ask("joe@known.example", "no@known.example", "later@known.example",
                    "full@known.example", "jim@known.example")
        assert codes(one) == [250, 550, 250, 550, 250], one
        assert "5.1.1 <no@known.example>... User unknown; 127.0.0.1 said: 550 5.1.1 no such " \
            "user here" in one[1].text.replace("[127.0.0.1]", "127.0.0.1"), one[1]
        assert "5.2.2" in one[3].text and "User unknown" not in one[3].text, one[3]
        asked = sink.sessions
        assert asked == 5, asked
        again = g.ask("full@known.example", "joe@KNOWN.example", "no@known.example",
                      "later@known.example")
        assert codes(again) == [550, 250, 550, 250] and sink.sessions == asked, again
        assert not sink.messages, "a probe has brought mail"
        g.saw("recipient_unknown", 2)
        g.saw("recipient_verified", 2)
        g.saw("recipient_unverified", 1)
        assert sorted(e["to"] for e in g.told("recipient_unknown")) == [
            "full@known.example", "no@known.example"]
        assert not [line for _, _, line in sink.dialogue if line[:4] in (b"DATA", b"BDAT")]
        r = smtpclient.deliver(g.port, MESSAGE, "s@sender.example", ["joe@known.example"])
        assert r.code == 250 and sink.wait(1)[0].recipients == ["joe@known.example"]
        text = g.cli("route", "--client", "192.0.2.1", "no@known.example").stdout.decode()
        assert "relay.verify" in text and "no such user here" in text, text
        text = g.cli("route", "--client", "192.0.2.1", "new@known.example").stdout.decode()
        assert "the next hop is asked whether it knows the recipient" in text, text


def who(where):
    """Neither for trusted clients, nor where no next hop is asked; never postmaster."""
    with Sink() as sink, Desk(where, sink) as g:
        sink.at("rcpt", UNKNOWN)
        assert codes(g.ask("no@known.example", source="127.0.0.9")) == [250]
        assert codes(g.ask("x@held.example", "ann@ours.example")) == [250, 250]
        assert codes(g.ask("postmaster@known.example")) == [250]
        assert g.ask("x@far.example")[0].code == 550 and not sink.sessions
        assert codes(g.ask("no@direct.example")) == [550] and sink.sessions == 1   # smart_host
    with Sink() as sink, Desk(where / "off", sink, {"relay": {"verify": False}}) as g:
        sink.at("rcpt", UNKNOWN)
        assert codes(g.ask("no@known.example")) == [250] and not sink.sessions


def ourselves(where):
    """A next hop that is a listener of ours is not asked."""
    port = ports.free()
    capture = {'listen "capture"': {"address": [f"127.0.0.1:{port}"],
                                    "delivery": Word("hold")}}
    with Desk(where, None, {**capture}, port=port) as g:
        assert codes(g.ask("x@known.example")) == [250]
        time.sleep(0.3)
        assert not g.told("recipient_verified") and not g.told("recipient_unverified")


NO_ANSWER = [("connect", DROP), ("connect", "554 5.7.1 go away"),
             ("mail", "550 5.7.1 no null sender"), ("rcpt", DROP),
             ("rcpt", "553 5.1.8 sender domain required"), ("rcpt", STALL), ("connect", STALL)]


def no_answer(where, n):
    """Away, refusing the null sender, stalling: taken; and not asked again for a while."""
    stage, action = NO_ANSWER[n]
    options = {"relay": {"verify_timeout": Word("1s")}} if action is STALL else {}
    with Sink() as sink, Desk(where, sink, options) as g:
        sink.at(stage, action)
        assert codes(g.ask("a@known.example", "b@known.example")) == [250, 250], stage
        asked = sink.sessions
        assert codes(g.ask("c@known.example")) == [250]
        assert sink.sessions == asked, "asked again at once"
        g.wait_log("verify: .* does not say which recipients it knows")
        until(lambda: g.told("recipient_unverified"), why="no event")
        assert not g.told("recipient_unknown")
        text = g.cli("route", "--client", "192.0.2.1", "a@known.example").stdout.decode()
        assert "taken unasked" in text, text


def gone(where):
    with Desk(where, None, port=ports.free()) as g:
        assert codes(g.ask("a@known.example")) == [250]


def at_once(where):
    """The same recipient asked about many times at once is one probe; many recipients at once are
    no more than ten connections to a next hop."""
    with Sink() as sink, Desk(where, sink, {"relay": {"verify_timeout": Word("1m")}}) as g:
        sink.at("rcpt", STALL, match=b"<slow@", stall_s=2)
        got = []
        threads = [threading.Thread(target=lambda: got.append(codes(g.ask("slow@known.example"))))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [[250]] * 8 and sink.sessions == 1, (got, sink.sessions)
        many = [f"u{n}@known.example" for n in range(60)]
        assert codes(g.ask(*many)) == [250] * 60 and sink.sessions == 61


def forgets(where):
    """Answers are kept for their time and within their number."""
    options = {"relay": {"verify_cache": 2, "verify_keep": Word("1h"),
                         "verify_keep_bad": Word("1s")}}
    with Sink() as sink, Desk(where, sink, options) as g:
        sink.at("rcpt", UNKNOWN, times=1)
        assert codes(g.ask("new@known.example")) == [550]
        time.sleep(1.1)
        assert codes(g.ask("new@known.example")) == [250] and sink.sessions == 2
        for n in range(3):
            g.ask(f"u{n}@known.example")
        assert sink.sessions == 5
        g.ask("u2@known.example")
        assert sink.sessions == 5
        g.ask("new@known.example")
        assert sink.sessions == 6, "more is remembered than was said"


def asked(sink, whom):
    """Until the next hop has heard the question."""
    until(lambda: any(line.startswith(b"RCPT") and whom in line
                      for _, _, line in list(sink.dialogue)), why=f"nobody asks about {whom}")


def killed(where):
    """deliver dies with probes: another one asks; router dies: the client hears 451 and goes on."""
    with Sink() as sink, Desk(where, sink, {"processes": {"deliver": 1}}) as g:
        sink.at("rcpt", STALL, match=b"<u", times=1, stall_s=60)
        got = []
        t = threading.Thread(target=lambda: got.append(g.ask("u@known.example")))
        t.start()
        asked(sink, b"<u@")
        for pid in g.roles()["deliver"]:
            os.kill(pid, signal.SIGKILL)
        t.join(90)
        assert got and codes(got[0]) == [250], got
        assert sink.sessions == 2
        g.saw("recipient_verified", 1)
        sink.at("rcpt", STALL, match=b"<v", times=1, stall_s=60)
        t = threading.Thread(target=lambda: got.append(g.ask("v@known.example",
                                                              alone=True)))
        t.start()
        asked(sink, b"<v@")
        for pid in g.roles()["router"]:
            os.kill(pid, signal.SIGKILL)
        t.join(90)
        assert codes(got[1]) == [451], got
        until(lambda: codes(g.ask("u@known.example", alone=True)) == [250],
              why="router is not back")
        r = smtpclient.deliver(g.port, MESSAGE, "s@sender.example", ["u@known.example"])
        assert r.code == 250 and sink.wait(1)


def postfix(where):
    if os.geteuid() != 0 or not fetch.have("postfix"):
        raise Skip("Postfix is not unpacked")
    where.mkdir(parents=True, exist_ok=True)
    port = ports.free()
    with Sink() as end, peers.make("postfix", where / "postfix", port,
                                   relay=("127.0.0.1", end.port), settings={
            "relay_domains": "known.example",
            "relay_recipient_maps": "inline:{joe@known.example=x}"}):
        with Desk(where / "g", None, port=port) as g:
            replies = g.ask("joe@known.example", "no@known.example")
            assert codes(replies) == [250, 550], replies
            assert "User unknown in relay recipient table" in replies[1].text, replies
            r = smtpclient.deliver(g.port, MESSAGE, "s@sender.example", ["joe@known.example"])
            assert r.code == 250 and end.wait(1)[0].recipients == ["joe@known.example"]


def main():
    return Report().cases("verify", (
        unknown, who, ourselves, *((no_answer, n) for n in range(len(NO_ANSWER))), gone, at_once,
        forgets, killed, postfix), at_once=4)


if __name__ == "__main__":
    sys.exit(main())
