"""What every `Files` must do. A new store joins by adding itself to `stores`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from imgpool.errors import SettingError
from imgpool.service.files import Directory, Files

stores = {"directory": lambda root: Directory(root / "data", root / "output")}
ID = "0123456789abcdef" * 2
OTHER = "f" * 32


@pytest.fixture(params=sorted(stores))
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    (tmp_path / "data").mkdir()
    return stores[request.param](tmp_path)


def keep(files: Files, image_id: str, content: bytes = b"bytes") -> None:
    original = files.new_original(image_id)
    original.write(content)
    original.commit()


def publish(files: Files, image_id: str, **variants: bytes) -> None:
    staged = files.stage(image_id)
    for name, content in variants.items():
        (staged / f"{name}.jpg").write_bytes(content)
    files.publish(image_id, staged)


def content(files: Files, image_id: str) -> bytes | None:
    """The original's bytes; None when it is not there."""
    try:
        with files.original(image_id) as path:
            return path.read_bytes()
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
    assert not files.variant(ID, "large.jpg").exists()
    files.publish(ID, staged)
    assert files.variant(ID, "large.jpg").read_bytes() == b"large"
    files.unstage(staged)
    assert files.variant(ID, "large.jpg").exists(), "unstage after publish does nothing"


def test_a_second_attempt_replaces_the_variants_of_the_first(files: Files) -> None:
    publish(files, ID, large=b"first", thumb=b"first")
    publish(files, ID, large=b"second")
    assert files.variant(ID, "large.jpg").read_bytes() == b"second"
    assert not files.variant(ID, "thumb.jpg").exists()


def test_staging_begins_empty_even_after_a_crash(files: Files) -> None:
    (files.stage(ID) / "half.jpg").write_bytes(b"half")
    assert list(files.stage(ID).iterdir()) == []


def test_deleting_leaves_nothing_and_can_be_repeated(files: Files) -> None:
    keep(files, ID)
    publish(files, ID, thumb=b"thumb")
    files.delete(ID)
    files.delete(ID)
    assert content(files, ID) is None
    assert not files.variant(ID, "thumb.jpg").exists()


@pytest.mark.parametrize("links", [True, False], ids=["hard-links", "no-hard-links"])
def test_a_whole_file_is_taken_in_and_stays_its_owners(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # what a file system without them answers

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    mine = tmp_path / "data" / "mine"
    mine.write_bytes(b"bytes")
    files.adopt(ID, mine)
    files.adopt(ID, mine)  # again, after a record that failed
    assert content(files, ID) == b"bytes"
    mine.unlink()
    assert content(files, ID) == b"bytes"
    assert sorted(path.name for path in (tmp_path / "data" / "originals").iterdir()) == [ID]


def test_a_sweep_removes_what_has_no_record_and_what_is_half_made(files: Files) -> None:
    keep(files, ID)
    publish(files, ID, thumb=b"thumb")
    keep(files, OTHER)
    publish(files, OTHER, thumb=b"thumb")
    half = files.new_original("a" * 32)
    half.write(b"half")
    (files.stage("b" * 32) / "half.jpg").write_bytes(b"half")
    assert files.sweep(known(ID)) == 4  # type: ignore[arg-type]
    assert content(files, ID) is not None
    assert files.variant(ID, "thumb.jpg").exists()
    assert content(files, OTHER) is None
    assert not files.variant(OTHER, "thumb.jpg").exists()
    assert files.sweep(known(ID)) == 0  # type: ignore[arg-type]
    half.discard()


def test_there_is_room(files: Files) -> None:
    assert files.free_bytes() > 0


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
