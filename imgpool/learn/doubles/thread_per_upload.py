"""What people write first: each upload gets a thread of its own, at once.

At overload every image is decoded at the same time, so memory grows with the arrivals, and all of them finish late
together. At its memory limit the process is killed, and every image it had accepted is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from imgpool.learn.doubles.upload_server import run


def start(work: Callable[[], None]) -> None:
    """Do `work` in a new thread: nothing says how many there may be."""
    threading.Thread(target=work).start()


if __name__ == "__main__":
    run("thread_per_upload", start)
