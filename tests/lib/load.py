"""Numbered mail through a gateway, by bench/mailload: who accepted what, and what arrived.

    with Load(dir, count=3000) as load:             # a counting sink on load.port
        with Gateway(dir, smart_host=load.hop) as g:
            load.send(g.port, connections=20)       # returns at once
            ...
            load.wait_arrived()                     # of the source, then of the gateway
            result = load.finish()                  # .lost, .duplicates, .source, .sink
"""
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import gateway, ports, proc


@dataclass
class Result:
    source: dict            # the JSON lines of both
    sink: dict
    accepted: set           # numbers whose 250 was heard
    unsure: set             # the connection broke behind the final dot
    arrived: dict           # number: how often

    @property
    def lost(self):
        return sorted(self.accepted - set(self.arrived))

    @property
    def duplicates(self):
        """How many copies came beyond the first."""
        return sum(n - 1 for n in self.arrived.values())

    def __str__(self):
        return (f"{len(self.accepted)} accepted, {len(self.unsure)} unsure, "
                f"{self.source['retries']} retries, {len(self.arrived)} arrived, "
                f"{len(self.lost)} lost, {self.duplicates} duplicates, "
                f"{self.sink['corrupt']} corrupt, {self.source['rate']:.0f}/s, last error "
                f"'{self.source['last_error']}'")


def program():
    """Beside the gateway's binary, or the product's where that one has none (sanitizers)."""
    beside = gateway.binary().resolve().parent / "bench" / "mailload"
    return beside if beside.exists() else gateway.TOP / "build" / "bench" / "mailload"


def read_list(path):
    return [line.split() for line in Path(path).read_text().splitlines()]


class Load:
    """options: of the sink's command line."""

    def __init__(self, directory, count, options=()):
        self.dir, self.count, self.port = Path(directory), count, ports.free()
        self.options, self.source, self.sink, self.said = list(options), None, None, None
        self.hop = ("127.0.0.1", self.port)

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self.sink = self.popen("sink", "-p", self.port, "-n", self.count, "-T", 300, "-W", 300,
                               "-g", 600_000, "-l", self.dir / "arrived", *self.options)
        ports.wait_listening(self.port)
        return self

    def popen(self, *argv):
        quiet = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}    # it frees nothing when it ends
        return subprocess.Popen([str(program()), *map(str, argv)], stdout=subprocess.PIPE,
                                text=True, env=quiet)

    def send(self, port, connections=20, size=4096, per_connection=0, options=()):
        self.source = self.popen("source", "-p", port, "-n", self.count, "-c", connections,
                                 "-s", size, "-m", per_connection, "-T", 90,
                                 "-l", self.dir / "accepted", *options)

    def sending(self):
        return self.source.poll() is None

    def sent(self, timeout_s=300):
        self.said = result(self.source, timeout_s)
        return self.said

    def arrived(self):
        """{number: how often} so far."""
        path = self.dir / "arrived"
        path.unlink(missing_ok=True)
        self.sink.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 90
        while not path.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"the sink does not answer ({self.sink.poll()})")
            time.sleep(0.01)
        return {int(n): int(k) for n, k in read_list(path)}

    def wait_arrived(self, timeout_s=300):
        """Until all that was accepted has arrived, and nothing more comes for a second."""
        self.said = self.said or self.sent(timeout_s)
        accepted = {int(n) for n, how in read_list(self.dir / "accepted") if how == "accepted"}
        end, still, last = time.monotonic() + timeout_s, time.monotonic(), {}
        while time.monotonic() < end:
            got = self.arrived()
            if got != last:
                still, last = time.monotonic(), got
            elif accepted <= set(got) and time.monotonic() - still > 1:
                return
            time.sleep(0.1)

    def finish(self):
        """The source has ended; what was accepted and has not arrived now is lost."""
        sent = self.said or self.sent()
        self.sink.terminate()
        got = result(self.sink, 10)
        rows = read_list(self.dir / "accepted")
        return Result(sent, got, {int(n) for n, how in rows if how == "accepted"},
                      {int(n) for n, how in rows if how == "unsure"},
                      {int(n): int(k) for n, k in read_list(self.dir / "arrived")})

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        for p in (self.source, self.sink):
            proc.stop(p)
            if p:
                p.stdout.close()


def result(process, timeout_s):
    out, _ = process.communicate(timeout=timeout_s)
    return json.loads(out)
