"""What every `Files` must do, in a directory and on a real S3. A new store joins by adding itself to `stores`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from imgpool.errors import SettingError
from imgpool.scaleout.s3 import S3Files
from imgpool.scaleout.shared_directory import SharedDirectory
from imgpool.service.directory import Directory
from imgpool.service.files import Files
from servers.swift import Swift

ID = "0123456789abcdef" * 2
OTHER = "f" * 32

Make = Callable[[Path], AbstractContextManager[Files]]


def directory(request: pytest.FixtureRequest) -> Make:
    return lambda root: nullcontext(Directory(root / "data", root / "output"))


def s3(request: pytest.FixtureRequest) -> Make:
    swift: Swift = request.getfixturevalue("swift")
    return lambda root: closing(
        S3Files(swift.folder(), root / "data" / "scratch", left_after_s=-2)
    )  # its times are whole seconds


def shared_directory(request: pytest.FixtureRequest) -> Make:
    return lambda root: nullcontext(SharedDirectory(root / "data", left_after_s=-2))


stores = {"directory": directory, "shared directory": shared_directory, "s3": s3}


@pytest.fixture(params=stores, scope="module")
def store(request: pytest.FixtureRequest) -> Make:
    return stores[request.param](request)


@pytest.fixture
def files(store: Make, tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "data").mkdir()
    with store(tmp_path) as files:
        yield files


def keep(files: Files, image_id: str, content: bytes = b"bytes") -> None:
    original = files.new_original(image_id)
    original.write(content)
    original.commit()


def publish(files: Files, image_id: str, **variants: bytes) -> str:
    """Returns what stands before the variants' names."""
    staged = files.stage(image_id)
    for name, content in variants.items():
        (staged / f"{name}.jpg").write_bytes(content)
    where = files.publish(image_id, staged)
    files.unstage(staged)
    return where


def content(files: Files, image_id: str) -> bytes | None:
    """The original's bytes; None when it is not there."""
    try:
        with files.original(image_id) as path:
            return path.read_bytes()
    except FileNotFoundError:
        return None


def variant(files: Files, image_id: str, filename: str) -> bytes | None:
    """A variant's bytes; None when it is not there."""
    found = files.variant(image_id, filename)
    try:
        if isinstance(found, Path):
            return found.read_bytes()
        with found.read() as chunks:
            return b"".join(chunks)
    except FileNotFoundError:
        return None


def known(*ids: str) -> object:
    def of(asked: Iterable[str]) -> set[str]:
        return set(asked) & set(ids)

    return of


def test_an_original_is_there_when_it_is_committed_and_not_before(files: Files) -> None:
    original = files.new_original(ID)
    original.write(b"one ")
    original.write(b"two")
    assert original.path().read_bytes() == b"one two"
    assert content(files, ID) is None
    original.commit()
    assert content(files, ID) == b"one two"
    original.discard()
    assert content(files, ID) is not None, "discard after commit does nothing"


def test_what_was_written_is_the_callers_again(files: Files) -> None:
    original, buffer = files.new_original(ID), bytearray(b"one")
    original.write(memoryview(buffer))
    buffer[:] = b"two"
    original.write(memoryview(buffer)[:2])
    buffer[:] = b"xxx"
    original.commit()
    assert content(files, ID) == b"onetw"


def test_a_discarded_original_leaves_nothing(files: Files) -> None:
    original = files.new_original(ID)
    original.write(b"x")
    part = original.path()
    original.discard()
    original.discard()
    assert not part.exists()
    assert content(files, ID) is None


def test_variants_appear_all_at_once(files: Files) -> None:
    staged = files.stage(ID)
    (staged / "large.jpg").write_bytes(b"large")
    (staged / "thumb.webp").write_bytes(b"thumb")
    assert variant(files, ID, "large.jpg") is None
    where = files.publish(ID, staged)
    files.unstage(staged)
    assert variant(files, ID, where + "large.jpg") == b"large", "unstage after publish does nothing to it"
    assert variant(files, ID, where + "thumb.webp") == b"thumb"


def test_a_second_attempt_replaces_the_variants_of_the_first(files: Files) -> None:
    publish(files, ID, large=b"first", thumb=b"first")
    where = publish(files, ID, large=b"second")
    assert variant(files, ID, where + "large.jpg") == b"second"
    assert variant(files, ID, where + "thumb.jpg") is None


def test_staging_begins_empty_even_after_a_crash(files: Files) -> None:
    (files.stage(ID) / "half.jpg").write_bytes(b"half")
    assert list(files.stage(ID).iterdir()) == []


def test_deleting_leaves_nothing_and_can_be_repeated(files: Files) -> None:
    keep(files, ID)
    where = publish(files, ID, thumb=b"thumb")
    files.delete(ID)
    files.delete(ID)
    assert content(files, ID) is None
    assert variant(files, ID, where + "thumb.jpg") is None


def test_a_whole_file_is_taken_in_and_stays_its_owners(files: Files, tmp_path: Path) -> None:
    mine = tmp_path / "data" / "mine"
    mine.write_bytes(b"bytes")
    files.adopt(ID, mine)
    files.adopt(ID, mine)  # again, after a record that failed
    assert content(files, ID) == b"bytes"
    mine.unlink()
    assert content(files, ID) == b"bytes"


def test_a_sweep_removes_what_has_no_record(files: Files) -> None:
    keep(files, ID)
    mine = publish(files, ID, thumb=b"thumb")
    keep(files, OTHER)
    others = publish(files, OTHER, thumb=b"thumb")
    assert files.sweep(known(ID)) == 2  # type: ignore[arg-type]
    assert content(files, ID) is not None
    assert variant(files, ID, mine + "thumb.jpg") is not None
    assert content(files, OTHER) is None
    assert variant(files, OTHER, others + "thumb.jpg") is None
    assert files.sweep(known(ID)) == 0  # type: ignore[arg-type]


def test_there_is_room(files: Files) -> None:
    assert files.free_bytes() > 0


# A directory has some more to promise


def test_without_hard_links_a_whole_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # what a file system without them answers

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "data").mkdir()
    files = Directory(tmp_path / "data", tmp_path / "output")
    test_a_whole_file_is_taken_in_and_stays_its_owners(files, tmp_path)
    assert [path.name for path in (tmp_path / "data" / "originals").iterdir()] == [ID]


def test_a_sweep_removes_what_is_half_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    files = Directory(tmp_path / "data", tmp_path / "output")
    half = files.new_original(ID)
    half.write(b"half")
    (files.stage(OTHER) / "half.jpg").write_bytes(b"half")
    assert files.sweep(known(ID)) == 2  # type: ignore[arg-type]
    assert not half.path().exists()
    half.discard()


def test_a_sweep_leaves_files_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    files = Directory(tmp_path / "data", tmp_path / "output")
    mine = [tmp_path / "output" / "holiday.jpg", tmp_path / "output" / "notes" / "a.txt"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (tmp_path / "output" / "half.part").mkdir()
    assert files.sweep(known()) == 0  # type: ignore[arg-type]
    assert all(path.exists() for path in mine)


def test_an_output_directory_belongs_to_one_data_directory(tmp_path: Path) -> None:
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
    Directory(tmp_path / "data", tmp_path / "output")
    Directory(tmp_path / "data", tmp_path / "output")
    with pytest.raises(SettingError, match="--output-dir"):
        Directory(tmp_path / "other", tmp_path / "output")
