#!/usr/bin/env python3
"""A spool whose disk fills up: new mail hears 452, what is queued goes out all the same, nothing
that was accepted is lost, and new mail is taken again when there is space. Needs root for a file
system of its own. tests/run: once"""
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import smtpclient                    # noqa: E402
from lib.gateway import Gateway, Word               # noqa: E402
from lib.load import Load                           # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import until                       # noqa: E402

DISK = 24                                           # MB
OPTIONS = {"limits": {"message_size": Word("40M")},
           "retry": {"first": Word("1s"), "max": Word("1s")},
           "processes": {"finish": Word("1s")}}


class Disk:
    """A small file system at `path`, gone again at the end."""

    def __init__(self, path, kind, size_mb=DISK):
        self.path, self.kind, self.size_mb = Path(path), kind, size_mb
        self.image = self.path.with_suffix(".img")

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("only root can mount a small file system")
        self.path.mkdir(parents=True)
        if self.kind == "tmpfs":
            mount = ["mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m", "tmpfs"]
        else:
            self.image.write_bytes(b"")
            os.truncate(self.image, self.size_mb << 20)
            made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(self.image)],
                                  capture_output=True, text=True, check=False)
            if made.returncode:
                raise Skip(f"mkfs.ext4: {made.stderr}")
            mount = ["mount", "-o", "loop", str(self.image)]
        done = subprocess.run([*mount, str(self.path)], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise Skip(f"{self.kind} cannot be mounted: {done.stderr}")
        return self

    def __exit__(self, *_):
        for _ in range(50):
            if subprocess.run(["umount", str(self.path)], capture_output=True,
                              check=False).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", str(self.path)], check=False)

    def fill(self, leave):
        """Somebody else fills it, but for `leave` bytes."""
        fd = os.open(self.path / "ballast", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            while (size := self.free() - leave) > 0:
                os.write(fd, b"x" * size)
                os.fsync(fd)
        except OSError as e:            # others write as well
            if e.errno != errno.ENOSPC:
                raise
        finally:
            os.close(fd)

    def relieve(self):
        (self.path / "ballast").unlink()

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize


def gateway(where, hop, disk, mailertable=None, **spool):
    spool = {"directories": [f"{disk.path}/q0"], "free_min": Word("2M"), "reserve": Word("1M"),
             "segment_size": Word("2M"), **spool}
    return Gateway(where, smart_host=hop, mailertable=mailertable,
                   options={**OPTIONS, "spool": spool})


def content(n, size):
    return (f"Subject: {n}\r\n\r\n".encode() + (b"0123456789" * 7 + b"\r\n") * (size // 72))


def numbers(sink):
    return sorted(int(m.data.split(b"Subject: ")[1].split(b"\r\n")[0]) for m in sink.messages)


def wait_452(port, n, size=2000, timeout_s=90):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        r = smtpclient.deliver(port, content(n, size))
        if r.code == 452:
            return r
        assert r.code == 250, r
        n += 1
        time.sleep(0.05)
    raise TimeoutError("never 452")


def wait_250(port, text, timeout_s=90):
    end = time.monotonic() + timeout_s
    while (r := smtpclient.deliver(port, text)).code != 250:
        assert r.code in (451, 452), r
        assert time.monotonic() < end, r
        time.sleep(0.05)


def wait_mail(port, code, timeout_s=90):
    """Until MAIL is answered so."""
    end = time.monotonic() + timeout_s
    with smtpclient.Client(port) as c:
        c.ehlo()
        while (r := c.cmd("MAIL FROM:<a@client.example>")).code != code:
            assert time.monotonic() < end, r
            c.cmd("RSET")
            time.sleep(0.05)


def below_free_min(where, kind):
    """Less than free_min is left: 452 at MAIL, and what is queued goes out."""
    with Disk(where / "disk", kind) as disk, Sink() as sink:
        with gateway(where / "gw", ("127.0.0.1", 9), disk) as g:
            for n in range(10):
                assert smtpclient.deliver(g.port, content(n, 20000)).code == 250
            disk.fill(leave=1 << 20)
            r = wait_452(g.port, 1000)
            assert "4.3.1" in r.text, r
            with smtpclient.Client(g.port) as c:        # the session stays
                c.ehlo()
                assert c.cmd("MAIL FROM:<a@x.example>").code == 452
                assert c.cmd("NOOP").code == 250
            g.wait_log(r"less than spool\.free_min")
            g.smart_host = ("127.0.0.1", sink.port)
            g.configure()
            r = g.cli("reload")
            assert r.returncode == 0, r
            until(lambda: numbers(sink)[:10] == list(range(10)), why=lambda: numbers(sink))
            disk.relieve()
            wait_250(g.port, content(5000, 2000))
            until(lambda: 5000 in numbers(sink), why=lambda: numbers(sink))


def really_full(where, kind):
    """Not a byte is left while mail comes in: 452 or 451, none of the accepted is lost, outcomes
    still find room, and a restart on the full disk works."""
    with Disk(where / "disk", kind) as disk, Sink() as sink:
        accepted, refused = [], 0
        g = gateway(where / "gw", ("127.0.0.1", 9), disk, free_min=Word("64K"))
        g.start()
        try:
            for n in range(3):
                assert smtpclient.deliver(g.port, content(n, 50000)).code == 250
                accepted.append(n)
            disk.fill(leave=1_500_000)
            for n in range(100, 100 + 60):
                r = smtpclient.deliver(g.port, content(n, 100_000))
                if r.code == 250:
                    accepted.append(n)
                else:
                    assert r.code in (451, 452), r
                    refused += 1
            assert refused, "it never became full"
            disk.fill(leave=0)
            r = smtpclient.deliver(g.port, content(1, 1000))
            assert r.code in (451, 452), r
            big = smtpclient.deliver(g.port, content(1, 1_000_000))     # streamed
            assert big.code in (451, 452), big
            g.stop()
            g.smart_host = ("127.0.0.1", sink.port)
            g.start()
            sink.wait(len(accepted))
            disk.relieve()
            wait_250(g.port, content(999, 1000))
            sink.wait(len(accepted) + 1)
            time.sleep(0.5)
            assert numbers(sink) == sorted(accepted + [999]), (numbers(sink), accepted)
            print(f"# {kind}: {len(accepted)} accepted, {refused} refused", flush=True)
        finally:
            g.stop()


def load_on_full(where):
    """Load that fills the disk faster than the next hop takes it: the source is put off again and
    again, and everything arrives once."""
    count = 3000
    with Disk(where / "disk", "ext4") as disk, Load(where / "load", count) as load, \
            gateway(where / "gw", load.hop, disk) as g:
        load.send(g.port, 20, size=30000, per_connection=10)
        for _ in range(3):
            time.sleep(0.3)
            disk.fill(leave=0)
            wait_mail(g.port, 452)
            disk.relieve()
            wait_mail(g.port, 250)
        load.wait_arrived()
        r = load.finish()
        print(f"# {r}", flush=True)
        assert len(r.accepted) == count and not r.lost, str(r)
        assert not r.duplicates and not r.sink["corrupt"], str(r)
        assert r.source["retries"] > 0, "it was never full"


def main():
    return Report().cases("fulldisk", (
        (below_free_min, "ext4"), (below_free_min, "tmpfs"), (really_full, "ext4"),
        (really_full, "tmpfs"), (load_on_full,)))


if __name__ == "__main__":
    sys.exit(main())
