"""What tests of the service and the web room share: a service whose steps can be held and waited for.

Everything here is the working part with one method changed; nothing pretends to be something that it is not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from imgpool.config import Settings
from imgpool.errors import Refused
from imgpool.imaging.model import Made
from imgpool.imaging.sandbox import CancelSignal, InChild, InThread, Processor
from imgpool.service import ImageRecord, Service
from imgpool.service.directory import Directory
from imgpool.service.records import Counts, NewImage, Outcome
from imgpool.service.sqlite import SQLiteRecords
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop

WAIT_S = 120.0  # no test waits this long unless it fails


class Gate:
    """Holds worker threads until it is opened, or their work is cancelled."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open = False
        self.entered: list[str] = []

    def open(self) -> None:
        with self._condition:
            self._open = True
            self._condition.notify_all()

    def pass_through(self, name: str, cancelled: CancelSignal) -> None:
        undo = cancelled.on_done(self._wake)
        try:
            with self._condition:
                self.entered.append(name)
                self._condition.notify_all()
                assert self._condition.wait_for(lambda: self._open or cancelled.done, WAIT_S), "nobody opened the gate"
        finally:
            undo()

    def wait_for(self, entered: int) -> None:
        """Wait until so many have come to the gate in all."""
        with self._condition:
            assert self._condition.wait_for(lambda: len(self.entered) >= entered, WAIT_S), self.entered

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()


class Held(InThread):
    """The processor of isolation=thread behind a gate."""

    def __init__(self, service: Service, gate: Gate) -> None:
        super().__init__(service.workshop.recipe, service.workshop.limits, sync=False)
        self._gate = gate

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        self._gate.pass_through(original.name, cancelled)
        return super().process(original, into, timeout_s=timeout_s, cancelled=cancelled)


class HeldChild(InChild):
    """The processor of isolation=process behind a gate."""

    def __init__(self, service: Service, gate: Gate) -> None:
        workshop = service.workshop
        super().__init__(workshop.recipe, workshop.limits, lambda: service.settings.job_memory_bytes, sync=False)
        self._gate = gate
        self.start()

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        self._gate.pass_through(original.name, cancelled)
        return super().process(original, into, timeout_s=timeout_s, cancelled=cancelled)


class Watched(SQLiteRecords):
    """Records that tell of each change after it was made."""

    def __init__(self, path: Path) -> None:
        self.changed = threading.Condition()
        super().__init__(path)

    def _told(self, value: Any) -> Any:
        with self.changed:
            self.changed.notify_all()
        return value

    def add(self, image: NewImage) -> None:
        self._told(super().add(image))

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        return self._told(super().begin(image_id, now))  # type: ignore[no-any-return]

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        return bool(self._told(super().finish(image_id, now, outcome)))

    def delete(self, image_id: str) -> bool:
        return bool(self._told(super().delete(image_id)))


class OfService(Workshop):
    """A workshop whose processors a test's service makes."""

    def __init__(self, service: Watching) -> None:
        super().__init__(service.settings)
        self._service = service

    def make_processor(self) -> Processor:
        return self._service.make_processor() or super().make_processor()


class Watching(Service):
    """A real service whose changes can be waited for, and whose workers can be held at a gate."""

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Gate | None = None,
        records: Callable[[Path], Watched] = Watched,
        files: type[Directory] = Directory,
    ) -> None:
        super().__init__(settings)
        self.workshop = OfService(self)
        self.gate = gate
        self._records_kind, self._files_kind = records, files
        self.watched: Watched

    def open(self) -> None:
        super().open()
        self.records.close()
        self.watched = self._records_kind(self.settings.data_dir / "imgpool.db")
        self._stores = Stores(self._files_kind(self.settings.data_dir, self.settings.output), self.watched)

    def make_processor(self) -> Processor | None:
        """Another one than the settings say; None for that."""
        if self.gate is None:
            return None
        return Held(self, self.gate) if self.settings.isolation == "thread" else HeldChild(self, self.gate)

    def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until the predicate is true; it is asked after each change, and now and then."""
        limit = time.monotonic() + WAIT_S
        with self.watched.changed:
            while not predicate():
                assert time.monotonic() < limit, f"waited in vain: {self.records.counts()}"
                self.watched.changed.wait(0.02)

    def settled(self) -> Counts:
        """Wait until nothing is queued or processing, and all of it is measured; return the counts."""

        def quiet() -> bool:
            counts, pool = self.records.counts(), self.pool.statistics()
            # Of an image that is recorded the collector tells the measures next; then it waits for another.
            collected = pool.results.waiting_receivers == 1 and pool.results.buffered == 0
            return counts.queued == counts.processing == pool.queued == pool.busy == 0 and collected

        self.until(quiet)
        return self.records.counts()

    @property
    def pool(self) -> Any:
        assert self._engine is not None
        return self._engine.pool

    def record(self, image_id: str) -> ImageRecord:
        record = self.get(image_id)
        assert record is not None
        return record


def take(service: Service, data: bytes, name: str = "photo.jpg", chunk: int = 64 * 1024) -> NewImage:
    """Upload as a front does. Raises `Refused`, which is counted as a front counts it."""
    upload = None
    try:
        upload = service.admit()
        for start in range(0, len(data), chunk):
            upload.write(data[start : start + chunk])
        image = upload.accept(name)
        service.count_accepted()
        return image
    except Refused as refusal:
        service.count_refused(refusal)
        raise
    finally:
        if upload is not None:
            upload.discard()


def original(service: Service, image_id: str) -> Path:
    """Where the original lies, or would: the embedded store's own path."""
    return service.settings.data_dir / "originals" / image_id


def lawful(counts: Counts) -> bool:
    """accepted = queued + processing + done + failed + deleted."""
    return counts.accepted == counts.queued + counts.processing + counts.done + counts.failed + counts.deleted


def ours(settings: Settings) -> set[str]:
    """What lies in originals and output: names of files and folders, those half made too."""
    folders: Iterable[Path] = (settings.data_dir / "originals", settings.output)
    return {path.name for folder in folders for path in folder.iterdir() if path.name != ".imgpool-data-id"}
