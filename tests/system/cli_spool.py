#!/usr/bin/env python3
"""`postern spool` beside a running gateway and without one: cat and export give the bytes that are
delivered, check finds a byte that has changed.
tests/run: sanitizers"""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient, temp             # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report                       # noqa: E402
from lib.sink import Sink                           # noqa: E402
from lib.waiting import until                       # noqa: E402

ID = r"[0-9A-Za-x]{14}"
BODIES = {
    "large": b"Subject: large\r\n\r\n" + b"".join(b"line %06d of many\r\n" % i
                                                  for i in range(40000)),
    "bytes": b"Subject: \xff\xfe\r\n\r\n" + bytes(range(1, 10)) + b"\x80\xff\r\n",
    "small": b"Subject: one\r\n\r\nhello\r\n..\r\n.dot\r\n",
}


def gateway(where, next_hop):
    return Gateway(where / "g", smart_host=next_hop,
                   options={'listen "mx"': {"delivery": Word("hold")}})


def submit_all(g):
    ids = {}
    for name, content in BODIES.items():
        r = smtpclient.deliver(g.port, content, rcpts=(f"{name}@dest.example",))
        assert r.code == 250, r
        ids[name] = re.search(ID, r.text).group()
    return ids


def same_bytes(where):
    """cat, export and what the next hop gets are one and the same; also beside the gateway."""
    with Sink() as sink, gateway(where, ("127.0.0.1", sink.port)) as g:
        ids = submit_all(g)
        shown = {}
        for name, id in ids.items():
            r = g.cli("spool", "cat", id)
            assert r.returncode == 0, r.stderr
            shown[name] = r.stdout
            assert r.stdout.endswith(BODIES[name]), name
            assert r.stdout.startswith(b"Received: "), r.stdout[:60]
        r = g.cli("spool", "export", where / "out")
        assert (r.returncode, r.stdout) == (0, f"3 messages in {where}/out\n".encode()), r
        assert sorted(p.name for p in (where / "out").iterdir()) == sorted(
            f"{id}.eml" for id in ids.values())
        for name, id in ids.items():
            assert (where / "out" / f"{id}.eml").read_bytes() == shown[name], name
        g.cli("queue", "release", *ids.values())
        for m in sink.wait(3):
            name = m.recipients[0].split("@")[0]
            assert m.data == shown[name], name
        for id in ids.values():
            g.wait_log(rf"{id}: to=.*stat=Sent")
        r = until(lambda: (r := g.cli("spool", "cat", ids["small"])).returncode and r,
                  why="delivered, and still there")     # outcomes are on disk a second later
        assert r.returncode == 66 and b"not in the spool" in r.stderr, r


def envelopes(where):
    """--json: the envelope and what became of each recipient."""
    with gateway(where, ("127.0.0.1", ports.free())) as g:
        ids = submit_all(g)
        g.stop()
        r = g.cli("spool", "cat", "--json", ids["small"])
        e = json.loads(r.stdout)
        assert e["id"] == ids["small"] and e["sender"] == "a@client.example", e
        assert [x["to"] for x in e["recipients"]] == ["small@dest.example"], e
        assert e["client"] == "127.0.0.1" and e["listener"] == "mx", e
        r = g.cli("spool", "export", "--json", where / "out", ids["small"], "6AKBuw00000000")
        assert r.returncode == 66 and json.loads(r.stdout)["exported"] == 1, r
        r = g.cli("spool", "cat", "../../etc/passwd")
        assert r.returncode == 64 and b"is no queue id" in r.stderr, r


def checks(where):
    """Sound beside the gateway and after it; a changed byte is found, and cat refuses it."""
    with gateway(where, ("127.0.0.1", ports.free())) as g:
        ids = submit_all(g)
        r = g.cli("spool", "check")
        assert r.returncode == 0 and b"the spool is sound" in r.stdout, r
        g.stop()
        r = g.cli("spool", "check", "--json")
        report = json.loads(r.stdout)
        assert r.returncode == 0 and report["ok"] and report["messages"] == 3, report
        flip(where / "g" / "spool" / "q0", b"line 020000 of many")
        r = g.cli("spool", "check")
        assert r.returncode == 65 and b"DAMAGED" in r.stdout, r
        report = json.loads(g.cli("spool", "check", "--json").stdout)
        assert not report["ok"] and report["found"], report
        notes = where / "g" / "spool" / "q0" / "notes"
        notes.write_bytes(b"PSTNNOT1 and nonsense behind it")
        assert b"q0/notes: damaged" in g.cli("spool", "check").stdout
        report = json.loads(g.cli("spool", "check", "--json").stdout)
        assert "notes are damaged" in report["found"][-1]["text"], report
        r = g.cli("spool", "cat", ids["large"])
        assert r.returncode == 65 and b"damaged" in r.stderr, r.stderr
        r = g.cli("spool", "export", where / "out")
        assert r.returncode == 65 and b"damaged" in r.stderr, r.stderr
        assert len(list((where / "out").iterdir())) == 2, "a damaged message was exported"
        r = g.cli("spool", "export", "--damaged", "--json", where / "out2")
        said = json.loads(r.stdout)
        assert r.returncode == 65 and (said["failed"], said["damaged"]) == (1, 1), said
        marked = where / "out2" / f"{ids['large']}.damaged.eml"
        assert sorted(p.suffixes for p in (where / "out2").iterdir())[0] == [".damaged", ".eml"]
        assert b"line 000001 of many" in marked.read_bytes()


def flip(directory, marker):
    for path in directory.iterdir():
        data = path.read_bytes()
        at = data.find(marker)
        if at >= 0:
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([data[at] ^ 1]))
            return
    raise AssertionError(f"{marker} is nowhere in {directory}")


def check_writes_nothing(where):
    """A copy of the segments is as it was after the check: no lock, no reserve."""
    with Sink() as sink, gateway(where, ("127.0.0.1", sink.port)) as g:
        submit_all(g)
        copy = where / "copy"
        copy.mkdir()
        for segment in (g.dir / "spool/q0").glob("*.seg"):
            shutil.copy(segment, copy)
        before = sorted(p.name for p in copy.iterdir())
        r = g.cli("spool", "check", "--dir", copy)
        assert r.returncode == 0 and b"sound" in r.stdout, r
        assert sorted(p.name for p in copy.iterdir()) == before


def may_not(where):
    """Who may not read the spool hears that, and not that it is damaged."""
    copy = where / "copy"
    with gateway(where, ("127.0.0.1", ports.free())) as g:
        ids = submit_all(g)
        g.stop()
        shutil.copytree(where / "g" / "spool" / "q0", copy)
    other = {"user": 64000, "group": 64000, "extra_groups": []} if os.geteuid() == 0 else {}
    for path, args in ((next(copy.glob("*.seg")), ("check",)), (copy, ("check",)),
                       (copy, ("cat", ids["small"]))):
        path.chmod(0)
        r = subprocess.run([str(binary()), "spool", args[0], "--dir", str(copy), *args[1:]],
                           capture_output=True, cwd="/", timeout=90, **other)
        path.chmod(0o700)
        assert b"DAMAGED" not in r.stdout and b"Permission denied" in r.stderr, r
        assert r.returncode == (66 if path == copy else 77), r


def on_a_terminal(where):
    """A stranger's message says nothing to the terminal it is shown on."""
    with Sink() as sink, gateway(where, ("127.0.0.1", sink.port)) as g:
        id = submit_all(g)["bytes"]
        ours, theirs = pty.openpty()
        p = subprocess.Popen([str(binary()), "spool", "cat", id, "-C", str(g.conf)],
                             stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        shown = b""
        try:
            while got := os.read(ours, 65536):
                shown += got
        except OSError:             # EIO: nobody has the other end any more
            pass
        os.close(ours)
        assert p.communicate(timeout=90)[1] == b"" and p.returncode == 0, p.returncode
        assert shown.endswith(b"Subject: \\xff\\xfe\r\n\r\n\\x01\\x02\\x03\\x04\\x05\\x06\\x07"
                              b"\\x08\t\\x80\\xff\r\n"), shown


def main():
    temp.exit_on_term()
    report = Report()
    if not binary().exists():
        report.skip("cli_spool", f"{binary()} is not built")
        return report.code()
    for case in (same_bytes, on_a_terminal, check_writes_nothing, may_not, envelopes, checks):
        with temp.Dir("spool") as where:
            report.run(f"cli_spool/{case.__name__}", case, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
