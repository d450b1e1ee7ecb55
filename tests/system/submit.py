#!/usr/bin/env python3
"""sendmail's face: the calls that programs make, real programs that make them, what ends in the
gateway and what in the submission spool, and that nothing that was taken is lost."""
import os
import pwd
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, proc, temp                       # noqa: E402
from lib.gateway import Gateway, Word, binary                # noqa: E402
from lib.peers import fetch                             # noqa: E402
from lib.report import Report, Skip                     # noqa: E402
from lib.sink import Sink                               # noqa: E402
from lib.waiting import until                           # noqa: E402

ROOT = os.geteuid() == 0
OTHER = 33                      # www-data: an ordinary user, and not the gateway's


NO_USER = {"no.example": "error:5.1.1:550 no such user here"}


class Face:
    """A gateway with a sink behind it, and a directory with the program under sendmail's names."""

    def __init__(self, where, mailertable=None, **options):
        self.where = where
        self.sink = Sink().start()
        # Mail for users of this host goes on to the sink, too.
        (where / "virtual").write_text("@gateway.example %1@here.example\n")
        options.setdefault("route", {})["virtusertable"] = f"text:{where}/virtual"
        self.gateway = Gateway(where / "g", smart_host=("127.0.0.1", self.sink.port),
                               mailertable=mailertable, options=options)
        self.bin = where / "bin"
        self.bin.mkdir()
        for name in ("sendmail", "mailq"):
            (self.bin / name).symlink_to(binary())
        (where / "home").mkdir()
        # What submitters are told is sendmail: it knows its configuration.
        self.path = temp.script(where / "sendmail", "#!/bin/sh\n"
                                f'exec {self.bin}/sendmail -C {self.gateway.conf} "$@"\n')

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *what):
        self.gateway.__exit__(*what)
        self.sink.stop()

    @property
    def spool(self):
        return self.gateway.dir / "spool" / "submit"

    def waiting(self):
        return [p for p in self.spool.iterdir() if p.name.startswith("m-")]

    def run(self, *args, data=b"", uid=None, timeout_s=90, **env):
        who = dict(user=uid, group=uid, extra_groups=[]) if uid is not None else {}
        return subprocess.run([self.path, *args], input=data, capture_output=True,
                              timeout=timeout_s, cwd="/",
                              env={**os.environ, "HOME": str(self.where / "home"), **env}, **who)

    def submit(self, *args, data, rcpts, sender=None, body=None, uid=None):
        """One that must arrive, with this envelope and body; the message."""
        before = len(self.sink.messages)
        r = self.run(*args, data=data, uid=uid)
        assert r.returncode == 0, (args, r)
        assert r.stdout == b"" and r.stderr == b"", (args, r)
        m = self.sink.wait(before + 1)[-1]
        assert sorted(m.recipients) == sorted(rcpts), (args, m.recipients, rcpts)
        if sender is not None:
            assert m.sender == sender, (args, m.sender, sender)
        if body is not None:
            assert m.body == body, (args, m.body, body)
        return m


def me():
    return pwd.getpwuid(os.getuid()).pw_name


def field(message, name):
    """The values of a header field, unfolded."""
    text = re.sub(rb"\r\n[ \t]+", b" ", message.headers).decode()
    return re.findall(rf"(?mi)^{name}:[ \t]*(.*?)\r?$", text)


# --- the calls of section 8 ---

LETTER = b"To: u@to.example\nCc: Carl <c@to.example>\nBcc: b@to.example\nSubject: s\n\nbody\n"


def calls(where):
    with Face(where) as f:
        own = f"{me()}@gateway.example"
        everybody = ["u@to.example", "c@to.example", "b@to.example"]
        m = f.submit("-t", "-i", data=LETTER, rcpts=everybody, sender=own, body=b"body\r\n")
        assert not field(m, "Bcc") and field(m, "Subject") == ["s"], m.headers
        assert len(field(m, "Date")) == len(field(m, "Message-Id")) == 1, m.headers
        assert own in field(m, "From")[0], m.headers
        received = field(m, "Received")[0]
        assert received.startswith(f"(from {me()}@localhost) by gateway.example"), received
        assert m.headers.startswith(b"Received: "), m.headers
        f.submit("-t", "-oi", "-oem", data=LETTER, rcpts=everybody, sender=own)
        f.submit("-oi", "-f", "s@from.example", "--", "u@to.example", "-dash@to.example",
                 data=b"\nx\n", rcpts=["u@to.example", "-dash@to.example"],
                 sender="s@from.example")
        m = f.submit("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root",
                     data="From: root (Cron Daemon)\nTo: root\n\nöl\n".encode(),
                     rcpts=["root@here.example"], body="öl\r\n".encode())
        assert field(m, "From") == ["root (Cron Daemon)"] and b"8BITMIME" in m.mail, m
        f.submit("-i", "-f", "git@from.example", "u@to.example", data=LETTER,
                 rcpts=["u@to.example"], sender="git@from.example")
        f.submit("-t", "-i", "-fwww@from.example", data=LETTER, rcpts=everybody,
                 sender="www@from.example")
        f.submit("-i", "-r", "r@from.example", "u@to.example", data=b"x\n",
                 rcpts=["u@to.example"], sender="r@from.example")
        f.submit("-i", "-f", "<>", "u@to.example", data=b"x\n", rcpts=["u@to.example"], sender="")
        f.submit("-t", "more@to.example", data=LETTER, rcpts=everybody + ["more@to.example"])
        f.submit("-t", data=b"To: undisclosed-recipients:;\nBcc: b@to.example\n\nx\n",
                 rcpts=["b@to.example"])
        f.submit("-t", data=b"To: u@to.example\nResent-To: r@to.example\n\nx\n",
                 rcpts=["r@to.example"])
        f.submit("a@to.example, Bob <b@to.example>", "c@to.example", data=b"x\n",
                 rcpts=["a@to.example", "b@to.example", "c@to.example"])
        f.submit("-n", "-m", "-G", "-s", "-c", "-e", "m", "-odi", "-Ac", "-d0.1", "u@to.example",
                 data=b"x\n", rcpts=["u@to.example"])


def parameters(where):
    with Face(where) as f:
        m = f.submit("-N", "success,delay", "-R", "hdrs", "-V", "ENV1", "u@to.example",
                     data=b"x\n", rcpts=["u@to.example"])
        assert b"NOTIFY=SUCCESS,DELAY" in m.rcpts[0], m.rcpts
        assert b"RET=HDRS" in m.mail and b"ENVID=ENV1" in m.mail, m.mail
        m = f.submit("-Nnever", "-Rfull", "u@to.example", data=b"x\n", rcpts=["u@to.example"])
        assert b"NOTIFY=NEVER" in m.rcpts[0] and b"RET=FULL" in m.mail, m
        m = f.submit("-F", "Joe, the \"Doe\"", "-f", "joe@from.example", "u@to.example",
                     data=b"x\n", rcpts=["u@to.example"])
        assert field(m, "From") == ['"Joe, the \\"Doe\\"" <joe@from.example>'], m.headers
        m = f.submit("u@to.example", data=b"Full-Name: Jane Doe\n\nx\n", rcpts=["u@to.example"])
        assert field(m, "From")[0].startswith("Jane Doe <"), m.headers
        assert not field(m, "Full-Name"), m.headers


def content(where):
    """Bytes are the sender's, but for what sendmail takes away."""
    with Face(where) as f:
        def body(data, want, *flags):
            f.submit(*flags, "u@to.example", data=data, rcpts=["u@to.example"], body=want)
        body(b"A: b\n\none\r\ntwo\n", b"one\r\ntwo\r\n")
        body(b"A: b\n\none\n.\ntwo\n", b"one\r\n")
        body(b"A: b\n\none\n.\n..\n.x\n", b"one\r\n.\r\n..\r\n.x\r\n", "-i")
        body(b"A: b\n\none\n.\n", b"one\r\n.\r\n", "-oi")
        body(b"no header\nat all\n", b"no header\r\nat all\r\n")
        body(b"A: b\nno field\nmore\n", b"no field\r\nmore\r\n")
        body(b"From joe Mon Jan  1\nA: b\n\nFrom x\n", b"From x\r\n")
        body(b"A: b\n\nno end", b"no end\r\n")
        body(b"A: b\n\n10%\r20%\r\n", b"10%\r\n20%\r\n")
        body(b"A: b\n\n\0nul \xff\xfe\n", b"\0nul \xff\xfe\r\n")
        body(b"A: b\n\n" + b"x" * 5000 + b"\n", b"x" * 5000 + b"\r\n")
        big = b"".join(b"%07d %s\n" % (i, b"y" * 70) for i in range(120000))
        body(b"A: b\n\n" + big, big.replace(b"\n", b"\r\n"), "-i")  # does not stay in memory
        many = [f"u{i}@to.example" for i in range(1500)]                # and beyond one transaction
        before = len(f.sink.messages)
        r = f.run("-t", data=b"To: " + ",\n ".join(many).encode() + b"\n\nx\n")
        assert r.returncode == 0, r

        def got():
            return [a for m in f.sink.messages[before:] for a in m.recipients]
        until(lambda: len(got()) >= len(many), why=lambda: len(got()))
        assert sorted(got()) == sorted(many), len(got())


def refusals(where):
    """What is wrong: the words and the exit codes."""
    with Face(where) as f:
        def no(code, text, *args, data=b"x\n", err=True):
            r = f.run(*args, data=data)
            assert r.returncode == code, (args, r)
            assert text in (r.stderr if err else r.stdout).decode(), (args, r)
        for c in "xJEkWZ":
            no(64, f"sendmail: illegal option -- {c}", f"-{c}")
        no(64, "Frozen configurations unsupported", "-bz")
        no(64, "Invalid operation mode Q", "-bQ")
        no(64, "Invalid -N argument", "-N", "sometimes", "u@x.example")
        no(64, "Invalid -R value", "-R", "some", "u@x.example")
        no(64, "Illegal body type 9", "-B", "9", "u@x.example")
        no(70, 'readcf: unknown option name DelieryMode; did you mean "DeliveryMode"?',
           "-O", "DelieryMode=q", "u@x.example")
        no(72, "No such file or directory", f"-C{where}/none.mc", "u@x.example")
        (where / "bad.mc").write_text("define(`confDELIERY_MODE',`queueonly')dnl\n")
        no(78, 'did you mean "confDELIVERY_MODE"?', f"-C{where}/bad.mc", "u@x.example")
        no(64, "", "-U", "u@x.example")
        no(64, "Recipient names must be specified")
        no(69, "Too many hops 300 (100 max)", "-h", "300", "u@x.example", err=False)
        no(0, "No recipient addresses found in header", "-t", data=b"Subject: x\n\nx\n", err=False)
        no(64, "Hostname required", "-oep", "u@", err=False)
        no(64, "Unbalanced '<'", "<u@x.example", err=False)
        assert not f.sink.messages
        # One bad address keeps nobody else's mail.
        r = f.run("-t", data=b"To: bad@, good@to.example\n\nx\n")
        assert r.returncode == 64 and b"Hostname required" in r.stdout, r
        assert f.sink.wait(1)[0].recipients == ["good@to.example"]


def errors(where):
    """A refused recipient, by error mode."""
    with Face(where, mailertable=NO_USER) as f:
        with ports.sole(f"dead-letter-{os.getuid()}"):
            dead_letter(f)
        back = f"{me()}@here.example"
        for mode, code in (("-oem", 67), ("-oew", 67), ("-oee", 0)):
            before = len(f.sink.messages)
            r = f.run("-i", mode, "u@no.example", "v@to.example", data=b"Subject: back\n\nx\n")
            assert r.returncode == code and r.stdout == b"", r
            new = f.sink.wait(before + 2)[before:]
            report = [m for m in new if m.sender == ""]
            assert len(report) == 1 and report[0].recipients == [back], new
            assert b"no such user here" in report[0].data and b"5.1.1" in report[0].data
            assert [m.recipients for m in new if m.sender] == [["v@to.example"]]


def dead_letter(f):
    dead = Path(pwd.getpwuid(os.getuid()).pw_dir) / "dead.letter"
    was = dead.read_bytes() if dead.exists() else None
    try:
        for mode in ("-oep", "-oeq"):
            r = f.run("-i", mode, "u@no.example", data=b"Subject: dead\n\nFrom here\n")
            assert r.returncode == 67, r
            assert (b"no such user here" in r.stdout) == (mode == "-oep"), r
        said = f.run("u@no.example", data=b"x\n").stdout
        if os.access(dead.parent, os.W_OK):
            assert b"Saved message in" in said, said
            assert b">From here" in dead.read_bytes()[len(was or b""):]
        else:
            assert b"Cannot save message" in said, said
    finally:
        if was is not None:
            dead.write_bytes(was)
        elif dead.exists():
            dead.unlink()
    assert not f.sink.messages


def verbose(where):
    with Face(where) as f:
        trace = where / "trace"
        r = f.run("-v", "-X", str(trace), "u@to.example", data=b"x\n")
        out = r.stdout.decode()
        assert r.returncode == 0, r
        assert re.search(r"^u@to.example... Connecting to .* via local...$", out, re.M), out
        assert re.search(r"^>>> MAIL FROM:<", out, re.M) and ">>> RCPT TO:<u@to.example>" in out
        assert re.search(r"^u@to.example... Sent \(\w+ Message accepted for delivery\)$", out,
                         re.M), out
        lines = trace.read_text().splitlines()
        assert re.match(r"^\d+ === CONNECT ", lines[0]) and any(">>> EHLO" in x for x in lines)


def queue_only(where):
    """-odq waits for a queue run, -odb does not."""
    with Face(where) as f:
        assert f.run("-odq", "w@to.example", data=b"x\n").returncode == 0
        f.submit("-odb", "n@to.example", data=b"x\n", rcpts=["n@to.example"])
        time.sleep(0.5)
        assert len(f.sink.messages) == 1
        assert f.gateway.cli("queue", "run").returncode == 0
        assert f.sink.wait(2)[1].recipients == ["w@to.example"]


# --- SMTP on standard input and output ---

def smtp_on_a_pipe(where):
    with Face(where) as f:
        dialogue = (b"EHLO x\nMAIL FROM:<a@from.example>\nRCPT TO:<u@to.example>\nDATA\n"
                    b"Subject: s\n\n.x\n..\n.\nNOOP\nQUIT\n")
        for data in (dialogue, dialogue.replace(b"\n", b"\r\n")):
            before = len(f.sink.messages)
            r = f.run("-bs", data=data)
            codes = [line[:3] for line in r.stdout.split(b"\r\n") if line[3:4] == b" "]
            assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"221"], r
            m = f.sink.wait(before + 1)[-1]
            assert m.body == b"x\r\n.\r\n" and m.sender == "a@from.example", m
        r = f.run("-bs", data=dialogue[:60])            # breaks off in the middle
        assert r.returncode == 0
        r = f.run("-bs", data=b"EHLO x\nMAIL FROM:<a@b.example>\nRCPT TO:<u@to.example>\n"
                              b"BDAT 9\n0123456\r\nBDAT 3 LAST\nb\r\nQUIT\n")
        assert f.sink.wait(3)[-1].data.endswith(b"0123456\r\nb\r\n"), r
        r = f.run("-bs", data=b"EHLO x\nMAIL FROM:<a@b.example>\nRCPT TO:<u@to.example>\n"
                              b"BDAT 9 LAST\n0123")    # so may a chunk: nobody waits for its rest
        assert r.returncode == 0 and len(f.sink.messages) == 3, r
        f.gateway.stop()                                # now our own small server answers
        r = f.run("-bs", data=dialogue.replace(b"u@to", b"away@to"))
        codes = [line[:3] for line in r.stdout.split(b"\r\n") if line[3:4] == b" "]
        assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"221"], r
        assert len(f.waiting()) == 1
        assert f.run("-bs", data=dialogue[:60]).returncode == 0 and len(f.waiting()) == 1
        f.gateway.start()
        m = f.sink.wait(4)[-1]
        assert m.recipients == ["away@to.example"] and m.body == b"x\r\n.\r\n", m
        import smtplib                                   # a caller that waits for each reply
        class Pipe(smtplib.SMTP):
            def _get_socket(self, *_):
                return sock
        import socket
        sock, end = socket.socketpair()
        child = subprocess.Popen([f.path, "-bs"], stdin=end, stdout=end)
        end.close()
        with Pipe("x") as smtp:
            smtp.sendmail("a@from.example", ["v@to.example"], b"Subject: s\r\n\r\nx\r\n")
        assert child.wait(90) == 0
        assert f.sink.wait(5)[-1].recipients == ["v@to.example"]


# --- who it is ---

def identities(where):
    """An ordinary user is named in Received and, where he names another sender, in a warning."""
    if not ROOT:
        raise Skip("needs root, to be somebody else")
    with Face(where) as f:
        warning = "X-Authentication-Warning"
        m = f.submit("-i", "u@to.example", data=b"x\n", rcpts=["u@to.example"], uid=OTHER,
                     sender="www-data@gateway.example")
        assert field(m, "Received")[0].startswith("(from www-data@localhost)"), m.headers
        assert not field(m, warning), m.headers
        m = f.submit("-fx@y.example", "u@to.example", data=b"x\n", rcpts=["u@to.example"],
                     uid=OTHER, sender="x@y.example")
        assert field(m, warning) == [
            "gateway.example: www-data set sender to x@y.example using -f"], m.headers
        m = f.submit("-fx@y.example", "u@to.example", data=b"x\n", rcpts=["u@to.example"])
        assert not field(m, warning), m.headers          # root is trusted
        m = f.submit("u@to.example", data=b"x\n", rcpts=["u@to.example"], uid=54321)
        assert field(m, "Received")[0].startswith("(from uid54321@localhost)"), m.headers
        f.gateway.wait_log(r"from=<x@y.example>.*proto=local.*relay=www-data@localhost")


# --- without a gateway ---

def helper(f):
    """What an installation has: programs of its own, the helper set-gid. As the group of the
    gateway's user stands for that of the helper, which need not exist here."""
    for name in ("postern", "postern-drop"):
        source = binary().parent / name
        if not source.exists():
            raise Skip(f"{source} is not built")
        subprocess.run(["cp", source, f.bin / name], check=True)    # see temp.script
    (f.bin / "sendmail").unlink()
    (f.bin / "sendmail").symlink_to("postern")
    shutil.chown(f.bin / "postern-drop", group=f.spool.stat().st_gid)
    os.chmod(f.bin / "postern-drop", 0o2755)


def spooled(where):
    """The gateway is down: the message waits in the submission spool and arrives later."""
    with Face(where) as f:
        f.gateway.stop()
        mode = f.spool.stat().st_mode
        assert stat.S_IMODE(mode) == 0o1770, oct(mode)
        r = f.run("-t", "-f", "s@from.example", "-Nnever", "-V", "E1",
                  data=LETTER.replace(b"body", b"spooled"))
        assert r.returncode == 0 and not r.stdout, r
        assert len(f.waiting()) == 1
        assert stat.S_IMODE(f.waiting()[0].stat().st_mode) == 0o444
        r = f.run("-v", "later@to.example", data=b"x\n")
        assert b"queued in" in r.stdout, r
        f.gateway.start()
        got = {m.body: m for m in f.sink.wait(2)}
        m = got[b"spooled\r\n"]
        assert sorted(m.recipients) == ["b@to.example", "c@to.example", "u@to.example"]
        assert m.sender == "s@from.example" and b"ENVID=E1" in m.mail, m.mail
        assert all(b"NOTIFY=NEVER" in r for r in m.rcpts), m.rcpts
        assert field(m, "Received")[0].startswith(f"(from {me()}@localhost)"), m.headers
        empty(f)


def empty(f):
    until(lambda: not f.waiting(), why=f.waiting)


def spooled_by_another(where):
    """An ordinary user cannot write there, and the set-gid helper does it for him."""
    if not ROOT:
        raise Skip("needs root, to be somebody else and to make a set-gid file")
    with Face(where) as f:
        f.gateway.stop()
        r = f.run("u@to.example", data=b"x\n", uid=OTHER)
        if not (binary().parent / "postern-drop").exists():
            raise Skip("postern-drop is not built")
        assert r.returncode == 75 and b"not accepted" in r.stdout, r    # no set-gid bit: honest
        helper(f)
        if os.statvfs(f.bin).f_flag & os.ST_NOSUID:
            raise Skip(f"{f.bin} is on a file system without set-gid")
        r = f.run("-fx@y.example", "u@to.example", data=b"x\n", uid=OTHER)
        if b"LeakSanitizer" in r.stderr:
            raise Skip("a build with sanitizers cannot look at its own set-gid process")
        assert r.returncode == 0, r
        assert f.waiting()[0].stat().st_uid == OTHER
        for args in (["/tmp"], [str(f.where)], ["relative"], []):   # nothing else can be reached
            p = subprocess.run([f.bin / "postern-drop", *args], input=b"x", capture_output=True,
                               user=OTHER, group=OTHER, extra_groups=[])
            assert p.returncode in (64, 77), (args, p)
        f.gateway.start()
        m = f.sink.wait(1)[0]
        assert field(m, "Received")[0].startswith("(from www-data@localhost)"), m.headers
        assert field(m, "X-Authentication-Warning"), m.headers


def strange_files(where):
    """What does not belong there is set aside with an alarm, and the others go on."""
    with Face(where) as f:
        f.gateway.stop()
        assert f.run("u@to.example", data=b"good\n").returncode == 0
        good = f.waiting()[0].read_bytes()
        bad = {"m-empty": b"", "m-noise": os.urandom(5000), "m-cut": good[:-3],
               "m-long": good + b"x", "m-magic": b"postern-submit 9" + good[16:]}
        for name, data in bad.items():
            (f.spool / name).write_bytes(data)
        (f.spool / "m-dir").mkdir()
        (f.spool / "m-link").symlink_to("/etc/passwd")
        (f.spool / "other").write_bytes(b"left alone")
        (f.spool / "tmp-old").write_bytes(b"x")
        os.utime(f.spool / "tmp-old", (1, 1))
        (f.spool / "tmp-new").write_bytes(b"x")
        f.gateway.start()
        f.sink.wait(1)
        empty(f)
        want = {f"bad-{n}" for n in [*bad, "m-dir"]} | {"other", "tmp-new"}
        until(lambda: "tmp-old" not in os.listdir(f.spool))
        names = set(os.listdir(f.spool))
        assert names - {"bad-m-link"} == want, (names, want)
        events = f.gateway.wait_events("submission_bad", len(bad) + 2)
        assert {e["path"] for e in events} == {*bad, "m-dir", "m-link"}, events
        assert len(f.sink.messages) == 1


def refused_later(where):
    """What the gateway refuses when it is there again goes back to who sent it."""
    with Face(where, mailertable=NO_USER) as f:
        f.gateway.stop()
        r = f.run("-fback@to.example", "u@no.example", "v@to.example", data=b"Subject: q\n\nx\n")
        assert r.returncode == 0, r
        f.gateway.start()
        got = f.sink.wait(2)
        report = [m for m in got if m.sender == ""][0]
        assert report.recipients == ["back@to.example"] and b"no such user here" in report.data
        assert [m.recipients for m in got if m.sender] == [["v@to.example"]]
        empty(f)


def killed(where):
    """kill -9 of pickup, smtpd, qmgr and of sendmail itself, again and again: what exited 0
    arrives, whatever way it went."""
    dice = random.Random(int(os.environ.get("SEED", "7")))
    with Face(where, processes={"restart_first": Word("10ms"),
                                "restart_max": Word("100ms")}) as f:
        taken, lock, stop = [], threading.Lock(), threading.Event()

        def submitter(k):
            for i in range(25):
                name = f"k{k}-{i}"
                p = subprocess.Popen([f.path, "-i", f"{name}@to.example"], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                if dice.random() < 0.2:
                    threading.Timer(dice.random() * 0.02, p.kill).start()
                try:
                    p.communicate(b"Subject: %s\n\n" % name.encode() +
                                  b"z" * dice.randrange(300000))
                except BrokenPipeError:
                    p.wait()
                if p.returncode == 0:
                    with lock:
                        taken.append(name)

        def killer():
            while not stop.is_set():
                time.sleep(0.15)
                roles = f.gateway.roles()
                pids = [p for r in ("pickup", "pickup", "smtpd", "qmgr") for p in roles.get(r, [])]
                if pids:
                    try:
                        os.kill(dice.choice(pids), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        threads = [threading.Thread(target=submitter, args=(k,)) for k in range(4)]
        killing = threading.Thread(target=killer)
        for t in threads:
            t.start()
        killing.start()
        for t in threads:
            t.join()
        stop.set()
        killing.join()
        assert len(taken) > 40, len(taken)
        end = time.monotonic() + 120
        want, got = {f"{n}@to.example" for n in taken}, set()
        while not want <= got:
            assert time.monotonic() < end, (sorted(want - got)[:5], len(want), f.waiting())
            time.sleep(0.2)
            f.gateway.cli("queue", "run")
            got = {a for m in list(f.sink.messages) for a in m.recipients}
        whole = {m.recipients[0]: m for m in f.sink.messages}
        assert all(set(m.body) <= {ord("z"), 13, 10} for m in whole.values())
        empty(f)


# --- the gateway as sendmail's daemon ---

def daemon(where):
    """-bd returns when it is up, or says why not; -bD stays; -q30m goes with it."""
    f = Face(where)
    f.gateway.dir.mkdir()
    f.gateway.configure()
    r = f.run("-bd", "-q15m", timeout_s=120)
    try:
        assert r.returncode == 0 and not r.stderr, r
        f.submit("u@to.example", data=b"x\n", rcpts=["u@to.example"])
        again = f.run("-bd")
        assert again.returncode == 71 and b"another gateway answers" in again.stderr, again
        p = subprocess.run([binary(), "-C", str(f.gateway.conf), "-bd", "-q"], capture_output=True,
                           timeout=120)                  # as the posts start it
        assert p.returncode == 71 and b"another gateway answers" in p.stderr, p
    finally:
        assert f.gateway.cli("stop").returncode == 0
    f.gateway.conf.write_text("hostnam = 1\n")
    r = f.run("-bd")
    assert r.returncode == 78 and b"did you mean" in r.stderr, r
    f.gateway.configure()
    p = subprocess.Popen([f.path, "-bD"], stderr=subprocess.DEVNULL)
    f.gateway.wait_log(r"(?s)starting daemon.*starting daemon", timeout_s=90)
    proc.stop(p, 60)
    assert p.returncode == 0
    f.sink.stop()


# --- real submitters ---

def peer(name, path):
    try:
        program, env = fetch.program(name, path)
    except fetch.Unavailable as e:
        raise Skip(e)
    return program, {**os.environ, **env}


def submitter(f, args, data, env=None, rcpts=("u@to.example",), body=None, sender=None):
    before = len(f.sink.messages)
    r = subprocess.run([str(a) for a in args], input=data, capture_output=True, timeout=120,
                       env={**(env or os.environ), "HOME": str(f.where / "home")}, cwd="/")
    assert r.returncode == 0, r
    m = f.sink.wait(before + 1)[-1]
    assert sorted(m.recipients) == sorted(rcpts), (m.recipients, r)
    if sender:
        assert m.sender == sender, m.sender
    if body is not None:
        assert m.body == body, m.body
    return m


TEXT = "Grüße\n.\nFrom here\n.dot\n".encode()
WIRE = TEXT.replace(b"\n", b"\r\n")


def mailx(where):
    program, env = peer("bsd-mailx", "usr/bin/bsd-mailx")
    with Face(where) as f:
        rc = where / "mailrc"
        rc.write_text(f"set sendmail={f.path}\nset sendcharsets=utf-8\n")
        env = {**env, "MAILRC": str(rc)}
        submitter(f, [program, "-s", "subject", "u@to.example"], b"plain\n", env, body=b"plain\r\n")
        submitter(f, [program, "-s", "s", "-r", "r@from.example", "u@to.example"], b"plain\n", env,
                  sender="r@from.example")


def nail(where):
    program, env = peer("s-nail", "usr/bin/s-nail")
    with Face(where) as f:
        m = submitter(f, [program, "-n", "-S", f"mta={f.path}", "-S", "ttycharset=utf-8", "-s", "s",
                          "-S", "from=n@from.example", "-r", "n@from.example", "u@to.example"],
                      TEXT, env, sender="n@from.example")
        assert field(m, "Subject") == ["s"], m.headers


def php(where):
    program, env = peer("php", "usr/bin/php8.2")
    with Face(where) as f:
        code = ('exit(mail("u@to.example", "subject", "line one\\nline two\\n", '
                '"From: p@from.example\\r\\nBcc: b@to.example", "-fwww@from.example") ? 0 : 1);')
        m = submitter(f, [program, "-n", "-d", f"sendmail_path={f.path} -t -i", "-r", code], b"",
                      env, rcpts=("u@to.example", "b@to.example"), sender="www@from.example")
        assert m.body.startswith(b"line one\r\nline two\r\n"), m.body
        assert not field(m, "Bcc") and field(m, "From") == ["p@from.example"], m.headers


def mutt(where):
    program, env = peer("mutt", "usr/bin/mutt")
    with Face(where) as f:
        m = submitter(f, [program, "-n", "-F", "/dev/null", "-e",
                          f'set sendmail="{f.path} -oem -oi"', "-e", "set from=m@from.example",
                          "-e", "set use_envelope_from=yes", "-e", "set copy=no", "-e",
                          "set charset=utf-8", "-s", "s", "-b", "b@to.example", "--",
                          "u@to.example"],
                      TEXT, {**env, "TERM": "dumb"}, rcpts=("u@to.example", "b@to.example"),
                      sender="m@from.example")
        assert not field(m, "Bcc"), m.headers


def git(where):
    program, env = peer("git-email", "usr/lib/git-core/git-send-email")
    if not shutil.which("git") or not shutil.which("perl"):
        raise Skip("needs git and perl")
    lib = fetch.root_of("git-email") / "usr/share/perl5"
    with Face(where) as f:
        patch = where / "0001-change.patch"
        patch.write_bytes(b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n"
                          b"From: G <g@from.example>\nDate: Fri, 20 Nov 2026 08:00:00 +0000\n"
                          b"Subject: [PATCH] change\n\nWhy.\n---\n a | 1 +\n\n.\n-- \n2.39\n")
        m = submitter(f, ["perl", f"-I{lib}", program, "--quiet", "--no-validate",
                          "--sendmail-cmd", f"{f.path} -i", "--from", "g@from.example",
                          "--envelope-sender", "g@from.example", "--to", "u@to.example",
                          "--suppress-cc=all", "--confirm=never", patch],
                      b"", {**env, "GIT_CONFIG_NOSYSTEM": "1",
                            "GIT_COMMITTER_NAME": "G", "GIT_COMMITTER_EMAIL": "g@from.example",
                            "GIT_AUTHOR_NAME": "G", "GIT_AUTHOR_EMAIL": "g@from.example"},
                      sender="g@from.example")
        assert b"\r\n.\r\n-- \r\n2.39\r\n" in m.body, m.body


def perl(where):
    peer("mime-lite", "usr/share/perl5")
    if not shutil.which("perl"):
        raise Skip("needs perl")
    lib = fetch.root_of("mime-lite") / "usr/share/perl5"
    with Face(where) as f:
        code = ('my $m = MIME::Lite->new(From => q{p@from.example}, To => q{u@to.example}, '
                'Bcc => q{b@to.example}, Subject => q{s}, Data => qq{one\\n.\\ntwo\\n}); '
                f'$m->send(q{{sendmail}}, q{{{f.path} -t -oi -oem}}) or die;')
        m = submitter(f, ["perl", f"-I{lib}", "-MMIME::Lite", "-e", code], b"",
                      rcpts=("u@to.example", "b@to.example"))
        assert b"one\r\n.\r\ntwo\r\n" in m.body and not field(m, "Bcc"), m.data
        code = (f'$ENV{{PERL_MAILERS}} = q{{sendmail:{f.path}}}; require Mail::Mailer; '
                'my $m = Mail::Mailer->new(q{sendmail}); '
                '$m->open({To => q{u@to.example}, From => q{q@from.example}, Subject => q{s}}); '
                'print $m qq{hello\\n}; $m->close or die;')
        submitter(f, ["perl", f"-I{lib}", "-e", code], b"", body=b"hello\r\n")


def msmtp(where):
    """An SMTP client that can speak over a UNIX socket: ours."""
    if not shutil.which("msmtp"):
        raise Skip("needs msmtp")
    with Face(where) as f:
        m = submitter(f, ["msmtp", "--file=/dev/null", "--host=localhost",
                          f"--socket={f.gateway.dir}/submit", "--from=ms@from.example", "--",
                          "u@to.example"], b"Subject: s\n\n" + TEXT, body=WIRE,
                      sender="ms@from.example")
        assert field(m, "Received")[0].startswith(f"(from {me()}@localhost)"), m.headers


CASES = (calls, parameters, content, refusals, errors, verbose, queue_only, smtp_on_a_pipe,
         identities, spooled, spooled_by_another, strange_files, refused_later, killed, daemon,
         mailx, nail, php, mutt, git, perl, msmtp)


def main():
    return Report().cases("submit", CASES, at_once=4)


if __name__ == "__main__":
    sys.exit(main())
