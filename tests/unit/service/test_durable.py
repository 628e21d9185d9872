"""A text that is made once: whoever comes at the same moment gets the same."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from imgpool.service.directory import Directory
from imgpool.service.durable import made_once

AT_ONCE = 4
WAIT_S = 60


def test_it_is_made_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "id"
    assert made_once(path, "first") == "first"
    assert made_once(path, "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["id"]


def test_what_is_no_secret_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        Directory(tmp_path / "data", tmp_path / "output")
    finally:
        os.umask(before)
    for path in (tmp_path / "data" / "data-id", tmp_path / "output" / ".imgpool-data-id"):
        assert path.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("known", [False, True])
def test_all_that_come_at_the_same_moment_get_what_the_first_wrote(
    tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has looked, and seen nothing, before anybody writes."""
    if known:
        (tmp_path / "id").write_text("earlier")
    all_have_looked = Barrier(AT_ONCE)
    look = Path.exists

    def look_together(path: Path, **options: Any) -> bool:
        there = look(path, **options)
        all_have_looked.wait(WAIT_S)
        return there

    with monkeypatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as threads:
        patch.setattr(Path, "exists", look_together)
        texts = list(threads.map(lambda number: made_once(tmp_path / "id", f"{number}"), range(AT_ONCE)))
    assert len(set(texts)) == 1
    assert (tmp_path / "id").read_text() == texts[0]
    assert (texts[0] == "earlier") is known
    assert [path.name for path in tmp_path.iterdir()] == ["id"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_hard_links_is_no_obstacle(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*paths: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    assert made_once(tmp_path / "id", "text") == "text"
    assert made_once(tmp_path / "id", "other") == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["id"]


def test_a_disk_that_takes_nothing_is_told_and_nothing_half_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        made_once(tmp_path / "id", "text")
    assert [path.name for path in tmp_path.iterdir()] == []
