#!/usr/bin/env python3
"""What an administrator decided and what was told of alarms survives a qmgr and a watch that are
killed, and a restart of the gateway.
tests/run: anyone"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import Sink                   # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402
from lib.waiting import until                          # noqa: E402

ALARM = {"interval": Word("200ms"), "dns": Word("off"), "listeners": Word("off"), "disk_free": 0,
         "inodes_free": 0, "repeat": Word("1h"), "raise_after": 2, "clear_after": 2}
UNSEEN = {**ALARM, "interval": Word("1h")}      # or it sends mail about a qmgr that is slow


def queue(g, *args, code=0):
    """Again as long as it says so, of what is being tried just then."""
    def said():
        p = g.cli("queue", *args)
        return None if b"left alone: run it again" in p.stdout + p.stderr else p
    p = until(said)
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
        g.crash(role)
    until(lambda: g.cli("alarms").returncode in (0, 1))


def restarted(g):
    g.stop()
    g.start()


# Of the next hop: where qmgr takes its time to come back, it is told that it is silent as well.

def raised(g):
    return [e for e in g.events() if e["event"] == "alarm_raised" and e["alarm"] == "next_hop"]


def alarm_was_told(g):
    p = g.cli("alarms", "--json")
    told = [json.loads(line) for line in p.stdout.splitlines()]
    return [a["told"] for a in told if a["alarm"] == "next_hop"] == [1]


def letters(relay):
    return [m.data for m in list(relay.messages) if b"name: next_hop\r\n" in m.data]


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
            until(lambda: len(letters(relay)) == 1)
            notes = g.dir / "spool" / "q0" / "notes"     # with the look after that
            until(lambda: notes.exists() and b"next_hop" in notes.read_bytes())
            as_decided(g, other, good, late)
            killed(g, "qmgr")
            as_decided(g, other, good, late)
            killed(g, "watch", "qmgr")
            as_decided(g, other, good, late)
            restarted(g)
            as_decided(g, other, good, late)
            send(g, "u@rule.example")
            other.wait(1)
            late.clear()
            late.wait(1)
            assert late.messages[0].recipients == ["once@busy.example"]
            route = g.cli("route", "x@rule.example").stdout.decode()
            assert f"reroute rule rule.example: [127.0.0.1]:{other.port}" in route, route
            queue(g, "reroute", "--remove", "rule.example")
            queue(g, "reroute", "--remove", "rule.example", code=66)
            queue(g, "thaw", "good.example")
            good.wait(1)
            killed(g, "qmgr")
            assert "good.example" not in queue(g, "freeze")
            assert "rule.example" not in queue(g, "reroute", "--list")
            g.stop()
            with Sink(port=hop):  # it is over while nobody looks
                g.start()
                until(lambda: len(letters(relay)) == 2, why=lambda: g.log()[-1500:])
                assert b"OVER  the next hop" in letters(relay)[1], letters(relay)[1]
            assert len(raised(g)) == 1


def one_of_two(where):
    """One directory of the spool is enough; that the other lacks what was decided is said."""
    both = [where / "g" / "spool" / name for name in ("q0", "q1")]
    both[1].mkdir(parents=True)
    with Gateway(where / "g", options={"spool": {"directories": [str(d) for d in both]}}) as g:
        queue(g, "freeze", "good.example")
        g.stop()
        assert "not known any more" not in g.log(), g.log()
        (both[0] / "notes").unlink()
        g.start()
        g.wait_log(r"q0/notes: not there, .*disk that is not mounted.*"
                   "while no other directory could be written is not known")
        assert "good.example" in queue(g, "freeze")
        g.stop()
        (both[1] / "notes").write_bytes(b"PSTNNOT1 and nonsense behind it")
        g.start()
        g.wait_log(r"q1/notes: damaged; .*while no other directory could be written is not known")
        assert "good.example" in queue(g, "freeze")


def control(g, verb, *args):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(g.dir / "control"))
        s.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
        out = b""
        while b'"end"' not in out:
            out += s.recv(1 << 16)
    return out.decode()


def row(g, id):
    return [r for m in rows(g, "list", "--id", id) for r in m["recipients"]][0]


def retried(g, what, code):
    p = g.cli("retry", what)
    assert p.returncode == code, p
    return p.stdout.decode() + p.stderr.decode()


def try_now(g, id):
    """Nothing is concerned when the rule alone had it tried at once."""
    assert g.cli("queue", "retry", id).returncode in (0, 66)


def typos(g, good, own):
    """A next hop that does not exist, or is this gateway, costs no mail, whoever has missed it."""
    id = rows(g, "list", "--domain", "busy.example")[0]["id"]
    assert "nothing was rerouted" in queue(g, "reroute", "--to", "no.example", id, code=68)
    queue(g, "reroute", "--rule", "--to", "no.example", "busy.example", code=68)
    assert "ok" in control(g, "act", "action=reroute", "nexthop=no.example", f"id={id}")
    until(lambda: "administrator gave, no.example" in row(g, id)["reason"])
    assert row(g, id)["state"] == "deferred"
    g.wait_log(f"{id}: rerouted to no.example by")
    assert "put off again: 4.3.5" in " ".join(g.cli("why", id).stdout.decode().split())
    queue(g, "reroute", "--back", id)
    queue(g, "reroute", "--back", id, code=66)
    until(lambda: row(g, id)["reason"].endswith("busy"))
    assert "ok" in control(g, "reroute", "set=busy.example", "nexthop=no.example")
    try_now(g, id)
    until(lambda: "administrator gave, no.example" in row(g, id)["reason"])
    queue(g, "reroute", "--remove", "busy.example")
    until(lambda: row(g, id)["reason"].endswith("busy"))
    [at] = [r["destination"] for m in rows(g, "list", "--id", id) for r in m["recipients"]]
    assert "ok" in control(g, "reroute", f"set={at}", "nexthop=no.example")  # a place's
    try_now(g, id)
    until(lambda: "administrator gave, no.example" in row(g, id)["reason"])
    assert "one of our own listeners" in queue(g, "reroute", "--to", own, id, code=68)
    assert "ok" in control(g, "reroute", f"set={at}", f"nexthop={own}")
    try_now(g, id)
    until(lambda: f"administrator gave, {own}" in row(g, id)["reason"])
    assert row(g, id)["state"] == "deferred"
    queue(g, "reroute", "--rule", "--to", f"[127.0.0.1]:{good.port}", at)
    good.wait(1)


def frozen(g, down):
    """What is frozen shows at once, behind a back-off too, and is not waited for."""
    send(g, "u@down.example")
    until(lambda: rows(g, "count", "--state", "deferred", "--domain", down)[0]["messages"])
    for name in ("*", "bad name!", "a@b.example", "a..example"):
        queue(g, "freeze", name, code=64)
    assert "1 recipient waits" in queue(g, "freeze", "DOWN.Example.")
    assert "by its site or destination" in queue(g, "freeze", "other.example")
    queue(g, "freeze", down, code=66)
    assert rows(g, "count", "--state", "frozen")[0]["messages"] == 1
    assert rows(g, "count")[0]["recipients"]["frozen"] == 1
    [m] = rows(g, "list", "--domain", down)
    assert m["recipients"][0]["state"] == "frozen" and "next_try_ms" not in m["recipients"][0], m
    assert [x["state"] for x in rows(g, "oldest", "--by", "state")
            if "state" in x] == ["frozen"]
    assert "down.example is frozen by" in retried(g, down, 75)
    assert "thaw down.example" in queue(g, "retry", m["id"], code=75)
    queue(g, "thaw", "Down.example.")
    assert rows(g, "count", "--state", "frozen")[0]["messages"] == 0
    g.wait_log("queue run asked by .*of target=down.example, 1 message")
    queue(g, "delete", m["id"])


def held(g, good, hold):
    r = smtpclient.deliver(hold, "Subject: x\r\n\r\nhello\r\n", sender="a@good.example",
                           rcpts=["u@good.example"])
    assert r.code == 250, r
    [m] = rows(g, "list", "--state", "held")
    assert f"postern queue release {m['id']}" in retried(g, "u@good.example", 66)
    queue(g, "freeze", "good.example")
    queue(g, "release", m["id"])
    assert rows(g, "count", "--reason", "hold")[0]["messages"] == 0
    killed(g, "qmgr")
    queue(g, "thaw", "good.example")
    good.wait(2)


def blocks(pid, sig):
    found = re.search(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found.group(1), 16) >> (sig - 1) & 1


def interrupted(g):
    send(g, "u@down.example")
    [m] = rows(g, "list")
    qmgr = g.roles()["qmgr"][0]
    os.kill(qmgr, signal.SIGSTOP)
    try:
        p = subprocess.Popen([str(binary()), "queue", "bounce", m["id"], "-C", str(g.conf)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        until(lambda: blocks(p.pid, signal.SIGINT))      # it takes it another way, and waits
        p.send_signal(signal.SIGINT)
        out = p.communicate(timeout=90)[0].decode()
    finally:
        os.kill(qmgr, signal.SIGCONT)
    assert p.returncode == 130 and "the same command does" in out, (p.returncode, out)


def words(where):
    """What is done to the queue says what it does, and no slip costs mail."""
    dead, hold, wild = ports.free(), ports.free(), ports.free()
    with ZoneDns() as dns, Sink() as good, Sink() as busy:
        busy.at("rcpt", "451 4.2.1 busy")
        with Gateway(where, mailertable={
                "good.example": ("127.0.0.1", good.port), "busy.example": ("127.0.0.1", busy.port),
                "down.example": ("127.0.0.1", dead)}, options={
                    "dns": {"servers": [dns.address], "dnssec": Word("off")},
                    'listen "hold"': {"address": [f"127.0.0.1:{hold}"], "delivery": Word("hold")},
                    'listen "wild"': {"address": [f"0.0.0.0:{wild}"]},
                    "processes": {"restart_first": Word("50ms")},
                    "alarm": UNSEEN, "retry": {"first": Word("1m"), "max": Word("2m")}}) as g:
            send(g, "u@busy.example")
            until(lambda: waiting(g) == 1)
            typos(g, good, f"[127.0.0.9]:{wild}")
            frozen(g, "down.example")
            held(g, good, hold)
            interrupted(g)


def by_site(g):
    """What is known only by where mail goes: of a site, of one that is frozen, of a rule."""
    (short,) = [m["id"] for m in rows(g, "list", "--to", "u2@grey2.test")]
    story = g.cli("why", "--json", short).stdout.decode()
    why = g.cli("why", "mx.grey.test")
    return {"count": rows(g, "count", "--site", "mx.grey.test"),
            "frozen": rows(g, "count", "--state", "frozen"),
            "oldest": [(r["site"], r["recipients"])
                       for r in rows(g, "oldest", "--by", "site") if "site" in r],
            "sites": [(r.get("site"), r.get("destination"), r["recipients"])
                      for r in rows(g, "sites") if "recipients" in r],
            "why": why.returncode,
            "expires": re.findall(r"expire_after_ms\W*\d+", story)}


def whereabouts(where):
    """Where mail goes that is not due is found out again after a restart and a crash."""
    names = [f"grey{i}.test" for i in range(3)]
    zone = "\n".join(["mx.grey.test A 127.0.0.12", "cold.test A 127.0.0.12"] +
                     [f"{n} MX 5 mx.grey.test" for n in names] + ["cold.test MX 5 cold.test"])
    with Sink(host="127.0.0.12") as grey, ZoneDns(zone) as dns:
        grey.at("rcpt", "451 4.7.1 Greylisted")
        with Gateway(where, options={
                "dns": {"servers": [dns.address], "dnssec": Word("off")},
                "deliver": {"port": grey.port}, "alarm": UNSEEN,
                "processes": {"restart_first": Word("50ms")},
                'delivery_rule "short"': {"domain": ["grey2.test"], "expire_after": Word("2h")},
                "retry": {"first": Word("1h"), "max": Word("2h")}}) as g:
            for i in range(6):
                send(g, f"u{i}@{names[i % 3]}")
            send(g, "u@cold.test")
            until(lambda: rows(g, "count", "--state", "deferred")[0]["messages"] == 7)
            held = [m["id"] for m in rows(g, "list", "--to", "u0@grey0.test")]
            queue(g, "hold", *held)
            queue(g, "freeze", "mx:cold.test")
            before, tried = by_site(g), grey.sessions
            assert before["count"][0]["messages"] == 6, before
            assert before["frozen"][0]["messages"] == 1, before
            assert before["why"] == 0, before
            restarted(g)
            until(lambda: by_site(g) == before, why=lambda: (before, by_site(g)))
            killed(g, "qmgr")
            until(lambda: by_site(g) == before, why=lambda: (before, by_site(g)))
            assert "frozen" in g.cli("why", "u@cold.test").stdout.decode()
            assert grey.sessions == tried, grey.dialogue


def main():
    temp.exit_on_term()
    report = Report()
    if not binary().exists():
        report.skip("keep", f"{binary()} is not built")
        return report.code()
    with temp.Dir("keep") as where:
        report.run("keep/survives", survives, where / "survives")
        report.run("keep/one_of_two", one_of_two, where / "one_of_two")
        report.run("keep/words", words, where / "words")
        report.run("keep/whereabouts", whereabouts, where / "whereabouts")
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
