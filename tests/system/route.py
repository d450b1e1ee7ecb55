#!/usr/bin/env python3
"""`postern route`: every outcome, asked of the running gateway and of the files alone; it, -bt and
the real delivery agree; `config diff` and `config explain`.
tests/run: long sanitizers tests/run: anyone"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.signeddns import SignedDns         # noqa: E402
from lib.sink import Sink                   # noqa: E402
from lib.waiting import until               # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402

ZONE = """
two.test        600 MX 10 a.test
two.test        600 MX 20 b.test
a.test          600 A 127.0.0.11
b.test          600 A 127.0.0.12
alias.test      600 CNAME two.test
written.test    600 CNAME two.test
canon.test      600 CNAME key.test
key.test        600 MX 10 b.test
implicit.test   600 A 127.0.0.12
null.test       600 MX 0 .
nodata.test     600 TXT nothing
servfail.test   SERVFAIL
"""
A, B, C = "127.0.0.11", "127.0.0.12", "127.0.0.13"
MAILERTABLE = {
    "written.test": f"relay:[{B}]",
    "key.test": f"relay:[{C}]",
    ".sub.test": f"relay:[{B}]:[{C}]",
    "err.test": "error:5.7.1:550 Mail to this domain is prohibited",
    "later.test": "error:4.3.0:451 try later please",
    "held.test": "hold:the auditors look at it",
    "park.test": "relay:[127.0.0.99]",
    "dev.test": "discard:",
}
# recipient, sender, where it arrives; None: it does not
AGREED = [
    ("u@two.test", "s@sender.test", A), ("u@alias.test", "s@sender.test", A),
    ("u@written.test", "s@sender.test", B), ("u@canon.test", "s@sender.test", C),
    ("u@implicit.test", "s@sender.test", B), ("u@x.sub.test", "s@sender.test", B),
    (f"u@[{C}]", "s@sender.test", C), ("u@two.test", "boss@aicpa.org", C),
    ("u@written.test", "boss@aicpa.org", B), ("info@virt.test", "s@sender.test", A),
]
# recipient, exit status, "end", a word of "why"
OUTCOMES = [
    ("u@two.test", 0, "deliver", "a.test"), ("u@err.test", 65, "refused", "550 5.7.1"),
    ("u@later.test", 75, "later", "451 4.3.0"), ("u@null.test", 68, "refused", "5.1.10"),
    ("u@nx.test", 68, "refused", "5.1.2"), ("u@nodata.test", 68, "refused", "5.4.4"),
    ("u@servfail.test", 75, "later", "4.4.3"), ("u@held.test", 0, "waits", "auditors"),
    ("u@dev.test", 0, "discard", ""), ("root", 0, "local", "user root"),
    ("nosuch-user-here", 67, "refused", "5.1.1"), ("u@", 64, "refused", "5.1.3"),
    ("info@virt.test", 0, "deliver", "a.test"),
]


class Stage:
    def __init__(self, where, dns, port):
        self.port = port
        maps = {n: f"text:{where}/gw/{n}" for n in ("smarttable", "virtusertable", "aliases")}
        listen = ports.free()
        self.gateway = Gateway(where / "gw", mailertable=MAILERTABLE, port=listen, options={
            'listen "mx"': {"address": [f"127.0.0.1:{listen}"]},
            'listen "capture"': {"address": [f"127.0.0.99:{port}"], "delivery": Word("hold")},
            "relay": {"from": ["127.0.0.1/32"], "domains": ["ours.test"]},
            "route": {"mailertable": f"text:{where}/gw/mailertable", **maps},
            "dns": {"servers": [dns.address], "dnssec": Word("off"), "timeout": Word("3s")},
            'delivery_rule "bulk"': {"listener": ["capture"], "domain": ["two.test"],
                                     "rate": "5/s"},
            'delivery_rule "byhost"': {"mx": ["a.*"], "tls": Word("off")},
            'delivery_rule "boss"': {"sender": ["@aicpa.org"], "rate": "100/m"},
            "deliver": {"port": port, "idle": Word("0")}})
        (where / "gw").mkdir(parents=True)
        (where / "gw" / "smarttable").write_text(f"@aicpa.org relay:[{C}]\n")
        (where / "gw" / "virtusertable").write_text("info@virt.test u@two.test\n")
        (where / "gw" / "aliases").write_text("sales: root, u@two.test\nowner-sales: root\n")
        self.gateway.configure()
        self.link = where / "sendmail"
        self.link.symlink_to(binary())

    def route(self, *args, code=0):
        r = self.gateway.cli("route", *args)
        assert r.returncode == code, f"{args}: {r.returncode}\n{r.stdout.decode()}{r.stderr}"
        return r.stdout.decode()

    def story(self, *args, code=0):
        return json.loads(self.route("--json", *args, code=code))

    def bt(self, rcpt, sender):
        r = subprocess.run([str(self.link), "-C", str(self.gateway.conf), "-bt"],
                           input=f".Df{sender}\n3,0 {rcpt}\n".encode(), capture_output=True,
                           timeout=90)
        assert r.returncode == 0, r
        return r.stdout.decode()


def outcomes(s, asked):
    for rcpt, code, end, why in OUTCOMES:
        story = s.story("--from", "s@sender.test", rcpt, code=code)
        assert (story["end"], story["exit"]) == (end, code), story
        assert story["asked"] == asked and why in story["why"], story
        text = s.route("--from", "s@sender.test", rcpt, code=code)
        assert ("the running gateway" in text) == (asked == "running"), text
        assert f"Mail to {rcpt} " in text or "it becomes " in text, text
    worst = s.gateway.cli("route", "u@two.test", "u@nx.test", "u@err.test")
    assert worst.returncode == 68, worst


def trail(s, asked):
    """Each step with its place; what was not there, in short; the DNS with TTL and state."""
    text = s.route("--from", "s@sender.test", "u@x.sub.test")
    place = re.escape(f"{s.gateway.dir}/mailertable")
    assert re.search(rf"mailertable: x\.sub\.test: no entry +\[{place}\]", text), text
    assert re.search(rf"mailertable \.sub\.test: relay:\[{B}\]:\[{C}\] +\[{place}:3\]", text), text
    assert f"1. [{B}] {B}:{s.port}\n" in text and f"2. [{C}] {C}:{s.port}\n" in text, text
    text = s.route("u@two.test")
    assert "MX two.test: 10 a.test, 20 b.test" in text, text
    assert "DNSSEC insecure" in text, text
    assert re.search(rf"1\. a\.test {A}:{s.port} \(preference 10\)\n +2\. b\.test", text), text
    steps = s.story("u@two.test")["targets"][0]["dns"]["trail"]
    mx = next(x for x in steps if x["what"] == "MX")
    assert 0 < mx["ttl_s"] <= 600 and mx["dnssec"] == "insecure", mx
    if asked == "running":      # asked a moment ago: the gateway's cache has it
        assert mx["cached"] is True, mx
    text = s.route("--from", "s@sender.test", "sales")
    assert "it becomes u@two.test, from <root" in text and "aliases:1]" in text, text


def access(s, asked):
    """May this client?"""
    story = s.story("--client", "192.0.2.7", "u@two.test", code=65)
    assert not story["accept"]["accepted"] and "Relaying denied" in story["why"], story
    assert s.story("--client", "192.0.2.7", "u@ours.test", code=68)["accept"]["accepted"]
    assert s.story("--client", "127.0.0.1", "u@two.test")["end"] == "deliver"
    r = s.gateway.cli("route", "--client", "nonsense", "u@two.test")
    assert r.returncode == 64 and b"not an IP address" in r.stderr, r
    assert s.gateway.cli("route").returncode == 64
    r = s.gateway.cli("route", "--listener", "captur", "u@two.test")
    assert r.returncode == 64 and b'did you mean "capture"' in r.stderr, r
    r = s.gateway.cli("route", "--json", os.fsdecode(b"\xff@two.test"))
    assert r.returncode == 64 and b"not UTF-8" in r.stderr and not r.stdout, r


def rule(s, asked):
    """The delivery_rule that holds, with its place, and what it makes of TLS."""
    text = s.route("u@two.test")
    line = r'delivery_rule "byhost" \(.*postern\.conf:\d+\): mx = \{"a\.\*"\}'
    assert re.search(line, text), text
    assert "TLS: none (delivery_rule.tls = off)" in text, text
    target = s.story("u@two.test")["targets"][0]
    assert target["tls"] == "off" and target["rule"]["name"] == "byhost", target
    text = s.route("u@implicit.test")
    assert "delivery_rule" not in text and "(deliver.tls = optional)" in text, text
    assert 'rate = "100/m"' in s.route("--from", "boss@aicpa.org", "u@implicit.test")
    client = ("--client", "127.0.0.1")
    assert "delivery_rules that name a listener are left out" in s.route(*client, "u@two.test")
    text = s.route(*client, "--listener", "capture", "u@two.test")
    assert 'delivery_rule "bulk"' in text and "left out" not in text, text


def own_listener(s, asked):
    story = s.story("u@park.test")
    assert story["end"] == "waits" and "capture" in story["why"], story


def agree(s, sinks):
    """What route says, what -bt says and where the mail arrives."""
    for n, (rcpt, sender, where) in enumerate(AGREED):
        story = s.story("--from", sender, "--client", "127.0.0.1", rcpt)
        target = story["targets"][0]
        first = target["dns"]["plan"]["try"][0]["address"]
        assert first == f"{where}:{s.port}", f"{rcpt}: {first}, not {where}"
        out = s.bt(rcpt, sender)
        said = re.findall(r"^postern: .*gateway decides (\S+), by", out, re.M)
        triple = re.findall(r"^parse +returns: \$# (\S+) \$@ (.*?) \$: ", out, re.M)[-1]
        host = triple[1].replace(" ", "").removesuffix(".")
        shape = said[0] if said else f"{triple[0]}:{host}"
        assert shape == target["route"]["value"], f"{shape} {target['route']['value']}\n{out}"
        mark = f"agree-{n}"
        reply = smtpclient.deliver(s.gateway.port, f"Subject: {mark}\r\n\r\nx\r\n", sender, [rcpt])
        assert reply.code == 250, reply
        subject = f"Subject: {mark}\r\n".encode()
        found = until(lambda: [k for k in sinks for m in list(k.messages) if subject in m.data],
                      why=f"{rcpt} came nowhere")
        assert [k.host for k in found] == [where], f"{rcpt}: {[k.host for k in found]}"
    for rcpt, code in (("u@err.test", 550), ("u@later.test", 451)):
        reply = smtpclient.deliver(s.gateway.port, "x\r\n", "s@sender.test", [rcpt])
        assert reply.code == code and s.story(rcpt, code=65 if code == 550 else 75), reply


def diff(s):
    g = s.gateway
    r = g.cli("config", "diff")
    assert r.returncode == 0 and b"says what the running gateway works with" in r.stdout, r
    new = g.dir / "new.conf"
    text = g.conf.read_text()
    new.write_text(text.replace("ours.test", "others.test").replace("spool/q0", "spool/q1"))

    def ask(*args):
        return subprocess.run([str(binary()), "config", "diff", "-C", str(new), *args],
                              capture_output=True, timeout=90)
    out = ask().stdout.decode()
    assert 'relay.domains: {"ours.test"} -> {"others.test"}  (live)\n' in out, out
    assert re.search(r"spool\.directories: .*needs a restart", out), out
    rows = {c["name"]: c for c in json.loads(ask("--json").stdout)["changes"]}
    assert rows["relay.domains"]["live"] and not rows["spool.directories"]["live"], rows
    # the gateway's answer is what it works with, not what a file says
    g.conf.write_text(text.replace("ours.test", "third.test"))
    out = g.cli("config", "diff").stdout.decode()
    assert "postern reload would change 1\n" in out, out
    assert g.cli("reload").returncode == 0
    assert b"says what the running" in g.cli("config", "diff").stdout
    g.conf.write_text(text)
    assert g.cli("reload").returncode == 0


def explain(s):
    out = s.gateway.cli("config", "explain", "deliver.port", "relay.domains").stdout.decode()
    for words in ("deliver.port\n", "relay.domains\n", f"deliver.port = {s.port}",
                  "default  25", "reload   takes effect", "postern.conf:"):
        assert words in out, out
    r = s.gateway.cli("config", "explain", "deliver.prot")
    assert r.returncode == 64 and b'did you mean "deliver.port"?' in r.stderr, r


def nobody(s):
    r = s.gateway.cli("config", "diff")
    assert r.returncode == 69 and b"no gateway answers" in r.stderr, r


SIGNED = """
good.test       MX 10 mx.good.test
mx.good.test    A 127.0.0.12
mx.good.test    AAAA ::1
bad.test        MX 10 mx.good.test
"""


def dnssec(where):
    """A signed zone: what was proven says so; a forged answer is none."""
    with SignedDns(SIGNED, where) as dns:
        dns.forged.add("bad.test")
        options = {"dns": {"servers": [dns.address], "dnssec": Word("on"),
                           "trust_anchor": str(dns.anchor)}}
        with Gateway(where / "g", options=options) as g:
            for running in (True, False):
                r = g.cli("route", "u@good.test")
                text = r.stdout.decode()
                assert r.returncode == 0, r
                for line in ("MX good.test: 10 mx.good.test", "A mx.good.test: 127.0.0.12"):
                    assert re.search(re.escape(line) + r"  \[.*, DNSSEC secure\]", text), text
                story = json.loads(g.cli("route", "--json", "u@good.test").stdout)
                assert story["targets"][0]["dns"]["plan"]["dnssec"] == "secure", story
                r = g.cli("route", "u@bad.test")
                assert r.returncode == 75, r
                assert b"DNSSEC bogus]" in r.stdout and b"put off" in r.stdout, r.stdout.decode()
                if running:
                    g.stop()


def main():
    r = Report()
    with temp.Dir("route") as where, ZoneDns(ZONE) as dns:
        port = ports.free(A, B, C, "127.0.0.99")
        s = Stage(where, dns, port)
        shared = [outcomes, trail, access, rule, own_listener]
        for test in shared:
            r.run(f"from the files: {test.__name__}", test, s, "files")
        r.run("config diff without a gateway", nobody, s)
        with Sink(A, port) as a, Sink(B, port) as b, Sink(C, port) as c, s.gateway:
            for test in shared:
                r.run(f"with the gateway: {test.__name__}", test, s, "running")
            r.run("route, -bt and the delivery agree", agree, s, (a, b, c))
            r.run("config diff", diff, s)
            r.run("config explain", explain, s)
    with temp.Dir("route-signed") as where:
        r.run("a signed zone", dnssec, where)
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
