#!/usr/bin/env python3
"""SMTP smuggling, in through a real socket and out to a sink that records every byte: what one
client sent as one message arrives as one message or not at all, and never does a CR or LF of its
own leave this gateway.
tests/run: long sanitizers tests/run: anyone"""
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient, temp                    # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import EXTENSIONS, Sink               # noqa: E402

ENDS = {
    "LF.LF": b"\n.\n", "CR.CR": b"\r.\r", "LF.CRLF": b"\n.\r\n", "CRLF.CR": b"\r\n.\r",
    "CRLF.LF": b"\r\n.\n", "CR.CRLF": b"\r.\r\n", "CR.LF": b"\r.\n", "LF.CR": b"\n.\r",
    "LFCR.CRLF": b"\n\r.\r\n", "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n", "CRLFLF.LF": b"\r\n\n.\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n", "bareCR": b"\r", "bareLF": b"\n", "LFLF": b"\n\n",
    "CRLF..LF": b"\r\n..\n", "LF..LF": b"\n..\n",
}
# These hold no line end of their own: content like any other.
CLEAN = {"CRLF.x": b"\r\n..x\r\n", "NUL": b"\r\n\0.\r\n", "CRLF..CRLF": b"\r\n..\r\n",
         "CRLF. CRLF": b"\r\n.. \r\n", "CRLF.NUL": b"\r\n..\0\r\n"}
SMUGGLED = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@dest.example>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled")
TRUE_END = b"\r\n.\r\n"


def normalised(wire):
    """What the bytes before the true end become: every line end CRLF, dots undoubled."""
    out, true = b"", True
    for line, end in re.findall(rb"([^\r\n]*)(\r\n|\r|\n|$)", wire):
        if line.startswith(b"..") or (true and line.startswith(b".") and len(line) > 1):
            line = line[1:]
        out, true = out + line + (b"\r\n" if end else b""), end == b"\r\n"
    return out


class Case:
    """One gateway with a policy, before it a client, behind it a sink."""

    def __init__(self, where, sink, options=None, source=None):
        self.sink, self.source = sink, source
        self.gateway = Gateway(where, smart_host=("127.0.0.1", sink.port), options=options)

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *what):
        self.gateway.__exit__(*what)

    def client(self):
        c = smtpclient.Client(self.gateway.port, source=self.source)
        c.ehlo()
        return c

    def pipelined(self, body, cuts=()):
        """Everything from MAIL to the commands behind the true end at once, or cut; the reply to
        the true end. The session must be in step afterwards."""
        with self.client() as c:
            assert c.envelope("a@client.example", "b@dest.example").code == 250
            assert c.cmd("DATA").code == 354
            whole = body + TRUE_END + b"NOOP\r\nVRFY x\r\n"
            last = 0
            for cut in cuts:
                c.send(whole[last:cut])
                time.sleep(0.002)
                last = cut
            c.send(whole[last:])
            end = c.reply()
            noop, vrfy = c.reply(), c.reply()
            assert noop.code == 250 and vrfy.code in (252, 502, 550, 250), (end, noop, vrfy)
            bye = c.cmd("QUIT")
            assert bye.code == 221, (body, end, noop, vrfy, bye)
            return end

    def sees(self, count):
        """The sink has so many messages and nobody said MAIL for more."""
        got = self.sink.wait(count)
        mails = [line for _, who, line in self.sink.dialogue
                 if who == "C" and line.upper().startswith(b"MAIL ")]
        assert len(got) == count and len(mails) == count, (len(got), mails)
        assert all(m.recipients == ["b@dest.example"] for m in got), got
        return got

    def marker(self, count):
        """An ordinary message behind it all: had something been smuggled, it would be there."""
        assert self.pipelined(b"Subject: marker\r\n\r\nlast").code == 250
        return self.sees(count)


def body(sequence):
    return b"Subject: outer\r\n\r\nbefore" + sequence + SMUGGLED


def at(sequence, content):
    """Places to cut: before each of its bytes, and behind it."""
    start = content.index(sequence)
    return range(start, start + len(sequence) + 1)


def refused(where, words):
    """Policy reject: 550 at the true end, once, and nothing goes out."""
    with Sink(extensions=words) as sink, Case(where, sink) as case:
        for name, sequence in ENDS.items():
            content = body(sequence)
            for cuts in ((), at(sequence, content)):
                end = case.pipelined(content, cuts)
                assert end.code == 550 and end.text[4:].startswith("5."), (name, end)
        case.marker(1)
        assert not re.search(r"evil@|victim@", case.gateway.log())


def made_good(where, words, options=None, source=None):
    """Policy normalise: one message, its line ends CRLF, byte for byte."""
    options = options or {'listen "mx"': {"bare_newline": Word("normalise")}}
    with Sink(extensions=words) as sink, Case(where, sink, options, source) as case:
        want = []
        for name, sequence in {**ENDS, **CLEAN}.items():
            content = body(sequence)
            for cuts in ((), at(sequence, content)):
                end = case.pipelined(content, cuts)
                assert end.code == 250, (name, end)
                want.append((name, normalised(content) + b"\r\n"))
        check(case.marker(len(want) + 1), want)


def check(got, want):
    """As sets: they may overtake one another. Behind our Received header, byte for byte."""
    have = {}
    for m in got:
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", m.data), m.data
        plain = re.sub(rb"\AReceived:.*?\r\n(?![ \t])", b"", m.data, count=1, flags=re.S)
        have[plain] = have.get(plain, 0) + 1
    for name, content in want:
        assert have.get(content, 0) > 0, f"{name}: nothing arrived as {content!r}"
        have[content] -= 1
    left = [c for c, n in have.items() if n and b"Subject: marker" not in c]
    assert not left, f"arrived and was not sent: {left[0]!r}"


def clean(where, words):
    """What holds no line end of its own passes policy reject, dots and NULs and all."""
    with Sink(extensions=words) as sink, Case(where, sink) as case:
        want = []
        for name, sequence in CLEAN.items():
            assert case.pipelined(body(sequence)).code == 250, name
            want.append((name, normalised(body(sequence)) + b"\r\n"))
        check(case.marker(len(want) + 1), want)


def by_bdat(where, words):
    """Counted content that holds an end of data: it is content, however it is sent on."""
    inner = (b"Subject: outer\r\n\r\nbefore\r\n.\r\n" + SMUGGLED + b"\r\n.\r\n..\r\n.x\r\n"
             b"QUIT\r\n")
    with Sink(extensions=words) as sink, Case(where, sink) as case:
        chunk = b"BDAT %d LAST\r\n" % len(inner) + inner + b"NOOP\r\n"
        with case.client() as c:
            assert c.envelope("a@client.example", "b@dest.example").code == 250
            c.send(chunk)
            assert c.reply().code == 250 and c.reply().code == 250
        for bad in (b"x\n.\nMAIL FROM:<evil@x.example>\r\n", b"x\r.\r\n", b"x\r"):
            with case.client() as c:
                assert c.envelope("a@client.example", "b@dest.example").code == 250
                c.send(b"BDAT %d LAST\r\n" % len(bad) + bad + b"NOOP\r\n")
                assert c.reply().code == 550 and c.reply().code == 250
        one, two = b"Subject: cut\r\n\r", b"\nbody\r\n.\r\n"  # they share a CRLF
        with case.client() as c:
            assert c.envelope("a@client.example", "b@dest.example").code == 250
            c.send(b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (len(one), one, len(two), two))
            replies = c.reply(), c.reply()
            assert [r.code for r in replies] == [250, 250], replies
        check(case.marker(3), [("end of data", inner),
                               ("cut", one + two)])


def hostile_replies(where):
    """A next hop whose replies carry control bytes and half lines: they reach log and report in
    another form, and never as lines of their own."""
    nasty = "550-5.1.1 \x1b[2Jno\n550 5.1.1 such\tuser \x00 here\x7f \xff"
    with Sink() as sink, Case(where, sink) as case:
        sink.at("rcpt", nasty, match=b"b@dest", times=1)
        assert case.pipelined(b"Subject: x\r\n\r\ny").code == 250
        report = sink.wait(1)[0]
        text = (case.gateway.dir / "stat.log").read_bytes()
        assert b"to=<b@dest.example>" in text
        for data in (text.replace(b"\n", b""), report.data.replace(b"\r\n", b"").replace(
                b"\t", b"")):
            assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data), data


def main():
    temp.exit_on_term()
    report = Report()
    wanted = sys.argv[1:]
    by = {"data": [w for w in EXTENSIONS if w != "CHUNKING"], "bdat": EXTENSIONS,
          "steps": ["8BITMIME"]}
    from_here = {'listen "mx"': {"normalise_from": ["127.0.0.2/32"]}}
    cases = [("refused", refused, by["data"])]
    cases += [(f"made_good_out_by_{w}", made_good, by[w]) for w in by]
    cases += [("made_good_for_a_client", made_good, by["data"], from_here, "127.0.0.2")]
    cases += [(f"clean_out_by_{w}", clean, by[w]) for w in by]
    cases += [(f"by_bdat_out_by_{w}", by_bdat, by[w]) for w in by]
    cases += [("hostile_replies", hostile_replies)]
    for name, case, *args in cases:
        if wanted and name not in wanted:
            continue
        with temp.Dir("smuggling") as where:
            report.run(f"smuggling/{name}", case, where, *args)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
