#!/usr/bin/env python3
"""`make install` puts everything below its prefix, and its first configuration is a good one.
tests/run: once"""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import temp                        # noqa: E402
from lib.gateway import TOP                 # noqa: E402
from lib.report import Report               # noqa: E402

BUILD = TOP / "build"
FILES = ["sbin/postern", "sbin/sendmail", "sbin/makemap", "lib/sendmail",
         "libexec/postern/postern-drop", "bin/hoststat", "share/man/man8/sendmail.8",
         "bin/mailq", "bin/newaliases",
         "etc/postern/postern.conf", "etc/init.d/postern", "etc/logrotate.d/postern",
         "lib/systemd/system/postern.service", "lib/sysusers.d/postern.conf",
         "lib/tmpfiles.d/postern.conf", "share/doc/postern/postern.conf.sample",
         "share/man/man8/postern.8", "share/man/man5/postern.conf.5", "share/man/man5/spool.5"]


def install(where):
    r = subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild"], text=True,
                       capture_output=True, env={**os.environ, "DESTDIR": str(where)})
    assert r.returncode == 0, r.stdout + r.stderr


def prefix(where):
    return next(p for p in where.rglob("sbin")).parent


def everything_is_there(where):
    top = prefix(where)
    missing = [f for f in FILES if not (top / f).exists()]
    assert not missing, missing
    outside = [p for p in where.rglob("*") if p.is_file() and top not in p.parents]
    assert not outside, outside
    for name in ("sbin/sendmail", "bin/mailq"):
        assert (top / name).resolve() == top / "sbin" / "postern", name


def nothing_is_left_to_fill_in(where):
    top = prefix(where)
    for name in FILES:
        if name.startswith(("etc/", "lib/")) and not (top / name).is_symlink():
            left = re.findall(r"@[a-z]+@", (top / name).read_text())
            assert not left, f"{name}: {left}"


def configuration_is_good(where):
    top = prefix(where)
    r = subprocess.run([top / "sbin" / "postern", "config", "check", "-C",
                        top / "etc/postern/postern.conf"], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def a_configuration_stays(where):
    conf = prefix(where) / "etc/postern/postern.conf"
    conf.write_text("# mine\n")
    install(where)
    assert conf.read_text() == "# mine\n"


def main():
    temp.exit_on_term()
    report = Report()
    with temp.Dir("install") as where:
        report.run("install/runs", install, where)
        for case in (everything_is_there, nothing_is_left_to_fill_in, configuration_is_good,
                     a_configuration_stays) if not report.failed else ():
            report.run(f"install/{case.__name__}", case, where)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
