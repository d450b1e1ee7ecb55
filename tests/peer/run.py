#!/usr/bin/env python3
"""The gateway beside other mail programs: we -> peer, peer -> we, and their clients -> us.

  tests/peer/run.py [--direct] [--only TEXT]

Every message ends in a sink that keeps the bytes, so that a changed body is seen whoever changed
it. --direct leaves the gateway out: it shows what the peers do by themselves. KEEP=1 keeps the
directories, VERBOSE=1 shows times and tracebacks. With CI=true a skip is a failure.
"""
import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, peers, ports, smtpclient, temp       # noqa: E402
from lib.gateway import Gateway, binary                     # noqa: E402
from lib.peers import fetch                                 # noqa: E402
from lib.report import Report, Skip                         # noqa: E402
from lib.sink import Sink                                   # noqa: E402
import clients                                              # noqa: E402
from messages import KINDS, TEXT, Mail                      # noqa: E402

# What Debian 12's builds do not do; the case is left out, not skipped.
LACKS = {"exim": set(), "opensmtpd": {"SMTPUTF8"}, "postfix": set()}


class Chain:
    """entry -> (hops) -> sink, all up; `with` takes them down in turn."""

    def __init__(self, directory, hops, sink):
        self.dir, self.hops, self.sink = directory, hops, sink

    def __enter__(self):
        self.up = []
        try:
            for hop in reversed(self.hops):     # the last first, so that nothing is put off
                hop.start()
                self.up.append(hop)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for hop in reversed(self.up):
            hop.stop()

    @property
    def port(self):
        return (self.hops[0] if self.hops else self.sink).port


def peer_chain(directory, name, direction, cert, direct, sink):
    """The hops of one direction: gateway and peer in the order of the mail."""
    first, second = ports.free(), ports.free()
    end = ("127.0.0.1", sink.port)
    if direct:
        return [peers.make(name, directory / name, first, relay=end, tls=cert)]
    hop = ("127.0.0.1", second)
    if direction == "to":
        return [Gateway(directory / "gateway", port=first, smart_host=hop, tls=cert),
                peers.make(name, directory / name, second, relay=end, tls=cert)]
    return [peers.make(name, directory / name, first, relay=hop, tls=cert),
            Gateway(directory / "gateway", port=second, smart_host=end, tls=cert)]


def submit(port, mail, tag):
    """Send it; the last reply."""
    with smtpclient.Client(port) as c:
        c.ehlo("client.example")
        reply = c.cmd(f"MAIL FROM:<{mail.sender}>{mail.mail_parameters}".encode())
        for rcpt in mail.rcpts:
            if reply.code == 250:
                reply = c.cmd(f"RCPT TO:<{rcpt}>{mail.rcpt_parameters}".encode())
        if reply.code // 100 == 2:
            reply = c.data(mail.content(tag))
        if reply.code != 250:
            raise AssertionError(f"refused: {reply.text}")
        c.cmd("QUIT")
        return reply


def arrived(sink, subject, recipients, timeout_s=90):
    """The sink's message(s) with this subject, once they hold all the recipients."""
    mark = f"\r\nSubject: {subject}\r\n".encode()

    def mine():
        return [m for m in sink.messages if mark in b"\r\n" + m.headers]

    def complete():
        return sorted(r for m in mine() for r in m.recipients) == sorted(recipients)
    with sink.changed:
        if not sink.changed.wait_for(complete, timeout_s):
            got = [r for m in mine() for r in m.recipients]
            raise AssertionError(f"{len(mine())} copies for {got} arrived of {recipients}")
        return mine()


def check_mail(chain, mail, tag):
    reply = submit(chain.port, mail, tag)
    for message in arrived(chain.sink, f"{tag}-{mail.kind}", mail.rcpts):
        check_body(message, mail.body)
        assert (message.sender or "") == mail.sender, f"sender became {message.sender!r}"
        if mail.kind == "dsn":
            assert b"ENVID=env+2Bid" in message.mail, f"ENVID lost: {message.mail!r}"
            assert all(b"NOTIFY=" in r for r in message.rcpts), f"NOTIFY lost: {message.rcpts!r}"
        if mail.kind == "utf8":
            assert b"SMTPUTF8" in message.mail, f"SMTPUTF8 lost: {message.mail!r}"
    return reply


def check_body(message, body):
    if message.body == body:
        return
    at = next((n for n, (a, b) in enumerate(zip(message.body, body)) if a != b),
              min(len(message.body), len(body)))
    raise AssertionError(f"body differs at octet {at}: {message.body[at - 20:at + 20]!r} "
                         f"instead of {body[at - 20:at + 20]!r}")


def check_logged(gateway, reply, mail):
    """The id of our 250 stands in the log beside what became of each recipient."""
    found = re.search(r"\b[A-Za-z0-9]{8,}\b", reply.text)
    assert found, f"no queue id in {reply.text!r}"
    for rcpt in mail.rcpts:
        gateway.wait_log(rf"{found.group()}: to=\S*<?{re.escape(rcpt)}>?.*stat=Sent")


def check_trace(sink, name, secure, lines):
    """Received lines of `name` say ESMTPS exactly when its side of the path was secure."""
    for message in sink.messages:
        unfolded = re.sub(rb"\r\n[ \t]+", b" ", message.headers)
        for trace in re.findall(rb"(?im)^Received:.*$", unfolded):
            if b"by " + name in trace:
                lines.append(trace)
                said = b"ESMTPS" in trace.upper() or b"UTF8SMTPS" in trace.upper()
                assert said == secure, f"expected {'TLS' if secure else 'plain'}: {trace!r}"
    assert lines, f"no Received line by {name.decode()}"


def matrix(report, name, direction, secure, a, cert):
    label = f"{direction}_{name}/{'starttls' if secure else 'plain'}"
    broken = secure and direction == "to" and not peers.KINDS[name].tls_server_works
    if broken:
        label = f"{direction}_{name}/broken_starttls"
    if a.only not in label:
        return
    with temp.Dir("peer") as directory, Sink(tls=cert if secure else None) as sink:
        hops = peer_chain(directory, name, direction, cert if secure else None, a.direct, sink)
        chain = Chain(directory, hops, sink)
        try:
            chain.__enter__()
        except fetch.Unavailable as e:
            report.skip(label, e)
            return
        except Exception as e:
            report.not_ok(label, f"does not start: {e}")
            return
        try:
            cases(report, chain, name, direction, label, a)
            if not a.direct:
                # Who received from whom with TLS: the peer in "to", we in "from".
                by = f"{name}.peer.example".encode() if direction == "to" else b"gateway.example"
                report.run(f"{label}/trace", check_trace, sink, by, secure and not broken, [])
        finally:
            chain.__exit__()


def cases(report, chain, name, direction, label, a):
    gateway = next((h for h in chain.hops if isinstance(h, Gateway)), None)
    peer = next(h for h in chain.hops if not isinstance(h, Gateway))
    for mail in KINDS:
        if mail.needs in LACKS[name]:
            continue

        def one(mail=mail):
            reply = check_mail(chain, mail, "m")
            if gateway and direction == "to":
                check_logged(gateway, reply, mail)
        report.run(f"{label}/{mail.kind}", one)
    if direction == "from":
        report.run(f"{label}/sendmail", check_sendmail, chain, peer)


def check_sendmail(chain, peer):
    mail = Mail("sendmail", TEXT)
    peer.sendmail(["-f", mail.sender, *mail.rcpts], mail.content("m").replace(b"\r\n", b"\n"))
    for message in arrived(chain.sink, "m-sendmail", mail.rcpts):
        check_body(message, mail.body)


def check_client(send, gateway, sink, mail, label, secure):
    tag = label.replace("/", "-")
    send(gateway.port, mail, mail.content(tag), secure, gateway.dir)
    for message in arrived(sink, f"{tag}-{mail.kind}", mail.rcpts):
        check_body(message, mail.body)
        trace = re.sub(rb"\r\n[ \t]+", b" ", message.headers).split(b"\r\n")[0]
        if trace.startswith(b"Received:"):
            assert (b"ESMTPS" in trace) == secure, f"TLS is not as asked: {trace!r}"
        else:
            assert b"Received:" not in message.headers, "our Received line is not the first"


def client_matrix(report, a, cert):
    wanted = [(c, s) for c in clients.ALL for s in (False, True)
              if a.only in f"client_{c.name}/{'starttls' if s else 'plain'}"]
    if not wanted:
        return
    with temp.Dir("client") as directory, Sink() as sink:
        gateway = Gateway(directory / "gateway", smart_host=("127.0.0.1", sink.port), tls=cert)
        with Chain(directory, [] if a.direct else [gateway], sink) as chain:
            if a.direct:
                gateway.port, gateway.dir = chain.port, directory
            for client, secure in wanted:
                label = f"client_{client.name}/{'starttls' if secure else 'plain'}"
                if a.direct and secure:
                    continue
                for mail in [m for m in KINDS if m.kind in client.kinds]:
                    report.run(f"{label}/{mail.kind}", check_client, client.send, gateway, sink,
                               mail, label, secure)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--direct", action="store_true")
    p.add_argument("--only", default="")
    a = p.parse_args()
    temp.exit_on_term()
    report = Report(must_run=True)
    if not a.direct and not binary().exists():
        report.skip("peer", f"{binary()} is not built")
        return report.code()
    with temp.Dir("certs") as where:
        cert = certs.make(where)
        for name in peers.KINDS:
            for direction in ("to",) if a.direct else ("to", "from"):
                for secure in (False, True):
                    if a.direct and secure and not peers.KINDS[name].tls_server_works:
                        continue
                    matrix(report, name, direction, secure, a, cert)
        try:
            client_matrix(report, a, cert)
        except Skip as e:
            report.skip("client", e)
        except Exception as e:
            report.not_ok("client", e)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
