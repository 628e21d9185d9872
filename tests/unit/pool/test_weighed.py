"""Weights: what runs at once never exceeds the limit, what weighs nothing goes past, nothing starves or is lost."""

from __future__ import annotations

import threading
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imgpool.pool import (
    ChannelClosed,
    ChannelEmpty,
    ChannelFull,
    ChannelTimeout,
    PoolFull,
    WeighedChannel,
    WeightStatistics,
    WorkerPool,
)

WAIT_S = 60.0


class Item(NamedTuple):
    number: int
    weight: int


def channel_of(*weights: int, capacity: int = 8, limit: int = 10) -> WeighedChannel[Item]:
    channel: WeighedChannel[Item] = WeighedChannel(capacity, weight_limit=limit)
    for number, weight in enumerate(weights):
        channel.send(Item(number, weight))
    return channel


def numbers(channel: WeighedChannel[Item], most: int = 99) -> list[int]:
    """All that can be received now."""
    found: list[int] = []
    try:
        while len(found) < most:
            found.append(channel.try_receive().number)
    except (ChannelEmpty, ChannelClosed):
        pass
    return found


def test_what_weighs_nothing_goes_past_and_the_heavy_keep_their_order() -> None:
    channel = channel_of(7, 7, 0, 3, 0)
    assert numbers(channel) == [0, 2, 4], "3 would fit beside 7, but 7 came before it"
    assert channel.weights() == WeightStatistics(limit=10, in_hand=7, waiting=2)
    channel.done_with(Item(0, 7))
    assert numbers(channel) == [1, 3]
    assert channel.weights() == WeightStatistics(limit=10, in_hand=10, waiting=0)


def test_the_older_of_two_that_fit_is_given_first() -> None:
    assert numbers(channel_of(4, 0, 4, 0)) == [0, 1, 2, 3]


def test_an_item_over_the_limit_counts_as_the_limit() -> None:
    channel = channel_of(4, 99, 0)
    assert numbers(channel) == [0, 2]
    channel.done_with(Item(0, 4))
    assert numbers(channel) == [1]
    assert channel.weights().in_hand == 10
    channel.done_with(Item(1, 99))
    assert channel.weights().in_hand == 0


def test_what_waits_for_its_weight_keeps_its_place() -> None:
    channel = channel_of(9, 9, 9, capacity=2 + 1)
    channel.try_receive()
    channel.send(Item(3, 9))
    with pytest.raises(ChannelFull):
        channel.try_send(Item(4, 0))
    assert channel.statistics().buffered == 3


def test_a_weight_given_back_wakes_whoever_waits(in_thread, until) -> None:
    channel = channel_of(9, 9)
    first = channel.receive()
    waiting = in_thread(channel.receive)
    until(lambda: channel.statistics().waiting_receivers == 1)
    channel.done_with(first)
    assert waiting.result() == Item(1, 9)


def test_a_light_item_wakes_who_waits_while_a_heavy_one_does_not_fit(in_thread, until) -> None:
    channel = channel_of(9, 9)
    channel.receive()
    waiting = in_thread(channel.receive)
    until(lambda: channel.statistics().waiting_receivers == 1)
    channel.send(Item(2, 0))
    assert waiting.result() == Item(2, 0)


def test_a_place_that_becomes_free_by_a_weight_is_the_waiting_senders(in_thread, until) -> None:
    channel = channel_of(9, 9, capacity=2)
    first = channel.receive()
    channel.send(Item(2, 9))
    sender = in_thread(lambda: channel.send(Item(3, 0)))
    until(lambda: channel.statistics().waiting_senders == 1)
    receivers = [in_thread(channel.receive) for _ in range(2)]
    until(lambda: channel.statistics().waiting_receivers == 2)
    channel.done_with(first)
    sender.result()
    assert sorted(receiver.result().number for receiver in receivers) == [1, 3], "the heavy one, and the sender's"


def test_dropping_a_heavy_item_serves_those_behind_it(in_thread, until) -> None:
    channel = channel_of(9, 9, capacity=1 + 1)
    channel.receive()
    channel.send(Item(2, 1))
    waiting = in_thread(channel.receive)
    until(lambda: channel.statistics().waiting_receivers == 1)
    assert channel.try_send_dropping(Item(3, 0)) == Item(1, 9)
    assert waiting.result() == Item(2, 1)
    assert channel.receive() == Item(3, 0)


def test_closed_and_drained_is_told_to_those_who_waited_for_a_weight(in_thread, until) -> None:
    channel = channel_of(9, 9)
    first = channel.receive()
    waiting = [in_thread(channel.receive) for _ in range(2)]
    until(lambda: channel.statistics().waiting_receivers == 2)
    channel.close()
    channel.done_with(first)
    ends = []
    for call in waiting:
        try:
            ends.append(call.result())
        except ChannelClosed:
            ends.append("closed")
    assert sorted(map(str, ends)) == sorted([str(Item(1, 9)), "closed"])


def test_a_lifted_limit_lets_everything_out() -> None:
    channel = channel_of(9, 9, 9, 0)
    channel.lift_limit()
    assert numbers(channel) == [0, 1, 2, 3]


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        WeighedChannel(0, weight_limit=1)
    with pytest.raises(ValueError, match="weight_limit is 0"):
        WeighedChannel(1, weight_limit=0)
    with (
        WorkerPool(print, 1, jobs_capacity=1, results_capacity=1, weight_limit=1, name="test-pool") as pool,
        pytest.raises(ValueError, match="weight is -1"),
    ):
        pool.try_submit(0, weight=-1)
    with pytest.raises(ValueError, match="caller_runs"):
        WorkerPool(print, 1, jobs_capacity=1, results_capacity=1, policy="caller_runs", weight_limit=1)


class WeighedModel(RuleBasedStateMachine):
    """The model: a list of items in the order of their arrival, and those in hand."""

    @initialize(capacity=st.integers(1, 5), limit=st.integers(1, 6))
    def make(self, capacity, limit):
        self.channel = WeighedChannel(capacity, weight_limit=limit)
        self.capacity, self.limit = capacity, limit
        self.items, self.in_hand, self.slots = [], [], []
        self.closed = self.lifted = False
        self.number = 0

    def new(self, weight):
        self.number += 1
        return Item(self.number, weight)

    def counted(self, items):
        return sum(item.weight for item in items)

    def fits(self, item):
        counted = self.counted(self.in_hand)
        return self.lifted or not counted or counted + item.weight <= self.limit

    def next_one(self):
        """The oldest that may be taken: of those with a weight only the oldest, and only if it fits."""
        heavy_seen = False
        for item in self.items:
            if not item.weight:
                return item
            if not heavy_seen and self.fits(item):
                return item
            heavy_seen = True
        return None

    @rule(weight=st.integers(0, 7))
    def send(self, weight):
        item = self.new(weight)
        full = len(self.items) + len(self.slots) >= self.capacity
        if self.closed or full:
            with pytest.raises(ChannelClosed if self.closed else ChannelFull):
                self.channel.try_send(item)
        else:
            self.channel.try_send(item)
            self.items.append(item)

    @rule()
    def reserve(self):
        if not self.closed and len(self.items) + len(self.slots) < self.capacity:
            self.slots.append(self.channel.try_reserve())

    @precondition(lambda self: self.slots)
    @rule(weight=st.integers(0, 7), send=st.booleans())
    def end_slot(self, weight, send):
        slot = self.slots.pop()
        if send:
            item = self.new(weight)
            slot.send(item)
            self.items.append(item)
        else:
            slot.release()

    @rule(blocking=st.booleans())
    def receive(self, blocking):
        wanted = self.next_one()
        receive = (lambda: self.channel.receive(timeout_s=0)) if blocking else self.channel.try_receive
        if wanted is not None:
            assert receive() == wanted
            self.items.remove(wanted)
            self.in_hand.append(wanted)
        elif self.closed and not self.items and not self.slots:
            with pytest.raises(ChannelClosed):
                receive()
        else:
            with pytest.raises(ChannelTimeout if blocking else ChannelEmpty):
                receive()

    @precondition(lambda self: self.in_hand)
    @rule(which=st.integers(0, 4))
    def done(self, which):
        self.channel.done_with(self.in_hand.pop(which % len(self.in_hand)))

    @rule(weight=st.integers(0, 7))
    def drop(self, weight):
        item = self.new(weight)
        full = len(self.items) + len(self.slots) >= self.capacity
        if self.closed or (full and not self.items):
            with pytest.raises(ChannelClosed if self.closed else ChannelFull):
                self.channel.try_send_dropping(item)
            return
        assert self.channel.try_send_dropping(item) == (self.items.pop(0) if full else None)
        self.items.append(item)

    @rule(limit=st.integers(1, 9))
    def change_limit(self, limit):
        self.channel.set_weight_limit(limit)
        self.limit = limit

    @rule()
    def close(self):
        self.channel.close()
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def lift(self):
        self.channel.lift_limit()
        self.lifted = True

    @invariant()
    def numbers_agree(self):
        stats, weights = self.channel.statistics(), self.channel.weights()
        assert (stats.buffered, stats.reserved) == (len(self.items), len(self.slots))
        assert weights.in_hand == min(self.counted(self.in_hand), self.limit)
        heavy = [item for item in self.items if item.weight]
        fits = not heavy or self.fits(heavy[0])
        assert weights.waiting == (0 if fits else len(heavy))


WeighedModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWeighedModel = WeighedModel.TestCase


def test_a_pool_runs_no_more_weight_than_its_limit_and_the_light_go_past(gate, until) -> None:
    began: list[str] = []  # in this order; the results of two workers may overtake each other

    def handler(ctx, payload):
        began.append(payload)
        return gate(ctx, payload)

    with WorkerPool(handler, 3, jobs_capacity=8, results_capacity=20, weight_limit=10, name="test-pool") as pool:
        for payload, weight in (("giant 1", 8), ("giant 2", 8), ("giant 3", 10)):
            pool.submit(payload, weight=weight)
        gate.wait_entered(1)
        pool.try_submit("small 1")
        with pool.try_reserve() as slot:
            slot.send("small 2", weight=0)
        gate.wait_entered(2)
        assert sorted(str(worker.job) for worker in pool.workers_now()) == ["giant 1", "small 1", "small 2"]
        stats = pool.statistics()
        assert (stats.running, stats.queued, stats.jobs.buffered) == (3, 2, 2)
        assert stats.weights == WeightStatistics(limit=10, in_hand=8, waiting=2)
        gate.open_wide()
        assert {pool.results.receive(timeout_s=WAIT_S).job.payload for _ in range(5)} == set(began)
        assert [name for name in began if name.startswith("giant")] == ["giant 1", "giant 2", "giant 3"]
        until(lambda: pool.statistics().weights == WeightStatistics(limit=10, in_hand=0, waiting=0))


def test_a_weight_is_free_again_before_the_result_finds_room(gate) -> None:
    pool = WorkerPool(gate, 2, jobs_capacity=4, results_capacity=1, weight_limit=1, name="test-pool").start()
    gate.open_wide()
    for payload in range(3):
        pool.submit(payload, weight=1)
    gate.wait_entered(3)  # nobody collects: the second result already has to wait for room
    collected = threading.Thread(target=lambda: list(pool.results), name="test-pool-collector")
    collected.start()
    assert pool.drain(WAIT_S).finished
    collected.join(WAIT_S)


def test_a_job_that_raises_gives_its_weight_back() -> None:
    def fail(ctx, payload):
        raise ValueError(payload)

    with WorkerPool(fail, 1, jobs_capacity=4, results_capacity=4, weight_limit=1, name="test-pool") as pool:
        for payload in range(3):
            pool.submit(payload, weight=1)
        assert [pool.results.receive(timeout_s=WAIT_S).outcome for _ in range(3)] == ["failed"] * 3


def test_a_full_channel_of_heavy_jobs_refuses_as_any_other(gate) -> None:
    pool = WorkerPool(gate, 2, jobs_capacity=2, results_capacity=4, weight_limit=1, name="test-pool").start()
    pool.submit("running", weight=1)
    gate.wait_entered()
    for payload in range(2):
        pool.try_submit(payload, weight=1)
    with pytest.raises(PoolFull):
        pool.try_submit("one more", weight=0)
    gate.open_wide()
    assert pool.drain(WAIT_S).finished


def test_an_abort_cancels_what_waits_for_its_weight(gate, until) -> None:
    pool = WorkerPool(gate, 2, jobs_capacity=4, results_capacity=1, weight_limit=1, name="test-pool").start()
    for payload in range(4):
        pool.submit(payload, weight=1)
    gate.wait_entered()
    report_of = threading.Thread(target=gate.open_wide, name="test-pool-opener")
    pool.abort("enough", timeout_s=0)
    report_of.start()
    outcomes = sorted(result.outcome for result in pool.results)
    report_of.join(WAIT_S)
    assert outcomes.count("cancelled") == 3
    until(lambda: pool.statistics().running == 0)
    stats = pool.statistics()
    assert stats.submitted == stats.cancelled + stats.succeeded == 4
    assert (stats.queued, stats.jobs.buffered) == (0, 0)


def test_a_drain_finishes_what_waits_for_its_weight(gate) -> None:
    pool = WorkerPool(gate, 2, jobs_capacity=8, results_capacity=8, weight_limit=1, name="test-pool").start()
    for payload in range(6):
        pool.submit(payload, weight=payload % 2)
    gate.open_wide()
    assert pool.drain(WAIT_S).finished
    assert sorted(result.job.payload for result in pool.results) == list(range(6))
