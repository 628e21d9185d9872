"""A database of an earlier imgpool goes on living under this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from imgpool.service.records import Counts, NewImage, StoreError
from imgpool.service.schema import STEPS
from imgpool.service.sqlite import SQLiteRecords

FIRST = Path(__file__).with_name("schema-1.sql").read_text()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A file as the first version wrote it: IDs 1 done, 2 failed, 4 processing, 5 queued; 3 and 6 deleted."""
    path = tmp_path / "imgpool.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FIRST)
    return path


@pytest.fixture
def opened(first: Path) -> Iterator[SQLiteRecords]:
    records = SQLiteRecords(first)
    yield records
    records.close()


def tables(path: Path) -> set[tuple[str, str]]:
    """What there is, as SQLite describes it; how it was spelled does not count."""
    with closing(sqlite3.connect(path)) as db:
        made = {(kind, name) for kind, name in db.execute("SELECT type, name FROM sqlite_schema")}
        return made | {("column", str(row[1:])) for row in db.execute("PRAGMA table_info(images)")}


def test_the_counts_the_records_and_the_sequence_are_untouched(opened: SQLiteRecords) -> None:
    assert opened.counts() == Counts(accepted=6, queued=1, processing=1, done=1, failed=1, deleted=2)
    assert [(record.name, record.state, record.owner) for record in opened.page(None, 10, None)] == [
        ("5.jpg", "queued", None),
        ("4.jpg", "processing", None),
        ("2.jpg", "failed", None),
        ("1.jpg", "done", None),
    ]
    done = opened.get(f"{1:032x}")
    assert done is not None
    assert (done.variants[0].filename, done.wait_s, done.finished_at) == ("thumb.jpg", 0.5, 300.0)
    assert opened.last_sequence() == 6


def test_life_goes_on_in_it(opened: SQLiteRecords) -> None:
    assert opened.recover(400.0, max_attempts=2) == (1, 0)
    mine = NewImage(f"{7:032x}", "7.jpg", 1, "jpeg", 1, 1, 107.0, owner="me")
    opened.add(mine)
    opened.add(replace(mine, id=f"{8:032x}", owner=None))
    assert [record.id for record in opened.page(None, 10, None, "me")] == [mine.id]
    assert opened.counts() == Counts(accepted=8, queued=4, processing=0, done=1, failed=1, deleted=2)


def test_it_ends_as_a_new_one_begins(first: Path, tmp_path: Path) -> None:
    for path in (first, tmp_path / "new.db"):
        SQLiteRecords(path).close()
        SQLiteRecords(path).close()
    assert tables(first) == tables(tmp_path / "new.db")
    with closing(sqlite3.connect(first)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)


def test_a_step_that_breaks_off_changes_nothing(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(first)
    monkeypatch.setattr("imgpool.service.schema.STEPS", (STEPS[0], f"{STEPS[1]} nonsense;"))
    with pytest.raises(StoreError, match="cannot be used"):
        SQLiteRecords(first)
    assert tables(first) == before
    monkeypatch.undo()
    records = SQLiteRecords(first)
    assert records.counts().accepted == 6
    records.close()


@pytest.mark.parametrize("version", [len(STEPS) + 1, -1])
def test_a_file_of_another_version_is_left_alone(first: Path, version: int) -> None:
    with closing(sqlite3.connect(first)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = tables(first)
    with pytest.raises(StoreError, match="another version"):
        SQLiteRecords(first)
    assert tables(first) == before


@pytest.mark.parametrize("state", [None, "done"])
@pytest.mark.parametrize("before", [None, 1000])
def test_a_page_of_one_owner_is_read_from_an_index(
    opened: SQLiteRecords, state: str | None, before: int | None
) -> None:
    asked: list[str] = []
    opened._db.set_trace_callback(asked.append)
    opened.page(state, 50, before, "me")  # type: ignore[arg-type]
    opened._db.set_trace_callback(None)
    plan = " ".join(row[3] for row in opened._db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}"))
    assert "USING INDEX images_by_owner" in plan, plan
    assert "TEMP B-TREE" not in plan, "sorted: the cost would grow with the owner's records"
    assert ("images_by_owner_and_state" in plan) == (state is not None)
