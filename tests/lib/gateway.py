"""One gateway of ours on loopback ports, with a spool and a log of its own.

    with Gateway(dir, smart_host=("127.0.0.1", sink.port)) as g:
        smtpclient.deliver(g.port, ...)
        g.wait_log(r"to=<b@dest\\.example>.*stat=Sent")

POSTERN_BIN names another binary than build/postern (e.g. one with sanitizers).
"""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from . import ports, proc, smtpclient
from .waiting import until

TOP = Path(__file__).resolve().parents[2]
STARTED = "starting daemon (Postern"
LINES_SHOWN = 100           # of the log, when a test fails
LISTENS_LATE_S = 2          # LISTEN_LATE_MS of src/smtpd/inside.h


def binary():
    return Path(os.environ.get("POSTERN_BIN", TOP / "build" / "postern"))


class Word(str):
    """A configuration value that stands without quotes: optional, 30m, auto."""


def value_text(value):
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(value_text(v) for v in value) + "}"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (Word, int)):
        return str(value)
    return '"%s"' % str(value).replace("\\", "\\\\").replace('"', '\\"')


def config_text(options):
    """{"hostname": "x", 'listen "mx"': {"address": [...]}} as postern.conf text."""
    lines = []
    for name, value in options.items():
        if isinstance(value, dict):
            lines.append(f"{name} {{")
            lines += [f"    {k} = {value_text(v)}" for k, v in value.items()]
            lines.append("}")
        else:
            lines.append(f"{name} = {value_text(value)}")
    return "\n".join(lines) + "\n"


def hop(next_hop):
    host, port = next_hop
    return f"[{host}]:{port}"


class Gateway:
    """smart_host, mailertable: next hops as (host, port); tls: (certificate, key).
    options: {section: {name: value}} over what is written here; None drops a section or a name."""
    start_words = ["run"]
    host = "127.0.0.1"          # where it listens on its port

    def __init__(self, directory, smart_host=None, mailertable=None, tls=None, port=None,
                 options=None, listen_tls="optional", env=None):
        self.dir = Path(directory).resolve()
        self.port = port or ports.free()
        self.smart_host, self.mailertable, self.tls = smart_host, mailertable or {}, tls
        self.listen_tls, self.options, self.env = listen_tls, options or {}, env or {}
        self.process, self.children = None, []

    # -- places
    @property
    def conf(self):
        return self.dir / "postern.conf"

    @property
    def logfile(self):
        return self.dir / "stat.log"

    @property
    def console(self):
        return self.dir / "console.log"

    def settings(self):
        d = self.dir
        listen = {"address": [f"127.0.0.1:{self.port}"]}
        if self.tls:
            listen["tls"] = Word(self.listen_tls)
        base = {
            "hostname": "gateway.example",
            "postmaster": "postmaster@gateway.example",
            "spool": {"directories": [f"{d}/spool/q0"], "free_min": Word("1M")},
            'listen "mx"': listen,
            "relay": {"from": ["127.0.0.0/8", "[::1]/128"]},
            "route": {},
            # Nobody answers there: tests stay here. Who asks for names has a server of its own.
            "dns": {"servers": ["127.0.0.1:9"], "dnssec": Word("off"),
                    **({} if "dns" in self.options else {"timeout": Word("1s")})},
            "log": {"tag": "postern", "file": str(self.logfile), "events": f"{d}/events.jsonl"},
            "control": {"socket": f"{d}/control"},
            "processes": {"finish": Word("5s")},     # of sinks that stall nobody waits for the end
            "alarm": {"interval": 0},        # tests that are about it say otherwise
        }
        if self.mailertable:
            base["route"]["mailertable"] = f"text:{d}/mailertable"
        if self.smart_host:
            base["route"]["smart_host"] = hop(self.smart_host)
        if self.tls:
            base["tls"] = {"certificate": str(self.tls[0]), "key": str(self.tls[1])}
        if os.geteuid() == 0:           # the user of an installation need not exist here
            base["privilege"] = {"user": "nobody", "chroot": f"{d}/empty"}
        return self.merged(base)

    def merged(self, base):
        for section, changes in self.options.items():
            if isinstance(changes, dict):
                base[section] = {**base.get(section, {}), **changes}
                base[section] = {k: v for k, v in base[section].items() if v is not None}
            elif changes is None:
                base.pop(section, None)
            else:
                base[section] = changes
        return {k: v for k, v in base.items() if v != {}}

    def write_mailertable(self, table=None):
        if table is not None:
            self.mailertable = table
        lines = [f"{k} {v if isinstance(v, str) else 'relay:' + hop(v)}"
                 for k, v in self.mailertable.items()]
        (self.dir / "mailertable").write_text("\n".join(lines) + "\n")

    def configure(self):
        (self.dir / "spool" / "q0").mkdir(parents=True, exist_ok=True)
        (self.dir / "empty").mkdir(exist_ok=True)
        self.write_mailertable()
        self.conf.write_text(config_text(self.settings()))

    # -- life
    def start(self, timeout_s=90, codes=(b"220",)):
        if not binary().exists():
            raise FileNotFoundError(f"{binary()} is not built")
        self.dir.mkdir(parents=True, exist_ok=True)
        self.configure()
        starts, began = self.log().count(STARTED), time.monotonic()
        with open(self.console, "ab") as console:
            self.process = subprocess.Popen(
                [str(binary()), *self.start_words, "-C", str(self.conf)], stdin=subprocess.DEVNULL,
                stdout=console, stderr=console, env={**os.environ, **self.env})
        try:
            ports.wait_banner(self.host, self.port, timeout_s, alive=self.alive,
                              codes=codes)
            in_time = time.monotonic() - began < LISTENS_LATE_S
            self.wait_started(starts, timeout_s)
            if codes == (b"220",) and not in_time:
                self.wait_taking(timeout_s)
        except Exception as e:
            self.stop()
            raise RuntimeError(f"the gateway does not start: {e}\n{self.log()[-3000:]}") from e
        return self

    def wait_started(self, starts, timeout_s):
        """Until every process has said it is ready: from then on a death is a restart."""
        end = time.monotonic() + timeout_s
        while self.log().count(STARTED) == starts:
            if not self.alive() or time.monotonic() > end:
                raise RuntimeError("not all of its processes are ready")
            time.sleep(0.01)

    def wait_taking(self, timeout_s=90):
        """Where the spool takes long to open (a slow disk) a listener does not wait for it, and
        MAIL is answered with 451 until there is a queue."""
        end = time.monotonic() + timeout_s
        while True:
            with smtpclient.Client(self.port, self.host) as c:
                c.ehlo()
                reply = c.cmd("MAIL FROM:<>")
                c.cmd("QUIT")
            if reply.code != 451:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"it takes no mail: {reply}")
            time.sleep(0.05)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_s=90):
        """SIGTERM to the master; its exit code. Children that stay behind are ended, as we
        started them too, and that is an error."""
        if self.process is None:
            return None
        tree = proc.tree(self.process.pid) if self.alive() else []
        proc.stop(self.process, timeout_s)
        code, self.process = self.process.returncode, None
        left = proc.end_all(tree)
        if left:
            raise RuntimeError(f"children outlived the master: {left}")
        return code

    __enter__ = start

    def __exit__(self, kind, *_):
        if kind:                        # what was seen once may not be seen again soon
            print("".join(f"# {line}\n" for line in self.log().splitlines()[-LINES_SHOWN:]),
                  end="", flush=True)
        try:
            self.stop()
        except RuntimeError:
            if kind is None:            # do not hide why the test failed
                raise

    def pids(self):
        return proc.tree(self.process.pid)

    def roles(self):
        """{"smtpd": [pid, ...], ...} of the children that run now."""
        found = {}
        for pid in proc.tree(self.process.pid) if self.alive() else []:
            words = proc.command(pid)
            if words[1:2] == ["--role"]:
                found.setdefault(words[2], []).append(pid)
        return found

    def crash(self, role="qmgr"):
        """Kills one of them, until another is there and qmgr answers."""
        victim = self.roles()[role][0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: self.roles().get(role, [victim])[0] != victim and
              self.cli("queue", "count").returncode == 0, why=f"{role} does not come back")

    # -- looking at it
    def log(self):
        return "".join(p.read_text(errors="replace") for p in (self.console, self.logfile)
                       if p.exists())

    def events(self):
        path = self.dir / "events.jsonl"
        lines = path.read_text(errors="replace").split("\n") if path.exists() else [""]
        return [json.loads(line) for line in lines[:-1] if line.endswith("}")]

    def wait_log(self, pattern, timeout_s=90):
        """Wait for a line of the log that matches; the match."""
        end = time.monotonic() + timeout_s
        while True:
            found = re.search(pattern, self.log(), re.M)
            if found:
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"no /{pattern}/ in the log after {timeout_s} s:\n"
                                   f"{self.log()[-2000:]}")
            time.sleep(0.05)

    def wait_events(self, name, count=1, timeout_s=90, **fields):
        """The events of this name with these fields, once there are so many. A process writes the
        lines of a turn, then its events; both after what it has told others in that turn."""
        end = time.monotonic() + timeout_s
        while True:
            found = [e for e in self.events() if e["event"] == name and
                     all(e.get(k) == v for k, v in fields.items())]
            if len(found) >= count:
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"{len(found)} of {count} events {name} {fields} after "
                                   f"{timeout_s} s:\n{self.log()[-2000:]}")
            time.sleep(0.05)

    def cli(self, *args, data=None, timeout_s=90):
        """Run a subcommand against this gateway."""
        return subprocess.run([str(binary()), *map(str, args), "-C", str(self.conf)], input=data,
                              capture_output=True, timeout=timeout_s,
                              env={**os.environ, **self.env})
