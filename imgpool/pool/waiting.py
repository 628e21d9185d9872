"""Waiting in line: how a channel's blocked calls are served first come, first served.

A thread that must wait leaves a *waiter* in a line and sleeps on the waiter's own gate; whoever makes room,
or brings an item, serves the first in line on the spot and wakes just that one. Therefore a call that
arrives later can never overtake one that waits, and a woken thread already has what it came for.

Owns the order of those who wait, and how each one's wait ends. Never looks into a channel: who may be
served, and with what, is the channel's to decide, whose lock guards its lines too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Literal

from imgpool.pool.context import Context, shortest
from imgpool.pool.errors import ChannelClosed, ChannelTimeout

Fate = Literal["waiting", "served", "closed", "withdrawn", "deadlocked"]


class Waiter:
    """One blocked call. It stands in a line until it is served, closed upon, withdrawn or, in a team, deadlocked.

    `item` is what a sender brings and what a receiver is given. `fate` is written once, under the channel's
    lock, by whoever takes the waiter out of its line; the gate opens after that.
    """

    __slots__ = ("ctx", "fate", "gate", "item")

    def __init__(self, item: Any, ctx: Context | None) -> None:
        self.item = item
        self.ctx = ctx
        self.fate: Fate = "waiting"
        self.gate = threading.Lock()
        self.gate.acquire()

    def leave(self, fate: Fate) -> None:
        """Learn how the wait ended, and wake up. The waiter is out of its line, and the lock is held."""
        self.fate = fate
        self.gate.release()


class Line(deque[Waiter]):
    """Those who wait for the same thing, the longest wait first. `lock` is the channel's.

    A deque, because a channel asks on every call whether anybody waits. `lock` is held by whoever calls
    anything but `wait` and `withdraw`.
    """

    def __init__(self, name: str, lock: threading.Lock) -> None:
        super().__init__()
        self._name = name
        self._lock = lock

    def first_live(self) -> Waiter | None:
        """Return the first waiter whose context is not done; wake and remove those before it."""
        while self:
            waiter = self[0]
            if waiter.ctx is None or not waiter.ctx.done:
                return waiter
            self.popleft().leave("withdrawn")
        return None

    def close(self) -> None:
        """Send everybody home with `ChannelClosed`."""
        while self:
            self.popleft().leave("closed")

    def withdraw(self, waiter: Waiter | None) -> None:
        """Take a waiter out of the line if it still stands there. Called without the lock.

        Whoever has put one in does this on every error, Ctrl-C between the two included: nobody waits there any more,
        so nothing may be given to that waiter.
        """
        if waiter is None:
            return
        with self._lock:
            if waiter in self:
                self.remove(waiter)
                waiter.leave("withdrawn")

    def wait(self, waiter: Waiter, timeout_s: float | None) -> None:
        """Sleep until the waiter is served; raise if it was closed upon, or left the line for being late.

        Called without the lock, by the thread whose waiter it is.
        """
        ctx = waiter.ctx
        limit = None if timeout_s is None else time.monotonic() + timeout_s

        # Registered without the lock: on a context that is done by now, `withdraw` runs at once and takes it.
        unregister = ctx.on_done(lambda: self.withdraw(waiter)) if ctx is not None else None
        try:
            while True:
                wait_s = shortest(limit, ctx)
                if waiter.gate.acquire(timeout=-1 if wait_s is None else wait_s):
                    break
                if (limit is not None and time.monotonic() >= limit) or (ctx is not None and ctx.done):
                    self.withdraw(waiter)  # it may be served at this very moment; then there is nothing to withdraw
                    break
        finally:
            if unregister is not None:
                unregister()
        if waiter.fate == "closed":
            raise ChannelClosed(f"{self._name} is closed")
        if waiter.fate == "withdrawn":
            if ctx is not None:
                ctx.check()
            raise ChannelTimeout(f"{self._name}: not served within {timeout_s} s")
