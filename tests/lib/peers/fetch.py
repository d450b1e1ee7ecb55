"""Fetch Debian packages into build/peers/NAME without installing anything."""
import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
STORE = Path(os.environ.get("PEERS_DIR", TOP / "build" / "peers"))
PACKAGES = {
    "postfix": ["postfix"],
    "exim": ["exim4-daemon-light"],
    "opensmtpd": ["opensmtpd"],
    # programs that hand mail to sendmail
    "php": ["php8.2-cli"],
    "mutt": ["mutt"],
    "bsd-mailx": ["bsd-mailx"],
    "s-nail": ["s-nail"],
    "git-email": ["git-email", "libmailtools-perl"],
    "mime-lite": ["libmime-lite-perl", "libmailtools-perl"],
    "nsd": ["nsd"],             # a name server for staged zones; run where it lies
}
APT = ["-q", "-o", "APT::Sandbox::User=root"]


class Unavailable(Exception):
    """The package cannot be had here; the text says why."""


def root_of(name):
    return STORE / name / "root"


def program(name, path):
    """(program, environment) to run an unpacked program that needs no jail."""
    fetch(name)
    libs = [str(p) for p in root_of(name).glob("usr/lib/*-linux-gnu*")]
    return str(root_of(name) / path), {"LD_LIBRARY_PATH": ":".join(libs)} if libs else {}


def have(name):
    return (STORE / name / "complete").exists()


def installed(package):
    r = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package],
                       capture_output=True, text=True)
    return r.returncode == 0 and r.stdout.endswith("ok installed")


def depends(deb):
    """The library packages a .deb needs which the base system lacks."""
    r = subprocess.run(["dpkg-deb", "-f", str(deb), "Depends", "Pre-Depends"],
                       capture_output=True, text=True, check=True)
    missing = []
    for clause in re.split(r"[,\n]", r.stdout):
        clause = re.sub(r"^\s*(Pre-)?Depends:", "", clause)
        names = [re.sub(r"[\s(:].*", "", alt.strip()) for alt in clause.split("|")]
        # What is not a library is for installing (debconf, adduser, cron), never for running.
        names = [n for n in names if n.startswith("lib")]
        if names and not any(installed(n) for n in names):
            missing.append(names[0])
    return missing


def download(package, where):
    def get():
        return subprocess.run(["apt-get", "download", *APT, package], cwd=where,
                              capture_output=True, text=True, timeout=300)
    if shutil.which("apt-get") is None:
        raise Unavailable("no apt-get here")
    before = set(where.glob("*.deb"))
    r = get()
    if r.returncode != 0:       # a fresh machine has no package lists, or old ones
        subprocess.run(["apt-get", "update", *APT], capture_output=True, timeout=300)
        r = get()
    if r.returncode != 0:
        raise Unavailable(f"apt-get download {package}: {r.stderr.strip()[-300:]}")
    new = set(where.glob("*.deb")) - before
    old = [d for d in before if d.name.split("_")[0] == package]
    return (sorted(new) or old)[0]


def fetch(name):
    """Make build/peers/NAME/root; returns True when something had to be fetched."""
    if have(name):
        return False
    try:
        STORE.mkdir(parents=True, exist_ok=True)
        lock = open(STORE / "lock", "w")
    except PermissionError as e:                # a test that runs as another user than the build
        raise Unavailable(f"{name} is not unpacked, and {STORE} is not mine to write: "
                          f"tools/peers fetch {name}") from e
    with lock:                                  # two tests may want the same peer at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if have(name):
            return False
        unpack(name)
    return True


def unpack(name):
    home = STORE / name
    shutil.rmtree(home, ignore_errors=True)
    debs = home / "debs"
    debs.mkdir(parents=True)
    todo, done = list(PACKAGES[name]), []
    while todo:
        package = todo.pop(0)
        if package in done:
            continue
        try:
            deb = download(package, debs)
        except Unavailable as e:
            # A virtual package: what provides it (perl itself, mostly) is here.
            if package in PACKAGES[name] or "no candidate" not in str(e):
                raise
            continue
        subprocess.run(["dpkg", "-x", str(deb), str(home / "root")], check=True)
        done.append(package)
        todo += depends(deb)
    names = sorted(d.name for d in debs.glob("*.deb"))
    (home / "complete").write_text("\n".join(names) + "\n")


def version(name):
    """The Debian version of the unpacked server, e.g. 3.7.11-0+deb12u1."""
    main = PACKAGES[name][0]
    for line in (STORE / name / "complete").read_text().split():
        if line.startswith(main + "_"):
            return line.split("_")[1].replace("%3a", ":")
    return "?"
