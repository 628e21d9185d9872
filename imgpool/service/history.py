"""The last five minutes, a sample a second: what the plots of the status page show.

Owns one thread and one ring of `SAMPLES` samples, in memory only: about 150 kB in all, and 0.2 ms of CPU a second,
whether anybody looks or not. Never asks the store.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from imgpool.pool import Context, PoolStatistics
from imgpool.service.measures import Measures, Percentiles, percentiles
from imgpool.service.usage import Usage, usage

SAMPLES = 300
PERIOD_S = 1.0
TIMES_OF_S = 10  # times are those of the images that ended in so many seconds: in one alone there are too few


@dataclass(frozen=True, slots=True)
class Sample:
    """About one second that ended `at` (since the epoch). `cpu` is in processors: 1.0 is one that does nothing else.
    Memory and CPU are None where the system does not tell.
    """

    at: float
    arrivals_per_s: float
    done_per_s: float
    refused_per_s: float
    buffered: int
    reserved: int
    capacity: int
    busy: int
    workers: int
    wait_p50_s: float | None
    wait_p99_s: float | None
    service_p50_s: float | None
    service_p99_s: float | None
    memory_bytes: int | None
    cpu: float | None


class History:
    """`start` and `stop` frame the thread; any thread may call `since`."""

    def __init__(
        self,
        statistics: Callable[[], PoolStatistics],
        measures: Measures,
        *,
        used: Callable[[], Usage | None] = usage,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._statistics, self._measures, self._used = statistics, measures, used
        self._clock, self._wall = clock, wall
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._lock = threading.Lock()  # of the samples alone
        self._ended: deque[list[tuple[float, float]]] = deque(maxlen=TIMES_OF_S)
        self._before = (clock(), measures.totals(), used())
        self._stopping = Context()
        self._thread = threading.Thread(target=self._run, name="imgpool-history", daemon=True)

    def start(self) -> None:
        """Take a sample every second from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Blocks for one sample at most."""
        self._stopping.cancel("the server stops")
        self._thread.join()

    def since(self, moment: float) -> list[Sample]:
        """The samples taken after a moment (since the epoch), oldest first."""
        with self._lock:
            return [sample for sample in self._samples if sample.at > moment]

    def sample(self) -> None:
        """Take one now: called by the thread, and by nobody else while it runs."""
        statistics = self._statistics()
        now, totals, used = self._clock(), self._measures.totals(), self._used()
        then, totals_then, used_then = self._before
        self._before = (now, totals, used)
        self._ended.append(self._measures.take_ended())
        ended = [each for second in self._ended for each in second]
        wait, service = (percentiles([each[part] for each in ended]) for part in (0, 1))
        elapsed_s = max(now - then, 0.001)
        sample = Sample(
            at=round(self._wall(), 3),  # as it is told: whoever asks for later ones gets it no second time
            arrivals_per_s=(totals.received - totals_then.received) / elapsed_s,
            done_per_s=(totals.done - totals_then.done) / elapsed_s,
            refused_per_s=(totals.refused - totals_then.refused) / elapsed_s,
            buffered=statistics.jobs.buffered,
            reserved=statistics.jobs.reserved,
            capacity=statistics.jobs.capacity,
            busy=statistics.busy,
            workers=statistics.workers,
            **_named("wait", wait),
            **_named("service", service),
            memory_bytes=used.memory_bytes if used else None,
            # Never below nothing: the time of a child that ended comes to its parent a little later.
            cpu=max(0.0, used.cpu_s - used_then.cpu_s) / elapsed_s if used and used_then else None,
        )
        with self._lock:
            self._samples.append(sample)

    def _run(self) -> None:
        began = self._clock()
        # At whole seconds since the start, and late ones are left out: a slow machine is not made slower.
        while not self._stopping.wait(PERIOD_S - (self._clock() - began) % PERIOD_S):
            self.sample()


def _named(name: str, times: Percentiles) -> dict[str, float | None]:
    return {f"{name}_p50_s": times.p50, f"{name}_p99_s": times.p99}
