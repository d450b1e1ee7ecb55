#!/usr/bin/env python3
"""STARTTLS in and out: two kinds of keys at once, both versions, sessions that two workers share,
a keyring that dies in the middle, what is slipped in behind STARTTLS, reloads with other
certificates, and that the private keys are in the memory of keyring alone.
tests/run: user bad_certificate keys_in_keyring_only"""
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, proc, smtpclient       # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                 # noqa: E402
from lib.sink import DROP, STALL, Sink              # noqa: E402
from lib.waiting import wait_for                       # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
FAST = {"restart_first": Word("50ms"), "restart_max": Word("200ms")}


# --- clients ---

def context(version=None, ciphers=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = version
    if ciphers:
        c.set_ciphers(ciphers)
    return c


def secure(client, ctx=None, session=None):
    """STARTTLS and the handshake; the reply to the EHLO behind it."""
    reply = client.cmd("STARTTLS")
    assert reply.code == 220, reply
    client.sock = (ctx or context()).wrap_socket(client.sock, session=session)
    return client.ehlo()


def one_mail(client, to="b@dest.example"):
    reply = client.envelope("a@x.example", to)
    assert reply.code == 250, reply
    reply = client.data(MESSAGE)
    assert reply.code == 250, reply


def der(path):
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


def shown(port, ctx=None):
    """The certificate the server shows."""
    with smtpclient.Client(port) as c:
        c.ehlo()
        assert secure(c, ctx).code == 250
        return c.sock.getpeercert(True)


def s_client(port, *options):
    """What openssl's own client says of a handshake."""
    r = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect",
                        f"127.0.0.1:{port}", *options], input=b"QUIT\r\n", capture_output=True,
                       timeout=90)
    return r.stdout.decode(errors="replace") + r.stderr.decode(errors="replace")


def both_kinds(where):
    rsa, ec = certs.make(where / "certs", "rsa", "rsa"), certs.make(where / "certs", "ec", "ec")
    return rsa, ec, {"certificate": [str(rsa[0]), str(ec[0])], "key": [str(rsa[1]), str(ec[1])]}


def gateway(where, sink, tls, **options):
    """A gateway with these tls{} options and one smtpd."""
    options = {"processes": {"smtpd": 1, "deliver": 1, **FAST}, **options}
    g = Gateway(where / "gw", smart_host=("127.0.0.1", sink.port),
                options={"tls": tls, **options})
    g.listener = 'listen "mx"'
    return g


def worker_of(g, client):
    """Which smtpd has this connection: by the descriptors of its end. The kernel's list may miss
    a row while others connect beside us."""
    ports = f"{g.port:04X} {client.sock.getsockname()[1]:04X}"
    inode = wait_for("our row", lambda: far_end(ports))
    return next((pid for pid in g.roles()["smtpd"] if f"socket:[{inode}]" in links(pid)), None)


def far_end(ports):
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if f"{words[1].split(':')[1]} {words[2].split(':')[1]}" == ports:
            return words[9]
    return None


def links(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return found


class Only:
    """with Only(g, pid): the other smtpd stand still, so that this one takes the connection."""

    def __init__(self, g, pid):
        self.others = [p for p in g.roles()["smtpd"] if p != pid]

    def __enter__(self):
        for p in self.others:
            os.kill(p, signal.SIGSTOP)
        for p in self.others:
            wait_for("it stands still", lambda p=p: proc.stat(p)[0] == "T")

    def __exit__(self, *_):
        for p in self.others:
            os.kill(p, signal.SIGCONT)


# --- in ---

def two_kinds_of_keys(where):
    """RSA and ECDSA side by side: the client's offer chooses; TLS 1.2 and 1.3, nothing older."""
    rsa, ec, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, tls) as g:
        with smtpclient.Client(g.port) as c:
            assert "STARTTLS" in c.ehlo().text
        for kind, pair in (("RSA", rsa), ("ECDSA", ec)):
            old = context(V12, f"ECDHE-{kind}-AES128-GCM-SHA256")
            assert shown(g.port, old) == der(pair[0]), f"TLS 1.2, {kind}"
        for algorithm, pair in (("rsa_pss_rsae_sha256", rsa), ("ecdsa_secp256r1_sha256", ec)):
            said = s_client(g.port, "-tls1_3", "-sigalgs", algorithm)
            assert "TLSv1.3" in said, said[-2000:]
            pem = re.search(r"-----BEGIN CERT.*?END CERTIFICATE-----", said, re.S).group(0)
            assert ssl.PEM_cert_to_DER_cert(pem) == der(pair[0]), f"TLS 1.3, {algorithm}"
        said = s_client(g.port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        assert "Cipher is (NONE)" in said, said[-2000:]
        for n, (version, name) in enumerate(((V12, b"TLSv1.2"), (V13, b"TLSv1.3")), 1):
            with smtpclient.Client(g.port) as c:
                c.ehlo()
                assert "STARTTLS" not in secure(c, context(version)).text
                assert c.cmd("STARTTLS").code == 503
                one_mail(c)
            head = sink.wait(n)[-1].headers
            assert b"with ESMTPS" in head and b"version=" + name in head, head
        g.wait_log(r"STARTTLS=server, relay=localhost \[127\.0\.0\.1\], version=TLSv1\.2")
        wait_for("the event", lambda: [e for e in g.events() if e["event"] == "received"
                                       and e.get("tls") == "TLSv1.3"])


def oldest_version(where):
    _, _, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, {**tls, "min_version": Word("1.3")}) as g:
        shown(g.port, context(V13))
        try:
            shown(g.port, context(V12))
        except (ssl.SSLError, OSError):
            pass
        else:
            raise AssertionError("TLS 1.2 is spoken with tls.min_version = 1.3")
        g.wait_log("STARTTLS=server, relay=.*handshake failed")


def resumed(port, ctx, session=None):
    """(whether it was resumed, a session for the next, the client) after one message."""
    c = smtpclient.Client(port)
    c.ehlo()
    secure(c, ctx, session)
    return c.sock.session_reused, c.sock.session, c


def sessions(where):
    """A session of one worker is known to the other, and to the one that comes in its place."""
    _, _, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, tls, processes={"smtpd": 2, **FAST}) as g:
        for version in (V12, V13):
            ctx = context(version)
            first, second = g.roles()["smtpd"]
            with Only(g, first):
                again, ticket, c = resumed(g.port, ctx)
                assert not again
                assert worker_of(g, c) == first
            with Only(g, second):
                again, ticket, c = resumed(g.port, ctx, ticket)
                assert worker_of(g, c) == second
                assert again, f"{version.name}: the other worker does not know it"
                one_mail(c)
            os.kill(second, signal.SIGKILL)
            new = wait_for("a worker", lambda f=first, s=second: [
                p for p in g.roles()["smtpd"] if p not in (f, s)])[0]
            ready(g, new)
            with Only(g, new):
                again, ticket, c = resumed(g.port, ctx, ticket)
                assert worker_of(g, c) == new
                assert again, f"{version.name}: the new worker does not know it"
            keyring = g.roles()["keyring"]
            os.kill(keyring[0], signal.SIGKILL)
            wait_for("keyring", lambda k=keyring: g.roles().get("keyring", k) != k)
            again, ticket, c = resumed(g.port, ctx, ticket)    # anew or not, but it goes
            one_mail(c)
            wait_for("sessions again", lambda x=ctx: resumed(
                g.port, x, resumed(g.port, x)[1])[0])
        sink.wait(4)


def ready(g, pid):
    """Until this smtpd greets."""
    with Only(g, pid), smtpclient.Client(g.port):
        pass


def keyring_dies(where):
    """Handshakes that wait for a signature when keyring is killed go on when it is back; those
    begun without it as well; and mail over TLS flows on."""
    _, _, tls = both_kinds(where)
    slow = {"smtpd": 2, "restart_first": Word("400ms"), "restart_max": Word("400ms")}
    with Sink() as sink, gateway(where, sink, tls, processes=slow) as g:
        keyring = g.roles()["keyring"][0]
        os.kill(keyring, signal.SIGSTOP)
        waiting = Many(g.port, 20)
        wait_for("handshakes under way", lambda: waiting.shaking == 20)
        time.sleep(0.1)
        assert waiting.done == 0, "handshakes end without keyring"
        with smtpclient.Client(g.port) as c:        # who does without TLS is not concerned
            c.ehlo()
            one_mail(c)
        os.kill(keyring, signal.SIGKILL)
        time.sleep(0.1)
        without = Many(g.port, 20)
        for many in (waiting, without):
            many.join()
            assert many.wrong == [] and many.done == 20, many.wrong[:3]
        sink.wait(41)
        many = Many(g.port, 4, messages=40)
        for _ in range(4):
            keyring = g.roles().get("keyring", [None])[0]
            if keyring:
                os.kill(keyring, signal.SIGKILL)
            time.sleep(0.3)
        many.join()
        assert many.wrong == [] and many.done == 160, f"{many.done} {many.wrong[:3]}"
        sink.wait(41 + 160)
        assert not [e for e in g.events() if e["event"] == "child_died"
                    and e["role"] != "keyring"]


class Many:
    """Clients side by side, each with a connection and a handshake for each message."""

    def __init__(self, port, count, messages=1, ctx=None):
        self.port, self.messages, self.ctx = port, messages, ctx
        self.lock, self.shaking, self.done, self.wrong = threading.Lock(), 0, 0, []
        self.over = False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(count)]
        for t in self.threads:
            t.start()

    def run(self):
        for _ in range(self.messages):
            if self.over:
                return
            try:
                self.one()
            except (OSError, AssertionError, smtpclient.Closed) as e:
                with self.lock:
                    self.wrong.append(repr(e))

    def one(self):
        with smtpclient.Client(self.port, timeout_s=90) as c:
            c.ehlo()
            assert c.cmd("STARTTLS").code == 220
            with self.lock:
                self.shaking += 1
            c.sock = (self.ctx or context()).wrap_socket(c.sock)
            c.ehlo()
            one_mail(c)
            c.cmd("QUIT")
        with self.lock:
            self.done += 1

    def join(self, timeout_s=90):
        for t in self.threads:
            t.join(timeout_s)


def injection(where):
    """What was sent in the clear behind STARTTLS is never taken for a command under TLS."""
    _, _, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, tls) as g:
        for slipped in (b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<b@dest.example>\r\n",
                        b"NOOP\r\n", b"MAIL FR", b"\r\n", b"\x00"):
            with smtpclient.Client(g.port) as c:
                c.ehlo()
                c.send(b"STARTTLS\r\n" + slipped)
                reply = c.reply()
                assert reply.code == 554, f"{slipped}: {reply}"
        wait_for("the event", lambda: [e for e in g.events() if e["event"] == "rejected"
                                       and e["reason"] == "early_talk"])
        # Behind the 220 it is part of the handshake, and no handshake at that.
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            assert c.cmd("STARTTLS").code == 220
            c.send(b"MAIL FROM:<evil@x.example>\r\n")
            got = b""
            try:
                while more := c.sock.recv(4096):
                    got += more
            except ConnectionResetError:
                pass
            assert b"250" not in got and got[:1] in (b"", b"\x15"), got    # an alert at most
        # What was said before TLS does not count behind it (RFC 3207 4.2).
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            assert c.envelope("a@x.example", "b@dest.example").code == 250
            secure(c)
            assert c.cmd("RCPT TO:<b@dest.example>").code == 503
            one_mail(c)
        sink.wait(1)


def all_at_once(port, ctx, said):
    """What the server says to one who says that and close_notify in one piece, and how it ends."""
    with smtpclient.Client(port) as c:
        c.ehlo()
        assert c.cmd("STARTTLS").code == 220
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ctx.wrap_bio(incoming, outgoing)

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        c.send(outgoing.read())
                    got = c.sock.recv(65536)
                    incoming.write(got) if got else incoming.write_eof()

        until_done(tls.do_handshake)
        for command in said[:-1]:
            tls.write(command)
            assert until_done(tls.read)[:1] in b"23", command
        tls.write(said[-1])
        heard = b""
        try:
            tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        c.send(outgoing.read())
        c.sock.shutdown(socket.SHUT_WR)
        try:
            while more := until_done(tls.read):
                heard += more
        except ssl.SSLZeroReturnError:
            return heard, "close_notify"
        except OSError as e:
            return heard, str(e)
        return heard, "end"


def ends(where):
    """Each end of a session is told from being cut (RFC 8446 6.1), and who has ended his direction
    hears the answers (RFC 8446 6.1; Exim does so at each QUIT)."""
    _, _, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, tls, server={"bad_commands": 3}) as g:
        for version in (V12, V13):
            ctx = context(version)
            for commands in (["QUIT"], ["BAD"] * 4):
                with smtpclient.Client(g.port) as c:
                    c.ehlo()
                    assert c.cmd("STARTTLS").code == 220
                    c.sock = ctx.wrap_socket(c.sock, suppress_ragged_eofs=False)
                    c.ehlo()
                    for command in commands:
                        reply = c.cmd(command)
                    if reply.code == 500:
                        reply = c.reply()       # too many of them
                    assert reply.code in (221, 421), reply
                    assert c.sock.recv(1) == b""    # raises when it is not close_notify
            heard, end = all_at_once(g.port, ctx, [b"QUIT\r\n"])
            assert heard.startswith(b"221 ") and end == "close_notify", (heard, end)
        assert "lost input channel" not in g.log(), g.log()[-2000:]
        heard, end = all_at_once(g.port, ctx, [
            b"EHLO x.example\r\n", b"MAIL FROM:<a@x.example>\r\n", b"RCPT TO:<b@dest.example>\r\n",
            b"DATA\r\n", MESSAGE + b".\r\nQUIT\r\n"])
        assert heard.startswith(b"250 ") and b"\r\n221 " in heard, heard
        assert end == "close_notify", end
        sink.wait(1)
        assert "lost input channel" not in g.log(), g.log()[-2000:]


def stalled_handshake(where):
    """It has its own clock, server.starttls, whatever the other clocks stand at."""
    _, _, tls = both_kinds(where)
    clocks = {"starttls": Word("12s"), "command": Word("4s")}
    with Sink() as sink, gateway(where, sink, tls, server=clocks) as g:
        with smtpclient.Client(g.port) as c, smtpclient.Client(g.port) as late:
            began = time.monotonic()
            assert c.cmd("STARTTLS").code == 220
            late.ehlo()
            assert late.cmd("STARTTLS").code == 220
            time.sleep(5)           # longer than the clock that ran before STARTTLS
            late.sock = context().wrap_socket(late.sock)
            late.ehlo()
            one_mail(late)
            assert c.closed()
            took = time.monotonic() - began
            assert took >= 11, took


def required_and_off(where):
    """tls = required takes no mail in the clear; tls = off offers nothing."""
    _, _, tls = both_kinds(where)
    with Sink() as sink, gateway(where, sink, tls, **{
            'listen "mx"': {"tls": Word("required")}}) as g:
        with smtpclient.Client(g.port) as c:
            assert "STARTTLS" in c.ehlo().text
            for command in ("MAIL FROM:<a@x.example>", "RCPT TO:<b@y.example>", "DATA",
                            "VRFY b"):
                reply = c.cmd(command)
                assert reply.code == 530 and " 5.7.0 " in reply.text, f"{command}: {reply}"
            assert c.cmd("NOOP").code == 250
            assert secure(c).code == 250
            one_mail(c)
        sink.wait(1)
    with Sink() as sink, gateway(where / "off", sink, tls, **{
            'listen "mx"': {"tls": Word("off")}}) as g:
        with smtpclient.Client(g.port) as c:
            assert "STARTTLS" not in c.ehlo().text
            assert c.cmd("STARTTLS").code == 454
            one_mail(c)


# --- out ---

def out(g, where_to, count=1):
    for n in range(count):
        reply = smtpclient.deliver(g.port, MESSAGE, rcpts=[f"b{n}@{where_to}"])
        assert reply.code == 250, reply


def opportunistic(where):
    """TLS where it is offered, whatever the certificate; sessions are remembered; without it, or
    when the offer is withdrawn, in the clear."""
    rsa, ec = certs.make(where, "r", "rsa"), certs.make(where, "e", "ec")
    options = {"deliver": {"idle": 0}, "processes": {"deliver": 1}}
    with Sink(tls=rsa) as a, Sink(tls=ec) as b, Sink() as plain:
        a.tls.maximum_version, b.tls.minimum_version = V12, V13
        table = {f"{n}.example": ("127.0.0.1", s.port)
                 for n, s in (("a", a), ("b", b), ("plain", plain))}
        with Gateway(where / "gw", mailertable=table, options=options) as g:
            for name, sink in (("a", a), ("b", b)):
                for n in range(3):          # one after the other: each may know the last
                    out(g, f"{name}.example")
                    sink.wait(n + 1)
                    wait_for("the end of its session", lambda s=sink: not s.sockets)
                    wait_for("its end here", lambda k=sum(
                        len(s.messages) for s in (a, b)): delivered(g) == k)
                assert all(m.tls for m in sink.messages)
                hits = sink.tls.session_stats()["hits"]
                assert hits == 2, f"{name}: {hits} sessions were taken up again"
                assert sink.sessions == 3
                assert {m.helo.split()[0] for m in sink.messages} == {b"EHLO"}
                assert sink.ends == ["close_notify"] * 3, sink.ends
            out(g, "plain.example")
            assert not plain.wait(1)[0].tls
            a.at("starttls", "454 4.7.0 not now", times=1)
            out(g, "a.example")
            assert not a.wait(4)[3].tls and a.sessions == 4     # on in the same session
            g.wait_log(r"stat=Sent")
            wait_for("the events", lambda: {
                e["tls"].split()[0] for e in g.events() if e["event"] == "tls_started"} == {
                "TLSv1.2", "TLSv1.3"})
    with Sink(tls=rsa) as sink, Gateway(where / "off", smart_host=("127.0.0.1", sink.port),
                                        options={"deliver": {"tls": Word("off")}}) as g:
        out(g, "x.example")
        assert not sink.wait(1)[0].tls


def delivered(g):
    return len([e for e in g.events() if e["event"] == "delivered"])


def failed_handshake(where):
    """One that is dropped, stalls or finds no common cipher: the same host at once
    without TLS, in the same attempt."""
    pair = certs.make(where, "r", "rsa")
    options = {"timeout": {"starttls": Word("1s")}, "deliver": {"idle": 0}}
    with Sink(tls=pair) as dropped, Sink(tls=pair) as stalled, Sink(tls=pair) as other:
        dropped.at("tls", DROP)
        stalled.at("tls", STALL)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        old.load_cert_chain(*pair)
        old.maximum_version = V12
        old.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")    # for which it has no key
        other.tls = old
        table = {f"{n}.example": ("127.0.0.1", s.port) for n, s in (
            ("dropped", dropped), ("stalled", stalled), ("old", other))}
        with Gateway(where / "gw", mailertable=table, options=options) as g:
            for name, sink in (("dropped", dropped), ("old", other), ("stalled", stalled)):
                out(g, f"{name}.example")
                m = sink.wait(1)[0]
                assert not m.tls and m.session == 2, f"{name}: {m}"
            wait_for("the events", lambda: len(
                [e for e in g.events() if e["event"] == "tls_failed"]) == 3)
            for name in ("dropped", "old", "stalled"):
                sent = g.wait_log(rf"to=<b0@{name}\.example>.*stat=Sent").group(0)
                assert "Deferred" not in g.log(), g.log()[-1000:]
                assert "dsn=2.0.0" in sent


def tls_required_out(where):
    """deliver.tls = required: never in the clear, and the reason is said."""
    pair = certs.make(where, "r", "rsa")
    options = {"deliver": {"tls": Word("required")}, "retry": {"first": Word("1s")}}
    with Sink(tls=pair) as good, Sink() as plain, Sink(tls=pair) as broken:
        broken.at("tls", DROP)
        table = {f"{n}.example": ("127.0.0.1", s.port) for n, s in (
            ("good", good), ("plain", plain), ("broken", broken))}
        with Gateway(where / "gw", mailertable=table, options=options) as g:
            for name in table:
                out(g, name)
            assert good.wait(1)[0].tls
            g.wait_log(r"to=<b0@plain\.example>.*dsn=4\.7\.4.*stat=Deferred.*TLS is required")
            g.wait_log(r"to=<b0@broken\.example>.*stat=Deferred.*TLS")
            broken.clear()
            assert broken.wait(1)[0].tls            # with the next attempt
            assert plain.messages == [] and not [
                line for _, who, line in plain.dialogue if who == "C" and b"MAIL" in line]


def injected_reply(where):
    """A reply slipped in behind the 220 of a next hop counts as said by nobody."""
    pair = certs.make(where, "r", "rsa")
    with Sink(tls=pair) as sink:
        sink.at("starttls", "220 2.0.0 go on\n250-evil.example\n250 SMTPUTF8", times=1)
        with Gateway(where / "gw", smart_host=("127.0.0.1", sink.port),
                     options={"retry": {"first": Word("1s")}}) as g:
            out(g, "x.example")
            m = sink.wait(1)[0]
            assert m.session > 1, "the session went on"
            g.wait_log(r"stat=Deferred.*is not SMTP")


# --- reload, keys ---

def reload(g):
    done = len([e for e in g.events() if e["event"] == "config_reloaded"])
    g.process.send_signal(signal.SIGHUP)
    wait_for("reload", lambda: len(
        [e for e in g.events() if e["event"] == "config_reloaded"]) > done)


def change(g, **tls):
    g.options["tls"] = tls
    g.configure()
    reload(g)


def other_certificates(where):
    """A session that is open when the certificates change goes on, with TLS begun before the
    change or after it; the next one sees the new ones. Fewer certificates are fewer."""
    rsa, ec, tls = both_kinds(where)
    new = certs.make(where / "certs", "new", "ec")
    with Sink() as sink, gateway(where, sink, tls) as g:
        with smtpclient.Client(g.port) as open_tls, smtpclient.Client(g.port) as later, \
                smtpclient.Client(g.port) as much_later:
            for c in (open_tls, later, much_later):
                c.ehlo()
            secure(open_tls, context(V12, "ECDHE-ECDSA-AES128-GCM-SHA256"))
            change(g, certificate=[str(new[0])], key=[str(new[1])])
            one_mail(open_tls)
            secure(later)
            one_mail(later)
            assert shown(g.port) == der(new[0])
            only_rsa = context(V12, "ECDHE-RSA-AES128-GCM-SHA256")
            try:
                shown(g.port, only_rsa)
                raise AssertionError("the RSA certificate is gone, and is shown")
            except ssl.SSLError:
                pass
            change(g)                               # none at all
            with smtpclient.Client(g.port) as c:
                assert "STARTTLS" not in c.ehlo().text
            one_mail(open_tls)
            change(g, certificate=[str(rsa[0])], key=[str(rsa[1])])
            assert shown(g.port) == der(rsa[0])
            secure(much_later)
            one_mail(much_later)
        sink.wait(4)


def reload_under_handshakes(where):
    """Certificates change to and fro while clients come: no handshake fails."""
    rsa, ec, _ = both_kinds(where)
    pairs = [{"certificate": [str(p[0])], "key": [str(p[1])]} for p in (rsa, ec)]
    with Sink() as sink, gateway(where, sink, pairs[0], processes={"smtpd": 2}) as g:
        many = Many(g.port, 6, messages=10000)
        for n in range(12):
            change(g, **pairs[(n + 1) % 2])
            wait_for("a handshake", lambda before=many.done: many.done > before)
        many.over = True
        many.join()
        print(f"# {many.done} handshakes beside 12 reloads", flush=True)
        assert many.wrong == [], f"{len(many.wrong)} of {many.done}: {many.wrong[:3]}"
        assert many.done >= 12
        sink.wait(many.done)


def bad_certificate(where):
    """A certificate that cannot be used, or a key that is not its own, is refused with words:
    what was in force stays so."""
    rsa, ec, _ = both_kinds(where)
    broken = where / "certs" / "broken.crt"
    broken.write_text("-----BEGIN CERTIFICATE-----\nnot at all\n-----END CERTIFICATE-----\n")
    with Sink() as sink, gateway(where, sink, {"certificate": [str(rsa[0])],
                                               "key": [str(rsa[1])]}) as g:
        for n, (crt, key, words) in enumerate((
                (broken, rsa[1], r"tls\.certificate: \S+broken\.crt: "),
                (where / "certs" / "none.crt", rsa[1], r"none\.crt: No such file"),
                (ec[0], where / "certs" / "none.key", r"tls\.key: \S+none\.key: No such file"),
                (ec[0], broken, r"tls\.key: \S+broken\.crt: "),
                (ec[0], rsa[1], r"tls\.key: \S+rsa\.key: is not the key")), 1):
            g.options["tls"] = {"certificate": [str(crt)], "key": [str(key)]}
            g.configure()
            g.process.send_signal(signal.SIGHUP)
            refused = wait_for(words, lambda k=n: [
                e for e in g.events() if e["event"] == "config_refused"][k - 1:])
            assert re.search(words, refused[0]["text"]), refused
            assert shown(g.port) == der(rsa[0]), f"{crt.name}, {key.name}"


def secrets_of(key):
    """The numbers of a private key that nobody else may know, as they stand in memory: as in
    the file, and turned round as the library keeps them."""
    text = subprocess.run(["openssl", "pkey", "-in", str(key), "-text", "-noout"], check=True,
                          capture_output=True, text=True, timeout=90).stdout
    found = []
    for name in ("priv", "prime1", "privateExponent"):
        m = re.search(rf"^{name}:\n((?:\s+[0-9a-f:]+\n)+)", text, re.M)
        if m:
            number = bytes.fromhex(re.sub(r"[\s:]", "", m.group(1))).lstrip(b"\0")
            found += [number, number[::-1]]
    assert found, text
    return found


def memory(pid):
    """All that can be read of a process's memory."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            words = line.split()
            if "r" not in words[1] or words[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(x, 16) for x in words[0].split("-"))
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except OSError:
                pass


def keys_in_keyring_only(where):
    """The private numbers are in the memory of keyring and of no other process, and no process
    holds the files open."""
    rsa, ec, tls = both_kinds(where)
    if os.geteuid() == 0:
        for _, key in (rsa, ec):
            key.chmod(0o600)
    with Sink() as sink, gateway(where, sink, tls) as g:
        for kind in ("RSA", "ECDSA"):
            shown(g.port, context(V12, f"ECDHE-{kind}-AES128-GCM-SHA256"))
        reload(g)
        shown(g.port)
        wanted = {kind: secrets_of(pair[1]) for kind, pair in (("RSA", rsa), ("EC", ec))}
        holders, unreadable = {}, []
        for role, pids in {**g.roles(), "master": [g.process.pid]}.items():
            for pid in pids:
                look_at(role, pid, wanted, holders, unreadable, (rsa[1], ec[1]))
        if os.geteuid() != 0 and "keyring" in unreadable:
            assert holders == {}, holders
            print("# their memory is closed to their own user, too", flush=True)
            return
        assert holders == {"RSA": {"keyring"}, "EC": {"keyring"}}, holders
        assert unreadable == [], unreadable


def look_at(role, pid, wanted, holders, unreadable, files):
    try:
        held = links(pid)
        for blob in memory(pid):
            for kind, numbers in wanted.items():
                if any(n in blob for n in numbers):
                    holders.setdefault(kind, set()).add(role)
    except PermissionError:
        unreadable.append(role)
        return
    for f in files:
        assert str(f) not in held, f"{role} holds {f}"


def main():
    return Report().cases("tls", (
        stalled_handshake, ends, two_kinds_of_keys, oldest_version, sessions, keyring_dies,
        injection, required_and_off, opportunistic, failed_handshake, tls_required_out,
        injected_reply, other_certificates, reload_under_handshakes, bad_certificate,
        keys_in_keyring_only), at_once=4)


if __name__ == "__main__":
    sys.exit(main())
