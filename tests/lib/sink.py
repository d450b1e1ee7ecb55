"""An SMTP server for tests: takes everything, records it byte for byte, misbehaves on request.

    with Sink() as sink:
        sink.at("eod", "451 4.3.0 later", times=1)     # stages: see STAGES
        sink.at("rcpt", DROP, match=b"bob@")           # DROP, STALL, or the reply's text
        ... sink.host, sink.port ...
        message = sink.wait(1)[0]

connect  before the greeting          data  the DATA command        body  in the middle of the data
ehlo mail rcpt rset quit starttls     their commands                eod   after the final dot
bdat     each BDAT chunk              tls   the handshake itself    (or the last BDAT chunk)
"""
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from . import ports

STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "body", "eod", "bdat", "rset", "quit",
          "starttls", "tls")
DROP, STALL = object(), object()
EXTENSIONS = ["PIPELINING", "8BITMIME", "SIZE 104857600", "SMTPUTF8", "DSN",
              "ENHANCEDSTATUSCODES", "CHUNKING"]


@dataclass
class Message:
    """One accepted (or at the end refused) message as it came over the wire."""
    helo: bytes
    mail: bytes                 # the whole MAIL command
    rcpts: list                 # the whole RCPT commands that were accepted
    data: bytes                 # without dot stuffing and final dot, CRLFs as sent
    tls: bool
    session: int                # number of the connection, from 1
    time_s: float
    reply: str = ""
    bdat: bool = False

    @property
    def sender(self):
        return address(self.mail)

    @property
    def recipients(self):
        return [address(r) for r in self.rcpts]

    @property
    def headers(self):
        return self.data.split(b"\r\n\r\n", 1)[0] + b"\r\n"

    @property
    def body(self):
        return self.data.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in self.data else b""


def address(command):
    found = re.search(rb"<([^>]*)>", command)
    return found.group(1).decode("utf-8", "surrogateescape") if found else None


@dataclass
class Rule:
    stage: str
    action: object
    times: int | None
    match: bytes
    session: int | None
    stall_s: float | None

    def fits(self, stage, line, session):
        return (self.stage == stage and self.match in line and self.times != 0
                and self.session in (None, session))


@dataclass
class State:
    helo: bytes = b""
    mail: bytes | None = None
    rcpts: list = field(default_factory=list)
    chunks: bytes = b""


class Gone(Exception):
    """The connection is over."""


class Sink:
    def __init__(self, host="127.0.0.1", port=0, tls=None, extensions=None, lmtp=False,
                 banner="220 sink.example ESMTP"):
        self.host, self.port, self.lmtp, self.banner = host, port, lmtp, banner
        self.extensions = list(EXTENSIONS if extensions is None else extensions)
        self.messages, self.dialogue, self.rules = [], [], []
        self.sessions = 0
        self.ends = []              # of TLS, behind QUIT: "close_notify" or not
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.sockets = set()

    # -- life
    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port or ports.free(self.host)))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.stopping.clear()
        self.accepting = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.accepting.start()
        return self

    def stop(self):
        self.stopping.set()
        ports.shut(self.listener, self.accepting)
        with self.changed:          # in which a session closes its own
            for s in self.sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    # -- script and results
    def at(self, stage, action, times=None, match=b"", session=None, stall_s=None):
        """Answer `stage` with action (DROP, STALL for stall_s or until the peer gives up, or a
        reply text); the first rule that fits wins. times: how often; None is always."""
        if stage not in STAGES:
            raise ValueError(f"no stage {stage}")
        rule = Rule(stage, action, times, match, session, stall_s)
        with self.changed:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self.changed:
            self.rules.clear()

    def wait(self, count, timeout_s=90):
        """The accepted messages, once there are `count`."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, timeout_s):
                raise TimeoutError(f"sink: {len(self.messages)} of {count} messages after "
                                   f"{timeout_s} s")
            return list(self.messages)

    def wait_session(self, count, timeout_s=90):
        with self.changed:
            if not self.changed.wait_for(lambda: self.sessions >= count, timeout_s):
                raise TimeoutError(f"sink: {self.sessions} of {count} connections")

    # -- inside
    def _accept(self, listener):
        while not self.stopping.is_set():
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                self.sessions += 1
                self.sockets.add(conn)
                session = Session(self, conn, self.sessions)
                self.changed.notify_all()
            threading.Thread(target=session.run, daemon=True).start()

    def _rule(self, stage, line, session):
        with self.changed:
            for rule in self.rules:
                if rule.fits(stage, line, session):
                    if rule.times:
                        rule.times -= 1
                    return rule
        return None

    def _say(self, session, who, line):
        with self.changed:
            self.dialogue.append((session, who, line))

    def _record(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()


class Session:
    def __init__(self, sink, conn, number):
        self.sink, self.conn, self.number = sink, conn, number
        self.buffer, self.secure, self.state = b"", False, State()

    def run(self):
        try:
            if self.obey("connect", b""):
                self.reply(self.sink.banner)
            while True:
                self.command(self.line())
        except (Gone, OSError, ssl.SSLError):
            pass
        finally:
            with self.sink.changed:
                self.sink.sockets.discard(self.conn)
                self.conn.close()

    # -- bytes
    def more(self):
        got = self.conn.recv(262144)
        if not got:
            raise Gone
        self.buffer += got

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        self.sink._say(self.number, "C", line)
        return line

    def reply(self, text):
        for line in text.split("\n"):
            self.sink._say(self.number, "S", line.encode())
        self.conn.sendall(text.replace("\n", "\r\n").encode() + b"\r\n")

    def obey(self, stage, line):
        """Follow a rule for this stage; True when the ordinary thing is to be done."""
        rule = self.sink._rule(stage, line, self.number)
        if rule is None:
            return True
        if rule.action is DROP:
            raise Gone
        if rule.action is STALL:
            self.stall(rule.stall_s)
            return True
        self.reply(rule.action)
        if rule.action.startswith("421"):
            raise Gone
        return False

    def stall(self, seconds):
        end = time.monotonic() + (seconds if seconds is not None else 3600)
        while time.monotonic() < end:
            if self.sink.stopping.wait(0.02):
                raise Gone
            if seconds is None:         # until the peer gives up
                self.conn.settimeout(0.02)
                try:
                    if not self.conn.recv(65536):
                        raise Gone
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
                finally:
                    self.conn.settimeout(None)

    # -- commands
    def command(self, line):
        verb = line.split(b" ", 1)[0].upper()
        handler = COMMANDS.get(verb)
        if handler is None:
            self.reply("500 5.5.1 what?")
            return
        stage, function = handler
        if self.obey(stage, line):
            function(self, line)

    def helo(self, line):
        self.state = State(helo=line)
        words = list(self.sink.extensions)
        if self.sink.tls and not self.secure:
            words.append("STARTTLS")
        if line[:4].upper() == b"HELO" or not words:
            self.reply("250 sink.example")
            return
        rows = ["sink.example", *words]
        self.reply("\n".join(["250-" + r for r in rows[:-1]] + ["250 " + rows[-1]]))

    def mail(self, line):
        if self.state.mail is not None:
            self.reply("503 5.5.1 nested MAIL")
            return
        self.state.mail = line
        self.reply("250 2.1.0 ok")

    def rcpt(self, line):
        if self.state.mail is None:
            self.reply("503 5.5.1 need MAIL")
            return
        self.state.rcpts.append(line)
        self.reply("250 2.1.5 ok")

    def data(self, _line):
        if not self.state.rcpts:
            self.reply("503 5.5.1 need RCPT")
            return
        self.reply("354 go on")
        raw = bytearray(b"\r\n")        # so that a lone dot in the first line ends it as well
        mid_rule_done = False
        while True:
            raw += self.buffer
            self.buffer = b""
            if len(raw) > 2 and not mid_rule_done:
                mid_rule_done = True
                if not self.obey("body", b""):
                    raise Gone
            end = raw.find(b"\r\n.\r\n", max(0, self.searched(raw)))
            if end >= 0:
                break
            self.more()
        self.buffer = bytes(raw[end + 5:])
        content = bytes(raw[:end + 2]).replace(b"\r\n..", b"\r\n.")[2:]
        self.done(content)

    def searched(self, raw):
        """Everything before this was seen to hold no end of data."""
        seen, self.seen = getattr(self, "seen", 0), len(raw) - 4
        if seen > len(raw):
            seen = 0
        return seen

    def bdat(self, line):
        words = line.split()
        size, last = int(words[1]), len(words) > 2 and words[2].upper() == b"LAST"
        while len(self.buffer) < size:
            self.more()
        self.state.chunks += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if last:
            self.done(self.state.chunks, bdat=True)
        else:
            self.reply(f"250 2.0.0 {size} octets")

    def done(self, content, bdat=False):
        self.seen = 0
        s = self.state
        self.state = State(helo=s.helo)
        if not self.obey("eod", b""):
            return
        self.sink._record(Message(s.helo, s.mail, s.rcpts, content, self.secure, self.number,
                                  time.time(), bdat=bdat))
        for _ in s.rcpts if self.sink.lmtp else [1]:
            self.reply("250 2.0.0 taken")

    def rset(self, _line):
        self.state = State(helo=self.state.helo)
        self.reply("250 2.0.0 ok")

    def noop(self, _line):
        self.reply("250 2.0.0 ok")

    def quit(self, _line):
        self.reply("221 2.0.0 bye")
        if self.secure:
            self.sink.ends.append(self.end_of_tls())
        raise Gone

    def end_of_tls(self):
        try:
            return "close_notify" if self.conn.recv(1) == b"" else "more"
        except OSError:
            return "cut"

    def starttls(self, _line):
        if self.sink.tls is None or self.secure:
            self.reply("502 5.5.1 not here")
            return
        self.reply("220 2.0.0 go on")
        self.obey("tls", b"")
        self.buffer = b""
        plain = self.conn
        self.conn = self.sink.tls.wrap_socket(plain, server_side=True,
                                               suppress_ragged_eofs=False)
        with self.sink.changed:
            self.sink.sockets.discard(plain)
            self.sink.sockets.add(self.conn)
        self.secure, self.state = True, State()


COMMANDS = {
    b"EHLO": ("ehlo", Session.helo), b"HELO": ("ehlo", Session.helo),
    b"LHLO": ("ehlo", Session.helo),
    b"MAIL": ("mail", Session.mail), b"RCPT": ("rcpt", Session.rcpt),
    b"DATA": ("data", Session.data), b"BDAT": ("bdat", Session.bdat),
    b"RSET": ("rset", Session.rset), b"NOOP": ("rset", Session.noop),
    b"QUIT": ("quit", Session.quit), b"STARTTLS": ("starttls", Session.starttls),
}
