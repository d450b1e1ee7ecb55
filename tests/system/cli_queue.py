#!/usr/bin/env python3
"""`postern queue`, reload and stop beside a gateway at work: what they show, what they change, and
that a change is still there after a crash.
tests/run: sanitizers"""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.sink import STALL, Sink                    # noqa: E402
from lib.waiting import until                       # noqa: E402

MANY = 3000
ID = r"[0-9A-Za-x]{14}"


class Desk:
    """A gateway with a listener that holds and one that waits for a run, and its verbs."""

    def __init__(self, where, next_hop):
        self.hold, self.later = ports.free(), ports.free()
        self.g = Gateway(where / "g", smart_host=next_hop, options={
            'listen "hold"': {"address": [f"127.0.0.1:{self.hold}"], "delivery": Word("hold")},
            'listen "later"': {"address": [f"127.0.0.1:{self.later}"],
                               "delivery": Word("queue_only")},
            "processes": {"restart_first": Word("50ms"), "restart_max": Word("200ms")}})

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)

    def submit(self, port=None, rcpts=("b@dest.example",), text="hello"):
        """The queue id."""
        r = smtpclient.deliver(port or self.g.port, f"Subject: x\r\n\r\n{text}\r\n", rcpts=rcpts)
        assert r.code == 250, r
        return re.search(ID, r.text).group()

    def queue(self, *args, code=0):
        r = self.g.cli("queue", *args)
        out, err = r.stdout.decode(), r.stderr.decode()
        assert r.returncode == code, f"queue {args}: {r.returncode}: {out}{err}"
        return out + err

    def rows(self, *args):
        return [json.loads(line) for line in self.queue("--json", *args).splitlines()]

    def states(self, id):
        return [r["state"] for m in self.rows() if m["id"] == id for r in m["recipients"]]

    def wait_states(self, id, *states, timeout_s=90):
        until(lambda: self.states(id) == list(states), timeout_s,
              lambda: f"{self.states(id)} is not {states}")


def shows_why(where):
    """A dead next hop: the table and the JSON say who waits, why, and until when."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        id = d.submit(rcpts=("b@dest.example", "c@other.example"))
        d.g.wait_log(rf"{id}: to=.*stat=Deferred|connect: Connection refused")
        table = until(lambda: "refused" in (t := d.queue()) and t, why=d.queue)
        lines = table.splitlines()
        assert lines[0].split() == ["ID", "AGE", "SINCE", "SIZE", "STATE", "SENDER", "RECIPIENT",
                                    "NEXT", "REASON"], table
        assert lines[1].startswith(id) and "a@client.example" in lines[1], table
        assert "c@other.example" in lines[2] and lines[2].startswith(" "), table
        at = lines[0].index("RECIPIENT")
        assert lines[1].index("b@dest") == at == lines[2].index("c@other"), table
        assert lines[3].startswith("1 message, "), table
        (m,) = d.rows()
        assert m["id"] == id and m["sender"] == "a@client.example", m
        assert all("refused" in r["reason"] and r["next_try_ms"] > time.time() * 1000
                   for r in m["recipients"]), m
        sites = d.rows("sites")
        assert any(s.get("why") and s.get("down_until_ms") for s in sites), sites
        (count,) = d.rows("count")
        assert count["messages"] == 1 and sum(count["recipients"].values()) == 2, count
        assert d.queue("count").startswith("messages      1\n")


def held_and_released(where):
    """hold outlives a crash; so does a release of what its listener held; then it is delivered
    once."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("rcpt", "451 4.3.0 later", match=b"slow@")
        first = d.submit(d.hold)
        slow = d.submit(rcpts=("slow@dest.example",))
        d.wait_states(slow, "deferred")
        assert "held, 1 recipient" in d.queue("hold", slow)
        assert "held already" in d.queue("hold", slow, code=66)
        d.g.crash()
        assert d.states(first) == ["held"] and d.states(slow) == ["held"]
        sink.clear()
        assert "released" in d.queue("release", slow)
        assert sink.wait(1)[0].recipients == ["slow@dest.example"]
        sink.at("rcpt", "451 4.3.0 later")
        d.queue("release", first)
        d.wait_states(first, "deferred")
        d.g.crash()
        assert d.states(first) != ["held"], "held again after it was released"
        d.wait_states(first, "deferred")        # it may have been tried anew
        sink.clear()
        d.queue("retry", first)
        sink.wait(2)
        d.g.wait_log(rf"{first}: to=<b@dest.example>.*stat=Sent")
        assert d.queue() == "the queue is empty\n"
        assert len(sink.messages) == 2, sink.messages
        log = d.g.log()
        assert re.search(rf"{slow}: held by \S+ \(pid \d+\), nrcpts=1", log), log
        assert re.search(rf"{first}: released by \S+ \(pid \d+\)", log), log
        done = [e["event"] for e in d.g.events() if e["event"].startswith("admin_")]
        assert done == ["admin_held", "admin_released", "admin_released", "admin_retried"], done


def deleted(where):
    """Gone for good, also after a crash; nobody is told; unknown ids are refused with words."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        ids = [d.submit(d.hold) for _ in range(3)]
        said = d.queue("delete", ids[0], "6AKBuw00000000", ids[1], code=66)
        assert said.count("deleted, 1 recipient") == 2 and "no such message" in said, said
        d.g.crash()
        assert [m["id"] for m in d.rows()] == [ids[2]]
        d.queue("release", ids[2])
        sink.wait(1)
        d.g.wait_log(rf"{ids[2]}: to=.*stat=Sent")
        time.sleep(0.3)
        assert len(sink.messages) == 1, [m.mail for m in sink.messages]


def deleted_while_active(where):
    """What is in a delivery is deleted at its end; a crash in between leaves it held, and not
    delivered against the will of who deleted it."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("mail", STALL, stall_s=300)
        id = d.submit()
        d.wait_states(id, "active")
        assert "that attempt ends" in d.queue("delete", id)
        assert "is deleted when this attempt ends" in d.queue(), d.queue()
        d.g.wait_log(rf"{id}: deleted by ")
        d.g.wait_events("admin_deleted", id=id)
        story = " ".join(d.g.cli("why", id).stdout.decode().split())
        who = re.search(r"deleted by (\S+)", d.g.log()).group(1)
        assert f"it is deleted then: {who} " in story and "given up" not in story, story
        assert f"queue release {id}" in story and f"queue hold {id}" in story, story
        d.queue("hold", id)
        d.g.wait_events("admin_held", id=id)
        story = " ".join(d.g.cli("why", id).stdout.decode().split())
        assert f"it is held then: {who} " in story and f"queue hold {id}" not in story, story
        d.queue("delete", id)
        d.g.crash()
        assert d.states(id) == ["held"]
        assert "to be deleted by" in d.queue() and "end is not known" in d.queue(), d.queue()
        sink.clear()
        d.queue("delete", id)
        assert d.queue() == "the queue is empty\n"
        d.g.wait_taking()
        again = d.submit()
        sink.wait(1)
        d.g.wait_log(rf"{again}: to=.*stat=Sent")
        assert len(sink.messages) == 1


def run_and_retry(where):
    """A queue run sends what waits for one; retry takes a domain past its back-off."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        waits = d.submit(d.later)
        assert d.states(waits) == ["waiting"]
        assert "1 recipient waited" in d.queue("run")
        assert "believed" in d.queue("clock")
        assert "believed" in d.queue("clock", "believe")
        d.queue("clock", "nonsense", code=64)
        sink.wait(1)
        sink.at("mail", "451 4.3.0 later")
        ids = [d.submit(rcpts=(f"b@{name}.example",)) for name in ("one", "two")]
        for id in ids:
            d.wait_states(id, "deferred")
        sink.clear()
        d.queue("retry", "nowhere.example", code=66)
        d.queue("retry", "TWO.example")
        assert sink.wait(2)[1].recipients == ["b@two.example"]
        d.g.wait_log(rf"{ids[1]}: to=.*stat=Sent")
        assert d.states(ids[0]) == ["deferred"]


def many(where):
    """A list longer than any slice is whole, beside mail that goes on; --limit cuts it."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        ids = []
        with smtpclient.Client(d.hold) as c:
            c.ehlo()
            flight = "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n"
            for i in range(MANY):
                c.send(flight)
                assert [c.reply().code for _ in range(3)] == [250, 250, 354]
                c.send("Subject: x\r\n\r\nhello\r\n.\r\n")
                ids.append(re.search(ID, c.reply().text).group())
        rows = d.rows()
        assert [m["id"] for m in rows] == sorted(ids, key=lambda id: id[6:]), len(rows)
        assert len(d.rows("list", "--limit", "7")) == 7
        table = d.queue().splitlines()
        assert len(table) == MANY + 2 and table[-1].startswith(f"{MANY:,} messages, "), table[-1]
        # Who goes away in the middle of a list harms nobody.
        p = subprocess.Popen([str(binary()), "queue", "--json", "-C", str(d.g.conf)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        p.stdout.readline()
        p.stdout.close()
        p.wait(90)
        d.submit()
        sink.wait(1)
        assert d.rows("count")[0]["messages"] >= MANY


def many_recipients(where):
    """A message whose recipients do not fit into one row comes in parts, and in full."""
    rcpts = [f"someone-with-a-longer-name-{i}@dest.example" for i in range(900)]
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        id = d.submit(d.hold, rcpts=rcpts)
        parts = d.rows()
        assert len(parts) > 1 and {p["id"] for p in parts} == {id}, len(parts)
        assert [r["to"] for p in parts for r in p["recipients"]] == rcpts
        assert "900 recipients" in d.queue().splitlines()[-1]


def strangers(where):
    """Another user than the gateway's is turned away with words."""
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        os.chmod(d.g.conf, 0o644)
        for path in (d.g.dir, where):
            os.chmod(path, 0o755)
        r = subprocess.run([str(binary()), "queue", "--socket", str(d.g.dir / "control")],
                           user=64000, group=64000, extra_groups=[], capture_output=True,
                           timeout=90, cwd="/")
        assert r.returncode == 77, r
        assert b"only root and the gateway's own user" in r.stderr, r
        os.chmod(d.g.dir / "control", 0o666)
        r = subprocess.run([str(binary()), "queue", "--socket", str(d.g.dir / "control")],
                           user=64000, group=64000, extra_groups=[], capture_output=True,
                           timeout=90, cwd="/")
        assert r.returncode == 77 and b"only root" in r.stderr, r
        d.g.wait_log(r"admin socket: uid 64000 \(pid \d+\) is refused")


def reload_and_stop(where):
    """reload: all mistakes, 78, and the old configuration stays; stop returns when all is gone."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        d.g.crash("control")
        good = d.g.conf.read_text()
        d.g.conf.write_text(good + "bogus = 1\nhostnam = 2\n")
        r = d.g.cli("reload", "--socket", d.g.dir / "control")
        assert r.returncode == 78, r
        assert b'"bogus"' in r.stderr and b'"hostnam"' in r.stderr, r
        assert d.submit()
        d.g.conf.write_text(good)
        r = d.g.cli("reload")
        assert (r.returncode, r.stdout) == (0, b"reloaded\n"), r
        pids = d.g.pids()
        r = d.g.cli("stop")
        assert (r.returncode, r.stdout) == (0, b"stopped\n"), r
        assert d.g.process.wait(90) == 0
        assert not [p for p in pids if Path(f"/proc/{p}/exe").exists()], "children are left"
        r = d.g.cli("queue")
        assert r.returncode == 69 and b"no gateway answers" in r.stderr, r


def names_of_old(where):
    """mailq shows what waits, and what is held only with -qQ, as sendmail does with quarantine."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        held, waits = d.submit(d.hold), d.submit(d.later)
        link = where / "mailq"
        link.symlink_to(binary().resolve())
        for args, there, other in (((), waits, held), (("-qQ",), held, waits)):
            r = subprocess.run([str(link), "-C", str(d.g.conf), *args], capture_output=True,
                               timeout=90, stdin=subprocess.DEVNULL)
            assert r.returncode == 0, r
            assert there.encode() in r.stdout and other.encode() not in r.stdout, r


def nobody_reads(where):
    """What is printed where there is no standard output goes nowhere, and never into a socket that
    has its number; on a full disk it is a failure."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        id, other = d.submit(d.later), d.submit(d.later)
        link = where / "sendmail"
        link.symlink_to(binary().resolve())
        (where / "mailq").symlink_to(binary().resolve())

        def call(shell, program, *args, data=b""):
            return subprocess.run(["sh", "-c", f'exec "$0" "$@" {shell}', str(program), "-C",
                                   str(d.g.conf), *args], input=data, capture_output=True,
                                  timeout=90)

        for shell, program, args, code in (
                (">&-", binary(), ("queue",), 0),
                (">&-", binary(), ("queue", "--json", "oldest"), 0),
                (">&-", binary(), ("config", "diff"), 0),
                (">&- 2>&-", binary(), ("queue", "hold", id, "6AKKFC99999999"), 66),
                ("2>&-", binary(), ("queue", "count", "--age", "x"), 64),
                (">/dev/full", binary(), ("queue", "release", id), 74),
                (">/dev/full", binary(), ("config", "check"), 74),
                (">/dev/full", binary(), ("retry", "-v", other), 74),
                (">/dev/full", where / "mailq", (), 74),
                (">/dev/full", link, ("-bv", "b@dest.example"), 74),
                (">/dev/full", binary(), ("help", "queue"), 74),
                ("", binary(), ("help", "--queue"), 64), ("", binary(), ("help", "qeue"), 64)):
            r = call(shell, program, *args)
            assert r.returncode == code, (shell, args, r)
            assert r.stdout == b"" and b"full" not in r.stderr, (shell, args, r)
        sink.wait(2)
        r = call(">&- 2>&-", link, "-v", "-f", "a@client.example", "c@dest.example",
                 data=b"Subject: y\n\nhello\n")
        assert r.returncode == 0, r
        assert sink.wait(3)[2].recipients == ["c@dest.example"]
        r = call("<&-", link, "-f", "a@client.example", "d@dest.example")
        assert r.returncode == 74 and b"cannot be read" in r.stdout, r  # no empty message either


CASES = (shows_why, held_and_released, deleted, deleted_while_active, run_and_retry, many,
         many_recipients, strangers, reload_and_stop, names_of_old, nobody_reads)


def main():
    report = Report()
    if not binary().exists():
        report.skip("cli_queue", f"{binary()} is not built")
        return report.code()
    return report.cases("cli_queue", CASES)


if __name__ == "__main__":
    sys.exit(main())
