"""Waiting for what is to happen, with patience for a busy machine: only what never comes fails."""
import time

PATIENCE_S = 90


def wait_for(what, truth, timeout_s=PATIENCE_S):
    """What truth() gives once that is something."""
    end = time.monotonic() + timeout_s
    while not (found := truth()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {timeout_s} s")
        time.sleep(0.02)
    return found


def until(truth, wait_s=PATIENCE_S, why="waited in vain"):
    """The same; why, or what that gives then, is what failed."""
    try:
        return wait_for("", truth, wait_s)
    except TimeoutError:
        raise AssertionError(why() if callable(why) else why) from None
