"""A slot: a place in a channel, held for one item that comes later.

Owns nothing but the way back to its channel, which counts the places held and ends each slot once.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from imgpool.pool.errors import SlotUsed

T = TypeVar("T")

NOTHING: Any = object()  # "no item": None is a perfectly good item


class Slot(Generic[T]):
    """A place in a channel, held for one item. Made by `reserve`; any thread may send or release it, once.

    A held slot counts against the capacity until then, so use it as a context manager: what was not sent is
    given back.
    """

    __slots__ = ("_name", "_settle", "_used")

    def __init__(self, name: str, settle: Callable[[Slot[T], Any], bool]) -> None:
        self._name = name
        self._settle = settle  # the channel's: end this slot with an item or NOTHING; False if it has ended
        self._used = False  # written by the channel, under its lock

    @property
    def used(self) -> bool:
        """True once sent or given back."""
        return self._used

    def send(self, item: T) -> None:
        """Put the item into the held place: never blocks, never refused, not even after `close()`.

        Raises `SlotUsed` when the slot was sent or given back before.
        """
        if not self._settle(self, item):
            raise SlotUsed(f"{self._name}: this slot was sent or given back before")

    def release(self) -> None:
        """Give the place back. Idempotent, and does nothing after `send`."""
        self._settle(self, NOTHING)

    def __enter__(self) -> Slot[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
