"""The crew of a pool: the threads that take jobs, run the handler, and deliver results.

Owns the handler, and the way of every admitted job to its one result, also when it is cancelled before it
starts. Holds no lock: each step is booked in the books. Never admits or refuses a job.

A handler that returns, raises (even SystemExit) or overruns costs its job, never its worker. What no pool
of threads can do is to stop a handler that does not look at its context: that one occupies its worker until
it returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from imgpool.pool.announcer import Announcer
from imgpool.pool.books import Books
from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.errors import Cancelled, ChannelClosed, ChannelEmpty, ChannelFull, ContextDone, DeadlockError
from imgpool.pool.events import Job, Outcome, Result, never_ran
from imgpool.pool.lane import Lane
from imgpool.pool.slot import Slot
from imgpool.pool.weighed import WeighedChannel

P = TypeVar("P")
R = TypeVar("R")


class Crew(Generic[P, R]):
    """What the threads of one pool do; `work` is the whole life of a worker."""

    def __init__(
        self,
        handler: Callable[[Context, P], R],
        job_timeout_s: float | None,
        jobs: Channel[Job[P]],
        results: Channel[Result[P, R]],
        books: Books[P],
        announcer: Announcer | None,
    ) -> None:
        self._handler = handler
        self._job_timeout_s = job_timeout_s
        self._jobs = jobs
        self._done_with = jobs.done_with if isinstance(jobs, WeighedChannel) else None
        self._results = results
        self._books = books
        self._announcer = announcer

    def work(self, lane: Lane[P]) -> None:
        """Take a job, run it, deliver its result, until told to end."""
        if self._announcer is not None:
            self._announcer.tell("worker_started", worker=lane.name)
        while self._books.may_take(lane):
            try:
                while True:
                    job = self._jobs.receive(ctx=lane.intake)
                    self.run(lane, job)
                    del job  # while this thread waits for the next one, it keeps nothing of the last in memory
            except ContextDone:
                continue  # paused, resized or aborted: `may_take` knows
            except (ChannelClosed, DeadlockError):
                break
        if self._announcer is not None:
            self._announcer.tell("worker_stopped", worker=lane.name)
        self._leave(lane)

    def run(self, lane: Lane[P], job: Job[P]) -> None:
        """Run a job that this worker has taken out of the jobs channel, and deliver its result."""
        if not self._books.begin(lane, job):  # taken just before an abort, which did not find it in the channel
            self._cancel(job)
            return
        result = self._perform(lane, job)
        if self._done_with is not None:  # before the result is delivered, which may take its time
            self._done_with(job)
        try:
            self._results.send(result)
        except (ChannelClosed, DeadlockError):
            self._books.undelivered()
        del result  # see the end of `_perform`
        lane.job = None

    def run_here(self, job: Job[P], room: Slot[Result[P, R]]) -> bool:
        """Run a job in the thread that submitted it; or return False, because the pool is ending."""
        lane: Lane[P] = Lane(threading.current_thread().name, is_worker=False)
        with room:
            if not self._books.begin(lane, job):
                return False
            try:
                result = self._perform(lane, job)
                room.send(result)
                error = result.error
                del result  # see the end of `_perform`
            finally:
                self._leave(lane)
        try:
            # Ctrl-C, or an exit, in a thread that is not ours: its owner must know.
            if error is not None and not isinstance(error, Exception):
                raise error
        finally:
            del error
        return True

    def cancel_queued(self) -> None:
        """Make each job in the jobs channel a cancelled result. The pool is aborted, and its root has a reason."""
        while True:
            try:
                job = self._jobs.try_receive()
            except (ChannelEmpty, ChannelClosed):
                return
            self._cancel(job)

    def _perform(self, lane: Lane[P], job: Job[P]) -> Result[P, R]:
        """Run the handler, and book the job from running to its outcome. Raises nothing."""
        if self._announcer is not None:
            self._announcer.tell("started", job, lane.name)
        root = self._books.root
        value: R | None = None
        error: BaseException | None = None
        outcome: Outcome = "succeeded"
        ctx = root.child(self._job_timeout_s)
        began = time.monotonic()
        try:
            value = self._handler(ctx, job.payload)
        except BaseException as caught:
            # Without its first entry, which is this line: the traceback begins in the handler.
            error = caught.with_traceback(caught.__traceback__ and caught.__traceback__.tb_next)
            outcome = "cancelled" if isinstance(caught, Cancelled) and root.done else "failed"
        ran_s = time.monotonic() - began
        ctx.close()
        self._books.finish(outcome)
        if self._announcer is not None:
            self._announcer.tell("finished", job, lane.name, outcome)
        try:
            return Result(job, outcome, value, error, lane.started - job.submitted_at, ran_s, lane.name)
        finally:
            # The error's traceback leads back to this frame (and to the caller's, which lets go of the
            # result). Held here it would be a cycle, and keep the handler's variables until the next
            # garbage collection.
            del error, value

    def _cancel(self, job: Job[P]) -> None:
        """Make a queued job a cancelled result. The pool is aborted, so there is room, or nobody to look."""
        self._books.cancel(job)
        if self._announcer is not None:
            self._announcer.tell("finished", job, outcome="cancelled")
        try:
            self._results.try_send(never_ran(job, "cancelled", Cancelled(self._books.root.reason or "aborted")))
        except (ChannelFull, ChannelClosed):
            self._books.undelivered()

    def _leave(self, lane: Lane[P]) -> None:
        """A lane's last act. The last one out closes the results."""
        last = self._books.leave(lane)
        if lane.intake is not None:
            lane.intake.close()
        if last:
            self._results.close()
        lane.ended.set()
