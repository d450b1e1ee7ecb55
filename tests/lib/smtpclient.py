"""A raw SMTP client for dialogues: sends the bytes it is given, returns whole replies."""
import socket
import ssl


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3]) if lines[-1][:3].isdigit() else 0
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"<{self.text}>"


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """with Client(port) as c: c.greeting.code; c.cmd("EHLO me").lines; c.send(b"raw")"""

    def __init__(self, port, host="127.0.0.1", timeout_s=90, source=None, greet=True):
        self.sock = socket.create_connection((host, port), timeout_s,
                                             source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        while b"\r\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                raise Closed(f"closed after {self.buffer!r}")
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return Reply(lines)

    def cmd(self, text):
        self.send(text + "\r\n" if isinstance(text, str) else text + b"\r\n")
        return self.reply()

    def ehlo(self, name="client.example"):
        return self.cmd("EHLO " + name)

    def envelope(self, sender, *rcpts):
        """MAIL and RCPTs; the last reply that is not 2xx, or the last."""
        reply = self.cmd(f"MAIL FROM:<{sender}>")
        for r in rcpts:
            if reply.code // 100 != 2:
                return reply
            reply = self.cmd(f"RCPT TO:<{r}>")
        return reply

    def data(self, content):
        """DATA and content (CRLF lines, not yet dot-stuffed); the reply after the final dot."""
        reply = self.cmd("DATA")
        if reply.code != 354:
            return reply
        if isinstance(content, str):
            content = content.encode()
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        if not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self.send(stuffed + b".\r\n")
        return self.reply()

    def starttls(self):
        reply = self.cmd("STARTTLS")
        if reply.code == 220:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        return reply

    def closed(self):
        """True when the server has closed and nothing unread is left."""
        try:
            return self.buffer == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def deliver(port, content, sender="a@client.example", rcpts=("b@dest.example",), **options):
    """One message in one session; the reply to the end of data (or the first refusal)."""
    with Client(port, **options) as c:
        reply = c.ehlo()
        if reply.code != 250:
            return reply
        reply = c.envelope(sender, *rcpts)
        if reply.code // 100 == 2:
            reply = c.data(content)
        if reply.code != 421:
            c.cmd("QUIT")
        return reply
