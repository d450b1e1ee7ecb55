#!/usr/bin/env python3
"""What an administrator decided and what was told of alarms survives a qmgr and a watch that are
killed, and a restart of the gateway.
tests/run: anyone"""
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import Sink                   # noqa: E402

ALARM = {"interval": Word("200ms"), "dns": Word("off"), "listeners": Word("off"), "disk_free": 0,
         "inodes_free": 0, "repeat": Word("1h"), "raise_after": 2, "clear_after": 2}


def until(what, wait_s=30, why=lambda: "waited in vain"):
    end = time.monotonic() + wait_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, why()
        time.sleep(0.05)


def queue(g, *args, code=0):
    p = g.cli("queue", *args)
    out = p.stdout.decode() + p.stderr.decode()
    assert p.returncode == code, f"queue {args}: {p.returncode}: {out}"
    return out


def send(g, rcpt):
    assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nhello\r\n", sender="a@good.example",
                              rcpts=[rcpt]).code == 250


def rows(g, *args):
    return [json.loads(line) for line in queue(g, "--json", *args).splitlines()]


def waiting(g):
    return rows(g, "count", "--state", "deferred,frozen")[0]["messages"]


def killed(g, *roles):
    for role in roles:
        old = g.roles()[role][0]
        os.kill(old, signal.SIGKILL)
        until(lambda: g.roles().get(role, [old])[0] != old)
    until(lambda: g.cli("queue", "count").returncode == 0 and g.cli("alarms").returncode in (0, 1))


def restarted(g):
    g.stop()
    g.start()


def raised(g):
    return [e for e in g.events() if e["event"] == "alarm_raised"]


def alarm_was_told(g):
    p = g.cli("alarms", "--json")
    told = [json.loads(line) for line in p.stdout.splitlines()]
    return told and told[0]["alarm"] == "next_hop" and told[0]["told"] == 1


def as_decided(g, other, good, late):
    assert "good.example" in queue(g, "freeze")
    listed = queue(g, "reroute", "--list")
    assert "rule.example" in listed and str(other.port) in listed, listed
    until(lambda: alarm_was_told(g), why=lambda: g.log()[-1500:])
    assert len(raised(g)) == 1, raised(g)
    assert not good.messages and not late.messages


def survives(where):
    hop = ports.free()
    with Sink() as good, Sink() as busy, Sink() as late, Sink() as other, Sink() as relay:
        busy.at("rcpt", "451 4.2.1 busy")
        late.at("rcpt", "451 4.2.1 later")
        with Gateway(where, mailertable={
                "good.example": ("127.0.0.1", good.port), "busy.example": ("127.0.0.1", busy.port),
                "rule.example": ("127.0.0.1", busy.port)}, options={
                    "processes": {"restart_first": Word("50ms")},
                    "retry": {"first": Word("1s"), "max": Word("1s")},
                    "alarm": {**ALARM, "next_hop": f"[127.0.0.1]:{hop}",
                              "relay": f"[127.0.0.1]:{relay.port}"}}) as g:
            queue(g, "freeze", "good.example")
            queue(g, "reroute", "--rule", "--to", f"[127.0.0.1]:{other.port}", "rule.example")
            for rcpt in ("u@good.example", "once@busy.example", "stays@busy.example"):
                send(g, rcpt)
            until(lambda: waiting(g) == 3)
            one = [m["id"] for m in rows(g, "list", "--to", "once@busy.example")]
            queue(g, "reroute", "--to", f"[127.0.0.1]:{late.port}", *one)
            until(lambda: alarm_was_told(g), why=lambda: g.log()[-1500:])
            until(lambda: len(relay.messages) == 1)
            time.sleep(0.5)  # qmgr is given it with the look after the letter was taken
            as_decided(g, other, good, late)
            killed(g, "qmgr")
            as_decided(g, other, good, late)
            killed(g, "watch", "qmgr")
            as_decided(g, other, good, late)
            restarted(g)
            as_decided(g, other, good, late)
            send(g, "u@rule.example")
            other.wait(1, 30)
            late.clear()
            late.wait(1, 30)
            assert late.messages[0].recipients == ["once@busy.example"]
            route = g.cli("route", "x@rule.example").stdout.decode()
            assert f"reroute rule rule.example: [127.0.0.1]:{other.port}" in route, route
            queue(g, "reroute", "--remove", "rule.example")
            queue(g, "reroute", "--remove", "rule.example", code=66)
            queue(g, "thaw", "good.example")
            good.wait(1, 30)
            killed(g, "qmgr")
            assert "good.example" not in queue(g, "freeze")
            assert "rule.example" not in queue(g, "reroute", "--list")
            g.stop()
            with Sink(port=hop):  # it is over while nobody looks
                g.start()
                until(lambda: len(relay.messages) == 2, why=lambda: g.log()[-1500:])
                assert b"all clear" in relay.messages[1].data
            assert len(raised(g)) == 1


def main():
    temp.exit_on_term()
    report = Report()
    if not binary().exists():
        report.skip("keep", f"{binary()} is not built")
        return report.code()
    with temp.Dir("keep") as where:
        report.run("keep/survives", survives, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
