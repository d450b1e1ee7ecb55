"""What all peers have in common: directories, start, stop, ready, mail that arrived."""
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .. import ports, proc
from . import fetch

# Numbers that no Debian system gives out by itself (adduser stops at 59999).
USERS = {"vmail": 61100, "postfix": 61101, "postdrop": 61102, "Debian-exim": 61103,
         "opensmtpd": 61104, "opensmtpq": 61105}
SERVICES = "smtp 25/tcp mail\nsubmission 587/tcp\nsmtps 465/tcp submissions\ndomain 53/udp\n"


def accounts():
    passwd = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534::/nonexistent:/bin/false"]
    group = ["root:x:0:", "mail:x:8:", "nogroup:x:65534:"]
    for name, number in USERS.items():
        passwd.append(f"{name}:x:{number}:{number}::/nonexistent:/bin/false")
        group.append(f"{name}:x:{number}:")
    return "\n".join(passwd) + "\n", "\n".join(group) + "\n"


class Peer:
    """One server on 127.0.0.1:port that accepts mail for every domain.

    relay    (host, port): everything goes there; None: everything into the Maildir
    tls      (certificate, key): STARTTLS is offered, and used when the next hop offers it
    settings extra lines for its own configuration, in its own syntax ({name: value} or text)
    """
    name = ""
    sendmail_group = None       # whose rights its sendmail command has
    tls_server_works = True     # False: it offers STARTTLS, and the handshake fails

    def __init__(self, directory, port, relay=None, tls=None, settings=None):
        self.dir = Path(directory).resolve()
        self.port, self.relay, self.tls = port, relay, tls
        self.settings = settings or {}
        self.process = None

    # -- what each server fills in
    def configure(self):
        """Write the configuration under self.dir."""
        raise NotImplementedError

    def command(self):
        """The server's command line, in the foreground."""
        raise NotImplementedError

    def sendmail_command(self):
        return ["/usr/sbin/sendmail"]

    def binds(self):
        """[(directory under self.dir, place inside), ...] beyond self.dir itself."""
        return []

    # -- start and stop
    @property
    def maildir(self):
        return self.dir / "Maildir"

    @property
    def logfile(self):
        return self.dir / "log" / "mail.log"

    def own(self, path, user, mode=0o700):
        path = self.dir / path
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, USERS.get(user, 0), USERS.get(user, 0))
        os.chmod(path, mode)
        return path

    def prepare(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        os.chmod(self.dir, 0o755)
        for name in ("new-root", "conf", "log"):
            (self.dir / name).mkdir(exist_ok=True)
        self.own("Maildir", "vmail")
        if self.tls:            # a private copy, so that owner and mode please every server
            for source, name in zip(self.tls, ("tls.crt", "tls.key")):
                shutil.copyfile(source, self.dir / "conf" / name)
            os.chmod(self.dir / "conf" / "tls.key", 0o600)
        self.configure()
        passwd, group = accounts()
        binds = [[str(self.dir), str(self.dir)]]
        binds += [[str(self.dir / mine), inside] for mine, inside in self.binds()]
        spec = {
            "root": str(fetch.root_of(self.name)),
            "new": str(self.dir / "new-root"),
            "binds": binds,
            "pidns": True,
            "etc": {"passwd": passwd, "group": group, "services": SERVICES,
                    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
                    "hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.1\n",
                    "mailname": f"{self.name}.peer.example\n"},
        }
        (self.dir / "jail.json").write_text(json.dumps(spec))
        (self.dir / "jail-tool.json").write_text(json.dumps(
            {**spec, "pidns": False, "egid": USERS.get(self.sendmail_group, 0)}))

    def jailed(self, argv, spec="jail.json"):
        jail = Path(__file__).with_name("jail.py")
        return [sys.executable, str(jail), str(self.dir / spec), *argv]

    def start(self, timeout_s=90):
        if os.geteuid() != 0:
            raise fetch.Unavailable("only root can give a peer a file system of its own")
        fetch.fetch(self.name)
        self.prepare()
        with open(self.dir / "log" / "console.log", "ab") as console:
            self.process = subprocess.Popen(self.jailed(self.command()), stdin=subprocess.DEVNULL,
                                            stdout=console, stderr=console)
        try:
            ports.wait_banner("127.0.0.1", self.port, timeout_s, alive=self.alive)
        except Exception as e:
            self.stop()
            raise RuntimeError(f"{self.name} does not start: {e}\n{self.log()[-2000:]}") from e
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        proc.stop(self.process)
        self.process = None

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    # -- looking at it
    def pids(self):
        """The server's own processes (without the two of the jail)."""
        tree = proc.tree(self.process.pid)
        return [p for p in tree if p not in self.jail_pids(tree)]

    def jail_pids(self, tree):
        first = [p for p in tree if proc.parent(p) == self.process.pid]
        return {self.process.pid, *first}

    def log(self):
        text = ""
        for path in sorted((self.dir / "log").glob("*")):
            text += path.read_text(errors="replace")
        return text

    def messages(self):
        """What was delivered into the Maildir, oldest first, as bytes."""
        files = sorted(self.maildir.glob("new/*"), key=lambda p: p.stat().st_mtime_ns)
        return [p.read_bytes() for p in files]

    # -- using it as a client
    def sendmail(self, args, data, timeout_s=90):
        """Submit a message as a local user would; the peer's queue takes it from there."""
        argv = self.jailed([*self.sendmail_command(), *args], "jail-tool.json")
        r = subprocess.run(argv, input=data, capture_output=True, timeout=timeout_s)
        if r.returncode != 0:
            err = (r.stdout + r.stderr).decode(errors="replace")
            raise RuntimeError(f"{self.name} sendmail: {r.returncode}: {err}")
