#!/usr/bin/env python3
"""kill -9 of every process in turn, again and again, under load from numbered messages: nothing
that was accepted is lost, no other process stops, and who died comes back after a back-off.
tests/run: first tests/run: long sanitizers tests/run: anyone"""
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, proc, smtpclient  # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.load import Load                           # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import STALL, Sink                    # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

ROLES = ["smtpd", "qmgr", "deliver", "router", "resolver", "keyring", "control"]
LONG = os.environ.get("POSTERN_LONG") == "1"
COUNT, ROUNDS = (400000, 20) if LONG else (30000, 2)
CONNECTIONS = 20
FAST = {"processes": {"restart_first": Word("50ms"), "restart_max": Word("200ms"),
                      "smtpd": 2, "deliver": 2, "finish": Word("30s")}}
MESSAGE = b"Subject: one\r\n\r\nhello\r\n"


def back(g, before, victim):
    """The roles, when each runs as often as before and the victim is not among them."""
    now = g.roles()
    if victim in sum(now.values(), []):
        return None
    return now if {r: len(p) for r, p in now.items()} == {
        r: len(p) for r, p in before.items()} else None


def kill_one(g, role, report_text):
    before = g.roles()
    victim = before[role][0]
    os.kill(victim, signal.SIGKILL)
    after = wait_for(f"{role} is back", lambda: back(g, before, victim))
    for name, pids in before.items():
        left = [p for p in pids if p != victim]
        assert set(left) <= set(after[name]), f"{role} took {name} with it: {before} {after}"
    report_text.append(f"{role}[{victim}]")


def judge(load, kills_of_senders):
    r = load.finish()
    print(f"# {r}", flush=True)
    assert r.lost == [], f"lost {r.lost[:20]}: {r}"
    assert r.sink["corrupt"] == 0 and r.sink["foreign"] == 0, str(r)
    assert len(r.accepted) + len(r.unsure) == load.count, str(r)
    # A copy too many comes only from what was between the final dot and the flushed outcome (at
    # most a second's worth of a qmgr's or deliver's death), or from a 250 that was not heard.
    allowed = kills_of_senders * max(300, r.source["rate"] * 1.5) + CONNECTIONS * 4
    assert r.duplicates <= allowed, f"{r.duplicates} duplicates are too many: {r}"
    return r


def under_load(where, roles, rounds, count):
    """`roles` are killed in turn as long as the source is sending, each at least `rounds` times
    (the last ones perhaps when it has ended already)."""
    killed = []
    with Load(where / "load", count) as load:
        with Gateway(where / "gw", smart_host=load.hop, options=FAST) as g:
            load.send(g.port, CONNECTIONS, per_connection=50)
            wait_for("some mail", lambda: len(load.arrived()) > 20)
            for _ in range(rounds):
                for role in roles:
                    kill_one(g, role, killed)
                    time.sleep(0.1)
            load.wait_arrived()
            quiet(g)
            r = judge(load, sum(k.startswith(("qmgr", "deliver")) for k in killed))
            print(f"# killed {len(killed)}: {r.source['secs']:.1f} s of load", flush=True)


def quiet(g):
    """Nothing in the log that only a broken program says."""
    for line in g.log().splitlines():
        assert "MUST" not in line and "assert" not in line.lower(), line
        if " ended: " in line:
            assert "signal 9" in line, line


def each_role(where):
    under_load(where, ROLES, ROUNDS, COUNT)


def backoff(where):
    """The time before a restart doubles, and the restart says so when it has reached its end."""
    options = {"processes": {"restart_first": Word("100ms"), "restart_max": Word("800ms")}}
    with Gateway(where, smart_host=("127.0.0.1", 9), options=options) as g:
        took, want = [], [0.1, 0.2, 0.4, 0.8, 0.8]
        for _ in want:
            pid = g.roles()["router"][0]
            started = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_for("router", lambda pid=pid: g.roles().get("router", [pid]) != [pid])
            took.append(time.monotonic() - started)
        assert all(t >= w / 2 for t, w in zip(took, want)), f"{took} against {want}"
        delayed = [e for e in g.events() if e["event"] == "child_restart_delayed"]
        assert [(e["role"], e["ms"]) for e in delayed] == [("router", 800)] * 2, delayed


def qmgr_away(where):
    """451, and the session stays; when qmgr is back the same session goes on."""
    options = {"processes": {"restart_first": Word("5s"), "restart_max": Word("5s")}}
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=options) as g, \
            smtpclient.Client(g.port) as c, smtpclient.Client(g.port) as half:
        c.ehlo()
        half.ehlo()
        reply = half.envelope("a@x.example", "b@x.example")
        assert reply.code == 250, reply
        assert half.cmd("DATA").code == 354
        half.send(b"Subject: half\r\n\r\n")
        qmgr = g.roles()["qmgr"][0]
        os.kill(qmgr, signal.SIGKILL)
        wait_for("its end is known", lambda: ended(g, "qmgr"))
        half.send(b"rest\r\n.\r\n")
        reply = half.reply()
        assert reply.code == 451, reply
        for _ in range(3):
            reply = c.cmd("MAIL FROM:<a@x.example>")
            if reply.code // 100 == 2:
                reply = c.cmd("RCPT TO:<b@x.example>")
            if reply.code // 100 == 2:
                reply = c.data(MESSAGE)
            assert reply.code == 451, reply
            c.cmd("RSET")
        wait_for("qmgr", lambda: g.roles().get("qmgr"))
        for one in (c, half):
            wait_for("mail is taken again", lambda one=one: taken(one))
        assert len(sink.wait(2)) == 2, sink.messages


def ended(g, role):
    return [e for e in g.events() if e["event"] == "child_died" and e["role"] == role]


def taken(c):
    c.cmd("RSET")
    reply = c.envelope("a@x.example", "b@x.example")
    return reply.code == 250 and c.data(MESSAGE).code == 250


def router_away(where):
    """Without router recipients get 451; queued mail waits for it."""
    options = {"processes": {"restart_first": Word("5s"), "restart_max": Word("5s")}}
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=options) as g, smtpclient.Client(g.port) as c:
        c.ehlo()
        os.kill(g.roles()["router"][0], signal.SIGKILL)
        wait_for("its end is known", lambda: ended(g, "router"))
        reply = c.envelope("a@x.example", "b@x.example")
        assert reply.code == 451, reply
        wait_for("mail is taken again", lambda: taken(c))
        sink.wait(1)


def master_dies(where):
    """Children finish what they hold, the listeners are closed at once, and what was accepted
    goes out after a new start on the same spool."""
    with Load(where / "load", 1500) as load, Sink() as slow:
        slow.at("mail", STALL, stall_s=2)
        g = Gateway(where / "gw", smart_host=load.hop, options=FAST,
                    mailertable={"slow.example": ("127.0.0.1", slow.port)})
        g.start()
        try:
            with smtpclient.Client(g.port) as half:
                half.ehlo()
                half.envelope("a@x.example", "half@slow.example")
                half.cmd("DATA")
                smtpclient.deliver(g.port, MESSAGE, rcpts=["now@slow.example"])
                slow.wait_session(1)
                load.send(g.port, CONNECTIONS, per_connection=0)
                wait_for("some mail", lambda: len(load.arrived()) > 20)
                children = [p for p in g.pids() if p != g.process.pid]
                g.process.kill()
                g.process.wait()
                died = time.monotonic()
                wait_for("listeners closed", lambda: ports.refused(g.port))
                half.send(b"Subject: half\r\n\r\nit was under way\r\n.\r\n")
                reply = half.reply()
                assert reply.code == 250, reply
            proc_gone(children)
            took = time.monotonic() - died
            assert "now@slow.example" in [r for m in slow.messages for r in m.recipients], \
                "a delivery under way was not finished"
            print(f"# the children had ended {took:.1f} s after master", flush=True)
            g.process = None
            g.start()
            load.wait_arrived()
            wait_for("half@slow.example", lambda: any(
                "half@slow.example" in m.recipients for m in slow.messages))
            assert sum("now@slow.example" in m.recipients for m in slow.messages) == 1
            judge(load, 1)
        finally:
            g.stop()


def proc_gone(pids):
    known = {p: proc.start_time(p) for p in pids}
    wait_for("the children's end", lambda: not any(
        t is not None and proc.start_time(p) == t for p, t in known.items()))


def restart_everything(where):
    """All at once, master too, in the middle of the load; twice."""
    with Load(where / "load", 3000) as load:
        g = Gateway(where / "gw", smart_host=load.hop, options=FAST)
        g.start()
        try:
            load.send(g.port, CONNECTIONS, per_connection=20)
            for n in (1, 2):
                wait_for("some mail", lambda n=n: len(load.arrived()) > 300 * n)
                everybody = g.pids()
                for pid in everybody:
                    os.kill(pid, signal.SIGKILL)
                g.process.wait()
                proc_gone(everybody)
                g.process = None
                g.start()
            load.wait_arrived()
            judge(load, 2)
        finally:
            g.stop()


def twice(where):
    """A second start on the same configuration, or on the same spool, is refused with words."""
    with Sink() as sink, Gateway(where / "a", smart_host=("127.0.0.1", sink.port)) as g:
        same = g.cli("run", timeout_s=90)
        words = same.stderr.decode()
        assert same.returncode != 0 and "another gateway" in words, (same.returncode, words)
        other = Gateway(where / "b", smart_host=("127.0.0.1", sink.port), options={
            "spool": {"directories": [f"{g.dir}/spool/q0"]}})
        other.dir.mkdir()
        other.configure()
        r = other.cli("run", timeout_s=90)
        words = r.stderr.decode() + r.stdout.decode() + other.log()
        assert r.returncode != 0, r.returncode
        assert "q0" in words and ("lock" in words or "another" in words), words
        assert smtpclient.deliver(g.port, MESSAGE).code == 250      # the first did not mind
        sink.wait(1)


def no_descriptors(where):
    """Who dies while master has no descriptors to spare comes back whole when it has."""
    refused = re.compile("Too many open files")
    with Gateway(where / "gw", smart_host=("127.0.0.1", 9), tls=certs.make(where, "own"),
                 options={"processes": {**FAST["processes"], "smtpd": 1}}) as g:
        master = g.process.pid
        usual = resource.prlimit(master, resource.RLIMIT_NOFILE)
        for spare in (0, 1, 2, 3, 4, 5, 9):
            said = len(refused.findall(g.log()))
            victim = g.roles()["smtpd"][0]
            used = set(map(int, os.listdir(f"/proc/{master}/fd")))
            free = [n for n in range(200) if n not in used]
            resource.prlimit(master, resource.RLIMIT_NOFILE, (free[spare], usual[1]))
            os.kill(victim, signal.SIGKILL)     # which leaves one more
            wait_for("that it cannot start", lambda: not g.alive() or
                     len(refused.findall(g.log())) > said)
            assert g.alive(), g.log()[-500:]
            resource.prlimit(master, resource.RLIMIT_NOFILE, usual)
            wait_for("a whole one", lambda: is_whole(g.port))
        assert {e["role"] for e in g.events() if e["event"] == "child_died"} == {"smtpd"}


def linked_spool(where):
    """A directory of the spool may be a link to another disk, and is found again."""
    disk, spool = where / "disk" / "q1", where / "spool"
    disk.mkdir(parents=True)
    spool.mkdir()
    (spool / "q1").symlink_to(disk)
    dead = ports.free()
    with Sink() as sink, Gateway(where / "gw", smart_host=("127.0.0.1", dead), options={
            "spool": {"directories": [f"{spool}/q*"]},
            "retry": {"first": Word("1s"), "max": Word("1s")},
            **FAST}) as g:
        wait_for("a message", lambda: smtpclient.deliver(g.port, MESSAGE).code == 250)
        g.wait_log("stat=Deferred")
        assert list(disk.glob("*.seg"))
        g.stop()
        g.smart_host = ("127.0.0.1", sink.port)
        g.configure()
        g.start()
        sink.wait(1)


def is_whole(port):
    try:
        with smtpclient.Client(port) as c:
            return "STARTTLS" in c.ehlo().text and \
                c.envelope("a@x.example", "b@dest.example").code == 250
    except (OSError, smtpclient.Closed):
        return False


def main():
    report = Report()
    report.cases("kill9", (each_role,))
    return report.cases("kill9", (qmgr_away, router_away, master_dies, restart_everything, backoff,
                                  twice, no_descriptors, linked_spool), at_once=8)


if __name__ == "__main__":
    sys.exit(main())
