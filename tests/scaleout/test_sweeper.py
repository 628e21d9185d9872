"""One sweeps for all: whose turn it is, that nobody waits for it, and that nobody is missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from imgpool.config import Settings
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.database import Database
from imgpool.scaleout.leftovers import Leftovers
from imgpool.scaleout.sweeper import SOONEST, Sweeper
from scaleout.laws import look, new_image
from serving import wait_for

LEASE_S = 0.5

Open = Callable[..., Cluster]


@pytest.fixture
def a_cluster(settings: Callable[..., Settings], database_url: str, shared: str) -> Iterator[Open]:
    """Opens what one process of a site has."""
    with ExitStack() as stack:

        def open_one(lease_s: float = LEASE_S) -> Cluster:
            cluster = Cluster(given(settings, database_url, shared, lease_s), "worker", "w", connections=2)
            cluster.open()
            stack.callback(cluster.close)
            return cluster

        yield open_one


def given(settings: Callable[..., Settings], database_url: str, shared: str, lease_s: float) -> Settings:
    return settings(
        broker="redis://127.0.0.1:9/0", database=database_url, files=shared, lease_s=lease_s, max_attempts=3
    )


def sweeper(cluster: Cluster, sent: list[str], *, can_send: bool = True) -> Sweeper:
    return Sweeper(cluster, cluster.settings, sent.append, lambda: can_send, files=False)


def test_of_all_that_ask_at_once_one_takes_the_turn(database: Database) -> None:
    leftovers = Leftovers(database, lease_s=LEASE_S)
    taken: list[bool] = []
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait(60)
        taken.append(leftovers.take_turn("leases", 60))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == [*[False] * 15, True]
    assert not leftovers.take_turn("leases", 60)
    assert leftovers.take_turn("messages", 60), "that is another turn"
    assert leftovers.take_turn("leases", 0), "its time has come again, whatever became of the one before"


def test_nobody_waits_for_one_that_hangs_in_its_turn_and_a_dead_one_is_not_missed(
    database: Database, database_url: str
) -> None:
    leftovers = Leftovers(database, lease_s=LEASE_S)
    with psycopg.connect(database_url) as hanging:
        hanging.execute("UPDATE turns SET taken_at = clock_timestamp() WHERE what = 'leases'")
        assert not leftovers.take_turn("leases", 0)  # who waited for it would be told that it takes too long
        database.rows("SELECT pg_terminate_backend(%s)", (hanging.info.backend_pid,))
        wait_for(lambda: leftovers.take_turn("leases", 0), "its turn")
        hanging.close()


def test_many_sweepers_sweep_as_often_as_one(database: Database, a_cluster: Open) -> None:
    database.rows("SELECT 1")
    with database.connection() as connection:
        connection.execute("CREATE TABLE swept (what text)")
        connection.execute(
            "CREATE FUNCTION swept() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO swept VALUES (NEW.what); RETURN NULL; END $$"
        )
        connection.execute("CREATE TRIGGER swept AFTER UPDATE ON turns FOR EACH ROW EXECUTE FUNCTION swept()")
    sweepers = [sweeper(a_cluster(), []) for _ in range(8)]
    began = time.monotonic()
    for each in sweepers:
        each.start()

    def swept(what: str) -> int:
        return int(database.rows("SELECT count(*) FROM swept WHERE what = %s", (what,))[0][0])

    try:
        wait_for(lambda: swept("leases") >= 5 and swept("messages") >= 5, "five sweeps")
        found = max(swept("leases"), swept("messages"))
        shortest_s = SOONEST * LEASE_S / 5
        assert found <= (time.monotonic() - began) / shortest_s + 1
    finally:
        for each in sweepers:
            each.stop()


def test_one_that_cannot_send_leaves_it_to_those_who_can(database: Database, a_cluster: Open) -> None:
    one, other = a_cluster(), a_cluster()
    one.records.add(new_image(1))
    database.change("UPDATE images SET sent_at = NULL")
    sent: list[str] = []
    sweeper(one, sent, can_send=False).sweep()
    assert database.rows("SELECT sent_at, sendings FROM images") == [(None, 1)], "it counts as sent by nobody"
    sweeper(other, sent).sweep()
    assert sent == [new_image(1).id]
    assert database.rows("SELECT sendings FROM images") == [(2,)]


def test_one_that_found_the_database_a_moment_ago_leaves_leases_to_others(database: Database, a_cluster: Open) -> None:
    lease_s = 60.0
    old, new = a_cluster(lease_s), a_cluster(lease_s)
    old.records.add(new_image(1))
    assert old.records.begin(new_image(1).id, 1.0) is not None
    database.change("UPDATE images SET lease_until = clock_timestamp() - interval '1 hour'")
    old.database._answers_since -= lease_s
    new.database.close()
    new.database.open()  # as after an outage
    sweeper(new, []).sweep()
    assert look(database).processing == 1
    sweeper(old, []).sweep()
    assert look(database).queued == 1
