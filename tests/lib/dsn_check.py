"""Reads the reports that tests/unit/test_dsn.c wrote into a directory, with Python's email
package, says what is wrong with each, and removes them."""
import email
import email.policy
import quopri
import shutil
import sys
from pathlib import Path

KINDS = {"failure": "failed", "ends": "failed", "delay": "delayed", "success": "relayed",
         "expanded": "expanded", "double": "failed", "full": "failed", "notfull": "failed",
         "toolong": "failed", "latin1": "failed", "utf8": "failed", "utf8seven": "failed",
         "utf8full": "failed", "utf8ascii": "failed"}
EIGHT = {"full", "utf8"}            # the only ones with octets above 127


def fields(part):
    """The groups of message/delivery-status: [per message, per recipient ...]."""
    if part.get_content_type() == "message/delivery-status":
        groups = part.get_payload()
    else:           # message/global-delivery-status: to Python a message with the rest as body
        text = part.get_payload(0).as_bytes()
        if part["Content-Transfer-Encoding"] == "quoted-printable":
            text = quopri.decodestring(text)
        text = text.decode().replace("\r\n", "\n")
        groups = [email.message_from_string(g) for g in text.split("\n\n")]
    return [g for g in groups if list(g)]


def common(name, raw, m, action):
    assert b"\n" not in raw.replace(b"\r\n", b""), "bare LF"
    assert b"\r" not in raw.replace(b"\r\n", b""), "bare CR"
    assert max(map(len, raw.split(b"\r\n"))) <= 998, "a line is too long"
    assert not m.defects, m.defects
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    parts = m.get_payload()
    assert len(parts) == 3, len(parts)
    for p in parts:
        assert not p.defects, p.defects
    assert m.get_param("report-type") == parts[1].get_content_type().split("/")[1]
    assert m["Auto-Submitted"] == "auto-replied"
    assert m["MIME-Version"] == "1.0" and m["Date"] and m["Message-ID"] and m["To"]
    assert m["From"] == "Mail Delivery System <MAILER-DAEMON@mx1.example.net>"
    groups = fields(parts[1])
    assert groups[0]["Reporting-MTA"] == "dns; mx1.example.net"
    assert groups[0]["Arrival-Date"], "no Arrival-Date"
    assert email.utils.parsedate_to_datetime(groups[0]["Arrival-Date"]).timestamp() == 1790000000
    assert len(groups) > 1
    for g in groups[1:]:
        assert g["Action"] in (action, "delivered"), g["Action"]
        assert g["Final-Recipient"] and g["Status"] and not g.defects, g
    eight = any(b > 127 for b in raw)
    assert eight == (name in EIGHT), eight
    ctes = [p["Content-Transfer-Encoding"] for p in parts]
    assert ("8bit" in ctes) == eight and (m["Content-Transfer-Encoding"] == "8bit") == eight, ctes
    return parts, groups


def failure(m, parts, groups):
    assert groups[0]["Original-Envelope-Id"] == "QQ+314"
    assert len(groups) == 4
    assert groups[1]["Original-Recipient"] == "rfc822;first+list@example.com"
    assert groups[1]["Final-Recipient"] == "rfc822; u@example.com"
    assert groups[1]["Status"] == "5.1.1"
    assert groups[1]["Remote-MTA"] == "dns; mx.example.com"
    assert groups[1]["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user here"
    assert groups[1]["Last-Attempt-Date"] and not groups[1]["Will-Retry-Until"]
    joined = " ".join(groups[2]["Diagnostic-Code"].split())
    assert joined == "smtp; 552-5.2.2 the mailbox 552 5.2.2 is full", joined
    assert groups[3]["Diagnostic-Code"].startswith("x-postern; Connection timed out")
    assert groups[3]["Remote-MTA"] is None
    text = parts[0].get_payload()
    assert "for 1d1h1m" in text and "fell silent" in text
    assert m["In-Reply-To"] == "<original@sender.example>"
    assert parts[2].get_content_type() == "text/rfc822-headers"
    head = email.message_from_string(parts[2].get_payload())
    assert head["Subject"] == "the plan" and len(head.get_all("Received")) == 1


def delay(m, parts, groups):
    assert "go on trying" in m["Subject"] and groups[1]["Status"] == "4.2.1"
    assert groups[1]["Diagnostic-Code"] == "smtp; 450 4.2.1 busy"
    assert groups[1]["Remote-MTA"] == "dns; mx.example.com"
    last = email.utils.parsedate_to_datetime(groups[1]["Last-Attempt-Date"])
    assert last.timestamp() == 1790000000 + 90061 - 61
    until = email.utils.parsedate_to_datetime(groups[1]["Will-Retry-Until"])
    assert until.timestamp() == 1790432000


def success(m, parts, groups):
    assert [g["Action"] for g in groups[1:]] == ["relayed", "delivered"]
    assert "mailbox" in parts[0].get_payload()


def expanded(m, parts, groups):
    assert [g["Action"] for g in groups[1:]] == ["expanded", "delivered"]
    words = " ".join(parts[0].get_payload().split())
    assert "stands for several others" in words and "mailing list" in words, words
    assert groups[1]["Remote-MTA"] is None and groups[1]["Last-Attempt-Date"] is None


def ends(m, parts, groups):
    assert [g["Status"] for g in groups[1:]] == ["4.4.7", "5.7.1", "4.4.7"]
    assert groups[1]["Diagnostic-Code"] == "smtp; 452 4.2.2 full" and groups[1]["Remote-MTA"]
    assert groups[2]["Diagnostic-Code"].startswith("x-postern; returned by an administrator")
    words = " ".join(parts[0].get_payload().split())
    assert "The mailbox is full." in words and "sent it back to you" in words, words
    assert "there was no attempt. The reason: frozen by an administrator" in words, words
    assert "does not take it" not in words, words


def toolong(m, parts, groups):
    assert parts[2].get_content_type() == "text/rfc822-headers"
    assert "only the header comes back" in parts[0].get_payload()


def double(m, parts, groups):
    assert m["To"] == "<postmaster@mx1.example.net>"
    assert "without a sender" in parts[0].get_payload()


def full(m, parts, groups):
    assert parts[2].get_content_type() == "message/rfc822"
    inner = parts[2].get_payload(0)
    assert inner["Subject"] == "the plan" and "last line" in inner.get_payload()


def notfull(m, parts, groups):
    assert parts[2].get_content_type() == "text/rfc822-headers"
    assert "its lines are not" in parts[0].get_payload()


def latin1(m, parts, groups):
    assert b"gr\xfc\xdf" in parts[2].get_payload(decode=True)
    assert parts[2]["Content-Transfer-Encoding"] == "quoted-printable"
    assert groups[1]["Diagnostic-Code"] == "smtp; 550 gr?? Gott"


def utf8(m, parts, groups):
    assert parts[1].get_content_type() == "message/global-delivery-status"
    assert parts[2].get_content_type() == "message/global-headers"
    assert groups[1]["Final-Recipient"] == "utf-8; jürgen@example.com"
    assert "jürgen" in groups[1]["Diagnostic-Code"]
    assert "jürgen" in parts[0].get_payload(decode=True).decode()


def utf8seven(m, parts, groups):
    utf8(m, parts, groups)
    assert b"gr=C3=BC=C3=9F Gott" in parts[2].as_bytes()
    for p in parts:
        assert p["Content-Transfer-Encoding"] == "quoted-printable", p.items()


def utf8full(m, parts, groups):
    assert parts[2].get_content_type() == "message/global"
    inner = quopri.decodestring(parts[2].get_payload(0).as_bytes()).replace(b"\r\n", b"\n")
    assert inner.startswith("Subject: grüß Gott\n\nJürgen, = \n.\n".encode()), inner


def utf8ascii(m, parts, groups):
    assert parts[1].get_content_type() == "message/delivery-status"
    assert groups[1]["Final-Recipient"] == "utf-8; j\\x{FC}rgen@example.com"


def main(folder):
    bad = 0
    for name, action in KINDS.items():
        raw = (folder / f"{name}.eml").read_bytes()
        m = email.message_from_bytes(raw)
        try:
            globals()[name](m, *common(name, raw, m, action))
            print(f"ok dsn_read_{name}", flush=True)
        except (AssertionError, AttributeError, KeyError, IndexError, TypeError) as e:
            bad += 1
            print(f"not ok dsn_read_{name}: {type(e).__name__} {e} at line "
                  f"{e.__traceback__.tb_next.tb_lineno}", flush=True)
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


sys.exit(main(Path(sys.argv[1])))
