"""The door of a service: a slot for an upload, at once, or the true reason why there is none.

Owns whether anything is admitted at all, and what the disk said a moment ago. Knows nothing of bodies or of HTTP; what
becomes of a slot is up to whoever got it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from imgpool.config import MOST_RECEIVING, Settings
from imgpool.errors import DiskFull, Draining, NoRoom, Refused, StoreFailed
from imgpool.pool import PoolClosed, PoolFull
from imgpool.service.engine import Engine, Slot
from imgpool.service.measures import Measures, paused_retry_after_s
from imgpool.service.records import StoreBusy, StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

DISK_CHECK_S = 0.5


class Door:
    """Any thread may call any method. Nobody is admitted before `open`, nor after `close`."""

    def __init__(self, settings: Settings, measures: Measures) -> None:
        self._settings, self._measures = settings, measures
        self._engine: Engine | None = None
        self._ask_disk: Callable[[], int]
        self._make_way: Callable[[], bool]
        self._closed = False
        self._free: tuple[float, int | None] = (float("-inf"), 0)  # asked when, answer

    def open(self, engine: Engine, free_bytes: Callable[[], int], make_way: Callable[[], bool]) -> None:
        """Admit from now on. `free_bytes` asks the disk; `make_way` takes a slot from an upload that is too slow to
        keep it, and says whether there was one.
        """
        self._ask_disk, self._make_way = free_bytes, make_way
        self._engine = engine

    def close(self) -> None:
        """Admit no more, ever. Never blocks: for a signal handler's thread."""
        self._closed = True

    @property
    def is_open(self) -> bool:
        """Whether it admits those for whom there is room."""
        return self._engine is not None and not self._closed

    # Slots

    def reserve(self, image_id: str) -> Slot:
        """A slot for this image. Blocks on nothing, unless the engine asks others.

        Raises `Draining`, `DiskFull`, `NoRoom` or `StoreFailed`.
        """
        while True:
            slot = self._granted(lambda engine: engine.try_reserve(image_id))
            if not self._receives_too_many():
                return slot
            slot.release()
            if not self._make_way():
                raise _receiving_enough()

    def refuse_what_is_known(self) -> None:
        """Raise what `reserve` would raise, as far as can be told without blocking."""
        self._granted(lambda engine: engine.refuse_what_is_known(), makes_way=False)

    def _granted(self, ask: Callable[[Engine], T], *, makes_way: bool = True) -> T:
        if (refusal := self.refusal()) is not None:
            raise refusal
        engine = self._opened()
        while True:
            try:
                return ask(engine)
            except PoolFull:
                if not (makes_way and self._make_way()):
                    raise self._no_room() from None
            except PoolClosed:
                raise not_running() from None
            except StoreError as error:
                what = "has more to do than it can" if isinstance(error, StoreBusy) else "does not answer"
                raise StoreFailed(f"The server's database {what}: try again later.", 10) from error

    def _opened(self) -> Engine:
        if self._engine is None:
            raise not_running()
        return self._engine

    def _receives_too_many(self) -> bool:
        engine = self._opened()
        # Whoever sets the number of threads has decided how many; several hosts' places say nothing of one's threads.
        if self._settings.http_threads or engine.asks_others:
            return False
        return engine.statistics().jobs.reserved > MOST_RECEIVING

    # Reasons

    def refusal(self) -> Refused | None:
        """Why nothing can be admitted now, slots aside; None when nothing stands against it."""
        if not self.is_open:
            return not_running()
        free = self.free_bytes()
        if free is None:
            return StoreFailed("What keeps the server's files does not answer: try again later.", retry_after_s=10)
        if free < self._settings.disk_floor_bytes:
            return DiskFull("The server's disk is almost full: try again later.", retry_after_s=60)
        return None

    def free_bytes(self) -> int | None:
        """Free bytes of half a second ago at most; None when the disk does not say (a directory is gone)."""
        now = time.monotonic()
        asked_at, free = self._free
        if now - asked_at > DISK_CHECK_S:
            try:
                free = self._ask_disk()
            except OSError as error:
                if free is not None:
                    log.error("uploads are refused, what keeps the files does not answer: %s", error)
                free = None
            self._free = (now, free)
        return free

    def _no_room(self) -> NoRoom:
        statistics = self._opened().statistics()
        capacity = statistics.jobs.capacity  # all of it is ahead: that is why there is no room
        places = f"All {capacity} places in the queue are" if capacity > 1 else "The one place in the queue is"
        if statistics.paused:
            wait_s = paused_retry_after_s()
            detail = f"{places} taken, and the pool is paused, nobody can say for how long: ask again in {wait_s} s."
            return NoRoom(detail, retry_after_s=wait_s)
        wait_s = self._measures.retry_after_s(capacity)
        return NoRoom(f"{places} taken: try again in about {wait_s} s.", retry_after_s=wait_s)


def not_running() -> Draining:
    """The service has not started yet, or stops."""
    return Draining("The server is starting or stopping: try again in a moment.", retry_after_s=5)


def _receiving_enough() -> NoRoom:
    """Each upload that is received takes a thread, of which there may not be any number."""
    return NoRoom(
        f"{MOST_RECEIVING} uploads are being received, and no more are at one time: try again in a moment.",
        retry_after_s=random.randint(1, 3),  # noqa: S311 - jitter
    )
