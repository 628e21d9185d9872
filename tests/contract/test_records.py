"""What every `Records` must do. A new store joins by adding itself to `stores`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imgpool.service.records import Counts, NewImage, Outcome, Records, StoreError, VariantRecord
from imgpool.service.sqlite import SQLiteRecords

Reopen = Callable[[], Records]


def sqlite(request: pytest.FixtureRequest) -> Reopen:
    directory: Path = request.getfixturevalue("tmp_path")
    return lambda: SQLiteRecords(directory / "imgpool.db")


def postgresql(request: pytest.FixtureRequest, url: str = "database_url") -> Reopen:
    from imgpool.scaleout.database import Database
    from imgpool.scaleout.postgres import PostgresRecords

    address: str = request.getfixturevalue(url)
    numbers = itertools.count()

    def open_it() -> Records:
        database = Database(address)
        database.open()
        return PostgresRecords(database, worker=f"worker-{next(numbers)}", lease_s=15)

    return open_it


def pooled(request: pytest.FixtureRequest) -> Reopen:
    """PostgreSQL behind PgBouncer."""
    return postgresql(request, "pooled_url")


@pytest.fixture(params=[sqlite, postgresql, pooled])
def reopen(request: pytest.FixtureRequest) -> Iterator[Reopen]:
    """Opens the same store again, as the next start of the service would."""
    make: Reopen = request.param(request)
    opened: list[Records] = []

    def open_it() -> Records:
        for store in opened:
            store.close()
        opened.append(make())
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def records(reopen: Reopen) -> Records:
    return reopen()


def new_image(number: int) -> NewImage:
    return NewImage(f"{number:032x}", f"{number}.jpg", 1000 + number, "jpeg", 40, 30, received_at=100.0 + number)


def lawful(counts: Counts) -> bool:
    return counts.accepted == counts.queued + counts.processing + counts.done + counts.failed + counts.deleted


DONE = Outcome(None, 0.5, 0.25, "jpeg", 40, 30, (VariantRecord("thumb", "thumb.jpg", "jpeg", 4, 3, 99),))
FAILED = Outcome("The file is cut short.", 0.5, 0.25)


def test_an_added_image_is_queued_with_all_that_was_known_of_it(records: Records) -> None:
    records.add(new_image(1))
    record = records.get(new_image(1).id)
    assert record is not None
    assert (record.state, record.name, record.bytes, record.format) == ("queued", "1.jpg", 1001, "jpeg")
    assert (record.width, record.height, record.received_at, record.attempts) == (40, 30, 101.0, 0)
    assert (record.started_at, record.finished_at, record.error, record.variants) == (None, None, None, ())


def test_an_unknown_image_is_none(records: Records) -> None:
    assert records.get("0" * 32) is None
    assert records.begin("0" * 32, 1.0) is None
    assert not records.finish("0" * 32, 1.0, DONE)
    assert not records.hand_back("0" * 32)
    assert not records.delete("0" * 32)


def test_one_id_is_accepted_once(records: Records) -> None:
    records.add(new_image(1))
    with pytest.raises(StoreError):
        records.add(new_image(1))
    assert records.counts().accepted == 1


def test_the_attempt_is_counted_before_it_is_made_and_survives_a_crash(reopen: Reopen) -> None:
    records = reopen()
    records.add(new_image(1))
    begun = records.begin(new_image(1).id, 200.0)
    assert begun is not None
    assert (begun.state, begun.attempts, begun.started_at) == ("processing", 1, 200.0)
    assert records.begin(new_image(1).id, 201.0) is None, "processed twice at once"
    again = reopen().get(new_image(1).id)
    assert again == begun


def test_an_attempt_that_is_made_again_is_counted_too(records: Records) -> None:
    records.add(new_image(1))
    assert records.begin_again(new_image(1).id, 150.0) is None, "not processing yet"
    records.begin(new_image(1).id, 200.0)
    again = records.begin_again(new_image(1).id, 300.0)
    assert again is not None
    assert (again.state, again.attempts, again.started_at) == ("processing", 2, 300.0)
    assert records.get(new_image(1).id) == again
    assert lawful(records.counts())
    records.finish(new_image(1).id, 400.0, DONE)
    assert records.begin_again(new_image(1).id, 500.0) is None
    assert records.begin_again("0" * 32, 500.0) is None


def test_done_and_failed_carry_their_outcome(records: Records) -> None:
    for number, outcome in ((1, DONE), (2, FAILED)):
        records.add(new_image(number))
        records.begin(new_image(number).id, 200.0)
        assert records.finish(new_image(number).id, 300.0, outcome)
        assert not records.finish(new_image(number).id, 300.0, outcome), "finished twice"
    done, failed = records.get(new_image(1).id), records.get(new_image(2).id)
    assert done is not None
    assert failed is not None
    assert (done.state, done.error, done.variants, done.finished_at) == ("done", None, DONE.variants, 300.0)
    assert (done.wait_s, done.service_s) == (0.5, 0.25)
    assert (failed.state, failed.error, failed.variants) == ("failed", FAILED.error, ())
    assert (failed.width, failed.format) == (40, "jpeg"), "what was known stays"


def test_handing_back_does_not_count_the_attempt(records: Records) -> None:
    records.add(new_image(1))
    records.begin(new_image(1).id, 200.0)
    assert records.hand_back(new_image(1).id)
    assert not records.hand_back(new_image(1).id)
    record = records.get(new_image(1).id)
    assert record is not None
    assert (record.state, record.attempts, record.started_at) == ("queued", 0, None)


def test_recovery_tries_again_and_gives_up_after_the_last_attempt(reopen: Reopen) -> None:
    records = reopen()
    for number in (1, 2, 3):
        records.add(new_image(number))
    records.begin(new_image(1).id, 200.0)
    records.begin(new_image(2).id, 200.0)
    records = reopen()
    assert records.recover(300.0, max_attempts=2) == (2, 0)
    records.begin(new_image(1).id, 400.0)
    records = reopen()
    assert records.recover(500.0, max_attempts=2) == (0, 1)
    states = {record.name: (record.state, record.attempts) for record in records.page(None, 10, None)}
    assert states == {"1.jpg": ("failed", 2), "2.jpg": ("queued", 1), "3.jpg": ("queued", 0)}
    failed = records.get(new_image(1).id)
    assert failed is not None
    assert failed.error is not None
    assert "2 times" in failed.error
    assert lawful(records.counts())


def test_pages_are_newest_first_filtered_and_complete(records: Records) -> None:
    for number in range(7):
        records.add(new_image(number))
    records.begin(new_image(3).id, 200.0)
    seen: list[str] = []
    before = None
    while page := records.page(None, 3, before):
        seen += [record.name for record in page]
        before = page[-1].sequence
    assert seen == [f"{number}.jpg" for number in reversed(range(7))]
    assert [record.name for record in records.page("processing", 10, None)] == ["3.jpg"]
    assert records.page("done", 10, None) == []


def test_an_owner_has_pages_of_its_own(records: Records) -> None:
    for number in range(9):
        records.add(replace(new_image(number), owner=("ann", "bob", None)[number % 3]))
    for number in (0, 1):
        records.begin(new_image(number).id, 200.0)
    seen: list[str] = []
    before = None
    while page := records.page(None, 2, before, "ann"):
        assert {record.owner for record in page} == {"ann"}
        seen += [record.name for record in page]
        before = page[-1].sequence
    assert seen == ["6.jpg", "3.jpg", "0.jpg"]
    assert [record.name for record in records.page("processing", 10, None, "ann")] == ["0.jpg"]
    assert records.page(None, 10, None, "nobody") == records.page(None, 10, None, "") == []
    assert len(records.page(None, 10, None)) == 9, "no owner named: all of them"
    begun = records.get(new_image(1).id)
    assert begun is not None
    assert (begun.owner, begun.state) == ("bob", "processing")


def test_the_backlog_is_oldest_first(records: Records) -> None:
    for number in range(5):
        records.add(new_image(number))
    records.begin(new_image(1).id, 200.0)
    first = records.backlog(0, 2)
    assert [image_id for _, image_id in first] == [new_image(0).id, new_image(2).id]
    rest = records.backlog(first[-1][0], 10)
    assert [image_id for _, image_id in rest] == [new_image(3).id, new_image(4).id]
    assert rest[-1][0] == records.last_sequence()


def test_an_empty_store_has_a_last_sequence(records: Records) -> None:
    assert records.last_sequence() == 0
    assert records.backlog(0, 10) == []
    assert records.counts() == Counts(0, 0, 0, 0, 0, 0)


def test_sequences_are_not_used_again(reopen: Reopen) -> None:
    records = reopen()
    records.add(new_image(1))
    last = records.last_sequence()
    records.delete(new_image(1).id)
    records = reopen()
    records.add(new_image(2))
    assert records.last_sequence() > last, "a cursor or the backlog would meet the wrong image"


def test_the_counts_add_up_over_a_whole_life(reopen: Reopen) -> None:
    records = reopen()
    for number in range(6):
        records.add(new_image(number))
        assert lawful(records.counts())
    for number, outcome in ((0, DONE), (1, FAILED), (2, DONE)):
        records.begin(new_image(number).id, 200.0)
        assert lawful(records.counts())
        records.finish(new_image(number).id, 300.0, outcome)
        assert lawful(records.counts())
    records.begin(new_image(3).id, 200.0)
    for number in (0, 3, 5):
        assert records.delete(new_image(number).id)
        assert lawful(records.counts())
    assert reopen().counts() == Counts(accepted=6, queued=1, processing=0, done=1, failed=1, deleted=3)


def test_old_images_are_found_oldest_first_and_unfinished_ones_never(records: Records) -> None:
    for number in range(4):
        records.add(new_image(number))
    for number, finished_at in ((2, 10.0), (0, 20.0), (1, 30.0)):
        records.begin(new_image(number).id, 5.0)
        records.finish(new_image(number).id, finished_at, DONE)
    assert records.finished_before(25.0, 10) == [new_image(2).id, new_image(0).id]
    assert records.finished_before(25.0, 1) == [new_image(2).id]
    assert records.finished_before(10.0, 10) == []


def test_known_tells_ids_with_a_record(records: Records) -> None:
    records.add(new_image(1))
    assert records.known([new_image(1).id, new_image(2).id, "x'; DROP TABLE images"]) == {new_image(1).id}
    assert records.known([]) == set()


def test_many_threads_take_each_image_once(records: Records) -> None:
    numbers = range(60)
    for number in numbers:
        records.add(new_image(number))
    begun: list[str] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(60)
        for number in numbers:
            record = records.begin(new_image(number).id, 1.0)
            if record is not None:
                begun.append(record.id)
                records.finish(record.id, 2.0, DONE)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(begun) == [new_image(number).id for number in numbers]
    assert records.counts() == Counts(60, 0, 0, 60, 0, 0)


def test_a_closed_store_says_so(records: Records) -> None:
    records.close()
    records.close()
    with pytest.raises(StoreError):
        records.add(new_image(1))
    with pytest.raises(StoreError):
        records.counts()


def test_names_are_data(records: Records) -> None:
    strange = "a'); DROP TABLE images; -- \u202e<b>.jpg"
    records.add(replace(new_image(1), name=strange))
    record = records.get(new_image(1).id)
    assert record is not None
    assert record.name == strange


def test_a_failed_image_is_tried_again_as_if_never_tried_and_no_other_is(reopen: Reopen) -> None:
    records = reopen()
    for number, outcome in ((1, FAILED), (2, DONE)):
        records.add(new_image(number))
        records.begin(new_image(number).id, 200.0)
        records.finish(new_image(number).id, 201.0, outcome)
    records.add(new_image(3))
    assert [records.try_again(new_image(number).id) for number in (1, 2, 3, 4)] == [True, False, False, False]
    assert not records.try_again(new_image(1).id), "queued already"
    records = reopen()
    record = records.get(new_image(1).id)
    assert record is not None
    assert (record.state, record.attempts, record.error) == ("queued", 0, None)
    assert (record.started_at, record.finished_at, record.wait_s, record.service_s) == (None, None, None, None)
    assert [image_id for _, image_id in records.backlog(0, 9)] == [new_image(1).id, new_image(3).id]
    assert lawful(records.counts())


def test_what_had_failed_at_a_moment_is_found_oldest_first(records: Records) -> None:
    for number, ended in ((1, 201.0), (2, 202.0), (3, 203.0)):
        records.add(new_image(number))
        records.begin(new_image(number).id, 200.0)
        records.finish(new_image(number).id, ended, FAILED if number != 2 else DONE)
    (first,) = records.failed_until(202.0, 0, 9)
    assert first[1] == new_image(1).id
    assert [image_id for _, image_id in records.failed_until(203.0, 0, 9)] == [new_image(1).id, new_image(3).id]
    assert [image_id for _, image_id in records.failed_until(203.0, first[0], 9)] == [new_image(3).id]
    assert len(records.failed_until(203.0, 0, 1)) == 1
