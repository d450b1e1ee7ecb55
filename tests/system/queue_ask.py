#!/usr/bin/env python3
"""What `postern queue` answers with filters and groups, and what is done to all that a filter
means: previews, refusals without a terminal, reports to senders, other next hops, frozen domains.
tests/run: anyone"""
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import until                       # noqa: E402

ID = r"[0-9A-Za-x]{14}"


class Desk:
    """A gateway that holds what comes in, has one next hop that works and one that refuses for
    now, and its queue."""

    def __init__(self, where):
        self.good, self.busy = Sink().start(), Sink().start()
        self.busy.at("rcpt", "451 4.2.1 mailbox busy, id 77A31")
        self.hold = ports.free()
        self.g = Gateway(where / "g", mailertable={
            "good.example": ("127.0.0.1", self.good.port),
            "busy.example": ("127.0.0.1", self.busy.port),
            "sender.example": ("127.0.0.1", self.good.port)}, options={
            'listen "hold"': {"address": [f"127.0.0.1:{self.hold}"], "delivery": Word("hold")}})

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)
        self.good.stop()
        self.busy.stop()

    def submit(self, *rcpts, port=None, sender="a@sender.example", size=10):
        r = smtpclient.deliver(port or self.g.port, "Subject: x\r\n\r\n" + "x" * size + "\r\n",
                               sender=sender, rcpts=rcpts)
        assert r.code == 250, r
        return re.search(ID, r.text).group()

    def queue(self, *args, code=0, stdin=None):
        r = self.g.cli("queue", *args)
        out = r.stdout.decode() + r.stderr.decode()
        assert r.returncode == code, f"queue {args}: {r.returncode}: {out}"
        return out

    def parts(self, *args):
        """Standard output and standard error apart."""
        r = self.g.cli("queue", *args)
        assert r.returncode == 0, (args, r)
        return r.stdout.decode(), r.stderr.decode()

    def rows(self, *args):
        return [json.loads(line) for line in self.queue("--json", *args).splitlines()]

    def ids(self, *args):
        return [m["id"] for m in self.rows("list", *args)]

    def count(self, *args):
        return self.rows("count", *args)[0]["messages"]

    def wait(self, what, timeout_s=90):
        until(what, timeout_s, lambda: self.queue("list"))


def stored(d):
    return {e["id"]: e["stored"] for e in d.g.events() if e["event"] == "received"}


def without_ages(text):
    return re.sub(r" +\d+s\b", " AGE", text)


def fill(d):
    """Eight messages: four held, four put off by the busy one."""
    held = [d.submit(f"u{i}@good.example", port=d.hold, size=100 + i) for i in range(4)]
    busy = [d.submit(f"v{i}@busy.example", sender=f"s{i % 2}@sender.example", size=20000 * i + 10)
            for i in range(4)]
    d.wait(lambda: d.count("--state", "deferred") == 4)
    return held, busy


def filters(where):
    with Desk(where) as d:
        held, busy = fill(d)
        assert d.ids() == held + busy, d.ids()
        assert d.ids("--domain", "busy.example") == busy
        assert d.ids("--domain", "!busy.example") == held
        assert d.ids("--state", "held") == held
        assert d.ids("--state", "held,deferred", "--limit", "5") == (held + busy)[:5]
        assert d.ids("--to", "v2@busy.example") == [busy[2]]
        assert d.ids("--to", "v*") == busy and d.ids("--to", "~2@") == [held[2], busy[2]]
        assert d.ids("--to", "u1@good.example", "--to", "v1@busy.example") == [held[1], busy[1]]
        assert d.ids("--from", "s1@sender.example") == [busy[1], busy[3]]
        assert d.ids("--from", "@sender.example", "--from", "nobody.example") == held + busy
        assert d.ids("--reason", "mailbox busy") == busy
        assert d.ids("--listener", "hold") == held
        assert d.ids("--client", "127.0.0.0/8") == held + busy
        assert not d.ids("--client", "192.0.2.1")
        assert d.ids("--size", ">10K", "--size", "<50K") == busy[1:3]
        d.wait(lambda: stored(d) == {m["id"]: m["size"] for m in d.rows("list")})
        assert d.ids("--age", ">1h") == [] and d.ids("--age", "<1h") == held + busy
        assert d.ids("--id", held[3]) == [held[3]]
        assert d.ids("--sort", "size", "--limit", "3") == busy[:0:-1]
        assert d.ids("--sort", "domain")[:4] == busy
        assert d.count("--domain", "busy.example") == 4 and d.count("--domain", "none.example") == 0
        assert d.ids("--domain", ".example") == held + busy and not d.ids("--domain", ".y.example")
        assert d.ids("--domain", "busy.example,none.example") == busy
        assert d.ids("--to", "!@good.example,v1@busy.example") == [busy[0], *busy[2:]]
        assert d.ids("--site", "127.0.0.1") == busy and not d.ids("--site", "host")
        assert d.ids("--size", "<10k") == d.ids("--size", "<10KB") == held + busy[:1]
        assert d.ids("--listener", "hold,mx") == held + busy
        assert 'did you mean "hold"' in d.queue("list", "--listener", "hodl", code=64)
        assert "no message's id" in d.queue("list", "--id", "nonsense", code=64)
        assert d.queue("list", "--domain", "none.example") == \
            "nothing in the queue is meant by that (8 messages wait)\n"
        assert d.queue("list", "--limit", "0") == "0 of 8 messages shown (--limit)\n"
        assert "3 of 4 messages shown" in d.queue("list", "--state", "held", "--limit", "3")
        assert "did you mean \"--from\"?" in d.queue("count", "--form", "x", code=64)
        d.queue("list", "--age", "soon", code=64)
        d.queue("list", "--state", "asleep", code=64)


def groups(where):
    with Desk(where) as d:
        held, busy = fill(d)
        rows = d.rows("oldest")
        assert rows[0]["groups"] == 2 and rows[0]["messages"] == 8, rows
        good, late = rows[1], rows[2]
        assert (good["domain"], good["messages"], good["oldest_id"]) == ("good.example", 4, held[0])
        assert late["domain"] == "busy.example" and late["recipients"] == 4
        assert late["oldest_id"] == busy[0] and "mailbox busy" in late["reason"], late
        assert late["next_try_ms"] > time.time() * 1000, late
        assert late["bytes"] > 120000 and late["newest_ms"] >= late["oldest_ms"]
        senders = {r["sender"]: r for r in d.rows("oldest", "--by", "sender")[1:]}
        assert senders["s1@sender.example"]["messages"] == 2, senders
        assert senders["s1@sender.example"]["oldest_id"] == busy[1]
        reasons = d.rows("oldest", "--by", "reason", "--sort", "count")[1:]
        assert sorted(r["messages"] for r in reasons) == [4, 4], reasons
        some = d.rows("oldest", "--from", "s0@sender.example")[1:]
        assert [(r["domain"], r["messages"]) for r in some] == [("busy.example", 2)], some
        clients = d.rows("oldest", "--by", "client")
        assert clients[0]["messages"] == 8 and clients[1]["client"] == "127.0.0.1", clients
        assert clients[1]["messages"] == 8, clients
        shape = d.rows("shape")[1:]
        assert all(sum(r["ages"]) == 4 and r["ages"][0] == 4 for r in shape), shape
        text = d.queue("oldest") + d.queue("shape")
        assert held[0] in text and "########" in text and "busy.example" in text, text


def actions(where):
    with Desk(where) as d:
        held, busy = fill(d)
        out = d.queue("release", "--state", "held", code=64)
        assert "--yes" in out and "4 messages, 4 recipients" in out, out
        out = d.queue("release", "--state", "held", "--dry-run")
        assert held[3] in out and "4 messages, 4 recipients" in out, out
        again, words = d.parts("release", "--state", "held", "--dry-run")
        assert (without_ages(again), words) == (without_ages(out), ""), (out, again, words)
        assert d.rows("count", "--state", "held")[0].keys() == {"messages", "bytes", "recipients"}
        assert d.rows("delete", "--dry-run", held[0])[0]["messages"] == 1
        for pattern, n in ("mailbox", 4), ("*mailbox*", 4), ("4*busy, id*", 4), ("mailbox*", 0):
            assert d.count("--reason", pattern) == n, pattern
        assert d.count("--reason", "!*mailbox*") == 4
        # what would not change is not announced either
        assert d.rows("release", "--all", "--dry-run")[0]["messages"] == 4
        assert d.rows("hold", "--all", "--dry-run")[0] == {
            "dry_run": "hold", "messages": 4, "recipients": 4,
            "bytes": d.rows("count", "--domain", "busy.example")[0]["bytes"]}
        assert d.rows("delete", "--all", "--dry-run")[0]["recipients"] == 8
        assert "recipients" not in d.rows("delete", "--from", "*", "--dry-run")[0]
        assert "nothing" in d.queue("release", "--domain", "busy.example", "--yes")
        d.queue("list", "--dry-run", code=64)
        assert d.count("--state", "held") == 4
        done = d.rows("release", "--state", "held", "--to", "u0@good.example", "--yes")
        assert done[-1]["messages"] == 1, done
        d.wait(lambda: len(d.good.messages) == 1)
        assert "deleted: 1 message, 1 recipient" in d.queue("delete", "--to", "u1@*", "--yes")
        assert "nothing" in d.queue("delete", "--to", "u1@*", "--yes")
        d.queue("hold", "--domain", "busy.example", "--yes")
        assert d.count("--state", "held") == 6
        d.g.stop()
        d.g.start()
        d.wait(lambda: d.count("--state", "held") == 6)
        log = d.g.logfile.read_text()
        assert f"{busy[0]}: held by " in log and f"{held[1]}: deleted by " in log


def reports(where):
    with Desk(where) as d:
        held, busy = fill(d)
        d.queue("bounce", "--to", "v0@busy.example", "--yes")
        d.queue("expire", busy[1])
        d.queue("delete", "--bounce", held[0])
        d.wait(lambda: len(d.good.messages) == 3)
        texts = [m.data.decode() for m in d.good.messages]
        assert sum("Action: failed" in x for x in texts) == 3, texts
        assert any("5.7.1" in x and "v0@busy.example" in x for x in texts)
        assert any("4.4.7" in x and "v1@busy.example" in x for x in texts)
        d.wait(lambda: d.ids() == held[1:] + busy[2:])


def reroute(where):
    with Desk(where) as d:
        fill(d)
        d.queue("reroute", "--to", "no such:host:at all", "--domain", "busy.example", "--yes",
                code=64)
        assert d.count("--domain", "busy.example") == 4
        d.queue("reroute", "--to", f"[127.0.0.1]:{d.good.port}", "--domain", "busy.example",
                "--yes")
        d.wait(lambda: len(d.good.messages) == 4 and d.count("--domain", "busy.example") == 0)


def frozen(where):
    with Desk(where) as d:
        d.queue("freeze", "good.example")
        assert "good.example" in d.queue("freeze")
        d.queue("freeze", "GOOD.example", code=66)
        ids = [d.submit(f"u{i}@good.example") for i in range(3)]
        d.wait(lambda: d.count("--state", "frozen") == 3)
        assert not d.good.messages
        assert d.ids("--reason", "frozen") == ids
        d.queue("retry", "good.example", code=75)
        time.sleep(0.5)
        assert not d.good.messages, "a retry does not thaw"
        assert "no domain" in d.queue("reroute", "--rule", "--to", "[::1]", "bad!name", code=64)
        d.queue("thaw", "good.example")
        d.wait(lambda: len(d.good.messages) == 3 and d.count("--all") == 0)
        d.queue("thaw", "good.example", code=66)
        d.queue("freeze", "one.example", "good.example", "two.example")
        assert d.queue("freeze").count("frozen since") == 3
        d.queue("thaw", "one.example", "good.example")
        out = d.queue("thaw", "one.example", "two.example", code=66)
        assert "one.example is not frozen" in out and "two.example: thawed" in out, out
        assert d.parts("freeze") == ("nothing is frozen\n", "")
        fill(d)  # what was said before is told, and found
        d.wait(lambda: d.count("--reason", "mailbox busy") == 4)
        d.queue("freeze", "busy.example")
        busy = d.ids("--domain", "busy.example")
        found = d.ids("--reason", "mailbox busy"), d.ids("--state", "frozen")
        assert found == (busy, busy), (found, busy, d.queue("list"))
        row = d.rows("list", "--id", busy[0])[0]["recipients"][0]
        assert row["frozen_as"] == "busy.example" and row["frozen_by"], row
        assert d.count("--reason", f"{row['reason']}; before that: {row['before']}") >= 1
        group = d.rows("oldest", "--by", "reason", "--domain", "busy.example")[1]
        assert group["class"] == row["reason"] and "mailbox busy" in group["before"], group
        assert "; before that, of the oldest: 4" in d.queue("oldest", "--by", "reason")


def export(where):
    with Desk(where) as d:
        held, busy = fill(d)
        out = where / "out"
        d.queue("export", str(out), "--domain", "busy.example")
        assert sorted(p.name for p in out.iterdir()) == sorted(f"{i}.eml" for i in busy)
        text = (out / f"{busy[3]}.eml").read_text()
        assert "Subject: x" in text and "x" * 60010 in text, text[:80]
        assert text.startswith("Received:"), text[:80]
        again = d.queue("export", str(out), "--all")
        d.queue("export", str(out), "6" + "0" * 13, code=66)
        assert "4 messages" in again and len(list(out.iterdir())) == 8, again


def asked_on_a_terminal(where):
    with Desk(where) as d:
        fill(d)
        for answer, left in (("n", 5), ("y", 1)):
            parent, child = pty.openpty()
            p = subprocess.Popen([str(binary()), "queue", "--socket", str(d.g.dir / "control"),
                                  "delete", "--state", "held"], stdin=child,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            os.close(child)
            shown = b""
            while b"[y/N]" not in shown:
                shown += os.read(p.stdout.fileno(), 4096)
            d.submit(f"{answer}@good.example", port=d.hold)    # nobody was asked about this one
            held = 5 if answer == "n" else 6
            d.wait(lambda held=held: d.count("--state", "held") == held)
            os.write(parent, answer.encode() + b"\n")
            out = (shown + p.communicate(timeout=90)[0]).decode()
            os.close(parent)
            count = "4 messages" if answer == "n" else "5 messages"
            assert p.returncode == 0 and count in out and "u0@good.example" in out, out
            assert ("since was left alone" in out) is (answer == "y"), out
            assert d.count("--state", "held") == left, out


CASES = (filters, groups, actions, reports, reroute, frozen, export, asked_on_a_terminal)


def main():
    report = Report()
    if not binary().exists():
        report.skip("queue_ask", f"{binary()} is not built")
        return report.code()
    return report.cases("queue_ask", CASES)


if __name__ == "__main__":
    sys.exit(main())
