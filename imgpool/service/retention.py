"""Removal of images that finished long ago: once, as a command asks, or every few minutes while a service runs.

Owns the thread that does the latter. Deletes nothing itself: it is told how.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from imgpool.errors import StoreFailed
from imgpool.pool import Context
from imgpool.service.clock import Clock
from imgpool.service.records import Records, StoreError

log = logging.getLogger(__name__)

BATCH = 500
CHECK_S = 600.0
DAY_S = 86_400


class Retention:
    """`delete` forgets one image, or raises `StoreFailed` when the disk does not let go of it."""

    def __init__(
        self, records: Records, delete: Callable[[str], bool], clock: Clock, stopping: Context, days: float
    ) -> None:
        self._records, self._delete, self._clock, self._stopping = records, delete, clock, stopping
        self._days = days
        self._thread = threading.Thread(target=self._keep_pruning, name="imgpool-retention", daemon=True)

    def start(self) -> None:
        """Start the thread, unless everything is kept for ever. It ends with `stopping`."""
        if self._days:
            self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():
            self._thread.join()

    def prune(self, older_than_s: float) -> int:
        """See `Service.prune`."""
        removed = 0
        before = self._clock.earliest() - older_than_s
        while not self._stopping.done and (batch := self._records.finished_before(before, BATCH)):
            deleted = sum(self._delete_if_possible(image_id) for image_id in batch)
            if not deleted:
                break
            removed += deleted
        return removed

    def _delete_if_possible(self, image_id: str) -> bool:
        try:
            return self._delete(image_id)
        except StoreFailed:
            return False  # logged there

    def _keep_pruning(self) -> None:
        while True:
            try:
                self.prune(self._days * DAY_S)
            except StoreError as error:
                log.error("old images could not be removed, trying again: %s", error)
            if self._stopping.wait(CHECK_S):
                return
