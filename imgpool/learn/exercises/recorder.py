"""The recorder: what a program's teams, channels and pools really did. For the child process of a check only.

Owns subclasses of the pool's own classes that note each call, and puts them in their place in `imgpool.pool`, before
the program is loaded, for the rest of the process. They change nothing in what the calls do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import imgpool.pool
from imgpool.pool import Channel, Context, DeadlockError, Event, Team, WorkerPool
from imgpool.pool.team.channel import TeamChannel

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Note:
    """One call that ended well, except for "deadlock". Times are of time.monotonic(); `on` is the channel's name."""

    kind: Literal["send", "receive", "close", "channel", "team", "deadlock"]
    on: str
    thread: str
    began: float
    ended: float
    item: Any = None  # sent or received; of a channel, its capacity; of a team, how many threads it started


notes: list[Note] = []  # appended to by many threads, which a list can bear
events: list[Event] = []  # of all worker pools


def in_main_thread() -> bool:
    """Whether the thread that runs the checks, and with them the program's main(), calls."""
    return threading.current_thread() is threading.main_thread()


def _thread() -> str:
    return "main" if in_main_thread() else threading.current_thread().name


@contextmanager
def _noted(kind: Literal["send", "receive"], on: str, items: list[Any]) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    except DeadlockError as error:
        notes.append(Note("deadlock", on, _thread(), began, time.monotonic(), str(error)))
        raise
    notes.append(Note(kind, on, _thread(), began, time.monotonic(), items[0]))


class _Noting(Channel[T]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        now = time.monotonic()
        notes.append(Note("channel", self.name, _thread(), now, now, self.capacity))

    def send(self, item: Any, timeout_s: float | None = None, ctx: Context | None = None) -> None:
        with _noted("send", self.name, [item]):
            super().send(item, timeout_s, ctx)

    def try_send(self, item: Any) -> None:
        with _noted("send", self.name, [item]):
            super().try_send(item)

    def receive(self, timeout_s: float | None = None, ctx: Context | None = None) -> Any:
        got: list[Any] = []
        with _noted("receive", self.name, got):
            got.append(super().receive(timeout_s, ctx))
        return got[0]

    def try_receive(self) -> Any:
        got: list[Any] = []
        with _noted("receive", self.name, got):
            got.append(super().try_receive())
        return got[0]

    def close(self) -> None:
        now = time.monotonic()
        notes.append(Note("close", self.name, _thread(), now, now))
        super().close()


class _NotingTeamChannel(_Noting[T], TeamChannel[T]):
    pass


class _NotingTeam(Team):
    channel_type = _NotingTeamChannel

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def __exit__(self, *reason: Any) -> None:
        try:
            super().__exit__(*reason)
        except DeadlockError as error:
            notes.append(Note("deadlock", "the team", _thread(), self._began, time.monotonic(), str(error)))
            raise
        notes.append(Note("team", "", _thread(), self._began, time.monotonic(), len(self._threads)))


class _NotingPool(WorkerPool[P, R]):
    def __init__(self, *args: Any, observer: Any = None, **options: Any) -> None:
        def observe(event: Event) -> None:
            events.append(event)
            if observer is not None:
                observer(event)

        super().__init__(*args, observer=observe, **options)


def install() -> None:
    """From now on, a program that imports from `imgpool.pool` gets what takes notes."""
    imgpool.pool.Channel = _Noting  # type: ignore[misc]
    imgpool.pool.Team = _NotingTeam  # type: ignore[misc]
    imgpool.pool.WorkerPool = _NotingPool  # type: ignore[misc]
