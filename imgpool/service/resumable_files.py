"""The bytes of uploads that are not finished, and what was said of each when it began: `DATA/uploads`.

`ID` holds the bytes so far and `ID.json` the facts. The offset of an upload is the size of its file, whatever this
process remembers, so it is right after `kill -9`. Bytes are synced when the request that brought them ends; a power
cut costs what the last request had sent until then, and the facts of an upload that began in the last seconds.

The last byte counts only when the upload has become an image: until then an upload lacks it, also when a crash or a
full disk came in between. So "all bytes are there" and "the image is kept" are one and the same to a client.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from imgpool.service.files import Files, NewOriginal, is_image_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """What an upload's beginning says. `length` is in bytes; `note` is the client's, given back as it came."""

    id: str
    length: int
    name: str
    owner: str | None
    note: str


class GrowingOriginal(NewOriginal, Protocol):
    """A `NewOriginal` that grows over several requests; this is what one of them has of it."""

    def head(self, most: int) -> bytes:
        """The first bytes."""

    def cut(self, offset: int) -> None:
        """Forget what was written from this offset on, where the request began."""

    def pause(self) -> None:
        """Keep what has come, and write no more; idempotent."""


class UnfinishedStore(Protocol):
    """Keeps unfinished uploads. Every method blocks and may raise OSError; one thread at a time for each upload."""

    def begin(self, facts: Facts) -> None:
        """Remember an upload that has no bytes yet."""

    def offset(self, facts: Facts) -> int:
        """How many bytes are there, without the last one."""

    def open(self, facts: Facts, offset: int) -> GrowingOriginal:
        """To write on from this offset; what lies beyond is cut off."""

    def remove(self, image_id: str) -> None:
        """Forget it and give the disk back; idempotent."""


class UnfinishedFiles:
    """Keeps them in `directory`, which is on the same disk as the originals. Every method blocks on the disk and may
    raise OSError; one thread at a time for each upload.
    """

    def __init__(self, directory: Path, files: Files) -> None:
        self._directory = directory
        self._files = files
        directory.mkdir(parents=True, exist_ok=True)

    def begin(self, facts: Facts) -> None:
        """Remember an upload that has no bytes yet."""
        path = self._facts(facts.id)
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(asdict(facts)))
        aside.replace(path)

    def offset(self, facts: Facts) -> int:
        """How many bytes are there, without the last one."""
        try:
            size = self._bytes(facts.id).stat().st_size
        except FileNotFoundError:
            return 0
        return min(size, facts.length - 1)

    def open(self, facts: Facts, offset: int) -> UnfinishedOriginal:
        """To write on from this offset; what lies beyond is cut off."""
        return UnfinishedOriginal(self._bytes(facts.id), facts.id, self._files, offset)

    def remove(self, image_id: str) -> None:
        """Give the disk back; idempotent. The facts go first: bytes alone are swept away at the next start."""
        self._facts(image_id).unlink(missing_ok=True)
        self._bytes(image_id).unlink(missing_ok=True)

    def recover(self) -> Iterator[tuple[Facts, float]]:
        """At start: each upload with the seconds since it moved. What is no upload is removed."""
        now = time.time()
        found = set[str]()
        for path in sorted(self._directory.glob("*.json")):
            try:
                facts = Facts(**json.loads(path.read_bytes()))
            except (ValueError, TypeError) as error:  # a power cut
                log.warning("an unfinished upload cannot be read and is given up: %s", error)
                continue
            found.add(facts.id)
            yield facts, max(0.0, now - max(self._moved_at(facts.id)))
        self._sweep(found)

    def _moved_at(self, image_id: str) -> Iterable[float]:
        for path in (self._facts(image_id), self._bytes(image_id)):
            if path.exists():
                yield path.stat().st_mtime

    def _sweep(self, found: set[str]) -> None:
        for path in self._directory.iterdir():
            name, _, suffix = path.name.partition(".")
            if is_image_id(name) and (name not in found or suffix == "new"):
                path.unlink(missing_ok=True)

    def _bytes(self, image_id: str) -> Path:
        return self._directory / image_id

    def _facts(self, image_id: str) -> Path:
        return self._directory / f"{image_id}.json"


class UnfinishedOriginal:
    """A `NewOriginal` that grows over several requests. `commit` leaves the bytes here, too: should the record then
    fail, they are still there; whoever has the record calls `UnfinishedFiles.remove`.
    """

    def __init__(self, path: Path, image_id: str, files: Files, offset: int) -> None:
        self._path, self._image_id, self._files = path, image_id, files
        self._file: BinaryIO | None = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self.cut(offset)

    def _opened(self) -> BinaryIO:
        assert self._file is not None  # noqa: S101
        return self._file

    def head(self, most: int) -> bytes:
        """The first bytes."""
        return os.pread(self._opened().fileno(), most, 0)

    def write(self, chunk: bytes | memoryview) -> None:
        """See `NewOriginal.write`."""
        view = memoryview(chunk)
        while view:
            view = view[self._opened().write(view) :]

    def cut(self, offset: int) -> None:
        """Forget what was written from this offset on."""
        file = self._opened()
        file.truncate(offset)
        file.seek(offset)

    def path(self) -> Path:
        """See `NewOriginal.path`."""
        return self._path

    def pause(self) -> None:
        """Sync what is there and let go of the file; idempotent."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            finally:
                self._file.close()
                self._file = None

    def commit(self) -> None:
        """See `NewOriginal.commit`."""
        self.pause()
        self._files.adopt(self._image_id, self._path)

    def withdraw(self) -> None:
        """See `NewOriginal.withdraw`: of the original; the bytes here stay."""
        self._files.delete(self._image_id)

    def discard(self) -> None:
        """See `NewOriginal.discard`."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)
