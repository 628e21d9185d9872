"""What is measured while the service runs: rates, waits, counters since the start. In memory only.

All of it is guarded by one lock; nothing here blocks for longer than a copy of a few thousand numbers.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

RATE_WINDOW_S = 60
SAMPLES = 1000
RECENT_REFUSALS = 8
PAUSED_RETRY_S = 30


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds; None while nothing was measured."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One snapshot. received = accepted + refused; rates are per second over the last minute (or since the start)."""

    accepted: int
    refused: int
    refused_by: dict[str, int]
    done: int
    failed: int
    arrivals_per_s: float
    done_per_s: float
    wait_s: Percentiles
    service_s: Percentiles
    recent_refusals: tuple[Refusals, ...] = ()  # newest first

    @property
    def received(self) -> int:
        """Uploads that were decided on, one way or the other."""
        return self.accepted + self.refused


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since the start; received = accepted + refused."""

    received: int
    refused: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refusals for one reason in one second, the first of them `at` (since the epoch)."""

    at: float
    reason: str
    count: int


class _Rate:
    """Events per second over the last `RATE_WINDOW_S` seconds, in one bucket a second."""

    def __init__(self, now: float) -> None:
        self._start = now
        self._buckets: deque[tuple[int, int]] = deque()

    def count(self, now: float) -> None:
        second = int(now)
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1] = (second, self._buckets[-1][1] + 1)
        else:
            self._buckets.append((second, 1))
        self._forget(now)

    def per_s(self, now: float) -> float:
        self._forget(now)
        window = min(max(now - self._start, 1.0), RATE_WINDOW_S)
        return sum(n for _, n in self._buckets) / window

    def _forget(self, now: float) -> None:
        while self._buckets and self._buckets[0][0] <= now - RATE_WINDOW_S:
            self._buckets.popleft()


class Measures:
    """Counts what happens; any thread may call any method."""

    def __init__(
        self,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lock = threading.Lock()
        self._clock, self._wall = clock, wall
        self._recent: deque[Refusals] = deque(maxlen=RECENT_REFUSALS)  # newest last
        self._ended: deque[tuple[float, float]] = deque(maxlen=SAMPLES)  # wait, service; since somebody took them
        self._workers = workers
        now = clock()
        self._arrivals, self._finished = _Rate(now), _Rate(now)
        self._accepted = self._done = self._failed = 0
        self._refused: Counter[str] = Counter()
        self._waits: deque[float] = deque(maxlen=SAMPLES)
        self._services: deque[float] = deque(maxlen=SAMPLES)
        self._mean_service_s: float | None = None  # of `_services`: asked for at every refusal, changed by every image

    def set_workers(self, workers: int) -> None:
        """So many work from now on; what they can do is estimated from it."""
        with self._lock:
            self._workers = workers

    def accepted(self) -> None:
        """An upload became an image."""
        with self._lock:
            self._accepted += 1
            self._arrivals.count(self._clock())

    def refused(self, reason: str) -> None:
        """An upload was turned away."""
        with self._lock:
            self._refused[reason] += 1
            self._remember(reason, self._wall())
            self._arrivals.count(self._clock())

    def finished(self, *, done: bool, wait_s: float | None, service_s: float | None) -> None:
        """An image ended; the durations are None when they were not measured in this process."""
        with self._lock:
            if done:
                self._done += 1
            else:
                self._failed += 1
            self._finished.count(self._clock())
            if wait_s is not None and service_s is not None:
                self._ended.append((wait_s, service_s))
            if wait_s is not None:
                self._waits.append(wait_s)
            if service_s is not None:
                self._services.append(service_s)
                self._mean_service_s = sum(self._services) / len(self._services)

    def snapshot(self) -> Measured:
        """Everything at one moment."""
        with self._lock:
            now = self._clock()
            return Measured(
                accepted=self._accepted,
                refused=self._refused.total(),
                refused_by=dict(self._refused),
                done=self._done,
                failed=self._failed,
                arrivals_per_s=self._arrivals.per_s(now),
                done_per_s=self._finished.per_s(now),
                wait_s=percentiles(self._waits),
                service_s=percentiles(self._services),
                recent_refusals=tuple(reversed(self._recent)),
            )

    def totals(self) -> Totals:
        """The counters alone, for whoever asks every second."""
        with self._lock:
            refused = self._refused.total()
            return Totals(self._accepted + refused, refused, self._done, self._failed)

    def take_ended(self) -> list[tuple[float, float]]:
        """Wait and processing time of the images that ended since the last call, the last thousand at most. For one
        caller: each is given out once.
        """
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
            return ended

    def _remember(self, reason: str, now: float) -> None:
        """With the lock held. A flood is one line a second and reason, not a thousand."""
        for index in range(len(self._recent) - 1, -1, -1):
            last = self._recent[index]
            if now - last.at >= 1.0 or now < last.at:
                break
            if last.reason == reason:
                self._recent[index] = Refusals(last.at, reason, last.count + 1)
                return
        self._recent.append(Refusals(now, reason, 1))

    def estimate_wait_s(self, ahead: int) -> float | None:
        """How long an image would wait with `ahead` images before it: Little's law, W = L / throughput.

        The throughput is what the workers can do, workers / mean service time of the last images, and not the
        arrivals' rate: after a quiet minute the last minute's rate would promise hours. None before the first image.
        """
        mean = self._mean_service_s
        return None if mean is None else ahead * mean / self._workers

    def retry_after_s(self, ahead: int) -> int:
        """When to come back, in whole seconds: about when half of what is ahead is done, spread by a random
        half so that those who were refused together do not come back together. From 1 to 120.
        """
        wait = self.estimate_wait_s(ahead)
        if wait is None:
            wait = 2.0
        return min(120, max(1, math.ceil(wait / 2 * random.uniform(1.0, 1.5))))  # noqa: S311 - jitter


def paused_retry_after_s() -> int:
    """When to come back to a queue that is full while the pool is paused, in whole seconds. Nobody can tell: soon
    enough to see that it goes on, and not often; spread, as `Measures.retry_after_s` is. From 30 to 45.
    """
    return round(PAUSED_RETRY_S * random.uniform(1.0, 1.5))  # noqa: S311 - jitter


def percentiles(samples: Collection[float]) -> Percentiles:
    """Of these seconds, by the nearest rank."""
    if not samples:
        return Percentiles(None, None)
    ordered = sorted(samples)
    return Percentiles(_nearest_rank(ordered, 0.50), _nearest_rank(ordered, 0.99))


def _nearest_rank(ordered: list[float], share: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least `share` of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
