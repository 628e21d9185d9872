"""The pool at work: jobs in, results out, contexts, counts, events, resize and pause."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

from imgpool.pool import Cancelled, DeadlineExceeded, PoolClosed, PoolFull, SlotUsed, SubmitTimeout, WorkerPool

WAIT_S = 60.0


def make(handler, workers=1, *, jobs=4, results=100, **options):
    return WorkerPool(handler, workers, jobs_capacity=jobs, results_capacity=results, name="test-pool", **options)


def law(stats):
    return stats.submitted == (
        stats.refused + stats.dropped + stats.cancelled + stats.failed + stats.succeeded + stats.queued + stats.running
    )


def double(ctx, payload):
    return payload * 2


def test_jobs_become_results():
    with make(double, 3, jobs=10) as pool:
        jobs = [pool.submit(number, WAIT_S) for number in range(10)]
    results = sorted(pool.results, key=lambda result: result.job.number)
    assert [result.job for result in results] == jobs
    assert [result.value for result in results] == [number * 2 for number in range(10)]
    assert {result.outcome for result in results} == {"succeeded"}
    assert all(result.error is None for result in results)
    assert all(result.waited_s >= 0 and result.ran_s >= 0 for result in results)
    assert {result.worker for result in results} <= {f"test-pool-worker-{number}" for number in (1, 2, 3)}


@pytest.mark.parametrize("jobs_capacity", [0, 2])
@pytest.mark.parametrize("results_capacity", [0, 2])
def test_any_capacity_works_as_long_as_somebody_collects(jobs_capacity, results_capacity, in_thread):
    pool = make(double, 2, jobs=jobs_capacity, results=results_capacity)
    collecting = in_thread(lambda: sorted(result.value for result in pool.results))
    with pool:
        for number in range(50):
            pool.submit(number, WAIT_S)
    assert collecting.result() == [number * 2 for number in range(50)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"policy": "hope"}, "policy is 'hope'"),
        ({"policy": "caller_runs", "results": 0}, "results_capacity is 0"),
        ({"policy": "drop_oldest", "results": 0}, "results_capacity is 0"),
    ],
)
def test_a_bad_setting_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named):
        make(double, **options)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), DeadlineExceeded("x")])
def test_an_error_is_its_jobs_result_and_costs_no_worker(error):
    def handler(ctx, payload):
        if payload == "bad":
            raise error
        return payload

    with make(handler) as pool:
        pool.submit("bad")
        pool.submit("good")
    bad, good = pool.results
    assert (bad.outcome, bad.value, bad.error) == ("failed", None, error)
    assert (good.outcome, good.value, good.worker) == ("succeeded", "good", bad.worker)
    assert (pool.statistics().failed, pool.statistics().succeeded) == (1, 1)


def test_a_cancelled_error_without_an_abort_is_a_failure():
    def handler(ctx, payload):
        ctx.cancel("changed my mind")
        ctx.check()

    with make(handler) as pool:
        pool.submit(1)
    (result,) = pool.results
    assert result.outcome == "failed"
    assert isinstance(result.error, Cancelled)


def test_a_handler_sees_its_time_limit():
    def handler(ctx, payload):
        assert ctx.remaining_s() <= 0.01
        assert ctx.wait(WAIT_S)
        if payload == "heed":
            ctx.check()
        return ctx.reason

    with make(handler, job_timeout_s=0.01) as pool:
        pool.submit("heed")
        pool.submit("ignore")
    heeded, ignored = pool.results
    assert heeded.outcome == "failed"
    assert isinstance(heeded.error, DeadlineExceeded)
    assert (ignored.outcome, ignored.value) == ("succeeded", "deadline exceeded")


def test_a_jobs_context_ends_with_the_job():
    contexts = []
    with make(lambda ctx, payload: contexts.append(ctx)) as pool:
        pool.submit(1)
    assert contexts[0].done


def test_a_worker_that_waits_keeps_nothing_of_its_last_job_in_memory():
    class Big:
        pass

    with make(lambda ctx, payload: Big()) as pool:
        payload = Big()
        pool.submit(payload)
        result = pool.results.receive(WAIT_S)
        refs = [weakref.ref(payload), weakref.ref(result.value)]
        del payload, result
        pool.submit(Big())  # the same worker took another: it has let go of the first
        pool.results.receive(WAIT_S)
        gc.collect()
        assert [ref() for ref in refs] == [None, None]


def test_a_failed_results_error_is_in_no_reference_cycle():
    class Failure(Exception):  # a class of Python's own making, which can be referred to weakly
        pass

    def handler(ctx, payload):
        raise Failure(payload)

    gc.disable()
    try:
        with make(handler) as pool:
            pool.submit("x")
        (result,) = pool.results
        assert result.error.__traceback__.tb_frame.f_code.co_name == "handler"
        ref = weakref.ref(result.error)
        del result
        assert ref() is None
    finally:
        gc.enable()


# -- the door ---------------------------------------------------------------------------------------


def test_full_closed_and_timeout_are_told_apart(gate):
    pool = make(gate, jobs=1)
    with pytest.raises(PoolClosed, match="not started"):
        pool.submit(0)
    with pool:
        pool.submit(1)
        gate.wait_entered()
        pool.submit(2)
        with pytest.raises(PoolFull):
            pool.try_submit(3)
        with pytest.raises(SubmitTimeout):
            pool.submit(4, timeout_s=0.01)
        with pytest.raises(PoolFull):
            pool.try_reserve()
        with pytest.raises(SubmitTimeout):
            pool.reserve(timeout_s=0.01)
        stats = pool.statistics()
        assert (stats.submitted, stats.refused, stats.queued, stats.running) == (7, 5, 1, 1)
        gate.open_wide()
    for attempt in (lambda: pool.submit(5), lambda: pool.try_submit(5), pool.reserve, pool.try_reserve):
        with pytest.raises(PoolClosed):
            attempt()
    stats = pool.statistics()
    assert (stats.submitted, stats.refused, stats.succeeded) == (11, 9, 2)
    assert not stats.accepting


def test_a_submit_with_a_cancelled_context_is_refused(gate):
    from imgpool.pool import Context

    ctx = Context()
    ctx.cancel("the client went away")
    with make(double) as pool:
        for attempt in (lambda: pool.submit(1, ctx=ctx), lambda: pool.reserve(ctx=ctx)):
            with pytest.raises(Cancelled, match="went away"):
                attempt()
        assert (pool.statistics().submitted, pool.statistics().refused) == (2, 2)


def test_callers_at_the_door_are_counted_as_queued(gate, in_thread, until):
    with make(gate, jobs=1) as pool:
        pool.submit(1)
        gate.wait_entered()
        pool.submit(2)
        waiting = in_thread(lambda: pool.submit(3, WAIT_S))
        until(lambda: pool.statistics().jobs.waiting_senders == 1)
        assert pool.statistics().queued == 2
        gate.open_wide()
        assert waiting.result().payload == 3


def test_a_slot_is_admission_before_the_payload_exists(gate):
    with make(gate, jobs=2) as pool:
        with pool.reserve() as slot:
            assert pool.statistics().jobs.reserved == 1
            assert pool.statistics().submitted == 0
            job = slot.send("late")
            with pytest.raises(SlotUsed):
                slot.send("again")
        gate.wait_entered()
        with pool.try_reserve():
            pass
        assert pool.statistics().jobs.reserved == 0
        gate.open_wide()
    (result,) = pool.results
    assert result.job is job
    assert law(pool.statistics())
    assert pool.statistics().submitted == 1


def test_two_threads_that_send_one_slot_at_once_are_counted_right(gate):
    with make(gate, jobs=2) as pool:
        slot = pool.reserve()

        class Racing(type(slot._slot)):
            __slots__ = ()

            @property
            def used(self):  # what the slower of the two saw
                return False

        racing = Racing(slot._slot._name, slot._slot._settle)
        racing._used = True
        slot._slot.release()
        slot._slot = racing
        with pytest.raises(SlotUsed):
            slot.send(1)
        assert law(pool.statistics())
        assert pool.statistics().queued == 0


# -- policies ---------------------------------------------------------------------------------------


def fill(pool, gate):
    """One job in the worker's hands, one in the only place."""
    pool.submit("running")
    gate.wait_entered()
    pool.submit("queued")


def test_policy_refuse_never_waits(gate):
    with make(gate, jobs=1, policy="refuse") as pool:
        fill(pool, gate)
        with pytest.raises(PoolFull):
            pool.submit("third", timeout_s=WAIT_S)
        gate.open_wide()
    assert sorted(result.job.payload for result in pool.results) == ["queued", "running"]


def test_policy_caller_runs(gate):
    ran_in = {}

    def handler(ctx, payload):
        ran_in[payload] = threading.current_thread()
        return gate(ctx, payload) if payload != "third" else payload

    with make(handler, jobs=1, policy="caller_runs") as pool:
        fill(pool, gate)
        with pytest.raises(PoolFull):
            pool.try_submit("never")
        job = pool.submit("third")
        assert ran_in["third"] is threading.current_thread()
        result = pool.results.receive(WAIT_S)
        assert result.job is job
        assert result.worker == threading.current_thread().name
        gate.open_wide()
    assert pool.statistics().succeeded == 3


def test_caller_runs_waits_for_room_for_the_result_before_it_runs(gate):
    with make(gate, jobs=1, results=1, policy="caller_runs") as pool:
        pool.submit("done")
        gate.wait_entered()
        gate.let_out()
        fill(pool, gate)
        with pytest.raises(SubmitTimeout):
            pool.submit("no room", timeout_s=0.01)
        assert pool.statistics().refused == 1
        pool.results.receive(WAIT_S)
        gate.open_wide()
        pool.results.receive(WAIT_S)


def test_a_caller_gets_its_exit_and_the_job_its_result(gate):
    def handler(ctx, payload):
        if payload == "exit":
            raise SystemExit(3)
        return gate(ctx, payload)

    with make(handler, jobs=1, policy="caller_runs") as pool:
        fill(pool, gate)
        with pytest.raises(SystemExit):
            pool.submit("exit")
        assert pool.results.receive(WAIT_S).outcome == "failed"
        gate.open_wide()


def test_drain_waits_for_a_caller_that_runs_its_job(gate, in_thread):
    pool = make(gate, jobs=1, policy="caller_runs").start()
    fill(pool, gate)
    calling = in_thread(lambda: pool.submit("in the caller"))
    gate.wait_entered()
    report = pool.drain(timeout_s=0.01)
    assert not report.finished
    assert [job.payload for job in report.unfinished] == ["running", "queued", "in the caller"]
    gate.open_wide()
    assert calling.result().payload == "in the caller"
    assert "in the caller" in [result.job.payload for result in pool.results]


def test_policy_caller_runs_does_not_run_once_the_pool_drains(gate, in_thread, until):
    pool = make(gate, jobs=1, results=1, policy="caller_runs").start()
    pool.submit("done")
    gate.wait_entered()
    gate.let_out()
    fill(pool, gate)
    waiting = in_thread(lambda: pool.submit("waits for room"))
    until(lambda: pool.results.statistics().waiting_senders == 1)
    draining = in_thread(lambda: pool.drain(WAIT_S))
    until(lambda: not pool.statistics().accepting)
    gate.open_wide()
    assert len(list(pool.results)) == 3
    with pytest.raises(PoolClosed):
        waiting.result()
    assert draining.result().finished
    assert law(pool.statistics())


@pytest.mark.parametrize("way", ["submit", "try_submit"])
def test_policy_drop_oldest_still_yields_a_result(way, gate):
    with make(gate, jobs=1, policy="drop_oldest") as pool:
        fill(pool, gate)
        getattr(pool, way)("newest")
        dropped = pool.results.receive(WAIT_S)
        assert (dropped.job.payload, dropped.outcome, dropped.worker) == ("queued", "dropped", None)
        assert isinstance(dropped.error, PoolFull)
        gate.open_wide()
    assert sorted(result.job.payload for result in pool.results) == ["newest", "running"]
    stats = pool.statistics()
    assert (stats.submitted, stats.dropped, stats.succeeded) == (3, 1, 2)


def test_drop_oldest_drops_nothing_whose_result_would_have_no_room(gate):
    with make(gate, jobs=1, results=1, policy="drop_oldest") as pool:
        pool.submit("done")
        gate.wait_entered()
        gate.let_out()
        fill(pool, gate)
        with pytest.raises(PoolFull):
            pool.try_submit("no room")
        with pytest.raises(SubmitTimeout):
            pool.submit("no room", timeout_s=0.01)
        assert pool.statistics().queued == 1
        pool.results.receive(WAIT_S)
        gate.open_wide()
        pool.results.receive(WAIT_S)


def test_drop_oldest_waits_when_slots_hold_every_place(gate, in_thread, until):
    with make(gate, jobs=1, policy="drop_oldest") as pool:
        slot = pool.reserve()
        with pytest.raises(PoolFull):
            pool.try_submit("nothing to drop")
        with pytest.raises(SubmitTimeout):
            pool.submit("nothing to drop", timeout_s=0.01)
        waiting = in_thread(lambda: pool.submit("patient"))
        until(lambda: pool.statistics().jobs.waiting_senders == 1)
        slot.release()
        waiting.result()
        gate.open_wide()
    assert [result.job.payload for result in pool.results] == ["patient"]


def test_drop_oldest_drops_nothing_when_a_place_became_free_meanwhile():
    with make(double, policy="drop_oldest") as pool, pool.results.reserve() as room:
        job = pool._door.enter(4)
        pool._door.drop_oldest_for(job, room)
    assert [result.value for result in pool.results] == [8]


# -- resize and pause -------------------------------------------------------------------------------


def test_resize_up_wakes_the_queue(gate):
    with make(gate, 1) as pool:
        for number in range(3):
            pool.submit(number)
        gate.wait_entered(1)
        pool.resize(3)
        gate.wait_entered(2)
        stats = pool.statistics()
        assert (stats.workers, stats.busy, stats.running) == (3, 3, 3)
        gate.open_wide()


def test_resize_down_takes_effect_after_the_current_job(gate, until):
    with make(gate, 3) as pool:
        for number in range(4):
            pool.submit(number)
        gate.wait_entered(3)
        pool.resize(1)
        assert pool.statistics().workers == 1
        assert pool.statistics().busy == 3
        gate.let_out(3)
        until(lambda: len(pool.workers_now()) == 1)
        gate.wait_entered()  # the fourth, by the one that stayed
        gate.open_wide()
    assert len(list(pool.results)) == 4


def test_after_a_resize_down_nothing_starts_until_few_enough_run(gate, until):
    with make(gate, 3) as pool:
        for number in range(4):
            pool.submit(number)
        gate.wait_entered(3)
        pool.resize(2)
        gate.let_out()  # whichever ends first is the one that leaves
        until(lambda: len(pool.workers_now()) == 2)
        assert (pool.statistics().running, pool.statistics().queued) == (2, 1)
        pool.resize(1)
        pool.resize(2)  # changed again before anybody could leave: the two stay, and no third comes
        gate.let_out()
        gate.wait_entered()
        assert pool.statistics().running == 2
        assert len(pool.workers_now()) == 2
        gate.open_wide()


def test_resize_down_retires_idle_workers_first_and_wakes_them(gate, until):
    with make(gate, 3) as pool:
        pool.submit("busy")
        gate.wait_entered()
        pool.resize(1)
        until(lambda: len(pool.workers_now()) == 1)
        (worker,) = pool.workers_now()
        assert worker.job == "busy"
        assert worker.started_monotonic <= time.monotonic()
        gate.open_wide()
        pool.results.receive(WAIT_S)
        until(lambda: pool.workers_now()[0].job is None)


def test_resize_before_the_start_and_after_the_end():
    pool = make(double, 1)
    pool.resize(2)
    with pool:
        assert len(pool.workers_now()) == 2
        with pytest.raises(ValueError, match="workers is 0"):
            pool.resize(0)
    for attempt in (lambda: pool.resize(3), pool.pause):
        with pytest.raises(PoolClosed):
            attempt()


def test_a_paused_pool_takes_nothing(gate, until):
    gate.open_wide()
    with make(gate, 2) as pool:
        until(lambda: pool.statistics().jobs.waiting_receivers == 2)
        pool.pause()  # from now on nobody takes a job, also one who has not yet left the line
        for number in range(4):
            pool.submit(number)
        stats = pool.statistics()
        assert (stats.paused, stats.queued, stats.jobs.buffered) == (True, 4, 4)
        pool.resize(1)
        until(lambda: len(pool.workers_now()) == 1)  # a retired worker does not wait for the end of the pause
        assert pool.statistics().queued == 4
        pool.resume()
        assert [pool.results.receive(WAIT_S).value for _ in range(4)] == [0, 1, 2, 3]
        assert not pool.statistics().paused


def test_a_running_job_goes_on_in_a_pause(gate):
    with make(gate) as pool:
        pool.submit(1)
        gate.wait_entered()
        pool.pause()
        pool.submit(2)
        gate.let_out()
        assert pool.results.receive(WAIT_S).value == 1
        assert pool.statistics().queued == 1
        gate.open_wide()  # leaving drains, which lifts the pause
    assert [result.value for result in pool.results] == [2]


# -- events and counts ------------------------------------------------------------------------------


def test_the_observer_hears_all_in_order_and_with_monotonic_times(gate):
    events = []
    began = time.monotonic()
    with make(gate, jobs=1, policy="drop_oldest", observer=events.append) as pool:
        fill(pool, gate)
        pool.submit("newest")
        with pool.results.reserve():
            gate.open_wide()
    with pytest.raises(PoolClosed):
        pool.submit("late")
    with pytest.raises(PoolClosed):
        pool.reserve()
    assert all(began <= event.at <= time.monotonic() for event in events)
    told = {}
    for event in events:
        told.setdefault(event.job.payload if event.job else event.worker, []).append(event)
    kinds = {name: [event.kind for event in of_one] for name, of_one in told.items()}
    assert kinds == {
        "test-pool-worker-1": ["worker_started", "worker_stopped"],
        "running": ["submitted", "started", "finished"],
        "queued": ["submitted", "dropped"],
        "newest": ["submitted", "started", "finished"],
        "late": ["submitted", "refused"],
        None: ["refused"],
    }
    for of_one in told.values():
        times = [event.at for event in of_one]
        assert times == sorted(times)
    assert told["running"][-1].outcome == "succeeded"
    assert told["late"][-1].reason == "PoolClosed"


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_observer_that_raises_costs_no_worker(error, caplog):
    def observer(event):
        raise error

    with caplog.at_level(logging.WARNING, logger="imgpool.pool.announcer"), make(double, observer=observer) as pool:
        for number in range(3):
            pool.submit(number)
    assert [result.value for result in pool.results] == [0, 2, 4]
    assert pool.statistics().observer_errors == 3 * 3 + 2
    assert len(caplog.records) == 1


def test_the_law_holds_at_every_moment_of_a_busy_run(in_thread):
    def handler(ctx, payload):
        if payload % 7 == 0:
            raise ValueError(payload)
        return payload

    pool = make(handler, 3, jobs=2, results=2, policy="drop_oldest")
    over = threading.Event()
    broken = []

    def look():
        while True:
            stats = pool.statistics()
            if not law(stats) or min(stats.queued, stats.running) < 0 or stats.busy > 3:
                broken.append(stats)
            if over.wait(0.0005):  # a loop without a pause would keep the others from running
                return

    looking = in_thread(look)
    collecting = in_thread(lambda: [result.job.number for result in pool.results])
    refused = 0
    with pool:
        for number in range(1000):
            try:
                if number % 5:
                    pool.try_submit(number)
                else:
                    pool.submit(number, WAIT_S)
            except PoolFull:
                refused += 1
            if number % 200 == 0:
                pool.resize(1 + number // 200 % 3)
    over.set()
    looking.result()
    assert not broken
    collected = collecting.result()
    stats = pool.statistics()
    assert len(collected) == len(set(collected)) == 1000 - refused
    assert stats.dropped + stats.failed + stats.succeeded == len(collected)
    assert (stats.refused, stats.queued, stats.running, stats.undelivered) == (refused, 0, 0, 0)
