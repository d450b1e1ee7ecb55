"""An LMTP server for tests (RFC 2033), on a TCP port or a UNIX socket: it records what it takes,
with one reply for each recipient.

    with LmtpServer(path="/dir/lmtp") as s:
        s.final["bob@x"] = "550 5.2.2 full"; s.rcpt["eve@x"] = "550 5.1.1 nobody"
"""
import os
import re
import socketserver
import threading
from pathlib import Path


class Handler(socketserver.StreamRequestHandler):
    def say(self, *lines):
        try:
            self.wfile.write(b"".join(line.encode() + b"\r\n" for line in lines))
        except BrokenPipeError:         # who has what he wanted need not wait for the rest
            pass

    def handle(self):
        owner = self.server.owner
        owner.sessions += 1
        self.say("220 lmtp.example LMTP")
        sender, rcpts = None, []
        for line in iter(self.rfile.readline, b""):
            text = line.decode().rstrip("\r\n")
            verb = text.split(" ")[0].upper()
            owner.commands.append(text)
            if verb == "LHLO":
                self.say("250-lmtp.example", "250-PIPELINING", "250-8BITMIME",
                         "250 ENHANCEDSTATUSCODES")
            elif verb == "MAIL":
                sender, rcpts = text, []
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                rcpt = re.search("<(.*)>", text).group(1)
                reply = owner.rcpt.get(rcpt, "250 2.1.5 ok")
                if reply[0] == "2":
                    rcpts.append(rcpt)
                self.say(reply)
            elif verb == "DATA":
                self.take(owner, sender, rcpts)
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            elif verb == "EHLO" or verb == "HELO":
                self.say("500 5.5.1 this is LMTP")
            else:
                self.say("250 2.0.0 ok")

    def take(self, owner, sender, rcpts):
        if not rcpts:
            self.say("503 5.5.1 no recipients")
            return
        self.say("354 go")
        data = b""
        for line in iter(self.rfile.readline, b".\r\n"):
            data += line[1:] if line.startswith(b".") else line
        for rcpt in rcpts:
            reply = owner.final.get(rcpt, "250 2.0.0 stored")
            if reply[0] == "2":
                owner.taken.append((rcpt, data))
            self.say(reply)


class LmtpServer:
    def __init__(self, path=None):
        self.path = path
        self.rcpt, self.final, self.taken, self.commands, self.sessions = {}, {}, [], [], 0
        kind = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
        self.server = kind(str(path) if path else ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        if path:
            os.chmod(path, 0o666)
        else:
            self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        if self.path:
            Path(self.path).unlink(missing_ok=True)
