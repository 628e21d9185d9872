"""A channel whose items have weights, of which only so much is in hand at once.

For work whose jobs differ in what they need of something scarce (memory, bandwidth): what does not fit now stays where
it is, in the channel, counted against its capacity as before, and whatever weighs nothing goes past. So the
channel stays as bounded as any other, and a job that waits for its weight is simply a queued job.

Two lines in one buffer: items that weigh nothing, and items with a weight, each first in, first out. A receiver
gets the older of the two first ones, if the heavy one fits. Heavy items keep their order among themselves,
so none starves: the first one fits at the latest when those before it are done.

Owns the weight in hand. Never looks at anything of an item but its weight.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any, Generic, Protocol, TypeVar

from imgpool.pool.channel import _A_SLOT, Channel
from imgpool.pool.errors import ChannelClosed
from imgpool.pool.slot import NOTHING
from imgpool.pool.statistics import WeightStatistics


class Weighty(Protocol):
    """Something with a weight: 0 for what never has to wait for it."""

    @property
    def weight(self) -> int:
        """Never negative, and always the same for one item."""
        ...


W = TypeVar("W", bound=Weighty)


class _TwoLines(Generic[W]):
    """The buffer. Guarded by the channel's lock."""

    def __init__(self) -> None:
        self.light: deque[tuple[int, W]] = deque()
        self.heavy: deque[tuple[int, W]] = deque()
        self._numbers = itertools.count()

    def append(self, item: W) -> None:
        (self.heavy if item.weight else self.light).append((next(self._numbers), item))

    def popleft(self) -> W:
        """The oldest of all, whether it fits or not."""
        light, heavy = self.light, self.heavy
        return (heavy if not light or (heavy and heavy[0][0] < light[0][0]) else light).popleft()[1]

    def __len__(self) -> int:
        return len(self.light) + len(self.heavy)


class WeighedChannel(Channel[W]):
    """As `Channel`, but `receive` gives the oldest item that fits: the weight in hand never exceeds `weight_limit`.

    Whoever received an item says `done_with(item)` when it needs its weight no longer. An item heavier than the limit
    counts as the limit: it fits when no other weight is in hand. There is no rendezvous form.
    """

    def __init__(self, capacity: int, name: str = "channel", *, weight_limit: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, allowed is 1 or more: what does not fit has to wait in a place")
        if weight_limit < 1:
            raise ValueError(f"weight_limit is {weight_limit}, allowed is 1 or more")
        super().__init__(capacity, name)
        self._lines: _TwoLines[W] = _TwoLines()
        self._buffer = self._lines
        self._weight_limit = weight_limit
        self._in_hand = 0
        self._lifted = False

    def try_send_dropping(self, item: W) -> W | None:
        """As in `Channel`; the oldest is dropped whether it fits or not."""
        oldest = super().try_send_dropping(item)
        with self._lock:
            self._serve_senders()  # a heavy one that was dropped may have kept others waiting
        return oldest

    def done_with(self, item: W) -> None:
        """Give back the weight of an item that was received, once. Never blocks."""
        with self._lock:
            self._in_hand -= item.weight
            self._serve_senders()

    def set_weight_limit(self, weight_limit: int) -> None:
        """Change the limit. What is in hand stays: until it is below a lower limit, nothing heavy is given out."""
        if weight_limit < 1:
            raise ValueError(f"weight_limit is {weight_limit}, allowed is 1 or more")
        with self._lock:
            self._weight_limit = weight_limit
            self._serve_senders()

    def lift_limit(self) -> None:
        """From now on everything fits: what is left is to be cleared away, not worked on."""
        with self._lock:
            self._lifted = True
            self._serve_senders()

    def weights(self) -> WeightStatistics:
        """Return one consistent snapshot."""
        with self._lock:
            heavy = self._lines.heavy
            waiting = 0 if not heavy or self._fits(heavy[0][1]) else len(heavy)
            return WeightStatistics(
                limit=self._weight_limit, in_hand=min(self._in_hand, self._weight_limit), waiting=waiting
            )

    # -- the core: called with the lock held, never blocks -----------------------------------------

    def _fits(self, item: W) -> bool:
        # Weights are booked as they are, and never cut to a limit that may be another one when they are given back.
        return self._lifted or not self._in_hand or self._in_hand + item.weight <= self._weight_limit

    def _take(self) -> Any:
        """Take out the oldest item that fits, or return NOTHING."""
        light, heavy = self._lines.light, self._lines.heavy
        line = light
        if heavy and (not light or heavy[0][0] < light[0][0]) and self._fits(heavy[0][1]):
            line = heavy
        if not line:
            return NOTHING
        _, item = line.popleft()
        self._in_hand += item.weight
        return item

    def _try_receive(self) -> W:
        item = self._take()
        if item is not NOTHING:
            self._serve_senders()
        elif self._closed and not self._reserved and not self._buffer:
            raise ChannelClosed(f"{self.name} is closed")
        return item  # type: ignore[no-any-return]

    def _try_send(self, item: Any) -> bool:
        sent = super()._try_send(item)
        if sent and item is not _A_SLOT:
            self._serve_senders()
        return sent

    def _offer(self, item: W) -> bool:
        return False  # never past the buffer: whether it fits, and whether it is its turn, is decided there

    def _serve_senders(self) -> None:
        """Serve both lines of those who wait, in turn, until neither can be: each makes room for the other."""
        super()._serve_senders()
        while self._serve_receivers():
            super()._serve_senders()
        self._close_receivers_if_drained()  # they may wait because what was buffered did not fit

    def _serve_receivers(self) -> bool:
        """Hand out what fits to those who wait; return whether anything was."""
        served = False
        while (receiver := self._receivers.first_live()) is not None and (item := self._take()) is not NOTHING:
            self._receivers.popleft()
            receiver.item = item
            receiver.leave("served")
            served = True
        return served
