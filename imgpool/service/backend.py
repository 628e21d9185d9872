"""What a service stands on, and the seam where that is decided: where records and files are, how image IDs get to
workers, and what an earlier run may have left.

`Backend` is the contract; `Embedded` keeps everything in one data directory, of which this process is the only user.
"""

from __future__ import annotations

import logging
from typing import Protocol

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.service.clock import Clock
from imgpool.service.directory import Directory
from imgpool.service.engine import Engine
from imgpool.service.intake import Intake
from imgpool.service.measures import Measures
from imgpool.service.ownership import DataDirectoryLock
from imgpool.service.pool_engine import PoolEngine
from imgpool.service.records import StoreError
from imgpool.service.resumable import Resumable
from imgpool.service.resumable_book import Book
from imgpool.service.resumable_files import UnfinishedFiles
from imgpool.service.sqlite import SQLiteRecords
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)


class Backend(Protocol):
    """Used by one `Service`: `open` first, `close` last, the others once each in between, by the thread that starts
    the service.
    """

    def open(self) -> Stores:
        """Take what is needed, without starting anything. Blocks. Raises `SettingError`, `DataDirectoryInUse` or
        `StoreError`; then nothing is taken.
        """

    def close(self) -> None:
        """Let go of what `open` took, the records apart: whoever got them closes them."""

    def recover(self, stores: Stores, now: float) -> None:
        """Put in order what an earlier run left. Blocks. Raises `StoreError`."""

    def engine(self, stores: Stores, workshop: Workshop, measures: Measures, clock: Clock) -> Engine:
        """The engine, not started. `clock` says when an image begins and ends, and `measures` are told."""

    def uploads(self, stores: Stores, intake: Intake) -> Resumable:
        """The unfinished uploads, those of an earlier run too; not started."""


class Embedded:
    """`Backend` in `data_dir`: an SQLite file, two directories, the worker pool of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = DataDirectoryLock(settings.data_dir)

    def open(self) -> Stores:
        """See `Backend.open`; it waits for the lock of a killed server for a moment."""
        settings, option = self._settings, "--data-dir"
        try:
            settings.data_dir.mkdir(0o700, parents=True, exist_ok=True)  # photos say where people live
            self._lock.acquire()
            if settings.output_dir is not None:
                option = "--output-dir"
                settings.output_dir.mkdir(parents=True, exist_ok=True)
                option = "--data-dir"
            files = Directory(settings.data_dir, settings.output)
            return Stores(files, SQLiteRecords(settings.data_dir / "imgpool.db"))
        except OSError as error:
            self._lock.release()
            raise SettingError(f"{option}: '{error.filename}' cannot be used: {error.strerror}") from error
        except (SettingError, StoreError):
            self._lock.release()
            raise

    def close(self) -> None:
        """See `Backend.close`."""
        self._lock.release()

    def recover(self, stores: Stores, now: float) -> None:
        """See `Backend.recover`. Nobody else is at work, so whatever is `processing` was cut off."""
        most = self._settings.max_attempts
        requeued, failed = stores.records.recover(now, most)
        try:
            swept = stores.files.sweep(stores.records.known)
        except OSError as error:  # leftovers cost space and nothing else
            log.error("leftovers of an earlier run could not be removed: %s", error)
            swept = 0
        if requeued or failed or swept:
            log.warning(
                "recovered: %d images tried again, %d failed after %d attempts, %d leftovers removed",
                requeued,
                failed,
                most,
                swept,
            )

    def engine(self, stores: Stores, workshop: Workshop, measures: Measures, clock: Clock) -> Engine:
        """See `Backend.engine`."""
        return PoolEngine(self._settings, stores, workshop, measures, clock)

    def uploads(self, stores: Stores, intake: Intake) -> Resumable:
        """See `Backend.uploads`."""
        unfinished = UnfinishedFiles(self._settings.data_dir.absolute() / "uploads", stores.files)
        book = Book(self._settings, unfinished, intake)
        try:
            if going_on := book.take_up(unfinished.recover(), stores.records.known):
                log.info("%d unfinished uploads can go on", going_on)
        except OSError as error:
            log.error("unfinished uploads of an earlier run could not be read: %s", error)
        return Resumable(self._settings, book)
