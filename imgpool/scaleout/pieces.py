"""Where the pieces of unfinished uploads lie: on S3, or in a directory that all hosts see.

A piece is whole under its name or not there, is never changed, and is written by one turn on one host alone.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from imgpool.scaleout.bucket import COPY_BYTES, Bucket
from imgpool.service.files import is_image_id

LEFT_AFTER_S = 86_400.0  # far longer than the time between a piece and the row that names it

Ids = Callable[[Iterable[str]], set[str]]


class Pieces(Protocol):
    """Every method blocks on the store and raises OSError; any thread may call it."""

    def put(self, upload_id: str, name: str, data: bytes) -> None:
        """Keep a piece."""

    def read(self, upload_id: str, name: str, most: int | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """The first `most` bytes of a piece, or all, in chunks."""

    def delete(self, upload_id: str) -> None:
        """Remove all pieces of an upload; idempotent."""

    def sweep(self, known: Ids) -> int:
        """Remove what has no upload and is old; returns how many pieces. Others may be at work meanwhile."""


class S3Pieces:
    """`PREFIX/unfinished/ID/NAME`."""

    def __init__(self, bucket: Bucket, *, left_after_s: float = LEFT_AFTER_S) -> None:
        self._bucket = bucket
        self._left_after = timedelta(seconds=left_after_s)

    def put(self, upload_id: str, name: str, data: bytes) -> None:
        """See `Pieces.put`."""
        self._bucket.put_bytes(_folder(upload_id) + name, data)

    @contextmanager
    def read(self, upload_id: str, name: str, most: int | None = None) -> Iterator[Iterator[bytes]]:
        """See `Pieces.read`."""
        with self._bucket.read(_folder(upload_id) + name, 0, None if most is None else most - 1) as chunks:
            yield chunks

    def delete(self, upload_id: str) -> None:
        """See `Pieces.delete`."""
        self._bucket.delete_below(_folder(upload_id))

    def sweep(self, known: Ids) -> int:
        """See `Pieces.sweep`."""
        removed = 0
        for page in self._bucket.pages("unfinished/"):
            old = [key for key, changed in page.objects if changed <= page.moment - self._left_after]
            left = {key.split("/")[1] for key in old}
            left -= known(left) if left else set()
            for key in old:
                if key.split("/")[1] in left:
                    self._bucket.delete(key)
                    removed += 1
        return removed


class DirectoryPieces:
    """`ROOT/unfinished/ID/NAME`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "unfinished"

    def put(self, upload_id: str, name: str, data: bytes) -> None:
        """See `Pieces.put`."""
        folder = self._root / upload_id
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(folder / name)

    @contextmanager
    def read(self, upload_id: str, name: str, most: int | None = None) -> Iterator[Iterator[bytes]]:
        """See `Pieces.read`."""
        with (self._root / upload_id / name).open("rb") as file:
            yield iter([file.read(most)]) if most is not None else iter(lambda: file.read(COPY_BYTES), b"")

    def delete(self, upload_id: str) -> None:
        """See `Pieces.delete`."""
        shutil.rmtree(self._root / upload_id, ignore_errors=True)

    def sweep(self, known: Ids) -> int:
        """See `Pieces.sweep`."""
        if not self._root.is_dir():
            return 0
        old = {
            path.name
            for path in self._root.iterdir()
            if is_image_id(path.name) and path.stat().st_mtime < time.time() - LEFT_AFTER_S
        }
        left = old - known(old) if old else old
        for upload_id in left:
            self.delete(upload_id)
        return len(left)


def _folder(upload_id: str) -> str:
    return f"unfinished/{upload_id}/"
