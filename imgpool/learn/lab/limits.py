"""The limits that a child of the lab sets on itself before anything else: time, priority, and whose life it shares."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

LOWEST_PRIORITY = 19
SCRATCH = "IMGPOOL_LAB_SCRATCH"  # the variable that names the directory of a child's temporary files


def live_within(limit_s: int) -> None:
    """From now on this process has so many seconds, and is the first to go when memory runs out."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limit_s)
    # Should memory run out, the system is to take this process and what it starts, not the server.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def give_way() -> None:
    """From now on this process gets only the processor time that nobody else wants."""
    os.nice(LOWEST_PRIORITY)
    # Where Linux shares the processors out by session first, a priority counts within one only; this counts between.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LOWEST_PRIORITY))


def end_with_parent(end: Callable[[], object]) -> None:
    """Call `end` when standard input ends, which is when whoever started this process lets go of it, or dies.

    Who dies can remove the child's temporary files no more: so that is done before.
    """

    def wait() -> None:
        sys.stdin.read()
        scratch = os.environ.get(SCRATCH, "")
        for _ in range(10):  # whoever still writes there makes an attempt fail, but cannot go on for long
            if not os.path.lexists(scratch):
                break
            shutil.rmtree(scratch, ignore_errors=True)
        end()

    threading.Thread(target=wait, name="parent", daemon=True).start()
