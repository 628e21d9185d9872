"""An image is done once, whoever is thought lost, comes back, or never hears the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from imgpool.scaleout.database import Database
from imgpool.scaleout.leftovers import Expired, Leftovers
from imgpool.scaleout.members import Members
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.service.records import Outcome, StoreError
from scaleout.laws import look, new_image
from servers.cutting import CuttingProxy
from servers.postgresql import PostgreSQL

DONE = Outcome(None, 1.0, 2.0)
IMAGE = new_image(1).id


def records(database: Database, worker: str, lease_s: float = 15.0) -> PostgresRecords:
    return PostgresRecords(database, worker=worker, lease_s=lease_s)


@pytest.fixture
def proxy(postgresql: PostgreSQL) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(postgresql.port)
    yield proxy
    proxy.close()


@pytest.fixture
def through(proxy: CuttingProxy, postgresql: PostgreSQL, database_url: str) -> Iterator[Database]:
    """The database, over the way that can be cut."""
    database = Database(database_url.replace(f":{postgresql.port}/", f":{proxy.port}/"))
    database.open()
    yield database
    database.close()


def test_a_worker_that_was_thought_lost_changes_nothing_any_more(database: Database) -> None:
    lost, other = records(database, "lost", lease_s=0.0), records(database, "other")
    lost.add(new_image(1))
    assert lost.begin(IMAGE, 1.0) is not None
    assert Leftovers(database, lease_s=0).expire(2.0, max_attempts=3) == Expired(requeued=1, failed=0, slots=0)
    assert not lost.finish(IMAGE, 3.0, DONE), "queued again"
    again = other.begin(IMAGE, 4.0)
    assert again is not None
    assert (again.attempts, again.started_at) == (2, 4.0)
    assert not lost.hand_back(IMAGE)
    assert lost.begin_again(IMAGE, 5.0) is None
    assert other.finish(IMAGE, 6.0, DONE)
    record = other.get(IMAGE)
    assert record is not None
    assert (record.state, record.finished_at) == ("done", 6.0)
    assert look(database).done == 1


def test_a_worker_is_told_what_is_no_longer_its_own(database: Database) -> None:
    worker = records(database, "worker", lease_s=0.0)
    for number in (1, 2, 3):
        worker.add(new_image(number))
    assert worker.keep() == set()
    assert worker.begin(new_image(1).id, 1.0) is not None
    Leftovers(database, lease_s=0).expire(2.0, max_attempts=3)
    kept = records(database, "kept", lease_s=15.0)
    for number in (2, 3):
        assert kept.begin(new_image(number).id, 3.0) is not None
    assert worker.keep() == {IMAGE}
    assert worker.keep() == set(), "told once"
    assert not worker.finish(IMAGE, 4.0, DONE)
    assert kept.keep() == set()
    assert kept.delete(new_image(3).id)
    assert kept.keep() == {new_image(3).id}
    assert Leftovers(database, lease_s=0).expire(4.0, max_attempts=3) == Expired(0, 0, 0)
    assert [(work.worker, work.image_id) for work in Members(database).at_work()] == [("kept", new_image(2).id)]


def test_an_image_that_kills_its_workers_fails_after_its_attempts(database: Database) -> None:
    worker = records(database, "worker", lease_s=0.0)
    worker.add(new_image(1))
    for moment, expected in ((2.0, Expired(1, 0, 0)), (3.0, Expired(0, 1, 0))):
        assert worker.begin(IMAGE, moment) is not None
        assert Leftovers(database, lease_s=0).expire(moment, max_attempts=2) == expected
    assert not worker.finish(IMAGE, 4.0, DONE), "it is settled"
    record = worker.get(IMAGE)
    assert record is not None
    assert (record.state, record.attempts, record.finished_at) == ("failed", 2, 3.0)
    assert "lost, 2 times" in (record.error or "")
    assert Leftovers(database, lease_s=0).due(0.0, 10) == []
    look(database)


def test_lost_messages_are_found_later_each_time_and_given_back_images_at_once(database: Database) -> None:
    worker, leftovers = records(database, "worker"), Leftovers(database, lease_s=0)
    for number in (2, 1, 3):
        worker.add(new_image(number))

    def later(seconds: float) -> None:
        database.change("UPDATE images SET sent_at = sent_at - %s * interval '1 second'", (seconds,))

    assert leftovers.due(30.0, 10) == []
    later(31)
    assert leftovers.due(30.0, 2) == [new_image(2).id, IMAGE], "oldest first"
    assert leftovers.due(30.0, 2) == [new_image(3).id]
    later(31)
    assert leftovers.due(30.0, 10) == [], "a long queue is no loss"
    later(30)
    assert len(leftovers.due(30.0, 10)) == 3
    later(31)
    assert leftovers.due(30.0, 10) == []
    Members(database).beat("node/1", "worker", "a", 1, 1)
    assert len(leftovers.due(30.0, 10)) == 3, "there is a worker, and it has nothing to do"
    assert leftovers.due(30.0, 10) == []
    worker.add(new_image(4))
    assert worker.begin(new_image(4).id, 1.0) is not None
    later(31)
    assert leftovers.due(30.0, 10) == [], "it has"
    assert worker.finish(new_image(4).id, time.time(), DONE)
    assert leftovers.due(30.0, 10) == [], "it had until a moment ago"
    later(1000)
    assert len(leftovers.due(30.0, 10)) == 3
    assert worker.begin(IMAGE, 1.0) is not None
    assert worker.hand_back(IMAGE)
    assert leftovers.due(30.0, 10) == [IMAGE]
    assert leftovers.due(30.0, 10) == []


def test_an_acceptance_whose_answer_is_lost_counts_once(
    through: Database, proxy: CuttingProxy, database: Database
) -> None:
    proxy.cut_after(b"INSERT INTO images")
    records(through, "host").add(new_image(1))
    assert proxy.cuts == 1
    assert look(database).accepted == 1
    with pytest.raises(StoreError):
        records(through, "host").add(new_image(1))


def test_an_acceptance_of_which_nobody_knew_is_taken_back(
    through: Database, proxy: CuttingProxy, database: Database
) -> None:
    host = records(through, "host")
    proxy.cut_after(b"INSERT INTO images", then_away=True)
    with pytest.raises(StoreError):
        host.add(new_image(1))
    assert look(database).queued == 1, "but the client was told that it was not accepted"
    with pytest.raises(StoreError):
        host.settle()
    proxy.back()
    limit = time.monotonic() + 120
    while look(database).queued:
        assert time.monotonic() < limit
        with suppress(StoreError):
            host.settle()
    moment = look(database)
    assert (moment.accepted, moment.deleted, moment.taken) == (1, 1, 0)
    host.add(new_image(1))
    host.settle()
    assert look(database).queued == 1


def test_an_end_whose_answer_is_lost_is_one_end(through: Database, proxy: CuttingProxy, database: Database) -> None:
    worker = records(through, "worker")
    worker.add(new_image(1))
    worker.begin(IMAGE, 1.0)
    proxy.cut_after(b"UPDATE images SET state")
    assert worker.finish(IMAGE, 2.0, DONE)
    assert proxy.cuts == 1
    assert not worker.finish(IMAGE, 3.0, DONE)
    assert look(database).done == 1
    record = worker.get(IMAGE)
    assert record is not None
    assert record.finished_at == 2.0


def test_a_beginning_whose_answer_is_lost_is_found_when_its_lease_ends(
    through: Database, proxy: CuttingProxy, database: Database
) -> None:
    worker = records(through, "worker", lease_s=0.0)
    worker.add(new_image(1))
    proxy.cut_after(b"UPDATE images SET state = 'processing'")
    with pytest.raises(StoreError):
        worker.begin(IMAGE, 1.0)
    assert worker.begin(IMAGE, 1.0) is None
    assert worker.keep() == set()
    assert Leftovers(database, lease_s=0).expire(2.0, max_attempts=3).requeued == 1
    assert worker.begin(IMAGE, 3.0) is not None
    look(database)


def test_members_are_known_until_they_leave_or_fall_silent(database: Database) -> None:
    members = Members(database)
    members.beat("a:1", "worker", "a", 1, 4)
    members.beat("b:2", "web", "b", 2, 0)
    members.beat("a:1", "worker", "a", 1, 5)
    assert [(each.name, each.concurrency) for each in members.all()] == [("b:2", 0), ("a:1", 5)]
    assert all(0 <= each.silent_s <= each.up_s < 60 for each in members.all())
    members.leave("b:2")
    assert members.forget(60.0) == 0
    assert members.forget(0.0) == 1
    assert members.all() == ()
