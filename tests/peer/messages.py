"""The messages that cross the matrix: what other programs might change, if anybody did."""
from dataclasses import dataclass, field

HEAD = ("From: Ann <ann@client.example>\r\nTo: bob@dest.example\r\nSubject: {subject}\r\n"
        "Date: Fri, 20 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{subject}@client.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: {encoding}\r\n")
TEXT = b"Hello,\r\n\r\nthis is all.\r\n"


@dataclass
class Mail:
    kind: str
    body: bytes
    encoding: str = "7bit"
    sender: str = "ann@client.example"
    rcpts: list = field(default_factory=lambda: ["bob@dest.example"])
    mail_parameters: str = ""
    rcpt_parameters: str = ""
    needs: str = ""             # an extension without which the next server may refuse it

    def content(self, tag):
        head = HEAD.format(subject=f"{tag}-{self.kind}", encoding=self.encoding)
        return head.encode() + b"\r\n" + self.body


def long_lines():
    line = b"0123456789" * 99
    return b"".join(b"%03d " % n + line + b"\r\n" for n in range(20))


KINDS = [
    Mail("text", TEXT),
    Mail("empty", b""),
    Mail("dots", b".\r\n..\r\n...\r\n.x\r\n\r\n. \r\nend.\r\n.\r\n"),
    Mail("blanks", b"  \r\n\t\r\ntrailing  \r\n\r\n\r\nFrom here on\r\n>From there\r\n\r\n\r\n"),
    Mail("eightbit", "Grüße aus Zürich\r\n".encode() + bytes(range(128, 256)) + b"\r\n",
         encoding="8bit", mail_parameters=" BODY=8BITMIME"),
    Mail("long", long_lines()),
    Mail("big", b"".join(b"%07d %s\r\n" % (n, b"x" * 68) for n in range(14000))),
    Mail("rcpts", TEXT, rcpts=[f"r{n}@dest{n % 3}.example" for n in range(12)]),
    Mail("null", TEXT, sender=""),
    Mail("dsn", TEXT, mail_parameters=" RET=HDRS ENVID=env+2Bid",
         rcpt_parameters=" NOTIFY=FAILURE,DELAY ORCPT=rfc822;orig@dest.example", needs="DSN"),
    Mail("utf8", "ü\r\n".encode(), sender="änn@client.example", encoding="8bit",
         mail_parameters=" SMTPUTF8 BODY=8BITMIME", needs="SMTPUTF8"),
]
