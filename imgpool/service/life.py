"""How a service lives: it takes what it stands on, puts in order what an earlier run left, and has its parts started in
the order in which they need each other; in the end they are stopped in the order in which they let go.

It stands on a `Backend`, the embedded one unless it is told otherwise, which owns a data directory while it is open.
What may be asked of it meanwhile is `imgpool.service.service`'s to say.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imgpool.config import Settings
from imgpool.errors import Refused
from imgpool.pool import Context
from imgpool.service.backend import Backend, Embedded
from imgpool.service.clock import Clock
from imgpool.service.door import Door, not_running
from imgpool.service.engine import Engine, Slot, looked
from imgpool.service.files import Files
from imgpool.service.history import History
from imgpool.service.intake import Intake
from imgpool.service.measures import Measures
from imgpool.service.records import Records
from imgpool.service.resumable import Resumable
from imgpool.service.retention import Retention
from imgpool.service.retries import Retries
from imgpool.service.steering import Steering
from imgpool.service.stores import Stores
from imgpool.service.upload import Begun, Upload
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a service has from `start` on, beside its engine."""

    uploads: Resumable
    steering: Steering
    retries: Retries
    history: History


class Life:
    """Made cheaply, and starts nothing; `start` and `stop` frame it. Raises `SettingError` when made, as `Workshop`
    does.
    """

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
        self._parts: _Parts | None = None  # from `start` on
        self._retention: Retention  # from `start` on
        self._started_at = 0.0

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
    def uploads(self) -> Resumable:
        """Those that come in several requests. Raises `Draining` before `start`, as the next three do."""
        return self._started().uploads

    @property
    def steering(self) -> Steering:
        """What people may change while it runs."""
        return self._started().steering

    @property
    def retries(self) -> Retries:
        """The second chance of images that failed."""
        return self._started().retries

    @property
    def history(self) -> History:
        """The last five minutes."""
        return self._started().history

    @property
    def stopping(self) -> Context:
        """Ends when the service begins to stop: a parent for whatever else runs beside the uploads."""
        return self._stopping

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
        uploads = backend.uploads(stores, Intake(self._door.reserve, self._upload, self._count, self.clock))
        engine = backend.engine(stores, self.workshop, self.measures, self._clock)
        engine.start()
        uploads.start()
        self._parts = _Parts(
            uploads,
            Steering(engine, self.workshop, self.measures),
            Retries(engine, stores.records, self._door.reserve, self._clock),
            History(lambda: looked(engine), self.measures),
        )
        self.history.start()
        self._door.open(engine, lambda: self.files.free_bytes(), uploads.make_way)
        return engine

    def _made_retention(self) -> Retention:
        return Retention(self.stores, self._clock, self._stopping, self.settings.retention_days)

    # For the parts

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

    def _count(self, refusal: Refused) -> None:
        self.measures.refused(refusal.reason)

    def _running(self) -> Engine:
        if self._engine is None:
            raise not_running()
        return self._engine

    def _started(self) -> _Parts:
        if self._parts is None:
            raise not_running()
        return self._parts
