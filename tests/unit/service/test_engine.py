"""From queued to done or failed, whatever fails on the way: nothing is lost, nothing is done twice."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from doubles import WAIT_S, Gate, Watched, Watching, lawful, original, ours, take
from imgpool.config import Settings
from imgpool.errors import DecodeFailed, DecoderKilled, MachineFailed
from imgpool.imaging.model import Made
from imgpool.imaging.sandbox import CancelSignal, InThread, Processor
from imgpool.service.directory import Directory
from imgpool.service.records import ImageRecord, NewImage, Outcome, StoreError

Start = Callable[..., Watching]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_an_accepted_image_is_done_with_its_variants(start: Start, images: dict[str, bytes], isolation: str) -> None:
    service = start(isolation=isolation, workers=1)
    turned = take(service, images["turned"])
    broken = take(service, images["truncated"])
    counts = service.settled()
    assert (counts.done, counts.failed) == (1, 1)
    record = service.record(turned.id)
    assert (record.state, record.error, record.attempts) == ("done", None, 1)
    assert (record.format, record.width, record.height) == ("jpeg", 240, 320), "as a person sees it"
    assert [(made.name, made.width, made.height) for made in record.variants] == [
        ("large", 240, 320),
        ("thumb", 192, 256),
    ]
    for made in record.variants:
        path = service.files.variant(turned.id, made.filename)
        assert path.stat().st_size == made.bytes
        with Image.open(path) as opened:
            assert opened.size == (made.width, made.height)
    assert record.wait_s is not None
    assert record.service_s is not None
    assert record.received_at <= (record.started_at or 0) <= (record.finished_at or 0)
    failed = service.record(broken.id)
    assert (failed.state, failed.variants) == ("failed", ())
    assert failed.error is not None
    assert failed.error.endswith(".")
    assert " " in failed.error
    service.stop()
    assert ours(service.settings) == {turned.id, broken.id}, "the failed one keeps its original and has no variants"


class Forgetful(Watched):
    """Fails its first calls of one method, `broken`, and works again after that."""

    broken = "finish"
    failures = 2

    def _fail(self, method: str) -> None:
        if method == self.broken and self.failures > 0:  # two workers may come here at once
            self.failures -= 1
            raise StoreError("the record store failed: database is locked")

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        self._fail("begin")
        return super().begin(image_id, now)

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        self._fail("finish")
        return super().finish(image_id, now, outcome)

    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        self._fail("backlog")
        return super().backlog(after, limit)


class ForgetfulAtBegin(Forgetful):
    broken = "begin"


class ForgetfulAtBacklog(Forgetful):
    broken = "backlog"
    failures = 1


class AnswerLost(Watched):
    """The change was made, and then the answer was an error."""

    failures = 1

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        kept = super().finish(image_id, now, outcome)
        if self.failures:
            self.failures -= 1
            raise StoreError("the record store failed: disk I/O error")
        return kept


@pytest.mark.parametrize("records", [Forgetful, ForgetfulAtBegin, AnswerLost])
def test_a_store_that_fails_for_a_while_loses_nothing(
    start: Start, images: dict[str, bytes], records: Callable[[Path], Watched]
) -> None:
    service = start(records=records)
    accepted = [take(service, images["jpeg"]) for _ in range(3)]
    assert service.settled().done == 3
    service.stop()
    for image in accepted:
        assert original(service, image.id).exists()
        assert service.files.variant(image.id, "thumb.jpg").exists()


class Clumsy(Directory):
    """Staging fails once, publishing fails once."""

    failures = {"stage", "publish"}  # noqa: RUF012 - emptied by its one instance in one test

    def stage(self, image_id: str) -> Path:
        self._fail("stage")
        return super().stage(image_id)

    def publish(self, image_id: str, staged: Path) -> str:
        self._fail("publish")
        return super().publish(image_id, staged)

    def _fail(self, method: str) -> None:
        if method in self.failures:
            self.failures = self.failures - {method}
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fails_for_a_while_costs_time_and_no_image(start: Start, images: dict[str, bytes]) -> None:
    service = start(files=Clumsy, workers=1)
    image = take(service, images["jpeg"])
    assert service.settled().done == 1
    assert service.record(image.id).attempts == 1
    service.stop()
    assert ours(service.settings) == {image.id}


class Raising(InThread):
    """Processes as ever, after raising what it was given, once each."""

    def __init__(self, service: Watching, errors: list[BaseException]) -> None:
        super().__init__(service.workshop.recipe, service.workshop.limits, sync=False)
        self._errors = errors

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        if self._errors:
            raise self._errors.pop(0)
        return super().process(original, into, timeout_s=timeout_s, cancelled=cancelled)


class Faulty(Watching):
    """Its processors raise these errors; making them raises those."""

    processing: list[BaseException]
    making: list[BaseException]

    def make_processor(self) -> Processor:
        if self.making:
            raise self.making.pop(0)
        return Raising(self, self.processing)


def faulty(processing: list[BaseException] | None = None, making: list[BaseException] | None = None) -> type[Faulty]:
    return type("FaultyNow", (Faulty,), {"processing": processing or [], "making": making or []})


@pytest.mark.parametrize("error", [RuntimeError("oops"), MemoryError(), SystemExit(1), ValueError("\ud800")])
def test_a_mistake_of_ours_fails_that_image_and_costs_no_worker(
    start: Start, images: dict[str, bytes], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    service = start(kind=faulty([error]), workers=1)
    first, second = (take(service, images["jpeg"]) for _ in range(2))
    counts = service.settled()
    assert (counts.failed, counts.done) == (1, 1)
    assert "made a mistake" in str(service.record(first.id).error)
    assert service.record(second.id).state == "done"
    assert first.id in caplog.text
    assert type(error).__name__ in caplog.text


def test_a_reason_that_no_database_can_hold_does_not_end_the_collector(start: Start, images: dict[str, bytes]) -> None:
    """A decoder that was taken over may say anything, half of a surrogate pair too."""
    service = start(kind=faulty([DecodeFailed("bad \ud800 bytes")]), workers=1)
    first, _ = (take(service, images["jpeg"]) for _ in range(2))
    counts = service.settled()
    assert (counts.failed, counts.done) == (1, 1)
    assert str(service.record(first.id).error).startswith("bad ")


@pytest.mark.parametrize(("kills", "state", "attempts"), [(1, "done", 2), (2, "done", 3), (3, "failed", 3)])
def test_an_image_whose_decoder_is_killed_is_tried_again_but_not_for_ever(
    start: Start, images: dict[str, bytes], kills: int, state: str, attempts: int
) -> None:
    """The system kills for lack of memory, which may be another image's fault; each attempt counts."""
    errors: list[BaseException] = [DecoderKilled("The decoder was ended by SIGKILL.") for _ in range(kills)]
    service = start(kind=faulty(errors), workers=1, max_attempts=3)
    image = take(service, images["jpeg"])
    other = take(service, images["jpeg"])
    service.settled()
    record = service.record(image.id)
    assert (record.state, record.attempts) == (state, attempts)
    assert record.error is None or record.error.endswith("It was tried 3 times.")
    assert service.record(other.id).attempts == 1
    service.stop()
    assert ours(service.settings) == {image.id, other.id}


def test_what_is_deleted_while_its_decoder_is_killed_is_not_tried_again(start: Start, images: dict[str, bytes]) -> None:
    class Deleting(Faulty):
        """Deletes what it was asked to process, and then its decoder is killed."""

        making: list[BaseException] = []  # noqa: RUF012
        processing: list[BaseException] = []  # noqa: RUF012

        def make_processor(self) -> Processor:
            service = self

            class Doomed(InThread):
                def process(
                    self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal
                ) -> Made:
                    service.delete(original.name)
                    raise DecoderKilled("The decoder was ended by SIGKILL.")

            return Doomed(self.workshop.recipe, self.workshop.limits, sync=False)

    service = start(kind=Deleting, workers=1, max_attempts=9)
    take(service, images["jpeg"])
    assert service.settled().deleted == 1
    service.stop()
    assert ours(service.settings) == set()


def test_an_output_that_fails_is_tried_again(start: Start, images: dict[str, bytes]) -> None:
    service = start(kind=faulty([MachineFailed("The disk is full.")]), workers=1)
    take(service, images["jpeg"])
    assert service.settled().done == 1


def test_a_processor_that_cannot_be_made_at_once_is_made_later(start: Start, images: dict[str, bytes]) -> None:
    errors: list[BaseException] = [OSError(errno.EMFILE, "Too many open files") for _ in range(2)]
    service = start(kind=faulty(making=errors), workers=1)
    take(service, images["jpeg"])
    assert service.settled().done == 1


def test_what_is_deleted_while_queued_or_processing_leaves_nothing(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    service = start(gate=gate, workers=1)
    processing, queued, kept = (take(service, images["jpeg"]) for _ in range(3))
    gate.wait_for(1)
    assert gate.entered == [processing.id]
    assert service.delete(processing.id)
    assert service.delete(queued.id)
    assert not service.delete(queued.id)
    gate.open()
    counts = service.settled()
    service.stop()
    assert (counts.accepted, counts.deleted, counts.done) == (3, 2, 1)
    assert gate.entered == [processing.id, kept.id]
    assert ours(service.settings) == {kept.id}


class DeletedLate(Watching):
    """Deletes the image between the worker's publishing and the collector's record."""

    class Records(Watched):
        def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
            super().delete(image_id)
            return super().finish(image_id, now, outcome)


def test_what_is_deleted_after_it_was_published_leaves_nothing(start: Start, images: dict[str, bytes]) -> None:
    service = start(records=DeletedLate.Records, workers=1)
    take(service, images["jpeg"])
    assert service.settled().deleted == 1
    service.stop()
    assert ours(service.settings) == set()
    assert service.measures.snapshot().done == 0


def test_an_original_that_is_gone_fails_with_advice(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    service = start(gate=gate, workers=1)
    take(service, images["jpeg"])
    gate.wait_for(1)
    gone = take(service, images["jpeg"])
    original(service, gone.id).unlink()
    gate.open()
    service.settled()
    assert "upload it again" in str(service.record(gone.id).error)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_at_the_deadline_the_unfinished_are_handed_back_uncounted(
    start: Start, images: dict[str, bytes], isolation: str, hand_back_takes_its_time: None
) -> None:
    gate = Gate()
    service = start(gate=gate, workers=2, isolation=isolation)
    accepted = [take(service, images["jpeg"]).id for _ in range(4)]
    gate.wait_for(2)
    assert sorted(service.stop(0.1)) == sorted(accepted)
    again = start(gate=(second := Gate()), workers=1)
    second.wait_for(1)
    records = [again.record(image_id) for image_id in accepted]
    assert [record.attempts for record in records] == [1, 0, 0, 0], "1 is the attempt of now"
    second.open()
    assert again.settled().done == 4
    assert second.entered == accepted, "oldest first"
    assert ours(again.settings) == set(accepted)


def test_a_store_that_fails_at_the_end_keeps_nobody_waiting_and_loses_nothing(
    start: Start, images: dict[str, bytes]
) -> None:
    class Dead(Forgetful):
        failures = 1 << 30

    service = start(records=Dead, workers=1)
    image = take(service, images["jpeg"])
    service.until(lambda: service.watched.failures < 1 << 30)  # type: ignore[attr-defined]
    service.stop(0.2)
    again = start()
    assert again.settled().done == 1
    assert again.record(image.id).state == "done"


def test_a_drain_finishes_what_was_accepted(start: Start, images: dict[str, bytes]) -> None:
    service = start(workers=1)
    for _ in range(5):
        take(service, images["jpeg"])
    assert service.stop(WAIT_S) == ()
    again = start()
    assert again.records.counts().done == 5


def test_a_drain_waits_for_an_upload_that_holds_a_slot(start: Start, images: dict[str, bytes]) -> None:
    service = start()
    upload = service.admit()
    upload.write(images["jpeg"])
    stopping = threading.Thread(target=service.stop, args=(WAIT_S,))
    stopping.start()
    service.until(lambda: not service.accepting)
    image = upload.accept("late.jpg")
    upload.discard()
    stopping.join(WAIT_S)
    assert not stopping.is_alive()
    again = start(gate=Gate())
    assert again.record(image.id).state == "done"


def left_behind(settings: Settings, data: bytes, count: int) -> list[str]:
    """A data directory as a killed server leaves it: so many queued images."""
    service = Watching(settings)
    service.open()
    ids = [f"{number:032x}" for number in range(count)]
    for number, image_id in enumerate(ids):
        original = service.files.new_original(image_id)
        original.write(data)
        original.commit()
        service.records.add(NewImage(image_id, f"{number}.jpg", len(data), "jpeg", 320, 240, float(number)))
    service.close()
    return ids


def test_a_backlog_larger_than_the_queue_is_fed_oldest_first_and_none_twice(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    ids = left_behind(settings(), images["tiny"], 12)
    gate = Gate()
    service = start(gate=gate, workers=1, queue_capacity=2)
    gate.wait_for(1)
    assert service.records.counts().queued == 11
    gate.open()
    assert service.settled().done == 12
    assert gate.entered == ids
    assert all(record.attempts == 1 for record in service.page(None, 50, None))


def test_uploads_during_the_feeding_are_done_once_too(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    ids = left_behind(settings(), images["tiny"], 20)
    service = start(workers=2, queue_capacity=30, gate=(gate := Gate()))
    new = [take(service, images["tiny"]).id for _ in range(5)]
    gate.open()
    assert service.settled().done == 25
    assert sorted(gate.entered) == sorted(ids + new)


def test_a_backlog_that_cannot_be_read_at_once_is_read_later(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    left_behind(settings(), images["tiny"], 3)
    assert start(records=ForgetfulAtBacklog).settled().done == 3


def test_a_stop_in_the_middle_of_the_backlog_leaves_the_rest_to_the_next_start(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes], hand_back_takes_its_time: None
) -> None:
    left_behind(settings(), images["tiny"], 12)
    gate = Gate()
    service = start(gate=gate, workers=1, queue_capacity=2)
    gate.wait_for(1)
    service.stop(0.1)
    again = start()
    assert again.settled().done == 12
    assert all(record.attempts == 1 for record in again.page(None, 50, None))


def test_what_was_processing_is_tried_again_but_not_for_ever(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = left_behind(settings(), images["tiny"], 3)
    crashed = Watching(settings())
    for image_ids in ((first, second), (second,)):
        crashed.open()
        crashed.records.recover(0.0, 99)
        for image_id in image_ids:
            crashed.records.begin(image_id, 0.0)
        (crashed.files.stage(image_ids[0]) / "thumb.jpg").write_bytes(b"half")
        crashed.close()
    with caplog.at_level(logging.WARNING):
        service = start(max_attempts=2)
    counts = service.settled()
    assert (counts.done, counts.failed) == (2, 1)
    assert lawful(counts)
    assert "2 times" in str(service.record(second).error)
    assert (service.record(first).attempts, service.record(third).attempts) == (2, 1)
    assert "recovered:" in caplog.text
    service.stop()
    assert ours(service.settings) == {first, second, third}


class NeverBack(Watched):
    """Cannot hand back."""

    def hand_back(self, image_id: str) -> bool:
        raise StoreError("the record store failed: disk I/O error")


def test_what_cannot_be_handed_back_is_taken_up_all_the_same(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    service = start(gate=gate, workers=1, records=NeverBack)
    image = take(service, images["jpeg"])
    gate.wait_for(1)
    assert service.stop(0.1) == (image.id,)
    again = start()
    assert again.settled().done == 1
    assert again.record(image.id).attempts == 2


class Surprising(Watched):
    """One record fails in a way that nobody thought of."""

    failures = 1

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("nobody thought of this")
        return super().finish(image_id, now, outcome)


def test_no_surprise_ends_the_collector(start: Start, images: dict[str, bytes]) -> None:
    service = start(records=Surprising, workers=1)
    first, second = (take(service, images["jpeg"]) for _ in range(2))
    service.until(lambda: service.record(second.id).state == "done")
    assert service.record(first.id).state == "processing"
    service.stop()
    again = start()
    assert again.settled().done == 2


class Undeletable(Directory):
    def delete(self, image_id: str) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_files_of_a_deleted_image_that_cannot_be_removed_now_are_at_the_next_start(
    start: Start, images: dict[str, bytes]
) -> None:
    service = start(records=DeletedLate.Records, files=Undeletable, workers=1)
    for _ in range(2):
        take(service, images["jpeg"])
    assert service.settled().deleted == 2, "the collector goes on"
    service.stop()
    assert ours(start().settings) == set()


class NoBacklog(Watched):
    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        self._told(None)
        self.asked = True
        raise StoreError("the record store failed: disk I/O error")

    asked = False


def test_a_backlog_that_can_never_be_read_does_not_hinder_the_end(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    left_behind(settings(), images["tiny"], 3)
    service = start(records=NoBacklog)
    service.until(lambda: service.watched.asked)  # type: ignore[attr-defined]
    service.stop()
    assert start().settled().done == 3


class LateBacklog(Watched):
    """Is read only when the test says so."""

    may_read = threading.Event()

    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        assert self.may_read.wait(WAIT_S)
        return super().backlog(after, limit)


def test_an_upload_that_overtakes_the_backlog_is_not_fed_a_second_time(
    start: Start, settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    ids = left_behind(settings(), images["tiny"], 2)
    gate = Gate()
    service = start(records=LateBacklog, gate=gate, workers=1)
    new = take(service, images["tiny"])
    waiting = take(service, images["tiny"])
    gate.wait_for(1)
    LateBacklog.may_read.set()
    gate.open()
    assert service.settled().done == 4
    assert sorted(gate.entered) == sorted([*ids, new.id, waiting.id])
    assert service.pool.statistics().submitted == 4
