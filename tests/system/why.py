#!/usr/bin/env python3
"""`postern why`: next hops that refuse, stall, greylist and have no DNS; what is held and what
waits for a run; a site in back-off with hundreds of messages; what would be different now; and
that the stories are there after the queue manager was killed.
tests/run: long sanitizers tests/run: anyone"""
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, smtpclient                   # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import DROP, STALL, Sink              # noqa: E402
from lib.waiting import wait_for                    # noqa: E402
from lib.zonedns import ZoneDns                     # noqa: E402

MANY = 500
ID = r"[0-9A-Za-x]{14}"


def fits(text):
    """No line is longer than it should be, but for words that are; nothing is coloured."""
    return "\033" not in text and all(len(line) <= 100 or len(line.split()) <= 2
                                      for line in text.splitlines())


class Desk:
    """A gateway that can be asked why."""

    def __init__(self, where, next_hop=None, options=None, **more):
        self.hold, self.later = ports.free(), ports.free()
        base = {
            'listen "hold"': {"address": [f"127.0.0.1:{self.hold}"], "delivery": Word("hold")},
            'listen "later"': {"address": [f"127.0.0.1:{self.later}"],
                               "delivery": Word("queue_only")},
            "processes": {"restart_first": Word("50ms"), "restart_max": Word("200ms")}}
        self.g = Gateway(where / "g", smart_host=next_hop, options={**base, **(options or {})},
                         **more)

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)

    def submit(self, *rcpts, port=None, sender="a@client.example"):
        r = smtpclient.deliver(port or self.g.port, "Subject: x\r\n\r\nhello\r\n", sender=sender,
                               rcpts=rcpts or ("b@dest.example",))
        assert r.code == 250, r
        return re.search(ID, r.text).group()

    def why(self, *args, code=0):
        r = self.g.cli("why", *args)
        out, err = r.stdout.decode(), r.stderr.decode()
        assert r.returncode == code, f"why {args}: {r.returncode}: {out}{err}"
        assert "--json" in args or fits(out), out
        return out + err

    def words(self, *args, code=0):
        """What it says, wherever its lines are broken."""
        return " ".join(self.why(*args, code=code).split())

    def story(self, target, code=0):
        return json.loads(self.why("--json", target, code=code))

    def wait(self, target, wanted, timeout_s=90):
        """The story, once it is as wanted."""
        end = time.monotonic() + timeout_s
        while not wanted(story := self.story(target)):
            assert time.monotonic() < end, json.dumps(story, indent=1)
            time.sleep(0.1)
        return story

    def wait_attempts(self, id, n):
        return self.wait(id, lambda s: len(s["attempts"]) >= n and
                         all(r["state"] != "active" for r in s["recipients"]))

    def retry(self, target):
        """Once it is not being tried already."""
        wait_for("a retry", lambda: self.g.cli("queue", "retry", target).returncode == 0)


def in_time(look, name, timeout_s=90):
    """Where a delivery is is said when its process answers within a second, and a second MX is to
    greet within one: else once more."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return look(name)
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def lines(attempt, kind):
    return [line[kind] for line in attempt["dialogue"] if kind in line]


def refused(where):
    """Nobody listens: where to, what the kernel said, until when the site is left alone."""
    port = ports.free()
    with Desk(where, ("127.0.0.1", port)) as d:
        id = d.submit()
        s = d.wait_attempts(id, 1)
        (a,), (r,) = s["attempts"], s["recipients"]
        assert a["stage"] == "connect" and "refused" in a["said"] and a["code"] == 0, a
        assert lines(a, "host") == [f"[127.0.0.1] 127.0.0.1:{port}"], a
        assert any("refused" in n for n in lines(a, "note")), a
        assert a["dns"]["verdict"] == "none" and a["recipients"] == [0], a
        assert r["state"] == "deferred" and r["with_site"] and r["attempts"] == 1, r
        (place,) = s["places"]
        assert place["site"]["down_until_ms"] > s["now"]["now_ms"], place
        text = d.why(id)
        for words in ("waits with its site", "is left alone as a whole after 1 failure",
                      "Connection refused", "tried 1 time", f"postern retry --verbose {id}",
                      f"connecting to [127.0.0.1] 127.0.0.1:{port}", "What you can do"):
            assert words in text, (words, text)
        assert d.why("b@dest.example").startswith("b@dest.example: 1 message (1 recipient")
        assert "is sent there" in d.why("127.0.0.1")
        d.why("nobody.example", code=66)
        d.why(code=64)


def stalled(where):
    """A host that says nothing, one that goes silent at RCPT: which stage, how long."""
    for stage, name in (("connect", "greeting"), ("rcpt", "RCPT")):
        with Sink() as sink, Desk(where / stage, ("127.0.0.1", sink.port), options={
                "timeout": {"initial" if stage == "connect" else stage: Word("2s")}}) as d:
            sink.at(stage, STALL, stall_s=60)
            id = d.submit()
            (a,) = d.wait_attempts(id, 1)["attempts"]
            assert name in a["stage"] and a["ms"] >= 1500, a
            assert lines(a, "note") and lines(a, "open") == ["connected"], a
            longest = max(a["stages"], key=lambda s: s["ms"])
            assert longest["stage"] == name and longest["ms"] >= 1500, a["stages"]
            text = d.why(id)
            assert "the longest wait was " in text, text


def greylisted(where):
    """4xx: the peer's words, the dialogue, one story for each attempt, the last three of them;
    also of a recipient whose neighbour was taken."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        rule = sink.at("rcpt", "451 4.7.1 greylisted, come again", match=b"slow@")
        id = d.submit("slow@dest.example", "good@dest.example")
        (a,) = d.wait_attempts(id, 1)["attempts"]
        assert a["stage"] == "RCPT" and a["code"] == 451, a
        assert a["said"] == "451 4.7.1 greylisted, come again", a
        assert a["recipients"] == [0], a
        said = lines(a, "ours")
        assert "RCPT TO:<slow@dest.example>" in " ".join(said) and said[-1].startswith("BDAT"), said
        assert not any("hello" in line for line in said), "content is kept"
        assert "451 4.7.1 greylisted, come again" in lines(a, "peer"), a
        assert any(p.startswith("250-") for p in lines(a, "peer")), "the EHLO reply is not whole"
        text = d.why(id)
        assert "<good@dest.example> is done: delivered" in text, text
        assert "<slow@dest.example> waits for its next attempt" in text, text
        assert re.search(r"the next attempt is due in \S+ \(\d\d:\d\d:\d\d\)", text), text
        assert d.g.cli("queue", "freeze", "dest.example").returncode == 0
        d.wait(id, lambda s: s["recipients"][0]["state"] == "frozen")
        text = d.words(id)
        assert re.search(r"is frozen: .+ froze dest.example, .+; tried 1 time\.", text), text
        assert "queue thaw dest.example" in text and "retry" not in text, text
        assert d.g.cli("queue", "thaw", "dest.example").returncode == 0
        rule.action = "450 4.2.0 mailbox busy"
        for n in (2, 3, 4, 5):
            d.retry(id)
            d.wait(id, lambda s: s["recipients"][0]["attempts"] == n and
                   s["recipients"][0]["state"] == "deferred")
        s = d.wait(id, lambda s: len(s["attempts"]) == 3)
        assert [a["code"] for a in s["attempts"]] == [450] * 3, s["attempts"]
        times = [a["at_ms"] for a in s["attempts"]]
        assert times == sorted(times, reverse=True), times
        assert "--verbose has what was said" in d.why(id)
        assert d.why("-v", id).count("RCPT TO:<slow@") == 3
        sink.clear()
        d.retry(id)
        sink.wait(2)
        d.g.wait_events("delivered", id=id, to="slow@dest.example")
        text = d.why(id, code=66)
        assert "The log says of it" in text and "delivered to=slow@dest.example" in text, text
        assert re.search(r"It came \S+ ago \(.*\) from <a@client.example>, given by .+, to 2 rec",
                         text), text
        text = d.words(id, code=66)
        assert re.search(rf"<slow@dest.example> was delivered \S+ ago \(\S+\) to \S+ 127.0.0.1:"
                         rf"{sink.port}: 250", text), text
        assert re.search(rf"{id}: <slow@dest.example> was delivered", d.words("dest.example",
                                                                             code=66))
        text = d.words("slow@dest.example", code=66)    # each attempt, and one way for all
        assert text.count(" routed ") == 1 and text.count(" deferred ") >= 3, text


def dropped(where):
    """A connection lost after the final dot: said, with the dialogue up to there."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("eod", DROP)
        sink.at("bdat", DROP)
        id = d.submit()
        s = d.wait_attempts(id, 1)
        assert s["recipients"][0]["duplicate"], s
        assert lines(s["attempts"][0], "ours")[-1].startswith("BDAT"), s["attempts"]
        assert "lost" in lines(s["attempts"][0], "note")[-1], s["attempts"]
        assert "may have arrived already" in d.why(id)


ZONE = """
dest.test 1 MX 10 mx1.test
mx1.test 1 A 127.0.0.11
mx2.test 1 A 127.0.0.12
broken.test SERVFAIL
"""


def dns_then_and_now(where):
    """SERVFAIL that is over; an MX that has moved: it says so, and what would happen now."""
    with Sink(host="127.0.0.12") as sink, ZoneDns(ZONE) as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "timeout": Word("4s"),
                                          "dnssec": Word("off")},
                                  "deliver": {"port": sink.port, "idle": Word("0")}}) as d:
            broken, moved = d.submit("x@broken.test"), d.submit("x@dest.test")
            (a,) = d.wait_attempts(broken, 1)["attempts"]
            assert a["stage"] == "DNS" and a["dns"]["verdict"] == "later", a
            assert f"lookup failure (MX: no usable answer from {dns.address})" in \
                a["dns"]["text"], a
            assert d.story(broken)["name_servers"][0]["said"] == "SERVFAIL"
            assert f"name server {dns.address} says: SERVFAIL" in d.words(broken)
            (now,) = d.story(broken)["if_tried_now"]
            assert not now["dns_differs"], now
            (a,) = d.wait_attempts(moved, 1)["attempts"]
            assert a["dns"]["try"] == [{"host": "mx1.test", "pref": 10,
                                        "address": f"127.0.0.11:{sink.port}"}], a
            dns.remove("broken.test")
            dns.add("broken.test 1 MX 5 mx2.test")
            dns.remove("dest.test")
            dns.add("dest.test 1 MX 10 mx2.test")
            for id in (broken, moved):
                s = d.wait(id, lambda s: s["if_tried_now"] and s["if_tried_now"][0]["dns_differs"])
                assert "mx2.test" in s["if_tried_now"][0]["why"], s["if_tried_now"]
            text = d.words(broken)
            assert "THE DNS ANSWERS NOW: then Name server" in text, text
            assert f"now mx2.test 127.0.0.12:{sink.port}" in text, text
            text = d.words(moved)
            assert f"THE DNS HAS CHANGED: then mx1.test 127.0.0.11:{sink.port}; now mx2" in text
            for id in (broken, moved):
                d.retry(id)
            sink.wait(2)


def retried_with_mended_dns(where):
    """The name server was silent for all; it answers again, and who retries at once is not told
    what was remembered of the silence."""
    names = ["a.test", "b.test"]
    with Sink(host="127.0.0.12") as sink, ZoneDns(
            "mx2.test A 127.0.0.12\n" + "".join(f"{n} TIMEOUT\n" for n in names)) as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "timeout": Word("4s"),
                                          "dnssec": Word("off")},
                                  "deliver": {"port": sink.port}}) as d:
            ids = [d.submit(f"x@{n}") for n in names]
            for id in ids:
                (a,) = d.wait_attempts(id, 1)["attempts"]
                assert 3900 <= a["dns"]["ms"] <= a["ms"], a
                assert a["stages"] == [{"stage": "DNS", "ms": a["dns"]["ms"]}], a["stages"]
                d.g.wait_log(rf"{id}: to=.* xdelay=(?!00:00:00)")
            for n in names:
                dns.remove(n)
                dns.add(f"{n} MX 5 mx2.test")
            p = d.g.cli("retry", "--domain", "*.test", "--json")
            rows = [json.loads(line) for line in p.stdout.splitlines()]
            assert p.returncode == 0, (rows, p.stderr)
            assert len(sink.wait(2)) == 2, rows


def silent_dns(where):
    """A name server that says nothing: what the queue knows is shown before its answer, and what
    would happen now has a deadline."""
    with ZoneDns("dest.test TIMEOUT") as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "timeout": Word("60s"),
                                          "dnssec": Word("off")}}) as d:
            id = d.submit("x@dest.test")

            def asked(*words):
                return subprocess.Popen([str(binary()), *words, "-C", str(d.g.conf)],
                                        stdout=subprocess.PIPE)

            why = asked("why", "dest.test")
            first = os.read(why.stdout.fileno(), 1 << 20).decode()
            story, retry = asked("why", "--json", id), asked("retry", "dest.test")
            rest = why.communicate(timeout=90)[0].decode()
            assert why.returncode == 0, (first, rest)
            assert first.startswith("dest.test: 1 message") and "tried now" not in first, first
            assert "If the oldest were tried now" in rest and "What you can do" in rest, rest
            assert "the DNS has not answered for 5 s" in rest and "dest.test: 1" not in rest, rest
            said = f"name server {dns.address} says: no answer within 2 seconds"
            assert said in " ".join(rest.split()), rest
            (now,) = json.loads(story.communicate(timeout=90)[0])["if_tried_now"]
            assert now["error"] == "the DNS has not answered for 5 s", now
            assert any(b"asking the DNS for the MX of dest.test" in line for line in retry.stdout)
            retry.kill()
            retry.communicate()


def alias_without_mx(where):
    """A domain without MX that is an alias: said, and found by the name behind it."""
    with ZoneDns("""
            dest.test 5 CNAME real.test
            real.test 300 A 127.0.0.11""") as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "dnssec": Word("off")},
                                  "deliver": {"port": ports.free()}}) as d:
            id = d.submit("x@dest.test")
            (a,) = d.wait_attempts(id, 1)["attempts"]
            assert a["dns"]["alias"] == "real.test", a["dns"]
            alias = "no MX; dest.test is an alias of real.test: the address itself "
            text = d.words(id)
            assert alias + "was tried" in text and alias + "is tried" in text, text
            cached = re.search(r"out of the gateway's cache, for (\d)s more", text)
            assert cached or "cache" not in text, text      # the alias' TTL, not its address's
            assert d.story("real.test")["group"]["oldest"] == id
            d.why("other.test", code=66)


def an_alias_asked_for(where):
    """The address that somebody wrote to is found, too: nothing waits for it, but for what it
    stands for."""
    where.mkdir(exist_ok=True)
    (where / "aliases").write_text("team: one@dest.example, two@dest.example, three\n")
    with Desk(where, next_hop=("127.0.0.1", ports.free()), options={"route": {
            "aliases": f"text:{where}/aliases", "local": ["ours.example"],
            "local_users": Word('"any"')}}) as d:
        d.submit("team@ours.example", "one@dest.example")
        text = d.words("team@ours.example", code=66)
        assert "It stands for <one@dest.example>, for whom 1 message waits" in text, text
        assert "postern why one@dest.example" in text and "<two@dest.example>" in text, text
        s = json.loads(d.why("--json", "team@ours.example", code=66))
        assert [t["address"] for t in s["stands_for"]] == [
            "one@dest.example", "two@dest.example", "three@gateway.example"], s["stands_for"]


def tried_by_another(where):
    """The DNS failed for one; since then its site has been tried by another: that is what it waits
    for now, and the DNS is no news. Nor is what the DNS said of one domain told of another."""
    with ZoneDns("mx1.test A 127.0.0.11\n" + "".join(
            f"a{n}.test SERVFAIL\nb{n}.test SERVFAIL\n" for n in range(9))) as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "timeout": Word("4s"),
                                          "dnssec": Word("off")},
                                  "deliver": {"port": ports.free()}}) as d:
            for n in range(9):
                a, b = f"a{n}.test", f"b{n}.test"
                first, both = d.submit(f"x@{a}"), d.submit(f"x@{b}", f"y@{a}")
                d.wait_attempts(first, 1)
                d.wait_attempts(both, 2)
                text = d.words(both)
                before = text.split("If it were tried now")[0]
                if "after seconds" not in before and "the same then" in before:
                    break           # on a busy machine the two may differ
                assert d.g.cli("queue", "delete", first, both).returncode == 0
            s = d.story(a)
            assert s["group"]["messages"] == 2 and "messages_at_most" not in s["group"], s["group"]
            assert all(f"Name server: {a}:" in r["reason"] for r in s["reasons"]), s["reasons"]
            assert re.search(r"<[xy]@..\.test> and 1 other: each waits with its site", text), text
            assert text.count("is left alone as a whole") == 1, text
            assert re.search(r"the same then (for <[xy]@..\.test>|of another)", text), text
            assert "the last word: Name server: (various): " in text, text
            r = d.g.cli("queue", "oldest", "--by", "reason", "--json")
            (row,) = [x for x in map(json.loads, r.stdout.splitlines()) if "oldest_id" in x]
            assert row["reason"].startswith("Name server: (various): "), row
            r = d.g.cli("queue", "count", "--domain", a, "--json")
            assert b"at_most" not in r.stdout and b'"messages":2' in r.stdout, r.stdout
            dns.remove(a)
            dns.add(f"{a} 1 MX 5 mx1.test")
            d.wait(first, lambda s: s["if_tried_now"][0].get("dns_is") == "back")
            second = d.submit(f"z@{a}")
            d.retry(second)
            s = d.wait(first, lambda s: s["attempts"][0].get("of") == second)
            assert s["attempts"][0]["stage"] == "connect" and "of" not in s["attempts"][1], s
            text = d.words(first)
            assert "DNS ANSWERS" not in text and f"of another message there, {second}" in text, text
            text = d.words(a)
            assert "DNS ANSWERS" not in text and "refused" in text, text


def two_hosts(where):
    """The first MX is dead, the second one puts off, over TLS: both are in the story, in order."""
    cert = certs.make(where)
    with Sink(host="127.0.0.12", tls=cert) as sink, ZoneDns("""
            dest.test MX 10 mx1.test
            dest.test MX 20 mx2.test
            mx1.test A 127.0.0.11
            mx2.test A 127.0.0.12""") as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "dnssec": Word("off")},
                                  "deliver": {"port": sink.port}}) as d:
            sink.at("eod", "452 4.3.1 disk full")
            sink.at("bdat", "452 4.3.1 disk full")
            id = d.submit("x@dest.test")
            (a,) = d.wait_attempts(id, 1)["attempts"]
            assert lines(a, "host") == [f"mx1.test 127.0.0.11:{sink.port}",
                                        f"mx2.test 127.0.0.12:{sink.port}"], a
            assert [t["host"] for t in a["dns"]["try"]] == ["mx1.test", "mx2.test"], a
            assert a["code"] == 452 and a["tls"].startswith("TLSv1."), a
            said = lines(a, "ours")
            assert "STARTTLS" in said and said.count("EHLO gateway.example") == 2, said
            assert any("refused" in n for n in lines(a, "note")), a
            assert "the DNS says the same as at the last attempt" in d.why(id)


TWO_MX = """
    dest.test MX 10 mx1.test
    dest.test MX 20 mx2.test
    mx1.test A 127.0.0.17
    mx2.test A 127.0.0.18"""


def first_mx_silent(where):
    """The first MX says nothing, the second one puts off: retry --verbose tells of the first one
    what its story says, and it is found by its name and by its address, with its last word."""
    port = ports.free()
    silent = "timeout waiting for input from mx1.test during client greeting"
    with Sink(host="127.0.0.17", port=port) as first, ZoneDns(TWO_MX) as dns, \
            Sink(host="127.0.0.18", port=port) as second, \
            Desk(where, options={"dns": {"servers": [dns.address], "dnssec": Word("off")},
                                 "timeout": {"initial": Word("1s")},
                                 "deliver": {"port": port}}) as d:
        first.at("connect", STALL, stall_s=60)
        second.at("rcpt", "451 4.7.1 come again")
        id = d.submit("x@dest.test")
        d.wait_attempts(id, 1)
        def look(domain):
            said = d.g.cli("retry", "--verbose", domain).stdout.decode()
            assert f"    - {silent}\n    - connecting to mx2.test" in said, said
            assert silent in lines(d.story(id)["attempts"][0], "note")
            for name in ("mx1.test", "127.0.0.17", "mx2.test", "127.0.0.18"):
                s = d.story(name)
                words = {h["host"]: h["said"] for h in s["hosts"]}
                assert s["group"]["messages"] == 1 and s["oldest"]["id"] == id, s
                assert silent in words["mx1.test"], words
                assert words["mx2.test"].startswith("451"), words
        in_time(look, "dest.test")


def under_way(where):
    """A delivery that hangs: at which host and address, in what, for how long; by its id, domain,
    host and address. Who looks on hears that first, and then what is said."""
    port = ports.free()
    with Sink(host="127.0.0.17", port=port) as first, Sink(host="127.0.0.18", port=port), \
            ZoneDns(TWO_MX) as dns, \
            Desk(where, options={"dns": {"servers": [dns.address], "dnssec": Word("off")},
                                 "deliver": {"port": port}}) as d:
        first.at("rcpt", STALL, stall_s=600)
        id = d.submit("x@dest.test")
        d.wait(id, lambda s: any(way.get("stage") == "RCPT" for way in s["deliveries"]))
        def look(name):
            ways = d.story(name)["deliveries"]
            assert len(ways) == 1 and ways[0]["answered"], ways
            way = ways[0]
            assert (way["doing"], way["stage"]) == ("talking", "RCPT"), way
            assert (way["host"], way["address"]) == ("mx1.test", f"127.0.0.17:{port}"), way
            assert way["id"] == id and way["recipients"] == [0] and way["for_ms"] >= 0, way
            assert lines(way["so_far"], "ours")[-1] == "RCPT TO:<x@dest.test>", way
            words = d.words(name)
            for part in (f"1 connected to mx1.test 127.0.0.17:{port}, waits for the reply to RCPT",
                         "-> RCPT TO:<x@dest.test>", "looks on at its delivery"):
                assert part in words, (part, words)
        for name in (id, "dest.test", "x@dest.test", "mx1.test", "127.0.0.17", "127.0.0.18"):
            in_time(look, name)
        looks = subprocess.Popen([str(binary()), "retry", "-v", "dest.test", "-C", str(d.g.conf)],
                                 stdout=subprocess.PIPE)
        said = [""]
        while not said[-1].startswith("- waits for") and looks.poll() is None:
            said.append(looks.stdout.readline().decode().strip())
        text = " ".join(said)
        assert re.search("is being tried already .*- connecting to mx1.*> RCPT TO:<x@dest.test>.*"
                         "- waits for the reply to RCPT", text), text
        first.stop()                # it goes on with the other one
        rest = looks.communicate(timeout=90)[0].decode()
        assert "- connection to mx1.test lost" in rest and "x@dest.test: sent" in rest, rest
        assert looks.returncode == 0, looks.returncode


def route_moved(where):
    """The tables send it elsewhere now; and held, it says who holds it, since when and what came
    before."""
    with Sink() as old, Sink() as new, \
            Desk(where, mailertable={"dest.example": ("127.0.0.1", old.port)}) as d:
        old.at("mail", "451 4.3.0 not today")
        id = d.submit()
        d.wait_attempts(id, 1)
        assert not d.story(id)["if_tried_now"][0]["moved"]
        d.g.write_mailertable({"dest.example": ("127.0.0.1", new.port)})
        s = d.wait(id, lambda s: s["if_tried_now"][0]["moved"])
        assert s["if_tried_now"][0]["route"]["dest"]["queue"] == f"host:[127.0.0.1]:{new.port}"
        text = d.words(id)
        assert (f"THE ROUTE HAS CHANGED: <b@dest.example> went to host:[127.0.0.1]:{old.port}, "
                "now to") in text, text
        assert d.g.cli("queue", "hold", "--yes", id).returncode == 0
        text = d.words(id)
        assert re.search(r"why: held by .+?, .+ ago \(.+\) before that: 451 4\.3\.0 not today",
                         text), text


def parked(where):
    """Held mail and mail for a queue run say so, and what lets them go."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        held, later = d.submit(port=d.hold), d.submit(port=d.later)
        text = d.why(held)
        assert "is held until somebody releases it" in text, text
        assert "why: delivery = hold of its listener" in text, text
        assert f"postern queue release {held}" in text and "Nothing expires" in text, text
        text = d.why(later)
        assert "waits for a queue run" in text and "postern queue run" in text, text
        s = d.story("dest.example")
        assert s["group"]["recipients"] == {"held": 1, "waiting": 1}, s
        assert "postern queue release --domain dest.example" in d.why("dest.example")
        assert d.g.cli("queue", "delete", held, "--yes").returncode == 0
        assert "<b@dest.example> was deleted by" in d.words(held, code=66)
        assert d.g.cli("queue", "bounce", later, "--yes").returncode == 0
        d.g.wait_events("failed", id=later)
        text = d.words("b@dest.example", code=66)
        assert re.search(rf"{held}: <b@dest.example> was deleted by .+; its sender was not told",
                         text), text
        assert re.search(rf"{later}: <b@dest.example> was given up .+ wanted", text), text


def who_is_told(where):
    """Who hears of an end or a delay is what the sender asked for; what is released late has the
    time that the gateway gives it."""
    words = {"NEVER": "nobody", "SUCCESS": "nobody", "FAILURE": "sender", "DELAY": "nobody",
             "": "sender", "<>": "postmaster"}
    late = ("DELAY", "")
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port),
                              options={"retry": {"warn_after": Word("1s")}}) as d:
        sink.at("rcpt", "451 4.7.1 greylisted")
        ids = {}
        with smtpclient.Client(d.g.port) as c:
            c.ehlo()
            for notify in words:
                asked = f" NOTIFY={notify}" if notify.isalpha() else ""
                c.cmd(f"MAIL FROM:<{'' if notify == '<>' else 'a@client.example'}>")
                c.cmd(f"RCPT TO:<b@dest.example>{asked}")
                ids[notify] = re.search(ID, c.data("Subject: x\r\n\r\nx\r\n").text).group()
        for notify in late:
            d.wait(ids[notify], lambda s: s["recipients"][0].get("warned"))
            assert "its sender has been told that it is late" in d.words(ids[notify])
        for notify, id in ids.items():
            r = d.story(id)["recipients"][0]
            assert (r["tells"], r["warned"]) == (words[notify], notify in late), (notify, r)
        assert "its sender told" not in d.words(ids["NEVER"])
        assert "returns it to its sender" not in d.words(ids["<>"])


def long_list(where):
    """A message with more recipients than are told one by one: the numbers are of all of them, none
    of its situations is hidden behind the others, and one of the last is found."""
    port, many = ports.free(), 300
    with Sink(host="127.0.0.18", port=port) as sink, ZoneDns("""
            many.test MX 10 slow.test
            slow.test MX 10 slow.test
            slow.test A 127.0.0.18""") as dns, \
            Desk(where, options={"dns": {"servers": [dns.address], "dnssec": Word("off")},
                                 "deliver": {"port": port}}) as d:
        sink.at("rcpt", STALL, stall_s=600)
        assert d.g.cli("queue", "freeze", "many.test").returncode == 0
        id = d.submit(*[f"u{i}@many.test" for i in range(many)], "x@slow.test")
        s = d.wait(id, lambda s: any(way.get("stage") == "RCPT" for way in s["deliveries"]) and
                   {r["state"]: r["recipients"] for r in s["reasons"]} ==
                   {"frozen": many, "active": 1})
        shown = s["recipients"]
        assert len({r["rcpt"] for r in shown}) == len(shown) == 200, len(shown)
        assert sum(r.get("alike", 0) for r in shown) == many + 1, shown[:2]
        assert [r["to"] for r in shown[:2]] == ["u0@many.test", "x@slow.test"], shown[:2]
        (way,) = s["deliveries"]
        assert way["recipient_count"] == 1 and way["host"] == "slow.test", way
        def look(id):
            words = d.words(id)
            for part in (f"<u0@many.test> and {many - 1} others: each is frozen", "1 on the way",
                         "<x@slow.test> is being delivered", f"{many} frozen by",
                         "The attempt for <x@slow.test> that is under way"):
                assert part in words, (part, words)
            assert "for 0 recipients" not in words and "not shown" not in words, words
        in_time(look, id)
        last = f"u{many - 1}@many.test"
        s = d.story(last)
        assert [r["to"] for r in s["recipients"]] == [last] and s["oldest"]["id"] == id, s
        sink.stop()                 # or the gateway waits for the delivery


def many_at_one_site(where):
    """One dead site: its failure is said once, with the number; a message that was never tried
    itself shows the attempt that speaks for all."""
    with Desk(where, ("127.0.0.1", ports.free())) as d:
        first = d.submit("u0@dest.example")
        d.wait_attempts(first, 1)
        with smtpclient.Client(d.g.port) as c:
            c.ehlo()
            for i in range(1, MANY):
                c.send(f"MAIL FROM:<a@client.example>\r\nRCPT TO:<u{i}@dest.example>\r\nDATA\r\n")
                assert [c.reply().code for _ in range(3)] == [250, 250, 354]
                c.send("Subject: x\r\n\r\nhello\r\n.\r\n")
                last = re.search(ID, c.reply().text).group()
        s = d.wait("dest.example", lambda s: s["group"]["recipients"] == {"deferred": MANY})
        assert s["group"]["messages"] == MANY and s["group"]["oldest"] == first, s["group"]
        assert [r["recipients"] for r in s["reasons"]] == [MANY], s["reasons"]
        text = d.why("dest.example")
        assert text.startswith(f"dest.example: {MANY} messages ({MANY} recipients"), text
        assert "All for one reason" in text and text.count("left alone as a whole") == 1, text
        assert "What happened to the oldest" in text, text
        (a,) = d.story(last)["attempts"]
        assert a["of"] and a["of"] != last, a
        assert f"of another message there, {a['of']}" in d.why(last)
        # It is still known when the message that made it has left.
        p = d.g.cli("queue", "delete", a["of"], "--yes")
        assert p.returncode == 0, p
        (b,) = d.story(last)["attempts"]
        assert b["of"] == a["of"] and b["at_ms"] == a["at_ms"], (a, b)
        assert f"of another message there, {a['of']}" in d.why(last)


def many_reasons(where):
    """Twenty recipients with a refusal each: the first dozen and a number; all with --verbose."""
    words = [c * 4 for c in "abcdefghijklmnopqrst"]
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        for word in words:
            sink.at("rcpt", f"450 4.2.0 {word} is not here", match=f"<{word}@".encode())
        id = d.submit(*[f"{word}@dest.example" for word in words])
        d.wait(id, lambda s: {r["state"] for r in s["reasons"]} == {"deferred"})
        for name in (id, "dest.example"):
            text = d.words(name)
            assert text.count(" 1 put off: 450 4.2.0 ") == 12, text
            assert "8 for other reasons (--verbose has more)" in text, text
            text = d.words("--verbose", name)
            assert text.count(" 1 put off: 450 4.2.0 ") == 20, text
            assert "for other reasons" not in text, text


def one_reason(where):
    """Refusals that differ in addresses and numbers alone are one reason."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        for i in range(4):
            sink.at("rcpt", f"451 4.7.1 <u{i}@dest.example>: come back in {7 * i + 3} seconds",
                    match=b"u%d@" % i)
        sink.at("rcpt", "452 4.2.2 mailbox full", match=b"full@")
        sink.at("rcpt", "450 4.2.1 busy", match=b"x@other.example")
        ids = [d.submit(f"u{i}@dest.example") for i in range(4)] + [d.submit("full@dest.example")]
        for id in ids:
            d.wait_attempts(id, 1)
        s = d.story("dest.example")
        assert [r["recipients"] for r in s["reasons"]] == [4, 1], s["reasons"]
        assert "The reasons, and how many recipients each has: 4 " in d.words("dest.example")
        r = d.g.cli("queue", "oldest", "--by", "reason", "--reason", "4.7.1", "--json")
        groups = [json.loads(line) for line in r.stdout.splitlines()]
        assert [g["recipients"] for g in groups if "recipients" in g and "oldest_id" in g] == [4], \
            r.stdout
        id = d.submit("z@third.example", "x@other.example")     # one message, two domains
        d.wait_attempts(id, 1)
        s = d.story("other.example")
        assert [r["to"] for r in s["recipients"]] == ["x@other.example"], s["recipients"]
        assert "for <x@other.example>" in d.words("other.example")
        text = d.words("a@client.example", code=66)
        assert "6 messages from it wait: postern queue --from a@client.example" in text, text
        for word in ("mx", "host"):
            assert "nothing in the queue is for it" in d.words(word, code=66)


RULES = {
    'delivery_rule "slow"': {"domain": ["rated.example"], "site": ["host:*"], "rate": "1/h"},
    'delivery_rule "big"': {"sender": ["@big.example"], "concurrency_max": 1},
    "deliver": {"concurrency_max": 1, "concurrency_initial": 1}}


def limits(where):
    """Each limit has its words and its hint: a rule's rate, deliveries under way, senders that
    take turns, what is frozen as a whole or in the share of a rule."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port), options=RULES) as d:
        d.submit("first@dest.example")
        sink.wait(1)                        # its site is known
        rule = sink.at("mail", STALL, stall_s=60)
        busy = d.submit("busy@dest.example")
        d.wait("busy@dest.example", lambda s: s["group"]["recipients"] == {"active": 1})
        d.wait(busy, lambda s: "begun_ms" in s["recipients"][0])
        assert re.search("is being delivered at this moment, begun .*s ago", d.words(busy))
        id = d.submit("next@dest.example")
        d.wait(id, lambda s: s["recipients"][0]["state"] == "ready")
        text = d.words(id)
        assert "all deliveries its site may have are under way" in text, text
        assert "1 delivery under way of 1 at once: all are in use" in text, text
        assert "deliver { } or a delivery_rule" in text and "postern reload" in text, text
        for i in range(40):
            d.submit("next@dest.example", sender=f"s{i % 3}@client.example")
        text = d.words(id)
        assert re.search(r"mail of [2-4] senders waits at its site; they take turns", text), text

        # A sender's rule has a share of its own at the same site.
        big = d.submit("big@dest.example", sender="a@big.example")
        s = d.wait(big, lambda s: s["recipients"][0]["state"] in ("active", "ready"))
        assert s["places"][0]["destination"]["name"].endswith(" by:big"), s["places"]
        assert not any(r["moved"] for r in s["if_tried_now"]), s["if_tried_now"]
        site = f"host:[127.0.0.1]:{sink.port}"
        later = d.submit("big@dest.example", sender="b@big.example")
        assert d.g.cli("queue", "freeze", site).returncode == 0
        s = d.wait(later, lambda s: s["recipients"][0]["frozen"])
        assert site in [s["places"][0][k].get("frozen") for k in ("destination", "site")], s
        text = d.words(later)
        for words in (f"is frozen: ", f" froze {site}, ",
                      "that is the share of delivery_rule big at that site",
                      f"is frozen by an administrator, as {site}", f"postern queue thaw '{site}'"):
            assert words in text, (words, text)
        assert "postern retry" not in text, text
        rule.times = 0
        assert f"frozen by an administrator, as {site}" in d.words("dest.example")
        assert d.g.cli("queue", "thaw", site).returncode == 0
        assert not d.story(later)["recipients"][0]["frozen"]


def rated(where):
    """A rule's rate, with its name; a domain that is frozen, with and without mail."""
    with Sink() as sink, Desk(where, mailertable={
            "rated.example": ("127.0.0.1", sink.port),
            "cold.example": ("127.0.0.1", sink.port)}, options={'delivery_rule "slow"': {
                "sender": ["@slow.example"], "rate": "1/h"}}) as d:
        d.submit("a@rated.example", sender="a@slow.example")
        sink.wait(1)
        d.submit("b@rated.example", sender="b@slow.example")
        id = d.submit("b@rated.example", sender="b@slow.example")
        s = d.wait(id, lambda s: s["places"] and s["places"][0]["site"].get("paced_until_ms"))
        text = d.words(id)
        for words in ("its site is given so many in a time", "it may be given 1 in 1h00m, by its "
                      "rule", "the next one may begin in 5",
                      'delivery_rule "slow" in the configuration: its rate'):
            assert words in text, (words, text)
        assert re.search(r'by delivery_rule "slow" \(\S*postern.conf:\d+\): sender = ', text), text
        for word in ("rated.example", s["places"][0]["site"]["name"]):
            s = d.story(word)
            assert s["group"]["next_try_ms"] == s["places"][0]["site"]["paced_until_ms"], s
        assert d.g.cli("queue", "freeze", "cold.example").returncode == 0
        text = d.words("cold.example", code=66)
        assert re.search(r"It is frozen, by .+, .*: mail for it would wait", text), text
        id = d.submit("a@cold.example")
        s = d.wait(id, lambda s: s["recipients"][0]["frozen"])
        text = d.words(id)
        assert re.search(r"is frozen: .+ froze cold.example, .+ ago", text), text
        assert "frozen:cold" not in text and text.count("frozen") == 1, text
        assert "postern queue thaw cold.example" in text and "ROUTE HAS CHANGED" not in text, text
        text = d.words("cold.example")
        assert "the destination is frozen by an administrator, as cold.example, by" in text, text
        assert "under way" not in text and "left alone" not in text, text


def retried_in_turn(where):
    """A retry at a site with a rate says how long its turn may take; another one says that it is
    asked for already, and not that it is being tried; what is frozen meanwhile is not all sent."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port),
                              options={'delivery_rule "slow"': {"domain": ["dest.example"],
                                                         "rate": "1/h"}}) as d:
        d.submit()
        sink.wait(1)
        d.submit("c@dest.example")
        id = d.submit("d@dest.example")
        d.wait(id, lambda s: s["places"][0]["site"].get("paced_until_ms"))
        runs = []
        for word in ("take turns there", "waits for it already"):
            p = subprocess.Popen([str(binary()), "retry", "--verbose", id, "-C", str(d.g.conf)],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            runs.append(p)
            said = ""
            while word not in said:
                line = p.stdout.readline()
                assert line, said
                said += line
            assert "being tried" not in said, said
            turn = re.search(r"one message each 1h00m: the next one in .+; 2 recipients take turns "
                             r"there, the last is due in about \d", said)
            assert turn or runs[1:], said
        assert d.g.cli("queue", "freeze", "dest.example").returncode == 0
        for p in runs:
            out = p.communicate(timeout=90)[0]
            assert p.returncode == 75 and "1 frozen" in out, (p.returncode, out)


def rerouted(where):
    """Sent another way by a person: said, and the tables are not asked about it."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("mail", "451 4.3.0 not today")
        port = ports.free()
        id = d.submit()
        d.wait_attempts(id, 1)
        assert d.g.cli("queue", "reroute", "--to", f"[127.0.0.1]:{port}", "--yes",
                       id).returncode == 0
        s = d.wait(id, lambda s: s["attempts"][0]["destination"].endswith(f":{port}"))
        assert s["recipients"][0]["rerouted"] == f"host:[127.0.0.1]:{port}", s["recipients"]
        assert s["if_tried_now"][0]["rerouted"] and not s["if_tried_now"][0]["moved"], s
        text = d.words(id)
        assert re.search(r"an administrator has sent it another way, whatever the tables say: \S+, "
                         r"by .+, \S+ ago", text), text
        assert f"postern queue reroute --back {id}" in text, text
        text = d.words("dest.example")
        assert "The oldest is sent another way, to host:" in text, text
        assert "postern queue reroute --back --domain dest.example" in text, text
        text = d.words(id)
        assert f"at 127.0.0.1:{port} (rerouted by an administrator)" in text, text

        assert d.g.cli("queue", "reroute", "--to", f"[127.0.0.1]:{port}", "--rule",
                       "ruled.example").returncode == 0
        text = d.words("ruled.example", code=66)
        assert re.search(rf"Its mail is sent another way, to \S*:{port}, by .+, .+ago", text), text
        id = d.submit("x@ruled.example")
        d.wait_attempts(id, 1)
        text = d.words(id)
        assert "(the rule for ruled.example, by " in text, text
        assert "postern queue reroute --remove ruled.example" in text, text


HOSTS = """
one.test 1 MX 10 mx1.test
two.test 1 MX 10 mx1.test
one.test 1 MX 20 mx2.test
gone.test 1 MX 10 mx1.test
mute.test 1 MX 10 mx1.test
mx1.test 1 A 127.0.0.11
mx2.test 1 A 127.0.0.12
"""


def hosts_and_names(where):
    """By MX host and by its address: which domains go through it and what it said last. What the
    DNS says now when that is nothing, no answer, or other preferences. Processes that are away."""
    with Sink(host="127.0.0.11") as sink, ZoneDns(HOSTS) as dns:
        with Desk(where, options={"dns": {"servers": [dns.address], "timeout": Word("4s"),
                                          "dnssec": Word("off")},
                                  "processes": {"restart_first": Word("60s"),
                                                "restart_max": Word("60s")},
                                  "deliver": {"port": sink.port, "idle": Word("0")}}) as d:
            sink.at("mail", "451 4.3.0 not today")
            ids = {n: d.submit(f"x@{n}.test") for n in ("one", "two", "gone", "mute")}
            for id in ids.values():
                d.wait_attempts(id, 1)
            for host in ("mx1.test", "127.0.0.11", "[127.0.0.11]", "MX1.test."):
                s = d.story(host)
                assert s["group"]["is"] == "host" and s["group"]["messages"] == 4, s["group"]
                assert sorted(x["name"] for x in s["domains"]) == [
                    "gone.test", "mute.test", "one.test", "two.test"], s["domains"]
                assert any(h["host"] == "mx1.test" and h["said"] == "451 4.3.0 not today"
                           for h in s["hosts"]), s["hosts"]
            assert "Through it goes mail for 4 domains: " in d.words("mx1.test")
            assert d.story("mx2.test")["domains"] == [
                {"kind": "domain", "name": "one.test", "recipients": 1}]
            dns.remove("gone.test")
            dns.remove("mute.test")
            dns.add("mute.test SERVFAIL")
            dns.remove("one.test")
            dns.add("one.test 1 MX 20 mx1.test")
            dns.add("one.test 1 MX 10 mx2.test")
            dns.remove("mx1.test")
            dns.add("mx1.test 1 A 127.0.0.13")
            for name, what, words in (
                    ("gone", "gone", "SAYS NOW THAT THERE IS NO SUCH PLACE: then mx1.test"),
                    ("mute", "silent", "THE DNS DOES NOT ANSWER NOW: then mx1.test"),
                    ("two", "other", f"now mx1.test 127.0.0.13:{sink.port}")):
                d.wait(ids[name], lambda s: s["if_tried_now"][0].get("dns_is") == what)
                assert words in d.words(ids[name]), d.words(ids[name])
            dns.remove("mx1.test")
            dns.add("mx1.test 1 A 127.0.0.11")
            d.wait(ids["two"], lambda s: s["if_tried_now"][0].get("dns_is") == "same")
            d.wait(ids["one"], lambda s: s["if_tried_now"][0].get("dns_is") == "other")
            assert "(preference 10); now mx2.test" in d.words(ids["one"]).replace(
                f" 127.0.0.12:{sink.port}", "").replace("(preference 20); now",
                                                        "(preference 10); now")
            os.kill(d.g.roles()["resolver"][0], signal.SIGKILL)
            s = d.wait(ids["two"], lambda s: s["resolver_away"])
            text = d.words(ids["two"])
            assert "The resolver does not answer" in text and "postern alarms" in text, text
            assert "cannot be said: resolver" in text, text
            os.kill(d.g.roles()["router"][0], signal.SIGKILL)
            d.wait(ids["two"], lambda s: not s["now"]["router"])
            assert "The router is away" in d.words(ids["two"])


def rotated(where):
    """What has left the queue is looked for in the log and in those that were put aside."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        log = where / "g" / "events.jsonl"
        gone = {}
        for name in ("one", "two", "three", "four"):
            gone[name] = d.submit(f"{name}@{name}.example")
            for event in ("received", "routed", "delivered"):
                d.g.wait_events(event, id=gone[name])
            if name == "four":
                break
            text = log.read_bytes()
            packed = {"one": ".3.xz", "two": ".2.gz", "three": ".1"}[name]
            Path(f"{log}{packed}").write_bytes(gzip.compress(text) if name == "two" else text)
            log.write_bytes(b"")
        for name in ("two", "three", "four"):
            s = d.story(gone[name], code=66)
            assert sorted(e["event"] for e in s["log"]) == ["delivered", "received", "routed"], s
            s = d.story(f"{name}@{name}.example", code=66)
            assert "delivered" in [e["event"] for e in s["log"]], s
            assert "delivered" in [e["event"] for e in d.story(f"{name}.example", 66)["log"]]
        files = d.story(gone["four"], code=66)["log_files"]
        assert [f["path"] for f in files] == [str(log)], files      # enough was found there
        s = d.story(gone["one"], code=66)
        assert s["log"] == [] and [f["read"] for f in s["log_files"]].count(False) == 1, s
        text = d.words(gone["one"], code=66)
        assert "no such message is in the queue" in text and ".3.xz (it is packed" in text, text
        assert "it is not in the queue any more" in d.words(gone["two"], code=66)


def not_there(where):
    """What is not known is said so, with the status for it; ids as they stand in a log."""
    with Sink() as sink, Desk(where, ("127.0.0.1", sink.port)) as d:
        sink.at("mail", "451 4.3.0 not today")
        id = d.submit()
        d.wait_attempts(id, 1)
        for word in (f"{id}:", f"<{'b@dest.example'}>", "B@DEST.example", "dest.example."):
            assert d.story(word)["found"], word
        text = d.words("6AKHQc0000000x", code=66)
        assert "no such message is in the queue" in text and "away" not in text, text
        assert "delivering process" not in text, text
        assert "these have 14 characters" in d.words(id[:-1], code=66)
        assert "nothing in the queue is for it" in d.words("nobody@dest.example", code=66)
        for rcpt, words in (('"a b"@hold.example', ('"a b"@hold.example', "hold.example")),
                            ("x@[IPv6:::1]", ("x@[IPv6:::1]", "[IPv6:::1]", "x@[ipv6:0:0::1]",
                                              "[IPv6:0:0:0:0:0:0:0:1]"))):
            d.submit(rcpt, port=d.hold, sender="")
            for word in words:
                assert d.story(word)["found"], word
        assert "2 messages from it wait: postern queue --from '<>'" in d.words("<>", code=66)
        with smtpclient.Client(d.hold, source="127.0.0.77") as c:
            c.ehlo()
            c.cmd("MAIL FROM:<>")
            c.cmd("RCPT TO:<q@hold.example>")
            assert c.data("Subject: x\r\n\r\nhello\r\n").code == 250
        for word in ("127.0.0.77", "127.0.0.77:40000"):
            assert "1 message from it waits: postern queue --client 127.0.0.77" in \
                d.words(word, code=66), word
        assert "--from" not in d.words("127.0.0.77", code=66)
        with smtpclient.Client(d.g.port) as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@client.example> SMTPUTF8")
            c.cmd("RCPT TO:<zz@b\u00fccher.example>")
            assert c.data("Subject: x\r\n\r\nhello\r\n").code == 250
        for word in ("zz@xn--bcher-kva.example", "zz@b\u00fccher.example"):
            s = d.wait_attempts(word, 1)
            assert s["recipients"] and s["if_tried_now"], s
        for word in ("two words", " ", "a\tb"):
            assert "no id, address, domain or host" in d.words(word, code=64)


def after_a_crash(where):
    """Killed and started again, qmgr has the stories still; without `attempts` there are none."""
    with Sink() as sink, Desk(where / "on", ("127.0.0.1", sink.port)) as d:
        sink.at("rcpt", "451 4.7.1 greylisted")
        id = d.submit()
        before = d.wait_attempts(id, 1)["attempts"]
        time.sleep(3)                   # what is not flushed within a second may be lost
        d.submit(port=d.hold)           # and now it is, however busy qmgr was
        d.g.crash()
        assert d.story(id)["attempts"] == before
        d.retry(id)
        after = d.wait_attempts(id, 2)["attempts"]
        assert after[1] == before[0], after
    with Sink() as sink, Desk(where / "off", ("127.0.0.1", sink.port),
                              options={"attempts": {"kept": 0}}) as d:
        sink.at("rcpt", "451 4.7.1 greylisted")
        id = d.submit()
        d.wait(id, lambda s: s["recipients"][0]["state"] == "deferred")
        assert d.story(id)["attempts"] == [] and "greylisted" in d.why(id)


def nobody_there(where):
    """Without a gateway: said, and no guess."""
    d = Desk(where)
    (where / "g").mkdir()
    d.g.configure()
    r = subprocess.run([str(binary()), "why", "dest.example", "-C", str(d.g.conf)],
                       capture_output=True, timeout=90)
    assert r.returncode == 69, r
    assert b"no gateway answers on" in r.stderr, r


CASES = (refused, stalled, greylisted, dropped, dns_then_and_now, retried_with_mended_dns,
         alias_without_mx, an_alias_asked_for, silent_dns, tried_by_another, two_hosts,
         first_mx_silent, under_way, route_moved, parked, limits, rated, retried_in_turn, rerouted,
         hosts_and_names, rotated, not_there, who_is_told, long_list, many_at_one_site,
         many_reasons, one_reason, after_a_crash, nobody_there)


def main():
    report = Report()
    if not binary().exists():
        report.skip("why", f"{binary()} is not built")
        return report.code()
    return report.cases("why", CASES, at_once=4)


if __name__ == "__main__":
    sys.exit(main())
