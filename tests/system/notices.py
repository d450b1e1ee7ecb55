#!/usr/bin/env python3
"""What an admin is told in passing: eight-bit mail sent to a host that did not offer it, and a
site that is left alone for a while."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp     # noqa: E402
from lib.gateway import Gateway, Word       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import Sink                   # noqa: E402


def eightbit(where):
    with Sink(extensions=["PIPELINING"]) as sink, Gateway(
            where, smart_host=("127.0.0.1", sink.port)) as g:
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@b.example> BODY=8BITMIME")
            for i in range(3):
                c.cmd(f"RCPT TO:<u{i}@dest.example>")
            r = c.data("Subject: x\r\n\r\ngr\xfc\xdfe\r\n".encode("latin-1"))
            assert r.code == 250, r
        sink.wait(1)
        told = g.wait_events("eightbit_sent")
        assert len(told) == 1 and told[0]["id"] in r.text and told[0]["host"], told
        assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nplain\r\n").code == 250
        sink.wait(2)
        g.wait_events("delivered", 4)
        assert len(g.wait_events("eightbit_sent")) == 1


def backed_off(where):
    dead = ports.free()
    with Gateway(where, smart_host=("127.0.0.1", dead), options={
            "retry": {"first": Word("1s"), "max": Word("2s")}}) as g:
        for _ in range(3):
            assert smtpclient.deliver(g.port, "Subject: x\r\n\r\nhello\r\n").code == 250
        first = g.wait_events("site_backed_off")[0]
        assert f"{dead}" in first["site"] and first["ms"] > 0, first
        assert "refused" in first["text"], first
        g.wait_events("site_backed_off", 2)        # the probe failed as well
        g.wait_log(r"site .* is left alone for \d+ s: ")


def main():
    r = Report()
    with temp.Dir("notices") as where:
        r.run("eight bits to a host without 8BITMIME", eightbit, where / "a")
        r.run("a site is left alone", backed_off, where / "b")
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
