"""The feeder: has what an earlier run left queued put into the queue again, oldest first, as room comes.

Owns its thread, which ends when all of it is there. What is accepted from now on never passes through here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from imgpool.errors import JobCancelled
from imgpool.pool import Context, PoolClosed
from imgpool.service.attempt import retried
from imgpool.service.records import Records

BATCH = 200


class Feeder:
    """`submit` waits for room for an image, and raises `PoolClosed` when there will be none."""

    def __init__(self, records: Records, submit: Callable[[str], object], stopping: Context) -> None:
        self._records, self._submit, self._stopping = records, submit, stopping
        self._until = 0
        self._thread = threading.Thread(target=self._run, name="imgpool-feeder", daemon=True)

    def start(self, until: int) -> None:
        """Feed what is queued up to this sequence: what comes after it was not left, and is sent by its upload."""
        self._until = until
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, so long at most."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        """Wait for room as any sender does."""
        after = 0
        while after < self._until and not self._stopping.done:
            try:
                batch = retried(self._stopping, "backlog", lambda: self._records.backlog(after, BATCH))  # noqa: B023
            except JobCancelled:
                return
            if not batch:
                return
            for sequence, image_id in batch:
                if sequence > self._until:
                    return
                try:
                    self._submit(image_id)
                except PoolClosed:
                    return
                after = sequence
