"""A team: deadlocks are found, told and undone; and never seen where there is none."""

from __future__ import annotations

import gc
import signal
import threading
import time

import pytest

from imgpool.pool import (
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Context,
    DeadlockError,
    NotInTeam,
    PoolFull,
    Team,
    WorkerPool,
)

WAIT_S = 60.0


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


def double(ctx, number):
    return number * 2


def complete_pool(jobs=5, *, workers=3, buffers=(5, 5), close=True, collect=None):
    """The lesson's program. `collect`: how many results main asks for; as many as jobs unless given."""
    with Team() as team:
        numbers, results = team.channel(buffers[0], "jobs"), team.channel(buffers[1], "results")
        for _ in range(workers):
            team.start(worker, numbers, results)
        for number in range(1, jobs + 1):
            numbers.send(number)
        if close:
            numbers.close()
        return sorted(results.receive() for _ in range(jobs if collect is None else collect))


def deadlock_of(program, *args, **kwargs):
    with pytest.raises(DeadlockError) as caught:
        program(*args, **kwargs)
    return caught.value


# -- the law -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_law_of_producing_everything_first(workers):
    """It deadlocks exactly when jobs > workers + jobs buffer + results buffer."""
    for jobs_capacity in range(5):
        for results_capacity in range(5):
            for count in range(15):
                try:
                    done = complete_pool(count, workers=workers, buffers=(jobs_capacity, results_capacity))
                    assert done == [2 * number for number in range(1, count + 1)]
                    deadlocked = False
                except DeadlockError:
                    deadlocked = True
                expected = count > workers + jobs_capacity + results_capacity
                assert deadlocked == expected, (workers, jobs_capacity, results_capacity, count)


# -- what is told --------------------------------------------------------------------------------------


def test_not_collecting_is_told_as_who_waits_for_what():
    error = deadlock_of(complete_pool, 7, buffers=(2, 1))
    assert str(error) == (
        "deadlock: main waits to send 7: jobs buffer full, 2 of 2; "
        "workers 1-3 wait to send: results buffer full, 1 of 1; nobody receives. "
        "Nobody collects from results: collect in another thread while jobs are sent. A larger buffer only moves the "
        "moment: sending everything first ends well only while jobs <= workers + both buffers."
    )
    assert [(wait.who, wait.action, wait.channel.name) for wait in error.waits] == [
        ("main", "send", "jobs"),
        ("worker 1", "send", "results"),
        ("worker 2", "send", "results"),
        ("worker 3", "send", "results"),
    ]


def test_forgetting_to_close_is_told():
    error = deadlock_of(complete_pool, close=False)
    assert error.mistake == "not closed"
    assert str(error) == (
        "deadlock: main waits for the end of workers 1-3; workers 1-3 wait to receive: jobs is empty and not closed. "
        "jobs was never closed, so workers 1-3 cannot know that nothing more comes: call close() after the last send "
        "to jobs."
    )


def test_a_rendezvous_with_nobody_on_the_other_side_is_told():
    def program():
        with Team() as team:
            team.channel(0, "hand").send("over")

    error = deadlock_of(program)
    assert error.mistake == "nobody on the other side"
    assert str(error).startswith(
        "deadlock: main waits to send 'over': hand has no buffer; nobody receives. Nobody receives from hand, and "
    )


def test_asking_for_more_than_was_sent_is_told():
    error = deadlock_of(complete_pool, 2, collect=3)
    assert error.mistake == "not closed"
    assert "main waits for more than was sent, and all who sent to results have ended" in str(error)


def test_several_who_wait_for_what_a_thread_has_not_sent_are_told():
    def program():
        with Team() as team:
            jobs = team.channel(1, "jobs")
            team.start(lambda: jobs.send(1), name="sender")
            for number in (1, 2, 3):
                team.start(lambda: list(jobs), name=f"worker {number}")

    error = deadlock_of(program)
    assert error.mistake == "not closed"
    assert "workers 1-3 wait for more than was sent, and all who sent to jobs have ended" in str(error)


def test_being_alone_is_told():
    error = deadlock_of(complete_pool, 0, workers=0, collect=1)
    assert (error.mistake, str(error).rpartition(". ")[2]) == (
        "nobody on the other side",
        "main is alone: no other thread is left that could send to results.",
    )


def test_a_forgotten_slot_is_told():
    def program():
        with Team() as team:
            channel = team.channel(1, "jobs")
            channel.reserve()
            channel.send(1)

    error = deadlock_of(program)
    assert error.mistake == "slot forgotten"
    assert "jobs buffer holds 1 of 1, 1 of them reserved and still empty" in str(error)


def test_a_forgotten_slot_also_holds_up_receivers_and_reservers():
    def receives():
        with Team() as team:
            channel = team.channel(1, "jobs")
            channel.reserve()
            channel.close()
            channel.receive()

    def reserves():
        with Team() as team:
            channel = team.channel(1, "jobs")
            channel.reserve()
            channel.reserve()

    assert deadlock_of(receives).mistake == "slot forgotten"
    assert "main waits to reserve a place" in str(deadlock_of(reserves))


def test_reserving_behind_what_nobody_receives_is_told():
    def program():
        with Team() as team:
            channel = team.channel(1, "jobs")
            channel.send(1)
            channel.reserve()

    assert deadlock_of(program).mistake == "not collected"


def test_waiting_for_each_other_to_end_is_told():
    both = threading.Event()

    def joins(team):
        assert both.wait(WAIT_S)
        team.join()

    def program():
        with Team() as team:
            team.start(joins, team)
            team.start(joins, team)
            both.set()

    error = deadlock_of(program)
    assert error.mistake == "waiting in a circle"
    assert str(error).startswith("deadlock: ")
    assert {(wait.who, wait.until_ended) for wait in error.waits} == {
        ("main", ("joins 1", "joins 2")),
        ("joins 1", ("joins 2",)),
        ("joins 2", ("joins 1",)),
    }


def test_a_thread_that_died_is_told_as_the_cause():
    def program():
        with Team() as team:
            jobs = team.channel(1, "jobs")
            team.start(lambda: 1 / 0, name="worker")
            for number in range(3):
                jobs.send(number)

    error = deadlock_of(program)
    assert error.mistake == "thread died"
    assert "worker ended early with ZeroDivisionError: division by zero" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_items_are_told_without_running_their_code():
    class Sly:
        def __repr__(self):
            raise AssertionError("must not be called under a lock")

    for item, told in [(Sly(), "a Sly"), ("x" * 99, "'" + "x" * 39 + "…'"), (None, "None"), (1.5, "1.5")]:

        def program(item=item):
            with Team() as team:
                team.channel(0, "hand").send(item)

        assert deadlock_of(program).waits[0].item == told


def test_each_thread_gets_an_error_of_its_own():
    errors = []

    def waits(channel):
        try:
            channel.receive()
        except DeadlockError as error:
            errors.append(error)
            raise

    def program():
        with Team() as team:
            channel = team.channel(1)
            for _ in range(2):
                team.start(waits, channel)

    errors.append(deadlock_of(program))
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1


def test_after_a_deadlock_nothing_blocks_and_what_does_not_block_still_works():
    with Team() as team:
        channel = team.channel(1)
        channel.send(1)
        for _ in range(2):
            with pytest.raises(DeadlockError):
                channel.send(2)
        assert channel.try_receive() == 1
        with pytest.raises(DeadlockError):
            channel.receive()
        with pytest.raises(ChannelTimeout):
            channel.receive(timeout_s=0)
        channel.send(3)
        team.start(channel.send, 4).join(WAIT_S)  # is told, too, and ends, before leaving closes the channel
        with pytest.raises(DeadlockError):
            team.join()


def test_a_team_is_used_once():
    with Team() as team:
        pass
    with pytest.raises(RuntimeError, match="used once"), team:
        pass


# -- no false alarm ------------------------------------------------------------------------------------


def test_a_wait_with_a_time_limit_is_not_for_good():
    with Team() as team:
        channel = team.channel(0)
        team.start(channel.send, 1)
        with pytest.raises(ChannelTimeout):
            team.channel(0).receive(timeout_s=0.05)
        assert channel.receive() == 1


def test_a_wait_with_a_context_is_not_for_good_since_an_outsider_may_end_it(in_thread, until):
    ctx = Context()
    with Team() as team:
        channel = team.channel(0)
        canceller = in_thread(
            lambda: (until(lambda: channel.statistics().waiting_receivers == 1), ctx.cancel("enough"))
        )
        with pytest.raises(Exception, match="enough"):
            channel.receive(ctx=ctx)
        canceller.result()


def test_a_member_that_waits_for_something_else_counts_as_running(in_thread, until):
    """An event, a lock, another team's channel, a plain channel: somebody outside may come and help."""
    event, plain = threading.Event(), Channel(0)
    with Team() as team:
        channel = team.channel(0)

        def helped():
            assert event.wait(WAIT_S)
            channel.send(plain.receive())

        team.start(helped)
        helper = in_thread(
            lambda: (
                until(lambda: channel.statistics().waiting_receivers == 1),
                event.set(),
                plain.send("from outside"),
            )
        )
        assert channel.receive() == "from outside"
        helper.result()


def test_one_that_was_served_and_has_not_woken_yet_does_not_count_as_waiting():
    """Thousands of hand-overs, at each of which for a moment everybody seems to wait."""
    with Team() as team:
        there, back = team.channel(0), team.channel(0)

        def echo():
            for item in there:
                back.send(item)

        for _ in range(3):
            team.start(echo)
        for number in range(3000):
            there.send(number)
            assert back.receive() == number
        there.close()


def test_many_at_once_never_alarm():
    """Producers, workers and collectors over small channels, each at its own pace: everything arrives."""
    for capacity in (0, 1, 3):
        with Team() as team:
            jobs, results, total = team.channel(capacity), team.channel(capacity), team.channel(4)

            def produce():
                for number in range(200):
                    jobs.send(number)  # noqa: B023

            def collect():
                total.send(sum(results))  # noqa: B023

            workers = [team.start(worker, jobs, results) for _ in range(4)]
            producers = [team.start(produce) for _ in range(3)]
            for _ in range(2):
                team.start(collect)
            for thread in producers:
                thread.join(WAIT_S)
            jobs.close()
            for thread in workers:
                thread.join(WAIT_S)
            results.close()
            assert total.receive() + total.receive() == 3 * 2 * sum(range(200))


def test_only_members_come_in_or_bring_others(in_thread):
    with Team() as team:
        channel = team.channel(1)
        pool = team.pool(double, 1, jobs_capacity=1, results_capacity=1).start()
        slot = channel.reserve()
        for attempt in (
            lambda: channel.send(1),
            lambda: channel.try_send(1),
            lambda: channel.try_send_dropping(1),
            channel.receive,
            channel.try_receive,
            channel.reserve,
            channel.try_reserve,
            lambda: slot.send(1),
            slot.release,
            channel.close,
            lambda: channel.set_capacity(2),
            lambda: list(channel),
            lambda: team.channel(1),
            lambda: team.start(print),
            lambda: team.pool(double, 1, jobs_capacity=1, results_capacity=1),
            team.join,
            lambda: pool.submit(1),
            lambda: pool.try_submit(1),
            pool.reserve,
            pool.try_reserve,
            pool.pause,
            pool.resume,
            lambda: pool.resize(2),
            lambda: pool.drain(0),
            pool.abort,
            pool.start,
        ):
            call = in_thread(attempt)
            with pytest.raises(NotInTeam, match="takes no part in this team"):
                call.result()
        assert in_thread(pool.statistics).result().workers == 1
        assert in_thread(channel.statistics).result().reserved == 1
        assert pool.drain().finished
        slot.release()


def test_a_member_that_has_left_is_an_outsider():
    with Team() as team:
        channel = team.channel(1)
    with pytest.raises(NotInTeam):
        channel.send(1)


# -- the end -------------------------------------------------------------------------------------------


def test_leaving_waits_for_every_thread():
    done = []
    with Team() as team:
        channel = team.channel(0)

        def late():
            channel.receive()
            done.append("late")

        team.start(late)
        channel.send(1)
    assert done == ["late"]


def test_what_a_thread_dies_of_is_raised_at_the_end():
    def program():
        with Team() as team:
            team.start(lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        program()


def test_leaving_by_an_exception_releases_everybody(until):
    ended = []

    def waits(channel):
        with pytest.raises(ChannelClosed):
            channel.receive()
        ended.append("waits")

    def holds_a_slot(channel, other):
        with channel.reserve(), pytest.raises(ChannelClosed):
            other.receive()
        ended.append("holds")

    with pytest.raises(KeyError), Team() as team:
        channel, other = team.channel(1), team.channel(1)
        pool = team.pool(double, 2, jobs_capacity=1, results_capacity=1).start()
        team.start(waits, channel)
        team.start(holds_a_slot, channel, other)
        until(lambda: channel.statistics().waiting_receivers == other.statistics().waiting_receivers == 1)
        raise KeyError
    assert sorted(ended) == ["holds", "waits"]
    assert not pool.statistics().accepting


@pytest.fixture
def _ctrl_c_interrupts():
    """A shell starts what it runs in the background with Ctrl-C ignored, which Python then keeps."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_ctrl_c_breaks_a_wait_and_releases_everybody(in_thread, until):
    held, main = threading.Event(), threading.get_ident()
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, Team() as team:
        channel = team.channel(0)
        team.start(lambda: (held.wait(WAIT_S), channel.receive()))
        until_main_waits = in_thread(lambda: until(lambda: channel.statistics().waiting_senders == 1))
        killer = in_thread(lambda: (until_main_waits.result(), signal.pthread_kill(main, signal.SIGINT)))
        try:
            channel.send(1)
        finally:
            killer.result()
            assert channel.statistics().waiting_senders == 0
            held.set()


def test_a_thread_that_cannot_start_is_no_member(monkeypatch):
    def fails(thread):
        raise RuntimeError("can't start new thread")

    with pytest.raises(DeadlockError) as caught, Team() as team:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fails)
            with pytest.raises(RuntimeError, match="can't start"):
                team.start(print)
        team.channel(0).receive()
    assert [wait.who for wait in caught.value.waits] == ["main"]


# -- pools in a team -----------------------------------------------------------------------------------


def pool_program(jobs, *, workers=3, capacities=(2, 1), **options):
    with (
        Team() as team,
        team.pool(double, workers, jobs_capacity=capacities[0], results_capacity=capacities[1], **options) as pool,
    ):
        for number in range(1, jobs + 1):
            pool.submit(number)
        return sorted(pool.results.receive().value for _ in range(jobs))


def test_a_pool_of_a_team_obeys_the_law_too():
    assert pool_program(6) == [2, 4, 6, 8, 10, 12]
    error = deadlock_of(pool_program, 7)
    assert str(error).startswith(
        "deadlock: main waits to send job 7: pool-jobs buffer full, 2 of 2; "
        "pool-workers 1-3 wait to send: pool-results buffer full, 1 of 1; nobody receives. "
    )


def test_caller_runs_only_moves_the_moment():
    error = deadlock_of(pool_program, 7, policy="caller_runs")
    assert "main waits to reserve a place: pool-results buffer full, 1 of 1" in str(error)


def test_draining_what_nobody_collects_is_told():
    def program():
        with Team() as team:
            pool = team.pool(double, 1, jobs_capacity=3, results_capacity=1).start()
            for number in range(3):
                pool.submit(number)
            pool.drain()

    error = deadlock_of(program)
    assert error.mistake == "not collected"
    assert str(error).startswith("deadlock: main waits for the end of pool-worker 1; pool-worker 1 waits to send the ")


def test_a_drain_with_a_time_limit_is_not_for_good(until):
    with Team() as team:
        pool = team.pool(double, 1, jobs_capacity=3, results_capacity=1).start()
        for number in range(3):
            pool.submit(number)
        until(lambda: pool.results.statistics().waiting_senders == 1)
        report = pool.drain(timeout_s=0.05)
        assert len(report.unfinished) == 2
        assert len(list(pool.results)) == 3


def test_a_pool_left_open_at_the_teams_end_is_told():
    def program():
        with Team() as team:
            pool = team.pool(double, 2, jobs_capacity=1, results_capacity=1).start()
            pool.submit(1)
            pool.results.receive()

    error = deadlock_of(program)
    assert error.mistake == "not closed"
    assert "main waits for the end of pool-workers 1-2; pool-workers 1-2 wait to receive: pool-jobs is empty" in str(
        error
    )


def test_a_teams_pool_takes_no_weights():
    with Team() as team, pytest.raises(ValueError, match="takes no weight_limit"):
        team.pool(double, 1, jobs_capacity=1, results_capacity=1, weight_limit=5)


def test_a_paused_pool_does_not_hold_up_the_teams_end():
    def program():
        with Team() as team:
            team.pool(double, 1, jobs_capacity=1, results_capacity=1).start().pause()

    assert deadlock_of(program).mistake == "not closed"


def test_resizing_and_pausing_a_teams_pool_alarm_nobody(until):
    with Team() as team, team.pool(double, 1, jobs_capacity=4, results_capacity=4) as pool:
        pool.resize(3)
        pool.pause()
        pool.submit(1)
        pool.resize(1)
        pool.resume()
        assert pool.results.receive().value == 2


def test_a_deadlocked_pool_has_no_thread_left_and_counts_what_it_could_not_deliver():
    def program():
        nonlocal pool
        with Team() as team:
            pool = team.pool(double, 2, jobs_capacity=0, results_capacity=0).start()
            for number in range(3):
                pool.submit(number)

    pool = None
    deadlock_of(program)
    stats = pool.statistics()
    assert (stats.submitted, stats.succeeded, stats.undelivered, stats.refused) == (3, 2, 2, 1)
    assert pool.workers_now() == ()


# -- a pool thrown away --------------------------------------------------------------------------------


def test_a_pool_that_is_thrown_away_open_warns_and_is_ended(until):
    entered, reasons = threading.Event(), []

    def until_the_end(ctx, payload):  # of the pool: whoever ends it waits for a second, and no longer
        entered.set()
        assert ctx.wait(WAIT_S)
        reasons.append(ctx.reason)

    pool = WorkerPool(until_the_end, 1, jobs_capacity=2, results_capacity=3, name="test-pool-lost")
    results = pool.start().results
    pool.submit(1)
    assert entered.wait(WAIT_S)
    pool.submit(2)
    with pytest.warns(ResourceWarning) as caught:  # noqa: PT031 - the warning comes when it is thrown away
        del pool
        gc.collect()
    assert str(caught[0].message) == (
        "test-pool-lost was thrown away open: 1 worker threads, 1 queued and 1 running jobs. Its drain() or abort() "
        "was forgotten; use it in a `with` block, or keep it until it has ended"
    )
    assert [result.job.payload for result in results if result.outcome == "cancelled"] == [2]
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("test-pool-lost")])
    assert reasons == ["thrown away open"]


@pytest.mark.parametrize(
    "end", [lambda pool: None, lambda pool: pool.start().drain(), lambda pool: pool.start().abort()]
)
def test_a_pool_that_was_ended_or_never_started_is_thrown_away_in_silence(end):
    pool = WorkerPool(double, 1, jobs_capacity=1, results_capacity=1, name="test-pool-ended")
    end(pool)
    del pool
    gc.collect()  # a warning would be an error here


def test_a_pool_whose_arguments_were_refused_is_thrown_away_in_silence():
    with pytest.raises(ValueError, match="workers is 0"):
        WorkerPool(double, 0, jobs_capacity=1, results_capacity=1)
    gc.collect()


def test_a_refused_submit_in_a_team_is_refused_and_no_deadlock():
    with Team() as team, team.pool(double, 1, jobs_capacity=1, results_capacity=1, policy="refuse") as pool:
        pool.pause()
        pool.submit(1)
        with pytest.raises(PoolFull):
            pool.submit(2)
        pool.resume()
        assert pool.results.receive(WAIT_S).value == 2


def test_a_deadlock_is_found_at_once():
    began = time.monotonic()
    deadlock_of(complete_pool, 20)
    assert time.monotonic() - began < WAIT_S / 2
