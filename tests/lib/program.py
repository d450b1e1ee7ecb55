"""One test program: run it with a time-out, read its `ok`, `not ok` and `skip` lines."""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import proc

LINE = re.compile(r"^(ok|not ok|skip) (.*)$", re.M)
OUTPUT_MAX = 200_000            # characters of a failed program that are shown
live = set()                    # processes to end when we are told to end
live_lock = threading.Lock()


class Program:
    """argv; env over ours; timeout_s; alone: no other program beside it; elsewhere: the end of
    skip lines that do not count, as the same is run elsewhere."""

    def __init__(self, name, argv, env=None, timeout_s=500, cwd=None, alone=False):
        self.name, self.argv, self.env = name, [str(a) for a in argv], env or {}
        self.timeout_s, self.cwd, self.alone = timeout_s, cwd, alone
        self.elsewhere = None
        self.passed, self.failed, self.skipped = [], [], []
        self.output, self.seconds = "", 0.0

    def run(self):
        started = time.monotonic()
        with tempfile.TemporaryFile() as out:
            why = self.wait(out)
            out.seek(0)
            self.output = out.read().decode(errors="replace")
        self.seconds = time.monotonic() - started
        self.judge(why)
        return self

    def run_anew(self):
        self.passed, self.failed, self.skipped = [], [], []
        return self.run()

    def wait(self, out):
        """Until it ends; what is wrong with how it ended, or None."""
        try:
            p = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 cwd=self.cwd, env={**os.environ, **self.env},
                                 start_new_session=True)
        except OSError as e:
            return f"does not start: {e}"
        with live_lock:
            live.add(p)
        try:
            try:
                code = p.wait(self.timeout_s)
            except subprocess.TimeoutExpired:
                end(p)
                return f"not over after {self.timeout_s} s"
            left = end_group(p.pid)
        finally:
            with live_lock:
                live.discard(p)
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        if code > 0:
            return f"exit code {code}"
        return "left processes behind" if left else None

    def judge(self, why):
        """A program that says nothing has proved nothing, and a bad end counts once."""
        for kind, text in LINE.findall(self.output):
            {"ok": self.passed, "not ok": self.failed, "skip": self.skipped}[kind].append(text)
        exited = why is not None and why.startswith("exit code")
        if why and not (exited and self.failed):
            self.failed.append(f"{self.name}: {why}")
        if not (self.passed or self.failed or self.skipped):
            self.failed.append(f"{self.name}: says neither ok nor not ok")

    def full(self):
        text = self.output
        if len(text) > OUTPUT_MAX:
            half = OUTPUT_MAX // 2
            text = f"{text[:half]}\n... {len(text) - OUTPUT_MAX} characters ...\n{text[-half:]}"
        return text.rstrip("\n")


def end_group(pgid):
    """Kill what is left of a group we started; whether anything was."""
    time.sleep(0.01)            # those that were just told to end
    for wait_s in (0, 0.2, 1, 10):
        time.sleep(wait_s)
        if not proc.group(pgid):
            return False
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def end(p):
    """SIGTERM, so that it removes what it made; then the whole group."""
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    end_group(p.pid)


def end_live():
    with live_lock:
        left = list(live)
    for p in left:
        end(p)


def run_all(programs, jobs, done):
    """Run them, `jobs` at once, those that want to be alone last; done(program) after each."""
    lock = threading.Lock()

    def one(program):
        program.run()
        with lock:
            done(program)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [p for p in programs if not p.alone]))
    for p in programs:
        if p.alone:
            one(p)
