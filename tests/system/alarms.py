#!/usr/bin/env python3
"""Alarms: old mail at a site, little space, a process that dies again and again, the DNS, a next
hop; who is told, by which way, how often; and a listener that refuses while a check fails.
tests/run: anyone
tests/run: first"""
import email
import email.policy
import http.server
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, smtpclient    # noqa: E402
from lib.gateway import Gateway, Word       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import DROP, Sink                   # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402
from lib.waiting import until                          # noqa: E402

QUICK = {"interval": Word("300ms"), "dns": Word("off"), "listeners": Word("off"),
         "timeout": Word("1s"), "disk_free": 0, "inodes_free": 0}


SILENT = "queue_silent"     # looks are so frequent here that a busy machine raises it any time


def events(g, name):
    return [e for e in g.events() if e["event"] == name and e.get("alarm") != SILENT]


def alarms(g, silent=False):
    """Those that are present; silent: that one, too. watch may be away for a moment."""
    p = until(lambda: (p := g.cli("alarms", "--json")).returncode in (0, 1) and p)
    found = [json.loads(line) for line in p.stdout.splitlines()]
    return [a for a in found if silent or a["alarm"] != SILENT]


def watch(g, **what):
    """From now on: at the start there is no smtpd yet that takes what is told by the queue."""
    g.options["alarm"] = {**QUICK, **what}
    g.configure()
    assert g.cli("reload").returncode == 0


def news(letter):
    return re.findall(r"^(ALARM|STILL|OVER)  .*?^       name: (\w+)", letter.get_content(),
                      re.M | re.S)


def letters(sink, head, alarm):
    """Those that say so: ALARM, STILL or OVER."""
    found = [email.message_from_bytes(m.data, policy=email.policy.default)
             for m in list(sink.messages)]
    return [m for m in found if m["Auto-Submitted"] == "auto-generated" and
            (head, alarm) in news(m)]


def subject(letter):
    """None when it is about a busy machine as well."""
    return None if any(alarm == SILENT for _, alarm in news(letter)) else letter["Subject"]


def old_mail(where):
    """A dead site: raised once, mailed by the relay although the queue is stuck, repeated while it
    lasts, one all-clear when the site is there again."""
    port = ports.free()
    with Sink() as relay, Gateway(
            where, smart_host=("127.0.0.1", port), options={
                "retry": {"first": Word("1s"), "max": Word("1s")},
                "alarm": {**QUICK, "site_age": Word("1s"), "site_recipients": 2,
                          "repeat": Word("2s"), "relay": f"[127.0.0.1]:{relay.port}",
                          "to": ["admin@watch.example"]}}) as g:
        p = g.cli("alarms")
        assert SILENT in g.log() or (p.returncode == 0 and b"no alarm" in p.stdout), p
        for _ in range(2):
            assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nhello\r\n").code == 250
        first = until(lambda: events(g, "alarm_raised"), why=g.log()[-1500:])[0]
        assert first["alarm"] == "site_age" and str(port) in first["subject"], first
        assert "2 recipients" in first["text"] and "refused" in first["text"], first
        row = alarms(g)[0]
        assert row["alarm"] == "site_age" and row["subject"] == first["subject"], row
        p = g.cli("alarms")
        assert p.returncode == 1 and b"site_age" in p.stdout and str(port).encode() in p.stdout, p
        m = until(lambda: letters(relay, "ALARM", "site_age"))[0]
        if title := subject(m):
            assert title.startswith("[ALARM] old mail") and str(port) in title, title
        assert m["To"] == "admin@watch.example" and m["Message-ID"] and m["Date"], m.as_string()
        assert "2 recipients" in m.get_content() and not m.defects, m.as_string()
        assert relay.messages[0].sender == "" and relay.messages[0].recipients == [
            "admin@watch.example"], relay.messages[0]
        until(lambda: events(g, "alarm_repeated"))
        m = until(lambda: letters(relay, "STILL", "site_age"))[0]
        assert "still" in (subject(m) or "still"), m["Subject"]
        with Sink(port=port) as back:
            back.wait(2)
            until(lambda: events(g, "alarm_cleared"))
            m = until(lambda: letters(relay, "OVER", "site_age"))[0]
            assert "all clear" in (subject(m) or "all clear"), m["Subject"]
        assert alarms(g) == []
        time.sleep(1)
        assert len(events(g, "alarm_raised")) == 1 and len(events(g, "alarm_cleared")) == 1
        assert len(letters(relay, "OVER", "site_age")) == 1
        assert not [e for e in events(g, "alarm_not_mailed")], events(g, "alarm_not_mailed")


def space(where):
    """Less space and fewer inodes than is wanted; no relay is given: through the queue. A reload
    that wants less of it: over."""
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), options={
            "postmaster": "boss@elsewhere.example"}) as g:
        watch(g, disk_free=Word("900000G"), inodes_free=1000000000)
        until(lambda: len(alarms(g)) == 2, why=g.log()[-1500:])
        assert {a["alarm"] for a in alarms(g)} == {"disk_space", "disk_inodes"}, alarms(g)
        assert all(a["subject"].endswith("/q0") for a in alarms(g)), alarms(g)
        m = until(lambda: letters(sink, "ALARM", "disk_space"), why=g.log()[-1500:])[0]
        assert ("ALARM", "disk_inodes") in news(m) and "900000G" in m.get_content(), m.as_string()
        assert "and 1 more" in (subject(m) or "and 1 more"), m.as_string()
        assert sink.messages[0].recipients == ["boss@elsewhere.example"], sink.messages[0]
        assert sink.messages[0].sender == ""
        watch(g, disk_free=Word("1K"), inodes_free=1)
        until(lambda: len(events(g, "alarm_cleared")) == 2)
        until(lambda: letters(sink, "OVER", "disk_space"))


def refusing(**what):
    relay = Sink()
    relay.at("rcpt", "550 5.7.1 not you", **what)
    return relay


def relay_away(where):
    """alarm.relay refuses: the queue takes it."""
    with refusing() as relay, Sink() as sink, Gateway(
            where, smart_host=("127.0.0.1", sink.port), options={
                "postmaster": "boss@elsewhere.example"}) as g:
        watch(g, disk_free=Word("900000G"), relay=f"[127.0.0.1]:{relay.port}")
        until(lambda: letters(sink, "ALARM", "disk_space"), why=g.log()[-1500:])
        assert "not you" in until(lambda: events(g, "alarm_not_mailed"))[0]["text"]
        mailed = until(lambda: events(g, "alarm_mailed"))
        assert {e["relay"] for e in mailed} == {"queue"}, mailed
        assert SILENT in g.log() or len(events(g, "alarm_mailed")) == 1, mailed


def relay_takes_one(where):
    """alarm.relay refuses one of two: that one is told through the queue, and only that one."""
    both = ["one@elsewhere.example", "two@elsewhere.example"]
    with refusing(match=b"two@") as relay, Sink() as sink, Gateway(
            where, smart_host=("127.0.0.1", sink.port)) as g:
        watch(g, disk_free=Word("900000G"), to=both, relay=f"[127.0.0.1]:{relay.port}")
        until(lambda: letters(sink, "ALARM", "disk_space"), why=g.log()[-1500:])
        until(lambda: {e["to"] for e in events(g, "alarm_mailed")} >= set(both))
        for there, to in zip((relay, sink), both):
            assert {tuple(m.recipients) for m in there.messages} == {(to,)}, there.messages
            assert SILENT in g.log() or len(there.messages) == 1, there.messages
        refused = events(g, "alarm_not_mailed")
        assert refused[0]["to"] == "two@elsewhere.example" and "not you" in refused[0]["text"]


def relay_tls(where):
    """Encrypted when alarm.relay offers it, whatever its certificate; in plain text when that
    fails."""
    cert = certs.make(where / "certs")[:2]
    for broken in (False, True):
        with Sink(tls=cert) as relay:
            if broken:
                relay.at("tls", DROP)
            with Gateway(where / str(broken), options={
                    "alarm": {**QUICK, "disk_free": Word("900000G"),
                              "relay": f"[127.0.0.1]:{relay.port}"}}) as g:
                until(lambda: letters(relay, "ALARM", "disk_space"), why=g.log()[-1500:])
                assert relay.messages[0].tls is not broken, relay.messages
                until(lambda: events(g, "alarm_mailed"))
                assert bool(events(g, "alarm_not_mailed")) is broken, events(g, "alarm_not_mailed")


def crashes(where):
    with Gateway(where, options={"processes": {"restart_first": Word("50ms")},
                                 "alarm": {**QUICK, "crashes": 3}}) as g:
        for role in ("keyring", "watch"):           # the one that counts them, too
            for _ in range(3):
                old = g.roles()[role]
                os.kill(old[0], signal.SIGKILL)
                until(lambda old=old, role=role: g.roles().get(role, old) != old)
        got = until(lambda: len(now := alarms(g)) == 2 and now, why=g.log()[-1500:])
        assert [a["alarm"] for a in got] == ["crashes"] * 2, got
        assert {a["subject"] for a in got} == {"keyring", "watch"}, got
        assert all("3 times" in a["text"] and "signal 9" in a["text"] for a in got), got


def dns_and_hop(where):
    """No name server answers, the next hop is away; a listener that is to refuse then does, the
    other does not. A reload and a new watch change nothing of that and tell nothing twice; with
    the next hop back it takes mail again."""
    mute = ports.Mute()
    hop = mute.port
    other = ports.free()
    with Sink() as relay, Gateway(where, options={
            "dns": {"timeout": Word("1s")},
            'listen "mx"': {"refuse_when": ["next_hop"]},
            'listen "inside"': {"address": [f"127.0.0.1:{other}"]},
            "alarm": {**QUICK, "timeout": Word("10s"),
                      "dns": Word("on"), "next_hop": f"[127.0.0.1]:{hop}",
                      "relay": f"[127.0.0.1]:{relay.port}", "listeners": Word("on")}}) as g:
        with smtpclient.Client(g.port) as c:
            assert c.greeting.code == 220
        mute.close()                                     # from now on: refused
        until(lambda: {a["alarm"] for a in alarms(g)} == {"dns", "next_hop"},
              why=g.log()[-1500:])
        until(lambda: greeting(g.port) == "421")
        assert greeting(other) == "220"
        until(lambda: len(events(g, "alarm_mailed")) >= 1)
        begun = g.wait_events("listener_refuses")
        assert [(e["listener"], e["check"]) for e in begun] == [("mx", "next_hop")], begun
        assert "Connection refused" in begun[0]["text"], begun
        row = [a for a in alarms(g) if a["alarm"] == "next_hop"][0]
        assert row["refusing"] == ["mx"], row
        shown = g.cli("alarms").stdout.decode()
        assert "listener mx refuses mail with 421 because of next_hop" in shown, shown
        assert g.cli("reload").returncode == 0
        refuses_for(g, 1.5)
        os.kill(g.roles()["watch"][0], signal.SIGKILL)
        refuses_for(g, 3)
        assert events(g, "refused")[-1]["check"] == "next_hop", events(g, "refused")[-1]
        hop_alarms = [e for e in events(g, "alarm_raised") if e["alarm"] == "next_hop"]
        assert len(hop_alarms) == 1, hop_alarms
        with ports.Mute(hop):                            # a look there is not soon over
            g.options["alarm"]["timeout"] = Word("3m")
            g.configure()
            g.stop()
            g.start(codes=(b"220", b"421"))              # what failed is known a moment later
            until(lambda: greeting(g.port) == "421")
        with Sink(port=hop):
            until(lambda: greeting(g.port) == "220", why=g.log()[-1500:])
            until(lambda: events(g, "listener_accepts"))
            until(lambda: [e for e in events(g, "alarm_cleared") if e["alarm"] == "next_hop"])
        assert [a["alarm"] for a in alarms(g) if a["alarm"] == "listener"] == []


def refuses_for(g, seconds):
    """All the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert greeting(g.port) == "421", g.log()[-1500:]
        time.sleep(0.05)


class Refusing(Gateway):
    """Its listener may refuse by a check before all of its processes are ready."""
    def __enter__(self):
        return self.start(codes=(b"220", b"421"))


def checks(where):
    """What an admin has watch look at: one that stalls, one that says the wrong thing, one by
    name; each is an alarm, a listener refuses by one; one that is taken out of the configuration
    ends with a word."""
    mute = ports.Mute()
    port = mute.port
    often = {"every": Word("300ms"), "fail_after": 1, "ok_after": 1}
    times, short = {**often, "timeout": Word("1m")}, {**often, "timeout": Word("500ms")}
    with ZoneDns("db.example A 127.0.0.1") as dns, Sink() as relay, Sink() as db, Refusing(
            where, options={
                "dns": {"servers": [dns.address]},
                'listen "mx"': {"refuse_when": ["queue", "filter"]},
                'check "filter"': {"connect": f"[127.0.0.1]:{port}", "expect": "220", **short},
                'check "db"': {"connect": f"db.example:{db.port}", "expect": "999 ", **times},
                'check "open"': {"connect": f"db.example:{db.port}", **times},
                'check "name"': {"lookup": "db.example", **times},
                'check "no-name"': {"lookup": "nothing.example", **times},
                'check "server"': {"lookup": "db.example", "server": [dns.address], **times},
                'check "bad-server"': {"lookup": "nothing.example", "server": [dns.address],
                                       **times},
                'check "no-server"': {"lookup": "db.example",
                                      "server": [f"127.0.0.1:{port}"], **short},
                "alarm": {**QUICK, "relay": f"[127.0.0.1]:{relay.port}"}}) as g:
        found = until(lambda: len(now := alarms(g)) == 5 and any(a["refusing"] for a in now) and
                      now, why=g.log()[-1500:])
        said = {a["subject"]: a for a in found}
        assert {a["alarm"] for a in said.values()} == {"check"}, said
        assert set(said) == {"filter", "db", "no-name", "bad-server", "no-server"}, said
        for name in ("filter", "no-server"):
            assert "it says nothing" in said[name]["text"] or "500ms" in said[name]["text"], said
        assert "no such name" in said["bad-server"]["text"], said
        assert "greets with 220" in said["db"]["text"], said
        assert said["filter"]["refusing"] == ["mx"] and said["db"]["refusing"] == [], said
        until(lambda: greeting(g.port) == "421")
        until(lambda: [m for m in letters(relay, "ALARM", "check") if
                       "mail is refused with 421 by listener mx" in m.get_content()])
        said = b" ".join(g.cli("why", "mx").stdout.split())
        assert b"postern queue --listener mx, whether it refuses mail now by" in said, said
        mute.close()
        with Sink(port=port):
            until(lambda: greeting(g.port) == "220", why=g.log()[-1500:])
            until(lambda: "filter" not in {a["subject"] for a in alarms(g)})
        until(lambda: len(events(g, "alarm_mailed")) >= 2)
        del g.options['check "db"']
        g.configure()
        assert g.cli("reload").returncode == 0
        until(lambda: [e for e in events(g, "alarm_cleared") if e["subject"] == "db"
                       and "not watched" in e["text"]], why=g.log()[-1500:])


def listener_stuck(where):
    """smtpd stopped: nobody greets."""
    with Gateway(where, options={"server": {"greeting_pause": 0, "reverse_names": Word("off")},
                                 "alarm": {**QUICK, "timeout": Word("5s"),
                                           "listeners": Word("on")}}) as g:
        time.sleep(2)
        assert alarms(g) == []
        pids = g.roles()["smtpd"]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            got = until(lambda: alarms(g), why=g.log()[-1500:])
            assert got[0]["alarm"] == "listener" and str(g.port) in got[0]["subject"], got
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        until(lambda: not alarms(g))


def growth_and_silence(where):
    """Many messages at once; then qmgr is there and says nothing."""
    with Sink() as relay, Gateway(where, smart_host=("127.0.0.1", ports.free()), options={
            "alarm": {**QUICK, "queue_growth": 5, "relay": f"[127.0.0.1]:{relay.port}"}}) as g:
        time.sleep(4)                   # it has seen the empty queue: it looks after a second
        for _ in range(4):
            assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nhello\r\n").code == 250
        time.sleep(1.5)
        assert alarms(g) == [], alarms(g)

        def one_more():
            assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nhello\r\n").code == 250
            time.sleep(1)
            return alarms(g)
        got = until(one_more, why=g.log()[-1500:])      # the first, unless it was slow to look
        assert [a["alarm"] for a in got] == ["queue_growth"] and "more than" in got[0]["text"], got
        qmgr = g.roles()["qmgr"][0]
        os.kill(qmgr, signal.SIGSTOP)
        try:
            until(lambda: SILENT in {a["alarm"] for a in alarms(g, True)}, why=g.log()[-1500:])
        finally:
            os.kill(qmgr, signal.SIGCONT)
        until(lambda: SILENT not in {a["alarm"] for a in alarms(g, True)})


class Web(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; the first time it fails."""
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers, body))
        self.send_response(500 if len(self.server.got) == 1 else 200)
        self.end_headers()
        try:                                # more than anybody wants to hear
            while len(self.server.got) == 2:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def webhook(where):
    """Posted by name, the address from the DNS; again after a failure; text made harmless JSON."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as web, ZoneDns(
            "hook.example A 127.0.0.1\ngateway.example A 127.0.0.1") as dns, Sink() as sink:
        web.got = []
        threading.Thread(target=web.serve_forever, daemon=True).start()
        port = web.server_address[1]
        with Gateway(where, smart_host=("127.0.0.1", sink.port), options={
                "postmaster": "boss@elsewhere.example",
                "dns": {"servers": [dns.address]},
                "alarm": {**QUICK, "disk_free": Word("900000G"), "dns": Word("on"),
                          "timeout": Word("10s"),
                          "webhook": f"http://hook.example:{port}/in?x=1"}}) as g:
            until(lambda: len(web.got) >= 2, why=g.log()[-1500:])
            path, headers, body = web.got[1]
            assert path == "/in?x=1" and headers["Content-Type"] == "application/json"
            assert headers["Host"] == f"hook.example:{port}", headers.items()
            told = json.loads(body)
            assert told["hostname"] == "gateway.example" and "ALARM" in told["text"], told
            assert ("disk_space", "raised") in {(n["alarm"], n["news"]) for n in told["news"]}, told
            assert SILENT in g.log() or (told["present"] == 1 and web.got[0][2] == body), web.got
            assert "500" in until(lambda: events(g, "webhook_failed"))[0]["text"]
            until(lambda: events(g, "webhook_told"))
            time.sleep(1)
            assert not events(g, "child_died")
            assert SILENT in g.log() or len(web.got) == 2, len(web.got)
            assert {a["alarm"] for a in alarms(g)} == {"disk_space"}       # the DNS answers
        web.shutdown()


def webhook_tls(where):
    """A certificate nobody vouches for: nothing is told."""
    cert, key = certs.make(where / "certs")[:2]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as web, Sink() as sink:
        web.got = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        web.socket = context.wrap_socket(web.socket, server_side=True)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with Gateway(where, smart_host=("127.0.0.1", sink.port), options={
                "alarm": {**QUICK, "disk_free": Word("900000G"),
                          "webhook": f"https://127.0.0.1:{web.server_address[1]}/"}}) as g:
            failed = until(lambda: events(g, "webhook_failed"), why=g.log()[-1500:])
            assert "self-signed" in failed[0]["text"] or "issuer" in failed[0]["text"], failed
            assert not events(g, "child_died")
        assert not web.got
        web.shutdown()


def greeting(port):
    with socket.create_connection(("127.0.0.1", port), 90) as s:
        return s.recv(3).decode()


if __name__ == "__main__":
    sys.exit(Report().cases("alarms", [
        listener_stuck, dns_and_hop, checks, old_mail, webhook, growth_and_silence, crashes,
        space, relay_away, relay_takes_one, relay_tls, webhook_tls], at_once=5))
