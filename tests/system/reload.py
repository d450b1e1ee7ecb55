#!/usr/bin/env python3
"""A new configuration under load: no connection refused, no session dropped, and a bad one changes
nothing. And log files that are moved away. tests/run: first tests/run: anyone"""
import os
import re
import signal
import ssl
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, smtpclient      # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.load import Load                           # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import until, wait_for                # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
LONG = os.environ.get("POSTERN_LONG") == "1"


def events(g, name):
    return [e for e in g.events() if e["event"] == name]


def reload(g, accepted=True):
    """SIGHUP, and wait for the answer."""
    name = "config_reloaded" if accepted else "config_refused"
    before = len(events(g, name))
    g.process.send_signal(signal.SIGHUP)
    wait_for(name, lambda: len(events(g, name)) > before)
    return events(g, name)[-1]


def change(g, **options):
    """Merge {section: {name: value}} into what it runs with and write the file."""
    for section, values in options.items():
        if isinstance(values, dict):
            g.options[section] = {**g.options.get(section, {}), **values}
        else:
            g.options[section] = values
    g.configure()


def pids(g):
    return {role: set(found) for role, found in g.roles().items()}


class Knocker(threading.Thread):
    """Connects again and again, reads the greeting and says QUIT; counts what goes wrong."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.count, self.wrong = port, False, 0, []

    def run(self):
        while not self.over:
            try:
                with smtpclient.Client(self.port, timeout_s=90) as c:
                    if c.greeting.code != 220 or c.cmd("QUIT").code != 221:
                        self.wrong.append(str(c.greeting))
                self.count += 1
                time.sleep(0.002)
            except (OSError, smtpclient.Closed) as e:
                self.wrong.append(repr(e))


def under_load(where):
    """Many reloads while mail flows: every message is taken at its first try."""
    count, times = (200000, 200) if LONG else (20000, 15)
    while reloads_in(where / str(count), count, times) < 5:     # few fell into the load
        count *= 2


def reloads_in(where, count, times):
    with Load(where / "load", count) as load, \
            Gateway(where / "gw", smart_host=load.hop) as g:
        knocker = Knocker(g.port)
        knocker.start()
        before = pids(g)
        load.send(g.port, 20, per_connection=10)
        done = 0
        while done < times and load.sending():
            change(g, hostname=f"gateway{done}.example", limits={"recipients": 100 + done})
            reload(g)
            done += 1
        load.wait_arrived()
        knocker.over = True
        knocker.join(90)
        r = load.finish()
        print(f"# {r}; {done} reloads, {knocker.count} connections more", flush=True)
        assert len(r.accepted) == count and r.source["retries"] == 0, str(r)
        assert r.lost == [] and r.duplicates == 0 and r.sink["corrupt"] == 0, str(r)
        assert not knocker.wrong, knocker.wrong[:3]
        assert pids(g) == before, f"a reload restarted somebody: {before} {pids(g)}"
        assert not re.search(r"peer_lost|WARN|ALARM", g.log())
        return done


def open_session(where):
    """It ends under the configuration it began with; the next one has the new."""
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options={"limits": {"message_size": Word("1M")}}) as g, \
            smtpclient.Client(g.port) as old:
        assert "SIZE 1048576" in old.ehlo().text
        old.envelope("a@x.example", "b@x.example")
        assert old.cmd("DATA").code == 354
        change(g, hostname="renamed.example", limits={"message_size": Word("64K")})
        reload(g)
        with smtpclient.Client(g.port) as new:
            assert "renamed.example" in new.greeting.text, new.greeting
            g.wait_log(r"renamed\.example postern\[\d+\]: .*reloaded")
            assert "SIZE 65536" in new.ehlo().text
            new.envelope("a@x.example", "b@x.example")
            assert new.data(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 1000).code == 552
        old.send((b"z" * 70 + b"\r\n") * 2000 + b".\r\n")       # more than 64K
        assert old.reply().code == 250
        assert "SIZE 1048576" in old.ehlo().text
        assert old.envelope("a@x.example", "b@x.example").code == 250
        assert old.data(MESSAGE).code == 250
        assert old.cmd("QUIT").text.count("gateway.example") == 1
        assert b"by gateway.example" in sink.wait(2)[1].headers


def listeners(where):
    """A listener more, then the first one less: its open session stays."""
    second = ports.free()
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port)) as g:
        first, section = g.port, 'listen "mx"'
        change(g, **{section: {"address": [f"127.0.0.1:{first}", f"127.0.0.1:{second}"]}})
        assert ports.refused(second)
        reload(g)
        assert smtpclient.deliver(second, MESSAGE).code == 250
        with smtpclient.Client(first) as stays:
            stays.ehlo()
            change(g, **{section: {"address": [f"127.0.0.1:{second}"]}})
            reload(g)
            wait_for("the first is closed", lambda: ports.refused(first))
            assert smtpclient.deliver(second, MESSAGE).code == 250
            assert stays.envelope("a@x.example", "b@x.example").code == 250
            assert stays.data(MESSAGE).code == 250
        change(g, **{'listen "more"': {"address": [f"127.0.0.1:{first}"],
                                       "greeting": "the other one"}})
        reload(g)
        with smtpclient.Client(first) as c:
            assert "the other one" in c.greeting.text, c.greeting
        sink.wait(3)


def mailertable(where):
    """Mail that waits goes where the table says now, at its next attempt."""
    dead = ports.free()
    options = {"retry": {"first": Word("1s"), "max": Word("2s")}}
    with Sink() as sink, Gateway(where, mailertable={"dest.example": ("127.0.0.1", dead)},
                                 options=options) as g:
        assert smtpclient.deliver(g.port, MESSAGE).code == 250
        g.wait_log(r"to=<b@dest\.example>.*stat=Deferred")
        g.write_mailertable({"dest.example": ("127.0.0.1", sink.port)})
        assert not sink.messages
        reload(g)
        sink.wait(1)
        g.write_mailertable({"dest.example": "error:5.7.1:550 closed for good"})
        reload(g)
        reply = smtpclient.deliver(g.port, MESSAGE)
        assert reply.code == 550 and "closed for good" in reply.text, reply


def bad_table(where):
    """A table with a mistake: the old one stays in force, and the mistake is named."""
    with Sink() as sink, Gateway(where, mailertable={"dest.example":
                                                     ("127.0.0.1", sink.port)}) as g:
        g.write_mailertable({"dest.example": "nosuchmailer:x"})
        g.process.send_signal(signal.SIGHUP)
        g.wait_log(r"mailertable.*nosuchmailer|nosuchmailer.*mailertable")
        said = g.cli("reload")
        assert said.returncode == 78 and b"nosuchmailer" in said.stderr, said
        assert smtpclient.deliver(g.port, MESSAGE).code == 250
        sink.wait(1)


def elsewhere(where):
    """A table in a directory that had none: what a reload cannot open is said, with what to do."""
    other = where / "other"
    other.mkdir()
    (other / "access").write_text("To:bad@dest.example REJECT\n")
    with Gateway(where / "gw", smart_host=("127.0.0.1", 9), options={
            "processes": {"restart_first": Word("50ms")}}) as g:
        change(g, route={"access": f"text:{other}/access"})
        said = g.cli("reload")
        if not rejects(g):                      # else the kernel has no Landlock
            g.wait_log("the old tables stay in force; .* needs a restart")
            assert said.returncode == 78 and b"router: " in said.stderr, said
            assert b"stays as it was; " in said.stderr and str(other).encode() in said.stderr, said
            assert g.cli("reload").returncode == 78
            g.crash("router")
            wait_for("the new table", lambda: rejects(g))


def name_servers(where):
    """The system's list of name servers is replaced by renaming, and may be a link."""
    (where / "run").mkdir()
    stub, link = where / "run" / "stub.conf", where / "resolv.conf"
    stub.write_text("nameserver 127.0.0.1\n")
    link.symlink_to(stub)
    with Gateway(where / "gw", smart_host=("127.0.0.1", 9), options={
            "dns": {"servers": None, "resolv_conf": str(link)}}) as g:
        for path in (stub, link):
            new = where / "run" / "new.conf"
            new.write_text("nameserver 127.0.0.2\n")
            new.rename(path)
            reload(g)
        assert "resolv.conf" not in g.log(), g.log()[-500:]


def rejects(g):
    with smtpclient.Client(g.port) as c:
        c.ehlo()
        return c.envelope("a@client.example", "bad@dest.example").code == 550


def refused(where):
    """All mistakes of a file are said, options that cannot change are named, and an address that
    somebody else has as well; each time the old configuration stays."""
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port)) as g:
        good = g.conf.read_text()
        g.conf.write_text(good.replace('hostname = "gateway.example"', 'hostnam = "bad.example"')
                          + 'limits {\n    recipients = many\n}\n')
        text = reload(g, accepted=False)["text"]
        for words in ("hostnam", "hostname", "recipients", "many"):
            assert words in text, (words, text)
        assert re.search(r":\d+:\d+", text), text
        r = g.cli("reload")
        assert r.returncode != 0 and b"hostnam" in r.stderr + r.stdout, r
        g.conf.write_text(good.replace("processes {", "processes {\n    smtpd = 7", 1))
        text = reload(g, accepted=False)["text"]
        assert "processes.smtpd" in text and "cannot change" in text, text
        g.conf.write_text(good.replace(f'"127.0.0.1:{g.port}"',
                                       f'"127.0.0.1:{g.port}", "127.0.0.1:{sink.port}"'))
        text = reload(g, accepted=False)["text"]
        assert f"127.0.0.1:{sink.port}" in text, text
        with smtpclient.Client(g.port) as c:
            assert "gateway.example" in c.greeting.text, c.greeting
        assert smtpclient.deliver(g.port, MESSAGE).code == 250
        g.conf.unlink()
        assert str(g.conf) in reload(g, accepted=False)["text"]
        g.conf.write_text(good)
        assert g.cli("reload").returncode == 0
        reload(g)
        sink.wait(1)


def certificate(where):
    """A new certificate is shown to the next session."""
    first, second = certs.make(where / "1", host="one.test"), certs.make(where / "2", kind="ec")
    with Sink() as sink, Gateway(where / "gw", smart_host=("127.0.0.1", sink.port),
                                 tls=first) as g:
        assert shown(g.port) == pem(first[0])
        g.tls = second
        g.configure()
        reload(g)
        wait_for("the new one", lambda: shown(g.port) == pem(second[0]))


def pem(path):
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


def shown(port):
    with smtpclient.Client(port) as c:
        c.ehlo()
        assert c.starttls().code == 220
        return c.sock.getpeercert(binary_form=True)


def rotation(where):
    """The log is moved away under load, SIGUSR1: no line is lost, and nobody writes to the old
    file any more."""
    count, moved = 4000, []
    with Load(where / "load", count) as load, \
            Gateway(where / "gw", smart_host=load.hop) as g:
        load.send(g.port, 10, per_connection=100)
        for n in range(3):
            time.sleep(0.15)
            for name in ("stat.log", "events.jsonl"):
                os.rename(g.dir / name, g.dir / f"{name}.{n}")
            g.process.send_signal(signal.SIGUSR1)
            wait_for("new files", lambda: all((g.dir / f).exists()
                                              for f in ("stat.log", "events.jsonl")))
            moved.append(n)
        load.wait_arrived()

        def lines(words):
            return sum(len(re.findall(words, p.read_text())) for p in g.dir.glob("stat.log*"))
        for words in (r": from=<a@load\.example>", r": to=<b@dest\.example>.*stat=Sent"):
            until(lambda w=words: lines(w) >= count, why=lambda w=words: f"{w}: {lines(w)}")
            assert lines(words) == count, f"{words}: {lines(words)} of {count}"

        def nobody_writes():            # each process has let go of it in its own time
            sizes = [(g.dir / f"stat.log.{n}").stat().st_size for n in moved]
            told = lines("to=<c@late.example>")
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=["c@late.example"]).code == 250
            wait_for("its line", lambda: lines("to=<c@late.example>") > told)
            return sizes == [(g.dir / f"stat.log.{n}").stat().st_size for n in moved]
        wait_for("the old files to be left alone", nobody_writes)
        assert len(load.finish().accepted) == count


def main():
    return Report().cases("reload", (
        under_load, open_session, listeners, mailertable, bad_table, elsewhere, name_servers,
        refused, certificate, rotation))


if __name__ == "__main__":
    sys.exit(main())
