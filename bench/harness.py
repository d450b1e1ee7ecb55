"""Load, clocks and counters shared by bench/relay, bench/idle and bench/bigqueue.

A side is a server under test: start() gives it a fresh directory, port() where it listens,
root() the pid whose tree is all of it. A run is one sink, one source, and what both counted.
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))
from lib import peers, ports, proc, temp                    # noqa: E402
from lib.gateway import Gateway, Word, binary               # noqa: E402
from lib.peers.postfix import TUNED                         # noqa: E402

WORK = Path(os.environ.get("BENCH_DIR", TOP / "build" / "bench"))
FLUSHES = ("fdatasync", "fsync")


def raise_limits():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 65536), max(hard, 65536)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def mailload():
    """The generator, compiled when it is older than its source."""
    source, program = TOP / "bench" / "mailload.c", WORK / "mailload"
    WORK.mkdir(parents=True, exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=gnu11", "-o", str(program),
                        str(source)], check=True)
    return str(program)


# ---------------------------------------------------------------- sides

MAP_ENTRIES = 10000


def write_maps(directory):
    """access and smarttable of some size, through which every message goes; only access lets it."""
    directory.mkdir(parents=True, exist_ok=True)
    access = [f"Connect:198.51.{i // 250}.{i % 250}\tREJECT\nFrom:spam{i}.example\tREJECT\n"
              f"To:left{i}@dest.example\tERROR:5.1.1:550 gone" for i in range(MAP_ENTRIES)]
    smart = [f"@s{i}.other.example\trelay:[192.0.2.{i % 250}]" for i in range(MAP_ENTRIES)]
    (directory / "access").write_text("\n".join(access + ["Connect:127\tRELAY"]) + "\n")
    (directory / "smarttable").write_text("\n".join(smart) + "\n")
    return {"access": f"text:{directory}/access", "smarttable": f"text:{directory}/smarttable"}


class Postern:
    name = "postern"

    def __init__(self, sink_port, options=None, delivery=None, maps=False):
        self.sink_port, self.options, self.delivery = sink_port, options or {}, delivery
        self.maps = maps

    def start(self, directory):
        options = {"limits": {"connections": 20000, "connections_per_client": 20000,
                              "message_size": Word("200M")}}
        for section, changes in self.options.items():
            options[section] = {**options.get(section, {}), **changes}
        if self.delivery:
            options['listen "mx"'] = {"delivery": Word(self.delivery)}
        mailertable = {"dest.example": ("127.0.0.1", self.sink_port)}
        if self.maps:
            options["route"] = write_maps(Path(directory))
            options["relay"] = {"from": []}
            mailertable.update({f"d{i}.other.example": f"relay:[192.0.2.{i % 250}]"
                                for i in range(MAP_ENTRIES)})
        self.gateway = Gateway(directory, mailertable=mailertable, options=options)
        self.gateway.start()
        self.port = self.gateway.port

    def restart(self):
        """Stop and start on the same spool; seconds until it greets."""
        port = self.gateway.port
        self.gateway.stop()
        started = time.monotonic()
        self.gateway.start(timeout_s=120)
        self.port = port
        return time.monotonic() - started

    def pids(self):
        return self.gateway.pids()

    def cpu_s(self):
        return proc.cpu_s(self.gateway.process.pid)

    def stop(self):
        self.gateway.stop()


class Postfix:
    name = "postfix"

    def __init__(self, sink_port, options=None):
        self.sink_port, self.options = sink_port, options or {}

    def start(self, directory):
        self.peer = peers.make("postfix", directory, ports.free(),
                               relay=("127.0.0.1", self.sink_port),
                               settings={**TUNED, **self.options})
        self.peer.start()
        self.port = self.peer.port

    def pids(self):
        return self.peer.pids()

    def cpu_s(self):
        return proc.cpu_s(self.peer.process.pid)    # the jail's two processes only sleep

    def stop(self):
        self.peer.stop()


class Straight:
    """No server: the generator straight to the sink, the most that can be measured here."""
    name = "straight"

    def __init__(self, sink_port):
        self.port = sink_port

    def start(self, directory):
        pass

    def pids(self):
        return []

    def cpu_s(self):
        return 0.0

    def stop(self):
        pass


# ---------------------------------------------------------------- one run

def result_of(process, timeout_s):
    """The JSON line of a mailload process, or why there is none."""
    try:
        out, _ = process.communicate(timeout=timeout_s)
        return json.loads(out)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)         # it still reports what it counted
        try:
            out, _ = process.communicate(timeout=5)
            return {**json.loads(out), "timeout": True}
        except (subprocess.TimeoutExpired, ValueError):
            process.kill()
            process.wait()
            return {"error": f"no answer in {timeout_s} s"}
    except ValueError:
        return {"error": f"exit {process.returncode}"}


def popen(*argv):
    return subprocess.Popen([mailload(), *map(str, argv)], stdout=subprocess.PIPE, text=True)


def load(side, sink_port, case, count, limit_s=90):
    """One run of `count` messages; a dict of what was measured, or {"void": why}."""
    tag = f"{side.name}{time.monotonic_ns()}"
    idle = max(5, limit_s / 4)
    sink = popen("sink", "-p", sink_port, "-n", count, "-r", tag, "-T", idle, "-W", limit_s / 2,
                 "-g", 100)
    source = None
    try:
        wait_listening(sink_port)
        cpu = side.cpu_s()
        source = popen("source", "-p", side.port, "-n", count, "-r", tag, "-T", idle,
                       "-c", case.connections, "-s", case.size, "-m", case.per_connection)
        end = time.monotonic() + limit_s
        sent = result_of(source, limit_s)
        got = result_of(sink, max(1, end - time.monotonic()))
        cpu = side.cpu_s() - cpu
    finally:
        for p in (source, sink):
            proc.stop(p)
    return judge(sent, got, cpu, count, side)


def wait_listening(port, timeout_s=5):
    """Wait for the sink without connecting to it: a connection would start its idle clock."""
    want = f":{port:04X} "
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and (fields[1] + " ").endswith(want):
                return
        time.sleep(0.005)
    raise TimeoutError(f"the sink does not listen on {port}")


def judge(sent, got, cpu, count, side):
    for one in (sent, got):
        if "error" in one:
            return {"void": one["error"]}
    faults = [f"accepted {sent['accepted']} of {count}" if sent["accepted"] != count else "",
              f"lost {got['lost']}" if got["lost"] else "",
              f"duplicate {got['duplicate']}" if got["duplicate"] else "",
              f"corrupt {got['corrupt']}" if got["corrupt"] else "",
              sent["last_error"] if sent["accepted"] != count else ""]
    if any(faults):
        return {"void": ", ".join(f for f in faults if f), "sent": sent, "got": got}
    seconds = (got["last_unique_ns"] - sent["start_ns"]) / 1e9
    return {"count": count, "accept": sent["rate"], "e2e": count / seconds, "seconds": seconds,
            "cpu_us": cpu / count * 1e6, "a50": sent["lat_p50_ms"], "a99": sent["lat_p99_ms"],
            "retries": sent["retries"], "d50": got["lat_p50_ms"], "d99": got["lat_p99_ms"],
            "lost": got["lost"], "duplicate": got["duplicate"],
            "pss_mb": proc.pss_bytes(side.pids()) / 1e6}


# ---------------------------------------------------------------- system calls

def perf_works():
    if shutil.which("perf") is None:
        return False
    r = subprocess.run(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"],
                       capture_output=True, text=True)
    return r.returncode == 0 and "not supported" not in r.stderr and "," in r.stderr


class Counter:
    """Counts system calls of a server's processes and all they fork, from start to stop.
    perf hardly slows them; strace does, so that its figures are of a slower server."""

    def __init__(self, pids, directory):
        self.pids, self.out = pids, Path(directory) / "calls.txt"
        self.tool = "perf" if perf_works() else "strace" if shutil.which("strace") else None

    def start(self):
        pids = ",".join(map(str, self.pids))
        if self.tool == "perf":
            events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{f}" for f in FLUSHES]
            argv = ["perf", "stat", "-x,", "-o", str(self.out), "-e", ",".join(events), "-p", pids]
        elif self.tool == "strace":
            argv = ["strace", "-f", "-c", "-o", str(self.out)]
            for pid in self.pids:
                argv += ["-p", str(pid)]
        else:
            return False
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        time.sleep(1 + 0.01 * len(self.pids))
        return self.process.poll() is None

    def stop(self):
        """{"calls": n, "flushes": n}; detaches from the processes, which live on."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        text = self.out.read_text() if self.out.exists() else ""
        return self.read_perf(text) if self.tool == "perf" else self.read_strace(text)

    @staticmethod
    def read_perf(text):
        counts = {m.group(2): int(m.group(1))
                  for m in re.finditer(r"^(\d+),[^,]*,([\w:]+)", text, re.M)}
        return {"calls": counts.get("raw_syscalls:sys_enter", 0),
                "flushes": sum(counts.get(f"syscalls:sys_enter_{f}", 0) for f in FLUSHES)}

    @staticmethod
    def read_strace(text):
        rows = {m.group(2): int(m.group(1)) for m in
                re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", text, re.M)}
        total = rows.pop("total", 0) or sum(rows.values())
        return {"calls": total, "flushes": sum(rows.get(f, 0) for f in FLUSHES)}


def count_calls(side, sink_port, case, count, directory):
    counter = Counter(side.pids(), directory)
    if not counter.start():
        return {}
    try:
        run = load(side, sink_port, case, count, limit_s=120)
    finally:
        counted = counter.stop()
    if "void" in run:
        return {}
    return {"calls": counted["calls"] / count, "flushes": counted["flushes"] / count,
            "tool": counter.tool}


# ---------------------------------------------------------------- the machine

def filesystem(path):
    r = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True)
    return r.stdout.strip()


def machine(path):
    cpu = "?"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    u = os.uname()
    return {"kernel": f"{u.sysname} {u.release} {u.machine}", "cores": os.cpu_count(), "cpu": cpu,
            "memory_mb": memory, "fs": filesystem(path),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


def commit():
    r = subprocess.run(["git", "-C", str(TOP), "rev-parse", "--short", "HEAD"],
                       capture_output=True, text=True)
    return r.stdout.strip() or "?"


__all__ = ["Counter", "Gateway", "Postern", "Postfix", "Straight", "WORK", "Word", "binary",
           "commit", "count_calls", "filesystem", "load", "machine", "mailload", "peers", "ports",
           "proc", "raise_limits", "temp"]
