"""The bound on queued work: one for all hosts, whatever they do at once and whoever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imgpool.scaleout import schema
from imgpool.scaleout.database import Database
from imgpool.scaleout.leftovers import Leftovers
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room, RoomStatistics
from imgpool.scaleout.schema import STEPS
from imgpool.service.records import Outcome, StoreError
from scaleout.laws import look, new_image, wait_until_it_answers
from servers.postgresql import PostgreSQL
from serving import WAIT_S

CAPACITY = 32

Process = subprocess.Popen[str]
StartCrowd = Callable[..., Process]


@pytest.fixture
def crowd(database_url: str, tmp_path: Path) -> Iterator[StartCrowd]:
    """Starts processes of `crowd.py`; their output goes to files NAME."""
    started: list[Process] = []

    def start(name: str, rounds: int, *, lease_s: float = 15.0, hand_back: float = 0.1) -> Process:
        with (tmp_path / name).open("w") as out:
            command = [sys.executable, str(Path(__file__).with_name("crowd.py")), database_url, name, "8"]
            arguments = [str(rounds), str(lease_s), str(hand_back)]
            started.append(subprocess.Popen([*command, *arguments], stdout=out, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(WAIT_S)


def room(database: Database, host: str = "here", lease_s: float = 15.0) -> Room:
    return Room(database, host=host, lease_s=lease_s)


def records(database: Database) -> PostgresRecords:
    return PostgresRecords(database, worker="w", lease_s=15.0)


def said(path: Path, word: str) -> set[str]:
    return {line.split()[1] for line in path.read_text().splitlines() if line.startswith(f"{word} ")}


def wait_for_lines(path: Path, lines: int, meanwhile: Callable[[], object] = lambda: None) -> None:
    limit = time.monotonic() + WAIT_S
    while path.read_text().count("\n") < lines:
        assert time.monotonic() < limit, path.read_text()[-500:]
        meanwhile()
        time.sleep(0.01)


def test_the_bound_holds_and_the_counts_add_up_at_every_moment(
    database: Database, crowd: StartCrowd, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rounds = int(request.config.getoption("--reservations")) // 2 // 5
    room(database).configure("host", CAPACITY)
    processes = [crowd(name, rounds, hand_back=0) for name in ("one", "two")]
    moments = []
    while any(process.poll() is None for process in processes):
        moments.append(look(database))
    assert [process.wait(WAIT_S) for process in processes] == [0, 0]
    assert max(moment.taken for moment in moments) <= CAPACITY
    last = [(tmp_path / name).read_text().split() for name in ("one", "two")]
    asked, granted = (sum(int(words[place]) for words in last) for place in (-3, -1))
    added = said(tmp_path / "one", "added") | said(tmp_path / "two", "added")
    print(f"{asked} asked, {granted} granted, {len(added)} accepted, looked {len(moments)} times: "
          f"at most {max(moment.taken for moment in moments)} of {CAPACITY} taken")  # fmt: skip
    assert granted < asked, "there was room for all"
    end = look(database)
    assert (end.slots, end.queued, end.processing, end.taken, end.accepted) == (0, 0, 0, 0, len(added))


def test_no_more_than_the_capacity_is_ever_granted(database: Database, database_url: str) -> None:
    mine = room(database)
    mine.configure("host", 3)
    granted = [number for number in range(10) if mine.reserve(f"{number:032x}")]
    assert granted == [0, 1, 2]
    assert mine.statistics() == RoomStatistics(capacity=3, reserved=3, queued=0, paused=False)
    assert mine.release(f"{1:032x}")
    assert not mine.release(f"{1:032x}"), "given back twice"
    assert not room(database, "there").release(f"{2:032x}"), "somebody else's"
    records(database).add(new_image(0))
    assert not mine.release(f"{0:032x}"), "it is the image's place now"
    assert mine.statistics() == RoomStatistics(capacity=3, reserved=1, queued=1, paused=False)
    assert not mine.reserve(f"{2:032x}"), "one is held for this image already"
    look(database)


def test_beginning_and_deleting_free_a_place(database: Database) -> None:
    mine, store = room(database), records(database)
    mine.configure("host", 2)
    for number in (1, 2):
        assert mine.reserve(new_image(number).id)
        store.add(new_image(number))
    assert not mine.reserve(new_image(3).id)
    store.begin(new_image(1).id, 1.0)
    assert mine.reserve(new_image(3).id)
    assert store.delete(new_image(2).id)
    assert mine.reserve(new_image(4).id)
    assert not mine.reserve(new_image(5).id)
    assert store.hand_back(new_image(1).id), "it must not be lost because its place was taken"
    assert look(database).taken == 3
    mine.release(new_image(3).id)
    mine.release(new_image(4).id)
    assert mine.reserve(new_image(5).id)
    look(database)


def test_a_retry_takes_a_place_like_an_upload(database: Database) -> None:
    mine, store = room(database), records(database)
    mine.configure("host", 1)
    store.add(new_image(1))
    store.begin(new_image(1).id, 1.0)
    store.finish(new_image(1).id, 2.0, Outcome("It is not a picture.", 1.0, 1.0))
    assert mine.reserve(new_image(2).id)
    with pytest.raises(StoreError, match="no place"):
        store.try_again(new_image(1).id)
    mine.release(new_image(2).id)
    assert mine.reserve(new_image(1).id)
    assert store.try_again(new_image(1).id)
    assert look(database).taken == 1


def test_a_slot_that_nobody_keeps_is_given_back(database: Database) -> None:
    stalled, other, store = room(database, lease_s=0.0), room(database, "there"), records(database)
    other.configure("host", 2)
    assert stalled.reserve(new_image(1).id)
    assert stalled.reserve(new_image(2).id)
    other.keep([new_image(1).id])  # not its own
    kept = room(database)
    kept.keep([new_image(2).id])
    assert Leftovers(database, lease_s=0).expire(1.0, 3).slots == 1
    assert other.reserve(new_image(3).id)
    with pytest.raises(StoreError, match="no place"):
        store.add(new_image(1))  # the host wakes up: its place is somebody else's
    assert look(database).accepted == 0
    assert other.release(new_image(3).id)
    store.add(new_image(1))  # there is room again: take it
    assert look(database).taken == 2


def test_the_capacity_is_the_settings_until_somebody_steers(database: Database) -> None:
    one, two = room(database), room(database, "there")
    one.configure("host", 5)
    two.set_capacity(7)
    one.configure("host", 5)
    assert one.statistics().capacity == 7, "a host that starts again must not undo it"
    one.configure("host", 6)
    assert two.statistics().capacity == 6
    two.set_capacity(0)
    assert not one.reserve(new_image(1).id)
    one.set_paused(True)
    assert (two.paused(), two.statistics().paused) == (True, True)
    two.set_paused(False)
    assert not one.paused()


def test_no_worker_begins_an_image_while_all_are_paused(database: Database) -> None:
    places, store = room(database), PostgresRecords(database, worker="w", lease_s=15)
    places.configure("host", 5)
    store.add(new_image(1))
    places.set_paused(True)
    assert store.begin(new_image(1).id, 1.0) is None
    assert look(database).queued == 1
    places.set_paused(False)
    assert store.begin(new_image(1).id, 2.0) is not None


def test_of_hosts_that_disagree_the_newest_setting_counts_once(database: Database) -> None:
    places = room(database)

    def starts(host: str, capacity: int) -> int:
        places.configure(host, capacity)
        return places.statistics().capacity

    assert starts("one", 64) == 64
    assert starts("two", 32) == 32, "a new setting"
    assert starts("one", 64) == 32, "it had that before: a start alone is no reason"
    assert starts("two", 32) == 32
    assert starts("three", 64) == 64, "a new host's is new, too"
    assert starts("two", 32) == 64
    # All get another one, one after the other, and back: whatever was once said before.
    places.set_capacity(50)
    assert [starts(host, 16) for host in ("one", "two", "three")] == [16, 16, 16]
    places.set_capacity(50)
    assert starts("one", 16) == 50, "what was steered holds"
    assert [starts(host, 64) for host in ("two", "three", "one")] == [64, 64, 64]


def test_hosts_that_are_long_gone_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgpool.scaleout.room.MOST_HOSTS", 2)
    places = room(database)
    for host in ("one", "two", "one", "three"):
        places.configure(host, 64)
    assert database.rows("SELECT host FROM capacities ORDER BY host") == [("one",), ("three",)]


def test_a_database_of_the_third_version_goes_on(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before, closing(Database(database_url)) as database:
        before.setattr(schema, "STEPS", STEPS[:3])
        database.open()
        database.change("INSERT INTO capacities (host, capacity) VALUES ('one', 5)")
        room(database).set_capacity(7)
    with closing(Database(database_url)) as database:
        database.open()
        assert database.rows("SELECT version FROM imgpool_schema") == [(len(STEPS),)]
        room(database).configure("one", 5)
        assert room(database).statistics().capacity == 7, "its setting is not new"
        database.change("INSERT INTO capacities (host, capacity) VALUES ('two', 5)")  # as an earlier imgpool does


def test_a_killed_process_leaves_nothing_taken(database: Database, crowd: StartCrowd, tmp_path: Path) -> None:
    room(database).configure("host", CAPACITY)
    process = crowd("one", 100_000, lease_s=0.5)
    wait_for_lines(tmp_path / "one", 100)
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_S)
    look(database)
    limit = time.monotonic() + WAIT_S
    while (moment := look(database)).slots or moment.processing:
        assert time.monotonic() < limit
        Leftovers(database, lease_s=0).expire(5.0, max_attempts=3)
        time.sleep(0.05)
    assert moment.taken == moment.queued
    assert moment.accepted >= len(said(tmp_path / "one", "added"))
    assert moment.done + moment.failed >= len(said(tmp_path / "one", "finished"))


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])  # SIGQUIT, `-m immediate`, cuts connections as SIGKILL does
def test_a_database_that_crashes_keeps_what_was_promised(
    how: str, postgresql: PostgreSQL, database: Database, crowd: StartCrowd, tmp_path: Path
) -> None:
    room(database).configure("host", CAPACITY)
    process = crowd("one", 100_000, lease_s=0.5)
    wait_for_lines(tmp_path / "one", 100)
    postgresql.kill() if how == "SIGKILL" else postgresql.stop(signal.Signals[how])
    promised = {word: said(tmp_path / "one", word) for word in ("added", "finished", "deleted")}
    assert process.poll() is None, "it had ended before"
    postgresql.start()
    wait_until_it_answers(database)
    look(database)
    states = dict(database.rows("SELECT id, state FROM images"))
    # It is at work again: what it says now that it deletes may have been added before.
    assert promised["added"] - said(tmp_path / "one", "deleting") - set(states) == set()
    assert {states[image_id] for image_id in promised["finished"]} <= {"done", "failed"}
    assert not promised["deleted"] & set(states)
    # It goes on by itself, once the places are free that its threads held when they were cut off: they may be all.
    further = (tmp_path / "one").read_text().count("\n") + 100
    wait_for_lines(tmp_path / "one", further, lambda: Leftovers(database, lease_s=0).expire(5.0, max_attempts=1))
    process.kill()
    process.wait(WAIT_S)
    limit = time.monotonic() + WAIT_S
    while (moment := look(database)).slots or moment.processing:
        assert time.monotonic() < limit
        Leftovers(database, lease_s=0).expire(5.0, max_attempts=3)
        time.sleep(0.05)
    assert moment.taken == moment.queued
