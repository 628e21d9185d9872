"""Removal of images: of one, or of those that finished long ago, once or every few minutes while a service runs.

Owns the thread that does the latter. Never looks at what an image is, only at when it finished.
"""

from __future__ import annotations

import logging
import threading

from imgpool.errors import StoreFailed
from imgpool.pool import Context
from imgpool.service.clock import Clock
from imgpool.service.records import StoreError
from imgpool.service.stores import Stores

log = logging.getLogger(__name__)

BATCH = 500
CHECK_S = 600.0
DAY_S = 86_400


def delete_image(stores: Stores, image_id: str) -> bool:
    """See `Service.delete`. Blocks on the disk."""
    if stores.records.get(image_id) is None:
        return False
    try:
        stores.files.delete(image_id)
        deleted = stores.records.delete(image_id)
        stores.files.delete(image_id)  # again: a worker may have published variants in between
    except OSError as error:
        log.error("image %s could not be deleted: %s", image_id, error)
        raise StoreFailed("The server's disk does not let go of the files: try again later.", 10) from error
    return deleted


class Retention:
    """Of images that are `days` old; 0 for never. `start` and `join` frame the thread, which ends with `stopping`."""

    def __init__(self, stores: Stores, clock: Clock, stopping: Context, days: float) -> None:
        self._stores, self._clock, self._stopping, self._days = stores, clock, stopping, days
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
        while not self._stopping.done and (batch := self._stores.records.finished_before(before, BATCH)):
            deleted = sum(self._delete_if_possible(image_id) for image_id in batch)
            if not deleted:
                break
            removed += deleted
        return removed

    def _delete_if_possible(self, image_id: str) -> bool:
        try:
            return delete_image(self._stores, image_id)
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
