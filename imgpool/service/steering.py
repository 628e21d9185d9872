"""Steering: what people change while the service runs, and the second chance of images that failed.

Owns the thread that retries all failed images, which exists only while there are some to retry. Nothing of it is kept
beyond the process: the next start has the workers and places of the settings, and does not go on retrying; images that
were already put back stay queued, like all others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from imgpool.config import FIELDS
from imgpool.errors import NotAllowed, Refused
from imgpool.pool import Context, PoolClosed
from imgpool.service.clock import Clock
from imgpool.service.engine import Engine, Slot
from imgpool.service.measures import Measures
from imgpool.service.records import Records, StoreError
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

BATCH = 200
LOOK_S = 1.0  # how long it takes at most to see room that came otherwise than by a worker
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Retrying:
    """Whether all failed images are being retried now, and how many were put back since that was asked for."""

    active: bool
    images: int


class Steering:
    """Any thread may call any method. `reserve` gets a slot for an image or raises `Refused`."""

    def __init__(
        self,
        engine: Engine,
        records: Records,
        reserve: Callable[[str], Slot],
        workshop: Workshop,
        measures: Measures,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._engine, self._records = engine, records
        self._reserve = reserve
        self._workshop, self._measures = workshop, measures
        self._lock = threading.Lock()  # of the changes, so that memory and workers go together; and of the fields below
        self._stopping = Context()
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

    # The pool

    def check(self, workers: int | None = None, queue_capacity: int | None = None) -> None:
        """Raises `NotAllowed` for numbers that `set_workers` and `set_queue_capacity` would refuse."""
        if workers is not None:
            _check("workers", workers)
            most = self._engine.most_workers
            if workers > most:
                raise NotAllowed(
                    f"{workers} workers are not allowed; allowed: 1 to {most}, because each needs "
                    f"its share of the {self._workshop.budget.total_bytes // MIB} MiB that decoding may use "
                    "(--decode-memory-bytes)."
                )
        if queue_capacity is not None:
            _check("queue_capacity", queue_capacity)

    def set_workers(self, workers: int) -> None:
        """More at once, or fewer as they finish what they have. Raises `NotAllowed`; does nothing when stopping."""
        self.check(workers=workers)
        with self._lock:
            self._workshop.share(workers)
            try:
                self._engine.resize(workers)
            except PoolClosed:
                return
            self._measures.set_workers(workers)
        log.info("workers: %d (steered)", workers)

    def set_queue_capacity(self, places: int) -> None:
        """Change the places of the queue; what it holds beyond that stays in it. Raises `NotAllowed`."""
        self.check(queue_capacity=places)
        self._engine.set_queue_capacity(places)
        log.info("queue capacity: %d (steered)", places)

    def pause(self) -> None:
        """Have no worker take an image until `resume`. Uploads are accepted while there are places."""
        self._change(self._engine.pause)

    def resume(self) -> None:
        """End a pause."""
        self._change(self._engine.resume)

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except PoolClosed:
            return  # the drain has lifted the pause, and nothing can be paused any more

    # Second chances

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


def _check(name: str, number: int) -> None:
    """What may be set at the start may be set later, too."""
    parse = next(field for field in FIELDS if field.name == name).metadata["parse"]
    try:
        parse(str(number))
    except ValueError as error:
        raise NotAllowed(
            f"{name.replace('_', ' ')}: {number} is not allowed; allowed: {str(error).removeprefix('auto or ')}."
        ) from None
