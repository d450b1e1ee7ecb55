#!/usr/bin/env python3
"""`make run` does what it promises: starts, tells the journey of one message, leaves nothing."""
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import proc, temp                  # noqa: E402
from lib.gateway import TOP, binary         # noqa: E402
from lib.report import Report               # noqa: E402
from lib.waiting import until               # noqa: E402

DEMO = TOP / "tools" / "demo"
JOURNEY = [r"received +\w{14} from <you@example\.org>, \d+ bytes, 1 recipient",
           r"committed +on stable storage in (\d+|less than 1) ms",
           r"routed +<friend@example\.net> to .*127\.0\.0\.1.*, because of smart_host",
           r"delivered +<friend@example\.net> to .*127\.0\.0\.1.* in (\d+|less than 1) ms"]


def once(where):
    """One message through both, every line of its journey in turn, and the sink has it."""
    r = subprocess.run([DEMO, "--dir", where / "run", "--once"], capture_output=True, text=True,
                       timeout=90)
    assert r.returncode == 0, r.stdout + r.stderr
    at = 0
    for pattern in JOURNEY:
        found = re.compile(pattern).search(r.stdout, at)
        assert found, f"no /{pattern}/ in {r.stdout!r}"
        at = found.end()
    kept = list((where / "run" / "delivered").rglob("*.eml"))
    assert len(kept) == 1, kept
    assert b"Subject: the first message" in kept[0].read_bytes()


def until_interrupted(where):
    """Stays with its log; the message it tells the reader to send is delivered as told; after
    Ctrl-C nobody is left."""
    with open(where / "out", "wb") as out:
        p = subprocess.Popen([DEMO, "--dir", where / "run"], stdin=subprocess.DEVNULL, stdout=out,
                             stderr=out, preexec_fn=hears_interrupts)
    try:
        text = wait_word(where / "out", "Ctrl-C stops everything")
        command = re.search(r"^  (printf .*(?:\\\n.*)?)$", text, re.M).group(1)
        r = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=90)
        assert r.returncode == 0, r.stdout + r.stderr
        wait_word(where / "out", "to=<you@example.com>")
        tree = proc.tree(p.pid)
        assert len(tree) > 5, "only these run: %s" % tree
        p.send_signal(signal.SIGINT)
        assert p.wait(90) == 0
        assert not proc.end_all(tree), "processes are left"
    finally:
        proc.stop(p)


def hears_interrupts():
    """Which a test in the background of a shell does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_word(path, word):
    return until(lambda: word in (text := path.read_text(errors="replace")) and text,
                 why=lambda: f"no {word!r} in {path.read_text(errors='replace')!r}")


def main():
    temp.exit_on_term()
    report = Report()
    if not binary().exists():
        report.skip("demo", f"{binary()} is not built")
        return report.code()
    for case in (once, until_interrupted):
        with temp.Dir("demo") as where:
            report.run(f"demo/{case.__name__}", case, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
