"""The last five minutes: what a sample says of its second, and that it stays a bounded ring."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from doubles import Watching, take
from imgpool.pool import WorkerPool
from imgpool.service.history import SAMPLES, TIMES_OF_S, History
from imgpool.service.measures import Measures
from imgpool.service.usage import Usage


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Used:
    """What the system says, in turn."""

    def __init__(self) -> None:
        self.told: Usage | None = Usage(100, 10.0)

    def __call__(self) -> Usage | None:
        return self.told


@pytest.fixture
def pool() -> Iterator[WorkerPool[str, None]]:
    with WorkerPool[str, None](lambda ctx, job: None, 2, jobs_capacity=4, results_capacity=1) as made:
        made.pause()
        yield made


def test_a_sample_is_of_its_own_second(pool: WorkerPool[str, None]) -> None:
    clock, used = Clock(), Used()
    measures = Measures(2, clock)
    history = History(pool.statistics, measures, used=used, clock=clock, wall=lambda: clock.now + 5e8)
    for _ in range(6):
        measures.accepted()
    measures.refused("no_room")
    measures.finished(done=True, wait_s=1.0, service_s=0.25)
    measures.finished(done=False, wait_s=3.0, service_s=0.75)
    slot = pool.try_reserve()
    clock.now, used.told = clock.now + 2, Usage(300, 13.0)
    history.sample()
    (sample,) = history.since(0)
    assert (sample.at, sample.arrivals_per_s, sample.done_per_s, sample.refused_per_s) == (500_001_002.0, 3.5, 0.5, 0.5)
    assert (sample.buffered, sample.reserved, sample.capacity, sample.busy, sample.workers) == (0, 1, 4, 0, 2)
    assert (sample.wait_p50_s, sample.wait_p99_s, sample.service_p50_s, sample.service_p99_s) == (1.0, 3.0, 0.25, 0.75)
    assert (sample.memory_bytes, sample.cpu) == (300, 1.5)
    slot.release()
    clock.now, used.told = clock.now + 1, None
    history.sample()
    (later,) = history.since(sample.at)
    assert (later.arrivals_per_s, later.done_per_s, later.reserved) == (0, 0, 0)
    assert (later.memory_bytes, later.cpu) == (None, None)
    assert later.wait_p99_s == 3.0, "one of the last ten seconds"
    for _ in range(TIMES_OF_S):
        clock.now += 1
        history.sample()
    assert history.since(clock.now + 5e8 - 0.5)[0].wait_p99_s is None


def test_it_keeps_five_minutes(pool: WorkerPool[str, None]) -> None:
    clock = Clock()
    history = History(pool.statistics, Measures(2, clock), used=Used(), clock=clock, wall=clock)
    for _ in range(SAMPLES + 10):
        clock.now += 1
        history.sample()
    assert [sample.at for sample in history.since(0)] == [1011.0 + second for second in range(SAMPLES)]
    assert history.since(clock.now) == []


def test_a_flood_of_refusals_is_one_line_a_second_and_reason() -> None:
    clock = Clock()
    measures = Measures(1, clock, clock)
    for moment, reason in ((0.0, "no_room"), (0.2, "too_large"), (0.9, "no_room"), (1.1, "no_room"), (1.2, "no_room")):
        clock.now = 1000.0 + moment
        measures.refused(reason)
    recent = [(each.at - 1000, each.reason, each.count) for each in measures.snapshot().recent_refusals]
    assert [(round(at, 1), reason, count) for at, reason, count in recent] == [
        (1.1, "no_room", 2),
        (0.2, "too_large", 1),
        (0.0, "no_room", 2),
    ]
    for second in range(100):
        clock.now = 2000.0 + second
        measures.refused("no_room")
    assert len(measures.snapshot().recent_refusals) == 8


def test_a_running_service_samples_itself(start: Callable[..., Watching], images: dict[str, bytes]) -> None:
    service = start(workers=1)
    take(service, images["tiny"])
    service.settled()
    service.until(lambda: any(sample.arrivals_per_s > 0 for sample in service.samples(0)))
    sample = service.samples(0)[-1]
    assert (sample.workers, sample.capacity) == (1, 8)
    assert sample.memory_bytes is None or sample.memory_bytes > 1_000_000
