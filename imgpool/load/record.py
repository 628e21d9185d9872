"""What happened during a load test, as it happens. Owns the clock that all moments are counted on.

Greenlets of one thread write to it: each method is short and never blocks, so that no lock is needed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from imgpool.load.upload import Answer

End = Literal["done", "failed", "lost", "unfinished"]


@dataclass(slots=True)
class Try:
    """One try at an upload. Moments in seconds from the beginning: when it was due, begun, ended."""

    client: str
    due_s: float
    began_s: float
    ended_s: float
    answer: Answer
    first_due_s: float  # of the image's first try: what a person waited since


@dataclass(slots=True)
class Followed:
    """One accepted image. `lost`: the server no longer knows it, or is gone; `unfinished`: nobody waited longer."""

    image_id: str
    due_s: float
    accepted_s: float
    ended_s: float | None = None
    end: End | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ServerSample:
    """One look at the server from outside; None for what it does not tell."""

    at_s: float
    queue: int | None
    capacity: int | None
    busy: int | None
    memory_bytes: int | None
    cpu: float | None  # CPUs in use: 1.5 is one and a half


@dataclass(frozen=True, slots=True)
class ClientSample:
    """The client's own CPU use (1.0 is one core, all it can have), and users or uploads under way."""

    at_s: float
    cpu: float
    under_way: int


@dataclass
class Record:
    """Everything, in the order in which it ended."""

    tries: list[Try] = field(default_factory=list)
    images: list[Followed] = field(default_factory=list)
    server: list[ServerSample] = field(default_factory=list)
    client: list[ClientSample] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)  # when each image was first due
    gave_up: int = 0
    under_way: int = 0
    interrupted_s: float | None = None  # when a person ended the test
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """This moment is zero."""
        self.began = time.monotonic()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began
