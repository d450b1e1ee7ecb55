#!/usr/bin/env python3
"""Large messages arriving at once, with small ones beside them, and next hops that read slowly or
not at all: memory stays bounded, small mail stays quick, everything arrives as it was sent.
tests/run: alone tests/run: anyone"""
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import proc, smtpclient              # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.load import Load                           # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import STALL, Sink                    # noqa: E402

LONG = os.environ.get("POSTERN_LONG") == "1"
LARGE, LARGE_BYTES = (200, 50_000_000) if LONG else (20, 20_000_000)
MEMORY_MAX = 300_000_000
SLOWER_MAX, TRIES = 5, 3
SMALL = 4000 if LONG else 300
NOISE = 0 if LONG else 0.1      # of the whole time: a short run beside what else is done here


class Memory(threading.Thread):
    """The most that all processes of the gateway had together, and which of them had it."""

    def __init__(self, g):
        super().__init__(daemon=True)
        self.g, self.most, self.by_role, self.over = g, 0, {}, False

    def look(self):
        roles = {r: proc.pss_bytes(p) for r, p in self.g.roles().items()}
        roles["master"] = proc.pss_bytes([self.g.process.pid])
        if sum(roles.values()) > self.most:
            self.most = sum(roles.values())
            self.by_role = {r: f"{n / 1e6:.0f}M" for r, n in roles.items()}

    def run(self):
        while not self.over:
            self.look()
            time.sleep(0.1)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join(20)

    def __str__(self):
        return f"{self.most / 1e6:.0f} MB in all, {self.by_role}"


def options():
    return {"limits": {"message_size": Word("64M"), "connections_per_client": max(100, 2 * LARGE)},
            "retry": {"first": Word("1s")},
            "processes": {"finish": Word("1s")}}


def elsewhere(*processes):
    """They stand for other machines: what they do with this one's processors is not measured."""
    for p in processes:
        os.setpriority(os.PRIO_PROCESS, p.pid, 19)


def idle(where, count):
    """p99 of small mail with nothing beside it."""
    with Load(where / "idle", count) as load, \
            Gateway(where / "idle-gw", smart_host=load.hop, options=options()) as g:
        load.send(g.port, 1, options=["-D", 1])
        load.wait_arrived()
        return load.finish().source


def large_and_small(where):
    """A disk or a neighbour of this machine may stand still for a moment: who is slow because of
    large mail is so each time."""
    for n in range(TRIES):
        slow = measured(where / str(n))
        if not slow:
            return
        print(f"# {slow}", flush=True)
    raise AssertionError(slow)


def measured(where):
    """What is wrong with the small ones' time, or None."""
    alone = idle(where, SMALL)
    with Load(where / "large", LARGE) as large, Load(where / "small", 1_000_000) as small, \
            Gateway(where / "gw", smart_host=large.hop, options=options(),
                    mailertable={"dest0.example": small.hop}) as g, Memory(g) as memory:
        started = time.monotonic()
        large.send(g.port, LARGE, size=LARGE_BYTES, options=["-T", 300])
        elsewhere(large.source, large.sink)
        small.send(g.port, 1, options=["-D", 1])
        large.sent(1200 if LONG else 300)
        large.wait_arrived(1200 if LONG else 300)
        took = time.monotonic() - started
        small.source.terminate()
        small.wait_arrived()
        big, little = large.finish(), small.finish()
        p99, idle_p99 = little.source["lat_p99_ms"], alone["lat_p99_ms"]
        print(f"# {LARGE} x {LARGE_BYTES / 1e6:.0f} MB in {took:.1f} s "
              f"({LARGE * LARGE_BYTES / 1e6 / took:.0f} MB/s): {big}")
        print(f"# beside them {len(little.accepted)} small ones, p50 "
              f"{little.source['lat_p50_ms']} ms, p99 {p99} ms, max "
              f"{little.source['lat_max_ms']}; idle p50 {alone['lat_p50_ms']} ms, p99 "
              f"{idle_p99} ms: {p99 / idle_p99:.1f} x")
        print(f"# memory: {memory}", flush=True)
        for r, n in ((big, LARGE), (little, len(little.accepted))):
            assert len(r.accepted) == n and not r.lost and not r.duplicates, str(r)
            assert r.sink["corrupt"] == 0, str(r)
        assert len(little.accepted) > 50, "too few small ones to say anything"
        assert memory.most <= MEMORY_MAX, str(memory)
        noise_ms = max(1000, took * 1000) * NOISE
        if p99 > max(SLOWER_MAX * idle_p99, noise_ms):
            return f"p99 {p99} ms beside large mail, {idle_p99} idle"
        return None


def stalled_sink(where):
    """Next hops that stop reading in the middle of large messages: they fill no memory, and mail
    to others goes on."""
    count, size = 20, 10_000_000
    content = b"Subject: large\r\n\r\n" + (b"0123456789" * 9 + b"\r\n") * (size // 92)
    with Sink(extensions=["8BITMIME", "SIZE"]) as stuck, Sink() as good, \
            Gateway(where, smart_host=("127.0.0.1", good.port), options=options(),
                    mailertable={"stuck.example": ("127.0.0.1", stuck.port)}) as g, \
            Memory(g) as memory:
        # 354 and not a byte read after it
        stuck.at("body", STALL, stall_s=3600)
        for n in range(count):
            r = smtpclient.deliver(g.port, content, rcpts=[f"u{n}@stuck.example"])
            assert r.code == 250, r
        stuck.wait_session(5)
        for n in range(5):
            assert smtpclient.deliver(g.port, b"Subject: s\r\n\r\nx\r\n").code == 250
        good.wait(5)
        time.sleep(1)
        print(f"# {count} x {size / 1e6:.0f} MB to a next hop that does not read: {memory}",
              flush=True)
        assert memory.most <= 150_000_000, str(memory)
        stuck.clear()
        assert not stuck.messages


def slow_clients(where):
    """Many clients in the middle of large messages that send no more: what they sent is bounded
    by the inline limit of each, and others are served."""
    count = 60
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port),
                                 options=options()) as g, Memory(g) as memory:
        held = []
        try:
            for n in range(count):
                c = smtpclient.Client(g.port)
                held.append(c)
                c.ehlo()
                assert c.envelope("a@x.example", f"u{n}@x.example").code == 250
                assert c.cmd("DATA").code == 354
                c.send((b"x" * 98 + b"\r\n") * 20000)       # 2 MB
            assert smtpclient.deliver(g.port, b"Subject: s\r\n\r\nx\r\n").code == 250
            sink.wait(1)
            memory.look()
            print(f"# {count} clients in the middle of 2 MB: {memory}", flush=True)
            assert memory.most <= 100_000_000, str(memory)
            for c in held:
                c.send(b"\r\n.\r\n")
                assert c.reply().code == 250
        finally:
            for c in held:
                c.sock.close()
        sink.wait(count + 1)


def main():
    return Report().cases("backpressure", (large_and_small, stalled_sink, slow_clients))


if __name__ == "__main__":
    sys.exit(main())
