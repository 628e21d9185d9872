"""What people write next: a ThreadPoolExecutor. The threads are few now, and its queue has no end.

At overload nothing breaks and nobody is refused: each upload is answered "accepted" and waits behind all those before
it, longer and longer, until nobody wants the picture any more. When the process ends, whatever waits is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from imgpool.learn.doubles.upload_server import run

executor = ThreadPoolExecutor()  # its default: as many threads as CPUs, and four


def start(work: Callable[[], None]) -> None:
    """Do `work` when a thread is free: nothing says how much may wait."""
    executor.submit(work)


if __name__ == "__main__":
    run("unbounded_executor", start)
