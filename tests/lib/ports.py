"""Loopback ports and waiting for somebody to listen on them."""
import random
import socket
import time
from contextlib import contextmanager
from pathlib import Path

from .waiting import PATIENCE_S, wait_for

taken = []      # sockets by which ports are ours until we end


def take(port):
    """None: another test has it in mind, of this run or of one beside it."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind(f"\0postern-test-port-{port}")
    except OSError:
        s.close()
        return None
    taken.append(s)
    return s


@contextmanager
def sole(name):
    """What there is but one of on a machine is used by one test at a time."""
    mine = wait_for(f"{name} for ourselves", lambda: take(name), 400)
    try:
        yield
    finally:
        taken.remove(mine)
        mine.close()


def can_bind(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # else a copy of s (see Mute)
        try:                                                        # is in the server's way
            s.bind((host, port))
        except OSError:
            return False
        return True


def ours():
    """Outside the range the kernel hands to outgoing connections, where that leaves enough."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        text = "32768 60999"
    low, high = map(int, text.split())
    if low >= 14000:
        return range(min(12000, low // 2), min(32000, low))
    return range(high + 1, 65536) if high < 62000 else range(12000, 32000)


def free(*hosts):
    """A port nobody listens on now at any of these (127.0.0.1), and that no client's socket takes
    before the server does."""
    for _ in range(200):
        port = random.choice(ours())
        if take(port) and all(can_bind(host, port) for host in hosts or ["127.0.0.1"]):
            return port
    raise RuntimeError("no free port")


def shut(listener, waiting=None):
    """Close it: shut down first, which is true of all its copies (see Mute) and wakes the thread
    that waits on it. That one is awaited: it may be about to wait on a descriptor that would be
    another listener's by then, whose client it would take."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:             # it was closed before, or is one of datagrams
        pass
    if waiting:
        waiting.join(PATIENCE_S)
    listener.close()


class Mute:
    """A port that takes connections and says nothing. Closing alone does not free it where another
    thread starts a program in that moment: until that program runs, it has a copy of every socket.
    So a listener is shut down, which is true of all its copies; then it is closed."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port or free()))
        self.port = self.listener.getsockname()[1]

    def close(self):
        shut(self.listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_banner(host, port, timeout_s, alive=lambda: True, codes=(b"220",)):
    """Wait until host:port greets as an SMTP server does; the greeting."""
    end, last = time.monotonic() + timeout_s, "nothing listens"
    while time.monotonic() < end:
        if not alive():
            raise RuntimeError("it ended")
        try:
            with socket.create_connection((host, port), 2) as s:
                s.settimeout(max(0.1, end - time.monotonic()))
                got = s.recv(1000)
                if got.startswith(codes):
                    s.sendall(b"QUIT\r\n")
                    while s.recv(1000):         # until it is gone: its place is free again
                        pass
                    return got
                last = f"greets with {got!r}"
        except OSError as e:
            last = str(e)
        time.sleep(0.03)
    raise TimeoutError(f"{host}:{port}: {last} after {timeout_s} s")


def wait_listening(port, timeout_s=90):
    """Wait until somebody listens on an IPv4 port, without connecting to it."""
    want, end = f":{port:04X}", time.monotonic() + timeout_s
    while time.monotonic() < end:
        with open("/proc/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f][1:]
        if any(r[3] == "0A" and r[1].endswith(want) for r in rows):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nobody listens on {port} after {timeout_s} s")


def refused(port, host="127.0.0.1"):
    """Whether nobody listens there now."""
    try:
        socket.create_connection((host, port), 2).close()
    except ConnectionRefusedError:
        return True
    except (ConnectionResetError, TimeoutError):    # it was closed with us in its queue, or full
        pass
    return False
