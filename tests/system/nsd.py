#!/usr/bin/env python3
"""A real name server with staged zones (NSD, unpacked, not installed): what `postern route`, -bt
and the delivery make of MX, CNAME, a null MX, no MX, a name that is not there and SERVFAIL.
tests/run: anyone"""
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, proc, smtpclient, temp            # noqa: E402
from lib.gateway import Gateway, binary                  # noqa: E402
from lib.peers import fetch                              # noqa: E402
from lib.report import Report, Skip                      # noqa: E402
from lib.sink import Sink                                # noqa: E402

ZONE = """$ORIGIN test.
$TTL 300
@           SOA  ns hostmaster 1 600 300 604800 60
            NS   ns
ns          A    127.0.0.1
mx          MX   20 second
            MX   10 first
first       A    127.0.0.12
second      A    127.0.0.13
alias       CNAME mx
null        MX   0 .
plain       A    127.0.0.12
aliasmx     MX   10 mxalias
mxalias     CNAME first
"""
# recipient, exit status of route, a word of its last line
ROUTES = [
    ("u@mx.test", 0, "will be delivered to first.test at 127.0.0.12"),
    ("u@alias.test", 0, "will be delivered to first.test at 127.0.0.12"),
    ("u@plain.test", 0, "will be delivered to plain.test at 127.0.0.12"),
    ("u@aliasmx.test", 0, "at 127.0.0.12"),
    ("u@null.test", 68, "is refused: 5.1.10"),
    ("u@nosuch.test", 68, "is refused: 5.1.2"),
    ("u@broken", 75, "is put off: 4.4.3"),
]
BT = {
    "/mx mx.test": "getmxrr(mx.test) returns 2 value(s):\n\tfirst.test.\n\tsecond.test.\n",
    "/mx null.test": "getmxrr(null.test) returns null MX (See RFC7505)\n",
    "/mx nosuch.test": "getmxrr(nosuch.test) returns 0 value(s):\n",
    "/mx x.broken": "getmxrr(x.broken) returns -1 value(s):\n",
    "/canon alias.test": "getcanonname(alias.test) returns mx.test\n",
}


class Nsd:
    """NSD on a port of its own; "broken." is a zone whose file is not there: SERVFAIL."""

    def __init__(self, where):
        try:
            self.program, env = fetch.program("nsd", "usr/sbin/nsd")
        except fetch.Unavailable as e:
            raise Skip(e)
        self.env = {**os.environ, **env}
        self.where, self.port = where, ports.free()
        (where / "test.zone").write_text(ZONE)
        (where / "nsd.conf").write_text(f"""server:
    ip-address: 127.0.0.1@{self.port}
    username: ""
    chroot: ""
    server-count: 1
    zonesdir: "{where}"
    pidfile: "{where}/nsd.pid"
    xfrdfile: ""
    database: ""
    zonelistfile: "{where}/zone.list"
    xfrdir: "{where}"
    logfile: "{where}/nsd.log"
remote-control:
    control-enable: no
zone:
    name: "test."
    zonefile: "test.zone"
zone:
    name: "broken."
    zonefile: "missing.zone"
""")

    def __enter__(self):
        self.process = subprocess.Popen([self.program, "-d", "-c", self.where / "nsd.conf"],
                                        stderr=subprocess.DEVNULL, env=self.env)
        end = time.monotonic() + 90
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("nsd does not start:\n" + (self.where / "nsd.log").read_text())
            time.sleep(0.05)

    def __exit__(self, *_):
        tree = proc.tree(self.process.pid)
        proc.stop(self.process, 10)
        proc.end_all(tree)           # its servers go a moment after it


def routes(g):
    for rcpt, code, words in ROUTES:
        r = g.cli("route", rcpt)
        assert r.returncode == code, (rcpt, r)
        assert words in r.stdout.decode().splitlines()[-1], r.stdout.decode()


def test_mode(g):
    for line, words in BT.items():
        r = subprocess.run([str(binary()), "-C", str(g.conf), "-bt"], input=line + "\n",
                           capture_output=True, text=True, timeout=90)
        assert words in r.stdout, (line, r.stdout)


def deliveries(g, first, second):
    for rcpt in ("u@mx.test", "u@alias.test", "u@plain.test", "u@aliasmx.test"):
        before = len(first.messages)
        smtpclient.deliver(g.port, b"Subject: x\r\n\r\nx\r\n", sender="", rcpts=[rcpt])
        assert first.wait(before + 1)[-1].recipients == [rcpt], rcpt
    assert not second.messages
    for rcpt, dsn in (("u@null.test", "5.1.10"), ("u@nosuch.test", "5.1.2"),
                      ("u@broken", "4.4.3")):
        smtpclient.deliver(g.port, b"Subject: x\r\n\r\nx\r\n", sender="", rcpts=[rcpt])
        g.wait_log(rf"to=<{re.escape(rcpt)}>.*dsn={re.escape(dsn)}")


def main():
    report = Report()
    with temp.Dir("nsd") as where:
        def all_of_it():
            port = ports.free("127.0.0.12")
            (where / "zones").mkdir()
            with Nsd(where / "zones") as dns, Sink("127.0.0.12", port) as first, \
                    Sink("127.0.0.13", port) as second:
                options = {"dns": {"servers": [f"127.0.0.1:{dns.port}"]},
                           "deliver": {"port": port}}
                g = Gateway(where / "g", options=options)
                g.dir.mkdir()
                g.configure()
                routes(g)
                test_mode(g)
                with g:
                    routes(g)
                    deliveries(g, first, second)
        report.run("staged zones of nsd", all_of_it)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
