"""A database that is away costs refusals for as long as it is away, within seconds each, and nothing afterwards."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from urllib.parse import quote

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from imgpool.config import Settings
from imgpool.errors import StoreFailed
from imgpool.scaleout import places
from imgpool.scaleout.backend import ScaledOut
from imgpool.scaleout.connections import ANSWER_S, CONNECT_S, STATEMENT_S
from imgpool.scaleout.database import CONNECTIONS, Database
from imgpool.scaleout.leftovers import Expired, Leftovers
from imgpool.scaleout.overview import FRESH_S
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.schema import STEPS
from imgpool.service import Service, StoreBusy, StoreError
from scaleout.laws import look, new_image, wait_until_it_answers
from servers.postgresql import PostgreSQL
from servers.redis import Redis
from serving import WAIT_S, wait_for

SLACK_S = 3.0  # of a machine that is busy with something else


def refused_after_s(action: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreError):
        action()
    return time.monotonic() - began


@pytest.mark.alone  # it takes no longer than it may
def test_a_stopped_database_keeps_no_thread_for_long_and_is_found_again(
    postgresql: PostgreSQL, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = PostgresRecords(database, worker="w", lease_s=15)
    store.add(new_image(1))
    postgresql.stop()
    try:
        took: list[float] = []
        threads = [
            threading.Thread(target=lambda: took.append(refused_after_s(lambda: store.add(new_image(2)))))
            for _ in range(32)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert len(took) == 32
        assert max(took) < CONNECT_S + SLACK_S
        assert refused_after_s(store.counts) < CONNECT_S + SLACK_S
    finally:
        postgresql.start()
    began = time.monotonic()
    wait_until_it_answers(database)
    assert time.monotonic() - began < CONNECT_S + SLACK_S, "it was away for longer than the database"
    assert store.counts().accepted == 1
    told = [message[:40] for message in caplog.messages if "refused" in message]
    assert told == ["the database is away: connection failed:"], "the reason, once"
    assert caplog.messages[-1] == "the database is back"
    # Connections that were cut while nobody used them cost nobody anything.
    postgresql.stop(signal.SIGQUIT)
    postgresql.start()
    assert store.counts().accepted == 1
    look(database)


@pytest.mark.alone  # it takes no longer than it may
def test_a_frozen_database_is_given_up(postgresql: PostgreSQL, database: Database) -> None:
    store = PostgresRecords(database, worker="w", lease_s=15)
    store.add(new_image(1))
    postgresql.freeze()
    try:
        assert refused_after_s(store.counts) < ANSWER_S + SLACK_S
        assert refused_after_s(lambda: store.add(new_image(2))) < ANSWER_S + CONNECT_S + SLACK_S
    finally:
        postgresql.thaw()
    wait_until_it_answers(database)
    assert look(database).accepted in (1, 2)


def refused(service: Service) -> bool:
    try:
        service.admit_at_once()
    except StoreFailed:
        return True
    return False


@pytest.mark.alone
def test_while_it_is_away_one_finds_out_and_the_others_are_refused_at_once(
    postgresql: PostgreSQL, database: Database
) -> None:
    def ask() -> float:
        return refused_after_s(lambda: database.rows("SELECT 1"))

    postgresql.stop()
    try:
        ask()  # which waits for a connection
        wait_for(lambda: not database.refuses, "the time for a trial")
        assert ask() < 0.5, "nobody listens, which is known at once"
        with socket.create_server(("127.0.0.1", postgresql.port)):  # now somebody does, and says nothing
            wait_for(lambda: not database.refuses, "the time for another trial")
            trial = threading.Thread(target=ask)
            trial.start()
            wait_for(lambda: database.refuses, "the trial")
            assert max(ask() for _ in range(50)) < 0.5
            assert trial.is_alive(), "it is still waiting for an answer"
            trial.join(CONNECT_S + SLACK_S)
    finally:
        postgresql.start()
    wait_for(lambda: not database.refuses, "the time for a trial")
    assert database.rows("SELECT 1") == [(1,)]


class Meeting(Database):
    """In the moment in which it is found to be back, another thread fails to get a connection."""

    other: threading.Thread | None = None

    def fail(self) -> None:
        with self._errors_told():
            raise PoolTimeout("no connection")

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_away" and value is False and self.__dict__.get("_away") and self.other is None:
            self.other = threading.Thread(target=refused_after_s, args=(self.fail,))
            self.other.start()
            self.other.join(0.2)
        super().__setattr__(name, value)


def test_who_fails_in_the_moment_of_its_return_does_not_leave_it_half_away(database_url: str) -> None:
    with closing(Meeting(database_url)) as database:
        database.open()
        refused_after_s(database.fail)
        wait_for(lambda: not database.refuses, "the time for the next trial")
        database.rows("SELECT 1")
        assert database.other is not None
        database.other.join(WAIT_S)
        wait_for(lambda: not database.refuses, "the time for the one after that")
        database.rows("SELECT 1")
        with database.connection():
            assert database.rows("SELECT 1") == [(1,)], "it is there for more than one at a time"


def test_one_that_has_much_to_do_is_not_said_to_be_away(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(database.connection()) for _ in range(CONNECTIONS)]
        with pytest.raises(StoreBusy, match="much to do"):
            database.rows("SELECT 1")
        assert not database.refuses
        assert database.answers_for_s() > 0
        assert held[0].execute("SELECT 1").fetchall() == [(1,)]
    assert database.rows("SELECT 1") == [(1,)], "at once: nobody was told to stay away"
    assert "away" not in caplog.text


def test_who_asks_for_a_place_while_it_has_much_to_do_is_told_so(
    settings: Callable[..., Settings], database_url: str, shared: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "FRESH_S", 60.0)
    given = settings(broker=redis.url, database=database_url, files=shared)
    service = Service(given, backend=(backend := ScaledOut(given)))
    service.start()
    try:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                stack.enter_context(backend.cluster.database.connection())
            with pytest.raises(StoreFailed, match="more to do than it can") as told:
                service.admit()
            assert told.value.retry_after_s
            with pytest.raises(StoreFailed, match="more to do than it can"):
                service.admit_at_once()
        assert refused(service)
        assert backend._engine is not None
        backend._engine._places._busy_until -= 60.0
        service.admit().discard()
    finally:
        service.stop(10)


@pytest.mark.alone
def test_the_door_waits_for_no_database(
    settings: Callable[..., Settings], database_url: str, shared: str, redis: Redis, postgresql: PostgreSQL
) -> None:
    given = settings(broker=redis.url, database=database_url, files=shared)
    service = Service(given, backend=ScaledOut(given))
    service.start()
    postgresql.freeze()
    try:
        began = time.monotonic()
        while time.monotonic() - began < 2 * FRESH_S:  # what is known is too old by then
            before = time.monotonic()
            assert service.queue_capacity == given.queue_capacity
            assert time.monotonic() - before < 0.2
    finally:
        postgresql.thaw()
        service.stop(10)


def test_an_outage_takes_no_image_from_those_who_process_it(postgresql: PostgreSQL, database: Database) -> None:
    worker = PostgresRecords(database, worker="w", lease_s=0.0)
    leftovers = Leftovers(database, lease_s=0.5)
    worker.add(new_image(1))
    assert worker.begin(new_image(1).id, 1.0) is not None
    worker.add(new_image(2))  # is on the disk when it returns, with all that went before
    postgresql.stop(signal.SIGQUIT)
    refused_after_s(worker.counts)
    postgresql.start()
    back = time.monotonic()
    found = Expired(0, 0, 0)
    while found.requeued == 0:
        assert time.monotonic() - back < WAIT_S
        with suppress(StoreError):
            found = leftovers.expire(2.0, max_attempts=3)
    assert time.monotonic() - back > 0.5, "nobody had the time to extend a lease"
    look(database)


@pytest.mark.alone  # it takes no longer than it may
def test_a_change_that_another_one_blocks_is_given_up(database: Database, database_url: str) -> None:
    store = PostgresRecords(database, worker="w", lease_s=15)
    store.add(new_image(1))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT * FROM images FOR UPDATE")
        assert refused_after_s(lambda: store.begin(new_image(1).id, 1.0)) < STATEMENT_S + SLACK_S
        assert store.counts().queued == 1, "others are not kept waiting"
    assert store.begin(new_image(1).id, 2.0) is not None


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])  # what the server is set to
def test_many_processes_make_the_tables_at_once(database_url: str, isolation: str) -> None:
    wish = quote(" -c default_transaction_isolation=" + isolation.replace(" ", r"\ "))
    databases = [Database(database_url + wish) for _ in range(8)]
    threads = [threading.Thread(target=database.open) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for database in databases:
        assert look(database).accepted == 0
        database.close()


def test_a_database_of_a_later_version_is_left_alone(database: Database, database_url: str) -> None:
    database.change("UPDATE imgpool_schema SET version = %s", (len(STEPS) + 1,))
    with pytest.raises(StoreError, match="another version"):
        Database(database_url).open()


def test_an_address_that_cannot_be_used_is_told_without_its_password(database_url: str) -> None:
    for url in (database_url.replace("pass%20word", "wrong"), "postgresql://me:secret@127.0.0.1:1/x"):
        with pytest.raises(StoreError, match="cannot be used") as raised:
            Database(url).open()
        assert "secret" not in str(raised.value)
        assert "word" not in str(raised.value).replace("password authentication", "")


def test_nothing_is_left_undone_when_the_process_forgets_to_open(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(StoreError, match="not open"):
        database.rows("SELECT 1")
    database.close()
