"""A team: threads that work together over channels of their own, and are told when they wait for each other for ever.

    with Team() as team:
        jobs, results = team.channel(2, "jobs"), team.channel(2, "results")
        team.start(worker, jobs, results)
        ...

As Go says "all goroutines are asleep - deadlock!", a team raises `DeadlockError`, which says who waits for what,
and which mistake that is.

Owns its threads: leaving the block waits for every one of them. For lessons, experiments and tests; the service does
without, since it cannot name everybody who may come and help.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.errors import DeadlockError
from imgpool.pool.pool import WorkerPool
from imgpool.pool.team.channel import TeamChannel
from imgpool.pool.team.pool import TeamPool
from imgpool.pool.team.roster import Member, Roster, TeamThread

P = TypeVar("P")
R = TypeVar("R")


class Team:
    """A context manager, used once. The thread that enters it is the first member; only members call its methods."""

    channel_type: type[TeamChannel[Any]] = TeamChannel  # a subclass may want to see what happens on its channels

    def __init__(self) -> None:
        self._roster = Roster()
        self._first: Member | None = None
        self._threads: list[TeamThread] = []
        self._numbers: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
        self._channels: list[Channel[Any]] = []
        self._pools: list[WorkerPool[Any, Any]] = []

    def channel(self, capacity: int, name: str = "channel") -> Channel[Any]:
        """Return a channel for this team; `capacity` 0 is a rendezvous."""
        self._roster.me()
        channel: Channel[Any] = self.channel_type(self._roster, capacity, name)
        self._channels.append(channel)
        return channel

    def pool(self, handler: Callable[[Context, P], R], workers: int, **options: Any) -> WorkerPool[P, R]:
        """Return a pool whose workers are members; takes what `WorkerPool` takes. Started and ended like any pool."""
        self._roster.me()
        pool: TeamPool[P, R] = TeamPool(self._roster, handler, workers, **options)
        self._pools.append(pool)
        return pool

    def start(self, target: Callable[..., object], *args: Any, name: str | None = None) -> threading.Thread:
        """Run `target(*args)` in a new thread, named like it ("worker 1", "worker 2") unless `name` is given.

        What it raises ends it, and is raised where the team's block ends.
        """
        if name is None:
            kind = getattr(target, "__name__", "thread")
            name = f"{kind} {next(self._numbers[kind])}"
        thread = self._roster.thread(target, args, name)
        self._threads.append(thread)  # before it runs: it may join the others, or bring in more
        thread.start()
        return thread

    def join(self) -> None:
        """Block until all threads of `start` have ended. Raises `DeadlockError` if they never will."""
        self._roster.wait_for_end(self._roster.members_of(self._threads))

    def __enter__(self) -> Team:
        if self._first is not None:
            raise RuntimeError("this team was entered before: a team is used once")
        name = threading.current_thread().name
        self._first = self._roster.enter("main" if name == "MainThread" else name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all members to end; raise what the first of them died of, or the deadlock.

        Left by an exception, it first aborts its pools and closes its channels, so that nobody goes on waiting there.
        """
        assert self._first is not None  # noqa: S101 - entered
        try:
            if kind is None and not self._roster.deadlocked:  # one that was caught need not be told again
                for pool in self._pools:
                    pool.resume()  # nobody is left to do it
                self._roster.wait_for_end()
        finally:
            try:
                self._release()
            finally:
                self._roster.leave(self._first)
        if kind is None and self._roster.errors:
            raise self._roster.errors[0][1]

    def _release(self) -> None:
        for pool in self._pools:
            pool.abort("its team has ended")
        for channel in self._channels:
            channel.close()
        with contextlib.suppress(DeadlockError):  # there is a reason already why the team ends
            self._roster.wait_for_end()
        self._roster.wait_for_release()
        for thread in self._threads:
            if thread.ident is not None:  # None: it could not be started
                thread.join()  # it is past its last statement
