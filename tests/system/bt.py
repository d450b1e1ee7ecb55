#!/usr/bin/env python3
"""`sendmail -bt` and `-bv`, word for word: both traces of the posts, and every format that
sendmail was seen to print, on a staged zone; with the gateway running and from the files alone.
tests/run: long sanitizers tests/run: anyone"""
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import temp                        # noqa: E402
from lib.gateway import Gateway, Word, binary       # noqa: E402
from lib.report import Report               # noqa: E402
from lib.zonedns import ZoneDns             # noqa: E402

ZONE = """
gmail.com            MX 5 gmail-smtp-in.l.google.com
gmail.com            MX 20 alt2.gmail-smtp-in.l.google.com
gmail.com            MX 10 alt1.gmail-smtp-in.l.google.com
gmail.com            A 127.0.0.31
paladinny.com        CNAME paladinny.no-ip.biz
paladinny.no-ip.biz  A 127.0.0.35
written.test         CNAME paladinny.no-ip.biz
nullmx.test          MX 0 .
aonly.test           A 127.0.0.36
servfail.test        SERVFAIL
"""
MAILERTABLE = {
    "written.test": "relay:[127.0.0.9]",
    ".wild.test": "relay:[127.0.0.9]",
    "loc.test": "local:root",
    "err.test": "error:5.7.1:550 Mail to this domain is prohibited",
    "errtemp.test": "error:4.3.0:451 try later please",
}
ALIASES = """postmaster: root
list: root, daemon, user@gmail.com
prog: "|/bin/cat >/tmp/prog.out"
filed: /var/mail/filedest
a1: a2
a2: a1
"""
VIRTUAL = """info@virt.test     root
bad@virt.test      error:5.1.1:550 No such user here
"""

TRACE_GMAIL = """\
canonify           input: test @ gmail . com
Canonify2          input: test < @ gmail . com >
Canonify2        returns: test < @ gmail . com . >
canonify         returns: test < @ gmail . com . >
parse              input: test < @ gmail . com . >
Parse0             input: test < @ gmail . com . >
Parse0           returns: test < @ gmail . com . >
ParseLocal         input: test < @ gmail . com . >
ParseLocal       returns: test < @ gmail . com . >
Parse1             input: test < @ gmail . com . >
Mailertable        input: < gmail . com > test < @ gmail . com . >
Mailertable        input: gmail . < com > test < @ gmail . com . >
Mailertable      returns: test < @ gmail . com . >
Mailertable      returns: test < @ gmail . com . >
SmartTable         input: test < @ gmail . com . >
SmartTable       returns: test < @ gmail . com . >
MailerToTriple     input: < > test < @ gmail . com . >
MailerToTriple   returns: test < @ gmail . com . >
Parse1           returns: $# esmtp $@ gmail . com . $: test < @ gmail . com . >
parse            returns: $# esmtp $@ gmail . com . $: test < @ gmail . com . >
"""
NO_IP = "test < @ paladinny . no-ip . biz . >"
TRACE_PALADINNY = f"""\
canonify           input: test @ paladinny . com
Canonify2          input: test < @ paladinny . com >
Canonify2        returns: {NO_IP}
canonify         returns: {NO_IP}
parse              input: {NO_IP}
Parse0             input: {NO_IP}
Parse0           returns: {NO_IP}
ParseLocal         input: {NO_IP}
ParseLocal       returns: {NO_IP}
Parse1             input: {NO_IP}
Mailertable        input: < paladinny . no-ip . biz > {NO_IP}
Mailertable        input: paladinny . < no-ip . biz > {NO_IP}
Mailertable        input: paladinny . no-ip . < biz > {NO_IP}
Mailertable      returns: {NO_IP}
Mailertable      returns: {NO_IP}
Mailertable      returns: {NO_IP}
SmartTable         input: {NO_IP}
SmartTable       returns: {NO_IP}
MailerToTriple     input: < > {NO_IP}
MailerToTriple   returns: {NO_IP}
Parse1           returns: $# esmtp $@ paladinny . no-ip . biz . $: {NO_IP}
parse            returns: $# esmtp $@ paladinny . no-ip . biz . $: {NO_IP}
"""
STAYS = ("postern: the recipient stays test@paladinny.com; the gateway decides "
         "esmtp:paladinny.com, by mx\n")
SMART = """\
SmartTable         input: user < @ gmail . com . >
MailerToTriple     input: < relay : [ 127 . 0 . 0 . 2 ] > user < @ gmail . com . >
MailerToTriple   returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . com . >
SmartTable       returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . com . >
Parse1           returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . com . >
parse            returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . com . >
"""
# line typed, all that is printed for it
WORDS = [
    ("/mx gmail.com", "getmxrr(gmail.com) returns 3 value(s):\n\tgmail-smtp-in.l.google.com.\n"
     "\talt1.gmail-smtp-in.l.google.com.\n\talt2.gmail-smtp-in.l.google.com.\n"),
    ("/mx nx.test", "getmxrr(nx.test) returns 0 value(s):\n"),
    ("/mx servfail.test", "getmxrr(servfail.test) returns -1 value(s):\n"),
    ("/mx nullmx.test", "getmxrr(nullmx.test) returns null MX (See RFC7505)\n"),
    ("/mx aonly.test", "getmxrr(aonly.test) returns 1 value(s):\n\taonly.test.\n"),
    ("/mx", "Usage: /mx address\n"),
    ("/canon paladinny.com", "getcanonname(paladinny.com) returns paladinny.no-ip.biz\n"),
    ("/map mailertable written.test",
     "map_lookup: mailertable (written.test) returns relay:[127.0.0.9] (0)\n"),
    ("/map mailertable nope", "map_lookup: mailertable (nope) no match (0)\n"),
    ("/map smarttable @aicpa.org",
     "map_lookup: smarttable (@aicpa.org) returns relay:[127.0.0.2] (0)\n"),
    ("/map nosuchmap x", 'Map named "nosuchmap" not found\n'),
    ("/map generics x", 'Map named "generics" not found\n'),
    ("/map aliases root", "map_lookup: aliases (root) no match (68)\n"),
    ("/try nomailer root", "Unknown mailer nomailer\n"),
    ("/help", 'Unknown "/" command /help\n'),
    ("=X", 'Unknown "=" command =X\n'),
    (".X", 'Unknown "." command .X\n'),
    ("nosuch", "No address!\n"),
    ("nosuch u@gmail.com", "Undefined ruleset nosuch\n"),
    ("$w", "drjemgw2\n"), ("$j", "drjemgw2.drj.com\n"), ("$m", "drj.com\n"),
    ("$Q", "Undefined\n"), ("$nosuch", "MAILER-DAEMON\n"),
    (".DQvalue", ""), ("$Q", "value\n"),
    ("# a comment", ""), ("", ""), ("-d21.12", ""),
    ("/parse user@err.test", None),
]
RESULTS = [
    ("root@drj.com", "$# local $: root"), ("root+x@drj.com", "$# local $: root + x"),
    ("user%gmail.com@drj.com", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >"),
    ("u@nx.test", "$# esmtp $@ nx . test $: u < @ nx . test >"),
    ("u@a.b.wild.test", "$# relay $@ [ 127 . 0 . 0 . 9 ] $: u < @ a . b . wild . test >"),
    ("u@loc.test", "$# local $@ u @ loc . test $: root"),
    ("u@err.test", "$# error $@ 5 . 7 . 1 $: 550 Mail to this domain is prohibited"),
    ("info@virt.test", "$# local $: root"),
    ("bad@virt.test", "$# error $@ 5 . 1 . 1 $: 550 No such user here"),
    ("user@", '$# error $@ 5 . 1 . 3 $: "553 Hostname required"'),
    ("joe@x.REDIRECT",
     '$# error $@ 5 . 1 . 1 $: "551 User has moved; please try " < joe @ x >'),
]
BANNER = "ADDRESS TEST MODE (ruleset 3 NOT automatically invoked)\nEnter <ruleset> <address>\n"
VERIFY = [
    ("user@gmail.com", "user@gmail.com... deliverable: mailer esmtp, host gmail.com., "
     "user user@gmail.com\n", 0),
    ("root", "root... deliverable: mailer local, user root\n", 0),
    ("root+x@drj.com", "root+x@drj.com... deliverable: mailer local, host x, user root\n", 0),
    ("nosuchuser", "nosuchuser... User unknown\n", 67),
    ("prog", '"|/bin/cat >/tmp/prog.out"... deliverable: mailer prog, '
     'user "|/bin/cat >/tmp/prog.out"\n', 0),
    ("filed", "/var/mail/filedest... deliverable: mailer *file*, user /var/mail/filedest\n", 0),
    ("user@err.test", "user@err.test... Mail to this domain is prohibited\n", 65),
    ("bad@virt.test", "bad@virt.test... No such user here\n", 67),
    ("user@", "user@... Hostname required\n", 64),
    ("user@errtemp.test", "user@errtemp.test... try later please\nuser@errtemp.test... "
     "deliverable: mailer *error*, host 4.3.0, user 451 try later please\n", 0),
    ("list", "user@gmail.com... deliverable: mailer esmtp, host gmail.com., user user@gmail.com\n"
     "daemon... deliverable: mailer local, user daemon\n"
     "root... deliverable: mailer local, user root\n", 0),
]


class Face:
    def __init__(self, where, dns):
        self.where = where
        maps = {name: f"text:{where}/gw/{name}" for name in
                ("smarttable", "aliases", "virtusertable")}
        self.gateway = Gateway(where / "gw", mailertable=MAILERTABLE, options={
            "hostname": "drjemgw2.drj.com",
            "route": {"local": ["localhost", "drj.com"],
                      "mailertable": f"text:{where}/gw/mailertable", **maps},
            "dns": {"servers": [dns.address], "dnssec": Word("off"), "timeout": Word("3s")}})
        (where / "gw").mkdir(parents=True)
        (where / "gw" / "smarttable").write_text("@aicpa.org relay:[127.0.0.2]\n")
        (where / "gw" / "aliases").write_text(ALIASES)
        (where / "gw" / "virtusertable").write_text(VIRTUAL)
        self.gateway.configure()
        self.link = where / "sendmail"
        self.link.symlink_to(binary())

    def run(self, *args, data=""):
        """(exit status, standard output, standard error)"""
        r = subprocess.run([str(self.link), "-C", str(self.gateway.conf), *args],
                           input=data.encode(), capture_output=True, timeout=120)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def session(self, *lines, status=0):
        """What is printed for each line."""
        code, out, err = self.run("-bt", data="".join(f"{line}\n" for line in lines))
        assert code == status and err == "", (code, err, out)
        assert out.startswith(BANNER + "> ") and out.endswith("> "), out
        said = out[len(BANNER):].split("> ")
        # "> " also stands inside traces: put such parts together again
        return out[len(BANNER) + 2:-2] if len(lines) == 1 else said


def same(got, want):
    assert got == want, f"\n--- got\n{got}\n--- want\n{want}"


def posts(face):
    same(face.session("3,0 test@gmail.com"), TRACE_GMAIL)
    same(face.session("3,0 test@paladinny.com"), TRACE_PALADINNY + STAYS)


def smart_table(face):
    code, out, _ = face.run("-bt", data=".Dftest@aicpa.org\n3,0 user@gmail.com\n")
    assert code == 0 and SMART in out, out
    code, out, _ = face.run("-ftest@aicpa.org", "-bt", data="3,0 user@gmail.com\n")
    assert code == 0 and SMART in out and "postern:" not in out, out


def as_written(face):
    """The key that the posts could not have: it decides, and the last line says so."""
    out = face.session("3,0 u@written.test")
    last = out.splitlines()[-1]
    assert last == ("postern: the recipient stays u@written.test; the gateway decides "
                    "relay:[127.0.0.9], by mailertable written.test"), out
    assert "$# esmtp $@ paladinny . no-ip . biz ." in out


def words(face):
    for line, want in WORDS:
        if want is not None and not line.startswith((".D", "$Q")):
            same(face.session(line), want)
    _, out, _ = face.run("-bt", data=".DQvalue\n$Q\n")
    assert out == BANNER + "> > value\n> ", out


def statuses(face):
    """Errors met leave their status at the end; an end of input alone is 0."""
    same(face.run("-bt")[1], BANNER + "> ")
    code, out, _ = face.run("-bt", data="/parse user@err.test\n/quit\n/mx gmail.com\n")
    assert code == 65 and "getmxrr" not in out, out
    assert out.endswith("user@err.test... Mail to this domain is prohibited\nmailer *error*, "
                        "host 5.7.1, user 550 Mail to this domain is prohibited\n> "), out
    out = face.session("/parse user@gmail.com")
    assert out.startswith("Cracked address = $g\nParsing envelope recipient address\ncanonify")
    assert out.endswith("mailer esmtp, host gmail.com., user user@gmail.com\n"), out
    out = face.session("/parse root")
    assert out.endswith("mailer local, user root\n"), out
    out = face.session("/try esmtp user@gmail.com")
    assert out.startswith("Trying envelope recipient address user@gmail.com for mailer esmtp\n")
    assert out.endswith("Rcode = 0, addr = user@gmail.com\n"), out
    out = face.session("3,0 u@servfail.test")
    assert "Canonify2        returns: u < @ servfail . test >\n" in out and "(3) status 75\n" in out
    out = face.session("3,nosuch user@gmail.com")
    assert out.endswith("Undefined ruleset nosuch\n") and out.startswith("canonify "), out
    code, out, _ = face.run("-d0.1", "-bt")
    assert "      (short domain name) $w = drjemgw2\n" in out, out
    assert set(face.session("$=w").split()) >= {"drjemgw2.drj.com", "drj.com", "localhost"}


def results(face):
    for addr, want in RESULTS:
        out = face.session(f"3,0 {addr}")
        last = [line for line in out.splitlines() if line.startswith("parse ")][-1]
        same(last, f"parse            returns: {want}")


def verify(face):
    for addr, want, status in VERIFY:
        code, out, err = face.run("-bv", addr)
        assert (code, out) == (status, want), f"{addr}: {code} {out!r} {err!r}"
    code, out, _ = face.run("-bv", "root", "nosuchuser", "user@err.test")
    assert code == 67 and len(out.splitlines()) == 3, out
    code, out, _ = face.run("-v", "-bv", "list")
    assert out.startswith("list... aliased to root, daemon, user@gmail.com\n"), out
    code, out, _ = face.run("-fx@aicpa.org", "-bv", "user@gmail.com")
    same(out, "user@gmail.com... deliverable: mailer relay, host [127.0.0.2], "
         "user user@gmail.com\n")
    code, out, err = face.run("-bv")
    assert code == 64 and out + err == "Recipient names must be specified\n", (code, out, err)


# header or envelope, sender or recipient, address, what it becomes
MASQUERADED = [
    ("HS", "root", "root@drj.com"), ("ES", "root", "root@drjemgw2.drj.com"),
    ("HR", "root", "root@drjemgw2.drj.com"), ("ER", "root", "root@drjemgw2.drj.com"),
    ("HS", "user@host.corp.test", "user@drj.com"), ("HS", "daemon", "daemon@drjemgw2.drj.com"),
    ("HS", "u@gmail.com", "u@gmail.com"),
]


def masquerade(face):
    """/tryflags and /try as sendmail's table of masqueraded places has it."""
    conf = face.where / "masq.conf"
    text = face.gateway.conf.read_text()
    route = 'masquerade_as = "drj.com"\n    masquerade_domains = {".corp.test"}\n' \
            '    exposed_users = {"daemon"}\n'
    conf.write_text(text.replace("route {\n", "route {\n    " + route)
                    .replace("/control\"", "/no-control\""))

    def tries(config, cases):
        lines = "".join(f"/tryflags {f}\n/try esmtp {a}\n" for f, a, _ in cases)
        r = subprocess.run([str(face.link), "-C", str(config), "-bt"], input=lines.encode(),
                           capture_output=True, timeout=90)
        return [line.split("addr = ")[1] for line in r.stdout.decode().splitlines()
                if line.startswith("Rcode = ")]
    same(tries(conf, MASQUERADED), [want for _, _, want in MASQUERADED])
    conf.write_text(conf.read_text().replace("route {\n", "route {\n    masquerade_envelope = on\n"
                                             "    masquerade_all = on\n"))
    everywhere = ["root@drj.com", "root@drj.com", "root@drj.com", "root@drjemgw2.drj.com"]
    same(tries(conf, MASQUERADED[:4]), everywhere)


def alias_loop(face):
    code, out, err = face.run("-bv", "a1")
    assert (code, out) == (64, "aliasing/forwarding loop broken\n"), (code, out, err)


def not_there(face):
    code, out, err = face.run("-C", "/nonexistent/none.cf", "-bt")
    assert code == 72 and "none.cf" in err, (code, err)


def main():
    r = Report()
    os.environ.pop("LANG", None)
    with temp.Dir("bt") as where, ZoneDns(ZONE) as dns:
        face = Face(where, dns)
        tests = [posts, smart_table, as_written, words, statuses, results, verify, alias_loop]
        for test in [*tests, not_there, masquerade]:
            r.run(f"from the files: {test.__name__}", test, face)
        with face.gateway:
            for test in tests:
                r.run(f"with the gateway: {test.__name__}", test, face)
    return r.code()


if __name__ == "__main__":
    sys.exit(main())
