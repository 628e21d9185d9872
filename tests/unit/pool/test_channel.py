from __future__ import annotations

import threading

import pytest

from imgpool.pool import (
    Cancelled,
    Channel,
    ChannelClosed,
    ChannelEmpty,
    ChannelFull,
    ChannelTimeout,
    Context,
    DeadlineExceeded,
    SlotUsed,
)

WAIT_S = 60.0


def senders(channel):
    return channel.statistics().waiting_senders


def receivers(channel):
    return channel.statistics().waiting_receivers


def test_capacity_must_be_given_and_not_be_negative():
    with pytest.raises(TypeError):
        Channel()
    with pytest.raises(ValueError, match="-1"):
        Channel(-1)


def test_first_in_first_out():
    channel = Channel(3)
    for number in range(3):
        channel.send(number)
    assert [channel.receive() for _ in range(3)] == [0, 1, 2]


def test_none_is_an_item_like_any_other():
    channel = Channel(1)
    channel.send(None)
    assert channel.receive() is None


def test_full_closed_empty_and_timeout_are_told_apart():
    channel = Channel(1)
    with pytest.raises(ChannelEmpty):
        channel.try_receive()
    with pytest.raises(ChannelTimeout):
        channel.receive(timeout_s=0.01)
    channel.send(1)
    with pytest.raises(ChannelFull):
        channel.try_send(2)
    with pytest.raises(ChannelFull):
        channel.try_reserve()
    with pytest.raises(ChannelTimeout):
        channel.send(2, timeout_s=0.01)
    with pytest.raises(ChannelTimeout):
        channel.reserve(timeout_s=0)
    channel.close()
    channel.close()
    for attempt in (channel.try_send, channel.send):
        with pytest.raises(ChannelClosed):
            attempt(2)
    with pytest.raises(ChannelClosed):
        channel.reserve()
    with pytest.raises(ChannelClosed):
        channel.try_reserve()
    assert channel.receive() == 1
    with pytest.raises(ChannelClosed):
        channel.receive()
    with pytest.raises(ChannelClosed):
        channel.try_receive()


def test_nothing_is_sent_by_a_send_that_timed_out():
    channel = Channel(1)
    channel.send(1)
    with pytest.raises(ChannelTimeout):
        channel.send(2, timeout_s=0.01)
    assert senders(channel) == 0
    channel.close()
    assert list(channel) == [1]


def test_an_infinite_time_limit_is_a_time_limit(in_thread, until):
    channel = Channel(1)
    receiving = in_thread(lambda: channel.receive(timeout_s=float("inf")))
    until(lambda: receivers(channel) == 1)
    channel.send("late")
    assert receiving.result() == "late"


def test_a_blocked_send_goes_on_when_there_is_room(in_thread, until):
    channel = Channel(1)
    channel.send(1)
    sending = in_thread(lambda: channel.send(2, WAIT_S))
    until(lambda: senders(channel) == 1)
    assert channel.receive() == 1
    sending.result()
    assert channel.receive() == 2


def test_iteration_ends_when_closed_and_drained(in_thread):
    channel = Channel(2)
    collecting = in_thread(lambda: list(channel))
    for number in range(10):
        channel.send(number, WAIT_S)
    channel.close()
    assert collecting.result() == list(range(10))


def test_close_wakes_whoever_is_blocked(in_thread, until):
    full, empty = Channel(1), Channel(1)
    full.send(1)
    calls = [
        in_thread(lambda: full.send(2, WAIT_S)),
        in_thread(lambda: full.reserve(WAIT_S)),
        in_thread(lambda: empty.receive(WAIT_S)),
    ]
    until(lambda: senders(full) == 2 and receivers(empty) == 1)
    full.close()
    empty.close()
    assert full.closed
    for call in calls:
        with pytest.raises(ChannelClosed):
            call.result()
    assert list(full) == [1]


def test_who_waits_is_served_before_who_tries_later(in_thread, until):
    channel = Channel(1)
    channel.send("first")
    blocked = []
    for name in ("second", "third"):
        blocked.append(in_thread(lambda name=name: channel.send(name, WAIT_S)))
        until(lambda: senders(channel) == len(blocked))
    received = []
    for _ in range(2):
        received.append(channel.receive())
        with pytest.raises(ChannelFull):  # the place went to the one who waited, before receive() returned
            channel.try_send("pushy")
    for call in blocked:
        call.result()
    received.append(channel.receive())
    assert received == ["first", "second", "third"]


def test_a_waiting_reserver_is_served_in_line(in_thread, until):
    channel = Channel(1)
    channel.send(1)
    reserving = in_thread(lambda: channel.reserve(WAIT_S))
    until(lambda: senders(channel) == 1)
    assert channel.receive() == 1
    with pytest.raises(ChannelFull):
        channel.try_reserve()
    reserving.result().send(2)
    assert channel.receive() == 2


# -- contexts ---------------------------------------------------------------------------------------


def test_a_done_context_takes_and_sends_nothing():
    channel = Channel(2)
    channel.send(1)
    ctx = Context()
    ctx.cancel("paused")
    with pytest.raises(Cancelled, match="paused"):
        channel.receive(ctx=ctx)
    with pytest.raises(Cancelled):
        channel.send(2, ctx=ctx)
    with pytest.raises(Cancelled):
        channel.reserve(ctx=ctx)
    assert channel.statistics().buffered == 1


@pytest.mark.parametrize("kind", ["receive", "send", "reserve"])
def test_cancel_wakes_a_blocked_call(kind, in_thread, until):
    channel = Channel(1)
    parent = Context()
    ctx = parent.child()
    calls = {
        "receive": lambda: channel.receive(ctx=ctx),
        "send": lambda: channel.send(2, ctx=ctx),
        "reserve": lambda: channel.reserve(ctx=ctx),
    }
    if kind != "receive":
        channel.send(1)
    blocked = in_thread(calls[kind])
    until(lambda: bool(ctx._callbacks))  # it stands in line, and has said whom to call
    assert senders(channel) + receivers(channel) == 1
    parent.cancel("retired")
    assert senders(channel) + receivers(channel) == 0
    with pytest.raises(Cancelled, match="retired"):
        blocked.result()
    assert not ctx._callbacks


def test_a_context_deadline_ends_a_blocked_call():
    channel = Channel(1)
    with pytest.raises(DeadlineExceeded):
        channel.receive(ctx=Context(timeout_s=0.01))
    with pytest.raises(DeadlineExceeded):
        channel.receive(timeout_s=WAIT_S, ctx=Context(timeout_s=0.01))
    with pytest.raises(ChannelTimeout):
        channel.receive(timeout_s=0.01, ctx=Context(timeout_s=WAIT_S))


def test_a_context_cancelled_between_joining_the_line_and_registering_is_noticed():
    channel = Channel(1)

    class LateContext(Context):
        def on_done(self, callback):
            self.cancel("just now")
            return super().on_done(callback)

    with pytest.raises(Cancelled, match="just now"):
        channel.receive(ctx=LateContext())
    assert receivers(channel) == 0


def test_nothing_is_handed_to_a_waiter_whose_context_is_over(in_thread, until):
    now = [0.0]
    ctx = Context(timeout_s=60, clock=lambda: now[0])
    channel = Channel(1)
    late = in_thread(lambda: channel.receive(ctx=ctx))
    until(lambda: receivers(channel) == 1)
    now[0] = 61.0  # by this context's clock the deadline has passed; the thread still sleeps
    channel.send("item")
    with pytest.raises(DeadlineExceeded):
        late.result()
    assert channel.receive() == "item"


def test_a_wait_that_wakes_before_a_slow_clocks_deadline_goes_on(in_thread, until):
    asked = threading.Semaphore(0)

    class SlowClock:
        now = 0.0

        def __call__(self):
            asked.release()
            return self.now

    clock = SlowClock()
    ctx = Context(timeout_s=0.001, clock=clock)
    channel = Channel(1)
    receiving = in_thread(lambda: channel.receive(ctx=ctx))
    for _ in range(12):
        assert asked.acquire(timeout=WAIT_S)
    channel.send("item")
    assert receiving.result() == "item"


@pytest.mark.parametrize("moment", ["on its way to sleep", "asleep"])
def test_an_interrupted_call_leaves_the_line(moment, monkeypatch):
    """Ctrl-C in a blocked call: nobody may be given anything in its place."""

    def interrupt(*_):
        raise KeyboardInterrupt

    channel, ctx = Channel(1), Context()
    if moment == "asleep":
        monkeypatch.setattr("imgpool.pool.waiting.shortest", interrupt)
    else:
        monkeypatch.setattr(Context, "on_done", interrupt)
    with pytest.raises(KeyboardInterrupt):
        channel.receive(ctx=ctx)
    channel.send(1)
    with pytest.raises(KeyboardInterrupt):
        channel.send(2, ctx=ctx)
    with pytest.raises(KeyboardInterrupt):
        channel.reserve(ctx=ctx)
    assert channel.try_receive() == 1
    stats = channel.statistics()
    assert (stats.buffered, stats.reserved, stats.waiting_senders, stats.waiting_receivers) == (0, 0, 0, 0)


def test_a_reserve_interrupted_just_after_it_was_served_gives_the_place_back(monkeypatch):
    channel = Channel(1)
    channel.send(1)

    def serve_then_interrupt(limit, ctx):
        assert channel.try_receive() == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("imgpool.pool.waiting.shortest", serve_then_interrupt)
    with pytest.raises(KeyboardInterrupt):
        channel.reserve()
    assert channel.statistics().reserved == 0


# -- slots ------------------------------------------------------------------------------------------


def test_a_slot_holds_a_place_until_it_is_sent():
    channel = Channel(2)
    slot = channel.try_reserve()
    channel.send("a")
    with pytest.raises(ChannelFull):
        channel.try_send("b")
    slot.send("held")
    assert slot.used
    stats = channel.statistics()
    assert (stats.buffered, stats.reserved, stats.peak) == (2, 0, 2)
    with pytest.raises(SlotUsed):
        slot.send("again")
    slot.release()
    assert [channel.receive(), channel.receive()] == ["a", "held"]


def test_a_released_slot_gives_its_place_to_who_waits(in_thread, until):
    channel = Channel(1)
    slot = channel.reserve()
    sending = in_thread(lambda: channel.send("next", WAIT_S))
    until(lambda: senders(channel) == 1)
    slot.release()
    slot.release()
    sending.result()
    assert channel.statistics().reserved == 0
    with pytest.raises(SlotUsed):
        slot.send("late")
    assert channel.receive() == "next"


def test_a_slot_as_context_manager_gives_back_what_was_not_sent():
    channel = Channel(1)
    with channel.reserve():
        assert channel.statistics().reserved == 1
    assert channel.statistics().reserved == 0
    with channel.reserve() as slot:
        slot.send(1)
    assert channel.statistics().buffered == 1


def test_a_slot_held_at_close_can_still_be_sent(in_thread, until):
    channel = Channel(1)
    slot = channel.reserve()
    first, second = in_thread(lambda: channel.receive(WAIT_S)), in_thread(lambda: channel.receive(WAIT_S))
    until(lambda: receivers(channel) == 2)
    channel.close()
    with pytest.raises(ChannelEmpty):
        channel.try_receive()  # not yet closed: something may still come
    assert first.running
    assert second.running
    slot.send("kept")
    outcomes = []
    for call in (first, second):
        try:
            outcomes.append(call.result())
        except ChannelClosed:
            outcomes.append("closed")
    assert sorted(outcomes) == ["closed", "kept"]


def test_a_slot_released_after_close_ends_the_receivers(in_thread, until):
    channel = Channel(1)
    slot = channel.reserve()
    collecting = in_thread(lambda: list(channel))
    until(lambda: receivers(channel) == 1)
    channel.close()
    slot.release()
    assert collecting.result() == []


# -- rendezvous -------------------------------------------------------------------------------------


def test_a_rendezvous_passes_from_hand_to_hand(in_thread, until):
    channel = Channel(0, "door")
    with pytest.raises(ChannelFull):
        channel.try_send(1)
    with pytest.raises(ChannelEmpty):
        channel.try_receive()
    receiving = in_thread(lambda: channel.receive(WAIT_S))
    until(lambda: receivers(channel) == 1)
    channel.try_send(1)
    assert receiving.result() == 1
    sending = in_thread(lambda: channel.send(2, WAIT_S))
    until(lambda: senders(channel) == 1)
    assert channel.try_receive() == 2
    sending.result()
    assert channel.statistics().peak == 0


def test_a_rendezvous_send_that_finds_nobody_sends_nothing():
    channel = Channel(0)
    with pytest.raises(ChannelTimeout):
        channel.send(1, timeout_s=0.01)
    with pytest.raises(ChannelEmpty):
        channel.try_receive()


def test_a_rendezvous_has_no_slots():
    channel = Channel(0)
    with pytest.raises(ValueError, match="rendezvous"):
        channel.reserve()
    with pytest.raises(ValueError, match="rendezvous"):
        channel.try_reserve()


def test_a_rendezvous_skips_a_receiver_whose_context_is_over(in_thread, until):
    now = [0.0]
    channel = Channel(0)
    late = in_thread(lambda: channel.receive(ctx=Context(timeout_s=60, clock=lambda: now[0])))
    until(lambda: receivers(channel) == 1)
    now[0] = 61.0
    with pytest.raises(ChannelFull):
        channel.try_send(1)
    with pytest.raises(DeadlineExceeded):
        late.result()


def test_closing_a_rendezvous_refuses_the_waiting_sender(in_thread, until):
    channel = Channel(0)
    sending = in_thread(lambda: channel.send(1, WAIT_S))
    until(lambda: senders(channel) == 1)
    channel.close()
    with pytest.raises(ChannelClosed):
        sending.result()
    assert list(channel) == []


# -- dropping, resizing -----------------------------------------------------------------------------


def test_try_send_dropping_exchanges_the_oldest():
    channel = Channel(2)
    assert channel.try_send_dropping(1) is None
    assert channel.try_send_dropping(2) is None
    assert channel.try_send_dropping(3) == 1
    assert [channel.receive(), channel.receive()] == [2, 3]
    slots = [channel.reserve(), channel.reserve()]
    with pytest.raises(ChannelFull):
        channel.try_send_dropping(4)
    for slot in slots:
        slot.release()
    channel.close()
    with pytest.raises(ChannelClosed):
        channel.try_send_dropping(5)


def test_growing_lets_waiting_senders_in(in_thread, until):
    channel = Channel(1)
    channel.send(1)
    calls = [in_thread(lambda number=number: channel.send(number, WAIT_S)) for number in (2, 3)]
    until(lambda: senders(channel) == 2)
    channel.set_capacity(3)
    for call in calls:
        call.result()
    assert channel.capacity == 3
    assert channel.statistics().buffered == 3


def test_shrinking_loses_nothing_and_admits_nothing_until_it_fits():
    channel = Channel(3)
    slot = channel.reserve()
    channel.send(1)
    channel.send(2)
    channel.set_capacity(1)
    assert channel.receive() == 1
    with pytest.raises(ChannelFull):
        channel.try_send(9)
    slot.send(3)
    assert channel.receive() == 2
    with pytest.raises(ChannelFull):
        channel.try_send(9)
    assert channel.receive() == 3
    channel.try_send(4)
    with pytest.raises(ValueError, match="0"):
        channel.set_capacity(0)


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_many_producers_and_consumers_lose_and_duplicate_nothing(capacity, in_thread):
    channel = Channel(capacity)
    each = 300

    def produce(first):
        for number in range(first, first + each):
            if capacity and number % 3 == 0:
                with channel.reserve(WAIT_S) as slot:
                    slot.send(number)
            else:
                channel.send(number, WAIT_S)

    consumers = [in_thread(lambda: list(channel)) for _ in range(4)]
    for producer in [in_thread(lambda first=first: produce(first)) for first in range(0, 4 * each, each)]:
        producer.result()
    channel.close()
    received = [consumer.result() for consumer in consumers]
    assert sorted(number for part in received for number in part) == list(range(4 * each))
    stats = channel.statistics()
    assert stats.peak <= capacity
    assert (stats.buffered, stats.reserved, stats.waiting_senders, stats.waiting_receivers) == (0, 0, 0, 0)


def test_the_bound_holds_at_every_moment(in_thread):
    channel = Channel(3)
    stop = threading.Event()
    seen = []

    def look():
        while not seen or not stop.is_set():
            stats = channel.statistics()
            seen.append(stats.reserved + stats.buffered)

    looking, collecting = in_thread(look), in_thread(lambda: sum(1 for _ in channel))
    for number in range(500):
        slot = channel.reserve(WAIT_S)
        slot.release() if number % 5 == 0 else slot.send(number)
    channel.close()
    assert collecting.result() == 400
    stop.set()
    looking.result()
    assert max(seen) <= 3
