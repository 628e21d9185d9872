"""A team: deadlocks are found, told and undone; and never seen where there is none."""

from __future__ import annotations

import threading

import pytest

from imgpool.pool import DeadlockError, Team

WAIT_S = 10.0


@pytest.fixture(autouse=True)
def _no_thread_of_a_team_left():
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(WAIT_S)
        assert not thread.is_alive(), f"{thread.name} left alive"


def worker(jobs, results):
    for job in jobs:
        results.send(job * 2)


def produce_then_collect(workers, jobs_capacity, results_capacity, count):
    with Team() as team:
        jobs, results = team.channel(jobs_capacity, "jobs"), team.channel(results_capacity, "results")
        for _ in range(workers):
            team.start(worker, jobs, results)
        for number in range(count):
            jobs.send(number)
        jobs.close()
        return sorted(results.receive() for _ in range(count))


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_law_of_producing_everything_first(workers):
    """It deadlocks exactly when jobs > workers + jobs buffer + results buffer."""
    for jobs_capacity in range(5):
        for results_capacity in range(5):
            for count in range(15):
                try:
                    done = produce_then_collect(workers, jobs_capacity, results_capacity, count)
                    assert done == [2 * number for number in range(count)]
                    deadlocked = False
                except DeadlockError:
                    deadlocked = True
                expected = count > workers + jobs_capacity + results_capacity
                assert deadlocked == expected, (workers, jobs_capacity, results_capacity, count)
