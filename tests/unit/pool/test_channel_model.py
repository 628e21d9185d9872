"""The channel against a plain model: every sequence of calls that do not block, in one thread."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from imgpool.pool import (
    Channel,
    ChannelClosed,
    ChannelEmpty,
    ChannelFull,
    ChannelTimeout,
    SlotUsed,
)


class ChannelModel(RuleBasedStateMachine):
    """The model: a list of items, a number of reserved places, a flag."""

    slots = Bundle("slots")

    @initialize(capacity=st.integers(0, 4))
    def make(self, capacity):
        self.channel = Channel(capacity)
        self.capacity = capacity
        self.items = []
        self.held = set()
        self.closed = False
        self.next_item = 0
        self.peak = 0
        self.bound = capacity  # larger than the capacity only while a shrunk channel still holds more

    def expected_error(self):
        if self.closed:
            return ChannelClosed
        return ChannelFull if len(self.items) + len(self.held) >= self.capacity else None

    def took_in(self):
        self.peak = max(self.peak, len(self.items) + len(self.held))

    @rule(blocking=st.booleans())
    def send(self, blocking):
        self.next_item += 1
        error = self.expected_error()
        if blocking and error is ChannelFull:
            error = ChannelTimeout
        send = (lambda item: self.channel.send(item, timeout_s=0)) if blocking else self.channel.try_send
        if error:
            with pytest.raises(error):
                send(self.next_item)
            return
        send(self.next_item)
        self.items.append(self.next_item)
        self.took_in()

    @rule()
    def send_dropping(self):
        self.next_item += 1
        error = self.expected_error()
        if error is ChannelClosed or (error is ChannelFull and not self.items):
            with pytest.raises(error):
                self.channel.try_send_dropping(self.next_item)
            return
        oldest = self.items.pop(0) if error is ChannelFull else None
        assert self.channel.try_send_dropping(self.next_item) == oldest
        self.items.append(self.next_item)
        self.took_in()

    @rule(blocking=st.booleans())
    def receive(self, blocking):
        if self.items:
            received = self.channel.receive(timeout_s=0) if blocking else self.channel.try_receive()
            assert received == self.items.pop(0)
            return
        error = ChannelTimeout if blocking else ChannelEmpty
        with pytest.raises(ChannelClosed if self.closed and not self.held else error):
            self.channel.receive(timeout_s=0) if blocking else self.channel.try_receive()

    @rule(target=slots, blocking=st.booleans())
    def reserve(self, blocking):
        error = ValueError if self.capacity == 0 else self.expected_error()
        if blocking and error is ChannelFull:
            error = ChannelTimeout
        reserve = (lambda: self.channel.reserve(timeout_s=0)) if blocking else self.channel.try_reserve
        if error:
            with pytest.raises(error):
                reserve()
            return multiple()
        slot = reserve()
        self.held.add(slot)
        self.took_in()
        return slot

    @rule(slot=slots)
    def send_slot(self, slot):
        self.next_item += 1
        if slot not in self.held:
            with pytest.raises(SlotUsed):
                slot.send(self.next_item)
            return
        slot.send(self.next_item)  # never refused: not when full, not when closed
        self.held.remove(slot)
        self.items.append(self.next_item)

    @rule(slot=slots)
    def release_slot(self, slot):
        slot.release()
        self.held.discard(slot)

    @rule(capacity=st.integers(1, 4))
    def set_capacity(self, capacity):
        self.channel.set_capacity(capacity)
        self.capacity = capacity

    @rule()
    def close(self):
        self.channel.close()
        self.closed = True

    @invariant()
    def statistics_agree(self):
        stats = self.channel.statistics()
        held = len(self.items) + len(self.held)
        assert (stats.capacity, stats.buffered, stats.reserved) == (self.capacity, len(self.items), len(self.held))
        assert (stats.peak, stats.closed, stats.waiting_senders, stats.waiting_receivers) == (
            self.peak,
            self.closed,
            0,
            0,
        )
        self.bound = max(self.capacity, min(self.bound, held))
        assert held <= self.bound


ChannelModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestChannelModel = ChannelModel.TestCase
