"""The second chance of images that failed: one, or all of them as room comes.

Owns the thread that retries all, which exists only while there are some to retry. Nothing of it is kept beyond the
process: the next start does not go on retrying; images that were already put back stay queued, like all others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from imgpool.errors import Refused
from imgpool.pool import Context, PoolClosed
from imgpool.service.clock import Clock
from imgpool.service.engine import Engine, Slot
from imgpool.service.records import Records, StoreError

log = logging.getLogger(__name__)

BATCH = 200
LOOK_S = 1.0  # how long it takes at most to see room that came otherwise than by a worker


@dataclass(frozen=True, slots=True)
class Retrying:
    """Whether all failed images are being retried now, and how many were put back since that was asked for."""

    active: bool
    images: int


class Retries:
    """Any thread may call any method. `reserve` gets a slot for an image or raises `Refused`."""

    def __init__(self, engine: Engine, records: Records, reserve: Callable[[str], Slot], clock: Clock) -> None:
        self._engine, self._records = engine, records
        self._reserve, self._clock = reserve, clock
        self._stopping = Context()
        self._lock = threading.Lock()  # of the fields below
        self._retrier: threading.Thread | None = None
        self._failed_until = 0.0
        self._put_back = 0

    def stop(self) -> None:
        """Retry no more. Blocks until an image that is just being put back is queued."""
        self._stopping.cancel("the server stops")
        self._engine.place_freed.set()
        with self._lock:
            retrier = self._retrier
        if retrier is not None:
            retrier.join()

    def retry(self, image_id: str) -> bool:
        """Put a failed image back into the queue, as if it had never been tried; False when it is not failed.

        It takes a slot as an upload does. Raises `Refused` when there is none, and `StoreError`: then it stays failed.
        """
        with self._reserve(image_id) as slot:
            if not self._records.try_again(image_id):
                return False
            # From here on a crash costs nothing: the next start finds it queued.
            try:
                slot.send(image_id, weight=self._engine.weigh(image_id))
            except PoolClosed:
                log.info("image %s waits for the next start", image_id)
            return True

    def retry_all(self) -> int:
        """Put back all images that are failed now, as room comes; returns how many there are. Does not wait.

        They fill at most half of the queue, so that uploads go on beside them. Asked again while it goes on, it also
        takes what has failed meanwhile. Raises `StoreError`.
        """
        failed = self._records.counts().failed
        with self._lock:
            self._failed_until = self._clock.latest()  # as the engine tells the end of an image
            if failed and self._retrier is None and not self._stopping.done:
                self._put_back = 0
                self._retrier = threading.Thread(target=self._retry_all, name="imgpool-retrier", daemon=True)
                self._retrier.start()
        return failed

    def retrying(self) -> Retrying:
        """How it stands with `retry_all`."""
        with self._lock:
            return Retrying(self._retrier is not None, self._put_back)

    # In the retrier's thread

    def _retry_all(self) -> None:
        after, until = 0, 0.0
        while not self._stopping.done:
            with self._lock:
                if until != self._failed_until:  # asked (again): from the oldest on
                    after, until = 0, self._failed_until
            try:
                batch = self._records.failed_until(until, after, BATCH)
                for sequence, image_id in batch:
                    if not self._put_back_when_room(image_id):
                        break
                    after = sequence
            except StoreError as error:
                log.error("failed images are retried later: %s", error)
                self._stopping.wait(LOOK_S)
                continue
            with self._lock:
                if not batch and until == self._failed_until:
                    self._retrier = None
                    return

    def _put_back_when_room(self, image_id: str) -> bool:
        """Wait for room, then retry the image. False when the server stops first."""
        freed = self._engine.place_freed
        while not self._stopping.done:
            freed.clear()
            self._engine.look()
            jobs = self._engine.statistics().jobs
            if jobs.buffered + jobs.reserved < max(1, jobs.capacity // 2):
                put_back: bool | None
                try:
                    put_back = self.retry(image_id)
                except Refused:  # uploads were faster, or the disk is full
                    put_back = None
                if put_back is not None:
                    with self._lock:
                        self._put_back += put_back
                    return True
            freed.wait(LOOK_S)
        return False
