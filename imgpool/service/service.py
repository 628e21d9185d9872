"""The heart: everything that a front (web page, API, another protocol) may ask for.

A `Service` stands on a `Backend`, the embedded one unless it is told otherwise, which owns a data directory while it is
open. It is made cheaply and starts nothing; `start` and `stop` frame its life. All other methods may be called by any
thread in between.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable

from imgpool.config import Settings
from imgpool.errors import NoRoom, Refused, StoreFailed
from imgpool.pool import Context, PoolStatistics
from imgpool.service.backend import Backend, Embedded
from imgpool.service.clock import Clock
from imgpool.service.door import Door, not_running
from imgpool.service.engine import Engine, Slot
from imgpool.service.files import Files
from imgpool.service.history import History, Sample
from imgpool.service.intake import Intake
from imgpool.service.measures import Measures
from imgpool.service.records import ImageRecord, Records, State
from imgpool.service.resumable import Resumable
from imgpool.service.retention import Retention
from imgpool.service.retries import Retries
from imgpool.service.status import Memory, Status
from imgpool.service.steering import Steering
from imgpool.service.stores import Stores
from imgpool.service.upload import Begun, Upload
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

PLACES = 1000


class Service:
    """Raises `SettingError` when made, as `Workshop` does."""

    uploads: Resumable  # from `start` on
    steering: Steering  # from `start` on
    retries: Retries  # from `start` on
    history: History  # from `start` on

    clock: Callable[[], float] = staticmethod(time.monotonic)  # by which uploads stand still

    def __init__(self, settings: Settings, clock: Clock | None = None, backend: Backend | None = None) -> None:
        self.settings = settings
        self._clock = clock or Clock()
        self._backend = backend or Embedded(settings)
        self.workshop = Workshop(settings)
        self._life = threading.Lock()  # guards start and stop against each other
        self._stopping = Context()
        self.measures = Measures(self.workshop.choice.workers)
        self._door = Door(settings, self.measures)
        self._stores: Stores | None = None  # from `open` on
        self._engine: Engine | None = None  # from `start` on
        self._retention: Retention  # from `start` on
        self._started_at = 0.0

    # Life

    def open(self) -> None:
        """Take what the service stands on, without starting anything: enough for `prune`. Blocks.

        Raises `DataDirectoryInUse`, `SettingError` (a directory cannot be used) or `StoreError`; then it is not taken.
        """
        self._stores = self._backend.open()

    def close(self) -> None:
        """Let go of it after `open`."""
        self.records.close()
        self._backend.close()

    def start(self) -> None:
        """Open, recover what an earlier run left, start the threads. Idempotent; blocks. Raises as `open` does."""
        with self._life:
            if self._engine is not None or self._stopping.done:
                return
            self.open()
            try:
                self._engine = self._recovered()
            except BaseException:
                self.close()
                raise
            self._started_at = time.monotonic()
            self._retention = self._made_retention()
            self._retention.start()
            log.info("workers: %d (%s)", self.workshop.choice.workers, self.workshop.choice.reason)

    def stop(self, timeout_s: float | None = None) -> tuple[str, ...]:
        """Admit no more, finish what was accepted within `timeout_s` (default: the setting), let go of the data
        directory. Idempotent; blocks. Returns the IDs that are left for the next start.
        """
        with self._life:
            if self._engine is None or self._stopping.done:
                return ()
            self._door.close()
            self._stopping.cancel("the server stops")
            self.uploads.stop()
            self.retries.stop()
            self.history.stop()
            left = self._engine.stop(self.settings.drain_timeout_s if timeout_s is None else timeout_s)
            self._retention.join()
            self.close()
        if left:
            log.warning("%d images are left for the next start", len(left))
        return left

    @property
    def stores(self) -> Stores:
        """Where the images are kept. Raises `Draining` before `open`."""
        if self._stores is None:
            raise not_running()
        return self._stores

    @property
    def files(self) -> Files:
        """Those of `stores`."""
        return self.stores.files

    @property
    def records(self) -> Records:
        """Those of `stores`."""
        return self.stores.records

    @property
    def stopping(self) -> Context:
        """Ends when the service begins to stop: a parent for whatever else runs beside the uploads."""
        return self._stopping

    @property
    def queue_capacity(self) -> int:
        """Places in the queue now."""
        return self._running().statistics().jobs.capacity

    def drain_soon(self) -> None:
        """Admit no more from now on; `stop` does the rest. Never blocks: for a signal handler's thread."""
        self._door.close()
        if self._engine is not None:
            self.uploads.drain_soon()

    def stop_at_once(self) -> None:
        """Finish nothing: a `stop` under way in another thread ends within a second or so, and what is unfinished is
        handed over to the next start. Without effect before the start, idempotent.
        """
        if self._engine is not None:
            self._door.close()
            self._engine.abort()

    def _recovered(self) -> Engine:
        """The engine, started, after what an earlier run left was put in order."""
        backend, stores = self._backend, self.stores
        backend.recover(stores, self._clock.latest())
        self.uploads = backend.uploads(stores, Intake(self._door.reserve, self._upload, self.count_refused, self.clock))
        engine = backend.engine(stores, self.workshop, self.measures, self._clock)
        engine.start()
        self.uploads.start()
        self.steering = Steering(engine, self.workshop, self.measures)
        self.retries = Retries(engine, stores.records, self._door.reserve, self._clock)
        self.history = History(lambda: _looked(engine), self.measures)
        self.history.start()
        self._door.open(engine, lambda: self.files.free_bytes(), self.uploads.make_way)
        return engine

    def _made_retention(self) -> Retention:
        return Retention(self.records, self.delete, self._clock, self._stopping, self.settings.retention_days)

    # Admission

    @property
    def accepting(self) -> bool:
        """Whether it has started and does not stop yet."""
        return self._door.is_open

    def admit_at_once(self) -> Upload | None:
        """As `admit`, and never blocks: None where that would, because another machine has to be asked."""
        if not self._running().asks_others:
            return self.admit()
        self._door.refuse_what_is_known()
        return None

    def admit(self) -> Upload:
        """A slot, at once, before a byte of the body is read. Blocks on nothing, unless the engine asks others.

        Raises `Draining`, `DiskFull`, `NoRoom` or `StoreFailed`. The caller ends the `Upload`: `accept` or `discard`.
        """
        image_id = secrets.token_hex(16)
        return self._upload(image_id, self._door.reserve(image_id))

    def _upload(self, image_id: str, slot: Slot, begun: Begun | None = None) -> Upload:
        return Upload(
            image_id,
            slot,
            self.stores,
            max_bytes=self.settings.max_upload_bytes,
            limits=self.workshop.limits,
            weigh=lambda original: self.workshop.budget.weigh(original),
            begun=begun,
        )

    def count_accepted(self) -> None:
        """Count an upload that was accepted; the front that took it calls this once."""
        self.measures.accepted()

    def count_refused(self, refusal: Refused) -> None:
        """Count an upload that was turned away; the front that turned it away calls this once."""
        self.measures.refused(refusal.reason)

    def retry_after_s(self, ahead: int) -> int:
        """When to come back, as `Measures.retry_after_s` says, for one who waits for `ahead` images."""
        return self.measures.retry_after_s(ahead)

    def _running(self) -> Engine:
        if self._engine is None:
            raise not_running()
        return self._engine

    # What is known

    def get(self, image_id: str) -> ImageRecord | None:
        """The record of an image, or None. Raises `StoreError`, or `Draining` before the start."""
        return self.records.get(image_id)

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """At most `limit` records, newest first, older than sequence `before`; all, or those of one owner.
        Raises as `get`.
        """
        return self.records.page(state, limit, before, owner)

    def places(self) -> dict[str, int]:
        """The place in the queue, from 1, of each queued image; of the first `PLACES` ones. Raises as `get`."""
        backlog = self.records.backlog(0, PLACES)
        return {image_id: place for place, (_, image_id) in enumerate(backlog, start=1)}

    def status(self) -> Status:
        """One snapshot, at the same cost with a million records as with ten. Raises `StoreError`, `Draining`."""
        engine = self._running()
        statistics = _looked(engine)
        jobs = statistics.jobs
        now = time.monotonic()
        refusal = self._door.refusal()
        full = jobs.buffered + jobs.reserved >= jobs.capacity
        return Status(
            accepting=refusal is None and not full,
            reason=refusal.reason if refusal else NoRoom.reason if full else None,
            workers=statistics.workers,
            busy=statistics.busy,
            lanes=engine.lanes(),
            queue=jobs,
            results=statistics.results,
            memory=Memory.of(self.workshop.budget, statistics.weights),
            peers=engine.peers(),
            oldest_wait_s=self._oldest_wait_s(),
            counts=self.records.counts(),
            measured=self.measures.snapshot(),
            wait_estimate_s=(
                None if statistics.paused else self.measures.estimate_wait_s(jobs.buffered + jobs.reserved)
            ),
            unfinished=self.uploads.standing(),
            paused=statistics.paused,
            retrying=self.retries.retrying(),
            most_workers=engine.most_workers,
            free_bytes=self._door.free_bytes(),
            uptime_s=now - self._started_at,
        )

    def _oldest_wait_s(self) -> float:
        """How long ago the oldest queued image came; 0 when none is queued."""
        for _, image_id in self.records.backlog(0, 1):
            if (oldest := self.records.get(image_id)) is not None:
                return max(0.0, self._clock.now() - oldest.received_at)
        return 0.0

    def samples(self, since: float) -> list[Sample]:
        """Those of the last five minutes that were taken after a moment (since the epoch). Raises `Draining`."""
        self._running()
        return self.history.since(since)

    # Removal

    def delete(self, image_id: str) -> bool:
        """Forget an image with its original and variants; False when there is none.

        Raises as `get`, and `StoreFailed` when the disk does not let go of the files: then it can be asked again.
        """
        if self.records.get(image_id) is None:
            return False
        try:
            self.files.delete(image_id)
            deleted = self.records.delete(image_id)
            self.files.delete(image_id)  # again: a worker may have published variants in between
        except OSError as error:
            log.error("image %s could not be deleted: %s", image_id, error)
            raise StoreFailed("The server's disk does not let go of the files: try again later.", 10) from error
        return deleted

    def prune(self, older_than_s: float) -> int:
        """Delete the images that finished longer ago than this; returns how many. Blocks; ends early when the server
        stops. What the disk does not let go of is left for another time. Raises `StoreError`.
        """
        return self._made_retention().prune(older_than_s)


def _looked(engine: Engine) -> PoolStatistics:
    engine.look()
    return engine.statistics()
