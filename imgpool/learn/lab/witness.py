"""A channel that is watched: the real one, and a step in the record for whatever changes in it.

The steps are taken when a change is whole and before anybody else can see it, that is, under the channel's lock just
before it is let go. So they come in the order in which things really happened, which no note taken after a call could
promise: by then another thread may have come first. To get there this subclass looks at the channel's own fields,
which nobody but a debugger should do, and this is one. It lives in the lab's child process only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar, cast

import imgpool.pool.pool
import imgpool.pool.team.pool
from imgpool.learn.lab.record import Record, label
from imgpool.pool import Channel
from imgpool.pool.channel import _A_SLOT
from imgpool.pool.slot import NOTHING
from imgpool.pool.team.channel import TeamChannel
from imgpool.pool.waiting import Line, Waiter

T = TypeVar("T")


class _Lock:
    """A lock that looks once more before it lets go."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._look = look

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._look()
        finally:
            self._lock.release()


class Watched(Channel[T]):
    """A channel as usual; or, before another kind of channel among a class's parents, that kind, watched."""

    record: Record

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._shown = self.name.rsplit("-", 1)[-1]  # "pool-jobs" is called "jobs"
        self._lock = _Lock(self._look)  # type: ignore[assignment]
        self._senders._lock = self._receivers._lock = self._lock
        self._waiting: dict[Waiter, tuple[str, str]] = {}  # who waits, and for what
        self._serving = False
        self._known: list[Any] = []
        self._known_closed = False
        self._notes: list[tuple[str, str, Any]] = []  # what, who, item: of the call that holds the lock
        self.record.channels[self._shown] = self.capacity

    def _accept(self, item: Any) -> None:
        if not self._serving and item is not _A_SLOT:  # a slot is the promise of an item, and none yet
            self._notes.append(("sent", self.record.me(), item))
        super()._accept(item)

    def _serve_senders(self) -> None:
        self._serving = True  # what is accepted now comes from those who waited: see `_served`
        super()._serve_senders()
        self._serving = False

    def _try_receive(self) -> T:
        item = super()._try_receive()
        if item is not NOTHING:
            self._notes.append(("took", self.record.me(), item))
        return item

    def _look(self) -> None:
        """Tell what has changed since the last look. Called with the lock held, by every call that took it."""
        notes, self._notes = self._notes, []
        notes += self._served()
        if not notes:
            notes = self._unexplained()
        self._known = self._items()
        new = [*self._newcomers(self._senders, "send"), *self._newcomers(self._receivers, "take")]
        for what, who, item in _in_order(notes):
            if item is not _A_SLOT:
                self._tell(who, what, item)
        for who, item in new:
            self._tell(who, "waits to take" if item is NOTHING else "waits to send", item)
        if self._closed and not self._known_closed:
            self._known_closed = True
            self._tell(self.record.me(), "closed", NOTHING)

    def _items(self) -> list[T]:
        """What is buffered, the oldest first. The lab's channels hold it in a deque, as all do that know no weights."""
        return list(cast(Iterable[T], self._buffer))

    def _served(self) -> list[tuple[str, str, Any]]:
        """Those who waited and do so no longer."""
        found: list[tuple[str, str, Any]] = []
        for waiter, (who, wants) in list(self._waiting.items()):
            if waiter.fate == "waiting":
                continue
            del self._waiting[waiter]
            if waiter.fate == "deadlocked":
                self.record.end()  # all wait, and what comes now is only their release
            elif waiter.fate != "served":
                found.append(("gave up", who, NOTHING))
            else:
                found.append(("sent" if wants == "send" else "took", who, waiter.item))
        return found

    def _newcomers(self, line: Line, wants: str) -> list[tuple[str, Any]]:
        new = [waiter for waiter in line if waiter not in self._waiting]
        for waiter in new:
            self._waiting[waiter] = (self.record.me(), wants)
        return [(self._waiting[waiter][0], waiter.item) for waiter in new]

    def _unexplained(self) -> list[tuple[str, str, Any]]:
        """What a call changed on another way: the oldest item exchanged for a new one."""
        me = self.record.me()
        before, after = [id(item) for item in self._known], [id(item) for item in self._items()]
        gone = [("dropped", me, item) for item in self._known if id(item) not in after]
        return gone + [("sent", me, item) for item in self._items() if id(item) not in before]

    def _tell(self, who: str, what: str, item: Any) -> None:
        senders = [
            [self._waiting[waiter][0], label(waiter.item)] for waiter in self._senders if waiter in self._waiting
        ]
        receivers = [self._waiting[waiter][0] for waiter in self._receivers if waiter in self._waiting]
        self.record.step(
            who,
            what,
            channel=self._shown,
            item=None if item is NOTHING else label(item),
            buffered=[label(each) for each in self._items()],
            senders=senders,
            receivers=receivers,
        )


class _WatchedTeamChannel(Watched[T], TeamChannel[T]):
    """Both parts of it say everything."""


def watch_channels(record: Record) -> None:
    """From now on each channel that is made, by hand or by a pool or a team, tells `record`. There is no way back."""
    Watched.record = record
    for room in (imgpool.pool, imgpool.pool.pool):
        vars(room)["Channel"] = Watched
    vars(imgpool.pool.team.pool)["TeamChannel"] = _WatchedTeamChannel
    imgpool.pool.Team.channel_type = _WatchedTeamChannel


def _in_order(notes: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """An item is sent before it is taken, also where one call under the lock did both."""
    for index, (what, _, item) in enumerate(notes):
        later = next((n for n in notes[index + 1 :] if n[0] == "sent" and n[2] is item), None)
        if what == "took" and later is not None:
            notes.remove(later)
            notes.insert(index, later)
            return _in_order(notes)
    return notes
