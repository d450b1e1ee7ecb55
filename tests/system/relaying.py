#!/usr/bin/env python3
"""Who may send where: no open relay by default, relay.from and relay.domains, IPv6, address
literals, and the old tricks with %, ! and routes."""
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import ports, smtpclient             # noqa: E402
from lib.gateway import Gateway                     # noqa: E402
from lib.report import Report, Skip                 # noqa: E402
from lib.sink import Sink                           # noqa: E402

MESSAGE = b"Subject: one\r\n\r\nhello\r\n"
OURS = {"domains": ["ours.example", ".below.example", "[192.0.2.77]"]}
# recipients that a stranger may use
TAKEN = ["u@ours.example", "U@OURS.Example", "u@x.below.example", "u@y.x.below.example",
         '"quoted user"@ours.example', "u@ours.example."]
# and those that he may not
REFUSED = ["u@other.example", "u@below.example", "u@ours.example.other.example",
           "u@notours.example", "u@[127.0.0.1]", "u@[192.0.2.1]", "u@[IPv6:2001:db8::1]",
           "u%other.example@ours.example", "other.example!u@ours.example",
           '"u@other.example"@ours.example', '"u%other.example"@ours.example',
           "@ours.example:u@other.example", "@ours.example,@x.below.example:u@other.example",
           "u@other.example@ours.example"]


def ask(port, rcpt, host="127.0.0.1", source=None, sender="a@client.example"):
    """The reply to RCPT of one transaction that goes no further."""
    with smtpclient.Client(port, host=host, source=source) as c:
        c.ehlo()
        reply = c.cmd(f"MAIL FROM:<{sender}>")
        if reply.code == 250:
            reply = c.cmd(f"RCPT TO:<{rcpt}>")
        c.cmd("QUIT")
        return reply


def gateway(where, sink, relay=None, address=None, port=None, **options):
    options = {"relay": relay or {"from": None}, **options}
    if address:
        options['listen "mx"'] = {"address": address}
    return Gateway(where, smart_host=("127.0.0.1", sink.port), port=port, options=options)


def default(where):
    """Nothing said about relaying: this host may send, and nobody else anywhere."""
    port = ports.free("0.0.0.0")
    outside = other_address()
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), port=port, options={
            "relay": None, 'listen "mx"': {"address": [f"0.0.0.0:{port}"]}}):
        assert ask(port, "u@other.example").code == 250             # from 127.0.0.1
        assert ask(port, "u@other.example", source="127.9.9.9").code == 250
        if outside is None:
            raise Skip("this host has no address but loopback to come from")
        for rcpt in ("u@other.example", "u@gateway.example.other.example", "u@[192.0.2.1]"):
            reply = ask(port, rcpt, host=outside, source=outside)
            assert reply.code == 550 and "5.7.1" in reply.text, reply
            assert "elay" in reply.text, reply


def other_address():
    """One of our own that is not loopback."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect(("192.0.2.1", 9))                     # sends nothing
        return s.getsockname()[0]
    except OSError:
        return None
    finally:
        s.close()


def strangers(where):
    """relay.from names others, so we are a stranger: only relay.domains are taken, however the
    address is dressed up."""
    relay = {"from": ["192.0.2.0/24"], **OURS}
    with Sink() as sink, gateway(where, sink, relay) as g:
        wrong = []
        for rcpt in TAKEN:
            reply = ask(g.port, rcpt)
            if reply.code != 250:
                wrong.append(f"{rcpt}: {reply}")
        for rcpt in REFUSED:
            reply = ask(g.port, rcpt)
            if reply.code // 100 != 5:
                wrong.append(f"{rcpt}: {reply}")
        for sender in ("", "postmaster@ours.example", "u@ours.example", "u@gateway.example"):
            reply = ask(g.port, "u@other.example", sender=sender)       # a sender proves nothing
            if reply.code != 550:
                wrong.append(f"from {sender}: {reply}")
        assert not wrong, "; ".join(wrong)
        assert ask(g.port, "u@[192.0.2.77]").code == 250
        assert smtpclient.deliver(g.port, MESSAGE, rcpts=["u@ours.example"]).code == 250
        assert sink.wait(1)[0].recipients == ["u@ours.example"]
        # one bad recipient spoils no other
        reply = None
        with smtpclient.Client(g.port) as c:
            c.ehlo()
            c.send("MAIL FROM:<a@x.example>\r\nRCPT TO:<v@other.example>\r\n"
                   "RCPT TO:<w@ours.example>\r\n")
            codes = [c.reply().code for _ in range(3)]
            assert codes == [250, 550, 250], codes
            reply = c.data(MESSAGE)
        assert reply.code == 250 and sink.wait(2)[1].recipients == ["w@ours.example"]


def friends(where):
    """Those of relay.from may send anywhere, % and literals too; by network, v4 and v6."""
    relay = {"from": ["127.0.0.2", "127.0.8.0/21"]}
    with Sink() as sink, gateway(where, sink, relay) as g:
        for source, allowed in (("127.0.0.2", True), ("127.0.0.3", False), ("127.0.8.1", True),
                                ("127.0.15.255", True), ("127.0.16.0", False),
                                ("127.0.7.255", False)):
            reply = ask(g.port, "u@other.example", source=source)
            assert (reply.code == 250) == allowed, (source, reply)
        assert ask(g.port, "u%x.example@y.example", source="127.0.0.2").code == 250


def ipv6(where):
    """A listener on [::1]; relay.from counts for IPv6 as well; literals name it."""
    try:
        port = ports.free("::1")
    except (OSError, RuntimeError):
        raise Skip("no IPv6 here") from None
    both = ports.free()
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), port=both, options={
            "relay": {"from": ["[::1]/128"]},
            'listen "mx"': {"address": [f"127.0.0.1:{both}", f"[::1]:{port}"]}}) as g:
        assert ask(port, "u@other.example", host="::1").code == 250
        assert ask(both, "u@other.example").code == 550
        assert smtpclient.deliver(port, MESSAGE, host="::1").code == 250
        assert b"[IPv6:::1]" in sink.wait(1)[0].headers, sink.messages[0].headers
        g.wait_log(r"relay=localhost \[::1\]")


def mapped(where):
    """An IPv4 client at an IPv6 socket is that IPv4 client."""
    try:
        port = ports.free("::", "::1")
    except (OSError, RuntimeError):
        raise Skip("no IPv6 here") from None
    with Sink() as sink, Gateway(where, smart_host=("127.0.0.1", sink.port), port=port, options={
            "relay": {"from": ["127.0.0.2"]}, 'listen "mx"': {
                "address": [f"[::]:{port}", f"0.0.0.0:{port}"]}}):
        assert ask(port, "u@other.example", source="127.0.0.2").code == 250
        assert ask(port, "u@other.example", source="127.0.0.3").code == 550
        assert ask(port, "u@other.example", host="::1").code == 550


def literals(where):
    """user@[address] goes to that address, without DNS and past the smart host; one of our own is
    not sent in a circle, and what is no address is refused."""
    with Sink() as smart, gateway(where / "bad", smart, {"from": ["127.0.0.0/8"]}) as g:
        for bad in ("u@[300.1.1.1]", "u@[127.0.0.1", "u@127.0.0.1]", "u@[x]", "u@[IPv6:zz]",
                    "u@[127.0.0.1]"):
            reply = ask(g.port, bad)
            assert reply.code // 100 == 5, (bad, reply)
        assert not smart.sessions
    port, own = ports.free("0.0.0.0"), other_address()
    with Sink() as smart, gateway(where / "any", smart, {"from": ["127.0.0.0/8"]}, port=port,
                                  address=[f"0.0.0.0:{port}"]):
        for mine in ("127.0.0.1", own) if own else ("127.0.0.1",):
            reply = ask(port, f"u@[{mine}]")    # a wildcard listener stands there, too
            assert reply.code // 100 == 5, (mine, reply)
    for host, literal in (("127.0.0.9", "[127.0.0.9]"), ("::1", "[IPv6:::1]")):
        try:
            ports.free(host)
        except (OSError, RuntimeError):
            continue                    # no IPv6 here
        with Sink(host=host) as direct, Sink() as smart, gateway(
                where / literal, smart, {"from": ["127.0.0.0/8"]},
                deliver={"port": direct.port}) as g:
            assert smtpclient.deliver(g.port, MESSAGE, rcpts=[f"u@{literal}"]).code == 250
            assert direct.wait(1)[0].recipients == [f"u@{literal}"]
            assert not smart.sessions


def main():
    return Report().cases("relaying", (
        default, strangers, friends, ipv6, mapped, literals), at_once=3)


if __name__ == "__main__":
    sys.exit(main())
