"""A channel: a bounded queue between threads, after Go's.

Owns the items between `send` and `receive`, the slots promised and the two lines of those who wait. One
lock guards all of it, the lines and the slots' ends included.

Never drops an item, never runs a callback or a caller's code under its lock, and never uses a signal-safe
lock: a signal handler must not call it (set a flag there instead).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from imgpool.pool.context import Context
from imgpool.pool.errors import ChannelClosed, ChannelEmpty, ChannelFull
from imgpool.pool.slot import NOTHING, Slot
from imgpool.pool.statistics import ChannelStatistics
from imgpool.pool.waiting import Line, Waiter

T = TypeVar("T")

_A_SLOT: Any = object()  # what a reserver's waiter brings in place of an item


class Buffer(Protocol[T]):
    """What a channel needs of whatever holds its items: a deque, or something that orders them otherwise."""

    def append(self, item: T, /) -> None: ...  # noqa: D102

    def popleft(self) -> T: ...  # noqa: D102

    def __len__(self) -> int: ...


class Channel(Generic[T]):
    """A bounded first-in-first-out channel; every method may be called from any thread.

    `capacity` is the number of places; 0 is a rendezvous, where an item passes only from hand to hand. A place is taken
    by a buffered item or by a reserved slot: `reserved + buffered <= capacity`. `send`, `receive` and `reserve` may
    block, for `timeout_s` at most and only while `ctx` is not done; `try_...` never block. Whoever knows
    that nothing more will be sent calls `close()`.
    """

    def __init__(self, capacity: int, name: str = "channel") -> None:
        if capacity < 0:
            raise ValueError(f"capacity is {capacity}, allowed is 0 (a rendezvous) or more")
        self.name = name
        self._capacity = capacity
        self._lock = threading.Lock()
        self._buffer: Buffer[T] = deque()
        self._reserved = 0
        self._closed = False
        self._peak = 0
        # Somebody stands in `_senders` only while there is no place, in `_receivers` only while no item.
        self._senders = Line(name, self._lock)
        self._receivers = Line(name, self._lock)

    # -- sending -----------------------------------------------------------------------------------

    def try_send(self, item: T) -> None:
        """Send without waiting, or raise `ChannelFull` (also when others wait in line) or `ChannelClosed`."""
        with self._lock:
            if not self._try_send(item):
                raise ChannelFull(f"{self.name} is full")

    def send(self, item: T, timeout_s: float | None = None, ctx: Context | None = None) -> None:
        """Send, waiting for a place (in a rendezvous: for a receiver).

        Raises `ChannelClosed`, `ChannelTimeout`, or `Cancelled`/`DeadlineExceeded` of `ctx`; then nothing
        was sent.
        """
        waiter: Waiter | None = None
        try:
            with self._lock:
                if ctx is not None:
                    ctx.check()
                if self._try_send(item):
                    return
                waiter = Waiter(item, ctx)
                self._senders.append(waiter)
            self._senders.wait(waiter, timeout_s)
        except BaseException:
            self._senders.withdraw(waiter)
            raise

    def try_send_dropping(self, item: T) -> T | None:
        """Send without waiting; without a place, exchange the oldest buffered item for this one and return
        it.

        Raises `ChannelFull` when nothing is buffered to exchange (all places are held by slots), or
        `ChannelClosed`. An exchange frees no place, so it takes nothing from those who wait in line.
        """
        with self._lock:
            if self._try_send(item):
                return None
            if not self._buffer:
                raise ChannelFull(f"{self.name} is full of reserved slots")
            oldest = self._buffer.popleft()
            self._buffer.append(item)
            return oldest

    # -- slots -------------------------------------------------------------------------------------

    def try_reserve(self) -> Slot[T]:
        """Take a place for an item that comes later, or raise `ChannelFull` or `ChannelClosed`."""
        self._needs_places()
        with self._lock:
            if not self._try_send(_A_SLOT):
                raise ChannelFull(f"{self.name} is full")
        return self._slot()

    def reserve(self, timeout_s: float | None = None, ctx: Context | None = None) -> Slot[T]:
        """Take a place for an item that comes later, waiting for one; raises as `send` does."""
        self._needs_places()
        waiter: Waiter | None = None
        try:
            with self._lock:
                if ctx is not None:
                    ctx.check()
                if self._try_send(_A_SLOT):
                    return self._slot()
                waiter = Waiter(_A_SLOT, ctx)
                self._senders.append(waiter)
            self._senders.wait(waiter, timeout_s)
        except BaseException:
            self._senders.withdraw(waiter)
            if waiter is not None and waiter.fate == "served":  # Ctrl-C just then: nobody will ever hold this place
                self._slot().release()
            raise
        return self._slot()

    def _slot(self) -> Slot[T]:
        return Slot(self.name, self._settle_slot)

    def _settle_slot(self, slot: Slot[T], item: Any) -> bool:
        """End a slot, unless it has ended: its item comes, or `NOTHING` does and the place is free."""
        with self._lock:
            if slot._used:
                return False
            slot._used = True
            self._reserved -= 1
            if item is not NOTHING:
                self._accept(item)
            self._serve_senders()
            self._close_receivers_if_drained()
            return True

    def _needs_places(self) -> None:
        if self._capacity == 0:
            raise ValueError(f"{self.name} is a rendezvous (capacity 0): it has no places to reserve")

    # -- receiving ---------------------------------------------------------------------------------

    def try_receive(self) -> T:
        """Take the oldest item, or raise `ChannelEmpty` or `ChannelClosed` (closed *and* drained)."""
        with self._lock:
            item = self._try_receive()
        if item is NOTHING:
            raise ChannelEmpty(f"{self.name} is empty")
        return item

    def receive(self, timeout_s: float | None = None, ctx: Context | None = None) -> T:
        """Take the oldest item, waiting for one.

        Raises `ChannelClosed` (closed *and* drained), `ChannelTimeout`, or `Cancelled`/`DeadlineExceeded`
        of `ctx`; then nothing was taken. Once `ctx.cancel()` has returned, no call with that context takes
        anything.
        """
        waiter: Waiter | None = None
        try:
            with self._lock:
                if ctx is not None:
                    ctx.check()
                item = self._try_receive()
                if item is not NOTHING:
                    return item
                waiter = Waiter(NOTHING, ctx)
                self._receivers.append(waiter)
            self._receivers.wait(waiter, timeout_s)
        except BaseException:
            self._receivers.withdraw(waiter)
            raise
        received: T = waiter.item
        return received

    def __iter__(self) -> Iterator[T]:
        """Receive until the channel is closed and drained."""
        while True:
            try:
                item = self.receive()
            except ChannelClosed:
                return
            yield item
            del item  # whoever iterates may be slow: hold nothing meanwhile

    # -- the whole channel -------------------------------------------------------------------------

    def close(self) -> None:
        """Take nothing more. Idempotent. What is buffered can be received, slots held can still be sent.

        Blocked senders get `ChannelClosed`; receivers too, once nothing is buffered and no slot is held any
        more.
        """
        with self._lock:
            self._closed = True
            self._senders.close()
            self._close_receivers_if_drained()

    @property
    def closed(self) -> bool:
        """True after `close()`, even while something is left to receive."""
        return self._closed

    @property
    def capacity(self) -> int:
        """The number of places; 0 is a rendezvous."""
        return self._capacity

    def set_capacity(self, capacity: int) -> None:
        """Change the number of places, to 1 or more (a rendezvous becomes a buffered channel).

        Growing lets waiting senders in at once. Shrinking loses nothing: what is held stays, and nothing is
        admitted until `reserved + buffered` is below the new capacity. Until then that sum is over it, and
        only ever falls.
        """
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, allowed is 1 or more")
        with self._lock:
            self._capacity = capacity
            self._serve_senders()

    def statistics(self) -> ChannelStatistics:
        """Return one consistent snapshot."""
        with self._lock:
            return ChannelStatistics(
                name=self.name,
                capacity=self._capacity,
                buffered=len(self._buffer),
                reserved=self._reserved,
                waiting_senders=len(self._senders),
                waiting_receivers=len(self._receivers),
                peak=self._peak,
                closed=self._closed,
            )

    # -- the core: called with the lock held, never blocks -----------------------------------------

    def _try_send(self, item: Any) -> bool:
        if self._closed:
            raise ChannelClosed(f"{self.name} is closed")
        # Whoever waits came first: else a feeder that blocks would starve under callers that only try.
        if self._senders or not self._has_place():
            return False
        self._accept(item)
        return True

    def _try_receive(self) -> T:
        if self._buffer:
            item = self._buffer.popleft()
            if self._senders:
                self._serve_senders()
            return item
        if self._capacity == 0 and (sender := self._senders.first_live()):
            self._senders.popleft().leave("served")
            return sender.item  # type: ignore[no-any-return]
        if self._closed and not self._reserved:
            raise ChannelClosed(f"{self.name} is closed")
        return NOTHING  # type: ignore[no-any-return]

    def _has_place(self) -> bool:
        if self._capacity:
            return self._reserved + len(self._buffer) < self._capacity
        return self._receivers.first_live() is not None

    def _accept(self, item: Any) -> None:
        """Take in an item, or the promise of one, for which there is a place."""
        if item is _A_SLOT:
            self._reserved += 1
        else:
            if self._receivers and self._offer(item):
                return
            self._buffer.append(item)
        held = self._reserved + len(self._buffer)
        if held > self._peak:
            self._peak = held

    def _offer(self, item: T) -> bool:
        """Give the item to the first who waits for one; return whether there is somebody."""
        # In a rendezvous `_has_place` has just found the first receiver alive. Looking again might find its
        # deadline passed, and the item would have nowhere to go.
        receiver = self._receivers.first_live() if self._capacity else self._receivers[0]
        if receiver is None:
            return False
        self._receivers.popleft()
        receiver.item = item
        receiver.leave("served")
        return True

    def _serve_senders(self) -> None:
        while (sender := self._senders.first_live()) and self._has_place():
            self._senders.popleft()
            self._accept(sender.item)
            sender.leave("served")

    def _close_receivers_if_drained(self) -> None:
        if self._closed and not self._buffer and not self._reserved:
            self._receivers.close()
