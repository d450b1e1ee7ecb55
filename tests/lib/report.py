"""Results as lines: `ok NAME`, `not ok NAME: why`, `skip NAME: why`; and the exit code."""
import os
import sys
import time
import traceback


class Skip(Exception):
    """Raised inside a case that cannot run here; the text says why."""


class Report:
    """must_run: with CI=true a skip counts as a failure."""

    def __init__(self, must_run=False):
        self.passed = self.failed = self.skipped = 0
        self.must_run = must_run and os.environ.get("CI") == "true"

    def ok(self, name):
        self.passed += 1
        print(f"ok {name}", flush=True)

    def not_ok(self, name, why):
        self.failed += 1
        print(f"not ok {name}: {' '.join(str(why).split())}", flush=True)

    def skip(self, name, why):
        if self.must_run:
            self.not_ok(name, f"skipped in CI: {why}")
            return
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
            self.not_ok(name, f"{type(e).__name__}: {e}")
            if os.environ.get("VERBOSE"):
                traceback.print_exc()
        else:
            self.ok(name)
        if os.environ.get("VERBOSE"):
            print(f"# {name}: {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)

    def code(self):
        print(f"# {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0

    def exit(self):
        sys.exit(self.code())
