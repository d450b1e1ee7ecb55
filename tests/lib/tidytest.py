#!/usr/bin/env python3
"""tools/tidy finds what it is for: each breach below is named, and nothing else is."""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import temp                        # noqa: E402
from lib.gateway import TOP                 # noqa: E402
from lib.report import Report               # noqa: E402

# Each line that is a breach ends with a comment that names its rule.
BAD = r'''
#include "spool/spool.h" // layers
#include "base/bad.h"
static int counter; // mutable
static const char *name = "x"; // mutable
static const char *const fine = "strcpy(a, b);";
static const int table[] = { 1, 2 };
static const struct row { int a; } rows[] = { { 1 } };
static int (*fn)(int); // mutable
static struct { int a; } anonymous; // mutable
int global = 3; // mutable
extern int other; // mutable
extern const int fine_too;
struct foo;
struct foo { int a; int b; };
enum { A, B };
static int proto(int a);
/* system("x") */
int f(int a)
{
    static int n; // mutable
    static const int k = 3;
    strcpy(a, b); // banned
    x->system(3);
    sscanf(a, "%d", &n); // banned
    time(NULL); // clock
    printf(a); // formats
    printf(a ? "%s" : "%d", a);
    snprintf(a, b, PRIu64, 1);
    snprintf(a, b, a, 1); // formats
    return a;
}
'''
GUARD = "#ifndef POSTERN_BASE_%s_H\n#define POSTERN_BASE_%s_H\n#endif\n"


def tidy(top):
    r = subprocess.run([TOP / "tools" / "tidy"], capture_output=True, text=True,
                       env={**os.environ, "TIDY_TOP": str(top)})
    found = re.findall(r"^not ok tidy (\w+): ([^:]+):(\d+)?", r.stdout, re.M)
    return r, {(rule, Path(file).name, int(line or 0)) for rule, file, line in found}


def make(top, files):
    base = {"src/meson.build": "foreach room : [\n 'base', 'loop',\n 'spool', # L2\n]\n",
            "ARCHITECTURE.md": "`src/lib/base/` `src/smtpd/` `src/qmgr/`"}
    for name, text in {**base, **files}.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def expect(top, files, wanted):
    make(top, files)
    r, found = tidy(top)
    assert found == wanted, f"not found: {wanted - found}; too much: {found - wanted}"
    assert (r.returncode != 0) == bool(wanted), r.returncode


def code(top):
    wanted = {(line.rsplit("// ")[1], "bad.c", n) for n, line in enumerate(BAD.split("\n"), 1)
              if "// " in line}
    assert len(wanted) == 13
    expect(top, {"src/lib/base/bad.c": BAD, "src/lib/base/bad.h": GUARD % ("BAD", "BAD")}, wanted)


def text(top):
    expect(top, {"src/lib/base/a.c": "\tint a;\nint b; \n" + "/" * 101},
           {("text", "a.c", 1), ("text", "a.c", 2), ("text", "a.c", 3), ("text", "a.c", 0),
            ("mutable", "a.c", 2)})


def guards(top):
    expect(top, {"src/lib/base/x.h": GUARD % ("X", "X"), "src/lib/base/y.h": GUARD % ("X", "X")},
           {("guards", "y.h", 1)})


def length(top):
    def function(lines):
        return "void f(void)\n{\n" + "    a();\n" * (lines - 3) + "}\n"
    files = {f"src/lib/base/f{n}.c": function(10) for n in range(40)}
    expect(top, {**files, "src/lib/base/a.c": function(70), "src/lib/base/b.c": function(71)},
           {("function_length", "b.c", 1)})
    allow = "src/lib/base/b.c:f a table\n"
    expect(top, {"tools/tidy.allow": allow}, set())
    r, found = (make(top, {"tools/tidy.allow": allow + "src/lib/base/a.c:f old\n"}), tidy(top))[1]
    assert found == {("function_length", "tidy.allow", 0)} and "not needed" in r.stdout


def layers(top):
    expect(top, {"src/smtpd/a.c": '#include "qmgr/inside.h"\n#include "spool/spool.h"\n',
                 "src/qmgr/b.c": '#include "receipt/mint.h"\n',
                 "src/lib/spool/c.c": '#include "base/x.h"\n#include "x.h"\n'},
           {("layers", "a.c", 1), ("layers", "b.c", 1), ("layers", "c.c", 2),
            ("map", "ARCHITECTURE.md", 0)})


def main():
    report = Report()
    for case in (code, text, guards, length, layers):
        with temp.Dir("tidy") as top:
            report.run(f"tidy/{case.__name__}", case, top)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
