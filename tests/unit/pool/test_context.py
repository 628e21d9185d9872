from __future__ import annotations

import gc
import logging
import threading

import pytest

from imgpool.pool import Cancelled, Context, DeadlineExceeded

WAIT_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_new_context_goes_on():
    ctx = Context()
    ctx.check()
    assert (ctx.done, ctx.reason, ctx.remaining_s()) == (False, None, None)


def test_cancel_ends_it_and_the_first_reason_wins():
    ctx = Context()
    ctx.cancel("drain deadline")
    ctx.cancel("something else")
    assert (ctx.done, ctx.reason, ctx.remaining_s()) == (True, "drain deadline", 0.0)
    with pytest.raises(Cancelled, match="drain deadline"):
        ctx.check()


def test_the_deadline_ends_it():
    clock = Clock()
    ctx = Context(timeout_s=5, clock=clock)
    assert ctx.remaining_s() == 5
    clock.now += 4
    assert ctx.remaining_s() == 1
    ctx.check()
    clock.now += 3
    assert (ctx.done, ctx.reason, ctx.remaining_s()) == (True, "deadline exceeded", 0.0)
    with pytest.raises(DeadlineExceeded):
        ctx.check()


def test_a_cancel_after_the_deadline_does_not_change_the_reason():
    clock = Clock()
    ctx = Context(timeout_s=5, clock=clock)
    clock.now += 6
    ctx.cancel("too late")
    assert ctx.reason == "deadline exceeded"
    with pytest.raises(DeadlineExceeded):
        ctx.check()


def test_children_end_with_their_parent_with_its_reason():
    parent = Context()
    child = parent.child()
    grandchild = child.child(timeout_s=60)
    parent.cancel("abort")
    assert (child.reason, grandchild.reason) == ("abort", "abort")
    with pytest.raises(Cancelled, match="abort"):
        grandchild.check()


def test_a_parent_does_not_end_with_its_child():
    parent = Context()
    child, sibling = parent.child(), parent.child()
    child.cancel()
    assert child.done
    assert not parent.done
    assert not sibling.done


def test_the_child_of_an_ended_context_is_born_ended():
    parent = Context()
    parent.cancel("abort")
    assert parent.child().reason == "abort"


@pytest.mark.parametrize(("mine", "parents", "left"), [(9, 5, 5), (5, 9, 5), (None, 9, 9), (9, None, 9)])
def test_the_earlier_deadline_holds(mine, parents, left):
    parent = Context(timeout_s=parents, clock=Clock())
    assert parent.child(timeout_s=mine).remaining_s() == left


def test_a_child_uses_its_parents_clock():
    clock = Clock()
    child = Context(clock=clock).child(timeout_s=1)
    clock.now += 1
    assert child.done
    with pytest.raises(ValueError, match="clock"):
        Context(Context(clock=clock), clock=Clock())


def test_forgotten_and_closed_children_do_not_pile_up_in_a_parent():
    parent = Context()
    for _ in range(50):
        parent.child()
        with parent.child() as closed:
            pass
    gc.collect()
    assert closed.reason == "closed"
    assert len(parent._children) == 0


def test_a_closed_context_without_parent_has_ended():
    ctx = Context()
    ctx.close()
    ctx.close()
    assert ctx.done


def test_on_done_is_called_once_and_not_after_it_was_unregistered():
    calls = []
    ctx = Context()
    ctx.on_done(lambda: calls.append("kept"))
    unregister = ctx.on_done(lambda: calls.append("gone"))
    unregister()
    unregister()
    ctx.cancel()
    ctx.cancel()
    assert calls == ["kept"]
    late = ctx.on_done(lambda: calls.append("at once"))
    assert calls == ["kept", "at once"]
    late()


def test_a_failing_callback_does_not_stop_the_others(caplog):
    calls = []
    ctx = Context()
    ctx.on_done(lambda: 1 / 0)
    ctx.on_done(lambda: calls.append("called"))
    with caplog.at_level(logging.ERROR, logger="imgpool.pool.context"):
        ctx.cancel()
    assert calls == ["called"]
    assert "callback" in caplog.text


def test_wait_ends_by_cancel(in_thread, until):
    ctx = Context().child()
    waiting = in_thread(lambda: ctx.wait(WAIT_S))
    until(lambda: bool(ctx._callbacks))
    assert waiting.running
    ctx.cancel()
    assert waiting.result() is True


def test_wait_ends_by_the_deadline_without_a_timer():
    before = set(threading.enumerate())
    assert Context(timeout_s=0.01).wait(WAIT_S) is True
    assert set(threading.enumerate()) <= before


def test_wait_gives_up():
    assert Context().wait(0.01) is False
    assert Context().wait(0) is False
    ended = Context()
    ended.cancel()
    assert ended.wait() is True
