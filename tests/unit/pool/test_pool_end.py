"""How a pool ends: drain, its deadline and report, abort."""

from __future__ import annotations

import threading
import time

import pytest

from imgpool.pool import Cancelled, PoolClosed, WorkerPool
from imgpool.pool.lane import Lane

WAIT_S = 60.0


def make(handler, workers=1, *, jobs=4, results=100, **options):
    return WorkerPool(handler, workers, jobs_capacity=jobs, results_capacity=results, name="test-pool", **options)


def payloads(jobs):
    return [job.payload for job in jobs]


def total(stats):
    return (
        stats.refused + stats.dropped + stats.cancelled + stats.failed + stats.succeeded + stats.queued + stats.running
    )


def test_a_pool_is_started_once():
    pool = make(lambda ctx, payload: payload).start()
    with pytest.raises(RuntimeError, match="started before"):
        pool.start()
    assert pool.drain(WAIT_S).finished


def test_the_threads_are_named_daemons():
    with make(lambda ctx, payload: threading.current_thread()) as pool:
        pool.submit(1)
        thread = pool.results.receive(WAIT_S).value
    assert (thread.name, thread.daemon) == ("test-pool-worker-1", True)
    assert not thread.is_alive()


def test_a_pool_that_cannot_start_its_threads_leaves_none(monkeypatch):
    start = threading.Thread.start
    started = []

    def second_fails(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_fails)
    pool = make(lambda ctx, payload: payload, 2)
    with pytest.raises(RuntimeError, match="can't start"):
        pool.start()
    started[0].join(WAIT_S)
    assert not started[0].is_alive()
    assert list(pool.results) == []


def test_drain_finishes_what_was_admitted(gate, in_thread, until):
    pool = make(gate, 2).start()
    for number in range(5):
        pool.submit(number, WAIT_S)
    draining = in_thread(lambda: pool.drain(WAIT_S))
    until(lambda: not pool.statistics().accepting)
    with pytest.raises(PoolClosed, match="draining"):
        pool.submit(9)
    gate.open_wide()
    report = draining.result()
    assert (report.finished, report.unfinished) == (True, ())
    assert sorted(result.value for result in pool.results) == [0, 1, 2, 3, 4]
    assert pool.drain(WAIT_S).finished


def test_drain_refuses_callers_at_the_door(gate, in_thread, until):
    pool = make(gate, jobs=1).start()
    pool.submit(1)
    gate.wait_entered()
    pool.submit(2)
    waiting = in_thread(lambda: pool.submit(3))
    until(lambda: pool.statistics().jobs.waiting_senders == 1)
    report = pool.drain(timeout_s=0)
    with pytest.raises(PoolClosed):
        waiting.result()
    assert payloads(report.unfinished) == [1, 2]
    gate.open_wide()


def test_drain_waits_for_a_held_slot_which_can_still_be_sent(in_thread, until):
    pool = make(lambda ctx, payload: payload).start()
    slot = pool.reserve()
    draining = in_thread(lambda: pool.drain(WAIT_S))
    until(lambda: not pool.statistics().accepting)
    assert draining.running
    slot.send("kept")
    assert draining.result().finished
    assert [result.value for result in pool.results] == ["kept"]


def test_a_slot_held_past_the_deadline_is_worth_nothing():
    pool = make(lambda ctx, payload: payload).start()
    slot = pool.reserve()
    report = pool.drain(timeout_s=0.01)
    assert (report.finished, report.unfinished) == (False, ())
    with pytest.raises(PoolClosed, match="aborted"):
        slot.send("too late")
    stats = pool.statistics()
    assert (stats.submitted, stats.refused, stats.jobs.reserved) == (1, 1, 0)


def test_drain_reports_who_did_not_finish_and_cancels_them():
    inside, reasons = threading.Event(), []

    def handler(ctx, payload):
        inside.set()
        assert ctx.wait(WAIT_S)
        reasons.append(ctx.reason)
        ctx.check()

    pool = make(handler).start()
    for name in ("running", "queued", "queued too"):
        pool.submit(name)
    assert inside.wait(WAIT_S)
    began = time.monotonic()
    report = pool.drain(timeout_s=0.05)
    assert not report.finished
    assert payloads(report.unfinished) == ["running", "queued", "queued too"]
    assert 0.05 <= report.waited_s <= time.monotonic() - began
    results = {result.job.payload: result for result in pool.results}  # ends: drain has closed it
    for name in ("queued", "queued too"):
        assert results[name].outcome == "cancelled"
        assert isinstance(results[name].error, Cancelled)
        assert str(results[name].error) == "drain deadline"
    again = pool.drain(WAIT_S)
    assert (again.finished, again.unfinished) == (False, report.unfinished)
    assert reasons == ["drain deadline"]
    stats = pool.statistics()
    assert (stats.cancelled, stats.submitted, stats.running) == (3, 3, 0)


def test_drains_deadline_holds_when_nobody_collects(until):
    pool = make(lambda ctx, payload: payload, 1, jobs=3, results=1).start()
    for number in range(4):
        pool.submit(number, WAIT_S)
    until(lambda: pool.results.statistics().waiting_senders == 1)
    report = pool.drain(timeout_s=0.05)
    assert not report.finished
    assert payloads(report.unfinished) == [1, 2, 3]
    results = list(pool.results)  # nothing was lost: abort widened the channel
    assert [(result.job.payload, result.outcome) for result in sorted(results, key=lambda r: r.job.number)] == [
        (0, "succeeded"),
        (1, "succeeded"),
        (2, "cancelled"),
        (3, "cancelled"),
    ]
    assert pool.statistics().undelivered == 0


def test_a_stuck_handler_costs_its_result_and_not_the_drain(gate):
    pool = make(gate).start()
    pool.submit("stuck")
    gate.wait_entered()
    assert payloads(pool.drain(timeout_s=0.01).unfinished) == ["stuck"]
    assert list(pool.results) == []
    gate.open_wide()
    pool.drain(WAIT_S)
    stats = pool.statistics()
    assert (stats.succeeded, stats.undelivered, stats.running) == (1, 1, 0)


def test_drain_lifts_a_pause():
    pool = make(lambda ctx, payload: payload).start()
    pool.pause()
    pool.submit(1)
    assert pool.drain(WAIT_S).finished
    assert len(list(pool.results)) == 1


def test_drain_of_a_pool_that_never_started():
    pool = make(lambda ctx, payload: payload)
    assert pool.drain(0).finished
    assert list(pool.results) == []


def test_drain_in_a_handler_says_that_it_would_wait_for_itself():
    with make(lambda ctx, payload: payload.drain()) as pool:
        pool.submit(pool)
        result = pool.results.receive(WAIT_S)
        assert "wait for itself" in str(result.error)
        assert pool.statistics().accepting


def test_abort_in_a_handler_ends_the_pool_and_delivers_its_result(in_thread):
    pool = make(lambda ctx, payload: pool.abort("enough"), 2).start()
    collecting = in_thread(lambda: [result.outcome for result in pool.results])
    pool.submit(1)
    assert collecting.result() == ["succeeded"]


def test_abort_cancels_what_runs_and_what_is_queued():
    inside = threading.Event()

    def handler(ctx, payload):
        inside.set()
        assert ctx.wait(WAIT_S)
        if payload == "heeds":
            ctx.check()
        raise ValueError("something else")

    pool = make(handler, 1, results=1).start()
    pool.submit("heeds")
    assert inside.wait(WAIT_S)
    for number in range(4):
        pool.submit(number)
    pool.abort("enough", timeout_s=WAIT_S)
    pool.abort("again")
    results = list(pool.results)
    assert len(results) == 5
    assert {result.outcome for result in results} == {"cancelled"}
    assert {str(result.error) for result in results} == {"enough"}
    with pytest.raises(PoolClosed, match="aborted"):
        pool.submit(9)


def test_another_error_after_an_abort_is_a_failure():
    inside = threading.Event()

    def handler(ctx, payload):
        inside.set()
        assert ctx.wait(WAIT_S)
        raise ValueError("something else")

    pool = make(handler).start()
    pool.submit(1)
    assert inside.wait(WAIT_S)
    pool.abort(timeout_s=WAIT_S)
    assert [result.outcome for result in pool.results] == ["failed"]


def test_abort_ends_a_paused_pool():
    pool = make(lambda ctx, payload: payload, 2).start()
    pool.pause()
    pool.submit(1)
    pool.abort(timeout_s=WAIT_S)
    assert [result.outcome for result in pool.results] == ["cancelled"]  # the pause was not lifted for it


def test_workers_that_leave_first_do_not_close_the_results_of_an_abort(until):
    """The last worker out closes the results; an abort that is still cancelling queued jobs comes after it."""

    def observer(event):
        if event.outcome == "cancelled":
            until(lambda: not pool.workers_now())

    pool = make(lambda ctx, payload: payload, 2, observer=observer).start()
    pool.pause()
    for number in range(3):
        pool.submit(number)
    pool.abort(timeout_s=WAIT_S)
    assert [result.outcome for result in pool.results] == ["cancelled"] * 3
    assert pool.statistics().undelivered == 0


def test_abort_wakes_workers_that_wait_for_room_for_their_result(until):
    pool = make(lambda ctx, payload: payload, 2, results=0).start()
    pool.submit(1)
    pool.submit(2)
    until(lambda: pool.results.statistics().waiting_senders == 2)
    pool.abort(timeout_s=WAIT_S)
    assert sorted(result.value for result in pool.results) == [1, 2]


def test_a_job_taken_just_before_the_abort_is_cancelled_too():
    """The worker has it out of the channel, and has not yet booked it as running."""
    pool = make(lambda ctx, payload: payload)
    pool._books.open()
    job = pool._door.enter("in between")
    pool._cancel_everything("enough")
    pool._crew.run(Lane("late", is_worker=True), job)
    assert [result.outcome for result in [pool.results.try_receive()]] == ["cancelled"]
    assert payloads(pool.drain(0).unfinished) == ["in between"]


def test_a_slot_sent_while_the_pool_is_aborted_yields_its_result():
    """The worst moment: the slot was found valid, then abort looked into the channel, then the job came."""
    events = []

    def observer(event):
        events.append(event)
        if event.kind == "submitted":
            pool.abort("enough", timeout_s=WAIT_S)

    pool = make(lambda ctx, payload: payload, observer=observer).start()
    slot = pool.reserve()
    slot.send("in between")
    stats = pool.statistics()
    assert (stats.submitted, stats.cancelled, stats.queued, stats.undelivered) == (1, 1, 0, 1)
    assert events[-1].outcome == "cancelled"


def test_leaving_by_an_exception_aborts():
    inside, reasons = threading.Event(), []

    def handler(ctx, payload):
        inside.set()
        assert ctx.wait(WAIT_S)
        reasons.append(ctx.reason)

    pool = make(handler)
    with pytest.raises(ZeroDivisionError), pool:
        pool.submit(1)
        assert inside.wait(WAIT_S)
        raise ZeroDivisionError
    assert pool.results.closed
    pool.drain(WAIT_S)  # leaving waits for a second, and no longer
    assert reasons == ["left by ZeroDivisionError"]


def test_ctrl_c_while_draining_aborts(monkeypatch):
    pool = make(lambda ctx, payload: ctx.wait(WAIT_S))

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "drain", interrupted)
    with pytest.raises(KeyboardInterrupt), pool:
        pool.submit(1)
    assert pool.results.closed
    assert total(pool.statistics()) == 1
