"""One upload on its way in: kept whole, or refused for the true reason with nothing left."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import Gate, Watched, Watching, original, ours, take
from imgpool.errors import DiskFull, NoFile, NoRoom, NotAnImage, OverHeaderLimit, Refused, StoreFailed, UploadTooLarge
from imgpool.imaging.formats import SNIFF_BYTES
from imgpool.service.directory import Directory, _PartFile
from imgpool.service.files import NewOriginal
from imgpool.service.records import NewImage, StoreError
from imgpool.service.upload import MAX_NAME, clean_name

Start = Callable[..., Watching]


def assert_nothing_left(service: Watching) -> None:
    assert ours(service.settings) == set()
    assert service.pool.statistics().jobs.reserved == 0
    assert service.records.counts().accepted == 0


def test_what_was_accepted_lies_on_disk_byte_for_byte_and_is_queued(start: Start, images: dict[str, bytes]) -> None:
    service = start()
    service.pool.pause()
    image = take(service, images["jpeg"], "C:\\holiday\\beach.jpg", chunk=1000)
    assert original(service, image.id).read_bytes() == images["jpeg"]
    record = service.record(image.id)
    assert (record.name, record.bytes, record.format) == ("beach.jpg", len(images["jpeg"]), "jpeg")
    assert (record.width, record.height) == (320, 240)
    assert ours(service.settings) == {image.id}
    assert len(image.id) == 32
    assert int(image.id, 16) >= 0


@pytest.mark.parametrize("chunk", [1, 7, SNIFF_BYTES - 1, SNIFF_BYTES, SNIFF_BYTES + 1])
def test_the_format_is_found_however_the_bytes_come(start: Start, images: dict[str, bytes], chunk: int) -> None:
    service = start(gate=Gate())
    assert take(service, images["gif"], chunk=chunk).format == "gif"


def test_a_file_shorter_than_what_is_sniffed_is_taken(start: Start, images: dict[str, bytes]) -> None:
    assert len(images["tiny"]) < SNIFF_BYTES
    service = start()
    image = take(service, images["tiny"])
    assert service.settled().done == 1
    assert (image.format, image.width, image.height) == ("bmp", 2, 2)


def test_too_large_is_noticed_in_the_middle_of_the_stream(start: Start, images: dict[str, bytes]) -> None:
    service = start(max_upload_bytes=3000)
    upload = service.admit()
    upload.write(images["jpeg"][:3000])
    with pytest.raises(UploadTooLarge, match="3000 bytes"):
        upload.write(images["jpeg"][3000:3001])
    upload.discard()
    upload.discard()
    assert_nothing_left(service)


def test_a_file_of_just_the_limit_is_taken(start: Start, images: dict[str, bytes]) -> None:
    service = start(max_upload_bytes=len(images["jpeg"]))
    take(service, images["jpeg"])
    assert service.settled().done == 1


def test_what_is_no_image_is_refused_as_soon_as_it_can_be_told(start: Start, images: dict[str, bytes]) -> None:
    service = start()
    upload = service.admit()
    upload.write(images["text"][: SNIFF_BYTES - 1])
    with pytest.raises(NotAnImage, match="JPEG, PNG"):
        upload.write(images["text"][SNIFF_BYTES - 1 :])
    upload.discard()
    assert_nothing_left(service)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", NoFile), (b"x", NotAnImage), (b"GIF89", NotAnImage), ("text", NotAnImage), ("svg", NotAnImage),
     ("bomb", OverHeaderLimit)],
)  # fmt: skip
def test_refusals_leave_nothing(start: Start, images: dict[str, bytes], data: bytes | str, kind: type[Refused]) -> None:
    service = start()
    with pytest.raises(kind):
        take(service, images[data] if isinstance(data, str) else data)
    assert_nothing_left(service)
    assert service.measures.snapshot().refused_by == {kind.reason: 1}


def test_a_slot_given_back_is_there_for_the_next(start: Start, images: dict[str, bytes]) -> None:
    service = start(queue_capacity=1)
    for _ in range(3):
        with pytest.raises(NotAnImage):
            take(service, images["text"])
    held = service.admit()
    with pytest.raises(NoRoom):
        service.admit()
    held.discard()
    take(service, images["tiny"])
    service.settled()


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


class FullPart(_PartFile):
    """The disk fills up in the middle of a write."""

    def write(self, chunk: bytes) -> None:
        super().write(chunk[:10])
        raise NO_SPACE


class FullAtWrite(Directory):
    def new_original(self, image_id: str) -> NewOriginal:
        return FullPart(self._originals / image_id)


class NoInode(Directory):
    def new_original(self, image_id: str) -> NewOriginal:
        raise NO_SPACE


class QuotaPart(_PartFile):
    """The quota is noticed when the bytes have to be on disk."""

    def commit(self) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


class FullAtCommit(Directory):
    def new_original(self, image_id: str) -> NewOriginal:
        return QuotaPart(self._originals / image_id)


class LatePart(_PartFile):
    """The file has its name, but the directory cannot be synced."""

    def commit(self) -> None:
        super().commit()
        raise OSError(errno.EIO, "Input/output error")


class BrokenAfterRename(Directory):
    def new_original(self, image_id: str) -> NewOriginal:
        return LatePart(self._originals / image_id)


class BrokenAltogether(FullAtCommit):
    """Not even what is to be tidied up can be."""

    def delete(self, image_id: str) -> None:
        raise OSError(errno.EIO, "Input/output error")


class NoRecord(Watched):
    def add(self, image: NewImage) -> None:
        raise StoreError("the record store failed: disk I/O error")


@pytest.mark.parametrize(
    ("files", "records", "kind"),
    [
        (FullAtWrite, Watched, DiskFull),
        (NoInode, Watched, DiskFull),
        (FullAtCommit, Watched, DiskFull),
        (BrokenAfterRename, Watched, StoreFailed),
        (BrokenAltogether, Watched, DiskFull),
        (Directory, NoRecord, StoreFailed),
    ],
)
def test_a_disk_or_store_that_fails_refuses_and_leaves_nothing(
    start: Start,
    images: dict[str, bytes],
    files: type[Directory],
    records: Callable[[Path], Watched],
    kind: type[Refused],
) -> None:
    service = start(files=files, records=records)
    with pytest.raises(kind) as error:
        take(service, images["jpeg"])
    assert error.value.retry_after_s is not None
    assert_nothing_left(service)


def test_an_upload_that_ends_after_the_drain_deadline_is_taken_up_by_the_next_start(
    start: Start, images: dict[str, bytes]
) -> None:
    service = start()
    upload = service.admit()
    upload.write(images["jpeg"])
    service.pool.abort("drain deadline", timeout_s=5)
    image = upload.accept("late.jpg")
    upload.discard()
    assert service.record(image.id).state == "queued"
    service.stop(5)
    again = start()
    assert again.settled().done == 1


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/etc/", "unnamed"),
        ("C:\\Users\\a\\b.jpg", "b.jpg"),
        ("..", ".."),
        ("", "unnamed"),
        ("   ", "unnamed"),
        (" a b .jpg ", "a b .jpg"),
        ("a\r\nSet-Cookie: x\0\x1b[31m.jpg", "aSet-Cookie: x[31m.jpg"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("\u2066\u200b\ufeff", "unnamed"),
        ("a\u2028b\u2029c", "abc"),
        ("half\ud800.jpg", "half.jpg"),
        ("日本の写真.jpg", "日本の写真.jpg"),
        ("<b>'\"&.jpg", "<b>'\"&.jpg"),
        ("x" * 10_000, "x" * MAX_NAME),
    ],
)
def test_names_are_fit_to_be_shown(name: str, clean: str) -> None:
    assert clean_name(name) == clean
