"""The pool at work: image IDs in, records of what became of them out.

Owns the worker pool, each worker's processor, the collector thread and the feeder thread. A worker moves an
image from `queued` to `processing`, makes its variants and puts the outcome on the results channel; the
collector alone writes `done` and `failed`. Nothing here knows of HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imgpool.errors import DecoderKilled, ImagingError, JobCancelled, MachineFailed
from imgpool.imaging.sandbox import Processor
from imgpool.pool import Context, Event, PoolClosed, Result, WorkerPool
from imgpool.service.clock import Clock
from imgpool.service.files import Files
from imgpool.service.measures import Measures
from imgpool.service.memory import MemoryBudget
from imgpool.service.processors import WorkerProcessors
from imgpool.service.records import Outcome, Records, StoreError, VariantRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

FEED_BATCH = 200
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
HAND_BACK_S = 1.0


@dataclass(frozen=True, slots=True)
class Attempted:
    """What a worker sends to the collector: how the attempt at an image ended."""

    error: str | None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    variants: tuple[VariantRecord, ...] = ()


class Engine:
    """Runs images through the pool. `start` and `stop` are called once each, by one thread."""

    def __init__(
        self,
        records: Records,
        files: Files,
        measures: Measures,
        make_processor: Callable[[], Processor],
        budget: MemoryBudget,
        clock: Clock,
        *,
        workers: int,
        queue_capacity: int,
        job_timeout_s: float,
        max_attempts: int,
    ) -> None:
        self._records, self._files, self._measures = records, files, measures
        self._budget = budget
        self._clock = clock
        self._job_timeout_s = job_timeout_s
        self._max_attempts = max_attempts
        self._processors = WorkerProcessors(make_processor)
        self._stopping = Context()
        self.place_freed = threading.Event()  # set whenever a worker took an image out of the queue
        # As many places for results as there are workers: each can hand over its result and go on while the
        # collector writes the one before; more would only hide a store that has become slow.
        self.pool: WorkerPool[str, Attempted | None] = WorkerPool(
            self._process,
            workers,
            jobs_capacity=queue_capacity,
            results_capacity=workers,
            weight_limit=budget.weight_limit,
            name="imgpool",
            observer=self._observe,
        )
        self._collector = threading.Thread(target=self._collect, name="imgpool-collector", daemon=True)
        self._feeder = threading.Thread(target=self._feed, name="imgpool-feeder", daemon=True)
        self._feed_until = 0

    def start(self) -> None:
        """Start the threads; images that were queued before this start are taken up, oldest first."""
        self._feed_until = self._records.last_sequence()
        self.pool.start()
        self._collector.start()
        self._feeder.start()

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """Drain: finish what is in the pool, within `timeout_s` in all. Blocks.

        Returns the IDs that were not finished; their records say `queued`, for the next start.
        """
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
        """Begin nothing more and end what runs, whose images are handed back. Any thread may call it, also during
        `stop`, which must be called all the same. Blocks for `HAND_BACK_S` at most.
        """
        self.pool.abort("the server stops at once", timeout_s=HAND_BACK_S)

    def resize(self, workers: int, budget: MemoryBudget) -> None:
        """Have so many workers, each with its processor, who share this budget. Raises `PoolClosed` when stopping."""
        self._budget = budget
        self.pool.set_weight_limit(budget.weight_limit)
        # Never taken away: an abort may just have widened the channel for what it owes.
        if workers > self.pool.results.capacity:
            self.pool.results.set_capacity(workers)
        self.pool.resize(workers)

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
            record = _retried(context, image_id, lambda: self._records.begin(image_id, self._clock.now()))
            while record is not None:
                try:
                    return _retried(context, image_id, lambda: self._attempt(context, image_id))
                except DecoderKilled as error:
                    # From outside, as the system does for lack of memory: perhaps because of another image.
                    if record.attempts >= self._max_attempts:
                        return Attempted(f"{error} It was tried {record.attempts} times.")
                    log.warning("image %s is tried again: %s", image_id, error)
                record = _retried(context, image_id, lambda: self._records.begin_again(image_id, self._clock.now()))
        except JobCancelled:
            if record is not None:
                self._hand_back(image_id)
        return None

    def _attempt(self, context: Context, image_id: str) -> Attempted:
        original = self._files.original(image_id)
        if not original.exists():
            if not original.parent.is_dir():
                raise FileNotFoundError(f"{original.parent} is away")  # a disk that may come back: tried again
            return Attempted("The original is gone from the server's disk: upload it again.")
        staged = self._files.stage(image_id)
        try:
            made = self._processors.mine().process(original, staged, timeout_s=self._job_timeout_s, cancelled=context)
            variants = tuple(
                VariantRecord(each.name, each.filename, each.format, each.width, each.height, each.bytes)
                for each in made.variants
            )
            self._files.publish(image_id, staged)
            return Attempted(None, made.format, made.width, made.height, variants)
        except (JobCancelled, MachineFailed, DecoderKilled):
            raise
        except ImagingError as error:
            return Attempted(str(error))
        finally:
            self._files.unstage(staged)

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
        outcome = Outcome(
            # A decoder may say anything, half of a surrogate pair too, which no database takes.
            attempted.error and attempted.error.encode("utf-8", "replace").decode(),
            result.waited_s,
            result.ran_s,
            attempted.format,
            attempted.width,
            attempted.height,
            attempted.variants,
        )
        try:
            # Until it can be written the results channel fills, the workers wait, admission says no.
            kept = _retried(
                self._stopping, image_id, lambda: self._records.finish(image_id, self._clock.latest(), outcome)
            )
            # False also follows a change that was made although the store's answer was an error: look before deleting.
            kept = kept or _retried(self._stopping, image_id, lambda: self._records.get(image_id)) is not None
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
                batch = _retried(self._stopping, "backlog", lambda: self._records.backlog(after, FEED_BATCH))  # noqa: B023
            except JobCancelled:
                return
            if not batch:
                return
            for sequence, image_id in batch:
                if sequence > self._feed_until:
                    return
                try:
                    self.pool.submit(image_id, weight=self._budget.weigh(self._files.original(image_id)))
                except PoolClosed:
                    return
                after = sequence


def _retried(context: Context, what: str, action: Callable[[], T]) -> T:
    """Do it until the disk and the store let it happen; raises `JobCancelled` when the context ends first.

    Such a failure is the server's and not the image's: it costs time and never an image. Whoever waits here
    fills the channel behind it, until admission refuses.
    """
    pause_s = FIRST_RETRY_S
    while True:
        try:
            return action()
        except (OSError, StoreError, MachineFailed) as error:
            log.error("%s: trying again in %.1f s: %s", what, pause_s, error)
        if context.wait(pause_s):
            raise JobCancelled("the server stops")
        pause_s = min(pause_s * 2, LONGEST_RETRY_S)
