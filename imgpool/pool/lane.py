"""A lane: one thread that may have a job in hand, and what others must know to stop it or wait for it.

Owns no lock and decides nothing: the books of the pool hold the lanes and write them.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from imgpool.pool.context import Context, shortest
from imgpool.pool.events import Job

P = TypeVar("P")


class Intake(Context):
    """A lane's permission to take jobs. The pool hands it to nobody, so only the pool's own methods ever end it."""

    __slots__ = ()


class Lane(Generic[P]):
    """One worker, or one caller that runs its own job. Written under the lock of the books.

    Only `job` is also cleared without it, by its own thread: one assignment, which readers see before or
    after.
    """

    __slots__ = ("ended", "intake", "is_worker", "job", "name", "retired", "started", "thread")

    def __init__(self, name: str, *, is_worker: bool) -> None:
        self.name = name
        self.thread = threading.current_thread()
        self.is_worker = is_worker  # a caller's thread is not ours to join
        self.intake: Intake | None = None  # permission to take jobs; pause and shrinking cancel it
        self.retired = False  # about to end; no longer counted as a worker
        self.job: Job[P] | None = None  # in hand: from the start of the handler until the result is delivered
        self.started = 0.0
        self.ended = threading.Event()


def join(lanes: list[Lane[P]], limit: Context) -> bool:
    """Wait until the lanes have ended, for as long as `limit` lasts; return whether they have."""
    for lane in lanes:
        if not lane.ended.wait(shortest(None, limit)):
            return False
        if lane.is_worker:
            lane.thread.join()  # it is past its last statement
    return True


def cancel_intakes(lanes: list[Lane[P]], reason: str) -> None:
    """Wake the lanes that wait for a job. Not under the books' lock: it goes through the jobs channel's."""
    for lane in lanes:
        if lane.intake is not None:
            lane.intake.cancel(reason)
