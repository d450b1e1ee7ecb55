#!/usr/bin/env python3
"""The fixtures themselves: a fixture that forgives would make every test above it worthless."""
import contextlib
import io
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import certs, ports, proc, temp                    # noqa: E402
from lib.gateway import Word, config_text                   # noqa: E402
from lib.report import Report                               # noqa: E402
from lib.sink import DROP, STALL, Sink                      # noqa: E402
from lib.program import Program                             # noqa: E402
from lib.smtpclient import Client, Closed, deliver          # noqa: E402
from lib.totals import Totals                               # noqa: E402
from lib.waiting import until                              # noqa: E402

MESSAGE = b"Subject: x\r\n\r\n.\r\n..\r\nend  \r\n"


def sink_keeps_bytes():
    with Sink() as sink:
        assert deliver(sink.port, MESSAGE).code == 250
        m = sink.wait(1)[0]
        assert m.data == MESSAGE, m.data
        assert (m.sender, m.recipients) == ("a@client.example", ["b@dest.example"])


def sink_split_anywhere():
    """The end of data is found wherever the packets are cut."""
    wire = b"DATA\r\n" + b"a\r\n..\r\n" + b"\r\n.\r\n"
    for cut in range(1, len(wire)):
        with Sink() as sink, Client(sink.port) as c:
            c.ehlo()
            c.envelope("a@x.example", "b@y.example")
            c.send(wire[:cut])
            time.sleep(0.002)
            c.send(wire[cut:])
            assert c.reply().code == 354
            assert c.reply().code == 250
            assert sink.wait(1)[0].data == b"a\r\n.\r\n\r\n", (cut, sink.messages[0].data)


def sink_bare_lf_is_no_end():
    with Sink() as sink, Client(sink.port) as c:
        c.ehlo()
        c.envelope("a@x.example", "b@y.example")
        c.cmd("DATA")
        c.send(b"a\n.\nb\n.\r\nc\r\n.\r\n")
        assert c.reply().code == 250
        assert sink.wait(1)[0].data == b"a\n.\nb\n.\r\nc\r\n"


def sink_bdat():
    with Sink() as sink, Client(sink.port) as c:
        c.ehlo()
        c.envelope("a@x.example", "b@y.example")
        c.send(b"BDAT 5\r\na\r\n.\r")
        assert c.reply().code == 250
        c.send(b"BDAT 3 LAST\r\n\nb\r")
        assert c.reply().code == 250
        assert sink.wait(1)[0].data == b"a\r\n.\r\nb\r"


def sink_script():
    for stage in ("mail", "rcpt", "data", "eod"):
        with Sink() as sink:
            sink.at(stage, "451 4.3.0 later", times=1)
            assert deliver(sink.port, MESSAGE).code == 451, stage
            assert deliver(sink.port, MESSAGE).code == 250, stage
            assert len(sink.messages) == 1
    for stage in ("connect", "mail", "data", "body", "eod"):
        with Sink() as sink:
            sink.at(stage, DROP, times=1)
            try:
                deliver(sink.port, MESSAGE)
            except (Closed, ConnectionError):
                pass
            else:
                raise AssertionError(f"{stage}: not dropped")
            assert deliver(sink.port, MESSAGE).code == 250


def sink_stall():
    with Sink() as sink:
        sink.at("eod", STALL, times=1, stall_s=0.5)
        started = time.monotonic()
        assert deliver(sink.port, MESSAGE).code == 250
        assert time.monotonic() - started >= 0.5        # and it does end
        sink.at("mail", STALL)
        try:
            deliver(sink.port, MESSAGE, timeout_s=0.3)
        except TimeoutError:
            return
        raise AssertionError("did not stall")


def sink_tls_and_lmtp():
    with temp.Dir("selftest") as d:
        for kind in ("rsa", "ec"):
            with Sink(tls=certs.make(d / kind, kind=kind)) as sink, Client(sink.port) as c:
                assert "STARTTLS" in c.ehlo().text
                assert c.starttls().code == 220
                assert "STARTTLS" not in c.ehlo().text
                c.envelope("a@x.example", "b@y.example")
                assert c.data(MESSAGE).code == 250
                assert sink.messages[0].tls
    with Sink(lmtp=True) as sink, Client(sink.port) as c:
        c.cmd("LHLO x")
        c.envelope("a@x.example", "b@y.example", "c@y.example")
        assert c.data(MESSAGE).code == 250 and c.reply().code == 250


def temp_is_removed():
    """Also when the program is told to end in the middle."""
    program = ("import sys, time; sys.path.insert(0, sys.argv[1])\n"
               "from lib import temp\n"
               "temp.exit_on_term()\n"
               "with temp.Dir('selftest') as d:\n"
               "    print(d, flush=True); time.sleep(300)\n")
    p = subprocess.Popen([sys.executable, "-c", program,
                          str(Path(__file__).resolve().parents[1])],
                         stdout=subprocess.PIPE, text=True)
    path = Path(p.stdout.readline().strip())
    assert path.is_dir()
    proc.stop(p)
    p.stdout.close()
    assert not path.exists()


def proc_counts():
    p = subprocess.Popen(["sh", "-c", "sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'; "
                          "exec sleep 300"])
    try:
        # It is counted once it was waited for, which the program behind it shows.
        until(lambda: proc.command(p.pid)[:1] == ["sleep"])
        assert len(proc.tree(p.pid)) == 1
        assert proc.cpu_s(p.pid) >= 0.05, "the time of a child that ended is missing"
        assert proc.pss_bytes([p.pid]) > 10000
    finally:
        proc.stop(p)


def config_is_quoted():
    text = config_text({"a": 'x"y', "s": {"n": 5, "w": Word("30m"), "l": ["p", "q"]}})
    assert text == 'a = "x\\"y"\ns {\n    n = 5\n    w = 30m\n    l = {"p", "q"}\n}\n', text


def ports_differ():
    assert len({ports.free() for _ in range(20)}) > 15


def a_closed_port_is_free():
    """Also while another thread starts programs, which have copies of our sockets for a moment."""
    end = threading.Event()

    def start_programs():
        while not end.is_set():
            subprocess.run(["true"], check=True)
    threads = [threading.Thread(target=start_programs) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        port = ports.free()
        for _ in range(300):
            with ports.Mute(port):
                pass
            with Sink(port=port):
                pass
    finally:
        end.set()
        for t in threads:
            t.join()


def a_stopped_sink_takes_nobody():
    """Its thread may be about to wait on a descriptor that is the next sink's by then."""
    for n in range(60):
        with Sink() as first:
            for _ in range(n % 4):
                socket.create_connection((first.host, first.port)).close()
        with Sink() as second:
            assert deliver(second.port, MESSAGE).code == 250
            assert len(second.messages) == 1, f"{n}: {len(first.messages)} came to the first"


def second_chance():
    """Only in layers that wait for clocks, only so often, and what fails again has failed."""
    def run(layer, chances, *scripts):
        with temp.Dir("again") as where, contextlib.redirect_stdout(io.StringIO()) as out:
            t = Totals(False, chances)
            t.run_layer(layer, [Program(f"p{n}", ["sh", "-c", script], cwd=where)
                                for n, script in enumerate(scripts)], 1)
            code = t.summary()
        return code, t.passed, t.failed, len(t.unsteady), out.getvalue()
    bad = "echo not ok bad; exit 1"

    def once(n):
        return f"if [ -e {n} ]; then echo ok now; else echo not ok first; touch {n}; exit 1; fi"
    code, passed, failed, unsteady, said = run("system", 2, once(1), "echo ok fine")
    assert (code, passed, failed, unsteady) == (0, 2, 0, 1) and "unsteady system: first" in said
    assert run("system", 2, bad)[:4] == (1, 0, 1, 0)
    assert run("system", 0, once(1))[:4] == (1, 0, 1, 0)
    assert run("unit", 2, once(1))[:4] == (1, 0, 1, 0)
    assert run("system", 2, once(1), once(2), once(3))[:4] == (1, 2, 1, 2)


def many_at_once():
    with Sink() as sink:
        threads = [threading.Thread(target=deliver, args=(sink.port, MESSAGE)) for _ in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(sink.wait(50)) == 50


def main():
    report = Report()
    for case in (sink_keeps_bytes, sink_split_anywhere, sink_bare_lf_is_no_end, sink_bdat,
                 sink_script, sink_stall, sink_tls_and_lmtp, temp_is_removed, proc_counts,
                 config_is_quoted, ports_differ, a_closed_port_is_free, a_stopped_sink_takes_nobody,
                 second_chance, many_at_once):
        report.run(f"lib/{case.__name__}", case)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
