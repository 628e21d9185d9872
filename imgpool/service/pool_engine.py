"""The pool at work: image IDs in, records of what became of them out.

Owns the worker pool, each worker's processor, the collector thread and the feeder thread. A worker moves an
image from `queued` to `processing`, makes its variants and puts the outcome on the results channel; the
collector alone writes `done` and `failed`. Nothing here knows of HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from imgpool.config import Settings
from imgpool.errors import DecoderKilled, JobCancelled
from imgpool.imaging.model import Made
from imgpool.pool import Context, Event, JobSlot, PoolClosed, PoolStatistics, Result, WorkerPool
from imgpool.service.attempt import Attempted, attempt, retried
from imgpool.service.clock import Clock
from imgpool.service.engine import Lane, Peer
from imgpool.service.measures import Measures
from imgpool.service.processors import WorkerProcessors
from imgpool.service.records import StoreError
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

FEED_BATCH = 200
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
        self._workshop, self._measures, self._clock = workshop, measures, clock
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
        self._collector = threading.Thread(target=self._collect, name="imgpool-collector", daemon=True)
        self._feeder = threading.Thread(target=self._feed, name="imgpool-feeder", daemon=True)
        self._feed_until = 0

    def start(self) -> None:
        """See `Engine.start`; images that were queued before this start are taken up, oldest first."""
        self._feed_until = self._records.last_sequence()
        self.pool.start()
        self._collector.start()
        self._feeder.start()

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
                self._hand_back(image_id)
        return None

    def _attempt(self, context: Context, image_id: str) -> Attempted:
        def process(original: Path, staged: Path) -> Made:
            processor = self._processors.mine()
            return processor.process(original, staged, timeout_s=self._job_timeout_s, cancelled=context)

        return attempt(self._files, image_id, process)

    def _hand_back(self, image_id: str) -> None:
        try:
            self._records.hand_back(image_id)
        except StoreError as error:  # it stays `processing`, which the next start takes up as well
            log.error("image %s could not be handed back: %s", image_id, error)

    # In the collector's thread

    def _collect(self) -> None:
        for result in self.pool.results:
            try:
                self._record(result)
            except Exception:  # a dead collector would stop every worker: one image waits for the next start instead
                log.exception("image %s: its result could not be recorded", result.job.payload)

    def _record(self, result: Result[str, Attempted | None]) -> None:
        image_id = result.job.payload
        if result.outcome == "succeeded":
            attempted = result.value
        elif result.outcome == "failed":
            log.error("image %s: an error of imgpool itself", image_id, exc_info=result.error)
            attempted = Attempted("imgpool made a mistake while it processed this image; the server's log has it.")
        else:
            return  # never started: its record still says `queued`
        if attempted is None:
            return
        outcome = attempted.outcome(result.waited_s, result.ran_s)
        try:
            # Until it can be written the results channel fills, the workers wait, admission says no.
            kept = retried(
                self._stopping, image_id, lambda: self._records.finish(image_id, self._clock.latest(), outcome)
            )
            # False also follows a change that was made although the store's answer was an error: look before deleting.
            kept = kept or retried(self._stopping, image_id, lambda: self._records.get(image_id)) is not None
        except JobCancelled:
            self._hand_back(image_id)  # if the store is well again; else the next start takes up what is `processing`
            return
        if kept:
            self._measures.finished(done=outcome.error is None, wait_s=result.waited_s, service_s=result.ran_s)
        else:
            self._delete_files(image_id)

    def _delete_files(self, image_id: str) -> None:
        """The image was deleted while it was processed: what the worker just published must go too."""
        try:
            self._files.delete(image_id)
        except OSError as error:
            log.error("files of deleted image %s are left until the next start: %s", image_id, error)

    # In the feeder's thread

    def _feed(self) -> None:
        """Queue what an earlier run left queued, oldest first, waiting for room as any sender does."""
        after = 0
        while after < self._feed_until and not self._stopping.done:
            try:
                batch = retried(self._stopping, "backlog", lambda: self._records.backlog(after, FEED_BATCH))  # noqa: B023
            except JobCancelled:
                return
            if not batch:
                return
            for sequence, image_id in batch:
                if sequence > self._feed_until:
                    return
                try:
                    self.pool.submit(image_id, weight=self.weigh(image_id))
                except PoolClosed:
                    return
                after = sequence
