"""A channel: a bounded queue between threads, after Go's.

Owns the items between `send` and `receive`, the slots promised and the order in which waiting threads are
served. One lock guards all of it. A thread that must wait leaves a *waiter* in a line and sleeps on the
waiter's own gate; whoever makes room, or brings an item, serves the first in line on the spot and wakes
just that one. Therefore a call that arrives later can never overtake one that waits, and a woken thread
already has what it came for.

Never drops an item, never runs a callback or a caller's code under its lock, and never uses a signal-safe
lock: a signal handler must not call it (set a flag there instead).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from imgpool.pool.context import Context, shortest
from imgpool.pool.errors import ChannelClosed, ChannelEmpty, ChannelFull, ChannelTimeout, SlotUsed
from imgpool.pool.statistics import ChannelStatistics

T = TypeVar("T")

_NOTHING: Any = object()  # "no item": None is a perfectly good item
_A_SLOT: Any = object()  # what a reserver's waiter brings in place of an item


class _Waiter:
    """One blocked call. It stands in a channel's line until it is served, closed upon or withdrawn.

    `item` is what a sender brings and what a receiver is given. `fate` is written once, under the channel's
    lock, by whoever takes the waiter out of its line; the gate opens after that.
    """

    __slots__ = ("ctx", "fate", "gate", "item")

    def __init__(self, item: Any, ctx: Context | None) -> None:
        self.item = item
        self.ctx = ctx
        self.fate: Literal["waiting", "served", "closed", "withdrawn"] = "waiting"
        self.gate = threading.Lock()
        self.gate.acquire()

    def leave(self, fate: Literal["served", "closed", "withdrawn"]) -> None:
        self.fate = fate
        self.gate.release()


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
        self._buffer: deque[T] = deque()
        self._reserved = 0
        self._closed = False
        self._peak = 0
        # Two lines. Somebody stands in `_senders` only while there is no place, in `_receivers` only while
        # no item.
        self._senders: deque[_Waiter] = deque()
        self._receivers: deque[_Waiter] = deque()

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
        with self._lock:
            if ctx is not None:
                ctx.check()
            if self._try_send(item):
                return
            waiter = _Waiter(item, ctx)
            self._senders.append(waiter)
        self._wait(waiter, self._senders, timeout_s)

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
        return Slot(self)

    def reserve(self, timeout_s: float | None = None, ctx: Context | None = None) -> Slot[T]:
        """Take a place for an item that comes later, waiting for one; raises as `send` does."""
        self._needs_places()
        with self._lock:
            if ctx is not None:
                ctx.check()
            if self._try_send(_A_SLOT):
                return Slot(self)
            waiter = _Waiter(_A_SLOT, ctx)
            self._senders.append(waiter)
        try:
            self._wait(waiter, self._senders, timeout_s)
        except BaseException:
            if (
                waiter.fate == "served"
            ):  # interrupted (Ctrl-C) just after the place was granted: nobody will ever hold it
                Slot(self).release()
            raise
        return Slot(self)

    def _needs_places(self) -> None:
        if self._capacity == 0:
            raise ValueError(f"{self.name} is a rendezvous (capacity 0): it has no places to reserve")

    # -- receiving ---------------------------------------------------------------------------------

    def try_receive(self) -> T:
        """Take the oldest item, or raise `ChannelEmpty` or `ChannelClosed` (closed *and* drained)."""
        with self._lock:
            item = self._try_receive()
        if item is _NOTHING:
            raise ChannelEmpty(f"{self.name} is empty")
        return item

    def receive(self, timeout_s: float | None = None, ctx: Context | None = None) -> T:
        """Take the oldest item, waiting for one.

        Raises `ChannelClosed` (closed *and* drained), `ChannelTimeout`, or `Cancelled`/`DeadlineExceeded`
        of `ctx`; then nothing was taken. Once `ctx.cancel()` has returned, no call with that context takes
        anything.
        """
        with self._lock:
            if ctx is not None:
                ctx.check()
            item = self._try_receive()
            if item is not _NOTHING:
                return item
            waiter = _Waiter(_NOTHING, ctx)
            self._receivers.append(waiter)
        self._wait(waiter, self._receivers, timeout_s)
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
            _dismiss(self._senders)
            self._dismiss_receivers_if_drained()

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
        # Whoever waits came first: without this, a feeder that blocks would starve under callers that only
        # try.
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
        if self._capacity == 0 and (sender := _first_live(self._senders)):
            self._senders.popleft().leave("served")
            return sender.item  # type: ignore[no-any-return]
        if self._closed and not self._reserved:
            raise ChannelClosed(f"{self.name} is closed")
        return _NOTHING  # type: ignore[no-any-return]

    def _has_place(self) -> bool:
        if self._capacity:
            return self._reserved + len(self._buffer) < self._capacity
        return _first_live(self._receivers) is not None

    def _accept(self, item: Any) -> None:
        """Take in an item, or the promise of one, for which there is a place."""
        if item is _A_SLOT:
            self._reserved += 1
        else:
            # In a rendezvous `_has_place` has just found the first receiver alive. Looking again might find
            # its deadline passed, and the item would have nowhere to go.
            receiver = _first_live(self._receivers) if self._capacity else self._receivers[0]
            if receiver is not None:
                self._receivers.popleft()
                receiver.item = item
                receiver.leave("served")
                return
            self._buffer.append(item)
        held = self._reserved + len(self._buffer)
        if held > self._peak:
            self._peak = held

    def _serve_senders(self) -> None:
        while (sender := _first_live(self._senders)) and self._has_place():
            self._senders.popleft()
            self._accept(sender.item)
            sender.leave("served")

    def _settle_slot(self, item: Any) -> None:
        """A slot ends: its item comes, or `_NOTHING` does and the place is free."""
        self._reserved -= 1
        if item is not _NOTHING:
            self._accept(item)
        self._serve_senders()
        self._dismiss_receivers_if_drained()

    def _dismiss_receivers_if_drained(self) -> None:
        if self._closed and not self._buffer and not self._reserved:
            _dismiss(self._receivers)

    # -- waiting: called without the lock ----------------------------------------------------------

    def _wait(self, waiter: _Waiter, line: deque[_Waiter], timeout_s: float | None) -> None:
        """Sleep until the waiter is served; raise if it was closed upon, or left the line for being late."""
        ctx = waiter.ctx
        limit = None if timeout_s is None else time.monotonic() + timeout_s

        def withdraw() -> None:
            with self._lock:
                if waiter in line:
                    line.remove(waiter)
                    waiter.leave("withdrawn")

        # Registered without the lock: on a context that is done by now, `withdraw` runs at once and takes it.
        unregister: Callable[[], None] | None = ctx.on_done(withdraw) if ctx is not None else None
        try:
            while True:
                wait_s = shortest(limit, ctx)
                if waiter.gate.acquire(timeout=-1 if wait_s is None else wait_s):
                    break
                if (limit is not None and time.monotonic() >= limit) or (ctx is not None and ctx.done):
                    withdraw()  # it may be served at this very moment; then there is nothing to withdraw
                    break
        except BaseException:
            withdraw()  # Ctrl-C: nobody waits here any more, so nothing may be given to this waiter
            raise
        finally:
            if unregister is not None:
                unregister()
        if waiter.fate == "closed":
            raise ChannelClosed(f"{self.name} is closed")
        if waiter.fate == "withdrawn":
            if ctx is not None:
                ctx.check()
            raise ChannelTimeout(f"{self.name}: not served within {timeout_s} s")


def _first_live(line: deque[_Waiter]) -> _Waiter | None:
    """Return the first waiter whose context is not done; wake and remove those before it."""
    while line:
        waiter = line[0]
        if waiter.ctx is None or not waiter.ctx.done:
            return waiter
        line.popleft().leave("withdrawn")
    return None


def _dismiss(line: deque[_Waiter]) -> None:
    while line:
        line.popleft().leave("closed")


class Slot(Generic[T]):
    """A place in a channel, held for one item. Made by `reserve`; any thread may send or release it, once.

    A held slot counts against the capacity until then, so use it as a context manager: what was not sent is
    given back.
    """

    __slots__ = ("_channel", "_used")

    def __init__(self, channel: Channel[T]) -> None:
        self._channel = channel
        self._used = False

    @property
    def used(self) -> bool:
        """True once sent or given back."""
        return self._used

    def send(self, item: T) -> None:
        """Put the item into the held place: never blocks, never refused, not even after `close()`.

        Raises `SlotUsed` when the slot was sent or given back before.
        """
        with self._channel._lock:
            if self._used:
                raise SlotUsed(f"{self._channel.name}: this slot was sent or given back before")
            self._used = True
            self._channel._settle_slot(item)

    def release(self) -> None:
        """Give the place back. Idempotent, and does nothing after `send`."""
        with self._channel._lock:
            if not self._used:
                self._used = True
                self._channel._settle_slot(_NOTHING)

    def __enter__(self) -> Slot[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
