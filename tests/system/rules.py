#!/usr/bin/env python3
"""delivery_rule: source address, connections, rate, TLS and the end of mail for some domains,
senders and listeners; live on a reload; a site that is left alone and works again.
tests/run: anyone"""
import json
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import DROP, STALL, Sink     # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402
from lib.waiting import until                          # noqa: E402

MAIL = "Subject: x\r\n\r\nhello\r\n"


def send(g, rcpt, sender="a@client.example", n=1):
    for _ in range(n):
        assert smtpclient.deliver(g.port, MAIL, sender=sender, rcpts=(rcpt,)).code == 250


def places(g):
    p = g.cli("queue", "sites", "--json")
    assert p.returncode == 0, p
    return [json.loads(line) for line in p.stdout.splitlines()]


def turns(g):
    rows = [json.loads(line) for line in g.cli("queue", "list", "--json").stdout.splitlines()]
    return [r for m in rows for r in m["recipients"] if "latest_try_ms" in r]


class Peers(Sink):
    """A sink that knows from where its clients came, and how many there were at a time."""
    most = 0

    def _say(self, session, who, line):
        super()._say(session, who, line)
        self.most = max(self.most, len(self.sockets))

    def _accept(self, listener):
        self.peers = []
        seen = self.peers

        class Known:
            def accept(self):
                conn, peer = listener.accept()
                seen.append(peer[0])
                return conn, peer
        return super()._accept(Known())


class SlowToGo(Sink):
    """It counts a client from its first word on until it is told goodbye, which takes a while."""
    most, here = 0, frozenset()

    def _say(self, session, who, line):
        super()._say(session, who, line)
        if line == b"QUIT":
            time.sleep(0.05)
        with self.changed:
            self.here |= {session}
            self.most = max(self.most, len(self.here))
            if line.startswith(b"221"):
                self.here -= {session}


def table(**sinks):
    return {k.replace("_", "."): ("127.0.0.1", s.port) for k, s in sinks.items()}


def source(where):
    """An address that is not ours is our mistake, and is said to be."""
    with Sink() as sink, Gateway(
            where, mailertable={"a.example": ("127.0.0.1", sink.port)}, options={
                'delivery_rule "from"': {"domain": ["[127.0.0.1]"],
                                         "source_address": ["192.0.2.77"]}}) as g:
        send(g, "u@a.example")
        until(lambda: "source_address 192.0.2.77 is no address of this host"
             in g.cli("why", "a.example").stdout.decode())


def connections(where):
    """Each rule has connections of its own: from its address, for as many messages as it says."""
    with Peers() as sink, Gateway(
            where, mailertable={"a.example": ("127.0.0.1", sink.port)}, options={
                'delivery_rule "lists"': {"sender": ["@lists.example"],
                                          "source_address": ["127.0.0.5"]},
                'delivery_rule "one"': {"sender": ["one@x.example"],
                                        "messages_per_connection": 1}}) as g:
        send(g, "u@a.example")
        sink.wait(1)
        send(g, "u@a.example", "n@lists.example")
        sink.wait(2)
        send(g, "u@a.example")
        sink.wait(3)
        assert sink.peers == ["127.0.0.1", "127.0.0.5"], sink.peers
        assert [m.session for m in sink.messages] == [1, 2, 1], sink.messages
        send(g, "u@a.example", "one@x.example", 3)
        m = sink.wait(6)
        assert len({x.session for x in m[3:]}) == 3, [x.session for x in m]


def rate(where):
    """No more than the rate in any such time; and as soon as the rule is gone, at once."""
    rule = {'delivery_rule "slow"': {"listener": ["mx"], "rate": "2/s"}}
    with Sink() as sink, Gateway(
            where, mailertable={"a.example": ("127.0.0.1", sink.port)}, options=rule) as g:
        send(g, "u@a.example")
        sink.wait(1)                      # from here on the site is known
        begun = time.monotonic()
        send(g, "u@a.example", n=6)
        shown = until(lambda: [p for p in places(g) if p.get("rule") == "slow" and "site" in p
                               and "destination" not in p])
        assert shown[0]["rate"] == "2/s" and shown[0]["one_in_ms"] == 500, shown
        m = sink.wait(7)
        assert time.monotonic() - begun > 2
        times = [x.time_s for x in m[1:]]
        assert times[-1] - times[0] > 1.2, times        # 2.5 s, but for how late the sink looked
        g.options = {'delivery_rule "slow"': {"listener": ["mx"], "rate": "1/h"}}
        g.configure()
        assert g.cli("reload").returncode == 0
        sent = 7
        while not [p for p in places(g) if p.get("rate") == "1/h"]:     # one waits for it
            assert sent < 100, places(g)
            send(g, "u@a.example")
            sent += 1
            time.sleep(0.2)
        send(g, "u@a.example", n=3)
        waiting = until(lambda: [r for r in turns(g) if r["ready_there"] > 2])
        for r in waiting:       # one slot is the next of all of them, and is not told as each one's
            assert r["latest_try_ms"] - r["next_try_ms"] == (r["ready_there"] - 1) * 3600000, r
        text = g.cli("queue", "list").stdout.decode()
        assert re.search(r" (\d+s|\d+m|\d+h\d\dm)-\d+h\d\dm", text), text
        text = g.cli("why", "a.example").stdout.decode()
        assert re.search(r"recipients wait for their turn: at this pace the last of them begins",
                         text), text
        came = len(sink.messages)
        time.sleep(2)
        assert len(sink.messages) <= came + 1 < sent + 3, (len(sink.messages), came, sent)
        g.options = {}
        g.configure()
        assert g.cli("reload").returncode == 0
        sink.wait(sent + 3)


def elsewhere(where):
    """A rule by domain holds where a mailertable or the smart host has that domain's mail go
    elsewhere, and other mail that goes there has no part in it."""
    rules = {f'delivery_rule "{n}"': {"domain": [f"{n}.example"], "rate": "1/h"}
             for n in ("cust", "out")}
    with Sink() as sink, Sink() as smart, Gateway(
            where, mailertable=table(cust_example=sink, other_example=sink),
            smart_host=("127.0.0.1", smart.port), options=rules) as g:
        for rule, mine, others, to in (("cust", "cust.example", "other.example", sink),
                                       ("out", "out.example", "free.example", smart)):
            send(g, f"u@{mine}", n=3)
            shown = until(lambda: [p for p in places(g) if p.get("rule") == rule])
            assert shown[0]["rate"] == "1/h", shown
            send(g, f"u@{others}", n=3)
            to.wait(4)
            text = g.cli("route", f"u@{mine}").stdout.decode()
            assert f'delivery_rule "{rule}"' in text, text
        time.sleep(0.3)
        assert len(sink.messages) == len(smart.messages) == 4


def tls_and_end(where):
    """TLS where it is not offered: deferred; and given up after the rule's time."""
    with Sink() as sink, Gateway(
            where, mailertable=table(a_example=sink, b_example=sink), options={
                'delivery_rule "safe"': {"domain": ["[127.0.0.1]"],
                                         "sender": ["s@x.example"], "tls": Word("required"),
                                         "retry": ["1s"], "expire_after": Word("4s")}}) as g:
        send(g, "u@a.example", "s@x.example")
        send(g, "u@b.example")
        sink.wait(1)
        g.wait_log(r"to=<u@a\.example>.*stat=Deferred")
        time.sleep(1)
        assert [m.recipients for m in sink.messages] == [["u@b.example"]], sink.messages


def from_now_on(where):
    """What the rule says after a reload holds for the connection that was kept."""
    rule = 'delivery_rule "safe"'
    with Sink() as sink, Gateway(
            where, mailertable={"a.example": ("127.0.0.1", sink.port)}, options={
                "deliver": {"idle": Word("1m")},
                rule: {"site": ["host:*"], "tls": Word("off")}}) as g:
        send(g, "u@a.example")
        sink.wait(1)
        g.options[rule]["tls"] = Word("required")
        g.configure()
        assert g.cli("reload").returncode == 0
        send(g, "u@a.example")
        g.wait_log(r"to=<u@a\.example>.*stat=Deferred.*TLS is required")
        assert len(sink.messages) == 1, sink.messages


def counted(where):
    """No more connections than the rule allows, with those that are kept or being closed."""
    with SlowToGo() as sink, Gateway(
            where, mailertable={"a.example": ("127.0.0.1", sink.port)}, options={
                'delivery_rule "two"': {"site": ["host:*"], "concurrency_max": 2,
                                        "messages_per_connection": 2}}) as g:
        send(g, "u@a.example", n=20)
        sink.wait(20)
        assert sink.sessions >= 10 and sink.most <= 2, (sink.sessions, sink.most)


def preference(where):
    """Domains that have each other's host as backup are one site: each goes to its own first."""
    first = Sink(host="127.0.4.1")
    zone = "".join(f"{d} MX {10 * (1 + (h != d[0]))} {h}.h.test\n"
                   for d in ("a.test", "b.test", "a2.test") for h in "ab")
    with ZoneDns(zone + "a.h.test A 127.0.4.1\nb.h.test A 127.0.4.2\n", negative_ttl=60) as dns, \
            first as a, Sink(host="127.0.4.2", port=a.port) as b, Gateway(where, options={
                "dns": {"servers": [dns.address]},
                "deliver": {"port": a.port, "idle": Word("1m")}}) as g:
        for n in range(9):          # one by one: the connection before is at rest by then
            send(g, ("u@a.test", "u@b.test", "u@a2.test")[n % 3])
            until(lambda: g.log().count("stat=Sent") == n + 1)
        assert a.sessions == b.sessions == 1, (a.sessions, b.sessions)


def back_again(where):
    """A dead site is left alone, and said to work again."""
    port = ports.free()
    with Gateway(where, mailertable={"a.example": ("127.0.0.1", port)}, options={
            "retry": {"first": Word("1s"), "max": Word("2s")}}) as g:
        send(g, "u@a.example")
        until(lambda: [e for e in g.events() if e["event"] == "site_backed_off"])
        with Sink(port=port) as sink:
            sink.wait(1)
            back = until(lambda: [e for e in g.events() if e["event"] == "site_back"])
            seen = [e["event"] for e in g.events()
                    if e["event"].startswith("site_") and e["site"] == back[0]["site"]]
            assert seen[0] == "site_backed_off" and seen[-2:] == ["site_probed", "site_back"], seen
            g.wait_log(r"site .*works again")


def slowed(where):
    """A site that asks for less is given less, and as much as before when it takes mail again:
    each is said once, with the cause."""
    with Sink() as sink, Gateway(where, mailertable={"a.example": ("127.0.0.1", sink.port)},
                                 options={"deliver": {"concurrency_initial": 2},
                                          "retry": {"first": Word("1s")}}) as g:
        sink.at("mail", "450 4.7.28 too much of it", times=1)
        send(g, "u@a.example")
        sink.wait(1)
        until(lambda: [e for e in g.events() if e["event"] == "site_restored"])
        said = [e for e in g.events() if e["event"] in ("site_slowed", "site_restored")]
        assert len(said) == 2, said
        assert said[0]["count"] == 1 and "too much of it" in said[0]["text"], said
        g.wait_log(r"site .* is given less: 1 at once: .*too much of it")
        g.wait_log(r"site .* is given as much as before")


def answers(where):
    """A site that closes in the middle is given less; one that says "later" to all, no more."""
    with Sink() as drops, Sink() as later, Gateway(
            where, mailertable=table(drops_example=drops, later_example=later),
            options={"deliver": {"concurrency_initial": 2}}) as g:
        drops.at("rcpt", DROP)
        later.at("rcpt", "451 4.7.1 come back later")
        send(g, "u@drops.example")
        g.wait_log(r"site .* is given less: 1 at once: .*lost during client RCPT")
        send(g, "u@later.example", n=8)
        until(lambda: len([e for e in g.events() if e["event"] == "deferred"]) >= 9)
        site = f"host:[127.0.0.1]:{later.port}"
        assert [p["limit"] for p in places(g) if p.get("site") == site and "limit" in p
                and "destination" not in p] == [2], places(g)


def one_site(where):
    """Many domains with one MX set are one site before anything is sent to any of them: it can be
    frozen, has a rule by the name of its MX, and that rule's limit holds from the first one on."""
    domains = [f"d{i}.test" for i in range(12)]
    zone = "mx1.shared.test A 127.0.0.1\n" + "".join(f"{d} MX 10 mx1.shared.test\n"
                                                     for d in domains)
    with ZoneDns(zone, negative_ttl=60) as dns, Peers() as sink, Gateway(where, options={
            "dns": {"servers": [dns.address]}, "deliver": {"port": sink.port},
            'delivery_rule "shared"': {"mx": ["*.shared.test"], "concurrency_max": 2,
                                       "source_address": ["127.0.0.7"]}}) as g:
        sink.at("ehlo", STALL, stall_s=0.1)
        assert g.cli("queue", "freeze", "mx:mx1.shared.test").returncode == 0
        for d in domains:
            send(g, f"u@{d}")
        place = until(lambda: [p for p in places(g) if p.get("site") == "mx:mx1.shared.test"
                               and "destination" not in p and p["recipients"]["frozen"] == 12])
        assert place[0]["rule"] == "shared", place
        p = g.cli("queue", "oldest", "--by", "site", "--json")
        assert b"mx:mx1.shared.test" in p.stdout, p
        assert sink.sessions == 0, sink.sessions
        assert g.cli("queue", "thaw", "mx:mx1.shared.test").returncode == 0
        sink.wait(len(domains))
        assert sink.most <= 2 and sink.peers == ["127.0.0.7"] * 2, (sink.most, sink.peers)
        asked = [name for name, kind in dns.queries if kind == "MX"]
        assert sorted(asked) == sorted(domains), asked


def all_at_once(where):
    """As many sites as there are connections worked until now and stop at one moment, with mail
    for each: what still answers has its mail a second later, and from then on at once."""
    sites, options = 100, {"deliver": {"connections": 100}, "limits": {
        "connections_per_client": 500}}
    with Sink() as live, Sink(host="0.0.0.0") as mute, Gateway(where, options=options, mailertable={
            "live.example": ("127.0.0.1", live.port),
            **{f"s{i}.example": (f"127.0.1.{i + 1}", mute.port) for i in range(sites)}}) as g:
        def live_takes_s():
            n, begun = len(live.messages), time.monotonic()
            send(g, "u@live.example")
            live.wait(n + 1, 60)
            return time.monotonic() - begun

        live_takes_s()
        for i in range(sites):
            send(g, f"u@s{i}.example")
        mute.wait(sites)
        mute.at("mail", STALL, stall_s=120)
        for k in range(4):
            for i in range(sites):
                send(g, f"u@s{i}.example", sender=f"a{k}@client.example")
        first, after = live_takes_s(), sorted(live_takes_s() for _ in range(20))
        hang = [p["active"] for p in places(g) if "site" in p and "destination" not in p]
        print(f"# {sum(hang)} hang; {first * 1000:.0f} ms, then {after[10] * 1000:.0f} ms")
        assert sum(hang) >= sites and first < 15 and after[-1] < 10, (hang, first, after)


def main():
    r = Report()
    with temp.Dir("rules") as where:
        cases = (connections, source, one_site, rate, elsewhere, answers, tls_and_end,
                 from_now_on, counted, preference, back_again, slowed)
        if os.environ.get("POSTERN_LONG") == "1":
            cases += (all_at_once,)
        for f in cases:
            r.run(f.__name__.replace("_", " "), f, where / f.__name__)
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
