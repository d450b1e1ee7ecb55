"""Client programs that submit to us: swaks, msmtp, curl, Python's smtplib."""
import shutil
import smtplib
import ssl
import subprocess
from dataclasses import dataclass
from typing import Callable

from lib.report import Skip

LIMIT_S = 90
ENVELOPE = ("text", "dots", "blanks", "eightbit", "big", "rcpts")


@dataclass
class Client:
    name: str
    send: Callable              # send(port, mail, content, secure, directory)
    kinds: tuple = ENVELOPE


def program(name):
    if shutil.which(name) is None:
        raise Skip(f"{name} is not installed")
    return name


def call(argv, data=None):
    r = subprocess.run(argv, input=data, capture_output=True, timeout=LIMIT_S)
    if r.returncode != 0:
        text = (r.stdout + r.stderr).decode(errors="replace")
        raise AssertionError(f"{argv[0]} ends with {r.returncode}: {text[-600:]}")


def swaks(port, mail, content, secure, directory):
    program("swaks")
    if secure:
        r = subprocess.run(["swaks", "--support"], capture_output=True, text=True)
        if "TLS not available" in r.stdout + r.stderr:
            raise Skip("swaks has no TLS: libnet-ssleay-perl is missing")
    path = directory / "swaks.eml"
    path.write_bytes(content)
    argv = ["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example", "--from",
            mail.sender, "--to", ",".join(mail.rcpts), "--data", f"@{path}",
            "--no-data-fixup", "--hide-all"]
    # Without the fix-up dots and the end are the caller's.
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    path.write_bytes(stuffed + b".\r\n" if stuffed.endswith(b"\r\n") else stuffed + b"\r\n.\r\n")
    call(argv + (["--tls"] if secure else []))


def msmtp(port, mail, content, secure, directory):
    program("msmtp")
    tls = ["--tls=on", "--tls-starttls=on", "--tls-certcheck=off"] if secure else ["--tls=off"]
    call(["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={port}",
          "--domain=client.example", f"--from={mail.sender}", "--auth=off", *tls, "--",
          *mail.rcpts], content.replace(b"\r\n", b"\n"))


def curl(port, mail, content, secure, directory):
    program("curl")
    path = directory / "curl.eml"
    path.write_bytes(content)
    argv = ["curl", "-sS", f"smtp://127.0.0.1:{port}/client.example", "--mail-from", mail.sender,
            "--upload-file", str(path), "--max-time", str(LIMIT_S)]
    for rcpt in mail.rcpts:
        argv += ["--mail-rcpt", rcpt]
    call(argv + (["--ssl-reqd", "--insecure"] if secure else []))


def python(port, mail, content, secure, directory):
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=LIMIT_S) as s:
        if secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            s.starttls(context=context)
        refused = s.sendmail(mail.sender, mail.rcpts, content,
                             mail_options=mail.mail_parameters.split())
        assert not refused, refused


ALL = [Client("swaks", swaks), Client("msmtp", msmtp), Client("curl", curl),
       Client("smtplib", python)]
