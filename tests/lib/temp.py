"""Directories that are gone when the test is over, however it ends."""
import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

os.umask(0o022)     # whatever it was: servers drop privileges before they reach for their files


class Dir:
    """with Dir("name") as path: ...  KEEP=1 in the environment keeps it, and says where it is."""

    def __init__(self, name="test", where=None):
        self.path = Path(tempfile.mkdtemp(prefix=f"postern-{name}-", dir=where))
        os.chmod(self.path, 0o755)
        atexit.register(self.remove)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        if not self.path.exists():
            return
        if os.environ.get("KEEP"):
            print(f"# kept: {self.path}", file=sys.stderr)
            return
        shutil.rmtree(self.path, ignore_errors=True)


def script(path, text):
    """A program of this text, written by another process: nobody can execute what is open for
    writing, and of what we write another thread's child has a copy until it runs."""
    subprocess.run(["sh", "-c", 'cat > "$0" && chmod 755 "$0"', str(path)], input=text.encode(),
                   check=True)
    return path


def exit_on_term():
    """Make SIGTERM an ordinary exit, so that directories and children go then as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
