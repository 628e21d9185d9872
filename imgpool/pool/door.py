"""The door of a pool: who is admitted, who waits, who is refused, and why.

Owns the policy and the jobs' numbers. Everybody who asks is booked, and whoever is not admitted learns of
it by one of the pool's own errors. Holds no lock while it waits, and never runs a job itself: for
"caller_runs" it asks the crew.
"""

from __future__ import annotations

import itertools
import time
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, TypeVar

from imgpool.pool.announcer import Announcer
from imgpool.pool.books import Books
from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.crew import Crew
from imgpool.pool.errors import (
    ChannelClosed,
    ChannelFull,
    ChannelTimeout,
    ContextDone,
    PoolClosed,
    PoolFull,
    SlotUsed,
    SubmitTimeout,
)
from imgpool.pool.events import Job, Result, never_ran
from imgpool.pool.slot import Slot

P = TypeVar("P")

Policy = Literal["block", "refuse", "caller_runs", "drop_oldest"]


class Door(Generic[P]):
    """Admission to one pool. Its methods' contracts are those of the `WorkerPool` methods of the same names."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        jobs: Channel[Job[P]],
        results: Channel[Result[P, Any]],
        books: Books[P],
        crew: Crew[P, Any],
        announcer: Announcer | None,
    ) -> None:
        self._name = name
        self._policy = policy
        self._jobs = jobs
        self._results = results
        self._books = books
        self._crew = crew
        self._announcer = announcer
        self._numbers = itertools.count(1)

    def submit(self, payload: P, timeout_s: float | None, ctx: Context | None, weight: int) -> Job[P]:
        """Admit a job; when the jobs channel is full, do what the policy says."""
        job = self.enter(payload, weight)
        room: Slot[Result[P, Any]] | None = None
        try:
            if self._policy == "block":
                self._jobs.send(job, timeout_s, ctx)
            elif self._policy == "refuse":
                self._jobs.try_send(job)
            else:
                room = self._send_or_get_room(job, timeout_s, ctx)
        except BaseException as error:
            self._refuse(job, error)
        if room is not None and not self._crew.run_here(job, room):
            self._refuse(job, ChannelClosed())
        return job

    def try_submit(self, payload: P, weight: int) -> Job[P]:
        """Admit a job without waiting."""
        job = self.enter(payload, weight)
        try:
            try:
                self._jobs.try_send(job)
            except ChannelFull:
                if self._policy != "drop_oldest":
                    raise
                with self._results.try_reserve() as room:
                    self.drop_oldest_for(job, room)
        except BaseException as error:
            self._refuse(job, error)
        return job

    def reserve(self, timeout_s: float | None, ctx: Context | None) -> JobSlot[P]:
        """Wait for a place in the jobs channel."""
        try:
            self._check_open()
            return JobSlot(self, self._jobs.reserve(timeout_s, ctx))
        except (ChannelClosed, ChannelTimeout, ContextDone) as error:
            self._refuse(None, error)

    def try_reserve(self) -> JobSlot[P]:
        """Take a place in the jobs channel, if there is one now."""
        try:
            self._check_open()
            return JobSlot(self, self._jobs.try_reserve())
        except (ChannelClosed, ChannelFull) as error:
            self._refuse(None, error)

    def send_into(self, slot: Slot[Job[P]], payload: P, weight: int) -> Job[P]:
        """Send a job into a held slot (see `JobSlot.send`)."""
        if slot.used:
            raise SlotUsed(f"{self._name}: this slot was sent or given back before")
        job = self._new_job(payload, weight)
        state = self._books.enter()
        if self._announcer is not None:
            self._announcer.tell("submitted", job)
        if state == "aborted":
            slot.release()
            self._refuse(job, ChannelClosed())
        try:
            slot.send(job)
        except SlotUsed as error:  # two threads sent it at once
            self._refuse(job, error)
        if self._books.state == "aborted":  # meanwhile: `abort` may have looked into the channel just before
            self._crew.cancel_queued()
        return job

    def enter(self, payload: P, weight: int = 0) -> Job[P]:
        """Let a job in as far as the jobs channel, or refuse it because the pool is not open."""
        job = self._new_job(payload, weight)
        # Counted before it is sent: a worker may have finished it before `send` returns.
        state = self._books.enter()
        if self._announcer is not None:
            self._announcer.tell("submitted", job)
        if state != "open":
            self._refuse(job, ChannelClosed())
        return job

    def drop_oldest_for(self, job: Job[P], room: Slot[Result[P, Any]]) -> None:
        """Send a job, without a place instead of the oldest queued one, whose result goes into `room`."""
        oldest = self._jobs.try_send_dropping(job)
        if oldest is None:
            return
        self._books.drop()
        if self._announcer is not None:
            self._announcer.tell("dropped", oldest)
        room.send(never_ran(oldest, "dropped", PoolFull("dropped to make room for a newer job")))

    def _send_or_get_room(
        self, job: Job[P], timeout_s: float | None, ctx: Context | None
    ) -> Slot[Result[P, Any]] | None:
        """Send the job, dropping another if need be; or return room for the result of running it here."""
        try:
            self._jobs.try_send(job)
            return None
        except ChannelFull:
            pass
        limit = time.monotonic() + timeout_s if timeout_s is not None else None
        room = self._results.reserve(timeout_s, ctx)
        if self._policy == "caller_runs":
            return room
        with room:
            try:
                self.drop_oldest_for(job, room)
                return None
            except ChannelFull:
                pass  # slots hold every place: there is nothing to drop, and one can only wait
        self._jobs.send(job, None if limit is None else limit - time.monotonic(), ctx)
        return None

    def _new_job(self, payload: P, weight: int) -> Job[P]:
        if weight < 0:
            raise ValueError(f"weight is {weight}, allowed is 0 or more")
        return Job(next(self._numbers), payload, time.monotonic(), weight)

    def _check_open(self) -> None:
        if self._books.state != "open":
            raise ChannelClosed

    def _refuse(self, job: Job[P] | None, error: BaseException) -> NoReturn:
        """Count a job, or the wish for a slot (None), as refused; raise what its submitter is to see."""
        state = self._books.refuse(entered=job is not None)
        refusal = error
        if isinstance(error, ChannelClosed):
            refusal = PoolClosed(f"{self._name} is {'not started' if state == 'new' else state}")
        elif isinstance(error, ChannelFull):
            refusal = PoolFull(f"{self._name} is full")
        elif isinstance(error, ChannelTimeout):
            refusal = SubmitTimeout(f"{self._name}: no place became free in time")
        if self._announcer is not None:
            self._announcer.tell("refused", job, reason=type(refusal).__name__)
        raise refusal from None


class JobSlot(Generic[P]):
    """A place in a pool's jobs channel, held for a job whose payload does not exist yet. Made by `reserve`.

    Send it or give it back, once, from any thread; as a context manager it gives back what was not sent.
    """

    __slots__ = ("_door", "_slot")

    def __init__(self, door: Door[P], slot: Slot[Job[P]]) -> None:
        self._door = door
        self._slot = slot

    def send(self, payload: P, *, weight: int = 0) -> Job[P]:
        """Put the job into the held place: never blocks, never refused, not even while the pool drains.

        Raises `PoolClosed` if the pool was aborted meanwhile, `SlotUsed` if the slot was sent or given back
        before.
        """
        return self._door.send_into(self._slot, payload, weight)

    def release(self) -> None:
        """Give the place back. Idempotent, and does nothing after `send`."""
        self._slot.release()

    def __enter__(self) -> JobSlot[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
