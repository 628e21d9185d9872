"""A team's channel: a channel that only members use, and whose waits for good the roster knows of.

Owns nothing but the record of who used which end. Everything a channel does is the channel's.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from imgpool.pool.channel import _A_SLOT, Channel
from imgpool.pool.lane import Intake
from imgpool.pool.slot import Slot
from imgpool.pool.team.diagnosis import Ends, Wait, told
from imgpool.pool.team.roster import Blocked, Roster
from imgpool.pool.waiting import Line, Waiter

T = TypeVar("T")


class TeamChannel(Channel[T]):
    """Made by `Team.channel`. As a channel, and besides: `NotInTeam` for outsiders, `DeadlockError` instead of a wait
    that would never end. Only `statistics()` and the properties are for everybody.
    """

    def __init__(self, roster: Roster, capacity: int, name: str) -> None:
        super().__init__(capacity, name)
        self._roster = roster
        self._senders = _TeamLine(self, "send")
        self._receivers = _TeamLine(self, "receive")
        self._sent_by: set[str] = set()
        self._received_by: set[str] = set()

    # Each of a channel's methods that changes anything goes through one of these.

    def _try_send(self, item: Any) -> bool:
        self._sent_by.add(self._roster.me().name)
        return super()._try_send(item)

    def _try_receive(self) -> T:
        self._received_by.add(self._roster.me().name)
        return super()._try_receive()

    def _settle_slot(self, slot: Slot[T], item: Any) -> bool:
        self._roster.me()
        return super()._settle_slot(slot, item)

    def close(self) -> None:
        """As `Channel.close`."""
        self._roster.me()
        super().close()

    def set_capacity(self, capacity: int) -> None:
        """As `Channel.set_capacity`."""
        self._roster.me()
        super().set_capacity(capacity)

    def ends(self) -> Ends:
        """Describe it for a diagnosis. From any thread."""
        with self._lock:
            used = frozenset(self._sent_by), frozenset(self._received_by)
        return Ends(self.statistics(), *used)


class _TeamLine(Line):
    """A line whose waits for good are the roster's business too."""

    def __init__(self, channel: TeamChannel[Any], action: Literal["send", "receive"]) -> None:
        super().__init__(channel.name, channel._lock)
        self._channel = channel
        self._action = action

    def wait(self, waiter: Waiter, timeout_s: float | None) -> None:
        """As `Line.wait`; raises `DeadlockError` besides."""
        # A context may be ended by anybody who has it, so such a wait is not for good: except an intake, which only
        # the pool's own methods end, and those are for members.
        if timeout_s is not None or not (waiter.ctx is None or isinstance(waiter.ctx, Intake)):
            super().wait(waiter, timeout_s)
            return

        def release() -> None:
            with self._lock:
                if waiter.fate == "waiting":
                    self.remove(waiter)
                    waiter.leave("deadlocked")

        def describe(who: str) -> Wait:
            if waiter.item is _A_SLOT:
                return Wait(who, "reserve", self._channel.ends())
            return Wait(who, self._action, self._channel.ends(), told(waiter.item))

        with self._channel._roster.waiting(Blocked(lambda: waiter.fate == "waiting", describe, release)):
            super().wait(waiter, None)
        if waiter.fate == "deadlocked":
            raise self._channel._roster.deadlock()
