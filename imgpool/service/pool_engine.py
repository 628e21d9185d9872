"""The pool at work: image IDs in, records of what became of them out.

Owns the worker pool and each worker's processor. A worker moves an image from `queued` to `processing`, makes its
variants and puts the outcome on the results channel; the `Collector` writes `done` and `failed`, and what an earlier
run left comes from the `Feeder`. Nothing here knows of HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from imgpool.config import Settings
from imgpool.errors import DecoderKilled, JobCancelled
from imgpool.imaging.model import Made
from imgpool.pool import Context, Event, JobSlot, PoolStatistics, WorkerPool
from imgpool.service.attempt import Attempted, attempt, retried
from imgpool.service.clock import Clock
from imgpool.service.collector import Collector, hand_back
from imgpool.service.engine import Lane, Peer
from imgpool.service.feeder import Feeder
from imgpool.service.measures import Measures
from imgpool.service.processors import WorkerProcessors
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

HAND_BACK_S = 1.0


class PoolEngine:
    """`Engine` over a `WorkerPool` of this process. Runs images through it."""

    asks_others = False

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        workshop: Workshop,
        measures: Measures,
        clock: Clock,
    ) -> None:
        self._records, self._files = stores.records, stores.files
        self._workshop, self._clock = workshop, clock
        self._job_timeout_s = settings.job_timeout_s
        self._max_attempts = settings.max_attempts
        self._processors = WorkerProcessors(workshop.make_processor)
        self._stopping = Context()
        self.place_freed = threading.Event()  # set whenever a worker took an image out of the queue
        workers = workshop.choice.workers
        # As many places for results as there are workers: each can hand over its result and go on while the
        # collector writes the one before; more would only hide a store that has become slow.
        self.pool: WorkerPool[str, Attempted | None] = WorkerPool(
            self._process,
            workers,
            jobs_capacity=settings.queue_capacity,
            results_capacity=workers,
            weight_limit=workshop.budget.weight_limit,
            name="imgpool",
            observer=self._observe,
        )
        self._collector = Collector(self.pool.results, stores, measures, clock, self._stopping)
        self._feeder = Feeder(self._records, self._submit, self._stopping)

    def start(self) -> None:
        """See `Engine.start`; images that were queued before this start are taken up, oldest first."""
        until = self._records.last_sequence()
        self.pool.start()
        self._collector.start()
        self._feeder.start(until)

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """See `Engine.stop`: drain the pool, within `timeout_s` in all. What is left has records that say `queued`."""
        deadline = time.monotonic() + timeout_s
        report = self.pool.drain(timeout_s)
        if report.unfinished:
            # The drain does not wait for handlers, and handing an image back needs the store: give them a moment.
            self.pool.abort("drain deadline", timeout_s=HAND_BACK_S)
        self._stopping.cancel("the server stops")
        # A little more than what is left, so that results which were in time are still written.
        self._collector.join(max(1.0, deadline - time.monotonic()))
        self._feeder.join(1.0)
        return tuple(job.payload for job in report.unfinished)

    def abort(self) -> None:
        """See `Engine.abort`. Blocks for `HAND_BACK_S` at most."""
        self.pool.abort("the server stops at once", timeout_s=HAND_BACK_S)

    def try_reserve(self, image_id: str) -> JobSlot[str]:
        """See `Engine.try_reserve`."""
        return self.pool.try_reserve()

    def refuse_what_is_known(self) -> None:
        """See `Engine.refuse_what_is_known`: `try_reserve` knows all, and blocks on nothing."""

    @property
    def most_workers(self) -> int:
        """See `Engine.most_workers`: as many as have their share of the memory."""
        return self._workshop.budget.most_workers

    def peers(self) -> tuple[Peer, ...]:
        """See `Engine.peers`."""
        return ()

    def weigh(self, image_id: str) -> int:
        """See `Engine.weigh`: its weight in the memory budget."""
        try:
            with self._files.original(image_id) as original:
                return self._workshop.budget.weigh(original)
        except OSError:  # whoever works on it will say so
            return self._workshop.budget.weight_limit

    def look(self) -> None:
        """See `Engine.look`: all is known here."""

    def _submit(self, image_id: str) -> None:
        self.pool.submit(image_id, weight=self.weigh(image_id))

    def statistics(self) -> PoolStatistics:
        """See `Engine.statistics`."""
        return self.pool.statistics()

    def lanes(self) -> tuple[Lane, ...]:
        """See `Engine.lanes`."""
        now = time.monotonic()
        return tuple(
            Lane(
                lane.name,
                None if lane.job is None else str(lane.job),
                None if lane.started_monotonic is None else now - lane.started_monotonic,
            )
            for lane in self.pool.workers_now()
        )

    def resize(self, workers: int) -> None:
        """See `Engine.resize`."""
        self.pool.set_weight_limit(self._workshop.budget.weight_limit)
        # Never taken away: an abort may just have widened the channel for what it owes.
        if workers > self.pool.results.capacity:
            self.pool.results.set_capacity(workers)
        self.pool.resize(workers)

    def set_queue_capacity(self, places: int) -> None:
        """See `Engine.set_queue_capacity`."""
        self.pool.set_jobs_capacity(places)
        self.place_freed.set()

    def pause(self) -> None:
        """See `Engine.pause`."""
        self.pool.pause()

    def resume(self) -> None:
        """See `Engine.resume`."""
        self.pool.resume()

    # In a worker thread

    def _observe(self, event: Event) -> None:
        """A processor belongs to one worker thread, and these events are told in that thread."""
        if event.kind == "worker_started":
            self._processors.mine()  # warm for the first image; should that fail, the image tries again
        elif event.kind == "worker_stopped":
            self._processors.close_mine()
        elif event.kind == "started":
            self.place_freed.set()

    def _process(self, context: Context, image_id: str) -> Attempted | None:
        """The handler. None: there is nothing to record (deleted meanwhile, or handed back to the store)."""
        record = None
        try:
            record = retried(context, image_id, lambda: self._records.begin(image_id, self._clock.now()))
            while record is not None:
                try:
                    return retried(context, image_id, lambda: self._attempt(context, image_id))
                except DecoderKilled as error:
                    # From outside, as the system does for lack of memory: perhaps because of another image.
                    if record.attempts >= self._max_attempts:
                        return Attempted(f"{error} It was tried {record.attempts} times.")
                    log.warning("image %s is tried again: %s", image_id, error)
                record = retried(context, image_id, lambda: self._records.begin_again(image_id, self._clock.now()))
        except JobCancelled:
            if record is not None:
                hand_back(self._records, image_id)
        return None

    def _attempt(self, context: Context, image_id: str) -> Attempted:
        def process(original: Path, staged: Path) -> Made:
            processor = self._processors.mine()
            return processor.process(original, staged, timeout_s=self._job_timeout_s, cancelled=context)

        return attempt(self._files, image_id, process)
