"""A pooler before PostgreSQL, by transaction: a real PgBouncer with the settings of docs/deploy."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from hosts import Site, Uploaders, Witness, wait_until_settled
from imgpool.errors import SettingError
from imgpool.scaleout.connections import ANSWER_S, CONNECT_S, STATEMENT_S, is_pooled
from imgpool.scaleout.database import Database
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room
from imgpool.service.records import StoreError
from pictures import photo
from scaleout.laws import look, new_image, wait_until_it_answers
from servers.pgbouncer import PgBouncer
from servers.postgresql import PostgreSQL
from servers.redis import Redis

SLACK_S = 3.0


def test_it_is_known_from_postgresql_itself(database_url: str, pooled_url: str) -> None:
    found = []
    for url in (database_url, pooled_url):
        with psycopg.connect(url, autocommit=True) as connection:
            found.append(is_pooled(connection))
    assert found == [False, True]


def test_two_processes_with_more_connections_than_the_server_has_for_them(pooled_url: str) -> None:
    databases = [Database(pooled_url, connections=8) for _ in range(2)]
    for database in databases:
        database.open()
    rooms = [Room(database, host=f"h{number}", lease_s=15) for number, database in enumerate(databases)]
    stores = [PostgresRecords(database, worker=f"w{number}", lease_s=15) for number, database in enumerate(databases)]
    rooms[0].set_capacity(12)
    granted: list[int] = []

    def ask(number: int) -> None:
        for image in range(number * 10, number * 10 + 10):
            if rooms[number % 2].reserve(new_image(image).id):
                stores[number % 2].add(new_image(image))
                granted.append(image)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(granted) == 12, "the bound holds"
    assert look(databases[1]).queued == 12
    for database in databases:
        database.close()


@pytest.mark.alone  # it takes no longer than it may
def test_a_change_that_another_one_blocks_is_given_up_by_the_server(pooled_url: str, database_url: str) -> None:
    with closing(Database(pooled_url)) as database:
        database.open()
        store = PostgresRecords(database, worker="w", lease_s=15)
        store.add(new_image(1))
        with psycopg.connect(database_url) as other:
            other.execute("SELECT * FROM images FOR UPDATE")
            began = time.monotonic()
            with pytest.raises(StoreError, match="timeout"):
                store.begin(new_image(1).id, 1.0)
            assert time.monotonic() - began < STATEMENT_S + SLACK_S
        assert store.begin(new_image(1).id, 2.0) is not None


def test_one_that_sets_no_time_limits_is_refused_in_a_line(pgbouncer: PgBouncer, database_url: str) -> None:
    without = "SET lock_timeout = 2000;"
    with (
        pgbouncer.database(database_url, without=without) as url,
        pytest.raises(SettingError, match=r"^--database: .*each of them: lock_timeout=2000 \(docs") as refused,
    ):
        Database(url).open()
    assert "\n" not in str(refused.value)


@pytest.mark.alone
def test_when_the_server_behind_it_restarts_it_is_found_again(postgresql: PostgreSQL, pooled_url: str) -> None:
    with closing(Database(pooled_url)) as database:
        database.open()
        store = PostgresRecords(database, worker="w", lease_s=15)
        store.add(new_image(1))
        postgresql.stop()
        try:
            began = time.monotonic()
            with pytest.raises(StoreError):
                store.counts()
            assert time.monotonic() - began < ANSWER_S + CONNECT_S + SLACK_S
        finally:
            postgresql.start()
        wait_until_it_answers(database)
        assert look(database).accepted == 1


def test_a_site_loses_nothing_when_it_is_killed(
    tmp_path: Path, redis: Redis, pgbouncer: PgBouncer, pooled_url: str, shared: str, witness: Witness
) -> None:
    with Site(tmp_path, broker=redis.url, database=pooled_url, files=shared) as site:
        witness.watch()
        uploads = Uploaders(site.webs, photo(640, 480))
        uploads.wait_for_more(20)
        pgbouncer.kill()
        pgbouncer.start()
        uploads.wait_for_more(20)
        accepted = uploads.stop()
        counts = wait_until_settled(site.webs[0])
        ends = Counter(image_id for image_id, _ in witness.ends())
    assert set(accepted) <= set(ends)
    assert set(ends.values()) == {1}
    assert counts["done"] == len(ends)
