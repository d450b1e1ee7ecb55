"""Processes we started: their trees, CPU time and memory, and their end."""
import os
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_LISTS_CHILDREN = Path("/proc/thread-self/children").exists()


def stat(pid):
    """The fields of /proc/PID/stat after the name: state is [0]; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def command(pid):
    """Its argv; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def parent(pid):
    fields = stat(pid)
    return int(fields[1]) if fields else None


def group(pgid):
    """The living processes of a group; a dead one that nobody waits for (an orphan in a container
    without an init) is none."""
    found = ((int(name), stat(name)) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid, fields in found
            if fields and fields[0] != "Z" and int(fields[2]) == pgid]


def children(pid):
    """Its living children. The kernel may leave some out while others end: two looks that say the
    same are believed."""
    def look():
        found = []
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as f:
                    found += map(int, f.read().split())
        except OSError:                 # it is gone
            pass
        return found
    if not KERNEL_LISTS_CHILDREN:
        now = [int(p) for p in os.listdir("/proc") if p.isdigit() and parent(int(p)) == pid]
    else:
        before, now = None, look()
        while now != before:
            before, now = now, look()
    states = ((child, stat(child)) for child in now)
    return [child for child, fields in states if fields and fields[0] != "Z"]


def tree(root):
    """root and all its living descendants."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children(pid)
    return found


def cpu_s(root):
    """CPU seconds spent by root's tree, children that ended and were waited for included."""
    total = 0
    for pid in tree(root):
        fields = stat(pid)
        if fields:
            total += sum(int(f) for f in fields[11:15])     # utime stime cutime cstime
    return total / TICKS


def pss_bytes(pids):
    """Proportional memory of these processes."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def stop(process, timeout_s=90):
    """End a process that we started (Popen): SIGTERM, and SIGKILL when it does not listen."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)


def start_time(pid):
    """With the pid it names one process for good; None when it is gone."""
    fields = stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def end_all(pids, grace_s=90):
    """Wait for processes of ours that are told to end already, then kill what is left of them;
    the pids that had to be killed."""
    known = {p: start_time(p) for p in pids}
    end = time.monotonic() + grace_s
    while True:
        left = [p for p, t in known.items() if t is not None and start_time(p) == t]
        if not left or time.monotonic() > end:
            break
        time.sleep(0.02)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return left
