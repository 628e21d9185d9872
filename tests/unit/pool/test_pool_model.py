"""The pool against a plain model: the counters after every step, with a handler that ends when it is told to.

Each worker takes jobs at a moment that the model cannot know, but where it comes to rest is certain: as many jobs run
as there are workers and jobs, whichever is less, oldest first. So the model waits for that after every step.
"""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imgpool.pool import PoolClosed, PoolFull, WorkerPool

WAIT_S = 60.0


class PoolModel(RuleBasedStateMachine):
    """The model: two lists (queued, running) and one number for each way in which a job can end."""

    @initialize(
        workers=st.integers(1, 3),
        capacity=st.integers(1, 3),
        policy=st.sampled_from(["block", "refuse", "caller_runs", "drop_oldest"]),
    )
    def make(self, workers, capacity, policy):
        self.ends = {}  # job -> (the event that lets its handler end, whether it is to fail)
        self.ends_lock = threading.Lock()
        self.failing = set()
        self.pool = WorkerPool(
            self.handle,
            workers,
            jobs_capacity=capacity,
            results_capacity=10_000,  # collecting is not what this model is about
            policy=policy,
            name="test-pool",
        ).start()
        self.size, self.capacity, self.policy = workers, capacity, policy
        self.queued, self.running, self.held = [], [], []
        self.refused = self.dropped = self.failed = self.succeeded = 0
        self.paused = self.over = False
        self.next_payload = 0

    def end_of(self, payload):
        with self.ends_lock:
            return self.ends.setdefault(payload, threading.Event())

    def handle(self, ctx, payload):
        assert self.end_of(payload).wait(WAIT_S)
        if payload in self.failing:
            raise ValueError(payload)
        return payload

    def settle(self):
        """Move jobs in the model as the workers will, and wait until they have."""
        while not self.paused and self.queued and len(self.running) < self.size:
            self.running.append(self.queued.pop(0))
        limit = time.monotonic() + WAIT_S
        pause = threading.Event()
        while True:
            stats = self.pool.statistics()
            if (stats.queued, stats.running) == (len(self.queued), len(self.running)):
                break
            assert time.monotonic() < limit, (stats, self.queued, self.running)
            pause.wait(0.0005)

    def full(self):
        return len(self.queued) + len(self.held) >= self.capacity

    def submit_one(self, submit, *, run_here):
        self.next_payload += 1
        payload = self.next_payload
        if run_here and self.policy == "caller_runs" and self.full():
            self.end_of(payload).set()
            submit(payload)
            self.succeeded += 1
        elif self.policy == "drop_oldest" and self.full() and self.queued:
            submit(payload)
            self.queued.pop(0)
            self.dropped += 1
            self.queued.append(payload)
        elif self.full():
            with pytest.raises(PoolFull):
                submit(payload)
            self.refused += 1
        else:
            submit(payload)
            self.queued.append(payload)
        self.settle()

    @precondition(lambda self: not self.over)
    @rule()
    def try_submit(self):
        self.submit_one(self.pool.try_submit, run_here=False)

    @precondition(lambda self: not self.over)
    @rule()
    def submit(self):
        waits = self.policy == "block" or (self.policy == "drop_oldest" and not self.queued)
        if not (self.full() and waits):
            self.submit_one(self.pool.submit, run_here=True)

    @precondition(lambda self: not self.over)
    @rule()
    def reserve(self):
        if self.full():
            with pytest.raises(PoolFull):
                self.pool.try_reserve()
            self.refused += 1
        else:
            self.held.append(self.pool.try_reserve())

    @precondition(lambda self: self.held)
    @rule(send=st.booleans())
    def end_slot(self, send):
        slot = self.held.pop()
        if send:
            self.next_payload += 1
            slot.send(self.next_payload)
            self.queued.append(self.next_payload)
        else:
            slot.release()
        self.settle()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2), fails=st.booleans())
    def finish(self, which, fails):
        payload = self.running.pop(which % len(self.running))
        if fails:
            self.failing.add(payload)
            self.failed += 1
        else:
            self.succeeded += 1
        self.end_of(payload).set()
        self.settle()

    @precondition(lambda self: not self.over)
    @rule(size=st.integers(1, 3))
    def resize(self, size):
        self.pool.resize(size)
        self.size = size
        self.settle()

    @precondition(lambda self: not self.over)
    @rule()
    def pause(self):
        self.pool.pause()
        self.paused = True

    @precondition(lambda self: not self.over)
    @rule()
    def resume(self):
        self.pool.resume()
        self.paused = False
        self.settle()

    @precondition(lambda self: not self.over and not self.held)
    @rule()
    def drain(self):
        for payload in range(self.next_payload + 1):
            self.end_of(payload).set()
        self.succeeded += len(self.queued) + len(self.running)
        self.queued, self.running = [], []
        report = self.pool.drain(WAIT_S)
        assert (report.finished, report.unfinished) == (True, ())
        self.over, self.paused = True, False

    @precondition(lambda self: self.over)
    @rule()
    def submit_too_late(self):
        with pytest.raises(PoolClosed):
            self.pool.submit(0)
        self.refused += 1

    @invariant()
    def the_counters_agree(self):
        stats = self.pool.statistics()
        assert (stats.queued, stats.running) == (len(self.queued), len(self.running))
        assert (stats.refused, stats.dropped, stats.failed, stats.succeeded, stats.cancelled) == (
            self.refused,
            self.dropped,
            self.failed,
            self.succeeded,
            0,
        )
        assert stats.submitted == (
            self.refused + self.dropped + self.failed + self.succeeded + len(self.queued) + len(self.running)
        )
        assert stats.jobs.reserved == len(self.held)
        assert stats.jobs.reserved + stats.jobs.buffered <= self.capacity
        assert (stats.workers, stats.paused, stats.accepting) == (self.size, self.paused, not self.over)

    def teardown(self):
        if not hasattr(self, "pool"):
            return
        for slot in self.held:
            slot.release()
        for payload in range(self.next_payload + 1):
            self.end_of(payload).set()
        assert self.pool.drain(WAIT_S).finished
        results = list(self.pool.results)
        stats = self.pool.statistics()
        assert len(results) == len({result.job.number for result in results}) == stats.submitted - stats.refused


PoolModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPoolModel = PoolModel.TestCase
