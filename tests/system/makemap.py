#!/usr/bin/env python3
"""makemap and newaliases say and return what sendmail's do; a map is never half there, whoever is
killed or short of space; `postern map` reads what makemap wrote.
tests/run: long sanitizers
tests/run: user modes not_into_others_files newaliases no_space"""
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import temp                        # noqa: E402
from lib.gateway import binary              # noqa: E402
from lib.report import Report, Skip         # noqa: E402

LONG = os.environ.get("POSTERN_LONG") == "1"


def run(where, *args, stdin=b"", env=None):
    """One command of the links in where/bin, in the directory where."""
    argv = [where / "bin" / args[0], *args[1:]]
    return subprocess.run(argv, input=stdin, capture_output=True, cwd=where, timeout=300, env=env)


def links(where):
    (where / "bin").mkdir()
    for name in ("makemap", "newaliases", "postern"):
        (where / "bin" / name).symlink_to(binary().resolve())


def expect(r, code, out=b"", err=b""):
    """err: without the warnings about the directories above."""
    said = b"".join(line for line in r.stderr.splitlines(True)
                    if not line.startswith(b"WARNING: World writable"))
    got = (r.returncode, r.stdout, said)
    assert got == (code, out, err), f"{got} is not {(code, out, err)}"


def texts(where):
    """The golden texts: each line of the table of observed behaviour."""
    expect(run(where, "makemap", "hash", "dup", stdin=b"a 1\nA 2\nb 3\n"), 65,
           err=b"makemap: dup: line 2: key a: duplicate key\n")
    expect(run(where, "makemap", "-u", "hash", "dup"), 0, b"a\t1\nb\t3\n")
    expect(run(where, "makemap", "hash", "miss", stdin=b"a\nb 1\n"), 65,
           err=b"makemap: miss: line 1: no RHS for LHS a\n")
    expect(run(where, "makemap", "hash", "sp", stdin=b"a 1\n\n lead x\n"), 65,
           err=b"makemap: sp: line 3: syntax error (leading space)\n")
    expect(run(where, "makemap", "foo", "sp"), 73,
           err=b"makemap: error opening type foo map sp: Unknown database type\n")
    expect(run(where, "makemap", "hash", "/nonexist/x"), 73,
           err=b"makemap: error opening type hash map /nonexist/x: No such file or directory\n")
    expect(run(where, "makemap", "-u", "hash", "none"), 73,
           err=b"makemap: error opening type hash map none: No such file or directory\n")
    for wrong in (["hash"], [], ["-q", "hash", "x"], ["hash", "x", "y"], ["-t", "", "hash", "x"]):
        r = run(where, "makemap", *wrong)
        assert r.returncode == 64 and b"Usage: makemap" in r.stderr, (wrong, r)
    r = run(where, "makemap", "-l")
    assert r.returncode == 0 and {b"hash", b"btree", b"cdb"} <= set(r.stdout.split()), r
    assert not list(where.glob("*.tmp")) and not list(where.glob("*.db"))


def flags(where):
    """-v -e -f -D -t -r -o -d -i -c -C -N -s; names with .db."""
    expect(run(where, "makemap", "-v", "hash", "v", stdin=b"A 1\n"), 0, b"key=`a', val=`1'\n",
           b"makemap: wrote v.cdb: 1 entries\n")
    expect(run(where, "makemap", "-N", "-c", "1000", "-C", "/x.cf", "-i", "x", "-s", "btree",
               "v.db", stdin=b'"q k" v\t# x  \n#c\nfull\tb\r\n'), 0)
    expect(run(where, "makemap", "-u", "dbm", "v"), 0, b'"q\tk" v\t# x  \nfull\tb\r\n')
    expect(run(where, "makemap", "-e", "-f", "-D", ";", "cdb", "v", stdin=b"Key\n;c\n#k 1\n"), 0)
    expect(run(where, "makemap", "-u", "cdb", "v"), 0, b"Key\t\n#k\t1\n")
    expect(run(where, "makemap", "-t:", "hash", "v", stdin=b"a b::c:d\n x:y\n"), 0)
    expect(run(where, "makemap", "-u", "-t", "=", "hash", "v"), 0, b"a b=c:d\n x=y\n")
    expect(run(where, "makemap", "-r", "hash", "v", stdin=b"a 1\nb 2\na 3\n"), 0)
    expect(run(where, "makemap", "-u", "hash", "v"), 0, b"b\t2\na\t3\n")
    expect(run(where, "makemap", "-o", "hash", "v", stdin=b"a 4\nc 5\n"), 65,
           err=b"makemap: v: line 1: key a: duplicate key\n")
    expect(run(where, "makemap", "-u", "hash", "v"), 0, b"b\t2\na\t3\nc\t5\n")
    expect(run(where, "makemap", "-o", "-r", "hash", "v", stdin=b"b 6\n"), 0)
    expect(run(where, "makemap", "-u", "hash", "v"), 0, b"a\t3\nc\t5\nb\t6\n")
    expect(run(where, "makemap", "-d", "btree", "v", stdin=b"a 1\na 2\n"), 0)
    expect(run(where, "makemap", "-u", "btree", "v"), 0, b"a\t1\na\t2\n")
    expect(run(where, "makemap", "-o", "hash", "new", stdin=b"a 1"), 0)
    expect(run(where, "makemap", "-u", "hash", "new"), 0, b"a\t1\n")


def odd_input(where):
    """NUL, long lines and keys are said and passed over; the rest is built."""
    lines = [b"a 1", b"nul\0 x", b"k" * 1025 + b" x", b"big " + b"x" * 65536, b"b " + b"y" * 65000]
    expect(run(where, "makemap", "hash", "odd", stdin=b"\n".join(lines)), 65,
           err=b"makemap: odd: line 2: syntax error (NUL byte)\n"
               b"makemap: odd: line 3: key too long (1024 bytes max)\n"
               b"makemap: odd: line 4: line too long (65536 bytes max)\n")
    expect(run(where, "makemap", "-u", "hash", "odd"), 0, b"a\t1\nb\t" + b"y" * 65000 + b"\n")
    r = run(where, "makemap", "hash", "empty")
    expect(r, 0)
    expect(run(where, "postern", "map", "list", "cdb:empty"), 0)


def warnings(where):
    """What is unsafe and what surprises is said; -s is silent about directories."""
    (where / "open").mkdir()
    (where / "open").chmod(0o777)
    r = run(where, "makemap", "hash", "open/x")
    assert r.returncode == 0
    assert b"WARNING: World writable directory %s\n" % bytes(where / "open") in r.stderr, r
    expect(run(where, "makemap", "-s", "hash", "open/x"), 0)
    (where / "x").write_text("a text\n")
    r = run(where, "makemap", "hash", "x", stdin=b"a other\n")
    assert b"WARNING: hash:x in a configuration reads the text x, not x.cdb" in r.stderr, r
    with open(where / "x", "rb") as text:
        r = subprocess.run([where / "bin/makemap", "hash", "x"], stdin=text, capture_output=True,
                           cwd=where)
    expect(r, 0)
    (where / "old.db").write_bytes(b"berkeley")
    r = run(where, "makemap", "-u", "hash", "old")
    assert r.returncode == 73 and b"old.db is a Berkeley DB" in r.stderr, r


def modes(where):
    """0640 for a new map; a map that is replaced keeps its mode."""
    run(where, "makemap", "hash", "m", stdin=b"a 1\n")
    assert (where / "m.cdb").stat().st_mode & 0o777 == 0o640
    (where / "m.cdb").chmod(0o604)
    run(where, "makemap", "hash", "m", stdin=b"a 2\n")
    assert (where / "m.cdb").stat().st_mode & 0o777 == 0o604


def not_into_others_files(where):
    """What lies where the map is made, and is not ours alone, gives way to a file of our own."""
    part, other = where / "n.cdb.tmp", where / "other"
    other.write_text("of somebody")
    part.hardlink_to(other)
    assert run(where, "makemap", "hash", "n", stdin=b"a 1\n").returncode == 0
    assert other.read_text() == "of somebody"
    if os.geteuid() == 0:
        (where / "n.cdb").unlink()
        part.write_text("")
        os.chown(part, 65534, 65534)
        with open(part, "r+b"):
            assert run(where, "makemap", "hash", "n", stdin=b"a 1\n").returncode == 0
        assert (where / "n.cdb").stat().st_uid == 0
    (where / "n.cdb").write_text("as it was")
    r = subprocess.run(["sh", "-c", f"exec {where}/bin/makemap hash n <&-"], cwd=where,
                       capture_output=True, timeout=60)
    assert r.returncode == 74 and (where / "n.cdb").read_text() == "as it was", r
    part.symlink_to(other)
    assert run(where, "makemap", "hash", "n", stdin=b"a 1\n").returncode == 73
    assert run(where, "makemap", "hash", "no/n", stdin=b"a 1\n").returncode == 73
    assert other.read_text() == "of somebody"


def newaliases(where):
    """The line of counts, and each error in sendmail's words; 70 when there was one."""
    good = where / "aliases"
    good.write_text("# x\nroot: joe\nlist: a,\n\tb, c\npostmaster: root\n")
    expect(run(where, "newaliases", good), 0,
           b"%s: 3 aliases, longest 7 bytes, 32 bytes total\n" % bytes(good))
    bad = where / "bad"
    bad.write_text("dup: a\ndup: b\nno colon\nnoval:\n: x\nok: x\n\nx: y\n\n"
                   "quote\"d: y\n a continuation\na@b: c\n")
    name = str(bad)
    expect(run(where, "newaliases", bad), 70,
           f"{name}: 4 aliases, longest 1 bytes, 13 bytes total\n".encode(),
           f"{name}: line 3: missing colon\n"
           f"{name}: line 4: noval:... missing value for alias\n"
           f"{name}: line 5: : x... illegal alias name\n"
           f"{name}: line 10: quote\"d: y a continuation... Unbalanced '\"'\n"
           f"{name}: line 12: a@b... cannot alias non-local names\n"
           f"{name}: the gateway keeps the aliases it has until these lines are right\n".encode())
    bad.write_text("dup: a\ndup: b\n")
    expect(run(where, "newaliases", bad), 0,
           f"{name}: 2 aliases, longest 1 bytes, 8 bytes total\n".encode(),
           f"{name}: line 2: dup... Warning: duplicate alias name dup\n".encode())
    assert run(where, "newaliases", where / "none").returncode == 66
    assert run(where, "newaliases", "x" * 6000).returncode == 66
    conf = where / "c.conf"
    conf.write_text('hostname = "gw.example"\n'
                    f'route {{ aliases = "text:{good}" local = {{"b"}} }}\n')
    for file in (("-C", conf), (f"-C{conf}",)):
        r = run(where, "newaliases", *file, "-v")
        assert r.returncode == 0 and b": 3 aliases," in r.stdout, r
    assert run(where, "newaliases", "--json", good).returncode == 64
    for file in (("-C", "no.conf"), ("-Cno.conf",)):
        assert run(where, "newaliases", *file, good).returncode == 66
    bad.write_text("a@b: c\n")
    assert run(where, "newaliases", "-C", conf, f"-oA{bad}").returncode == 0
    conf.write_text('hostname = "gw.example"\n')
    r = run(where, "newaliases", "-C", conf)
    assert r.returncode == 78 and b"route.aliases is not set" in r.stderr, r


def map_verb(where):
    """get, list and check, on each kind of map, as text and as JSON."""
    (where / "t").write_text("Gmail.com  relay:[192.0.2.1]\n.net\terror:nohost no\n")
    (where / "r").write_text("/^(.*)@lists\\.net$/ $1@elsewhere.net\n")
    (where / "c").write_text("10.0.0.0/8 wide\n10.1.0.0/16 narrow\n")
    run(where, "makemap", "hash", "m", stdin=(where / "t").read_bytes())
    expect(run(where, "postern", "map", "get", "text:t", "GMAIL.com"), 0, b"relay:[192.0.2.1]\n")
    expect(run(where, "postern", "map", "get", "cdb:m", ".net"), 0, b"error:nohost no\n")
    expect(run(where, "postern", "map", "get", "hash:m", ".net"), 0, b"error:nohost no\n")
    expect(run(where, "postern", "map", "get", "regex:r", "Dev@lists.net"), 0,
           b"dev@elsewhere.net\n")
    expect(run(where, "postern", "map", "get", "cidr:c", "10.1.2.3", "11.1.1.1", "10.2.2.2"), 1,
           b"narrow\nwide\n")
    expect(run(where, "postern", "map", "get", "inline:a b; c d", "c"), 0, b"d\n")
    r = run(where, "postern", "map", "get", "--json", "text:t", ".net", "x")
    assert r.returncode == 1
    assert [json.loads(line) for line in r.stdout.splitlines()] == [
        {"key": ".net", "found": True, "value": "error:nohost no", "source": "t", "line": 2},
        {"key": "x", "found": False}], r
    expect(run(where, "postern", "map", "list", "text:t"), 0,
           b"gmail.com\trelay:[192.0.2.1]\n.net\terror:nohost no\n")
    r = run(where, "postern", "map", "list", "cdb:m", "--json")
    assert [json.loads(line)["key"] for line in r.stdout.splitlines()] == ["gmail.com", ".net"], r
    expect(run(where, "postern", "map", "check", "text:t"), 0, b"t: 2 entries, 0 warnings\n")
    (where / "t").write_text("good relay:x\nbad\n lead x\nodd nomailer\n" + "k\n" * 2000)
    r = run(where, "postern", "map", "check", "text:t")
    assert r.returncode == 65 and r.stderr.startswith(
        b't:2: error: no value for the key "bad"\nt:3: error: the line begins with white space\n')
    assert len(r.stderr.splitlines()) == 2002, "all of them are said"
    r = run(where, "postern", "map", "check", "--as", "mailertable", "--json", "text:t")
    said = [json.loads(line) for line in r.stdout.splitlines()]
    assert r.returncode == 65 and {m.get("line") for m in said} >= {2, 3, 4}, said[:4]
    assert said[-1]["ok"] is False and said[-1]["errors"] == 2003, said[-1]
    expect(run(where, "postern", "map", "get", "text:none", "x"), 65,
           err=b"none: error: cannot open: No such file or directory\n")
    for wrong in (["get", "text:t"], ["list"], ["list", "text:t", "k"], ["git", "text:t", "k"],
                  ["get", "ldap:x", "k"], ["check", "--as", "mailtable", "text:t"],
                  ["get", "hash -k1 t", "k"]):
        r = run(where, "postern", "map", *wrong)
        assert r.returncode == 64 and r.stderr, (wrong, r)


class Reader(threading.Thread):
    """Reads the map over and over, and keeps what was neither of two texts."""

    def __init__(self, where, want):
        super().__init__()
        self.where, self.want = where, want
        self.over, self.wrong, self.seen = False, [], set()

    def look(self):
        r = run(self.where, "makemap", "-u", "hash", "k")
        if r.returncode == 0 and r.stdout in self.want:
            self.seen.add(self.want.index(r.stdout))
        else:
            self.wrong.append((r.returncode, len(r.stdout), r.stderr))

    def run(self):
        while not self.over:
            self.look()


def killed(where):
    """kill -9 at any moment while others read: the map is the old one or the new one, whole."""
    texts = [b"".join(b"key%d generation%d\n" % (i, g) for i in range(20000)) for g in range(2)]
    expect(run(where, "makemap", "-s", "hash", "k", stdin=texts[0]), 0)
    began = time.monotonic()
    expect(run(where, "makemap", "-s", "hash", "k", stdin=texts[1]), 0)
    once = time.monotonic() - began
    rng, kills, turn, life = random.Random(7), 0, 0, once
    reader = Reader(where, [text.replace(b" ", b"\t") for text in texts])
    reader.start()
    while turn < (200 if LONG else 30) or (kills < 4 and turn < 1000):
        p = subprocess.Popen([where / "bin/makemap", "-s", "hash", "k"], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, cwd=where)
        p.stdin.write(texts[turn % 2])
        p.stdin.close()
        time.sleep(rng.random() * life)
        p.send_signal(signal.SIGKILL)
        hit = p.wait() == -signal.SIGKILL       # who comes too late learns how long it lives
        kills, life = kills + hit, min(life * 1.2, 2 * once) if hit else life * 0.8
        if turn % 4 == 0:
            run(where, "makemap", "-s", "hash", "k", stdin=texts[turn // 4 % 2])
            reader.look()
        turn += 1
    reader.over = True
    reader.join()
    reader.look()
    assert not reader.wrong, reader.wrong[:3]
    assert kills > 3 and reader.seen == {0, 1}, f"{kills} kills, {reader.seen}: nothing was tested"
    run(where, "makemap", "-s", "hash", "k", stdin=texts[0])
    assert sorted(p.name for p in where.glob("k*")) == ["k.cdb"], "what was left is used again"


def two_at_once(where):
    """Makemaps of one map wait for each other: with -o nothing is lost."""
    many = [subprocess.Popen([where / "bin/makemap", "-s", "-o", "hash", "t"],
                             stdin=subprocess.PIPE, cwd=where) for _ in range(8)]
    for i, p in enumerate(many):
        p.stdin.write(b"key%d v\n" % i)
    for p in many:
        p.stdin.close()
    assert [p.wait() for p in many] == [0] * 8
    r = run(where, "makemap", "-u", "hash", "t")
    assert sorted(r.stdout.split()) == sorted([b"v"] * 8 + [b"key%d" % i for i in range(8)]), r


def no_space(where):
    """A map that cannot be written whole leaves the one before, and says so."""
    run(where, "makemap", "hash", "f", stdin=b"a old\n")
    text = b"".join(b"key%d %s\n" % (i, b"x" * 500) for i in range(2000))
    script = 'ulimit -f 64; trap "" XFSZ; exec "$0" -s hash f'
    r = subprocess.run(["/bin/sh", "-c", script, where / "bin/makemap"], input=text, cwd=where,
                       capture_output=True)
    if r.returncode == 0:
        raise Skip("this system sets no limit on files")
    assert r.returncode == 74 and b"it stays as it was" in r.stderr, r
    expect(run(where, "makemap", "-u", "hash", "f"), 0, b"a\told\n")
    assert not list(where.glob("*.tmp"))


def main():
    temp.exit_on_term()
    report = Report()
    if not binary().exists():
        report.skip("makemap", f"{binary()} is not built")
        return report.code()
    for case in (texts, flags, odd_input, warnings, modes, not_into_others_files,
                 newaliases, map_verb, killed,
                 two_at_once, no_space):
        if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
            continue
        with temp.Dir("makemap") as where:
            where = Path(os.path.realpath(where))
            links(where)
            report.run(f"makemap/{case.__name__}", case, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
