"""`Backend` of one web host among several: records and places in PostgreSQL, files that all see, workers over Celery.

Owns this host's data directory, which holds what is on its way and nothing that others need.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import replace

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.scaleout.broker import make_app
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.engine import CeleryEngine
from imgpool.scaleout.scratch import Scratch
from imgpool.scaleout.unfinished import UnfinishedTable
from imgpool.scaleout.unfinished_book import SharedBook
from imgpool.scaleout.unfinished_files import SharedUnfinished
from imgpool.service.clock import Clock
from imgpool.service.engine import Engine, Slot
from imgpool.service.intake import Intake
from imgpool.service.measures import Measures
from imgpool.service.ownership import DataDirectoryLock
from imgpool.service.records import StoreError
from imgpool.service.resumable import Resumable
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)


class ScaledOut:
    """See `Backend`. `cluster` is open from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = DataDirectoryLock(settings.data_dir)
        self.cluster = Cluster(settings, "web", f"web@{socket.gethostname()}")
        self._engine: CeleryEngine | None = None
        self._scratch: Scratch | None = None

    def open(self) -> Stores:
        """See `Backend.open`."""
        settings = self._settings
        try:
            settings.data_dir.mkdir(0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise SettingError(f"--data-dir: '{error.filename}' cannot be used: {error.strerror}") from error
        self.cluster = Cluster(settings, "web", f"web@{socket.gethostname()}")  # its name has this process' ID
        try:
            self.cluster.open()
        except BaseException:
            self._lock.release()
            raise
        return Stores(self.cluster.files, self.cluster.records)

    def close(self) -> None:
        """See `Backend.close`."""
        if self._scratch is not None:
            self._scratch.close()
        self.cluster.close()
        self._lock.release()

    def recover(self, stores: Stores, now: float) -> None:
        """See `Backend.recover`. Others are at work: what was left is found by its age, by the sweepers."""

    def engine(self, stores: Stores, workshop: Workshop, measures: Measures, clock: Clock) -> Engine:
        """See `Backend.engine`."""
        self._engine = CeleryEngine(self._settings, self.cluster, measures, make_app(self._settings))
        return self._engine

    def uploads(self, stores: Stores, intake: Intake) -> Resumable:
        """See `Backend.uploads`: those of all hosts."""
        table = UnfinishedTable(self.cluster.database)
        pieces = self.cluster.files.pieces()
        self._scratch = Scratch(self._settings.data_dir / "scratch")
        try:
            if left := pieces.sweep(table.known):
                log.warning("%d pieces of unfinished uploads were left, and removed", left)
        except (OSError, StoreError) as error:  # they cost space and nothing else
            log.error("pieces of unfinished uploads could not be removed: %s", error)

        def hold(upload_id: str) -> Slot:
            taken = self._engine.take_over(upload_id) if self._engine else None
            return taken or intake.reserve(upload_id)

        unfinished = SharedUnfinished(table, pieces, stores.files, self._scratch)
        return Resumable(self._settings, SharedBook(self._settings, unfinished, replace(intake, reserve=hold)))
