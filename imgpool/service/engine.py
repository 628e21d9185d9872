"""How an image ID gets from the service to a worker, and the seam where that is decided.

`Engine` is the contract; `imgpool.service.pool_engine` keeps it with the worker pool of this process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from imgpool.pool import PoolStatistics


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker: the image it works on and for how long. Idle when `for_s` is None."""

    worker: str
    image: str | None
    for_s: float | None


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that takes part, where several hosts do: it serves (`web`) or works on `image`, if on any. It was last
    heard of `silent_s` ago, and is not `alive` when that is too long. `queue_capacity` is the setting with which it
    was started, None for those that do not serve.
    """

    name: str
    kind: str
    host: str
    pid: int
    up_s: float
    silent_s: float
    alive: bool
    image: str | None
    queue_capacity: int | None


class Slot(Protocol):
    """A place in the queue that is held for one image. A context manager, at whose end it is released."""

    def send(self, payload: str, *, weight: int = 0) -> object:
        """Put the image ID into the held place; blocks on nothing. Raises `PoolClosed` when the engine stops: its
        record says `queued`, and the next start takes it up.
        """

    def release(self) -> None:
        """Give the place back; idempotent, and nothing after `send`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Engine(Protocol):
    """Takes image IDs and sees to it that each ends `done` or `failed`. `start` and `stop` are called once each, by
    one thread; any thread may call the others in between, which block on nothing unless they say so.
    """

    place_freed: threading.Event
    """Set whenever a place in the queue may have become free."""

    asks_others: bool
    """Whether `try_reserve` and the steering block on another machine, and may raise `StoreError`."""

    @property
    def most_workers(self) -> int:
        """How many workers it can have."""

    def start(self) -> None:
        """Take up what is queued, and from now on what is sent. Blocks on the store."""

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """Finish what was begun, within `timeout_s`. Blocks. Returns the IDs that are left for the next start."""

    def abort(self) -> None:
        """Begin nothing more and hand back what runs, also during `stop`, which must be called all the same. Blocks
        for a second or so at most.
        """

    def try_reserve(self, image_id: str) -> Slot:
        """A place in the queue for this image, at once. Raises `PoolFull` or `PoolClosed`."""

    def refuse_what_is_known(self) -> None:
        """Raise what `try_reserve` would raise, as far as can be told without blocking."""

    def weigh(self, image_id: str) -> int:
        """What `Slot.send` is told of an image that is kept already. Blocks on a few small reads."""

    def look(self) -> None:
        """Have what follows tell how it stands now. Blocks on other machines if there are any; never raises."""

    def statistics(self) -> PoolStatistics:
        """Queue and workers at one moment: the last `look`'s, where others have to be asked."""

    def lanes(self) -> tuple[Lane, ...]:
        """What each worker does, at that moment."""

    def peers(self) -> tuple[Peer, ...]:
        """All hosts and workers, at that moment; none where this process is all there is."""

    def resize(self, workers: int) -> None:
        """Have so many workers, who share the workshop's memory by now. Raises `PoolClosed` when stopping."""

    def set_queue_capacity(self, places: int) -> None:
        """Change the places of the queue; what it holds beyond that stays in it."""

    def pause(self) -> None:
        """Have no worker begin an image until `resume`. Raises `PoolClosed` when stopping."""

    def resume(self) -> None:
        """End a pause. Raises `PoolClosed` when stopping."""


def looked(engine: Engine) -> PoolStatistics:
    """The numbers after a look. Blocks when the engine asks others."""
    engine.look()
    return engine.statistics()
