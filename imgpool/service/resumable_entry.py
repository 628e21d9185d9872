"""An unfinished upload in memory: whose turn it is to send bytes, whether it has a slot, since when it stands still.

Knows nothing of its bytes: those are the turn's and the store's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from imgpool.service.engine import Slot
from imgpool.service.resumable_files import Facts

SILENT_S = 1.0  # at a stop, a client that says nothing for so long is not waited for
GRACE_WHEN_FULL_S = 2.0  # as for uploads in one request (imgpool.server.connection)


class Sending(Protocol):
    """A request's turn, as the upload knows it."""

    wrote_at: float
    """When it last brought bytes."""

    @property
    def interrupt(self) -> Callable[[], None]:
        """Ends the wait for bytes that have not come; what has come stays. Blocks on nothing."""

    def pause(self) -> None:
        """Have what has come kept; idempotent. Blocks on the disk."""


@dataclass(frozen=True, slots=True)
class Held:
    """A slot, and whom to tell when the upload does not hold it any more."""

    slot: Slot
    left: Callable[[], None]


class Entry:
    """An unfinished upload in memory. All but `facts` is guarded by `lock`; a disk write may hold that."""

    def __init__(self, facts: Facts, held: Held | None, moved_at: float) -> None:
        self.facts = facts
        self.lock = threading.Lock()
        self.hold(held, moved_at)
        self.turn: Sending | None = None
        self.closed = False
        self._moved_at = moved_at

    def still_s(self, now: float) -> float:
        """For how long no request has been sending bytes; 0 while one does."""
        return 0.0 if self.turn is not None else max(0.0, now - self._moved_at)

    def moved(self, moved_at: float) -> None:
        """Somebody else says when it moved; nothing while a request sends bytes here."""
        with self.lock:
            if self.turn is None:
                self._moved_at = moved_at

    def hold(self, held: Held | None, now: float) -> None:
        """Have a slot, and from now on a pace. With the lock held, or before anybody knows the entry."""
        self.held, self._held_at, self.received = held, now, 0

    @property
    def idle(self) -> bool:
        """Whether nobody sends bytes, and it has no slot."""
        return self.turn is None and self.held is None

    def makes_way(self, least_bytes_per_s: int, now: float) -> bool:
        """Give the slot back if the bytes come too slowly to keep it while another upload wants it; whether it did,
        for others to take. Blocks on nothing: whose bytes are being written right now is not slow.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            held_s = now - self._held_at
            slow = held_s > GRACE_WHEN_FULL_S and self.received < least_bytes_per_s * held_s
            if self.held is None or not slow:
                return False
            self.take_over(now)
            self.give_slot_back()
            return True
        finally:
            self.lock.release()

    def leave(self, now: float) -> None:
        """Nobody sends bytes from now on. With the lock held."""
        self.turn = None
        self._moved_at = now

    def take_over(self, now: float) -> None:
        """As `leave`; whoever waits for the rest of its request's bytes waits no longer. With the lock held."""
        turn = self.turn
        self.leave(now)
        if turn is not None:
            turn.interrupt()

    def end_silent_turn(self, now: float) -> None:
        """End the wait for bytes that have not come for a while; those that came are kept. Blocks on nothing: whose
        bytes are being written right now is not silent.
        """
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self.turn is not None and now - self.turn.wrote_at >= SILENT_S:
                self.turn.interrupt()
        finally:
            self.lock.release()

    def keep_and_take_over(self, now: float) -> None:
        """As `take_over`, and what has come until now is kept. With the lock held; blocks on the disk."""
        turn = self.turn
        self.take_over(now)
        if turn is not None:
            turn.pause()

    def give_slot_back(self) -> None:
        """With the lock held."""
        if self.held is not None:
            self.held.slot.release()  # nothing, when it was sent
            self.held.left()
            self.held = None

    def give_slot_back_if_still(self, now: float) -> None:
        """Unless bytes have begun to come."""
        with self.lock:
            if self.turn is None:
                self.give_slot_back()

    def close(self, now: float) -> None:
        """The end: no turn, no slot, and none any more."""
        with self.lock:
            self.closed = True
            self.leave(now)
            self.give_slot_back()
