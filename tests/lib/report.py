"""Results as lines: `ok NAME`, `not ok NAME: why`, `skip NAME: why`; and the exit code."""
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from . import temp


class Skip(Exception):
    """Raised inside a case that cannot run here; the text says why."""


def place(error):
    """Where it was raised, and by which line of the test, as FILE:LINE."""
    at = [f"{os.path.basename(f.filename)}:{f.lineno}"
          for f in traceback.extract_tb(error.__traceback__)[1:]]
    return " < ".join([at[-1], *at[:1]] if len(at) > 1 else at) or "?"


class Report:
    """must_run: with CI=true a skip counts as a failure."""

    def __init__(self, must_run=False):
        self.passed = self.failed = self.skipped = 0
        self.must_run = must_run and os.environ.get("CI") == "true"
        self.lock = threading.Lock()

    def ok(self, name):
        with self.lock:
            self.passed += 1
            print(f"ok {name}", flush=True)

    def not_ok(self, name, why):
        with self.lock:
            self.failed += 1
            print(f"not ok {name}: {' '.join(str(why).split())}", flush=True)

    def skip(self, name, why):
        if self.must_run:
            self.not_ok(name, f"skipped in CI: {why}")
            return
        with self.lock:
            self.skipped += 1
            print(f"skip {name}: {' '.join(str(why).split())}", flush=True)

    def check(self, name, truth, why=""):
        if truth:
            self.ok(name)
        else:
            self.not_ok(name, why or "not so")
        return bool(truth)

    def run(self, name, function, *args, **options):
        """Call it: an exception is a failure, Skip a skip. VERBOSE=1 shows where and how long."""
        started = time.monotonic()
        try:
            function(*args, **options)
        except Skip as e:
            self.skip(name, e)
        except Exception as e:
            self.not_ok(name, f"{type(e).__name__} at {place(e)}: {e}")
            if os.environ.get("VERBOSE"):
                traceback.print_exc()
        else:
            self.ok(name)
        if os.environ.get("VERBOSE"):
            print(f"# {name}: {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)

    def cases(self, program, cases, at_once=1, prefix=""):
        """Run functions of an empty directory, as PROGRAM/[PREFIX]NAME; a tuple is a function and
        what it takes besides. Names on the command line choose. at_once: so many side by side, for
        cases that mostly wait. The exit code."""
        temp.exit_on_term()

        def one(case):
            function, *args = case if isinstance(case, tuple) else (case,)
            if sys.argv[1:] and function.__name__ not in sys.argv[1:]:
                return
            with temp.Dir(program) as where:
                name = "_".join([prefix + function.__name__, *map(str, args)])
                self.run(f"{program}/{name}", function, where, *args)
        if at_once == 1:
            for case in cases:
                one(case)
        else:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(one, cases))
        return self.code()

    def code(self):
        print(f"# {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0

    def exit(self):
        sys.exit(self.code())
