"""What others change while a worker is at it: an attempt that was thought lost is put away, a pause ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imgpool.config import Settings
from imgpool.scaleout.broker import Publisher, make_app
from imgpool.scaleout.process import PoolProcess
from imgpool.service.records import ImageRecord, NewImage
from pictures import photo
from servers.redis import Redis
from servers.swift import Swift

ID = "0123456789abcdef" * 2
TAKEN = "UPDATE images SET worker = 'another', attempts = attempts + 1 WHERE id = %s"
DELETED = "DELETE FROM images WHERE id = %s"


@pytest.fixture
def worker(tmp_path: Path, redis: Redis, database_url: str, swift: Swift) -> Iterator[PoolProcess]:
    """A process of a worker's pool, with one image to work on."""
    settings = Settings(
        data_dir=tmp_path,
        broker=redis.url,
        database=database_url,
        files=swift.folder().url,
        s3_endpoint=swift.endpoint,
        isolation="thread",
    )
    stop_read, stop_write = os.pipe()
    with closing(PoolProcess(settings, "node", Publisher(make_app(settings)), stop_read)) as process:
        original = process._files.new_original(ID)
        original.write(photo(320, 240))
        original.commit()
        process._records.add(NewImage(ID, "lake.jpg", 1, "jpeg", 320, 240, received_at=1.0))
        yield process
    os.close(stop_write)
    os.close(stop_read)


@pytest.mark.parametrize(("meanwhile", "left"), [(None, 2), (TAKEN, 0), (DELETED, 0)], ids=["mine", "taken", "deleted"])
def test_what_was_published_for_nothing_is_put_away(
    worker: PoolProcess, monkeypatch: pytest.MonkeyPatch, meanwhile: str | None, left: int
) -> None:
    published = []
    publish: Callable[[str, Path], str] = worker._files.publish

    def slowly(image_id: str, staged: Path) -> str:
        published.append(publish(image_id, staged))
        if meanwhile is not None:
            worker._cluster.database.change(meanwhile, (image_id,))  # type: ignore[arg-type]
        return published[-1]

    monkeypatch.setattr(worker._files, "publish", slowly)
    worker.process(ID)
    (prefix,) = published
    there = [name for name in ("large.jpg", "thumb.jpg") if exists(worker, prefix + name)]
    assert len(there) == left
    record = worker._records.get(ID)
    assert (record.state if record else None) == {None: "done", TAKEN: "processing", DELETED: None}[meanwhile]


def test_a_pause_that_ends_while_a_worker_asks_costs_no_message(
    worker: PoolProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, begin = worker._cluster.room, worker._records.begin
    room.set_paused(True)

    def slowly(image_id: str, now: float) -> ImageRecord | None:
        begun = begin(image_id, now)
        room.set_paused(False)
        return begun

    monkeypatch.setattr(worker._records, "begin", slowly)
    worker.process(ID)
    record = worker._records.get(ID)
    assert record is not None
    assert (record.state, record.attempts) == ("done", 1)


def exists(worker: PoolProcess, filename: str) -> bool:
    found = worker._files.variant(ID, filename)
    assert not isinstance(found, Path)
    try:
        with found.read():
            return True
    except FileNotFoundError:
        return False
