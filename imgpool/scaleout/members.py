"""Who takes part: the web hosts and the workers, when each was last heard of, and what is being worked on.

Times are the database's, so that hosts whose clocks differ are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imgpool.scaleout.database import Database

Kind = Literal["web", "worker"]


@dataclass(frozen=True, slots=True)
class Member:
    """A process that serves (`web`) or works. `concurrency`: how many images it processes at once, 0 for `web`.
    `queue_capacity`: the setting with which it was started, None for workers.
    """

    name: str
    kind: Kind
    host: str
    pid: int
    concurrency: int
    up_s: float  # since its first beat
    silent_s: float  # since its last one
    queue_capacity: int | None


@dataclass(frozen=True, slots=True)
class AtWork:
    """An image that is being processed, by whom, and since when. `lease_s` is what is left of the lease; below 0 the
    worker is about to be taken to be lost.
    """

    worker: str
    image_id: str
    attempts: int
    for_s: float
    lease_s: float


class Members:
    """Any thread may call any method; each blocks on the database and raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(
        self, name: str, kind: Kind, host: str, pid: int, concurrency: int, queue_capacity: int | None = None
    ) -> None:
        """Say that this process is alive. To be called every few seconds."""
        self._database.change(
            "INSERT INTO members (name, kind, host, pid, concurrency, queue_capacity) VALUES (%s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, seen_at = now()",
            (name, kind, host, pid, concurrency, queue_capacity),
        )

    def leave(self, name: str) -> None:
        """Say that this process ends: nobody is to miss it."""
        self._database.change("DELETE FROM members WHERE name = %s", (name,))

    def forget(self, silent_s: float) -> int:
        """Forget those that were not heard of for so long; returns how many."""
        return self._database.change(
            "DELETE FROM members WHERE seen_at < now() - %s * interval '1 second'", (silent_s,)
        )

    def all(self) -> tuple[Member, ...]:
        """All that were heard of and not forgotten, web hosts first, by name."""
        return tuple(
            Member(*row)
            for row in self._database.rows(
                "SELECT name, kind, host, pid, concurrency, "
                "extract(epoch FROM now() - since)::float, "
                "extract(epoch FROM now() - seen_at)::float, queue_capacity FROM members ORDER BY kind, name"
            )
        )

    def at_work(self) -> tuple[AtWork, ...]:
        """What is being processed, by worker."""
        return tuple(
            AtWork(*row)
            for row in self._database.rows(
                "SELECT worker, id, attempts, greatest(0, extract(epoch FROM now()) - started_at)::float, "
                "extract(epoch FROM lease_until - now())::float "
                "FROM images WHERE state = 'processing' ORDER BY worker, id"
            )
        )
