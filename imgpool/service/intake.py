"""What unfinished uploads want of the service that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imgpool.errors import Refused
from imgpool.service.engine import Slot
from imgpool.service.upload import Begun, Upload


@dataclass(frozen=True, slots=True)
class Intake:
    """`reserve` gives a slot for an image or raises `Refused`, `upload` makes an upload like any other of what came,
    `count` is told of each one that the service gives up by itself, and `clock` says for how many seconds one stands
    still. Any thread may call them; only `reserve` may block.
    """

    reserve: Callable[[str], Slot]
    upload: Callable[[str, Slot, Begun], Upload]
    count: Callable[[Refused], None]
    clock: Callable[[], float]
