"""What travels through a pool and what is told about it: jobs, results, events, the report of a drain.

Owns only frozen values, safe to pass between threads. Decides nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

P = TypeVar("P")
R = TypeVar("R")

Outcome = Literal["succeeded", "failed", "cancelled", "dropped"]
EventKind = Literal["submitted", "refused", "started", "finished", "dropped", "worker_started", "worker_stopped"]


# Two named tuples and not frozen dataclasses: both are made for every job, and a frozen dataclass of seven
# fields takes three times as long to make (0.74 us against 0.24).


class Job(NamedTuple, Generic[P]):
    """One unit of work."""

    number: int  # 1, 2, 3 ... in the order of submission to this pool
    payload: P
    submitted_at: float  # time.monotonic()
    weight: int = 0  # what it takes of the pool's weight limit while it runs


class Result(NamedTuple, Generic[P, R]):
    """What became of a job: exactly one for each job that was not refused.

    `value` is the handler's when it succeeded, else None; `error` is None exactly when it succeeded. A failed
    result's error keeps its traceback, and thereby the handler's local variables, until the result is let go.
    """

    job: Job[P]
    outcome: Outcome
    value: R | None
    error: BaseException | None
    waited_s: float  # from the submission to the start, or to the end if it never started
    ran_s: float  # in the handler
    worker: str | None  # None: it never started


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, with its time.

    The events of one job come in order (submitted; then refused, dropped or started, finished). Events of
    different jobs come from different threads and may overlap.
    """

    kind: EventKind
    at: float  # time.monotonic()
    job: Job[Any] | None = None  # None for a worker's events, and for a refused reserve()
    worker: str | None = None
    outcome: Outcome | None = None  # with "finished"
    reason: str | None = None  # with "refused": the name of the error that the caller got


@dataclass(frozen=True, slots=True)
class DrainReport(Generic[P]):
    """How a drain went. `unfinished`: admitted jobs whose result was not in the results channel at the
    deadline.
    """

    finished: bool
    unfinished: tuple[Job[P], ...]
    waited_s: float


def never_ran(job: Job[P], outcome: Outcome, error: BaseException) -> Result[P, Any]:
    """Return the result of a job that no handler saw."""
    return Result(job, outcome, None, error, time.monotonic() - job.submitted_at, 0.0, None)
