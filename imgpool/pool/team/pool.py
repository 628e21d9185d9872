"""A team's pool: a worker pool whose workers are members of the team, and which only members use.

Owns nothing: it hands the pool other channels and threads, and asks on whose behalf it is used.
"""

from __future__ import annotations

from typing import Any, TypeVar

from imgpool.pool.channel import Channel
from imgpool.pool.events import DrainReport
from imgpool.pool.pool import WorkerPool
from imgpool.pool.team.channel import TeamChannel
from imgpool.pool.team.roster import Roster

P = TypeVar("P")
R = TypeVar("R")


class TeamPool(WorkerPool[P, R]):
    """Made by `Team.pool`. As a `WorkerPool`; besides, calls that would wait for ever raise `DeadlockError`, and those
    of outsiders `NotInTeam`. Only `statistics()` and `workers_now()` are for everybody.
    """

    def __init__(self, roster: Roster, *args: Any, **options: Any) -> None:
        if options.get("weight_limit") is not None:
            raise ValueError("a team's pool takes no weight_limit: a job that must wait for lighter times is not stuck")
        self._roster = roster
        self._make_thread = roster.thread
        super().__init__(*args, **options)

    def _make_channel(self, capacity: int, name: str) -> Channel[Any]:
        return TeamChannel(self._roster, capacity, name)

    def start(self) -> TeamPool[P, R]:
        """As `WorkerPool.start`."""
        self._roster.me()
        super().start()
        return self

    def resize(self, workers: int) -> None:
        """As `WorkerPool.resize`."""
        self._roster.me()
        super().resize(workers)

    def pause(self) -> None:
        """As `WorkerPool.pause`."""
        self._roster.me()
        super().pause()

    def resume(self) -> None:
        """As `WorkerPool.resume`."""
        self._roster.me()
        super().resume()

    def abort(self, reason: str = "aborted", timeout_s: float | None = 1.0) -> None:
        """As `WorkerPool.abort`."""
        self._roster.me()
        super().abort(reason, timeout_s)

    def drain(self, timeout_s: float | None = None) -> DrainReport[P]:
        """As `WorkerPool.drain`; without a time limit, `DeadlockError` if the workers can never end."""
        self._roster.me()
        if timeout_s is None:
            lanes = self._books.stop_admitting()
            self._jobs.close()
            self._roster.wait_for_end(self._roster.members_of(lane.thread for lane in lanes if lane.is_worker))
        return super().drain(timeout_s)
