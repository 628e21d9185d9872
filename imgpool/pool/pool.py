"""A worker pool: a jobs channel, N threads that run a handler, a results channel.

        submit ──> jobs channel ──> worker threads ──> results channel ──> whoever collects
           │                              │
         door                           crew            both book what they do in the books

Owns both channels, and the end: the order in which the parts of a pool stop. Knows nothing of what a job
is. One lock, in the books, guards what the parts share; a channel has its own.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar, get_args

from imgpool.pool.announcer import Announcer
from imgpool.pool.books import Books
from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.crew import Crew
from imgpool.pool.door import Door, JobSlot, Policy
from imgpool.pool.events import DrainReport, Event, Job, Result
from imgpool.pool.lane import Lane, join
from imgpool.pool.statistics import PoolStatistics, WorkerState
from imgpool.pool.weighed import WeighedChannel

P = TypeVar("P")
R = TypeVar("R")


class WorkerPool(Generic[P, R]):
    """A fixed number of named threads that run `handler(context, payload)` for each submitted job.

    Every job that is not refused yields exactly one `Result` on `results`, so somebody must collect: when
    the results channel is full, workers wait, then the jobs channel fills, then submitters wait. `policy`
    says what `submit` does when the jobs channel is full:

    - "block": wait for a place, for `timeout_s` at most;
    - "refuse": raise `PoolFull` at once;
    - "caller_runs": run the job in the submitting thread;
    - "drop_oldest": drop the oldest queued job, which still yields a result, with the outcome "dropped".

    The last two first reserve a place in the results channel (waiting for `timeout_s` at most), so that
    nothing is run or dropped whose result would have no room. `job_timeout_s` is each job's deadline, seen
    through its context.

    With a `weight_limit`, jobs may have a weight, and the weight of those that run never exceeds it: a job that does
    not fit now stays in the jobs channel, those without a weight go past, and those with one keep their order.
    It needs a jobs channel with places, and goes with every policy but "caller_runs".

    `observer` is called for each event, from many threads at once and in the thread that caused it: it must
    be quick and thread-safe. When it raises, that is counted, logged once, and otherwise ignored.

    Threads are daemons: a thread cannot be killed, and a handler that is stuck must not keep the process
    alive. `drain` and `abort` join them, and leaving the `with` block does one of these.
    """

    def __init__(
        self,
        handler: Callable[[Context, P], R],
        workers: int,
        *,
        jobs_capacity: int,
        results_capacity: int,
        policy: Policy = "block",
        job_timeout_s: float | None = None,
        weight_limit: int | None = None,
        name: str = "pool",
        observer: Callable[[Event], None] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, allowed is 1 or more")
        if policy not in get_args(Policy):
            raise ValueError(f"policy is {policy!r}, allowed is one of {', '.join(get_args(Policy))}")
        if policy in ("caller_runs", "drop_oldest") and results_capacity < 1:
            raise ValueError(f"results_capacity is 0; policy {policy} reserves a place there, allowed is 1 or more")
        if policy == "caller_runs" and weight_limit is not None:
            raise ValueError("policy caller_runs takes no weight_limit: whoever runs its own job waits for nothing")
        self.name = name
        self.results: Channel[Result[P, R]] = self._make_channel(results_capacity, f"{name}-results")
        self._jobs: Channel[Job[P]] = (
            self._make_channel(jobs_capacity, f"{name}-jobs")
            if weight_limit is None
            else WeighedChannel(jobs_capacity, f"{name}-jobs", weight_limit=weight_limit)
        )
        self._books: Books[P] = Books(name, workers, self._make_thread)
        announcer = None if observer is None else Announcer(name, observer, self._books)
        self._crew = Crew(handler, job_timeout_s, self._jobs, self.results, self._books, announcer)
        self._door = Door(name, policy, self._jobs, self.results, self._books, self._crew, announcer)

    # What a pool is made of; a team's pool (see `imgpool.pool.team.pool`) takes other channels and threads. They must
    # not lead back to the pool, which could not be thrown away otherwise.
    _make_thread: Callable[..., threading.Thread] = threading.Thread

    def _make_channel(self, capacity: int, name: str) -> Channel[Any]:
        return Channel(capacity, name)

    # -- the life of the pool ----------------------------------------------------------------------

    def start(self) -> WorkerPool[P, R]:
        """Start the workers. Call it in the process that does the work: threads do not survive a fork."""
        self._books.open()
        try:
            self._books.grow(self._crew.work)
        except BaseException:  # the system gives no more threads: leave none behind
            self.abort("could not start its workers")
            raise
        return self

    def __enter__(self) -> WorkerPool[P, R]:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort(f"left by {kind.__name__}")
            return
        try:
            self.drain()
        except BaseException as interruption:  # Ctrl-C while draining
            self.abort(f"drain ended by {type(interruption).__name__}")
            raise

    def resize(self, workers: int) -> None:
        """Have `workers` workers from now on. Does not wait.

        Growing starts threads at once. Shrinking lets go of idle workers, then of whichever finish their
        current job first, so that the number of running jobs falls as soon as it can. Raises `PoolClosed`
        once the pool is ending.
        """
        if workers < 1:
            raise ValueError(f"workers is {workers}, allowed is 1 or more")
        self._books.resize(workers, self._crew.work)

    def set_jobs_capacity(self, capacity: int) -> None:
        """Change the places of the jobs channel, as `Channel.set_capacity` does: nothing that is held is lost."""
        self._jobs.set_capacity(capacity)

    def set_weight_limit(self, weight_limit: int) -> None:
        """Change the `weight_limit`. Raises `ValueError` for a pool that was made without one."""
        if not isinstance(self._jobs, WeighedChannel):
            raise ValueError(f"{self.name} was made without a weight_limit")
        self._jobs.set_weight_limit(weight_limit)

    def pause(self) -> None:
        """Take no new jobs. When it returns no worker takes one; jobs already taken run on.

        Jobs are still admitted, as long as there are places.

        Raises `PoolClosed` once the pool is ending.
        """
        self._books.pause()

    def resume(self) -> None:
        """Take jobs again. Does nothing if the pool is not paused."""
        self._books.resume()

    def drain(self, timeout_s: float | None = None) -> DrainReport[P]:
        """Finish what was admitted, then end: block until that is done, `timeout_s` at most. May be called
        again.

        In this order, with one deadline for all: admit nothing (blocked submitters get `PoolClosed`; a
        pause is lifted); wait for held slots, queued jobs and running handlers; join the workers; close
        `results`. Someone must go on collecting meanwhile: with `results` full the workers wait, and only
        the deadline ends that.

        At the deadline the pool is aborted with the reason "drain deadline", without waiting for its
        handlers, and the report says which jobs were unfinished. A `JobSlot` still held then is worth
        nothing any more.
        """
        began = time.monotonic()  # before the time limit, which no drain that waited for it then fell short of
        limit = Context(timeout_s=timeout_s)
        lanes = self._books.stop_admitting()
        self._jobs.close()
        finished = join(lanes, limit)
        if not finished:
            self._cancel_everything("drain deadline")
            # Only handlers can be slow. All other workers end now, and the last job one of them took is
            # accounted for.
            join([lane for lane in lanes if lane.job is None], Context(timeout_s=1.0))
        self.results.close()
        unfinished = self._books.unfinished()
        return DrainReport(finished and not unfinished, unfinished, time.monotonic() - began)

    def abort(self, reason: str = "aborted", timeout_s: float | None = 1.0) -> None:
        """End without finishing; block until running handlers have ended, `timeout_s` at most. Idempotent.

        Running jobs' contexts are cancelled with `reason`; queued jobs become results with the outcome
        "cancelled". To hold all these the results channel is widened by one place for each job left (which
        is bounded by the jobs channel and the workers): nothing waits and nothing is lost, whether or not
        somebody collects. Then `results` is closed. The result of a handler that ends later is counted, but
        `undelivered`.
        """
        limit = Context(timeout_s=timeout_s)
        lanes = self._cancel_everything(reason)
        others = [lane for lane in lanes if lane.thread is not threading.current_thread()]
        join(others, limit)
        if others == lanes:  # else a handler called this, and the last one out closes, after its result
            self.results.close()

    def _cancel_everything(self, reason: str) -> list[Lane[P]]:
        """Admit nothing, cancel running and queued jobs; return the lanes that have yet to end."""
        lanes, owed = self._books.abort()
        if owed is None:
            return lanes
        self._jobs.close()
        self.results.set_capacity(self.results.capacity + owed + 1)  # + 1: of a rendezvous, a channel with places
        self._books.root.cancel(reason)
        if isinstance(self._jobs, WeighedChannel):
            self._jobs.lift_limit()
        self._crew.cancel_queued()
        self._books.swept()
        return lanes

    def __del__(self) -> None:
        """Warn of a pool that was forgotten while open, and end it: its threads would wait for jobs for ever."""
        books: Books[P] | None = getattr(self, "_books", None)  # None: the constructor refused its arguments
        # Read without a lock, and ended in a thread of its own: garbage may be collected in any thread, at any moment,
        # also while that thread holds a lock of ours.
        if books is None or books.state != "open" or sys.is_finalizing():
            return
        try:
            warnings.warn(f"{self.name} was thrown away open: {books.forgotten()}", ResourceWarning, 2, self)
        finally:
            end = threading.Thread(target=self.abort, args=("thrown away open",), name=f"{self.name}-end", daemon=True)
            end.start()

    # -- submitting --------------------------------------------------------------------------------

    def submit(
        self, payload: P, timeout_s: float | None = None, ctx: Context | None = None, *, weight: int = 0
    ) -> Job[P]:
        """Admit a job; when the jobs channel is full, do what the policy says (see the class).

        Raises `PoolFull`, `SubmitTimeout`, `PoolClosed`, or `Cancelled`/`DeadlineExceeded` of `ctx`. Each
        of these counts as refused, and only then does the job yield no result.
        """
        return self._door.submit(payload, timeout_s, ctx, weight)

    def try_submit(self, payload: P, *, weight: int = 0) -> Job[P]:
        """Admit a job without waiting, or raise `PoolFull` or `PoolClosed`.

        Under "drop_oldest" it may drop a job, if the results channel has a place now. It never runs the job
        itself.
        """
        return self._door.try_submit(payload, weight)

    def reserve(self, timeout_s: float | None = None, ctx: Context | None = None) -> JobSlot[P]:
        """Be admitted before the payload exists: wait for a place in the jobs channel, whatever the policy.

        Raises `SubmitTimeout`, `PoolClosed`, or `Cancelled`/`DeadlineExceeded` of `ctx` (counted as
        submitted and refused), and `ValueError` if the jobs channel is a rendezvous.
        """
        return self._door.reserve(timeout_s, ctx)

    def try_reserve(self) -> JobSlot[P]:
        """As `reserve`, but without waiting: raise `PoolFull` or `PoolClosed`."""
        return self._door.try_reserve()

    # -- looking -----------------------------------------------------------------------------------

    def statistics(self) -> PoolStatistics:
        """Return one snapshot, in which every submitted job is counted exactly once."""
        return self._books.statistics(self._jobs, self.results)

    def workers_now(self) -> tuple[WorkerState, ...]:
        """Return what each worker does now, in the order of their start."""
        return self._books.workers_now()
