"""The threads of the executor that serves requests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from threading import enumerate as living

from imgpool.server.threads import raise_limit, start_threads

WAIT_S = 60
NAME = "counted"


def running() -> int:
    return sum(thread.name.startswith(NAME) for thread in living())


def test_threads_run_before_anybody_asks() -> None:
    with ThreadPoolExecutor(5, NAME) as executor:
        start_threads(executor, 3)
        assert running() == 3


def test_who_waits_when_the_limit_is_raised_gets_a_thread_at_once() -> None:
    """No newcomer is needed for it: there may be none, or it would wait behind them."""
    end = Event()
    with ThreadPoolExecutor(1) as executor:
        try:
            executor.submit(end.wait, WAIT_S)  # keeps the one thread
            together = Barrier(3)
            waiting = [executor.submit(together.wait, WAIT_S) for _ in range(3)]
            raise_limit(executor, 4)
            assert sorted(future.result(WAIT_S) for future in waiting) == [0, 1, 2]
        finally:
            end.set()


def test_who_comes_after_the_limit_was_raised_gets_a_thread_whatever_waited_before() -> None:
    with ThreadPoolExecutor(1) as executor:
        end = Event()
        waited = [executor.submit(end.wait, WAIT_S) for _ in range(5)]
        end.set()
        assert all(future.result(WAIT_S) for future in waited)
        raise_limit(executor, 4)
        together = Barrier(3)
        newcomers = [executor.submit(together.wait, WAIT_S) for _ in range(3)]
        assert sorted(future.result(WAIT_S) for future in newcomers) == [0, 1, 2]


def test_the_limit_holds_for_who_waits() -> None:
    end = Event()
    with ThreadPoolExecutor(1, NAME) as executor:
        try:
            for _ in range(6):
                executor.submit(end.wait, WAIT_S)
            raise_limit(executor, 3)
            assert running() == 3
        finally:
            end.set()
