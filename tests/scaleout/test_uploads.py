"""Resumable uploads on two hosts at once: real PostgreSQL, real Swift, time by hand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from imgpool.config import Settings
from imgpool.errors import (
    Expired,
    NoRoom,
    NoSuchUpload,
    NotAnImage,
    Refused,
    StoreFailed,
    Superseded,
    TooManyUnfinished,
    WrongOffset,
)
from imgpool.imaging.model import Limits
from imgpool.scaleout import unfinished_files
from imgpool.scaleout.bucket import Bucket
from imgpool.scaleout.database import Database
from imgpool.scaleout.pieces import DirectoryPieces, Pieces, S3Pieces
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room
from imgpool.scaleout.s3 import S3Files
from imgpool.scaleout.scratch import Scratch
from imgpool.scaleout.unfinished import UnfinishedTable
from imgpool.scaleout.unfinished_book import SharedBook
from imgpool.scaleout.unfinished_files import SharedUnfinished
from imgpool.service.intake import Intake
from imgpool.service.records import NewImage
from imgpool.service.resumable import Resumable
from imgpool.service.stores import Stores
from imgpool.service.upload import Begun, Upload
from pictures import photo
from servers.swift import Swift

PIECE = 1024


class HeldSlot:
    """A slot of the common room."""

    def __init__(self, room: Room, image_id: str) -> None:
        self._room, self._image_id = room, image_id

    def send(self, payload: str, *, weight: int = 0) -> object:
        return payload

    def release(self) -> None:
        self._room.release(self._image_id)

    def __enter__(self) -> HeldSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Host:
    """What one host has of the service, apart from its engine."""

    def __init__(self, name: str, url: str, folder: Bucket, local: Path, **given: Any) -> None:
        self.database = Database(url)
        self.database.open()
        self.room = Room(self.database, host=name, lease_s=60)
        self.room.configure("host", 4)
        self.records = PostgresRecords(self.database, worker=name, lease_s=60)
        self.files = S3Files(folder, local / "files")
        self.scratch = Scratch(local / "uploads")
        self.refused: list[Refused] = []
        self.now = 0.0
        self.pieces: Pieces = S3Pieces(folder, left_after_s=-2)
        uploads = UnfinishedTable(self.database)
        made = Settings(data_dir=local, **given)
        intake = Intake(self._reserve, self._upload, self.refused.append, lambda: self.now)
        self.resumable = Resumable(
            made, SharedBook(made, SharedUnfinished(uploads, self.pieces, self.files, self.scratch), intake)
        )

    def _reserve(self, image_id: str) -> HeldSlot:
        if not self.room.take_over(image_id) and not self.room.reserve(image_id):
            raise NoRoom("full", retry_after_s=1)
        return HeldSlot(self.room, image_id)

    def _upload(self, image_id: str, slot: Any, begun: Begun) -> Upload:
        return Upload(
            image_id,
            slot,
            Stores(self.files, self.records),
            max_bytes=1 << 30,
            limits=Limits(max_pixels=1 << 30),
            weigh=lambda _: 0,
            begun=begun,
        )

    def send(self, upload_id: str, offset: int, data: bytes) -> NewImage | None:
        with self.resumable.go_on(upload_id, offset) as turn:
            for start in range(0, len(data), 100):
                turn.write(data[start : start + 100])
            return turn.finish()

    def offset(self, upload_id: str) -> int:
        return self.resumable.find(upload_id).offset

    def close(self) -> None:
        self.records.close()
        self.database.close()
        self.files.close()
        self.scratch.close()


Make = Callable[..., Host]


@pytest.fixture
def folder(swift: Swift) -> Bucket:
    return swift.folder()


@pytest.fixture
def host(
    database_url: str, folder: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Host]]:
    monkeypatch.setattr(unfinished_files, "PIECE_BYTES", PIECE)
    names = itertools.count()
    with ExitStack() as stack:

        def make(**given: Any) -> Host:
            name = f"host-{next(names)}"
            return stack.enter_context(closing(Host(name, database_url, folder, tmp_path / name, **given)))

        yield make


def begin(host: Host, data: bytes) -> str:
    return host.resumable.create(len(data), "lake.jpg", "somebody", "note").id


def pieces(folder: Bucket) -> list[str]:
    return [key for page in folder.pages("unfinished/") for key, _ in page.objects]


def kept(host: Host, image_id: str) -> bytes:
    with host.files.original(image_id) as path:
        return path.read_bytes()


def test_each_request_may_reach_another_host(host: Make, folder: Bucket) -> None:
    one, two, three = host(), host(), host()
    data = photo(320, 240)
    third = len(data) // 3
    upload_id = begin(one, data)
    assert two.resumable.find(upload_id).note == "note"
    assert two.send(upload_id, 0, data[:third]) is None
    assert one.room.statistics().reserved == 1, "one upload, one slot, whichever host holds it"
    assert three.offset(upload_id) == one.offset(upload_id) == third
    assert one.send(upload_id, third, data[third : 2 * third]) is None
    image = three.send(upload_id, 2 * third, data[2 * third :])
    assert image is not None
    assert (image.id, image.name, image.owner, image.bytes) == (upload_id, "lake.jpg", "somebody", len(data))
    for each in (one, two, three):
        with pytest.raises(NoSuchUpload):
            each.resumable.find(upload_id)
        assert each.records.counts().queued == 1
    assert kept(two, upload_id) == data
    assert pieces(folder) == []
    statistics = one.room.statistics()
    assert (statistics.reserved, statistics.queued) == (0, 1), "the slot became the image's place"
    for each in (one, two, three):
        each.now += 100
        each.resumable.tend()
    assert one.room.statistics().queued == 1, "what a host believes to hold is not given back twice"


def test_a_host_that_dies_costs_what_it_had_not_stored(host: Make, tmp_path: Path) -> None:
    dead, alive = host(), host()
    data = photo(320, 240)
    upload_id = begin(dead, data)
    turn = dead.resumable.go_on(upload_id, 0)  # never ended, as after kill -9
    turn.write(data[: 3 * PIECE + 10])
    assert alive.offset(upload_id) == 3 * PIECE
    with pytest.raises(WrongOffset) as raised:
        alive.send(upload_id, 3 * PIECE + 10, b"")
    assert raised.value.offset == 3 * PIECE
    image = alive.send(upload_id, 3 * PIECE, data[3 * PIECE :])
    assert image is not None
    assert kept(alive, upload_id) == data
    with pytest.raises(Superseded):
        turn.write(data[3 * PIECE + 10 :])
    turn.__exit__(None, None, None)
    assert kept(alive, upload_id) == data
    assert alive.records.counts().accepted == 1


def test_the_older_turn_is_ended_on_whichever_host_it_is(host: Make) -> None:
    one, two = host(), host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    ended = []
    with one.resumable.go_on(upload_id, 0, interrupt=lambda: ended.append("one")) as turn:
        turn.write(data[:1500])
        one.resumable.tend()
        assert not ended
        two.resumable.interrupt(upload_id)
        assert two.offset(upload_id) == PIECE
        one.resumable.tend()
        assert ended == ["one"], "its wait for bytes that will not come"
        with pytest.raises(Superseded):
            turn.write(data[1500:])
    assert two.offset(upload_id) == PIECE, "nothing that it still had came in afterwards"


def test_on_one_host_nothing_that_came_is_lost_when_a_client_comes_back(host: Make) -> None:
    one = host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    with one.resumable.go_on(upload_id, 0) as turn:
        turn.write(data[:1500])
        one.resumable.interrupt(upload_id)
        assert one.offset(upload_id) == 1500
        with pytest.raises(Superseded):
            turn.finish()
    assert one.send(upload_id, 1500, data[1500:]) is not None


def test_a_late_end_on_one_host_harms_no_image_of_another(host: Make) -> None:
    one, two = host(), host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    late = one.resumable.go_on(upload_id, 0)
    late.write(data)  # all of it: only the end is missing
    assert two.offset(upload_id) < len(data)
    assert two.send(upload_id, two.offset(upload_id), data[two.offset(upload_id) :]) is not None
    with pytest.raises(StoreFailed):  # it is recorded already
        late.finish()
    late.__exit__(None, None, None)
    assert kept(two, upload_id) == data, "what it put away again was not the other one's"
    assert one.records.counts().accepted == 1


def test_an_id_that_no_database_takes_is_unknown(host: Make) -> None:
    for odd in ("\0", "\ud800"):
        with pytest.raises(NoSuchUpload):
            host().resumable.find(odd)


def test_a_killed_end_is_an_image_and_no_upload(host: Make) -> None:
    one, two = host(), host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    one.resumable._book.remove = lambda entry: None  # type: ignore[method-assign]  # killed between record and removal
    assert one.send(upload_id, 0, data) is not None
    with pytest.raises(NoSuchUpload):
        two.resumable.find(upload_id)
    two.resumable.tend()
    assert two.resumable.standing().uploads == 1, "it goes when it expires"


def test_little_by_little_makes_no_endless_row(host: Make, folder: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished_files, "MOST_PIECES", 3)
    one, two = host(), host()
    data = photo(320, 240)[:-1] + os.urandom(1)
    upload_id = begin(one, data)
    for start in range(0, 1400, 200):
        sender = one if start % 400 else two
        assert sender.send(upload_id, start, data[start : start + 200]) is None
        ((names,),) = one.database.rows("SELECT cardinality(pieces) FROM unfinished")
        assert names <= 4
    assert two.send(upload_id, 1400, data[1400:]) is not None
    assert kept(one, upload_id) == data
    assert pieces(folder) == []


def test_a_wrong_checksum_costs_its_own_bytes(host: Make) -> None:
    one, two = host(), host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    assert one.send(upload_id, 0, data[:500]) is None
    with two.resumable.go_on(upload_id, 500) as turn:
        turn.distrust()
        turn.write(b"x" * 3000)
        turn.undo()
    assert one.offset(upload_id) == 500
    assert two.send(upload_id, 500, data[500:]) is not None
    assert kept(one, upload_id) == data


def test_what_is_no_image_is_gone_everywhere(host: Make, folder: Bucket) -> None:
    one, two = host(), host()
    upload_id = begin(one, b"x" * 5000)
    with pytest.raises(NotAnImage):
        one.send(upload_id, 0, b"x" * 2000)
    with pytest.raises(NoSuchUpload):
        two.resumable.find(upload_id)
    assert (pieces(folder), two.room.statistics().reserved) == ([], 0)


def test_it_expires_once_for_all_hosts(host: Make, folder: Bucket) -> None:
    one, two = host(unfinished_expire_s=60.0), host(unfinished_expire_s=60.0)
    data = photo(320, 240)
    upload_id = begin(one, data)
    one.send(upload_id, 0, data[:2000])
    one.database.change("UPDATE unfinished SET moved_at = moved_at - interval '61 seconds'")
    for each in (one, two):
        each.now += 61
        each.resumable.tend()
    assert [type(refusal) for refusal in one.refused + two.refused] == [Expired]
    with pytest.raises(NoSuchUpload):
        two.resumable.find(upload_id)
    assert (pieces(folder), one.room.statistics().reserved) == ([], 0)


def test_the_bounds_are_those_of_all_hosts(host: Make) -> None:
    one, two = host(max_unfinished_uploads=2), host(max_unfinished_uploads=2)
    data = photo(320, 240)
    first = begin(one, data)
    begin(two, data)
    with pytest.raises(TooManyUnfinished):
        begin(one, data)
    assert one.room.statistics().reserved == 2, "its slot was given back"
    one.database.change("UPDATE unfinished SET moved_at = moved_at - interval '61 seconds' WHERE id = %s", (first,))
    begin(two, data)  # whoever stood still longest makes room
    with pytest.raises(NoSuchUpload):
        one.resumable.find(first)
    assert one.resumable.standing().uploads == 2
    assert len(two.refused) == 1


def test_a_store_that_is_away_costs_a_refusal(host: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    assert one.send(upload_id, 0, data[:2000]) is None
    with closing(Bucket("s3://photos", "http://127.0.0.1:9")) as away, monkeypatch.context() as patch:
        patch.setattr(one.resumable._book.store, "pieces", S3Pieces(away))
        with pytest.raises(StoreFailed):
            one.send(upload_id, 2000, data[2000:])
    assert one.offset(upload_id) == 2000
    assert one.send(upload_id, 2000, data[2000:]) is not None


def test_pieces_without_an_upload_are_swept(host: Make, folder: Bucket) -> None:
    one = host()
    data = photo(320, 240)
    upload_id = begin(one, data)
    one.send(upload_id, 0, data[:2000])
    one.pieces.put("f" * 32, "left", b"left")
    assert one.pieces.sweep(UnfinishedTable(one.database).known) == 1
    assert {key.split("/")[1] for key in pieces(folder)} == {upload_id}


@pytest.fixture(params=["s3", "directory"])
def store(request: pytest.FixtureRequest, folder: Bucket, tmp_path: Path) -> Pieces:
    return S3Pieces(folder) if request.param == "s3" else DirectoryPieces(tmp_path)


def test_pieces(store: Pieces) -> None:
    store.put("a" * 32, "one", b"0123456789")
    with store.read("a" * 32, "one") as chunks:
        assert b"".join(chunks) == b"0123456789"
    with store.read("a" * 32, "one", 4) as chunks:
        assert b"".join(chunks) == b"0123"
    assert store.sweep(lambda _: set()) == 0, "perhaps its row is just being written"
    store.delete("a" * 32)
    store.delete("a" * 32)
    with pytest.raises(FileNotFoundError), store.read("a" * 32, "one"):
        pass
