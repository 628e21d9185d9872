"""What is SQLite's own among the ways in which records can fail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from imgpool.service import sqlite
from imgpool.service.records import NewImage, StoreError, StoreFull
from imgpool.service.sqlite import SQLiteRecords
from serving import WAIT_S, wait_for


def image(number: int) -> NewImage:
    return NewImage(f"{number:032x}", "x" * 1000, 1, "jpeg", 1, 1, 1.0)


def test_a_full_disk_is_told_apart_and_loses_nothing(tmp_path: Path) -> None:
    records = SQLiteRecords(tmp_path / "db")
    records.add(image(0))
    (pages,) = records._db.execute("PRAGMA page_count").fetchone()
    records._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreFull, match="full"):
        for number in range(1, 50):
            records.add(image(number))
    accepted = records.counts().accepted
    assert accepted == len(records.page(None, 100, None)) >= 1
    records._db.execute("PRAGMA max_page_count = 1000000")
    records.add(image(99))
    assert records.counts().accepted == accepted + 1
    records.close()


def test_nobody_waits_for_ever_behind_those_who_wait_for_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "QUEUE_S", 0.01)
    records = SQLiteRecords(tmp_path / "db")
    with records._held(None):  # as a thread that waits for another program's lock holds it
        with pytest.raises(StoreError, match="busy"):
            records.counts()
        with pytest.raises(StoreError, match="busy"):
            records.add(image(1))
    records.add(image(1))
    records.close()


def test_whoever_asks_again_at_once_comes_after_those_who_wait(tmp_path: Path) -> None:
    records = SQLiteRecords(tmp_path / "db")
    adding = threading.Thread(target=records.add, args=(image(1),))
    with records._held(None):
        adding.start()
        wait_for(lambda: records._turn.statistics().waiting_receivers == 1, "the other to wait")
    assert records.counts().accepted == 1
    adding.join(WAIT_S)
    records.close()
