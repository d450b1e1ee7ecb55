#!/usr/bin/env python3
"""Many listening addresses, and a refused reload that leaves them as they were."""
import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402


def a_hundred_addresses(directory):
    port = ports.free()
    hosts = [f"127.0.3.{i}" for i in range(1, 101)]
    listen = {"address": [f"127.0.0.1:{port}"] + [f"{h}:{port}" for h in hosts]}
    with Gateway(directory, port=port, options={'listen "mx"': listen}) as g:
        for h in hosts:
            with smtpclient.Client(port, h) as c:
                assert c.greeting.code == 220, (h, c.greeting)
        g.process.send_signal(signal.SIGHUP)
        g.wait_log("reloaded, asked by SIGHUP")
        with smtpclient.Client(port, hosts[-1]) as c:
            assert c.greeting.code == 220, c.greeting


def a_refused_reload_renames_nothing(directory):
    with Gateway(directory) as g, socket.create_server(("127.0.0.1", 0)) as taken:
        g.options = {'listen "mx"': None,
                     'listen "other"': {"address": [f"127.0.0.1:{g.port}",
                                                    f"127.0.0.1:{taken.getsockname()[1]}"]}}
        g.configure()
        g.process.send_signal(signal.SIGHUP)
        g.wait_log("the old configuration stays")
        old = set(g.roles()["smtpd"])
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        while not set(g.roles().get("smtpd", [])) - old:
            time.sleep(0.02)
        with smtpclient.Client(g.port) as c:
            assert c.greeting.code == 220, c.greeting


def a_wildcard_is_not_everywhere(directory):
    """Another host's port of the same number is not ours; this machine's own addresses are."""
    port = ports.free()
    zone = ("far.example MX 10 mx.far.example\nmx.far.example A 203.0.113.5\n"
            "self.example MX 10 mx.self.example\nmx.self.example A 127.0.0.1\n")
    with ZoneDns(zone) as dns, Gateway(directory, port=port, options={
            'listen "mx"': {"address": [f"0.0.0.0:{port}"]},
            "dns": {"servers": [dns.address], "dnssec": Word("off")},
            # from loopback nothing leaves this machine
            "deliver": {"port": port, "source_address": ["127.0.0.1"]}}) as g:
        smtpclient.deliver(port, b"Subject: x\r\n\r\nx\r\n", rcpts=["b@far.example"])
        g.wait_log(r"to=<b@far\.example>.*stat=Deferred")
        smtpclient.deliver(port, b"Subject: x\r\n\r\nx\r\n", rcpts=["b@self.example"])
        g.wait_log(r"to=<b@self\.example>.*5\.3\.5")


def main():
    report = Report()
    for case in (a_hundred_addresses, a_refused_reload_renames_nothing,
                 a_wildcard_is_not_everywhere):
        with temp.Dir("listeners") as d:
            report.run(case.__name__, case, d)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
