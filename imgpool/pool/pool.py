"""A worker pool: a jobs channel, N threads that run a handler, a results channel.

        submit ──> jobs channel ──> worker threads ──> results channel ──> whoever collects

Owns its threads, both channels, and the count of what became of every job. Knows nothing of what a job is.

One lock guards the ledger, the lanes and the state. It is held for a few assignments, never while a
handler, an observer or a blocking call runs. Lock order: the pool's, then a channel's; a context's
callbacks run under neither.

A handler that returns, raises (even SystemExit) or overruns costs its job, never its worker. What no pool
of threads can do is to stop a handler that does not look at its context: that one occupies its worker until
it returns.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, TypeVar, get_args

from imgpool.pool.channel import Channel, Slot
from imgpool.pool.context import Context, shortest
from imgpool.pool.errors import (
    Cancelled,
    ChannelClosed,
    ChannelEmpty,
    ChannelFull,
    ChannelTimeout,
    ContextDone,
    PoolClosed,
    PoolFull,
    SlotUsed,
    SubmitTimeout,
)
from imgpool.pool.events import DrainReport, Event, EventKind, Job, Outcome, Result
from imgpool.pool.statistics import Ledger, PoolStatistics, WorkerState

P = TypeVar("P")
R = TypeVar("R")

Policy = Literal["block", "refuse", "caller_runs", "drop_oldest"]

_log = logging.getLogger(__name__)


class _Lane(Generic[P]):
    """One worker, or one caller that runs its own job. Written under the pool's lock.

    Only `job` is also cleared without it, by its own thread: one assignment, which readers see before or
    after.
    """

    __slots__ = ("ended", "intake", "is_worker", "job", "name", "retired", "started", "thread")

    def __init__(self, name: str, *, is_worker: bool) -> None:
        self.name = name
        self.thread = threading.current_thread()
        self.is_worker = is_worker  # a caller's thread is not ours to join
        self.intake: Context | None = None  # permission to take jobs; pause and shrinking cancel it
        self.retired = False  # about to end; no longer counted as a worker
        self.job: Job[P] | None = None  # in hand: from the start of the handler until the result is delivered
        self.started = 0.0
        self.ended = threading.Event()


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
        name: str = "pool",
        observer: Callable[[Event], None] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, allowed is 1 or more")
        if policy not in get_args(Policy):
            raise ValueError(f"policy is {policy!r}, allowed is one of {', '.join(get_args(Policy))}")
        if policy in ("caller_runs", "drop_oldest") and results_capacity < 1:
            raise ValueError(f"results_capacity is 0; policy {policy} reserves a place there, allowed is 1 or more")
        self.name = name
        self.results: Channel[Result[P, R]] = Channel(results_capacity, f"{name}-results")
        self._jobs: Channel[Job[P]] = Channel(jobs_capacity, f"{name}-jobs")
        self._handler = handler
        self._policy = policy
        self._job_timeout_s = job_timeout_s
        self._observer = observer
        self._job_numbers = itertools.count(1)
        self._lane_numbers = itertools.count(1)
        self._root = Context()  # parent of every job's context and every intake; cancelled by abort alone
        self._lock = threading.Lock()
        self._resumed = threading.Condition(self._lock)
        self._ledger = Ledger()
        self._state: Literal["new", "open", "draining", "aborted"] = "new"
        self._size = workers
        self._paused = False
        self._workers: list[_Lane[P]] = []
        self._callers: list[_Lane[P]] = []
        self._swept = False  # an abort has cancelled all that was queued
        self._abandoned: list[Job[P]] = []  # jobs that were unfinished when the pool was aborted

    # -- the life of the pool ----------------------------------------------------------------------

    def start(self) -> WorkerPool[P, R]:
        """Start the workers. Call it in the process that does the work: threads do not survive a fork."""
        with self._lock:
            if self._state != "new":
                raise RuntimeError(f"{self.name} was started before: a pool is started once")
            self._state = "open"
        try:
            with self._lock:
                self._grow()
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
        with self._lock:
            self._check_not_ending()
            self._size = workers
            if self._state == "open":
                self._grow()
            lanes = list(self._workers) if self._surplus() else []
            self._resumed.notify_all()  # a worker that is to leave may be waiting for the end of a pause
        _cancel_intakes(lanes, "resized")

    def pause(self) -> None:
        """Take no new jobs. When it returns no worker takes one; jobs already taken run on.

        Jobs are still admitted, as long as there are places.

        Raises `PoolClosed` once the pool is ending.
        """
        with self._lock:
            self._check_not_ending()
            self._paused = True
            lanes = list(self._workers)
        _cancel_intakes(lanes, "paused")

    def resume(self) -> None:
        """Take jobs again. Does nothing if the pool is not paused."""
        with self._lock:
            self._paused = False
            self._resumed.notify_all()

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
        limit = Context(timeout_s=timeout_s)
        began = time.monotonic()
        with self._lock:
            if any(lane.thread is threading.current_thread() for lane in self._workers + self._callers):
                raise RuntimeError(f"drain() of {self.name} in one of its own handlers would wait for itself")
        lanes = self._stop_admitting()
        finished = _join(lanes, limit)
        if not finished:
            self._cancel_everything("drain deadline")
            # Only handlers can be slow. All other workers end now, and the last job one of them took is
            # accounted for.
            _join([lane for lane in lanes if lane.job is None], Context(timeout_s=1.0))
        self.results.close()
        with self._lock:
            unfinished = tuple(sorted(self._abandoned, key=lambda job: job.number))
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
        _join(others, limit)
        if others == lanes:  # else a handler called this, and the last one out closes, after its result
            self.results.close()

    # -- submitting --------------------------------------------------------------------------------

    def submit(self, payload: P, timeout_s: float | None = None, ctx: Context | None = None) -> Job[P]:
        """Admit a job; when the jobs channel is full, do what the policy says (see the class).

        Raises `PoolFull`, `SubmitTimeout`, `PoolClosed`, or `Cancelled`/`DeadlineExceeded` of `ctx`. Each
        of these counts as refused, and only then does the job yield no result.
        """
        job = self._enter(payload)
        room: Slot[Result[P, R]] | None = None
        try:
            if self._policy == "block":
                self._jobs.send(job, timeout_s, ctx)
            elif self._policy == "refuse":
                self._jobs.try_send(job)
            else:
                room = self._send_or_get_room(job, timeout_s, ctx)
        except BaseException as error:
            self._refuse(job, error)
        if room is not None:
            self._run_here(job, room)
        return job

    def try_submit(self, payload: P) -> Job[P]:
        """Admit a job without waiting, or raise `PoolFull` or `PoolClosed`.

        Under "drop_oldest" it may drop a job, if the results channel has a place now. It never runs the job
        itself.
        """
        job = self._enter(payload)
        try:
            try:
                self._jobs.try_send(job)
            except ChannelFull:
                if self._policy != "drop_oldest":
                    raise
                with self.results.try_reserve() as room:
                    self._drop_oldest_for(job, room)
        except BaseException as error:
            self._refuse(job, error)
        return job

    def reserve(self, timeout_s: float | None = None, ctx: Context | None = None) -> JobSlot[P]:
        """Be admitted before the payload exists: wait for a place in the jobs channel, whatever the policy.

        Raises `SubmitTimeout`, `PoolClosed`, or `Cancelled`/`DeadlineExceeded` of `ctx` (counted as
        submitted and refused), and `ValueError` if the jobs channel is a rendezvous.
        """
        try:
            self._check_open()
            return JobSlot(self, self._jobs.reserve(timeout_s, ctx))
        except (ChannelClosed, ChannelTimeout, ContextDone) as error:
            self._refuse(None, error)

    def try_reserve(self) -> JobSlot[P]:
        """As `reserve`, but without waiting: raise `PoolFull` or `PoolClosed`."""
        try:
            self._check_open()
            return JobSlot(self, self._jobs.try_reserve())
        except (ChannelClosed, ChannelFull) as error:
            self._refuse(None, error)

    # -- looking -----------------------------------------------------------------------------------

    def statistics(self) -> PoolStatistics:
        """Return one snapshot, in which every submitted job is counted exactly once."""
        with self._lock:
            return PoolStatistics(
                workers=self._size,
                busy=sum(lane.job is not None for lane in self._workers),
                paused=self._paused,
                accepting=self._state == "open",
                jobs=self._jobs.statistics(),
                results=self.results.statistics(),
                **asdict(self._ledger),
            )

    def workers_now(self) -> tuple[WorkerState, ...]:
        """Return what each worker does now, in the order of their start."""
        with self._lock:
            lanes = [(lane.name, lane.job, lane.started) for lane in self._workers]
        return tuple(
            WorkerState(name, None, None) if job is None else WorkerState(name, job.payload, started)
            for name, job, started in lanes
        )

    # -- the door ----------------------------------------------------------------------------------

    def _enter(self, payload: P) -> Job[P]:
        """Count a job in, before it is sent: a worker may have finished it before `send` returns."""
        job = Job(next(self._job_numbers), payload, time.monotonic())
        with self._lock:
            self._ledger.submitted += 1
            self._ledger.queued += 1
            is_open = self._state == "open"
        if self._observer is not None:
            self._tell("submitted", job)
        if not is_open:
            self._refuse(job, ChannelClosed())
        return job

    def _refuse(self, job: Job[P] | None, error: BaseException) -> NoReturn:
        """Count a job, or the wish for a slot (None), as refused; raise what its submitter is to see."""
        with self._lock:
            if job is None:
                self._ledger.submitted += 1
            else:
                self._ledger.queued -= 1
            self._ledger.refused += 1
            state = self._state
        refusal = error
        if isinstance(error, ChannelClosed):
            refusal = PoolClosed(f"{self.name} is {'not started' if state == 'new' else state}")
        elif isinstance(error, ChannelFull):
            refusal = PoolFull(f"{self.name} is full")
        elif isinstance(error, ChannelTimeout):
            refusal = SubmitTimeout(f"{self.name}: no place became free in time")
        if self._observer is not None:
            self._tell("refused", job, reason=type(refusal).__name__)
        raise refusal from None

    def _send_or_get_room(self, job: Job[P], timeout_s: float | None, ctx: Context | None) -> Slot[Result[P, R]] | None:
        """Send the job, dropping another if need be; or return room for the result of running it here."""
        try:
            self._jobs.try_send(job)
            return None
        except ChannelFull:
            pass
        limit = time.monotonic() + timeout_s if timeout_s is not None else None
        room = self.results.reserve(timeout_s, ctx)
        if self._policy == "caller_runs":
            return room
        with room:
            try:
                self._drop_oldest_for(job, room)
                return None
            except ChannelFull:
                pass  # slots hold every place: there is nothing to drop, and one can only wait
        self._jobs.send(job, None if limit is None else limit - time.monotonic(), ctx)
        return None

    def _drop_oldest_for(self, job: Job[P], room: Slot[Result[P, R]]) -> None:
        oldest = self._jobs.try_send_dropping(job)
        if oldest is None:
            return
        with self._lock:
            self._ledger.queued -= 1
            self._ledger.dropped += 1
        if self._observer is not None:
            self._tell("dropped", oldest)
        room.send(_never_ran(oldest, "dropped", PoolFull("dropped to make room for a newer job")))

    def _run_here(self, job: Job[P], room: Slot[Result[P, R]]) -> None:
        """Run a job in the thread that submitted it."""
        lane: _Lane[P] = _Lane(threading.current_thread().name, is_worker=False)
        with room:
            with self._lock:
                admitted = self._state == "open"
                if admitted:
                    self._callers.append(lane)
                    self._begin(lane, job)
            if not admitted:
                self._refuse(job, ChannelClosed())
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

    def _send_into(self, slot: Slot[Job[P]], payload: P) -> Job[P]:
        """Send a job into a held slot (see `JobSlot.send`)."""
        if slot.used:
            raise SlotUsed(f"{self.name}: this slot was sent or given back before")
        job = Job(next(self._job_numbers), payload, time.monotonic())
        with self._lock:
            self._ledger.submitted += 1
            self._ledger.queued += 1
            aborted = self._state == "aborted"
        if self._observer is not None:
            self._tell("submitted", job)
        if aborted:
            slot.release()
            self._refuse(job, ChannelClosed())
        try:
            slot.send(job)
        except SlotUsed as error:  # two threads sent it at once
            self._refuse(job, error)
        if self._state == "aborted":  # meanwhile: `abort` may have looked into the channel just before
            self._cancel_queued()
        return job

    # -- the workers -------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Have as many workers as the size says. The lock is held: a new thread needs it only once it runs."""
        for _ in range(-self._surplus()):
            name = f"{self.name}-worker-{next(self._lane_numbers)}"
            lane: _Lane[P] = _Lane(name, is_worker=True)
            lane.thread = threading.Thread(target=self._work, args=(lane,), name=name, daemon=True)
            lane.thread.start()
            self._workers.append(lane)

    def _work(self, lane: _Lane[P]) -> None:
        """What a worker thread does: take a job, run it, deliver its result, until told to end."""
        if self._observer is not None:
            self._tell("worker_started", worker=lane.name)
        while self._may_take(lane):
            try:
                while True:
                    job = self._jobs.receive(ctx=lane.intake)
                    self._run(lane, job)
                    del job  # while this thread waits for the next one, it keeps nothing of the last in memory
            except ContextDone:
                continue  # paused, resized or aborted: `_may_take` knows
            except ChannelClosed:
                break
        if self._observer is not None:
            self._tell("worker_stopped", worker=lane.name)
        self._leave(lane)

    def _surplus(self) -> int:
        """How many more workers there are than the size says. The lock is held."""
        return sum(not lane.retired for lane in self._workers) - self._size

    def _may_take(self, lane: _Lane[P]) -> bool:
        """Wait for the end of a pause; then give the lane a new intake, or return False if it is to end."""
        with self._lock:
            while self._paused and self._surplus() <= 0 and self._state != "aborted":
                self._resumed.wait()
            # Whoever comes here first while there are too many leaves; nobody is chosen beforehand, because
            # a chosen one may be in a long job while the others go on taking new ones.
            lane.retired = self._state == "aborted" or self._surplus() > 0
            if lane.retired:
                return False
            lane.intake = self._root.child()
            return True

    def _run(self, lane: _Lane[P], job: Job[P]) -> None:
        with self._lock:
            aborted = self._state == "aborted"
            if not aborted:
                self._begin(lane, job)
        if aborted:  # taken just before: `abort` did not find it in the channel
            self._cancel_job(job)
            return
        result = self._perform(lane, job)
        try:
            self.results.send(result)
        except ChannelClosed:
            with self._lock:
                self._ledger.undelivered += 1
        del result  # see the end of `_perform`
        lane.job = None

    def _begin(self, lane: _Lane[P], job: Job[P]) -> None:
        """Book a job from queued to running. The lock is held."""
        self._ledger.queued -= 1
        self._ledger.running += 1
        lane.started = time.monotonic()
        lane.job = job

    def _perform(self, lane: _Lane[P], job: Job[P]) -> Result[P, R]:
        """Run the handler, and book the job from running to its outcome. Raises nothing."""
        if self._observer is not None:
            self._tell("started", job, lane.name)
        value: R | None = None
        error: BaseException | None = None
        outcome: Outcome = "succeeded"
        ctx = self._root.child(self._job_timeout_s)
        began = time.monotonic()
        try:
            value = self._handler(ctx, job.payload)
        except BaseException as caught:
            # Without its first entry, which is this line: the traceback begins in the handler.
            error = caught.with_traceback(caught.__traceback__ and caught.__traceback__.tb_next)
            outcome = "cancelled" if isinstance(caught, Cancelled) and self._root.done else "failed"
        ran_s = time.monotonic() - began
        ctx.close()
        with self._lock:
            ledger = self._ledger
            ledger.running -= 1
            if outcome == "succeeded":
                ledger.succeeded += 1
            elif outcome == "failed":
                ledger.failed += 1
            else:
                ledger.cancelled += 1
        if self._observer is not None:
            self._tell("finished", job, lane.name, outcome=outcome)
        try:
            return Result(job, outcome, value, error, lane.started - job.submitted_at, ran_s, lane.name)
        finally:
            # The error's traceback leads back to this frame (and to the caller's, which lets go of the
            # result). Held here it would be a cycle, and keep the handler's variables until the next
            # garbage collection.
            del error, value

    def _leave(self, lane: _Lane[P]) -> None:
        """A lane's last act. The last one out closes the results."""
        with self._lock:
            (self._workers if lane.is_worker else self._callers).remove(lane)
            # While an abort still cancels queued jobs, results are to come even though no lane is left.
            ending = self._state == "draining" or (self._state == "aborted" and self._swept)
            last = ending and not self._workers and not self._callers
        if lane.intake is not None:
            lane.intake.close()
        if last:
            self.results.close()
        lane.ended.set()

    # -- the end -----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._state != "open":
            raise ChannelClosed

    def _check_not_ending(self) -> None:
        if self._state not in ("new", "open"):
            raise PoolClosed(f"{self.name} is {self._state}")

    def _stop_admitting(self) -> list[_Lane[P]]:
        with self._lock:
            if self._state != "aborted":
                self._state = "draining"
            self._paused = False
            self._resumed.notify_all()
            lanes = self._workers + self._callers
        self._jobs.close()
        return lanes

    def _cancel_everything(self, reason: str) -> list[_Lane[P]]:
        """Admit nothing, cancel running and queued jobs; return the lanes that have yet to end."""
        with self._lock:
            lanes = self._workers + self._callers
            if self._state == "aborted":
                return lanes
            self._state = "aborted"
            self._paused = False
            self._resumed.notify_all()
            self._abandoned.extend(lane.job for lane in lanes if lane.job is not None)
            owed = self._ledger.queued + len(lanes)
        self._jobs.close()
        self.results.set_capacity(self.results.capacity + owed + 1)  # + 1: of a rendezvous, a channel with places
        self._root.cancel(reason)
        self._cancel_queued()
        self._swept = True
        return lanes

    def _cancel_queued(self) -> None:
        while True:
            try:
                job = self._jobs.try_receive()
            except (ChannelEmpty, ChannelClosed):
                return
            self._cancel_job(job)

    def _cancel_job(self, job: Job[P]) -> None:
        """Make a queued job a cancelled result. The pool is aborted, so there is room, or nobody to look."""
        with self._lock:
            self._ledger.queued -= 1
            self._ledger.cancelled += 1
            self._abandoned.append(job)
        if self._observer is not None:
            self._tell("finished", job, outcome="cancelled")
        try:
            self.results.try_send(_never_ran(job, "cancelled", Cancelled(self._root.reason or "aborted")))
        except (ChannelFull, ChannelClosed):
            with self._lock:
                self._ledger.undelivered += 1

    def _tell(
        self,
        kind: EventKind,
        job: Job[P] | None = None,
        worker: str | None = None,
        *,
        outcome: Outcome | None = None,
        reason: str | None = None,
    ) -> None:
        """Tell the observer. The lock is not held: an observer may ask the pool for its statistics."""
        observer = self._observer
        if observer is None:
            return
        try:
            observer(Event(kind, time.monotonic(), job, worker, outcome, reason))
        except (Exception, SystemExit):  # KeyboardInterrupt is for the submitter: this may be its thread
            with self._lock:
                self._ledger.observer_errors += 1
                first = self._ledger.observer_errors == 1
            if first:
                _log.warning("the observer of %s failed; further failures are only counted", self.name, exc_info=True)


class JobSlot(Generic[P]):
    """A place in a pool's jobs channel, held for a job whose payload does not exist yet. Made by `reserve`.

    Send it or give it back, once, from any thread; as a context manager it gives back what was not sent.
    """

    __slots__ = ("_pool", "_slot")

    def __init__(self, pool: WorkerPool[P, Any], slot: Slot[Job[P]]) -> None:
        self._pool = pool
        self._slot = slot

    def send(self, payload: P) -> Job[P]:
        """Put the job into the held place: never blocks, never refused, not even while the pool drains.

        Raises `PoolClosed` if the pool was aborted meanwhile, `SlotUsed` if the slot was sent or given back
        before.
        """
        return self._pool._send_into(self._slot, payload)

    def release(self) -> None:
        """Give the place back. Idempotent, and does nothing after `send`."""
        self._slot.release()

    def __enter__(self) -> JobSlot[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _never_ran(job: Job[P], outcome: Outcome, error: BaseException) -> Result[P, Any]:
    return Result(job, outcome, None, error, time.monotonic() - job.submitted_at, 0.0, None)


def _join(lanes: list[_Lane[P]], limit: Context) -> bool:
    """Wait until the lanes have ended, for as long as `limit` lasts; return whether they have."""
    for lane in lanes:
        if not lane.ended.wait(shortest(None, limit)):
            return False
        if lane.is_worker:
            lane.thread.join()  # it is past its last statement
    return True


def _cancel_intakes(lanes: list[_Lane[P]], reason: str) -> None:
    """Without the pool's lock: this wakes blocked workers through the channel's."""
    for lane in lanes:
        if lane.intake is not None:
            lane.intake.cancel(reason)
