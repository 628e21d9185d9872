"""The worker-pool pattern: a jobs channel, N worker threads, a results channel.

Everything bounded, everything counted, nothing but the standard library, and no idea of what a job is:

    def shrink(ctx: Context, path: str) -> int: ...

    with WorkerPool(shrink, workers=4, jobs_capacity=16, results_capacity=16) as pool:
        ...  # one thread submits; another iterates over pool.results

Read in this order. A channel: errors, context, slot, waiting, statistics, channel, weighed. A pool: events, lane,
books (the one lock, and all that it guards), announcer, crew, door, pool. And, for programs whose deadlocks are to be
diagnosed, the package `team`.
"""

from imgpool.pool.channel import Channel
from imgpool.pool.context import Context
from imgpool.pool.door import JobSlot, Policy
from imgpool.pool.errors import (
    Cancelled,
    ChannelClosed,
    ChannelEmpty,
    ChannelError,
    ChannelFull,
    ChannelTimeout,
    ContextDone,
    DeadlineExceeded,
    DeadlockError,
    NotInTeam,
    PoolClosed,
    PoolError,
    PoolFull,
    SlotUsed,
    SubmitTimeout,
)
from imgpool.pool.events import DrainReport, Event, EventKind, Job, Outcome, Result
from imgpool.pool.pool import WorkerPool
from imgpool.pool.slot import Slot
from imgpool.pool.statistics import ChannelStatistics, PoolStatistics, WeightStatistics, WorkerState
from imgpool.pool.team import Team
from imgpool.pool.weighed import WeighedChannel

__all__ = [
    "Cancelled",
    "Channel",
    "ChannelClosed",
    "ChannelEmpty",
    "ChannelError",
    "ChannelFull",
    "ChannelStatistics",
    "ChannelTimeout",
    "Context",
    "ContextDone",
    "DeadlineExceeded",
    "DeadlockError",
    "DrainReport",
    "Event",
    "EventKind",
    "Job",
    "JobSlot",
    "NotInTeam",
    "Outcome",
    "Policy",
    "PoolClosed",
    "PoolError",
    "PoolFull",
    "PoolStatistics",
    "Result",
    "Slot",
    "SlotUsed",
    "SubmitTimeout",
    "Team",
    "WeighedChannel",
    "WeightStatistics",
    "WorkerPool",
    "WorkerState",
]
