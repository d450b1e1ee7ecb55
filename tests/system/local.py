#!/usr/bin/env python3
"""Deliveries on this host: Maildir, mbox with its locks, programs, aliases to programs and files,
LMTP servers on ports and sockets; each as its recipient's user; nothing lost when the delivering
process is killed. As root with users of the system, and again as an ordinary user.
tests/run: anyone
tests/run: first"""
import mailbox
import os
import pwd
import random
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient, temp                    # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.lmtp import LmtpServer                     # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.waiting import until                       # noqa: E402

ROOT = os.geteuid() == 0
# Users every Debian has; as an ordinary user there is only oneself.
ANN, BOB = ("games", "news") if ROOT else (pwd.getpwuid(os.geteuid()).pw_name, None)
BODY = b"Subject: one\r\n\r\nhello\r\n.dot\r\nFrom me\r\n>From you\r\n\xff\r\n"
BODY_LF = b"\n\nhello\n.dot\nFrom me\n>From you\n\xff\n"

LONG = os.environ.get("POSTERN_LONG") == "1"
KILLS = 40 if LONG else 10


def gateway(where, how, local=None, aliases=None, route=None, mailertable=None):
    (where / "aliases").write_text(aliases or "")
    return Gateway(where, mailertable=mailertable, options={
        "route": {"local": ["here.example", "there.example"], "local_delivery": how,
                  "local_users": "any", "aliases": f"text:{where}/aliases", **(route or {})},
        "local": local or {},
        "deliver": {"idle": Word("1m")},
        "retry": {"first": Word("1s"), "max": Word("1s")}})


def send(g, *users, body=BODY, sender="a@client.example"):
    reply = smtpclient.deliver(g.port, body, sender=sender,
                               rcpts=[f"{u}@here.example" for u in users])
    assert reply.code == 250, reply


def event(g, name, user, **fields):
    """The last such event of this recipient, waited for."""
    def look():
        found = [e for e in g.events() if e["event"] == name and e.get("to") ==
                 f"{user}@here.example" and all(e.get(k) == v for k, v in fields.items())]
        return found[-1] if found else None
    return until(look)


def own_dir(path, user, mode=0o700):
    path.mkdir(parents=True)
    os.chmod(path, mode)
    if ROOT:
        os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    return path


def as_user(user, function):
    """Runs it in a child that is that user; True when it returns true there."""
    pid = os.fork()
    if pid == 0:
        try:
            if ROOT:
                p = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(p.pw_gid)
                os.setuid(p.pw_uid)
            os._exit(0 if function() else 1)
        except BaseException as e:                  # whatever it is, this child ends here
            print("#", e, file=sys.stderr)
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def check_owner(path, user, mode):
    s = os.stat(path)
    assert s.st_uid == pwd.getpwnam(user).pw_uid, (path, s)
    assert stat.S_IMODE(s.st_mode) == mode, (path, oct(s.st_mode))
    return s


def maildir(where):
    for user in filter(None, (ANN, BOB)):
        own_dir(where / "home" / user, user, 0o755)
    with gateway(where, f"maildir:{where}/home/%u/Maildir/") as g:
        send(g, f"{ANN}+detail", *filter(None, [BOB]))
        event(g, "delivered", f"{ANN}+detail", mailer="local", dsn="2.0.0")
        box = where / "home" / ANN / "Maildir"
        check_owner(box, ANN, 0o700)
        names = [p for p in (box / "new").iterdir()]
        assert len(names) == 1 and not list((box / "tmp").iterdir()), names
        s = check_owner(names[0], ANN, 0o600)
        assert s.st_gid == pwd.getpwnam(ANN).pw_gid
        assert f",S={s.st_size}" in names[0].name, names
        text = names[0].read_bytes()
        assert text.startswith(b"Return-Path: <a@client.example>\n"), text
        assert f"\nDelivered-To: {ANN}+detail@here.example\n".encode() in text, text
        assert text.endswith(BODY_LF) and b"\r" not in text, text   # no byte is changed
        message = mailbox.Maildir(str(box)).values()[0]
        assert message["Subject"] == "one", message
        if BOB:
            assert event(g, "delivered", BOB)
            other = next((where / "home" / BOB / "Maildir" / "new").iterdir())
            assert as_user(BOB, lambda: other.read_bytes())
            assert not as_user(ANN, lambda: other.read_bytes()), "read by somebody else"
        two = [f"{ANN}@{domain}.example" for domain in ("here", "there")]
        smtpclient.deliver(g.port, BODY, sender="a@client.example", rcpts=two)
        until(lambda: set(two) <= {e["to"] for e in g.events() if e["event"] == "delivered"})
        assert not [e for e in g.events() if e["event"] == "attempt"], "nobody had to be left"
        assert g.roles().get("local") is None or until(lambda: not g.roles().get("local"))


def linked_maildir(where):
    """A Maildir may be a link, to another disk maybe."""
    own_dir(where / "home" / ANN, ANN, 0o755)
    own_dir(where / "disk" / ANN, ANN, 0o755)
    (where / "home" / ANN / "Maildir").symlink_to(where / "disk" / ANN)
    with gateway(where, f"maildir:{where}/home/%u/Maildir/") as g:
        send(g, ANN)
        event(g, "delivered", ANN)
        assert len(list((where / "disk" / ANN / "new").iterdir())) == 1


def spool_dir(where):
    """As /var/mail: root's, and the group may make files."""
    box = where / "mail"
    box.mkdir()
    if ROOT:
        shutil.chown(box, "root", "mail")
        os.chmod(box, 0o2775)
    return box


def mbox(where):
    box = spool_dir(where)
    with gateway(where, f"mbox:{box}/%u", local={"lock_wait": Word("1s")}) as g:
        send(g, ANN)
        event(g, "delivered", ANN)
        check_owner(box / ANN, ANN, 0o600)
        reader = mailbox.mbox(str(box / ANN))
        reader.lock()                   # as readers do: both locks
        try:
            send(g, ANN, body=b"Subject: two\r\n\r\nx\r\n", sender="")
            said = event(g, "deferred", ANN, dsn="4.2.0")
            assert "locked" in said["reply"], said
            assert len(reader) == 1
        finally:
            reader.unlock()
            reader.close()
        until(lambda: b"Subject: two" in (box / ANN).read_bytes())
        until(lambda: delivered(g) == 2)
        got = mailbox.mbox(str(box / ANN)).values()
        assert [m["Subject"] for m in got] == ["one", "two"], got
        assert [m.get_from().split()[0] for m in got] == ["a@client.example", "MAILER-DAEMON"]
        assert got[1]["Return-Path"] == "<>"
        text = (box / ANN).read_bytes()
        assert BODY_LF.replace(b"\nFrom me", b"\n>From me") + b"\nFrom MAILER-DAEMON" in text, text
        assert not (box / f"{ANN}.lock").exists()


def many_at_once(where):
    """Deliveries to one mbox and a reader that takes its locks: every message whole, once."""
    box, n = spool_dir(where), 40 if LONG else 20
    with gateway(where, f"mbox:{box}/%u", local={"processes": 4}) as g:
        stop = threading.Event()

        def read():
            while not stop.is_set():
                if (box / ANN).exists():
                    m = mailbox.mbox(str(box / ANN), create=False)
                    try:
                        m.lock()
                        assert all(x["Subject"] for x in m.values())
                        m.unlock()
                    except mailbox.ExternalClashError:
                        pass
                    m.close()
                time.sleep(0.02)
        reader = threading.Thread(target=read)
        reader.start()
        try:
            for i in range(n):
                send(g, ANN, body=b"Subject: n%d\r\n\r\n%s" % (i, b"From x\r\n" * 2000))
            until(lambda: delivered(g) == n, 120)
        finally:
            stop.set()
            reader.join()
        got = [m["Subject"] for m in mailbox.mbox(str(box / ANN)).values()]
        assert sorted(got) == sorted(f"n{i}" for i in range(n)), got


def script(where, text):
    return temp.script(where / "script", "#!/bin/sh\n" + text)


def programs(where):
    out = own_dir(where / "out", ANN, 0o777)
    os.chmod(out, 0o777)
    prog = script(where, f'cd {out}; echo "$#:$*:$USER:$SENDER:$EXTENSION:$(id -u):$(id -G):'
                         '$(umask):$PWD" > args; cat > "got"; ls /proc/self/fd | wc -l > fds\n'
                         'read code < code; test "$code" = 0 || echo "no: $code" >&2; exit $code')
    with gateway(where, f"program:{prog} -f %s '%u x' %d") as g:
        (out / "code").write_text("0\n")
        os.chmod(out / "code", 0o666)
        send(g, f"{ANN}+$x`touch`|'*&")
        said = event(g, "delivered", f"{ANN}+$x`touch`|'*&")
        assert said["mailer"] == "local"
        uid, gid = pwd.getpwnam(ANN).pw_uid, pwd.getpwnam(ANN).pw_gid
        args = (out / "args").read_text()
        if ROOT:                        # as an ordinary user we keep the groups we have
            assert args.split(":")[6] == str(gid), args
        assert args.startswith(f"4:-f a@client.example {ANN} x $x`touch`|'*&:{ANN}:"
                               f"a@client.example:$x`touch`|'*&:{uid}:"), args
        got = (out / "got").read_bytes()
        assert got.startswith(b"From a@client.example ") and got.endswith(BODY_LF), got
        assert b"\nReturn-Path: <a@client.example>\n" in got
        assert int((out / "fds").read_text()) == 4, "open descriptors besides 0 1 2 and ls's own"
        for code, name, dsn in ((67, "failed", "5.1.1"), (77, "failed", "5.7.0"),
                                (69, "failed", "5.0.0"), (75, "deferred", "4.3.0"),
                                (1, "deferred", "4.3.0")):
            (out / "code").write_text(f"{code}\n")
            send(g, f"{ANN}+{code}", sender="a@sink.invalid")
            said = event(g, name, f"{ANN}+{code}", dsn=dsn)
            assert f"no: {code}" in said["reply"] and f"exit code {code}" in said["reply"], said
        (out / "code").write_text("0\n")
        event(g, "delivered", f"{ANN}+75")


def program_times_out(where):
    out = own_dir(where / "out", ANN, 0o777)
    os.chmod(out, 0o777)
    prog = script(where, f"echo $$ > {out}/pid; exec sleep 1000")
    with gateway(where, f"program:{prog}", local={"timeout": Word("2s")}) as g:
        send(g, ANN)
        said = event(g, "deferred", ANN, dsn="4.3.0")
        assert "local.timeout" in said["reply"], said
        pid = int((out / "pid").read_text())
        until(lambda: not Path(f"/proc/{pid}").exists() or
              "sleep" not in Path(f"/proc/{pid}/cmdline").read_text())


ALIASES = """toprog: "|{prog} 'two words' $x"
good: "|{prog} 'two words' %u"
tofile: {box}/file
null: /dev/null
"""


def alias_targets(where):
    user = "nobody" if ROOT else ANN
    box = own_dir(where / "box", user)
    prog = script(where, f'echo "$#:$*:$(id -un):$ORIGINAL_RECIPIENT" > {box}/args; '
                         f'cat > {box}/got')
    aliases = ALIASES.format(prog=prog, box=box)
    box_all = spool_dir(where)
    with gateway(where, f"mbox:{box_all}/%u", aliases=aliases,
                 local={"programs": True, "program_user": user}) as g:
        send(g, "good", "tofile", "null")
        until(lambda: delivered(g) == 3)
        args = (box / "args").read_text()
        assert args == f"2:two words %u:{user}:good@here.example\n", args
        assert (box / "got").read_bytes().endswith(BODY_LF)
        got = mailbox.mbox(str(box / "file")).values()
        assert len(got) == 1 and got[0]["Delivered-To"] == "tofile@here.example", got
        check_owner(box / "file", user, 0o600)
        mailers = {e.get("mailer") for e in g.events() if e["event"] == "delivered"}
        assert mailers == {"prog", "*file*"}, mailers
    with gateway(where, f"mbox:{box_all}/%u", aliases=aliases) as g:    # local.programs = off
        (box / "args").unlink()
        reply = smtpclient.deliver(g.port, BODY, rcpts=["good@here.example"])
        if reply.code == 250:
            until(lambda: any(e["event"] == "failed" and "local.programs" in str(e)
                              for e in g.events()))
        assert not (box / "args").exists()


def lmtp(where):
    own = where / "sock"
    own.mkdir()
    os.chmod(own, 0o755)
    with LmtpServer() as tcp, LmtpServer(own / "lmtp") as unix:
        for server in (tcp, unix):
            server.rcpt["no@lmtp.example"] = "550 5.1.1 nobody"
            server.final["full@lmtp.example"] = "452 4.2.2 full"
            server.final["bad@lmtp.example"] = "554 5.6.0 bad"
        table = {"lmtp.example": f"lmtp:[127.0.0.1]:{tcp.port}",
                 "unix.example": f"lmtp:{own}/lmtp"}
        with gateway(where, f"lmtp:unix:{own}/lmtp", mailertable=table) as g:
            rcpts = [f"{u}@lmtp.example" for u in ("one", "no", "full", "bad", "two")]
            smtpclient.deliver(g.port, BODY, rcpts=rcpts)
            until(lambda: len([e for e in g.events()
                               if e["event"] in ("delivered", "failed", "deferred")
                               and "@lmtp." in e["to"]]) >= 5)
            said = {e["to"].split("@")[0]: (e["event"], e["dsn"], e["mailer"])
                    for e in g.events() if e["event"] in ("delivered", "failed", "deferred")
                    and "@lmtp." in e["to"]}        # not the report
            assert said == {"one": ("delivered", "2.0.0", "lmtp"),
                            "two": ("delivered", "2.0.0", "lmtp"),
                            "no": ("failed", "5.1.1", "lmtp"), "bad": ("failed", "5.6.0", "lmtp"),
                            "full": ("deferred", "4.2.2", "lmtp")}, said
            first = tcp.commands[:tcp.commands.index("DATA")]       # full@ is tried again later
            assert sum(c.startswith("MAIL") for c in first) == 1, tcp.commands
            assert sum(c.startswith("RCPT") for c in first) == 5, tcp.commands
            for i in range(3):                      # one after the other: the connection is kept
                smtpclient.deliver(g.port, BODY, rcpts=[f"u{i}@unix.example"])
                until(lambda n=i: sum(e["event"] == "delivered" and "@unix." in e["to"]
                                      for e in g.events()) > n)
            assert unix.sessions == 1, f"{unix.sessions} sessions for three messages"
            for i in range(3):
                send(g, f"u{i}")                    # route.local_delivery
            until(lambda: len(unix.taken) == 6)
            assert all(data.endswith(BODY) for _, data in unix.taken)
            unix.final["big@unix.example"] = "250 2.0.0 so big"
            big = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n"
            smtpclient.deliver(g.port, big * 1 + (b"y" * 998 + b"\r\n") * 3000,
                               rcpts=["big@unix.example"])
            until(lambda: any(len(d) > 2900000 for _, d in unix.taken))
        unix.taken.clear()
    with gateway(where, f"lmtp:{own}/lmtp") as g:   # nobody listens: words, and it waits
        send(g, "u9")
        said = event(g, "deferred", "u9")
        assert "lmtp" in said["stat"], said
        with LmtpServer(own / "lmtp") as unix:
            until(lambda: unix.taken)


def success_report(where):
    """NOTIFY=SUCCESS: the report says delivered, and comes to a mailbox here."""
    box = spool_dir(where)
    with gateway(where, f"mbox:{box}/%u") as g, smtpclient.Client(g.port) as c:
        c.ehlo()
        c.cmd(f"MAIL FROM:<{ANN}@here.example> ENVID=x1")
        c.cmd(f"RCPT TO:<{ANN}@here.example> NOTIFY=SUCCESS ORCPT=rfc822;Orig+2B@x.example")
        assert c.data(BODY).code == 250
        until(lambda: (box / ANN).exists() and b"Action: delivered" in (box / ANN).read_bytes())
        first = next(m for m in mailbox.mbox(str(box / ANN)).values() if m["Subject"] == "one")
        assert first["X-Original-To"] == "Orig+@x.example", first.items()


def loop_found(where):
    box = spool_dir(where)
    with gateway(where, f"mbox:{box}/%u") as g:
        body = f"X: y\r\ndelivered-to:  {ANN}@HERE.example \r\n\r\nx\r\n".encode()
        send(g, ANN, body=body, sender="")
        said = event(g, "failed", ANN, dsn="5.4.6")
        assert "before" in said["reply"], said
        send(g, ANN, body=b"X: y\r\n\r\n" + body)   # in the body it means nothing
        event(g, "delivered", ANN)
        assert len(mailbox.mbox(str(box / ANN))) == 1


def nobody_there(where):
    box = spool_dir(where)
    with gateway(where, f"mbox:{box}/%u") as g:
        send(g, "nosuchuser9", sender="")
        event(g, "failed", "nosuchuser9", dsn="5.1.1")
        assert not [e for e in g.events() if e["event"] == "site_backed_off"]
        if ROOT:
            send(g, "root", sender="")
            said = event(g, "deferred", "root", dsn="4.3.5")
            assert "root_user" in said["reply"] and "alias" in said["reply"], said
        else:
            send(g, "root", sender="")
            said = event(g, "deferred", "root", dsn="4.3.0")
            assert "as root" in said["reply"], said
        assert not list(box.iterdir())
    if ROOT:
        with gateway(where, f"mbox:{box}/%u", local={"root_user": ANN}) as g:
            send(g, "root")
            event(g, "delivered", "root")
            check_owner(box / ANN, ANN, 0o600)
            assert not (box / "root").exists()


def passwd_users(where):
    """route.local_users = passwd: unknown users are refused at RCPT."""
    box = spool_dir(where)
    with gateway(where, f"mbox:{box}/%u", route={"local_users": "passwd"}) as g:
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@client.example>")
            assert c.cmd(f"RCPT TO:<{ANN}@here.example>").code == 250
            reply = c.cmd("RCPT TO:<nosuchuser9@here.example>")
            assert reply.code == 550 and "5.1.1" in reply.text, reply


def delivered(g):
    return sum(e["event"] == "delivered" for e in g.events())


def died(g):
    return sum(e["event"] == "child_died" and e["role"] == "local" for e in g.events())


def killed(where, how, read):
    """local is killed at any instant, again and again: every message arrives, whole."""
    n, done = 0, threading.Event()
    with gateway(where, how, local={"processes": 4}) as g:
        def kill():
            life = 0.03             # of such a process: who comes too late learns how long
            while not done.wait(0.005):
                pids = g.roles().get("local", [])
                time.sleep(random.random() * life)
                try:
                    os.kill(random.choice(pids or [0x3fffffff]), signal.SIGKILL)
                    life = min(life * 1.3, 0.1)
                except ProcessLookupError:
                    life = max(life * 0.8, 0.001) if pids else life
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            while n < 600 and (n < KILLS or died(g) < KILLS):
                tail = b"line of message %d\r\n" % n * 5000
                send(g, ANN, body=b"Subject: n%d\r\n\r\n%send %d\r\n" % (n, tail, n))
                n += 1
                until(lambda: n - delivered(g) < 4 or died(g) >= KILLS)
            assert died(g) > KILLS // 2, died(g)
        finally:
            done.set()
            killer.join()
        until(lambda: {e.get("id") for e in g.events() if e["event"] == "received"} ==
              {e.get("id") for e in g.events() if e["event"] == "delivered"}, 120)
        whole = set()
        for text in read():
            i = re.search(rb"^Subject: n(\d+)", text, re.M)
            if i and text.rstrip().endswith(b"end %s" % i.group(1)) and \
                    text.count(b"line of message %s\n" % i.group(1)) == 5000:
                whole.add(int(i.group(1)))
        assert whole == set(range(n)), f"lost: {sorted(set(range(n)) - whole)}"
        print(f"# {died(g)} deliveries of {n} messages killed")


def killed_maildir(where):
    own_dir(where / "home" / ANN, ANN, 0o755)
    new = where / "home" / ANN / "Maildir" / "new"

    def read():
        texts = [p.read_bytes() for p in new.iterdir()]
        assert all(b"\nend " in t for t in texts), "a part of a message in new"
        return texts
    killed(where, f"maildir:{where}/home/%u/Maildir", read)


def killed_mbox(where):
    box = spool_dir(where)
    killed(where, f"mbox:{box}/%u",
           lambda: re.split(rb"^From (?=a@client\.example )", (box / ANN).read_bytes(),
                            flags=re.M))


CASES = [maildir, linked_maildir, mbox, many_at_once, programs, program_times_out, alias_targets,
         lmtp, success_report, loop_found, nobody_there, passwd_users, killed_maildir, killed_mbox]


def as_ordinary_user():
    """The same cases again, by a child that is no longer root."""
    if not ROOT:
        raise Skip("this is it already")

    def again():
        global ROOT, BOB                # pylint: disable=global-statement
        ROOT, BOB = False, None
        tempfile.tempdir = str(own)     # the one of root's tests is not its to write
        return Report().cases("local", CASES, at_once=4, prefix="user_") == 0
    with temp.Dir("u") as where:
        own = own_dir(where / "t", ANN, 0o755)    # short: sockets have names of 107 bytes
        assert as_user(ANN, again), "see above"


def main():
    report = Report()
    report.cases("local", CASES, at_once=4)
    report.run("ordinary_user", as_ordinary_user)
    report.exit()


main()
