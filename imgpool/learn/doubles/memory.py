"""A memory limit as a container has it: the process that goes beyond is killed, without a word. Linux only.

Not `RLIMIT_AS`: that counts address space, of which every thread takes tens of megabytes without using them.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

LOOK_EVERY_S = 0.01


def memory_bytes(pid: int) -> int:
    """What the process has in memory now (resident). Raises OSError when it is gone, or /proc is not there."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def kill_at(limit_bytes: int) -> None:
    """From now on this process is killed when it has more than this in memory. To be called before threads start.

    A child process looks, a hundred times a second: a thread would have to queue for the interpreter behind hundreds
    of others just when it counts. The child ends with this process, however that ends.
    """
    server = os.getpid()
    memory_bytes(server)  # where there is no /proc this says so now, and not the child, unheard
    if os.fork():
        return
    try:
        while os.getppid() == server and memory_bytes(server) <= limit_bytes:
            time.sleep(LOOK_EVERY_S)
        if os.getppid() == server:
            os.kill(server, signal.SIGKILL)
    finally:
        with suppress(BaseException):
            os._exit(0)
