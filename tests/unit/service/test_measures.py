"""What is measured, with a clock that the test moves."""

from __future__ import annotations

import threading

import pytest

from imgpool.service.measures import RATE_WINDOW_S, SAMPLES, Measures, Percentiles


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(workers: int = 1) -> tuple[Measures, Clock]:
    clock = Clock()
    return Measures(workers, clock), clock


def test_received_is_accepted_and_refused() -> None:
    measures, _ = made()
    for _ in range(3):
        measures.accepted()
    for reason in ("no_room", "no_room", "too_large"):
        measures.refused(reason)
    told = measures.snapshot()
    assert (told.received, told.accepted, told.refused) == (6, 3, 3)
    assert told.refused_by == {"no_room": 2, "too_large": 1}


def test_a_snapshot_is_conserved_while_threads_count() -> None:
    measures, _ = made()
    stop, counting = threading.Event(), threading.Event()

    def count() -> None:
        while not stop.is_set():
            measures.accepted()
            measures.refused("no_room")
            counting.set()

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert counting.wait(60)
        for _ in range(300):
            told = measures.snapshot()
            assert told.received == told.accepted + sum(told.refused_by.values())
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    told = measures.snapshot()
    assert told.accepted == told.refused > 0


def test_a_snapshot_does_not_change_afterwards() -> None:
    measures, _ = made()
    measures.refused("no_room")
    told = measures.snapshot()
    measures.refused("no_room")
    assert told.refused_by == {"no_room": 1}


def test_rates_are_over_the_time_since_the_start_and_then_over_the_last_minute() -> None:
    measures, clock = made()
    for _ in range(4):
        measures.accepted()
    assert measures.snapshot().arrivals_per_s == 4.0, "the first second counts whole"
    clock.now += 10
    measures.refused("no_room")
    measures.finished(done=True, wait_s=0.0, service_s=1.0)
    assert measures.snapshot().arrivals_per_s == pytest.approx(0.5)
    assert measures.snapshot().done_per_s == pytest.approx(0.1)
    clock.now += RATE_WINDOW_S - 10
    assert measures.snapshot().arrivals_per_s == pytest.approx(1 / 60), "the four of a minute ago are forgotten"
    clock.now += 3600
    assert measures.snapshot().arrivals_per_s == 0.0
    assert measures.snapshot().done_per_s == 0.0


def test_percentiles_are_the_nearest_rank() -> None:
    measures, _ = made()
    assert measures.snapshot().wait_s == Percentiles(None, None)
    measures.finished(done=True, wait_s=7.0, service_s=None)
    assert measures.snapshot().wait_s == Percentiles(7.0, 7.0)
    assert measures.snapshot().service_s == Percentiles(None, None), "not measured in this process"
    for wait_s in (1.0, 5.0, 3.0):
        measures.finished(done=True, wait_s=wait_s, service_s=None)
    assert measures.snapshot().wait_s == Percentiles(3.0, 7.0), "of 1 3 5 7 the second and the fourth"


def test_percentiles_of_a_hundred_and_of_the_last_thousand() -> None:
    measures, _ = made()
    for number in range(100, 0, -1):
        measures.finished(done=True, wait_s=float(number), service_s=float(number))
    assert measures.snapshot().service_s == Percentiles(50.0, 99.0)
    for _ in range(SAMPLES):
        measures.finished(done=True, wait_s=2.0, service_s=2.0)
    assert measures.snapshot().service_s == Percentiles(2.0, 2.0), "older ones are forgotten"


def test_done_and_failed_are_counted_apart() -> None:
    measures, _ = made()
    measures.finished(done=True, wait_s=0.0, service_s=0.0)
    measures.finished(done=False, wait_s=0.0, service_s=0.0)
    measures.finished(done=False, wait_s=0.0, service_s=0.0)
    assert (measures.snapshot().done, measures.snapshot().failed) == (1, 2)


def test_the_wait_is_estimated_by_littles_law() -> None:
    measures, clock = made(workers=4)
    assert measures.estimate_wait_s(10) is None
    for service_s in (1.0, 2.0, 3.0):
        measures.finished(done=True, wait_s=0.0, service_s=service_s)
    assert measures.estimate_wait_s(10) == pytest.approx(10 * 2.0 / 4)
    assert measures.estimate_wait_s(0) == 0.0
    clock.now += 3600
    assert measures.estimate_wait_s(10) == pytest.approx(5.0), "a quiet hour changes nothing"


def test_retry_after_has_bounds() -> None:
    measures, _ = made()
    assert {measures.retry_after_s(1000) for _ in range(50)} <= {1, 2}, "nothing measured yet: a guess of 2 s"
    measures.finished(done=True, wait_s=0.0, service_s=1.0)
    assert {measures.retry_after_s(0) for _ in range(20)} == {1}
    assert {measures.retry_after_s(10_000) for _ in range(20)} == {120}


def test_retry_after_is_spread() -> None:
    measures, _ = made()
    measures.finished(done=True, wait_s=0.0, service_s=1.0)
    given = [measures.retry_after_s(100) for _ in range(400)]
    assert 50 <= min(given) <= max(given) <= 75, "half of what is ahead, and up to half of that more"
    assert len(set(given)) > 10, "they do not all come back together"
