#!/usr/bin/env python3
"""The maps of a gateway at work: access rules, virtual addresses, aliases with owners, relay
recipients, routes by sender and by canonical name; edited maps, and broken ones.
tests/run: sanitizers tests/run: anyone"""
import json
import re
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient               # noqa: E402
from lib.gateway import Gateway, Word, hop      # noqa: E402
from lib.report import Report, Skip             # noqa: E402
from lib.sink import Sink                       # noqa: E402
from lib.waiting import until                   # noqa: E402
from lib.zonedns import ZoneDns                 # noqa: E402

ID = r"[0-9A-Za-x]{14}"
MESSAGE = "Subject: x\r\n\r\nhello\r\n"
MAPS = ("access", "virtusertable", "aliases", "smarttable", "mailertable")


class Desk:
    """A gateway with maps given as texts; no client is trusted but by them."""

    def __init__(self, where, sink, options=None, **maps):
        where.mkdir(parents=True, exist_ok=True)
        self.where = where
        route = {"local_users": Word('"any"'), "local": ["ours.example"]}
        for name, text in maps.items():
            self.write(name, text)
            if name in MAPS:
                route[name] = f"text:{where}/{name}.map"
        more = {"relay": {"from": ["127.0.0.9"]}, "queue": {"run": Word("0")},
                "processes": {"smtpd": 1, "deliver": 1}}
        for section, values in (options or {}).items():
            more[section] = {**more.get(section, {}), **values}
        more["route"] = {**route, **more.get("route", {})}
        self.g = Gateway(where, smart_host=("127.0.0.1", sink.port), options=more)

    def write(self, name, text):
        new = self.where / f"{name}.new"
        new.write_text(text)
        new.rename(self.where / f"{name}.map")          # never seen half written

    def __enter__(self):
        self.g.start()
        return self

    def __exit__(self, *what):
        self.g.__exit__(*what)

    def send(self, rcpts, sender="s@sender.example", source=None):
        rcpts = [rcpts] if isinstance(rcpts, str) else rcpts
        return smtpclient.deliver(self.g.port, MESSAGE, sender, rcpts, source=source)

    def taken(self, rcpts, **options):
        """The queue id."""
        r = self.send(rcpts, **options)
        assert r.code == 250, r
        return re.search(ID, r.text).group()

    def refused(self, rcpt, text, **options):
        r = self.send(rcpt, **options)
        assert re.search(text, r.text), r

    def held(self):
        rows = [json.loads(line) for line in self.g.cli("queue", "--json").stdout.splitlines()]
        return {r["to"]: r.get("reason", "") for m in rows for r in m["recipients"]
                if r["state"] in ("held", "quarantined")}


def came(sink, n):
    return [m.recipients for m in sink.wait(n)[:n]]


ACCESS = """
Connect:127.0.0.3       REJECT
Connect:127.0.0.4       ERROR:5.7.1:550 Not from you
Connect:127.0.0.5       RELAY
Connect:127.0.0.6       DISCARD
Connect:127.0.0.7       QUARANTINE:suspicious host
From:bad@sender.example REJECT
From:gone.example       ERROR:5.1.8:553 That domain is gone
From:lost.example       DISCARD
To:ok.example           RELAY
To:no@ok.example        ERROR:5.1.1:550 He has left
To:void@ok.example      DISCARD
To:look@ok.example      QUARANTINE:to be looked at
"""


def access(where):
    with Sink() as sink, Desk(where, sink, access=ACCESS) as d:
        with smtpclient.Client(d.g.port, source="127.0.0.3") as c:
            assert c.greeting.code == 554, c.greeting
            assert c.ehlo().code == 550 and c.cmd("MAIL FROM:<a@b.example>").code == 550
            assert c.cmd("QUIT").code == 221
        d.g.wait_log(r"ruleset=check_relay.*relay=localhost \[127\.0\.0\.3\], reject=550 5\.7\.1")
        with smtpclient.Client(d.g.port, source="127.0.0.4") as c:
            assert c.greeting.code == 554 and "Not from you" in c.greeting.text, c.greeting
        d.refused("u@far.example", r"^550 5\.7\.1 <u@far\.example>\.\.\. Relaying denied$")
        d.taken("u@far.example", source="127.0.0.5")
        d.refused("u@ok.example", "55[0-9] 5.7.1", sender="bad@sender.example")
        d.refused("u@ok.example", "553 5.1.8 .*That domain is gone", sender="a@gone.example")
        d.refused("no@ok.example", r"^550 5\.1\.1 He has left")
        d.taken("u@ok.example")
        assert sorted(came(sink, 2)) == [["u@far.example"], ["u@ok.example"]]


def pipelined(where):
    """MAIL and RCPT in one flight: the sender's verdict is the MAIL command's."""
    with Sink() as sink, Desk(where, sink, access=ACCESS) as d:
        with smtpclient.Client(d.g.port) as c:
            c.ehlo()
            c.send("MAIL FROM:<a@gone.example>\r\nRCPT TO:<u@ok.example>\r\nDATA\r\n")
            assert [c.reply().code for _ in range(3)] == [553, 503, 503]
            c.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<no@ok.example>\r\n"
                   "RCPT TO:<u@ok.example>\r\nDATA\r\n")
            assert [c.reply().code for _ in range(4)] == [250, 550, 250, 354]
            c.send("Subject: x\r\n\r\n.\r\n")
            assert c.reply().code == 250
        assert came(sink, 1) == [["u@ok.example"]]


def discard(where):
    """All replies are positive; nothing is stored for whom it is said, large mail neither."""
    with Sink() as sink, Desk(where, sink, access=ACCESS) as d:
        id = d.taken("u@ok.example", sender="a@lost.example")
        d.g.wait_log(rf"{id}: from=<a@lost.example>.*stat=discarded")
        d.taken("void@ok.example")
        d.taken("x@ok.example", source="127.0.0.6")
        big = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 20000
        assert smtpclient.deliver(d.g.port, big, "a@lost.example", ["u@ok.example"]).code == 250
        d.taken(["void@ok.example", "u@ok.example"])
        assert came(sink, 1) == [["u@ok.example"]]
        time.sleep(0.5)
        assert len(sink.messages) == 1
        assert len(d.g.wait_events("discarded", 4)) == 4
        until(lambda: json.loads(d.g.cli("queue", "count", "--json").stdout)["messages"] == 0)


def quarantine(where):
    with Sink() as sink, Desk(where, sink, access=ACCESS) as d:
        id = d.taken(["look@ok.example", "u@ok.example"])
        assert d.held() == {"look@ok.example": "to be looked at",
                            "u@ok.example": "to be looked at"}, d.held()
        d.taken("v@ok.example", source="127.0.0.7")
        assert d.held()["v@ok.example"] == "suspicious host"
        assert d.g.cli("queue", "release", id).returncode == 0
        assert sorted(came(sink, 1)[0]) == ["look@ok.example", "u@ok.example"]
        assert list(d.held()) == ["v@ok.example"]


def virtual(where):
    with Sink() as sink, Desk(where, sink, virtusertable="""
info@hosted.example     joe@real.example
@cat.example            %1%3@real.example
sales@hosted.example    error:nouser No sales here
@hosted.example         catchall@real.example
""") as d:
        d.taken("info@hosted.example")
        d.taken("x+y@cat.example")
        d.taken(["info@hosted.example", "other@hosted.example", "joe@cat.example"])
        d.refused("sales@hosted.example", "No sales here")
        got = came(sink, 3)
        assert sorted(got) == [["joe@real.example"], ["joe@real.example", "catchall@real.example"],
                               ["x+y@real.example"]], got
        one = sink.messages[got.index(["joe@real.example"])]
        assert b"for <info@hosted.example>" in one.headers, one.headers
        assert b"ORCPT=rfc822;info@hosted.example" in one.rcpts[0], one.rcpts


ALIASES = """
team:       a@one.example, b@two.example, mary
mary:       m@three.example
owner-team: boss@sender.example
loop1:      loop2
loop2:      loop1
"""


def aliases(where):
    """Expanded in place; a list's owner is the sender and gets the report."""
    with Sink() as sink, Desk(where, sink, aliases=ALIASES) as d:
        sink.at("rcpt", "550 5.1.1 nobody", match=b"b@two.example")
        id = d.taken(["team@ours.example", "c@one.example"], source="127.0.0.9")
        sink.wait(3)
        mail = {r: m for m in sink.messages for r in m.recipients}
        assert mail["a@one.example"].sender == "boss@sender.example"
        assert mail["m@three.example"].sender == "boss@sender.example"
        assert mail["c@one.example"].sender == "s@sender.example"
        assert mail["a@one.example"] is mail["m@three.example"]
        report = mail["boss@sender.example"]
        assert report.sender == "" and b"b@two.example" in report.data
        d.g.wait_log(rf"{id}: from=<s@sender.example>.*nrcpts=4")
        assert d.send("loop1@ours.example").code in (550, 554), "a loop was taken"


def reports(where):
    """Aliases are for reports as well; one to the postmaster that fails makes no other."""
    with Sink() as sink, Desk(where, sink, {"relay": {"from": ["127.0.0.9"]}}, aliases="""
root:       admin@sender.example
postmaster: root2
root2:      nobody@sender.example
""") as d:
        d.g.stop()
        d.g.options["postmaster"] = "postmaster@ours.example"
        d.g.start()
        sink.at("rcpt", "550 5.1.1 nobody", match=b"nobody@")
        d.taken("nobody@far.example", sender="root@ours.example", source="127.0.0.9")
        assert sink.wait(1)[0].recipients == ["admin@sender.example"], sink.messages
        d.taken("nobody@far.example", sender="", source="127.0.0.9")
        until(lambda: "nobody@sender.example" in d.held(), why=d.held)
        d.g.wait_events("bounce_held")
        time.sleep(1)
        assert len(sink.messages) == 1, [m.rcpts for m in sink.messages]


def shown(where):
    """What aliases made is seen in the queue and in the spool."""
    with Sink() as sink, Desk(where, sink, aliases=ALIASES, smarttable="@sender.example hold:wait\n"
                              ) as d:
        sink.at("mail", "451 4.3.0 later")
        id = d.taken("team@ours.example")
        row = next(json.loads(x) for x in d.g.cli("queue", "--json").stdout.splitlines()
                   if json.loads(x)["id"] == id)
        assert [r["to"] for r in row["recipients"]] == ["a@one.example", "b@two.example",
                                                         "m@three.example"], row
        assert all(r["sender"] == "boss@sender.example" and r["expanded"] for r in
                   row["recipients"]), row
        env = json.loads(d.g.cli("spool", "cat", id, "--json").stdout)
        assert env["recipients"][0]["sender"] == "boss@sender.example", env
        assert "boss@sender.example" in d.g.cli("queue").stdout.decode()


def by_sender(where):
    with Sink() as usual, Sink() as special, Desk(
            where, usual, {"relay": {"from": ["127.0.0.1"]}},
            smarttable=f"@vip.example relay:{hop(('127.0.0.1', special.port))}\n"
                       f"<> relay:{hop(('127.0.0.1', special.port))}\n"
                       f"one@x.example relay:{hop(('127.0.0.1', special.port))}\n") as d:
        d.taken("u@far.example", sender="a@vip.example")
        d.taken("u@far.example", sender="one@x.example")
        d.taken("u@far.example", sender="two@x.example")
        special.wait(2)
        assert usual.wait(1)[0].sender == "two@x.example"


def canonical(where):
    """The mailertable by the canonical name of the domain; the recipient stays as it was."""
    zone = """
alias.test      CNAME real.test
real.test       MX 10 nowhere.test
written.test    CNAME real.test
dead.test       SERVFAIL
slow.test       TIMEOUT
"""
    with Sink() as usual, Sink() as real, Sink() as written, ZoneDns(zone) as dns, Desk(
            where, usual, {"relay": {"from": ["127.0.0.1"]},
                           "dns": {"servers": [dns.address], "timeout": Word("4s")}},
            mailertable=f"real.test relay:{hop(('127.0.0.1', real.port))}\n"
                        f"written.test relay:{hop(('127.0.0.1', written.port))}\n") as d:
        d.taken("u@alias.test")
        assert real.wait(1)[0].recipients == ["u@alias.test"]
        d.taken("u@written.test")
        assert written.wait(1)[0].recipients == ["u@written.test"]
        for domain in ("dead.test", "slow.test", "nx.test"):     # no canonical name is known
            d.taken(f"u@{domain}")
        assert sorted(usual.wait(3)[k].recipients[0] for k in range(3)) == [
            "u@dead.test", "u@nx.test", "u@slow.test"]
        asked = dns.asked("alias.test", "MX")
        for _ in range(3):
            d.taken("v@alias.test")
        real.wait(4)
        assert dns.asked("alias.test", "MX") == asked


def silent_servers(where):
    """Nobody answers DNS: mail goes where it can go without, and does not wait for it each time.
    One name alone without an answer is no such case."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole, Sink() as usual, \
            Sink() as told, Desk(
                where / "a", usual, {"relay": {"from": ["127.0.0.1"]},
                                     "dns": {"servers": [ports_of(hole)]}},
                mailertable=f"told.test relay:{hop(('127.0.0.1', told.port))}\n") as d:
        for n in range(8):
            d.taken(f"u@other{n}.test")
        d.taken("u@told.test")
        assert told.wait(1)[0].recipients == ["u@told.test"]
        usual.wait(8)
        assert waited(d, "other0.test") >= 2500
        d.g.wait_log("dns: no name server answers: canonical names are not looked for until ")
        started = len(d.g.log())
        asked = questions(hole)
        assert b"other0" in asked and b"told" not in asked, asked
        for n in range(8):
            d.taken(f"u@later{n}.test")
            usual.wait(9 + n)
        assert b"later" not in questions(hole), "it was waited for again"
        assert "no name server answers" not in d.g.log()[started:], "said twice"
        route = d.g.cli("route", "u@more.test").stdout.decode()
        assert "no name server answers" in route, route
    with ZoneDns("deaf.test TIMEOUT\nalias.test CNAME real.test\nreal.test MX 10 x.test\n"
                 ) as dns, Sink() as usual, Sink() as real, Desk(
                where / "b", usual, {"relay": {"from": ["127.0.0.1"]},
                                     "dns": {"servers": [dns.address]}},
                mailertable=f"real.test relay:{hop(('127.0.0.1', real.port))}\n") as d:
        d.taken("u@deaf.test")
        assert usual.wait(1)[0].recipients == ["u@deaf.test"]
        until(lambda: b"is being found out" not in d.g.cli("route", "u@nobody.test").stdout)
        d.taken("u@alias.test")
        assert real.wait(1)[0].recipients == ["u@alias.test"]
        assert "no name server" not in d.g.log()


def questions(hole):
    """All that was sent to a socket, and that nobody has read."""
    hole.setblocking(False)
    sent = b""
    while True:
        try:
            sent += hole.recv(4096)
        except BlockingIOError:
            return sent


def not_canonical(where):
    with ZoneDns("alias.test CNAME real.test\nreal.test MX 10 x.test\n") as dns, \
            Sink() as usual, Sink() as real, Desk(
                where, usual, {"relay": {"from": ["127.0.0.1"]}, "route": {"canonical": False},
                               "dns": {"servers": [dns.address]}},
                mailertable=f"real.test relay:{hop(('127.0.0.1', real.port))}\n") as d:
        d.taken("u@alias.test")
        assert usual.wait(1)[0].recipients == ["u@alias.test"]
        assert not dns.asked("alias.test", "MX")


def ports_of(s):
    s.bind(("127.0.0.1", 0))
    return "%s:%d" % s.getsockname()


def waited(d, domain):
    """ms from the receipt to the delivery."""
    return until(lambda: [e for e in d.g.events() if e["event"] == "delivered" and
                          e["to"].endswith("@" + domain)], why=domain)[0]["delay_ms"]


def recipients(where):
    with Sink() as sink, Desk(where, sink, {"relay": {"domains": ["ok.example"],
                                                      "recipients": f"text:{where}/known.map"}},
                              known="joe@ok.example x\n") as d:
        d.taken("joe@ok.example")
        d.refused("jim@ok.example", "550 5.1.1")
        d.taken("jim@far.example", source="127.0.0.9")
        sink.wait(2)


def edited(where):
    """An edited map is in force within seconds and moves what waits; a broken one keeps the old."""
    with Sink() as old, Sink() as new, Desk(
            where, old, {"relay": {"from": ["127.0.0.1"]},
                         "retry": {"first": Word("1s"), "max": Word("2s")}},
            mailertable="moved.example error:4.3.0:451 not yet\n") as d:
        r = d.send("u@moved.example")
        assert r.code == 451, r
        time.sleep(0.1)
        d.write("mailertable", f"moved.example relay:{hop(('127.0.0.1', new.port))}\n")
        end = time.monotonic() + 90
        while d.send("u@moved.example").code != 250:
            assert time.monotonic() < end, "the edited map is not taken"
            time.sleep(0.2)
        new.wait(1)
        d.write("mailertable", "moved.example nonsense\nother.example relay:\n")
        d.g.wait_log(r"mailertable\.map:1: error:")
        d.g.wait_log(r"mailertable\.map:2: error:")
        d.taken("v@moved.example")
        assert new.wait(2)[1].recipients == ["v@moved.example"]
        time.sleep(2.5)
        refused = d.g.wait_events("map_refused")
        assert len(refused) == 1 and "\n" in refused[0]["text"], refused
        d.write("mailertable", "")
        end = time.monotonic() + 90
        while not old.messages:
            assert time.monotonic() < end, "the mended map is not taken"
            d.taken("w@moved.example")
            time.sleep(0.3)


def own_address():
    """An address of this machine that is not loopback: only from there a client has a name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            ip = s.getsockname()[0]
        except OSError as e:
            raise Skip(f"no address but loopback: {e}") from e
    if ip.startswith("127."):
        raise Skip("no address but loopback")
    return ip


def reverse(where):
    """The client's name: verified, absent, forged, or not to be had in time."""
    ip = own_address()
    ptr = ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
    port = ports.free()
    with Sink() as sink, ZoneDns(f"{ptr} PTR mail.friend.test\nmail.friend.test A {ip}\n") as dns, \
            Desk(where, sink, {"dns": {"servers": [dns.address], "timeout": Word("30s"),
                                       "cache_ttl_max": Word("1s"), "negative_ttl_max": Word("1s")},
                               "server": {"reverse_timeout": Word("5s")}},
                 access="Connect:friend.test RELAY\nConnect:foe.test REJECT\n") as d:
        d.g.stop()
        d.g.options['listen "out"'] = {"address": [f"{ip}:{port}"]}
        d.g.start()

        def connect():
            return smtpclient.Client(port, host=ip, source=ip)

        def is_relayed():
            with connect() as c:
                c.ehlo()
                return c.envelope("a@b.example", "u@far.example").code == 250
        assert is_relayed()
        r = smtpclient.deliver(port, MESSAGE, rcpts=["u@far.example"], host=ip, source=ip)
        assert r.code == 250, r
        assert f"(mail.friend.test [{ip}])".encode() in sink.wait(1)[0].headers
        d.g.wait_log(rf"relay=mail\.friend\.test \[{re.escape(ip)}\]")

        dns.remove("mail.friend.test")
        dns.add("mail.friend.test A 192.0.2.77")        # forged
        time.sleep(1.2)
        assert not is_relayed()
        dns.remove(ptr)
        dns.add(f"{ptr} PTR mail.foe.test")
        dns.add(f"mail.foe.test A {ip}")
        time.sleep(1.2)
        with connect() as c:
            assert c.greeting.code == 554, c.greeting
        dns.remove(ptr)
        dns.add(f"{ptr} TIMEOUT")
        time.sleep(1.2)
        begun = time.monotonic()
        with connect() as c:
            assert c.greeting.code == 220 and time.monotonic() - begun < 28, c.greeting
            assert f"Hello [{ip}]" in c.ehlo().text


def main():
    return Report().cases("routing", (
        access, pipelined, discard, quarantine, virtual, aliases, reports, shown, by_sender,
        canonical, silent_servers, not_canonical, recipients, edited, reverse), at_once=4)


if __name__ == "__main__":
    sys.exit(main())
