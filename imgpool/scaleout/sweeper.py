"""What was lost on the way, found and put back: by every host and worker, every few seconds.

Leases that ran out, places of hosts that died, image IDs whose message never came. Owns one thread. Knows of no
broker: `send` gets the IDs.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from imgpool.config import Settings
from imgpool.pool import Context
from imgpool.scaleout.cluster import Cluster
from imgpool.service.clock import Clock
from imgpool.service.records import StoreError

log = logging.getLogger(__name__)

BATCH = 500
FORGET_AFTER_LEASES = 4
PIECES = 256  # of the files: one at a time, so that looking through millions of them takes a day and disturbs nobody
PIECE_S = 300.0


class Sweeper:
    """`start` and `stop` frame the thread. With `files`, it also removes files that have no record."""

    def __init__(self, cluster: Cluster, settings: Settings, send: Callable[[str], None], *, files: bool) -> None:
        self._cluster, self._settings, self._send = cluster, settings, send
        self._files = files
        self._clock = Clock()
        self._every_s = settings.lease_s / 5
        self._stopping = Context()
        self._thread = threading.Thread(target=self._run, name="imgpool-sweeper", daemon=True)

    def start(self) -> None:
        """Sweep from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no other sweep. Blocks for the one that is under way."""
        self._stopping.cancel("the process ends")
        self._thread.join()

    def sweep(self) -> None:
        """Once, now. Blocks; raises `StoreError`."""
        leftovers, lease_s = self._cluster.leftovers, self._settings.lease_s
        expired = leftovers.expire(self._clock.latest(), self._settings.max_attempts)
        if expired.requeued or expired.failed or expired.slots:
            log.warning(
                "leases ran out: %d images tried again, %d failed after %d attempts, %d places given back",
                expired.requeued,
                expired.failed,
                self._settings.max_attempts,
                expired.slots,
            )
        if not self._cluster.room.paused():  # what waits for the end of a pause is not lost
            due = leftovers.due(2 * lease_s, BATCH)
            if due:
                log.info("%d image IDs sent again", len(due))
            for image_id in due:
                self._send(image_id)
        self._cluster.members.forget(FORGET_AFTER_LEASES * lease_s)

    def _run(self) -> None:
        piece_s = 0.0
        while not self._stopping.wait(self._every_s * random.uniform(0.7, 1.3)):  # noqa: S311 - not all at once
            try:
                self.sweep()
                piece_s += self._every_s
                if self._files and piece_s >= PIECE_S:
                    piece_s = 0.0
                    self._sweep_files()
            except StoreError as error:
                log.error("the next sweep will have to do: %s", error)
            except Exception:  # without this thread, what is lost would stay lost
                log.exception("a sweep failed")

    def _sweep_files(self) -> None:
        piece = f"{random.randrange(PIECES):02x}"  # noqa: S311 - hosts that start together shall not do the same
        try:
            removed = self._cluster.files.sweep(self._cluster.records.known, piece)
        except OSError as error:
            log.error("files without a record could not be removed: %s", error)
            return
        if removed:
            log.warning("%d images' files without a record were removed", removed)
