"""`Files` in one directory that all hosts see, as over NFS: for where there is no S3.

Differs from `Directory` in what several hosts at once make necessary: each attempt at an image has a staging and a
final directory of its own, so that a worker that was thought dead and comes back never touches what another one made.
The record alone says which variants count.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imgpool.scaleout.pieces import DirectoryPieces
from imgpool.service.directory import Directory
from imgpool.service.durable import sync_directory
from imgpool.service.files import is_image_id

LEFT_AFTER_S = 86_400.0  # far longer than the time between a file and its record


class SharedDirectory(Directory):
    """`originals/ID`, `variants/ID/TOKEN/FILENAME` and `staged/ID-TOKEN` under `root`.

    What a crash left is removed when it is `left_after_s` old: other hosts may be at work on what is younger.
    """

    def __init__(self, root: Path, *, left_after_s: float = LEFT_AFTER_S) -> None:
        self._root = root.absolute()
        self._variants, self._staged = self._root / "variants", self._root / "staged"
        self._left_after_s = left_after_s
        super().__init__(self._root, self._variants)
        self._staged.mkdir(exist_ok=True)

    def close(self) -> None:
        """Hold nothing."""

    def pieces(self) -> DirectoryPieces:
        """Where the bytes of unfinished uploads lie."""
        return DirectoryPieces(self._root)

    def stage(self, image_id: str) -> Path:
        """See `Files.stage`."""
        staged = self._staged / f"{image_id}-{secrets.token_hex(8)}"
        staged.mkdir()
        return staged

    def publish(self, image_id: str, staged: Path) -> str:
        """See `Files.publish`: nobody can see the variants before a record has the names that this makes."""
        token = staged.name.rpartition("-")[2]
        folder = self._variants / image_id
        folder.mkdir(exist_ok=True)
        staged.rename(folder / token)
        for directory in (folder, self._variants):
            sync_directory(directory)
        return f"{token}/"

    def withdraw(self, image_id: str, prefix: str) -> None:
        """Remove what an attempt published whose end nobody wanted to know; idempotent."""
        shutil.rmtree(self._variants / image_id / prefix, ignore_errors=True)

    def delete(self, image_id: str) -> None:
        """See `Files.delete`."""
        shutil.rmtree(self._variants / image_id, ignore_errors=True)
        (self._root / "originals" / image_id).unlink(missing_ok=True)

    def sweep(self, known: Callable[[Iterable[str]], set[str]], within: str = "") -> int:
        """See `Files.sweep`; at any time, beside everything else. Only image IDs that begin with `within`."""
        old = time.time() - self._left_after_s
        removed = 0
        for directory in (self._root / "originals", self._variants, self._staged):
            names = {name: _image_id(name) for name in _older(directory, old) if name.startswith(within)}
            keep = known({image_id for image_id in names.values() if image_id})
            for name, image_id in names.items():
                if image_id and (image_id not in keep or directory == self._staged):
                    path = directory / name
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)
                    removed += 1
        return removed


def _image_id(name: str) -> str | None:
    """Whose this is; None for what is not ours."""
    image_id = name.removesuffix(".part").partition("-")[0]
    return image_id if is_image_id(image_id) else None


def _older(directory: Path, moment: float) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.stat().st_mtime < moment:
                    yield entry.name
            except FileNotFoundError:
                continue  # another host was faster
