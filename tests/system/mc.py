#!/usr/bin/env python3
"""Two instances from two macro files, side by side: mail of one sender goes from the one to the
other, which keeps it for a queue run. Nothing but the .mc says so."""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp                     # noqa: E402
from lib.gateway import TOP, Gateway, binary                # noqa: E402
from lib.report import Report                               # noqa: E402
from lib.sink import Sink                                   # noqa: E402

MESSAGE = b"Subject: test of the capture-only instance\r\n\r\nJust a test!\r\n"


class FromMc(Gateway):
    """A gateway whose configuration is NAME.mc (asked for as `ending`): text, and the lines that
    a test needs since it may not use the places of an installation."""

    def __init__(self, directory, name, text, host="127.0.0.1", ending="mc", **more):
        super().__init__(directory, **more)
        self.name, self.text, self.host, self.ending = name, text, host, ending

    @property
    def conf(self):
        return self.dir / f"{self.name}.{self.ending}"

    def configure(self):
        d = self.dir
        (d / "spool" / "q0").mkdir(parents=True, exist_ok=True)
        (d / "empty").mkdir(exist_ok=True)
        ours = [f'log.file = "{self.logfile}"', "log.syslog = off", 'dns.servers = "127.0.0.1:9"',
                "dns.dnssec = off", "spool.free_min = 1M", f'privilege.chroot = "{d}/empty"']
        lines = [f"dnl postern: {option}\n" for option in ours]
        if os.geteuid() == 0:
            lines.append("define(`confRUN_AS_USER', `nobody')dnl\n")
        (d / f"{self.name}.mc").write_text(
            self.text.replace("@DIR@", str(d)).replace("@PORT@", str(self.port)) + "".join(lines)
            + "MAILER(`smtp')dnl\n")


CAPTURE = """divert(-1)
dnl keeps what it gets for a queue run
divert(0)dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME',`capture.example.net')dnl
DAEMON_OPTIONS(`Name=sm-cap, Addr=127.0.0.2, Port=@PORT@')dnl
define(QUEUE_DIR, `@DIR@/spool/c*')dnl
define(`confCONTROL_SOCKET_NAME', `@DIR@/control')dnl
define(`confDELIVERY_MODE',`queueonly')dnl
define(`SMART_HOST', `relay:[127.0.0.1]:%d')dnl
FEATURE(`no_default_msa')dnl
"""
UPSTREAM = """divert(0)dnl
VERSIONID(`upstream gateway')
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME',`upstream.example.net')dnl
define(`confTO_IDENT',`0s')dnl
define(`confTO_HELO',`1m')dnl
define(`QUEUE_DIR',`@DIR@/spool/q*')dnl
define(`confCONTROL_SOCKET_NAME', `@DIR@/control')dnl
DAEMON_OPTIONS(`Addr=127.0.0.1, Port=@PORT@')dnl
FEATURE(`smarttable', `hash @DIR@/smarttable')dnl
define(`SMART_HOST', `[127.0.0.1]:%d')dnl
"""


def side_by_side(directory):
    with Sink() as sink:
        capture = FromMc(Path(directory) / "c", "capture", CAPTURE % sink.port,
                         port=ports.free("127.0.0.2"), ending="cf")
        capture.host = "127.0.0.2"
        capture.dir.mkdir(parents=True)
        capture.configure()
        upstream = FromMc(Path(directory) / "u", "upstream", UPSTREAM % sink.port)
        upstream.dir.mkdir(parents=True)
        (upstream.dir / "smarttable").write_text(
            f"@aicpa.example  relay:[127.0.0.2]:{capture.port}\n")
        with capture, upstream:
            said_at_start = capture.console.read_text()
            assert (f"postern: {capture.dir}/capture.mc: notice: this file is read instead of "
                    f"{capture.dir}/capture.cf\n") in said_at_start, said_at_start
            held_and_let_go(capture, upstream, sink)


def held_and_let_go(capture, upstream, sink):
    smtpclient.deliver(upstream.port, MESSAGE, sender="x@aicpa.example", rcpts=["u@gmail.example"])
    smtpclient.deliver(upstream.port, MESSAGE, sender="y@other.example", rcpts=["v@gmail.example"])
    message = sink.wait(1)[0]
    assert message.recipients == ["v@gmail.example"], message
    upstream.wait_log(r"to=<u@gmail\.example>.*stat=Sent")
    listed = capture.cli("queue").stdout
    assert b"u@gmail.example" in listed, listed
    assert b"v@gmail.example" not in listed, listed
    assert b"u@gmail.example" not in upstream.cli("queue").stdout
    hand_in(capture, "w@gmail.example")
    assert b"w@gmail.example" in capture.cli("queue").stdout
    assert len(sink.messages) == 1
    ran = capture.cli("queue", "run")
    assert ran.returncode == 0, ran
    messages = sink.wait(3)[1:]
    senders = {m.recipients[0]: m.sender for m in messages}
    assert senders == {"u@gmail.example": "x@aicpa.example",
                       "w@gmail.example": "z@capture.example.net"}, messages


def hand_in(gateway, rcpt):
    r = subprocess.run([str(binary()), "-C", str(gateway.conf), "-i", "-fz@capture.example.net",
                        rcpt], input=MESSAGE, capture_output=True, timeout=90)
    assert r.returncode == 0 and not r.stdout + r.stderr, r


class QueueOnly(FromMc):
    """Told so on the command line, as in the other post."""
    start_words = ["-bD", "-odqueueonly"]


def queue_only_by_flag(directory):
    """-odqueueonly with the daemon: what comes over SMTP and what is handed in waits alike."""
    with Sink() as sink:
        text = "".join(line for line in (UPSTREAM % sink.port).splitlines(True)
                       if "smarttable" not in line)
        with QueueOnly(directory, "upstream", text) as g:
            smtpclient.deliver(g.port, MESSAGE, sender="x@a.example", rcpts=["u@gmail.example"])
            hand_in(g, "w@gmail.example")
            listed = g.cli("queue").stdout
            assert b"u@gmail.example" in listed and b"w@gmail.example" in listed, listed
            assert not sink.messages
            differs = g.cli("config", "diff")       # what the flag says is no change
            assert b"says what the running gateway works with" in differs.stdout, differs
            assert g.cli("reload").returncode == 0
            smtpclient.deliver(g.port, MESSAGE, sender="x@a.example", rcpts=["t@gmail.example"])
            assert b"t@gmail.example" in g.cli("queue").stdout and not sink.messages
            assert g.cli("queue", "run").returncode == 0
            sink.wait(3)


def said(*args, **named):
    return subprocess.run([str(binary()), *map(str, args)], capture_output=True, text=True,
                          timeout=90, **named)


def five_mistakes(directory):
    """All in one run, by whatever verb the file is read."""
    cases = TOP / "tests" / "cases" / "mc"
    for verb in (["run"], ["config", "check"], ["config", "import"], ["queue"]):
        r = said("-C", cases / "misspelt.mc", *verb)
        assert r.returncode == 78, (verb, r)
        found = re.findall(r'misspelt\.mc:(\d):\d+: .*did you mean "(\w+)"\?', r.stderr)
        assert found == [("3", "confDELIVERY_MODE"), ("4", "confTO_HELO"), ("5", "Name"),
                         ("5", "Addr"), ("6", "mailertable")], (verb, r)


def import_and_check(directory):
    cases = TOP / "tests" / "cases" / "mc"
    out = Path(directory) / "capture.conf"
    r = said("config", "import", cases / "capture.mc", "-o", out)
    assert r.returncode == 0 and r.stdout == "" and r.stderr == "", r
    assert said("config", "check", "-C", out).returncode == 0
    again = said("config", "import", cases / "capture.mc", "-o", out)
    assert again.returncode == 73, again            # it replaces nothing
    from_mc = said("config", "show", "-C", cases / "capture.mc")
    native = said("config", "show", "-C", out)
    assert from_mc.returncode == 0, from_mc
    assert values(from_mc.stdout) == values(native.stdout)
    r = said("config", "check", "-C", cases / "capture.cf")
    assert r.returncode == 0 and "read instead of" in r.stderr, r
    for args in (["config", "check", f"-C{out}"], [f"-C{out}", "config", "check"]):
        r = said(*args)             # as sendmail's users write it; no letter to "config"
        assert r.returncode == 0 and "good" in r.stdout, r
    r = said("config", "check", "-C", Path(directory) / "none.cf")
    assert r.returncode == 66 and "give the .mc it was made from" in r.stderr, r


def only_db_is_left(directory):
    """Tables as sendmail had them: what is missing is said with what to do about it."""
    where = Path(directory)
    (where / "mailertable.db").touch()
    (where / "virt").write_text("/^(.*)@x/ $1@y.example\n")
    conf = where / "postern.conf"
    conf.write_text('hostname = "h.example"\npostmaster = "p@h.example"\n'
                    f'spool {{ directories = {{"{where}"}} }}\n'
                    'listen "mx" { address = {"127.0.0.1:2525"} }\n'
                    f'route {{ mailertable = "hash:{where}/mailertable"\n'
                    f'  access = "hash:{where}/access"  virtusertable = "regex:{where}/virt" }}\n')
    r = said("config", "check", "--files", "-C", conf)
    assert r.returncode == 78, r
    for text in (rf"conf:5:23: {where}/mailertable: only {where}/mailertable\.db is there.*"
                 r"makemap -u hash", rf"conf:6:12: {where}/access: .*No such file",
                 rf"{where}/virt:1: .*a pattern does not: use text:"):
        assert len(re.findall(text, r.stderr)) == 1, (text, r.stderr)


def values(shown):
    return [line.split("  # ")[0] for line in shown.splitlines()]


def main():
    report = Report()
    for case in (side_by_side, queue_only_by_flag, five_mistakes, import_and_check,
                 only_db_is_left):
        with temp.Dir("mc") as d:
            report.run(case.__name__, case, d)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
