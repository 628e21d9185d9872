"""What was lost on the way, found and put back: every few seconds, by whichever host or worker takes its turn.

Leases that ran out, places of hosts that died, image IDs whose message never came. Owns one thread. Knows of no
broker: `send` gets the IDs, when `can_send` says that they would go.
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
SOONEST, LATEST = 0.7, 1.3  # parts of the time between two looks
FORGET_AFTER_LEASES = 4
PIECES = 256  # of the files: one at a time, so that looking through millions of them takes a day and disturbs nobody
PIECE_S = 300.0


class Sweeper:
    """`start` and `stop` frame the thread. With `files`, it also removes files that have no record."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        send: Callable[[str], None],
        can_send: Callable[[], bool],
        *,
        files: bool,
    ) -> None:
        self._cluster, self._settings = cluster, settings
        self._send, self._can_send = send, can_send
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
        """Once, now, as far as it is this process' turn. Blocks; raises `StoreError`."""
        # Who has found the database back a moment ago ends no leases yet, and leaves it to those who may.
        if self._cluster.database.answers_for_s() >= self._settings.lease_s and self._takes_turn("leases"):
            self._end_leases()
        # IDs that this host cannot send would count as sent, and nobody else would look at them for a while.
        if self._can_send() and self._takes_turn("messages"):
            self._send_again()

    def _takes_turn(self, what: str) -> bool:
        return self._cluster.leftovers.take_turn(what, SOONEST * self._every_s)

    def _end_leases(self) -> None:
        most = self._settings.max_attempts
        expired = self._cluster.leftovers.expire(self._clock.latest(), most)
        if expired.requeued or expired.failed or expired.slots:
            log.warning(
                "leases ran out: %d images tried again, %d failed after %d attempts, %d places given back",
                expired.requeued,
                expired.failed,
                most,
                expired.slots,
            )
        self._cluster.members.forget(FORGET_AFTER_LEASES * self._settings.lease_s)

    def _send_again(self) -> None:
        if self._cluster.room.paused():  # what waits for the end of a pause is not lost
            return
        due = self._cluster.leftovers.due(2 * self._settings.lease_s, BATCH)
        if due:
            log.info("%d image IDs sent again", len(due))
        for image_id in due:
            self._send(image_id)

    def _run(self) -> None:
        piece_s = 0.0
        while not self._stopping.wait(self._every_s * random.uniform(SOONEST, LATEST)):  # noqa: S311 - not all at once
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
