"""What gunicorn's executor does not do by itself: start its threads before they are needed, and take a higher limit.

Touches private names of `ThreadPoolExecutor`; with a Python that has them no more the tests fail.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor


def start_threads(executor: ThreadPoolExecutor, number: int) -> None:
    """Have `number` of its threads run, at most its limit. Blocks until they do. Only while nobody else uses it."""
    gate = threading.Barrier(number + 1)
    for _ in range(number):
        executor.submit(gate.wait)
    gate.wait()


def raise_limit(executor: ThreadPoolExecutor, most: int) -> None:
    """Let it have `most` threads from now on, of which it starts one whenever a task comes and none is free, and ends
    none. What waits already gets its threads now. Only from the thread that submits.
    """
    # It counts who is free, and counts too many while all are busy and tasks wait: those that come now would be left
    # to threads that are not there. Counting too few costs a thread that was not needed yet.
    while executor._idle_semaphore.acquire(blocking=False):
        pass
    executor._max_workers = most
    for _ in range(executor._work_queue.qsize()):
        executor._adjust_thread_count()
