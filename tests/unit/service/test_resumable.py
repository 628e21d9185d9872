"""Uploads in several requests: bytes that stay, slots that do not, and the bounds of both. Time is injected."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doubles import Watched, Watching, lawful, original, ours
from imgpool.errors import (
    NoFile,
    NoRoom,
    NoSuchUpload,
    NotAnImage,
    OverHeaderLimit,
    Refused,
    StoreFailed,
    Superseded,
    TooManyUnfinished,
    UploadTooLarge,
    WrongOffset,
)
from imgpool.imaging.formats import SNIFF_BYTES
from imgpool.service.records import NewImage, StoreError
from imgpool.service.resumable import Resumable
from imgpool.service.resumable_book import Standing
from imgpool.service.resumable_entry import Entry
from pictures import photo

HOUR_S = 3600.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Still(Watching):
    """A service whose uploads stand still by a clock of the test's, and are tended when the test says so."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self.clock = Clock()


Start = Callable[..., Watching]


@pytest.fixture(autouse=True)
def _only_the_test_tends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that tends by itself would do so between two steps of a test, too."""
    monkeypatch.setattr(Resumable, "_keep_tending", lambda uploads: uploads._stopping.wait())


@pytest.fixture
def service(start: Start) -> Still:
    made = start(kind=Still, unfinished_slot_s=10, unfinished_expire_s=HOUR_S * 2)
    assert isinstance(made, Still)
    return made


def send(service: Watching, upload_id: str, offset: int, data: bytes) -> NewImage | None:
    with service.uploads.go_on(upload_id, offset) as turn:
        turn.write(data)
        return turn.finish()


def held(service: Watching) -> int:
    return int(service.pool.statistics().jobs.reserved)


def unfinished_files(service: Watching) -> set[str]:
    return {path.name for path in (service.settings.data_dir / "uploads").iterdir()}


def test_an_upload_in_three_requests_is_an_image_like_any_other(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg", "somebody", "filename bGFrZQ==")
    assert (upload.offset, upload.length, held(service)) == (0, len(data), 1)
    assert send(service, upload.id, 0, data[:10]) is None
    assert send(service, upload.id, 10, data[10:1000]) is None
    assert service.uploads.find(upload.id).offset == 1000
    image = send(service, upload.id, 1000, data[1000:])
    assert image is not None
    assert image.id == upload.id
    assert service.settled().done == 1
    record = service.record(upload.id)
    assert (record.name, record.bytes, record.owner, record.width) == ("lake.jpg", len(data), "somebody", 320)
    assert original(service, upload.id).read_bytes() == data
    assert unfinished_files(service) == set()
    assert held(service) == 0
    with pytest.raises(NoSuchUpload):
        service.uploads.find(upload.id)


def test_one_that_trickles_makes_way_when_others_find_no_place(start: Start) -> None:
    service = start(kind=Still, queue_capacity=2, min_upload_bytes_per_s=1000)
    data = photo(1600, 1200)
    trickling, fast = (service.uploads.create(len(data), "lake.jpg") for _ in range(2))
    for second in range(2):
        send(service, trickling.id, second, data[second : second + 1])
        send(service, fast.id, 5000 * second, data[5000 * second : 5000 * (second + 1)])
        service.clock.now += 1  # type: ignore[attr-defined]
        with pytest.raises(NoRoom):
            service.admit()
    service.clock.now += 0.1  # type: ignore[attr-defined]
    with service.uploads.go_on(trickling.id, 2) as turn:
        newcomer = service.admit()
        with pytest.raises(Superseded):
            turn.write(data[2:3])
    with pytest.raises(NoRoom):
        service.admit()  # the fast one keeps its place
    with pytest.raises(NoRoom):
        service.uploads.go_on(trickling.id, 2)
    newcomer.discard()
    assert send(service, fast.id, 10_000, data[10_000:]) is not None
    assert send(service, trickling.id, 2, data[2:]) is not None, "its bytes stayed"
    assert service.settled().done == 2


def test_a_laptop_closed_for_an_hour_costs_the_slot_and_not_the_bytes(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    send(service, upload.id, 0, data[:2000])
    service.clock.now += 9  # type: ignore[attr-defined]
    service.uploads.tend()
    assert held(service) == 1, "it may come back at once"
    service.clock.now += 1  # type: ignore[attr-defined]
    service.uploads.tend()
    assert held(service) == 0
    service.clock.now += HOUR_S  # type: ignore[attr-defined]
    service.uploads.tend()
    assert service.uploads.find(upload.id).offset == 2000
    assert send(service, upload.id, 2000, data[2000:]) is not None
    assert service.settled().done == 1


def test_it_may_be_told_to_wait_for_a_slot_and_keeps_its_bytes(start: Start) -> None:
    service = start(kind=Still, queue_capacity=1, unfinished_slot_s=10)
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    send(service, upload.id, 0, data[:2000])
    service.clock.now += 10  # type: ignore[attr-defined]
    service.uploads.tend()
    other = service.admit()
    with pytest.raises(NoRoom) as refusal:
        service.uploads.go_on(upload.id, 2000)
    assert refusal.value.retry_after_s is not None
    with pytest.raises(NoRoom):
        service.uploads.create(10, "second.jpg")
    other.discard()
    assert send(service, upload.id, 2000, data[2000:]) is not None


def test_it_expires_and_gives_the_disk_back(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    send(service, upload.id, 0, data[:2000])
    assert unfinished_files(service) == {upload.id, f"{upload.id}.json"}
    service.clock.now += HOUR_S * 2  # type: ignore[attr-defined]
    service.uploads.tend()
    assert unfinished_files(service) == set()
    assert service.uploads.standing().bytes == 0
    with pytest.raises(NoSuchUpload):
        service.uploads.go_on(upload.id, 2000)
    assert service.measures.snapshot().refused_by == {"expired": 1}


def test_one_that_several_find_expired_is_counted_once(service: Still) -> None:
    """The worst moment: another one tends just when this one has found it."""
    service.uploads.create(1000, "lake.jpg")
    service.clock.now += HOUR_S * 2  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        close = Entry.close

        def after_another(entry: Entry, now: float) -> None:
            patch.undo()
            service.uploads.tend()
            close(entry, now)

        patch.setattr(Entry, "close", after_another)
        service.uploads.tend()
    assert unfinished_files(service) == set()
    assert service.measures.snapshot().refused_by == {"expired": 1}


def test_one_that_is_being_sent_stands_not_still(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    with service.uploads.go_on(upload.id, 0) as turn:
        turn.write(data[:2000])
        service.clock.now += HOUR_S * 3  # type: ignore[attr-defined]
        service.uploads.tend()
        turn.write(data[2000:])
        assert turn.finish() is not None


def test_the_bytes_must_follow_those_that_are_there(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    send(service, upload.id, 0, data[:2000])
    for wrong in (0, 1999, 2001, 10**12):
        with pytest.raises(WrongOffset) as error:
            service.uploads.go_on(upload.id, wrong)
        assert error.value.offset == 2000


def test_a_client_that_comes_back_takes_over_from_its_dead_connection(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    with service.uploads.go_on(upload.id, 0) as dead:
        dead.write(data[:2000])
        with service.uploads.go_on(upload.id, 2000) as alive:
            with pytest.raises(Superseded):
                dead.write(data[2000:3000])
            with pytest.raises(Superseded):
                dead.undo()
            alive.write(data[2000:])
            assert alive.finish() is not None
    assert service.settled().done == 1
    assert original(service, upload.id).read_bytes() == data


def test_asking_how_far_it_is_ends_the_dead_connection_too(service: Still) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    with service.uploads.go_on(upload.id, 0) as dead:
        dead.write(data[:2000])
        service.uploads.interrupt(upload.id)
        with pytest.raises(Superseded):
            dead.write(data[2000:])
    assert send(service, upload.id, 2000, data[2000:]) is not None


@pytest.mark.parametrize(("name", "refusal"), [("text", NotAnImage), ("svg", NotAnImage), ("bomb", OverHeaderLimit)])
def test_what_is_no_image_ends_with_everything_given_back(
    service: Still, images: dict[str, bytes], name: str, refusal: type[Refused]
) -> None:
    data = images[name]
    upload = service.uploads.create(len(data), "photo.jpg")
    with pytest.raises(refusal):
        send(service, upload.id, 0, data)
    assert unfinished_files(service) == ours(service.settings) == set()
    assert held(service) == 0
    with pytest.raises(NoSuchUpload):
        service.uploads.find(upload.id)


def test_what_is_no_image_is_refused_at_its_first_bytes(service: Still, images: dict[str, bytes]) -> None:
    data = images["text"] * 10
    upload = service.uploads.create(len(data), "photo.jpg")
    with pytest.raises(NotAnImage):
        send(service, upload.id, 0, data[:SNIFF_BYTES])
    assert unfinished_files(service) == set()


def test_lengths_that_are_refused_at_once(start: Start) -> None:
    service = start(max_upload_bytes=1000)
    with pytest.raises(NoFile):
        service.uploads.create(0, "a.jpg")
    with pytest.raises(UploadTooLarge):
        service.uploads.create(1001, "a.jpg")
    upload = service.uploads.create(1000, "a.jpg")
    with pytest.raises(UploadTooLarge):
        send(service, upload.id, 0, photo(320, 240))
    assert held(service) == 0


@pytest.mark.parametrize(
    "bound", [{"max_unfinished_uploads": 2}, {"max_unfinished_bytes": 2000}], ids=["number", "bytes"]
)
def test_number_and_bytes_are_bounded_and_who_stood_still_longest_makes_room(
    start: Start, bound: dict[str, int]
) -> None:
    service = start(kind=Still, **bound)
    first, _ = (service.uploads.create(1000, name).id for name in ("a", "b"))
    with pytest.raises(TooManyUnfinished):
        service.uploads.create(1000, "c")
    assert held(service) == 2, "the refused one holds no slot"
    service.clock.now += 60  # type: ignore[attr-defined]
    service.uploads.create(1000, "c")
    assert service.uploads.standing().uploads == 2
    with pytest.raises(NoSuchUpload):
        service.uploads.find(first)


def test_a_wrong_checksum_costs_these_bytes_only(service: Still, images: dict[str, bytes]) -> None:
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    send(service, upload.id, 0, data[:2000])
    with service.uploads.go_on(upload.id, 2000) as turn:
        turn.distrust()
        turn.write(b"changed on the way")
        turn.undo()
    assert service.uploads.find(upload.id).offset == 2000
    other = service.uploads.create(len(data), "other.jpg")
    with service.uploads.go_on(other.id, 0) as turn:
        turn.distrust()
        turn.write(images["text"])  # no conclusion is drawn from bytes that may have changed
        turn.undo()
    assert service.uploads.find(other.id).offset == 0


class Failing(Watched):
    """Records that take no image while `fail` is set."""

    fail = False

    def add(self, image: NewImage) -> None:
        if self.fail:
            raise StoreError("the record store failed: disk I/O error")
        super().add(image)


def test_a_store_that_fails_at_the_end_costs_the_last_byte(start: Start) -> None:
    service = start(records=Failing)
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    service.watched.fail = True  # type: ignore[attr-defined]
    with pytest.raises(StoreFailed):
        send(service, upload.id, 0, data)
    assert service.uploads.find(upload.id).offset == len(data) - 1, "complete means kept, and it is not kept"
    service.watched.fail = False  # type: ignore[attr-defined]
    assert send(service, upload.id, len(data) - 1, data[-1:]) is not None
    assert service.settled().done == 1
    assert original(service, upload.id).read_bytes() == data


def test_a_restart_keeps_the_bytes_and_not_the_slot(start: Start) -> None:
    data = photo(320, 240)
    first = start()
    upload = first.uploads.create(len(data), "lake.jpg", "somebody", "note")
    send(first, upload.id, 0, data[:2000])
    first.stop(10)
    second = start()
    assert held(second) == 0
    found = second.uploads.find(upload.id)
    assert (found.offset, found.length, found.name, found.owner, found.note) == (
        (2000, len(data), "lake.jpg", "somebody", "note")
    )
    assert send(second, upload.id, 2000, data[2000:]) is not None
    assert second.settled().done == 1


def test_a_start_sweeps_what_expired_what_is_kept_and_what_cannot_be_read(start: Start) -> None:
    data = photo(320, 240)
    first = start(unfinished_expire_s=HOUR_S)
    old, young, kept = (first.uploads.create(len(data), "lake.jpg") for _ in range(3))
    for upload in (old, young, kept):
        send(first, upload.id, 0, data[:2000])
    folder = first.settings.data_dir / "uploads"
    before_kept = {path: path.read_bytes() for path in folder.glob(f"{kept.id}*")}
    assert send(first, kept.id, 2000, data[2000:]) is not None
    first.settled()
    first.stop(10)
    for path, content in before_kept.items():  # killed between the record and the end of the upload
        path.write_bytes(content)
    for path in folder.glob(f"{old.id}*"):
        os.utime(path, (time.time() - HOUR_S - 1,) * 2)
    (folder / f"{'0' * 32}.json").write_text("")  # a power cut
    (folder / ("0" * 32)).write_bytes(data)
    (folder / ("1" * 32)).write_bytes(data)
    second = start(unfinished_expire_s=HOUR_S)
    assert unfinished_files(second) == {young.id, f"{young.id}.json"}
    assert second.uploads.standing() == Standing(uploads=1, bytes=len(data), slots=0)
    assert second.record(kept.id).state == "done"
    assert lawful(second.records.counts())


def test_a_stop_interrupts_and_keeps(start: Start, tmp_path: Path) -> None:
    service = start()
    data = photo(320, 240)
    upload = service.uploads.create(len(data), "lake.jpg")
    with service.uploads.go_on(upload.id, 0) as turn:
        turn.write(data[:2000])
        service.uploads.stop()
        with pytest.raises(Refused, match="keeps what it has"):
            turn.write(data[2000:])
    assert held(service) == 0
    assert service.uploads.find(upload.id).offset == 2000
    assert service.stop(10) == ()


def test_a_terminated_upload_is_gone(service: Still) -> None:
    upload = service.uploads.create(1000, "lake.jpg")
    service.uploads.terminate(upload.id)
    assert unfinished_files(service) == set()
    assert held(service) == 0
    with pytest.raises(NoSuchUpload):
        service.uploads.terminate(upload.id)
    assert service.measures.snapshot().received == 0, "its client took it back: nothing was decided"


def test_before_a_stop_whoever_is_silent_is_not_waited_for(service: Still) -> None:
    data = photo()
    silent, sending = (service.uploads.create(len(data), name) for name in ("silent.jpg", "sending.jpg"))
    ended: list[str] = []
    with (
        service.uploads.go_on(silent.id, 0, interrupt=lambda: ended.append("silent")) as quiet,
        service.uploads.go_on(sending.id, 0, interrupt=lambda: ended.append("sending")) as busy,
    ):
        quiet.write(data[:100])
        service.clock.now += 5
        service.uploads.tend()
        assert ended == [], "as long as it does not stop, the read timeout is for that"
        service.drain_soon()
        busy.write(data[:200])
        service.uploads.tend()
        assert ended == ["silent"]
        busy.write(data[200:])
        assert busy.finish() is not None, "who sends may finish"
    assert service.uploads.find(silent.id).offset == 100
