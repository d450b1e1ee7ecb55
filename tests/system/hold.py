#!/usr/bin/env python3
"""Mail that is parked: by a rule, by a listener of ours that is the next hop, by a queue_only one;
who let it go is remembered, so that it does not come back to where it was.
tests/run: sanitizers tests/run: anyone"""
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp         # noqa: E402
from lib.gateway import Gateway, Word           # noqa: E402
from lib.report import Report                   # noqa: E402
from lib.sink import Sink                       # noqa: E402
from lib.waiting import until                   # noqa: E402

ID = r"[0-9A-Za-x]{14}"


class Desk:
    """The posts' setup: mail of one customer is to be held, by a smarttable that sends it to a
    listener of our own beside the usual one. deliver.port stands for port 25."""

    def __init__(self, where, sink, smarttable="", mailertable="", capture="hold"):
        where.mkdir(parents=True, exist_ok=True)
        self.port25 = free_port()
        for name, text in (("smarttable", smarttable), ("mailertable.map", mailertable)):
            (where / name).write_text(text)
        self.g = Gateway(where, smart_host=("127.0.0.1", sink.port), options={
            'listen "capture"': {"address": [f"127.0.0.2:{self.port25}"],
                                 "delivery": Word(capture)},
            "deliver": {"port": self.port25},
            "queue": {"run": Word("0")}, "spool": {"flush_late": Word("0")},
            "route": {"smarttable": f"text:{where}/smarttable",
                      "mailertable": f"text:{where}/mailertable.map"},
            "retry": {"first": Word("1s"), "max": Word("2s")},
            "processes": {"smtpd": 1, "deliver": 1, "restart_first": Word("50ms"),
                          "restart_max": Word("200ms")}})

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)

    def submit(self, sender="x@aicpa.org", rcpt="b@dest.example", port=None, host="127.0.0.1"):
        r = smtpclient.deliver(port or self.g.port, "Subject: x\r\n\r\nhello\r\n", sender, [rcpt],
                               host=host)
        assert r.code == 250, r
        return re.search(ID, r.text).group()

    def queue(self, *args):
        r = self.g.cli("queue", *args)
        assert r.returncode == 0, (args, r)
        return r.stdout.decode()

    def rcpt(self, id):
        for line in self.queue("--json").splitlines():
            m = json.loads(line)
            if m.get("id") == id:
                return m["recipients"][0]
        return {"state": "gone"}

    def wait_state(self, id, state, timeout_s=90):
        until(lambda: self.rcpt(id)["state"] == state, timeout_s,
              lambda: f"{self.rcpt(id)} is not {state}")
        return self.rcpt(id)


def free_port():
    import socket
    for _ in range(50):
        port = ports.free()
        try:
            for host in ("127.0.0.1", "127.0.0.2"):
                with socket.socket() as s:
                    s.bind((host, port))
            return port
        except OSError:
            continue
    raise RuntimeError("no port is free on both addresses")


def nothing_came(sink, n=0):
    time.sleep(0.7)
    assert len(sink.messages) == n, [m.mail for m in sink.messages]


def captured(where):
    """@aicpa.org relay:[127.0.0.2], beside a listener there that holds: it is parked, with the
    reason; a crash changes nothing; released it goes to the smart_host, and only once."""
    with Sink() as sink, Desk(where, sink, "@aicpa.org\trelay:[127.0.0.2]\n") as d:
        other = d.submit("x@else.example")
        sink.wait(1)
        id = d.submit()
        r = d.wait_state(id, "held")
        assert 'our listener "capture"' in r["reason"] and "@aicpa.org" in r["reason"], r
        assert "capture" in d.queue(), d.queue()
        nothing_came(sink, 1)
        d.g.crash()
        assert d.wait_state(id, "held")["reason"] == r["reason"]
        d.queue("release", id)
        assert sink.wait(2)[1].sender == "x@aicpa.org"
        d.wait_state(id, "gone")
        nothing_came(sink, 2)
        assert other != id and not [e for e in d.g.events() if e["event"] == "failed"]


def released_is_remembered(where):
    """Released, then deferred by the next hop, then a crash: it is not parked again."""
    with Sink() as sink, Desk(where, sink, "@aicpa.org\trelay:[127.0.0.2]\n") as d:
        sink.at("rcpt", "451 4.3.0 later")
        id = d.submit()
        d.wait_state(id, "held")
        d.queue("release", id)
        d.wait_state(id, "deferred")
        assert d.rcpt(id)["released"] is True
        d.g.crash()
        d.wait_state(id, "deferred")
        sink.rules.clear()
        sink.wait(1)
        d.wait_state(id, "gone")


def crash_after_release(where):
    """The release alone is on disk when qmgr dies."""
    with Sink() as sink, Desk(where, sink, "@aicpa.org\trelay:[127.0.0.2]\n") as d:
        id = d.submit()
        d.wait_state(id, "held")
        os.kill(d.g.roles()["deliver"][0], signal.SIGSTOP)
        stopped = d.g.roles()["deliver"][0]
        d.queue("release", id)
        d.g.crash()
        os.kill(stopped, signal.SIGCONT)
        sink.wait(1)
        d.wait_state(id, "gone")


def a_rule_holds(where):
    """hold:REASON in the mailertable."""
    with Sink() as sink, Desk(where, sink, mailertable="dest.example hold:ask Fred first\n") as d:
        id = d.submit()
        assert "ask Fred first" in d.wait_state(id, "held")["reason"]
        d.g.wait_log(rf"{id}: to=<b@dest.example>.*stat=held: ask Fred first")
        d.queue("release", id)
        sink.wait(1)
        d.wait_state(id, "gone")


def a_queue_run(where, capture):
    """A next hop that is a listener with delivery = queue_only (or defer): until a queue run."""
    with Sink() as sink, Desk(where, sink, "@aicpa.org\trelay:[127.0.0.2]\n", capture=capture) as d:
        id = d.submit()
        assert d.wait_state(id, "waiting")["reason"]
        nothing_came(sink)
        d.g.crash()
        d.wait_state(id, "waiting")
        direct = d.submit("y@else.example", port=d.port25, host="127.0.0.2")
        d.wait_state(direct, "waiting")
        nothing_came(sink)
        d.queue("run")
        sink.wait(2)
        d.wait_state(id, "gone")


def delivering(where):
    """A next hop that is a listener of ours which delivers at once: as if it had come in there."""
    with Sink() as sink, Desk(where, sink, "@aicpa.org\trelay:[127.0.0.2]\n",
                              capture="deliver") as d:
        d.submit()
        assert sink.wait(1)[0].sender == "x@aicpa.org"
        nothing_came(sink, 1)


def main():
    r = Report()
    with temp.Dir("hold") as where:
        r.run("captured by a listener of ours", captured, where / "a")
        r.run("released is remembered", released_is_remembered, where / "b")
        r.run("a crash after the release", crash_after_release, where / "c")
        r.run("hold: as a mailer", a_rule_holds, where / "d")
        for mode in ("queue_only", "defer"):
            r.run(f"{mode} waits for a run", a_queue_run, where / mode, mode)
        r.run("a listener that delivers", delivering, where / "f")
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
