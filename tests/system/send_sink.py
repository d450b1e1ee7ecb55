#!/usr/bin/env python3
"""`postern send` against `postern sink`: bytes as they were, every stage that can go wrong, and
the exit codes scripts rely on. tests/run: long sanitizers tests/run: anyone"""
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, temp                 # noqa: E402
from lib.gateway import binary              # noqa: E402
from lib.report import Report               # noqa: E402
from lib.sink import DROP, Sink             # noqa: E402

MESSAGE = b"Subject: x\n\n.dot\n..two\r\nend"
AS_SENT = b"Subject: x\r\n\r\n.dot\r\n..two\r\nend\r\n"


class OurSink:
    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.process = subprocess.Popen(
            [binary(), "sink", "-l", "127.0.0.1:0", "--json", *map(str, self.options)],
            stdout=subprocess.PIPE, text=True)
        first = json.loads(self.process.stdout.readline())
        assert first["event"] == "listening", first
        self.port = first["address"].rsplit(":", 1)[1]
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.code = self.process.wait(90)
        self.process.stdout.close()

    def finish(self):
        """What it printed until it ended (by itself, or now by a signal)."""
        self.process.terminate()
        lines = [json.loads(x) for x in self.process.stdout]
        self.process.wait(90)
        return lines


def send(port, *options, message=MESSAGE, rcpts=("b@x.test", "c@x.test"), sender="a@x.test"):
    to = [w for r in rcpts for w in ("-r", r)]
    r = subprocess.run([binary(), "send", "-m", f"127.0.0.1:{port}", "-s", sender, *to,
                        *map(str, options)], input=message, capture_output=True, timeout=90)
    assert b"Sanitizer" not in r.stderr, r.stderr.decode()
    return r


def bytes_arrive(where, options, sink_options, want, message=MESSAGE):
    inbox = where / "-".join(["in", *options])
    with OurSink("--dir", inbox, *sink_options) as sink:
        r = send(sink.port, *options, message=message)
        assert r.returncode == 0, r.stderr.decode()
        lines = sink.finish()
    files = list(inbox.iterdir())
    assert [f.suffix for f in files] == [".eml"], files
    assert files[0].read_bytes() == want, files[0].read_bytes()[:300]
    assert lines[0]["from"] == "a@x.test" and lines[0]["to"] == ["b@x.test", "c@x.test"], lines
    assert lines[0]["bytes"] == len(want) and lines[-1]["messages"] == 1, lines


def big(where):
    """Larger than every buffer, dots at many line starts."""
    lines = [b"." * (i % 4) + b"line %d " % i + b"x" * (i % 200) for i in range(60000)]
    for options in ([], ["--bdat"]):
        bytes_arrive(where, ["--quiet", *options], [], b"\r\n".join(lines) + b"\r\n",
                     b"\n".join(lines))


def goes_wrong(fault, stage, code, words):
    with OurSink(f"--{fault}", stage) as sink:
        r = send(sink.port, "--timeout", "5s" if fault == "stall" else "1m")
        text = (r.stdout + r.stderr).decode()
        assert r.returncode == code and words in text, (r.returncode, text[-400:])


# stage: exit code and words when it stalls, drops and refuses
STAGES = {
    "greeting": [(75, "during client greeting"), (75, "during client greeting"), (69, "554")],
    "helo": [(75, "during client EHLO"), (75, "during client EHLO"), (69, "HELO")],
    "mail": [(75, "during client MAIL"), (75, "during client MAIL"), (69, "550")],
    "rcpt": [(75, "during client RCPT"), (75, "during client RCPT"), (69, "550")],
    "data": [(75, "during client DATA 354"), (75, "during client DATA 354"), (69, "550")],
    "body": [(75, "unknown"), (75, "unknown"), (69, "550")],
    "dot": [(75, "(it may have arrived)"), (75, "(it may have arrived)"), (69, "550")],
    "quit": [(0, "accepted"), (0, "accepted"), (0, "accepted")],
}


def temporary():
    for stage in ("greeting:421", "mail:451", "rcpt:450", "data:451", "dot:452"):
        goes_wrong("refuse", stage, 75, "deferred")


def lmtp():
    with OurSink("--lmtp") as sink:
        assert send(sink.port, "--lmtp").returncode == 0
        assert send(sink.port, "--lmtp", "--bdat").returncode == 0
        assert [x["event"] for x in sink.finish()] == ["message", "message", "end"]


def counts():
    with OurSink("--count", 2) as sink:
        assert send(sink.port).returncode == 0
        r = send(sink.port, "--json", sender="<>")
        document = json.loads(r.stdout)
        assert [x["result"] for x in document["recipients"]] == ["accepted", "accepted"]
        assert any(s["line"].startswith("MAIL FROM:<>") for s in document["steps"])
        assert sink.process.wait(90) == 0


def tls(where):
    with Sink(tls=certs.make(where)) as sink:
        for options, secret in (([], True), (["--tls", "require"], True),
                                (["--tls", "off"], False)):
            assert send(sink.port, *options).returncode == 0
            assert sink.messages[-1].tls is secret, options
            assert sink.messages[-1].data == AS_SENT
        sink.at("tls", DROP, times=1)
        assert send(sink.port).returncode == 0 and sink.messages[-1].tls is False
        sink.at("tls", DROP, times=1)
        assert send(sink.port, "--tls", "require").returncode == 75
    with Sink() as sink:
        assert send(sink.port, "--tls", "require").returncode == 75 and not sink.messages


def exit_codes(where):
    assert send(1).returncode == 75                                   # nobody listens
    assert send(1, message=b"a\rb\n").returncode == 65
    assert send(1, where / "nosuch").returncode == 66
    assert send(1, "--nosuch").returncode == 64
    assert send("25x").returncode == 64
    with OurSink() as sink:                                           # never said to the server
        assert send(sink.port, rcpts=["b@x.test>\r\nDATA"]).returncode == 69
        assert [x["event"] for x in sink.finish()] == ["end"]
    for verb in ("send", "sink"):
        r = subprocess.run([binary(), verb, "--help"], capture_output=True, timeout=90)
        assert r.returncode == 0 and b"usage: postern " in r.stdout, verb


def main():
    temp.exit_on_term()
    report = Report()
    with temp.Dir("send") as where:
        raw = b"a\nb\r.\n.\n\r\nend"
        report.run("send/DATA", bytes_arrive, where, [], [], AS_SENT)
        report.run("send/BDAT", bytes_arrive, where, ["--bdat"], [], AS_SENT)
        report.run("send/raw", bytes_arrive, where, ["--raw"], [], raw + b"\r\n", raw)
        report.run("send/big", big, where)
        with ThreadPoolExecutor(8) as pool:             # those that stall wait
            for stage, wants in STAGES.items():
                for fault, want in zip(("stall", "drop", "refuse"), wants):
                    pool.submit(report.run, f"send/{fault}-{stage}", goes_wrong, fault, stage,
                                *want)
        for case in (temporary, lmtp, counts):
            report.run(f"send/{case.__name__}", case)
        report.run("send/tls", tls, where)
        report.run("send/exit-codes", exit_codes, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
