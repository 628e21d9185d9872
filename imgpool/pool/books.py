"""The books of a pool: what became of every job, who works, and whether the pool is open.

Owns the ledger, the lanes and the state, and the pool's one lock, which guards all three. Nobody else can
hold it: each method takes it for a few assignments and gives it back, so that every booking is whole and
no handler, observer or blocking call ever runs under it. (One method waits, for the end of a pause; to wait
on a condition is to let go of its lock.)

Lock order: this one, then a channel's or a context's. Never moves a job, and tells nobody anything.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Generic, Literal, TypeVar

from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.errors import PoolClosed
from imgpool.pool.events import Job, Outcome
from imgpool.pool.lane import Intake, Lane, cancel_intakes
from imgpool.pool.statistics import Ledger, PoolStatistics, WorkerState
from imgpool.pool.weighed import WeighedChannel

P = TypeVar("P")

State = Literal["new", "open", "draining", "aborted"]


class Books(Generic[P]):
    """Every method may be called from any thread; only `may_take` blocks."""

    def __init__(self, name: str, size: int, make_thread: Callable[..., threading.Thread]) -> None:
        self.root = Context()  # parent of every job's context and every intake; cancelled by abort alone
        self.state: State = "new"  # written under the lock; whoever reads it without must bear a change at once
        self._name = name
        self._make_thread = make_thread
        self._lock = threading.Lock()
        self._resumed = threading.Condition(self._lock)
        self._ledger = Ledger()
        self._size = size
        self._paused = False
        self._lanes: list[Lane[P]] = []  # until they have left; workers in the order of their start
        self._lane_numbers = itertools.count(1)
        self._swept = False  # an abort has cancelled all that was queued
        self._abandoned: list[Job[P]] = []  # jobs that were unfinished when the pool was aborted

    # -- jobs --------------------------------------------------------------------------------------

    def enter(self) -> State:
        """Book a job in, as queued; return the state at that moment."""
        with self._lock:
            self._ledger.submitted += 1
            self._ledger.queued += 1
            return self.state

    def refuse(self, *, entered: bool) -> State:
        """Book a job that was entered, or the mere wish for a slot, as refused; return the state."""
        with self._lock:
            if entered:
                self._ledger.queued -= 1
            else:
                self._ledger.submitted += 1
            self._ledger.refused += 1
            return self.state

    def drop(self) -> None:
        """Book a job from queued to dropped."""
        with self._lock:
            self._ledger.queued -= 1
            self._ledger.dropped += 1

    def begin(self, lane: Lane[P], job: Job[P]) -> bool:
        """Book a job from queued to running; or return False, because the pool is ending.

        A worker runs what was admitted, until the pool is aborted. A caller's lane is let in only while the
        pool is open: nobody would wait for it otherwise.
        """
        with self._lock:
            if self.state == "aborted" or not (lane.is_worker or self.state == "open"):
                return False
            if not lane.is_worker:
                self._lanes.append(lane)
            self._ledger.queued -= 1
            self._ledger.running += 1
            lane.started = time.monotonic()
            lane.job = job
            return True

    def finish(self, outcome: Outcome) -> None:
        """Book a job from running to its outcome."""
        with self._lock:
            ledger = self._ledger
            ledger.running -= 1
            if outcome == "succeeded":
                ledger.succeeded += 1
            elif outcome == "failed":
                ledger.failed += 1
            else:
                ledger.cancelled += 1

    def cancel(self, job: Job[P]) -> None:
        """Book a job from queued to cancelled."""
        with self._lock:
            self._ledger.queued -= 1
            self._ledger.cancelled += 1
            self._abandoned.append(job)

    def undelivered(self) -> None:
        """Count a result that came too late for the results channel."""
        with self._lock:
            self._ledger.undelivered += 1

    def observer_failed(self) -> bool:
        """Count a failure of the observer; return whether it is the first."""
        with self._lock:
            self._ledger.observer_errors += 1
            return self._ledger.observer_errors == 1

    # -- workers -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Admit jobs from now on, which can be done once."""
        with self._lock:
            if self.state != "new":
                raise RuntimeError(f"{self._name} was started before: a pool is started once")
            self.state = "open"

    def grow(self, work: Callable[[Lane[P]], None]) -> None:
        """Start as many threads that `work` as the size asks for."""
        with self._lock:
            self._grow(work)

    def resize(self, size: int, work: Callable[[Lane[P]], None]) -> None:
        """Change the size: start threads at once, or have the lanes look whether they are too many."""
        with self._lock:
            self._check_not_ending()
            self._size = size
            if self.state == "open":
                self._grow(work)
            lanes = self._workers() if self._surplus() > 0 else []
            self._resumed.notify_all()  # a worker that is to leave may be waiting for the end of a pause
        cancel_intakes(lanes, "resized")

    def pause(self) -> None:
        """When it returns, no lane takes a job."""
        with self._lock:
            self._check_not_ending()
            self._paused = True
            lanes = self._workers()
        cancel_intakes(lanes, "paused")

    def resume(self) -> None:
        """End a pause, if there is one."""
        with self._lock:
            self._end_pause()

    def may_take(self, lane: Lane[P]) -> bool:
        """Wait for the end of a pause; then give the lane a new intake, or return False if it is to end."""
        with self._lock:
            while self._paused and self._surplus() <= 0 and self.state != "aborted":
                self._resumed.wait()
            # Whoever comes here first while there are too many leaves; nobody is chosen beforehand, because
            # a chosen one may be in a long job while the others go on taking new ones.
            lane.retired = self.state == "aborted" or self._surplus() > 0
            if lane.retired:
                return False
            lane.intake = Intake(self.root)
            return True

    def leave(self, lane: Lane[P]) -> bool:
        """Strike off a lane; return whether it was the last one, after which no result can come."""
        with self._lock:
            self._lanes.remove(lane)
            # While an abort still cancels queued jobs, results are to come even though no lane is left.
            return (self.state == "draining" or (self.state == "aborted" and self._swept)) and not self._lanes

    # -- the end -----------------------------------------------------------------------------------

    def stop_admitting(self) -> list[Lane[P]]:
        """Admit nothing more, and lift a pause; return the lanes that have yet to end."""
        with self._lock:
            if any(lane.thread is threading.current_thread() for lane in self._lanes):
                raise RuntimeError(f"drain() of {self._name} in one of its own handlers would wait for itself")
            if self.state != "aborted":
                self.state = "draining"
            self._end_pause()
            return list(self._lanes)

    def abort(self) -> tuple[list[Lane[P]], int | None]:
        """Begin nothing more; return the lanes that have yet to end, and how many results are yet to come.

        Instead of that number None, if the pool was aborted before: then there is nothing more to do.
        """
        with self._lock:
            lanes = list(self._lanes)
            if self.state == "aborted":
                return lanes, None
            self.state = "aborted"
            self._end_pause()
            self._abandoned.extend(lane.job for lane in lanes if lane.job is not None)
            return lanes, self._ledger.queued + len(lanes)

    def swept(self) -> None:
        """All that was queued at the abort is cancelled."""
        with self._lock:
            self._swept = True

    def unfinished(self) -> tuple[Job[P], ...]:
        """Return the jobs that an abort left unfinished, in the order of their submission."""
        with self._lock:
            return tuple(sorted(self._abandoned, key=lambda job: job.number))

    # -- looking -----------------------------------------------------------------------------------

    def statistics(self, jobs: Channel[Any], results: Channel[Any]) -> PoolStatistics:
        """Return one snapshot of the books and the two channels."""
        with self._lock:
            return PoolStatistics(
                workers=self._size,
                busy=sum(lane.job is not None for lane in self._workers()),
                paused=self._paused,
                accepting=self.state == "open",
                jobs=jobs.statistics(),
                results=results.statistics(),
                weights=jobs.weights() if isinstance(jobs, WeighedChannel) else None,
                **asdict(self._ledger),
            )

    def workers_now(self) -> tuple[WorkerState, ...]:
        """Return what each worker does now, in the order of their start."""
        with self._lock:
            lanes = [(lane.name, lane.job, lane.started) for lane in self._workers()]
        return tuple(
            WorkerState(name, None, None) if job is None else WorkerState(name, job.payload, started)
            for name, job, started in lanes
        )

    def forgotten(self) -> str:
        """Say what was left undone by whoever lost an open pool. Takes no lock: roughly right, at any moment."""
        ledger = self._ledger
        left = f", {ledger.queued} queued and {ledger.running} running jobs" if ledger.queued or ledger.running else ""
        return (
            f"{len(self._lanes)} worker threads{left}. Its drain() or abort() was forgotten; "
            "use it in a `with` block, or keep it until it has ended"
        )

    # -- called with the lock held -----------------------------------------------------------------

    def _workers(self) -> list[Lane[P]]:
        return [lane for lane in self._lanes if lane.is_worker]

    def _surplus(self) -> int:
        """How many more workers there are than the size says."""
        return sum(lane.is_worker and not lane.retired for lane in self._lanes) - self._size

    def _grow(self, work: Callable[[Lane[P]], None]) -> None:
        for _ in range(-self._surplus()):
            lane: Lane[P] = Lane(f"{self._name}-worker-{next(self._lane_numbers)}", is_worker=True)
            lane.thread = self._make_thread(target=work, args=(lane,), name=lane.name, daemon=True)
            lane.thread.start()  # under the lock, which the new thread needs only once it runs
            self._lanes.append(lane)

    def _end_pause(self) -> None:
        self._paused = False
        self._resumed.notify_all()

    def _check_not_ending(self) -> None:
        if self.state not in ("new", "open"):
            raise PoolClosed(f"{self._name} is {self.state}")
