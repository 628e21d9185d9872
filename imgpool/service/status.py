"""What one look at the service tells: the frozen snapshot behind status page, API and metrics."""

from __future__ import annotations

from dataclasses import dataclass

from imgpool.pool import ChannelStatistics, WeightStatistics
from imgpool.service.engine import Lane, Peer
from imgpool.service.measures import Measured
from imgpool.service.memory import MemoryBudget
from imgpool.service.records import Counts
from imgpool.service.resumable_book import Standing
from imgpool.service.retries import Retrying


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory budget: `shared_bytes` of `budget_bytes` are for images larger than the workers' own share, which
    use `in_use_bytes` of it now by estimate; `waiting` are queued because they do not fit.
    """

    budget_bytes: int
    shared_bytes: int
    in_use_bytes: int
    waiting: int

    @classmethod
    def of(cls, budget: MemoryBudget, weights: WeightStatistics | None) -> Memory:
        """The budget, and what the pool says of it."""
        in_use, waiting = (weights.in_hand, weights.waiting) if weights else (0, 0)
        return cls(budget.total_bytes, budget.weight_limit, in_use, waiting)


@dataclass(frozen=True, slots=True)
class Status:
    """`accepting` is whether an upload would be admitted now, `reason` why not. `wait_estimate_s` is for an image
    that would be queued now; None before the first one was processed.
    `oldest_wait_s` is the age of the oldest queued image. `free_bytes` is None when the disk does not answer.
    """

    accepting: bool
    reason: str | None
    workers: int
    busy: int
    lanes: tuple[Lane, ...]
    peers: tuple[Peer, ...]
    queue: ChannelStatistics
    results: ChannelStatistics
    memory: Memory
    counts: Counts
    measured: Measured
    wait_estimate_s: float | None
    oldest_wait_s: float
    unfinished: Standing
    paused: bool
    retrying: Retrying
    most_workers: int
    free_bytes: int | None
    uptime_s: float
