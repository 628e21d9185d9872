"""Steering: how many workers and places the pool has, and whether it is paused, while the service runs.

Nothing of it is kept beyond the process: the next start has the workers and places of the settings. Starts no thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from imgpool.config import FIELDS
from imgpool.errors import NotAllowed
from imgpool.pool import PoolClosed
from imgpool.service.engine import Engine
from imgpool.service.measures import Measures
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

MIB = 1024**2


class Steering:
    """Any thread may call any method; those that change something block, and may raise `StoreError`, where the engine
    asks others.
    """

    def __init__(self, engine: Engine, workshop: Workshop, measures: Measures) -> None:
        self._engine, self._workshop, self._measures = engine, workshop, measures
        self._lock = threading.Lock()  # of the number of workers, so that memory goes with it

    def check(self, workers: int | None = None, queue_capacity: int | None = None) -> None:
        """Raises `NotAllowed` for numbers that `set_workers` and `set_queue_capacity` would refuse."""
        if workers is not None:
            _check("workers", workers)
            most = self._engine.most_workers
            if workers > most:
                raise NotAllowed(
                    f"{workers} workers are not allowed; allowed: 1 to {most}, because each needs "
                    f"its share of the {self._workshop.budget.total_bytes // MIB} MiB that decoding may use "
                    "(--decode-memory-bytes)."
                )
        if queue_capacity is not None:
            _check("queue_capacity", queue_capacity)

    def set_workers(self, workers: int) -> None:
        """More at once, or fewer as they finish what they have. Raises `NotAllowed`; does nothing when stopping."""
        self.check(workers=workers)
        with self._lock:
            self._workshop.share(workers)
            try:
                self._engine.resize(workers)
            except PoolClosed:
                return
            self._measures.set_workers(workers)
        log.info("workers: %d (steered)", workers)

    def set_queue_capacity(self, places: int) -> None:
        """Change the places of the queue; what it holds beyond that stays in it. Raises `NotAllowed`."""
        self.check(queue_capacity=places)
        self._engine.set_queue_capacity(places)
        log.info("queue capacity: %d (steered)", places)

    def pause(self) -> None:
        """Have no worker take an image until `resume`. Uploads are accepted while there are places."""
        self._change(self._engine.pause)

    def resume(self) -> None:
        """End a pause."""
        self._change(self._engine.resume)

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except PoolClosed:
            return  # the drain has lifted the pause, and nothing can be paused any more


def _check(name: str, number: int) -> None:
    """What may be set at the start may be set later, too."""
    parse = next(field for field in FIELDS if field.name == name).metadata["parse"]
    try:
        parse(str(number))
    except ValueError as error:
        raise NotAllowed(
            f"{name.replace('_', ' ')}: {number} is not allowed; allowed: {str(error).removeprefix('auto or ')}."
        ) from None
