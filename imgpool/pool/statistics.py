"""Snapshots of a channel and of a pool, and the ledger that the pool keeps.

Owns the counters' meaning. A snapshot is frozen and was taken under its owner's lock, so its numbers belong
together. Never measures time and never talks to a metrics library: whoever publishes reads a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One moment of one channel: `reserved + buffered <= capacity`, unless the capacity was just made smaller."""

    name: str
    capacity: int
    buffered: int  # items that wait for a receiver
    reserved: int  # slots granted and neither sent nor given back
    waiting_senders: int  # blocked in send() or reserve()
    waiting_receivers: int
    peak: int  # the most that reserved + buffered ever was
    closed: bool


@dataclass(frozen=True, slots=True)
class WeightStatistics:
    """One moment of a weighed channel: `in_hand <= limit`."""

    limit: int
    in_hand: int  # weight of the items that were received and are not done with, cut to the limit
    waiting: int  # items that wait in the channel because the first of them does not fit


@dataclass(slots=True)
class Ledger:
    """What became of every job ever submitted. Guarded by the pool's lock, and by nothing else.

    Every booking under that lock leaves the law whole:
    submitted = refused + dropped + cancelled + failed + succeeded + queued + running.
    """

    submitted: int = 0
    refused: int = 0
    dropped: int = 0
    cancelled: int = 0
    failed: int = 0
    succeeded: int = 0
    queued: int = 0
    running: int = 0
    undelivered: int = 0
    observer_errors: int = 0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """One moment of a pool.

    `submitted == refused + dropped + cancelled + failed + succeeded + queued + running`, always. The two channels are
    looked at under the pool's lock, but have locks of their own: `queued` also counts callers who still wait
    at the door and the job that a worker has just taken out, so it may differ from `jobs.buffered`.
    """

    workers: int  # threads that are to go on working: the size last asked for
    busy: int  # threads with a job in hand, which includes waiting for room for its result
    paused: bool
    accepting: bool
    submitted: int
    refused: int
    dropped: int
    cancelled: int
    failed: int
    succeeded: int
    queued: int
    running: int
    undelivered: int  # results that came after abort() had closed the results channel
    observer_errors: int
    jobs: ChannelStatistics
    results: ChannelStatistics
    weights: WeightStatistics | None  # None: the pool has no weight limit


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What one worker does now: the payload of the job in its hands, since when; both None when it has
    none.
    """

    name: str
    job: object | None
    started_monotonic: float | None
